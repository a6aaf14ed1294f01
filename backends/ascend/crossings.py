"""What crosses between the matrix core and the vector cores, in the value form: for each value one op that puts it into a ring in global memory and one that
takes it out, `copy` with the attributes cross="C2V" or "V2C", side="put" or "take", edge, and unit.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from dslc.ir import Body, Kernel, Op, Operand, Span, Value, count_uses, make_attrs, producers, walk
from dslc.ops import OPS
from dslc.passes._affine import Facts
from dslc.passes._rewriting import written
from dslc.types import TensorType

from . import cube

EDGES = 5                   # two flags to an edge, and flags 0 to 10 may be used (CANN documentation, Basic API, CrossCoreSetFlag)
_ACCESSES = ("load", "store")


def common(kernel: Kernel) -> set[Value]:
    """Scalars that both sides can compute: from dimensions, parameters, coordinates, and elements of tensors that the kernel does not write."""
    stored = {t for op in kernel.body.ops for t in written(op)}
    every: set[Value] = {v for v in (*kernel.params, *kernel.dims) if not isinstance(v.type, TensorType)}
    every |= {v for op in walk(kernel.body) for v in (*op.results, *(p for b in op.bodies for p in b.params)) if not v.tile.shape}

    def known(*args: Operand) -> bool:
        return all(v in every or isinstance(v.type, TensorType) for v in Op("", args).uses())

    def drop(op: Op) -> set[Value]:
        """Scalars that the op does not give both sides, if what is in `every` is right."""
        if op.name in ("for", "while"):
            head, trip = (2, op.bodies[0]) if op.name == "for" else (0, op.bodies[1])
            decides = known(*op.args[:2]) if op.name == "for" else known(*op.bodies[0].result)
            rows = zip(op.args[head:], op.bodies[-1].params[-len(op.results):] if op.results else (), trip.result, op.results, strict=True)
            gone = {v for init, p, last, r in rows if not (decides and known(init, last)) for v in (p, r)}
            if op.name == "while":
                gone |= {p for p, q in zip(op.bodies[0].params, op.bodies[1].params, strict=True) if q not in every or q in gone}
            return gone | (set() if decides else set(trip.params[:1]) if op.name == "for" else set())
        if op.name == "if":
            decides = known(op.args[0])
            return {r for r, *vs in zip(op.results, *(b.result for b in op.bodies), strict=True) if not (decides and known(*vs))}
        fresh = op.name == "grid" or (op.name == "load" and op.args[0] not in stored) or OPS[op.name].elementwise or op.name in ("copy", "cast")
        return set() if fresh and known(*op.args) else set(op.results)

    while gone := {v for op in walk(kernel.body) for v in drop(op)} & every:
        every -= gone
    return every


def proved_starts(kernel: Kernel) -> set[tuple[Op, int]]:
    """(access, dimension) of the spans that surely do not start below 0."""
    facts, found = Facts(kernel), set[tuple[Op, int]]()

    def visit(body: Body) -> None:
        for op in body.ops:
            for n in range(len(op.bodies)):
                with facts.inside(op, n):
                    visit(op.bodies[n])
            facts.visit(op)
            if op.name in _ACCESSES:
                coords = op.args[1 + (op.name == "store"):]
                found.update((op, d) for d, c in enumerate(coords) if isinstance(c, Span) and (d in op.attr("inside", ()) or facts.proves(facts.form(c.start))))

    visit(kernel.body)
    return found


@dataclass(frozen=True)
class Need:
    """How a dot reads an operand: the tile behind its transposes, whether their number is odd, and whether the panel must hold rows of fractals."""

    root: Value
    odd: bool
    blocks: bool


def cross(kernel: Kernel) -> Kernel:
    """The kernel with units and crossings; dots marked unit="cube" have their accumulators in place (see `accumulate`)."""
    worker = _Crossings(kernel)
    body = worker.body(kernel.body)
    return replace(kernel, body=body).having(edges=tuple(worker.edges) or None)


class _Crossings:
    def __init__(self, kernel: Kernel) -> None:
        self.uses, self.defs, self.common = count_uses(kernel.body), producers(kernel.body), common(kernel)
        self.starts = proved_starts(kernel)
        self.readers: dict[Value, list[Op]] = {}
        for op in walk(kernel.body):
            for v in set(op.uses()):
                self.readers.setdefault(v, []).append(op)
        self.written = {t for op in kernel.body.ops for t in written(op)}
        self.read = {op.args[0] for op in walk(kernel.body) if op.name == "load"}
        self.writers = [op for op in walk(kernel.body) if op.name == "store" or op.name.startswith("atomic_")]
        self.sums: set[Value] = set()
        self.find_sums(kernel.body)
        self.stores = {op: at for op in walk(kernel.body) if op.name == "store" and (at := self.stored(op)) is not None}
        lonely = {op.args[0] for op in self.writers if op not in self.stores}
        self.stores = {op: at for op, at in self.stores.items() if op.args[0] not in lonely and op.args[0] not in self.read}
        self.dots = [op for op in walk(kernel.body) if op.name == "dot" and op.attr("unit") == "cube"]
        self.wanted: dict[Value, list[bool]] = {}               # a root -> the forms of panels it is needed in
        for op in self.dots:
            for n in (0, 1):
                need = self.need(op, n)
                forms = self.wanted.setdefault(need.root, [])
                forms += [need.blocks] if need.blocks not in forms else []
        self.edges: list[tuple[object, ...]] = []
        self.there: dict[Value, Value] = {}                     # a sum -> the vector cores' copy
        self.panels: dict[tuple[Value, bool], Value] = {}       # a root -> the matrix core's panel
        self.memo: dict[Op, tuple[set[Value], set[tuple[Value, bool]]]] = {}
        self.outward = {v for op in kernel.body.ops for v in self.needs(op)[0]}

    # ------------------------------------------------------------ what is where
    def find_sums(self, body: Body) -> None:
        """Values in the matrix core's accumulators: sums of its dots, and what loops carry between them."""
        for op in walk(body):
            if op.name == "dot" and op.attr("unit") == "cube":
                self.sums |= {op.result, *(v for v in op.args[2:] if isinstance(v, Value))}
        for op in walk(body):
            if op.name in ("for", "while"):
                for init, _, r, p in self.slots(op):
                    self.sums |= {init, r} if p in self.sums else set()  # type: ignore[arg-type]

    def slots(self, op: Op) -> list[tuple[Operand, Operand, Value, Value]]:
        """(initial, yielded, result, parameter) of what a loop carries."""
        head, trip = (2, op.bodies[0]) if op.name == "for" else (0, op.bodies[1])
        return list(zip(op.args[head:], trip.result, op.results, trip.params[1:] if op.name == "for" else trip.params, strict=True))

    def need(self, dot: Op, n: int) -> Need:
        v, odd = dot.args[n], False
        assert isinstance(v, Value)
        while (made := self.defs.get(v)) is not None and made.name == "transpose":
            v, odd = made.args[0], not odd
            assert isinstance(v, Value)
        return Need(v, odd, cube.by_blocks(v.tile.dtype, self.turned(v, odd, n)))

    def columns(self, root: Value) -> int:
        """The axis of a root along which its panel's rows run."""
        made = self.defs.get(root)
        return self.contiguous(made) or 0 if made is not None and self.loadable(made) else 1

    def turned(self, root: Value, odd: bool, n: int) -> bool:
        """Whether the matrix core must transpose the panel for operand n: unless its rows run along K."""
        along_k = (1 if n == 0 else 0) ^ odd
        return self.columns(root) != along_k

    def contiguous(self, op: Op) -> int | None:
        """The axis of the tile of an access that has stride 1 in memory: the last if both have; None if neither has."""
        tensor = op.args[0]
        assert isinstance(tensor, Value)
        dims = [d for d, c in enumerate(op.args[1 + (op.name == "store"):]) if isinstance(c, Span)]
        return next((axis for axis in (1, 0) if dims[axis] in tensor.tensor.unit), None)

    def plain(self, op: Op) -> bool:
        """Whether an access names a block of rows by two spans, at a place that both sides know."""
        tensor = op.args[0]
        coords = op.args[1 + (op.name == "store"):]
        assert isinstance(tensor, Value)
        spans = [d for d, c in enumerate(coords) if isinstance(c, Span)]
        if len(spans) != 2 or tensor.tensor.packing is not None or not all(v in self.common for v in Op("", coords).uses()):
            return False
        axis = self.contiguous(op)
        return axis is not None and (op, spans[axis]) in self.starts

    def loadable(self, op: Op) -> bool:
        """Whether the matrix core can load an operand itself."""
        good = op.name == "load" and op.args[0] not in self.written and op.attr("pad", 0) == 0 and len(op.result.tile.shape) == 2
        return good and op.result.tile.dtype.name in cube.TYPES and self.plain(op)

    def stored(self, op: Op) -> Value | None:
        """The sum that a store of the matrix core writes; None if a vector core stores."""
        at, tensor = op.args[1], op.args[0]
        assert isinstance(tensor, Value)
        wanted = tensor.tensor.dtype.name
        made = self.defs.get(at) if isinstance(at, Value) else None
        if made is not None and made.name == "cast" and made.result.tile.dtype.name == wanted:
            at = made.args[0]
        if not isinstance(at, Value) or at not in self.sums or wanted not in cube.STORED[at.tile.dtype.name] or not self.plain(op):
            return None
        extents = tuple(c.extent for c in op.args[2:] if isinstance(c, Span))
        return at if extents == at.tile.shape and self.contiguous(op) == 1 else None

    # ------------------------------------------------------------ who needs what
    def skipped(self, op: Op) -> bool:
        """A cast that only the matrix core's stores read."""
        return op.name == "cast" and op.args[0] in self.sums and all(r in self.stores for r in self.readers.get(op.result, ()))

    def needs(self, op: Op) -> tuple[set[Value], set[tuple[Value, bool]]]:
        """Sums that vector cores read in an op, and panels that the matrix core reads, inside its bodies too; not what `yield` hands on."""
        if op in self.memo:
            return self.memo[op]
        sums: set[Value] = set()
        panels: set[tuple[Value, bool]] = set()
        if op in self.stores or self.skipped(op) or op.name == "yield":
            pass
        elif op.name == "dot" and op.attr("unit") == "cube":
            panels = {(need.root, need.blocks) for need in (self.need(op, 0), self.need(op, 1))}
        elif op.name in ("for", "while"):
            rows = self.slots(op)
            sums = {init for init, _, _, p in rows if init in self.sums and p not in self.sums}
            sums |= {last for _, last, _, p in rows if last in self.sums and p not in self.sums}
        elif op.name == "if":
            sums = {v for b in op.bodies for v in b.result if v in self.sums}
        elif op.attr("unit") != "cube":
            sums = set(op.uses()) & self.sums
        for b in op.bodies:
            for inner in b.ops:
                deep = self.needs(inner)
                sums, panels = sums | deep[0], panels | deep[1]
        self.memo[op] = sums, panels
        return sums, panels

    # ------------------------------------------------------------ the rewritten kernel
    def body(self, body: Body, handed: frozenset[Operand] = frozenset()) -> Body:
        """The body; `handed` is what its yield hands to vector cores."""
        sums: dict[Value, Op] = {}                  # put here, not yet taken
        panels: dict[tuple[Value, bool], Op] = {}
        ops: list[Op] = [put for v in body.params for put in self.offered(v, panels)]
        for op in body.ops:
            want = (handed, set()) if op.name == "yield" else self.needs(op)
            for v in [v for v in sums if v in want[0]]:
                ops.append(_take(sums.pop(v)))
                self.there[v] = ops[-1].result
            for key in [k for k in panels if k in want[1]]:
                ops.append(_take(panels.pop(key)).having(columns=1, blocks=key[1] or None))
                self.panels[key] = ops[-1].result
            ops += self.op(op)
            for r in op.results:
                ops += self.offered(r, panels)
                if r in self.outward:
                    ops.append(self.put(r, "C2V", op))
                    sums[r] = ops[-1]
        return replace(body, ops=tuple(ops))

    def offered(self, v: Value, panels: dict[tuple[Value, bool], Op]) -> list[Op]:
        """What the vector cores put for the matrix core as soon as they have it."""
        made = self.defs.get(v)
        if v not in self.wanted or (made is not None and self.loadable(made)):
            return []
        for blocks in self.wanted[v]:
            panels[v, blocks] = self.put(v, "V2C", made)
        return [panels[v, blocks] for blocks in self.wanted[v]]

    def put(self, v: Value, way: str, like: Op | None) -> Op:
        number = len(self.edges)
        rows, columns = v.tile.shape
        self.edges.append((number, way, rows, columns, v.tile.dtype.name))
        attrs = make_attrs({"cross": way, "side": "put", "edge": number, "unit": "cube" if way == "C2V" else "vector"})
        return Op("copy", (v,), attrs, (Value(v.name, v.type),), loc=like.loc if like else None)

    def op(self, op: Op) -> list[Op]:
        if op.name in ("for", "while", "if"):
            return [self.control(op)]
        if op.name == "dot" and op.attr("unit") == "cube":
            return self.dot(op)
        if op in self.stores:
            return self.store(op)
        if self.skipped(op):
            return []
        if op.name == "full" and op.attr("unit") == "cube":
            return [op]
        forms = self.wanted.get(op.result, ()) if op.name == "load" and self.loadable(op) else ()
        return [*(self.panel(op, blocks) for blocks in forms), self.vector(op)]

    def store(self, op: Op) -> list[Op]:
        """A store of the matrix core; what it converts on the way is a cast of that core's, which `project` leaves out."""
        made = self.defs.get(op.args[1])  # type: ignore[arg-type]
        if made is None or made.name != "cast":
            return [op.having(unit="cube")]
        narrow = Value(made.result.name, made.result.type)
        cast = replace(made, args=(self.stores[op],), results=(narrow,)).having(unit="cube")
        return [cast, replace(op, args=(op.args[0], narrow, *op.args[2:])).having(unit="cube")]

    def vector(self, op: Op) -> Op:
        new = replace(op, args=tuple(self.there.get(a, a) if isinstance(a, Value) else a for a in op.args))
        scalar = op.results and all(r in self.common for r in op.results)
        return new if scalar or op.name in ("yield", "grid", "assume") else new.having(unit="vector")

    def panel(self, op: Op, blocks: bool) -> Op:
        """The matrix core's own load of an operand."""
        made = replace(op, results=(Value(op.result.name, op.result.type),)).having(unit="cube", columns=self.contiguous(op), blocks=blocks or None)
        self.panels[op.result, blocks] = made.result
        return made

    def dot(self, op: Op) -> list[Op]:
        ops: list[Op] = []
        args = list(op.args)
        turned = []
        for n in (0, 1):
            need = self.need(op, n)
            v = self.panels[need.root, need.blocks]
            turned.append(self.turned(need.root, need.odd, n))
            if need.odd:
                view = Value(v.name, replace(v.tile, shape=v.tile.shape[::-1]))
                ops.append(Op("transpose", (v,), make_attrs({"axes": (1, 0), "unit": "cube"}), (view,), loc=op.loc))
                v = view
            args[n] = v
        return [*ops, replace(op, args=tuple(args)).having(turned=tuple(turned))]

    def control(self, op: Op) -> Op:
        if op.name == "if":
            bodies = tuple(self.yielding(self.body(b, frozenset(b.result)), [True] * len(op.results)) for b in op.bodies)
            return replace(op, bodies=bodies)
        rows = self.slots(op)
        vector = [p not in self.sums for _, _, _, p in rows]
        handed = frozenset(last for (_, last, _, _), v in zip(rows, vector, strict=True) if v)
        head = 2 if op.name == "for" else 0
        args = (*op.args[:head], *(self.there.get(a, a) if v and isinstance(a, Value) else a for a, v in zip(op.args[head:], vector, strict=True)))
        trip = self.yielding(self.body(op.bodies[-1], handed), vector)
        return replace(op, args=args, bodies=(trip,) if op.name == "for" else (self.body(op.bodies[0]), trip))

    def yielding(self, body: Body, vector: list[bool]) -> Body:
        last = body.ops[-1]
        args = tuple(self.there.get(a, a) if v and isinstance(a, Value) else a for a, v in zip(last.args, vector, strict=True))
        return replace(body, ops=(*body.ops[:-1], replace(last, args=args)))


def _take(put: Op) -> Op:
    unit = "vector" if put.attr("cross") == "C2V" else "cube"
    return replace(put, args=(put.result,), results=(Value(put.result.name, put.result.type),)).having(side="take", unit=unit)
