"""Attention, forward: any number of query heads to a key head, causal, sliding window, log-sum-exp out.  Backward and paged caches are elsewhere."""
from __future__ import annotations

from typing import Any

import numpy as np
from dslc import const, schedule, tile, tile_function, tile_kernel
from dslc.runtime.library import Example, Expected, Given

INF, LOG2E, LN2 = float("inf"), 1.4426950408889634, 0.6931471805599453


@tile_function
def online_softmax(s, m, l):
    """One step over columns of s (in log2 units): new maximum, new sum, the factor for what was accumulated, the weights.

    A row that has seen only -inf stays at weight 0, never NaN (Milakov and Gimelshein, arXiv:1805.02867).
    """
    top = tile.maximum(m, tile.max(s, 1))
    safe = tile.where(top == -INF, 0.0, top)
    p = tile.exp2(s - safe[:, None])
    factor = tile.exp2(m - safe)
    return top, tile.fma(l, factor, tile.sum(p, 1)), factor, p


@tile_function
def normalise(acc, m, l):
    """The output and the natural log-sum-exp; a row that saw nothing gives 0 and -inf."""
    out = acc / tile.where(l == 0.0, 1.0, l)[:, None]
    return out, tile.where(l == 0.0, -INF, (m + tile.log2(l)) * LN2)


@tile_kernel
def attention(q: "T[B, SQ, H, D]", k: "T[B, SK, G, D]", v: "T[B, SK, G, DV]", o: "T[B, SQ, H, DV]", lse: "f32[B, H, SQ]", scale: "f32", *,
              D: const, DV: const, causal: const = False, window: const = 0, BM: const = 64, BN: const = 128):
    """o = softmax(scale q k^T + mask) v by head; lse = log sum exp of the masked scores.

    Shapes: q (B, SQ, H, D), k (B, SK, G, D), v (B, SK, G, DV), o (B, SQ, H, DV), lse (B, H, SQ); H a multiple of G (grouped queries).
    causal: query i sees keys up to i + SK - SQ (aligned at the end); window > 0: and only the last `window` of them.
    Error: weights within 2^-18 + 2^-21 max|score| relative, plus T's rounding of each weight before the second product.
    Source: FlashAttention-2 (Dao, arXiv:2307.08691), algorithm 1.
    """
    i, h, b = tile.grid(tile.cdiv(SQ, BM), H, B)
    g = h // (H // G)
    diagonal = SK - SQ
    rows = i * BM + tile.iota(BM) + diagonal
    qt = tile.load(q, (b, (i * BM, BM), h, (0, D)))
    m = tile.full((BM,), -INF, tile.f32)
    l = tile.zeros((BM,), tile.f32)
    acc = tile.zeros((BM, DV), tile.f32)
    first = 0
    last = SK
    if causal:
        last = tile.minimum(SK, (i + 1) * BM + diagonal)
    if window > 0:
        first = tile.maximum(0, i * BM + diagonal - window + 1) // BN * BN
    for j in tile.range(first, last, BN):
        s = tile.dot(qt, tile.load(k, (b, (j, BN), g, (0, D))).T) * (scale * LOG2E)
        cols = (j + tile.iota(BN))[None, :]
        seen = cols < SK
        if causal:
            seen = seen & (cols <= rows[:, None])
        if window > 0:
            seen = seen & (cols > rows[:, None] - window)
        m, l, factor, p = online_softmax(tile.where(seen, s, -INF), m, l)
        acc = tile.dot(tile.cast(p, T), tile.load(v, (b, (j, BN), g, (0, DV))), acc * factor[:, None])
    out, z = normalise(acc, m, l)
    tile.store(o, (b, (i * BM, BM), h, (0, DV)), out)
    tile.store(lse, (b, h, (i * BM, BM)), z)


# ---------------------------------------------------------------- host
def flash_attention(q: Any, k: Any, v: Any, *, scale: float | None = None, causal: bool = False, window: int = 0, **consts: Any) -> tuple[Any, Any]:
    """(o, lse) of numpy arrays shaped as `attention` says; `scale` defaults to D^-1/2.  Raises DslError if shapes do not fit."""
    b, sq, h, d = q.shape
    o, lse = np.empty((b, sq, h, v.shape[-1]), q.dtype), np.empty((b, h, sq), np.float32)
    attention(q, k, v, o, lse, d ** -0.5 if scale is None else scale, causal=causal, window=window, **consts)
    return o, lse


# ---------------------------------------------------------------- reference
def seen(sq: int, sk: int, causal: bool, window: int) -> Any:
    """Which keys (columns) a query (row) sees, as bools (SQ, SK)."""
    rows, cols = np.arange(sq)[:, None] + sk - sq, np.arange(sk)[None, :]
    return (~np.asarray(causal) | (cols <= rows)) & ((window == 0) | (cols > rows - window))


def _reference(given: Given, _got: Given) -> dict[str, Expected]:
    q, k, v = (np.moveaxis(given[n].astype(np.float64), 1, 2) for n in "qkv")
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    s = q @ np.swapaxes(k, 2, 3) * given["scale"]
    size = np.abs(s).max()
    s = np.where(seen(q.shape[2], k.shape[2], given["causal"], given["window"]), s, -np.inf)
    top = s.max(-1, keepdims=True)
    p = np.exp(s - np.where(np.isinf(top), 0, top))
    total = p.sum(-1, keepdims=True)
    weights = p / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = (top + np.log(total))[..., 0]
    unit = {2: 2.0 ** -8 if given["q"].dtype != np.float16 else 2.0 ** -11}.get(given["q"].dtype.itemsize, 0.0)
    relative = unit + 2.0 ** -18 + 2.0 ** -21 * size
    return {"o": Expected(np.moveaxis(weights @ v, 1, 2), relative * np.moveaxis(weights @ np.abs(v), 1, 2)),
            "lse": Expected(lse, 2.0 ** -18 + 2.0 ** -20 * size)}


def _operations(n: Any) -> float:
    """Two products over the keys that are seen."""
    pairs = float(seen(n["SQ"], n["SK"], n["causal"], n["window"]).sum()) if n["causal"] or n["window"] else float(n["SQ"] * n["SK"])
    return 2.0 * n["B"] * n["H"] * pairs * (n["D"] + n["DV"])


# K and V tiles of 64 rows leave room for several of each in the shared memory of a GPU.
for _target in ("cuda", "hip"):
    schedule(attention, target=_target, consts={"BM": 64, "BN": 32})
    schedule(attention, target=_target, when="T == bf16 or T == f16", consts={"BM": 128, "BN": 64})


EXAMPLES = {"attention": Example({"B": 1, "SQ": 1024, "SK": 1024, "H": 4, "G": 4, "D": 64, "DV": 64}, _reference, {"T": "f32"}, {"scale": 0.125},
                                 operations=_operations)}
