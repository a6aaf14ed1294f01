// See cores.h. Facts: CANN documentation, Basic API (pipes, SetFlag, WaitFlag, PipeBarrier, CrossCoreSetFlag); what is assumed says so.
#include "cores.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>

namespace dslc_emulator {
namespace {

constexpr int pipes = PIPE_ALL;                          // a pipe each, PIPE_S the scalar unit
constexpr int events = 8, flags = events + most_buffers, cross_flags = 16, all_flag = 11, cross_modes = 4, everyone = 3, most_count = 15, most_findings = 8, kept_frames = 10;
constexpr int64_t sizes[memories] = {192 << 10, 512 << 10, 64 << 10, 64 << 10, 128 << 10};
constexpr int64_t granule = 32;                          // bytes of local memory whose accesses are remembered together: what it is addressed in
constexpr int64_t tagged[memories] = {0, 32, 512, 512, 1024};      // bytes that have one tag of a fractal
const char *const pipe_names[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX", "ALL"};
const char *const memory_names[] = {"UB", "L1", "L0A", "L0B", "L0C"};

using Clock = std::vector<uint32_t>;                     // per agent (a pipe of a core): its instructions known to be complete
void join(Clock &into, const Clock &other) {
    for (size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], other[i]);
}

struct Site { void *frames[kept_frames]; const char *api; };
struct Message { Clock known; double time; int site; };
struct Item {
    enum { instruction, set, wait, fence, cross_set, cross_wait } what;
    Instruction job;
    int other = 0, id = 0, store = 0;
    std::shared_ptr<const Clock> issued;
    double time = 0;
    int site = 0;
};

// Who touched a granule last. Sites are numbers of `Site`s.
struct Touch { uint32_t clock = 0; int agent = -1, site = 0; Kind kind = plain; int store = 0; };
struct Cell { Touch wrote; std::vector<Touch> read; };

struct Pipe {
    std::deque<Item> queue;
    Clock known;
    uint32_t count = 0;                                  // instructions begun
    int store = 0;                                       // what it writes belongs to, see Distinct
    double time = 0;
};
struct Core {
    bool cube = false, ended = false, started = false;
    bool fixed = false;                                  // it must end with a barrier of all pipes (CANN documentation, Basic API, InitSocState)
    int unsettled = -1;                                  // the site of the last it put on a pipe since such a barrier
    int block = 0, sub = 0, number = 0;
    Pipe pipe[pipes];
    Message flag[pipes][pipes][flags];                   // those that are numbered, those of queues' buffers
    bool raised[pipes][pipes][flags] = {};
    uint32_t waited[pipes][pipes][flags] = {};           // the number of the last wait among what its pipe began
    std::deque<Message> sent[cross_flags][cross_modes];  // its sets that wait for those of the others of its group
    std::deque<Message> cross[cross_flags];              // what came, one for each time that a whole group has set
    std::vector<Buffer> buffers;
    std::vector<uint8_t> arena;
    uint8_t *base[memories] = {};
    std::vector<uint8_t> written[memories];              // per byte
    std::vector<Cell> cells[memories];
    std::vector<Tag> tags[memories];
    int32_t atomic = 0;
    int store = 0;
    ucontext_t context;
    void *stack = nullptr;
    std::shared_ptr<const Clock> issued;
    std::function<bool()> until;                         // what its scalar unit waits for
    std::string waits;
    int waits_at = 0;                                    // the site of that
    Clock cleaned;                                       // what was complete when its data cache was last written back and dropped
};
struct Range {
    std::string name;
    uint8_t *at;
    int64_t bytes;
    bool writable;
    std::vector<bool> written;                           // empty: all of it means something
    std::vector<Cell> cells;                             // per byte, made at the first access
};
struct Finding { std::string kind, text; std::vector<int> sites; int block; };
struct Event { int core, pipe; const char *api; double start, end; int site; };

struct World {
    std::vector<std::unique_ptr<Core>> cores;
    Core *now = nullptr;
    ucontext_t scheduler;
    std::function<void()> body;
    int type = -1;
    int64_t blocks = 0, ai = 4;
    std::vector<Range> ranges;
    std::vector<void *> reserved;
    std::vector<Finding> findings;
    std::vector<Site> sites;
    std::vector<Event> events;
    int mode = 0;
    uint64_t random = 1;
    bool stop = false, tracing = false;
    bool drain = false;                                  // something reads what nobody wrote: the queues go on, without work, in case a write that comes late is to blame
    double limit = 0;
    clock_t begun = 0;
    int64_t instructions = 0;
    int32_t matrices = 0;
    int stores = 0;
};
World &world() { static World w; return w; }
Core &core() { return *world().now; }

uint64_t draw() {
    uint64_t &x = world().random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return x;
}

std::string name_of(const Core &c) {
    char text[40];
    if (c.cube) snprintf(text, sizeof text, "AIC%d", c.block);
    else snprintf(text, sizeof text, "AIV%d.%d", c.block, c.sub);
    return text;
}
std::string agent_name(int agent) { return name_of(*world().cores[agent / pipes]) + " " + pipe_names[agent % pipes]; }

int here(const char *api) {                              // the frames of the running fiber, by frame pointers, within its stack
    Site site{{}, api};
    void **frame = (void **)__builtin_frame_address(0);
    const uintptr_t low = (uintptr_t)core().stack, high = low + (1 << 20);
    for (int n = 0; n < kept_frames && (uintptr_t)frame >= low && (uintptr_t)frame + 16 <= high; ++n) {
        site.frames[n] = frame[1];
        frame = (void **)frame[0];
    }
    world().sites.push_back(site);
    return (int)world().sites.size() - 1;
}

void found(const char *kind, const std::string &text, std::vector<int> sites) {
    World &w = world();
    if (w.drain && strcmp(kind, "race")) return;
    if (!strcmp(kind, "uninitialised")) w.drain = true;
    else w.stop = true;
    for (const Finding &f : w.findings)
        if (f.kind == kind && f.text == text) return;
    if ((int)w.findings.size() < most_findings) w.findings.push_back({kind, text, std::move(sites), w.now ? w.now->block : 0});
}
std::string say(const char *format, ...) {
    char text[800];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return text;
}

// ---------------------------------------------------------------- memory
struct Place { Core *owner = nullptr; int memory = 0; Range *range = nullptr; int64_t offset = 0; };
bool place_of(Core &c, const Run &run, Place &out) {
    for (int m = 0; m < memories; ++m)
        if (c.base[m] && run.at >= c.base[m] && run.at < c.base[m] + sizes[m]) {
            out = {&c, m, nullptr, run.at - c.base[m]};
            return out.offset + run.bytes <= sizes[m];
        }
    for (Range &r : world().ranges)
        if (run.at >= r.at && run.at + run.bytes <= r.at + r.bytes) {
            out = {nullptr, 0, &r, run.at - r.at};
            return true;
        }
    return false;
}
std::string where(const Place &p) {
    return p.range ? say("byte %lld of %s", (long long)p.offset, p.range->name.c_str()) : say("byte %lld of %s of %s", (long long)p.offset,
                                                                                             memory_names[p.memory], name_of(*p.owner).c_str());
}

bool ordered(const Pipe &p, const Touch &t) { return t.agent < 0 || p.known[t.agent] >= t.clock; }
// Assumed: the scalar unit has what it reads before it goes on, so that nothing that its core issues later can be too early for that.
bool has_read(const Core &c, const Touch &t) { return t.agent == c.number * pipes + PIPE_S; }

void race(const char *what, Core &c, int pipe, const Place &p, const Touch &t, const char *before, int site) {
    found("race", say("%s of %s by %s (%s) is not ordered with the %s by %s (%s)", what, where(p).c_str(), (name_of(c) + " " + pipe_names[pipe]).c_str(),
                      world().sites[site].api, before, agent_name(t.agent).c_str(), world().sites[t.site].api), {site, t.site});
}

void touch(Core &c, int pipe, const Run &run, bool writes, Kind kind, int site) {
    if (run.bytes <= 0) return;
    World &w = world();
    Place p;
    if (!place_of(c, run, p)) {
        const char *near = "no tensor";
        int64_t off = 0;
        for (Range &r : w.ranges)
            if (run.at >= r.at - 4096 && run.at < r.at + r.bytes + 4096) near = r.name.c_str(), off = run.at - r.at;
        found("out of bounds", say("%s: %s of %lld bytes at byte %lld of %s, outside of it", w.sites[site].api, writes ? "write" : "read", (long long)run.bytes,
                                   (long long)off, near), {site});
        return;
    }
    if (writes && p.range && !p.range->writable) found("out of bounds", say("%s writes %s, which the kernel only reads", w.sites[site].api, where(p).c_str()), {site});
    Pipe &own = c.pipe[pipe];
    const int agent = c.number * pipes + pipe;
    const Touch mine{own.count, agent, site, kind, own.store};
    std::vector<Cell> &cells = p.range ? p.range->cells : p.owner->cells[p.memory];
    const int64_t unit = p.range ? 1 : granule;
    if (cells.empty()) cells.resize((p.range ? p.range->bytes : sizes[p.memory]) / unit + 1);
    for (int64_t g = p.offset / unit; g <= (p.offset + run.bytes - 1) / unit; ++g) {
        Cell &cell = cells[g];
        // Global memory reaches the scalar unit through a cache that DMA does not see, and whose lines go back when they are told to.
        if (const Touch &t = cell.wrote; p.range && t.agent >= 0 && t.agent != agent && ordered(own, t)) {
            const bool stale = pipe == PIPE_S && !writes && c.cleaned[t.agent] < t.clock;
            const bool kept = t.agent % pipes == PIPE_S && w.cores[t.agent / pipes]->cleaned[t.agent] < t.clock;
            if (stale || kept) {
                Place at = p;
                at.offset = g;
                found("cache", say("%s of %s by %s %s (%s) after the write by %s (%s) without DataCacheCleanAndInvalid between them", writes ? "write" : "read", where(at).c_str(),
                                   name_of(c).c_str(), pipe_names[pipe], w.sites[site].api, agent_name(t.agent).c_str(), w.sites[t.site].api), {site, t.site});
                return;
            }
        }
        const bool summed = kind != plain && cell.wrote.kind == kind && (kind == atomic || cell.wrote.agent == agent);
        if (!ordered(own, cell.wrote) && !summed && !(cell.wrote.agent == agent && cell.wrote.clock == own.count)) {
            Place at = p;
            at.offset = g * unit;
            race(writes ? "write" : "read", c, pipe, at, cell.wrote, "write", site);
            return;
        }
        if (writes && own.store && cell.wrote.store == own.store && cell.wrote.clock != own.count) {
            found("twice", say("store: one store names an element of %s twice", p.range ? p.range->name.c_str() : "a tile"), {site});
            return;
        }
        if (writes) {
            for (const Touch &t : cell.read)
                if (!ordered(own, t) && !has_read(c, t) && !(t.agent == agent && t.clock == own.count) && !(kind == accumulating && t.agent == agent && t.kind == kind)) {
                    Place at = p;
                    at.offset = g * unit;
                    race("write", c, pipe, at, t, "read", site);
                    return;
                }
            cell.wrote = mine;
            cell.read.clear();
        } else {
            auto same = std::find_if(cell.read.begin(), cell.read.end(), [&](const Touch &t) { return t.agent == agent; });
            if (same == cell.read.end()) cell.read.push_back(mine);
            else *same = mine;
        }
    }
    if (p.range) {
        if (p.range->written.empty()) return;
        for (int64_t b = p.offset; b < p.offset + run.bytes; ++b) {
            if (writes && kind != atomic) p.range->written[b] = true;
            else if (!p.range->written[b]) {
                p.offset = b;
                found("uninitialised", say("%s reads %s, which nothing has written", w.sites[site].api, where(p).c_str()), {site});
                return;
            }
        }
        return;
    }
    uint8_t *known = p.owner->written[p.memory].data() + p.offset;
    if (writes) memset(known, 1, (size_t)run.bytes);
    else if (const void *hole = memchr(known, 0, (size_t)run.bytes)) {
        p.offset += (const uint8_t *)hole - known;
        found("uninitialised", say("%s reads %s, which nothing has written", w.sites[site].api, where(p).c_str()), {site});
    }
}

// Bytes that a copy without fractals has written are of no matrix.
void untag(const Run &run) {
    for (int64_t b = 0; b < run.bytes; b += 32) tag_of(run.at + b)->matrix = 0;
}

// ---------------------------------------------------------------- groups of cores
bool takes_part(const Core &c) {
    switch (world().type) {
    case KERNEL_TYPE_AIV_ONLY: case KERNEL_TYPE_MIX_AIV_1_0: return !c.cube && c.sub == 0;
    case KERNEL_TYPE_AIC_ONLY: case KERNEL_TYPE_MIX_AIC_1_0: return c.cube;
    case KERNEL_TYPE_MIX_AIC_1_1: return c.sub == 0;
    default: return true;
    }
}
// Flags between cores count by groups: when all who set together have set, the counter of each who is told goes up (CANN documentation, CrossCoreSetFlag). Mode 0:
// all cores of a kind, 1: the vector cores of an AI core, 2: they and their cube core, each side for the other.
void arrive(const Core &c, int mode, int id, int site) {
    auto meant = [&](const Core &other, bool told) {
        if (!takes_part(other)) return false;
        const bool near = other.block == c.block;
        return mode == everyone || (mode == 0 ? other.cube == c.cube : mode == 1 ? near && !other.cube : near && (other.cube == c.cube) != told);
    };
    Message joined{Clock(c.pipe[0].known.size(), 0), 0, site};
    for (auto &other : world().cores)
        if (meant(*other, false) && other->sent[id][mode].empty()) return;
    for (auto &other : world().cores)
        if (meant(*other, false)) {
            join(joined.known, other->sent[id][mode].front().known);
            joined.time = std::max(joined.time, other->sent[id][mode].front().time);
            other->sent[id][mode].pop_front();
        }
    for (auto &other : world().cores)
        if (meant(*other, true)) {
            other->cross[id].push_back(joined);
            if ((int)other->cross[id].size() > most_count)
                found("cross-core", say("CrossCoreSetFlag(%d) by %s: the counter of %s passes %d", id, name_of(c).c_str(), name_of(*other).c_str(), most_count), {site});
        }
}

// ---------------------------------------------------------------- pipes
bool step(Core &c, int number) {                         // one item of a pipe; false if there is none or it waits
    World &w = world();
    Pipe &p = c.pipe[number];
    if (p.queue.empty()) return false;
    Item &i = p.queue.front();
    Core *before = w.now;
    w.now = &c;
    const int agent = c.number * pipes + number;
    bool done = true;
    switch (i.what) {
    case Item::instruction: {
        ++p.count;
        p.store = i.store;
        join(p.known, *i.issued);
        for (const Run &r : i.job.reads) touch(c, number, r, false, i.job.kind, i.site);
        if (i.job.more && !w.stop && !w.drain)
            for (const Run &r : i.job.more()) touch(c, number, r, false, i.job.kind, i.site);
        if (i.job.layout && !w.stop && !w.drain) {
            if (const std::string text = i.job.layout(); !text.empty()) found("layout", std::string(i.job.api) + ": " + text, {i.site});
        } else if (c.cube) for (const Run &r : i.job.writes) untag(r);
        for (const Run &r : i.job.writes) touch(c, number, r, true, i.job.kind, i.site);
        if (!w.stop && !w.drain) i.job.work();
        const double start = std::max(p.time, i.time);
        p.time = start + i.job.cycles;
        if (w.tracing) w.events.push_back({c.number, number, i.job.api, start, p.time, i.site});
        break;
    }
    case Item::set: {
        if (c.raised[number][i.other][i.id])
            found("event", say("SetFlag<%s_%s>(%d) by %s: it is set already, and nobody has waited for it", pipe_names[number], pipe_names[i.other], i.id,
                               name_of(c).c_str()), {i.site});
        join(p.known, *i.issued);
        if (i.other != PIPE_S && p.known[c.number * pipes + i.other] < c.waited[number][i.other][i.id])
            found("event", say("SetFlag<%s_%s>(%d) by %s: it cannot know that the wait for its last use has happened", pipe_names[number], pipe_names[i.other], i.id,
                               name_of(c).c_str()), {i.site});
        Message m{p.known, std::max(p.time, i.time), i.site};
        m.known[agent] = p.count;
        c.flag[number][i.other][i.id] = m;
        c.raised[number][i.other][i.id] = true;
        break;
    }
    case Item::wait: {
        bool &raised = c.raised[i.other][number][i.id];
        if (!(done = raised)) break;
        raised = false;
        c.waited[i.other][number][i.id] = ++p.count;
        const Message &m = c.flag[i.other][number][i.id];
        join(p.known, m.known);
        p.time = std::max(p.time, m.time);
        break;
    }
    case Item::fence: p.known[agent] = p.count; break;
    case Item::cross_set: {
        join(p.known, *i.issued);
        Message m{p.known, std::max(p.time, i.time), i.site};
        m.known[agent] = p.count;
        c.sent[i.id][i.other].push_back(m);
        if ((int)c.sent[i.id][i.other].size() > most_count)
            found("cross-core", say("CrossCoreSetFlag(%d) by %s: its sets pass %d", i.id, name_of(c).c_str(), most_count), {i.site});
        arrive(c, i.other, i.id, i.site);
        break;
    }
    case Item::cross_wait: {
        if (!(done = !c.cross[i.id].empty())) break;
        join(p.known, c.cross[i.id].front().known);
        p.time = std::max(p.time, c.cross[i.id].front().time);
        c.cross[i.id].pop_front();
        break;
    }
    }
    w.now = before;
    if (done) p.queue.pop_front();
    return done;
}

bool idle(const Core &c) {
    for (const Pipe &p : c.pipe)
        if (!p.queue.empty()) return false;
    return true;
}
// Modes: 0 late, 1 early, 2 random, 3 + n: pipe n starves, 3 + pipes: the cube cores, 4 + pipes: the vector cores.
bool starved(const Core &c, int pipe) {
    const int n = world().mode - 3;
    return n >= 0 && (n < pipes ? pipe == n : c.cube == (n == pipes));
}
bool pump(Core &c, bool all) {                           // as far as it goes
    bool any = false, moved = true;
    while (moved && !world().stop) {
        moved = false;
        for (int n = 1; n < pipes; ++n)
            if (all || !starved(c, n)) while (step(c, n) && !world().stop) moved = any = true;
    }
    return any;
}

void switch_out() { swapcontext(&core().context, &world().scheduler); }
// The scalar unit waits. What it says is told if nothing moves any more.
void wait_until(std::function<bool()> condition, std::string waits) {
    Core &c = core();
    if (world().mode == 1 || world().mode >= 3) pump(c, false);
    c.waits = std::move(waits);
    c.waits_at = here("wait");
    c.until = std::move(condition);
    while (!c.until() || world().stop || world().drain) switch_out();
    c.until = nullptr;
}

void put(Item item) {
    World &w = world();
    Core &c = core();
    if (w.stop || w.drain) switch_out();
    if (w.limit > 0 && (++w.instructions & 1023) == 0 && (double)(clock() - w.begun) / CLOCKS_PER_SEC > w.limit) {
        found("time", "the run takes longer than it may", {});
        switch_out();
    }
    item.issued = c.issued;
    item.time = c.pipe[PIPE_S].time += 1;
    c.unsettled = item.site;
    const int pipe = item.job.pipe;
    c.pipe[pipe].queue.push_back(std::move(item));
    if (w.mode == 1 || w.mode >= 3) pump(c, false);
    else if (w.mode == 2)
        for (uint64_t n = draw() % 4; n > 0; --n) {
            Core &any = *w.cores[draw() % w.cores.size()];
            step(any, 1 + (int)(draw() % (pipes - 1)));
        }
    if (w.stop || w.drain) switch_out();
}
Item marker(decltype(Item::what) what, pipe_t pipe, int other, int id, const char *api) {
    Item i;
    i.what = what;
    i.job.pipe = pipe;
    i.job.api = api;
    i.other = other, i.id = id;
    i.site = here(api);
    return i;
}

bool pipe_of(const Core &c, int pipe) {                  // CANN documentation, architecture 2201: pipes of each kind of core
    return c.cube ? pipe != PIPE_V : pipe != PIPE_M && pipe != PIPE_MTE1 && pipe != PIPE_FIX;
}

void enter() {
    world().body();
    Core &c = core();
    if (!world().stop && c.started) wait_until([&c] { return idle(c); }, "the end of its pipes");
    if (!world().stop && c.fixed && c.unsettled >= 0)
        found("end", say("%s ends without PipeBarrier<PIPE_ALL> after its last instruction", name_of(c).c_str()), {c.unsettled});
    c.ended = true;
    for (;;) switch_out();
}

void make(Core &c, bool cube, int block, int sub) {
    World &w = world();
    c.cube = cube, c.block = block, c.sub = sub, c.number = (int)w.cores.size();
    const int first = cube ? L1 : UB, last = cube ? memories : L1;      // the memories of its kind
    int64_t total = 2048;
    for (int m = first; m < last; ++m) total += sizes[m];
    c.arena.assign((size_t)total, 0xFF);                 // NaN in every float type: what was never written must show
    uint8_t *at = (uint8_t *)(((uintptr_t)c.arena.data() + 2047) / 2048 * 2048);
    for (int m = first; m < last; ++m) {
        c.base[m] = at;
        at += sizes[m];
        c.written[m].assign((size_t)sizes[m], 0);
    }
    c.stack = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getcontext(&c.context);
    c.context.uc_stack.ss_sp = c.stack;
    c.context.uc_stack.ss_size = 1 << 20;
    c.context.uc_link = nullptr;
    makecontext(&c.context, enter, 0);
}

void check_end() {
    World &w = world();
    for (auto &c : w.cores) {
        w.now = c.get();
        for (int a = 0; a < pipes; ++a)
            for (int b = 0; b < pipes; ++b)
                for (int e = 0; e < events; ++e)
                    if (c->raised[a][b][e]) found("event", say("flag %s_%s %d of %s is set at the end and nobody has waited for it", pipe_names[a], pipe_names[b], e, name_of(*c).c_str()), {c->flag[a][b][e].site});
        for (int f = 0; f < cross_flags; ++f) {
            if (auto &line = c->cross[f]; !line.empty())
                found("cross-core", say("flag %d of %s has %d sets left at the end", f, name_of(*c).c_str(), (int)line.size()), {line.front().site});
            for (auto &line : c->sent[f])
                if (!line.empty()) found("cross-core", say("flag %d: %s has set it %d times more than the others of its group", f, name_of(*c).c_str(), (int)line.size()), {line.front().site});
        }
    }
}

void deadlock() {
    std::string text = "nothing can go on:";
    std::vector<int> sites;
    for (auto &c : world().cores) {
        if (!c->ended && c->until) {
            text += say(" %s waits for %s;", name_of(*c).c_str(), c->waits.c_str());
            if (idle(*c)) sites.push_back(c->waits_at);          // else a pipe of its own is to blame
        }
        for (int n = 0; n < pipes; ++n)
            if (!c->pipe[n].queue.empty()) {
                const Item &i = c->pipe[n].queue.front();
                if (sites.size() < 6) {
                    text += say(" %s %s waits in %s (%d);", name_of(*c).c_str(), pipe_names[n], i.job.api, i.id);
                    sites.push_back(i.site);
                }
            }
    }
    found("deadlock", text, sites);
}

}  // namespace

// ---------------------------------------------------------------- what kernel_operator.h calls
namespace {
void check_buffer(const Core &c, const Run &run, const char *api, int site) {
    for (size_t n = 0; n < c.buffers.size(); ++n)
        if (const Buffer &b = c.buffers[n]; b.state == Buffer::idle && run.at < b.at + b.bytes && run.at + run.bytes > b.at)
            return found("queue", say("%s uses buffer %d of the queues of %s, which is %s", api, (int)n, name_of(c).c_str(), b.site ? "freed" : "not taken"), {site});
}
}  // namespace
int new_buffer(uint8_t *at, int64_t bytes) {
    core().buffers.push_back({Buffer::idle, at, bytes, false, 0});
    return (int)core().buffers.size() - 1;
}
Buffer &buffer(int number) { return core().buffers[(size_t)number]; }
void take(int number, pipe_t from, pipe_t to) {
    Buffer &b = buffer(number);
    b.state = Buffer::taken;
    b.site = here("AllocTensor");
    if (b.used && from != to) buffer_flag(false, number, to, from);
}
void buffer_flag(bool sets, int number, pipe_t from, pipe_t to) {
    put(marker(sets ? Item::set : Item::wait, sets ? from : to, sets ? to : from, events + number, sets ? "the flag of a queue" : "the wait of a queue"));
}
void drop_buffers() {
    Core &c = core();
    for (size_t n = 0; n < c.buffers.size(); ++n)
        if (c.buffers[n].state != Buffer::idle) found("queue", say("buffer %d of the queues of %s is never freed", (int)n, name_of(c).c_str()), {c.buffers[n].site});
    if (world().stop) switch_out();
    for (auto &from : c.raised)
        for (auto &to : from) std::fill(to + events, to + flags, false);
    c.buffers.clear();
}
void issue(Instruction job) {
    Core &c = core();
    Item i;
    i.what = Item::instruction;
    i.site = here(job.api);
    if (!pipe_of(c, job.pipe))
        found("core", say("%s on %s: the pipe %s is not on this kind of core", job.api, name_of(c).c_str(), pipe_names[job.pipe]), {i.site});
    for (const Runs *runs : {&job.reads, &job.writes})
        for (const Run &r : *runs) check_buffer(c, r, job.api, i.site);
    i.store = job.pipe == PIPE_MTE3 ? c.store : 0;
    i.job = std::move(job);
    put(std::move(i));
}
Distinct::Distinct() { core().store = ++world().stores; }
Distinct::~Distinct() { core().store = 0; }
void scalar(const char *api, uint8_t *at, int64_t bytes, bool writes) {
    Core &c = core();
    Pipe &p = c.pipe[PIPE_S];
    p.known[c.number * pipes + PIPE_S] = p.count;        // one after another
    ++p.count;
    p.time += 1;
    const int site = here(api);
    check_buffer(c, Run{at, bytes}, api, site);
    touch(c, PIPE_S, Run{at, bytes}, writes, plain, site);
    if (world().stop || world().drain) switch_out();
}
namespace {
void check_event(pipe_t from, pipe_t to, int32_t id) {
    Core &c = core();
    if (id < 0 || id > 5) found("event", say("the event number %d is not one of 0..5; 6 and 7 are the system's", id), {here("SetFlag")});
    if (!pipe_of(c, from) || !pipe_of(c, to) || (c.cube && (from == PIPE_S || to == PIPE_S)))
        found("event", say("%s has no flags %s_%s", name_of(c).c_str(), pipe_names[from], pipe_names[to]), {here("SetFlag")});
    if (world().stop) switch_out();
}
void scalar_learns() { core().issued = std::make_shared<const Clock>([] {
    Clock k = core().pipe[PIPE_S].known;
    k[core().number * pipes + PIPE_S] = 0;               // that the scalar unit wrote something is known to another pipe by a flag only
    return k;
}()); }
}  // namespace
void set_flag(pipe_t from, pipe_t to, int32_t id) {
    check_event(from, to, id);
    Core &c = core();
    if (from != PIPE_S) return put(marker(Item::set, from, to, id, "SetFlag"));
    if (c.raised[from][to][id]) found("event", say("SetFlag<S_%s>(%d) by %s: it is set already", pipe_names[to], id, name_of(c).c_str()), {here("SetFlag")});
    if (c.pipe[PIPE_S].known[c.number * pipes + to] < c.waited[from][to][id])
        found("event", say("SetFlag<S_%s>(%d) by %s: it cannot know that the wait for its last use has happened", pipe_names[to], id, name_of(c).c_str()), {here("SetFlag")});
    Message m{c.pipe[PIPE_S].known, c.pipe[PIPE_S].time, here("SetFlag")};
    m.known[c.number * pipes + PIPE_S] = c.pipe[PIPE_S].count;
    c.flag[from][to][id] = m;
    c.raised[from][to][id] = true;
}
void wait_flag(pipe_t from, pipe_t to, int32_t id) {
    check_event(from, to, id);
    Core &c = core();
    if (to != PIPE_S) return put(marker(Item::wait, to, from, id, "WaitFlag"));
    wait_until([&c, from, id] { return c.raised[from][PIPE_S][id]; }, say("WaitFlag<%s_S>(%d)", pipe_names[from], id));
    c.raised[from][PIPE_S][id] = false;
    join(c.pipe[PIPE_S].known, c.flag[from][PIPE_S][id].known);
    c.pipe[PIPE_S].time = std::max(c.pipe[PIPE_S].time, c.flag[from][PIPE_S][id].time);
    scalar_learns();
}
void barrier(pipe_t pipe) {
    Core &c = core();
    if (pipe == PIPE_S) return found("event", "PipeBarrier<PIPE_S> does not exist", {here("PipeBarrier")});
    if (pipe != PIPE_ALL) {
        if (!pipe_of(c, pipe)) found("core", say("PipeBarrier<PIPE_%s> on %s", pipe_names[pipe], name_of(c).c_str()), {here("PipeBarrier")});
        return put(marker(Item::fence, pipe, 0, 0, "PipeBarrier"));
    }
    wait_until([&c] { return idle(c); }, "PipeBarrier<PIPE_ALL>");
    Clock all = c.pipe[0].known;
    double time = 0;
    for (int n = 0; n < pipes; ++n) {
        join(all, c.pipe[n].known);
        all[c.number * pipes + n] = c.pipe[n].count;
        time = std::max(time, c.pipe[n].time);
    }
    for (Pipe &p : c.pipe) p.known = all, p.time = time;
    c.unsettled = -1;
    scalar_learns();
}
void fixed_addresses() { core().fixed = true; }
void clean() {
    Core &c = core();
    c.cleaned = c.pipe[PIPE_S].known;
    c.cleaned[c.number * pipes + PIPE_S] = c.pipe[PIPE_S].count;
}
void cross_set(int32_t mode, pipe_t pipe, int32_t id) {
    if (mode < 0 || mode > 2 || (mode == 1 && core().cube)) wrong("cross-core", "CrossCoreSetFlag<%d>: modes are 0, 1 of vector cores, 2", mode);
    if (pipe == PIPE_S || pipe == PIPE_ALL || id < 0 || id > 10 || world().type < KERNEL_TYPE_MIX_AIC_1_1)
        found("cross-core", say("CrossCoreSetFlag<%d, PIPE_%s>(%d): the pipe is one that writes, the flag 0..10, the kernel a mixed one", mode, pipe_names[pipe], id), {here("CrossCoreSetFlag")});
    put(marker(Item::cross_set, pipe, mode, id, "CrossCoreSetFlag"));
}
namespace {
void scalar_waits(int32_t id, std::string waits) {
    Core &c = core();
    wait_until([&c, id] { return !c.cross[id].empty(); }, std::move(waits));
    join(c.pipe[PIPE_S].known, c.cross[id].front().known);
    c.cross[id].pop_front();
    scalar_learns();
}
}  // namespace
void cross_wait(int32_t mode, pipe_t pipe, int32_t id) {
    Core &c = core();
    if (mode < 0 || mode > 2 || (mode == 1 && c.cube)) wrong("cross-core", "CrossCoreWaitFlag<%d>: modes are 0, 1 of vector cores, 2", mode);
    if (pipe == PIPE_ALL || id < 0 || id > 10 || world().type < KERNEL_TYPE_MIX_AIC_1_1)
        wrong("cross-core", "CrossCoreWaitFlag<%d, PIPE_%s>(%d): a pipe, the flag 0..10, the kernel a mixed one", mode, pipe_names[pipe], id);
    if (!pipe_of(c, pipe)) wrong("core", "CrossCoreWaitFlag<%d, PIPE_%s> on %s", mode, pipe_names[pipe], name_of(c).c_str());
    if (pipe != PIPE_S) return put(marker(Item::cross_wait, pipe, mode, id, "CrossCoreWaitFlag"));
    scalar_waits(id, say("CrossCoreWaitFlag(%d)", id));
}
void sync_all(bool vectors) {
    if (vectors && core().cube) return;
    if (world().type < KERNEL_TYPE_MIX_AIC_1_1) wrong("cross-core", "SyncAll: the kernel is a mixed one");
    barrier(PIPE_ALL);
    put(marker(Item::cross_set, PIPE_MTE3, vectors ? 0 : everyone, all_flag, "SyncAll"));
    scalar_waits(all_flag, "SyncAll");
}
void wrong(const char *kind, const char *format, ...) {
    char text[800];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    found(kind, text, {here(kind)});
    switch_out();
}

uint8_t *memory(Memory which) { return core().base[which]; }
Tag *tag_of(const uint8_t *at) {
    static Tag nowhere;
    Core &c = core();
    for (int m = L1; m < memories; ++m)
        if (c.base[m] && at >= c.base[m] && at < c.base[m] + sizes[m]) {
            if (c.tags[m].empty()) c.tags[m].resize((size_t)(sizes[m] / tagged[m]));
            return &c.tags[m][(size_t)((at - c.base[m]) / tagged[m])];
        }
    return &(nowhere = {});
}
int32_t new_matrix() { return ++world().matrices; }
// Of UB the last 8 KiB and 256 bytes are the compiler's, of L1 the last 256 bytes (CANN documentation, architecture 2201).
int64_t capacity(Memory which) { return sizes[which] - (which == UB ? 8192 + 256 : which == L1 ? 256 : 0); }
bool is_cube() { return core().cube; }
int64_t block() { return core().block; }
int64_t blocks() { return world().blocks; }
int64_t sub() { return core().sub; }
bool vector_only() { return world().type == KERNEL_TYPE_AIV_ONLY || world().type == KERNEL_TYPE_MIX_AIV_1_0; }
void task_type(KernelType type) {
    Core &c = core();
    world().type = type;
    c.started = takes_part(c);
    if (c.started) return;
    c.ended = true;
    for (;;) switch_out();
}
int32_t &atomic_mode() { return core().atomic; }
int64_t ai_cores() { return world().ai; }
void *reserve(const char *name, uint64_t bytes, bool initialised) {
    World &w = world();
    void *at = aligned_alloc(512, (bytes + 511) / 512 * 512);
    memset(at, 0xFF, bytes);
    w.reserved.push_back(at);
    w.ranges.push_back({name, (uint8_t *)at, (int64_t)bytes, true, initialised ? std::vector<bool>() : std::vector<bool>((size_t)bytes), {}});
    return at;
}

int32_t run(const char *, std::function<void()> body, int64_t blocks) {
    World &w = world();
    w.body = std::move(body);
    w.blocks = blocks;
    w.type = -1;
    for (int b = 0; b < blocks; ++b)
        for (int s = -1; s < 2; ++s) {
            w.cores.push_back(nullptr);
            w.cores.back() = std::make_unique<Core>();
            w.cores.back()->number = 0;
            make(*w.cores.back(), s < 0, b, std::max(s, 0));
            w.cores.back()->number = (int)w.cores.size() - 1;
        }
    const size_t agents = w.cores.size() * pipes;
    for (auto &c : w.cores) {
        for (Pipe &p : c->pipe) p.known.assign(agents, 0);
        c->issued = std::make_shared<const Clock>(agents, 0);
        c->cleaned.assign(agents, 0);
    }
    for (;;) {
        bool moved = false, left = false;
        const size_t turn = w.mode == 2 ? draw() % w.cores.size() : 0;
        for (size_t k = 0; k < w.cores.size() && !w.stop && !w.drain; ++k) {
            Core &c = *w.cores[(turn + k) % w.cores.size()];
            if (c.ended || (c.until && !c.until())) continue;
            w.now = &c;
            swapcontext(&w.scheduler, &c.context);
            moved = true;
        }
        if (w.drain)
            for (bool more = true; more && !w.stop;) {
                more = false;
                for (auto &c : w.cores) more = pump(*c, true) || more;
            }
        if (w.drain) w.stop = true;
        for (auto &c : w.cores) left = left || !c->ended;
        if (!left || w.stop) break;
        if (w.mode == 0 || w.mode == 2) {                // nobody can go on without a pipe: one step of one
            const size_t start = w.mode == 2 ? draw() % w.cores.size() : 0;
            for (size_t k = 0; k < w.cores.size() && !moved; ++k) {
                Core &c = *w.cores[(start + k) % w.cores.size()];
                const int first = w.mode == 2 ? (int)(draw() % (pipes - 1)) : 0;
                for (int n = 0; n < pipes - 1 && !moved; ++n) moved = step(c, pipes - 1 - (first + n) % (pipes - 1));
            }
        } else {
            for (auto &c : w.cores) moved = pump(*c, false) || moved;
            for (size_t k = 0; k < w.cores.size() && !moved; ++k)
                for (int n = 1; n < pipes && !moved; ++n) moved = step(*w.cores[k], n);
        }
        if (!moved && !w.stop) deadlock();
    }
    if (!w.stop) check_end();
    w.now = nullptr;
    return 0;
}

}  // namespace dslc_emulator

