// Tile products whose right operand is 4-bit fields of words, eight consecutive rows to a word: acc(M, N) = (accumulate ? acc : 0) + a(M, K) (b - less).
// Fields become numbers in registers. What is subtracted is a whole number, so that b - less is exact in f32: eight rows or fewer use each number
// where it arises, the words read once, in the order of memory; more rows share a panel of numbers.
#ifndef DSLC_TILE_FIELDS_H
#define DSLC_TILE_FIELDS_H

#include "tile_dot.h"

// Rows 8 r..8 r + 7 are the words + r * row; `constant` is taken from all numbers, or, if it is fields_by_column, `less` from those of each column.
template <int constant> struct Fields {
    const u32 *words;
    index_t row;
    const f32 *less;
};
enum { fields_in_word = 8, fields_by_column = -1, fields_ahead = 4 };        // words of the rows after the next are on their way

typedef u32 fields_row __attribute__((vector_size(DSLC_VECTOR_BYTES)));
// A row of words as `fields_number` wants them, and the numbers of field f in them. Of words whose fields have 8 as their zero the highest bit of each
// field is turned: it is the sign of the difference.
template <int constant> DSLC_FN fields_row fields_words(const Fields<constant> &b, index_t r, int j) {
    const fields_row words = dot_load<fields_row>(b.words + r * b.row + j);
    return constant == 8 ? words ^ 0x88888888u : words;
}
template <int constant> DSLC_FN dot_f32 fields_number(fields_row words, int f, const Fields<constant> &b, int j) {
    if constexpr (constant == 8) return __builtin_convertvector((dot_i32)(words << (28 - 4 * f)) >> 28, dot_f32);
    const dot_f32 number = __builtin_convertvector((dot_i32)(words >> (4 * f) & 15u), dot_f32);
    return constant == fields_by_column ? number - dot_load<dot_f32>(b.less + j) : number - (f32)constant;
}

// c(M, vectors) (+)= a(M, 8) of one row of words: with few rows several vectors, since each sum waits for itself eight times.
template <int M, int vectors, int constant>
DSLC_FN void fields_columns(f32 *c, index_t c_row, const f32 *a, int pitch, const Fields<constant> &b, index_t r, int j, bool more) {
    const int width = DotWidth<f32>::value;
    fields_row words[vectors];
    dot_f32 sum[vectors][M];
    DSLC_UNROLL for (int v = 0; v < vectors; ++v) {
        __builtin_prefetch(b.words + (r + fields_ahead) * b.row + j + v * width);
        words[v] = fields_words(b, r, j + v * width);
        DSLC_UNROLL for (int i = 0; i < M; ++i) sum[v][i] = more ? dot_load<dot_f32>(c + i * c_row + j + v * width) : dot_f32{};
    }
    DSLC_UNROLL for (int f = 0; f < fields_in_word; ++f)
        DSLC_UNROLL for (int v = 0; v < vectors; ++v) {
            const dot_f32 y = fields_number(words[v], f, b, j + v * width);
            DSLC_UNROLL for (int i = 0; i < M; ++i) sum[v][i] = dot_multiply_add(dot_broadcast<dot_f32>(a[i * pitch + f]), y, sum[v][i]);
        }
    DSLC_UNROLL for (int v = 0; v < vectors; ++v)
        DSLC_UNROLL for (int i = 0; i < M; ++i) __builtin_memcpy(c + i * c_row + j + v * width, &sum[v][i], sizeof(dot_f32));
}
template <int M, int N, int constant>
DSLC_ONCE void fields_rows(f32 *c, index_t c_row, const f32 *a, int pitch, const Fields<constant> &b, index_t r, bool more) {
    constexpr int vectors = M == 1 && N % (4 * DotWidth<f32>::value) == 0 ? 4 : M <= 3 && N % (2 * DotWidth<f32>::value) == 0 ? 2 : 1;
    for (int j = 0; j < N; j += vectors * DotWidth<f32>::value) fields_columns<M, vectors>(c, c_row, a, pitch, b, r, j, more);
}

template <int M, int N, int K, class A> struct FieldsPlan {
    static const int pitch = K + 16, panel = dot_vectors * DotWidth<f32>::value;
    static const size_t left_bytes = DotPlan<M, N, K, A>::left_bytes > (size_t)M * pitch * 4 ? DotPlan<M, N, K, A>::left_bytes : (size_t)M * pitch * 4;
    static const size_t bytes = left_bytes + (size_t)K * panel * 4 + (size_t)(M <= skinny_rows ? M : 0) * N * 4;
};
template <int M, int N, int K, class A> constexpr size_t dot_fields_scratch() { return FieldsPlan<M, N, K, A>::bytes; }

// All panels of numbers times a.
template <int M, int N, int K, class A, int constant>
DSLC_FN void fields_panels(const DotSum<f32> &sum, const Window<A> &a, const Fields<constant> &b, f32 *converted, f32 *numbers, int rows) {
    const int width = DotWidth<f32>::value, panel = FieldsPlan<M, N, K, A>::panel;
    const DotCut<A, A> cut = dot_cut_left<M, A, A>(a, 0, K, rows, converted);
    for (int j = 0; j < N; j += panel) {
        for (int r = 0; r < K / fields_in_word; ++r)
            for (int v = 0; v < panel; v += width) {
                const fields_row words = fields_words(b, r, j + v);
                DSLC_UNROLL for (int f = 0; f < fields_in_word; ++f) {
                    const dot_f32 y = fields_number(words, f, b, j + v);
                    __builtin_memcpy(numbers + (r * fields_in_word + f) * panel + v, &y, sizeof y);
                }
            }
        dot_panel<M, dot_vectors>(sum.beside(j), cut, (const f32 *)numbers, panel, K, panel);
    }
}

// As dot, but that all K and N columns are there. K is a multiple of 8 and at most dot_depth, N one of the columns of a panel.
template <int M, int N, int K, class A, int constant>
DSLC_FN void dot_fields(f32 *acc, index_t acc_row, const Window<A> &a, const Fields<constant> &b, bool accumulate, void *scratch, index_t = K,
                        index_t rows = M, index_t = N, bool last = false, f32 *to = nullptr, index_t to_row = 0) {
    typedef FieldsPlan<M, N, K, A> P;
    static_assert(K % fields_in_word == 0 && K <= dot_depth && N % P::panel == 0, "whole words and panels");
    f32 *left = (f32 *)scratch, *numbers = (f32 *)((char *)scratch + P::left_bytes), *sums = numbers + (size_t)K * P::panel;
    const int m = rows < M ? (int)rows : M;
    const DotSum<f32> sum = {accumulate ? acc : nullptr, last ? to : acc, acc_row, last ? to_row : acc_row};
    if constexpr (M > skinny_rows) {
        fields_panels<M, N, K>(sum, a, b, left, numbers, m);
    } else {
        skinny_left<M, false>(left, P::pitch, a, K, m);
        for (index_t r = 0; r < K / fields_in_word; ++r)
            fields_rows<M, N>(sum.from ? sums : sum.to, sum.from ? N : sum.to_row, left + r * fields_in_word, P::pitch, b, r, r > 0);
        if (sum.from) skinny_add<M>(sum, sums, N, N);
    }
}
#endif
