"""Products that begin their sum: where a tile of zeros only serves a loop of products, the first of them writes it instead of adding to it."""
from __future__ import annotations

from dslc.ir import Body, Const, Kernel, Op, Value, walk

Begun = dict[Op, Op]


def begun(kernel: Kernel) -> Begun:
    """Assumes the placed form.  The loop for each `full` of zeros that is needed only if the loop makes no trip, and for each `dot` that need not add to
    what it finds in the first trip: the zeros are followed by the loop, nothing touches their place before it, and in it the product alone does.
    """
    found: Begun = {}
    for body in (kernel.body, *(b for op in walk(kernel.body) for b in op.bodies)):
        for n, op in enumerate(body.ops):
            if op.name == "full" and op.into and op.into[0].tile.shape and _zero(op):
                found |= _served(op, body.ops[n + 1:])
    return found


def _zero(op: Op) -> bool:
    return isinstance(op.args[0], Const) and op.args[0].value == 0 and not str(op.args[0].value).startswith("-")


def _served(zeros: Op, after: tuple[Op, ...]) -> Begun:
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
