"""AscendC for the cube and vector cores of architecture 2201 (910B, 910C): basic API, explicit synchronisation, compiled by bisheng."""
from __future__ import annotations

from functools import partial
from pathlib import Path

from dslc.backend import Backend, Toolchain
from dslc.ir import Kernel
from dslc.runtime.deferred import deferred
from dslc.types import DTYPES

from ..common.reserved import KEYWORDS, SCALARS
from .reserved import RESERVED

_describe, _lower, _frame, _toolchain, _emulation, _cost, _timeline = (
    deferred(f"dslc.backends.ascend.{name}") for name in ("describe", "lower", "frame", "toolchain", "emulation", "cost", "timeline"))
HERE = Path(__file__).resolve().parent
COMMON = HERE.parent / "common"
HEADERS = (*(COMMON / f"tile_{part}.h" for part in ("types", "math", "bounds")), *sorted(HERE.glob("tile_ascend*.h")))
# Of emulation: when a pipe's instructions happen.
MODES = r"late|early|random(:\d+)?|starve:(V|M|MTE1|MTE2|MTE3|FIX|AIC|AIV)"
_SUB_BYTE = {"u1": "u8", "u2": "u8", "u4": "u8", "i4": "i8", "index": "index_t"}


def _pass(name: str, kernel: Kernel) -> Kernel:
    lowered: Kernel = getattr(_lower, name)(kernel)
    return lowered


def _emulator(architecture: str) -> Toolchain:
    emulator: Toolchain = _emulation.Emulator(architecture)
    return emulator


BACKEND = Backend(
    name="ascend",
    folder=HERE,
    files={"{name}.cpp": "kernel.cpp.j2", "{name}.h": "kernel.h.j2"},
    header_files=HEADERS,
    types={name: _SUB_BYTE.get(name, name) for name in DTYPES},
    passes=("fold", "simplify", "cse", "dce", "lift_arg_reductions", "fold", "hoist", "dce", "peel", "fold", "simplify", "cse", "dce", "intervals",
            "fold", "simplify", "dce", "compare_offsets", "hoist", "cse", "dce", "legalise", "split", "places", "settle", "arrange"),
    own_passes={name: partial(_pass, name) for name in ("compare_offsets", "legalise", "split", "settle", "arrange")},
    describe=lambda op, scope: _describe.describe(op, scope),
    frame=lambda kernel, scope: _frame.frame(kernel, scope),
    toolchain=lambda architecture: _toolchain.AscendToolchain(architecture),
    emulator=_emulator,
    devices=("npu",),
    architectures=("910b",),
    macro_files=("common_ops.j2", "ops.j2", "ops_vector.j2", "ops_cube.j2"),
    reserved=KEYWORDS | SCALARS | RESERVED,
    modes=MODES,
    cost=lambda kernel, dims, scalars, architecture: _cost.cost(kernel, dims, scalars, architecture),
    trace=lambda trace, suffix: _timeline.draw(trace, suffix),
    stream="void *stream",
)
