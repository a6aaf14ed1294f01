// Tile products with few rows, 2 to 8: acc(M, N) = (accumulate ? acc : 0) + a(M, K) b(K, N) with b read once, where it stands, by all rows at once.
//
// Such a product is as fast as b arrives, so b is neither packed nor copied: columns that are contiguous in k (b transposed, keys of attention) are
// multiplied as inner products whose partial sums stay in the lanes of registers; rows (values of attention) are added to sums in L1, a few rows to a
// pass. What comes next is fetched meanwhile: tiles of a loop usually follow each other in memory.
#ifndef DSLC_TILE_SKINNY_H
#define DSLC_TILE_SKINNY_H

#include "tile_vector.h"

template <class A> struct DotSkinny { enum { possible = 0 }; };
template <> struct DotSkinny<f32> { enum { possible = 1 }; };
template <> struct DotSkinny<f64> { enum { possible = 1 }; };
template <> struct DotSkinny<f16> { enum { possible = 1 }; };
template <> struct DotSkinny<bf16> { enum { possible = 1 }; };

// Rows of a at most; rows of b to a pass over the sums; columns of such a b at least.
enum { skinny_rows = 8, skinny_pass = 8, skinny_least = 64 };
// Bytes that are fetched ahead of use; a tile of b that is smaller than `skinny_large` comes from a cache.
static const index_t skinny_ahead = 2048, skinny_large = 16384;
// Columns of b (inner products) or vectors of its rows at a time: accumulators, what is loaded of b and one x in 16 registers, or in 32.
constexpr bool skinny_many_registers = DSLC_VECTOR_BYTES == 64 || dot_vectors == 4;
constexpr int skinny_columns(int M) { return skinny_many_registers ? (M <= 4 ? 4 : 2) : M == 2 ? 3 : M <= 4 ? 2 : 1; }
constexpr int skinny_vectors(int M) { return skinny_many_registers || M <= 2 ? (M <= 5 ? 4 : 2) : M <= 6 ? 2 : 1; }

// ---------------------------------------------------------------- sums over lanes
template <int... l> struct Lanes {};
template <int n, int... l> struct LanesBelow : LanesBelow<n - 1, n - 1, l...> {};
template <int... l> struct LanesBelow<0, l...> { typedef Lanes<l...> type; };

#if defined(__clang__) || __GNUC__ >= 12
#define DSLC_SHUFFLE_LANES(X, Y, LANE) __builtin_shufflevector(X, Y, (LANE)...)
#else
#define DSLC_SHUFFLE_LANES(X, Y, LANE) __builtin_shuffle(X, Y, typename SkinnyMask<sizeof X[0]>::type{(LANE)...})
template <size_t bytes> struct SkinnyMask { typedef dot_i32 type; };
template <> struct SkinnyMask<8> { typedef i64 type __attribute__((vector_size(DSLC_VECTOR_BYTES))); };
#endif
// Blocks of `far` lanes of x and of y in turn, each the sum of two neighbouring blocks.
template <int far, class V, int... l> DSLC_FN V skinny_fold(V x, V y, Lanes<l...>) {
    constexpr int width = sizeof...(l);
    return DSLC_SHUFFLE_LANES(x, y, l / (2 * far) * (2 * far) + l % far + (l % (2 * far) < far ? 0 : width)) +
           DSLC_SHUFFLE_LANES(x, y, l / (2 * far) * (2 * far) + l % far + (l % (2 * far) < far ? 0 : width) + far);
}
// Lanes of x and y in turn, each the sum of two that are two apart in their group of four: one shuffle each where there is none for neighbours.
template <class V, int... l> DSLC_FN V skinny_fold_fours(V x, V y, Lanes<l...>) {
    constexpr int width = sizeof...(l);
    return DSLC_SHUFFLE_LANES(x, y, l / 4 * 4 + l % 4 / 2 + l % 2 * width) + DSLC_SHUFFLE_LANES(x, y, l / 4 * 4 + l % 4 / 2 + l % 2 * width + 2);
}
#undef DSLC_SHUFFLE_LANES
// x[0..n-1] folded until one is left; of blocks of `far` lanes.
template <int far, int n, class V, class All> DSLC_FN V skinny_halve(V *x, All all) {
    DSLC_UNROLL for (int i = 0; i < n / 2; ++i) x[i] = skinny_fold<far>(x[2 * i], x[2 * i + 1], all);
    if constexpr (n > 2) return skinny_halve<2 * far, n / 2>(x, all);
    return x[0];
}
// Lane l of the result: the sum of the lanes of x[l], in an order that does not depend on l.
template <class T, class V> DSLC_FN V skinny_totals(V *x) {
    constexpr int width = DotWidth<T>::value;
    const typename LanesBelow<width>::type all = {};
    if constexpr (sizeof(T) == 8) return skinny_halve<1, width>(x, all);
    DSLC_UNROLL for (int i = 0; i < width / 2; ++i) x[i] = skinny_fold_fours(x[2 * i], x[2 * i + 1], all);
    return skinny_halve<2, width / 2>(x, all);
}

