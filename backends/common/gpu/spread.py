"""How a tile is spread over the workers of a program: a function from tile index to (worker, slot), as mixed-radix digits.

Each axis is a list of digits, outermost first, as in the digits of a number: the index along the axis is the sum of digit * weight, where a
digit's weight is the product of the extents to its right.  A digit is read from the worker's number or from the slot's.  Worker bits that
no digit reads are replicas: those workers hold the same elements.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

_DIGIT = re.compile(r"(\d+)([ws])(\d+)")


@dataclass(frozen=True)
class Digit:
    """`extent` values, read as number // stride % extent, of the worker or of the slot."""

    extent: int
    worker: bool
    stride: int

    def __str__(self) -> str:
        return f"{self.extent}{'w' if self.worker else 's'}{self.stride}"


@dataclass(frozen=True)
class Spread:
    """A distribution over `workers` workers; `axes` are digits, outermost first.  An axis without digits has extent 1.

    Text form: "8w4 2s2, 4w1 2s1 / 128", axes apart by commas.  Extents may exceed the tile's: what lies past it is padding.
    """

    axes: tuple[tuple[Digit, ...], ...]
    workers: int

    def __str__(self) -> str:
        return f"{', '.join(' '.join(map(str, axis)) or '-' for axis in self.axes)} / {self.workers}"

    @classmethod
    def parse(cls, text: str) -> Spread:
        """The inverse of str."""
        body, _, workers = text.rpartition(" / ")
        axes = [tuple(Digit(int(e), kind == "w", int(s)) for e, kind, s in _DIGIT.findall(axis)) for axis in body.split(", ")] if body else []
        return cls(tuple(axes), int(workers))

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents that the digits cover, padding included."""
        return tuple(prod(d.extent for d in axis) for axis in self.axes)

    @property
    def slots(self) -> int:
        """Elements that one worker holds."""
        return prod(d.extent for axis in self.axes for d in axis if not d.worker)

    @property
    def replica_mask(self) -> int:
        """Bits of the worker's number that no digit reads.  A worker with one of them set holds a copy."""
        used = 0
        for d in (d for axis in self.axes for d in axis if d.worker):
            used |= (d.extent - 1) * d.stride
        return (self.workers - 1) & ~used

    def slot_digits(self) -> list[tuple[int, int, int, int]]:
        """(axis, extent, weight, stride in slots) of every slot digit, the slowest slot first."""
        rows = []
        for a, axis in enumerate(self.axes):
            weight = 1
            for d in reversed(axis):
                if not d.worker and d.extent > 1:
                    rows.append((a, d.extent, weight, d.stride))
                weight *= d.extent
        return sorted(rows, key=lambda row: -row[3])

    def worker_digits(self, axis: int) -> list[tuple[int, int, int]]:
        """(stride in workers, extent, weight) of the axis's worker digits, outermost first."""
        rows, weight = [], 1
        for d in reversed(self.axes[axis]):
            if d.worker and d.extent > 1:
                rows.append((d.stride, d.extent, weight))
            weight *= d.extent
        return rows[::-1]

    def keep(self, axes: Iterable[int]) -> Spread:
        """The spread of what remains when all other axes are reduced or read at one index: they lose their digits, slots close up."""
        kept = set(axes)
        return _compact(Spread(tuple(axis if n in kept else () for n, axis in enumerate(self.axes)), self.workers))

    def drop(self, axis: int) -> Spread:
        """Without an axis: the spread of a reduction's result."""
        kept = self.keep(n for n in range(len(self.axes)) if n != axis)
        return Spread(kept.axes[:axis] + kept.axes[axis + 1:], self.workers)

    def permuted(self, axes: Sequence[int | None]) -> Spread:
        """Axis n is old axis axes[n]; None gives one of extent 1."""
        return Spread(tuple(self.axes[a] if a is not None else () for a in axes), self.workers)

    def owner(self, index: Sequence[int]) -> tuple[int, int]:
        """(the first worker, slot) that holds the element at `index`."""
        worker = slot = 0
        for i, axis in zip(index, self.axes, strict=True):
            for d in reversed(axis):
                i, digit = divmod(i, d.extent)
                worker, slot = (worker + digit * d.stride, slot) if d.worker else (worker, slot + digit * d.stride)
        return worker, slot


def _compact(spread: Spread) -> Spread:
    """The same with slot strides that leave no gap, in the same order."""
    step, new = 1, {}
    for stride, extent in sorted({(d.stride, d.extent) for axis in spread.axes for d in axis if not d.worker}):
        new[stride, extent] = step
        step *= extent
    axes = tuple(tuple(d if d.worker else Digit(d.extent, False, new[d.stride, d.extent]) for d in axis) for axis in spread.axes)
    return Spread(axes, spread.workers)


def spread_of(axes: Sequence[Sequence[tuple[int, str]]], slots: Sequence[str], workers: int, strides: dict[str, int]) -> Spread:
    """Digits by name: `axes` lists (extent, name) outermost first, `strides` gives worker digits their stride, all others are slots in the
    order of `slots`, slowest first.  Digits of extent 1 vanish.
    """
    extents = {name: extent for axis in axes for extent, name in axis}
    step, slot_strides = 1, {}
    for name in reversed(slots):
        slot_strides[name] = step
        step *= extents[name]
    made = [tuple(Digit(extent, name in strides, strides[name] if name in strides else slot_strides[name]) for extent, name in axis if extent > 1)
            for axis in axes]
    return Spread(tuple(made), workers)


def power_of_two(n: int) -> int:
    """The least power of two that is not below n."""
    return 1 << max(0, n - 1).bit_length()


def blocked(shape: Sequence[int], workers: int, vector: int = 1, serial: Iterable[int] = ()) -> Spread:
    """The default: `vector` neighbours of the last axis in one worker, then workers along the axes from the last to the first, the rest in slots.

    Axes in `serial` lie wholly in slots.
    """
    left, alone, step = workers, set(serial), 1
    axes: list[list[tuple[int, str]]] = [[] for _ in shape]
    strides: dict[str, int] = {}
    for a in reversed(range(len(shape))):
        v = vector if a == len(shape) - 1 else 1
        rest = -(-shape[a] // v)
        across = 1 if a in alone else min(left, power_of_two(rest))
        axes[a] = [(-(-rest // across), f"repeat {a}"), (across, f"worker {a}"), (v, f"vector {a}")]
        strides[f"worker {a}"] = step
        step, left = step * across, left // across
    slots = [f"{kind} {a}" for kind in ("repeat", "vector") for a in range(len(shape))]
    return spread_of(axes, slots, workers, strides)
