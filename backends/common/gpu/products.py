"""Spreads and shared layouts of products, for every machine whose warps share a tile out as a grid."""
from __future__ import annotations

from dataclasses import dataclass

from dslc.ir import Op, Value
from dslc.types import Layout, Place, Space

from .spread import Spread, power_of_two, spread_of


@dataclass(frozen=True)
class Grid:
    """How the warps of a program share the tiles of a product: `down` x `across` warps, each with `high` x `wide` matrix tiles."""

    down: int
    across: int
    high: int
    wide: int


def extents(dot: Op) -> tuple[int, int, int]:
    """(M, N, K) of a dot."""
    m, n = dot.into[0].tile.shape
    left = dot.args[0]
    assert isinstance(left, Value)
    return m, n, left.tile.shape[1]


def grid_of(m_tiles: int, n_tiles: int, warps: int, rows_stay: bool) -> Grid:
    """Warps down first if rows must stay in one warp, else as square as the tiles allow; never more than divide the tiles."""
    down = across = 1
    while down * across < warps:
        more_down, more_across = m_tiles % (2 * down) == 0, n_tiles % (2 * across) == 0
        if more_down and (rows_stay or not more_across or m_tiles // down >= n_tiles // across):
            down *= 2
        elif more_across:
            across *= 2
        elif more_down:
            down *= 2
        else:
            break
    return Grid(down, across, -(-m_tiles // down), -(-n_tiles // across))


def plain_spread(m: int, n: int, workers: int) -> tuple[Spread, tuple[int, int, int, int]]:
    """Without a matrix unit: workers as a grid, each with `high` x `wide` elements at gaps; (high, wide, row gap, column gap)."""
    down, across = 1, 1
    while down * across < workers and (down < power_of_two(m) or across < power_of_two(n)):
        if across < power_of_two(n) and (across <= down or down >= power_of_two(m)):
            across *= 2
        else:
            down *= 2
    high, wide = -(-m // down), -(-n // across)
    spread = spread_of([[(high, "high"), (down, "down")], [(wide, "wide"), (across, "across")]], ["high", "wide"], workers, {"down": across, "across": 1})
    return spread, (high, wide, down, across)


def swizzled(v: Value, line: int = 128, chunk: int = 16) -> Place:
    """A row-major shared place whose rows, `chunk` bytes at a time, start in different banks: `line` bytes are all banks once.

    The xor form: chunks within a line are permuted by the number of the line that a row starts in (nvidia.md 5.1.3; amd.md 6).
    """
    row, size = v.tile.shape[-1] * v.tile.dtype.bytes, v.tile.dtype.bytes
    chunks = min(line, row) // chunk
    if chunks < 2 or row % chunk or chunks & (chunks - 1):
        return Place(Space.SHARED)
    bits, base = chunks.bit_length() - 1, (chunk // size).bit_length() - 1
    period = max(line, row if row & (row - 1) == 0 else line)
    return Place(Space.SHARED, Layout(None, (bits, base, (period // chunk).bit_length() - 1)))
