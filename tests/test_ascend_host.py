"""CANN is found by its environment, bisheng is called as documented, its words are read rightly, and launches go through ACL.

There is no CANN here: bisheng is a script that writes down how it was called, and libascendcl a small library with the functions that are used.
"""
from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from dslc.backends.ascend import toolchain
from dslc.backends.ascend.toolchain import AscendToolchain, candidate, find_cann, version_of
from dslc.backends.common import toolchain as host
from dslc.errors import DslError
from dslc.runtime.cli import main

HERE = Path(toolchain.__file__).resolve().parent
KERNEL = """#include "kernel_operator.h"
#include "tile_ascend_host.h"
struct scale_arguments { void *x; int64_t n; };
extern "C" void scale_programs(GM_ADDR x, int64_t n, GM_ADDR workspace, GM_ADDR status) {
  for (int64_t i = 0; i < n; ++i)
    // scale.py:7: x[i] = x[i] * 2
    ((float *)x)[i] *= 2.0f;
  *(int32_t *)workspace = 1;
  if (n == 13) *(int32_t *)status = 17;
}
extern "C" DSLC_EXPORT int32_t launch_scale(const scale_arguments *packed, void *stream) {
  const GM_ADDR workspace = workspace_at(ai_cores() * 64, stream);
  if (!workspace) return no_memory;
  const GM_ADDR status = status_word(stream);
  if (!status) return no_memory;
  const int32_t started = DSLC_LAUNCH(scale_programs, vector_cores(), stream, (GM_ADDR)packed->x, packed->n, workspace, status);
  return started ? started : read_status(status, stream);
}
"""
# What the functions of libascendcl look like to the launcher, and what the toolchain calls of it; memory of "the device" is the host's.
ACL_H = """#pragma once
#include <stddef.h>
#include <stdint.h>
typedef int aclError; typedef void *aclrtStream;
enum { ACL_SUCCESS = 0 }; typedef enum { ACL_MEM_MALLOC_HUGE_FIRST } aclrtMemMallocPolicy; typedef enum { ACL_MEMCPY_DEVICE_TO_HOST = 2 } aclrtMemcpyKind;
extern "C" {
aclError aclrtGetDevice(int32_t *); aclError aclrtMalloc(void **, size_t, aclrtMemMallocPolicy); aclError aclrtFree(void *);
aclError aclrtMemcpy(void *, size_t, const void *, size_t, aclrtMemcpyKind); aclError aclrtMemsetAsync(void *, size_t, int32_t, size_t, aclrtStream);
aclError aclrtSynchronizeStream(aclrtStream); const char *aclrtGetSocName(void); const char *aclGetRecentErrMsg(void);
}
typedef unsigned char *GM_ADDR;
"""
STAND_IN = """#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int device = -1;
int aclInit(const char *p) { puts("aclInit"); return p != 0; }
int aclFinalize(void) { puts("aclFinalize"); fflush(stdout); return 0; }
int aclrtSetDevice(int32_t d) { device = d; printf("aclrtSetDevice %d\\n", d); return 0; }
int aclrtGetDevice(int32_t *d) { *d = device; return device < 0 ? 107002 : 0; }
int aclrtCreateStream(void **s) { static int one; *s = &one; return 0; }
int aclrtDestroyStream(void *s) { return 0; }
int aclrtSynchronizeStream(void *s) { return device == 5 ? 507015 : 0; }
int aclrtMalloc(void **p, size_t n, int policy) { *p = n == 640 ? 0 : malloc(n); printf("aclrtMalloc %zu\\n", n); return *p ? 0 : 207001; }
int aclrtFree(void *p) { puts("aclrtFree"); free(p); return 0; }
int aclrtMemcpy(void *to, size_t room, const void *from, size_t n, int kind) { memcpy(to, from, n); return kind < 1 || room < n; }
int aclrtMemsetAsync(void *p, size_t room, int32_t v, size_t n, void *s) { memset(p, v, n); return room < n; }
const char *aclrtGetSocName(void) { return getenv("CHIP") ? getenv("CHIP") : "Ascend910B1"; }
const char *aclGetRecentErrMsg(void) { return device == 5 ? "the vector core has an exception" : 0; }
#ifdef NEWER
int aclrtGetDeviceInfo(uint32_t d, int attribute, int64_t *value) { *value = attribute == 101 ? 22 : attribute == 201 ? 44 : 0; return 0; }
#endif
"""


