"""Online arg-reductions: one per slot of the tile through the loop, resolved once after it."""
from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan

from ..ir import Arg, Body, Const, Kernel, Op, Value, count_uses, producers
from ..types import BOOL, I32, TileType
from ._affine import DIM_MAX
from ._rewriting import Builder, literal, made_by, scalars


def lift_arg_reductions(kernel: Kernel) -> Kernel:
    """Assumes the value form before fuse.  Then a loop that only carries the idiom

        low = min(s, 1); closer = low < best; best = where(closer, low, best); who = where(closer, cast(k + argmin(s, 1)), who)

    (or with max and >, or best = maximum(best, low) from an initial literal) keeps best and the trip for every slot of s, by strict
    comparison, and finds the winner after the loop: the least index of the best value, NaN never, nothing if none is strictly better."""
    lifter = _Lifter(kernel)
    return replace(kernel, body=lifter.body(kernel.body))


@dataclass(frozen=True)
class _Match:
    """What the idiom was found in: the carried positions, the tile, and whether it looks for the least."""

    best: int
    who: int
    s: Value
    offset: Arg             # what the column is added to: the loop's index
    least: bool
    gone: frozenset[Op]     # the ops that only served the idiom


class _Lifter:
    def __init__(self, kernel: Kernel) -> None:
        self.defs, self.uses, self.dims = producers(kernel.body), count_uses(kernel.body), set(kernel.dims)

    def body(self, body: Body) -> Body:
        """The body with each idiom lifted out of its loop."""
        ops: list[Op] = []
        for op in body.ops:
            op = replace(op, bodies=tuple(self.body(b) for b in op.bodies)) if op.bodies else op
            match = self.match(op) if op.name == "for" else None
            ops += [op] if match is None else _lift(op, match)
        return replace(body, ops=tuple(ops))

    def of(self, a: object, *names: str) -> Op | None:
        return made_by(a, self.defs, *names)

    def match(self, op: Op) -> _Match | None:
        """The first idiom in a loop."""
        return next((found for who in range(len(op.results)) if (found := self.match_who(op, who)) is not None), None)

    def match_who(self, op: Op, who: int) -> _Match | None:
        """The idiom, if carried value `who` is its index."""
        trip = op.bodies[0]
        index, carried = trip.params[0], trip.params[1:]
        select = self.of(trip.result[who], "where")
        closer = self.of(select.args[0], "lt", "gt") if select is not None else None
        if select is None or closer is None or select.args[2] is not carried[who] or not self.bounded(op):
            return None
        low, best = scalars(closer)
        reach = self.of(low, "min" if closer.name == "lt" else "max")
        if isinstance(low, Value) and low in carried:                      # best > low, as simplify writes low < best the other way round
            low, best = best, low
            reach = self.of(low, "max" if closer.name == "lt" else "min")
        if reach is None or best not in carried or reach.bodies or not isinstance(reach.args[0], Value):
            return None
        b = carried.index(best)
        least = reach.name == "min"
        update = self.of(trip.result[b], "where", "minimum" if least else "maximum")
        if update is None or not self.updates(op, update, closer.result, reach.result, carried[b], b):
            return None
        column = self.index_of(select.args[1], index, reach)
        chain = {select, closer, reach, update, *column}
        if not column or any(self.uses.get(v, 0) != n for v, n in self.expected(chain, carried, b, who)):
            return None
        s = reach.args[0]
        if len(s.tile.shape) != 2 or reach.attr("axis") != 1 or s.tile.shape[1] > op.attr("step", 1) or s.tile.dtype.kind != "f":
            return None
        return _Match(b, who, s, index, least, frozenset(chain))

    def bounded(self, op: Op) -> bool:
        """Whether the index stays within 32 bits: it starts at a literal and stops at a dimension, or at a literal."""
        start, stop = scalars(op)[:2]
        names = [stop] + [a for m in [self.of(stop, "minimum")] if m is not None for a in scalars(m)]
        small = any(a in self.dims or (isinstance(a, Const) and a.value <= DIM_MAX) for a in names)
        return isinstance(start, Const) and start.value >= 0 and small

    def updates(self, op: Op, update: Op, closer: Value, low: Value, best: Value, b: int) -> bool:
        """Whether `update` replaces `best` by `low` where that is strictly closer."""
        if update.name == "where":
            return update.args == (closer, low, best)
        first = self.of(op.args[2 + b], "full")         # a NaN to begin with would lose here, and stay by comparison
        good = first is not None and isinstance(first.args[0], Const) and not isnan(first.args[0].value)
        return good and set(update.args) == {low, best}

    def index_of(self, a: object, index: Value, reach: Op) -> set[Op]:
        """The ops of cast(index + argmin(s)), the cast and the order of operands free; empty if it is not that."""
        ops = set()
        cast = self.of(a, "cast")
        if cast is not None and cast.result.tile.dtype is I32:
            ops.add(cast)
            a = cast.args[0]
        add, name = self.of(a, "add"), "argmin" if reach.name == "min" else "argmax"
        arg = next((x for v in add.args if (x := self.of(v, name)) is not None), None) if add is not None else None
        if add is None or arg is None or set(add.args) != {index, arg.result} or arg.args != reach.args or arg.attr("axis") != 1 or arg.bodies:
            return set()
        return ops | {add, arg}

    def expected(self, chain: set[Op], carried: tuple[Value, ...], b: int, who: int) -> list[tuple[Value, int]]:
        """How often each value of the idiom is read if nothing else reads it."""
        reads = [v for o in chain for v in o.uses()]
        reads += [o.result for o in chain if o.name in ("where", "minimum", "maximum")]         # the loop's yield
        return [(v, reads.count(v)) for v in (carried[b], carried[who], *(o.result for o in chain))]


