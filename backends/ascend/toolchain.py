"""CANN: where it is, how its compiler bisheng is called, and the loading of what that made.

CANN is the folder that ASCEND_HOME_PATH names (its set_env.sh sets it), 8.x or 9.x; its version is read from the installation's files, and
nothing is run to find it.  DSLC_BISHENG names another bisheng, and may hold arguments.
"""
from __future__ import annotations

import atexit
import importlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI
from dslc.errors import DslError, check
from dslc.runtime.cache import NoSpace, digest

from ..common import toolchain as host

HERE = Path(__file__).resolve().parent
COMMON = HERE.parent / "common"
# --npu-arch of an architecture, and what compilers before CANN 8.3 call it (CANN documentation, Ascend C, "compiling with bisheng").
ARCHITECTURES = {"910b": ("dav-2201", "dav-c220")}
# Synchronisation is in the source: the compiler must add none.
FLAGS = ("-O2", "-std=c++17", "-fPIC", "--shared", "--cce-auto-sync=off")
_LIBRARIES = ("ascendcl", "runtime", "tiling_api", "platform", "c_sec")        # linked where the installation has them
_INCLUDES = ("include", "compiler/tikcpp/tikcfw", "compiler/tikcpp/tikcfw/impl", "compiler/tikcpp/tikcfw/interface", "compiler/asc/include",
             "asc/include", "include/experiment/runtime", "include/experiment/msprof")
_PLACES = ("bin/bisheng", "compiler/ccec_compiler/bin/bisheng", "compiler/bin/bisheng", "tools/bisheng_compiler/bin/bisheng")
_VERSIONS = ("*-linux/ascend_toolkit_install.info", "ascend_toolkit_install.info", "*-linux/version.cfg", "version.cfg", "version.info",
             "compiler/version.info")
_FIRST_ASC = (8, 3)      # the first CANN whose bisheng takes -xasc and --npu-arch; before it -xcce and --cce-aicore-arch
_OLDER = tuple(word for option in ("stack-size=0x8000", "function-stack-size=0x8000", "record-overflow=true", "addr-transform",
                                   "dcci-insert-for-scalar=false") for word in ("-mllvm", f"-cce-aicore-{option}"))
NO_CANN = "no CANN: ASCEND_HOME_PATH is not set"
_HOW_TO_GET_ONE = "install CANN 8.x or 9.x and source its set_env.sh; a call with emulate=... checks the same source on this processor"
_DECLARATION = """int32_t launch_{name}(const void *arguments, void *stream);
const char *dslc_ascend_error(int32_t status); int32_t dslc_ascend_wait(void *stream); void dslc_ascend_release(void);
"""


# ---------------------------------------------------------------- the installation
@dataclass(frozen=True)
class Cann:
    """An installation.  version: as its files say, "" where they do not; reason: why it cannot be used, if so."""

    root: Path
    version: str
    command: tuple[str, ...]
    why: str
    reason: str = ""

    @property
    def number(self) -> tuple[int, int]:
        """(8, 1) of 8.1.RC1; an unknown version is taken for a new one."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else (9, 0)

    @property
    def parts(self) -> list[str]:
        """Whatever decides what it makes: the compiler's file by bytes and time of change, and the version."""
        path = os.path.realpath(self.command[0])
        status = os.stat(path)
        return [path, str(status.st_size), str(status.st_mtime_ns), *self.command, str(self.root), self.version]


def candidate() -> Cann:
    """The installation that the environment names, or why there is none."""
    said, named = os.environ.get("ASCEND_HOME_PATH", ""), os.environ.get("DSLC_BISHENG", "")
    if not said:
        return Cann(Path(), "", (), "ASCEND_HOME_PATH names it", NO_CANN)
    root, why = Path(said), "ASCEND_HOME_PATH names its CANN"
    if not root.is_dir():
        return Cann(root, "", (), why, f"no CANN: ASCEND_HOME_PATH is {said}, which is no folder")
    if named:
        try:
            words = shlex.split(named) or [""]
        except ValueError as error:
            raise DslError(f"DSLC_BISHENG={named} cannot be split into words: {error}") from None
        program, why = shutil.which(words[0]) or "", "DSLC_BISHENG names it"
        reason = "" if program else f"there is no program {words[0]!r}"
        return Cann(root, version_of(root), (program, *words[1:]), why, reason)
    program = next((str(root / place) for place in _PLACES if os.access(root / place, os.X_OK)), "") or shutil.which("bisheng") or ""
    return Cann(root, version_of(root), (program,), why, "" if program else f"{root} has no bisheng ({', '.join(_PLACES)}), nor has PATH")


def find_cann() -> Cann:
    """The installation to use.  DslError where there is none, or it has no compiler."""
    found = candidate()
    check(not found.reason, found.reason, hint=_HOW_TO_GET_ONE)
    return found


