"""Loads, stores and atomics: which element of a tensor each element of a tile is, and when it is inside."""
from __future__ import annotations

from math import prod
from typing import Any

from dslc.ir import Const, Op, Operand, Span, Value
from dslc.ops.control import access_shape
from dslc.render import Scope, parenthesised
from dslc.types import DTYPES, TileType

from ..common.access import Access, access, coords_of_last_axis, plus
from .nests import Nest, element, nest, spread


def _access(op: Op, coords: tuple[Operand, ...], scope: Scope, operands: list[tuple[int, ...]], rows: bool) -> tuple[Access, Nest]:
    """`operands` are the strides of the tile side; `rows` allows the last axis to be moved as one row."""
    tensor, shape = op.args[0], access_shape(coords)
    assert isinstance(tensor, Value)
    axes = list(range(len(shape)))
    row = coords_of_last_axis(coords) if rows and shape and tensor.tensor.packing is None else None
    loops = nest(shape, axes[:-1] if row is not None else axes, operands, alone=axes)
    return access(op, coords, scope, loops, lambda c, at, rank: _index_element(c, scope, loops, at, shape, rank), rows), loops


def _index_element(c: Value, scope: Scope, loops: Nest, placed: int, shape: tuple[int, ...], rank: int) -> str:
    gathered = shape[placed:placed + rank]
    strides = (0,) * placed + spread(c.tile, gathered) + (0,) * (len(shape) - placed - rank)
    text = element(scope.name(c), loops.terms(strides))
    return text if c.tile.dtype in (DTYPES["index"], DTYPES["i64"]) else scope.say("as_index", text)


# ---------------------------------------------------------------- the three kinds of op
def load(op: Op, scope: Scope) -> dict[str, Any]:
    """A row at a time where the tile's last axis is a span of an unpacked tensor, else an element at a time."""
    coords, target = op.args[1:], op.target
    strides = target.tile.strides
    a, around = _access(op, coords, scope, [strides] if target.tile.shape else [], rows=bool(target.tile.shape) and bool(strides) and strides[-1] == 1)
    pad = scope.literal(Const(op.attr("pad", 0), a.tensor.dtype))
    scalar = not target.tile.shape
    value = a.loaded(f"{a.name}[{a.offset()}]")
    terms = around.terms(strides)
    to = f"const {scope.type(target.tile.dtype)} {scope.name(target)}" if scalar else element(scope.name(target), terms)
    context = _row_context(a) if a.row is not None else {"n": "", "start": "", "stop": "", "stride": ""}
    row = " + ".join([parenthesised(scope.name(target)), *terms]) if not scalar else ""
    loops = around.loops(vector=a.row is None)
    return {"kind": "scalar" if scalar else "row" if a.row is not None else "element", "loops": loops, "lets": a.lets, "to": to, "row": row,
            "tensor": a.name, "offset": a.offset(), "inside": a.inside(), "pad": pad, "value": value, **context,
            "window": window(op, scope, a) if op.attr("window") else None, "stream": streamed(op, op.into[0], coords, scope, a) if op.attr("stream") else None}


def _box(op: Op, coords: tuple[Operand, ...], scope: Scope, a: Access, covered: frozenset[int] = frozenset()) -> tuple[str, list[str], list[str]]:
    """The offset of a box of spans and points in its tensor, and the conditions that its spans, but for those covered, and its points are inside."""
    spans, points, parts = [], [], []
    for d, c in enumerate(coords):
        start = scope.atom(c.start if isinstance(c, Span) else c)
        if start != "0":
            parts.append(start if d in a.tensor.unit else f"{start} * {a.stride(d)}")
        if d in op.attr("inside", ()) or d in covered:
            continue
        bound = scope.dim(a.tensor.dims[d])
        if isinstance(c, Span):
            bound = scope.say("least", bound, scope.scalar(c.stop)) if c.stop is not None else bound
            spans.append(scope.say("spans", start, c.extent, bound))
        else:
            points.append(scope.say("within", start, bound))
    return " + ".join(parts) or "0", spans, points


def window(op: Op, scope: Scope, a: Access) -> dict[str, Any]:
    """The pointer and strides of a window, and the condition that it lies inside the tensor; the panels that have it, if the launcher made some."""
    coords, name = op.args[1:], scope.name(op.into[0])
    at, conditions, points = _box(op, coords, scope, a, scope.notes["edges"].covered[op])
    here = scope.fresh(f"{name}_window")
    scope.windows[op.into[0]] = here, False
    return {"name": here, "fits": scope.say("both", conditions + points) or "true", "at": at,
            "strides": [a.stride(d) for d, c in enumerate(coords) if isinstance(c, Span)],
            "home": name, "home_strides": list(op.into[0].tile.strides), "type": scope.type(a.tensor.dtype),
            "panels": _from_panels(op, coords, points, scope, a)}


def streamed(op: Op, place: Value, coords: tuple[Operand, ...], scope: Scope, a: Access) -> dict[str, Any]:
    """Where the rows of a tile stand: in the tensor if all of it lies inside, at home otherwise.  From here on the place goes by that name."""
    home = scope.name(place)
    at, spans, points = _box(op, coords, scope, a)
    pointer, row = scope.fresh(f"{home}_at"), ""
    rows = [d for d, c in enumerate(coords) if isinstance(c, Span)]
    if len(rows) == 2:
        row = scope.notes["row"][place] = scope.fresh(f"{home}_row")
    scope.names[place] = pointer
    if op.name == "load" and prod(place.tile.shape[:-1]) == 1:
        scope.notes["beside"][pointer] = [_same_place(v, coords, scope) for v in scope.notes["results"] if v.tensor.dims == a.tensor.dims]
    return {"pointer": pointer, "row": row, "fits": scope.say("both", spans + points) or "true", "at": at, "stride": a.stride(rows[0]), "home": home,
            "home_row": place.tile.strides[0], "type": ("const " if op.name == "load" else "") + scope.type(a.tensor.dtype), "target": a.name}


