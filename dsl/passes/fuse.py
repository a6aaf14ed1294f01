"""Elementwise chains become one map each, or the body of the reduction that they feed."""
from __future__ import annotations

from dataclasses import replace
from math import prod

from ..ir import Arg, Body, Const, Kernel, Op, Value, make_attrs, producers, walk
from ..ops import OPS
from ..ops.structure import REDUCTIONS
from ..types import TileType
from ._rewriting import NEGATED, literal, live, scalars

# Computing these again costs less than a load: at most HANDFUL of them, on coordinates, literals and scalars only.
CHEAP = ("add", "sub", "mul", "neg", "and", "or", "xor", "not", *NEGATED, "where", "minimum", "maximum", "cast", "coordinate", "iota", "full", "broadcast",
         "reshape")
HANDFUL = 8
Axes = tuple[int | None, ...]       # for each axis of a tile, the axis of the map that runs along it; None where the extent is 1


def fuse(kernel: Kernel) -> Kernel:
    """Assumes the value form, rid of dead code.  Then every elementwise op on tiles stands in a map or in the body of a reduction, and no
    map feeds just one other op that could hold it.  Nothing is computed more often than before but for a handful of cheap integer ops."""
    while True:         # a body names each value once, so it may weigh less than the ops it was made of: a second look is rarely needed
        before = sum(1 for _ in walk(kernel.body))
        kernel = replace(kernel, body=_emitted(kernel.body, _Plan(kernel)))
        if sum(1 for _ in walk(kernel.body)) == before:
            return kernel


def _elementwise(op: Op) -> bool:
    entry = OPS.get(op.name)
    return op.name == "map" or (entry is not None and entry.elementwise and entry.pure and bool(op.result.tile.shape))


def _inserts_units(op: Op) -> bool:
    """Whether a reshape only adds and drops axes of extent 1."""
    x, y = scalars(op)[0].tile.shape, op.result.tile.shape
    return [n for n in x if n > 1] == [n for n in y if n > 1]


def _view(op: Op) -> bool:
    return op.name == "broadcast" or (op.name == "reshape" and _inserts_units(op))


def _absorbable(op: Op) -> bool:
    """Whether a map can compute the op's result from what the op reads."""
    return len(op.results) == 1 and (_elementwise(op) or _view(op) or op.name in ("iota", "full"))


class _Plan:
    """Which tiles are stored, and which are computed where they are used."""

    def __init__(self, kernel: Kernel) -> None:
        self.defs = producers(kernel.body)
        self.loops: dict[Op, tuple[Op, ...]] = {}
        self.users: dict[Value, list[Op]] = {}
        self.stored: set[Value] = set()
        self.inlined: set[Value] = set()
        self.roots: dict[Value, set[Op | None]] = {}     # the ops a tile ends up in; None is one that needs it stored
        self.weights: dict[Value, int] = {}
        self._place(kernel.body, ())
        for op in reversed(list(walk(kernel.body))):
            for r in op.results:
                self._decide(r, op)

    def _place(self, body: Body, loops: tuple[Op, ...]) -> None:
        for op in body.ops:
            self.loops[op] = loops
            for v in dict.fromkeys(op.uses()):
                self.users.setdefault(v, []).append(op)
            for b in op.bodies:
                self._place(b, (*loops, op) if op.name in ("for", "while") else loops)

    def weight(self, v: Value) -> int:
        """How many cheap ops make the value, counted up to more than a handful; a handful and one also if it takes any other."""
        if v in self.weights or not v.tile.shape:
            return self.weights.get(v, 0)
        op, total = self.defs.get(v), HANDFUL + 1
        if op is not None and _absorbable(op):
            ops = op.bodies[0].ops[:-1] if op.bodies else (op,)
            good = all(o.name in CHEAP and all(a.tile.dtype.kind in "bi" for a in scalars(o)[o.name == "full":]) for o in ops) or op.name == "full"
            total = len(ops) * (not _view(op)) + sum(self.weight(a) for a in op.uses()) if good else total
        self.weights[v] = min(total, HANDFUL + 1)
        return self.weights[v]

    def _decide(self, v: Value, op: Op) -> None:
        roots: set[Op | None] = set()
        for user in self.users.get(v, ()):
            if _absorbable(user):
                r = user.results[0]
                roots |= ({user} if _elementwise(user) else {None}) if r in self.stored else set()
                roots |= self.roots[r] if r in self.inlined else set()
            else:
                roots.add(user if user.name in REDUCTIONS or user.name == "map" else None)
        needed = None in roots
        roots.discard(None)
        if not _absorbable(op) or not roots:
            self.stored.add(v)
        elif _view(op) or self.weight(v) <= HANDFUL or (not needed and (len(roots) == 1 or _light(op)) and all(self._as_often(op, r) for r in roots)):
            self.inlined.add(v)
            self.roots[v] = roots
            self.stored.update({v} if needed else ())
        else:
            self.stored.add(v)

    def _as_often(self, op: Op, root: Op | None) -> bool:
        """Whether the place that would compute `op` instead does so for as many elements, as often."""
        return root is not None and self.loops[root] == self.loops[op] and prod(_ranges_over(root)) == op.result.tile.size