def program(path: Path, text: str = "exit 1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def cann(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installation of CANN 9.0 with a bisheng that notes its words and writes a file, and nothing else in the environment."""
    root = tmp_path / "cann"
    program(root / "bin" / "bisheng", f'printf "%s\\n" "$@" > {tmp_path}/words; while [ "$1" != -o ]; do shift; done; echo built > "$2"')
    for part in ("include", "lib64", "compiler/tikcpp/tikcfw", "x86_64-linux"):
        (root / part).mkdir(parents=True)
    for library in ("ascendcl", "runtime", "c_sec"):
        (root / "lib64" / f"lib{library}.so").touch()
    (root / "x86_64-linux" / "ascend_toolkit_install.info").write_text("package_name=Ascend-cann-toolkit\nversion=9.0.0\ninnerversion=V100R001\n")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(root))
    monkeypatch.delenv("DSLC_BISHENG", raising=False)
    return root


def built(folder: Path, text: str = KERNEL) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "scale.cpp").write_text(text)
    return folder


# ---------------------------------------------------------------- finding it
def test_without_cann(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    for ask in (AscendToolchain("910b").identity, find_cann):
        with pytest.raises(DslError, match=r"^no CANN: ASCEND_HOME_PATH is not set"):
            ask()
    (row,) = AscendToolchain("910b").report()
    assert not row["found"] and not row["chosen"] and row["reason"] == "no CANN: ASCEND_HOME_PATH is not set"
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "gone"))
    assert "which is no folder" in candidate().reason
    (tmp_path / "gone").mkdir()
    monkeypatch.setenv("PATH", "")
    assert "has no bisheng" in candidate().reason
    with pytest.raises(DslError, match="no Ascend architecture is called '310p'"):
        AscendToolchain("310p")


@pytest.mark.parametrize(("file", "text", "version"), [
    ("aarch64-linux/ascend_toolkit_install.info", "package_name=Ascend-cann-toolkit\nversion=8.1.RC1\n", "8.1.RC1"),
    ("version.cfg", "# version: 1.0\nrunning_version=[8.3.RC2:8.3.RC2]\n", "8.3.RC2"),
    ("compiler/version.info", "Version=9.0.0-beta.2\nversion_dir=9.0\n", "9.0.0-beta.2"), ("nothing", "Version=8\n", "")])
