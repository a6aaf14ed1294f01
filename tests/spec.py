"""The kernels of the executable specification with dslc in the place of its eager module."""
from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import dslc
from dslc.types import DTYPES

ROOT = Path(__file__).resolve().parent.parent
SPEC = Path(os.environ.get("DSLC_SPEC") or (ROOT.parent / "shared" / "spec"))
ORACLES = SPEC.parent / "oracles"


def present() -> bool:
    return (SPEC / "kernels").is_dir()


def fresh(shape: Any, dtype: Any) -> np.ndarray:
    """New memory for an output, poisoned: NaN for floats, 0xA5 bytes for integers; as the specification's own."""
    dtype = dtype.numpy if isinstance(dtype, dslc.DType) else np.dtype(dtype)
    d = next(d for d in DTYPES.values() if d.numpy == dtype and d.name not in ("u1", "u2", "u4", "i4", "index"))
    if d.kind == "f":
        return np.full(shape, np.nan, dtype)
    return np.full(int(np.prod(shape)) * dtype.itemsize, 0xA5, np.uint8).view(dtype).reshape(shape)


def stand_in(kernel: Any = dslc.tile_kernel) -> types.ModuleType:
    """A module that the spec's files can import as tile_eager; `kernel` decorates kernels."""
    module = types.ModuleType("tile_eager")
    state = types.SimpleNamespace(order="forward", seed=0, strict=True)
    vars(module).update(const=dslc.const, fresh=fresh, tile=dslc.tile, tile_function=dslc.tile_function, tile_kernel=kernel, DslError=dslc.DslError, State=state,
                        TileKernel=kernel)
    return module


@contextmanager
def spec_modules(kernel: Any = dslc.tile_kernel) -> Iterator[dict[str, Any]]:
    """The spec's kernel files, imported anew against dslc: module name -> module."""
    names = [p.stem for p in sorted((SPEC / "kernels").glob("*.py"))]
    ours = [*names, "checks", "tile_eager", "kernels_a", "kernels_b"]
    saved = {n: sys.modules.pop(n) for n in ours if n in sys.modules}
    path = list(sys.path)
    sys.path[:0] = [str(SPEC / "kernels"), str(SPEC), str(ORACLES)]
    sys.modules["tile_eager"] = stand_in(kernel)
    try:
        yield {n: importlib.import_module(n) for n in names}
    finally:
        for n in ours:
            sys.modules.pop(n, None)
        sys.modules.update(saved)
        sys.path[:] = path


def checks(modules: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every check of the spec as (name, function)."""
    return [(f"{stem}.{n[6:]}", f) for stem, m in modules.items() for n, f in vars(m).items() if n.startswith("check_") and f.__module__ == stem]
