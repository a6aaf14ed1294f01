"""The command line: what it prints, its exit status, and a C program that uses what `build` made."""
from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys

import pytest
from dslc.errors import DslError
from dslc.passes import run
from dslc.runtime.cli import main
from dslc.runtime.library import library
from dslc.text import parse

SMALL = ["--size", "M=40", "--size", "N=24,K=16", "--repeat", "3"]
TILES = ["BM=16", "BN=16", "BK=16"]
USER = '''
from dslc import const, tile, tile_kernel

@tile_kernel
def twice(x: "T[N]", y: "T[N]", *, BN: const = 32):
    """y = 2 x"""
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(y, (i * BN, BN), tile.load(x, (i * BN, BN)) * 2.0)

@tile_kernel
def wrong(x: "T[N]", y: "T[N]", *, BN: const = 32):
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(y, (i * BN, BN), tile.load(x, (i * BN, N)))

def plain(x):
    return x
'''
MAIN = r"""
#include "gemm.h"
#include <stdio.h>

int main(void) {
  const float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 0, 1, 1, 1};
  float c[4];
  struct gemm_arguments x = {.a = a, .a_stride = {3, 1}, .b = b, .b_stride = {2, 1}, .c = c, .c_stride = {2, 1}, .M = 2, .K = 3, .N = 2};
  const int32_t status = launch_gemm(&x, NULL, 1);
  printf("%d %g %g %g %g\n", (int)status, c[0], c[1], c[2], c[3]);
  return (int)status;
}
"""


@pytest.fixture
def user(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER)
    return path


@pytest.fixture
def shell(capsys):
    """run(*words) -> (status, stdout, stderr)"""
    def run(*words):
        try:
            status = main([str(w) for w in words])
        except SystemExit as e:
            status = e.code
        out = capsys.readouterr()
        return status, out.out, out.err
    return run


# ---------------------------------------------------------------- run and inspect
def test_run(shell):
    status, out, err = shell("run", "gemm", *TILES, *SMALL)
    assert status == 0 and err == ""
    assert out.startswith("gemm  T=f32 U=f32 M=40 K=16 N=24 BM=16")
    for word in ("right: 960 elements of c", "GFLOP/s", "measured here", "numpy.matmul", "median of 3"):
        assert word in out


def test_run_as_data(shell):
    status, out, _ = shell("run", "gemm", *TILES, *SMALL, "--json")
    data = json.loads(out)
    assert status == 0 and data["right"] and data["operations"] == 2 * 40 * 24 * 16 and data["calls"] == 3
    assert data["machine"]["target"] == "cpu" and data["numbers"]["epilogue"] == "identity" and data["fraction_of_roofline"] > 0


def test_run_of_a_users_kernel_is_checked_by_the_interpreter(shell, user):
    status, out, _ = shell("run", f"{user}:twice", "T=f64", "--size", "N=70", "--repeat", "3")
    assert status == 0 and "against the interpreter" in out and "70 elements of y, equal" in out


def test_a_wrong_result_is_status_1(shell, monkeypatch):
    from dslc.kernels import stream
    example = stream.EXAMPLES["copy"]
    monkeypatch.setitem(stream.EXAMPLES, "copy", type(example)(example.sizes, lambda given, _: {"c": stream.Expected(given["a"] + 1)}, example.dtypes))
    status, out, _ = shell("run", "copy", "--size", "N=8", "--repeat", "3")
    assert status == 1 and "WRONG: 8 of 8 elements of c, first at [0]" in out


def test_inspect(shell):
    status, out, _ = shell("inspect", "gemm", *TILES, "--size", "M=32,N=32,K=32")
    assert status == 0 and "65.5 k dot" in out and "programs" in out and "limits measured here" in out
    assert json.loads(shell("inspect", "gemm", *TILES, "--size", "M=32,N=32,K=32", "--json")[1])["programs"] == 4


