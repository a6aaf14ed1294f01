"""What the compilers made of gemm and attention on the GPU targets, as the tables of docs/status.md.  Static: nothing is run, no time is measured.

    python bench/machine_code.py > docs/status.md
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from dslc import const, tile, tile_kernel
from dslc.backend import backend_of
from dslc.backends.cuda import machine_code as nvidia
from dslc.backends.cuda.toolchain import find_nvcc
from dslc.backends.cuda.toolchain import version as nvcc_version
from dslc.backends.hip import machine_code as amd
from dslc.backends.hip.toolchain import find_compiler
from dslc.backends.hip.toolchain import version as hip_version
from dslc.kernels.attention import attention
from dslc.kernels.gemm import gemm
from dslc.runtime import lowering

BF16 = ml_dtypes.bfloat16


@tile_kernel
def gemm_nt(a: "T[M, K]", b: "T[N, K]", c: "U[M, N]", *, BM: const = 256, BN: const = 256, BK: const = 64):
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((j * BN, BN), (k, BK))).T, acc)
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


def cases() -> Iterator[tuple[str, Any, tuple[Any, ...], dict[str, Any]]]:
    """(what, kernel, arrays, constants)."""
    square = np.zeros((1024, 1024), BF16)
    for size in ((256, 256, 64), (128, 128, 64)):
        yield f"gemm NT bf16 {'x'.join(map(str, size))}", gemm_nt, (square, square, square.copy()), dict(zip(("BM", "BN", "BK"), size, strict=True))
    yield "gemm NN bf16 128x128x64", gemm, (square, square, square.copy()), {"BM": 128, "BN": 128, "BK": 64}
    for head in (64, 128):
        for causal in (False, True):
            q = np.zeros((1, 1024, 8, head), BF16)
            yield (f"attention bf16 d{head}{' causal' if causal else ''}", attention,
                   (q, q, q, q.copy(), np.zeros((1, 8, 1024), np.float32), 0.125), {"causal": causal})


def build(kernel: Any, target: str, arrays: tuple[Any, ...], consts: dict[str, Any]) -> tuple[Path, Any]:
    """The build that a call gets whose dimensions are multiples of the tiles, and its lowered form."""
    steered = kernel.steer(target, arrays, consts)
    _, value = lowering.specialised(kernel.definition, steered.spec, lambda _name, _divisor: True)
    lowered, backend = kernel._lowered(value, steered), backend_of(target)
    return lowering.compile_entry(backend, lowered, lowering.render(backend, lowered), value).path, lowered


def hip_rows(architecture: str) -> Iterator[str]:
    for what, kernel, arrays, consts in cases():
        folder, _ = build(kernel, f"hip:{architecture}", arrays, consts)
        (found,) = amd.read((folder / f"{kernel.__name__}.s").read_text())
        loop = found.loop
        spills = found.vgpr_spills + found.sgpr_spills
        if loop is None:
            yield f"| {what} | {architecture} | {found.vgprs} | {spills} | | | | |"
            continue
        yield (f"| {what} | {architecture} | {found.vgprs} | {spills} | {loop.mfma / loop.instructions:.2f} | {loop.valu / loop.mfma:.2f} | "
               f"{loop.lds_reads / loop.mfma:.2f} | {loop.barriers} |")


def cuda_rows(architecture: str) -> Iterator[str]:
    for what, kernel, arrays, consts in cases():
        if consts.get("BM") == 256:
            continue
        folder, lowered = build(kernel, f"cuda:{architecture}", arrays, consts)
        (found,) = nvidia.machine_code(folder, kernel.__name__, lowered.attr("threads") or lowered.attr("workers"), lowered.attr("shared"))
        loop = found.loops[-1]
        mix = ", ".join(f"{n} {kind}" for kind, n in loop.kinds.items() if n and kind != "other")
        used = found.resources
        yield f"| {what} | {architecture} | {used.registers} | {used.spill_stores + used.spill_loads} | {found.shared} | {loop.source}: {mix} |"


TEXT = """# What the compilers made of the GPU targets' source

Static figures: read from compiled code by `python bench/machine_code.py`, which wrote this page; nothing here was run on a GPU, and nothing
here is a time. The kernels are built as for calls whose dimensions are multiples of the tiles. The results of the same sources are checked
under the emulator ([emulator.md](emulator.md)).

## AMD: {hip}

Main loop: the innermost loop with the most MFMA instructions. VALU: vector arithmetic and moves that are no MFMA.

| kernel | | VGPR | spills | MFMA share | VALU/MFMA | LDS reads/MFMA | barriers |
|---|---|---|---|---|---|---|---|
{hip_table}

Published kernels read the same way, for comparison (clang 22 builds, 2026):

| kernel | | VGPR | spills | MFMA share | VALU/MFMA | LDS reads/MFMA |
|---|---|---|---|---|---|---|
| HipKittens GEMM NT bf16 256x256x64, 8 waves | gfx942 | 254 | 0 | 0.51 | 0.00 | 0.38 |
| HipKittens GEMM NT bf16 256x256x64, 8 waves | gfx950 | 236 | 0 | 0.42 | 0.00 | 0.38 |
| Triton 3.9 GEMM bf16 256x256x64 | gfx942 | 252 | 0 | 0.44 | 0.19 | 0.38 |
| Triton 3.9 GEMM bf16 256x256x64 | gfx950 | 256 | 143 | 0.12 | 4.16 | 0.75 |
| HipKittens attention bf16 d128 | gfx950 | 236 | 0 | 0.11 | 5.5 | 1.5 |
| HipKittens attention bf16 d128 causal | gfx950 | 232 | 0 | 0.09 | 6.6 | 1.5 |
| HipKittens attention bf16 d64 | gfx950 | 164 | 0 | 0.07 | 10.0 | 1.5 |

## NVIDIA: {cuda}

| kernel | | registers | bytes spilled | shared bytes | main loop |
|---|---|---|---|---|---|
{cuda_table}
"""


def main() -> None:
    hip = "\n".join(row for architecture in ("gfx942", "gfx950") for row in hip_rows(architecture))
    cuda = "\n".join(row for architecture in ("sm_80", "sm_90a") for row in cuda_rows(architecture))
    print(TEXT.format(hip=hip_version(find_compiler()), cuda=nvcc_version(find_nvcc()), hip_table=hip, cuda_table=cuda), end="")


if __name__ == "__main__":
    main()
