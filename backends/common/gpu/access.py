"""Loads, stores and atomics of one worker: runs of neighbours where the last axis allows, else element by element."""
from __future__ import annotations

from typing import Any

from dslc.ir import Const, Op, Operand, Span, Value
from dslc.ops.control import access_shape
from dslc.render import Scope
from dslc.types import DTYPES, TensorType

from ..access import Access, access, coords_of_last_axis
from .nests import Notes, Over, registers_of, shared_element
from .spread import Spread
from .tiles import Axes, aligned, is_shared, space_of

Context = dict[str, Any]


def _index_element(over: Over, scope: Scope) -> Any:
    def spell(c: Value, at: int, rank: int) -> str:
        lead = rank - len(c.tile.shape)
        axes = tuple(at + lead + n if m > 1 else None for n, m in enumerate(c.tile.shape))
        text = over.element(c, axes)
        return text if c.tile.dtype in (DTYPES["index"], DTYPES["i64"]) else scope.say("as_index", text)

    return spell


def _space(op: Op, scope: Scope, coords: tuple[Operand, ...], others: list[tuple[Operand, Axes]], vector: int = 1) -> Over:
    shape = access_shape(coords)
    notes: Notes = scope.notes["gpu"]
    tiles = [c for c in coords if isinstance(c, Value) and c.tile.shape]
    rank = max((len(c.tile.shape) for c in tiles), default=0)
    first = next((n for n, c in enumerate(coords) if isinstance(c, Value) and c.tile.shape), 0)
    at = sum(isinstance(c, Span) for c in coords[:first])
    rows = [*others, *((c, tuple(at + rank - len(c.tile.shape) + n if m > 1 else None for n, m in enumerate(c.tile.shape))) for c in tiles)]
    return Over(scope, Spread.parse(op.attr("over")), shape, registers_of(notes, rows), range(len(shape)), vector=vector)


def run_length(op: Op, coords: tuple[Operand, ...], tensor: TensorType, spread: Spread, moved: Value | None) -> int:
    """Neighbours that a worker moves at once: its innermost slots along the last axis, where tensor and tile have them side by side."""
    last = coords_of_last_axis(coords)
    shape = access_shape(coords)
    if last is None or tensor.packing is not None or last not in tensor.unit or moved is None or moved.tile.shape != shape or moved.tile.dtype != tensor.dtype:
        return 1
    digits = [d for d in spread.slot_digits() if d[0] == len(shape) - 1 and d[2] == 1]
    if not digits or shape[-1] % digits[0][1] or tensor.dtype.bits < 8:
        return 1
    place = moved.tile.place
    if is_shared(moved):
        assert place is not None
        even = moved.tile.strides[-1] == 1 and all(s % digits[0][1] == 0 for s in moved.tile.strides[:-1])
        return digits[0][1] if even and (place.layout.swizzle is None or (1 << place.layout.swizzle[1]) % digits[0][1] == 0) else 1
    return digits[0][1] if digits[0][3] == 1 else 1


def load(op: Op, scope: Scope) -> Context:
    """Runs of the last axis, clipped to the tensor; else element by element."""
    coords, target, (tensor, *_) = op.args[1:], op.target, op.args
    assert isinstance(tensor, Value)
    t = tensor.tensor
    pad = scope.literal(Const(op.attr("pad", 0), t.dtype))
    if not target.tile.shape:
        over = Over(scope, Spread((), 1), (), [])
        a = access(op, coords, scope, over, _index_element(over, scope), rows=False)
        return {"kind": "scalar", "loops": [], "guards": [], "lets": a.lets, "to": f"const {scope.type(target.tile.dtype)} {scope.name(target)}",
                "inside": a.inside(), "pad": pad, "value": a.loaded(_element(a)), **_NO_RUN}
    spread, here = Spread.parse(op.attr("over")), tuple(range(len(target.tile.shape)))
    run = run_length(op, coords, t, spread, target)
    over = _space(op, scope, coords, [(target, here)], vector=run)
    a = access(op, coords, scope, over, _index_element(over, scope), rows=False)
    to, guards = over.element(target, here), over.guards(replicas=is_shared(target))
    kind = "ahead" if op.attr("ahead") else "run" if run > 1 else "element"
    context = {"kind": kind, "loops": over.loops(), "guards": guards, "lets": a.lets, "to": to, "pad": pad}
    if run == 1:
        return {**context, "inside": a.inside(), "value": a.loaded(_element(a)), **_NO_RUN}
    return {**context, "inside": "", "value": "", "to": over.pointer(target, here), **_run_context(a, op, coords, run, t, is_shared(target))}


_NO_RUN = {"run": 1, "from": "", "count": "", "aligned": False, "shared": False}


def _element(a: Access) -> str:
    """The element, or the word that it is a field of, in its own type: a template would not see through what a subscript gives."""
    text = f"{a.name}[{a.offset()}]"
    return text if a.tensor.packing is None else a.scope.say("converted", a.scope.type(a.tensor.packing.word), text)


def _run_context(a: Access, op: Op, coords: tuple[Operand, ...], run: int, t: TensorType, shared: bool) -> Context:
    """The pointer to a run's first element, and how many of it are inside: nothing to count if all are."""
    last = coords_of_last_axis(coords)
    assert last is not None
    span = coords[last]
    assert isinstance(span, Span)
    clipped = last not in op.attr("inside", ())
    bound = a.scope.dim(t.dims[last])
    if span.stop is not None:
        bound = a.scope.say("least", bound, a.scope.scalar(span.stop))
    others = [c for c in a.conditions if c != a.scope.say("within", a.coordinates[last], bound)]
    inside = a.scope.say("both", others)
    count = ""
    if clipped or others:
        count = a.scope.say("run_inside", inside, a.coordinates[last] if clipped else "", bound, run)
    even = op.attr("even", 0) % run == 0 and op.attr("even", 0) > 0     # the largest power of two known to divide the row's start
    return {"run": run, "from": f"{a.name} + {a.offset()}", "count": count, "aligned": t.aligned and even and run > 1, "shared": shared}


