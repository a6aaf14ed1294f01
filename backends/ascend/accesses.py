"""Which pipe touches which memory: of every op the accesses that the order of pipes must respect."""
from __future__ import annotations

from dataclasses import dataclass, replace

from dslc.ir import Const, Kernel, Op, Span, Value
from dslc.types import Space, TensorType

from . import cube, memory, vector_ops
from .arrange import form, item_bytes, slot_bytes
from .describe import reads_one
from .limits import BLOCK
from .memory import ATOMICS, MEMORY_OPS
from .vector_stages import Part, stages

SILENT = ("alloc", "view", "barrier", "yield", "grid", "assume", "for", "while", "if")
WORDS = BLOCK // 4                                          # of 32 bits in a block of UB
SCRATCH = "scratch"                                         # stands for the one scratch region of UB


@dataclass(frozen=True, eq=False)
class Access:
    """One pipe's access of one op: bytes first..last-1 of a place (of each of its slots), of scratch, or somewhere in a tensor."""

    pipe: str
    write: bool
    memory: str                                             # "UB", "L1", "L0C" or "GM"
    place: object                                           # the place whose slots turn, the tensor, or SCRATCH
    first: int = 0
    last: int = 0
    slots: int = 1
    step: int = 0                                           # bytes from slot to slot
    op: Op | None = None                                    # of a tensor: the memory op
    ordered: bool = False                                   # the op's own text orders it with what its pipe did before and does later
    atomic: bool = False
    late: bool = False                                      # the op's own text has its pipe wait for itself before this
    settled: bool = False                                   # or after it


_MEMORY = {Space.REGISTER: "UB", Space.SHARED: "L1", Space.ACCUMULATOR: "L0C"}


