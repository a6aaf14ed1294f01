"""Calls of operations: arguments to parameters by the signature, then the op of the table or the construct that the name stands for."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..errors import DslError, check
from ..ir import Arg, Value
from ..language import Operation, Signature
from ..ops import OPS
from ..ops.elementwise import ROUNDINGS
from ..ops.structure import extents
from ..ops.table import REQUIRED, axis_of
from ..types import BOOL, DTYPES, F32, INDEX, DType
from . import memory
from .emitter import Emitter
from .operators import binary
from .promotion import literal, promote, tile_operand
from .values import constant, integer, is_number, is_tile, leaves, shown


def bind_arguments(what: str, signature: Signature, args: Sequence[Any], names: Mapping[str, Any], positional: int | None = None) -> dict[str, Any]:
    """Arguments by parameter, defaults filled in; DslError as Python would raise TypeError.  Parameters from `positional` on need their names."""
    known, most = [name for name, _ in signature], len(signature) if positional is None else positional
    check(len(args) <= most, f"{what} takes {most} arguments, got {len(args)}", hint=f"{what}({', '.join(known)})")
    bound = dict(zip(known, args, strict=False))
    for name, value in names.items():
        check(name in known, f"{what} has no parameter '{name}'", hint=f"{what}({', '.join(known)})")
        check(name not in bound, f"{what}: '{name}' is given twice")
        bound[name] = value
    for name, default in signature:
        check(name in bound or default is not REQUIRED, f"{what}: argument '{name}' is missing", hint=f"{what}({', '.join(known)})")
        bound.setdefault(name, default)
    return {name: bound[name] for name in known}


def call_operation(emitter: Emitter, operation: Operation, args: Sequence[Any], names: Mapping[str, Any]) -> Any:
    """The value of `tile.name(..)`: a Python number for numbers, else what the op yields."""
    name = operation.__name__
    check(name not in ("range", "unroll"), f"tile.{name} stands in a for statement only", hint=f"for k in tile.{name}(..):")
    if operation.parameters is None:
        check(not names, f"{name} takes no keyword arguments")
        return _grid(emitter, *args)
    bound = bind_arguments(name, operation.parameters, args, names)
    if operation.constant is not None and all(map(is_number, bound.values())):
        try:
            return operation.constant(*bound.values())
        except ArithmeticError as error:
            raise DslError(f"{name}: {error}") from None
    special = _SPECIAL.get(name)
    return special(emitter, **bound) if special is not None else call_op(emitter, name, bound)


def call_op(emitter: Emitter, name: str, bound: Mapping[str, Any]) -> Any:
    """An op of the table on tiles and constants, its operands promoted and its attributes known at compile time."""
    op = OPS[name]
    operands = [bound[p.name] for p in op.params if not (p.optional and bound[p.name] is None)]
    attrs = {key: constant(bound[key], f"{name}: {key if key != 'shape' else 'an extent'}", emitter.hints) for key, _ in op.attrs}
    args, narrow = promote(emitter, op, _PREPARED[name](emitter, *operands) if name in _PREPARED else operands)
    results = emitter.emit(name, *args, **_checked_attrs(name, args, attrs))
    if narrow is not None:
        return emitter.back(results[0], narrow)
    return results if name == "split" else results[0]


def _checked_attrs(name: str, args: Sequence[Arg], attrs: dict[str, Any]) -> dict[str, Any]:
    rank = len(args[0].tile.shape) if args else 0
    if "axis" in attrs:
        attrs["axis"] = axis_of(name, attrs["axis"], rank)
    if "axes" in attrs and isinstance(attrs["axes"], tuple):
        attrs["axes"] = tuple(axis_of(name, a, rank) for a in attrs["axes"])
    mode = attrs.get("mode", "rne")
    check(mode in ROUNDINGS, f"{name}: mode must be one of {sorted(ROUNDINGS)}, got {shown(mode)}")
    return attrs


def _condition(_emitter: Emitter, c: Any, x: Any, y: Any) -> tuple[Any, ...]:
    hint = "compare: x != 0" if is_tile(c) else "an if statement decides on a constant"
    check(is_tile(c) and c.tile.dtype is BOOL, f"where: the condition must be bool, got {shown(c)}", hint=hint)
    return c, x, y


def _whole_bytes(emitter: Emitter, x: Any) -> tuple[Any, ...]:
    """Sub-byte integers as u8 with no bit outside the field."""
    arg = tile_operand(x, OPS["popcount"], OPS["popcount"].params[0])
    if arg.tile.dtype.kind == "i" and arg.tile.dtype.bits < 8:
        arg = emitter.cast(emitter.cast(arg, DTYPES[f"u{arg.tile.dtype.bits}"]), DTYPES["u8"])
    return (arg,)


_PREPARED: dict[str, Callable[..., tuple[Any, ...]]] = {"where": _condition, "popcount": _whole_bytes}


# ---------------------------------------------------------------- operations with a form of their own
def _grid(emitter: Emitter, *counts: Any) -> Any:
    coordinates = emitter.declare_grid(tuple(emitter.index(e, "grid: an extent", shown(e)) for e in counts))
    return coordinates[0] if len(coordinates) == 1 else coordinates


def _assume(emitter: Emitter, c: Any) -> None:
    if is_tile(c):
        emitter.assume(emitter.truth(c, shown(c)))
    else:
        check(constant(c, "assume", emitter.hints), "assume: does not hold for these constants")


def _cdiv(emitter: Emitter, a: Any, b: Any) -> Any:
    return binary(emitter, "//", binary(emitter, "+", a, binary(emitter, "-", b, 1)), b)


def _full(emitter: Emitter, shape: Any, value: Any, dtype: Any, what: str = "full") -> Arg:
    """A tile of one value; of rank 0, the value itself."""
    check(isinstance(dtype, DType), f"{what}: expected a dtype, got {shown(dtype)}", hint=f"tile.{what}((BM, BN), {'0.0, ' * (what == 'full')}tile.f32)")
    sizes = extents(what, constant(shape, f"{what}: an extent", emitter.hints))
    check(is_number(value) or (is_tile(value) and value.tile.shape == ()), f"{what}: the value must be a scalar, got {shown(value)}")
    element = literal(_as_kind(value, dtype), dtype, what) if is_number(value) else _as_numpy_casts(emitter, value, dtype)
    return emitter.one("full", element, shape=sizes) if sizes else element


def _as_kind(value: Any, dtype: DType) -> Any:
    """A literal 0 or 1 where a bool is wanted, a bool where a number is."""
    return bool(value) if dtype is BOOL and value in (0, 1) else int(value) if isinstance(value, bool) and dtype is not BOOL else value


def _as_numpy_casts(emitter: Emitter, value: Arg, dtype: DType) -> Arg:
    """A scalar converted as the eager `full` does: to integers towards zero, to bool by comparison, f8 without saturation."""
    source = value.tile.dtype
    if dtype is BOOL and source is not BOOL:
        return emitter.truth(value, shown(value))
    mode = "rtz" if source.kind == "f" and dtype.kind == "i" else None
    return emitter.cast(value, dtype, round=mode, saturate=False if dtype.kind == "f" and dtype.bits == 8 else None)


def _cast(emitter: Emitter, x: Any, dtype: Any, round: Any, saturate: Any) -> Arg:
    if is_number(x):
        x = literal(x, F32, "cast") if isinstance(x, float) else literal(int(x), INDEX, "cast")
    arg = tile_operand(x, OPS["cast"], OPS["cast"].params[0])
    attrs = {k: constant(v, f"cast: {k}", emitter.hints) for k, v in (("dtype", dtype), ("round", round), ("saturate", saturate))}
    OPS["cast"].infer([arg.tile], attrs)
    return emitter.cast(arg, **attrs)


def _concat(emitter: Emitter, parts: Any, axis: Any) -> Value:
    check(isinstance(parts, tuple) and parts, f"concat: expected a tuple of tiles, got {shown(parts)}", hint="tile.concat((x, y), 1)")
    args = [tile_operand(p, OPS["concat"], OPS["concat"].params[0]) for p in leaves(parts)]
    at = axis_of("concat", integer(axis, "concat: axis", emitter.hints), len(args[0].tile.shape))
    return emitter.one("concat", *args, axis=at)



_SPECIAL: dict[str, Callable[..., Any]] = {
    "assume": _assume, "cdiv": _cdiv, "full": _full, "zeros": partial(_full, value=0, what="zeros"), "cast": _cast, "concat": _concat, "load": memory.load,
    **{what: partial(memory.store, what=what) for what in ("store", "atomic_add", "atomic_min", "atomic_max")}}
