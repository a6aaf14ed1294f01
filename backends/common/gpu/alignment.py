"""How evenly spans start: the largest power of two that surely divides the first index of a load's or store's last axis."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

from dslc.ir import Arg, Body, Const, Kernel, Op, Operand, Span, Value

from ..access import coords_of_last_axis

MOST = 256              # no access is wider than this many elements


def alignment(kernel: Kernel) -> Kernel:
    """Loads and stores get the attribute `even`, in elements.  Facts about dimensions count: a dimension divisible by n starts at multiples of n."""
    known: dict[Value, int] = {}
    by_name = dict(kernel.facts)
    for v in kernel.dims:
        known[v] = _power(by_name.get(v.name, 1))
    return replace(kernel, body=_body(kernel.body, known))


def _body(body: Body, known: dict[Value, int]) -> Body:
    ops = []
    for op in body.ops:
        if op.name == "for":
            start, step = op.args[0], op.attr("step")
            known[op.bodies[0].params[0]] = gcd(_of(start, known), _power(step))
        if op.name in ("for", "while", "if"):
            op = replace(op, bodies=tuple(_body(b, known) for b in op.bodies))
        elif op.results and not op.results[0].tile.shape and op.results[0].tile.dtype.kind == "i":
            known[op.results[0]] = _scalar(op, known)
        elif op.name in ("load", "store"):
            coords = op.args[1:] if op.name == "load" else op.args[2:]
            last = coords_of_last_axis(coords)
            span = coords[last] if last is not None else None
            if isinstance(span, Span):
                op = op.having(even=_of(span.start, known))
        ops.append(op)
    return replace(body, ops=tuple(ops))


def _scalar(op: Op, known: Mapping[Value, int]) -> int:
    args = [_of(a, known) for a in op.args]
    if op.name == "mul":
        return min(MOST, args[0] * args[1])
    if op.name in ("add", "sub", "minimum", "maximum"):
        return gcd(*args)
    if op.name == "where":
        return gcd(*args[1:])
    return args[0] if op.name in ("cast", "copy") and args else 1


def _of(arg: Operand | Arg, known: Mapping[Value, int]) -> int:
    if isinstance(arg, Const):
        return MOST if arg.value == 0 else _power(int(arg.value))
    return known.get(arg, 1) if isinstance(arg, Value) else 1


def _power(n: int) -> int:
    return min(MOST, n & -n) if n else MOST
