"""What a call costs in Python: a kernel that does next to nothing, against the bare C call with its arguments packed.

    python bench/call.py [repetitions]
"""
from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from dslc import const, tile, tile_kernel


@tile_kernel
def two(x: "f32[N]", y: "f32[N]", *, BN: const = 16):
    i = tile.grid(1)
    tile.store(y, (0, BN), tile.load(x, (0, BN)))


@tile_kernel
def four(a: "f32[M, N]", b: "f32[M, N]", c: "f32[M, N]", y: "f32[M, N]", s: "f32", *, BN: const = 16):
    i = tile.grid(1)
    at = (0, (0, BN))
    tile.store(y, at, tile.load(a, at) + tile.load(b, at) + tile.load(c, at) * s)


def microseconds(call: Callable[[], object], repetitions: int) -> float:
    """The median of nine runs, per call."""
    runs = []
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(repetitions):
            call()
        runs.append((time.perf_counter() - start) / repetitions * 1e6)
    return statistics.median(runs)


def measure(repetitions: int = 2000) -> list[tuple[str, float, float]]:
    """(what, microseconds of the call, of the bare C call) of kernels of a few arguments."""
    v, m = [np.ones(16, np.float32) for _ in range(2)], [np.ones((2, 16), np.float32) for _ in range(4)]
    calls: list[tuple[str, object, tuple[object, ...], dict[str, object]]] = [
        ("2 arrays", two, (v[0], v[1]), {}), ("2 arrays, a constant by name", two, (v[0], v[1]), {"BN": 8}), ("2 arrays by name", two, (), {"x": v[0],
            "y": v[1]}),
        ("4 arrays and a scalar", four, (*m, 0.5), {})]
    rows = []
    for what, kernel, args, named in calls:
        kernel._plans.clear()  # type: ignore[attr-defined]
        kernel(*args, **named)  # type: ignore[operator]
        (plan,) = kernel._plans.values()  # type: ignore[attr-defined]
        block = plan.pack(*plan.template)
        rows.append((what, microseconds(lambda k=kernel, a=args, n=named: k(*a, **n), repetitions), microseconds(lambda p=plan, b=block: p.launch(b),
            repetitions)))
    return rows


if __name__ == "__main__":
    for what, whole, bare in measure(*map(int, sys.argv[1:2])):
        print(f"{what:32} {whole:7.2f} us, the C call alone {bare:6.2f} us, Python {whole - bare:6.2f} us")
