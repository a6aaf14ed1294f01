"""Value form to placed form: every tile gets a place, loops and branches update places, and places share memory where lifetimes allow."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..ir import Arg, Body, Kernel, Op, Operand, Value, producers, substitute, used_values, walk
from ..types import ROW, Layout, Place, Space, TileType, row_major
from ._rewriting import scalars
from .lifetimes import plan

VIEWS = ("transpose", "reshape", "split", "broadcast")      # unless a target has marked one as real: then it moves its elements


def places(kernel: Kernel) -> Kernel:
    """Assumes the value form, elementwise ops of rank >= 1 fused into maps.  Then holds: the placed form; carried values are places
    updated in place where nothing reads the old value later; `dot` accumulates into the place it writes; every place has an offset in
    the arena of its space, and two places overlap only if their lifetimes do not, or one is the elementwise input of the other.

    Source of the in-place rule: a value may be overwritten at its last use by an op that reads element i before it writes element i.
    """
    if kernel.placed:
        return kernel
    placer = _Placer(kernel.body)
    body, _ = placer.body(kernel.body, {})
    return plan(replace(kernel, body=body))


@dataclass(frozen=True)
class _Wish:
    """A place that a value should be computed into, and the value whose content it holds until then."""

    place: Value
    holder: Value | None


class _Placer:
    def __init__(self, body: Body) -> None:
        self.made_by = producers(body)
        self.accumulators = _accumulators(body)
        self.env: dict[Value, Value] = {}
        self.scope: set[Value] = set()                      # values bound in the body at hand, whose places end with it
        self.seen_through: dict[Value, Value] = {}          # view -> the place it looks at
        self.feeds_dot = {self.root(v) for op in walk(body) if op.name == "dot" for v in op.args[:2] if isinstance(v, Value)}

    # ------------------------------------------------------------ values, uses
    def root(self, v: Value) -> Value:
        """The value whose memory `v` looks at: shape ops are views."""
        op = self.made_by.get(v)
        while op is not None and _looks(op) and isinstance(op.args[0], Value):
            v = op.args[0]
            op = self.made_by.get(v)
        return v

    def reads(self, op: Op) -> set[Value]:
        return {self.root(v) for v in used_values(op) if isinstance(v.type, TileType)}

    def last_reads(self, body: Body) -> dict[Value, int]:
        return {v: i for i, op in enumerate(body.ops) for v in self.reads(op)}

    def put(self, arg: Arg) -> Arg:
        """Where an operand now is."""
        return self.env.get(arg, arg) if isinstance(arg, Value) else arg

    def alloc(self, like: Value, space: Space | None = None) -> tuple[Op, Value]:
        """A new place for the value `like`."""
        op = self.made_by.get(like)
        if space is None:
            multiplied = Space.ACCUMULATOR if like in self.accumulators else Space.SHARED if like in self.feeds_dot else Space.REGISTER
            space = multiplied if like.tile.shape else Space.REGISTER
        place = Value(like.name, replace(like.tile, place=Place(space)))
        return Op("alloc", results=(place,), loc=op.loc if op else None), place

    # ------------------------------------------------------------ bodies
    def body(self, body: Body, wishes: dict[Value, _Wish]) -> tuple[Body, dict[Value, Value]]:
        """The placed body, without its results; and where each yielded value is."""
        last = self.last_reads(body)
        wishes = self.spread(body, wishes, last)
        outer, self.scope = self.scope, {r for op in body.ops for r in op.results}
        ops: list[Op] = []
        for i, op in enumerate(body.ops[:-1]):
            ops += self.op(op, i, last, wishes)
        self.scope = outer
        where = {v: self.env.get(v, v) for v in body.result if isinstance(v, Value)}
        return Body((), (*ops, Op("yield"))), where

    def spread(self, body: Body, wishes: dict[Value, _Wish], last: dict[Value, int]) -> dict[Value, _Wish]:
        """A wish for a dot's result is one for its accumulator too, if nothing else reads that."""
        wishes = dict(wishes)
        for i, op in reversed(list(enumerate(body.ops))):
            if op.name == "dot" and len(op.args) == 3 and op.result in wishes:
                acc = op.args[2]
                mine = isinstance(acc, Value) and any(acc in o.results for o in body.ops[:i])
                if isinstance(acc, Value) and mine and last.get(acc) == i and acc not in wishes and self.root(acc) is acc:
                    wishes[acc] = wishes[op.result]
        return wishes

    def granted(self, v: Value, op: Op, i: int, last: dict[Value, int], wishes: dict[Value, _Wish]) -> Value | None:
        """The place wished for `v`, if what it holds is not needed once `op` has run."""
        wish = wishes.get(v)
        if wish is None or wish.place.tile.value != v.tile:
            return None
        if wish.holder is None or wish.holder is v:
            return wish.place
        when = last.get(wish.holder, -1)
        return wish.place if when < i or (when == i and self.updates(op, wish.holder)) else None

    def updates(self, op: Op, holder: Value) -> bool:
        """Whether `op` reads element i of `holder` before it writes element i of its result, and no other."""
        if op.name == "map":
            return all(v is holder and v.tile.shape == op.attr("shape") for v in op.uses() if self.root(v) is holder)
        if op.name == "dot":
            return not any(isinstance(v, Value) and self.root(v) is holder for v in op.args[:2]) and op.args[2:] == (holder,)
        return op.name == "if"                              # its branches decide, each for itself

    # ------------------------------------------------------------ ops
    def op(self, op: Op, i: int, last: dict[Value, int], wishes: dict[Value, _Wish]) -> list[Op]:
        if op.name in ("for", "while"):
            return self.loop(op, i, last, wishes)
        if op.name == "if":
            return self.branch(op, i, last, wishes)
        placed = substitute(op, self.env)
        args = placed.args
        if _looks(op):
            return self.view(op, args)
        if not op.results or not op.results[0].tile.shape:
            return [placed]
        new: list[Op] = []
        into: list[Value] = []
        for r in op.results:
            place = self.granted(r, op, i, last, wishes)
            if place is None:
                alloc, place = self.alloc(r)
                new.append(alloc)
            self.env[r] = place
            into.append(place)
        if op.name == "dot" and len(args) == 3 and args[2] is not into[0]:
            new.append(_copy(args[2], into[0], op))
            args = (*args[:2], into[0])
        return [*new, replace(placed, args=args, results=(), into=tuple(into))]

    def view(self, op: Op, args: tuple[Operand, ...]) -> list[Op]:
        (source,) = args
        assert isinstance(source, Value)
        if not source.tile.shape:                           # a scalar given a shape: fill
            alloc, place = self.alloc(op.results[0])
            self.env[op.result] = place
            return [alloc, Op("full", (source,), (("shape", op.result.tile.shape),), into=(place,), loc=op.loc)]
        new: list[Op] = []
        strides = _view_strides(op, source.tile)
        if strides is None:
            new, source = self.spare(source, op)
            strides = _view_strides(op, source.tile)
        assert strides is not None and source.tile.place is not None
        if not op.results[0].tile.shape:                    # back to a scalar: a read of the one element
            return [*new, replace(op, args=(source,))]
        for n, r in enumerate(op.results):
            layout = ROW if strides == row_major(r.tile.shape) else Layout(strides)
            view = Value(r.name, replace(r.tile, place=replace(source.tile.place, layout=layout)))
            start = n * r.tile.shape[op.attr("axis")] * source.tile.strides[op.attr("axis")] if op.name == "split" else 0
            new.append(Op("view", (source,), (("start", start),) if start else (), (view,), loc=op.loc))
            self.env[r] = view
            self.seen_through[view] = self.seen_through.get(source, source)
        return new

    def loop(self, op: Op, i: int, last: dict[Value, int], wishes: dict[Value, _Wish]) -> list[Op]:
        """Carried values become places: the initial value's own if it ends here, the wished-for, or a new one."""
        head = 2 if op.name == "for" else 0
        carried = scalars(op)[head:]
        new: list[Op] = []
        homes: list[Value] = []
        for init, result in zip(carried, op.results, strict=True):
            home, ops = self.home(init, result, op, i, last, wishes, homes)
            new += ops
            homes.append(home)
        bodies: list[Body] = []
        for body in op.bodies:
            params = body.params[1:] if op.name == "for" else body.params
            self.env.update(zip(params, homes, strict=True))
            if op.name == "while" and not bodies:           # the condition
                inner, _ = self.body(body, {})
                bodies.append(replace(inner, ops=(*inner.ops[:-1], substitute(body.ops[-1], self.env))))
                continue
            want = {v: _Wish(h, p) for v, h, p in zip(body.result, homes, params, strict=True) if isinstance(v, Value) and self.inside(v, body)}
            bodies.append(replace(self.arriving(op, body, homes, want), params=body.params[:1] if op.name == "for" else ()))
        self.env.update(zip(op.results, homes, strict=True))
        return [*new, replace(op, args=tuple(self.put(a) for a in scalars(op)[:head]), results=(), bodies=tuple(bodies))]

    def arriving(self, op: Op, body: Body, homes: list[Value], want: dict[Value, _Wish]) -> Body:
        """The placed body, at its end everything that it yields moved to its home."""
        inner, where = self.body(body, want)
        sources = [where.get(v, v) if isinstance(v, Value) else v for v in scalars(body.ops[-1])]
        return Body((), (*inner.ops[:-1], *self.moves(sources, homes, op), Op("yield")))

    def home(self, init: Arg, result: Value, op: Op, i: int, last: dict[Value, int], wishes: dict[Value, _Wish],
             taken: list[Value]) -> tuple[Value, list[Op]]:
        """The place that one carried value lives in, and the ops that put its initial value there."""
        at = self.put(init)
        wish = wishes.get(result)
        if wish is not None and wish.place not in taken and wish.place.tile.value == result.tile and self.free(wish.holder, init, op, i, last):
            return wish.place, [] if at is wish.place else [_copy(at, wish.place, op)]
        made = self.made_by.get(init) if isinstance(init, Value) else None
        mine = isinstance(init, Value) and made is not None and not _looks(made) and made.name not in ("for", "while", "if") and init in self.scope
        if mine and isinstance(init, Value) and isinstance(at, Value) and at.tile.shape and at not in taken and self.free(init, init, op, i, last):
            return at, []
        alloc, place = self.alloc(result)
        return place, [alloc, _copy(at, place, op)]

    def free(self, holder: Value | None, init: Arg, op: Op, i: int, last: dict[Value, int]) -> bool:
        """Whether the loop `op` may overwrite what `holder` names: read by nothing later, and by the loop as its initial value at most."""
        if holder is None:
            return True
        inside = any(self.root(v) is holder for b in op.bodies for o in b.ops for v in used_values(o))
        starts = [a for a in op.args if isinstance(a, Value) and self.root(a) is holder]
        return last.get(holder, -1) <= i and not inside and (not starts or (starts == [init] and init is holder))

    def inside(self, v: Value, body: Body) -> bool:
        return any(v in o.results for o in body.ops)

    def moves(self, sources: Sequence[Arg], to: Sequence[Value], op: Op) -> list[Op]:
        """Copies to many places at once: a place that is overwritten before it is read is saved first."""
        todo = [(source, home) for source, home in zip(sources, to, strict=True) if source is not home]
        homes = [home for _, home in todo]
        saved: list[Op] = []
        final: list[Op] = []
        for n, (source, home) in enumerate(todo):
            read = self.seen_through.get(source, source) if isinstance(source, Value) else source
            clobbered = homes if read is not source else homes[:n]
            if isinstance(source, Value) and any(read is h for h in clobbered):
                ops, source = self.spare(source, op)
                saved += ops
            final.append(_copy(source, home, op))
        return saved + final

    def spare(self, source: Value, op: Op) -> tuple[list[Op], Value]:
        """What `source` holds now, out of reach of later writes."""
        if not source.tile.shape:
            kept = Value(source.name, source.tile.value)
            return [Op("copy", (source,), results=(kept,), loc=op.loc)], kept
        place = Value(source.name, replace(source.tile, place=Place(Space.REGISTER)))
        return [Op("alloc", results=(place,), loc=op.loc), _copy(source, place, op)], place

    def branch(self, op: Op, i: int, last: dict[Value, int], wishes: dict[Value, _Wish]) -> list[Op]:
        new: list[Op] = []
        homes: list[Value] = []
        for r in op.results:
            place = self.granted(r, op, i, last, wishes)
            if place is None or place in homes:
                alloc, place = self.alloc(r, Space.REGISTER)
                new.append(alloc)
            homes.append(place)
        bodies: list[Body] = []
        for body in op.bodies:
            want: dict[Value, _Wish] = {}
            for v, home, r in zip(body.result, homes, op.results, strict=True):
                if isinstance(v, Value) and self.inside(v, body):
                    wish = wishes.get(r)
                    want[v] = _Wish(home, wish.holder if wish is not None and wish.place is home else None)
            bodies.append(self.arriving(op, body, homes, want))
        self.env.update(zip(op.results, homes, strict=True))
        return [*new, replace(op, args=tuple(self.put(a) for a in scalars(op)), results=(), bodies=tuple(bodies))]


