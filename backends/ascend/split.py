"""Which core does what: products on the matrix core, everything else on the two vector cores, and rings in global memory where values cross.

A pass on the value form, after `legalise`.  Then holds: an op that makes or stores a tile has the attribute unit="cube" or "vector"; scalars and control
flow belong to both sides, which take the same path because nothing on it depends on what only a vector core knows.  The kernel's attribute `cores` is
"vector", "cube" or "mixed", `edges` lists what crosses, `sub` says that the grid's last extent counts the two vector cores.
"""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Arg, Body, Kernel, Op, Value, count_uses, make_attrs, producers, walk
from dslc.passes._rewriting import is_const
from dslc.passes.dce import dce
from dslc.schedule import schedule_of
from dslc.types import DTYPES, TileType

from . import cube
from .crossings import EDGES, common, cross
from .rows import halve
from .share_rings import share_rings
from .sides import project, settle

__all__ = ["accumulate", "divide", "project", "settle", "split"]
MOST_SLOTS = 4              # of a ring: one that is filled, one that is read, and two for trips that take longer
WORKSPACE_BYTES = 4 << 20   # of one AI core: on 24 cores half of the 192 MiB of L2, so that what crosses stays there (platform_config/*.ini, l2_size)

WIDENED = {"i4": "i8", "u4": "i8", "u2": "i8", "u1": "i8", "f8e4m3": "f16", "f8e5m2": "f16"}        # exact: what the matrix core multiplies instead


def split(kernel: Kernel) -> Kernel:
    """The kernel with its ops on their cores.  Products that would need more crossings than there are flags for stay on the vector cores."""
    return halve(divide(kernel))


def divide(kernel: Kernel) -> Kernel:
    """As `split`, but each vector core still has every row: what the interpreter can run as one program."""
    wide = _widened(kernel)
    eligible = _eligible(wide)
    able = [op for op in walk(wide.body) if op in eligible]
    for n in range(len(able), -1, -1):
        chosen = set(able[:n])
        made = share_rings(dce(cross(accumulate(_marked(wide, chosen)))))
        if len(made.attr("edges", ())) <= EDGES:
            break
    units = {op.attr("unit") for op in walk(made.body)} - {None}
    return _slotted(made.having(cores="mixed" if units == {"cube", "vector"} else "cube" if units == {"cube"} else "vector"))


def _slotted(kernel: Kernel) -> Kernel:
    """The kernel with the slots of its rings: as its schedule says, else as many as keep all of one AI core's rings within WORKSPACE_BYTES."""
    edges = kernel.attr("edges", ())
    size = sum(cube.slot_bytes(TileType(DTYPES[dtype], (rows, columns))) for _, _, rows, columns, dtype in edges)
    asked = dict(schedule_of(kernel).workspace).get("slots")
    slots = asked or next((n for n in range(MOST_SLOTS, 1, -1) if n * size <= WORKSPACE_BYTES), 1)

    def body(old: Body) -> Body:
        ops = (op.having(slots=slots) if op.attr("cross") else replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op for op in old.ops)
        return replace(old, ops=tuple(ops))

    return replace(kernel, body=body(kernel.body)).having(edges=tuple((number, way, slots, *rest) for number, way, *rest in edges) or None)


# ---------------------------------------------------------------- which products
def _eligible(kernel: Kernel) -> set[Op]:
    """Dots that the matrix core can do, under control flow that it can follow."""
    shared = common(kernel)
    found: set[Op] = set()

    def visit(body: Body) -> None:
        for op in body.ops:
            if op.name == "dot" and cube.multiplies(op):
                found.add(op)
            deciding = {"for": op.args[:2], "if": op.args[:1], "while": op.bodies[0].result if op.bodies else ()}.get(op.name, ())
            for b in op.bodies if all(v in shared for v in deciding if isinstance(v, Value)) else ():
                visit(b)

    visit(kernel.body)
    return found


def _marked(kernel: Kernel, chosen: set[Op]) -> Kernel:
    """The kernel with unit="cube" on the chosen dots.  A sum that is an operand goes by way of a vector core, which copies it."""
    defs = producers(kernel.body)
    copies: dict[Value, Value] = {}
    for op in chosen:
        for v in op.args[:2]:
            while isinstance(v, Value) and (made := defs.get(v)) is not None and made.name == "transpose":
                v = made.args[0]
            if isinstance(v, Value) and v.tile.dtype.name == "f32" and (made is None or made.name in ("dot", "for", "while")):
                copies[v] = Value(v.name, v.type)

    def copied(values: tuple[Value, ...]) -> list[Op]:
        return [Op("copy", (v,), (), (copies[v],)) for v in values if v in copies]

    def body(old: Body) -> Body:
        ops: list[Op] = copied(old.params)
        for op in old.ops:
            op = replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op
            if op in chosen or op.name == "transpose":
                args = (*(copies.get(a, a) if isinstance(a, Value) else a for a in op.args[:2]), *op.args[2:])
                op = replace(op, args=args).having(unit="cube" if op in chosen else None)
            ops += [op, *copied(op.results)]
        return replace(old, ops=tuple(ops))

    return replace(kernel, body=body(kernel.body))


