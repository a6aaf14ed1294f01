"""Placed form to source text: one macro per op, one skeleton per file.  Python names and orders; templates spell."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from .backend import Backend
from .errors import DslError
from .ir import Arg, Body, Const, Kernel, Op, Operand, Value, count_uses
from .ops import OPS
from .types import DType, Space

INLINE = 48             # characters: longer scalar expressions get a name of their own, so that lines stay readable
LAST = 110              # characters: the limit for an expression that is a whole right-hand side
_ATOM = re.compile(r"[A-Za-z_0-9.]+")
_CAST = re.compile(r"\(\w+\)[\w.]+(\[[^\[\]]*\])?")       # (type)name binds tighter than any operator between two operands
COMMON = Path(__file__).resolve().parent.parent / "backends" / "common"


@lru_cache(maxsize=8)
def environment(folder: Path) -> jinja2.Environment:
    """The templates of one backend; those it lacks come from common."""
    common = COMMON if COMMON.is_dir() else Path(__file__).resolve().parent / "backends" / "common"
    env = jinja2.Environment(loader=jinja2.FileSystemLoader([folder, common]), undefined=jinja2.StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    env.filters["atom"] = parenthesised
    return env


@lru_cache(maxsize=8)
def macros(folder: Path, files: tuple[str, ...]) -> Mapping[str, Any]:
    """Every macro a backend can use, by op name; of two with one name, that of the later file."""
    env = environment(folder)
    found: dict[str, Any] = {}
    there = env.list_templates()
    for name in [template for template in files if template in there]:
        found.update({k: v for k, v in vars(env.get_template(name).module).items() if callable(v) and not k.startswith("_")})
    return found


class Scope:
    """What rendering one kernel knows: names, spelled expressions of scalars, and how often each value is read."""

    def __init__(self, backend: Backend, kernel: Kernel) -> None:
        self.backend, self.kernel = backend, kernel
        self.macros = macros(backend.folder, backend.macro_files)
        self.names: dict[Value, str] = {}
        self.taken = {word.replace("{name}", kernel.name) for word in backend.reserved}
        self.uses = count_uses(kernel.body)
        self.inlined: dict[Value, str] = {}
        self.sites: list[tuple[str, Any]] = []              # failures that generated code can report, by status number
        self.line: tuple[str, int] | None = None
        self.strides: dict[str, str] = {}
        self.windows: dict[Value, tuple[str, bool]] = {}    # places that are read in their tensor: the window's name, and whether transposed
        self.notes: dict[str, Any] = {}                     # what a target's frame keeps for its descriptions
        self.bases: dict[Space, int] = {}                   # bytes before each space's arena, where a target lays them end to end
        for v in (*kernel.params, *kernel.dims):
            self.name(v)

    # ------------------------------------------------------------ names
    def fresh(self, hint: str) -> str:
        """An identifier nobody has, close to `hint`."""
        base = re.sub(r"\W+", "_", hint).strip("_") or "t"
        base = f"t{base}" if base[0].isdigit() else base
        name, n = base, 1
        while name in self.taken:
            n += 1
            name = f"{base}{n}" if not base[-1].isdigit() else f"{base}_{n}"
        self.taken.add(name)
        return name

    def name(self, v: Value) -> str:
        if v not in self.names:
            self.names[v] = self.fresh(v.name)
        return self.names[v]

    def name_of_strides(self, tensor: str) -> str:
        """The identifier of a tensor's strides."""
        if tensor not in self.strides:
            self.strides[tensor] = self.fresh(f"{tensor}_stride")
        return self.strides[tensor]

    def type(self, dtype: DType) -> str:
        return self.backend.types[dtype.name]

    def dim(self, text: str) -> str:
        """A tensor's dimension, written as in its annotation, in the names of the generated source."""
        by_name = {v.name: self.name(v) for v in self.kernel.dims}
        spelled = re.sub(r"[A-Za-z_]\w*", lambda m: by_name.get(m[0], m[0]), text)
        return spelled if _ATOM.fullmatch(spelled) else f"({spelled})"

    # ------------------------------------------------------------ scalars
    def scalar(self, arg: Operand) -> str:
        """A rank-0 operand as text, not yet in parentheses."""
        if isinstance(arg, Const):
            return self.literal(arg)
        assert isinstance(arg, Value)
        return self.inlined.get(arg) or self.name(arg)

    def atom(self, arg: Operand) -> str:
        """A rank-0 operand that can stand beside an operator."""
        return parenthesised(self.scalar(arg))

    def literal(self, c: Const) -> str:
        return str(self.macros["literal"](**_literal(c, self.type(c.dtype))))

    def expression(self, op: Op, given: Mapping[Arg, str] | None = None) -> str:
        """The text of a scalar op; `given` overrides operands."""
        args = [(given or {}).get(a) or self.scalar(a) for a in op.args if isinstance(a, Value | Const)]
        first = next((a.tile.dtype for a in op.args if isinstance(a, Value | Const)), op.result.tile.dtype)
        source = op.args[-1].tile.dtype if op.name == "where" and isinstance(op.args[-1], Value | Const) else first
        facts = {"type": self.type(op.result.tile.dtype), "of": self.type(source), "field": first.field_mask,
                 **dict(OPS[op.name].attrs), **dict(op.attrs), **(self.backend.describe(op, self) if op.name == "cast" else {})}
        return self.spell(op, dict(zip((p.name for p in OPS[op.name].params), args, strict=False)) | facts)

    def spell(self, op: Op, context: Mapping[str, Any]) -> str:
        """The macro of `op` called with what it asks for."""
        macro = self.macros.get(op.name)
        if macro is None:
            raise DslError(f"{op.name} has no text on target {self.backend.name}", op.loc, hint="see `dslc targets` for what a target lacks")
        missing = [a for a in macro.arguments if a not in context]
        if missing:
            raise ValueError(f"macro {op.name} of {self.backend.name} asks for {missing}, which nothing gives")
        return str(macro(**{a: context[a] for a in macro.arguments}))

    def say(self, macro: str, *args: Any) -> str:
        """A phrase of the target: a macro that is no op."""
        return str(self.macros[macro](*args))

    def fails(self, message: str, op: Op) -> int:
        """The status number by which generated code reports `message` at `op`."""
        self.sites.append((message, op.loc))
        return FIRST_SITE + len(self.sites) - 1

    # ------------------------------------------------------------ ops and bodies
    def comment(self, op: Op) -> list[str]:
        """The kernel's own line above what it became, once per run of ops from it."""
        if op.loc is None or not op.loc.text or (op.loc.file, op.loc.line) == self.line:
            return []
        self.line = (op.loc.file, op.loc.line)
        return [f"// {Path(op.loc.file).name}:{op.loc.line}: {op.loc.text.strip()}"]

    def body(self, ops: Iterable[Op]) -> str:
        """The text of a list of ops."""
        return "\n".join(line for op in ops for line in self.op(op))

    def op(self, op: Op) -> list[str]:
        """Lines of one op, its comment first; none for a scalar that is spelled where it is read."""
        if op.name in ("yield", "assume", "grid"):
            return []
        if OPS[op.name].elementwise and op.results and not op.results[0].tile.shape:
            return self.bind(op, self.expression(op))
        if op.name in ("for", "while", "if"):
            comment = self.comment(op)
            own = self.backend.control(op, self) if self.backend.control is not None else None
            return [*comment, self.control(op) if own is None else own]
        text = self.spell(op, self.backend.describe(op, self) if op.name in self.macros else {})
        return [*self.comment(op), text] if text else []

    def bind(self, op: Op, text: str) -> list[str]:
        """`const type name = text`, or nothing if the one reader will spell it."""
        places = any(v.tile.place is not None for v in op.uses())
        if self.uses.get(op.result, 0) == 1 and len(text) <= INLINE and not places:
            self.inlined[op.result] = text
            return []
        comment = self.comment(op)
        return [*comment, self.say("bind", self.type(op.result.tile.dtype), self.name(op.result), text)]

    def control(self, op: Op) -> str:
        if op.name == "for":
            (index,), start, stop = op.bodies[0].params, op.args[0], op.args[1]
            inner = {"index": self.name(index), "type": self.type(index.tile.dtype), "start": self.scalar(start), "stop": self.scalar(stop),
                     "step": op.attr("step"), "body": self.block(op.bodies[0])}
        elif op.name == "while":
            condition = self.block(op.bodies[0])
            inner = {"setup": condition, "condition": self.scalar(op.bodies[0].result[0]), "body": self.block(op.bodies[1])}
        else:
            condition = self.scalar(op.args[0])
            inner = {"condition": condition, "body": self.block(op.bodies[0]), "orelse": self.block(op.bodies[1])}
        return self.spell(op, inner)

    def block(self, body: Body) -> str:
        self.line = None
        text = self.body(body.ops)
        self.line = None
        return text


