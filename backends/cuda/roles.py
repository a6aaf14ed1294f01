"""Programs with roles: one thread copies tiles into rings of shared places, groups of four warps compute with them.

A pass on the placed form between `distribute` and `arrange`, for kernels that `warp_groups` has marked.  Then holds: each load with `bulk` fills a
slot of the ring that its attribute `ring` names.  Loads that the same dots read share a ring, and so do like ones in loops that follow one
another.  Dots stand between two barriers of their ring, turn="take" before and turn="release" after.  The kernel's attribute `rings` lists
(name, slots, bytes of a slot), `reserved` the bytes of their barriers, and `repeated`
says that a block runs program after program.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from dslc.errors import DslError
from dslc.ir import Body, Kernel, Op, Value, substitute, walk
from dslc.ops import OPS
from dslc.schedule import schedule_of

from ..common.gpu.synchronise import ALIGNMENT, arrange
from ..common.gpu.tiles import owners
from .bulk import Box, box_of, loaded_box, slabs
from .warp_groups import GROUP, ROWS, sum_spread

STAGES = 4                  # slots of a ring at most: three copies in flight behind the trip at hand (nvidia.md 5.2)
BARRIERS = 16               # bytes of a slot's two barriers


@dataclass(frozen=True)
class Ring:
    """A row of the kernel's attribute `rings`."""

    name: str
    slots: int
    bytes: int


def rings(kernel: Kernel, limit: int) -> Kernel | None:
    """The kernel with its rings, of as many slots as fit or as its schedule says; None if not even one fits."""
    asked = {name: dict(rows).get("stages") for name, rows in schedule_of(kernel).loops}
    most = max([STAGES, *(n for n in asked.values() if n)])
    staged = stores_staged(kernel)
    tries = [*((staged, n) for n in range(most, 1, -1)), *((kernel, n) for n in range(most, 0, -1))]
    for start, n in tries:
        made = _Assigner(start, lambda name, n=n: min(n, asked.get(name) or STAGES)).kernel()  # type: ignore[misc]
        try:
            arrange(made, limit)
        except DslError:
            continue
        return in_flight(made)
    return None


def rings_of(kernel: Kernel) -> list[Ring]:
    """The kernel's rings, in order of their barriers."""
    return [Ring(*row) for row in kernel.attr("rings", ())]


