"""Random kernels drawn from the op table: the eager specification, the interpreter in both forms, and compiled C++ agree bit for bit."""
from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc.backend import backend_of
from dslc.interpret import interpret
from dslc.ir import Kernel, Value
from dslc.runtime import lowering
from dslc.runtime.abi import written
from dslc.text import parse, show
from dslc.types import TensorType
from eager import TILE_EAGER, run_eager
from hypothesis import HealthCheck, given, settings
from strategies import Case, content, kernels

CPU = backend_of("cpu")
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
LONG = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))


def run_compiled(kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int]) -> None:
    """Lower, render, compile and launch a value-form kernel on numpy arrays, by way of the cache but of no kernel object."""
    lowered = lowering.lower(kernel, CPU)
    entry = lowering.compile_entry(CPU, lowered, lowering.render(CPU, lowered), kernel)
    values: list[Any] = []
    for kind, name, _dtype, _count in entry.data["members"]:
        if kind == "pointer":
            values.append(arrays[name].ctypes.data)
        elif kind == "strides":
            values += [s // arrays[name].itemsize for s in arrays[name].strides]
        elif kind == "dim":
            values.append(dims[name])
        else:
            values.append(scalar_bits(arrays[name]))
    launch = CPU.toolchain.load(entry.path / entry.data["binary"], kernel.name)
    assert launch(struct.pack(entry.data["format"], *values)) == 0


def scalar_bits(value: Any) -> Any:
    """A scalar as the argument block takes it: narrow floats as their bits."""
    value = np.asarray(value)
    narrow = value.dtype.itemsize < 4 and value.dtype.kind not in "iub"
    return value.view(f"u{value.dtype.itemsize}").item() if narrow else value.item()


def agree(case: Case) -> None:
    text = show(case.kernel)
    assert show(parse(text)) == text
    want = case.fresh()
    interpret(case.kernel, want, case.dims)
    results = {"compiled": case.fresh(), "placed": case.fresh(), "reverse": case.fresh()}
    run_compiled(case.kernel, results["compiled"], case.dims)
    interpret(lowering.lower(case.kernel, CPU), results["placed"], case.dims, order="shuffle", seed=1)
    interpret(case.kernel, results["reverse"], case.dims, order="reverse")
    if TILE_EAGER is not None:
        results["eager"] = case.fresh()
        run_eager(case.kernel, results["eager"])
    for how, got in results.items():
        for name in case.outputs:
            a, b = (np.asarray(x[name]) for x in (got, want))
            assert np.array_equal(a, b) or np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True), f"{how} differs in {name}\n{text}"


@QUICK
@given(kernels(exact=True, without=("fma", "not")))
def test_random_kernels_agree(case: Case) -> None:
    agree(case)


@pytest.mark.long
@LONG
@given(kernels(exact=True, without=("fma", "not")))
def test_many_random_kernels_agree(case: Case) -> None:
    agree(case)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "counterexamples").glob("*.ir")), ids=lambda p: p.stem)
def test_counterexamples(path: Path) -> None:
    """Every disagreement that was ever found, on data drawn from a seed."""
    agree(counterexample(path))


def counterexample(path: Path) -> Case:
    """The kernel of a file, and data for it."""
    text = path.read_text()
    kernel = parse(text, path.name)
    found = re.search(r"// dims: *(.*)", text)
    dims = {n: int(v) for n, v in (part.split("=") for part in (found[1].split() if found else []))}
    rng = np.random.default_rng(0)
    arrays = {p.name: drawn(rng, p, dims) for p in kernel.params}
    outputs = [n for n in arrays if n in {v.name for v in written(kernel)}]
    return Case(kernel, arrays, dims, tuple(outputs))


def drawn(rng: Any, p: Value, dims: dict[str, int]) -> Any:
    """Random content for a parameter of the IR."""
    if not isinstance(p.type, TensorType):
        return content(rng, (), p.tile.dtype, 0)[()]
    shape = [int(evaluate_text(d, dims)) for d in p.type.dims]
    if p.type.packing:
        shape[p.type.packing.axis] //= p.type.fields
    return content(rng, tuple(shape), p.type.packing.word if p.type.packing else p.type.dtype, 0)


def evaluate_text(dim: str, dims: dict[str, int]) -> int:
    return int(dim) if dim.isdigit() else dims[dim]
