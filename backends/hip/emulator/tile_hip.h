// The words of generated HIP source, emulated: the same functions as the header of this name that clang sees, checked by the engine.
#ifndef DSLC_TILE_HIP_H
#define DSLC_TILE_HIP_H

#include "engine.h"

// Lanes of a wave: 64 on gfx9, 32 on gfx11; the host says which chip is emulated.
#ifndef DSLC_LANES
#define DSLC_LANES 64
#endif
constexpr int lanes = DSLC_LANES;

#include "lds_banks.h"

#include "vocabulary.h"

template <int n> void workers_sync(i32 line = __builtin_LINE()) { block_sync(line); }

#if __has_include("matrix_core.h")
#include "matrix_core.h"
#endif

#endif
