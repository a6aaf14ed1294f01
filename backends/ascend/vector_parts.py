"""Tiles of rank 3 that only feed a reduction are computed in parts, so that all of such a tile is never there at once."""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Arg, Body, Kernel, Op, Value, make_attrs, walk
from dslc.ops import OPS
from dslc.ops.structure import REDUCTIONS
from dslc.passes._rewriting import scalars
from dslc.types import TileType

from .vector_shapes import dense

LARGE = 16384           # bytes: a tile of rank 3 that is larger is computed in parts


def parted(kernel: Kernel) -> Kernel:
    """A tile of rank 3 or more that is computed only to be reduced is computed in parts along another axis."""
    uses: dict[Value, list[Op]] = {}
    for op in walk(kernel.body):
        for v in op.uses():
            uses.setdefault(v, []).append(op)

    def body(b: Body) -> Body:
        ops = [replace(op, bodies=tuple(map(body, op.bodies))) if op.bodies else op for op in b.ops]
        made = {r: op for op in ops if not op.bodies for r in op.results}
        gone: set[Op] = set()
        new: dict[Op, list[Op]] = {}
        for op in ops:
            tree = _tree(op, made, uses) if op.name in REDUCTIONS and not op.bodies else []
            parts = _parts(op, tree) if tree else None
            if parts is not None:
                new[op] = parts
                gone |= set(tree)
        return replace(b, ops=tuple(o for op in ops if op not in gone for o in new.get(op, [op])))

    return replace(kernel, body=body(kernel.body))


def _tree(reduction: Op, made: dict[Value, Op], uses: dict[Value, list[Op]]) -> list[Op]:
    """The ops of one body that compute the reduction's operand and nothing else, in order; all have its shape."""
    (x,) = scalars(reduction)
    inside: list[Op] = []
    todo, known = [x], {reduction}
    while todo:
        v = todo.pop()
        op = made.get(v) if isinstance(v, Value) else None
        if op is None or op in known or not (OPS[op.name].elementwise or op.name == "broadcast") or op.result.tile.shape != x.tile.shape:
            continue
        if all(user in known for user in uses.get(op.result, ())):
            known.add(op)
            inside.append(op)
            todo += [a for o in inside for a in scalars(o)]
    order = {op: n for n, op in enumerate(made.values())}
    return sorted(inside, key=order.__getitem__)


def _parts(reduction: Op, tree: list[Op]) -> list[Op] | None:
    """The reductions of the parts, joined; None if that is not needed or there is no other axis."""
    shape = tree[0].result.tile.shape
    axis = reduction.attr("axis") % len(shape)
    size = max(op.result.tile.size // shape[-1] * -(-shape[-1] // 8) * 8 * max(op.result.tile.dtype.bytes, 4) for op in tree)
    along = next((a for a, n in enumerate(shape[:-1]) if n > 1 and a != axis), None)
    if len(dense(shape)) < 3 or size <= LARGE or along is None:
        return None
    n = next((k for k in range(2, shape[along] + 1) if shape[along] % k == 0 and size // k <= LARGE), shape[along])
    ops: list[Op] = []
    pieces: dict[Arg, list[Arg]] = {}
    computed = {op.result for op in tree}
    for a in dict.fromkeys(a for op in tree for a in scalars(op) if a not in computed):
        at = along - (len(shape) - len(a.tile.shape))
        whole = not isinstance(a, Value) or at < 0 or a.tile.shape[at] == 1
        results = () if whole else tuple(Value(a.name, _part(a.tile, at, n)) for _ in range(n))     # type: ignore[union-attr]
        ops += [] if whole else [Op("split", (a,), make_attrs({"n": n, "axis": at}), results, loc=reduction.loc)]
        pieces[a] = [a] * n if whole else list(results)
    place = along - (axis < along)
    outs: list[Value] = []
    for k in range(n):
        here: dict[Arg, Arg] = {a: parts[k] for a, parts in pieces.items()}
        for op in tree:
            small = Value(op.result.name, _part(op.result.tile, along, n))
            made = replace(op, args=tuple(here[a] for a in scalars(op)), results=(small,))
            ops.append(made.having(shape=small.tile.shape) if op.name == "broadcast" else made)
            here[op.result] = small
        outs.append(Value(reduction.result.name, _part(reduction.result.tile, place, n)))
        ops.append(replace(reduction, args=(here[scalars(reduction)[0]],), results=(outs[-1],)))
    return [*ops, Op("concat", tuple(outs), make_attrs({"axis": place}), reduction.results, loc=reduction.loc)]


def _part(t: TileType, axis: int, n: int) -> TileType:
    """One of n parts along an axis."""
    return TileType(t.dtype, (*t.shape[:axis], t.shape[axis] // n, *t.shape[axis + 1:]))
