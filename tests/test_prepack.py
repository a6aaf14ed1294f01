"""Weights packed beforehand: the products of the plain weight, of every type, shape, layout and epilogue that matmul takes."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc import DslError
from dslc.kernels.gemm import ACTIVATIONS, PackedWeight, gemm_panels, matmul, pack_panels, prepack, product
from dslc.runtime.library import Expected
from dslc.runtime.trial import judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "u8": np.uint8}
UNITS = {"f32": 2.0 ** -24, "f64": 2.0 ** -53, "f16": 2.0 ** -11, "bf16": 2.0 ** -8, "i8": 0.0, "u8": 0.0}

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def values(m: int, n: int, name: str, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    if name in ("i8", "u8"):
        low = np.iinfo(TYPES[name]).min
        return random.integers(low, low + 256, (m, n)).astype(TYPES[name])
    return random.standard_normal((m, n)).astype(TYPES[name])


def right(got: Any, a: Any, b: Any, name: str) -> None:
    exact = product(a, b)
    error = exact.error + UNITS[name] * np.abs(exact.value) if name not in ("i8", "u8") else exact.error
    verdict = judge("c", np.asarray(got), Expected(exact.value, error))
    assert not verdict.wrong, verdict


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(m=st.sampled_from([0, 1, 5, 50]), n=st.integers(0, 70), k=st.integers(0, 300), name=st.sampled_from(sorted(TYPES)),
       layout=st.sampled_from(["rows", "columns", "every other"]), seed=st.integers(0, 99))
def test_products(m, n, k, name, layout, seed):
    a, b = values(m, k, name, seed), values(k, 2 * n, name, seed + 1)
    b = {"rows": b[:, :n], "columns": np.ascontiguousarray(b[:, :n].T).T, "every other": b[:, ::2]}[layout]
    packed = prepack(b)
    assert isinstance(packed, PackedWeight) and packed.shape == (k, n) and packed.panels is not None
    got = matmul(a, packed)
    plain = matmul(a, b)
    assert got.dtype == plain.dtype and got.shape == (m, n)
    right(got, a, b, name)
    out = np.full((m, n + 3), 9, got.dtype)[:, :n]
    assert matmul(a, packed, out=out) is out
    np.testing.assert_array_equal(out, got)


@pytest.mark.parametrize("m", [1, 9])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_bias_and_activations(m, activation):
    a, b, bias = values(m, 90, "f32"), values(90, 37, "f32", 1), values(1, 37, "f32", 2)[0]
    packed = prepack(b)
    for given_bias in (bias, None):
        np.testing.assert_allclose(matmul(a, packed, given_bias, activation=activation), matmul(a, b, given_bias, activation=activation), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(matmul(a, packed, BM=16, BN=64, BK=32), a @ b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(matmul(a, packed, splits=3, BK=16), a @ b, rtol=1e-4, atol=1e-4)
    assert matmul(a, packed, dtype=np.float16).dtype == np.float16


def test_torch():
    torch = pytest.importorskip("torch")
    a, b = torch.from_numpy(values(5, 70, "f32")).bfloat16(), torch.from_numpy(values(70, 33, "f32", 1)).bfloat16()
    packed = prepack(b.T.contiguous().T)
    assert packed.panels.dtype == torch.bfloat16
    torch.testing.assert_close(matmul(a, packed, dtype=torch.float32), a.float() @ b.float(), rtol=1e-4, atol=1e-4)


def test_types_without_panels_are_multiplied_as_they_are():
    a, b = (values(m, n, "f32", s).astype(ml_dtypes.float8_e4m3fn) for m, n, s in ((4, 40, 0), (40, 20, 1)))
    packed = prepack(b)
    assert packed.panels is None and packed.weight is b
    np.testing.assert_array_equal(matmul(a, packed, dtype=np.float32), matmul(a, b, dtype=np.float32))


def test_wrong_arguments():
    b = values(40, 20, "f32")
    with pytest.raises(DslError, match=r"prepack: expected a weight \(K, N\), got \(40,\)"):
        prepack(b[:, 0].copy())
    for a in (values(4, 41, "f32"), values(4, 40, "f32")[0]):
        with pytest.raises(DslError, match=r"expected a \(M, K\) and b \(K, N\), got"):
            matmul(a, prepack(b))
    for packed in (b, prepack(b)):                          # an x of another type than the weight is refused alike
        with pytest.raises(DslError, match="T"):
            matmul(values(4, 40, "bf16"), packed, dtype=np.float32)


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx942", "ascend:910b"])
def test_emulated(target):
    a, b = values(9, 40, "f16"), values(40, 24, "f16", 1)
    panels, c = np.empty((2, 40, 16), np.float16), np.empty((9, 24), np.float32)
    pack_panels.emulate(b, panels, target=target)
    np.testing.assert_array_equal(panels.transpose(1, 0, 2).reshape(40, 32), np.pad(b, ((0, 0), (0, 8))))
    gemm_panels.emulate(a, panels, c, target=target, BM=16, BK=32)
    right(c, a, b, "f32")
