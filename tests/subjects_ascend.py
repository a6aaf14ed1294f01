"""The kernels whose sources for Ascend are mutated, on inputs that make every guard, every stage and every order matter.

A load or store of a part of a tile waits for all pipes, so that only whole tiles show whether flags and barriers are right: each kernel is called with
whole tiles, several programs on a core, then with every edge ragged.  What lies beside inputs is NaN.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
from dslc.kernels import attention, gemm, kmeans, quantised_gemm, rows
from dslc.runtime.library import Expected
from subjects import Data, Maker, padded
from subjects_gpu import assign_call, attention_call

bf16 = ml_dtypes.bfloat16


def gemm_data(random: Any) -> list[Data]:
    """Whole tiles, 3 trips, 2 programs on each of 2 cores; one past a tile along M, N and K, 3 trips, 3 programs on a core."""
    return [gemm_call(random, *sizes) for sizes in ((256, 512, 384, 2), (129, 513, 257, 2))]


def gemm_call(random: Any, m: int, n: int, k: int, programs: int) -> Data:
    """Integers whose sums bf16 holds."""
    a, b = (random.integers(-1, 2, s).astype(bf16) for s in ((m, k), (k, n)))
    given = {"a": padded(a, k + 16, np.nan), "b": padded(b, n + 16, np.nan), "c": padded(np.full((m, n), np.nan, bf16), n + 8, 77.0)}
    return Data(given, lambda got: {"c": gemm.product(a, b)}, programs=programs)


def w4a16_data(random: Any) -> list[Data]:
    """Whole tiles, 2 runs of K of 5 trips, 4 programs on each of 2 cores; one past a tile of M and N, 8 of K, runs of 5 and 4 trips."""
    return [w4a16_call(random, *sizes) for sizes in ((32, 1280, 256, 2, 2), (17, 1032, 129, 2, 2))]


def w4a16_call(random: Any, m: int, k: int, n: int, s: int, programs: int) -> Data:
    """The last group of weights may be shorter than the others."""
    groups, step = -(-k // 128), gemm.run_length(k, 128, s)
    a = random.standard_normal((m, k)).astype(np.float16)
    words, scale = random.integers(0, 1 << 32, (k // 8, n), dtype=np.uint32), random.uniform(0.5, 2, (groups, n)).astype(np.float16)
    zero, part = random.integers(0, 16, (groups, n)).astype(np.uint8), np.full((s, m, n), np.nan, np.float32)
    given = {"a": padded(a, k + 8, np.nan), "w": padded(words, n + 8, 0x99999999), "scale": padded(scale, n + 16, np.nan), "zero": padded(zero, n + 32, 99),
             "part": padded(part, n + 8, 77.0)}
    zeros, scales = (np.repeat(x, 128, 0)[:k] for x in (zero.astype(np.float32), scale.astype(np.float32)))
    weights = ((quantised_gemm.unpack_gptq(words) - zeros) * scales).astype(np.float16)
    runs = [gemm.product(a[:, r * step:(r + 1) * step], weights[r * step:(r + 1) * step]) for r in range(s)]
    right = {"part": Expected(np.stack([r.value for r in runs]), np.stack([r.error for r in runs]))}
    return Data(given, lambda got: right, programs=programs)


def softmax_data(random: Any) -> list[Data]:
    """Whole tiles, 3 trips, 2 programs on each of 2 vector cores; one row and one column past a tile; no column, so that neither loop has a trip."""
    return [softmax_call(random, *sizes) for sizes in ((16, 3072), (5, 2049), (9, 0))]


def softmax_call(random: Any, m: int, n: int) -> Data:
    """Scores grow along a row, so that each trip has a greater maximum, and from row to row by more than f32's exp bears."""
    x = (random.standard_normal((m, n)) + np.arange(n) / 512 + 150 * np.arange(m)[:, None]).astype(np.float16)
    right = rows._softmax_reference({"x": x, "scale": 0.75}, {}) if n else {"y": Expected(x)}
    given = {"x": padded(x, n + 16, np.nan), "y": padded(np.full((m, n), np.nan, np.float16), n + 16, 77.0), "scale": 0.75}
    return Data(given, lambda got: right, programs=1)


def rmsnorm_data(random: Any) -> list[Data]:
    """3 programs on each of 2 vector cores, of whole tiles of rows with padding; a row past a tile."""
    return [rmsnorm_call(random, m) for m in (24, 17)]


def rmsnorm_call(random: Any, m: int) -> Data:
    n = 1000
    x, residual, w = (random.standard_normal(s).astype(np.float16) for s in ((m, n), (m, n), (n,)))
    x *= np.exp2(np.arange(m) % 5 - 2).astype(np.float16)[:, None]
    right = rows._rmsnorm_reference({"x": x, "residual": residual, "w": w, "eps": 0.5}, {})
    given = {"x": padded(x, n + 24, np.nan), "w": w, "y": padded(np.full((m, n), np.nan, np.float16), n + 24, 77.0),
             "residual": padded(residual, n + 24, np.nan), "eps": 0.5}
    return Data(given, lambda got: right, programs=1)


def attention_data(random: Any) -> list[Data]:
    """Whole tiles, heads of one group, 3 and 5 trips, 2 programs on each of 2 cores; one query and one key past a tile; queries that see no key; two batches,
    two groups of two heads; two programs none of whose queries sees a key, and one after them; scores near the least f32.
    """
    sizes = ((False, 1, 256, 320, 2, 1), (True, 1, 129, 257, 2, 2), (False, 1, 150, 70, 1, 1), (False, 2, 70, 260, 4, 2), (False, 1, 300, 40, 1, 1))
    calls = [*(attention_call(random, *s) for s in sizes), attention_call(random, False, 1, 40, 40, 2, 2, low=True)]
    return [replace(call, programs=n) for call, n in zip(calls, (2, 1, 1, 2, 1, 1), strict=True)]


def assign_data(random: Any) -> list[Data]:
    """Whole tiles, 3 trips over the centroids and 3 along D, 2 programs on each of 2 cores; one past a tile each, 3 programs on a core; no centroid."""
    calls = [assign_call(random, True, 512, 192, 192), assign_call(random, False, 257, 129, 193)]
    return [replace(calls[0], programs=2), replace(calls[1], programs=1), no_centroid(random, 130, 8)]


def no_centroid(random: Any, n: int, d: int) -> Data:
    """No loop has a trip."""
    x, c = random.standard_normal((n, d)).astype(bf16), np.empty((0, d), bf16)
    given = {"x": padded(x, 16, np.nan), "c": padded(c, 16, np.nan), "c_squared": np.empty(0, np.float32), "ids": np.full(n, -77, np.int32),
             "score": np.full(n, np.nan, np.float32)}
    return Data(given, lambda got: {"ids": Expected(np.zeros(n)), "score": Expected(np.full(n, np.inf))}, programs=1)


MAKERS: Mapping[str, Maker] = {
    "gemm": (gemm.gemm, gemm_data, {"BM": 128, "BN": 256, "BK": 128}),
    "attention": (attention.attention, attention_data, {"causal": True, "BM": 128, "BN": 64}),
    "w4a16": (quantised_gemm.w4a16, w4a16_data, {"GROUP": 128, "BM": 16, "BN": 128, "BK": 128}),
    "assign": (kmeans.assign, assign_data, {"BN": 128, "BK": 64, "BD": 64}),
    "softmax": (rows.softmax, softmax_data, {"BM": 4, "BN": 1024}),
    "rmsnorm": (rows.rmsnorm, rmsnorm_data, {"BM": 4}),
}
