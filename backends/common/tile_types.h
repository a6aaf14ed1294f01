// Scalar types and exact operations shared by every target of the C family.
//
// Everything here is exact or correctly rounded (classes E and R of the language), so each target gives the same bits.
// Functions are straight-line integer or float code: a loop over them auto-vectorises, which is why conditions are selects.
#ifndef DSLC_TILE_TYPES_H
#define DSLC_TILE_TYPES_H

#include <stddef.h>
#include <stdint.h>

// GPU targets define this first, e.g. `static __device__ __forceinline__`.
#ifndef DSLC_FN
#define DSLC_FN static inline __attribute__((always_inline))
// Compiled once for all calls with the same template arguments, and with no copies for some values of the others: half of the compile time of attention.
#if defined(__clang__)
#define DSLC_ONCE static __attribute__((noinline))
#else
#define DSLC_ONCE static __attribute__((noinline, noclone))
#endif
#endif

typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef float f32;
typedef double f64;
typedef int64_t index_t;

// Narrow floats are storage: structs, so that no arithmetic can happen on the bits by accident.
// Sub-byte integers (i4, u4, u2, u1) are held one per i8 or u8.
struct f16 { u16 bits; };     // IEEE binary16
struct bf16 { u16 bits; };    // the upper half of an f32
struct f8e4m3 { u8 bits; };   // the OCP "fn" form: no infinity, NaN is 0x7f, largest 448
struct f8e5m2 { u8 bits; };   // the upper half of an f16, largest 57344

// ---------------------------------------------------------------- bits
DSLC_FN u32 bits_of(f32 x) { return __builtin_bit_cast(u32, x); }
DSLC_FN u64 bits_of(f64 x) { return __builtin_bit_cast(u64, x); }
DSLC_FN f32 f32_of(u32 bits) { return __builtin_bit_cast(f32, bits); }
DSLC_FN f64 f64_of(u64 bits) { return __builtin_bit_cast(f64, bits); }

template <class To, class From> DSLC_FN To bitcast(From x) { return __builtin_bit_cast(To, x); }

template <class T> DSLC_FN T select(bool c, T a, T b) { return c ? a : b; }
// On the bits: a choice between structs is a choice between memory copies to the vectorisers.
DSLC_FN f16 select(bool c, f16 a, f16 b) { return f16{(u16)(c ? a.bits : b.bits)}; }
DSLC_FN bf16 select(bool c, bf16 a, bf16 b) { return bf16{(u16)(c ? a.bits : b.bits)}; }
DSLC_FN f8e4m3 select(bool c, f8e4m3 a, f8e4m3 b) { return f8e4m3{(u8)(c ? a.bits : b.bits)}; }
DSLC_FN f8e5m2 select(bool c, f8e5m2 a, f8e5m2 b) { return f8e5m2{(u8)(c ? a.bits : b.bits)}; }

// Field n of a word of equal fields, lowest bits first.
DSLC_FN u32 field(u32 word, u32 n, u32 bits) { return word >> (n * bits) & ((1u << bits) - 1); }
DSLC_FN u64 field(u64 word, u32 n, u32 bits) { return word >> (n * bits) & (((u64)1 << bits) - 1); }
DSLC_FN i8 i4_from_bits(u32 bits) { return (i8)((i32)((bits & 15) ^ 8) - 8); }

// ---------------------------------------------------------------- narrow float to f32, exact
// The exponent is re-biased by an addition. A subnormal has no leading one: given one (the exponent of the smallest
// normal number), the subtraction of that number normalises it exactly.
// A target whose machine converts in an instruction says so, and defines these after this file.
#ifdef DSLC_NATIVE_F16
DSLC_FN f32 widen(f16 x);
#else
DSLC_FN f32 widen(f16 x) {
    u32 a = (u32)x.bits & 0x7fff, shifted = a << 13;
    u32 normal = shifted + ((a < 0x7c00 ? 112u : 224u) << 23);     // 112 = 127 - 15; infinity and NaN move by twice that
    u32 small = bits_of(f32_of(shifted + (113u << 23)) - 0x1p-14f);
    return f32_of((a < 0x400 ? small : normal) | ((u32)x.bits & 0x8000) << 16);
}
#endif

DSLC_FN f32 widen(bf16 x) { return f32_of((u32)x.bits << 16); }

