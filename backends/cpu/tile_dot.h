// Tile product: acc(M, N) = (accumulate ? acc : 0) + a(M, K) b(K, N), for one core.
//
// The classic three levels (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008), less what tiles do
// not need: K is cut so that a panel of b fits in L1; the panel is packed, converted to the arithmetic type and used by every
// strip of a; a strip times a panel is accumulated in registers. a is read by scalar broadcasts, so it needs no packing, only a
// copy where its type is narrow or its rows lie so far apart that they fall into the same cache sets. What many programs read is
// packed for all of them by the launcher (tile_panels.h). Sums run over k in one fixed order: results are the same on every run.
#ifndef DSLC_TILE_DOT_H
#define DSLC_TILE_DOT_H

#include "tile_types.h"

// ---------------------------------------------------------------- vectors
// Strip height and panel width are such that accumulators, one row of the panel and one broadcast fill the register file,
// with at least 8 independent accumulators (latency 4 times 2 multiply-adds a cycle) in a full strip.
#if defined(__AVX512F__)
#define DSLC_VECTOR_BYTES 64       // 32 registers: 12 x 2 accumulators
enum { dot_strip = 12, dot_vectors = 2 };
#elif defined(__AVX2__)
#define DSLC_VECTOR_BYTES 32       // 16 registers: 6 x 2
enum { dot_strip = 6, dot_vectors = 2 };
#elif defined(__aarch64__)
#define DSLC_VECTOR_BYTES 16       // 32 registers: 6 x 4
enum { dot_strip = 6, dot_vectors = 4 };
#else
#define DSLC_VECTOR_BYTES 16       // 16 registers: 6 x 2
enum { dot_strip = 6, dot_vectors = 2 };
#endif
enum { dot_depth = 256 };          // units of k in a panel: 256 x 16 x 4 bytes are half of a 32 KiB L1
// Up to this M a row-major panel of b is read in place: too few strips repay its copy (measured at M = 16: 95 against 86 GFLOP/s).
enum { dot_unpacked_rows = 32 };
enum { dot_wide_rows = 64, dot_wide_depth = 8 };            // rows of b that are packed together, each along all panels
// Strides from which an operand is copied. Lines 4096 bytes apart share a set of an 8-way 32 KiB L1; a strip of rows 2048 bytes
// apart already fills two sets beside the panel (measured: 128 x 128 x 256 f32 out of 1024-wide matrices 40 GFLOP/s in place, 90
// copied).
static const index_t dot_far_bytes = 2048;
DSLC_FN bool dot_far(index_t stride, size_t element) { return (stride < 0 ? -stride : stride) * (index_t)element >= dot_far_bytes; }

typedef f32 dot_f32 __attribute__((vector_size(DSLC_VECTOR_BYTES)));
typedef f64 dot_f64 __attribute__((vector_size(DSLC_VECTOR_BYTES)));
typedef i32 dot_i32 __attribute__((vector_size(DSLC_VECTOR_BYTES)));
typedef i16 dot_i16 __attribute__((vector_size(DSLC_VECTOR_BYTES)));
typedef u32 dot_quad __attribute__((vector_size(16)));

template <class T> struct DotVector;
template <> struct DotVector<f32> { typedef dot_f32 type; };
template <> struct DotVector<f64> { typedef dot_f64 type; };
template <> struct DotVector<i32> { typedef dot_i32 type; };
template <class T> struct DotWidth { static const int value = DSLC_VECTOR_BYTES / (int)sizeof(T); };

template <class V, class T> DSLC_FN V dot_load(const T *p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);                       // tiles are aligned to their elements only
    return v;
}
// x - 0 is x for every x, -0 included, so this is only a broadcast.
template <class V, class T> DSLC_FN V dot_broadcast(T x) { return x - V{}; }

