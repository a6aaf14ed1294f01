"""The text form of the IR: `show` writes it, `parse` reads it back.  What the text means is in verify.py and interpret.py."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from .errors import DslError, Loc, check
from .ir import Arg, Body, Const, Kernel, Op, Operand, Span, Value
from .types import BOOL, DTYPES, F32, INDEX, DType, Layout, Packing, Place, Space, TensorType, TileType, Type

_SUFFIX = re.compile(r"(\.\d+)+$")


# ---------------------------------------------------------------- writing
class _Writer:
    """Lines of a kernel's text, and where each op stands in them: (line, column, end column), lines from 0."""

    def __init__(self, kernel: Kernel) -> None:
        self.lines: list[str] = []
        self.places: dict[Op, tuple[int, int, int]] = {}
        self.names: dict[Value, str] = {}
        self._used: dict[str, int] = {}
        self.kernel(kernel)

    def name(self, value: Value) -> str:
        """The value's name made unique: a second `x` is `x.1`, in the order in which the text mentions them."""
        if value not in self.names:
            base = _SUFFIX.sub("", re.sub(r"[^\w.]", "_", value.name)) or "v"
            count = self._used.get(base, 0)
            self._used[base] = count + 1
            self.names[value] = f"%{base}.{count}" if count else f"%{base}"
        return self.names[value]

    def operand(self, arg: Operand) -> str:
        if isinstance(arg, Span):
            parts = [self.operand(arg.start), str(arg.extent)] + ([] if arg.stop is None else [self.operand(arg.stop)])
            return f"span({', '.join(parts)})"
        return literal(arg) if isinstance(arg, Const) else self.name(arg)

    def bindings(self, values: Iterable[Value]) -> str:
        return ", ".join(f"{self.name(v)}: {v.type}" for v in values)

    def kernel(self, kernel: Kernel) -> None:
        head = f"kernel @{kernel.name}({self.bindings(kernel.params)}"
        head += f"; {self.bindings(kernel.dims)})" if kernel.dims else ")"
        head += f" facts({', '.join(f'{name}: {divisor}' for name, divisor in kernel.facts)})" if kernel.facts else ""
        self.lines.append(head + (f" {_attrs(kernel.attrs)}" if kernel.attrs else "") + " {")
        self.body(kernel.body, 2)
        self.lines.append("}")

    def body(self, body: Body, indent: int) -> None:
        for op in body.ops:
            self.op(op, indent)

    def op(self, op: Op, indent: int) -> None:
        targets = ", ".join(self.name(v) for v in op.results or op.into)
        line = " " * indent + (f"{targets} {'=' if op.results else '<-'} " if targets else "")
        self.places[op] = (len(self.lines), len(line), len(line) + len(op.name))
        line += f"{op.name}({', '.join(self.operand(a) for a in op.args)})" + (_attrs(op.attrs) if op.attrs else "")
        line += f" : {', '.join(str(v.type) for v in op.results)}" if op.results else ""
        self.lines.append(line)
        for n, body in enumerate(op.bodies):
            if n:
                self.lines.append(" " * indent + "}")
            self.lines[-1] += " {" + (f" |{self.bindings(body.params)}|" if body.params else "")
            self.body(body, indent + 2)
        if op.bodies:
            self.lines.append(" " * indent + "}")


def show(kernel: Kernel) -> str:
    """The kernel as text; parsed and shown again it is the same text."""
    return "\n".join(_Writer(kernel).lines) + "\n"


def place_of(kernel: Kernel, op: Op) -> Loc | None:
    """Where `op` stands in show(kernel); None if it is not in the kernel."""
    writer = _Writer(kernel)
    if op not in writer.places:
        return None
    line, column, end = writer.places[op]
    return Loc(f"<{kernel.name}>", line + 1, column, end, writer.lines[line])


def names_of(kernel: Kernel) -> dict[Value, str]:
    """What show(kernel) calls each value, without the per cent sign."""
    return {value: name[1:] for value, name in _Writer(kernel).names.items()}


def literal(const: Const) -> str:
    """A literal operand: a bare integer is index, a bare float f32; other types are written after a colon."""
    if const.dtype is BOOL:
        return "true" if const.value else "false"
    text = repr(float(const.value)) if const.dtype.kind == "f" else str(int(const.value))
    return text if const.dtype in (INDEX, F32) else f"{text}:{const.dtype}"


