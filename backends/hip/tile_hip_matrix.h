// Matrix instructions, copies to shared memory and range-checked loads of gfx90a, gfx942 and gfx950.  Part of tile_hip.h.
//
// D (size x size) += A (size x K) B (K x size). With n operand elements in a lane, g = lane / size, i = lane % size:
// A[i][n g + e] is a[e] and B[n g + e][i] is b[e].  Element r of d is D[row][i] with row = 4 g + r for size 16,
// row = 8 (r / 4) + 4 g + r % 4 for size 32; for f64 row = 4 r + g.  (AMD matrix instruction calculator.)
#ifndef DSLC_TILE_HIP_MATRIX_H
#define DSLC_TILE_HIP_MATRIX_H

typedef _Float16 half_x4 __attribute__((ext_vector_type(4)));
typedef _Float16 half_x8 __attribute__((ext_vector_type(8)));
typedef __bf16 brain_x8 __attribute__((ext_vector_type(8)));
typedef short short_x4 __attribute__((ext_vector_type(4)));
typedef int int_x4 __attribute__((ext_vector_type(4)));

// The instruction for a size, element types and elements in a lane; undefined where the chip has none.
template <int size, class A, class B, int n> struct Mfma;
#define DSLC_MFMA(SIZE, A, B, N, OPERAND, D, BUILTIN)                                                               \
    template <> struct Mfma<SIZE, A, B, N> {                                                                        \
        typedef D result;                                                                                           \
        typedef D registers __attribute__((ext_vector_type(SIZE * SIZE / 64)));                                     \
        DSLC_DEVICE registers multiply(const Vector<A, N> &a, const Vector<B, N> &b, registers d) {                      \
            return BUILTIN(bitcast<OPERAND>(a), bitcast<OPERAND>(b), d, 0, 0, 0);                                   \
        }                                                                                                           \
    };
DSLC_MFMA(16, f16, f16, 4, half_x4, f32, __builtin_amdgcn_mfma_f32_16x16x16f16)
DSLC_MFMA(32, f16, f16, 4, half_x4, f32, __builtin_amdgcn_mfma_f32_32x32x8f16)
DSLC_MFMA(16, bf16, bf16, 4, short_x4, f32, __builtin_amdgcn_mfma_f32_16x16x16bf16_1k)
DSLC_MFMA(32, bf16, bf16, 4, short_x4, f32, __builtin_amdgcn_mfma_f32_32x32x8bf16_1k)
DSLC_MFMA(16, f32, f32, 1, float, f32, __builtin_amdgcn_mfma_f32_16x16x4f32)
DSLC_MFMA(32, f32, f32, 1, float, f32, __builtin_amdgcn_mfma_f32_32x32x2f32)
DSLC_MFMA(16, f64, f64, 1, double, f64, __builtin_amdgcn_mfma_f64_16x16x4f64)
#ifdef __gfx90a__
DSLC_MFMA(16, i8, i8, 4, int, i32, __builtin_amdgcn_mfma_i32_16x16x16i8)
DSLC_MFMA(32, i8, i8, 4, int, i32, __builtin_amdgcn_mfma_i32_32x32x8i8)
#else
DSLC_MFMA(16, i8, i8, 8, long, i32, __builtin_amdgcn_mfma_i32_16x16x32_i8)
DSLC_MFMA(32, i8, i8, 8, long, i32, __builtin_amdgcn_mfma_i32_32x32x16_i8)
#endif
#ifdef __gfx950__
DSLC_MFMA(16, f16, f16, 8, half_x8, f32, __builtin_amdgcn_mfma_f32_16x16x32_f16)
DSLC_MFMA(32, f16, f16, 8, half_x8, f32, __builtin_amdgcn_mfma_f32_32x32x16_f16)
DSLC_MFMA(16, bf16, bf16, 8, brain_x8, f32, __builtin_amdgcn_mfma_f32_16x16x32_bf16)
DSLC_MFMA(32, bf16, bf16, 8, brain_x8, f32, __builtin_amdgcn_mfma_f32_32x32x16_bf16)
DSLC_MFMA(16, i8, i8, 16, int_x4, i32, __builtin_amdgcn_mfma_i32_16x16x64_i8)
DSLC_MFMA(32, i8, i8, 16, int_x4, i32, __builtin_amdgcn_mfma_i32_32x32x32_i8)
// gfx942 has these too, but there they read the f8 of another standard (bias one more, one zero).
DSLC_MFMA(16, f8e4m3, f8e4m3, 8, long, f32, __builtin_amdgcn_mfma_f32_16x16x32_fp8_fp8)
DSLC_MFMA(16, f8e4m3, f8e5m2, 8, long, f32, __builtin_amdgcn_mfma_f32_16x16x32_fp8_bf8)
DSLC_MFMA(16, f8e5m2, f8e4m3, 8, long, f32, __builtin_amdgcn_mfma_f32_16x16x32_bf8_fp8)
DSLC_MFMA(16, f8e5m2, f8e5m2, 8, long, f32, __builtin_amdgcn_mfma_f32_16x16x32_bf8_bf8)
DSLC_MFMA(32, f8e4m3, f8e4m3, 8, long, f32, __builtin_amdgcn_mfma_f32_32x32x16_fp8_fp8)
DSLC_MFMA(32, f8e4m3, f8e5m2, 8, long, f32, __builtin_amdgcn_mfma_f32_32x32x16_fp8_bf8)
DSLC_MFMA(32, f8e5m2, f8e4m3, 8, long, f32, __builtin_amdgcn_mfma_f32_32x32x16_bf8_fp8)
DSLC_MFMA(32, f8e5m2, f8e5m2, 8, long, f32, __builtin_amdgcn_mfma_f32_32x32x16_bf8_bf8)
#endif
#undef DSLC_MFMA

