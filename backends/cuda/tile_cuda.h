// What generated CUDA source is written in: thin inline functions over one or a few instructions.
//
// The emulator has a header of the same name with the same functions, so that one source text is compiled by nvcc for a device and by a C++
// compiler for the emulator. "PTX" below is NVIDIA's Parallel Thread Execution ISA 9.0; numbers quoted from it are named so.
#ifndef DSLC_TILE_CUDA_H
#define DSLC_TILE_CUDA_H

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "compute capability 8.0 or later is needed"
#endif

#define DSLC_FN static __host__ __device__ __forceinline__
#define DSLC_DEVICE static __device__ __forceinline__

#ifdef __CUDA_ARCH__                  // the host's half of the compilation, which computes grids, takes the portable forms
#define DSLC_NATIVE_F16
#define DSLC_NATIVE_FUNCTIONS
#if __CUDA_ARCH__ >= 890
#define DSLC_NATIVE_F8
#endif
#endif
#include "tile_types.h"
#include "tile_math.h"
#ifdef __CUDA_ARCH__
#include "tile_cuda_math.h"
#endif

#define KERNEL(workers, blocks) extern "C" __global__ __launch_bounds__(workers, blocks)
#define PARAMETER const __grid_constant__

constexpr int lanes = 32;

DSLC_DEVICE i32 worker() { return (i32)threadIdx.x; }
DSLC_DEVICE index_t block_index() { return (index_t)blockIdx.x; }
DSLC_DEVICE index_t block_count() { return (index_t)gridDim.x; }
DSLC_DEVICE void block_sync() { __syncthreads(); }
// n threads of the block, whole warps, where others do something else.
template <int n> DSLC_DEVICE void workers_sync() { asm volatile("bar.sync 1, %0;" :: "n"(n) : "memory"); }
DSLC_DEVICE void wave_sync() { __syncwarp(); }

// ---------------------------------------------------------------- memory
// Addresses are generic; the compiler finds out which come from the arena.
template <class T> using Shared = T *;
template <class T> using Global = T *;

// 1024 bytes: the pattern of the widest swizzle repeats after as many, so tiles at multiples of it begin alike.
extern __shared__ __align__(1024) unsigned char dslc_arena[];

template <class T> DSLC_DEVICE Shared<T> shared_at(i32 byte_offset) { return reinterpret_cast<T *>(dslc_arena + byte_offset); }
template <class T> DSLC_DEVICE Global<T> global(const void *p) { return static_cast<T *>(const_cast<void *>(p)); }

DSLC_DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

template <int bytes> struct Word;
template <> struct Word<1> { typedef u8 type; };
template <> struct Word<2> { typedef u16 type; };
template <> struct Word<4> { typedef u32 type; };
template <> struct Word<8> { typedef uint2 type; };
template <> struct Word<16> { typedef uint4 type; };

template <class T> struct Unqualified { typedef T type; };
template <class T> struct Unqualified<const T> { typedef T type; };

template <class T, int n> struct alignas(n * sizeof(T)) Vector {
    T at[n];
    __host__ __device__ __forceinline__ T &operator[](int i) { return at[i]; }
    __host__ __device__ __forceinline__ const T &operator[](int i) const { return at[i]; }
};

// One instruction each; p is aligned to the whole vector.
template <int n, class T> DSLC_DEVICE Vector<typename Unqualified<T>::type, n> load_vector(T *p) {
    typedef typename Word<n * (int)sizeof(T)>::type W;
    const W word = *reinterpret_cast<const W *>(p);
    return __builtin_bit_cast(Vector<typename Unqualified<T>::type, n>, word);
}
template <class T, int n> DSLC_DEVICE void store_vector(T *p, Vector<T, n> v) {
    typedef typename Word<n * (int)sizeof(T)>::type W;
    *reinterpret_cast<W *>(p) = __builtin_bit_cast(W, v);
}

// A tensor as bulk copies see it; the host writes it, a kernel has it inside its PARAMETER.
struct alignas(64) TensorMap { u64 opaque[16]; };

// ---------------------------------------------------------------- between lanes: every lane of the warp takes part
template <class T, class F> DSLC_DEVICE T by_words(T x, F exchange) {
    if constexpr (sizeof(T) == 8) {
        const uint2 word = __builtin_bit_cast(uint2, x);
        return __builtin_bit_cast(T, make_uint2(exchange(word.x), exchange(word.y)));
    } else if constexpr (sizeof(T) == 4) {
        return __builtin_bit_cast(T, exchange(__builtin_bit_cast(u32, x)));
    } else {
        typedef typename Word<(int)sizeof(T)>::type W;
        return __builtin_bit_cast(T, (W)exchange((u32)__builtin_bit_cast(W, x)));
    }
}
template <class T> DSLC_DEVICE T shuffle_xor(T x, i32 mask) {
    return by_words(x, [=](u32 word) { return __shfl_xor_sync(0xffffffffu, word, mask); });
}
template <class T> DSLC_DEVICE T shuffle(T x, i32 lane) {
    return by_words(x, [=](u32 word) { return __shfl_sync(0xffffffffu, word, lane); });
}

