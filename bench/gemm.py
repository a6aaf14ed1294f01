"""dslc's gemm beside numpy.matmul: ratios, medians and spreads, and the limits of this machine, for several sizes and numbers of threads.

    python bench/gemm.py [--size M,N,K ..] [--threads 1 2 ..] [--seconds S] [--const BM=128 ..] [--no-write]

Both run in one process on the same random data, in turn, with a pause between them (dslc.runtime.trial.timed) so that NumPy's
idle threads, which spin for some milliseconds, do not run beside ours.  dslc is called through kernels.gemm.matmul.  Each number of threads
is a process of its own; OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are removed.
Results go to bench/results/gemm-<processor>.json with device, versions and commit.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
SIZES = ("64,64,64", "256,256,256", "512,512,512", "1024,1024,1024", "2048,2048,2048", "1000,1000,1000", "4096,64,4096", "32,4096,4096", "1,4096,4096")


def measure(shape: str, seconds: float, dtype: str, consts: dict[str, int]) -> dict[str, Any]:
    """Medians, least times and spreads of both, in this process."""
    import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy
    import numpy as np
    from dslc.backend import backend_of
    from dslc.kernels.gemm import matmul
    from dslc.runtime.trial import spread, timed

    m, n, k = map(int, shape.split(","))
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(s, np.float32).astype(dtype) for s in ((m, k), (k, n)))
    c, d = np.empty((m, n), np.float32 if a.dtype.itemsize < 4 else a.dtype), np.empty((m, n), a.dtype)
    calls = {"dslc": lambda: matmul(a, b, out=c, **consts), "numpy": lambda: np.matmul(a, b, out=d)}
    for call in calls.values():
        call()
    error = float(np.abs(c.astype(np.float64) - d.astype(np.float64)).max())
    times = dict(zip(calls, timed(list(calls.values()), seconds=seconds), strict=True))
    work = 2.0 * m * n * k
    out: dict[str, Any] = {"shape": [m, n, k], "dtype": dtype, "largest_difference": error, "limits": dict(backend_of("cpu").peak()),
                           "load": os.getloadavg()[0]}
    for name, row in times.items():
        out[name] = {"median_s": median(row), "min_s": min(row), "spread": spread(row), "calls": len(row), "gflops": work / median(row) / 1e9,
                     "best_gflops": work / min(row) / 1e9}
    out["ratio"] = out["numpy"]["median_s"] / out["dslc"]["median_s"]
    out["ratio_of_best"] = out["numpy"]["min_s"] / out["dslc"]["min_s"]
    return out


def in_process(shape: str, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a new process with that many threads for both."""
    environment = {n: v for n, v in os.environ.items() if n not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment |= {"DSLC_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--measure", shape, "--seconds", str(arguments.seconds), "--dtype", arguments.dtype, "--const", *arguments.const]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"measuring {shape} failed:\n{done.stderr}")
    return {"threads": threads, **json.loads(done.stdout)}


def machine() -> dict[str, Any]:
    """Device, versions, commit."""
    import numpy as np
    from dslc.runtime.report import processor
    from dslc.runtime.trial import compiler_of
    from dslc.runtime.version import RELEASE

    row = compiler_of("cpu")
    commit = subprocess.run(["git", "-C", str(HERE), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    name, features = processor()
    return {"processor": name, "features": features, "cpus": len(os.sched_getaffinity(0)), "compiler": row["version"], "flags": row.get("flags", ""),
            "dslc": RELEASE, "numpy": np.__version__, "blas": f"{blas.get('name')} {blas.get('version')}", "commit": commit, "date": time.strftime("%Y-%m-%d")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="*", default=SIZES)
    parser.add_argument("--threads", nargs="*", type=int, default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--const", nargs="*", default=[])
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        consts = {n: int(v) for n, _, v in (word.partition("=") for word in arguments.const)}
        print(json.dumps(measure(arguments.measure, arguments.seconds, arguments.dtype, consts)))
        return 0
    here = machine()
    print(f"{here['processor']}, {here['cpus']} processors, {here['compiler']}, numpy {here['numpy']} ({here['blas']}), commit {here['commit']}")
    print(f"{'M,N,K':>16} {'threads':>7} {'dslc GFLOP/s':>20} {'numpy GFLOP/s':>20} {'ratio':>6} {'of best':>7} {'limit':>6} {'reached':>7}")
    rows = []
    for threads in arguments.threads:
        for shape in arguments.size:
            r = in_process(shape, threads, arguments)
            rows.append(r)
            d, n = r["dslc"], r["numpy"]
            limit = r["limits"].get({"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}[r["dtype"]], 0.0)
            reached = d["gflops"] / limit if limit else 0
            print(f"{shape:>16} {threads:>7} {d['gflops']:>12.1f} +-{100 * d['spread']:4.1f}% {n['gflops']:>12.1f} +-{100 * n['spread']:4.1f}% "
                  f"{r['ratio']:>6.2f} {r['ratio_of_best']:>7.2f} {limit:>6.0f} {reached:>7.0%}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    if not arguments.no_write:
        name = re.sub(r"\W+", "-", here["processor"]).strip("-").lower()
        folder = HERE / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"gemm-{name}-{arguments.dtype}.json").write_text(json.dumps({"machine": here, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
