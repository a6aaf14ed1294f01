// Tiles to and from tensors, reductions along a row, and atomics, for generated CPU kernels.
// A tensor's elements are addressed by an offset in elements, which is formed only for coordinates inside the tensor.
#ifndef DSLC_TILE_MEMORY_H
#define DSLC_TILE_MEMORY_H
#include "tile_bounds.h"
#include "tile_types.h"

#define DSLC_VECTOR _Pragma("omp simd")

constexpr size_t largest(size_t a, size_t b) { return a > b ? a : b; }
template <class T> DSLC_FN T *at(u8 *scratch, size_t offset) { return (T *)__builtin_assume_aligned(scratch + offset, 64); }

// N elements from coordinate `start` on; those outside 0..stop-1, or all if not `inside`, are `pad`.
template <int N, class T>
DSLC_FN void load_row(T *to, const T *tensor, index_t offset, index_t stride, bool inside, index_t start, index_t stop, T pad) {
    const index_t first = inside ? least(most(-start, 0), N) : N;
    const index_t last = inside ? most(least(stop - start, N), first) : N;
    if (first == 0 && last == N) {
        const T *from = tensor + offset;
        if (stride == 1)
            __builtin_memcpy(to, from, N * sizeof(T));
        else
            for (index_t c = 0; c < N; ++c) to[c] = from[c * stride];
        return;
    }
    for (index_t c = 0; c < first; ++c) to[c] = pad;
    for (index_t c = first; c < last; ++c) to[c] = tensor[offset + c * stride];
    for (index_t c = last; c < N; ++c) to[c] = pad;
}
// The same where every coordinate is proved inside.
template <int N, class T> DSLC_FN void load_row(T *to, const T *tensor, index_t offset, index_t stride) {
    const T *from = tensor + offset;
    if (stride == 1)
        __builtin_memcpy(to, from, N * sizeof(T));
    else
        for (index_t c = 0; c < N; ++c) to[c] = from[c * stride];
}

// N elements to coordinate `start` on; those outside 0..stop-1 are dropped. `step` is 0 for one value everywhere.
template <int N, class T>
DSLC_FN void store_row(T *tensor, index_t offset, index_t stride, const T *from, index_t step, bool inside, index_t start, index_t stop) {
    if (!inside) return;
    const index_t first = most(-start, 0), last = least(stop - start, N);
    if (stride == 1 && step == 1 && first == 0 && last == N) {
        __builtin_memcpy(tensor + offset, from, N * sizeof(T));
        return;
    }
    for (index_t c = first; c < last; ++c) tensor[offset + c * stride] = from[c * step];
}
template <int N, class T> DSLC_FN void store_row(T *tensor, index_t offset, index_t stride, const T *from, index_t step) {
    if (stride == 1 && step == 1)
        __builtin_memcpy(tensor + offset, from, N * sizeof(T));
    else
        for (index_t c = 0; c < N; ++c) tensor[offset + c * stride] = from[c * step];
}

