// The host's half: launching a kernel and describing tensors to it. Nothing here needs a device or a driver before it is called.
#ifndef DSLC_TILE_CUDA_HOST_H
#define DSLC_TILE_CUDA_HOST_H

// Statuses of a launcher: 0, positive ones of the kernel's own, and minus the number of a CUDA error.
static inline i32 cuda_status(cudaError_t error) { return -(i32)error; }

// More shared memory than 48 KiB is asked for by an attribute; it is set when kernel, device or size are not those of this thread's last launch.
template <class A> i32 launch(void (*kernel)(const A), index_t blocks, i32 workers, i32 shared_bytes, void *stream, const A &arguments) {
    static thread_local const void *prepared = nullptr;
    static thread_local int prepared_device = -1, prepared_bytes = 0;
    if (blocks <= 0)
        return 0;
    if (blocks > 0x7fffffff)                                  // the limit of a grid's first dimension
        return cuda_status(cudaErrorInvalidConfiguration);
    const void *const entry = reinterpret_cast<const void *>(kernel);
    int device = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess && shared_bytes > 0 && (entry != prepared || device != prepared_device || shared_bytes != prepared_bytes)) {
        error = cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
        prepared = entry, prepared_device = device, prepared_bytes = shared_bytes;
    }
    if (error != cudaSuccess)
        return cuda_status(error);
    cudaLaunchConfig_t configuration = {};
    configuration.gridDim = dim3((unsigned)blocks);
    configuration.blockDim = dim3((unsigned)workers);
    configuration.dynamicSmemBytes = (size_t)shared_bytes;
    configuration.stream = static_cast<cudaStream_t>(stream);
    void *parameters[] = {const_cast<A *>(&arguments)};
    return cuda_status(cudaLaunchKernelExC(&configuration, entry, parameters));
}

// ---------------------------------------------------------------- what a kernel finds wrong
// A word on the device for launches of this thread, zero before each; none (and launches then fail) where there is no memory.
static inline i32 *status_word(void *stream) {
    static thread_local i32 *word = nullptr;
    static thread_local int home = -1;
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess)
        return nullptr;
    if (device != home) {
        if (cudaMalloc(reinterpret_cast<void **>(&word), sizeof(i32)) != cudaSuccess)
            return nullptr;
        home = device;
    }
    return cudaMemsetAsync(word, 0, sizeof(i32), static_cast<cudaStream_t>(stream)) == cudaSuccess ? word : nullptr;
}
// Waits for the launch.
static inline i32 read_status(const i32 *word, void *stream) {
    i32 status = 0;
    if (!word)
        return cuda_status(cudaErrorMemoryAllocation);
    const cudaError_t error = cudaMemcpyAsync(&status, word, sizeof status, cudaMemcpyDeviceToHost, static_cast<cudaStream_t>(stream));
    if (error != cudaSuccess)
        return cuda_status(error);
    const cudaError_t ended = cudaStreamSynchronize(static_cast<cudaStream_t>(stream));
    return ended == cudaSuccess ? status : cuda_status(ended);
}

// Of the current device; 1 if that cannot be told, which the launch will then tell.
static inline index_t multiprocessors() {
    int device = 0, count = 0;
    if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess)
        return 1;
    return count;
}

// What a status below 0 means.
extern "C" __attribute__((visibility("default"))) const char *dslc_cuda_error(i32 status) { return cudaGetErrorString((cudaError_t)-status); }
// Waits for what was launched on the stream; errors of kernels, such as an address outside of every tensor, come out here.
extern "C" __attribute__((visibility("default"))) i32 dslc_cuda_wait(void *stream) {
    return cuda_status(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

// ---------------------------------------------------------------- tensor maps
// Numbers of CUtensorMapDataType, CUtensorMapSwizzle, CUtensorMapL2promotion: cuda.h of CUDA 13.0, the same since 12.0.
template <class T> struct TensorMapType;
template <> struct TensorMapType<u8> { static const int number = 0; };
template <> struct TensorMapType<i8> { static const int number = 0; };
template <> struct TensorMapType<f8e4m3> { static const int number = 0; };
template <> struct TensorMapType<f8e5m2> { static const int number = 0; };
template <> struct TensorMapType<u16> { static const int number = 1; };
template <> struct TensorMapType<i16> { static const int number = 1; };
template <> struct TensorMapType<u32> { static const int number = 2; };
template <> struct TensorMapType<i32> { static const int number = 3; };
template <> struct TensorMapType<u64> { static const int number = 4; };
template <> struct TensorMapType<i64> { static const int number = 5; };
template <> struct TensorMapType<f16> { static const int number = 6; };
template <> struct TensorMapType<f32> { static const int number = 7; };
template <> struct TensorMapType<f64> { static const int number = 8; };
template <> struct TensorMapType<bf16> { static const int number = 9; };

// The driver's function, found by version, so that nothing is linked with the driver.
typedef int (*EncodeTiled)(TensorMap *, int type, u32 rank, void *address, const u64 *dims, const u64 *strides, const u32 *box, const u32 *element_strides,
                           int interleave, int swizzle, int promotion, int fill);
static inline i32 find_encode_tiled(EncodeTiled *found) {
    static EncodeTiled known = nullptr;
    if (!known) {
        void *entry = nullptr;
        cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
        const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &result);
        if (error != cudaSuccess)
            return cuda_status(error);
        if (result != cudaDriverEntryPointSuccess || !entry)
            return cuda_status(cudaErrorCallRequiresNewerDriver);
        known = reinterpret_cast<EncodeTiled>(entry);
    }
    *found = known;
    return 0;
}

// dims: elements, the innermost first. stride_bytes: of dims 1 .. rank-1, multiples of 16. box: elements of one copy, at most 256 each.
template <class T> i32 tensor_map(TensorMap *out, int rank, void *address, const u64 *dims, const u64 *stride_bytes, const u32 *box, int swizzle_bytes) {
    const u32 element_strides[5] = {1, 1, 1, 1, 1};
    const int swizzle = swizzle_bytes == 128 ? 3 : swizzle_bytes == 64 ? 2 : swizzle_bytes == 32 ? 1 : 0, promotion = 2;   // to 128 bytes
    EncodeTiled encode = nullptr;
    const i32 status = find_encode_tiled(&encode);
    if (status)
        return status;
    return -encode(out, TensorMapType<T>::number, (u32)rank, address, dims, stride_bytes, box, element_strides, 0, swizzle, promotion, 0);
}

#endif
