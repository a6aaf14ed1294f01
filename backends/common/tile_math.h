// Elementary functions, f32 and f64, without a mathematical library.
//
// Each is one straight line of selects, additions, multiplications and at most one division and one square root: a loop over
// it vectorises, and every target computes the same thing. Nothing here sets errno or needs a rounding mode other than nearest.
//
// Polynomials are minimax fits (Remez exchange in 50-digit arithmetic) for the stated interval and weight; "fit 2^-k" is their
// relative error before rounding. "Measured" is the worst error of the compiled f32 function against f64 references: all 2^32
// inputs for exp2 and log, every 61st input (erf: every 1220th) and the neighbourhoods of all powers of two for the rest. Results
// below 2^-126 are within half their spacing more. f64, on 10^5 to 10^6 samples: at most 5e-16 relative, erf 4e-16 absolute.
#ifndef DSLC_TILE_MATH_H
#define DSLC_TILE_MATH_H

#include "tile_types.h"

// x * y + z. Both forms stay within the bounds below; the fused one is faster where it is an instruction.
DSLC_FN f32 madd(f32 x, f32 y, f32 z) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__CUDA_ARCH__) || defined(__FP_FAST_FMAF)
    return __builtin_fmaf(x, y, z);
#else
    return x * y + z;
#endif
}
DSLC_FN f64 madd(f64 x, f64 y, f64 z) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__CUDA_ARCH__) || defined(__FP_FAST_FMA)
    return __builtin_fma(x, y, z);
#else
    return x * y + z;
#endif
}

// c0 + c1 x + c2 x^2 + .., by Horner's rule.
template <class T> DSLC_FN T polynomial(T, T c0) { return c0; }
template <class T, class... Rest> DSLC_FN T polynomial(T x, T c0, Rest... rest) { return madd(polynomial(x, rest...), x, c0); }

// Comparisons with NaN are false, so NaN passes through.
template <class T> DSLC_FN T clamped(T x, T lo, T hi) {
    T low = x < lo ? lo : x;
    return low > hi ? hi : low;
}

// Adding 1.5 * 2^23 leaves the nearest integer in the low mantissa bits. 254 = 2 * 127 more makes that integer carry two
// exponent biases, as `scaled` wants it.
static const f32 round_bias_f32 = 12582912.0f + 254.0f;
static const f64 round_bias_f64 = 6755399441055744.0 + 2046.0;

// p * 2^n for `biased` = n + round_bias: as two factors 2^(n/2), since 2^n alone leaves the exponent range where the result is
// subnormal or n is 128. Only the second product rounds. The shifts push round_bias's own bits out at the top.
DSLC_FN f32 scaled(f32 p, f32 biased) {
    u32 sum = bits_of(biased), half = sum >> 1;
    return p * f32_of(half << 23) * f32_of((sum - half) << 23);
}
DSLC_FN f64 scaled(f64 p, f64 biased) {
    u64 sum = bits_of(biased), half = sum >> 1;
    return p * f64_of(half << 52) * f64_of((sum - half) << 52);
}

// The lesser of two positive floats by their bits, which is one integer minimum; NaN and what is negative count as large.
DSLC_FN f32 at_most(f32 x, f32 most) {
    u32 bits = bits_of(x), limit = bits_of(most);
    return f32_of(bits < limit ? bits : limit);
}

// x, or 0 if `zero`, by a mask: as a choice, g++ 12 finds that what is computed from a 0 does not vary, moves it out of the loop, and is left with a branch.
DSLC_FN f32 unless(bool zero, f32 x) { return f32_of(bits_of(x) & ((u32)zero - 1)); }

