"""What the compilers made of gemm and attention on the GPU targets: matrix instructions and asynchronous copies, no spills, no local memory in main loops.

Static facts, read from the compiled code; nothing here runs on a GPU.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc.backend import backend_of
from dslc.backends.cuda import machine_code as ptx
from dslc.backends.cuda.toolchain import find_nvcc
from dslc.backends.hip import machine_code as gcn
from dslc.backends.hip.toolchain import find_compiler
from dslc.errors import DslError
from dslc.kernels.attention import attention
from dslc.kernels.gemm import gemm
from dslc.runtime import lowering

TYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}
CASES = [("gemm", t, 0, False) for t in TYPES] + [("attention", t, d, causal) for t in TYPES for d in (64, 128) for causal in (False, True)]
# A normal run takes gemm in both types and causal attention in bf16, the long one all.
CASES = [pytest.param(c, id=f"{c[0]}-{c[1]}{f'-{c[2]}' if c[2] else ''}{'-causal' if c[3] else ''}",
                      marks=[] if c[0] == "gemm" or (c[1], c[3]) == ("bf16", True) else [pytest.mark.long]) for c in CASES]


def build(target: str, kernel: str, dtype: str, head: int, causal: bool, whole: bool = True) -> tuple[Path, Any]:
    """The folder of the compiled kernel, and its lowered form: as for a call whose dimensions are multiples of the tiles, or for any other."""
    T = TYPES[dtype]
    if kernel == "gemm":
        chosen, args, consts = gemm, tuple(np.zeros((512, 512), T) for _ in range(3)), {}
    else:
        tensors = (np.zeros((1, 512, 4, head), T) for _ in range(4))
        chosen, args, consts = attention, (*tensors, np.zeros((1, 4, 512), np.float32), 0.125), {"causal": causal}
    steered = chosen.steer(target, args, consts)
    _, value = lowering.specialised(chosen.definition, steered.spec, lambda _name, _divisor: whole)
    lowered, backend = chosen._lowered(value, steered), backend_of(target)
    return lowering.compile_entry(backend, lowered, lowering.render(backend, lowered), value).path, lowered


def needs(find: Any) -> None:
    """Skip, with the reason, unless the compiler is there."""
    try:
        find()
    except DslError as e:
        pytest.skip(e.message)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a"])
def test_cuda(architecture: str, case: tuple[str, str, int, bool]) -> None:
    needs(find_nvcc)
    folder, kernel = build(f"cuda:{architecture}", *case, whole=False)
    (found,) = ptx.machine_code(folder, case[0], kernel.attr("workers"), kernel.attr("shared"))
    used = found.resources
    assert (used.spill_stores, used.spill_loads, used.stack, used.remarks) == (0, 0, 0, ())
    text = (folder / f"{case[0]}.ptx").read_text()
    wanted = {"sm_80": ("mma.sync", "cp.async.cg", "ldmatrix"), "sm_90a": ("wgmma.mma_async", "cp.async.bulk.tensor", "setmaxnreg")}[architecture]
    assert [w for w in wanted if w not in text] == []
    assert found.loops, "no main loop was found"
    for loop in found.loops:
        assert not loop.kinds.get("local memory", 0), f"local memory in the main loop: {loop}"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("architecture", ["gfx942", "gfx950"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "ragged"])
def test_hip(architecture: str, case: tuple[str, str, int, bool], whole: bool) -> None:
    needs(find_compiler)
    folder, _ = build(f"hip:{architecture}", *case, whole)
    (found,) = gcn.read((folder / f"{case[0]}.s").read_text())
    assert (found.vgpr_spills, found.scratch_bytes) == (0, 0)
    # Where tiles have edges, a few scalars of the address arithmetic go to lanes of vector registers, never to memory.
    assert found.sgpr_spills <= (0 if whole else 8)
    assert found.loop is not None and found.loop.mfma > 0 and found.loop.scratch == 0
    shape = {"gfx942": "16x16x16", "gfx950": "16x16x32"}[architecture]
    assert any(shape in name for name in found.names if "mfma" in name), sorted(n for n in found.names if "mfma" in n)
