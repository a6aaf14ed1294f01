// Programs in which one thread copies tiles into rings of shared places and groups of four warps multiply them: compute capability 9.0a.
// Written in the words of tile_cuda.h only, so the emulator compiles the same text.
#ifndef DSLC_TILE_WGMMA_PRODUCTS_H
#define DSLC_TILE_WGMMA_PRODUCTS_H

// ---------------------------------------------------------------- rings
// `slots` shared places that are filled and read in turn, each with two barriers: full ends a phase when a copy has come, empty when all warps that
// read it have said so. Every thread has its own copy, in which it keeps its place: the slot it is at, the parity of its round, and how many slots
// it has taken and not released.
template <i32 slots> struct Ring {
    Shared<u64> full;
    i32 slot, parity, held;
    DSLC_WORKER Shared<u64> empty(const Ring &r) { return r.full + slots; }
};
template <i32 slots> DSLC_WORKER Ring<slots> ring_at(i32 byte_offset) { return Ring<slots>{shared_at<u64>(byte_offset), 0, 0, 0}; }
// By one thread, before a barrier_init_fence. `warps` read the ring.
template <i32 slots> DSLC_WORKER void ring_init(const Ring<slots> &r, i32 warps DSLC_AT) {
    DSLC_FROM
    for (i32 i = 0; i < slots; ++i) {
        barrier_init(r.full + i, 1);
        barrier_init(Ring<slots>::empty(r) + i, warps);
    }
}
template <i32 slots> DSLC_WORKER void ring_step(Ring<slots> &r) {
    r.slot = r.slot == slots - 1 ? 0 : r.slot + 1;
    r.parity ^= r.slot == 0 ? 1 : 0;
}
// The thread that loads: waits until the slot is empty, then says how many bytes will come.
template <i32 slots> DSLC_WORKER void ring_fill(const Ring<slots> &r, i32 bytes DSLC_AT) {
    DSLC_FROM
    barrier_wait(Ring<slots>::empty(r) + r.slot, r.parity ^ 1);
    barrier_expect(r.full + r.slot, bytes);
}
template <i32 slots> DSLC_WORKER Shared<u64> ring_barrier(const Ring<slots> &r) { return r.full + r.slot; }
// A warp that reads: waits until the slot is full.
template <i32 slots> DSLC_WORKER void ring_take(Ring<slots> &r DSLC_AT) {
    DSLC_FROM
    barrier_wait(r.full + r.slot, r.parity);
    ++r.held;
}
// Gives back all slots taken but the last `kept`, and goes on to the next slot. One lane says so for its warp, when no other is still waiting for the
// slot to be full: by then it might be full again, with the other parity.
template <i32 kept, i32 slots> DSLC_WORKER void ring_release(Ring<slots> &r, i32 worker DSLC_AT) {
    DSLC_FROM
    if (r.held > kept) {
        const i32 last = r.slot - kept;
        wave_sync();
        if (worker % 32 == 0) barrier_arrive(Ring<slots>::empty(r) + (last < 0 ? last + slots : last));
        --r.held;
    }
    ring_step(r);
}
// Gives back the slot before, after a loop whose last product was left under way.
template <i32 slots> DSLC_WORKER void ring_drain(Ring<slots> &r, i32 worker DSLC_AT) {
    DSLC_FROM
    if (r.held == 0) return;
    wave_sync();
    if (worker % 32 == 0) barrier_arrive(Ring<slots>::empty(r) + (r.slot == 0 ? slots - 1 : r.slot - 1));
    r.held = 0;
}

// ---------------------------------------------------------------- copies
// A coordinate of a bulk copy. What starts far outside, or in a dimension without elements, starts as far before the tensor as a box can be long.
DSLC_WORKER i32 box_start(index_t start, index_t extent) { return start < -256 || start >= extent ? -256 : (i32)start; }

// On the host: describes a tensor in boxes. dims and box are innermost first, steps in elements and of all dimensions but the first. A dimension
// without elements is described as one, which box_start never reaches.
template <class T, int rank> i32 box_map(TensorMap *out, const void *address, const index_t (&dims)[rank], const index_t (&steps)[rank - 1],
                                         const u32 (&box)[rank], i32 swizzle) {
    u64 sizes[rank], bytes[rank];
    for (i32 i = 0; i < rank; ++i) sizes[i] = dims[i] < 1 ? 1 : (u64)dims[i];
    for (i32 i = 1; i < rank; ++i) bytes[i - 1] = (u64)steps[i - 1] * sizeof(T);
    return tensor_map<T>(out, rank, const_cast<void *>(address), sizes, bytes, box, swizzle);
}

