// Matrices of a tensor laid out for dot by the launcher, once for all programs that read them: strips of rows or panels of columns, converted to
// the arithmetic type, zeros past the edges. The bits of a product do not depend on it, but where few rows meet a transposed operand (tile_skinny.h).
#ifndef DSLC_TILE_PANELS_H
#define DSLC_TILE_PANELS_H
#include <stdlib.h>
#include <sys/mman.h>

#include "tile_bounds.h"
#include "tile_dot.h"

// Memory that a launch borrows and the next one finds again, its pages in place: a first touch costs about 1.4 us for 4 KiB (Zen 5, KVM).
// A launch beside it gets its own. The first 64 bytes hold the size.
static const size_t panels_kept_bytes = (size_t)65 << 20;    // of an operand, what stays between launches: 4096 x 4096 f32 and a little
static const size_t panels_page_bytes = (size_t)2 << 20;     // a large page: with them products of 1024 and 2048 are 1 to 2 % faster (Zen 3)
static const size_t panels_most_bytes = (size_t)1 << 30;     // larger ones are read where they stand
struct Storage {
    void **kept, *memory;

    void *allocate(size_t bytes) {
        memory = __atomic_exchange_n(kept, nullptr, __ATOMIC_ACQUIRE);
        if (!memory || *(size_t *)memory < bytes + 64) {
            free(memory);
            const size_t page = bytes + 64 < panels_page_bytes ? 4096 : panels_page_bytes, whole = (bytes + 64 + page - 1) / page * page;
            if (!(memory = aligned_alloc(page, whole))) return nullptr;
#ifdef MADV_HUGEPAGE
            if (page == panels_page_bytes) madvise(memory, whole, MADV_HUGEPAGE);
#endif
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

// Groups of rows (or columns), each of `strips` strips whose heights differ by at most one. k is cut into blocks, so that what a tile needs stands together.
template <class A, int group, int strips> struct Panels {
    typedef typename DotOperand<A>::unit T;
    static const int lanes = DotOperand<A>::lanes;
    T *data;                                                 // null if the launcher did not lay them out
    index_t tile, units, matrix;                             // units of k in a tile and in all; units of a matrix
    index_t rows, depth, reach;                              // rows, padded; elements of k; where a tile along k may end

    // A tile must not end amid a unit, whose other half would be the next tile's, but at the very end.
    template <int tile_rows, int tile_depth> bool holds(index_t row, index_t k) const {
        return data && row >= 0 && row % group == 0 && row + tile_rows <= rows && k >= 0 && k % (lanes * tile) == 0 && k + tile_depth <= reach &&
               (tile_depth % lanes == 0 || k + tile_depth >= depth);
    }
    // A tile along k has the blocks that dot cuts it into, the last one too.
    Window<A> window(index_t number, index_t row, index_t k) const {
        const index_t first = k / lanes, n = least(units - first, tile), block = dot_cut((int)n);
        return {nullptr, 0, 0, data + number * matrix + first * rows, row, block, n, rows * block};
    }
};
template <class A, int tile_rows> using LeftPanels = Panels<A, tile_rows, (tile_rows + dot_strip - 1) / dot_strip>;
template <class B> using RightPanels = Panels<B, dot_vectors * DotWidth<typename DotOperand<B>::unit>::value, 1>;

enum { panels_together = 16, panels_depth = 64 };            // groups of columns that a program lays out side by side; units of k at a time

template <class A, int group, int strips> struct PanelsJob {
    static const int lanes = DotOperand<A>::lanes, together = strips == 1 ? panels_together : 1;
    Panels<A, group, strips> to;
    const A *from;
    Axis rows, k;
    const Axis *around;                                      // of the matrices, the last one fastest
    int axes;

    const A *matrix(index_t number) const {
        index_t offset = 0;
        for (int d = axes - 1; d >= 0; number /= around[d].size, --d) offset += number % around[d].size * around[d].stride;
        return from + offset;
    }
    // Some units, all of one block: where that begins, for the first row, how long its strips are, and where in them the units are.
    struct Piece {
        index_t unit, begin, pitch, from;
        int units;
    };
    Piece piece(index_t unit) const {
        const index_t first = unit / to.tile * to.tile, at = unit - first;
        const Window<A> tile = to.window(0, 0, first * lanes);
        return {unit, tile.strips(at) - to.data, tile.pitch(at), tile.from(at), tile.rest(at, (int)least(panels_depth, tile.units - at))};
    }
    // A piece of the strip that begins at `row`, zeros past the ends of the matrix.
    template <int height> void strip(index_t number, const A *matrix, index_t row, const Piece &p) const {
        typename DotOperand<A>::unit *out = to.data + number * to.matrix + p.begin + row * p.pitch + p.from * height;
        const index_t first = p.unit * lanes, inside = most(least(rows.size - row, height), 0);
        const index_t n = inside > 0 ? most(least(k.size - first, p.units * lanes), 0) : 0, whole = (n + lanes - 1) / lanes;
        if (n > 0)
            dot_pack_panel<A, height>(out, matrix + row * rows.stride + first * k.stride, k.stride, rows.stride, (int)inside, (int)n);
        if (whole < p.units) __builtin_memset(out + whole * height, 0, (size_t)((p.units - whole) * height) * sizeof *out);
    }
    // The s-th strip of the group at `row`.
    void strip_of(index_t number, const A *matrix, index_t row, int s, const Piece &p) const {
        const int height = group / strips, taller = group % strips;
        if constexpr (taller > 0)
            if (s < taller) return strip<height + 1>(number, matrix, row + s * (height + 1), p);
        strip<height>(number, matrix, row + taller + s * height, p);
    }
    static int32_t programs(const void *packed, int64_t first, int64_t last, void *) {
        const PanelsJob &job = *(const PanelsJob *)packed;
        const index_t groups = job.to.rows / group, sets = (groups + together - 1) / together;
        for (int64_t program = first; program < last; ++program) {
            const index_t number = program / strips / sets, g = program / strips % sets * together, end = least(g + together, groups);
            const A *matrix = job.matrix(number);
            const int s = (int)(program % strips);
            // Side by side: neighbouring columns share cache lines and pages.
            for (index_t c = g, beside = job.rows.stride == 1 ? end : g + 1; c < end; c = beside, beside = beside + 1)
                for (index_t unit = 0; unit < job.to.units;) {
                    const Piece p = job.piece(unit);
                    for (index_t one = c; one < beside; ++one) job.strip_of(number, matrix, one * group, s, p);
                    unit += p.units;
                }
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

// Lays out the matrices (rows, k) of a tensor, so that tiles of tile_rows by tile_depth may overhang; along k only if they are `padded` there, else dot is
// told where the matrix ends. Without memory it does nothing.
template <int tile_rows, int tile_depth, bool padded, class A, int group, int strips, int axes, class Run>
void lay_out(Panels<A, group, strips> &to, Storage &storage, const A *from, Axis rows, Axis k, const Axis (&around)[axes], Run run, int32_t threads) {
    const index_t step = tile_rows > group ? tile_rows : group;
    const int lanes = DotOperand<A>::lanes;
    to.rows = (rows.size + step - 1) / step * step;
    to.rows = (to.rows + group - 1) / group * group;
    to.depth = padded ? (k.size + tile_depth - 1) / tile_depth * tile_depth : k.size;
    to.reach = padded ? to.depth : k.size + tile_depth - 1;
    to.units = (to.depth + lanes - 1) / lanes;
    to.tile = (tile_depth + lanes - 1) / lanes;
    to.matrix = to.rows * to.units;
    index_t matrices = 1;
    for (const Axis &a : around) matrices *= a.size;
    const double wanted = (double)matrices * (double)to.matrix * sizeof *to.data;       // may exceed what an integer holds
    if (wanted > panels_most_bytes) return;
    if (!(to.data = (typename Panels<A, group, strips>::T *)storage.allocate((size_t)wanted))) return;
    const PanelsJob<A, group, strips> job = {to, from, rows, k, around, axes};
    const index_t groups = to.rows / group, together = job.together;
    const int64_t count = matrices * ((groups + together - 1) / together) * strips;
    if (run)
        run(job.programs, &job, count, 0, threads);
    else
        job.programs(&job, 0, count, nullptr);
}
#endif
