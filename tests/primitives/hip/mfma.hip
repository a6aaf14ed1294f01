// One matrix instruction: c (SIZE x SIZE) += a (SIZE x K) b (K x SIZE), all row by row in global memory. K = ELEMENTS * 64 / SIZE.
#include "tile_hip.h"
struct mfma_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(64, 1) void mfma_programs(PARAMETER mfma_arguments arguments) {
    constexpr int depth = ELEMENTS * 64 / SIZE, slots = SIZE * SIZE / 64;
    const Global<const TYPE_A> a = global<const TYPE_A>(arguments.a);
    const Global<const TYPE_B> b = global<const TYPE_B>(arguments.b);
    const Global<TYPE_D> c = global<TYPE_D>(arguments.c);
    const i32 i = worker() % SIZE, group = worker() / SIZE;
    Vector<TYPE_A, ELEMENTS> x;
    Vector<TYPE_B, ELEMENTS> y;
    for (int e = 0; e < ELEMENTS; ++e) {
        x[e] = a[i * depth + group * ELEMENTS + e];
        y[e] = b[(group * ELEMENTS + e) * SIZE + i];
    }
    TYPE_D d[slots];
    for (int r = 0; r < slots; ++r)
        d[r] = c[ROW(r, group) * SIZE + i];
    order_fence();
    priority<1>();
    MULTIPLY(d, x, y);
    priority<0>();
    for (int r = 0; r < slots; ++r)
        c[ROW(r, group) * SIZE + i] = d[r];
}
extern "C" DSLC_EXPORT int32_t launch_mfma(const mfma_arguments *arguments, void *stream) {
    return launch(mfma_programs, 1, 64, 0, stream, *arguments);
}
