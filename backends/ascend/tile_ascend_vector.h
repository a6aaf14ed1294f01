// The vector unit: what the ops of the language are on tiles in UB, written with the basic API and its own barriers.
//
// A function's operands are tiles of the result's shape, row(x) (one row for all rows), column(x) (one element for each row) or scalars. Its inputs
// are complete on its first pipe; it orders its own steps and does not wait at its end. Tiles have initialised padding, so elementwise
// steps run over rows x pitch elements in one instruction. Functions whose name ends in `_by_element` use the scalar unit.
//
// What needs room takes `scratch`: first one block of 32 bytes for each of 128 rows, then two bit masks, then spare chunks.
#ifndef DSLC_TILE_ASCEND_VECTOR_H
#define DSLC_TILE_ASCEND_VECTOR_H

#include "tile_ascend.h"

template <class T> using Local = AscendC::LocalTensor<T>;
using Bytes = Local<u8>;
using AscendC::CMPMODE;
using AscendC::RoundMode;
using AscendC::SELMODE;

#define DSLC_MEMBER __aicore__ inline                       // of a struct, on an object

static constexpr i32 most_repeats = 255;                    // of one instruction, in steps of 256 bytes
static constexpr i32 most_stride = 255;                     // 32-byte blocks from one repeat to the next
static constexpr i32 chunk = 1024;                          // elements that a function of several steps does at a time
static constexpr i32 chunk_bytes = 4 * chunk;
static constexpr i32 block_rows = 128;                      // rows of a column operand that are spread at a time
static constexpr i32 mask_bytes = chunk / 8 + 128;          // bits of one chunk, rounded up to whole repeats of halves
template <class T> static constexpr i32 lanes = 256 / (i32)sizeof(T);        // elements of one repeat
template <class T> static constexpr i32 per_block = 32 / (i32)sizeof(T);     // elements of one block

DSLC_FN constexpr i32 smaller(i32 a, i32 b) { return a < b ? a : b; }
DSLC_FN constexpr i32 larger(i32 a, i32 b) { return a > b ? a : b; }
DSLC_FN constexpr i32 round_up(i32 n, i32 to) { return (n + to - 1) / to * to; }
DSLC_FN void vector_barrier() { AscendC::PipeBarrier<PIPE_V>(); }

// ---------------------------------------------------------------- scratch
template <class T> DSLC_FN Local<T> blocks(Bytes scratch) { return scratch.template ReinterpretCast<T>(); }
DSLC_FN Bytes mask(Bytes scratch, i32 n) { return scratch[block_rows * 32 + n * mask_bytes]; }
template <class T> DSLC_FN Local<T> spare(Bytes scratch, i32 n) {
    return scratch[block_rows * 32 + 2 * mask_bytes + n * chunk_bytes].template ReinterpretCast<T>();
}

// ---------------------------------------------------------------- operands
// A tile of one element, for all elements of the result.
template <class X> struct Single {
    X tile;
};
template <class X> DSLC_FN Single<X> single(X tile) { return Single<X>{tile}; }

enum class OperandKind { tile, row, column, single, scalar };
template <class X> struct Operand {
    static constexpr OperandKind kind = OperandKind::scalar;
};
template <class T, i32 R, i32 C, i32 P> struct Operand<Tile<T, R, C, P>> {
    static constexpr OperandKind kind = OperandKind::tile;
};
template <class X> struct Operand<Row<X>> {
    static constexpr OperandKind kind = OperandKind::row;
};
template <class X> struct Operand<Column<X>> {
    static constexpr OperandKind kind = OperandKind::column;
};
template <class X> struct Operand<Single<X>> {
    static constexpr OperandKind kind = OperandKind::single;
};
template <class X> static constexpr OperandKind kind_of = Operand<X>::kind;
template <class X> static constexpr bool is_scalar = kind_of<X> == OperandKind::scalar;
template <class X> static constexpr bool is_tile = kind_of<X> == OperandKind::tile;
template <class X> static constexpr bool is_column = kind_of<X> == OperandKind::column;

// The memory behind an operand; a scalar has none.
template <class T, i32 R, i32 C, i32 P> DSLC_FN Local<T> memory(Tile<T, R, C, P> x) { return x.at; }
template <class X> DSLC_FN auto memory(Row<X> x) { return x.tile.at; }
template <class X> DSLC_FN auto memory(Column<X> x) { return x.tile.at; }
template <class X> DSLC_FN auto memory(Single<X> x) { return x.tile.at; }

// The same bits as elements of another type of the same size.
template <class U, class T> DSLC_FN U as(T x) { return (U)x; }
template <class U, class T, i32 R, i32 C, i32 P> DSLC_FN Tile<U, R, C, P> as(Tile<T, R, C, P> x) { return {x.at.template ReinterpretCast<U>()}; }
template <class U, class X> DSLC_FN auto as(Row<X> x) { return row(as<U>(x.tile)); }
template <class U, class X> DSLC_FN auto as(Column<X> x) { return column(as<U>(x.tile)); }
template <class U, class X> DSLC_FN auto as(Single<X> x) { return single(as<U>(x.tile)); }

// ---------------------------------------------------------------- instructions with two operands
#define DSLC_BINARY_INSTRUCTION(NAME)                                                                                                  \
    struct NAME##Instruction {                                                                                                         \
        template <class T> DSLC_FN void counted(Local<T> d, Local<T> x, Local<T> y, i32 n) { AscendC::NAME(d, x, y, n); }       \
        template <class T> DSLC_FN void strided(Local<T> d, Local<T> x, Local<T> y, i32 lanes, i32 repeats,                     \
                                                       const AscendC::BinaryRepeatParams &p) {                                         \
            AscendC::NAME(d, x, y, (u64)lanes, (u8)repeats, p);                                                                        \
        }                                                                                                                              \
    };
DSLC_BINARY_INSTRUCTION(Add)
DSLC_BINARY_INSTRUCTION(Sub)
DSLC_BINARY_INSTRUCTION(Mul)
DSLC_BINARY_INSTRUCTION(Div)
DSLC_BINARY_INSTRUCTION(Max)
DSLC_BINARY_INSTRUCTION(Min)
DSLC_BINARY_INSTRUCTION(And)
DSLC_BINARY_INSTRUCTION(Or)
#undef DSLC_BINARY_INSTRUCTION

// How an operand is walked: `row` elements lead from one row to the next; if `still`, one block stands for all of a row.
template <class T> struct Walk {
    Local<T> at;
    i32 row;
    bool still;
    DSLC_MEMBER Local<T> from(i32 r, i32 c) { return at[r * row + (still ? 0 : c)]; }
};

// d[r][c] = x[r][c] op y[r][c] for `rows` rows of `width` elements: repeats go down the rows or along them, whichever takes fewer instructions.
template <class I, class T> DSLC_FN void by_rows(Local<T> d, i32 d_row, Walk<T> x, Walk<T> y, i32 rows, i32 width) {
    constexpr i32 L = lanes<T>, B = per_block<T>;
    AscendC::BinaryRepeatParams p;
    p.dstBlkStride = 1;
    p.src0BlkStride = x.still ? 0 : 1;
    p.src1BlkStride = y.still ? 0 : 1;
    const bool reaches = d_row / B <= most_stride && x.row / B <= most_stride && y.row / B <= most_stride;
    if (reaches && round_up(width, L) / L * (round_up(rows, most_repeats) / most_repeats) <= rows) {
        p.dstRepStride = (u8)(d_row / B);
        p.src0RepStride = (u8)(x.row / B);
        p.src1RepStride = (u8)(y.row / B);
        for (i32 c = 0; c < width; c += L)
            for (i32 r = 0; r < rows; r += most_repeats)
                I::strided(d[r * d_row + c], x.from(r, c), y.from(r, c), smaller(L, width - c), smaller(most_repeats, rows - r), p);
        return;
    }
    p.dstRepStride = 8;
    p.src0RepStride = x.still ? 0 : 8;
    p.src1RepStride = y.still ? 0 : 8;
    for (i32 r = 0; r < rows; ++r) {
        if (!x.still && !y.still) {
            I::counted(d[r * d_row], x.from(r, 0), y.from(r, 0), width);
            continue;
        }
        const i32 whole = width / L;
        for (i32 n = 0; n < whole; n += most_repeats)
            I::strided(d[r * d_row + n * L], x.from(r, n * L), y.from(r, n * L), L, smaller(most_repeats, whole - n), p);
        if (width % L) I::strided(d[r * d_row + whole * L], x.from(r, whole * L), y.from(r, whole * L), width % L, 1, p);
    }
}

// The same value n times, by its bits; a bool is a half 0 or 1. Types of 1 byte fill pairs.
template <class T, class V> DSLC_FN void fill(Local<T> d, V value, i32 n) {
    if constexpr (std::is_same_v<V, bool> && std::is_same_v<T, half>) AscendC::Duplicate(d.template ReinterpretCast<u16>(), (u16)(value ? 0x3c00 : 0), n);
    else if constexpr (sizeof(T) == 1 && sizeof(V) == 1) AscendC::Duplicate(d.template ReinterpretCast<u16>(), (u16)(bitcast<u8>(value) * 0x101), n / 2);
    else if constexpr (sizeof(T) == 2) AscendC::Duplicate(d.template ReinterpretCast<u16>(), bitcast<u16>((T)value), n);
    else if constexpr (sizeof(T) == 4) AscendC::Duplicate(d.template ReinterpretCast<u32>(), bitcast<u32>((T)value), n);
    else {
        static_assert(sizeof(T) == 1, "elements of 8 bytes are filled by the scalar unit");
        fill(d, (T)value, n);
    }
}
template <class T> DSLC_FN void clear(Local<T> d, i32 n) { AscendC::Duplicate(d.template ReinterpretCast<u16>(), (u16)0, (i32)(n * sizeof(T) / 2)); }

// Each of n elements as a block of its own; reads up to a multiple of 8.
template <class T> DSLC_FN void spread_blocks(Local<T> to, Local<T> x, i32 n) {
    AscendC::BrcbRepeatParams p;
    p.dstBlkStride = 1;
    p.dstRepStride = 8;
    AscendC::Brcb(to, x, (u8)(round_up(n, 8) / 8), p);
}

// Whether an operand must first be put into blocks.
template <class X> static constexpr bool needs_block = kind_of<X> != OperandKind::tile && kind_of<X> != OperandKind::row;

// The walk over `rows` rows from `r` on; blocks that it needs are made at the start of `scratch`, for a scalar at their end.
template <class T, class X> DSLC_FN Walk<T> walk(X x, i32 r, i32 c, i32 rows, i32 pitch, Bytes scratch) {
    if constexpr (kind_of<X> == OperandKind::scalar) {
        Local<T> at = blocks<T>(mask(scratch, 1));          // a mask of its own is never needed beside a scalar that is in a block
        fill(at, x, per_block<T>);
        return {at, 0, true};
    } else if constexpr (kind_of<X> == OperandKind::column) {
        const i32 first = r / 16 * 16;                      // where a block of any type starts
        spread_blocks(blocks<T>(scratch), memory(x)[first], r - first + rows);
        return {blocks<T>(scratch)[(r - first) * per_block<T>], per_block<T>, true};
    } else if constexpr (kind_of<X> == OperandKind::single) {
        spread_blocks(blocks<T>(scratch), memory(x), 1);
        return {blocks<T>(scratch), 0, true};
    } else if constexpr (kind_of<X> == OperandKind::row) {
        return {memory(x)[c], 0, false};
    } else {
        return {memory(x)[r * pitch + c], pitch, false};
    }
}

template <class I, class T, i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void binary(Tile<T, R, C, P> d, X x, Y y, Bytes scratch) {
    constexpr bool rows_differ = kind_of<X> == OperandKind::row || kind_of<Y> == OperandKind::row || is_column<X> || is_column<Y>;
    if constexpr (is_tile<X> && is_tile<Y>) {
        I::counted(d.at, x.at, y.at, R * P);
    } else if constexpr (!rows_differ) {
        Walk<T> a = walk<T>(x, 0, 0, 1, R * P, scratch), b = walk<T>(y, 0, 0, 1, R * P, scratch);
        vector_barrier();
        by_rows<I>(d.at, R * P, a, b, 1, R * P);
    } else {
        constexpr i32 step = is_column<X> || is_column<Y> ? block_rows : R;
        for (i32 r = 0; r < R; r += step) {
            if (r) vector_barrier();
            const i32 n = smaller(step, R - r);
            Walk<T> a = walk<T>(x, r, 0, n, P, scratch), b = walk<T>(y, r, 0, n, P, scratch);
            if constexpr (needs_block<X> || needs_block<Y>) vector_barrier();
            by_rows<I>(d.at[r * P], P, a, b, n, P);
        }
    }
}

// ---------------------------------------------------------------- arithmetic
template <class T> struct Signed {
    using type = T;
};
template <> struct Signed<u32> {
    using type = i32;
};
template <> struct Signed<u16> {
    using type = i16;
};
template <class T> using SignedOf = typename Signed<T>::type;      // sums, differences and products have the same bits

