// Elementary functions of f32 and conversions: nine rows of n.
#include "tile_hip.h"
struct functions_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(64, 0) void functions_programs(PARAMETER functions_arguments arguments) {
    const index_t i = block_index() * 64 + worker(), n = arguments.n;
    if (i >= n)
        return;
    const f32 x = global<const f32>(arguments.a)[i];
    const Global<f32> c = global<f32>(arguments.c) + i;
    c[0] = exp2_(x);
    c[n] = exp_(x);
    c[2 * n] = log2_(x);
    c[3 * n] = log_(x);
    c[4 * n] = sigmoid_(x);
    c[5 * n] = rsqrt_(x);
    c[6 * n] = tanh_(x);
    c[7 * n] = widen(f16_from(x));
    c[8 * n] = widen(bf16_from(x));
}
extern "C" DSLC_EXPORT int32_t launch_functions(const functions_arguments *arguments, void *stream) {
    return launch(functions_programs, (arguments->n + 63) / 64, 64, 0, stream, *arguments);
}
