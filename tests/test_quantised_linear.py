"""QuantisedLinear: rounding of weights, the formats of GPTQ and AWQ, products against numpy in f64 and torch, splits, sizes, wrong arguments."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc.kernels.quantised_gemm import AWQ, QuantisedLinear, columns_for, pack_gptq, splits_for, unpack_columns, unpack_gptq
from dslc.runtime.library import Expected
from dslc.runtime.trial import judge

UNITS = {"float32": 2.0 ** -24, "float16": 2.0 ** -11, "bfloat16": 2.0 ** -8}
OURS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def right(got: Any, x: Any, w: Any, bias: Any = 0.0, splits: int = 1, unit: float = 0.0) -> None:
    """x @ w + bias within the bound of a product in f32, its parts added one by one, and `unit` of rounding the result."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    want = x @ w + bias
    verdict = judge("", np.asarray(got), Expected(want, (x.shape[-1] + 8 + splits) * 2.0 ** -23 * (np.abs(x) @ np.abs(w) + np.abs(bias)) + unit * np.abs(want)))
    assert not verdict.wrong, verdict


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def bits_of(words: Any, order: tuple[int, ...]) -> Any:
    """Integers (R, 8 C) as words (R, C), field f of a word being column 8 c + order[f]: the reference code's loop."""
    out = np.zeros((words.shape[0], words.shape[1] // 8), np.uint32)
    for f, column in enumerate(order):
        out |= words[:, column::8].astype(np.uint32) << np.uint32(4 * f)
    return out.view(np.int32)


@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize(("k", "group"), [(256, 128), (192, 128), (104, 32), (104, -1), (64, 16)])
def test_rounding_of_weights(k, group, sym):
    w = normal(40, k) + 0.5
    layer = QuantisedLinear.from_float(w, group, sym)
    step = np.repeat(layer.scale.astype(np.float32), layer.group, 0)[:k].T
    got = layer.dequantise()
    assert (layer.out_features, layer.in_features) == got.shape == (40, k) and (layer.zero is None) == sym
    assert (np.abs(got - w) <= step * (0.5 + 7.5 * 2.0 ** -11 + (0.5 if not sym else 0))).all()
    assert np.abs(got - w).mean() < 0.3 * step.mean()
    zero = 8 if sym else np.repeat(layer.zero, layer.group, 0)[:k].T.astype(int)
    q = np.rint(got / np.where(step, step, 1)) + zero
    assert q.min() >= (1 if sym else 0) and q.max() <= 15


def seen(layer, dtype):
    """Weights (N, K) of which no more than the scale is rounded to `dtype`: what a product sees of groups of 64 to 256."""
    spread = [np.repeat(v, layer.group, 0)[:layer.in_features] for v in (layer.scale.astype(dtype).astype(np.float64),
                                                                         np.full(layer.scale.shape, 8) if layer.zero is None else layer.zero.astype(int))]
    return ((unpack_gptq(layer.words).astype(int) - spread[1]) * spread[0]).T


@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize(("shape", "sym", "bias", "splits"), [((1, 256), True, False, None), ((3, 5, 256), False, True, None), ((37, 256), True, True, 2)])
def test_products(dtype, shape, sym, bias, splits):
    given = normal(40, seed=2) if bias else None
    layer = QuantisedLinear.from_float(normal(40, 256), sym=sym, bias=given)
    x = normal(*shape, seed=1).astype(getattr(ml_dtypes, dtype, dtype))
    y = layer(x, splits=splits)
    w = seen(layer, y.dtype)
    assert y.dtype == x.dtype and y.shape == (*shape[:-1], 40)
    right(y, x, w.T, 0.0 if given is None else given, splits or 8)
    exact = QuantisedLinear.from_float(normal(40, 256), sym=sym).dequantise()
    assert np.abs(w - exact).max() <= UNITS[dtype] * np.abs(exact).max()
    assert np.abs(layer.dequantise(OURS[dtype]).astype(np.float64) - w).max() <= UNITS[dtype] * np.abs(w).max()


@pytest.mark.parametrize("dtype", UNITS)
def test_torch(dtype):
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    linear = torch.nn.Linear(256, 48)
    layer = QuantisedLinear.from_float(linear.weight, 64, bias=linear.bias)
    x = torch.from_numpy(normal(2, 7, 256)).to(kind)
    y = layer(x)
    w = torch.from_numpy(seen(layer, getattr(ml_dtypes, dtype, dtype)).astype(np.float32))
    want = torch.nn.functional.linear(x.float(), w, linear.bias)
    assert isinstance(y, torch.Tensor) and y.dtype == kind and y.shape == (2, 7, 48)
    for result in (y.float(), want):
        right(result.detach(), x.float(), w.T, linear.bias.detach().numpy(), unit=UNITS[dtype])
    assert (want - linear(x.float())).abs().max() < 0.2                 # what 4 bits cost
    assert torch.equal(QuantisedLinear.from_float(linear.weight.to(torch.bfloat16), 64)(x[:0]), x.new_empty((0, 7, 48)))


def test_gptq():
    random = np.random.default_rng(0)
    q, zero, scale = random.integers(0, 16, (256, 40)), random.integers(1, 16, (4, 40)), random.uniform(0.01, 0.1, (4, 40)).astype(np.float16)
    x, bias = normal(5, 256), normal(40, seed=1)
    stored = bits_of(zero - 1, tuple(range(8)))
    w = (q - np.repeat(zero, 64, 0)) * np.repeat(scale.astype(np.float32), 64, 0)
    layer = QuantisedLinear.from_gptq(pack_gptq(q).view(np.int32), stored, scale, np.arange(256) // 64, bias)
    np.testing.assert_array_equal(layer.dequantise().T, w)
    right(layer(x), x, w, bias)
    again = QuantisedLinear.from_gptq(pack_gptq(q).view(np.int32), bits_of(zero, tuple(range(8))), scale, zero_offset=0)
    np.testing.assert_array_equal(again.dequantise().T, w)
    rows = random.permutation(256)                                      # row r of the weights is in group g_idx[r]
    acted = QuantisedLinear.from_gptq(pack_gptq(q[rows]).view(np.int32), stored, scale, rows // 64)
    np.testing.assert_array_equal(acted.dequantise().T, w[rows])
    right(acted(x), x, w[rows])
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(acted(torch.from_numpy(x)).numpy(), acted(x))
    with pytest.raises(ValueError, match="g_idx does not put 64 rows"):
        QuantisedLinear.from_gptq(pack_gptq(q).view(np.int32), stored, scale, np.arange(256) % 3)


def test_gptq_zero_of_sixteen():
    """A stored zero of 15 is a zero of 16 in the usual format."""
    q, scale = np.arange(128).reshape(16, 8) % 16, np.ones((1, 8), np.float16)
    layer = QuantisedLinear.from_gptq(pack_gptq(q).view(np.int32), bits_of(np.full((1, 8), 15), tuple(range(8))), scale)
    np.testing.assert_array_equal(layer.dequantise().T, q - 16)


def test_awq():
    random = np.random.default_rng(1)
    q, zero, scale = random.integers(0, 16, (128, 40)), random.integers(0, 16, (2, 40)), random.uniform(0.01, 0.1, (2, 40)).astype(np.float16)
    layer = QuantisedLinear.from_awq(bits_of(q, AWQ), bits_of(zero, AWQ), scale)
    w = (q - np.repeat(zero, 64, 0)) * np.repeat(scale.astype(np.float32), 64, 0)
    np.testing.assert_array_equal(layer.dequantise().T, w)
    x = normal(3, 128)
    right(layer(x), x, w)
    torch = pytest.importorskip("torch")
    same = QuantisedLinear.from_awq(*(torch.from_numpy(v) for v in (bits_of(q, AWQ), bits_of(zero, AWQ), scale)))
    np.testing.assert_array_equal(same.words, layer.words)


def test_packing():
    q = np.random.default_rng(0).integers(0, 16, (3, 24))
    for order in (AWQ, tuple(range(8))):
        np.testing.assert_array_equal(unpack_columns(bits_of(q, order), order), q)


def test_splits():
    assert splits_for(1, 4096, 4096, 128, 2, 1, 128) == 1               # 32 programs for 2 threads
    assert splits_for(1, 256, 4096, 128, 2, 1, 128) == 2 and splits_for(1, 128, 4096, 128, 64, 1, 128) == 8
    assert splits_for(0, 128, 4096, 128, 2, 1, 128) >= 1 and splits_for(1, 128, 128, 128, 64, 1, 128) == 1
    layer, x = QuantisedLinear.from_float(normal(40, 1024)), normal(1, 1024)
    for splits in (1, 3, 8):
        right(layer(x, splits=splits), x, layer.dequantise().T, splits=splits)


def test_sizes():
    layer = QuantisedLinear.from_float(normal(128, 1024), bias=normal(128))
    assert layer.nbytes == 128 * 1024 // 2 + 8 * 128 * 2 + 128 * 4 and 4.1 < layer.bits < 4.2
    assert repr(layer) == "QuantisedLinear(in_features=1024, out_features=128, group=128, sym=True, bias=True)"


def test_wrong_arguments():
    layer = QuantisedLinear.from_float(normal(40, 64), 32)
    for make, message in ((lambda: QuantisedLinear.from_float(normal(40, 63)), "K a multiple of 8, got .40, 63"),
                          (lambda: QuantisedLinear.from_float(normal(40, 64) * np.nan), "NaN"),
                          (lambda: QuantisedLinear.from_float(normal(40, 64), 24), "group 24"),
                          (lambda: QuantisedLinear.from_float(normal(40, 64) * np.float32(1e8)), "too large"),
                          (lambda: QuantisedLinear.from_float(normal(40, 64), bias=normal(3)), r"bias must be \(40,\)"),
                          (lambda: QuantisedLinear(layer.words, layer.scale, group=64), r"scale must be \(1, 40\) for weights \(40, 64\)"),
                          (lambda: layer(normal(3, 65)), r"x: expected \(.., 64\), got \(3, 65\)"), (lambda: layer(normal(3, 64).astype(float)), "got f64")):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="x: expected an array, found list"):
        layer([1.0] * 64)


@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize(("m", "k", "group", "sym"), [
    (1, 328, 128, True), (3, 200, 64, False), (8, 72, 16, True), (6, 40, 32, False), (13, 328, 256, False), (9, 200, 64, True)])
def test_few_and_many_rows(dtype, m, k, group, sym):
    """Groups that end amid a tile, columns that end amid a vector: words are copied where they do not fill the tile."""
    layer = QuantisedLinear.from_float(normal(75, k, seed=k), group, sym=sym)
    x = normal(m, k, seed=m).astype(getattr(ml_dtypes, dtype, dtype))
    right(layer(x), x, seen(layer, x.dtype).T, 0.0, 8, unit=UNITS[dtype])


SPREADS = {"a byte": [1.0, -2.0, 3.0], "two": [1.0, 2.0 ** -7], "three": [-1.0, 2.0 ** -15], "four": [1.0, -2.0 ** -22], "too far apart": [1.0, 2.0 ** -40],
           "zeros": [0.0], "small": [2.0 ** -100, 2.0 ** -101], "large": [2.0 ** 100, -2.0 ** 99], "the lowest byte": [127.0, 128.0, -128.0, -129.0]}


@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize("k", [8, 48, 264, 520])
@pytest.mark.parametrize("spread", SPREADS)
def test_one_row_of_numbers_near_and_far(spread, k, sym):
    """Numbers of a group that are integers of one to four bytes, and those that are not, with groups of 1, 2, 3 and 32 rows of words."""
    group = {8: 8, 48: 16, 264: 128, 520: 256}[k]
    layer = QuantisedLinear.from_float(normal(75, k, seed=k), group, sym=sym)
    x = np.resize(np.array(SPREADS[spread], np.float32), (1, k)).astype(ml_dtypes.bfloat16)
    got, w = layer(x), seen(layer, x.dtype).T
    right(got, x, w, unit=UNITS["bfloat16"])
    zero_weights = x.copy()
    zero_weights[0, ::2] *= 3
    right(layer(zero_weights), zero_weights, w, unit=UNITS["bfloat16"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_row_with_no_numbers(bad):
    layer = QuantisedLinear.from_float(normal(40, 256), 128)
    x = normal(1, 256).astype(ml_dtypes.bfloat16)
    x[0, 200] = bad
    got = layer(x).astype(np.float32)
    assert not np.isfinite(got).any()


def test_columns():
    """Of one row, as many as leave two programs to a thread."""
    assert [columns_for(*a) for a in ((1, 4096, 1), (1, 4096, 2), (1, 4096, 64), (2, 4096, 1), (1, 40, 2), (1, 1, 1))] == [2048, 1024, 512, 512, 64, 32]