template <class T, i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void add(Tile<T, R, C, P> d, X x, Y y, Bytes scratch) {
    using S = SignedOf<T>;
    if constexpr (is_tile<X> && is_scalar<Y>) AscendC::Adds(as<S>(d).at, as<S>(x).at, (S)y, R * P);
    else if constexpr (is_scalar<X> && is_tile<Y>) AscendC::Adds(as<S>(d).at, as<S>(y).at, (S)x, R * P);
    else binary<AddInstruction>(as<S>(d), as<S>(x), as<S>(y), scratch);
}
template <class T, i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void sub(Tile<T, R, C, P> d, X x, Y y, Bytes scratch) {
    using S = SignedOf<T>;
    if constexpr (is_tile<X> && is_scalar<Y>) AscendC::Adds(as<S>(d).at, as<S>(x).at, negate((S)y), R * P);
    else binary<SubInstruction>(as<S>(d), as<S>(x), as<S>(y), scratch);
}
template <class T, i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void mul(Tile<T, R, C, P> d, X x, Y y, Bytes scratch) {
    using S = SignedOf<T>;
    if constexpr (is_tile<X> && is_scalar<Y>) AscendC::Muls(as<S>(d).at, as<S>(x).at, (S)y, R * P);
    else if constexpr (is_scalar<X> && is_tile<Y>) AscendC::Muls(as<S>(d).at, as<S>(y).at, (S)x, R * P);
    else binary<MulInstruction>(as<S>(d), as<S>(x), as<S>(y), scratch);
}
template <class T, i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void div(Tile<T, R, C, P> d, X x, Y y, Bytes scratch) {
    binary<DivInstruction>(d, x, y, scratch);
}
template <class T, i32 R, i32 C, i32 P> DSLC_FN void neg(Tile<T, R, C, P> d, Tile<T, R, C, P> x) {
    using S = SignedOf<T>;
    AscendC::Muls(as<S>(d).at, as<S>(x).at, (S)-1, R * P);
}
// Two roundings: the unit's own multiply-add is not known to round once.
template <i32 R, i32 C, i32 P, class X, class Y, class Z> DSLC_FN void fma(Tile<f32, R, C, P> d, X x, Y y, Z z, Bytes scratch) {
    mul(d, x, y, scratch);
    vector_barrier();
    add(d, d, z, scratch);
}
template <i32 R, i32 C, i32 P> DSLC_FN void abs(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x) { AscendC::Abs(d.at, x.at, R * P); }
// The greater of x and -x, which for the least integer is itself.
template <i32 R, i32 C, i32 P> DSLC_FN void abs(Tile<i32, R, C, P> d, Tile<i32, R, C, P> x, Bytes scratch) {
    Local<i32> negative = spare<i32>(scratch, 0);
    for (i32 at = 0; at < R * P; at += chunk) {
        if (at) vector_barrier();
        const i32 n = smaller(chunk, R * P - at);
        AscendC::Muls(negative, x.at[at], -1, n);
        vector_barrier();
        AscendC::Max(d.at[at], x.at[at], negative, n);
    }
}

// ---------------------------------------------------------------- copies of bits
// `rows` rows of `width` elements of 2 or 4 bytes; if `still`, a source row is one block.
template <class T> DSLC_FN void copy_rows(Local<T> d, i32 d_row, Local<T> x, i32 x_row, bool still, i32 rows, i32 width) {
    constexpr i32 L = lanes<T>, B = per_block<T>;
    AscendC::CopyRepeatParams p;
    p.dstStride = 1;
    p.srcStride = still ? 0 : 1;
    const bool reaches = d_row / B <= most_stride && x_row / B <= most_stride;
    if (reaches && round_up(width, L) / L * (round_up(rows, most_repeats) / most_repeats) <= rows) {
        p.dstRepeatSize = (u16)(d_row / B);
        p.srcRepeatSize = (u16)(x_row / B);
        for (i32 c = 0; c < width; c += L)
            for (i32 r = 0; r < rows; r += most_repeats)
                AscendC::Copy(d[r * d_row + c], x[r * x_row + (still ? 0 : c)], (u64)smaller(L, width - c), (u8)smaller(most_repeats, rows - r), p);
        return;
    }
    p.dstRepeatSize = 8;
    p.srcRepeatSize = still ? 0 : 8;
    for (i32 r = 0; r < rows; ++r) {
        const i32 whole = width / L;
        for (i32 n = 0; n < whole; n += most_repeats)
            AscendC::Copy(d[r * d_row + n * L], x[r * x_row + (still ? 0 : n * L)], (u64)L, (u8)smaller(most_repeats, whole - n), p);
        if (width % L) AscendC::Copy(d[r * d_row + whole * L], x[r * x_row + (still ? 0 : whole * L)], (u64)(width % L), (u8)1, p);
    }
}
// n elements of any type that fill whole blocks.
template <class T> DSLC_FN void copy_flat(Local<T> d, Local<T> x, i32 n) {
    const i32 words = (i32)(n * sizeof(T) / 2);
    copy_rows(d.template ReinterpretCast<u16>(), 0, x.template ReinterpretCast<u16>(), 0, false, 1, words);
}
template <class T, i32 R, i32 C, i32 P> DSLC_FN void copy(Tile<T, R, C, P> d, Tile<T, R, C, P> x) { copy_flat(d.at, x.at, R * P); }

template <class T, i32 R, i32 C, i32 P, class V> DSLC_FN void full(Tile<T, R, C, P> d, V value) { fill(d.at, value, R * P); }
template <i32 R, i32 C, i32 P> DSLC_FN void iota(Tile<i32, R, C, P> d) { AscendC::CreateVecIndex(d.at, (i32)0, (u32)(R * P)); }

// ---------------------------------------------------------------- pieces: functions of several steps
// One chunk at a time: whole rows of a narrow tile, a part of a row of a wide one.
template <i32 R, i32 P> struct Piece {
    static constexpr i32 tall = P >= chunk ? 1 : smaller(R, smaller(chunk / P, block_rows - 16)), wide = smaller(P, chunk);
    i32 row = 0, column = 0, end = R;
    DSLC_MEMBER bool more() { return row < end; }
    DSLC_MEMBER i32 rows() { return smaller(tall, end - row); }
    DSLC_MEMBER i32 columns() { return smaller(wide, P - column); }
    DSLC_MEMBER i32 at() { return row * P + column; }
    DSLC_MEMBER i32 n() { return rows() * columns(); }
    DSLC_MEMBER void next() {                                    // the next one uses the same scratch
        column += wide;
        if (column >= P) column = 0, row += tall;
        if (more()) vector_barrier();
    }
};

// A piece of an operand as whole repeats of consecutive elements of T, copied to `room` unless it is that already; what the last repeat has
// too much is 0. Ends with a barrier if it did anything.
template <class T, class X, i32 R, i32 P> DSLC_FN Local<T> fetch(X x, Piece<R, P> p, Local<T> room, Bytes scratch) {
    const i32 n = p.n(), whole = round_up(n, lanes<T>);
    if constexpr (kind_of<X> == OperandKind::scalar) {
        fill(room, x, whole);
        vector_barrier();
        return room;
    } else {
        constexpr bool spread = needs_block<X>;
        if constexpr (!spread) {
            Local<T> at = memory(x)[is_tile<X> ? p.at() : p.column];
            if ((is_tile<X> || p.rows() == 1) && n == whole) return at;
        }
        if (n != whole) {
            clear(room[whole - lanes<T>], lanes<T>);
            vector_barrier();
        }
        if constexpr (spread) {
            Walk<T> from = walk<T>(x, p.row, 0, p.rows(), P, scratch);
            vector_barrier();
            copy_rows(room, p.columns(), from.at, from.row, true, p.rows(), p.columns());
        } else {
            copy_rows(room, p.columns(), memory(x)[is_tile<X> ? p.at() : p.column], is_tile<X> ? P : 0, false, p.rows(), p.columns());
        }
        vector_barrier();
        return room;
    }
}

// ---------------------------------------------------------------- comparison, selection
// bits[i] = x[i] MODE y[i], of whole repeats of floats.
template <CMPMODE mode, class Y> DSLC_FN void compare_bits(Bytes bits, Local<f32> x, Y y, i32 whole) {
    if constexpr (is_scalar<Y> && !std::is_same_v<Y, Local<f32>>) AscendC::CompareScalar(bits, x, (f32)y, mode, whole);
    else AscendC::Compare(bits, x, y, mode, whole);
}
// Where the bits hold `there`, else `elsewhere`: tiles of bools from masks.
DSLC_FN void bools_from(Local<half> d, Bytes bits, bool there, i32 n) {
    fill(d, there, n);
    vector_barrier();
    AscendC::Select(d, bits, d, (half)(there ? 0.0f : 1.0f), SELMODE::VSEL_TENSOR_SCALAR_MODE, n);
}

// A comparison of floats. `holds` false: the opposite of what the mode says (a NaN is unequal to all).
template <CMPMODE mode, bool holds, i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void compare(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) {
    for (Piece<R, P> p; p.more(); p.next()) {
        const i32 whole = round_up(p.n(), lanes<f32>);
        Local<f32> a = fetch<f32>(x, p, spare<f32>(scratch, 0), scratch);
        if constexpr (is_scalar<Y>) compare_bits<mode>(mask(scratch, 0), a, y, whole);
        else compare_bits<mode>(mask(scratch, 0), a, fetch<f32>(y, p, spare<f32>(scratch, 1), scratch), whole);
        vector_barrier();
        bools_from(d.at[p.at()], mask(scratch, 0), holds, p.n());
    }
}

// A comparison of i32 by the sign of f32(x - y), which is exact for the sign: `near` says that the difference does not wrap. Otherwise x <= y
// is min(x, y) - x == 0, where a difference that wraps is not zero either.
template <CMPMODE mode, bool holds, bool near, i32 R, i32 C, i32 P, class X, class Y>
DSLC_FN void compare_integers(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) {
    constexpr i32 L = lanes<i32>;
    Local<i32> least = spare<i32>(scratch, 0), difference = spare<i32>(scratch, 1);
    Local<f32> sign = spare<f32>(scratch, 2);
    for (Piece<R, P> p; p.more(); p.next()) {
        const i32 n = p.n(), whole = round_up(n, L), w = p.columns();
        if (n != whole) fill(sign[whole - L], 0.0f, L);
        Walk<i32> a = walk<i32>(x, p.row, p.column, p.rows(), P, scratch), b = walk<i32>(y, p.row, p.column, p.rows(), P, scratch);
        if (n != whole || needs_block<X> || needs_block<Y>) vector_barrier();
        if constexpr (near || mode == CMPMODE::EQ) {
            by_rows<SubInstruction>(difference, w, a, b, p.rows(), w);
        } else {
            by_rows<MinInstruction>(least, w, a, b, p.rows(), w);
            vector_barrier();
            by_rows<SubInstruction>(difference, w, Walk<i32>{least, w, false}, mode == CMPMODE::LE ? a : b, p.rows(), w);
        }
        vector_barrier();
        AscendC::Cast(sign, difference, RoundMode::CAST_RINT, n);
        vector_barrier();
        if constexpr (near || mode == CMPMODE::EQ) compare_bits<mode>(mask(scratch, 0), sign, 0.0f, whole);
        else compare_bits<CMPMODE::EQ>(mask(scratch, 0), sign, 0.0f, whole);
        vector_barrier();
        // x < y is not y <= x
        bools_from(d.at[p.at()], mask(scratch, 0), near || mode != CMPMODE::LT ? holds : !holds, n);
    }
}

#define DSLC_COMPARISON(NAME, MODE, HOLDS)                                                                                                \
    template <i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void NAME(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) {                  \
        compare<CMPMODE::MODE, HOLDS>(d, x, y, scratch);                                                                                  \
    }                                                                                                                                     \
    template <i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void NAME##_integers(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) {       \
        compare_integers<CMPMODE::MODE, HOLDS, false>(d, x, y, scratch);                                                                  \
    }                                                                                                                                     \
    template <i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void NAME##_near_integers(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) {  \
        compare_integers<CMPMODE::MODE, HOLDS, true>(d, x, y, scratch);                                                                   \
    }
DSLC_COMPARISON(lt, LT, true)
DSLC_COMPARISON(le, LE, true)
DSLC_COMPARISON(eq, EQ, true)
DSLC_COMPARISON(ne, EQ, false)
#undef DSLC_COMPARISON

// d = bits ? x : y for n elements of 2 or 4 bytes; the bits of integers pass through the unit unchanged.
template <class T> DSLC_FN void select(Local<T> d, Bytes bits, Local<T> x, Local<T> y, i32 n) {
    using F = std::conditional_t<sizeof(T) == 4, f32, half>;
    AscendC::Select(d.template ReinterpretCast<F>(), bits, x.template ReinterpretCast<F>(), y.template ReinterpretCast<F>(),
                    SELMODE::VSEL_TENSOR_TENSOR_MODE, n);
}
// d = bits ? x : a number.
DSLC_FN void select(Local<f32> d, Bytes bits, Local<f32> x, f32 y, i32 n) { AscendC::Select(d, bits, x, y, SELMODE::VSEL_TENSOR_SCALAR_MODE, n); }

// The bits of a piece of a condition; as `holds` says, or their opposite. One that is spread is widened first, since rows of halves would not start at
// whole blocks where those of floats do.
template <class X, i32 R, i32 P> DSLC_FN Bytes condition_bits(X c, Piece<R, P> p, bool holds, Bytes scratch) {
    if constexpr (is_tile<X> || is_scalar<X>) {
        Local<half> at = fetch<half>(c, p, spare<half>(scratch, 0), scratch);
        AscendC::CompareScalar(mask(scratch, 0), at, (half)0.5f, holds ? CMPMODE::GT : CMPMODE::LT, round_up(p.n(), lanes<half>));
    } else {
        constexpr bool along = kind_of<X> == OperandKind::row, down = is_column<X>;
        const i32 rows = p.rows(), width = p.columns(), whole = round_up(p.n(), lanes<f32>);
        const i32 first = along ? p.column : down ? p.row / 16 * 16 : 0, count = along ? width : down ? p.row - first + rows : 1;
        Local<f32> own = spare<f32>(scratch, 3), at = spare<f32>(scratch, 4);
        AscendC::Cast(own, memory(c)[first], RoundMode::CAST_NONE, round_up(count, 8));
        if (p.n() != whole) clear(at[whole - lanes<f32>], lanes<f32>);
        vector_barrier();
        if constexpr (along) {
            copy_rows(at, width, own, 0, false, rows, width);
        } else {
            spread_blocks(blocks<f32>(scratch), own, count);
            vector_barrier();
            copy_rows(at, width, blocks<f32>(scratch)[down ? (p.row - first) * per_block<f32> : 0], down ? per_block<f32> : 0, true, rows, width);
        }
        vector_barrier();
        AscendC::CompareScalar(mask(scratch, 0), at, 0.5f, holds ? CMPMODE::GT : CMPMODE::LT, whole);
    }
    vector_barrier();
    return mask(scratch, 0);
}

