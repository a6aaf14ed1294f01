"""What an annotation says, as data: dtype, dimensions, packing; and the arithmetic of dimension expressions.  Reading one is annotations.py."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Union

from .errors import check
from .types import DTYPES, Packing

Dim = Union[str, int, "tuple[str, Dim, Dim]"]      # a name, a number, or (operator, left, right): K/8 is ("/", "K", 8)
_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2}


@dataclass(frozen=True)
class Annotation:
    """One parameter's annotation.  `dims` None is a scalar parameter; `word` and `stored` are the dtype and dimensions of packed storage.

    `dtype` is the name of a dtype or of a dtype variable; `order` is "adjacent", "split" or a permutation of the fields of a word.
    """

    dtype: str
    dims: tuple[Dim, ...] | None = None
    word: str | None = None
    stored: tuple[Dim, ...] | None = None
    order: str | tuple[int, ...] = "adjacent"
    optional: bool = False

    def __str__(self) -> str:
        text = self.dtype
        if self.dims is not None:
            text += f"[{', '.join(map(dim_text, self.dims))}]"
        if self.stored is not None:
            text += f" in {self.word}[{', '.join(map(dim_text, self.stored))}]"
        if self.order != "adjacent":
            text += f" {self.order}" if isinstance(self.order, str) else f" order {' '.join(map(str, self.order))}"
        return text + ("?" if self.optional else "")

    @property
    def variable(self) -> str | None:
        """The dtype variable, if the dtype is one."""
        return None if self.dtype in DTYPES else self.dtype

    @property
    def packing(self) -> Packing | None:
        """How elements lie in words; the packed axis is the one whose stored extent differs."""
        if self.word is None or self.dims is None or self.stored is None:
            return None
        axis = next(d for d, (a, b) in enumerate(zip(self.dims, self.stored, strict=True)) if a != b)
        return Packing(DTYPES[self.word], axis, self.order)

    def to_json(self) -> list[Any]:
        """Plain lists, for a file; `from_json` reads them back."""
        return [self.dtype, self.dims, self.word, self.stored, self.order, self.optional]

    @staticmethod
    def from_json(data: list[Any]) -> Annotation:
        """The annotation that `to_json` wrote."""
        return Annotation(*_frozen(data))


def _frozen(data: Any) -> Any:
    return tuple(map(_frozen, data)) if isinstance(data, (list, tuple)) else data


def dim_text(dim: Dim) -> str:
    """The one spelling of a dimension: no spaces, parentheses where they are needed."""
    if not isinstance(dim, tuple):
        return str(dim)
    sign, left, right = dim

    def part(side: Dim, tight: bool) -> str:
        loose = isinstance(side, tuple) and (_BINDING[side[0]] < _BINDING[sign] or (tight and _BINDING[side[0]] == _BINDING[sign]))
        return f"({dim_text(side)})" if loose else dim_text(side)

    return f"{part(left, False)}{sign}{part(right, True)}"


def dim_names(dim: Dim) -> Iterator[str]:
    """The names in a dimension, left to right."""
    if isinstance(dim, tuple):
        yield from dim_names(dim[1])
        yield from dim_names(dim[2])
    elif isinstance(dim, str):
        yield dim


def evaluate(dim: Dim, names: Mapping[str, int]) -> Fraction:
    """The exact value of a dimension; DslError for a name that is not bound or a division by zero."""
    if isinstance(dim, int):
        return Fraction(dim)
    if isinstance(dim, str):
        check(dim in names, f"dimension {dim} is not bound by any parameter", hint=f"give some tensor the plain dimension {dim}")
        return Fraction(names[dim])
    sign, left, right = dim[0], evaluate(dim[1], names), evaluate(dim[2], names)
    if sign == "/":
        check(right != 0, f"dimension {dim_text(dim)} divides by zero")
        return left / right
    return left * right if sign == "*" else left + right if sign == "+" else left - right


def with_numbers(dim: Dim, numbers: Mapping[str, int]) -> Dim:
    """The dimension with these names as numbers, worked out where nothing else is left and the value is whole."""
    if not isinstance(dim, tuple):
        return numbers.get(dim, dim) if isinstance(dim, str) else dim
    new: Dim = (dim[0], with_numbers(dim[1], numbers), with_numbers(dim[2], numbers))
    value = None if any(True for _ in dim_names(new)) else evaluate(new, {})
    return int(value) if value is not None and value.denominator == 1 else new