#ifdef DSLC_NATIVE_F8
DSLC_FN f32 widen(f8e4m3 x);
#else
DSLC_FN f32 widen(f8e4m3 x) {
    u32 a = (u32)x.bits & 0x7f, shifted = a << 20;
    u32 normal = a == 0x7f ? 0x7fc00000u : shifted + (120u << 23); // 120 = 127 - 7
    u32 small = bits_of(f32_of(shifted + (121u << 23)) - 0x1p-6f);
    return f32_of((a < 8 ? small : normal) | ((u32)x.bits & 0x80) << 24);
}
#endif

DSLC_FN f32 widen(f8e5m2 x) { return widen(f16{(u16)((u32)x.bits << 8)}); }

// So that generated code can widen whatever it loaded.
DSLC_FN f32 widen(f32 x) { return x; }
DSLC_FN f64 widen(f64 x) { return x; }

// ---------------------------------------------------------------- f32 to narrow float, one rounding
// To a format of `bits` bits with `mantissa` bits and exponent bias `bias`. `limit` and `nan` are magnitudes in that format: numbers beyond
// `limit` become it (infinity where there is one), so both are put in place as f32 bits before the rounding, which keeps them.
// Normal numbers: add half a unit, less one unless odd, and carry into the exponent. Subnormal: the adder rounds at the right
// place when the other summand has the subnormal's spacing as its own.
template <int bits, int mantissa, int bias> DSLC_FN u32 narrowed(f32 x, u32 limit, u32 nan) {
    const u32 shift = 23 - mantissa, rebias = (u32)(127 - bias) << 23, aligner = (u32)(127 + 24 - bias - mantissa) << 23;
    u32 u = bits_of(x), a = u & 0x7fffffff, top = (limit << shift) + rebias;
    a = a > 0x7f800000 ? (nan << shift) + rebias : a > top ? top : a;
    u32 normal = (a + ((1u << (shift - 1)) - 1) + (a >> shift & 1) - rebias) >> shift;
    u32 small = bits_of(f32_of(a) + f32_of(aligner)) - aligner;
    return (a < rebias + (1u << 23) ? small : normal) | (u & 0x80000000) >> (32 - bits);
}

#ifdef DSLC_NATIVE_F8
DSLC_FN f8e4m3 f8e4m3_from(f32 x, u32 limit);
DSLC_FN f8e5m2 f8e5m2_from(f32 x, u32 limit);
#else
DSLC_FN f8e4m3 f8e4m3_from(f32 x, u32 limit) { return f8e4m3{(u8)narrowed<8, 3, 7>(x, limit, 0x7f)}; }
DSLC_FN f8e5m2 f8e5m2_from(f32 x, u32 limit) { return f8e5m2{(u8)narrowed<8, 2, 15>(x, limit, 0x7e)}; }
#endif

#ifdef DSLC_NATIVE_F16
DSLC_FN f16 f16_from(f32 x);
DSLC_FN bf16 bf16_from(f32 x);
#else
DSLC_FN f16 f16_from(f32 x) { return f16{(u16)narrowed<16, 10, 15>(x, 0x7c00, 0x7e00)}; }
DSLC_FN bf16 bf16_from(f32 x) {
    u32 u = bits_of(x), nan = (0 - (u32)(x != x)) & 0x7fc00000;   // masked before the shift: g++ 12 takes a fifth less for it
    return bf16{(u16)(((u + 0x7fff + (u >> 16 & 1)) | nan) >> 16)};
}
#endif

// f64 to f32, inexact results to the neighbour with an odd last bit: a later rounding to at most 22 bits then gives what one
// rounding from f64 would (Boldo and Melquiond 2008, round to odd is innocuous with two spare bits).
DSLC_FN f32 round_to_odd(f64 x) {
    f32 nearest = (f32)x;
    f64 back = nearest;
    u32 bits = bits_of(nearest);
    bits -= __builtin_fabs(back) > __builtin_fabs(x) ? 1 : 0;
    bits |= back != x ? 1 : 0;
    return f32_of(bits);
}

