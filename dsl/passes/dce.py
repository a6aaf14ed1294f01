"""Dead code."""
from __future__ import annotations

from dataclasses import replace

from ..ir import Body, Kernel, Op, Operand, Span, Value, walk
from ..ops import OPS

CARRIED = {"for": 2, "while": 0, "if": 1}          # operands before the carried ones


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
            trip = op.bodies[-1]
            self.need(op.args[CARRIED[op.name] + i], trip.result[i], op.results[i], trip.params[-len(op.results):][i])
        elif op.bodies and i < len(op.bodies[0].params) and op.bodies[0].params[i] is v:
            self.need(op.args[i])
        elif op.name == "map":
            self.need(op.bodies[0].result[i])

    def swept(self, body: Body) -> Body:
        """The body with only what is needed."""
        return replace(body, ops=tuple(self.pruned(op) for op in body.ops if op in self.ops or op.name == "yield"))

    def pruned(self, op: Op) -> Op:
        """The op, its bodies swept, without the results and inputs that nothing needs."""
        if not op.bodies:
            return op
        bodies, keep = tuple(self.swept(b) for b in op.bodies), [r in self.values for r in op.results]
        if op.name in CARRIED:
            first = CARRIED[op.name]
            args = op.args if op.name == "if" else op.args[:first] + _kept(op.args[first:], keep)
            if op.name != "if":
                bodies = tuple(_taking(b, [True] * (op.name == "for") + keep) for b in bodies)
            bodies = (bodies[0] if op.name == "while" else _yielding(bodies[0], keep), *(_yielding(b, keep) for b in bodies[1:]))
            return replace(op, args=args, bodies=bodies, results=_kept(op.results, keep))
        used = [p in self.values for p in bodies[0].params]
        new = replace(op, args=_kept(op.args, used), bodies=(_taking(bodies[0], used),))
        if op.name != "map":
            return new
        return replace(new, results=_kept(op.results, keep), bodies=(_yielding(new.bodies[0], keep),)).having(dtypes=_kept(op.attr("dtypes"), keep))


def _taking(body: Body, keep: list[bool]) -> Body:
    return replace(body, params=_kept(body.params, keep))


def _yielding(body: Body, keep: list[bool]) -> Body:
    return replace(body, ops=(*body.ops[:-1], replace(body.ops[-1], args=_kept(body.result, keep))))


def _kept(items: tuple, keep: list[bool]) -> tuple:  # type: ignore[type-arg]
    return tuple(x for x, k in zip(items, keep, strict=True) if k)
