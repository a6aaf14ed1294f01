"""CUDA C++ for NVIDIA GPUs, compiled by nvcc: mma.sync and cp.async from sm_80 on, tensor maps and wgmma on sm_90a."""
from __future__ import annotations

from pathlib import Path

from dslc.backend import Backend, Toolchain
from dslc.runtime.deferred import deferred
from dslc.types import DTYPES

from ..common.arguments import KEYWORDS

_describe, _lower, _frame, _toolchain, _emulation, _choices = (
    deferred(f"dslc.backends.{name}") for name in ("cuda.describe", "cuda.lower", "cuda.frame", "cuda.toolchain", "common.emulation", "common.gpu.choices"))
HERE = Path(__file__).resolve().parent
COMMON = HERE.parent / "common"
HEADERS = (*(COMMON / f"tile_{part}.h" for part in ("types", "math", "bounds", "workers")),
           *sorted(HERE.glob("tile_cuda*.h")), HERE / "tile_products.h")
ARCHITECTURES = ("sm_90a", "sm_80", "sm_89", "sm_120")
_SUB_BYTE = {"u1": "u8", "u2": "u8", "u4": "u8", "i4": "i8", "index": "index_t"}
# What generated names must not take: words of the headers and skeletons.
_RESERVED = KEYWORDS | frozenset("""
e e0 e1 e2 e3 e4 e5 e6 e7 e8 e9 e10 e11 arguments launched packed program worker stream status started lanes launch fail main
i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64 f8e4m3 f8e5m2 index_t tf32 Shared Global Vector Run At Sum Greatest Least GreatestAt LeastAt Operand
shared_at global load_vector store_vector load_run store_run fill_run drain_run run_inside across_lanes across_warps swizzle part within least most
spans get_field put_field whole_words select cast cast_saturate widen minimum maximum absolute negate fma_ field popcount bitcast floor_div floor_mod
shift_left shift_right to_int to_int_range int_saturate i4_from_bits random_bits atomic_add atomic_min atomic_max block_sync wave_sync shuffle
shuffle_xor mma pack2 unpack threadIdx blockIdx blockDim gridDim warpSize abs div rand random signal time clock index
""".split())


def _emulator(architecture: str) -> Toolchain:
    emulator: Toolchain = _emulation.Emulator("cuda", architecture)
    return emulator


BACKEND = Backend(
    name="cuda",
    folder=HERE,
    files={"{name}.cu": "kernel.cu.j2", "{name}.h": "kernel.h.j2"},
    header_files=HEADERS,
    types={name: _SUB_BYTE.get(name, name) for name in DTYPES},
    passes=("fold", "simplify", "cse", "dce", "lift_arg_reductions", "fold", "hoist", "dce", "fuse", "peel", "fold", "simplify", "cse", "dce", "intervals",
            "fold", "simplify", "dce", "alignment", "places", "distribute", "pipeline", "arrange", "synchronise"),
    own_passes={name: (lambda kernel, name=name: getattr(_lower, name)(kernel)) for name in ("alignment", "distribute", "pipeline", "arrange", "synchronise")},
    describe=lambda op, scope: _describe.describe(op, scope),
    control=lambda op, scope: _describe.control(op, scope),
    frame=lambda kernel, scope: _frame.frame(kernel, scope),
    toolchain=lambda architecture: _toolchain.NvccToolchain(architecture),
    emulator=_emulator,
    devices=("cuda",),
    architectures=ARCHITECTURES,
    macro_files=("common_ops.j2", "gpu_ops.j2", "ops.j2"),
    reserved=_RESERVED,
    stream="void *stream",
)
