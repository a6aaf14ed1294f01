"""What the macros of tile ops are given on machines of many threads: loops over a worker's slots, guards, spelled elements."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dslc.ir import Const, Op, Operand, Value
from dslc.render import Scope

from ..conversion import cast, unsigned
from .access import atomic, load, store
from .bodies import block, guards
from .nests import Notes, Over, registers_of, shared_element
from .reductions import reduction
from .spread import Spread
from .synchronise import footprint
from .tiles import Axes, aligned, is_shared

Context = dict[str, Any]


def describe(op: Op, scope: Scope, own: Mapping[str, Callable[[Op, Scope], Context]]) -> Context:
    """The context of the op's macro; `own` are the descriptions that a target makes itself."""
    return (own.get(op.name) or DESCRIBE[op.name])(op, scope)


def notes_of(scope: Scope) -> Notes:
    notes: Notes = scope.notes["gpu"]
    return notes


# ---------------------------------------------------------------- places
def _alloc(op: Op, scope: Scope) -> Context:
    v, t = op.result, op.result.tile
    assert t.place is not None
    kind = "scalar" if not t.shape else "slot" if t.place.slots > 1 else "shared" if is_shared(v) else "register"
    slots = Spread.parse(op.attr("spread")).slots if kind == "register" else footprint(v) // t.place.slots // t.dtype.bytes if kind == "slot" else 0
    ring, stage = notes_of(scope).rings.get(v, ("", ""))
    return {"type": scope.type(t.dtype), "name": scope.name(v), "kind": kind, "slots": slots, "offset": t.place.offset,
            "shape": " x ".join(map(str, t.shape)) or "scalar", "ring": ring, "stage": stage}


def _view(op: Op, scope: Scope) -> Context:
    (source,), start = op.args, op.attr("start", 0)
    assert isinstance(source, Value)
    name = scope.name(source)
    scope.names[op.result] = f"{name} + {start}" if start else name
    return {}


# ---------------------------------------------------------------- elementwise
def over_of(op: Op, scope: Scope, operands: Iterable[tuple[Operand, Axes]], shape: tuple[int, ...], needed: Iterable[int] = ()) -> Over:
    """The op's iteration space, with an index for every axis that a shared operand moves along."""
    rows = list(operands)
    wanted = set(needed)
    for v, axes in rows:
        if isinstance(v, Value) and v.tile.shape and is_shared(v):
            wanted |= {a for a, n, s in zip(axes, v.tile.shape, v.tile.strides, strict=True) if a is not None and n > 1 and s}
    return Over(scope, Spread.parse(op.attr("over")), shape, registers_of(notes_of(scope), rows), wanted)


def _elements(op: Op, scope: Scope) -> Context:
    """copy, full, and shape ops that are no views: every element of the target from the operand."""
    arg = op.args[0]
    if op.results:
        element = scope.scalar(arg) if not (isinstance(arg, Value) and arg.tile.shape) else _first(arg, scope)
        return {"loops": [], "guards": [], "to": f"const {scope.type(op.result.tile.dtype)} {scope.name(op.result)}", "value": element}
    (into,) = op.into
    shape = into.tile.shape
    if not shape:
        return {"loops": [], "guards": [], "to": scope.name(into), "value": scope.scalar(arg) if not arg.tile.shape else _first(arg, scope)}  # type: ignore
    here: Axes = tuple(range(len(shape)))
    rows: list[tuple[Operand, Axes]] = [(into, here)]
    rows += [(arg, aligned(arg.tile.shape, shape))] if isinstance(arg, Value) and arg.tile.shape else []
    over = over_of(op, scope, rows, shape)
    return {"loops": over.loops(), "guards": guards(over, [into]), "to": over.element(into, here), "value": over.element(arg)}


def _first(v: Value, scope: Scope) -> str:
    """The one element of a place of one element."""
    return shared_element(scope, v, "0") if is_shared(v) else f"{scope.name(notes_of(scope).table[v].place)}[0]"


