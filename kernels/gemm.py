"""Matrix products: with an epilogue, batched, int8 with scales, split along K for few rows, with weights packed beforehand.

Grouped and quantised products are elsewhere.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from dslc import const, schedule, tile, tile_function, tile_kernel
from dslc.errors import DslError, check
from dslc.runtime.arrays import as_array
from dslc.runtime.library import Example, Expected, Given
from dslc.runtime.trial import threads

from .results import dtype_name, new_array

# Tile sizes measured on two cores of an AMD EPYC (Zen 3, 32 KiB L1, 512 KiB L2 each) before operands had panels: 256 is 5 to 12 % faster than 128 from
# 512 to 2048, and a packed panel of 256 x 256 f32 fills half of L2.  int8 is as fast with 128, which gives four times the programs.  On CPUs dot cuts K
# by itself, evenly if a tile has all of it: 127 x 1031 x 515 is 3 % faster so.
BLOCK = 256
DEPTH = 1024
FEW = 64                        # rows up to which b is packed while it is multiplied: tiles half as wide leave more of L2 for what comes next
BLOCK_INT8 = 128
PACKED = ("f64", "f32", "f16", "bf16", "i8", "u8")
PANEL_BYTES = 64                # of accumulators in a row of a packed panel: two registers of AVX2
PANEL_DEPTH, PANEL_DEPTH_INT8 = 1024, 256       # of K at a time: 256 to 4096 are alike for floats, for int8 256 is 1.4 times as fast as 1024 (M = 8)


# ---------------------------------------------------------------- epilogues
@tile_function
def identity(acc, bias, cols):
    """acc"""
    return acc


@tile_function
def bias_add(acc, bias, cols):
    """acc + bias, a row vector"""
    return acc + tile.load(bias, cols)[None, :]


@tile_function
def bias_relu(acc, bias, cols):
    """max(acc + bias, 0)"""
    return tile.maximum(bias_add(acc, bias, cols), 0.0)


@tile_function
def bias_gelu(acc, bias, cols):
    """t/2 (1 + tanh(sqrt(2/pi) (t + 0.044715 t^3))), t = acc + bias: the tanh form of GELU (Hendrycks and Gimpel, arXiv:1606.08415)"""
    t = bias_add(acc, bias, cols)
    return t * 0.5 * (1.0 + tile.tanh(0.7978845608028654 * t * (1.0 + 0.044715 * t * t)))


@tile_function
def bias_silu(acc, bias, cols):
    """t sigmoid(t), t = acc + bias"""
    t = bias_add(acc, bias, cols)
    return t * tile.sigmoid(t)


ACTIVATIONS = {"relu": bias_relu, "gelu": bias_gelu, "silu": bias_silu}


# ---------------------------------------------------------------- kernels
@tile_kernel
def gemm(a: "T[M, K]", b: "T[K, N]", c: "U[M, N]", bias: "f32[N]?" = None, *,
         BM: const = BLOCK, BN: const = BLOCK, BK: const = BLOCK, ACC: const = tile.f32, epilogue: const = identity):
    """c = epilogue(a @ b).

    Shapes: a (M, K), b (K, N), c (M, N), any strides (pass x.T for a transposed operand); T any float or 8-bit integer.
    ACC is the accumulator: f32, f64 for f64, i32 for integers.
    Error: (K + 8) 2^-23 sum_k |a||b| before the epilogue; integers exact.
    """
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    rows, cols = (i * BM, BM), (j * BN, BN)
    acc = tile.zeros((BM, BN), ACC)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, (rows, (k, BK))), tile.load(b, ((k, BK), cols)), acc)
    tile.store(c, (rows, cols), epilogue(acc, bias, cols))


@tile_kernel
def gemm_batched(a: "T[B, M, K]", b: "T[B, K, N]", c: "U[B, M, N]", bias: "f32[N]?" = None, *,
                 BM: const = BLOCK, BN: const = BLOCK, BK: const = BLOCK, ACC: const = tile.f32, epilogue: const = identity):
    """c[n] = epilogue(a[n] @ b[n]); a matrix shared by the batch has stride 0 (np.broadcast_to).  Error as gemm."""
    n, i, j = tile.grid(B, tile.cdiv(M, BM), tile.cdiv(N, BN))
    rows, cols = (i * BM, BM), (j * BN, BN)
    acc = tile.zeros((BM, BN), ACC)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, (n, rows, (k, BK))), tile.load(b, (n, (k, BK), cols)), acc)
    tile.store(c, (n, rows, cols), epilogue(acc, bias, cols))


@tile_kernel
def gemm_int8(a: "i8[M, K]", b: "i8[K, N]", row_scale: "f32[M]", col_scale: "f32[N]", c: "T[M, N]", *,
              BM: const = BLOCK_INT8, BN: const = BLOCK_INT8, BK: const = BLOCK):
    """c = (a @ b) row_scale[:, None] col_scale[None, :], the sum exact in i32; two f32 roundings, then T's."""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    rows, cols = (i * BM, BM), (j * BN, BN)
    acc = tile.zeros((BM, BN), tile.i32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, (rows, (k, BK))), tile.load(b, ((k, BK), cols)), acc)
    scaled = tile.cast(acc, tile.f32) * tile.load(row_scale, rows)[:, None] * tile.load(col_scale, cols)[None, :]
    tile.store(c, (rows, cols), scaled)


