"""What a launch should take on the NPU by documented rates: bytes on each path, time of each pipe, and what bounds the whole.  Nothing is measured.

The model counts what the lowered kernel does for the dimensions of a call (runtime/ledger.py evaluates loops and branches) and divides by rates:

- a pipe of a core: bytes or instructions by its own rate; L1 to L0A 256 and to L0B 128 B/cycle, 256 B of a vector instruction a cycle, a
  16 x 16 x 16 product of 16-bit elements a cycle (CANN documentation, "Architecture" and "Performance"; the product rate from the chips' peak);
- the path of an AI core to global memory: 110 B/cycle read and 86 written where L2 has it, all of the core's units together, one direction
  after the other; 32 B/cycle of it from HBM (CANN 8.1, platform_config, ddr_rate, l2_read_rate, l2_write_rate);
- pipes of a unit work beside each other, but for loads that do not run ahead (their places have one slot), which what computes waits for, and
  for stores of a lone accumulator, which the next product waits for; the units work beside each other where what crosses has two slots;
- what has no vector form is done element by element on the scalar pipe, at best in two cycles each [inferred: one GetValue, one SetValue].

A core's programs are taken for equally long.  Latencies, launches, scalars and bank conflicts are left out and vector instructions taken for
equally fast: a time is a least time.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import ceil, prod
from typing import Any

from dslc.ir import Kernel, Op, Value, walk
from dslc.ops.control import access_shape
from dslc.runtime.ledger import Count, totals
from dslc.types import DType, Space, TensorType

from . import memory as memory_ops
from . import vector_ops
from .limits import HBM_RATE, KIB, L0C_BYTES, L1_BYTES, L1_TO_L0A_RATE, L1_TO_L0B_RATE, L2_READ_RATE, L2_WRITE_RATE, MIB, SOCS, UB_BYTES, VECTOR_BYTES, Soc
from .memory import MEMORY_OPS

# ---------------------------------------------------------------- the machine
CHIP = "910B1"
CAPACITY = {"UB": UB_BYTES, "L1": L1_BYTES, "L0C": L0C_BYTES}
FRACTAL, DEPTH = 16, 32                                     # rows and columns of a product of one cycle, and bytes along the sum
_SCALAR_CYCLES = 2                                          # of an element on the scalar pipe [inferred]
_FIELD_BYTES = 4 * 4 + 2                                    # that instructions pass over to unpack a field: two shifts and two casts of 32 bits, one of 16
_F32_CYCLES = 2                                             # of a product of f32, 8 deep: a quarter of f16's rate [inferred from the chips' peaks]
# Vector instructions of an op on a whole tile, where it is not one.
_PASSES = {"where": 2, "fma": 2, "exp2": 2, "log2": 2, "mod": 4, "floordiv": 4, "sigmoid": 4, "tanh": 6, "erf": 12, "sin": 12, "cos": 12, "rsqrt": 2, "pow": 3,
           "argmax": 3, "argmin": 3, "reshape": 0, "split": 0, "yield": 0, "coordinate": 1}
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")         # Compare, then Select of half 1.0 or 0.0


# ---------------------------------------------------------------- counting
def unit_of(op: Op) -> str:
    """The unit that does an op of tiles."""
    return str(op.attr("unit") or ("cube" if op.name == "dot" else "vector"))


@dataclass(frozen=True)
class _Kernel:
    """What of a kernel is the same for every program: what crosses and of which tensors it is made."""

    kernel: Kernel

    @cached_property
    def crossings(self) -> Mapping[int, str]:
        """The tile that goes through the workspace, by number of the crossing."""
        return {op.attr("edge"): next(op.uses()).name for op in walk(self.kernel.body) if op.attr("side") == "put"}

    @cached_property
    def twice(self) -> bool:
        """Whether each program stands there twice, once for each vector core, so that the cube's work is counted twice."""
        return bool(self.kernel.attr("sub"))

    def element_by_element(self, op: Op) -> bool:
        """Whether the vector unit's scalar pipe does an op, in a kernel that was arranged for it."""
        if self.kernel.attr("grain") is None or unit_of(op) == "cube" or op.attr("cross"):
            return False
        if op.name in MEMORY_OPS:
            return memory_ops.way(op) == "elements"
        return bool(vector_ops.facts(op).pipes == ("S",))

    @cached_property
    def lone(self) -> bool:
        """Whether there is but one accumulator, in one slot: then a product waits until the one before has been stored."""
        places = [op.result.tile.place for op in walk(self.kernel.body) if op.name == "alloc" and memory(op.result) == "L0C"]
        return len(places) == 1 and places[0] is not None and places[0].slots == 1

    @cached_property
    def made_of(self) -> Mapping[Value, frozenset[str]]:
        """For each tile the tensors whose elements went into it."""
        found: dict[Value, frozenset[str]] = {}
        for op in walk(self.kernel.body):
            from_ = frozenset(v.name for v in op.args[:1] if isinstance(v, Value) and isinstance(v.type, TensorType)) if op.name == "load" else frozenset()
            of = from_.union(*(found.get(v, frozenset()) for v in op.uses()))
            for v in (*op.results, *op.into):
                found[v] = found.get(v, frozenset()) | of
        return found


