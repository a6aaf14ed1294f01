// Two waves copy 4 rows each of BYTES per lane, lanes in reverse, and each worker then reads what the other wave copied.
#include "tile_hip.h"
struct copy_to_shared_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(128, 1) void copy_to_shared_programs(PARAMETER copy_to_shared_arguments arguments) {
    constexpr int each = BYTES / 4;
    const Global<const u32> a = global<const u32>(arguments.a);
    const Global<u32> c = global<u32>(arguments.c);
    const i32 wave = worker() / 64, lane = worker() % 64;
    for (int row = 0; row < 4; ++row)
        copy_to_shared<BYTES>(shared_at<u32>((wave * 4 + row) * 64 * BYTES), a + ((wave * 4 + row) * 64 + 63 - lane) * each);
    wait_copies<0>();
    block_sync();
    const Shared<u32> other = shared_at<u32>((1 - wave) * 4 * 64 * BYTES);
    for (int i = 0; i < 4 * each; ++i)
        c[(1 - wave) * 4 * 64 * each + i * 64 + lane] = other[i * 64 + lane];
}
extern "C" DSLC_EXPORT int32_t launch_copy_to_shared(const copy_to_shared_arguments *arguments, void *stream) {
    return launch(copy_to_shared_programs, 1, 128, 2 * 4 * 64 * BYTES, stream, *arguments);
}
