"""The library's own kernels, by their host functions."""
from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from dslc.kernels import rows, stream
from dslc.kernels.attention import flash_attention
from dslc.kernels.binary import hamming_distances
from dslc.kernels.gemm import matmul, prepack
from dslc.kernels.hadamard import hadamard
from dslc.kernels.kmeans import KMeans, lloyd
from dslc.kernels.quantised_gemm import QuantisedLinear

from ..case import Case
from ..data import NUMPY, Arrays
from . import Ready

ITERATIONS = 5


def gemm(case: Case, x: Arrays) -> Ready:
    out = np.empty((case.sizes["M"], case.sizes["N"]), np.int32 if case.dtype == "i8" else NUMPY[case.dtype])
    return Ready(lambda: matmul(x["a"], x["b"], out=out), lambda: out)


def packed(case: Case, x: Arrays) -> Ready:
    """The weight packed before the clock starts."""
    out = np.empty((case.sizes["M"], case.sizes["N"]), np.int32 if case.dtype == "i8" else NUMPY[case.dtype])
    start = perf_counter()
    weight = prepack(x["b"])
    return Ready(lambda: matmul(x["a"], weight, out=out), lambda: out, preparation=perf_counter() - start)


def attention(case: Case, x: Arrays) -> Ready:
    """From and to the memory that torch has, heads before positions."""
    q, k, v = (x[n].swapaxes(1, 2) for n in "qkv")
    out = np.empty_like(x["q"])
    return Ready(lambda: flash_attention(q, k, v, causal=case.options["causal"], out=out.swapaxes(1, 2)), lambda: out)


def decode(case: Case, x: Arrays) -> Ready:
    q, k, v = (x[n].swapaxes(1, 2) for n in "qkv")
    out = np.empty_like(x["q"])
    return Ready(lambda: flash_attention(q, k, v, out=out.swapaxes(1, 2)), lambda: out)


def kmeans(case: Case, x: Arrays) -> Ready:
    return Ready(lambda: lloyd(x["x"], x["centres"], iterations=1, tolerance=0.0), lambda: lloyd(x["x"], x["centres"], iterations=1, tolerance=0.0)[0])


def estimator(case: Case, x: Arrays) -> Ready:
    def fit(iterations: int) -> Any:
        return KMeans(case.sizes["K"], init=x["centres"], n_init=1, max_iter=iterations, tol=0.0).fit(x["x"])
    return Ready(lambda: fit(1 + ITERATIONS), lambda: fit(1).cluster_centers_, lambda: fit(1), ITERATIONS)


def w4a16(case: Case, x: Arrays) -> Ready:
    layer = QuantisedLinear(x["words"], x["scale"])
    kept = [layer(x["x"])]

    def call() -> None:
        kept[0] = layer(x["x"])
    return Ready(call, lambda: kept[0])


def normalised(case: Case, x: Arrays) -> Ready:
    y, data = np.empty_like(x["x"]), x["x"]
    if case.options["op"] == "softmax":
        return Ready(lambda: rows.softmax(data, y, 1.0), lambda: y)
    if case.options["op"] == "rmsnorm":
        w = x["w"].astype(data.dtype)
        return Ready(lambda: rows.rmsnorm(data, w, y, None, 1e-6), lambda: y)
    mean, rstd = np.empty(len(data), np.float32), np.empty(len(data), np.float32)
    return Ready(lambda: rows.layernorm(data, x["w"], x["b"], y, mean, rstd, 1e-5), lambda: y)


def streamed(case: Case, x: Arrays) -> Ready:
    a, b, c, s = x["a"], x["b"], x["c"], 3.0
    return {"copy": Ready(lambda: stream.copy(a, c), lambda: c), "scale": Ready(lambda: stream.scale(c, b, s), lambda: b),
            "add": Ready(lambda: stream.add(a, b, c), lambda: c), "triad": Ready(lambda: stream.triad(b, c, a, s), lambda: a)}[case.options["op"]]


def transformed(case: Case, x: Arrays) -> Ready:
    out = np.empty_like(x["x"])
    return Ready(lambda: hadamard(x["x"], 1.0, out=out), lambda: out)


def binary(case: Case, x: Arrays) -> Ready:
    out = np.empty((case.sizes["M"], case.sizes["N"]), np.int32)
    return Ready(lambda: hamming_distances(x["a"], x["b"], out=out), lambda: out)


CALLS = {"gemm": {"": gemm, "packed": packed}, "attention": {"": attention}, "decode": {"": decode}, "kmeans": {"": kmeans, "estimator": estimator},
         "w4a16": {"": w4a16}, "rows": {"": normalised}, "stream": {"": streamed, "streaming": streamed}, "hadamard": {"": transformed}, "binary": {"": binary}}
