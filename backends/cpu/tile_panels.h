// Matrices of a tensor laid out for dot by the launcher, once for all programs that read them: strips of rows or panels of columns, converted to
// the arithmetic type, zeros past the edges. The bits of a product do not depend on it, but where few rows meet a transposed operand (tile_skinny.h).
#ifndef DSLC_TILE_PANELS_H
#define DSLC_TILE_PANELS_H
#include <stdlib.h>

#include "tile_bounds.h"
#include "tile_dot.h"

// Memory that a launch borrows and the next one finds again, its pages in place: a first touch costs about 1.4 us for 4 KiB (Zen 5, KVM).
// A launch beside it gets its own. The first 64 bytes hold the size.
static const size_t panels_kept_bytes = (size_t)65 << 20;    // of an operand, what stays between launches: 4096 x 4096 f32 and a little
static const size_t panels_most_bytes = (size_t)1 << 30;     // larger ones are read where they stand
struct Storage {
    void **kept, *memory;

    void *allocate(size_t bytes) {
        memory = __atomic_exchange_n(kept, nullptr, __ATOMIC_ACQUIRE);
        if (!memory || *(size_t *)memory < bytes + 64) {
            free(memory);
            const size_t whole = (bytes + 64 + 4095) / 4096 * 4096;
            if (!(memory = aligned_alloc(64, whole))) return nullptr;
            *(size_t *)memory = whole;
        }
        return (char *)memory + 64;
    }
    void give_back() {
        if (memory) free(*(size_t *)memory <= panels_kept_bytes ? __atomic_exchange_n(kept, memory, __ATOMIC_ACQ_REL) : memory);
    }
};

// One dimension of a tensor: its elements, and how far apart they are.
struct Axis {
    index_t size, stride;
};

// Blocks of rows (or columns), each of `strips` strips whose heights differ by at most one; every strip for all k.
template <class A, int block, int strips> struct Panels {
    typedef typename DotOperand<A>::unit T;
    T *data;                                                 // null if the launcher did not lay them out
    index_t pitch, matrix, rows, depth;                      // units of k; units of a matrix; rows and elements of k, padded

    // A tile must not end amid a unit, whose other half would be the next tile's, but at the very end.
    template <int tile_rows, int tile_depth> bool holds(index_t row, index_t k) const {
        const int lanes = DotOperand<A>::lanes;
        return data && row >= 0 && row % block == 0 && row + tile_rows <= rows && k >= 0 && k % lanes == 0 && k + tile_depth <= depth &&
               (tile_depth % lanes == 0 || k + tile_depth == depth);
    }
    Window<A> window(index_t number, index_t row, index_t k) const {
        return {nullptr, 0, 0, data + number * matrix + row * pitch, pitch, k / DotOperand<A>::lanes};
    }
};
template <class A, int tile_rows> using LeftPanels = Panels<A, tile_rows, (tile_rows + dot_strip - 1) / dot_strip>;
template <class B> using RightPanels = Panels<B, dot_vectors * DotWidth<typename DotOperand<B>::unit>::value, 1>;

enum { panels_together = 16, panels_depth = 64 };            // blocks of columns that a program lays out side by side; elements of k at a time

