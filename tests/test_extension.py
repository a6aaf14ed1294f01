"""From outside the package: an op is one entry and one macro, a backend is one folder."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc import DslError, const, tile, tile_kernel
from dslc.backend import backend_of, register, targets
from dslc.ops import OPS
from dslc.ops.table import op
from dslc.render import unspelled
from dslc.text import parse, show

f32 = np.float32


@op("softsign(x: F) -> F", group="e", numeric="R", rule="arithmetic")
def softsign(x: Any) -> Any:
    """x / (1 + |x|)."""
    return x / (1 + np.abs(x))


@tile_kernel
def squashed(x: "T[M, N]", y: "f32[M, N]", *, BN: const = 16):
    i = tile.grid(M)
    for j in tile.range(0, N, BN):
        tile.store(y, (i, (j, BN)), tile.softsign(tile.load(x, (i, (j, BN)))) * 2.0)


@tile_kernel
def product(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, N]", bias: "f32[N]?" = None, *, BM: const = 8, BN: const = 12, BK: const = 16):
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    rows, cols = (i * BM, BM), (j * BN, BN)
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, (rows, (k, BK))), tile.load(b, ((k, BK), cols)), acc)
    if bias is not None:
        acc = acc + tile.load(bias, cols)[None, :]
    tile.store(c, (rows, cols), acc)


@tile_kernel
def softmax(x: "T[M, N]", y: "T[M, N]", scale: "f32", *, BM: const = 4, BN: const = 32):
    i = tile.grid(tile.cdiv(M, BM))
    top, total = tile.full((BM,), -1e30, tile.f32), tile.zeros((BM,), tile.f32)
    for j in tile.range(0, N, BN):
        s = tile.load(x, ((i * BM, BM), (j, BN)), pad=-1e4) * scale
        new = tile.maximum(top, tile.max(s, 1))
        total = total * tile.exp(top - new) + tile.sum(tile.exp(s - new[:, None]), 1)
        top = new
    for j in tile.range(0, N, BN):
        at = ((i * BM, BM), (j, BN))
        tile.store(y, at, tile.exp(tile.load(x, at) * scale - top[:, None]) / total[:, None])


ADDED = OPS.pop("softsign")          # in the table for the tests of this file alone


@pytest.fixture(scope="module", autouse=True)
def added_op() -> Iterator[None]:
    OPS["softsign"] = ADDED
    yield
    del OPS["softsign"]


@tile_kernel
def turned(x: "i32[M, N]", y: "i32[N, M]", best: "i32[M]", *, BM: const = 8, BN: const = 8):
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    t = tile.load(x, ((i * BM, BM), (j * BN, BN)))
    tile.store(y, ((j * BN, BN), (i * BM, BM)), tile.transpose(t, (1, 0)) // 3)
    n = tile.full((), 0, tile.i32)
    while n * n < tile.max(tile.max(t, 1), 0):
        n = n + 1
    if j == 0:
        tile.store(best, (i * BM, BM), n + tile.cast(tile.iota(BM), tile.i32) % 4)


@tile_kernel
def gathered(x: "f32[N]", ids: "i32[M]", y: "f32[M]"):
    i = tile.grid(1)
    tile.store(y, (0, 8), tile.load(x, tile.load(ids, (0, 8))))


@tile_kernel
def counted(x: "f32[N]", y: "f32[N]"):
    i = tile.grid(1)
    tile.store(y, (0, 8), tile.cumsum(tile.load(x, (0, 8)), 0))


@pytest.fixture(scope="module", autouse=True)
def plain() -> Iterator[Any]:
    """The toy backend, known while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent / "toy"))
        backend = importlib.import_module("plain").BACKEND
        register(backend)
        yield backend
        sys.modules.pop("plain", None)


def normal(*shape: int, dtype: Any = f32, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(f32).astype(dtype)


CALLS = {
    "row op": lambda: (squashed, (normal(5, 37), np.zeros((5, 37), f32))),
    "row op, f16": lambda: (squashed, (normal(5, 37, dtype=np.float16), np.zeros((5, 37), f32))),
    "gemm": lambda: (product, (normal(19, 35), normal(35, 29, seed=1), np.zeros((19, 29), f32))),
    "gemm with bias": lambda: (product, (normal(16, 35).T.copy().T, normal(29, 35).T, np.zeros((16, 29), f32), normal(29))),
    "softmax": lambda: (softmax, (normal(9, 77), np.zeros((9, 77), f32), 0.7)),
    "integers": lambda: (turned, (np.random.default_rng(0).integers(-50, 50, (11, 13)).astype(np.int32), np.zeros((13, 11), np.int32), np.zeros(11, np.int32))),
}


@pytest.mark.parametrize("name", CALLS)
def test_kernels_on_the_toy_backend(name: str) -> None:
    """As the interpreter computes them, in the value form and in the form this backend renders."""
    results = []
    for how in (lambda k, a: k(*a, target="plain"), lambda k, a: k.interpret(*a), lambda k, a: k.interpret(*a, placed=True, target="plain")):
        kernel, args = CALLS[name]()
        how(kernel, args)
        results.append([a for a in args if isinstance(a, np.ndarray)])
    for other in results[1:]:
        for mine, its in zip(results[0], other, strict=True):
            np.testing.assert_allclose(mine.astype(np.float64), its.astype(np.float64), rtol=2e-6, atol=2e-6)
    assert any(np.any(a) for a in results[0])


def test_the_new_op() -> None:
    """From its entry come the checks, the messages, the text form, the meaning; only its text is missing on other targets."""
    x, y = normal(3, 20), np.zeros((3, 20), f32)
    squashed(x, y, target="plain")
    assert np.array_equal(y, x / (1 + np.abs(x)) * f32(2))
    kernel = squashed.ir("front end", x, y, target="plain")
    assert "softsign(" in show(kernel) and show(parse(show(kernel))) == show(kernel)
    with pytest.raises(DslError, match="softsign: floats only, got tile<i32, 16>"):
        squashed(x.astype(np.int32), y, target="plain")
    with pytest.raises(DslError, match="softsign has no text on target cpu"):
        squashed(x, y)
    assert unspelled(backend_of("cpu")) == {"softsign"}


def test_what_the_toy_backend_lacks() -> None:
    x = np.zeros(8, f32)
    with pytest.raises(DslError, match="cumsum has no text on target plain"):
        counted(x, np.zeros(8, f32), target="plain")
    with pytest.raises(DslError, match="plain has neither packed tensors nor gathers") as caught:
        gathered(x, np.zeros(8, np.int32), np.zeros(8, f32), target="plain")
    assert "tile.load(x" in str(caught.value)


@pytest.mark.parametrize("target", [*targets(), "plain"])
def test_nothing_is_left_unspelled(target: str) -> None:
    """OPS minus macros minus what the target says that it lacks is nothing; and what it lacks exists."""
    backend = backend_of(target)
    assert unspelled(backend) <= {"softsign"} and backend.lacks <= OPS.keys()


def test_unknown_targets_are_told_the_known_ones() -> None:
    with pytest.raises(DslError, match="no target is called 'plane'") as caught:
        backend_of("plane")
    assert "cpu" in str(caught.value) and "plain" in str(caught.value)
