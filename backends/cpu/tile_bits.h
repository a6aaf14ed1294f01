// Sums of bits of all pairs of rows: to[i][j] = the number of one bits of f(a[i], b[j]), rows of K integers, where f is made of bitwise operations.
//
// What four bits of b's row give against four of a's is one of 16 tables of 16 numbers, so a shuffle of bytes looks it up for 32 rows of b at once: no f, no
// shifts, no sums across lanes. Tables for two rows of a share their bytes, 16 times the second number: three lookups are added before the two counts
// would run into each other. 9 operations on registers for 6 times 32 lookups, where 32 bytes against 32 take 8 by themselves (on a Zen 3, 630 G operations
// on bits a second so, and 1160 by tables). Rows of b are first laid out as planes: four bits of each of 32 rows in the bytes of a register.
#ifndef DSLC_TILE_BITS_H
#define DSLC_TILE_BITS_H

#include "tile_memory.h"
#include "tile_strips.h"

#if defined(__AVX2__) && !defined(__AVX512VPOPCNTDQ__) && (defined(__clang__) || __GNUC__ >= 12)
typedef u8 pairs_row __attribute__((vector_size(32)));
typedef u16 pairs_sums __attribute__((vector_size(32)));
// Lookups whose two counts fit four bits each; lookups whose counts, four at most each, fit a byte, a multiple of `pairs_step`.
enum { pairs_step = 3, pairs_run = 60, pairs_group = 32 };

template <int M, int N, int bytes> struct PairsPlan {
    static const int vectors = N % (4 * pairs_group) == 0 ? 4 : N % (2 * pairs_group) == 0 ? 2 : 1, columns = vectors * pairs_group;
    static const int steps = (2 * bytes + pairs_step - 1) / pairs_step * pairs_step;
    static const size_t table = 256 * 16, planes = (size_t)steps * columns;
    static const size_t lookups = (size_t)(M / 2) * steps * sizeof(u16), sums = (size_t)M * columns * sizeof(u16);
};
template <int M, int N, int K, class T> constexpr size_t sum_bits_of_pairs_scratch() {
    typedef PairsPlan<M, N, K * (int)sizeof(T)> P;
    return P::table + P::planes + (P::lookups + 63) / 64 * 64 + P::sums;
}

template <class R> DSLC_FN R pairs_load(const void *p) {
    R row;
    __builtin_memcpy(&row, p, sizeof row);
    return row;
}
template <class R> DSLC_FN void pairs_store(void *p, R row) { __builtin_memcpy(p, &row, sizeof row); }
// A sum that stays in its register: g++ 12 copies or stores those of a loop once a turn.
DSLC_FN pairs_row pairs_kept(pairs_row x) {
    __asm__("" : "+x"(x));
    return x;
}

// A table in both halves: as a shuffle, g++ 12 makes two instructions of it.
DSLC_FN pairs_row pairs_table(const u8 *p) {
    typedef u8 half __attribute__((vector_size(16)));
    pairs_row both;
    __asm__("vbroadcasti128 %1, %0" : "=x"(both) : "m"(*(const half *)p));
    return both;
}

