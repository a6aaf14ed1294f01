"""The nodes of the IR.  One frozen `Op` for everything; two forms of it, told apart by `Op.into` and by the places in types.

Value form: tiles and scalars are values bound once (`results`).  Placed form: tiles are places, an op writes the places in `into`
and reads those in `args`; scalars stay values.  Bodies are ordered lists of ops that end in `yield`.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import Loc
from .types import DType, TensorType, TileType, Type


@dataclass(frozen=True, eq=False)
class Value:
    """One binding.  Compared by identity; the name is for printing only."""

    name: str
    type: Type

    @property
    def tile(self) -> TileType:
        assert isinstance(self.type, TileType), f"{self.name} is a tensor"
        return self.type

    @property
    def tensor(self) -> TensorType:
        assert isinstance(self.type, TensorType), f"{self.name} is a tile"
        return self.type


@dataclass(frozen=True)
class Const:
    """A literal operand of rank 0."""

    value: int | float | bool
    dtype: DType

    @property
    def type(self) -> TileType:
        return TileType(self.dtype)

    @property
    def tile(self) -> TileType:
        return TileType(self.dtype)


Arg = Value | Const


@dataclass(frozen=True)
class Span:
    """A coordinate of a memory op: `extent` elements from `start`; those at or past `stop` count as outside."""

    start: Arg
    extent: int
    stop: Arg | None = None


Operand = Value | Const | Span


@dataclass(frozen=True)
class Body:
    """A nested region: its parameters, and ops of which the last is `yield`."""

    params: tuple[Value, ...]
    ops: tuple[Op, ...]

    @property
    def result(self) -> tuple[Operand, ...]:
        """What the closing `yield` hands out."""
        return self.ops[-1].args


@dataclass(frozen=True, eq=False)
class Op:
    """One operation.  `into` (placed form only) are the places it writes; `loc` the user's source."""

    name: str
    args: tuple[Operand, ...] = ()
    attrs: tuple[tuple[str, Any], ...] = ()
    results: tuple[Value, ...] = ()
    bodies: tuple[Body, ...] = ()
    into: tuple[Value, ...] = ()
    loc: Loc | None = field(default=None, compare=False)

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute `name`, or `default`."""
        return next((v for k, v in self.attrs if k == name), default)

    def having(self, **attrs: Any) -> Op:
        """The op with these attributes set; None removes one.  Attributes stay in alphabetical order."""
        return replace(self, attrs=make_attrs({**dict(self.attrs), **attrs}))

    @property
    def result(self) -> Value:
        (value,) = self.results
        return value

    @property
    def target(self) -> Value:
        """The one tile the op produces: its result in the value form, the place it writes in the placed form."""
        (value,) = self.results or self.into
        return value

    def uses(self) -> Iterator[Value]:
        """Values among the operands, spans looked into; bodies not."""
        for arg in self.args:
            for part in (arg.start, arg.stop) if isinstance(arg, Span) else (arg,):
                if isinstance(part, Value):
                    yield part


@dataclass(frozen=True, eq=False)
class Kernel:
    """A specialised kernel.  `params` are tensors and scalars in the order of the call, then the dimensions (index scalars) by name.

    `facts` are (dimension, divisor) pairs that the call has checked; `attrs` what passes record about the whole kernel.
    """

    name: str
    params: tuple[Value, ...]
    dims: tuple[Value, ...]
    body: Body
    facts: tuple[tuple[str, int], ...] = ()
    attrs: tuple[tuple[str, Any], ...] = ()
    loc: Loc | None = field(default=None, compare=False)

    @property
    def placed(self) -> bool:
        """True in the placed form."""
        return any(op.name == "alloc" or op.into for op in walk(self.body))

    def attr(self, name: str, default: Any = None) -> Any:
        return next((v for k, v in self.attrs if k == name), default)

    def having(self, **attrs: Any) -> Kernel:
        return replace(self, attrs=make_attrs({**dict(self.attrs), **attrs}))

    def with_ops(self, ops: Iterable[Op]) -> Kernel:
        """The kernel with another list of top-level ops."""
        return replace(self, body=replace(self.body, ops=tuple(ops)))


def make_attrs(attrs: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Attributes as a tuple in alphabetical order, None left out."""
    return tuple(sorted((k, v) for k, v in attrs.items() if v is not None))


def walk(body: Body) -> Iterator[Op]:
    """Every op of a body and of the bodies inside it, in program order, an op before its bodies."""
    for op in body.ops:
        yield op
        for inner in op.bodies:
            yield from walk(inner)


def defined(body: Body) -> set[Value]:
    """Everything a body binds, in inner bodies too."""
    return {*body.params, *(r for op in walk(body) for r in op.results), *(p for op in walk(body) for b in op.bodies for p in b.params)}


def used_values(op: Op) -> Iterator[Value]:
    """Values an op reads, those read inside its bodies but bound outside among them."""
    yield from op.uses()
    for body in op.bodies:
        bound = defined(body)
        yield from (v for inner in walk(body) for v in inner.uses() if v not in bound)


def substitute(op: Op, new: Mapping[Value, Arg]) -> Op:
    """The op with operands replaced, in its bodies too; bindings are left alone.  The op itself where nothing is replaced."""
    if not new:
        return op

    def put(arg: Any) -> Any:
        if isinstance(arg, Span):
            return Span(put(arg.start), arg.extent, put(arg.stop) if arg.stop is not None else None)
        return new.get(arg, arg) if isinstance(arg, Value) else arg

    inner = tuple(tuple(substitute(o, new) for o in b.ops) for b in op.bodies)
    args, into = tuple(put(a) for a in op.args), tuple(put(v) for v in op.into)
    if args == op.args and into == op.into and all(o is old for ops, b in zip(inner, op.bodies, strict=True) for o, old in zip(ops, b.ops, strict=True)):
        return op
    bodies = tuple(Body(b.params, ops) for b, ops in zip(op.bodies, inner, strict=True))
    return replace(op, args=args, bodies=bodies, into=into)


def producers(body: Body) -> dict[Value, Op]:
    """The op that binds each value of a body and of the bodies inside it (parameters have none)."""
    return {r: op for op in walk(body) for r in op.results}


def count_uses(body: Body) -> dict[Value, int]:
    """How often each value is read, inside inner bodies too."""
    counts: dict[Value, int] = {}
    for op in walk(body):
        for v in op.uses():
            counts[v] = counts.get(v, 0) + 1
    return counts
