// The cube core: operands from global memory to L1, products in L0, sums from L0C to global memory; and the rings by which it meets the vector cores.
//
// A fractal is 16 rows of 32 bytes, 512 bytes in a row (CANN documentation, Basic API, data formats). Functions assume that their operands are complete on
// the first pipe they use. What they order inside themselves uses the event numbers 4 and 5, the two halves of L0A and L0B.
#ifndef DSLC_TILE_ASCEND_CUBE_H
#define DSLC_TILE_ASCEND_CUBE_H

#include "tile_ascend.h"

static constexpr i32 L0_HALF = 32 * 1024;               // bytes of L0A and of L0B that one product reads while the other half is filled
// Rows and columns of a panel are multiples of this: a square that can be transposed (CANN documentation, Basic API, LoadDataWithTranspose).
template <class T> static constexpr i32 square = sizeof(T) == 1 ? 32 : 16;
template <class S> static constexpr i32 sum_square = 16;
template <> constexpr i32 sum_square<i32> = 32;         // sums of bytes

// A tile in L1: `rows` x `columns` elements as they lie in global memory, zero up to height x width. Fractals go down columns of 32 bytes (NZ), or, with
// `by_rows`, along rows of 16 (zZ): two that follow one another are then a square of 4-byte elements.
template <typename T, i32 R, i32 C, bool B> struct Panel {
    using element = T;
    static constexpr i32 rows = R, columns = C, height = up_to(R, square<T>), width = up_to(C, square<T>);
    static constexpr bool by_rows = B;
    AscendC::LocalTensor<T> at;
};

// A sum in L0C, in fractals of 16 x 16 that go down columns. While it is `fresh` nothing was added to it, and it counts as zero.
template <typename S, i32 M, i32 N> struct Sum {
    using element = S;
    static constexpr i32 rows = M, columns = N, height = up_to(M, sum_square<S>), width = up_to(N, sum_square<S>);
    AscendC::LocalTensor<S> at;
    bool fresh = true;
};

// The halves of L0A and L0B, used in turn.
struct Halves {
    Core &core;
    i32 turn = 0;
    __aicore__ inline Halves(Core &c) : core(c) {
        SetFlag<HardEvent::M_MTE1>(4);
        SetFlag<HardEvent::M_MTE1>(5);
    }
    template <typename T> __aicore__ inline AscendC::LocalTensor<T> left() {
        return core.template local<T, AscendC::TPosition::A2>((u32)(turn * L0_HALF), (u32)(L0_HALF / (i32)sizeof(T)));
    }
    template <typename T> __aicore__ inline AscendC::LocalTensor<T> right() {
        return core.template local<T, AscendC::TPosition::B2>((u32)(turn * L0_HALF), (u32)(L0_HALF / (i32)sizeof(T)));
    }
    __aicore__ inline void begin() { WaitFlag<HardEvent::M_MTE1>(4 + turn); }       // the half may be filled
    __aicore__ inline void filled() {
        SetFlag<HardEvent::MTE1_M>(4 + turn);
        WaitFlag<HardEvent::MTE1_M>(4 + turn);
    }
    __aicore__ inline void end() {                                                   // it has been read
        SetFlag<HardEvent::M_MTE1>(4 + turn);
        turn ^= 1;
    }
    __aicore__ inline void finish() {
        WaitFlag<HardEvent::M_MTE1>(4);
        WaitFlag<HardEvent::M_MTE1>(5);
    }
};

// ---------------------------------------------------------------- global memory to L1
template <typename T> DSLC_FN void zero_panel(AscendC::LocalTensor<T> at, i32 bytes) {
    AscendC::InitConstValueParams<u32> fill;
    fill.repeatTimes = 1;
    fill.blockNum = (u16)(bytes / 32);
    fill.dstGap = 0;
    fill.initValue = 0;
    AscendC::InitConstValue(at.template ReinterpretCast<u32>(), fill);
}

