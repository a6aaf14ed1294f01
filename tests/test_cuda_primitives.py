"""Every word of generated CUDA source: compiled by nvcc, run by the emulator, and on a GPU when there is one, with the same outputs to the bit.

Exceptions: functions of class B (approximate instructions on the device) are held to the language's bound in both, and the payload of a NaN is open.
"""
from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cffi import FFI
from dslc.backends.cuda.toolchain import HEADERS, NvccToolchain, find_device, find_nvcc
from dslc.errors import DslError
from dslc.runtime.cache import digest, shared_cache

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "primitives" / "cuda"
BACKENDS = ROOT.parent / "backends"
EMULATOR = BACKENDS / "common" / "emulator"
INCLUDES = [f"-I{p}" for p in (BACKENDS / "cuda" / "emulator", EMULATOR, BACKENDS / "common")]
EMULATED = ("late", "early", "random:1", "random:2")
WAYS = [*EMULATED, pytest.param("device", marks=pytest.mark.device)]
HOPPER = ("tensor_copy", "warp_group", "warp_group_plain", "roles")


class Findings(AssertionError):
    """What an emulated run reported."""


# ---------------------------------------------------------------- the harness
def text_of(name: str, defines: Mapping[str, object] = {}, replaced: Mapping[str, str] = {}) -> str:
    """A test kernel with macros set after its header, and changed: each key of `replaced` occurs in it."""
    text = (SOURCES / f"{name}.cu").read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    include = '#include "tile_cuda.h"\n'
    return text.replace(include, include + "".join(f"#define {key} {value}\n" for key, value in defines.items()))


def run(source: str, arrays: list[np.ndarray], how: str, written: tuple[int, ...], architecture: str = "sm_90a") -> None:
    """Run a test kernel over arrays; the ones numbered in `written` are its outputs.  how: "late", "early", "random:SEED" or "device"."""
    if how == "device":
        return run_on_device(source, arrays, architecture)
    library = emulated(source)
    mode, _, seed = how.partition(":")
    library.dslc_emulator_begin({"late": 0, "early": 1, "random": 2}[mode], int(seed or 0), 1, ctypes.c_double(60))
    try:
        for i, array in enumerate(arrays):
            library.dslc_emulator_range(f"array {i}".encode(), ctypes.c_uint64(array.ctypes.data), ctypes.c_int64(array.nbytes), int(i in written), 1)
        library.dslc_emulator_prepare()
        status = library.launch_run((ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays)), None)
        report = ctypes.create_string_buffer(1 << 20)
        library.dslc_emulator_report(report, ctypes.c_int64(len(report)))
        count = library.dslc_emulator_findings()
    finally:
        library.dslc_emulator_end()
    if count:
        raise Findings(json.dumps(json.loads(report.value)["findings"], indent=1))
    assert status == 0, f"status {status}"


@lru_cache(None)
def host_compiler() -> list[str]:
    found = shutil.which("g++") or shutil.which("clang++")
    return [found] if found else [sys.executable, "-m", "ziglang", "c++"]


