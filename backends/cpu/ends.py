"""How much of the operands of a product is multiplied: not what lies past the ends of their tensors, nor what becomes rows and columns that nobody sees."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dslc.ir import Body, Kernel, Op, Operand, Span, Value, walk
from dslc.passes._affine import Facts

from .windows import turned


@dataclass(frozen=True)
class End:
    """Along one axis: the tile begins at `start` of a dimension that has `size` elements (a name or a number)."""

    size: str
    start: Operand


Ends = tuple[End | None, ...]                               # of the axes of a tile, None where there may be something that counts all along
Limits = Mapping[Op, Ends]                                  # for each product: of M, N and K


class Edges:
    """Assumes `windows`.

    limits: for each product, where M, N and K end.  Past the end of K both operands are padded with zeros.  Rows and columns past an end nobody sees: the
    sum goes, by way of maps, to stores alone, which leave them out.
    covered: for each load of a window, its dimensions along which it begins inside and no product goes past the end, so that it need not be padded there.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.readers: dict[Value, list[Op]] = {}
        self.begun: dict[Op, frozenset[int]] = {}            # for each such load, its dimensions along which it does not begin before the first element
        self._begin(kernel.body, Facts(kernel))
        self.loads: dict[Value, tuple[Op, bool]] = {}        # the load of a window for each place, and whether it is seen transposed
        for op in walk(kernel.body):
            for v in set(op.uses()):
                self.readers.setdefault(v, []).append(op)
            if op.name == "load" and op.attr("window"):
                self.loads[op.into[0]] = op, False
            elif op.name == "view" and op.args[0] in self.loads and turned(op):
                load, seen_turned = self.loads[op.args[0]]
                self.loads[op.result] = load, not seen_turned
        dots = [op for op in walk(kernel.body) if op.name == "dot"]
        self.limits: Limits = {op: (*(self._ends(op.into[0], set()) or (None, None)), self._depth(op)) for op in dots}
        self.covered = {load: self.begun[load] & self._covered(load) for load, _ in self.loads.values()}

    def _begin(self, body: Body, facts: Facts) -> None:
        for op in body.ops:
            if op.name in ("for", "while", "if"):
                for n, inner in enumerate(op.bodies):
                    with facts.inside(op, n):
                        self._begin(inner, facts)
            elif op.name == "load" and op.attr("window"):
                self.begun[op] = frozenset(d for d, c in enumerate(op.args[1:]) if isinstance(c, Span) and facts.proves(facts.form(c.start)))
            if not op.into and not op.bodies:               # what tiles hold is of no use here
                facts.visit(op)

    def _depth(self, dot: Op) -> End | None:
        left, right = (self._span(v, axis) for v, axis in zip(dot.args[:2], (1, 0), strict=True))
        return left[1] if left and right and left[1] == right[1] and left[2] == right[2] == 0 else None

    def _span(self, v: Operand, axis: int) -> tuple[int, End, object] | None:
        """The dimension along one axis of an operand, where it ends, and what is found there; None where it is a place or has a bound of its own."""
        if not isinstance(v, Value) or v not in self.loads:
            return None
        load, seen_turned = self.loads[v]
        d, span = [(d, c) for d, c in enumerate(load.args[1:]) if isinstance(c, Span)][1 - axis if seen_turned else axis]
        tensor, inside = load.args[0], load.attr("inside", ())
        assert isinstance(tensor, Value)
        return None if d in inside or span.stop is not None else (d, End(tensor.tensor.dims[d], span.start), load.attr("pad", 0))

    def _covered(self, load: Op) -> frozenset[int]:
        """What every product that reads a load covers."""
        found = [self._covered_by(dot, n) for v, (its, _) in self.loads.items() if its is load for dot in self.readers.get(v, [])
                 if dot.name == "dot" for n in (0, 1) if dot.args[n] is v]
        return frozenset.intersection(*found) if found else frozenset()

    def _covered_by(self, dot: Op, operand: int) -> frozenset[int]:
        others, depth = self.limits[dot][operand], self.limits[dot][2]
        along, across = self._span(dot.args[operand], 1 - operand), self._span(dot.args[operand], operand)
        return frozenset(s[0] for s, end in ((along, depth), (across, others)) if s and end and s[1] == end)

    def _ends(self, place: Value, seen: set[Value]) -> Ends:
        """The ends that all readers of a place have in common; () stands for those of a place that is looked at already."""
        seen.add(place)
        common: Ends = ()
        for op in self.readers.get(place, []):
            if op.name == "dot" and op.args[2:] == op.into and place not in op.args[:2]:
                continue
            if op.name == "map" and op.attr("shape") == place.tile.shape and all(v.tile.shape == place.tile.shape for v in op.into):
                for v in op.into:
                    common = _both(common, self._ends(v, seen) if v not in seen else ())
            else:
                common = _both(common, _stored(op) if op.name == "store" and op.args[1] is place else (None,) * len(place.tile.shape))
        return common


def _both(a: Ends, b: Ends) -> Ends:
    return tuple(x if x == y else None for x, y in zip(a, b, strict=True)) if a and b else a or b


def _stored(store: Op) -> Ends:
    """The ends of what a store leaves out: of spans without a bound of their own, beside points."""
    tensor, tile, coordinates = store.args[0], store.args[1], store.args[2:]
    assert isinstance(tensor, Value) and isinstance(tile, Value)
    inside, spans = store.attr("inside", ()), [c for c in coordinates if isinstance(c, Span)]
    gathered = any(isinstance(c, Value) and c.tile.shape for c in coordinates)
    if gathered or tuple(s.extent for s in spans) != tile.tile.shape:
        return (None,) * len(tile.tile.shape)
    return tuple(End(tensor.tensor.dims[d], c.start) if c.stop is None and d not in inside else None
                 for d, c in enumerate(coordinates) if isinstance(c, Span))
