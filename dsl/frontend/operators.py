"""Operators on any mix of constants and tiles.  Constants alone are computed by Python, at once."""
from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..errors import DslError, check
from ..ir import Arg, Const
from ..ops import OPS
from ..types import BOOL, DType
from .emitter import Emitter
from .promotion import promote, unify
from .values import is_number, is_tensor, is_tile, leaves, shown

# Sign -> (group, op, meaning on constants, kinds of dtypes it is defined for).
_TABLE: dict[str, tuple[str, str, Callable[[Any, Any], Any], str]] = {
    "+": ("arithmetic", "add", operator.add, "if"), "-": ("arithmetic", "sub", operator.sub, "if"), "*": ("arithmetic", "mul", operator.mul, "if"),
    "/": ("arithmetic", "div", operator.truediv, "f"), "//": ("arithmetic", "floordiv", operator.floordiv, "i"), "%": ("arithmetic", "mod", operator.mod, "i"),
    "&": ("bitwise", "and", operator.and_, "ib"), "|": ("bitwise", "or", operator.or_, "ib"), "^": ("bitwise", "xor", operator.xor, "ib"),
    "<<": ("shift", "shl", operator.lshift, "i"), ">>": ("shift", "shr", operator.rshift, "i"),
    **{sign: ("comparison", f.__name__, f, "ifb") for sign, f in (
        ("<", operator.lt), ("<=", operator.le), (">", operator.gt), (">=", operator.ge), ("==", operator.eq), ("!=", operator.ne))}}
_HINTS = {"/": "// divides integers; tile.cast(x, tile.f32) first", "//": 'tile.round(x / y, "down")'}


def binary(emitter: Emitter, sign: str, x: Any, y: Any) -> Any:
    """x sign y, comparisons among the signs."""
    group, name, on_constants, kinds = _TABLE[sign]
    if not (is_tile(x) or is_tile(y)):
        return _constants(sign, on_constants, x, y, group == "comparison")
    if group == "shift":
        return _shift(emitter, sign, name, x, y)
    (a, b), _ = unify(emitter, (x, y), sign, arithmetic=group == "arithmetic", widen=group != "bitwise")
    check(group != "bitwise" or a.tile.dtype.kind in kinds, f"{sign}: integers and bool only, got {a.tile.dtype}", hint="tile.bitcast(x, tile.i32)")
    check(a.tile.dtype.kind in kinds, f"{sign}: not defined for {a.tile.dtype}", hint=_HINTS.get(sign, ""))
    check(not (sign in ("//", "%") and is_number(y) and y == 0), f"{sign}: division by zero")
    return emitter.one(name, a, b)


def _constants(sign: str, f: Callable[[Any, Any], Any], x: Any, y: Any, comparing: bool) -> Any:
    for operand in (x, y):
        check(not is_tensor(operand), f"{sign}: {shown(operand)} is not a tile", hint="tile.load(t, at) reads a tile from it")
        run_time = any(is_tile(leaf) or is_tensor(leaf) for leaf in leaves(operand))
        check(not (comparing and run_time), f"{sign}: a tuple of run-time values is not compared", hint="compare its parts")
    try:
        return f(x, y)
    except (ArithmeticError, TypeError, ValueError) as error:
        found = f"{shown(x)} {sign} {shown(y)}"
        raise DslError(f"{found} is division by zero" if isinstance(error, ZeroDivisionError) else f"{found} is not defined") from None


def _shift(emitter: Emitter, sign: str, name: str, x: Any, y: Any) -> Arg:
    good = is_tile(x) and x.tile.dtype.kind == "i"
    check(good, f"{sign}: the left operand must be an integer tile, got {shown(x)}", hint="" if is_tile(x) else "tile.full((), 1, tile.i32)")
    wide: DType = x.tile.dtype.widened
    if is_number(y):
        check(isinstance(y, int) and 0 <= y < wide.bits, f"{sign}: shift amount {y} outside 0..{wide.bits - 1}")
        return emitter.one(name, emitter.cast(x, wide), Const(int(y), wide))
    check(is_tile(y) and y.tile.dtype.kind == "i", f"{sign}: the shift amount must be an integer, got {shown(y)}")
    args, _ = unify(emitter, (emitter.cast(x, wide), emitter.cast(y, wide)), sign, arithmetic=True, widen=True)
    return emitter.one(name, *args)


def negative(emitter: Emitter, x: Any) -> Any:
    """-x: floats keep their type, sub-byte integers are computed in and give i32, as in arithmetic."""
    if is_number(x):
        return -x
    check(is_tile(x), f"-: expected a tile or a number, got {shown(x)}")
    check(x.tile.dtype is not BOOL, "-: bool has no arithmetic; cast it or use where", hint="~ negates a bool")
    operand = emitter.cast(x, x.tile.dtype.widened) if x.tile.dtype.kind == "i" else x
    (arg,), narrow = promote(emitter, OPS["neg"], (operand,))
    result = emitter.one("neg", arg)
    return result if narrow is None else emitter.back(result, narrow)


def inverted(emitter: Emitter, x: Any) -> Any:
    """~x of integers and bool."""
    if isinstance(x, int) and not isinstance(x, bool):
        return ~x
    check(is_tile(x) and x.tile.dtype.kind != "f", f"~: integers and bool only, got {shown(x)}", hint="not x, for a constant" if isinstance(x, bool) else "")
    return emitter.one("not", x)
