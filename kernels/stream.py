"""STREAM: copy, scale, add, triad (McCalpin, 1995).  Each product and each sum is rounded, as in the original without contraction."""
from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from dslc import const, tile, tile_kernel
from dslc.runtime.library import Example, Expected, Given


@tile_kernel
def copy(a: "T[N]", c: "T[N]", *, BN: const = 16384):
    """c = a"""
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(c, (i * BN, BN), tile.load(a, (i * BN, BN)))


@tile_kernel
def scale(c: "T[N]", b: "T[N]", s: "f64", *, BN: const = 16384):
    """b = s c, s rounded to T first"""
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(b, (i * BN, BN), tile.load(c, (i * BN, BN)) * tile.cast(s, T))


@tile_kernel
def add(a: "T[N]", b: "T[N]", c: "T[N]", *, BN: const = 16384):
    """c = a + b"""
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(c, (i * BN, BN), tile.load(a, (i * BN, BN)) + tile.load(b, (i * BN, BN)))


@tile_kernel
def triad(b: "T[N]", c: "T[N]", a: "T[N]", s: "f64", *, BN: const = 16384):
    """a = b + s c, two roundings"""
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(a, (i * BN, BN), tile.load(b, (i * BN, BN)) + tile.cast(s, T) * tile.load(c, (i * BN, BN)))


def stream(n: int = 1 << 24, dtype: Any = np.float64, repeat: int = 10) -> dict[str, float]:
    """GB/s of each kernel on arrays of n elements, the best of `repeat`; bytes are counted as STREAM does (no write-allocate)."""
    a, b, c = (np.full(n, 1.0, dtype) for _ in range(3))
    calls = {"copy": (copy, (a, c), 2), "scale": (scale, (c, b, 3.0), 2), "add": (add, (a, b, c), 3), "triad": (triad, (b, c, a, 3.0), 3)}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeat + 1):
        for name, (kernel, arguments, _arrays) in calls.items():
            start = perf_counter()
            kernel(*arguments)
            best[name] = min(best[name], perf_counter() - start)
    return {name: count * a.nbytes / best[name] / 1e9 for name, (_, _, count) in calls.items()}


def _exact(formula: Any) -> Any:
    return lambda given, _got: {formula[0]: Expected(formula[1](given))}


def _s(given: Given) -> Any:
    """The factor in the arrays' dtype."""
    return given["c"].dtype.type(given["s"])


EXAMPLES = {
    "copy": Example({"N": 1 << 23}, _exact(("c", lambda g: g["a"])), {"T": "f64"}),
    "scale": Example({"N": 1 << 23}, _exact(("b", lambda g: g["c"] * _s(g))), {"T": "f64"}, {"s": 3.0}),
    "add": Example({"N": 1 << 23}, _exact(("c", lambda g: g["a"] + g["b"])), {"T": "f64"}),
    "triad": Example({"N": 1 << 23}, _exact(("a", lambda g: g["b"] + _s(g) * g["c"])), {"T": "f64"}, {"s": 3.0}),
}
