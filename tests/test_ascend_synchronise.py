"""Events and barriers of the Ascend target, on the IR: every conflict is ordered, whatever the pipes do; nothing is there twice; known kernels need so many."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dslc
import pytest
from dslc.backend import target_of
from dslc.backends.ascend import synchronise
from dslc.backends.ascend.accesses import Access, Accesses
from dslc.backends.ascend.regions import PIPES
from dslc.ir import Body, Kernel, Op, Value, walk
from dslc.passes.lifetimes import lifetimes
from dslc.runtime import lowering
from specification import check_names, checks, spec_modules

units = pytest.importorskip("dslc.backends.ascend.split")
pytest.importorskip("dslc.backends.ascend.vector_ops")
Clock = dict[str, int]
TRIPS = (2, 3, 1, 2, 0, 3)                                  # of a loop, time after time


class Machine:
    """Runs a unit's ops with events, loops a few trips, and orders accesses by vector clocks: one for each pipe, and one for what has been completed."""

    def __init__(self, kernel: Kernel, first: list[Op], last: list[Op]) -> None:
        _, roots = lifetimes(kernel)
        self.kernel, self.accesses = kernel, Accesses(kernel, roots)
        self.known: dict[str, Clock] = {}                   # for each pipe the ops of every pipe that are complete before what it does next
        self.count: Clock = {}
        self.flags: dict[tuple[str, int], Clock] = {}
        self.waited: dict[tuple[str, int], int] = {}
        self.history: list[tuple[Access, str, int, int, int, Op]] = []
        self.turns = {0: 0}
        self.homes: dict[Value, int] = {}                   # how many loops stand around a place
        self.runs, self.depth = 0, 0
        self.wrong: list[str] = []
        self.body(Body((), tuple(first)))
        at = next(n for n, op in enumerate(kernel.body.ops) if op.name == "grid")
        for program in range(4):
            self.program = program
            self.body(Body((), kernel.body.ops[at + 1:]))
            self.turns[0] ^= 1
        self.body(Body((), tuple(last)))
        self.wrong += [f"{key} is left set" for key in self.flags]

    def body(self, body: Body) -> None:
        for op in body.ops:
            if op.name == "barrier":
                self.event(op)
            elif op.name in ("for", "while"):
                self.runs += 1
                self.depth += 1
                self.turns.setdefault(self.depth, 0)
                for _ in range(TRIPS[self.runs % len(TRIPS)]):
                    for b in op.bodies:
                        self.body(b)
                    self.turns[self.depth] ^= 1
                self.depth -= 1
            elif op.name == "if":
                for b in op.bodies:
                    self.body(b)
            else:
                if op.name == "alloc":
                    self.homes[op.result] = self.depth
                self.run(op)

    def learn(self, pipe: str, what: Clock) -> None:
        mine = self.known.setdefault(pipe, {})
        for p, n in what.items():
            mine[p] = max(mine.get(p, 0), n)

    def issue(self, pipe: str) -> None:
        self.learn(pipe, {p: n for p, n in self.known.get("S", {}).items() if p != "S"})
        self.count[pipe] = self.count.get(pipe, 0) + 1

    def event(self, op: Op) -> None:
        event = op.attr("event")
        if op.attr("does") == "barrier":
            for pipe in PIPES if event == "ALL" else (event,):
                self.learn(pipe, self.count if event == "ALL" else {pipe: self.count.get(pipe, 0)})
            return
        setter, waiter = event.split("_")
        key = event, op.attr("number") + (self.turns[self.depth] if op.attr("turn") else 0)
        if op.attr("does") == "set":
            self.issue(setter)
            if key in self.flags:
                self.wrong.append(f"{key} is set twice")
            elif waiter != "S" and self.known.get(setter, {}).get(waiter, 0) < self.waited.get(key, 0):
                self.wrong.append(f"{key} is set again while it may still be waited for")
            self.flags[key] = {**self.known.get(setter, {}), setter: self.count[setter]}
            return
        self.issue(waiter)
        if key not in self.flags:
            self.wrong.append(f"{key} is waited for and never set")
            return
        self.learn(waiter, self.flags.pop(key))
        self.waited[key] = self.count[waiter]

    def run(self, op: Op) -> None:
        found, before = self.accesses.of(op), ""
        beside = op.name in ("load", "store", "atomic_add", "atomic_min", "atomic_max") or op.attr("side") == "take"
        memory = beside and not any(a.place == "scratch" for a in found)
        settles = op.name in ("store", "atomic_add", "atomic_min", "atomic_max") and not memory
        for pipe in dict.fromkeys(a.pipe for a in found):
            self.issue(pipe)
            if before and not memory:
                self.learn(pipe, {**self.known.get(before, {}), before: self.count[before]})
            before = pipe
            if any(a.pipe == pipe and (a.late or a.settled) for a in found):                # a barrier of its own
                self.learn(pipe, {pipe: self.count[pipe] - 1})
            for a in found:
                if a.pipe == pipe and a.memory != "GM":
                    shift = a.step * self.turns[self.homes[a.place]] if isinstance(a.place, Value) and a.slots > 1 else 0
                    self.check(a, a.first + shift, a.last + shift, op)
        if settles and op.attr("unit") != "cube":
            self.learn("S", {p: self.count[p] for p in {a.pipe for a in found}})

    def check(self, a: Access, first: int, last: int, op: Op) -> None:
        for b, pipe, number, low, high in [(h[0], h[1], h[2], h[3], h[4]) for h in self.history if h[5] is not op or h[2] != self.count[h[1]]]:
            if a.memory != b.memory or not (a.write or b.write) or first >= high or low >= last:
                continue
            if pipe == a.pipe and (pipe == "S" or a.ordered or b.ordered or a.late or b.settled):
                continue
            if pipe == "S" and not b.write:
                continue
            if self.known.get(a.pipe, {}).get(pipe, 0) < number:
                self.wrong.append(f"{op.name} on {a.pipe} of {_name(a)} is not ordered with {b.pipe} of {_name(b)}")
        self.history.append((a, a.pipe, self.count[a.pipe], first, last, op))


