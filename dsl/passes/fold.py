"""Constants and shapes known at compile time."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ..ir import Arg, Const, Kernel, Op, Value
from ..ops import OPS
from ..ops.elementwise import wrap
from ..types import DType, TileType, broadcast_shapes
from ._rewriting import Change, as_op, fit, literal, made_by, make, scalars, to_fixpoint

Defs = Mapping[Value, Op]
SIGNIFICAND = {"f8e4m3": 4, "f8e5m2": 3, "f16": 11, "bf16": 8, "f32": 24, "f64": 53}


def fold(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then no exact op has only literal operands, no cast, reshape, transpose or broadcast stands on another
    that it could swallow or changes nothing, and no `full` feeds an elementwise op that keeps its shape without it."""
    return to_fixpoint(kernel, _rule)


def _rule(op: Op, defs: Defs) -> Change | None:
    if len(op.results) != 1 or op.name not in OPS or op.into:
        return None
    change = _constant(op)
    if change is None and op.name in SHAPING:
        (x,) = scalars(op)
        change = ([], (x,)) if x.tile == op.result.tile and op.name != "transpose" else SHAPING[op.name](op, x, defs)
    return _full(op, defs) if change is None else change


def _constant(op: Op) -> Change | None:
    entry = OPS[op.name]
    if not (entry.elementwise and entry.pure and entry.numeric in "ER" and op.args and all(isinstance(a, Const) for a in op.args)):
        return None
    if op.name in ("floordiv", "mod") and scalars(op)[1] == Const(0, op.result.tile.dtype):
        return None
    dtype = op.result.tile.dtype
    with np.errstate(all="ignore"):
        value = np.asarray(entry.meaning(*(np.asarray(a.value, a.dtype.numpy) for a in op.args if isinstance(a, Const)), **dict(op.attrs)))
    return [], (literal((wrap(value, dtype) if dtype.kind == "i" else value).item(), dtype),)


def _lossless(a: DType, b: DType) -> bool:
    """Whether every value of `a` is one of `b`."""
    if a.kind == "f":
        return b.kind == "f" and (a is b or (b.bits > a.bits and b.bits >= 32) or (a.bits == 8 and b.name in ("f16", "bf16") and a.name == "f8e5m2"))
    lo, hi = (0, 1) if a.kind == "b" else (a.lo, a.hi)
    if b.kind == "f":
        return max(-lo, hi) <= 1 << SIGNIFICAND[b.name] and (b.bits > 16 or hi < 256)
    return b.kind == "i" and b.lo <= lo and hi <= b.hi


def _cast(op: Op, x: Arg, defs: Defs) -> Change | None:
    inner = made_by(x, defs, "cast")
    if inner is None:
        return None
    (source,) = scalars(inner)
    a, b, c = source.tile.dtype, x.tile.dtype, op.result.tile.dtype
    wraps = a.kind in "bi" and b.kind == c.kind == "i" and c.bits <= b.bits and not inner.attr("saturate") and not op.attr("saturate")
    if not (_lossless(a, b) or wraps) or (a.kind in "bi" and b.kind == "f" and c.kind == "i"):
        return None
    return ([], (source,)) if a is c else as_op(replace(op, args=(source,)))


def _bitcast(op: Op, x: Arg, defs: Defs) -> Change | None:
    inner = made_by(x, defs, "bitcast")
    return None if inner is None else as_op(replace(op, args=inner.args))


def _reshape(op: Op, x: Arg, defs: Defs) -> Change | None:
    """Of the same op, or of a `full`: that op with the last shape."""
    inner = made_by(x, defs, op.name, "full")
    return None if inner is None else as_op(replace(op, name=inner.name, args=inner.args))


def _transpose(op: Op, x: Arg, defs: Defs) -> Change | None:
    axes = op.attr("axes")
    if axes == tuple(range(len(axes))):
        return [], (x,)
    inner = made_by(x, defs, "transpose", "full")
    if inner is not None and inner.name == "full":
        return as_op(make("full", inner.args, op.result.tile, op, shape=op.result.tile.shape))
    return None if inner is None else as_op(replace(op, args=inner.args).having(axes=tuple(inner.attr("axes")[a] for a in axes)))


def _broadcast(op: Op, x: Arg, defs: Defs) -> Change | None:
    return _reshape(op, x, defs) if x.tile.shape else as_op(replace(op, name="full"))


SHAPING: dict[str, Callable[[Op, Arg, Defs], Change | None]] = {
    "cast": _cast, "bitcast": _bitcast, "reshape": _reshape, "transpose": _transpose, "broadcast": _broadcast}


def _full(op: Op, defs: Defs) -> Change | None:
    """A `full` operand becomes its scalar where the others keep the shape; where all are `full`, the op is done once on scalars."""
    entry = OPS[op.name]
    if not (entry.elementwise and entry.pure and op.result.tile.shape and op.args):
        return None
    plain = [a if (inner := made_by(a, defs, "full")) is None else scalars(inner)[0] for a in scalars(op)]
    if all(a is b for a, b in zip(plain, op.args, strict=True)) and any(a.tile.shape for a in plain):
        return None
    shape = broadcast_shapes(*(a.tile.shape for a in plain))
    if shape == op.result.tile.shape:
        return as_op(replace(op, args=tuple(plain)))
    if shape:
        return None
    once = Op(op.name, tuple(plain), op.attrs, (Value(op.result.name, TileType(op.result.tile.dtype)),), loc=op.loc)
    ops, values = fit(once.result, op)
    return [once, *ops], values
