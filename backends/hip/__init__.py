"""HIP C++ for AMD GPUs, compiled by clang without ROCm: matrix cores and LDS on gfx90a, gfx942 and gfx950, the portable path on gfx1100."""
from __future__ import annotations

from functools import partial
from pathlib import Path

from dslc.backend import Backend, Toolchain
from dslc.ir import Kernel
from dslc.runtime.deferred import deferred
from dslc.types import DTYPES

from ..common.reserved import KEYWORDS, SCALARS, WORKERS

_describe, _lower, _frame, _toolchain, _banks, _machine_code, _emulation, _drawing, _choices = (
    deferred(f"dslc.backends.{name}") for name in ("hip.describe", "hip.lower", "hip.frame", "hip.toolchain", "hip.banks",
                                                   "hip.machine_code", "common.emulation", "common.gpu.drawing", "common.gpu.choices"))
HERE = Path(__file__).resolve().parent
COMMON = HERE.parent / "common"
HEADERS = (*(COMMON / f"tile_{part}.h" for part in ("types", "math", "bounds", "workers")), *sorted(HERE.glob("tile_hip*.h")))
ARCHITECTURES = ("gfx942", "gfx950", "gfx90a", "gfx1100")
_SUB_BYTE = {"u1": "u8", "u2": "u8", "u4": "u8", "i4": "i8", "index": "index_t"}
# What generated names must not take besides: words of this target's headers and of their emulated forms.
_RESERVED = KEYWORDS | SCALARS | WORKERS | frozenset("""
{name}_programs_loaded Adder base_in_shared brain_x8 Buffer buffer_load can_copy copies_family copies_kind copy_to_shared CopyEffect CopyLane exp2_of_half
copy_tile edge_run fetch fragments Half half_sync half_x4 half_x8 hip_library hip_no_library hip_no_status hip_no_such_device hip_too_many_blocks
HipLibrary int_x4 issue_copy keep keep_turned mfma_product_registers nearby part_inside Spot trips wide_buffer Window
launch_kernel lds_phases LdsPhases load_transposed loaded_function Low make_buffer meet Meeting MeetingWait Mfma mfma_16x16 mfma_32x32 mfma_operand
mfma_product mfma_row MfmaLane move_in_row order_fence part_of priority resource_of short_x4 shuffle_word shuffle_xor_word step_sync TransposedLane uniform
UniformLane wait_copies waves_of_simd Words """.split())


def _pass(name: str, kernel: Kernel) -> Kernel:
    lowered: Kernel = getattr(_lower, name)(kernel)
    return lowered


def _emulator(architecture: str) -> Toolchain:
    emulator: Toolchain = _emulation.Emulator("hip", architecture)
    return emulator


BACKEND = Backend(
    name="hip",
    folder=HERE,
    files={"{name}.hip": "kernel.hip.j2", "{name}.h": "kernel.h.j2"},
    header_files=HEADERS,
    types={name: _SUB_BYTE.get(name, name) for name in DTYPES},
    passes=("fold", "simplify", "cse", "dce", "lift_arg_reductions", "fold", "hoist", "dce", "fuse", "peel", "fold", "simplify", "cse", "dce", "intervals",
            "fold", "simplify", "dce", "alignment", "places", "distribute", "pipeline", "arrange", "synchronise"),
    own_passes={name: partial(_pass, name) for name in ("alignment", "distribute", "pipeline", "arrange", "synchronise")},
    describe=lambda op, scope: _describe.describe(op, scope),
    control=lambda op, scope: _describe.control(op, scope),
    frame=lambda kernel, scope: _frame.frame(kernel, scope),
    toolchain=lambda architecture: _toolchain.HipToolchain(architecture),
    inspect=lambda folder, kernel, architecture: "\n".join([*_choices.chosen(kernel), _machine_code.inspect(folder, kernel.name)]),
    here=lambda: _toolchain.architecture_here(),
    emulator=_emulator,
    devices=("hip", "rocm"),
    architectures=ARCHITECTURES,
    macro_files=("common_ops.j2", "gpu_ops.j2", "ops.j2"),
    reserved=_RESERVED,
    draw=lambda kernel, tile: _drawing.draw(kernel, tile, _banks.banks(kernel.attr("architecture"))),
    stream="void *stream",
)