// ---------------------------------------------------------------- operands
// A vector that stays in its register: g++ would load it again for each use (4 rows of f32 on a Zen 3: 60 GFLOP/s so, 90 with it).
template <class V> DSLC_FN V skinny_kept(V x) {
#if defined(__x86_64__)
    __asm__("" : "+v"(x));
#elif defined(__aarch64__)
    __asm__("" : "+w"(x));
#endif
    return x;
}
// Two vectors of consecutive elements; of bf16 those with even numbers first, which costs one operation each instead of two.
template <class V, class B> DSLC_FN void skinny_load(V *y, const B *p) {
    y[0] = dot_load_converted<V>(p), y[1] = dot_load_converted<V>(p + sizeof(V) / sizeof y[0][0]);
}
template <class V> DSLC_FN void skinny_load(V *y, const bf16 *p) {
    typedef u32 words __attribute__((vector_size(DSLC_VECTOR_BYTES)));
    const words pairs = dot_load<words>(p);
    y[0] = (V)(pairs << 16), y[1] = (V)(pairs & 0xffff0000u);
}
template <class B> struct SkinnyOrder { enum { split = 0 }; };
template <> struct SkinnyOrder<bf16> { enum { split = 1 }; };

// One row of a, converted; `split`: whole pairs of vectors in the order in which skinny_load reads them.
template <bool split, class T, class A> DSLC_FN void skinny_row(T *__restrict to, const A *__restrict from, index_t step, int elements) {
    const int width = DotWidth<T>::value, whole = split ? elements / (2 * width) * (2 * width) : 0;
    for (int e = 0; e < whole; e += 2 * width)
        for (int l = 0; l < width; ++l)
            to[e + l] = (T)dot_value(from[(e + 2 * l) * step]), to[e + width + l] = (T)dot_value(from[(e + 2 * l + 1) * step]);
    if (step == 1)
        dot_convert(to + whole, from + whole, (index_t)(elements - whole));
    else
        for (int e = whole; e < elements; ++e) to[e] = (T)dot_value(from[e * step]);
}
// The same of row i of the packed strip that begins at `row`, whose units may be in several blocks.
template <bool split, class T, class A> DSLC_FN void skinny_packed_row(T *__restrict to, const Window<A> &a, int row, int i, int high, int elements) {
    const int width = DotWidth<T>::value, whole = split ? elements / (2 * width) * (2 * width) : 0;
    for (int e = 0; e < elements; ++e) {
        const int lane = e % (2 * width), at = e < whole ? e - lane + lane % 2 * width + lane / 2 : e;
        to[at] = a.strips(e)[row * a.pitch(e) + a.from(e) * high + i];
    }
}
// a(rows, elements) in rows of `pitch`, and rows of zeros up to M.
template <int M, bool split, class T, class A> DSLC_FN void skinny_left(T *to, int pitch, const Window<A> &a, int elements, int rows) {
    const int strips = (M + dot_strip - 1) / dot_strip, height = M / strips, taller = M % strips;
    for (int s = 0, row = 0; s < strips; row += height + (s < taller), ++s)
        for (int i = 0, high = height + (s < taller); i < high; ++i, to += pitch)
            if (row + i >= rows)
                __builtin_memset(to, 0, elements * sizeof *to);
            else if (!a.packed)
                skinny_row<split>(to, a.data + (row + i) * a.row, a.col, elements);
            else
                skinny_packed_row<split>(to, a, row, i, high, elements);
}

