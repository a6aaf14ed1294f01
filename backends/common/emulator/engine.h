// The emulator of a thread block: what the emulated device headers are written against.
//
// Every worker of a block is a fiber; blocks run one after another on one system thread. A worker runs until it waits, so device code
// between two waits is atomic here, and what a schedule would have to show is found by clocks instead: each access is compared with the
// earlier accesses to the same bytes, and two of them, one a write, that no synchronisation orders are a race, whatever order they ran in.
//
// Vocabulary of this file:
//   worker     a thread of the block, 0 .. workers-1; wave: `lanes` workers in a row (a warp).
//   line       of the generated source; device functions get it by a default argument `i32 line = __builtin_LINE()` (the LAST parameter)
//              and hand it on. Everything that is reported carries it.
//   agent      an asynchronous operation in flight. It knows what its issuer knew when it was issued; nobody knows of its accesses
//              until he has joined it.
//   stream     agents that are known of in order: who has joined one has joined all older ones of its stream. Named by any number.
//   event      something that carries knowledge from those who release it to those who acquire it.
//   proxy      asynchronous units may see shared memory by another path (CUDA's async proxy): they see a worker's (or a generic agent's)
//              writes only if a proxy_fence() lies between, in the releasing or in the issuing worker.
//
// No standard library here: a generated source is to compile in a fraction of a second. engine.cpp is compiled once.
#ifndef DSLC_ENGINE_H
#define DSLC_ENGINE_H

#include "tile_types.h"

