"""From the common placed form to HIP's: which product is done how, where tiles live, when workers wait."""
from __future__ import annotations

from dslc.ir import Kernel, Op, Value
from dslc.types import DType

from ..common.gpu import alignment as _alignment
from ..common.gpu import choices
from ..common.gpu import synchronise as _synchronise
from ..common.gpu.distribute import Product
from ..common.gpu.distribute import distribute as _distribute
from ..common.gpu.products import Grid, extents, grid_of, plain_spread, swizzled
from ..common.gpu.spread import Spread, spread_of
from .limits import LANES, NATIVE_F8, PER_LANE, SHARED_BYTES

TILE = 16                   # rows and columns of the sum of one MFMA


def alignment(kernel: Kernel) -> Kernel:
    """Spans' alignment, for vector accesses."""
    return _alignment.alignment(kernel)


def distribute(kernel: Kernel) -> Kernel:
    """Spreads and shared places."""
    architecture = kernel.attr("architecture")
    lanes = LANES[architecture]
    kernel = kernel.having(lanes=lanes)
    return _distribute(kernel, choices.workers(kernel, lanes), lambda op, rows_stay, workers: product(op, rows_stay, workers, architecture))


def arrange(kernel: Kernel) -> Kernel:
    """Offsets in LDS."""
    return _synchronise.arrange(kernel, SHARED_BYTES[kernel.attr("architecture")])


def synchronise(kernel: Kernel) -> Kernel:
    """Barriers of the work group."""
    return _synchronise.synchronise(kernel)


# ---------------------------------------------------------------- products
def factors(op: Op, architecture: str) -> tuple[str, str] | None:
    """The types that MFMA multiplies for this dot; None if the chip has none for them."""
    left, right = (v.tile.dtype for v in op.args[:2])  # type: ignore[union-attr]
    if architecture not in PER_LANE:
        return None
    if left.kind == "f" and left.bits == 8:
        return (left.name, right.name) if architecture in NATIVE_F8 else ("f16", "f16")
    if left.name in ("f16", "bf16", "f32"):
        return left.name, right.name
    if left.kind == "i" and left.bits <= 8:
        return _byte(left), _byte(right)
    return None


def _byte(dtype: DType) -> str:
    """Sub-byte integers are held one to a byte."""
    return "i8" if dtype.signed else "u8"


def per_lane(types: tuple[str, str], depth: int, architecture: str) -> int:
    """Elements of K in one lane: the chip's widest, or half of it where K ends earlier and a narrower one exists."""
    bits = {"f32": 32, "f16": 16, "bf16": 16}.get(types[0], 8)
    n = 8 if types[0].startswith("f8") else PER_LANE[architecture][bits]
    return 4 if bits == 16 and depth % (4 * n) and depth % 16 == 0 else n


def mfma_spread(grid: Grid, workers: int, lanes: int) -> Spread:
    """The sum of a 16 x 16 MFMA: row 4 * (lane / 16) + register, column lane % 16 (amd.md section 7, item 6)."""
    rows = [(grid.down, "down"), (grid.high, "high"), (4, "quarter"), (4, "register")]
    columns = [(grid.across, "across"), (grid.wide, "wide"), (16, "column")]
    strides = {"column": 1, "quarter": 16, "across": lanes, "down": lanes * grid.across}
    return spread_of([rows, columns], ["high", "wide", "register"], workers, strides)


def product(op: Op, rows_stay: bool, workers: int, architecture: str) -> Product:
    """MFMA where the chip has the types, else multiplications of each worker."""
    m, n, _ = extents(op)
    left, right = op.args[:2]
    assert isinstance(left, Value) and isinstance(right, Value)
    if factors(op, architecture) is None:
        spread, _gaps = plain_spread(m, n, workers)
        return Product("fma", spread)
    lanes = LANES[architecture]
    grid = grid_of(-(-m // TILE), -(-n // TILE), workers // lanes, rows_stay)
    return Product("mfma", mfma_spread(grid, workers, lanes), swizzled(left), swizzled(right), None, (grid.down, grid.across, grid.high, grid.wide))


def whole(op: Op, n: int, factor_bits: int) -> bool:
    """Whether no fragment crosses an edge of an operand, and vectors of n elements lie at multiples of their size."""
    m, columns, k = extents(op)
    even = all(_even(v, n, factor_bits) for v in op.args[:2] if isinstance(v, Value))
    return m % TILE == 0 and columns % TILE == 0 and k % (4 * n) == 0 and even


def _even(v: Value, n: int, factor_bits: int) -> bool:
    place = v.tile.place
    assert place is not None
    dense = [s for e, s in zip(v.tile.shape, v.tile.strides, strict=True) if e > 1]
    if 1 not in dense or v.tile.dtype.bytes * 8 != factor_bits:
        return v.tile.dtype.bytes * 8 != factor_bits
    swizzle = place.layout.swizzle
    chunk = 1 << swizzle[1] if swizzle else n
    return all(s == 1 or s % n == 0 for s in dense) and (place.offset or 0) % (n * v.tile.dtype.bytes) == 0 and chunk % n == 0
