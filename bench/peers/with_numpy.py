"""NumPy, whose products are OpenBLAS's."""
from __future__ import annotations

import numpy as np

from . import Ready


def gemm(case, x):
    out = np.empty((case.sizes["M"], case.sizes["N"]), x["a"].dtype)
    return Ready(lambda: np.matmul(x["a"], x["b"], out=out), lambda: out)


CALLS = {"gemm": {"": gemm}}
