"""Algebraic identities that hold bit for bit, NaN and the sign of zero included, and control flow decided by constants."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..ir import Arg, Body, Const, Kernel, Op, Value, substitute
from ..types import BOOL, DType
from ._rewriting import NEGATED, SWAPPED, Change, as_op, fit, is_const, literal, made_by, scalars, to_fixpoint

Defs = Mapping[Value, Op]
Found = Op | Arg | None
COMMUTES = ("add", "mul", "and", "or", "xor", "minimum", "maximum")


def simplify(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then no identity below applies: literals stand second and comparisons of two values are lt, le, eq or ne;
    no branch has a constant condition, no loop has constant bounds with less than two trips."""
    return to_fixpoint(kernel, _rule)


def _rule(op: Op, defs: Defs) -> Change | None:
    if op.name in CONTROL:
        return CONTROL[op.name](op)
    if len(op.results) != 1 or op.name not in RULES:
        return None
    args = scalars(op)
    if op.name in COMMUTES and isinstance(args[0], Const) and not isinstance(args[1], Const):
        return as_op(replace(op, args=args[::-1]))
    found = RULES[op.name](op, defs, *args)
    if found is None:
        return None
    return as_op(found) if isinstance(found, Op) else fit(found, op)


def _same(x: Arg, y: Arg) -> bool:
    return x is y or (isinstance(x, Const) and isinstance(y, Const) and x.dtype is y.dtype and is_const(x, y.value))


def _integral(x: Arg) -> bool:
    return x.tile.dtype.kind in "bi"


def _among(y: Arg, x: Arg, defs: Defs, name: str) -> bool:
    """Whether x is already `name` of y and something."""
    before = made_by(x, defs, name)
    return before is not None and any(_same(a, y) for a in scalars(before))


def _positive(y: Arg) -> int:
    return int(y.value) if isinstance(y, Const) and y.value > 0 else 0


def _ones(dtype: DType) -> Const:
    """The literal with every bit set."""
    return literal(True if dtype.kind == "b" else -1 if dtype.signed else dtype.hi, dtype)