// Elements of 1 byte are compared and chosen as halves, which hold them exactly.
template <class T, i32 R, i32 C, i32 P, class B, class X, class Y> DSLC_FN void where(Tile<T, R, C, P> d, B c, X x, Y y, Bytes scratch) {
    for (Piece<R, P> p; p.more(); p.next()) {
        const i32 n = p.n();
        if constexpr (sizeof(T) == 1) {
            Local<half> a = spare<half>(scratch, 1), b = spare<half>(scratch, 2), r = spare<half>(scratch, 3);
            Local<T> narrow = spare<T>(scratch, 4);
            Bytes bits = condition_bits(c, p, true, scratch);
            if constexpr (is_scalar<X>) fill(narrow, x, chunk), vector_barrier(), AscendC::Cast(a, narrow, RoundMode::CAST_NONE, n);
            else AscendC::Cast(a, x.at[p.at()], RoundMode::CAST_NONE, n);
            if constexpr (is_scalar<Y>) {
                if constexpr (is_scalar<X>) vector_barrier();
                fill(narrow, y, chunk), vector_barrier(), AscendC::Cast(b, narrow, RoundMode::CAST_NONE, n);
            } else {
                AscendC::Cast(b, y.at[p.at()], RoundMode::CAST_NONE, n);
            }
            vector_barrier();
            select(r, bits, a, b, n);
            vector_barrier();
            AscendC::Cast(d.at[p.at()], r, RoundMode::CAST_RINT, n);
        } else if constexpr (std::is_same_v<T, f32> && is_scalar<Y> && !is_scalar<X>) {
            Bytes bits = condition_bits(c, p, true, scratch);
            select(d.at[p.at()], bits, fetch<f32>(x, p, spare<f32>(scratch, 1), scratch), y, n);
        } else if constexpr (std::is_same_v<T, f32> && is_scalar<X> && !is_scalar<Y>) {
            Bytes bits = condition_bits(c, p, false, scratch);
            select(d.at[p.at()], bits, fetch<f32>(y, p, spare<f32>(scratch, 1), scratch), x, n);
        } else {
            Bytes bits = condition_bits(c, p, true, scratch);
            Local<T> a = fetch<T>(x, p, spare<T>(scratch, 1), scratch), b = fetch<T>(y, p, spare<T>(scratch, 2), scratch);
            select(d.at[p.at()], bits, a, b, n);
        }
    }
}

// The lesser or greater of two numbers. `nan_x`, `nan_y`: whether x, y may be NaN, which loses; how the unit takes one is not relied on.
template <class I, bool nan_x, bool nan_y, i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void extreme(Tile<f32, R, C, P> d, X x, Y y, Bytes scratch) {
    Local<f32> r = spare<f32>(scratch, 2);
    for (Piece<R, P> p; p.more(); p.next()) {
        const i32 n = p.n(), whole = round_up(n, lanes<f32>);
        Local<f32> a = fetch<f32>(x, p, spare<f32>(scratch, 0), scratch), b = fetch<f32>(y, p, spare<f32>(scratch, 1), scratch);
        if constexpr (nan_x) compare_bits<CMPMODE::EQ>(mask(scratch, 0), a, a, whole);
        if constexpr (nan_y) compare_bits<CMPMODE::EQ>(mask(scratch, 1), b, b, whole);
        I::counted(r, a, b, n);
        vector_barrier();
        if constexpr (nan_x && nan_y) select(r, mask(scratch, 0), r, b, n), vector_barrier();
        else if constexpr (nan_x) select(d.at[p.at()], mask(scratch, 0), r, b, n);
        if constexpr (nan_y) select(d.at[p.at()], mask(scratch, 1), r, a, n);
    }
}
template <class I, bool nan_x, bool nan_y, class T, i32 R, i32 C, i32 P, class X, class Y>
DSLC_FN void lesser_or_greater(Tile<T, R, C, P> d, X x, Y y, Bytes scratch) {
    if constexpr (std::is_same_v<T, f32> && (nan_x || nan_y)) extreme<I, nan_x, nan_y>(d, x, y, scratch);
    else binary<I>(d, x, y, scratch);
}
// How much of a pair may be NaN is part of the name: neither, the first, the second, or any.
#define DSLC_EXTREME(NAME, I)                                                                                                                     \
    template <class D, class X, class Y> DSLC_FN void NAME(D d, X x, Y y, Bytes s) { lesser_or_greater<I, true, true>(d, x, y, s); }               \
    template <class D, class X, class Y> DSLC_FN void NAME##_numbers(D d, X x, Y y, Bytes s) { lesser_or_greater<I, false, false>(d, x, y, s); }   \
    template <class D, class X, class Y> DSLC_FN void NAME##_first_nan(D d, X x, Y y, Bytes s) { lesser_or_greater<I, true, false>(d, x, y, s); }  \
    template <class D, class X, class Y> DSLC_FN void NAME##_second_nan(D d, X x, Y y, Bytes s) { lesser_or_greater<I, false, true>(d, x, y, s); }
DSLC_EXTREME(minimum, MinInstruction)
DSLC_EXTREME(maximum, MaxInstruction)
#undef DSLC_EXTREME

// ---------------------------------------------------------------- bools: halves 0 and 1
template <i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void both(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) { binary<MulInstruction>(d, x, y, scratch); }
template <i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void either(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) { binary<MaxInstruction>(d, x, y, scratch); }
template <i32 R, i32 C, i32 P, class X, class Y> DSLC_FN void differ(Tile<half, R, C, P> d, X x, Y y, Bytes scratch) {
    binary<SubInstruction>(d, x, y, scratch);
    vector_barrier();
    AscendC::Abs(d.at, d.at, R * P);
}
template <i32 R, i32 C, i32 P> DSLC_FN void opposite(Tile<half, R, C, P> d, Tile<half, R, C, P> x) {
    AscendC::Muls(d.at, x.at, (half)-1.0f, R * P);
    vector_barrier();
    AscendC::Adds(d.at, d.at, (half)1.0f, R * P);
}

// ---------------------------------------------------------------- bits: any integer tile seen as u16
template <class T, i32 R, i32 C, i32 P> DSLC_FN auto as_words(Tile<T, R, C, P> x) {
    constexpr i32 n = (i32)(R * P * sizeof(T) / 2);
    return Tile<u16, 1, n, n>{x.at.template ReinterpretCast<u16>()};
}
// A block filled with a scalar of at most 4 bytes.
template <class T> DSLC_FN Local<u16> word_block(T x, Bytes scratch) {
    fill(blocks<T>(scratch), x, per_block<T>);
    vector_barrier();
    return blocks<u16>(scratch);
}
template <class I, class T, i32 R, i32 C, i32 P, class Y> DSLC_FN void bitwise(Tile<T, R, C, P> d, Tile<T, R, C, P> x, Y y, Bytes scratch) {
    constexpr i32 n = (i32)(R * P * sizeof(T) / 2);
    if constexpr (is_tile<Y>) I::counted(as_words(d).at, as_words(x).at, as_words(y).at, n);
    else by_rows<I>(as_words(d).at, n, Walk<u16>{as_words(x).at, n, false}, Walk<u16>{word_block((T)y, scratch), 0, true}, 1, n);
}
template <class T, i32 R, i32 C, i32 P, class Y> DSLC_FN void bits_and(Tile<T, R, C, P> d, Tile<T, R, C, P> x, Y y, Bytes scratch) {
    bitwise<AndInstruction>(d, x, y, scratch);
}
template <class T, i32 R, i32 C, i32 P, class Y> DSLC_FN void bits_or(Tile<T, R, C, P> d, Tile<T, R, C, P> x, Y y, Bytes scratch) {
    bitwise<OrInstruction>(d, x, y, scratch);
}
template <class T, i32 R, i32 C, i32 P> DSLC_FN void bits_not(Tile<T, R, C, P> d, Tile<T, R, C, P> x) {
    AscendC::Not(as_words(d).at, as_words(x).at, (i32)(R * P * sizeof(T) / 2));
}
// x ^ y = (x | y) - (x & y): bit by bit nothing is borrowed, and no sum overflows.
DSLC_FN void xor_words(Local<u16> d, Local<u16> x, Walk<u16> y, Local<u16> common, i32 n) {
    Walk<u16> a{x, n, false};
    by_rows<AndInstruction>(common, n, a, y, 1, n);
    by_rows<OrInstruction>(d, n, a, y, 1, n);
    vector_barrier();
    AscendC::Sub(d.ReinterpretCast<i16>(), d.ReinterpretCast<i16>(), common.ReinterpretCast<i16>(), n);
}
template <class T, i32 R, i32 C, i32 P, class Y> DSLC_FN void bits_xor(Tile<T, R, C, P> d, Tile<T, R, C, P> x, Y y, Bytes scratch) {
    constexpr i32 total = (i32)(R * P * sizeof(T) / 2);
    Walk<u16> b{spare<u16>(scratch, 0), 0, true};
    if constexpr (!is_tile<Y>) b.at = word_block((T)y, scratch);
    for (i32 at = 0; at < total; at += 2 * chunk) {
        if (at) vector_barrier();
        const i32 n = smaller(2 * chunk, total - at);
        if constexpr (is_tile<Y>) b = {as_words(y).at[at], n, false};
        xor_words(as_words(d).at[at], as_words(x).at[at], b, spare<u16>(scratch, 0), n);
    }
}
// By a scalar, modulo the width; to the right arithmetic on signed types.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void shl(Tile<T, R, C, P> d, Tile<T, R, C, P> x, T n) {
    AscendC::ShiftLeft(d.at, x.at, (T)(n & (T)(8 * sizeof(T) - 1)), R * P);
}
template <class T, i32 R, i32 C, i32 P> DSLC_FN void shr(Tile<T, R, C, P> d, Tile<T, R, C, P> x, T n) {
    AscendC::ShiftRight(d.at, x.at, (T)(n & (T)(8 * sizeof(T) - 1)), R * P);
}

// ---------------------------------------------------------------- functions
template <i32 R, i32 C, i32 P> DSLC_FN void sqrt(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x) { AscendC::Sqrt(d.at, x.at, R * P); }
template <i32 R, i32 C, i32 P> DSLC_FN void exp(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x) { AscendC::Exp(d.at, x.at, R * P); }
template <i32 R, i32 C, i32 P> DSLC_FN void log(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x) { AscendC::Ln(d.at, x.at, R * P); }
// e^(x ln2): the rounding of x ln2 and of ln2 itself cost at most 2^-24.1 |x| of the 2^-22 |x| allowed.
template <i32 R, i32 C, i32 P> DSLC_FN void exp2(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x) {
    AscendC::Muls(d.at, x.at, 0x1.62e43p-1f, R * P);
    vector_barrier();
    AscendC::Exp(d.at, d.at, R * P);
}
template <i32 R, i32 C, i32 P> DSLC_FN void log2(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x) {
    AscendC::Ln(d.at, x.at, R * P);
    vector_barrier();
    AscendC::Muls(d.at, d.at, 0x1.715476p+0f, R * P);
}
// 1 / sqrt(x): the unit's own Rsqrt is an approximation.
template <i32 R, i32 C, i32 P> DSLC_FN void rsqrt(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x, Bytes scratch) {
    AscendC::Sqrt(d.at, x.at, R * P);
    Walk<f32> one = walk<f32>(1.0f, 0, 0, 1, R * P, scratch);
    vector_barrier();
    by_rows<DivInstruction>(d.at, R * P, one, Walk<f32>{d.at, R * P, false}, 1, R * P);
}

// Steps on chunks, each waiting for the one before.
struct Steps {
    i32 n;
    DSLC_MEMBER void add(Local<f32> d, Local<f32> x, Local<f32> y) { AscendC::Add(d, x, y, n), vector_barrier(); }
    DSLC_MEMBER void sub(Local<f32> d, Local<f32> x, Local<f32> y) { AscendC::Sub(d, x, y, n), vector_barrier(); }
    DSLC_MEMBER void mul(Local<f32> d, Local<f32> x, Local<f32> y) { AscendC::Mul(d, x, y, n), vector_barrier(); }
    DSLC_MEMBER void div(Local<f32> d, Local<f32> x, Local<f32> y) { AscendC::Div(d, x, y, n), vector_barrier(); }
    DSLC_MEMBER void add(Local<f32> d, Local<f32> x, f32 y) { AscendC::Adds(d, x, y, n), vector_barrier(); }
    DSLC_MEMBER void mul(Local<f32> d, Local<f32> x, f32 y) { AscendC::Muls(d, x, y, n), vector_barrier(); }
    DSLC_MEMBER void least(Local<f32> d, Local<f32> x, f32 y) { AscendC::Mins(d, x, y, n), vector_barrier(); }
    DSLC_MEMBER void most(Local<f32> d, Local<f32> x, f32 y) { AscendC::Maxs(d, x, y, n), vector_barrier(); }
    // c0 + c1 x + c2 x^2 + .. by Horner's rule
    DSLC_MEMBER void polynomial(Local<f32> d, Local<f32> x, f32 c0, f32 c1) { mul(d, x, c1), add(d, d, c0); }
    template <class... Rest> DSLC_MEMBER void polynomial(Local<f32> d, Local<f32> x, f32 c0, f32 c1, f32 c2, Rest... rest) {
        polynomial(d, x, c1, c2, rest...), mul(d, d, x), add(d, d, c0);
    }
    // e^x - 1 for -20 <= x <= 0 with the relative accuracy of the result, as in tile_math.h; x is used up, as are s and t
    DSLC_MEMBER void exp_minus_one(Local<f32> d, Local<f32> x, Local<f32> s, Local<f32> t) {
        mul(s, x, 0x1.715476p+0f), add(s, s, 12582912.0f + 127.0f);       // x / ln2 as an integer in the low bits of s
        add(t, s, -(12582912.0f + 127.0f));
        AscendC::Muls(d, t, -0x1.63p-1f, n), AscendC::Muls(t, t, 0x1.bd0106p-13f, n), vector_barrier();
        add(x, x, d), add(x, x, t);                                       // r = x - n ln2
        AscendC::ShiftLeft(s.ReinterpretCast<u32>(), s.ReinterpretCast<u32>(), (u32)23, n);     // 2^n
        polynomial(d, x, 0x1.fffffep-2f, 0x1.5554bp-3f, 0x1.555674p-5f, 0x1.12276ap-7f, 0x1.6bebf6p-10f);
        AscendC::Mul(t, x, x, n), vector_barrier();
        mul(d, d, t), add(d, d, x), mul(d, d, s), add(s, s, -1.0f), add(d, d, s);
    }
    // d = x where bits, else y
    DSLC_MEMBER void choose(Local<f32> d, Bytes bits, Local<f32> x, Local<f32> y) { select(d, bits, x, y, n), vector_barrier(); }
};