// `count` rows of `n` elements, `stride` elements apart, into a panel of `height` rows. A stride that the instruction cannot hold goes row by row.
template <typename T> DSLC_FN void copy_to_fractals(AscendC::LocalTensor<T> to, Global<T> from, index_t at, index_t stride, i32 count, i32 n, i32 height) {
    AscendC::Nd2NzParams block;
    block.ndNum = 1;
    block.dValue = (u16)n;
    block.srcNdMatrixStride = 0;
    block.dstNzC0Stride = (u16)height;
    block.dstNzNStride = 1;
    block.dstNzMatrixStride = 0;
    if (stride > 0 && stride <= 65535) {
        block.nValue = (u16)count;
        block.srcDValue = (u16)stride;
        AscendC::DataCopy(to, from[(u64)at], block);
    } else {
        block.nValue = 1;
        block.srcDValue = (u16)n;
        for (i32 r = 0; r < count; ++r) AscendC::DataCopy(to[r * block_elements<T>], from[(u64)(at + r * stride)], block);
    }
}

// A panel from rows `stride` elements apart; `at` is where element (0, 0) would be. Elements outside become zero; columns start inside.
template <typename T, i32 R, i32 C, bool B>
DSLC_FN void load(Panel<T, R, C, B> to, Global<T> from, index_t at, index_t stride, Inside rows, Inside columns) {
    constexpr i32 height = Panel<T, R, C, B>::height, width = Panel<T, R, C, B>::width;
    if (rows.first > 0 || rows.last < height || columns.last < width) {
        zero_panel(to.at, height * width * (i32)sizeof(T));
        PipeBarrier<PIPE_MTE2>();
    }
    if (rows.first >= rows.last || columns.last <= 0) return;
    if constexpr (B) {
        for (i32 block = rows.first / 16; block * 16 < rows.last; ++block) {
            const i32 first = most(rows.first, block * 16), last = least(rows.last, block * 16 + 16);
            copy_to_fractals(to.at[block * 16 * width + (first - block * 16) * block_elements<T>], from, at + first * stride, stride, last - first,
                             columns.last, 16);
        }
    } else {
        copy_to_fractals(to.at[rows.first * block_elements<T>], from, at + rows.first * stride, stride, rows.last - rows.first, columns.last, height);
    }
}

// ---------------------------------------------------------------- L1 to L0
template <typename T> DSLC_FN void load_fractals(AscendC::LocalTensor<T> to, AscendC::LocalTensor<T> from, i32 first, i32 count, i32 step, bool transpose) {
    AscendC::LoadData2DParams run;
    run.startIndex = (u16)first;
    run.repeatTimes = (u8)count;
    run.srcStride = (u16)step;
    run.sid = 0;
    run.dstGap = 0;
    run.ifTranspose = transpose;
    run.addrMode = 0;
    AscendC::LoadData(to, from, run);
}
// Squares of two fractals, transposed: `between` fractals lie between the two that a square becomes, `after` between the first ones of two squares.
template <typename T>
DSLC_FN void load_squares(AscendC::LocalTensor<T> to, AscendC::LocalTensor<T> from, i32 first, i32 count, i32 step, i32 after, i32 between) {
    AscendC::LoadData2dTransposeParams run;
    run.startIndex = (u16)first;
    run.repeatTimes = (u8)count;
    run.srcStride = (u16)step;
    run.dstGap = (u16)after;
    run.dstFracGap = (u16)between;
    run.addrMode = 0;
    AscendC::LoadDataWithTranspose(to, from, run);
}

