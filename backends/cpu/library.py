"""Compiling rendered kernels with a C++ compiler, and loading them with cffi."""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from cffi import FFI
from dslc.runtime.cache import digest, shared_cache

from ..common.toolchain import Compiler, candidates, compile, find_compiler, open_library

HERE = Path(__file__).resolve().parent
HEADERS = (*(HERE.parent / "common" / f"tile_{part}.h" for part in ("types", "math", "bounds")),
           *(HERE / f"tile_{part}.h" for part in ("memory", "strips", "bits", "vector", "skinny", "dot", "fields", "panels")))
# One declaration for every launcher: the argument block is passed as bytes, the thread pool as an address.
_DECLARATION = "int32_t launch_{name}(const uint8_t *arguments, void *run, int32_t threads);"
_POOL_FLAGS = ("-lpthread", "-fvisibility=default")
_POOL = "int32_t dslc_parallel(void *body, const void *arguments, int64_t programs, size_t scratch_bytes, int32_t threads);"


class CppToolchain:
    """The C++ compiler found on this machine."""

    def identity(self) -> str:
        """Compiler, flags, processor; found without running anything."""
        return find_compiler().identity

    def compile(self, folder: Path, name: str) -> str:
        """`folder`/`name`.cpp to a shared library beside it; the headers stay there too, so that the folder is whole."""
        for header in HEADERS:
            shutil.copyfile(header, folder / header.name)
        binary = f"{name}.so"
        compile(find_compiler(), [folder / f"{name}.cpp"], folder / binary)
        return binary

    def load(self, binary: Path, name: str) -> Callable[[bytes], int]:
        """The launcher in a shared library, bound to the process's thread pool.  DslError if the loader refuses it."""
        launcher = getattr(_open(str(binary), _DECLARATION.format(name=name)), f"launch_{name}")
        pool, threads = thread_pool(find_compiler()), int(os.environ.get("DSLC_THREADS") or 0)

        def launch(arguments: bytes) -> int:
            return int(launcher(arguments, pool, threads))

        return launch

    def report(self) -> list[dict[str, Any]]:
        return candidates()


_FFI = FFI()
_opened: dict[str, Any] = {}


def _open(path: str, declaration: str) -> Any:
    _opened[path] = open_library(path, declaration)         # a library stays loaded: its code may be running in other threads
    return _opened[path][1]


@lru_cache(maxsize=4)
def thread_pool(compiler: Compiler) -> Any:
    """The address of dslc_parallel, compiled once and shared by all kernels of the process."""
    source = HERE / "threads.c"

    def produce(folder: Path) -> dict[str, Any]:
        compile(compiler, [source], folder / "threads.so", extra_flags=_POOL_FLAGS)
        return {}

    key = digest("threads", source.read_text(), *_POOL_FLAGS, compiler.identity)
    entry = shared_cache().get(key) or shared_cache().build(key, produce)
    library = _open(str(entry.path / "threads.so"), _POOL)
    ffi, _ = _opened[str(entry.path / "threads.so")]
    return _FFI.cast("void *", int(ffi.cast("uintptr_t", ffi.addressof(library, "dslc_parallel"))))
