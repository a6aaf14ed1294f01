"""What a kernel means, run in numpy: either form, one program after another in a chosen order, with every rule about memory checked.

Ops on tiles have their meaning in OPS; control, memory and places have it here.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .errors import check
from .ir import Body, Kernel, Op, Operand, Span, Value, walk
from .ops import OPS
from .ops.elementwise import wrap
from .types import ROW, DType, Layout, TensorType, TileType

Array = Any
_MANY = -2          # an element under atomics; an element that several programs have read
_UPDATES = {"atomic_add": np.add, "atomic_min": np.minimum, "atomic_max": np.maximum}


def interpret(kernel: Kernel, arrays: Mapping[str, Any], dims: Mapping[str, int], *, order: str = "forward", seed: int = 0) -> None:
    """Run every program of a valid kernel on `arrays` (numpy arrays as stored, and scalars, by parameter name), writing into them.

    `dims` gives the dimensions by name; `order` of programs is "forward", "reverse" or "shuffle" (by `seed`).  Raises DslError where an
    assume does not hold or an access breaks a rule: an element written by two programs, read by one and written by another, or named
    twice by one store; part of a packed word stored; a coordinate outside that `inside` claims to be proved.
    In the placed form memory starts as NaN, or as bytes 0xA5; the shared bytes of places with planned offsets start as 0xFF.
    """
    with np.errstate(all="ignore"):
        machine = _Machine(kernel, arrays, dims)
        machine.launch(order, seed)


class _Tensor:
    """An argument: its storage, and who wrote and who read each element in this launch (-1 nobody)."""

    def __init__(self, value: Value, a: Any, written: bool) -> None:
        self.name, self.type, self.a = value.name, value.tensor, a
        stored = self.type.packing.word if self.type.packing else self.type.dtype
        found = f"{a.dtype} of rank {a.ndim}" if isinstance(a, np.ndarray) else type(a).__name__
        good = isinstance(a, np.ndarray) and a.ndim == self.type.rank and a.dtype == stored.numpy
        check(good, f"{self.name}: expected an array of {stored} of rank {self.type.rank}, got {found}")
        axis = self.type.packing.axis if self.type.packing else -1
        self.dims = tuple(n * self.type.fields if d == axis else n for d, n in enumerate(a.shape))
        self.owner: Any = np.full(self.dims, -1, np.int64) if written else None
        self.reader: Any = np.full(self.dims, -1, np.int64) if written else None

    def words(self, at: Sequence[Array]) -> tuple[tuple[Array, ...], Array]:
        """Word coordinates and first bits of elements in packed storage."""
        packing = self.type.packing
        assert packing is not None
        p, n = at[packing.axis], self.a.shape[packing.axis]
        w, f = (p % n, p // n) if packing.order == "split" else (p // self.type.fields, p % self.type.fields)
        f = np.argsort(packing.order)[f] if isinstance(packing.order, tuple) else f
        return tuple(w if d == packing.axis else i for d, i in enumerate(at)), (f * self.type.dtype.bits).astype(self.a.dtype)

    @property
    def mask(self) -> Any:
        return self.a.dtype.type((1 << self.type.dtype.bits) - 1)


@lru_cache(4096)
def _addresses(shape: tuple[int, ...], layout: Layout) -> Array:
    """The address in elements of each element of a tile."""
    at = np.zeros(shape, np.int64)
    for axis, (n, stride) in enumerate(zip(shape, layout.of(shape), strict=True)):
        at += (np.arange(n) * stride).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    if layout.swizzle is not None:
        bits, base, shift = layout.swizzle
        at ^= ((at >> (base + shift)) & ((1 << bits) - 1)) << base
    return at


@dataclass(frozen=True)
class _Memory:
    """A place: elements of `data` from `base` on, under the layout of `type`."""

    data: Array
    base: int
    type: TileType

    @property
    def at(self) -> Array:
        return self.base + _addresses(self.type.shape, self.type.place.layout if self.type.place else ROW)

    def read(self) -> Array:
        return self.data[self.at]

    def write(self, a: Array) -> None:
        self.data[self.at] = a


def _poison(size: int, dtype: DType) -> Array:
    if dtype.kind == "f":
        return np.full(size // dtype.bytes, np.nan, dtype.numpy)
    return np.full(size, 0xA5, np.uint8).view(dtype.numpy)


class _Machine:
    def __init__(self, kernel: Kernel, arrays: Mapping[str, Any], dims: Mapping[str, int]) -> None:
        self.kernel, self.env, self.number = kernel, dict[Value, Any](), 0
        self.placed = kernel.placed
        self.shape: tuple[int, ...] = ()                                # of the map around an op
        written = {op.args[0] for op in walk(kernel.body) if OPS[op.name].effect == "write"}
        for v in kernel.params:
            check(v.name in arrays, f"{v.name} is missing")
            is_tensor = isinstance(v.type, TensorType)
            self.env[v] = _Tensor(v, arrays[v.name], v in written) if is_tensor else np.asarray(arrays[v.name]).astype(v.tile.dtype.numpy)
        for v in kernel.dims:
            check(v.name in dims, f"{v.name} is missing")
            self.env[v] = np.asarray(dims[v.name], np.int64)
        tensors = [t for t in self.env.values() if isinstance(t, _Tensor)]
        for t in tensors:
            others = [o.name for o in tensors if o is not t and t.owner is not None and np.shares_memory(o.a, t.a)]
            check(not others, f"{t.name} is written and overlaps {', '.join(others)}")
        self.arenas: dict[Any, Array] = {}

    def launch(self, order: str, seed: int) -> None:
        ops = self.kernel.body.ops
        start = next(n for n, op in enumerate(ops) if op.name == "grid")
        for op in ops[:start]:
            self.op(op)
        extents = [range(int(self.get(a))) for a in ops[start].args]
        programs = list(enumerate(itertools.product(*extents)))
        if order == "shuffle":
            np.random.default_rng(seed).shuffle(programs)
        before = self.env
        for number, coordinates in reversed(programs) if order == "reverse" else programs:
            self.number, self.env = int(number), dict(before)
            self.fresh_arenas()
            self.put(ops[start], [np.asarray(c) for c in coordinates])
            for op in ops[start + 1:]:
                self.op(op)

    def fresh_arenas(self) -> None:
        self.arenas = {}
        for op in walk(self.kernel.body) if self.placed else ():
            if op.name == "alloc" and (place := op.result.tile.place) is not None and place.offset is not None:
                end = place.offset + op.result.tile.footprint * place.slots
                if end > len(self.arenas.get(place.space, ())):
                    self.arenas[place.space] = np.full(end, 0xFF, np.uint8)

    # ------------------------------------------------------------ values
    def get(self, arg: Operand) -> Array:
        if isinstance(arg, Value):
            held = self.env[arg]
            return held.read() if isinstance(held, _Memory) else held
        assert not isinstance(arg, Span)
        return np.asarray(arg.value).astype(arg.dtype.numpy)

    def put(self, op: Op, values: Iterable[Array]) -> None:
        """Bind the op's results, or write its places; elements are brought to the target's dtype."""
        for target, a in zip(op.results or op.into, values, strict=True):
            d = target.tile.dtype
            a = wrap(a, d) if d.kind == "i" and d.bits < 8 else np.asarray(a).astype(d.numpy, copy=self.placed)
            if op.into:
                self.env[target].write(np.broadcast_to(a, target.tile.shape))
            else:
                self.env[target] = a

    def body(self, body: Body, inputs: Iterable[Array] = ()) -> list[Array]:
        """What a body yields."""
        for param, a in zip(body.params, inputs, strict=True):
            self.env[param] = np.asarray(a).astype(param.tile.dtype.numpy, copy=False)
        for op in body.ops[:-1]:
            self.op(op)
        return [self.get(a) for a in body.result]

    def op(self, op: Op) -> None:
        run = _RUN.get(op.name)
        if run is not None:
            run(self, op)
        else:                                                           # with a body: a reduction of computed elements
            self.pure(op, self.elements(op, op.attr("shape")) if op.bodies else [self.get(a) for a in op.args])

    def pure(self, op: Op, args: Sequence[Array]) -> None:
        row = OPS[op.name]
        attrs = {name: value for name, _ in row.attrs if (value := op.attr(name)) is not None}
        if op.name == "pack":
            attrs["bits"] = op.args[0].tile.dtype.bits                  # type: ignore[union-attr]
        r = row.meaning(*args, **attrs)
        self.put(op, r if isinstance(r, tuple) else (r,))

    def elements(self, op: Op, shape: tuple[int, ...]) -> list[Array]:
        """A body over elements, run on whole arrays."""
        outer, self.shape = self.shape, shape
        results = [np.broadcast_to(a, shape) for a in self.body(op.bodies[0], [self.get(a) for a in op.args])]
        self.shape = outer
        return results

    # ------------------------------------------------------------ control
    def loop(self, op: Op) -> None:
        start, stop, *carried = (self.get(a) for a in op.args)
        for i in range(int(start), int(stop), op.attr("step")):
            carried = self.body(op.bodies[0], [i, *carried])
        self.put(op, carried)

    def while_(self, op: Op) -> None:
        carried = [self.get(a) for a in op.args]
        while bool(self.body(op.bodies[0], carried)[0]):
            carried = self.body(op.bodies[1], carried)
        self.put(op, carried)

    def coordinate(self, op: Op) -> None:
        axis = op.attr("axis")
        self.put(op, [np.arange(self.shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(self.shape))])])

    # ------------------------------------------------------------ places
    def alloc(self, op: Op) -> None:
        t, place = op.result.tile, op.result.tile.place
        assert place is not None
        planned = place.offset is not None
        data = self.arenas[place.space][place.offset:][:t.footprint].view(t.dtype.numpy) if planned else _poison(t.footprint, t.dtype)
        self.env[op.result] = _Memory(data, 0, t)

    def view(self, op: Op) -> None:
        held = self.env[next(op.uses())]
        self.env[op.result] = _Memory(held.data, held.base + op.attr("start", 0), op.result.tile)

    # ------------------------------------------------------------ memory
    def locate(self, op: Op, t: _Tensor, coordinates: Sequence[Operand]) -> tuple[list[Array], Array]:
        """The coordinates of each element of an access (0 where outside), and which are inside the tensor."""
        tiles = {c: self.get(c) for c in coordinates if isinstance(c, Value) and c.tile.shape}
        gathered = np.broadcast_shapes(*(a.shape for a in tiles.values()))
        shape: list[int] = []
        axes: list[int] = []                                            # where each coordinate's axes start
        first = -1
        for c in coordinates:
            fresh = isinstance(c, Span) or (c in tiles and first < 0)
            axes.append(len(shape) if fresh or c not in tiles else first)
            if c in tiles and first < 0:
                first = len(shape)
            shape += [c.extent] if isinstance(c, Span) else gathered if fresh else []
        index, valid = [], np.ones(shape, np.bool_)
        for d, (c, axis, n) in enumerate(zip(coordinates, axes, t.dims, strict=True)):
            stop = n
            if isinstance(c, Span):
                i = (int(self.get(c.start)) + np.arange(c.extent)).reshape((-1,) + (1,) * (len(shape) - axis - 1))
                stop = min(n, int(self.get(c.stop))) if c.stop is not None else n
            elif c in tiles:
                i = np.broadcast_to(tiles[c], gathered).astype(np.int64).reshape(gathered + (1,) * (len(shape) - axis - len(gathered)))
            else:
                i = self.get(c).astype(np.int64)
            ok = (i >= 0) & (i < stop)
            check(d not in op.attr("inside", ()) or np.all(ok), f"{op.name}: a coordinate is outside dimension {d} of {t.name}, proved to be inside", op.loc)
            valid = valid & ok
            index.append(np.broadcast_to(np.where(ok, i, 0), shape))
        return index, valid

    def load(self, op: Op) -> None:
        t = self.env[op.args[0]]                                        # type: ignore[index]
        index, valid = self.locate(op, t, op.args[1:])
        d = t.type.dtype
        pad = np.asarray(op.attr("pad", 0)).astype(d.numpy)
        if not valid.any():
            return self.put(op, [np.broadcast_to(pad, valid.shape)])
        if t.owner is not None:
            at = tuple(i[valid] for i in index)
            good = np.isin(t.owner[at], (-1, self.number)).all()
            check(good, f"load: {t.name} is read where another program of this launch writes", op.loc)
            t.reader[at] = np.where(np.isin(t.reader[at], (-1, self.number)), self.number, _MANY)
        if t.type.packing:
            w, bit = t.words(index)
            a = ((t.a[w] >> bit) & t.mask).astype(np.int64)
            a = np.where(a > d.hi, a - (1 << d.bits), a)
        else:
            a = t.a[tuple(index)]
        self.put(op, [np.where(valid, a.astype(d.numpy), pad)])

    def claim(self, op: Op, t: _Tensor, at: tuple[Array, ...], mine: int) -> None:
        """Note that this program writes these elements, and check that it may."""
        good = np.isin(t.owner[at], (-1, mine)).all()
        check(good, f"{op.name}: two programs of one launch write the same element of {t.name}", op.loc)
        good = np.isin(t.reader[at], (-1, mine)).all() if mine != _MANY else (t.reader[at] == -1).all()
        check(good, f"{op.name}: {t.name} is read where another program of this launch writes", op.loc)
        t.owner[at] = mine

    def target(self, op: Op, mine: int) -> tuple[_Tensor, tuple[Array, ...], Array]:
        """The tensor, the elements inside it that the op writes, and their values."""
        t = self.env[op.args[0]]                                        # type: ignore[index]
        index, valid = self.locate(op, t, op.args[2:])
        at = tuple(i[valid] for i in index)
        self.claim(op, t, at, mine)
        return t, at, np.broadcast_to(self.get(op.args[1]), valid.shape)[valid].astype(t.type.dtype.numpy)

    def store(self, op: Op) -> None:
        t, at, a = self.target(op, self.number)
        flat = np.ravel_multi_index(at, t.dims) if t.a.size else np.zeros(0, np.int64)
        check(np.unique(flat).size == np.size(flat), f"store: one store names an element of {t.name} twice", op.loc)
        if not t.type.packing:
            t.a[at] = a
            return
        w, bit = t.words(at)
        _, count = np.unique(np.ravel_multi_index(w, t.a.shape), return_counts=True)
        check(np.all(count == t.type.fields), f"store: {t.name} is packed; a store must cover whole words", op.loc)
        np.bitwise_and.at(t.a, w, ~(t.mask << bit))
        np.bitwise_or.at(t.a, w, (a.astype(t.a.dtype) & t.mask) << bit)

    def atomic(self, op: Op) -> None:
        t, at, a = self.target(op, _MANY)
        _UPDATES[op.name].at(t.a, at, a)


_RUN: dict[str, Callable[[_Machine, Op], None]] = {
    "assume": lambda m, op: check(bool(m.get(op.args[0])), "assume: does not hold for these arguments", op.loc),
    "for": _Machine.loop, "while": _Machine.while_, "yield": lambda m, op: None,
    "barrier": lambda m, op: None,                                      # one op at a time runs here
    "if": lambda m, op: m.put(op, m.body(op.bodies[0 if bool(m.get(op.args[0])) else 1])),
    "map": lambda m, op: m.put(op, m.elements(op, op.attr("shape"))), "coordinate": _Machine.coordinate,
    "copy": lambda m, op: m.put(op, [m.get(op.args[0])]), "alloc": _Machine.alloc, "view": _Machine.view,
    "load": _Machine.load, "store": _Machine.store, **dict.fromkeys(_UPDATES, _Machine.atomic)}
