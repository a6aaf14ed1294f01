// Bulk copies of boxes of tensors, emulated. Included by hopper.h.
#ifndef DSLC_TENSOR_COPY_H
#define DSLC_TENSOR_COPY_H

// What the driver's encoding says; opaque on a device, of the same size and alignment.
struct alignas(64) TensorMap {
    u64 address, dims[5], strides[5];                    // in elements and bytes; strides[0] is an element
    u16 box[5];
    u16 swizzle;
    u32 mark;                                            // that it was encoded
    u8 rank, element;
};
static_assert(sizeof(TensorMap) == 128, "as CUtensorMap");

namespace hopper {

constexpr u32 encoded = 0x5eed7e45;

// Where the bytes of a pattern of `swizzle` bytes lie: units of 16 bytes (address bits 4 ..) change places by bits 7 .. of the address.
inline i64 swizzled(i64 at, i32 swizzle) {
    const i64 bits = swizzle == 128 ? 7 : swizzle == 64 ? 3 : swizzle == 32 ? 1 : 0;
    return at ^ ((at >> 7 & bits) << 4);
}

// Why the last tensor_map was refused.
inline const char *&refused() {
    static const char *why = "";
    return why;
}
// The rules of cuTensorMapEncodeTiled, CUDA driver API 13.0; the first that does not hold.
inline const char *refusal(int rank, u64 address, i32 element, const u64 *dims, const u64 *strides, const u32 *box, int swizzle) {
    if (rank < 1 || rank > 5)
        return "a tensor map has 1 to 5 dimensions";
    if (address % 16)
        return "a tensor begins at a multiple of 16 bytes";
    if (swizzle != 0 && swizzle != 32 && swizzle != 64 && swizzle != 128)
        return "a swizzle is of 0, 32, 64 or 128 bytes";
    for (int i = 0; i < rank; ++i) {
        if (dims[i] < 1 || dims[i] > (u64)1 << 32)
            return "a dimension is 1 to 2^32 elements";
        if (box[i] < 1 || box[i] > 256)
            return "a box is 1 to 256 elements in each dimension";
        if (i > 0 && (strides[i - 1] % 16 || strides[i - 1] >= (u64)1 << 40))
            return "a stride is a multiple of 16 bytes below 2^40";
    }
    if (box[0] * (u32)element % 16)
        return "a box is a multiple of 16 bytes in the innermost dimension";
    if (swizzle && box[0] * (u32)element > (u32)swizzle)
        return "a box is at most the swizzle's bytes in the innermost dimension";
    return nullptr;
}

struct Box {                                             // of one copy
    u64 address;
    i64 dims[5], strides[5], at[5];                      // `at`: the box's first element
    i32 box[5];
    i32 rank, element, swizzle;
    i64 shared;

    i64 rows() const {
        i64 n = 1;
        for (i32 i = 1; i < rank; ++i)
            n *= box[i];
        return n;
    }
    i32 row_bytes() const { return box[0] * element; }
    i64 bytes() const { return rows() * row_bytes(); }
    // Row n of the box: its first element's address and the part lo .. hi-1 of it that lies in the tensor.
    u64 row(i64 n, i64 &lo, i64 &hi) const {
        lo = at[0] < 0 ? -at[0] : 0;
        hi = dims[0] - at[0] < box[0] ? dims[0] - at[0] : box[0];
        u64 a = address + (u64)(at[0] * element);
        for (i32 i = 1; i < rank; ++i) {
            const i64 c = at[i] + n % box[i];
            n /= box[i];
            if (c < 0 || c >= dims[i])
                hi = lo;
            a += (u64)(c * strides[i]);
        }
        hi = hi < lo ? lo : hi;
        return a;
    }
    // Rows one by one between the arena and the tensor.
    void copy(u8 *arena, bool to_shared) const {
        for (i64 n = 0; n < rows(); ++n) {
            i64 lo, hi;
            const u64 a = row(n, lo, hi);
            for (i64 i = 0; i < row_bytes(); ++i) {
                u8 &byte = arena[swizzled(shared + n * row_bytes() + i, swizzle)];
                const bool inside = i >= lo * element && i < hi * element;
                if (to_shared)
                    byte = inside ? *(const u8 *)(a + (u64)i) : (u8)0;
                else if (inside)
                    *(u8 *)(a + (u64)i) = byte;
            }
        }
    }
};

template <class... C> Box box_of(const TensorMap &map, i64 shared, const char *what, i32 line, C... coordinates) {
    const i64 at[] = {(i64)coordinates...};
    if (map.mark != encoded)
        engine::fatal("tensor map", line, "%s: the tensor map was not encoded by tensor_map", what);
    if (map.rank != sizeof...(C))
        engine::fatal("tensor map", line, "%s: %d coordinates for a tensor of %d dimensions", what, (i32)sizeof...(C), (i32)map.rank);
    if (map.swizzle && map.box[0] * map.element != map.swizzle)
        engine::finding("tensor map", line, "%s: rows of %d bytes do not fill a swizzle of %d bytes, which is not emulated", what, map.box[0] * map.element,
                        (i32)map.swizzle);
    if (shared % 128)
        engine::finding("tensor map", line, "%s: byte %lld of shared memory is no multiple of 128", what, (long long)shared);
    Box box{map.address, {}, {}, {}, {}, map.rank, map.element, map.swizzle, shared};
    for (i32 i = 0; i < map.rank; ++i)
        box.dims[i] = (i64)map.dims[i], box.strides[i] = (i64)map.strides[i], box.at[i] = at[i], box.box[i] = map.box[i];
    return box;
}

inline void load(const Box &box, Shared<u64> b, i32 line) {
    Barrier *barrier = barrier_at(b, line);
    if (!barrier)
        return;
    if (!barrier->visible)
        engine::finding("barrier", line, "tensor_load: the barrier at byte %lld was initialised without a barrier_init_fence", (long long)b.at);
    const u64 key = barrier_key(b.at);
    const engine::Agent agent = engine::fork(fresh_stream(), engine::async_proxy, "tensor_load", line);
    bool good = engine::agent_writes_shared(agent, box.shared, box.bytes(), 1);
    for (i64 n = 0; n < box.rows(); ++n) {
        i64 lo, hi;
        const u64 a = box.row(n, lo, hi);
        good = good && (lo == hi || engine::agent_reads_global(agent, a + (u64)(lo * box.element), (hi - lo) * box.element, box.element));
    }
    const i32 bytes = (i32)box.bytes();
    if (!good) {                                         // reported; that its waiters hang besides says nothing new
        bytes_came(*barrier, key, bytes);
        return;
    }
    engine::submit(agent, [=](engine::Agent a) {
        box.copy(engine::shared_memory(), true);
        barrier->arrived.release(a);
        bytes_came(*barrier, key, bytes);
    }, key);
}

inline void store(const Box &box, i32 line) {
    const engine::Agent agent = engine::fork(fresh_stream(), engine::async_proxy, "tensor_store", line);
    bool good = engine::agent_reads_shared(agent, box.shared, box.bytes(), 1);
    for (i64 n = 0; n < box.rows(); ++n) {
        i64 lo, hi;
        const u64 a = box.row(n, lo, hi);
        good = good && (lo == hi || engine::agent_writes_global(agent, a + (u64)(lo * box.element), (hi - lo) * box.element, box.element));
    }
    if (good)
        engine::submit(agent, [=](engine::Agent) { box.copy(engine::shared_memory(), false); });
    engine::group_add(stores, agent, -1, true);            // shared memory is gone with the program
}

}  // namespace hopper

