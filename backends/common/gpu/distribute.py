"""Which places are spread over the workers' registers, and how; which are shared.  Products anchor it, elementwise ops carry it on.

A pass on the placed form.  Then holds: every alloc of rank >= 1 is either in registers, with its spread as the attribute `spread`, or shared;
every op on tiles carries the spread of its iteration space as `over`, and each operand in registers is spread as that says.
A shared place through which elements change workers says so as `converts`: (spread written, spread read, line of the reader).
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod

from dslc.ir import Body, Kernel, Op, Value, substitute, walk
from dslc.types import Place, Space, TileType

from .spread import Spread, blocked, power_of_two
from .tiles import REDUCTIONS, Facet, Owner, facets, owners, space_of, stays

LINE = 16               # bytes that one worker moves at a time: the widest vector access of the machines at hand
EVERYONE, FACTOR = "every worker", "factor of a product"    # in the place of a spread: workers want elements in other ways
PARTS = ("alloc", "view", "barrier", "for", "while", "if", "yield", "grid", "assume")


@dataclass(frozen=True)
class Product:
    """How a machine does one dot: the spread of its sum, the layout of its operands in shared memory, and the name of the way."""

    way: str
    spread: Spread
    left: Place | None = None                                # None: as it comes, row-major
    right: Place | None = None
    left_spread: Spread | None = None                        # an operand that may stay in registers: how it must be spread
    grid: tuple[int, ...] | None = None                      # what the target wants to know again when it spells the op


Products = Callable[[Op, bool, int], Product]


def distribute(kernel: Kernel, workers: int, product: Products) -> Kernel:
    """The kernel with every place spread or shared.  `product(dot, rows_stay, workers)` is the machine's answer for one dot."""
    return _Distributor(_sums_apart(kernel), workers, product).kernel_()


