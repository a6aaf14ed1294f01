"""What a name can hold in the front end: compile-time Python values, run-time IR values, tuples of either, or a reason why it holds nothing."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..definition import TileFunction, is_constant
from ..errors import DslError
from ..ir import Const, Value
from ..language import Operation
from ..ops.table import describe
from ..types import DType, TensorType, TileType


@dataclass(frozen=True)
class Gone:
    """A name that was bound, but not on every path that leads here."""

    why: str


def is_tile(value: Any) -> bool:
    """Whether a value is a run-time tile or scalar."""
    return isinstance(value, Const) or (isinstance(value, Value) and isinstance(value.type, TileType))


def is_tensor(value: Any) -> bool:
    return isinstance(value, Value) and isinstance(value.type, TensorType)


def is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def leaves(value: Any) -> Iterator[Any]:
    """The values in a nested tuple, left to right."""
    if isinstance(value, tuple):
        for element in value:
            yield from leaves(element)
    else:
        yield value


def rebuild(like: Any, new: Iterator[Any]) -> Any:
    """A tuple nested as `like`, filled with the next values of `new`."""
    return tuple(rebuild(element, new) for element in like) if isinstance(like, tuple) else next(new)


def same_nesting(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same_nesting, a, b))
    return not isinstance(a, tuple) and not isinstance(b, tuple)


def same_constant(a: Any, b: Any) -> bool:
    """Whether two compile-time values are the same; 0, 0.0 and False are three, and NaN is NaN."""
    return a is b or (not is_tile(a) and not is_tile(b) and type(a) is type(b) and repr(a) == repr(b))


def shown(value: Any) -> str:
    """A value for a message."""
    if isinstance(value, (Const, Value)):
        return describe(value.type) if isinstance(value.type, TileType) else f"the tensor {value.name}"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))}{',' if len(value) == 1 else ''})"
    return repr(value) if isinstance(value, (bool, int, float, str, DType, TileFunction, Operation)) or value is None else type(value).__name__


def constant(value: Any, what: str, hints: dict[Value, str]) -> Any:
    """`value`, which must be known at compile time; DslError names the run-time value in it."""
    for leaf in leaves(value):
        if isinstance(leaf, (Const, Value)):
            name = hints.get(leaf, "") if isinstance(leaf, Value) else ""
            found = f"the run-time value '{name}'" if name else "a run-time value"
            raise DslError(f"{what} must be a compile-time constant, got {found}; declare it `const`")
        if not is_constant(leaf) and not isinstance(leaf, str):
            raise DslError(f"{what} must be a compile-time constant, got {shown(leaf)}")
    return value


def integer(value: Any, what: str, hints: dict[Value, str]) -> int:
    """`value` as a compile-time integer."""
    number = constant(value, what, hints)
    if not isinstance(number, int) or isinstance(number, bool):
        raise DslError(f"{what} must be a compile-time integer, got {shown(number)}")
    return number