# ---------------------------------------------------------------- mistakes
@pytest.mark.parametrize(("words", "message"), [
    (["run", "gem"], "did you mean gemm?"), (["run", "no.such.module:f"], "there is no module 'no.such.module'"),
    (["run", "/no/file.py:f"], "there is no file"),
    (["run", "gemm", "BM=x"], "'x' is no number, dtype, or name"), (["run", "gemm", "--size", "Q=3"], "has no dimension Q"),
    (["run", "gemm", "--size", "M=a"], "--size takes"),
    (["run", "gemm", "--target", "vax"], "no target is called 'vax'"), (["run", "w4a16", "--size", "K=100"], "is 25/2 for these sizes"),
    (["build", "attention", "scale=2", "-o", "{tmp}"], "scale is a scalar argument of the call"),
    (["build", "gemm", "-o", "{tmp}", "--print-after", "fused"], "no stage fused"),
    (["ops", "exq2"], "did you mean exp2?"), (["opt", "/no/such.ir"], "cannot read /no/such.ir"), (["run"], "required: KERNEL"), (["no"], "invalid choice")])
def test_mistakes_are_status_2(shell, tmp_path, words, message):
    status, _, err = shell(*(w.replace("{tmp}", str(tmp_path)) for w in words))
    assert status == 2 and message in err and "Traceback" not in err and "internal" not in err


def test_a_mistake_in_the_kernel_has_a_caret(shell, user, monkeypatch):
    status, _, err = shell("run", f"{user}:wrong")
    assert status == 2 and f"{user}:" in err and "^^^" in err and "Traceback" not in err
    monkeypatch.setenv("DSLC_DEBUG", "1")
    assert "Traceback" in shell("run", f"{user}:wrong")[2]


def test_what_is_no_kernel(shell, user):
    assert "plain in" in shell("run", f"{user}:plain")[2]
    assert "did you mean twice?" in shell("run", f"{user}:twic")[2]


def test_a_bug_is_status_3(shell, monkeypatch):
    from dslc.runtime import report
    monkeypatch.setattr(report, "targets", lambda: 1 / 0)
    status, _, err = shell("targets")
    assert status == 3 and "internal error: ZeroDivisionError" in err and "DSLC_DEBUG=1" in err


def test_an_interrupt_is_quiet(shell, monkeypatch):
    from dslc.runtime import report

    def interrupted(_):
        raise KeyboardInterrupt
    monkeypatch.setattr(report, "doctor", interrupted)
    assert shell("doctor") == (130, "", "dslc: interrupted\n")


def test_a_closed_pipe_is_quiet():
    words = [sys.executable, "-c", "import sys; from dslc.cli import main; sys.exit(main(['ops', '--json']))"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() in (0, 141)


# ---------------------------------------------------------------- build and opt
def test_build_makes_a_folder_that_c_can_use(shell, tmp_path):
    folder = tmp_path / "out"
    status, out, _ = shell("build", "gemm", *TILES, "-o", folder, "--save-stages")
    assert status == 0 and "libgemm.so" in out
    data = json.loads((folder / "gemm.json").read_text())
    members = [m["name"] for m in data["arguments"]["members"]]
    assert members == ["a", "a_stride", "b", "b_stride", "c", "c_stride", "M", "K", "N"]
    assert set(data["files"]) <= {p.name for p in folder.iterdir()} and data["function"]["declaration"].removesuffix(";") in (folder / "gemm.h").read_text()
    assert data["specialisation"]["consts"]["epilogue"] == "identity" and data["statuses"]["0"] == "success"
    text = (folder / "gemm.json").read_text()
    assert str(tmp_path) not in text and os.environ.get("DSLC_CACHE_DIR", "\0") not in text
    stages = sorted(folder.glob("*.ir"))
    assert stages[0].name == "00-front-end.ir" and any("places" in p.name for p in stages) and all(parse(p.read_text()).name == "gemm" for p in stages)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "main.c").write_text(MAIN)
    words = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "main.c", f"-I{folder}", f"-L{folder}", "-lgemm", f"-Wl,-rpath,{folder}", "-o", "main"]
    subprocess.run(words, cwd=tmp_path, check=True)
    done = subprocess.run([str(tmp_path / "main")], check=True, capture_output=True, text=True)
    assert done.stdout == "0 4 5 10 11\n"


