"""Rows over the two vector cores: which axis of which tile each core has half of, and the kernel written so.

Axes of tiles that must be cut together form a class: elementwise ops, broadcasts, transposes and loops tie them, reductions and whatever else looks along an
axis forbid it.  A class that nothing forbids and whose extents are even is cut: core `sub` has elements sub * extent / 2 on.  What is left whole is
computed by both cores, and stored by the first alone.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any

from dslc.ir import Arg, Body, Const, Kernel, Op, Operand, Span, Value, make_attrs, walk
from dslc.ops import OPS
from dslc.ops.structure import REDUCTIONS
from dslc.passes._rewriting import literal
from dslc.types import BOOL, I32, INDEX, DType, TileType

Node = tuple[Any, int]          # an axis of a value, or of the block that a store names


def halve(kernel: Kernel) -> Kernel:
    """A mixed kernel with one more extent of the grid, the two vector cores, and every tile that can be cut cut in half."""
    if kernel.attr("cores") != "mixed":
        return kernel
    return _Halver(kernel, axes_cut(kernel)).kernel()


def axes_cut(kernel: Kernel) -> dict[Any, int]:
    """The axis that is cut of each tile of the vector cores, and of the block of each of their stores."""
    classes = _Classes({r for op in walk(kernel.body) if op.attr("unit") == "cube" for r in op.results})
    for op in walk(kernel.body):
        classes.relate(op)
    return classes.chosen()


class _Classes:
    def __init__(self, elsewhere: set[Value]) -> None:
        self.elsewhere = elsewhere                  # what the matrix core makes
        self.parent: dict[Node, Node] = {}
        self.extent: dict[Node, int] = {}
        self.weight: dict[Node, int] = {}
        self.forbidden: set[Node] = set()
        self.multiple: dict[Node, int] = {}         # what half of the axis must be a multiple of

    # ------------------------------------------------------------ classes
    def node(self, v: Any, axis: int, extent: int, weight: int = 1) -> Node:
        key = (v, axis)
        if key not in self.parent:
            self.parent[key], self.extent[key], self.weight[key] = key, extent, weight
        return key

    def root(self, key: Node) -> Node:
        while self.parent[key] != key:
            key = self.parent[key]
        return key

    def tie(self, a: Node | None, b: Node | None) -> None:
        if a is not None and b is not None and self.root(a) != self.root(b):
            self.parent[self.root(a)] = self.root(b)

    def of(self, v: Operand, axis: int) -> Node | None:
        """The node of an axis of a tile; None for extent 1."""
        if not isinstance(v, Value) or v.tile.shape[axis] == 1:
            return None
        return self.node(v, axis, v.tile.shape[axis], v.tile.size)

    def forbid(self, v: Operand, *axes: int) -> None:
        if isinstance(v, Value) and isinstance(v.type, TileType):
            self.forbidden |= {n for a in axes or range(len(v.tile.shape)) if (n := self.of(v, a)) is not None}

    def alike(self, a: Operand, b: Operand, lead: int = 0, skip: tuple[int, ...] = ()) -> None:
        """Axes of `a` tied to those of `b`, `lead` axes further on; axes of `b` in `skip` left out."""
        for axis, n in enumerate(a.tile.shape) if isinstance(a, Value) else ():
            if axis + lead not in skip and isinstance(b, Value) and n == b.tile.shape[axis + lead]:
                self.tie(self.of(a, axis), self.of(b, axis + lead))

    # ------------------------------------------------------------ ops
    def relate(self, op: Op) -> None:
        """Tie and forbid axes as the op asks for."""
        if op.name in ("for", "while", "if"):
            self.control(op)
        elif op.attr("unit") == "cube" or op.name in ("full", "iota", "grid", "assume", "yield"):
            return
        elif op.attr("cross"):
            for v in (*op.args, *op.results):
                if v in (op.args if op.attr("side") == "put" else op.results):
                    self.forbid(v, 1)
                    self.of(v, 0)
        elif op.name in ("load", "store") or op.name.startswith("atomic_"):
            self.access(op)
        elif OPS[op.name].elementwise or op.name in ("copy", "broadcast", "cast", "bitcast", "random"):
            for a in op.args:
                if isinstance(a, Value):
                    self.alike(a, op.result, len(op.result.tile.shape) - len(a.tile.shape))
        else:
            getattr(self, f"on_{op.name}", self.other)(op)

    def other(self, op: Op) -> None:
        if op.name in REDUCTIONS:
            (x,), axis = op.args, op.attr("axis")
            self.forbid(x, axis)
            for a in range(len(op.result.tile.shape)):
                self.tie(self.of(op.result, a), self.of(x, a + (a >= axis)))
            return
        for v in (*op.args, *op.results):
            self.forbid(v)

    def on_transpose(self, op: Op) -> None:
        for n, axis in enumerate(op.attr("axes")):
            self.tie(self.of(op.result, n), self.of(op.args[0], axis))

    def on_reshape(self, op: Op) -> None:
        (x,), r = op.args, op.result
        if not isinstance(x, Value) or not x.tile.shape or not r.tile.shape:
            return
        for olds, news in groups(x.tile.shape, r.tile.shape):
            self.tie(self.of(x, olds[0]), self.of(r, news[0]))
            self.forbid(x, *olds[1:]) if olds[1:] else None
            self.forbid(r, *news[1:]) if news[1:] else None

    def on_split(self, op: Op) -> None:
        axis = op.attr("axis")
        for v in (*op.args, *op.results):
            self.forbid(v, axis)
        for r in op.results:
            self.alike(op.args[0], r, skip=(axis,))

    def on_concat(self, op: Op) -> None:
        axis = op.attr("axis")
        for v in (*op.args, op.result):
            self.forbid(v, axis)
        for a in op.args:
            self.alike(a, op.result, skip=(axis,))

    def on_cumsum(self, op: Op) -> None:
        self.forbid(op.args[0], op.attr("axis"))
        self.forbid(op.result, op.attr("axis"))
        self.alike(op.args[0], op.result, skip=(op.attr("axis"),))

    def on_dot(self, op: Op) -> None:
        a, b = op.args[:2]
        self.forbid(a, 1)
        self.forbid(b, 0)
        self.tie(self.of(a, 0), self.of(op.result, 0))
        self.tie(self.of(b, 1), self.of(op.result, 1))
        for c in op.args[2:]:
            self.alike(c, op.result)

    def on_take(self, op: Op) -> None:
        table, index = op.args
        assert isinstance(table, Value)
        self.forbid(table, 0)
        rank = len(index.tile.shape)  # type: ignore[union-attr]
        self.alike(index, op.result)
        for axis in range(1, len(table.tile.shape)):
            self.tie(self.of(table, axis), self.of(op.result, rank + axis - 1))

    def on_segment_sum(self, op: Op) -> None:
        x, segment = op.args
        for v in (x, segment, op.result):
            self.forbid(v, 0)
        self.alike(x, op.result, skip=(0,))

    def access(self, op: Op) -> None:
        tensor, block = op.args[0], op.result if op.name == "load" else op
        assert isinstance(tensor, Value)
        shape = block_shape(op)
        nodes = [self.node(block, a, n, prod(shape)) if n > 1 else None for a, n in enumerate(shape)]
        for d, axis, rank, c in axes_of(op):
            if isinstance(c, Span):
                packing = tensor.tensor.packing
                node = nodes[axis]
                if packing is not None and packing.axis == d and node is not None:
                    self.multiple[node] = tensor.tensor.fields
                    self.forbidden |= {node} if packing.order == "split" else set()
                continue
            for n, extent in enumerate(c.tile.shape):
                at = axis + rank - len(c.tile.shape) + n
                self.tie(self.of(c, n), nodes[at] if extent > 1 else None)
        if op.name != "load" and isinstance(value := op.args[1], Value):
            lead = len(shape) - len(value.tile.shape)
            for n, extent in enumerate(value.tile.shape):
                self.tie(self.of(value, n), nodes[n + lead] if extent > 1 else None)

    def control(self, op: Op) -> None:
        rows: Iterator[tuple[Operand, ...]]
        if op.name == "if":
            rows = zip(op.results, *(b.result for b in op.bodies), strict=True)
        else:
            head = 2 if op.name == "for" else 0
            params = [b.params[1:] if op.name == "for" else b.params for b in op.bodies]
            rows = zip(op.args[head:], op.bodies[-1].result, op.results, *params, strict=True)
        for first, *others in rows:
            for v in others if first not in self.elsewhere else ():
                self.alike(first, v)

    # ------------------------------------------------------------ the choice
    def chosen(self) -> dict[Any, int]:
        """The heaviest classes first, each unless a tile would be cut twice."""
        members: dict[Node, list[Node]] = {}
        for key in self.parent:
            members.setdefault(self.root(key), []).append(key)
        bad = {self.root(n) for n in self.forbidden}
        cut: dict[Any, int] = {}
        for keys in sorted(members.values(), key=lambda ks: -sum(self.weight[k] for k in ks)):
            even = all(self.extent[k] % (2 * self.multiple.get(k, 1)) == 0 for k in keys)
            if even and self.root(keys[0]) not in bad and not any(v in cut for v, _ in keys) and len({v for v, _ in keys}) == len(keys):
                cut.update(keys)
        return cut


def groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Axes of a row-major reshape that are made of each other: (old axes, new axes), extents of 1 left out."""
    olds, news = [(a, n) for a, n in enumerate(old) if n > 1], [(a, n) for a, n in enumerate(new) if n > 1]
    found: list[tuple[list[int], list[int]]] = []
    while olds and news:
        left, right = [olds.pop(0)], [news.pop(0)]
        while (p := prod(n for _, n in left)) != (q := prod(n for _, n in right)):
            (left if p < q else right).append((olds if p < q else news).pop(0))
        found.append(([a for a, _ in left], [a for a, _ in right]))
    return found


