// Tile product: acc(M, N) = (accumulate ? acc : 0) + a(M, K) b(K, N), for one core.
//
// The classic three levels (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008), less what tiles do
// not need: K is cut so that a panel of b fits in L1; the panel is packed, converted to the arithmetic type and used by every
// strip of a; a strip times a panel is accumulated in registers. a is read by scalar broadcasts, so it needs no packing, only a
// copy where its type is narrow or its rows lie so far apart that they fall into the same cache sets. What many programs read is
// packed for all of them by the launcher (tile_panels.h). Sums run over k in one fixed order: results are the same on every run.
#ifndef DSLC_TILE_DOT_H
#define DSLC_TILE_DOT_H

#include "tile_skinny.h"
#include "tile_strips.h"
#include "tile_vector.h"

// What is multiplied in one cut of k: a, converted or where it stands, or packed strips; b, or packed panels.
template <class A, class B> struct DotCut {
    typedef typename DotOperand<A>::unit T;
    const T *left, *strips, *panels;
    index_t row, col, strips_pitch, strips_from, panels_pitch, panels_from;
    const B *right;
    index_t right_row, right_col;
    int elements, rows;
    DotAhead ahead;                                          // while the next panel is multiplied
};

// The strips of a, as they stand or packed, times one panel.
template <int M, int vectors, class A, class B, class T>
DSLC_ONCE void dot_panel(const DotSum<T> &sum, const DotCut<A, B> &cut, const T *panel, index_t b_row, index_t units, int columns,
                         DotAhead ahead = {}) {
    if (cut.strips)
        dot_strips<T, M, vectors, true>(sum, cut.strips, cut.strips_pitch, cut.strips_from, panel, b_row, units, columns, cut.rows, ahead);
    else
        dot_strips<T, M, vectors>(sum, cut.left, cut.row, cut.col, panel, b_row, units, columns, cut.rows, ahead);
}

// `columns` of the columns j, j + 1, .., no more than a panel has; the first `inside` of them there are.
template <int M, int vectors, class A, class B, class T>
DSLC_FN void dot_columns(const DotSum<T> &sum, const DotCut<A, B> &cut, int j, int columns, int inside, T *scratch) {
    const int lanes = DotOperand<B>::lanes, width = vectors * DotWidth<T>::value, panel = dot_vectors * DotWidth<T>::value;
    const index_t units = (cut.elements + lanes - 1) / lanes;
    if (cut.panels) {
        const T *here = cut.panels + j * cut.panels_pitch + cut.panels_from * panel;
        const DotAhead next = {(const char *)(here + cut.panels_pitch * panel), panel * (index_t)sizeof(T), units > dot_short ? units : 0,
                               panel * (int)sizeof(T) / 64};
        return dot_panel<M, vectors>(sum, cut, here, panel, units, columns, cut.ahead.rows > 0 ? cut.ahead : next);
    }
    const B *right = cut.right + j * cut.right_col;
    if constexpr (DotOperand<B>::direct && M <= dot_unpacked_rows)
        if (cut.right_col == 1 && columns == width && inside >= width && (M <= dot_strip || !dot_far(cut.right_row, sizeof(B))))
            return dot_panel<M, vectors>(sum, cut, (const T *)right, cut.right_row, cut.elements, width);
    dot_pack_panel<B, width>(scratch, right, cut.right_row, cut.right_col, inside < columns ? inside : columns, cut.elements);
    dot_panel<M, vectors>(sum, cut, scratch, width, units, columns);
}

// The cut that begins with `unit` of a.
template <int M, class A, class B, class T>
DSLC_FN DotCut<A, B> dot_cut_left(const Window<A> &a, int unit, int elements, int rows, T *converted) {
    DotCut<A, B> cut = {};
    cut.elements = elements, cut.rows = rows;
    const A *from = a.data + unit * DotOperand<A>::lanes * a.col;
    cut.left = (const T *)(const void *)from, cut.row = a.row, cut.col = a.col;
    if (a.packed) {
        cut.strips = a.strips(unit), cut.strips_pitch = a.pitch(unit), cut.strips_from = a.from(unit);
    } else if (!DotOperand<A>::direct || rows < M || !dot_in_place<A>(a.row, a.col)) {
        dot_convert_left<M>(converted, from, a.row, a.col, elements, rows, &cut.row, &cut.col);
        cut.left = converted;
    }
    return cut;
}

