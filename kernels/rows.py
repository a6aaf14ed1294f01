"""One pass over rows: softmax, RMSNorm with residual, LayerNorm.  Backward passes are elsewhere."""
from __future__ import annotations

from typing import Any

import numpy as np
from dslc import const, schedule, tile, tile_kernel
from dslc.runtime.library import Example, Expected, Given

INF = float("inf")


@tile_kernel
def softmax(x: "T[M, N]", y: "T[M, N]", scale: "f32", *, BM: const = 4, BN: const = 1024):
    """y[i, j] = exp(scale x[i, j] - m_i) / sum_j exp(scale x[i, j] - m_i), m_i = max_j scale x[i, j].

    Shapes: x, y (M, N), any N: one online pass for maximum and sum, one to write.
    Error: 2^-18 + 2^-21 max|scale x| relative, before rounding to T.
    Source: Milakov and Gimelshein, arXiv:1805.02867.
    """
    i = tile.grid(tile.cdiv(M, BM))
    m = tile.full((BM,), -INF, tile.f32)
    l = tile.zeros((BM,), tile.f32)
    for j in tile.range(0, N, BN):
        s = tile.load(x, ((i * BM, BM), (j, BN)), pad=-INF) * scale
        top = tile.maximum(m, tile.max(s, 1))
        l = l * tile.exp(m - top) + tile.sum(tile.exp(s - top[:, None]), 1)
        m = top
    for j in tile.range(0, N, BN):
        at = ((i * BM, BM), (j, BN))
        tile.store(y, at, tile.exp(tile.load(x, at) * scale - m[:, None]) / l[:, None])


@tile_kernel
def rmsnorm(x: "T[M, N]", w: "T[N]", y: "T[M, N]", residual: "T[M, N]?", eps: "f32", *, N: const, BM: const = 4):
    """y = h / sqrt(mean_j h^2 + eps) w, h = x + residual rounded to T, which replaces `residual` if it is given.

    Shapes: x, y, residual (M, N), w (N).  Error: N 2^-24 relative for the mean, three more roundings, then T's.
    Source: Zhang and Sennrich, arXiv:1910.07467.
    """
    i = tile.grid(tile.cdiv(M, BM))
    at = ((i * BM, BM), (0, N))
    h = tile.load(x, at)
    if residual is not None:
        h = tile.cast(h + tile.load(residual, at), T)
        tile.store(residual, at, h)
    mean = tile.sum(h * h, 1) / N
    tile.store(y, at, h * (1.0 / tile.sqrt(mean + eps))[:, None] * tile.load(w, (0, N))[None, :])


@tile_kernel
def layernorm(x: "T[M, N]", w: "f32[N]", b: "f32[N]", y: "T[M, N]", mean: "f32[M]", rstd: "f32[M]", eps: "f32", *, N: const, BM: const = 4):
    """y = (x - mean) rstd w + b, rstd = 1 / sqrt(var + eps), var the mean square of x - mean (two passes over the tile, no cancellation).

    Shapes: x, y (M, N), w, b (N), mean, rstd (M).  Error: N 2^-24 relative in mean and var, then T's rounding.
    Source: Ba, Kiros and Hinton, arXiv:1607.06450.
    """
    i = tile.grid(tile.cdiv(M, BM))
    at = ((i * BM, BM), (0, N))
    h = tile.cast(tile.load(x, at), tile.f32)
    mu = tile.sum(h, 1) / N
    d = h - mu[:, None]
    r = 1.0 / tile.sqrt(tile.sum(d * d, 1) / N + eps)
    tile.store(y, at, d * r[:, None] * tile.load(w, (0, N))[None, :] + tile.load(b, (0, N))[None, :])
    tile.store(mean, (i * BM, BM), mu)
    tile.store(rstd, (i * BM, BM), r)


for _row in (2048, 4096, 8192):         # a row in one tile: exponentials are taken once, as the compiler finds
    schedule(softmax, target="cpu", when=f"N > {_row // 2} and N <= {_row}", consts={"BN": _row})


# ---------------------------------------------------------------- host
def softmax_rows(x: Any, scale: float = 1.0) -> Any:
    """The softmax of each row of a numpy array (M, N)."""
    y = np.empty_like(x)
    softmax(x, y, scale)
    return y


def rmsnorm_rows(x: Any, w: Any, eps: float = 1e-6) -> Any:
    """Each row of (M, N) over its root mean square, times w (N)."""
    y = np.empty_like(x)
    rmsnorm(x, w, y, None, eps)
    return y


def layernorm_rows(x: Any, w: Any, b: Any, eps: float = 1e-5) -> Any:
    """Each row of (M, N) brought to mean 0 and variance 1, times w (N), plus b (N)."""
    y, mean, rstd = np.empty_like(x), np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    layernorm(x, w, b, y, mean, rstd, eps)
    return y


# ---------------------------------------------------------------- reference
def _softmax_reference(given: Given, _got: Given) -> dict[str, Expected]:
    s = given["x"].astype(np.float64) * given["scale"]
    p = np.exp(s - s.max(1, keepdims=True))
    y = p / p.sum(1, keepdims=True)
    return {"y": Expected(y, (2.0 ** -18 + 2.0 ** -21 * np.abs(s).max()) * y)}


def _rmsnorm_reference(given: Given, _got: Given) -> dict[str, Expected]:
    h, residual = given["x"], given.get("residual")
    if residual is not None:
        h = (h.astype(np.float32) + residual.astype(np.float32)).astype(h.dtype)
    wide = h.astype(np.float64)
    y = wide / np.sqrt((wide ** 2).mean(1, keepdims=True) + given["eps"]) * given["w"].astype(np.float64)
    out = {"y": Expected(y, (h.shape[1] * 2.0 ** -24 + 2.0 ** -21) * np.abs(y))}
    return out if residual is None else {**out, "residual": Expected(h.astype(np.float64))}


def _layernorm_reference(given: Given, _got: Given) -> dict[str, Expected]:
    x, n = given["x"].astype(np.float64), given["x"].shape[1]
    mean, rstd = x.mean(1), 1 / np.sqrt(x.var(1) + given["eps"])
    scaled = (x - mean[:, None]) * rstd[:, None] * given["w"]
    mean_error, relative = n * 2.0 ** -24 * np.abs(x).mean(1), n * 2.0 ** -23 + 2.0 ** -20
    error = relative * (np.abs(scaled) + np.abs(given["b"])) + (mean_error * rstd)[:, None] * np.abs(given["w"])
    return {"y": Expected(scaled + given["b"], error), "mean": Expected(mean, mean_error), "rstd": Expected(rstd, relative * rstd)}


EXAMPLES = {
    "softmax": Example({"M": 4096, "N": 1024}, _softmax_reference, {"T": "f32"}, {"scale": 1.0}),
    "rmsnorm": Example({"M": 4096, "N": 1024}, _rmsnorm_reference, {"T": "f32"}, {"eps": 1e-6}),
    "layernorm": Example({"M": 4096, "N": 1024}, _layernorm_reference, {"T": "f32"}, {"eps": 1e-5}),
}
