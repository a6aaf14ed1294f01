// Copies through a buffer: zeros land for what is outside of its n elements.
#include "tile_hip.h"
struct copy_buffer_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(64, 1) void copy_buffer_programs(PARAMETER copy_buffer_arguments arguments) {
    constexpr int each = BYTES / 2;
    const Buffer<u16> a = make_buffer(global<const u16>(arguments.a), arguments.n);
    const Global<u16> c = global<u16>(arguments.c);
    copy_to_shared<BYTES>(shared_at<u16>(0), a, (worker() - 8) * each);
    wait_copies<0>();
    block_sync();
    const Shared<u16> s = shared_at<u16>(0);
    for (int i = 0; i < each; ++i)
        c[i * 64 + worker()] = s[i * 64 + worker()];
}
extern "C" DSLC_EXPORT int32_t launch_copy_buffer(const copy_buffer_arguments *arguments, void *stream) {
    return launch(copy_buffer_programs, 1, 64, 64 * BYTES, stream, *arguments);
}