def can_copy(op: Op, least: int = 4) -> bool:
    """Whether a load's runs can go from the tensor to its shared place unseen by workers: side by side in both, aligned, padded with zeros, and of
    `least` bytes or more.
    """
    tensor, (target,) = op.args[0], op.into
    assert isinstance(tensor, Value)
    run = run_length(op, op.args[1:], tensor.tensor, Spread.parse(op.attr("over")), target)
    even = op.attr("even", 0)
    return run > 1 and run * target.tile.dtype.bytes >= least and tensor.tensor.aligned and even > 0 and even % run == 0 and op.attr("pad", 0) == 0


def store(op: Op, scope: Scope) -> Context:
    """As load."""
    value, coords, tensor = op.args[1], op.args[2:], op.args[0]
    assert isinstance(tensor, Value) and isinstance(value, Value | Const)
    if tensor.tensor.packing is not None:
        return _store_packed(op, scope, value, coords, tensor.tensor)
    shape = space_of(op)
    tile = value if isinstance(value, Value) and value.tile.shape else None
    axes = aligned(tile.tile.shape, shape) if tile is not None else ()
    if not shape:
        over = Over(scope, Spread((), scope.notes["gpu"].workers), (), [])
        run = 1
    else:
        run = run_length(op, coords, tensor.tensor, Spread.parse(op.attr("over")), tile)
        over = _space(op, scope, coords, [(tile, axes)] if tile is not None else [], vector=run)
    a = access(op, coords, scope, over, _index_element(over, scope), rows=False)
    text = over.element(tile, axes) if tile is not None else scope.scalar(value)
    context = {"kind": "run" if run > 1 else "element", "loops": over.loops(), "guards": over.guards(replicas=True), "lets": a.lets, "checks": [],
               "value": text}
    if run == 1:
        return {**context, "inside": a.inside(), "to": f"{a.name}[{a.offset()}]", **_NO_RUN, "fields": None}
    assert tile is not None
    context["value"] = over.pointer(tile, axes)
    return {**context, "inside": "", "to": "", **_run_context(a, op, coords, run, tensor.tensor, is_shared(tile)), "fields": None}


def _store_packed(op: Op, scope: Scope, value: Value | Const, coords: tuple[Operand, ...], t: TensorType) -> Context:
    """Word by word: one worker makes all fields of a word."""
    assert t.packing is not None
    before = coords[:t.packing.axis]                         # which give the axes of the tile before the packed one
    gathered = max((len(c.tile.shape) for c in before if isinstance(c, Value)), default=0)
    shape, p = space_of(op), sum(isinstance(c, Span) for c in before) + gathered
    over = _space(op, scope, coords, [])
    a = access(op, coords, scope, over, _index_element(over, scope), rows=False)
    checks = a.word_checks(op, coords)
    # The word of this worker is the one that holds its element; the worker whose element is the word's first field writes it.
    element, order = a.coordinates[t.packing.axis], t.packing.order
    first = a.field() if order == "split" else scope.say("masked", element, t.fields - 1)
    step = scope.say("times", a.words(t.packing.axis), "e") if order == "split" else "e"
    if isinstance(order, tuple):
        step = scope.say("looked_up", "".join(f"\\x{e:02x}" for e in order), "e")
    at = scope.say("plus", over.coordinate(p), step)
    text = scope.scalar(value)
    if isinstance(value, Value) and value.tile.shape:
        strides = list(value.tile.strides)
        parts = [scope.say("times", over.coordinate(n), s) for n, s in enumerate(strides) if n != p and s and shape[n] > 1]
        parts.append(scope.say("times", at, strides[p]))
        text = shared_element(scope, value, " + ".join(t for t in parts if t != "0") or "0")
    fields = {"n": t.fields, "width": t.dtype.bits, "first": first, "word": scope.fresh("word"), "type": scope.type(t.packing.word)}
    return {"kind": "packed", "loops": over.loops(), "guards": over.guards(replicas=True), "lets": a.lets, "checks": checks, "value": text,
            "inside": a.inside(), "to": f"{a.name}[{a.offset()}]", **_NO_RUN, "fields": fields}


def atomic(op: Op, scope: Scope) -> Context:
    """Element by element; one worker for each."""
    value, coords, tensor = op.args[1], op.args[2:], op.args[0]
    assert isinstance(tensor, Value) and isinstance(value, Value | Const)
    shape = space_of(op)
    tile = value if isinstance(value, Value) and value.tile.shape else None
    axes = aligned(tile.tile.shape, shape) if tile is not None else ()
    rows: list[tuple[Operand, Axes]] = [(tile, axes)] if tile is not None else []
    over = _space(op, scope, coords, rows) if shape else Over(scope, Spread((), scope.notes["gpu"].workers), (), [])
    a = access(op, coords, scope, over, _index_element(over, scope), rows=False)
    text = over.element(tile, axes) if tile is not None else scope.scalar(value)
    return {"loops": over.loops(), "guards": over.guards(replicas=True), "lets": a.lets, "inside": a.inside(), "at": f"{a.name} + {a.offset()}", "value": text,
            "type": scope.type(tensor.tensor.dtype)}
