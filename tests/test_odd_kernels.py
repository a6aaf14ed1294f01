"""Odd uses of the language: the same source text run by the eager specification and by dslc, compiled and in both forms of the interpreter."""
from __future__ import annotations

import ast
import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import dslc
import numpy as np
import pytest
from specification import language, load_eager, stand_in

FILE = Path(__file__).resolve().parent / "kernels_odd.py"
NAMES = [node.name[5:] for node in ast.parse(FILE.read_text()).body if isinstance(node, ast.FunctionDef) and node.name.startswith("case_")]
MODES: dict[str, Callable[..., None]] = {
    "compiled": lambda kernel, args: kernel(**args),
    "value form": lambda kernel, args: kernel.interpret(**args, order="reverse"),
    "placed form": lambda kernel, args: kernel.interpret(**args, placed=True, order="shuffle", seed=5),
    **{f"emulated {target}": lambda kernel, args, target=target: kernel.emulate(**args, target=target) for target in ("cuda:sm_80", "hip:gfx942")}}


def load(module: ModuleType, name: str) -> ModuleType:
    """The kernels' file, with `module` as the language."""
    spec = importlib.util.spec_from_file_location(name, FILE)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    with language(module), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, found)
        spec.loader.exec_module(found)
    return found


def twos_complement(eager: ModuleType) -> Callable[[Any], Any]:
    """popcount as docs/decisions.md has it: numpy's bitwise_count counts the bits of the absolute value."""
    return lambda x: eager.Tile(np.bitwise_count(bits(x.a) & (2 ** x.dtype.bits - 1)), eager.I32)


@pytest.fixture(scope="module")
def ours() -> ModuleType:
    return load(stand_in(dslc.tile_kernel), "kernels_odd_by_dslc")


@pytest.fixture(scope="module")
def expected() -> Callable[[str], list[Any]]:
    """The arrays of each launch of a case after the specification ran it; each case once."""
    eager = load_eager()
    eager.tile.popcount = twos_complement(eager)
    module, known = load(eager, "kernels_odd_by_the_specification"), {}

    def run(name: str) -> list[Any]:
        if name not in known:
            known[name] = module.CASES[name]()
            eager.State.order = "forward"
            with np.errstate(all="ignore"):
                for launch in known[name]:
                    launch.kernel(**launch.args)
        return known[name]
    return run


def bits(a: Any) -> Any:
    return a.view(f"u{a.itemsize}") if a.dtype.kind != "b" else a


def assert_same(got: Any, want: Any, what: str, bound: float | None, signless: bool) -> None:
    """Within `bound`, else bit-equal: NaN of any payload is NaN, and with `signless` the zeros are one."""
    if bound is not None:
        worst = float(np.max(np.abs(got.astype(np.float64) - want.astype(np.float64)), initial=0.0))
        assert worst <= bound, f"{what}: off by {worst}, the bound is {bound}"
        assert not math.isnan(worst) and np.array_equal(np.isnan(got), np.isnan(want)), f"{what}: NaN where there should be none"
        return
    got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
    same = bits(got) == bits(want)
    if got.dtype.kind not in "biu":
        same |= np.isnan(got) & np.isnan(want)
        same |= (got == want) & signless
    assert same.all(), f"{what}: {(~same).sum()} of {same.size} differ, first at {np.argwhere(~same)[0]}: {got[~same][0]!r} and {want[~same][0]!r}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, mode: str, ours: ModuleType, expected: Callable[[str], list[Any]]) -> None:
    for n, (launch, reference) in enumerate(zip(ours.CASES[name](), expected(name), strict=True)):
        before = {k: v.copy() for k, v in launch.args.items() if isinstance(v, np.ndarray)}
        MODES[mode](launch.kernel, launch.args)
        for k in before:
            what = f"launch {n} of {name}, {k}"
            assert_same(launch.args[k], reference.args[k], what, launch.bounds.get(k), k in launch.signless)