// d = |d| with the sign of x, and x where that is NaN; -0 may come out as 0.
DSLC_FN void signed_as(Local<f32> d, Local<f32> magnitude, Local<f32> x, Local<f32> room, i32 n, i32 whole, Bytes scratch) {
    compare_bits<CMPMODE::GE>(mask(scratch, 0), x, 0.0f, whole);
    compare_bits<CMPMODE::EQ>(mask(scratch, 1), x, x, whole);
    AscendC::Muls(room, magnitude, -1.0f, n);
    vector_barrier();
    select(magnitude, mask(scratch, 0), magnitude, room, n);
    vector_barrier();
    select(d, mask(scratch, 1), magnitude, x, n);
}

// tanh |x| = -w / (2 + w) with w = exp(-2 |x|) - 1.
template <i32 R, i32 C, i32 P> DSLC_FN void tanh(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x, Bytes scratch) {
    Local<f32> a = spare<f32>(scratch, 1), w = spare<f32>(scratch, 2), s = spare<f32>(scratch, 3), t = spare<f32>(scratch, 4);
    for (Piece<1, R * P> p; p.more(); p.next()) {
        const i32 whole = round_up(p.n(), lanes<f32>);
        Local<f32> from = fetch<f32>(Tile<f32, 1, R * P, R * P>{x.at}, p, spare<f32>(scratch, 0), scratch);
        Steps on{whole};
        AscendC::Abs(a, from, whole), vector_barrier();
        on.least(a, a, 10.0f), on.mul(a, a, -2.0f);
        on.exp_minus_one(w, a, s, t);
        AscendC::Adds(s, w, 2.0f, whole), AscendC::Muls(w, w, -1.0f, whole), vector_barrier();
        on.div(w, w, s);
        signed_as(d.at[p.at()], w, from, s, p.n(), whole, scratch);
    }
}
// erf t = 1 - exp(-t q(t)) with q(t) = -log(erfc t) / t.
template <i32 R, i32 C, i32 P> DSLC_FN void erf(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x, Bytes scratch) {
    Local<f32> a = spare<f32>(scratch, 1), w = spare<f32>(scratch, 2), s = spare<f32>(scratch, 3), t = spare<f32>(scratch, 4);
    for (Piece<1, R * P> p; p.more(); p.next()) {
        const i32 whole = round_up(p.n(), lanes<f32>);
        Local<f32> from = fetch<f32>(Tile<f32, 1, R * P, R * P>{x.at}, p, spare<f32>(scratch, 0), scratch);
        Steps on{whole};
        AscendC::Abs(a, from, whole), vector_barrier();
        on.least(a, a, 3.95f);
        on.polynomial(s, a, 0x1.20dd76p+0f, 0x1.45f298p-1f, 0x1.a520b8p-4f, -0x1.3c9118p-6f, 0x1.af6246p-13f, 0x1.4823e2p-10f, -0x1.8f8268p-12f, 0x1.557b26p-15f);
        on.mul(a, a, s), on.mul(a, a, -1.0f);
        on.exp_minus_one(w, a, s, t);
        on.mul(w, w, -1.0f);
        signed_as(d.at[p.at()], w, from, s, p.n(), whole, scratch);
    }
}
// With e = exp(-|x|): 1 / (1 + e), or e / (1 + e) left of zero; nothing overflows.
template <i32 R, i32 C, i32 P> DSLC_FN void sigmoid(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x, Bytes scratch) {
    Local<f32> e = spare<f32>(scratch, 1), s = spare<f32>(scratch, 2);
    for (Piece<1, R * P> p; p.more(); p.next()) {
        const i32 n = p.n(), whole = round_up(n, lanes<f32>);
        Local<f32> from = fetch<f32>(Tile<f32, 1, R * P, R * P>{x.at}, p, spare<f32>(scratch, 0), scratch);
        Steps on{n};
        compare_bits<CMPMODE::LT>(mask(scratch, 0), from, 0.0f, whole);
        AscendC::Abs(e, from, n), vector_barrier();
        on.mul(e, e, -1.0f);
        AscendC::Exp(e, e, n), vector_barrier();
        AscendC::Adds(s, e, 1.0f, n), select(e, mask(scratch, 0), e, 1.0f, n), vector_barrier();
        AscendC::Div(d.at[p.at()], e, s, n);
    }
}
// x = n pi/2 + r; `turns` quarter turns more for the cosine. Which polynomial, and its sign, follow from (n + turns) mod 4, found in floats.
template <i32 R, i32 C, i32 P> DSLC_FN void sine(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x, f32 turns, Bytes scratch) {
    Local<f32> q = spare<f32>(scratch, 1), r = spare<f32>(scratch, 2), z = spare<f32>(scratch, 3), s = spare<f32>(scratch, 4), c = spare<f32>(scratch, 5);
    for (Piece<1, R * P> p; p.more(); p.next()) {
        const i32 n = p.n(), whole = round_up(n, lanes<f32>);
        Local<f32> from = fetch<f32>(Tile<f32, 1, R * P, R * P>{x.at}, p, spare<f32>(scratch, 0), scratch);
        Steps on{whole};
        on.mul(q, from, 0x1.45f306p-1f), on.add(q, q, 12582912.0f), on.add(q, q, -12582912.0f);
        on.mul(s, q, -0x1.92p+0f), on.add(r, from, s), on.mul(s, q, -0x1.fbp-12f), on.add(r, r, s), on.mul(s, q, -0x1.5110b4p-22f), on.add(r, r, s);
        on.most(r, r, -0.8f), on.least(r, r, 0.8f);
        on.add(q, q, turns), on.mul(q, q, 0.25f);
        AscendC::Cast(s, q, RoundMode::CAST_FLOOR, whole), vector_barrier();
        on.sub(q, q, s);                                     // 0, 1/4, 1/2, 3/4
        on.mul(z, r, r);
        on.polynomial(s, z, -0x1.55554p-3f, 0x1.1105a6p-7f, -0x1.98d5d2p-13f), on.mul(s, s, z), on.add(s, s, 1.0f), on.mul(s, s, r);
        on.polynomial(c, z, 0x1.55554ap-5f, -0x1.6c0c7ep-10f, 0x1.99fe72p-16f), on.mul(c, c, z), on.add(c, c, -0.5f), on.mul(c, c, z), on.add(c, c, 1.0f);
        compare_bits<CMPMODE::LT>(mask(scratch, 1), q, 0.5f, whole), vector_barrier();
        on.add(q, q, -0.5f);
        AscendC::Abs(q, q, whole), vector_barrier();
        compare_bits<CMPMODE::EQ>(mask(scratch, 0), q, 0.25f, whole), vector_barrier();
        on.choose(s, mask(scratch, 0), c, s);
        on.mul(c, s, -1.0f);
        on.choose(s, mask(scratch, 1), s, c);
        on.mul(c, from, 0.0f);                               // NaN of NaN and of infinity
        AscendC::Add(d.at[p.at()], s, c, n);
    }
}
template <i32 R, i32 C, i32 P> DSLC_FN void sin(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x, Bytes scratch) { sine(d, x, 0.0f, scratch); }
template <i32 R, i32 C, i32 P> DSLC_FN void cos(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x, Bytes scratch) { sine(d, x, 1.0f, scratch); }

// ---------------------------------------------------------------- conversion
// What one instruction does: between floats, from integers that a float holds exactly, and from i32 to the nearest f32.
template <class To, class From, i32 R, i32 C, i32 P> DSLC_FN void cast_directly(Tile<To, R, C, P> d, Tile<From, R, C, P> x) {
    constexpr bool exact = sizeof(To) > sizeof(From) && !std::is_same_v<To, i32>;
    AscendC::Cast(d.at, x.at, exact ? RoundMode::CAST_NONE : RoundMode::CAST_RINT, R * P);
}
// Small integers and bools, through halves, and i16 through floats: exact.
template <class Via, class To, class From, i32 R, i32 C, i32 P> DSLC_FN void cast_through(Tile<To, R, C, P> d, Tile<From, R, C, P> x, Bytes scratch) {
    Local<Via> middle = spare<Via>(scratch, 0);
    for (i32 at = 0; at < R * P; at += chunk) {
        if (at) vector_barrier();
        const i32 n = smaller(chunk, R * P - at);
        AscendC::Cast(middle, x.at[at], RoundMode::CAST_NONE, n);
        vector_barrier();
        AscendC::Cast(d.at[at], middle, std::is_same_v<To, f32> ? RoundMode::CAST_NONE : RoundMode::CAST_RINT, n);
    }
}
// u16 to i32: as i16, then without the copies of its sign.
template <i32 R, i32 C, i32 P> DSLC_FN void widen_unsigned(Tile<i32, R, C, P> d, Tile<u16, R, C, P> x, Bytes scratch) {
    cast_through<f32>(d, as<i16>(x), scratch);
    vector_barrier();
    AscendC::ShiftLeft(d.at, d.at, (i32)16, R * P);
    vector_barrier();
    AscendC::ShiftRight(as<u32>(d).at, as<u32>(d).at, (u32)16, R * P);
}
// u32 to f32: the upper half times 2^16, exact, plus the lower: one rounding.
template <i32 R, i32 C, i32 P> DSLC_FN void float_of_unsigned(Tile<f32, R, C, P> d, Tile<u32, R, C, P> x, Bytes scratch) {
    Local<u32> high = spare<u32>(scratch, 0), low = spare<u32>(scratch, 1);
    Local<f32> high_part = spare<f32>(scratch, 2), low_part = spare<f32>(scratch, 3);
    for (i32 at = 0; at < R * P; at += chunk) {
        if (at) vector_barrier();
        const i32 n = smaller(chunk, R * P - at);
        AscendC::ShiftRight(high, x.at[at], (u32)16, n), AscendC::ShiftLeft(low, x.at[at], (u32)16, n);
        vector_barrier();
        AscendC::ShiftRight(low, low, (u32)16, n), AscendC::Cast(high_part, high.ReinterpretCast<i32>(), RoundMode::CAST_RINT, n);
        vector_barrier();
        AscendC::Cast(low_part, low.ReinterpretCast<i32>(), RoundMode::CAST_RINT, n), AscendC::Muls(high_part, high_part, 65536.0f, n);
        vector_barrier();
        AscendC::Add(d.at[at], high_part, low_part, n);
    }
}
// f32 holding small integers, to T.
template <class T> DSLC_FN void small_integers(Local<T> d, Local<f32> x, Local<half> room, i32 n) {
    if constexpr (sizeof(T) == 1) {
        AscendC::Cast(room, x, RoundMode::CAST_RINT, n);
        vector_barrier();
        AscendC::Cast(d, room, RoundMode::CAST_RINT, n);
    } else {
        AscendC::Cast(d, x, RoundMode::CAST_RINT, n);
    }
}
// i32 to fewer bits. Shifted up and down again, what is left is the value modulo 2^bits.
template <i32 bits, bool is_signed, class T, i32 R, i32 C, i32 P> DSLC_FN void wrap(Tile<T, R, C, P> d, Tile<i32, R, C, P> x, Bytes scratch) {
    Local<i32> r = spare<i32>(scratch, 0);
    Local<f32> value = spare<f32>(scratch, 1);
    for (i32 at = 0; at < R * P; at += chunk) {
        if (at) vector_barrier();
        const i32 n = smaller(chunk, R * P - at);
        AscendC::ShiftLeft(r, x.at[at], (i32)(32 - bits), n);
        vector_barrier();
        if constexpr (is_signed) AscendC::ShiftRight(r, r, (i32)(32 - bits), n);
        else AscendC::ShiftRight(r.ReinterpretCast<u32>(), r.ReinterpretCast<u32>(), (u32)(32 - bits), n);
        vector_barrier();
        AscendC::Cast(value, r, RoundMode::CAST_RINT, n);
        vector_barrier();
        small_integers(d.at[at], value, spare<half>(scratch, 0), n);
    }
}
// f32 rounded as `mode` says, clipped to lo..hi; NaN gives 0. 2^31 - 1 is no float: what exceeds 2^31 - 128 is clipped to 127 and added.
template <RoundMode mode, i32 lo, i32 hi, class T, i32 R, i32 C, i32 P> DSLC_FN void to_integers(Tile<T, R, C, P> d, Tile<f32, R, C, P> x, Bytes scratch) {
    constexpr f32 top = 2147483520.0f;
    Local<f32> a = spare<f32>(scratch, 1), b = spare<f32>(scratch, 2);
    for (Piece<1, R * P> p; p.more(); p.next()) {
        const i32 n = p.n();
        Local<f32> from = fetch<f32>(Tile<f32, 1, R * P, R * P>{x.at}, p, spare<f32>(scratch, 0), scratch);
        Steps on{n};
        compare_bits<CMPMODE::EQ>(mask(scratch, 0), from, from, round_up(n, lanes<f32>)), vector_barrier();
        select(a, mask(scratch, 0), from, 0.0f, n), vector_barrier();
        if constexpr (sizeof(T) == 4) {
            AscendC::Adds(b, a, -top, n), AscendC::Mins(a, a, top, n), vector_barrier();
            AscendC::Maxs(b, b, 0.0f, n), AscendC::Maxs(a, a, (f32)lo, n), vector_barrier();
            AscendC::Mins(b, b, 127.0f, n), AscendC::Cast(d.at[p.at()], a, mode, n), vector_barrier();
            AscendC::Cast(a.ReinterpretCast<i32>(), b, RoundMode::CAST_RINT, n), vector_barrier();
            AscendC::Add(d.at[p.at()], d.at[p.at()], a.ReinterpretCast<i32>(), n);
        } else {
            on.most(a, a, (f32)lo), on.least(a, a, (f32)hi);
            AscendC::Cast(b, a, mode, n), vector_barrier();
            small_integers(d.at[p.at()], b, spare<half>(scratch, 1), n);
        }
    }
}
template <RoundMode mode, i32 R, i32 C, i32 P> DSLC_FN void round_floats(Tile<f32, R, C, P> d, Tile<f32, R, C, P> x) {
    AscendC::Cast(d.at, x.at, mode, R * P);
}
template <class To, class From, i32 R, i32 C, i32 P> DSLC_FN void same_bits(Tile<To, R, C, P> d, Tile<From, R, C, P> x) {
    copy_flat(as_words(d).at, as_words(x).at, (i32)(R * P * sizeof(To) / 2));
}

