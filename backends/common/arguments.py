"""The argument block of a launcher and what a kernel makes of it, for every target of the C family."""
from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from dslc.ir import Kernel, Op, Value, used_values
from dslc.render import Scope
from dslc.runtime.abi import Field, c_type

from .reserved import KEYWORDS


def needed(sinks: list[Op], ops: tuple[Op, ...]) -> list[Op]:
    """The scalar ops that these depend on, in order."""
    wanted = {v for op in sinks for v in used_values(op)}
    out: list[Op] = []
    for op in reversed(ops):
        if op.name != "assume" and any(r in wanted for r in op.results):
            out.append(op)
            wanted |= set(used_values(op))
    return out[::-1]


def launcher_of(scope: Scope, prologue: tuple[Op, ...], needed: list[Op], rest: tuple[Op, ...]) -> tuple[str, list[dict[str, Any]]]:
    """The launcher's own scalars, and the conditions it checks with the status each fails with."""
    assumed = [op for op in (*prologue, *rest) if op.name == "assume"]
    scope.line = None
    text = scope.body((*prologue, *needed))
    return text, [{"condition": scope.atom(op.args[0]), "status": scope.fails("assume: does not hold for these arguments", op)} for op in assumed]


def coordinate(n: int, extents: list[str]) -> str:
    """The n-th coordinate of a program: the last one runs fastest."""
    below = extents[n + 1:]
    text = "program" if not below else f"program / {below[0]}" if len(below) == 1 else f"program / ({' * '.join(below)})"
    return text if n == 0 else f"{text} % {extents[n]}"


def member_names(members: tuple[Field, ...]) -> dict[tuple[str, str], str]:
    """The C name of each member: the parameter's, unless that is a keyword or taken."""
    names: dict[tuple[str, str], str] = {}
    for f in members:
        name = f"{f.name}_stride" if f.kind == "strides" else f.name
        while name in KEYWORDS or name in names.values():
            name += "_"
        names[f.kind, f.name] = name
    return names


def member(f: Field, name: str) -> dict[str, str]:
    """A member of the argument block as a declaration in C."""
    if f.kind == "pointer":
        return {"declaration": f"{'' if f.written else 'const '}{c_type(f.dtype)} *{name}", "note": f.note}
    if f.kind == "strides":
        return {"declaration": f"int64_t {name}[{max(f.count, 1)}]", "note": ""}
    return {"declaration": f"{c_type(f.dtype)} {name}", "note": ""}


def locals_of(members: tuple[Field, ...], names: dict[tuple[str, str], str], kernel: Kernel, scope: Scope) -> list[tuple[str, str]]:
    """(name, declaration) of everything that comes with the call."""
    by_name: dict[str, Value] = {v.name: v for v in (*kernel.params, *kernel.dims)}
    rows: list[tuple[str, str]] = []
    for f in members:
        v = by_name[f.name]
        name, member = scope.name(v), f"arguments.{names[f.kind, f.name]}"
        if f.kind == "pointer":
            assert f.dtype is not None
            ctype = scope.type(f.dtype if v.tensor.packing else v.tensor.dtype)
            const = "" if f.written else "const "
            rows.append((name, f"{const}{ctype} *const {name} = ({const}{ctype} *){member};"))
        elif f.kind == "strides":
            strides = scope.name_of_strides(name)
            rows.append((strides, f"const int64_t *const {strides} = {member};"))
        else:
            ctype = "index_t" if f.dtype is None else scope.type(f.dtype)
            value = member if f.dtype is None or f.dtype.kind != "f" or f.dtype.bits >= 32 else f"{ctype}{{{member}}}"
            rows.append((name, f"const {ctype} {name} = {value};"))
    return rows


def word(name: str, text: str) -> bool:
    """Whether `name` stands in `text` as a word, comments aside."""
    return re.search(rf"\b{re.escape(name)}\b", _code(text)) is not None


@lru_cache(maxsize=16)
def _code(text: str) -> str:
    return re.sub(r"//.*", "", text)


def used(rows: list[tuple[str, str]], text: str) -> str:
    """The declarations of names that `text` mentions."""
    return "\n".join(declaration for name, declaration in rows if word(name, text))