def test_the_version_is_read_from_files(tmp_path: Path, file: str, text: str, version: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert version_of(tmp_path) == version


def test_identity_runs_nothing_and_follows_the_files(cann: Path, tmp_path: Path) -> None:
    tool = AscendToolchain("910b")
    before = tool.identity()
    assert before == tool.identity() and not (tmp_path / "words").exists()
    program(cann / "bin" / "bisheng", "another one")
    after = tool.identity()
    (cann / "x86_64-linux" / "ascend_toolkit_install.info").write_text("version=9.1.0\n")
    assert len({before, after, tool.identity()}) == 3
    (row,) = tool.report()
    assert row["chosen"] and row["version"] == "bisheng of CANN 9.1.0" and not (tmp_path / "words").exists()


def test_another_bisheng(cann: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = program(tmp_path / "mine")
    monkeypatch.setenv("DSLC_BISHENG", f"{mine} -g")
    assert find_cann().command == (str(mine), "-g")
    monkeypatch.setenv("DSLC_BISHENG", "/nowhere/bisheng")
    with pytest.raises(DslError, match="no program '/nowhere/bisheng'"):
        find_cann()


# ---------------------------------------------------------------- calling it
def test_command_line_of_9(cann: Path, tmp_path: Path) -> None:
    folder = built(tmp_path / "out")
    assert AscendToolchain("910b").compile(folder, "scale") == "scale.so"
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:7] == ["-xasc", "--npu-arch=dav-2201", "-O2", "-std=c++17", "-fPIC", "--shared", "--cce-auto-sync=off"] and "-DDSLC_CANN=9" in words
    assert [w for w in words if w.startswith("-I")] == [f"-I{p}" for p in (folder, cann / "include", cann / "compiler/tikcpp/tikcfw")]
    assert words[-5:] == [f"-L{cann / 'lib64'}", "-lascendcl", "-lruntime", "-lc_sec", "-ldl"]
    assert words.index(str(folder / "scale.cpp")) < words.index("-lascendcl")
    assert {"scale.cpp", "scale.so", "tile_ascend_host.h", "tile_types.h"} <= {p.name for p in folder.iterdir()} and not (folder / "compiler.tmp").exists()


def test_command_line_before_8_3(cann: Path, tmp_path: Path) -> None:
    (cann / "x86_64-linux" / "ascend_toolkit_install.info").write_text("version=8.1.RC1\n")
    AscendToolchain("910b").compile(built(tmp_path / "out"), "scale")
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:2] == ["-xcce", "--cce-aicore-arch=dav-c220"] and "-DDSLC_CANN=8" in words and "-cce-aicore-addr-transform" in words
    assert not any("--npu-arch" in w for w in words)


def test_an_error_shows_both_lines(cann: Path, tmp_path: Path) -> None:
    folder = built(tmp_path / "out")
    program(cann / "bin" / "bisheng", f'echo "{folder}/scale.cpp:7:24: error: no matching function for call to \'Mul\'" >&2; exit 1')
    with pytest.raises(DslError) as caught:
        AscendToolchain("910b").compile(folder, "scale")
    said = caught.value.message
    assert said.startswith("bisheng could not compile scale.cpp: no matching function for call to 'Mul'")
    assert f"{folder}/scale.cpp:7: ((float *)x)[i] *= 2.0f;" in said and said.endswith("from scale.py:7: x[i] = x[i] * 2")


@pytest.mark.parametrize(("script", "said"), [("exit 0", "it wrote no library and said nothing"), ("kill -9 $$", "ended by signal 9"),
                                              ("echo 'ld.lld: error: unable to find library -lruntime'; exit 1", "unable to find library")])
def test_other_ends(cann: Path, tmp_path: Path, script: str, said: str) -> None:
    program(cann / "bin" / "bisheng", script)
    with pytest.raises(DslError, match=said):
        AscendToolchain("910b").compile(built(tmp_path / "out"), "scale")