// x * y + z, fused where the machine can: the dot, alone, may be contracted.
DSLC_FN dot_f32 dot_multiply_add(dot_f32 x, dot_f32 y, dot_f32 z) {
#if defined(__clang__)
#pragma clang fp contract(fast)
    return x * y + z;
#elif defined(__AVX512F__)
    return __builtin_ia32_vfmaddps512_mask(x, y, z, -1, 4);  // 4: the current rounding mode
#elif defined(__AVX2__) && defined(__FMA__)
    return __builtin_ia32_vfmaddps256(x, y, z);
#elif defined(__aarch64__)
    return __builtin_aarch64_fmav4sf(x, y, z);
#else
    return x * y + z;
#endif
}
DSLC_FN dot_f64 dot_multiply_add(dot_f64 x, dot_f64 y, dot_f64 z) {
#if defined(__clang__)
#pragma clang fp contract(fast)
    return x * y + z;
#elif defined(__AVX512F__)
    return __builtin_ia32_vfmaddpd512_mask(x, y, z, -1, 4);
#elif defined(__AVX2__) && defined(__FMA__)
    return __builtin_ia32_vfmaddpd256(x, y, z);
#elif defined(__aarch64__)
    return __builtin_aarch64_fmav2df(x, y, z);
#else
    return x * y + z;
#endif
}
// Each i32 lane of x and y is a pair of i16: two products to a lane. Exact: two products of bytes are below 2^17.
DSLC_FN dot_i32 dot_multiply_add(dot_i32 x, dot_i32 y, dot_i32 z) {
#if defined(__AVX512F__) && defined(__AVX512VNNI__) && !defined(__clang__)
    return __builtin_ia32_vpdpwssd_v16si(z, x, y);
#elif defined(__AVX512BW__) && !defined(__clang__)
    return z + (dot_i32)__builtin_ia32_pmaddwd512_mask((dot_i16)x, (dot_i16)y, dot_i32{}, -1);
#elif defined(__AVX512VNNI__)
    __asm__("vpdpwssd %2, %1, %0" : "+v"(z) : "v"(x), "v"(y));                  // clang's builtin changed its types over time
    return z;
#elif defined(__AVX512BW__)
    return z + (dot_i32)__builtin_ia32_pmaddwd512((dot_i16)x, (dot_i16)y);
#elif defined(__AVX2__) && !defined(__AVX512F__)
    return z + (dot_i32)__builtin_ia32_pmaddwd256((dot_i16)x, (dot_i16)y);
#elif defined(__SSE2__) && !defined(__AVX512F__)
    return z + (dot_i32)__builtin_ia32_pmaddwd128((dot_i16)x, (dot_i16)y);
#else
    return z + (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}
DSLC_FN f32 dot_multiply_add(f32 x, f32 y, f32 z) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(x, y, z);
#else
    return x * y + z;
#endif
}
DSLC_FN f64 dot_multiply_add(f64 x, f64 y, f64 z) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fma(x, y, z);
#else
    return x * y + z;
#endif
}
DSLC_FN i32 dot_multiply_add(i32 x, i32 y, i32 z) { return (i32)((u32)x * (u32)y + (u32)z); }

// ---------------------------------------------------------------- operand types
// An f32 whose low 13 mantissa bits are rounded away when it is read.
struct tf32 { u32 bits; };
DSLC_FN f32 widen(tf32 x) {
    bool nan = (x.bits & 0x7fffffff) > 0x7f800000;
    return f32_of(nan ? x.bits : (x.bits + 0x1000) & 0xffffe000);
}

// lane: what an element becomes; unit: what a register lane holds, one lane or a pair; scalar: products one at a time.
template <class A> struct DotOperand { typedef f32 lane, unit, scalar; enum { lanes = 1, direct = 0 }; };
template <> struct DotOperand<f32> { typedef f32 lane, unit, scalar; enum { lanes = 1, direct = 1 }; };
template <> struct DotOperand<f64> { typedef f64 lane, unit, scalar; enum { lanes = 1, direct = 1 }; };
template <> struct DotOperand<i8> { typedef i16 lane; typedef i32 unit, scalar; enum { lanes = 2, direct = 0 }; };
template <> struct DotOperand<u8> : DotOperand<i8> {};

template <class A> DSLC_FN auto dot_value(A x) { return widen(x); }
DSLC_FN i16 dot_value(i8 x) { return x; }
DSLC_FN i16 dot_value(u8 x) { return x; }

template <class T, class A> DSLC_FN void dot_convert(T *__restrict to, const A *__restrict from, index_t n) {
    for (index_t i = 0; i < n; ++i)
        to[i] = dot_value(from[i]);
}
#if defined(__F16C__)
typedef f32 dot_widened __attribute__((vector_size(32)));
DSLC_FN dot_widened dot_widen_halves(const f16 *p) {
#if !defined(__clang__) || __has_builtin(__builtin_ia32_vcvtph2ps256)
    typedef i16 halves __attribute__((vector_size(16)));
    return (dot_widened)__builtin_ia32_vcvtph2ps256(dot_load<halves>(p));
#else
    typedef _Float16 halves __attribute__((vector_size(16)));
    return __builtin_convertvector(dot_load<halves>(p), dot_widened);
#endif
}
DSLC_FN void dot_convert(f32 *__restrict to, const f16 *__restrict from, index_t n) {
    const index_t whole = n / 8 * 8;
    for (index_t i = 0; i < whole; i += 8) {
        dot_widened w = dot_widen_halves(from + i);
        __builtin_memcpy(to + i, &w, sizeof w);
    }
    for (index_t i = whole; i < n; ++i)
        to[i] = widen(from[i]);
}
#endif

