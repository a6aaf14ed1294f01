// Copies of a wave land in order: with one outstanding, the first two are there, and the wave itself may read them.
#include "tile_hip.h"
struct copies_in_order_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(64, 1) void copies_in_order_programs(PARAMETER copies_in_order_arguments arguments) {
    const Global<const u32> a = global<const u32>(arguments.a);
    const Global<u32> c = global<u32>(arguments.c);
    for (int row = 0; row < 3; ++row)
        copy_to_shared<4>(shared_at<u32>(row * 256), a + row * 64 + worker());
    wait_copies<LEFT>();
    const Shared<u32> s = shared_at<u32>(0);
    c[worker()] = s[63 - worker()];
    c[64 + worker()] = s[127 - worker()];
    wait_copies<0>();
    c[128 + worker()] = s[191 - worker()];
}
extern "C" DSLC_EXPORT int32_t launch_copies_in_order(const copies_in_order_arguments *arguments, void *stream) {
    return launch(copies_in_order_programs, 1, 64, 768, stream, *arguments);
}
