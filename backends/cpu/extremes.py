"""Where the least or greatest element is, and which: a reduction and its arg-reduction over the same elements are one pass."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from dslc.ir import Arg, Body, Kernel, Op, Operand, walk

NAMES = ("min", "max", "argmin", "argmax")


def extremes(kernel: Kernel) -> Mapping[Op, Op]:
    """Assumes the placed form.  For each `argmin` the `min` of the same elements along the same axis that stands before it in its body, or the other way
    round, likewise for `argmax`: the second can do the work of both, since nothing in between writes what they read or touches what the first writes.
    """
    found: dict[Op, Op] = {}
    for body in (kernel.body, *(b for op in walk(kernel.body) for b in op.bodies)):
        for n, op in enumerate(body.ops):
            name = op.name[3:] if op.name.startswith("arg") else f"arg{op.name}"
            for m, other in enumerate(body.ops[n + 1:], n + 1) if op.name in NAMES and op.into else ():
                if other.name == name and other.into and _alike(op, other) and _apart(body.ops[n + 1:m], op):
                    found[other] = op
                    break
    return found


def _alike(a: Op, b: Op) -> bool:
    """Whether two reductions see the same elements in the same order."""
    if a.args != b.args or a.attr("axis") != b.attr("axis") or a.attr("shape") != b.attr("shape") or len(a.bodies) != len(b.bodies):
        return False
    return all(_same(x, y) for x, y in zip(a.bodies, b.bodies, strict=True))


def _same(a: Body, b: Body) -> bool:
    """Whether two bodies of scalars compute the same."""
    if len(a.ops) != len(b.ops):
        return False
    named: dict[Operand, Arg] = dict(zip(a.params, b.params, strict=True))
    for x, y in zip(a.ops, b.ops, strict=True):
        if x.name != y.name or x.attrs != y.attrs or tuple(named.get(v, v) for v in x.args) != y.args:
            return False
        named.update(zip(x.results, y.results, strict=True))
    return True


def _apart(between: Sequence[Op], first: Op) -> bool:
    """Whether the first may be done after the ops that follow it."""
    reads, writes = set(first.uses()), set(first.into)
    return not any(v in reads for o in walk(Body((), tuple(between))) for v in o.into) \
        and not any(v in writes for o in walk(Body((), tuple(between))) for v in (*o.uses(), *o.into))
