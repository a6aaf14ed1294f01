// Products of tiles on the matrix cores (MFMA, 16 x 16) and on the ordinary multipliers, from operands in shared memory.
// Written in the words of tile_hip.h only, so the emulator compiles the same text.
#ifndef DSLC_TILE_HIP_PRODUCTS_H
#define DSLC_TILE_HIP_PRODUCTS_H

// What the unit multiplies. Unsigned bytes are split in two signed parts, x = low + 2 * half, which is exact.
struct Low {};
struct Half {};

// What a lane holds of `held` = steps * n elements of K of `count` tiles of 16 rows or columns; each n of them are multiplied at once. The lane's line is
// lane % 16 of each 16 from `line` on; its quarter lane / 16 has `run` neighbours in each 4 * run elements of K, for both operands alike, so the order
// within K does not matter. What lies a constant apart, because the swizzle repeats by then, is an offset in the instruction.
template <bool whole, i32 run, class F, i32 n, i32 steps, i32 count, class O>
DSLC_WORKER void fragments(Vector<F, n> (&to)[count][steps], const O &o, i32 line, i32 k, i32 lane) {
    typedef typename O::Element T;
    constexpr i32 held = steps * n;
    if constexpr (whole && O::depth_is_dense && sizeof(F) == sizeof(T)) {
        Vector<T, run> pieces[count][held / run];
#pragma unroll
        for (i32 p = 0; p < held / run; ++p) {
            const i32 row = line + lane % 16, inner = k + p * 4 * run + lane / 16 * run;
            const auto first = o.at + O::offset(row, inner);
#pragma unroll
            for (i32 t = 0; t < count; ++t) {
                if constexpr (O::template lines_repeat<16>()) pieces[t][p] = load_vector<run>(first + t * 16 * O::row_gap);
                else pieces[t][p] = load_vector<run>(o.at + O::offset(row + t * 16, inner));
            }
        }
        __builtin_memcpy(to, pieces, sizeof pieces);
#ifdef __gfx950__
    } else if constexpr (whole && run == 4 && O::rows_are_dense && sizeof(F) == 2) {
        // Each 16 lanes read 4 rows of K and 16 columns, and get them transposed.
        Vector<T, 4> pieces[count][held / 4];
#pragma unroll
        for (i32 t = 0; t < count; ++t) {
            const i32 column = line + t * 16 + lane % 4 * 4, inner = lane / 16 * 4 + lane / 4 % 4;
            const auto first = o.at + O::offset(column, inner);
#pragma unroll
            for (i32 p = 0; p < held / 4; ++p) {
                if constexpr (O::template depth_repeats<16>()) pieces[t][p] = load_transposed(first + (k + p * 16) * O::depth_gap);
                else pieces[t][p] = load_transposed(o.at + O::offset(column, k + p * 16 + inner));
            }
        }
        __builtin_memcpy(to, pieces, sizeof pieces);
#endif
    } else {
#pragma unroll
        for (i32 t = 0; t < count; ++t) {
            const i32 row = line + t * 16 + lane % 16;
#pragma unroll
            for (i32 e = 0; e < held; ++e) {
                const i32 at = k + e / run * 4 * run + lane / 16 * run + e % run;
                T x = T();
                if (whole || (row < O::rows && at < O::depth)) x = o.at[O::offset(row, at)];
                to[t][e / n][e % n] = as_factor<F>(x);
            }
        }
    }
}
// The parts of a vector of unsigned bytes that are multiplied as signed ones.
template <i32 n> DSLC_WORKER Vector<i8, n> part_of(const Vector<u8, n> &x, Low) {
    Vector<i8, n> v;
#pragma unroll
    for (i32 e = 0; e < n; ++e) v[e] = (i8)(x[e] & 0x7f);
    return v;
}
template <i32 n> DSLC_WORKER Vector<i8, n> part_of(const Vector<u8, n> &x, Half) {
    Vector<i8, n> v;
#pragma unroll
    for (i32 e = 0; e < n; ++e) v[e] = (i8)(x[e] >> 7 << 6);
    return v;
}

