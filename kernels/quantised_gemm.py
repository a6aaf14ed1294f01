"""Weight-only int4 products: activations of 16 bits, weights of 4 in GPTQ's packing, scales and zeros by group.  Quantised activations are elsewhere."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from dslc import const, tile, tile_function, tile_kernel
from dslc.runtime.library import Example, Expected, Given
from dslc.runtime.trial import threads

from .gemm import add_splits, run_length
from .results import described, new_array

FIELDS, FEW = 8, 8           # 4-bit weights in a word of 32; rows that meet each of them while it is in a register
AWQ = (0, 2, 4, 6, 1, 3, 5, 7)


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


@tile_kernel
def w4a16_groups(a: "T[M, K]", w: "u4[K, N] in u32[K/8, N]", scale: "T[NG, N]", zero: "u8[NG, N]?", part: "U[S, M, N]", *,
                 GROUP: const = 128, BM: const = 8, BN: const = 512):
    """part[s] = a @ ((w - zero) scale) over the s-th of S runs of K, each group's sum scaled once; add_splits makes the product of several.

    Shapes: as w4a16's, which rounds each weight to T; here none is rounded.  GROUP is a power of two of 256 at most.
    Error: (K + 8) 2^-23 sum |a||w|, then U's rounding.
    """
    i, j, s = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN), S)
    cols = (j * BN, BN)
    each = tile.cdiv(tile.cdiv(K, GROUP), S) * GROUP
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(s * each, tile.minimum(K, (s + 1) * each), GROUP):
        q = tile.cast(tile.load(w, ((k, GROUP), cols)), tile.f32)
        z = 8.0
        if zero is not None:
            z = tile.cast(tile.load(zero, ((k // GROUP, 1), cols)), tile.f32)
        whole = tile.dot(tile.load(a, ((i * BM, BM), (k, GROUP))), tile.cast(q - z, T))
        acc = tile.fma(whole, tile.cast(tile.load(scale, ((k // GROUP, 1), cols)), tile.f32), acc)
    tile.store(part, (s, (i * BM, BM), cols), acc)


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


def to_numpy(x: Any) -> Any:
    """A CPU array of any kind as numpy; a torch tensor of bf16 as f32."""
    x = x.detach() if hasattr(x, "detach") else x
    return np.asarray(x.float() if str(getattr(x, "dtype", "")) == "torch.bfloat16" else x)


def unpack_columns(words: Any, order: tuple[int, ...]) -> Any:
    """The 4-bit integers (R, 8 C) of 32-bit words (R, C): field f of word c is column 8 c + order[f]."""
    fields = np.ascontiguousarray(words).view(np.uint32)[:, :, None] >> (4 * np.argsort(order).astype(np.uint32)) & 15
    return fields.reshape(len(words), -1).astype(np.uint8)


def splits_for(m: int, n: int, k: int, step: int, lanes: int, bm: int, bn: int) -> int:
    """Into how many runs K is cut: twice as many programs as threads, a run no shorter than 4 steps; 1 where M and N give enough."""
    programs = -(-m // bm) * -(-n // bn)
    return max(1, min(-(-2 * lanes // max(programs, 1)), -(-k // step) // 4)) if programs < 2 * lanes else 1


def columns_for(m: int, n: int, workers: int) -> int:
    """Columns of a tile of few rows: 512; of one row up to 2048 if they leave two programs to a thread, for longer runs of memory."""
    most = 2048 if m == 1 else 512
    while most > 512 and -(-n // most) < 2 * workers:
        most //= 2
    return max(32, min(most, 1 << (n - 1).bit_length()))


class QuantisedLinear:
    """y = x W^T + bias with W (N, K), the shape of torch.nn.Linear's weight, held in 4 bits: W[n, k] = (q[n, k] - zero[g, n]) scale[g, n], g = k // group.

    x is (.., K) of f32, f16 or bf16, numpy or torch on the CPU; y is (.., N) of x's dtype and kind.  K is a multiple of 8; the last group may be shorter.
    words (K/8, N) u32 in GPTQ's packing, scale (G, N) f16 (or the dtype given), zero (G, N) u8 or None for 8, bias (N) f32 or None, order (K) or None: which
    column of x meets row k of the packed weights.
    Error: from_float moves a weight by at most half a scale, plus 7.5 scales times 2^-11 for the f16 of the scale (asymmetric: half a scale more for the
    rounded zero); of a product, the scale rounded once to x's dtype, and each weight too in groups above 256 (above 8 rows: below 64 as well), then
    (K + 8 + splits) 2^-23 sum |x||w| and y's rounding.  Sums over
    runs of K are added in order; how many runs there are is chosen by the number of threads unless `splits` says so.
    Raises ValueError for shapes and dtypes that do not fit.
    """

    def __init__(self, words: Any, scale: Any, zero: Any = None, bias: Any = None, *, group: int = 128, order: Any = None) -> None:
        k, n = 8 * words.shape[0], words.shape[1]
        groups = -(-k // group) if group > 0 else 0
        if words.dtype != np.uint32 or group < 8 or (group & (group - 1) and groups > 1):
            raise ValueError(f"expected words (K/8, N) u32 and a group of 8, 16, 32, .. (or one of all K), got {words.shape} {words.dtype} and group {group}")
        for name, x, shape in (("scale", scale, (groups, n)), ("zero", zero, (groups, n)), ("bias", bias, (n,)), ("order", order, (k,))):
            if x is not None and x.shape != shape:
                raise ValueError(f"{name} must be {shape} for weights ({n}, {k}) in groups of {group}, got {x.shape}")
        self.words, self.scale, self.zero, self.group, self.order = words, np.asarray(scale), zero, group, order
        self.bias = None if bias is None else np.asarray(bias, np.float32)
        self._scales: dict[str, Any] = {}

    @classmethod
    def from_float(cls, weight: Any, group: int = 128, sym: bool = True, bias: Any = None) -> QuantisedLinear:
        """Round weights (N, K), numpy or torch, to the nearest of 15 levels about 0 in each group (sym), or of 16 from its least to its greatest.

        sym: scale = max |w| / 7.  Else scale = (max(w, 0) - min(w, 0)) / 15 and zero = -min / scale, rounded: 0 is one of the levels.  group -1: all of K.
        """
        w = to_numpy(weight).astype(np.float32).T
        if w.ndim != 2 or w.shape[0] % FIELDS or w.shape[0] == 0:
            raise ValueError(f"expected weights (N, K) with K a multiple of {FIELDS}, got {w.shape[::-1]}")
        if not np.isfinite(w).all():
            raise ValueError("weights contain NaN or infinity")
        group = w.shape[0] if group == -1 else group
        starts = np.arange(0, w.shape[0], max(group, 1))
        low, high = np.minimum(np.minimum.reduceat(w, starts), 0), np.maximum(np.maximum.reduceat(w, starts), 0)
        scale = np.maximum(-low, high) / 7 if sym else (high - low) / 15
        if scale.size and scale.max() > np.finfo(np.float16).max:
            raise ValueError("weights are too large for scales in f16")
        scale = scale.astype(np.float16)
        step = np.maximum(scale, np.float16(6e-8)).astype(np.float32)
        zero = np.full(step.shape, 8, np.uint8) if sym else np.clip(np.rint(-low / step), 0, 15).astype(np.uint8)
        spread = [np.repeat(x, group, 0)[:w.shape[0]] for x in (step, zero)]
        q = np.clip(np.rint(w / spread[0]) + spread[1], 1 if sym else 0, 15).astype(np.uint8)
        return cls(pack_gptq(q), scale, None if sym else zero, None if bias is None else to_numpy(bias), group=group)

    @classmethod
    def from_gptq(cls, qweight: Any, qzeros: Any, scales: Any, g_idx: Any = None, bias: Any = None, *, zero_offset: int = 1) -> QuantisedLinear:
        """A checkpoint of GPTQ: qweight (K/8, N) and qzeros (G, N/8) int32, scales (G, N), g_idx (K) the group of each row.

        `zero_offset` is added to the stored zeros: 1 in the usual format, 0 in "gptq_v2".  Rows out of order (act-order) are sorted by group, and the
        columns of x with them at each call.  ValueError if g_idx has groups of unequal size.
        """
        words, scales = np.ascontiguousarray(to_numpy(qweight)).view(np.uint32), to_numpy(scales)
        k, groups = 8 * len(words), len(scales)
        group = -(-k // groups)
        zero, order = unpack_columns(to_numpy(qzeros), tuple(range(FIELDS))) + np.uint8(zero_offset), None
        if g_idx is not None and (to_numpy(g_idx) != np.arange(k) // group).any():
            order = np.argsort(to_numpy(g_idx), kind="stable")
            if (to_numpy(g_idx)[order] != np.arange(k) // group).any():
                raise ValueError(f"g_idx does not put {group} rows in each of {groups} groups")
            words = pack_gptq(unpack_gptq(words)[order])
        return cls(words, scales, zero, None if bias is None else to_numpy(bias), group=group, order=order)

    @classmethod
    def from_awq(cls, qweight: Any, qzeros: Any, scales: Any, bias: Any = None) -> QuantisedLinear:
        """A checkpoint of AWQ (Lin et al., arXiv:2306.00978): qweight (K, N/8) and qzeros (G, N/8) int32, scales (G, N).

        Eight columns are in a word, in the order 0 2 4 6 1 3 5 7.
        """
        q, zero = (unpack_columns(to_numpy(x), AWQ) for x in (qweight, qzeros))
        scales = to_numpy(scales)
        return cls(pack_gptq(q), scales, zero, None if bias is None else to_numpy(bias), group=-(-len(q) // len(scales)))

    @property
    def in_features(self) -> int:
        """K."""
        return 8 * self.words.shape[0]

    @property
    def out_features(self) -> int:
        """N."""
        return int(self.words.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of weights, scales, zeros, bias and order."""
        return sum(x.nbytes for x in (self.words, self.scale, self.zero, self.bias, self.order) if x is not None)

    @property
    def bits(self) -> float:
        """Bits for each weight, all of nbytes counted."""
        return 8 * self.nbytes / (self.in_features * self.out_features)

    def __repr__(self) -> str:
        return (f"QuantisedLinear(in_features={self.in_features}, out_features={self.out_features}, group={self.group}, sym={self.zero is None}, "
                f"bias={self.bias is not None})")

    def _scale_in(self, dtype: str) -> Any:
        """The scales in a dtype, made once for each."""
        if dtype not in self._scales:
            self._scales[dtype] = np.ascontiguousarray(self.scale.astype({"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}[dtype]))
        return self._scales[dtype]

    def dequantise(self, dtype: str = "f32") -> Any:
        """The weights (N, K) in numpy, from the scales in `dtype` (f32, f16, bf16), each rounded to it once."""
        out = np.empty((self.in_features, self.out_features), self._scale_in(dtype).dtype)
        dequantise_all(self.words, self._scale_in(dtype), self.zero, out, GROUP=self._group, BK=self._step)
        if self.order is not None:
            out[self.order] = out.copy()
        return out.T

    @property
    def _group(self) -> int:
        """The group as the kernels take it: one of all K is a power of two above it."""
        return self.group if self.group & (self.group - 1) == 0 else 1 << (self.group - 1).bit_length()

    @property
    def _step(self) -> int:
        return min(128, max(16, self._group), 1 << (self.in_features - 1).bit_length())

    def __call__(self, x: Any, *, splits: int | None = None) -> Any:
        """x (.., K) times the weights, plus the bias: (.., N).  `splits` divides K among programs; None chooses by the shape and the threads."""
        given = described(x=x)["x"]
        shape, dtype = given.shape, given.dtype
        if shape[-1:] != (self.in_features,):
            raise ValueError(f"x: expected (.., {self.in_features}), got {shape}")
        if dtype not in ("f32", "f16", "bf16"):
            raise ValueError(f"x: expected f32, f16 or bf16, got {dtype}")
        rows = x.reshape((-1, self.in_features))
        rows = rows if self.order is None else rows[:, self.order]
        m, n = rows.shape[0], self.out_features
        bm = min(128, max(1, 1 << (m - 1).bit_length() if m else 1)) if m > FEW else max(m, 1)
        by_group = self._group <= 256 and (m <= FEW or self._group >= 64)
        bn, step = (columns_for(m, n, threads()), self._group) if by_group else (min(128, 1 << (n - 1).bit_length()), self._step)
        runs = splits or splits_for(m, n, self.in_features, step, threads(), bm, bn)
        out, parts = new_array(x, (m, n), dtype), runs + (self.bias is not None)
        if by_group and parts == 1:
            w4a16_groups(rows, self.words, self._scale_in(dtype), self.zero, out.reshape((1, m, n)), GROUP=self._group, BM=bm, BN=bn)
            return out.reshape((*x.shape[:-1], n))
        part = np.empty((parts, m, n), np.float32)
        given = rows, self.words, self._scale_in(dtype), self.zero, part[:runs]
        if by_group:
            w4a16_groups(*given, GROUP=self._group, BM=bm, BN=bn)
        else:
            w4a16(*given, GROUP=self._group, BM=bm, BN=bn, BK=step)
        if self.bias is not None:
            part[runs] = self.bias
        add_splits(part, out)
        return out.reshape((*x.shape[:-1], n))


# ---------------------------------------------------------------- reference
def dequantised(given: Given) -> Any:
    """The weights as the kernels must see them, in the dtype of `scale`."""
    scale, zero, group = given["scale"], given.get("zero"), given["GROUP"]
    zeros = 8 if zero is None else np.repeat(zero.astype(int), group, 0)
    return ((unpack_gptq(given["w"]).astype(int) - zeros) * np.repeat(scale.astype(np.float64), group, 0)).astype(scale.dtype)


def _w4a16_reference(given: Given, got: Given) -> dict[str, Expected]:
    a, w, step, splits = given["a"].astype(np.float64), dequantised(given).astype(np.float64), given["BK"], got["part"].shape[0]
    each = run_length(a.shape[1], step, splits)
    runs = [(a[:, s * each:(s + 1) * each], w[s * each:(s + 1) * each]) for s in range(splits)]
    return {"part": Expected(np.stack([x @ y for x, y in runs]), (a.shape[1] + 8) * 2.0 ** -23 * np.stack([np.abs(x) @ np.abs(y) for x, y in runs]))}


def _groups_reference(given: Given, got: Given) -> dict[str, Expected]:
    """As w4a16's, of weights that are not rounded."""
    exact = {**given, "scale": given["scale"].astype(np.float64)}
    return _w4a16_reference({**exact, "BK": given["GROUP"]}, got)


def _prepare(random: Any, given: dict[str, Any]) -> None:
    given["w"][:] = random.integers(0, 1 << 32, given["w"].shape, dtype=np.uint32)
    given["scale"][:] = random.uniform(0.001, 0.02, given["scale"].shape).astype(given["scale"].dtype)


EXAMPLES = {
    "w4a16": Example({"M": 16, "K": 2048, "N": 2048, "NG": 16, "S": 1}, _w4a16_reference, {"T": "f16"}, prepare=_prepare,
                     operations=lambda n: 2.0 * n["M"] * n["N"] * n["K"]),
    "w4a16_groups": Example({"M": 8, "K": 4096, "N": 4096, "NG": 32, "S": 1}, _groups_reference, {"T": "bf16", "U": "f32"}, prepare=_prepare,
                            operations=lambda n: 2.0 * n["M"] * n["N"] * n["K"]),
    "dequantise_all": Example({"K": 2048, "N": 2048, "NG": 16}, lambda given, _got: {"out": Expected(dequantised(given))}, {"T": "f16"}, prepare=_prepare),
}
