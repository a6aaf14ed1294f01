"""nvcc is found in order, called without warnings, its words are read rightly, and its machine code is counted rightly."""
from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from dslc.backends.cuda import machine_code, toolchain
from dslc.backends.cuda.machine_code import LIMITS, Line, blocks_per_sm, loops, main_loop, ptx_body, sass_body
from dslc.backends.cuda.toolchain import Device, NvccToolchain, check_runs, explain, find_nvcc, host_compiler, resources, warnings_in
from dslc.errors import DslError

SAID = """ptxas info    : 0 bytes gmem
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to non wgmma instructions in the function 'two'
ptxas info    : Compiling entry function 'one' for 'sm_90a'
ptxas info    : Function properties for one
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 16 barriers
ptxas info    : Compiling entry function 'two' for 'sm_90a'
ptxas info    : Function properties for two
    48 bytes stack frame, 44 bytes spill stores, 40 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 1024 bytes smem, 384 bytes cmem[0]
"""
KERNEL = """#include "tile_cuda.h"
struct scale_arguments { f32 *x; i64 n; };
KERNEL(128, 1) void scale_programs(PARAMETER scale_arguments arguments) {
    Global<f32> x = global<f32>(arguments.x);
    // scale.py:7: x[i] = x[i] * 2
    for (index_t i = worker(); i < arguments.n; i += 128)
        x[i] = x[i] * 2.0f;
}
extern "C" __attribute__((visibility("default"))) i32 launch_scale(const scale_arguments *arguments, void *stream) {
    return launch(scale_programs, 1, 128, 0, stream, *arguments);
}
"""


