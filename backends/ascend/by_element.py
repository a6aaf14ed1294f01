"""Ops on tiles in UB for which the vector unit has no function: done element by element by the scalar unit."""
from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from dslc.ir import Const, Op, Value
from dslc.ops import OPS
from dslc.render import Scope
from dslc.types import TileType

from ..common.conversion import cast as conversion
from ..common.conversion import unsigned
from .vector_shapes import Order, dense, dtype_of, elements_from, merged, operand_text, order_of, rows_from, runs, tile_of

Context = dict[str, Any]


def elementwise(op: Op, scope: Scope) -> Context:
    """An elementwise op: a loop whose body is the text of the op on scalars."""
    names = [p.name for p in OPS[op.name].params]
    operands = [a for a in op.args if isinstance(a, (Value, Const))]
    tiles = [a for a in operands if a.tile.shape]
    given = {a: f"{name}_" for name, a in zip(names, operands, strict=False) if a.tile.shape}
    result = Value(op.target.name, TileType(op.target.tile.dtype))
    attrs = tuple((k, v) for k, v in op.attrs if k in dict(OPS[op.name].attrs) or k in ("dtype", "round", "saturate", "mode"))
    inner = Op(op.name, op.args, attrs, (result,), loc=op.loc)
    body = _expression(inner, scope, given)
    params = [(scope.type(a.tile.dtype), given[a]) for a in dict.fromkeys(tiles)]
    return {"macro": "tile_each", "to": scope.name(op.target), "types": [scope.type(op.target.tile.dtype), *(t for t, _ in params)],
            "params": [" ".join(p) for p in params], "body": body, "args": [operand_text(a, op, scope) for a in dict.fromkeys(tiles)]}


def _expression(op: Op, scope: Scope, given: dict[Any, str]) -> str:
    args = [given.get(a) or scope.scalar(a) for a in op.args if isinstance(a, (Value, Const))]
    first = dtype_of(op.args[-1] if op.name == "where" else op.args[0])
    known = {"type": scope.type(op.result.tile.dtype), "of": scope.type(first), "field": first.field_mask, **dict(OPS[op.name].attrs), **dict(op.attrs),
             **(conversion(op, scope) if op.name == "cast" else {})}
    return scope.spell(op, dict(zip((p.name for p in OPS[op.name].params), args, strict=False)) | known)


def _element_call(function: str, types: list[Any], args: list[Any]) -> Context:
    return {"macro": "tile_call", "function": function, "types": [str(t) for t in types], "args": [str(a) for a in args]}


def _inner(op: Op, axis: int) -> int:
    """Elements of one run of a tile along an axis before the last, padding among them."""
    t = tile_of(op.args[0])
    strides = t.strides
    return next((s for s in (strides[axis],) if s), 1)


def _reduction_by_element(op: Op, scope: Scope) -> Context:
    (x,), axis, d = op.args, op.attr("axis"), dtype_of(op.args[0])
    _outer, n, last = runs(tile_of(x).shape, axis)
    how = {"sum": "SumElements", "max": "MaxElements", "min": "MinElements", "argmax": "MaxElements", "argmin": "MinElements"}[op.name]
    arg = op.name.startswith("arg")
    types = [how, scope.type(d), *([scope.type(op.target.tile.dtype)] if arg else []), n, 0 if last else _inner(op, axis)]
    name = "arg_by_element" if arg else "reduce_by_element"
    if not op.target.tile.shape:
        return {"macro": "tile_bound", "type": scope.type(op.target.tile.dtype), "name": scope.name(op.target), "function": "scalar_" + name,
                "types": [str(t) for t in types[:-1]], "inner": "", "args": [scope.name(x)], "element": ""}      # type: ignore[arg-type]
    return _element_call(name, types, [scope.name(op.target), scope.name(x)])      # type: ignore[arg-type]


def _cumsum_by_element(op: Op, scope: Scope) -> Context:
    (x,), axis = op.args, op.attr("axis")
    _outer, n, last = runs(tile_of(x).shape, axis)
    to = [scope.name(op.target), scope.name(x)]      # type: ignore[arg-type]
    if last:
        return _element_call("cumsum_by_element", [scope.type(dtype_of(x))], to)
    return _element_call("cumsum_groups_by_element", [scope.type(dtype_of(x)), n], [*to, _inner(op, axis)])


def _segment_by_element(op: Op, scope: Scope) -> Context:
    x, segment = op.args
    return _element_call("segment_sum_by_element", [scope.type(dtype_of(x)), scope.type(dtype_of(segment))],
                         [scope.name(op.target), scope.name(x), scope.name(segment), op.attr("n"), tile_of(x).shape[0]])      # type: ignore[arg-type]


