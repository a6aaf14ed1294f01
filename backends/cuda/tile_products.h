// Products of tiles on the matrix unit of a warp (mma.sync) and on the ordinary multipliers, from operands in shared memory or registers.
// Written in the words of tile_cuda.h only, so the emulator compiles the same text.
#ifndef DSLC_TILE_PRODUCTS_H
#define DSLC_TILE_PRODUCTS_H

// ---------------------------------------------------------------- fragments of one register per lane and k-quarter (PTX ISA 9.7.14)
// To the nearest number of 10 fraction bits: the unit ignores the other 13.
DSLC_WORKER u32 tf32_bits(f32 x) { return bits_of(x) + 0x1000; }

// Elements k .. k + n-1 of a row in one register.
template <class F, class O> DSLC_WORKER u32 gathered(const O &o, i32 row, i32 k) {
    constexpr i32 n = 4 / (i32)sizeof(F);
    u32 word = 0;
#pragma unroll
    for (i32 e = 0; e < n; ++e) {
        if (row < O::rows && k + e < O::depth) {
            const typename O::Element x = o.at[O::offset(row, k + e)];
            if constexpr (n == 1) word = tf32_bits(as_factor<f32>(x));
            else if constexpr (n == 2) word |= (u32)__builtin_bit_cast(u16, as_factor<F>(x)) << (16 * e);
            else word |= (u32)__builtin_bit_cast(u8, as_factor<F>(x)) << (8 * e);
        }
    }
    return word;
}

// 16 rows from `row` on: registers 0 to 3 are rows 0-7 and 8-15 of the first half of k, then of the second.
template <bool whole, class F, class O> DSLC_WORKER void left_fragment(u32 (&a)[4], const O &o, i32 row, i32 k, i32 lane DSLC_AT) {
    DSLC_FROM
    constexpr i32 n = 4 / (i32)sizeof(F);
    if constexpr (whole && O::depth_is_dense) {
        load_matrix<4>(a, o.at + O::offset(row + lane % 16, k + lane / 16 * 8));
    } else if constexpr (whole) {
        load_matrix_transposed<4>(a, o.at + O::offset(row + lane / 8 % 2 * 8, k + lane / 16 * 8 + lane % 8));
    } else {
#pragma unroll
        for (i32 r = 0; r < 4; ++r) a[r] = gathered<F>(o, row + lane / 4 + r % 2 * 8, k + lane % 4 * n + r / 2 * 4 * n);
    }
}
// `count` groups of 8 rows from `row` on, two registers each: the first half of k and the second.
template <bool whole, class F, i32 count, class O> DSLC_WORKER void right_fragments(u32 (&b)[count][2], const O &o, i32 row, i32 k, i32 lane DSLC_AT) {
    DSLC_FROM
    constexpr i32 n = 4 / (i32)sizeof(F);
    if constexpr (whole) {
#pragma unroll
        for (i32 j = 0; j + 1 < count; j += 2) {
            u32 pair[4];
            const i32 group = row + j * 8 + lane / 16 * 8, half = k + lane / 8 % 2 * 8;
            if constexpr (O::depth_is_dense) load_matrix<4>(pair, o.at + O::offset(group + lane % 8, half));
            else load_matrix_transposed<4>(pair, o.at + O::offset(group, half + lane % 8));
            b[j][0] = pair[0], b[j][1] = pair[1], b[j + 1][0] = pair[2], b[j + 1][1] = pair[3];
        }
        if constexpr (count % 2 == 1) {
            const i32 half = k + lane / 8 % 2 * 8, last = row + (count - 1) * 8;
            if constexpr (O::depth_is_dense) load_matrix<2>(b[count - 1], o.at + O::offset(last + lane % 8, half));
            else load_matrix_transposed<2>(b[count - 1], o.at + O::offset(last, half + lane % 8));
        }
    } else {
#pragma unroll
        for (i32 j = 0; j < count; ++j) {
#pragma unroll
            for (i32 r = 0; r < 2; ++r) b[j][r] = gathered<F>(o, row + j * 8 + lane / 4, k + lane % 4 * n + r * 4 * n);
        }
    }
}

