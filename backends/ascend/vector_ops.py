"""What each op on tiles in UB is on the vector unit: the function that its text calls, the pipes it uses, the scratch it needs.

`legalise` (in vector_legal) brings a kernel into the form that `describe` knows.  An op for which no rule finds a function of the vector unit is
done element by element by the scalar unit (by_element).
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from dslc.ir import Op, Value
from dslc.render import Scope
from dslc.types import BOOL, F32, I32, U32, DType

from .by_element import BY_ELEMENT, elementwise
from .vector_legal import cast_via, legalise
from .vector_shapes import dense, dtype_of, elements_from, kind, operand_text, order_of, rows_from, runs, tile_of

__all__ = ["LACKS", "Facts", "describe", "facts", "legalise"]

Context = dict[str, Any]
BLOCK_ROWS, MASK_BYTES, CHUNK_BYTES, RUN = 128, 256, 4096, 128      # as in tile_ascend_vector.h
# What no text does, and why: f64 has no type in either unit, so kernels that name it are refused by `legalise`; atomics of u32 and i64 have no
# data path of their own (memory.py).  fma rounds twice on tiles, which the manifest says.
LACKS: dict[str, str] = {"f64": "neither the vector nor the matrix unit has it"}
TWICE_ROUNDED = ("fma",)
ARITHMETIC = ("add", "sub", "mul", "div")
COMPARISONS = ("lt", "le", "eq", "ne")
ROUND_MODES = {"rne": "RINT", "rtz": "TRUNC", "down": "FLOOR", "up": "CEIL", "away": "ROUND"}
MOVES = ("transpose", "reshape", "broadcast", "split", "copy")
# Functions -> spare chunks; 0: no scratch.
FUNCTIONS = {"sqrt": 0, "exp": 0, "exp2": 0, "log": 0, "log2": 0, "rsqrt": 1, "sigmoid": 3, "tanh": 5, "erf": 5, "sin": 6, "cos": 6}


@dataclass(frozen=True)
class Facts:
    """The pipes an op uses, in order, and the bytes of UB it needs besides operands and results."""

    pipes: tuple[str, ...]
    scratch: int = 0


@dataclass(frozen=True)
class Form:
    """A function of tile_ascend_vector.h: its name, template arguments, further arguments, spare chunks of scratch (-1: takes no scratch), pipes."""

    name: str
    types: tuple[Any, ...] = ()
    args: tuple[Any, ...] = ()
    spares: int = -1
    pipes: tuple[str, ...] = ("V",)
    operands: bool = True


def facts(op: Op, planned: bool = False) -> Facts:
    """Pipes and scratch of an op on tiles; `planned`: the pitches of its tiles are, else its scratch is the most that it may need."""
    found = _form(op, planned)
    if found is None:
        return Facts(("S",))
    spares = 4 if op.name in MOVES and found.name != "full" and not planned else found.spares
    if op.name in ARITHMETIC and not _blocks(op):
        spares = -1
    scalar = 32 if not (op.results or op.into)[0].tile.shape else 0
    return Facts(found.pipes, scratch_bytes(spares) + scalar if spares >= 0 else 0)


def function(op: Op) -> str:
    """The function of tile_ascend_vector.h for an op on placed tiles; "" if it is done element by element."""
    found = _form(op, planned=True)
    return found.name if found is not None else ""


def _blocks(op: Op) -> bool:
    """Whether arithmetic first puts an operand into blocks of scratch: one that is neither a tile nor a row, nor what an instruction takes as a scalar."""
    how = [kind(a, op.target.tile.shape) for a in op.args]
    return not takes_scalar(op.name, *how) and any(k not in ("tile", "row") for k in how)


def takes_scalar(name: str, x: str, y: str) -> bool:
    """Whether one instruction does arithmetic on operands of these kinds, one of them a scalar."""
    return ((x, y) == ("tile", "scalar") and name != "div") or ((x, y) == ("scalar", "tile") and name in ("add", "mul"))


def scratch_bytes(spares: int) -> int:
    """Bytes of scratch with so many spare chunks: a block for each of 128 rows and two masks come before them."""
    return BLOCK_ROWS * 32 + 2 * MASK_BYTES + CHUNK_BYTES * spares


# ---------------------------------------------------------------- which function
def _form(op: Op, planned: bool = False) -> Form | None:
    """The function of the vector unit for an op on tiles; None: element by element."""
    if op.name in MOVES:
        return _copied(op, planned)
    rule = RULES.get(op.name)
    return rule(op) if rule is not None else None


def _arithmetic(op: Op) -> Form | None:
    return Form(op.name, spares=0) if dtype_of(op.args[0]) in (F32, I32, U32) else None


def _neg(op: Op) -> Form | None:
    return Form("neg") if dtype_of(op.args[0]) in (F32, I32, U32) else None


def _abs(op: Op) -> Form | None:
    d = dtype_of(op.args[0])
    return Form("abs") if d is F32 else Form("abs", spares=1) if d is I32 else None


def _extreme(op: Op) -> Form | None:
    if dtype_of(op.args[0]) not in (F32, I32):
        return None
    return Form(op.name + NAN_SUFFIX[_nan(op)], spares=3)


NAN_SUFFIX = {"none": "_numbers", "first": "_first_nan", "second": "_second_nan", "any": ""}


def _nan(op: Op) -> str:
    return str(op.attr("nan", "any")) if dtype_of(op.args[0]) is F32 else "none"


def _comparison(op: Op) -> Form | None:
    d = dtype_of(op.args[0])
    if d is F32:
        return Form(op.name, spares=2)
    return Form(op.name + ("_near_integers" if op.attr("near") else "_integers"), spares=3) if d is I32 else None


def _where(op: Op) -> Form | None:
    return Form("where", spares=5) if _item(op.target.tile.dtype) <= 4 else None


def _item(dtype: DType) -> int:
    """Bytes of an element in UB."""
    return 2 if dtype is BOOL else dtype.bytes


def _logic(op: Op) -> Form | None:
    d = dtype_of(op.args[0])
    if d is BOOL:
        return Form({"and": "both", "or": "either", "xor": "differ"}[op.name], spares=0)
    scalar = any(kind(a, op.target.tile.shape) == "scalar" for a in op.args)
    return Form(f"bits_{op.name}", spares=1) if not scalar or d.bytes <= 4 else None


def _not(op: Op) -> Form | None:
    return Form("opposite") if dtype_of(op.args[0]) is BOOL else Form("bits_not")


def _shift(op: Op) -> Form | None:
    fits = dtype_of(op.args[0]) in (I32, U32) and kind(op.args[1], op.target.tile.shape) == "scalar" and kind(op.args[0], op.target.tile.shape) == "tile"
    return Form(op.name) if fits else None


def _divided(op: Op) -> Form | None:
    return Form(op.name + "_small", spares=4) if op.attr("small") and kind(op.args[0], op.target.tile.shape) == "tile" else None


def _function(op: Op) -> Form | None:
    spares = FUNCTIONS[op.name]
    return Form(op.name, spares=spares or -1)


def _round(op: Op) -> Form | None:
    return Form("round_floats", types=(_mode(op.attr("mode", "rne")),))


def _mode(name: str) -> str:
    return f"RoundMode::CAST_{ROUND_MODES[name]}"


def _popcount(op: Op) -> Form | None:
    return Form("popcount", spares=2) if dtype_of(op.args[0]) in (I32, U32) else None


def _random(op: Op) -> Form | None:
    return Form("random", spares=3) if op.attr("small") else None


def _bitcast(op: Op) -> Form | None:
    return Form("same_bits")


def _cast(op: Op) -> Form | None:
    source, to = dtype_of(op.args[0]), op.attr("dtype")
    if cast_via(source, to) is not None or source.bits == 64 or to.bits == 64:
        return None
    if (op.attr("saturate") and source is U32) or 8 in (_float_bits(source), _float_bits(to)):
        return None
    if source is F32 and to.kind == "i":
        fits = to is I32 or to.bits < 16 or to.name == "i16"
        return Form("to_integers", types=(_mode(op.attr("round", "rne")), *_bounds(to)), spares=3) if fits else None
    if source is I32 and to.kind == "i":
        if to is U32:
            return Form("same_bits")
        return Form("wrap", types=(to.bits, "true" if to.signed or to.bits == 16 else "false"), spares=2)
    if source is U32:
        return Form("same_bits") if to is I32 else Form("float_of_unsigned", spares=4) if to is F32 else None
    if source.kind == "i" and to.kind == "i" and _item(source) == _item(to):
        return Form("same_bits")
    if source.name == "u16":
        return Form("widen_unsigned", spares=1) if to is I32 else None
    if source.name == "i16" and to is I32:
        return Form("cast_through", types=("f32",), spares=1)
    if source.kind == "i" and source.bits <= 8 and to in (F32, I32):
        return Form("cast_through", types=("f16",), spares=1)
    if source is BOOL and to.name == "f16":
        return Form("same_bits")
    direct = {("bool", "f32"), ("bool", "i32"), ("bool", "i16"), ("f16", "f32"), ("bf16", "f32"), ("f32", "f16"), ("f32", "bf16"), ("i32", "f32"),
              ("i16", "f32")}
    direct |= {(small, "f16") for small in ("i8", "u8", "i4", "u4", "u2", "u1")} | {("bool", small) for small in ("i8", "u8", "i4", "u4", "u2", "u1")}
    return Form("cast_directly") if (source.name, to.name) in direct else None


def _float_bits(d: DType) -> int:
    return d.bits if d.kind == "f" else 0


def _bounds(d: DType) -> tuple[str, str]:
    return (str(d.lo) if d.lo > -(1 << 31) else "(-2147483647 - 1)", str(d.hi))


def _full(op: Op) -> Form | None:
    return Form("full") if _item(op.target.tile.dtype) <= 4 else None


def _iota(op: Op) -> Form | None:
    return Form("iota") if op.target.tile.dtype is I32 else None


# ---------------------------------------------------------------- reductions
def _reduction(op: Op) -> Form | None:
    d, (outer, n, last) = dtype_of(op.args[0]), runs(tile_of(op.args[0]).shape, op.attr("axis"))
    plain = d is BOOL or (d is F32 and op.attr("nan") == "none")
    pipes = ("V",) if op.target.tile.shape else ("V", "S")
    if op.name == "sum":
        if d not in (F32, I32):
            return None
        return Form("sum", spares=8 if d is I32 else 4, pipes=pipes) if last else Form("sum_groups", types=(outer, n), spares=4)
    if op.name in ("argmax", "argmin"):
        if d is not F32 or op.target.tile.dtype is not I32:
            return None
        return Form(op.name, spares=6, pipes=pipes) if last else Form(f"{op.name}_groups", types=(outer, n), spares=6)
    if last:
        if not plain and d is not F32 and not (d is I32 and op.attr("small")):
            return None
        return Form(op.name + ("" if d is F32 and not plain else "_numbers"), spares=7, pipes=pipes)
    if d is I32 or plain:
        return Form(f"{op.name}_groups_numbers", types=(outer, n), spares=4)
    return Form(f"{op.name}_groups", types=(outer, n), spares=3) if d is F32 else None


def _cumsum(op: Op) -> Form | None:
    outer, n, last = runs(op.target.tile.shape, op.attr("axis"))
    return None if last or dtype_of(op.args[0]) not in (F32, I32) else Form("cumsum_groups", types=(outer, n))


def _segment_sum(op: Op) -> Form | None:
    x = tile_of(op.args[0])
    if not dense(x.shape[1:]) or x.dtype not in (F32, I32) or not isinstance(op.args[1], Value):
        return None
    return Form("segment_sum", pipes=("S", "V"))


def _take(op: Op) -> Form | None:
    table, index = tile_of(op.args[0]), op.args[1]
    if not op.target.tile.shape:
        return None
    if dense(table.shape[1:]):
        return Form("take_runs", pipes=("S", "V"))
    vector = isinstance(index, Value) and index.tile.shape and index.tile.dtype is I32 and _item(table.dtype) in (2, 4) and dense(index.tile.shape)
    return Form("take", types=("true" if op.attr("inside_table") else "false",), spares=5) if vector and dense(table.shape) else None


def _copied(op: Op, planned: bool = False) -> Form | None:
    """How a result in another order is copied."""
    x, d = op.args[0], (op.results or op.into)[0].tile.dtype
    if op.name == "copy" and (not isinstance(x, Value) or not x.tile.shape):
        return _full(op)
    parts = range(len(op.results or op.into))
    orders = [order_of(op, n, planned) for n in parts]
    unit = max(32 // _item(d), 1)
    if op.name == "copy" and planned and tile_of(x).strides == op.target.tile.strides:
        return Form("copy")
    if all(len(o.rows) > 4 or len(o.along) > 3 for o in orders):
        return None
    if all(o.along[-1:] in ((), ((o.along or ((1, 1),))[-1][0], 1),) or o.along == () or (len(o.along) == 1 and o.along[0][1] == 1) for o in orders) and \
            all(len(o.along) <= 1 and o.start % unit == 0 and all(s % unit == 0 for _, s in o.rows) for o in orders):
        return Form("rows_from")
    if _item(d) not in (2, 4):
        return None
    o = orders[0]
    if len(orders) == 1 and len(o.along) == 1 and o.along[0][1] == 0 and len(o.rows) == 1 and o.rows[0][1] == 1 and not o.start:
        return Form("columns_from", spares=0)
    return Form("gather_from", spares=4)


def _concat(op: Op) -> Form | None:
    shape, axis = op.target.tile.shape, op.attr("axis")
    if dense(shape[axis + 1:]):
        return Form("put_runs")
    unit = max(32 // _item(op.target.tile.dtype), 1)
    widths = [tile_of(a).shape[axis] for a in op.args]
    whole = all(w % unit == 0 for w in widths[:-1]) and (widths[-1] > 1 or not dense(shape[:axis]))
    return Form("put_columns") if whole and widths[-1] * _item(op.target.tile.dtype) % 32 == 0 else None


def _dot(op: Op) -> Form | None:
    return None


RULES: dict[str, Callable[[Op], Form | None]] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic), "neg": _neg, "abs": _abs, "fma": lambda op: Form("fma", spares=0),
    **dict.fromkeys(("minimum", "maximum"), _extreme), **dict.fromkeys(COMPARISONS, _comparison), "where": _where,
    **dict.fromkeys(("and", "or", "xor"), _logic), "not": _not, **dict.fromkeys(("shl", "shr"), _shift),
    **dict.fromkeys(("floordiv", "mod"), _divided), **dict.fromkeys(FUNCTIONS, _function), "round": _round,
    "popcount": _popcount, "random": _random, "bitcast": _bitcast, "cast": _cast, "full": _full, "iota": _iota,
    **dict.fromkeys(("sum", "max", "min", "argmax", "argmin"), _reduction), "cumsum": _cumsum, "segment_sum": _segment_sum, "take": _take,
    **dict.fromkeys(("transpose", "reshape", "broadcast", "split", "copy"), _copied), "concat": _concat, "dot": _dot}


# ---------------------------------------------------------------- text
def describe(op: Op, scope: Scope) -> Context:
    """The macro of an op on tiles, and what it is given."""
    found = _form(op, planned=True)
    if found is None:
        return BY_ELEMENT.get(op.name, elementwise)(op, scope)
    own = TEXTS.get(found.name.removesuffix("_numbers"), TEXTS.get(op.name))
    if own is not None:
        return own(op, scope, found)
    return _call(op, scope, found, [operand_text(a, op, scope) for a in op.args])


def _call(op: Op, scope: Scope, form: Form, operands: list[str]) -> Context:
    args = [scope.name(op.target), *operands, *map(str, form.args), *(["scratch"] if form.spares >= 0 else [])]
    return {"macro": "tile_call", "function": form.name, "types": [str(t) for t in form.types], "args": args}


def _scalar_result(op: Op, scope: Scope, form: Form) -> Context:
    """A reduction of all of a tile to a scalar: the result is read where it was put, in scratch."""
    t = op.target.tile
    return {"macro": "tile_bound", "type": scope.type(t.dtype), "name": scope.name(op.target), "function": "scalar_of", "types": [scope.type(t.dtype)],
            "inner": form.name, "args": [scope.name(op.args[0])], "element": "f16" if t.dtype is BOOL else scope.type(t.dtype)}      # type: ignore[arg-type]


def _reduced(op: Op, scope: Scope, form: Form) -> Context:
    if not op.target.tile.shape:
        return _scalar_result(op, scope, form)
    return _call(op, scope, form, [scope.name(op.args[0])])      # type: ignore[arg-type]


def _cast_text(op: Op, scope: Scope, form: Form) -> Context:
    """Casts to a 16-bit pattern of the other sign go by the type of the same size."""
    target, source = scope.name(op.target), scope.name(op.args[0])      # type: ignore[arg-type]
    if form.name in ("wrap",) and op.attr("dtype").name == "u16":
        target = scope.say("seen_as", "i16", target)
    args = [target, source, *(["scratch"] if form.spares >= 0 else [])]
    return {"macro": "tile_call", "function": form.name, "types": [str(t) for t in form.types], "args": args}


def _moved(op: Op, scope: Scope, form: Form) -> Context:
    if form.name in ("full", "copy"):
        return _call(op, scope, form, [scope.scalar(op.args[0]) if form.name == "full" else scope.name(op.args[0])])      # type: ignore[arg-type]
    lines = []
    for n, r in enumerate(op.into or op.results):
        o = order_of(op, n)
        lines.append({"function": form.name, "to": scope.name(r), "source": scope.name(op.args[0]), "rows": rows_from(o),      # type: ignore[arg-type]
                      "along": elements_from(o) if form.name == "gather_from" else [], "scratch": form.spares >= 0})
    return {"macro": "tile_moves", "moves": lines}


def _joined(op: Op, scope: Scope, form: Form) -> Context:
    shape, axis, start = op.target.tile.shape, op.attr("axis"), 0
    lines: list[Context] = []
    strides = op.target.tile.strides
    for a in op.args:
        args = [scope.name(op.target), scope.name(a), str(start)]      # type: ignore[arg-type]
        lines.append({"function": form.name, "args": args + ([str(prod(shape[:axis]))] if form.name == "put_runs" else [])})
        start += tile_of(a).shape[axis] * (strides[axis] if form.name == "put_runs" else 1)
    return {"macro": "tile_calls", "calls": lines}


def _segment_text(op: Op, scope: Scope, form: Form) -> Context:
    x, segment = op.args
    args = [scope.name(op.target), scope.name(x), scope.name(segment), str(op.attr("n")), str(tile_of(x).shape[0])]      # type: ignore[arg-type]
    return {"macro": "tile_call", "function": form.name, "types": [scope.type(dtype_of(segment))], "args": args}


def _take_text(op: Op, scope: Scope, form: Form) -> Context:
    table, index = op.args
    n = tile_of(table).shape[0]
    if form.name == "take":
        return _call(op, scope, form, [scope.name(table), scope.name(index)])      # type: ignore[arg-type]
    tile = isinstance(index, Value) and index.tile.shape
    shape = dense(index.tile.shape) if tile else ()      # type: ignore[union-attr]
    count = prod(shape)
    columns = shape[-1] if shape else 1
    pitch = next((s for s in reversed(index.tile.strides[:-1]) if s), columns) if tile else 1      # type: ignore[union-attr]
    pitch = pitch if len(shape) > 1 else columns
    args = [scope.name(op.target), scope.name(table), scope.name(index) if tile else scope.scalar(index), str(n), str(count), str(columns), str(pitch)]      # type: ignore[arg-type]
    return {"macro": "tile_call", "function": form.name, "types": [scope.type(dtype_of(index))], "args": args}


TEXTS: dict[str, Callable[[Op, Scope, Form], Context]] = {
    **dict.fromkeys(("sum", "max", "min", "argmax", "argmin"), _reduced), "cast": _cast_text, "bitcast": _cast_text,
    **dict.fromkeys(("segment_sum",), _segment_text), **dict.fromkeys(("take", "take_runs"), _take_text), **dict.fromkeys(("put_runs", "put_columns"), _joined),
    **dict.fromkeys(("rows_from", "columns_from", "gather_from"), _moved)}
