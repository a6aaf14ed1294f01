"""The limits of this machine for rooflines, measured here: multiply-adds from registers and copies of large arrays, by the threads launches use."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cffi import FFI
from dslc.runtime.cache import digest, shared_cache

from ..common.toolchain import compile, cpu, find_compiler
from .library import thread_pool

SOURCE = Path(__file__).resolve().parent / "limits.c"
_FLAGS = ("-lpthread", "-fvisibility=default", "-ffp-contract=fast")        # the probe counts fused operations, so they must be fused
_DECLARATIONS = """double dslc_f32_rate(void *run, int32_t threads); double dslc_f64_rate(void *run, int32_t threads);
double dslc_copy_rate(void *run, int32_t threads, int64_t bytes, int32_t passes);"""
COPY_BYTES = 1 << 26     # twice this is several times the last-level cache of most processors
_PASSES, _LATER = 8, 1   # a later call only looks whether the machine was busy the first time
_SHORT = 12              # passes of arithmetic to one of copying, which takes as much longer


def limits() -> Mapping[str, float]:
    """GFLOP/s by dtype and GB/s of a copy under "memory": the best that was ever seen on this machine with this many threads.

    Narrow floats are computed as f32 unless the processor has instructions for them; then, and for integers, no limit is given.
    """
    threads = int(os.environ.get("DSLC_THREADS") or 0)
    key = digest("limits", SOURCE.read_text(), find_compiler().identity, str(threads or sorted(os.sched_getaffinity(0))))
    known: dict[str, float] = shared_cache().recall("limits", key) or {}
    now = _measure(threads, _LATER if known else _PASSES)
    best = {k: max(v, known.get(k, 0.0)) for k, v in now.items()}
    shared_cache().remember("limits", key, best)
    return best if "bf16" in cpu() or "amx" in cpu() else {**best, **dict.fromkeys(("f16", "bf16", "f8e4m3", "f8e5m2"), best["f32"])}


def _measure(threads: int, passes: int) -> dict[str, float]:
    ffi, library = _library()
    pool = ffi.cast("void *", int(ffi.cast("uintptr_t", thread_pool(find_compiler()))))
    rates = {"f32": library.dslc_f32_rate, "f64": library.dslc_f64_rate}
    return {**{name: max(rate(pool, threads) for _ in range(_SHORT * passes)) for name, rate in rates.items()},
            "memory": library.dslc_copy_rate(pool, threads, COPY_BYTES, passes)}


def _library() -> tuple[FFI, Any]:
    compiler = find_compiler()

    def produce(folder: Path) -> dict[str, Any]:
        compile(compiler, [SOURCE], folder / "limits.so", extra_flags=_FLAGS)
        return {}

    key = digest("limits", SOURCE.read_text(), *_FLAGS, compiler.identity)
    entry = shared_cache().get(key) or shared_cache().build(key, produce)
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    return ffi, ffi.dlopen(str(entry.path / "limits.so"))