// A matrix that dot reads: in its tensor, in a padded copy, or, where `packed` is not null, laid out beforehand in strips of rows
// (left) or panels of columns (right). Unit k of a strip or panel of `w` that begins at row or column r: packed[r * pitch + (k + from) * w].
template <class A> struct Window {
    const A *data;
    index_t row, col;
    const typename DotOperand<A>::unit *packed;
    index_t pitch, from;
};
template <class A> DSLC_FN Window<A> turned(const Window<A> &w) { return {w.data, w.col, w.row, w.packed, w.pitch, w.from}; }

// ---------------------------------------------------------------- strip times panel
// Loops over arrays of vectors are unrolled before arrays are taken apart, or g++ 12 keeps the arrays in memory around the loop over k.
#if defined(__clang__)
#define DSLC_UNROLL _Pragma("unroll")
#define DSLC_UNROLL_DEPTH                                    // clang unrolls by itself
#else
#define DSLC_UNROLL _Pragma("GCC unroll 16")
#define DSLC_UNROLL_DEPTH _Pragma("GCC unroll 4")
#endif

// c(rows, columns) (+)= a(rows, depth) b(depth, vectors), depth at least 1. noinline: one copy, whose registers nothing else competes for.
// A packed strip is read as one stream (256 x 256 x 256 on a Zen 3: 101 GFLOP/s of 102, against 94 from six streams).
template <class T, int rows, int vectors, bool packed>
static __attribute__((noinline)) void dot_strip_panel(T *c, index_t c_row, const T *a, index_t a_row, index_t a_col, const T *b,
                                                      index_t b_row, index_t depth, int columns, bool accumulate) {
    typedef typename DotVector<T>::type V;
    const int width = DotWidth<T>::value;
    if (depth < 1) __builtin_unreachable();
    V sum[rows][vectors];
    if (packed)
        a_row = 1, a_col = rows;
    DSLC_UNROLL for (int i = 0; i < rows; ++i) {
        __builtin_prefetch(c + i * c_row, 1);                // what is added to is on its way meanwhile
        DSLC_UNROLL for (int j = 0; j < vectors; ++j)
            sum[i][j] = V{};
    }
    auto step = [&]() __attribute__((always_inline)) {
        V y[vectors];
        DSLC_UNROLL for (int j = 0; j < vectors; ++j)
            y[j] = dot_load<V>(b + j * width);
        DSLC_UNROLL for (int i = 0; i < rows; ++i) {
            const V x = dot_broadcast<V>(a[i * a_row]);
            DSLC_UNROLL for (int j = 0; j < vectors; ++j)
                sum[i][j] = dot_multiply_add(x, y[j], sum[i][j]);
        }
        a += a_col, b += b_row;
    };
    // 4 rows: 93 GFLOP/s of 100 against 64 without; 6 rows of 16 k: 79 without against 75.
    if constexpr (rows < 6) {
        DSLC_UNROLL_DEPTH for (; depth > 0; --depth) step();
    } else {
        do step();
        while (--depth > 0);
    }
    if (columns == vectors * width) {
        DSLC_UNROLL for (int i = 0; i < rows; ++i)
            DSLC_UNROLL for (int j = 0; j < vectors; ++j) {
                T *p = c + i * c_row + j * width;
                const V r = accumulate ? dot_load<V>(p) + sum[i][j] : sum[i][j];
                __builtin_memcpy(p, &r, sizeof r);
            }
        return;
    }
    T spill[rows * vectors * width];                         // a ragged edge goes through memory
    DSLC_UNROLL for (int i = 0; i < rows; ++i)
        DSLC_UNROLL for (int j = 0; j < vectors; ++j)
            __builtin_memcpy(spill + (i * vectors + j) * width, &sum[i][j], sizeof(V));
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) {
            T *p = c + i * c_row + j;
            *p = (accumulate ? *p : 0) + spill[i * vectors * width + j];
        }
}