@tile_kernel
def gemm_split(a: "T[M, K]", b: "T[K, N]", part: "f32[S, M, N]", *, BM: const = 32, BN: const = 128, BK: const = BLOCK):
    """part[s] = the product over the s-th of S runs of K, each a whole number of BK: parallel where M and N give few programs."""
    i, j, s = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN), S)
    each = tile.cdiv(tile.cdiv(K, BK), S) * BK
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(s * each, tile.minimum(K, (s + 1) * each), BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN))), acc)
    tile.store(part, (s, (i * BM, BM), (j * BN, BN)), acc)


@tile_kernel
def add_splits(part: "f32[S, M, N]", c: "T[M, N]", *, BM: const = 16, BN: const = 128):
    """c = part[0] + part[1] + .., in this order: the same bits whatever the number of threads."""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for s in tile.range(0, S):
        acc = acc + tile.load(part, (s, (i * BM, BM), (j * BN, BN)))
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


@tile_kernel
def gemm_panels(a: "T[M, K]", b: "T[P, K, W]", c: "U[M, N]", bias: "f32[N]?" = None, *,
                W: const, BM: const = 32, BK: const = 64, ACC: const = tile.f32, epilogue: const = identity):
    """c = epilogue(a @ B), B (K, N) given as panels of W columns: b[p, k, j] = B[k, p W + j].  Whoever reads a panel along K reads memory as it comes.

    Shapes: a (M, K), b (P, K, W), P W >= N, c (M, N).  Dtypes and error as gemm.
    """
    i, j = tile.grid(tile.cdiv(M, BM), P)
    rows, cols = (i * BM, BM), (j * W, W)
    acc = tile.zeros((BM, W), ACC)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, (rows, (k, BK))), tile.load(b, (j, (k, BK), (0, W))), acc)
    tile.store(c, (rows, cols), epilogue(acc, bias, cols))


@tile_kernel
def pack_panels(b: "T[K, N]", panels: "T[P, K, W]", *, W: const, BK: const = 64):
    """panels[p, k, j] = b[k, p W + j], zeros beyond N."""
    k, p = tile.grid(tile.cdiv(K, BK), P)
    tile.store(panels, (p, (k * BK, BK), (0, W)), tile.load(b, ((k * BK, BK), (p * W, W))))


# ---------------------------------------------------------------- host
@dataclass(frozen=True, eq=False)
class PackedWeight:
    """What `prepack` made of a weight (K, N), for `matmul`.  Nothing else should look inside."""

    weight: Any
    panels: Any                 # (P, K, W), or None where the weight is used as it is

    @property
    def shape(self) -> tuple[int, int]:
        """(K, N)"""
        return tuple(as_array(self.weight).shape)