namespace engine {

// An index that knows the line it was written on: the parameter type of operator[].
struct Index {
    i64 n;
    i32 line;
    constexpr Index(i64 n, i32 line = __builtin_LINE()) : n(n), line(line) {}
};

// ---------------------------------------------------------------- where we are
struct Place {                                   // of the running fiber; read it through `here`
    i32 worker, workers, lane, wave;
    i32 shared_bytes;                            // of the arena
    i64 block, blocks;
    i32 call_line;                               // see CallSite; 0: none
};
extern Place here;

// While one lives, everything the running worker does is reported at `line`: for functions of headers, which are told the line that they were
// called from. The outermost one counts.
struct CallSite {
    i32 outer;
    explicit CallSite(i32 line) : outer(here.call_line) { here.call_line = outer ? outer : line; }
    ~CallSite() { here.call_line = outer; }
    CallSite(const CallSite &) = delete;
};
inline i32 reported(i32 line) { return here.call_line ? here.call_line : line; }

// ---------------------------------------------------------------- checked accesses of the running worker
// Each returns where the bytes are, or a place of poison (64 bytes, 16-aligned) if the access is wrong, which is then reported. The
// pointer is good until the next call. `bytes` <= 64; the address is a multiple of `alignment`, where 0 is the largest power of two in `bytes`.
// Atomics race with plain accesses, not with each other.
const void *shared_read(i64 offset, i32 bytes, i32 line, i32 alignment = 0);
void *shared_write(i64 offset, i32 bytes, i32 line, i32 alignment = 0);
void *shared_atomic(i64 offset, i32 bytes, i32 line, i32 alignment = 0);
const void *global_read(u64 address, i32 bytes, i32 line, i32 alignment = 0);
void *global_write(u64 address, i32 bytes, i32 line, i32 alignment = 0);
void *global_atomic(u64 address, i32 bytes, i32 line, i32 alignment = 0);

// The same for a collective that works for other workers: `worker` makes the access. Returns as above.
const void *shared_read_by(i32 worker, i64 offset, i32 bytes, i32 line);
void *shared_write_by(i32 worker, i64 offset, i32 bytes, i32 line);

// One instruction of a wave, for the bank statistics: byte offsets of the lanes (-1: takes no part), `bytes` each. For collectives;
// accesses by single workers are grouped by the engine.
void count_banks(const i32 *offsets, i32 count, i32 bytes, i32 line);
// Wavefronts of one instruction: those needed at least (by its bytes) and those taken. The target's, given to run().
struct Wavefronts { i32 ideal, actual; };
typedef Wavefronts (*BankModel)(const i32 *offsets, i32 count, i32 bytes);

// Unchecked: the block's arena. For effects, which were checked when they were issued, and for collectives after *_by.
u8 *shared_memory();

// ---------------------------------------------------------------- findings
// Report something wrong in the running worker. kind: a short word or two ("phase", "descriptor"); text: what was found, printf-like
// with %d %lld %s only. The run goes on to the end of the block, then stops.
void finding(const char *kind, i32 line, const char *text, ...) __attribute__((format(printf, 3, 4)));
// The same, and the block stops here: does not return.
[[noreturn]] void fatal(const char *kind, i32 line, const char *text, ...) __attribute__((format(printf, 3, 4)));

// ---------------------------------------------------------------- waiting
// The running worker waits until ready(state). Looked at once at the start, and then whenever somebody calls notify(key). If everybody
// waits, pending effects are applied, those submitted with a key that is waited for first; if there are none it is a deadlock, and every
// waiting worker's `what` and line are reported.
void wait(u64 key, bool (*ready)(const void *state), const void *state, const char *what, i32 line);
void notify(u64 key);
// Lets others run (a spin loop's body).
void yield();

// ---------------------------------------------------------------- collectives
// All `count` workers from `first` (both multiples of a wave, or one wave) must arrive at the same `what` and `line`; the last one runs
// run(arguments, count), arguments[i] being what worker first + i gave; then all go on. Somebody ending or arriving elsewhere instead is
// reported as divergence. `synchronise`: also orders the workers' earlier accesses before everybody's later ones. In run(),
// use shared_read_by(first + i, ...), not shared_read.
typedef void (*Collective)(void *const *arguments, i32 count);
void collective(i32 first, i32 count, const char *what, i32 line, void *argument, Collective run, bool synchronise);
// Typed forms: wave_collective("shuffle", line, mine, [](A *const *all, i32 count) { .. });  the lambda captures nothing.
template <class A> using CollectiveOf = void (*)(A *const *all, i32 count);
template <class A> struct Typed { A *argument; CollectiveOf<A> run; };
template <class A> void typed_collective(i32 first, i32 count, const char *what, i32 line, A &argument, CollectiveOf<A> run, bool synchronise = false) {
    Typed<A> mine{&argument, run};
    collective(first, count, what, line, &mine, [](void *const *all, i32 n) {
        A *arguments[1024];                      // the most workers of a block
        for (i32 i = 0; i < n; ++i)
            arguments[i] = static_cast<Typed<A> *>(all[i])->argument;
        static_cast<Typed<A> *>(all[0])->run(arguments, n);
    }, synchronise);
}
// Of the running worker's wave, `size` lanes of it at most (the target's `lanes`).
i32 wave_first();
i32 wave_count();
template <class A, class F> void wave_collective(const char *what, i32 line, A &argument, F run, bool synchronise = false) {
    typed_collective<A>(wave_first(), wave_count(), what, line, argument, run, synchronise);
}
// Of the aligned group of `count` workers that the running worker is in (128: a warp group).
template <class A, class F> void group_collective(i32 count, const char *what, i32 line, A &argument, F run, bool synchronise = false) {
    typed_collective<A>(here.worker / count * count, count, what, line, argument, run, synchronise);
}

void block_barrier(const char *what, i32 line);              // all workers; orders everything before it
void wave_barrier(const char *what, i32 line);               // the lanes of one wave
// Named barrier: complete when `count` workers (whole waves) have arrived. An arriver that does not wait releases only.
void named_barrier(i32 id, i32 count, bool waits, const char *what, i32 line);

// ---------------------------------------------------------------- knowledge
// All methods act for the running worker, except release(Agent), which may also be called by an effect. A zeroed Event is empty.
struct Agent { u32 id; };                                    // 0: none
struct Event {
    u32 id;
    void release();                                          // adds what the running worker knows and has done
    void release(Agent agent);                               // adds that agent's accesses (not what its issuer knew)
    void acquire() const;                                    // the running worker then knows what was released
    void add(Event other);                                   // adds what the other carries
    void clear();
};
void proxy_fence();

// Memory of a primitive (a barrier's phase and counts ...): `bytes` zeroed bytes per key and block; `fresh` says that they are new.
void *object(u64 key, i32 bytes, bool *fresh = nullptr);
template <class T> T &object(u64 key, bool *fresh = nullptr) { return *static_cast<T *>(object(key, (i32)sizeof(T), fresh)); }
// Keys of objects, waits and streams are one number space each; make them so that families do not meet.
constexpr u64 key_of(u32 family, u32 number) { return (u64)family << 32 | number; }   // families below 64 are the engine's

// ---------------------------------------------------------------- asynchronous operations
enum Proxy { generic_proxy, async_proxy };
// Issue: the running worker forks an agent. Then say what it accesses, then submit its effect.
Agent fork(u64 stream, Proxy proxy, const char *what, i32 line);
// For an operation issued together by several workers (a warp group): every one of `issuers` must know of what the agent reads.
Agent fork_by(const i32 *issuers, i32 count, u64 stream, Proxy proxy, const char *what, i32 line);
// Checks bounds and races, and marks the bytes as the agent's. Any number of bytes, alignment `alignment`. Written bytes are poisoned until
// the effect (mode early: not). False if wrong (reported): the effect of such an agent is not applied.
bool agent_reads_shared(Agent agent, i64 offset, i64 bytes, i32 alignment);
bool agent_writes_shared(Agent agent, i64 offset, i64 bytes, i32 alignment);
bool agent_reads_global(Agent agent, u64 address, i64 bytes, i32 alignment);
bool agent_writes_global(Agent agent, u64 address, i64 bytes, i32 alignment);

// The effect: a trivially copyable closure, called once with no worker running, at issue, at the wait that forces it, or between.
// It may touch raw memory (shared_memory(), tensors it has declared, registers of waiting workers), release(agent), notify.
// `key`: what somebody would wait() for.  Effects of one stream are applied in order if `in_order`.
void submit(Agent agent, u64 key, bool in_order, void (*apply)(void *closure, Agent agent), const void *closure, i32 bytes);
template <class F> void submit(Agent agent, F effect, u64 key = 0, bool in_order = false) {
    static_assert(__is_trivially_copyable(F), "the effect is copied as bytes");
    submit(agent, key, in_order, [](void *closure, Agent a) { (*static_cast<F *>(closure))(a); }, &effect, (i32)sizeof(F));
}
void force(Agent agent);                                     // apply its effect now, if it is pending
void join(Agent agent);                                      // the running worker knows of its accesses from now on (force it first)

// Groups of agents of the running worker, as cp.async, bulk copies, wgmma and s_waitcnt count them. `kind`: any small number, per worker;
// `owner`: the worker whose counter it is (a wave's first lane for a counter per wave), -1: the running one.
// `to_the_end`: the program must have waited for it before it ends.
void group_add(i32 kind, Agent agent, i32 owner = -1, bool to_the_end = false);
void group_commit(i32 kind, i32 owner = -1);                 // what was added since the last commit becomes one group (maybe empty)
// Forces all but the youngest n committed groups; the running worker joins them. Where `owner` is a wave, every lane calls it.
void group_wait(i32 kind, i32 n, i32 owner = -1);

// ---------------------------------------------------------------- running
struct Launch {
    void (*body)(const void *context);                       // one worker's program
    const void *context;
    i64 blocks;
    i32 workers, shared_bytes, lanes;
    BankModel banks;
};
i32 run(const Launch &launch);                               // 0, or -1 if there are findings

}  // namespace engine

#endif
