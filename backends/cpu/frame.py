"""What the skeletons are given: the argument block, the prologue, the programs' body, and what can fail."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dslc.ir import Kernel, Op, Value, used_values, walk
from dslc.passes.lifetimes import arena_bytes
from dslc.render import FIRST_SITE, Scope
from dslc.runtime.abi import Field, c_type, fields
from dslc.types import Space

from . import KEYWORDS
from .describe import panel_bytes


def frame(kernel: Kernel, scope: Scope) -> dict[str, Any]:
    """The context of kernel.cpp.j2 and kernel.h.j2."""
    scope.bases, need = {}, 0
    for space, size in sorted(arena_bytes(kernel).items(), key=lambda row: row[0].value):
        scope.bases[space] = need
        need += size
    for space in Space:
        scope.bases.setdefault(space, need)
    members = fields(kernel)
    names = _member_names(members)
    ops = kernel.body.ops
    at = next(n for n, op in enumerate(ops) if op.name == "grid")
    prologue, grid, rest = ops[:at], ops[at], ops[at + 1:]
    panels = sorted({text for op in walk(kernel.body) if (text := panel_bytes(op, scope))})
    locals_ = _locals(members, names, kernel, scope)
    before = scope.body(prologue)
    extents = [scope.atom(a) for a in grid.args]
    coordinates = [{"name": scope.name(r), "value": _coordinate(n, extents)} for n, r in enumerate(grid.results)]
    body = scope.body(rest)
    launch_ops = _needed([op for op in rest if op.name == "assume"], rest)
    launch, assumptions = _launch(scope, prologue, launch_ops, rest)
    text, launch_text = "\n".join([before, body, *(c["value"] for c in coordinates)]), "\n".join([launch, *extents, *(a["condition"] for a in assumptions)])
    statuses = [{"number": FIRST_SITE + n, "message": message} for n, (message, _) in enumerate(scope.sites)]
    return {"name": kernel.name, "target": "cpu", "origin": Path(kernel.loc.file).name if kernel.loc else "",
            "fields": [_member(f, names[f.kind, f.name]) for f in members],
            "headers": ["tile_types.h", "tile_math.h", "tile_memory.h", *(["tile_dot.h"] if any(op.name == "dot" for op in walk(kernel.body)) else [])],
            "arena": need, "panels": scope.say("largest", panels), "locals": _used(locals_, text), "prologue": before,
            "coordinates": [c for c in coordinates if _word(c["name"], body)],
            "body": body, "launch_locals": _used(locals_, launch_text), "launch_prologue": launch, "assumptions": assumptions, "extents": extents,
            "statuses": statuses}


def _needed(sinks: list[Op], ops: tuple[Op, ...]) -> list[Op]:
    """The scalar ops that these depend on, in order."""
    wanted = {v for op in sinks for v in used_values(op)}
    out: list[Op] = []
    for op in reversed(ops):
        if op.name != "assume" and any(r in wanted for r in op.results):
            out.append(op)
            wanted |= set(used_values(op))
    return out[::-1]


def _launch(scope: Scope, prologue: tuple[Op, ...], needed: list[Op], rest: tuple[Op, ...]) -> tuple[str, list[dict[str, Any]]]:
    assumed = [op for op in (*prologue, *rest) if op.name == "assume"]
    scope.line = None
    text = scope.body((*prologue, *needed))
    return text, [{"condition": scope.atom(op.args[0]), "status": scope.fails("assume: does not hold for these arguments", op)} for op in assumed]


def _coordinate(n: int, extents: list[str]) -> str:
    """The n-th coordinate of a program: the last one runs fastest."""
    below = extents[n + 1:]
    text = "program" if not below else f"program / {below[0]}" if len(below) == 1 else f"program / ({' * '.join(below)})"
    return text if n == 0 else f"{text} % {extents[n]}"


def _member_names(members: tuple[Field, ...]) -> dict[tuple[str, str], str]:
    """The C name of each member: the parameter's, unless that is a keyword or taken."""
    names: dict[tuple[str, str], str] = {}
    for f in members:
        name = f"{f.name}_stride" if f.kind == "strides" else f.name
        while name in KEYWORDS or name in names.values():
            name += "_"
        names[f.kind, f.name] = name
    return names


def _member(f: Field, name: str) -> dict[str, str]:
    if f.kind == "pointer":
        return {"declaration": f"{'' if f.written else 'const '}{c_type(f.dtype)} *{name}", "note": f.note}
    if f.kind == "strides":
        return {"declaration": f"int64_t {name}[{max(f.count, 1)}]", "note": ""}
    return {"declaration": f"{c_type(f.dtype)} {name}", "note": ""}


def _locals(members: tuple[Field, ...], names: dict[tuple[str, str], str], kernel: Kernel, scope: Scope) -> list[tuple[str, str]]:
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


def _word(name: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _used(rows: list[tuple[str, str]], text: str) -> str:
    return "\n".join(declaration for name, declaration in rows if _word(name, text))
