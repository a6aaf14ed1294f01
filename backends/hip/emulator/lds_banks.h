// Cycles of a shared-memory instruction, for the chip that is emulated. Phases and banks: machine_code.py says where they are from.
#ifndef DSLC_HIP_LDS_BANKS_H
#define DSLC_HIP_LDS_BANKS_H

#include "engine.h"

// Lanes of each phase in half a wave (32 lanes), a bit for each; the other half of a wave of 64 has the same phases.
struct LdsPhases {
    i32 banks, phases;
    u32 lanes[4];
};
inline constexpr LdsPhases lds_phases(i32 bytes) {
#if defined(__gfx950__)
    if (bytes == 16)
        return {64, 2, {0x0ff0f00f, 0xf00f0ff0}};
    return {64, 1, {0xffffffff}};
#else
    if (bytes == 16 && DSLC_LANES == 64)
        return {32, 4, {0x00f0000f, 0x000f00f0, 0xf0000f00, 0x0f00f000}};
    if (bytes == 16)
        return {32, 4, {0x000000ff, 0x0000ff00, 0x00ff0000, 0xff000000}};
    if (bytes == 8)
        return {32, 2, {0x0000ffff, 0xffff0000}};
    return {32, 1, {0xffffffff}};
#endif
}

inline engine::Wavefronts wavefronts(const i32 *offsets, i32 count, i32 bytes) {
    const LdsPhases table = lds_phases(bytes);
    const i32 words = bytes < 4 ? 1 : bytes / 4;
    engine::Wavefronts total{0, 0};
    for (i32 half = 0; half < count; half += 32)
        for (i32 phase = 0; phase < table.phases; ++phase) {
            i32 seen[64][128], in_bank[64] = {}, distinct = 0, most = 0;
            for (i32 lane = 0; lane < 32 && half + lane < count; ++lane)
                for (i32 w = 0; (table.lanes[phase] >> lane & 1) && offsets[half + lane] >= 0 && w < words; ++w) {
                    const i32 word = offsets[half + lane] / 4 + w, bank = word % table.banks;
                    i32 n = 0;
                    while (n < in_bank[bank] && seen[bank][n] != word)
                        ++n;
                    if (n < in_bank[bank])
                        continue;
                    seen[bank][in_bank[bank]++] = word;
                    ++distinct;
                    most = in_bank[bank] > most ? in_bank[bank] : most;
                }
            total.ideal += (distinct + table.banks - 1) / table.banks;
            total.actual += most;
        }
    return total;
}

#endif
