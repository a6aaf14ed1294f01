"""What the macros of tile ops are given: loops, operand expressions, sizes.  Every decision is here, every word of C++ in ops.j2."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from dslc.ir import Op, Operand, Value
from dslc.render import Scope
from dslc.types import TileType, broadcast_shapes

from ..common.conversion import cast, unsigned
from .access import atomic, load, outlet, store
from .bits import counted, of_pairs
from .fields import expansion
from .interleave import LANES, turns
from .nests import AXIS_NAME, ELEMENT_NAME, LANE_NAME, Nest, block, element, nest, spread, term

Context = dict[str, Any]
LEAST_PAST = 2048   # bytes of a row below which its ends, which are written as usual, would be a large part of it


def describe(op: Op, scope: Scope) -> Context:
    """The context of the op's macro."""
    return DESCRIBE[op.name](op, scope)


def _place(v: Operand) -> TileType:
    assert isinstance(v, Value)
    return v.tile


def _name(v: Operand, scope: Scope) -> str:
    assert isinstance(v, Value)
    return scope.name(v)


def _source(arg: Operand, scope: Scope, terms: list[str]) -> str:
    """One element of an operand that may be a scalar."""
    if isinstance(arg, Value) and arg.tile.shape:
        return element(scope.name(arg), terms)
    return scope.scalar(arg)


# ---------------------------------------------------------------- places
def _alloc(op: Op, scope: Scope) -> Context:
    t = op.result.tile
    assert t.place is not None
    offset = None if not t.shape else scope.bases[t.place.space] + (t.place.offset or 0)
    return {"type": scope.type(t.dtype), "name": scope.name(op.result), "offset": offset, "shape": " x ".join(map(str, t.shape)) or "scalar",
            "needed": op.result not in scope.notes["unused"], "single": op.result in scope.notes["single"]}


def _view(op: Op, scope: Scope) -> Context:
    (source,), start = op.args, op.attr("start", 0)
    name = _name(source, scope)
    if source in scope.windows:
        here, turned = scope.windows[source]
        scope.windows[op.result] = (here, not turned)
    scope.names[op.result] = f"{name} + {start}" if start else name
    return {}


def _elements(op: Op, scope: Scope) -> Context:
    """copy, full and what a shape op becomes when it cannot be a view: every element of `into` from the operand."""
    if op.results:                                          # to a scalar: from a place of one element, or a saved scalar
        value = _source(op.args[0], scope, [])
        return {"loops": [], "to": f"const {scope.type(op.result.tile.dtype)} {scope.name(op.result)}", "value": value}
    (into,), arg = op.into, op.args[0]
    shape = into.tile.shape
    if not shape:
        return {"loops": [], "to": scope.name(into), "value": _source(arg, scope, [])}
    strides, steps = spread(arg.tile, shape) if isinstance(arg, Value) and arg.tile.shape else (0,) * len(shape), _steps(into, shape, scope)
    n = nest(shape, range(len(shape)), [steps, strides])
    return {"loops": n.loops(), "to": element(scope.name(into), n.terms(steps)), "value": _source(arg, scope, n.terms(strides))}


def _full(op: Op, scope: Scope) -> Context:
    """Zeros that only a loop of products adds to count if that loop makes no trip."""
    loop = scope.notes["begun"].get(op)
    idle = scope.say("makes_no_trip", scope.atom(loop.args[0]), scope.atom(loop.args[1])) if loop is not None else ""
    streams = _outlets(op, scope)
    return {**_elements(op, scope), "idle": idle, "streams": streams}


def _iota(op: Op, scope: Scope) -> Context:
    (into,) = op.into
    n = nest(into.tile.shape, (0,), [into.tile.strides], alone=(0,))
    return {"loops": n.loops(), "to": element(scope.name(into), n.terms(into.tile.strides)), "value": n.coordinate(0)}


def _concat(op: Op, scope: Scope) -> Context:
    (into,), axis, start, parts = op.into, op.attr("axis") % len(op.into[0].tile.shape), 0, []
    for part in op.args:
        t = _place(part)
        n = nest(t.shape, range(len(t.shape)), [into.tile.strides, t.strides])
        shift = [str(start * into.tile.strides[axis])] if start else []
        parts.append({"loops": n.loops(), "to": element(scope.name(into), n.terms(into.tile.strides) + shift),
                      "value": _source(part, scope, n.terms(t.strides))})
        start += t.shape[axis]
    return {"parts": parts}


