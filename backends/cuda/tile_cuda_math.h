// Conversions and functions by the machine's own instructions, where their documented error fits the language's bound. Device code only.
// Conversions agree with tile_types.h in every bit but those of a NaN, which the language leaves open.
#ifndef DSLC_TILE_CUDA_MATH_H
#define DSLC_TILE_CUDA_MATH_H

// ---------------------------------------------------------------- 16-bit floats
DSLC_FN f32 widen(f16 x) {
    f32 r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
    return r;
}
DSLC_FN f16 f16_from(f32 x) {
    u16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x));
    return f16{r};
}
DSLC_FN bf16 bf16_from(f32 x) {
    u16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x));
    return bf16{r};
}

// ---------------------------------------------------------------- 8-bit floats
// The instructions convert pairs, and clip to the largest number: beyond the point that rounds past it, `limit` says what to give.
#ifdef DSLC_NATIVE_F8
DSLC_FN f32 widen(f8e4m3 x) {
    u32 pair;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"((u16)x.bits));
    return widen(f16{(u16)pair});
}
DSLC_FN f8e4m3 f8e4m3_from(f32 x, u32 limit) {
    u16 pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(x));
    const bool beyond = limit == 0x7f && __builtin_fabsf(x) > 464.0f;        // 448 and half a spacing; 464 is a tie and goes to 448, which is even
    return f8e4m3{(u8)(beyond ? pair | 0x7f : pair)};
}
DSLC_FN f8e5m2 f8e5m2_from(f32 x, u32 limit) {
    u16 pair;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(x));
    const bool beyond = limit == 0x7c && __builtin_fabsf(x) >= 61440.0f;     // 57344 and half a spacing: a tie, and infinity is even
    return f8e5m2{(u8)(beyond ? (pair & 0x80) | 0x7c : pair)};
}
#endif

// ---------------------------------------------------------------- selection: fmin and fmax let a NaN lose, in one instruction
DSLC_FN f32 minimum(f32 a, f32 b) { return fminf(a, b); }
DSLC_FN f32 maximum(f32 a, f32 b) { return fmaxf(a, b); }
DSLC_FN f64 minimum(f64 a, f64 b) { return fmin(a, b); }
DSLC_FN f64 maximum(f64 a, f64 b) { return fmax(a, b); }

// ---------------------------------------------------------------- powers and logarithms
// PTX, ex2.approx.f32: relative error at most 2^-22, subnormal results kept.
DSLC_FN f32 exp2_(f32 x) {
    f32 r;
    asm("ex2.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
// x log2(e) is off by 2^-24 of itself for the product and 2^-26 for the constant: 2^-22 + 2^-23.6 |x| at most.
DSLC_FN f32 exp_(f32 x) { return exp2_(x * 0x1.715476p+0f); }

// PTX, lg2.approx.f32: absolute error at most 2^-22 for arguments in (1/2, 2), else relative error at most 2^-22; subnormal arguments taken.
DSLC_FN f32 log2_(f32 x) {
    f32 r;
    asm("lg2.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
DSLC_FN f32 log_(f32 x) { return log2_(x) * 0x1.62e43p-1f; }

// PTX, rsqrt.approx.f32: relative error at most 2^-22.9, subnormal arguments taken.
DSLC_FN f32 rsqrt_(f32 x) {
    f32 r;
    asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
// With e = exp(-|x|): 1 / (1 + e), or e / (1 + e) left of zero. -|x| log2(e) is taken in two parts, so that e is off by 2^-22 + 2^-23 however large x;
// rcp.approx.f32 by 2^-23 (PTX). Beyond 150 e is 0; there the low part of an infinite product would be a NaN.
DSLC_FN f32 sigmoid_(f32 x) {
    const f32 a = clamped(-__builtin_fabsf(x), -150.0f, 0.0f), t = a * 0x1.715476p+0f;
    const f32 low = __builtin_fmaf(a, 0x1.4ae0cp-26f, __builtin_fmaf(a, 0x1.715476p+0f, -t));
    const f32 power = exp2_(t), e = __builtin_fmaf(power * low, 0x1.62e43p-1f, power);
    f32 r;
    asm("rcp.approx.f32 %0, %1;" : "=f"(r) : "f"(1.0f + e));
    return (x < 0 ? e : 1.0f) * r;
}

#endif
