"""Kernels of the library, emulated on each target that has an emulator: the examples, ragged and small.  Of most the specification has a twin.

Nothing here runs on a device.
"""
from __future__ import annotations

import pytest
from dslc import DslError
from test_kernels import WITH_EXAMPLE, attempt

TARGETS = ("cuda:sm_80", "hip:gfx942", "ascend:910b")
NAMES = ("attention_decode", "attention_join", "binary_gemm", "gemm_panels", "hadamard_rows", "w4a16_groups")
NO_F64 = {"column_sums", "label_sums", "assign_sums", "distances", "potentials", "copy", "scale", "add", "triad"}      # Ascend's vector unit has none


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [n if n in NAMES else pytest.param(n, marks=pytest.mark.long) for n in WITH_EXAMPLE])
def test_emulated(name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSLC_TARGET", target)
    monkeypatch.setenv("DSLC_EMULATE", "1")
    if target.startswith("ascend") and name in NO_F64:
        with pytest.raises(DslError, match="the vector unit has no f64"):
            attempt(name)
    else:
        attempt(name)
