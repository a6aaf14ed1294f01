"""Ops on one element at a time: arithmetic, comparison, selection, functions, conversion, random bits."""
from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np

from ..errors import check
from ..types import BOOL, DType, TileType
from .table import Attrs, Types, describe, op

Array = Any  # a numpy array or scalar; numpy's own annotations do not follow dtypes through these formulas
_finfo: Any = ml_dtypes.finfo     # untyped
ROUNDINGS: dict[str, Any] = {"rne": np.rint, "rtz": np.trunc, "down": np.floor, "up": np.ceil,
             "away": lambda x: np.copysign(np.floor(np.abs(x)) + (np.abs(x) - np.floor(np.abs(x)) >= 0.5), x)}


# ---------------------------------------------------------------- operators, comparison, selection
# Signature, group, numeric class, promotion rule, meaning, documentation.
_POINTWISE: list[tuple[str, str, str, str, Any, str]] = [
    ("add(x: N, y: N) -> N", "d", "R", "arithmetic", operator.add, "x + y; integers wrap."),
    ("sub(x: N, y: N) -> N", "d", "R", "arithmetic", operator.sub, "x - y; integers wrap."),
    ("mul(x: N, y: N) -> N", "d", "R", "arithmetic", operator.mul, "x * y; integers wrap."),
    ("div(x: F, y: F) -> F", "d", "R", "arithmetic", operator.truediv, "x / y, a true division; integers are cast first."),
    ("floordiv(x: I, y: I) -> I", "d", "E", "arithmetic", lambda x, y: np.where(y == 0, 0, np.floor_divide(x, np.where(y == 0, 1, y))),
     "The floor of x / y; a zero divisor gives 0 (undefined in the language, defined here so that nothing traps)."),
    ("mod(x: I, y: I) -> I", "d", "E", "arithmetic", lambda x, y: np.where(y == 0, 0, np.mod(x, np.where(y == 0, 1, y))),
     "x - y * floor(x / y); a zero divisor gives 0."),
    ("neg(x: N) -> N", "d", "E", "selection", operator.neg, "-x, the sign bit of a float flipped."),
    ("and(x: J, y: J) -> J", "d", "E", "bitwise", operator.and_, "x & y, bit by bit."),
    ("or(x: J, y: J) -> J", "d", "E", "bitwise", operator.or_, "x | y, bit by bit."),
    ("xor(x: J, y: J) -> J", "d", "E", "bitwise", operator.xor, "x ^ y, bit by bit."),
    ("not(x: J) -> J", "d", "E", "bitwise", operator.invert, "~x; of a bool, its negation."),
    ("shl(x: I, n: I) -> I", "d", "E", "arithmetic", lambda x, n: x << (n & (8 * x.dtype.itemsize - 1)),
     "x << n for n in 0..bits-1; other amounts are taken modulo the width."),
    ("shr(x: I, n: I) -> I", "d", "E", "arithmetic", lambda x, n: x >> (n & (8 * x.dtype.itemsize - 1)), "x >> n, arithmetic on signed types."),
    *((f"{name}(x: C, y: C) -> bool", "d", "E", "comparison", f, f"x {sign} y as a bool; a NaN is unequal to all.") for name, (sign, f) in {
        "lt": ("<", np.less), "le": ("<=", np.less_equal), "gt": (">", np.greater), "ge": (">=", np.greater_equal),
        "eq": ("==", np.equal), "ne": ("!=", np.not_equal)}.items()),
    ("where(c: bool, x: T, y: T) -> T", "e", "E", "selection", np.where, "x where c holds, else y; the type is kept."),
    ("minimum(x: C, y: C) -> C", "e", "E", "selection", np.fmin, "The smaller; a NaN operand loses, two give NaN; which of +0 and -0 is open."),
    ("maximum(x: C, y: C) -> C", "e", "E", "selection", np.fmax, "The larger; a NaN operand loses, two give NaN; which of +0 and -0 is open."),
    ("abs(x: N) -> N", "e", "E", "selection", np.abs, "The absolute value; of the least integer, itself."),
    ("sqrt(x: F) -> F", "e", "R", "arithmetic", np.sqrt, "The square root; NaN below zero."),
    ("popcount(x: I) -> i32", "e", "E", "exact", lambda x: np.bitwise_count(x.view(f"u{x.dtype.itemsize}")), "The number of one bits (two's complement).")]