def memory(value: Value) -> str:
    """The memory that a tile lies in."""
    space = value.tile.place.space if value.tile.place is not None else Space.REGISTER
    return {Space.SHARED: "L1", Space.ACCUMULATOR: "L0C", Space.WORKSPACE: "workspace", Space.GLOBAL: "GM"}.get(space, "UB")


class _Work(Count):
    """Counts bytes by path, "GM>UB:w", and cycles by pipe, "V", "M", besides."""

    def __init__(self, about: _Kernel, shapes: Any, env: Any, notes: Any) -> None:
        super().__init__(shapes, env, notes)
        self.about = about

    def fresh(self, env: dict[Value, Any]) -> Count:
        return _Work(self.about, self.shapes, env, self.notes)

    def access(self, op: Op) -> None:
        before = sum(self.read.values()), sum(self.written.values())
        super().access(op)
        tensor, local = op.args[0], "L1" if unit_of(op) == "cube" else "UB"
        assert isinstance(tensor, Value)
        if read := sum(self.read.values()) - before[0]:
            self.besides[f"GM>{local}:{tensor.name}"] += read
            if op.into and op.into[0].tile.place is not None and op.into[0].tile.place.slots == 1:
                self.besides[f"late {unit_of(op)}"] += read
        elements = prod(access_shape(memory_ops.coordinates(op)))
        if self.about.element_by_element(op):
            self.one_by_one(op, elements)
        elif self.about.kernel.attr("grain") is not None and memory_ops.way(op) == "fields":
            self.besides["V"] += ceil(elements * _FIELD_BYTES / VECTOR_BYTES)
        if written := sum(self.written.values()) - before[1]:
            self.besides[f"{'L0C' if unit_of(op) == 'cube' else 'UB'}>GM:{tensor.name}"] += written

    def compute(self, op: Op) -> None:
        super().compute(op)
        out = [v for v in (*op.results, *op.into) if v.tile.shape]
        if op.name == "dot":
            self.product(op)
        elif op.attr("cross") or (op.name == "copy" and out):
            self.move(op, op.args[0], out[0])
        elif out and op.name != "view" and unit_of(op) == "vector":
            inner = [o for b in op.bodies for o in walk(b)] if op.bodies else [op]
            shape = op.attr("shape") or next((v.tile.shape for v in op.uses() if prod(v.tile.shape) > out[0].tile.size), out[0].tile.shape)
            if self.about.element_by_element(op):
                self.one_by_one(op, prod(shape))
            else:
                self.besides["V"] += sum(repeats(o, prod(shape)) for o in inner)

    def one_by_one(self, op: Op, elements: int) -> None:
        self.besides["S"] += elements * _SCALAR_CYCLES
        of = op.args[0].name if op.name in MEMORY_OPS and isinstance(op.args[0], Value) else (*op.into, *op.results)[0].name
        self.notes[f"element by element, on the scalar pipe: {op.name} of {of}{f', line {op.loc.line}' if op.loc else ''}"] = None

    def product(self, op: Op) -> None:
        a, b = op.args[0], op.args[1]
        assert isinstance(a, Value) and isinstance(b, Value)
        (m, k), n, size = a.tile.shape[-2:], b.tile.shape[-1], a.tile.dtype.bytes
        batch = prod(a.tile.shape[:-2])
        if unit_of(op) == "vector":                         # a product on the vector cores: an Axpy for each element of the left side
            self.besides["V"] += batch * m * k * ceil(n * 4 / VECTOR_BYTES)
            return
        up_m, up_n, up_k = (ceil(x / g) for x, g in ((m, FRACTAL), (n, FRACTAL), (k, DEPTH // size)))
        self.besides["M"] += batch * up_m * up_n * up_k * (_F32_CYCLES if size == 4 else 1)
        self.besides["L1>L0A"] += batch * up_m * FRACTAL * up_k * DEPTH
        self.besides["L1>L0B"] += batch * up_n * FRACTAL * up_k * DEPTH

    def move(self, op: Op, source: Any, target: Value) -> None:
        """A copy within UB, or between a memory of a unit and the workspace."""
        ends = (memory(source) if isinstance(source, Value) and source.tile.shape else "UB", memory(target))
        if ends == ("UB", "UB"):
            self.besides["V"] += ceil(target.tile.bytes / VECTOR_BYTES)
        elif ends[0] != ends[1]:
            # Of a tile that both vector cores hold whole, one of them writes.
            written = source.tile.bytes / (2 if self.about.twice and op.name == "copy" and ends[0] == "UB" else 1)
            name = self.about.crossings.get(op.attr("edge", -1), target.name if ends[1] == "workspace" else source.name)
            self.besides[f"{'>'.join(ends)}:{name}"] += written if ends[1] == "workspace" else target.tile.bytes
            if ends[0] == "workspace" and target.tile.place is not None and target.tile.place.slots == 1:
                self.besides[f"late {unit_of(op)}"] += target.tile.bytes


def repeats(op: Op, elements: int) -> int:
    """Cycles of a vector unit for an elementwise op or a reduction of so many elements: one for 256 bytes of each instruction."""
    of: list[DType] = [v.tile.dtype for v in (*op.uses(), *op.results, *op.into)]
    wide = max((d.bytes for d in of if d.kind != "b"), default=4)
    if op.name == "cast":
        source, target = of[0], op.attr("dtype") or of[-1]
        both = [4] if max(source.bytes, target.bytes) == 4 else [2]
        sizes = [2, *both] if min(source.bytes, target.bytes) == 1 and max(source.bytes, target.bytes) > 2 else both      # bytes go through half
    else:
        passes = 2 if op.name in _COMPARISONS else 1 if op.attr("real") else _PASSES.get(op.name, 1)
        sizes = [max(wide, 4) if any(d.kind == "f" for d in of) else wide] * passes
    return sum(ceil(elements * min(size, 4) / VECTOR_BYTES) for size in sizes)


# ---------------------------------------------------------------- times
@dataclass(frozen=True)
class Bound:
    """A limit: seconds of a launch, and which it is.  parts: of the way through global memory, seconds by "tensors" and by tile that crosses."""

    name: str
    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """The model's answer for one launch.  moved: bytes of all programs by path and name; pipes: seconds of the busiest core by unit and pipe."""

    name: str
    chip: Soc
    kind: str                                               # "mixed", "cube" or "vector"
    programs: int
    rounds: int
    busy: float                                             # part of the cores that work, on average over the rounds
    moved: Mapping[str, float]
    pipes: Mapping[str, Mapping[str, float]]
    used: Mapping[str, int]                                 # bytes by memory, of one core
    chains: Mapping[str, float]                             # seconds of what takes turns in each unit
    overlaps: bool                                          # whether the units work at once
    bounds: tuple[Bound, ...]
    origin: Mapping[str, str]                               # of what crosses: what it is made of, in words
    splits: tuple[Split, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bound(self) -> Bound:
        return max(self.bounds, key=lambda b: b.seconds)

    @property
    def seconds(self) -> float:
        return self.bound.seconds

    @property
    def workspace(self) -> int:
        """Bytes of the workspaces of all cores that work."""
        return self.used.get("workspace", 0) * min(self.programs, self.chip.cores)

    @property
    def without(self) -> Bound:
        """What would bound the launch if what crosses cost nothing on the way."""
        return max((replace(b, seconds=b.parts.get("tensors", 0.0)) if b.parts else b for b in self.bounds), key=lambda b: b.seconds)

    @property
    def round_trips(self) -> dict[str, float]:
        """Seconds on the way to global memory and back of each tile that crosses, the longest first."""
        rows = [(n, s) for b in self.bounds for n, s in b.parts.items() if n != "tensors"]
        return dict(sorted(rows, key=lambda row: -row[1]))

    def says(self) -> str:
        """What bounds the launch, in words."""
        rows = self.round_trips if self.bound.parts else {}
        share = sum(rows.values()) / self.seconds if rows else 0.0
        if share <= 0.5:
            return self.bound.name
        names = ", ".join(f"{n}{self.origin.get(n, '')}" for n in rows)
        return f"GM round trip{'s' * (len(rows) > 1)} of {names}: {100 * share:.0f} % of the time, written and read again"

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"chip": self.name, "kind": self.kind, "programs": self.programs, "rounds": self.rounds, "busy": self.busy, "moved_bytes": dict(self.moved),
                "pipes_s": {u: dict(p) for u, p in self.pipes.items()}, "used_bytes": dict(self.used), "capacity_bytes": dict(CAPACITY),
                "workspace_bytes": self.workspace, "chains_s": dict(self.chains), "units_at_once": self.overlaps,
                "bounds_s": {b.name: b.seconds for b in self.bounds},
                "seconds": self.seconds, "bound": self.says(), "splits": [vars(s) for s in self.splits], "notes": list(self.notes)}

    def __str__(self) -> str:
        return "\n".join(f"  {name:<12}{text}" for name, text in _rows(self))


@dataclass(frozen=True)
class Split:
    """One row of the table over a dimension that divides the sum: seconds with those of adding the partial sums, and the gain over no division."""

    count: int
    programs: int
    busy: float
    seconds: float
    adding: float
    gain: float


def cost(kernel: Kernel, dims: Mapping[str, int], scalars: Mapping[str, Any], architecture: str = "910b", chip: str = CHIP,
         table: bool = True) -> Cost:
    """The cost of a lowered kernel for the dimensions and scalars of a call; with the `table` over the dimension that divides its sum, if one does."""
    one = _cost(kernel, dims, scalars, chip)
    name = split_dimension(kernel)
    if name is None or name not in dims or not table:
        return one
    rows: list[Split] = []
    for count in sorted({1, 2, 3, 4, 6, 8, 12, 16, 24, 32, dims[name]}):
        c = _cost(kernel, {**dims, name: count}, scalars, chip)
        adding = _adding(kernel, {**dims, name: count}, name, SOCS[chip]) if count > 1 else 0.0
        first = rows[0].seconds if rows else c.seconds
        rows.append(Split(count, c.programs, c.busy, c.seconds + adding, adding, first / (c.seconds + adding) if c.seconds else 1.0))
    return replace(one, splits=tuple(rows))


def split_dimension(kernel: Kernel) -> str | None:
    """The dimension that is an axis of the grid and whose coordinate says where a loop starts: it divides a sum among programs."""
    grid = next(op for op in kernel.body.ops if op.name == "grid")
    axes = {r: a.name for r, a in zip(grid.results, grid.args, strict=True) if isinstance(a, Value) and a in kernel.dims}
    reached: dict[Value, frozenset[str]] = {r: frozenset((n,)) for r, n in axes.items()}
    for op in walk(kernel.body):
        for r in op.results:
            reached[r] = reached.get(r, frozenset()).union(*(reached.get(v, frozenset()) for v in op.uses()))
        start = op.args[0] if op.name == "for" else None
        if isinstance(start, Value) and reached.get(start):
            return sorted(reached[start])[0]
    return None


def _adding(kernel: Kernel, dims: Mapping[str, int], name: str, chip: Soc) -> float:
    """Seconds that a second launch takes to add the partial sums: read once from wherever they lie, the sum written to HBM."""
    total, _, _ = totals(kernel, dims, {}, Count)
    parts = sum(prod(total.shapes[p.name]) * p.type.dtype.bytes for p in kernel.params if isinstance(p.type, TensorType)
                and p.name in total.written and name in p.type.dims)
    each = L2_READ_RATE if parts <= chip.l2_bytes else HBM_RATE
    return float((parts / each + parts / dims[name] / HBM_RATE) / chip.cores / chip.ghz / 1e9)


def _cost(kernel: Kernel, dims: Mapping[str, int], scalars: Mapping[str, Any], name: str) -> Cost:
    about, chip = _Kernel(kernel), SOCS[name]
    total, programs, _ = totals(kernel, dims, scalars, partial(_Work, about))
    programs //= 2 if about.twice else 1
    work = {k: n / (2 if about.twice and ("L" in k.partition(":")[0] or k == "M") else 1) for k, n in total.besides.items() if n}
    has = {u: any(unit_of(op) == u and (op.into or op.name in ("load", "store")) for op in walk(kernel.body)) for u in ("cube", "vector")}
    kind = "mixed" if all(has.values()) else "cube" if has["cube"] else "vector"
    cores = chip.cores * (2 if kind == "vector" else 1)
    rounds = ceil(programs / cores)
    per = rounds / max(programs, 1) / chip.ghz / 1e9                  # from a launch's cycles to seconds of the busiest core
    # Of a mixed kernel two cores do the vector work, each half of it or, where its rows cannot be divided, each all of it.
    share = 1.0 if kind == "vector" or (kernel.attr("cores") == "mixed" and not about.twice) else 0.5
    pair = 2 if kind == "vector" and programs > chip.cores else 1
    moved = {k: n for k, n in work.items() if ">" in k}

    def on(*ends: str, times: float = 1.0) -> float:
        return sum(n for k, n in work.items() if k.partition(":")[0] in ends) * times * per

    pipes = {"cube": {"MTE2": on("GM>L1", "workspace>L1") / L2_READ_RATE, "MTE1": on("L1>L0A") / L1_TO_L0A_RATE + on("L1>L0B") / L1_TO_L0B_RATE, "M": on("M"),
                      "FIX": on("L0C>GM", "L0C>workspace") / L2_WRITE_RATE},
             "vector": {"MTE2": on("GM>UB", "workspace>UB", times=share) / L2_READ_RATE, "V": on("V", times=share),
                        "MTE3": on("UB>GM", "UB>workspace", times=share) / L2_WRITE_RATE, "S": on("S", times=share)}}
    pipes = {u: p for u, p in pipes.items() if has[u]}
    late = {"cube": on("late cube"), "vector": on("late vector", times=share)}
    chains = {u: late[u] / L2_READ_RATE + (max(p["MTE1"], p["M"]) + p["FIX"] * about.lone if u == "cube" else p["V"] + p["S"]) for u, p in pipes.items()}
    used, overlaps = _used(kernel), _at_once(kernel)
    path = _path(moved, per * pair)                         # the two vector cores of an AI core share its way out
    hbm = _hbm(kernel, total, moved, used.get("workspace", 0) * min(programs, chip.cores), chip) * per * pair
    units = {u: max(*p.values(), chains[u]) for u, p in pipes.items()}
    bounds = [Bound("way through L2 to global memory", sum(path.values()), path), Bound("HBM", hbm / HBM_RATE)]
    for u, p in pipes.items():
        longest = max(p, key=lambda name: p[name])
        part = f", {longest} for {100 * p[longest] / chains[u]:.0f} % of it" if chains[u] > p[longest] else ""
        bounds += [*(Bound(f"{u} {name}", s) for name, s in p.items()), Bound(f"{u} pipes in turn{part}", chains[u])]
    if kind == "mixed" and not overlaps:
        bounds.append(Bound("cube and vector in turn", sum(units.values())))
    # Of a tensor that is widened on its way, the words are what the reader knows.
    origin = {v.name: _words(kernel, v, of) for v, of in about.made_of.items() if of}
    busy = programs / (rounds * cores) if rounds else 0.0
    return Cost(name, chip, kind, programs, rounds, busy, moved, pipes, used, chains, overlaps, tuple(bounds), origin, (), tuple(total.notes))


def _words(kernel: Kernel, value: Value, tensors: frozenset[str]) -> str:
    narrow = [f"{p.name} ({p.type.dtype})" for p in kernel.params if isinstance(p.type, TensorType) and p.name in tensors
              and p.type.dtype.bits < 8 < value.tile.dtype.bits]
    return f", dequantised from {', '.join(narrow)}" if narrow else ""


def _path(moved: Mapping[str, float], per: float) -> dict[str, float]:
    """Seconds on a core's way to global memory: of tensors, and of each tile that crosses."""
    out: Counter[str] = Counter()
    for key, n in moved.items():
        ends, _, name = key.partition(":")
        source, target = ends.split(">")
        row = name if "workspace" in (source, target) else "tensors"
        outside = ("GM", "workspace")
        if source in outside or target in outside:
            out[row] += n * per / (L2_READ_RATE if source in outside else L2_WRITE_RATE)  # type: ignore[assignment]
    return dict(out)


def _hbm(kernel: Kernel, total: Count, moved: Mapping[str, float], workspace: int, chip: Soc) -> float:
    """Bytes of a launch that HBM moves: each tensor that L2 holds once, others as often as they are asked for; a workspace that it does not hold."""
    size = {p.name: prod(total.shapes[p.name]) * max(p.type.dtype.bits / 8, 1 / 8) for p in kernel.params if isinstance(p.type, TensorType)}
    asked: Counter[tuple[str, bool]] = Counter()
    crossing = 0.0
    for key, n in moved.items():
        ends, _, name = key.partition(":")
        if "GM" in ends:
            asked[name, ends.startswith("GM")] += n  # type: ignore[assignment]
        elif "workspace" in ends:
            crossing += n
    tensors = sum(min(n, size[name]) if size[name] <= chip.l2_bytes else n for (name, _), n in asked.items())
    return tensors + (crossing if workspace > chip.l2_bytes else 0.0)


def _used(kernel: Kernel) -> dict[str, int]:
    """Bytes of each memory, as it was arranged, else up to the end of the last place in it."""
    arranged = {name: kernel.attr(f"{name.lower()}_bytes") for name in (*CAPACITY, "workspace")}
    if any(arranged[name] for name in CAPACITY):
        return {name: int(n) for name, n in arranged.items() if n}
    out: dict[str, int] = {}
    for op in walk(kernel.body):
        if op.name == "alloc" and op.result.tile.shape and (place := op.result.tile.place) is not None:
            name = memory(op.result)
            out[name] = max(out.get(name, 0), (place.offset or 0) + op.result.tile.bytes * place.slots)
    if arranged["workspace"]:
        out["workspace"] = int(arranged["workspace"])
    return out


def _at_once(kernel: Kernel) -> bool:
    """Whether something crosses, and all that does in two slots or more."""
    rings = [op.result.tile.place for op in walk(kernel.body) if op.name == "alloc" and memory(op.result) == "workspace"]
    return bool(rings) and all(p is not None and p.slots > 1 for p in rings)


# ---------------------------------------------------------------- words
def _scaled(value: float, unit: str, steps: tuple[tuple[float, str], ...]) -> str:
    size, prefix = next(((s, p) for s, p in steps if value >= s), steps[-1])
    return f"{value / size:.3g} {prefix}{unit}"


_seconds: Callable[[float], str] = partial(_scaled, unit="s", steps=((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n")))
_bytes: Callable[[float], str] = partial(_scaled, unit="B", steps=((MIB * KIB, "Gi"), (MIB, "Mi"), (KIB, "Ki"), (1, "")))


def _rows(c: Cost) -> list[tuple[str, str]]:
    chip = c.chip
    rows = [("chip", f"{c.name}: {chip.cores} AI cores at {chip.ghz} GHz, L2 {_bytes(chip.l2_bytes)}; documented rates, nothing measured"),
            ("programs", f"{c.programs} {c.kind}, {c.rounds} round{'s' * (c.rounds != 1)}, {100 * c.busy:.0f} % of the cores busy")]
    by_path: dict[str, list[str]] = {}
    for key, n in c.moved.items():
        ends, _, name = key.partition(":")
        by_path.setdefault(ends.replace(">", " to "), []).append(f"{name} {_bytes(n)}".strip())
    rows += [("moved" if n == 0 else "", f"{path:<16} {', '.join(names)}") for n, (path, names) in enumerate(by_path.items())]
    rows += [("memory", ", ".join(f"{m} {_bytes(c.used.get(m, 0))} of {_bytes(size)} ({100 * c.used.get(m, 0) / size:.0f} %)" for m, size in CAPACITY.items()))]
    if c.workspace:
        fits = "stays in L2" if c.workspace <= chip.l2_bytes else "is larger than L2: what crosses goes to HBM"
        rows.append(("workspace", f"{_bytes(c.used['workspace'])} a core, {_bytes(c.workspace)} together: {fits}"))
    for u, pipes in c.pipes.items():
        rows.append((u, f"{', '.join(f'{p} {_seconds(s)}' for p, s in pipes.items() if s)}; in turn {_seconds(c.chains[u])}"))
    if c.kind == "mixed":
        rows.append(("units", "cube and vector work at once" if c.overlaps else "cube and vector work in turn"))
    rows += [("way to GM", ", ".join(f"{n} {_seconds(s)}" for n, s in b.parts.items()) + f", of HBM {_seconds(c.bounds[1].seconds)}")
             for b in c.bounds if b.parts]
    rows += [("least time", _seconds(c.seconds)), ("bound by", c.says())]
    rows += [("", f"without what crosses: {_seconds(c.without.seconds)}, by {c.without.name}")] if c.round_trips else []
    rows += [("split", f"{'':>4}  programs  busy  time      with adding  gain")] if c.splits else []
    rows += [("", f"{s.count:>4}  {s.programs:>8}  {100 * s.busy:3.0f} %  {_seconds(s.seconds - s.adding):<9} {_seconds(s.seconds):<11}  {s.gain:.2f}")
             for s in c.splits]
    return [*rows, *(("note", n) for n in c.notes)]