// ---------------------------------------------------------------- exp2, exp
// x = n + f, |f| <= 1/2: 2^x = 2^n (1 + f ln2 + f^2 q(f)). q: degree 3, fit 2^-23.2 relative to 2^f.
// Above 129 the result is infinity, which 129 gives too. Measured 2^-22.5 relative.
// A target with instructions for powers and logarithms defines six functions of f32 itself, after this file.
#ifdef DSLC_NATIVE_FUNCTIONS
DSLC_FN f32 exp2_(f32 x);
DSLC_FN f32 exp_(f32 x);
DSLC_FN f32 log2_(f32 x);
DSLC_FN f32 log_(f32 x);
DSLC_FN f32 sigmoid_(f32 x);
DSLC_FN f32 rsqrt_(f32 x);
#else
// Below -151 the result is 0, whatever the rest gives; NaN is not below. With two float clamps of x, for which
// g++ 12 writes six blends, an element takes 0.47 ns on a Zen 3, and 0.31 so.
DSLC_FN f32 exp2_(f32 x) {
    f32 biased = at_most(x + round_bias_f32, round_bias_f32 + 129.0f), f = x - (biased - round_bias_f32);
    f32 q = polynomial(f, 0x1.ebf9fp-3f, 0x1.c6b3bp-5f, 0x1.3cdb6cp-7f, 0x1.5ca816p-10f);
    f32 power = scaled(madd(f, madd(f, q, 0x1.62e43p-1f), 1.0f), biased);
    return unless(x < -151.0f, power);
}

// e^r for r = x - n ln2, |r| <= ln2 / 2, as 1 + r + r^2 q(r). q: degree 3, fit 2^-23.2 relative to e^r; by halves, which takes a third off the chain.
// ln2 in two parts: the first has 10 bits, so n times it is exact. Measured 2^-22.1 relative.
DSLC_FN f32 exp_(f32 x) {
    f32 biased = at_most(madd(x, 0x1.715476p+0f, round_bias_f32), round_bias_f32 + 129.0f), n = biased - round_bias_f32;
    f32 r = madd(n, 0x1.bd0106p-13f, madd(n, -0x1.63p-1f, x)), square = r * r;
    f32 q = madd(square, madd(r, 0x1.106224p-7f, 0x1.5729fap-5f), madd(r, 0x1.5557bp-3f, 0x1.fffdfcp-2f));
    f32 power = scaled(madd(square, q, r + 1.0f), biased);
    return unless(x < -105.0f, power);
}
#endif

// (e^r - 1 - r) / r^2 for |r| <= ln2 / 2. Degree 9, fit 2^-55.6 relative to e^r - 1.
DSLC_FN f64 exp_tail(f64 r) {
    return polynomial(r, 0x1.0000000000005p-1, 0x1.5555555555539p-3, 0x1.55555555522c1p-5, 0x1.1111111118f92p-7,
                      0x1.6c16c17ed8efap-10, 0x1.a01a01751a72ap-13, 0x1.a019a777ff046p-16, 0x1.71de880151e7fp-19,
                      0x1.28a1d6d6d3670p-22, 0x1.ae6ba3e05722cp-26);
}
// r = x - n ln2 in two parts, the first of 32 bits.
DSLC_FN f64 less_multiples_of_ln2(f64 x, f64 n) { return madd(n, 0x1.718432a1b0e26p-35, madd(n, -0x1.62e42ff000000p-1, x)); }

DSLC_FN f64 exp_unclamped(f64 x) {
    f64 biased = madd(x, 0x1.71547652b82fep+0, round_bias_f64);
    f64 r = less_multiples_of_ln2(x, biased - round_bias_f64);
    return scaled(madd(r, madd(r, exp_tail(r), 1.0), 1.0), biased);
}
DSLC_FN f64 exp_(f64 x) { return exp_unclamped(clamped(x, -746.0, 710.0)); }

DSLC_FN f64 exp2_(f64 x) {
    x = clamped(x, -1077.0, 1025.0);
    f64 biased = x + round_bias_f64, f = x - (biased - round_bias_f64);
    f64 r = f * 0x1.62e42fefa39efp-1;                        // ln2
    return scaled(madd(r, madd(r, exp_tail(r), 1.0), 1.0), biased);
}

// ---------------------------------------------------------------- log, log2
// x = 2^e m with sqrt(1/2) <= m < sqrt(2); subnormal x is multiplied by 2^23 (2^54) first.
DSLC_FN f32 split_exponent(f32 x, f32 *e) {
    bool subnormal = x < 0x1p-126f;
    u32 bits = bits_of(subnormal ? x * 0x1p23f : x);
    i32 n = (i32)(bits - 0x3f3504f3) >> 23;                 // 0x3f3504f3 = sqrt(1/2)
    *e = (f32)(n - (subnormal ? 23 : 0));
    return f32_of(bits - ((u32)n << 23));
}
DSLC_FN f64 split_exponent(f64 x, f64 *e) {
    bool subnormal = x < 0x1p-1022;
    u64 bits = bits_of(subnormal ? x * 0x1p54 : x);
    u64 n = (bits - 0x3fe6a09e667f3bcdu + ((u64)1023 << 52)) >> 52;    // sqrt(1/2); biased, as AVX2 shifts 64 bits only unsigned
    *e = f64_of(bits_of(6755399441055744.0) + n) - (6755399441055744.0 + 1023.0) - (subnormal ? 54.0 : 0.0);
    return f64_of(bits - ((n - 1023) << 52));
}

