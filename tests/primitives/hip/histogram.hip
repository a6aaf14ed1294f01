// Atomic sums in shared memory.
#include "tile_hip.h"
struct histogram_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(128, 1) void histogram_programs(PARAMETER histogram_arguments arguments) {
    const Shared<TYPE> s = shared_at<TYPE>(0);
    if (worker() < 8)
        s[worker()] = (TYPE)0;
    block_sync();
    atomic_add(s + (index_t)global<const i32>(arguments.b)[worker()], (TYPE)global<const TYPE>(arguments.a)[worker()]);
    block_sync();
    if (worker() < 8)
        global<TYPE>(arguments.c)[worker()] = s[worker()];
}
extern "C" DSLC_EXPORT int32_t launch_histogram(const histogram_arguments *arguments, void *stream) {
    return launch(histogram_programs, 1, 128, 64, stream, *arguments);
}
