"""Where tiles lie in the memories of a core: the pitch of their rows, their offsets, and a second slot for what is loaded ahead.

A pass on the placed form, after every place has its memory.  Then holds: a place in UB has rows whose pitch, in elements, is the same for all element types of
the kernel, so that elementwise instructions run over rows and padding alike; places overlap only where their lifetimes do not; each memory is large enough.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from dslc.errors import check
from dslc.ir import Body, Kernel, Op, Value, substitute, walk
from dslc.passes.intervals import ACCESSES
from dslc.passes.lifetimes import lifetimes
from dslc.runtime.deferred import deferred
from dslc.schedule import schedule_of
from dslc.types import ROW, DType, Layout, Place, Space, row_major

from .limits import BLOCK, L0C_ALIGNMENT, L0C_BYTES, L1_ALIGNMENT, L1_BYTES, UB_BYTES

cube, accesses = (deferred(f"dslc.backends.ascend.{name}") for name in ("cube", "accesses"))
MEMORY = {Space.REGISTER: ("UB", UB_BYTES, BLOCK), Space.SHARED: ("L1", L1_BYTES, L1_ALIGNMENT), Space.ACCUMULATOR: ("L0C", L0C_BYTES, L0C_ALIGNMENT)}
STAGES = 2              # slots of a place that a loop loads into: the next trip's load runs while this one is worked on


# ---------------------------------------------------------------- tiles in UB
def item_bytes(dtype: DType) -> int:
    """Bytes of an element in UB: bool is a half, 0 or 1, and what is narrower than a byte takes one."""
    return 2 if dtype.kind == "b" else dtype.bytes


def stored(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without its axes of extent 1, at least one axis."""
    return tuple(n for n in shape if n != 1) or (1,)


def grain(kernel: Kernel) -> int:
    """Elements that a row's pitch is a multiple of: a block of the narrowest elements among tiles of several rows."""
    sizes = [item_bytes(v.tile.dtype) for v in _places(kernel) if _space(v) is Space.REGISTER and len(stored(v.tile.shape)) > 1]
    return BLOCK // min(sizes, default=4)


