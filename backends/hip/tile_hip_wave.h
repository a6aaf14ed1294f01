// Shuffles between the lanes of a wave.  Part of tile_hip.h.
#ifndef DSLC_TILE_HIP_WAVE_H
#define DSLC_TILE_HIP_WAVE_H

// Moves within a row of 16 lanes, done on the way into the vector unit. `control`: the DPP_CTRL field of the instruction set
// reference: 0x00-0xff a permutation of each four lanes, 0x128 rotation of the row by 8, 0x141 each half row reversed.
template <int control> DSLC_DEVICE u32 move_in_row(u32 x) {
    return (u32)__builtin_amdgcn_update_dpp((int)x, (int)x, control, 0xf, 0xf, true);
}

DSLC_DEVICE u32 shuffle_word(u32 x, i32 lane) { return (u32)__builtin_amdgcn_ds_bpermute(lane * 4, (int)x); }

// Masks known to the compiler avoid the crossbar of the shared memory where the machine has another way.
DSLC_DEVICE u32 shuffle_xor_word(u32 x, i32 mask) {
    if (__builtin_constant_p(mask)) {
        if (mask == 1)
            return move_in_row<0xb1>(x);                       // 1 0 3 2
        if (mask == 2)
            return move_in_row<0x4e>(x);                       // 2 3 0 1
        if (mask == 3)
            return move_in_row<0x1b>(x);                       // 3 2 1 0
        if (mask == 4)
            return move_in_row<0x1b>(move_in_row<0x141>(x));   // 7 ^ 3
        if (mask == 8)
            return move_in_row<0x128>(x);
#ifdef __gfx950__
        if (mask == 16 || mask == 32) {
            auto both = mask == 16 ? __builtin_amdgcn_permlane16_swap(x, x, false, false) : __builtin_amdgcn_permlane32_swap(x, x, false, false);
            return worker() & mask ? both[0] : both[1];
        }
#endif
        if (mask == 16)
            return (u32)__builtin_amdgcn_ds_swizzle((int)x, 0x401f);   // bit mode: xor 16 in each half of 32 lanes
    }
    return shuffle_word(x, (worker() & (lanes - 1)) ^ mask);
}

// x, which is the same in all lanes: the compiler then keeps it, and what is made of it, out of the vector registers.
DSLC_DEVICE i32 uniform(i32 x) { return __builtin_amdgcn_readfirstlane(x); }

template <class T, class F> DSLC_DEVICE T by_words(T x, F move) {
    static_assert(sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8, "1, 2, 4 or 8 bytes");
    if constexpr (sizeof(T) == 8) {
        u64 bits = bitcast<u64>(x);
        return bitcast<T>((u64)move((u32)bits) | (u64)move((u32)(bits >> 32)) << 32);
    } else {
        typedef typename Words<sizeof(T)>::type W;
        return bitcast<T>((W)move((u32)bitcast<W>(x)));
    }
}
template <class T> DSLC_DEVICE T shuffle(T x, i32 lane) {
    return by_words(x, [=](u32 word) { return shuffle_word(word, lane); });
}
template <class T> DSLC_DEVICE T shuffle_xor(T x, i32 mask) {
    return by_words(x, [=](u32 word) { return shuffle_xor_word(word, mask); });
}

#endif
