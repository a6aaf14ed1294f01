"""Maps beside each other become one: what they share is read once, and what one makes for the other alone is never stored."""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Arg, Body, Kernel, Op, Value, count_uses, make_attrs, substitute, used_values


def merge(kernel: Kernel) -> Kernel:
    """Assumes the value form, fused.  Then holds: where a map over a shape follows another that reads something in common or whose results it
    reads element by element, with no loop and no reader of those results in between, the two are one.
    """
    uses = count_uses(kernel.body)
    return replace(kernel, body=_merged(kernel.body, uses))


def _merged(body: Body, uses: dict[Value, int]) -> Body:
    ops: list[Op] = []
    for op in body.ops:
        if op.name == "map":
            while (first := _partner(ops, op)) is not None:
                ops.remove(first)
                op = _joined(first, op, uses)
        elif op.bodies:
            op = replace(op, bodies=tuple(_merged(b, uses) for b in op.bodies))
        ops.append(op)
    return replace(body, ops=tuple(ops))


def _partner(ops: list[Op], op: Op) -> Op | None:
    """The nearest map that `op` can join."""
    reads, since = set(op.uses()), set[Value]()
    for first in reversed(ops):
        if first.name in ("for", "while", "if"):
            return None
        if first.name == "map" and first.attr("shape") == op.attr("shape") and not since & set(first.results):
            lined_up = all(v.tile.shape == op.attr("shape") for v in first.results if v in reads)
            return first if lined_up and reads & {*first.uses(), *first.results} else None
        since |= set(used_values(first))
    return None


def _joined(first: Op, second: Op, uses: dict[Value, int]) -> Op:
    a, b = first.bodies[0], second.bodies[0]
    made: dict[Arg, Arg] = dict(zip(first.results, a.result, strict=True))  # type: ignore[arg-type]
    inputs: dict[Arg, Arg] = dict(zip(first.args, a.params, strict=True))  # type: ignore[arg-type]
    new: dict[Value, Arg] = {}
    for v, p in zip(second.args, b.params, strict=True):
        assert isinstance(v, Arg)
        new[p] = made[v] if v in made else inputs.setdefault(v, p)
    kept = [r for r in first.results if uses[r] > sum(v is r for v in second.args)]
    for v in second.args:
        if v in made and isinstance(v, Value):
            uses[v] -= 1
    later = [substitute(o, new) for o in b.ops]
    outs = (*(made[r] for r in kept), *later[-1].args)
    body = Body(tuple(inputs.values()), (*a.ops[:-1], *later[:-1], replace(later[-1], args=outs)))  # type: ignore[arg-type]
    results = (*kept, *second.results)
    attrs = make_attrs({"shape": first.attr("shape"), "dtypes": tuple(r.tile.dtype for r in results)})
    return replace(second, args=tuple(inputs), attrs=attrs, bodies=(body,), results=results)