for _signature, _group, _numeric, _rule, _meaning, _doc in _POINTWISE:
    op(_signature, _doc, group=_group, numeric=_numeric, rule=_rule, language=_group != "d")(_meaning)


# ---------------------------------------------------------------- arithmetic functions
@op("fma(x: F, y: F, z: F) -> F", group="e", numeric="R", rule="arithmetic")
def fma(x: Array, y: Array, z: Array) -> Array:
    """x * y + z, rounded once."""
    if np.result_type(x) == np.float64:
        return np.vectorize(_fma64, otypes=[np.float64])(x, y, z)
    product, z = np.asarray(x, np.float64) * np.asarray(y, np.float64), np.asarray(z, np.float64)     # 48 bits: exact
    total = product + z
    part = total - product
    rest = (product - (total - part)) + (z - part)          # Knuth's two-sum: total + rest is the exact sum
    bits = total.view(np.int64)
    # Round to odd, so that the second rounding, to f32, is the only one that counts (Boldo and Melquiond, 2008).
    even = np.isfinite(total) & (rest != 0) & (bits & 1 == 0)
    away = np.where((rest > 0) == (total > 0), 1, -1)
    return np.where(even, (bits + np.where(even, away, 0)).view(np.float64), total).astype(np.float32)


def _fma64(x: float, y: float, z: float) -> float:
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        return x * y + z
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    try:
        return float(exact) if exact else x * y + z
    except OverflowError:
        return math.copysign(math.inf, exact)


def _in_f64(f: Any) -> Any:
    """`f` computed in f64, rounded to the type of its argument."""
    return lambda x: np.asarray(f(np.asarray(x, np.float64))).astype(np.result_type(x))


_REL, _EXP = "2^-20 relative", "2^-20 + 2^-22 |x| relative"
_LOG, _ODD, _TRIG = "2^-20 relative; near 1, 2^-21 absolute", "2^-20 absolute, and relative above 2^-10", "2^-19 absolute for |x| < 2^15"
for _name, _doc, _error, _f in (
        ("rsqrt", "1 / sqrt(x).", _REL, lambda x: 1 / np.sqrt(x)),
        ("exp", "e to the x.", _EXP, np.exp),
        ("exp2", "2 to the x; exp2(-inf) = 0.", _EXP, np.exp2),
        ("log", "The natural logarithm; log(0) = -inf.", _LOG, np.log),
        ("log2", "The logarithm to base 2; log2(0) = -inf.", _LOG, np.log2),
        ("sigmoid", "1 / (1 + exp(-x)).", _REL, lambda x: np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))),
        ("tanh", "The hyperbolic tangent.", _ODD, np.tanh),
        ("erf", "The error function.", _ODD, np.vectorize(math.erf, otypes=[np.float64])),
        ("sin", "The sine of radians.", _TRIG, np.sin),
        ("cos", "The cosine of radians.", _TRIG, np.cos)):
    op(f"{_name}(x: F) -> F", _doc, group="e", numeric="B", error=_error, rule="arithmetic")(_in_f64(_f))


# ---------------------------------------------------------------- conversion
def _cast_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), dtype, mode = types, attrs["dtype"], attrs.get("round")
    check(isinstance(dtype, DType), f"cast: expected a dtype, got {dtype!r}", hint="tile.cast(x, tile.f32)")
    check(dtype is not BOOL or x.dtype is BOOL, f"cast: {describe(x)} to bool is not a cast", hint="write x != 0")
    check(dtype.kind != "f" or mode in (None, "rne"), f"cast: only rne rounds to {dtype}, got {mode!r}")
    named = x.dtype.kind != "f" or dtype.kind != "i" or mode in ROUNDINGS
    check(named, f"cast: {x.dtype} to {dtype} needs round= one of {sorted(ROUNDINGS)}", hint='tile.cast(x, tile.i32, round="rne")')
    return (TileType(dtype, x.shape),)


@op("cast(x: T; dtype, round=None, saturate=None) -> dtype", group="f", infer=_cast_type, elementwise=True)
def cast(x: Array, dtype: DType, round: str | None = None, saturate: bool | None = None) -> Array:
    """x as dtype.  To a float: nearest even, overflow to infinity, f8 saturates unless saturate=False.  Float to integer: a named
    rounding, saturating, NaN gives 0.  Integer to integer wraps, or saturates with saturate=True."""
    x = np.asarray(x)
    if x.dtype.kind in "fV":
        return _float_to_float(x, dtype, saturate) if dtype.kind == "f" else _float_to_int(x, dtype, round or "rne")
    if dtype.kind == "f":
        return _float_to_float(x.astype(np.float64 if dtype.bits != 32 else np.float32), dtype, saturate)
    return wrap(np.clip(x, dtype.lo, dtype.hi) if saturate else x, dtype)