template <int size, class A, class B, int n, class D, int slots>
DSLC_DEVICE void multiply_add(D (&d)[slots], const Vector<A, n> &a, const Vector<B, n> &b) {
    typedef Mfma<size, A, B, n> Instruction;
    static_assert(sizeof(typename Instruction::registers) == sizeof d, "the accumulator has another size");
    typename Instruction::registers r;
    __builtin_memcpy(&r, d, sizeof r);      // as one register tuple, which stays one through a loop
    r = Instruction::multiply(a, b, r);
    __builtin_memcpy(d, &r, sizeof r);
}
template <class A, class B, int n, class D> DSLC_DEVICE void mfma_16x16(D (&d)[4], const Vector<A, n> &a, const Vector<B, n> &b) {
    multiply_add<16>(d, a, b);
}
template <class A, class B, int n, class D> DSLC_DEVICE void mfma_32x32(D (&d)[16], const Vector<A, n> &a, const Vector<B, n> &b) {
    multiply_add<32>(d, a, b);
}
// One element in a lane: f32 and f64.
template <class T> DSLC_DEVICE void mfma_16x16(T (&d)[4], T a, T b) { multiply_add<16>(d, Vector<T, 1>{{a}}, Vector<T, 1>{{b}}); }
template <class T> DSLC_DEVICE void mfma_32x32(T (&d)[16], T a, T b) { multiply_add<32>(d, Vector<T, 1>{{a}}, Vector<T, 1>{{b}}); }

// ---------------------------------------------------------------- loads that give 0 outside a tensor
// elements * sizeof(T) <= 2^31 - 1, and so for the element asked for; negative ones are outside. Each 4-byte word is judged
// alone, by its first byte.
template <class T> struct Buffer {
    const T *base;
    u32 bytes;
};
template <class T> DSLC_DEVICE Buffer<typename Plain<T>::type> make_buffer(T *base, index_t elements) {
    return {base, (u32)(elements * (index_t)sizeof(T))};
}
// Address, stride 0, bytes, and word 3: data format 32 in bits 15 to 18, the rest 0 (CDNA3 instruction set reference, buffer resource).
template <class T> DSLC_DEVICE int_x4 resource_of(Buffer<T> buffer) {
    const u64 base = (u64)buffer.base;
    return int_x4{__builtin_amdgcn_readfirstlane((int)(u32)base), __builtin_amdgcn_readfirstlane((int)(u32)(base >> 32) & 0xffff),
                  __builtin_amdgcn_readfirstlane((int)buffer.bytes), 0x20000};
}
template <int n, class T> DSLC_DEVICE Vector<T, n> buffer_load(Buffer<T> buffer, i32 element) {
    const int bytes = n * (int)sizeof(T), offset = element * (int)sizeof(T);
    auto resource = __builtin_amdgcn_make_buffer_rsrc((void *)buffer.base, 0, buffer.bytes, 0x20000);
    static_assert(bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16, "2, 4, 8 or 16 bytes");
    if constexpr (bytes == 2)
        return bitcast<Vector<T, n>>(__builtin_amdgcn_raw_buffer_load_b16(resource, offset, 0, 0));
    else if constexpr (bytes == 4)
        return bitcast<Vector<T, n>>(__builtin_amdgcn_raw_buffer_load_b32(resource, offset, 0, 0));
    else if constexpr (bytes == 8)
        return bitcast<Vector<T, n>>(__builtin_amdgcn_raw_buffer_load_b64(resource, offset, 0, 0));
    else
        return bitcast<Vector<T, n>>(__builtin_amdgcn_raw_buffer_load_b128(resource, offset, 0, 0));
}

