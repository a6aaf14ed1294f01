// Vector clocks, made small for what blocks do most: synchronise as a whole or by waves.
//
// A component is a worker (0 .. max_workers-1) or a stream of agents (from max_workers). All clock values of a process come from one counter,
// so what was stamped before a moment is smaller than what is stamped after it. After a block barrier everybody knows every worker's past:
// that is one number, `floor`, and no component needs to be written. The same for a wave and its lanes: `waves`.
#ifndef DSLC_ENGINE_CLOCK_H
#define DSLC_ENGINE_CLOCK_H

#include "memory.h"

namespace engine {

constexpr i32 max_workers = 1024, max_components = 16384;

extern u32 tick;                                 // the last clock value given
extern i32 wave_lanes;

struct Clock {
    u32 floor = 0;                               // every worker is known up to here
    u32 waves[32] = {};                          // every lane of that wave
    u32 *at = nullptr;                           // a component
    u8 *listed = nullptr;                        // components in `list`: those of `at` that the numbers above do not cover
    const Clock *common = nullptr;               // streams that the whole block knows of
    Array<u16> list;

    void prepare() {
        if (!at) {
            at = static_cast<u32 *>(reserve(max_components * 5));
            listed = reinterpret_cast<u8 *>(at + max_components);
        }
    }
    bool knows(u32 component, u32 clock) const {
        if (component < (u32)max_workers)
            return clock <= floor || clock <= at[component] || clock <= waves[component / (u32)wave_lanes];
        return clock <= at[component] || (common && clock <= common->at[component]);
    }
    u32 known(u32 component) const {             // of a worker
        u32 w = waves[component / (u32)wave_lanes], a = at[component], most = floor > w ? floor : w;
        return most > a ? most : a;
    }
    void note(u32 component, u32 clock) {
        if (knows(component, clock))
            return;
        at[component] = clock;
        if (!listed[component]) {
            listed[component] = 1;
            list.push((u16)component);
        }
    }
    void join(const Clock &other) {
        floor = floor > other.floor ? floor : other.floor;
        for (i32 i = 0; i < 32; ++i)
            waves[i] = waves[i] > other.waves[i] ? waves[i] : other.waves[i];
        for (i64 i = 0; i < other.list.count; ++i)
            note(other.list.data[i], other.at[other.list.data[i]]);
    }
    // Forget what the numbers cover, or (all) everything but them; `at` of what is forgotten may stay where it says nothing false.
    void prune() {
        i64 kept = 0;
        for (i64 i = 0; i < list.count; ++i) {
            u16 c = list[i];
            bool covered = c < max_workers ? at[c] <= floor || at[c] <= waves[c / wave_lanes] : common && at[c] <= common->at[c];
            listed[c] = !covered;
            list[kept] = c;
            kept += !covered;
        }
        list.count = kept;
    }
    void clear() {
        floor = 0;
        memset(waves, 0, sizeof waves);
        for (u16 c : list)
            listed[c] = 0, at[c] = 0;
        list.count = 0;
    }
    // A wave whose lanes are all known far enough becomes one number.
    void gather_waves(i32 workers) {
        for (i32 first = 0; first < workers; first += wave_lanes) {
            u32 least = ~0u;
            for (i32 c = first; c < first + wave_lanes && c < workers; ++c) {
                u32 k = known((u32)c);
                least = k < least ? k : least;
            }
            u32 &wave = waves[first / wave_lanes];
            wave = least > wave ? least : wave;
        }
        prune();
    }
};

// What a worker, or an event, knows: of accesses, and of those whose writes asynchronous units see too.
struct Knowledge {
    Clock seen, fenced;
    void prepare() { seen.prepare(), fenced.prepare(); }
    void clear() { seen.clear(), fenced.clear(); }
};

}  // namespace engine

#endif
