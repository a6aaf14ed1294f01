"""Value form to value form: every op on tiles is one that the vector unit's functions do, or that the scalar unit does in its stead.

What the language computes in types that the unit has not is computed in i32 or f32, which hold them; coordinates become i32 where ranges prove
it; operands are of the result's shape, one row, one column or scalars; shape ops that move elements are marked `real`.
"""
from __future__ import annotations

from dataclasses import replace
from math import frexp
from typing import Any

from dslc.errors import check
from dslc.ir import Arg, Body, Const, Kernel, Op, Operand, Value, count_uses, make_attrs, substitute, walk
from dslc.ops import OPS
from dslc.passes._affine import Facts
from dslc.passes._rewriting import NEGATED, SWAPPED, literal, scalars
from dslc.passes.dce import dce
from dslc.types import BF16, BOOL, F16, F32, F64, I32, INDEX, U32, DType, TileType

SHAPES = ("reshape", "broadcast", "transpose", "split", "concat", "full")
NARROWS = ("add", "sub", "mul", "neg", "abs", "minimum", "maximum", "where", "floordiv", "mod", "and", "or", "xor", "not", "shl", "shr")
GRAIN = 32              # elements: a multiple of it fills whole blocks of 32 bytes whatever the type
EXACT = 1 << 23         # integers up to this size, and the products and remainders of a division of theirs, are exact in f32
SMALL = ("i8", "u8", "i16", "u16", "u1", "u2", "u4", "i4")


# ---------------------------------------------------------------- shapes as they are stored
def dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The extents that take part in storage: all but those of 1."""
    return tuple(n for n in shape if n != 1)


def kind(a: Operand, shape: tuple[int, ...]) -> str:
    """How an operand meets a result of `shape`: "tile", "row", "column", "single" (a tile of one element), "scalar", or "" where it must be spread first."""
    if not isinstance(a, Value) or not a.tile.shape:
        return "scalar"
    own = (1,) * (len(shape) - len(a.tile.shape)) + a.tile.shape
    axes = [(n, m) for n, m in zip(shape, own, strict=True) if n != 1]
    there = [m != 1 for _, m in axes]
    if all(there):
        return "tile"
    if not any(there):
        return "single"
    if there[-1] and not any(there[:-1]):
        return "row"
    columns = [m for _, m in axes[:-1]]
    if not there[-1] and all(there[:-1]) and (len(columns) == 1 or columns[-1] % GRAIN == 0):
        return "column"
    return ""


def looks(op: Op) -> bool:
    """Whether the result of a shape op is its operand's memory seen otherwise, whatever the pitch of rows."""
    (x,) = op.args
    if not isinstance(x, Value) or not x.tile.shape or not op.results[0].tile.shape:
        return True
    old, new = dense(x.tile.shape), dense(op.results[0].tile.shape)
    if op.name == "transpose":
        return [a for a in op.attr("axes") if x.tile.shape[a] != 1] == sorted(a for a in op.attr("axes") if x.tile.shape[a] != 1)
    if op.name == "split":
        axis = op.attr("axis")
        before, after = dense(x.tile.shape[:axis]), dense(x.tile.shape[axis + 1:])
        return op.attr("n") == 1 or (not before and (bool(after) or op.results[0].tile.shape[axis] % GRAIN == 0))
    if old == new:
        return True
    return op.name == "reshape" and (old[-1] == new[-1] or (old[-1] % GRAIN == 0 and new[-1] % GRAIN == 0))