def test_build_is_the_same_twice(shell, tmp_path):
    for name in "ab":
        assert shell("build", "stream_copy" if "stream_copy" in library() else "copy", "-o", tmp_path / name)[0] == 0
    first, second = ({p.name: p.read_bytes() for p in sorted((tmp_path / n).iterdir())} for n in "ab")
    assert first == second


def test_stages_can_be_printed_and_passes_run_alone(shell, tmp_path, monkeypatch):
    status, out, _ = shell("build", "softmax", "-o", tmp_path, "--print-after", "fuse", "--print-after", "front end")
    assert status == 0 and out.startswith("// after front end\nkernel @softmax") and "// after fuse" in out
    text = out.partition("// after front end\n")[2].partition("// after fuse")[0]
    path = tmp_path / "softmax.ir"
    path.write_text(text)
    status, again, _ = shell("opt", path)
    assert status == 0 and again == text
    status, fused, _ = shell("opt", path, "-p", "fold", "-p", "fuse")
    assert status == 0 and "map(" in fused
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert shell("opt", "-", "-p", "fold", "-p", "fuse")[1] == fused
    assert "no pass is called 'zz'" in shell("opt", path, "-p", "zz")[2]


# ---------------------------------------------------------------- the rest
def test_ops(shell):
    status, out, _ = shell("ops")
    assert status == 0 and "exp2(x: F) -> F" in out
    assert "2^-20 + 2^-22 |x| relative" in shell("ops", "exp2")[1]
    assert {"name", "class", "doc"} <= set(json.loads(shell("ops", "--json")[1])[0])
    table = shell("ops", "--markdown")[1]
    assert "### Reductions" in table and all(line.count("|") - line.count("\\|") == 5 for line in table.splitlines() if line.startswith("|"))


def test_targets_and_doctor(shell):
    status, out, _ = shell("targets")
    assert status == 0 and any(line.startswith("cpu ") for line in out.splitlines())
    assert [row["lacks"] for row in json.loads(shell("targets", "--json")[1]) if row["name"] == "cpu"] == [[]]
    status, out, _ = shell("doctor")
    assert status == 0 and "compilers for cpu" in out and "* is used" in out
    assert json.loads(shell("doctor", "--json")[1])["threads"] >= 1


def test_cache(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("DSLC_CACHE_DIR", str(tmp_path / "cache"))
    assert json.loads(shell("cache", "info", "--json")[1])["entries"] == 0
    assert "0 builds" in shell("cache", "info")[1]
    assert shell("cache", "clear")[1].startswith("removed 0 B")


@pytest.mark.parametrize("command", ["run", "build", "check", "inspect", "ops", "opt", "targets", "doctor", "cache"])
def test_help_has_examples_and_the_exit_status(shell, command):
    status, out, _ = shell(command, "--help")
    assert status == 0 and f"dslc {command}" in out.partition("examples:")[2] and "exit status: 0" in out
    assert max(map(len, out.splitlines())) <= 160


def test_the_pass_that_breaks_the_ir_is_named():
    """Only the end is verified on the way to a binary, see passes.run; the blame must be found all the same."""
    kernel = library()["copy"].ir("front end", T="f32")

    def breaks(k):
        return k.with_ops(op for op in k.body.ops if op.name != "grid")
    with pytest.raises(DslError, match="after breaks"):
        run(kernel, ("fold", "breaks", "dce"), extra={"breaks": breaks})
    with pytest.raises(ZeroDivisionError):
        run(kernel, ("fold", "fails"), extra={"fails": lambda _: 1 // 0})
