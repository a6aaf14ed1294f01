"""Running generated AscendC on this processor: compiled against the emulator's kernel_operator.h, every pipe of every core asynchronous, every access checked.

`Emulator(architecture)` is a Toolchain whose loaded launcher takes what the GPU targets' emulated launchers take (see backends/common/emulation.py), but for

mode: when a pipe's instructions happen: "late" (when nothing else can go on), "early" (at once), "random:SEED", or "starve:WHAT" (last those of a pipe V,
M, MTE1, MTE2, MTE3, FIX, or of the cores AIC, AIV).
programs: how many AI cores there are (a number), by default 4; a core then runs more of the programs.

Findings name the generated line through the addresses that the engine keeps and the library's debug information (addr2line of binutils).
launch.trace: {"unit": "cycles", "events": [[core, pipe, instruction, start, end, line], ..]} by rates in kernel_operator.h
that give a trace its shape and are no claim of speed.
"""
from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dslc.errors import check
from dslc.runtime.cache import Entry, digest, shared_cache

from ..common.emulation import Finding, Launcher, finding, source_lines
from ..common.toolchain import Compiler, candidates, compile, find_compiler
from . import MODES

HERE = Path(__file__).resolve().parent
EMULATOR, COMMON = HERE / "emulator", HERE.parent / "common"
STANDARD = "-std=gnu++20"                                # overloads by `requires`
STARVED = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX", "AIC", "AIV")          # numbers as in cores.cpp
_OTHER_FLAGS = re.compile(r"-O\d$|-std=|-fopenmp-simd$|-mprefer-vector-width=")
_FLAGS = ("-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-w")


@dataclass(frozen=True)
class Emulator:
    """The emulated toolchain of an architecture.  level: how hard the compiler works on a kernel; cann: the version that the source is compiled for,
    before 9 with another prologue.
    """

    architecture: str = ""
    level: str = "-O1"
    cann: int = 9

    def identity(self) -> str:
        """Compiler and the texts of all headers; found without running anything."""
        return digest("ascend emulator", self.architecture, self.level, str(self.cann), find_compiler().identity, *_texts(EMULATOR, HERE, COMMON))

    def compile(self, folder: Path, name: str) -> str:
        """`folder`/`name`.cpp to a shared library beside it that holds the engine too."""
        binary, engine = f"{name}.emulated.so", _engine(find_compiler())
        flags = ("-I", str(EMULATOR), "-I", str(HERE), "-I", str(COMMON), str(engine.path / "cores.o"), "-ldl", STANDARD, f"-DDSLC_CANN={self.cann}")
        compile(_for_emulation(find_compiler(), self.level), [folder / f"{name}.cpp"], folder / binary, extra_flags=flags)
        return binary

    def load(self, binary: Path, name: str) -> AscendLauncher:
        """The launcher in a library that `compile` made."""
        return AscendLauncher(binary, name, binary.parent / f"{name}.cpp")

    def report(self) -> list[dict[str, Any]]:
        """The C++ compilers that were looked at."""
        return candidates()


def _texts(*folders: Path) -> list[str]:
    return [p.read_text() for folder in folders for p in sorted(folder.iterdir()) if p.suffix in (".h", ".cpp")]


def _for_emulation(compiler: Compiler, level: str) -> Compiler:
    return replace(compiler, flags=(level, *(f for f in compiler.flags if not _OTHER_FLAGS.match(f)), *_FLAGS))


@lru_cache(maxsize=4)
def _engine(compiler: Compiler) -> Entry:
    """The engine's object file, compiled once per compiler."""
    def produce(folder: Path) -> dict[str, Any]:
        compile(_for_emulation(compiler, "-O2"), [EMULATOR / "cores.cpp"], folder / "cores.o", extra_flags=("-c", STANDARD))
        return {}

    key = digest("ascend engine", compiler.identity, *_texts(EMULATOR))
    return shared_cache().get(key) or shared_cache().build(key, produce)


class AscendLauncher(Launcher):
    """A loaded program; called as the module says."""

    def numbered(self, mode: str) -> tuple[int, int]:
        """The engine's number of a mode, and its seed or what starves."""
        word, _, rest = mode.partition(":")
        check(re.fullmatch(MODES, mode), f"there is no mode of emulation {mode!r}", hint="late, early, random:SEED or starve:PIPE")
        return (3, STARVED.index(rest)) if word == "starve" else ({"late": 0, "early": 1, "random": 2}[word], int(rest or 0))

    def _report(self) -> list[Finding]:
        length = self._library.dslc_emulator_report(self._ffi.NULL, 0)
        out = self._ffi.new("char[]", length + 1)
        self._library.dslc_emulator_report(out, length + 1)
        data = json.loads(self._ffi.string(out).decode(errors="replace"))
        rows, events = data.pop("findings"), data.pop("events")
        self._events, self.statistics = events, data
        wanted = {a for row in rows for site in row["sites"] for a in site}
        lines, text = self.lines_of(wanted), source_lines(self.source) if rows else []
        return [finding({**row, "lines": [n for site in row["sites"] if (n := self.line(site, lines))]}, text) for row in rows]

    @property
    def trace(self) -> dict[str, Any]:
        """What the last run did: core, pipe, instruction, start, end in cycles, generated line."""
        lines = self.lines_of({a for *_, site in self._events for a in site})
        return {"unit": "cycles", "events": [[*event, self.line(site, lines)] for *event, site in self._events]}

    def line(self, site: Iterable[int], lines: Mapping[int, int]) -> int:
        """The innermost frame's line in the generated file, 0 where none is."""
        return next((lines[a] for a in site if lines.get(a)), 0)

    def lines_of(self, addresses: Iterable[int]) -> dict[int, int]:
        """The line of the generated file that an address of the library was compiled from, functions that were inlined into it looked through."""
        wanted, tool = sorted({a for a in addresses if 0 < a < 1 << 32}), shutil.which("addr2line")
        if not wanted or tool is None:
            return {}
        run = subprocess.run([tool, "-a", "-i", "-e", str(self.binary)], input="\n".join(hex(a) for a in wanted), capture_output=True, text=True, check=False)
        found: dict[int, int] = {}
        address = 0
        for row in run.stdout.splitlines():
            if row.startswith("0x"):
                address = int(row, 16)
            elif (m := re.search(rf"{re.escape(self.source.name)}:(\d+)", row)) and address not in found:
                found[address] = int(m[1])
        return found
