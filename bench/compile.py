"""How long dslc takes: to import, to write source, for the first call of a kernel, and for a later process that finds it in the cache.

    python bench/compile.py [--json] [--repeat N]

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
from pathlib import Path
from statistics import median
from typing import Any

GOALS = {"import dslc": 0.25, "source of gemm": 0.05, "source of attention": 0.15, "first call of gemm": 1.0, "second process": 0.06}

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


def goal(what: str) -> float | None:
    return next((g for name, g in GOALS.items() if what.startswith(name) and "bf16" not in what), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", type=int, default=9)
    arguments = parser.parse_args()
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