def _iota(op: Op, scope: Scope) -> Context:
    (into,) = op.into
    over = over_of(op, scope, [(into, (0,))], into.tile.shape, (0,))
    return {"loops": over.loops(), "guards": guards(over, [into]), "to": over.element(into, (0,)), "value": over.coordinate(0)}


def _concat(op: Op, scope: Scope) -> Context:
    (into,), axis, start, parts = op.into, op.attr("axis") % len(op.into[0].tile.shape), 0, []
    over_all = Spread.parse(op.attr("over"))
    for part in op.args:
        assert isinstance(part, Value)
        shape = part.tile.shape
        over = Over(scope, over_all, shape, [], range(len(shape)))
        at = over.index(shape, tuple(range(len(shape))), into.tile.strides)
        shift = start * into.tile.strides[axis]
        to = f"{at} + {shift}" if shift and at != "0" else str(shift) if shift else at
        parts.append({"loops": over.loops(), "guards": guards(over, [into]), "to": shared_element(scope, into, to),
                      "value": over.element(part, tuple(range(len(shape))))})
        start += shape[axis]
    return {"parts": parts}


def _map(op: Op, scope: Scope) -> Context:
    shape, (body,) = op.attr("shape"), op.bodies
    inputs = [v for v in op.args if isinstance(v, Value)]
    here: Axes = tuple(range(len(shape)))
    rows: list[tuple[Operand, Axes]] = [*((v, aligned(v.tile.shape, shape)) for v in inputs), *((v, here) for v in op.into)]
    over = over_of(op, scope, rows, shape, {o.attr("axis") for o in body.ops if o.name == "coordinate"})
    lines, values = block(scope, body, inputs, [over.element(v) for v in inputs], over.coordinate)
    writes = [scope.say("assign", over.element(v, here), value) for v, value in zip(op.into, values, strict=True)]
    return {"loops": over.loops(), "guards": guards(over, op.into), "body": lines, "writes": writes}


# ---------------------------------------------------------------- scans, lookup, bit fields: operands that every worker can read
def _cumsum(op: Op, scope: Scope) -> Context:
    (x,), (into,) = op.args, op.into
    assert isinstance(x, Value)
    t, axis = x.tile, op.attr("axis") % len(x.tile.shape)
    # A worker walks the whole axis: lines are spread, the axis is serial.
    lines_ = tuple(1 if a == axis else n for a, n in enumerate(t.shape))
    over = Over(scope, Spread.parse(op.attr("over")).keep(a for a in range(len(lines_)) if a != axis), lines_, [], range(len(lines_)))
    here: Axes = tuple(None if a == axis else a for a in range(len(lines_)))

    def at(v: Value) -> str:
        offset = over.index(v.tile.shape, here, v.tile.strides)
        step = scope.say("times", "e", v.tile.strides[axis])
        return shared_element(scope, v, step if offset == "0" else f"{offset} + {step}")

    return {"loops": over.loops(), "guards": guards(over, [into]), "n": t.shape[axis], "type": scope.type(t.dtype), "running": scope.fresh("running"),
            "to": at(into), "value": at(x)}


def _segment_sum(op: Op, scope: Scope) -> Context:
    (x, segment), (into,) = op.args, op.into
    assert isinstance(x, Value) and isinstance(segment, Value)
    shape = into.tile.shape
    here: Axes = tuple(range(len(shape)))
    over = over_of(op, scope, [(into, here)], shape, range(len(shape)))
    rest = over.index(x.tile.shape, (None, *here[1:]), x.tile.strides)
    row = scope.say("times", "e", x.tile.strides[0])
    return {"loops": over.loops(), "guards": guards(over, [into]), "rows": x.tile.shape[0], "to": over.element(into, here), "type": scope.type(into.tile.dtype),
            "total": scope.fresh("total"), "segment": shared_element(scope, segment, scope.say("times", "e", segment.tile.strides[0])),
            "mine": over.coordinate(0), "value": shared_element(scope, x, row if rest == "0" else f"{row} + {rest}")}


