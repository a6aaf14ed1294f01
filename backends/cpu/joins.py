"""Parts that are written where `concat` would move them."""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Body, Kernel, Op, Value, make_attrs, used_values, walk
from dslc.passes.lifetimes import plan
from dslc.types import Layout

from .windows import ELEMENTWISE


def joins(kernel: Kernel) -> Kernel:
    """Assumes the placed form.  Then holds: where maps alone compute all parts of a `concat`, for it alone, and nobody has touched its result before,
    there is none: the parts are views of the result.  The maps then write it while they read their operands, so these may not share its memory: places
    are planned anew.
    """
    touched: dict[Value, list[Op]] = {}
    for op in walk(kernel.body):
        for v in (*op.uses(), *op.into):
            touched.setdefault(v, []).append(op)
    body = _body(kernel.body, touched)
    return kernel if body is kernel.body else plan(replace(kernel, body=body))


def _body(body: Body, touched: dict[Value, list[Op]]) -> Body:
    ops = tuple(replace(o, bodies=tuple(_body(b, touched) for b in o.bodies)) if o.bodies and o.name not in ELEMENTWISE else o for o in body.ops)
    if all(new.bodies == old.bodies for new, old in zip(ops, body.ops, strict=True)):
        ops = body.ops
    for op in [o for o in ops if o.name == "concat"]:
        if _direct(op, ops, touched):
            ops = _joined(op, ops)
    return body if ops is body.ops else replace(body, ops=ops)


def _direct(op: Op, ops: tuple[Op, ...], touched: dict[Value, list[Op]]) -> bool:
    """Whether each part can be written in place: made here, by one map, read by this op only."""
    made = {o.result for o in ops if o.name == "alloc"}
    (whole,), parts = op.into, [v for v in op.args if isinstance(v, Value)]
    if whole not in made or touched[whole][0] is not op or len(set(parts)) != len(op.args):
        return False
    return all(v in made and len(touched[v]) == 2 and touched[v][1] is op and touched[v][0].name == "map" and touched[v][0] in ops for v in parts)


def _joined(op: Op, ops: tuple[Op, ...]) -> tuple[Op, ...]:
    """The ops without this concat; the allocation of its result stands where that of the first part did."""
    (whole,), axis, start, views = op.into, op.attr("axis") % len(op.into[0].tile.shape), 0, {}
    assert whole.tile.place is not None
    layout = Layout(whole.tile.strides)
    for part in used_values(op):
        place = replace(whole.tile.place, layout=layout, offset=None)
        view = Op("view", (whole,), make_attrs({"start": start * layout.of(())[axis]} if start else {}),
                  (Value(part.name, replace(part.tile, place=place)),), loc=op.loc)
        views[part] = view
        start += part.tile.shape[axis]
    home = next(o for o in ops if o.name == "alloc" and o.result is whole)
    new: list[Op] = []
    for o in ops:
        if o.name == "alloc" and o.result in views:
            new += [home] if home not in new else []
            new.append(views[o.result])
        elif o is not op and o is not home:
            new.append(replace(o, into=tuple(views[v].result if v in views else v for v in o.into)) if set(o.into) & set(views) else o)
    return tuple(new)