// `cast<To>(x)`: a wrapper over overloads, since functions have no partial specialisation.
template <class To> struct Cast {
    template <class From> DSLC_FN To from(From x) { return (To)x; }          // between built-in types
    DSLC_FN To from(f16 x) { return (To)widen(x); }
    DSLC_FN To from(bf16 x) { return (To)widen(x); }
    DSLC_FN To from(f8e4m3 x) { return (To)widen(x); }
    DSLC_FN To from(f8e5m2 x) { return (To)widen(x); }
};
// To a narrow float everything goes through f32: exact from narrow floats, rounded to nearest even from integers (as
// numpy and ml_dtypes do), rounded to odd from f64.
#define DSLC_CAST_TO_NARROW(TYPE, CONVERT)                                             \
    template <> struct Cast<TYPE> {                                                    \
        template <class From> DSLC_FN TYPE from(From x) { f32 w = (f32)x; return CONVERT; } \
        DSLC_FN TYPE from(f64 x) { f32 w = round_to_odd(x); return CONVERT; }          \
        DSLC_FN TYPE from(f16 x) { f32 w = widen(x); return CONVERT; }                 \
        DSLC_FN TYPE from(bf16 x) { f32 w = widen(x); return CONVERT; }                \
        DSLC_FN TYPE from(f8e4m3 x) { f32 w = widen(x); return CONVERT; }              \
        DSLC_FN TYPE from(f8e5m2 x) { f32 w = widen(x); return CONVERT; }              \
    };
DSLC_CAST_TO_NARROW(f16, f16_from(w))
DSLC_CAST_TO_NARROW(bf16, bf16_from(w))
DSLC_CAST_TO_NARROW(f8e4m3, f8e4m3_from(w, 0x7f))
DSLC_CAST_TO_NARROW(f8e5m2, f8e5m2_from(w, 0x7c))
#undef DSLC_CAST_TO_NARROW

template <class To, class From> DSLC_FN To cast(From x) { return ::Cast<To>::from(x); }

// Finite and infinite values are clipped to the largest number; NaN stays NaN.
template <class To> struct CastSaturate;
template <> struct CastSaturate<f8e4m3> { DSLC_FN f8e4m3 from(f32 x) { return f8e4m3_from(x, 0x7e); } };
template <> struct CastSaturate<f8e5m2> { DSLC_FN f8e5m2 from(f32 x) { return f8e5m2_from(x, 0x7b); } };
template <class To, class From> DSLC_FN To cast_saturate(From x) { return CastSaturate<To>::from(cast<f32>(x)); }
template <class To> DSLC_FN To cast_saturate(f64 x) { return CastSaturate<To>::from(round_to_odd(x)); }

// ---------------------------------------------------------------- rounding to integral floats
DSLC_FN f32 round_rne(f32 x) { return __builtin_rintf(x); }
DSLC_FN f64 round_rne(f64 x) { return __builtin_rint(x); }
DSLC_FN f32 round_rtz(f32 x) { return __builtin_truncf(x); }
DSLC_FN f64 round_rtz(f64 x) { return __builtin_trunc(x); }
DSLC_FN f32 round_down(f32 x) { return __builtin_floorf(x); }
DSLC_FN f64 round_down(f64 x) { return __builtin_floor(x); }
DSLC_FN f32 round_up(f32 x) { return __builtin_ceilf(x); }
DSLC_FN f64 round_up(f64 x) { return __builtin_ceil(x); }
// Not floor(|x| + 0.5): that sum rounds 0.49999997 up to 1. The fraction x - trunc(x) is exact.
DSLC_FN f32 round_away(f32 x) {
    f32 t = __builtin_truncf(x);
    return __builtin_copysignf(t + (__builtin_fabsf(x - t) >= 0.5f ? __builtin_copysignf(1.0f, x) : 0.0f), x);
}
DSLC_FN f64 round_away(f64 x) {
    f64 t = __builtin_trunc(x);
    return __builtin_copysign(t + (__builtin_fabs(x - t) >= 0.5 ? __builtin_copysign(1.0, x) : 0.0), x);
}

// ---------------------------------------------------------------- integral float to integer, saturating, NaN to 0
template <class T> struct IntegerRange {
    static const bool is_signed = (T)-1 < (T)0;
    static const int bits = 8 * (int)sizeof(T);
    static const T highest = is_signed ? (T)(((u64)1 << (bits - 1)) - 1) : (T)-1;
    static const T lowest = is_signed ? (T)(-highest - 1) : (T)0;
};
// The same-size unsigned type, for arithmetic that must wrap.
template <class T> struct Unsigned { typedef T type; };
template <> struct Unsigned<i8> { typedef u8 type; };
template <> struct Unsigned<i16> { typedef u16 type; };
template <> struct Unsigned<i32> { typedef u32 type; };
template <> struct Unsigned<i64> { typedef u64 type; };

// lo and hi must be exact in the float's type; the conversion itself then never meets a value outside i32.
template <class F> DSLC_FN i32 to_int_range(F x, i32 lo, i32 hi) {
    F c = x > (F)lo ? x : (F)lo;
    c = c < (F)hi ? c : (F)hi;
    i32 r = (i32)c;
    return x != x ? 0 : r;
}

