"""How long dslc takes: to import, to write source, for the first call of a kernel, and for a later process that finds it in the cache; or each compiler for
each kernel of the library.

    python bench/compile.py [--json] [--repeat N] [--kernels [NAME ..]]

Every figure of a process is the median of several fresh processes; caches are folders of this run.  OPENBLAS_* variables are removed, so that
NumPy starts as it does for a user.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from dslc.backend import backend_of
from dslc.backends.common.toolchain import Compiler, all_compilers, compile
from dslc.backends.cpu.library import HEADERS
from dslc.runtime.library import library
from dslc.runtime.lowering import render
from dslc.runtime.trial import lowered_for, setup

GOALS = {"import dslc": 0.25, "source of gemm": 0.05, "source of attention": 0.15, "first call of gemm": 1.0, "second process": 0.06}

OF_A_KERNEL = 1.0           # seconds that a compiler may take for one
# Beside each kernel as its example has it: what is compiled for other types and sizes that the benchmarks have.
VARIANTS: dict[str, tuple[tuple[dict[str, Any], dict[str, int]], ...]] = {
    "gemm": (({"T": "bf16", "U": "bf16"}, {}), *(({"T": "f32", "U": "f32"}, {"M": m, "N": 4096, "K": 4096}) for m in (4096, 1))),
    "attention": (({"T": "bf16", "causal": True}, {"D": 128, "DV": 128}), ({"T": "f32", "causal": True}, {"D": 128, "DV": 128})),
    "softmax": (({}, {"N": 4096}), ({"T": "bf16"}, {"N": 4096})), "layernorm": (({}, {"N": 4096}), ({"T": "bf16"}, {"N": 4096})),
    "rmsnorm": (({}, {"N": 4096}), ({"T": "bf16"}, {"N": 4096})), "hadamard_rows": tuple(({}, {"D": d}) for d in (256, 4096, 16384))}

_IMPORT = """
import time; start = time.perf_counter()
import dslc
print(time.perf_counter() - start)
"""
_NUMPY = _IMPORT.replace("import dslc", "import numpy")

# Import of the library module is not counted: the user's own module is there by then.
_CALL = """
import time
import numpy as np
from dslc.kernels.gemm import gemm
a, b, c = (np.ones((256, 256), np.float32) for _ in range(3))
start = time.perf_counter()
gemm(a, b, c)
print(time.perf_counter() - start)
"""

_SOURCE = """
import time
from dslc.kernels.attention import attention
from dslc.kernels.gemm import gemm
def timed(kernel, **named):
    rows = []
    for _ in range({repeat} + 2):
        start = time.perf_counter()
        kernel.source("cpu", **named)
        rows.append(time.perf_counter() - start)
    return sorted(rows[2:])[{repeat} // 2]
print(timed(gemm, T="f32", U="f32"))
print(timed(attention, T="f32", D=64, DV=64))
print(timed(attention, T="bf16", D=128, DV=128, causal=True))
"""


def fresh(text: str, folder: Path, **variables: str) -> list[float]:
    """What a new process prints that runs `text` with its cache in `folder`."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("OPENBLAS_")}
    environment |= {"DSLC_CACHE_DIR": str(folder), **variables}
    done = subprocess.run([sys.executable, "-c", text], env=environment, cwd=folder, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def compilers(folder: Path) -> list[dict[str, Any]]:
    """Every C++ compiler that works here."""
    text = ("import json\nfrom dslc.backends.common.toolchain import all_compilers\n"
            "print(json.dumps([[c.name, ' '.join(c.command), c.version] for c in all_compilers()]))")
    environment = {**os.environ, "DSLC_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", text], env=environment, cwd=folder, check=True, capture_output=True, text=True)
    return [dict(zip(("name", "command", "version"), row, strict=True)) for row in json.loads(done.stdout)]


def first_call(folder: Path, command: str, repeat: int) -> list[float]:
    """Seconds of the first call, each with an empty cache but for the compiler's own set-up (its probe and the thread pool)."""
    rows = []
    for n in range(repeat):
        cache = folder / f"{abs(hash(command))}-{n}"
        cache.mkdir(mode=0o700)
        fresh("from dslc.kernels.stream import copy\nimport numpy as np\ncopy(np.ones(8), np.ones(8))", cache, DSLC_CXX=command)
        rows += fresh(_CALL, cache, DSLC_CXX=command)
    return rows


def measure(repeat: int) -> dict[str, Any]:
    """All figures: name -> {"median_s", "min_s", "max_s", "runs"}."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "warm"
        cache.mkdir(mode=0o700)
        rows: dict[str, list[float]] = {"import numpy": [], "import dslc": []}
        fresh(_CALL, cache)
        for _ in range(repeat):
            rows["import numpy"] += fresh(_NUMPY, cache)
            rows["import dslc"] += fresh(_IMPORT, cache)
        sources = [fresh(_SOURCE.replace("{repeat}", "9"), cache) for _ in range(max(repeat // 2, 1))]
        for n, what in enumerate(("source of gemm", "source of attention", "source of attention, bf16 causal")):
            rows[what] = [s[n] for s in sources]
        rows["second process"] = [x for _ in range(repeat) for x in fresh(_CALL, cache)]
        for c in compilers(cache):
            rows[f"first call of gemm, {c['name']}"] = first_call(folder, c["command"], max(repeat // 3, 1))
    return {what: {"median_s": median(v), "min_s": min(v), "max_s": max(v), "runs": len(v)} for what, v in rows.items()}


def written(names: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Kernels of the library, those of these names or all, as source files by name, with what each is specialised for in words."""
    for name, kernel in library().items():
        for settings, sizes in (({}, {}), *VARIANTS.get(name, ())) if name in names or not names else ():
            *_, placed = lowered_for(kernel, setup(kernel, settings, sizes), "cpu")
            words = " ".join(f"{k}={v}" for k, v in (settings | sizes).items())
            yield f"{name} {words}".strip(), render(backend_of("cpu"), placed).files


def seconds(compiler: Compiler, files: dict[str, str], repeat: int) -> tuple[float, float]:
    """Of one compilation, the least that passed and the least that processors were busy; a comment of its own, since zig keeps what it has compiled."""
    passed, busy = [], []
    for n in range(repeat):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for h in HEADERS:
                (folder / h.name).write_text(h.read_text())
            for file, text in files.items():
                (folder / file).write_text(f"{text}\n// {name} {n}\n")
            (source,) = folder.glob("*.cpp")
            start, before = perf_counter(), os.times()
            compile(compiler, [source], folder / "kernel.so")
            after = os.times()
            passed.append(perf_counter() - start)
            busy.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(passed), min(busy)


def each_kernel(names: list[str], repeat: int) -> list[dict[str, Any]]:
    """Rows {"kernel", "compiler", "seconds", "busy_s"}; seconds that pass are those of a user, busy ones say more on a machine that is not idle."""
    found = all_compilers()
    return [dict(zip(("kernel", "compiler", "seconds", "busy_s"), (what, c.name, *seconds(c, files, repeat)), strict=True))
            for what, files in written(names) for c in found]


def goal(what: str) -> float | None:
    return next((g for name, g in GOALS.items() if what.startswith(name) and "bf16" not in what), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--kernels", nargs="*", metavar="NAME", help="what compilers take for each kernel of the library, or for these")
    arguments = parser.parse_args()
    if arguments.kernels is not None:
        compiled = each_kernel(arguments.kernels, arguments.repeat)
        for row in compiled:
            missed = "" if row["seconds"] <= OF_A_KERNEL else f"  goal {1e3 * OF_A_KERNEL:.0f}: MISSED"
            text = f"{row['kernel']:50}  {row['compiler']:8}  {1e3 * row['seconds']:6.0f} ms, busy {1e3 * row['busy_s']:6.0f}{missed}"
            print(json.dumps(row) if arguments.json else text)
        return 0
    rows = measure(arguments.repeat)
    load = os.getloadavg()[0]
    if arguments.json:
        print(json.dumps({"load": load, "cpus": os.cpu_count(), "figures": rows}, indent=2))
        return 0
    width = max(map(len, rows))
    for what, r in rows.items():
        wanted = goal(what)
        note = "" if wanted is None else f"  goal {1e3 * wanted:.0f}: {'met' if r['median_s'] <= wanted else 'MISSED'}"
        print(f"{what:{width}}  {1e3 * r['median_s']:7.1f} ms  ({1e3 * r['min_s']:.1f} to {1e3 * r['max_s']:.1f}, {r['runs']} runs){note}")
    print(f"load {load:.1f} on {os.cpu_count()} processors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