template <class FA, class FB, i32 n, class D> DSLC_WORKER void multiply(D (&d)[4], const Vector<FA, n> &a, const Vector<FB, n> &b DSLC_AT) { DSLC_FROM mfma_16x16(d, a, b); }
template <class F, class D> DSLC_WORKER void multiply(D (&d)[4], const Vector<F, 1> &a, const Vector<F, 1> &b DSLC_AT) { DSLC_FROM mfma_16x16(d, a[0], b[0]); }
template <i32 n> DSLC_WORKER void multiply(i32 (&d)[4], const Vector<u8, n> &a, const Vector<i8, n> &b DSLC_AT) {
    DSLC_FROM
    const Vector<i8, n> half = part_of(a, Half());
    mfma_16x16(d, part_of(a, Low()), b);
    mfma_16x16(d, half, b);
    mfma_16x16(d, half, b);
}
template <i32 n> DSLC_WORKER void multiply(i32 (&d)[4], const Vector<i8, n> &a, const Vector<u8, n> &b DSLC_AT) {
    DSLC_FROM
    const Vector<i8, n> half = part_of(b, Half());
    mfma_16x16(d, a, part_of(b, Low()));
    mfma_16x16(d, a, half);
    mfma_16x16(d, a, half);
}
template <i32 n> DSLC_WORKER void multiply(i32 (&d)[4], const Vector<u8, n> &a, const Vector<u8, n> &b DSLC_AT) {
    DSLC_FROM
    const Vector<i8, n> half = part_of(b, Half());
    multiply(d, a, part_of(b, Low()));
    multiply(d, a, half);
    multiply(d, a, half);
}

// The wave has `high` x `wide` tiles of 16 x 16, row by row in `acc`, from (row, column) on. The sum is made transposed: the matrix unit's rows are our
// columns, so that a lane has 4 neighbours of a row. `between` is done when the operands of a step of K have been read.
template <i32 high, i32 wide, i32 n, i32 run, bool whole, class FA, class FB, class D, class A, class B, class Between>
DSLC_WORKER void mfma_product(D (&acc)[high * wide * 4], const A &left, const B &right, i32 row, i32 column, i32 lane, const Between &between) {
    constexpr i32 steps = run > n ? run / n : 1;
#pragma unroll
    for (i32 k = 0; k < A::depth; k += 4 * n * steps) {
        Vector<FA, n> a[high][steps];
        Vector<FB, n> b[wide][steps];
        fragments<whole, run>(a, left, row, k, lane);
        fragments<whole, run>(b, right, column, k, lane);
        between();
#pragma unroll
        for (i32 s = 0; s < steps; ++s) {
#pragma unroll
            for (i32 i = 0; i < high; ++i) {
#pragma unroll
                for (i32 j = 0; j < wide; ++j) multiply(part<4>(acc, i * wide + j), b[j][s], a[i][s]);
            }
        }
    }
}
template <i32 high, i32 wide, i32 n, i32 run, bool whole, class FA, class FB, class D, class A, class B>
DSLC_WORKER void mfma_product(D (&acc)[high * wide * 4], const A &left, const B &right, i32 row, i32 column, i32 lane) {
    mfma_product<high, wide, n, run, whole, FA, FB>(acc, left, right, row, column, lane, [] {});
}
// The left operand is in registers, spread like the sum of a product: 4 neighbours of K in each quarter of the wave.
template <i32 high, i32 wide, i32 n, bool whole, class FA, class FB, class D, class T, i32 slots, class B>
DSLC_WORKER void mfma_product_registers(D (&acc)[high * wide * 4], const T (&left)[slots], const B &right, i32 column, i32 lane) {
    constexpr i32 depth = slots / high;              // elements of K in one lane for each row
#pragma unroll
    for (i32 e = 0; e < depth; e += n) {
        Vector<FB, n> b[wide][1];
        fragments<whole, 4>(b, right, column, e * 4, lane);
#pragma unroll
        for (i32 i = 0; i < high; ++i) {
            Vector<FA, n> a;
#pragma unroll
            for (i32 x = 0; x < n; ++x) a[x] = as_factor<FA>(left[i * depth + e + x]);
#pragma unroll
            for (i32 j = 0; j < wide; ++j) multiply(part<4>(acc, i * wide + j), b[j][0], a);
        }
    }
}

#endif