// All rows, in strips whose heights differ by at most one, so that none is nearly empty. Of packed strips a_row is the pitch, a_col the first k.
// `next`, as long as the panel, is fetched meanwhile, a part with each strip.
template <class T, int M, int vectors, bool packed = false>
DSLC_FN void dot_strips(T *c, index_t c_row, const T *a, index_t a_row, index_t a_col, const T *b, index_t b_row, index_t depth,
                        int columns, bool accumulate, const T *next = nullptr) {
    const int strips = (M + dot_strip - 1) / dot_strip, height = M / strips, taller = M % strips, line = 64 / (int)sizeof(T);
    const index_t part = next ? (depth * b_row + strips * line - 1) / (strips * line) * line : 0;
    if constexpr (taller > 0)
        for (int s = 0; s < taller; ++s, c += (height + 1) * c_row, a += (height + 1) * a_row, next += part) {
            for (index_t e = 0; e < part; e += line)
                __builtin_prefetch(next + e);
            dot_strip_panel<T, height + 1, vectors, packed>(c, c_row, packed ? a + (height + 1) * a_col : a, a_row, a_col, b, b_row, depth, columns,
                                                            accumulate);
        }
    for (int s = taller; s < strips; ++s, c += height * c_row, a += height * a_row, next += part) {
        for (index_t e = 0; e < part; e += line)
            __builtin_prefetch(next + e);
        dot_strip_panel<T, height, vectors, packed>(c, c_row, packed ? a + height * a_col : a, a_row, a_col, b, b_row, depth, columns, accumulate);
    }
}

// ---------------------------------------------------------------- packing
// 4 x 4 units of 32 bits from rows `stride` apart to rows `pitch` apart, transposed.
DSLC_FN void dot_transpose_4x4(u32 *to, index_t pitch, const u32 *from, index_t stride) {
    dot_quad a = dot_load<dot_quad>(from), b = dot_load<dot_quad>(from + stride);
    dot_quad c = dot_load<dot_quad>(from + 2 * stride), d = dot_load<dot_quad>(from + 3 * stride);
#if defined(__clang__) || __GNUC__ >= 12
#define DSLC_SHUFFLE(X, Y, P, Q, R, S) __builtin_shufflevector(X, Y, P, Q, R, S)
#else
#define DSLC_SHUFFLE(X, Y, P, Q, R, S) __builtin_shuffle(X, Y, dot_quad{P, Q, R, S})
#endif
    dot_quad ab = DSLC_SHUFFLE(a, b, 0, 4, 1, 5), ab2 = DSLC_SHUFFLE(a, b, 2, 6, 3, 7);
    dot_quad cd = DSLC_SHUFFLE(c, d, 0, 4, 1, 5), cd2 = DSLC_SHUFFLE(c, d, 2, 6, 3, 7);
    dot_quad r[4] = {DSLC_SHUFFLE(ab, cd, 0, 1, 4, 5), DSLC_SHUFFLE(ab, cd, 2, 3, 6, 7), DSLC_SHUFFLE(ab2, cd2, 0, 1, 4, 5),
                     DSLC_SHUFFLE(ab2, cd2, 2, 3, 6, 7)};
#undef DSLC_SHUFFLE
    for (int k = 0; k < 4; ++k)
        __builtin_memcpy(to + k * pitch, &r[k], sizeof r[k]);
}

// to(depth, pitch) = rows(columns, depth) transposed, whole rows of `to` at a time: parts of them would be fetched and written several times.
template <class T> DSLC_FN void dot_transpose(T *to, int pitch, const T *rows, index_t stride, int columns, int depth) {
    int k = 0;
    if (sizeof(T) == 4 && columns >= 4)
        for (; k + 4 <= depth; k += 4)
            for (int j = 0; j < columns; j += 4) {
                const int at = j + 4 <= columns ? j : columns - 4;           // the last four may overlap those before
                dot_transpose_4x4((u32 *)to + k * pitch + at, pitch, (const u32 *)rows + at * stride + k, stride);
            }
    for (; k < depth; ++k)
        for (int j = 0; j < columns; ++j)
            to[k * pitch + j] = rows[j * stride + k];
}

// One row of units from `lanes` rows of elements, for the general and the row-major case.
template <class B> DSLC_FN void dot_pack_row(typename DotOperand<B>::lane *__restrict to, const B *__restrict b, index_t b_col, int columns) {
    if (b_col == 1)
        return dot_convert(to, b, columns);
    for (int j = 0; j < columns; ++j)
        to[j] = dot_value(b[j * b_col]);
}
template <class B>
DSLC_FN void dot_pack_row_pair(i16 *__restrict to, const B *__restrict b, index_t b_col, const B *__restrict next, index_t next_col, int columns) {
    if (b_col == 1 && next_col == 1)
        for (int j = 0; j < columns; ++j)
            to[2 * j] = dot_value(b[j]), to[2 * j + 1] = dot_value(next[j]);
    else
        for (int j = 0; j < columns; ++j)
            to[2 * j] = dot_value(b[j * b_col]), to[2 * j + 1] = dot_value(next[j * next_col]);
}

