"""What the macros of HIP's own ops are given; all else is the family's."""
from __future__ import annotations

from typing import Any

from dslc.ir import Op, Value
from dslc.render import Scope

from ..common.gpu import describe as family
from ..common.gpu.nests import Notes, Over
from ..common.gpu.operands import operand, warp_part
from ..common.gpu.products import Grid, extents, plain_spread
from ..common.gpu.spread import Spread
from ..common.gpu.tiles import is_shared
from .copies import staged_loop
from .lower import factors, reading, whole

Context = dict[str, Any]
BITS = {"f32": 32, "f16": 16, "bf16": 16}


def describe(op: Op, scope: Scope) -> Context:
    """The context of the op's macro."""
    return family.describe(op, scope, {"dot": _dot})


def control(op: Op, scope: Scope) -> str | None:
    """The text of a loop whose loads run ahead."""
    if not op.attr("stages"):
        return None
    phased, context = op.attr("phases", 1) > 1, staged_loop(op, scope)
    macro = scope.macros["phased_for" if phased else "staged_for"]
    return str(macro(**{name: context[name] for name in macro.arguments}))


def _dot(op: Op, scope: Scope) -> Context:
    (into,), (left, right) = op.into, op.args[:2]
    notes: Notes = scope.notes["gpu"]
    spread = Spread.parse(op.attr("over"))
    over = Over(scope, spread, into.tile.shape, [])
    architecture = scope.kernel.attr("architecture")
    assert isinstance(left, Value)
    registers = not is_shared(left)
    context: Context = {"way": op.attr("way"), "between": op.attr("between", ""), "acc": scope.name(notes.table[into].place), "slots": spread.slots,
                        "clear": len(op.args) == 2, "registers": registers,
                        "left": scope.name(notes.table[left].place) if registers else operand(left, scope, False),
                        "right": operand(right, scope, True), "lanes": notes.lanes}
    if context["way"] == "fma":
        _, (high, wide, row_gap, column_gap) = plain_spread(*extents(op)[:2], spread.workers)
        return {**context, "high": high, "wide": wide, "row_gap": row_gap, "column_gap": column_gap, "row": over.first(0) or "0",
                "column": over.first(1) or "0", "whole": False, "factors": ("", ""), "per_lane": 0, "run": 0}
    grid, types = Grid(*op.attr("grid")), factors(op, architecture)
    assert types is not None
    n, run = reading(op, architecture, registers)
    row, column = (warp_part(spread, axis, notes.lanes) for axis in (0, 1))
    return {**context, "high": grid.high, "wide": grid.wide, "row_gap": 0, "column_gap": 0, "row": row, "column": column,
            "whole": whole(op, max(n, run), BITS.get(types[0], 8), run), "factors": types, "per_lane": n, "run": run}
