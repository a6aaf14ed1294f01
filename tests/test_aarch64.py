"""The specification's checks on NEON, compiled for aarch64 and run by qemu-user.

$DSLC_AARCH64 names a folder with `root`, the files of an aarch64 Python and its C library, and `site`, its packages; docs/benchmarks.md says how to fill it.
"""
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("qemu-aarch64", "aarch64-linux-gnu-g++")
FOLDER = Path(os.environ.get("DSLC_AARCH64", "/nonexistent"))


@pytest.mark.long
@pytest.mark.skipif(not all(map(which, TOOLS)) or not FOLDER.is_dir(), reason=f"needs {' and '.join(TOOLS)} on PATH, and DSLC_AARCH64")
def test_checks(tmp_path: Path) -> None:
    """An emulated Python that calls the compiler of this machine; the processor is one with NEON, dot products and halves."""
    package = tmp_path / "dslc"
    package.mkdir()
    for path in (ROOT / "dsl").iterdir():
        (package / path.name).symlink_to(path)
    for folder in ("backends", "bench", "kernels", "runtime"):
        (package / folder).symlink_to(ROOT / folder)
    environment = {**os.environ, "DSLC_CXX": TOOLS[1], "DSLC_CXX_FLAGS": "-mcpu=neoverse-n1", "DSLC_CACHE_DIR": str(tmp_path / "cache"),
                   "PYTHONPATH": f"{tmp_path}:{FOLDER / 'site'}", "PYTHONDONTWRITEBYTECODE": "1"}
    (python,) = (FOLDER / "root" / "usr" / "bin").glob("python3.*[0-9]")
    words = [TOOLS[0], "-L", str(FOLDER / "root"), str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "test_spec.py"),
             "-k", "compiled and not by"]
    ended = subprocess.run(words, cwd=ROOT, env=environment, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]
    assert " passed" in ended.stdout
