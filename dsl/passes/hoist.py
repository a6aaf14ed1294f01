"""Loop-invariant code."""
from __future__ import annotations

from dataclasses import replace

from ..ir import Body, Kernel, Op, Value, defined, used_values
from ..ops import OPS
from ._rewriting import written

# Made anew as cheaply as kept: moved only where what they feed moves.
FREE = ("full", "iota", "broadcast", "reshape", "transpose", "split", "coordinate")


def hoist(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then no loop repeats a pure op on values from outside it, nor a load from a tensor that it does not store
    to (a load never faults, so it may run where the loop would not), but for tiles that are free to make.  Out of a branch only integer scalars move."""
    return replace(kernel, body=_body(kernel.body))


def _body(body: Body) -> Body:
    ops: list[Op] = []
    for op in body.ops:
        if op.name in ("for", "while", "if"):
            op = replace(op, bodies=tuple(_body(b) for b in op.bodies))
            moved, op = _lifted(op)
            ops += moved
        ops.append(op)
    return replace(body, ops=tuple(ops))


def _cheap(op: Op) -> bool:
    return op.name != "load" and all(r.tile.shape == () and r.tile.dtype.kind in "bi" for r in op.results) and not op.bodies


def _lifted(op: Op) -> tuple[list[Op], Op]:
    """The invariant ops of the bodies of `op`, and `op` without them."""
    inside = set().union(*(defined(b) for b in op.bodies))
    stored = written(op)
    able: list[Op] = []
    for body in op.bodies:
        for o in body.ops:
            entry = OPS.get(o.name)
            movable = entry is not None and o.results and (entry.pure or (o.name == "load" and o.args[0] not in stored)) and o.name != "grid"
            own = set().union(*(defined(b) for b in o.bodies))
            if movable and not any(v in inside and v not in own for v in used_values(o)):
                able.append(o)
                inside.difference_update(o.results)
    needed: set[Value] = set()
    moved: list[Op] = []
    for o in reversed(able):
        wanted = _cheap(o) if op.name == "if" else o.name not in FREE
        if wanted or any(r in needed for r in o.results):
            moved.insert(0, o)
            needed.update(used_values(o))
    gone = set(moved)
    return moved, replace(op, bodies=tuple(replace(b, ops=tuple(o for o in b.ops if o not in gone)) for b in op.bodies))
