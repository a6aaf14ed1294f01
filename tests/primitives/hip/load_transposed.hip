// Sixteen rows of 16 elements; each group of 16 lanes takes 4 of the rows, and each lane a column of them.
#include "tile_hip.h"
struct load_transposed_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(64, 1) void load_transposed_programs(PARAMETER load_transposed_arguments arguments) {
    const Global<const u16> a = global<const u16>(arguments.a);
    const Shared<u16> s = shared_at<u16>(0);
    store_vector(s + worker() * 4, load_vector<4>(a + worker() * 4));
    block_sync();
    const Vector<u16, 4> x = load_transposed(s + worker() * 4);
    store_vector(global<u16>(arguments.c) + worker() * 4, x);
}
extern "C" DSLC_EXPORT int32_t launch_load_transposed(const load_transposed_arguments *arguments, void *stream) {
    return launch(load_transposed_programs, 1, 64, 512, stream, *arguments);
}