// ---------------------------------------------------------------- counting bits, random bits
// Sums of ever wider bit fields of 32-bit words.
DSLC_FN void add_fields(Local<i32> x, Local<i32> t, i32 shift, u16 fields, i32 n, Bytes scratch) {
    Walk<u16> keep{word_block(fields, scratch), 0, true}, low{x.ReinterpretCast<u16>(), 2 * n, false}, high{t.ReinterpretCast<u16>(), 2 * n, false};
    AscendC::ShiftRight(t.ReinterpretCast<u32>(), x.ReinterpretCast<u32>(), (u32)shift, n), vector_barrier();
    by_rows<AndInstruction>(high.at, 2 * n, high, keep, 1, 2 * n), by_rows<AndInstruction>(low.at, 2 * n, low, keep, 1, 2 * n), vector_barrier();
    AscendC::Add(x, x, t, n), vector_barrier();
}
template <class T, i32 R, i32 C, i32 P> DSLC_FN void popcount(Tile<i32, R, C, P> d, Tile<T, R, C, P> x, Bytes scratch) {
    Local<i32> a = spare<i32>(scratch, 0), t = spare<i32>(scratch, 1);
    for (i32 at = 0; at < R * P; at += chunk) {
        if (at) vector_barrier();
        const i32 n = smaller(chunk, R * P - at);
        copy_flat(a, as<i32>(x).at[at], n), vector_barrier();
        add_fields(a, t, 1, 0x5555, n, scratch), add_fields(a, t, 2, 0x3333, n, scratch), add_fields(a, t, 4, 0x0f0f, n, scratch);
        add_fields(a, t, 8, 0x00ff, n, scratch);
        AscendC::ShiftRight(t, a, (i32)16, n), vector_barrier();       // two counts of at most 16 in the two halves
        AscendC::ShiftLeft(a, a, (i32)16, n), vector_barrier();
        AscendC::ShiftRight(a, a, (i32)16, n), vector_barrier();
        AscendC::Add(d.at[at], a, t, n);
    }
}
// First word of Threefry-2x32 with 20 rounds (see random_bits in tile_types.h) of counters that are i32 and not negative.
struct Threefry {
    Local<i32> x, y, s, t;
    i32 n;
    DSLC_MEMBER void rounds(i32 r0, i32 r1, i32 r2, i32 r3, u32 key_x, u32 key_y) {
        round(r0), round(r1), round(r2), round(r3);
        AscendC::Adds(x, x, (i32)key_x, n), AscendC::Adds(y, y, (i32)key_y, n), vector_barrier();
    }
    DSLC_MEMBER void round(i32 r) {
        Local<u32> from = y.ReinterpretCast<u32>();
        AscendC::Add(x, x, y, n), AscendC::ShiftLeft(s.ReinterpretCast<u32>(), from, (u32)r, n), AscendC::ShiftRight(t.ReinterpretCast<u32>(), from, (u32)(32 - r), n);
        vector_barrier();
        AscendC::Or(s.ReinterpretCast<u16>(), s.ReinterpretCast<u16>(), t.ReinterpretCast<u16>(), 2 * n);
        vector_barrier();
        xor_words(y.ReinterpretCast<u16>(), s.ReinterpretCast<u16>(), Walk<u16>{x.ReinterpretCast<u16>(), 2 * n, false}, t.ReinterpretCast<u16>(), 2 * n);
        vector_barrier();
    }
};
template <i32 R, i32 C, i32 P> DSLC_FN void random(Tile<u32, R, C, P> d, i64 seed, Tile<i32, R, C, P> counter, Bytes scratch) {
    const u32 k0 = (u32)(u64)seed, k1 = (u32)((u64)seed >> 32), k2 = k0 ^ k1 ^ 0x1BD11BDAu;
    for (i32 at = 0; at < R * P; at += chunk) {
        if (at) vector_barrier();
        const i32 n = smaller(chunk, R * P - at);
        Threefry f{as<i32>(d).at[at], spare<i32>(scratch, 0), spare<i32>(scratch, 1), spare<i32>(scratch, 2), n};
        AscendC::Adds(f.x, counter.at[at], (i32)k0, n), fill(f.y, (i32)k1, n), vector_barrier();
        f.rounds(13, 15, 26, 6, k1, k2 + 1u), f.rounds(17, 29, 16, 24, k2, k0 + 2u), f.rounds(13, 15, 26, 6, k0, k1 + 3u);
        f.rounds(17, 29, 16, 24, k1, k2 + 4u), f.rounds(13, 15, 26, 6, k2, k0 + 5u);
    }
}

// x // y and x mod y for |x| and 0 < y below 2^23: all products are exact, and the quotient of floats is off by one at most.
template <bool remainder, i32 R, i32 C, i32 P, class Y> DSLC_FN void divide_small(Tile<i32, R, C, P> d, Tile<i32, R, C, P> x, Y y, Bytes scratch) {
    Local<f32> q = spare<f32>(scratch, 0), divisor = spare<f32>(scratch, 1), r = spare<f32>(scratch, 2), s = spare<f32>(scratch, 3);
    for (Piece<1, R * P> p; p.more(); p.next()) {
        const i32 n = p.n(), whole = round_up(n, lanes<f32>), at = p.at();
        Steps on{whole};
        if (n != whole) fill(divisor, 1.0f, whole), fill(r, 0.0f, whole), vector_barrier();
        if constexpr (is_scalar<Y>) fill(divisor, (f32)y, whole);
        else AscendC::Cast(divisor, y.at[at], RoundMode::CAST_RINT, n);
        AscendC::Cast(r, x.at[at], RoundMode::CAST_RINT, n), vector_barrier();
        on.div(q, r, divisor);
        AscendC::Cast(s, q, RoundMode::CAST_FLOOR, whole), vector_barrier();
        on.mul(q, s, divisor), on.sub(r, r, q);
        // Where the remainder is below 0, one step down; where it is then y or more, one step up.
        compare_bits<CMPMODE::GE>(mask(scratch, 0), r, 0.0f, whole), fill(q, 0.0f, whole), vector_barrier();
        select(q, mask(scratch, 0), q, 1.0f, whole), vector_barrier();
        on.sub(s, s, q), on.mul(q, q, divisor), on.add(r, r, q), on.sub(q, r, divisor);
        compare_bits<CMPMODE::LT>(mask(scratch, 0), q, 0.0f, whole), vector_barrier();
        if constexpr (remainder) {
            select(r, mask(scratch, 0), r, q, n), vector_barrier();
            AscendC::Cast(d.at[at], r, RoundMode::CAST_RINT, n);
        } else {
            fill(q, 0.0f, n), vector_barrier();
            select(q, mask(scratch, 0), q, 1.0f, n), vector_barrier();
            AscendC::Add(s, s, q, n), vector_barrier();
            AscendC::Cast(d.at[at], s, RoundMode::CAST_RINT, n);
        }
    }
}
template <i32 R, i32 C, i32 P, class Y> DSLC_FN void floordiv_small(Tile<i32, R, C, P> d, Tile<i32, R, C, P> x, Y y, Bytes scratch) { divide_small<false>(d, x, y, scratch); }
template <i32 R, i32 C, i32 P, class Y> DSLC_FN void mod_small(Tile<i32, R, C, P> d, Tile<i32, R, C, P> x, Y y, Bytes scratch) { divide_small<true>(d, x, y, scratch); }

// ---------------------------------------------------------------- reductions along the last axis
// Columns `width` of each row, in place, down to one repeat: half is added to half.
template <class I, class T> DSLC_FN i32 fold(Local<T> x, i32 pitch, i32 rows, i32 width) {
    while (width > lanes<T>) {
        const i32 half = round_up((width + 1) / 2, lanes<T>);
        by_rows<I>(x, pitch, Walk<T>{x, pitch, false}, Walk<T>{x[half], pitch, false}, rows, width - half);
        vector_barrier();
        width = half;
    }
    return width;
}
// The same from rows of `columns` elements into rows of `width` at `to`; `width` is a multiple of a repeat, and less than `columns`.
template <class I, class T> DSLC_FN void fold_into(Local<T> to, i32 width, Local<T> x, i32 pitch, i32 rows, i32 columns) {
    i32 next = 2 * width;
    if (columns >= next) by_rows<I>(to, width, Walk<T>{x, pitch, false}, Walk<T>{x[width], pitch, false}, rows, width);
    else copy_rows(to, width, x, pitch, false, rows, width), next = width;
    vector_barrier();
    for (; next < columns; next += width) {
        by_rows<I>(to, width, Walk<T>{to, width, false}, Walk<T>{x[next], pitch, false}, rows, smaller(width, columns - next));
        vector_barrier();
    }
    fold<I>(to, width, rows, width);
}

