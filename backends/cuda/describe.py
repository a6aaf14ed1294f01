"""What the macros of CUDA's own ops are given; all else is the family's."""
from __future__ import annotations

from typing import Any

from dslc.ir import Op, Value, walk
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
from .role_frame import bulk_load, bulk_store, ring_turn
from .warp_groups import GROUP, ROWS

Context = dict[str, Any]


def describe(op: Op, scope: Scope) -> Context:
    """The context of the op's macro."""
    return family.describe(op, scope, OWN)


def control(op: Op, scope: Scope) -> str | None:
    """The text of a loop whose loads run ahead, or whose last product is under way when it ends."""
    if op.attr("flight"):
        (index,), (dot,) = op.bodies[0].params, [o for o in op.bodies[0].ops if o.name == "dot"]
        ring = next(o for o in op.bodies[0].ops if o.attr("turn") == "release").attr("ring")
        notes: Notes = scope.notes["gpu"]
        context = {"index": scope.name(index), "type": scope.type(index.tile.dtype), "start": scope.scalar(op.args[0]), "stop": scope.scalar(op.args[1]),
                   "step": op.attr("step"), "body": scope.block(op.bodies[0]), "acc": scope.name(notes.table[dot.into[0]].place),
                   "ring": scope.notes["maps"].rings[ring]}
        return str(scope.macros["flying_for"](**context))
    return str(scope.macros["staged_for"](**staged_loop(op, scope))) if op.attr("stages") else None


def _dot(op: Op, scope: Scope) -> Context:
    if op.attr("way") == "wgmma":
        return _wgmma(op, scope)
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
                "column": over.first(1) or "0", "whole": False, "factors": ("", ""), "flight": False}
    grid = Grid(*op.attr("grid"))
    return {**context, "high": grid.high, "wide": grid.wide, "row_gap": 0, "column_gap": 0, "row": row, "column": column, "whole": whole(op),
            "factors": factors(op, architecture), "flight": False}


def _wgmma(op: Op, scope: Scope) -> Context:
    """A product of warp groups: its operands in slabs, the left one perhaps in registers."""
    notes: Notes = scope.notes["gpu"]
    left, right = op.args[:2]
    assert isinstance(left, Value) and isinstance(right, Value)
    consumers, high = op.attr("grid")
    row = "0" if consumers == 1 else scope.say("group_row", GROUP, ROWS * high)
    registers = not is_shared(left)
    return {"way": "wgmma", "acc": scope.name(notes.table[op.into[0]].place), "high": high, "clear": len(op.args) == 2, "flight": bool(op.attr("flight")),
            "registers": registers, "left": None if registers else _slabs(left, False, scope), "right": _slabs(right, True, scope), "row": row,
            "left_name": scope.name(notes.table[left].place), **dict.fromkeys(("slots", "wide", "row_gap", "column_gap", "column", "whole", "factors"))}


def _slabs(v: Value, turned: bool, scope: Scope) -> Context:
    """A shared operand: its rows run along M or N (`turned`), its columns along K."""
    notes: Notes = scope.notes["gpu"]
    home = notes.table[v].place
    (rows, depth), (_, dense) = (v.tile.shape, v.tile.strides) if not turned else (v.tile.shape[::-1], v.tile.strides[::-1])
    width = next(op.attr("slab") for op in walk(scope.kernel.body) if op.name == "alloc" and op.result is home)
    return {"type": scope.type(v.tile.dtype), "name": scope.name(v), "rows": rows, "depth": depth, "dense": dense == 1, "width": width}


def _barrier(op: Op, scope: Scope) -> Context:
    return {"sync": ring_turn(op, scope)} if op.attr("turn") else family.DESCRIBE["barrier"](op, scope)


def _load(op: Op, scope: Scope) -> Context:
    """By bulk copy, or as the family does it."""
    if not op.attr("bulk"):
        return family.DESCRIBE["load"](op, scope)
    empty = dict.fromkeys(("loops", "guards", "to", "inside", "pad", "value", "run", "from", "count", "aligned", "shared"))
    return {**empty, "kind": "text", "lets": bulk_load(op, scope)}


def _store(op: Op, scope: Scope) -> Context:
    """By bulk copy, or as the family does it."""
    if not op.attr("staged"):
        return family.DESCRIBE["store"](op, scope)
    empty = dict.fromkeys(("loops", "guards", "inside", "to", "value", "run", "from", "count", "aligned", "shared", "fields"))
    return {**empty, "kind": "text", "checks": [], "lets": bulk_store(op, scope)}


OWN = {"dot": _dot, "barrier": _barrier, "load": _load, "store": _store}