template <int M, int N, int K, class A, class B, class T>
DSLC_FN void dot_tile(const DotSum<T> &whole, T *acc, index_t acc_row, const Window<A> &a, const Window<B> &b, void *scratch, int depth, int rows,
                      int columns) {
    typedef DotPlan<M, N, K, A> P;
    T *packed = (T *)scratch, *converted = (T *)((char *)scratch + P::panel_bytes);
    const int all = (depth + P::lanes - 1) / P::lanes;
    for (int unit = 0, units; unit < all; unit += units) {
        units = b.rest(unit, a.rest(unit, P::cut(unit, all)));
        const int k = unit * P::lanes, elements = depth - k < units * P::lanes ? depth - k : units * P::lanes;
        DotCut<A, B> cut = dot_cut_left<M, A, B>(a, unit, elements, rows, converted);
        if (b.packed)
            cut.panels = b.strips(unit), cut.panels_pitch = b.pitch(unit), cut.panels_from = b.from(unit);
        else
            cut.right = b.data + k * b.row, cut.right_row = b.row, cut.right_col = b.col;
        const DotSum<T> sum = whole.cut(unit > 0, unit + units < all, acc, acc_row);
        for (int j = 0; j + P::panel <= N && j < columns; j += P::panel)
            dot_columns<M, dot_vectors>(sum.beside(j), cut, j, P::panel, columns - j, packed);
        if (P::edge > 0 && N - P::edge < columns)
            dot_columns<M, P::edge_vectors>(sum.beside(N - P::edge), cut, N - P::edge, P::edge, columns - (N - P::edge), packed);
    }
}

// Rows at..end - 1 of a cut of b, `units` deep, to all its panels.
template <class B, int panel, class T> DSLC_FN void dot_pack_rows(T *to, const B *b, index_t b_row, int columns, int units, int at, int end) {
    for (; at < end; at += dot_rows_together)
        for (int j = 0; j < columns; j += panel)
            dot_pack_panel<B, panel>(to + j * units + at / DotOperand<B>::lanes * panel, b + at * b_row + j, b_row, 1,
                                     columns - j < panel ? columns - j : panel, end - at < dot_rows_together ? end - at : dot_rows_together);
}

// Where b's rows are far apart, and packing it costs no less than the product: some rows of the next cut are packed before each panel of this one is
// multiplied by, and those after them fetched meanwhile. (More of them would not stay in a cache: rows a power of two apart share its sets.)
template <int M, int N, int K, class A, class B, class T>
DSLC_FN void dot_stream(const DotSum<T> &whole, T *acc, index_t acc_row, const Window<A> &a, const Window<B> &b, void *scratch, int depth, int rows,
                        int columns) {
    typedef DotPlan<M, N, K, A> P;
    T *converted = (T *)((char *)scratch + P::panel_bytes), *here = (T *)((char *)converted + P::left_bytes), *there = here + P::wide_units;
    const int all = (depth + P::lanes - 1) / P::lanes, panels = (columns + P::panel - 1) / P::panel;
    auto elements = [=](int unit, int units) { return depth - unit * P::lanes < units * P::lanes ? depth - unit * P::lanes : units * P::lanes; };
    int units = a.rest(0, P::cut(0, all));
    dot_pack_rows<B, P::panel>(here, b.data, b.row, columns, units, 0, elements(0, units));
    for (int unit = 0, next_units; unit < all; unit += units, units = next_units) {
        next_units = unit + units < all ? a.rest(unit + units, P::cut(unit + units, all)) : 0;
        const int k = unit * P::lanes, n = elements(unit, units), next = next_units > 0 ? elements(unit + units, next_units) : 0;
        const int each = (next + panels * dot_rows_together - 1) / (panels * dot_rows_together) * dot_rows_together;
        const B *below = b.data + (k + n) * b.row;
        DotCut<A, B> cut = dot_cut_left<M, A, B>(a, unit, n, rows, converted);
        cut.panels = here, cut.panels_pitch = units;
        const DotSum<T> sum = whole.cut(unit > 0, unit + units < all, acc, acc_row);
        for (int j = 0, at = 0; j < columns; j += P::panel) {
            const int end = at + each < next ? at + each : next;
            dot_pack_rows<B, P::panel>(there, below, b.row, columns, next_units, at, end);
            at = end;
            cut.ahead = {(const char *)(below + at * b.row), b.row * (index_t)sizeof(B), each, (columns * (int)sizeof(B) + 63) / 64};
            if (P::edge > 0 && j + P::edge == N)
                dot_columns<M, P::edge_vectors>(sum.beside(j), cut, j, P::edge, columns - j, converted);
            else
                dot_columns<M, dot_vectors>(sum.beside(j), cut, j, P::panel, columns - j, converted);
        }
        T *packed = here;
        here = there, there = packed;
    }
}