def _accumulators(body: Body) -> set[Operand]:
    """What products add up in: their results and accumulators, and what loops carry from one to the next."""
    found: set[Operand] = {v for op in walk(body) if op.name == "dot" for v in (op.result, *op.args[2:])}
    rows = [row for op in walk(body) if op.name in ("for", "while")
            for row in zip(op.args[-len(op.results):], op.bodies[-1].params[-len(op.results):], op.bodies[-1].result, op.results, strict=False)]
    while new := {v for row in rows if found & set(row) for v in row} - found:
        found |= new
    return found


def _looks(op: Op) -> bool:
    """Whether the op only looks at its operand's memory."""
    return op.name in VIEWS and not op.attr("real")


def _copy(source: Operand, home: Value, like: Op) -> Op:
    return Op("copy", (source,), into=(home,), loc=like.loc)


def _view_strides(op: Op, source: TileType) -> tuple[int, ...] | None:
    """Strides of the op's result over the source's memory; None if only a copy can give it."""
    strides, shape = source.strides, op.results[0].tile.shape
    if op.name == "transpose":
        return tuple(strides[a] for a in op.attr("axes"))
    if op.name == "split":
        return strides
    if op.name == "broadcast":
        lead = len(shape) - len(source.shape)
        return (0,) * lead + tuple(0 if n == 1 and m != 1 else s for n, m, s in zip(source.shape, shape[lead:], strides, strict=True))
    return _reshape_strides(source.shape, strides, shape)


def _reshape_strides(old: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...] | None:
    """Strides of a row-major reshape of a strided block, if they exist: groups of axes with equal products must each be gapless."""
    if strides == row_major(old):
        return row_major(new)
    left = iter([s for n, s in zip(old, strides, strict=True) if n != 1])
    if [n for n in old if n != 1] != [n for n in new if n != 1]:        # only unit axes may come and go on a strided block
        return None
    return tuple(next(left) if n != 1 else 0 for n in new)
