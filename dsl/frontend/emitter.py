"""Appends typed ops to the body being written, and keeps what only the front end knows: user's names, scalars of the call, the grid."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import DslError, Loc, check
from ..ir import Arg, Body, Const, Op, Operand, Value, make_attrs, substitute
from ..ops import OPS
from ..types import BOOL, INDEX, DType, TensorType, TileType


@dataclass(eq=False)
class Emitter:
    """The kernel under construction.  `of_call` are scalars that follow from the call alone; `hints` the names the user gave to values."""

    loc: Loc | None = None
    grid: Op | None = None
    hints: dict[Value, str] = field(default_factory=dict)
    of_call: set[Value] = field(default_factory=set)
    stack: list[list[Op]] = field(default_factory=lambda: [[]])

    @contextmanager
    def body(self, ops: list[Op] | None = None) -> Iterator[list[Op]]:
        """Ops emitted inside go to a list of their own."""
        ops = [] if ops is None else ops
        self.stack.append(ops)
        yield ops
        self.stack.pop()

    def add(self, name: str, args: tuple[Operand, ...], types: tuple[TileType, ...] = (), bodies: tuple[Body, ...] = (),
            attrs: Mapping[str, Any] | None = None) -> tuple[Value, ...]:
        """Append an op with results of these types."""
        word = f"{args[0].name}_tile" if name == "load" and isinstance(args[0], Value) and types[0].shape else name
        results = tuple(Value(word, t) for t in types)
        op = Op(name, args, make_attrs(attrs or {}), results, bodies, loc=self.loc)
        self.stack[-1].append(op)
        scalar = OPS[name].pure and name != "grid" and not bodies and not any(t.shape for t in types)
        if scalar and all(v in self.of_call for v in op.uses()) and all(isinstance(a, (Const, Value)) for a in args):
            self.of_call.update(results)
        return results

    def emit(self, name: str, *args: Arg, **attrs: Any) -> tuple[Value, ...]:
        """Append an op whose result types follow from its operands.  Attributes at their defaults are left out."""
        op = OPS[name]
        types = op.infer([a.tile for a in args], attrs)
        return self.add(name, args, types, attrs={k: v for k, v in attrs.items() if (k, v) not in op.attrs})

    def one(self, name: str, *args: Arg, **attrs: Any) -> Value:
        """`emit` of an op with one result."""
        (result,) = self.emit(name, *args, **attrs)
        return result

    def cast(self, x: Arg, dtype: DType, **attrs: Any) -> Arg:
        """x as `dtype`; itself if it has that type."""
        return x if x.tile.dtype is dtype else self.one("cast", x, dtype=dtype, **attrs)

    def back(self, x: Arg, dtype: DType) -> Arg:
        """x, computed from values of the narrow `dtype` by selection, as `dtype` again: exact, infinities included."""
        return self.cast(x, dtype, **({"saturate": False} if dtype.kind == "f" and dtype.bits == 8 else {}))

    def index(self, value: Any, what: str, shown: str) -> Arg:
        """An integer scalar as index."""
        if isinstance(value, int) and not isinstance(value, bool):
            check(INDEX.lo <= value <= INDEX.hi, f"{what}: {value} does not fit index")
            return Const(value, INDEX)
        good = isinstance(value, (Const, Value)) and isinstance(value.type, TileType) and value.type.dtype.kind == "i" and value.type.shape == ()
        check(good, f"{what} must be an integer scalar, got {shown}")
        return self.cast(value, INDEX)

    def truth(self, value: Arg, shown: str) -> Arg:
        """A scalar as a condition: itself if bool, else whether it is not 0."""
        check(value.tile.shape == (), f"a condition must be a scalar, got {shown}; use where, & and |", hint="tile.where(c, x, y), or a reduction of the tile")
        if value.tile.dtype is BOOL:
            return value
        wide = value.tile.dtype.widened
        return self.one("ne", self.cast(value, wide), Const(0.0 if wide.kind == "f" else 0, wide))

    def name(self, value: Any, hint: str) -> None:
        """Give a tile the user's name for it; the first name stays.  A place's first run-time coordinate takes the place's name."""
        if isinstance(value, tuple) and value and isinstance(value[0], Value):
            value = value[0]
        if isinstance(value, Value) and isinstance(value.type, TileType):
            self.hints.setdefault(value, hint)

    def parameter(self, name: str, type_: TileType | TensorType) -> Value:
        """A value that is bound by the kernel or by a body, under the user's name."""
        value = Value(name, type_)
        self.hints[value] = name
        return value

    def declare_grid(self, extents: tuple[Arg, ...]) -> tuple[Value, ...]:
        """The grid op.  What was computed before it and does not follow from the call alone moves behind it."""
        check(self.grid is None, "grid: tile.grid is called twice", hint="one grid to a kernel: i, j = tile.grid(n, m)")
        check(len(self.stack) == 1, "grid: tile.grid stands inside a run-time loop or branch", hint="it comes first in the kernel")
        for e in extents:
            check(not isinstance(e, Value) or e in self.of_call, "grid: an extent must be a scalar of the call",
                  hint="made of dimensions, scalar parameters and constants alone")
        ops = self.stack[-1]
        late = [op for op in ops if op.name != "assume" and not (op.results and all(r in self.of_call for r in op.results))]
        ops[:] = [op for op in ops if op not in late]
        coordinates = self.emit("grid", *extents)
        self.grid = ops[-1]
        ops.extend(late)
        return coordinates

    def assume(self, condition: Arg) -> None:
        """A fact that the launcher checks."""
        good = len(self.stack) == 1 and (not isinstance(condition, Value) or condition in self.of_call)
        check(good, "assume: a fact must be about scalars of the call, outside run-time loops and branches", hint="dimensions, scalar parameters and constants")
        self.emit("assume", condition)

    def finish(self) -> Body:
        """The kernel's body, every value under its user's name."""
        if self.grid is None:
            raise DslError("tile.grid is never called", hint="i = tile.grid(1) runs one program")
        self.add("yield", ())
        new = {v: Value(hint, v.type) for v, hint in self.hints.items() if v.name != hint}
        return _renamed(Body((), tuple(self.stack[0])), new)


def _renamed(body: Body, new: Mapping[Value, Value]) -> Body:
    ops = []
    for op in body.ops:
        inner = replace(op, bodies=())
        bodies = tuple(_renamed(b, new) for b in op.bodies)
        ops.append(replace(substitute(inner, new), results=tuple(new.get(r, r) for r in op.results), bodies=bodies))
    return Body(tuple(new.get(p, p) for p in body.params), tuple(ops))
