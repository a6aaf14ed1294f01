"""Index tiles that provably fit are i32, which the vector unit computes with: coordinates of tiles, and what loops carry of them."""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Arg, Body, Const, Kernel, Op, Operand, Value, make_attrs, substitute, walk
from dslc.passes._affine import Facts
from dslc.passes._rewriting import NEGATED, literal, scalars
from dslc.types import I32, INDEX, TileType

SHAPES = ("reshape", "broadcast", "transpose", "split", "concat", "full")
NARROWS = ("add", "sub", "mul", "neg", "abs", "minimum", "maximum", "where", "floordiv", "mod", "and", "or", "xor", "not", "shl", "shr")


def narrowed(kernel: Kernel) -> Kernel:
    """Index tiles that provably fit are i32, those that loops carry among them if all that is assigned to them fits while they do."""
    carried = {p for op in walk(kernel.body) if op.name in ("for", "while") for b in op.bodies for p in b.params if p.tile.dtype is INDEX and p.tile.shape}
    while True:
        work = _Indices(kernel, carried)
        body = work.body(kernel.body)
        if not work.failed:
            return replace(kernel, body=body)
        carried = carried - work.failed


class _Indices:
    """One walk: `twin` has the i32 form of an index tile; `failed` are carried tiles that turned out not to fit."""

    def __init__(self, kernel: Kernel, carried: set[Value]) -> None:
        self.facts, self.carried = Facts(kernel), carried
        self.failed: set[Value] = set()
        self.new: dict[Value, Arg] = {}
        self.twin: dict[Value, Arg] = {}
        self.made: set[Value] = set()                       # index tiles that exist as such
        self.ops: list[Op] = []

    def fits(self, a: Arg) -> bool:
        return a.tile.dtype is not INDEX or (isinstance(a, Const) and I32.lo <= a.value <= I32.hi) or self.facts.fits(self.facts.form(a), I32.lo, I32.hi)

    def body(self, body: Body) -> Body:
        outer, self.ops = self.ops, []
        known = dict(self.twin)
        for op in body.ops:
            self.op(substitute(op, self.new))
        ops, self.ops = self.ops, outer
        self.twin = {v: t for v, t in self.twin.items() if v in known} | {v: t for v, t in known.items()}
        return replace(body, ops=tuple(ops))

    def op(self, op: Op) -> None:
        if op.name in ("for", "while", "if"):
            return self.control(op)
        self.facts.visit(op)
        tiles = [r for r in op.results if r.tile.dtype is INDEX and r.tile.shape]
        operands = scalars(op)[1:] if op.name in ("load", "store") or op.name.startswith("atomic_") else scalars(op)
        has_index = any(isinstance(a, Value) and a.tile.dtype is INDEX and a.tile.shape for a in operands)
        if tiles and self.may(op) and all(self.fits(a) for a in (*operands, *tiles) if a.tile.dtype is INDEX):
            return self.narrow(op)
        if has_index and op.name in NEGATED and all(self.fits(a) for a in operands):
            return self.narrow(op)
        if (has_index and op.name in ("load", "store", "cast", "take", "segment_sum", "random")) or op.name.startswith("atomic_"):
            self.ops.append(replace(op, args=tuple(self.twin.get(a, a) if isinstance(a, Value) and n != self.kept(op) else a for n, a in enumerate(op.args))))
            self.made.update(op.results)
            return
        self.ops.append(self.widened(op))
        self.made.update(op.results)

    @staticmethod
    def kept(op: Op) -> int:
        """The operand that keeps its type: the table of a take, the value of a store."""
        return 0 if op.name == "take" else 1 if op.name == "store" or op.name.startswith("atomic_") else -1

    def may(self, op: Op) -> bool:
        simple = op.name in (*NARROWS, *SHAPES, "iota", "argmin", "argmax", "take") or op.name == "copy"
        return simple or (op.name == "cast" and scalars(op)[0].tile.dtype.kind in "ib" and scalars(op)[0].tile.dtype.bits <= 32)

    def narrow(self, op: Op) -> None:
        """The op on i32; its index results are known by twins from here on."""
        reduces = op.name in ("argmin", "argmax")
        args = tuple(a if reduces or a.tile.dtype is not INDEX else self.small(a) for a in scalars(op))
        results = []
        for r in op.results:
            twin = r
            if r.tile.dtype is INDEX:
                twin = Value(r.name, TileType(I32, r.tile.shape))
                self.facts.forms[twin] = self.facts.form(r)
                self.twin[r] = twin
            results.append(twin)
        op = replace(op, args=args, results=tuple(results))
        self.ops.append(op.having(dtype=I32) if op.name == "cast" else op)

    def small(self, a: Arg) -> Arg:
        """An operand in i32."""
        if isinstance(a, Const):
            return literal(a.value, I32)
        if a not in self.twin:
            twin = Value(a.name, TileType(I32, a.tile.shape))
            self.ops.append(Op("cast", (a,), make_attrs({"dtype": I32}), (twin,)))
            self.facts.forms[twin] = self.facts.form(a)
            self.twin[a] = twin
        return self.twin[a]

    def wide(self, a: Operand) -> Operand:
        """An operand as an index: widened here if only its twin was made."""
        if not isinstance(a, Value) or a not in self.twin or a in self.made or not a.tile.shape:
            return a
        wide = Value(a.name, a.tile)
        self.ops.append(Op("cast", (self.twin[a],), make_attrs({"dtype": INDEX}), (wide,)))
        self.facts.forms[wide] = self.facts.form(a)
        return wide

    def widened(self, op: Op) -> Op:
        return replace(op, args=tuple(self.wide(a) for a in op.args))

    # ------------------------------------------------------------ loops and branches
    def control(self, op: Op) -> None:
        head = 2 if op.name == "for" else 1 if op.name == "if" else 0
        inits: tuple[Operand, ...] = op.args[head:]
        every = [b.params[1:] if op.name == "for" else b.params for b in op.bodies]
        last = op.bodies[-1]
        goes = [op.name != "if" and all(ps[n] in self.carried for ps in every) for n in range(len(op.results))]
        for n, init in enumerate(inits):
            if goes[n] and not (isinstance(init, (Value, Const)) and self.fits(init)):
                self.failed.add(every[-1][n])
                goes[n] = False
        entering = tuple(self.small(a) if goes[n] and isinstance(a, (Value, Const)) else self.wide(a) for n, a in enumerate(inits))
        bodies = []
        for n, body in enumerate(op.bodies):
            params = list(body.params)
            offset = len(params) - len(op.results) if op.name != "if" else 0
            for k, p in enumerate(body.params[offset:]):
                if goes[k]:
                    twin = Value(p.name, TileType(I32, p.tile.shape))
                    self.facts.atom(p, (I32.lo, I32.hi))
                    self.facts.varying.add(p)
                    self.facts.forms[twin] = self.facts.form(p)
                    self.twin[p] = twin
                    params[offset + k] = twin
            with self.facts.inside(op, n):
                inner = self.carried_body(op, body, n, goes)
            bodies.append(replace(inner, params=tuple(params)))
        results = []
        for n, r in enumerate(op.results):
            if goes[n]:
                twin = Value(r.name, TileType(I32, r.tile.shape))
                self.facts.atom(r, (I32.lo, I32.hi))
                self.facts.varying.add(r)
                self.facts.forms[twin] = self.facts.form(r)
                self.twin[r] = twin
                results.append(twin)
            else:
                results.append(r)
                self.made.add(r)
        if op.name == "if":
            op = op.having(types=tuple(r.tile for r in results) or None) if op.attr("types") is not None else op
        self.ops.append(replace(op, args=(*op.args[:head], *entering), bodies=tuple(bodies), results=tuple(results)))
        del last

    def carried_body(self, op: Op, body: Body, n: int, goes: list[bool]) -> Body:
        outer, self.ops = self.ops, []
        known = dict(self.twin)
        for inner in body.ops[:-1]:
            self.op(substitute(inner, self.new))
        closing = body.ops[-1]
        out: list[Operand] = []
        for k, a in enumerate(closing.args):
            carries = op.name != "if" and not (op.name == "while" and n == 0) and goes[k]
            if carries and isinstance(a, (Value, Const)):
                if not self.fits(a):
                    self.failed.add((op.bodies[-1].params[1:] if op.name == "for" else op.bodies[-1].params)[k])
                    out.append(a)
                else:
                    out.append(self.small(a))
            else:
                out.append(self.wide(a))
        self.ops.append(replace(closing, args=tuple(out)))
        ops, self.ops = self.ops, outer
        self.twin = known
        return replace(body, ops=tuple(ops))
