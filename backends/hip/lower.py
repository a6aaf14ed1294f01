"""From the common placed form to HIP's: which product is done how, where tiles live, when workers wait."""
from __future__ import annotations

from dataclasses import dataclass, replace

from dslc.errors import check
from dslc.ir import Body, Kernel, Op, Value, walk
from dslc.schedule import schedule_of
from dslc.types import DType, Place

from ..common.gpu import alignment as _alignment
from ..common.gpu import choices
from ..common.gpu import pipeline as _pipeline
from ..common.gpu import synchronise as _synchronise
from ..common.gpu.distribute import Product
from ..common.gpu.distribute import distribute as _distribute
from ..common.gpu.products import Grid, extents, grid_of, plain_spread, swizzled
from ..common.gpu.rings import split
from ..common.gpu.spread import Spread, spread_of
from ..common.gpu.tiles import is_shared
from .copies import copy_of, turn, turned_spread
from .limits import DIRECT_COPY, LANES, NATIVE_F8, PER_LANE, SHARED_BYTES, TRANSPOSING_READ
from .machine_code import PHASES

ROWS, AREA = 32, 64 * 64    # of a product, in one wave: a fragment is read once and multiplied twice or more
TILE = 16                   # rows and columns of the sum of one MFMA
_ONE_PRODUCT = "a loop in two phases is one product of tiles that it loads"
_BITS = {"f32": 32, "f16": 16, "bf16": 16}


def alignment(kernel: Kernel) -> Kernel:
    """Spans' alignment, for vector accesses."""
    return _alignment.alignment(kernel)


def distribute(kernel: Kernel) -> Kernel:
    """Spreads and shared places."""
    architecture = kernel.attr("architecture")
    lanes = LANES[architecture]
    kernel, made = kernel.having(lanes=lanes), Made.of(kernel)
    workers = choices.workers(kernel, lanes, ROWS, AREA)
    return turn(_distribute(kernel, workers, lambda op, rows_stay, workers: product(op, rows_stay, workers, architecture, made)))


