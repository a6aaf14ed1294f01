"""Shared memory (LDS) of AMD GPUs: what an instruction waits for, and what the fragments of MFMA read."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from dslc.ir import Kernel, Op, Value
from dslc.types import DTYPES

from ..common.gpu.layouts import BankModel, Pattern, SharedAccess, addresses, plain_fragments, warp_starts
from ..common.gpu.layouts import shared_accesses as _shared_accesses
from ..common.gpu.products import Grid, extents
from ..common.gpu.spread import Spread
from ..common.gpu.tiles import is_shared
from .limits import LANES
from .lower import factors, per_lane, whole
from .machine_code import PHASES, conflicts


def banks(architecture: str) -> int:
    """Banks of 4 bytes that reads of 16 bytes a lane go to."""
    return PHASES[architecture]["ds_read_b128"][0]


def bank_model(architecture: str) -> BankModel:
    """By the chip's phases of each width; up to 4 bytes count as 4."""
    def cycles(writes: bool, lane_addresses: Sequence[int | None], width: int) -> tuple[int, int]:
        return conflicts(architecture, f"ds_{'write' if writes else 'read'}_b{max(32, 8 * width)}", lane_addresses)

    return cycles


def shared_accesses(kernel: Kernel) -> list[SharedAccess]:
    """Every access of shared places in a kernel lowered for HIP."""
    architecture = kernel.attr("architecture")
    return _shared_accesses(kernel, bank_model(architecture), lambda op: fragments(op, architecture))


def fragments(op: Op, architecture: str) -> Iterator[Pattern]:
    """What a dot's waves read of its operands (tile_hip_products.h)."""
    lanes, types = LANES[architecture], factors(op, architecture)
    if op.attr("way") == "fma":
        yield from plain_fragments(op, lanes)
    if op.attr("way") != "mfma" or types is None:
        return
    (m, n, k), grid, lane = extents(op), Grid(*op.attr("grid")), np.arange(lanes)
    each = per_lane(types, k, architecture)
    even = whole(op, each, DTYPES[types[0]].bits)
    for side, (v, tiles, limit) in enumerate(zip(op.args, (grid.high, grid.wide), (m, n), strict=False)):
        assert isinstance(v, Value)
        if not is_shared(v):
            continue
        vector = even and v.tile.strides[1 - side] == 1 and DTYPES[types[side]].bytes == v.tile.dtype.bytes
        rows = []
        for start in warp_starts(Spread.parse(op.attr("over")), side, lanes):
            for depth in range(0, k, 4 * each):
                for line in (start + t * 16 + lane % 16 for t in range(tiles)):
                    for e in range(1 if vector else each):
                        inner = depth + lane // 16 * each + e
                        inside, at = (line < limit) & (inner < k), (np.minimum(line, limit - 1), np.minimum(inner, k - 1))
                        rows.append(np.where(inside, addresses(v.tile, at[::-1] if side else at), -1))
        kept = np.array(rows)
        yield Pattern(v, False, v.tile.dtype.bytes * (each if vector else 1), kept[(kept >= 0).any(axis=1)])
