// Conversions and elementary functions of f32 by instructions of the AMD GPU.
//
// v_exp_f32, v_log_f32, v_rsq_f32 and v_rcp_f32 are within one unit in the last place (2^-23) and flush subnormal operands and results
// (AMD instruction set references, "Vega", CDNA2, CDNA3: "1 ULP accuracy, denormals are flushed"), so both are kept away from there.
// Bounds to hold: 2^-20 relative, for exp and exp2 2^-22 |x| more.
#ifndef DSLC_TILE_HIP_MATH_H
#define DSLC_TILE_HIP_MATH_H

// The bits of a NaN's payload are the instruction's.
DSLC_FN f32 widen(f16 x) { return (f32)bitcast<_Float16>(x); }
DSLC_FN f16 f16_from(f32 x) { return bitcast<f16>((_Float16)x); }
DSLC_FN bf16 bf16_from(f32 x) { return bitcast<bf16>((__bf16)x); }  // an instruction on gfx950, integer arithmetic elsewhere

// 2^x = (2^(x/2))^2: a square root of any f32 is far from subnormal, and so is the square's rounding. 2 * 2^-23 + 2^-24 = 2^-21.7.
DSLC_FN f32 exp2_of_half(f32 half) {
    f32 root = __builtin_amdgcn_exp2f(half);
    return root * root;
}
DSLC_FN f32 exp2_(f32 x) { return exp2_of_half(x * 0.5f); }
// The product's rounding, and the constant's, are 1.5 * 2^-24 of the exponent: as much |x| relative to the result.
DSLC_FN f32 exp_(f32 x) { return exp2_of_half(x * 0x1.715476p-1f); }

// The compiler scales subnormal x. 2^-23 + 2^-24 relative.
DSLC_FN f32 log2_(f32 x) { return __builtin_log2f(x); }
DSLC_FN f32 log_(f32 x) { return __builtin_log2f(x) * 0x1.62e43p-1f; }

DSLC_FN f32 rsqrt_(f32 x) {
    bool small = x < 0x1p-126f;
    f32 root = __builtin_amdgcn_rsqf(small ? x * 0x1p24f : x);
    return small ? root * 0x1p12f : root;
}

// e^-|x| by a product of twice the digits, since there is no |x| in this bound: 2^-21.7, then 2^-23 + 2^-24.
DSLC_FN f32 sigmoid_(f32 x) {
    f32 a = clamped(-__builtin_fabsf(x), -105.0f, 0.0f);
    f32 high = a * 0x1.715476p+0f, low = __builtin_fmaf(a, 0x1.4ae0cp-26f, __builtin_fmaf(a, 0x1.715476p+0f, -high));
    f32 e = exp2_of_half(high * 0.5f);
    e = __builtin_fmaf(e, low * 0x1.62e43p-1f, e);
    return (x < 0 ? e : 1.0f) * __builtin_amdgcn_rcpf(1.0f + e);
}

#endif
