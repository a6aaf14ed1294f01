"""Shapes of tiles in UB: how operands meet a result, which shape ops only see memory otherwise, in which order the others read it."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from dslc.ir import Const, Op, Operand, Value
from dslc.render import Scope
from dslc.types import DType, TileType

GRAIN = 32              # elements: a multiple of it fills whole blocks of 32 bytes whatever the type


# ---------------------------------------------------------------- operands
def dtype_of(a: Operand) -> DType:
    assert isinstance(a, (Value, Const))
    return a.tile.dtype


def tile_of(a: Operand) -> TileType:
    assert isinstance(a, Value)
    return a.tile


def kind(a: Operand, shape: tuple[int, ...]) -> str:
    """How an operand meets a result of `shape`: "tile", "row", "column", "single" (a tile of one element), "scalar", or "" where it must be spread first."""
    if not isinstance(a, Value) or not a.tile.shape:
        return "scalar"
    own = (1,) * (len(shape) - len(a.tile.shape)) + a.tile.shape
    axes = [(n, m) for n, m in zip(shape, own, strict=True) if n != 1]
    there = [m != 1 for _, m in axes]
    if all(there):
        return "tile"
    if not any(there):
        return "single"
    if there[-1] and not any(there[:-1]):
        return "row"
    columns = [m for _, m in axes[:-1]]
    if not there[-1] and all(there[:-1]) and (len(columns) == 1 or columns[-1] % GRAIN == 0):
        return "column"
    return ""


def operand_text(a: Operand, op: Op, scope: Scope) -> str:
    """An operand of an elementwise op: a tile, row(tile), column(tile) or a scalar."""
    how = kind(a, op.target.tile.shape)
    if how == "scalar":
        return scope.scalar(a)
    assert isinstance(a, Value)
    return scope.name(a) if how in ("tile", "") else scope.say("spread_over", how, scope.name(a))


# ---------------------------------------------------------------- shapes as they are stored
def dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The extents that take part in storage: all but those of 1."""
    return tuple(n for n in shape if n != 1)


def looks(op: Op) -> bool:
    """Whether the result of a shape op is its operand's memory seen otherwise, whatever the pitch of rows."""
    (x,) = op.args
    if not isinstance(x, Value) or not x.tile.shape or not op.results[0].tile.shape:
        return True
    old, new = dense(x.tile.shape), dense(op.results[0].tile.shape)
    if op.name == "transpose":
        return [a for a in op.attr("axes") if x.tile.shape[a] != 1] == sorted(a for a in op.attr("axes") if x.tile.shape[a] != 1)
    if op.name == "split":
        axis = op.attr("axis")
        before, after = dense(x.tile.shape[:axis]), dense(x.tile.shape[axis + 1:])
        return op.attr("n") == 1 or (not before and (bool(after) or op.results[0].tile.shape[axis] % GRAIN == 0))
    if old == new:
        return True
    return op.name == "reshape" and (old[-1] == new[-1] or (old[-1] % GRAIN == 0 and new[-1] % GRAIN == 0))


def refined(old: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]) -> list[list[tuple[int, int]]] | None:
    """Each axis of a row-major reshape as (extent, stride) parts of the old axes; None if an extent of one divides none of the other."""
    left = [(n, s) for n, s in zip(old, strides, strict=True) if n != 1]
    found: list[list[tuple[int, int]]] = []
    for extent in reversed(new):
        parts: list[tuple[int, int]] = []
        while extent > 1:
            n, s = left.pop()
            if extent % n == 0:
                parts.insert(0, (n, s))
                extent //= n
            elif n % extent == 0:
                parts.insert(0, (extent, s))
                left.append((n // extent, s * extent))
                extent = 1
            else:
                return None
        found.insert(0, parts)
    return found


def runs(shape: tuple[int, ...], axis: int) -> tuple[int, int, bool]:
    """Along an axis: how many groups of runs lie before it, how many runs a group has; and whether it is the last, whose runs are single elements."""
    return prod(shape[:axis]), shape[axis], not dense(shape[axis + 1:])


# ---------------------------------------------------------------- orders
Part = tuple[int, int]          # extent, stride


@dataclass(frozen=True)
class Order:
    """Where the elements of a result come from: parts of its rows and of its last axis, each with a stride in elements of the source, and the first element."""

    rows: tuple[Part, ...]
    along: tuple[Part, ...]
    start: int = 0


def guessed_strides(t: TileType) -> tuple[int, ...]:
    """Strides of a tile whose pitch is not planned yet: as if it were the widest that there is, which starts rows at whole blocks as any does."""
    if t.place is not None and t.place.layout.strides is not None:
        return t.strides
    pitch, strides, step, first = -(-(dense(t.shape) or (1,))[-1] // 32) * 32, [], 1, True
    for n in reversed(t.shape):
        strides.append(0 if n == 1 else step)
        if n != 1:
            step, first = (pitch if first else step * n), False
    return tuple(reversed(strides))


def order_of(op: Op, part: int = 0, planned: bool = True) -> Order:
    """The order of a shape op's result, or of one of a split's; `planned`: pitches are."""
    x = tile_of(op.args[0])
    shape = (op.results or op.into)[part].tile.shape
    strides = x.strides if planned else guessed_strides(x)
    start = 0
    axes: list[list[Part]]
    if op.name == "transpose":
        axes = [[(x.shape[a], strides[a])] for a in op.attr("axes")]
    elif op.name == "split":
        axes = [[(n, s)] for n, s in zip(shape, strides, strict=True)]
        start = part * shape[op.attr("axis")] * strides[op.attr("axis")]
    elif op.name == "broadcast":
        lead = len(shape) - len(x.shape)
        axes = [[(n, 0)] for n in shape[:lead]] + [[(n, s if m == n else 0)] for n, m, s in zip(shape[lead:], x.shape, strides, strict=True)]
    else:
        found = refined(x.shape, strides, shape) if op.name == "reshape" else [[(n, s)] for n, s in zip(shape, strides, strict=True)]
        assert found is not None, "legalise goes through one axis"
        axes = found
    there = [parts for n, parts in zip(shape, axes, strict=True) if n != 1]
    flat = [p for parts in there[:-1] for p in parts]
    return Order(merged(flat), merged(there[-1] if there else []), start)


def merged(parts: list[Part]) -> tuple[Part, ...]:
    """Parts that one stride can say, as one."""
    done: list[Part] = []
    for n, s in parts:
        if n == 1:
            continue
        if done and done[-1][1] == s * n:
            done[-1] = (done[-1][0] * n, s)
        else:
            done.append((n, s))
    return tuple(done)


def rows_from(o: Order) -> list[str]:
    """The members of RowsFrom, as far as they are needed."""
    parts = list(reversed(o.rows))
    values = [o.start]
    for n in range(len(parts)):
        values.append(parts[n][1])
        if n < 3:
            values.append(parts[n][0])
    while len(values) > 1 and values[-1] in (0, 1) and len(values) > 2 * len(parts):
        values.pop()
    if len(parts) == 4:
        values = [o.start, parts[0][1], parts[0][0], parts[1][1], parts[1][0], parts[2][1], parts[2][0], parts[3][1]]
    return [str(v) for v in values]


def elements_from(o: Order) -> list[str]:
    """The members of ElementsFrom: the step, then how much further each outer part jumps."""
    parts = list(reversed(o.along)) or [(1, 1)]
    values, every = [parts[0][1]], 1
    for inner, outer in pairwise(parts):
        every *= inner[0]
        values += [every, outer[1] - inner[0] * inner[1]]
    return [str(v) for v in values]
