// Part of engine.cpp: agents and their effects, groups, events, objects.
#ifndef DSLC_ENGINE_AGENTS_H
#define DSLC_ENGINE_AGENTS_H

#include "machine.h"

namespace engine {

// ---------------------------------------------------------------- events
static Knowledge &state_of(Event &event) {
    Machine &m = machine;
    if (!event.id) {
        if (m.events_used == m.events.count) {
            auto *fresh = static_cast<EventState *>(calloc(1, sizeof(EventState)));
            fresh->known.prepare();
            m.events.push(fresh);
        }
        m.events[m.events_used]->known.clear();
        event.id = (u32)++m.events_used;
    }
    return m.events[(i64)event.id - 1]->known;
}

static void next_clock(Fiber &f, i32 worker) {
    f.clock = ++tick;
    f.known.seen.at[worker] = f.clock;
}

void Event::release() {
    Machine &m = machine;
    Fiber &f = m.fibers[here.worker];
    Knowledge &k = state_of(*this);
    k.seen.join(f.known.seen);
    k.seen.note((u32)here.worker, f.clock);
    if (m.fences)
        k.fenced.join(f.known.fenced);
    next_clock(f, here.worker);
}
void Event::release(Agent agent) {
    if (agent.id) {
        Task &t = machine.tasks[agent.id];
        state_of(*this).seen.note(t.component, t.epoch);
    }
}
void Event::acquire() const {
    Machine &m = machine;
    if (!id)
        return;
    Fiber &f = m.fibers[here.worker];
    Knowledge &k = m.events[(i64)id - 1]->known;
    f.known.seen.join(k.seen);
    if (m.fences)
        f.known.fenced.join(k.fenced);
}
void Event::add(Event other) {
    if (!other.id)
        return;
    Knowledge &mine = state_of(*this), &theirs = state_of(other);
    mine.seen.join(theirs.seen);
    mine.fenced.join(theirs.fenced);
}
void Event::clear() {
    if (id)
        machine.events[(i64)id - 1]->known.clear();
}

void proxy_fence() {
    Machine &m = machine;
    m.fences = true;
    Fiber &f = m.fibers[here.worker];
    f.known.fenced.join(f.known.seen);
    for (u16 c : m.seen_common.list)
        f.known.fenced.note(c, m.seen_common.at[c]);
    f.known.fenced.note((u32)here.worker, f.clock);
    next_clock(f, here.worker);
}

// ---------------------------------------------------------------- objects
void *object(u64 key, i32 bytes, bool *fresh) {
    Machine &m = machine;
    i64 *found = m.objects.find(key);
    if (fresh)
        *fresh = !found;
    if (found)
        return m.object_memory[*found];
    m.objects.put(key, m.object_memory.count);
    return m.object_memory.push(calloc(1, (size_t)bytes));
}

// ---------------------------------------------------------------- issue
static u32 stream_component(u64 stream, Proxy proxy, const char *what, i32 worker) {
    Machine &m = machine;
    i64 *found = m.streams.find(stream);
    if (!found) {
        // After so many streams components come round again; who knows of a new one's agents is then taken to know of the old one's.
        m.streams.put(stream, max_workers + m.stream_count++ % (max_components - max_workers));
        found = m.streams.find(stream);
    }
    m.stream_info[*found] = {what, worker};
    m.shadow.async_stream[*found] = proxy == async_proxy;
    return (u32)*found;
}
Agent fork_by(const i32 *issuers, i32 count, u64 stream, Proxy proxy, const char *what, i32 line) {
    Machine &m = machine;
    line = reported(line);
    m.fibers[here.worker].line = line;
    if (!(++m.accesses & 0xffff))
        check_time();
    Task t{};
    t.component = stream_component(stream, proxy, what, issuers[0]);
    t.epoch = ++tick;
    t.line = line;
    t.issuer_count = count < 4 ? count : 4;
    for (i32 i = 0; i < t.issuer_count; ++i)
        t.issuers[i] = issuers[i];
    t.what = what;
    t.async = proxy == async_proxy;
    m.tasks.push(t);
    return {(u32)(m.tasks.count - 1)};
}
Agent fork(u64 stream, Proxy proxy, const char *what, i32 line) { return fork_by(&here.worker, 1, stream, proxy, what, line); }

static void unlink(u32 id) {
    Machine &m = machine;
    Task &t = m.tasks[id];
    (t.before ? m.tasks[t.before].after : m.pending_first) = t.after;
    (t.after ? m.tasks[t.after].before : m.pending_last) = t.before;
    --m.pending;
}
void apply_task(u32 id) {
    Machine &m = machine;
    if (m.tasks[id].stage != Stage::pending)
        return;
    if (m.tasks[id].in_order)
        for (u32 older = m.pending_first; older != id;) {
            u32 next = m.tasks[older].after;
            if (m.tasks[older].component == m.tasks[id].component)
                apply_task(older);
            older = next;
        }
    unlink(id);
    Task t = m.tasks[id];
    m.tasks[id].stage = Stage::done;
    t.apply(t.closure, Agent{id});
    free(t.closure);
}
void submit(Agent agent, u64 key, bool in_order, void (*apply)(void *, Agent), const void *closure, i32 bytes) {
    Machine &m = machine;
    Task &t = m.tasks[agent.id];
    t.key = key, t.in_order = in_order, t.apply = apply;
    if (t.wrong) {
        t.stage = Stage::done;
        return;
    }
    t.closure = malloc((size_t)bytes + 1);
    memcpy(t.closure, closure, (size_t)bytes);
    t.stage = Stage::pending;
    t.before = m.pending_last;
    (t.before ? m.tasks[t.before].after : m.pending_first) = agent.id;
    m.pending_last = agent.id;
    ++m.pending;
    if (m.mode == mode_early || (m.mode == mode_random && !m.random.below(4)))
        apply_task(agent.id);
}
void force(Agent agent) {
    if (agent.id)
        apply_task(agent.id);
}
void join(Agent agent) {
    if (agent.id) {
        Task &t = machine.tasks[agent.id];
        machine.fibers[here.worker].known.seen.note(t.component, t.epoch);
    }
}

static bool awaited(u64 key) {
    Machine &m = machine;
    for (i32 i = 0; i < m.launch.workers; ++i)
        if (m.fibers[i].waits_for_key && m.fibers[i].key == key)
            return true;
    return false;
}
// One pending effect: in random mode any; else the oldest that somebody waits for, else (if `any`) the oldest. False if there is none.
bool apply_something(bool any) {
    Machine &m = machine;
    if (!m.pending)
        return false;
    u32 chosen = m.pending_first;
    if (m.mode == mode_random) {
        for (i64 n = m.random.below(m.pending); n; --n)
            chosen = m.tasks[chosen].after;
    } else {
        u64 last_key = 0;                        // not waited for
        for (u32 id = m.pending_first; id; id = m.tasks[id].after)
            if (m.tasks[id].key && m.tasks[id].key != last_key) {
                if (awaited(m.tasks[id].key)) {
                    apply_task(id);
                    return true;
                }
                last_key = m.tasks[id].key;
            }
        if (!any)
            return false;
    }
    apply_task(chosen);
    return true;
}

// ---------------------------------------------------------------- groups
static Group &group_of(i32 kind, i32 owner) {
    Machine &m = machine;
    u64 key = key_of((u32)kind, (u32)(owner < 0 ? here.worker : owner));
    i64 *found = m.groups.find(key);
    if (!found) {
        if (m.groups_used == m.group_pool.count)
            m.group_pool.push(static_cast<Group *>(calloc(1, sizeof(Group))));
        Group &g = *m.group_pool[m.groups_used];
        g.agents.count = g.commits.count = 0;
        g.to_the_end = false;
        memset(g.joined, 0, sizeof g.joined);
        m.groups.put(key, m.groups_used++);
        return g;
    }
    return *m.group_pool[*found];
}
void group_add(i32 kind, Agent agent, i32 owner, bool to_the_end) {
    Group &g = group_of(kind, owner);
    g.agents.push(agent.id);
    g.to_the_end = to_the_end;
}
void group_commit(i32 kind, i32 owner) {
    Group &g = group_of(kind, owner);
    g.commits.push(g.agents.count);
}
void group_wait(i32 kind, i32 n, i32 owner) {
    Group &g = group_of(kind, owner);
    i64 last = g.commits.count - n;
    if (last <= 0)
        return;
    i64 &joined = g.joined[owner < 0 ? 0 : (here.worker - owner) & 63];
    for (; joined < g.commits[last - 1]; ++joined) {
        force({g.agents[joined]});
        join({g.agents[joined]});
    }
}

// At a block's end: what its workers should have waited for.
void report_unfinished() {
    Machine &m = machine;
    for (i64 n = 0; n < m.groups_used; ++n) {
        Group &g = *m.group_pool[n];
        if (!g.to_the_end || g.joined[0] == g.agents.count)
            continue;
        Task &t = m.tasks[g.agents[g.joined[0]]];
        char text[128];
        snprintf(text, sizeof text, "%s of worker %d may still be under way when the program ends", t.what, t.issuers[0]);
        record("unfinished", &t.line, 1, text);
    }
}

// Between blocks.
void reset_agents() {
    Machine &m = machine;
    while (m.pending_first)
        apply_task(m.pending_first);
    m.tasks.count = 0;
    m.tasks.push(Task{});                        // 0 is no agent
    m.streams.clear(), m.objects.clear(), m.groups.clear(), m.gathers.clear();
    m.stream_count = 0;
    m.events_used = m.groups_used = m.gathers_used = 0;
    for (void *p : m.object_memory)
        free(p);
    m.object_memory.count = 0;
}

}  // namespace engine

#endif
