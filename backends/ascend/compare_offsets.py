"""Comparisons of positions become comparisons of small coordinates in f32, which the vector unit has; only scalars need 64 bits.

A position tile is a sum of index scalars and a tile of small integers: `i * 128 + iota`.  For x = s + u and y = t + v with tiles u, v and scalars s, t,

    x < y  exactly where  u + (s - t) < v,  and where  u + c < v  for  c = s - t clamped to [lo - 1, hi + 1],  v - u in [lo, hi]:

beyond either end the comparison has one result for all elements, and so it has at the end itself; the same holds of the other five.  With u and v within
2^21 every number is below 2^23, where f32 has all integers.  The sums of 64 bits are bounded below 2^62, so that neither the kernel's nor these wrap.
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace

from dslc.ir import Arg, Body, Const, Kernel, Op, Operand, Value, producers
from dslc.passes._affine import Facts
from dslc.passes._rewriting import NEGATED, Builder, literal, scalars
from dslc.types import F32, INDEX

SMALL = 1 << 21             # tiles of integers up to this size, their sums, differences and one more are exact in f32
TAME = 1 << 62              # sums of scalars up to this size do not wrap
MOVED = ("reshape", "broadcast", "transpose")


@dataclass
class Position:
    """start + the sum of coefficient * scalar + a tile in f32; `lo` and `hi` are the least and greatest element of the tile."""

    scalars: dict[Arg, int] = field(default_factory=dict)
    start: int = 0
    tile: Arg | None = None
    lo: int = 0
    hi: int = 0

    def plus(self, other: Position, sign: int) -> Position:
        """The sum or difference, without a tile."""
        total = dict(self.scalars)
        for a, c in other.scalars.items():
            total[a] = total.get(a, 0) + sign * c
        ends = sorted((sign * other.lo, sign * other.hi))
        return Position({a: c for a, c in total.items() if c}, self.start + sign * other.start, None, self.lo + ends[0], self.hi + ends[1])


def compare_offsets(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then comparisons of tiles of `index` that are sums of scalars and small coordinates are ones of f32."""
    return replace(kernel, body=_Comparisons(kernel).body(kernel.body))


class _Comparisons:
    def __init__(self, kernel: Kernel) -> None:
        self.facts, self.made = Facts(kernel), producers(kernel.body)

    def body(self, body: Body) -> Body:
        ops: list[Op] = []
        for op in body.ops:
            bodies = []
            for n, b in enumerate(op.bodies):
                with self.facts.inside(op, n):
                    bodies.append(self.body(b))
            op = replace(op, bodies=tuple(bodies)) if bodies else op
            self.facts.visit(op)
            ops += self.compared(op) if op.name in NEGATED and op.result.tile.shape else [op]
        return replace(body, ops=tuple(ops))

    def compared(self, op: Op) -> list[Op]:
        """The comparison in f32 after what it takes, or the op as it is."""
        put = Builder(op)
        sides = [self.position(a, put) if a.tile.dtype is INDEX else None for a in scalars(op)]
        x, y = sides
        if x is None or y is None or (x.tile is None and y.tile is None) or self.size(x) + self.size(y) > TAME:
            return [op]
        smaller = 0 if x.tile is None or (y.tile is not None and x.tile.tile.size <= y.tile.tile.size) else 1
        mine, other = sides[smaller], sides[1 - smaller]
        assert mine is not None and other is not None and other.tile is not None
        offset = self.clamped(mine.plus(other, -1), other.lo - mine.hi - 1, other.hi - mine.lo + 1, put)
        if mine.tile is not None and offset != literal(0, F32):
            offset = put("add", mine.tile, offset, dtype=F32, shape=mine.tile.tile.shape)
        elif mine.tile is not None:
            offset = mine.tile
        return [*put.ops, replace(op, args=(other.tile, offset) if smaller else (offset, other.tile))]

    def clamped(self, by: Position, lo: int, hi: int, put: Builder) -> Arg:
        """The scalars of a position, clamped to lo..hi, in f32."""
        if not by.scalars:
            return literal(min(max(by.start, lo), hi), F32)
        total = put.linear(by.scalars.items(), by.start)
        return put("cast", put("minimum", put("maximum", total, literal(lo, INDEX)), literal(hi, INDEX)), dtype=F32)

    def size(self, p: Position) -> int:
        """Nothing that adds up to the position is further from 0."""
        return abs(p.start) + max(abs(p.lo), abs(p.hi)) + sum(abs(c) * max(map(abs, self.facts.range(self.facts.form(a)))) for a, c in p.scalars.items())

    # ------------------------------------------------------------ what a position is made of
    def position(self, a: Operand, put: Builder) -> Position | None:
        """An index operand as a position; None if it is none."""
        if isinstance(a, Const):
            return Position(start=int(a.value))
        if not isinstance(a, Value):
            return None
        if not a.tile.shape:
            return Position({a: 1})
        op = self.made.get(a)
        if op is not None and op.name in ("add", "sub"):
            return self.summed(op, put)
        if op is not None and op.name == "full":
            return self.position(op.args[0], put)
        if op is not None and op.name in MOVED:
            p = self.position(op.args[0], put)
            if p is not None and p.tile is not None:
                p.tile = put(op.name, p.tile, shape=a.tile.shape, dtype=F32, **{k: v for k, v in op.attrs if k != "shape"})
            return p
        return self.leaf(a, put)

    def leaf(self, a: Value, put: Builder) -> Position | None:
        """A tile of small integers."""
        lo, hi = self.facts.range(self.facts.form(a))
        if lo < -SMALL or hi > SMALL:
            return None
        return Position(tile=put("cast", a, dtype=F32, shape=a.tile.shape), lo=lo, hi=hi)

    def summed(self, op: Op, put: Builder) -> Position | None:
        sides = [self.position(a, put) for a in op.args]
        x, y = sides
        if x is None or y is None:
            return None
        sign = 1 if op.name == "add" else -1
        total = x.plus(y, sign)
        if max(-total.lo, total.hi) > SMALL:
            return None
        if x.tile is not None and y.tile is not None:
            total.tile = put(op.name, x.tile, y.tile, dtype=F32, shape=op.result.tile.shape)
        elif y.tile is not None:
            total.tile = y.tile if sign > 0 else put("neg", y.tile, dtype=F32, shape=y.tile.tile.shape)
        else:
            total.tile = x.tile
        return total
