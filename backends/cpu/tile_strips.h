// What tile products are made of: vectors, operands, a strip of rows times a panel of columns in registers, packing.
#ifndef DSLC_TILE_STRIPS_H
#define DSLC_TILE_STRIPS_H

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
enum { dot_depth = 320 };          // units of k in a panel at most: 320 x 16 x 4 bytes of a 32 KiB L1; 256 to 384 are alike on a Zen 3
enum { dot_short = 128 };          // units of k in a panel that nobody need fetch ahead: that takes 4 % of products with 64 units
// Units of k in each cut of so many, all but the last alike.
constexpr int dot_cut(int units) { return (units + (units + dot_depth - 1) / dot_depth - 1) / ((units + dot_depth - 1) / dot_depth); }
// Up to this M a row-major panel of b is read in place: too few strips repay its copy (measured at M = 16: 95 against 86 GFLOP/s).
enum { dot_unpacked_rows = 32 };
// Up to this M a right operand whose rows are far apart is packed cut by cut, some rows at once, each along all panels.
enum { dot_wide_rows = 64, dot_wide_depth = 128, dot_rows_together = 8 };
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

// A matrix that dot reads: in its tensor, in a padded copy, or, where `packed` is not null, laid out beforehand in strips of rows (left) or panels of
// columns (right), of which the tile begins with row or column `at`. Their units of k are cut into blocks: all strips or panels of a block stand together,
// those of the next one `step` units further.
template <class A> struct Window {
    typedef typename DotOperand<A>::unit T;
    const A *data;
    index_t row, col;
    const T *packed;
    index_t at, block, units, step;                          // units of k in a block, and in the tile

    // Of the block with unit k: the strips or panels, how long they are, where k is in them, and how many of the next n units.
    const T *strips(index_t k) const { return packed + k / block * step + at * pitch(k); }
    index_t pitch(index_t k) const { return units - k / block * block < block ? units - k / block * block : block; }
    index_t from(index_t k) const { return k % block; }
    int rest(index_t k, int n) const { return packed && block - from(k) < n ? (int)(block - from(k)) : n; }
};
template <class A> DSLC_FN Window<A> turned(const Window<A> &w) { return {w.data, w.col, w.row, w.packed, w.at, w.block, w.units, w.step}; }

// Where a sum is found, null for zeros, and where it is left.
template <class T> struct DotSum {
    const T *from;
    T *to;
    index_t from_row, to_row;

    DotSum below(index_t rows) const { return {from ? from + rows * from_row : nullptr, to + rows * to_row, from_row, to_row}; }
    // Of a cut of k that is not the first or not the last: those between leave their sums in acc.
    DotSum cut(bool later, bool earlier, T *acc, index_t acc_row) const {
        return {later ? acc : from, earlier ? acc : to, later ? acc_row : from_row, earlier ? acc_row : to_row};
    }
    DotSum beside(index_t columns) const { return {from ? from + columns : nullptr, to + columns, from_row, to_row}; }
};

// ---------------------------------------------------------------- strip times panel
// Loops over arrays of vectors are unrolled before arrays are taken apart, or g++ 12 keeps the arrays in memory around the loop over k.
#if defined(__clang__)
#define DSLC_UNROLL _Pragma("unroll")
#define DSLC_UNROLL_DEPTH                                    // clang unrolls by itself
#else
#define DSLC_UNROLL _Pragma("GCC unroll 16")
#define DSLC_UNROLL_DEPTH _Pragma("GCC unroll 4")
#endif

// sum(rows, columns) = sum + a(rows, depth) b(depth, vectors), depth at least 1. Apart from its callers nothing else competes for its registers.
// A packed strip is read as one stream (256 x 256 x 256 on a Zen 3: 101 GFLOP/s of 102, against 94 from six streams).
template <class T, int rows, int vectors, bool packed>
DSLC_ONCE void dot_strip_panel(const DotSum<T> &where, const T *a, index_t a_row, index_t a_col, const T *b, index_t b_row,
                               index_t depth, int columns) {
    typedef typename DotVector<T>::type V;
    const int width = DotWidth<T>::value;
    if (depth < 1) __builtin_unreachable();
    const T *const c = where.from;
    T *const to = where.to;
    const index_t c_row = where.from_row, to_row = where.to_row;
    V sum[rows][vectors];
    const index_t strip_below = rows * a_row;
    if (packed)
        a_row = 1, a_col = rows;
    DSLC_UNROLL for (int i = 0; i < rows; ++i) {
        __builtin_prefetch(to + i * to_row, 1);              // what is read and written at the end is on its way meanwhile
        if (c && c != to) __builtin_prefetch(c + i * c_row);
        DSLC_UNROLL for (int j = 0; j < vectors; ++j)
            sum[i][j] = V{};
    }
    auto step = [&]() __attribute__((always_inline)) {
        V y[vectors];
        if (packed)                                          // 1.5 % of a product of 1024 (Zen 3), whose strips come from L2 and L3
            __builtin_prefetch(a + strip_below);
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
                const V r = c ? dot_load<V>(c + i * c_row + j * width) + sum[i][j] : sum[i][j];
                __builtin_memcpy(to + i * to_row + j * width, &r, sizeof r);
            }
        return;
    }
    T spill[rows * vectors * width];                         // a ragged edge goes through memory
    DSLC_UNROLL for (int i = 0; i < rows; ++i)
        DSLC_UNROLL for (int j = 0; j < vectors; ++j)
            __builtin_memcpy(spill + (i * vectors + j) * width, &sum[i][j], sizeof(V));
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j)
            to[i * to_row + j] = (c ? c[i * c_row + j] : 0) + spill[i * vectors * width + j];
}

