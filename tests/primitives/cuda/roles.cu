// A ring of two stages between a producer warp group and a consumer warp group that own different numbers of registers; matrices stored
// for others to read. A third warp group only gives its registers away.
// x: TRIPS x 128 u32; y: TRIPS x 128 u32.
#include "tile_cuda.h"
#define TRIPS 5

struct run_arguments { TensorMap x; u32 *y; };
KERNEL(384, 1) void run_programs(PARAMETER run_arguments arguments) {
    Shared<u64> full = shared_at<u64>(0), empty = shared_at<u64>(16);
    Shared<u32> stages = shared_at<u32>(1024);
    if (worker() == 0) {
        for (i32 i = 0; i < 2; ++i) {
            barrier_init(full + i, 1);
            barrier_init(empty + i, 128);
        }
        barrier_init_fence();
    }
    block_sync();
    if (worker() < 128) {
        registers_release<40>();
        if (worker() == 0)
            for (i32 i = 0; i < TRIPS; ++i) {
                barrier_wait(empty + i % 2, i / 2 % 2 ^ 1);
                barrier_expect(full + i % 2, 512);
                tensor_load(stages + i % 2 * 128, arguments.x, full + i % 2, 0, i);
            }
    } else if (worker() < 256) {
        registers_claim<232>();
        const i32 lane = worker() % 32, warp = worker() / 32 - 4;
        for (i32 i = 0; i < TRIPS; ++i) {
            barrier_wait(full + i % 2, i / 2 % 2);
            const u32 x = stages[i % 2 * 128 + worker() - 128];
            barrier_arrive(empty + i % 2);
            u32 r[1] = {x};
            Shared<u32> square = shared_at<u32>(2048) + warp * 32;      // 8 rows of 16 bytes
            store_matrix<1>(square + lane % 8 * 4, r);
            group_sync(1, 128);
            const u32 other = shared_at<u32>(2048)[(worker() - 128) ^ 37];
            Global<u32> y = global<u32>(arguments.y) + i * 128;
            y[worker() - 128] = other;
            group_sync(2, 128);
        }
    } else {
        registers_release<40>();
    }
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    run_arguments arguments{{}, (u32 *)arrays[1]};
    const u64 dims[2] = {128, TRIPS}, strides[1] = {512};
    const u32 box[2] = {128, 1};
    const i32 status = tensor_map<u32>(&arguments.x, 2, arrays[0], dims, strides, box, 0);
    return status ? status : launch(run_programs, 1, 384, 2048 + 512, stream, arguments);
}
