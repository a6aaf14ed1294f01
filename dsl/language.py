"""The names a kernel is written with: `tile.load`, `tile.f32`, ..  They mean something inside kernels; on plain numbers some work anywhere."""
from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .errors import DslError
from .ops import OPS
from .ops.table import REQUIRED, OpDef
from .types import DTYPES

Signature = tuple[tuple[str, Any], ...]


class Operation:
    """An operation of the language.  `parameters` are names with their defaults (REQUIRED without one), None if it takes any number.

    `constant` computes it on plain numbers; without it the operation needs a tile.
    """

    def __init__(self, name: str, doc: str, parameters: Signature | None, constant: Callable[..., Any] | None = None) -> None:
        self.__name__, self.__doc__, self.parameters, self.constant = name, doc, parameters, constant

    def __call__(self, *args: Any, **names: Any) -> Any:
        if self.constant is not None and not names and all(isinstance(a, (int, float)) for a in args):
            return self.constant(*args)
        raise DslError(f"tile.{self.__name__} is called outside a kernel", hint="decorate the function with @tile_kernel or @tile_function")

    def __repr__(self) -> str:
        return f"tile.{self.__name__}"


def cdiv(a: int, b: int) -> int:
    """The least integer not below a / b."""
    return (a + (b - 1)) // b


def _function(name: str) -> Callable[[float], float]:
    """A function of a constant is a constant, computed in f64."""
    def constant(x: float) -> float:
        with np.errstate(all="ignore"):
            return float(OPS[name].meaning(np.float64(x)))
    return constant


def _selection(name: str) -> Callable[[float, float], float]:
    return lambda x, y: OPS[name].meaning(x, y).item()


# Where the order of the user's arguments is not that of the IR's operands and attributes.
_PLACES: Signature = (("t", REQUIRED), ("at", REQUIRED), ("value", REQUIRED))
_SIGNATURES: dict[str, Signature | None] = {
    "grid": None, "load": (("t", REQUIRED), ("at", REQUIRED), ("pad", 0)), "store": _PLACES, "atomic_add": _PLACES, "atomic_min": _PLACES,
    "atomic_max": _PLACES, "full": (("shape", REQUIRED), ("value", REQUIRED), ("dtype", REQUIRED)), "concat": (("parts", REQUIRED), ("axis", REQUIRED))}
_CONSTANTS: dict[str, Callable[..., Any]] = {"abs": abs, **{n: _selection(n) for n in ("minimum", "maximum")}, **{
    n: _function(n) for n in ("sqrt", "rsqrt", "exp", "exp2", "log", "log2", "sigmoid", "tanh", "erf", "sin", "cos")}}


def _operation(op: OpDef) -> Operation:
    derived = (*((p.name, None if p.optional else REQUIRED) for p in op.params), *op.attrs)
    return Operation(op.name, op.doc, _SIGNATURES.get(op.name, derived), _CONSTANTS.get(op.name))


def _operations() -> dict[str, Operation]:
    table = {name: _operation(op) for name, op in OPS.items() if op.language}
    extra = [Operation("cdiv", cdiv.__doc__ or "", (("a", REQUIRED), ("b", REQUIRED)), cdiv),
             Operation("zeros", "A tile of zeros.", (("shape", REQUIRED), ("dtype", REQUIRED))),
             Operation("range", "Run-time loop: start, start + step, .. below stop.", (("start", REQUIRED), ("stop", REQUIRED), ("step", 1))),
             Operation("unroll", "Compile-time loop: the body is repeated.", None)]
    return table | {o.__name__: o for o in extra}


class Language(SimpleNamespace):
    """The names; those of ops that were added to the table later are found there."""

    def __getattr__(self, name: str) -> Operation:
        op = OPS.get(name)
        if op is None or not op.language:
            raise AttributeError(name)
        setattr(self, name, _operation(op))
        found: Operation = vars(self)[name]
        return found


tile = Language(**_operations(), **DTYPES)
