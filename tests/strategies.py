"""Random valid kernels in the value form, with arguments: every pure op of OPS, all kinds of coordinates, nested control, packed tensors."""
from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from dslc.ir import Arg, Body, Const, Kernel, Op, Operand, Span, Value, make_attrs
from dslc.ops import OPS
from dslc.ops.control import ATOMIC_TYPES, access_shape
from dslc.ops.elementwise import ROUNDINGS
from dslc.ops.structure import accumulates_in, sum_type
from dslc.ops.table import CLASSES
from dslc.text import show
from dslc.types import BOOL, DTYPES, F32, F64, I32, INDEX, DType, Packing, TensorType, TileType, broadcast_shapes
from hypothesis import strategies as st

STORED = tuple(d for d in DTYPES.values() if (d is not INDEX and d.bits >= 8) or d is BOOL)
NARROW = tuple(DTYPES[n] for n in ("u1", "u2", "u4", "i4"))
EXTENTS = (1, 2, 3, 4, 8)
PURE = tuple(sorted(name for name, row in OPS.items() if row.pure and row.group not in "ap" and name not in ("map", "coordinate")))
EFFECTS = ("load", "load", "load", "store", "atomic", "reload", "for", "if", "while")
INEXACT_ONLY = ("rsqrt", "exp", "exp2", "log", "log2", "sigmoid", "tanh", "erf", "sin", "cos")


@dataclass(repr=False)
class Case:
    """A kernel and what to call it with.  `outputs` names the tensors it writes."""

    kernel: Kernel
    arrays: dict[str, Any]
    dims: dict[str, int]
    outputs: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{show(self.kernel)}dims={self.dims}\narrays={self.arrays}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def fresh(self) -> dict[str, Any]:
        """The arguments, arrays copied."""
        return {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in self.arrays.items()}


