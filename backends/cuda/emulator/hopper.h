// Compute capability 9.0a, emulated: barriers with phases and bytes, tensor copies, warp-group matrix instructions, roles of warps.
//
// Sections of PTX ISA 9.0 that say what is done here: "mbarrier", "cp.async.bulk.tensor", "Tensors" (boxes and swizzles), "Asynchronous warpgroup level
// matrix instructions" (descriptors, canonical layouts, fragments), "setmaxnreg". A shared address is an offset into the arena, which begins at a multiple
// of 1024 as the device's does.
//
// More generous than a device: tensor_wait_read also orders the stores' writes; A from registers is read when the instruction is issued.
#ifndef DSLC_HOPPER_H
#define DSLC_HOPPER_H

#include "vocabulary.h"

namespace hopper {

enum Family : u32 { barriers = 64, numbers, accumulators, fragments, register_pool };   // of keys
enum Kind : i32 { stores = 40, products };                                              // of groups of agents
constexpr i32 most_bytes = (1 << 20) - 1;                // what a barrier can count: PTX, "Tracking asynchronous operations by the mbarrier object"
constexpr i32 most_arrivals = (1 << 20) - 1;

// Copies are known of one by one, products of a warp group in order.
inline u64 fresh_stream() { return engine::key_of(numbers, 1024 + engine::object<u32>(engine::key_of(numbers, 0))++); }

// ---------------------------------------------------------------- barriers
struct Barrier {
    i32 count, pending, bytes;                           // arrivals of a phase, those outstanding, bytes outstanding
    u32 phase;                                           // finished phases
    bool live, visible;                                  // initialised; to the asynchronous proxy too
    i32 initialiser;
    engine::Event arrived, finished;                     // what this phase has gathered; what the last one had
};

inline u64 barrier_key(i64 at) { return engine::key_of(barriers, (u32)at); }

// The barrier at a shared address, or none (reported).
inline Barrier *barrier_at(Shared<u64> b, i32 line) {
    engine::shared_atomic(b.at, 8, line);
    Barrier &barrier = engine::object<Barrier>(barrier_key(b.at));
    if (barrier.live)
        return &barrier;
    engine::finding("barrier", line, "the barrier at byte %lld has not been initialised", (long long)b.at);
    return nullptr;
}
inline void finish_phase(Barrier &barrier, u64 key) {
    if (barrier.pending != 0 || barrier.bytes != 0)
        return;
    barrier.finished.clear();
    barrier.finished.add(barrier.arrived);
    barrier.arrived.clear();
    barrier.pending = barrier.count;
    ++barrier.phase;
    engine::notify(key);
}
inline void arrive(Shared<u64> b, i32 bytes, i32 line) {
    Barrier *barrier = barrier_at(b, line);
    if (!barrier)
        return;
    if (barrier->pending == 0) {
        engine::finding("barrier", line, "one arrival more than the %d of a phase at the barrier at byte %lld", barrier->count, (long long)b.at);
        return;
    }
    if (bytes < 0 || barrier->bytes + (i64)bytes > most_bytes) {
        engine::finding("barrier", line, "%lld bytes are expected at one barrier, which counts to %d", (long long)barrier->bytes + bytes, most_bytes);
        return;
    }
    barrier->bytes += bytes;
    barrier->arrived.release();
    --barrier->pending;
    finish_phase(*barrier, barrier_key(b.at));
}
// Bytes have come. More than are expected may come first: the expectation then makes up for them.
inline void bytes_came(Barrier &barrier, u64 key, i32 bytes) {
    barrier.bytes -= bytes;
    finish_phase(barrier, key);
}

}  // namespace hopper

inline void barrier_init(Shared<u64> b, i32 count, i32 line = __builtin_LINE()) {
    engine::shared_write(b.at, 8, line);
    hopper::Barrier &barrier = engine::object<hopper::Barrier>(hopper::barrier_key(b.at));
    if (barrier.live) {
        engine::finding("barrier", line, "the barrier at byte %lld is initialised a second time", (long long)b.at);
        return;
    }
    if (count < 1 || count > hopper::most_arrivals)
        engine::finding("barrier", line, "a barrier for %d arrivals", count);
    barrier = {count, count, 0, 0, true, false, engine::here.worker, {}, {}};
    u64 &made = engine::object<u64>(engine::key_of(hopper::numbers, 1));       // the youngest barrier, and links to the older ones
    engine::object<u64>(engine::key_of(hopper::numbers, 0x100000 + (u32)b.at)) = made;
    made = (u64)b.at + 1;
}
inline void barrier_init_fence() {
    u64 at = engine::object<u64>(engine::key_of(hopper::numbers, 1));
    while (at) {
        hopper::Barrier &barrier = engine::object<hopper::Barrier>(hopper::barrier_key((i64)at - 1));
        barrier.visible = barrier.visible || barrier.initialiser == engine::here.worker;
        at = engine::object<u64>(engine::key_of(hopper::numbers, 0x100000 + (u32)at - 1));
    }
    engine::proxy_fence();
}
inline void barrier_arrive(Shared<u64> b, i32 line = __builtin_LINE()) { hopper::arrive(b, 0, line); }
inline void barrier_expect(Shared<u64> b, i32 bytes, i32 line = __builtin_LINE()) { hopper::arrive(b, bytes, line); }
inline void barrier_wait(Shared<u64> b, i32 parity, i32 line = __builtin_LINE()) {
    hopper::Barrier *barrier = hopper::barrier_at(b, line);
    if (!barrier)
        return;
    if (parity != 0 && parity != 1)
        engine::finding("barrier", line, "a phase has parity 0 or 1, not %d", parity);
    struct Waiting { hopper::Barrier *barrier; u32 parity; } waiting{barrier, (u32)parity & 1};
    engine::wait(hopper::barrier_key(b.at), [](const void *state) {
        auto *w = static_cast<const Waiting *>(state);
        return (w->barrier->phase & 1) != w->parity;
    }, &waiting, "barrier_wait", line);
    barrier->finished.acquire();
}

inline void async_fence() { engine::proxy_fence(); }

inline void group_sync(i32 id, i32 count, i32 line = __builtin_LINE()) {
    if (id < 1 || id > 15)
        engine::fatal("barrier", line, "named barriers are 1 to 15, not %d", id);
    engine::named_barrier(id, count, true, "group_sync", line);
}
inline void group_arrive(i32 id, i32 count, i32 line = __builtin_LINE()) {
    if (id < 1 || id > 15)
        engine::fatal("barrier", line, "named barriers are 1 to 15, not %d", id);
    engine::named_barrier(id, count, false, "group_arrive", line);
}

// On the host: few, so that a block has several programs.
inline index_t multiprocessors() { return 2; }

#include "tensor_copy.h"
#include "warp_group.h"

#endif