def coordinates(op: Op) -> tuple[Operand, ...]:
    """The coordinates of a memory op."""
    return op.args[1:] if op.name == "load" else op.args[2:]


def axes_of(op: Op) -> list[tuple[int, int, int, Any]]:
    """(dimension, first axis of the block, axes, coordinate) of the spans and index tiles of a memory op."""
    found: list[tuple[int, int, int, Any]] = []
    axis, first = 0, -1
    rank = max((len(c.tile.shape) for c in coordinates(op) if isinstance(c, Value)), default=0)
    for d, c in enumerate(coordinates(op)):
        if isinstance(c, Span):
            found.append((d, axis, 1, c))
            axis += 1
        elif isinstance(c, Value) and c.tile.shape:
            if first < 0:
                first, axis = axis, axis + rank
            found.append((d, first, rank, c))
    return found


def block_shape(op: Op) -> tuple[int, ...]:
    """The extents of the block that a memory op names."""
    shape: dict[int, int] = {}
    for _, axis, rank, c in axes_of(op):
        extents = (c.extent,) if isinstance(c, Span) else (1,) * (rank - len(c.tile.shape)) + c.tile.shape
        for n, extent in enumerate(extents):
            shape[axis + n] = max(shape.get(axis + n, 1), extent)
    return tuple(shape[a] for a in sorted(shape))


