"""What a launch will do, counted from the IR before it runs: operations, bytes, programs; and the least time they can take.

Counts follow the program: padding of ragged tiles is work done, and is counted; elements outside a tensor are not moved, and are not.
Where counts differ between programs they are evaluated for some programs and averaged; `sampled` says for how many.
"""
from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice, product
from math import prod
from typing import Any

import numpy as np
from dslc.ir import Body, Const, Kernel, Op, Operand, Span, Value, walk
from dslc.ops import OPS
from dslc.ops.control import access_shape
from dslc.passes.lifetimes import arena_bytes
from dslc.types import TensorType

SAMPLES = 64             # programs evaluated when a launch has more
_DIVISIONS = ("div", "sqrt", "rsqrt")
_SUMS = ("sum", "cumsum", "segment_sum")
KINDS = ("dot", "arithmetic", "division", "transcendental", "integer", "comparison and selection", "conversion", "moves")


@dataclass(frozen=True)
class Conversion:
    """One tile that goes through memory because it is made in one spread over workers and used in another; `line` of the kernel's source uses it."""

    tile: str
    bytes: int
    made: str
    used: str
    line: int


@dataclass(frozen=True)
class Ledger:
    """Totals of a launch.

    operations: by kind, see KINDS; a product-and-sum of dot and an fma are 2.  dots: operations of dot by operand dtype.
    read, written: bytes moved between tensors and tiles, by tensor, summed over programs: what reaches memory if no cache helps.
    compulsory: bytes of the tensors, each once (twice if read and written): what reaches memory if caches hold everything.
    spaces: bytes that one program keeps in each space.  notes: what could not be known from the dimensions alone.
    conversions: tiles whose elements change workers on the way from where they are made to where they are used.
    """

    programs: int
    sampled: int
    operations: dict[str, float]
    dots: dict[str, float]
    read: dict[str, float]
    written: dict[str, float]
    tensors: dict[str, int]
    compulsory: int
    spaces: dict[str, int]
    notes: tuple[str, ...]
    widest: bool = False                                    # whether a tensor is f64
    conversions: tuple[Conversion, ...] = ()

    @property
    def flops(self) -> float:
        """Operations that limits in GFLOP/s speak of: dot and floating-point arithmetic."""
        return self.operations["dot"] + self.operations["arithmetic"]

    @property
    def traffic(self) -> float:
        """Bytes read and written, over all programs."""
        return sum(self.read.values()) + sum(self.written.values())

    @property
    def intensity(self) -> float:
        """Operations to a compulsory byte."""
        return self.flops / max(self.compulsory, 1)

    def dtype(self) -> str:
        """The dtype whose limit counts: that of most dot operations, else f64 if a tensor is, else f32."""
        return max(self.dots, key=lambda d: self.dots[d]) if self.dots else "f64" if self.widest else "f32"

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"programs": self.programs, "sampled": self.sampled, "operations": self.operations, "dots": self.dots, "read": self.read,
                "written": self.written, "tensors": self.tensors, "compulsory_bytes": self.compulsory, "traffic_bytes": self.traffic,
                "intensity": self.intensity, "spaces": self.spaces, "notes": list(self.notes),
                "conversions": [asdict(c) for c in self.conversions]}


@dataclass(frozen=True)
class Roofline:
    """The least seconds by each limit; None for a limit that is not known."""

    compute: float | None
    memory: float | None

    @property
    def seconds(self) -> float:
        return max(self.compute or 0.0, self.memory or 0.0)

    @property
    def bound(self) -> str:
        """Which limit is the higher: "compute" or "memory"."""
        return "compute" if (self.compute or 0.0) >= (self.memory or 0.0) else "memory"


def roofline(operations: float, moved: float, limits: Mapping[str, float], dtype: str) -> Roofline:
    """The least time for these operations of `dtype` and these bytes; `limits` in GFLOP/s by dtype and GB/s under "memory"."""
    rate, bandwidth = limits.get(dtype), limits.get("memory")
    return Roofline(operations / rate / 1e9 if rate else None, moved / bandwidth / 1e9 if bandwidth else None)


