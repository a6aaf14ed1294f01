"""fht-cpu: Walsh-Hadamard transforms with SIMD and OpenMP."""
from __future__ import annotations

import os

import fht_cpu
import numpy as np

from ..case import Case
from ..data import Arrays
from . import Ready


def hadamard(case: Case, x: Arrays) -> Ready:
    out, threads = np.empty_like(x["x"]), int(os.environ["OMP_NUM_THREADS"])
    return Ready(lambda: fht_cpu.fht(x["x"], out=out, num_threads=threads), lambda: out)


CALLS = {"hadamard": {"": hadamard}}
