"""What the machine code of a built kernel uses and is made of: registers, spills, shared memory, occupancy, the instructions of its main loop.

Instructions are counted in PTX, which every build leaves behind, and in the device's own code (SASS) where nvdisasm is found: in a CUDA toolkit, in the wheel
nvidia-cuda-nvdisasm (5 MB; 13.2 and later read 13.0's code), or beside triton. The main loop is the innermost loop with the most matrix instructions, or, where
there are none, with the most instructions.
"""
from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dslc.errors import DslError
from dslc.ir import Kernel

from ..common.gpu.choices import chosen
from .toolchain import Resources, find_nvcc


@dataclass(frozen=True)
class Limits:
    """Of one multiprocessor (SM).  Shared memory in bytes: of the SM, and at most of one block; each block takes `reserved` of the SM's besides."""

    registers: int
    warps: int
    blocks: int
    shared: int
    shared_per_block: int
    reserved: int = 1024
    register_unit: int = 256                     # registers are given to a warp by so many


# CUDA C++ Programming Guide 13.0, section "Compute Capabilities", tables of technical specifications; register_unit: cuda_occupancy.h.
LIMITS = {
    "80": Limits(65536, 64, 32, 167936, 166912),
    "86": Limits(65536, 48, 16, 102400, 101376),
    "87": Limits(65536, 48, 16, 167936, 166912),
    "89": Limits(65536, 48, 24, 102400, 101376),
    "90": Limits(65536, 64, 32, 233472, 232448),
    "100": Limits(65536, 64, 32, 233472, 232448),
    "120": Limits(65536, 48, 24, 102400, 101376),
}
# Instructions by what they do, the first pattern that fits the start of the name counts.
PTX_KINDS = (("wgmma", r"wgmma\.mma_async"), ("mma", r"mma\."), ("tensor copy", r"cp\.async\.bulk\.tensor"), ("async copy", r"cp\.async\.c[ag]"),
             ("ldmatrix", r"ldmatrix"), ("stmatrix", r"stmatrix"), ("shared load", r"ld\.shared"), ("shared store", r"st\.shared"),
             ("global load", r"ld(\.volatile)?(\.global)"), ("global store", r"st\.global"), ("local memory", r"(ld|st)\.local"),
             ("barrier", r"(bar|barrier|mbarrier|fence|wgmma)\b"), ("special function", r"(ex2|lg2|rsqrt|rcp|sqrt|sin|cos)\."), ("shuffle", r"shfl"),
             ("conversion", r"cvt\."), ("fma", r"fma\."), ("float", r"(add|sub|mul|min|max|div)(\.\w+)*\.f"), ("branch", r"bra|ret|call"))
SASS_KINDS = (("wgmma", r"[HIQ]GMMA"), ("mma", r"[HID]MMA|QMMA"), ("tensor copy", r"UTMA"), ("async copy", r"LDGSTS"), ("ldmatrix", r"LDSM"),
              ("stmatrix", r"STSM"), ("shared load", r"LDS"), ("shared store", r"STS"),
              ("global load", r"LDG|LD\b"), ("global store", r"STG|ST\b"), ("local memory", r"LDL|STL"),
              ("barrier", r"BAR|SYNCS|WARPSYNC|WARPGROUP|FENCE|DEPBAR|LDGDEPBAR|MEMBAR"), ("special function", r"MUFU"), ("shuffle", r"SHFL"),
              ("conversion", r"F2F|F2I|I2F|FRND|I2I"), ("fma", r"[FDH]FMA"), ("float", r"[FDH](ADD|MUL|MNMX|SETP)"),
              ("branch", r"BRA|EXIT|CALL|RET|BSYNC|BSSY"))
MATRIX = ("wgmma", "mma")


@dataclass(frozen=True)
class Loop:
    """The instructions of the main loop by kind, of one trip; `unrolled` matrix instructions of one shape each are counted one by one."""

    source: str                                  # "PTX" or "SASS"
    instructions: int
    kinds: dict[str, int]


@dataclass(frozen=True)
class MachineCode:
    """A kernel as built.  shared: bytes of a block, static and dynamic.  blocks_per_sm: as the fullest resource, `bound`, allows."""

    resources: Resources
    workers: int
    shared: int
    blocks_per_sm: int
    occupancy: float                             # warps at once, of those the SM could hold
    bound: str
    loops: tuple[Loop, ...]
    disassembler: str                            # "" where there is none


