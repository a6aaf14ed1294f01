// d = a b by wgmma, operands by tensor copies. Of 16-bit types; WIDTH elements make a row of the swizzle, and so many are k.
// a: 64 x k, or k x 64 if A_TRANSPOSED; b: N x k, or k x N if B_TRANSPOSED; d: 64 x N f32.
#include "tile_cuda.h"
#ifndef TYPE
#define TYPE bf16
#endif
#ifndef N
#define N 64
#endif
#ifndef SWIZZLE
#define SWIZZLE 128
#endif
#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0
#endif
#ifndef B_TRANSPOSED
#define B_TRANSPOSED 0
#endif
#define WIDTH (SWIZZLE / 2)

struct run_arguments { TensorMap a, b; f32 *d; };
KERNEL(128, 1) void run_programs(PARAMETER run_arguments arguments) {
    Shared<u64> ready = shared_at<u64>(0);
    Shared<TYPE> a = shared_at<TYPE>(1024), b = shared_at<TYPE>(1024 + 64 * WIDTH * 2);
    if (worker() == 0) {
        barrier_init(ready, 1);
        barrier_init_fence();
    }
    block_sync();
    if (worker() == 0) {
        barrier_expect(ready, (64 + N) * WIDTH * 2);
        for (i32 i = 0; i < (A_TRANSPOSED ? 64 / WIDTH : 1); ++i)
            tensor_load(a + i * WIDTH * WIDTH, arguments.a, ready, i * WIDTH, 0);
        for (i32 i = 0; i < (B_TRANSPOSED ? N / WIDTH : 1); ++i)
            tensor_load(b + i * WIDTH * WIDTH, arguments.b, ready, i * WIDTH, 0);
    }
    barrier_wait(ready, 0);
    f32 d[N / 2];
    for (i32 i = 0; i < N / 2; ++i)
        d[i] = 7.0f;
    wgmma_hold(d);
    wgmma_fence();
    for (i32 k = 0; k < WIDTH / 16; ++k) {
        const u64 of_a = A_TRANSPOSED ? matrix_descriptor(a + k * 16 * WIDTH, WIDTH * SWIZZLE, 8 * SWIZZLE, SWIZZLE)
                                      : matrix_descriptor(a + k * 16, 16, 8 * SWIZZLE, SWIZZLE);
        const u64 of_b = B_TRANSPOSED ? matrix_descriptor(b + k * 16 * WIDTH, WIDTH * SWIZZLE, 8 * SWIZZLE, SWIZZLE)
                                      : matrix_descriptor(b + k * 16, 16, 8 * SWIZZLE, SWIZZLE);
        wgmma<N, TYPE, A_TRANSPOSED, B_TRANSPOSED>(d, of_a, of_b, k > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_hold(d);
    Global<f32> out = global<f32>(arguments.d) + (worker() / 32 * 16 + worker() % 32 / 4) * N + worker() % 4 * 2;
    for (i32 i = 0; i < N / 2; ++i)
        out[i / 4 * 8 + i % 2 + i / 2 % 2 * 8 * N] = d[i];
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    run_arguments arguments{{}, {}, (f32 *)arrays[2]};
    const u64 a_dims[2] = {A_TRANSPOSED ? 64 : WIDTH, A_TRANSPOSED ? WIDTH : 64}, b_dims[2] = {B_TRANSPOSED ? N : WIDTH, B_TRANSPOSED ? WIDTH : N};
    const u64 a_strides[1] = {a_dims[0] * 2}, b_strides[1] = {b_dims[0] * 2};
    const u32 a_box[2] = {WIDTH, (u32)a_dims[1]}, b_box[2] = {WIDTH, (u32)b_dims[1]};
    i32 status = tensor_map<TYPE>(&arguments.a, 2, arrays[0], a_dims, a_strides, a_box, SWIZZLE);
    if (status == 0)
        status = tensor_map<TYPE>(&arguments.b, 2, arrays[1], b_dims, b_strides, b_box, SWIZZLE);
    return status ? status : launch(run_programs, 1, 128, 1024 + (64 + N) * WIDTH * 2, stream, arguments);
}
