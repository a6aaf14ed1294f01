"""What a machine of this family does where no schedule says otherwise: rules from shapes and dtypes, without search."""
from __future__ import annotations

from dslc.ir import Kernel, Op, walk
from dslc.schedule import schedule_of
from dslc.types import TileType

from .spread import power_of_two

LEAST, MOST = 64, 512           # workers of a program: two warps hide each other's latency; more than 512 leave each under 128 registers
SLOTS = 32                      # elements of the largest tile that one worker may hold before more workers are asked for


def workers(kernel: Kernel, lanes: int, rows: int = 16, area: int = 64 * 32) -> int:
    """Workers of a program: as scheduled, or enough for its products, or for its largest tile.  A warp's part of a product has at most `area` elements,
    and no more than `rows` rows if eight warps or fewer can see to that.
    """
    asked = schedule_of(kernel).get("workers", "threads")
    if asked is not None:
        return max(lanes, power_of_two(int(asked)))
    dots = [op for op in walk(kernel.body) if op.name == "dot"]
    if dots:
        return max(max(_for_product(op, rows, area) for op in dots) * lanes, LEAST)
    largest = max((t.size for op in walk(kernel.body) for v in (*op.results, *op.into) if isinstance(t := v.type, TileType)), default=1)
    return min(MOST, max(LEAST, power_of_two(largest // SLOTS)))


def _for_product(op: Op, rows: int, area: int) -> int:
    m, n = op.target.tile.shape
    return min(8, max(1, power_of_two(-(-m * n // area)), power_of_two(min(8, m // rows))))


def chosen(kernel: Kernel) -> list[str]:
    """What was decided for a lowered kernel, a line each: workers, slots of rings, the way of every product."""
    rows = [f"  workers  {kernel.attr('workers')}, {kernel.attr('lanes')} to a warp" + (f", {kernel.attr('threads')} threads with those that only load"
                                                                                      if kernel.attr("threads") else "")]
    rows += [f"  ring {name}  {slots} slots of {size} bytes" for name, slots, size in kernel.attr("rings", ())]
    for op in walk(kernel.body):
        if op.attr("stages"):
            rows.append(f"  loop {op.bodies[0].params[0].name}  {op.attr('stages')} stages")
        if op.name == "dot":
            grid: tuple[int, ...] = op.attr("grid") or ()
            shared = f", {grid[0]} x {grid[1]} warps with {grid[2]} x {grid[3]} tiles each" if len(grid) == 4 else ""
            where = f"{op.loc.file.rsplit('/', 1)[-1]}:{op.loc.line}: " if op.loc else ""
            rows.append(f"  dot {op.into[0].name}  {where}{op.attr('way')}{shared}")
    return list(dict.fromkeys(rows))
