"""load, store and the atomics: coordinates of a place, and the conversion of what is stored."""
from __future__ import annotations

from typing import Any

from ..errors import check
from ..ir import Arg, Const, Operand, Span, Value
from ..ops.control import ATOMIC_TYPES, access_shape
from ..types import BOOL, INDEX, DType, TileType, broadcasts_to
from .emitter import Emitter
from .promotion import literal
from .values import integer, is_tensor, is_tile, shown


def load(emitter: Emitter, t: Any, at: Any, pad: Any) -> Value:
    """The elements at `at`, `pad` where a coordinate is outside."""
    tensor, place, shape = locate(emitter, t, at, "load")
    check(not is_tile(pad), "load: pad must be a compile-time constant, got a run-time value; declare it `const`", hint="load with a constant pad, then where")
    number = literal(bool(pad) if tensor.tensor.dtype is BOOL and pad in (0, 1) else pad, tensor.tensor.dtype, "load: pad").value
    (result,) = emitter.add("load", (tensor, *place), (TileType(tensor.tensor.dtype, shape),), attrs={"pad": number or 0})
    return result


def store(emitter: Emitter, t: Any, at: Any, value: Any, what: str) -> None:
    """A store or an atomic: `value` is broadcast to the place and converted to the tensor's dtype."""
    tensor, place, shape = locate(emitter, t, at, what)
    if what != "store":
        check(tensor.tensor.dtype in ATOMIC_TYPES, f"{what}: {tensor.name} must be i32, u32, i64 or f32, got {tensor.tensor.dtype}")
    emitter.add(what, (tensor, stored(emitter, tensor, value, shape, what), *place))


def locate(emitter: Emitter, t: Any, at: Any, what: str) -> tuple[Value, list[Operand], tuple[int, ...]]:
    """The tensor, one coordinate for each of its dimensions, and the shape of what is addressed."""
    hint = "test an optional tensor first: if bias is not None:" if t is None else "a tensor is a parameter annotated with dimensions"
    check(is_tensor(t), f"{what}: the first argument must be a tensor parameter, got {shown(t)}", hint=hint)
    check(emitter.grid is not None, f"{what}: memory is touched before tile.grid", hint="i = tile.grid(..) comes first")
    rank = t.tensor.rank
    at = at if isinstance(at, tuple) and (rank > 1 or len(at) == 1) else (at,)         # rank 1: the coordinate itself will do
    check(len(at) == rank, f"{what}: {t.name} has {rank} dimensions, {len(at)} coordinates given", hint="one each: a scalar, (start, extent) or an index tile")
    place = [coordinate(emitter, c, what) for c in at]
    return t, place, access_shape(place, what)


def coordinate(emitter: Emitter, c: Any, what: str) -> Operand:
    """One coordinate: a scalar, a span, or an index tile."""
    if isinstance(c, tuple):
        check(len(c) in (2, 3), f"{what}: a span is (start, extent) or (start, extent, stop), got {len(c)} parts")
        extent = integer(c[1], f"{what}: an extent", emitter.hints)
        check(extent > 0, f"{what}: an extent must be positive, got {extent}")
        start = emitter.index(c[0], f"{what}: the start of a span", shown(c[0]))
        stop = emitter.index(c[2], f"{what}: the stop of a span", shown(c[2])) if len(c) == 3 else None
        return Span(start, extent, stop)
    if is_tile(c) and c.tile.shape:
        hint = "where(keep, i, -1) leaves elements out" if c.tile.dtype is BOOL else "cast it first"
        check(c.tile.dtype.kind == "i", f"{what}: an index tile must hold integers, got {shown(c)}", hint=hint)
        return c  # type: ignore[no-any-return]
    return emitter.index(c, f"{what}: a coordinate", shown(c))


def stored(emitter: Emitter, t: Value, value: Any, shape: tuple[int, ...], what: str) -> Arg:
    """The value in the tensor's dtype: floats round to nearest even, integers must be kept by their type."""
    d = t.tensor.dtype
    if not is_tile(value):
        return literal(value, d, f"{what}: {t.name} holds {d}")
    arg: Arg = value
    fits = broadcasts_to(arg.tile.shape, shape)
    check(fits, f"{what}: {shown(value)} does not fit the {shape} elements addressed in {t.name}", hint="the value broadcasts to the place")
    check_kept(arg.tile.dtype, d, t.name, what)
    return Const(literal(arg.value, d, what).value, d) if isinstance(arg, Const) and arg.dtype is INDEX else emitter.cast(arg, d)


def check_kept(s: DType, d: DType, name: str, what: str) -> None:
    """DslError unless a value of dtype `s` may be stored where `d` is held without a cast."""
    if s is d or (s is BOOL and d.kind == "i"):
        return
    mode = ', round="rne"' if s.kind == "f" else ""
    check(s.kind == d.kind, f"{what}: {name} holds {d}, got {s}; cast with a named rounding", hint=f"tile.cast(x, tile.{d}{mode})")
    check(s.kind != "i" or s is INDEX or (d.lo <= s.lo and s.hi <= d.hi), f"{what}: {s} does not fit {d}; cast first", hint=f"tile.cast(x, tile.{d})")
