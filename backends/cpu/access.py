"""Loads, stores and atomics: which element of a tensor each element of a tile is, and when it is inside."""
from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

from dslc.ir import Const, Op, Operand, Span, Value
from dslc.ops.control import access_shape
from dslc.render import Scope, parenthesised
from dslc.types import DTYPES, TensorType, TileType

from .nests import Nest, element, nest, spread


@dataclass
class _Access:
    """One memory op, spelled: per dimension its coordinate and bound, in the loops over the tile's axes."""

    scope: Scope
    name: str
    tensor: TensorType
    shape: tuple[int, ...]
    loops: Nest
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
            at = _word(self, coordinate) if self.tensor.packing and d == self.tensor.packing.axis else coordinate
            parts.append((parenthesised(at) if at is not coordinate else at) if d in self.tensor.unit else f"{parenthesised(at)} * {self.stride(d)}")
        return " + ".join(parts) or "0"

    def inside(self) -> str:
        return self.scope.say("both", self.conditions)


def _access(op: Op, coords: tuple[Operand, ...], scope: Scope, operands: list[tuple[int, ...]], rows: bool) -> _Access:
    """`operands` are the strides of the tile side; `rows` allows the last axis to be moved as one row."""
    tensor = op.args[0]
    assert isinstance(tensor, Value)
    t, shape = tensor.tensor, access_shape(coords)
    axes = list(range(len(shape)))
    last = coords_of_last_axis(coords) if rows and shape and t.packing is None else None
    row = coords[last] if last is not None else None
    loops = nest(shape, axes[:-1] if row is not None else axes, operands, alone=axes)
    a = _Access(scope, scope.name(tensor), t, shape, loops, row=row if isinstance(row, Span) else None, row_dim=last if last is not None else -1)
    gathered = [c.tile.shape for c in coords if isinstance(c, Value) and c.tile.shape]
    gather_rank = max(map(len, gathered), default=0)
    axis, placed = 0, None
    for d, c in enumerate(coords):
        bound = scope.dim(t.dims[d])
        if isinstance(c, Span):
            if c.stop is not None:
                bound = scope.say("least", bound, scope.scalar(c.stop))
            index = "" if d == a.row_dim else loops.coordinate(axis)
            text = _plus(scope.scalar(c.start), index)
            axis += 1
        elif c.tile.shape:
            placed, axis = (axis, axis + gather_rank) if placed is None else (placed, axis)
            text = _index_element(c, scope, loops, placed, shape, gather_rank)
        else:
            text = scope.scalar(c)
        _guard(a, op, d, text, bound)
    return a


def _guard(a: _Access, op: Op, d: int, text: str, bound: str) -> None:
    """Record one coordinate, named if it is more than a word, and the condition that it is inside."""
    proved = d in op.attr("inside", ())
    if d == a.row_dim:
        a.coordinates.append(_named(a, d, text))
        a.row_bound = "" if proved else bound
        return
    a.coordinates.append(_named(a, d, text))
    if not proved:
        a.conditions.append(a.scope.say("within", a.coordinates[-1], bound))


def _named(a: _Access, d: int, text: str) -> str:
    """A coordinate that is written more than once gets a name."""
    if " " not in text and "[" not in text:
        return text
    name = a.scope.fresh(f"{a.name}_{d}")
    a.lets.append(a.scope.say("bind", "index_t", name, text))
    return name


def coords_of_last_axis(coords: tuple[Operand, ...]) -> int | None:
    """The dimension whose span gives the tile's last axis, if a span does."""
    spans = [d for d, c in enumerate(coords) if isinstance(c, Span)]
    tiles = [d for d, c in enumerate(coords) if isinstance(c, Value) and c.tile.shape]
    return spans[-1] if spans and not (tiles and tiles[0] > spans[-1]) else None


def _plus(start: str, index: str) -> str:
    return start if not index or index == "0" else index if start == "0" else f"{parenthesised(start)} + {index}"


def _index_element(c: Operand, scope: Scope, loops: Nest, placed: int, shape: tuple[int, ...], rank: int) -> str:
    assert isinstance(c, Value)
    gathered = shape[placed:placed + rank]
    strides = (0,) * placed + spread(c.tile, gathered) + (0,) * (len(shape) - placed - rank)
    text = element(scope.name(c), loops.terms(strides))
    return text if c.tile.dtype in (DTYPES["index"], DTYPES["i64"]) else scope.say("as_index", text)


# ---------------------------------------------------------------- packed tensors
def _words(a: _Access, axis: int) -> str:
    """Stored words along the packed axis."""
    return a.scope.say("quotient", a.scope.dim(a.tensor.dims[axis]), str(a.tensor.fields))


