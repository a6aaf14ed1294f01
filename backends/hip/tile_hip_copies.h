// Tiles from global to shared memory (LDS): through registers, so that a tile is under way while the one before is multiplied, or directly.
// Written in the words of tile_hip.h and tile_workers.h only, so the emulator compiles the same text.
#ifndef DSLC_TILE_HIP_COPIES_H
#define DSLC_TILE_HIP_COPIES_H

// Part of a tensor that a program loads, `down` x `across` elements from `first` on, of which these rows and columns are inside the tensor. The same in all
// workers. Rows are row_step apart; a tile of them spans less than 2^31 bytes.
template <class T, i32 down, i32 across> struct Window {
    Global<T> first;
    index_t row_step;
    Run rows, columns;
    DSLC_WORKER bool whole(const Window &w) { return w.rows.first == 0 && w.rows.last == down && w.columns.first == 0 && w.columns.last == across; }
};
// Where a run starts in its tile.
struct Spot { i32 row, column; };

// A uniform distance in 32 bits, so that scalar instructions compare it.
DSLC_WORKER i32 nearby(index_t x) {
    const i32 high = (i32)(x >> 32), low = (i32)x, most = 0x7fffffff;
    return high == 0 ? (low < 0 ? most : low) : high == -1 && low < 0 ? low : high < 0 ? -most : most;
}
// Trips of a loop by `step`.
template <i32 step> DSLC_WORKER i32 trips(index_t start, index_t stop) { return nearby(floor_div<index_t>(stop - start + (step - 1), step)); }
// Of n indices from `start` on, those that are inside 0 .. stop-1.
template <i32 n> DSLC_WORKER Run part_inside(index_t start, index_t stop) {
    const i32 before = nearby(start), left = nearby(stop - start);
    return {before >= 0 ? 0 : before < -n ? n : -before, left < 0 ? 0 : left < n ? left : n};
}

// Runs of a window into registers: whole ones at once, zeros for what is outside.
template <i32 run, class Part, class T> DSLC_WORKER Vector<T, run> edge_run(const Part &w, Buffer<T> buffer, Spot spot) {
    Vector<T, run> x;
    const bool inside = spot.row >= w.rows.first && spot.row < w.rows.last;
#pragma unroll
    for (i32 e = 0; e < run; ++e) {
        x[e] = T();
        const i32 column = spot.column + e;
        if (inside && column >= w.columns.first && column < w.columns.last) x[e] = buffer_load<1>(buffer, spot.row * (i32)w.row_step + column)[0];
    }
    return x;
}
template <class T> DSLC_WORKER auto wide_buffer(Global<T> first) { return make_buffer(first, 0x7fffffff / (i32)sizeof(T)); }

template <i32 run, class T, i32 count, class U, i32 down, i32 across, class Spots>
DSLC_WORKER void fetch(Vector<T, run> (&to)[count], const Window<U, down, across> &w, const Spots &spots) {
    const Buffer<T> buffer = wide_buffer(w.first);
    if (w.whole(w)) {
#pragma unroll
        for (i32 e = 0; e < count; ++e) {
            const Spot spot = spots(e);
            to[e] = buffer_load<run>(buffer, spot.row * (i32)w.row_step + spot.column);
        }
    } else {
#pragma unroll
        for (i32 e = 0; e < count; ++e) to[e] = edge_run<run>(w, buffer, spots(e));
    }
}
// What was fetched into a tile in shared memory whose rows are runs of neighbours.
template <i32 run, class T, i32 count, class O, class Spots> DSLC_WORKER void keep(const O &tile, const Vector<T, run> (&from)[count], const Spots &spots) {
#pragma unroll
    for (i32 e = 0; e < count; ++e) {
        const Spot spot = spots(e);
        store_vector(tile.at + O::offset(spot.row, spot.column), from[e]);
    }
}
// The same into a tile whose columns are: each `high` runs lie below one another, and are written as `run` pieces of a column.
template <i32 high, i32 run, class T, i32 count, class O, class Spots>
DSLC_WORKER void keep_turned(const O &tile, const Vector<T, run> (&from)[count], const Spots &spots) {
#pragma unroll
    for (i32 e = 0; e < count; e += high) {
        const Spot spot = spots(e);
#pragma unroll
        for (i32 column = 0; column < run; ++column) {
            Vector<T, high> piece;
#pragma unroll
            for (i32 row = 0; row < high; ++row) piece[row] = from[e + row][column];
            store_vector(tile.at + O::offset(spot.row, spot.column + column), piece);
        }
    }
}

// Directly: the lanes' runs land one after another, so each lane asks for the element whose swizzled place that is. The worker's e-th run is the
// (e * workers + worker)-th of the tile.
template <i32 run, i32 workers, class O, class U, i32 down, i32 across>
DSLC_WORKER void copy_tile(const O &tile, const Window<U, down, across> &w, i32 worker, i32 wave) {
    typedef typename O::Element T;
    const Buffer<T> buffer = wide_buffer(w.first);
    constexpr i32 count = down * across / run / workers;
    if (w.whole(w)) {
#pragma unroll
        for (i32 e = 0; e < count; ++e) {
            const i32 from = O::swizzled((e * workers + worker) * run);
            copy_to_shared<16>(tile.at + (e * workers + wave * lanes) * run, buffer, from / across * (i32)w.row_step + from % across);
        }
    } else {
        for (i32 e = 0; e < count; ++e) {
            const i32 to = (e * workers + worker) * run, from = O::swizzled(to);
            store_vector(tile.at + to, edge_run<run>(w, buffer, Spot{from / across, from % across}));
        }
    }
}

#endif
