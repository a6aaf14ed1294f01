"""The loops of one worker over its slots of a spread, and how elements of places are spelled in them."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dslc.ir import Const, Op, Operand, Value
from dslc.render import Scope, parenthesised

from .spread import Spread
from .tiles import Axes, Owner, aligned, is_shared

LOOP_NAMES = tuple(f"e{n}" for n in range(12))             # outermost to innermost
INDEX = "index_t"


@dataclass
class Notes:
    """What rendering one kernel of this family knows beside names: owners of places, and the coordinates of workers spelled so far."""

    table: dict[Value, Owner]
    spreads: dict[Value, Spread]
    workers: int
    lanes: int
    sync: str = ""                                          # how all workers of a program wait for each other
    apart: bool = False                                     # whether other threads than the workers are in the block
    checks: dict[tuple[str, str], Op] = field(default_factory=dict)     # (condition of a launch, what is wrong if it fails) -> the op that needs it
    own: dict[str, tuple[str, str]] = field(default_factory=dict)   # expression -> (name, declaration) of a worker's own first index
    rings: dict[Value, tuple[str, str]] = field(default_factory=dict)   # place with slots -> names of its ring and of the slot's number


@dataclass(frozen=True)
class _Loop:
    name: str
    extent: int
    moves: tuple[tuple[int, int], ...]                     # (axis, weight) of the indices it moves
    digits: tuple[tuple[int, int], ...]                    # its slot digits as (axis, stride), for finding strides of operands


class Over:
    """An op's iteration space as one worker sees it.  `needed` are axes whose index is spelled; `registers` the operands with slots.

    `outer` gives loops that this one stands in; `only` restricts the loops to digits of some axes.
    """

    def __init__(self, scope: Scope, spread: Spread, shape: Sequence[int], registers: Sequence[tuple[Spread, Axes]], needed: Iterable[int] = (),
                 only: Iterable[int] | None = None, outer: Over | None = None, vector: int = 1) -> None:
        self.scope, self.spread, self.shape = scope, spread, tuple(shape)
        self.notes: Notes = scope.notes["gpu"]
        self.outer = outer
        alone = set(needed) | {a for a, n in enumerate(self.spread.shape) if n > self.shape[a]}
        self.loops_: list[_Loop] = []
        wanted = set(range(len(self.shape))) if only is None else set(only)
        for axis, extent, weight, stride in spread.slot_digits():
            if axis not in wanted or (vector > 1 and axis == len(self.shape) - 1 and weight == 1):
                continue
            strides = tuple(_stride(s, axes, axis, stride, spread) for s, axes in registers)
            self._add(axis, extent, weight, stride, strides, registers, axis in alone)

    def _add(self, axis: int, extent: int, weight: int, stride: int, strides: tuple[int, ...], registers: Sequence[tuple[Spread, Axes]], alone: bool) -> None:
        """One more inner loop, or a longer one where every operand and every needed index moves evenly over both."""
        first = len(self.outer.loops_) if self.outer else 0
        if self.loops_:
            last = self.loops_[-1]
            (a, s) = last.digits[-1]
            before = tuple(_stride(r, axes, a, s, self.spread) for r, axes in registers)
            even = all(b == n * extent for b, n in zip(before, strides, strict=True))
            same = (axis, weight * extent) in last.moves if (alone or last.moves) else True
            if even and same and (bool(last.moves) == alone):
                moves = tuple((m, weight if m == axis else w) for m, w in last.moves)
                self.loops_[-1] = _Loop(last.name, last.extent * extent, moves, (*last.digits, (axis, stride)))
                return
        moves = ((axis, weight),) if alone else ()
        self.loops_.append(_Loop(LOOP_NAMES[first + len(self.loops_)], extent, moves, ((axis, stride),)))

    # ------------------------------------------------------------ text
    def loops(self) -> list[dict[str, Any]]:
        """What the template's `nest` takes."""
        return [{"index": loop.name, "extent": loop.extent} for loop in self.loops_]

    def all_loops(self) -> list[_Loop]:
        return [*(self.outer.all_loops() if self.outer else []), *self.loops_]

    def coordinate(self, axis: int) -> str:
        """The index along an axis: the worker's own part, and what its loops add."""
        parts = [self.first(axis)] + [_times(loop.name, w) for loop in self.all_loops() for a, w in loop.moves if a == axis]
        return " + ".join(p for p in parts if p) or "0"

    def first(self, axis: int) -> str:
        """The worker's first index along an axis, named once in the kernel; nothing if all workers start at 0."""
        digits = self.spread.worker_digits(axis)
        if not digits:
            return ""
        text = " + ".join(_times(_digit(stride, extent, self.spread.workers), weight) for stride, extent, weight in digits)
        if text == "worker":
            return text
        if text not in self.notes.own:
            name = self.scope.fresh(f"at{len(self.notes.own)}")
            self.notes.own[text] = name, self.scope.say("own_index", name, text)
        return self.notes.own[text][0]

    def guards(self, replicas: bool = False) -> list[str]:
        """Conditions that the element exists in the tile; with `replicas`, that this worker is the first of those that hold it."""
        conditions = [self.scope.say("below", self.coordinate(a), n) for a, n in enumerate(self.shape) if self.spread.shape[a] > n]
        mask = self.spread.replica_mask
        return [*conditions, self.scope.say("first_of", mask)] if replicas and mask else conditions

    def slot(self, spread: Spread, axes: Axes) -> str:
        """The slot of a register operand."""
        parts = []
        for loop in self.all_loops():
            axis, stride = loop.digits[-1]
            step = _stride(spread, axes, axis, stride, self.spread)
            if step:
                parts.append(_times(loop.name, step))
        return " + ".join(parts) or "0"

    def index(self, shape: Sequence[int], axes: Axes, strides: Sequence[int]) -> str:
        """The offset in elements of a shared operand whose axis n runs with axis axes[n] of the space."""
        parts = []
        for n, a, s in zip(shape, axes, strides, strict=True):
            if a is None or n == 1 or not s:
                continue
            parts.append(_times(self.coordinate(a), s))
        return " + ".join(p for p in parts if p != "0") or "0"

    def element(self, v: Operand, axes: Axes | None = None) -> str:
        """An operand's element: a scalar, a slot, or an element of a shared place."""
        if isinstance(v, Const) or not isinstance(v, Value) or not v.tile.shape:
            return self.scope.scalar(v)
        name, at = self.located(v, axes)
        return f"{name}[{at}]"

    def pointer(self, v: Value, axes: Axes) -> str:
        """Where an operand's element is, for accesses to it and its neighbours."""
        name, at = self.located(v, axes)
        return name if at == "0" else f"{name} + {at}"

    def located(self, v: Value, axes: Axes | None = None) -> tuple[str, str]:
        """The name of an array or shared place and the index into it."""
        axes = aligned(v.tile.shape, self.shape) if axes is None else axes
        if is_shared(v):
            return shared_at(self.scope, v, self.index(v.tile.shape, axes, v.tile.strides))
        owner = self.notes.table[v]
        mine = owner.views[v]
        assert mine is not None, f"{v.name} is in registers and no plain view"
        mapped: list[int | None] = [None] * len(owner.place.tile.shape)
        for a, m in zip(axes, mine, strict=True):
            if m is not None:
                mapped[m] = a
        return self.scope.name(owner.place), self.slot(self.notes.spreads[owner.place], tuple(mapped))