// What IEEE asks of a logarithm outside (0, infinity).
template <class T> DSLC_FN T logarithm_domain(T x, T result) {
    const T infinity = (T)__builtin_inff(), nan = (T)__builtin_nanf("");
    T outside = x == 0 ? -infinity : nan;
    result = x > 0 ? result : outside;
    return x == infinity ? x : result;
}

#ifndef DSLC_NATIVE_FUNCTIONS
// log(1 + f) = f - f^2 / 2 + f^3 q(f), 1 + f = m. q: degree 6, fit 2^-24.9 relative to log(1 + f). Measured 2^-23.2 relative.
DSLC_FN f32 log_(f32 x) {
    f32 e, f = split_exponent(x, &e) - 1.0f, square = f * f;
    f32 q = polynomial(f, 0x1.5556d8p-2f, -0x1.000382p-2f, 0x1.98d7f6p-3f, -0x1.53822ep-3f, 0x1.31741ep-3f, -0x1.24335ap-3f,
                       0x1.64612ep-4f);
    f32 tail = madd(e, -0x1.bd0106p-13f, madd(-0.5f, square, square * f * q));
    return logarithm_domain(x, madd(e, 0x1.63p-1f, f + tail));
}

// log2(1 + f) = f log2(e) + f^2 q(f), log2(e) in two parts. q: degree 7, fit 2^-25.0 relative. Measured 2^-22.8 relative.
DSLC_FN f32 log2_(f32 x) {
    f32 e, f = split_exponent(x, &e) - 1.0f;
    f32 q = polynomial(f, -0x1.715472p-1f, 0x1.ec72f4p-2f, -0x1.715b1ap-2f, 0x1.26e752p-2f, -0x1.e9995cp-3f, 0x1.b8c5eap-3f,
                       -0x1.a6bbfcp-3f, 0x1.02147cp-3f);
    f32 tail = madd(f, 0x1.4ae0cp-26f, f * f * q);
    return logarithm_domain(x, madd(f, 0x1.715476p+0f, tail) + e);
}
#endif

// log(m) = 2 atanh(s), s = (m - 1) / (m + 1), as 2 s + s^3 q(s^2). q: degree 6, fit 2^-59.5 relative to log(m).
DSLC_FN f64 log_of_mantissa(f64 m) {
    f64 f = m - 1.0, s = f / (2.0 + f), z = s * s;
    f64 q = polynomial(z, 0x1.5555555555592p-1, 0x1.999999997fd72p-2, 0x1.24924941f5294p-2, 0x1.c71c5205ec95dp-3,
                       0x1.74663fa75566bp-3, 0x1.39a1a66908591p-3, 0x1.2f063acc23bd8p-3);
    return madd(s * z, q, s + s);
}
DSLC_FN f64 log_(f64 x) {
    f64 e, m = split_exponent(x, &e);
    return logarithm_domain(x, madd(e, 0x1.62e42ff000000p-1, madd(e, -0x1.718432a1b0e26p-35, log_of_mantissa(m))));
}
DSLC_FN f64 log2_(f64 x) {
    f64 e, m = split_exponent(x, &e);
    return logarithm_domain(x, madd(log_of_mantissa(m), 0x1.71547652b82fep+0, e));
}

// ---------------------------------------------------------------- sigmoid, tanh, erf
// With e = exp(-|x|): 1 / (1 + e), or e / (1 + e) left of zero; nothing overflows. Measured 2^-21.9 relative.
template <class T> DSLC_FN T sigmoid_of(T x, T e) { return (x < 0 ? e : (T)1) / ((T)1 + e); }
#ifndef DSLC_NATIVE_FUNCTIONS
DSLC_FN f32 sigmoid_(f32 x) { return sigmoid_of(x, exp_(-__builtin_fabsf(x))); }
#endif
DSLC_FN f64 sigmoid_(f64 x) { return sigmoid_of(x, exp_unclamped(clamped(-__builtin_fabs(x), -746.0, 0.0))); }

