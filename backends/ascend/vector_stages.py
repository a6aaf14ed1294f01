"""What a function of the vector unit touches before it first waits for its own pipe, and after it last does.

A function of several steps has barriers of its own between them (tile_ascend_vector.h).  Whatever it touches after the first of them is in order with all
that its pipe did before, whatever it touches before the last with all that its pipe does later.  The rules here follow the texts of the functions, parts of
scratch included; a function that has no rule is taken for a single step, which only costs a barrier.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dslc.ir import Op, Operand, Value
from dslc.types import BOOL, I32

from .arrange import Form, form, item_bytes
from .limits import BLOCK
from .vector_ops import ARITHMETIC, BLOCK_ROWS, CHUNK_BYTES, COMPARISONS, MASK_BYTES, RUN, function, takes_scalar
from .vector_shapes import dtype_of, kind, runs

CHUNK, REPEAT_BYTES = CHUNK_BYTES // 4, 256             # elements that a function of several steps does at a time; bytes of one repeat


@dataclass(frozen=True, order=True)
class Part:
    """Bytes of scratch."""

    first: int
    last: int


def mask(n: int) -> Part:
    first = BLOCK_ROWS * BLOCK + n * MASK_BYTES
    return Part(first, first + MASK_BYTES)


def spare(n: int, count: int = 1) -> Part:
    first = mask(2).first + n * CHUNK_BYTES
    return Part(first, first + count * CHUNK_BYTES)


BLOCKS, ROOM = Part(0, BLOCK_ROWS * BLOCK), spare(0, 4)      # of rows that are spread; in which rows and runs are folded
Touched = set[Value | Part]


class Stages:
    """The steps of an op's function, in groups with a barrier of its own between them."""

    def __init__(self, op: Op, unit: int) -> None:
        self.op, self.unit, self.d, self.args = op, unit, op.into[0], op.args
        self.form = form(self.d, unit)
        self.touched: list[Touched] = [set()]

    def touch(self, *what: Operand | Part) -> None:
        self.touched[-1] |= {v for v in what if isinstance(v, Part) or (isinstance(v, Value) and v.tile.shape)}

    def wait(self) -> None:
        self.touched.append(set())

    def steps(self, *last: Operand | Part) -> None:
        """Any number of steps, then the last."""
        self.wait()
        self.touch(*last)

    def kind(self, a: Operand) -> str:
        return kind(a, self.d.tile.shape)

    # ------------------------------------------------------------ parts that functions share
    def pieces(self, f: Form) -> Iterator[tuple[int, int]]:
        """Rows and elements of the first piece and of the last (struct Piece)."""
        tall = 1 if f.pitch >= CHUNK else min(f.rows, CHUNK // f.pitch, BLOCK_ROWS - 16)
        wide = min(f.pitch, CHUNK)
        yield min(tall, f.rows), min(tall, f.rows) * wide
        if f.rows > tall or f.pitch > wide:
            self.wait()
            rows = f.rows - (f.rows - 1) // tall * tall
            yield rows, rows * (f.pitch - (f.pitch - 1) // wide * wide)

    def flat(self) -> Form:
        n = self.form.rows * self.form.pitch
        return Form(1, n, n)

    def fetch(self, a: Operand, room: Part, rows: int, n: int, item: int, how: str = "") -> Operand | Part:
        """What is read in the place of an operand's piece."""
        how, whole = how or self.kind(a), n % (REPEAT_BYTES // item) == 0
        if how == "scalar":
            self.touch(room)
        elif whole and (how == "tile" or (how == "row" and rows == 1)):
            return a
        else:
            if not whole:
                self.touch(room)
                self.wait()
            if how in ("column", "single"):
                self.touch(BLOCKS, a)
                self.wait()
            self.touch(room, *([BLOCKS] if how in ("column", "single") else [a]))
        self.wait()
        return room

    def walk(self, *operands: Operand) -> list[Operand | Part]:
        """What is read in the place of operands, once those that need it are in blocks."""
        found = [a if (how := self.kind(a)) in ("tile", "row") else mask(1) if how == "scalar" else BLOCKS for a in operands]
        if any(isinstance(f, Part) for f in found):
            self.touch(*(f for f in found if isinstance(f, Part)), *(a for a, f in zip(operands, found, strict=True) if f is BLOCKS))
            self.wait()
        return found

    def binary(self, x: Operand, y: Operand) -> None:
        self.touch(self.d, *self.walk(x, y))
        if self.form.rows > BLOCK_ROWS and "column" in (self.kind(x), self.kind(y)):
            self.wait()
            self.touch(self.d, *self.walk(x, y))

    def arithmetic(self, name: str, x: Operand, y: Operand) -> None:
        if takes_scalar(name, self.kind(x), self.kind(y)):
            self.touch(self.d, x, y)
        else:
            self.binary(x, y)

    def clear_padding(self) -> None:
        if self.form.columns != self.form.pitch:
            self.touch(self.d)
            self.wait()


# ---------------------------------------------------------------- the functions
def _arithmetic(s: Stages) -> None:
    s.arithmetic(s.op.name, *s.args)


def _fma(s: Stages) -> None:
    s.arithmetic("mul", *s.args[:2])
    s.wait()
    s.arithmetic("add", s.d, s.args[2])


def _comparison(s: Stages) -> None:
    x, y = s.args
    for rows, n in s.pieces(s.form):
        if dtype_of(x) is I32:
            if few := n % (REPEAT_BYTES // 4) != 0:
                s.touch(spare(2))
            a, b = s.walk(x, y)
            if few and not isinstance(a, Part) and not isinstance(b, Part):
                s.wait()
            s.touch(spare(0, 2), a, b)
        else:
            a = s.fetch(x, spare(0), rows, n, 4)
            b = y if s.kind(y) == "scalar" else s.fetch(y, spare(1), rows, n, 4)
            s.touch(mask(0), a, b)
        s.steps(s.d, mask(0))


def _where(s: Stages) -> None:
    c, x, y = s.args
    item = item_bytes(s.d.tile.dtype)
    for rows, n in s.pieces(s.form):
        if s.kind(c) in ("tile", "scalar"):
            s.touch(mask(0), s.fetch(c, spare(0), rows, n, 2))
        else:
            s.touch(spare(3, 2), c)
        s.wait()
        if item == 1:
            s.steps(s.d, spare(3))
            continue
        immediate = dtype_of(x).name == "f32" and (s.kind(x) == "scalar") != (s.kind(y) == "scalar")
        fetched = [s.fetch(v, spare(1 + k), rows, n, item) for k, v in enumerate(v for v in (x, y) if not (immediate and s.kind(v) == "scalar"))]
        s.touch(s.d, mask(0), *fetched)


def _extreme(s: Stages) -> None:
    x, y = s.args
    nan = str(s.op.attr("nan", "any"))
    if dtype_of(x) is I32 or nan == "none":
        return s.binary(x, y)
    for rows, n in s.pieces(s.form):
        a = s.fetch(x, spare(0), rows, n, 4)
        b = s.fetch(y, spare(1), rows, n, 4)
        s.touch(mask(0), mask(1), spare(2), a, b)
        s.steps(s.d, mask(0), mask(1), spare(2), b if nan == "first" else a)


def _logic(s: Stages) -> None:
    x, y = s.args
    if dtype_of(x) is BOOL:
        s.binary(x, y)
        if s.op.name == "xor":
            s.steps(s.d)
        return
    if s.kind(y) == "scalar":
        s.touch(BLOCKS)
        s.wait()
    s.touch(s.d, x, y, BLOCKS, spare(0))
    if s.op.name == "xor":
        s.steps(s.d, spare(0))


def _in_place(s: Stages) -> None:
    s.touch(s.d, *s.args)
    s.steps(s.d)


def _rsqrt(s: Stages) -> None:
    s.touch(s.d, *s.args, mask(1))
    s.steps(s.d, mask(1))


def _by_chunks(s: Stages, room: Part, *last: Operand | Part) -> None:
    s.touch(room, *s.args)
    s.steps(s.d, room, *last)


def _absolute(s: Stages) -> None:
    _by_chunks(s, spare(0), *s.args)


def _widened(s: Stages) -> None:
    _by_chunks(s, spare(0))
    s.steps(s.d)


def _smooth(s: Stages) -> None:
    for rows, n in s.pieces(s.flat()):
        a = s.fetch(s.args[0], spare(0), rows, n, 4, "tile")
        s.touch(mask(0), spare(1), a)
        s.steps(s.d, mask(1), spare(1, 5), a)


def _divided(s: Stages) -> None:
    for _, n in s.pieces(s.flat()):
        if n % (REPEAT_BYTES // 4):
            s.touch(spare(1, 2))
            s.wait()
        s.touch(spare(1, 2), *s.args)
        s.steps(s.d, spare(2, 2))


def _reduction(s: Stages) -> None:
    """Along the last axis: of numbers, and the greatest and least where a NaN is passed over."""
    (x,) = s.args
    assert isinstance(x, Value)
    f, item = form(x, s.unit), item_bytes(x.tile.dtype)
    long, whole = f.columns > REPEAT_BYTES // item, x.tile.dtype is I32
    s.clear_padding()
    if not function(s.op).endswith("_numbers") and s.op.name != "sum":
        rows = min(next(s.pieces(f))[0], RUN, s.form.columns)
        s.touch(mask(0), s.fetch(x, spare(0), rows, rows * min(f.pitch, CHUNK), item, "tile"))
        s.steps(s.d, mask(0), spare(1))
    elif long or whole:
        s.touch(ROOM if long else spare(4, 4), *([] if not long and f.columns < REPEAT_BYTES // item else [x]))
        s.steps(s.d, spare(4, 4) if whole else ROOM)
    else:
        s.touch(s.d, x)
        if s.op.name != "sum" and s.form.rows > 1:
            s.steps(s.d, x)


def _place_of_extreme(s: Stages) -> None:
    """Along the last axis: the numbers of columns come first."""
    s.touch(spare(0))
    s.steps(s.d, spare(1))


def _folded(s: Stages) -> None:
    (x,) = s.args
    assert isinstance(x, Value)
    (outer, n, _), f = runs(x.tile.shape, s.op.attr("axis")), form(x, s.unit)
    inner = f.rows * f.pitch // outer // n
    if n == 1 or max(1, min(n // 2, (ROOM.last - ROOM.first) // item_bytes(x.tile.dtype) // inner)) == 1:
        return s.touch(s.d, x)
    s.touch(ROOM, x)
    s.steps(s.d, ROOM)


def _rows_from(s: Stages) -> None:
    per_block = max(BLOCK // item_bytes(s.d.tile.dtype), 1)
    if -(-s.form.columns // per_block) * per_block < s.form.pitch:
        s.touch(s.d)
        s.wait()
    s.touch(s.d, *s.args)


def _columns_from(s: Stages) -> None:
    s.touch(BLOCKS, *s.args)
    s.steps(s.d, BLOCKS)


def _gather_from(s: Stages) -> None:
    s.clear_padding()
    s.touch(spare(0))
    s.steps(s.d, spare(1), *s.args)


def _rooms(n: int) -> Callable[[Stages], None]:
    return lambda s: _by_chunks(s, spare(0, n))


# By the function's name, else by the op's.
RULES: dict[str, Callable[[Stages], None]] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic), "fma": _fma, **dict.fromkeys(COMPARISONS, _comparison), "where": _where,
    **dict.fromkeys(("minimum", "maximum"), _extreme), **dict.fromkeys(("and", "or", "xor"), _logic), **dict.fromkeys(("opposite", "exp2", "log2"), _in_place),
    "rsqrt": _rsqrt, "cast_through": _rooms(1), "wrap": _rooms(2), "popcount": _rooms(2), "float_of_unsigned": _rooms(4), "widen_unsigned": _widened,
    **dict.fromkeys(("sigmoid", "tanh", "erf", "sin", "cos", "to_integers"), _smooth), **dict.fromkeys(("floordiv_small", "mod_small"), _divided),
    **dict.fromkeys(("sum", "max", "min", "max_numbers", "min_numbers"), _reduction), **dict.fromkeys(("argmax", "argmin"), _place_of_extreme),
    **dict.fromkeys(("sum_groups", "max_groups_numbers", "min_groups_numbers"), _folded), "rows_from": _rows_from, "columns_from": _columns_from,
    "gather_from": _gather_from}
SINGLE = ("abs", "bits_not", "full", "copy", *(f"{name}_groups" for name in ("max", "min", "argmax", "argmin")))


def stages(op: Op, unit: int) -> list[Touched] | None:
    """What the function of an op on placed tiles touches, from barrier to barrier of its own; None: it has none, or may have none."""
    name = function(op)
    rule = RULES.get(name, None if name in SINGLE else RULES.get(op.name))
    if name == "abs" and dtype_of(op.args[0]) is I32:
        rule = _absolute
    if rule is None or not name or len(op.into) != 1 or not op.into[0].tile.shape:
        return None
    found = Stages(op, unit)
    rule(found)
    return found.touched