def version_of(root: Path) -> str:
    """What the files of an installation call its version: "8.1.RC1"; "" if they say nothing."""
    for pattern in _VERSIONS:
        for path in sorted(root.glob(pattern)):
            found = re.search(r"^\s*(?:\w*_)?version\w*\s*=\s*\[?(?:[^\d\]\n]*:)?([\w.\-]+)", path.read_text(errors="replace"), re.M | re.I)
            if found:
                return found[1]
    return ""


# ---------------------------------------------------------------- compiling and loading
class AscendToolchain:
    """bisheng for one architecture, "910b".  The headers stay beside the source, so that the folder is whole."""

    def __init__(self, architecture: str) -> None:
        check(architecture in ARCHITECTURES, f"no Ascend architecture is called {architecture!r}", hint=f"known: {', '.join(ARCHITECTURES)}")
        self.architecture = architecture

    def identity(self) -> str:
        """Compiler, version, flags, architecture; found without running anything."""
        return str(digest("ascend", self.architecture, *find_cann().parts, *FLAGS))

    def command(self, folder: Path, name: str) -> list[str]:
        """The words that compile `name`.cpp in `folder`."""
        cann, (new, old) = find_cann(), ARCHITECTURES[self.architecture]
        language = ["-xasc", f"--npu-arch={new}"] if cann.number >= _FIRST_ASC else ["-xcce", f"--cce-aicore-arch={old}", *_OLDER]
        includes = [f"-I{folder}", *(f"-I{cann.root / part}" for part in _INCLUDES if (cann.root / part).is_dir())]
        library = cann.root / "lib64"
        present = [f"-l{n}" for n in _LIBRARIES if n == "ascendcl" or (library / f"lib{n}.so").exists() or (library / f"lib{n}.a").exists()]
        return [*cann.command, *language, *FLAGS, f"-DDSLC_CANN={cann.number[0]}", *includes, str(folder / f"{name}.cpp"),
                "-o", str(folder / f"{name}.so"), f"-L{library}", *present, "-ldl"]

    def compile(self, folder: Path, name: str) -> str:
        """`folder`/`name`.cpp to a shared library that holds the kernel for the NPU and its launcher."""
        command, source = self.command(folder, name), folder / f"{name}.cpp"
        for header in sorted((*(COMMON / f"tile_{part}.h" for part in ("types", "math", "bounds")), *HERE.glob("tile_ascend*.h"))):
            shutil.copyfile(header, folder / header.name)
        code, text = host.call(command, folder)
        if "No space left" in text or "Disk quota exceeded" in text:
            raise NoSpace(f"the disk of {folder} is full")
        check(code >= 0, f"bisheng was ended by signal {-code} while it compiled {source.name}", hint="there may be too little memory")
        if code or not (folder / f"{name}.so").exists():
            raise DslError(f"bisheng could not compile {source.name}: {host.explain(text, source)}")
        return f"{name}.so"

    def load(self, binary: Path, name: str) -> Callable[..., int]:
        """The launcher in a shared library; each call waits for the kernel.  DslError where ACL or a device is missing, or a kernel faults."""
        acl()
        ffi, library = host.open_library(binary, _DECLARATION.format(name=name))
        launcher = getattr(library, f"launch_{name}")
        atexit.register(library.dslc_ascend_release)            # runs before ACL ends: what is registered last runs first

        def launch(arguments: bytes, stream: int | None = None) -> int:
            on = ffi.cast("void *", current_stream() if stream is None else stream)
            status = int(launcher(ffi.from_buffer(arguments), on)) or int(library.dslc_ascend_wait(on))
            said = ffi.string(library.dslc_ascend_error(status)).decode(errors="replace").strip() if status < 0 else ""
            check(status >= 0, f"{name} failed on the device: {said} (error {-status})")
            return status

        return launch

    def report(self) -> list[dict[str, Any]]:
        """For `dslc doctor`: the one place that is looked at."""
        c = candidate()
        found = not c.reason
        return [{"name": "bisheng", "command": " ".join(c.command), "why": c.why, "found": found,
                 "version": f"bisheng of CANN {c.version or 'of an unknown version'}" if found else "", "flags": " ".join(FLAGS), "chosen": found,
                 "reason": c.reason}]


def current_stream() -> int:
    """torch's stream where torch_npu is in use, so that a kernel comes after what the program asked for before; else ACL's default stream, 0."""
    if "torch_npu" not in sys.modules:
        return 0
    return int(importlib.import_module("torch").npu.current_stream().npu_stream)