def _word(a: _Access, p: str) -> str:
    """The word that holds element `p` of the packed axis."""
    packing = a.tensor.packing
    assert packing is not None
    if packing.order == "split":
        return a.scope.say("remainder", p, _words(a, packing.axis))
    return a.scope.say("shifted", p, a.tensor.fields.bit_length() - 1)


def _field(a: _Access) -> str:
    """Which field of its word the element is."""
    packing = a.tensor.packing
    assert packing is not None
    p = a.coordinates[packing.axis]
    if packing.order == "split":
        return a.scope.say("quotient", p, _words(a, packing.axis))
    low = a.scope.say("masked", p, a.tensor.fields - 1)
    if isinstance(packing.order, tuple):
        at = "".join(f"\\x{packing.order.index(e):02x}" for e in range(a.tensor.fields))
        return a.scope.say("looked_up", at, low)
    return low


# ---------------------------------------------------------------- the three kinds of op
def load(op: Op, scope: Scope) -> dict[str, Any]:
    """A row at a time where the tile's last axis is a span of an unpacked tensor, else an element at a time."""
    coords, target = op.args[1:], op.target
    strides = target.tile.strides
    a = _access(op, coords, scope, [strides] if target.tile.shape else [], rows=bool(target.tile.shape) and bool(strides) and strides[-1] == 1)
    pad = scope.literal(Const(op.attr("pad", 0), a.tensor.dtype))
    scalar = not target.tile.shape
    value = f"{a.name}[{a.offset()}]"
    if a.tensor.packing is not None:
        bits = scope.say("get_field", value, _field(a), a.tensor.dtype.bits)
        value = scope.say("field_value", "signed" if a.tensor.dtype.signed else "unsigned", scope.type(a.tensor.dtype), bits)
    terms = a.loops.terms(strides)
    to = f"const {scope.type(target.tile.dtype)} {scope.name(target)}" if scalar else element(scope.name(target), terms)
    context = _row_context(a) if a.row is not None else {"n": "", "start": "", "stop": "", "stride": ""}
    row = " + ".join([parenthesised(scope.name(target)), *terms]) if not scalar else ""
    loops = a.loops.loops(vector=a.row is None)
    return {"kind": "scalar" if scalar else "row" if a.row is not None else "element", "loops": loops, "lets": a.lets, "to": to, "row": row,
            "tensor": a.name, "offset": a.offset(), "inside": a.inside(), "pad": pad, "value": value, **context,
            "window": window(op, scope, a) if op.attr("window") else None}


def window(op: Op, scope: Scope, a: _Access) -> dict[str, Any]:
    """The pointer and strides of a window, and the condition that it lies inside the tensor."""
    coords, name = op.args[1:], scope.name(op.into[0])
    spans = [d for d, c in enumerate(coords) if isinstance(c, Span)]
    conditions, parts = [], []
    for d, c in enumerate(coords):
        start = scope.atom(c.start if isinstance(c, Span) else c)
        if start != "0":
            parts.append(start if d in a.tensor.unit else f"{start} * {a.stride(d)}")
        if d in op.attr("inside", ()):
            continue
        bound = scope.dim(a.tensor.dims[d])
        if isinstance(c, Span):
            bound = scope.say("least", bound, scope.scalar(c.stop)) if c.stop is not None else bound
            conditions.append(scope.say("spans", start, c.extent, bound))
        else:
            conditions.append(scope.say("within", start, bound))
    here = scope.fresh(f"{name}_window")
    scope.windows[op.into[0]] = (here, False)
    return {"name": here, "fits": scope.say("both", conditions) or "true", "at": " + ".join(parts) or "0", "strides": [a.stride(d) for d in spans],
            "home": name, "home_strides": list(op.into[0].tile.strides), "type": scope.type(a.tensor.dtype)}


def _row_context(a: _Access) -> dict[str, Any]:
    """Where a row starts and ends; nothing to clip against when its span is proved inside."""
    assert a.row is not None
    clipped = bool(a.row_bound)
    start = a.coordinates[a.row_dim] if clipped else "0"
    stop = a.row_bound if clipped else str(a.row.extent) if a.conditions else ""
    return {"n": a.row.extent, "start": start, "stop": stop, "stride": a.stride(a.row_dim)}


