"""nvcc: where it is, how it is called, what it says about a kernel, and the loading of what it made.

Order: $DSLC_NVCC (which may hold arguments and is never passed over), nvcc on PATH, $CUDA_HOME or $CUDA_PATH, the pip packages of this Python, /usr/local/cuda.
The host compiler is nvcc's affair where $NVCC_CCBIN is set; else g++ or clang++ on PATH.
"""
from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cffi import FFI
from dslc.errors import DslError
from dslc.runtime.cache import NoSpace, digest

from ..common.toolchain import open_library

HERE = Path(__file__).resolve().parent
COMMON = HERE.parent / "common"
HEADERS = (*(COMMON / f"tile_{part}.h" for part in ("types", "math", "bounds", "workers")), HERE / "tile_products.h", HERE / "tile_wgmma_products.h",
           *(HERE / f"tile_cuda{part}.h" for part in ("", "_math", "_matrix", "_tensor", "_wgmma", "_host")))
TIMEOUT_SECONDS = 300.0
# No contraction: elementwise arithmetic is not fused. No device linking: a kernel is one file. -Wno-psabi: about ABIs of gcc before 4.4.
FLAGS = ("-std=c++17", "-shared", "-nodlink", "-fmad=false", "-Xcompiler", "-fPIC,-fvisibility=hidden,-O1,-Wno-psabi", "-Xptxas", "-v", "--keep")
_DECLARATION = """int32_t launch_{name}(const void *arguments, void *stream);
const char *dslc_cuda_error(int32_t status);
"""
_HOW_TO_GET_ONE = ("pip install 'dslc[toolchains]' (nvcc in wheels) or a CUDA toolkit of version 12.3 or later, or set DSLC_NVCC to an nvcc; "
                   "`dslc doctor` shows what was looked at")


@dataclass(frozen=True)
class Resources:
    """What ptxas says that a kernel uses: registers per thread; spills and stack in bytes per thread; static shared memory in bytes per block."""

    kernel: str
    architecture: str
    registers: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    stack: int = 0
    shared: int = 0
    barriers: int = 0
    remarks: tuple[str, ...] = ()               # losses of speed that ptxas tells, such as C7510, wgmma made serial


@dataclass(frozen=True)
class Nvcc:
    """An nvcc that is there.  `why` says how it came to be considered, `reason` why it cannot be used, if so."""

    name: str
    why: str
    command: tuple[str, ...] = ()
    reason: str = ""

    @property
    def root(self) -> Path:
        return Path(os.path.realpath(self.command[0])).parent.parent

    @property
    def parts(self) -> tuple[str, ...]:
        """The files that decide what it makes."""
        return (*self.command, *(str(self.root / part) for part in ("bin/ptxas", "bin/cudafe++", "nvvm/bin/cicc", "include/crt/host_config.h")))


def _which(word: str) -> str:
    return shutil.which(word) or ""


def _candidates() -> Iterator[Nvcc]:
    chosen = os.environ.get("DSLC_NVCC")
    if chosen:
        words = _words(chosen)
        program = _which(words[0]) if words else ""
        yield Nvcc(chosen, "DSLC_NVCC names it", (program, *words[1:]), "" if program else f"there is no program {chosen!r}")
        return
    on_path = _which("nvcc")
    yield Nvcc("nvcc", "found on PATH", (on_path,), "" if on_path else "not on PATH")
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(variable):
            yield _at(Path(os.environ[variable]), f"{variable} names its toolkit")
    wheel = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in (wheel.submodule_search_locations or ())] if wheel else []
    roots = sorted((p for folder in folders for p in folder.glob("cu[0-9]*") if (p / "bin" / "nvcc").exists()), reverse=True)
    yield _at(roots[0], "installed by pip") if roots else Nvcc("nvcc", "installed by pip", reason="the wheels of cuda-toolkit[nvcc] are not installed")
    yield _at(Path("/usr/local/cuda"), "the usual place")


def _at(root: Path, why: str) -> Nvcc:
    program = _which(str(root / "bin" / "nvcc"))
    return Nvcc(str(root / "bin" / "nvcc"), why, (program,), "" if program else "not there")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise DslError(f"DSLC_NVCC={text} cannot be split into words: {error}") from None


