"""The cube core's ops: what it can multiply and store, the bytes of its tiles, which pipes touch them, and what their macros are given."""
from __future__ import annotations

from typing import Any

from dslc.errors import DslError
from dslc.ir import Const, Kernel, Op, Operand, Span, Value, walk
from dslc.render import Scope
from dslc.types import DType, Space, TileType

from ..common.access import Access
from .arrange import form
from .limits import BLOCK, L0A_BYTES, L0C_BYTES

Context = dict[str, Any]
TYPES = ("f16", "bf16", "f32", "i8")                        # operands of Mmad on architecture 2201 (CANN documentation, Basic API, Mmad)
STORED = {"f32": ("f32", "f16", "bf16"), "i32": ("i32",)}   # what Fixpipe makes of a sum (CANN documentation, Basic API, Fixpipe)
L0_HALF = L0A_BYTES // 2                                    # bytes of an operand that one product reads while the other half is filled


# ---------------------------------------------------------------- what it can do
def square(dtype: DType) -> int:
    """Rows and columns of a panel are multiples of this: fractals, or squares of two that are transposed together."""
    return 32 if dtype.bytes == 1 else 16


def padded(n: int, dtype: DType) -> int:
    """An extent up to whole squares."""
    return -(-n // square(dtype)) * square(dtype)


def multiplies(op: Op) -> bool:
    """Whether the cube core can do a dot.  DslError where it could but for the size of L0C."""
    a, b = (v.tile for v in op.args[:2])  # type: ignore[union-attr]
    if a.dtype is not b.dtype or a.dtype.name not in TYPES:
        return False
    m, n = padded(a.shape[0], a.dtype), padded(b.shape[1], a.dtype)
    if m * n * 4 > L0C_BYTES:
        raise DslError(f"dot: a sum of {a.shape[0]} x {b.shape[1]} needs {m * n * 4} bytes of L0C, which has {L0C_BYTES}", op.loc,
                       hint="smaller tiles are needed")
    return max(m, n) * square(a.dtype) * a.dtype.bytes <= L0_HALF


def by_blocks(dtype: DType, turned: bool) -> bool:
    """Whether a panel must hold rows of fractals: two neighbours are then a square, which is what is transposed of 4-byte elements."""
    return turned and dtype.bytes == 4


def nought(dtype: DType) -> Const:
    """Zero, as a literal."""
    return Const(0.0 if dtype.kind == "f" else 0, dtype)


# ---------------------------------------------------------------- sizes
def panel_bytes(v: Value) -> int:
    """Bytes of a tile in L1."""
    rows, columns = v.tile.shape
    return padded(rows, v.tile.dtype) * padded(columns, v.tile.dtype) * v.tile.dtype.bytes


def sum_extents(t: TileType) -> tuple[int, int]:
    """Rows and columns of a sum in L0C, padding among them; sums of bytes are padded as bytes are."""
    step = 32 if t.dtype.kind == "i" else 16
    return -(-t.shape[0] // step) * step, -(-t.shape[1] // step) * step


def accumulator_bytes(v: Value) -> int:
    """Bytes of a sum in L0C."""
    rows, columns = sum_extents(v.tile)
    return rows * columns * v.tile.dtype.bytes


def slot_bytes(t: TileType) -> int:
    """Bytes of one slot of a ring: rows that start at whole blocks."""
    rows, columns = t.shape
    return rows * (-(-columns * t.dtype.bytes // BLOCK) * BLOCK)


# ---------------------------------------------------------------- pipes
def facts(op: Op, unit: int = 8) -> tuple[tuple[str, str, Value], ...]:
    """(pipe, "r" or "w", place) of an op's accesses, in order; `unit` is what the pitch of tiles in UB is a multiple of."""
    (target,) = op.into or (None,)
    if op.name == "dot":
        a, b = op.args[:2]
        return (("MTE1", "r", a), ("MTE1", "r", b), ("M", "w", target))  # type: ignore[return-value]
    if op.name == "full":
        return (("M", "w", target),)  # type: ignore[return-value]
    if op.name == "store":
        return (("FIX", "r", op.args[1]),)  # type: ignore[return-value]
    if op.attr("side") == "put":
        return (("FIX" if op.attr("cross") == "C2V" else "MTE3", "r", op.args[0]),)  # type: ignore[return-value]
    assert target is not None
    f = form(target, unit)
    filled = op.attr("cross") == "C2V" and -(-f.columns * target.tile.dtype.bytes // BLOCK) * BLOCK < f.pitch * target.tile.dtype.bytes
    return (("V", "w", target), ("MTE2", "w", target)) if filled else (("MTE2", "w", target),)


# ---------------------------------------------------------------- text
def ring_name(op: Op) -> str:
    """The object that stands for an edge's ring."""
    return f"ring{op.attr('edge')}"


def describe(op: Op, scope: Scope) -> Context:
    """The context of an op's macro: places and ops of the cube core, and both sides of what crosses."""
    if op.name == "alloc":
        return _alloc(op, scope)
    if op.name == "view":
        scope.names[op.result] = scope.name(next(op.uses()))
        return {"macro": "nothing"}
    if op.attr("cross"):
        return _crossing(op, scope)
    if op.name == "dot":
        left, right = (scope.name(v) for v in op.args[:2])  # type: ignore[arg-type]
        turned = ["true" if t else "false" for t in op.attr("turned")]
        return {"macro": "cube_dot", "left_turned": turned[0], "right_turned": turned[1], "sum": scope.name(op.target), "left": left, "right": right,
                "starts": "false" if len(op.args) == 3 else "true"}
    if op.name == "full":
        return {"macro": "cube_zero", "sum": scope.name(op.target)}
    return _access(op, scope)


def _alloc(op: Op, scope: Scope) -> Context:
    v, t = op.result, op.result.tile
    place = t.place
    assert place is not None
    if place.space is Space.WORKSPACE:
        return {"macro": "nothing"}
    rows, columns = t.shape
    context: Context = {"type": scope.type(t.dtype), "name": scope.name(v), "shape": " x ".join(map(str, t.shape))}
    size = panel_bytes(v) if place.space is Space.SHARED else accumulator_bytes(v)
    context["offset"] = scope.say("slot", place.offset, place.slots, scope.turns[-1], size)  # type: ignore[attr-defined]
    context["elements"] = size // t.dtype.bytes
    if place.space is Space.ACCUMULATOR:
        return {"macro": "accumulator", **context, "rows": rows, "columns": columns}
    filled = next(o for o in walk(scope.kernel.body) if v in o.into)
    if filled.attr("columns") == 0:
        rows, columns = columns, rows
    return {"macro": "panel", **context, "rows": rows, "columns": columns, "by_rows": "true" if filled.attr("blocks") else "false"}


def _crossing(op: Op, scope: Scope) -> Context:
    ring = ring_name(op)
    if op.attr("side") == "put" and op.attr("unit") == "cube":
        return {"macro": "sum_put", "ring": ring, "sum": scope.name(op.args[0])}  # type: ignore[arg-type]
    if op.attr("side") == "take" and op.attr("unit") == "cube":
        return {"macro": "panel_take", "ring": ring, "panel": scope.name(op.target)}
    sub = scope.name(_sub(scope.kernel))
    if op.attr("side") == "put":
        tile = op.args[0]
        assert isinstance(tile, Value)
        whole = op.name == "copy"
        return {"macro": "tile_put", "ring": ring, "tile": scope.name(tile), "first": "0" if whole else scope.say("times", sub, tile.tile.shape[0]),
                "mine": scope.say("is_first", sub) if whole else "true"}
    first = "0" if op.name == "copy" else scope.say("times", sub, op.target.tile.shape[0])
    return {"macro": "ring_take", "ring": ring, "tile": scope.name(op.target), "first": first}


def _sub(kernel: Kernel) -> Value:
    """The number of the vector core: the grid's last coordinate."""
    return next(op for op in walk(kernel.body) if op.name == "grid").results[-1]


# ---------------------------------------------------------------- loads and stores
def _access(op: Op, scope: Scope) -> Context:
    """A block of rows of a tensor: its dimensions by two spans, one of which has stride 1."""
    coords: tuple[Operand, ...] = op.args[1:] if op.name == "load" else op.args[2:]
    assert isinstance(op.args[0], Value)
    t = op.args[0].tensor
    spans = [d for d, c in enumerate(coords) if isinstance(c, Span)]
    columns_axis = op.attr("columns", 1)
    run, row = spans[columns_axis], spans[1 - columns_axis]
    a = Access(scope, scope.name(op.args[0]), t, ())
    ranges: dict[int, str] = {}
    for d, c in enumerate(coords):
        bound, proved = scope.dim(t.dims[d]), d in op.attr("inside", ())
        text = scope.scalar(c.start if isinstance(c, Span) else c)
        a.coordinates.append(a.named(d, text))
        if isinstance(c, Span):
            bound = bound if c.stop is None else scope.say("least", bound, scope.scalar(c.stop))
            ranges[d] = scope.say("whole", c.extent) if proved else scope.say("inside", a.coordinates[-1], c.extent, bound)
        elif not proved:
            a.conditions.append(scope.say("within", a.coordinates[-1], bound))
    if a.conditions:
        ranges[row] = scope.say("either", a.inside(), ranges[row], scope.say("whole", 0))
    common = {"lets": a.lets, "tensor": a.name, "offset": a.offset(), "stride": a.stride(row) if row not in t.unit else "1", "rows": ranges[row],
              "columns": ranges[run]}
    if op.name == "load":
        return {"macro": "cube_load", "to": scope.name(op.target), **common}
    return {"macro": "cube_store", "from": scope.name(op.args[1]), **common}  # type: ignore[arg-type]


# ---------------------------------------------------------------- around the programs
def rings(kernel: Kernel) -> list[tuple[Op, Value]]:
    """The puts of a kernel with both sides, and the places that they fill, by edge."""
    found = {op.attr("edge"): (op, op.into[0]) for op in walk(kernel.body) if op.attr("side") == "put"}
    return [found[n] for n in sorted(found)]


def prologue(kernel: Kernel, unit: str, scope: Scope) -> str:
    """What stands before a side's programs; `kernel` has both sides."""
    lines = [scope.say("halves")] if unit == "cube" else []
    lines += [scope.say("rings", unit, kernel.attr("workspace_bytes"))] if kernel.attr("workspace_bytes") else []
    for op, place in rings(kernel):
        rows, columns = place.tile.shape
        assert place.tile.place is not None
        lines.append(scope.say("ring", scope.type(place.tile.dtype), rows, columns, op.attr("slots"), op.attr("edge"), ring_name(op), place.tile.place.offset))
    return "\n".join([*lines, *(scope.say("opened", ring_name(op)) for op, _ in rings(kernel) if op.attr("unit") != unit)])


def epilogue(kernel: Kernel, unit: str, scope: Scope) -> str:
    """What stands after them."""
    lines = [scope.say("closed", ring_name(op), "FIX" if unit == "cube" else "MTE3") for op, _ in rings(kernel) if op.attr("unit") == unit]
    return "\n".join([*lines, *([scope.say("halves_finished")] if unit == "cube" else [])])