template <class I, class F> DSLC_FN I to_int(F x) {
    typedef IntegerRange<I> R;
    if (R::bits < 32)
        return (I)to_int_range(x, (i32)R::lowest, (i32)R::highest);
    const F top = R::is_signed ? (F)((u64)1 << (R::bits - 1)) : 2 * (F)((u64)1 << (R::bits - 1));   // highest + 1, exact
    I r = (I)(x >= (F)R::lowest && x < top ? x : (F)0);
    r = x >= top ? R::highest : r;
    return x < (F)R::lowest ? R::lowest : r;
}

// Integer to integer, clipped to the target's range.
template <class To, class From> DSLC_FN To int_saturate(From x, To lo = IntegerRange<To>::lowest, To hi = IntegerRange<To>::highest) {
    if (IntegerRange<From>::is_signed ? x < 0 && (!IntegerRange<To>::is_signed || (i64)x < (i64)lo) : false)
        return lo;
    return x > 0 && (u64)x > (u64)hi ? hi : (To)x;
}

// ---------------------------------------------------------------- integer arithmetic
// Division rounds to minus infinity. Undefined cases must not trap: x // 0 is 0, lowest // -1 wraps to lowest.
template <class T> DSLC_FN T floor_div(T a, T b) {
    typedef typename Unsigned<T>::type U;
#ifndef __CUDACC__                                           // which cannot be asked what is constant
    if (__builtin_constant_p(b) && b > 0 && (b & (T)(b - 1)) == 0)
        return (T)(a >> __builtin_ctzll((u64)b));            // vectorises; the division below cannot
#endif
    if (b == 0)
        return 0;
    if (IntegerRange<T>::is_signed && b == (T)-1)
        return (T)(U)(0 - (U)a);
    T q = (T)(a / b), r = (T)(a % b);
    return (T)(q - (IntegerRange<T>::is_signed && r != 0 && (r < 0) != (b < 0)));
}

// The remainder has the divisor's sign; x % 0 is 0.
template <class T> DSLC_FN T floor_mod(T a, T b) {
#ifndef __CUDACC__
    if (__builtin_constant_p(b) && b > 0 && (b & (T)(b - 1)) == 0)
        return (T)(a & (T)(b - 1));
#endif
    if (b == 0 || (IntegerRange<T>::is_signed && b == (T)-1))
        return 0;
    T r = (T)(a % b);
    return (T)(r + (IntegerRange<T>::is_signed && r != 0 && (r < 0) != (b < 0) ? b : (T)0));
}

template <class T> DSLC_FN T shift_left(T a, T n) {
    typedef typename Unsigned<T>::type U;
    // At least 32 bits wide: a promoted u16 is a signed int.
    return (T)(U)((u64)sizeof(T) < 4 ? (U)((u32)(U)a << ((u32)n & (IntegerRange<T>::bits - 1)))
                                     : (U)((U)a << ((U)n & (IntegerRange<T>::bits - 1))));
}
template <class T> DSLC_FN T shift_right(T a, T n) {
    typedef typename Unsigned<T>::type U;
    return (T)(a >> ((U)n & (U)(IntegerRange<T>::bits - 1)));
}

// GCC vectorises its builtin only with AVX512-VPOPCNTDQ; sums of ever wider bit fields vectorise everywhere.
DSLC_FN i32 popcount_32(u32 x) {
#if defined(__CUDA_ARCH__)
    return __popc(x);
#elif defined(__clang__) || defined(__AVX512VPOPCNTDQ__)
    return __builtin_popcount(x);
#else
    x = x - (x >> 1 & 0x55555555u);
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    return (i32)(x * 0x01010101u >> 24);
#endif
}
template <class T> DSLC_FN i32 popcount(T x) {
    typedef typename Unsigned<T>::type U;
    return sizeof(T) == 8 ? popcount_32((u32)(U)x) + popcount_32((u32)((u64)(U)x >> 32)) : popcount_32((u32)(U)x);
}