// ---------------------------------------------------------------- the host's side
using namespace dslc_emulator;
#define DSLC_ABI extern "C" __attribute__((visibility("default")))
DSLC_ABI void dslc_emulator_begin(int32_t mode, uint64_t seed, int32_t, double seconds) {
    World &w = world();
    w.mode = mode == 3 ? 3 + (int)seed : mode;
    w.random = seed * 2654435761u + 88172645463325252ull;
    w.stop = w.drain = false;
    w.limit = seconds;
    w.begun = clock();
    w.ai = 4;
    w.tracing = true;
}
DSLC_ABI void dslc_emulator_range(const char *name, uint64_t address, int64_t bytes, int32_t writable, int32_t initialised) {
    world().ranges.push_back({name, (uint8_t *)address, bytes, writable != 0, initialised ? std::vector<bool>() : std::vector<bool>((size_t)bytes), {}});
}
DSLC_ABI void dslc_emulator_programs(const int64_t *, int64_t count, int64_t spread) { world().ai = std::max<int64_t>(1, std::min(world().ai, spread ? spread : count)); }
DSLC_ABI void dslc_emulator_prepare(void) {}
DSLC_ABI int32_t dslc_emulator_findings(void) { return (int32_t)world().findings.size(); }
DSLC_ABI int64_t dslc_emulator_report(char *out, int64_t size) {
    World &w = world();
    std::stable_partition(w.findings.begin(), w.findings.end(), [](const Finding &f) { return f.kind != "uninitialised"; });
    Dl_info info;
    const char *base = dladdr((void *)dslc_emulator_begin, &info) ? (const char *)info.dli_fbase : nullptr;
    std::string text = "{\"findings\":[";
    auto quoted = [](const std::string &s) {
        std::string q = "\"";
        for (char c : s) q += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        return q + "\"";
    };
    auto frames = [&](int site) {
        std::string list = "[";
        for (void *f : w.sites[site].frames)
            if (f) list += (list.size() > 1 ? "," : "") + std::to_string((const char *)f - base - 1);
        return list + "]";
    };
    for (size_t n = 0; n < w.findings.size(); ++n) {
        const Finding &f = w.findings[n];
        text += (n ? ",{\"kind\":" : "{\"kind\":") + quoted(f.kind) + ",\"text\":" + quoted(f.text) + ",\"block\":" + std::to_string(f.block) + ",\"sites\":[";
        for (size_t k = 0; k < f.sites.size(); ++k) text += (k ? "," : "") + frames(f.sites[k]);
        text += "]}";
    }
    text += "],\"banks\":{},\"events\":[";
    for (size_t n = 0; n < w.events.size(); ++n) {
        const Event &e = w.events[n];
        text += say("%s[\"%s\",\"%s\",\"%s\",%.1f,%.1f,", n ? "," : "", name_of(*w.cores[e.core]).c_str(), pipe_names[e.pipe], e.api, e.start, e.end) + frames(e.site) + "]";
    }
    text += "]}";
    if (out) snprintf(out, (size_t)size, "%s", text.c_str());
    return (int64_t)text.size();
}
DSLC_ABI void dslc_emulator_end(void) {
    World &w = world();
    for (auto &c : w.cores) munmap(c->stack, 1 << 20);
    w.cores.clear();
    w.ranges.clear();
    w.findings.clear();
    w.sites.clear();
    w.events.clear();
    for (void *p : w.reserved) free(p);
    w.reserved.clear();
}
