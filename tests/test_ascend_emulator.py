"""The emulated cores on small kernels (tests/ascend/wrong): right ones run in every mode, wrong ones bring the finding and lines that their comments say."""
from __future__ import annotations

import re
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc.backends.ascend.emulation import AscendLauncher, Emulator
from dslc.backends.common.emulation import EmulationError
from dslc.errors import DslError

if not any(row["found"] for row in Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

WRONG = Path(__file__).parent / "ascend" / "wrong"
FILES = ("vector", "cube", "fractals", "queues", "mixed")
MODES = ("late", "early", "random:1", *(f"starve:{x}" for x in ("V", "M", "MTE1", "MTE2", "MTE3", "FIX", "AIC", "AIV")))
_KERNEL = re.compile(r"KERNEL\((\w+)\) \{(?:  // blocks (\d+))?")
KINDS = ("race", "uninitialised", "out of bounds", "alignment", "capacity", "event", "deadlock", "core", "cross-core", "range", "path", "cache", "layout",
         "queue", "twice", "end")
_EXPECT = re.compile(rf"// expect ({'|'.join(KINDS)})( \w+)?$")


def cases(file: str) -> dict[str, tuple[int, int, str, list[int]]]:
    """Number, cores, kind ("" of a right one) and lines of each kernel of a file."""
    found: dict[str, tuple[int, int, str, list[int]]] = {}
    name = ""
    for line, text in enumerate((WRONG / f"{file}.cpp").read_text().splitlines(), 1):
        if m := _KERNEL.match(text):
            name = m[1]
            found[name] = (len(found), int(m[2] or 1), "", [])
        elif m := _EXPECT.search(text):
            number, blocks, _, lines = found[name]
            found[name] = (number, blocks, m[1], [*lines, *[line] * (2 if m[2] == " twice" else 1)])
    return found


ALL = [(file, name) for file in FILES for name in cases(file)]


@cache
def built(folder: Path, file: str) -> AscendLauncher:
    toolchain = Emulator("910b")
    (folder / f"{file}.cpp").write_text((WRONG / f"{file}.cpp").read_text())
    (folder / "case.h").write_text((WRONG / "case.h").read_text())
    binary = folder / toolchain.compile(folder, file)
    return AscendLauncher(binary, "k", folder / f"{file}.cpp")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wrong")


def run(launcher: AscendLauncher, number: int, blocks: int, mode: str, a: Any = None) -> Any:
    """c after the kernel."""
    a = np.ones(1024, np.float32) if a is None else a
    b, c = np.zeros(1024, np.float32), np.zeros(1024, np.float32)
    x = {"a": (a, False, True), "b": (b, True, False), "c": (c, True, True)}
    ranges = [(name, array.ctypes.data, array.nbytes, writable, known) for name, (array, writable, known) in x.items()]
    assert launcher(struct.pack("QQPPP", number, blocks, *(array.ctypes.data for array, *_ in x.values())), ranges, mode) == 0
    return c


@pytest.mark.parametrize(("file", "name"), [c for c in ALL if not c[1].startswith("right")], ids=lambda x: x)
def test_wrong(folder: Path, file: str, name: str) -> None:
    number, blocks, kind, lines = cases(file)[name]
    assert kind, "a wrong kernel says what is wrong"
    for mode in MODES:
        with pytest.raises(EmulationError) as caught:
            run(built(folder, file), number, blocks, mode)
        first = caught.value.findings[0]
        assert (first.kind, sorted(first.lines)) == (kind, lines), f"{mode}: {caught.value}"


def test_every_class_has_a_wrong_kernel() -> None:
    kinds = {kind for file in FILES for _, _, kind, _ in cases(file).values() if kind}
    assert kinds == set(KINDS)
    assert len(ALL) >= 130


@pytest.mark.parametrize(("file", "name"), [c for c in ALL if c[1].startswith("right")], ids=lambda x: x)
def test_right(folder: Path, file: str, name: str) -> None:
    number, blocks, kind, _ = cases(file)[name]
    assert not kind
    results = [run(built(folder, file), number, blocks, mode) for mode in MODES]
    for c in results[1:]:
        np.testing.assert_array_equal(c, results[0])


def test_right_ones_compute(folder: Path) -> None:
    a = np.arange(1024, dtype=np.float32)
    vector = cases("vector")

    def of(name: str) -> Any:
        return run(built(folder, "vector"), *vector[name][:2], "late", a)

    np.testing.assert_array_equal(of("right_add")[:64], 2 * a[:64] + 1)
    np.testing.assert_array_equal(of("right_two_slots")[:384], a[:384] + 1)
    np.testing.assert_array_equal(of("right_scalar")[:64], np.where(np.arange(64) == 3, 4, 3))
    np.testing.assert_array_equal(of("right_atomic")[:65], [6] * 64 + [0])
    np.testing.assert_array_equal(of("right_cached")[:9].view(np.int32), [5] * 9)
    np.testing.assert_array_equal(run(built(folder, "queues"), *cases("queues")["right_queues"][:2], "late", a)[:384], a[:384] + 1)
    np.testing.assert_array_equal(run(built(folder, "queues"), *cases("queues")["right_bound"][:2], "late", a)[:256], a[:256])
    numbers = run(built(folder, "mixed"), *cases("mixed")["right_sync_all"][:2], "late", a).view(np.int32).reshape(-1, 8)[:12, 0]
    np.testing.assert_array_equal(numbers, [0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 0])
    halves = np.random.default_rng(0).integers(-4, 5, (2, 16, 16)).astype(np.float16)
    given = np.zeros(1024, np.float32)
    given[:256] = halves.reshape(-1).view(np.float32)
    c = run(built(folder, "cube"), *cases("cube")["right_product"][:2], "late", given)
    np.testing.assert_array_equal(c[:256].reshape(16, 16), 2 * halves[0].astype(np.float32) @ halves[1].astype(np.float32))


def test_fractals_multiply(folder: Path) -> None:
    square = np.random.default_rng(0).integers(-4, 5, (32, 32)).astype(np.float16)
    given = np.zeros(1024, np.float32)
    given[:512] = square.reshape(-1).view(np.float32)
    x = square.astype(np.float32)

    def of(name: str, rows: int) -> Any:
        return run(built(folder, "fractals"), *cases("fractals")[name][:2], "late", given)[:32 * rows].reshape(rows, 32)

    np.testing.assert_array_equal(of("right_square", 32), 2 * x @ x)
    np.testing.assert_array_equal(of("right_lower_rows", 12), (x @ x)[20:])
    np.testing.assert_array_equal(of("right_turned_by_its_strides", 32), x @ x.T)
    np.testing.assert_array_equal(of("right_row", 1), x[:1] @ x)


def test_there_is_no_such_mode(folder: Path) -> None:
    with pytest.raises(DslError, match="no mode of emulation"):
        run(built(folder, "mixed"), 0, 1, "starve:S")
