"""The operands of a case, random and the same in every process."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from .case import Case

SEED = 20240229
NUMPY = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
Arrays = dict[str, Any]


def normal(random: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Standard normal floats, or bytes over all of their range."""
    if dtype == "i8":
        return random.integers(-128, 128, shape, np.int8)
    return random.standard_normal(shape, np.float64 if dtype == "f64" else np.float32).astype(NUMPY[dtype])


def _gemm(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    return {"a": normal(random, (s["M"], s["K"]), case.dtype), "b": normal(random, (s["K"], s["N"]), case.dtype)}


def _attention(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    return {n: normal(random, (1, s["H"], s["S"], s["D"]), case.dtype) for n in "qkv"}


def _decode(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    return {"q": normal(random, (1, s["H"], 1, s["D"]), case.dtype), **{n: normal(random, (1, s["G"], s["KV"], s["D"]), case.dtype) for n in "kv"}}


def _kmeans(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    """Without clusters: Lloyd then goes on for as many iterations as are timed."""
    x = normal(random, (s["N"], s["D"]), "f32")
    return {"x": x, "centres": x[random.choice(s["N"], s["K"], replace=False)].copy()}


def _w4a16(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    """words (K/8, N) of eight weights each, which mean (q - 8) scale; scales small enough for sums of about 1."""
    words = random.integers(0, 1 << 32, (s["K"] // 8, s["N"]), np.uint32)
    scale = (random.uniform(0.5, 1.0, (s["K"] // 128, s["N"])) / (4 * s["K"] ** 0.5)).astype(np.float16)
    return {"x": normal(random, (s["M"], s["K"]), "bf16"), "words": words, "scale": scale}


def _rows(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    return {"x": normal(random, (s["M"], s["N"]), case.dtype), "w": normal(random, (s["N"],), "f32"), "b": normal(random, (s["N"],), "f32")}


def aligned(elements: int) -> Any:
    """f64 of 1, where a cache line begins: streaming stores need that."""
    room = np.empty(elements + 7)
    start = -room.ctypes.data % 64 // 8
    x = room[start:start + elements]
    x[:] = 1.0
    return x


def _stream(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    found = {n: aligned(s["N"]) for n in "abc"}
    for x in found.values():
        random.random(out=x)
    return found


def _hadamard(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    return {"x": normal(random, (s["M"], s["N"]), "f32")}


def _binary(random: Any, s: Mapping[str, int], case: Case) -> Arrays:
    return {n: random.integers(0, 256, (s[rows], s["K"] // 8), np.uint8) for n, rows in (("a", "M"), ("b", "N"))}


MAKERS: Mapping[str, Callable[[Any, Mapping[str, int], Case], Arrays]] = {
    "gemm": _gemm, "attention": _attention, "decode": _decode, "kmeans": _kmeans, "w4a16": _w4a16, "rows": _rows, "stream": _stream, "hadamard": _hadamard,
    "binary": _binary}
COLD = {"gemm": ("b",), "decode": ("k", "v"), "w4a16": ("words", "scale")}


def arrays(case: Case) -> Arrays:
    """The operands by name."""
    return MAKERS[case.kind](np.random.default_rng(SEED), case.sizes, case)


def another(case: Case, given: Arrays, copy: int) -> Arrays:
    """The operands with the cold ones copied to other memory, where their rows begin `copy` places further on: nobody can take two for one."""
    return {**given, **{n: np.roll(given[n], copy, 0 if given[n].ndim == 2 else 2) for n in COLD[case.kind]}} if copy else given
