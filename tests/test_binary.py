"""Hamming distances and products of signs against numpy: every width of word, ragged shapes, strides, wrong arguments; sums of bits on the CPU."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dslc import DslError, const, tile, tile_kernel
from dslc.kernels.binary import binary_gemm, binary_matmul, hamming, hamming_distances, packed_signs, tile_sizes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def words(rows: int, n: int, name: str, seed: int = 0) -> Any:
    size = np.dtype(name).itemsize
    return np.random.default_rng(seed).integers(0, 256, (rows, n * size), np.uint8).view(name)


def distances(a: Any, b: Any) -> Any:
    """By unpacked bits."""
    x, y = (np.unpackbits(np.ascontiguousarray(v).view(np.uint8), axis=1).astype(np.int64) for v in (a, b))
    return x @ (1 - y).T + (1 - x) @ y.T


def signs(x: Any) -> Any:
    return np.where(np.asarray(x, np.float64) >= 0, 1, -1)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(m=st.integers(9, 16), n=st.sampled_from([0, 1, 16, 40]), w=st.sampled_from([1, 33, 70]), name=st.sampled_from(TYPES),
       step=st.sampled_from([1, 2]), seed=st.integers(0, 99))
def test_hamming_distances(m, n, w, name, step, seed):
    a, b = words(m, w * step, name, seed)[:, ::step], words(n, w * step, name, seed + 1)[:, ::step]
    got = hamming_distances(a, b)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, distances(a, b))


@pytest.mark.parametrize("name", ["uint8", "uint64"])
def test_rows_of_more_bits_than_bytes_can_count(name):
    """All bits differ, through every flush of the byte counters and the ragged end."""
    n = 16384 // np.dtype(name).itemsize // 8 + 3
    a, b = np.zeros((3, n), name), np.zeros((5, n), name)
    b[1:] = ~b[1:]
    want = np.repeat([[0, *[n * 8 * a.itemsize] * 4]], 3, 0)
    np.testing.assert_array_equal(hamming_distances(a, b), want)
    np.testing.assert_array_equal(hamming_distances(a, b, BK=4096 // a.itemsize), want)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(m=st.integers(9, 16), n=st.integers(1, 16), k=st.integers(1, 300), scaled=st.booleans(), seed=st.integers(0, 99))
def test_products_of_signs(m, n, k, scaled, seed):
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((m, k), np.float32), random.standard_normal((n, k), np.float32)
    x[random.random((m, k)) < 0.1] = 0.0
    y[random.random((n, k)) < 0.1] = -0.0
    p, q = packed_signs(x), packed_signs(y)
    assert p.dtype == np.uint8 and p.shape == (m, -(-k // 64) * 8)
    want = signs(x) @ signs(y).T
    if not scaled:
        np.testing.assert_array_equal(binary_matmul(p, q, k), want)
        np.testing.assert_array_equal(binary_matmul(p.view(np.uint64), q.view(np.uint64), k), want)
    else:
        alpha = np.abs(y).mean(1)
        np.testing.assert_array_equal(binary_matmul(p, q, k, alpha), want.astype(np.float32) * alpha)


def test_torch_and_results():
    torch = pytest.importorskip("torch")
    x, y = (np.random.default_rng(s).standard_normal((6, 80), np.float32) for s in (0, 1))
    p, q = packed_signs(torch.from_numpy(x).bfloat16()), packed_signs(torch.from_numpy(y))
    out = torch.empty((6, 6), dtype=torch.int32)
    assert binary_matmul(p, q, 80, out=out) is out
    np.testing.assert_array_equal(out.numpy(), signs(x) @ signs(y).T)
    assert binary_matmul(p, q, 80, torch.ones(6)).dtype == torch.float32
    assert hamming_distances(p.view(torch.int64), q.view(torch.int64)).dtype == torch.int32


def test_wrong_arguments():
    a = words(3, 4, "uint32")
    for b, message in ((a.view(np.uint64), "of one type, found u32 and u64"), (a.astype(np.float32), "found u32 and f32"), (a[:, :3], r"got .3, 4. and .3, 3."),
                       (a[0], "got")):
        with pytest.raises(DslError, match=message):
            hamming_distances(a, b)
    with pytest.raises(DslError, match="expected x"):
        packed_signs(np.zeros(4, np.float32))


@pytest.mark.parametrize(("m", "n", "w"), [(0, 0, 0), (1, 1, 1), (4096, 4096, 64), (3, 5000, 2)])
def test_tile_sizes(m, n, w):
    t = tile_sizes(m, n, w, 8, 2)
    assert t["BM"] <= 256 and t["BN"] <= 256 and 4 <= t["BK"] <= 64
    assert t["BM"] < max(2 * m, 2) and t["BN"] < max(2 * n, 32)


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx942", "ascend:910b"])
def test_emulated(target):
    a, b, alpha = words(17, 5, "uint32"), words(19, 5, "uint32", 1), np.linspace(0.5, 2, 19, dtype=np.float32)
    c, d = np.empty((17, 19), np.int32), np.empty((17, 19), np.float32)
    hamming.emulate(a, b, c, target=target)
    np.testing.assert_array_equal(c, distances(a, b))
    binary_gemm.emulate(a, b, d, 160, alpha, target=target)
    np.testing.assert_array_equal(d, (160 - 2 * c).astype(np.float32) * alpha)


# ---------------------------------------------------------------- sums of bits
@tile_kernel
def counted(x: "T[R, N]", rows: "i32[R]", columns: "i32[N]", both: "i32[R]", *, R: const, N: const):
    """Bits of rows (innermost), of columns (not innermost), and of rows of a sum, which is no bit operation."""
    i = tile.grid(1)
    v = tile.load(x, ((0, R), (0, N)))
    tile.store(rows, (0, R), tile.sum(tile.popcount(~v), 1))
    tile.store(columns, (0, N), tile.sum(tile.popcount(v), 0))
    tile.store(both, (0, R), tile.sum(tile.popcount(v + v) + 1, 1))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("n", [3, 32, 75])
def test_sums_of_bits(name, n):
    x = words(4, n, name)
    got = [np.empty(size, np.int32) for size in (4, n, 4)]
    counted(x, *got)
    bits = lambda v, axis: np.bitwise_count(v.view(f"u{v.itemsize}")).sum(axis)  # noqa: E731
    for have, want in zip(got, (bits(~x, 1), bits(x, 0), bits(x + x, 1) + n), strict=True):
        np.testing.assert_array_equal(have, want)


def test_the_kernel_counts_by_vectors():
    a = words(64, 64, "uint64")
    text = hamming.source("cpu", a, a, np.empty((64, 64), np.int32), BM=16, BN=16, BK=64)
    assert "sum_bits<u64, 64>([&](index_t e) { return a_tile[" in text and "sum_bits_of_pairs" not in text
    assert "popcount" not in text.split("struct")[-1].replace("tile.popcount", "")


# ---------------------------------------------------------------- sums of bits of all pairs of rows
@tile_kernel
def pairs(x: "T[M, W]", y: "T[N, W]", nor: "i32[M, N]", turned: "i32[N, M]", shifted: "i32[M, N]", *, BM: const, BN: const, BK: const):
    """Bits that neither row has; those of the second alone, by rows of y; and of what is no bitwise function of the two."""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    a, b = tile.load(x, ((i * BM, BM), (0, BK))), tile.load(y, ((j * BN, BN), (0, BK)))
    tile.store(nor, ((i * BM, BM), (j * BN, BN)), tile.sum(tile.popcount(~(a[:, None, :] | b[None, :, :])), 2))
    tile.store(turned, ((j * BN, BN), (i * BM, BM)), tile.sum(tile.popcount(~a[None, :, :] & b[:, None, :]), 2))
    tile.store(shifted, ((i * BM, BM), (j * BN, BN)), tile.sum(tile.popcount(a[:, None, :] + b[None, :, :]), 2))


@pytest.mark.parametrize("name", ["uint8", "int16", "uint32", "int64"])
@pytest.mark.parametrize(("bm", "bn", "row"), [(8, 32, 16), (10, 64, 48), (32, 32, 160), (64, 128, 128), (8, 160, 512)])
def test_bits_of_pairs(name, bm, bn, row):
    """Shapes that fill tiles and shapes that do not, bytes of a row that end in the middle of a run of lookups, one to four registers of rows."""
    k = row // np.dtype(name).itemsize
    for m, n in ((bm, bn), (bm + 3, bn + 5)):
        a, b = words(m, k, name), words(n, k, name, 1)
        got = np.empty((m, n), np.int32), np.empty((n, m), np.int32), np.empty((m, n), np.int32)
        pairs(a, b, *got, BM=bm, BN=bn, BK=k)
        with np.errstate(over="ignore"):
            want = ~(a[:, None] | b[None]), ~a[None] & b[:, None], a[:, None] + b[None]
        for have, bits in zip(got, want, strict=True):
            np.testing.assert_array_equal(have, np.bitwise_count(bits.view(f"u{a.itemsize}")).sum(2))


def test_pairs_are_looked_up():
    """What differs in all bits, and in none, through every flush of the counters; only bitwise functions of both rows take that way."""
    a, b = np.zeros((32, 4096), np.uint8), np.zeros((64, 4096), np.uint8)
    a[::2], b[:, ::2] = 255, 255
    got = np.empty((32, 64), np.int32)
    hamming(a, b, got, BM=16, BN=32, BK=4096)
    np.testing.assert_array_equal(got, 4096 * 4)
    b[:, 1::2] = 255
    hamming(a, b, got, BM=16, BN=32, BK=4096)
    np.testing.assert_array_equal(got, np.repeat([[0], [4096 * 8]] * 16, 64, 1))
    text = pairs.source("cpu", a, b, got, got.T.copy(), got, BM=8, BN=32, BK=64)
    assert text.count("sum_bits_of_pairs<8, 32, 64>(") == 1 and text.count("sum_bits_of_pairs<32, 8, 64>(") == 0
    assert "sum_bits_of_pairs" not in hamming.source("cpu", a, b, got, BM=4, BN=32, BK=64) + hamming.source("cpu", a, b, got, BM=8, BN=16, BK=64)
