"""How the operands of a product and a warp's part of it are spelled."""
from __future__ import annotations

from typing import Any

from dslc.ir import Operand, Value
from dslc.render import Scope

from .nests import shared_at
from .spread import Spread

Context = dict[str, Any]


def operand(v: Operand, scope: Scope, turned: bool) -> Context:
    """A shared operand: its rows run along M or N (`turned`), its columns along K."""
    assert isinstance(v, Value) and v.tile.place is not None
    (rows, depth), (row_step, depth_step) = v.tile.shape, v.tile.strides
    if turned:
        rows, depth, row_step, depth_step = depth, rows, depth_step, row_step
    name, _ = shared_at(scope, v, "0")
    bits, base, shift = v.tile.place.layout.swizzle or (0, 0, 0)
    return {"type": scope.type(v.tile.dtype), "name": name, "rows": rows, "depth": depth, "row_step": row_step, "depth_step": depth_step, "bits": bits,
            "base": base, "shift": shift}


def warp_part(spread: Spread, axis: int, lanes: int) -> str:
    """Where the warp's part of an axis starts."""
    digits = [(s, e, w) for s, e, w in spread.worker_digits(axis) if s >= lanes]
    if not digits:
        return "0"
    ((stride, extent, weight),) = digits
    text = f"worker / {stride}" if stride * extent == spread.workers else f"worker / {stride} % {extent}"
    return f"{text} * {weight}"
