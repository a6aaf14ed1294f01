"""What is known of integers: linear forms over dimensions, coordinates and loop indices, the range and a divisor of each, and inequalities.

A form maps an atom to its coefficient and None to the constant.  The form of a tile speaks of any one of its elements; atoms that differ
between elements (`varying`) therefore never meet those of another tile.
"""
from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import gcd

from ..ir import Arg, Body, Const, Kernel, Op, Span, Value, producers
from ..types import DType, TileType
from ._rewriting import NEGATED, made_by, scalars

Atom = Value | str
Form = dict[Atom | None, int]
DIM_MAX = (1 << 31) - 1         # each dimension of a tensor is below 2^31; the call checks it
EFFORT = 300                    # forms tried in one proof: the longest proof in the kernels of the specification takes 9


def constant(n: int) -> Form:
    """The form of a literal."""
    return {None: n}


def combine(a: Form, b: Form, scale: int = 1) -> Form:
    """a + scale * b, zeros left out."""
    total = dict(a)
    for atom, c in b.items():
        total[atom] = total.get(atom, 0) + scale * c
    return {atom: c for atom, c in total.items() if c or atom is None}


class Facts:
    """Forms of values, and a proof procedure; `visit` every op in program order, those of a body `inside` it."""

    def __init__(self, kernel: Kernel) -> None:
        self.forms: dict[Value, Form] = {}
        self.ranges: dict[Atom, tuple[int, int]] = {}
        self.divisors: dict[Atom, int] = {}
        self.rules: list[Form] = []                     # each is >= 0 here
        self.varying: set[Atom] = set()
        self.elements: dict[tuple[Atom, Value], str] = {}
        self.extents: list[Value] = []                  # of the grid
        self.defs = producers(kernel.body)
        self.dims = {d.name: d for d in kernel.dims}
        for d in kernel.dims:
            self.atom(d, (0, DIM_MAX), dict(kernel.facts).get(d.name, 1))

    # ------------------------------------------------------------ reading
    def form(self, a: Arg) -> Form:
        """The form of an integer operand: its own atom where nothing better is known."""
        if isinstance(a, Const):
            return constant(int(a.value))
        if a not in self.forms:
            dtype = a.tile.dtype
            self.atom(a, (dtype.lo, dtype.hi) if dtype.kind == "i" else (0, 1))
            if a.tile.shape:
                self.varying.add(a)
        return self.forms[a]

    def atom(self, a: Value, limits: tuple[int, int], divisor: int = 1) -> Form:
        """Make `a` an atom with a range and a divisor."""
        self.ranges[a], self.divisors[a], self.forms[a] = limits, divisor, {None: 0, a: 1}
        return self.forms[a]

    def range(self, form: Form) -> tuple[int, int]:
        """Least and greatest value by the ranges of the atoms alone."""
        lo = hi = form.get(None, 0)
        for a, c in form.items():
            if a is not None:
                low, high = self.ranges[a]
                lo, hi = lo + min(c * low, c * high), hi + max(c * low, c * high)
        return lo, hi

    def divisor(self, form: Form) -> int:
        """A number that divides every value; 0 for the form 0."""
        return gcd(*(c * (self.divisors.get(a, 1) if a is not None else 1) for a, c in form.items()))

    def dimension(self, text: str) -> Form:
        """The form of a tensor's dimension, given as its text: a number, a name, or an expression of names."""
        return self._expression(ast.parse(text, mode="eval").body)

    def _expression(self, node: ast.expr) -> Form:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return constant(node.value)
        if isinstance(node, ast.Name) and node.id in self.dims:
            return self.form(self.dims[node.id])
        text = ast.unparse(node)
        if isinstance(node, ast.BinOp):
            a, b = self._expression(node.left), self._expression(node.right)
            if isinstance(node.op, ast.Add | ast.Sub):
                return combine(a, b, 1 if isinstance(node.op, ast.Add) else -1)
            for x, y in ((a, b), (b, a)):
                if isinstance(node.op, ast.Mult) and set(y) == {None}:
                    return combine(constant(0), x, y[None])
            if isinstance(node.op, ast.Div) and set(b) == {None} and b[None] > 0 and text not in self.ranges:
                exact = combine({None: 0, text: b[None]}, a, -1)
                self.rules += [exact, combine(constant(0), exact, -1)]
        self.ranges.setdefault(text, (0, DIM_MAX))
        return {None: 0, text: 1}

    # ------------------------------------------------------------ proving
    def proves(self, form: Form) -> bool:
        """Whether form >= 0 follows: atoms that may pull it below zero are traded, by a rule, for others."""
        seen: set[tuple[tuple[Atom | None, int], ...]] = set()
        todo = [form]
        while todo and len(seen) < EFFORT:
            f = todo.pop(0)
            if self.range(f)[0] >= 0:
                return True
            key = tuple(f.items())
            if key in seen:
                continue
            seen.add(key)
            terms = [(a, c) for a, c in f.items() if a is not None]
            for a, c in [(a, c) for a, c in terms if min(c * n for n in self.ranges[a]) < 0] or terms:
                todo += [_traded(f, c, rule, rule[a]) for rule in self.rules if rule.get(a, 0) * c > 0]
        return False

    def below(self, x: Form, y: Form) -> bool:
        """Whether x < y."""
        return self.proves(combine(combine(y, x, -1), constant(-1)))

    def fits(self, form: Form, lo: int, hi: int) -> bool:
        """Whether every value is in lo..hi."""
        low, high = self.range(form)
        return (low >= lo or self.proves(combine(form, constant(-lo)))) and (high <= hi or self.proves(combine(constant(hi), form, -1)))

    def decides(self, op: Op) -> bool | None:
        """What a comparison of integers always gives, if it does."""
        if op.name not in NEGATED or not _integers(op):
            return None
        x, y = (self.element(a) for a in scalars(op))
        if op.name in ("eq", "ne"):
            apart = self.below(x, y) or self.below(y, x)
            return op.name == "ne" if apart else op.name == "eq" if combine(x, y, -1) == {None: 0} else None
        gap = holds_from_zero(op.name, x, y)
        if self.proves(gap):
            return True
        return False if self.proves(combine(constant(-1), gap, -1)) else None

    # ------------------------------------------------------------ scopes
    @contextmanager
    def inside(self, op: Op, n: int = 0) -> Iterator[None]:
        """What holds inside body `n` of `op` is known while this lasts."""
        mark, body = len(self.rules), op.bodies[n]
        if op.name == "for":
            self._index(op, body.params[0])
        elif op.name == "if":
            self.learn(op.args[0], n == 0)
        elif op.name != "while":
            self._inputs(op, body)
        yield
        del self.rules[mark:]

    def _index(self, op: Op, k: Value) -> None:
        start, stop = (self.form(a) for a in scalars(op)[:2])
        step = op.attr("step", 1)
        lo, hi = self.range(start)[0], self.range(stop)[1] - 1
        self.atom(k, (lo, max(hi, lo)), gcd(self.divisor(start), step))
        whole = self.divisor(combine(stop, start, -1)) % step == 0
        self.rules += [combine(combine(stop, {k: 1}, -1), constant(-step if whole else -1)), combine({None: 0, k: 1}, start, -1)]

    def _inputs(self, op: Op, body: Body) -> None:
        for p, a in zip(body.params, op.args, strict=True):
            if p.tile.dtype.kind == "i" and not isinstance(a, Span):
                form = self.form(a)
                if any(x in self.varying for x in form):
                    self.atom(p, self.range(form), self.divisor(form))
                    self.varying.add(p)
                else:
                    self.forms[p] = form
        for o in body.ops:
            if o.name == "coordinate":
                self.atom(o.result, (0, op.attr("shape")[o.attr("axis")] - 1))
                self.varying.add(o.result)

    def learn(self, c: object, truth: bool) -> None:
        """Take a condition as holding, or as not."""
        op = made_by(c, self.defs, "not", "and" if truth else "or", *NEGATED)
        if op is not None and op.name in NEGATED:
            if _integers(op):
                self._compared(op.name if truth else NEGATED[op.name], *scalars(op))
        elif op is not None:
            for a in op.args:
                self.learn(a, truth != (op.name == "not"))

    def _compared(self, name: str, a: Arg, b: Arg) -> None:
        x, y = self.form(a), self.form(b)
        if name == "eq":
            self.rules += [combine(y, x, -1), combine(x, y, -1)]
        elif name != "ne":
            self.rules.append(holds_from_zero(name, x, y))
        rest = made_by(a, self.defs, "mod")
        if name == "eq" and rest is not None and y == constant(0):
            x, n = (self.form(v) for v in scalars(rest))
            atom = next((k for k in x if k is not None), None)
            if atom is not None and x == {None: 0, atom: 1} and set(n) == {None}:
                old = self.divisors.get(atom, 1)
                self.divisors[atom] = old * n[None] // gcd(old, n[None])

    # ------------------------------------------------------------ ops
    def element(self, a: Arg) -> Form:
        """The form of an operand of an elementwise op: that of a tile is not tied to those of other tiles."""
        if isinstance(a, Const) or not a.tile.shape:
            return self.form(a)
        return {self._apart(x, a) if x is not None and x in self.varying else x: c for x, c in self.form(a).items()}

    def _apart(self, x: Atom, a: Value) -> Atom:
        """What stands for a varying atom in the elements of `a`."""
        name = self.elements.setdefault((x, a), f"element {len(self.elements)}")
        self.ranges[name], self.divisors[name] = self.ranges[x], self.divisors.get(x, 1)
        self.varying.add(name)
        return name

    def visit(self, op: Op) -> None:
        """Derive the form of an op's integer result."""
        if op.name == "assume":
            self.learn(op.args[0], True)
        elif op.name == "grid":
            for extent, i in zip(op.args, op.results, strict=True):
                size = self.form(extent)  # type: ignore[arg-type]
                self.atom(i, (0, max(self.range(size)[1] - 1, 0)))
                self.extents += [extent] if isinstance(extent, Value) else []
                self.rules.append(combine(combine(size, {i: 1}, -1), constant(-1)))
        elif op.name == "map":
            self.forms.update((r, self.form(a)) for r, a in zip(op.results, scalars(op.bodies[0].ops[-1]), strict=True) if r.tile.dtype.kind == "i")
        elif (op.name in ("argmin", "argmax") or not op.bodies) and len(op.results) == 1 and op.result.tile.dtype.kind == "i" and op.name != "load":
            self._derive(op)

    def _tile(self, op: Op, limits: tuple[int, int], divisor: int = 1) -> Form:
        self.atom(op.result, limits, divisor)
        if op.result.tile.shape or any(x in self.varying for v in op.uses() if v.tile.dtype.kind == "i" for x in self.form(v)):
            self.varying.add(op.result)
        return self.forms[op.result]

    def _derive(self, op: Op) -> None:
        dtype, args = op.result.tile.dtype, scalars(op)
        if op.result in self.forms:
            return
        if op.name in ("full", "broadcast", "reshape", "transpose"):
            self.forms[op.result] = self.form(args[0])
        elif op.name in ("iota", "argmin", "argmax"):
            n = op.attr("n") or (op.attr("shape") or args[0].tile.shape)[op.attr("axis")]
            self._tile(op, (0, n - 1))
        else:
            form = _LINEAR[op.name](*(self.element(a) for a in args)) if op.name in _LINEAR and _integers(op) else None
            if form is None:
                self._other(op, args, dtype)
            elif self.fits(form, dtype.lo, dtype.hi):
                self.forms[op.result] = form
        self.form(op.result)

    def _other(self, op: Op, args: tuple[Arg, ...], dtype: DType) -> None:
        """Ops that are not linear: an atom of its own with a range, a divisor, and rules."""
        ints = [a for a in args if a.tile.dtype.kind == "i"]
        forms = [self.element(a) for a in ints]
        ranges = [self.range(f) for f in forms]
        divisor = gcd(*(self.divisor(f) for f in forms)) if forms else 1
        if op.name in ("minimum", "maximum"):
            pick, sign = (min, 1) if op.name == "minimum" else (max, -1)
            me = self._tile(op, (pick(r[0] for r in ranges), pick(r[1] for r in ranges)), divisor)
            self.rules += [combine(combine(constant(0), f, sign), me, -sign) for f in forms]
        elif op.name == "where" and len(ints) == 2:
            self._tile(op, (min(r[0] for r in ranges), max(r[1] for r in ranges)), divisor)
        elif op.name == "mul":
            ends = [a * b for a in ranges[0] for b in ranges[1]]
            most = max(ends) if max(ends) <= dtype.hi or min(ends) < 0 else min(self._share(*forms), self._share(*forms[::-1]))
            if min(ends) >= dtype.lo and most <= dtype.hi:
                self._tile(op, (min(ends), most), self.divisor(forms[0]) * self.divisor(forms[1]))
        elif op.name in ("floordiv", "mod") and self.proves(combine(forms[1], constant(-1))):
            self._divided(op, forms, [ranges[0], (max(ranges[1][0], 1), ranges[1][1])])
        elif op.name == "and" and max(r[0] for r in ranges) >= 0:
            self._tile(op, (0, min(r[1] for r in ranges if r[0] >= 0)))
        elif op.name == "popcount":
            self._tile(op, (0, 64))
        elif op.name == "cast" and args[0].tile.dtype.kind == "b":
            self._tile(op, (0, 1))
        elif op.name == "shr" and ranges[1][0] >= 0 and ranges[1][1] < dtype.bits:
            ends = [a >> b for a in ranges[0] for b in ranges[1]]
            self._tile(op, (min(ends), max(ends)))

    def _share(self, a: Form, b: Form) -> int:
        """At most what a * b is, for a >= 0 and b >= 0: s * cdiv(K, S), with s below the extent S of the grid, does not grow with S."""
        return min([self._times(e, b) for e in self.extents if self.proves(combine(self.form(e), a, -1))], default=1 << 64)

    def _times(self, e: Value, f: Form) -> int:
        """At most what e * f is, for an extent e."""
        size = self.range(self.form(e))[1]
        total = max(f.get(None, 0), 0) * size
        for a, c in f.items():
            op = made_by(a, self.defs, "floordiv")
            x, y = (self.form(v) for v in scalars(op)) if op is not None else ({}, {})
            if c > 0 and y and y == self.form(e):
                total += c * max(self.range(x)[1], 0)
            elif c > 0 and set(y) == {None} and y[None] > 0:
                total += c * self._times(e, x) // y[None]
            elif a is not None:
                total += size * max(c * n for n in (0, *self.ranges[a]))
        return total

    def _divided(self, op: Op, forms: list[Form], ranges: list[tuple[int, int]]) -> None:
        (x, y), (lo, hi), (low, high) = forms, ranges[0], ranges[1]
        lo = 0 if lo < 0 and self.proves(x) else lo
        if op.name == "mod":
            rest = combine(x, constant(-x.get(None, 0)))
            if set(y) == {None} and self.divisor(rest) % low == 0:
                self.forms[op.result] = constant(x.get(None, 0) % low)
            else:
                self._tile(op, (0, high - 1))
            return
        if set(y) != {None}:
            ends = [a // b for a in (lo, hi) for b in (low, high)]
            self._tile(op, (min(ends), max(ends)))
            return
        rest = {a: c for a, c in x.items() if a is not None}
        if all(c % low == 0 for c in rest.values()):
            self.forms[op.result] = {None: x.get(None, 0) // low, **{a: c // low for a, c in rest.items()}}
            return
        r = x.get(None, 0) % low
        exact = self.divisor({None: 0, **rest}) % low == 0         # then the floor takes off just the remainder of the constant
        me = self._tile(op, (lo // low, hi // low), self.divisor({None: x.get(None, 0) - r, **rest}) // low if exact else 1)
        self.rules += [combine(combine(x, constant(-r if exact else 0)), me, -low),
                       combine(combine(combine(constant(0), me, low), x, -1), constant(r if exact else low - 1))]


def holds_from_zero(comparison: str, x: Form, y: Form) -> Form:
    """What is at least 0 exactly where x < y (lt), x <= y (le), .. holds."""
    if comparison in ("gt", "ge"):
        x, y = y, x
    return combine(combine(y, x, -1), constant(-int(comparison in ("lt", "gt"))))


def _integers(op: Op) -> bool:
    return all(not isinstance(a, Span) and isinstance(a.type, TileType) and a.type.dtype.kind == "i" for a in op.args)


def _traded(f: Form, c: int, rule: Form, r: int) -> Form:
    """|r| * f - |c| * rule, which lacks the atom with coefficients c and r; divided by what divides it."""
    new = combine(combine(constant(0), f, abs(r)), rule, -abs(c))
    common = gcd(*new.values()) or 1
    return {a: n // common for a, n in new.items()}


def _product(a: Form, b: Form) -> Form | None:
    if set(a) == {None}:
        a, b = b, a
    return combine(constant(0), a, b[None]) if set(b) == {None} else None


_LINEAR: dict[str, Callable[..., Form | None]] = {
    "add": combine, "sub": lambda a, b: combine(a, b, -1), "mul": _product, "neg": lambda a: combine(constant(0), a, -1), "cast": lambda a: a}