template <class T> i32 tensor_map(TensorMap *out, int rank, void *address, const u64 *dims, const u64 *stride_bytes, const u32 *box, int swizzle_bytes) {
    const char *why = hopper::refusal(rank, (u64)address, (i32)sizeof(T), dims, stride_bytes, box, swizzle_bytes);
    if (why) {
        hopper::refused() = why;
        return -1;                                       // CUDA_ERROR_INVALID_VALUE
    }
    *out = TensorMap{(u64)address, {}, {sizeof(T)}, {}, (u16)swizzle_bytes, hopper::encoded, (u8)rank, (u8)sizeof(T)};
    for (int i = 0; i < rank; ++i) {
        out->dims[i] = dims[i];
        out->box[i] = (u16)box[i];
        if (i > 0)
            out->strides[i] = stride_bytes[i - 1];
    }
    return 0;
}

// A line that no coordinate converts to, or a call would fit two of these. Made with round brackets: within braces g++ takes this file's line.
struct CallLine {
    i32 number;
    constexpr explicit CallLine(i32 number) : number(number) {}
};
#define DSLC_TENSOR_COPIES(PARAMETERS, ...)                                                                                                            \
    template <class T> void tensor_load(Shared<T> to, const TensorMap &map, Shared<u64> barrier, PARAMETERS, CallLine at = CallLine(__builtin_LINE())) { \
        hopper::load(hopper::box_of(map, to.at, "tensor_load", at.number, __VA_ARGS__), barrier, at.number);                                           \
    }                                                                                                                                                  \
    template <class T> void tensor_store(const TensorMap &map, Shared<T> from, PARAMETERS, CallLine at = CallLine(__builtin_LINE())) {                 \
        hopper::store(hopper::box_of(map, from.at, "tensor_store", at.number, __VA_ARGS__), at.number);                                                \
    }
#define DSLC_COORDINATES(...) __VA_ARGS__
DSLC_TENSOR_COPIES(i32 c0, c0)
DSLC_TENSOR_COPIES(DSLC_COORDINATES(i32 c0, i32 c1), c0, c1)
DSLC_TENSOR_COPIES(DSLC_COORDINATES(i32 c0, i32 c1, i32 c2), c0, c1, c2)
DSLC_TENSOR_COPIES(DSLC_COORDINATES(i32 c0, i32 c1, i32 c2, i32 c3), c0, c1, c2, c3)
DSLC_TENSOR_COPIES(DSLC_COORDINATES(i32 c0, i32 c1, i32 c2, i32 c3, i32 c4), c0, c1, c2, c3, c4)
#undef DSLC_COORDINATES
#undef DSLC_TENSOR_COPIES

inline void tensor_commit() { engine::group_commit(hopper::stores); }
template <i32 n> void tensor_wait_read() { engine::group_wait(hopper::stores, n); }
template <i32 n> void tensor_wait() { engine::group_wait(hopper::stores, n); }
inline void tensor_prefetch(const TensorMap &map, i32 line = __builtin_LINE()) {
    if (map.mark != hopper::encoded)
        engine::finding("tensor map", line, "tensor_prefetch: the tensor map was not encoded by tensor_map");
}

#endif