template <class FA, class FB, class D> DSLC_WORKER void multiply(D (&d)[4], const u32 (&a)[4], const u32 (&b)[2] DSLC_AT) {
    DSLC_FROM
    if constexpr (sizeof(FA) == 4) mma_tf32(d, a, b);
    else mma<FA, FB>(d, a, b);
}

// ---------------------------------------------------------------- products of a warp
// The warp has `high` x `wide` tiles of 16 x 8, row by row in `acc`, from (row, column) on. FA and FB are what the unit computes with.
template <i32 high, i32 wide, bool whole, class FA, class FB, class D, class A, class B>
DSLC_WORKER void mma_product(D (&acc)[high * wide * 4], const A &left, const B &right, i32 row, i32 column, i32 lane DSLC_AT) {
    DSLC_FROM
    constexpr i32 step = 32 / (i32)sizeof(FA);
#pragma unroll
    for (i32 k = 0; k < A::depth; k += step) {
        u32 a[high][4], b[wide][2];
#pragma unroll
        for (i32 i = 0; i < high; ++i) left_fragment<whole, FA>(a[i], left, row + i * 16, k, lane);
        right_fragments<whole, FB>(b, right, column, k, lane);
#pragma unroll
        for (i32 i = 0; i < high; ++i) {
#pragma unroll
            for (i32 j = 0; j < wide; ++j) multiply<FA, FB>(part<4>(acc, i * wide + j), a[i], b[j]);
        }
    }
}
// The left operand is in registers, spread like the sum of a product: two neighbouring tiles of 16 x 8 are one fragment of 16 x 16.
template <i32 high, i32 wide, bool whole, class FA, class FB, class D, class T, i32 slots, class B>
DSLC_WORKER void mma_product_registers(D (&acc)[high * wide * 4], const T (&left)[slots], const B &right, i32 column, i32 lane DSLC_AT) {
    DSLC_FROM
    constexpr i32 tiles = slots / (high * 4);
#pragma unroll
    for (i32 t = 0; t < tiles; t += 2) {
        u32 b[wide][2];
        right_fragments<whole, FB>(b, right, column, t * 8, lane);
#pragma unroll
        for (i32 i = 0; i < high; ++i) {
            const T *const p = left + (i * tiles + t) * 4;
            const u32 a[4] = {pack2(p[0], p[1]), pack2(p[2], p[3]), pack2(p[4], p[5]), pack2(p[6], p[7])};
#pragma unroll
            for (i32 j = 0; j < wide; ++j) multiply<FA, FB>(part<4>(acc, i * wide + j), a, b[j]);
        }
    }
}

// ---------------------------------------------------------------- copies behind the workers' backs
// A run of n elements to shared memory by cp.async, zeros where it is not inside; both addresses are multiples of the run's bytes or of 16.
template <i32 n, class T, class From> DSLC_WORKER void copy_run(Shared<T> to, From from, Run inside DSLC_AT) {
    DSLC_FROM
    constexpr i32 length = VectorLength<n, (i32)sizeof(T)>::value;
    const i32 count = inside.first == 0 ? inside.last : 0;      // a run is wholly before the tensor's start or not at all
#pragma unroll
    for (i32 e = 0; e < n; e += length) {
        const i32 valid = count - e < 0 ? 0 : count - e < length ? count - e : length;
        copy_async<length * (i32)sizeof(T)>(to + e, from + e, valid * (i32)sizeof(T));
    }
}
template <i32 n, class T, class From> DSLC_WORKER void copy_run(Shared<T> to, From from DSLC_AT) { DSLC_FROM copy_run<n>(to, from, Run{0, n}); }
#endif
