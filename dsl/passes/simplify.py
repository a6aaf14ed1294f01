"""Algebraic identities that hold bit for bit, NaN and the sign of zero included, and control flow decided by constants."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..ir import Arg, Body, Const, Kernel, Op, Value, substitute
from ..types import BOOL, DType
from ._rewriting import Change, as_op, fit, is_const, literal, scalars, to_fixpoint

Defs = Mapping[Value, Op]
SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}
NEGATED = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}
COMMUTES = ("add", "mul", "and", "or", "xor", "eq", "ne", "minimum", "maximum")


def simplify(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then no identity below applies: literals stand second and comparisons of two values are lt, le, eq or ne;
    no branch has a constant condition, no loop has constant bounds with less than two trips."""
    return to_fixpoint(kernel, _rule)


def _rule(op: Op, defs: Defs) -> Change | None:
    if op.name in CONTROL:
        return CONTROL[op.name](op)
    if len(op.results) != 1 or op.name not in RULES:
        return None
    found = RULES[op.name](op, scalars(op), defs)
    if found is None:
        return None
    return as_op(found) if isinstance(found, Op) else fit(found, op)


Found = Op | Arg | None
Args = tuple[Arg, ...]


def _same(x: Arg, y: Arg) -> bool:
    return x is y or (isinstance(x, Const) and isinstance(y, Const) and x.dtype is y.dtype and is_const(x, y.value))


def _integral(x: Arg) -> bool:
    return x.tile.dtype.kind in "bi"


def _def(x: Arg, defs: Defs, *names: str) -> Op | None:
    op = defs.get(x) if isinstance(x, Value) else None
    return op if op is not None and op.name in names else None


def _ones(dtype: DType) -> Const:
    """The literal with every bit set."""
    return literal(True if dtype.kind == "b" else -1 if dtype.signed else dtype.hi, dtype)


def _inner(op: Op, x: Arg, y: Arg, defs: Defs) -> Op | None:
    """(z op c) op d as z op (c op d), the literals left for folding: integers only, where wrapping makes it exact."""
    before = _def(x, defs, op.name)
    if before is None or not isinstance(y, Const) or not _integral(x) or not isinstance(scalars(before)[1], Const):
        return None
    z, c = scalars(before)
    bits, lo = y.dtype.bits, y.dtype.lo
    total = int(c.value) + int(y.value) if op.name == "add" else int(c.value) * int(y.value)  # type: ignore[union-attr]
    return replace(op, args=(z, literal((total - lo) % (1 << bits) + lo, y.dtype)))


