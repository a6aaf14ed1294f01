"""Histogram and prefix sums with a carry."""
from __future__ import annotations

from typing import Any

import numpy as np
from dslc import const, tile, tile_kernel
from dslc.runtime.library import Example, Expected, Given


@tile_kernel
def histogram(x: "u8[N]", counts: "i32[BINS]", *, BINS: const, BN: const = 1024, CHUNK: const = 65536):
    """counts[v] += the number of x equal to v; values of BINS and more are dropped.  Exact; each program adds its CHUNK at the end."""
    i = tile.grid(tile.cdiv(N, CHUNK))
    local = tile.zeros((BINS,), tile.i32)
    for n in tile.range(i * CHUNK, tile.minimum(N, (i + 1) * CHUNK), BN):
        v = tile.load(x, (n, BN))
        local = local + tile.segment_sum(n + tile.iota(BN) < N, v, BINS)
    tile.atomic_add(counts, (0, BINS), local)


@tile_kernel
def row_cumsum(x: "T[R, N]", y: "T[R, N]", *, BR: const = 8, BN: const = 64):
    """y[i, j] = x[i, 0] + .. + x[i, j], summed in f32: tiles left to right, each shifted by the sum so far.

    Error: (j + 1) 2^-24 sum |x| before rounding to T.
    """
    i = tile.grid(tile.cdiv(R, BR))
    carry = tile.zeros((BR,), tile.f32)
    for j in tile.range(0, N, BN):
        at = ((i * BR, BR), (j, BN))
        t = tile.load(x, at)
        tile.store(y, at, tile.cumsum(t, 1) + carry[:, None])
        carry = carry + tile.sum(t, 1)


# ---------------------------------------------------------------- host
def histogram_of(x: Any, bins: int = 256) -> Any:
    """How often each of 0..bins-1 occurs in a numpy array of u8, as i32."""
    counts = np.zeros(bins, np.int32)
    histogram(x.reshape(-1), counts)
    return counts


def cumsum_rows(x: Any) -> Any:
    """Prefix sums along the last axis of (R, N)."""
    y = np.empty_like(x)
    row_cumsum(x, y)
    return y


# ---------------------------------------------------------------- reference
def _bytes(random: Any, given: dict[str, Any]) -> None:
    given["x"][:] = random.integers(0, 256, given["x"].shape)
    given["counts"][:] = 0


def _histogram_reference(given: Given, got: Given) -> dict[str, Expected]:
    bins = len(got["counts"])
    return {"counts": Expected(given["counts"] + np.bincount(given["x"], minlength=bins)[:bins].astype(np.int32))}


def _cumsum_reference(given: Given, _got: Given) -> dict[str, Expected]:
    x = given["x"].astype(np.float64)
    return {"y": Expected(np.cumsum(x, 1), np.arange(1, x.shape[1] + 1) * 2.0 ** -24 * np.cumsum(np.abs(x), 1))}


EXAMPLES = {
    "histogram": Example({"N": 1 << 22, "BINS": 256}, _histogram_reference, prepare=_bytes),
    "row_cumsum": Example({"R": 1024, "N": 4096}, _cumsum_reference, {"T": "f32"}),
}
