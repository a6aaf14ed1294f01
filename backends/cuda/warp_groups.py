"""Products of warp groups (wgmma): which dots are done so, from operands that bulk copies bring or that stay in registers.

A pass on the placed form before `distribute` marks dots with way="wgmma" and the loads of their operands with bulk=true.  A load is marked if
all that reads it are such dots, so that no worker ever touches its place, and if another thread can do it: what its coordinates and the control
flow around it depend on is computed from scalars alone.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dslc.ir import Body, Kernel, Op, Value, walk
from dslc.ops import OPS
from dslc.schedule import schedule_of
from dslc.types import DTYPES, TensorType

from ..common.gpu.distribute import Product
from ..common.gpu.products import extents
from ..common.gpu.spread import Spread, spread_of
from ..common.gpu.tiles import Owner, owners, stays
from .bulk import loaded_box, slabs

ROWS, DEPTH = 64, 16        # rows of a sum that four warps share, and k of one instruction on 16-bit factors (PTX ISA 9.0, 9.7.15)
WIDEST = 256                # columns of one instruction
GROUP = 128                 # threads of a warp group
CONSUMERS = 2               # warp groups that compute, where rows allow: each hides the other's latency (nvidia.md 5.1.6)


def mark(kernel: Kernel) -> Kernel | None:
    """The kernel with dots and loads marked, and the attribute `consumers`; None if no dot can be done so."""
    if schedule_of(kernel).get("workers", "producers") == 0:
        return None
    if any(isinstance(p.type, TensorType) and p.type.packing is not None and _stored(kernel, p) for p in kernel.params):
        return None                                         # stores of packed tensors can fail: a worker would leave its loop early
    chooser = _Chooser(kernel)
    dots, loads = chooser.settled()
    if not dots:
        return None

    def body(old: Body) -> Body:
        return replace(old, ops=tuple(op(o) for o in old.ops))

    def op(old: Op) -> Op:
        if old in dots:
            return old.having(way="wgmma")
        if old in loads:
            return old.having(bulk=True)
        return replace(old, bodies=tuple(body(b) for b in old.bodies)) if old.name in ("for", "while", "if") else old

    return replace(kernel, body=body(kernel.body)).having(consumers=chooser.consumers)


class _Chooser:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.table = kernel, owners(kernel)
        self.readers: dict[Value, list[Op]] = {}
        self.writers: dict[Value, list[Op]] = {}
        for op in walk(kernel.body):
            for v in op.uses():
                if op.name != "view" and v in self.table:
                    self.readers.setdefault(self.table[v].place, []).append(op)
            for v in op.into:
                self.writers.setdefault(self.table[v].place if v in self.table else v, []).append(op)
        rows = [extents(op)[0] for op in walk(kernel.body) if op.name == "dot" and self.possible(op)]
        schedule = schedule_of(kernel)
        asked = schedule.get("workers", "consumers", default=schedule.get("workers", "threads", default=0) // GROUP)
        self.consumers = asked if asked in (1, 2, 4) else CONSUMERS
        while self.consumers > 1 and any(m % (ROWS * self.consumers) for m in rows):
            self.consumers //= 2

    def possible(self, op: Op) -> bool:
        """What the instruction asks of the dot itself."""
        left, right = op.args[:2]
        assert isinstance(left, Value) and isinstance(right, Value)
        m, n, k = extents(op)
        types = left.tile.dtype.name in ("f16", "bf16") and left.tile.dtype is right.tile.dtype and op.into[0].tile.dtype is DTYPES["f32"]
        return types and m % ROWS == 0 and n % 8 == 0 and n <= WIDEST and k % DEPTH == 0

    def settled(self) -> tuple[set[Op], set[Op]]:
        """The greatest sets of dots and loads such that each dot's shared operands are such loads', and each load's readers such dots."""
        dots = {op for op in walk(self.kernel.body) if op.name == "dot" and self.possible(op)}
        found = [op for op in walk(self.kernel.body) if loaded_box(op) is not None]
        loads = self.reachable(op for op in found if self.apart(op))
        while True:
            homes = {op.into[0] for op in loads}
            fewer = {op for op in dots if self.table[op.args[1]].place in homes and self.left(op, homes)}  # type: ignore[index]
            fewer = {op for op in fewer if all(o in fewer for o in self.writers[self.table[op.into[0]].place] if o.name == "dot")}
            kept = {op for op in loads if self.readers.get(op.into[0]) and all(r in fewer for r in self.readers[op.into[0]])}
            if fewer == dots and kept == loads:
                return dots, loads
            dots, loads = fewer, kept

    def left(self, op: Op, homes: set[Value]) -> bool:
        owner: Owner = self.table[op.args[0]]  # type: ignore[index]
        return owner.place in homes or stays(self.kernel, self.table, owner, op)

    def apart(self, op: Op) -> bool:
        """Whether nothing else writes the place or the tensor, and the place's views are plain."""
        (v,), tensor = op.into, op.args[0]
        owner = self.table.get(v)
        assert isinstance(tensor, Value)
        return owner is not None and owner.place is v and owner.plain and self.writers[v] == [op] and not _stored(self.kernel, tensor)

    def reachable(self, loads: Iterable[Op]) -> set[Op]:
        """Those that a thread which only loads can come to and do.  The place is made in the load's own body."""
        made = {op.result: n for n, b in enumerate(_bodies(self.kernel.body)) for op in b.ops if op.name == "alloc"}
        home = {op: n for n, b in enumerate(_bodies(self.kernel.body)) for op in b.ops}
        return {op for op in loads if made.get(op.into[0]) == home[op] and sliced(self.kernel, [op]) is not None}


