"""Rows that are stored as they were loaded."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dslc.ir import Body, Kernel, Op, Span, Value, count_uses, make_attrs
from dslc.runtime.abi import written
from dslc.types import TileType


def moves(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then a map stands between the load of whole rows of a tensor that is never written and the store that alone reads
    them, to whole rows: it moves elements from one tensor to the other, as any map does, and no place holds them.
    """
    return replace(kernel, body=_body(kernel.body, written(kernel), count_uses(kernel.body)))


def _body(body: Body, stored: set[Value], uses: dict[Value, int]) -> Body:
    ops: list[Op] = []
    for op in body.ops:
        if op.name in ("for", "while", "if"):
            op = replace(op, bodies=tuple(_body(b, stored, uses) for b in op.bodies))
        source = next((o for o in ops if op.name == "store" and o.name == "load" and o.results == op.args[1:2]), None)
        if source is not None and uses[source.result] == 1 and source.args[0] not in stored and _rows(source.args[0], source.args[1:]) \
                and _rows(op.args[0], op.args[2:]):
            moved = _moved(source)
            ops.append(moved)
            op = replace(op, args=(op.args[0], moved.result, *op.args[2:]))
        ops.append(op)
    return replace(body, ops=tuple(ops))


def _rows(tensor: object, coordinates: Sequence[object]) -> bool:
    """Whether all the coordinates are spans, at most two, of which the last is contiguous."""
    assert isinstance(tensor, Value)
    return tensor.tensor.packing is None and all(isinstance(c, Span) for c in coordinates) and 0 < len(coordinates) <= 2 \
        and len(coordinates) - 1 in tensor.tensor.unit


def _moved(load: Op) -> Op:
    tile = load.result.tile
    element = Value(load.result.name, TileType(tile.dtype))
    body = Body((element,), (Op("yield", (element,), loc=load.loc),))
    return Op("map", (load.result,), make_attrs({"shape": tile.shape, "dtypes": (tile.dtype,)}), (Value(load.result.name, tile),), (body,), loc=load.loc)
