"""Loads, stores and atomics of the vector unit: by rows where an axis of the tile runs along memory, else element by element on the scalar unit."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dslc.errors import DslError
from dslc.ir import Const, Op, Operand, Span, Value
from dslc.ops.control import access_shape
from dslc.passes.intervals import ACCESSES
from dslc.render import Scope, parenthesised
from dslc.types import DTYPES, F32, I32, TensorType

from ..common.access import Access
from ..common.conversion import unsigned
from .arrange import form, item_bytes
from .limits import BLOCK

Context = dict[str, Any]
MEMORY_OPS, ATOMICS = ACCESSES, ACCESSES[2:]
ATOMIC_WORDS = {"atomic_add": "Add", "atomic_min": "Min", "atomic_max": "Max"}


def coordinates(op: Op) -> tuple[Operand, ...]:
    """The coordinates of a memory op."""
    return op.args[1:] if op.name == "load" else op.args[2:]


def tensor(op: Op) -> TensorType:
    """The type of the tensor of a memory op."""
    assert isinstance(op.args[0], Value)
    return op.args[0].tensor


# ---------------------------------------------------------------- which way
@dataclass(frozen=True)
class Axis:
    """One axis of a tile that has more than one element: of dimension `dim` by a span, or of the index tiles."""

    axis: int
    extent: int
    dim: int | None


def axes(op: Op) -> list[Axis]:
    """The axes of the tile that an access names, those of extent 1 left out."""
    found: list[Axis] = []
    coords = coordinates(op)
    tiles = [c.tile.shape for c in coords if isinstance(c, Value) and c.tile.shape]
    gathered = access_shape([c for c in coords if isinstance(c, Value) and c.tile.shape])
    at, placed = 0, False
    for d, c in enumerate(coords):
        if isinstance(c, Span):
            found.append(Axis(at, c.extent, d))
            at += 1
        elif c.tile.shape and not placed:
            found += [Axis(at + n, extent, None) for n, extent in enumerate(gathered)]
            at, placed = at + len(gathered), True
    assert tiles or not placed
    return [a for a in found if a.extent > 1]


def run_dim(op: Op) -> int | None:
    """The dimension along which elements that are neighbours in the tile are neighbours in memory; None if there is none."""
    t, coords, there = tensor(op), coordinates(op), axes(op)
    if t.packing is not None or t.dtype.kind == "b":
        return None
    if not there:                                           # one element: any span of one
        return next((d for d in reversed(range(len(coords))) if isinstance(coords[d], Span)), None)
    last = there[-1].dim
    return last if last is not None and last in t.unit else None


def _in_fields(op: Op) -> bool:
    """Whether a load's last two axes are spans, the first of them along fields of 32-bit words and the other along memory."""
    t, there = tensor(op), axes(op)
    if op.name != "load" or t.packing is None or t.packing.word.bits != 32 or t.packing.order != "adjacent" or t.dtype.kind == "b" or len(there) < 2:
        return False
    spans = all(isinstance(c, Span) or not c.tile.shape for c in coordinates(op))
    return spans and there[-2].dim == t.packing.axis and there[-1].dim in t.unit


def way(op: Op) -> str:
    """"rows" of spans, "gathered" rows, "fields" of words in rows, "elements", or one "scalar"."""
    coords = coordinates(op)
    if not access_shape(coords):
        return "scalar"
    if _in_fields(op):
        return "fields"
    if run_dim(op) is None:
        return "elements"
    return "gathered" if any(isinstance(c, Value) and c.tile.shape for c in coords) else "rows"