// Column-major b (its columns are contiguous along k): columns are converted some at a time, then transposed.
template <class B, int width>
DSLC_FN void dot_pack_columns(typename DotOperand<B>::unit *to, const B *b, index_t b_col, int columns, int elements) {
    typedef typename DotOperand<B>::unit T;
    typedef typename DotOperand<B>::lane L;
    const int lanes = DotOperand<B>::lanes, piece = 64;      // 64 units of 16 columns: 4 KiB of stack
    if constexpr (DotOperand<B>::direct) {
        dot_transpose(to, width, b, b_col, columns, elements);
    } else {
        alignas(64) T converted[width * piece];
        for (int k = 0; k < elements; k += piece * lanes) {
            int n = elements - k < piece * lanes ? elements - k : piece * lanes, units = (n + lanes - 1) / lanes;
            for (int j = 0; j < columns; ++j) {
                if (n % lanes)
                    converted[j * piece + units - 1] = 0;    // an odd k leaves half a pair
                dot_convert((L *)(converted + j * piece), b + j * b_col + k, n);
            }
            dot_transpose(to + k / lanes * width, width, converted, piece, columns, units);
        }
    }
}

// to(units, width) = b(elements, columns), converted, zero in the columns past the edge.
template <class B, int width>
static __attribute__((noinline)) void dot_pack_panel(typename DotOperand<B>::unit *to, const B *b, index_t b_row, index_t b_col, int columns,
                                                     int elements) {
    typedef typename DotOperand<B>::lane L;
    const int lanes = DotOperand<B>::lanes, units = (elements + lanes - 1) / lanes;
    if (columns < width)
        __builtin_memset(to, 0, (size_t)units * width * sizeof *to);
    if (b_row == 1 && b_col != 1)
        return dot_pack_columns<B, width>(to, b, b_col, columns, elements);
    if constexpr (lanes == 2) {
        static const B zero = 0;                             // pairs with the last row of an odd number
        for (int k = 0; k < elements; k += 2, to += width, b += 2 * b_row) {
            bool paired = k + 1 < elements;
            if (paired && columns == width && b_col == 1)    // a constant count unrolls
                dot_pack_row_pair((L *)to, b, 1, b + b_row, 1, width);
            else
                dot_pack_row_pair((L *)to, b, b_col, paired ? b + b_row : &zero, paired ? b_col : 0, columns);
        }
    } else if (columns == width && b_col == 1) {
        for (int k = 0; k < elements; ++k)
            dot_pack_row(to + k * width, b + k * b_row, 1, width);
    } else {
        for (int k = 0; k < elements; ++k)
            dot_pack_row(to + k * width, b + k * b_row, b_col, columns);
    }
}

template <class A> DSLC_FN bool dot_in_place(index_t a_row, index_t a_col) {
    return (a_col == 1 && !dot_far(a_row, sizeof(A))) || (a_row == 1 && !dot_far(a_col, sizeof(A)));
}

// a(M, elements) converted to units, in its own orientation where that is contiguous; its new strides in *row and *col.
// Rows get a cache line more than they need, against the same sets.
template <int M, class A>
static __attribute__((noinline)) void dot_convert_left(typename DotOperand<A>::unit *to, const A *a, index_t a_row, index_t a_col, int elements,
                                                       index_t *row, index_t *col) {
    typedef typename DotOperand<A>::lane L;
    const int lanes = DotOperand<A>::lanes, units = (elements + lanes - 1) / lanes;
    if (lanes == 1 && a_row == 1 && a_col != 1) {
        *row = 1, *col = M;
        for (int k = 0; k < elements; ++k)
            dot_convert((L *)(to + k * M), a + k * a_col, (index_t)M);
        return;
    }
    *row = units + 64 / (int)sizeof *to, *col = 1;
    for (int i = 0; i < M; ++i, to += *row, a += a_row) {
        to[units - 1] = 0;                                   // an odd k leaves half a pair
        if (a_col == 1)
            dot_convert((L *)to, a, elements);
        else
            for (int k = 0; k < elements; ++k)
                ((L *)to)[k] = dot_value(a[k * a_col]);
    }
}

