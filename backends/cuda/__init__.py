"""CUDA C++ for NVIDIA GPUs, compiled by nvcc: mma.sync and cp.async from sm_80 on, tensor maps and wgmma on sm_90a."""
from __future__ import annotations

from functools import partial
from pathlib import Path

from dslc.backend import Backend, Toolchain
from dslc.ir import Kernel
from dslc.runtime.deferred import deferred
from dslc.types import DTYPES

from ..common.reserved import KEYWORDS, SCALARS, WORKERS

_describe, _lower, _frame, _toolchain, _machine_code, _banks, _emulation, _drawing = (
    deferred(f"dslc.backends.{name}") for name in ("cuda.describe", "cuda.lower", "cuda.frame", "cuda.toolchain", "cuda.machine_code", "cuda.banks",
                                                   "common.emulation", "common.gpu.drawing"))
HERE = Path(__file__).resolve().parent
COMMON = HERE.parent / "common"
HEADERS = (*(COMMON / f"tile_{part}.h" for part in ("types", "math", "bounds", "workers")),
           *sorted(HERE.glob("tile_cuda*.h")), HERE / "tile_products.h", HERE / "tile_wgmma_products.h")
ARCHITECTURES = ("sm_90a", "sm_80", "sm_89", "sm_120")
_SUB_BYTE = {"u1": "u8", "u2": "u8", "u4": "u8", "i4": "i8", "index": "index_t"}
# What generated names must not take besides: words of this target's headers and of their emulated forms.
_RESERVED = KEYWORDS | SCALARS | WORKERS | frozenset("""
async_fence atomic_replace barrier_arrive barrier_expect barrier_init barrier_init_fence barrier_wait BitsOf blockDim blockIdx blocks box_map
box_start CallLine copy_async copy_async_commit copy_async_wait cuda_emulator cuda_status dim3 EncodeTiled find_encode_tiled gathered gridDim
group_arrive group_sync hopper launched left_fragment load_matrix load_matrix_transposed matrix_descriptor MatrixType mma mma_f64 mma_product
mma_product_registers mma_tf32 multiprocessors programs refused registers_claim registers_release right_fragments Ring ring_at ring_barrier ring_drain
ring_fill ring_init ring_release ring_step ring_take shared_address Slabs stage_sum store_matrix tensor_commit tensor_load tensor_map tensor_prefetch
tensor_store tensor_wait tensor_wait_read TensorMap TensorMapType tf32_bits threadIdx turn Unqualified warpSize Wgmma wgmma wgmma_commit wgmma_fence
wgmma_finish wgmma_hold wgmma_product wgmma_product_registers wgmma_registers wgmma_wait Wide Word """.split())


def _pass(name: str, kernel: Kernel) -> Kernel:
    lowered: Kernel = getattr(_lower, name)(kernel)
    return lowered


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
    own_passes={name: partial(_pass, name) for name in ("alignment", "distribute", "pipeline", "arrange", "synchronise")},
    describe=lambda op, scope: _describe.describe(op, scope),
    control=lambda op, scope: _describe.control(op, scope),
    frame=lambda kernel, scope: _frame.frame(kernel, scope),
    toolchain=lambda architecture: _toolchain.NvccToolchain(architecture),
    here=lambda: _toolchain.architecture_here(),
    emulator=_emulator,
    devices=("cuda",),
    architectures=ARCHITECTURES,
    macro_files=("common_ops.j2", "gpu_ops.j2", "ops.j2"),
    reserved=_RESERVED,
    inspect=lambda folder, kernel, architecture: _machine_code.inspect(folder, kernel),
    draw=lambda kernel, tile: _drawing.draw(kernel, tile, _banks.BANKS),
    stream="void *stream",
)
