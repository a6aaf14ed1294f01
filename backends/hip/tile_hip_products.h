// Products of tiles on the matrix cores (MFMA, 16 x 16) and on the ordinary multipliers, from operands in shared memory.
// Written in the words of tile_hip.h only, so the emulator compiles the same text.
#ifndef DSLC_TILE_HIP_PRODUCTS_H
#define DSLC_TILE_HIP_PRODUCTS_H

// What the unit multiplies. Unsigned bytes are split in two signed parts, x = low + 2 * half, which is exact.
struct Low {};
struct Half {};

// n elements k .. k + n-1 of a row: lane % 16 is the row, lane / 16 the quarter of k (amd.md section 7, item 6: A[i = lane % 16][k = n * (lane / 16) + e]).
template <bool whole, class F, i32 n, class O> DSLC_WORKER Vector<F, n> fragment(const O &o, i32 row, i32 k) {
    if constexpr (whole && O::depth_is_dense && sizeof(F) == sizeof(typename O::Element)) {
        const auto x = load_vector<n>(o.at + O::offset(row, k));
        return __builtin_bit_cast(Vector<F, n>, x);
    } else {
        Vector<F, n> v;
#pragma unroll
        for (i32 e = 0; e < n; ++e) {
            typename O::Element x = typename O::Element();
            if (whole || (row < O::rows && k + e < O::depth)) x = o.at[O::offset(row, k + e)];
            v[e] = as_factor<F>(x);
        }
        return v;
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

// The wave has `high` x `wide` tiles of 16 x 16, row by row in `acc`, from (row, column) on; n elements of k for each lane at a time.
template <i32 high, i32 wide, i32 n, bool whole, class FA, class FB, class D, class A, class B>
DSLC_WORKER void mfma_product(D (&acc)[high * wide * 4], const A &left, const B &right, i32 row, i32 column, i32 lane DSLC_AT) {
    DSLC_FROM
#pragma unroll
    for (i32 k = 0; k < A::depth; k += 4 * n) {
        Vector<FA, n> a[high];
        Vector<FB, n> b[wide];
        const i32 quarter = k + lane / 16 * n;
#pragma unroll
        for (i32 i = 0; i < high; ++i) a[i] = fragment<whole, FA, n>(left, row + i * 16 + lane % 16, quarter);
#pragma unroll
        for (i32 j = 0; j < wide; ++j) b[j] = fragment<whole, FB, n>(right, column + j * 16 + lane % 16, quarter);
#pragma unroll
        for (i32 i = 0; i < high; ++i) {
#pragma unroll
            for (i32 j = 0; j < wide; ++j) multiply(part<4>(acc, i * wide + j), a[i], b[j]);
        }
    }
}

#endif