def find_nvcc() -> Nvcc:
    """The nvcc to use.  DslError when there is none, or when the one that DSLC_NVCC names is not there."""
    return _find(*(os.environ.get(name) for name in ("DSLC_NVCC", "PATH", "CUDA_HOME", "CUDA_PATH")))


@lru_cache(8)
def _find(*_environment: str | None) -> Nvcc:
    rows = list(_candidates())
    found = next((row for row in rows if not row.reason), None)
    if found is None:
        raise DslError("no nvcc was found (" + "; ".join(f"{row.why}: {row.reason}" for row in rows) + ")", hint=_HOW_TO_GET_ONE)
    return found


def host_compiler() -> tuple[str, ...]:
    """What nvcc is told to use for the host's half: its files decide what is made.  Empty where NVCC_CCBIN is left to speak for itself."""
    if os.environ.get("NVCC_CCBIN"):
        return ()
    for name in ("g++", "clang++"):
        if _which(name):
            return (_which(name),)
    raise DslError("nvcc needs a host compiler and there is none (no g++ or clang++ on PATH, NVCC_CCBIN is not set)",
                   hint="apt-get install g++ (or your system's package); zig will not do, since CUDA's headers refuse its C++ library")


class NvccToolchain:
    """nvcc for one architecture, such as "sm_90a".  Beside the library lie NAME.ptx, NAME.cubin and NAME.resources.json.

    `strict`: a warning of any of nvcc's parts is an error, as our tests have it; a newer compiler of a user's may warn of more.
    """

    def __init__(self, architecture: str, *, strict: bool = False) -> None:
        self.architecture, self.strict = architecture, strict

    def identity(self) -> str:
        """nvcc's parts, the host compiler, flags and architecture; found without running anything."""
        return str(digest(*_files(find_nvcc().parts), *_files(host_compiler()), *FLAGS, self.architecture, str(self.strict)))

    def command(self, folder: Path, name: str) -> list[str]:
        """The words that compile `name`.cu in `folder`."""
        nvcc, compute = find_nvcc(), self.architecture.replace("sm_", "compute_")
        library = next((nvcc.root / part for part in ("lib64", "lib") if (nvcc.root / part).is_dir()), nvcc.root)
        host = host_compiler()
        return [*nvcc.command, *FLAGS, "--keep-dir", str(folder / "nvcc.kept"), *(("-ccbin", host[0]) if host else ()),
                "-gencode", f"arch={compute},code={self.architecture}", f"-L{library}", *(("-Werror", "all-warnings") if self.strict else ()),
                str(folder / f"{name}.cu"), "-o", str(folder / f"{name}.so")]

    def compile(self, folder: Path, name: str) -> str:
        """`folder`/`name`.cu to a shared library; the headers stay there too, so that the folder is whole."""
        for header in HEADERS:
            shutil.copyfile(header, folder / header.name)
        kept = folder / "nvcc.kept"
        kept.mkdir(exist_ok=True)
        try:
            code, text = _run(self.command(folder, name), kept)
            if code or not (folder / f"{name}.so").exists():
                raise _failure(code, text, folder / f"{name}.cu")
            for kind in ("ptx", "cubin"):
                (kept / f"{name}.{kind}").replace(folder / f"{name}.{kind}")
        finally:
            shutil.rmtree(kept, ignore_errors=True)
        found = [asdict(row) for row in resources(text)]
        (folder / f"{name}.resources.json").write_text(json.dumps({"kernels": found, "warnings": warnings_in(text)}, indent=1) + "\n")
        return f"{name}.so"

    def load(self, binary: Path, name: str) -> Callable[..., int]:
        """The launcher in a shared library, on the default stream.  DslError where no device can run it, or when CUDA refuses a launch."""
        device = find_device()
        check_runs(self.architecture, device)
        ffi, library = open_library(binary, _DECLARATION.format(name=name))
        launcher = getattr(library, f"launch_{name}")

        def launch(arguments: bytes, stream: int = 0) -> int:
            status = int(launcher(ffi.from_buffer(arguments), ffi.cast("void *", stream)))
            if status < 0:
                said = ffi.string(library.dslc_cuda_error(status)).decode(errors="replace")
                raise DslError(f"kernel {name}: CUDA says {said!r} (error {-status}) on {device.name}")
            return status

        return launch

    def report(self) -> list[dict[str, Any]]:
        """Which nvcc were looked at, and why one was chosen."""
        rows: list[dict[str, Any]] = []
        for candidate in _candidates():
            found = not candidate.reason
            chosen = found and not any(row["chosen"] for row in rows)
            rows.append({"name": candidate.name, "command": " ".join(candidate.command), "why": candidate.why, "found": found,
                         "version": version(candidate) if found else "", "flags": " ".join(FLAGS), "chosen": chosen, "reason": candidate.reason})
        return rows


