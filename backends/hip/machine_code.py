"""What the compiler made of a kernel, read from its assembly text: registers, spills, occupancy, the main loop's instructions.

Also the banks of shared memory: how many cycles an instruction takes for given addresses.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dslc.errors import DslError

# Registers of one lane on one SIMD, and what they are handed out by: gfx90a and later hold vector and accumulator registers in one file
# (LLVM AMDGPU usage guide, "Kernel Descriptor": granulated_workitem_vgpr_count).  gfx1100: 1536 of a wave of 32, by 24.
_REGISTERS = {"gfx90a": (512, 8), "gfx942": (512, 8), "gfx950": (512, 8), "gfx1100": (1536, 24)}
_WAVES = {"gfx90a": 8, "gfx942": 8, "gfx950": 8, "gfx1100": 16}      # the most waves of one SIMD (same guide)
SIMDS = 4                                                            # of a compute unit; of a work-group processor on gfx1100
# Bytes of shared memory of a compute unit: instruction set references of CDNA2, CDNA3 and CDNA4; RDNA3: 128 KiB for two of 64.
SHARED_BYTES = {"gfx90a": 65536, "gfx942": 65536, "gfx950": 163840, "gfx1100": 65536}


@dataclass(frozen=True)
class Loop:
    """The instructions of one turn of a loop, counted."""

    label: str
    instructions: int
    mfma: int
    valu: int                                               # vector arithmetic and moves that are no MFMA
    accumulator_moves: int                                  # of these, moves between the two halves of the register file
    lds_reads: int
    lds_writes: int
    lds_other: int                                          # permutations through the crossbar, atomics
    global_loads: int
    global_stores: int
    copies: int                                             # from global to shared memory, not through registers
    waits: int
    barriers: int
    scratch: int                                            # accesses of memory for spilled registers
    scalar: int

    @property
    def valu_per_mfma(self) -> float:
        return self.valu / self.mfma if self.mfma else float(self.valu > 0)

    @property
    def lds_reads_per_mfma(self) -> float:
        return self.lds_reads / self.mfma if self.mfma else float(self.lds_reads > 0)

    @property
    def lds_writes_per_mfma(self) -> float:
        return self.lds_writes / self.mfma if self.mfma else float(self.lds_writes > 0)

    @property
    def mfma_share(self) -> float:
        return self.mfma / self.instructions if self.instructions else 0.0


@dataclass(frozen=True)
class MachineCode:
    """One kernel.  vgprs: vector registers of a lane, accumulators among them.  Bytes: scratch of a lane, statically used LDS of a block."""

    kernel: str
    architecture: str
    vgprs: int
    agprs: int
    sgprs: int
    vgpr_spills: int
    sgpr_spills: int
    scratch_bytes: int
    lds_bytes: int
    workers: int
    loop: Loop | None = None
    names: Mapping[str, int] = field(default_factory=dict)   # all instructions of the kernel by name

    def occupancy(self, shared_bytes: int = 0) -> int:
        """Waves of one SIMD that fit by registers, and by `shared_bytes` of dynamic shared memory in a block."""
        total, unit = _REGISTERS[self.architecture]
        waves = min(_WAVES[self.architecture], total // max(unit, -(-self.vgprs // unit) * unit))
        shared = self.lds_bytes + shared_bytes
        if shared and self.workers:
            of_block = -(-self.workers // (32 if self.architecture.startswith("gfx1") else 64))
            waves = min(waves, max(1, SHARED_BYTES[self.architecture] // shared * of_block // SIMDS))
        return waves


def inspect(folder: Path, name: str) -> str:
    """What `dslc inspect` prints of the kernel `name` built in `folder`: a line for each kernel and one for its main loop."""
    try:
        text, source = (folder / f"{name}.s").read_text(), (folder / f"{name}.hip").read_text()
    except OSError as error:
        raise DslError(f"the build of {name} cannot be read: {error.strerror}") from None
    launched = re.search(r"\blaunch\(.*, (\d+), stream\b", source)
    shared = int(launched[1]) if launched else 0
    rows = []
    for k in read(text):
        spills = f"{k.vgpr_spills} vector and {k.sgpr_spills} scalar registers spilled, {k.scratch_bytes} bytes of scratch"
        rows.append(f"  {k.kernel}  {k.vgprs} vector registers, {k.agprs} of them accumulators, {k.sgprs} scalar; {spills}; "
                    f"{k.lds_bytes + shared} bytes of LDS; {k.occupancy(shared)} waves on a SIMD ({k.occupancy()} by registers)")
        if k.loop:
            rows.append(f"  main loop  {_described(k.loop)}")
    return "\n".join(rows)


def _described(loop: Loop) -> str:
    words = (("MFMA", loop.mfma), ("VALU", loop.valu), ("LDS reads", loop.lds_reads), ("LDS writes", loop.lds_writes), ("other LDS", loop.lds_other),
             ("global loads", loop.global_loads), ("global stores", loop.global_stores), ("copies to LDS", loop.copies), ("waits", loop.waits),
             ("barriers", loop.barriers), ("scratch accesses", loop.scratch), ("scalar", loop.scalar))
    per = f"; per MFMA {loop.valu_per_mfma:.2f} VALU, {loop.lds_reads_per_mfma:.2f} LDS reads, {loop.lds_writes_per_mfma:.2f} LDS writes" if loop.mfma else ""
    return f"{loop.instructions} instructions: {', '.join(f'{n} {word}' for word, n in words if n)}{per}"


def read(text: str) -> list[MachineCode]:
    """The kernels in the assembly text of one source."""
    found = re.search(r'\.amdgcn_target\s+"[^"]*--(\w+)', text)
    architecture = found[1] if found else ""
    kernels = []
    metadata = text.partition("amdhsa.kernels:")[2].partition(".end_amdgpu_metadata")[0]
    for entry in re.split(r"^  - ", metadata, flags=re.M)[1:]:
        numbers = {key: int(value) for key, value in re.findall(r"^\s*\.(\w+):\s+(\d+)\s*$", entry, re.M)}
        named = re.search(r"^ *\.name:\s+(\w+)$", entry, re.M)
        if named is None:
            continue
        lines = _body(text, named[1])
        names: dict[str, int] = {}
        for line in lines:
            if name := _name(line):
                names[name] = names.get(name, 0) + 1
        kernels.append(MachineCode(named[1], architecture, numbers.get("vgpr_count", 0), numbers.get("agpr_count", 0), numbers.get("sgpr_count", 0),
                                   numbers.get("vgpr_spill_count", 0), numbers.get("sgpr_spill_count", 0), numbers.get("private_segment_fixed_size", 0),
                                   numbers.get("group_segment_fixed_size", 0), numbers.get("max_flat_workgroup_size", 0), _main_loop(lines), names))
    return kernels


def _body(text: str, kernel: str) -> list[str]:
    found = re.search(rf"^{kernel}:.*?^\.Lfunc_end\d+:", text, re.M | re.S)
    return found[0].splitlines() if found else []


def _name(line: str) -> str:
    """The instruction of a line: "" for labels, directives and comments."""
    found = re.match(r"\s+([a-z]\w+)", line)
    return found[1] if found else ""


def _main_loop(lines: Sequence[str]) -> Loop | None:
    """Of the loops that hold no other loop with an MFMA, the one with most of them; without any, the longest loop without a loop in it."""
    loops = _loops(lines)
    rows = [(count(lines[first:last + 1], label), first, last) for label, first, last in loops]

    def inner(row: tuple[Loop, int, int], wanted: bool) -> bool:
        return not any(o is not row and row[1] <= o[1] and o[2] <= row[2] and (o[0].mfma or not wanted) for o in rows)

    busy = [row for row in rows if row[0].mfma and inner(row, True)]
    if busy:
        return max(busy, key=lambda row: row[0].mfma)[0]
    plain = [row for row in rows if inner(row, False)]
    return max(plain, key=lambda row: row[0].instructions)[0] if plain else None


def _loops(lines: Sequence[str]) -> list[tuple[str, int, int]]:
    """Label, first and last line of each: from a label to the last branch back to it."""
    labels: dict[str, int] = {}
    last: dict[str, int] = {}
    for i, line in enumerate(lines):
        if found := re.match(r"(\.LBB\w+):", line):
            labels[found[1]] = i
        elif (found := re.match(r"\s+s_c?branch\w*\s+(\.LBB\w+)", line)) and found[1] in labels:
            last[found[1]] = i
    return [(label, labels[label], end) for label, end in last.items()]


_KINDS = (
    ("scratch", r"scratch_|.*Folded (?:Spill|Reload)"),
    ("mfma", r"v_s?mfma|v_wmma"),
    ("copies", r"(?:global|buffer)_load\w*lds|(?:global|buffer)_load.*\blds\b"),
    ("lds_reads", r"ds_(?:read|load)"),
    ("lds_writes", r"ds_(?:write|store)"),
    ("lds_other", r"ds_"),
    ("global_loads", r"(?:global|buffer|flat)_load"),
    ("global_stores", r"(?:global|buffer|flat)_(?:store|atomic)"),
    ("waits", r"s_wait"),
    ("barriers", r"s_barrier"),
    ("valu", r"v_(?!nop)"),
    ("scalar", r"s_"),
)


def count(lines: Sequence[str], label: str = "") -> Loop:
    """The instructions in `lines` by kind; the first kind that fits counts."""
    totals = {kind: 0 for kind, _ in _KINDS}
    moves = instructions = 0
    for line in lines:
        name = _name(line)
        if not name or name.startswith("s_nop"):
            continue
        instructions += 1
        kind = next((kind for kind, pattern in _KINDS if re.match(pattern, line.strip())), None)
        if kind:
            totals[kind] += 1
        moves += "accvgpr" in name
    return Loop(label=label, instructions=instructions, accumulator_moves=moves, **totals)


# ---------------------------------------------------------------- banks
# What the lanes of a wave are served in: number of 4-byte banks, and the lanes of each phase.  A phase takes as many cycles as the busiest
# bank has different words asked of it.
def _consecutive(lanes: int, of: int = 64) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(first, first + lanes)) for first in range(0, of, lanes))


def _halves(*phases: tuple[range, ...]) -> tuple[tuple[int, ...], ...]:
    """Phases of lanes 0-31, and the same of lanes 32-63."""
    return tuple(tuple(lane + half for part in phase for lane in part) for half in (0, 32) for phase in phases)


_EIGHT = _halves((range(4), range(20, 24)), (range(4, 8), range(16, 20)), (range(8, 12), range(28, 32)), (range(12, 16), range(24, 28)))
_FOUR = _halves((range(4), range(12, 16), range(20, 28)), (range(4, 12), range(16, 20), range(28, 32)))
_Phases = tuple[int, tuple[tuple[int, ...], ...]]
# gfx942, from the composable-kernel documentation: b128 both ways.  b64 by 16 lanes: assumed, and consistent with published kernels that
# are free of conflicts under it.  b32 by 32 lanes: 32 banks give no more.  gfx90a: assumed to be the same.
_CDNA3: dict[str, _Phases] = {
    "ds_read_b32": (32, _consecutive(32)), "ds_write_b32": (32, _consecutive(32)),
    "ds_read_b64": (32, _consecutive(16)), "ds_write_b64": (32, _consecutive(16)),
    "ds_read_b128": (32, _EIGHT), "ds_write_b128": (32, _consecutive(8)),
}
# gfx950, measured by HipKittens (analysis/paper_experiments/phases): ds_read_b64, b96, b128 and ds_write_b64.  The others: assumed, writes as
# on gfx942, the transposing read as the plain one of its size.
_CDNA4: dict[str, _Phases] = _CDNA3 | {
    "ds_read_b32": (64, _consecutive(32)), "ds_read_b64": (64, _consecutive(32)), "ds_read_b64_tr_b16": (64, _consecutive(32)),
    "ds_read_b96": (32, _EIGHT), "ds_read_b128": (64, _FOUR),
}
# gfx1100: 32 banks for a wave of 32 lanes, wider ones by as many lanes as fill them: assumed.
_RDNA3: dict[str, _Phases] = {f"ds_{way}_b{bits}": (32, _consecutive(1024 // bits, 32)) for way in ("read", "write") for bits in (32, 64, 128)}
PHASES: dict[str, dict[str, _Phases]] = {"gfx90a": _CDNA3, "gfx942": _CDNA3, "gfx950": _CDNA4, "gfx1100": _RDNA3}


def conflicts(architecture: str, instruction: str, lane_addresses: Sequence[int | None]) -> tuple[int, int]:
    """(cycles without conflicts, cycles taken) of a shared-memory instruction; byte addresses of the lanes, None for those that take no part.

    Elements of less than 4 bytes count as b32.  Lanes that ask for the same word are served together.
    """
    banks, phases = PHASES[architecture][instruction]
    found = re.search(r"_b(\d+)", instruction)
    words = max(1, int(found[1]) // 32) if found else 1
    ideal = actual = 0
    for phase in phases:
        wanted = {address // 4 + i for lane in phase if lane < len(lane_addresses) and (address := lane_addresses[lane]) is not None for i in range(words)}
        by_bank: dict[int, int] = {}
        for word in wanted:
            by_bank[word % banks] = by_bank.get(word % banks, 0) + 1
        ideal += -(-len(wanted) // banks)
        actual += max(by_bank.values(), default=0)
    return ideal, actual
