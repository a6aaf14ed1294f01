// Every conversion from f32 and back, and selection. x: n f32; n is a multiple of 128; y: n x 8 u32.
#include "tile_cuda.h"

struct run_arguments { const f32 *x; u32 *y; };
KERNEL(128, 1) void run_programs(PARAMETER run_arguments arguments) {
    const index_t i = block_index() * 128 + worker();
    Global<const f32> from = global<const f32>(arguments.x);
    Global<u32> y = global<u32>(arguments.y) + i * 8;
    const f32 x = from[i];
    const f16 half = cast<f16>(x);
    const bf16 brain = cast<bf16>(x);
    const f8e4m3 a = cast<f8e4m3>(x), b = cast_saturate<f8e4m3>(x);
    const f8e5m2 c = cast<f8e5m2>(x), d = cast_saturate<f8e5m2>(x);
    y[0] = bits_of(widen(half));
    y[1] = bits_of(widen(brain));
    y[2] = bits_of(widen(a));
    y[3] = bits_of(widen(b));
    y[4] = bits_of(widen(c));
    y[5] = bits_of(widen(d));
    y[6] = bits_of(maximum(x, 1.5f));
    y[7] = bits_of(minimum(1.5f, x));
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    return launch(run_programs, 32, 128, 0, stream, run_arguments{(const f32 *)arrays[0], (u32 *)arrays[1]});
}
