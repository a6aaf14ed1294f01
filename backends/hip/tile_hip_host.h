// The host's half of tile_hip.h: launching a kernel.
//
// Kernels are read as templates that nobody instantiates, so the vocabulary of the device is only declared. The code object lies
// inside the library that this becomes (DSLC_CODE_OBJECT names its file). libamdhip64 is opened when a kernel is first launched and
// never linked, so that everything builds where there is no ROCm.
#ifndef DSLC_TILE_HIP_HOST_H
#define DSLC_TILE_HIP_HOST_H

#include <dlfcn.h>

#include "tile_types.h"

#include "tile_math.h"

#ifndef DSLC_LANES
#define DSLC_LANES 64
#endif
constexpr int lanes = DSLC_LANES;

// ---------------------------------------------------------------- declared, for kernels to be read
#define KERNEL(workers, blocks) template <class>
#define PARAMETER const
#define DSLC_EXPORT __attribute__((visibility("default")))
template <class T> using Shared = T *;
template <class T> using Global = T *;
template <class T, int n> struct alignas(n * sizeof(T)) Vector {
    T v[n];
    T &operator[](index_t i) { return v[i]; }
    const T &operator[](index_t i) const { return v[i]; }
};
template <class T> struct Plain { typedef T type; };
template <class T> struct Plain<const T> { typedef T type; };
template <class T> struct Buffer {
    const T *base;
    u32 bytes;
};
i32 worker();
index_t block_index();
index_t block_count();
void block_sync();
template <int n> void workers_sync();
void wave_sync();
void half_sync();
void step_sync();
void order_fence();
void fail(i32 *status, i32 number);
i32 uniform(i32 x);
template <i32 n> void priority();
template <class T> Shared<T> shared_at(i32 byte_offset);
template <class T> Global<T> global(const void *p);
template <class T> T shuffle(T x, i32 lane);
template <class T> T shuffle_xor(T x, i32 mask);
template <class T> T atomic_add(T *p, typename Plain<T>::type x);
template <class T> T atomic_min(T *p, typename Plain<T>::type x);
template <class T> T atomic_max(T *p, typename Plain<T>::type x);
template <int n, class T> Vector<typename Plain<T>::type, n> load_vector(T *p);
template <class T, int n> void store_vector(T *p, const Vector<T, n> &v);
template <class A, class B, int n, class D> void mfma_16x16(D (&d)[4], const Vector<A, n> &a, const Vector<B, n> &b);
template <class A, class B, int n, class D> void mfma_32x32(D (&d)[16], const Vector<A, n> &a, const Vector<B, n> &b);
template <class T> void mfma_16x16(T (&d)[4], T a, T b);
template <class T> void mfma_32x32(T (&d)[16], T a, T b);
template <class T> Buffer<typename Plain<T>::type> make_buffer(T *base, index_t elements);
template <int n, class T> Vector<T, n> buffer_load(Buffer<T> buffer, i32 element);
template <int bytes, class T, class F> void copy_to_shared(T *wave_base, F *from);
template <int bytes, class T> void copy_to_shared(T *wave_base, Buffer<T> from, i32 element);
template <int n> void wait_copies();
template <class T> Vector<T, 4> load_transposed(T *p);

// ---------------------------------------------------------------- the code object, as bytes of this library
#ifdef DSLC_CODE_OBJECT
__asm__(".pushsection .rodata\n.balign 4096\ndslc_code_object:\n.incbin \"" DSLC_CODE_OBJECT "\"\n.popsection\n");
#endif
extern "C" __attribute__((visibility("hidden"))) const u8 dslc_code_object[];

// ---------------------------------------------------------------- libamdhip64
// Types and numbers: hip_runtime_api.h of ROCm 6 and 7, where handles are pointers and errors are ints, 0 for success.
struct HipLibrary {
    int (*get_device)(int *device);
    int (*load_module)(void **module, const void *image);
    int (*get_function)(void **function, void *module, const char *name);
    int (*launch_kernel)(void *function, u32 grid_x, u32 grid_y, u32 grid_z, u32 block_x, u32 block_y, u32 block_z, u32 shared_bytes, void *stream,
                         void **parameters, void **extra);
    int (*synchronise)(void *stream);
    int (*allocate)(void **address, size_t bytes);
    int (*fill)(void *address, int byte, size_t bytes, void *stream);
    int (*copy)(void *to, const void *from, size_t bytes, int kind, void *stream);
    const char *(*error_text)(int error);
};
// Statuses of a launcher: 0, positive ones of the kernel's own, and minus the number of a HIP error, or one of these.
enum { hip_no_library = -100000, hip_too_many_blocks = -100001, hip_no_such_device = -100002, hip_no_status = -100003 };

