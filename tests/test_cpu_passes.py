"""What the CPU target adds to the common passes: merged maps, tiles used in their tensors, panels, depths: what the source shows, and that results stay."""
from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from dslc import const, tile, tile_kernel
from dslc.backends.common.toolchain import candidates
from dslc.kernels.gemm import gemm, product
from dslc.kernels.kmeans import assign
from dslc.kernels.rows import layernorm, rmsnorm, softmax
from dslc.kernels.stream import copy, triad
from dslc.runtime.trial import judge

pytestmark = pytest.mark.skipif(not any(candidates()), reason="no C++ compiler")
RANDOM = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


@tile_kernel
def two_of_one(x: "f32[M, N]", y: "f32[M, N]", z: "f32[M, N]", top: "f32[M]", *, BM: const = 4, BN: const = 32):
    i, j = tile.grid(tile.cdiv(M, BM), 1)
    t = tile.load(x, ((i * BM, BM), (0, BN)))
    u = t * t + 1.0
    s = tile.max(u, 1)
    tile.store(y, ((i * BM, BM), (0, BN)), u - t)
    tile.store(z, ((i * BM, BM), (0, BN)), u * s[:, None])
    tile.store(top, (i * BM, BM), s)


@tile_kernel
def shifted(x: "f32[N]", y: "f32[N]", *, B: const = 16):
    i = tile.grid(tile.cdiv(N, B))
    here = tile.load(y, (i * B, B))
    tile.store(y, (i * B, B), here + tile.load(x, (i * B - 3, B), pad=5.0))


@tile_kernel
def twice(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, N]", *, BM: const = 8, BN: const = 16, BK: const = 8):
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        x, y = tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN)))
        acc = tile.dot(x, y, tile.dot(x, y, acc))
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


@tile_kernel
def from_two_on(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, N]", *, BM: const = 8, BN: const = 16, BK: const = 8):
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(2 * BK, K, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN))), acc)
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


@tile_kernel
def up_to_some(a: "f32[M, K]", b: "f32[K, N]", c: "f32[M, N]", *, BM: const = 8, BN: const = 16, BK: const = 8):
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    stop = tile.minimum(K, 64 * (i + 1))
    for k in tile.range(0, tile.maximum(stop, i - 1), BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN))), acc)
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


def test_maps_over_one_tile_are_one() -> None:
    source = assign.source("cpu", T="f32", U="f32")
    assert re.search(r"const f32 (\w+) = select.*\n.*const i32 (\w+) = select.*\n.*best\[.*= \1;\n.*who\[.*= \2;", source), "both before either is written"
    assert source.count("fma_(") == 1


@tile_kernel
def extremes(x: "T[M, N]", least: "T[M]", where_least: "i32[M]", where_most: "i32[M]", most: "T[M]", *, BM: const = 4, BN: const = 64):
    i = tile.grid(tile.cdiv(M, BM))
    rows = (i * BM, BM)
    t = tile.load(x, (rows, (0, BN)))
    t = t + t
    low, low_at = tile.min(t, 1), tile.argmin(t, 1)
    high_at, high = tile.argmax(t, 1), tile.max(t, 1)
    tile.store(least, rows, low)
    tile.store(where_least, rows, tile.cast(low_at, tile.i32))
    tile.store(where_most, rows, tile.cast(high_at, tile.i32))
    tile.store(most, rows, high)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint32])
@pytest.mark.parametrize("n", [5, 16, 64, 100, 107, 256])
def test_an_extreme_element_and_its_index_are_found_at_once(dtype: type, n: int) -> None:
    random = np.random.default_rng(n)
    x = random.integers(0, 9, (41, n)).astype(dtype)                                   # many ties
    x[0], x[1] = 3, np.arange(n)
    x[2] = np.arange(n)[::-1]
    if np.issubdtype(dtype, np.floating):
        x[3:20][random.random((17, n)) < 0.3] = np.nan
        x[5], x[6], x[7] = np.nan, np.inf, -np.inf
        x[8], x[9] = np.where(np.arange(n) % 3 == 2, np.inf, np.nan), np.where(np.arange(n) % 3 == 2, -np.inf, np.nan)
    least, most = np.empty(41, dtype), np.empty(41, dtype)
    where_least, where_most = np.empty(41, np.int32), np.empty(41, np.int32)
    source = extremes.source("cpu", x, least, where_least, where_most, most, BN=n)
    assert source.count("arg_reduce_") == 2 and " reduce_m" not in source, "one pass for each pair, in either order"
    extremes(x, least, where_least, where_most, most, BN=n)
    worst = (np.inf, -np.inf) if np.issubdtype(dtype, np.floating) else (None, None)
    for got, at, pick, arg, bad in ((least, where_least, np.fmin, np.argmin, worst[0]), (most, where_most, np.fmax, np.argmax, worst[1])):
        np.testing.assert_array_equal(got, pick.reduce(x + x, axis=1))
        np.testing.assert_array_equal(at, arg(x if bad is None else np.where(np.isnan(x), bad, x), axis=1))