def shared_at(scope: Scope, v: Value, offset: str) -> tuple[str, str]:
    """The name of a shared place and the index of an element by its offset, swizzled as the place's layout says."""
    assert v.tile.place is not None
    swizzle = v.tile.place.layout.swizzle
    return parenthesised(scope.name(v)), scope.say("swizzled", offset, *swizzle) if swizzle else offset


def shared_element(scope: Scope, v: Value, offset: str) -> str:
    """An element of a shared place by its offset."""
    name, at = shared_at(scope, v, offset)
    return f"{name}[{at}]"


def registers_of(notes: Notes, operands: Iterable[tuple[Operand, Axes]]) -> list[tuple[Spread, Axes]]:
    """(spread, axes in the space) of the operands that have slots."""
    found = []
    for v, axes in operands:
        if isinstance(v, Value) and v.tile.shape and not is_shared(v):
            owner = notes.table[v]
            mapped: list[int | None] = [None] * len(owner.place.tile.shape)
            for a, m in zip(axes, owner.views[v] or (), strict=True):
                if m is not None:
                    mapped[m] = a
            found.append((notes.spreads[owner.place], tuple(mapped)))
    return found


def _stride(mine: Spread, axes: Axes, axis: int, stride: int, space: Spread) -> int:
    """By how much a register operand's slot moves with the digit of the space at (axis, stride); 0 if it stands still."""
    if axis not in axes:
        return 0
    here = axes.index(axis)
    digits = [d for d in space.axes[axis] if not d.worker]
    own = [d for d in mine.axes[here] if not d.worker]
    n = next(i for i, d in enumerate(digits) if d.stride == stride)
    return own[n].stride if own else 0                      # none: the axis is reduced away


def _digit(stride: int, extent: int, workers: int) -> str:
    shifted = "worker" if stride == 1 else f"worker / {stride}"
    return shifted if stride * extent == workers else f"{shifted} % {extent}"


def _times(text: str, n: int) -> str:
    return text if n == 1 else f"{parenthesised(text) if '%' not in text and '/' not in text else text} * {n}"
