// What every kernel for cores of architecture 2201 is written with: tiles in UB, their way from and to global memory, scalars.
//
// Functions assume that their operands are complete on the first pipe they use and do not wait at their end; what the kernel does not order by
// flags (edges of a tensor, which few programs meet) they order themselves. Event number 4 is theirs, on the cube core 5 too.
#ifndef DSLC_TILE_ASCEND_H
#define DSLC_TILE_ASCEND_H

#include "kernel_operator.h"

#define DSLC_FN static __aicore__ inline
// The scalar unit has half and bfloat16_t, whose bits are those of the structs that tile_types.h calls f16 and bf16.
#define f16 f16_bits
#define bf16 bf16_bits
#include "tile_types.h"
#include "tile_math.h"
#include "tile_bounds.h"
#undef f16
#undef bf16
typedef half f16;
typedef bfloat16_t bf16;

using AscendC::HardEvent;
using AscendC::PipeBarrier;
using AscendC::SetFlag;
using AscendC::WaitFlag;

// One pipe waits for another. The functions that use a number leave it so that its setter knows that it was waited for.
template <HardEvent event> DSLC_FN void pass() {
    SetFlag<event>(4);
    WaitFlag<event>(4);
}

// ---------------------------------------------------------------- scalars
DSLC_FN f32 widen(f16 x) { return widen(bitcast<f16_bits>(x)); }
DSLC_FN f32 widen(bf16 x) { return widen(bitcast<bf16_bits>(x)); }
template <> struct Cast<f16> {
    template <class From> DSLC_FN f16 from(From x) { return bitcast<f16>(cast<f16_bits>(x)); }
    DSLC_FN f16 from(f16 x) { return x; }
    DSLC_FN f16 from(bf16 x) { return bitcast<f16>(cast<f16_bits>(widen(x))); }
};
template <> struct Cast<bf16> {
    template <class From> DSLC_FN bf16 from(From x) { return bitcast<bf16>(cast<bf16_bits>(x)); }
    DSLC_FN bf16 from(bf16 x) { return x; }
    DSLC_FN bf16 from(f16 x) { return bitcast<bf16>(cast<bf16_bits>(widen(x))); }
};
DSLC_FN f16 select(bool c, f16 a, f16 b) { return c ? a : b; }
DSLC_FN bf16 select(bool c, bf16 a, bf16 b) { return c ? a : b; }
#define DSLC_NARROW_SCALARS(TYPE)                                                                                                        \
    DSLC_FN TYPE minimum(TYPE a, TYPE b) { return bitcast<TYPE>(minimum(bitcast<TYPE##_bits>(a), bitcast<TYPE##_bits>(b))); }         \
    DSLC_FN TYPE maximum(TYPE a, TYPE b) { return bitcast<TYPE>(maximum(bitcast<TYPE##_bits>(a), bitcast<TYPE##_bits>(b))); }         \
    template <class T> DSLC_FN TYPE minimum(TYPE a, TYPE b) { return minimum(a, b); }                                                  \
    template <class T> DSLC_FN TYPE maximum(TYPE a, TYPE b) { return maximum(a, b); }                                                  \
    DSLC_FN TYPE absolute(TYPE a) { return bitcast<TYPE>(absolute(bitcast<TYPE##_bits>(a))); }                                         \
    DSLC_FN TYPE negate(TYPE a) { return bitcast<TYPE>(negate(bitcast<TYPE##_bits>(a))); }
DSLC_NARROW_SCALARS(f16)
DSLC_NARROW_SCALARS(bf16)
#undef DSLC_NARROW_SCALARS

// ---------------------------------------------------------------- memory of a core
template <class T> using Global = AscendC::GlobalTensor<T>;

// T elements at an address of global memory. The count only bounds what the compiler's own checks allow.
template <class T> DSLC_FN Global<T> global(GM_ADDR at) {
    Global<T> tensor;
    tensor.SetGlobalBuffer((__gm__ T *)at, (u64)1 << 40);
    return tensor;
}

DSLC_FN constexpr i32 up_to(i32 n, i32 unit) { return (n + unit - 1) / unit * unit; }
template <class T> static constexpr i32 block_elements = 32 / (i32)sizeof(T);  // of the unit that UB is addressed in

// A tile in UB: rows of `pitch` elements each, of which `columns` are its own. The rest of a row is padding, which always holds numbers.
template <typename T, i32 R, i32 C, i32 P> struct Tile {
    using element = T;
    static constexpr i32 rows = R, columns = C, pitch = P;
    AscendC::LocalTensor<T> at;
};
// One row for all rows, one element for each row (R elements one after another).
template <class X> struct Row { X tile; };
template <class X> struct Column { X tile; };
template <class X> DSLC_FN Row<X> row(X tile) { return Row<X>{tile}; }
template <class X> DSLC_FN Column<X> column(X tile) { return Column<X>{tile}; }
// Another shape on the memory of a tile, from an element on.
template <typename T, i32 R, i32 C, i32 P, class X> DSLC_FN Tile<T, R, C, P> view(X tile, i32 start) { return Tile<T, R, C, P>{tile.at[start]}; }

// Local memory by address. Since CANN 9 a tensor can be put anywhere; before, a buffer of the whole memory gives all of them.
#if defined(DSLC_CANN) && DSLC_CANN < 9
struct Core {
    AscendC::TPipe pipe;
    AscendC::TBuf<AscendC::TPosition::VECIN> ub;
    AscendC::TBuf<AscendC::TPosition::A1> l1;
    AscendC::TBuf<AscendC::TPosition::A2> l0a;
    AscendC::TBuf<AscendC::TPosition::B2> l0b;
    AscendC::TBuf<AscendC::TPosition::CO1> l0c;
    __aicore__ inline Core(u32 ub_bytes, u32 l1_bytes, u32 l0_bytes, u32 l0c_bytes) {
        if (ub_bytes) pipe.InitBuffer(ub, ub_bytes);
        if (l1_bytes) pipe.InitBuffer(l1, l1_bytes);
        if (l0_bytes) pipe.InitBuffer(l0a, l0_bytes), pipe.InitBuffer(l0b, l0_bytes);
        if (l0c_bytes) pipe.InitBuffer(l0c, l0c_bytes);
    }
    template <typename T, AscendC::TPosition P> __aicore__ inline AscendC::LocalTensor<T> local(u32 offset, u32) {
        const u32 first = offset / (u32)sizeof(T);
        if constexpr (P == AscendC::TPosition::A1) return l1.Get<T>()[first];
        else if constexpr (P == AscendC::TPosition::A2) return l0a.Get<T>()[first];
        else if constexpr (P == AscendC::TPosition::B2) return l0b.Get<T>()[first];
        else if constexpr (P == AscendC::TPosition::CO1) return l0c.Get<T>()[first];
        else return ub.Get<T>()[first];
    }
    __aicore__ inline void finish() {}
#else
struct Core {
    __aicore__ inline Core(u32, u32, u32, u32) { AscendC::InitSocState(); }
    template <typename T, AscendC::TPosition P> __aicore__ inline AscendC::LocalTensor<T> local(u32 offset, u32 elements) {
        return AscendC::LocalTensor<T>(P, offset, elements);
    }
    __aicore__ inline void finish() { PipeBarrier<PIPE_ALL>(); }
#endif
    template <typename T> __aicore__ inline AscendC::LocalTensor<T> ub_at(u32 offset, u32 elements) {
        return local<T, AscendC::TPosition::VECIN>(offset, elements);
    }
    template <typename T, i32 R, i32 C, i32 P> __aicore__ inline Tile<T, R, C, P> tile(u32 offset) {
        return Tile<T, R, C, P>{ub_at<T>(offset, up_to(R * P, block_elements<T>))};      // copies write whole blocks
    }
};

// ---------------------------------------------------------------- edges
// The elements first..last-1 along an axis of a tile are inside the tensor.
struct Inside { i32 first, last; };
DSLC_FN Inside inside(index_t start, i32 n, index_t bound) {
    const index_t first = least(most(-start, 0), n), last = most(least(bound - start, n), first);
    return Inside{(i32)first, (i32)last};
}
DSLC_FN Inside all_or_none(bool all, i32 n) { return Inside{0, all ? n : 0}; }

// The same value in every place of `count` elements, a whole number of blocks. Bits are what is written, so that one form serves all types.
template <class T> DSLC_FN void fill_blocks(AscendC::LocalTensor<T> to, T value, i32 count) {
    if (count <= 0) return;
    if constexpr (sizeof(T) == 4) {
        AscendC::Duplicate(to.template ReinterpretCast<u32>(), bitcast<u32>(value), count);
    } else if constexpr (sizeof(T) == 2) {
        AscendC::Duplicate(to.template ReinterpretCast<u16>(), bitcast<u16>(value), count);
    } else if constexpr (sizeof(T) == 1) {
        AscendC::Duplicate(to.template ReinterpretCast<u16>(), (u16)(bitcast<u8>(value) * 0x101), count / 2);
    } else {
        const u64 bits = bitcast<u64>(value);
        if ((u32)bits == (u32)(bits >> 32)) {
            AscendC::Duplicate(to.template ReinterpretCast<u32>(), (u32)bits, 2 * count);
        } else {
            pass<HardEvent::V_S>();
            for (i32 e = 0; e < count; ++e) to.SetValue(e, value);
            pass<HardEvent::S_V>();
        }
    }
}

template <class T, i32 R, i32 C, i32 P> DSLC_FN void fill(Tile<T, R, C, P> to, T value) { fill_blocks(to.at, value, R * P); }

// Fills what no copy of a row writes: whole rows outside, and the blocks of a row before and after those that the copy fills.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void fill_around(Tile<T, R, C, P> to, Inside rows, Inside columns, T pad) {
    constexpr i32 unit = block_elements<T>;
    const bool none = columns.first >= columns.last || rows.first >= rows.last;
    if (none) return fill_blocks(to.at, pad, R * P);
    fill_blocks(to.at, pad, rows.first * P);
    fill_blocks(to.at[rows.last * P], pad, (R - rows.last) * P);
    const i32 before = columns.first / unit * unit, after = up_to(columns.last, unit);
    for (i32 r = rows.first; r < rows.last && (before > 0 || after < P); ++r) {
        fill_blocks(to.at[r * P], pad, before);
        fill_blocks(to.at[r * P + after], pad, P - after);
    }
}

// ---------------------------------------------------------------- global memory to UB
template <class T> struct Moved { using type = T; };        // what DataCopyPad is called with: 8-byte elements go as pairs
template <> struct Moved<i64> { using type = u32; };
template <> struct Moved<u64> { using type = u32; };
template <> struct Moved<f64> { using type = u32; };
template <> struct Moved<bool> { using type = u8; };
template <> struct Moved<f8e4m3> { using type = u8; };
template <> struct Moved<f8e5m2> { using type = u8; };

// `count` runs of `n` elements, `stride` elements from one to the next in global memory and `pitch` in UB. `n` reaches to a multiple of a block by
// `left` elements before and some after, which take the value of `pad`.
template <class T>
DSLC_FN void copy_in(AscendC::LocalTensor<T> to, Global<T> from, index_t at, i32 count, i32 n, index_t stride, i32 pitch, i32 left, T pad) {
    using M = typename Moved<T>::type;
    constexpr i32 parts = sizeof(T) / sizeof(M), unit = block_elements<T>;
    Global<M> source;
    source.SetGlobalBuffer((__gm__ M *)from.GetPhyAddr((u64)at), (u64)1 << 40);
    AscendC::DataCopyExtParams runs;
    runs.blockLen = (u32)(n * (i32)sizeof(T));
    runs.dstStride = (u32)((pitch - up_to(left + n, unit)) / unit);
    runs.rsv = 0;
    AscendC::DataCopyPadExtParams<M> around;
    around.isPad = true;
    around.leftPadding = (u8)(left * parts);
    around.rightPadding = (u8)((up_to(left + n, unit) - left - n) * parts);
    if constexpr (parts == 1) around.paddingValue = bitcast<M>(pad);
    else around.paddingValue = (u32)bitcast<u64>(pad);
    const index_t gap = (stride - n) * (index_t)sizeof(T);
    if (count == 1 || (gap >= 0 && gap < ((index_t)1 << 32) && count <= 4095)) {
        runs.blockCount = (u16)count;
        runs.srcStride = count == 1 ? 0 : (u32)gap;
        AscendC::DataCopyPad(to.template ReinterpretCast<M>(), source, runs, around);
    } else {
        runs.blockCount = 1;
        runs.srcStride = runs.dstStride = 0;
        for (i32 r = 0; r < count; ++r)
            AscendC::DataCopyPad(to[r * pitch].template ReinterpretCast<M>(), source[(u64)(r * stride * parts)], runs, around);
    }
}

// Rows of the tile from rows `stride` elements apart; `at` is where element (0, 0) would be. All of them are inside.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void load(Tile<T, R, C, P> to, Global<T> from, index_t at, index_t stride, T pad) {
    if constexpr (up_to(C, block_elements<T>) < P) fill_around(to, Inside{0, R}, Inside{0, C}, pad);
    copy_in(to.at, from, at, R, C, stride, P, 0, pad);
}
// The same where some are outside, which take the value of `pad`.
template <class T, i32 R, i32 C, i32 P>
DSLC_FN void load(Tile<T, R, C, P> to, Global<T> from, index_t at, index_t stride, Inside rows, Inside columns, T pad) {
    if (rows.first == 0 && rows.last == R && columns.first == 0 && columns.last == C) return load(to, from, at, stride, pad);
    pass<HardEvent::MTE2_V>();          // the kernel made the copies wait for whoever used the tile
    fill_around(to, rows, columns, pad);
    pass<HardEvent::V_MTE2>();          // and what waits for the copies waits for the filling
    if (rows.first >= rows.last || columns.first >= columns.last) return;
    const i32 left = columns.first % block_elements<T>;
    copy_in(to.at[rows.first * P + columns.first - left], from, at + rows.first * stride + columns.first, rows.last - rows.first,
            columns.last - columns.first, stride, P, left, pad);
}

// ---------------------------------------------------------------- UB to global memory
template <class T> DSLC_FN void copy_out(Global<T> to, index_t at, AscendC::LocalTensor<T> from, i32 count, i32 n, index_t stride, i32 pitch) {
    using M = typename Moved<T>::type;
    constexpr i32 parts = sizeof(T) / sizeof(M), unit = block_elements<T>;
    Global<M> target;
    target.SetGlobalBuffer((__gm__ M *)to.GetPhyAddr((u64)at), (u64)1 << 40);
    AscendC::DataCopyExtParams runs;
    runs.blockLen = (u32)(n * (i32)sizeof(T));
    runs.srcStride = (u32)((pitch - up_to(n, unit)) / unit);
    runs.rsv = 0;
    const index_t gap = (stride - n) * (index_t)sizeof(T);
    if (count == 1 || (gap >= 0 && gap < ((index_t)1 << 32) && count <= 4095)) {
        runs.blockCount = (u16)count;
        runs.dstStride = count == 1 ? 0 : (u32)gap;
        AscendC::DataCopyPad(target, from.template ReinterpretCast<M>(), runs);
    } else {
        runs.blockCount = 1;
        runs.srcStride = runs.dstStride = 0;
        for (i32 r = 0; r < count; ++r)
            AscendC::DataCopyPad(target[(u64)(r * stride * parts)], from[r * pitch].template ReinterpretCast<M>(), runs);
    }
}

template <class T, i32 R, i32 C, i32 P> DSLC_FN void store(Global<T> to, index_t at, index_t stride, Tile<T, R, C, P> from) {
    copy_out(to, at, from.at, R, C, stride, P);
}
// Elements outside are dropped. A first column within a block has no address that a copy could start at: its block is moved to `scratch` by the scalar unit.
template <class T, i32 R, i32 C, i32 P>
DSLC_FN void store(Global<T> to, index_t at, index_t stride, Tile<T, R, C, P> from, Inside rows, Inside columns, AscendC::LocalTensor<u8> scratch) {
    if (rows.first >= rows.last || columns.first >= columns.last) return;
    constexpr i32 unit = block_elements<T>;
    i32 first = columns.first;
    if (first % unit) {
        const i32 end = columns.last < up_to(first, unit) ? columns.last : up_to(first, unit);
        const AscendC::LocalTensor<T> block = scratch.template ReinterpretCast<T>();
        pass<HardEvent::V_S>();         // scratch
        pass<HardEvent::MTE3_S>();      // the tile, which the kernel made the copies wait for
        for (i32 r = rows.first; r < rows.last; ++r) {
            for (i32 c = first; c < end; ++c) block.SetValue(c - first, from.at.GetValue(r * P + c));
            pass<HardEvent::S_MTE3>();
            copy_out(to, at + r * stride + first, block, 1, end - first, 0, unit);
            pass<HardEvent::MTE3_S>();
        }
        pass<HardEvent::S_V>();         // whoever uses scratch next
        first = end;
        if (first >= columns.last) return;
    }
    copy_out(to, at + rows.first * stride + first, from.at[rows.first * P + first], rows.last - rows.first, columns.last - first, stride, P);
}

// ---------------------------------------------------------------- elements, by the scalar unit
// What DMA engines have written, or other cores, must not be read from a line that the cache still holds.
template <class T> DSLC_FN void refresh(Global<T> x) {
    AscendC::DataCacheCleanAndInvalid<T, AscendC::CacheLine::ENTIRE_DATA_CACHE, AscendC::DcciDst::CACHELINE_OUT>(x);
}
// Padding of a tile that the scalar unit fills element by element.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void pad_rows(Tile<T, R, C, P> to) {
    for (i32 r = 0; r < R; ++r)
        for (i32 c = C; c < P; ++c) to.at.SetValue(r * P + c, T());
}
// One element to global memory by way of a block of scratch; the next one waits until it has gone.
template <class T> DSLC_FN void store_element(Global<T> to, index_t at, T value, AscendC::LocalTensor<u8> scratch) {
    const AscendC::LocalTensor<T> block = scratch.template ReinterpretCast<T>();
    block.SetValue(0, value);
    pass<HardEvent::S_MTE3>();
    copy_out(to, at, block, 1, 1, 0, block_elements<T>);
    pass<HardEvent::MTE3_S>();
}

// Stands around a store whose places a tile gives. Emulated, a place that is named twice is reported; the device does not look.
#ifdef DSLC_EMULATED_KERNEL_OPERATOR_H
using Distinct = dslc_emulator::Distinct;
#else
struct Distinct {
    __aicore__ inline Distinct() {}
};
#endif

// ---------------------------------------------------------------- packed rows: `bits` bits of a word for each of the rows that follow each other
// Row r of the tile is field (first + r) % F of the words of word row (first + r) / F; `at` is word (0, first column), `stride` words lie between word rows.
template <i32 bits, bool sign, class T, i32 R, i32 C, i32 P>
DSLC_FN void load_fields(Tile<T, R, C, P> to, Global<u32> from, index_t first, index_t at, index_t stride, Inside rows, Inside columns, T pad,
                         AscendC::LocalTensor<u8> scratch) {
    constexpr i32 F = 32 / bits, W = (R + F - 1) / F;
    if (R % F == 0 && first % F == 0 && rows.first % F == 0 && rows.last % F == 0 && pad == (T)0) {
        const Tile<u32, W, C, P> words{scratch.template ReinterpretCast<u32>()};
        const AscendC::LocalTensor<i32> field = scratch[W * P * 4].template ReinterpretCast<i32>();
        const AscendC::LocalTensor<half> narrow = scratch[W * P * 8].template ReinterpretCast<half>();
        load(words, from, at + first / F * stride, stride, Inside{rows.first / F, rows.last / F}, columns, 0u);
        if constexpr (up_to(C, 8) < P) PipeBarrier<PIPE_V>();
        pass<HardEvent::MTE2_V>();
        pass<HardEvent::V_MTE2>();          // that it was waited for, for the next load that uses the number
        for (i32 f = 0; f < F; ++f) {
            PipeBarrier<PIPE_V>();
            AscendC::ShiftLeft(field.template ReinterpretCast<u32>(), words.at, (u32)(32 - bits * (f + 1)), W * P);
            PipeBarrier<PIPE_V>();
            if constexpr (sign) AscendC::ShiftRight(field, field, 32 - bits, W * P);
            else AscendC::ShiftRight(field.template ReinterpretCast<u32>(), field.template ReinterpretCast<u32>(), (u32)(32 - bits), W * P);
            PipeBarrier<PIPE_V>();
            AscendC::Cast(field.template ReinterpretCast<f32>(), field, AscendC::RoundMode::CAST_RINT, W * P);
            PipeBarrier<PIPE_V>();
            AscendC::Cast(narrow, field.template ReinterpretCast<f32>(), AscendC::RoundMode::CAST_RINT, W * P);
            PipeBarrier<PIPE_V>();
            for (i32 w = 0; w < W; ++w) AscendC::Cast(to.at[(w * F + f) * P], narrow[w * P], AscendC::RoundMode::CAST_RINT, P);
        }
        return;
    }
    PipeBarrier<PIPE_ALL>();
    for (i32 r = 0; r < R; ++r)
        for (i32 c = 0; c < P; ++c) {
            const bool there = r >= rows.first && r < rows.last && c >= columns.first && c < columns.last;
            T value = pad;
            if (there) {
                const u32 bits_there = get_field(from.GetValue((u64)(at + (first + r) / F * stride + c)), (first + r) % F, bits);
                value = sign ? (T)i4_from_bits(bits_there) : (T)bits_there;
            }
            to.at.SetValue(r * P + c, value);
        }
    PipeBarrier<PIPE_ALL>();
}

// What is wrong, for the launcher. One core's word is as good as another's.
DSLC_FN void fail(GM_ADDR status, i32 site) {
    Global<i32> word = global<i32>(status);
    word.SetValue(0, site);
    AscendC::DataCacheCleanAndInvalid<i32, AscendC::CacheLine::SINGLE_CACHE_LINE, AscendC::DcciDst::CACHELINE_OUT>(word);
}

#endif
