"""What is known about the places of a kernel: who owns the memory, and how a view's axes are axes of its owner."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dslc.ir import Body, Kernel, Op, Operand, Span, Value, walk
from dslc.ops.control import access_shape
from dslc.types import Space, TileType, broadcast_shapes

Axes = tuple[int | None, ...]
ELEMENTWISE = ("map", "copy", "full", "iota", "load", "store", "atomic_add", "atomic_min", "atomic_max", "broadcast", "transpose", "reshape", "split")
REDUCTIONS = ("sum", "max", "min", "argmax", "argmin")


@dataclass
class Owner:
    """A place made by an alloc, and every view of it: axes of the view as axes of the owner, or None if it is not so simple."""

    place: Value
    views: dict[Value, Axes | None] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether every view is the owner with axes permuted, dropped where of extent 1, or repeated."""
        return all(axes is not None for axes in self.views.values())


@dataclass(frozen=True)
class Facet:
    """One operand of an op seen from its iteration space: owner axis n runs with the space's axis axes[n]; None stands still."""

    owner: Owner
    axes: Axes


def owners(kernel: Kernel) -> dict[Value, Owner]:
    """The owner of every place and view of rank >= 1."""
    table: dict[Value, Owner] = {}
    starts: dict[Value, int] = {}
    for op in walk(kernel.body):
        if op.name == "alloc" and op.result.tile.shape:
            table[op.result] = Owner(op.result)
            table[op.result].views[op.result] = tuple(range(len(op.result.tile.shape)))
            starts[op.result] = 0
        elif op.name == "view":
            (source,), view = list(op.uses()), op.result
            owner = table[source]
            table[view], starts[view] = owner, starts[source] + op.attr("start", 0)
            owner.views[view] = axes_of_view(owner.place.tile, view.tile) if not starts[view] else None
    return table


def axes_of_view(whole: TileType, view: TileType) -> Axes | None:
    """Axis n of the view is axis result[n] of `whole`, None where it has extent 1 or repeats.  None in all if the view is not of that kind."""
    axes: list[int | None] = []
    for n, stride in zip(view.shape, view.strides, strict=True):
        if n == 1 or stride == 0:
            axes.append(None)
            continue
        match = [a for a, (m, s) in enumerate(zip(whole.shape, whole.strides, strict=True)) if m == n and s == stride and a not in axes]
        if not match:
            return None
        axes.append(match[0])
    missing = [a for a, m in enumerate(whole.shape) if m > 1 and a not in axes]
    return None if missing else tuple(axes)


def space_of(op: Op) -> tuple[int, ...]:
    """The shape that an op iterates over; for a reduction, its axis among it."""
    if op.name in ("store", "atomic_add", "atomic_min", "atomic_max"):
        return access_shape(op.args[2:])
    if op.name == "load":
        return access_shape(op.args[1:])
    if op.name in REDUCTIONS:
        return tuple(op.attr("shape") or next(v for v in op.uses()).tile.shape)
    if op.name == "map":
        return tuple(op.attr("shape"))
    return op.target.tile.shape


def aligned(shape: tuple[int, ...], space: tuple[int, ...]) -> Axes:
    """Numpy's broadcast: axis n of an operand runs with this axis of the space."""
    lead = len(space) - len(shape)
    return tuple(n + lead if m > 1 else None for n, m in enumerate(shape))


def facets(op: Op, table: dict[Value, Owner]) -> tuple[list[Facet], list[Owner]]:
    """Operands and targets that may be spread like the op's space, and those that must be readable by every worker."""
    space = space_of(op)
    spread: list[Facet] = []
    everyone: list[Owner] = []
    for v, axes in operands_in(op, space):
        if v not in table:
            continue
        owner = table[v]
        view = owner.views[v]
        if axes is None or view is None or len({a for a in axes if a is not None}) < len([a for a in axes if a is not None]):
            everyone.append(owner)
            continue
        mapped: list[int | None] = [None] * len(owner.place.tile.shape)
        for a, mine in zip(axes, view, strict=True):
            if mine is not None:
                mapped[mine] = a
        spread.append(Facet(owner, tuple(mapped)))
    return spread, everyone


def operands_in(op: Op, space: tuple[int, ...]) -> Iterator[tuple[Value, Axes | None]]:
    """(operand or target, its axes in the op's space or None where any element may be wanted)."""
    if op.name in ("store", "atomic_add", "atomic_min", "atomic_max", "load"):
        coords = op.args[1:] if op.name == "load" else op.args[2:]
        yield from _index_tiles(coords, space)
        if op.name != "load" and isinstance(op.args[1], Value):
            packed = isinstance(op.args[0], Value) and op.args[0].tensor.packing is not None       # one worker makes a whole word
            yield op.args[1], None if packed else aligned(op.args[1].tile.shape, space)
        yield from ((v, tuple(range(len(space)))) for v in op.into)
    elif op.name in REDUCTIONS:
        yield from ((v, aligned(v.tile.shape, space)) for v in op.uses())
        axis = op.attr("axis") % len(space)
        yield from ((v, tuple(a for a in range(len(space)) if a != axis)) for v in op.into)
    elif op.name in ELEMENTWISE:
        yield from ((v, aligned(v.tile.shape, space)) for v in op.uses() if isinstance(v.type, TileType))
        yield from ((v, tuple(range(len(space)))) for v in op.into)
    else:
        free = ("take", "unpack", "pack", "segment_sum")
        yield from ((v, None) for v in op.uses() if isinstance(v.type, TileType))
        yield from ((v, tuple(range(len(space))) if op.name in free else None) for v in op.into)


def _index_tiles(coords: tuple[Operand, ...], space: tuple[int, ...]) -> Iterator[tuple[Value, Axes | None]]:
    """Index tiles broadcast together, and their axes stand in the space where the first of them does."""
    tiles = [c for c in coords if isinstance(c, Value) and c.tile.shape]
    if not tiles:
        return
    first = next(n for n, c in enumerate(coords) if isinstance(c, Value) and c.tile.shape)
    start = sum(isinstance(c, Span) for c in coords[:first])
    gathered = broadcast_shapes(*(c.tile.shape for c in tiles))
    for c in tiles:
        lead = len(gathered) - len(c.tile.shape)
        yield c, tuple(start + lead + n if m > 1 else None for n, m in enumerate(c.tile.shape))


def products(body: Body) -> list[Op]:
    """Every dot, in program order."""
    return [op for op in walk(body) if op.name == "dot"]


def stays(kernel: Kernel, table: dict[Value, Owner], owner: Owner, dot: Op) -> bool:
    """Whether a product's left operand is made elementwise and read by nothing else: it need not go through shared memory."""
    writers = [op for op in walk(kernel.body) if any(table.get(v) is owner for v in op.into)]
    readers = [op for op in walk(kernel.body) if op.name != "view" and any(table.get(v) is owner for v in op.uses())]
    return readers == [dot] and len(writers) == 1 and writers[0].name == "map" and len(owner.views) == 1


def is_shared(v: Value) -> bool:
    """Whether the place is in memory that all workers of a program see."""
    return v.tile.place is not None and v.tile.place.space is Space.SHARED
