"""Attention, forward: any number of query heads to a key head, causal, sliding window, log-sum-exp out.  Backward and paged caches are elsewhere."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from dslc import const, schedule, tile, tile_function, tile_kernel
from dslc.runtime.arrays import Array
from dslc.runtime.library import Example, Expected, Given

from .gemm import run_length
from .results import described, new_array

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


@tile_kernel
def attention_decode(q: "T[B, SQ, H, D]", k: "T[B, SK, G, D]", v: "T[B, SK, G, DV]", part: "U[P, SQ, H, DV]", lse: "f32[P, H, SQ]", scale: "f32",
                     first: "i32", *, D: const, DV: const, BH: const = 4, BN: const = 256):
    """Attention of few queries to all keys from `first` on: part[s B + b], lse[s B + b] are o[b], lse[b] over the s-th of P / B runs of keys.

    Shapes: q (B, SQ, H, D), k (B, SK, G, D), v (B, SK, G, DV), part (P, SQ, H, DV), lse (P, H, SQ); H a multiple of G, P of B.
    The heads that share a key head are rows of one tile: keys and values are read once for BH of them.  attention_join makes one of the runs.
    Error: as attention's.  A run without keys gives 0 and -inf.
    Source: Dao, Haziza, Massa and Sizov, "Flash-Decoding for long-context inference", 2023.
    """
    p, i, g, r = tile.grid(P, SQ, G, tile.cdiv(H // G, BH))
    b = p % B
    each = tile.cdiv(tile.cdiv(SK - first, BN), P // B) * BN
    start = tile.maximum(0, tile.minimum(SK, first + p // B * each))     # in bounds that are known: the mask then costs nothing but at the end
    last = tile.minimum(SK, tile.maximum(start, start + each))
    heads = (g * (H // G) + r * BH, BH, (g + 1) * (H // G))
    qt = tile.load(q, (b, i, heads, (0, D)))
    m = tile.full((BH,), -INF, tile.f32)
    l = tile.zeros((BH,), tile.f32)
    acc = tile.zeros((BH, DV), tile.f32)
    for j in tile.range(start, last, BN):
        s = tile.dot(qt, tile.load(k, (b, (j, BN), g, (0, D))).T) * (scale * LOG2E)
        seen = (j + tile.iota(BN))[None, :] < SK
        m, l, factor, w = online_softmax(tile.where(seen, s, -INF), m, l)
        acc = tile.dot(tile.cast(w, T), tile.load(v, (b, (j, BN), g, (0, DV))), acc * factor[:, None])
    out, z = normalise(acc, m, l)
    tile.store(part, (p, i, heads, (0, DV)), out)
    tile.store(lse, (p, heads, i), z)


@tile_kernel
def attention_join(part: "f32[P, SQ, H, DV]", lse: "f32[P, H, SQ]", o: "T[B, SQ, H, DV]", whole: "f32[B, H, SQ]", *, DV: const, BH: const = 4):
    """Attention over all keys from that over runs of them: whole = log sum_s exp(lse[s B + b]), o = sum_s exp(lse[s B + b] - whole) part[s B + b].

    Shapes: part (P, SQ, H, DV), lse (P, H, SQ), o (B, SQ, H, DV), whole (B, H, SQ); P a multiple of B.
    Error: (2^-18 + 2^-20 max|lse|) max|part|, and o's rounding.
    """
    b, i, r = tile.grid(B, SQ, tile.cdiv(H, BH))
    heads = (r * BH, BH)
    m = tile.full((BH,), -INF, tile.f32)
    l = tile.zeros((BH,), tile.f32)
    acc = tile.zeros((BH, DV), tile.f32)
    for s in tile.range(0, P // B, 1):
        p = s * B + b
        x = tile.load(lse, (p, heads, i)) * LOG2E
        top = tile.maximum(m, x)
        safe = tile.where(top == -INF, 0.0, top)
        factor, weight = tile.exp2(m - safe), tile.exp2(x - safe)
        l = tile.fma(l, factor, weight)
        acc = tile.fma(tile.load(part, (p, i, heads, (0, DV))), weight[:, None], acc * factor[:, None])
        m = top
    out, z = normalise(acc, m, l)
    tile.store(o, (b, i, heads, (0, DV)), out)
    tile.store(whole, (b, heads, i), z)


# ---------------------------------------------------------------- host
# Keys to a program: the keys of one head are far apart, and those of the next, between them, are still near then (a Zen 3, 8192 keys, 8 heads of 128 bf16,
# two threads: 2.2 ms by runs of 2048, 1.9 of 512, 1.9 of 256, which make twice as much to join).
DECODE_KEYS = 512


def flash_attention(q: Any, k: Any, v: Any, *, causal: bool = False, window: int = 0, scale: float | None = None, return_lse: bool = False, out: Any = None,
                    **consts: Any) -> Any:
    """o[b, i, h] = sum_j w_ij v[b, j, g] / sum_j w_ij, w_ij = exp(scale q[b, i, h].k[b, j, g]) over the keys j that i sees, g = h // (H / G).

    Shapes: q (B, SQ, H, D), k (B, SK, G, D), v (B, SK, G, DV), result (B, SQ, H, DV); any strides, so x.transpose(1, 2) of (B, H, S, D) is no copy.
    G divides H: 1 is multi-query, H plain attention.  Dtypes: one of f32, f16, bf16 for all; the result is of that, f32 inside.
    causal: query i sees keys up to i + SK - SQ (aligned at the end, as FlashAttention; torch's is_causal aligns at the start, the same where SQ = SK).
    window > 0: and of those only the last `window`, with or without causal: keys above i + SK - SQ - window.  A query without a key gives 0.
    scale: D^-1/2 by default.  return_lse: (o, lse) with lse[b, h, i] = log sum_j w_ij, (B, H, SQ) f32, -inf without a key.
    out: where the result goes, of q's dtype, any strides, apart from the inputs.  Arrays are numpy, torch or any that kernels take; results are of q's kind.
    Further names are constants of the kernel (BM, BN: tiles of queries and keys) or `target`.
    Error: each weight within 2^-18 + 2^-21 max|score| relative and, for f16 and bf16, rounded once more (2^-11, 2^-8); then that of the result's dtype.
    Source: FlashAttention-2 (Dao, arXiv:2307.08691), algorithm 1; no S x S matrix is made.
    Raises TypeError for what is no array, ValueError for ranks, shapes, dtypes and a negative window.
    """
    a = described(q=q, k=k, v=v)
    b, sq, h, d, sk, dv = _sizes(a)
    if not isinstance(window, (int, np.integer)) or window < 0:
        raise ValueError(f"window must be an int of 0 (none) or more, got {window!r}")
    if out is None:
        out = new_array(q, (b, sq, h, dv), a["q"].dtype)
    else:
        given = described(out=out)["out"]
        if (given.shape, given.dtype) != ((b, sq, h, dv), a["q"].dtype):
            raise ValueError(f"out must be {(b, sq, h, dv)} of {a['q'].dtype}, got {given.shape} of {given.dtype}")
    lse = new_array(q, (b, h, sq), "f32")
    if sq == 1 and sk and a["q"].device == "cpu" and not consts:
        _decode(q, k, v, out, lse, window, float(d ** -0.5 if scale is None else scale))
    elif sk:
        if sq < 64 and a["q"].device == "cpu":
            consts = {"BM": max(1, 1 << (sq - 1).bit_length() if sq else 1), **consts}
        attention(q, k, v, out, lse, float(d ** -0.5 if scale is None else scale), causal=bool(causal), window=int(window), **consts)
    else:
        out[...], lse[...] = 0, -INF
    return (out, lse) if return_lse else out


def _decode(q: Any, k: Any, v: Any, out: Any, lse: Any, window: int, scale: float) -> None:
    """One query, which sees every key, or the last `window`: runs of keys go to programs of their own."""
    (b, sq, h, _), (_, sk, g, _), dv = q.shape, k.shape, v.shape[3]
    keys = min(sk, window) if window else sk
    runs = max(1, keys // DECODE_KEYS)
    part, parts = (np.empty((runs * b, sq, h, dv), np.float32), np.empty((runs * b, h, sq), np.float32)) if runs > 1 else (out, lse)
    tile_keys = DECODE_KEYS if runs >= 8 else max(16, min(256, 1 << (keys - 1).bit_length()))     # what overhangs the last key is computed in vain
    attention_decode(q, k, v, part, parts, scale, sk - keys, BH=min(h // g, 8), BN=tile_keys)
    if runs > 1:
        attention_join(part, parts, out, lse)


def _sizes(a: Mapping[str, Array]) -> tuple[int, ...]:
    """B, SQ, H, D, SK, DV; ValueError if the arguments do not fit together."""
    shapes = ", ".join(f"{n} {x.shape} {x.dtype}" for n, x in a.items())
    if any(len(x.shape) != 4 for x in a.values()):
        raise ValueError(f"expected q (B, SQ, H, D), k (B, SK, G, D), v (B, SK, G, DV), got {shapes}")
    if len({x.dtype for x in a.values()}) > 1 or a["q"].dtype not in ("f32", "f16", "bf16"):
        raise ValueError(f"expected one of f32, f16, bf16 for all, got {shapes}")
    (b, sq, h, d), (_, sk, g, _), dv = a["q"].shape, a["k"].shape, a["v"].shape[3]
    if a["k"].shape != (b, sk, g, d) or a["v"].shape != (b, sk, g, dv):
        raise ValueError(f"q, k and v do not fit together: {shapes}")
    if d < 1 or dv < 1 or g < 1 or h % g:
        raise ValueError(f"D and DV must be 1 or more and the {h} heads of q a multiple of the {g} of k: {shapes}")
    return b, sq, h, d, sk, dv


# ---------------------------------------------------------------- reference
def seen(sq: int, sk: int, causal: bool, window: int) -> Any:
    """Which keys (columns) a query (row) sees, as bools (SQ, SK)."""
    rows, cols = np.arange(sq)[:, None] + sk - sq, np.arange(sk)[None, :]
    return (~np.asarray(causal) | (cols <= rows)) & ((window == 0) | (cols > rows - window))


def _exactly(given: Given, one: slice, visible: Any) -> tuple[Expected, Expected]:
    """The output (B, SQ, H, DV) and log-sum-exp (B, H, SQ) of some of the batch over the keys that each query sees, (SQ, SK) bools."""
    q, k, v = (np.moveaxis(given[n][one].astype(np.float64), 1, 2) for n in "qkv")
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    s = q @ np.swapaxes(k, 2, 3) * given["scale"]
    size = np.abs(s).max()
    s = np.where(visible, s, -np.inf)
    top = s.max(-1, keepdims=True)
    p = np.exp(s - np.where(np.isinf(top), 0, top))
    total = p.sum(-1, keepdims=True)
    weights = p / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = (top + np.log(total))[..., 0]
    unit = {2: 2.0 ** -8 if given["q"].dtype != np.float16 else 2.0 ** -11}.get(given["q"].dtype.itemsize, 0.0)
    relative = unit + 2.0 ** -18 + 2.0 ** -21 * size
    return Expected(np.moveaxis(weights @ v, 1, 2), relative * np.moveaxis(weights @ np.abs(v), 1, 2)), Expected(lse, 2.0 ** -18 + 2.0 ** -20 * size)


def _reference(given: Given, _got: Given) -> dict[str, Expected]:
    o, lse = _exactly(given, slice(None), seen(given["q"].shape[1], given["k"].shape[1], given["causal"], given["window"]))
    return {"o": o, "lse": lse}


def _decode_reference(given: Given, got: Given) -> dict[str, Expected]:
    (batch, queries), keys, first = given["q"].shape[:2], given["k"].shape[1], given["first"]
    runs = got["part"].shape[0] // batch
    each = run_length(keys - first, given["BN"], runs)
    found = []
    for p in range(runs * batch):
        start, one = first + p // batch * each, p % batch
        visible = (np.arange(keys) >= start) & (np.arange(keys) < start + each)
        found.append(_exactly(given, slice(one, one + 1), np.broadcast_to(visible, (queries, keys))))
    return {name: Expected(np.concatenate([f[n].value for f in found]), np.concatenate([np.broadcast_to(f[n].error, f[n].value.shape) for f in found]))
            for n, name in enumerate(("part", "lse"))}


def _join_reference(given: Given, got: Given) -> dict[str, Expected]:
    part, lse = (given[n].astype(np.float64).reshape(-1, got["o"].shape[0], *given[n].shape[1:]) for n in ("part", "lse"))
    whole = np.logaddexp.reduce(lse)
    size = np.abs(lse).max()
    o = (np.swapaxes(np.exp(lse - whole), 2, 3)[..., None] * part).sum(0)
    return {"o": Expected(o, (2.0 ** -18 + 2.0 ** -20 * size) * np.abs(part).max()), "whole": Expected(whole, 2.0 ** -18 + 2.0 ** -20 * size)}


def _operations(n: Any) -> float:
    """Two products over the keys that are seen."""
    pairs = float(seen(n["SQ"], n["SK"], n["causal"], n["window"]).sum()) if n["causal"] or n["window"] else float(n["SQ"] * n["SK"])
    return 2.0 * n["B"] * n["H"] * pairs * (n["D"] + n["DV"])


# K and V tiles of 64 rows leave room for several of each in the shared memory of a GPU.
for _target in ("cuda", "hip"):
    schedule(attention, target=_target, consts={"BM": 64, "BN": 32})
    schedule(attention, target=_target, when="T == bf16 or T == f16", consts={"BM": 128, "BN": 64})
# Scores of 64 x 64 f32 for each vector core: a dozen such tiles live in its UB at once.
schedule(attention, target="ascend", consts={"BM": 128, "BN": 64})


EXAMPLES = {
    "attention": Example({"B": 1, "SQ": 1024, "SK": 1024, "H": 4, "G": 4, "D": 64, "DV": 64}, _reference, {"T": "f32"}, {"scale": 0.125},
                         operations=_operations),
    "attention_decode": Example({"B": 1, "SQ": 1, "SK": 8192, "H": 32, "G": 8, "D": 128, "DV": 128, "P": 16}, _decode_reference, {"T": "f32", "U": "f32"},
                                {"scale": 0.0884, "first": 5}, operations=lambda n: 2.0 * n["B"] * n["SQ"] * n["H"] * n["SK"] * (n["D"] + n["DV"])),
    "attention_join": Example({"B": 1, "SQ": 1, "H": 32, "DV": 128, "P": 16}, _join_reference, {"T": "f32"}),
}