# ---------------------------------------------------------------- elementwise, reductions, scans
def _load(op: Op, scope: Scope) -> Context:
    """Fields that become numbers in a dot are read there."""
    if op.attr("fields") is None:
        return load(op, scope)
    scope.notes["packed"][op.into[0]] = op
    return {**load(op, scope), "kind": None}


def _map(op: Op, scope: Scope) -> Context:
    if op.attr("fields") is not None:
        return {"fields": expansion(op, scope), "outer": [], "loops": [], "lets": [], "row": None, "body": [], "writes": [], "streams": [], "lane": "",
                "lanes": 0, "read": [], "written": []}
    shape, (body,) = op.attr("shape"), op.bodies
    inputs = [v for v in op.args if isinstance(v, Value)]
    streams = _outlets(op, scope)
    strides, outs = [_steps(v, shape, scope) for v in inputs], [_steps(v, shape, scope) for v in op.into]
    alone = {o.attr("axis") for o in body.ops if o.name == "coordinate"}
    n = nest(shape, range(len(shape)), [*strides, *outs], alone)
    places, steps = [*inputs, *op.into], [*strides, *outs]
    blocks = turns(op, n, places, steps, scope)
    taken = {m: b for b in blocks for m in b.members}
    texts = [taken[m].element(m, LANE_NAME) if m in taken else element(scope.name(v), [*n.terms(s), *([LANE_NAME] if blocks and s[n.groups[-1][-1]] else [])])
             for m, (v, s) in enumerate(zip(places, steps, strict=True))]
    lets = [] if blocks else _still(inputs, strides, texts, n, scope)
    lines, values = block(scope, body, texts[:len(inputs)], [n.coordinate(a) for a in range(len(shape))])
    writes = [f"{to} = {value};" for to, value in zip(texts[len(inputs):], values, strict=True)]
    row = None if blocks or len(op.into) != 1 else _row(op.into[0], outs[0], n, values[0], streams, scope)
    loops = n.loops(step=LANES) if blocks else n.loops()
    return {"fields": None, "outer": loops[:-1], "loops": [] if row else loops[-1:], "lets": lets,
            "row": row, "body": lines, "writes": writes, "streams": streams, "lane": LANE_NAME, "lanes": LANES,
            "read": [b for b in blocks if b.members[0] < len(inputs)], "written": [b for b in blocks if b.members[0] >= len(inputs)]}


def _outlets(op: Op, scope: Scope) -> list[Context]:
    """Where in tensors the results of an op are to be written."""
    return [outlet(scope.notes["outlets"][v], scope) for v in op.into if v in scope.notes["outlets"]]


def _still(inputs: list[Value], strides: list[tuple[int | str, ...]], texts: list[str], n: Nest, scope: Scope) -> list[str]:
    """Names for elements that do not change in the innermost loop, which replace them in `texts`: what a loop reads from memory anew, compilers must
    prove that it does not write.
    """
    lets = []
    for m, (v, s) in enumerate(zip(inputs, strides, strict=True)):
        if n.groups and not s[n.groups[-1][-1]] and v not in scope.notes["single"]:
            name = scope.fresh(f"{scope.name(v)}_here")
            lets.append(scope.say("bind", scope.type(v.tile.dtype), name, texts[m]))
            texts[m] = name
    return lets


def _row(v: Value, steps: Sequence[int | str], n: Nest, value: str, streams: list[Context], scope: Scope) -> Context | None:
    """What `write_row` is given, where a map's one result is written to its tensor by rows that are worth a choice between stores."""
    if not streams or not n.groups:
        return None
    extent = n.loops()[-1]["extent"]
    if steps[n.groups[-1][-1]] != 1 or extent * v.tile.dtype.bytes < LEAST_PAST:
        return None
    (stream,) = streams
    home = None if stream["fits"] == "true" else {"here": stream["pointer"], "home": stream["home"]}
    to = " + ".join([scope.name(v), *n.terms(steps)[:-1]])
    return {"n": extent, "to": to, "type": scope.type(v.tile.dtype), "element": ELEMENT_NAME, "index": n.names[-1], "value": value,
            "past": scope.say("past", scope.notes["past"][stream["target"]], home)}


def _steps(v: Value, shape: tuple[int, ...], scope: Scope) -> tuple[int | str, ...]:
    """Strides of a place that is broadcast to `shape`; the first of a tile that is used in its tensor is a name."""
    steps, row = spread(v.tile, shape), scope.notes["row"].get(v)
    return steps if row is None or v.tile.shape[0] == 1 else (*steps[:-2], row, steps[-1])


