// Barriers in shared memory, bulk copies of tensors, roles of warps: compute capability 9.0a. PTX sections: "mbarrier", "cp.async.bulk.tensor".
#ifndef DSLC_TILE_CUDA_TENSOR_H
#define DSLC_TILE_CUDA_TENSOR_H

// ---------------------------------------------------------------- barriers: a phase ends when `count` have arrived and all expected bytes are there
DSLC_DEVICE void barrier_init(Shared<u64> b, i32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(shared_address(b)), "r"(count) : "memory");
}
// After initialising and before a block_sync: copies, which are another proxy, see the barriers too.
DSLC_DEVICE void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
DSLC_DEVICE void barrier_arrive(Shared<u64> b) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(shared_address(b)) : "memory");
}
// An arrival that says how many bytes this phase waits for besides.
DSLC_DEVICE void barrier_expect(Shared<u64> b, i32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(shared_address(b)), "r"(bytes) : "memory");
}
// Until the phase of this parity has ended; a new barrier is in phase 0, so a wait for parity 1 passes at once.
DSLC_DEVICE void barrier_wait(Shared<u64> b, i32 parity) {
    const u32 at = shared_address(b);
    u32 done;
    do {
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done) : "r"(at), "r"(parity) : "memory");
    } while (!done);
}

// What this thread wrote to shared memory is seen by copies and matrix instructions that read it by themselves.
DSLC_DEVICE void async_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// ---------------------------------------------------------------- named barriers 1 .. 15 among `count` threads, whole warps
DSLC_DEVICE void group_sync(i32 id, i32 count) { asm volatile("bar.sync %0, %1;" :: "r"(id), "r"(count) : "memory"); }
DSLC_DEVICE void group_arrive(i32 id, i32 count) { asm volatile("bar.arrive %0, %1;" :: "r"(id), "r"(count) : "memory"); }

// ---------------------------------------------------------------- bulk copies, each by one thread
// Coordinates are signed, the innermost first; elements outside the tensor are read as zeros and not written.
#define DSLC_TENSOR_COPIES(RANK, PARAMETERS, TO_SHARED, TO_GLOBAL, ...)                                                                        \
    template <class T> DSLC_DEVICE void tensor_load(T *to, const TensorMap &map, Shared<u64> barrier, PARAMETERS) {                            \
        asm volatile("cp.async.bulk.tensor." RANK ".shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {" TO_SHARED "}], [%2];" \
                     :: "r"(shared_address(to)), "l"((u64)&map), "r"(shared_address(barrier)), __VA_ARGS__ : "memory");                        \
    }                                                                                                                                          \
    template <class T> DSLC_DEVICE void tensor_store(const TensorMap &map, T *from, PARAMETERS) {                                              \
        asm volatile("cp.async.bulk.tensor." RANK ".global.shared::cta.tile.bulk_group [%1, {" TO_GLOBAL "}], [%0];"                            \
                     :: "r"(shared_address(from)), "l"((u64)&map), __VA_ARGS__ : "memory");                                                    \
    }
#define DSLC_COORDINATES(...) __VA_ARGS__
DSLC_TENSOR_COPIES("1d", i32 c0, "%3", "%2", "r"(c0))
DSLC_TENSOR_COPIES("2d", DSLC_COORDINATES(i32 c0, i32 c1), "%3, %4", "%2, %3", "r"(c0), "r"(c1))
DSLC_TENSOR_COPIES("3d", DSLC_COORDINATES(i32 c0, i32 c1, i32 c2), "%3, %4, %5", "%2, %3, %4", "r"(c0), "r"(c1), "r"(c2))
DSLC_TENSOR_COPIES("4d", DSLC_COORDINATES(i32 c0, i32 c1, i32 c2, i32 c3), "%3, %4, %5, %6", "%2, %3, %4, %5", "r"(c0), "r"(c1), "r"(c2), "r"(c3))
DSLC_TENSOR_COPIES("5d", DSLC_COORDINATES(i32 c0, i32 c1, i32 c2, i32 c3, i32 c4), "%3, %4, %5, %6, %7", "%2, %3, %4, %5, %6", "r"(c0), "r"(c1),
                   "r"(c2), "r"(c3), "r"(c4))
#undef DSLC_COORDINATES
#undef DSLC_TENSOR_COPIES

DSLC_DEVICE void tensor_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// At most n groups of this thread's stores have not been read from shared memory, or not been written to global memory.
template <int n> DSLC_DEVICE void tensor_wait_read() { asm volatile("cp.async.bulk.wait_group.read %0;" :: "n"(n) : "memory"); }
template <int n> DSLC_DEVICE void tensor_wait() { asm volatile("cp.async.bulk.wait_group %0;" :: "n"(n) : "memory"); }
DSLC_DEVICE void tensor_prefetch(const TensorMap &map) { asm volatile("prefetch.tensormap [%0];" :: "l"((u64)&map) : "memory"); }

// ---------------------------------------------------------------- fragments to shared memory, as load_matrix reads them
template <int n, class T> DSLC_DEVICE void store_matrix(T *row, const u32 (&r)[n]) {
    const u32 at = shared_address(row);
    if constexpr (n == 1)
        asm volatile("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%0], {%1};" :: "r"(at), "r"(r[0]) : "memory");
    else if constexpr (n == 2)
        asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1, %2};" :: "r"(at), "r"(r[0]), "r"(r[1]) : "memory");
    else
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" :: "r"(at), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
    static_assert(n == 1 || n == 2 || n == 4, "1, 2 or 4 matrices");
}

// ---------------------------------------------------------------- registers a thread: every warp of a group of four executes it
template <int n> DSLC_DEVICE void registers_release() {
    static_assert(n >= 24 && n <= 256 && n % 8 == 0, "24 to 256 registers, in steps of 8");
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(n));
}
template <int n> DSLC_DEVICE void registers_claim() {
    static_assert(n >= 24 && n <= 256 && n % 8 == 0, "24 to 256 registers, in steps of 8");
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(n));
}

#endif
