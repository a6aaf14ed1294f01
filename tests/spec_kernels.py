"""The kernels of the specification, imported word for word: a stand-in `tile_eager` gives them this package's language, and a launch
builds the kernel (and, if asked, runs it in the interpreter).  Not a test itself."""
from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from dslc.annotations import read_annotations
from dslc.definition import Definition, Specialisation, const, define
from dslc.dims import dim_text, evaluate
from dslc.errors import DslError
from dslc.frontend import build
from dslc.language import tile
from dslc.source import read_source
from dslc.syntax import check_syntax, tile_function
from dslc.types import DTYPES, DType

ROOT = Path(__file__).resolve().parent.parent
PLACES = (os.environ.get("DSLC_SPEC", ""), ROOT.parent / "shared" / "spec", ROOT / "tests" / "spec")
SPEC = next((Path(p) for p in PLACES if p and (Path(p) / "kernels").is_dir()), None)
FROM_NUMPY = {d.numpy: d for d in reversed(DTYPES.values()) if d.name not in ("u1", "u2", "u4", "i4", "index")}


class Launcher:
    """A kernel of the specification: each call binds its arguments, builds, and hands the kernel to `Launcher.run`."""

    run: Any = None            # called with (kernel, arrays by name, dims by name, specialisation)

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


def fresh(shape: Any, dtype: Any) -> Any:
    """New memory for an output, poisoned: NaN for floats, 0xA5 bytes for integers."""
    d = dtype if isinstance(dtype, DType) else FROM_NUMPY[np.dtype(dtype)]
    if d.kind == "f":
        return np.full(shape, np.nan, d.numpy)
    return np.full(int(np.prod(shape)) * d.numpy.itemsize, 0xA5, np.uint8).view(d.numpy).reshape(shape)


@contextmanager
def spec_modules() -> Iterator[dict[str, Any]]:
    """The modules of the specification's kernels by name, over this package instead of the eager meaning."""
    assert SPEC is not None
    stand_in = types.ModuleType("tile_eager")
    vars(stand_in).update(const=const, fresh=fresh, tile=tile, tile_function=tile_function, tile_kernel=Launcher)
    vars(stand_in).update(DslError=DslError, State=types.SimpleNamespace())
    before_path, before_modules = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(SPEC / "kernels"), str(SPEC), str(SPEC.parent / "oracles")]
    sys.modules["tile_eager"] = stand_in
    try:
        yield {path.stem: importlib.import_module(path.stem) for path in sorted((SPEC / "kernels").glob("*.py"))}
    finally:
        sys.path[:] = before_path
        for name in set(sys.modules) - before_modules:
            del sys.modules[name]