@pytest.fixture(scope="module")
def nvcc() -> toolchain.Nvcc:
    try:
        host_compiler()
        return find_nvcc()
    except DslError as e:
        pytest.skip(str(e))


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No settings, an empty PATH, no wheels, no usual place."""
    for name in ("DSLC_NVCC", "CUDA_HOME", "CUDA_PATH", "NVCC_CCBIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    at = toolchain._at
    monkeypatch.setattr(toolchain, "_at", lambda root, why: at(tmp_path / "nowhere" if root == Path("/usr/local/cuda") else root, why))
    toolchain._find.cache_clear()
    yield tmp_path
    toolchain._find.cache_clear()


def program(path: Path, text: str = "exit 1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# ---------------------------------------------------------------- finding it
def test_no_nvcc_says_what_was_looked_at(clean: Path) -> None:
    with pytest.raises(DslError, match="no nvcc was found") as error:
        find_nvcc()
    assert "not on PATH" in error.value.message and "pip install" in error.value.hint


def test_order(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = program(clean / "toolkit" / "bin" / "nvcc")
    monkeypatch.setenv("CUDA_HOME", str(clean / "toolkit"))
    assert find_nvcc().command == (str(home),) and "CUDA_HOME" in find_nvcc().why
    on_path = program(clean / "bin" / "nvcc")
    toolchain._find.cache_clear()
    assert find_nvcc().command == (str(on_path),)
    named = program(clean / "mine")
    monkeypatch.setenv("DSLC_NVCC", f"{named} --threads 1")
    assert find_nvcc().command == (str(named), "--threads", "1")
    monkeypatch.setenv("DSLC_NVCC", "/nowhere/nvcc")
    with pytest.raises(DslError, match="DSLC_NVCC names it"):
        find_nvcc()


def test_no_host_compiler(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DslError, match="needs a host compiler"):
        host_compiler()
    monkeypatch.setenv("NVCC_CCBIN", "/opt/g++")
    assert host_compiler() == ()


def test_identity_runs_nothing_and_follows_the_files(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = program(clean / "bin" / "nvcc", f"touch {clean}/was_run")
    program(clean / "bin" / "g++", f"touch {clean}/was_run")
    before = NvccToolchain("sm_80").identity()
    assert before == NvccToolchain("sm_80").identity() != NvccToolchain("sm_90a").identity()
    program(nvcc, "another one")
    assert NvccToolchain("sm_80").identity() != before and not (clean / "was_run").exists()


# ---------------------------------------------------------------- what it says
def test_resources() -> None:
    one, two = resources(SAID)
    assert (one.kernel, one.registers, one.barriers, one.spill_stores, one.shared, one.remarks) == ("one", 168, 16, 0, 0, ())
    assert (two.registers, two.spill_stores, two.spill_loads, two.stack, two.shared) == (255, 44, 40, 48, 1024)
    assert len(two.remarks) == 1 and "C7510" in two.remarks[0]
    assert warnings_in("a.cu(3): warning #177-D: unused\nptxas info : fine\n") == ["a.cu(3): warning #177-D: unused"]


@pytest.mark.parametrize("line", ['{at}(7): error: identifier "y" is undefined', "{at}:7:9: error: 'y' was not declared",
                                  '{at}(7): catastrophic error: cannot open source file "y"',
                                  '{at}(7): error #20011-D: calling a __host__ function("y")'])
def test_errors_show_both_lines(line: str, tmp_path: Path) -> None:
    source = tmp_path / "scale.cu"
    source.write_text(KERNEL)
    said = explain("In file included from x\n" + line.format(at=source) + "\n", source)
    assert f"{source}:7: x[i] = x[i] * 2.0f;" in said and said.endswith("from scale.py:7: x[i] = x[i] * 2")


def test_a_failing_build_shows_the_kernel_line(nvcc: toolchain.Nvcc, tmp_path: Path) -> None:
    (tmp_path / "scale.cu").write_text(KERNEL.replace("2.0f", "two"))
    with pytest.raises(DslError, match=r"(?s)could not compile scale.cu.*\"two\" is undefined.*scale.cu:7.*from scale.py:7"):
        NvccToolchain("sm_80").compile(tmp_path, "scale")


def test_a_warning_fails_a_strict_build_only(nvcc: toolchain.Nvcc, tmp_path: Path) -> None:
    (tmp_path / "scale.cu").write_text(KERNEL.replace("    // scale", "    int unused;\n    // scale"))
    NvccToolchain("sm_80").compile(tmp_path, "scale")
    assert any("unused" in w for w in json.loads((tmp_path / "scale.resources.json").read_text())["warnings"])
    with pytest.raises(DslError, match="unused"):
        NvccToolchain("sm_80", strict=True).compile(tmp_path, "scale")


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a"])
def test_a_build_is_whole(nvcc: toolchain.Nvcc, tmp_path: Path, architecture: str) -> None:
    (tmp_path / "scale.cu").write_text(KERNEL)
    assert NvccToolchain(architecture, strict=True).compile(tmp_path, "scale") == "scale.so"
    names = {p.name for p in tmp_path.iterdir()}
    assert {"scale.cu", "scale.so", "scale.ptx", "scale.cubin", "scale.resources.json", "tile_cuda.h", "tile_types.h"} <= names and "nvcc.kept" not in names
    (found,) = machine_code.machine_code(tmp_path, "scale", workers=128, shared_bytes=0)
    assert found.resources.registers > 0 and found.resources.spill_stores == 0 and found.blocks_per_sm == 16 and found.occupancy == 1.0
    ptx = next(loop for loop in found.loops if loop.source == "PTX")
    assert ptx.kinds["global load"] >= 1 and ptx.kinds["global store"] >= 1 and "fma" not in ptx.kinds
    if found.disassembler:
        assert any(loop.source == "SASS" and loop.kinds["global load"] >= 1 for loop in found.loops)


def test_loading_without_a_device_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toolchain.find_device.cache_clear()
    try:
        device = toolchain.find_device()
    except DslError as e:
        assert "no NVIDIA driver" in e.message or "shows no device" in e.message
        with pytest.raises(DslError, match=r"driver|device"):
            NvccToolchain("sm_80").load(tmp_path / "none.so", "none")
    else:
        assert device.capability >= (5, 0)


def test_what_runs_where() -> None:
    h100, a100, ada = (Device(n, c) for n, c in (("H100", (9, 0)), ("A100", (8, 0)), ("L40", (8, 9))))
    check_runs("sm_90a", h100)
    check_runs("sm_80", a100)
    check_runs("sm_80", ada)
    for architecture, device in (("sm_90a", ada), ("sm_90a", Device("B200", (10, 0))), ("sm_80", h100), ("sm_89", a100)):
        with pytest.raises(DslError, match="does not run on"):
            check_runs(architecture, device)


# ---------------------------------------------------------------- machine code
def test_occupancy() -> None:
    assert blocks_per_sm("sm_90a", 168, 384, 200000) == (1, "registers")
    assert blocks_per_sm("sm_80", 24, 128, 0) == (16, "warps")
    assert blocks_per_sm("sm_80", 128, 256, 0) == (2, "registers")
    assert blocks_per_sm("sm_90a", 32, 128, 100 * 1024) == (2, "shared memory")
    assert blocks_per_sm("sm_90a", 32, 128, LIMITS["90"].shared_per_block) == (1, "shared memory")
    assert blocks_per_sm("sm_80", 32, 128, 200 * 1024) == (0, "shared memory")
    assert blocks_per_sm("sm_80", 16, 32, 0) == (32, "blocks")
    with pytest.raises(DslError, match="not known"):
        blocks_per_sm("sm_10", 1, 32, 0)


def test_loops_are_natural_ones() -> None:
    # An outer loop of lines 1 .. 6, an inner one of 2 .. 3, and a spin put behind the end, which jumps back into the outer loop.
    lines = [Line("mov"), Line("a", ("outer",)), Line("mma", ("inner",)), Line("bra", jumps_to="inner"), Line("bra", jumps_to="spin"), Line("b", ("back",)),
             Line("bra", jumps_to="outer"), Line("exit", goes_on=False), Line("try", ("spin",)), Line("bra", jumps_to="spin"),
             Line("bra", jumps_to="back", goes_on=False)]
    assert sorted(map(sorted, loops(lines))) == [[1, 2, 3, 4, 5, 6, 8, 9, 10], [2, 3], [8, 9]]
    found = main_loop("PTX", [Line(x.name + (".sync" if x.name == "mma" else ""), x.labels, x.jumps_to, x.goes_on) for x in lines], machine_code.PTX_KINDS)
    assert found is not None and found.instructions == 2 and found.kinds["mma"] == 1


def test_texts_are_read() -> None:
    ptx = """.visible .entry one(
)
{
    .reg .pred %p<2>;
$L__BB0_1: // a loop
    {
    .reg .pred p;
    setp.ne.b32 p, %r1, 0;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2}, %rd1, %rd2, p, 1, 1, 0, 0;
    }
    @%p1 bra $L__BB0_1;
    ret;
}
.visible .entry two(
)
{
    mov.u32 %r1, %tid.x;
    ret;
}
"""
    rows = ptx_body(ptx, "one")
    assert [r.name for r in rows] == ["setp.ne.b32", "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16", "bra", "ret"]
    assert rows[0].labels == ("$L__BB0_1",) and rows[2].jumps_to == "$L__BB0_1" and rows[2].goes_on and not rows[3].goes_on
    assert [r.name for r in ptx_body(ptx, "two")] == ["mov.u32", "ret"]
    sass = """.text.one:
.L_x_1:
        /*0000*/                   HGMMA.64x8x16.F32.BF16 R24, gdesc[UR8], R24 ;
        /*0010*/              @!P0 BRA `(.L_x_1) ;
        /*0020*/                   BRA.U UP0, `(.L_x_1) ;
        /*0030*/                   EXIT ;
"""
    rows = sass_body(sass, "one")
    assert [(r.name, r.jumps_to, r.goes_on) for r in rows] == [("HGMMA.64x8x16.F32.BF16", "", True), ("BRA", ".L_x_1", True), ("BRA.U", ".L_x_1", True),
                                                              ("EXIT", "", False)]
