"""Each pass: golden files, and on the kernels of the specification and on random ones it leaves valid IR, is idempotent, and keeps every bit."""
from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc.interpret import interpret
from dslc.ir import Kernel, walk
from dslc.passes import Pass
from dslc.text import parse, show
from dslc.types import INDEX
from dslc.verify import verify
from hypothesis import HealthCheck, given, settings
from specification import Launcher, spec_modules
from strategies import Case, kernels

NAMES = ("fold", "simplify", "cse", "dce", "hoist", "fuse", "intervals", "peel", "lift_arg_reductions")
PASSES: dict[str, Pass] = {name: getattr(import_module(f"dslc.passes.{name}"), name) for name in NAMES}
TOGETHER = ("fold", "simplify", "cse", "dce", "lift_arg_reductions", "fold", "hoist", "dce", "fuse", "peel", "fold", "simplify", "cse", "dce", "intervals",
            "fold", "simplify", "dce")
GOLDEN = sorted((Path(__file__).parent / "passes").glob("*.ir"))
AFTER = "// ---- after\n"


def applied(kernel: Kernel, name: str) -> Kernel:
    """The kernel after one pass, found valid and unchanged by a second run."""
    new = PASSES[name](kernel)
    verify(new, after=name)
    assert show(PASSES[name](new)) == show(new), f"{name} is not idempotent"
    return new


def assert_same(got: Any, want: Any, what: str) -> None:
    """Equal values; any NaN equals any other, and +0 equals -0 only because minimum and maximum leave the sign open."""
    if not isinstance(want, np.ndarray):
        return
    wide = np.float64 if want.dtype.kind not in "biu" else want.dtype
    np.testing.assert_array_equal(got.astype(wide), want.astype(wide), err_msg=what)


def copied(arrays: dict[str, Any]) -> dict[str, Any]:
    return {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in arrays.items()}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    name = path.stem.rpartition("__")[0]
    before, _, after = path.read_text().partition(AFTER)
    assert before.startswith("// "), "the first line says why the file is here"
    text = show(applied(parse(before, path.name), name))
    if request.config.getoption("--update-golden"):
        path.write_text(before + AFTER + text)
    else:
        assert text == after


SPECIAL = np.array([0.0, -0.0, 1.0, 1.0, -2.5, 3.0, np.nan, np.inf, -np.inf, 1e-45], np.float32)


@pytest.mark.parametrize("path", [p for p in GOLDEN if "grid(1)" in p.read_text()], ids=lambda p: p.stem)
def test_golden_keeps_the_meaning(path: Path) -> None:
    """One program over rows with ties, NaN and infinities, of lengths around the steps and extents."""
    kernel = parse(path.read_text().partition(AFTER)[0], path.name)
    new, rng = applied(kernel, path.stem.rpartition("__")[0]), np.random.default_rng(0)
    for m in (m for m in (0, 1, 7, 8, 9, 16, 40, 77, 96) if all(m % n == 0 for _, n in kernel.facts)):
        for palette in (SPECIAL, SPECIAL[:6], SPECIAL[6:8]):
            x, y = rng.choice(palette, m), rng.choice(palette, m)
            want, got = ({"x": x.copy(), "y": y.copy(), "s": 0.75} for _ in range(2))
            interpret(kernel, want, {"M": m})
            interpret(new, got, {"M": m})
            assert_same(got["y"], want["y"], f"M = {m}")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(kernels())
def test_random(name: str, case: Case) -> None:
    want, got = case.fresh(), case.fresh()
    interpret(case.kernel, want, case.dims)
    interpret(applied(case.kernel, name), got, case.dims)
    for output in case.outputs:
        assert_same(got[output], want[output], output)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(kernels())
def test_random_through_all(case: Case) -> None:
    want, kernel = case.fresh(), case.kernel
    interpret(kernel, want, case.dims)
    for name in TOGETHER:
        kernel = applied(kernel, name)
        got = case.fresh()
        interpret(kernel, got, case.dims)
        for output in case.outputs:
            assert_same(got[output], want[output], f"{output} after {name}")


def together(kernel: Kernel) -> Kernel:
    """The kernel after all passes, each checked."""
    for name in TOGETHER:
        kernel = applied(kernel, name)
    return kernel


def specialised(kernel: Kernel, dims: dict[str, int]) -> Kernel:
    """The kernel after all passes, with those of the facts it wants that hold."""
    facts = tuple((d, n) for d, n in together(kernel).attr("wanted", ()) if dims[d] % n == 0)
    return together(replace(kernel, facts=facts))


def test_facts_remove_every_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """With dimensions that are multiples of the tiles, nothing is guarded in a product, and only rows past the diagonal in attention."""
    seen: dict[str, Kernel] = {}

    def run(kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int]) -> None:
        want = copied(arrays)
        seen[kernel.name] = specialised(kernel, dims)
        interpret(kernel, want, dims)
        interpret(seen[kernel.name], arrays, dims)
        for name in arrays:
            assert_same(arrays[name], want[name], f"{kernel.name}: {name}")

    def normal(*shape: int) -> Any:
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    monkeypatch.setattr(Launcher, "run", staticmethod(run))
    with spec_modules(Launcher) as modules:
        modules["gemm"].gemm(normal(2, 32, 48), normal(2, 48, 16), normal(2, 32, 16), BM=16, BN=16, BK=8)
        modules["gemm"].gemm_split(normal(32, 48), normal(48, 16), normal(3, 32, 16), BM=16, BN=16, BK=8)
        q, k = normal(1, 32, 2, 8), normal(1, 48, 2, 8)
        modules["attention"].attention(q, k, k, normal(1, 32, 2, 8), normal(1, 2, 32), 0.5, causal=True, BM=16, BN=8)
        modules["kmeans"].assign(normal(32, 16), normal(24, 16), normal(24), np.zeros(32, np.int32), normal(32), BN=16, BK=8, BD=8)
        modules["rows"].softmax(normal(8, 64), normal(8, 64), 1.0, BM=4, BN=16)
    for name in ("gemm", "gemm_split", "assign", "softmax"):
        for op in walk(seen[name].body):
            if op.name in ("load", "store"):
                assert len(op.attr("inside", ())) == op.args[0].tensor.rank, f"{name}: {show(seen[name])}"
    assert seen["attention"].attr("wanted") is None
    assert not any(v.tile.dtype is INDEX for op in walk(seen["attention"].body) if op.name == "map" for o in op.bodies[0].ops for v in o.results)


def test_spec_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every launch of every check, before and after all passes; lifted loops show on assign, peeled ones on attention."""
    built: dict[str, Kernel] = {}

    def run(kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int]) -> None:
        want, text = copied(arrays), show(kernel)
        if text not in built:
            built[text] = together(kernel)
        interpret(kernel, want, dims)
        interpret(built[text], arrays, dims)
        for name in arrays:
            assert_same(arrays[name], want[name], f"{kernel.name}: {name}")

    monkeypatch.setattr(Launcher, "run", staticmethod(run))
    with spec_modules(Launcher) as modules:
        for name, module in modules.items():
            for check in (c for c in vars(module) if c.startswith("check_") and name != "mistakes"):
                getattr(module, check)()
    texts = {kernel.name: show(kernel) for kernel in built.values()}
    assert 'peel="main"' in texts["attention"] and "slots" in texts["assign"] and "slots" in texts["assign_cosine"]
    assert "shape=(16, 16, 8)] : tile<i32, 16, 16>" in texts["bgemm"]
