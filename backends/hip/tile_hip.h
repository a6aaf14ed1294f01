// The vocabulary of generated HIP source, for gfx90a, gfx942, gfx950 (waves of 64) and gfx1100 (waves of 32, without matrix instructions).
//
// No ROCm header is needed: everything is a wrapper over clang's builtins. The same source is read three times: by clang for the
// device (this file), by a C++ compiler for the launcher (tile_hip_host.h: kernels are parsed, never instantiated), and by a C++
// compiler for the emulator, which has a file of this name.
#ifndef DSLC_TILE_HIP_H
#define DSLC_TILE_HIP_H

#ifndef __AMDGCN__
#include "tile_hip_host.h"
#else

#define DSLC_FN static inline __attribute__((host, device, always_inline))
#define DSLC_DEVICE static inline __attribute__((device, always_inline))
#define DSLC_MEMBER inline __attribute__((host, device, always_inline))
#define DSLC_NATIVE_F16
#define DSLC_NATIVE_FUNCTIONS
#include "tile_types.h"

#include "tile_math.h"

#include "tile_hip_math.h"

#ifdef __GFX9__
constexpr int lanes = 64;
#else
constexpr int lanes = 32;
#endif

// Waves of one SIMD when `blocks` blocks share a compute unit, which has four SIMDs. Of fewer than four waves each has one.
constexpr int waves_of_simd(int workers, int blocks) { return ((workers + lanes - 1) / lanes * blocks + 3) / 4 + (blocks == 0); }

// As __launch_bounds__, which clang does not heed on this target: `workers` threads in a block, and registers few enough for
// `blocks` blocks on a compute unit (0: as the compiler likes).
#define KERNEL(workers, blocks)                                                      \
    extern "C" __attribute__((global, amdgpu_flat_work_group_size(workers, workers), \
                              amdgpu_waves_per_eu(waves_of_simd(workers, blocks))))
#define PARAMETER const
// The launcher is host code, which a compilation for the device reads and drops.
#define DSLC_EXPORT __attribute__((visibility("default")))
#define launch(kernel, ...) launch_kernel(#kernel, __VA_ARGS__)
template <class... Rest> i32 launch_kernel(const char *kernel, const Rest &...rest);
i32 *status_word(void *stream);
i32 read_status(i32 *status, void *stream);

// ---------------------------------------------------------------- workers and blocks
DSLC_DEVICE i32 worker() { return (i32)__builtin_amdgcn_workitem_id_x(); }
DSLC_DEVICE index_t block_index() { return (index_t)__builtin_amdgcn_workgroup_id_x(); }
DSLC_DEVICE index_t block_count() { return (index_t)(__builtin_amdgcn_grid_size_x() / __builtin_amdgcn_workgroup_size_x()); }

DSLC_DEVICE void block_sync() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
// All n workers; here they are the whole block.
template <int n> DSLC_DEVICE void workers_sync() { block_sync(); }
DSLC_DEVICE void wave_sync() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
// As block_sync, for waves that are out of step: the waves of a block meet at whichever step_sync or half_sync each of them has come to.
DSLC_DEVICE void step_sync() { block_sync(); }
// The same, but orders no memory: for waves that take turns on what is in registers.
DSLC_DEVICE void half_sync() { __builtin_amdgcn_s_barrier(); }
// Nothing is scheduled across it. No instruction.
DSLC_DEVICE void order_fence() { __builtin_amdgcn_sched_barrier(0); }
// 0 to 3; of the waves on a SIMD that could issue, the one with the highest does.
template <i32 n> DSLC_DEVICE void priority() { __builtin_amdgcn_s_setprio(n); }

// ---------------------------------------------------------------- memory
template <class T> using Shared = T *;
template <class T> using Global = T *;
extern __attribute__((shared, aligned(1024))) u8 dslc_arena[];

template <class T> DSLC_DEVICE Shared<T> shared_at(i32 byte_offset) { return (T *)(dslc_arena + byte_offset); }
template <class T> DSLC_DEVICE Global<T> global(const void *p) { return (T *)p; }

template <class T, int n> struct alignas(n * sizeof(T)) Vector {
    T v[n];
    DSLC_MEMBER T &operator[](index_t i) { return v[i]; }
    DSLC_MEMBER const T &operator[](index_t i) const { return v[i]; }
};

template <class T> struct Plain { typedef T type; };
template <class T> struct Plain<const T> { typedef T type; };
// What one instruction moves: 1, 2, 4, 8 or 16 bytes.
template <int bytes> struct Words { typedef u32 type __attribute__((ext_vector_type(bytes / 4))); };
template <> struct Words<1> { typedef u8 type; };
template <> struct Words<2> { typedef u16 type; };
template <> struct Words<4> { typedef u32 type; };

template <int n, class T> DSLC_DEVICE Vector<typename Plain<T>::type, n> load_vector(T *p) {
    typedef typename Words<n * sizeof(T)>::type W;
    return bitcast<Vector<typename Plain<T>::type, n>>(*(const W *)p);
}
template <class T, int n> DSLC_DEVICE void store_vector(T *p, const Vector<T, n> &v) {
    typedef typename Words<n * sizeof(T)>::type W;
    *(W *)p = bitcast<W>(v);
}

// The value before. Relaxed: only block_sync and the end of the kernel order memory. Compiler hint: tensors lie in this device's own memory, where
// the adding instructions work; f32 sums below 2^-126 may be flushed.
#define DSLC_ATOMIC [[clang::atomic(no_remote_memory, no_fine_grained_memory, ignore_denormal_mode)]]
template <class T> DSLC_DEVICE T atomic_add(T *p, typename Plain<T>::type x) {
    DSLC_ATOMIC { return __hip_atomic_fetch_add(p, x, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT); }
}
template <class T> DSLC_DEVICE T atomic_min(T *p, typename Plain<T>::type x) {
    DSLC_ATOMIC { return __hip_atomic_fetch_min(p, x, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT); }
}
template <class T> DSLC_DEVICE T atomic_max(T *p, typename Plain<T>::type x) {
    DSLC_ATOMIC { return __hip_atomic_fetch_max(p, x, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT); }
}
#undef DSLC_ATOMIC

DSLC_DEVICE void fail(i32 *status, i32 number) {
    i32 none = 0;
    __hip_atomic_compare_exchange_strong(status, &none, number, __ATOMIC_RELAXED, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

#include "tile_hip_wave.h"
#ifdef __GFX9__
#include "tile_hip_matrix.h"
#endif

#endif
#endif
