"""Running a GPU target's generated source on this processor: compiled against the emulator's headers, checked access by access.

`Emulator(target, architecture)` is a Toolchain whose loaded launcher takes more than the packed arguments:

    launch(packed, ranges, mode="late", programs=None) -> status

ranges: (name, address, bytes, writable) of every tensor that the arguments point to; an access outside of all of them is reported. A fifth
member False says that the bytes mean nothing yet, as in a workspace: reading them before they are written is then reported too.
mode: when asynchronous work lands: "late" (at the wait that forces it), "early" (at once), "random:SEED" (between; workers then run in random order).
programs: how many of a launch's blocks run, spread over the grid, or which; None: all. Blocks that wait for others' results need all.

A run that finds something wrong raises EmulationError, a DslError, and has then stopped early: what it has written means nothing.
launch.statistics is what the last run counted: accesses, blocks, banks {generated line: (ideal wavefronts, actual ones, instructions)}.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dslc.errors import DslError, check
from dslc.runtime.cache import Entry, digest, shared_cache

from .toolchain import Compiler, candidates, compile, find_compiler, open_library

HERE = Path(__file__).resolve().parent
ENGINE = HERE / "emulator"
MODES = {"late": 0, "early": 1, "random": 2}
SUFFIXES = {"cuda": ".cu", "hip": ".hip"}
# Local variables begin as a pattern, so that a register read before it is written shows. GCC has the flag from version 12 on.
_POISON = "-ftrivial-auto-var-init=pattern"
_NOT_OURS = re.compile(r"-O\d$|-fopenmp-simd$|-mprefer-vector-width=")
# Threads of a wave and banks of shared memory, where they are not those of the target's first architecture (see tile_hip.h).
_MACROS = {"gfx1100": ("-DDSLC_LANES=32",), "gfx950": ("-DDSLC_LDS_BANKS=64",)}
_DECLARATIONS = """
int32_t launch_{name}(const void *arguments, void *stream);
void dslc_emulator_begin(int32_t mode, uint64_t seed, int32_t statistics, double seconds);
void dslc_emulator_range(const char *name, uint64_t address, int64_t bytes, int32_t writable, int32_t initialised);
void dslc_emulator_programs(const int64_t *programs, int64_t count, int64_t spread);
void dslc_emulator_prepare(void);
int32_t dslc_emulator_findings(void);
int64_t dslc_emulator_report(char *out, int64_t size);
void dslc_emulator_end(void);
"""
_TWICE = re.compile(r"write of byte \d+ of (\w+) by worker \d+ \(wave \d+\) is not ordered with the write by worker")
_ORIGIN = re.compile(r"\s*//\s*(\S[^:]*:\d+(?::.*|\s*$))")

Range = tuple[str, int, int, bool] | tuple[str, int, int, bool, bool]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.  lines: of the generated source; origins: the kernel's own line for each, or ""."""

    kind: str
    text: str
    block: int
    lines: tuple[int, ...]
    origins: tuple[str, ...] = ()


class EmulationError(DslError):
    """An emulated run found something wrong."""

    def __init__(self, message: str, findings: Sequence[Finding]) -> None:
        super().__init__(message, hint="the emulator reports what the device would not; a race is one whatever order things ran in")
        self.findings = tuple(findings)


@dataclass(frozen=True)
class Emulator:
    """The emulated toolchain of a target ("cuda", "hip") and one of its architectures."""

    target: str
    architecture: str = ""

    def identity(self) -> str:
        """Compiler, flags, the texts of engine and headers; found without running anything."""
        return digest("emulator", self.target, self.architecture, find_compiler().identity, *self._texts())

    def compile(self, folder: Path, name: str) -> str:
        """`folder`/`name` with the target's suffix, to a shared library beside it that holds the engine too."""
        engine = _engine(find_compiler())
        binary = f"{name}.emulated.so"
        # First of all our header: its guard keeps out the device's, which may lie beside the source.
        flags = ("-include", str(self._headers / f"tile_{self.target}.h"), *_includes(self._headers), "-I", str(HERE.parent / self.target), *self._macros(),
                 *((_POISON,) if engine.data["poison"] else ()), str(engine.path / "engine.o"), "-lpthread")
        compile(_for_emulation(find_compiler(), "-O1"), [folder / f"{name}{SUFFIXES[self.target]}"], folder / binary, extra_flags=flags)
        return binary

    def load(self, binary: Path, name: str) -> Launcher:
        """The launcher in a library that `compile` made."""
        return Launcher(binary, name, binary.parent / f"{name}{SUFFIXES[self.target]}")

    def report(self) -> list[dict[str, Any]]:
        """The C++ compilers that were looked at."""
        return candidates()

    @property
    def _headers(self) -> Path:
        return HERE.parent / self.target / "emulator"

    def _macros(self) -> tuple[str, ...]:
        chip = (f"-D__{self.architecture}__",) if self.architecture.startswith("gfx") else ()
        return (*chip, *_MACROS.get(self.architecture, ()))

    def _texts(self) -> list[str]:
        folders = (ENGINE, self._headers, HERE, HERE.parent / self.target)
        return [p.read_text() for folder in folders for p in sorted(folder.iterdir()) if p.suffix in (".h", ".cpp")]


