"""probes.c compiled by the project's toolchain: limits of the machine, and STREAM in C."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from cffi import FFI
from dslc.backends.common.toolchain import compile, find_compiler
from dslc.runtime.cache import digest, shared_cache

SOURCE = Path(__file__).resolve().parent / "probes.c"
UNLOCK = Path(__file__).resolve().parent / "unlock.c"
_FLAGS = ("-lpthread", "-fvisibility=default", "-ffp-contract=fast")
_DECLARATIONS = """int32_t bench_threads(int32_t threads);
double bench_run(int32_t what, int32_t streaming, const double *a, const double *b, double *c, int64_t n);"""
WHAT = {"f32": 0, "f64": 1, "bf16": 2, "i8": 3, "popcount": 4, "read": 5, "copy": 6, "scale": 7, "add": 8, "triad": 9}
COMPUTE = ("f32", "f64", "bf16", "i8", "popcount")


def built(source: Path) -> Path:
    """The shared library of a C file, from the cache or compiled now."""
    compiler = find_compiler()

    def produce(folder: Path) -> dict[str, Any]:
        compile(compiler, [source], folder / "probe.so", extra_flags=_FLAGS)
        return {}

    key = digest("bench", source.read_text(), *_FLAGS, compiler.identity)
    entry = shared_cache().get(key) or shared_cache().build(key, produce)
    return Path(entry.path) / "probe.so"


def opened(threads: int) -> tuple[FFI, Any]:
    """The probes with their threads; one set for each process."""
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    library = ffi.dlopen(str(built(SOURCE)))
    if library.bench_threads(threads):
        raise OSError(f"{threads} threads cannot be started")
    return ffi, library
