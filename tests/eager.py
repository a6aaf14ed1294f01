"""The meaning of the language as its specification runs it: a kernel of the value form, by way of its source."""
from __future__ import annotations

import linecache
from typing import Any

import numpy as np
from as_python import as_python
from dslc.ir import Kernel
from specification import load_eager

TILE_EAGER = load_eager()


def run_eager(kernel: Kernel, arrays: dict[str, Any], order: str = "forward", seed: int = 0) -> None:
    """Run the kernel's Python source by the specification, writing into `arrays`."""
    text, file = as_python(kernel), f"<eager {kernel.name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    scope: dict[str, Any] = {"tile_kernel": TILE_EAGER.tile_kernel, "tile": TILE_EAGER.tile}
    exec(compile(text, file, "exec", dont_inherit=True), scope)
    TILE_EAGER.State.order, TILE_EAGER.State.seed = order, seed
    with np.errstate(all="ignore"):
        scope[kernel.name](**arrays)
