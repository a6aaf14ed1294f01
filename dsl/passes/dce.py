"""Dead code."""
from __future__ import annotations

from dataclasses import replace

from ..ir import Body, Kernel, Op, Operand, Span, Value, walk
from ..ops import OPS


def dce(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then every op has an effect or a result that one with an effect needs; no loop carries a value that only
    feeds itself, and no loop, branch, map or reduction is left that nothing needs (a loop without effect is taken to end)."""
    return replace(kernel, body=_Needs(kernel.body).swept(kernel.body))


class _Needs:
    """What is needed: ops, and values; a carried value's result, parameter, first and next value are needed together."""

    def __init__(self, body: Body) -> None:
        self.defs: dict[Value, tuple[Op, int]] = {}
        self.parents: dict[Op, Op] = {}
        self.ops: set[Op] = set()
        self.values: set[Value] = set()
        self.todo: list[Value] = []
        for op in walk(body):
            self.defs.update((r, (op, i)) for i, r in enumerate(op.results))
            for b in op.bodies:
                self.parents.update((o, op) for o in b.ops)
                self.defs.update((p, (op, i - (op.name == "for"))) for i, p in enumerate(b.params))
        for op in walk(body):
            entry = OPS.get(op.name)
            if op.name not in ("for", "while", "if", "yield") and (entry is None or entry.effect in ("write", "order") or op.name == "grid"):
                self.mark(op)
        while self.todo:
            self.follow(self.todo.pop())

    def need(self, *args: Operand | None) -> None:
        for a in args:
            if isinstance(a, Span):
                self.need(a.start, a.stop)
            elif isinstance(a, Value) and a not in self.values:
                self.values.add(a)
                self.todo.append(a)

    def mark(self, op: Op) -> None:
        """The op runs: so do those around it, with what decides that."""
        if op in self.ops:
            return
        self.ops.add(op)
        if op in self.parents:
            self.mark(self.parents[op])
        if op.name == "for":
            self.need(*op.args[:2])
        elif op.name == "while":
            self.need(*op.bodies[0].result)
        elif op.name == "if":
            self.need(op.args[0])
        elif not op.bodies:
            self.need(*op.args)
        elif op.name != "map":
            self.need(*op.bodies[0].result)

    def follow(self, v: Value) -> None:
        """What a needed value needs."""
        if v not in self.defs:
            return
        op, i = self.defs[v]
        self.mark(op)
        if op.name == "if":
            self.need(*(b.result[i] for b in op.bodies))
        elif op.name in ("for", "while") and i >= 0:
            first = 2 if op.name == "for" else 0
            trip = op.bodies[-1]
            self.need(op.args[first + i], trip.result[i], op.results[i], trip.params[-len(op.results):][i])
        elif op.bodies and i < len(op.bodies[0].params) and op.bodies[0].params[i] is v:
            self.need(op.args[i])
        elif op.name == "map":
            self.need(op.bodies[0].result[i])

    def swept(self, body: Body) -> Body:
        """The body with only what is needed."""
        return replace(body, ops=tuple(self.pruned(op) for op in body.ops if op in self.ops or op.name == "yield"))

    def pruned(self, op: Op) -> Op:
        if not op.bodies:
            return op
        bodies = tuple(self.swept(b) for b in op.bodies)
        if op.name in ("for", "while", "if"):
            keep = [r in self.values for r in op.results]
            first = {"for": 2, "while": 0, "if": 1}[op.name]
            args = op.args[:first] + _kept(op.args[first:], keep) if op.name != "if" else op.args
            index = 1 if op.name == "for" else 0
            bodies = tuple(self.narrowed(b, keep, index, closes=n == len(bodies) - 1 or op.name == "if") for n, b in enumerate(bodies))
            return replace(op, args=args, bodies=bodies, results=_kept(op.results, keep))
        used = [p in self.values for p in bodies[0].params]
        inner = replace(bodies[0], params=_kept(bodies[0].params, used))
        if op.name == "map":
            return self.fewer_results(replace(op, args=_kept(op.args, used), bodies=(inner,)))
        return replace(op, args=_kept(op.args, used), bodies=(inner,))

    def fewer_results(self, op: Op) -> Op:
        keep = [r in self.values for r in op.results]
        body = op.bodies[0]
        body = replace(body, ops=(*body.ops[:-1], replace(body.ops[-1], args=_kept(body.ops[-1].args, keep))))
        return replace(op, results=_kept(op.results, keep), bodies=(body,)).having(dtypes=_kept(op.attr("dtypes"), keep))

    def narrowed(self, body: Body, keep: list[bool], index: int, closes: bool) -> Body:
        """A body whose carried values (after `index` others), and what it yields of them, are those to keep."""
        params = body.params[:index] + _kept(body.params[index:], keep) if body.params else ()
        if not closes:
            return replace(body, params=params)
        return replace(body, params=params, ops=(*body.ops[:-1], replace(body.ops[-1], args=_kept(body.ops[-1].args, keep))))


def _kept(items: tuple, keep: list[bool]) -> tuple:  # type: ignore[type-arg]
    return tuple(x for x, k in zip(items, keep, strict=True) if k)
