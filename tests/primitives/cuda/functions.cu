// Functions of class B, f32. x: 4096 f32; y: 4096 x 10 f32.
#include "tile_cuda.h"

struct run_arguments { const f32 *x; f32 *y; };
KERNEL(128, 1) void run_programs(PARAMETER run_arguments arguments) {
    const index_t i = block_index() * 128 + worker();
    Global<const f32> from = global<const f32>(arguments.x);
    Global<f32> y = global<f32>(arguments.y) + i * 10;
    const f32 x = from[i];
    y[0] = exp_(x);
    y[1] = exp2_(x);
    y[2] = log_(x);
    y[3] = log2_(x);
    y[4] = sigmoid_(x);
    y[5] = tanh_(x);
    y[6] = erf_(x);
    y[7] = sin_(x);
    y[8] = cos_(x);
    y[9] = rsqrt_(x);
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    return launch(run_programs, 32, 128, 0, stream, run_arguments{(const f32 *)arrays[0], (f32 *)arrays[1]});
}