// ---------------------------------------------------------------- selection and fused multiply-add
// A NaN operand loses; two give NaN. (b != b is constant false for integers.)
template <class T> DSLC_FN T minimum(T a, T b) {
#ifdef DSLC_NATIVE_FUNCTIONS                                 // the instruction has this rule
    if constexpr (sizeof(T) == 4 && (T)0.5 != (T)0) return __builtin_fminf(a, b);
#endif
    T r = a < b ? a : b;
    return b != b ? a : r;
}
template <class T> DSLC_FN T maximum(T a, T b) {
#ifdef DSLC_NATIVE_FUNCTIONS                                 // the instruction has this rule
    if constexpr (sizeof(T) == 4 && (T)0.5 != (T)0) return __builtin_fmaxf(a, b);
#endif
    T r = a > b ? a : b;
    return b != b ? a : r;
}
template <class T> DSLC_FN T narrow_minimum(T a, T b) {
    f32 x = widen(a), y = widen(b);
    return select((x < y) | (y != y), a, b);
}
template <class T> DSLC_FN T narrow_maximum(T a, T b) {
    f32 x = widen(a), y = widen(b);
    return select((x > y) | (y != y), a, b);
}
template <class T> DSLC_FN T absolute(T a) { return a < 0 ? (T)(typename Unsigned<T>::type)(0 - (typename Unsigned<T>::type)a) : a; }
DSLC_FN f32 absolute(f32 a) { return __builtin_fabsf(a); }
DSLC_FN f64 absolute(f64 a) { return __builtin_fabs(a); }
template <class T> DSLC_FN T negate(T a) { return (T)(typename Unsigned<T>::type)(0 - (typename Unsigned<T>::type)a); }
DSLC_FN f32 negate(f32 a) { return -a; }
DSLC_FN f64 negate(f64 a) { return -a; }
#define DSLC_NARROW_SELECTION(TYPE, SIGN, UINT)                                  \
    DSLC_FN TYPE minimum(TYPE a, TYPE b) { return narrow_minimum(a, b); }        \
    DSLC_FN TYPE maximum(TYPE a, TYPE b) { return narrow_maximum(a, b); }        \
    DSLC_FN TYPE absolute(TYPE a) { return TYPE{(UINT)(a.bits & (SIGN - 1))}; }  \
    DSLC_FN TYPE negate(TYPE a) { return TYPE{(UINT)(a.bits ^ SIGN)}; }
DSLC_NARROW_SELECTION(f16, 0x8000, u16)
DSLC_NARROW_SELECTION(bf16, 0x8000, u16)
DSLC_NARROW_SELECTION(f8e4m3, 0x80, u8)
DSLC_NARROW_SELECTION(f8e5m2, 0x80, u8)
#undef DSLC_NARROW_SELECTION

// One rounding. An instruction where the machine has one, else the C library's.
DSLC_FN f32 fma_(f32 x, f32 y, f32 z) { return __builtin_fmaf(x, y, z); }
DSLC_FN f64 fma_(f64 x, f64 y, f64 z) { return __builtin_fma(x, y, z); }

// ---------------------------------------------------------------- random bits
// First word of Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011); rotations and parity constant from table 2 and section 3.3 there.
DSLC_FN u32 rotate_left(u32 x, u32 n) { return x << n | x >> (32 - n); }

#define DSLC_THREEFRY_FOUR_ROUNDS(R0, R1, R2, R3, KEY_X, KEY_Y, INJECTION) \
    x += y, y = rotate_left(y, R0) ^ x;                                    \
    x += y, y = rotate_left(y, R1) ^ x;                                    \
    x += y, y = rotate_left(y, R2) ^ x;                                    \
    x += y, y = rotate_left(y, R3) ^ x;                                    \
    x += KEY_X, y += KEY_Y + INJECTION;

DSLC_FN u32 random_bits(i64 seed, i64 counter) {
    u32 k0 = (u32)(u64)seed, k1 = (u32)((u64)seed >> 32), k2 = k0 ^ k1 ^ 0x1BD11BDAu;
    u32 x = (u32)(u64)counter + k0, y = (u32)((u64)counter >> 32) + k1;
    DSLC_THREEFRY_FOUR_ROUNDS(13, 15, 26, 6, k1, k2, 1u)
    DSLC_THREEFRY_FOUR_ROUNDS(17, 29, 16, 24, k2, k0, 2u)
    DSLC_THREEFRY_FOUR_ROUNDS(13, 15, 26, 6, k0, k1, 3u)
    DSLC_THREEFRY_FOUR_ROUNDS(17, 29, 16, 24, k1, k2, 4u)
    DSLC_THREEFRY_FOUR_ROUNDS(13, 15, 26, 6, k2, k0, 5u)
    return x;
}
#undef DSLC_THREEFRY_FOUR_ROUNDS

#endif
