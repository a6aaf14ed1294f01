"""Offsets for places: two that are never alive together may share memory."""
from __future__ import annotations

from dataclasses import dataclass, replace

from ..ir import Body, Kernel, Op, Value, substitute, walk
from ..types import Place, Space

ALIGNMENT = 64          # bytes: a cache line, and the widest vector register of the targets at hand


@dataclass
class _Block:
    """One alloc: alive from its first write to the last op that may read it, both counted in program order; where it is made if nothing touches it."""

    place: Value
    start: int
    end: int
    offset: int = 0

    @property
    def bytes(self) -> int:
        return _padded(self.place)

    @property
    def space(self) -> Space:
        return _place(self.place).space

    def overlaps(self, offset: int, size: int) -> bool:
        """Whether `size` bytes from `offset` on touch it."""
        return offset < self.offset + self.bytes and self.offset < offset + size


def lifetimes(kernel: Kernel) -> tuple[list[_Block], dict[Value, Value]]:
    """The blocks of a placed kernel, and the place behind each view.  A place used inside a loop below the one it was made in lives to that loop's end."""
    order = {op: n for n, op in enumerate(walk(kernel.body))}
    blocks: dict[Value, _Block] = {}
    roots: dict[Value, Value] = {}

    def visit(body: Body) -> None:
        made: list[Value] = []
        for op in body.ops:
            if op.name == "alloc":
                made.append(op.result)
                roots[op.result] = op.result
                blocks[op.result] = _Block(op.result, -1, order[op])
            for inner in op.bodies:
                visit(inner)
            touched = [op, *(o for b in op.bodies for o in walk(b))]
            end = order[touched[-1]]
            for o in touched:
                if o.name == "view":
                    roots[o.result] = roots.get(next(o.uses()), next(o.uses()))
                for v in (*o.uses(), *o.into):
                    block = blocks.get(roots.get(v, v))
                    if block is not None and block.place in made:
                        block.end = max(block.end, end)
                        block.start = order[op] if block.start < 0 else block.start

    visit(kernel.body)
    for block in blocks.values():
        block.start = block.end if block.start < 0 else block.start
    return list(blocks.values()), roots


def plan(kernel: Kernel) -> Kernel:
    """The kernel with offsets in its places: first fit over lifetimes, in order of first write.  Scalars need none.

    A map's result takes over the memory of an input of the same type that ends with it, since element i is read before it is written.
    """
    every, roots = lifetimes(kernel)
    blocks = [b for b in every if b.place.tile.shape]
    writers = {o.into[0]: o for o in walk(kernel.body) if o.name == "map" and len(o.into) == 1}
    order = {op: n for n, op in enumerate(walk(kernel.body))}
    by_place = {b.place: b for b in blocks}
    done: list[_Block] = []
    for block in sorted(blocks, key=lambda b: b.start):
        heir = _inherits(block, writers.get(block.place), by_place, order, roots)
        rivals = [b for b in done if b.space is block.space and b.start <= block.end and block.start <= b.end and b is not heir]
        shared = heir is not None and heir in done and not any(b.overlaps(heir.offset, block.bytes) for b in rivals)
        block.offset = heir.offset if heir is not None and shared else _first_fit(block.bytes, rivals + [b for b in done if b is heir])
        done.append(block)
    return _with_offsets(kernel, {b.place: b.offset for b in blocks})


def arena_bytes(kernel: Kernel) -> dict[Space, int]:
    """Bytes of each space that one program needs."""
    need: dict[Space, int] = {}
    for op in walk(kernel.body):
        if op.name == "alloc" and (place := op.result.tile.place) is not None and place.offset is not None:
            end = place.offset + _padded(op.result) * place.slots
            need[place.space] = max(need.get(place.space, 0), end)
    return need


def _place(value: Value) -> Place:
    assert value.tile.place is not None
    return value.tile.place


def _padded(value: Value) -> int:
    """Bytes of a place, alignment included."""
    return -(-value.tile.bytes // ALIGNMENT) * ALIGNMENT


def _first_fit(size: int, rivals: list[_Block]) -> int:
    offset = 0
    for rival in sorted(rivals, key=lambda b: b.offset):
        if rival.overlaps(offset, size):
            offset = rival.offset + rival.bytes
    return offset


def _inherits(block: _Block, writer: Op | None, by_place: dict[Value, _Block], order: dict[Op, int], roots: dict[Value, Value]) -> _Block | None:
    if writer is None or order[writer] != block.start:
        return None
    for v in writer.uses():
        source = by_place.get(v) if sum(roots.get(u, u) is v for u in writer.uses()) == 1 else None
        if source is not None and source.end == block.start and v.tile.value == block.place.tile.value and source.space is block.space:
            return source
    return None


def _with_offsets(kernel: Kernel, offsets: dict[Value, int]) -> Kernel:
    new: dict[Value, Value] = {}

    def bind(op: Op) -> Op:
        if op.name == "alloc" and op.result in offsets:
            new[op.result] = Value(op.result.name, replace(op.result.tile, place=replace(_place(op.result), offset=offsets[op.result])))
        elif op.name == "view":
            (source,), mine = op.uses(), op.result.tile
            base = _place(new.get(source, source)).offset
            offset = None if base is None else base + op.attr("start", 0) * mine.dtype.bytes
            new[op.result] = Value(op.result.name, replace(mine, place=replace(_place(op.result), offset=offset)))
        bodies = tuple(replace(b, ops=tuple(bind(o) for o in b.ops)) for b in op.bodies)
        return replace(op, results=tuple(new.get(r, r) for r in op.results), bodies=bodies)

    bound = kernel.with_ops([bind(op) for op in kernel.body.ops])
    return bound.with_ops([substitute(op, dict(new)) for op in bound.body.ops])