// ---------------------------------------------------------------- products
// An operand in shared memory: `rows` of M or N by `depth` of K, in slabs of `width` along its contiguous axis (K if `dense`), swizzled by as many
// bytes as a slab's row has.
template <class T, i32 rows_, i32 depth_, bool dense_, i32 width> struct Slabs {
    typedef T Element;
    static constexpr i32 rows = rows_, depth = depth_;
    static constexpr bool dense = dense_;
    static constexpr i32 swizzle = width * (i32)sizeof(T), group = 8 * swizzle, slab = (dense ? rows : depth) * swizzle;
    Shared<T> at;
    // Of what begins at (row, k); rows are multiples of 64, or 0.
    DSLC_WORKER i32 offset(i32 row, i32 k) {
        return dense ? k / width * rows * width + row * width + k % width : row / width * depth * width + k * width;
    }
    DSLC_WORKER u64 descriptor(const Slabs &o, i32 row DSLC_AT) {
        DSLC_FROM
        return matrix_descriptor(o.at + offset(row, 0), dense ? 16 : slab, group, swizzle);
    }
    // Between descriptors: addresses in units of 16 bytes.
    DSLC_WORKER u64 step(i32 row, i32 k) { return (u64)(offset(row, k) * (i32)sizeof(T) / 16); }
};

// The warp group has rows row .. row + 64 high of the sum, which it adds to, or begins if `fresh`. The product is under way when this returns.
template <i32 high, bool fresh, class A, class B> DSLC_WORKER void wgmma_product(f32 (&acc)[high * B::rows / 2], const A &left, const B &right, i32 row DSLC_AT) {
    DSLC_FROM
    typedef typename A::Element T;
    const u64 a = A::descriptor(left, row), b = B::descriptor(right, 0);
    wgmma_hold(acc);
    wgmma_fence();
#pragma unroll
    for (i32 k = 0; k < A::depth; k += 16) {
#pragma unroll
        for (i32 i = 0; i < high; ++i)
            wgmma<B::rows, T, !A::dense, !B::dense>(part<B::rows / 2>(acc, i), a + A::step(i * 64, k), b + B::step(0, k), fresh && k == 0 ? 0 : 1);
    }
    wgmma_commit();
}
// The left operand is in registers, spread like a sum: two neighbouring groups of 8 columns are the 16 of K of one instruction.
template <i32 high, bool fresh, class T, i32 slots, class B>
DSLC_WORKER void wgmma_product_registers(f32 (&acc)[high * B::rows / 2], const T (&left)[slots], const B &right DSLC_AT) {
    DSLC_FROM
    constexpr i32 steps = slots / (high * 8);
    u32 a[high * steps][4];
#pragma unroll
    for (i32 i = 0; i < high * steps; ++i) {
#pragma unroll
        for (i32 r = 0; r < 4; ++r) a[i][r] = pack2(left[i * 8 + r * 2], left[i * 8 + r * 2 + 1]);
    }
    const u64 b = B::descriptor(right, 0);
    wgmma_hold(acc);
    wgmma_hold(reinterpret_cast<i32 (&)[high * steps * 4]>(a));     // packed before the fence, not after it
    wgmma_fence();
#pragma unroll
    for (i32 k = 0; k < steps; ++k) {
#pragma unroll
        for (i32 i = 0; i < high; ++i)
            wgmma_registers<B::rows, T, !B::dense>(part<B::rows / 2>(acc, i), a[i * steps + k], b + B::step(0, k * 16), fresh && k == 0 ? 0 : 1);
    }
    wgmma_commit();
}
// Until at most n products are under way; the sum can be read when none is.
template <i32 n, i32 slots> DSLC_WORKER void wgmma_finish(f32 (&acc)[slots] DSLC_AT) {
    DSLC_FROM
    wgmma_wait<n>();
    if constexpr (n == 0) wgmma_hold(acc);
}

// ---------------------------------------------------------------- sums on their way to a tensor
// A warp group's rows of a tile of 16-bit elements, spread like a sum, to slabs of `width` columns and `rows` rows, for bulk copies of its first
// thread, which has before seen the last ones out of this place.
template <i32 high, i32 rows, i32 width, class T, i32 slots> DSLC_WORKER void stage_sum(Shared<T> to, const T (&from)[slots], i32 worker DSLC_AT) {
    DSLC_FROM
    constexpr i32 wide = slots / (high * 4), bits = width == 64 ? 3 : width == 32 ? 2 : 1;
    const i32 group = worker / 128, lane = worker % 32, row = group * high * 64 + worker / 32 % 4 * 16 + lane % 16;
    if (worker % 128 == 0) tensor_wait_read<0>();
    group_sync(2 + group, 128);
#pragma unroll
    for (i32 i = 0; i < high; ++i) {
#pragma unroll
        for (i32 j = 0; j < wide; j += 2) {
            const T *const p = from + (i * wide + j) * 4;
            const u32 r[4] = {pack2(p[0], p[1]), pack2(p[2], p[3]), pack2(p[4], p[5]), pack2(p[6], p[7])};
            const i32 column = j * 8 + lane / 16 * 8;
            store_matrix<4>(to + column / width * rows * width + swizzle<bits, 3, 3>((row + i * 64) * width + column % width), r);
        }
    }
    async_fence();
    group_sync(2 + group, 128);
}
#endif