def _bodies(body: Body) -> list[Body]:
    """A body and those of the control flow inside it."""
    return [body, *(b for op in body.ops if op.name in ("for", "while", "if") for inner in op.bodies for b in _bodies(inner))]


def sliced(kernel: Kernel, sinks: Iterable[Op]) -> set[Op] | None:
    """What a thread must do besides to come to these ops and know their coordinates; None if that takes more than scalars and loads of scalars."""
    makers: dict[Value, list[Op]] = {}
    around: dict[Op, Op] = {}
    for op in walk(kernel.body):
        for v in (*op.results, *op.into):
            makers.setdefault(v, []).append(op)
        around |= {inner: op for b in op.bodies for inner in b.ops}
    found: set[Op] = set()
    waiting, sinks = list(sinks), set(sinks)
    while waiting:
        op = waiting.pop()
        if op in found or op.name == "grid":
            continue
        if op not in sinks and op.name not in ("for", "while", "if") and not _scalar(op, kernel):
            return None
        found.add(op)
        needed = [*op.uses(), *([v for v in op.bodies[0].result if isinstance(v, Value)] if op.name == "while" else [])]
        waiting += [maker for v in needed if not isinstance(v.type, TensorType) for maker in makers.get(v, ())]
        waiting += [around[op]] if op in around else []
    return found


def _scalar(op: Op, kernel: Kernel) -> bool:
    """Whether a thread alone can do the op: it makes a scalar from scalars, or from a tensor that the kernel does not change."""
    ranks = [v.tile.shape for v in (*op.results, *op.into)] + [v.tile.shape for v in op.uses() if not isinstance(v.type, TensorType)]
    fixed = not any(_stored(kernel, v) for v in op.uses() if isinstance(v.type, TensorType))
    return not any(ranks) and not op.bodies and fixed and (OPS[op.name].elementwise or op.name in ("alloc", "copy", "full", "load"))


def _stored(kernel: Kernel, tensor: Value) -> bool:
    return any(op.args[0] is tensor for op in walk(kernel.body) if op.name == "store" or op.name.startswith("atomic"))


# ---------------------------------------------------------------- how a marked dot is done
def sum_spread(m: int, n: int, consumers: int) -> Spread:
    """The sum: 16 rows to a warp, of which lane / 4 is the row of two halves, lane % 4 the pair of 8 columns (PTX ISA 9.0, figure of D of wgmma m64nNk16)."""
    high = m // (ROWS * consumers)
    upper = [(4 * consumers, "warp")] if high == 1 else [(consumers, "group"), (high, "high"), (4, "warp")]
    rows = [*upper, (2, "half"), (8, "row")]
    columns = [(n // 8, "wide"), (4, "pair"), (2, "of pair")]
    slots = ["high", "wide", "half", "of pair"] if high > 1 else ["wide", "half", "of pair"]
    return spread_of([rows, columns], slots, GROUP * consumers, {"group": GROUP, "warp": 32, "row": 4, "pair": 1})


def group_product(kernel: Kernel, op: Op) -> Product:
    """Operands in slabs, as they are loaded; the left one may stay in registers, spread like a sum."""
    m, n, k = extents(op)
    consumers = kernel.attr("consumers")
    homes = {o.into[0]: o for o in walk(kernel.body) if o.attr("bulk")}
    table = owners(kernel)
    places = []
    for v in op.args[:2]:
        assert isinstance(v, Value)
        home = table[v].place
        box = loaded_box(homes[home]) if home in homes else None
        places.append(slabs(home.tile.shape, box.axis) if box is not None else None)
    return Product("wgmma", sum_spread(m, n, consumers), places[0], places[1], sum_spread(m, k, consumers) if places[0] is None else None,
                   (consumers, m // (ROWS * consumers)))