@pytest.mark.parametrize(("m", "n"), [(8, 32), (9, 32), (3, 32), (8, 29), (1, 5)])
def test_tiles_are_used_in_their_tensors(m: int, n: int) -> None:
    x, y, z, top = normal(m, n), np.full((m + 1, n), 7, np.float32), np.empty((m, n), np.float32), np.empty(m, np.float32)
    source = two_of_one.source("cpu", x, y[:m], z, top)
    assert "load_row<32>(t + e0" in source and "t_at[e0 * t_row + e1]" in source, "read in place, or copied at an edge"
    assert len(re.findall(r"\w+_at\[e0 \* \w+_row \+ e1\] = ", source)) == 2, "both results are computed in place"
    two_of_one(x, y[:m], z, top)
    padded = np.zeros((m, 32), np.float32)
    padded[:, :n] = x
    u = padded * padded + np.float32(1)
    np.testing.assert_array_equal(top, u.max(1))
    np.testing.assert_array_equal(y[:m], (u - padded)[:, :n])
    np.testing.assert_array_equal(z, (u * top[:, None])[:, :n])
    assert np.all(y[m] == 7), "what lies behind stays"


@pytest.mark.parametrize("n", [16, 64, 37, 2])
def test_a_tensor_that_is_written_is_copied(n: int) -> None:
    x, y = normal(n), normal(n)
    want = y + np.concatenate([np.full(3, 5, np.float32), x])[:n]
    assert "here_at" not in shifted.source("cpu", x, y)
    shifted(x, y)
    np.testing.assert_array_equal(y, want)


def test_rows_of_a_norm_are_read_once_each() -> None:
    source = rmsnorm.source("cpu", T="f32", N=1024)
    assert "const f32 *const w_tile_at = w;" in source, "all of it is inside: no copy, no place"
    assert source.count("load_row") == source.count("store_row") == 1, "at an edge only"


def test_a_row_that_is_one_tile_takes_exponentials_once() -> None:
    text = softmax.source("cpu", T="f32", BN=64)
    once, loops = text.split("if ((N > 0) & (N <= 64)) {")[1].split("} else {\n      // rows.py")
    assert once.count("exp_(") == 2 and loops.count("exp_(") == 3, "one for each element, and one to carry the sum over"
    assert once.count("load_row<") == 1 and "for (index_t j" not in once, "what the second loop would load is there"


@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 128, 130])
def test_softmax_of_one_trip_and_of_more(n: int) -> None:
    x, y = normal(7, n), np.full((8, n), 3, np.float32)
    softmax(x, y[:7], 2.0, BN=64)
    s = x.astype(np.float64) * 2
    p = np.exp(s - s.max(1, keepdims=True))
    want = p / p.sum(1, keepdims=True)
    assert np.all(np.abs(y[:7] - want) <= (2.0 ** -18 + 2.0 ** -21 * np.abs(s).max()) * want)
    assert np.all(y[7] == 3)


@tile_kernel
def two_loops(x: "f32[M, N]", y: "f32[M, N]", z: "f32[M, N]", *, BN: const = 32):
    """The second loop reads what the first stored, and pads with what counts: no load may stand for another."""
    i = tile.grid(M)
    most = tile.full((1,), 0.0, tile.f32)
    for j in tile.range(0, N, BN):
        e = tile.exp(tile.load(x, ((i, 1), (j, BN)), pad=1.0))
        most = most + tile.sum(e, 1)
        tile.store(y, ((i, 1), (j, BN)), e)
    for j in tile.range(0, N, BN):
        e = tile.exp(tile.load(x, ((i, 1), (j, BN)), pad=2.0))
        tile.store(z, ((i, 1), (j, BN)), tile.load(y, ((i, 1), (j, BN))) + tile.sum(e, 1)[:, None] + most[:, None])


