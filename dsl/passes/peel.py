"""Masked loops split where the mask stops being always true."""
from __future__ import annotations

from dataclasses import replace

from ..ir import Arg, Body, Const, Kernel, Op, Value, defined, walk
from ..types import BOOL, INDEX, TileType
from ._affine import Facts, Form, combine, constant, holds_from_zero
from ._rewriting import Builder, Rewriter, clone, fit, literal, scalars

TAME = 1 << 60


def peel(kernel: Kernel) -> Kernel:
    """Assumes the value form after fuse and before intervals narrows.  Then an innermost loop whose tiles are compared with a bound that only an
    early trip stays below is two loops: [peel="main"], where those conditions are true, and [peel="rest"] with the trips that are left.
    The same trips run in the same order for any bounds."""
    return replace(kernel, body=_Peeler(kernel).body(kernel.body))


class _Peeler:
    def __init__(self, kernel: Kernel) -> None:
        self.facts = Facts(kernel)

    def body(self, body: Body) -> Body:
        """The body with its innermost loops split."""
        ops: list[Op] = []
        for op in body.ops:
            if op.name == "for" and op.attr("peel") is None and not any(o.name in ("for", "while") for o in walk(op.bodies[0])):
                ops += self.split(op)
            elif op.name in ("for", "while", "if"):
                ops.append(replace(op, bodies=tuple(self.inner(op, n) for n in range(len(op.bodies)))))
            else:
                ops.append(op)
            self.facts.visit(op)
        return replace(body, ops=tuple(ops))

    def inner(self, op: Op, n: int) -> Body:
        with self.facts.inside(op, n):
            return self.body(op.bodies[n])

    def split(self, op: Op) -> list[Op]:
        """The loop, or the two that it becomes with the scalars that bound them."""
        limits: dict[tuple[tuple[object, int], ...], tuple[Form, int]] = {}
        true: set[Value] = set()
        for result, rest, scale in self.conditions(op):
            true.add(result)
            limits.setdefault((*rest.items(), (scale, 0)), (rest, scale))
        start, stop = scalars(op)[:2]
        if not true or not self.tame(self.facts.form(start)) or not self.tame(self.facts.form(stop)) or start.tile.dtype is not INDEX:
            return [op]
        put, step, middle = Builder(op, "peel"), Const(op.attr("step", 1), INDEX), stop
        for rest, scale in limits.values():
            middle = put("minimum", middle, _limit(put, rest, scale))
        trips = put("maximum", put("sub", middle, start), Const(0, INDEX))
        trips = put("floordiv", put("add", trips, Const(op.attr("step", 1) - 1, INDEX)), step)
        again = put("add", start, put("mul", trips, step))
        main = replace(clone(op, {}), args=(start, middle, *op.args[2:])).having(peel="main")
        main = replace(main, bodies=(_assumed(main.bodies[0], op.bodies[0], true),))
        return [*put.ops, main, replace(op, args=(again, stop, *main.results)).having(peel="rest")]

    def conditions(self, op: Op) -> list[tuple[Value, Form, int]]:
        """Comparisons of tiles that hold exactly while scale * index <= rest, for every element: (result, rest, scale)."""
        found = []
        index, inside = op.bodies[0].params[0], defined(op.bodies[0])

        def note(c: Op) -> None:
            gap = self.gap(c)
            scale = -gap.pop(index, 0)
            rest = self.least(gap)
            outside = all(a is None or (isinstance(a, Value) and a not in inside and a.tile == TileType(INDEX)) for a in rest)
            if scale > 0 and outside and self.tame(rest):
                found.append((c.result, rest, scale))

        with self.facts.inside(op):
            for o in op.bodies[0].ops:
                if o.bodies and o.name not in ("for", "while", "if"):
                    with self.facts.inside(o):
                        for c in o.bodies[0].ops:
                            self.facts.visit(c)
                            note(c)
                elif o.results and o.results[0].tile.shape:
                    note(o)
                self.facts.visit(o)
        return found

    def tame(self, form: Form) -> bool:
        """Whether the sums and differences below cannot wrap."""
        lo, hi = self.facts.range(form)
        return lo > -TAME and hi < TAME

    def gap(self, op: Op) -> Form:
        """What is at least 0 exactly where the comparison holds; empty if it is not one of integers, or is decided."""
        if op.name not in ("lt", "le", "gt", "ge") or scalars(op)[0].tile.dtype.kind != "i" or self.facts.decides(op) is not None:
            return {}
        return holds_from_zero(op.name, *(self.facts.element(a) for a in scalars(op)))

    def least(self, gap: Form) -> Form:
        """The form with coordinates at their worst."""
        moving: Form = {a: c for a, c in gap.items() if a in self.facts.varying}
        return combine({a: c for a, c in gap.items() if a not in moving}, constant(self.facts.range({None: 0, **moving})[0]))


def _limit(put: Builder, rest: Form, scale: int) -> Arg:
    """rest // scale + 1: the first index past which the condition may fail."""
    terms = [(a, c) for a, c in rest.items() if isinstance(a, Value)]
    if scale == 1:
        return put.linear(terms, rest.get(None, 0) + 1)
    return put("add", put("floordiv", put.linear(terms, rest.get(None, 0)), Const(scale, INDEX)), Const(1, INDEX))


def _assumed(body: Body, original: Body, true: set[Value]) -> Body:
    """`body`, a copy of `original`, without the comparisons whose originals are known to be true."""
    gone = {new.result for old, new in zip(walk(original), walk(body), strict=True) if len(old.results) == 1 and old.result in true}
    return Rewriter(lambda op, _defs: fit(literal(True, BOOL), op) if len(op.results) == 1 and op.result in gone else None).body(body)
