// Tile products whose right operand is 4-bit fields of words, eight consecutive rows to a word: acc(M, N) = (accumulate ? acc : 0) + a(M, K) (b - less).
// Fields become numbers in registers. What is subtracted is a whole number, so that b - less is exact in f32: eight rows or fewer use each number
// where it arises, the words read once, in the order of memory; more rows share a panel of numbers. One row of 16-bit numbers is a sum of integers.
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

// The same where products leave room for another multiply-add: the field is not shifted but read as that multiple of itself, and divided as `less` is taken
// from it. Every step is exact. With one row, that is four operations on registers for eight weights instead of five.
template <int constant> DSLC_FN dot_f32 fields_number_fused(fields_row words, int f, dot_f32 less) {
    if (f == fields_in_word - 1) return __builtin_convertvector((dot_i32)(words >> (4 * f)), dot_f32) - less;
    const dot_f32 many = __builtin_convertvector((dot_i32)(words & 15u << (4 * f)), dot_f32);
    return dot_multiply_add(many, dot_f32{} + 1.0f / (f32)(1 << (4 * f)), -less);
}

// c(M, vectors) (+)= a(M, 8) of one row of words: with few rows several vectors, since each sum waits for itself eight times.
template <int M, int vectors, int constant>
DSLC_FN void fields_columns(f32 *c, index_t c_row, const f32 *a, int pitch, const Fields<constant> &b, index_t r, int j, bool more) {
    const int width = DotWidth<f32>::value;
    constexpr bool fused = M <= 2;
    fields_row words[vectors];
    dot_f32 sum[vectors][M], less[vectors];
    DSLC_UNROLL for (int v = 0; v < vectors; ++v) {
        __builtin_prefetch(b.words + (r + fields_ahead) * b.row + j + v * width);
        words[v] = fused ? dot_load<fields_row>(b.words + r * b.row + j + v * width) : fields_words(b, r, j + v * width);
        less[v] = constant == fields_by_column ? dot_load<dot_f32>(b.less + j + v * width) : dot_f32{} + (f32)constant;
        DSLC_UNROLL for (int i = 0; i < M; ++i) sum[v][i] = more ? dot_load<dot_f32>(c + i * c_row + j + v * width) : dot_f32{};
    }
    DSLC_UNROLL for (int f = 0; f < fields_in_word; ++f)
        DSLC_UNROLL for (int v = 0; v < vectors; ++v) {
            const dot_f32 y = fused ? fields_number_fused<constant>(words[v], f, less[v]) : fields_number(words[v], f, b, j + v * width);
            DSLC_UNROLL for (int i = 0; i < M; ++i) sum[v][i] = dot_multiply_add(dot_broadcast<dot_f32>(a[i * pitch + f]), y, sum[v][i]);
        }
    DSLC_UNROLL for (int v = 0; v < vectors; ++v)
        DSLC_UNROLL for (int i = 0; i < M; ++i) __builtin_memcpy(c + i * c_row + j + v * width, &sum[v][i], sizeof(dot_f32));
}
// c(M, 2 vectors) (+)= a(M, 8) y(8, 2 vectors).
template <int M> DSLC_FN void fields_times(f32 *c, index_t c_row, const f32 *a, int pitch, const dot_f32 (*y)[2], bool more) {
    const int width = DotWidth<f32>::value;
    dot_f32 sum[M][2];
    DSLC_UNROLL for (int i = 0; i < M; ++i)
        DSLC_UNROLL for (int v = 0; v < 2; ++v) sum[i][v] = more ? dot_load<dot_f32>(c + i * c_row + v * width) : dot_f32{};
    DSLC_UNROLL for (int f = 0; f < fields_in_word; ++f) {
        const dot_f32 left = skinny_kept(y[f][0]), right = skinny_kept(y[f][1]);
        DSLC_UNROLL for (int i = 0; i < M; ++i) {
            const dot_f32 x = dot_broadcast<dot_f32>(a[i * pitch + f]);
            sum[i][0] = dot_multiply_add(x, left, sum[i][0]), sum[i][1] = dot_multiply_add(x, right, sum[i][1]);
        }
    }
    DSLC_UNROLL for (int i = 0; i < M; ++i)
        DSLC_UNROLL for (int v = 0; v < 2; ++v) __builtin_memcpy(c + i * c_row + v * width, &sum[i][v], sizeof(dot_f32));
}
// The same for more rows than have two sums each in registers: numbers go through L1 to two halves of the rows, each element of a to two vectors of them.
template <int M, int constant>
DSLC_FN void fields_halves(f32 *c, index_t c_row, const f32 *a, int pitch, const Fields<constant> &b, index_t r, int j, bool more) {
    const int width = DotWidth<f32>::value;
    dot_f32 y[fields_in_word][2];
    __builtin_prefetch(b.words + (r + fields_ahead) * b.row + j);
    DSLC_UNROLL for (int v = 0; v < 2; ++v) {
        const fields_row words = fields_words(b, r, j + v * width);
        DSLC_UNROLL for (int f = 0; f < fields_in_word; ++f) y[f][v] = fields_number(words, f, b, j + v * width);
    }
    __asm__("" : : "r"(y) : "memory");
    fields_times<(M + 1) / 2>(c + j, c_row, a, pitch, y, more);
    fields_times<M / 2>(c + j + (M + 1) / 2 * c_row, c_row, a + (M + 1) / 2 * pitch, pitch, y, more);
}
template <int M, int N, int constant>
DSLC_ONCE void fields_rows(f32 *c, index_t c_row, const f32 *a, int pitch, const Fields<constant> &b, index_t r, bool more) {
    if constexpr (M > 4 && N % (2 * DotWidth<f32>::value) == 0)
        for (int j = 0; j < N; j += 2 * DotWidth<f32>::value) fields_halves<M>(c, c_row, a, pitch, b, r, j, more);
    else {
        constexpr int vectors = M == 1 && N % (4 * DotWidth<f32>::value) == 0 ? 4 : N % (2 * DotWidth<f32>::value) == 0 ? 2 : 1;
        for (int j = 0; j < N; j += vectors * DotWidth<f32>::value) fields_columns<M, vectors>(c, c_row, a, pitch, b, r, j, more);
    }
}

