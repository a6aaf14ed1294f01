"""Guards that are never needed, comparisons that are always true, and integers that fit 32 bits."""
from __future__ import annotations

from dataclasses import replace

from ..ir import Arg, Body, Const, Kernel, Op, Operand, Span, Value, substitute, walk
from ..types import I32, INDEX, DType, TileType
from ._affine import Facts, Form, combine, constant
from ._rewriting import NEGATED, Builder, literal, live, scalars

NARROWS = ("add", "sub", "mul", "neg", "abs", "minimum", "maximum", "where", "floordiv", "mod", *NEGATED)
ACCESSES = ("load", "store", "atomic_add", "atomic_min", "atomic_max")


def intervals(kernel: Kernel) -> Kernel:
    """Assumes the value form; best after fuse.  Then a memory op's `inside` lists the dimensions whose coordinates are proved within the
    tensor (a `stop` proved never to bite is gone); comparisons with one outcome and integers with one value are literals; index arithmetic
    in maps is done in i32 where it provably fits, and so are index tiles that only serve as coordinates; the kernel's `wanted` lists the
    (dimension, divisor) facts that would make more spans provable."""
    work = _Intervals(kernel)
    body = work.body(kernel.body)
    return replace(kernel, body=body).having(wanted=tuple(sorted(work.wanted)) or None)


class _Intervals:
    def __init__(self, kernel: Kernel) -> None:
        self.facts = Facts(kernel)
        self.known = dict(kernel.facts)
        self.wanted: set[tuple[str, int]] = set()
        self.new: dict[Value, Arg] = {}
        coordinates: set[Operand] = set()
        others: set[Operand] = set()
        for op in walk(kernel.body):
            for n, a in enumerate(op.args):
                (coordinates if op.name in ACCESSES and n >= 1 + (op.name != "load") else others).add(a)
        self.only_coordinates = coordinates - others

    def body(self, body: Body) -> Body:
        """The body with everything proved written into it."""
        ops: list[Op] = []
        casts: dict[Value, Value] = {}
        for op in body.ops:
            op = substitute(op, self.new)
            if op.name in ("for", "while", "if"):
                op = replace(op, bodies=tuple(self._inner(op, n) for n in range(len(op.bodies))))
            elif op.bodies:
                before, op = self._mapped(op, casts)
                ops += before
            elif op.name in ACCESSES:
                op = self._access(op)
            self.facts.visit(op)
            if not self._decided(op):
                ops.append(op)
        return replace(body, ops=tuple(ops))

    def _inner(self, op: Op, n: int) -> Body:
        with self.facts.inside(op, n):
            return self.body(op.bodies[n])

    def _decided(self, op: Op) -> bool:
        """Whether a scalar op has just one outcome, which then stands for it."""
        if len(op.results) != 1 or op.result.tile.shape or op.bodies or op.name in ("load", "grid"):
            return False
        truth = self.facts.decides(op)
        if truth is not None:
            self.new[op.result] = literal(truth, op.result.tile.dtype)
        elif op.result.tile.dtype.kind == "i":
            lo, hi = self.facts.range(self.facts.form(op.result))
            if lo == hi:
                self.new[op.result] = literal(lo, op.result.tile.dtype)
        return op.result in self.new

    # ------------------------------------------------------------ memory
    def _access(self, op: Op) -> Op:
        first = 1 if op.name == "load" else 2
        tensor, coordinates = op.args[0], list(op.args[first:])
        inside = []
        if not isinstance(tensor, Value):
            return op
        for d, (at, text) in enumerate(zip(coordinates, tensor.tensor.dims, strict=True)):
            dim = self.facts.dimension(text)
            if not isinstance(at, Span):
                form = self.facts.form(at)
                if self.facts.proves(form) and self.facts.below(form, dim):
                    inside.append(d)
                continue
            start = self.facts.form(at.start)
            end = combine(start, constant(at.extent))
            if at.stop is not None and not self.facts.proves(combine(self.facts.form(at.stop), end, -1)):
                continue
            if self.facts.proves(start) and self.facts.proves(combine(dim, end, -1)):
                inside.append(d)
                coordinates[d] = Span(at.start, at.extent)
            else:
                self._want(at, start, text)
        return replace(op, args=(*op.args[:first], *coordinates)).having(inside=tuple(inside) or None)

    def _want(self, at: Span, start: Form, dim: str) -> None:
        if at.stop is None and dim in self.facts.dims and self.facts.divisor(start) % at.extent == 0 and self.known.get(dim, 1) % at.extent:
            self.wanted.add((dim, at.extent))

    # ------------------------------------------------------------ maps
    def _mapped(self, op: Op, casts: dict[Value, Value]) -> tuple[list[Op], Op]:
        """The casts of free scalars that the body now needs, and the op with its index arithmetic narrowed."""
        with self.facts.inside(op):
            work = _Narrowing(self.facts, op, casts)
            body = work.body()
        dtypes = op.attr("dtypes")
        if op.name == "map" and op.result in self.only_coordinates and op.result.tile.dtype is INDEX and body.result[0] in work.widened:
            tile = Value(op.result.name, replace(op.result.tile, dtype=I32))
            self.new[op.result] = tile
            body = _pruned(replace(body, ops=(*body.ops[:-1], replace(body.ops[-1], args=(work.widened[body.result[0]],)))))
            op, dtypes = replace(op, results=(tile,)), (I32,)
            self.only_coordinates = self.only_coordinates | {tile}
        return work.outside.ops, replace(op, bodies=(body,)).having(dtypes=dtypes)


