"""C++ compilers: which there are, which one is taken, how it is called, and what its errors mean.

Order: $DSLC_CXX (which may hold arguments and is never passed over), clang++ and g++ on PATH, the ziglang wheel.
"""
from __future__ import annotations

import errno
import importlib.util
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from cffi import FFI
from dslc.errors import DslError
from dslc.runtime.cache import NoSpace, digest, shared_cache

TIMEOUT_SECONDS = 300.0
STRICT = ("-Wall", "-Wextra", "-Werror")  # for our tests: what a user's newer compiler warns of must not stop him
_FLAGS = ("-O3", "-ffp-contract=off", "-fwrapv", "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", "-fopenmp-simd",
          "-fPIC", "-shared", "-fvisibility=hidden")
_PROBE = """#include <math.h>
#include <stdint.h>
#include <string.h>
extern "C" __attribute__((visibility("default"))) float probe(float *out, const float *in, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = expf(in[i]);
  memcpy(out, in, sizeof(float));
  return floorf(out[0]);
}
"""
_HOW_TO_GET_ONE = ("apt-get install g++ (or your system's package), or pip install 'dslc[toolchains]' (a compiler in a wheel), "
                   "or set DSLC_CXX to a C++17 compiler; `dslc doctor` shows what was looked at")


@dataclass(frozen=True)
class Compiler:
    """A C++17 compiler that has built a shared library here.  `why` says how it came to be considered."""

    name: str
    command: tuple[str, ...]
    version: str
    flags: tuple[str, ...]
    why: str

    @cached_property
    def identity(self) -> str:
        """Changes whenever its output may: with the files behind the command, the flags, and the processor.

        Found without running anything, so that a warm start stays warm.
        """
        return str(digest(*_files_behind(self.command), *self.command, "flags", *self.flags, cpu()))


@dataclass(frozen=True)
class _Candidate:
    name: str
    why: str
    command: tuple[str, ...]
    missing: str = ""


def find_compiler() -> Compiler:
    """The compiler to use.  Raises DslError when there is none, or when the one DSLC_CXX names does not work."""
    return _find(*(os.environ.get(name) for name in ("DSLC_CXX", "DSLC_CXX_FLAGS", "PATH", "DSLC_CACHE_DIR")))


@lru_cache(32)
def _find(chosen: str | None, *_environment: str | None) -> Compiler:
    reasons = []
    for candidate in _candidates():
        compiler, reason = _accept(candidate)
        if compiler:
            return compiler
        reasons.append(f"{candidate.name}: {reason}")
    if chosen:
        raise DslError(f"DSLC_CXX={chosen} does not work: {reason}", hint="set it to a C++17 compiler, or unset it and dslc looks for one")
    raise DslError("no C++ compiler was found (" + "; ".join(reasons) + ")", hint=_HOW_TO_GET_ONE)


def all_compilers() -> list[Compiler]:
    """Every compiler that works, DSLC_CXX first, in the order of preference."""
    rows = [*_candidates(), *(_usual() if os.environ.get("DSLC_CXX") else ())]
    working = [compiler for compiler in (_accept(row)[0] for row in rows) if compiler]
    return [c for i, c in enumerate(working) if all(c.command != other.command for other in working[:i])]


def candidates() -> list[dict[str, Any]]:
    """For a report: each candidate's name, command, why, found, version, flags, chosen, and the reason it was passed over."""
    rows: list[dict[str, Any]] = []
    for candidate in _candidates():
        compiler, reason = _accept(candidate)
        chosen = compiler is not None and not any(row["chosen"] for row in rows)
        rows.append({"name": candidate.name, "command": " ".join(candidate.command), "why": candidate.why, "found": compiler is not None,
                     "version": compiler.version if compiler else "", "flags": " ".join(compiler.flags) if compiler else "", "chosen": chosen,
                     "reason": reason})
    return rows