// The sum of no products.
template <class T> DSLC_ONCE void dot_nothing(const DotSum<T> &sum, int rows, int columns) {
    if (sum.from == sum.to) return;
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) sum.to[i * sum.to_row + j] = sum.from ? sum.from[i * sum.from_row + j] : 0;
}

// ---------------------------------------------------------------- interface
// Bytes of 64-byte aligned scratch.
template <int M, int N, int K, class A, class B> constexpr size_t dot_scratch() {
    typedef DotPlan<M, N, K, A> P;
    const size_t tile_bytes = P::panel_bytes + P::left_bytes + P::wide_bytes, skinny_bytes = SkinnyPlan<M, N, K, A, B>::bytes;
    return M == 1 || N == 1 ? (2 * (size_t)K + (M > N ? M : N)) * sizeof(typename DotOperand<A>::scalar) : tile_bytes > skinny_bytes ? tile_bytes : skinny_bytes;
}

// acc rows are acc_row elements apart, its columns adjacent; the operands' strides are in elements, any sign, 0 allowed.
// A, B: both f32, f16, bf16, f8e4m3, f8e5m2 (C = f32), both f64 (C = f64), or each i8 or u8 (C = i32, wraps). Nothing is packed where M or N is 1.
// There is no more of the operands than `depth` of K, `rows` of a and `columns` of b, each of which may exceed the tile; what becomes of acc past them,
// nobody reads. If it is the `last` product of a sum, that is left at `to` instead of acc.
template <int M, int N, int K, class A, class B, class C>
DSLC_ONCE void dot(C *acc, index_t acc_row, const Window<A> &a, const Window<B> &b, bool accumulate, void *scratch, index_t depth = K, index_t rows = M,
                    index_t columns = N, bool last = false, C *to = nullptr, index_t to_row = 0) {
    const int inside = depth < K ? (int)depth : K, m = rows < M ? (int)rows : M, n = columns < N ? (int)columns : N;
    const DotSum<C> sum = {accumulate ? acc : nullptr, last ? to : acc, acc_row, last ? to_row : acc_row};
    if (m < 1 || n < 1) return;
    if (inside < 1) return dot_nothing(sum, m, n);
    if constexpr (M == 1)
        dot_matrix_vector<N, K>(sum, 1, 1, a.data, a.col, b.data, b.row, b.col, (C *)scratch, inside, n);
    else if constexpr (N == 1)
        dot_matrix_vector<M, K>(sum, sum.from_row, sum.to_row, b.data, b.row, a.data, a.col, a.row, (C *)scratch, inside, m);
    else {
        if constexpr (SkinnyPlan<M, N, K, A, B>::possible)
            if (SkinnyPlan<M, N, K, A, B>::takes(b)) return skinny_dot<M, N, K>(sum, acc, acc_row, a, b, scratch, inside, m, n);
        if constexpr (DotPlan<M, N, K, A>::wide)
            if (!b.packed && b.col == 1 && dot_far(b.row, sizeof(B))) return dot_stream<M, N, K>(sum, acc, acc_row, a, b, scratch, inside, m, n);
        dot_tile<M, N, K>(sum, acc, acc_row, a, b, scratch, inside, m, n);
    }
}

// f32 operands rounded to 10 mantissa bits, never packed.
template <int M, int N, int K> constexpr size_t dot_tf32_scratch() { return dot_scratch<M, N, K, tf32, tf32>(); }
template <int M, int N, int K>
DSLC_FN void dot_tf32(f32 *acc, index_t acc_row, const Window<f32> &a, const Window<f32> &b, bool accumulate, void *scratch, index_t depth = K,
                      index_t rows = M, index_t columns = N, bool last = false, f32 *to = nullptr, index_t to_row = 0) {
    dot<M, N, K>(acc, acc_row, Window<tf32>{(const tf32 *)a.data, a.row, a.col}, Window<tf32>{(const tf32 *)b.data, b.row, b.col}, accumulate, scratch,
                 depth, rows, columns, last, to, to_row);
}

#endif