class Accesses:
    """The accesses of a kernel's ops; `roots` leads from views to places."""

    def __init__(self, kernel: Kernel, roots: dict[Value, Value]) -> None:
        self.kernel, self.roots, self.unit = kernel, roots, kernel.attr("grain", 8)
        self.scratch = kernel.attr("scratch")

    def of(self, op: Op) -> list[Access]:
        """What the op itself does, its bodies not; nothing for ops that only the scalar unit's registers see."""
        if op.name in SILENT or all(not _is_tile(v) and not isinstance(v.type, TensorType) for v in (*op.uses(), *op.into, *op.results)):
            return []
        if op.attr("unit") == "cube" or op.attr("cross"):
            found = [self.tile(pipe, kind == "w", v, ordered=pipe == "M") for pipe, kind, v in cube.facts(op, self.unit)
                     if isinstance(v, Value) and v in self.roots]
            if op.name in MEMORY_OPS:
                pipe = "MTE2" if op.name == "load" else "FIX"
                found.append(self.tensor(op, pipe))
            return [a for a in found if a is not None]
        if op.name in MEMORY_OPS:
            return self.memory_op(op)
        if reads_one(op):
            return [a for v in op.uses() if _is_tile(v) and (a := self.tile("S", False, v)) is not None]
        facts, steps = vector_ops.facts(op, planned=True), stages(op, self.unit)
        touched: list[Access | None] = []
        for pipe in facts.pipes:
            rows = [*((self.tile(pipe, False, v), v) for v in op.uses() if _is_tile(v)), *((self.tile(pipe, True, v), v) for v in op.into)]
            touched += [a and replace(a, late=v not in steps[0], settled=v not in steps[-1]) if steps else a for a, v in rows]
            if facts.scratch and steps:
                parts = sorted(p for p in {*steps[0], *steps[-1]} if isinstance(p, Part))
                touched += [self.part_of_scratch(pipe, p, p not in steps[0], p not in steps[-1]) for p in parts]
            elif facts.scratch:
                touched.append(self.whole_scratch(pipe, True))
        return [a for a in touched if a is not None]

    # ------------------------------------------------------------ what is touched
    def tile(self, pipe: str, write: bool, v: Value, ordered: bool = False) -> Access | None:
        """A place or view, all of it."""
        root = self.roots.get(v, v)
        place, base = v.tile.place, root.tile.place
        if place is None or base is None or base.space not in _MEMORY or base.offset is None:
            return None
        size = slot_bytes(root, self.unit)
        first, last = base.offset, base.offset + size
        if v is not root and place.offset is not None and base.space is Space.REGISTER:
            item = item_bytes(v.tile.dtype)
            first += (place.offset - base.offset) // v.tile.dtype.bytes * item
            span = 1 + sum((n - 1) * s for n, s in zip(v.tile.shape, v.tile.strides, strict=True))
            last = min(last, -(-(first + span * item) // BLOCK) * BLOCK)
        return Access(pipe, write, _MEMORY[base.space], root, first, last, base.slots, size, ordered=ordered)

    def whole_scratch(self, pipe: str, write: bool) -> Access | None:
        """The scratch region."""
        if self.scratch is None:
            return None
        first, size = self.scratch
        return Access(pipe, write, "UB", SCRATCH, first, first + size)

    def part_of_scratch(self, pipe: str, p: Part, late: bool, settled: bool) -> Access:
        """What a step of a function touches of it."""
        return Access(pipe, True, "UB", SCRATCH, self.scratch[0] + p.first, self.scratch[0] + p.last, late=late, settled=settled)

    def tensor(self, op: Op, pipe: str) -> Access:
        """A tensor that the op reads or writes."""
        return Access(pipe, op.name != "load", "GM", op.args[0], op=op, atomic=op.name in ATOMICS)

    # ------------------------------------------------------------ memory ops of the vector unit
    def memory_op(self, op: Op) -> list[Access]:
        way, coords = memory.way(op), memory.coordinates(op)
        found: list[Access | None] = [self.tile("S", False, c) for c in coords if isinstance(c, Value) and c.tile.shape]
        if op.name == "load":
            if way == "fields":
                words = [self.whole_scratch("V", True), self.tile("V", True, op.into[0])]
                alone = -(-(f := form(op.into[0], self.unit)).columns // WORDS) * WORDS < f.pitch        # words with padding, which it fills at once
                found += [self.whole_scratch("MTE2", True), *(a and replace(a, late=not alone) for a in words), self.tensor(op, "MTE2")]
                return [a for a in found if a is not None]
            if op.into:
                if memory.fills(op, self.unit):
                    found.append(self.tile("V", True, op.into[0]))
                found.append(self.tile("MTE2" if way in ("rows", "gathered") else "S", True, op.into[0]))
            found.append(self.tensor(op, "MTE2" if way in ("rows", "gathered") else "S"))
            return [a for a in found if a is not None]
        value = op.args[1]
        if way in ("rows", "gathered"):
            assert isinstance(value, Value)
            found.append(self.tile("MTE3", False, value))
        else:
            if isinstance(value, Value) and value.tile.shape:
                found.append(self.tile("S", False, value))
            found.append(self.whole_scratch("S", True))
        found.append(self.tensor(op, "MTE3"))
        return [a for a in found if a is not None]


def _is_tile(v: Value) -> bool:
    return not isinstance(v.type, TensorType) and v.tile.place is not None and bool(v.tile.shape)


def scratch_of(op: Op, _kernel: Kernel) -> int:
    """Bytes of scratch that the op needs on the vector unit."""
    if op.name in SILENT or op.attr("unit") == "cube":
        return 0
    if op.name in MEMORY_OPS:
        return memory.scratch(op)
    if op.attr("cross") or reads_one(op) or not any(_is_tile(v) for v in (*op.uses(), *op.into)):
        return 0
    return int(vector_ops.facts(op).scratch)


def moves_by_dma(op: Op) -> bool:
    """Whether a load is a copy that runs by itself, so that it can run ahead."""
    if op.attr("unit") == "cube" or op.attr("cross"):
        return True
    return op.name == "load" and memory.way(op) in ("rows", "gathered")


def starts(op: Op) -> tuple[tuple[Const | Value, int] | None, ...]:
    """Per dimension of a memory op the scalar that its elements start at, and how many follow; None where they are anywhere."""
    rows: list[tuple[Const | Value, int] | None] = []
    for c in memory.coordinates(op):
        if isinstance(c, Span):
            rows.append((c.start, c.extent))
        else:
            rows.append(None if c.tile.shape else (c, 1))
    return tuple(rows)
