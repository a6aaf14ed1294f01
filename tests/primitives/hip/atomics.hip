// c[0..7] += a, c[8..15] = min, c[16..23] = max over all workers of two blocks; b picks the place.
#include "tile_hip.h"
struct atomics_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(256, 2) void atomics_programs(PARAMETER atomics_arguments arguments) {
    const index_t i = block_index() * 256 + worker();
    const TYPE x = global<const TYPE>(arguments.a)[i];
    const i32 place = global<const i32>(arguments.b)[i];
    const Global<TYPE> c = global<TYPE>(arguments.c);
    atomic_add(c + place, x);
    atomic_min(c + 8 + place, x);
    atomic_max(c + 16 + place, x);
}
extern "C" DSLC_EXPORT int32_t launch_atomics(const atomics_arguments *arguments, void *stream) {
    return launch(atomics_programs, 2, 256, 0, stream, *arguments);
}
