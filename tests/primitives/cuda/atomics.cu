// Atomics of every type on one element each, from 4 blocks of 64. x: 256 i32; sums: i64, u64, i32, u32, f32 as 8-byte slots; ends: min and max of i32, of f32.
#include "tile_cuda.h"

struct run_arguments { const i32 *x; u64 *sums; u32 *ends; };
KERNEL(64, 1) void run_programs(PARAMETER run_arguments arguments) {
    Global<const i32> from = global<const i32>(arguments.x);
    const i32 x = from[block_index() * 64 + worker()];
    atomic_add(global<i64>(arguments.sums), (i64)x << 20);
    atomic_add(global<u64>(arguments.sums + 1), (u64)(u32)x);
    atomic_add(global<i32>(arguments.sums + 2), x);
    atomic_add(global<u32>(arguments.sums + 3), (u32)x);
    atomic_add(global<f32>(arguments.sums + 4), (f32)x);
    atomic_min(global<i32>(arguments.ends), x);
    atomic_max(global<i32>(arguments.ends + 1), x);
    atomic_min(global<f32>(arguments.ends + 2), (f32)x);
    atomic_max(global<f32>(arguments.ends + 3), (f32)x);
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    return launch(run_programs, 4, 64, 0, stream, run_arguments{(const i32 *)arrays[0], (u64 *)arrays[1], (u32 *)arrays[2]});
}