// ---------------------------------------------------------------- inner products
// c(M, columns) + a(M, depth) b(depth, columns), columns of b contiguous and b_col apart. (With a pitch that is not constant g++ keeps
// the address of each row of a on the stack: 4 rows of bf16 in a cache, 8192 columns of 128, take 6 % longer on a Zen 3.)
template <int M, int columns, int pitch, bool fetch, class T, class B>
DSLC_FN void skinny_inner(const DotSum<T> &c, const T *a, const B *b, index_t b_col, int depth, index_t ahead) {
    typedef typename DotVector<T>::type V;
    constexpr int width = DotWidth<T>::value, sums = M * columns, padded = (sums + width - 1) / width * width;
    if (fetch)                                               // whole columns: memory is read in the order of its addresses
        for (int j = 0; j < columns; ++j)
            for (int e = 0; e < depth; e += 64 / (int)sizeof(B)) __builtin_prefetch(b + j * b_col + ahead + e);
    V sum[padded];
    DSLC_UNROLL for (int s = 0; s < padded; ++s) sum[s] = V{};
    int k = 0;
    for (; k + 2 * width <= depth; k += 2 * width) {
        V y[columns][2];
        DSLC_UNROLL for (int j = 0; j < columns; ++j) {
            skinny_load(y[j], b + j * b_col + k);
            y[j][0] = skinny_kept(y[j][0]), y[j][1] = skinny_kept(y[j][1]);
        }
        DSLC_UNROLL for (int half = 0; half < 2; ++half)
            DSLC_UNROLL for (int i = 0; i < M; ++i) {
                const V x = skinny_kept(dot_load<V>(a + i * pitch + k + half * width));
                DSLC_UNROLL for (int j = 0; j < columns; ++j) sum[i * columns + j] = dot_multiply_add(x, y[j][half], sum[i * columns + j]);
            }
    }
    T total[padded];
    DSLC_UNROLL for (int s = 0; s < padded; s += width) {
        const V totals = skinny_totals<T>(sum + s);
        __builtin_memcpy(total + s, &totals, sizeof totals);
    }
    for (; k < depth; ++k)
        for (int s = 0; s < sums; ++s) total[s] = dot_multiply_add(a[s / columns * pitch + k], (T)dot_value(b[s % columns * b_col + k]), total[s]);
    DSLC_UNROLL for (int i = 0; i < M; ++i) {
        if (c.from)
            DSLC_UNROLL for (int j = 0; j < columns; ++j) total[i * columns + j] += c.from[i * c.from_row + j];
        __builtin_memcpy(c.to + i * c.to_row, total + i * columns, columns * sizeof(T));
    }
}
// All columns. Apart from its callers nothing else competes for its registers.
template <int M, int pitch, bool fetch, class T, class B>
DSLC_ONCE void skinny_columns_of(const DotSum<T> &c, const T *a, const B *b, index_t b_col, int n, int depth) {
    constexpr int columns = skinny_columns(M);
    const index_t ahead = (skinny_ahead / (depth * (index_t)sizeof(B)) + 1) * b_col;
    int j = 0;
    for (; j + columns <= n; j += columns)
        skinny_inner<M, columns, pitch, fetch>(c.beside(j), a, b + j * b_col, b_col, depth, ahead);
    if constexpr (columns > 1)
        for (; j < n; ++j) skinny_inner<M, 1, pitch, fetch>(c.beside(j), a, b + j * b_col, b_col, depth, ahead);
}

