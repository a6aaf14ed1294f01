"""Every check of the specification, word for word, with dslc in the place of the eager module: compiled, and in the interpreter.

A launch of an interpreting mode goes through TileKernel.interpret, so binding is checked the same way.
"""
from __future__ import annotations

import filecmp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dslc
import pytest
from dslc.backends.common.toolchain import Compiler, all_compilers
from specification import COPY, check_names, checks, spec_modules

SHARED = Path(__file__).resolve().parents[2] / "shared"
ORDERS = ("forward", "reverse", "shuffle")
# In the interpreter each check is run in one order in each form; both forms and neighbouring checks together cover all three.
MODES = ["compiled", *(f"compiled by {c.name}" for c in all_compilers()[1:]), "value form", "placed form"]


class Interpreted(dslc.TileKernel):
    """A kernel that interprets where it is called."""

    placed = False
    order = "forward"

    def __call__(self, *args: Any, target: str | None = None, **named: Any) -> None:
        self.interpret(*args, placed=Interpreted.placed, order=Interpreted.order, seed=3, **named)


def other(name: str) -> Compiler:
    return next(c for c in all_compilers() if c.name == name)


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """A mode, and the specification's checks in it by name."""
    kernel = Interpreted if request.param.endswith("form") else dslc.tile_kernel
    with pytest.MonkeyPatch.context() as patch, spec_modules(kernel) as modules:
        if request.param.startswith("compiled by "):
            patch.setenv("DSLC_CXX", " ".join(other(request.param.removeprefix("compiled by ")).command))
        yield request.param, dict(checks(modules))


@pytest.mark.parametrize("number", range(len(check_names())), ids=check_names())
def test_check(number: int, mode: tuple[str, dict[str, Any]]) -> None:
    how, by_name = mode
    if how == "placed form" and check_names()[number] == "mistakes.mistakes":
        pytest.skip("races are told from the value form: what is read for nothing is gone from the placed form")
    Interpreted.placed, Interpreted.order = how == "placed form", ORDERS[(number + (how == "placed form")) % 3]
    by_name[check_names()[number]]()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the specification that tests/spec copies is not beside this repository")
def test_the_copy_is_the_specification() -> None:
    originals = {path.name: path for folder in ("spec", "spec/kernels", "oracles") for path in (SHARED / folder).glob("*.py")}
    for path in COPY.rglob("*.py"):
        assert filecmp.cmp(path, originals[path.name], shallow=False), f"{path} differs from {originals[path.name]}"
    assert {p.stem for p in (SHARED / "spec" / "kernels").glob("*.py")} == {p.stem for p in (COPY / "kernels").glob("*.py")}
