"""What the skeletons of this family are given: the argument block, the kernel's body, the launcher."""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dslc.ir import Kernel, Op, walk
from dslc.render import FIRST_SITE, Scope, parenthesised
from dslc.runtime.abi import fields

from ..arguments import coordinate, launcher_of, locals_of, member, member_names, needed, used, word
from .nests import Notes
from .order import ROWS, Order, program_of_block
from .spread import Spread
from .tiles import owners

Spell = Callable[[Sequence[Op]], tuple[str, str]]


def prepare(kernel: Kernel, scope: Scope, apart: bool = False) -> Notes:
    """Notes about the kernel's places, before anything is spelled; `apart`: the block has other threads than the workers."""
    spreads = {op.result: Spread.parse(op.attr("spread")) for op in walk(kernel.body) if op.name == "alloc" and op.attr("spread")}
    notes = Notes(owners(kernel), spreads, kernel.attr("workers"), kernel.attr("lanes"),
                  scope.say("workers_sync", apart, kernel.attr("workers")), apart)
    scope.notes["gpu"] = notes
    return notes


def frame(kernel: Kernel, scope: Scope, target: str, spell: Spell | None = None, order: Order = ROWS) -> dict[str, Any]:
    """The context of the skeletons.  `spell` gives the text of a program's ops and what the launcher says besides, where that is not all workers'
    one text; notes are then prepared.  `order` of programs, where no schedule says one.
    """
    notes: Notes = scope.notes["gpu"] if spell else prepare(kernel, scope)
    members = fields(kernel)
    names = member_names(members)
    ops = kernel.body.ops
    at = next(n for n, op in enumerate(ops) if op.name == "grid")
    prologue, grid, rest = ops[:at], ops[at], ops[at + 1:]
    locals_ = [(name, _as_pointer(text)) for name, text in locals_of(members, names, kernel, scope)]
    before = scope.body(prologue)
    extents = [scope.atom(a) for a in grid.args]
    coordinates = [{"name": scope.name(r), "value": coordinate(n, extents)} for n, r in enumerate(grid.results)]
    body, launched = spell(rest) if spell else (scope.body(rest), "")
    launch_ops = needed([op for op in rest if op.name == "assume"], rest)
    launch, assumptions = launcher_of(scope, prologue, launch_ops, rest)
    assumptions += [{"condition": parenthesised(condition), "status": scope.fails(message, op)} for (condition, message), op in notes.checks.items()]
    coordinates = [c for c in coordinates if word(c["name"], body)]
    program = program_of_block(kernel, scope, extents, order) if any(word("program", c["value"]) for c in coordinates) else ""
    text = "\n".join([before, body, program, *(c["value"] for c in coordinates)])
    launch_text = "\n".join([launch, launched, *extents, *(a["condition"] for a in assumptions)])
    own = "\n".join(declaration for name, declaration in notes.own.values() if word(name, body))
    statuses = [{"number": FIRST_SITE + n, "message": message} for n, (message, _) in enumerate(scope.sites)]
    host = [(name, text) for name, text in locals_of(members, names, kernel, scope) if not text.startswith(("const index_t *",))]
    return {"name": kernel.name, "target": target, "origin": Path(kernel.loc.file).name if kernel.loc else "",
            "fields": [member(f, names[f.kind, f.name]) for f in members], "workers": kernel.attr("workers"), "shared": kernel.attr("shared", 0),
            "locals": used(locals_, text), "prologue": before if _needed_by(before, f"{body} {program}", coordinates) else "",
            "coordinates": coordinates, "own": own,
            "worker": word("worker", body + own), "program": program, "body": body,
            "launch_locals": used(host, launch_text), "launch_prologue": launch, "assumptions": assumptions, "extents": extents, "statuses": statuses,
            "fails": "fail(status" in body}


def _needed_by(text: str, body: str, coordinates: list[dict[str, str]]) -> bool:
    """Whether anything that the prologue names is read after it."""
    named = re.findall(r"^const \w+ (\w+) =", text, re.MULTILINE)
    after = "\n".join([body, *(c["value"] for c in coordinates)])
    return any(word(n, after) for n in named)


def _as_pointer(text: str) -> str:
    """`const f32 *const a = (const f32 *)arguments.a;` as the family writes it: `const Global<const f32> a = global<const f32>(arguments.a);`"""
    match = re.fullmatch(r"((?:const )?\w+) \*const (\w+) = \(.*?\)(arguments\.\w+);", text)
    if match is None or match[1] == "const int64_t":
        return text
    return f"const Global<{match[1]}> {match[2]} = global<{match[1]}>({match[3]});"
