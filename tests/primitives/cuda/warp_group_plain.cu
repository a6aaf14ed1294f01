// d = c + a b by wgmma in two ways at once: operands of one byte without a swizzle, written by the workers, and a from registers.
// a: 64 x 32, b: 16 x 32 i8; c, d: 64 x 16 i32; e: 64 x 16 i32.
#include "tile_cuda.h"

struct run_arguments { const i8 *a, *b; const i32 *c; i32 *d, *e; };
KERNEL(128, 1) void run_programs(PARAMETER run_arguments arguments) {
    Global<const i8> from_a = global<const i8>(arguments.a), from_b = global<const i8>(arguments.b);
    // 8 rows of 16 bytes make 128 bytes; halves of k follow each other, then groups of rows.
    Shared<i8> a = shared_at<i8>(0), b = shared_at<i8>(2048);
    for (i32 i = worker(); i < 64 * 32; i += 128)
        a[i / 256 * 256 + i % 32 / 16 * 128 + i / 32 % 8 * 16 + i % 16] = from_a[i];
    for (i32 i = worker(); i < 16 * 32; i += 128)
        b[i / 256 * 256 + i % 32 / 16 * 128 + i / 32 % 8 * 16 + i % 16] = from_b[i];
    async_fence();
    block_sync();
    const i32 row = worker() / 32 * 16 + worker() % 32 / 4;
    Global<const i32> c = global<const i32>(arguments.c) + row * 16 + worker() % 4 * 2;
    i32 d[8], e[8];
    for (i32 i = 0; i < 8; ++i)
        d[i] = e[i] = c[i / 4 * 8 + i % 2 + i / 2 % 2 * 8 * 16];
    u32 registers[4];
    for (i32 i = 0; i < 4; ++i) {
        Vector<i8, 4> four = load_vector<4>(from_a + (row + i % 2 * 8) * 32 + i / 2 * 16 + worker() % 4 * 4);
        registers[i] = bitcast<u32>(four);
    }
    wgmma_hold(d);
    wgmma_hold(e);
    wgmma_fence();
    wgmma<16, i8, 0, 0>(d, matrix_descriptor(a, 128, 256, 0), matrix_descriptor(b, 128, 256, 0), 1);
    wgmma_commit();
    wgmma_registers<16, i8, 0>(e, registers, matrix_descriptor(b, 128, 256, 0), 1);
    wgmma_commit();
    wgmma_wait<1>();
    wgmma_hold(d);
    wgmma_wait<0>();
    wgmma_hold(e);
    Global<i32> to_d = global<i32>(arguments.d) + row * 16 + worker() % 4 * 2, to_e = global<i32>(arguments.e) + row * 16 + worker() % 4 * 2;
    for (i32 i = 0; i < 8; ++i) {
        to_d[i / 4 * 8 + i % 2 + i / 2 % 2 * 8 * 16] = d[i];
        to_e[i / 4 * 8 + i % 2 + i / 2 % 2 * 8 * 16] = e[i];
    }
}
extern "C" __attribute__((visibility("default"))) i32 launch_run(void *const *arrays, void *stream) {
    return launch(run_programs, 1, 128, 2048 + 512, stream,
                  run_arguments{(const i8 *)arrays[0], (const i8 *)arrays[1], (const i32 *)arrays[2], (i32 *)arrays[3], (i32 *)arrays[4]});
}
