"""What the skeletons are given: the argument block, the prologue, the programs' body, and what can fail."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from dslc.ir import Kernel, Span, Value, walk
from dslc.ops.structure import REDUCTIONS
from dslc.passes.lifetimes import arena_bytes
from dslc.render import FIRST_SITE, Scope
from dslc.runtime.abi import fields
from dslc.types import Space

from ..common.arguments import coordinate, launcher_of, locals_of, member, member_names, needed, used, word
from .bits import of_pairs
from .describe import panel_bytes
from .ends import Edges
from .extremes import extremes
from .panels import Panels, panels
from .sums import begun


def frame(kernel: Kernel, scope: Scope) -> dict[str, Any]:
    """The context of kernel.cpp.j2 and kernel.h.j2."""
    scope.bases, need = {}, 0
    for space, size in sorted(arena_bytes(kernel).items(), key=lambda row: row[0].value):
        scope.bases[space] = need
        need += size
    for space in Space:
        scope.bases.setdefault(space, need)
    outlets = {op.args[1]: op for op in walk(kernel.body) if op.name == "store" and op.attr("stream")}
    sums, edges = begun(kernel), Edges(kernel)
    summed = {v for op in sums if op.name == "full" for v in op.into}
    # Places of streams and windows that lie inside their tensors in any case, or are used no further than those reach.
    unused = {v for op in walk(kernel.body) if (op.attr("stream") or op.attr("window"))
              and {*op.attr("inside", ()), *edges.covered.get(op, ())} == set(range(op.args[0].tensor.rank))  # type: ignore[union-attr]
              and not any(isinstance(c, Span) and c.stop is not None for c in op.args) for v in (op.into or op.args[1:2]) if v not in summed}
    unused |= {v for op in walk(kernel.body) if op.name == "load" and op.attr("fields") is not None for v in op.into}
    scope.notes.update(single=single(kernel), panels=panels(kernel, scope, edges), begun=sums, edges=edges, row={}, outlets=outlets, homes={}, unused=unused,
                       beside={}, fields={}, packed={}, extremes=extremes(kernel),
                       results=list(dict.fromkeys(op.args[0] for op in outlets.values())))
    results: list[Value] = scope.notes["results"]
    scope.notes["past"] = {scope.name(v): scope.fresh(f"{scope.name(v)}_past") for v in results}
    members = fields(kernel)
    names = member_names(members)
    ops = kernel.body.ops
    at = next(n for n, op in enumerate(ops) if op.name == "grid")
    prologue, grid, rest = ops[:at], ops[at], ops[at + 1:]
    scratch = sorted({text for op in walk(kernel.body) if (text := panel_bytes(op, scope))})
    locals_ = locals_of(members, names, kernel, scope)
    before = scope.body(prologue)
    extents = [scope.atom(a) for a in grid.args]
    coordinates = [{"name": scope.name(r), "value": coordinate(n, extents)} for n, r in enumerate(grid.results)]
    body = scope.body(rest)
    launch_ops = needed([op for op in rest if op.name == "assume"], rest)
    launch, assumptions = launcher_of(scope, prologue, launch_ops, rest)
    made = [_made(p, scope) for p in dict.fromkeys(scope.notes["panels"].values())]
    sizes = {scope.name(v): scope.say("elements", [scope.dim(d) for d in v.tensor.dims]) for v in results}
    past = [{"name": name, "type": scope.type(v.tensor.dtype), "elements": sizes[scope.name(v)]}
            for v in results if word(name := scope.notes["past"][scope.name(v)], body)]
    text = "\n".join([before, body, *(c["value"] for c in coordinates), *(p["elements"] for p in past)])
    launch_text = "\n".join([launch, *extents, *(a["condition"] for a in assumptions), *(p["worth"] + p["lay_out"] for p in made)])
    statuses = [{"number": FIRST_SITE + n, "message": message} for n, (message, _) in enumerate(scope.sites)]
    return {"name": kernel.name, "target": "cpu", "origin": Path(kernel.loc.file).name if kernel.loc else "",
            "fields": [member(f, names[f.kind, f.name]) for f in members],
            "headers": ["tile_types.h", "tile_math.h", "tile_memory.h", *(["tile_bits.h"] if any(of_pairs(op) is not None for op in walk(kernel.body)) else []),
                        *(["tile_dot.h"] if any(op.name == "dot" for op in walk(kernel.body)) else []),
                        *(["tile_fields.h"] if any(op.name == "dot" and op.attr("fields") is not None for op in walk(kernel.body)) else []),
                        *(["tile_panels.h"] if made else [])],
            "arena": need, "panels": scope.say("largest", scratch), "locals": used(locals_, text), "prologue": before,
            "coordinates": [c for c in coordinates if word(c["name"], body)],
            "body": body, "launch_locals": used(locals_, launch_text), "launch_prologue": launch, "assumptions": assumptions, "extents": extents,
            "statuses": statuses, "panels_made": made, "past": past}


def single(kernel: Kernel) -> set[Value]:
    """Places of one element that need no address: a loop that reads one in memory, written just before it, g++ 12 does not vectorise."""
    ops = list(walk(kernel.body))
    others = {v for op in ops if op.name not in ("map", "full", "copy", "load", "store", *REDUCTIONS) for v in (*op.uses(), *op.into)}
    return {op.result for op in ops if op.name == "alloc" and op.result.tile.shape and op.result.tile.size == 1} - others


def _made(p: Panels, scope: Scope) -> dict[str, str]:
    """The type of panels, when they are worth it, and the call that makes them."""
    t, name = p.tensor.tensor, scope.name(p.tensor)
    strides = ["1" if d in t.unit else f"{scope.name_of_strides(name)}[{d}]" for d in range(t.rank)]
    axes = [scope.say("axis", scope.dim(dim), stride) for dim, stride in zip(t.dims, strides, strict=True)]
    around = [axes[d] for d in range(t.rank) if d not in (p.rows, p.depth)] or [scope.say("axis", 1, 0)]
    kind, readers = scope.type(t.dtype), " * ".join(scope.atom(r) for r in p.readers)
    return {"name": p.name, "type": scope.say("panels_type", p.left, kind, p.tile[0]),
            "worth": scope.say("worth", p.left, kind, readers, p.others, strides[p.rows], strides[p.depth]),
            "lay_out": scope.say("lay_out", p.name, p.tile, "true" if p.padded else "false", name, axes[p.rows], axes[p.depth], around)}