def pipeline(kernel: Kernel) -> Kernel:
    """Loads that run one trip ahead: with two slots of each tile in LDS, or one if two do not fit.  What goes through registers needs only one; two save
    a barrier, but not at the price of a second block on the compute unit.
    """
    architecture, workers = kernel.attr("architecture"), kernel.attr("workers")
    if architecture not in PER_LANE:
        return kernel
    limit = SHARED_BYTES[architecture]
    phases = schedule_of(kernel).get("workers", "phases", default=1)
    if phases > 1:
        staged = _pipeline.pipeline(kernel, 2, lambda op: copy_of(op, architecture, workers) is not None, limit)
        check(any(op.attr("stages") for op in walk(staged.body)), f"no loop has loads that run ahead in two slots of {limit} bytes of LDS", loc=kernel.loc)
        check(workers % (2 * LANES[architecture]) == 0, "two phases take an even number of waves", loc=kernel.loc)
        return replace(staged, body=_phased(staged.body, architecture))
    for slots, room in ((2, limit if architecture in DIRECT_COPY else limit // 2), (1, limit)):
        staged = _pipeline.pipeline(kernel, 2, lambda op: copy_of(op, architecture, workers) is not None, room, slots)
        if staged is not kernel and any(op.attr("stages") for op in walk(staged.body)):
            return staged
    return kernel


def _phased(body: Body, architecture: str) -> Body:
    """Loops that are one product, in steps of K as deep as one fragment, with half of the waves half a trip behind (ops.j2, phased_for)."""
    ops = []
    for op in body.ops:
        if op.name == "for" and op.attr("stages"):
            trip = [o for o in split(op)[1] if o.name not in ("alloc", "view", "yield")]
            check(len(trip) == 1 and trip[0].attr("way") == "mfma", _ONE_PRODUCT, loc=op.loc)
            check(all(isinstance(v, Value) and is_shared(v) for v in trip[0].args[:2]), _ONE_PRODUCT, loc=op.loc)
            types = factors(trip[0], architecture)
            deep = 4 * max(reading(trip[0], architecture, False)) if types else 0
            check(extents(trip[0])[2] == deep, f"a loop in two phases takes {deep} of K in a trip, not {extents(trip[0])[2]}", loc=op.loc)
            op = op.having(phases=2)
        ops.append(op)
    return replace(body, ops=tuple(ops))


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


def banks_of_reads(architecture: str) -> int:
    """Banks of 4 bytes that reads of 16 bytes a lane go to."""
    return PHASES[architecture]["ds_read_b128"][0]


def per_lane(types: tuple[str, str], depth: int, architecture: str) -> int:
    """Elements of K in one lane: the chip's widest, or half of it where K ends earlier and a narrower one exists."""
    bits = {"f32": 32, "f16": 16, "bf16": 16}.get(types[0], 8)
    n = 8 if types[0].startswith("f8") else PER_LANE[architecture][bits]
    return 4 if bits == 16 and depth % (4 * n) and depth % 16 == 0 else n


def reading(op: Op, architecture: str, chained: bool) -> tuple[int, int]:
    """(n, run): elements of K that one lane gives to an MFMA, and how many neighbours of K it reads at once.

    A lane's quarter q = lane / 16 has the elements q * run .. + run-1 of each 4 * run: any order of K will do, if both operands have the same.
    `chained`: the left operand is the sum of another product, whose lanes hold 4 neighbours (mfma_spread); so does a transposing read.
    """
    types, k = factors(op, architecture), extents(op)[2]
    assert types is not None
    n, bits = per_lane(types, k, architecture), _BITS.get(types[0], 8)
    left, right = op.args[:2]
    assert isinstance(left, Value) and isinstance(right, Value)
    if bits == 16 and (chained or turned_by_reading(right, architecture)) and k % (4 * n) == 0:
        return n, 4
    widest = 128 // bits
    same = all(v.tile.dtype.bytes * 8 == bits for v in (left, right))
    return n, widest if same and k % (4 * widest) == 0 else n


def turned_by_reading(right: Value, architecture: str) -> bool:
    """Whether a right operand whose columns are side by side is read by the transposing instruction."""
    k, n = right.tile.shape
    dense_columns = right.tile.strides[1] == 1 and right.tile.strides[0] != 1
    return architecture in TRANSPOSING_READ and right.tile.dtype.bits == 16 and dense_columns and n % TILE == 0 and k % (2 * TILE) == 0


def mfma_spread(grid: Grid, workers: int, lanes: int) -> Spread:
    """The transposed sum of a 16 x 16 MFMA: its columns are our rows, lane % 16; its rows are our columns, 4 * (lane / 16) + register (amd.md section 7,
    item 6).  So each lane has 4 neighbours of a row: a vector for a store, and as the left operand of another product, what MFMA wants of K.
    """
    rows = [(grid.down, "down"), (grid.high, "high"), (16, "row")]
    columns = [(grid.across, "across"), (grid.wide, "wide"), (4, "quarter"), (4, "register")]
    strides = {"row": 1, "quarter": 16, "across": lanes, "down": lanes * grid.across}
    return spread_of([rows, columns], ["high", "wide", "register"], workers, strides)


def product(op: Op, rows_stay: bool, workers: int, architecture: str, made: Made) -> Product:
    """MFMA where the chip has the types, else multiplications of each worker."""
    m, n, k = extents(op)
    left, right = op.args[:2]
    assert isinstance(left, Value) and isinstance(right, Value)
    types = factors(op, architecture)
    if types is None:
        spread, _gaps = plain_spread(m, n, workers)
        return Product("fma", spread)
    lanes = LANES[architecture]
    grid = grid_of(-(-m // TILE), -(-n // TILE), workers // lanes, rows_stay)
    registers = None
    if left in made.elementwise and types[0] in ("f16", "bf16") and grid.across == 1 and k % (4 * per_lane(types, k, architecture)) == 0 and m % TILE == 0:
        registers = mfma_spread(Grid(grid.down, 1, grid.high, k // TILE), workers, lanes)
    _, run = reading(op, architecture, registers is not None)
    return Product("mfma", mfma_spread(grid, workers, lanes), place_of(left, run, architecture),
                   place_of(right, run, architecture, workers if right in made.loaded else 0),
                   registers, (grid.down, grid.across, grid.high, grid.wide))


def place_of(v: Value, run: int, architecture: str, loaders: int = 0) -> Place:
    """Where an operand lies in LDS so that its lanes read `run` neighbours of K from different banks.

    `loaders`: workers that load a right operand which nothing else writes; if its columns are side by side in memory, those of K are in LDS.
    """
    line, size = 4 * banks_of_reads(architecture), v.tile.dtype.bytes
    k, n = v.tile.shape
    if loaders and turned_by_reading(v, architecture):
        return swizzled(v, line, 32)                          # 4 lanes read a row of 32 bytes, 8 rows are read at once
    if loaders and size in (2, 4) and v.tile.strides == (n, 1) and turned_spread((k, n), size, loaders) is not None:
        flat = swizzled(Value(v.name, replace(v.tile, shape=(n, k), place=None)), line, max(8, min(16, run * size)))
        return replace(flat, layout=replace(flat.layout, strides=(1, k)))
    rows = (n, k) if v.tile.strides[0] == 1 else (k, n)       # a transposed view lies as what it is a view of
    return swizzled(Value(v.name, replace(v.tile, shape=rows, place=None)), line)


@dataclass(frozen=True)
class Made:
    """Places that one load fills, and places that one elementwise op fills and one op reads."""

    loaded: frozenset[Value]
    elementwise: frozenset[Value]

    @classmethod
    def of(cls, kernel: Kernel) -> Made:
        writers: dict[Value, list[Op]] = {}
        readers: dict[Value, int] = {}
        for op in walk(kernel.body):
            for v in op.into:
                writers.setdefault(v, []).append(op)
            for v in set(op.uses()):
                readers[v] = readers.get(v, 0) + 1
        alone = {v: ops[0].name for v, ops in writers.items() if len(ops) == 1}
        return cls(frozenset(v for v, name in alone.items() if name == "load"),
                   frozenset(v for v, name in alone.items() if name == "map" and readers.get(v) == 1))


def whole(op: Op, held: int, factor_bits: int, run: int) -> bool:
    """Whether no fragment crosses an edge of an operand, and runs of K lie at multiples of their size."""
    m, columns, k = extents(op)
    even = all(_even(v, run, factor_bits) for v in op.args[:2] if isinstance(v, Value) and is_shared(v))
    return m % TILE == 0 and columns % TILE == 0 and k % (4 * held) == 0 and even


def _even(v: Value, run: int, factor_bits: int) -> bool:
    place = v.tile.place
    assert place is not None
    dense = [s for e, s in zip(v.tile.shape, v.tile.strides, strict=True) if e > 1]
    if 1 not in dense or v.tile.dtype.bytes * 8 != factor_bits:
        return v.tile.dtype.bytes * 8 != factor_bits
    swizzle = place.layout.swizzle
    chunk = 1 << swizzle[1] if swizzle else run
    return all(s == 1 or s % run == 0 for s in dense) and (place.offset or 0) % (run * v.tile.dtype.bytes) == 0 and chunk % run == 0
