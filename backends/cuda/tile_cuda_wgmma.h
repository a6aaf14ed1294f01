// Matrix multiply-accumulate of four warps, compute capability 9.0a. PTX section "Asynchronous warpgroup level matrix instructions".
//
// d is (64, N), a (64, k) and b (k, N), where a row of a is 32 bytes: k is 16 for 16-bit types, 32 for 8-bit ones, 8 for tf32 (T = f32).
// Between wgmma_fence and wgmma_wait the registers of d, and those of a, are neither read nor written.
#ifndef DSLC_TILE_CUDA_WGMMA_H
#define DSLC_TILE_CUDA_WGMMA_H

// Where an operand lies in shared memory. Lengths are divided by 16; of what a swizzle repeats, `p` is at the beginning.
// leading_bytes: in a K-major operand without a swizzle between the two halves of k (else unused), in an MN-major one between slabs of a swizzle's width.
// stride_bytes: between groups of 8 rows of K (MN-major: of 8 k).
template <class T> DSLC_DEVICE u64 matrix_descriptor(T *p, i32 leading_bytes, i32 stride_bytes, i32 swizzle_bytes) {
    const u64 swizzle = swizzle_bytes == 128 ? 1 : swizzle_bytes == 64 ? 2 : swizzle_bytes == 32 ? 3 : 0;
    return (u64)(shared_address(p) >> 4 & 0x3fff) | (u64)(leading_bytes >> 4 & 0x3fff) << 16 | (u64)(stride_bytes >> 4 & 0x3fff) << 32 | swizzle << 62;
}

DSLC_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DSLC_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int n> DSLC_DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(n) : "memory"); }

// The compiler does not know that instructions under way write d: it may not move what it does with d past here.
template <int n> DSLC_DEVICE void wgmma_hold(f32 (&d)[n]) {
#pragma unroll
    for (int i = 0; i < n; ++i)
        asm volatile("" : "+f"(d[i]) :: "memory");
}
template <int n> DSLC_DEVICE void wgmma_hold(i32 (&d)[n]) {
#pragma unroll
    for (int i = 0; i < n; ++i)
        asm volatile("" : "+r"(d[i]) :: "memory");
}

// A specialisation for each N, as the text of an instruction names every register. a: a descriptor, or four registers.
template <int N> struct Wgmma;

// D: the text of the registers, OUTS: the registers, R0 .. R7: numbers of the operands after them.
#define DSLC_WGMMA(N, D, F, I, R0, R1, R2, R3, R4, R5, R6, R7)                                                                                \
    template <> struct Wgmma<N> {                                                                                                              \
        template <class T, int ta, int tb> DSLC_DEVICE void run(f32 (&d)[N / 2], u64 a, u64 b, i32 accumulate) {                               \
            if constexpr (sizeof(T) == 2)                                                                                                      \
                asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" R2 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k16.f32.%" R3 ".%" R3 " {" D   \
                             "}, %" R0 ", %" R1 ", p, 1, 1, %" R4 ", %" R5 ";\n}"                                                              \
                             : F : "l"(a), "l"(b), "r"(accumulate), "C"(MatrixType<T>::name), "n"(ta), "n"(tb) : "memory");                   \
            else                                                                                                                               \
                asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" R2 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k%" R4 ".f32.%" R3 ".%" R3     \
                             " {" D "}, %" R0 ", %" R1 ", p, 1, 1;\n}"                                                                         \
                             : F : "l"(a), "l"(b), "r"(accumulate), "C"(MatrixType<T>::name), "n"(32 / (int)sizeof(T)) : "memory");           \
        }                                                                                                                                      \
        template <class T, int ta, int tb> DSLC_DEVICE void run(i32 (&d)[N / 2], u64 a, u64 b, i32 accumulate) {                               \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" R2 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k32.s32.%" R3 ".%" R3 " {" D "}, %" R0 \
                         ", %" R1 ", p;\n}" : I : "l"(a), "l"(b), "r"(accumulate), "C"(MatrixType<T>::name) : "memory");                       \
        }                                                                                                                                      \
        template <class T, int tb> DSLC_DEVICE void run(f32 (&d)[N / 2], const u32 (&a)[4], u64 b, i32 accumulate) {                           \
            if constexpr (sizeof(T) == 2)                                                                                                      \
                asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" R5 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k16.f32.%" R6 ".%" R6 " {" D   \
                             "}, {%" R0 ", %" R1 ", %" R2 ", %" R3 "}, %" R4 ", p, 1, 1, %" R7 ";\n}"                                          \
                             : F : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate), "C"(MatrixType<T>::name), "n"(tb) : "memory"); \
            else                                                                                                                               \
                asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" R5 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k%" R7 ".f32.%" R6 ".%" R6     \
                             " {" D "}, {%" R0 ", %" R1 ", %" R2 ", %" R3 "}, %" R4 ", p, 1, 1;\n}"                                            \
                             : F : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate), "C"(MatrixType<T>::name),            \
                               "n"(32 / (int)sizeof(T)) : "memory");                                                                          \
        }                                                                                                                                      \
        template <class T, int tb> DSLC_DEVICE void run(i32 (&d)[N / 2], const u32 (&a)[4], u64 b, i32 accumulate) {                           \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" R5 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k32.s32.%" R6 ".%" R6 " {" D   \
                         "}, {%" R0 ", %" R1 ", %" R2 ", %" R3 "}, %" R4 ", p;\n}"                                                             \
                         : I : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate), "C"(MatrixType<T>::name) : "memory");     \
        }                                                                                                                                      \
    };