def _take(op: Op, scope: Scope) -> Context:
    table, index = op.args
    assert isinstance(table, Value) and isinstance(index, Value | Const)
    target = op.target
    shape, rank = target.tile.shape, len(index.tile.shape)
    here: Axes = tuple(range(len(shape)))
    over = over_of(op, scope, [(target, here)] if op.into else [], shape, range(len(shape)))
    row = scope.fresh("row")
    rest = over.index(table.tile.shape, (None, *here[rank:]), table.tile.strides)
    at = scope.say("times", row, table.tile.strides[0])
    narrow = target.tile.dtype.kind == "f" and target.tile.dtype.bits < 32
    where = over.element(index, here[:rank])
    to = over.element(target, here) if shape else f"const {scope.type(target.tile.dtype)} {scope.name(target)}"
    return {"loops": over.loops(), "guards": guards(over, op.into), "row": row, "index": where, "n": table.tile.shape[0], "to": to,
            "value": shared_element(scope, table, at if rest == "0" else f"{at} + {rest}"), "zero": scope.say("zero", scope.type(target.tile.dtype), narrow)}


def _unpack(op: Op, scope: Scope) -> Context:
    (x,), (into,) = op.args, op.into
    assert isinstance(x, Value)
    t, dtype, shape = x.tile, op.attr("dtype"), into.tile.shape
    n, words = t.dtype.bits // dtype.bits, t.shape[-1]
    here: Axes = tuple(range(len(shape)))
    over = over_of(op, scope, [(into, here)], shape, range(len(shape)))
    last = over.coordinate(len(shape) - 1)
    split = op.attr("order") == "split"
    word = scope.say("remainder", last, str(words)) if split else scope.say("quotient", last, str(n))
    rest = over.index(t.shape[:-1], here[:-1], t.strides[:-1])
    at = scope.say("times", word, t.strides[-1])
    kind = "bool" if dtype.kind == "b" else "signed" if dtype.name == "i4" else "unsigned"
    field = scope.say("quotient", last, str(words)) if split else scope.say("remainder", last, str(n))
    text = shared_element(scope, x, at if rest == "0" else f"{rest} + {at}")
    return {"loops": over.loops(), "guards": guards(over, [into]), "to": over.element(into, here), "word": text, "type": scope.type(dtype), "field": field,
            "width": dtype.bits, "kind": kind, "of": scope.type(unsigned(t.dtype))}


def _pack(op: Op, scope: Scope) -> Context:
    (x,), (into,) = op.args, op.into
    assert isinstance(x, Value)
    t, dtype, shape = x.tile, op.attr("dtype"), into.tile.shape
    n = dtype.bits // t.dtype.bits
    here: Axes = tuple(range(len(shape)))
    over = over_of(op, scope, [(into, here)], shape, range(len(shape)))
    last = over.coordinate(len(shape) - 1)
    e = scope.say("plus", last, scope.say("times", "e", shape[-1])) if op.attr("order") == "split" else scope.say("plus", scope.say("times", last, n), "e")
    rest = over.index(t.shape[:-1], here[:-1], t.strides[:-1])
    at = scope.say("times", e, t.strides[-1])
    return {"loops": over.loops(), "guards": guards(over, [into]), "word": scope.fresh("word"), "type": scope.type(unsigned(dtype)), "n": n,
            "width": t.dtype.bits, "to": over.element(into, here), "value": shared_element(scope, x, at if rest == "0" else f"{rest} + {at}")}




DESCRIBE: dict[str, Callable[[Op, Scope], Context]] = {
    "alloc": _alloc, "view": _view, "barrier": lambda _op, scope: {"sync": notes_of(scope).sync}, "copy": _elements, "full": _elements,
    "broadcast": _elements, "transpose": _elements, "reshape": _elements, "split": _elements, "iota": _iota, "concat": _concat,
    "map": _map, "cumsum": _cumsum, "segment_sum": _segment_sum, "take": _take, "pack": _pack, "unpack": _unpack, "cast": cast, "load": load, "store": store,
    **dict.fromkeys(("sum", "max", "min", "argmax", "argmin"), reduction), **dict.fromkeys(("atomic_add", "atomic_min", "atomic_max"), atomic)}
