"""Reductions: first over the slots of a worker, then between lanes, then between warps through shared memory."""
from __future__ import annotations

from typing import Any

from dslc.ir import Op, Value
from dslc.render import Scope, parenthesised

from .bodies import block, guards
from .nests import Notes, Over, registers_of
from .spread import Spread
from .tiles import Axes, aligned, is_shared

FUNCTORS = {"sum": "Sum", "max": "Greatest", "min": "Least", "argmax": "GreatestAt", "argmin": "LeastAt"}


def reduction(op: Op, scope: Scope) -> dict[str, Any]:
    """A worker's partial results in an array (the target's own registers if it has some), combined between workers, then written."""
    notes: Notes = scope.notes["gpu"]
    inputs = [v for v in op.args if isinstance(v, Value)]
    shape: tuple[int, ...] = tuple(op.attr("shape") or inputs[0].tile.shape)
    axis, spread = op.attr("axis") % len(shape), Spread.parse(op.attr("over"))
    kept = [a for a in range(len(shape)) if a != axis]
    target = op.target
    dtype = op.bodies[0].result[0].tile.dtype if op.bodies else inputs[0].tile.dtype  # type: ignore[union-attr]
    arg = op.name.startswith("arg")
    out = spread.keep(kept)
    in_place = bool(target.tile.shape) and not is_shared(target) and not arg and dtype == target.tile.dtype
    partial = scope.name(notes.table[target].place) if in_place else scope.fresh("partial")
    # ---- each worker over its own slots
    coordinates = {o.attr("axis") for b in op.bodies for o in b.ops if o.name == "coordinate"} | ({axis} if arg else set())
    rows = [(v, aligned(v.tile.shape, shape)) for v in inputs]
    for v, axes in rows:
        if v.tile.shape and is_shared(v):
            coordinates |= {a for a, n in zip(axes, v.tile.shape, strict=True) if a is not None and n > 1}
    registers = [*registers_of(notes, rows), (out, tuple(range(len(shape))))]
    around = Over(scope, spread, shape, registers, coordinates, only=kept)
    along = Over(scope, spread, shape, registers, coordinates, only=[axis], outer=around)
    texts = [along.element(v) for v in inputs]
    lines: list[str] = []
    value = texts[0] if texts else ""                       # without operands the body says it all
    if op.bodies:
        lines, (value,) = block(scope, op.bodies[0], inputs, texts, along.coordinate)
    at = along.slot(out, tuple(range(len(shape))))
    functor = scope.say("functor", FUNCTORS[op.name], scope.type(dtype))
    lanes, waves = _stages(spread, axis, notes.lanes)
    return {"r": {"functor": functor, "partial": partial, "declare": not in_place, "slots": out.slots, "loops": around.loops(), "inner": along.loops(),
                  "guards": along.guards(), "body": lines, "value": value, "at": f"{parenthesised(partial)}[{at}]", "arg": arg, "index": along.coordinate(axis),
                  "lanes": lanes, "waves": waves, "workers": spread.workers, "sync": notes.sync,
                  "apart": notes.apart, **_write(op, scope, out, axis, partial, in_place)}}


def _stages(spread: Spread, axis: int, lanes: int) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """The axis's worker digits, those within a warp apart from those across warps."""
    within, across = [], []
    for stride, extent, _ in reversed(spread.worker_digits(axis)):
        inside = max(1, min(extent, lanes // stride)) if stride < lanes else 1
        if inside > 1:
            within.append({"stride": stride, "extent": inside})
        if extent // inside > 1:
            across.append({"stride": stride * inside, "extent": extent // inside})
    return within, across


def _write(op: Op, scope: Scope, out: Spread, axis: int, partial: str, in_place: bool) -> dict[str, Any]:
    """Where results go that were not made in place."""
    target = op.target
    field = scope.say("index_of", "") if op.name.startswith("arg") else ""
    if in_place:
        return {"write": [], "to": "", "write_guards": [], "result": ""}
    kind = scope.type(target.tile.dtype)
    if not target.tile.shape:
        to = f"const {kind} {scope.name(target)}" if op.results else scope.name(target)
        return {"write": [], "to": to, "write_guards": [], "result": f"{partial}[0]{field}"}
    notes: Notes = scope.notes["gpu"]
    mine = out.permuted([a for a in range(len(out.axes)) if a != axis])
    here: Axes = tuple(range(len(target.tile.shape)))
    rows = [(target, here)]
    needed = range(len(here)) if is_shared(target) else ()
    over = Over(scope, mine, target.tile.shape, [*registers_of(notes, rows), (mine, here)], needed)
    return {"write": over.loops(), "to": over.element(target, here), "write_guards": guards(over, [target]),
            "result": f"{partial}[{over.slot(mine, here)}]{field}"}
