"""Random kernels drawn from the op table: what the GPU targets' sources compute, emulated, agrees with the interpreter bit for bit, in all modes."""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc.backend import target_of
from dslc.errors import DslError
from dslc.interpret import interpret
from dslc.ir import Kernel
from dslc.runtime import lowering
from dslc.text import show
from hypothesis import HealthCheck, given, settings
from strategies import Case, kernels
from test_properties import counterexample, scalar_bits

TARGETS = ("cuda:sm_80", "cuda:sm_90a", "hip:gfx942", "hip:gfx1100")
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
LONG = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
EXACT = {"exact": True, "without": ("fma", "not")}


def run_emulated(target: str, kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int], mode: str) -> None:
    """Lower, render, compile for the emulator and launch a value-form kernel on numpy arrays."""
    to = target_of(target, mode)
    lowered = lowering.lower(kernel, to.backend, architecture=to.architecture)
    entry = lowering.compile_entry(to.backend, lowered, lowering.render(to.backend, lowered), kernel, mode)
    values: list[Any] = []
    for kind, name, _dtype, _count in entry.data["members"]:
        if kind == "pointer":
            values.append(arrays[name].ctypes.data)
        elif kind == "strides":
            values += [s // arrays[name].itemsize for s in arrays[name].strides]
        else:
            values.append(dims[name] if kind == "dim" else scalar_bits(arrays[name]))
    launch = to.toolchain.load(entry.path / entry.data["binary"], kernel.name)
    ranges = [(n, a.ctypes.data, a.nbytes, n in entry.data["written"]) for n, a in arrays.items() if n in entry.data["tensors"]]
    assert launch(struct.pack(entry.data["format"], *values), ranges, mode) == 0


def agree(target: str, case: Case) -> None:
    want = case.fresh()
    interpret(case.kernel, want, case.dims)
    for mode in ("late", "random:1"):
        got = case.fresh()
        try:
            run_emulated(target, case.kernel, got, case.dims, mode)
        except DslError as e:
            if "shared tiles need" in e.message:            # a limit of the chip, told as one
                return
            raise AssertionError(f"{target}, {mode}: {e}\n{show(case.kernel)}") from None
        for name in case.outputs:
            a, b = np.asarray(got[name]), np.asarray(want[name])
            same = np.array_equal(a, b) or np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True)
            assert same, f"{target}, {mode}: differs in {name}\n{show(case.kernel)}"


@pytest.mark.parametrize("target", TARGETS)
@QUICK
@given(kernels(**EXACT))
def test_random_kernels_agree(target: str, case: Case) -> None:
    agree(target, case)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "counterexamples").glob("*.ir")), ids=lambda p: p.stem)
@pytest.mark.parametrize("target", ("cuda:sm_80", "hip:gfx942"))
def test_counterexamples(target: str, path: Path) -> None:
    agree(target, counterexample(path))


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
@LONG
@given(kernels(**EXACT))
def test_many_random_kernels_agree(target: str, case: Case) -> None:
    agree(target, case)
