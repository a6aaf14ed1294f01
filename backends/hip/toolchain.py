"""Compilers for AMD GPUs: which there are, how they are called, and how a code object becomes something that runs.

Order: $DSLC_HIPCC (which may hold arguments and is never passed over), clang-22 and later on PATH, ROCm's clang, the ziglang wheel.
Nothing of ROCm is needed to compile.  A kernel becomes NAME.s (kept for reading), NAME.co (the code object) and NAME.so: the launcher,
made from the same source by the host's C++ compiler, with the code object inside.
"""
from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cffi import FFI
from dslc.errors import DslError, check
from dslc.runtime.cache import NoSpace, digest, shared_cache

from ..common import toolchain as host

HERE = Path(__file__).resolve().parent
HEADERS = (*(HERE.parent / "common" / f"tile_{part}.h" for part in ("types", "math", "bounds", "workers")), *sorted(HERE.glob("tile_hip*.h")))
ARCHITECTURES = ("gfx90a", "gfx942", "gfx950", "gfx1100")
TIMEOUT_SECONDS = 300.0
STRICT = ("-Wall", "-Wextra", "-Werror")                    # for our tests: what a user's newer compiler warns of must not stop him
# Object version 5: ROCm 5.6 and later load it; 6, the default of clang 22, needs ROCm 6.3.  Without -fuse-cuid=none the object depends on
# the folder it was compiled in.
_FLAGS = ("-x", "hip", "--offload-device-only", "-nogpuinc", "-nogpulib", "-ffreestanding", "-fuse-cuid=none", "-mcode-object-version=5",
          "-std=c++17", "-O3", "-ffp-contract=off", "-fno-strict-aliasing", "-fwrapv")
_OLDEST_ZIG = (0, 17)                                       # the first with clang 22; clang 19 does not know gfx950
_HOW_TO_GET_ONE = ("pip install 'dslc[toolchains]' (a compiler in a wheel), or install clang-22 and lld-22 of your system, or set DSLC_HIPCC "
                   "to a clang with the amdgcn target; `dslc doctor` shows what was looked at")
_DECLARATION = """int32_t launch_{name}(const uint8_t *arguments, void *stream);
int32_t dslc_hip_present(void); const char *dslc_hip_error(int32_t status); int32_t dslc_hip_wait(void *stream);"""


@dataclass(frozen=True)
class Compiler:
    """A clang with the amdgcn target.  linker: () if it calls its own."""

    name: str
    command: tuple[str, ...]
    linker: tuple[str, ...]
    includes: tuple[str, ...]
    why: str
    missing: str = ""

    @property
    def identity(self) -> str:
        """Changes whenever the compiler may: real path, bytes and time of change of the files behind it."""
        rows = [str(part) for word in (*self.command, *self.linker) for part in _file(word)]
        return str(digest(*rows, *self.command, *self.linker, *self.includes, "flags", *_FLAGS))


def candidates() -> Iterator[Compiler]:
    """In the order of preference; nothing but DSLC_HIPCC where it is set."""
    if os.environ.get("DSLC_HIPCC"):
        yield _named_by_user()
        return
    for name in ("clang-22", "clang-23", "clang-24", "amdclang++", "/opt/rocm/llvm/bin/clang++"):
        program = shutil.which(name) or ""
        yield Compiler(name, (program,), (), (), "found on PATH", "" if program else "not there")
    yield _wheel()


def find_compiler() -> Compiler:
    """The compiler to use.  DslError, with the reasons, when there is none."""
    return _find(os.environ.get("DSLC_HIPCC"), os.environ.get("PATH"))


@lru_cache(8)
def _find(*_environment: str | None) -> Compiler:
    rows = list(candidates())
    found = next((row for row in rows if not row.missing), None)
    reasons = "; ".join(f"{row.name}: {row.missing}" for row in rows)
    check(found is not None, f"no compiler for AMD GPUs was found ({reasons})", hint=_HOW_TO_GET_ONE)
    assert found is not None
    return found