def compiled(flags: list[str], source: Path, output: Path) -> None:
    ended = subprocess.run([*host_compiler(), "-std=gnu++17", "-O1", "-fPIC", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", *flags, str(source), "-o",
                            str(output)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@lru_cache(None)
def engine() -> Path:
    texts = [p.read_text() for p in sorted(EMULATOR.glob("*")) if p.suffix in (".h", ".cpp")]

    def produce(folder: Path) -> dict[str, str]:
        compiled(["-O2", "-c", *INCLUDES], EMULATOR / "engine.cpp", folder / "engine.o")
        return {}

    key = digest("engine for tests", *texts)
    return Path((shared_cache().get(key) or shared_cache().build(key, produce)).path) / "engine.o"


@lru_cache(None)
def emulated(source: str) -> ctypes.CDLL:
    """The kernel and an engine of its own in one library."""
    def produce(folder: Path) -> dict[str, str]:
        (folder / "kernel.cpp").write_text(source)
        flags = ["-shared", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-psabi", *INCLUDES, str(engine()), "-lpthread"]
        compiled(flags, folder / "kernel.cpp", folder / "kernel.so")
        return {}

    headers = [p.read_text() for p in (*sorted(EMULATOR.glob("*.h")), *sorted((BACKENDS / "cuda" / "emulator").glob("*.h")))]
    key = digest("primitive", source, *headers, engine().parent.name)
    entry = shared_cache().get(key) or shared_cache().build(key, produce)
    return ctypes.CDLL(str(entry.path / "kernel.so"))


DRIVER = """int cuInit(unsigned); int cuDeviceGet(int *, int); int cuDevicePrimaryCtxRetain(void **, int); int cuCtxSetCurrent(void *);
int cuMemAlloc_v2(uint64_t *, size_t); int cuMemFree_v2(uint64_t); int cuMemcpyHtoD_v2(uint64_t, const void *, size_t);
int cuMemcpyDtoH_v2(void *, uint64_t, size_t); int cuCtxSynchronize(void);
"""


def run_on_device(source: str, arrays: list[np.ndarray], architecture: str) -> None:
    """The same on the first GPU, through the driver.  Skips where there is none."""
    try:
        device = find_device()
        entry = by_nvcc(source, architecture)
        launcher = NvccToolchain(architecture).load(entry / "run.so", "run")
    except DslError as e:
        pytest.skip(str(e))
    ffi = FFI()
    ffi.cdef(DRIVER)
    driver = ffi.dlopen("libcuda.so.1")

    def ok(code: int) -> None:
        assert code == 0, f"CUDA error {code} on {device.name}"

    context, number = ffi.new("void **"), ffi.new("int *")
    ok(driver.cuInit(0))
    ok(driver.cuDeviceGet(number, 0))
    ok(driver.cuDevicePrimaryCtxRetain(context, number[0]))
    ok(driver.cuCtxSetCurrent(context[0]))
    places = ffi.new("uint64_t[]", len(arrays))
    for i, array in enumerate(arrays):
        ok(driver.cuMemAlloc_v2(places + i, max(array.nbytes, 16)))
        ok(driver.cuMemcpyHtoD_v2(places[i], ffi.cast("void *", array.ctypes.data), array.nbytes))
    assert launcher(bytes(ffi.buffer(places))) == 0
    ok(driver.cuCtxSynchronize())
    for i, array in enumerate(arrays):
        ok(driver.cuMemcpyDtoH_v2(ffi.cast("void *", array.ctypes.data), places[i], array.nbytes))
        ok(driver.cuMemFree_v2(places[i]))


def by_nvcc(source: str, architecture: str) -> Path:
    """The folder of a strict build.  Skips where there is no nvcc."""
    try:
        find_nvcc()
    except DslError as e:
        pytest.skip(str(e))
    toolchain = NvccToolchain(architecture, strict=True)

    def produce(folder: Path) -> dict[str, str]:
        (folder / "run.cu").write_text(source)
        toolchain.compile(folder, "run")
        return {}

    key = digest("primitive", source, toolchain.identity(), *(h.read_text() for h in HEADERS))
    return Path((shared_cache().get(key) or shared_cache().build(key, produce)).path)


# ---------------------------------------------------------------- nvcc compiles them, without a warning
@pytest.mark.parametrize("architecture", ["sm_80", "sm_89", "sm_90a"])
@pytest.mark.parametrize("name", sorted(p.stem for p in SOURCES.glob("*.cu")))
def test_nvcc_compiles(name: str, architecture: str) -> None:
    if name in HOPPER and architecture != "sm_90a":
        pytest.skip("its instructions begin with sm_90a")
    folder = by_nvcc(text_of(name), architecture)
    record = json.loads((folder / "run.resources.json").read_text())
    assert record["warnings"] == [] and len(record["kernels"]) == 1
    kernel = record["kernels"][0]
    assert kernel["spill_stores"] == kernel["spill_loads"] == kernel["stack"] == 0 and not kernel["remarks"], kernel


# ---------------------------------------------------------------- portable words
@pytest.mark.parametrize("how", WAYS)
def test_lanes(how: str) -> None:
    x = np.random.default_rng(1).standard_normal(128).astype(np.float32)
    y = np.zeros((128, 6))
    run(text_of("lanes"), [x, y], how, (1,))
    lane, base = np.arange(128) % 32, np.arange(128) // 32 * 32
    np.testing.assert_array_equal(y[:, 0], x[base + (lane ^ 5)])
    np.testing.assert_array_equal(y[:, 1], base + 3)
    np.testing.assert_array_equal(y[:, 2], x.astype(np.float16)[base + (lane ^ 16)])
    np.testing.assert_array_equal(y[:, 3], (np.arange(128) ^ 1).astype(np.int64) << 33)
    four = x[::-1].reshape(32, 4)
    np.testing.assert_array_equal(y[:, 4], np.repeat((four[:, 0] + four[:, 1]) + four[:, 2] + four[:, 3], 4))
    np.testing.assert_array_equal(y[:, 5], (-(np.arange(128) ^ 1)).astype(np.int8))


def specials() -> np.ndarray:
    """4096 f32: all sorts of numbers, with ties of every narrow format, its largest numbers, infinities and NaN."""
    rng = np.random.default_rng(2)
    numbers = [0, -0.0, np.inf, -np.inf, np.nan, 448, 464, 465, 463.9, 480, 57344, 61440, 61439.9, 65504, 65519.9, 65520, 3.4e38, 2**-24, 2**-25,
               1.5 * 2**-25, 2**-10, 2**-9, 2**-16, 2**-17, 1e-40, 1.5, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8]
    x = rng.integers(0, 1 << 32, 4096, dtype=np.uint32).view(np.float32)
    x[:1024] = rng.standard_normal(1024) * np.exp2(rng.integers(-28, 18, 1024))
    x[:2 * len(numbers)] = [*numbers, *(-n for n in numbers)]
    return x


@pytest.mark.parametrize("how", WAYS)
def test_conversions(how: str) -> None:
    x, y = specials(), np.zeros((4096, 8), np.float32)
    run(text_of("conversions"), [x, y], how, (1,))
    with np.errstate(all="ignore"):
        for i, dtype in ((0, np.float16), (1, ml_dtypes.bfloat16), (2, ml_dtypes.float8_e4m3fn), (4, ml_dtypes.float8_e5m2)):
            np.testing.assert_array_equal(y[:, i], x.astype(dtype).astype(np.float32))
        for i, dtype in ((3, ml_dtypes.float8_e4m3fn), (5, ml_dtypes.float8_e5m2)):
            top = float(ml_dtypes.finfo(dtype).max)
            np.testing.assert_array_equal(y[:, i], np.clip(x, -top, top).astype(dtype).astype(np.float32))
    np.testing.assert_array_equal(y[:, 6], np.fmax(x, np.float32(1.5)))
    np.testing.assert_array_equal(y[:, 7], np.fmin(x, np.float32(1.5)))


@pytest.mark.parametrize("how", ["late", WAYS[-1]])
def test_functions(how: str) -> None:
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(4096) * np.exp2(rng.integers(-6, 7, 4096))).astype(np.float32)
    x[:1024] = np.exp2(rng.uniform(-120, 120, 1024))
    x[1024:1536] = 1 + rng.uniform(-0.1, 0.1, 512)
    x[1536:1540] = [0, np.inf, -np.inf, np.nan]
    y = np.zeros((4096, 10), np.float32)
    run(text_of("functions"), [x, y], how, (1,))
    wide, error = x.astype(np.float64), 2.0**-20
    with np.errstate(all="ignore"):
        near = np.abs(wide - 1) < 0.3
        log, log2 = ((f(wide), np.where(near, 2.0**-21, error * np.abs(f(wide)))) for f in (np.log, np.log2))
        turns = np.abs(wide) < 2**15
        power = error + 2.0**-22 * np.abs(wide)
        rows = [(np.exp(wide), power * np.exp(wide)), (np.exp2(wide), power * np.exp2(wide)), log, log2,
                (1 / (1 + np.exp(-wide)), error / (1 + np.exp(-wide))), (np.tanh(wide), error), None,
                (np.where(turns, np.sin(wide), 0), np.where(turns, 2.0**-19, 2)), (np.where(turns, np.cos(wide), 0), np.where(turns, 2.0**-19, 2)),
                (1 / np.sqrt(wide), error / np.sqrt(np.abs(wide)))]
        for i, row in enumerate(rows):
            if row is None:
                continue
            want, bound = row[0].astype(np.float32).astype(np.float64), row[1]
            tiny = np.where(np.abs(want) < 2.0**-126, 2.0**-149, 0)
            same = (y[:, i] == want) | (np.isnan(y[:, i]) & np.isnan(want)) | (np.abs(y[:, i] - want) <= bound + tiny + np.abs(want) * 2.0**-24)
            same |= ~turns & (i in (7, 8))
            assert same.all(), (i, x[~same][:4], y[~same, i][:4], want[~same][:4])


@pytest.mark.parametrize("how", WAYS)
def test_atomics(how: str) -> None:
    x = np.random.default_rng(4).integers(-1000, 1000, 256).astype(np.int32)
    sums, ends = np.zeros(5, np.uint64), np.array([2**31 - 1, -2**31, 0x7f800000, -0x800000], np.int64).astype(np.int32)
    run(text_of("atomics"), [x, sums, ends], how, (1, 2))
    total = int(x.sum())
    assert sums[0].astype(np.int64) == total << 20
    assert int(sums[1]) == int(x.view(np.uint32).astype(np.uint64).sum())
    assert int(sums[2:3].view(np.int32)[0]) == total and int(sums[3:4].view(np.uint32)[0]) == total % 2**32 and sums[4:5].view(np.float32)[0] == total
    assert [*ends[:2], *ends[2:].view(np.float32)] == [x.min(), x.max(), x.min(), x.max()]


# ---------------------------------------------------------------- matrices of a warp
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("dtype", ["bf16", "f16"])
@pytest.mark.parametrize("valid", [16, 6, 0])
def test_matrix(how: str, dtype: str, valid: int) -> None:
    kind = {"bf16": ml_dtypes.bfloat16, "f16": np.float16}[dtype]
    rng = np.random.default_rng(5)
    a, b, d = rng.integers(-8, 8, (16, 16)).astype(kind), rng.integers(-8, 8, (16, 8)).astype(kind), np.zeros((16, 8), np.float32)
    run(text_of("matrix", {"TYPE": dtype, "VALID": valid}), [a, b, d], how, (2,))
    used = a.astype(np.float32)
    used[:, 8 + valid // 2:] = 0
    np.testing.assert_array_equal(d, used @ b.astype(np.float32))


@pytest.mark.parametrize("how", WAYS)
def test_matrix_words(how: str) -> None:
    rng = np.random.default_rng(6)
    a, b = (rng.integers(0, 200, (32, n), dtype=np.uint32) * 0x00010101 + 0x3f800000 for n in (4, 2))
    wide = rng.integers(-9, 9, (32, 2)).astype(np.float64)
    d, n, e = np.zeros((32, 4), np.float32), np.zeros((32, 4), np.int32), np.zeros((32, 2))
    a &= np.uint32(0xfff0ffff)
    run(text_of("matrix_words"), [a, b, wide, d, n, e], how, (3, 4, 5))
    lane = np.arange(32)
    rows, words = lane // 4, lane % 4
    bytes_a, bytes_b = np.zeros((16, 32), np.int64), np.zeros((32, 8), np.int64)
    tf_a, tf_b = np.zeros((16, 8)), np.zeros((8, 8))
    for i in range(4):
        for j in range(4):
            bytes_a[rows + i % 2 * 8, words * 4 + i // 2 * 16 + j] = a[:, i].copy().view(np.uint8).reshape(32, 4)[:, j]
        tf_a[rows + i % 2 * 8, words + i // 2 * 4] = (a[:, i] & np.uint32(0xffffe000)).view(np.float32)
    for i in range(2):
        for j in range(4):
            bytes_b[words * 4 + i * 16 + j, rows] = b[:, i].copy().view(np.int8).reshape(32, 4)[:, j]
        tf_b[words + i * 4, rows] = (b[:, i] & np.uint32(0xffffe000)).view(np.float32)
    whole = bytes_a @ bytes_b + bytes_a.astype(np.uint8).view(np.int8).astype(np.int64) @ bytes_b
    float_d = tf_a @ tf_b
    for i in range(4):
        at = rows + i // 2 * 8, words * 2 + i % 2
        np.testing.assert_array_equal(n[:, i], whole[at] + i + 1)
        np.testing.assert_allclose(d[:, i], float_d[at], rtol=1e-6)
    left, right = np.zeros((8, 4)), np.zeros((4, 8))
    left[rows, words], right[words, rows] = wide[:, 0], wide[:, 1]
    np.testing.assert_array_equal(e, np.stack([(left @ right)[rows, words * 2 + i] + i + 1 for i in range(2)], 1))


def test_a_missing_wait_is_found() -> None:
    a, b, d = np.ones((16, 16), ml_dtypes.bfloat16), np.ones((16, 8), ml_dtypes.bfloat16), np.zeros((16, 8), np.float32)
    with pytest.raises(Findings):
        run(text_of("matrix", replaced={"copy_async_wait<0>();": ""}), [a, b, d], "late", (2,))


# ---------------------------------------------------------------- sm_90a: tensor copies
def box_in_shared(x: np.ndarray, at: tuple[int, int, int], width: int, swizzle: int) -> np.ndarray:
    """The box of 8 x 4 x width at `at` as it lies in shared memory: zeros outside, 16-byte units moved by bits 7 .. of their address."""
    box = np.zeros((8, 4, width), x.dtype)
    for i, j, k in np.ndindex(box.shape):
        place = (at[0] + i, at[1] + j, at[2] + k)
        if all(0 <= p < n for p, n in zip(place, x.shape, strict=True)):
            box[i, j, k] = x[place]
    address = np.arange(box.nbytes)
    moved = address ^ ((address >> 7 & {0: 0, 32: 1, 64: 3, 128: 7}[swizzle]) << 4)
    seen = np.zeros(box.nbytes, np.uint8)
    seen[moved] = box.reshape(-1).view(np.uint8)
    return seen.view(x.dtype)


BOXES = [(0, 8, (-3, 18, 10)), (0, 24, (0, 0, 0)), (32, 16, (-3, 18, 10)), (64, 32, (5, -2, -1)), (128, 64, (0, 17, 15)), (128, 64, (30, 0, 0))]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("swizzle", "width", "at"), BOXES)
def test_tensor_copy(how: str, swizzle: int, width: int, at: tuple[int, int, int]) -> None:
    x = np.random.default_rng(7).integers(1, 60000, (16, 20, 24)).astype(np.uint16)
    seen, y = np.zeros(8 * 4 * width, np.uint16), np.zeros_like(x)
    defines = {"SWIZZLE": swizzle, "WIDTH": width, "C0": at[0], "C1": at[1], "C2": at[2]}
    run(text_of("tensor_copy", defines), aligned(x, seen, y), how, (1, 2))
    outermost_first = at[::-1]
    np.testing.assert_array_equal(seen, box_in_shared(x, outermost_first, width, swizzle))
    inside = tuple(slice(max(a, 0), max(a + n, 0)) for a, n in zip(outermost_first, (8, 4, width), strict=True))
    want = np.zeros_like(x)
    want[inside] = x[inside] + 1
    np.testing.assert_array_equal(y, want)


def aligned(*arrays: np.ndarray) -> list[np.ndarray]:
    """The same arrays; numpy's memory begins at multiples of 16, as a tensor map wants it."""
    assert all(a.ctypes.data % 16 == 0 for a in arrays)
    return list(arrays)


WRONG_COPIES = {
    "no fence for the barrier": ({"barrier_init_fence();": ""}, "barrier_init_fence"),
    "no fence before the store": ({"async_fence();": ""}, "no async_fence"),
    "not waited for": ({"barrier_wait(ready, 0);": ""}, "race"),
    "no sync after the initialisation": ({"    block_sync();\n    if (worker() == 0) {\n        barrier_expect": "    if (worker() == 0) {\n"
                                         "        barrier_expect"}, ""),
    "too many bytes expected": ({"elements * 2": "elements * 2 + 16"}, "barrier_wait"),
    "too few bytes expected": ({"barrier_expect(ready, elements * 2)": "barrier_expect(ready, elements)"}, ""),
    "more arrivals than the count": ({"barrier_expect(ready, elements * 2);": "barrier_expect(ready, elements * 2); barrier_arrive(ready);"},
                                  "one arrival more"),
    "more bytes than a barrier counts": ({"elements * 2": "1 << 20"}, "counts to"),
    "never initialised": ({"barrier_init(ready, 1);": ""}, "not been initialised"),
    "initialised twice": ({"barrier_init(ready, 1);": "barrier_init(ready, 1);\n        barrier_init(ready, 1);"}, "second time"),
    "shared memory not aligned": ({"shared_at<u16>(1024)": "shared_at<u16>(1024 + 64)", "1024 + WIDTH * 64": "2048 + WIDTH * 64"}, "multiple of 128"),
    "too few coordinates": ({"ready, C0, C1, C2": "ready, C0, C1"}, "coordinates"),
}


@pytest.mark.parametrize("case", WRONG_COPIES)
def test_wrong_tensor_copies_are_found(case: str) -> None:
    replaced, said = WRONG_COPIES[case]
    x, seen, y = np.ones((16, 20, 24), np.uint16), np.zeros(512, np.uint16), np.zeros((16, 20, 24), np.uint16)
    with pytest.raises(Findings, match=said):
        run(text_of("tensor_copy", replaced=replaced), aligned(x, seen, y), "late", (1, 2))


@pytest.mark.parametrize("replaced", [{"48, 960": "40, 960"}, {"{WIDTH, 4, 8}": "{WIDTH, 4, 257}"}, {"arrays[0], dims": "(char *)arrays[0] + 8, dims"},
                                      {"{WIDTH, 4, 8}": "{WIDTH + 1, 4, 8}"}, {"{WIDTH, 4, 8}": "{WIDTH * 2, 4, 8}"}])
def test_wrong_tensor_maps_are_refused(replaced: dict[str, str]) -> None:
    x, seen, y = np.ones((16, 20, 24), np.uint16), np.zeros(512, np.uint16), np.zeros((16, 20, 24), np.uint16)
    with pytest.raises(AssertionError, match="status -1"):
        run(text_of("tensor_copy", replaced=replaced), aligned(x, seen, y), "late", (1, 2))


# ---------------------------------------------------------------- sm_90a: matrices of a warp group
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("transposed", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize(("swizzle", "n", "dtype"), [(128, 64, "bf16"), (128, 256, "f16"), (64, 96, "f16"), (32, 16, "bf16")])
def test_warp_group(how: str, transposed: tuple[int, int], swizzle: int, n: int, dtype: str) -> None:
    kind, k = {"bf16": ml_dtypes.bfloat16, "f16": np.float16}[dtype], swizzle // 2
    rng = np.random.default_rng(8)
    a, b, d = rng.integers(-8, 8, (64, k)), rng.integers(-8, 8, (k, n)), np.zeros((64, n), np.float32)
    given = np.ascontiguousarray(a.T if transposed[0] else a).astype(kind), np.ascontiguousarray(b if transposed[1] else b.T).astype(kind)
    defines = {"TYPE": dtype, "N": n, "SWIZZLE": swizzle, "A_TRANSPOSED": transposed[0], "B_TRANSPOSED": transposed[1]}
    run(text_of("warp_group", defines), aligned(*given, d), how, (2,))
    np.testing.assert_array_equal(d, a @ b)


def plain_arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    a, b = (rng.integers(-128, 128, (rows, 32)).astype(np.int8) for rows in (64, 16))
    c = rng.integers(-9999, 9999, (64, 16)).astype(np.int32)
    return aligned(a, b, c, np.zeros_like(c), np.zeros_like(c))


@pytest.mark.parametrize("how", WAYS)
def test_warp_group_plain(how: str) -> None:
    a, b, c, d, e = arrays = plain_arrays()
    run(text_of("warp_group_plain"), arrays, how, (3, 4))
    want = c + a.astype(np.int32) @ b.astype(np.int32).T
    np.testing.assert_array_equal(d, want)
    np.testing.assert_array_equal(e, want)


WRONG_GROUPS = {
    "no async_fence": ({"    async_fence();\n": ""}, "no async_fence"),
    "no block_sync": ({"    block_sync();\n": ""}, "race"),
    "no wgmma_fence": ({"    wgmma_fence();\n": ""}, "wgmma_fence"),
    "written before the wait": ({"    wgmma_wait<1>();\n": "    d[0] = 1;\n    wgmma_wait<1>();\n"}, "before the wait"),
    "start not aligned": ({"matrix_descriptor(a, 128": "matrix_descriptor(a + 8, 128"}, "multiples of 16"),
    "outside of shared memory": ({"matrix_descriptor(b, 128, 256, 0), 1)": "matrix_descriptor(b, 128, 4096, 0), 1)"}, ""),
    "swizzle of another width": ({"matrix_descriptor(a, 128, 256, 0)": "matrix_descriptor(a, 128, 256, 48)"}, "0, 32, 64 or 128"),
}


@pytest.mark.parametrize("case", WRONG_GROUPS)
def test_wrong_warp_groups_are_found(case: str) -> None:
    replaced, said = WRONG_GROUPS[case]
    with pytest.raises(Findings, match=said):
        run(text_of("warp_group_plain", replaced=replaced), plain_arrays(), "late", (3, 4))


def test_what_a_wrong_descriptor_reads_is_wrong() -> None:
    a, b, c, d, e = arrays = plain_arrays()
    run(text_of("warp_group_plain", replaced={"matrix_descriptor(a, 128, 256, 0)": "matrix_descriptor(a, 256, 128, 0)"}), arrays, "late", (3, 4))
    want = c + a.astype(np.int32) @ b.astype(np.int32).T
    assert (d != want).any() and (e == want).all()


def test_registers_hold_poison_until_the_wait() -> None:
    a, b, c, d, e = arrays = plain_arrays()
    moved = {"    wgmma_wait<0>();\n    wgmma_hold(e);\n": "", "        to_e[i / 4 * 8 + i % 2 + i / 2 % 2 * 8 * 16] = e[i];\n    }\n":
             "        to_e[i / 4 * 8 + i % 2 + i / 2 % 2 * 8 * 16] = e[i];\n    }\n    wgmma_wait<0>();\n    wgmma_hold(e);\n"}
    run(text_of("warp_group_plain", replaced=moved), arrays, "late", (3, 4))
    assert (e == 0x7fbadbad).any() and (d == c + a.astype(np.int32) @ b.astype(np.int32).T).all()


# ---------------------------------------------------------------- sm_90a: roles
@pytest.mark.parametrize("how", WAYS)
def test_roles(how: str) -> None:
    x = np.random.default_rng(10).integers(0, 1 << 32, (5, 128), dtype=np.uint32)
    y = np.zeros_like(x)
    run(text_of("roles"), aligned(x, y), how, (1,))
    np.testing.assert_array_equal(y, x[:, np.arange(128) ^ 37])         # row r, word w of a matrix is lane 4 r + w's: the words keep their order


WRONG_ROLES = {
    "producer begins with the wrong parity": ({"i / 2 % 2 ^ 1": "i / 2 % 2"}, "barrier_wait"),
    "consumer begins with the wrong parity": ({"barrier_wait(full + i % 2, i / 2 % 2)": "barrier_wait(full + i % 2, i / 2 % 2 ^ 1)"}, ""),
    "stages are not released": ({"            barrier_arrive(empty + i % 2);\n": ""}, "barrier_wait"),
    "released before they are read": ({"            barrier_arrive(empty + i % 2);\n": "",
                                       "            const u32 x = stages": "            barrier_arrive(empty + i % 2);\n"
                                       "            const u32 x = stages"}, "race"),
    "more registers than were released": ({"registers_release<40>()": "registers_release<160>()"}, "registers_claim"),
    "released upwards": ({"registers_release<40>()": "registers_release<256>()"}, "registers_release"),
    "no second named barrier": ({"            group_sync(2, 128);\n": ""}, "race"),
    "named barrier of too many": ({"group_sync(1, 128)": "group_sync(1, 160)"}, "group_sync"),
    "named barrier 16": ({"group_sync(1, 128)": "group_sync(16, 128)"}, "1 to 15"),
}


@pytest.mark.parametrize("case", WRONG_ROLES)
def test_wrong_roles_are_found(case: str) -> None:
    replaced, said = WRONG_ROLES[case]
    x = np.zeros((5, 128), np.uint32)
    with pytest.raises(Findings, match=said):
        run(text_of("roles", replaced=replaced), aligned(x, np.zeros_like(x)), "late", (1,))