def refined(old: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]) -> list[list[tuple[int, int]]] | None:
    """Each axis of a row-major reshape as (extent, stride) parts of the old axes; None if an extent of one divides none of the other."""
    left = [(n, s) for n, s in zip(old, strides, strict=True) if n != 1]
    found: list[list[tuple[int, int]]] = []
    for extent in reversed(new):
        parts: list[tuple[int, int]] = []
        while extent > 1:
            n, s = left.pop()
            if extent % n == 0:
                parts.insert(0, (n, s))
                extent //= n
            elif n % extent == 0:
                parts.insert(0, (extent, s))
                left.append((n // extent, s * extent))
                extent = 1
            else:
                return None
        found.insert(0, parts)
    return found


# ---------------------------------------------------------------- coordinates in i32
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


# ---------------------------------------------------------------- ops that the unit has
def legalise(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then every op on tiles is one that `vector_ops.describe` has a text for."""
    for op in walk(kernel.body):
        for v in (*op.uses(), *op.results):
            wide = v.tile.dtype is F64 if isinstance(v.type, TileType) else v.tensor.dtype is F64
            check(not wide, f"{op.name}: the vector unit has no f64", op.loc, hint="cast to f32")
    work = _Legal(narrowed(kernel))
    return with_numbers(replace(work.old, body=work.body(work.old.body)))


def _swept(kernel: Kernel) -> Kernel:
    return dce(kernel)


class _Legal:
    """One walk.  `value` makes an op and the ops that it takes to have it."""

    def __init__(self, kernel: Kernel) -> None:
        kernel = _swept(kernel)
        self.old, self.facts = kernel, Facts(kernel)
        self.new: dict[Value, Arg] = {}
        self.ops: list[Op] = []
        dots = [op for op in walk(kernel.body) if op.name == "dot"]
        uses = count_uses(kernel.body)
        multiplied = [v for op in dots for v in op.args[:2] if isinstance(v, Value)]
        self.turned_for_dots = {v for v in multiplied if multiplied.count(v) == uses.get(v, 0)}
        self.like = Op("yield")

    def body(self, body: Body) -> Body:
        outer, self.ops = self.ops, []
        for op in body.ops:
            op = substitute(op, self.new)
            if op.bodies:
                bodies = []
                for n, b in enumerate(op.bodies):
                    with self.facts.inside(op, n):
                        bodies.append(self.body(b))
                op = replace(op, bodies=tuple(bodies))
            self.like = op
            made = self.op(op)
            if made is not None:
                self.new.update((r, v) for r, v in zip(op.results, made, strict=True) if r is not v)
        ops, self.ops = self.ops, outer
        return replace(body, ops=tuple(ops))

    # ------------------------------------------------------------ making ops
    def put(self, op: Op) -> tuple[Arg, ...]:
        """The op as it stands."""
        self.facts.visit(op)
        self.ops.append(op)
        return op.results

    def value(self, name: str, *args: Arg, dtype: DType, shape: tuple[int, ...], **attrs: Any) -> Arg:
        """The result of an op, made legal itself."""
        if name in ("reshape", "broadcast", "full"):
            attrs["shape"] = shape
        if name in ("cast", "bitcast"):
            attrs["dtype"] = dtype
        hint = self.like.results[0].name if self.like.results else name
        result = Value(hint, TileType(dtype, shape))
        made = self.op(Op(name, args, make_attrs(attrs), (result,), loc=self.like.loc))
        return made[0]

    def cast(self, a: Arg, dtype: DType, **attrs: Any) -> Arg:
        """An operand as another type; literals at once, where that is exact."""
        if a.tile.dtype is dtype:
            return a
        if isinstance(a, Const) and a.dtype.kind == "i" and dtype.kind in "if" and -EXACT <= a.value <= EXACT:
            return literal(a.value, dtype)
        return self.value("cast", a, dtype=dtype, shape=a.tile.shape, **attrs)

    # ------------------------------------------------------------ one op
    def op(self, op: Op) -> tuple[Arg, ...]:
        """What stands for the op's results; new ops are in `ops`."""
        if op.bodies or not op.results or op.name in ("load", "grid", "iota", "dot", "copy", "alloc") or not self.on_tiles(op):
            return self.put(op)
        rule = getattr(self, f"on_{op.name}", None)
        if op.name in NEGATED:
            rule = self.on_comparison
        made = rule(op) if rule is not None else None
        return made if made is not None else self.put(self.matched(op))

    @staticmethod
    def on_tiles(op: Op) -> bool:
        return any(isinstance(v.type, TileType) and v.tile.shape for v in (*op.uses(), *op.results))

    def matched(self, op: Op) -> Op:
        """The op with operands that meet the result: of its shape, or one row, one column, a scalar where the op takes such."""
        if not OPS[op.name].elementwise or not op.results or not op.results[0].tile.shape:
            return op
        shape = op.result.tile.shape
        args = [self.met(a, shape, all_kinds(op)) for a in scalars(op)]
        kinds = [kind(a, shape) for a in args]
        if "tile" not in kinds and set(kinds) != {"row", "column"} and (op.name != "where" or all(k == "scalar" for k in kinds)):
            args[0] = self.spread(args[0], shape)
        return replace(op, args=tuple(args))

    def met(self, a: Arg, shape: tuple[int, ...], any_kind: bool) -> Arg:
        how = kind(a, shape)
        if how in ("tile", "scalar") or (how and any_kind):
            return a
        if not dense(a.tile.shape):
            return self.value("reshape", a, dtype=a.tile.dtype, shape=())
        return self.spread(a, shape)

    def spread(self, a: Arg, shape: tuple[int, ...]) -> Arg:
        if a.tile.shape == shape:
            return a
        return self.value("broadcast" if a.tile.shape else "full", a, dtype=a.tile.dtype, shape=shape)

    # ------------------------------------------------------------ types
    def in_type(self, op: Op, dtype: DType, back: DType | None = None) -> tuple[Arg, ...]:
        """The op on operands of another type; its result cast back."""
        r = self.value(op.name, *(self.cast(a, dtype) if a.tile.dtype is not BOOL else a for a in scalars(op)),
                       dtype=dtype if op.result.tile.dtype is not BOOL else BOOL, shape=op.result.tile.shape, **dict(op.attrs))
        return (r if back is None else self.cast(r, back, **({"round": "rne"} if dtype is F32 else {})),)

    def on_arithmetic(self, op: Op) -> tuple[Arg, ...] | None:
        d = op.result.tile.dtype
        return self.in_type(op, I32, d) if d.name in SMALL else None

    on_add = on_sub = on_mul = on_neg = on_arithmetic

    def on_abs(self, op: Op) -> tuple[Arg, ...] | None:
        d = op.result.tile.dtype
        return scalars(op) if d.kind == "i" and not d.signed else self.on_arithmetic(op)

    def flipped(self, a: Arg) -> Arg:
        """A u32 as the i32 that compares like it."""
        if isinstance(a, Const):
            return literal(a.value - (1 << 31), I32)
        return self.value("bitcast", self.value("add", a, literal(1 << 31, U32), dtype=U32, shape=a.tile.shape), dtype=I32, shape=a.tile.shape)

    def bitcast(self, a: Arg, dtype: DType) -> Arg:
        if isinstance(a, Const):
            value = int(a.value)
            return literal(value - (1 << 32) if dtype.signed and value > dtype.hi else value + (1 << 32) if not dtype.signed and value < 0 else value, dtype)
        return self.value("bitcast", a, dtype=dtype, shape=a.tile.shape)

    def on_extreme(self, op: Op) -> tuple[Arg, ...] | None:
        d = op.result.tile.dtype
        if d is BOOL:
            return (self.value("and" if op.name == "minimum" else "or", *scalars(op), dtype=BOOL, shape=op.result.tile.shape),)
        if d is U32:
            r = self.value(op.name, *map(self.flipped, scalars(op)), dtype=I32, shape=op.result.tile.shape)
            return (self.value("add", self.bitcast(r, U32), literal(1 << 31, U32), dtype=U32, shape=op.result.tile.shape),)
        return self.in_type(op, I32, d) if d.name in SMALL else None

    on_minimum = on_maximum = on_extreme

    def on_div(self, op: Op) -> tuple[Arg, ...] | None:
        x, y = scalars(op)
        if isinstance(y, Const) and y.value != 0 and abs(float(y.value)) < 2.0**126 and frexp(abs(float(y.value)))[0] == 0.5:
            return self.op(replace(op, name="mul", args=(x, literal(1 / float(y.value), y.dtype))))
        return None

    def on_division(self, op: Op) -> tuple[Arg, ...] | None:
        d, (x, y) = op.result.tile.dtype, scalars(op)
        power = isinstance(y, Const) and y.value > 0 and int(y.value) & (int(y.value) - 1) == 0
        if power and d.bits <= 32 and isinstance(y, Const):
            n = int(y.value)
            name, amount = ("shr", n.bit_length() - 1) if op.name == "floordiv" else ("and", n - 1)
            if n == 1:
                return (self.spread(x, op.result.tile.shape),) if op.name == "floordiv" else (self.spread(literal(0, d), op.result.tile.shape),)
            return (self.value(name, x, literal(amount, d), dtype=d, shape=op.result.tile.shape),)
        if d.name in SMALL:
            return self.in_type(op, I32, d)
        if d is not I32:
            return None
        size, by = self.facts.form(x), self.facts.form(y)
        small = self.facts.fits(size, -EXACT, EXACT) and self.facts.fits(by, 1, EXACT)
        return self.put(self.matched(op).having(small=small or None))

    on_floordiv = on_mod = on_division

    def on_shift(self, op: Op) -> tuple[Arg, ...] | None:
        d, (x, n) = op.result.tile.dtype, scalars(op)
        if n.tile.shape or d.name not in SMALL:
            return None
        amount = self.value("and", n, literal(d.bits - 1 if d.bits >= 8 else 7, d), dtype=d, shape=()) if not isinstance(n, Const) else \
            literal(int(n.value) & (d.bits - 1 if d.bits >= 8 else 7), d)
        r = self.value(op.name, self.cast(x, I32), self.cast(amount, I32), dtype=I32, shape=op.result.tile.shape)
        return (self.cast(r, d),)

    on_shl = on_shr = on_shift

    def on_not(self, op: Op) -> tuple[Arg, ...] | None:
        d = op.result.tile.dtype
        if d.field_mask:
            return (self.value("xor", scalars(op)[0], literal(d.field_mask, d), dtype=d, shape=op.result.tile.shape),)
        return None

    def on_comparison(self, op: Op) -> tuple[Arg, ...] | None:
        name, (x, y) = op.name, scalars(op)
        if name in ("gt", "ge"):
            name, x, y = SWAPPED[name], y, x
        d, shape = x.tile.dtype, op.result.tile.shape
        if d is BOOL:
            low = x if name in ("eq", "ne") else self.value("not", x, dtype=BOOL, shape=x.tile.shape)
            r = self.value({"lt": "and", "le": "or"}.get(name, "xor"), low, y, dtype=BOOL, shape=shape)
            return (self.value("not", r, dtype=BOOL, shape=shape) if name == "eq" else r,)
        if d is U32:
            return (self.value(name, self.flipped(x), self.flipped(y), dtype=BOOL, shape=shape),)
        if d.name in SMALL:
            return (self.value(name, self.cast(x, F32), self.cast(y, F32), dtype=BOOL, shape=shape),)
        near = None
        if d is I32:
            lo, hi = self.facts.range(self.facts.form(x)), self.facts.range(self.facts.form(y))
            near = max(lo[1] - hi[0], hi[1] - lo[0]) <= I32.hi or None
        return self.put(self.matched(replace(op, name=name, args=(x, y))).having(near=near))

    def on_popcount(self, op: Op) -> tuple[Arg, ...] | None:
        (x,) = scalars(op)
        d, shape = x.tile.dtype, op.result.tile.shape
        if d.name not in SMALL:
            return None
        wide = self.cast(x, I32)
        bits = self.value("and", wide, literal((1 << max(d.bits, 8)) - 1 if d.signed else 0xffff, I32), dtype=I32, shape=shape)
        if d.name == "i4":
            bits = self.value("and", wide, literal(0xff, I32), dtype=I32, shape=shape)
        return (self.value("popcount", bits, dtype=I32, shape=shape),)

    def on_random(self, op: Op) -> tuple[Arg, ...] | None:
        seed, counter = scalars(op)
        if isinstance(counter, Value) and counter.tile.dtype is I32 and not seed.tile.shape and self.facts.fits(self.facts.form(counter), 0, I32.hi):
            return self.put(replace(op, args=(seed, self.spread(counter, op.result.tile.shape))).having(small=True))
        return None

    # ------------------------------------------------------------ conversion
    def on_cast(self, op: Op) -> tuple[Arg, ...] | None:
        (x,), to, shape = scalars(op), op.attr("dtype"), op.result.tile.shape
        source, attrs = x.tile.dtype, dict(op.attrs)
        if source is to:
            return (x,)
        clips = attrs.get("saturate") and source.kind == "i" and to.kind == "i" and source.bits <= 32
        if clips and source is not U32:
            wide = self.cast(x, I32)
            if to.lo > I32.lo:
                wide = self.value("maximum", wide, literal(to.lo, I32), dtype=I32, shape=shape)
            if to.hi < I32.hi:
                wide = self.value("minimum", wide, literal(to.hi, I32), dtype=I32, shape=shape)
            return (self.cast(wide, to),)
        if source is F32 and to.name == "u16":
            wide = self.value("cast", x, dtype=I32, shape=shape, round=attrs.get("round"))
            return (self.cast(wide, to, saturate=True),)
        via = cast_via(source, to) if not clips else None
        if via is None:
            return None
        inner = {"round": attrs["round"]} if "round" in attrs and via.kind == "i" and source.kind == "f" else {}
        return (self.value("cast", self.cast(x, via, **inner), dtype=to, shape=shape, **{k: v for k, v in attrs.items() if k != "dtype"}),)

    # ------------------------------------------------------------ reductions, scans, lookup
    def on_sum(self, op: Op) -> tuple[Arg, ...] | None:
        (x,), d, axis = scalars(op), op.result.tile.dtype, op.attr("axis")
        if d is U32:
            return (self.bitcast(self.value(op.name, self.bitcast(x, I32), dtype=I32, shape=op.result.tile.shape, axis=axis), U32),)
        return self.reduced(op, x)

    def reduced(self, op: Op, x: Arg) -> tuple[Arg, ...]:
        """A reduction of an axis of extent 1 is a reshape."""
        axis = op.attr("axis") % len(x.tile.shape)
        if x.tile.shape[axis] == 1 and op.name not in ("argmin", "argmax", "cumsum"):
            return (self.value("reshape", x, dtype=op.result.tile.dtype, shape=op.result.tile.shape),)
        return self.put(replace(op, args=(x,)).having(axis=axis))

    def near(self, x: Arg) -> bool:
        return x.tile.dtype is I32 and self.facts.fits(self.facts.form(x), -2 * EXACT, 2 * EXACT)

    def on_most(self, op: Op) -> tuple[Arg, ...] | None:
        (x,), d, attrs, shape = scalars(op), op.result.tile.dtype, dict(op.attrs), op.result.tile.shape
        if d.name in SMALL:
            return (self.cast(self.value(op.name, self.cast(x, F32), dtype=F32, shape=shape, **attrs), d, round="rne"),)
        return self.reduced(op.having(small=self.near(x) or None), x)

    on_max = on_min = on_most

    def on_arg(self, op: Op) -> tuple[Arg, ...] | None:
        (x,) = scalars(op)
        if x.tile.shape[op.attr("axis")] == 1:
            return (self.spread(literal(0, op.result.tile.dtype), op.result.tile.shape) if op.result.tile.shape else literal(0, op.result.tile.dtype),)
        if x.tile.dtype.name in SMALL or self.near(x):
            x = self.cast(x, F32)
        return self.put(replace(op, args=(x,)).having(axis=op.attr("axis") % len(x.tile.shape)))

    on_argmax = on_argmin = on_arg

    def on_cumsum(self, op: Op) -> tuple[Arg, ...] | None:
        (x,), d = scalars(op), op.result.tile.dtype
        if x.tile.shape[op.attr("axis")] == 1:
            return (x,)
        if d is U32:
            return (self.bitcast(self.value(op.name, self.bitcast(x, I32), dtype=I32, shape=op.result.tile.shape, axis=op.attr("axis")), U32),)
        return self.put(op.having(axis=op.attr("axis") % len(x.tile.shape)))

    def on_take(self, op: Op) -> tuple[Arg, ...] | None:
        table, index = scalars(op)
        n = table.tile.shape[0]
        return self.put(op.having(inside_table=self.facts.fits(self.facts.form(index), 0, n - 1) or None))

    # ------------------------------------------------------------ shapes
    def on_shape(self, op: Op) -> tuple[Arg, ...] | None:
        (x,) = scalars(op)
        if not x.tile.shape and op.result.tile.shape:
            return self.put(Op("full", (x,), make_attrs({"shape": op.result.tile.shape}), op.results, loc=op.loc))
        if op.name == "transpose" and op.result in self.turned_for_dots:
            return self.put(op)
        if op.name == "reshape" and not looks(op) and refined(x.tile.shape, x.tile.shape, op.result.tile.shape) is None:
            flat = self.value("reshape", x, dtype=x.tile.dtype, shape=(x.tile.size,))
            return (self.value("reshape", flat, dtype=x.tile.dtype, shape=op.result.tile.shape),)
        if op.name == "broadcast" and not dense(x.tile.shape) and dense(op.result.tile.shape):
            return self.op(replace(op, args=(self.value("reshape", x, dtype=x.tile.dtype, shape=()),)))
        if op.name == "broadcast" and looks(op):
            return (self.value("reshape", x, dtype=x.tile.dtype, shape=op.result.tile.shape),) if x.tile.shape != op.result.tile.shape else (x,)
        return self.put(op.having(real=None if looks(op) else True))

    on_transpose = on_reshape = on_broadcast = on_shape

    def on_split(self, op: Op) -> tuple[Arg, ...] | None:
        return self.put(op.having(real=None if looks(op) else True, axis=op.attr("axis") % len(scalars(op)[0].tile.shape)))

    def on_concat(self, op: Op) -> tuple[Arg, ...] | None:
        if len(op.args) == 1:
            return scalars(op)
        return self.put(op.having(axis=op.attr("axis") % len(op.result.tile.shape)))


def all_kinds(op: Op) -> bool:
    """Whether an elementwise op takes rows and columns as they are."""
    d = op.args[-1].tile.dtype if op.args and isinstance(op.args[-1], (Value, Const)) else F32
    if op.name in ("and", "or", "xor"):
        return d is BOOL
    return op.name in ("add", "sub", "mul", "div", "minimum", "maximum", "lt", "le", "eq", "ne") or (op.name == "where" and (d.bytes in (2, 4) or d is BOOL))




def cast_via(source: DType, to: DType) -> DType | None:
    """The type through which a conversion goes; None where one function does it, or the scalar unit does."""
    if source.bits == 64 or to.bits == 64 or (source is I32 and to is BF16) or (source is U32 and to is BF16):
        return None
    f8 = [d for d in (source, to) if d.kind == "f" and d.bits == 8]
    if f8:
        return F32 if F32 not in (source, to) else None
    if source is BOOL:
        return {"bf16": F32, "u32": I32, "u16": I32}.get(to.name)
    if source in (F16, BF16):
        return None if to is F32 else F32
    if source is F32:
        return None
    if source is I32:
        return F32 if to is F16 else None
    if source is U32:
        return F32 if to is F16 else I32 if to.name in SMALL else None
    if source.name == "u16":
        return None if to is I32 or to.name == "i16" else I32
    if source.name == "i16":
        return None if to in (I32, F32) or to.name == "u16" else F32 if to.kind == "f" else I32
    if to in (F16, F32, I32) or (to.bits == 8 and to.kind == "i" and source.bits <= 8):
        return None
    return F32 if to.kind == "f" else I32


# ---------------------------------------------------------------- what may be NaN
def with_numbers(kernel: Kernel) -> Kernel:
    """minimum, maximum, max and min of f32 know which of their operands may be NaN: `nan` is "none", "first", "second" or absent for any."""
    may: set[Value] = {p for p in kernel.params if isinstance(p.type, TileType)}
    rows: list[tuple[Operand, Value]] = []
    ops = list(walk(kernel.body))
    for op in ops:
        head = 2 if op.name == "for" else 0
        for b in op.bodies if op.name in ("for", "while") else ():
            params = b.params[1:] if op.name == "for" else b.params
            rows += zip(op.args[head:], params, strict=True)
            if len(b.result) == len(params):
                rows += zip(b.result, params, strict=True)
                rows += zip(b.result, op.results, strict=True)
            rows += zip(op.args[head:], op.results, strict=True)
        for b in op.bodies if op.name == "if" else ():
            rows += zip(b.result, op.results, strict=True)

    def nan(a: Operand) -> bool:
        return a in may if isinstance(a, Value) else isinstance(a, Const) and isinstance(a.value, float) and a.value != a.value

    changed = True
    while changed:
        changed = False
        new = {r for op in ops if not op.bodies for r in op.results if r not in may and _may_be_nan(op, r, nan)}
        new |= {v for a, v in rows if v not in may and nan(a)}
        changed, may = bool(new), may | new

    def marked(op: Op) -> Op:
        if op.bodies:
            return replace(op, bodies=tuple(replace(b, ops=tuple(map(marked, b.ops))) for b in op.bodies))
        if op.name not in ("minimum", "maximum", "max", "min") or not op.results or op.results[0].tile.dtype is not F32:
            return op
        flags = [nan(a) for a in op.args]
        word = "none" if not any(flags) else None if all(flags) else "first" if flags[0] else "second"
        return op.having(nan=word)

    return replace(kernel, body=replace(kernel.body, ops=tuple(map(marked, kernel.body.ops))))


def _may_be_nan(op: Op, r: Value, nan: Any) -> bool:
    if r.tile.dtype.kind != "f":
        return False
    floats = [a for a in scalars(op) if isinstance(a.type, TileType) and a.tile.dtype.kind == "f"]
    if op.name in ("minimum", "maximum"):
        return all(nan(a) for a in floats)
    if op.name == "cast":
        return any(nan(a) for a in floats)
    if op.name in ("where", "abs", "neg", "round", "exp", "exp2", "sigmoid", "tanh", "erf", "copy", "concat", "max", "min", *SHAPES):
        return any(nan(a) for a in floats)
    return True