// Columns k .. k + n - 1 of the left operand to L0A: rows of fractals of 16 x 32 bytes (zZ). A turned panel holds K down its rows.
template <bool turned, typename T, i32 R, i32 C, bool B> DSLC_FN void load_left(AscendC::LocalTensor<T> to, Panel<T, R, C, B> from, i32 k, i32 n) {
    constexpr i32 wide = block_elements<T>, height = Panel<T, R, C, B>::height, width = Panel<T, R, C, B>::width;
    constexpr i32 m = turned ? width : height;
    if constexpr (!turned) {
        for (i32 i = 0; i < m / 16; ++i) load_fractals(to[i * 16 * n], from.at, k / wide * (height / 16) + i, n / wide, height / 16, false);
    } else if constexpr (sizeof(T) == 2) {
        for (i32 i = 0; i < m / 16; ++i) load_fractals(to[i * 16 * n], from.at, i * (height / 16) + k / 16, n / 16, 1, true);
    } else if constexpr (sizeof(T) == 4) {
        static_assert(B, "squares of 4-byte elements lie along rows");
        for (i32 i = 0; i < m / 16; ++i) load_squares(to[i * 16 * n], from.at, k / 16 * (width / 16) + i, n / 16, width / 16, 1, 0);
    } else {
        for (i32 i = 0; i < m / 32; ++i) load_squares(to[i * 32 * n], from.at, i * (height / 32) + k / 32, n / 32, 1, 0, n / 32 - 1);
    }
}

// Rows k .. k + n - 1 of the right operand to L0B: rows of fractals of 32 bytes x 16, each transposed (nZ). A panel that is not turned holds K along its rows.
template <bool turned, typename T, i32 R, i32 C, bool B> DSLC_FN void load_right(AscendC::LocalTensor<T> to, Panel<T, R, C, B> from, i32 k, i32 n) {
    constexpr i32 wide = block_elements<T>, height = Panel<T, R, C, B>::height, width = Panel<T, R, C, B>::width;
    constexpr i32 across = (turned ? width : height) / 16;
    if constexpr (!turned) {
        const i32 every = n / wide * across;
        for (i32 i = 0; i < every; i += 255) load_fractals(to[i * 16 * wide], from.at, k / wide * across + i, least(255, every - i), 1, false);
    } else if constexpr (sizeof(T) == 2) {
        for (i32 i = 0; i < n / 16; ++i) load_fractals(to[i * across * 256], from.at, k / 16 + i, across, height / 16, true);
    } else if constexpr (sizeof(T) == 4) {
        static_assert(B, "squares of 4-byte elements lie along rows");
        for (i32 i = 0; i < n / 16; ++i) load_squares(to[i * across * 256], from.at, (k / 16 + i) * across, across, 1, 0, across - 1);
    } else {
        for (i32 i = 0; i < n / 32; ++i) load_squares(to[i * across * 512], from.at, k / 32 + i, across / 2, height / 32, 1, 0);
    }
}

// ---------------------------------------------------------------- products
template <typename S, typename T>
DSLC_FN void multiply_halves(Halves &l0, AscendC::LocalTensor<S> to, AscendC::LocalTensor<T> a, AscendC::LocalTensor<T> b, i32 m, i32 n, i32 k, bool first) {
    AscendC::MmadParams sizes;
    sizes.m = (u16)m;
    sizes.n = (u16)n;
    sizes.k = (u16)k;
    sizes.cmatrixInitVal = first;
    sizes.cmatrixSource = false;
    sizes.unitFlag = 0;
    AscendC::Mmad(to, a, b, sizes);
    l0.end();
}