def _widened(kernel: Kernel) -> Kernel:
    """Operands of types that the matrix core does not multiply cast to ones that it does, where that is exact."""
    def body(old: Body) -> Body:
        ops: list[Op] = []
        for op in old.ops:
            op = replace(op, bodies=tuple(body(b) for b in op.bodies)) if op.bodies else op
            if op.name == "dot":
                args = list(op.args)
                for n, a in enumerate(op.args[:2]):
                    assert isinstance(a, Value)
                    wide = WIDENED.get(a.tile.dtype.name)
                    if wide is not None:
                        args[n] = Value(a.name, TileType(DTYPES[wide], a.tile.shape))
                        ops.append(Op("cast", (a,), make_attrs({"dtype": DTYPES[wide]}), (args[n],), loc=op.loc))  # type: ignore[arg-type]
                op = replace(op, args=tuple(args))
            ops.append(op)
        return replace(old, ops=tuple(ops))

    return replace(kernel, body=body(kernel.body))


# ---------------------------------------------------------------- where sums stand
def accumulate(kernel: Kernel) -> Kernel:
    """Every dot of the matrix core adds in place to a sum that stays on that core, or has no accumulator.

    A sum stays if a loop carries it from one dot to the next and nothing else reads it on the way; it then starts from zero.  What else was to be added
    is added by a vector core: dot(p, v, acc * f) becomes add(acc * f, dot(p, v)).
    """
    worker = _Accumulators(kernel)
    return replace(kernel, body=worker.body(kernel.body))


class _Accumulators:
    def __init__(self, kernel: Kernel) -> None:
        self.uses, self.defs = count_uses(kernel.body), producers(kernel.body)
        self.kept: set[Op] = set()                  # dots that add in place to what their third operand names
        self.pending: dict[Value, Arg] = {}         # a sum so far -> what is to be added to it in the end

    def zero(self, a: object) -> bool:
        made = self.defs.get(a) if isinstance(a, Value) else None
        return made is not None and made.name == "full" and (is_const(made.args[0], 0) or is_const(made.args[0], 0.0) or is_const(made.args[0], -0.0))

    def links(self, body: Body) -> dict[Value, Op]:
        """For a value that only one dot of the matrix core reads, as its accumulator: that dot."""
        return {op.args[2]: op for op in body.ops
                if op.name == "dot" and op.attr("unit") == "cube" and len(op.args) == 3 and isinstance(op.args[2], Value) and self.uses[op.args[2]] == 1}

    def body(self, body: Body) -> Body:
        links, ops = self.links(body), list[Op]()
        made = {r for op in body.ops if op.name == "dot" and op.attr("unit") == "cube" for r in op.results}
        self.kept |= {op for v, op in links.items() if v in made}
        for op in body.ops:
            if op.name in ("for", "while"):
                ops += self.loop(op)
            elif op.name == "dot" and op.attr("unit") == "cube":
                ops += self.dot(op, links)
            else:
                ops.append(replace(op, bodies=tuple(self.body(b) for b in op.bodies)) if op.bodies else op)
        return replace(body, ops=tuple(ops))

    def dot(self, op: Op, links: dict[Value, Op]) -> list[Op]:
        acc = op.args[2] if len(op.args) == 3 else None
        if op not in self.kept:
            if acc is not None and not self.zero(acc):
                self.pending[op.result] = acc       # type: ignore[assignment]
            op = replace(op, args=op.args[:2])
        elif acc in self.pending:
            self.pending[op.result] = self.pending.pop(acc)
        if op.result not in self.pending or op.result in links:
            return [op]
        return self.added(self.pending.pop(op.result), op, op.result)

    def added(self, to: Arg, op: Op, total: Value) -> list[Op]:
        """The op with another value in the place of its result `total`, and the addition that gives `total`."""
        product = Value(total.name, total.type)
        made = replace(op, results=tuple(product if r is total else r for r in op.results))
        return [made, Op("add", (to, product), (), (total,), loc=op.loc)]

    def loop(self, op: Op) -> list[Op]:
        head, trip = (2, op.bodies[0]) if op.name == "for" else (0, op.bodies[1])
        params = trip.params[1:] if op.name == "for" else trip.params
        links = self.links(trip)
        before: list[Op] = []
        after: list[Op] = []
        args, results = list(op.args), list(op.results)
        for n, p in enumerate(params):
            chain = self.chain(p, links)
            if not chain or trip.result[n] is not chain[-1].result or self.uses[chain[-1].result] != 1:
                continue
            if op.name == "while" and self.uses.get(op.bodies[0].params[n], 0):
                continue
            self.kept |= set(chain)
            start = Value(p.name, p.type)
            before.append(Op("full", (_nought(p),), make_attrs({"shape": p.tile.shape, "unit": "cube"}), (start,), loc=op.loc))
            init, args[head + n] = args[head + n], start
            if not self.zero(init):
                results[n] = Value(p.name, p.type)
                after.append(Op("add", (init, results[n]), (), (op.results[n],), loc=op.loc))
        made = replace(op, args=tuple(args), results=tuple(results), bodies=tuple(self.body(b) for b in op.bodies))
        return [*before, made, *after]

    def chain(self, start: Value, links: dict[Value, Op]) -> list[Op]:
        """The dots that add to `start` one after another."""
        found: list[Op] = []
        at = start
        while at in links:
            found.append(links[at])
            at = links[at].result
        return found


def _nought(v: Value) -> Arg:
    return cube.nought(v.tile.dtype)