static inline const HipLibrary *hip_library() {
    static HipLibrary library;
    static int complete;
    if (__atomic_load_n(&complete, __ATOMIC_ACQUIRE))
        return &library;
    const char *const files[] = {"libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "/opt/rocm/lib/libamdhip64.so"};
    void *handle = nullptr;
    for (const char *file : files)
        handle = handle ? handle : dlopen(file, RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        return nullptr;
    const char *const names[] = {"hipGetDevice", "hipModuleLoadData", "hipModuleGetFunction", "hipModuleLaunchKernel", "hipStreamSynchronize",
                                 "hipMalloc", "hipMemsetAsync", "hipMemcpyAsync", "hipGetErrorString"};
    void *found[sizeof names / sizeof *names];
    static_assert(sizeof found == sizeof library, "a name for each function");
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (!(found[i] = dlsym(handle, names[i])))
            return nullptr;
    __builtin_memcpy(&library, found, sizeof library);      // several threads write the same
    __atomic_store_n(&complete, 1, __ATOMIC_RELEASE);
    return &library;
}

// `Kernel` is a type for each kernel, so that each has its own functions, one on every device that it was loaded on.
template <class Kernel> i32 loaded_function(const HipLibrary *hip, const char *name, void **function) {
    static void *functions[64];
    int device = 0;
    int error = hip->get_device(&device);
    if (error)
        return -error;
    if (device < 0 || device >= 64)
        return hip_no_such_device;
    *function = __atomic_load_n(&functions[device], __ATOMIC_ACQUIRE);
    if (*function)
        return 0;
    void *module = nullptr;
    error = hip->load_module(&module, dslc_code_object);
    error = error ? error : hip->get_function(function, module, name);
    if (!error)
        __atomic_store_n(&functions[device], *function, __ATOMIC_RELEASE);
    return -error;
}

template <class Kernel, class A>
i32 launch_kernel(const char *name, index_t blocks, i32 workers, i32 shared_bytes, void *stream, const A &arguments) {
    if (blocks <= 0)
        return 0;
    if (blocks > (index_t)(0xffffffffu / (u32)workers))       // a grid has less than 2^32 threads
        return hip_too_many_blocks;
    const HipLibrary *const hip = hip_library();
    if (!hip)
        return hip_no_library;
    void *function = nullptr;
    const i32 status = loaded_function<Kernel>(hip, name, &function);
    if (status)
        return status;
    void *parameters[] = {const_cast<A *>(&arguments)};
    return -hip->launch_kernel(function, (u32)blocks, 1, 1, (u32)workers, 1, 1, (u32)shared_bytes, stream, parameters, nullptr);
}
#define launch(kernel, ...) launch_kernel<struct kernel##_loaded>(#kernel, __VA_ARGS__)

// A word on the device for fail(), zeroed on the stream: one for each thread of the host and device. Null where that cannot be.
static inline i32 *status_word(void *stream) {
    static thread_local void *words[64];
    const HipLibrary *const hip = hip_library();
    int device = 0;
    if (!hip || hip->get_device(&device) || device < 0 || device >= 64)
        return nullptr;
    if (!words[device] && hip->allocate(&words[device], sizeof(i32)))
        return nullptr;
    return hip->fill(words[device], 0, sizeof(i32), stream) ? nullptr : (i32 *)words[device];
}
// What the kernel left there, once it has ended.
static inline i32 read_status(i32 *status, void *stream) {
    const HipLibrary *const hip = hip_library();
    i32 found = 0;
    if (!hip || !status)
        return hip ? hip_no_status : hip_no_library;
    const int device_to_host = 2;                             // hipMemcpyKind
    int error = hip->copy(&found, status, sizeof found, device_to_host, stream);
    error = error ? error : hip->synchronise(stream);
    return error ? -error : found;
}

// 1 if libamdhip64 can be opened; what a status below 0 means; waiting for a stream, where a kernel's faults come out.
extern "C" __attribute__((visibility("default"), used)) inline i32 dslc_hip_present(void) { return hip_library() != nullptr; }
extern "C" __attribute__((visibility("default"), used)) inline const char *dslc_hip_error(i32 status) {
    const HipLibrary *const hip = hip_library();
    if (!hip || status == hip_no_library)
        return "libamdhip64 is not there";
    if (status == hip_too_many_blocks)
        return "the grid has too many programs";
    if (status == hip_no_status)
        return "there is no memory for the status on the device";
    return status == hip_no_such_device ? "the number of the device is too large" : hip->error_text(-status);
}
extern "C" __attribute__((visibility("default"), used)) inline i32 dslc_hip_wait(void *stream) {
    const HipLibrary *const hip = hip_library();
    return hip ? -hip->synchronise(stream) : (i32)hip_no_library;
}

#endif
