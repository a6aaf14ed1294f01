// x of lane ^ mask for eight masks, and of the lane that b names.
#include "tile_hip.h"
struct shuffle_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(128, 1) void shuffle_programs(PARAMETER shuffle_arguments arguments) {
    const TYPE x = global<const TYPE>(arguments.a)[worker()];
    const i32 from = global<const i32>(arguments.b)[worker()];
    const Global<TYPE> c = global<TYPE>(arguments.c) + worker();
    c[0] = shuffle_xor(x, 1);
    c[128] = shuffle_xor(x, 2);
    c[256] = shuffle_xor(x, 3);
    c[384] = shuffle_xor(x, 4);
    c[512] = shuffle_xor(x, 8);
    c[640] = shuffle_xor(x, 16);
    c[768] = shuffle_xor(x, lanes / 2);
    c[896] = shuffle_xor(x, (i32)arguments.n);
    c[1024] = shuffle(x, from % lanes);
}
extern "C" DSLC_EXPORT int32_t launch_shuffle(const shuffle_arguments *arguments, void *stream) {
    return launch(shuffle_programs, 1, 128, 0, stream, *arguments);
}