@st.composite
def kernels(draw: Any, *, exact: bool = False, control: bool = True, steps: int = 10, without: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> Case:
    """A Case.  `exact` leaves out what may differ by rounding between correct implementations; `only` and `without` choose ops by name."""
    names = [n for n in (only or (*PURE, *EFFECTS)) if n not in without and (control or n not in ("for", "if", "while"))]
    return _Builder(draw, exact, [n for n in names if not (exact and n in INEXACT_ONLY)], steps).case()


@dataclass
class _Builder:
    draw: Any
    exact: bool
    names: list[str]
    steps: int
    params: list[Value] = field(default_factory=list)
    dims: dict[str, int] = field(default_factory=dict)
    dim_values: dict[str, Value] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    pool: list[Value] = field(default_factory=list)
    small: list[Value] = field(default_factory=list)          # index scalars of a few units, good as coordinates
    pids: tuple[Value, ...] = ()
    unique: tuple[tuple[Arg, int], ...] = ()                  # loop indices and bounds that a store must name to be disjoint
    stored: list[tuple[Value, tuple[Operand, ...]]] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)
    in_branch: bool = False
    depth: int = 0
    count: int = 0

    # ------------------------------------------------------------ choices
    def choose(self, options: Any) -> Any:
        options = list(options)
        return options[self.draw(st.sampled_from(range(len(options))))] if len(options) > 1 else options[0]

    def pick(self, names: list[str]) -> str:
        """The next op: one time in four something other than arithmetic."""
        effects = [n for n in names if n in EFFECTS]
        return str(self.choose(effects if effects and not self.draw(st.integers(0, 3)) else names))

    def flip(self) -> bool:
        return bool(self.draw(st.booleans()))

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def shape(self, low: int = 0, high: int = 3) -> tuple[int, ...]:
        return tuple(self.choose(EXTENTS) for _ in range(self.draw(st.integers(low, high))))

    def literal(self, d: DType) -> Const:
        if d is BOOL:
            return Const(self.flip(), d)
        if d.kind == "f":
            return Const(self.choose((1.0, 0.0, -1.5, 0.1, -0.0, 100.0, float("inf"))), d)
        return Const(max(d.lo, min(d.hi, self.choose((1, 0, 2, 7, -1, -100, d.hi)))), d)

    # ------------------------------------------------------------ emission
    def emit(self, op: str, *args: Operand, **attrs: Any) -> Value:
        types = OPS[op].infer([a.tile for a in args if not isinstance(a, Span)], attrs)
        return self.bind(op, args, attrs, types)[0]

    def bind(self, op: str, args: Any, attrs: dict[str, Any], types: Any, bodies: tuple[Body, ...] = ()) -> tuple[Value, ...]:
        results = tuple(Value(self.name("v"), t) for t in types)
        self.ops.append(Op(op, tuple(args), make_attrs(attrs), results, bodies))
        self.pool += results
        return results

    def of(self, good: Any, dtypes: Any = (), shape: tuple[int, ...] | None = None) -> Value:
        """A value of the pool that is `good`, the newest first; else a load of one of `dtypes`."""
        found = [v for v in reversed(self.pool) if good(v.tile)]
        if found and (len(found) > 3 or self.flip()):
            return self.choose(found)
        return self.load_new(self.choose(dtypes or STORED), self.shape(1, 2) if shape is None else shape)

    def operand(self, letter: str, row: Any) -> Value:
        allowed = CLASSES.get(letter, (lambda d: d.name == letter, ""))[0]
        narrow = row.rule in ("bitwise", "exact", "selection") and letter in "TJ" and row.name != "not"
        return self.of(lambda t: allowed(t.dtype) and (narrow or t.dtype.bits >= 8 or t.dtype is BOOL), [d for d in STORED if allowed(d)])

    def like(self, x: Value, others: list[Value]) -> Arg:
        """A second operand: the dtype of `x`, a shape that broadcasts with it and the others; often a literal."""
        def fits(t: TileType) -> bool:
            try:
                return t.dtype is x.tile.dtype and prod(broadcast_shapes(t.shape, *(o.tile.shape for o in others))) <= 512
            except ValueError:
                return False
        found = [v for v in reversed(self.pool) if fits(v.tile)]
        return self.choose(found) if found and self.draw(st.integers(0, 3)) else self.literal(x.tile.dtype)

    def tile(self, dtype: DType, shape: tuple[int, ...]) -> Value:
        """Some value of this type."""
        found = [v for v in reversed(self.pool) if v.tile == TileType(dtype, shape)]
        if found and self.flip():
            return self.choose(found)
        if dtype is INDEX:
            return self.emit("cast", self.tile(I32, shape), dtype=INDEX)
        return self.load_new(dtype, shape)

    # ------------------------------------------------------------ tensors
    def dim(self, stem: str, low: int, high: int) -> str:
        name = self.name(stem)
        self.dims[name] = self.draw(st.integers(low, high))
        self.dim_values[name] = Value(name, TileType(INDEX))
        return name

    def tensor(self, stem: str, t: TensorType) -> Value:
        v = Value(self.name(stem), t)
        self.params.append(v)
        return v

    def load_new(self, dtype: DType, shape: tuple[int, ...]) -> Value:
        """A load of this type from an input of its own: one coordinate for each axis, and perhaps a point before them."""
        coordinates: list[Operand] = []
        dims: list[str] = []
        if len(shape) < 3 and not self.draw(st.integers(0, 2)):
            dims.append(str(self.choose((2, 4))))
            coordinates.append(self.start())
        for n in shape:
            dims.append(self.dim("N", 0 if not self.draw(st.integers(0, 9)) else 1, 9) if self.flip() else str(self.choose((n, n + 1, 8))))
            coordinates.append(self.span(n))
        if not dims:
            dims, coordinates = ["4"], [self.start()]
        t = self.tensor("x", TensorType(dtype, tuple(dims)))
        return self.bind("load", (t, *coordinates), {"pad": self.pad(dtype)}, (TileType(dtype, shape),))[0]

    def pad(self, d: DType) -> Any:
        return self.choose((0, 1, 0)) if d.kind != "f" else self.choose((0, -1.5, float("-inf")))

    def start(self) -> Arg:
        found = list(reversed(self.small))
        return self.choose(found) if found and self.flip() else Const(self.choose((0, 1, 2, -1)), INDEX)

    def span(self, n: int) -> Span:
        start = self.start()
        if self.small and not self.draw(st.integers(0, 3)):
            start = self.emit("mul", self.choose(self.small), Const(n, INDEX))
        return Span(start, n, self.start() if not self.draw(st.integers(0, 3)) else None)

    # ------------------------------------------------------------ the kernel
    def case(self) -> Case:
        programs = self.dim("P", 1, 3)
        extents: list[Arg] = [self.dim_values[programs]] + ([Const(2, INDEX)] if self.flip() else [])
        if self.flip():
            extents[0] = self.emit("add", extents[0], Const(1, INDEX))
        if self.flip():
            self.bind("assume", (self.emit("ge", self.dim_values[programs], Const(1, INDEX)),), {}, ())
        self.pids = self.bind("grid", extents, {}, (TileType(INDEX),) * len(extents))
        self.small += [*self.pids, self.dim_values[programs]]
        self.pool += [self.dim_values[programs], *(self.scalar() for _ in range(self.draw(st.integers(0, 2))))]
        self.anchor = TensorType(BOOL, (programs,))                         # a tensor that binds the name of the number of programs
        self.tensor("anchor", self.anchor)
        for _ in range(self.draw(st.integers(1, self.steps))):
            self.step(self.pick(self.names))
        for v in [v for v in self.pool if v.tile.shape][-3:]:
            self.store(v)
        if not self.outputs:
            self.store(self.pool[-1])
        self.ops.append(Op("yield"))
        kernel = Kernel("random", tuple(self.params), tuple(self.in_order()), Body((), tuple(self.ops)))
        return Case(kernel, self.arrays(), {v.name: self.dims[v.name] for v in kernel.dims}, tuple(self.outputs))

    def in_order(self) -> list[Value]:
        seen = [name for v in self.params if isinstance(v.type, TensorType) for name in v.type.dims]
        return [self.dim_values[n] for n in dict.fromkeys(seen) if n in self.dim_values]

    def scalar(self) -> Value:
        v = Value(self.name("s"), TileType(self.choose((F32, I32, BOOL, F64, DTYPES["u64"]))))
        self.params.append(v)
        return v

    def step(self, name: str) -> None:
        if name in OPS and OPS[name].pure and name not in _MAKERS and OPS[name].elementwise:
            self.elementwise(name)
        else:
            _MAKERS[name](self)

    # ------------------------------------------------------------ elementwise
    def elementwise(self, name: str) -> None:
        row = OPS[name]
        first: dict[str, Value] = {}
        values: list[Value] = []
        args: list[Arg] = []
        for param in row.params:
            if param.letter in first:
                arg = self.like(first[param.letter], values)
            else:
                arg = self.operand(param.letter, row) if not values else self.compatible(param.letter, row, values)
                first[param.letter] = arg
            args.append(arg)
            values += [arg] if isinstance(arg, Value) else []
        if name in ("floordiv", "mod"):
            args[1] = self.nonzero(args[1])
        if name in ("shl", "shr"):
            d = args[0].tile.dtype
            args[1] = self.emit("and", args[1], Const(d.bits - 1, d)) if isinstance(args[1], Value) else Const(1, d)
        if name == "popcount" and values[0].tile.dtype.signed:
            args[0] = self.emit("cast", args[0], dtype=DTYPES["u32"])
        attrs = {"mode": self.choose(ROUNDINGS)} if name == "round" else {}
        self.settle(self.emit(name, *args, **attrs), name)

    def compatible(self, letter: str, row: Any, values: list[Value]) -> Value:
        found = [v for v in reversed(self.pool) if (letter == "T" or CLASSES[letter][0](v.tile.dtype)) and _fit(v, values)]
        return self.choose(found) if found else self.load_new(F32, values[0].tile.shape)

    def nonzero(self, x: Arg) -> Arg:
        return self.emit("or", x, Const(1, x.tile.dtype)) if isinstance(x, Value) else Const(x.value or 1, x.dtype)

    def settle(self, v: Value, name: str) -> None:
        """Which zero a minimum gives is open: +0 is added where bits count."""
        if self.exact and name in ("minimum", "maximum", "min", "max") and v.tile.dtype.kind == "f":
            self.pool.remove(v)
            self.emit("add", v, Const(0.0, v.tile.dtype))

    def random(self) -> None:
        seed = self.of(lambda t: t == TileType(INDEX), [I32])
        counter = self.of(lambda t: t.dtype is INDEX, [I32], (4,))
        seed = self.pids[0] if seed.tile.shape else seed
        self.emit("random", *(v if v.tile.dtype is INDEX else self.emit("cast", v, dtype=INDEX) for v in (seed, counter)))

    def cast(self) -> None:
        x = self.of(lambda t: True)
        d = self.choose([d for d in DTYPES.values() if d is not BOOL])
        if x.tile.dtype.kind == "f" and d.kind == "i":
            d = I32 if self.exact and d.bits == 64 else d
            self.emit("cast", x, dtype=d, round=self.choose(ROUNDINGS))
        elif d.kind == "i" and x.tile.dtype.kind == "i" and not (self.exact and "u64" in (x.tile.dtype.name, d.name)) and self.flip():
            self.emit("cast", x, dtype=d, saturate=True)
        elif d.bits == 8 and d.kind == "f" and self.flip():
            self.emit("cast", x, dtype=d, saturate=False)
        else:
            self.emit("cast", x, dtype=d)

    def bitcast(self) -> None:
        x = self.of(lambda t: t.dtype.bits >= 8, [d for d in STORED if d is not BOOL])
        d = x.tile.dtype
        if d.kind == "f":                                                  # the bits of a NaN are open
            wide = x if d.bits >= 32 else self.emit("cast", x, dtype=F32)
            x = self.emit("where", self.emit("eq", wide, wide), x, Const(0.0, d))
        self.emit("bitcast", x, dtype=self.choose([t for t in DTYPES.values() if t.bits == d.bits and t is not BOOL and t is not INDEX]))

    # ------------------------------------------------------------ whole tiles
    def full(self) -> None:
        value = self.of(lambda t: not t.shape, shape=()) if self.flip() else self.literal(self.choose((*STORED, *NARROW, INDEX)))
        self.emit("full", value, shape=self.shape(1))

    def iota(self) -> None:
        self.emit("iota", n=self.choose(EXTENTS))

    def dot(self) -> None:
        ints = [DTYPES[n] for n in ("i8", "u8")]
        good = [*ints] if self.exact else [*ints, DTYPES["f16"], DTYPES["bf16"], F32, F64, DTYPES["f8e4m3"]]
        def multiplies(t: TileType) -> bool:
            return len(t.shape) == 2 and accumulates_in(t.dtype, t.dtype) is not None and (t.dtype.kind == "i" or not self.exact)
        a = self.of(multiplies, good, (self.choose(EXTENTS), 4))
        d = a.tile.dtype
        if d.bits >= 8:
            b = self.tile(d if d.kind == "f" else self.choose(ints), (a.tile.shape[1], self.choose(EXTENTS)))
        else:
            b = self.emit("cast", self.tile(I32, (a.tile.shape[1], 2)), dtype=self.choose((DTYPES["u4"], DTYPES["i4"])))
        types = OPS["dot"].infer((a.tile, b.tile), {})
        acc = [self.tile(types[0].dtype, types[0].shape)] if self.flip() else []
        self.emit("dot", a, b, *acc, **({"precision": "tf32"} if d is F32 and self.flip() else {}))

    def reduction(self, name: str) -> None:
        sums = OPS[name].rule == "summation"
        letter = OPS[name].params[0].letter
        def good(t: TileType) -> bool:
            return bool(t.shape) and CLASSES[letter][0](t.dtype) and (not sums or (sum_type(t.dtype) is t.dtype and not (self.exact and t.dtype.kind == "f")))
        dtypes = [d for d in STORED if good(TileType(d, (1,)))]
        x = self.of(good, dtypes)
        self.settle(self.emit(name, x, axis=self.draw(st.integers(0, len(x.tile.shape) - 1))), name)

    def segment_sum(self) -> None:
        x = self.of(lambda t: len(t.shape) in (1, 2) and sum_type(t.dtype) is t.dtype and not (self.exact and t.dtype.kind == "f"), [I32, DTYPES["u64"]])
        ids = self.emit("and", self.tile(I32, x.tile.shape[:1]), Const(7, I32))
        self.emit("segment_sum", x, ids, n=self.choose(EXTENTS))

    def transpose(self) -> None:
        x = self.of(lambda t: len(t.shape) > 0)
        self.emit("transpose", x, axes=tuple(self.draw(st.permutations(range(len(x.tile.shape))))))

    def reshape(self) -> None:
        x = self.of(lambda t: len(t.shape) > 0)
        n = x.tile.size
        halves = [(a, n // a) for a in (2, 3, 4) if n % a == 0]
        self.emit("reshape", x, shape=self.choose([(n,), (1, n), (n, 1), *halves, *((a, 1, b) for a, b in halves)]))

    def broadcast(self) -> None:
        x = self.of(lambda t: t.size <= 64)
        shape = tuple(self.choose(EXTENTS) if n == 1 else n for n in x.tile.shape)
        self.emit("broadcast", x, shape=(*((self.choose(EXTENTS),) if len(shape) < 3 and (self.flip() or not shape) else ()), *shape))

    def split(self) -> None:
        x = self.of(lambda t: any(n % 2 == 0 for n in t.shape), shape=(4, self.choose(EXTENTS)))
        axis = self.choose([d for d, n in enumerate(x.tile.shape) if n % 2 == 0])
        n = self.choose([k for k in (2, 4, 1) if x.tile.shape[axis] % k == 0])
        self.bind("split", (x,), {"n": n, "axis": axis}, OPS["split"].infer((x.tile,), {"n": n, "axis": axis}))

    def concat(self) -> None:
        x = self.of(lambda t: len(t.shape) > 0 and t.size <= 128)
        axis = self.draw(st.integers(0, len(x.tile.shape) - 1))
        def fits(t: TileType) -> bool:
            same = t.dtype is x.tile.dtype and len(t.shape) == len(x.tile.shape)
            return same and all(d == axis or a == b for d, (a, b) in enumerate(zip(t.shape, x.tile.shape, strict=True)))
        others = [v for v in reversed(self.pool) if fits(v.tile)]
        self.emit("concat", *[self.choose(others) for _ in range(self.draw(st.integers(1, 2)))], x, axis=axis)

    def unpack(self) -> None:
        def words(t: TileType) -> bool:
            return len(t.shape) in (1, 2) and t.dtype.kind == "i" and t.dtype.bits >= 8 and t.dtype is not INDEX and t.size <= 32
        x = self.of(words, [I32, DTYPES["u8"]])
        fields = [d for d in (*NARROW, BOOL, DTYPES["i8"], DTYPES["u16"]) if d.bits < x.tile.dtype.bits and x.tile.dtype.bits // d.bits <= 32]
        self.emit("unpack", x, dtype=self.choose(fields), order=self.choose(("adjacent", "split")))

    def pack(self) -> None:
        words = [d for d in STORED if d.kind == "i" and d.bits >= 8]
        def fitting(t: TileType) -> list[DType]:
            return [w for w in words if t.shape and t.dtype.kind in "ib" and w.bits > t.dtype.bits and t.shape[-1] % (w.bits // t.dtype.bits) == 0]
        x = self.of(lambda t: bool(fitting(t)), [DTYPES["u8"], BOOL], (2, 8))
        self.emit("pack", x, dtype=self.choose(fitting(x.tile)), order=self.choose(("adjacent", "split")))

    def take(self) -> None:
        table = self.of(lambda t: len(t.shape) in (1, 2) and t.size <= 64)
        index = self.of(lambda t: t.dtype.kind == "i" and len(t.shape) < 3 and t.size <= 16, [DTYPES["u8"], I32])
        if self.flip() and index.tile.dtype.bits >= 8:
            index = self.emit("mod", index, Const(table.tile.shape[0] + 1, index.tile.dtype))
        self.emit("take", table, index)

    # ------------------------------------------------------------ memory
    def load(self) -> None:
        kind = self.draw(st.integers(0, 3))
        if kind == 0:
            self.load_packed()
        elif kind == 1:
            self.load_new(self.choose(STORED), self.shape(0, 3))
        else:
            self.gather()

    def load_packed(self) -> None:
        d, word = self.choose(NARROW), self.choose((DTYPES["u8"], DTYPES["u32"], I32))
        fields = word.bits // d.bits
        order: Any = self.choose(("adjacent", "split", "order"))
        if order == "order":
            order = tuple(self.draw(st.permutations(range(fields)))) if fields <= 8 else "adjacent"
        axis = self.draw(st.integers(0, 1))
        dims = tuple(str(self.choose((fields, 2 * fields))) if a == axis else self.dim("N", 1, 5) for a in (0, 1))
        t = self.tensor("w", TensorType(d, dims, Packing(word, axis, order)))
        shape = (self.choose(EXTENTS), self.choose(EXTENTS))
        self.bind("load", (t, *(self.span(n) for n in shape)), {"pad": self.choose((0, 1))}, (TileType(d, shape),))

    def gather(self) -> None:
        """Coordinates of every kind, index tiles among them."""
        ints = self.of(lambda t: t.dtype.kind == "i" and t.dtype.bits >= 8 and 0 < len(t.shape) < 3 and t.size <= 32, [I32, DTYPES["u8"]])
        index = self.emit("mod", ints, Const(9, ints.tile.dtype)) if self.flip() else ints
        coordinates: list[Operand] = [index]
        for _ in range(self.draw(st.integers(0, 2))):
            kind = self.draw(st.integers(0, 2))
            new = self.start() if kind == 0 else self.span(self.choose(EXTENTS)) if kind == 1 else index
            coordinates.insert(self.draw(st.integers(0, len(coordinates))), new)
        shape = access_shape(coordinates)
        if len(shape) > 3 or prod(shape) > 256:
            coordinates = [index]
            shape = index.tile.shape
        d = self.choose(STORED)
        dims = tuple(self.dim("N", 1, 9) if self.flip() else "8" for _ in coordinates)
        t = self.tensor("x", TensorType(d, dims))
        self.bind("load", (t, *coordinates), {"pad": self.pad(d)}, (TileType(d, shape),))

    def store(self, v: Value | None = None) -> None:
        """To an output of its own, elements of which belong to one program and one trip."""
        v = v or self.of(lambda t: True)
        if v.tile.dtype is INDEX:
            v = self.emit("cast", v, dtype=DTYPES["i64"])
        if v.tile.dtype in NARROW:
            v = self.packed_value(v)
        d = v.tile.dtype
        own: list[tuple[Operand, str]] = [*((p, str(4)) for p in self.pids), *((u, str(n)) for u, n in self.unique)]
        shape = list(v.tile.shape)
        rest: list[tuple[Operand, str]] = []
        if shape and not self.unique and len(self.pids) == 1 and d not in NARROW and self.flip():   # rows in blocks, the last one ragged
            own = [(Span(self.emit("mul", self.pids[0], Const(shape[0], INDEX)), shape.pop(0)), self.dim("R", 0, 9))]
        elif shape and d not in NARROW and self.flip():                                             # a scatter with holes
            n = shape.pop(0)
            i = self.emit("iota", n=n)
            keep = self.emit("ne", i, Const(self.choose((0, 1, 2)), INDEX))
            rest = [(self.emit("where", keep, i, Const(-1, INDEX)), str(n + 1))]
        rest += [(Span(Const(0, INDEX), n, self.start() if d not in NARROW and not self.draw(st.integers(0, 5)) else None), str(n)) for n in shape]
        packing = None
        if d in NARROW:
            word = DTYPES["u8"] if v.tile.shape[-1] % 32 or self.flip() else DTYPES["u32"]
            packing = Packing(word, len(own) + len(rest) - 1, self.choose(("adjacent", "split")))
        t = self.tensor("o", TensorType(d, tuple(n for _, n in own + rest), packing))
        coordinates = tuple(c for c, _ in own + rest)
        self.outputs[t.name] = t
        self.ops.append(Op("store", (t, v, *coordinates)))
        if not self.unique and not self.in_branch:
            self.stored.append((t, coordinates))

    def packed_value(self, v: Value) -> Value:
        fields = 8 // v.tile.dtype.bits
        if v.tile.shape and v.tile.shape[-1] % fields == 0:
            return v
        return self.emit("broadcast", self.emit("reshape", v, shape=(*v.tile.shape, 1)), shape=(*v.tile.shape, fields))

    def reload(self) -> None:
        """A program sees its own stores."""
        if self.stored:
            t, coordinates = self.choose(self.stored)
            self.bind("load", (t, *coordinates), {}, (TileType(t.tensor.dtype, access_shape(coordinates)),))

    def atomic(self) -> None:
        good = [d for d in ATOMIC_TYPES if d.kind == "i"]
        v = self.of(lambda t: t.dtype in good and len(t.shape) in (0, 1), good)
        index = self.emit("mod", self.tile(I32, v.tile.shape or (2,)), Const(5, I32))
        t = self.tensor("a", TensorType(v.tile.dtype, ("4",)))
        self.outputs[t.name] = t
        self.ops.append(Op(self.choose(("atomic_add", "atomic_min", "atomic_max")), (t, v, index)))

    # ------------------------------------------------------------ control
    def inner(self, params: tuple[Value, ...], want: list[TileType], *, small: tuple[Value, ...] = (), unique: Any = None, branch: bool = False) -> Body:
        """A body of a few steps that yields values of these types."""
        outer = self.ops, self.pool, self.small, self.unique, self.in_branch
        self.ops, self.pool, self.small = [], [*self.pool, *params], [*self.small, *small]
        self.unique, self.in_branch = unique if unique is not None else self.unique, self.in_branch or branch
        self.depth += 1
        names = [n for n in self.names if self.depth < 2 or n not in ("for", "if", "while")]
        names = [n for n in names if unique is not None or n != "store"]
        for _ in range(self.draw(st.integers(1, 4)) if names else 0):
            self.step(self.pick(names))
        yields = [self.choose([v for v in reversed(self.pool) if v.tile == t]) for t in want]
        body = Body(params, (*self.ops, Op("yield", tuple(yields))))
        self.depth -= 1
        self.ops, self.pool, self.small, self.unique, self.in_branch = outer
        return body

    def carried(self) -> list[Value]:
        values = [v for v in reversed(self.pool) if v not in self.dim_values.values()]
        return [self.choose(values) for _ in range(self.draw(st.integers(0, 3)))] if values else []

    def for_(self) -> None:
        carried = self.carried()
        start, step, trips = self.choose((0, 1)), self.choose((1, 2)), self.choose((2, 0, 1, 3))
        stop: Arg = Const(start + step * trips, INDEX) if self.flip() or not self.small else self.choose(self.small)
        k = Value(self.name("k"), TileType(INDEX))
        params = (k, *(Value(self.name("c"), v.type) for v in carried))
        unique = (*self.unique, (k, 12)) if self.unique is not None else None
        body = self.inner(params, [v.tile for v in carried], small=(k,), unique=unique)
        self.bind("for", (Const(start, INDEX), stop, *carried), {"step": step}, [v.tile for v in carried], (body,))

    def if_(self) -> None:
        c = self.emit("gt", self.choose(self.small), Const(self.choose((0, 1)), INDEX)) if self.flip() else self.tile(BOOL, ())
        want = [v.tile for v in self.carried()]
        bodies = tuple(self.inner((), want, unique=self.unique, branch=True) for _ in range(2))
        self.bind("if", (c,), {}, want, bodies)

    def while_(self) -> None:
        counter = self.emit("mul", self.choose(self.small), Const(1, INDEX))
        carried = [counter, *self.carried()]
        types = [v.tile for v in carried]
        condition = tuple(Value(self.name("c"), t) for t in types)
        more = Value(self.name("v"), TileType(BOOL))
        test = Op("lt", (condition[0], Const(self.choose((2, 1, 4)), INDEX)), results=(more,))
        params = tuple(Value(self.name("c"), t) for t in types)
        body = self.inner(params[1:], types[1:])
        after = Value(self.name("v"), TileType(INDEX))
        count = Op("add", (params[0], Const(1, INDEX)), results=(after,))
        trip = Body(params, (*body.ops[:-1], count, Op("yield", (after, *body.result))))
        self.bind("while", carried, {}, types, (Body(condition, (test, Op("yield", (more,)))), trip))

    # ------------------------------------------------------------ arguments
    def arrays(self) -> dict[str, Any]:
        rng = np.random.default_rng(self.draw(st.integers(0, 1000)))
        wild = self.draw(st.integers(0, 2))
        made: dict[str, Any] = {}
        for v in self.params:
            if isinstance(v.type, TileType):
                made[v.name] = content(rng, (1,), v.tile.dtype, wild)[0].item()
                continue
            t = v.tensor
            shape = [self.dims[n] if n in self.dims else int(n) for n in t.dims]
            if t.packing:
                shape[t.packing.axis] //= t.fields
            stored = t.packing.word if t.packing else t.dtype
            made[v.name] = np.full((*shape, stored.bytes), 0xA5 if stored is not BOOL else 0, np.uint8).view(stored.numpy)[..., 0] \
                if v.name in self.outputs else content(rng, tuple(shape), stored, wild)
        return made


def _fit(v: Value, values: list[Value]) -> bool:
    try:
        return prod(broadcast_shapes(v.tile.shape, *(o.tile.shape for o in values))) <= 512
    except ValueError:
        return False


def content(rng: Any, shape: tuple[int, ...], d: DType, wild: int) -> Any:
    """Elements of one dtype: 0 tame, 1 with special values, 2 special values and integers over their whole range."""
    if d is BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if d.kind == "i":
        low, high = (d.lo, d.hi) if wild == 2 else (max(d.lo, -4), 9)
        return rng.integers(low, high, shape, d.numpy, endpoint=True)
    a = rng.normal(0, 4, shape)
    if wild:
        special = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e30, 1e-40, 0.5, 2.5], shape)
        a = np.where(rng.random(shape) < 0.2, special, a)
    with np.errstate(all="ignore"):
        return a.astype(np.float32 if d.bits < 64 else np.float64).astype(d.numpy)


_MAKERS: dict[str, Any] = {
    **{n: getattr(_Builder, n) for n in ("random", "cast", "bitcast", "full", "iota", "dot", "segment_sum", "transpose", "reshape", "broadcast",
                                         "split", "concat", "unpack", "pack", "take", "load", "store", "atomic", "reload")},
    **{n: (lambda self, n=n: self.reduction(n)) for n in ("sum", "max", "min", "argmax", "argmin", "cumsum")},
    "for": _Builder.for_, "if": _Builder.if_, "while": _Builder.while_}
