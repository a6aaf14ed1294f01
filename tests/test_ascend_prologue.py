"""The prologue of kernels for CANN 8, one buffer of a TPipe for each memory, emulated: the same results as with tensors at addresses, bit for bit."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dslc
import numpy as np
import pytest
from dslc.backends.ascend import emulation
from dslc.errors import DslError
from dslc.kernels import attention, gemm, rows

if not any(row["found"] for row in emulation.Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)


def normal(*shape: int, dtype: Any = np.float16) -> Any:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def emulate(kernel: Any, *args: Any, **named: Any) -> None:
    """As a kernel of its own, which has no launcher yet."""
    dslc.TileKernel(kernel.__wrapped__).emulate(*args, target="ascend:910b", **named)


def of_gemm(mode: str) -> list[Any]:
    c = np.full((40, 50), np.nan, np.float32)
    emulate(gemm.gemm, normal(40, 70), normal(70, 50), c, mode=mode, BM=32, BN=32, BK=32)
    return [c]


def of_softmax(mode: str) -> list[Any]:
    y = np.full((9, 70), np.nan, np.float32)
    emulate(rows.softmax, normal(9, 70, dtype=np.float32), y, 0.5, mode=mode, BM=4, BN=32)
    return [y]


def of_attention(mode: str) -> list[Any]:
    q = normal(1, 40, 1, 64)
    o, lse = np.full(q.shape, np.nan, np.float16), np.full((1, 1, 40), np.nan, np.float32)
    emulate(attention.attention, q, q, q, o, lse, 0.125, mode=mode, BM=32, BN=32)
    return [o, lse]


@pytest.mark.parametrize("mode", ["late", "random:1"])
@pytest.mark.parametrize("kernel", [of_gemm, of_softmax, of_attention], ids=lambda k: k.__name__[3:])
def test_both_prologues_compute_the_same(kernel: Callable[[str], list[Any]], mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    want = kernel(mode)
    loaded = []

    class Cann8(emulation.Emulator):
        def __init__(self, architecture: str) -> None:
            super().__init__(architecture, cann=8)

        def load(self, binary: Path, name: str) -> emulation.AscendLauncher:
            loaded.append(name)
            return super().load(binary, name)

    monkeypatch.setattr(emulation, "Emulator", Cann8)
    got = kernel(mode)
    assert loaded
    for x, y in zip(got, want, strict=True):
        assert not np.isnan(y).any()
        np.testing.assert_array_equal(x, y)


def test_tensors_at_addresses_are_of_cann_9(tmp_path: Path) -> None:
    source = '#include "kernel_operator.h"\n{}\nextern "C" void f() {{ {} }}\n'
    before, since = emulation.Emulator("910b", cann=8), emulation.Emulator("910b")
    for n, body in enumerate(("AscendC::LocalTensor<float> x(AscendC::TPosition::VECIN, 0, 8);", "AscendC::InitSocState();")):
        (tmp_path / f"x{n}.cpp").write_text(source.format("", body))
        since.compile(tmp_path, f"x{n}")
        with pytest.raises(DslError, match=r"LocalTensor|InitSocState"):
            before.compile(tmp_path, f"x{n}")
