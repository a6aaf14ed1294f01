"""Masked loops split where the mask stops being always true."""
from __future__ import annotations

from dataclasses import replace

from ..ir import Arg, Body, Const, Kernel, Op, Span, Value, walk
from ..types import BOOL, INDEX, TileType
from ._affine import Facts, Form, combine, constant
from ._rewriting import Rewriter, clone, defined, literal, make

COMPARISONS = ("lt", "le", "gt", "ge")
TAME = 1 << 60


def peel(kernel: Kernel) -> Kernel:
    """Assumes the value form after fuse and before intervals narrows.  Then an innermost loop whose maps compare with a bound that only an
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
        mark = self.facts.enter(op, n)
        body = self.body(op.bodies[n])
        self.facts.leave(mark)
        return body

    def split(self, op: Op) -> list[Op]:
        """The loop, or the two that it becomes with the scalars that bound them."""
        limits: dict[tuple[tuple[object, int], ...], tuple[Form, int]] = {}
        true: dict[Value, Arg] = {}
        for result, rest, scale in self.conditions(op):
            true[result] = literal(True, BOOL)
            limits.setdefault((*rest.items(), (scale, 0)), (rest, scale))
        start, stop = (a for a in op.args[:2] if not isinstance(a, Span))
        if not true or not self.tame(self.facts.form(start)) or not self.tame(self.facts.form(stop)) or start.tile.dtype is not INDEX:
            return [op]
        ops: list[Op] = []
        middle: Arg = stop
        for rest, scale in limits.values():
            middle = _put(ops, op, "minimum", middle, _limit(ops, op, rest, scale))
        step = op.attr("step", 1)
        trips = _put(ops, op, "maximum", _put(ops, op, "sub", middle, start), Const(0, INDEX))
        trips = _put(ops, op, "floordiv", _put(ops, op, "add", trips, Const(step - 1, INDEX)), Const(step, INDEX))
        again = _put(ops, op, "add", start, _put(ops, op, "mul", trips, Const(step, INDEX)))
        main = replace(clone(op, {}), args=(start, middle, *op.args[2:])).having(peel="main")
        main = replace(main, bodies=(_assumed(main.bodies[0], op.bodies[0], true),))
        return [*ops, main, replace(op, args=(again, stop, *main.results)).having(peel="rest")]

    def conditions(self, op: Op) -> list[tuple[Value, Form, int]]:
        """Comparisons in maps that hold exactly while scale * index <= rest, for every element: (result, rest, scale)."""
        found = []
        index = op.bodies[0].params[0]
        inside = defined(op.bodies[0])
        mark = self.facts.enter(op)
        for o in op.bodies[0].ops:
            if o.bodies and o.name not in ("for", "while", "if"):
                self.facts.enter(o)
                for c in o.bodies[0].ops:
                    self.facts.visit(c)
                    gap = self.gap(c) if c.name in COMPARISONS and self.facts.decides(c) is None else {}
                    scale = -gap.pop(index, 0)
                    rest = self.least(gap)
                    outside = all(a is None or (isinstance(a, Value) and a not in inside and a.tile == TileType(INDEX)) for a in rest)
                    if scale > 0 and outside and self.tame(rest):
                        found.append((c.result, rest, scale))
            self.facts.visit(o)
        self.facts.leave(mark)
        return found

    def tame(self, form: Form) -> bool:
        """Whether the sums and differences below cannot wrap."""
        lo, hi = self.facts.range(form)
        return lo > -TAME and hi < TAME

    def gap(self, op: Op) -> Form:
        """What is at least 0 exactly where the comparison holds; empty if it is not one of integers."""
        x, y = (a for a in op.args if not isinstance(a, Span))
        if x.tile.dtype.kind != "i":
            return {}
        if op.name in ("gt", "ge"):
            x, y = y, x
        return combine(combine(self.facts.form(y), self.facts.form(x), -1), constant(-int(op.name in ("lt", "gt"))))

    def least(self, gap: Form) -> Form:
        """The form with coordinates at their worst."""
        moving: Form = {a: c for a, c in gap.items() if a in self.facts.varying}
        return combine({a: c for a, c in gap.items() if a not in moving}, constant(self.facts.range({None: 0, **moving})[0]))


def _put(ops: list[Op], like: Op, name: str, *args: Arg) -> Value:
    ops.append(make(name, args, TileType(INDEX), Op(name, loc=like.loc), hint="peel"))
    return ops[-1].result


def _limit(ops: list[Op], like: Op, rest: Form, scale: int) -> Value:
    """rest // scale + 1: the first index past which the condition may fail."""
    total: Arg = Const(rest.get(None, 0) + (scale == 1), INDEX)
    for a, c in rest.items():
        if isinstance(a, Value):
            size = a if abs(c) == 1 else _put(ops, like, "mul", a, Const(abs(c), INDEX))
            total = _put(ops, like, "add" if c > 0 else "sub", total, size)
    if scale != 1:
        total = _put(ops, like, "add", _put(ops, like, "floordiv", total, Const(scale, INDEX)), Const(1, INDEX))
    return total if isinstance(total, Value) else _put(ops, like, "add", total, Const(0, INDEX))


def _assumed(body: Body, original: Body, true: dict[Value, Arg]) -> Body:
    """`body`, a copy of `original`, without the comparisons whose originals are known to be true."""
    twins = {old.result: new.result for old, new in zip(walk(original), walk(body), strict=True) if len(old.results) == 1}
    gone = {twins[v]: literal(True, BOOL) for v in true}
    walker = Rewriter(lambda op, _defs: ([], (literal(True, BOOL),)) if len(op.results) == 1 and op.result in gone else None)
    return walker.body(body)
