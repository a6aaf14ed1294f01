"""Products that begin their sum: where a tile of zeros only serves a loop of products, the first of them writes it instead of adding to it."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dslc.ir import Body, Const, Kernel, Op, Value, walk

Begun = dict[Op, Op]


def sums(kernel: Kernel) -> Kernel:
    """Assumes the placed form.  Then zeros that only a loop of products adds to stand right before it, where its bounds are known."""
    return replace(kernel, body=_moved(kernel.body))


def _moved(body: Body) -> Body:
    ops = [replace(op, bodies=tuple(_moved(b) for b in op.bodies)) if op.name in ("for", "while", "if") else op for op in body.ops]
    for zeros in [op for op in ops if _zeros(op)]:
        found = served(zeros, ops[ops.index(zeros) + 1:])
        if found:
            ops.remove(zeros)
            ops.insert(ops.index(found[zeros]), zeros)
    return replace(body, ops=tuple(ops))


def begun(kernel: Kernel) -> Begun:
    """Assumes `sums`.  The loop for each `full` of zeros that is needed only if the loop makes no trip, and for each `dot` that need not add to
    what it finds in the first trip: the zeros are followed by the loop, nothing touches their place before it, and in it the product alone does.
    A view of a place comes after what fills it, so that it is seen too.
    """
    found: Begun = {}
    for body in (kernel.body, *(b for op in walk(kernel.body) for b in op.bodies)):
        for n, op in enumerate(body.ops):
            found |= served(op, body.ops[n + 1:])
    return found


def _zeros(op: Op) -> bool:
    value = op.args[0] if op.name == "full" and op.into and op.into[0].tile.shape else None
    return isinstance(value, Const) and value.value == 0 and not str(value.value).startswith("-")


def served(zeros: Op, after: Sequence[Op]) -> Begun:
    """What `begun` says of these zeros and their product, given the ops that follow; nothing if they are no such zeros."""
    if not _zeros(zeros):
        return {}
    (place,) = zeros.into
    loop = next((op for op in after if _touches(op, place)), None)
    if loop is None or loop.name != "for":
        return {}
    (body,) = loop.bodies
    users = [op for op in body.ops if _touches(op, place)]
    if len(users) != 1 or users[0].name != "dot" or users[0].into != (place,) or users[0].args[2:] != (place,) or place in users[0].args[:2]:
        return {}
    return {zeros: loop, users[0]: loop}


def _touches(op: Op, place: Value) -> bool:
    return any(place in (*o.uses(), *o.into) for o in walk(Body((), (op,))))