def ledger(kernel: Kernel, dims: Mapping[str, int], scalars: Mapping[str, Any] | None = None) -> Ledger:
    """The ledger of a kernel in either form, for dimensions (and scalar parameters, where loops depend on them) of a call."""
    total, programs, sampled = totals(kernel, dims, scalars or {}, Count)
    sizes = {p.name: -(-prod(total.shapes[p.name]) * p.type.dtype.bits // 8) if p.type.dtype.kind != "b" else prod(total.shapes[p.name])
             for p in kernel.params if isinstance(p.type, TensorType)}
    compulsory = sum(sizes[n] for counts in (total.read, total.written) for n in counts)
    spaces = {str(s): n for s, n in sorted(arena_bytes(kernel).items(), key=lambda row: row[0].value)} if kernel.placed else {}
    operations = {k: float(total.operations.get(k, 0)) for k in KINDS}
    return Ledger(programs, sampled, operations, dict(total.dots), dict(total.read), dict(total.written), sizes, compulsory, spaces, tuple(total.notes),
                  any(isinstance(p.type, TensorType) and p.type.dtype.name == "f64" for p in kernel.params),
                  tuple(Conversion(op.result.name, op.result.tile.bytes, *op.attr("converts")) for op in walk(kernel.body)
                        if op.name == "alloc" and op.attr("converts") is not None))


def totals(kernel: Kernel, dims: Mapping[str, int], scalars: Mapping[str, Any], count: Callable[..., Count]) -> tuple[Count, int, int]:
    """What `count` (Count, or one that counts more) makes of a launch; programs, and how many of them were counted and averaged."""
    shapes = {p.name: tuple(_extent(d, dims) for d in p.type.dims) for p in kernel.params if isinstance(p.type, TensorType)}
    start: dict[Value, Any] = {d: dims[d.name] for d in kernel.dims}
    start |= {p: scalars[p.name] for p in kernel.params if p.name in scalars}
    notes: dict[str, None] = {}
    at = next(n for n, op in enumerate(kernel.body.ops) if op.name == "grid")
    grid = kernel.body.ops[at]
    before = count(shapes, dict(start), notes)
    before.ops(kernel.body.ops[:at])
    extents = [max(int(before.number(a) or 0), 0) for a in grid.args]
    chosen = _sample(extents)
    total = count(shapes, {}, notes)
    for program in chosen:
        one = count(shapes, {**before.env, **dict(zip(grid.results, program, strict=True))}, notes)
        one.ops(kernel.body.ops[at + 1:])
        total.add(one, prod(extents) / len(chosen))
    return total, prod(extents), len(chosen)


def _extent(text: str, dims: Mapping[str, int]) -> int:
    """The value of a tensor's dimension, as its type spells it: a name, a number, or an expression that divides exactly."""
    return dims[text] if text in dims else _arithmetic(ast.parse(text, mode="eval").body, dims)


def _arithmetic(node: ast.AST, dims: Mapping[str, int]) -> int:
    if isinstance(node, ast.BinOp):
        x, y = _arithmetic(node.left, dims), _arithmetic(node.right, dims)
        return {ast.Add: x + y, ast.Sub: x - y, ast.Mult: x * y, ast.Div: x // (y or 1)}[type(node.op)]
    return dims[node.id] if isinstance(node, ast.Name) else int(ast.literal_eval(node))


def _sample(extents: list[int]) -> list[tuple[int, ...]]:
    """All programs, or SAMPLES of them evenly from the first to the last."""
    count = prod(extents)
    if count <= SAMPLES:
        return list(islice(product(*map(range, extents)), count))
    numbers = sorted({round(n * (count - 1) / (SAMPLES - 1)) for n in range(SAMPLES)})
    return [tuple(int(c) for c in np.unravel_index(n, extents)) for n in numbers]


@dataclass
class Count:
    """Counts of a run of ops, and the scalars known in it; `besides` is for one that counts more."""

    shapes: Mapping[str, tuple[int, ...]]
    env: dict[Value, Any]
    notes: dict[str, None]
    operations: Counter[str] = field(default_factory=Counter)
    dots: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    besides: Counter[str] = field(default_factory=Counter)

    def add(self, other: Count, factor: float) -> None:
        for mine, theirs in zip(*([c.operations, c.dots, c.read, c.written, c.besides] for c in (self, other)), strict=True):
            for k, n in theirs.items():
                mine[k] += n * factor

    def fresh(self, env: dict[Value, Any]) -> Count:
        """One that has counted nothing yet, for a body in which these scalars are known."""
        return Count(self.shapes, env, self.notes)

    def number(self, arg: Operand | None) -> Any:
        """The value of a scalar, None if only the data tell."""
        if isinstance(arg, Const):
            return arg.value
        return self.env.get(arg) if isinstance(arg, Value) else None

    def ops(self, ops: Iterable[Op]) -> None:
        for op in ops:
            control = _CONTROL.get(op.name)
            if control is not None:
                control(self, op)
            elif op.name in ("load", "store") or op.name.startswith("atomic_"):
                self.access(op)
            else:
                self.compute(op)

    # ------------------------------------------------------------ control
    def body(self, body: Body, bound: Mapping[Value, Any] | None = None) -> Count:
        inner = self.fresh({**self.env, **(bound or {})})
        inner.ops(body.ops)
        return inner

    def loop(self, op: Op) -> None:
        """All trips: counted for the first, the last but one and the last; trips between are like the first, or change evenly."""
        start, stop = self.number(op.args[0]), self.number(op.args[1])
        if start is None or stop is None:
            self.notes["a loop's bounds come from data: counted as one trip"] = None
            return self.add(self.body(op.bodies[0]), 1)
        indices = range(int(start), int(stop), op.attr("step", 1))
        if not indices:
            return None
        index = op.bodies[0].params[0]
        first, before, last = (self.body(op.bodies[0], {index: i}) for i in (indices[0], indices[max(len(indices) - 2, 0)], indices[-1]))
        self.add(last, 1)
        self.add(first, (len(indices) - 1) / 2)
        return self.add(before, (len(indices) - 1) / 2)

    def while_(self, op: Op) -> None:
        self.notes["a while loop's trips come from data: counted as one trip"] = None
        self.add(self.body(op.bodies[1]), 1)

    def branch(self, op: Op) -> None:
        taken = self.number(op.args[0])
        branches = [self.body(b) for b in op.bodies]
        if taken is None:
            self.notes["a branch depends on data: counted as the one with more operations"] = None
            self.add(max(branches, key=lambda b: sum(b.operations.values())), 1)
        else:
            self.add(branches[0 if taken else 1], 1)

    # ------------------------------------------------------------ memory
    def access(self, op: Op) -> None:
        """Elements inside the tensor, as far as spans tell; index tiles are taken to be inside."""
        tensor, coords = op.args[0], op.args[1 if op.name == "load" else 2:]
        assert isinstance(tensor, Value)
        elements = prod(access_shape(coords))
        for c, n in zip(coords, self.shapes[tensor.name], strict=True):
            elements = elements * self.inside(c, n) // (c.extent if isinstance(c, Span) else 1)
        moved = elements * tensor.tensor.dtype.bits / 8 if tensor.tensor.dtype.kind != "b" else elements
        if op.name != "store":
            self.read[tensor.name] += moved  # type: ignore[assignment]
        if op.name != "load":
            self.written[tensor.name] += moved  # type: ignore[assignment]

    def inside(self, c: Operand, n: int) -> int:
        if not isinstance(c, Span):
            at = self.number(c)
            return int(at is None or 0 <= at < n)
        start, stop = self.number(c.start), self.number(c.stop) if c.stop is not None else n
        if start is None:
            return c.extent
        return max(min(int(start) + c.extent, n, n if stop is None else int(stop)) - max(int(start), 0), 0)

    # ------------------------------------------------------------ computing
    def compute(self, op: Op) -> None:
        row = OPS[op.name]
        if op.name == "dot":
            a, b = op.args[0], op.args[1]
            assert isinstance(a, Value) and isinstance(b, Value)
            n = 2 * prod(a.tile.shape) * b.tile.shape[1]
            self.operations["dot"] += n
            self.dots[a.tile.dtype.name] += n
            return
        out = (op.results or op.into)[0].tile if op.results or op.into else None
        if op.results and not op.results[0].tile.shape and row.elementwise:
            self.fold(op)
        if op.bodies:                                        # a map, or a reduction of computed elements
            size = prod(op.attr("shape") or (out.shape if out else ()))
            for inner in walk(op.bodies[0]):
                self.element(inner, size)
        if op.name == "map":
            return
        source = next((a.tile for a in op.args if isinstance(a, Value)), out)
        reduced = op.name in _SUMS or op.name in ("max", "min", "argmax", "argmin")
        if reduced and source is not None:
            size = prod(op.attr("shape") or source.shape)
            floating = source.dtype.kind == "f" or (op.bodies and op.attr("dtype") and op.attr("dtype").kind == "f")
            self.operations[("arithmetic" if floating else "integer") if op.name in _SUMS else "comparison and selection"] += size
        elif out is not None and op.name != "alloc" and not (op.results and not out.shape):
            self.element(op, out.size)

    def element(self, op: Op, size: int) -> None:
        """An op done to `size` elements, by kind."""
        if op.name in ("yield", "coordinate", "alloc", "view", "barrier"):
            return
        source = next((a.tile.dtype for a in op.args if isinstance(a, Value | Const)), None)
        floating = source is not None and source.kind == "f"
        self.operations[_kind(op.name, floating)] += size * (2 if op.name == "fma" else 1)

    def fold(self, op: Op) -> None:
        """The value of a scalar op whose operands are known."""
        values = [self.number(a) for a in op.args]
        if None in values or op.name in ("random", "bitcast", "take"):
            return
        types = [a.tile.dtype.numpy for a in op.args if isinstance(a, Value | Const)]
        attrs = {name: value for name, _ in OPS[op.name].attrs if (value := op.attr(name)) is not None}
        self.env[op.result] = OPS[op.name].meaning(*(np.asarray(v).astype(t) for v, t in zip(values, types, strict=True)), **attrs).item()


def _kind(name: str, floating: bool) -> str:
    row = OPS[name]
    if name in _DIVISIONS and floating:
        return "division"
    if row.numeric == "B":
        return "transcendental"
    if name in ("cast", "bitcast", "round"):
        return "conversion"
    if name in ("where", "minimum", "maximum") or row.rule == "comparison":
        return "comparison and selection"
    if row.elementwise:
        return "arithmetic" if floating else "integer"
    return "moves"


_CONTROL: dict[str, Callable[[Count, Op], None]] = {
    "for": Count.loop, "while": Count.while_, "if": Count.branch,
    **dict.fromkeys(("yield", "assume", "barrier", "alloc", "view"), lambda _c, _op: None)}
