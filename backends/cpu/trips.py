"""Loops over one range, one after another, that often make a single trip: straight code then, in which the second finds what the first computed."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dslc.ir import Arg, Body, Const, Kernel, Op, Value, make_attrs, substitute, used_values, walk
from dslc.ops import OPS
from dslc.passes._rewriting import Builder, clone, scalars
from dslc.passes.cse import cse
from dslc.types import BOOL, INDEX

DEAR = ("exp", "exp2", "log", "log2", "sigmoid", "tanh", "erf", "sin", "cos")
ALONE = ("grid", "assume", "for", "while", "if", "yield")


def trips(kernel: Kernel) -> Kernel:
    """Assumes the value form, before fusion.  Then two loops over one range that compute the same dear functions are a branch: their bodies
    one after the other where the range is of one trip, the loops otherwise.  Softmax takes exponentials once so, if a row is one tile.
    """
    body = _branched(kernel.body)
    if body is kernel.body:
        return kernel
    return replace(kernel, body=_padded_alike(cse(replace(kernel, body=body)).body))


def _branched(body: Body) -> Body:
    ops = tuple(replace(o, bodies=tuple(_branched(b) for b in o.bodies)) if o.name in ("for", "while", "if") else o for o in body.ops)
    if all(a is b for new, old in zip(ops, body.ops, strict=True) for a, b in zip(new.bodies, old.bodies, strict=True)):
        ops = body.ops
    for first, op in enumerate(ops):
        last = _partner(ops, first) if op.name == "for" else None
        if last is not None:
            return replace(body, ops=(*ops[:first], *_branch(ops[first:last + 1], ops[last + 1:]), *ops[last + 1:]))
    return body if ops is body.ops else replace(body, ops=ops)


def _partner(ops: Sequence[Op], first: int) -> int | None:
    """Where the next loop stands, if it is over the same range and does some of the same."""
    op = ops[first]
    for n in range(first + 1, len(ops)):
        other = ops[n]
        if other.name == "for":
            alike = other.args[:2] == op.args[:2] and other.attr("step", 1) == op.attr("step", 1) and all(a.tile.dtype is INDEX for a in scalars(op)[:2])
            return n if alike and _dear(op) & _dear(other) else None
        if other.name in ALONE:
            return None
    return None


def _dear(loop: Op) -> set[str]:
    """The dear functions that a loop without others in it computes of tiles."""
    inside = list(walk(loop.bodies[0]))
    return set() if any(o.name in ALONE[:-1] for o in inside) else {o.name for o in inside if o.name in DEAR and len(o.result.tile.shape) > 1}


def _branch(ops: Sequence[Op], after: Sequence[Op]) -> list[Op]:
    """The ops from the first loop to the last, as a branch that hands out what those after it read."""
    loop, made = ops[0], {r for o in ops for r in o.results}
    out = tuple(dict.fromkeys(v for o in after for v in used_values(o) if v in made))
    put, (start, stop), step = Builder(loop, "one_trip"), scalars(loop)[:2], Const(loop.attr("step", 1), INDEX)
    some, few = put("lt", start, stop, dtype=BOOL), put("le", stop, put("add", start, step), dtype=BOOL)
    condition = put("and", some, few, dtype=BOOL)
    new: dict[Value, Arg] = {}
    straight = [o for op in ops for o in _straight(op, new)]
    again: dict[Value, Arg] = {}
    loops = [clone(op, again) for op in ops]
    bodies = tuple(Body((), (*b, Op("yield", tuple(names[v] for v in out), loc=loop.loc))) for b, names in ((straight, new), (loops, again)))
    return [*put.ops, Op("if", (condition,), make_attrs({"types": tuple(v.tile for v in out)}), out, bodies, loc=loop.loc)]


def _straight(op: Op, new: dict[Value, Arg]) -> list[Op]:
    """A copy of the op; of a loop, its body with the index at its start."""
    if op.name != "for":
        return [clone(op, new)]
    (body,), first = op.bodies, substitute(op, dict(new))
    new.update(zip(body.params, (scalars(first)[0], *scalars(first)[2:]), strict=True))
    ops = [clone(o, new) for o in body.ops[:-1]]
    new.update(zip(op.results, scalars(substitute(body.ops[-1], dict(new))), strict=True))
    return ops


def _padded_alike(body: Body) -> Body:
    """A load of what another has loaded pads as that one does, where all that is outside ends in a store that drops it."""
    loaded: dict[object, Op] = {}
    ops = []
    for op in body.ops:
        if op.name == "load":
            first = loaded.setdefault((op.args, op.attr("inside")), op)
            if first.attr("pad") != op.attr("pad") and _drops(op, op.result, body.ops):
                op = op.having(pad=first.attr("pad"))
        elif op.name in ("for", "while", "if"):
            op = replace(op, bodies=tuple(_padded_alike(b) for b in op.bodies))
        ops.append(op)
    return replace(body, ops=tuple(ops))


def _drops(load: Op, v: Value, ops: Sequence[Op]) -> bool:
    """Whether elements of `v` reach only the same elements of a store to what is shaped as the load's tensor, at the load's coordinates."""
    tensor, coordinates = load.args[0], load.args[1:]
    assert isinstance(tensor, Value)
    for op in (o for o in ops if v in used_values(o)):
        if op.name == "store":
            to = op.args[0]
            if not isinstance(to, Value) or to.tensor.dims != tensor.tensor.dims or op.args[2:] != coordinates or op.attr("inside") != load.attr("inside"):
                return False
        elif op.name not in OPS or not OPS[op.name].elementwise or op.result.tile.shape != load.result.tile.shape or not _drops(load, op.result, ops):
            return False
    return True
