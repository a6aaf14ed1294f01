"""What the skeletons are given: the functions of the two units, the kernel's parameters, the launcher."""
from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from dslc.ir import Kernel, Op
from dslc.render import FIRST_SITE, LAST, Scope
from dslc.runtime.abi import Field, fields

from ..common.arguments import coordinate, launcher_of, locals_of, member, member_names, needed, used, word
from . import api, cube, synchronise
from . import split as units
from .describe import Unit
from .limits import BLOCK, L0A_BYTES

CORES = {"vector": ("KERNEL_TYPE_AIV_ONLY", "vector_cores"), "cube": ("KERNEL_TYPE_AIC_ONLY", "ai_cores"), "mixed": ("KERNEL_TYPE_MIX_AIC_1_2", "ai_cores")}
SIDES = {"vector": ("vector",), "cube": ("cube",), "mixed": ("cube", "vector")}
CORE = {"vector": "AIV", "cube": "AIC"}
SAYS = {"vector": "The vector cores: tiles in UB.", "cube": "The cube core: operands in L1, sums in L0C."}


def frame(kernel: Kernel, scope: Scope) -> dict[str, Any]:
    """The context of kernel.cpp.j2 and kernel.h.j2."""
    cores = kernel.attr("cores", "vector")
    members = fields(kernel)
    names = member_names(members)
    given = [row for f in members for row in _parameter(f, names, kernel, scope)]
    units = [_unit(kernel, scope, side, cores == "mixed", given) for side in SIDES[cores]]
    ops = kernel.body.ops
    at = next(n for n, op in enumerate(ops) if op.name == "grid")
    prologue, grid, rest = ops[:at], ops[at], ops[at + 1:]
    launch_ops = needed([op for op in rest if op.name == "assume"], rest)
    launch, assumptions = launcher_of(scope, prologue, launch_ops, rest)
    extents = [scope.atom(a) for a in _extents(grid, cores)]
    host = locals_of(members, names, kernel, scope)
    launch_text = "\n".join([launch, *extents, *(a["condition"] for a in assumptions)])
    text = "\n".join(part for u in units for part in u["texts"])
    workspace = kernel.attr("workspace_bytes")
    fails = word("status", text)
    there = [g for g in given if word(g["name"], text)]
    parameters = {g["name"]: g["type"] for g in there} | ({"workspace": "GM_ADDR"} if workspace else {}) | ({"status": "GM_ADDR"} if fails else {})
    for u in units:
        own = [n for n in parameters if n in u["passed"] or (n in ("workspace", "status") and word(n, "\n".join(u["texts"])))]
        u |= {"parameters": _listed([f"{parameters[n]} {n}" for n in own]), "given": _listed(own, 4)}
    kind, count = CORES[cores]
    statuses = [{"number": FIRST_SITE + n, "message": message} for n, (message, _) in enumerate(scope.sites)]
    return {"name": kernel.name, "target": f"ascend:{kernel.attr('architecture')}", "origin": Path(kernel.loc.file).name if kernel.loc else "",
            "headers": ["tile_ascend.h", *(f"tile_ascend_{side}.h" for side in SIDES[cores][::-1])],
            "fields": [member(f, names[f.kind, f.name]) for f in members], "units": units,
            "parameters": _listed([f"{t} {n}" for n, t in parameters.items()] or ["GM_ADDR nothing"]), "kind": kind, "cores": count,
            "passed": _listed([g["value"] for g in there] + (["workspace"] if workspace else []) + (["status"] if fails else []) or ["(GM_ADDR)nullptr"], 4),
            "workspace": workspace or 0, "fails": fails, "launch_locals": used(host, launch_text), "launch_prologue": launch, "assumptions": assumptions,
            "launch_programs": " * ".join(extents) or "1", "empty": " || ".join(f"{e} <= 0" for e in extents) or "false", "statuses": statuses}


def _listed(items: list[str], indent: int = 0) -> str:
    """The items of a list in lines of a readable length, indented by four more than what begins it."""
    whole = textwrap.fill(", ".join(item.replace(" ", "\0") for item in items), LAST, break_long_words=False, break_on_hyphens=False)
    return whole.replace("\n", "\n" + " " * (indent + 4)).replace("\0", " ")


def _extents(grid: Op, cores: str) -> tuple[Any, ...]:
    """The grid's extents; the last of a mixed kernel's counts its two vector cores."""
    args: tuple[Any, ...] = grid.args
    return args[:-1] if cores == "mixed" else args