// Registers by fours: their text, and d's elements as floats and as integers.
#define DSLC_WRAP(...) __VA_ARGS__
#define DSLC_F(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define DSLC_I(i) "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define DSLC_D8 "%0, %1, %2, %3"
#define DSLC_F8 DSLC_F(0)
#define DSLC_I8 DSLC_I(0)
#define DSLC_D16 DSLC_D8 ", %4, %5, %6, %7"
#define DSLC_F16 DSLC_F8, DSLC_F(4)
#define DSLC_I16 DSLC_I8, DSLC_I(4)
#define DSLC_D24 DSLC_D16 ", %8, %9, %10, %11"
#define DSLC_F24 DSLC_F16, DSLC_F(8)
#define DSLC_I24 DSLC_I16, DSLC_I(8)
#define DSLC_D32 DSLC_D24 ", %12, %13, %14, %15"
#define DSLC_F32 DSLC_F24, DSLC_F(12)
#define DSLC_I32 DSLC_I24, DSLC_I(12)
#define DSLC_D40 DSLC_D32 ", %16, %17, %18, %19"
#define DSLC_F40 DSLC_F32, DSLC_F(16)
#define DSLC_I40 DSLC_I32, DSLC_I(16)
#define DSLC_D48 DSLC_D40 ", %20, %21, %22, %23"
#define DSLC_F48 DSLC_F40, DSLC_F(20)
#define DSLC_I48 DSLC_I40, DSLC_I(20)
#define DSLC_D56 DSLC_D48 ", %24, %25, %26, %27"
#define DSLC_F56 DSLC_F48, DSLC_F(24)
#define DSLC_I56 DSLC_I48, DSLC_I(24)
#define DSLC_D64 DSLC_D56 ", %28, %29, %30, %31"
#define DSLC_F64 DSLC_F56, DSLC_F(28)
#define DSLC_I64 DSLC_I56, DSLC_I(28)
#define DSLC_D72 DSLC_D64 ", %32, %33, %34, %35"
#define DSLC_F72 DSLC_F64, DSLC_F(32)
#define DSLC_I72 DSLC_I64, DSLC_I(32)
#define DSLC_D80 DSLC_D72 ", %36, %37, %38, %39"
#define DSLC_F80 DSLC_F72, DSLC_F(36)
#define DSLC_I80 DSLC_I72, DSLC_I(36)
#define DSLC_D88 DSLC_D80 ", %40, %41, %42, %43"
#define DSLC_F88 DSLC_F80, DSLC_F(40)
#define DSLC_I88 DSLC_I80, DSLC_I(40)
#define DSLC_D96 DSLC_D88 ", %44, %45, %46, %47"
#define DSLC_F96 DSLC_F88, DSLC_F(44)
#define DSLC_I96 DSLC_I88, DSLC_I(44)
#define DSLC_D104 DSLC_D96 ", %48, %49, %50, %51"
#define DSLC_F104 DSLC_F96, DSLC_F(48)
#define DSLC_I104 DSLC_I96, DSLC_I(48)
#define DSLC_D112 DSLC_D104 ", %52, %53, %54, %55"
#define DSLC_F112 DSLC_F104, DSLC_F(52)
#define DSLC_I112 DSLC_I104, DSLC_I(52)
#define DSLC_D120 DSLC_D112 ", %56, %57, %58, %59"
#define DSLC_F120 DSLC_F112, DSLC_F(56)
#define DSLC_I120 DSLC_I112, DSLC_I(56)
#define DSLC_D128 DSLC_D120 ", %60, %61, %62, %63"
#define DSLC_F128 DSLC_F120, DSLC_F(60)
#define DSLC_I128 DSLC_I120, DSLC_I(60)
#define DSLC_D136 DSLC_D128 ", %64, %65, %66, %67"
#define DSLC_F136 DSLC_F128, DSLC_F(64)
#define DSLC_I136 DSLC_I128, DSLC_I(64)
#define DSLC_D144 DSLC_D136 ", %68, %69, %70, %71"
#define DSLC_F144 DSLC_F136, DSLC_F(68)
#define DSLC_I144 DSLC_I136, DSLC_I(68)
#define DSLC_D152 DSLC_D144 ", %72, %73, %74, %75"
#define DSLC_F152 DSLC_F144, DSLC_F(72)
#define DSLC_I152 DSLC_I144, DSLC_I(72)
#define DSLC_D160 DSLC_D152 ", %76, %77, %78, %79"
#define DSLC_F160 DSLC_F152, DSLC_F(76)
#define DSLC_I160 DSLC_I152, DSLC_I(76)
#define DSLC_D168 DSLC_D160 ", %80, %81, %82, %83"
#define DSLC_F168 DSLC_F160, DSLC_F(80)
#define DSLC_I168 DSLC_I160, DSLC_I(80)
#define DSLC_D176 DSLC_D168 ", %84, %85, %86, %87"
#define DSLC_F176 DSLC_F168, DSLC_F(84)
#define DSLC_I176 DSLC_I168, DSLC_I(84)
#define DSLC_D184 DSLC_D176 ", %88, %89, %90, %91"
#define DSLC_F184 DSLC_F176, DSLC_F(88)
#define DSLC_I184 DSLC_I176, DSLC_I(88)
#define DSLC_D192 DSLC_D184 ", %92, %93, %94, %95"
#define DSLC_F192 DSLC_F184, DSLC_F(92)
#define DSLC_I192 DSLC_I184, DSLC_I(92)
#define DSLC_D200 DSLC_D192 ", %96, %97, %98, %99"
#define DSLC_F200 DSLC_F192, DSLC_F(96)
#define DSLC_I200 DSLC_I192, DSLC_I(96)
#define DSLC_D208 DSLC_D200 ", %100, %101, %102, %103"
#define DSLC_F208 DSLC_F200, DSLC_F(100)
#define DSLC_I208 DSLC_I200, DSLC_I(100)
#define DSLC_D216 DSLC_D208 ", %104, %105, %106, %107"
#define DSLC_F216 DSLC_F208, DSLC_F(104)
#define DSLC_I216 DSLC_I208, DSLC_I(104)
#define DSLC_D224 DSLC_D216 ", %108, %109, %110, %111"
#define DSLC_F224 DSLC_F216, DSLC_F(108)
#define DSLC_I224 DSLC_I216, DSLC_I(108)
#define DSLC_D232 DSLC_D224 ", %112, %113, %114, %115"
#define DSLC_F232 DSLC_F224, DSLC_F(112)
#define DSLC_I232 DSLC_I224, DSLC_I(112)
#define DSLC_D240 DSLC_D232 ", %116, %117, %118, %119"
#define DSLC_F240 DSLC_F232, DSLC_F(116)
#define DSLC_I240 DSLC_I232, DSLC_I(116)
#define DSLC_D248 DSLC_D240 ", %120, %121, %122, %123"
#define DSLC_F248 DSLC_F240, DSLC_F(120)
#define DSLC_I248 DSLC_I240, DSLC_I(120)
#define DSLC_D256 DSLC_D248 ", %124, %125, %126, %127"
#define DSLC_F256 DSLC_F248, DSLC_F(124)
#define DSLC_I256 DSLC_I248, DSLC_I(124)
DSLC_WGMMA(8, DSLC_D8, DSLC_WRAP(DSLC_F8), DSLC_WRAP(DSLC_I8), "4", "5", "6", "7", "8", "9", "10", "11")
DSLC_WGMMA(16, DSLC_D16, DSLC_WRAP(DSLC_F16), DSLC_WRAP(DSLC_I16), "8", "9", "10", "11", "12", "13", "14", "15")
DSLC_WGMMA(24, DSLC_D24, DSLC_WRAP(DSLC_F24), DSLC_WRAP(DSLC_I24), "12", "13", "14", "15", "16", "17", "18", "19")
DSLC_WGMMA(32, DSLC_D32, DSLC_WRAP(DSLC_F32), DSLC_WRAP(DSLC_I32), "16", "17", "18", "19", "20", "21", "22", "23")
DSLC_WGMMA(40, DSLC_D40, DSLC_WRAP(DSLC_F40), DSLC_WRAP(DSLC_I40), "20", "21", "22", "23", "24", "25", "26", "27")
DSLC_WGMMA(48, DSLC_D48, DSLC_WRAP(DSLC_F48), DSLC_WRAP(DSLC_I48), "24", "25", "26", "27", "28", "29", "30", "31")
DSLC_WGMMA(56, DSLC_D56, DSLC_WRAP(DSLC_F56), DSLC_WRAP(DSLC_I56), "28", "29", "30", "31", "32", "33", "34", "35")
DSLC_WGMMA(64, DSLC_D64, DSLC_WRAP(DSLC_F64), DSLC_WRAP(DSLC_I64), "32", "33", "34", "35", "36", "37", "38", "39")
DSLC_WGMMA(72, DSLC_D72, DSLC_WRAP(DSLC_F72), DSLC_WRAP(DSLC_I72), "36", "37", "38", "39", "40", "41", "42", "43")
DSLC_WGMMA(80, DSLC_D80, DSLC_WRAP(DSLC_F80), DSLC_WRAP(DSLC_I80), "40", "41", "42", "43", "44", "45", "46", "47")
DSLC_WGMMA(88, DSLC_D88, DSLC_WRAP(DSLC_F88), DSLC_WRAP(DSLC_I88), "44", "45", "46", "47", "48", "49", "50", "51")
DSLC_WGMMA(96, DSLC_D96, DSLC_WRAP(DSLC_F96), DSLC_WRAP(DSLC_I96), "48", "49", "50", "51", "52", "53", "54", "55")
DSLC_WGMMA(104, DSLC_D104, DSLC_WRAP(DSLC_F104), DSLC_WRAP(DSLC_I104), "52", "53", "54", "55", "56", "57", "58", "59")
DSLC_WGMMA(112, DSLC_D112, DSLC_WRAP(DSLC_F112), DSLC_WRAP(DSLC_I112), "56", "57", "58", "59", "60", "61", "62", "63")
DSLC_WGMMA(120, DSLC_D120, DSLC_WRAP(DSLC_F120), DSLC_WRAP(DSLC_I120), "60", "61", "62", "63", "64", "65", "66", "67")
DSLC_WGMMA(128, DSLC_D128, DSLC_WRAP(DSLC_F128), DSLC_WRAP(DSLC_I128), "64", "65", "66", "67", "68", "69", "70", "71")
DSLC_WGMMA(136, DSLC_D136, DSLC_WRAP(DSLC_F136), DSLC_WRAP(DSLC_I136), "68", "69", "70", "71", "72", "73", "74", "75")
DSLC_WGMMA(144, DSLC_D144, DSLC_WRAP(DSLC_F144), DSLC_WRAP(DSLC_I144), "72", "73", "74", "75", "76", "77", "78", "79")
DSLC_WGMMA(152, DSLC_D152, DSLC_WRAP(DSLC_F152), DSLC_WRAP(DSLC_I152), "76", "77", "78", "79", "80", "81", "82", "83")
DSLC_WGMMA(160, DSLC_D160, DSLC_WRAP(DSLC_F160), DSLC_WRAP(DSLC_I160), "80", "81", "82", "83", "84", "85", "86", "87")
DSLC_WGMMA(168, DSLC_D168, DSLC_WRAP(DSLC_F168), DSLC_WRAP(DSLC_I168), "84", "85", "86", "87", "88", "89", "90", "91")
DSLC_WGMMA(176, DSLC_D176, DSLC_WRAP(DSLC_F176), DSLC_WRAP(DSLC_I176), "88", "89", "90", "91", "92", "93", "94", "95")
DSLC_WGMMA(184, DSLC_D184, DSLC_WRAP(DSLC_F184), DSLC_WRAP(DSLC_I184), "92", "93", "94", "95", "96", "97", "98", "99")
DSLC_WGMMA(192, DSLC_D192, DSLC_WRAP(DSLC_F192), DSLC_WRAP(DSLC_I192), "96", "97", "98", "99", "100", "101", "102", "103")
DSLC_WGMMA(200, DSLC_D200, DSLC_WRAP(DSLC_F200), DSLC_WRAP(DSLC_I200), "100", "101", "102", "103", "104", "105", "106", "107")
DSLC_WGMMA(208, DSLC_D208, DSLC_WRAP(DSLC_F208), DSLC_WRAP(DSLC_I208), "104", "105", "106", "107", "108", "109", "110", "111")
DSLC_WGMMA(216, DSLC_D216, DSLC_WRAP(DSLC_F216), DSLC_WRAP(DSLC_I216), "108", "109", "110", "111", "112", "113", "114", "115")
DSLC_WGMMA(224, DSLC_D224, DSLC_WRAP(DSLC_F224), DSLC_WRAP(DSLC_I224), "112", "113", "114", "115", "116", "117", "118", "119")
DSLC_WGMMA(232, DSLC_D232, DSLC_WRAP(DSLC_F232), DSLC_WRAP(DSLC_I232), "116", "117", "118", "119", "120", "121", "122", "123")
DSLC_WGMMA(240, DSLC_D240, DSLC_WRAP(DSLC_F240), DSLC_WRAP(DSLC_I240), "120", "121", "122", "123", "124", "125", "126", "127")
DSLC_WGMMA(248, DSLC_D248, DSLC_WRAP(DSLC_F248), DSLC_WRAP(DSLC_I248), "124", "125", "126", "127", "128", "129", "130", "131")
DSLC_WGMMA(256, DSLC_D256, DSLC_WRAP(DSLC_F256), DSLC_WRAP(DSLC_I256), "128", "129", "130", "131", "132", "133", "134", "135")

// accumulate: 0 takes d as zero. transpose: 1 if the operand is MN-major, for 16-bit types only.
template <int N, class T, int transpose_a, int transpose_b, class D> DSLC_DEVICE void wgmma(D (&d)[N / 2], u64 a, u64 b, i32 accumulate) {
    static_assert(sizeof(T) == 2 || (transpose_a == 0 && transpose_b == 0), "only 16-bit operands can be transposed");
    Wgmma<N>::template run<T, transpose_a, transpose_b>(d, a, b, accumulate);
}
template <int N, class T, int transpose_b, class D> DSLC_DEVICE void wgmma_registers(D (&d)[N / 2], const u32 (&a)[4], u64 b, i32 accumulate) {
    static_assert(sizeof(T) == 2 || transpose_b == 0, "only 16-bit operands can be transposed");
    Wgmma<N>::template run<T, transpose_b>(d, a, b, accumulate);
}

#endif