def _name(a: Access) -> str:
    return a.place.name if isinstance(a.place, Value) else str(a.place)


def unit_ops(kernel: Kernel) -> Iterator[tuple[str, Kernel, list[Op], list[Op]]]:
    """Each unit of a lowered kernel with its events."""
    cores = kernel.attr("cores", "vector")
    for side in ("cube", "vector") if cores == "mixed" else (cores,):
        yield side, *synchronise.synchronise(units.project(kernel, side))


class Recorded(dslc.TileKernel):
    """A kernel that is lowered and not run."""

    seen: dict[str, Kernel] = {}

    def __call__(self, *args: Any, target: str | None = None, schedule: Any = None, **named: Any) -> None:
        _, kernel = self.lower(self.steer("ascend:910b", args, named, schedule))
        Recorded.seen.setdefault(f"{kernel.name} {len(Recorded.seen)}" if kernel.name in Recorded.seen else kernel.name, kernel)


@pytest.fixture(scope="module")
def kernels() -> dict[str, Kernel]:
    """Kernels of the specification as their checks call them; a check that looks at results ends at its first call."""
    Recorded.seen.clear()
    with spec_modules(Recorded) as modules:
        for name, check in checks(modules):
            if not name.startswith(("mistakes",)):
                try:
                    check()
                except Exception:  # nothing was computed
                    continue
    return dict(Recorded.seen)


def all_events(kernel: Kernel, first: list[Op], last: list[Op]) -> Counter[str]:
    return Counter(f"{op.attr('does')} {op.attr('event')}" for op in [*first, *walk(kernel.body), *last] if op.name == "barrier")


def test_everything_is_ordered(kernels: dict[str, Kernel]) -> None:
    assert len(kernels) > 20 and len(check_names()) > 30
    wrong = {(name, side): machine.wrong[:3] for name, kernel in kernels.items() for side, alone, first, last in unit_ops(kernel)
             if (machine := Machine(alone, first, last)).wrong}
    assert not wrong


def test_pipes_wait_for_one_another_and_not_all_for_all(kernels: dict[str, Kernel]) -> None:
    """Numbers suffice in every kernel but two, whose branches are taken in some trips and not in others."""
    stalled = {name.split()[0] for name, kernel in kernels.items() for _, alone, first, last in unit_ops(kernel)
               if all_events(alone, first, last)["barrier ALL"]}
    assert stalled <= {"w4ax", "decode_paged"}


def lowered(name: str, **given: Any) -> Kernel:
    module, _, name = name.partition(".")
    with spec_modules(dslc.tile_kernel) as modules:
        kernel = vars(modules[module])[name]
        return kernel.lower(kernel.steer("ascend:910b", (), given, None))[1]


def test_a_copy_needs_a_flag_there_and_one_back() -> None:
    """Two slots: MTE2 fills one while MTE3 empties the other."""
    ((_, kernel, first, last),) = unit_ops(lowered("stream.copy", T="f32"))
    assert all_events(kernel, first, last) == {"set MTE2_MTE3": 1, "wait MTE2_MTE3": 1, "set MTE3_MTE2": 3, "wait MTE3_MTE2": 3}


def test_target_is_known() -> None:
    assert target_of("ascend:910b").backend.name == "ascend" and lowering is not None