// ---------------------------------------------------------------- one row, in integers
// Numbers of 16 bits that are not too far apart are integers times a power of two, of one to four bytes. Then sums of products with fields are sums of
// products of bytes, exact, at 16 operations on registers for 64 weights and three bytes, where numbers take 32 and round. Bytes are signed, so the lower of
// them are carried from. What is subtracted from fields is subtracted from sums, times the sum of the bytes.
enum { digits_most = 4, digits_bits = 30, digits_exponent = 60 };            // bytes; bits of the largest number; its power of two at most, or at least, minus
template <class A> struct FieldsDigits { enum { possible = 0 }; };
#if defined(__AVX2__) && !defined(__AVX512F__)
template <> struct FieldsDigits<f16> { enum { possible = 1 }; };
template <> struct FieldsDigits<bf16> { enum { possible = 1 }; };
#endif
template <int M, int N, int K> struct DigitsPlan {
    static const int rows = K / fields_in_word, together = rows % 4 == 0 ? 4 : rows % 2 == 0 ? 2 : 1;    // 8 times 15 times 128 times 2 fits 16 bits
    static const size_t spread_bytes = (size_t)digits_most * rows * 2 * 32, sums_bytes = (size_t)digits_most * N * 4, bytes = spread_bytes + sums_bytes;
};
struct Digits {
    int count;                                               // 0: there are none
    f32 unit;
    i32 sums[digits_most];
};