// What reduces one repeat of a row to one element.
struct SumLanes {
    using instruction = AddInstruction;
    template <class T> DSLC_FN void rows(Local<T> d, i32 apart, Local<T> x, i32 width, i32 rows, i32 stride) {
        AscendC::WholeReduceSum(d, x, width, rows, apart, 1, stride);
    }
};
struct MaxLanes {
    using instruction = MaxInstruction;
    static constexpr CMPMODE better = CMPMODE::GT;
    DSLC_FN f32 worst() { return -__builtin_inff(); }
    template <class T> DSLC_FN void rows(Local<T> d, i32 apart, Local<T> x, i32 width, i32 rows, i32 stride) {
        AscendC::WholeReduceMax(d, x, width, rows, apart, 1, stride, AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    }
};
struct MinLanes {
    using instruction = MinInstruction;
    static constexpr CMPMODE better = CMPMODE::LT;
    DSLC_FN f32 worst() { return __builtin_inff(); }
    template <class T> DSLC_FN void rows(Local<T> d, i32 apart, Local<T> x, i32 width, i32 rows, i32 stride) {
        AscendC::WholeReduceMin(d, x, width, rows, apart, 1, stride, AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    }
};
// Results are `apart` elements from each other.
template <class L, class T> DSLC_FN void reduce_rows(Local<T> d, Local<T> x, i32 width, i32 rows, i32 pitch, i32 apart = 1) {
    constexpr i32 B = per_block<T>;
    const i32 step = pitch / B <= most_stride ? most_repeats : 1;
    for (i32 r = 0; r < rows; r += step) L::rows(d[r * apart], apart, x[r * pitch], width, smaller(step, rows - r), step == 1 ? 8 : pitch / B);
}

// The rows of one run of results; `then` turns rows of at most one repeat into elements of d. Rows that are longer are folded first.
template <class L, class T, class Last> DSLC_FN void reduce_lanes(Local<T> x, i32 columns, i32 pitch, i32 rows, Bytes scratch, Last last) {
    constexpr i32 E = lanes<T>;
    if (columns <= E) return last(0, x, columns, rows, pitch);
    const i32 width = smaller(round_up((columns + 1) / 2, E), 4 * chunk_bytes / (i32)sizeof(T) / 8);
    const i32 step = 4 * chunk_bytes / (i32)sizeof(T) / width / 8 * 8;     // so that results start at whole blocks
    for (i32 r = 0; r < rows; r += step) {
        if (r) vector_barrier();
        fold_into<typename L::instruction>(spare<T>(scratch, 0), width, x[r * pitch], pitch, smaller(step, rows - r), columns);
        last(r, spare<T>(scratch, 0), smaller(E, columns), smaller(step, rows - r), width);
    }
}

// Sums, and greatest and least elements that are numbers, of floats (or of halves: bools).
template <class L, class T> struct FloatRows {
    Local<T> d;
    DSLC_MEMBER void operator()(i32 r, Local<T> x, i32 width, i32 rows, i32 pitch) const { reduce_rows<L>(d[r], x, width, rows, pitch); }
};
// Greatest and least i32 below 2^24, as floats.
template <class L> struct IntegerRows {
    Local<i32> d;
    Bytes scratch;
    DSLC_MEMBER void operator()(i32 first, Local<i32> x, i32 width, i32 rows, i32 pitch) const {
        Local<i32> g = spare<i32>(scratch, 6);
        Local<f32> f = spare<f32>(scratch, 4), r = spare<f32>(scratch, 5);
        constexpr i32 step = chunk / lanes<f32>;
        for (i32 at = 0; at < rows; at += step) {
            const i32 n = smaller(step, rows - at);
            if (at) vector_barrier();
            if (width < lanes<i32>) clear(g, n * lanes<i32>), vector_barrier();
            copy_rows(g, lanes<i32>, x[at * pitch], pitch, false, n, width), vector_barrier();
            AscendC::Cast(f, g, RoundMode::CAST_RINT, n * lanes<i32>), vector_barrier();
            reduce_rows<L>(r, f, width, n, lanes<f32>);
            vector_barrier();
            AscendC::Cast(d[first + at], r, RoundMode::CAST_RINT, n);
        }
    }
};
// Sums of i32: those of the lower 16 bits and of the upper, each exact in a float, put together again.
struct IntegerSumRows {
    Local<i32> d;
    Bytes scratch;
    DSLC_MEMBER void operator()(i32 first, Local<i32> x, i32 width, i32 rows, i32 pitch) const {
        Local<i32> low = spare<i32>(scratch, 4), high = spare<i32>(scratch, 5);
        Local<f32> f = spare<f32>(scratch, 6), g = spare<f32>(scratch, 7);
        constexpr i32 step = chunk / lanes<f32>;
        for (i32 at = 0; at < rows; at += step) {
            const i32 n = smaller(step, rows - at), total = n * lanes<i32>;
            if (at) vector_barrier();
            if (width < lanes<i32>) fill(high, 0, total), vector_barrier();
            copy_rows(high, lanes<i32>, x[at * pitch], pitch, false, n, width), vector_barrier();
            AscendC::ShiftLeft(low, high, (i32)16, total), vector_barrier();
            AscendC::ShiftRight(low.ReinterpretCast<u32>(), low.ReinterpretCast<u32>(), (u32)16, total), AscendC::ShiftRight(high, high, (i32)16, total), vector_barrier();
            AscendC::Cast(f, low, RoundMode::CAST_RINT, total), AscendC::Cast(g, high, RoundMode::CAST_RINT, total), vector_barrier();
            reduce_rows<SumLanes>(low.ReinterpretCast<f32>(), f, lanes<f32>, n, lanes<f32>), reduce_rows<SumLanes>(high.ReinterpretCast<f32>(), g, lanes<f32>, n, lanes<f32>);
            vector_barrier();
            AscendC::Cast(f.ReinterpretCast<i32>(), low.ReinterpretCast<f32>(), RoundMode::CAST_RINT, n);
            AscendC::Cast(g.ReinterpretCast<i32>(), high.ReinterpretCast<f32>(), RoundMode::CAST_RINT, n), vector_barrier();
            AscendC::ShiftLeft(g.ReinterpretCast<i32>(), g.ReinterpretCast<i32>(), (i32)16, n), vector_barrier();
            AscendC::Add(d[first + at], f.ReinterpretCast<i32>(), g.ReinterpretCast<i32>(), n);
        }
    }
};

// Where a result has padding, that is 0.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void clear_padding(Tile<T, R, C, P> d) {
    if (C != P) clear(d.at, R * P), vector_barrier();
}
// Each row of results comes from D rows of x.
template <class T, i32 R, i32 D, i32 Q, i32 N, i32 C, i32 P> DSLC_FN void sum(Tile<T, R, D, Q> d, Tile<T, N, C, P> x, Bytes scratch) {
    static_assert(R * D == N);
    clear_padding(d);
    for (i32 r = 0; r < R; ++r) {
        if (r && (C > lanes<T> || std::is_same_v<T, i32>)) vector_barrier();
        if constexpr (std::is_same_v<T, i32>) reduce_lanes<SumLanes>(x.at[r * D * P], C, P, D, scratch, IntegerSumRows{d.at[r * Q], scratch});
        else reduce_lanes<SumLanes>(x.at[r * D * P], C, P, D, scratch, FloatRows<SumLanes, T>{d.at[r * Q]});
    }
}
template <class L, class T, i32 R, i32 D, i32 Q, i32 N, i32 C, i32 P> DSLC_FN void extreme_of_numbers(Tile<T, R, D, Q> d, Tile<T, N, C, P> x, Bytes scratch) {
    static_assert(R * D == N);
    clear_padding(d);
    for (i32 r = 0; r < R; ++r) {
        if (r) vector_barrier();
        if constexpr (std::is_same_v<T, i32>) reduce_lanes<L>(x.at[r * D * P], C, P, D, scratch, IntegerRows<L>{d.at[r * Q], scratch});
        else reduce_lanes<L>(x.at[r * D * P], C, P, D, scratch, FloatRows<L, T>{d.at[r * Q]});
    }
}

// A piece with the worst infinity in place of NaN, and halves 1 where there is a number.
template <class L, i32 R, i32 C, i32 P> DSLC_FN void numbers_of(Local<f32> d, Local<half> is_number, Tile<f32, R, C, P> x, Piece<R, P> p, Bytes scratch) {
    const i32 n = p.n();
    Local<f32> a = fetch<f32>(x, p, d, scratch);
    compare_bits<CMPMODE::EQ>(mask(scratch, 0), a, a, round_up(n, lanes<f32>));
    vector_barrier();
    select(d, mask(scratch, 0), a, L::worst(), n);
    bools_from(is_number, mask(scratch, 0), true, n);
    vector_barrier();
}
// Results of a function on many rows are first a block apart, since one may not start within a block; then they are moved together.
static constexpr i32 run = chunk_bytes / 32;                // such results at a time
template <class T> DSLC_FN void together(Local<T> d, Local<T> x, Local<i32> room, i32 n) {
    AscendC::CreateVecIndex(room, (i32)0, (u32)n), vector_barrier();
    AscendC::Muls(room, room, (i32)32, n), vector_barrier();
    AscendC::Gather(d, x, room.template ReinterpretCast<u32>(), (u32)0, (u32)n), vector_barrier();
}
// The greatest or least of rows that may hold NaN: of the numbers, and NaN where there is none.
template <class L, i32 R, i32 D, i32 Q, i32 N, i32 C, i32 P> DSLC_FN void extreme_of_rows(Tile<f32, R, D, Q> d, Tile<f32, N, C, P> x, Bytes scratch) {
    static_assert(R * D == N);
    using I = typename L::instruction;
    Local<f32> a = spare<f32>(scratch, 0), b = spare<f32>(scratch, 1), found = spare<f32>(scratch, 2);
    Local<half> h = spare<half>(scratch, 3), k = spare<half>(scratch, 4), any = spare<half>(scratch, 5);
    clear_padding(d);
    for (i32 r = 0; r < R; ++r)
        for (i32 first = 0; first < D; first += run) {
            const i32 n = smaller(run, D - first);
            for (Piece<N, P> p{r * D + first, 0, r * D + first + n}; p.more();) {
                const i32 rows = p.rows(), wide = p.columns(), row = p.row, at = row - r * D - first;
                numbers_of<L>(a, h, x, p, scratch);
                for (p.next(); p.more() && p.row == row; p.next()) {
                    const i32 valid = smaller(p.columns(), C - p.column);
                    numbers_of<L>(b, k, x, p, scratch);
                    I::counted(a, a, b, valid), AscendC::Max(h, h, k, valid), vector_barrier();
                }
                const i32 width = smaller(wide, C), last = fold<I>(a, wide, rows, width), last_half = fold<MaxInstruction>(h, wide, rows, width);
                reduce_rows<L>(found[at * per_block<f32>], a, last, rows, wide, per_block<f32>);
                reduce_rows<MaxLanes>(any[at * per_block<half>], h, last_half, rows, wide, per_block<half>);
                vector_barrier();
            }
            together(b, found, a.ReinterpretCast<i32>(), n);
            fill(h, true, lanes<half>), vector_barrier();
            together(h, any, a.ReinterpretCast<i32>(), n);
            AscendC::CompareScalar(mask(scratch, 0), h, (half)0.5f, CMPMODE::GT, lanes<half>), vector_barrier();
            select(d.at[r * Q + first], mask(scratch, 0), b, __builtin_nanf(""), n);
            if (r + 1 < R || first + run < D) vector_barrier();
        }
}
#define DSLC_EXTREME_OF_ROWS(NAME, L)                                                                                         \
    template <class D, class X> DSLC_FN void NAME(D d, X x, Bytes scratch) { extreme_of_rows<L>(d, x, scratch); }             \
    template <class D, class X> DSLC_FN void NAME##_numbers(D d, X x, Bytes scratch) { extreme_of_numbers<L>(d, x, scratch); }
DSLC_EXTREME_OF_ROWS(max, MaxLanes)
DSLC_EXTREME_OF_ROWS(min, MinLanes)
#undef DSLC_EXTREME_OF_ROWS

// The column of the greatest or least number of each row, the lowest on ties: of all columns that equal it, found by a second look.
template <class L, i32 R, i32 D, i32 Q, i32 N, i32 C, i32 P> DSLC_FN void arg_extreme(Tile<i32, R, D, Q> d, Tile<f32, N, C, P> x, Bytes scratch) {
    static_assert(R * D == N);
    using I = typename L::instruction;
    Local<f32> a = spare<f32>(scratch, 0), b = spare<f32>(scratch, 1), best = spare<f32>(scratch, 3), number = spare<f32>(scratch, 4), found = spare<f32>(scratch, 5);
    Local<half> ignored = spare<half>(scratch, 2);
    constexpr i32 wide = Piece<N, P>::wide, tall = Piece<N, P>::tall;
    AscendC::CreateVecIndex(a.ReinterpretCast<i32>(), (i32)0, (u32)wide), vector_barrier();
    AscendC::Cast(b, a.ReinterpretCast<i32>(), RoundMode::CAST_RINT, wide), vector_barrier();
    copy_rows(number, wide, b, 0, false, tall, wide), vector_barrier();
    clear_padding(d);
    for (i32 r = 0; r < R; ++r)
        for (i32 first = 0; first < D; first += run) {
            const i32 n = smaller(run, D - first);
            for (Piece<N, P> p{r * D + first, 0, r * D + first + n}; p.more();) {
                const i32 rows = p.rows(), row = p.row, width = smaller(wide, C);
                Piece<N, P> again = p;
                numbers_of<L>(a, ignored, x, p, scratch);
                for (p.next(); p.more() && p.row == row; p.next()) {
                    numbers_of<L>(b, ignored, x, p, scratch);
                    I::counted(a, a, b, smaller(p.columns(), C - p.column)), vector_barrier();
                }
                const i32 last = fold<I>(a, wide, rows, width);
                reduce_rows<L>(b, a, last, rows, wide), vector_barrier();
                spread_blocks(blocks<f32>(scratch), b, rows), vector_barrier();
                if (rows * wide % lanes<f32>) fill(best[rows * wide / lanes<f32> * lanes<f32>], 0.0f, lanes<f32>), vector_barrier();
                copy_rows(best, wide, blocks<f32>(scratch), per_block<f32>, true, rows, wide), vector_barrier();
                for (; again.more() && again.row == row; again.next()) {
                    const i32 valid = rows == 1 ? smaller(again.columns(), C - again.column) : rows * wide;
                    numbers_of<L>(b, ignored, x, again, scratch);
                    compare_bits<CMPMODE::EQ>(mask(scratch, 0), b, best, round_up(rows * again.columns(), lanes<f32>)), vector_barrier();
                    if (again.column) AscendC::Adds(b, number, (f32)again.column, valid), vector_barrier();
                    select(again.column ? b : a, mask(scratch, 0), again.column ? b : number, 1e9f, valid), vector_barrier();
                    if (again.column) AscendC::Min(a, a, b, valid), vector_barrier();
                }
                const i32 few = fold<MinInstruction>(a, wide, rows, width);
                reduce_rows<MinLanes>(found[(row - r * D - first) * per_block<f32>], a, few, rows, wide, per_block<f32>), vector_barrier();
            }
            together(b, found, a.ReinterpretCast<i32>(), n);
            AscendC::Cast(d.at[r * Q + first], b, RoundMode::CAST_RINT, n);
            if (r + 1 < R || first + run < D) vector_barrier();
        }
}
template <class D, class X> DSLC_FN void argmax(D d, X x, Bytes scratch) { arg_extreme<MaxLanes>(d, x, scratch); }
template <class D, class X> DSLC_FN void argmin(D d, X x, Bytes scratch) { arg_extreme<MinLanes>(d, x, scratch); }

// ---------------------------------------------------------------- reductions along an axis before the last
// d = x[0] op x[1] op .. of n runs of `inner` elements: run by run until what is left fits `room`, then half to half.
template <class I, class T> DSLC_FN void fold_runs(Local<T> d, Local<T> x, i32 n, i32 inner, Local<T> room, i32 capacity) {
    if (n == 1) return copy_flat(d, x, inner);
    i32 rows = larger(1, smaller(n / 2, capacity / inner)), next = 2 * rows;
    Local<T> to = rows == 1 ? d : room;
    I::counted(to, x, x[rows * inner], rows * inner);
    for (i32 k; next < n; next += k) {
        k = smaller(rows, n - next);
        vector_barrier();
        I::counted(to, to, x[next * inner], k * inner);
    }
    for (i32 half; rows > 1; rows = half) {
        half = (rows + 1) / 2;
        vector_barrier();
        I::counted(half == 1 ? d : to, to, to[half * inner], (rows - half) * inner);
    }
}
// `outer` groups of n runs each.
template <i32 outer, i32 n, class I, class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q>
DSLC_FN void fold_groups(Tile<T, R, C, P> d, Tile<T, N, D, Q> x, Bytes scratch) {
    constexpr i32 inner = N * Q / outer / n;
    for (i32 g = 0; g < outer; ++g) {
        if (g) vector_barrier();
        fold_runs<I>(d.at[g * inner], x.at[g * n * inner], n, inner, spare<T>(scratch, 0), 4 * chunk_bytes / (i32)sizeof(T));
    }
}
template <i32 outer, i32 n, class D, class X> DSLC_FN void sum_groups(D d, X x, Bytes scratch) { fold_groups<outer, n, AddInstruction>(d, x, scratch); }
template <i32 outer, i32 n, class D, class X> DSLC_FN void max_groups_numbers(D d, X x, Bytes scratch) { fold_groups<outer, n, MaxInstruction>(d, x, scratch); }
template <i32 outer, i32 n, class D, class X> DSLC_FN void min_groups_numbers(D d, X x, Bytes scratch) { fold_groups<outer, n, MinInstruction>(d, x, scratch); }

// The same where a NaN loses, piece by piece.
template <class I, i32 outer, i32 n, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q> DSLC_FN void extreme_groups(Tile<f32, R, C, P> d, Tile<f32, N, D, Q> x, Bytes scratch) {
    constexpr i32 inner = N * Q / outer / n;
    using Run = Tile<f32, 1, inner, inner>;
    Local<f32> best = spare<f32>(scratch, 1), r = spare<f32>(scratch, 2);
    for (i32 g = 0; g < outer; ++g) {
        if (g) vector_barrier();
        for (Piece<1, inner> p; p.more(); p.next()) {
            const i32 whole = round_up(p.n(), lanes<f32>);
            copy_flat(best, fetch<f32>(Run{x.at[g * n * inner]}, p, spare<f32>(scratch, 0), scratch), whole), vector_barrier();
            for (i32 i = 1; i < n; ++i) {
                Local<f32> a = fetch<f32>(Run{x.at[(g * n + i) * inner]}, p, spare<f32>(scratch, 0), scratch);
                compare_bits<CMPMODE::EQ>(mask(scratch, 0), best, best, whole), compare_bits<CMPMODE::EQ>(mask(scratch, 1), a, a, whole);
                I::counted(r, best, a, whole), vector_barrier();
                select(r, mask(scratch, 0), r, a, whole), vector_barrier();
                select(best, mask(scratch, 1), r, best, whole), vector_barrier();
            }
            copy_flat(d.at[g * inner + p.at()], best, p.n());
        }
    }
}
template <i32 outer, i32 n, class D, class X> DSLC_FN void max_groups(D d, X x, Bytes scratch) { extreme_groups<MaxInstruction, outer, n>(d, x, scratch); }
template <i32 outer, i32 n, class D, class X> DSLC_FN void min_groups(D d, X x, Bytes scratch) { extreme_groups<MinInstruction, outer, n>(d, x, scratch); }

// The number of the run with the greatest or least element; the first on ties, as only a better one replaces it.
template <class L, i32 outer, i32 n, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q> DSLC_FN void arg_groups(Tile<i32, R, C, P> d, Tile<f32, N, D, Q> x, Bytes scratch) {
    constexpr i32 inner = N * Q / outer / n;
    using Run = Tile<f32, 1, inner, inner>;
    Local<f32> best = spare<f32>(scratch, 1), number = spare<f32>(scratch, 2), a = spare<f32>(scratch, 3), now = spare<f32>(scratch, 5);
    for (i32 g = 0; g < outer; ++g) {
        if (g) vector_barrier();
        for (Piece<1, inner> p; p.more(); p.next()) {
            const i32 whole = round_up(p.n(), lanes<f32>);
            fill(number, 0.0f, whole);
            for (i32 i = 0; i < n; ++i) {
                Local<f32> from = fetch<f32>(Run{x.at[(g * n + i) * inner]}, p, spare<f32>(scratch, 0), scratch);
                compare_bits<CMPMODE::EQ>(mask(scratch, 0), from, from, whole), vector_barrier();
                select(i ? a : best, mask(scratch, 0), from, L::worst(), whole), vector_barrier();
                if (!i) continue;
                compare_bits<L::better>(mask(scratch, 1), a, best, whole), fill(now, (f32)i, whole), vector_barrier();
                select(best, mask(scratch, 1), a, best, whole), select(number, mask(scratch, 1), now, number, whole), vector_barrier();
            }
            AscendC::Cast(d.at[g * inner + p.at()], number, RoundMode::CAST_RINT, p.n());
        }
    }
}
template <i32 outer, i32 n, class D, class X> DSLC_FN void argmax_groups(D d, X x, Bytes scratch) { arg_groups<MaxLanes, outer, n>(d, x, scratch); }
template <i32 outer, i32 n, class D, class X> DSLC_FN void argmin_groups(D d, X x, Bytes scratch) { arg_groups<MinLanes, outer, n>(d, x, scratch); }

// A result that is a scalar is first a tile of one element at the start of scratch, which the reduction then uses from the next block on.
template <class T> DSLC_FN Tile<T, 1, 1, per_block<T>> scalar_of(Bytes scratch) { return {scratch.template ReinterpretCast<T>()}; }
DSLC_FN Bytes past_scalar(Bytes scratch) { return scratch[32]; }
template <class E, class T> DSLC_FN E read_scalar(Bytes scratch) {
    AscendC::SetFlag<AscendC::HardEvent::V_S>(4);
    AscendC::WaitFlag<AscendC::HardEvent::V_S>(4);
    if constexpr (std::is_same_v<E, bool>) return scratch.template ReinterpretCast<u16>().GetValue(0) != 0;
    else return scratch.template ReinterpretCast<T>().GetValue(0);
}

// Sums of all runs up to each: a run at a time.
template <i32 outer, i32 n, class T, i32 R, i32 C, i32 P> DSLC_FN void cumsum_groups(Tile<T, R, C, P> d, Tile<T, R, C, P> x) {
    constexpr i32 inner = R * P / outer / n;
    for (i32 g = 0; g < outer; ++g) {
        copy_flat(d.at[g * n * inner], x.at[g * n * inner], inner);
        for (i32 i = 1; i < n; ++i) {
            vector_barrier();
            AscendC::Add(d.at[(g * n + i) * inner], d.at[(g * n + i - 1) * inner], x.at[(g * n + i) * inner], inner);
        }
    }
}

// ---------------------------------------------------------------- other orders of the same elements
// Where the rows of a result come from: row (h, i, j, k) of as many x n1 x n2 x n3 starts at start + h * s0 + i * s1 + j * s2 + k * s3 elements.
struct RowsFrom {
    i32 start = 0, s3 = 0, n3 = 1, s2 = 0, n2 = 1, s1 = 0, n1 = 1, s0 = 0;
    DSLC_MEMBER i32 operator()(i32 r) const { return start + r % n3 * s3 + r / n3 % n2 * s2 + r / n3 / n2 % n1 * s1 + r / n3 / n2 / n1 * s0; }
};
// Where the elements of a row come from: element c is c * step on, and `jump` more after each `every`.
struct ElementsFrom {
    i32 step, every = 0, jump = 0, every2 = 0, jump2 = 0;
    DSLC_MEMBER i32 operator()(i32 c) const { return c * step + (every ? c / every * jump : 0) + (every2 ? c / every2 * jump2 : 0); }
};
// Rows that are consecutive elements and start at whole blocks: copies. Types of 1 and 8 bytes are copied as u16.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void rows_from(Tile<T, R, C, P> d, Local<T> x, RowsFrom at) {
    using W = std::conditional_t<sizeof(T) == 4, u32, u16>;
    constexpr i32 scale = (i32)(2 * sizeof(T) / sizeof(W)), pitch = P * scale / 2, width = smaller(round_up(C, per_block<T>), P) * scale / 2;
    Local<W> to = d.at.template ReinterpretCast<W>(), from = x.template ReinterpretCast<W>();
    if constexpr (width < pitch) fill(to, (W)0, R * pitch), vector_barrier();
    const i32 together = smaller(at.n3, R);
    for (i32 r = 0; r < R; r += together) copy_rows(to[r * pitch], pitch, from[at(r) * scale / 2], at.s3 * scale / 2, false, together, width);
}
// One element for all of a row; the elements stand one after another.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void columns_from(Tile<T, R, C, P> d, Local<T> x, Bytes scratch) {
    for (i32 r = 0; r < R; r += block_rows) {
        if (r) vector_barrier();
        const i32 n = smaller(block_rows, R - r);
        spread_blocks(blocks<T>(scratch), x[r], n);
        vector_barrier();
        copy_rows(d.at[r * P], P, blocks<T>(scratch), per_block<T>, true, n, P);
    }
}
// q = i / n for 0 <= i < 2^22.
DSLC_FN void quotients(Local<i32> q, Local<i32> i, Local<f32> room, i32 n, i32 count) {
    AscendC::Cast(room, i, RoundMode::CAST_RINT, count), vector_barrier();
    AscendC::Adds(room, room, 0.5f, count), vector_barrier();
    AscendC::Muls(room, room, 1.0f / (f32)n, count), vector_barrier();
    AscendC::Cast(q, room, RoundMode::CAST_FLOOR, count), vector_barrier();
}
// Any order, a gather for each row, of elements of 2 or 4 bytes.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void gather_from(Tile<T, R, C, P> d, Local<T> x, RowsFrom at, ElementsFrom along, Bytes scratch) {
    Local<i32> i = spare<i32>(scratch, 0), offset = spare<i32>(scratch, 1), more = spare<i32>(scratch, 2);
    Local<f32> room = spare<f32>(scratch, 3);
    clear_padding(d);
    for (i32 c = 0; c < C; c += chunk) {
        if (c) vector_barrier();
        const i32 n = smaller(chunk, C - c);
        AscendC::CreateVecIndex(i, c, (u32)n), vector_barrier();
        AscendC::Muls(offset, i, along.step * (i32)sizeof(T), n), vector_barrier();
        if (along.every) {
            quotients(more, i, room, along.every, n);
            AscendC::Muls(more, more, along.jump * (i32)sizeof(T), n), vector_barrier();
            AscendC::Add(offset, offset, more, n), vector_barrier();
        }
        if (along.every2) {
            quotients(more, i, room, along.every2, n);
            AscendC::Muls(more, more, along.jump2 * (i32)sizeof(T), n), vector_barrier();
            AscendC::Add(offset, offset, more, n), vector_barrier();
        }
        for (i32 r = 0; r < R; ++r)
            AscendC::Gather(d.at[r * P + c], x, offset.template ReinterpretCast<u32>(), (u32)(at(r) * (i32)sizeof(T)), (u32)n);
    }
}
// The same by the scalar unit, for elements of any size.
template <class T, i32 R, i32 C, i32 P> DSLC_FN void from_by_element(Tile<T, R, C, P> d, Local<T> x, RowsFrom at, ElementsFrom along) {
    using W = std::conditional_t<sizeof(T) == 1, u8, std::conditional_t<sizeof(T) == 2, u16, std::conditional_t<sizeof(T) == 4, u32, i64>>>;
    Local<W> to = d.at.template ReinterpretCast<W>(), from = x.template ReinterpretCast<W>();
    for (i32 r = 0; r < R; ++r)
        for (i32 c = 0; c < P; ++c) to.SetValue(r * P + c, c < C ? from.GetValue(at(r) + along(c)) : (W)0);
}
// Parts side by side: `groups` runs of each, which fill whole blocks.
template <class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q> DSLC_FN void put_runs(Tile<T, R, C, P> d, Tile<T, N, D, Q> x, i32 start, i32 groups) {
    for (i32 g = 0; g < groups; ++g) copy_flat(d.at[start + g * (R * P / groups)], x.at[g * (N * Q / groups)], N * Q / groups);
}
// Columns start.. of d, whole blocks. Types of 1 and 8 bytes are copied as u16.
template <class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q> DSLC_FN void put_columns(Tile<T, R, C, P> d, Tile<T, N, D, Q> x, i32 start) {
    using W = std::conditional_t<sizeof(T) == 4, u32, u16>;
    constexpr i32 scale = (i32)(2 * sizeof(T) / sizeof(W));
    static_assert(N == R);
    copy_rows(d.at.template ReinterpretCast<W>()[start * scale / 2], P * scale / 2, x.at.template ReinterpretCast<W>(), Q * scale / 2, false, R,
              smaller(round_up(D, per_block<T>), Q) * scale / 2);
}