def version(nvcc: Nvcc) -> str:
    """What `nvcc --version` says of its release, or why it cannot be run."""
    try:
        text = subprocess.run([*nvcc.command, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be run: {error}"
    found = re.search(r"release .*", text)
    return found[0] if found else text.strip()[:80]


def _files(paths: Sequence[str]) -> list[str]:
    """Real path, bytes and time of change of each that is a file; the word itself otherwise."""
    rows = []
    for word in paths:
        path = os.path.realpath(word)
        if os.path.isfile(path):
            status = os.stat(path)
            rows += [path, str(status.st_size), str(status.st_mtime_ns)]
        else:
            rows.append(word)
    return rows


def _run(command: Sequence[str], temporary: Path) -> tuple[int, str]:
    """Exit status and output.  nvcc starts programs of its own: a session ends them with it."""
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(temporary)}
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
                              start_new_session=True) as process:
            try:
                text = process.communicate(timeout=TIMEOUT_SECONDS)[0]
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
    except subprocess.TimeoutExpired:
        raise DslError(f"nvcc was stopped after {TIMEOUT_SECONDS:g} s", hint="make the kernel's tiles smaller") from None
    except OSError as error:
        raise DslError(f"cannot run {command[0]}: {error.strerror}", hint=_HOW_TO_GET_ONE) from error
    return process.returncode, text.decode(errors="replace")


# ---------------------------------------------------------------- what it said
_ERROR = re.compile(r"^(?P<file>[^\s(:][^(:\n]*)(?:\((?P<nvcc>\d+)\)|:(?P<host>\d+)(?::\d+)?):\s+"
                    r"(?:fatal |catastrophic )?error\b[^:\n]*:\s*(?P<message>.*)$", re.M)
_WARNING = re.compile(r"^.*\bwarning\b.*$", re.M)
_ORIGIN = re.compile(r"\s*//\s*(\S[^:]*:\d+(?::.*|\s*$))")


def _failure(code: int, text: str, source: Path) -> DslError | NoSpace:
    if re.search(r"No space left|Disk quota exceeded", text):
        return NoSpace(f"the disk of {source.parent} is full")
    if code < 0 or re.search(r"Killed|died due to signal", text):
        return DslError(f"nvcc was ended by a signal while it compiled {source.name}", hint="there may be too little memory")
    if "unsupported GNU version" in text or "unsupported clang version" in text:
        return DslError(f"nvcc refuses its host compiler: {_first_line(text)}", hint="set NVCC_CCBIN to an older g++ or clang++")
    return DslError(f"nvcc could not compile {source.name}: {explain(text, source)}")


def explain(text: str, source: Path) -> str:
    """The first error in `text`, the generated line it is about, and the kernel line that line was made from."""
    rows = list(_ERROR.finditer(text))
    found = next((row for row in rows if os.path.basename(row["file"]) == source.name), rows[0] if rows else None)
    if found is None:
        return _first_line(text)
    number = int(found["nvcc"] or found["host"])
    if os.path.basename(found["file"]) != source.name:
        return f"{found['message']}\n  at {found['file']}:{number}"
    lines = source.read_text(errors="replace").splitlines()[:number]
    said = f"{found['message']}\n  {source}:{number}: {lines[-1].strip() if lines else ''}"
    origin = next((o for o in (_ORIGIN.match(line) for line in reversed(lines)) if o), None)
    return f"{said}\n  from {origin[1].strip()}" if origin else said


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("ptxas info")]
    return next((line for line in lines if "error" in line or "fatal" in line), lines[0] if lines else "it wrote no library and said nothing")


