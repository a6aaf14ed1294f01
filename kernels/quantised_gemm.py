"""Weight-only int4 products: activations of 16 bits, weights of 4 in GPTQ's packing, scales and zeros by group.  Quantised activations are elsewhere."""
from __future__ import annotations

from typing import Any

import numpy as np
from dslc import const, tile, tile_function, tile_kernel
from dslc.runtime.library import Example, Expected, Given

from .gemm import add_splits, run_length

FIELDS = 8                   # 4-bit weights in a word of 32


@tile_function
def repeat_rows(x, n):
    """Each row of x (R, C) n times: (R n, C)."""
    return tile.reshape(tile.broadcast(x[:, None, :], (x.shape[0], n, x.shape[1])), (x.shape[0] * n, x.shape[1]))


@tile_function
def dequantise(w, scale, zero, k, cols, BK, GROUP, dtype):
    """(q - zero) scale for rows k..k+BK-1: the product is exact in f32 and rounded once to dtype.  zero None means 8.

    GROUP is a multiple of BK, or BK of GROUP.
    """
    q = tile.cast(tile.load(w, ((k, BK), cols)), tile.f32)
    if GROUP % BK == 0:
        at, repeat = ((k // GROUP, 1), cols), BK
    else:
        at, repeat = ((k // GROUP, BK // GROUP), cols), GROUP
    z = 8.0
    if zero is not None:
        z = repeat_rows(tile.cast(tile.load(zero, at), tile.f32), repeat)
    return tile.cast((q - z) * repeat_rows(tile.load(scale, at), repeat), dtype)


@tile_kernel
def w4a16(a: "T[M, K]", w: "u4[K, N] in u32[K/8, N]", scale: "T[NG, N]", zero: "u8[NG, N]?", part: "f32[S, M, N]", *,
          GROUP: const = 128, BM: const = 16, BN: const = 128, BK: const = 128):
    """part[s] = a @ ((w - zero) scale) over the s-th of S runs of K; add_splits makes the product of them.

    Shapes: a (M, K) f16 or bf16, w (K, N) 4-bit fields along K in u32 (K/8, N), scale and zero (K/GROUP, N), part (S, M, N).
    Error: weights rounded once to T, then (K + 8) 2^-23 sum |a||w|.
    Source: GPTQ (Frantar et al., arXiv:2210.17323); the packing of its reference code, lowest bits first.
    """
    i, j, s = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN), S)
    cols = (j * BN, BN)
    each = tile.cdiv(tile.cdiv(K, BK), S) * BK
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(s * each, tile.minimum(K, (s + 1) * each), BK):
        wt = dequantise(w, scale, zero, k, cols, BK, GROUP, T)
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), wt, acc)
    tile.store(part, (s, (i * BM, BM), cols), acc)


@tile_kernel
def dequantise_all(w: "u4[K, N] in u32[K/8, N]", scale: "T[NG, N]", zero: "u8[NG, N]?", out: "T[K, N]", *,
                   GROUP: const = 128, BN: const = 128, BK: const = 128):
    """out = (w - zero) scale, rounded once to T; zero defaults to 8."""
    i, j = tile.grid(tile.cdiv(K, BK), tile.cdiv(N, BN))
    tile.store(out, ((i * BK, BK), (j * BN, BN)), dequantise(w, scale, zero, i * BK, (j * BN, BN), BK, GROUP, T))


# ---------------------------------------------------------------- host
def pack_gptq(q: Any) -> Any:
    """4-bit integers (K, N), 0..15, as u32 words (K/8, N): eight rows to a word, lowest bits first.  K a multiple of 8."""
    rows = np.asarray(q, np.uint32).reshape(-1, FIELDS, q.shape[1])
    return np.bitwise_or.reduce(rows << (4 * np.arange(FIELDS, dtype=np.uint32))[None, :, None], axis=1)


def unpack_gptq(words: Any) -> Any:
    """The 4-bit integers (K, N) of words (K/8, N)."""
    fields = words[:, None, :] >> (4 * np.arange(FIELDS, dtype=np.uint32))[None, :, None] & 15
    return fields.reshape(-1, words.shape[1]).astype(np.uint8)


def quantise_gptq(w: Any, group: int = 128) -> tuple[Any, Any]:
    """(words, scale) of weights (K, N) by rounding to nearest, symmetric about 8 in each group: scale = max |w| / 7, in f16."""
    blocks = np.asarray(w, np.float32).reshape(-1, group, w.shape[1])
    scale = (np.abs(blocks).max(1) / 7).astype(np.float16)
    q = np.rint(blocks / np.maximum(scale, np.float16(6e-8)).astype(np.float32)[:, None]) + 8
    return pack_gptq(np.clip(q, 0, 15).astype(np.uint32).reshape(w.shape)), scale


def matmul_w4a16(a: Any, words: Any, scale: Any, zero: Any = None, *, group: int = 128, splits: int = 1, **consts: Any) -> Any:
    """a (M, K) times quantised weights, in a's dtype; `splits` divides K among programs, for few rows."""
    part, c = np.empty((splits, a.shape[0], words.shape[1]), np.float32), np.empty((a.shape[0], words.shape[1]), a.dtype)
    w4a16(a, words, scale, zero, part, GROUP=group, **consts)
    add_splits(part, c)
    return c


# ---------------------------------------------------------------- reference
def dequantised(given: Given) -> Any:
    """The weights as the kernels must see them, in the dtype of `scale`."""
    scale, zero, group = given["scale"], given.get("zero"), given["GROUP"]
    zeros = 8 if zero is None else np.repeat(zero.astype(int), group, 0)
    return ((unpack_gptq(given["w"]).astype(int) - zeros) * np.repeat(scale.astype(np.float32), group, 0)).astype(scale.dtype)


def _w4a16_reference(given: Given, got: Given) -> dict[str, Expected]:
    a, w, step, splits = given["a"].astype(np.float64), dequantised(given).astype(np.float64), given["BK"], got["part"].shape[0]
    each = run_length(a.shape[1], step, splits)
    runs = [(a[:, s * each:(s + 1) * each], w[s * each:(s + 1) * each]) for s in range(splits)]
    return {"part": Expected(np.stack([x @ y for x, y in runs]), (a.shape[1] + 8) * 2.0 ** -23 * np.stack([np.abs(x) @ np.abs(y) for x, y in runs]))}


def _prepare(random: Any, given: dict[str, Any]) -> None:
    given["w"][:] = random.integers(0, 1 << 32, given["w"].shape, dtype=np.uint32)
    given["scale"][:] = random.uniform(0.001, 0.02, given["scale"].shape).astype(given["scale"].dtype)


EXAMPLES = {
    "w4a16": Example({"M": 16, "K": 2048, "N": 2048, "NG": 16, "S": 1}, _w4a16_reference, {"T": "f16"}, prepare=_prepare,
                     operations=lambda n: 2.0 * n["M"] * n["N"] * n["K"]),
    "dequantise_all": Example({"K": 2048, "N": 2048, "NG": 16}, lambda given, _got: {"out": Expected(dequantised(given))}, {"T": "f16"}, prepare=_prepare),
}
