// One box in, looked at byte by byte, one box out. x: 16 x 20 x 24 u16 (outermost first); seen: the box as it lies in shared memory; y: like x.
// The box is 8 x 4 x WIDTH at (C2, C1, C0).
#include "tile_cuda.h"
#ifndef SWIZZLE
#define SWIZZLE 32
#endif
#ifndef WIDTH
#define WIDTH 16
#endif
#ifndef C0
#define C0 -3
#define C1 18
#define C2 10
#endif

struct run_arguments { TensorMap x, y; u16 *seen; };
KERNEL(128, 1) void run_programs(PARAMETER run_arguments arguments) {
    Shared<u64> ready = shared_at<u64>(8);
    Shared<u16> box = shared_at<u16>(1024);
    const i32 elements = WIDTH * 4 * 8;
    if (worker() == 0) {
        tensor_prefetch(arguments.x);
        barrier_init(ready, 1);
        barrier_init_fence();
    }
    block_sync();
    if (worker() == 0) {
        barrier_expect(ready, elements * 2);
        tensor_load(box, arguments.x, ready, C0, C1, C2);
    }
    barrier_wait(ready, 0);
    Global<u16> seen = global<u16>(arguments.seen);
    for (i32 i = worker(); i < elements; i += 128) {
        const u16 x = box[i];
        seen[i] = x;
        box[i] = (u16)(x + 1);
    }
    async_fence();
    block_sync();
    if (worker() == 0) {
        tensor_store(arguments.y, box, C0, C1, C2);
        tensor_commit();
        tensor_wait_read<0>();
        tensor_wait<0>();
    }
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    run_arguments arguments{{}, {}, (u16 *)arrays[1]};
    const u64 dims[3] = {24, 20, 16}, strides[2] = {48, 960};
    const u32 box[3] = {WIDTH, 4, 8};
    i32 status = tensor_map<u16>(&arguments.x, 3, arrays[0], dims, strides, box, SWIZZLE);
    if (status == 0)
        status = tensor_map<u16>(&arguments.y, 3, arrays[2], dims, strides, box, SWIZZLE);
    return status ? status : launch(run_programs, 1, 128, 1024 + WIDTH * 64, stream, arguments);
}