// ---------------------------------------------------------------- reductions along one axis
// Sixteen partial results keep the adders busy and make the order of additions the same on every machine.
enum { DSLC_LANES = 16 };
template <class T, int N, class F> DSLC_FN T reduce_sum(F element) {
    if constexpr (N < DSLC_LANES) {
        T total = 0;
        for (index_t c = 0; c < N; ++c) total += element(c);
        return total;
    }
    T lane[DSLC_LANES] = {};
    for (index_t c = 0; c + DSLC_LANES <= N; c += DSLC_LANES)
        DSLC_VECTOR for (index_t l = 0; l < DSLC_LANES; ++l) lane[l] += element(c + l);
    for (index_t c = N / DSLC_LANES * DSLC_LANES; c < N; ++c) lane[c % DSLC_LANES] += element(c);
    DSLC_VECTOR for (int l = 0; l < 8; ++l) lane[l] += lane[l + 8];
    DSLC_VECTOR for (int l = 0; l < 4; ++l) lane[l] += lane[l + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}
// NaN loses; only a row of nothing but NaN gives NaN.
#define DSLC_EXTREMUM(NAME, COMBINE, BETTER)                                                                          \
    template <class T, int N, class F> DSLC_FN T NAME(F element) {                                                    \
        if constexpr (N < DSLC_LANES) {                                                                               \
            T best = element(0);                                                                                      \
            for (index_t c = 1; c < N; ++c) best = COMBINE<T>(best, element(c));                                      \
            return best;                                                                                              \
        }                                                                                                             \
        /* Two at once: a mere copy of the first would go by way of memory (16 elements: 24 ns on a Zen 3, 5 ns so). */\
        constexpr index_t lanes = N >= 2 * DSLC_LANES ? DSLC_LANES : DSLC_LANES / 2;                                  \
        T lane[lanes];                                                                                                \
        DSLC_VECTOR for (index_t l = 0; l < lanes; ++l) lane[l] = COMBINE<T>(element(l), element(lanes + l));         \
        for (index_t c = 2 * lanes; c + lanes <= N; c += lanes)                                                       \
            DSLC_VECTOR for (index_t l = 0; l < lanes; ++l) lane[l] = COMBINE<T>(lane[l], element(c + l));            \
        for (index_t c = N / lanes * lanes; c < N; ++c) lane[c % lanes] = COMBINE<T>(lane[c % lanes], element(c));    \
        if constexpr (lanes == DSLC_LANES)                                                                            \
            DSLC_VECTOR for (int l = 0; l < 8; ++l) lane[l] = COMBINE<T>(lane[l], lane[l + 8]);                       \
        DSLC_VECTOR for (int l = 0; l < 4; ++l) lane[l] = COMBINE<T>(lane[l], lane[l + 4]);                           \
        return COMBINE<T>(COMBINE<T>(lane[0], lane[2]), COMBINE<T>(lane[1], lane[3]));                                \
    }                                                                                                                 \
    /* The lowest index that attains it; NaN counts as the worst, so 0 if all are NaN or infinitely bad. */           \
    template <class T, int N, class F> DSLC_FN index_t arg_##NAME(F element) {                                        \
        const T best = NAME<T, N>(element);                                                                           \
        if constexpr ((T)0.5 == 0.5)                                                                                  \
            if (best == (0 BETTER 1 ? 1 : -1) * (T)__builtin_inf()) return 0;                                         \
        for (index_t c = 0; c < N; ++c)                                                                               \
            if (element(c) == best) return c;                                                                         \
        return 0;                                                                                                     \
    }
DSLC_EXTREMUM(reduce_min, minimum, <)
DSLC_EXTREMUM(reduce_max, maximum, >)
#undef DSLC_EXTREMUM

// ---------------------------------------------------------------- atomics
template <class T> DSLC_FN void atomic_add(T *p, T v) { __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
template <class T, class F> DSLC_FN void atomic_update(T *p, F change) {
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(p, &old, change(old), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}
template <class F> DSLC_FN void atomic_update(f32 *p, F change) {
    atomic_update((u32 *)p, [&](u32 old) { return bits_of(change(f32_of(old))); });
}
DSLC_FN void atomic_add(f32 *p, f32 v) { atomic_update(p, [=](f32 old) { return old + v; }); }
template <class T> DSLC_FN void atomic_min(T *p, T v) { atomic_update(p, [=](T old) { return minimum(old, v); }); }
template <class T> DSLC_FN void atomic_max(T *p, T v) { atomic_update(p, [=](T old) { return maximum(old, v); }); }

// ---------------------------------------------------------------- scatters
// Whether the offsets that are not negative are all different; `table` holds `slots` (a power of two, at least 2n) entries.
DSLC_FN bool distinct(const index_t *offsets, index_t n, index_t *table, index_t slots) {
    for (index_t s = 0; s < slots; ++s) table[s] = -1;
    for (index_t e = 0; e < n; ++e) {
        if (offsets[e] < 0) continue;
        // Fibonacci hashing: 2^64 / golden ratio (Knuth, TAOCP 3, 6.4).
        u64 s = ((u64)offsets[e] * 0x9E3779B97F4A7C15u) >> 20;
        for (;; ++s) {
            index_t &slot = table[s & (u64)(slots - 1)];
            if (slot == offsets[e]) return false;
            if (slot < 0) { slot = offsets[e]; break; }
        }
    }
    return true;
}
#endif