def _add(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    return x if is_const(y, 0 if _integral(x) else -0.0) else _inner(op, x, y, defs)


def _sub(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    if is_const(y, 0):
        return x
    return literal(0, x.tile.dtype) if x is y and _integral(x) else None


def _mul(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    if is_const(y, 1):
        return x
    return y if is_const(y, 0) and _integral(x) else _inner(op, x, y, defs)


def _div(op: Op, args: Args, defs: Defs) -> Found:
    return args[0] if is_const(args[1], 1) else None


def _fma(op: Op, args: Args, defs: Defs) -> Found:
    x, y, z = args
    if is_const(x, 1) or is_const(y, 1):
        return replace(op, name="add", args=(y if is_const(x, 1) else x, z))
    return replace(op, name="mul", args=(x, y)) if is_const(z, -0.0) else None


def _positive(y: Arg) -> int:
    return int(y.value) if isinstance(y, Const) and y.value > 0 else 0


def _floordiv(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    if is_const(y, 1):
        return x
    before = _def(x, defs, "floordiv")
    if before is not None and _positive(y) and _positive(scalars(before)[1]):
        z, c = scalars(before)
        total = _positive(c) * _positive(y)
        return replace(op, args=(z, literal(total, y.tile.dtype))) if total <= y.tile.dtype.hi else None
    return None


def _mod(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    n = _positive(y)
    before = _def(x, defs, "mul", "mod")
    if n == 1:
        return literal(0, y.tile.dtype)
    if before is None or not n or not _positive(scalars(before)[1]):
        return None
    z, c = scalars(before)
    if before.name == "mul":        # a power of two divides 2^bits, so wrapping keeps the multiple
        return literal(0, y.tile.dtype) if n & (n - 1) == 0 and _positive(c) % n == 0 else None
    if n % _positive(c) == 0:
        return x
    return replace(op, args=(z, y)) if _positive(c) % n == 0 else None


def _shift(op: Op, args: Args, defs: Defs) -> Found:
    return args[0] if is_const(args[1], 0) or is_const(args[0], 0) else None


def _and_or(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    keep, drop = _ones(x.tile.dtype), literal(0, x.tile.dtype)
    if op.name == "or":
        keep, drop = drop, keep
    if _same(x, y) or _same(y, keep):
        return x
    if _same(y, drop):
        return y
    before = _def(x, defs, op.name)
    return x if before is not None and any(_same(a, y) for a in scalars(before)) else None


def _xor(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    if is_const(y, 0):
        return x
    if _same(y, _ones(x.tile.dtype)):
        return replace(op, name="not", args=(x,))
    return literal(0, x.tile.dtype) if _same(x, y) else None


def _not(op: Op, args: Args, defs: Defs) -> Found:
    before = _def(args[0], defs, "not", *NEGATED)
    if before is None:
        return None
    if before.name == "not":
        return scalars(before)[0]
    exact = before.name in ("eq", "ne") or _integral(scalars(before)[0])        # not (x < y) holds of a NaN, x >= y does not
    return replace(op, name=NEGATED[before.name], args=before.args) if exact else None


def _compare(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    if (isinstance(x, Const) and not isinstance(y, Const)) or (op.name in ("gt", "ge") and not isinstance(y, Const)):
        return replace(op, name=SWAPPED[op.name], args=(y, x)) if op.name not in ("eq", "ne") or isinstance(x, Const) else None
    if x is y and _integral(x):
        return literal(op.name in ("le", "ge", "eq"), BOOL)
    if x.tile.dtype is BOOL and isinstance(y, Const) and op.name in ("eq", "ne"):
        return x if (op.name == "eq") == bool(y.value) else replace(op, name="not", args=(x,))
    return None


def _extreme(op: Op, args: Args, defs: Defs) -> Found:
    x, y = args
    before = _def(x, defs, op.name)
    return x if _same(x, y) or (before is not None and _integral(x) and any(_same(a, y) for a in scalars(before))) else None


def _neg(op: Op, args: Args, defs: Defs) -> Found:
    before = _def(args[0], defs, "neg")
    return None if before is None else scalars(before)[0]


def _abs(op: Op, args: Args, defs: Defs) -> Found:
    before = _def(args[0], defs, "neg", "abs")
    return None if before is None else args[0] if before.name == "abs" else replace(op, args=before.args)


def _where(op: Op, args: Args, defs: Defs) -> Found:
    c, x, y = args
    if isinstance(c, Const):
        return x if c.value else y
    if _same(x, y):
        return x
    flipped = _def(c, defs, "not")
    if flipped is not None:
        return replace(op, args=(scalars(flipped)[0], y, x))
    if x.tile.dtype is BOOL and is_const(x, True) and is_const(y, False):
        return c
    return replace(op, name="not", args=(c,)) if x.tile.dtype is BOOL and is_const(x, False) and is_const(y, True) else None


def _literal_second(rule: Callable[[Op, Args, Defs], Found]) -> Callable[[Op, Args, Defs], Found]:
    def swapped(op: Op, args: Args, defs: Defs) -> Found:
        if isinstance(args[0], Const) and not isinstance(args[1], Const):
            return replace(op, args=(args[1], args[0]))
        return rule(op, args, defs)
    return swapped


RULES: dict[str, Callable[[Op, Args, Defs], Found]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "fma": _fma, "floordiv": _floordiv, "mod": _mod, "shl": _shift, "shr": _shift,
    "and": _and_or, "or": _and_or, "xor": _xor, "not": _not, "minimum": _extreme, "maximum": _extreme, "neg": _neg, "abs": _abs, "where": _where}
RULES = {name: _literal_second(rule) if name in COMMUTES else rule for name, rule in RULES.items()} | dict.fromkeys(NEGATED, _compare)


# ---------------------------------------------------------------- control
def _inlined(body: Body, args: Args) -> Change:
    ops = [substitute(o, dict(zip(body.params, args, strict=True))) for o in body.ops]
    return ops[:-1], scalars(ops[-1])


def _if(op: Op) -> Change | None:
    c = op.args[0]
    return _inlined(op.bodies[0 if c.value else 1], ()) if isinstance(c, Const) else None


def _for(op: Op) -> Change | None:
    start, stop, *carried = scalars(op)
    if start is stop:
        return [], tuple(carried)
    if not (isinstance(start, Const) and isinstance(stop, Const)):
        return None
    if start.value >= stop.value:
        return [], tuple(carried)
    return _inlined(op.bodies[0], (start, *carried)) if start.value + op.attr("step", 1) >= stop.value else None


def _while(op: Op) -> Change | None:
    (c,) = op.bodies[0].result
    return ([], scalars(op)) if isinstance(c, Const) and not c.value else None


def _assume(op: Op) -> Change | None:
    return ([], ()) if is_const(scalars(op)[0], True) else None


CONTROL: dict[str, Callable[[Op], Change | None]] = {"if": _if, "for": _for, "while": _while, "assume": _assume}