def compile(compiler: Compiler, sources: Sequence[Path], output: Path, *, extra_flags: Sequence[str] = ()) -> None:
    """Build the shared library `output` from C++ sources, or from C sources (all named *.c); libraries go in `extra_flags`.

    Raises NoSpace when the disk is full, else DslError with the first error and the line of generated code it is about.
    """
    language = ("-x", "c", "-std=gnu11") if sources[0].suffix == ".c" else ("-x", "c++", "-std=gnu++17")
    command = [*compiler.command, *compiler.flags, *language, *map(str, sources), "-x", "none", "-o", str(output), *extra_flags, "-lm"]
    code, text = call(command, output.parent)
    if code == 0 and output.exists():
        return
    if "No space left" in text or "Disk quota exceeded" in text or "NoSpaceLeft" in text or _free_bytes(output.parent) < 1 << 16:
        raise NoSpace(f"the disk of {output.parent} is full")
    killed = re.search(r"Killed signal|unable to execute command: Killed|terminated with signal 9", text)
    if code < 0 or killed:
        name = signal.Signals(-code).name if code < 0 else "SIGKILL"
        raise DslError(f"{compiler.name} was ended by {name} while it compiled {sources[0].name}", hint="there may be too little memory")
    if "internal compiler error" in text or "PLEASE submit a bug report" in text:
        raise DslError(f"{compiler.name} ({compiler.version}) crashed on {sources[0]}: {_first_error(text)}",
                       hint="set DSLC_CXX to another compiler")
    raise DslError(f"{compiler.name} could not compile {sources[0].name}: {explain(text, sources[0])}")


def explain(stderr: str, source: Path) -> str:
    """The first error in `stderr`, the generated line it is about, and the kernel line that line was made from."""
    found = re.search(r"^(.+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", stderr, re.M)
    if not found:
        return _first_error(stderr)
    file, line, message = found[1], int(found[2]), found[3]
    try:
        lines = source.read_text(errors="replace").splitlines()
    except OSError:
        return f"{message}\n  at {file}:{line}"
    at = _generated_line(lines, file, line, source)
    if at is None:
        return f"{message}\n  at {file}:{line}"
    text = f"{message}\n  {source}:{at + 1}: {lines[at].strip()}"
    origin = next((o for o in (_ORIGIN.match(x) for x in reversed(lines[:at + 1])) if o), None)
    return f"{text}\n  from {origin[1].strip()}" if origin else text


_ORIGIN = re.compile(r"\s*//\s*(\S[^:]*:\d+(?::.*|\s*$))")


def _generated_line(lines: list[str], file: str, line: int, source: Path) -> int | None:
    """The index in `lines` of what the compiler calls file:line, through the #line directives before it."""
    name, number = str(source), 1
    for i, text in enumerate(lines):
        moved = re.match(r'\s*#\s*(?:line\s+)?(\d+)(?:\s+"(.*)")?', text)
        if moved:
            number, name = int(moved[1]), moved[2] or name
            continue
        if number == line and (name == file or os.path.basename(name) == os.path.basename(file)):
            return i
        number += 1
    return None


def _first_error(text: str) -> str:
    lines = [x.strip() for x in text.splitlines() if x.strip()]
    wrong = [x for x in lines if re.search(r"error|undefined reference|cannot find|not found", x)]
    return (wrong or lines or ["it wrote no library and said nothing"])[0]


def open_library(path: Path | str, declarations: str) -> tuple[FFI, Any]:
    """A shared library and what its functions were declared in.  DslError if the loader refuses it."""
    ffi = FFI()
    ffi.cdef(declarations)
    try:
        return ffi, ffi.dlopen(str(path))
    except OSError as e:
        raise DslError(f"{path} cannot be loaded: {e}", hint="`dslc cache clear` rebuilds everything") from e


