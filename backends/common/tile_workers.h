// What generated source for machines of many threads is written in beside the target's own words: reductions between workers, runs of
// neighbours to and from tensors, swizzled offsets. Included after the target's header, which gives Shared, Global, shuffles and barriers.
#ifndef DSLC_TILE_WORKERS_H
#define DSLC_TILE_WORKERS_H
#if defined(DSLC_DEVICE)
#define DSLC_WORKER DSLC_DEVICE
#else
#define DSLC_WORKER DSLC_FN
#endif
#define DSLC_EXPORT __attribute__((visibility("default")))
// The emulator reports what these functions do at the line that they are called from; on a device both are nothing.
#ifndef DSLC_AT
#define DSLC_AT
#define DSLC_FROM
#endif
#include "tile_bounds.h"

// ---------------------------------------------------------------- order of programs
// Which program a block runs: each is one-to-one on 0 .. count-1, for every count.
//
// Blocks are dealt to `chiplets` in turn, and each chiplet has a cache of its own: the first `run` blocks of each get neighbouring programs, the next
// `run` blocks the programs after those of the last chiplet. Blocks that fill no such round run in their own order.
template <i32 chiplets, i32 run> DSLC_FN index_t dealt(index_t block, index_t count) {
    return block < count / (chiplets * run) * (chiplets * run) ? block / (chiplets * run) * (chiplets * run) + block % chiplets * run + block / chiplets % run : block;
}
// Programs of a grid of `down` rows of `across` in bands of `rows` rows, a band column by column: programs near in time share rows and columns of operands.
DSLC_FN index_t rows_of_band(index_t program, index_t down, index_t across, index_t rows) { return least(rows, down - program / (rows * across) * rows); }
DSLC_FN index_t banded(index_t program, index_t down, index_t across, index_t rows) {
    return (program / (rows * across) * rows + program % (rows * across) % rows_of_band(program, down, across, rows)) * across + program % (rows * across) / rows_of_band(program, down, across, rows);
}
// A grid walked column by column.
DSLC_FN index_t by_columns(index_t program, index_t down, index_t across) { return program % down * across + program / down; }

// ---------------------------------------------------------------- reductions
// A functor has the type of a partial result, its neutral element, and how two are combined. NaN loses, so it is neutral itself.
template <class T> struct IsFloat { static const bool value = (T)0.5 == (T)0.5 && (T)0.5 != (T)0; };
template <> struct IsFloat<f16> { static const bool value = true; };
template <> struct IsFloat<bf16> { static const bool value = true; };
template <> struct IsFloat<f8e4m3> { static const bool value = true; };
template <> struct IsFloat<f8e5m2> { static const bool value = true; };
template <> struct IsFloat<bool> { static const bool value = false; };

template <class T> struct Sum {
    typedef T Partial;
    DSLC_FN T none() { return T(); }
    DSLC_FN T of(T a, T b) { return (T)(a + b); }
};
template <class T> struct Greatest {
    typedef T Partial;
    DSLC_FN T none() {
        if constexpr (IsFloat<T>::value) return cast<T>(__builtin_nanf(""));
        else return IntegerRange<T>::lowest;
    }
    DSLC_FN T of(T a, T b) { return maximum(a, b); }
};
template <class T> struct Least {
    typedef T Partial;
    DSLC_FN T none() {
        if constexpr (IsFloat<T>::value) return cast<T>(__builtin_nanf(""));
        else return IntegerRange<T>::highest;
    }
    DSLC_FN T of(T a, T b) { return minimum(a, b); }
};
template <> struct Greatest<bool> {
    typedef bool Partial;
    DSLC_FN bool none() { return false; }
    DSLC_FN bool of(bool a, bool b) { return a || b; }
};
template <> struct Least<bool> {
    typedef bool Partial;
    DSLC_FN bool none() { return true; }
    DSLC_FN bool of(bool a, bool b) { return a && b; }
};
// The lowest index wins a tie; NaN counts as the worst there is.
template <class T> struct At {
    T value;
    index_t index;
};
template <class T> DSLC_FN auto comparable(T x) {
    if constexpr (IsFloat<T>::value) return widen(x);
    else return x;
}
template <class T, int sign> struct BestAt {
    typedef At<T> Partial;
    DSLC_FN At<T> none() {
        if constexpr (IsFloat<T>::value) return {cast<T>(sign > 0 ? -__builtin_inff() : __builtin_inff()), 0};
        else if constexpr (sizeof(T) == 1 && (T)2 == (T)1) return {sign < 0, 0};
        else return {sign > 0 ? IntegerRange<T>::lowest : IntegerRange<T>::highest, 0};
    }
    DSLC_FN At<T> of(At<T> a, At<T> b) {
        const auto x = comparable(a.value), y = comparable(b.value);
        const bool wins = sign > 0 ? y > x : y < x, ties = y == x && b.index < a.index;
        return wins || ties ? b : a;
    }
};
template <class T> struct GreatestAt : BestAt<T, 1> {};
template <class T> struct LeastAt : BestAt<T, -1> {};

