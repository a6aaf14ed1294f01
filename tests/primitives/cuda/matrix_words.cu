// Matrix instructions on fragments as they lie in memory: lane i has a[4 i ..], b[2 i ..], d[4 i ..]; f64: one a, one b, two d.
#include "tile_cuda.h"

struct run_arguments { const u32 *a, *b; const f64 *wide; f32 *d; i32 *n; f64 *e; };
KERNEL(32, 1) void run_programs(PARAMETER run_arguments arguments) {
    Global<const u32> from_a = global<const u32>(arguments.a) + worker() * 4, from_b = global<const u32>(arguments.b) + worker() * 2;
    u32 a[4], b[2];
    for (i32 i = 0; i < 4; ++i)
        a[i] = from_a[i];
    for (i32 i = 0; i < 2; ++i)
        b[i] = from_b[i];
    i32 n[4] = {1, 2, 3, 4};
    mma<u8, i8>(n, a, b);
    mma<i8, i8>(n, a, b);
    f32 d[4] = {0, 0, 0, 0};
    mma_tf32(d, a, b);
    f64 e[2] = {1, 2};
    Global<const f64> wide = global<const f64>(arguments.wide) + worker() * 2;
    mma_f64(e, wide[0], wide[1]);
    for (i32 i = 0; i < 4; ++i) {
        Global<f32> to = global<f32>(arguments.d) + worker() * 4;
        Global<i32> whole = global<i32>(arguments.n) + worker() * 4;
        to[i] = d[i];
        whole[i] = n[i];
    }
    Global<f64> last = global<f64>(arguments.e) + worker() * 2;
    last[0] = e[0];
    last[1] = e[1];
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    return launch(run_programs, 1, 32, 0, stream,
                  run_arguments{(const u32 *)arrays[0], (const u32 *)arrays[1], (const f64 *)arrays[2], (f32 *)arrays[3], (i32 *)arrays[4], (f64 *)arrays[5]});
}
