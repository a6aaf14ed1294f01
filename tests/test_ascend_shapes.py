"""Any shape on the Ascend target, emulated: one row, ragged edges, groups that K does not fill; and tiles that UB cannot hold, refused with their bytes."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dslc.backends.ascend import emulation
from dslc.errors import DslError
from dslc.kernels import gemm, quantised_gemm, rows

if not any(row["found"] for row in emulation.Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

TARGET = "ascend:910b"


def normal(*shape: int, dtype: Any = np.float16, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def near(got: Any, a: Any, b: Any) -> None:
    """The bound of dot: (K + 8) 2^-23 sum |a| |b|."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    assert (np.abs(got - a @ b) <= (a.shape[1] + 8) * 2.0 ** -23 * (np.abs(a) @ np.abs(b))).all()


@pytest.mark.parametrize("mode", ["late", "random:1"])
def test_products_of_any_shape(mode: str) -> None:
    for m, n, k in ((1, 1, 1), (1, 50, 33), (65, 1, 31), (33, 64, 1), (31, 17, 100)):
        a, b, c = normal(m, k), normal(k, n, seed=1), np.full((m, n), np.nan, np.float32)
        gemm.gemm.emulate(a, b, c, target=TARGET, mode=mode, BM=32, BN=32, BK=32)
        near(c, a, b)


@pytest.mark.parametrize("mode", ["late", "random:1"])
def test_rows_of_any_length(mode: str) -> None:
    for m, n in ((1, 1), (1, 70), (5, 31), (9, 33)):
        x, y = normal(m, n, dtype=np.float32), np.full((m, n), np.nan, np.float32)
        rows.softmax.emulate(x, y, 0.5, target=TARGET, mode=mode, BM=4, BN=32)
        e = np.exp(0.5 * x.astype(np.float64) - 0.5 * x.max(1, keepdims=True).astype(np.float64))
        np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=(n + 16) * 2.0 ** -23)


@pytest.mark.parametrize("mode", ["late", "random:1"])
def test_groups_that_k_does_not_fill(mode: str) -> None:
    for m, n, k in ((1, 37, 200), (3, 32, 64), (17, 5, 136)):
        fields = np.random.default_rng(k).integers(0, 16, (k, n))
        words = sum(fields[i::8].astype(np.uint32) << np.uint32(4 * i) for i in range(8))
        a, scale = normal(m, k), (np.abs(normal(-(-k // 64), n, seed=2)) + np.float16(0.1)).astype(np.float16)
        part = np.full((2, m, n), np.nan, np.float32)
        quantised_gemm.w4a16.emulate(a, words, scale, None, part, target=TARGET, mode=mode, GROUP=64, BM=16, BN=32, BK=64)
        scales = np.repeat(scale, 64, 0)[:k]
        near(part.sum(0, dtype=np.float64), a, ((fields - 8).astype(np.float32) * scales).astype(np.float16))


def test_tiles_that_do_not_fit_are_refused() -> None:
    x, w, y = normal(4, 40000, dtype=np.float32), normal(40000, dtype=np.float32), np.empty((4, 40000), np.float32)
    with pytest.raises(DslError) as caught:
        rows.rmsnorm.emulate(x, w, y, None, 1e-6, target=TARGET, mode="late", N=40000)
    said = str(caught.value)
    assert "640000" in said and "188160" in said and "UB" in said, said       # 4 x 40000 floats; 192 KiB less 8448 bytes
