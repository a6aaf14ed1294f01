// Matrix instructions of one warp and asynchronous copies, from compute capability 8.0 on.
// Lanes hold fragments as PTX, section "Warp Level Matrix Multiply-Accumulate Instructions", draws them.
#ifndef DSLC_TILE_CUDA_MATRIX_H
#define DSLC_TILE_CUDA_MATRIX_H

// ---------------------------------------------------------------- from shared memory to fragments
// n matrices of 8 rows of 16 bytes; lanes 8 i .. 8 i + 7 give the rows of matrix i, each 16-byte aligned.
template <int n, class T> DSLC_DEVICE void load_matrix(u32 (&r)[n], T *row) {
    const u32 at = shared_address(row);
    if constexpr (n == 1)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(at) : "memory");
    else if constexpr (n == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(at) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
    static_assert(n == 1 || n == 2 || n == 4, "1, 2 or 4 matrices");
}
template <int n, class T> DSLC_DEVICE void load_matrix_transposed(u32 (&r)[n], T *row) {
    const u32 at = shared_address(row);
    if constexpr (n == 1)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(at) : "memory");
    else if constexpr (n == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(at) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
    static_assert(n == 1 || n == 2 || n == 4, "1, 2 or 4 matrices");
}

// ---------------------------------------------------------------- d += a b, a row-major (16, k), b column-major (k, 8)
template <class T> struct MatrixType;              // what PTX calls the type in a matrix instruction
template <> struct MatrixType<f16> { static constexpr const char name[] = "f16"; };
template <> struct MatrixType<bf16> { static constexpr const char name[] = "bf16"; };
template <> struct MatrixType<f8e4m3> { static constexpr const char name[] = "e4m3"; };
template <> struct MatrixType<f8e5m2> { static constexpr const char name[] = "e5m2"; };
template <> struct MatrixType<i8> { static constexpr const char name[] = "s8"; };
template <> struct MatrixType<u8> { static constexpr const char name[] = "u8"; };
template <> struct MatrixType<f32> { static constexpr const char name[] = "tf32"; };

template <class TA, class TB> DSLC_DEVICE void mma(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    if constexpr (sizeof(TA) == 2)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.%10.%11.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "C"(MatrixType<TA>::name), "C"(MatrixType<TB>::name));
    else
        asm("mma.sync.aligned.m16n8k32.row.col.f32.%10.%11.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "C"(MatrixType<TA>::name), "C"(MatrixType<TB>::name));
    static_assert(sizeof(TA) == sizeof(TB), "operands of one width");
}
template <class TA, class TB> DSLC_DEVICE void mma(i32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.%10.%11.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "C"(MatrixType<TA>::name), "C"(MatrixType<TB>::name));
}
// Operands are f32 bits, of which the lowest 13 are not looked at; k is 8.
DSLC_DEVICE void mma_tf32(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DSLC_DEVICE void mma_f64(f64 (&d)[2], f64 a, f64 b) {
    asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};" : "+d"(d[0]), "+d"(d[1]) : "d"(a), "d"(b));
}

// ---------------------------------------------------------------- asynchronous copies from global to shared memory
// The first `valid` bytes are copied, the rest are zero; with none valid `from` is not touched. 16 bytes pass by the first-level cache.
template <int bytes, class T, class U> DSLC_DEVICE void copy_async(T *to, U *from, i32 valid) {
    if constexpr (bytes == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(valid) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;"
                     :: "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(valid), "n"(bytes) : "memory");
    static_assert(bytes == 4 || bytes == 8 || bytes == 16, "4, 8 or 16 bytes");
}
DSLC_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int n> DSLC_DEVICE void copy_async_wait() { asm volatile("cp.async.wait_group %0;" :: "n"(n) : "memory"); }

#endif