// table[x + 16 y][z] = bits of f(x, z) and, 16 times, those of f(y, z), all of four bits.
template <class T, class F> DSLC_FN void pairs_tables(u8 *table, F f) {
    u8 bits[16][16];
    for (int x = 0; x < 16; ++x)
        for (int z = 0; z < 16; ++z) bits[x][z] = (u8)popcount((u8)((u8)f((T)x, (T)z) & 15));
    for (int both = 0; both < 256; ++both)
        DSLC_VECTOR for (int z = 0; z < 16; ++z) table[both * 16 + z] = (u8)(bits[both & 15][z] | bits[both >> 4][z] << 4);
}
// The offsets of the tables for each four bits of two rows.
template <int bytes> DSLC_FN void pairs_lookups(u16 *to, const u8 *first, const u8 *second) {
    DSLC_VECTOR for (int k = 0; k < bytes; ++k) {
        to[2 * k] = (u16)((first[k] & 15) << 4 | (second[k] & 15) << 8);
        to[2 * k + 1] = (u16)((first[k] & 240) | (second[k] & 240) << 4);
    }
}
// Planes of 32 rows, one for each four bits, lower ones first. Byte g of the four of lane l is row 8 g + l.
template <int bytes> DSLC_FN void pairs_planes(u8 *to, int pitch, const u8 *rows, index_t row) {
    const turns_row even = turns_row{} + 0x00ff00ffu, low = turns_row{} + 0x0000ffffu, nibble = turns_row{} + 0x0f0f0f0fu;
    for (int k = 0; k < bytes; k += 16) {
        turns_row x[4][4], y[4];                             // four words of a row in each of four groups of eight rows
        for (int g = 0; g < 4; ++g) {
            const u8 *p = rows + 8 * g * row + k;
            for (int l = 0; l < 4; ++l) x[g][l] = turns_join((const u32 *)(p + l * row), (const u32 *)(p + (l + 4) * row));
            turns_squares(x[g]);
        }
        for (int w = 0; w < 4; ++w) {
            const turns_row a = (x[0][w] & even) | (x[1][w] & even) << 8, b = (x[0][w] >> 8 & even) | (x[1][w] & ~even);
            const turns_row c = (x[2][w] & even) | (x[3][w] & even) << 8, d = (x[2][w] >> 8 & even) | (x[3][w] & ~even);
            y[0] = (a & low) | c << 16, y[1] = (b & low) | d << 16, y[2] = a >> 16 | (c & ~low), y[3] = b >> 16 | (d & ~low);
            for (int b4 = 0; b4 < 4; ++b4, to += 2 * pitch) pairs_store(to, y[b4] & nibble), pairs_store(to + pitch, y[b4] >> 4 & nibble);
        }
    }
}

DSLC_FN pairs_row pairs_looked_up(pairs_row table, const u8 *plane) {
    typedef char pairs_bytes __attribute__((vector_size(32)));
    return (pairs_row)__builtin_ia32_pshufb256((pairs_bytes)table, pairs_load<pairs_bytes>(plane));
}
// Counts in bytes to the sums of their columns: those of bytes 0 and 2 of each word, then those of bytes 1 and 3.
DSLC_FN void pairs_add(u16 *sums, pairs_row counts, bool more) {
    const pairs_sums even = (pairs_sums)counts & 255, odd = (pairs_sums)counts >> 8;
    pairs_store(sums, more ? pairs_load<pairs_sums>(sums) + even : even);
    pairs_store(sums + 16, more ? pairs_load<pairs_sums>(sums + 16) + odd : odd);
}
// Two rows of a against `vectors` times 32 of b, `steps` lookups long. `both` is the first count plus 16 times the second, less what a byte drops.
template <int vectors>
DSLC_ONCE void pairs_count(u16 *sums, const u8 *table, const u16 *lookups, const u8 *planes, int steps, bool more) {
    const int pitch = vectors * pairs_group;
    const pairs_row low = pairs_row{} + (u8)15;
    pairs_row both[vectors], second[vectors];
    DSLC_UNROLL for (int v = 0; v < vectors; ++v) both[v] = second[v] = pairs_row{};
    for (; steps > 0; steps -= pairs_step, lookups += pairs_step, planes += pairs_step * pitch) {
        pairs_row t[pairs_step];
        DSLC_UNROLL for (int e = 0; e < pairs_step; ++e) t[e] = pairs_table(table + lookups[e]);
        DSLC_UNROLL for (int v = 0; v < vectors; ++v) {
            const u8 *const p = planes + v * pairs_group;
            const pairs_row three = pairs_looked_up(t[0], p) + pairs_looked_up(t[1], p + pitch) + pairs_looked_up(t[2], p + 2 * pitch);
            both[v] = pairs_kept(both[v] + three);
            second[v] = pairs_kept(second[v] + ((pairs_row)((pairs_sums)three >> 4) & low));
        }
    }
    DSLC_UNROLL for (int v = 0; v < vectors; ++v) {
        pairs_add(sums + v * pairs_group, both[v] - (second[v] << 4), more);
        pairs_add(sums + (vectors + v) * pairs_group, second[v], more);
    }
}
// The sums of two rows as i32: word l of each half of 16 has rows l and 16 + l of b, then 8 + l and 24 + l.
template <int vectors> DSLC_FN void pairs_write(i32 *to, const u16 *sums, i32 less) {
    for (int v = 0; v < vectors; ++v)
        for (int odd = 0; odd < 2; ++odd) {
            const turns_row both = pairs_load<turns_row>(sums + (2 * v + odd) * 16);
            pairs_store(to + v * pairs_group + odd * 8, (turns_row)((both & 65535u) - (u32)less));
            pairs_store(to + v * pairs_group + 16 + odd * 8, (turns_row)((both >> 16) - (u32)less));
        }
}