def _pruned(body: Body) -> Body:
    """Without scalar ops that nothing reads."""
    return replace(body, ops=(*live(body.ops[:-1], body.result), body.ops[-1]))


class _Narrowing:
    """The body of one map with index arithmetic in i32: `narrow` has the i32 twin of an index value, `widened` the way back."""

    def __init__(self, facts: Facts, op: Op, casts: dict[Value, Value]) -> None:
        self.facts, self.op, self.casts = facts, op, casts
        self.outside, self.put = Builder(op), Builder(op)
        self.ops = self.put.ops
        self.new: dict[Value, Arg] = {}
        self.narrow: dict[Value, Arg] = {}
        self.widened: dict[Operand, Arg] = {}
        self.own = {*op.bodies[0].params, *(r for o in op.bodies[0].ops for r in o.results)}

    def body(self) -> Body:
        body = self.op.bodies[0]
        for op in body.ops:
            op = substitute(op, self.new)
            self.facts.visit(op)
            if op.name == "yield" or not self._decided(op):
                self._emit(op)
        return _pruned(replace(body, ops=tuple(self.ops)))

    def _decided(self, op: Op) -> bool:
        truth = self.facts.decides(op)
        if truth is None:
            return False
        self.new[op.result] = literal(truth, op.result.tile.dtype)
        return True

    def _fits(self, a: Arg) -> bool:
        return a.tile.dtype is INDEX and self.facts.fits(self.facts.form(a), I32.lo, I32.hi)

    def _emit(self, op: Op) -> None:
        result = op.result if op.results else None
        indices = [a for a in scalars(op) if a.tile.dtype is INDEX]
        if op.name == "coordinate" and result is not None and result.tile.dtype is INDEX:
            self._narrowed(op, [])
        elif op.name == "cast" and result is not None and self._cast(op, scalars(op)[0], result.tile.dtype):
            pass
        elif op.name in NARROWS and indices and all(self._fits(a) for a in (*indices, *op.results) if a.tile.dtype is INDEX):
            self._narrowed(op, [self._twin(a) for a in scalars(op)])
        elif not (op.name in NEGATED and indices and self._relative(op)):
            self.ops.append(replace(op, args=tuple(self._wide(a) for a in scalars(op))))

    def _narrowed(self, op: Op, args: list[Arg]) -> None:
        """Emit the op on i32; its own result, if an index, is known by the twin from here on."""
        if op.result.tile.dtype is not INDEX:
            self.ops.append(replace(op, args=tuple(args)))
            return
        twin = Value(op.result.name, TileType(I32))
        self.ops.append(replace(op, args=tuple(args), results=(twin,)))
        self.narrow[op.result] = twin
        self.facts.forms[twin] = self.facts.form(op.result)

    def _cast(self, op: Op, x: Arg, dtype: DType) -> bool:
        """Casts from and to index, where the other side already stands in the body."""
        if x.tile.dtype is I32 and dtype is INDEX:
            self.narrow[op.result] = x
            self.ops.append(op)
            self.widened[op.result] = x
            return True
        if x.tile.dtype is not INDEX or not self._fits(x) or dtype is INDEX:
            return False
        known = x in self.narrow or isinstance(x, Const)
        if dtype is I32 and (known or x not in self.own):
            self.new[op.result] = self._twin(x)
        else:
            self.ops.append(replace(op, args=(self._twin(x),)) if known else op)
        if dtype is I32 and isinstance(x, Value) and x in self.own:
            self.narrow.setdefault(x, op.result)
        return True

    def _twin(self, a: Arg) -> Arg:
        """An operand in i32: a literal, what the body has, or a cast (outside the body for a free scalar)."""
        if a.tile.dtype is not INDEX:
            return a
        if isinstance(a, Const):
            return literal(a.value, I32)
        if a in self.own and a not in self.narrow:
            twin = self.put("cast", a, dtype=I32, hint=a.name)
            self.narrow[a], self.facts.forms[twin] = twin, self.facts.form(a)
        return self.narrow[a] if a in self.own else self._free(a)

    def _free(self, a: Value) -> Value:
        if a not in self.casts:
            self.casts[a] = self.outside("cast", a, dtype=I32, hint=a.name)
            self.facts.forms[self.casts[a]] = self.facts.form(a)
        return self.casts[a]

    def _wide(self, a: Arg) -> Arg:
        """An operand as an index again, if only its twin was emitted."""
        if isinstance(a, Const) or a not in self.narrow or any(a in o.results for o in self.ops) or a in self.op.bodies[0].params:
            return a
        twin = self.narrow[a]
        wide = self.put("cast", twin, hint=a.name)
        self.facts.forms[wide] = self.facts.form(a)
        self.widened[wide] = twin
        return wide

    def _relative(self, op: Op) -> bool:
        """x < y where they do not fit: what varies over the tile is compared in i32 with the rest, computed once outside and clamped,
        which changes no outcome because the varying side fits."""
        x, y = (self.facts.form(a) for a in scalars(op))
        gap = combine(x, y, -1)
        varies: Form = {a: c for a, c in gap.items() if a in self.own}
        rest = {a: -c for a, c in gap.items() if a not in self.own}
        lo, hi = self.facts.range({None: 0, **varies})
        low, high = self.facts.range(rest)
        if not varies or low < INDEX.lo or high > INDEX.hi or lo <= I32.lo or hi >= I32.hi:
            return False
        if not all(isinstance(a, Value) and a in self.narrow for a in varies):
            return False
        if not all(a is None or (isinstance(a, Value) and a.tile.dtype is INDEX and not a.tile.shape) for a in rest):
            return False
        left = self.put.linear(((self.narrow[a], c) for a, c in varies.items() if isinstance(a, Value)), 0, I32)
        total = self.outside.linear(((a, c) for a, c in rest.items() if isinstance(a, Value)), rest.get(None, 0))
        bound = self.outside("maximum", total, literal(I32.lo, INDEX), hint="bound")
        bound = self.outside("minimum", bound, literal(I32.hi, INDEX), hint="bound")
        right = self.outside("cast", bound, dtype=I32, hint="bound")
        self.ops.append(replace(op, args=(left, right)))
        return True
