"""faiss: k-means without subsampling, and Hamming distances."""
from __future__ import annotations

import os
from typing import Any

import faiss
import numpy as np

from ..case import Case
from ..data import Arrays
from . import Ready

ITERATIONS = 5
faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def kmeans(case: Case, x: Arrays) -> Ready:
    """Five iterations of a fit, one of them."""
    n, d, k = (case.sizes[s] for s in "NDK")

    def fit(iterations: int) -> Any:
        made = faiss.Kmeans(d, k, niter=iterations, max_points_per_centroid=n, min_points_per_centroid=1)
        made.train(x["x"], init_centroids=x["centres"])
        return made
    return Ready(lambda: fit(1 + ITERATIONS), lambda: fit(1).centroids, lambda: fit(1), ITERATIONS)


def binary(case: Case, x: Arrays) -> Ready:
    """Differing bits of every pair of rows, i32; it runs on one thread."""
    m, n, k = (case.sizes[s] for s in "MNK")
    out = np.empty((m, n), np.int32)

    def call() -> None:                                      # pointers of faiss keep no array alive
        faiss.hammings(faiss.swig_ptr(x["a"]), faiss.swig_ptr(x["b"]), m, n, k // 8, faiss.swig_ptr(out))
    return Ready(call, lambda: out)


CALLS = {"kmeans": {"": kmeans}, "binary": {"": binary}}
