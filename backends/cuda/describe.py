"""What the macros of CUDA's own ops are given; all else is the family's."""
from __future__ import annotations

from typing import Any

from dslc.ir import Op, Value
from dslc.render import Scope

from ..common.gpu import describe as family
from ..common.gpu.loops import staged_loop
from ..common.gpu.nests import Notes, Over
from ..common.gpu.operands import operand, warp_part
from ..common.gpu.products import Grid, extents, plain_spread
from ..common.gpu.spread import Spread
from ..common.gpu.tiles import is_shared
from .limits import LANES
from .lower import factors, whole

Context = dict[str, Any]


def describe(op: Op, scope: Scope) -> Context:
    """The context of the op's macro."""
    return family.describe(op, scope, {"dot": _dot})


def control(op: Op, scope: Scope) -> str | None:
    """The text of a loop whose loads run ahead."""
    return str(scope.macros["staged_for"](**staged_loop(op, scope))) if op.attr("stages") else None


def _dot(op: Op, scope: Scope) -> Context:
    (into,), (left, right) = op.into, op.args[:2]
    notes: Notes = scope.notes["gpu"]
    spread = Spread.parse(op.attr("over"))
    over = Over(scope, spread, into.tile.shape, [])
    architecture = scope.kernel.attr("architecture")
    assert isinstance(left, Value)
    context: Context = {"way": op.attr("way"), "acc": scope.name(notes.table[into].place), "slots": spread.slots, "clear": len(op.args) == 2,
                        "right": operand(right, scope, True), "registers": not is_shared(left), "left": None, "left_name": scope.name(notes.table[left].place)}
    context["left"] = None if context["registers"] else operand(left, scope, False)
    row, column = warp_part(spread, 0, LANES), warp_part(spread, 1, LANES)
    if context["way"] == "fma":
        _, (high, wide, row_gap, column_gap) = plain_spread(*extents(op)[:2], spread.workers)
        return {**context, "high": high, "wide": wide, "row_gap": row_gap, "column_gap": column_gap, "row": over.first(0) or "0",
                "column": over.first(1) or "0", "whole": False, "factors": ("", "")}
    grid = Grid(*op.attr("grid"))
    return {**context, "high": grid.high, "wide": grid.wide, "row_gap": 0, "column_gap": 0, "row": row, "column": column, "whole": whole(op),
            "factors": factors(op, architecture)}
