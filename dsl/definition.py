"""What a decorated function is, and what one compilation of it is specialised for.  Light: no parsing, no code generation."""
from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from .dims import Annotation
from .errors import DslError, check
from .source import Source
from .types import DType


class const:
    """Annotation of a compile-time parameter: `BM: const = 128`."""


class TileFunction:
    """A function of the tile language that is inlined where it is called.  Made by the decorator `tile_function`."""

    def __init__(self, fn: FunctionType, source: Source) -> None:
        self.fn, self.source, self.__name__, self.__doc__ = fn, source, fn.__name__, fn.__doc__

    def __call__(self, *_args: Any, **_names: Any) -> Any:
        raise DslError(f"'{self.__name__}' is a tile_function and is called outside a kernel", hint="call it in a function decorated with @tile_kernel")

    def __repr__(self) -> str:
        return f"tile_function {self.__name__}"


@dataclass(eq=False)
class Definition:
    """A kernel as written.  `texts` are the annotation strings by parameter, `consts` the constants, both in the signature's order.

    `annotations` is empty until somebody fills it: from disk, or with annotations.read_annotations.
    """

    name: str
    fn: FunctionType
    source: Source
    texts: dict[str, str]
    consts: tuple[str, ...]
    defaults: dict[str, Any]
    annotations: dict[str, Annotation] = field(default_factory=dict)


@dataclass(frozen=True)
class Specialisation:
    """What a compiled kernel takes for granted.

    consts: values of constants, dimensions of the same name among them.  dtypes: values of dtype variables.  absent: optional tensors
    given as None.  units: per tensor the dimensions with stride 1.  aligned: tensors whose address and other strides are 16-byte
    multiples.  facts: (dimension, divisor) pairs.
    """

    consts: tuple[tuple[str, Any], ...] = ()
    dtypes: tuple[tuple[str, DType], ...] = ()
    absent: frozenset[str] = frozenset()
    units: tuple[tuple[str, tuple[int, ...]], ...] = ()
    aligned: frozenset[str] = frozenset()
    facts: tuple[tuple[str, int], ...] = ()


def define(fn: FunctionType, source: Source) -> Definition:
    """The definition of a kernel; DslError for a parameter without annotation.  Annotations are left unread."""
    texts: dict[str, str] = {}
    consts: list[str] = []
    for arg in source.parameters:
        node, value = arg.annotation, fn.__annotations__.get(arg.arg)
        if value is const or value == "const":
            consts.append(arg.arg)
        else:
            text = node.value if isinstance(node, ast.Constant) else None
            hint = f'{arg.arg}: "f32[N]", {arg.arg}: "f32" or {arg.arg}: const'
            check(isinstance(text, str), f"parameter '{arg.arg}' needs an annotation", source.loc(node or arg), hint=hint)
            texts[arg.arg] = str(text)
    return Definition(fn.__name__, fn, source, texts, tuple(consts), default_values(fn))


def default_values(fn: FunctionType) -> dict[str, Any]:
    """Default values of parameters by name."""
    code, values = fn.__code__, fn.__defaults__ or ()
    positional = code.co_varnames[:code.co_argcount]
    return {**dict(zip(positional[len(positional) - len(values):], values, strict=True)), **(fn.__kwdefaults__ or {})}


NOT_FOUND = object()


def outer_value(fn: FunctionType, name: str) -> Any:
    """What a name means outside the function: enclosing function, module, builtins; NOT_FOUND if nothing."""
    if name in fn.__code__.co_freevars:
        cell = (fn.__closure__ or ())[fn.__code__.co_freevars.index(name)]
        try:
            return cell.cell_contents
        except ValueError:                       # bound later in the enclosing function
            return NOT_FOUND
    return fn.__globals__.get(name, getattr(builtins, name, NOT_FOUND))


def is_constant(value: Any) -> bool:
    """Whether a value from outside may be used in a kernel."""
    return value is None or isinstance(value, (bool, int, float, DType, TileFunction)) or (isinstance(value, tuple) and all(map(is_constant, value)))