def _light(op: Op) -> bool:
    """A single comparison or sign change: done twice rather than stored."""
    ops = op.bodies[0].ops[:-1] if op.bodies else (op,)
    return len(ops) == 1 and ops[0].name in (*NEGATED, "not", "neg", "abs")


def _ranges_over(root: Op) -> tuple[int, ...]:
    """The shape whose elements a map or reduction visits."""
    if root.name not in REDUCTIONS:
        return root.results[0].tile.shape
    shape: tuple[int, ...] = root.attr("shape") or scalars(root)[0].tile.shape
    return shape


def _emitted(body: Body, plan: _Plan) -> Body:
    """The body with every tile that is not stored computed inside its users."""
    ops: list[Op] = []
    for op in body.ops:
        if op.results and _absorbable(op) and op.result not in plan.stored:
            continue
        inlines = any(v in plan.inlined for v in op.uses())
        if op.results and (_elementwise(op) or (op.name in REDUCTIONS and (op.bodies or inlines))):
            ops += _Expansion(plan, op).emitted()
        else:
            ops.append(replace(op, bodies=tuple(_emitted(b, plan) for b in op.bodies)) if op.bodies else op)
    return replace(body, ops=tuple(ops))


class _Expansion:
    """The scalar body of one map or reduction: all that is computed in it, once each, and the tiles that it reads."""

    def __init__(self, plan: _Plan, root: Op) -> None:
        self.plan, self.root, self.shape = plan, root, _ranges_over(root)
        self.inputs: dict[Value, Value] = {}             # tile, in a shape that broadcasts -> parameter
        self.views: dict[tuple[Value, tuple[int, ...]], Op] = {}
        self.ops: list[Op] = []
        self.done: dict[tuple[Value, Axes], Arg] = {}
        self.same: dict[tuple[object, ...], Value] = {}

    def emitted(self) -> list[Op]:
        """The views that the inputs need, then the op."""
        root, axes = self.root, tuple(range(len(self.shape)))
        outs = [self.value(scalars(root)[0], axes)] if root.name in REDUCTIONS and not root.bodies else self.computed(root, axes)
        body = Body(tuple(self.inputs.values()), (*live(self.ops, outs), Op("yield", tuple(outs), loc=root.loc)))
        if root.name in REDUCTIONS:
            new = replace(root, args=tuple(self.inputs), bodies=(body,)).having(shape=self.shape, dtype=outs[0].tile.dtype)
        else:
            attrs = make_attrs({"shape": self.shape, "dtypes": tuple(r.tile.dtype for r in root.results)})
            new = replace(root, name="map", args=tuple(self.inputs), attrs=attrs, bodies=(body,))
        return [*self.views.values(), new]

    def value(self, arg: Arg, axes: Axes) -> Arg:
        """One element of a tile, where the axes of the map stand as `axes` says."""
        if isinstance(arg, Const) or not arg.tile.shape:
            return arg
        if (arg, axes) not in self.done:
            self.done[arg, axes] = self.computed(self.plan.defs[arg], axes)[0] if arg in self.plan.inlined else self._read(arg, axes)
        return self.done[arg, axes]

    def computed(self, op: Op, axes: Axes) -> list[Arg]:
        """One element of each result of `op`."""
        if op.name == "full":
            return list(scalars(op))
        if op.name == "iota":
            return [self._coordinate(op, axes[0])]
        if op.name == "reshape":
            long = iter(a for a, n in zip(axes, op.result.tile.shape, strict=True) if n > 1)
            return [self.value(scalars(op)[0], tuple(next(long) if n > 1 else None for n in scalars(op)[0].tile.shape))]
        args = [self.value(a, _aligned(a.tile.shape, axes)) for a in scalars(op)]
        if op.name == "broadcast":
            return args
        if not op.bodies:
            return [self._op(op, args)]
        local: dict[Value, Arg] = dict(zip(op.bodies[0].params, args, strict=True))
        for o in op.bodies[0].ops[:-1]:
            at = o.name == "coordinate"
            local[o.result] = self._coordinate(o, axes[o.attr("axis")]) if at else self._op(o, [_local(a, local) for a in scalars(o)])
        return [_local(a, local) for a in scalars(op.bodies[0].ops[-1])]

    def _op(self, op: Op, args: list[Arg]) -> Arg:
        dtype = op.result.tile.dtype
        key = (op.name, tuple((repr(a.value), a.dtype) if isinstance(a, Const) else a for a in args), repr(op.attrs), dtype)
        if key not in self.same:
            new = replace(op, args=tuple(args), results=(Value(op.result.name, TileType(dtype)),))
            self.ops.append(new)
            self.same[key] = new.result
        return self.same[key]

    def _coordinate(self, op: Op, axis: int | None) -> Arg:
        if axis is None or self.shape[axis] == 1:
            return literal(0, op.result.tile.dtype)
        return self._op(replace(op, name="coordinate", attrs=(("axis", axis),)), [])

    def _read(self, tile: Value, axes: Axes) -> Arg:
        """The parameter that brings in a stored tile, through a reshape if its axes do not stand where numpy would look for them."""
        shape = [1] * len(self.shape)
        for n, axis in zip(tile.tile.shape, axes, strict=True):
            if axis is not None:
                shape[axis] = n
        while len(shape) > 1 and shape[0] == 1:
            del shape[0]
        want, have = tuple(shape), tile.tile.shape
        view = self._viewed(tile, want) if _stripped(have) != _stripped(want) or len(have) > len(self.shape) else tile
        return self.inputs.setdefault(view, Value(tile.name, TileType(tile.tile.dtype)))

    def _viewed(self, tile: Value, shape: tuple[int, ...]) -> Value:
        if (tile, shape) not in self.views:
            new = Value(tile.name, TileType(tile.tile.dtype, shape))
            self.views[tile, shape] = Op("reshape", (tile,), (("shape", shape),), (new,), loc=self.root.loc)
        return self.views[tile, shape].result


def _local(a: Arg, local: dict[Value, Arg]) -> Arg:
    return local.get(a, a) if isinstance(a, Value) else a


def _stripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without leading ones."""
    n = next((i for i, s in enumerate(shape) if s != 1), len(shape))
    return shape[n:]


def _aligned(shape: tuple[int, ...], axes: Axes) -> Axes:
    """The axes of an operand of `shape` where those of the result stand as `axes`: by numpy's broadcasting, from the last."""
    return tuple(None if n == 1 else a for n, a in zip(shape, axes[len(axes) - len(shape):], strict=True))
