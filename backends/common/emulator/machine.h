// The state of the emulated machine: one block at a time, its workers, agents, tensors. engine.cpp and its parts share it.
#ifndef DSLC_ENGINE_MACHINE_H
#define DSLC_ENGINE_MACHINE_H

#include <setjmp.h>

#include "fiber.h"
#include "report.h"
#include "shadow.h"
#include "banks.h"

namespace engine {

constexpr i32 most_shared_bytes = 1 << 20;       // of the emulator; the target checks its own limit
constexpr u8 poison = 0xff;                      // NaN in every float format

enum class State : u8 { ready, waiting, ended };
enum Mode : i32 { mode_late, mode_early, mode_random };

struct Gather {                                  // workers that come together: a collective
    i32 first, count, arrived, line;
    const char *what;
    void **arguments;
    i32 capacity;
};

struct Fiber {
    Context context;
    u8 *stack = nullptr;
    State state = State::ready;
    bool waits_for_key = false;
    i32 line = 0;                                // of the engine call it is in or was in last
    u32 clock = 0;
    const char *what = "";
    u64 key = 0;
    bool (*ready)(const void *) = nullptr;
    const void *ready_state = nullptr;
    Knowledge known;
};

enum class Stage : u8 { open, pending, done };
struct Task {                                    // an agent
    u32 component, epoch;
    i32 line, issuer_count;
    i32 issuers[4];
    const char *what;
    Stage stage;
    bool async, wrong, in_order;
    u64 key;
    void (*apply)(void *, Agent);
    void *closure;
    u32 before, after;                           // in the list of pending ones
};

struct Group {                                   // agents counted together, in the order of issue
    Array<u32> agents;
    Array<i64> commits;                          // how many agents there were at each commit
    i64 joined[64];                              // per lane of the owner: agents already joined
    bool to_the_end;                             // see group_add
};

struct Range {
    char name[64];
    u64 address;
    i64 bytes;
    bool writable, initialised;
    Cell *cells;                                 // of writable ones
};

struct EventState { Knowledge known; };

struct Machine {
    // The session: one call of a launcher by the host.
    Mode mode = mode_late;
    Random random;
    bool statistics = true, running = false;
    double deadline = 0;
    u64 accesses = 0;
    Array<Range> ranges;
    Array<i64> programs;
    i64 spread = 0, blocks_run = 0;
    Report report;
    Banks banks;
    Shadow shadow;
    Cell *range_cells = nullptr;
    size_t range_cells_bytes = 0;
    // The launch and the block.
    Launch launch{};
    Fiber *fibers = nullptr;
    i32 current = -1;                            // the running fiber, -1 on the main stack
    bool stopped = false;
    Context main;
    jmp_buf main_jump;
    u8 *arena = nullptr;
    Cell *arena_cells = nullptr;
    i32 alive = 0, key_waiters = 0;
    u16 queue[max_workers];
    i32 queue_first = 0, queue_count = 0;
    Gather waves[32] = {}, block = {};
    Clock seen_common, fenced_common;
    Knowledge joined;                            // scratch
    bool fences = false;                         // a proxy_fence has been called in this launch
    Table streams, objects, groups, gathers;
    i32 stream_count = 0;
    struct { const char *what; i32 worker; } stream_info[max_components];
    Array<Task> tasks;
    u32 pending_first = 0, pending_last = 0;
    i64 pending = 0;
    Array<EventState *> events;
    i64 events_used = 0;
    Array<void *> object_memory;
    Array<Group *> group_pool;
    i64 groups_used = 0;
    Array<Gather *> gather_pool;
    i64 gathers_used = 0;
    alignas(16) u8 nowhere[64];                  // where wrong accesses go
};
extern Machine machine;

// ---- between the parts
void record(const char *kind, const i32 *lines, i32 count, const char *text);
[[noreturn]] void stop_block();
void report_access(const Found &found, const Actor &actor, Kind kind, const char *place);
Actor worker_actor(i32 worker, i32 line);
void apply_task(u32 id);
void check_time();
void report_unfinished();
void reset_agents();
void synchronise(const u16 *workers, i32 count, const Knowledge *also);
void describe_waits(Text &out, i32 *lines, i32 *line_count);
bool apply_something(bool any);
bool agent_access(Agent agent, Kind kind, bool shared, u64 at, i64 bytes, i32 alignment);

}  // namespace engine

#endif
