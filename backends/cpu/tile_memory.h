// Tiles to and from tensors, reductions along a row, and atomics, for generated CPU kernels.
// A tensor's elements are addressed by an offset in elements, which is formed only for coordinates inside the tensor.
#ifndef DSLC_TILE_MEMORY_H
#define DSLC_TILE_MEMORY_H
#include "tile_bounds.h"
#include "tile_types.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define DSLC_VECTOR _Pragma("omp simd")

constexpr size_t largest(size_t a, size_t b) { return a > b ? a : b; }
template <class T> DSLC_FN T *at(u8 *scratch, size_t offset) { return (T *)__builtin_assume_aligned(scratch + offset, 64); }

// N elements from coordinate `start` on; those outside 0..stop-1, or all if not `inside`, are `pad`.
template <int N, class T>
DSLC_ONCE void load_row(T *to, const T *tensor, index_t offset, index_t stride, bool inside, index_t start, index_t stop, T pad) {
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
DSLC_ONCE void store_row(T *tensor, index_t offset, index_t stride, const T *from, index_t step, bool inside, index_t start, index_t stop) {
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

// ---------------------------------------------------------------- rows written past the caches
// A store to a line that is not in a cache fetches it first, a third of the traffic of a copy. What is larger than half of the last cache, and so pushes
// out most of what a reader would want of it, is written by stores that do not, in whole lines.
#if defined(__x86_64__) && defined(__AVX__)
enum { DSLC_LINE = 64, DSLC_STRIP = 4 * DSLC_LINE, DSLC_LEAST_PAST = 1 << 21 };
typedef float past_row __attribute__((vector_size(32)));
template <class T> DSLC_FN void put_past(T *to, const T *values) {
    for (int b = 0; b < DSLC_STRIP; b += (int)sizeof(past_row)) {
        past_row row;
        __builtin_memcpy(&row, (const char *)values + b, sizeof row);
#if defined(__clang__)
        __builtin_nontemporal_store(row, (past_row *)((char *)to + b));
#else
        __builtin_ia32_movntps256((float *)((char *)to + b), row);
#endif
    }
}
DSLC_FN void past_fence() { __builtin_ia32_sfence(); }
// Of one last-level cache, as the processor says (Intel SDM, CPUID leaf 4; AMD APM vol. 3, CPUID Fn8000_001D): sysconf of glibc 2.36 adds up all those of a
// socket of AMD's. Asked once, since a guest leaves its virtual machine for it.
static inline index_t last_level_bytes() {
    static index_t known;
    index_t bytes = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (bytes) return bytes;
    const u32 leaf = __get_cpuid_max(0x80000000u, nullptr) >= 0x8000001du ? 0x8000001du : 4;
    u32 kind, shape, sets, rest;
    for (u32 n = 0; n < 8 && __get_cpuid_count(leaf, n, &kind, &shape, &sets, &rest) && (kind & 31); ++n)
        bytes = most(bytes, (index_t)((shape >> 22) + 1) * ((shape >> 12 & 1023) + 1) * ((shape & 4095) + 1) * (index_t)(sets + 1));
    if (!bytes) bytes = (index_t)1 << 25;                    // 32 MB, an L3 of Zen 2 to 5
    __atomic_store_n(&known, bytes, __ATOMIC_RELAXED);
    return bytes;
}
template <class T> DSLC_FN bool past_caches(index_t elements) {
    const index_t bytes = elements * (index_t)sizeof(T);
    return bytes > DSLC_LEAST_PAST && bytes > last_level_bytes() / 2;
}
// Elements before the next line; more than there are if no element begins one.
template <class T> DSLC_FN index_t before_line(const T *p) {
    const index_t bytes = (index_t)(-(uintptr_t)p % DSLC_LINE);
    return bytes % (index_t)sizeof(T) ? (index_t)1 << 62 : bytes / (index_t)sizeof(T);
}
#else
template <class T> DSLC_FN bool past_caches(index_t) { return false; }
DSLC_FN void past_fence() {}
#endif

// N elements to a row of a tensor. (With strips for ordinary stores too, half of this would be left to compile, and take 5 to 20% longer.)
template <int N, class T, class F> DSLC_FN void write_row(T *to, bool past, F write) {
#if defined(__x86_64__) && defined(__AVX__)
    constexpr index_t strip = DSLC_STRIP / (index_t)sizeof(T);
    for (index_t first = 0, stop = past ? least(before_line(to), N) : N;; stop = N) {
        DSLC_VECTOR for (index_t e = first; e < stop; ++e) write(to[e], e);
        if (stop == N) return;
        for (first = stop; first + strip <= N; first += strip) {
            T values[strip];
            DSLC_VECTOR for (index_t l = 0; l < strip; ++l) write(values[l], first + l);
            put_past(to + first, values);
        }
    }
#else
    (void)past;
    DSLC_VECTOR for (index_t e = 0; e < N; ++e) write(to[e], e);
#endif
}

// ---------------------------------------------------------------- elements that take turns
// to[m][l] = from[l * ways + m] and back, for blocks of eight times as many as take turns, each of 32 bits: by transposing squares of 4 x 4 in both halves
// of a register, which are joined and parted in memory. Three levels of butterflies on 64 elements take 10 ns so
// on a Zen 3, and 21 as g++ 12 spells strided loops.
#if (defined(__clang__) || __GNUC__ >= 12) && (defined(__AVX2__) || !defined(__x86_64__))
typedef u32 turns_half __attribute__((vector_size(16)));
typedef u32 turns_row __attribute__((vector_size(32)));
DSLC_FN turns_row turns_join(const u32 *low, const u32 *high) {
    turns_half a, b;
    __builtin_memcpy(&a, low, sizeof a);
    __builtin_memcpy(&b, high, sizeof b);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
}
DSLC_FN void turns_part(u32 *low, u32 *high, turns_row x) {
    turns_half a = __builtin_shufflevector(x, x, 0, 1, 2, 3), b = __builtin_shufflevector(x, x, 4, 5, 6, 7);
    __builtin_memcpy(low, &a, sizeof a);
    __builtin_memcpy(high, &b, sizeof b);
}
DSLC_FN void turns_squares(turns_row *r) {
    turns_row a = __builtin_shufflevector(r[0], r[1], 0, 8, 1, 9, 4, 12, 5, 13), b = __builtin_shufflevector(r[0], r[1], 2, 10, 3, 11, 6, 14, 7, 15);
    turns_row c = __builtin_shufflevector(r[2], r[3], 0, 8, 1, 9, 4, 12, 5, 13), d = __builtin_shufflevector(r[2], r[3], 2, 10, 3, 11, 6, 14, 7, 15);
    r[0] = __builtin_shufflevector(a, c, 0, 1, 8, 9, 4, 5, 12, 13), r[1] = __builtin_shufflevector(a, c, 2, 3, 10, 11, 6, 7, 14, 15);
    r[2] = __builtin_shufflevector(b, d, 0, 1, 8, 9, 4, 5, 12, 13), r[3] = __builtin_shufflevector(b, d, 2, 3, 10, 11, 6, 7, 14, 15);
}
template <int ways, class T> DSLC_FN void deinterleave(T (&to)[ways][8], const T *from) {
    static_assert(sizeof(T) == 4 && ways % 4 == 0, "rows of 32 bits");
    const u32 *p = (const u32 *)from;
    for (int m = 0; m < ways; m += 4) {
        turns_row r[4];
        for (int l = 0; l < 4; ++l) r[l] = turns_join(p + l * ways + m, p + (l + 4) * ways + m);
        turns_squares(r);
        __builtin_memcpy(to[m], r, sizeof r);
    }
}
template <int ways, class T> DSLC_FN void interleave(T *to, const T (&from)[ways][8]) {
    u32 *p = (u32 *)to;
    for (int m = 0; m < ways; m += 4) {
        turns_row r[4];
        __builtin_memcpy(r, from[m], sizeof r);
        turns_squares(r);
        for (int l = 0; l < 4; ++l) turns_part(p + l * ways + m, p + (l + 4) * ways + m, r[l]);
    }
}
#else
template <int ways, class T> DSLC_FN void deinterleave(T (&to)[ways][8], const T *from) {
    for (int m = 0; m < ways; ++m)
        for (int l = 0; l < 8; ++l) to[m][l] = from[l * ways + m];
}
template <int ways, class T> DSLC_FN void interleave(T *to, const T (&from)[ways][8]) {
    for (int m = 0; m < ways; ++m)
        for (int l = 0; l < 8; ++l) to[l * ways + m] = from[m][l];
}
#endif

// The lines of a block that will be written some time later. On a Zen 3, a Walsh-Hadamard transform of rows of 1024 f32 takes half the time so.
template <int ways, class T> DSLC_FN void fetch_block(const T *p) {
    for (int b = 0; b < ways * 8 * (int)sizeof(T); b += 64) __builtin_prefetch((const char *)p + b, 1);
}

// ---------------------------------------------------------------- reductions along one axis
// Sixteen partial results keep the adders busy and make the order of additions the same on every machine; in long rows, twice as many of at most 32 bits.
enum { DSLC_LANES = 16, DSLC_LONG_ROW = 256 };
template <class T, int N, class F> DSLC_FN T reduce_sum(F element) {
    if constexpr (N < DSLC_LANES) {
        T total = 0;
        for (index_t c = 0; c < N; ++c) total += element(c);
        return total;
    }
    constexpr index_t lanes = sizeof(T) <= 4 && N >= DSLC_LONG_ROW ? 2 * DSLC_LANES : DSLC_LANES;
    T lane[lanes] = {};
    for (index_t c = 0; c + lanes <= N; c += lanes)
        DSLC_VECTOR for (index_t l = 0; l < lanes; ++l) lane[l] += element(c + l);
    for (index_t c = N / lanes * lanes; c < N; ++c) lane[c % lanes] += element(c);
    if constexpr (lanes > DSLC_LANES)
        DSLC_VECTOR for (int l = 0; l < DSLC_LANES; ++l) lane[l] += lane[l + DSLC_LANES];
    DSLC_VECTOR for (int l = 0; l < 8; ++l) lane[l] += lane[l + 8];
    DSLC_VECTOR for (int l = 0; l < 4; ++l) lane[l] += lane[l + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}
// The number of one bits of N integers. Bytes are counted in bytes, a register of them at a time, and added up before one can overflow; with popcounts of vectors there is
// no need. (64 bits at a time by popcnt, a Zen 3 does 230 G operations on bits a second; 630 so.)
#if defined(__AVX512VPOPCNTDQ__)
template <class T, int N, class F> DSLC_FN i32 sum_bits(F element) {
    return reduce_sum<i32, N>([&](index_t c) { return popcount(element(c)); });
}
#else
#if defined(__AVX2__)
enum { bits_width = 32 };
#else
enum { bits_width = 16 };
#endif
typedef u64 bits_row __attribute__((vector_size(bits_width)));
DSLC_FN bits_row bits_of_bytes(bits_row x) {
#if defined(__AVX2__)
    typedef char row __attribute__((vector_size(32)));
    const row of_nibble = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    const bits_row low = bits_row{} + 0x0f0f0f0f0f0f0f0fu;
    return (bits_row)(__builtin_ia32_pshufb256(of_nibble, (row)(x & low)) + __builtin_ia32_pshufb256(of_nibble, (row)(x >> 4 & low)));
#else
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
#endif
}
DSLC_FN i32 sum_of_bytes(bits_row x) {
    x = (x & 0x00ff00ff00ff00ffu) + (x >> 8 & 0x00ff00ff00ff00ffu);
    u64 sums = 0;                                            // four, below 2^16 together
    for (int lane = 0; lane < bits_width / 8; ++lane) sums += x[lane];
    return (i32)(sums * 0x0001000100010001u >> 48);
}
template <class T, int N, class F> DSLC_FN i32 sum_bits(F element) {
    constexpr index_t many = bits_width / (index_t)sizeof(T), whole = N / many * many;
    i32 total = 0;
    for (index_t first = 0; first < whole; first += 31 * many) {                // 31 times 8 bits fit a byte
        const index_t stop = least(first + 31 * many, whole);
        bits_row counts = {};
        for (index_t c = first; c < stop; c += many) {
            T block[many];
            DSLC_VECTOR for (index_t l = 0; l < many; ++l) block[l] = element(c + l);
            bits_row row;
            __builtin_memcpy(&row, block, sizeof row);
            counts += bits_of_bytes(row);                    // no byte carries into the next
        }
        total += sum_of_bytes(counts);
    }
    for (index_t c = whole; c < N; ++c) total += popcount(element(c));
    return total;
}
#endif
// The extreme element of a row in vectors: each lane keeps the best of what it saw, and when it saw it. Of selections between variables g++ 12 makes branches
// over masked stores, which take three times as long.
#if defined(__clang__)
#define DSLC_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define DSLC_NO_UNROLL _Pragma("GCC unroll 1")
#endif
#if defined(__AVX2__)
enum { extreme_bytes = 32 };
#else
enum { extreme_bytes = 16 };
#endif
template <bool least, class V> DSLC_FN auto extreme_better(V x, V y) {
    if constexpr (least) return x < y;
    else return x > y;
}
template <class T, bool least> struct Extremes {
    static const bool suits = sizeof(T) >= 4;
    static const int lanes = extreme_bytes / (int)sizeof(T);
    typedef T row __attribute__((vector_size(extreme_bytes)));
    typedef decltype(row{} < row{}) mask;

    // x where it is better, else y, that is, y where x is NaN; the same as a selection, which g++ 12 does not see.
    static inline __attribute__((always_inline)) row best(row x, row y) {
#if defined(__AVX2__) && !defined(__clang__)
        if constexpr ((T)0.5 == 0.5 && sizeof(T) == 4)
            return least ? __builtin_ia32_minps256(x, y) : __builtin_ia32_maxps256(x, y);
#endif
        return extreme_better<least>(x, y) ? x : y;
    }
    static constexpr T worst() {
        if constexpr ((T)0.5 == 0.5) return least ? (T)__builtin_inf() : -(T)__builtin_inf();
        constexpr bool is_signed = (T)-1 < (T)0;
        constexpr T high = (T)(is_signed ? ((u64)1 << (8 * sizeof(T) - 1)) - 1 : ~(u64)0);
        return least ? high : (T)(is_signed ? -high - 1 : 0);
    }
};
// The best of n numbers, n a power of two.
template <bool least, int n, class T> DSLC_FN T extreme_fold(const T *of) {
    if constexpr (n == 1) {
        return of[0];
    } else {
        T half[n / 2];
        DSLC_VECTOR for (int l = 0; l < n / 2; ++l) half[l] = extreme_better<least>(of[l + n / 2], of[l]) ? of[l + n / 2] : of[l];
        return extreme_fold<least, n / 2>(half);
    }
}
// The lowest column of the best of N elements, which is left in `found`.
template <bool least, class T, int N, class F> DSLC_FN index_t extreme_of(F element, T &found) {
    typedef Extremes<T, least> E;
    typedef typename E::row row;
    typedef typename E::mask mask;
    typedef __typeof__(mask{}[0] + 0) turn;
    constexpr int lanes = E::lanes, step = 2 * lanes;
    row best[2] = {row{} + E::worst(), row{} + E::worst()};
    mask seen[2] = {}, now = {};
    // g++ 12 would unroll all of it, move the turns behind what follows, and keep every vector for them in memory.
    DSLC_NO_UNROLL for (index_t c = 0; c + step <= N; c += step, now += step) {
        T block[step];
        DSLC_VECTOR for (index_t l = 0; l < step; ++l) block[l] = element(c + l);
        for (int j = 0; j < 2; ++j) {
            row x;
            __builtin_memcpy(&x, block + j * lanes, sizeof x);
            seen[j] = extreme_better<least>(x, best[j]) ? now : seen[j];
            best[j] = E::best(x, best[j]);
        }
    }
    T values[step];
    turn columns[step];
    __builtin_memcpy(values, best, sizeof values);
    __builtin_memcpy(columns, seen, sizeof columns);
    found = extreme_fold<least, step>(values);
    DSLC_VECTOR for (int l = 0; l < step; ++l) columns[l] = values[l] == found ? columns[l] + l : (turn)0x7fffffff;
    index_t where = extreme_fold<true, step>(columns);
    for (index_t c = N / step * step; c < N; ++c) {
        const T x = element(c);
        if (extreme_better<least>(x, found)) found = x, where = c;
    }
    if (found != E::worst()) return where;
    for (index_t c = 0; c < N; ++c)
        if (element(c) == found) return 0;
    found = element(0);                                      // NaN, as all of them
    return 0;
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
    /* The lowest index that attains it; NaN counts as the worst, so 0 if all are NaN or infinitely bad. What it is, in `best`. */ \
    template <class T, int N, class F> DSLC_FN index_t arg_##NAME(F element, T &best) {                               \
        constexpr bool least = 0 BETTER 1;                                                                            \
        if constexpr (Extremes<T, least>::suits && N >= 2 * Extremes<T, least>::lanes)                                \
            return extreme_of<least, T, N>(element, best);                                                              \
        best = NAME<T, N>(element);                                                                                   \
        if constexpr ((T)0.5 == 0.5)                                                                                  \
            if (best == (least ? 1 : -1) * (T)__builtin_inf()) return 0;                                              \
        for (index_t c = 0; c < N; ++c)                                                                               \
            if (element(c) == best) return c;                                                                         \
        return 0;                                                                                                     \
    }                                                                                                                 \
    template <class T, int N, class F> DSLC_FN index_t arg_##NAME(F element) {                                        \
        T best;                                                                                                       \
        return arg_##NAME<T, N>(element, best);                                                                       \
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