# ---------------------------------------------------------------- the kernel with halves
class _Halver:
    def __init__(self, kernel: Kernel, cut: dict[Any, int]) -> None:
        self.old, self.cut = kernel, cut
        self.new: dict[Value, Value] = {}
        self.sub = Value("sub", TileType(INDEX))
        self.first = Value("first", TileType(BOOL))
        self.shifts: dict[tuple[int, DType], Op] = {}
        self.narrow = Value("sub", TileType(I32))

    def kernel(self) -> Kernel:
        body = self.body(self.old.body)
        at = next(n for n, op in enumerate(body.ops) if op.name == "grid")
        grid = body.ops[at]
        grid = replace(grid, args=(*grid.args, Const(2, INDEX)), results=(*grid.results, self.sub))
        used = {v for op in (*walk(body), *self.shifts.values()) for v in op.uses()}
        extra = [Op("cast", (self.sub,), make_attrs({"dtype": I32}), (self.narrow,))] if self.narrow in used else []
        extra += self.shifts.values()
        extra += [Op("eq", (self.sub, Const(0, INDEX)), (), (self.first,))] if self.first in used else []
        return self.old.with_ops([*body.ops[:at], grid, *extra, *body.ops[at + 1:]]).having(sub=True)

    def shift(self, half: int, dtype: DType) -> Value:
        """sub * half."""
        key = half, dtype
        if key not in self.shifts:
            sub = self.sub if dtype is INDEX else self.narrow
            self.shifts[key] = Op("mul", (sub, literal(half, dtype)), (), (Value("half", TileType(dtype)),))
        return self.shifts[key].result

    def value(self, v: Value) -> Value:
        """What stands for a value: the same, or one of half its extent."""
        if v not in self.cut:
            return v
        if v not in self.new:
            axis, shape = self.cut[v], v.tile.shape
            self.new[v] = Value(v.name, TileType(v.tile.dtype, (*shape[:axis], shape[axis] // 2, *shape[axis + 1:])))
        return self.new[v]

    def operand(self, a: Operand) -> Operand:
        return self.value(a) if isinstance(a, Value) else a

    def body(self, body: Body) -> Body:
        return Body(tuple(self.value(p) for p in body.params), tuple(new for op in body.ops for new in self.op(op)))

    def op(self, op: Op) -> list[Op]:
        if op.bodies:
            return [self.renamed(op, bodies=tuple(self.body(b) for b in op.bodies))]
        if op.attr("unit") == "cube":
            return [op]
        if op.attr("cross"):
            return self.crossing(op)
        if op.name in ("load", "store") or op.name.startswith("atomic_"):
            return self.access(op)
        if op.name == "iota" and op.result in self.cut:
            return self.iota(op)
        new = self.renamed(op)
        if op.name in ("full", "broadcast", "reshape"):
            new = new.having(shape=new.result.tile.shape)
        return [new]

    def renamed(self, op: Op, **fields: Any) -> Op:
        return replace(op, args=tuple(self.operand(a) for a in op.args), results=tuple(self.value(r) for r in op.results), **fields)

    def iota(self, op: Op) -> list[Op]:
        half, dtype = op.result.tile.size // 2, op.result.tile.dtype
        start = Value(op.result.name, TileType(dtype, (half,)))
        made = replace(op, results=(start,)).having(n=half)
        return [made, Op("add", (start, self.shift(half, dtype)), make_attrs({"unit": "vector"}), (self.value(op.result),), loc=op.loc)]

    def crossing(self, op: Op) -> list[Op]:
        tile = op.result if op.attr("side") == "take" else op.args[0]
        assert isinstance(tile, Value)
        if tile not in self.cut:
            return [op]
        rows, columns = tile.tile.shape
        if op.attr("side") == "put":
            half = self.value(tile)
            return [replace(op, name="concat", args=(half, half)).having(axis=0)]
        (ring,) = op.args
        parts = Value(ring.name, TileType(ring.tile.dtype, (2, rows // 2, columns)))  # type: ignore[union-attr]
        view = Op("reshape", (ring,), make_attrs({"shape": parts.tile.shape, "unit": "vector"}), (parts,), loc=op.loc)
        return [view, replace(op, name="take", args=(parts, self.sub), results=(self.value(op.result),))]

    def access(self, op: Op) -> list[Op]:
        block: Any = op.result if op.name == "load" and op.results else op
        extra: list[Op] = []
        coords = list(coordinates(op))
        for d, axis, _, c in axes_of(op):
            if isinstance(c, Span) and self.cut.get(block) == axis:
                start: Arg
                start, half = c.start, c.extent // 2
                moved = Value("start", start.tile)
                extra.append(Op("add", (start, self.shift(half, start.tile.dtype)), (), (moved,), loc=op.loc))
                coords[d] = Span(moved, half, c.stop)
        head = op.args[:1] if op.name == "load" else op.args[:2]
        new = replace(op, args=tuple(self.operand(a) for a in (*head, *coords)), results=tuple(self.value(r) for r in op.results))
        if op.name == "load" or op in self.cut:
            return [*extra, new]
        stop = Op("yield")
        return [Op("if", (self.first,), (), (), (Body((), (new, stop)), Body((), (stop,))), loc=op.loc)]