def machine_code(folder: Path, name: str, workers: int, shared_bytes: int) -> list[MachineCode]:
    """Of every kernel in the build of `name` in `folder`; `shared_bytes`: dynamic shared memory of a block.  DslError if the build left no record."""
    try:
        record = json.loads((folder / f"{name}.resources.json").read_text())
        ptx = (folder / f"{name}.ptx").read_text()
    except OSError as error:
        raise DslError(f"{folder} holds no build by nvcc: {error.strerror}: {error.filename}") from None
    tool = find_disassembler()
    sass = disassembled(tool, folder / f"{name}.cubin") if tool else ""
    rows = []
    for fields in record["kernels"]:
        found = Resources(**{**fields, "remarks": tuple(fields["remarks"])})
        shared = found.shared + shared_bytes
        blocks, bound = blocks_per_sm(found.architecture, found.registers, workers, shared)
        warps = -(-workers // 32)
        loops = [main_loop("PTX", ptx_body(ptx, found.kernel), PTX_KINDS), main_loop("SASS", sass_body(sass, found.kernel), SASS_KINDS)]
        rows.append(MachineCode(found, workers, shared, blocks, blocks * warps / limits_of(found.architecture).warps, bound,
                                tuple(loop for loop in loops if loop), str(tool or "")))
    return rows


def inspect(folder: Path, kernel: Kernel) -> str:
    """What `dslc inspect` prints of a build: a line for the kernel and one for its main loop in each form that could be read."""
    rows = chosen(kernel)
    for found in machine_code(folder, kernel.name, kernel.attr("threads") or kernel.attr("workers"), kernel.attr("shared", 0)):
        used = found.resources
        spilled = f"{used.spill_stores} and {used.spill_loads} bytes of spill stores and loads, {used.stack} bytes of stack"
        rows.append(f"  {used.kernel}  {used.registers} registers a thread, {spilled}; {found.shared} bytes of shared memory, {used.barriers} barriers; "
                    f"{found.blocks_per_sm} blocks on a multiprocessor, {found.occupancy:.0%} of its warps, bound by {found.bound}")
        rows += [f"  remark  {remark}" for remark in used.remarks]
        for loop in found.loops:
            kinds = ", ".join(f"{n} {kind}" for kind, n in loop.kinds.items() if n)
            rows.append(f"  main loop  {loop.source}: {loop.instructions} instructions: {kinds}")
        if not found.disassembler:
            rows.append("  no disassembler was found: pip install nvidia-cuda-nvdisasm")
    return "\n".join(rows)


def limits_of(architecture: str) -> Limits:
    """Of "sm_90a" and the like.  DslError if they are not known."""
    digits = re.sub(r"\D", "", architecture)
    if digits not in LIMITS:
        raise DslError(f"the limits of {architecture} are not known", hint=f"known: {', '.join(f'sm_{n}' for n in LIMITS)}")
    return LIMITS[digits]


def blocks_per_sm(architecture: str, registers: int, workers: int, shared: int) -> tuple[int, str]:
    """How many blocks an SM holds at once, and what allows no more."""
    limits, warps = limits_of(architecture), -(-workers // 32)
    per_warp = -(-max(registers, 1) * 32 // limits.register_unit) * limits.register_unit
    # Registers lie in four parts, one for each scheduler, and warps go to them in turn.
    warps_by_registers = limits.registers // 4 // per_warp * 4
    rows = [(limits.blocks, "blocks"), (limits.warps // warps, "warps"), (warps_by_registers // warps, "registers")]
    if shared > limits.shared_per_block:
        return 0, "shared memory"
    rows.append((limits.shared // (-(-shared // 128) * 128 + limits.reserved), "shared memory"))     # given out by 128 bytes
    return min(rows)


# ---------------------------------------------------------------- instructions
@dataclass(frozen=True)
class Line:
    """An instruction and its labels, the label it may jump to, and whether the next line may follow it."""

    name: str
    labels: tuple[str, ...] = ()
    jumps_to: str = ""
    goes_on: bool = True


_INSTRUCTION = re.compile(r"(?P<guard>@!?%?\w+\s+)?(?P<name>[a-z][\w.:]*)\s*(?P<operands>.*)", re.S)


def ptx_body(text: str, kernel: str) -> list[Line]:
    """The instructions of one entry function, those of inline texts among them."""
    rows: list[Line] = []
    labels: list[str] = []
    found = re.search(rf"\.entry {re.escape(kernel)}\b.*?^\{{(.*?)(?=^\s*(?:\.visible |\.weak )?\.(?:entry|func)\b|\Z)", text, re.S | re.M)
    plain = re.sub(r"//[^\n]*", "", found[1]) if found else ""
    for piece in re.split(r"[;\n](?![^{]*\}[^{};]*;)", plain):
        words = piece.strip().lstrip("{} \t")
        while label := re.match(r"(\$?\w+):\s*", words):
            labels.append(label[1])
            words = words[label.end():]
        code = _INSTRUCTION.fullmatch(words)
        if code:
            jump = re.match(r"\$?\w+", code["operands"]) if code["name"].startswith("bra") else None
            ends = not code["guard"] and re.match(r"(bra|ret|exit|trap)\b", code["name"])
            rows.append(Line(code["name"], tuple(labels), jump[0] if jump else "", not ends))
            labels = []
    return rows


def sass_body(text: str, kernel: str) -> list[Line]:
    """The instructions of one kernel, as nvdisasm writes them."""
    found = re.search(rf"^\.text\.{re.escape(kernel)}:\n(.*?)(?=^\.text\.|^\s*\.section|\Z)", text, re.S | re.M)
    rows: list[Line] = []
    labels: list[str] = []
    for line in found[1].splitlines() if found else []:
        label = re.match(r"\s*(\.L\w+):", line)
        if label:
            labels.append(label[1])
        code = re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*)", line)
        if code:
            jump = re.search(r"`\((\.L\w+)\)", code[3]) if code[2].startswith("BRA") else None
            ends = not code[1] and (code[2] in ("EXIT", "RET.REL.NODEC") or (jump is not None and code[3].startswith("`")))
            rows.append(Line(code[2], tuple(labels), jump[1] if jump else "", not ends))
            labels = []
    return rows


# ---------------------------------------------------------------- loops
def loops(lines: Sequence[Line]) -> list[frozenset[int]]:
    """The lines of each natural loop: what reaches a jump back to a line through which every way to that jump leads, without passing that line."""
    at = {label: i for i, line in enumerate(lines) for label in line.labels}
    after = [[*([i + 1] if line.goes_on and i + 1 < len(lines) else []), *([at[line.jumps_to]] if line.jumps_to in at else [])]
             for i, line in enumerate(lines)]
    before: list[list[int]] = [[] for _ in lines]
    for i, targets in enumerate(after):
        for j in targets:
            before[j].append(i)
    found: dict[int, set[int]] = {}
    for i, line in enumerate(lines):
        head = at.get(line.jumps_to)
        if head is not None and i not in reached_without(0, head, after):
            found.setdefault(head, {head}).update(reached_without(i, head, before))
    return [frozenset(body) for body in found.values()]


def reached_without(start: int, head: int, edges: Sequence[Sequence[int]]) -> set[int]:
    """Lines that are reached from `start`, itself one of them, when `head` is taken out."""
    seen, work = ({start}, [start]) if start != head else (set(), [])
    while work:
        for i in edges[work.pop()]:
            if i != head and i not in seen:
                seen.add(i)
                work.append(i)
    return seen


def kinds_of(lines: Sequence[Line], kinds: Sequence[tuple[str, str]]) -> dict[str, int]:
    """How many instructions of each kind; the rest is integer and other work."""
    counted = Counter(next((kind for kind, pattern in kinds if re.match(pattern, line.name)), "other") for line in lines)
    return {kind: counted[kind] for kind in (*(k for k, _ in kinds), "other") if counted[kind]}


def main_loop(source: str, lines: Sequence[Line], kinds: Sequence[tuple[str, str]]) -> Loop | None:
    """The innermost loop with the most matrix instructions; None if there is no loop.  One that only waits hides no loop around it."""
    found = [(weight([lines[i] for i in sorted(body)], kinds), body) for body in loops(lines)]
    most = max((n for n, _ in found), default=0)
    candidates = [body for n, body in found if n == most or n > 0]
    innermost = [body for body in candidates if not any(other < body for other in candidates)]
    if not innermost:
        return None
    body = max(innermost, key=lambda b: (weight([lines[i] for i in sorted(b)], kinds), len(b)))
    return Loop(source, len(body), kinds_of([lines[i] for i in sorted(body)], kinds))


def weight(lines: Sequence[Line], kinds: Sequence[tuple[str, str]]) -> int:
    """How many matrix instructions there are."""
    counted = kinds_of(lines, kinds)
    return sum(counted.get(kind, 0) for kind in MATRIX)


# ---------------------------------------------------------------- disassembling
def find_disassembler() -> Path | None:
    """nvdisasm of the toolkit in use, on PATH, in its wheel or beside triton."""
    try:
        places = [find_nvcc().root / "bin" / "nvdisasm"]
    except DslError:
        places = []
    places.append(Path(shutil.which("nvdisasm") or ""))
    for package, within in (("nvidia", "*/bin/nvdisasm"), ("triton", "backends/nvidia/bin/nvdisasm")):
        found = importlib.util.find_spec(package)
        places += [p for folder in ((found.submodule_search_locations or ()) if found else ()) for p in sorted(Path(folder).glob(within))]
    return next((p for p in places if p.is_file() and os.access(p, os.X_OK)), None)


def disassembled(tool: Path, cubin: Path) -> str:
    """What nvdisasm writes; empty if it cannot read this file."""
    try:
        ended = subprocess.run([str(tool), "-c", str(cubin)], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout if ended.returncode == 0 else ""
