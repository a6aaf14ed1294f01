"""Products at the ends of tensors on the CPU: nothing past them is read or written, and what lies past them does not count."""
from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc import const, tile, tile_kernel
from dslc.backends.common.toolchain import candidates
from dslc.kernels.gemm import gemm, matmul, prepack, product
from dslc.runtime.trial import judge

pytestmark = pytest.mark.skipif(not any(candidates()), reason="no C++ compiler")
PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
SHAPES = [(1, 45, 71), (5, 33, 1100), (20, 1031, 131), (127, 301, 515)]


def guarded(x: np.ndarray, before: bool = False) -> np.ndarray:
    """A copy that ends where memory does, or begins there."""
    pages = -(-x.nbytes // PAGE)
    region = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    for fence in (0, pages + 1):
        assert LIBC.mprotect(ctypes.c_void_p(address + fence * PAGE), ctypes.c_size_t(PAGE), 0) == 0
    start = PAGE if before else (pages + 1) * PAGE - x.nbytes
    copy = np.frombuffer(region, x.dtype, x.size, start).reshape(x.shape)
    copy[...] = x
    return copy


def operands(m: int, n: int, k: int, dtype: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return tuple(random.integers(-9, 9, s).astype(dtype) for s in ((m, k), (k, n)))  # type: ignore[return-value]


def every_product() -> None:
    """All shapes and dtypes out of memory with fences at both ends; whole numbers, so that every sum is exact."""
    for m, n, k in SHAPES:
        for dtype in (np.float32, ml_dtypes.bfloat16, np.int8):
            a, b = operands(m, n, k, dtype)
            want = a.astype(np.float64) @ b.astype(np.float64)
            for before in (False, True):
                for turn in ("", "a", "b")[:3 if dtype is np.float32 else 1]:
                    x = guarded(a.T.copy(), before).T if turn == "a" else guarded(a, before)
                    y = guarded(b.T.copy(), before).T if turn == "b" else guarded(b, before)
                    out = guarded(np.zeros((m, n), np.int32 if dtype is np.int8 else np.float32), before)
                    np.testing.assert_array_equal(matmul(x, y, out=out), want)
            if m > 1:
                np.testing.assert_array_equal(matmul(guarded(a), prepack(guarded(b)), out=guarded(np.zeros(want.shape, out.dtype))), want)


def test_nothing_outside_is_touched() -> None:
    """In a process of its own: a stray access ends it."""
    done = subprocess.run([sys.executable, "-c", "from test_cpu_edges import every_product; every_product()"], cwd=__file__.rpartition("/")[0],
                          capture_output=True, text=True)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"


@tile_kernel
def late(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, N]", *, BM: const = 8, BN: const = 16, BK: const = 8):
    """Begins three elements before the tensors: zeros are there."""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K + 3, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k - 3, BK))), tile.load(b, ((k - 3, BK), (j * BN, BN))), acc)
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


@tile_kernel
def seen_otherwise(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, N]", top: "f32[M]", *, BM: const = 8, BN: const = 16, BK: const = 8):
    """Columns past the end are seen by the maximum: they are zeros."""
    i = tile.grid(tile.cdiv(M, BM))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (0, BN))), acc)
    tile.store(top, (i * BM, BM), tile.max(acc, 1))
    tile.store(c, ((i * BM, BM), (0, BN)), acc)


@tile_kernel
def elsewhere(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, L]", *, BM: const = 8, BN: const = 16, BK: const = 8):
    """The result is wider than b."""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(L, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN))), acc)
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


@tile_kernel
def too_many(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, N]", *, BM: const = 8, BN: const = 64, BK: const = 64):
    """Half of the programs have nothing to do."""
    i, j = tile.grid(2 * tile.cdiv(M, BM), 2 * tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN))), acc)
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


@pytest.mark.parametrize("rows", [1, 8, 32, 128])
def test_tiles_past_the_end(rows: int) -> None:
    a, b = operands(150, 1024, 70, np.float32)
    c = np.empty((150, 1024), np.float32)
    too_many(a, b, c, BM=rows)
    np.testing.assert_array_equal(c, a @ b)


def test_what_lies_before_is_zero() -> None:
    a, b = operands(21, 35, 20, np.float32)
    c = np.empty((21, 35), np.float32)
    late(a, b, c)
    np.testing.assert_array_equal(c, a @ b)
    assert "load_row" in late.source("cpu", a, b, c)


def test_what_is_seen_is_computed() -> None:
    a, b = operands(21, 13, 20, np.float32, seed=3)
    a[4], b[:] = -np.abs(a[4]) - 1, np.abs(b) + 1            # all of row 4 is below zero
    c, top = np.empty((21, 13), np.float32), np.empty(21, np.float32)
    seen_otherwise(a, b, c, top)
    np.testing.assert_array_equal(c, a @ b)
    np.testing.assert_array_equal(top, np.maximum((a @ b).max(1), 0))


def test_a_wider_result() -> None:
    a, b = operands(21, 20, 9, np.float32)
    c = np.empty((21, 50), np.float32)
    elsewhere(a, b, c)
    np.testing.assert_array_equal(c, np.pad(a @ b, ((0, 0), (0, 30))))


@pytest.mark.parametrize("view", [lambda c: c[3:-5, 7:-9], lambda c: c[::2, :], lambda c: c[:, ::3], lambda c: c[::-1]])
def test_a_sum_ends_in_its_tensor(view: Callable[[np.ndarray], np.ndarray]) -> None:
    """The last product writes there; what lies between and around stays."""
    c = np.full((300, 310), 7, np.float32)
    inner = view(c)
    a, b = operands(*inner.shape, 100, np.float32)
    gemm(a, b, inner, BM=64, BN=64, BK=32)
    around = np.full((300, 310), 7, np.float32)
    view(around)[...] = a @ b
    np.testing.assert_array_equal(c, around)
    assert "k + 32 >= K" in gemm.source("cpu", a, b, np.empty(inner.shape, np.float32), BM=64, BN=64, BK=32)


def test_bits_do_not_depend_on_where_operands_stand() -> None:
    """From panels, from far rows, from copies: the same cuts of K, the same sums."""
    random = np.random.default_rng(5)
    for m, n, k, bm in ((40, 70, 700, 64), (200, 300, 1300, 256)):
        a, b = random.standard_normal((m, k)).astype(np.float32), random.standard_normal((k, n)).astype(np.float32)
        wide = np.zeros((k, 4096), np.float32)
        wide[:, :n] = b
        results = []
        for right in (b, wide[:, :n], np.asfortranarray(b)):
            for left in (a, np.asfortranarray(a)):
                for bn in (32, 512):                        # many programs read a, or one
                    c = np.empty((m, n), np.float32)
                    gemm(left, right, c, BM=bm, BN=bn, BK=1024)
                    results.append(c)
        for c in results[1:]:
            np.testing.assert_array_equal(c, results[0])
        exact = product(a, b)
        assert not judge("c", results[0], exact).wrong