def _float_to_float(x: Array, dtype: DType, saturate: bool | None) -> Array:
    x = x.astype(np.float32) if x.dtype.itemsize < 4 else x
    if dtype.bits == 8 and saturate is not False:
        top = float(_finfo(dtype.numpy).max)
        x = np.where(np.isnan(x), x, np.clip(x, -top, top))
    if x.dtype == np.float64 and dtype.bits < 32:
        x = _odd_f32(x)
    return x.astype(dtype.numpy)


def _odd_f32(x: Array) -> Array:
    """f64 to f32 rounded to odd: a further rounding to 16 or 8 bits then acts as if it were the only one."""
    near = x.astype(np.float32)
    bits, inexact = near.view(np.int32), np.isfinite(near) & (near.astype(np.float64) != x)
    toward = np.where((near.astype(np.float64) < x) == (x > 0), np.int32(1), np.int32(-1))
    return np.where(inexact & (bits & 1 == 0), (bits + np.where(inexact, toward, 0)).view(np.float32), near)


def _float_to_int(x: Array, dtype: DType, mode: str) -> Array:
    y = ROUNDINGS[mode](np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    top = float(dtype.hi)                                   # for 64 bits this rounds up to a power of two: compare, then clip
    inside = np.where((y < top) & (y > float(dtype.lo)), y, 0.0).astype(dtype.numpy)
    return np.where(y >= top, dtype.numpy.type(dtype.hi), np.where(y <= float(dtype.lo), dtype.numpy.type(dtype.lo), inside))


def wrap(x: Array, dtype: DType) -> Array:
    """Integers reduced modulo 2^bits into the range of `dtype`."""
    x = np.asarray(x)
    if dtype.bits < 8:
        x = x.astype(np.int64) & ((1 << dtype.bits) - 1)
        x = np.where(x > dtype.hi, x - (1 << dtype.bits), x)
    return x.astype(dtype.numpy)


op('round(x: F; mode="rne") -> F', "x rounded to an integral float: mode is rne, rtz, down, up or away (half away from zero).", group="f", rule="selection")(
    lambda x, mode="rne": ROUNDINGS[mode](x))


def _bitcast_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), dtype = types, attrs["dtype"]
    good = isinstance(dtype, DType) and x.dtype.bits == dtype.bits >= 8
    check(good, f"bitcast: {x.dtype} and {dtype} differ in width", hint="both must have 8, 16, 32 or 64 bits")
    return (TileType(dtype, x.shape),)


op("bitcast(x: T; dtype) -> dtype", "The same bits as another type of the same width.", group="f", infer=_bitcast_type, elementwise=True)(
    lambda x, dtype: np.ascontiguousarray(x).view(dtype.numpy).reshape(np.shape(x)))


# ---------------------------------------------------------------- random bits, coordinates
_THREEFRY = (13, 15, 26, 6, 17, 29, 16, 24)      # rotations of Threefry-2x32 (Salmon et al., SC'11, table 2)
_PARITY = np.uint32(0x1BD11BDA)                  # key schedule parity, the same paper, section 2.2


@op("random(seed: I, counter: J) -> u32", group="m", rule="counter")
def random(seed: Array, counter: Array) -> Array:
    """32 random bits: the first word of Threefry-2x32 with 20 rounds, key = seed, counter = the 64-bit counter."""
    seed, counter = np.asarray(seed).astype(np.uint64), np.asarray(counter).astype(np.uint64)
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    key = [(seed & low).astype(np.uint32), (seed >> high).astype(np.uint32)]
    key.append(key[0] ^ key[1] ^ _PARITY)
    x, y = (counter & low).astype(np.uint32) + key[0], (counter >> high).astype(np.uint32) + key[1]
    for i in range(20):
        r = np.uint32(_THREEFRY[i % 8])
        x = x + y
        y = ((y << r) | (y >> (np.uint32(32) - r))) ^ x
        if i % 4 == 3:
            j = i // 4 + 1
            x, y = x + key[j % 3], y + key[(j + 1) % 3] + np.uint32(j)
    return x