// Rows of to, a and b are to_row, a_row and b_row elements apart. Assumes that f works on each bit by itself; M is even, N a multiple of 32, K integers
// take a multiple of 16 bytes, 4096 at most.
template <int M, int N, int K, class T, class F>
DSLC_ONCE void sum_bits_of_pairs(i32 *to, index_t to_row, const T *a, index_t a_row, const T *b, index_t b_row, void *scratch, F f) {
    constexpr int bytes = K * (int)sizeof(T);
    typedef PairsPlan<M, N, bytes> P;
    static_assert(M % 2 == 0 && N % pairs_group == 0 && bytes % 16 == 0 && bytes <= 4096, "pairs of rows, whole registers");
    u8 *const table = (u8 *)scratch, *const planes = table + P::table;
    u16 *const lookups = (u16 *)(planes + P::planes), *const sums = (u16 *)((u8 *)lookups + (P::lookups + 63) / 64 * 64);
    pairs_tables<T>(table, f);
    const i32 less = (P::steps - 2 * bytes) * (table[0] & 15);   // what steps past the end add, whose tables and planes are those of zeros
    for (int i = 0; i < M / 2; ++i) {
        u16 *const here = lookups + i * P::steps;
        pairs_lookups<bytes>(here, (const u8 *)(a + 2 * i * a_row), (const u8 *)(a + (2 * i + 1) * a_row));
        for (int k = 2 * bytes; k < P::steps; ++k) here[k] = 0;
    }
    for (size_t e = (size_t)2 * bytes * P::columns; e < P::planes; ++e) planes[e] = 0;
    for (int j = 0; j < N; j += P::columns) {
        for (int v = 0; v < P::columns; v += pairs_group)
            pairs_planes<bytes>(planes + v, P::columns, (const u8 *)(b + (j + v) * b_row), b_row * (index_t)sizeof(T));
        for (int k = 0; k < P::steps; k += pairs_run)
            for (int i = 0; i < M / 2; ++i)
                pairs_count<P::vectors>(sums + 2 * i * P::columns, table, lookups + i * P::steps + k, planes + k * P::columns,
                                        P::steps - k < pairs_run ? P::steps - k : (int)pairs_run, k > 0);
        for (int i = 0; i < M; ++i) pairs_write<P::vectors>(to + i * to_row + j, sums + i * P::columns, less);
    }
}
#else
template <int M, int N, int K, class T> constexpr size_t sum_bits_of_pairs_scratch() { return 0; }
template <int M, int N, int K, class T, class F>
DSLC_FN void sum_bits_of_pairs(i32 *to, index_t to_row, const T *a, index_t a_row, const T *b, index_t b_row, void *, F f) {
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < N; ++j) to[i * to_row + j] = sum_bits<T, K>([&](index_t k) { return f(a[i * a_row + k], b[j * b_row + k]); });
}
#endif
#endif