def _for_emulation(compiler: Compiler, level: str) -> Compiler:
    """The same compiler, quick: what is emulated is not optimised, but for what makes the checks cheap."""
    return replace(compiler, flags=(level, *(f for f in compiler.flags if not _NOT_OURS.match(f)), "-w"))


def _includes(*first: Path) -> tuple[str, ...]:
    return tuple(word for folder in (*first, ENGINE, HERE) for word in ("-I", str(folder)))


@lru_cache(maxsize=4)
def _engine(compiler: Compiler) -> Entry:
    """The engine's object file, compiled once per compiler; data: whether the compiler can poison local variables."""
    def produce(folder: Path) -> dict[str, Any]:
        optimising, flags = _for_emulation(compiler, "-O2"), ("-c", *_includes())
        try:
            compile(optimising, [ENGINE / "engine.cpp"], folder / "engine.o", extra_flags=(*flags, _POISON.replace("pattern", "uninitialized")))
        except DslError:
            compile(optimising, [ENGINE / "engine.cpp"], folder / "engine.o", extra_flags=flags)
            return {"poison": False}
        return {"poison": True}

    texts = [p.read_text() for p in (*sorted(ENGINE.iterdir()), HERE / "tile_types.h")]
    key = digest("engine", compiler.identity, *texts)
    return shared_cache().get(key) or shared_cache().build(key, produce)


@dataclass
class Launcher:
    """A loaded program.  Called as the module says; `seconds` bounds a run (0: no bound)."""

    binary: Path
    name: str
    source: Path
    seconds: float = 0.0
    statistics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ffi, self._library = open_library(self.binary, _DECLARATIONS.format(name=self.name))

    def __call__(self, packed: bytes, ranges: Iterable[Range], mode: str = "late", programs: int | Iterable[int] | None = None) -> int:
        """The launcher's status, 0 for success.  EmulationError if anything was found."""
        number, seed = self.numbered(mode)
        ffi, library = self._ffi, self._library
        library.dslc_emulator_begin(number, seed, 1, self.seconds)
        try:
            for name, address, size, writable, *rest in ranges:
                library.dslc_emulator_range(name.encode(), address, size, writable, rest[0] if rest else True)
            library.dslc_emulator_prepare()
            if isinstance(programs, int):
                library.dslc_emulator_programs(ffi.NULL, 0, programs)
            elif programs is not None:
                chosen = list(programs)
                library.dslc_emulator_programs(ffi.new("int64_t[]", chosen), len(chosen), 0)
            status = int(getattr(library, f"launch_{self.name}")(ffi.from_buffer(packed), ffi.NULL))
            found = self._report()
        finally:
            library.dslc_emulator_end()
        if found:
            raise EmulationError(_message(self.name, self.source, found, mode), found)
        return status

    def numbered(self, mode: str) -> tuple[int, int]:
        """The engine's number of a mode, and its seed."""
        return _mode(mode)

    def _report(self) -> list[Finding]:
        length = self._library.dslc_emulator_report(self._ffi.NULL, 0)
        out = self._ffi.new("char[]", length + 1)
        self._library.dslc_emulator_report(out, length + 1)
        data = json.loads(self._ffi.string(out).decode(errors="replace"))
        rows = data.pop("findings")
        data["banks"] = {int(line): tuple(counts) for line, counts in data["banks"].items()}
        self.statistics = data
        text = source_lines(self.source) if rows else []
        return [finding(r, text) for r in rows]


def finding(row: Mapping[str, Any], text: Sequence[str]) -> Finding:
    """A finding in the kernel's words: two workers that write one element from one line of a store were given the same place by the kernel."""
    origins, lines = tuple(_origin(text, n) for n in row["lines"]), tuple(row["lines"])
    said, twice = row["text"], _TWICE.match(row["text"])
    if row["kind"] == "race" and twice and len(set(lines)) == 1 and any("tile.store(" in o for o in origins):
        said = f"store: one store names an element of {twice[1]} twice ({said})"
    return Finding(row["kind"], said, row["block"], lines, origins)


def _mode(mode: str) -> tuple[int, int]:
    word, colon, seed = mode.partition(":")
    check(word in MODES and (seed.isdigit() if word == "random" else not colon), f"there is no mode of emulation {mode!r}",
          hint="late, early or random:SEED")
    return MODES[word], int(seed or 0)


def source_lines(source: Path) -> list[str]:
    try:
        return source.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _origin(text: Sequence[str], line: int) -> str:
    """The kernel's line that a generated one was made from: the nearest comment above that names one."""
    found = next((o for o in (_ORIGIN.match(x) for x in reversed(text[:line])) if o), None)
    return found[1].strip() if found else ""


def _message(name: str, source: Path, findings: Sequence[Finding], mode: str) -> str:
    text = source_lines(source)
    rows = [f"{name}, emulated ({mode}), is wrong: {len(findings)} finding{'s' if len(findings) > 1 else ''}"]
    for f in findings:
        rows.append(f"  {f.kind}: {f.text}; in program {f.block}")
        for line, origin in zip(f.lines, f.origins, strict=True):
            rows += [f"    from {origin}"] if origin else []
            rows.append(f"    {source.name}:{line}: {text[line - 1].strip() if 0 < line <= len(text) else ''}")
    return "\n".join(rows)