template <class T> DSLC_WORKER At<T> shuffle_xor(At<T> x, i32 mask) { return {shuffle_xor(x.value, mask), shuffle_xor(x.index, mask)}; }

// Combines the workers of one warp whose numbers differ by multiples of `stride` below stride * extent. Each then has the result.
template <class F, int stride, int extent, int slots> DSLC_WORKER void across_lanes(typename F::Partial (&x)[slots] DSLC_AT) {
    DSLC_FROM
#pragma unroll
    for (i32 mask = stride; mask < stride * extent; mask *= 2) {
#pragma unroll
        for (i32 e = 0; e < slots; ++e) x[e] = F::of(x[e], shuffle_xor(x[e], mask));
    }
}
// The same across warps, through shared memory. `scratch` holds slots * workers partial results.
// `apart`: other threads than the workers are in the block.
template <class F, int stride, int extent, int workers, bool apart = false, int slots>
DSLC_WORKER void across_warps(typename F::Partial (&x)[slots], Shared<typename F::Partial> scratch, i32 worker DSLC_AT) {
    DSLC_FROM
#pragma unroll
    for (i32 e = 0; e < slots; ++e) scratch[e * workers + worker] = x[e];
    if constexpr (apart) workers_sync<workers>();
    else block_sync();
    const i32 first = worker - worker / stride % extent * stride;
#pragma unroll
    for (i32 e = 0; e < slots; ++e) {
        x[e] = scratch[e * workers + first];
#pragma unroll
        for (i32 other = 1; other < extent; ++other) {
            const typename F::Partial theirs = scratch[e * workers + first + other * stride];
            x[e] = F::of(x[e], theirs);
        }
    }
}

// ---------------------------------------------------------------- shared memory
// Xors `bits` bits of an offset at base + shift into those at base, so that the rows of a tile start in different banks.
template <int bits, int base, int shift> DSLC_FN i32 swizzle(i32 offset) { return offset ^ (((offset >> (base + shift)) & ((1 << bits) - 1)) << base); }
// n registers from the i-th group of n on.
template <int n, class T, int slots> DSLC_FN T (&part(T (&x)[slots], i32 i))[n] { return *reinterpret_cast<T(*)[n]>(x + i * n); }

// ---------------------------------------------------------------- runs of neighbours
// Of n elements in a row, those from `first` on and before `last` are inside the tensor.
struct Run { i32 first, last; };
template <int n> DSLC_FN Run run_inside(bool inside, index_t start, index_t stop) {
    const index_t first = start < 0 ? -start : 0, last = stop - start < n ? stop - start : n;
    if (!inside || first >= last) return {0, 0};
    return {(i32)first, (i32)last};
}
template <class T> struct Bare { typedef T type; };
template <class T> struct Bare<const T> { typedef T type; };
// 16 bytes: the widest access of a worker.
template <int n, int size> struct VectorLength { static const int value = n * size > 16 ? 16 / size : n; };