// ---------------------------------------------------------------- sums of rows
// c(M, vectors) (+)= a(M, depth) b(depth, vectors), rows of b contiguous; each sum runs over k in order.
template <int M, int vectors, int pitch, class T, class B>
DSLC_FN void skinny_columns_of_rows(T *c, index_t c_row, const T *a, const B *b, index_t b_row, int depth, bool more) {
    typedef typename DotVector<T>::type V;
    const int width = DotWidth<T>::value;
    V sum[M][vectors];
    DSLC_UNROLL for (int i = 0; i < M; ++i)
        DSLC_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = more ? dot_load<V>(c + i * c_row + j * width) : V{};
    for (int k = 0; k < depth; ++k, b += b_row) {
        V y[vectors];
        DSLC_UNROLL for (int j = 0; j < vectors; ++j) y[j] = skinny_kept(dot_load_converted<V>(b + j * width));
        DSLC_UNROLL for (int i = 0; i < M; ++i) {
            const V x = dot_broadcast<V>(a[i * pitch + k]);
            DSLC_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = dot_multiply_add(x, y[j], sum[i][j]);
        }
    }
    DSLC_UNROLL for (int i = 0; i < M; ++i)
        DSLC_UNROLL for (int j = 0; j < vectors; ++j) __builtin_memcpy(c + i * c_row + j * width, &sum[i][j], sizeof(V));
}
template <int M, int pitch, bool fetch, class T, class B>
DSLC_ONCE void skinny_pass_of_rows(T *c, index_t c_row, const T *a, const B *b, index_t b_row, int columns, int depth, bool more) {
    const int width = DotWidth<T>::value, wide = skinny_vectors(M) * width;
    const B *next = b + (skinny_ahead / (skinny_pass * columns * (index_t)sizeof(B)) + 1) * skinny_pass * b_row;
    int j = 0, fetched = 0;
    for (; j + wide <= columns; j += wide) {
        if (fetch)                                           // whole rows of the next pass: memory is read in the order of its addresses
            for (; fetched * columns < (j + wide) * skinny_pass; ++fetched)
                for (int e = 0; e < columns; e += 64 / (int)sizeof(B)) __builtin_prefetch(next + fetched * b_row + e);
        skinny_columns_of_rows<M, skinny_vectors(M), pitch>(c + j, c_row, a, b + j, b_row, depth, more);
    }
    for (; j + width <= columns; j += width) skinny_columns_of_rows<M, 1, pitch>(c + j, c_row, a, b + j, b_row, depth, more);
    for (; j < columns; ++j)
        for (int i = 0; i < M; ++i) {
            T sum = more ? c[i * c_row + j] : 0;
            for (int k = 0; k < depth; ++k) sum = dot_multiply_add(a[i * pitch + k], (T)dot_value(b[k * b_row + j]), sum);
            c[i * c_row + j] = sum;
        }
}

// sum + sums(M, columns), whose rows are `row` apart.
template <int M, class T> DSLC_FN void skinny_add(const DotSum<T> &sum, const T *sums, int row, int columns) {
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < columns; ++j) sum.to[i * sum.to_row + j] = sum.from[i * sum.from_row + j] + sums[i * row + j];
}

// ---------------------------------------------------------------- interface
template <int M, int N, int K, class A, class B> struct SkinnyPlan {
    typedef typename DotOperand<A>::unit T;
    static const bool possible = M > 1 && M <= skinny_rows && N > 1 && DotSkinny<A>::possible && DotSkinny<B>::possible;
    static const int pitch = (K + 15) / 16 * 16 + 16;        // rows of a: not all in the same sets of a cache
    static const bool fetch = (size_t)N * K * sizeof(B) >= (size_t)skinny_large;
    static const size_t left_bytes = (size_t)M * pitch * sizeof(T), bytes = possible ? left_bytes + (size_t)M * N * sizeof(T) : 0;

    // Rows of b must be long enough to repay a copy of a: panels of 16 columns, 8 rows of f32 out of memory, take 4 ms without and 15 with it.
    static bool takes(const Window<B> &b) { return !b.packed && (b.row == 1 ? K >= 16 : b.col == 1 && N >= skinny_least); }
};

// Assumes what SkinnyPlan says. Sums over k are those of dot_tile where rows of b are contiguous.
template <int M, int N, int K, class A, class B, class T>
DSLC_FN void skinny_dot(const DotSum<T> &whole, T *acc, index_t acc_row, const Window<A> &a, const Window<B> &b, void *scratch, int depth, int rows,
                        int columns) {
    typedef SkinnyPlan<M, N, K, A, B> P;
    T *left = (T *)scratch, *sums = (T *)((char *)scratch + P::left_bytes);
    if (b.row == 1 && b.col != 1) {
        skinny_left<M, SkinnyOrder<B>::split>(left, P::pitch, a, depth, rows);
        return skinny_columns_of<M, P::pitch, P::fetch>(whole, left, b.data, b.col, columns, depth);
    }
    skinny_left<M, false>(left, P::pitch, a, depth, rows);
    for (int k = 0, n; k < depth; k += n) {
        n = DotPlan<M, N, K, A>::cut(k, depth);
        const DotSum<T> sum = whole.cut(k > 0, k + n < depth, acc, acc_row);
        T *to = sum.from ? sums : sum.to;
        for (int e = 0; e < n; e += skinny_pass)
            skinny_pass_of_rows<M, P::pitch, P::fetch>(to, sum.from ? N : sum.to_row, left + k + e, b.data + (k + e) * b.row, b.row, columns,
                                             n - e < skinny_pass ? n - e : (int)skinny_pass, e > 0);
        if (sum.from) skinny_add<M>(sum, sums, N, columns);
    }
}
#endif
