"""Odd and random kernels on the Ascend target, emulated with pipes that run late, early and in random order, agree with the specification and the interpreter.

Nothing here runs on an NPU.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from dslc.backends.ascend import emulation
from dslc.errors import DslError
from dslc.interpret import interpret
from dslc.text import show
from hypothesis import HealthCheck, given, settings
from strategies import Case, kernels
from test_odd_kernels import NAMES, assert_same, expected, ours
from test_properties import counterexample
from test_properties_gpu import EXACT, run_emulated

if not any(row["found"] for row in emulation.Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

MODES = ("late", "early", "random:1")
LACKS = r"the vector unit has no f64|its memory adds and compares i32 and f32"
# Launches of odd kernels that need what the chip lacks.
REFUSED = {"to_narrow": (1,), "to_integers": (1,), "between_integers": (0, 1, 2, 3, 4, 5, 6, 7), "wide_bits": (0,), "float_arithmetic": (0, 1, 2, 3, 4, 5),
           "chained_dots": (0,), "reductions": (1,), "sums": (1,), "atomics": (1, 2)}
SAMPLE = ("swapped", "edges", "scatters", "integer_dots")
QUICK = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
LONG = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
FIXTURES = (expected, ours)                                 # of test_odd_kernels, used by name

pytestmark = pytest.mark.usefixtures("quickly_emulated")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.long) for n in NAMES])
def test_odd_kernel(name: str, ours: ModuleType, expected: Callable[[str], list[Any]]) -> None:
    for n, (launch, reference) in enumerate(zip(ours.CASES[name](), expected(name), strict=True)):
        for mode in MODES if n == 0 else MODES[:1]:
            args = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in launch.args.items()}
            if n in REFUSED.get(name, ()):
                with pytest.raises(DslError, match=LACKS):
                    launch.kernel.emulate(**args, target="ascend:910b", mode=mode)
                continue
            launch.kernel.emulate(**args, target="ascend:910b", mode=mode)
            for k, v in args.items():
                if isinstance(v, np.ndarray):
                    assert_same(v, reference.args[k], f"launch {n} of {name}, {mode}, {k}", launch.bounds.get(k), k in launch.signless)


def agree(case: Case) -> None:
    want = case.fresh()
    interpret(case.kernel, want, case.dims)
    for mode in MODES:
        got = case.fresh()
        try:
            run_emulated("ascend:910b", case.kernel, got, case.dims, mode)
        except DslError as e:
            if re.search(LACKS, str(e)):
                return
            raise AssertionError(f"{mode}: {e}\n{show(case.kernel)}") from None
        for name in case.outputs:
            a, b = np.asarray(got[name]), np.asarray(want[name])
            same = np.array_equal(a, b) or np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True)
            assert same, f"{mode}: differs in {name}\n{show(case.kernel)}"


@QUICK
@given(kernels(**EXACT))
def test_random_kernels_agree(case: Case) -> None:
    agree(case)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "counterexamples").glob("*.ir")), ids=lambda p: p.stem)
def test_counterexamples(path: Path) -> None:
    agree(counterexample(path))


@pytest.mark.long
@LONG
@given(kernels(**EXACT))
def test_many_random_kernels_agree(case: Case) -> None:
    agree(case)
