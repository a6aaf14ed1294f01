// copy_async, load_matrix (plain for a, transposed for b) and mma of one warp. a: 16 x 16, b: 16 x 8, row-major; d: 16 x 8 f32.
// VALID: bytes that the second half of a row of a has.
#include "tile_cuda.h"
#ifndef TYPE
#define TYPE bf16
#endif
#ifndef VALID
#define VALID 16
#endif

struct run_arguments { const TYPE *a, *b; f32 *d; };
KERNEL(32, 1) void run_programs(PARAMETER run_arguments arguments) {
    Shared<TYPE> a = shared_at<TYPE>(0), b = shared_at<TYPE>(512);
    Global<const TYPE> from_a = global<const TYPE>(arguments.a), from_b = global<const TYPE>(arguments.b);
    const i32 row = worker() % 16, half = worker() / 16;
    copy_async<16>(a + row * 16 + half * 8, from_a + row * 16 + half * 8, half ? VALID : 16);
    if (half == 0)
        copy_async<16>(b + row * 8, from_b + row * 8, 16);
    copy_async_commit();
    copy_async_wait<0>();
    wave_sync();
    u32 fragments_a[4], fragments_b[2];
    load_matrix<4>(fragments_a, a + row * 16 + half * 8);
    load_matrix_transposed<2>(fragments_b, b + row * 8);
    f32 d[4] = {0, 0, 0, 0};
    mma<TYPE, TYPE>(d, fragments_a, fragments_b);
    Global<f32> out = global<f32>(arguments.d) + worker() / 4 * 8 + worker() % 4 * 2;
    out[0] = d[0];
    out[1] = d[1];
    out[64] = d[2];
    out[65] = d[3];
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    return launch(run_programs, 1, 32, 1024, stream, run_arguments{(const TYPE *)arrays[0], (const TYPE *)arrays[1], (f32 *)arrays[2]});
}