def _named_by_user() -> Compiler:
    text = os.environ["DSLC_HIPCC"]
    try:
        words = shlex.split(text) or [""]
    except ValueError as error:
        raise DslError(f"DSLC_HIPCC={text} cannot be split into words: {error}") from None
    program = shutil.which(words[0]) or ""
    return Compiler(os.path.basename(words[0]), (program, *words[1:]), (), (), "DSLC_HIPCC names it", "" if program else f"there is no program {words[0]!r}")


def _wheel() -> Compiler:
    """The wheel ziglang: a clang that calls no linker of its own and does not know where its headers are."""
    spec = importlib.util.find_spec("ziglang")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        return Compiler("ziglang", (), (), (), "", "the wheel ziglang is not installed")
    folder, version = Path(folders[0]), importlib.metadata.version("ziglang")
    program = str(folder / "zig")
    old = tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < _OLDEST_ZIG
    missing = f"ziglang {version} is too old" if old else "" if os.access(program, os.X_OK) else f"{program} cannot be run"
    return Compiler("ziglang", (program, "clang"), (program, "ld.lld"), ("-nostdinc", "-isystem", str(folder / "lib" / "include")),
                    f"the wheel ziglang {version} is installed", missing)


def _file(word: str) -> tuple[str, int, int] | tuple[()]:
    path = os.path.realpath(word)
    if not os.path.isfile(path):
        return ()
    status = os.stat(path)
    return path, status.st_size, status.st_mtime_ns


@lru_cache(8)
def version(compiler: Compiler) -> str:
    """What the compiler calls itself; runs it."""
    code, text = _run([*compiler.command, "--version"])
    return text.splitlines()[0].strip() if code == 0 and text else ""


def lanes(architecture: str) -> int:
    """Workers of a wave."""
    return 32 if architecture.startswith("gfx1") else 64


class HipToolchain:
    """Source for one architecture, "gfx90a", "gfx942", "gfx950" or "gfx1100".  strict: warnings are errors."""

    def __init__(self, architecture: str, strict: bool = False) -> None:
        check(architecture in ARCHITECTURES, f"no AMD GPU architecture is called {architecture!r}", hint=f"known: {', '.join(ARCHITECTURES)}")
        self.architecture, self.strict = architecture, strict

    def identity(self) -> str:
        """Architecture, both compilers and their flags; found without running anything."""
        return str(digest("hip", self.architecture, find_compiler().identity, host.find_compiler().identity))

    def compile(self, folder: Path, name: str) -> str:
        """`folder`/`name`.hip to `name`.s, `name`.co and the launcher `name`.so; the headers stay there too, so that the folder is whole."""
        for header in HEADERS:
            shutil.copyfile(header, folder / header.name)
        self.assemble(folder, name)
        flags = (*(STRICT if self.strict else ()), "-Wno-unknown-pragmas", "-fvisibility=default", "-ldl", f"-DDSLC_LANES={lanes(self.architecture)}",
                 f'-DDSLC_CODE_OBJECT="{folder / f"{name}.co"}"')
        host.compile(host.find_compiler(), [folder / f"{name}.hip"], folder / f"{name}.so", extra_flags=flags)
        return f"{name}.so"

    def assemble(self, folder: Path, name: str) -> None:
        """The device's part: `name`.s and the code object `name`.co."""
        compiler, source = find_compiler(), folder / f"{name}.hip"
        text, object_, code = (folder / f"{name}{suffix}" for suffix in (".s", ".o", ".co"))
        machine = ("--target=amdgcn-amd-amdhsa", f"-mcpu={self.architecture}")
        warnings = STRICT if self.strict else STRICT[:2]
        _step([*compiler.command, *_FLAGS, *warnings, *compiler.includes, f"--offload-arch={self.architecture}", "-S", str(source), "-o", str(text)],
              compiler, source)
        if compiler.linker:
            _step([*compiler.command, *machine, "-c", str(text), "-o", str(object_)], compiler, source)
            _step([*compiler.linker, "-shared", str(object_), "-o", str(code)], compiler, source)
            object_.unlink()
        else:
            _step([*compiler.command, *machine, "-nogpulib", str(text), "-o", str(code)], compiler, source)

    def load(self, binary: Path, name: str) -> Callable[[bytes], int]:
        """The launcher in a shared library; each call waits for the kernel.  DslError where there is no libamdhip64."""
        ffi, library = _open(str(binary), name)
        check(library.dslc_hip_present() != 0, f"{name} is compiled for {self.architecture}, but libamdhip64 cannot be opened here",
              hint="install ROCm (libamdhip64.so must be found by the loader), or run the kernel with --emulate")
        launcher = getattr(library, f"launch_{name}")

        def launch(arguments: bytes) -> int:
            status = int(launcher(arguments, ffi.NULL)) or int(library.dslc_hip_wait(ffi.NULL))
            check(status >= 0, f"{name} failed on the device: {ffi.string(library.dslc_hip_error(status)).decode() if status < 0 else ''}")
            return status

        return launch

    def report(self) -> list[dict[str, Any]]:
        """For `dslc doctor`: each candidate's name, command, why, found, chosen, and the reason it was passed over."""
        rows: list[dict[str, Any]] = []
        for c in candidates():
            chosen = not c.missing and not any(row["chosen"] for row in rows)
            rows.append({"name": c.name, "command": " ".join(c.command), "why": c.why, "found": not c.missing,
                         "version": "" if c.missing else version(c), "flags": " ".join(_FLAGS), "chosen": chosen, "reason": c.missing})
        return rows


