// Waves that meet out of step: the second half waits once before, the first half once after. What they exchange goes over block_sync.
#include "tile_hip.h"
struct half_sync_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(256, 1) void half_sync_programs(PARAMETER half_sync_arguments arguments) {
    const Shared<u32> s = shared_at<u32>(0);
    const bool second = worker() >= 128;
    if (second)
        half_sync();
    const u32 x = global<const u32>(arguments.a)[worker()];
    s[worker()] = x + 1;
    if (!second)
        half_sync();
    MEET();
    global<u32>(arguments.c)[worker()] = s[255 - worker()];
}
extern "C" DSLC_EXPORT int32_t launch_half_sync(const half_sync_arguments *arguments, void *stream) {
    return launch(half_sync_programs, 1, 256, 1024, stream, *arguments);
}