// From a tensor to registers. `aligned`: the address is a multiple of the run's bytes, or of 16 where those are more.
template <int n, bool aligned, class T, class From> DSLC_WORKER void load_run(T *to, From from DSLC_AT) {
    DSLC_FROM
    if constexpr (aligned) {
        constexpr int length = VectorLength<n, (int)sizeof(T)>::value;
#pragma unroll
        for (i32 e = 0; e < n; e += length) {
            const auto v = load_vector<length>(from + e);
#pragma unroll
            for (i32 i = 0; i < length; ++i) to[e + i] = v[i];
        }
    } else {
#pragma unroll
        for (i32 e = 0; e < n; ++e) to[e] = from[e];
    }
}
template <int n, bool aligned, class T, class From> DSLC_WORKER void load_run(T *to, From from, Run inside, T pad DSLC_AT) {
    DSLC_FROM
    if (inside.first == 0 && inside.last == n) return load_run<n, aligned>(to, from);
#pragma unroll
    for (i32 e = 0; e < n; ++e) to[e] = e >= inside.first && e < inside.last ? (T)from[e] : pad;
}
template <int n, bool aligned, class T, class To> DSLC_WORKER void store_run(To to, const T *from DSLC_AT) {
    DSLC_FROM
    if constexpr (aligned) {
        constexpr int length = VectorLength<n, (int)sizeof(T)>::value;
#pragma unroll
        for (i32 e = 0; e < n; e += length) {
            Vector<T, length> v;
#pragma unroll
            for (i32 i = 0; i < length; ++i) v[i] = from[e + i];
            store_vector(to + e, v);
        }
    } else {
#pragma unroll
        for (i32 e = 0; e < n; ++e) to[e] = from[e];
    }
}
template <int n, bool aligned, class T, class To> DSLC_WORKER void store_run(To to, const T *from, Run inside DSLC_AT) {
    DSLC_FROM
    if (inside.first == 0 && inside.last == n) return store_run<n, aligned>(to, from);
#pragma unroll
    for (i32 e = 0; e < n; ++e)
        if (e >= inside.first && e < inside.last) to[e] = from[e];
}
// Between a tensor and a shared place, whose address is a multiple of the run's bytes.
template <int n, bool aligned, class T, class From> DSLC_WORKER void fill_run(Shared<T> to, From from, Run inside, T pad DSLC_AT) {
    DSLC_FROM
    T run[n];
    load_run<n, aligned>(run, from, inside, pad);
    store_run<n, true>(to, run);
}
template <int n, bool aligned, class T, class From> DSLC_WORKER void fill_run(Shared<T> to, From from DSLC_AT) {
    DSLC_FROM
    T run[n];
    load_run<n, aligned>(run, from);
    store_run<n, true>(to, run);
}
template <int n, bool aligned, class T, class To> DSLC_WORKER void drain_run(To to, Shared<T> from, Run inside DSLC_AT) {
    DSLC_FROM
    T run[n];
    load_run<n, true>(run, from);
    store_run<n, aligned>(to, run, inside);
}
template <int n, bool aligned, class T, class To> DSLC_WORKER void drain_run(To to, Shared<T> from DSLC_AT) {
    DSLC_FROM
    T run[n];
    load_run<n, true>(run, from);
    store_run<n, aligned>(to, run);
}

// ---------------------------------------------------------------- products
// An operand in shared memory. Its rows run along M or N, its columns along K; steps are in elements. Elements outside rows x depth are
// read as zeros where the product is not `whole`.
template <class T, i32 rows_, i32 depth_, i32 row_step, i32 depth_step, i32 bits, i32 base, i32 shift> struct Operand {
    typedef T Element;
    static constexpr i32 rows = rows_, depth = depth_;
    static constexpr bool depth_is_dense = depth_step == 1, rows_are_dense = row_step == 1;
    static constexpr i32 row_gap = row_step, depth_gap = depth_step;
    // Whether an element n rows, or n columns, further lies n gaps further: the swizzle repeats by then.
    template <i32 n> static constexpr bool lines_repeat() { return bits == 0 || n * row_step % (1 << (bits + base + shift)) == 0; }
    template <i32 n> static constexpr bool depth_repeats() { return bits == 0 || n * depth_step % (1 << (bits + base + shift)) == 0; }
    Shared<T> at;
    DSLC_WORKER i32 offset(i32 row, i32 k) {
        return swizzled(row * row_step + k * depth_step);
    }
    DSLC_WORKER i32 swizzled(i32 plain) {
        if constexpr (bits > 0) return swizzle<bits, base, shift>(plain);
        else return plain;
    }
};

// What a product computes with: a type without instructions of its own goes through one that holds it exactly.
template <class To, class T> DSLC_WORKER To as_factor(T x) {
    if constexpr (sizeof(To) == sizeof(T)) return __builtin_bit_cast(To, x);
    else return cast<To>(x);
}

// Without a matrix core: each worker has rows row, row + row_gap, .. and columns column, column + column_gap, ..; those past the end repeat the last.
template <class D, class T, class U> DSLC_WORKER D multiply_add(T a, U b, D c) {
    if constexpr (IsFloat<T>::value) return fma_(cast<D>(a), cast<D>(b), c);
    else return (D)((typename Unsigned<D>::type)a * (typename Unsigned<D>::type)b + (typename Unsigned<D>::type)c);
}
template <i32 high, i32 wide, i32 row_gap, i32 column_gap, class D, class A, class B>
DSLC_WORKER void fma_product(D (&acc)[high * wide], const A &left, const B &right, i32 row, i32 column DSLC_AT) {
    DSLC_FROM
    for (i32 k = 0; k < A::depth; ++k) {
        typename A::Element a[high];
        typename B::Element b[wide];
#pragma unroll
        for (i32 i = 0; i < high; ++i) a[i] = left.at[A::offset((i32)least(row + i * row_gap, A::rows - 1), k)];
#pragma unroll
        for (i32 j = 0; j < wide; ++j) b[j] = right.at[B::offset((i32)least(column + j * column_gap, B::rows - 1), k)];
#pragma unroll
        for (i32 i = 0; i < high; ++i) {
#pragma unroll
            for (i32 j = 0; j < wide; ++j) acc[i * wide + j] = multiply_add<D>(a[i], b[j], acc[i * wide + j]);
        }
    }
}
#endif
