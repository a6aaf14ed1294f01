// The emulator's machine: scheduling of workers, collectives, the run of a launch, and the C interface for the host. See engine.h.
#include "machine.h"

#include <pthread.h>
#include <time.h>

#include "access.h"
#include "agents.h"
#include "faults.h"

namespace engine {

Place here;
Machine machine;
u32 tick = 1;
i32 wave_lanes = 32;

// ---------------------------------------------------------------- findings
void record(const char *kind, const i32 *lines, i32 count, const char *text) {
    Machine &m = machine;
    m.report.add(kind, lines, count, here.block, text);
    if (m.report.count == most_findings)
        stop_block();
}
void finding(const char *kind, i32 line, const char *text, ...) {
    Text out, whole;
    va_list list;
    va_start(list, text);
    out.add_list(text, list);
    va_end(list);
    line = reported(line);
    whole.add("%s (worker %d, wave %d)", out.chars.data, here.worker, here.wave);
    free(out.chars.data);
    record(kind, &line, 1, whole.chars.data);
    free(whole.chars.data);
}
void fatal(const char *kind, i32 line, const char *text, ...) {
    char out[512];
    va_list list;
    va_start(list, text);
    vsnprintf(out, sizeof out, text, list);
    va_end(list);
    finding(kind, line, "%s", out);
    stop_block();
}

// Leaves the block as it stands: its stacks are simply not gone on with.
void stop_block() {
    Machine &m = machine;
    m.stopped = true;
    if (m.current < 0)
        longjmp(m.main_jump, 1);
    i32 worker = m.current;
    m.current = -1;
    switch_stack(m.fibers[worker].context, m.main);
    abort();                                     // nobody comes back here
}

static double seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
void check_time() {
    Machine &m = machine;
    if (m.deadline > 0 && seconds() > m.deadline)
        fatal("time", m.current >= 0 ? m.fibers[m.current].line : 0, "the emulated run took longer than it was given");
}

// ---------------------------------------------------------------- scheduling
static void make_ready(i32 worker) {
    Machine &m = machine;
    m.fibers[worker].state = State::ready;
    m.queue[(m.queue_first + m.queue_count++) % max_workers] = (u16)worker;
}
static i32 next_ready() {
    Machine &m = machine;
    i32 first = m.queue_first;
    if (m.mode == mode_random) {
        i32 other = (first + (i32)m.random.below(m.queue_count)) % max_workers;
        u16 chosen = m.queue[other];
        m.queue[other] = m.queue[first];
        m.queue[first] = chosen;
    }
    m.queue_first = (first + 1) % max_workers;
    --m.queue_count;
    return m.queue[first];
}
// The running worker gives way to the scheduler; its state says when it goes on.
static void give_way() {
    Machine &m = machine;
    i32 worker = m.current, call_line = here.call_line;
    m.current = -1;
    switch_stack(m.fibers[worker].context, m.main);
    here.call_line = call_line;
}

void wait(u64 key, bool (*ready)(const void *), const void *state, const char *what, i32 line) {
    Machine &m = machine;
    Fiber &f = m.fibers[here.worker];
    f.line = reported(line);
    if (ready(state))
        return;
    f.what = what, f.key = key, f.ready = ready, f.ready_state = state;
    f.waits_for_key = true, f.state = State::waiting;
    ++m.key_waiters;
    give_way();
}
void notify(u64 key) {
    Machine &m = machine;
    for (i32 i = 0, left = m.key_waiters; left > 0 && i < m.launch.workers; ++i) {
        Fiber &f = m.fibers[i];
        if (!f.waits_for_key)
            continue;
        --left;
        if (f.key == key && f.ready(f.ready_state)) {
            f.waits_for_key = false;
            --m.key_waiters;
            make_ready(i);
        }
    }
}
void yield() {
    check_time();
    make_ready(here.worker);
    give_way();
}

// ---------------------------------------------------------------- synchronisation
// These workers, all of them waiting: what any of them knows or has done, and what `also` carries, all know.
void synchronise(const u16 *workers, i32 count, const Knowledge *also) {
    Machine &m = machine;
    bool all = count == m.launch.workers;
    Knowledge &j = m.joined;
    j.clear();
    if (also)
        j.seen.join(also->seen), j.fenced.join(also->fenced);
    i32 lanes_here[32] = {};
    for (i32 i = 0; i < count; ++i) {
        j.seen.join(m.fibers[workers[i]].known.seen);
        if (m.fences)
            j.fenced.join(m.fibers[workers[i]].known.fenced);
        ++lanes_here[workers[i] / wave_lanes];
    }
    u32 past = tick, now = ++tick;
    if (m.fences)
        j.fenced.gather_waves(m.launch.workers);
    if (all) {
        j.seen.floor = past;
        for (u16 c : j.seen.list)
            if (c >= max_workers)
                m.seen_common.note(c, j.seen.at[c]);
        for (u16 c : j.fenced.list)
            if (c >= max_workers)
                m.fenced_common.note(c, j.fenced.at[c]);
        j.fenced.common = &m.fenced_common;
        j.fenced.prune();
        j.fenced.common = nullptr;
    } else {
        for (i32 i = 0; i < count; ++i) {
            i32 wave = workers[i] / wave_lanes, rest = m.launch.workers - wave * wave_lanes;
            if (lanes_here[wave] == (rest < wave_lanes ? rest : wave_lanes))
                j.seen.waves[wave] = past;
            else
                j.seen.note(workers[i], m.fibers[workers[i]].clock);
        }
        j.seen.prune();
    }
    for (i32 i = 0; i < count; ++i) {
        Fiber &f = m.fibers[workers[i]];
        if (all)
            f.known.seen.floor = past;
        else
            f.known.seen.join(j.seen);
        f.known.seen.prune();
        if (m.fences) {
            f.known.fenced.join(j.fenced);
            f.known.fenced.prune();
        }
        f.clock = now;
        f.known.seen.at[workers[i]] = now;
    }
}
static const u16 *all_workers() {
    static u16 numbers[max_workers];
    if (!numbers[1])
        for (i32 i = 0; i < max_workers; ++i)
            numbers[i] = (u16)i;
    return numbers;
}

static Gather &gather_of(i32 first, i32 count) {
    Machine &m = machine;
    Gather *g = count == m.launch.workers ? &m.block : count <= wave_lanes ? &m.waves[first / wave_lanes] : nullptr;
    if (!g) {
        u64 key = key_of((u32)count, (u32)first);
        i64 *found = m.gathers.find(key);
        if (!found) {
            if (m.gathers_used == m.gather_pool.count)
                m.gather_pool.push(static_cast<Gather *>(calloc(1, sizeof(Gather))));
            m.gather_pool[m.gathers_used]->arrived = 0;
            m.gathers.put(key, m.gathers_used++);
            found = m.gathers.find(key);
        }
        g = m.gather_pool[*found];
    }
    if (g->capacity < count) {
        g->arguments = static_cast<void **>(realloc(g->arguments, (size_t)count * sizeof(void *)));
        g->capacity = count;
    }
    g->first = first, g->count = count;
    return *g;
}

void collective(i32 first, i32 count, const char *what, i32 line, void *argument, Collective run, bool synchronise_too) {
    Machine &m = machine;
    i32 me = here.worker;
    Fiber &f = m.fibers[me];
    line = reported(line);
    f.line = line, f.what = what;
    if (first + count > m.launch.workers)
        fatal("divergence", line, "%s takes workers %d to %d, but the block has %d", what, first, first + count - 1, m.launch.workers);
    Gather &g = gather_of(first, count);
    if (g.arrived && (g.line != line || strcmp(g.what, what) != 0)) {
        i32 lines[2] = {line, g.line};
        char text[256];
        snprintf(text, sizeof text, "worker %d (wave %d) is at %s at line %d while others of workers %d to %d wait in %s at line %d", me, here.wave, what,
                 line, first, first + count - 1, g.what, g.line);
        record("divergence", lines, 2, text);
        stop_block();
    }
    g.what = what, g.line = line;
    g.arguments[me - first] = argument;
    if (++g.arrived < count) {
        f.state = State::waiting;
        give_way();
        return;
    }
    if (run)
        run(g.arguments, count);
    if (synchronise_too)
        synchronise(all_workers() + first, count, nullptr);
    if (m.statistics)
        for (i32 w = first; w < first + count; w += wave_lanes)
            m.banks.flush(w / wave_lanes, wave_lanes);
    g.arrived = 0;
    for (i32 w = first; w < first + count; ++w)
        if (w != me)
            make_ready(w);
    if (m.mode == mode_random) {
        make_ready(me);
        give_way();
    }
}

i32 wave_first() { return here.worker - here.lane; }
i32 wave_count() {
    i32 rest = machine.launch.workers - wave_first();
    return rest < wave_lanes ? rest : wave_lanes;
}
void block_barrier(const char *what, i32 line) { collective(0, machine.launch.workers, what, line, nullptr, nullptr, true); }
void wave_barrier(const char *what, i32 line) { collective(wave_first(), wave_count(), what, line, nullptr, nullptr, true); }

struct Named {                                   // a named barrier
    i32 arrived, count, line, waiting;
    u32 phase;
    Event event;                                 // of those that arrived and went on
    u16 waiters[max_workers];
};
struct NamedWait { const Named *barrier; u32 phase; };
void named_barrier(i32 id, i32 count, bool waits, const char *what, i32 line) {
    u64 key = key_of(1, (u32)id);
    Named &n = object<Named>(key);
    line = reported(line);
    machine.fibers[here.worker].line = line;
    if (n.arrived && n.count != count)
        fatal("barrier", line, "named barrier %d is used for %d workers here and for %d at line %d", id, count, n.count, n.line);
    if (count < 1 || count > max_workers || count % wave_lanes != 0)
        fatal("barrier", line, "named barrier %d is used for %d workers, which are not whole waves", id, count);
    n.count = count, n.line = line;
    if (waits)
        n.waiters[n.waiting++] = (u16)here.worker;
    else
        n.event.release();
    NamedWait mine{&n, n.phase};
    if (++n.arrived == count) {
        synchronise(n.waiters, n.waiting, n.event.id ? &state_of(n.event) : nullptr);
        n.event.clear();
        n.arrived = n.waiting = 0;
        ++n.phase;
        notify(key);
    }
    if (waits)
        wait(key, [](const void *s) {
            auto *w = static_cast<const NamedWait *>(s);
            return w->barrier->phase != w->phase;
        }, &mine, what, line);
}

// ---------------------------------------------------------------- a block
void describe_waits(Text &out, i32 *lines, i32 *line_count) {
    Machine &m = machine;
    for (i32 w = 0; w < m.launch.workers;) {
        Fiber &f = m.fibers[w];
        i32 last = w;
        while (last + 1 < m.launch.workers && m.fibers[last + 1].state == f.state
               && (f.state == State::ended || (m.fibers[last + 1].line == f.line && !strcmp(m.fibers[last + 1].what, f.what))))
            ++last;
        out.add(w ? "; " : "");
        out.add(last > w ? "workers %d to %d " : "worker %d ", w, last);
        if (f.state == State::ended) {
            out.add(last > w ? "have ended" : "has ended");
        } else {
            out.add(last > w ? "wait in %s at line %d" : "waits in %s at line %d", f.what, f.line);
            bool known = false;
            for (i32 i = 0; i < *line_count; ++i)
                known = known || lines[i] == f.line;
            if (!known && *line_count < most_lines)
                lines[(*line_count)++] = f.line;
        }
        w = last + 1;
        if (out.chars.count > 1400) {
            out.add("; ...");
            break;
        }
    }
}
static void report_stuck() {
    Machine &m = machine;
    Text out;
    i32 lines[most_lines], count = 0;
    describe_waits(out, lines, &count);
    record(m.key_waiters ? "deadlock" : "divergence", lines, count, out.chars.data);
    free(out.chars.data);
    stop_block();
}

static void worker_main() {
    Machine &m = machine;
    m.launch.body(m.launch.context);
    m.fibers[here.worker].state = State::ended;
    --m.alive;
    give_way();
}
static void resume(i32 worker) {
    Machine &m = machine;
    here.worker = worker;
    here.lane = worker % wave_lanes, here.wave = worker / wave_lanes;
    here.call_line = 0;
    m.current = worker;
    switch_stack(m.main, m.fibers[worker].context);
    m.current = -1;
}

static void begin_block(i64 block) {
    Machine &m = machine;
    m.shadow.block_base = tick++;
    m.shadow.forget_readers();
    m.seen_common.clear(), m.fenced_common.clear();
    memset(m.arena, poison, (size_t)m.launch.shared_bytes);
    here.block = block, here.blocks = m.launch.blocks, here.workers = m.launch.workers, here.shared_bytes = m.launch.shared_bytes;
    m.queue_first = m.queue_count = m.key_waiters = 0;
    m.block.arrived = 0;
    for (Gather &g : m.waves)
        g.arrived = 0;
    m.alive = m.launch.workers;
    m.stopped = false;
    for (i32 w = 0; w < m.launch.workers; ++w) {
        Fiber &f = m.fibers[w];
        if (!f.stack)
            f.stack = new_stack();
        f.known.prepare();
        f.known.clear();
        f.known.seen.common = &m.seen_common, f.known.fenced.common = &m.fenced_common;
        f.clock = tick;
        f.known.seen.at[w] = tick;
        f.waits_for_key = false;
        f.what = "", f.line = 0;
        prepare(f.context, f.stack, worker_main);
        make_ready(w);
    }
}
static void run_workers() {
    Machine &m = machine;
    for (i64 turns = 0; m.alive && !m.stopped; ++turns) {
        if (!(turns & 1023))
            check_time();
        if (m.mode == mode_random && m.pending && !m.random.below(4))
            apply_something(true);
        if (m.queue_count)
            resume(next_ready());
        else if (!apply_something(true))
            report_stuck();
    }
}
// setjmp's function holds nothing that changes.
static __attribute__((noinline)) void run_block(i64 block) {
    Machine &m = machine;
    begin_block(block);
    if (setjmp(m.main_jump) == 0) {
        run_workers();
        if (!m.stopped) {
            report_unfinished();
            reset_agents();
        }
    }
    m.current = -1;
    if (m.stopped) {                             // pending effects would touch stacks that are no more
        for (u32 id = m.pending_first; id; id = m.tasks[id].after)
            free(m.tasks[id].closure);
        m.pending_first = m.pending_last = 0;
        m.pending = 0;
        reset_agents();
    }
    for (i32 w = 0; w * wave_lanes < m.launch.workers && m.statistics; ++w)
        m.banks.flush(w, wave_lanes);
    ++m.blocks_run;
}

// ---------------------------------------------------------------- a launch
static void prepare_machine() {
    Machine &m = machine;
    if (m.fibers)
        return;
    m.fibers = static_cast<Fiber *>(calloc((size_t)max_workers, sizeof(Fiber)));
    m.arena = static_cast<u8 *>(reserve(most_shared_bytes));
    m.arena_cells = static_cast<Cell *>(reserve(most_shared_bytes / 2 * sizeof(Cell)));
    m.shadow.splits = static_cast<Cell *>(reserve((size_t)Shadow::most_splits * sizeof(Cell)));
    m.seen_common.prepare(), m.fenced_common.prepare(), m.joined.prepare();
    reset_agents();
}
// Clock values are 32 bits. Before they run out everything that holds one is forgotten, which between sessions nobody misses.
static void forget(void *pages, size_t bytes) {
    if (pages)
        madvise(pages, bytes, MADV_DONTNEED);    // anonymous pages: zero when they are touched again
}
static void forget(Knowledge &k) {
    k.clear();
    forget(k.seen.at, max_components * 5);
    forget(k.fenced.at, max_components * 5);
}
static void restart_clock() {
    Machine &m = machine;
    prepare_machine();
    tick = 1;
    forget(m.arena_cells, most_shared_bytes / 2 * sizeof(Cell));
    forget(m.shadow.splits, (size_t)Shadow::most_splits * sizeof(Cell));
    forget(m.range_cells, m.range_cells_bytes);
    m.seen_common.clear(), m.fenced_common.clear();
    forget(m.seen_common.at, max_components * 5);
    forget(m.fenced_common.at, max_components * 5);
    forget(m.joined);
    for (i32 w = 0; w < max_workers && m.fibers[w].known.seen.at; ++w)
        forget(m.fibers[w].known);
    for (EventState *e : m.events)
        forget(e->known);
}
i32 run(const Launch &launch) {
    Machine &m = machine;
    prepare_machine();
    i32 line = 0;
    if (launch.workers < 1 || launch.workers > max_workers || launch.shared_bytes < 0 || launch.shared_bytes > most_shared_bytes || launch.blocks < 0) {
        record("launch", &line, 1, "the block has no size a launch can have");
        return -1;
    }
    m.launch = launch;
    wave_lanes = launch.lanes;
    m.fences = false;
    m.banks.begin(m.statistics ? launch.banks : nullptr);
    m.shadow.launch_base = tick++;
    m.running = true;
    watch_faults(true);
    i64 chosen = m.programs.count ? m.programs.count : m.spread > 0 && m.spread < launch.blocks ? m.spread : launch.blocks;
    for (i64 i = 0; i < chosen && !m.report.count; ++i) {
        // Spread: the first and the last, and between them as evenly as can be.
        i64 block = m.programs.count ? m.programs[i] : chosen == launch.blocks ? i : chosen == 1 ? 0 : i * (launch.blocks - 1) / (chosen - 1);
        if (block < launch.blocks && block >= 0)
            run_block(block);
    }
    watch_faults(false);
    m.running = false;
    return m.report.count ? -1 : 0;
}

}  // namespace engine

