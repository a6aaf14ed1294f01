"""Targets with architectures: their names, what is built for each, emulation, and what the command line says of them."""
from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import dslc.backend
import numpy as np
import pytest
from dslc import DslError, const, tile, tile_kernel
from dslc.backend import Backend, backend_of, register, target_of
from dslc.backends.cuda import toolchain as nvidia
from dslc.backends.hip import toolchain as amd
from dslc.render import macros
from dslc.runtime.arrays import as_array
from dslc.runtime.cli import main
from dslc.text import parse, show
from toy_target import LAUNCHES, LOWERED, NAME, toy_target

f32 = np.float32
MINE = '''
from dslc import const, schedule, tile, tile_kernel

@tile_kernel
def twice(x: "f32[M, N]", y: "f32[M, N]", scale: "f32" = 2.0, *, BN: const = 8):
    i = tile.grid(M)
    for j in tile.range(0, N, BN):
        doubled = tile.load(x, (i, (j, BN))) * scale
        tile.store(y, (i, (j, BN)), doubled)

schedule(twice, target="plain_device", consts={"BN": 16}, loops={"j": {"unroll": 2}})
'''


@tile_kernel
def scaled(x: "f32[M, N]", y: "f32[M, N]", bias: "f32[N]?" = None, *, BN: const = 8):
    i = tile.grid(M)
    for j in tile.range(0, N, BN):
        t = tile.load(x, (i, (j, BN))) * 3.0
        if bias is not None:
            t = t + tile.load(bias, (j, BN))
        tile.store(y, (i, (j, BN)), t)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    for name in ("DSLC_TARGET", "DSLC_EMULATE", "DSLC_SCHEDULES"):
        monkeypatch.delenv(name, raising=False)
    with toy_target() as backend:
        scaled._plans.clear()
        yield backend
        dslc.backend._registered.pop(NAME)


@pytest.fixture
def arrays() -> tuple[Any, Any]:
    return np.arange(3 * 20, dtype=f32).reshape(3, 20), np.zeros((3, 20), f32)


