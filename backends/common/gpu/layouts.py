"""Layouts as functions, and what can be said of them: does each element have one place, how wide is a vector access, which accesses of shared
memory wait for a bank.

A spread takes an index to (worker, slot), a shared place to a byte address.  Nothing here changes a kernel.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from dslc.ir import Kernel, Op, Operand, Value, walk
from dslc.types import Layout, TileType

from .access import run_length
from .products import extents, plain_spread
from .spread import Spread
from .synchronise import ATOMICS
from .tiles import is_shared, operands_in, space_of

Array = Any                                                  # of int64; its shape is in the docstring
WIDEST = 16             # bytes of the widest shared access of one lane
# (whether it writes, byte address of each lane or None, bytes of each lane) -> cycles if no two words shared a bank, cycles as it is.
BankModel = Callable[[bool, Sequence[int | None], int], tuple[int, int]]


# ---------------------------------------------------------------- the functions
def held(spread: Spread, shape: Sequence[int]) -> tuple[Array, Array]:
    """(first worker, slot) of every element, each of shape `shape`; -1, -1 for elements that lie past the spread's extents."""
    where = np.indices(tuple(shape))
    worker, slot = np.zeros(tuple(shape), np.int64), np.zeros(tuple(shape), np.int64)
    inside = np.ones(tuple(shape), bool)
    for rest, axis in zip(where, spread.axes, strict=True):
        for d in reversed(axis):
            (worker if d.worker else slot)[...] += rest % d.extent * d.stride
            rest = rest // d.extent
        inside &= rest == 0
    return np.where(inside, worker, -1), np.where(inside, slot, -1)


def indices(spread: Spread) -> list[Array]:
    """For each axis the index that (slot, worker) holds, of shape (slots, workers), padding included."""
    return _indices(spread, spread.slot_digits())


