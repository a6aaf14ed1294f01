"""What an op is: one entry with signature, docstring, numpy meaning and numeric class, from which everything else is derived."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DslError
from ..types import BOOL, DTYPES, DType, TileType, broadcast_shapes

Types = Sequence[TileType]
Attrs = Mapping[str, Any]
Infer = Callable[[Types, Attrs], tuple[TileType, ...]]
Meaning = Callable[..., Any]

# Letters of signatures: which dtypes an operand may have, and the words for it.  Narrow types are for storage: no letter but T admits them,
# the front end computes in the widened type (LANGUAGE, section 4).
CLASSES: dict[str, tuple[Callable[[DType], bool], str]] = {
    "T": (lambda d: True, "a tile"),
    "F": (lambda d: d.kind == "f" and d.bits >= 32, "an f32 or f64 tile"),
    "I": (lambda d: d.kind == "i", "an integer tile"),
    "J": (lambda d: d.kind in "ib", "an integer or bool tile"),
    "N": (lambda d: (d.kind == "i" and d.bits >= 8) or (d.kind == "f" and d.bits >= 32), "an integer, f32 or f64 tile"),
    "C": (lambda d: d.kind == "b" or (d.kind == "i" and d.bits >= 8) or (d.kind == "f" and d.bits >= 32), "a bool, integer, f32 or f64 tile"),
}


@dataclass(frozen=True)
class Param:
    """One operand of a signature.  `letter` is a key of CLASSES or a dtype name; `many` takes all that follow."""

    name: str
    letter: str
    optional: bool = False
    many: bool = False


@dataclass(frozen=True)
class OpDef:
    """An op.  numeric: "E" exact, "R" correctly rounded, "B" within `error`.  `rule` is the promotion the front end applies:

    arithmetic widens narrow operands; selection computes widened and gives the operands' type back; comparison widens; summation takes
    the type of a sum; bitwise keeps types; exact leaves operands alone.  `group` is the letter of LANGUAGE, section 6.
    """

    name: str
    params: tuple[Param, ...]
    attrs: tuple[tuple[str, Any], ...]
    result: str
    signature: str
    doc: str
    group: str
    numeric: str
    error: str
    rule: str
    effect: str
    elementwise: bool
    language: bool
    infer: Infer
    meaning: Meaning

    @property
    def pure(self) -> bool:
        """Free of effects: may be moved, shared or dropped."""
        return self.effect == ""


OPS: dict[str, OpDef] = {}
REQUIRED = object()
_SIGNATURE = re.compile(r"(\w[\w.]*)\(([^;)]*)(?:;([^)]*))?\)\s*->\s*(.*)")


def _read_param(text: str) -> Param:
    name, letter = (part.strip() for part in text.split(":"))
    return Param(name.lstrip("*"), letter.rstrip("?"), letter.endswith("?"), name.startswith("*"))


def _read_attr(text: str) -> tuple[str, Any]:
    name, eq, default = (part.strip() for part in text.partition("="))
    return name, {"None": None, "True": True, "False": False}.get(default, default.strip('"')) if eq else REQUIRED


def op(signature: str, doc: str = "", *, group: str, numeric: str = "E", error: str = "", rule: str = "exact", effect: str = "",
       language: bool = True, infer: Infer | None = None, elementwise: bool | None = None) -> Callable[[Meaning], Meaning]:
    """Declare an op: `signature` is "name(x: F, y: F; attr, attr=default) -> F"; the decorated function is its meaning in numpy.

    `doc` is the function's docstring unless given.

    Without `infer` the op is elementwise: operands with the same letter have one dtype, shapes broadcast, and the result has the letter's
    dtype or the dtype named after the arrow.  Raises ValueError if the signature cannot be read or the name is taken.
    """
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        raise ValueError(f"cannot read the signature {signature!r}")
    name, params, attrs, result = match.groups()
    if name in OPS:
        raise ValueError(f"op {name} is declared twice")
    read = tuple(_read_param(p) for p in params.split(",") if p.strip())
    read_attrs = tuple(_read_attr(a) for a in (attrs or "").split(",") if a.strip())

    def declare(meaning: Meaning) -> Meaning:
        deduce = infer or (lambda types, _attrs: elementwise_type(name, read, result, types))
        OPS[name] = OpDef(name, read, read_attrs, result, signature, doc or (meaning.__doc__ or "").strip(), group, numeric, error, rule, effect,
                          infer is None if elementwise is None else elementwise, language, deduce, meaning)
        return meaning

    return declare


def admit(what: str, param: Param, t: TileType) -> None:
    """Raise DslError unless `t` is what the parameter's letter admits."""
    allowed, words = CLASSES.get(param.letter, (lambda d: d.name == param.letter, f"a {param.letter} tile"))
    if not allowed(t.dtype):
        hint = "cast it first" if t.dtype is not BOOL else "cast the bool or use where"
        raise DslError(f"{what}: {param.name} must be {words}, got {describe(t)}", hint=hint)


def elementwise_type(what: str, params: Sequence[Param], result: str, types: Types) -> tuple[TileType, ...]:
    """The result type of an elementwise op, by the letters of its signature and numpy's broadcasting."""
    bound: dict[str, TileType] = {}
    for param, t in zip(params, types, strict=True):
        admit(what, param, t)
        first = bound.setdefault(param.letter, t)
        if first.dtype is not t.dtype:
            raise DslError(f"{what}: no common type for {describe(first)} and {describe(t)}", hint="cast one")
    dtype = bound[result].dtype if result in bound else DTYPES[result]
    return (TileType(dtype, broadcast(f"{what}: shapes", *(t.shape for t in types))),)


def broadcast(what: str, *shapes: tuple[int, ...], hint: str = "extents must be equal or 1, counted from the last axis") -> tuple[int, ...]:
    """The common shape of operands; DslError if there is none."""
    try:
        return broadcast_shapes(*shapes)
    except ValueError:
        raise DslError(f"{what} {' and '.join(map(str, shapes))} do not broadcast", hint=hint) from None


def describe(t: TileType) -> str:
    """A tile's type for a message: always with the word tile."""
    return f"tile<{', '.join([t.dtype.name, *map(str, t.shape)])}>"


def axis_of(what: str, axis: Any, rank: int) -> int:
    """`axis` counted from the front; DslError if it is not an axis of a tile of `rank`."""
    if not isinstance(axis, int) or isinstance(axis, bool) or not -rank <= axis < rank:
        raise DslError(f"{what}: axis {axis} is not an axis of a tile of rank {rank}", hint=f"0 to {rank - 1}" if rank else "a scalar has no axes")
    return axis % rank