// ---------------------------------------------------------------- global memory to shared memory, not through registers
// Lane i's element lands at wave_base + i * bytes, the address at which `from` points, or the one with a number in a buffer: then zeros
// land for what is outside it. 4 bytes on every chip, 16 on gfx950. wave_base is the same in all lanes.
// Text and not the builtins, after which the compiler waits for every copy before any read of shared memory.
// The base goes in m0, which such an instruction may read one cycle after it was written; a descriptor that a vector instruction wrote,
// five after (CDNA3 instruction set reference, "Manually inserted wait states"): the compiler does not look into the text for these.
#if defined(__gfx950__)
#define DSLC_COPY_BYTES(bytes) ((bytes) == 4 || (bytes) == 16)
#else
#define DSLC_COPY_BYTES(bytes) ((bytes) == 4)
#endif
#if defined(__gfx90a__)
#define DSLC_GLOBAL_TO_SHARED "global_load_dword %1, off lds"
#else
#define DSLC_GLOBAL_TO_SHARED "global_load_lds_dword %1, off"
#endif
DSLC_DEVICE u32 base_in_shared(const void *wave_base) {
    // As a distance, which the compiler can fold; the cast of a generic pointer would test for null.
    u32 arena = (u32)(uintptr_t)(__attribute__((address_space(3))) void *)dslc_arena;
    return (u32)__builtin_amdgcn_readfirstlane((int)(arena + (u32)((const u8 *)wave_base - dslc_arena)));
}
template <int bytes, class T, class F> DSLC_DEVICE void copy_to_shared(T *wave_base, F *from) {
    static_assert(DSLC_COPY_BYTES(bytes), "this chip does not copy so many bytes for a lane");
    const u32 base = base_in_shared(wave_base);
    const auto address = (const __attribute__((address_space(1))) void *)from;
#ifdef __gfx950__
    if constexpr (bytes == 16)
        asm volatile("s_nop 0\n\tglobal_load_lds_dwordx4 %1, off" ::"{m0}"(base), "v"(address) : "memory");
    else
#endif
        asm volatile("s_nop 0\n\t" DSLC_GLOBAL_TO_SHARED ::"{m0}"(base), "v"(address) : "memory");
}
template <int bytes, class T> DSLC_DEVICE void copy_to_shared(T *wave_base, Buffer<T> from, i32 element) {
    static_assert(DSLC_COPY_BYTES(bytes), "this chip does not copy so many bytes for a lane");
    const u32 base = base_in_shared(wave_base);
    const i32 offset = element * (i32)sizeof(T);
    const auto resource = resource_of(from);
#ifdef __gfx950__
    if constexpr (bytes == 16)
        asm volatile("s_nop 4\n\tbuffer_load_dwordx4 %1, %2, 0 offen lds" ::"{m0}"(base), "v"(offset), "s"(resource) : "memory");
    else
#endif
        asm volatile("s_nop 4\n\tbuffer_load_dword %1, %2, 0 offen lds" ::"{m0}"(base), "v"(offset), "s"(resource) : "memory");
}
#undef DSLC_COPY_BYTES
#undef DSLC_GLOBAL_TO_SHARED
// Until at most n of this wave's copies are outstanding. The counter counts its other loads and stores from and to global memory
// as well, all of which return in order, so they can only make the wait longer.
template <int n> DSLC_DEVICE void wait_copies() {
    static_assert(n >= 0 && n < 64, "the counter has 6 bits");
    asm volatile("s_waitcnt vmcnt(%0)" ::"n"(n) : "memory");
}

#ifdef __gfx950__
// In each group of 16 lanes: element e of lane l is element l % 4 of what lane 4 e + l / 4 points to (4 elements, 8 bytes each): with
// rows of 16 elements at lanes 0-3, 4-7, .., lane l gets column l.
template <class T> DSLC_DEVICE Vector<T, 4> load_transposed(T *p) {
    static_assert(sizeof(T) == 2, "16-bit elements");
    return bitcast<Vector<T, 4>>(__builtin_amdgcn_ds_read_tr16_b64_v4i16((__attribute__((address_space(3))) short_x4 *)p));
}
#endif

#endif