class _Assigner:
    def __init__(self, kernel: Kernel, stages: Callable[[str], int]) -> None:
        self.old, self.stages, self.table = kernel, stages, owners(kernel)
        self.rings: dict[str, Ring] = {}
        self.keys: dict[str, tuple[object, ...]] = {}
        self.new: dict[Value, Value] = {}

    def kernel(self) -> Kernel:
        body = self.body(self.old.body, 1, ())
        slots = sum(r.slots for r in self.rings.values())
        rows = tuple((r.name, r.slots, r.bytes) for r in self.rings.values())
        return replace(self.old, body=body).having(rings=rows, repeated=True, threads=(self.old.attr("consumers") + 1) * GROUP,
                                                    reserved=-(-slots * BARRIERS // ALIGNMENT) * ALIGNMENT)

    # ------------------------------------------------------------ which loads share a ring
    def groups(self, body: Body) -> list[list[Op]]:
        """The body's loads, those with the same readers together."""
        found: dict[frozenset[Op], list[Op]] = {}
        for op in body.ops:
            if op.attr("bulk"):
                found.setdefault(frozenset(self.readers(op)), []).append(op)
        return list(found.values())

    def readers(self, load: Op) -> list[Op]:
        home = self.table[load.into[0]]
        return [op for op in walk(self.old.body) if op.name == "dot" and any(self.table.get(v) is home for v in op.uses())]

    def ring(self, loads: list[Op], slots: int, taken: Iterable[str], index: str) -> Ring:
        """A ring that an earlier loop has left, if it fits, or a new one."""
        key = tuple((op.args[0], op.into[0].tile) for op in loads)
        used = set(taken)
        known = next((r for r in self.rings.values() if self.keys[r.name] == key and r.slots == slots and r.name not in used), None)
        if known is not None:
            return known
        hint = f"{loads[0].into[0].name if len(loads) == 1 else index}_ring".replace(".", "_")
        name = next(n for n in (hint, *(f"{hint}{i}" for i in range(2, 99))) if n not in self.rings)
        made = self.rings[name] = Ring(name, slots, sum(op.into[0].tile.bytes for op in loads))
        self.keys[name] = key
        return made

    # ------------------------------------------------------------ the rewritten kernel
    def body(self, body: Body, slots: int, around: tuple[str, ...], index: str = "tiles") -> Body:
        before: dict[int, list[Op]] = {}
        after: dict[int, list[Op]] = {}
        marks: dict[Op, tuple[Ring, int]] = {}
        mine: list[str] = []
        for loads in self.groups(body):
            ring = self.ring(loads, slots, (*around, *mine), index)
            mine.append(ring.name)
            marks |= {op: (ring, n) for n, op in enumerate(loads)}
            readers = set(self.readers(loads[0]))
            places = [n for n, op in enumerate(body.ops) if op in readers or any(o in readers for b in op.bodies for o in walk(b))]
            before.setdefault(places[0], []).append(_turn("take", ring, loads[0]))
            after.setdefault(places[-1], []).append(_turn("release", ring, loads[0]))
        homes = {op.into[0]: mark for op, mark in marks.items()}
        ops: list[Op] = []
        for n, op in enumerate(body.ops):
            ops += [*before.get(n, ()), self.op(op, marks, homes, slots, (*around, *mine)), *after.get(n, ())]
        return replace(body, ops=tuple(ops))

    def op(self, old: Op, marks: dict[Op, tuple[Ring, int]], homes: dict[Value, tuple[Ring, int]], slots: int, around: tuple[str, ...]) -> Op:
        if old.name in ("for", "while", "if"):
            index = old.bodies[0].params[0].name if old.name == "for" else "tiles"
            inner = tuple(self.body(b, self.stages(index) if old.name == "for" else slots, around, index) for b in old.bodies)
            return replace(substitute(replace(old, bodies=()), self.new), bodies=inner)
        if old.name == "alloc" and old.result in homes:
            ring, n = homes[old.result]
            self.new[old.result] = _slotted(old.result, ring.slots)
            return replace(old, results=(self.new[old.result],)).having(apart=f"{ring.name}.{n}", slab=self.width(old.result))
        if old.name == "view" and (home := self.new.get(next(old.uses()))) is not None and home.tile.place is not None:
            self.new[old.result] = _slotted(old.result, home.tile.place.slots)
        op = replace(substitute(old, self.new), results=tuple(self.new.get(r, r) for r in old.results))
        return op.having(ring=marks[old][0].name) if old in marks else op

    def width(self, place: Value) -> int:
        """Elements of a row of the place's slabs."""
        box = loaded_box(next(op for op in walk(self.old.body) if op.attr("bulk") and op.into[0] is place))
        assert box is not None
        return box.width


def _slotted(v: Value, slots: int) -> Value:
    assert v.tile.place is not None
    return Value(v.name, replace(v.tile, place=replace(v.tile.place, slots=slots)))


def _turn(turn: str, ring: Ring, load: Op) -> Op:
    order = ("load", "dot") if turn in ("take", "step") else ("dot", "load")
    return Op("barrier", loc=load.loc).having(after=order[0], before=order[1], ring=ring.name, turn=turn)


# ---------------------------------------------------------------- stores by bulk copies
def stores_staged(kernel: Kernel) -> Kernel:
    """Stores of whole sums of 16 bits go through a shared place in slabs, which the attribute `staged` names: matrices of fragments in, boxes out."""
    staged = {op for op in walk(kernel.body) if staged_box(op, kernel) is not None}

    def body(old: Body) -> Body:
        ops: list[Op] = []
        for op in old.ops:
            op = replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.name in ("for", "while", "if") else op
            if op not in staged:
                ops.append(op)
                continue
            (value, box) = op.args[1], staged_box(op, kernel)
            assert isinstance(value, Value) and box is not None
            place = Value(f"{value.name}.staged", replace(value.tile, place=slabs(value.tile.shape, 1)))
            word = f"store.{sum(o in staged for o in ops)}.{place.name}"
            ops += [Op("alloc", results=(place,), loc=op.loc).having(apart=word, slab=box.width), op.having(staged=word)]
        return replace(old, ops=tuple(ops))

    return replace(kernel, body=body(kernel.body))


def staged_box(op: Op, kernel: Kernel) -> Box | None:
    """The box of one warp group's part of a store that can go so, slab by slab; None for all other ops."""
    if op.name != "store" or not isinstance(op.args[1], Value) or len(op.args[1].tile.shape) != 2:
        return None
    tensor, value, consumers = op.args[0], op.args[1], kernel.attr("consumers")
    assert isinstance(tensor, Value)
    m, n = value.tile.shape
    if m % (ROWS * consumers) or value.tile.dtype is not tensor.tensor.dtype or value.tile.dtype.bits != 16:
        return None
    home = next((o for o in walk(kernel.body) if o.name == "alloc" and o.result is value), None)
    spread = str(sum_spread(m, n, consumers)) if n % 16 == 0 else ""
    others = [o for o in walk(kernel.body) if o is not op and any(v is tensor for v in o.uses())]
    box = box_of(tensor, op.args[2:], m // consumers)
    fits = home is not None and home.attr("spread") == spread == op.attr("over") and not others
    return box if fits and box is not None and box.axis == 1 else None


# ---------------------------------------------------------------- products in flight
def in_flight(kernel: Kernel) -> Kernel:
    """Loops of one product, whose sum nothing else in the loop touches, leave it under way until the next trip has begun its own: the attribute
    `flight` of loop, dot and release.
    """
    def body(old: Body) -> Body:
        return replace(old, ops=tuple(op(o) for o in old.ops))

    def op(old: Op) -> Op:
        if old.name == "for" and _alone(old, kernel):
            ops = tuple(o.having(flight=True) if o.name == "dot" or o.attr("turn") == "release" else o for o in old.bodies[0].ops)
            return replace(old, bodies=(replace(old.bodies[0], ops=ops),)).having(flight=True)
        return replace(old, bodies=tuple(body(b) for b in old.bodies)) if old.name in ("for", "while", "if") else old

    return replace(kernel, body=body(kernel.body))


def _alone(loop: Op, kernel: Kernel) -> bool:
    ops = loop.bodies[0].ops
    dots = [o for o in ops if o.name == "dot" and o.attr("way") == "wgmma" and len(o.args) == 3]
    slots = {r.name: r.slots for r in rings_of(kernel)}
    turns = [slots[o.attr("ring")] for o in ops if o.attr("turn") == "release"]
    idle = all(o.name in ("alloc", "view", "yield", "barrier") or o.attr("bulk") or o in dots or (OPS[o.name].elementwise and o.results) for o in ops)
    shared = len(dots) == 1 and len({o.attr("ring") for o in ops if o.attr("bulk")}) == 1 and all(
        v.tile.place is not None and v.tile.place.slots > 1 for v in dots[0].args[:2] if isinstance(v, Value))
    return idle and shared and len(turns) == 1 and turns[0] > 1


# ---------------------------------------------------------------- the loading thread's part
def loader(ops: Iterable[Op], kept: set[Op]) -> list[Op]:
    """Of a body what the thread that loads does: the loads, each ring's first after its turn "fill" and the last before its turn "step", the control
    flow around them, and the scalars in `kept`.
    """
    every = list(ops)
    loads = [op for op in every if op.attr("bulk")]
    homes = {op.into[0] for op in loads}
    out: list[Op] = []
    for op in every:
        if op.name in ("for", "while", "if") and op in kept:
            out.append(replace(op, bodies=tuple(replace(b, ops=(*loader(b.ops[:-1], kept), b.ops[-1])) for b in op.bodies)).having(flight=None))
        elif (op in kept and op not in loads) or (op.name == "alloc" and op.result in homes):
            out.append(op)
        elif op in loads:
            same = [o for o in loads if o.attr("ring") == op.attr("ring")]
            row = Ring(op.attr("ring"), 0, 0)
            out += [*([_turn("fill", row, op)] if op is same[0] else []), op, *([_turn("step", row, op)] if op is same[-1] else [])]
    return out


def computing(ops: Iterable[Op]) -> list[Op]:
    """Of a body what the groups that compute do: all but the loads, and scalars that only those needed."""
    out: list[Op] = []
    wanted: set[Value] = set()
    for op in reversed(list(ops)):
        if op.attr("bulk"):
            continue
        if op.name in ("for", "while", "if"):
            op = replace(op, bodies=tuple(replace(b, ops=tuple(computing(b.ops))) for b in op.bodies))
        dead = op.results and not op.results[0].tile.shape and OPS[op.name].elementwise and not any(r in wanted for r in op.results)
        if not dead or op.name == "grid":
            out.append(op)
            wanted |= {v for o in (op, *(o for b in op.bodies for o in walk(b))) for v in o.uses()}
    return out[::-1]
