"""The meaning of the language as its specification runs it: a kernel of the value form, by way of its source."""
from __future__ import annotations

import importlib.util
import linecache
import os
from pathlib import Path
from typing import Any

import numpy as np
from as_python import as_python
from dslc.ir import Kernel

SPEC = Path(os.environ.get("DSLC_SPEC") or Path(__file__).resolve().parents[2] / "shared" / "spec") / "tile_eager.py"


def load_spec() -> Any:
    """The module of the specification; None where it is not at hand."""
    if not SPEC.exists():
        return None
    spec = importlib.util.spec_from_file_location("tile_eager", SPEC)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = np.geterr()
    spec.loader.exec_module(module)
    np.seterr(**before)
    return module


TILE_EAGER = load_spec()


def run_eager(kernel: Kernel, arrays: dict[str, Any], order: str = "forward", seed: int = 0) -> None:
    """Run the kernel's Python source by the specification, writing into `arrays`."""
    text, file = as_python(kernel), f"<eager {kernel.name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    scope: dict[str, Any] = {"tile_kernel": TILE_EAGER.tile_kernel, "tile": TILE_EAGER.tile}
    exec(compile(text, file, "exec", dont_inherit=True), scope)
    TILE_EAGER.State.order, TILE_EAGER.State.seed = order, seed
    with np.errstate(all="ignore"):
        scope[kernel.name](**arrays)
