"""Two programs of one launch on the same element, as far as coordinates alone tell: found before the launch, from numbers of the call.

What only data can show (index tiles, bounds that were loaded) is left to the interpreter, which checks every element.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from dslc.ir import Const, Kernel, Op, Operand, Span, Value, producers
from dslc.types import INDEX

Tree = Any                # JSON: an int, a dimension's name, ["@", grid axis], [op, tree, tree], or None for what is not known before the launch
_OPS: dict[str, Any] = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "floordiv": lambda x, y: x // y if y else None,
        "mod": lambda x, y: x % y if y else None, "minimum": min, "maximum": max}
Box = list[tuple[int, int]]


def accesses(kernel: Kernel) -> dict[str, Any]:
    """The grid and the unconditional accesses of a value-form kernel, as trees: what `find_race` needs, ready for JSON."""
    made = producers(kernel.body)
    grid = next(op for op in kernel.body.ops if op.name == "grid")
    rows = []
    for op in kernel.body.ops:
        if op.name in ("load", "store"):
            tensor, coords = op.args[0], op.args[1 if op.name == "load" else 2:]
            assert isinstance(tensor, Value)
            at = [_coordinate(c, made) for c in coords]
            if None not in at:
                rows.append([op.name, tensor.name, at, place(op)])
    stored = {row[1] for row in rows if row[0] == "store"}
    return {"grid": [_tree(a, made) for a in grid.args], "rows": [row for row in rows if row[1] in stored]}


def place(op: Op) -> list[Any] | None:
    """Where an op stands in the user's file, as Loc's fields."""
    return [op.loc.file, op.loc.line, op.loc.column, op.loc.end_column, op.loc.text] if op.loc else None


def _coordinate(c: Operand, made: Mapping[Value, Op]) -> Tree:
    """[start, extent, stop or None], or None if it is an index tile."""
    if isinstance(c, Span):
        return [_tree(c.start, made), c.extent, _tree(c.stop, made) if c.stop is not None else []]
    return None if c.tile.shape else [_tree(c, made), 1, []]


def _tree(arg: Operand, made: Mapping[Value, Op]) -> Tree:
    if isinstance(arg, Const):
        return int(arg.value) if arg.dtype.kind == "i" else None
    assert isinstance(arg, Value)
    op = made.get(arg)
    if op is None:
        return arg.name if arg.tile.dtype is INDEX and not arg.tile.shape else None
    if op.name == "grid":
        return ["@", op.results.index(arg)]
    if op.name in _OPS and not arg.tile.shape:
        return [op.name, *(_tree(a, made) for a in op.args)]
    return None


def _value(tree: Tree, dims: Mapping[str, int], program: Sequence[int]) -> int | None:
    if tree is None or isinstance(tree, int):
        return tree
    if isinstance(tree, str):
        return dims.get(tree)
    if tree[0] == "@":
        return int(program[tree[1]])
    x, y = (_value(t, dims, program) for t in tree[1:])
    return None if x is None or y is None else _OPS[tree[0]](x, y)


def _box(at: list[Tree], shape: Sequence[int], dims: Mapping[str, int], program: Sequence[int]) -> Box | None:
    """The elements inside the tensor that a program touches, as (first, past the last) by dimension; None if not known."""
    box: Box = []
    for (start, extent, stop), n in zip(at, shape, strict=True):
        first, end = _value(start, dims, program), n if stop == [] else _value(stop, dims, program)
        if first is None or end is None:
            return None
        box.append((max(first, 0), min(first + extent, end, n)))
    return box


def find_race(data: Mapping[str, Any], dims: Mapping[str, int], shapes: Mapping[str, Sequence[int]]) -> tuple[str, Any] | None:
    """(message, place) of two neighbouring programs that touch one element, one writing; None if there are none to be seen."""
    extents = [_value(t, dims, ()) for t in data["grid"]]
    if not data["rows"] or any(e is None or e <= 0 for e in extents):
        return None
    known = [int(e) for e in extents if e is not None]
    corners = [tuple(c) for c in product(*({0, max(e - 2, 0)} for e in known))][:64]
    for p in sorted(corners):
        for axis, extent in enumerate(known):
            if p[axis] + 1 < extent:
                q = tuple(c + (d == axis) for d, c in enumerate(p))
                found = _conflict(data["rows"], dims, shapes, p, q) or _conflict(data["rows"], dims, shapes, q, p)
                if found:
                    return found
    return None


def _conflict(rows: list[Any], dims: Mapping[str, int], shapes: Mapping[str, Sequence[int]], p: Sequence[int], q: Sequence[int]) -> tuple[str, Any] | None:
    for kind, name, at, loc in rows:
        mine = _box(at, shapes[name], dims, p)
        for other_kind, other_name, other_at, _ in rows:
            theirs = _box(other_at, shapes[name], dims, q) if other_kind == "store" and other_name == name else None
            if mine is not None and theirs is not None and all(max(a, c) < min(b, d) for (a, b), (c, d) in zip(mine, theirs, strict=True)):
                if kind == "store":
                    return f"store: two programs of one launch write the same element of {name}", loc
                return f"load: {name} is read where another program of this launch writes", loc
    return None