class _Distributor:
    def __init__(self, kernel: Kernel, workers: int, product: Products) -> None:
        self.kernel, self.workers = kernel, workers
        self.table = owners(kernel)
        self.spread: dict[Value, Spread] = {}                # owner's place -> its spread
        self.shared: dict[Value, Place] = {}
        self.over: dict[Op, Spread] = {}
        self.fixed: set[Value] = set()                       # places that products add up in
        self.ways: dict[Op, Product] = {}
        self.ops = [op for op in _tile_ops(kernel.body) if op.name != "dot"]
        self.seen = {op: facets(op, self.table) for op in self.ops}
        self.products(product)

    # ------------------------------------------------------------ anchors
    def products(self, product: Products) -> None:
        for op in walk(self.kernel.body):
            if op.name != "dot":
                continue
            way = self.ways[op] = product(op, self.rows_stay(op), self.workers)
            acc = self.table[op.into[0]]
            if acc.plain and acc.place not in self.spread:
                self.spread[acc.place] = way.spread
                self.fixed.add(acc.place)
            for n, v in enumerate(op.args[:2]):
                assert isinstance(v, Value)
                owner = self.table[v]
                if n == 0 and way.left_spread is not None and stays(self.kernel, self.table, owner, op):
                    self.spread[owner.place] = way.left_spread
                    self.fixed.add(owner.place)
                    continue
                self.share(owner, way.right if n else way.left)
        for _, everyone in self.seen.values():
            for owner in everyone:
                self.share(owner)

    def rows_stay(self, dot: Op) -> bool:
        """Whether rows of the product are reduced, here or in another product of as many rows: then each row should lie in one warp."""
        rows = dot.into[0].tile.shape[0]
        return any(op.name in REDUCTIONS and len(s := space_of(op)) == 2 and s[0] == rows and op.attr("axis") % 2 == 1 for op in walk(self.kernel.body))

    def share(self, owner: Owner, place: Place | None = None) -> None:
        if owner.place in self.fixed:
            return
        self.spread.pop(owner.place, None)
        have = self.shared.get(owner.place)
        keep = place if place is not None and owner.plain and have in (None, place) else Place(Space.SHARED)
        self.shared[owner.place] = keep

    # ------------------------------------------------------------ propagation
    def settle(self) -> None:
        """Fix the spread of every op: by what is known of its operands where something is, else by default, the largest first."""
        waiting = list(self.ops)
        while waiting:
            known = next(((op, s) for op in waiting if (s := self.derived(op)) is not None), None)
            if known is None:
                op = max(waiting, key=lambda o: (prod(space_of(o)), o.name in ("load", "store")))
                known = op, self.default(op)
            self.fix(*known)
            waiting.remove(known[0])

    def derived(self, op: Op) -> Spread | None:
        """The op's spread by an operand that covers its whole space: first by one that cannot move, a written one before all, since others can be copied."""
        space, written = space_of(op), {self.table[v].place for v in op.into if v in self.table}
        for facet in sorted(self.seen[op][0], key=lambda f: (f.owner.place not in self.fixed, f.owner.place not in written)):
            have = self.spread.get(facet.owner.place)
            if have is None or not all(n == 1 or a in facet.axes for a, n in enumerate(space)):
                continue
            places = {a: n for n, a in enumerate(facet.axes) if a is not None}
            return have.permuted([places.get(a) for a in range(len(space))])
        return None

    def default(self, op: Op) -> Spread:
        """Neighbours in one worker as far as a vector access reaches, then across workers; a reduced axis that no operand has in full, in slots."""
        space = space_of(op)
        sizes = [v.tile.dtype.bytes for v in (*op.into, *op.uses()) if isinstance(v.type, TileType) and v.tile.shape]
        sizes += [op.args[0].tensor.dtype.bytes] if op.name in ("load", "store") and isinstance(op.args[0], Value) else []
        vector = 1
        while space and space[-1] % (2 * vector) == 0 and 2 * vector * max(sizes, default=LINE) <= LINE and prod(space) >= 2 * vector * self.workers:
            vector *= 2
        serial: tuple[int, ...] = ()
        if op.name in REDUCTIONS:
            covering = any(all(n == 1 or a in f.axes for a, n in enumerate(space)) for f in self.seen[op][0])
            serial, vector = ((), vector) if covering else ((op.attr("axis") % len(space),), 1)
        return blocked(space, self.workers, vector, serial)

    def fix(self, op: Op, over: Spread) -> None:
        self.over[op] = over
        for facet in self.seen[op][0]:
            place = facet.owner.place
            if place in self.shared:
                continue
            need = self.needed(over, facet)
            if self.unrolled(need, facet.owner, op):
                self.share(facet.owner)
            elif place not in self.spread:
                self.spread[place] = need
            elif self.spread[place] != need:
                self.share(facet.owner)

    def unrolled(self, need: Spread, owner: Owner, op: Op) -> bool:
        """Whether holding the operand in registers would repeat most of it in every worker: better read where all can."""
        return need.slots > 8 and need.slots * self.workers > 8 * power_of_two(owner.place.tile.size) and op.name in (*REDUCTIONS, "map")

    def needed(self, over: Spread, facet: Facet) -> Spread:
        kept = over.keep(a for a in facet.axes if a is not None)
        return kept.permuted(facet.axes)

    # ------------------------------------------------------------ the rewritten kernel
    def kernel_(self) -> Kernel:
        self.settle()
        self.new: dict[Value, Value] = {}
        body = self.body(self.kernel.body)
        return replace(self.kernel, body=body).having(workers=self.workers)

    def body(self, body: Body) -> Body:
        ops: list[Op] = []
        for op in body.ops:
            ops += self.op(op)
        return replace(body, ops=tuple(ops))

    def op(self, op: Op) -> list[Op]:
        old = op
        op = substitute(op, self.new) if op.name != "alloc" else op
        if op.bodies and op.name in ("for", "while", "if"):
            return [replace(substitute(replace(old, bodies=()), self.new), bodies=tuple(self.body(b) for b in old.bodies))]
        if op.name == "alloc":
            return [self.alloc(op)]
        if op.name == "view":
            return [self.view(old, op)]
        if old in self.ways:
            way = self.ways[old]
            return [op.having(way=way.way, over=str(way.spread), grid=way.grid)]
        if old not in self.over:
            return [op]
        return self.apart(old, op.having(over=str(self.over[old])))

    def alloc(self, op: Op) -> Op:
        v = op.result
        if not v.tile.shape:
            return op
        space = Space.ACCUMULATOR if v in self.fixed else Space.REGISTER
        place = self.shared.get(v) or Place(space)
        made = self.new[v] = Value(v.name, replace(v.tile, place=place))
        op = replace(op, results=(made,))
        return op.having(converts=self.converted(self.table[v])) if v in self.shared else op.having(spread=str(self.spread[v]))

    def converted(self, owner: Owner) -> tuple[str, str, int] | None:
        """Of a shared place through which elements change workers: the spread in which it is written, the first other one in which it is read, and
        the line of the reader.  A product or a lookup of what was loaded is none: such a place is shared for what it is.
        """
        ops = [op for op in walk(self.kernel.body) if op in self.over or op in self.ways]
        readers = [op for op in ops if any(self.table.get(v) is owner for v in op.uses())]
        for writer in (op for op in ops if op.name != "full" and any(self.table.get(v) is owner for v in op.into)):
            (wrote, *_) = self.touched(writer, owner)
            for op in readers:
                for read in self.touched(op, owner):
                    if read != wrote and not (writer.name == "load" and read in (EVERYONE, FACTOR)):
                        return wrote, read, op.loc.line if op.loc else 0
        return None

    def touched(self, op: Op, owner: Owner) -> list[str]:
        """The spreads in which an op touches a place; words where it is none."""
        if op in self.ways:
            return [FACTOR]
        return [str(self.needed(self.over[op], f)) for f in self.seen[op][0] if f.owner is owner] or [EVERYONE]

    def view(self, old: Op, op: Op) -> Op:
        """The view of a moved place: its axes' strides are those of the place's axes."""
        v, owner = old.result, self.table[old.result]
        home = self.new.get(owner.place, owner.place)
        axes = owner.views[v]
        place = home.tile.place
        assert place is not None
        if axes is not None:
            strides = tuple(home.tile.strides[a] if a is not None else 0 for a in axes)
            place = replace(place, layout=replace(place.layout, strides=strides))
        else:
            assert v.tile.place is not None
            place = replace(place, layout=v.tile.place.layout)
        made = self.new[v] = Value(v.name, replace(v.tile, place=replace(place, offset=None)))
        return replace(op, results=(made,))

    def apart(self, old: Op, op: Op) -> list[Op]:
        """The op, after copies of operands whose spread differs from what it needs but which cannot move."""
        before: list[Op] = []
        new: dict[Value, Value] = {}
        copies: dict[Value, Value] = {}
        for v in dict.fromkeys(old.uses()):
            owner = self.table.get(v)
            if owner is None or owner.place not in self.spread:
                continue
            have = str(self.spread[owner.place])
            other = [read for read in self.touched(old, owner) if read != have]
            if not other:
                continue
            whole = self.new.get(owner.place, owner.place)
            if owner.place not in copies:
                there = copies[owner.place] = Value(f"{owner.place.name}.shared", replace(whole.tile, place=Place(Space.SHARED)))
                converts = have, other[0], op.loc.line if op.loc else 0
                before += [Op("alloc", results=(there,), loc=op.loc).having(converts=converts),
                           Op("copy", (whole,), into=(there,), loc=op.loc).having(over=have)]
            there = copies[owner.place]
            if v is owner.place:
                new[whole] = there
                continue
            seen = self.new[v]
            place = seen.tile.place or there.tile.place
            assert place is not None
            view = Value(seen.name, replace(seen.tile, place=Place(Space.SHARED, place.layout)))
            before.append(Op("view", (there,), results=(view,), loc=op.loc))
            new[seen] = view
        return [*before, substitute(op, new) if new else op]


