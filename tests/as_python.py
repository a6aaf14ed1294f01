"""A kernel of the value form as the source of a Python function in the language, for the eager meaning and for the front end."""
from __future__ import annotations

import math
from typing import Any

from dslc.ir import Body, Const, Kernel, Op, Operand, Span, Value
from dslc.types import BOOL, TensorType, TileType

OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "and": "&", "or": "|", "xor": "^", "shl": "<<", "shr": ">>",
             "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}


def as_python(kernel: Kernel) -> str:
    """Source of `@tile_kernel def <name>`; `tile_kernel` and `tile` must be in scope.  No maps, no reductions with bodies, no places."""
    return _Printer(kernel).text()


class _Printer:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.names: dict[Value, str] = {}
        self.used: set[str] = set()

    def text(self) -> str:
        params = ", ".join(f'{self.name(v)}: "{annotation(v)}"' for v in self.kernel.params)
        for v in self.kernel.dims:
            self.name(v)
        self.lines = ["@tile_kernel", f"def {self.kernel.name}({params}):"]
        self.body(self.kernel.body, 1)
        return "\n".join(self.lines) + "\n"

    def name(self, v: Value) -> str:
        if v not in self.names:
            name = v.name.replace(".", "_")
            while name in self.used:
                name += "_"
            self.used.add(name)
            self.names[v] = name
        return self.names[v]

    def line(self, text: str, depth: int) -> None:
        self.lines.append("    " * depth + text)

    def arg(self, a: Any) -> str:
        if isinstance(a, Value):
            return self.name(a)
        return f"({self.coordinate(a)})" if isinstance(a, Span) else number(a.value, a)

    def coordinate(self, c: Operand) -> str:
        if not isinstance(c, Span):
            return self.arg(c)
        parts = [self.arg(c.start), str(c.extent)] + ([] if c.stop is None else [self.arg(c.stop)])
        return f"({', '.join(parts)})"

    def place(self, coordinates: Any) -> str:
        return "(" + "".join(self.coordinate(c) + ", " for c in coordinates).rstrip() + ")"

    # ------------------------------------------------------------ statements
    def body(self, body: Body, depth: int) -> None:
        for op in body.ops[:-1]:
            self.op(op, depth)

    def op(self, op: Op, depth: int) -> None:
        special = getattr(self, f"op_{op.name}", None)
        if special is not None:
            special(op, depth)
        else:
            targets = ", ".join(self.name(r) for r in op.results) + ("," if op.name == "split" and len(op.results) == 1 else "")
            self.line(f"{targets} = {self.expression(op)}", depth)

    def op_assume(self, op: Op, depth: int) -> None:
        self.line(f"tile.assume({self.arg(op.args[0])})", depth)

    def op_store(self, op: Op, depth: int) -> None:
        self.line(f"tile.{op.name}({self.arg(op.args[0])}, {self.place(op.args[2:])}, {self.arg(op.args[1])})", depth)

    op_atomic_add = op_atomic_min = op_atomic_max = op_store

    def enter(self, targets: Any, values: Any, depth: int) -> None:
        if targets:
            self.line(f"{', '.join(self.name(t) for t in targets)} = {', '.join(self.arg(v) for v in values)}", depth)

    def share(self, results: Any, *others: Any) -> None:
        """Carried values are one Python name."""
        for group in others:
            self.names.update(zip(group, map(self.name, results), strict=True))

    def op_for(self, op: Op, depth: int) -> None:
        (body,) = op.bodies
        self.share(op.results, body.params[1:])
        self.enter(op.results, op.args[2:], depth)
        start, stop = map(self.arg, op.args[:2])
        self.line(f"for {self.name(body.params[0])} in tile.range({start}, {stop}, {op.attr('step')}):", depth)
        self.body(body, depth + 1)
        self.enter(op.results, body.result, depth + 1)
        self.line("pass", depth + 1)

    def op_while(self, op: Op, depth: int) -> None:
        condition, trip = op.bodies
        self.share(op.results, condition.params, trip.params)
        self.enter(op.results, op.args, depth)
        inline = {inner.results[0]: inner for inner in condition.ops[:-1]}
        (test,) = condition.result
        assert isinstance(test, Value)
        text = self.expression(inline[test]) if test in inline else self.arg(test)
        assert all(v not in inline for inner in inline.values() for v in inner.uses()), "a condition of one op"
        self.line(f"while {text}:", depth)
        self.body(trip, depth + 1)
        self.enter(op.results, trip.result, depth + 1)

    def op_if(self, op: Op, depth: int) -> None:
        for r in op.results:
            self.line(f"{self.name(r)} = tile.full({r.tile.shape}, {False if r.tile.dtype is BOOL else 0}, tile.{r.tile.dtype})", depth)
        for word, body in zip((f"if {self.arg(op.args[0])}:", "else:"), op.bodies, strict=True):
            self.line(word, depth)
            self.body(body, depth + 1)
            self.enter(op.results, body.result, depth + 1)
            self.line("pass", depth + 1)

    # ------------------------------------------------------------ expressions
    def expression(self, op: Op) -> str:
        args = [self.arg(a) for a in op.args if not isinstance(a, Span)]
        if op.name in OPERATORS:
            return f"{args[0]} {OPERATORS[op.name]} {args[1]}"
        if op.name in ("neg", "not"):
            return f"{'-' if op.name == 'neg' else '~'}{args[0]}"
        if op.name == "load":
            pad = op.attr("pad", 0)
            return f"tile.load({self.arg(op.args[0])}, {self.place(op.args[1:])}, pad={number(pad)})"
        if op.name == "full":
            return f"tile.full({op.attr('shape')}, {args[0]}, tile.{op.result.tile.dtype})"
        if op.name == "iota":
            return f"tile.iota({op.attr('n')})"
        if op.name == "concat":
            return f"tile.concat(({', '.join(args)},), {op.attr('axis')})"
        if op.name == "unpack" and op.attr("dtype") is BOOL:
            return f"tile.unpack({args[0]}, tile.u1, {op.attr('order')!r}) != 0"
        words = [f"{k}={v!r}" if not hasattr(v, "numpy") else f"{k}=tile.{v}" for k, v in op.attrs]
        return f"tile.{op.name}({', '.join(args + words)})"


def number(value: Any, const: Const | None = None) -> str:
    """A literal of the language."""
    if isinstance(value, bool) or (const is not None and const.dtype is BOOL):
        return str(bool(value))
    if isinstance(value, float) and not math.isfinite(value):
        return "(1e999 - 1e999)" if math.isnan(value) else "1e999" if value > 0 else "(-1e999)"
    text = repr(float(value)) if const is not None and const.dtype.kind == "f" else repr(value)
    return f"({text})" if text.startswith("-") else text


def annotation(v: Value) -> str:
    t = v.type
    if isinstance(t, TileType):
        return t.dtype.name
    assert isinstance(t, TensorType)
    text = f"{t.dtype}[{', '.join(t.dims)}]"
    if t.packing is None:
        return text
    p = t.packing
    words = [str(int(d) // t.fields) if d.isdigit() else f"{d}/{t.fields}" for d in t.dims]
    stored = [w if a == p.axis else d for a, (d, w) in enumerate(zip(t.dims, words, strict=True))]
    order = {"adjacent": "", "split": " split"}[p.order] if isinstance(p.order, str) else " order " + " ".join(map(str, p.order))
    return f"{text} in {p.word}[{', '.join(stored)}]{order}"
