"""Statements of one function body.  Loops and branches on constants run here; those on run-time values become ops that carry names."""
from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from ..definition import TileFunction, default_values
from ..errors import DslError, Loc, check
from ..ir import Arg, Body, Op, Value
from ..language import tile
from ..ops.table import REQUIRED
from ..types import INDEX, TileType
from .calls import bind_arguments
from .expressions import SIGNS, Expressions
from .operators import binary
from .values import Gone, integer, is_tile, leaves, rebuild, same_constant, same_nesting, shown

_DEEPEST = 64              # calls of tile functions inside one another: more is recursion
_MOST_TRIPS = 4096         # of a loop that is unrolled: more is a mistake


def assigned(statements: Iterable[ast.stmt]) -> list[str]:
    """Names that statements bind, in the order of the source."""
    stores = [n for s in statements for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return list(dict.fromkeys(n.id for n in sorted(stores, key=lambda n: (n.lineno, n.col_offset))))


class Statements(Expressions):
    """One method for each statement that is allowed."""

    depth = 0
    result: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.where: dict[str, Loc] = {}

    def block(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.at(statement, getattr(self, f"visit_{type(statement).__name__}"))

    def visit_Pass(self, _node: ast.Pass) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        self.value(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        self.result = self.value(node.value) if node.value is not None else None

    def visit_Assign(self, node: ast.Assign) -> None:
        self.assign(node.targets[0], self.value(node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            left = self.at(node.target, self.visit_Name)
            self.bind(node.target, binary(self.emitter, SIGNS[type(node.op).__name__], left, self.value(node.value)))

    def assign(self, target: ast.expr, value: Any) -> None:
        """Bind a name, or the names of a tuple to the parts of one."""
        if isinstance(target, ast.Tuple):
            found = f"{len(value)} values" if isinstance(value, tuple) else shown(value)
            good = isinstance(value, tuple) and len(target.elts) == len(value)
            check(good, f"{len(target.elts)} names cannot be bound to {found}", self.source.loc(target), hint="a tuple unpacks, a tile does not")
            for element, part in zip(target.elts, value, strict=True):
                self.assign(element, part)
        elif isinstance(target, ast.Name):
            self.bind(target, value)

    def bind(self, target: ast.Name, value: Any) -> None:
        self.names[target.id], self.where[target.id] = value, self.source.loc(target)
        self.named(value, target.id)

    # ------------------------------------------------------------ tile functions
    def inline(self, function: TileFunction, args: list[Any], names: dict[str, Any]) -> Any:
        check(self.depth < _DEEPEST, f"tile functions nest {_DEEPEST} deep: does '{function.__name__}' call itself", hint="tile.range or tile.unroll repeats")
        inner = Statements(self.emitter, function.fn, function.source, f"{function.__name__}.", None, self.shapes)
        inner.depth, defaults = self.depth + 1, default_values(function.fn)
        signature = tuple((p.arg, defaults.get(p.arg, REQUIRED)) for p in function.source.parameters)
        inner.names = bind_arguments(function.__name__, signature, args, names, function.fn.__code__.co_argcount)
        for name, value in inner.names.items():
            self.emitter.name(value, inner.prefix + name)
        inner.block(function.source.tree.body)
        return inner.result

    # ------------------------------------------------------------ loops
    def visit_For(self, node: ast.For) -> None:
        assert isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)      # syntax.py has refused all else
        args, names = self.at(node.iter, self.arguments)
        if self.value(node.iter.func) is tile.unroll:
            return self.unrolled(node, self.at(node.iter, lambda _: self.trips(args, names)))
        start, stop, step = self.at(node.iter, lambda _: self.bounds(args, names))
        self.run_time_loop(node, node.target, start, stop, step)

    def trips(self, args: list[Any], names: dict[str, Any]) -> range:
        """The trips of tile.unroll."""
        good = not names and 1 <= len(args) <= 3
        check(good, f"unroll takes one to three arguments, got {len(args) + len(names)}", hint="tile.unroll(n) or tile.unroll(start, stop, step)")
        numbers = [integer(a, "unroll: a bound", self.emitter.hints) for a in args]
        check(len(numbers) < 3 or numbers[2] != 0, "unroll: the step must not be 0")
        trips = range(*numbers)
        check(len(trips) <= _MOST_TRIPS, f"unroll: {len(trips)} trips are too many to repeat the body", hint="tile.range runs at run time")
        return trips

    def unrolled(self, node: ast.For, trips: range) -> None:
        for trip in trips:
            self.assign(node.target, trip)
            self.block(node.body)

    def bounds(self, args: list[Any], names: dict[str, Any]) -> tuple[Arg, Arg, int]:
        """Start and stop as index scalars, and the step."""
        bound = bind_arguments("range", tile.range.parameters, args, names)
        step = integer(bound["step"], "range: step", self.emitter.hints)
        check(step > 0, f"range: step must be positive, got {step}", hint="count up, and compute the coordinate from the last: n - 1 - k")
        start, stop = (self.emitter.index(bound[k], f"range: {k}", shown(bound[k])) for k in ("start", "stop"))
        return start, stop, step

    def run_time_loop(self, node: ast.For, target: ast.Name, start: Arg, stop: Arg, step: int) -> None:
        before = self.carried([name for name in assigned(node.body) if name != target.id])
        counter = self.emitter.parameter(self.prefix + target.id, TileType(INDEX))
        self.bind(target, counter)
        trip = self.trip(node, before)
        self.looped("for", node, before, (start, stop), (Body((counter, *trip.params), trip.ops),), {"step": step})
        self.names[target.id] = Gone(f"'{target.id}' is the variable of a loop and does not live after it")

    def visit_While(self, node: ast.While) -> None:
        before = self.carried(assigned(node.body))
        with self.emitter.body() as test:
            outer = self.enter(before)
            c = self.decided(node.test)[1]
            self.emitter.add("yield", () if isinstance(c, bool) else (c,))
        self.names.update(before)
        if isinstance(c, bool):
            return self.constant_while(node, c)
        self.looped("while", node, before, (), (Body(outer, tuple(test)), self.trip(node, before)))

    def trip(self, node: ast.For | ast.While, before: dict[str, Any]) -> Body:
        """The body of a loop, carried names as parameters."""
        with self.emitter.body() as ops:
            params = self.enter(before)
            self.block(node.body)
            self.emitter.add("yield", self.leave(before))
        return Body(params, tuple(ops))

    def looped(self, name: str, node: ast.For | ast.While, before: dict[str, Any], bounds: tuple[Arg, ...], bodies: tuple[Body, ...],
               attrs: dict[str, int] | None = None) -> None:
        """Append the loop's op; carried names are bound to what it yields, those first bound in it are gone."""
        inits = self.tiles(before)
        results = iter(self.emitter.add(name, (*bounds, *inits), tuple(i.tile for i in inits), bodies, attrs))
        for carried, value in before.items():
            self.names[carried] = rebuild(value, iter([self.named(next(results), carried) if is_tile(leaf) else leaf for leaf in leaves(value)]))
        for gone in assigned(node.body):
            if gone not in before:
                self.names[gone] = Gone(f"'{gone}' is first bound in a loop and does not live after it")

    def constant_while(self, node: ast.While, c: bool) -> None:
        """A loop whose condition is known at compile time: the body is repeated."""
        trips, where = 0, self.source.loc(node.test)
        while c:
            trips += 1
            check(trips <= _MOST_TRIPS, f"while: the condition is a constant that holds after {_MOST_TRIPS} trips", where, hint="compare a run-time scalar")
            self.block(node.body)
            again = self.decided(node.test)[1]
            check(isinstance(again, bool), "while: a constant condition becomes a run-time value", where, hint="start from tile.full((), n, tile.index)")
            c = bool(again)

    # ------------------------------------------------------------ carried names
    def carried(self, names: list[str]) -> dict[str, Any]:
        """Those of the names that are bound here, with their values."""
        return {n: self.names[n] for n in names if n in self.names and not isinstance(self.names[n], Gone)}

    def tiles(self, values: dict[str, Any]) -> tuple[Arg, ...]:
        return tuple(leaf for value in values.values() for leaf in leaves(value) if is_tile(leaf))

    def enter(self, before: dict[str, Any]) -> tuple[Value, ...]:
        """Bind carried names to fresh parameters of a body; constants stay what they are."""
        params: list[Value] = []

        def parameter(name: str, leaf: Any) -> Any:
            if not is_tile(leaf):
                return leaf
            params.append(self.emitter.parameter(self.prefix + name, leaf.tile))
            return params[-1]

        for name, value in before.items():
            self.names[name] = rebuild(value, iter([parameter(name, leaf) for leaf in leaves(value)]))
        return tuple(params)

    def leave(self, before: dict[str, Any]) -> tuple[Arg, ...]:
        """The carried tiles at the end of a trip; DslError unless each name is what it was at the start."""
        for name, value in before.items():
            new = self.names[name]
            if isinstance(new, Gone):
                raise DslError(new.why, self.where.get(name), hint="a name that a loop carries is bound on every path")
            run_time = all(map(is_tile, leaves(value)))
            hint = "cast it, so that the type stays" if run_time else "a constant is not carried; tile.full((), 0, tile.i32) is a scalar that is"
            check(interchangeable(value, new), f"loop: '{name}' enters as {shown(value)} and leaves as {shown(new)}", self.where.get(name), hint=hint)
        return self.tiles({name: self.names[name] for name in before})

    # ------------------------------------------------------------ branches
    def visit_If(self, node: ast.If) -> None:
        c = self.decided(node.test)[1]
        if isinstance(c, bool):
            return self.block(node.body if c else node.orelse)
        before = dict(self.names)
        bodies: list[list[Op]] = []
        ends: list[dict[str, Any]] = []
        for branch in (node.body, node.orelse):
            with self.emitter.body() as ops:
                self.names = dict(before)
                self.block(branch)
            bodies.append(ops)
            ends.append(self.names)
        self.merge(c, assigned([*node.body, *node.orelse]), bodies, ends)

    def merge(self, c: Arg, names: list[str], bodies: list[list[Op]], ends: list[dict[str, Any]]) -> None:
        """Names after a run-time branch: results of the op where the branches differ, gone where they cannot be one value."""
        self.names, pairs = dict(ends[0]), {}
        for name in names:
            a, b = (end.get(name, Gone(f"'{name}' is bound in one branch of a run-time if and does not live after it")) for end in ends)
            gone = next((v for v in (a, b) if isinstance(v, Gone)), None) or difference(name, a, b)
            self.names[name] = gone or a
            pairs.update({} if gone else {name: list(zip(leaves(a), leaves(b), strict=True))})
        joined = [(x, y) for rows in pairs.values() for x, y in rows if is_tile(x) and x is not y]
        for ops, side in zip(bodies, (0, 1), strict=True):
            with self.emitter.body(ops):
                self.emitter.add("yield", tuple(row[side] for row in joined))
        results = iter(self.emitter.add("if", (c,), tuple(x.tile for x, _ in joined), tuple(Body((), tuple(ops)) for ops in bodies)))
        for name, rows in pairs.items():
            new = [self.named(next(results), name) if is_tile(x) and x is not y else x for x, y in rows]
            self.names[name] = rebuild(self.names[name], iter(new))

    def named(self, value: Any, name: str) -> Any:
        """The value, from now on under the user's name."""
        self.emitter.name(value, self.prefix + name)
        return value


def difference(name: str, a: Any, b: Any) -> Gone | None:
    """Why two values cannot be one after a branch; None if they can."""
    return None if interchangeable(a, b) else Gone(f"if: '{name}' is {shown(a)} in one branch and {shown(b)} in the other")


def interchangeable(a: Any, b: Any) -> bool:
    """Whether a name may be one value here and the other there: tiles of one type, or the same constant, in the same nesting."""
    return same_nesting(a, b) and all(x.tile == y.tile if is_tile(x) and is_tile(y) else same_constant(x, y)
                                      for x, y in zip(leaves(a), leaves(b), strict=True))