def prepack(weight: Any) -> PackedWeight:
    """A weight (K, N) in the order in which products read it, for `matmul(x, packed)`: worth it where one weight meets many x of few rows.

    On CPUs, for f64, f32, f16, bf16 and 8-bit integers, it holds a copy in panels of as many columns as two vector registers have accumulators, N rounded
    up to whole panels.  On other devices and for other types it holds the weight alone, and products are those of the plain weight.  The weight is kept
    in any case, since products of one row read it as it is, and must not change.  numpy, torch or what else kernels take, any strides.
    Measured on one thread of a Zen 3 that was not idle, N = K = 4096, out of memory: 2.8 times as fast as the plain weight for 4 rows of f32, 1.6 for 8,
    1.2 for 32 and 128, 1.0 from 256 on; bf16 1.5 for 8, 1.3 for 32.
    Raises DslError unless the weight is a matrix.
    """
    y = as_array(weight)
    check(len(y.shape) == 2, f"prepack: expected a weight (K, N), got {y.shape}")
    if y.device != "cpu" or y.dtype not in PACKED:
        return PackedWeight(weight, None)
    width = PANEL_BYTES // (8 if y.dtype == "f64" else 4)
    panels = new_array(weight, (-(-y.shape[1] // width), y.shape[0], width), y.dtype)
    pack_panels(weight, panels)
    return PackedWeight(weight, panels)


@lru_cache(4096)
def tile_sizes(m: int, n: int, k: int, threads: int, by_columns: bool = False, floats: bool = True) -> Mapping[str, int]:
    """Constants for a product (M, K) by (K, N): tiles hardly larger than the result, and two programs to a thread if that leaves 64 a side.

    Up to eight rows: runs of b that are as long as they come, along N, or along K where its columns are contiguous (by_columns).  Measured with one thread
    on a Zen 3, N = K = 4096 f32, ms: one row 3.1 along whole rows of b, 4.3 by runs of 1024; 3.2 along whole columns, 3.4 by runs of 1024; eight rows 7.0
    along whole rows, 32 to a tile, 7.9 by runs of 256 in tiles of 1024.
    """
    up = [1 << max(x - 1, 0).bit_length() for x in (m, n, k)]
    if m == 1 or (m <= 8 and floats and not by_columns):
        bn = 16 if by_columns else min(4096, up[1])
        while bn > 128 and -(-n // bn) < threads:
            bn //= 2
        return MappingProxyType({"BM": up[0], "BN": max(bn, 16), "BK": max(16, min(4096, up[2])) if by_columns else 64 if m == 1 else 32})
    bm, bn = min(BLOCK, up[0]), max(16, min(BLOCK if m > FEW else BLOCK // 2, up[1]))
    while bn > 64 and -(-m // bm) * -(-n // bn) < 2 * threads:
        bn //= 2
    while bm > 64 and -(-m // bm) * -(-n // bn) < 2 * threads:
        bm //= 2
    return MappingProxyType({"BM": bm, "BN": bn, "BK": max(16, min(DEPTH, up[2]))})


def matmul(a: Any, b: Any, bias: Any = None, *, activation: str | None = None, out: Any = None, dtype: Any = None, splits: int = 1, **consts: Any) -> Any:
    """activation(a @ b + bias), a (M, K), b (K, N), any strides; numpy, torch or what else kernels take, and the result (M, N) of a's kind.

    b may be what `prepack` made of it.
    Dtypes: a and b one of f64, f32, f16, bf16, f8 or 8-bit integers; the result a's, but i32 for integers, unless `dtype` or `out` says otherwise.
    bias (N) f32.  activation: "relu", "gelu" (by tanh) or "silu", applied before the result is rounded; an `epilogue` among the constants goes before both.
    splits > 1 divides K among programs, for few rows (floats, no epilogue).  Tile sizes follow the shape unless constants give them.
    Error: (K + 8) 2^-23 sum_k |a||b| before the activation (f64: 2^-52), whose slope is below 1.13, then the result's rounding; integers exact.
    Raises DslError if shapes or dtypes do not fit, ValueError for an unknown activation.
    """
    panels, b = (b.panels, b.weight) if isinstance(b, PackedWeight) else (None, b)
    x, y = as_array(a), as_array(b)
    if len(x.shape) != 2 or len(y.shape) != 2 or x.shape[1] != y.shape[0]:                  # not by `check`: products take no longer than its message
        raise DslError(f"matmul: expected a (M, K) and b (K, N), got {x.shape} and {y.shape}")
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)} or None, got {activation!r}")
    m, n = x.shape[0], y.shape[1]
    integral = x.dtype[0] in "iu"
    c = new_array(a, (m, n), dtype_name(dtype) if dtype is not None else "i32" if integral else x.dtype) if out is None else out
    if splits > 1:
        check(not integral and bias is None and activation is None, f"matmul: {splits} splits go with floats, without bias and activation", hint="splits=1")
        part = new_array(a, (splits, m, n), "f32")
        gemm_split(a, b, part, **consts)
        add_splits(part, c)
        return c
    if activation is not None and bias is None:
        bias = new_array(a, (n,), "f32")
        bias[...] = 0
    given = {"ACC": tile.i32 if integral else tile.f64 if x.dtype == "f64" else tile.f32,
             "epilogue": identity if bias is None else bias_add if activation is None else ACTIVATIONS[activation]}
    if panels is not None and m > 1 and x.dtype == y.dtype:
        sizes = {"BM": min(BLOCK, 1 << (m - 1).bit_length()), "BK": PANEL_DEPTH_INT8 if integral else PANEL_DEPTH}
        gemm_panels(x, panels, c, bias, **{**given, **sizes, **{k: v for k, v in consts.items() if k != "BN"}})
    else:
        by_shape = tile_sizes(m, n, x.shape[1], threads(), y.strides[0] == 1 < y.strides[1], not integral) if x.device == "cpu" else {}
        gemm(x, y, c, bias, **{**given, **by_shape, **consts})
    return c


# ---------------------------------------------------------------- reference
_ACTIVATIONS = {"identity": lambda t: t, "bias_add": lambda t: t, "bias_relu": lambda t: np.maximum(t, 0), "bias_silu": lambda t: t / (1 + np.exp(-t)),
                "bias_gelu": lambda t: t / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (t + 0.044715 * t ** 3)))}


def product(a: Any, b: Any) -> Expected:
    """a @ b in f64, and the bound of LANGUAGE, section 6g; integers exactly."""
    if a.dtype.kind in "iu":
        return Expected(np.matmul(a.astype(np.int64), b.astype(np.int64)).astype(np.int32))
    a, b = a.astype(np.float64), b.astype(np.float64)
    return Expected(a @ b, (a.shape[-1] + 8) * 2.0 ** -23 * (np.abs(a) @ np.abs(b)))


def run_length(k: int, step: int, splits: int) -> int:
    """Elements of K in each of `splits` runs of whole steps."""
    steps = -(-k // step)
    return -(-steps // splits) * step


def _gemm_reference(given: Given, _got: Given) -> dict[str, Expected]:
    exact = product(given["a"], given["b"])
    value = exact.value if given.get("bias") is None else exact.value + given["bias"].astype(np.float64)
    value = _ACTIVATIONS[given["epilogue"].__name__](value)
    # Slopes of the activations are below 1.13; their own error is 2^-20 of the value's size, and the bias is rounded once.
    return {"c": Expected(value, 1.13 * exact.error + (0 if given["epilogue"] is identity else 2.0 ** -19 * (1 + np.abs(value))))}


def _int8_reference(given: Given, _got: Given) -> dict[str, Expected]:
    scaled = product(given["a"], given["b"]).value * given["row_scale"].astype(np.float64)[:, None] * given["col_scale"].astype(np.float64)
    return {"c": Expected(scaled, 2.0 ** -22 * np.abs(scaled))}


def _panels_reference(given: Given, got: Given) -> dict[str, Expected]:
    p, k, w = given["b"].shape
    return _gemm_reference({**given, "b": given["b"].transpose(1, 0, 2).reshape(k, p * w)[:, :got["c"].shape[1]]}, got)


def _pack_reference(given: Given, got: Given) -> dict[str, Expected]:
    b, (p, k, w) = given["b"], got["panels"].shape
    whole = np.zeros((k, p * w), b.dtype)
    whole[:, :b.shape[1]] = b
    return {"panels": Expected(np.stack(np.split(whole, p, axis=1)))}


def _split_reference(given: Given, got: Given) -> dict[str, Expected]:
    a, b, step = given["a"], given["b"], given["BK"]
    splits = got["part"].shape[0]
    each = run_length(a.shape[1], step, splits)
    parts = [product(a[:, s * each:(s + 1) * each], b[s * each:(s + 1) * each]) for s in range(splits)]
    return {"part": Expected(np.stack([p.value for p in parts]), np.stack([p.error for p in parts]))}


def _add_reference(given: Given, _got: Given) -> dict[str, Expected]:
    part = given["part"].astype(np.float64)
    return {"c": Expected(part.sum(0), part.shape[0] * 2.0 ** -24 * np.abs(part).sum(0))}


def _numpy(given: Given) -> Any:
    """np.matmul on the same data, where it has that product."""
    a, b = given["a"], given["b"]
    if given.get("bias") is not None or a.dtype.kind != "f" or a.dtype.itemsize < 4:
        return None
    out = np.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    return lambda: np.matmul(a, b, out=out)


# Tiles whose operands fit the shared memory of a GPU several times over; the defaults above are for the caches of a CPU.
for _target in ("cuda", "hip"):
    for _kernel in (gemm, gemm_batched, gemm_int8):
        schedule(_kernel, target=_target, consts={"BM": 128, "BN": 128, "BK": 32})
    for _kernel in (gemm, gemm_batched):
        schedule(_kernel, target=_target, when="T == bf16 or T == f16", consts={"BM": 128, "BN": 128, "BK": 64})
    schedule(gemm_int8, target=_target, consts={"BM": 128, "BN": 128, "BK": 64})
    schedule(gemm_split, target=_target, consts={"BK": 64})
# A sum of 128 x 256 fills the 128 KiB of L0C; its operands lie twice in L1.
for _kernel in (gemm, gemm_batched):
    schedule(_kernel, target="ascend", consts={"BM": 128, "BN": 128, "BK": 64})
    schedule(_kernel, target="ascend", when="T == bf16 or T == f16", consts={"BM": 128, "BN": 256, "BK": 128})
schedule(gemm_int8, target="ascend", consts={"BM": 128, "BN": 128, "BK": 128})

_SQUARE = {"M": 1024, "K": 1024, "N": 1024}
EXAMPLES = {
    "gemm": Example(_SQUARE, _gemm_reference, {"T": "f32", "U": "f32"}, operations=lambda n: 2.0 * n["M"] * n["N"] * n["K"], peer=("numpy.matmul", _numpy)),
    "gemm_batched": Example({"B": 8, "M": 256, "K": 256, "N": 256}, _gemm_reference, {"T": "f32", "U": "f32"},
                            operations=lambda n: 2.0 * n["B"] * n["M"] * n["N"] * n["K"], peer=("numpy.matmul", _numpy)),
    "gemm_int8": Example(_SQUARE, _int8_reference, {"T": "f32"}, operations=lambda n: 2.0 * n["M"] * n["N"] * n["K"]),
    "gemm_split": Example({"M": 16, "K": 4096, "N": 512, "S": 4}, _split_reference, {"T": "f32"}, operations=lambda n: 2.0 * n["M"] * n["N"] * n["K"]),
    "gemm_panels": Example({"M": 8, "K": 4096, "N": 4096, "P": 256, "W": 16}, _panels_reference, {"T": "f32", "U": "f32"}, consts={"BM": 8, "BK": 1024},
                           operations=lambda n: 2.0 * n["M"] * n["N"] * n["K"]),
    "pack_panels": Example({"K": 4096, "N": 4096, "P": 256, "W": 16}, _pack_reference, {"T": "f32"}),
    "add_splits": Example({"S": 4, "M": 512, "N": 1024}, _add_reference, {"T": "f32"}, operations=lambda n: float(n["S"] * n["M"] * n["N"])),
}
