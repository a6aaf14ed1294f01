"""One access to a tensor, spelled for the C family: its coordinates, when they are inside, and the word and field of a packed element."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from dslc.ir import Op, Operand, Span, Value
from dslc.ops.control import access_shape
from dslc.render import Scope, parenthesised
from dslc.types import TensorType


class Loops(Protocol):
    """The loops that an access stands in."""

    def coordinate(self, axis: int) -> str:
        """The index along an axis of the access, "0" where it does not move."""


@dataclass
class Access:
    """One memory op, spelled: per dimension its coordinate and bound, in the loops over the tile's axes."""

    scope: Scope
    name: str
    tensor: TensorType
    shape: tuple[int, ...]
    lets: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    coordinates: list[str] = field(default_factory=list)
    row: Span | None = None                                 # the span of the last axis, when rows are moved as one
    row_dim: int = -1
    row_bound: str = ""

    def stride(self, d: int) -> str:
        return "1" if d in self.tensor.unit else f"{self.scope.name_of_strides(self.name)}[{d}]"

    def offset(self) -> str:
        """Elements from the tensor's first to this one; packed tensors count words."""
        parts = []
        for d, coordinate in enumerate(self.coordinates):
            if coordinate == "0":
                continue
            at = self.word(coordinate) if self.tensor.packing and d == self.tensor.packing.axis else coordinate
            parts.append((parenthesised(at) if at is not coordinate else at) if d in self.tensor.unit else f"{parenthesised(at)} * {self.stride(d)}")
        return " + ".join(parts) or "0"

    def inside(self) -> str:
        return self.scope.say("both", self.conditions)

    # ------------------------------------------------------------ coordinates
    def guard(self, op: Op, d: int, text: str, bound: str) -> None:
        """Record one coordinate, named if it is more than a word, and the condition that it is inside."""
        proved = d in op.attr("inside", ())
        self.coordinates.append(self.named(d, text))
        if d == self.row_dim:
            self.row_bound = "" if proved else bound
        elif not proved:
            self.conditions.append(self.scope.say("within", self.coordinates[-1], bound))

    def named(self, d: int, text: str) -> str:
        """A coordinate that is written more than once gets a name."""
        if " " not in text and "[" not in text:
            return text
        name = self.scope.fresh(f"{self.name}_{d}")
        self.lets.append(self.scope.say("bind", "index_t", name, text))
        return name

    # ------------------------------------------------------------ packed tensors
    def words(self, axis: int) -> str:
        """Stored words along the packed axis."""
        return self.scope.say("quotient", self.scope.dim(self.tensor.dims[axis]), str(self.tensor.fields))

    def word(self, p: str) -> str:
        """The word that holds element `p` of the packed axis."""
        packing = self.tensor.packing
        assert packing is not None
        if packing.order == "split":
            return self.scope.say("remainder", p, self.words(packing.axis))
        return self.scope.say("shifted", p, self.tensor.fields.bit_length() - 1)

    def field(self) -> str:
        """Which field of its word the element is."""
        packing = self.tensor.packing
        assert packing is not None
        p = self.coordinates[packing.axis]
        if packing.order == "split":
            return self.scope.say("quotient", p, self.words(packing.axis))
        low = self.scope.say("masked", p, self.tensor.fields - 1)
        if isinstance(packing.order, tuple):
            at = "".join(f"\\x{packing.order.index(e):02x}" for e in range(self.tensor.fields))
            return self.scope.say("looked_up", at, low)
        return low

    def loaded(self, value: str) -> str:
        """The element, given the text of its word."""
        if self.tensor.packing is None:
            return value
        bits = self.scope.say("get_field", value, self.field(), self.tensor.dtype.bits)
        return self.scope.say("field_value", "signed" if self.tensor.dtype.signed else "unsigned", self.scope.type(self.tensor.dtype), bits)

    def word_checks(self, op: Op, coords: tuple[Operand, ...]) -> list[dict[str, Any]]:
        """The condition that a packed store covers whole words."""
        packing = self.tensor.packing
        if packing is None:
            return []
        say, scope = self.scope.say, self.scope
        c, size, fields = coords[packing.axis], scope.dim(self.tensor.dims[packing.axis]), self.tensor.fields
        status = scope.fails(f"store: {self.name} is packed; a store must cover whole words", op)
        if not isinstance(c, Span):
            return [{"text": "", "condition": "false", "status": status}]
        start, end = scope.scalar(c.start), size if c.stop is None else say("least", size, scope.scalar(c.stop))
        if packing.order == "split":
            return [{"text": "", "condition": say("covers", start, c.extent, size, end), "status": status}]
        return [{"text": "", "condition": say("whole_words", start, c.extent, end, fields), "status": status}]


def access(op: Op, coords: tuple[Operand, ...], scope: Scope, loops: Loops, index_element: Callable[[Value, int, int], str], rows: bool) -> Access:
    """The access of a memory op.  `rows` allows the last axis to be moved as one row, which then has no loop; `index_element(tile, axis, rank)`
    spells an element of an index tile whose broadcast of that rank stands at that axis.
    """
    tensor = op.args[0]
    assert isinstance(tensor, Value)
    t, shape = tensor.tensor, access_shape(coords)
    last = coords_of_last_axis(coords) if rows and shape and t.packing is None else None
    row = coords[last] if last is not None else None
    a = Access(scope, scope.name(tensor), t, shape, row=row if isinstance(row, Span) else None, row_dim=last if last is not None else -1)
    rank = max((len(c.tile.shape) for c in coords if isinstance(c, Value)), default=0)
    axis, placed = 0, None
    for d, c in enumerate(coords):
        bound = scope.dim(t.dims[d])
        if isinstance(c, Span):
            if c.stop is not None:
                bound = scope.say("least", bound, scope.scalar(c.stop))
            text = plus(scope.scalar(c.start), "" if d == a.row_dim else loops.coordinate(axis))
            axis += 1
        elif c.tile.shape:
            placed, axis = (axis, axis + rank) if placed is None else (placed, axis)
            assert isinstance(c, Value)
            text = index_element(c, placed, rank)
        else:
            text = scope.scalar(c)
        a.guard(op, d, text, bound)
    return a


def coords_of_last_axis(coords: tuple[Operand, ...]) -> int | None:
    """The dimension whose span gives the tile's last axis, if a span does."""
    spans = [d for d, c in enumerate(coords) if isinstance(c, Span)]
    tiles = [d for d, c in enumerate(coords) if isinstance(c, Value) and c.tile.shape]
    return spans[-1] if spans and not (tiles and tiles[0] > spans[-1]) else None


def plus(start: str, index: str) -> str:
    """The text of a sum of which either side may be nothing."""
    return start if not index or index == "0" else index if start == "0" else f"{parenthesised(start)} + {index}"