FIRST_SITE = 16         # statuses below are the launcher's own: see backends' skeletons


def parenthesised(text: str) -> str:
    """`text`, in parentheses if an operator beside it could bind into it."""
    if _CAST.fullmatch(text):
        return text
    depth = 0
    for n, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and (c in " ?" or (c in "-+*/!~" and n == 0 and len(text) > 1)):
            return f"({text})"
    return text if not text.startswith("(") or _closes_at_end(text) else f"({text})"


def _closes_at_end(text: str) -> bool:
    depth = 0
    for n, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return n == len(text) - 1
    return False


def _literal(c: Const, ctype: str) -> dict[str, Any]:
    """What the literal macro chooses from: the kind of number, its shortest decimal digits, its type."""
    if c.dtype.kind == "b":
        return {"kind": "bool", "digits": "true" if c.value else "false", "type": ctype, "negative": False, "dtype": c.dtype.name}
    if c.dtype.kind == "i":
        v = int(c.value)
        return {"kind": "least" if v == -(2 ** 63) else "int", "digits": str(v), "type": ctype, "negative": v < 0, "dtype": c.dtype.name}
    x = float(np.asarray(c.value).astype(c.dtype.numpy)) if c.dtype.bits < 64 else float(c.value)
    kind = "nan" if x != x else "inf" if x in (float("inf"), float("-inf")) else "float"
    digits = repr(x) if c.dtype.bits == 64 else str(np.float32(x)) if kind == "float" else ""
    digits = digits if kind != "float" or any(ch in digits for ch in ".en") else digits + ".0"
    return {"kind": kind, "digits": digits.lstrip("-"), "type": ctype, "negative": bool(np.signbit(x)), "dtype": c.dtype.name}


def tidy(text: str) -> str:
    """No blanks at line ends, no runs of empty lines."""
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def unspelled(backend: Backend) -> set[str]:
    """Ops that the backend has neither a macro for nor lists as lacking."""
    silent = {"yield", "assume", "grid", "coordinate"}
    return {name for name in OPS if "." not in name} - set(macros(backend.folder, backend.macro_files)) - set(backend.lacks) - silent
