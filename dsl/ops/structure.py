"""Ops on whole tiles: creation, product, reductions, scans, shape, bit fields, lookup."""
from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..errors import DslError, check
from ..types import BOOL, F32, F64, I32, INDEX, DType, TileType, broadcasts_to
from .elementwise import wrap
from .table import Attrs, Types, axis_of, describe, op

Array = Any
REDUCTIONS = ("sum", "max", "min", "argmax", "argmin")


def extents(what: str, shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of extents; DslError unless all are positive integers known at compile time."""
    good = isinstance(shape, tuple) and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape)
    check(good, f"{what}: an extent must be a positive compile-time integer, got {shape!r}", hint="a tuple such as (BM, BN)")
    return tuple(shape)


# ---------------------------------------------------------------- creation
def _full_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    check(types[0].shape == (), f"full: the value must be a scalar, got {describe(types[0])}")
    return (TileType(types[0].dtype, extents("full", attrs["shape"])),)


op("full(value: T; shape) -> T", "A tile with every element equal to the scalar `value`.", group="c", infer=_full_type)(
    lambda value, shape: np.full(shape, value))
op("iota(; n) -> index", "0, 1, .. n-1.", group="c", infer=lambda _types, attrs: (TileType(INDEX, extents("iota", (attrs["n"],))),))(
    lambda n: np.arange(n, dtype=np.int64))


# ---------------------------------------------------------------- dot
def accumulates_in(a: DType, b: DType) -> DType | None:
    """The type that a product of these operands adds up in; None if they do not multiply."""
    if a is b and a.kind == "f":
        return F64 if a is F64 else F32
    return I32 if a.kind == b.kind == "i" and a.bits == b.bits and a.bits in (4, 8) else None


def _dot_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    a, b, *acc = types
    check(len(a.shape) == len(b.shape) == 2 and a.shape[1] == b.shape[0], f"dot: {describe(a)} and {describe(b)} do not multiply",
          hint="shapes must be (M, K) and (K, N); .T turns an operand")
    dtype = accumulates_in(a.dtype, b.dtype)
    if dtype is None:
        raise DslError(f"dot: operand types {a.dtype} and {b.dtype}; cast one", hint="one float type, or integers of one width (8 or 4 bits)")
    precision = attrs.get("precision")
    check(precision is None or (precision == "tf32" and a.dtype is F32), "dot: precision='tf32' is for f32 operands", hint="leave precision out")
    result = TileType(dtype, (a.shape[0], b.shape[1]))
    if acc:
        check(acc[0].value == result, f"dot: the accumulator must be {describe(result)}, got {describe(acc[0])}")
    return (result,)


@op("dot(a: T, b: T, acc: T?; precision=None) -> T", group="g", numeric="B", infer=_dot_type,
    error="(K + 8) 2^-23 sum |a||b|; tf32 + 2^-10, f8 + 2^-12; integers exact")
def dot(a: Array, b: Array, acc: Array | None = None, precision: str | None = None) -> Array:
    """a (M, K) @ b (K, N) + acc (M, N): f32 sums (f64 for f64, i32 for integers, wrapping); any order, the same on each run."""
    if a.dtype.kind in "iu":
        r = a.astype(np.int32) @ b.astype(np.int32)
    else:
        wide = np.float64 if a.dtype == np.float64 else np.float32
        x, y = (_tf32(v) if precision else v.astype(wide) for v in (a, b))
        r = x @ y
    return r if acc is None else acc + r


def _tf32(a: Array) -> Array:
    u = np.ascontiguousarray(a, np.float32).view(np.uint32)
    return ((u + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


# ---------------------------------------------------------------- reductions and scans
def sum_type(x: DType) -> DType:
    """The type of a sum: i32 for bool and small integers, f32 for narrow floats, else itself."""
    return I32 if x is BOOL or (x.kind == "i" and x.bits < 32) else x.widened


def _reduced(what: str, dtype: DType | None = None, sums: bool = False) -> Any:
    def infer(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
        shape = attrs["shape"] if "shape" in attrs else types[0].shape        # a fused body: the shape it ranges over
        axis = axis_of(what, attrs["axis"], len(shape))
        of = attrs.get("dtype") or types[0].dtype
        check(not sums or sum_type(of) is of, f"{what}: {of} must be widened before it is added up")
        return (TileType(dtype or of, tuple(n for d, n in enumerate(shape) if d != axis)),)
    return infer


def _worst_nan(x: Array, worst: float) -> Array:
    return np.where(np.isnan(x), worst, x) if x.dtype.kind == "f" else x


op("sum(x: T; axis) -> T", "The sum over one axis, which is dropped; bool counts, small integers add in i32 and wrap.", group="h", numeric="B",
   error="n 2^-24 sum |x|, a fixed order per build; integers exact", rule="summation", infer=_reduced("sum", sums=True))(
    lambda x, axis: x.sum(axis, dtype=x.dtype))
op("max(x: C; axis) -> C", "The greatest element over one axis; NaN loses, all NaN give NaN; of bool, any.", group="h", rule="selection",
   infer=_reduced("max"))(np.fmax.reduce)
op("min(x: C; axis) -> C", "The least element over one axis; NaN loses, all NaN give NaN; of bool, all.", group="h", rule="selection",
   infer=_reduced("min"))(np.fmin.reduce)
op("argmax(x: N; axis) -> index", "The index of the greatest element; the lowest on ties; NaN never wins; 0 if nothing does.", group="h", rule="comparison",
   infer=_reduced("argmax", INDEX))(lambda x, axis: np.argmax(_worst_nan(x, -np.inf), axis))
op("argmin(x: N; axis) -> index", "The index of the least element; the lowest on ties; NaN never wins; 0 if nothing does.", group="h", rule="comparison",
   infer=_reduced("argmin", INDEX))(lambda x, axis: np.argmin(_worst_nan(x, np.inf), axis))


def _cumsum_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    axis_of("cumsum", attrs["axis"], len(types[0].shape))
    check(sum_type(types[0].dtype) is types[0].dtype, f"cumsum: {types[0].dtype} must be widened before it is added up")
    return (types[0].value,)


op("cumsum(x: T; axis) -> T", "Inclusive prefix sums along an axis; typed like sum.", group="i", numeric="B", error="as sum", rule="summation",
   infer=_cumsum_type)(lambda x, axis: np.cumsum(x, axis, dtype=x.dtype))


def _segment_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    x, segment = types
    (n,) = extents("segment_sum: n", (attrs["n"],))
    check(segment.dtype.kind == "i" and len(segment.shape) == 1 and x.shape[:1] == segment.shape,
          f"segment_sum: {describe(x)} by {describe(segment)}", hint="one integer id for each element of axis 0")
    check(sum_type(x.dtype) is x.dtype, f"segment_sum: {x.dtype} must be widened before it is added up")
    return (TileType(x.dtype, (n, *x.shape[1:])),)


@op("segment_sum(x: T, segment: I; n) -> T", group="i", numeric="B", error="as sum", rule="summation", infer=_segment_type)
def segment_sum(x: Array, segment: Array, n: int) -> Array:
    """out[s] = sum of x[i] over i with segment[i] == s, along axis 0, in order of i; ids outside 0..n-1 are dropped."""
    out = np.zeros((n, *x.shape[1:]), x.dtype)
    ok = (segment >= 0) & (segment < n)
    np.add.at(out, segment[ok].astype(np.int64), x[ok])
    return out


# ---------------------------------------------------------------- shape
def _transpose_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), axes = types, attrs["axes"]
    good = isinstance(axes, tuple) and sorted(axes) == list(range(len(x.shape)))
    check(good, f"transpose: {axes} is not an order of the axes of {describe(x)}", hint="each axis once; .T is for rank 2")
    return (TileType(x.dtype, tuple(x.shape[a] for a in axes)),)


def _reshape_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), shape = types, extents("reshape", attrs["shape"])
    check(prod(shape) == x.size, f"reshape: {describe(x)} to {shape}: {x.size} elements cannot become {prod(shape)}")
    return (TileType(x.dtype, shape),)


def _broadcast_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), shape = types, extents("broadcast", attrs["shape"])
    check(broadcasts_to(x.shape, shape), f"broadcast: {describe(x)} does not broadcast to {shape}")
    return (TileType(x.dtype, shape),)


def _split_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), n = types, attrs["n"]
    axis = axis_of("split", attrs["axis"], len(x.shape))
    check(isinstance(n, int) and n > 0 and x.shape[axis] % n == 0, f"split: {describe(x)} into {n} along axis {axis}", hint="the parts must be equal")
    return (TileType(x.dtype, tuple(s // n if d == axis else s for d, s in enumerate(x.shape))),) * int(n)


def _concat_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    first, axis = types[0], axis_of("concat", attrs["axis"], len(types[0].shape))
    for t in types:
        check(t.dtype is first.dtype, f"concat: types differ: {first.dtype} and {t.dtype}", hint="cast one")
        same = len(t.shape) == len(first.shape) and all(d == axis or a == b for d, (a, b) in enumerate(zip(t.shape, first.shape, strict=False)))
        check(same, f"concat: {describe(first)} and {describe(t)} differ beside axis {axis}")
    total = sum(t.shape[axis] for t in types)
    return (TileType(first.dtype, tuple(total if d == axis else s for d, s in enumerate(first.shape))),)


op("transpose(x: T; axes) -> T", "The tile with its axes in another order.", group="j", infer=_transpose_type)(lambda x, axes: x.transpose(axes))
op("reshape(x: T; shape) -> T", "The same elements in row-major order under another shape.", group="j", infer=_reshape_type)(
    lambda x, shape: x.reshape(shape))
op("broadcast(x: T; shape) -> T", "The tile repeated along axes of extent 1, by numpy's rules.", group="j", infer=_broadcast_type)(np.broadcast_to)
op("split(x: T; n, axis) -> T", "n equal parts along an axis.", group="j", infer=_split_type)(lambda x, n, axis: tuple(np.split(x, n, axis)))
op("concat(*parts: T; axis) -> T", "The parts joined along an axis.", group="j", infer=_concat_type)(lambda *parts, axis: np.concatenate(parts, axis))


# ---------------------------------------------------------------- bit fields, lookup
def _fields(what: str, word: DType, part: Any, order: Any) -> int:
    good = isinstance(part, DType) and part.kind in "ib" and word.kind == "i" and word.bits >= 8 and word.bits % part.bits == 0 and part.bits < word.bits
    check(good, f"{what}: {part!r} does not divide the bits of {word}")
    check(order in ("adjacent", "split"), f"{what}: order must be 'adjacent' or 'split', got {order!r}")
    return int(word.bits // part.bits)


def _unpack_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), dtype = types, attrs["dtype"]
    n = _fields("unpack", x.dtype, dtype, attrs.get("order", "adjacent"))
    check(x.shape, "unpack: a scalar has no last axis to grow", hint="reshape it to (1,)")
    return (TileType(dtype, (*x.shape[:-1], x.shape[-1] * n)),)


@op('unpack(x: I; dtype, order="adjacent") -> dtype', group="k", infer=_unpack_type)
def unpack(x: Array, dtype: DType, order: str = "adjacent") -> Array:
    """The bit fields of each word of the last axis, lowest first.  adjacent: word w holds w*F .. w*F+F-1; split: w, w+W, w+2W, .."""
    n = 8 * x.dtype.itemsize // dtype.bits
    words = x.view(f"u{x.dtype.itemsize}").astype(np.uint64)
    f = (words[..., None] >> (np.arange(n, dtype=np.uint64) * np.uint64(dtype.bits))) & np.uint64((1 << dtype.bits) - 1)
    f = (f.swapaxes(-1, -2) if order == "split" else f).reshape(*x.shape[:-1], -1)
    return f.astype(bool) if dtype is BOOL else wrap(f.astype(np.int64), dtype)


def _pack_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    (x,), dtype = types, attrs["dtype"]
    check(isinstance(dtype, DType), f"pack: expected a dtype, got {dtype!r}")
    n = _fields("pack", dtype, x.dtype, attrs.get("order", "adjacent"))
    check(x.shape and x.shape[-1] % n == 0, f"pack: the last axis of {describe(x)} is not a multiple of {n}", hint=f"{n} elements fill one {dtype}")
    return (TileType(dtype, (*x.shape[:-1], x.shape[-1] // n)),)


@op('pack(x: J; dtype, order="adjacent") -> dtype', group="k", infer=_pack_type)
def pack(x: Array, dtype: DType, order: str = "adjacent", bits: int | None = None) -> Array:
    """The inverse of unpack: elements of the last axis become fields of words.  `bits` is the width of an element, 1 for bool."""
    width = bits or (1 if x.dtype == np.bool_ else 8 * x.dtype.itemsize)
    n = dtype.bits // width
    shape = (n, x.shape[-1] // n) if order == "split" else (x.shape[-1] // n, n)
    f = (x.astype(np.int64).astype(np.uint64) & np.uint64((1 << width) - 1)).reshape(*x.shape[:-1], *shape)
    f = f.swapaxes(-1, -2) if order == "split" else f
    words = np.bitwise_or.reduce(f << (np.arange(n, dtype=np.uint64) * np.uint64(width)), -1)
    return words.astype(f"u{dtype.bytes}").view(dtype.numpy)


def _take_type(types: Types, _attrs: Attrs) -> tuple[TileType, ...]:
    table, index = types
    check(table.shape, "take: the table must have an axis 0, got a scalar")
    check(index.dtype.kind == "i", f"take: the index must hold integers, got {describe(index)}")
    return (TileType(table.dtype, (*index.shape, *table.shape[1:])),)


@op("take(table: T, index: I) -> T", group="l", infer=_take_type)
def take(table: Array, index: Array) -> Array:
    """table[index] along axis 0; zero where the index is outside."""
    index = np.asarray(index).astype(np.int64)
    ok = (index >= 0) & (index < table.shape[0])
    a = table[np.where(ok, index, 0)]
    return np.where(ok.reshape(ok.shape + (1,) * (a.ndim - ok.ndim)), a, np.zeros((), table.dtype))


