// Shuffles of every width, vectors, shared memory, block_sync and wave_sync. x: 128 f32; y: 128 x 6 f64.
#include "tile_cuda.h"

struct run_arguments { const f32 *x; f64 *y; };
KERNEL(128, 1) void run_programs(PARAMETER run_arguments arguments) {
    Global<const f32> x = global<const f32>(arguments.x);
    Global<f64> y = global<f64>(arguments.y) + worker() * 6;
    const f32 mine = x[worker()];
    y[0] = shuffle_xor((f64)mine, 5);
    y[1] = (f64)shuffle((u8)worker(), 35);
    y[2] = (f64)widen(shuffle_xor(cast<f16>(mine), 16));
    y[3] = (f64)shuffle_xor((i64)worker() << 33, 1);
    Shared<f32> s = shared_at<f32>(256);
    s[127 - worker()] = mine;
    block_sync();
    Vector<f32, 4> four = load_vector<4>(s + worker() / 4 * 4);
    y[4] = (f64)(four[0] + four[1] + four[2] + four[3]);
    wave_sync();
    Shared<i8> bytes = shared_at<i8>(1024);
    Vector<i8, 2> two;
    two[0] = (i8)worker(), two[1] = (i8)-worker();
    store_vector(bytes + worker() * 2, two);
    wave_sync();
    const i8 other = bytes[(worker() ^ 1) * 2 + 1];
    y[5] = (f64)other;
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    return launch(run_programs, 1, 128, 2048, stream, run_arguments{(const f32 *)arrays[0], (f64 *)arrays[1]});
}