def _take_by_element(op: Op, scope: Scope) -> Context:
    table, index = op.args
    n, d = tile_of(table).shape[0], scope.type(dtype_of(table))
    if not op.target.tile.shape:
        return {"macro": "tile_bound", "type": d, "name": scope.name(op.target), "function": "taken", "types": [d], "inner": "",
                "args": [scope.name(table), scope.scalar(index), str(n)], "element": ""}      # type: ignore[arg-type]
    if not (isinstance(index, Value) and index.tile.shape):
        value = f"taken<{d}>({scope.name(table)}, {scope.scalar(index)}, {n})"      # type: ignore[arg-type]
        return {"macro": "tile_call", "function": "full_by_element", "types": [d], "args": [scope.name(op.target), value]}
    return _element_call("take_by_element", [d, scope.type(dtype_of(index))], [scope.name(op.target), scope.name(table), scope.name(index), n])      # type: ignore[arg-type]


def _fields(op: Op, scope: Scope) -> Context:
    (x,), out = op.args, op.target.tile
    narrow, word = (out.dtype, dtype_of(x)) if op.name == "unpack" else (dtype_of(x), out.dtype)
    types = [scope.type(narrow), scope.type(unsigned(word)), narrow.bits, "true" if op.attr("order") == "split" else "false"]
    return _element_call(f"{op.name}_by_element", types, [scope.name(op.target), scope.name(x)])      # type: ignore[arg-type]


def _moved_by_element(op: Op, scope: Scope) -> Context:
    if op.name in ("full",) or (op.name == "copy" and not (isinstance(op.args[0], Value) and op.args[0].tile.shape)):
        return _element_call("full_by_element", [scope.type(op.target.tile.dtype)], [scope.name(op.target), scope.scalar(op.args[0])])
    lines = []
    for n, r in enumerate(op.into or op.results):
        o = order_of(op, n)
        lines.append({"function": "from_by_element", "to": scope.name(r), "source": scope.name(op.args[0]),      # type: ignore[arg-type]
                      "rows": rows_from(o), "along": elements_from(o), "scratch": False})
    return {"macro": "tile_moves", "moves": lines}


def _concat_by_element(op: Op, scope: Scope) -> Context:
    shape, axis, start = op.target.tile.shape, op.attr("axis"), 0
    lines: list[Context] = []
    strides = op.target.tile.strides
    for a in op.args:
        t = tile_of(a)
        own = dense(t.shape)
        axes = [(n, s) for n, s in zip(t.shape, strides, strict=True) if n != 1] or [(1, 0)]
        o = Order(merged(axes[:-1]), (), start * (strides[axis] or 1))
        args = [scope.name(op.target), scope.name(a), _braced(scope, "RowsFrom", rows_from(o)), prod(own[:-1]),      # type: ignore[arg-type]
                axes[-1][0], axes[-1][1], _pitch(t), "true" if not lines else "false"]
        lines.append({"function": f"put_by_element<{scope.type(t.dtype)}>", "args": [str(x) for x in args]})
        start += t.shape[axis]
    del shape
    return {"macro": "tile_calls", "calls": lines}


def _braced(scope: Scope, name: str, values: list[str]) -> str:
    return scope.say("braced", name, values)


def _pitch(t: TileType) -> int:
    return next((s for s in reversed([s for n, s in zip(t.shape, t.strides, strict=True) if n != 1][:-1])), 1)


def _iota_by_element(op: Op, scope: Scope) -> Context:
    return _element_call("iota_by_element", [scope.type(op.target.tile.dtype)], [scope.name(op.target)])


def _dot_by_element(op: Op, scope: Scope) -> Context:
    (a, sa), (b, sb) = ((v, tile_of(v).strides) for v in op.args[:2])
    if op.target.tile.shape[1] == 1:                        # a single column lies in a row, so that it is the product of the transposed operands
        (a, sa), (b, sb) = (b, sb[::-1]), (a, sa[::-1])
    return _element_call("dot_by_element", [scope.type(op.target.tile.dtype), scope.type(tile_of(a).dtype), scope.type(tile_of(b).dtype)],
                         [scope.name(op.target), scope.name(a), sa[0], sa[1], scope.name(b), sb[0], sb[1], tile_of(op.args[0]).shape[1],  # type: ignore[arg-type]
                          "true" if len(op.args) == 3 else "false"])


BY_ELEMENT: dict[str, Callable[[Op, Scope], Context]] = {
    **dict.fromkeys(("sum", "max", "min", "argmax", "argmin"), _reduction_by_element), "cumsum": _cumsum_by_element, "segment_sum": _segment_by_element,
    "take": _take_by_element, "pack": _fields, "unpack": _fields,
    **dict.fromkeys(("transpose", "reshape", "broadcast", "split", "copy", "full"), _moved_by_element),
    "concat": _concat_by_element, "iota": _iota_by_element, "dot": _dot_by_element}