template <class A, int block, int strips> struct PanelsJob {
    static const int lanes = DotOperand<A>::lanes, together = strips == 1 ? panels_together : 1;
    Panels<A, block, strips> to;
    const A *from;
    Axis rows, k;
    const Axis *around;                                      // of the matrices, the last one fastest
    int axes;

    const A *matrix(index_t number) const {
        index_t offset = 0;
        for (int d = axes - 1; d >= 0; number /= around[d].size, --d) offset += number % around[d].size * around[d].stride;
        return from + offset;
    }
    // Elements first..first + panels_depth - 1 of k, as many as there are, of the strip that begins at `row`; the padding after the last.
    template <int height> void strip(index_t number, const A *matrix, index_t row, index_t first) const {
        typename DotOperand<A>::unit *out = to.data + number * to.matrix + row * to.pitch;
        const index_t inside = most(least(rows.size - row, height), 0), n = inside > 0 ? most(least(k.size - first, panels_depth), 0) : 0;
        if (n > 0)
            dot_pack_panel<A, height>(out + first / lanes * height, matrix + row * rows.stride + first * k.stride, k.stride, rows.stride, (int)inside, (int)n);
        const index_t begin = (first + n + lanes - 1) / lanes, end = least((first + panels_depth) / lanes, to.pitch);
        if (begin < end) __builtin_memset(out + begin * height, 0, (size_t)((end - begin) * height) * sizeof *out);
    }
    // The s-th strip of the block at `row`.
    void piece(index_t number, const A *matrix, index_t row, int s, index_t first) const {
        const int height = block / strips, taller = block % strips;
        if constexpr (taller > 0)
            if (s < taller) return strip<height + 1>(number, matrix, row + s * (height + 1), first);
        strip<height>(number, matrix, row + taller + s * height, first);
    }
    static int32_t programs(const void *packed, int64_t first, int64_t last, void *) {
        const PanelsJob &job = *(const PanelsJob *)packed;
        const index_t blocks = job.to.rows / block, groups = (blocks + together - 1) / together;
        for (int64_t program = first; program < last; ++program) {
            const index_t number = program / strips / groups, b = program / strips % groups * together, end = least(b + together, blocks);
            const A *matrix = job.matrix(number);
            const int s = (int)(program % strips);
            if (job.rows.stride == 1)                        // neighbouring columns share cache lines and pages
                for (index_t at = 0; at < job.to.depth; at += panels_depth)
                    for (index_t c = b; c < end; ++c) job.piece(number, matrix, c * block, s, at);
            else
                for (index_t c = b; c < end; ++c)
                    for (index_t at = 0; at < job.to.depth; at += panels_depth) job.piece(number, matrix, c * block, s, at);
        }
        return 0;
    }
};

// Whether `readers` programs, which each multiply by tiles of `others` rows (columns), repay it. Rows few enough are multiplied by a tensor where it stands.
template <class B> DSLC_FN bool worth_right(index_t readers, int others) {
    return readers > 1 && (!DotOperand<B>::direct || others > dot_unpacked_rows || readers * others >= 4 * dot_unpacked_rows);
}
// A left operand that is read in place is 7 % slower than a packed one (Zen 3); packing it, 1 to 2 % of a product with 1024 columns, must gain more than that.
template <class A> DSLC_FN bool worth_left(index_t readers, int others, index_t row_stride, index_t k_stride) {
    return readers > 1 && (!DotOperand<A>::direct || !dot_in_place<A>(row_stride, k_stride) || readers * others >= 1024);
}

// Lays out the matrices (rows, k) of a tensor, so that tiles of tile_rows by tile_depth may overhang. Without memory it does nothing.
template <int tile_rows, int tile_depth, class A, int block, int strips, int axes, class Run>
void lay_out(Panels<A, block, strips> &to, Storage &storage, const A *from, Axis rows, Axis k, const Axis (&around)[axes], Run run, int32_t threads) {
    const index_t step = tile_rows > block ? tile_rows : block;
    to.rows = (rows.size + step - 1) / step * step;
    to.rows = (to.rows + block - 1) / block * block;
    to.depth = (k.size + tile_depth - 1) / tile_depth * tile_depth;
    to.pitch = (to.depth + DotOperand<A>::lanes - 1) / DotOperand<A>::lanes;
    to.matrix = to.rows * to.pitch;
    index_t matrices = 1;
    for (const Axis &a : around) matrices *= a.size;
    const double wanted = (double)matrices * (double)to.matrix * sizeof *to.data;       // may exceed what an integer holds
    if (wanted > panels_most_bytes) return;
    if (!(to.data = (typename Panels<A, block, strips>::T *)storage.allocate((size_t)wanted))) return;
    const PanelsJob<A, block, strips> job = {to, from, rows, k, around, axes};
    const index_t blocks = to.rows / block, together = job.together;
    const int64_t count = matrices * ((blocks + together - 1) / together) * strips;
    if (run)
        run(job.programs, &job, count, 0, threads);
    else
        job.programs(&job, 0, count, nullptr);
}
#endif
