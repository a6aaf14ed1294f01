"""Kernels by name: those of dslc.kernels, of any module, of any file; and how a library kernel wants to be tried."""
from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from dslc.definition import TileFunction
from dslc.errors import DslError, check
from dslc.types import DTYPES

from .kernel import TileKernel


@dataclass(frozen=True)
class Expected:
    """What an output must be: |got - value| <= error, plus half a unit in the last place of the output's dtype.  `error` broadcasts."""

    value: Any
    error: Any = 0.0


Given = Mapping[str, Any]            # arrays as they were before the call, scalars and constants, by parameter


@dataclass(frozen=True)
class Example:
    """How `dslc run` tries a library kernel unless told otherwise.

    sizes, dtypes, scalars, consts: values by name; optional tensors in `present` are given.  prepare(random, given) changes the standard
    normal (or small integer) data in place where the kernel wants other data.  reference(given, got): outputs by name, computed apart
    from dslc in numpy; `got` is there for outputs with more than one right answer.  operations(numbers): floating-point or integer
    operations that the problem needs, padding left out, from dimensions and constants.  peer: what a user would call instead, by name, as a
    function that takes the data and gives the call to be timed (None where it has none for these dtypes).
    """

    sizes: Mapping[str, int]
    reference: Callable[[Given, Given], Mapping[str, Expected]]
    dtypes: Mapping[str, str] = field(default_factory=dict)
    scalars: Mapping[str, Any] = field(default_factory=dict)
    consts: Mapping[str, Any] = field(default_factory=dict)
    present: tuple[str, ...] = ()
    prepare: Callable[[Any, dict[str, Any]], None] | None = None
    operations: Callable[[Mapping[str, Any]], float] | None = None
    peer: tuple[str, Callable[[Given], Callable[[], Any] | None]] | None = None


@lru_cache(maxsize=1)
def library() -> dict[str, TileKernel]:
    """Every kernel of dslc.kernels by name; two with one name go by "module.name"."""
    package = import_module("dslc.kernels")
    found: dict[str, TileKernel] = {}
    for m in iter_modules(package.__path__):
        module = import_module(f"dslc.kernels.{m.name}")
        for name, kernel in vars(module).items():
            if isinstance(kernel, TileKernel) and (kernel.__module__, kernel.__name__) == (module.__name__, name):
                found[f"{m.name}.{name}" if name in found else name] = kernel
    return found


def example_of(kernel: TileKernel) -> Example | None:
    """The kernel's entry in its module's EXAMPLES."""
    found = vars(sys.modules[kernel.__module__]).get("EXAMPLES", {}).get(kernel.__name__)
    return found if isinstance(found, Example) else None


def find_kernel(name: str) -> TileKernel:
    """The kernel called `name`: a library name, "module:function", or "path/to/file.py:function".

    DslError, naming the nearest and all known, if there is none.
    """
    place, colon, function = name.rpartition(":")
    if not colon:
        known = library()
        if name in known:
            return known[name]
        raise DslError(f"no kernel of the library is called {name!r}", hint=_nearest(name, known) + "; or module:function, or path/to/file.py:function")
    module = _module(place)
    kernels = {n: k for n, k in vars(module).items() if isinstance(k, TileKernel)}
    if function not in kernels:
        what = f"{place} has no kernel called {function!r}" if function not in vars(module) else f"{function} in {place} is no tile_kernel"
        raise DslError(what, hint=_nearest(function, kernels) if kernels else "decorate the function with @tile_kernel")
    return kernels[function]


def find_kernels(name: str) -> list[TileKernel]:
    """The kernel called `name`, or every kernel of the file that it names."""
    if not name.endswith(".py"):
        return [find_kernel(name)]
    module = _module(name)
    found = [k for k in vars(module).values() if isinstance(k, TileKernel) and k.__module__ == module.__name__]
    check(found, f"{name} has no kernel", hint="decorate a function with @tile_kernel")
    return found


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, 1)
    return (f"did you mean {close[0]}? " if close else "") + f"known: {', '.join(sorted(known))}"


def _module(place: str) -> ModuleType:
    path = Path(place)
    if path.suffix != ".py" and not path.exists():
        if "" not in sys.path:
            sys.path.insert(0, "")                           # the current folder, as `python -m` does
        try:
            return import_module(place)
        except ModuleNotFoundError as e:
            if e.name is None or not (place == e.name or place.startswith(f"{e.name}.")):
                raise
            raise DslError(f"there is no module {place!r}", hint="path/to/file.py:function names a file") from None
    check(path.is_file(), f"there is no file {place}", hint="path/to/file.py:function")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.resolve().parent))           # as `python path/to/file.py` does
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- NAME=VALUE
def read_settings(kernel: TileKernel, texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE words as what TileKernel.specialise takes: dtype variables, constants, scalars, and present=name[,name].

    Raises DslError for a word that is no setting, an unknown name, or a value that cannot be read.
    """
    out: dict[str, Any] = {}
    known = setting_names(kernel)
    for text in texts:
        name, eq, value = text.partition("=")
        check(eq and name, f"expected NAME=VALUE, found {text!r}", hint=f"names here: {', '.join(known)}")
        if name == "present":
            out[name] = (*out.get(name, ()), *value.split(","))
            optional = [n for n, a in kernel.annotations.items() if a.optional]
            wrong = next((n for n in out[name] if n not in optional), None)
            check(wrong is None, f"{kernel.__name__} has no optional tensor {wrong!r}", hint=f"optional: {', '.join(optional) or 'none'}")
            continue
        check(name in known, f"{kernel.__name__} has no constant, dtype variable or scalar {name!r}", hint=_nearest(name, dict.fromkeys(known)))
        out[name] = _value(kernel, name, value)
    return out


def setting_names(kernel: TileKernel) -> list[str]:
    """What NAME=VALUE can set: dtype variables, constants, scalar parameters."""
    annotations = kernel.annotations
    variables = dict.fromkeys(a.variable for a in annotations.values() if a.variable)
    return [*variables, *kernel.definition.consts, *(n for n, a in annotations.items() if a.dims is None)]


def _value(kernel: TileKernel, name: str, text: str) -> Any:
    """A dtype, number, bool, None, a tuple of such in parentheses, or a tile function or number of the kernel's module."""
    words = {"true": True, "false": False, "True": True, "False": False, "none": None, "None": None, "inf": float("inf"), "-inf": float("-inf")}
    if text in words:
        return words[text]
    if text in DTYPES:
        return DTYPES[text]
    for read in (lambda t: int(t, 0), float):
        try:
            return read(text)
        except ValueError:
            continue
    if text.startswith("(") and text.endswith(")"):
        return tuple(_value(kernel, name, t.strip()) for t in text[1:-1].split(",") if t.strip())
    scope = kernel.definition.fn.__globals__
    if isinstance(scope.get(text), TileFunction | int | float | tuple):
        return scope[text]
    functions = {n: v for n, v in scope.items() if isinstance(v, TileFunction)}
    hint = f"tile functions of {kernel.__module__}: {', '.join(functions) or 'none'}; dtypes: {', '.join(DTYPES)}"
    raise DslError(f"{name}: {text!r} is no number, dtype, or name in {kernel.__module__}", hint=hint)