#if defined(__AVX2__) && !defined(__AVX512F__)
// K numbers as `count` bytes each times `unit`. to[(r * count + d) * 2 + odd] has byte d of elements 8 r + odd, + 2, + 4, + 6 over and over.
template <int K> DSLC_FN Digits fields_digits(fields_row *to, const f32 *x) {
    i32 largest = 0;                                         // its bits; infinities and NaN are beyond the exponents
    DSLC_VECTOR for (int k = 0; k < K; ++k) {
        const i32 size = (i32)(bits_of(x[k]) & 0x7fffffffu);
        largest = size > largest ? size : largest;
    }
    const int exponent = largest ? (largest >> 23) - 126 : 0;                // the largest is below 2^exponent
    if (exponent > digits_exponent || exponent < -digits_exponent) return {};
    const f32 scale = f32_of((u32)(127 + digits_bits - exponent) << 23);
    i32 whole[K], all = 0, wrong = 0;
    DSLC_VECTOR for (int k = 0; k < K; ++k) {
        whole[k] = (i32)(x[k] * scale);
        all |= whole[k], wrong |= (f32)whole[k] != x[k] * scale;
    }
    if (wrong) return {};
    Digits made = {digits_most - (all ? __builtin_ctz((u32)all) / 8 : digits_most - 1), 0, {}};
    const int below = 8 * (digits_most - made.count);
    made.unit = f32_of((u32)(254 + below - (int)(bits_of(scale) >> 23)) << 23);
    DSLC_VECTOR for (int k = 0; k < K; ++k) whole[k] >>= below;
    for (int d = 0; d < made.count; ++d) {
        i8 digit[K];
        DSLC_VECTOR for (int k = 0; k < K; ++k) {
            digit[k] = (i8)whole[k];
            made.sums[d] += digit[k];
            whole[k] = (whole[k] - digit[k]) >> 8;
        }
        for (int r = 0; r < K / fields_in_word; ++r)
            for (int odd = 0; odd < 2; ++odd) {
                u32 four;
                const i8 of[4] = {digit[8 * r + odd], digit[8 * r + odd + 2], digit[8 * r + odd + 4], digit[8 * r + odd + 6]};
                __builtin_memcpy(&four, of, sizeof four);
                to[(r * made.count + d) * 2 + odd] = fields_row{} + four;
            }
    }
    return made;
}
// sums[d * N + j] (+)= byte d of a times the fields of column j, of some rows of words from r on.
template <int N, int K, int count, int constant>
DSLC_ONCE void fields_rows_digits(i32 *sums, const fields_row *spread, const Fields<constant> &b, index_t r, bool more) {
    typedef char bytes __attribute__((vector_size(32)));
    typedef short shorts __attribute__((vector_size(32)));
    typedef DigitsPlan<1, N, K> P;
    const fields_row nibbles = fields_row{} + 0x0f0f0f0fu, *const here = spread + 2 * count * r;
    const index_t row = b.row;
    const u32 *words_here = b.words + r * row;
    for (int j = 0; j < N; j += 16, words_here += 16) {
        shorts sum[2][count];
        DSLC_UNROLL for (int t = 0; t < P::together; ++t) {
            bytes of[2][2];
            __builtin_prefetch(words_here + (t + P::together) * row);
            DSLC_UNROLL for (int v = 0; v < 2; ++v) {
                const fields_row words = skinny_kept(dot_load<fields_row>(words_here + t * row + 8 * v));
                of[v][0] = (bytes)(words & nibbles), of[v][1] = (bytes)(words >> 4 & nibbles);
            }
            DSLC_UNROLL for (int d = 0; d < count; ++d)
                DSLC_UNROLL for (int odd = 0; odd < 2; ++odd) {
                    const bytes x = skinny_kept((bytes)here[(t * count + d) * 2 + odd]);
                    DSLC_UNROLL for (int v = 0; v < 2; ++v) {                // one by one: g++ would add all at the end, by way of memory
                        const shorts two = (shorts)__builtin_ia32_pmaddubsw256(of[v][odd], x);
                        sum[v][d] = skinny_kept(t + odd > 0 ? sum[v][d] + two : two);
                    }
                }
        }
        DSLC_UNROLL for (int d = 0; d < count; ++d)
            DSLC_UNROLL for (int v = 0; v < 2; ++v) {
                i32 *const to = sums + d * N + j + 8 * v;
                dot_i32 total = (dot_i32)__builtin_ia32_pmaddwd256(sum[v][d], shorts{} + (short)1);
                if (more) total += dot_load<dot_i32>(to);
                __builtin_memcpy(to, &total, sizeof total);
            }
    }
}
template <int N, int K, int count, int constant>
DSLC_FN void fields_by_digits(f32 *to, const f32 *from, const Digits &x, const fields_row *spread, i32 *sums, const Fields<constant> &b) {
    typedef DigitsPlan<1, N, K> P;
    for (index_t r = 0; r < P::rows; r += P::together) fields_rows_digits<N, K, count>(sums, spread, b, r, r > 0);
    DSLC_VECTOR for (int j = 0; j < N; ++j) {                // each difference is below 2^24
        const i32 less = constant == fields_by_column ? (i32)b.less[j] : constant;
        f32 total = (f32)(sums[(count - 1) * N + j] - less * x.sums[count - 1]);
        DSLC_UNROLL for (int d = count - 2; d >= 0; --d) total = dot_multiply_add(total, 256.0f, (f32)(sums[d * N + j] - less * x.sums[d]));
        to[j] = dot_multiply_add(total, x.unit, from ? from[j] : 0.0f);
    }
}
// Whether there were digits.
template <int N, int K, int constant> DSLC_FN bool fields_few(f32 *to, const f32 *from, const f32 *left, void *scratch, const Fields<constant> &b) {
    fields_row *const spread = (fields_row *)scratch;
    i32 *const sums = (i32 *)((char *)scratch + DigitsPlan<1, N, K>::spread_bytes);
    const Digits x = fields_digits<K>(spread, left);
    if (x.count == 1) fields_by_digits<N, K, 1>(to, from, x, spread, sums, b);
    if (x.count == 2) fields_by_digits<N, K, 2>(to, from, x, spread, sums, b);
    if (x.count == 3) fields_by_digits<N, K, 3>(to, from, x, spread, sums, b);
    if (x.count == 4) fields_by_digits<N, K, 4>(to, from, x, spread, sums, b);
    return x.count > 0;
}
#else
template <int N, int K, int constant> DSLC_FN bool fields_few(f32 *, const f32 *, const f32 *, void *, const Fields<constant> &) { return false; }
#endif

template <int M, int N, int K, class A> struct FieldsPlan {
    static const int pitch = K + 16, panel = dot_vectors * DotWidth<f32>::value;
    static const size_t left_bytes = DotPlan<M, N, K, A>::left_bytes > (size_t)M * pitch * 4 ? DotPlan<M, N, K, A>::left_bytes : (size_t)M * pitch * 4;
    static const bool digits = M == 1 && FieldsDigits<A>::possible;
    static const size_t sums_bytes = (size_t)(M <= skinny_rows ? M : 0) * N * 4, bytes = left_bytes + (size_t)K * panel * 4 + sums_bytes
                                                                                         + (digits ? DigitsPlan<M, N, K>::bytes : 0);
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
        if constexpr (P::digits)
            if (fields_few<N, K>(sum.to, sum.from, left, (char *)sums + P::sums_bytes, b)) return;
        for (index_t r = 0; r < K / fields_in_word; ++r)
            fields_rows<M, N>(sum.from ? sums : sum.to, sum.from ? N : sum.to_row, left + r * fields_in_word, P::pitch, b, r, r > 0);
        if (sum.from) skinny_add<M>(sum, sums, N, N);
    }
}
#endif
