// Part of engine.cpp: accesses, their checks, and how what is wrong with them is said.
#ifndef DSLC_ENGINE_ACCESS_H
#define DSLC_ENGINE_ACCESS_H

#include "machine.h"

namespace engine {

// "worker 37 (wave 1)", "copy_async of worker 3 (wave 0)"
static void name_component(Text &out, u32 component, i32 worker) {
    if (component >= (u32)max_workers) {
        auto &info = machine.stream_info[component];
        out.add("%s of ", info.what);
        worker = info.worker;
    }
    out.add("worker %d (wave %d)", worker, worker / wave_lanes);
}

void report_access(const Found &found, const Actor &actor, Kind kind, const char *place) {
    Text out;
    const char *word = kind == Kind::read ? "read" : kind == Kind::write ? "write" : "atomic access";
    const char *name = found.problem == Problem::race ? "race" : found.problem == Problem::proxy ? "proxy" : "uninitialised";
    i32 lines[2] = {actor.line, found.other.line}, count = 2;
    out.add("%s of %s by ", word, place);
    name_component(out, actor.component, actor.worker);
    if (found.problem == Problem::uninitialised) {
        out.add(": nothing was ever written there");
        count = 1;
    } else {
        out.add(found.problem == Problem::race ? " is not ordered with the %s by " : " may not see the %s by ", found.other_wrote ? "write" : "read");
        if (found.other_block)
            out.add("another block (");
        name_component(out, found.other.component, found.other.component);
        if (found.other_block)
            out.add(")");
        out.add(" at line %d", found.other.line);
        if (found.problem == Problem::proxy)
            out.add(": no async_fence lies between");
    }
    record(name, lines, count, out.chars.data);
    free(out.chars.data);
}

static void report_place(const char *kind, i32 line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void report_place(const char *kind, i32 line, const char *format, ...) {
    Text out;
    va_list list;
    va_start(list, format);
    out.add_list(format, list);
    va_end(list);
    record(kind, &line, 1, out.chars.data);
    free(out.chars.data);
}

Actor worker_actor(i32 worker, i32 line) {
    Fiber &f = machine.fibers[worker];
    Actor a;
    a.component = (u32)worker, a.clock = f.clock;
    a.issuers[0] = &f.known, a.issuer_count = 1;
    a.agent = a.async = false;
    a.line = line < 65535 ? line : 65535, a.worker = worker;
    return a;
}

static void *nowhere() {
    memset(machine.nowhere, poison, sizeof machine.nowhere);
    return machine.nowhere;
}

static const char *word_of(Kind kind) { return kind == Kind::read ? "read" : kind == Kind::write ? "write" : "atomic access"; }

// ---------------------------------------------------------------- shared memory
static bool shared_in_bounds(i64 offset, i64 bytes, i32 alignment, Kind kind, i32 worker, i32 line) {
    if (offset < 0 || bytes < 0 || offset + bytes > machine.launch.shared_bytes) {
        report_place("out of bounds", line, "%s of %lld bytes at byte %lld of shared memory by worker %d (wave %d): the block has %d bytes",
                     word_of(kind), (long long)bytes, (long long)offset, worker, worker / wave_lanes, machine.launch.shared_bytes);
        return false;
    }
    if (alignment > 1 && offset % alignment) {
        report_place("misaligned", line, "%s of %lld bytes at byte %lld of shared memory by worker %d (wave %d): it must be a multiple of %d",
                     word_of(kind), (long long)bytes, (long long)offset, worker, worker / wave_lanes, alignment);
        return false;
    }
    return true;
}

template <Kind kind> static bool shared_checked(const Actor &actor, i64 offset, i64 bytes, i32 alignment) {
    if (!shared_in_bounds(offset, bytes, alignment, kind, actor.worker, actor.line))
        return false;
    Found found;
    machine.shadow.access<kind>(Region{machine.arena_cells, true, false}, offset, bytes, actor, found);
    if (found.problem != Problem::none) {
        char place[64];
        snprintf(place, sizeof place, "byte %lld of shared memory", (long long)found.byte);
        report_access(found, actor, kind, place);
    }
    return true;
}

// What most accesses are: of whole cells, ordered by the last block barrier or the worker's own. Returns the bytes done.
template <Kind kind> static i64 quick(Cell *cells, i64 first, i64 bytes, i32 worker, i32 line) {
    const Fiber &f = machine.fibers[worker];
    Shadow &s = machine.shadow;
    const u32 floor = f.known.seen.floor, base = s.block_base, group = (u32)worker & ~31u, mask = 1u << (worker & 31);
    const Readers mine{{f.clock, (u16)group, (u16)line}, mask, 0};
    if (kind == Kind::atomic || (first & 1))
        return 0;
    i64 byte = first;
    for (; byte + 2 <= first + bytes; byte += 2) {
        Cell &c = cells[byte >> 1];
        const Stamp w = c.write;
        if (c.split_tick > s.session_base || w.clock <= base || w.component >= max_workers || (w.component != (u32)worker && w.clock > floor))
            break;
        Readers &r = c.readers;
        const bool past = r.by.component < max_workers && r.by.clock <= floor && (!r.next || r.by.clock <= base);
        if (kind == Kind::read) {
            if (past)
                r = mine, c.atomics = 0;
            else if (c.atomics || !s.joined_readers(c, mine))
                break;
        } else {
            if (!past && (r.next || r.by.clock != f.clock || r.by.component != group || r.mask != mask))
                break;
            r.by.clock = 0, r.next = 0;
            c.write = Stamp{f.clock, (u16)worker, (u16)line};
        }
    }
    return byte - first;
}

template <Kind kind> static void *shared_access(i32 worker, i64 offset, i32 bytes, i32 line, i32 alignment, bool counted) {
    Machine &m = machine;
    line = reported(line);
    line = line < 65535 ? line : 65535;
    m.fibers[worker].line = line;
    if (!(++m.accesses & 0xffff))
        check_time();
    if (!shared_in_bounds(offset, bytes, alignment ? alignment : bytes & -bytes, kind, worker, line))
        return nowhere();
    if (counted && m.statistics)
        m.banks.visit(worker / wave_lanes, worker % wave_lanes, wave_lanes, offset, bytes, line);
    i64 done = quick<kind>(m.arena_cells, offset, bytes, worker, line);
    if (done < bytes)
        shared_checked<kind>(worker_actor(worker, line), offset + done, bytes - done, 1);
    return m.arena + offset;
}
const void *shared_read(i64 offset, i32 bytes, i32 line, i32 alignment) {
    return shared_access<Kind::read>(here.worker, offset, bytes, line, alignment, true);
}
void *shared_write(i64 offset, i32 bytes, i32 line, i32 alignment) { return shared_access<Kind::write>(here.worker, offset, bytes, line, alignment, true); }
void *shared_atomic(i64 offset, i32 bytes, i32 line, i32 alignment) {
    return shared_access<Kind::atomic>(here.worker, offset, bytes, line, alignment, true);
}
const void *shared_read_by(i32 worker, i64 offset, i32 bytes, i32 line) { return shared_access<Kind::read>(worker, offset, bytes, line, 0, false); }
void *shared_write_by(i32 worker, i64 offset, i32 bytes, i32 line) { return shared_access<Kind::write>(worker, offset, bytes, line, 0, false); }
u8 *shared_memory() { return machine.arena; }

void count_banks(const i32 *offsets, i32 count, i32 bytes, i32 line) {
    if (machine.statistics)
        machine.banks.count(offsets, count, bytes, reported(line));
}

// ---------------------------------------------------------------- tensors
static Range *find_range(u64 address) {
    static i64 last = 0;
    Array<Range> &ranges = machine.ranges;
    if (last < ranges.count && address - ranges[last].address < (u64)ranges[last].bytes)
        return &ranges[last];
    for (i64 i = 0; i < ranges.count; ++i)
        if (address - ranges[i].address < (u64)ranges[i].bytes) {
            last = i;
            return &ranges[i];
        }
    return nullptr;
}

static void report_outside(u64 address, i64 bytes, const Actor &actor, Kind kind) {
    Range *nearest = nullptr;
    i64 distance = 0;
    for (Range &r : machine.ranges) {
        i64 before = (i64)(r.address - address), after = (i64)(address - (r.address + (u64)r.bytes)), d = before > after ? before : after;
        if (!nearest || d < distance)
            nearest = &r, distance = d;
    }
    Text where;
    if (!nearest || distance > (1 << 30))
        where.add("address 0x%llx, which is in no tensor", (unsigned long long)address);
    else
        where.add("byte %lld of %s, which has %lld bytes", (long long)(address - nearest->address), nearest->name, (long long)nearest->bytes);
    report_place("out of bounds", actor.line, "%s of %lld bytes by worker %d (wave %d) at %s", word_of(kind), (long long)bytes, actor.worker,
                 actor.worker / wave_lanes, where.chars.data);
    free(where.chars.data);
}

template <Kind kind> static bool global_checked(const Actor &actor, u64 address, i64 bytes, i32 alignment) {
    if (bytes == 0)
        return true;
    Range *r = find_range(address);
    if (!r || address + (u64)bytes > r->address + (u64)r->bytes) {
        report_outside(address, bytes, actor, kind);
        return false;
    }
    if (alignment > 1 && address % (u64)alignment) {
        report_place("misaligned", actor.line, "%s of %lld bytes at byte %lld of %s (address 0x%llx) by worker %d (wave %d): it must be a multiple of %d",
                     word_of(kind), (long long)bytes, (long long)(address - r->address), r->name, (unsigned long long)address, actor.worker,
                     actor.worker / wave_lanes, alignment);
        return false;
    }
    if (!r->writable) {
        if (kind != Kind::read)
            report_place("read only", actor.line, "%s of byte %lld of %s by worker %d (wave %d): the tensor is read only", word_of(kind),
                         (long long)(address - r->address), r->name, actor.worker, actor.worker / wave_lanes);
        return kind == Kind::read;
    }
    Found found;
    // Cells hold two bytes; those of a range begin at an even address.
    machine.shadow.access<kind>(Region{r->cells, false, r->initialised}, (i64)(address - (r->address & ~1ull)), bytes, actor, found);
    if (found.problem != Problem::none) {
        char place[128];
        snprintf(place, sizeof place, "byte %lld of %s", (long long)(found.byte - (i64)(r->address & 1)), r->name);
        report_access(found, actor, kind, place);
    }
    return true;
}

template <Kind kind> static void *global_access(u64 address, i32 bytes, i32 line, i32 alignment) {
    Machine &m = machine;
    line = reported(line);
    m.fibers[here.worker].line = line;
    if (!(++m.accesses & 0xffff))
        check_time();
    return global_checked<kind>(worker_actor(here.worker, line), address, bytes, alignment ? alignment : bytes & -bytes) ? reinterpret_cast<void *>(address) : nowhere();
}
const void *global_read(u64 address, i32 bytes, i32 line, i32 alignment) { return global_access<Kind::read>(address, bytes, line, alignment); }
void *global_write(u64 address, i32 bytes, i32 line, i32 alignment) { return global_access<Kind::write>(address, bytes, line, alignment); }
void *global_atomic(u64 address, i32 bytes, i32 line, i32 alignment) { return global_access<Kind::atomic>(address, bytes, line, alignment); }

// ---------------------------------------------------------------- agents
bool agent_access(Agent agent, Kind kind, bool shared, u64 at, i64 bytes, i32 alignment) {
    Machine &m = machine;
    Task &t = m.tasks[agent.id];
    Actor a;
    a.component = t.component, a.clock = t.epoch;
    a.issuer_count = t.issuer_count;
    for (i32 i = 0; i < t.issuer_count; ++i)
        a.issuers[i] = &m.fibers[t.issuers[i]].known;
    a.agent = true, a.async = t.async;
    a.line = t.line < 65535 ? t.line : 65535, a.worker = t.issuers[0];
    bool fine = kind == Kind::read ? (shared ? shared_checked<Kind::read>(a, (i64)at, bytes, alignment) : global_checked<Kind::read>(a, at, bytes, alignment))
                                   : (shared ? shared_checked<Kind::write>(a, (i64)at, bytes, alignment) : global_checked<Kind::write>(a, at, bytes, alignment));
    t.wrong = t.wrong || !fine;
    if (fine && shared && kind == Kind::write && m.mode != mode_early)
        memset(m.arena + at, poison, (size_t)bytes);
    return fine;
}
bool agent_reads_shared(Agent a, i64 offset, i64 bytes, i32 alignment) { return agent_access(a, Kind::read, true, (u64)offset, bytes, alignment); }
bool agent_writes_shared(Agent a, i64 offset, i64 bytes, i32 alignment) { return agent_access(a, Kind::write, true, (u64)offset, bytes, alignment); }
bool agent_reads_global(Agent a, u64 address, i64 bytes, i32 alignment) { return agent_access(a, Kind::read, false, address, bytes, alignment); }
bool agent_writes_global(Agent a, u64 address, i64 bytes, i32 alignment) { return agent_access(a, Kind::write, false, address, bytes, alignment); }

}  // namespace engine

#endif
