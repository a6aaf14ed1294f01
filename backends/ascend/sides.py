"""The two sides of a placed kernel: which memory each place is in, and the ops of one side alone, as its cores run them.

Ops of one side and the scalars and control flow it needs make a kernel of their own.  On the matrix core loops are skewed: what a trip computes from tensors
alone and hands to the vector cores runs one trip ahead of what waits for them.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dslc.ir import Arg, Body, Kernel, Op, Value, make_attrs, substitute, used_values, walk
from dslc.ops import OPS
from dslc.passes._rewriting import clone, literal
from dslc.passes.lifetimes import plan
from dslc.types import BOOL, Place, Space, TileType

from . import cube

AHEAD = 1                   # trips: one is enough for both sides to be at work, each more costs a slot of every ring


def roots_of(kernel: Kernel) -> dict[Value, Value]:
    """The alloc behind each place."""
    roots: dict[Value, Value] = {}
    for op in walk(kernel.body):
        if op.name == "alloc":
            roots[op.result] = op.result
        elif op.name == "view":
            source = next(op.uses())
            roots[op.result] = roots.get(source, source)
    return roots


# ---------------------------------------------------------------- memories
def settle(kernel: Kernel) -> Kernel:
    """A kernel as `places` leaves it, with every place in a memory of the side that uses it, and a unit on every op that touches a tile.

    Then: shared is L1, accumulator L0C, register UB, workspace global memory; the attribute `workspace_bytes` is what one AI core needs of the last.
    """
    if not any(op.attr("unit") == "cube" for op in walk(kernel.body)):
        return _with_units(_moved(kernel, {v: Place(Space.REGISTER) for v in roots_of(kernel).values()}))
    kernel = _merged(kernel)
    kernel = _moved(kernel, _homes(kernel))
    offset, places = 0, dict[Value, Place]()
    converted = {v for op in walk(kernel.body) if op.name == "cast" and op.attr("unit") == "cube" for v in op.into}
    roots = roots_of(kernel)
    ring = {roots[op.into[0]]: op.attr("edge") for op in walk(kernel.body) if op.attr("side") == "put"}
    first: dict[int, int] = {}                      # of a ring: where it begins
    allocs = [op for op in walk(kernel.body) if op.name == "alloc"]
    for op in sorted(allocs, key=lambda op: op.result in converted):        # the rings first
        if (place := op.result.tile.place) is not None and place.space is Space.WORKSPACE:
            known = first.get(ring.get(op.result, -1))
            places[op.result] = replace(place, offset=offset if known is None else known)
            if known is None and op.result in ring:
                first[ring[op.result]] = offset
                offset += place.slots * cube.slot_bytes(op.result.tile)
    return _with_units(_rebound(kernel, places)).having(workspace_bytes=offset or None)


def _homes(kernel: Kernel) -> dict[Value, Place]:
    """The memory of each place."""
    roots = roots_of(kernel)
    homes = {v: Place(Space.REGISTER) for v in roots.values()}
    for op in walk(kernel.body):
        for v in op.into:
            if op.attr("side") == "put":
                homes[roots[v]] = Place(Space.WORKSPACE, slots=op.attr("slots", 1))
            elif op.name == "cast" and op.attr("unit") == "cube":
                homes[roots[v]] = Place(Space.WORKSPACE)        # nowhere: `project` leaves it out
            elif op.attr("unit") == "cube":
                homes[roots[v]] = Place(Space.ACCUMULATOR if op.name in ("dot", "full") else Space.SHARED)
    return homes


def _moved(kernel: Kernel, homes: Mapping[Value, Place]) -> Kernel:
    """The kernel with its places in these memories, and new offsets."""
    return plan(_rebound(kernel, {v: place for v, place in homes.items() if v.tile.place is not None}))


def _rebound(kernel: Kernel, places: Mapping[Value, Place]) -> Kernel:
    """The kernel with other places, in views of them too."""
    new: dict[Value, Value] = {}

    def bind(op: Op) -> Op:
        if op.name == "alloc" and op.result in places:
            old, place = op.result.tile.place, places[op.result]
            assert old is not None
            new[op.result] = Value(op.result.name, replace(op.result.tile, place=replace(place, layout=old.layout)))
        elif op.name == "view" and (source := new.get(next(op.uses()))) is not None:
            mine, base = op.result.tile.place, source.tile.place
            assert mine is not None and base is not None
            offset = None if base.offset is None else base.offset + op.attr("start", 0) * op.result.tile.dtype.bytes
            new[op.result] = Value(op.result.name, replace(op.result.tile, place=replace(base, layout=mine.layout, offset=offset)))
        return replace(op, results=tuple(new.get(r, r) for r in op.results), bodies=tuple(replace(b, ops=tuple(map(bind, b.ops))) for b in op.bodies))

    bound = [bind(op) for op in kernel.body.ops]
    return kernel.with_ops([substitute(op, dict(new)) for op in bound])


def _merged(kernel: Kernel) -> Kernel:
    """Copies from one sum to another, which nothing can do, are gone: the second is the first, which nothing reads later."""
    roots = roots_of(kernel)
    sums = {roots[v] for op in walk(kernel.body) if op.attr("unit") == "cube" and op.name in ("dot", "full") for v in op.into}
    new: dict[Value, Arg] = {}
    gone: set[Op] = set()
    for op in walk(kernel.body):
        if op.name == "copy" and not op.attr("cross") and op.into and op.into[0] in sums and op.args[0] in sums:
            gone.add(op)
            new[op.into[0]] = new.get(op.args[0], op.args[0])
    if not gone:
        return kernel

    def body(old: Body) -> Body:
        kept = [op for op in old.ops if op not in gone and not (op.name == "alloc" and op.result in new)]
        return replace(old, ops=tuple(replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op for op in kept))

    left = replace(kernel, body=body(kernel.body))
    return left.with_ops([substitute(op, new) for op in left.body.ops])


def _with_units(kernel: Kernel) -> Kernel:
    """A unit on the copies and fills that `places` made; scalars that follow from what vector cores compute are theirs too."""
    roots = roots_of(kernel)
    mine: set[Value] = set()                        # scalars, and places of scalars, that only vector cores have

    def follows(op: Op) -> bool:
        return any(roots.get(v, v) in mine for v in op.uses() if isinstance(v.type, TileType) and not v.tile.shape)

    def unit(op: Op) -> str | None:
        given: str | None = op.attr("unit")
        if given or op.name in ("alloc", "view", "for", "while", "if", "yield", "grid", "assume", "barrier"):
            return given
        tiles = [v for v in op.into if v.tile.shape]
        if tiles:
            place = tiles[0].tile.place
            return "cube" if place is not None and place.space in (Space.SHARED, Space.ACCUMULATOR) else "vector"
        return "vector" if follows(op) else None

    size = -1
    while size != len(mine):
        size = len(mine)
        for op in walk(kernel.body):
            if unit(op) == "vector":
                mine |= {roots.get(v, v) for v in (*op.results, *op.into) if not v.tile.shape}

    def body(old: Body) -> Body:
        return replace(old, ops=tuple(replace(op, bodies=tuple(body(b) for b in op.bodies)).having(unit=unit(op)) for op in old.ops))

    return replace(kernel, body=body(kernel.body))


# ---------------------------------------------------------------- one side
def project(kernel: Kernel, unit: str) -> Kernel:
    """The ops of one side, with the scalars, places and control flow they need; on the matrix core with its loops skewed."""
    other = "vector" if unit == "cube" else "cube"

    def body(old: Body) -> Body:
        kept = [replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op for op in old.ops if op.attr("unit") != other]
        return replace(old, ops=tuple(kept))

    side = _needed(_converting(replace(kernel, body=body(kernel.body))))
    if unit == "cube":
        side = _needed(replace(side, body=_skewed(side.body, roots_of(side))))
    return side


def _converting(kernel: Kernel) -> Kernel:
    """Stores of the matrix core take the sum itself: it is converted on its way to memory."""
    sums = {op.into[0]: op.args[0] for op in walk(kernel.body) if op.name == "cast" and op.attr("unit") == "cube"}

    def body(old: Body) -> Body:
        ops = []
        for op in old.ops:
            if op.name == "cast" and op.attr("unit") == "cube":
                continue
            if op.name == "store" and op.args[1] in sums:
                op = replace(op, args=(op.args[0], sums[op.args[1]], *op.args[2:]))
            ops.append(replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op)
        return replace(old, ops=tuple(ops))

    return replace(kernel, body=body(kernel.body)) if sums else kernel


def _needed(kernel: Kernel) -> Kernel:
    """Without scalars, places and views that nothing reads, and loops and branches that do nothing."""
    roots = roots_of(kernel)
    read: set[Value] = set()

    def body(old: Body) -> Body:
        kept: list[Op] = []
        for op in reversed(old.ops):
            op = replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op
            if op.name == "yield":
                read.update(op.uses())
            elif not needed(op):
                continue
            read.update(used_values(op))
            read.update(op.into)
            kept.append(op)
        return replace(old, ops=tuple(reversed(kept)))

    def needed(op: Op) -> bool:
        if op.name in ("for", "if"):
            return any(len(b.ops) > 1 for b in op.bodies)
        if op.name in ("grid", "assume", "while", "barrier") or OPS[op.name].effect == "write":
            return True
        if op.into:
            return bool(op.into[0].tile.shape) or roots.get(op.into[0]) in wanted
        return any(r in read for r in op.results)

    wanted = {roots.get(v, v) for op in walk(kernel.body) for v in op.uses()}
    return replace(kernel, body=body(kernel.body))


# ---------------------------------------------------------------- loops that run ahead
def _skewed(body: Body, roots: Mapping[Value, Value]) -> Body:
    """The body with every loop that can be skewed in two guarded parts, innermost loops first."""
    ops: list[Op] = []
    for op in body.ops:
        op = replace(op, bodies=tuple(_skewed(b, roots) for b in op.bodies)) if op.bodies else op
        parts = _parts(op, roots) if op.name == "for" else None
        ops += [op] if parts is None else _two_parts(op, *parts)
    return replace(body, ops=tuple(ops))


def _inside(op: Op) -> list[Op]:
    return [op, *(o for b in op.bodies for o in walk(b))]


def _touched(op: Op, roots: Mapping[Value, Value]) -> tuple[set[Value], set[Value]]:
    """The places that an op, or an op inside it, reads and writes."""
    every = _inside(op)
    return ({roots[v] for o in every for v in o.uses() if v in roots and o.name not in ("view", "alloc")},
            {roots[v] for o in every for v in o.into})


def _parts(loop: Op, roots: Mapping[Value, Value]) -> tuple[set[Op], set[Op]] | None:
    """Of a trip's ops those that may run ahead, and the others; None if it gains nothing or a place would have to keep two trips' values.

    What may run ahead is what the puts need that depend on nothing taken from the vector cores; what follows from an op of the trip by a scalar or a
    view is in both parts.
    """
    ops = [op for op in loop.bodies[0].ops if op.name != "yield"]
    touched = {op: _touched(op, roots) for op in ops}
    free = [op for op in ops if op.into or op.bodies or OPS[op.name].effect]
    late: set[Op] = set()
    stale: set[Value] = set()                       # places that hold what was taken
    for op in free:
        if any(o.attr("side") == "take" for o in _inside(op)) or touched[op][0] & stale or touched[op][1] & stale:
            late.add(op)
            stale |= touched[op][1]
    early: set[Op] = set()
    wanted: set[Value] = set()
    for op in reversed(free):
        if op not in late and (any(o.attr("side") == "put" for o in _inside(op)) or touched[op][1] & wanted):
            early.add(op)
            wanted |= touched[op][0]
    late = set(free) - early
    takes = any(o.attr("side") == "take" for op in late for o in _inside(op))
    written = {v for op in early for v in touched[op][1]}
    shared = {v for op in late for v in touched[op][0] | touched[op][1]} & written
    rings = [o.attr("slots", 1) for op in early for o in _inside(op) if o.attr("side") == "put"]
    effects = any(o.name == "store" for op in early for o in _inside(op))
    if not early or not takes or shared or effects or min(rings, default=1) <= AHEAD:
        return None
    return early, late


def _two_parts(loop: Op, early: set[Op], late: set[Op]) -> list[Op]:
    """The loop of AHEAD more trips: trip j of the early part beside trip j - AHEAD of the late one."""
    (trip,), step = loop.bodies, loop.attr("step")
    index, (start, stop) = trip.params[0], loop.args[:2]
    dtype = index.tile.dtype
    end, behind = Value("end", TileType(dtype)), Value(index.name, TileType(dtype))
    more, begun = Value("more", TileType(BOOL)), Value("begun", TileType(BOOL))
    far = literal(AHEAD * step, dtype)
    ops = [Op("lt", (index, stop), (), (more,), loc=loop.loc), _guarded(more, _part(trip.ops, late, {}), loop),
           Op("sub", (index, far), (), (behind,), loc=loop.loc), Op("ge", (behind, start), (), (begun,), loc=loop.loc),
           _guarded(begun, _part(trip.ops, early, {index: behind}), loop), Op("yield")]
    made = replace(loop, args=(start, end), bodies=(Body((index,), tuple(ops)),)).having(ahead=AHEAD)
    return [Op("add", (stop, far), (), (end,), loc=loop.loc), made]


def _part(ops: Iterable[Op], without: set[Op], new: dict[Value, Arg]) -> list[Op]:
    """Fresh copies of a trip's ops but for those of the other part; places and scalars that nothing reads go later."""
    return [clone(op, new) for op in ops if op not in without and op.name != "yield"]


def _guarded(condition: Value, ops: list[Op], like: Op) -> Op:
    last = Op("yield")
    return Op("if", (condition,), make_attrs({}), (), (Body((), (*ops, last)), Body((), (last,))), loc=like.loc)