@pytest.mark.parametrize("n", [3, 32, 33])
def test_paddings_that_count_stay(n: int) -> None:
    x, y, z = normal(2, n), np.empty((2, n), np.float32), np.empty((2, n), np.float32)
    assert "(N > 0) & (N <= 32)" in two_loops.source("cpu", T="f32")
    two_loops(x, y, z)
    e, tail = np.exp(x.astype(np.float64)), -n % 32
    first = e.sum(1) + tail * np.e
    last = e[:, n // 33 * 32:].sum(1) + tail * np.e ** 2
    np.testing.assert_allclose(y, e, rtol=2.0 ** -19)
    want = e + first[:, None] + last[:, None]
    if n > 32:
        want[:, :32] = (e + first[:, None])[:, :32] + e[:, :32].sum(1)[:, None]
    np.testing.assert_allclose(z, want, rtol=2.0 ** -18)


def test_what_is_cheap_is_computed_where_it_is_used() -> None:
    source = layernorm.source("cpu", T="bf16", N=1024)
    assert source.count("widen(x_tile_at") == 3
    assert not re.search(r"f32 \*const \w+ = .*// 4 x 1024", source), "no row of f32 is kept"


@pytest.mark.parametrize("n", [(1 << 20) * 9 + 5, 1 << 14, 700, 1])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_rows_move_from_tensor_to_tensor(n: int, start: int) -> None:
    """The longest of 75 MB, which most processors' last caches are too small for."""
    assert "write_row<16384>" in copy.source("cpu", T="f64") and copy.source("cpu", T="f64").count("store_row") == 1
    a, c = RANDOM.standard_normal(n + start)[start:], np.full(n + start + 1, 7.0)
    copy(a, c[start:-1])
    np.testing.assert_array_equal(c[start:-1], a)
    assert c[-1] == 7 and np.all(c[:start] == 7)
    b = a[::-1]                                              # not contiguous
    copy(b, c[start:-1])
    np.testing.assert_array_equal(c[start:-1], b)
    triad(a, a + 1, c[start:-1], 3.0)
    np.testing.assert_array_equal(c[start:-1], a + 3.0 * (a + 1))
    assert c[-1] == 7 and np.all(c[:start] == 7)


@tile_kernel
def one_element(x: "f32[M, N]", y: "f32[M, N]", *, N: const, BM: const = 1):
    i = tile.grid(tile.cdiv(M, BM))
    h = tile.load(x, ((i * BM, BM), (0, N)))
    tile.store(y, ((i * BM, BM), (0, N)), tile.exp(h - tile.max(h, 1)[:, None]))


def test_places_of_one_element_are_variables() -> None:
    x, y = normal(3, 96), np.empty((3, 96), np.float32)
    assert re.search(r"f32 max\[1\] = {};", one_element.source("cpu", x, y))
    one_element(x, y)
    np.testing.assert_allclose(y, np.exp(x - x.max(1)[:, None].astype(np.float64)), rtol=2.0 ** -18)


@pytest.mark.parametrize("shape", [(300, 515, 270), (257, 33, 300), (520, 1, 17)])
@pytest.mark.parametrize("turn", ["", "a", "b", "ab"])
def test_panels_and_depths_at_edges(shape: tuple[int, int, int], turn: str) -> None:
    """Several programs read each operand; K ends inside a tile.  What is infinite next to the end stays as it is."""
    m, k, n = shape
    a = normal(k, m).T if "a" in turn else normal(m, k)
    b = normal(n, k).T if "b" in turn else normal(k, n)
    a[0, -1], b[-1, 0] = np.inf, np.inf
    c = np.empty((m, n), np.float32)
    gemm(a, b, c, BM=128, BN=128, BK=128)
    assert "a_panels.holds<128, 128>" in gemm.source("cpu", a, b, c, BM=128, BN=128, BK=128)
    with np.errstate(invalid="ignore"):
        want = a.astype(np.float64) @ b.astype(np.float64)
    odd = ~np.isfinite(want)
    np.testing.assert_array_equal(np.where(odd, c, 0), np.where(odd, want, 0).astype(np.float32))
    a, b = np.where(np.isfinite(a), a, 0), np.where(np.isfinite(b), b, 0)
    exact = product(a, b)
    inner = np.ix_(range(1, m), range(1, n))
    assert not judge("c", c[inner], type(exact)(exact.value[inner], exact.error[inner])).wrong


@pytest.mark.parametrize(("kernel", "first", "factor"), [(gemm, 0, 1), (up_to_some, 0, 1), (from_two_on, 16, 1), (twice, 0, 2)])
@pytest.mark.parametrize("depth", [0, 3, 16, 17, 40])
def test_the_first_product_of_a_sum_writes_it(kernel: Any, first: int, factor: int, depth: int) -> None:
    """Zeros are written where the loop makes no trip; where two products of a trip share a sum, always."""
    a, b, c = normal(21, depth), normal(depth, 35), np.full((21, 35), np.nan, np.float32)
    sizes = {"BM": 8, "BN": 16, "BK": 8}
    source = kernel.source("cpu", a, b, c, **sizes)
    assert (f"k > {first}, panels" in source) == (f" <= {first}) {{" in source) == (factor == 1)
    kernel(a, b, c, **sizes)
    exact = product(a[:, first:], b[first:])
    assert not judge("c", c, type(exact)(factor * exact.value, 2 * factor * exact.error)).wrong


@pytest.mark.parametrize("depth", [15, 16, 45, 64])
def test_panels_of_pairs_end_with_their_tile(depth: int) -> None:
    """8-bit elements are packed two by two along K: a tile of an odd depth must not take the first element of the next one along."""
    a, b = RANDOM.integers(-128, 128, (40, 45), np.int8), RANDOM.integers(-128, 128, (45, 40), np.int8)
    c = np.empty((40, 40), np.int32)
    gemm(a, b, c, ACC=tile.i32, BM=16, BN=16, BK=depth)
    np.testing.assert_array_equal(c, a.astype(np.int32) @ b.astype(np.int32))
