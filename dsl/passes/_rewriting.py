"""One walk in program order that several passes share, and the small constructors their rules are written with."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ..ir import Arg, Body, Const, Kernel, Op, Operand, Span, Value, make_attrs, substitute, walk
from ..types import INDEX, DType, TileType

Change = tuple[list[Op], tuple[Arg, ...]]        # the ops that take an op's place, and what stands for its results
Rule = Callable[[Op, Mapping[Value, Op]], Change | None]
SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}
NEGATED = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}


class Rewriter:
    """Applies a rule to every op, inner bodies first, with operands already rewritten; `defs` are the ops emitted so far."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.changed = rule, False
        self.new: dict[Value, Arg] = {}
        self.defs: dict[Value, Op] = {}

    def body(self, body: Body) -> Body:
        """The rewritten body."""
        ops: list[Op] = []
        for op in body.ops:
            op = substitute(op, self.new)
            if op.bodies:
                op = replace(op, bodies=tuple(self.body(b) for b in op.bodies))
            change = self.rule(op, self.defs)
            extra, values = ([op], op.results) if change is None else change
            self.changed |= change is not None
            self.new.update((r, v) for r, v in zip(op.results, values, strict=True) if r is not v)
            self.defs.update((r, o) for o in extra for r in o.results)
            ops.extend(extra)
        return replace(body, ops=tuple(ops))


def to_fixpoint(kernel: Kernel, rule: Rule) -> Kernel:
    """The kernel after walks with `rule` until one changes nothing."""
    while True:
        walker = Rewriter(rule)
        body = walker.body(kernel.body)
        if not walker.changed:
            return kernel
        kernel = replace(kernel, body=body)


def fit(arg: Arg, like: Op) -> Change:
    """`arg` in the shape of the result of `like`: as it is, filled, or broadcast."""
    t = like.result.tile
    if arg.tile.shape == t.shape:
        return [], (arg,)
    op = make("full" if not arg.tile.shape else "broadcast", (arg,), t, like, shape=t.shape)
    return [op], (op.result,)


def make(name: str, args: tuple[Operand, ...], t: TileType, like: Op, **attrs: object) -> Op:
    """An op with one result of type `t`, named and placed in the source as `like`."""
    return Op(name, args, make_attrs(attrs), (Value(like.result.name, t),), loc=like.loc)


class Builder:
    """New ops, one after another in `ops`, at the source of `like`; `hint` names results that have no name of their own."""

    def __init__(self, like: Op, hint: str = "") -> None:
        self.loc, self.hint, self.ops = like.loc, hint, list[Op]()

    def __call__(self, name: str, *args: Arg, dtype: DType = INDEX, shape: tuple[int, ...] = (), hint: str = "", **attrs: object) -> Value:
        """The result of a new op."""
        typed = {"shape": shape} if name in ("reshape", "broadcast", "full") else {"dtype": dtype} if name == "cast" else {}
        result = Value(hint or self.hint or name, TileType(dtype, shape))
        self.ops.append(Op(name, args, make_attrs({**typed, **attrs}), (result,), loc=self.loc))
        return result

    def linear(self, terms: Iterable[tuple[Arg, int]], start: int, dtype: DType = INDEX) -> Arg:
        """start + the sum of coefficient * value."""
        total: Arg | None = None
        for a, c in sorted(terms, key=lambda term: term[1] < 0):
            size = a if abs(c) == 1 else self("mul", a, literal(abs(c), dtype), dtype=dtype)
            first = size if c > 0 or total is not None else self("neg", size, dtype=dtype)
            total = first if total is None else self("add" if c > 0 else "sub", total, size, dtype=dtype)
        last = literal(start, dtype)
        return last if total is None else total if start == 0 else self("add", total, last, dtype=dtype)


def as_op(op: Op) -> Change:
    """The change that puts `op` in place."""
    return [op], op.results


def is_const(arg: Operand | None, value: int | float | bool) -> bool:
    """Whether `arg` is that literal; zeros must agree in sign."""
    return isinstance(arg, Const) and arg.value == value and math.copysign(1, arg.value) == math.copysign(1, value)


def literal(value: int | float | bool, dtype: DType) -> Const:
    """A Const of `dtype` in canonical form (one NaN)."""
    if dtype.kind == "b":
        return Const(bool(value), dtype)
    if dtype.kind == "i":
        return Const(int(value), dtype)
    return Const(math.nan if math.isnan(value) else float(value), dtype)


def scalars(op: Op) -> tuple[Arg, ...]:
    """The operands, spans left out."""
    return tuple(a for a in op.args if not isinstance(a, Span))


def made_by(arg: object, defs: Mapping[Value, Op], *names: str) -> Op | None:
    """The op that makes `arg`, if it has one of these names."""
    op = defs.get(arg) if isinstance(arg, Value) else None
    return op if op is not None and op.name in names else None


def live(ops: Iterable[Op], results: Iterable[Operand]) -> list[Op]:
    """Of ops with one result each, those that the results need."""
    needed, kept = set(results), list[Op]()
    for op in reversed(list(ops)):
        if op.result in needed:
            needed.update(op.uses())
            kept.append(op)
    return kept[::-1]


def written(op: Op) -> set[Value]:
    """The tensors that an op, or an op inside it, stores to."""
    inside = [op, *(o for b in op.bodies for o in walk(b))]
    return {o.args[0] for o in inside if (o.name == "store" or o.name.startswith("atomic_")) and isinstance(o.args[0], Value)}


def clone(op: Op, new: dict[Value, Arg]) -> Op:
    """A copy of an op that binds fresh values, in its bodies too; `new` maps old to new and grows."""
    op = substitute(op, dict(new))

    def fresh(values: tuple[Value, ...]) -> tuple[Value, ...]:
        copies = tuple(Value(v.name, v.type) for v in values)
        new.update(zip(values, copies, strict=True))
        return copies

    bodies = tuple(Body(fresh(b.params), tuple(clone(o, new) for o in b.ops)) for b in op.bodies)
    return replace(op, bodies=bodies, results=fresh(op.results))
