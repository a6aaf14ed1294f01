"""Products with 4-bit fields: numbers that only serve a dot are made of their words in its registers."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from dslc.ir import Body, Const, Kernel, Op, Span, Value, walk
from dslc.render import Scope
from dslc.runtime.abi import written
from dslc.types import DTYPES

from .access import load
from .nests import nest

IN_WORD, DEPTH, COLUMNS, LARGEST = 8, 256, 32, 128       # fields; rows of a tile, no more than dot_depth; columns of the widest panel; exact in bf16 less 15
BY_COLUMN = "fields_by_column"


def fields(kernel: Kernel) -> Kernel:
    """Assumes the placed form.  Then a dot whose right operand is a tile of 4-bit fields of u32, eight rows to a word, less a whole number or one of each
    column, carries `fields` (the number, or BY_COLUMN), and so do the map and the load that serve it alone.

    The difference is exact in the operand's type, so it may be made in f32.
    """
    return _Fields(kernel).kernel()


class _Fields:
    def __init__(self, kernel: Kernel) -> None:
        self.given, self.stored = kernel, written(kernel)
        self.readers: dict[Value, list[Op]] = {}
        self.writers: dict[Value, list[Op]] = {}
        for op in walk(kernel.body):
            for v in set(op.uses()):
                self.readers.setdefault(v, []).append(op)
            for v in op.into:
                self.writers.setdefault(v, []).append(op)

    def kernel(self) -> Kernel:
        return replace(self.given, body=self.body(self.given.body))

    def body(self, body: Body) -> Body:
        new: dict[Op, Op] = {}
        for op in body.ops:
            found = self.product(op) if op.name == "dot" else None
            if found is not None and found[0] in body.ops and found[1] in body.ops:
                made, words, less = found
                new |= {o: o.having(fields=less) for o in (op, made, words)}
        inner = {op: replace(op, bodies=tuple(self.body(b) for b in op.bodies)) for op in body.ops if op.name in ("for", "while", "if")}
        return replace(body, ops=tuple(new.get(op) or inner.get(op) or op for op in body.ops))

    def product(self, dot: Op) -> tuple[Op, Op, Any] | None:
        """The map and the load behind a dot, and what is subtracted."""
        left, right = dot.args[:2]
        assert isinstance(left, Value) and isinstance(right, Value)
        if dot.attr("precision") or left.tile.dtype.name not in ("f32", "f16", "bf16") or len(self.writers.get(right, [])) != 1:
            return None
        (made,) = self.writers[right]
        k, n = right.tile.shape
        if made.name != "map" or made.into != (right,) or made.attr("shape") != (k, n) or self.readers[right] != [dot] or right.tile.strides != (n, 1) \
                or k % IN_WORD or k > DEPTH or n % COLUMNS:
            return None
        words = self.words(made.args[0], (k, n), made)
        less = self.less(made, right)
        return None if words is None or less is None else (made, words, less)

    def words(self, v: Any, shape: tuple[int, ...], reader: Op) -> Op | None:
        """The load of the fields that only the map reads, from a tensor that the kernel leaves as it is."""
        made = self.writers.get(v, []) if isinstance(v, Value) else []
        if len(made) != 1 or made[0].name != "load" or self.readers[v] != [reader] or v.tile.shape != shape or made[0].attr("pad", 0) != 0:
            return None
        tensor, coords = made[0].args[0], made[0].args[1:]
        assert isinstance(tensor, Value)
        packing = tensor.tensor.packing
        good = packing is not None and packing.axis == 0 and packing.order == "adjacent" and packing.word.name == "u32" and tensor.tensor.dtype.name == "u4" \
            and tensor not in self.stored and len(coords) == 2 and all(isinstance(c, Span) and c.stop is None for c in coords) and 1 in tensor.tensor.unit
        return made[0] if good else None

    def less(self, made: Op, right: Value) -> Any:
        """What the map takes from each field, if it does no more: a whole number, or BY_COLUMN for its second operand."""
        (body,), ops = made.bodies, list(made.bodies[0].ops[:-1])
        if not ops or ops[0].name != "cast" or ops[0].args != body.params[:1] or ops[0].attr("dtype") is not DTYPES["f32"]:
            return None
        value, less = ops.pop(0).result, None
        if ops and ops[0].name == "sub" and ops[0].args[0] == value:
            value, less = ops[0].result, ops.pop(0).args[1]
        if ops and ops[0].name == "cast" and ops[0].args == (value,) and ops[0].attr("dtype") is right.tile.dtype and not ops[0].attr("round"):
            value = ops.pop(0).result
        if ops or body.result != (value,) or value.tile.dtype is not right.tile.dtype:
            return None
        if isinstance(less, Const) or less is None:
            number = 0 if less is None else less.value
            return int(number) if len(made.args) == 1 and number == int(number) and 0 <= number <= LARGEST else None
        return BY_COLUMN if len(made.args) == 2 and less is body.params[1] and self.small(made.args[1], right.tile.shape[1]) else None

    def small(self, v: Any, n: int) -> bool:
        """Whether v is a row of bytes as f32."""
        made = self.writers.get(v, []) if isinstance(v, Value) else []
        if len(made) != 1 or made[0].name != "map" or v.tile.shape != (1, n) or v.tile.dtype is not DTYPES["f32"] or len(made[0].args) != 1:
            return False
        body = made[0].bodies[0]
        return len(body.ops) == 2 and body.ops[0].name == "cast" and body.ops[0].args == body.params and body.params[0].tile.dtype.name in ("u8", "u4") \
            and body.result == body.ops[0].results


# ---------------------------------------------------------------- rendering
def expansion(op: Op, scope: Scope) -> dict[str, Any]:
    """The context of the macro `fields`, for a map that the pass has marked: words where they stand, or, at an edge of their tensor, copied to its place."""
    (into,), less, other = op.into, op.attr("fields"), op.args[-1]
    words = scope.notes["packed"][op.args[0]]
    tensor, spans, around = words.args[0], words.args[1:], nest(into.tile.shape, (0, 1), [words.into[0].tile.strides], alone=(0, 1))
    (k, n), here, row = into.tile.shape, scope.fresh(f"{scope.name(into)}_fields"), scope.atom(spans[0].start)
    scope.notes["fields"][into] = here
    conditions = [scope.say("spans", scope.atom(c.start), c.extent, scope.dim(dim))
                  for d, (c, dim) in enumerate(zip(spans, tensor.tensor.dims, strict=True)) if d not in words.attr("inside", ())]
    return {"name": here, "home": scope.name(into), "less": less, "words": k // IN_WORD * n, "n": n, "tensor": scope.name(tensor),
            "stride": f"{scope.name_of_strides(scope.name(tensor))}[0]", "row": row, "column": scope.atom(spans[1].start),
            "fits": scope.say("both", [*conditions, scope.say("begins_word", row, IN_WORD)]), "element": load(words, scope),
            "given": scope.name(other) if less == BY_COLUMN and isinstance(other, Value) else "", "at": [around.coordinate(0), around.coordinate(1)]}
