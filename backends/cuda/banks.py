"""Shared memory of NVIDIA GPUs: which words an instruction waits for, and what the fragments of mma.sync read."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from dslc.ir import Kernel, Op, Value
from dslc.types import DTYPES

from ..common.gpu.layouts import Array, BankModel, Pattern, SharedAccess, addresses, plain_fragments, warp_starts
from ..common.gpu.layouts import shared_accesses as _shared_accesses
from ..common.gpu.products import Grid, extents
from ..common.gpu.spread import Spread
from ..common.gpu.tiles import is_shared
from .limits import LANES
from .lower import factors, whole

BANKS, WORD = 32, 4         # banks, and bytes of each (CUDA C++ Programming Guide, "Shared Memory" of compute capability 5.x and later)


def bank_model(architecture: str) -> BankModel:
    """The same for all: a wavefront is one word of each bank.  Lanes with 8 bytes go in halves of the warp, with 16 in quarters, as do the 8 rows of
    16 bytes of one matrix of ldmatrix (same guide; PTX ISA 9.0, ldmatrix); lanes that want the same word share it.
    """
    def cycles(writes: bool, lane_addresses: Sequence[int | None], width: int) -> tuple[int, int]:
        words = max(1, width // WORD)
        ideal = actual = 0
        for first in range(0, len(lane_addresses), LANES // words):
            wanted = {a // WORD + w for a in lane_addresses[first:first + LANES // words] if a is not None for w in range(words)}
            in_bank = [0] * BANKS
            for word in wanted:
                in_bank[word % BANKS] += 1
            ideal, actual = ideal + -(-len(wanted) // BANKS), actual + max(in_bank)
        return ideal, actual

    return cycles


def shared_accesses(kernel: Kernel) -> list[SharedAccess]:
    """Every access of shared places in a kernel lowered for CUDA."""
    architecture = kernel.attr("architecture")
    return _shared_accesses(kernel, bank_model(architecture), lambda op: fragments(op, architecture))


def fragments(op: Op, architecture: str) -> Iterator[Pattern]:
    """What a dot's warps read of its operands in shared memory (tile_products.h); nothing for ways that read by descriptor."""
    if op.attr("way") == "fma":
        yield from plain_fragments(op, LANES)
    types = factors(op, architecture)
    if op.attr("way") != "mma" or types is None:
        return
    left, right = op.args[:2]
    assert isinstance(left, Value) and isinstance(right, Value)
    read = _matrices if whole(op) else _gathered
    for v, side in ((left, 0), (right, 1)):
        if is_shared(v):
            yield read(v, side, op, DTYPES[types[side]].bytes)


def _matrices(v: Value, side: int, op: Op, _size: int) -> Pattern:
    """ldmatrix: of the left operand 16 x 16 at a time, of the right two groups of 8 columns, and one where their number is odd."""
    (_, _, k), grid, lane = extents(op), Grid(*op.attr("grid")), np.arange(LANES)
    dense = v.tile.strides[1 - side] == 1
    step, count = ((lane % 16, lane // 16 * 8), grid.high) if side == 0 else ((lane // 16 * 8 + lane % 8, lane // 8 % 2 * 8), -(-grid.wide // 2))
    if not dense:                                            # transposed: lanes name rows of K
        step = (lane // 8 % 2 * 8, lane // 16 * 8 + lane % 8) if side == 0 else (lane // 16 * 8, lane // 8 % 2 * 8 + lane % 8)
    rows = []
    for start in warp_starts(Spread.parse(op.attr("over")), side, LANES):
        for depth in range(0, k, 16):
            for i in range(count):
                at = _at(v, side, start + i * 16 + step[0], depth + step[1])
                odd = side == 1 and i == grid.wide // 2      # a last group alone: only half of the lanes name rows
                rows.append(np.where(lane < 16, at, -1) if odd else at)
    return Pattern(v, False, 16, np.array(rows))


def _gathered(v: Value, side: int, op: Op, size: int) -> Pattern:
    """Element by element, 4 / size to a register: lane / 4 is the row, lane % 4 the group of K."""
    (m, n, k), grid, lane = extents(op), Grid(*op.attr("grid")), np.arange(LANES)
    each, limit = 4 // size, (m, n)[side]
    tiles, rows_of_tile = (grid.high, (0, 8)) if side == 0 else (grid.wide, (0,))
    rows = []
    for start in warp_starts(Spread.parse(op.attr("over")), side, LANES):
        for depth in range(0, k, 8 * each):
            for first in (start + t * (16, 8)[side] + r for t in range(tiles) for r in rows_of_tile):
                for inner in (depth + half * 4 * each + e for half in (0, 1) for e in range(each)):
                    row, column = first + lane // 4, inner + lane % 4 * each
                    inside = (row < limit) & (column < k)
                    rows.append(np.where(inside, _at(v, side, np.minimum(row, limit - 1), np.minimum(column, k - 1)), -1))
    kept = np.array(rows)
    return Pattern(v, False, v.tile.dtype.bytes, kept[(kept >= 0).any(axis=1)])


def _at(v: Value, side: int, line: Array, depth: Array) -> Array:
    """Addresses by the index along M or N and the index along K."""
    return addresses(v.tile, (depth, line) if side else (line, depth))