# ---------------------------------------------------------------- launching
@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher, with a call where bisheng has its three brackets, in a library; libascendcl in two ages."""
    folder = tmp_path_factory.mktemp("acl")
    compiler = host.find_compiler()
    (folder / "stand_in.c").write_text(STAND_IN)
    for age, flags in (("older", ()), ("newer", ("-DNEWER",))):
        (folder / age).mkdir()
        host.compile(compiler, [folder / "stand_in.c"], folder / age / "libascendcl.so", extra_flags=("-fvisibility=default", "-w", *flags))
    (folder / "acl").mkdir()
    (folder / "acl" / "acl.h").write_text(ACL_H)
    (folder / "kernel_operator.h").write_text('#include "acl/acl.h"\n')
    text = (HERE / "tile_ascend_host.h").read_text()
    brackets = "(kernel<<<(uint32_t)(blocks), nullptr, static_cast<aclrtStream>(stream)>>>(__VA_ARGS__), 0)"
    assert brackets in text
    (folder / "tile_ascend_host.h").write_text(text.replace(brackets, '(printf("%s %d\\n", #kernel, (int)(blocks)), kernel(__VA_ARGS__), 0)'))
    (folder / "scale.cpp").write_text("#include <stdio.h>\n" + KERNEL)
    host.compile(compiler, [folder / "scale.cpp"], folder / "scale.so", extra_flags=(*host.STRICT, "-I", str(folder), "-ldl"))
    return folder


def run(compiled: Path, age: str, code: str, **environment: str) -> str:
    """What a program prints that loads the launcher with this libascendcl: a process of its own, since both stay loaded."""
    before = f"""
        import struct
        import numpy as np
        from pathlib import Path
        from dslc.backends.ascend.toolchain import AscendToolchain, acl
        launch = AscendToolchain("910b").load(Path("{compiled}/scale.so"), "scale")
        x = acl().array(np.arange(6, dtype=np.float32).reshape(2, 3))
        arguments = struct.pack("Pq", x.data_ptr(), 6)
        """
    script = textwrap.dedent(before) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120,
                          env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(compiled / age), **environment})
    return done.stdout + done.stderr


def test_a_launch(compiled: Path) -> None:
    said = run(compiled, "newer", """
        print(launch(arguments), launch(arguments, acl().stream()), x.numpy().tolist(), x.stride(), x.device, flush=True)
        """)
    lines = said.splitlines()
    assert "0 0 [[0.0, 4.0, 8.0], [12.0, 16.0, 20.0]] (3, 1) npu:0" in lines, said
    assert lines.count("scale_programs 44") == 2 and lines.count(f"aclrtMalloc {22 * 64}") == 2     # as the device says; one for each stream
    assert lines.count("aclInit") == 1 and lines[-1] == "aclFinalize" and lines.count("aclrtFree") >= 4


@pytest.mark.parametrize(("chip", "cores"), [("Ascend910B1", 24), ("Ascend910B4-1", 20), ("Ascend910_9392", 24), ("AscendNew", 20)])
def test_cores_by_name_where_acl_does_not_tell(compiled: Path, chip: str, cores: int) -> None:
    assert f"scale_programs {2 * cores}\n" in run(compiled, "older", "launch(arguments)", CHIP=chip)


def test_what_a_kernel_finds_wrong_and_what_acl_says(compiled: Path) -> None:
    said = run(compiled, "newer", """
        y = acl().array(np.zeros(13, np.float32))
        print("status", launch(struct.pack("Pq", y.data_ptr(), 13)), launch(arguments), flush=True)
        """)
    assert "status 17 0" in said
    said = run(compiled, "newer", "launch(arguments)", DSLC_DEVICE="5")
    assert "aclrtSetDevice 5" in said and "scale failed on the device: the vector core has an exception (error 507015)" in said


def test_torch_and_arrays_agree(compiled: Path) -> None:
    """A kernel takes the array as it takes a tensor of torch_npu."""
    said = run(compiled, "newer", """
        from dslc.runtime.arrays import as_array
        print("array", as_array(x)[:5], as_array(x).device, as_array(x).writable)
        """)
    assert "'f32', (2, 3), (3, 1), 4) npu:0 True" in said


def test_without_acl() -> None:
    code = 'from pathlib import Path; from dslc.backends.ascend.toolchain import AscendToolchain; AscendToolchain("910b").load(Path("x.so"), "x")'
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert "libascendcl.so cannot be opened" in done.stderr


def test_arrays_of_any_dtype_go_there_and_back(compiled: Path) -> None:
    said = run(compiled, "newer", """
        import json, ml_dtypes
        values = [np.arange(6).astype(d).reshape(3, 2).T for d in ("i1", "f2", "u4", "i8", "?", ml_dtypes.bfloat16)] + [np.zeros((0, 3), "f4")]
        print("same", json.dumps([bool((acl().array(v).numpy() == v).all()) for v in values]))
        """)
    assert json.loads(said.split("same ")[1].splitlines()[0]) == [True] * 7


def test_both_headers_offer_the_same() -> None:
    """The emulated launcher's functions are those of the device."""
    words = ("DSLC_EXPORT", "DSLC_LAUNCH", "no_memory", "ai_cores", "vector_cores", "workspace_at", "status_word", "read_status")
    for path in (HERE / "tile_ascend_host.h", HERE / "emulator" / "tile_ascend_host.h"):
        text = path.read_text()
        assert not [w for w in words if not re.search(rf"(?:#define |enum {{ |static inline [\w ]+?[ *]){w}\b", text)], path