def pitched(shape: tuple[int, ...], unit: int) -> tuple[tuple[int, ...], int]:
    """Strides of a tile whose rows start at multiples of `unit` elements, and the elements it takes."""
    short = stored(shape)
    pitch = -(-short[-1] // unit) * unit
    steps = iter([prod(short[n + 1:-1]) * pitch for n in range(len(short) - 1)] + [1])
    return tuple(next(steps) if n != 1 else 0 for n in shape), prod(short[:-1]) * pitch


@dataclass(frozen=True)
class Form:
    """How C++ types a tile: rows x columns elements, `pitch` from one row to the next.  None of it where a view is no such thing."""

    rows: int
    columns: int
    pitch: int


def form(v: Value, unit: int) -> Form:
    """The form of a place or view in UB; a view whose elements do not lie so is one row of all the memory it spans."""
    t = v.tile
    axes = [(n, s) for n, s in zip(t.shape, t.strides, strict=True) if n != 1]
    if not axes:
        return Form(1, 1, unit)
    rows, (columns, step) = axes[:-1], axes[-1]
    even = step == 1 and all(a[1] == b[1] * b[0] for a, b in pairwise(rows))
    pitch = rows[-1][1] if rows else -(-columns // unit) * unit
    if not even or pitch < columns or pitch % unit:
        span = 1 + sum((n - 1) * s for n, s in axes)
        return Form(1, span, -(-span // unit) * unit)
    return Form(prod(n for n, _ in rows), columns, pitch)


def _places(kernel: Kernel) -> list[Value]:
    return [op.result for op in walk(kernel.body) if op.name == "alloc" and op.result.tile.shape]


def _space(v: Value) -> Space:
    assert v.tile.place is not None
    return v.tile.place.space


def slot_bytes(v: Value, unit: int) -> int:
    """Bytes of one slot of a place, in its memory."""
    space = _space(v)
    if space is Space.REGISTER:
        return -(-pitched(v.tile.shape, unit)[1] * item_bytes(v.tile.dtype) // BLOCK) * BLOCK
    if space is Space.GLOBAL or space is Space.WORKSPACE:
        return 0
    return int(cube.panel_bytes(v) if space is Space.SHARED else cube.accumulator_bytes(v))


# ---------------------------------------------------------------- the pass
def arrange(kernel: Kernel) -> Kernel:
    """Pitches, then slots and offsets.  If there is room, every load of a loop has a second slot and nothing else lies where copies go to or come from, so that
    copies wait for nothing but their own data; else the memories that lack it are shared; then loads of inner loops alone have a second slot; at last none has.
    """
    unit = grain(kernel)
    kernel = _pitched(kernel, unit).having(grain=unit)
    scratch = scratch_bytes(kernel)
    loaded = _loaded_ahead(kernel)
    inner = {v for v, depth in loaded.items() if depth > 0}
    moved = _moved_places(kernel)
    first = _offsets(kernel, set(loaded), moved, unit, scratch)[1]
    roomy = {v for v in moved if _space(v) in MEMORY and first[_space(v)] <= MEMORY[_space(v)][1]}
    for ahead, alone in ((set(loaded), moved), (set(loaded), roomy), (set(loaded), set[Value]()), (inner, set[Value]()), (set[Value](), set[Value]())):
        offsets, need, worst = _offsets(kernel, ahead, alone, unit, scratch)
        if all(need[space] <= limit for space, (_, limit, _) in MEMORY.items()):
            break
    for space, (name, limit, _) in MEMORY.items():
        blame = ", ".join(f"{v.name} {size} (line {line})" if line else f"{v.name} {size}" for v, size, line in worst[space])
        check(need[space] <= limit, f"{kernel.name}: its tiles need {need[space]} bytes of {name}, which has {limit}", kernel.loc,
              hint=f"the largest that are there at once, in bytes: {blame}; smaller tiles are needed")
    top = need[Space.REGISTER] - scratch
    return _moved(kernel, offsets, ahead).having(ub_bytes=need[Space.REGISTER] or None, l1_bytes=need[Space.SHARED] or None,
                                                 l0c_bytes=need[Space.ACCUMULATOR] or None, scratch=(top, scratch) if scratch else None)


def scratch_bytes(kernel: Kernel) -> int:
    """The most that an op of the vector unit needs besides its operands."""
    return max((-(-accesses.scratch_of(op, kernel) // BLOCK) * BLOCK for op in walk(kernel.body)), default=0)


def _moved_places(kernel: Kernel) -> set[Value]:
    """Places that copies fill or empty."""
    _, roots = lifetimes(kernel)
    found = set()
    for op in walk(kernel.body):
        if op.name == "load" or op.attr("side") == "take":
            found |= {roots[v] for v in op.into if v in roots and accesses.moves_by_dma(op)}
        elif op.name in ACCESSES[1:] or op.attr("side") == "put":
            found |= {roots[v] for v in op.args if isinstance(v, Value) and v in roots}
    return found


def _loaded_ahead(kernel: Kernel) -> dict[Value, int]:
    """Places that one load of a body fills anew in each trip, and how many loops stand around them."""
    found: dict[Value, int] = {}
    stages = schedule_of(kernel)

    def visit(body: Body, depth: int, wanted: int) -> None:
        writers: dict[Value, int] = {}
        for op in body.ops:
            for o in (op, *(inner for b in op.bodies for inner in walk(b))):
                for v in o.into:
                    writers[v] = writers.get(v, 0) + 1
        for op in body.ops:
            fills = (op.name == "load" or op.attr("side") == "take") and op.into and accesses.moves_by_dma(op)
            made = any(o.name == "alloc" and o.result is op.into[0] for o in body.ops) if fills else False
            if fills and made and writers[op.into[0]] == 1 and wanted > 1:
                found[op.into[0]] = depth
            for n, inner in enumerate(op.bodies):
                asked = stages.get("loops", op.bodies[n].params[0].name, "stages", default=STAGES) if op.name == "for" and inner.params else wanted
                visit(inner, depth + (op.name in ("for", "while")), asked)

    visit(kernel.body, 0, STAGES)
    return found


Worst = dict[Space, list[tuple[Value, int, int]]]


def _offsets(kernel: Kernel, ahead: set[Value], alone: set[Value], unit: int, scratch: int) -> tuple[dict[Value, int], dict[Space, int], Worst]:
    """First fit over lifetimes; a place of several slots is there for all of the loop that fills it, one that is `alone` for all of the program.  Bytes of each
    memory, and the largest where it is fullest.
    """
    blocks, _ = lifetimes(kernel)
    loops, ends = _loops(kernel), sum(1 for _ in walk(kernel.body))
    placed: dict[Space, list[tuple[int, int, int, int, Value]]] = {space: [] for space in MEMORY}
    offsets: dict[Value, int] = {}
    for block in sorted((b for b in blocks if b.place.tile.shape and _space(b.place) in MEMORY), key=lambda b: b.start):
        v, space = block.place, _space(block.place)
        _, _, step = MEMORY[space]
        start, end = (-1, ends) if v in alone else loops[v] if v in ahead else (block.start, block.end)
        size = slot_bytes(v, unit) * (STAGES if v in ahead else 1)
        at = 0
        for low, high, first, last, _ in sorted(placed[space], key=lambda row: row[:4]):
            if first <= end and start <= last and low < at + size and at < high:
                at = -(-high // step) * step
        offsets[v] = at
        placed[space].append((at, at + size, start, end, v))
    need = {space: max((row[1] for row in rows), default=0) for space, rows in placed.items()}
    need[Space.REGISTER] = -(-need[Space.REGISTER] // BLOCK) * BLOCK + scratch
    return offsets, need, {space: _fullest(kernel, rows) for space, rows in placed.items()}


def _fullest(kernel: Kernel, rows: list[tuple[int, int, int, int, Value]]) -> list[tuple[Value, int, int]]:
    """The three largest of the places that are there when most bytes are, with their lines."""
    lines = {op.result: op.loc.line if op.loc else 0 for op in walk(kernel.body) if op.name == "alloc"}
    moments = [[r for r in rows if r[2] <= start <= r[3]] for _, _, start, _, _ in rows]
    there = max(moments, key=lambda m: sum(r[1] - r[0] for r in m), default=[])
    return [(r[4], r[1] - r[0], lines[r[4]]) for r in sorted(there, key=lambda r: r[0] - r[1])[:3]]


def _loops(kernel: Kernel) -> dict[Value, tuple[int, int]]:
    """First and last op, in program order, of the loop (or of the program) that a place is made in."""
    order = {op: n for n, op in enumerate(walk(kernel.body))}
    spans: dict[Value, tuple[int, int]] = {}

    def visit(body: Body, span: tuple[int, int]) -> None:
        for op in body.ops:
            if op.name == "alloc":
                spans[op.result] = span
            inside = [o for b in op.bodies for o in walk(b)]
            mine = (order[op], order[inside[-1]]) if op.name in ("for", "while") else span
            for inner in op.bodies:
                visit(inner, mine)

    visit(kernel.body, (-1, len(order)))
    return spans


# ---------------------------------------------------------------- writing it down
def _pitched(kernel: Kernel, unit: int) -> Kernel:
    """Places in UB with padded rows, and views as they then lie."""
    new: dict[Value, Value] = {}
    roots: dict[Value, tuple[int, int, int]] = {}            # a view or place -> columns and pitch of its place, and its first element if rows had no gaps

    def bind(op: Op) -> Op:
        if op.name == "alloc" and op.result.tile.shape and _space(op.result) is Space.REGISTER:
            t = op.result.tile
            strides, _ = pitched(t.shape, unit)
            short = stored(t.shape)
            roots[op.result] = (short[-1], -(-short[-1] // unit) * unit if len(short) > 1 else short[-1], 0)
            new[op.result] = _laid(op.result, strides)
        elif op.name == "view" and (source := next(op.uses())) in roots:
            columns, pitch, first = roots[source]
            first += op.attr("start", 0)
            roots[op.result] = (columns, pitch, first)
            start = _stretched(first, columns, pitch) - _stretched(roots[source][2], columns, pitch)
            old = op.result.tile
            strides = tuple(_stretched(s, columns, pitch) if n != 1 else 0 for n, s in zip(old.shape, old.strides, strict=True))
            new[op.result] = _laid(op.result, strides)
            op = op.having(start=start or None)
        bodies = tuple(replace(b, ops=tuple(bind(o) for o in b.ops)) for b in op.bodies)
        return replace(op, results=tuple(new.get(r, r) for r in op.results), bodies=bodies)

    bound = kernel.with_ops([bind(op) for op in kernel.body.ops])
    return bound.with_ops([substitute(op, dict(new)) for op in bound.body.ops])


def _stretched(step: int, columns: int, pitch: int) -> int:
    """A step over elements without gaps as one over rows of a pitch: whole rows, or within one."""
    return step // columns * pitch + step % columns


def _laid(v: Value, strides: tuple[int, ...]) -> Value:
    assert v.tile.place is not None
    layout = ROW if strides == row_major(v.tile.shape) else Layout(strides)
    return Value(v.name, replace(v.tile, place=replace(v.tile.place, layout=layout, offset=None)))


def _moved(kernel: Kernel, offsets: dict[Value, int], ahead: set[Value]) -> Kernel:
    new: dict[Value, Value] = {}

    def at(v: Value, offset: int | None, slots: int) -> Value:
        assert v.tile.place is not None
        return Value(v.name, replace(v.tile, place=replace(v.tile.place, offset=offset, slots=slots)))

    def bind(op: Op) -> Op:
        if op.name == "alloc" and op.result in offsets:
            new[op.result] = at(op.result, offsets[op.result], STAGES if op.result in ahead else 1)
        elif op.name == "view":
            source = next(op.uses())
            place = _place(new.get(source, source))
            offset = None if place.offset is None else place.offset + op.attr("start", 0) * op.result.tile.dtype.bytes
            new[op.result] = at(op.result, offset, place.slots)
        bodies = tuple(replace(b, ops=tuple(bind(o) for o in b.ops)) for b in op.bodies)
        return replace(op, results=tuple(new.get(r, r) for r in op.results), bodies=bodies)

    bound = kernel.with_ops([bind(op) for op in kernel.body.ops])
    return bound.with_ops([substitute(op, dict(new)) for op in bound.body.ops])


def _place(v: Value) -> Place:
    assert v.tile.place is not None
    return v.tile.place