// e^x - 1 for -20 <= x <= 0 with the relative accuracy of the result: x = n ln2 + r, 2^n (e^r - 1) + (2^n - 1).
// e^r - 1 = r + r^2 q(r). q: degree 4, fit 2^-26.2 relative to e^r - 1.
DSLC_FN f32 exp_minus_one(f32 x) {
    f32 biased = madd(x, 0x1.715476p+0f, 12582912.0f + 127.0f), n = biased - (12582912.0f + 127.0f);
    f32 r = madd(n, 0x1.bd0106p-13f, madd(n, -0x1.63p-1f, x));
    f32 q = polynomial(r, 0x1.fffffep-2f, 0x1.5554bp-3f, 0x1.555674p-5f, 0x1.12276ap-7f, 0x1.6bebf6p-10f);
    f32 power = f32_of(bits_of(biased) << 23);
    return madd(power, madd(r * r, q, r), power - 1.0f);
}
DSLC_FN f64 exp_minus_one(f64 x) {
    f64 biased = madd(x, 0x1.71547652b82fep+0, 6755399441055744.0 + 1023.0), n = biased - (6755399441055744.0 + 1023.0);
    f64 r = less_multiples_of_ln2(x, n), power = f64_of(bits_of(biased) << 52);
    return madd(power, madd(r * r, exp_tail(r), r), power - 1.0);
}

// tanh |x| = -w / (2 + w) with w = exp(-2 |x|) - 1. Beyond the clamp the result rounds to 1. Measured 2^-22.5 relative.
DSLC_FN f32 tanh_(f32 x) {
    f32 a = __builtin_fabsf(x), w = exp_minus_one(-2.0f * (a > 10.0f ? 10.0f : a));
    return __builtin_copysignf(-w / (2.0f + w), x);
}
DSLC_FN f64 tanh_(f64 x) {
    f64 a = __builtin_fabs(x), w = exp_minus_one(-2.0 * (a > 20.0 ? 20.0 : a));
    return __builtin_copysign(-w / (2.0 + w), x);
}

// erf t = 1 - exp(-t q(t)) with q(t) = -log(erfc t) / t, which is smooth on the whole half line.
// q on [0, 3.95]: degree 7, fit 2^-24.7 relative to erf; erfc 3.95 = 2.3e-8 < 2^-25 rounds away. Measured 2^-22.2 relative.
DSLC_FN f32 erf_(f32 x) {
    f32 a = __builtin_fabsf(x), t = a > 3.95f ? 3.95f : a;
    f32 q = polynomial(t, 0x1.20dd76p+0f, 0x1.45f298p-1f, 0x1.a520b8p-4f, -0x1.3c9118p-6f, 0x1.af6246p-13f, 0x1.4823e2p-10f,
                       -0x1.8f8268p-12f, 0x1.557b26p-15f);
    return __builtin_copysignf(-exp_minus_one(-t * q), x);
}
// q on [0, 6] in u = t / 3 - 1: degree 23, fit 2^-52 absolute in erf; erfc 6 = 2.2e-17.
DSLC_FN f64 erf_(f64 x) {
    f64 a = __builtin_fabs(x), t = a > 6.0 ? 6.0 : a, u = madd(t, 1.0 / 3.0, -1.0);
    f64 q = polynomial(u, 0x1.c966f3b9c3d8ap+1, 0x1.5d7a72e67c07dp+1, 0x1.2293b821ef18cp-3, -0x1.33ec0e35c58f8p-4,
                       0x1.3c83717754fd4p-5, -0x1.32f7a95a7279ep-6, 0x1.0ee65a9f985b7p-7, -0x1.93ad0604e12ccp-9,
                       0x1.838d10f99d0f8p-11, 0x1.3b96d4d18907ep-13, -0x1.84fc979380899p-12, 0x1.723f980e9a2abp-12,
                       -0x1.022a0c4edf63fp-12, 0x1.86f5cfbb142a1p-14, -0x1.a9cb601fec5fcp-15, 0x1.7bcc41e4caf8bp-14,
                       0x1.6e690752c95dcp-18, -0x1.59c879a1a114dp-14, -0x1.0279ebb2d52a8p-16, 0x1.8474ec40b4e41p-15,
                       0x1.7003889400775p-16, -0x1.7552f57686b72p-16, -0x1.6625c0fddc56ep-18, 0x1.14062c48c7635p-18);
    return __builtin_copysign(-exp_minus_one(-t * q), x);
}