def _sums_apart(kernel: Kernel) -> Kernel:
    """Products add up in places of their own where the place they write is looked at in ways that a spread cannot follow, and where a product is an
    operand of another, that one has a copy.
    """
    table = owners(kernel)
    sums = {table[op.into[0]].place for op in walk(kernel.body) if op.name == "dot"}

    def body(old: Body) -> Body:
        ops: list[Op] = []
        for op in old.ops:
            op = replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op
            ops += dot(op) if op.name == "dot" else [op]
        return replace(old, ops=tuple(ops))

    def dot(op: Op) -> list[Op]:
        before: list[Op] = []
        args = list(op.args)
        for n, v in enumerate(op.args[:2]):
            assert isinstance(v, Value)
            if table[v].place in sums and table[v].plain:   # otherwise it is shared already
                new, args[n] = _copied(table[v].place, v, op)
                before += new
        home, owner = op.into[0], table[op.into[0]]
        if owner.plain and owner.place is home:
            return [*before, replace(op, args=tuple(args))]
        apart = Value(home.name, replace(home.tile, place=Place(Space.ACCUMULATOR)))
        before.append(Op("alloc", results=(apart,), loc=op.loc))
        if len(args) == 3:
            before.append(Op("copy", (args[2],), into=(apart,), loc=op.loc))
            args[2] = apart
        return [*before, replace(op, args=tuple(args), into=(apart,)), Op("copy", (apart,), into=(home,), loc=op.loc)]

    return replace(kernel, body=body(kernel.body))


def _copied(place: Value, seen: Value, op: Op) -> tuple[list[Op], Value]:
    """A copy of a place, and what of it `seen` is of the place."""
    copy = Value(place.name, replace(place.tile, place=Place(Space.REGISTER)))
    ops = [Op("alloc", results=(copy,), loc=op.loc), Op("copy", (place,), into=(copy,), loc=op.loc)]
    if seen is place:
        return ops, copy
    assert seen.tile.place is not None
    view = Value(seen.name, replace(seen.tile, place=Place(Space.REGISTER, seen.tile.place.layout)))
    return [*ops, Op("view", (copy,), results=(view,), loc=op.loc)], view


def _tile_ops(body: Body) -> Iterable[Op]:
    """Ops that touch tiles or memory, not their bodies' scalar ops."""
    for op in body.ops:
        if op.name in ("for", "while", "if"):
            for inner in op.bodies:
                yield from _tile_ops(inner)
        elif op.name not in PARTS and (op.into or op.bodies or op.name in ("load", "store", *REDUCTIONS) or op.name.startswith("atomic")
                                       or any(isinstance(v.type, TileType) and v.tile.shape for v in op.uses())):
            yield op

