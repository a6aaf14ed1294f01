"""Loads that run ahead: those of a loop whose addresses depend on nothing the loop computes go to rings of shared places, several trips early.

A pass on the placed form between `distribute` and `arrange`.  Then holds: a loop with the attribute `stages` has loads marked `ahead` into places
of as many slots; nothing else writes those places, and no load that runs ahead reads what the kernel stores.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from dslc.errors import DslError
from dslc.ir import Body, Kernel, Op, Value, substitute, walk
from dslc.ops import OPS
from dslc.schedule import schedule_of
from dslc.types import TensorType

from .synchronise import arrange
from .tiles import is_shared

Movable = Callable[[Op], bool]


def pipeline(kernel: Kernel, stages: int, movable: Movable, limit: int, slots: int | None = None) -> Kernel:
    """The kernel with its loops' loads running up to `stages` - 1 trips ahead, or as the schedule says; fewer if the rings would not fit `limit` bytes.

    `movable(load)` tells whether the machine can do the load behind the workers' backs.  `slots`: of each ring, where what is under way is elsewhere;
    else as many as stages.
    """
    asked = dict(schedule_of(kernel).loops)
    for most in range(max([stages, *(dict(rows).get("stages", 1) for rows in asked.values())]), 1, -1):
        staged = _Stager(kernel, lambda name, most=most: min(most, dict(asked.get(name, ())).get("stages", stages)), movable, slots).kernel  # type: ignore[misc]
        try:
            arrange(staged, limit)
        except DslError:
            continue
        return staged
    return kernel


class _Stager:
    def __init__(self, kernel: Kernel, stages: Callable[[str], int], movable: Movable, slots: int | None) -> None:
        self.stages, self.movable, self.slots = stages, movable, slots
        self.stored = {v for op in walk(kernel.body) if (op.name == "store" or op.name.startswith("atomic")) and isinstance(v := op.args[0], Value)}
        self.writers: dict[Value, int] = {}
        for op in walk(kernel.body):
            for v in op.into:
                self.writers[v] = self.writers.get(v, 0) + 1
        self.new: dict[Value, Value] = {}
        self.kernel = replace(kernel, body=self.body(kernel.body))

    def body(self, body: Body) -> Body:
        return replace(body, ops=tuple(self.op(op) for op in body.ops))

    def op(self, op: Op) -> Op:
        if op.name == "for":
            n = self.stages(op.bodies[0].params[0].name)
            ahead = runs_ahead(op, self.stored, self.writers, self.movable) if n > 1 else set()
            if ahead:
                return self.staged(op, ahead, n)
        if op.name in ("for", "while", "if"):
            return replace(op, bodies=tuple(self.body(b) for b in op.bodies))
        return op

    def staged(self, op: Op, ahead: set[Op], n: int) -> Op:
        """The loop with rings; views of a ring's place move with it."""
        new: dict[Value, Value] = {}
        homes = {load.into[0] for load in ahead}

        def ring(v: Value) -> Value:
            assert v.tile.place is not None
            return Value(v.name, replace(v.tile, place=replace(v.tile.place, slots=self.slots or n)))

        def remade(body: Body) -> Body:
            ops = []
            for o in body.ops:
                marked = o in ahead
                if (o.name == "alloc" and o.result in homes) or (o.name == "view" and next(o.uses()) in new):
                    new[o.result] = ring(o.result)
                if o.bodies and o.name in ("for", "while", "if"):
                    o = replace(substitute(replace(o, bodies=()), new), bodies=tuple(remade(b) for b in o.bodies))
                else:
                    o = replace(substitute(o, new), results=tuple(new.get(r, r) for r in o.results))
                ops.append(o.having(ahead=True) if marked else o)
            return replace(body, ops=tuple(ops))

        return replace(op, bodies=(remade(op.bodies[0]),)).having(stages=n)


def runs_ahead(loop: Op, stored: Iterable[Value], writers: dict[Value, int], movable: Movable) -> set[Op]:
    """The loads of the loop's own body that may be done before the trips they belong to."""
    body, written = loop.bodies[0], set(stored)
    early, made = set(body.params), set()
    inside = {r for op in walk(body) for r in op.results} | set(body.params)
    found: set[Op] = set()
    for op in body.ops:
        free = all(v in early or v not in inside for v in op.uses() if not isinstance(v.type, TensorType))
        if op.name == "alloc":
            made.add(op.result)
        elif op.name in OPS and OPS[op.name].elementwise and op.results and not op.results[0].tile.shape and free:
            early |= set(op.results)
        elif op.name == "load" and op.into and op.into[0] in made and is_shared(op.into[0]) and free and op.args[0] not in written \
                and writers[op.into[0]] == 1 and movable(op):
            found.add(op)
    return found
