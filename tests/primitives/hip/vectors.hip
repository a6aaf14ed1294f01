// Vectors of BYTES through shared memory to another worker and back to global memory.
#include "tile_hip.h"
struct vectors_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(256, 2) void vectors_programs(PARAMETER vectors_arguments arguments) {
    constexpr int each = BYTES / 2;
    const index_t first = block_index() * 256;
    const Shared<u16> s = shared_at<u16>(1024);
    store_vector(s + worker() * each, load_vector<each>(global<const u16>(arguments.a) + (first + worker()) * each));
    block_sync();
    store_vector(global<u16>(arguments.c) + (first + worker()) * each, load_vector<each>(s + (255 - worker()) * each));
}
extern "C" DSLC_EXPORT int32_t launch_vectors(const vectors_arguments *arguments, void *stream) {
    return launch(vectors_programs, 2, 256, 1024 + 256 * BYTES, stream, *arguments);
}
