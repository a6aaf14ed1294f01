"""Every check of the specification on the Ascend target, emulated: with pipes that run late, early, in random order, and with each pipe in turn starved.

Nothing here runs on an NPU.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dslc
import pytest
from specification import check_names, checks, spec_modules

MODES = ("late", "early", "random:1")
STARVED = ("starve:V", "starve:MTE2", "starve:MTE3")
# What is not right yet, and why; every other check is run.
NOT_YET = {"attention.rotary": "a split by Gather reads padding", "butterfly.butterfly": "rows copied past the end of a tile",
           "butterfly.hadamard": "the same",
           "decode.decode_paged": "not emulated to the end", "decode.decode_pq": "three tiles of 64 KiB at once",
           "kmeans.update": "Compare of an unwritten half",
           "kmeans.iteration": "as update",
           "mistakes.mistakes": "a scatter element by element does not see two elements with one place",
           "quantised_gemm.w4a16": "a deadlock when last emulated", "quantised_gemm.w4ax": "not emulated to the end",
           "quantised_gemm.bgemm": "not emulated to the end",
           "stream.stream": "f64"}
# In a normal run; the others, and all of the modes, are long.
QUICK = ("rows.bias_dropout_add", "rows.softmax", "rows.add_rmsnorm", "scan.histogram", "scan.row_cumsum", "scan.compaction", "stream.strided",
         "gemm.gemm_split_k")
CUBE = ("attention.", "butterfly.", "decode.", "gemm.", "kmeans.", "moe.", "quantised_gemm.")


@pytest.fixture(scope="module")
def on() -> Iterator[dict[str, Any]]:
    """The specification's checks by name, on the target."""
    with pytest.MonkeyPatch.context() as patch, spec_modules(dslc.TileKernel) as modules:
        patch.setenv("DSLC_TARGET", "ascend:910b")
        yield dict(checks(modules))


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long)
                                  for n in check_names() if n not in NOT_YET and not n.startswith(CUBE)])
def test_vector_kernels(name: str, on: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in (*MODES, *STARVED):
        monkeypatch.setenv("DSLC_EMULATE", mode)
        on[name]()


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long)
                                  for n in check_names() if n not in NOT_YET and n.startswith(CUBE)])
def test_kernels_of_both_units(name: str, on: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in MODES:
        monkeypatch.setenv("DSLC_EMULATE", mode)
        on[name]()