def warnings_in(text: str) -> list[str]:
    return [line.strip() for line in _WARNING.findall(text)]


@dataclass
class _Reading:
    kernel: str
    architecture: str
    numbers: dict[str, int] = field(default_factory=dict)


_NUMBERS = {"registers": r"Used (\d+) registers", "barriers": r"used (\d+) barriers", "shared": r"(\d+) bytes smem", "stack": r"(\d+) bytes stack frame",
            "spill_stores": r"(\d+) bytes spill stores", "spill_loads": r"(\d+) bytes spill loads"}


def resources(text: str) -> list[Resources]:
    """One for each entry function in the output of ptxas -v."""
    rows: list[_Reading] = []
    for line in text.splitlines():
        begun = re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line)
        if begun:
            rows.append(_Reading(begun[1], begun[2]))
        elif rows:
            rows[-1].numbers |= {name: int(found[1]) for name, pattern in _NUMBERS.items() if (found := re.search(pattern, line))}
    remarks = [m.strip() for m in re.findall(r"\(C7\d+\)[^\n]*|Potential Performance Loss[^\n]*", text)]

    def about(kernel: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r for r in remarks if f"'{kernel}'" in r or not re.search(r"function '", r)))

    return [Resources(row.kernel, row.architecture, **row.numbers, remarks=about(row.kernel)) for row in rows]


# ---------------------------------------------------------------- the device
@dataclass(frozen=True)
class Device:
    """The device that kernels run on: the first that the driver shows.  capability: (9, 0) for an H100 or H200."""

    name: str
    capability: tuple[int, int]


_DRIVER = """int cuInit(unsigned flags); int cuDeviceGetCount(int *count); int cuDeviceGet(int *device, int ordinal);
int cuDeviceGetAttribute(int *value, int attribute, int device); int cuDeviceGetName(char *name, int bytes, int device);
"""
_MAJOR, _MINOR = 75, 76                          # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, cuda.h
_EMULATE = "a call with emulate=... runs the same source on the CPU, and `dslc build` needs no device"


@lru_cache(1)
def find_device() -> Device:
    """DslError, saying what is missing, where there is no driver or no device."""
    ffi = FFI()
    ffi.cdef(_DRIVER)
    try:
        driver = ffi.dlopen("libcuda.so.1")
    except OSError:
        raise DslError("this machine has no NVIDIA driver (libcuda.so.1 is not there), so a CUDA kernel can be built but not run", hint=_EMULATE) from None
    code, number, device, name = driver.cuInit(0), ffi.new("int *"), ffi.new("int *"), ffi.new("char[]", 256)
    if code == 0:
        code = driver.cuDeviceGetCount(number)
    if code or number[0] == 0:
        raise DslError("the NVIDIA driver shows no device" + (f" (error {code})" if code else ""), hint=_EMULATE)
    driver.cuDeviceGet(device, 0)
    driver.cuDeviceGetName(name, 256, device[0])
    capability = []
    for attribute in (_MAJOR, _MINOR):
        driver.cuDeviceGetAttribute(number, attribute, device[0])
        capability.append(int(number[0]))
    return Device(ffi.string(name).decode(errors="replace"), (capability[0], capability[1]))


def architecture_here() -> str:
    """The architecture whose code runs best on this machine's device; "" where there is no device, or none of them runs."""
    try:
        major, minor = find_device().capability
    except DslError:
        return ""
    return {(9, 0): "sm_90a", (8, 9): "sm_89"}.get((major, minor)) or {8: "sm_80", 12: "sm_120"}.get(major, "")


def check_runs(architecture: str, device: Device) -> None:
    """Machine code runs on the same major version and a minor one that is no lower; that of an "a" architecture on that one alone."""
    digits = re.sub(r"\D", "", architecture)
    wanted = (int(digits[:-1]), int(digits[-1]))
    exact = architecture.endswith("a")
    if not (device.capability == wanted if exact else device.capability[0] == wanted[0] and device.capability[1] >= wanted[1]):
        raise DslError(f"machine code for {architecture} does not run on {device.name}, which is sm_{device.capability[0]}{device.capability[1]}",
                       hint="name the device's own architecture as in cuda:sm_80")
