"""Tiles that are used where they stand in their tensor: a load need not copy what lies inside, a store need not follow what computes it."""
from __future__ import annotations

from dataclasses import replace
from math import prod

from dslc.ir import Body, Const, Kernel, Op, Span, Value, used_values, walk
from dslc.ops.structure import REDUCTIONS
from dslc.runtime.abi import written

from .sums import served

ELEMENTWISE = ("map", *REDUCTIONS)
MEMORY = ("load", "store", "atomic_add", "atomic_min", "atomic_max")


def windows(kernel: Kernel) -> Kernel:
    """Assumes the placed form.  Then holds: a load of two spans and any points, of an unpacked tensor that the kernel never writes, whose
    place is read by `dot` alone, as it is or transposed, carries `window=True`; one of whole rows that maps and reductions alone read carries `stream=True`,
    and so does a store of whole rows whose tile one map, or zeros and a loop of products, compute for it alone.

    Each is a pointer with the tensor's strides when every element is inside, and goes through the padded place otherwise: decided at run time, so
    that ragged edges cost nothing elsewhere.
    """
    return _Windows(kernel).kernel()


class _Windows:
    def __init__(self, kernel: Kernel) -> None:
        self.given, self.stored = kernel, written(kernel)
        self.readers: dict[Value, list[Op]] = {}
        self.writers: dict[Value, list[Op]] = {}
        self.at: dict[Value, int] = {}                      # where in the text a scalar is bound
        for n, op in enumerate(walk(kernel.body)):
            for v in set(op.uses()):
                self.readers.setdefault(v, []).append(op)
            for v in op.into:
                self.writers.setdefault(v, []).append(op)
            for v in (*op.results, *(p for b in op.bodies for p in b.params)):
                self.at[v] = n
        self.place_in_text = {op: n for n, op in enumerate(walk(kernel.body))}

    def kernel(self) -> Kernel:
        return replace(self.given, body=self.body(self.given.body))

    def body(self, body: Body) -> Body:
        direct = {op for n, op in enumerate(body.ops) if op.name == "store" and self.computed_for(op, body.ops[:n])}
        return replace(body, ops=tuple(op.having(stream=True) if op in direct else self.op(op) for op in body.ops))

    def op(self, op: Op) -> Op:
        inner = replace(op, bodies=tuple(self.body(b) for b in op.bodies)) if op.bodies and op.name not in ELEMENTWISE else op
        if op.name != "load" or not op.into or len(self.writers[op.into[0]]) != 1:
            return inner
        tensor, place = op.args[0], op.into[0]
        assert isinstance(tensor, Value)
        if tensor in self.stored or tensor.tensor.packing is not None:
            return inner
        if sum(isinstance(c, Span) for c in op.args[1:]) == 2 and len(place.tile.shape) == 2 and self.multiplied(place):
            return inner.having(window=True)
        return inner.having(stream=True) if whole_rows(op.args[1:], tensor, place) and self.streamed(place) else inner

    def multiplied(self, v: Value) -> bool:
        return all((o.name == "dot" and v not in (*o.into, *o.args[2:])) or (o.name == "view" and turned(o) and self.multiplied(o.result))
                   for o in self.readers.get(v, []))

    def streamed(self, v: Value, one_row: bool | None = None) -> bool:
        """Whether maps and reductions alone read it; what is one row may be seen in other shapes and in parts before."""
        one = prod(v.tile.shape[:-1]) == 1 if one_row is None else one_row
        return all(o.name in ELEMENTWISE or (o.name == "view" and one and self.streamed(o.result, one)) for o in self.readers.get(v, []))

    def computed_for(self, store: Op, before: tuple[Op, ...]) -> bool:
        """Whether one map or sum among the ops before computes the whole tile for this store, which could as well stand there."""
        tensor, tile, coordinates = store.args[0], store.args[1], store.args[2:]
        assert isinstance(tensor, Value)
        if not isinstance(tile, Value) or tensor.tensor.packing is not None or not whole_rows(coordinates, tensor, tile):
            return False
        first, *products = self.writers.get(tile) or [store]
        if first not in before or self.readers[tile] != [*products, store] or tile.tile.dtype is not tensor.tensor.dtype:
            return False
        since, loop = before[before.index(first) + 1:], None
        if products:
            loop = served(first, since).get(products[0])
        if (first.name != "map" or products) and loop is None:
            return False
        starts = [x for c in coordinates for x in ((c.start, c.stop) if isinstance(c, Span) else (c,)) if isinstance(x, Value)]
        return not any(o.bodies and o.name not in ELEMENTWISE and o is not loop for o in since) \
            and not any(o.name in MEMORY and o.args[0] is tensor and not (o.name == "store" and apart(o.args[2:], coordinates))
                        for o in walk(Body((), since))) \
            and all(self.at.get(v, -1) < self.place_in_text[first] for v in starts) and tensor not in used_values(first)


def whole_rows(coordinates: tuple[object, ...], tensor: Value, place: Value) -> bool:
    """Whether a tile of rank 1 or 2 has rows that are contiguous in the tensor and in the place."""
    spans = [d for d, c in enumerate(coordinates) if isinstance(c, Span)]
    points = [c for c in coordinates if not isinstance(c, Span)]
    rank = len(place.tile.shape)
    return 0 < rank == len(spans) <= 2 and spans[-1] in tensor.tensor.unit and place.tile.strides[-1] == 1 \
        and all(isinstance(c, Const) or (isinstance(c, Value) and not c.tile.shape) for c in points)


def apart(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    """Whether two places have nothing in common, along a dimension where numbers tell."""
    for a, b in zip(first, second, strict=True):
        if isinstance(a, Span) and isinstance(b, Span) and isinstance(a.start, Const) and isinstance(b.start, Const):
            low, high = sorted((a, b), key=lambda s: s.start.value)  # type: ignore[union-attr]
            if low.start.value + low.extent <= high.start.value:  # type: ignore[union-attr]
                return True
    return False


def turned(op: Op) -> bool:
    """Whether a view is the transpose of its operand."""
    source, result = next(op.uses()).tile, op.result.tile
    return result.shape == source.shape[::-1] and result.strides == source.strides[::-1] and not op.attr("start")
