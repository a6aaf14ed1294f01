// Loads of ELEMENTS u16 from a buffer of n elements, from a little before its start to a little behind its end.
#include "tile_hip.h"
struct buffer_load_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(64, 1) void buffer_load_programs(PARAMETER buffer_load_arguments arguments) {
    const Buffer<u16> a = make_buffer(global<const u16>(arguments.a), arguments.n);
    const Vector<u16, ELEMENTS> x = buffer_load<ELEMENTS>(a, (worker() - 8) * ELEMENTS);
    store_vector(global<u16>(arguments.c) + worker() * ELEMENTS, x);
}
extern "C" DSLC_EXPORT int32_t launch_buffer_load(const buffer_load_arguments *arguments, void *stream) {
    return launch(buffer_load_programs, 1, 64, 0, stream, *arguments);
}