// ---------------------------------------------------------------- tile product
template <int M, int N, int K, class A> struct DotPlan {
    typedef typename DotOperand<A>::unit T;
    static const int lanes = DotOperand<A>::lanes, width = DotWidth<T>::value, panel = dot_vectors * width;
    static const int units = (K + lanes - 1) / lanes, cuts = (units + dot_depth - 1) / dot_depth;
    static const int depth = (units + cuts - 1) / cuts * lanes;                  // elements of k in a cut, all but the last alike
    static const int edge = N % panel, edge_vectors = (edge + width - 1) / width;
    static const size_t panel_bytes = ((size_t)(depth / lanes) * panel * sizeof(T) + 63) / 64 * 64;
    static const size_t left_bytes = ((size_t)M * (depth / lanes * sizeof(T) + 64) + 63) / 64 * 64;
    // Of a right operand whose rows are far apart all panels are packed at once, row by row, where that costs no less than the product.
    static const bool wide = M > dot_strip && M <= dot_wide_rows && N > panel;
    static const size_t wide_bytes = wide ? (size_t)(depth / lanes) * ((N + panel - 1) / panel * panel) * sizeof(T) : 0;
};

// The strips of a, as they stand or packed, times one panel.
template <int M, int vectors, class A, class T>
DSLC_FN void dot_panel(T *acc, index_t acc_row, const Window<A> &a, const T *left, index_t row, index_t col, index_t k, const T *panel, index_t b_row,
                       index_t units, int columns, bool accumulate, const T *next = nullptr) {
    if (a.packed)
        dot_strips<T, M, vectors, true>(acc, acc_row, a.packed, a.pitch, a.from + k, panel, b_row, units, columns, accumulate, next);
    else
        dot_strips<T, M, vectors>(acc, acc_row, left, row, col, panel, b_row, units, columns, accumulate, next);
}

// The columns j, j + 1, ..: no more than a panel has.
template <int M, int vectors, class A, class B, class T>
DSLC_FN void dot_columns(T *acc, index_t acc_row, const Window<A> &a, const T *left, index_t row, index_t col, const Window<B> &b, index_t k, int j,
                         int columns, int elements, bool accumulate, T *scratch) {
    const int lanes = DotOperand<B>::lanes, width = vectors * DotWidth<T>::value, panel = dot_vectors * DotWidth<T>::value;
    const index_t first = k / lanes, units = (elements + lanes - 1) / lanes;
    if (b.packed) {
        const T *here = b.packed + j * b.pitch + (b.from + first) * panel;
        return dot_panel<M, vectors>(acc, acc_row, a, left, row, col, first, here, panel, units, columns, accumulate, here + b.pitch * panel);
    }
    const B *right = b.data + k * b.row + j * b.col;
    if constexpr (DotOperand<B>::direct && M <= dot_unpacked_rows)
        if (b.col == 1 && columns == width && (M <= dot_strip || !dot_far(b.row, sizeof(B))))
            return dot_panel<M, vectors>(acc, acc_row, a, left, row, col, first, (const T *)right, b.row, elements, width, accumulate);
    dot_pack_panel<B, width>(scratch, right, b.row, b.col, columns, elements);
    dot_panel<M, vectors>(acc, acc_row, a, left, row, col, first, scratch, width, units, columns, accumulate);
}

template <int M, int N, int K, class A, class B, class T>
DSLC_FN void dot_tile(T *acc, index_t acc_row, const Window<A> &a, const Window<B> &b, bool accumulate, void *scratch, int depth) {
    typedef DotPlan<M, N, K, A> P;
    T *packed = (T *)scratch, *converted = (T *)((char *)scratch + P::panel_bytes), *wide = (T *)((char *)converted + P::left_bytes);
    for (int k = 0; k < depth; k += P::depth, accumulate = true) {
        const int elements = depth - k < P::depth ? depth - k : P::depth;
        const T *left = (const T *)(const void *)(a.data + k * a.col);
        index_t row = a.row, col = a.col;
        if (!a.packed && (!DotOperand<A>::direct || !dot_in_place<A>(a.row, a.col))) {
            dot_convert_left<M>(converted, a.data + k * a.col, a.row, a.col, elements, &row, &col);
            left = converted;
        }
        Window<B> right = b;
        if constexpr (P::wide)
            if (!b.packed && b.col == 1 && dot_far(b.row, sizeof(B))) {
                const index_t units = (elements + P::lanes - 1) / P::lanes;
                for (int at = 0; at < elements; at += dot_wide_depth)
                    for (int j = 0; j < N; j += P::panel)
                        dot_pack_panel<B, P::panel>(wide + j * units + at / P::lanes * P::panel, b.data + (k + at) * b.row + j, b.row, 1,
                                                    N - j < P::panel ? N - j : P::panel, elements - at < dot_wide_depth ? elements - at : dot_wide_depth);
                right = {nullptr, 0, 0, wide, units, -k / P::lanes};
            }
        for (int j = 0; j + P::panel <= N; j += P::panel)
            dot_columns<M, dot_vectors>(acc + j, acc_row, a, left, row, col, right, k, j, P::panel, elements, accumulate, packed);
        if constexpr (P::edge > 0)
            dot_columns<M, P::edge_vectors>(acc + (N - P::edge), acc_row, a, left, row, col, right, k, N - P::edge, P::edge, elements, accumulate, packed);
    }
}

