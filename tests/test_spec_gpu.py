"""Every check of the specification on the GPU targets: emulated in every mode of asynchrony, and each kernel compiled by the target's own compiler.

Nothing here runs on a GPU.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dslc
import pytest
from dslc.backend import target_of
from dslc.backends.cuda.toolchain import find_nvcc
from dslc.backends.hip.toolchain import find_compiler
from dslc.errors import DslError
from dslc.runtime import lowering
from specification import check_names, checks, spec_modules

TARGETS = ("cuda:sm_80", "cuda:sm_90a", "hip:gfx942", "hip:gfx950")
MODES = ("late", "early", "random:1")
_seen: dict[str, dict[str, tuple[Any, Any, Any]]] = {}       # target -> source -> the kernel's name, its lowered form, what was rendered


class Recorded(dslc.TileKernel):
    """A kernel that keeps what it was called for."""

    target = ""

    def __call__(self, *args: Any, target: str | None = None, schedule: Any = None, **named: Any) -> None:
        origin, kernel = self.lower(self.steer(Recorded.target, args, named, schedule))
        rendered = lowering.render(target_of(Recorded.target).backend, kernel)
        _seen.setdefault(Recorded.target, {}).setdefault(next(iter(rendered.files.values())), (origin, kernel, rendered))
        super().__call__(*args, target=target, **named)


@pytest.fixture(scope="module", params=TARGETS)
def on(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """A target, and the specification's checks on it by name."""
    with pytest.MonkeyPatch.context() as patch, spec_modules(Recorded) as modules:
        patch.setenv("DSLC_TARGET", request.param)
        Recorded.target = request.param
        yield request.param, dict(checks(modules))


@pytest.mark.parametrize("number", range(len(check_names())), ids=check_names())
def test_emulated(number: int, on: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in MODES:
        monkeypatch.setenv("DSLC_EMULATE", mode)
        on[1][check_names()[number]]()


def _compiler_of(target: str) -> None:
    """Skip unless the target's compiler is there."""
    try:
        found = find_nvcc() if target.startswith("cuda") else find_compiler()
    except DslError as e:
        pytest.skip(f"no compiler for {target}: {e.message}")
    assert found is not None


def _record_all(on: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSLC_EMULATE", "early")
    for name in check_names():
        on[1][name]()


def _compile(target: str, sources: list[tuple[Any, Any, Any]]) -> list[str]:
    """What went wrong, kernel by kernel; a warning is wrong."""
    backend = target_of(target).backend

    def one(row: tuple[Any, Any, Any]) -> str:
        origin, kernel, rendered = row
        try:
            entry = lowering.compile_entry(backend, kernel, rendered, origin)
        except DslError as e:
            return f"{kernel.name}: {e}"
        told = [json.loads(path.read_text()) for path in entry.path.glob("*.resources.json")]       # of hip a warning is an error
        warnings = [w for report in told for w in report["warnings"]]
        return f"{kernel.name}: {warnings}" if warnings else ""

    with ThreadPoolExecutor(2) as pool:
        return [text for text in pool.map(one, sources) if text]


def test_compiled(on: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """One specialisation of every kernel, without a warning; the long run takes all of them."""
    _compiler_of(on[0])
    if len({k.name for _, k, _ in _seen.get(on[0], {}).values()}) < 30:
        _record_all(on, monkeypatch)
    first: dict[str, Any] = {}
    for row in _seen[on[0]].values():
        first.setdefault(row[1].name, row)
    assert len(first) > 30
    wrong = _compile(on[0], list(first.values()))
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
def test_compiled_all(on: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    _compiler_of(on[0])
    _record_all(on, monkeypatch)
    wrong = _compile(on[0], list(_seen[on[0]].values()))
    assert not wrong, "\n".join(wrong)
