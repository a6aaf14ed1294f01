"""Shared memory (LDS) of AMD GPUs: what an instruction waits for, and what the fragments of MFMA read."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from dslc.ir import Kernel, Op, Value
from dslc.types import DTYPES

from ..common.gpu.layouts import BankModel, Pattern, SharedAccess, addresses, by_banks, indices, plain_fragments, warp_starts, warps
from ..common.gpu.layouts import shared_accesses as _shared_accesses
from ..common.gpu.products import Grid, extents
from ..common.gpu.spread import Spread
from ..common.gpu.tiles import is_shared
from .copies import copy_of
from .limits import LANES, TRANSPOSING_READ
from .lower import factors, reading, whole
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
    model = bank_model(architecture)
    found = _shared_accesses(kernel, model, lambda op: fragments(op, architecture))
    return [_transposing(a, kernel, model) for a in found]


def _transposing(found: SharedAccess, kernel: Kernel, model: BankModel) -> SharedAccess:
    """The same, but for a load that is transposed on the way: it writes pieces of columns (keep_turned)."""
    way = copy_of(found.op, kernel.attr("architecture"), kernel.attr("workers"))
    if way is None or way.high == 1:
        return found
    tile, at = found.place.tile, indices(Spread.parse(found.op.attr("over")))
    pieces = addresses(tile, at).reshape(-1, way.high, way.run, kernel.attr("workers"))[:, 0].reshape(-1, kernel.attr("workers"))
    pattern = Pattern(found.place, True, way.high * tile.dtype.bytes, warps(pieces, kernel.attr("lanes")))
    assert pattern.addresses is not None
    ideal, actual = by_banks(pattern, model)
    return replace(found, bytes=pattern.bytes, instructions=len(pattern.addresses), ideal=ideal, actual=actual)


def fragments(op: Op, architecture: str) -> Iterator[Pattern]:
    """What a dot's waves read of its operands (tile_hip_products.h)."""
    lanes, types = LANES[architecture], factors(op, architecture)
    if op.attr("way") == "fma":
        yield from plain_fragments(op, lanes)
    if op.attr("way") != "mfma" or types is None:
        return
    (m, n, k), grid, lane = extents(op), Grid(*op.attr("grid")), np.arange(lanes)
    left = op.args[0]
    assert isinstance(left, Value)
    each, run = reading(op, architecture, not is_shared(left))
    held, bits = max(each, run), DTYPES[types[0]].bits
    even = whole(op, held, bits, run)
    for side, (v, tiles, limit) in enumerate(zip(op.args, (grid.high, grid.wide), (m, n), strict=False)):
        assert isinstance(v, Value)
        if not is_shared(v):
            continue
        same = even and DTYPES[types[side]].bytes == v.tile.dtype.bytes
        vector = same and v.tile.strides[1 - side] == 1
        turned = same and not vector and run == 4 and v.tile.strides[side] == 1 and architecture in TRANSPOSING_READ
        rows = []
        for start in warp_starts(Spread.parse(op.attr("over")), side, lanes):
            for depth in range(0, k, 4 * run):
                for t in range(tiles):
                    if turned:                               # 16 lanes read 4 rows of K, 16 columns of each
                        rows.append(_at(v, side, start + t * 16 + lane % 4 * 4, depth + lane // 16 * 4 + lane // 4 % 4, limit, k))
                        continue
                    for e in range(1 if vector else run):
                        rows.append(_at(v, side, start + t * 16 + lane % 16, depth + lane // 16 * run + e, limit, k))
        kept = np.array(rows)
        yield Pattern(v, False, v.tile.dtype.bytes * (run if vector or turned else 1), kept[(kept >= 0).any(axis=1)])


def _at(v: Value, side: int, line: Any, inner: Any, limit: int, depth: int) -> Any:
    """Addresses of an operand's elements, -1 outside; its lines run along M or N, `inner` along K."""
    at = (np.minimum(line, limit - 1), np.minimum(inner, depth - 1))
    return np.where((line < limit) & (inner < depth), addresses(v.tile, at[::-1] if side else at), -1)