def _reduction(op: Op, scope: Scope) -> Context:
    """Along the axis where it is the innermost one, or for an arg-reduction; else row by row into the result.  Of an extreme element and its index,
    which one pass finds, the first op is nothing and the second writes both.
    """
    if op in scope.notes["extremes"].values():
        return {"r": None}
    twin = scope.notes["extremes"].get(op)
    if twin is not None and twin.name.startswith("arg"):
        op, twin = twin, op
    inputs = [v for v in op.args if isinstance(v, Value)]
    shape = op.attr("shape") or inputs[0].tile.shape
    axis = op.attr("axis") % len(shape)
    target = op.target
    out = list(target.tile.strides) if target.tile.shape else []
    out.insert(axis, 0)
    strides = [_steps(v, shape, scope) for v in inputs]
    alone = {o.attr("axis") for b in op.bodies for o in b.ops if o.name == "coordinate"}
    last = all(n == 1 for n in shape[axis + 1:])
    along = last or op.name.startswith("arg") or not target.tile.shape
    beside = spread(twin.target.tile, target.tile.shape) if twin is not None else ()
    also = [(*beside[:axis], 0, *beside[axis:])] if twin is not None else []
    everything = [*strides, tuple(out), *also]
    outer = nest(shape, [a for a in range(len(shape)) if a != axis and (along or a < axis)], everything, alone)
    inner = nest(shape, [] if along else range(axis + 1, len(shape)), everything, alone, inside=outer)

    def values(index: str) -> tuple[list[str], str]:
        at = [[*outer.terms(s), *([term(index, s[axis])] if s[axis] and index != "0" else []), *inner.terms(s)] for s in strides]
        texts = [element(scope.name(v), t) for v, t in zip(inputs, at, strict=True)]
        if not op.bodies:
            return [], texts[0]
        where = [index if a == axis else outer.coordinate(a) if outer.coordinate(a) != "0" else inner.coordinate(a) for a in range(len(shape))]
        lines, results = block(scope, op.bodies[0], texts, where)
        return lines, results[0]

    bits, pairs = counted(op) if along else None, _pairs(op, strides, scope)
    if bits is not None:                                    # the sum of the bits of what the body computes but for the last op
        op = replace(op, bodies=(bits,))
    dtype = op.bodies[0].result[0].tile.dtype if op.bodies else inputs[0].tile.dtype  # type: ignore[union-attr]
    to = element(scope.name(target), [*outer.terms(tuple(out)), *inner.terms(tuple(out))]) if target.tile.shape \
        else f"const {scope.type(target.tile.dtype)} {scope.name(target)}"
    first_body, first = values("0") if not along else ([], "")
    lines, value = values(AXIS_NAME)
    kind = scope.type(dtype)
    combined = f"{to} + {value}" if op.name == "sum" else scope.say("extremum", "maximum" if op.name == "max" else "minimum", kind, to, value)
    least = element(scope.name(twin.target), outer.terms(also[0])) if twin is not None else ""
    return {"r": {"along": along, "bits": bits is not None, "pairs": pairs, "loops": outer.loops(vector=False), "inner": inner.loops(), "to": to, "type": kind,
                  "n": shape[axis], "index": AXIS_NAME, "body": lines, "value": value, "first_body": first_body, "first": first, "combined": combined,
                  "found": least}}


def _pairs(op: Op, strides: Sequence[tuple[int | str, ...]], scope: Scope) -> Context | None:
    """What `sum_bits_of_pairs` is given, for a sum of that form."""
    found, body = of_pairs(op), counted(op)
    if found is None or body is None:
        return None
    names = [scope.fresh(name) for name in "xy"]
    lines, (value,) = block(scope, body, names, ["0", "0", "0"])
    sides = [{"name": _name(op.args[side], scope), "row": strides[side][axis]} for axis, side in enumerate(found)]
    return {"shape": op.attr("shape"), "to": scope.name(op.target), "to_row": op.target.tile.strides[0], "sides": sides,
            "type": scope.type(body.params[0].tile.dtype), "names": names, "body": lines, "value": value}