def fills(op: Op, unit: int) -> bool:
    """Whether a load writes padding by vector instructions in every case: rows have more of it than a block, or rows may be missing."""
    if way(op) not in ("rows", "gathered"):
        return False
    (into,) = op.into
    f = form(into, unit)
    block = BLOCK // item_bytes(into.tile.dtype)
    return -(-f.columns // block) * block < f.pitch or (way(op) == "gathered" and len(op.attr("inside", ())) < len(coordinates(op)))


def scratch(op: Op) -> int:
    """Bytes of scratch: a block for one element or the start of a row; words and one field of each, twice."""
    if op.name == "load" and way(op) == "fields":
        there, fields_ = axes(op), tensor(op).fields
        return -(-there[-2].extent // fields_) * (-(-there[-1].extent // BLOCK) * BLOCK) * (4 + 4 + 2)
    if op.name == "load":
        return 0
    return BLOCK if way(op) != "gathered" or len(op.attr("inside", ())) < len(coordinates(op)) else 0


# ---------------------------------------------------------------- spelling
@dataclass
class Spelled(Access):
    """An access within loops over some of the tile's axes; the dimensions in `block` are left to the function that is called."""

    block: tuple[int, ...] = ()
    spans: dict[int, tuple[str, str, bool]] = field(default_factory=dict)      # of those: start, bound, whether proved inside

    def named(self, d: int, text: str) -> str:
        """What is read from memory is read once."""
        return super().named(d, text) if "(" not in text or " " in text else super().named(d, f"{text} ").rstrip()

    def where(self) -> str:
        """Elements from the tensor's first to the one that the block's first would be."""
        return self.offset()


def _spelled(op: Op, scope: Scope, block: tuple[int, ...]) -> tuple[Spelled, list[Context], list[Axis]]:
    """The access, the loops around it, and the axes that they run over."""
    coords, t = coordinates(op), tensor(op)
    assert isinstance(op.args[0], Value)
    a = Spelled(scope, scope.name(op.args[0]), t, access_shape(coords), block=block)
    rank = max((len(c.tile.shape) for c in coords if isinstance(c, Value)), default=0)
    looped = [x for x in axes(op) if x.dim is None or x.dim not in block]
    names = {x.axis: f"e{n}" for n, x in enumerate(looped)}
    at, placed = 0, None
    for d, c in enumerate(coords):
        bound, proved = scope.dim(t.dims[d]), d in op.attr("inside", ())
        if isinstance(c, Span):
            if c.stop is not None:
                bound = scope.say("least", bound, scope.scalar(c.stop))
            start, index = scope.scalar(c.start), names.get(at, "")
            at += 1
            if d in block:
                start = a.named(d, start)
                a.spans[d] = (start, bound, proved)
                a.coordinates.append(start)
                continue
            text = start if not index else index if start == "0" else f"{parenthesised(start)} + {index}"
        elif c.tile.shape:
            assert isinstance(c, Value)
            placed, at = (at, at + rank) if placed is None else (placed, at)
            text = _index_element(c, scope, names, placed, rank)
        else:
            text = scope.scalar(c)
        a.coordinates.append(a.named(d, text))
        if not proved:
            a.conditions.append(scope.say("within", a.coordinates[-1], bound))
    return a, [{"index": names[x.axis], "extent": x.extent} for x in looped], looped


def _index_element(c: Value, scope: Scope, names: dict[int, str], placed: int, rank: int) -> str:
    lead = rank - len(c.tile.shape)
    terms = [_term(names[placed + lead + n], s) for n, (extent, s) in enumerate(zip(c.tile.shape, c.tile.strides, strict=True)) if extent > 1]
    text = scope.say("get", scope.name(c), " + ".join(terms) or "0")
    return text if c.tile.dtype in (DTYPES["index"], DTYPES["i64"]) else scope.say("as_index", text)


def _term(name: str, stride: int) -> str:
    return name if stride == 1 else f"{name} * {stride}"


def _element(v: Value, looped: list[Axis]) -> str:
    """Which element of a tile the loops are at."""
    return " + ".join(_term(f"e{n}", v.tile.strides[x.axis]) for n, x in enumerate(looped)) or "0"


# ---------------------------------------------------------------- the ops
def describe(op: Op, scope: Scope) -> Context:
    """The context of a memory op's macro."""
    if op.name in ATOMIC_WORDS and tensor(op).dtype not in (I32, F32):
        raise DslError(f"{op.name} on {tensor(op).dtype} has no text on target ascend", op.loc, hint="its memory adds and compares i32 and f32")
    how = way(op)
    context = {"scalar": _scalar, "rows": _rows, "fields": _rows, "gathered": _gathered, "elements": _elements}[how](op, scope)
    checks = Access.word_checks(context.pop("access"), op, coordinates(op)) if op.name == "store" else []
    f = form(op.into[0], scope.kernel.attr("grain", 8)) if op.into else None
    context = {"padded": f is not None and f.columns < f.pitch, "first": "", "bits": 0, "signed": "", "words": "", **context}
    scattered = op.name == "store" and any(isinstance(c, Value) and c.tile.shape for c in coordinates(op))
    lacking = {"atomic": ATOMIC_WORDS.get(op.name, ""), "scattered": scattered, "kind": how, "checks": checks, "type": scope.type(tensor(op).dtype)}
    return {"macro": "tile_load" if op.name == "load" else "tile_store", **lacking, **context}


def _inside(a: Spelled, d: int, extent: int) -> str:
    """Which elements along a dimension of the block are inside."""
    start, bound, proved = a.spans[d]
    return a.scope.say("whole", extent) if proved else a.scope.say("inside", start, extent, bound)


def _rows(op: Op, scope: Scope) -> Context:
    """A block of rows at a time: the last two axes of the tile, or the last alone."""
    there, run = axes(op), run_dim(op)
    fields_ = way(op) == "fields"
    run = there[-1].dim if fields_ else run
    assert run is not None
    row = there[-2].dim if len(there) > 1 else None
    block = (run,) if row is None else (row, run)
    a, loops, looped = _spelled(op, scope, block)
    tile = op.into[0] if op.name == "load" else op.args[1]
    assert isinstance(tile, Value)
    packing = a.tensor.packing
    first = a.coordinates[packing.axis] if packing else ""
    if packing:
        a.coordinates[packing.axis] = "0"
    rows, columns = there[-2].extent if row is not None else 1, there[-1].extent if there else 1
    f = form(tile, scope.kernel.attr("grain", 8))
    ragged = bool(a.conditions) or not all(proved for _, _, proved in a.spans.values())
    lets, condition = list(a.lets), a.inside()
    row_range = scope.say("all_or_none", condition or "true", rows)
    if row is not None:
        row_range = _inside(a, row, rows)
        if condition:
            row_range = scope.say("either", condition, row_range, scope.say("whole", 0))
    name = scope.name(tile)
    if loops:
        name = scope.say("part", scope.type_of_elements(tile.tile.dtype), rows, columns, f.pitch, name, _element(tile, looped))  # type: ignore[attr-defined]
    return {"access": a, "loops": loops, "lets": lets, "tensor": a.name, "tile": name, "offset": a.where(),
            "stride": a.stride(row) if row is not None else "0", "ragged": ragged, "rows": row_range, "columns": _inside(a, run, columns),
            "pad": _pad(op, scope), "inside": "", "value": "", "to": "", "n": columns, "pitch": f.pitch, "first": first, "bits": a.tensor.dtype.bits,
            "signed": "true" if a.tensor.dtype.signed else "false"}


def _gathered(op: Op, scope: Scope) -> Context:
    """A row at a time, at coordinates that the scalar unit reads from index tiles."""
    there, run = axes(op), run_dim(op)
    assert run is not None
    a, loops, looped = _spelled(op, scope, (run,))
    tile = op.into[0] if op.name == "load" else op.args[1]
    assert isinstance(tile, Value)
    columns = there[-1].extent if there and there[-1].dim == run else 1
    f = form(tile, scope.kernel.attr("grain", 8))
    part = scope.say("part", scope.type_of_elements(tile.tile.dtype), 1, columns, f.pitch, scope.name(tile), _element(tile, looped))  # type: ignore[attr-defined]
    ragged = not a.spans[run][2]
    return {"access": a, "loops": loops, "lets": a.lets, "tensor": a.name, "tile": part, "offset": a.where(), "stride": "0", "ragged": ragged,
            "rows": scope.say("whole", 1), "columns": _inside(a, run, columns), "pad": _pad(op, scope), "inside": a.inside(), "value": "", "to": "",
            "n": columns, "pitch": f.pitch}


def _elements(op: Op, scope: Scope) -> Context:
    """An element at a time."""
    if op.name == "store" and tensor(op).packing is not None:
        return _words(op, scope)
    a, loops, looped = _spelled(op, scope, ())
    t = tensor(op)
    empty = {"stride": "0", "ragged": False, "rows": "", "columns": "", "n": 0, "pitch": 0}
    if op.name == "load":
        (into,) = op.into
        value = a.loaded(scope.say("read", a.name, a.offset()))
        return {"access": a, "loops": loops, "lets": a.lets, "tensor": a.name, "tile": scope.name(into), "to": _element(into, looped), "offset": a.offset(),
                "inside": a.inside(), "value": scope.say("held", t.dtype.kind == "b", value),
                "pad": scope.say("held", t.dtype.kind == "b", _pad(op, scope)), **empty}
    stored = op.args[1]
    assert isinstance(stored, Value)
    text = scope.say("unheld", t.dtype.kind == "b", scope.say("get", scope.name(stored), _element(stored, looped)))
    return {"access": a, "loops": loops, "lets": a.lets, "tensor": a.name, "tile": "", "to": "", "offset": a.offset(), "inside": a.inside(), "value": text,
            "pad": "", **empty}


def _words(op: Op, scope: Scope) -> Context:
    """Stored words, each put together from the elements of a tile that are its fields."""
    a, loops, looped = _spelled(op, scope, ())
    t, value = a.tensor, op.args[1]
    assert t.packing is not None and isinstance(value, Value)
    axis, c = t.packing.axis, coordinates(op)[t.packing.axis]
    if not isinstance(c, Span):
        raise DslError(f"store: {a.name} is packed along a dimension that is not stored as a span", op.loc)
    bound = scope.dim(t.dims[axis])
    end = scope.say("least", bound, scope.scalar(c.stop)) if c.stop is not None else bound
    mine = next((n for n, x in enumerate(looped) if x.dim == axis), None)
    word, at = scope.fresh("word"), scope.fresh("place")
    own = [scope.say("within", a.coordinates[axis], limit) for limit in (bound, end)]
    conditions = [text for text in a.conditions if text not in own]
    terms = [_term(f"e{n}", value.tile.strides[x.axis]) for n, x in enumerate(looped) if n != mine]
    a.coordinates[axis] = word if t.packing.order == "split" else scope.say("times", word, t.fields)
    wide = scope.type(unsigned(t.packing.word))
    order = "" if isinstance(t.packing.order, str) else "".join(f"\\x{e:02x}" for e in t.packing.order)
    return {"access": a, "loops": [x for n, x in enumerate(loops) if n != mine], "lets": [text for text in a.lets if f"e{mine}" not in text], "tensor": a.name,
            "tile": scope.name(value), "offset": a.offset(), "inside": a.scope.say("both", conditions), "to": " + ".join(terms) or "0", "value": "", "pad": "",
            "stride": "0", "ragged": False, "rows": "", "columns": "", "n": c.extent, "pitch": 0,
            "words": {"name": word, "at": at, "type": wide, "stored": scope.type(t.packing.word), "fields": t.fields, "bits": t.dtype.bits,
                      "start": scope.scalar(c.start), "end": end, "bound": bound, "split": t.packing.order == "split",
                      "step": value.tile.strides[looped[mine].axis] if mine is not None else 0,
                      "order": order, "bool": t.dtype.kind == "b"}}


def _scalar(op: Op, scope: Scope) -> Context:
    """One element to or from a scalar."""
    a, loops, _ = _spelled(op, scope, ())
    assert not loops
    context = {"access": a, "loops": [], "lets": a.lets, "tensor": a.name, "tile": "", "offset": a.offset(), "inside": a.inside(), "stride": "0",
               "ragged": False, "rows": "", "columns": "", "pad": "", "n": 0, "pitch": 0}
    if op.name != "load":
        return {**context, "value": scope.scalar(op.args[1]), "to": ""}
    result = op.target
    return {**context, "value": a.loaded(scope.say("read", a.name, a.offset())), "pad": _pad(op, scope),
            "to": f"const {scope.type(result.tile.dtype)} {scope.name(result)}"}


def _pad(op: Op, scope: Scope) -> str:
    return scope.literal(Const(op.attr("pad", 0), tensor(op).dtype)) if op.name == "load" else ""