def call(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Exit status and output of a compiler, whose temporary files lie in `folder` and are removed."""
    temporary = folder / "compiler.tmp"
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(temporary)}
    if any("zig" in os.path.basename(word) for word in command[:3]):
        environment |= dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(shared_cache().folder("zig")))
    try:
        temporary.mkdir(exist_ok=True)
        return _run(command, environment)
    except subprocess.TimeoutExpired:
        raise DslError(f"{command[0]} was stopped after {TIMEOUT_SECONDS:g} s", hint="make the kernel's tiles smaller") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"the disk of {folder} is full") from error
        raise DslError(f"cannot run {command[0]}: {error.strerror}", hint=_HOW_TO_GET_ONE) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
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


def _free_bytes(folder: Path) -> int:
    """A linker that maps its output dies of SIGBUS on a full disk and says nothing, so the disk is asked as well."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize if status.f_blocks else 1 << 62  # some file systems do not count


def _which(word: str) -> str:
    """The program that `word` names, or ""."""
    places = [""] if os.sep in word else os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (os.path.join(place, word) for place in places)
    return next((p for p in paths if os.access(p, os.X_OK) and os.path.isfile(p)), "")


def _candidates() -> Iterator[_Candidate]:
    """In the order of preference, each looked for only when it is asked for; nothing but DSLC_CXX where it is set."""
    if os.environ.get("DSLC_CXX"):
        yield _named_by_user()
    else:
        yield from _usual()


def _named_by_user() -> _Candidate:
    words = _words("DSLC_CXX") or [""]
    program = _which(words[0])
    missing = "" if program else f"there is no program {words[0]!r}"
    return _Candidate(os.path.basename(words[0]), "DSLC_CXX names it", (program, *words[1:]), missing)


def _usual() -> Iterator[_Candidate]:
    for name in ("clang++", "g++"):
        program = _which(name)
        yield _Candidate(name, "found on PATH", (program,), "" if program else "not on PATH")
    wheel = importlib.util.find_spec("ziglang")
    folders = wheel.submodule_search_locations if wheel else None
    program = _which(os.path.join(folders[0], "zig")) if folders else ""
    yield _Candidate("zig c++", "the wheel ziglang is installed", (program, "c++"), "" if program else "the wheel ziglang is not installed")


def _words(variable: str) -> list[str]:
    """The words in an environment variable, quoted as in a shell but never given to one."""
    try:
        return shlex.split(os.environ.get(variable, ""))
    except ValueError as error:
        raise DslError(f"{variable}={os.environ[variable]} cannot be split into words: {error}") from None


def _accept(candidate: _Candidate) -> tuple[Compiler | None, str]:
    """The candidate as a compiler, or why it is none.  What these very files once built is not built again."""
    if candidate.missing:
        return None, candidate.missing
    flags = (*_flags(candidate.command), *_words("DSLC_CXX_FLAGS"))
    compiler = Compiler(candidate.name, candidate.command, "", flags, candidate.why)
    key = digest("compiler", compiler.identity)
    try:
        probe = shared_cache().get(key) or shared_cache().build(key, lambda folder: _try(compiler, folder))
    except DslError as error:
        return None, error.message
    return Compiler(compiler.name, compiler.command, probe.data["version"], flags, compiler.why), ""


def _try(compiler: Compiler, folder: Path) -> dict[str, Any]:
    """Build a tiny library as kernels are built; DslError if that fails or if it is one for another machine."""
    source, output = folder / "probe.cpp", folder / "probe.so"
    source.write_text(_PROBE)
    compile(compiler, [source], output)
    # Not loaded: a library built with a sanitizer would end this process.  Word size, byte order and machine tell enough.
    if _machine("/proc/self/exe") != _machine(output):
        raise DslError(f"{compiler.name} makes libraries for another machine")
    _, text = call([*compiler.command, "--version"], folder)
    return {"version": (text.splitlines() or [""])[0].strip()}


def _machine(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        head = file.read(20)
    return head[:6] + head[18:]


@lru_cache(1)
def cpu() -> str:
    """What -march=native depends on: the machine, and the first processor's model and features."""
    text = ""
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:  # a page tells of one processor; the whole of it takes long
            while "\n\n" not in text and (page := file.read(4096)):
                text += page.decode(errors="replace")
    except OSError:
        text = platform.processor()
    wanted = r"^(?:vendor_id|cpu family|model|stepping|flags|Features|CPU (?:implementer|part|variant))\s*:.*$"
    return "\n".join([os.uname().machine, *re.findall(wanted, text.partition("\n\n")[0], re.M)])


def _flags(command: Sequence[str]) -> tuple[str, ...]:
    names = [os.path.basename(word) for word in command]
    native = "-march=native" if os.uname().machine in ("x86_64", "i686") else "-mcpu=native"
    wide = ("-mprefer-vector-width=512",) if re.search(r"\bavx512f\b", cpu()) else ()
    if any("zig" in name for name in names):
        # Against this process's own C library: for one of its own, zig spends seconds building start-up code and stubs.
        return (*_FLAGS, native, *wide, "-fno-sanitize=undefined", "-nostdlib++", *_loaded_libraries())
    if any("clang" in name for name in names):
        return (*_FLAGS, native, *wide, "-nostdlib++")
    return (*_FLAGS, native, *wide, "-Wl,--as-needed")  # leaves out libstdc++, which no kernel needs


def _loaded_libraries() -> tuple[str, ...]:
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return ()
    found = [re.search(rf"(/\S*/{name}\.so\.6)$", maps, re.M) for name in ("libm", "libc")]
    return ("-nostdlib", *(f[1] for f in found if f)) if all(found) else ()


def _files_behind(command: Sequence[str]) -> list[str]:
    """Real path, bytes and time of change of each word of the command that is a file."""
    rows = []
    for word in command:
        path = os.path.realpath(_which(word) or word)
        if os.path.isfile(path):
            status = os.stat(path)
            rows += [path, str(status.st_size), str(status.st_mtime_ns)]
    return rows