def _cumsum(op: Op, scope: Scope) -> Context:
    (x,), (into,) = op.args, op.into
    t = _place(x)
    axis = op.attr("axis") % len(t.shape)
    both = [t.strides, into.tile.strides]
    inner_axes = [a for a in range(axis + 1, len(t.shape)) if t.shape[a] > 1]
    outer = nest(t.shape, range(axis), both)
    inner = nest(t.shape, inner_axes, both, inside=outer)

    def at(v: Operand, strides: tuple[int, ...], index: str) -> str:
        return element(_name(v, scope), [*outer.terms(strides), term(index, strides[axis]), *inner.terms(strides)])

    return {"loops": outer.loops(vector=False), "inner": inner.loops(), "index": AXIS_NAME, "n": t.shape[axis], "type": scope.type(t.dtype),
            "running": scope.fresh("running"), "to": at(into, into.tile.strides, AXIS_NAME),
            "before": at(into, into.tile.strides, f"({AXIS_NAME} - 1)"), "value": at(x, t.strides, AXIS_NAME)}


def _segment_sum(op: Op, scope: Scope) -> Context:
    (x, segment), (into,) = op.args, op.into
    t, out = _place(x), into.tile
    zero = nest(out.shape, range(len(out.shape)), [out.strides])
    inner = nest(t.shape, range(1, len(t.shape)), [t.strides, out.strides])
    return {"zero": zero.loops(), "to_all": element(scope.name(into), zero.terms(out.strides)), "index": AXIS_NAME, "rows": t.shape[0], "n": op.attr("n"),
            "segment": element(_name(segment, scope), [term(AXIS_NAME, _place(segment).strides[0])]), "inner": inner.loops(),
            "to": element(scope.name(into), [term("segment", out.strides[0]), *inner.terms(out.strides)]),
            "value": element(_name(x, scope), [term(AXIS_NAME, t.strides[0]), *inner.terms(t.strides)])}


# ---------------------------------------------------------------- lookup, bit fields, product
def _take(op: Op, scope: Scope) -> Context:
    table, index = op.args
    t, i = _place(table), index.tile  # type: ignore[union-attr]
    out = op.target.tile
    rank = len(i.shape)
    loops = nest(out.shape, range(rank), [(*i.strides, *([0] * (len(out.shape) - rank))), out.strides])
    inner = nest(out.shape, range(rank, len(out.shape)), [(*([0] * rank), *t.strides[1:]), out.strides], inside=loops)
    row = scope.fresh("row")
    to = element(scope.name(op.target), [*loops.terms(out.strides), *inner.terms(out.strides)]) if out.shape \
        else f"const {scope.type(out.dtype)} {scope.name(op.target)}"
    at = [term(row, t.strides[0]), *inner.terms((*([0] * rank), *t.strides[1:]))]
    zero = scope.say("zero", scope.type(out.dtype), out.dtype.kind == "f" and out.dtype.bits < 32)
    where = _source(index, scope, loops.terms((*i.strides, *([0] * (len(out.shape) - rank)))))
    return {"loops": loops.loops(vector=not inner.groups), "row": row, "index": where, "n": t.shape[0], "inner": inner.loops(), "to": to,
            "value": element(_name(table, scope), at), "zero": zero}


def _unpack(op: Op, scope: Scope) -> Context:
    (x,), (into,) = op.args, op.into
    t, out, dtype = _place(x), into.tile, op.attr("dtype")
    n, rank = t.dtype.bits // dtype.bits, len(t.shape)
    words = (*t.shape, n)                                    # loops: the words' axes, then the field
    step = (t.shape[-1], 1) if op.attr("order") == "split" else (1, n)
    to = (*out.strides[:-1], out.strides[-1] * step[1], out.strides[-1] * step[0])
    loops = nest(words, range(rank + 1), [(*t.strides, 0), to], alone=(rank,))
    word = element(_name(x, scope), loops.terms((*t.strides, 0)))
    kind = "bool" if dtype.kind == "b" else "signed" if dtype.name == "i4" else "unsigned"
    return {"loops": loops.loops(), "to": element(scope.name(into), loops.terms(to)), "word": word, "type": scope.type(dtype), "field": loops.coordinate(rank),
            "width": dtype.bits, "kind": kind, "of": scope.type(unsigned(t.dtype))}


def _pack(op: Op, scope: Scope) -> Context:
    (x,), (into,) = op.args, op.into
    t, out, dtype = _place(x), into.tile, op.attr("dtype")
    n = dtype.bits // t.dtype.bits
    step = (out.shape[-1], 1) if op.attr("order") == "split" else (1, n)
    word_strides = (*t.strides[:-1], t.strides[-1] * step[1])
    loops = nest(out.shape, range(len(out.shape)), [out.strides, word_strides])
    at = [*loops.terms(word_strides), term(AXIS_NAME, t.strides[-1] * step[0])]
    return {"loops": loops.loops(vector=False), "word": scope.fresh("word"), "type": scope.type(unsigned(dtype)), "field": AXIS_NAME, "n": n,
            "width": t.dtype.bits, "to": element(scope.name(into), loops.terms(out.strides)), "value": element(_name(x, scope), at)}