// to = a b (starts), or to + a b. K goes through L0 in pieces that fill a half. Sums of few fractals need a barrier from product to product
// (CANN documentation, Basic API, Mmad: (m / 16) * (n / 16) < 10).
template <bool turned_left, bool turned_right, typename S, i32 M, i32 N, class A, class B>
DSLC_FN void multiply(Halves &l0, Sum<S, M, N> &to, A a, B b, bool starts) {
    using T = typename A::element;
    constexpr i32 m = Sum<S, M, N>::height, n = Sum<S, M, N>::width, k = turned_left ? A::height : A::width;
    static_assert(m == (turned_left ? A::width : A::height) && n == (turned_right ? B::width : B::height) && k == (turned_right ? B::height : B::width),
                  "operands and sum fit");
    constexpr i32 most_k = L0_HALF / (i32)sizeof(T) / (m > n ? m : n) / square<T> * square<T>;
    for (i32 at = 0; at < k; at += most_k) {
        const i32 piece = least(most_k, k - at);
        const AscendC::LocalTensor<T> left = l0.template left<T>(), right = l0.template right<T>();
        l0.begin();
        load_left<turned_left>(left, a, at, piece);
        load_right<turned_right>(right, b, at, piece);
        l0.filled();
        const bool first = at == 0 && (starts || to.fresh);
        if constexpr (m / 16 * (n / 16) < 10) {
            if (!first) PipeBarrier<PIPE_M>();
        }
        multiply_halves(l0, to.at, left, right, m, n, piece, first);
    }
    to.fresh = false;
}

template <class S> struct Multiplied { using type = f16; };
template <> struct Multiplied<i32> { using type = i8; };
// What no product was added to becomes zero: a product of zeros.
template <typename S, i32 M, i32 N> DSLC_FN void settle(Halves &l0, Sum<S, M, N> &sum) {
    if (!sum.fresh) return;
    constexpr i32 m = Sum<S, M, N>::height, n = Sum<S, M, N>::width, k = sum_square<S>;
    AscendC::InitConstValueParams<u32> fill;
    fill.repeatTimes = 1;
    fill.dstGap = 0;
    fill.initValue = 0;
    l0.begin();
    using T = typename Multiplied<S>::type;
    fill.blockNum = (u16)(m / 16);
    AscendC::InitConstValue(l0.template left<u32>(), fill);
    fill.blockNum = (u16)(n / 16);
    AscendC::InitConstValue(l0.template right<u32>(), fill);
    l0.filled();
    multiply_halves(l0, sum.at, l0.template left<T>(), l0.template right<T>(), m, n, k, true);
    sum.fresh = false;
    SetFlag<HardEvent::M_FIX>(4);
    WaitFlag<HardEvent::M_FIX>(4);
}

// ---------------------------------------------------------------- L0C to global memory
template <class U> struct Quantised { static constexpr AscendC::QuantMode_t mode = QuantMode_t::NoQuant; };
template <> struct Quantised<f16> { static constexpr AscendC::QuantMode_t mode = QuantMode_t::F322F16; };
template <> struct Quantised<bf16> { static constexpr AscendC::QuantMode_t mode = QuantMode_t::F322BF16; };

// Rows of the sum to rows `stride` elements apart; `at` is where element (0, 0) would go. Elements outside are dropped; columns start inside.
template <typename U, typename S, i32 M, i32 N>
DSLC_FN void store(Halves &l0, Global<U> to, index_t at, index_t stride, Sum<S, M, N> &from, Inside rows, Inside columns) {
    settle(l0, from);
    if (rows.first >= rows.last || columns.last <= 0) return;
    AscendC::FixpipeParamsV220 block;
    block.nSize = (u16)columns.last;
    block.srcStride = (u16)Sum<S, M, N>::height;
    block.quantPre = Quantised<U>::mode;
    block.deqScalar = 0;
    block.ndNum = 1;
    block.srcNdStride = 0;
    block.dstNdStride = 0;
    block.reluEn = false;
    block.unitFlag = 0;
    block.isChannelSplit = false;
    if (stride > 0 && stride < ((index_t)1 << 32)) {
        block.mSize = (u16)(rows.last - rows.first);
        block.dstStride = (u32)stride;
        AscendC::Fixpipe<U, S, AscendC::CFG_ROW_MAJOR>(to[(u64)(at + rows.first * stride)], from.at[rows.first * 16], block);
    } else {
        block.mSize = 1;
        block.dstStride = (u32)columns.last;
        for (i32 r = rows.first; r < rows.last; ++r) AscendC::Fixpipe<U, S, AscendC::CFG_ROW_MAJOR>(to[(u64)(at + r * stride)], from.at[r * 16], block);
    }
}