def store(op: Op, scope: Scope) -> dict[str, Any]:
    """As load; scatters are checked for two elements with one place, packed stores for whole words."""
    value, coords = op.args[1], op.args[2:]
    shape = access_shape(coords)
    is_tile = isinstance(value, Value) and bool(value.tile.shape)
    assert isinstance(value, Value | Const)
    strides = spread(value.tile, shape) if is_tile else (0,) * len(shape)
    a = _access(op, coords, scope, [strides], rows=True)
    checks = _scatter_check(op, coords, scope, a) + _word_checks(op, coords, scope, a)
    offset, terms = a.offset(), a.loops.terms(strides)
    text = element(scope.name(value), terms) if is_tile else scope.scalar(value)  # type: ignore[arg-type]
    to = f"{a.name}[{offset}]"
    if a.tensor.packing is not None:
        text = scope.say("put_field", to, _field(a), a.tensor.dtype.bits, text)
    row = a.row is not None
    constant = None if is_tile or not row else {"name": scope.fresh("value"), "value": text}
    pointer = f"&{constant['name']}" if constant else " + ".join([parenthesised(scope.name(value)), *terms]) if is_tile else ""  # type: ignore[arg-type]
    context = _row_context(a) if row else {"n": "", "start": "", "stop": "", "stride": ""}
    return {"kind": "row" if row else "element", "loops": a.loops.loops(vector=False), "lets": a.lets, "checks": checks, "row": pointer,
            "row_step": strides[-1] if strides else 0, "constant": constant, "type": scope.type(a.tensor.dtype), "tensor": a.name, "offset": offset,
            "inside": a.inside(), "to": to, "value": text, **context}


def _scatter_check(op: Op, coords: tuple[Operand, ...], scope: Scope, a: _Access) -> list[dict[str, Any]]:
    """Offsets of the gathered dimensions alone, and the test that they differ."""
    dims = [d for d, c in enumerate(coords) if isinstance(c, Value) and c.tile.shape]
    if not dims:
        return []
    shapes = [coords[d].tile.shape for d in dims]  # type: ignore[union-attr]
    gathered = access_shape(tuple(coords[d] for d in dims))
    count = prod(gathered)
    assert shapes
    loops = nest(gathered, range(len(gathered)), [], alone=range(len(gathered)))
    keys, lets, conditions, key = scope.fresh("keys"), [], [], ""
    for d in dims:
        text = _index_element(coords[d], scope, loops, 0, gathered, len(gathered))
        name = scope.fresh(f"{a.name}_{d}")
        lets.append(scope.say("bind", "index_t", name, text))
        bound = scope.dim(a.tensor.dims[d])
        conditions.append(scope.say("within", name, bound))
        key = f"({key}) * {bound} + {name}" if key else name
    number = " + ".join(loops.terms(_dense(gathered))) or "0"
    text = scope.say("scatter_keys", keys, loops.loops(vector=False), lets, number, scope.say("both", conditions), key)
    slots = 1 << (2 * count - 1).bit_length()
    status = scope.fails(f"store: one store names an element of {a.name} twice", op)
    return [{"text": text, "condition": scope.say("distinct", keys, count, slots), "status": status}]


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return TileType(DTYPES["index"], shape).strides


def _word_checks(op: Op, coords: tuple[Operand, ...], scope: Scope, a: _Access) -> list[dict[str, Any]]:
    packing = a.tensor.packing
    if packing is None:
        return []
    c, size, fields = coords[packing.axis], scope.dim(a.tensor.dims[packing.axis]), a.tensor.fields
    status = scope.fails(f"store: {a.name} is packed; a store must cover whole words", op)
    if not isinstance(c, Span):
        return [{"text": "", "condition": "false", "status": status}]
    start, end = scope.scalar(c.start), size if c.stop is None else scope.say("least", size, scope.scalar(c.stop))
    if packing.order == "split":
        return [{"text": "", "condition": scope.say("covers", start, c.extent, size, end), "status": status}]
    return [{"text": "", "condition": scope.say("whole_words", start, c.extent, end, fields), "status": status}]


def atomic(op: Op, scope: Scope) -> dict[str, Any]:
    """An element at a time."""
    value, coords = op.args[1], op.args[2:]
    shape = access_shape(coords)
    is_tile = isinstance(value, Value) and bool(value.tile.shape)
    assert isinstance(value, Value | Const)
    strides = spread(value.tile, shape) if is_tile else (0,) * len(shape)
    a = _access(op, coords, scope, [strides], rows=False)
    text = element(scope.name(value), a.loops.terms(strides)) if is_tile else scope.scalar(value)  # type: ignore[arg-type]
    return {"loops": a.loops.loops(vector=False), "lets": a.lets, "inside": a.inside(), "to": f"{a.name}[{a.offset()}]", "value": text,
            "type": scope.type(a.tensor.dtype)}