# ---------------------------------------------------------------- arithmetic
def _inner(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    """(z op c) op d as z op (c op d): integers only, where wrapping makes it exact."""
    before = made_by(x, defs, op.name)
    z, c = scalars(before) if before is not None else (x, None)
    if not (isinstance(c, Const) and isinstance(y, Const) and _integral(x)):
        return None
    total, lo = int(c.value + y.value if op.name == "add" else c.value * y.value), y.dtype.lo
    return replace(op, args=(z, literal((total - lo) % (1 << y.dtype.bits) + lo, y.dtype)))


def _add(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    return x if is_const(y, 0 if _integral(x) else -0.0) else _inner(op, defs, x, y)


def _sub(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    return x if is_const(y, 0) else literal(0, x.tile.dtype) if x is y and _integral(x) else None


def _mul(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    return x if is_const(y, 1) else y if is_const(y, 0) and _integral(x) else _inner(op, defs, x, y)


def _fma(op: Op, defs: Defs, x: Arg, y: Arg, z: Arg) -> Found:
    if is_const(x, 1) or is_const(y, 1):
        return replace(op, name="add", args=(y if is_const(x, 1) else x, z))
    return replace(op, name="mul", args=(x, y)) if is_const(z, -0.0) else None


def _floordiv(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    before = made_by(x, defs, "floordiv")
    if is_const(y, 1) or before is None:
        return x if is_const(y, 1) else None
    z, c = scalars(before)
    total = _positive(c) * _positive(y)
    return replace(op, args=(z, literal(total, y.tile.dtype))) if 0 < total <= y.tile.dtype.hi else None


def _mod(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    before, n = made_by(x, defs, "mul", "mod"), _positive(y)
    if n == 1:
        return literal(0, y.tile.dtype)
    c = _positive(scalars(before)[1]) if before is not None else 0
    if before is None or not n or not c:
        return None
    if before.name == "mul":        # a power of two divides 2^bits, so wrapping keeps the multiple
        return literal(0, y.tile.dtype) if n & (n - 1) == 0 and c % n == 0 else None
    return x if n % c == 0 else replace(op, args=(before.args[0], y)) if c % n == 0 else None


def _shift(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    return x if is_const(y, 0) or is_const(x, 0) else None


# ---------------------------------------------------------------- bits, comparison, selection
def _and_or(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    keep, drop = (_ones, lambda d: literal(0, d))[:: 1 if op.name == "and" else -1]
    if _same(x, y) or _same(y, keep(x.tile.dtype)) or _among(y, x, defs, op.name):
        return x
    return y if _same(y, drop(x.tile.dtype)) else None


def _xor(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    if is_const(y, 0) or _same(x, y):
        return x if is_const(y, 0) else literal(0, x.tile.dtype)
    return replace(op, name="not", args=(x,)) if _same(y, _ones(x.tile.dtype)) else None


def _not(op: Op, defs: Defs, x: Arg) -> Found:
    before = made_by(x, defs, "not", *NEGATED)
    if before is None or before.name == "not":
        return scalars(before)[0] if before is not None else None
    exact = before.name in ("eq", "ne") or _integral(scalars(before)[0])        # not (x < y) holds of a NaN, x >= y does not
    return replace(op, name=NEGATED[before.name], args=before.args) if exact else None


def _compare(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    if not isinstance(y, Const) and (isinstance(x, Const) or op.name in ("gt", "ge")):
        return replace(op, name=SWAPPED[op.name], args=(y, x))
    if x is y and _integral(x):
        return literal(op.name in ("le", "ge", "eq"), BOOL)
    if x.tile.dtype is BOOL and isinstance(y, Const) and op.name in ("eq", "ne"):
        return x if (op.name == "eq") == bool(y.value) else replace(op, name="not", args=(x,))
    return None


def _extreme(op: Op, defs: Defs, x: Arg, y: Arg) -> Found:
    return x if _same(x, y) or (_integral(x) and _among(y, x, defs, op.name)) else None


def _neg(op: Op, defs: Defs, x: Arg) -> Found:
    before = made_by(x, defs, "neg")
    return None if before is None else scalars(before)[0]


def _abs(op: Op, defs: Defs, x: Arg) -> Found:
    before = made_by(x, defs, "neg", "abs")
    return None if before is None else x if before.name == "abs" else replace(op, args=before.args)


def _where(op: Op, defs: Defs, c: Arg, x: Arg, y: Arg) -> Found:
    if isinstance(c, Const) or _same(x, y):
        return y if isinstance(c, Const) and not c.value else x
    flipped = made_by(c, defs, "not")
    if flipped is not None:
        return replace(op, args=(scalars(flipped)[0], y, x))
    if x.tile.dtype is not BOOL or not (isinstance(x, Const) and isinstance(y, Const)):
        return None
    return c if x.value else replace(op, name="not", args=(c,))


RULES: dict[str, Callable[..., Found]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": lambda op, defs, x, y: x if is_const(y, 1) else None, "fma": _fma, "floordiv": _floordiv, "mod": _mod,
    "shl": _shift, "shr": _shift, "and": _and_or, "or": _and_or, "xor": _xor, "not": _not, "minimum": _extreme, "maximum": _extreme, "neg": _neg, "abs": _abs,
    "where": _where, **dict.fromkeys(NEGATED, _compare)}


# ---------------------------------------------------------------- control
def _inlined(body: Body, args: tuple[Arg, ...]) -> Change:
    ops = [substitute(o, dict(zip(body.params, args, strict=True))) for o in body.ops]
    return ops[:-1], scalars(ops[-1])


def _if(op: Op) -> Change | None:
    c = op.args[0]
    return _inlined(op.bodies[0 if c.value else 1], ()) if isinstance(c, Const) else None


def _for(op: Op) -> Change | None:
    start, stop, *carried = scalars(op)
    if not (start is stop or (isinstance(start, Const) and isinstance(stop, Const))):
        return None
    if start is stop or start.value >= stop.value:  # type: ignore[union-attr]
        return [], tuple(carried)
    return _inlined(op.bodies[0], (start, *carried)) if start.value + op.attr("step", 1) >= stop.value else None  # type: ignore[union-attr]


def _while(op: Op) -> Change | None:
    (c,) = op.bodies[0].result
    return ([], scalars(op)) if isinstance(c, Const) and not c.value else None


def _assume(op: Op) -> Change | None:
    return ([], ()) if is_const(scalars(op)[0], True) else None


CONTROL: dict[str, Callable[[Op], Change | None]] = {"if": _if, "for": _for, "while": _while, "assume": _assume}