def _indices(spread: Spread, digits: Sequence[tuple[int, int, int, int]]) -> list[Array]:
    """As `indices`, over these slot digits only; the first varies slowest."""
    found = []
    steps = np.indices([extent for _, extent, _, _ in digits]).reshape(len(digits), prod(extent for _, extent, _, _ in digits))
    workers = np.arange(spread.workers)
    for axis in range(len(spread.axes)):
        own = sum((workers // stride % extent * weight for stride, extent, weight in spread.worker_digits(axis)), np.zeros(spread.workers, np.int64))
        moved = sum((step * weight for step, (a, _, weight, _) in zip(steps, digits, strict=True) if a == axis), np.zeros(steps.shape[1:], np.int64))
        found.append(moved[:, None] + own[None, :])
    return found


def swizzled_offset(layout: Layout, offset: Array) -> Array:
    """The element offset after the layout's xor."""
    if layout.swizzle is None:
        return offset
    bits, base, shift = layout.swizzle
    return offset ^ ((offset >> (base + shift)) & ((1 << bits) - 1)) << base


def slab_addresses(tile: TileType, index: Sequence[Array], width: int) -> Array:
    """The same of a tile of two axes in slabs: `width` elements of its contiguous axis by all of the other one, slab after slab."""
    assert tile.place is not None
    inner = tile.strides.index(1)
    along, across = index[inner], index[1 - inner]
    plain = along // width * (tile.shape[1 - inner] * width) + across * width + along % width
    return swizzled_offset(tile.place.layout, plain) * tile.dtype.bytes + (tile.place.offset or 0)


def addresses(tile: TileType, index: Sequence[Array]) -> Array:
    """Byte addresses in the arena of a shared tile's elements at `index`, one array for each axis."""
    assert tile.place is not None
    plain = sum((i * s for i, s in zip(index, tile.strides, strict=True)), np.zeros_like(index[0]) if index else np.zeros((), np.int64))
    return swizzled_offset(tile.place.layout, plain) * tile.dtype.bytes + (tile.place.offset or 0)


# ---------------------------------------------------------------- one place for each element
@dataclass(frozen=True)
class Cover:
    """How elements take places.  clashes: elements whose place an earlier one has.  outside: elements without a place.

    copies: workers that hold each element, 1 in memory.  padding: places, of one copy, that hold no element.
    """

    elements: int
    copies: int
    padding: int
    clashes: int
    outside: int

    @property
    def bijective(self) -> bool:
        """Whether each element has one place of its own, in each copy."""
        return not self.clashes and not self.outside


def cover(spread: Spread, shape: Sequence[int]) -> Cover:
    """A spread's places are pairs of worker and slot."""
    worker, slot = held(spread, shape)
    inside = worker >= 0
    taken = np.unique(np.stack([worker[inside], slot[inside]]), axis=1).shape[1]
    copies = 1 << bin(spread.replica_mask).count("1")
    fits = int(((worker < spread.workers) & (slot < spread.slots) & inside).sum())
    return Cover(prod(shape), copies, spread.workers // copies * spread.slots - taken, int(inside.sum()) - taken, prod(shape) - fits)


def memory_cover(tile: TileType) -> Cover:
    """A shared place's are its bytes, by elements: padding are gaps between rows, and what a swizzle reaches past the end."""
    assert tile.place is not None
    at = addresses(tile, list(np.indices(tile.shape))) - (tile.place.offset or 0)
    taken, room = np.unique(at).size, tile.footprint // tile.dtype.bytes
    return Cover(tile.size, 1, room - taken, tile.size - taken, int((at >= tile.footprint).sum()))


# ---------------------------------------------------------------- vectors
def _side_by_side(at: Array, step: int, most: int) -> int:
    """The greatest power of two n <= most such that n neighbours of the last axis are `step` apart, the first of them at a multiple of n * step."""
    n = 1
    while 2 * n <= most and at.shape[-1] % (2 * n) == 0:
        runs = at.reshape(*at.shape[:-1], -1, 2 * n)
        if (np.diff(runs) != step).any() or (runs[..., 0] % (2 * n * step)).any():
            break
        n *= 2
    return n


def vector_of_spread(spread: Spread, shape: Sequence[int]) -> int:
    """Neighbours along the last axis that lie in successive slots of one worker, the first in a slot that is a multiple of their number."""
    worker, slot = held(spread, shape)
    most = shape[-1] & -shape[-1]                            # the greatest power of two that divides the extent
    while most > 1 and (np.diff(worker.reshape(*worker.shape[:-1], -1, most)) != 0).any():
        most //= 2
    return _side_by_side(slot, 1, most)


def vector_of_memory(tile: TileType, widest: int = WIDEST) -> int:
    """Neighbours along the last axis that one access of at most `widest` bytes can move: successive in memory, aligned to their bytes."""
    return _side_by_side(addresses(tile, list(np.indices(tile.shape))), tile.dtype.bytes, max(1, widest // tile.dtype.bytes))


# ---------------------------------------------------------------- banks
@dataclass(frozen=True)
class Pattern:
    """Instructions of warps on one shared place.  `addresses` (instructions, lanes) in bytes, -1 for a lane that takes no part; None if only the
    data tell, or each worker walks an axis by itself.
    """

    place: Value
    writes: bool
    bytes: int                                               # of one lane
    addresses: Array | None


@dataclass(frozen=True)
class SharedAccess:
    """What one op does to one shared place, over all its warps.  Cycles are None if addresses are not known before the kernel runs."""

    op: Op
    place: Value
    spread: str                                              # of the op's iteration space
    writes: bool
    bytes: int                                               # of one lane
    instructions: int
    ideal: int | None
    actual: int | None

    @property
    def line(self) -> int:
        """The kernel's line, 0 if it has none."""
        return self.op.loc.line if self.op.loc else 0


Fragments = Callable[[Op], Iterable[Pattern]]


def by_banks(pattern: Pattern, model: BankModel) -> tuple[int, int]:
    """(ideal, actual) cycles of a pattern with known addresses."""
    assert pattern.addresses is not None
    rows, counts = np.unique(pattern.addresses, axis=0, return_counts=True)
    ideal = actual = 0
    for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
        best, taken = model(pattern.writes, [a if a >= 0 else None for a in row], pattern.bytes)
        ideal, actual = ideal + best * count, actual + taken * count
    return ideal, actual


def shared_accesses(kernel: Kernel, model: BankModel, fragments: Fragments) -> list[SharedAccess]:
    """Every access of shared places in a kernel with offsets, in program order, each executed once; `fragments` are the target's own, of a dot.

    As the source says it: an element that a worker reads in two turns of a loop counts twice.  The scratch of reductions is not a place and not here.
    """
    found = []
    for op in walk(kernel.body):
        patterns = fragments(op) if op.name == "dot" else _patterns(op, kernel.attr("lanes"))
        for p in patterns:
            ideal, actual = by_banks(p, model) if p.addresses is not None else (None, None)
            count = len(p.addresses) if p.addresses is not None else 0
            found.append(SharedAccess(op, p.place, op.attr("over", ""), p.writes, p.bytes, count, ideal, actual))
    return found


def _patterns(op: Op, lanes: int) -> Iterator[Pattern]:
    """Of an op whose iteration space is spread: each worker over its slots."""
    if op.attr("over") is None or op.attr("bulk"):           # a bulk copy is no access of workers
        return
    spread, space = Spread.parse(op.attr("over")), space_of(op)
    moved, run = _moved(op, spread)
    digits = [d for d in spread.slot_digits() if run == 1 or d[0] != len(space) - 1 or d[2] != 1]
    index = _indices(spread, digits)
    exists = np.logical_and.reduce([np.ones_like(index[0], bool) if index else np.ones((), bool), *(i < n for i, n in zip(index, space, strict=True))])
    first = (np.arange(spread.workers) & spread.replica_mask) == 0
    for v, axes in operands_in(op, space):
        if not v.tile.shape or not is_shared(v):
            continue
        writes, size = any(v is t for t in op.into), v.tile.dtype.bytes
        if axes is None or (op.name in ("cumsum", "segment_sum", "unpack", "pack", "concat")):
            yield Pattern(v, writes, size, None)
            continue
        at = addresses(v.tile, [index[a] if a is not None else np.zeros_like(index[0]) for a in axes])
        at = np.where(exists & (first if writes or op.name == "store" or op.name in ATOMICS else True), at, -1)
        wide = min(run * size, WIDEST) if v is moved else size
        steps = range(0, run * size, wide) if v is moved else (0,)
        yield Pattern(v, writes, wide, np.concatenate([warps(np.where(at >= 0, at + step, -1), lanes) for step in steps]))


def _moved(op: Op, spread: Spread) -> tuple[Operand | None, int]:
    """The shared tile that a load or store moves in runs, and the elements of a run."""
    if op.name not in ("load", "store"):
        return None, 1
    moved = op.into[0] if op.name == "load" and op.into else op.args[1] if op.name == "store" else None
    tensor = op.args[0]
    if not isinstance(moved, Value) or not isinstance(tensor, Value) or not moved.tile.shape:
        return None, 1
    return moved, run_length(op, op.args[1:] if op.name == "load" else op.args[2:], tensor.tensor, spread, moved)


def warps(at: Array, lanes: int) -> Array:
    """(instructions, workers) as (instructions * warps, lanes), without those in which no lane takes part."""
    rows = at.reshape(-1, lanes)
    return rows[(rows >= 0).any(axis=1)]


def warp_starts(spread: Spread, axis: int, lanes: int) -> list[int]:
    """The first index along an axis of each warp's part."""
    return [sum(first // stride % extent * weight for stride, extent, weight in spread.worker_digits(axis) if stride >= lanes)
            for first in range(0, spread.workers, lanes)]


def plain_fragments(op: Op, lanes: int) -> Iterator[Pattern]:
    """Reads of a dot without a matrix unit: for each index of K every worker reads its rows and columns, those past the end the last (fma_product)."""
    m, n, k = extents(op)
    spread = Spread.parse(op.attr("over"))
    _, (high, wide, row_gap, column_gap) = plain_spread(m, n, spread.workers)
    depth = np.arange(k)[:, None, None]
    for side, (v, count, gap, size) in enumerate(zip(op.args, (high, wide), (row_gap, column_gap), (m, n), strict=False)):
        assert isinstance(v, Value)
        if is_shared(v):
            own = _indices(spread, ())[side]                 # (1, workers)
            line = np.minimum(own + np.arange(count)[:, None] * gap, size - 1)[None]
            line, inner = np.broadcast_arrays(line, depth)
            at = addresses(v.tile, (inner, line) if side else (line, inner))
            yield Pattern(v, False, v.tile.dtype.bytes, warps(at, lanes))