def _same_place(tensor: Value, coords: tuple[Operand, ...], scope: Scope) -> str:
    """A pointer to what spans and points name in another tensor."""
    name, unit = scope.name(tensor), tensor.tensor.unit
    starts = [(d, scope.atom(c.start if isinstance(c, Span) else c)) for d, c in enumerate(coords)]
    return " + ".join([name, *(s if d in unit else f"{s} * {scope.name_of_strides(name)}[{d}]" for d, s in starts if s != "0")])


def _from_panels(op: Op, coords: tuple[Operand, ...], points: list[str], scope: Scope, a: Access) -> dict[str, Any] | None:
    """The condition that panels have a tile, and where."""
    p = scope.notes["panels"].get(op)
    if p is None:
        return None
    row, k = (scope.atom(coords[d].start) for d in (p.rows, p.depth))
    number = ""
    for d, c in enumerate(coords):
        if not isinstance(c, Span):
            number = plus(f"{parenthesised(number)} * {scope.dim(a.tensor.dims[d])}", scope.atom(c)) if number else scope.atom(c)
    return {"fits": scope.say("both", [*points, scope.say("panels_hold", p.name, p.tile, row, k)]), "name": p.name, "number": number or "0", "row": row, "k": k}


def _row_context(a: Access) -> dict[str, Any]:
    """Where a row starts and ends; nothing to clip against when its span is proved inside."""
    assert a.row is not None
    clipped = bool(a.row_bound)
    start = a.coordinates[a.row_dim] if clipped else "0"
    stop = a.row_bound if clipped else str(a.row.extent) if a.conditions else ""
    return {"n": a.row.extent, "start": start, "stop": stop, "stride": a.stride(a.row_dim)}


def outlet(op: Op, scope: Scope) -> dict[str, Any]:
    """Where the tile of a store can be computed right away."""
    coords, place = op.args[2:], op.args[1]
    assert isinstance(place, Value)
    a, _ = _access(op, coords, scope, [place.tile.strides], rows=True)
    scope.notes["homes"][place] = scope.name(place)
    return streamed(op, place, coords, scope, a)


def store(op: Op, scope: Scope) -> dict[str, Any]:
    """As load; scatters are checked for two elements with one place, packed stores for whole words."""
    value, coords = op.args[1], op.args[2:]
    shape = access_shape(coords)
    is_tile = isinstance(value, Value) and bool(value.tile.shape)
    assert isinstance(value, Value | Const)
    strides = spread(value.tile, shape) if is_tile else (0,) * len(shape)
    a, around = _access(op, coords, scope, [strides], rows=True)
    checks = _scatter_check(op, coords, scope, a) + a.word_checks(op, coords)
    offset, terms = a.offset(), around.terms(strides)
    here = scope.name(value) if isinstance(value, Value) and is_tile else ""
    home = scope.notes["homes"].get(value, here)
    text = element(home, terms) if is_tile else scope.scalar(value)
    to = f"{a.name}[{offset}]"
    if a.tensor.packing is not None:
        text = scope.say("put_field", to, a.field(), a.tensor.dtype.bits, text)
    row = a.row is not None
    constant = None if is_tile or not row else {"name": scope.fresh("value"), "value": text}
    pointer = f"&{constant['name']}" if constant else " + ".join([parenthesised(home), *terms]) if is_tile else ""
    context = _row_context(a) if row else {"n": "", "start": "", "stop": "", "stride": ""}
    return {"kind": "row" if row else "element", "loops": around.loops(vector=False), "lets": a.lets, "checks": checks, "row": pointer,
            "row_step": strides[-1] if strides else 0, "constant": constant, "type": scope.type(a.tensor.dtype), "tensor": a.name, "offset": offset,
            "inside": a.inside(), "to": to, "value": text, **context,
            "stream": {"here": here, "home": home, "whole": not a.conditions and not a.row_bound} if op.attr("stream") else None}


def _scatter_check(op: Op, coords: tuple[Operand, ...], scope: Scope, a: Access) -> list[dict[str, Any]]:
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
        index = coords[d]
        assert isinstance(index, Value)
        text = _index_element(index, scope, loops, 0, gathered, len(gathered))
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


def atomic(op: Op, scope: Scope) -> dict[str, Any]:
    """An element at a time."""
    value, coords = op.args[1], op.args[2:]
    shape = access_shape(coords)
    is_tile = isinstance(value, Value) and bool(value.tile.shape)
    assert isinstance(value, Value | Const)
    strides = spread(value.tile, shape) if is_tile else (0,) * len(shape)
    a, around = _access(op, coords, scope, [strides], rows=False)
    text = element(scope.name(value), around.terms(strides)) if is_tile else scope.scalar(value)  # type: ignore[arg-type]
    return {"loops": around.loops(vector=False), "lets": a.lets, "inside": a.inside(), "to": f"{a.name}[{a.offset()}]", "value": text,
            "type": scope.type(a.tensor.dtype)}