// ---------------------------------------------------------------- sin, cos
// x = n pi/2 + r, |r| <= pi/4. pi/2 in three parts of 8, 9 and 24 bits: n < 2^15 times the first two is exact.
// sin r = r (1 + r^2 s(r^2)), cos r = 1 - r^2 / 2 + r^4 c(r^2); 3 coefficients each, fits 2^-29 and 2^-33.
// Beyond 2^15 the reduction loses digits and r is clamped, so the result stays in [-1, 1]. Measured 2^-23.6 absolute below 2^15.
DSLC_FN f32 sin_shifted(f32 x, u32 quarter_turns) {
    f32 biased = madd(x, 0x1.45f306p-1f, 12582912.0f), n = biased - 12582912.0f;
    f32 r = madd(n, -0x1.5110b4p-22f, madd(n, -0x1.fbp-12f, madd(n, -0x1.92p+0f, x)));
    r = clamped(r, -0.8f, 0.8f);
    u32 quadrant = bits_of(biased) + quarter_turns;
    f32 z = r * r;
    f32 sine = r * madd(z, polynomial(z, -0x1.55554p-3f, 0x1.1105a6p-7f, -0x1.98d5d2p-13f), 1.0f);
    f32 cosine = madd(z, madd(z, polynomial(z, 0x1.55554ap-5f, -0x1.6c0c7ep-10f, 0x1.99fe72p-16f), -0.5f), 1.0f);
    return f32_of(bits_of(quadrant & 1 ? cosine : sine) ^ (quadrant & 2) << 30);
}
DSLC_FN f32 sin_(f32 x) { return sin_shifted(x, 0); }
DSLC_FN f32 cos_(f32 x) { return sin_shifted(x, 1); }

// pi/2 in parts of 33, 33 and 53 bits: exact products for n < 2^20. 6 coefficients each, fits 2^-58 and 2^-64.
DSLC_FN f64 sin_shifted(f64 x, u64 quarter_turns) {
    f64 biased = madd(x, 0x1.45f306dc9c883p-1, 6755399441055744.0), n = biased - 6755399441055744.0;
    f64 r = madd(n, -0x1.3198a2e037073p-69, madd(n, -0x1.0b4611a600000p-34, madd(n, -0x1.921fb54400000p+0, x)));
    r = clamped(r, -0.8, 0.8);
    u64 quadrant = bits_of(biased) + quarter_turns;
    f64 z = r * r;
    f64 s = polynomial(z, -0x1.5555555555549p-3, 0x1.111111110f832p-7, -0x1.a01a019c08270p-13, 0x1.71de356f2b2e1p-19,
                       -0x1.ae5e5f4970475p-26, 0x1.5d90ec7cf12a2p-33);
    f64 c = polynomial(z, 0x1.555555555554cp-5, -0x1.6c16c16c1512fp-10, 0x1.a01a019ca9bc3p-16, -0x1.27e4f803e81fdp-22,
                       0x1.1ee9e7a6a2e0fp-29, -0x1.8fac53f1d8107p-37);
    f64 sine = r * madd(z, s, 1.0), cosine = madd(z, madd(z, c, -0.5), 1.0);
    return f64_of(bits_of(quadrant & 1 ? cosine : sine) ^ (quadrant & 2) << 62);
}
DSLC_FN f64 sin_(f64 x) { return sin_shifted(x, (u64)0); }
DSLC_FN f64 cos_(f64 x) { return sin_shifted(x, (u64)1); }

// ---------------------------------------------------------------- roots
// The square root is correctly rounded, by the instruction. Its reciprocal rounds twice: at most 2^-23.
DSLC_FN f32 sqrt_(f32 x) { return __builtin_sqrtf(x); }
DSLC_FN f64 sqrt_(f64 x) { return __builtin_sqrt(x); }
#ifndef DSLC_NATIVE_FUNCTIONS
DSLC_FN f32 rsqrt_(f32 x) { return 1.0f / __builtin_sqrtf(x); }
#endif
DSLC_FN f64 rsqrt_(f64 x) { return 1.0 / __builtin_sqrt(x); }

#endif
