"""From the common placed form to CUDA's: which product is done how, where tiles live, when workers wait."""
from __future__ import annotations

from math import prod

from dslc.ir import Kernel, Op, Value
from dslc.types import DType

from ..common.gpu import alignment as _alignment
from ..common.gpu import choices
from ..common.gpu import pipeline as _pipeline
from ..common.gpu import synchronise as _synchronise
from ..common.gpu.access import can_copy
from ..common.gpu.distribute import Product
from ..common.gpu.distribute import distribute as _distribute
from ..common.gpu.products import Grid, extents, grid_of, plain_spread, swizzled
from ..common.gpu.spread import Spread, spread_of
from . import roles
from .limits import LANES, NATIVE_F8, ROLES, SHARED_BYTES
from .warp_groups import GROUP, group_product, mark

STAGES = 3                  # slots of a ring: two loads in flight behind the trip at hand (nvidia.md 5.7: 3 to 4)
TILE = 16, 8                # rows and columns of the sum of one mma.sync (PTX ISA 9.0, 9.7.14.5)


def alignment(kernel: Kernel) -> Kernel:
    """Spans' alignment, for vector accesses."""
    return _alignment.alignment(kernel)


def distribute(kernel: Kernel) -> Kernel:
    """Spreads and shared places."""
    architecture = kernel.attr("architecture")
    kernel = kernel.having(lanes=LANES)
    if architecture in ROLES and (made := _with_roles(kernel)) is not None:
        return made
    return _distribute(kernel, choices.workers(kernel, LANES), lambda op, rows_stay, workers: product(op, rows_stay, workers, architecture))


def _with_roles(kernel: Kernel) -> Kernel | None:
    """Products of warp groups where they can be had; None if there are none, or if their rings need more memory than there is."""
    marked = mark(kernel)
    if marked is None:
        return None
    architecture = kernel.attr("architecture")

    def way(op: Op, rows_stay: bool, workers: int) -> Product:
        return group_product(marked, op) if op.attr("way") == "wgmma" else product(op, rows_stay, workers, architecture)

    made = _distribute(marked, GROUP * marked.attr("consumers"), way)
    return made if roles.rings(made, SHARED_BYTES[architecture]) is not None else None


def pipeline(kernel: Kernel) -> Kernel:
    """Loads by bulk copies if the kernel has products of warp groups; else by cp.async, up to STAGES slots in flight."""
    if kernel.attr("consumers") is not None:
        made = roles.rings(kernel, SHARED_BYTES[kernel.attr("architecture")])
        assert made is not None
        return made
    return _pipeline.pipeline(kernel, STAGES, can_copy, SHARED_BYTES[kernel.attr("architecture")])


def arrange(kernel: Kernel) -> Kernel:
    """Offsets in the block's shared memory."""
    return _synchronise.arrange(kernel, SHARED_BYTES[kernel.attr("architecture")])


def synchronise(kernel: Kernel) -> Kernel:
    """Barriers of the block."""
    return _synchronise.synchronise(kernel)


# ---------------------------------------------------------------- products
def factors(op: Op, architecture: str) -> tuple[str, str] | None:
    """The types that mma.sync multiplies for this dot; None if it has none for them."""
    left, right = (v.tile.dtype for v in op.args[:2])  # type: ignore[union-attr]
    if left.kind == "f" and left.bits == 8:
        return (left.name, right.name) if architecture in NATIVE_F8 and left == right else ("f16", "f16")
    if left.name in ("f16", "bf16"):
        return left.name, right.name
    if left.name == "f32" and op.attr("precision") == "tf32":
        return "f32", "f32"
    if left.kind == "i" and left.bits <= 8:
        return _byte(left), _byte(right)
    return None


def _byte(dtype: DType) -> str:
    """Sub-byte integers are held one to a byte."""
    return "i8" if dtype.signed else "u8"


def mma_spread(grid: Grid, workers: int) -> Spread:
    """The sum of mma.sync, 16 x 8 to a tile: lane / 4 is the row of two, lane % 4 the pair of columns (PTX ISA 9.0, figure of the accumulator of m16n8k16)."""
    rows = [(grid.down, "down"), (grid.high, "high"), (2, "half"), (8, "row")]
    columns = [(grid.across, "across"), (grid.wide, "wide"), (4, "pair"), (2, "of pair")]
    strides = {"row": 4, "pair": 1, "across": LANES, "down": LANES * grid.across}
    return spread_of([rows, columns], ["high", "wide", "half", "of pair"], workers, strides)


def mma_grid(op: Op, rows_stay: bool, workers: int) -> Grid:
    """The warps' grid over tiles of 16 x 8."""
    m, n, _ = extents(op)
    return grid_of(-(-m // TILE[0]), -(-n // TILE[1]), workers // LANES, rows_stay)


def product(op: Op, rows_stay: bool, workers: int, architecture: str) -> Product:
    """mma.sync where it has the types, else multiplications of each worker."""
    m, n, k = extents(op)
    types = factors(op, architecture)
    left, right = op.args[:2]
    assert isinstance(left, Value) and isinstance(right, Value)
    if types is None:
        spread, _ = plain_spread(m, n, workers)
        return Product("fma", spread)
    grid = mma_grid(op, rows_stay, workers)
    chained = None
    if types[0] in ("f16", "bf16") and grid.across == 1 and k % 16 == 0 and m % 16 == 0:
        chained = mma_spread(Grid(grid.down, 1, grid.high, k // TILE[1]), workers)
    return Product("mma", mma_spread(grid, workers), swizzled(left), swizzled(right), chained, (grid.down, grid.across, grid.high, grid.wide))


def whole(op: Op) -> bool:
    """Whether fragments can be read as matrices: 16-bit factors, no edge within a tile, rows of 16 bytes."""
    m, n, k = extents(op)
    sizes = {v.tile.dtype.bits for v in op.args[:2]}  # type: ignore[union-attr]
    even = all(_even(v) for v in op.args[:2] if isinstance(v, Value) and v.tile.place is not None and v.tile.place.offset is not None)
    return sizes == {16} and m % 16 == 0 and n % 8 == 0 and k % 16 == 0 and even


def _even(v: Value) -> bool:
    """Rows of eight 16-bit elements start at multiples of 16 bytes."""
    place = v.tile.place
    assert place is not None
    dense = [s for n, s in zip(v.tile.shape, v.tile.strides, strict=True) if n > 1]
    return 1 in dense and all(s == 1 or s % 8 == 0 for s in dense) and (place.offset or 0) % 16 == 0 and prod(v.tile.shape) > 0