// ---------------------------------------------------------------- for the host
using namespace engine;
#define EXPORTED extern "C" __attribute__((visibility("default")))
static pthread_mutex_t session = PTHREAD_MUTEX_INITIALIZER;

// One session at a time; another thread waits. mode: 0 late, 1 early, 2 random. seconds: 0 is no limit.
EXPORTED void dslc_emulator_begin(int32_t mode, uint64_t seed, int32_t statistics, double limit) {
    pthread_mutex_lock(&session);
    Machine &m = machine;
    if (tick > 0xc0000000)
        restart_clock();
    m.mode = (Mode)mode;
    m.random.state = seed;
    m.statistics = statistics != 0;
    m.deadline = limit > 0 ? seconds() + limit : 0;
    m.accesses = 0, m.blocks_run = 0, m.spread = 0;
    m.ranges.count = m.programs.count = 0;
    m.report.count = 0;
    m.banks.clear();
    m.shadow.session_base = tick++;
    m.shadow.split_count = 1;
}
EXPORTED void dslc_emulator_range(const char *name, uint64_t address, int64_t bytes, int32_t writable, int32_t initialised) {
    Range r{};
    snprintf(r.name, sizeof r.name, "%s", name);
    r.address = address, r.bytes = bytes, r.writable = writable != 0, r.initialised = initialised != 0;
    machine.ranges.push(r);
}
EXPORTED void dslc_emulator_programs(const int64_t *programs, int64_t count, int64_t spread) {
    machine.spread = spread;
    for (int64_t i = 0; i < count; ++i)
        machine.programs.push(programs[i]);
}
// After the ranges: cells for those that are written. Stale ones are of an earlier session by their clocks.
EXPORTED void dslc_emulator_prepare(void) {
    Machine &m = machine;
    size_t cells = 0;
    for (Range &r : m.ranges)
        cells += r.writable ? (size_t)(r.bytes / 2 + 2) : 0;
    size_t bytes = cells * sizeof(Cell);
    if (bytes > m.range_cells_bytes) {
        if (m.range_cells)
            munmap(m.range_cells, m.range_cells_bytes);
        m.range_cells = static_cast<Cell *>(reserve(bytes));
        m.range_cells_bytes = bytes;
    }
    Cell *next = m.range_cells;
    for (Range &r : m.ranges)
        if (r.writable)
            r.cells = next, next += r.bytes / 2 + 2;
    for (i64 i = 0, front = 0; i < m.ranges.count; ++i)      // found first: a tensor given as input and as output is writable
        if (m.ranges[i].writable) {
            Range r = m.ranges[i];
            m.ranges[i] = m.ranges[front];
            m.ranges[front++] = r;
        }
}
EXPORTED int32_t dslc_emulator_findings(void) { return machine.report.count; }
// JSON into `out` (at most `size` bytes with the final zero); its length without it.
EXPORTED int64_t dslc_emulator_report(char *out, int64_t size) {
    Text text;
    text.add("{");
    machine.report.write(text);
    text.add(",");
    machine.banks.write(text);
    text.add(",\"accesses\":%lld,\"blocks\":%lld}", (long long)machine.accesses, (long long)machine.blocks_run);
    int64_t length = text.chars.count;
    if (size > 0) {
        int64_t n = length < size - 1 ? length : size - 1;
        memcpy(out, text.chars.data, (size_t)n);
        out[n] = 0;
    }
    free(text.chars.data);
    return length;
}
EXPORTED void dslc_emulator_end(void) {
    // A stack and its guard page are two mappings, of which a process has 65530 (vm.max_map_count of Linux): hundreds of loaded kernels would use them up.
    for (i32 w = 0; machine.fibers && w < max_workers; ++w) {
        if (machine.fibers[w].stack)
            munmap(machine.fibers[w].stack, stack_bytes);
        machine.fibers[w].stack = nullptr;
    }
    pthread_mutex_unlock(&session);
}
