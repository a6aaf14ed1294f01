"""The kernels whose sources for GPUs are mutated, on inputs that make every guard and every stage matter."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
from dslc.kernels import attention, gemm, kmeans
from dslc.runtime.library import Expected
from subjects import Data, Maker, padded

bf16 = ml_dtypes.bfloat16


def gemm_data(random: Any) -> list[Data]:
    """2 x 2 programs with a trip for one element of K; then integers with sums that bf16 holds: whole tiles, more rows than a band, one element of K,
    a band and no more; 22 x 23 programs, of whom a row or a column more would fill a round of chiplets.
    """
    sizes = ((False, 205, 133, 257), (True, 129, 256, 256), (True, 1290, 256, 1), (True, 1408, 257, 8), (True, 1024, 8, 1))
    calls = [gemm_call(random, *s) for s in sizes]
    return [*calls, replace(gemm_call(random, True, 22 * 128, 23 * 128, 1), where="dealt<")]


def gemm_call(random: Any, exact: bool, m: int, n: int, k: int) -> Data:
    """Rows start 16-byte aligned."""
    a, b = ((random.integers(-1, 2, s) if exact else random.standard_normal(s)).astype(bf16) for s in ((m, k), (k, n)))
    across = max(264, n)
    given = {"a": padded(a, 264, np.nan), "b": padded(b, across, np.nan), "c": padded(np.full((m, n), np.nan, bf16), across, 77.0)}
    return Data(given, lambda got: {"c": gemm.product(a, b)})


def attention_data(random: Any) -> list[Data]:
    """Keys before the diagonal are 64 n and 64 n + 1 in some programs, so that one more or one less makes another trip.

    Whole tiles; two batches, one key and one query past a tile; queries that see nothing; grouped heads, more keys than queries, both ragged, 5 trips
    before the diagonal; one query; fewer keys than a tile has, with scores near the least f32.
    """
    sizes = ((False, 1, 256, 256, 2, 2), (True, 2, 129, 385, 2, 2), (False, 1, 293, 100, 2, 2), (False, 2, 164, 418, 4, 2), (False, 1, 1, 127, 2, 2))
    return [*(attention_call(random, *s) for s in sizes), attention_call(random, False, 1, 40, 40, 2, 2, low=True)]


def attention_call(random: Any, exact: bool, b: int, sq: int, sk: int, h: int, g: int, low: bool = False) -> Data:
    """exact: each query's weights are 1 on one key, so that rows of v come out; the keys next to those that are seen would weigh more, the last query's
    key is the last, and the scores of rows 4 apart are too far apart for a common maximum.  low: all scores times log2(e) are below -1.7e38, which
    registers hold that were never written.
    """
    d = 64
    q, k, v, o = (np.full(s, np.nan, bf16) for s in ((b, sq, h, d), (b, sk, g, d), (b, sk, g, d), (b, sq, h, d)))
    lse, scale = np.full((b, h, sq), np.nan, np.float32), 1.0 if exact else 3.2e36 if low else 0.125
    for x in (q, k, v):
        x[:] = random.standard_normal(x.shape)
    if exact:
        k[:] = random.choice([-1.0, 1.0], k.shape)
        v[:] = random.permuted(np.arange(v.size) % 256).reshape(v.shape)
        back = random.integers(0, 2, sq) * random.integers(0, sk - sq, sq)
        back[-1] = 0
        q[:] = np.where(np.arange(sq) // 4 % 2, 4, 8)[:, None, None] * np.repeat(k, h // g, 2)[:, np.arange(sq) + sk - sq - back]
    if low:
        k[:], q[:] = np.where(random.random(k.shape) < 0.05, -1, 1), -1
    given = {"q": q, "k": k, "v": v, "o": o, "lse": lse, "scale": scale}
    right = attention._reference({**given, "causal": True, "window": 0}, {})
    return Data(given, lambda got: right)


def assign_data(random: Any) -> list[Data]:
    """2 programs, 3 trips over the centroids and 4 along D, one past a tile each; then small integers: whole tiles, 4 programs, one element of D."""
    return [assign_call(random, False, 205, 129, 193), assign_call(random, True, 129, 192, 192), assign_call(random, True, 385, 141, 197),
            assign_call(random, True, 256, 70, 1)]


def assign_call(random: Any, exact: bool, n: int, k: int, d: int) -> Data:
    """exact: scores have no error and many are equal, which the lowest centroid wins; else one row is NaN."""
    x, c = ((random.integers(-1, 2, s) if exact else random.standard_normal(s)).astype(bf16) for s in ((n, d), (k, d)))
    c[-1] = x[3]
    if exact:
        c[k // 2:] = c[:k - k // 2]
    else:
        x[7] = np.nan
    squared = (c.astype(np.float64) ** 2).sum(1).astype(np.float32)
    given = {"x": padded(x, 200, np.nan), "c": padded(c, 200, np.nan), "c_squared": squared, "ids": np.full(n, -77, np.int32),
             "score": np.full(n, np.nan, np.float32)}

    def expected(got: Mapping[str, Any]) -> Mapping[str, Expected]:
        wide, lost = x.astype(np.float64), np.isnan(x.astype(np.float32)).any(1)
        if exact:
            scores = squared.astype(np.float64) - 2 * wide @ c.astype(np.float64).T
            return {"ids": Expected(scores.argmin(1)), "score": Expected(scores.min(1))}
        found = kmeans._assign_reference({"x": np.nan_to_num(wide), "c": c, "c_squared": squared}, got)
        ids, score = np.where(lost, 0, found["ids"].value), found["score"]
        return {"ids": Expected(ids), "score": Expected(np.where(lost, np.inf, score.value), score.error)}
    return Data(given, expected)


MAKERS: Mapping[str, Maker] = {
    "gemm": (gemm.gemm, gemm_data, {"BM": 128, "BN": 128, "BK": 64}),
    "attention": (attention.attention, attention_data, {"causal": True, "BM": 128, "BN": 64}),
    "assign": (kmeans.assign, assign_data, {"BN": 128, "BK": 64, "BD": 64}),
}