def _dot(op: Op, scope: Scope) -> Context:
    (into,), loop, store = op.into, scope.notes["begun"].get(op), scope.notes["outlets"].get(op.into[0])
    accumulate, name, row, ending = "true" if len(op.args) == 3 else "false", scope.name(into), into.tile.strides[0], []
    if loop is not None:
        (start, stop), step = (scope.atom(a) for a in loop.args), loop.attr("step")
        index = scope.name(loop.bodies[0].params[0])
        accumulate = scope.say("is_later_trip", index, start)
        if store is not None:                               # the last trip writes its sums to the tensor
            ending = [scope.say("is_last_trip", index, step, stop), name, str(scope.notes["row"].get(into, row))]
            name = scope.notes["homes"][into]
    return {"function": _function(op), "m": into.tile.shape[0], "n": into.tile.shape[1], "k": _place(op.args[0]).shape[1],
            "acc": name, "acc_row": row, "a": _factor(op.args[0], scope), "b": scope.notes["fields"].get(op.args[1]) or _factor(op.args[1], scope),
            "accumulate": accumulate, "rest": [*_inside(op, scope, bool(ending)), *ending]}


def _function(op: Op) -> str:
    return "dot_tf32" if op.attr("precision") else "dot" if op.attr("fields") is None else "dot_fields"


def _inside(op: Op, scope: Scope, whole: bool) -> list[str]:
    """How much of K, M and N there is from where the tiles begin; unless `whole`, without those at the end of which there is more than the tiles have."""
    m, n, k = scope.notes["edges"].limits[op]
    found = [end and scope.say("from_start", scope.dim(str(end.size)), scope.atom(end.start)) for end in (k, m, n)]
    extents = (_place(op.args[0]).shape[1], *op.into[0].tile.shape)
    texts = [text or str(extent) for text, extent in zip(found, extents, strict=True)]
    return texts if whole else texts[:max((i + 1 for i, text in enumerate(found) if text), default=0)]


def _factor(v: Operand, scope: Scope) -> str:
    """An operand of dot: a window, whose axes a transposed view swaps, or a place."""
    t = _place(v)
    if v not in scope.windows:
        return scope.say("window_of", scope.type(t.dtype), _name(v, scope), t.strides[0], t.strides[1])
    name, turned = scope.windows[v]
    return scope.say("window_turned", name) if turned else name


def panel_bytes(op: Op, scope: Scope) -> str:
    """Scratch that one op needs beside places: packed panels of a dot, planes of rows of bits, the table of a scatter's check."""
    if op.name == "dot":
        ta, tb = _place(op.args[0]), _place(op.args[1])
        types = {"dot": [ta, tb], "dot_fields": [ta]}.get(_function(op), [])
        return scope.say("panels", _function(op), ta.shape[0], tb.shape[1], ta.shape[1], [scope.type(t.dtype) for t in types])
    if op.name == "sum" and of_pairs(op) is not None:
        return scope.say("panels", "sum_bits_of_pairs", *op.attr("shape"), [scope.type(op.bodies[0].params[0].tile.dtype)])
    tiles = [v.tile.shape for v in op.args[2:] if isinstance(v, Value) and v.tile.shape] if op.name == "store" else []
    # Keys of 8 bytes, and a hash table of at most four times as many slots: the next power of two from twice their number.
    return str(8 * 5 * prod(broadcast_shapes(*tiles)) + 64) if tiles else ""


DESCRIBE: dict[str, Callable[[Op, Scope], Context]] = {
    "alloc": _alloc, "view": _view, "barrier": lambda _op, _scope: {}, "copy": _elements, "full": _full, "broadcast": _elements, "transpose": _elements,
    "reshape": _elements, "split": _elements, "iota": _iota, "concat": _concat, "map": _map, "cumsum": _cumsum, "segment_sum": _segment_sum, "take": _take,
    "pack": _pack, "unpack": _unpack, "dot": _dot, "cast": cast, "load": _load, "store": store,
    **dict.fromkeys(("sum", "max", "min", "argmax", "argmin"), _reduction), **dict.fromkeys(("atomic_add", "atomic_min", "atomic_max"), atomic)}