// What is fetched meanwhile, a part with each strip: `rows` of so many cache lines.
struct DotAhead {
    const char *at;
    index_t stride;                                          // in bytes
    index_t rows;
    int lines;

    void fetch(index_t n) {
        for (; n > 0 && rows > 0; --n, --rows, at += stride)
            for (int l = 0; l < lines; ++l) __builtin_prefetch(at + 64 * l);
    }
};

// M rows in strips whose heights differ by at most one, so that none is nearly empty; those that begin at `rows` or later are left out. Of packed strips
// a_row is the pitch, a_col the first k.
template <class T, int M, int vectors, bool packed = false>
DSLC_FN void dot_strips(DotSum<T> sum, const T *a, index_t a_row, index_t a_col, const T *b, index_t b_row, index_t depth, int columns, int rows,
                        DotAhead ahead = {}) {
    const int strips = (M + dot_strip - 1) / dot_strip, height = M / strips, taller = M % strips;
    const index_t part = (ahead.rows + strips - 1) / strips;
    if constexpr (taller > 0)
        for (int s = 0; s < taller && s * (height + 1) < rows; ++s, sum = sum.below(height + 1), a += (height + 1) * a_row) {
            ahead.fetch(part);
            dot_strip_panel<T, height + 1, vectors, packed>(sum, packed ? a + (height + 1) * a_col : a, a_row, a_col, b, b_row, depth, columns);
        }
    for (int s = taller; s < strips && taller + s * height < rows; ++s, sum = sum.below(height), a += height * a_row) {
        ahead.fetch(part);
        dot_strip_panel<T, height, vectors, packed>(sum, packed ? a + height * a_col : a, a_row, a_col, b, b_row, depth, columns);
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
DSLC_ONCE void dot_pack_panel(typename DotOperand<B>::unit *to, const B *b, index_t b_row, index_t b_col, int columns,
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

// a(rows, elements) converted to units, in its own orientation where that is contiguous; its new strides in *row and *col.
// Rows get a cache line more than they need, against the same sets.
template <int M, class A>
DSLC_ONCE void dot_convert_left(typename DotOperand<A>::unit *to, const A *a, index_t a_row, index_t a_col, int elements,
                                int rows, index_t *row, index_t *col) {
    typedef typename DotOperand<A>::lane L;
    const int lanes = DotOperand<A>::lanes, units = (elements + lanes - 1) / lanes;
    if (lanes == 1 && a_row == 1 && a_col != 1) {
        *row = 1, *col = M;
        for (int k = 0; k < elements; ++k)
            dot_convert((L *)(to + k * M), a + k * a_col, (index_t)rows);
        return;
    }
    *row = units + 64 / (int)sizeof *to, *col = 1;
    for (int i = 0; i < rows; ++i, to += *row, a += a_row) {
        to[units - 1] = 0;                                   // an odd k leaves half a pair
        if (a_col == 1)
            dot_convert((L *)to, a, elements);
        else
            for (int k = 0; k < elements; ++k)
                ((L *)to)[k] = dot_value(a[k * a_col]);
    }
}

// ---------------------------------------------------------------- how a tile product is cut
template <int M, int N, int K, class A> struct DotPlan {
    typedef typename DotOperand<A>::unit T;
    static const int lanes = DotOperand<A>::lanes, width = DotWidth<T>::value, panel = dot_vectors * width;
    static const int units = (K + lanes - 1) / lanes, depth = units < dot_depth ? units : dot_depth;
    static const int edge = N % panel, edge_vectors = edge > 0 ? (edge + width - 1) / width : dot_vectors;
    static const size_t panel_bytes = ((size_t)depth * panel * sizeof(T) + 63) / 64 * 64;
    static const size_t left_bytes = ((size_t)M * (depth * sizeof(T) + 64) + 63) / 64 * 64;
    // Where packing a right operand whose rows are far apart costs no less than the product, it goes on meanwhile: two cuts of all panels.
    static const bool wide = M > dot_strip && M <= dot_wide_rows && N > panel;
    static const int wide_depth = units < dot_wide_depth ? units : dot_wide_depth;

    // How many units of k, from `unit` on, are multiplied at a time: it depends on nothing else, so that the bits of a sum do not.
    static int cut(int unit, int all) {
        const int block = dot_cut(all), rest = block - unit % block, n = wide && rest > wide_depth ? wide_depth : rest;
        return n < all - unit ? n : all - unit;
    }
    static const size_t wide_units = (size_t)wide_depth * ((N + panel - 1) / panel * panel), wide_bytes = wide ? 2 * wide_units * sizeof(T) : 0;
};

#endif
