"""Where shared places lie in the arena of a program, and the barriers between workers that touch the same bytes.

Passes on the placed form after `distribute`.  `arrange` gives every shared place an offset; `synchronise` puts a barrier before every op that
reads what other workers may have written since the last one, or writes what they may have read or written.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from dslc.errors import check
from dslc.ir import Body, Kernel, Op, Value, walk
from dslc.passes.lifetimes import lifetimes
from dslc.types import TensorType

from .rings import split
from .spread import Spread
from .tiles import REDUCTIONS, Owner, facets, is_shared, owners, space_of

ALIGNMENT = 128         # bytes: one row of 32 four-byte banks; a swizzled place needs its whole pattern
ATOMICS = ("atomic_add", "atomic_min", "atomic_max")


# ---------------------------------------------------------------- the arena
def footprint(v: Value) -> int:
    """Bytes that a shared place takes, every slot of a ring among them."""
    return -(-v.tile.footprint // ALIGNMENT) * ALIGNMENT * (v.tile.place.slots if v.tile.place else 1)


def alignment(v: Value) -> int:
    """Bytes that the place's address must be a multiple of: the block that its swizzle permutes."""
    swizzle = v.tile.place.layout.swizzle if v.tile.place else None
    return ALIGNMENT if swizzle is None else max(ALIGNMENT, (1 << (sum(swizzle))) * v.tile.dtype.bytes)