// ---------------------------------------------------------------- atomics: relaxed, on the whole device; they return the value before
typedef unsigned long long Wide;      // what CUDA's 64-bit atomics take
DSLC_DEVICE i32 atomic_add(i32 *p, i32 x) { return atomicAdd(p, x); }
DSLC_DEVICE u32 atomic_add(u32 *p, u32 x) { return atomicAdd(p, x); }
DSLC_DEVICE i64 atomic_add(i64 *p, i64 x) { return (i64)atomicAdd(reinterpret_cast<Wide *>(p), (Wide)x); }
DSLC_DEVICE u64 atomic_add(u64 *p, u64 x) { return (u64)atomicAdd(reinterpret_cast<Wide *>(p), (Wide)x); }
DSLC_DEVICE f32 atomic_add(f32 *p, f32 x) { return atomicAdd(p, x); }
DSLC_DEVICE f64 atomic_add(f64 *p, f64 x) { return atomicAdd(p, x); }

DSLC_DEVICE i32 atomic_min(i32 *p, i32 x) { return atomicMin(p, x); }
DSLC_DEVICE u32 atomic_min(u32 *p, u32 x) { return atomicMin(p, x); }
DSLC_DEVICE i64 atomic_min(i64 *p, i64 x) { return (i64)atomicMin(reinterpret_cast<long long *>(p), (long long)x); }
DSLC_DEVICE u64 atomic_min(u64 *p, u64 x) { return (u64)atomicMin(reinterpret_cast<Wide *>(p), (Wide)x); }
DSLC_DEVICE i32 atomic_max(i32 *p, i32 x) { return atomicMax(p, x); }
DSLC_DEVICE u32 atomic_max(u32 *p, u32 x) { return atomicMax(p, x); }
DSLC_DEVICE i64 atomic_max(i64 *p, i64 x) { return (i64)atomicMax(reinterpret_cast<long long *>(p), (long long)x); }
DSLC_DEVICE u64 atomic_max(u64 *p, u64 x) { return (u64)atomicMax(reinterpret_cast<Wide *>(p), (Wide)x); }

// There is no instruction for the floats. Bits are compared, so that a NaN in memory ends the loop like anything else.
template <class T> struct BitsOf;
template <> struct BitsOf<f32> { typedef u32 type; };
template <> struct BitsOf<f64> { typedef Wide type; };
template <class T, class F> DSLC_DEVICE T atomic_replace(T *p, F chosen) {
    typedef typename BitsOf<T>::type Bits;
    Bits *const at = reinterpret_cast<Bits *>(p);
    Bits seen = *at;
    for (;;) {
        const Bits wanted = __builtin_bit_cast(Bits, chosen(__builtin_bit_cast(T, seen)));
        const Bits found = wanted == seen ? seen : atomicCAS(at, seen, wanted);
        if (found == seen)
            return __builtin_bit_cast(T, seen);
        seen = found;
    }
}
DSLC_DEVICE f32 atomic_min(f32 *p, f32 x) { return atomic_replace(p, [=](f32 old) { return minimum(old, x); }); }
DSLC_DEVICE f32 atomic_max(f32 *p, f32 x) { return atomic_replace(p, [=](f32 old) { return maximum(old, x); }); }
DSLC_DEVICE f64 atomic_min(f64 *p, f64 x) { return atomic_replace(p, [=](f64 old) { return minimum(old, x); }); }
DSLC_DEVICE f64 atomic_max(f64 *p, f64 x) { return atomic_replace(p, [=](f64 old) { return maximum(old, x); }); }

// The first failure that a kernel finds is the one that is told.
DSLC_DEVICE void fail(i32 *status, i32 number) { atomicCAS(status, 0, number); }

// ---------------------------------------------------------------- pairs of 16-bit values in a register, the low half first
template <class T> DSLC_DEVICE u32 pack2(T low, T high) {
    static_assert(sizeof(T) == 2, "pairs are of 16-bit types");
    return (u32)__builtin_bit_cast(u16, low) | (u32)__builtin_bit_cast(u16, high) << 16;
}
template <class T> DSLC_DEVICE T unpack(u32 pair, i32 i) { return __builtin_bit_cast(T, (u16)(pair >> (i * 16))); }

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#include "tile_cuda_matrix.h"
#endif
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#include "tile_cuda_tensor.h"
#include "tile_cuda_wgmma.h"
#endif
#include "tile_cuda_host.h"

#endif
