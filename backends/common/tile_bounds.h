// Which coordinates lie inside a tensor, and the fields of packed words, for every target of the C family.
#ifndef DSLC_TILE_BOUNDS_H
#define DSLC_TILE_BOUNDS_H
#include "tile_types.h"

DSLC_FN bool within(index_t i, index_t n) { return i >= 0 && i < n; }  // n may be negative: a stop is
DSLC_FN index_t least(index_t a, index_t b) { return a < b ? a : b; }
DSLC_FN index_t most(index_t a, index_t b) { return a > b ? a : b; }
// Whether n elements from `start` on all lie in 0..size-1.
DSLC_FN bool spans(index_t start, index_t n, index_t size) { return start >= 0 && start + n <= size; }

// ---------------------------------------------------------------- packed tensors: fields of `bits` bits, F to a word
template <class W> DSLC_FN u32 get_field(W word, index_t n, int bits) { return (u32)(word >> (n * bits)) & ((1u << bits) - 1); }
template <class W> DSLC_FN W put_field(W word, index_t n, int bits, u32 value) {
    const W mask = (W)(((W)1 << bits) - 1);
    return (W)((word & ~(W)(mask << (n * bits))) | (W)((W)(value & mask) << (n * bits)));
}
// Whether elements start..start+n-1, clipped to 0..size-1, are whole words of F fields.
DSLC_FN bool whole_words(index_t start, index_t n, index_t size, index_t F) {
    const index_t first = most(start, 0), last = least(start + n, size);
    return first >= last || (first % F == 0 && last % F == 0);
}
#endif
