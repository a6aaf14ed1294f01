"""The executable specification at hand: its eager module, its kernels with dslc in the place of that module, and a launcher that only builds.

Not a test itself.  tests/spec is a copy of the specification, byte for byte; DSLC_SPEC names another one.
"""
from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dslc
import numpy as np
from dslc.annotations import read_annotations
from dslc.definition import Definition, Specialisation, define
from dslc.dims import dim_text, evaluate
from dslc.errors import DslError
from dslc.frontend import build
from dslc.source import read_source
from dslc.syntax import check_syntax
from dslc.types import DTYPES, DType

HERE = Path(__file__).resolve().parent
COPY = HERE / "spec"
SPEC = Path(os.environ.get("DSLC_SPEC") or COPY)
ORACLES = next(p for p in (SPEC / "oracles", SPEC.parent / "oracles") if p.is_dir())
FROM_NUMPY = {d.numpy: d for d in reversed(DTYPES.values()) if d.name not in ("u1", "u2", "u4", "i4", "index")}


def fresh(shape: Any, dtype: Any) -> Any:
    """New memory for an output, poisoned: NaN for floats, 0xA5 bytes for integers; as the specification's own."""
    d = dtype if isinstance(dtype, DType) else FROM_NUMPY[np.dtype(dtype)]
    if d.kind == "f":
        return np.full(shape, np.nan, d.numpy)
    return np.full(int(np.prod(shape)) * d.numpy.itemsize, 0xA5, np.uint8).view(d.numpy).reshape(shape)


def stand_in(kernel: Any) -> types.ModuleType:
    """A module that can be imported as tile_eager: dslc's language, and `kernel` as the decorator of kernels."""
    module = types.ModuleType("tile_eager")
    state = types.SimpleNamespace(order="forward", seed=0, strict=True)
    vars(module).update(const=dslc.const, fresh=fresh, tile=dslc.tile, tile_function=dslc.tile_function, tile_kernel=kernel, DslError=DslError, State=state,
                        TileKernel=kernel)
    return module


def load_eager() -> types.ModuleType:
    """The specification's own module, which keeps numpy's error state to itself."""
    spec = importlib.util.spec_from_file_location("tile_eager", SPEC / "tile_eager.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = np.geterr()
    spec.loader.exec_module(module)
    np.seterr(**before)
    return module


@contextmanager
def language(module: types.ModuleType, *folders: Path) -> Iterator[None]:
    """While it lasts, `import tile_eager` gives `module`, and files are imported anew from `folders` and from the specification."""
    places = [*folders, SPEC, ORACLES]
    ours = {"tile_eager", *(p.stem for folder in places for p in folder.glob("*.py"))}
    saved, path = {n: sys.modules.pop(n) for n in ours if n in sys.modules}, list(sys.path)
    sys.path[:0] = map(str, places)
    sys.modules["tile_eager"] = module
    try:
        yield
    finally:
        for name in ours:
            sys.modules.pop(name, None)
        sys.modules.update(saved)
        sys.path[:] = path


@contextmanager
def spec_modules(kernel: Any) -> Iterator[dict[str, Any]]:
    """The specification's kernel files by name, imported anew with `kernel` as their tile_kernel."""
    folder = SPEC / "kernels"
    with language(stand_in(kernel), folder):
        yield {path.stem: importlib.import_module(path.stem) for path in sorted(folder.glob("*.py"))}


def check_names() -> list[str]:
    """Every check of the specification as "file.check", found without importing anything."""
    return [f"{path.stem}.{node.name[6:]}" for path in sorted((SPEC / "kernels").glob("*.py")) for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")]


def checks(modules: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every check of imported files as (name, function)."""
    return [(f"{stem}.{n[6:]}", f) for stem, m in modules.items() for n, f in vars(m).items() if n.startswith("check_") and f.__module__ == stem]


class Launcher:
    """A kernel whose calls bind their arguments, build, and hand the kernel to `Launcher.run`, by way of no other part of the package."""

    run: Any = None            # called with (kernel, arrays by name, dims by name)

    def __init__(self, fn: Any) -> None:
        source = read_source(fn)
        check_syntax(source, fn, kernel=True)
        self.definition: Definition = define(fn, source)
        self.definition.annotations = read_annotations(self.definition)
        self.__name__ = fn.__name__
        self.parameters = [p.arg for p in source.parameters]

    def __call__(self, *args: Any, **names: Any) -> None:
        given = dict(zip(self.parameters, args, strict=False)) | names
        spec, arrays, dims = specialise(self.definition, given)
        kernel = build(self.definition, spec)
        if Launcher.run is not None:
            Launcher.run(kernel, arrays, dims)


def specialise(definition: Definition, given: dict[str, Any]) -> tuple[Specialisation, dict[str, Any], dict[str, int]]:
    """What a call with these arguments is specialised for, its arrays and scalars, and the values of dimensions."""
    values = {**definition.defaults, **given}
    arrays: dict[str, Any] = {}
    dtypes: dict[str, DType] = {}
    dims: dict[str, int] = {}
    expressions = []
    for name, a in definition.annotations.items():
        value = values.get(name)
        if value is None:
            if not a.optional:
                raise DslError(f"{name} is missing")
            continue
        arrays[name] = value
        if a.dims is None:
            continue
        have = FROM_NUMPY[value.dtype]
        if a.variable:
            dtypes[a.variable] = have
        elif have is not DTYPES[a.word or a.dtype]:
            raise DslError(f"{name}: expected {a}, got {have}")
        packing = a.packing
        fields = packing.word.bits // DTYPES[a.dtype].bits if packing else 1
        shape = tuple(n * fields if packing and d == packing.axis else n for d, n in enumerate(value.shape))
        expressions += [(name, d, e, n) for d, (e, n) in enumerate(zip(a.dims, shape, strict=True))]
    for name, d, e, n in sorted(expressions, key=lambda row: not isinstance(row[2], str)):
        if isinstance(e, str) and dims.setdefault(e, n) != n:
            raise DslError(f"{name}: dimension {d} must be {e} = {dims[e]}, got {n}")
        if not isinstance(e, str) and evaluate(e, dims) != n:
            raise DslError(f"{name}: dimension {d} must be {dim_text(e)}, got {n}")
    consts = {n: values.get(n, dims.get(n)) for n in definition.consts if n in values or n in dims}
    absent = frozenset(n for n in definition.annotations if n not in arrays)
    return Specialisation(tuple(consts.items()), tuple(dtypes.items()), absent), arrays, {n: v for n, v in dims.items() if n not in consts}