def arrange(kernel: Kernel, limit: int) -> Kernel:
    """Offsets by first fit over lifetimes; DslError, with the bytes and the largest tile, if they need more than `limit` bytes."""
    blocks, _ = lifetimes(kernel)
    first, whole = scratch_bytes(kernel) + kernel.attr("reserved", 0), _ring_lifetimes(kernel)
    apart = places_apart(kernel)
    whole |= dict.fromkeys(apart, (-1, sum(1 for _ in walk(kernel.body))))
    for block in blocks:
        block.start, block.end = whole.get(block.place, (block.start, block.end))
    placed: list[tuple[int, int, int, int]] = []             # offset, end, first op, last op
    offsets: dict[Value, int] = {}
    for block in sorted((b for b in blocks if is_shared(b.place)), key=lambda b: b.start):
        size, step = footprint(block.place), alignment(block.place)
        same = next((p for p in offsets if apart.get(p, "") == apart.get(block.place)), None)
        if same is not None:
            offsets[block.place] = offsets[same]
            continue
        at = -(-first // step) * step
        for offset, end, start, stop in sorted(placed):
            if start <= block.end and block.start <= stop and offset < at + size and at < end:
                at = -(-end // step) * step
        offsets[block.place] = at
        placed.append((at, at + size, block.start, block.end))
    need = max([first, *(end for _, end, _, _ in placed)])
    largest = max(offsets, key=footprint, default=None)
    check(need <= limit, f"{kernel.name}: its shared tiles need {need} bytes of the {limit} that a program can have",
          hint=f"the largest is {largest.name if largest else ''}: {footprint(largest) if largest else 0} bytes; smaller tiles or fewer stages", loc=kernel.loc)
    return _moved(kernel, offsets).having(shared=need)


def places_apart(kernel: Kernel) -> dict[Value, str]:
    """Places whose alloc has the attribute `apart`: the kernel keeps their order by other means than barriers between workers, and nothing else is put
    where they lie.  Those with the same word share their memory.
    """
    return {op.result: op.attr("apart") for op in walk(kernel.body) if op.name == "alloc" and op.attr("apart")}


def _ring_lifetimes(kernel: Kernel) -> dict[Value, tuple[int, int]]:
    """First and last op, in program order, of the loop that a ring belongs to: its slots are filled before the loop and in every trip.  So is the one slot
    of a place whose loads run ahead in registers.
    """
    order = {op: n for n, op in enumerate(walk(kernel.body))}
    return {o.into[0]: (order[op], max(order[inner] for inner in walk(op.bodies[0]))) for op in walk(kernel.body) if op.attr("stages")
            for o in op.bodies[0].ops if o.attr("ahead")}


def _moved(kernel: Kernel, offsets: dict[Value, int]) -> Kernel:
    new: dict[Value, Value] = {}

    def body(old: Body) -> Body:
        ops: list[Op] = []
        for op in old.ops:
            if op.name == "alloc" and op.result in offsets:
                new[op.result] = _at(op.result, offsets[op.result])
            elif op.name == "view":
                (source,) = op.uses()
                place = new.get(source, source).tile.place
                offset = None if place is None or place.offset is None else place.offset + op.attr("start", 0) * source.tile.dtype.bytes
                new[op.result] = _at(op.result, offset)
            results = tuple(new.get(r, r) for r in op.results)
            op = replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op
            ops.append(replace(_renamed(op, new), results=results))
        return replace(old, ops=tuple(ops))

    return replace(kernel, body=body(kernel.body))


def _renamed(op: Op, new: dict[Value, Value]) -> Op:
    """Operands and targets of the op itself; its bodies are already done."""
    from_new = {v: new[v] for v in (*op.uses(), *op.into) if v in new}
    if not from_new:
        return op
    args = tuple(from_new.get(a, a) if isinstance(a, Value) else a for a in op.args)
    return replace(op, args=args, into=tuple(from_new.get(v, v) for v in op.into))


def _at(v: Value, offset: int | None) -> Value:
    assert v.tile.place is not None
    return Value(v.name, replace(v.tile, place=replace(v.tile.place, offset=offset)))


# ---------------------------------------------------------------- reductions across warps
def crosses(op: Op, lanes: int) -> bool:
    """Whether a reduction combines workers of different warps."""
    if op.name not in REDUCTIONS:
        return False
    over = Spread.parse(op.attr("over"))
    return any(stride * extent > lanes for stride, extent, _ in over.worker_digits(op.attr("axis") % len(over.axes)))


def scratch_bytes(kernel: Kernel) -> int:
    """Shared bytes for reductions across warps: one value (and index) of each worker's results."""
    most = 0
    for op in walk(kernel.body):
        if crosses(op, kernel.attr("lanes")):
            over = Spread.parse(op.attr("over"))
            each = 16 if op.name.startswith("arg") else 8
            most = max(most, over.drop(op.attr("axis") % len(over.axes)).slots * kernel.attr("workers") * each)
    return -(-most // ALIGNMENT) * ALIGNMENT


# ---------------------------------------------------------------- barriers
@dataclass(frozen=True)
class _Access:
    """Bytes of the arena, or a tensor, read or written; `mine` is the spread by which each worker touches only its own elements."""

    what: str
    start: int
    end: int
    writes: bool
    mine: str = ""

    def conflicts(self, other: _Access) -> bool:
        if self.what != other.what or not (self.writes or other.writes):
            return False
        apart = self.end <= other.start or other.end <= self.start
        return not apart and not (self.mine and self.mine == other.mine and (self.start, self.end) == (other.start, other.end))


Pending = frozenset[_Access]
_SCRATCH = "scratch"


def synchronise(kernel: Kernel) -> Kernel:
    """The kernel with barriers.  Needs offsets.  With the attribute `repeated`, what is pending at a program's end is so at the start of the next."""
    synchroniser, before = _Synchroniser(kernel), frozenset[_Access]()
    ops, after = synchroniser.body(kernel.body, before)
    while kernel.attr("repeated") and not after <= before:
        before |= after
        ops, after = synchroniser.body(kernel.body, before)
    return replace(kernel, body=ops)


class _Synchroniser:
    def __init__(self, kernel: Kernel) -> None:
        self.table = owners(kernel)
        self.lanes = kernel.attr("lanes")
        self.scratch = scratch_bytes(kernel)
        self.apart = places_apart(kernel)
        loaded = {v for op in walk(kernel.body) if op.name == "load" and isinstance(v := op.args[0], Value)}
        stored = {v for op in walk(kernel.body) if op.name == "store" and isinstance(v := op.args[0], Value)}
        self.both = {v for v in loaded | stored if v in stored and (v in loaded or _stores(kernel, v) > 1)}

    def body(self, body: Body, pending: Pending) -> tuple[Body, Pending]:
        ops: list[Op] = []
        for op in body.ops:
            new, pending = self.op(op, pending)
            ops += new
        return replace(body, ops=tuple(ops)), pending

    def op(self, op: Op, pending: Pending) -> tuple[list[Op], Pending]:
        if op.attr("stages"):
            return self.staged(op, pending)
        if op.name in ("for", "while"):
            while True:                                     # until what is pending at the end of a trip is expected at its start
                entry, bodies, now = pending, [], pending
                for b in op.bodies:
                    done, now = self.body(b, now)
                    bodies.append(done)
                if now <= entry:
                    return [replace(op, bodies=tuple(bodies))], pending | now
                pending |= now
        if op.name == "if":
            sides = [self.body(b, pending) for b in op.bodies]
            return [replace(op, bodies=tuple(b for b, _ in sides))], frozenset().union(*(p for _, p in sides)) if sides else pending
        mine = self.accesses(op)
        before: list[Op] = []
        if any(a.conflicts(b) for a in mine for b in pending):
            before = [Op("barrier", loc=op.loc).having(after="workers", before=op.name)]
            pending = frozenset()
        if crosses(op, self.lanes):                         # it synchronises within: what was pending before is settled
            return [*before, op], frozenset({_Access(_SCRATCH, 0, self.scratch, False), *(a for a in mine if a.what != _SCRATCH)})
        return [*before, op], pending | frozenset(mine)

    def staged(self, op: Op, pending: Pending) -> tuple[list[Op], Pending]:
        """A loop whose loads run ahead has a barrier of its own at the start of each trip, behind which a slot is refilled; the first slots are
        filled before the loop.  Of places with one slot, whose loads run ahead in registers, none is.
        """
        ahead, _ = split(op)
        fills = [a for o in ahead for a in self.accesses(o) if a.writes]
        early = any(o.into[0].tile.place and o.into[0].tile.place.slots > 1 for o in ahead if o.name == "load" and o.into)
        before: list[Op] = []
        if early and any(a.conflicts(b) for a in fills for b in pending):
            before, pending = [Op("barrier", loc=op.loc).having(after="workers", before="load")], frozenset()
        (body,), kept = op.bodies, {o for o in op.bodies[0].ops if o.attr("ahead")}
        ops: list[Op] = []
        now: Pending = frozenset()
        for o in body.ops:
            if o in kept:
                ops.append(o)
                continue
            new, now = self.op(o, now)
            ops += new
        return [*before, replace(op, bodies=(replace(body, ops=tuple(ops)),))], pending | now | frozenset(fills)

    def accesses(self, op: Op) -> list[_Access]:
        found: list[_Access] = []
        if op.name in ("alloc", "view", "barrier", "yield", "grid", "assume"):
            return found
        for n, v in enumerate((*op.uses(), *op.into)):
            if isinstance(v.type, TensorType):
                if v in self.both:
                    found.append(_Access(v.name, 0, 1, op.name == "store"))
            elif v in self.table and is_shared(v) and self.table[v].place not in self.apart:
                owner = self.table[v]
                assert owner.place.tile.place is not None and owner.place.tile.place.offset is not None
                start = owner.place.tile.place.offset
                writes = n >= len(list(op.uses()))
                found.append(_Access("arena", start, start + footprint(owner.place), writes, self.mine(op, owner)))
        if crosses(op, self.lanes):
            found.append(_Access(_SCRATCH, 0, self.scratch, True))
        return found

    def mine(self, op: Op, owner: Owner) -> str:
        """The spread of the place's elements over workers in this op, if each is touched by one worker only."""
        if op.attr("over") is None or op.name == "dot" or not space_of(op):
            return ""
        spread, everyone = facets(op, self.table)
        same = [f for f in spread if f.owner is owner]
        if owner in everyone or not same or any(f.axes != same[0].axes for f in same):
            return ""
        over = Spread.parse(op.attr("over")).keep(a for a in same[0].axes if a is not None).permuted(same[0].axes)
        covered = prod(n for n in owner.place.tile.shape) <= prod(over.shape)
        return f"{over} of {owner.place.name} {id(owner)}" if covered and not over.replica_mask else ""


def _stores(kernel: Kernel, tensor: Value) -> int:
    return sum(op.name == "store" and op.args[0] is tensor for op in walk(kernel.body))

