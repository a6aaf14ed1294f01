"""Products of vectors of +1 and -1, and Hamming distances: on packed bits, by xor and population counts."""
from __future__ import annotations

from typing import Any

import numpy as np
from dslc import const, tile, tile_function, tile_kernel
from dslc.errors import check
from dslc.runtime.arrays import as_array
from dslc.runtime.library import Example, Expected, Given
from dslc.runtime.trial import threads

from .results import new_array

WORDS = ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64")
ROWS, COLUMNS = 256, 256        # of a tile on CPUs, and bytes of a row at once: 4096^3 on two threads took 8 to 15 % longer with 64 or 128 of each (Zen 3)
BYTES = 512


@tile_function
def differing_bits(a, b, rows, cols, WORDS_OF_A, BM, BN, BK):
    """The number of bits in which each of the rows of a differs from each of the rows of b."""
    acc = tile.zeros((BM, BN), tile.i32)
    for k in tile.range(0, WORDS_OF_A, BK):
        x = tile.load(a, (rows, (k, BK)))[:, None, :] ^ tile.load(b, (cols, (k, BK)))[None, :, :]
        acc = acc + tile.sum(tile.popcount(x), 2)
    return acc


@tile_kernel
def hamming(a: "T[M, W]", b: "T[N, W]", c: "i32[M, N]", *, BM: const = 16, BN: const = 16, BK: const = 8):
    """c[i, j] = popcount(a[i] xor b[j]), the sum over W words.

    Shapes: a (M, W), b (N, W) packed bits in integers of any width, c (M, N).  Exact.
    """
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    rows, cols = (i * BM, BM), (j * BN, BN)
    tile.store(c, (rows, cols), differing_bits(a, b, rows, cols, W, BM, BN, BK))


@tile_kernel
def binary_gemm(a: "T[M, W]", b: "T[N, W]", c: "U[M, N]", bits: "i32", alpha: "f32[N]?" = None, *, BM: const = 16, BN: const = 16, BK: const = 8):
    """c[i, j] = (bits - 2 popcount(a[i] xor b[j])) alpha[j]: the product of rows of `bits` signs, one bit for each.

    Shapes: a (M, W), b (N, W) packed bits, alike in whatever is beyond `bits` of a row; alpha (N) or none; c (M, N).
    Error: the sum is exact, one f32 rounding with alpha, then U's.  Without alpha U is i32.
    Source: Rastegari et al., "XNOR-Net", arXiv:1603.05279.
    """
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    rows, cols = (i * BM, BM), (j * BN, BN)
    product = bits - 2 * differing_bits(a, b, rows, cols, W, BM, BN, BK)
    if alpha is not None:
        tile.store(c, (rows, cols), tile.cast(product, tile.f32) * tile.load(alpha, cols)[None, :])
    else:
        tile.store(c, (rows, cols), product)


@tile_kernel
def pack_signs(x: "T[M, K]", packed: "u1[M, KP] in u8[M, KP/8]", *, BM: const = 16, BK: const = 256):
    """Bit k of row i, lowest bits first: whether x[i, k] >= 0 (so for -0.0, and for what is beyond K; not for NaN)."""
    i, k = tile.grid(tile.cdiv(M, BM), tile.cdiv(KP, BK))
    at = ((i * BM, BM), (k * BK, BK))
    tile.store(packed, at, tile.load(x, at) >= 0)