// ---------------------------------------------------------------- matrix times vector
// A vector of elements, converted.
template <class V, class A> DSLC_FN V dot_load_converted(const A *p) {
    f32 lanes[DotWidth<f32>::value];
    dot_convert(lanes, p, (index_t)DotWidth<f32>::value);
    return dot_load<V>(lanes);
}
template <class V> DSLC_FN V dot_load_converted(const f32 *p) { return dot_load<V>(p); }
template <class V> DSLC_FN V dot_load_converted(const f64 *p) { return dot_load<V>(p); }
#if defined(__F16C__) && defined(__AVX2__) && !defined(__AVX512F__)
template <class V> DSLC_FN V dot_load_converted(const f16 *p) { return dot_widen_halves(p); }
#endif
template <class V> DSLC_FN V dot_load_converted(const bf16 *p) {
    typedef i16 halves __attribute__((vector_size(DSLC_VECTOR_BYTES / 2)));
    typedef u32 words __attribute__((vector_size(DSLC_VECTOR_BYTES)));
#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(__clang__)
    return (V)((words)__builtin_ia32_pmovzxwd256(dot_load<halves>(p)) << 16);    // g++ 12 widens by halves
#else
    return (V)(__builtin_convertvector(dot_load<halves>(p), words) << 16);     // the shift drops the sign's copies
#endif
}

// sum[j] = the sum over i of x[i] m[j * m_j + i], each in two vectors of partial sums; `rows` at a time keep as many streams of memory busy.
template <int rows, class T, class A> DSLC_FN void dot_inner(T *sum, const T *x, const A *m, index_t m_j, index_t n) {
    typedef typename DotVector<T>::type V;
    const int width = DotWidth<T>::value;
    V s[rows][2] = {};
    index_t i = 0;
    for (; i + 2 * width <= n; i += 2 * width)
        for (int l = 0; l < 2; ++l) {
            const V y = dot_load<V>(x + i + l * width);
            for (int j = 0; j < rows; ++j)
                s[j][l] = dot_multiply_add(y, dot_load_converted<V>(m + j * m_j + i + l * width), s[j][l]);
        }
    for (; i + width <= n; i += width)
        for (int j = 0; j < rows; ++j)
            s[j][0] = dot_multiply_add(dot_load<V>(x + i), dot_load_converted<V>(m + j * m_j + i), s[j][0]);
    for (int j = 0; j < rows; ++j) {
        T lanes[width];
        const V total = s[j][0] + s[j][1];
        __builtin_memcpy(lanes, &total, sizeof total);
        for (int half = width / 2; half > 0; half /= 2)
            for (int l = 0; l < half; ++l)
                lanes[l] += lanes[l + half];
        sum[j] = lanes[0];
        for (index_t l = i; l < n; ++l)
            sum[j] = dot_multiply_add(x[l], (T)dot_value(m[j * m_j + l]), sum[j]);
    }
}
template <int rows, class A> DSLC_FN void dot_inner(i32 *sum, const i32 *x, const A *m, index_t m_j, index_t n) {
    for (int j = 0; j < rows; ++j) {
        u32 s = 0;
        for (index_t i = 0; i < n; ++i)
            s += (u32)x[i] * (u32)m[j * m_j + i];
        sum[j] = (i32)s;
    }
}

// sum[j] += x[0] m[0, j] + .. + x[rows - 1] m[rows - 1, j], contiguous in j.
template <int rows, class T, class A> DSLC_FN void dot_add_rows(T *__restrict sum, const T *x, const A *__restrict m, index_t m_k, int n) {
#pragma omp simd
    for (int j = 0; j < n; ++j) {
        T s = sum[j];
        for (int k = 0; k < rows; ++k)
            s = dot_multiply_add(x[k], (T)dot_value(m[k * m_k + j]), s);
        sum[j] = s;
    }
}