def _lift(op: Op, m: _Match) -> list[Op]:
    before, after = Builder(op), Builder(op)
    s, dtype = m.s.tile, m.s.tile.dtype
    n, width = s.shape
    first_best, first_who = scalars(op)[2 + m.best], scalars(op)[2 + m.who]
    column = before("reshape", first_best, dtype=dtype, shape=(n, 1), hint="slots")
    slots = before("broadcast", column, dtype=dtype, shape=s.shape, hint="slots")
    trips = before("full", literal(0, I32), dtype=I32, shape=s.shape, hint="trips")
    best, who = op.results[m.best], op.results[m.who]
    outs = {m.best: Value("slots", TileType(dtype, s.shape)), m.who: Value("trips", TileType(I32, s.shape))}
    args = [*op.args[:2], *({m.best: slots, m.who: trips}.get(n, a) for n, a in enumerate(op.args[2:]))]
    loop = replace(op, args=tuple(args), results=tuple(outs.get(n, r) for n, r in enumerate(op.results)), bodies=(_slotted(op, m),))
    found = after("min" if m.least else "max", outs[m.best], dtype=dtype, shape=(n,), hint="found", axis=1)
    closer = after("lt", *((found, first_best) if m.least else (first_best, found)), dtype=BOOL, shape=(n,), hint="closer")
    hit = after("eq", outs[m.best], after("reshape", found, dtype=dtype, shape=(n, 1), hint="found"), dtype=BOOL, shape=s.shape, hint="hit")
    columns, trips = after("iota", shape=(width,), hint="columns", n=width), outs[m.who]
    if who.tile.dtype is I32:           # which hold any index below a dimension; only padding can lie past them
        columns = after("cast", columns, dtype=I32, shape=(width,), hint="columns")
    else:
        trips = after("cast", trips, shape=s.shape, hint="trips")
    index = after("add", trips, columns, dtype=who.tile.dtype, shape=s.shape, hint="index")
    index = after("where", hit, index, literal(who.tile.dtype.hi, who.tile.dtype), dtype=who.tile.dtype, shape=s.shape, hint="index")
    lowest = after("min", index, dtype=who.tile.dtype, shape=(n,), hint="lowest", axis=1)
    last = [Op("where", (closer, found, first_best), (), (best,), loc=op.loc), Op("where", (closer, lowest, first_who), (), (who,), loc=op.loc)]
    return [*before.ops, loop, *after.ops, *last]


def _slotted(op: Op, m: _Match) -> Body:
    """The trip with best and trip kept for every slot."""
    trip = op.bodies[0]
    s = m.s.tile
    put = Builder(op)
    best, who = Value("slots", TileType(s.dtype, s.shape)), Value("trips", TileType(I32, s.shape))
    closer = put("lt", *((m.s, best) if m.least else (best, m.s)), dtype=BOOL, shape=s.shape, hint="closer")
    now = put("cast", m.offset, dtype=I32, hint="trip")
    trips = put("where", closer, now, who, dtype=I32, shape=s.shape, hint="trips")         # before slots: the old ones are then dead when new ones are written
    outs = {m.who: trips, m.best: put("where", closer, m.s, best, dtype=s.dtype, shape=s.shape, hint="slots")}
    closing = replace(trip.ops[-1], args=tuple(outs.get(n, a) for n, a in enumerate(trip.result)))
    params = (trip.params[0], *({m.best: best, m.who: who}.get(n, p) for n, p in enumerate(trip.params[1:])))
    return Body(params, (*(o for o in trip.ops[:-1] if o not in m.gone), *put.ops, closing))
