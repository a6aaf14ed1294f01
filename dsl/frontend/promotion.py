"""Operands brought to one type by the rules of LANGUAGE, section 4; every conversion becomes an explicit `cast` op."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DslError, check
from ..ir import Arg, Const
from ..ops.structure import sum_type
from ..ops.table import CLASSES, OpDef, Param, broadcast, describe
from ..types import BOOL, F32, I32, I64, INDEX, DType, TileType
from .emitter import Emitter
from .values import is_number, is_tensor, is_tile, shown


def literal(value: Any, dtype: DType, what: str) -> Const:
    """A number as a constant of `dtype`, rounded to it; DslError if it does not fit."""
    if (isinstance(value, bool) and dtype.kind != "b") or (isinstance(value, float) and dtype.kind != "f") or not is_number(value):
        raise DslError(f"{what}: {shown(value)} is not a value of {dtype}")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return Const(float(np.float64(value).astype(dtype.numpy)), dtype)
    check(dtype is BOOL or dtype.lo <= value <= dtype.hi, f"{what}: literal {value} does not fit {dtype}")
    return Const(bool(value) if dtype is BOOL else value, dtype)


def literal_dtype(value: Any, t: TileType, what: str) -> DType:
    """The dtype a literal and a tile meet in: the tile's, or f32 for a float literal with an index scalar."""
    d = t.dtype
    if isinstance(value, float):
        d = F32 if d is INDEX and t.shape == () else d
        check(d.kind == "f", f"{what}: a float literal with {describe(t)}; cast the tile first", hint="tile.cast(x, tile.f32)")
    elif isinstance(value, bool):
        check(d is BOOL, f"{what}: a bool with {describe(t)}", hint="a bool goes with bool tiles; write 0 or 1")
    else:
        fits = d.kind == "f" or (d.kind == "i" and d.lo <= value <= d.hi)
        check(fits, f"{what}: literal {value} does not fit {describe(t)}", hint=f"{d.lo} to {d.hi}" if d.kind == "i" else "")
    return d


def common_dtype(x: TileType, y: TileType, what: str, arithmetic: bool) -> DType:
    """The dtype two tiles meet in."""
    dx, dy = x.dtype, y.dtype
    if dx is dy:
        return dx
    if dx.kind == dy.kind == "f":
        check(arithmetic or dx.bits != dy.bits, f"{what}: no common type for {dx} and {dy}; cast one")
        return dx if dx.bits >= dy.bits else dy
    if dx.kind == dy.kind == "i" and INDEX in (dx, dy):
        return INDEX
    for scalar, other in ((x, y), (y, x)):
        if scalar == TileType(INDEX) and other.dtype.kind == "f":
            return other.dtype
    raise DslError(f"{what}: no common type for {describe(x)} and {describe(y)}; cast one", hint="tile.cast(x, dtype)" if BOOL not in (dx, dy) else
                   "a bool takes part in & | ^ ~ and where; tile.cast(b, tile.i32) counts")


def meeting_type(operands: Sequence[Any], what: str, arithmetic: bool) -> TileType:
    """The type that all operands meet in, literals after tiles; DslError if there is none."""
    for o in operands:
        check(is_tile(o) or is_number(o), f"{what}: expected a tile or a number, got {shown(o)}")
    tiles: list[TileType] = [o.tile for o in operands if is_tile(o)]
    check(tiles, f"{what}: one of the values must be a tile", hint="tile.full(shape, value, dtype) makes a tile of a number")
    met = tiles[0]
    for t in tiles[1:]:
        met = TileType(common_dtype(met, t, what, arithmetic), broadcast(f"{what}: shapes", met.shape, t.shape))
    for o in operands:
        met = TileType(literal_dtype(o, met, what), met.shape) if is_number(o) else met
    return met


def unify(emitter: Emitter, operands: Sequence[Any], what: str, *, arithmetic: bool, widen: bool) -> tuple[list[Arg], DType]:
    """Operands of one dtype, and the dtype they meet in before widening.  `widen`: narrow types are computed in f32 or i32."""
    dtype = meeting_type(operands, what, arithmetic).dtype
    check(not arithmetic or dtype is not BOOL, f"{what}: bool has no arithmetic; cast it or use where", hint="tile.cast(b, tile.i32)")
    wide = dtype.widened if widen else dtype
    return [_converted(emitter, o, dtype, wide, what, arithmetic) for o in operands], dtype


def _converted(emitter: Emitter, operand: Any, dtype: DType, wide: DType, what: str, arithmetic: bool) -> Arg:
    """A literal is rounded to the narrow type where only selection or comparison follows, and so is an index scalar."""
    if is_number(operand):
        return Const(literal(operand, wide if arithmetic else dtype, what).value, wide)
    through = not arithmetic and operand.tile.dtype.kind != dtype.kind
    return emitter.cast(emitter.cast(operand, dtype) if through else operand, wide)


def promote(emitter: Emitter, op: OpDef, operands: Sequence[Any]) -> tuple[list[Arg], DType | None]:
    """Operands of an op of the table under its promotion rule, and the narrow dtype its result goes back to, if any."""
    rows = list(zip(op.params, operands, strict=False))
    if op.rule == "summation":
        tiles = [tile_operand(o, op, p) for p, o in rows]
        return [emitter.cast(tiles[0], sum_type(tiles[0].tile.dtype)), *tiles[1:]], None
    if op.rule == "counter":
        return [counter(emitter, o, op, p) for p, o in rows], None
    if op.rule == "exact" or not operands:
        return [tile_operand(o, op, p) for p, o in rows], None
    main = [(p, o) for p, o in rows if p.letter != "bool"]
    (letter,) = {p.letter for p, _ in main}
    arithmetic = op.rule == "arithmetic"
    dtype = meeting_type([o for _, o in main], op.name, arithmetic).dtype
    found = shown(next(o for _, o in main if is_tile(o)))
    check(letter != "F" or dtype.kind == "f", f"{op.name}: floats only, got {found}; cast first", hint="tile.cast(x, tile.f32)")
    args, dtype = unify(emitter, [o for _, o in main], op.name, arithmetic=arithmetic, widen=not CLASSES[letter][0](dtype))
    if dtype is BOOL and op.rule == "comparison":          # argmax and argmin of a bool: the first that holds
        args = [emitter.cast(a, I32) for a in args]
    narrow = dtype if op.rule == "selection" and op.result == letter and args[0].tile.dtype is not dtype else None
    rest = [tile_operand(o, op, p) for p, o in rows if p.letter == "bool"]
    return rest + args, narrow


def tile_operand(value: Any, op: OpDef, param: Param) -> Arg:
    """An operand that must be a tile already."""
    hint = "tile.load(t, at)" if is_tensor(value) else "tile.full(shape, value, dtype) makes a tile of a number" if is_number(value) else ""
    check(is_tile(value), f"{op.name}: {param.name} must be a tile, got {shown(value)}", hint=hint)
    arg: Arg = value
    return arg


def counter(emitter: Emitter, value: Any, op: OpDef, param: Param) -> Arg:
    """Seed and counter of random bits, as i64; a literal seed is taken modulo 2^64."""
    if param.name == "seed":
        if isinstance(value, int) and not isinstance(value, bool):
            return Const((value + (1 << 63)) % (1 << 64) - (1 << 63), I64)
        check(not is_tile(value) or value.tile.shape == (), f"{op.name}: the seed must be a scalar, got {shown(value)}")
    x = tile_operand(value, op, param)
    check(x.tile.dtype.kind == "i", f"{op.name}: {param.name} must be an integer tile, got {shown(x)}", hint="cast it first")
    return emitter.cast(x, I64)