// out[j] (+)= sum over k of x[k] m[k, j]; a step of m in k is m_k, in j is m_j.
template <int J, int K, class A, class B, class T>
static __attribute__((noinline)) void dot_matrix_vector(T *out, index_t out_step, const A *x, index_t x_step, const B *m, index_t m_k,
                                                        index_t m_j, bool accumulate, T *scratch, int depth) {
    T *v = scratch, *sum = v + K, *column = sum + J;
    for (int k = 0; k < depth; ++k)
        v[k] = (T)dot_value(x[k * x_step]);
    if (m_j == 1 && J > 1) {
        for (int j = 0; j < J; ++j)
            sum[j] = 0;
        int k = 0;
        for (; k + 8 <= depth; k += 8)                       // eight rows to one pass over the sums
            dot_add_rows<8>(sum, v + k, m + k * m_k, m_k, J);
        for (; k < depth; ++k)
            dot_add_rows<1>(sum, v + k, m + k * m_k, m_k, J);
    } else if (m_k == 1) {
        int j = 0;
        for (; j + 4 <= J; j += 4)
            dot_inner<4>(sum + j, v, m + j * m_j, m_j, (index_t)depth);
        for (; j < J; ++j)
            dot_inner<1>(sum + j, v, m + j * m_j, m_j, (index_t)depth);
    } else {
        for (int j = 0; j < J; ++j) {
            for (int k = 0; k < depth; ++k)
                column[k] = (T)dot_value(m[j * m_j + k * m_k]);
            dot_inner<1>(sum + j, v, column, 0, (index_t)depth);
        }
    }
    for (int j = 0; j < J; ++j)
        out[j * out_step] = (accumulate ? out[j * out_step] : 0) + sum[j];
}

#include "tile_skinny.h"

// ---------------------------------------------------------------- interface
// Bytes of 64-byte aligned scratch.
template <int M, int N, int K, class A, class B> constexpr size_t dot_scratch() {
    typedef DotPlan<M, N, K, A> P;
    const size_t tile_bytes = P::panel_bytes + P::left_bytes + P::wide_bytes, skinny_bytes = SkinnyPlan<M, N, K, A, B>::bytes;
    return M == 1 || N == 1 ? (2 * (size_t)K + (M > N ? M : N)) * sizeof(typename DotOperand<A>::scalar) : tile_bytes > skinny_bytes ? tile_bytes : skinny_bytes;
}

// acc rows are acc_row elements apart, its columns adjacent; the operands' strides are in elements, any sign, 0 allowed.
// A, B: both f32, f16, bf16, f8e4m3, f8e5m2 (C = f32), both f64 (C = f64), or each i8 or u8 (C = i32, wraps). Nothing is packed where M or N is 1.
// What is past `depth` of K, at least 1, is zero in both.
template <int M, int N, int K, class A, class B, class C>
DSLC_FN void dot(C *acc, index_t acc_row, const Window<A> &a, const Window<B> &b, bool accumulate, void *scratch, index_t depth = K) {
    if constexpr (M == 1)
        dot_matrix_vector<N, K>(acc, 1, a.data, a.col, b.data, b.row, b.col, accumulate, (C *)scratch, (int)depth);
    else if constexpr (N == 1)
        dot_matrix_vector<M, K>(acc, acc_row, b.data, b.row, a.data, a.col, a.row, accumulate, (C *)scratch, (int)depth);
    else {
        if constexpr (SkinnyPlan<M, N, K, A, B>::possible)
            if (SkinnyPlan<M, N, K, A, B>::takes(b))
                return skinny_dot<M, N, K>(acc, acc_row, a, b, accumulate, scratch, (int)depth);
        dot_tile<M, N, K>(acc, acc_row, a, b, accumulate, scratch, (int)depth);
    }
}

// f32 operands rounded to 10 mantissa bits, never packed.
template <int M, int N, int K> constexpr size_t dot_tf32_scratch() { return dot_scratch<M, N, K, tf32, tf32>(); }
template <int M, int N, int K>
DSLC_FN void dot_tf32(f32 *acc, index_t acc_row, const Window<f32> &a, const Window<f32> &b, bool accumulate, void *scratch, index_t depth = K) {
    dot<M, N, K>(acc, acc_row, Window<tf32>{(const tf32 *)a.data, a.row, a.col}, Window<tf32>{(const tf32 *)b.data, b.row, b.col}, accumulate, scratch,
                 depth);
}

#endif