def _attrs(attrs: Sequence[tuple[str, Any]]) -> str:
    return f"[{', '.join(f'{name}={_constant(value)}' for name, value in attrs)}]"


def _constant(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_constant(v) for v in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, TileType) and not value.shape and value.place is None:
        return f"tile<{value.dtype}>"                  # a bare name is the dtype
    if isinstance(value, (DType, TileType)):
        return str(value)
    words: dict[Any, str] = {None: "none", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    check(isinstance(value, (int, float, str)), f"an attribute must be a number, text, type or tuple, got {value!r}")
    return json.dumps(value) if isinstance(value, str) else repr(value)


# ---------------------------------------------------------------- reading
@cache
def _parser() -> Lark:
    return Lark.open("ir.lark", rel_to=__file__, start="kernel", parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(text: str, file: str = "<ir>") -> Kernel:
    """The kernel that `text` describes; each op's `loc` is its place in the text.

    Raises DslError for text that is not in the grammar, for a name that is used before it is bound or bound twice, and for unknown dtypes
    and spaces.  Anything else that is wrong is for `verify` to find.
    """
    source = _Source(text, file)
    try:
        tree = _parser().parse(text)
        return _Reader(source).kernel(_Leaves(source).transform(tree))
    except UnexpectedInput as error:
        raise source.unexpected(error) from None
    except VisitError as error:
        if isinstance(error.orig_exc, DslError):
            raise error.orig_exc from None
        raise


class _Source:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.lines = text, file, text.splitlines() or [""]

    def loc(self, token: Token) -> Loc:
        line, column = token.line or 1, (token.column or 1) - 1
        return Loc(self.file, line, column, column + len(token), self.lines[line - 1])

    def unexpected(self, error: UnexpectedInput) -> DslError:
        """The message for text that is not in the grammar: what was expected (at most five things) and what was found."""
        if isinstance(error, UnexpectedToken) and error.token.type != "$END":
            found, loc = f"'{error.token}'", self.loc(error.token)
        elif isinstance(error, UnexpectedCharacters):
            found, loc = f"'{error.char}'", Loc(self.file, error.line, error.column - 1, error.column, self.lines[error.line - 1])
        else:
            found, loc = "the end of the text", Loc(self.file, len(self.lines), len(self.lines[-1]), len(self.lines[-1]), self.lines[-1])
        accepted = error.accepts if isinstance(error, UnexpectedToken) else getattr(error, "allowed", None)
        words = sorted({_word(t) for t in accepted or () if t not in ("COMMENT", "$END") and not t.startswith("__")})
        words = [*words[:5], ".."] if len(words) > 6 else words
        expected = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "nothing more"
        return DslError(f"expected {expected}, found {found}", loc)


_WORDS = {"VALUE": "a %name", "NAME": "a name", "NUMBER": "a number", "STRING": "a string", "SYMBOL": "a @name", "SIGN": "an operator", "BOOL": "a bool"}


def _word(terminal: str) -> str:
    return _WORDS.get(terminal) or f"'{_parser().get_terminal(terminal).pattern.value}'"


@v_args(inline=True)
class _Leaves(Transformer[Token, Any]):
    """Types, attributes and literals; ops, bodies and the values they name stay trees for `_Reader`."""

    def __init__(self, source: _Source) -> None:
        super().__init__()
        self.source = source

    def dtype(self, name: Token) -> DType:
        check(str(name) in DTYPES, f"{name} is not a dtype", self.source.loc(name), hint="one of " + " ".join(DTYPES))
        return DTYPES[str(name)]

    def _int(self, number: Token) -> int:
        check(re.fullmatch(r"-?\d+", number), f"expected an integer, found {number}", self.source.loc(number))
        return int(number)

    def number(self, number: Token, dtype: Token | None) -> Const:
        default = INDEX if re.fullmatch(r"-?\d+", number) else F32
        kind = self.dtype(dtype) if dtype else default
        return Const(float(number) if kind.kind == "f" else self._int(number), kind)

    def truth(self, text: Token) -> Const:
        return Const(str(text) == "true", BOOL)

    def scalar_type(self, name: Token) -> TileType:
        return TileType(self.dtype(name))

    def tile(self, name: Token, *rest: Any) -> TileType:
        return TileType(self.dtype(name), tuple(self._int(n) for n in rest[:-1]), rest[-1])

    def place(self, name: Token, strides: Any, swizzle: Any, offset: Token | None, slots: Token | None) -> Place:
        spaces = {str(s): s for s in Space}
        check(str(name) in spaces, f"{name} is not a space", self.source.loc(name), hint="one of " + " ".join(spaces))
        check(swizzle is None or len(swizzle) == 3, "a swizzle is (bits, base, shift)", self.source.loc(name))
        at = None if offset is None else self._int(offset)
        return Place(spaces[str(name)], Layout(strides, swizzle), at, 1 if slots is None else self._int(slots))

    def tensor(self, name: Token, *rest: Any) -> TensorType:
        *dims, packing, unit, aligned = rest
        return TensorType(self.dtype(name), tuple(dims), packing, unit or (), aligned is not None)

    @v_args(inline=False, meta=True)
    def dim(self, meta: Any, _parts: list[Any]) -> str:
        return self.source.text[meta.start_pos:meta.end_pos]

    def packing(self, word: Token, axis: Token, *order: Token) -> Packing:
        how = str(order[0]) if order[0].type == "NAME" else tuple(self._int(n) for n in order)
        return Packing(self.dtype(word), self._int(axis), how)

    def ints(self, *numbers: Token) -> tuple[int, ...]:
        return tuple(self._int(n) for n in numbers)

    def facts(self, *parts: Token) -> tuple[tuple[str, int], ...]:
        return tuple((str(name), self._int(n)) for name, n in zip(parts[::2], parts[1::2], strict=True))

    def attr(self, name: Token, value: Any) -> tuple[str, Any]:
        return str(name), value

    def plain(self, number: Token) -> int | float:
        return int(number) if re.fullmatch(r"-?\d+", number) else float(number)

    def string(self, text: Token) -> str:
        return str(json.loads(text))

    def boolean(self, text: Token) -> bool:
        return bool(text == "true")

    def nothing(self) -> None:
        return None

    def items(self, *items: Any) -> tuple[Any, ...]:
        return items

    attrs = items


class _Reader:
    """Binds names to values, top down, so that a name is known only after the text has bound it."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.values: dict[str, Value] = {}

    def bind(self, token: Token, kind: Type) -> Value:
        name = str(token)[1:]
        check(name not in self.values, f"{token} is bound twice", self.source.loc(token), hint="a name stands for one value in the whole kernel")
        self.values[name] = Value(name, kind)
        return self.values[name]

    def value(self, token: Token) -> Value:
        check(str(token)[1:] in self.values, f"{token} is not defined here", self.source.loc(token))
        return self.values[str(token)[1:]]

    def bindings(self, tree: Any) -> tuple[Value, ...]:
        parts: list[Any] = tree.children if tree is not None else []
        return tuple(self.bind(token, kind) for token, kind in zip(parts[::2], parts[1::2], strict=True))

    def scalar(self, node: Any) -> Arg:
        return node if isinstance(node, Const) else self.value(node.children[0])

    def operand(self, node: Any) -> Operand:
        if isinstance(node, Const) or node.data == "value":
            return self.scalar(node)
        start, extent, stop = node.children
        check(re.fullmatch(r"\d+", extent), f"expected an extent, found {extent}", self.source.loc(extent))
        return Span(self.scalar(start), int(extent), None if stop is None else self.scalar(stop))

    def kernel(self, tree: Any) -> Kernel:
        symbol, params, dims, facts, attrs, *ops = tree.children
        bound = self.bindings(params), self.bindings(dims)
        return Kernel(str(symbol)[1:], *bound, Body((), tuple(map(self.op, ops))), facts or (), attrs or (), self.source.loc(symbol))

    def body(self, tree: Any) -> Body:
        params, *ops = tree.children
        return Body(self.bindings(params), tuple(self.op(op) for op in ops))

    def op(self, tree: Any) -> Op:
        targets, name, operands, attrs, types, *bodies = tree.children
        args = tuple(self.operand(node) for node in (operands.children if operands else ()))
        inner = tuple(self.body(body) for body in bodies)
        tokens: list[Token] = targets.children[0].children if targets else []
        binds = bool(targets) and targets.children[0].data == "results"
        kinds: list[Type] = types.children if types else []
        loc = self.source.loc(name)
        check(len(kinds) == (len(tokens) if binds else 0), f"{name}: {len(tokens) if binds else 0} results, {len(kinds)} types given", loc)
        results = tuple(self.bind(token, kind) for token, kind in zip(tokens, kinds, strict=True)) if binds else ()
        into = () if binds else tuple(self.value(token) for token in tokens)
        return Op(str(name), args, attrs or (), results, inner, into, loc)

