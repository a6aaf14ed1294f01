"""What the skeletons are given: the argument block, the prologue, the programs' body, and what can fail."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from dslc.ir import Kernel, walk
from dslc.passes.lifetimes import arena_bytes
from dslc.render import FIRST_SITE, Scope
from dslc.runtime.abi import fields
from dslc.types import Space

from ..common.arguments import coordinate, launcher_of, locals_of, member, member_names, needed, used, word
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
    names = member_names(members)
    ops = kernel.body.ops
    at = next(n for n, op in enumerate(ops) if op.name == "grid")
    prologue, grid, rest = ops[:at], ops[at], ops[at + 1:]
    panels = sorted({text for op in walk(kernel.body) if (text := panel_bytes(op, scope))})
    locals_ = locals_of(members, names, kernel, scope)
    before = scope.body(prologue)
    extents = [scope.atom(a) for a in grid.args]
    coordinates = [{"name": scope.name(r), "value": coordinate(n, extents)} for n, r in enumerate(grid.results)]
    body = scope.body(rest)
    launch_ops = needed([op for op in rest if op.name == "assume"], rest)
    launch, assumptions = launcher_of(scope, prologue, launch_ops, rest)
    text, launch_text = "\n".join([before, body, *(c["value"] for c in coordinates)]), "\n".join([launch, *extents, *(a["condition"] for a in assumptions)])
    statuses = [{"number": FIRST_SITE + n, "message": message} for n, (message, _) in enumerate(scope.sites)]
    return {"name": kernel.name, "target": "cpu", "origin": Path(kernel.loc.file).name if kernel.loc else "",
            "fields": [member(f, names[f.kind, f.name]) for f in members],
            "headers": ["tile_types.h", "tile_math.h", "tile_memory.h", *(["tile_dot.h"] if any(op.name == "dot" for op in walk(kernel.body)) else [])],
            "arena": need, "panels": scope.say("largest", panels), "locals": used(locals_, text), "prologue": before,
            "coordinates": [c for c in coordinates if word(c["name"], body)],
            "body": body, "launch_locals": used(locals_, launch_text), "launch_prologue": launch, "assumptions": assumptions, "extents": extents,
            "statuses": statuses}
