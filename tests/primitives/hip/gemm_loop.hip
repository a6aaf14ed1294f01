// The main loop of a matrix product as the best kernels write it, in this vocabulary: a tile of 256 x 256 by eight waves, 64 of the depth a turn,
// operands copied straight into swizzled shared memory one turn ahead. a: rows of n bf16; b: its columns as rows of n; c: 256 x 256 f32.
#include "tile_hip.h"
struct gemm_loop_arguments { const void *a, *b; void *c; index_t n; };

// 16-byte piece p of row r lies at piece p ^ r % 8 of the row's 128 bytes: the rows of a fragment then lie in different banks.
constexpr int tile_bytes = 256 * 64 * 2;

KERNEL(512, 1) void gemm_loop_programs(PARAMETER gemm_loop_arguments arguments) {
    const index_t n = arguments.n;
    const i32 wave = uniform(worker() / 64), lane = worker() % 64;
    // A copy fills 8 rows; the wave's are 8 wave + 64 i. Lane l fills piece l % 8 of row l / 8, so it fetches what belongs there.
    // Only the beginning of the buffers moves with k: it lies in scalar registers.
    const Global<const bf16> a = global<const bf16>(arguments.a), b = global<const bf16>(arguments.b);
    i32 from[4];
    for (int i = 0; i < 4; ++i)
        from[i] = (i32)((i * 64 + wave * 8 + lane / 8) * n) + (lane % 8 ^ lane / 8) * 8;
    const i32 row = wave / 4 * 128, column = wave % 4 * 64;
    i32 fragment[2];
    for (int step = 0; step < 2; ++step)
        fragment[step] = lane % 16 * 64 + ((step * 4 + lane / 16) ^ lane % 8) * 8;
    f32 acc[8][4][4];
    for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 4; ++j)
            for (int r = 0; r < 4; ++r)
                acc[i][j][r] = 0.0f;
    for (int i = 0; i < 4; ++i) {
        copy_to_shared<16>(shared_at<bf16>(wave * 1024 + i * 8192), make_buffer(a, 256 * n), from[i]);
        copy_to_shared<16>(shared_at<bf16>(tile_bytes + wave * 1024 + i * 8192), make_buffer(b, 256 * n), from[i]);
    }
    for (index_t k = 64; k <= n; k += 128) {
        for (int half = 0; half < 2; ++half) {
            wait_copies<0>();
            block_sync();
            const index_t next = k + half * 64;
            if (next < n)
                for (int i = 0; i < 4; ++i) {
                    const i32 to = (1 - half) * 2 * tile_bytes + wave * 1024 + i * 8192;
                    copy_to_shared<16>(shared_at<bf16>(to), make_buffer(a + next, 256 * n - next), from[i]);
                    copy_to_shared<16>(shared_at<bf16>(to + tile_bytes), make_buffer(b + next, 256 * n - next), from[i]);
                }
            const Shared<bf16> x = shared_at<bf16>(half * 2 * tile_bytes) + row * 64, y = shared_at<bf16>(half * 2 * tile_bytes + tile_bytes) + column * 64;
            for (int step = 0; step < 2; ++step) {
                Vector<bf16, 8> left[8], right[4];
                for (int i = 0; i < 8; ++i)
                    left[i] = load_vector<8>(x + (fragment[step] + i * 1024));
                for (int j = 0; j < 4; ++j)
                    right[j] = load_vector<8>(y + (fragment[step] + j * 1024));
                for (int i = 0; i < 8; ++i)
                    for (int j = 0; j < 4; ++j)
                        mfma_16x16<bf16>(acc[i][j], left[i], right[j]);
            }
        }
    }
    const Global<f32> c = global<f32>(arguments.c) + ((index_t)(row + lane / 16 * 4) * 256 + column + lane % 16);
    for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 4; ++j)
            for (int r = 0; r < 4; ++r)
                c[(i * 16 + r) * 256 + j * 16] = acc[i][j][r];
}
extern "C" DSLC_EXPORT int32_t launch_gemm_loop(const gemm_loop_arguments *arguments, void *stream) {
    return launch(gemm_loop_programs, 1, 512, 4 * tile_bytes, stream, *arguments);
}
