"""Generated code under AddressSanitizer and UndefinedBehaviorSanitizer: the checks of the specification and the odd kernels, in a process of their own.

numpy's memory comes from the sanitizer's malloc there, so an access one element past an array ends the run.
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# Optimised, with both sanitizers in it, g++ 12 takes four times as long to compile attention (5.1 s).
FLAGS = "-O0 -g0 -fno-var-tracking -fsanitize=address,undefined -fno-sanitize-recover=undefined"
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
BEYOND = """
#include <stdlib.h>
int main(void) { volatile char *p = malloc(8); return p[8]; }
"""


def preload(compiler: str) -> str:
    """The sanitizer's library, or ""."""
    try:
        found = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found if os.path.isabs(found) else ""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which kernels are built with sanitizers (the compiler itself runs without); skips where g++ has none that works."""
    library, folder = preload("g++"), tmp_path_factory.mktemp("sanitizer")
    if not library:
        pytest.skip("g++ is not here, or came without libasan")
    (folder / "beyond.c").write_text(BEYOND)
    built = subprocess.run(["g++", "-x", "c", "beyond.c", "-fsanitize=address,undefined", "-o", "beyond"], cwd=folder, capture_output=True)
    if built.returncode:
        pytest.skip(f"g++ cannot link a program with sanitizers: {built.stderr.decode(errors='replace')[:200]}")
    caught = subprocess.run([folder / "beyond"], capture_output=True, env={**os.environ, **OPTIONS})
    if b"heap-buffer-overflow" not in caught.stderr:
        pytest.skip("the sanitizer does not run here: " + caught.stderr.decode(errors="replace")[:200])
    ours = {k: v for k, v in os.environ.items() if not k.startswith("DSLC_")}
    return {**ours, **OPTIONS, "DSLC_CXX": "env -u LD_PRELOAD g++", "DSLC_CXX_FLAGS": FLAGS, "LD_PRELOAD": library, "DSLC_CACHE_DIR": str(folder / "cache")}


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], env=environment, cwd=HERE.parent, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


SHORT = """
import ctypes, numpy as np
from dslc.backends.cpu.library import CppToolchain
from pathlib import Path
from dslc.backends.common.toolchain import compile, find_compiler
folder = Path(r"{folder}")
(folder / "k.cpp").write_text('extern "C" __attribute__((visibility("default"))) float k(const float *p, long n) {{ return p[n]; }}')
compile(find_compiler(), [folder / "k.cpp"], folder / "k.so")
k = ctypes.CDLL(str(folder / "k.so")).k
x = np.zeros(1000, np.float32)
k(ctypes.c_void_p(x.ctypes.data), ctypes.c_long(1000))
"""


def test_the_sanitizer_sees_numpy(environment: dict[str, str], tmp_path: Path) -> None:
    """One element past an array is told; otherwise the clean runs below would mean nothing."""
    ended = run(environment, "-c", SHORT.format(folder=tmp_path))
    assert ended.returncode and "heap-buffer-overflow" in ended.stdout, ended.stdout[-2000:]


@pytest.mark.parametrize("tests", ["test_spec.py", "test_odd_kernels.py"])
def test_clean(environment: dict[str, str], tests: str) -> None:
    ended = run(environment, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-s", f"tests/{tests}", "-k", "compiled and not by")
    assert ended.returncode == 0 and "runtime error" not in ended.stdout and "Sanitizer" not in ended.stdout, ended.stdout[-6000:]
