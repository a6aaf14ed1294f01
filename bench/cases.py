"""What is measured, and which ratio is asked for: the table of bars as data.

Each function makes the case of one kernel from its dimensions; ROWS are the cases that have bars, CURVES sizes for a drawing.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log2
from typing import Any

from dslc.errors import DslError, check

from .case import BYTES, Bar, Case

UNLOCKED = "torch:unlocked"


# ---------------------------------------------------------------- problems
def gemm(m: int = 1024, n: int = 1024, k: int = 1024, dtype: str = "f32", cold: int = 0, packed: int = 0) -> Case:
    """C (M, N) = A (M, K) B (K, N); i8 gives i32.  cold: B comes from memory.  packed: B may be brought into another form before the clock starts."""
    out, size = {"i8": 4}.get(dtype, BYTES[dtype]), BYTES[dtype]
    peers = {"f32": ("numpy", "torch", UNLOCKED, "torch:linear", "torch:packed", "numba"), "bf16": ("torch", "torch:linear", "torch:packed"),
             "i8": ("torch", "torch:packed")}.get(dtype, ("numpy", "torch"))
    if packed:
        peers = tuple(p for p in peers if p == "torch:packed")
    if max(m, n, k) > 1500:
        peers = tuple(p for p in peers if p != "numba")
    label = f"gemm {dtype} {m}x{n}x{k}{' cold weights' if cold else ''}{' packed' if packed else ''}"
    moved = m * k * size + k * n * size + m * n * out
    return Case("gemm", label, "gemm", {"M": m, "N": n, "K": k}, dtype, peers, 2.0 * m * n * k, float(moved), dtype, "read" if cold else "copy",
                cold=k * n * size if cold else 0, ours="dslc:packed" if packed else "dslc")


def attention(s: int = 4096, d: int = 128, h: int = 16, dtype: str = "f32", causal: int = 0) -> Case:
    """Prefill of one sequence: 4 H S^2 D operations, half of them if causal."""
    peers = ("torch", UNLOCKED, *(("onnxruntime",) if dtype == "f32" else ()))
    return Case("attention", f"attention {dtype} S={s} D={d} H={h}{' causal' if causal else ''}", "attention", {"S": s, "D": d, "H": h}, dtype, peers,
                4.0 * h * s * s * d / (2 if causal else 1), 4.0 * h * s * d * BYTES[dtype], dtype, options={"causal": bool(causal)})


def decode(kv: int = 8192, d: int = 128, h: int = 32, g: int = 8, dtype: str = "bf16") -> Case:
    """One query for each of H heads over KV keys of G heads; keys and values come from memory."""
    cache = 2 * kv * g * d * BYTES[dtype]
    return Case("decode", f"decode {dtype} KV={kv} D={d} heads {h}/{g}", "decode", {"KV": kv, "D": d, "H": h, "G": g}, dtype,
                ("torch", "torch:folded", "torch:unlocked", "ggml"), 4.0 * h * kv * d, float(cache), dtype, "read", cold=cache)


def kmeans(n: int = 200_000, d: int = 128, k: int = 1024) -> Case:
    """One iteration of Lloyd: assignment and new centres."""
    return Case("kmeans", f"kmeans iteration N={n} D={d} K={k}", "kmeans", {"N": n, "D": d, "K": k}, "f32",
                ("sklearn", "torch", "faiss", "dslc:estimator"), 2.0 * n * k * d, 2.0 * n * d * 4, "f32", "read")


def w4a16(m: int = 1, n: int = 4096, k: int = 4096) -> Case:
    """Y (M, N) = X (M, K) of bf16 times weights of 4 bits with a scale for each 128; weights come from memory."""
    weights = k * n // 2 + k // 128 * n * 2
    return Case("w4a16", f"w4a16 M={m} N={n} K={k}", "w4a16", {"M": m, "N": n, "K": k}, "bf16",
                ("torch", "onnxruntime", "onnxruntime:int8", "ggml"), 2.0 * m * n * k, float(weights + 2 * m * (n + k)), "bf16", "read", cold=weights)


def rows(op: str, m: int = 4096, n: int = 4096, dtype: str = "f32") -> Case:
    """A pass over the rows of (M, N), read once and written once."""
    size = 2.0 * m * n * BYTES[dtype]
    return Case(op, f"{op} {dtype} {m}x{n}", "rows", {"M": m, "N": n}, dtype, ("torch", "torch:compiled"), 4.0 * m * n, size, "", "copy", {"op": op})


def stream(op: str = "triad", n: int = 1 << 26, streaming: int = 0) -> Case:
    """STREAM in f64; arrays counted once each, as STREAM counts.  streaming: stores that pass the caches by."""
    arrays = 2 if op in ("copy", "scale") else 3
    return Case("stream", f"stream {op} f64 N={n}{' streaming stores' if streaming else ''}", "stream", {"N": n}, "f64",
                ("c:streaming",) if streaming else ("c", "torch"), 0.0, 8.0 * arrays * n, "", "copy:streaming" if streaming else "copy",
                {"op": op}, ours="dslc:streaming" if streaming else "dslc")


def hadamard(m: int = 4096, n: int = 4096) -> Case:
    """The Walsh-Hadamard transform of each row."""
    return Case("hadamard", f"hadamard f32 {m}x{n}", "hadamard", {"M": m, "N": n}, "f32", ("fht-cpu",), m * n * log2(n), 8.0 * m * n)


def binary(m: int = 4096, n: int = 4096, k: int = 4096) -> Case:
    """Hamming distances of rows of K bits: 2 M N K operations on bits."""
    return Case("binary", f"binary gemm {m}x{n}x{k}", "binary", {"M": m, "N": n, "K": k}, "u8", ("faiss",), 2.0 * m * n * k, (m + n) * k / 8 + 4.0 * m * n,
                "popcount")


PROBLEMS: Mapping[str, Callable[..., Case]] = {
    "gemm": gemm, "attention": attention, "decode": decode, "kmeans": kmeans, "w4a16": w4a16,
    **{op: (lambda op=op, **sizes: rows(op, **sizes)) for op in ("rmsnorm", "layernorm", "softmax")},
    "stream": stream, "hadamard": hadamard, "binary": binary}


# ---------------------------------------------------------------- bars
def asked(case: Case, row: int, ratio: float, against: tuple[str, ...], *stretch: Bar, quick: bool = False) -> Case:
    """The case with a bar against the best of some peers as they are shipped, and with what would be better still."""
    return replace(case, row=row, bars=(Bar(ratio, against), *stretch), quick=quick)


def reached(part: float) -> Bar:
    """A stretch: that part of the measured limit."""
    return Bar(part, ("limit",), True)


def _products() -> list[Case]:
    better = Bar(1.0, (UNLOCKED,), True)
    f32 = [asked(gemm(s, s, s), 1, 1.0, ("numpy",), better, reached(0.95), quick=s == 512) for s in (512, 1024, 2048, 4096)]
    odd = [asked(gemm(*s), 2, 1.0, ("numpy", "torch", "torch:linear"), reached(0.9)) for s in ((127, 1031, 515), (1000, 777, 333))]
    for m in (1, 8, 32):
        odd += [asked(gemm(m, 4096, 4096, cold=1), 2, 1.0, ("numpy", "torch", "torch:linear"), reached(0.9)),
                asked(gemm(m, 4096, 4096, cold=1, packed=1), 2, 1.0, ("torch:packed",), reached(0.9))]
    narrow = [asked(gemm(s, s, s, t), 3, 1.0, ("torch", "torch:linear") if t == "bf16" else ("torch",), reached(0.93), quick=s == 512)
              for t in ("bf16", "i8") for s in (512, 1024, 2048, 4096)]
    return [*f32, *odd, *narrow]


def _attentions() -> list[Case]:
    found = [asked(attention(4096, d, 16, "f32", 0), 4, 1.05, ("onnxruntime",), Bar(1.1, (UNLOCKED,), True), reached(0.85)) for d in (128, 64)]
    found += [asked(attention(4096, d, 16, "f32", 1), 4, 2.0, ("torch",), Bar(1.1, (UNLOCKED,), True), reached(0.85)) for d in (128, 64)]
    found += [asked(attention(4096, d, 16, "bf16", c), 5, 3.5, ("torch",), Bar(1.05, (UNLOCKED,), True), reached(0.75)) for c in (0, 1) for d in (128, 64)]
    return [*found, *(asked(decode(8192, d, 32, 8, t), 6, ratio, ("torch", "torch:folded", "ggml"), reached(0.85), quick=d == 64)
                      for t, ratio in (("f32", 1.9), ("bf16", 2.5)) for d in (128, 64))]


def _others() -> list[Case]:
    found = [asked(kmeans(*s), 7, 1.8, ("sklearn",), reached(0.9)) for s in ((1_000_000, 64, 256), (200_000, 128, 1024))]
    everyone = ("ggml", "torch", "onnxruntime", "onnxruntime:int8")
    found += [asked(w4a16(m, 4096, 4096), 8, ratio, against, reached(0.9), quick=m == 1)
              for m, ratio, against in ((1, 1.0, ("ggml",)), (8, 1.3, ("ggml",)), (128, 1.0, everyone))]
    found += [asked(rows(op, m, 4096, t), 9, 1.0, ("torch", "torch:compiled"), reached(1.0), quick=m == 128)
              for op in ("rmsnorm", "layernorm", "softmax") for t in ("f32", "bf16") for m in (4096, 128)]
    found += [asked(stream(op, streaming=mode), 10, 0.97, ("c:streaming" if mode else "c",), Bar(1.0, ("c:streaming" if mode else "c",), True))
              for op in ("copy", "scale", "add", "triad") for mode in (0, 1)]
    found += [asked(hadamard(m, n), 11, 1.1, ("fht-cpu",), reached(1.0)) for m, n in ((4096, 256), (4096, 1024), (4096, 4096), (512, 16384))]
    return [*found, asked(binary(), 11, 4.0, ("faiss",), reached(0.7))]


ROWS: tuple[Case, ...] = (*_products(), *_attentions(), *_others())
_EDGES = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
CURVES: Mapping[str, tuple[Case, ...]] = {
    "gemm": tuple(gemm(s, s, s) for s in _EDGES), "attention": tuple(attention(s) for s in (256, 512, 1024, 2048, 4096, 8192)),
    "decode": tuple(decode(s) for s in (512, 1024, 2048, 4096, 8192, 16384)), "w4a16": tuple(w4a16(m) for m in (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    **{op: tuple(rows(op, m) for m in (16, 64, 128, 512, 2048, 8192)) for op in ("rmsnorm", "layernorm", "softmax")},
    "stream": tuple(stream("triad", 1 << p) for p in range(12, 28, 2)), "hadamard": tuple(hadamard(4096, 1 << p) for p in range(8, 15)),
    "kmeans": tuple(kmeans(n) for n in (10_000, 30_000, 100_000, 300_000))}


def cases_for(kernel: str, *, sizes: Mapping[str, int] | None = None, options: Mapping[str, Any] | None = None, quick: bool = False,
              curve: bool = False) -> tuple[Case, ...]:
    """The cases of a kernel, or of "all": those with bars, one of a given size, or those of its curve.  DslError for an unknown kernel or dimension."""
    hint = f"known: all, {', '.join(PROBLEMS)}"
    check(kernel == "all" or kernel in PROBLEMS, f"there is nothing to compare {kernel!r} with", hint=hint)
    if sizes or options:
        check(kernel != "all", "a size goes with one kernel", hint=hint)
        try:
            return (PROBLEMS[kernel](**{n.lower(): v for n, v in (sizes or {}).items()}, **(options or {})),)
        except (TypeError, KeyError) as error:
            raise DslError(f"{kernel} has no such size or option: {error}", hint=(PROBLEMS[kernel].__doc__ or "").strip()) from None
    if curve:
        check(kernel in CURVES, f"{kernel} has no curve", hint=f"known: {', '.join(CURVES)}")
        return CURVES[kernel]
    return tuple(c for c in ROWS if kernel in ("all", c.kernel) and (c.quick or not quick))