_opened: dict[str, tuple[FFI, Any]] = {}


def _open(path: str, name: str) -> tuple[FFI, Any]:
    """A library stays loaded: its code object may be on a device."""
    if path not in _opened:
        _opened[path] = host.open_library(path, _DECLARATION.format(name=name))
    return _opened[path]


def _step(command: Sequence[str], compiler: Compiler, source: Path) -> None:
    """Run one step; DslError with the first error, the generated line and the kernel's line."""
    code, text = _run(command)
    if code == 0:
        return
    if "No space left" in text or "Disk quota exceeded" in text:
        raise NoSpace(f"the disk of {source.parent} is full")
    if code < 0:
        raise DslError(f"{compiler.name} was ended by {signal.Signals(-code).name} while it compiled {source.name}", hint="there may be too little memory")
    if "PLEASE submit a bug report" in text or "LLVM ERROR" in text:
        raise DslError(f"{compiler.name} crashed on {source}: {host.explain(text, source)}", hint="set DSLC_HIPCC to another compiler")
    raise DslError(f"{compiler.name} could not compile {source.name}: {host.explain(text, source)}")


def _run(command: Sequence[str]) -> tuple[int, str]:
    environment = {**os.environ, "LC_ALL": "C"}
    if os.path.basename(command[0]) == "zig":
        environment |= dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(shared_cache().folder("zig")))
    try:
        # A session of its own, so that an interrupt or the timeout ends the compiler's children too.
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
                              start_new_session=True) as process:
            try:
                text = process.communicate(timeout=TIMEOUT_SECONDS)[0]
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, text.decode(errors="replace")
    except subprocess.TimeoutExpired:
        raise DslError(f"{command[0]} was stopped after {TIMEOUT_SECONDS:g} s", hint="make the kernel's tiles smaller") from None
    except OSError as error:
        raise DslError(f"cannot run {command[0]}: {error.strerror}", hint=_HOW_TO_GET_ONE) from error


def architecture_here(nodes: Path = Path("/sys/class/kfd/kfd/topology/nodes")) -> str:
    """The architecture of the first GPU that the kernel driver lists, as it writes gfx_target_version: 90402 is 9.4.2, gfx942 (Linux, amdkfd); "" if none."""
    for properties in sorted(nodes.glob("*/properties")):
        with suppress(OSError):
            match = re.search(r"^gfx_target_version (\d+)$", properties.read_text(), re.MULTILINE)
            if match and (version := int(match[1])):
                return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
    return ""
