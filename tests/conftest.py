"""Options of the test run, and one build cache for all of it."""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from dslc.backends.ascend import emulation

_own_cache: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    """What one test compiled the next one finds; nothing is left behind unless DSLC_CACHE_DIR says where."""
    if not os.environ.get("DSLC_CACHE_DIR"):
        _own_cache.append(tempfile.mkdtemp(prefix="dslc-tests-"))
        os.environ["DSLC_CACHE_DIR"] = _own_cache[0]


def pytest_unconfigure(config: pytest.Config) -> None:
    for folder in _own_cache:
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("DSLC_CACHE_DIR", None)
    _own_cache.clear()


@pytest.fixture(scope="module")
def quickly_compiled() -> Iterator[None]:
    """For the CPU with -O1: half the time, and what optimisation may break is for the tests of the specification's kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSLC_CXX_FLAGS", "-O1")
        yield


@pytest.fixture(scope="module")
def quickly_emulated() -> Iterator[None]:
    """For Ascend's emulator not optimised, a quarter of the time to compile: for sources that run a few times."""
    chosen = emulation._for_emulation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulation, "_for_emulation", lambda compiler, level: chosen(compiler, "-O0" if level == "-O1" else level))
        yield
