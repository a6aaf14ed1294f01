"""Tensors that the launcher lays out for dot before the programs run: matrices that several programs multiply by."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dslc.ir import Kernel, Op, Operand, Span, Value, producers, used_values, walk
from dslc.render import Scope

from .ends import Edges
from .windows import turned

FEW_ROWS, WIDE_FLOATS = 8, ("f64", "f32", "f16", "bf16")     # rows, and types, of products that read their right operand where it stands (tile_skinny.h)
Role = tuple[bool, int, int]                                # left operand, axis of its rows (or columns), the other extent of the product


@dataclass(frozen=True)
class Panels:
    """One tensor in one role: `rows` and `depth` are its dimensions with a tile's rows (of a right operand, columns) and with k."""

    name: str
    tensor: Value
    left: bool
    rows: int
    depth: int
    tile: tuple[int, int]                                   # extents along rows and depth
    others: int                                             # columns that a tile of a left operand is multiplied by; rows, of a right one
    padded: bool                                            # whether some product reads past the end of k
    readers: tuple[Operand, ...]                            # extents of the grid over which programs read the same elements


def panels(kernel: Kernel, scope: Scope, edges: Edges) -> dict[Op, Panels]:
    """The loads that can be read from panels.  Assumes `windows`; a load qualifies if it feeds products in one role only and its coordinates follow
    from the grid, dimensions and loops; what a loaded index selects is not worth laying out whole.
    """
    grid = next(op for op in kernel.body.ops if op.name == "grid")
    made, loops = producers(kernel.body), {b.params[0]: op for op in walk(kernel.body) if op.name == "for" for b in op.bodies}
    found: dict[Op, Panels] = {}
    known: dict[Any, Panels] = {}
    for op in walk(kernel.body):
        if not op.attr("window") or op.attr("pad", 0) != 0 or any(isinstance(c, Span) and c.stop is not None for c in op.args):
            continue
        roles = set(_roles(kernel, op.into[0]))
        needs = _needs(op, made, loops, {*kernel.params, *kernel.dims})
        if len(roles) != 1 or needs is None:
            continue
        (left, axis, others), = roles
        spans = [d for d, c in enumerate(op.args[1:]) if isinstance(c, Span)]
        shape, tensor = op.into[0].tile.shape, op.args[0]
        readers = tuple(extent for extent, at in zip(grid.args, grid.results, strict=True) if at not in needs)
        assert isinstance(tensor, Value)
        if not readers or not others or (not left and others <= FEW_ROWS and op.into[0].tile.dtype.name in WIDE_FLOATS):
            continue
        padded = spans[1 - axis] not in edges.covered[op]
        key = (tensor, left, spans[axis], spans[1 - axis], shape[axis], shape[1 - axis], others, padded)
        if key not in known:
            known[key] = Panels(scope.fresh(f"{scope.name(tensor)}_panels"), tensor, left, spans[axis], spans[1 - axis], (shape[axis], shape[1 - axis]),
                                others, padded, readers)
        found[op] = known[key]
    return found


def _roles(kernel: Kernel, place: Value, flipped: bool = False) -> Iterator[Role]:
    """How products read a place; others 0 where one reads it in a way that has no panels: vectors, rounded operands."""
    for op in walk(kernel.body):
        if op.name == "view" and place in op.uses() and turned(op):
            yield from _roles(kernel, op.result, not flipped)
        if op.name == "dot":
            m, n = op.into[0].tile.shape
            plain = min(m, n) > 1 and not op.attr("precision")
            if op.args[0] is place:
                yield True, int(flipped), n if plain else 0
            if op.args[1] is place:
                yield False, int(not flipped), m if plain else 0


def _needs(load: Op, made: dict[Value, Op], loops: dict[Value, Op], given: set[Value]) -> set[Value] | None:
    """What the coordinates of a load follow from; None if from memory or from what a loop carries."""
    seen: set[Value] = set()
    todo = [v for v in load.uses() if v is not load.args[0]]
    while todo:
        v = todo.pop()
        if v in seen:
            continue
        seen.add(v)
        if v in loops:
            todo += [a for a in loops[v].args[:1] if isinstance(a, Value)]
        elif v in made:
            if made[v].bodies or made[v].name in ("load", "alloc"):
                return None
            todo += [] if made[v].name == "grid" else list(used_values(made[v]))
        elif v not in given:
            return None
    return seen
