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
from dslc.types import BF16, BOOL, F16, F32, F64, I32, U32, DType, TileType

from .cube import TYPES
from .narrow_indices import SHAPES, narrowed
from .vector_parts import parted
from .vector_shapes import dense, kind, looks, refined

EXACT = 1 << 23         # integers up to this size, and the products and remainders of a division of theirs, are exact in f32
SMALL = ("i8", "u8", "i16", "u16", "u1", "u2", "u4", "i4")


# ---------------------------------------------------------------- ops that the unit has
def legalise(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then every op on tiles is one that `vector_ops.describe` has a text for."""
    for op in walk(kernel.body):
        for v in (*op.uses(), *op.results):
            wide = v.tile.dtype is F64 if isinstance(v.type, TileType) else v.tensor.dtype is F64
            check(not wide, f"{op.name}: the vector unit has no f64", op.loc, hint="cast to f32")
    work = _Legal(narrowed(parted(kernel)))
    return with_numbers(replace(work.old, body=work.body(work.old.body)))


class _Legal:
    """One walk.  `value` makes an op and the ops that it takes to have it."""

    def __init__(self, kernel: Kernel) -> None:
        kernel = dce(kernel)
        self.old, self.facts = kernel, Facts(kernel)
        self.new: dict[Value, Arg] = {}
        self.ops: list[Op] = []
        dots = [op for op in walk(kernel.body) if op.name == "dot"]
        uses = count_uses(kernel.body)
        multiplied = [v for op in dots for v in op.args[:2] if isinstance(v, Value) and v.tile.dtype.name in TYPES]      # others are cast first
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