# ---------------------------------------------------------------- the device
_ACL = """int aclInit(const char *path); int aclFinalize(void); int aclrtSetDevice(int32_t device); int aclrtGetDevice(int32_t *device);
int aclrtCreateStream(void **stream); int aclrtDestroyStream(void *stream); int aclrtSynchronizeStream(void *stream);
int aclrtMalloc(void **at, size_t bytes, int policy); int aclrtFree(void *at); int aclrtMemcpy(void *to, size_t room, const void *from, size_t bytes, int kind);
const char *aclrtGetSocName(void); const char *aclGetRecentErrMsg(void);
"""
# CANN documentation, AscendCL API: aclrtMemMallocPolicy, aclrtMemcpyKind, aclError.
_HUGE_FIRST, _TO_DEVICE, _TO_HOST, _INITIALISED_TWICE = 0, 1, 2, 100002


class Acl:
    """The ACL runtime of this process, initialised, with a device set: DSLC_DEVICE, else the one that is set already, else 0."""

    def __init__(self, library: Any, ffi: FFI) -> None:
        self._library, self.ffi = library, ffi
        code = library.aclInit(ffi.NULL)
        check(code in (0, _INITIALISED_TWICE), f"ACL cannot be initialised: {self._said()} (error {code})")
        number, chosen = ffi.new("int32_t *"), os.environ.get("DSLC_DEVICE")
        if chosen or library.aclrtGetDevice(number):
            self.call("aclrtSetDevice", int(chosen or 0))
            number[0] = int(chosen or 0)
        self.device = int(number[0])
        if code == 0:
            atexit.register(library.aclFinalize)

    def call(self, function: str, *arguments: Any) -> None:
        """An ACL function that returns a status; DslError with ACL's words if it is not 0."""
        code = getattr(self._library, function)(*arguments)
        check(code == 0, f"{function}: {self._said()} (error {code})")

    def _said(self) -> str:
        said = self._library.aclGetRecentErrMsg()
        return self.ffi.string(said).decode(errors="replace").strip() if said != self.ffi.NULL else "no reason is given"

    @property
    def chip(self) -> str:
        """The chip's name, such as "Ascend910B3"."""
        said = self._library.aclrtGetSocName()
        return self.ffi.string(said).decode(errors="replace") if said != self.ffi.NULL else ""

    def stream(self) -> int:
        """A new stream."""
        made = self.ffi.new("void **")
        self.call("aclrtCreateStream", made)
        return int(self.ffi.cast("uintptr_t", made[0]))

    def wait(self, stream: int = 0) -> None:
        self.call("aclrtSynchronizeStream", self.ffi.cast("void *", stream))

    def array(self, value: Any) -> DeviceArray:
        """A copy of a numpy array on the device."""
        return DeviceArray(self, np.ascontiguousarray(value))


@lru_cache(1)
def acl() -> Acl:
    """The runtime; DslError where libascendcl is not there or no device answers."""
    ffi = FFI()
    ffi.cdef(_ACL)
    folder = os.environ.get("ASCEND_HOME_PATH", "")
    for path in ("libascendcl.so", *((str(Path(folder) / "lib64" / "libascendcl.so"),) if folder else ())):
        try:
            library = ffi.dlopen(path, ffi.RTLD_NOW | ffi.RTLD_GLOBAL)      # kernels' libraries find it there
        except OSError:
            continue
        return Acl(library, ffi)
    raise DslError("an Ascend kernel cannot be launched here: libascendcl.so cannot be opened", hint=_HOW_TO_GET_ONE)


class DeviceArray:
    """An array on the NPU for programs without torch: `acl().array(x)`, passed to a kernel as it is, then `.numpy()`.  Row-major."""

    requires_grad = False

    def __init__(self, runtime: Acl, value: np.ndarray[Any, Any]) -> None:
        self._acl, self.shape, self._numpy = runtime, value.shape, value.dtype
        self.dtype, self.device = value.dtype.name, f"npu:{runtime.device}"
        self._at = runtime.ffi.new("void **")
        runtime.call("aclrtMalloc", self._at, max(value.nbytes, 1), _HUGE_FIRST)
        if value.nbytes:
            runtime.call("aclrtMemcpy", self._at[0], value.nbytes, runtime.ffi.from_buffer(value.reshape(-1).view(np.uint8)), value.nbytes, _TO_DEVICE)

    def data_ptr(self) -> int:
        return int(self._acl.ffi.cast("uintptr_t", self._at[0]))

    def stride(self) -> tuple[int, ...]:
        return tuple(prod(self.shape[n + 1:]) for n in range(len(self.shape)))

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy on the host."""
        out = np.empty(self.shape, self._numpy)
        if out.nbytes:
            bytes_ = self._acl.ffi.from_buffer(out.reshape(-1).view(np.uint8), require_writable=True)
            self._acl.call("aclrtMemcpy", bytes_, out.nbytes, self._at[0], out.nbytes, _TO_HOST)
        return out

    def __del__(self) -> None:
        if getattr(self, "_at", None) is not None and self._at[0] != self._acl.ffi.NULL and not sys.is_finalizing():
            self._acl.call("aclrtFree", self._at[0])
            self._at[0] = self._acl.ffi.NULL