def _parameter(f: Field, names: dict[tuple[str, str], str], kernel: Kernel, scope: Scope) -> list[dict[str, str]]:
    """A member of the argument block as parameters of the kernel: name, type, the launcher's value, and what the unit's function makes of it."""
    by_name = {v.name: v for v in (*kernel.params, *kernel.dims)}
    v, argument = by_name[f.name], f"arguments.{names[f.kind, f.name]}"
    name = scope.name(v)
    if f.kind == "pointer":
        assert f.dtype is not None
        ctype = scope.type(f.dtype if v.tensor.packing else v.tensor.dtype)
        return [{"name": scope.fresh(f"{name}_at"), "type": "GM_ADDR", "value": f"(GM_ADDR){argument}", "own": name,
                 "makes": f"const Global<{ctype}> {name} = global<{ctype}>({{}});"}]
    if f.kind == "strides":
        strides = scope.name_of_strides(name)
        return [{"name": scope.fresh(f"{strides}{d}"), "type": "index_t", "value": f"{argument}[{d}]", "own": strides, "makes": ""} for d in range(f.count)]
    ctype = "index_t" if f.dtype is None else scope.type(f.dtype)
    if f.dtype is not None and f.dtype.kind == "f" and f.dtype.bits < 32:
        bits = "u16" if f.dtype.bits == 16 else "u8"
        return [{"name": scope.fresh(f"{name}_bits"), "type": bits, "value": argument, "own": name, "makes": f"const {ctype} {name} = bitcast<{ctype}>({{}});"}]
    return [{"name": name, "type": ctype, "value": argument, "own": name, "makes": ""}]


def _unit(kernel: Kernel, scope: Scope, side: str, mixed: bool, given: list[dict[str, str]]) -> dict[str, Any]:
    """One unit's function."""
    alone, first, last = synchronise.synchronise(units.project(kernel, side))
    here = Unit(scope, alone, side)
    ops = alone.body.ops
    at = next(n for n, op in enumerate(ops) if op.name == "grid")
    prologue, grid, rest = ops[:at], ops[at], ops[at + 1:]
    before = here.body(prologue)
    extents = [here.atom(a) for a in _extents(grid, "mixed" if mixed else side)]
    results = grid.results[:-1] if mixed else grid.results
    coordinates = [{"name": here.name(r), "value": coordinate(n, extents)} for n, r in enumerate(results)]
    start, end = here.body(first), here.body(last)
    opening, closing = "", ""
    if mixed or side == "cube":
        opening, closing = cube.prologue(kernel, side, here), cube.epilogue(kernel, side, here)
    body = here.body(rest)
    coordinates = [c for c in coordinates if word(c["name"], body)]
    sub = here.name(grid.results[-1]) if mixed else ""
    texts = [before, start, body, end, opening, closing, *extents, *(c["value"] for c in coordinates)]
    text = "\n".join(texts)
    api.check(text, CORE[side], kernel.name)
    locals_, passed = [], []
    for g in given:
        if not word(g["own"], text):
            continue
        passed.append(g["name"])
        if g["makes"]:
            locals_.append(g["makes"].format(g["name"]))
    strides: dict[str, list[str]] = {}
    for g in given:
        if g["own"] != g["name"] and not g["makes"] and word(g["own"], text):
            strides.setdefault(g["own"], []).append(g["name"])
    locals_ += [f"const index_t {name}[] = {{{', '.join(parts)}}};" for name, parts in strides.items()]
    region, size = kernel.attr("scratch") or (0, BLOCK)
    vector = side == "vector"
    counters = [f"i32 {name} = 0;" for name in here.counters if word(name, body)]
    return {"unit": side, "core": CORE[side], "says": SAYS[side], "locals": "\n".join(locals_), "prologue": before,
            "ub": kernel.attr("ub_bytes", 0) if vector else 0, "l1": 0 if vector else kernel.attr("l1_bytes", 0), "l0": 0 if vector else L0A_BYTES,
            "l0c": 0 if vector else kernel.attr("l0c_bytes", 0), "scratch": str(region) if word("scratch", body) and vector else "", "scratch_bytes": size,
            "sub": sub if sub and word(sub, text) else "", "first": "\n".join(t for t in (opening, *counters, start) if t),
            "last": "\n".join(t for t in (end, closing) if t),
            "start": "AscendC::GetBlockIdx() / AscendC::GetTaskRatio()" if mixed and vector else "AscendC::GetBlockIdx()", "turns": word("turn", body),
            "programs": " * ".join(extents) or "1", "coordinates": coordinates, "body": body, "passed": passed, "texts": [*texts, *passed]}