// ---------------------------------------------------------------- lookup, scatter by segment
// table[index], 0 where the index is outside; `inside`: it never is.
template <bool inside, class T, i32 R, i32 C, i32 P, i32 N, i32 Q> DSLC_FN void take(Tile<T, R, C, P> d, Tile<T, 1, N, Q> table, Tile<i32, R, C, P> index, Bytes scratch) {
    Local<i32> at = spare<i32>(scratch, 0), offset = spare<i32>(scratch, 1);
    Local<f32> apart = spare<f32>(scratch, 2);
    Local<T> found = spare<T>(scratch, 3), nothing = spare<T>(scratch, 4);
    for (Piece<1, R * P> p; p.more(); p.next()) {
        const i32 n = p.n(), whole = round_up(n, lanes<f32>);
        AscendC::Maxs(at, index.at[p.at()], (i32)0, n), vector_barrier();
        AscendC::Mins(at, at, N - 1, n), vector_barrier();
        AscendC::Muls(offset, at, (i32)sizeof(T), n), vector_barrier();
        if constexpr (inside) {
            AscendC::Gather(d.at[p.at()], table.at, offset.template ReinterpretCast<u32>(), (u32)0, (u32)n);
        } else {
            AscendC::Gather(found, table.at, offset.template ReinterpretCast<u32>(), (u32)0, (u32)n);
            if (n != whole) fill(apart[whole - lanes<f32>], 0.0f, lanes<f32>);
            vector_barrier();
            AscendC::Sub(at, at, index.at[p.at()], n), vector_barrier();
            AscendC::Cast(apart, at, RoundMode::CAST_RINT, n), clear(nothing, n), vector_barrier();
            compare_bits<CMPMODE::EQ>(mask(scratch, 0), apart, 0.0f, whole), vector_barrier();
            select(d.at[p.at()], mask(scratch, 0), found, nothing, n);
        }
    }
}