# ---------------------------------------------------------------- host
def packed_signs(x: Any) -> Any:
    """The signs of x (M, K) as `binary_matmul` and `hamming_distances` take them: u8 (M, 8 ceil(K / 64)), bit k of a row, lowest first, for x >= 0.

    x: f32, f16, bf16 or f64; numpy, torch or what else kernels take.  Bits beyond K are set; rows are whole words of 64 bits, and may be viewed as such.
    """
    given = as_array(x)
    check(len(given.shape) == 2, f"packed_signs: expected x (M, K), got {given.shape}")
    packed = new_array(x, (given.shape[0], -(-given.shape[1] // 64) * 8), "u8")
    pack_signs(x, packed)
    return packed


def tile_sizes(m: int, n: int, words: int, itemsize: int, workers: int) -> dict[str, int]:
    """Constants for a shape on a CPU: programs enough for all threads, words of a row as they come."""
    up = [1 << max(x - 1, 0).bit_length() for x in (m, n, words)]
    bm, bn = min(ROWS, up[0]), min(COLUMNS, up[1])
    while bn > 32 and -(-m // bm) * -(-n // bn) < 2 * workers:
        bn //= 2
    return {"BM": bm, "BN": bn, "BK": min(BYTES // itemsize, max(up[2], 32 // itemsize))}


def _operands(a: Any, b: Any, out: Any, dtype: str) -> tuple[Any, dict[str, int]]:
    """The result and the constants of a call."""
    x, y = as_array(a), as_array(b)
    check(x.dtype == y.dtype and x.dtype in WORDS, f"expected packed bits in integers of one type, found {x.dtype} and {y.dtype}")
    check(len(x.shape) == len(y.shape) == 2 and x.shape[1] == y.shape[1], f"expected a (M, W) and b (N, W), got {x.shape} and {y.shape}")
    c = new_array(a, (x.shape[0], y.shape[0]), dtype) if out is None else out
    return c, tile_sizes(x.shape[0], y.shape[0], x.shape[1], x.itemsize, threads()) if x.device == "cpu" else {}


def hamming_distances(a: Any, b: Any, *, out: Any = None, **consts: Any) -> Any:
    """The number of bits in which each row of a (M, W) differs from each row of b (N, W): i32 (M, N), exact.

    a, b: packed bits in integers of one type, 8 to 64 bits, signed or not; numpy, torch or what else kernels take, any strides.
    Raises DslError if shapes or types do not fit.
    """
    c, sizes = _operands(a, b, out, "i32")
    hamming(a, b, c, **{**sizes, **consts})
    return c


def binary_matmul(a: Any, b: Any, bits: int, alpha: Any = None, *, out: Any = None, **consts: Any) -> Any:
    """x y^T for matrices x (M, bits) and y (N, bits) of +1 and -1 of which a (M, W) and b (N, W) are the packed signs, times alpha (N) by columns if given.

    a, b: as `packed_signs` makes them, or any packed bits that agree beyond `bits`.  The result is i32 and exact; with alpha (f32) it is f32, the product
    with alpha rounded once, or what `out` is.  Raises DslError if shapes or types do not fit.
    """
    c, sizes = _operands(a, b, out, "i32" if alpha is None else "f32")
    binary_gemm(a, b, c, bits, alpha, **{**sizes, **consts})
    return c


# ---------------------------------------------------------------- reference
def _differing(given: Given) -> Any:
    """By whole bytes."""
    a, b = (np.ascontiguousarray(given[n]).view(np.uint8) for n in "ab")
    return np.stack([np.bitwise_count(row ^ b).sum(1, dtype=np.int32) for row in a])


def _hamming_reference(given: Given, _got: Given) -> dict[str, Expected]:
    return {"c": Expected(_differing(given))}


def _gemm_reference(given: Given, _got: Given) -> dict[str, Expected]:
    c = given["bits"] - 2 * _differing(given).astype(np.int64)
    if given.get("alpha") is None:
        return {"c": Expected(c.astype(np.int32))}
    c = c * given["alpha"].astype(np.float64)
    return {"c": Expected(c, 2.0 ** -24 * np.abs(c))}


def _signs_reference(given: Given, got: Given) -> dict[str, Expected]:
    x, words = given["x"], got["packed"].shape[1]
    bits = np.pad(x >= 0, ((0, 0), (0, 8 * words - x.shape[1])), constant_values=True)
    return {"packed": Expected(np.packbits(bits, axis=1, bitorder="little"))}


_SIZES = {"M": 1024, "N": 1024, "W": 64}
EXAMPLES = {
    "hamming": Example(_SIZES, _hamming_reference, {"T": "u32"}, consts={"BM": 64, "BN": 128, "BK": 64}, operations=lambda n: 64.0 * n["M"] * n["N"] * n["W"]),
    "binary_gemm": Example(_SIZES, _gemm_reference, {"T": "u32", "U": "f32"}, {"bits": 2048}, {"BM": 64, "BN": 128, "BK": 64}, ("alpha",),
                           operations=lambda n: 64.0 * n["M"] * n["N"] * n["W"]),
    "pack_signs": Example({"M": 1024, "K": 4096, "KP": 4096}, _signs_reference, {"T": "f32"}),
}