def shell(*words: str) -> tuple[int, str, str]:
    """The status and the words of `dslc`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(list(words))
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    return f"{tmp_path / 'mine.py'}:twice"


# ---------------------------------------------------------------- names
def test_the_first_architecture_is_the_default(toy: Backend) -> None:
    assert str(target_of(NAME)) == f"{NAME}:large" and str(target_of(f"{NAME}:small")) == f"{NAME}:small"
    assert backend_of(f"{NAME}:small") is toy and str(target_of("cpu")) == "cpu"
    assert toy.toolchain_for().identity() == toy.toolchain_for("large").identity() != toy.toolchain_for("small").identity()
    assert backend_of("cpu").toolchain_for() is backend_of("cpu").toolchain


@pytest.mark.parametrize(("target", "message", "hint"), [
    (f"{NAME}:smal", f"target {NAME} has no architecture 'smal'", "did you mean small? known architectures: large, small"),
    ("cpu:avx9", "target cpu has no architecture 'avx9'", "the target is called 'cpu' alone"),
    ("plane_device", "no target is called 'plane_device'", "known targets")])
def test_unknown_ones_are_told_the_known_ones(target: str, message: str, hint: str) -> None:
    with pytest.raises(DslError) as caught:
        target_of(target)
    assert caught.value.message == message and hint in caught.value.hint


def test_a_folder_is_a_target_once_it_has_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = __import__("dslc.backends").backends
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    for name, files in (("no_python", ["ops.j2"]), ("no_macros", ["__init__.py"]), ("whole", ["ops.j2", "__init__.py"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("")
    monkeypatch.setattr(package, "__path__", [str(tmp_path)])
    dslc.backend._own.cache_clear()
    try:
        assert dslc.backend._own() == ("whole",)
    finally:
        dslc.backend._own.cache_clear()


# ---------------------------------------------------------------- building
def test_passes_read_the_architecture(toy: Backend) -> None:
    stage = scaled.ir("front end", target=f"{NAME}:small")
    assert stage.attr("architecture") == "small" and 'architecture="small"' in show(stage) and show(parse(show(stage))) == show(stage)
    assert scaled.ir("places", target=f"{NAME}:small").attr("architecture") == "small"
    assert [a for a, _ in LOWERED] == ["small"] * 2
    assert scaled.ir(target="cpu").attr("architecture") is None and scaled.ir(target="cpu").attrs == ()


def test_each_architecture_has_its_own_build() -> None:
    folders = {scaled.build(t) for t in (NAME, f"{NAME}:large", f"{NAME}:small")}
    assert len(folders) == 2


def test_a_target_says_control_its_own_way(toy: Backend) -> None:
    register(replace(toy, control=lambda op, scope: f"// {op.name} of {scope.backend.name}" if op.name == "for" else None))
    assert f"// for of {NAME}" in scaled.source(NAME) and "for (index_t j" not in scaled.source(NAME)
    register(replace(toy, control=lambda op, scope: None))
    assert "for (index_t j" in scaled.source(NAME)


def test_macro_files_are_the_targets_choice(toy: Backend) -> None:
    assert set(macros(toy.folder, ("ops.j2",))) < set(macros(toy.folder, toy.macro_files))


# ---------------------------------------------------------------- emulation
def test_emulate(arrays: Any) -> None:
    x, y = arrays
    scaled.emulate(x, y, target=f"{NAME}:small", mode="random:3", programs=2)
    assert np.array_equal(y, x * f32(3))
    (architecture, ranges, mode, programs), = LAUNCHES
    assert (architecture, mode, programs) == ("small", "random:3", 2)
    assert ranges == [("x", x.ctypes.data, x.nbytes, False), ("y", y.ctypes.data, y.nbytes, True)]


def test_ranges_of_views_and_absent_tensors(arrays: Any) -> None:
    x, y = arrays
    scaled.emulate(x[::-1, ::2], y[:, :10], np.ones(10, f32), target=NAME)
    assert np.array_equal(y[:, :10], x[::-1, ::2] * f32(3) + 1)
    scaled.emulate(x[::-1, ::2], y[:, :10], np.ones(10, f32), target=NAME, programs=range(1, 3))
    assert LAUNCHES.pop()[3] == (1, 2)
    (_, ranges, mode, programs), = LAUNCHES
    assert mode == "late" and programs is None and [r[0] for r in ranges] == ["x", "y", "bias"]
    assert ranges[0][1:3] == (x.ctypes.data, x.nbytes - 4) and ranges[1][1:3] == (y.ctypes.data, 2 * 80 + 40)


def test_a_whole_process_is_emulated(arrays: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = arrays
    with pytest.raises(DslError, match="x is on cpu, and target plain_device cannot reach it there") as caught:
        scaled(x, y, target=NAME)
    assert "DSLC_EMULATE=1" in caught.value.hint
    monkeypatch.setenv("DSLC_TARGET", f"{NAME}:small")
    for value, mode in (("1", "late"), ("early", "early"), ("random:9", "random:9")):
        monkeypatch.setenv("DSLC_EMULATE", value)
        y[:] = 0
        scaled(x, y)
        scaled(x, y)
        assert np.array_equal(y, x * f32(3)) and [row[0::2] for row in LAUNCHES[-2:]] == [("small", mode)] * 2
    assert len(LAUNCHES) == 6
    scaled(x, y, target="cpu")
    assert len(LAUNCHES) == 6
    monkeypatch.setenv("DSLC_EMULATE", "0")
    with pytest.raises(DslError, match="cannot reach it there"):
        scaled(x, y)


@pytest.mark.parametrize(("options", "message"), [
    ({"target": NAME, "mode": "late:1"}, "there is no mode of emulation 'late:1'"), ({"target": "cpu"}, "target cpu has no emulator"),
    ({}, "emulate needs a target")])
def test_what_cannot_be_emulated(options: Any, message: str, arrays: Any) -> None:
    with pytest.raises(DslError, match=message):
        scaled.emulate(*arrays, **options)


def test_a_launch_that_fails(arrays: Any, toy: Backend) -> None:
    class Broken(toy.emulator):  # type: ignore[misc, name-defined]
        def load(self, binary: Path, name: str) -> Any:
            return lambda *_: 700
    register(replace(toy, emulator=Broken))
    with pytest.raises(DslError, match="scaled: the launch failed with status 700"):
        scaled.emulate(*arrays, target=NAME)


# ---------------------------------------------------------------- the command line
def test_run_emulated(mine: str) -> None:
    status, out, err = shell("run", mine, "--target", f"{NAME}:small", "--emulate", "--mode", "early", "--size", "M=3,N=40")
    assert status == 0 and "120 elements of y, equal" in out and "emulated  early" in out and "GB/s" not in out and "BN=16" in out, (out, err)
    assert LAUNCHES[-1][0] == "small" and LAUNCHES[-1][2] == "early"
    status, out, _ = shell("run", mine, "--target", NAME, "--emulate", "--size", "M=3,N=40", "--json")
    data = json.loads(out)
    assert status == 0 and data["right"] and data["machine"]["emulated"] == "late" and data["machine"]["target"] == f"{NAME}:large" and "gflops" not in data
    assert shell("run", mine, "--target", NAME, "--mode", "never")[0] == 2


def test_inspect(mine: str) -> None:
    status, out, err = shell("inspect", mine, "--target", f"{NAME}:large", "--size", "M=3,N=40")
    assert status == 0 and "twice on large: 1 binary" in out and out.startswith("twice for plain_device:large: M=3 N=40 BN=16"), err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in ("consts.BN 16 (mine.py:11)", "loops.j.unroll 2 (mine.py:11)", "loops.j.stages 3 (the rules of plain_device)",
                 "grid.order columns (the rules of plain_device)"):
        assert line in lines, out
    data = json.loads(shell("inspect", mine, "--target", f"{NAME}:small", "--size", "M=3,N=40", "--json")[1])
    assert data["machine_code"].strip() == "twice on small: 1 binary" and data["target"] == f"{NAME}:small"
    assert {"path": ["loops", "j", "unroll"], "value": 2, "from": "mine.py:11"} in data["schedule"]
    assert "consts.BN" not in shell("inspect", mine, "BN=4", "--target", NAME)[1]


def test_layouts_are_drawn(mine: str, tmp_path: Path) -> None:
    at = tmp_path / "x.svg"
    assert shell("inspect", mine, "--target", NAME, "--layout", "doubled", "-o", str(at))[0] == 0 and at.read_text() == "<svg>doubled</svg>"
    assert shell("inspect", mine, "--target", NAME, "--layout", "doubled")[1] == "<svg>doubled</svg>\n"
    status, _, err = shell("inspect", mine, "--target", NAME, "--layout", "trebled")
    assert status == 2 and "no layout to draw of a tile 'trebled'" in err and "doubled" in err
    assert "target cpu draws no layouts" in shell("inspect", mine, "--layout", "doubled")[2]


def test_build(mine: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert shell("build", mine, "--target", f"{NAME}:small", "-o", str(out), "--save-stages")[0] == 0
    data = json.loads((out / "twice.json").read_text())
    assert data["target"] == f"{NAME}:small" and data["specialisation"]["consts"]["BN"] == 16 and data["compiler"]["version"].endswith("for small")
    assert data["function"]["declaration"].endswith("*arguments, void *stream);") and "run" not in data["function"]
    stage = (out / "00-front-end.ir").read_text()
    assert 'architecture="small"' in stage and '("unroll", 2)' in stage


def test_targets_and_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dslc.runtime.report.targets", lambda: ("cpu", NAME))
    row = next(r for r in json.loads(shell("targets", "--json")[1]) if r["name"] == NAME)
    assert row["architectures"] == ["large", "small"] and row["emulated"]
    assert "large, small" in shell("targets")[1]
    assert shell("doctor")[0] == 0


def test_the_default_architecture_is_the_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = target_of("cuda").backend
    monkeypatch.setattr(nvidia, "find_device", lambda: nvidia.Device("a device", (8, 6)))
    assert target_of("cuda").architecture == "sm_80" and target_of("cuda", "late").architecture == cuda.architectures[0]
    for number, (version, name) in enumerate([("0", ""), ("90402", "gfx942"), ("90010", "gfx90a"), ("90500", "gfx950"), ("110000", "gfx1100")]):
        (tmp_path / str(number) / "0").mkdir(parents=True)
        (tmp_path / str(number) / "0" / "properties").write_text(f"cpu_cores_count 0\ngfx_target_version {version}\n")
        assert amd.architecture_here(tmp_path / str(number)) == name


def test_arrays_on_a_gpu_choose_its_target() -> None:
    """By the interface that CuPy, PyCUDA and Numba share; the call goes as far as the driver, which is not here or has no such address."""
    class OnDevice:
        def __init__(self, pointer: int) -> None:
            self.__cuda_array_interface__ = {"version": 3, "data": (pointer, False), "shape": (8, 8), "strides": None, "typestr": "<f4"}

    x, y = as_array(OnDevice(4096)), as_array(OnDevice(8192))
    assert (x.device, x.shape, x.pointer) == ("cuda:0", (8, 8), 4096) and y.writable
    s = scaled.steer("cuda:sm_80", (OnDevice(4096), OnDevice(8192)), {})
    assert s.binding is not None and s.binding.arrays["x"].device == "cuda:0"