// ---------------------------------------------------------------- rings
// Slots in global memory for tiles that cross from one kind of core to the other. Flag 2 E says that a slot is ready, 2 E + 1 that one is free again; each
// counts, and the two sides use the slots in the same order. A single column is a row to the vector cores, its elements one after another.
template <typename T, i32 R, i32 C, i32 S, i32 E> struct Ring {
    static constexpr i32 rows = R, columns = C, slots = S, pitch = C == 1 ? 1 : up_to(C, block_elements<T>);
    static constexpr u16 ready = 2 * E, free = 2 * E + 1;
    Global<T> at;
    i32 turn = 0;
    __aicore__ inline Ring(GM_ADDR workspace, u64 first) : at(global<T>(workspace + first)) {}
    __aicore__ inline index_t slot() const { return (index_t)turn * (R * pitch); }
    __aicore__ inline void next() { turn = turn + 1 == S ? 0 : turn + 1; }
};
// Who takes says at first that all slots are free; who puts waits for that at last, by the pipe that put (another one would get ahead of it), so that every
// flag ends at zero.
template <typename T, i32 R, i32 C, i32 S, i32 E> DSLC_FN void open(Ring<T, R, C, S, E> &) {
    for (i32 s = 0; s < S; ++s) AscendC::CrossCoreSetFlag<2, PIPE_MTE2>(Ring<T, R, C, S, E>::free);
}
template <pipe_t pipe, typename T, i32 R, i32 C, i32 S, i32 E> DSLC_FN void close(Ring<T, R, C, S, E> &) {
    for (i32 s = 0; s < S; ++s) AscendC::CrossCoreWaitFlag<2, pipe>(Ring<T, R, C, S, E>::free);
}
// From the cube core.
template <typename T, i32 R, i32 C, i32 S, i32 E> DSLC_FN void put(Halves &l0, Ring<T, R, C, S, E> &ring, Sum<T, R, C> &from) {
    AscendC::CrossCoreWaitFlag<2, PIPE_FIX>(ring.free);
    store(l0, ring.at, ring.slot(), ring.pitch, from, Inside{0, R}, Inside{0, C});
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(ring.ready);
    ring.next();
}
// To the cube core.
template <typename T, i32 R, i32 C, i32 S, i32 E, i32 H, i32 W, bool B> DSLC_FN void take(Panel<T, H, W, B> to, Ring<T, R, C, S, E> &ring) {
    AscendC::CrossCoreWaitFlag<2, PIPE_MTE2>(ring.ready);
    load(to, ring.at, ring.slot(), ring.pitch, Inside{0, R}, Inside{0, C});
    AscendC::CrossCoreSetFlag<2, PIPE_MTE2>(ring.free);
    ring.next();
}
// From the vector cores: rows from `first` on, or nothing where the other core puts all of them.
template <typename T, i32 R, i32 C, i32 S, i32 E, i32 H, i32 W, i32 P>
DSLC_FN void put(Ring<T, R, C, S, E> &ring, Tile<T, H, W, P> from, index_t first, bool mine) {
    AscendC::CrossCoreWaitFlag<2, PIPE_MTE3>(ring.free);
    if (mine) store(ring.at, ring.slot() + first * ring.pitch, ring.pitch, from);
    AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(ring.ready);
    ring.next();
}
// To the vector cores.
template <typename T, i32 R, i32 C, i32 S, i32 E, i32 H, i32 W, i32 P>
DSLC_FN void take(Tile<T, H, W, P> to, Ring<T, R, C, S, E> &ring, index_t first) {
    AscendC::CrossCoreWaitFlag<2, PIPE_MTE2>(ring.ready);
    load(to, ring.at, ring.slot() + first * ring.pitch, ring.pitch, T());
    AscendC::CrossCoreSetFlag<2, PIPE_MTE2>(ring.free);
    ring.next();
}

#endif