// ---------------------------------------------------------------- by the scalar unit: slow, and right for every type
// How an element of the language's type E is held: bool as half 0 or 1, narrow floats by their bits.
template <class E, class T> DSLC_FN E element(Local<T> x, i32 i) {
    if constexpr (std::is_same_v<E, bool>) return x.template ReinterpretCast<u16>().GetValue(i) != 0;
    else if constexpr (std::is_same_v<E, f16> || std::is_same_v<E, bf16>) return bitcast<E>(x.template ReinterpretCast<u16>().GetValue(i));
    else if constexpr (std::is_same_v<E, f8e4m3> || std::is_same_v<E, f8e5m2>) return E{x.template ReinterpretCast<u8>().GetValue(i)};
    else return x.template ReinterpretCast<E>().GetValue(i);
}
template <class E, class T> DSLC_FN void set_element(Local<T> x, i32 i, E value) {
    if constexpr (std::is_same_v<E, bool>) x.template ReinterpretCast<u16>().SetValue(i, (u16)(value ? 0x3c00 : 0));
    else if constexpr (std::is_same_v<E, f16> || std::is_same_v<E, bf16>) x.template ReinterpretCast<u16>().SetValue(i, bitcast<u16>(value));
    else if constexpr (std::is_same_v<E, f8e4m3> || std::is_same_v<E, f8e5m2>) x.template ReinterpretCast<u8>().SetValue(i, value.bits);
    else x.template ReinterpretCast<E>().SetValue(i, value);
}
template <class E, class X> DSLC_FN E operand_element(X x, i32 r, i32 c, i32 pitch) {
    if constexpr (is_scalar<X>) return x;
    else return element<E>(memory(x), kind_of<X> == OperandKind::tile ? r * pitch + c : kind_of<X> == OperandKind::row ? c : kind_of<X> == OperandKind::column ? r : 0);
}
// d = f(operands), element by element; To and From are the language's types.
template <class To, class... From, class T, i32 R, i32 C, i32 P, class F, class... X> DSLC_FN void by_element(Tile<T, R, C, P> d, F f, X... operands) {
    for (i32 r = 0; r < R; ++r)
        for (i32 c = 0; c < P; ++c) set_element<To>(d.at, r * P + c, c < C ? f(operand_element<From>(operands, r, c, P)...) : To{});
}
template <class E, class T, i32 R, i32 C, i32 P> DSLC_FN void iota_by_element(Tile<T, R, C, P> d) {
    for (i32 c = 0; c < P; ++c) set_element<E>(d.at, c, (E)c);
}
template <class E, class T, i32 R, i32 C, i32 P> DSLC_FN void full_by_element(Tile<T, R, C, P> d, E value) {
    for (i32 c = 0; c < R * P; ++c) set_element<E>(d.at, c, value);
}
struct SumElements {
    template <class E> DSLC_FN E pair(E x, E y) { return (E)((typename Unsigned<E>::type)x + (typename Unsigned<E>::type)y); }
    DSLC_FN f32 pair(f32 x, f32 y) { return x + y; }
};
struct MaxElements {
    template <class E> DSLC_FN E pair(E x, E y) { return maximum<E>(x, y); }
    template <class E> DSLC_FN bool better(E x, E y) { return x > y; }
};
struct MinElements {
    template <class E> DSLC_FN E pair(E x, E y) { return minimum<E>(x, y); }
    template <class E> DSLC_FN bool better(E x, E y) { return x < y; }
};
// Element i of n of each result (o, j): at (o * n + i) * inner + j, or in a row of its own where the last axis goes (inner 0).
template <i32 R, i32 C, i32 P, i32 pitch, i32 n, i32 inner> struct ReducedFrom {
    DSLC_FN i32 place(i32 o, i32 i, i32 j) { return inner ? (o * n + i) * inner + j : (o * C + j) * pitch + i; }
};
template <class O, class E, i32 n, i32 inner, class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q>
DSLC_FN void reduce_by_element(Tile<T, R, C, P> d, Tile<T, N, D, Q> x) {
    using From = ReducedFrom<R, C, P, Q, n, inner>;
    constexpr i32 width = inner ? inner : P;
    for (i32 o = 0; o < R * P / width; ++o)
        for (i32 j = 0; j < width; ++j) {
            E r = (E)0;
            if (inner || j < C) {
                r = element<E>(x.at, From::place(o, 0, j));
                for (i32 i = 1; i < n; ++i) r = O::pair(r, element<E>(x.at, From::place(o, i, j)));
            }
            set_element<E>(d.at, o * width + j, r);
        }
}
template <class O, class E, class I, i32 n, i32 inner, class S, class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q>
DSLC_FN void arg_by_element(Tile<S, R, C, P> d, Tile<T, N, D, Q> x) {
    using From = ReducedFrom<R, C, P, Q, n, inner>;
    constexpr i32 width = inner ? inner : P;
    for (i32 o = 0; o < R * P / width; ++o)
        for (i32 j = 0; j < width; ++j) {
            I best = 0;
            for (i32 i = 1; i < n && (inner || j < C); ++i)
                if (O::better(element<E>(x.at, From::place(o, i, j)), element<E>(x.at, From::place(o, (i32)best, j)))) best = i;
            set_element<I>(d.at, o * width + j, best);
        }
}
template <class O, class E, i32 n, class T, i32 R, i32 C, i32 P> DSLC_FN E scalar_reduce_by_element(Tile<T, R, C, P> x) {
    E r = element<E>(x.at, 0);
    for (i32 i = 1; i < n; ++i) r = O::pair(r, element<E>(x.at, i));
    return r;
}
template <class O, class E, class I, i32 n, class T, i32 R, i32 C, i32 P> DSLC_FN I scalar_arg_by_element(Tile<T, R, C, P> x) {
    I best = 0;
    for (i32 i = 1; i < n; ++i)
        if (O::better(element<E>(x.at, i), element<E>(x.at, (i32)best))) best = i;
    return best;
}
template <class E, class T, i32 R, i32 C, i32 P> DSLC_FN void cumsum_by_element(Tile<T, R, C, P> d, Tile<T, R, C, P> x) {
    for (i32 r = 0; r < R; ++r) {
        E total = (E)0;
        for (i32 c = 0; c < P; ++c) {
            total = c < C ? SumElements::pair(total, element<E>(x.at, r * P + c)) : (E)0;
            set_element<E>(d.at, r * P + c, total);
        }
    }
}
template <class E, i32 n, class T, i32 R, i32 C, i32 P> DSLC_FN void cumsum_groups_by_element(Tile<T, R, C, P> d, Tile<T, R, C, P> x, i32 inner) {
    for (i32 at = 0; at < R * P; ++at) {
        const E here = element<E>(x.at, at);
        set_element<E>(d.at, at, at / inner % n ? SumElements::pair(element<E>(d.at, at - inner), here) : here);
    }
}
// out[s] = sum of x[i] with segment[i] == s, in order of i. Runs of at least a block are added by the vector unit, ids read by the scalar unit.
template <class S, class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q, class X> DSLC_FN void segment_sum(Tile<T, R, C, P> d, Tile<T, N, D, Q> x, X segment, i32 n, i32 count) {
    const i32 inner = N * Q / count;
    clear(d.at, R * P);
    for (i32 i = 0; i < count; ++i) {
        const index_t s = (index_t)element<S>(segment.at, i);
        if (s < 0 || s >= n) continue;
        vector_barrier();
        AscendC::Add(d.at[(i32)s * inner], d.at[(i32)s * inner], x.at[i * inner], inner);
    }
}
template <class E, class S, class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q, class X> DSLC_FN void segment_sum_by_element(Tile<T, R, C, P> d, Tile<T, N, D, Q> x, X segment, i32 n, i32 count) {
    const i32 inner = count == D && N == 1 ? 1 : N * Q / count;
    for (i32 at = 0; at < R * P; ++at) set_element<E>(d.at, at, (E)0);
    for (i32 i = 0; i < count; ++i) {
        const index_t s = (index_t)element<S>(segment.at, i);
        if (s < 0 || s >= n) continue;
        for (i32 j = 0; j < inner; ++j) set_element<E>(d.at, (i32)s * inner + j, SumElements::pair(element<E>(d.at, (i32)s * inner + j), element<E>(x.at, i * inner + j)));
    }
}
// Runs of a table: an index for each run of d, read by the scalar unit, copied by the vector unit; all zeros where it is outside.
template <class S, class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q, class X> DSLC_FN void take_runs(Tile<T, R, C, P> d, Tile<T, N, D, Q> table, X index, i32 n, i32 count, i32 index_columns, i32 index_pitch) {
    const i32 inner = N * Q / n, words = (i32)(inner * sizeof(T) / 2);
    for (i32 i = 0; i < count; ++i) {
        index_t from;
        if constexpr (is_scalar<X>) from = (index_t)index;
        else from = (index_t)element<S>(index.at, i / index_columns * index_pitch + i % index_columns);
        Local<u16> to = d.at.template ReinterpretCast<u16>()[i * words];
        if (from >= 0 && from < n) copy_flat(to, table.at.template ReinterpretCast<u16>()[(i32)from * words], words);
        else fill(to, (u16)0, words);
    }
}
template <class E, class S, class T, i32 R, i32 C, i32 P, i32 N, i32 D, i32 Q, class X> DSLC_FN void take_by_element(Tile<T, R, C, P> d, Tile<T, N, D, Q> table, X index, i32 n) {
    for (i32 at = 0; at < R * P; ++at) {
        const index_t from = at % P < C ? (index_t)element<S>(index.at, at) : -1;
        set_element<E>(d.at, at, from >= 0 && from < n ? element<E>(table.at, (i32)from) : E{});
    }
}
template <class E, class T, i32 R, i32 C, i32 P> DSLC_FN E taken(Tile<T, R, C, P> table, index_t i, i32 n) { return i >= 0 && i < n ? element<E>(table.at, (i32)i) : E{}; }

// Fields of words along the last axis: word w holds elements w * F + i, or i * W + w where the order is split. Words are read as unsigned. Rows of one word
// each lie as elements of longer rows.
template <class E, class W, i32 bits, bool split, class T, i32 R, i32 C, i32 P, class V, i32 N, i32 D, i32 Q> DSLC_FN void unpack_by_element(Tile<T, R, C, P> d, Tile<V, N, D, Q> x) {
    constexpr i32 F = 8 * (i32)sizeof(W) / bits, words = C / F;
    for (i32 r = 0; r < R; ++r)
        for (i32 c = 0; c < P; ++c) {
            E value{};
            if (c < C) {
                const i32 at = words == 1 ? r / D * Q + r % D : r * Q + (split ? c % words : c / F);
                const u64 field = (u64)element<W>(x.at, at) >> (bits * (split ? c / words : c % F)) & (((u64)1 << bits) - 1);
                if constexpr (std::is_same_v<E, bool>) value = field != 0;
                else value = bits == 4 && IntegerRange<E>::is_signed ? (E)i4_from_bits((u32)field) : (E)field;
            }
            set_element<E>(d.at, r * P + c, value);
        }
}
template <class E, class W, i32 bits, bool split, class T, i32 R, i32 C, i32 P, class V, i32 N, i32 D, i32 Q> DSLC_FN void pack_by_element(Tile<T, R, C, P> d, Tile<V, N, D, Q> x) {
    constexpr i32 F = 8 * (i32)sizeof(W) / bits, words = D / F;
    for (i32 r = 0; r < R; ++r)
        for (i32 c = 0; c < P; ++c) {
            u64 word = 0;
            const i32 row = words == 1 ? (r * C + c) * Q : r * Q, w = words == 1 ? 0 : c;
            for (i32 i = 0; i < F && c < C; ++i) word |= ((u64)element<E>(x.at, row + (split ? i * words + w : w * F + i)) & (((u64)1 << bits) - 1)) << (bits * i);
            set_element<W>(d.at, r * P + c, (W)word);
        }
}
// Elements of parts side by side where they do not fill blocks; what of d no part covers is its padding, written by the first call.
template <class E, class T, i32 R, i32 C, i32 P, class X> DSLC_FN void put_by_element(Tile<T, R, C, P> d, X x, RowsFrom to, i32 rows, i32 columns, i32 step, i32 pitch, bool first) {
    for (i32 at = 0; first && at < R * P; ++at) set_element<E>(d.at, at, E{});
    for (i32 r = 0; r < rows; ++r)
        for (i32 c = 0; c < columns; ++c) set_element<E>(d.at, to(r) + c * step, element<E>(x.at, r * pitch + c));
}
// A product that the matrix unit does not take: row, column strides of both operands in elements.
template <class Acc, class A, class B, class T, i32 R, i32 C, i32 P, class X, class Y>
DSLC_FN void dot_by_element(Tile<T, R, C, P> d, X a, i32 a_row, i32 a_column, Y b, i32 b_row, i32 b_column, i32 k, bool accumulate) {
    for (i32 r = 0; r < R; ++r)
        for (i32 c = 0; c < P; ++c) {
            Acc total = accumulate && c < C ? element<Acc>(d.at, r * P + c) : (Acc)0;
            for (i32 i = 0; i < k && c < C; ++i)
                total = SumElements::pair(total, (Acc)(cast<Acc>(element<A>(a.at, r * a_row + i * a_column)) * cast<Acc>(element<B>(b.at, i * b_row + c * b_column))));
            set_element<Acc>(d.at, r * P + c, total);
        }
}
#endif