# ---------------------------------------------------------------- dslc check
KERNELS = """from dslc import const, tile, tile_kernel


@tile_kernel
def scale(x: "T[N]", y: "T[N]", *, BN: const = 64):
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(y, (i * BN, BN), tile.load(x, (i * BN, BN)) * 2)


@tile_kernel
def shift(x: "f32[N]", y: "f32[N]", *, BN: const = 64):
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(y, (i * BN, BN), tile.load(x, (i * BN, BN)) + 1)
"""


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DSLC_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / f"kernels_{tmp_path.name}.py"
    path.write_text(KERNELS)
    return str(path)


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["check", *words])
    return status, capsys.readouterr().out


def test_check_without_cann_is_skipped(kernels: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    status, said = checked(capsys, kernels, "--target", "ascend:910b")
    assert status == 0 and said.splitlines() == [f"{k}  skipped: no CANN: ASCEND_HOME_PATH is not set" for k in ("scale", "shift")]


def test_check_calls_bisheng_for_every_kernel(cann: Path, kernels: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert checked(capsys, kernels, "T=f16", "--target", "ascend") == (
        0, "scale  compiled by bisheng of CANN 9.0.0\nshift  compiled by bisheng of CANN 9.0.0\n")
    words = (tmp_path / "words").read_text().splitlines()
    assert any(w.endswith("/shift.cpp") for w in words)
    program(cann / "bin" / "bisheng", "case \"$*\" in *shift.cpp*) echo 'shift.cpp:9:1: error: no such type'; exit 1;; esac; "
            'while [ "$1" != -o ]; do shift; done; echo built > "$2"')
    status, said = checked(capsys, kernels, "T=f16", "--target", "ascend", "--json")
    data = {row["kernel"]: row for row in json.loads(said)["kernels"]}
    assert status == 1 and data["scale"]["outcome"] == "compiled" and data["shift"]["outcome"] == "FAILED"
    assert "no such type" in data["shift"]["said"] and "shift.cpp:9:" in data["shift"]["said"]


def test_check_of_other_targets_and_of_what_does_not_lower(kernels: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, said = checked(capsys, f"{kernels}:shift", "--target", "cpu")
    assert status == 0 and said.startswith("shift  compiled by ")
    Path(kernels).write_text(KERNELS.replace("* 2", "+ tile.zeros((3,), tile.f32)"))
    wrong = Path(kernels).rename(tmp_path / "wrong.py")
    status, said = checked(capsys, str(wrong), "--target", "cpu")
    assert status == 1 and "scale  FAILED: " in said and "wrong.py:7:" in said and "shift  compiled" in said
    (tmp_path / "empty.py").write_text("")
    assert main(["check", str(tmp_path / "empty.py")]) == 2 and "has no kernel" in capsys.readouterr().err


def test_doctor_has_a_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    assert main(["doctor"]) == 0
    assert "bisheng  no CANN: ASCEND_HOME_PATH is not set" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("gemm",), ("gemm", "--target", "ascend:910b"), ("gemm", "--target", "cuda:sm_80", "--emulate")])
def test_a_trace_is_of_an_emulated_run(words: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", *words, "--trace", str(tmp_path / "a.svg")]) == 2
    assert "records no trace of a run" in capsys.readouterr().err and not (tmp_path / "a.svg").exists()
