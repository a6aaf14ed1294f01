"""Each primitive of tile_hip.h: compiled for every chip that has it, its instruction looked up, run in the emulator and compared with numpy.

The same kernels run on an AMD GPU with `pytest -m device`.
"""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from dslc.backends.common.emulation import EmulationError, Emulator
from dslc.backends.hip import machine_code, toolchain
from dslc.errors import DslError

HERE = Path(__file__).resolve().parent
KERNELS = HERE / "primitives" / "hip"
ALL, MATRIX = toolchain.ARCHITECTURES, ("gfx90a", "gfx942", "gfx950")
NUMPY = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f8e4m3": ml_dtypes.float8_e4m3fn, "f8e5m2": ml_dtypes.float8_e5m2, "f32": np.float32,
         "f64": np.float64, **{f"{sign}{bits}": np.dtype(f"{sign}{bits // 8}") for sign in "iu" for bits in (8, 16, 32, 64)}}
MODES = ("late", "early", "random:7")


def source(name: str, **definitions: object) -> str:
    """The text of a kernel with its parameters in front."""
    return "".join(f"#define {key} {value}\n" for key, value in definitions.items()) + (KERNELS / f"{name}.hip").read_text()


def mfma_source(size: int, a: str, b: str, elements: int) -> str:
    d = "f64" if a == "f64" else "i32" if a == "i8" else "f32"
    row = "4 * (r) + (g)" if d == "f64" else "4 * (g) + (r)" if size == 16 else "(r) / 4 * 8 + 4 * (g) + (r) % 4"
    return source("mfma", SIZE=size, TYPE_A=a, TYPE_B=b, TYPE_D=d, ELEMENTS=elements, MULTIPLY=f"mfma_{size}x{size}<{a}>", **{"ROW(r, g)": f"({row})"})


# ---------------------------------------------------------------- matrix instructions: (size, a, b, elements of a lane) -> name on a chip
CDNA2 = {(16, "f16", "f16", 4): "v_mfma_f32_16x16x16f16", (32, "f16", "f16", 4): "v_mfma_f32_32x32x8f16",
         (16, "bf16", "bf16", 4): "v_mfma_f32_16x16x16bf16_1k", (32, "bf16", "bf16", 4): "v_mfma_f32_32x32x8bf16_1k",
         (16, "f32", "f32", 1): "v_mfma_f32_16x16x4f32", (32, "f32", "f32", 1): "v_mfma_f32_32x32x2f32",
         (16, "f64", "f64", 1): "v_mfma_f64_16x16x4f64", (16, "i8", "i8", 4): "v_mfma_i32_16x16x16i8", (32, "i8", "i8", 4): "v_mfma_i32_32x32x8i8"}
CDNA3 = {(16, "f16", "f16", 4): "v_mfma_f32_16x16x16_f16", (32, "f16", "f16", 4): "v_mfma_f32_32x32x8_f16",
         (16, "bf16", "bf16", 4): "v_mfma_f32_16x16x16_bf16", (32, "bf16", "bf16", 4): "v_mfma_f32_32x32x8_bf16",
         (16, "f32", "f32", 1): "v_mfma_f32_16x16x4_f32", (32, "f32", "f32", 1): "v_mfma_f32_32x32x2_f32",
         (16, "f64", "f64", 1): "v_mfma_f64_16x16x4_f64", (16, "i8", "i8", 8): "v_mfma_i32_16x16x32_i8", (32, "i8", "i8", 8): "v_mfma_i32_32x32x16_i8"}
CDNA4 = CDNA3 | {(16, t, t, 8): f"v_mfma_f32_16x16x32_{t}" for t in ("f16", "bf16")} | {(32, t, t, 8): f"v_mfma_f32_32x32x16_{t}" for t in ("f16", "bf16")}
CDNA4 |= {(16, "i8", "i8", 16): "v_mfma_i32_16x16x64_i8", (32, "i8", "i8", 16): "v_mfma_i32_32x32x32_i8"}
CDNA4 |= {(size, a, b, 8): f"v_mfma_f32_{size}x{size}x{512 // size}_{x}_{y}" for size in (16, 32) for a, x in (("f8e4m3", "fp8"), ("f8e5m2", "bf8"))
          for b, y in (("f8e4m3", "fp8"), ("f8e5m2", "bf8"))}
INSTRUCTIONS = {"gfx90a": CDNA2, "gfx942": CDNA3, "gfx950": CDNA4}
MFMA = [(chip, *key) for chip, table in INSTRUCTIONS.items() for key in table]


def compiled(chip: str, name: str, text: str, folder: Path) -> machine_code.MachineCode:
    try:
        toolchain.find_compiler()
    except DslError as error:
        pytest.skip(error.message)
    (folder / f"{name}.hip").write_text(text)
    for header in toolchain.HEADERS:
        (folder / header.name).write_text(header.read_text())
    toolchain.HipToolchain(chip, strict=True).assemble(folder, name)
    (kernel,) = machine_code.read((folder / f"{name}.s").read_text())
    assert kernel.architecture == chip and kernel.kernel == f"{name}_programs"
    assert (kernel.vgpr_spills, kernel.sgpr_spills, kernel.scratch_bytes) == (0, 0, 0)
    return kernel


@pytest.mark.parametrize(("chip", "size", "a", "b", "elements"), MFMA)
def test_matrix_instruction(chip: str, size: int, a: str, b: str, elements: int, tmp_path: Path) -> None:
    kernel = compiled(chip, "mfma", mfma_source(size, a, b, elements), tmp_path)
    assert {name: n for name, n in kernel.names.items() if name.startswith("v_mfma")} == {INSTRUCTIONS[chip][size, a, b, elements]: 1}
    assert kernel.names["s_setprio"] == 2


# (kernel, parameters, chips, instructions of which one must be there, instructions that must not)
COMPILED = [
    ("copy_to_shared", {"BYTES": 4}, ("gfx90a",), ["global_load_dword"], ["ds_write_b32"]),
    ("copy_to_shared", {"BYTES": 4}, ("gfx942", "gfx950"), ["global_load_lds_dword"], ["ds_write_b32"]),
    ("copy_to_shared", {"BYTES": 16}, ("gfx950",), ["global_load_lds_dwordx4"], ["ds_write_b128"]),
    ("copies_in_order", {"LEFT": 1}, MATRIX, ["s_waitcnt"], []),
    ("copy_buffer", {"BYTES": 4}, MATRIX, ["buffer_load_dword"], ["v_cmp_gt_i32_e32"]),
    ("copy_buffer", {"BYTES": 16}, ("gfx950",), ["buffer_load_dwordx4"], []),
    ("buffer_load", {"ELEMENTS": 1}, MATRIX, ["buffer_load_ushort"], []),
    ("buffer_load", {"ELEMENTS": 8}, MATRIX, ["buffer_load_dwordx4"], []),
    ("load_transposed", {}, ("gfx950",), ["ds_read_b64_tr_b16"], []),
    ("vectors", {"BYTES": 16}, ALL, ["ds_read_b128", "ds_load_b128"], []),
    ("vectors", {"BYTES": 2}, ALL, ["ds_read_u16", "ds_load_u16"], []),
    ("shuffle", {"TYPE": "f32"}, ALL, ["v_mov_b32_dpp"], []),
    ("shuffle", {"TYPE": "f64"}, ALL, ["ds_bpermute_b32"], []),
    ("shuffle", {"TYPE": "i8"}, ALL, ["ds_bpermute_b32"], []),
    ("atomics", {"TYPE": "i32"}, ALL, ["global_atomic_add", "global_atomic_add_u32"], []),
    ("atomics", {"TYPE": "u64"}, ALL, ["global_atomic_add_x2", "global_atomic_add_u64"], []),
    ("atomics", {"TYPE": "f32"}, ALL, ["global_atomic_add_f32"], []),
    ("histogram", {"TYPE": "f32"}, ALL, ["ds_add_f32"], []),
    ("histogram", {"TYPE": "u32"}, ALL, ["ds_add_u32"], []),
    ("half_sync", {"MEET": "block_sync"}, ALL, ["s_barrier"], []),
    ("step_sync", {"MEET_AFTER_WRITING": "step_sync", "MEET_BEFORE_READING": "step_sync"}, ALL, ["s_barrier"], []),
    ("functions", {}, ALL, ["v_exp_f32_e32"], []),
    ("report_failure", {}, ALL, ["global_atomic_cmpswap", "global_atomic_cmpswap_b32"], []),
]
BUILDS = [(chip, name, parameters, some, none) for name, parameters, chips, some, none in COMPILED for chip in chips]


@pytest.mark.parametrize(("chip", "name", "parameters", "some", "none"), BUILDS, ids=[f"{c}-{n}-{'-'.join(map(str, p.values()))}" for c, n, p, _, _ in BUILDS])
def test_instruction(chip: str, name: str, parameters: dict[str, object], some: list[str], none: list[str], tmp_path: Path) -> None:
    names = compiled(chip, name, source(name, **parameters), tmp_path).names
    assert any(n.startswith(tuple(some)) for n in names) and not any(n in names for n in none), dict(names)


def test_a_main_loop_as_good_as_the_best_is_writable(tmp_path: Path) -> None:
    """Static figures of HipKittens' bf16 product of this shape on gfx950: 236 registers, 0 spills, 0.00 VALU and 0.38 LDS reads per MFMA."""
    kernel = compiled("gfx950", "gemm_loop", source("gemm_loop"), tmp_path)
    loop = kernel.loop
    assert loop is not None and loop.mfma == 128 and loop.scratch == 0 and loop.copies == 16 and loop.lds_writes == 0 and loop.global_loads == 0
    assert kernel.vgprs <= 256 and kernel.occupancy(131072) == 2 and loop.barriers == 2
    assert loop.valu_per_mfma <= 0.06 and loop.lds_reads_per_mfma == 0.375


# ---------------------------------------------------------------- running
class Emulated:
    """Kernels compiled against the emulated header, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.built = folder, {}

    def __call__(self, chip: str, name: str, text: str, a: np.ndarray, b: np.ndarray, c: np.ndarray, n: int, mode: str = "late") -> SimpleNamespace:
        """Runs; `c` is changed in place.  findings: "kind: text" of each, banks: as counted."""
        if (chip, text) not in self.built:
            place = self.folder / str(len(self.built))
            place.mkdir()
            (place / f"{name}.hip").write_text(text)
            tools = Emulator("hip", chip)
            self.built[chip, text] = tools.load(place / tools.compile(place, name), name)
        launch = self.built[chip, text]
        packed = np.array([a.ctypes.data, b.ctypes.data, c.ctypes.data, n], np.int64).tobytes()
        ranges = [(label, array.ctypes.data, array.nbytes, label == "c") for label, array in (("a", a), ("b", b), ("c", c))]
        try:
            assert launch(packed, ranges, mode) == 0
        except EmulationError as error:
            return SimpleNamespace(findings=[f"{f.kind}: {f.text}" for f in error.findings], banks={})
        return SimpleNamespace(findings=[], banks=launch.statistics["banks"])


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulated:
    return Emulated(tmp_path_factory.mktemp("hip"))


class Device:
    """The same kernels on the AMD GPU of this machine."""

    def __init__(self, folder: Path) -> None:
        try:
            self.hip = ctypes.CDLL("libamdhip64.so")
        except OSError:
            pytest.skip("libamdhip64 cannot be opened: no ROCm here")
        properties, name = ctypes.create_string_buffer(1 << 14), None
        if self.hip.hipGetDeviceProperties(properties, 0):
            pytest.skip("there is no AMD GPU")
        name = next((chip for chip in ALL if chip.encode() in properties.raw), None)       # gcnArchName, wherever this version has it
        if name is None:
            pytest.skip("the AMD GPU is none of " + ", ".join(ALL))
        self.chip, self.folder, self.count = name, folder, 0

    def __call__(self, chip: str, name: str, text: str, a: np.ndarray, b: np.ndarray, c: np.ndarray, n: int) -> None:
        self.count += 1
        place = self.folder / str(self.count)
        place.mkdir()
        (place / f"{name}.hip").write_text(text)
        tools = toolchain.HipToolchain(chip, strict=True)
        launcher = tools.load(place / tools.compile(place, name), name)
        addresses = [ctypes.c_void_p() for _ in range(3)]
        for address, array in zip(addresses, (a, b, c), strict=True):
            assert self.hip.hipMalloc(ctypes.byref(address), ctypes.c_size_t(array.nbytes)) == 0
            assert self.hip.hipMemcpy(address, ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes), 1) == 0
        assert launcher(np.array([*(x.value for x in addresses), n], np.int64).tobytes()) == 0
        assert self.hip.hipMemcpy(ctypes.c_void_p(c.ctypes.data), addresses[2], ctypes.c_size_t(c.nbytes), 2) == 0
        for address in addresses:
            self.hip.hipFree(address)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return Device(tmp_path_factory.mktemp("device"))


# ---------------------------------------------------------------- what is computed
Case = tuple[str, str, str, np.ndarray, np.ndarray, np.ndarray, int, np.ndarray]           # chip, name, text, a, b, c, n, wanted
NOTHING = np.zeros(1, np.int32)
random = np.random.default_rng(3)


def bits(n: int, dtype: type) -> np.ndarray:
    return random.integers(0, 256, n * np.dtype(dtype).itemsize, np.uint8).view(dtype)


def mfma_case(chip: str, size: int, a: str, b: str, elements: int) -> Case:
    """Small integers, so that every sum is exact and any order gives the same bits; no two rows or columns alike."""
    depth = elements * 64 // size
    left = random.integers(-8, 9, (size, depth)).astype(NUMPY[a])
    right = random.integers(-8, 9, (depth, size)).astype(NUMPY[b])
    wide = {"f64": np.float64, "i8": np.int32}.get(a, np.float32)
    c = random.integers(-50, 50, (size, size)).astype(wide)
    return chip, "mfma", mfma_source(size, a, b, elements), left, right, c, 0, c + left.astype(wide) @ right.astype(wide)


def copy_case(chip: str, width: int) -> Case:
    each = width // 4
    a = bits(2 * 4 * 64 * each, np.uint32)
    wanted = a.reshape(8, 64, each)[:, ::-1].reshape(-1)
    return chip, "copy_to_shared", source("copy_to_shared", BYTES=width), a, NOTHING, np.zeros_like(a), 0, wanted


def in_order_case(chip: str, left: int = 1) -> Case:
    a = bits(192, np.uint32)
    return chip, "copies_in_order", source("copies_in_order", LEFT=left), a, NOTHING, np.zeros_like(a), 0, a.reshape(3, 64)[:, ::-1].reshape(-1)


def windowed(a: np.ndarray, each: int) -> np.ndarray:
    """64 * each elements from 8 * each before the start of `a` on, zeros outside."""
    wanted = np.zeros(64 * each, a.dtype)
    inside = min(len(a), 56 * each)
    wanted[8 * each:8 * each + inside] = a[:inside]
    return wanted


def buffer_case(chip: str, elements: int) -> Case:
    a = bits(50 * elements - (elements > 2) * 2, np.uint16)
    wanted = windowed(a, elements)
    return chip, "buffer_load", source("buffer_load", ELEMENTS=elements), a, NOTHING, np.zeros_like(wanted), len(a), wanted


def copy_buffer_case(chip: str, width: int) -> Case:
    a = bits(48 * width // 2 - 2, np.uint16)
    wanted = windowed(a, width // 2)
    return chip, "copy_buffer", source("copy_buffer", BYTES=width), a, NOTHING, np.zeros_like(wanted), len(a), wanted


def transposed_case(chip: str) -> Case:
    a = bits(256, np.uint16)
    return chip, "load_transposed", source("load_transposed"), a, NOTHING, np.zeros_like(a), 0, a.reshape(4, 4, 16).transpose(0, 2, 1).reshape(-1)


def shuffle_case(chip: str, dtype: str) -> Case:
    wave, lanes = toolchain.lanes(chip), np.arange(128)
    a, b = bits(128, NUMPY[dtype]), random.integers(0, 64, 128).astype(np.int32)
    a = a if dtype[0] in "iu" else random.standard_normal(128).astype(NUMPY[dtype])
    mask = 21
    sources = [lanes ^ m for m in (1, 2, 3, 4, 8, 16, wave // 2, mask)] + [lanes // wave * wave + b % wave]
    return chip, "shuffle", source("shuffle", TYPE=dtype), a, b, np.zeros(9 * 128, a.dtype), mask, np.concatenate([a[s] for s in sources])


def vectors_case(chip: str, width: int) -> Case:
    a = bits(2 * 256 * width // 2, np.uint16)
    return chip, "vectors", source("vectors", BYTES=width), a, NOTHING, np.zeros_like(a), 0, a.reshape(2, 256, width // 2)[:, ::-1].reshape(-1)


def atomics_case(chip: str, dtype: str) -> Case:
    low = 0 if dtype[0] == "u" else -1000
    a, b = random.integers(low, 1000, 512).astype(NUMPY[dtype]), random.integers(0, 8, 512).astype(np.int32)
    c = random.integers(0, 100, 24).astype(NUMPY[dtype])
    wanted = c.copy()
    np.add.at(wanted[:8], b, a)
    np.minimum.at(wanted[8:16], b, a)
    np.maximum.at(wanted[16:], b, a)
    return chip, "atomics", source("atomics", TYPE=dtype), a, b, c, 0, wanted


def histogram_case(chip: str, dtype: str) -> Case:
    a, b = random.integers(0, 1000, 128).astype(NUMPY[dtype]), random.integers(0, 8, 128).astype(np.int32)
    return chip, "histogram", source("histogram", TYPE=dtype), a, b, np.zeros(8, a.dtype), 0, np.bincount(b, a, 8).astype(a.dtype)


def half_sync_case(chip: str, meet: str = "block_sync") -> Case:
    a = bits(256, np.uint32)
    return chip, "half_sync", source("half_sync", MEET=meet), a, NOTHING, np.zeros_like(a), 0, a[::-1] + np.uint32(1)


def step_sync_case(chip: str, writing: str = "step_sync", reading: str = "step_sync") -> Case:
    a = bits(128, np.uint32)
    text = source("step_sync", MEET_AFTER_WRITING=writing, MEET_BEFORE_READING=reading)
    return chip, "step_sync", text, a, NOTHING, np.zeros(6 * 128, np.uint32), 0, a[::-1] + np.arange(6, dtype=np.uint32)[:, None]


def gemm_loop_case(n: int) -> Case:
    """Small integers: every sum is exact."""
    a, b = (random.integers(-8, 9, (256, n)).astype(ml_dtypes.bfloat16) for _ in range(2))
    return "gfx950", "gemm_loop", source("gemm_loop"), a, b, np.zeros((256, 256), np.float32), n, a.astype(np.float32) @ b.astype(np.float32).T


def uniform_case(chip: str) -> Case:
    a = bits(256, np.uint32)
    text = source("half_sync", MEET="block_sync").replace("= x + 1;", "= x + (u32)uniform(worker() / lanes);")
    return chip, "half_sync", text, a, NOTHING, np.zeros_like(a), 0, (a + np.arange(256, dtype=np.uint32) // toolchain.lanes(chip))[::-1]


CASES: list[Callable[[], Case]] = [
    *(lambda chip=chip: step_sync_case(chip) for chip in ("gfx942", "gfx1100")),
    lambda: gemm_loop_case(128), lambda: gemm_loop_case(256),
    *(lambda chip=chip: uniform_case(chip) for chip in ("gfx942", "gfx1100")),
    *(lambda case=case: mfma_case(*case) for case in MFMA),
    *(lambda chip=chip: copy_case(chip, 4) for chip in MATRIX), lambda: copy_case("gfx950", 16),
    *(lambda chip=chip: in_order_case(chip) for chip in MATRIX),
    *(lambda n=n: buffer_case("gfx942", n) for n in (1, 2, 4, 8)),
    *(lambda chip=chip: copy_buffer_case(chip, 4) for chip in MATRIX), lambda: copy_buffer_case("gfx950", 16),
    lambda: transposed_case("gfx950"),
    *(lambda chip=chip, t=t: shuffle_case(chip, t) for chip in ("gfx942", "gfx950", "gfx1100") for t in ("i8", "u16", "f32", "f64", "i64")),
    *(lambda chip=chip, n=n: vectors_case(chip, n) for chip in ("gfx942", "gfx1100") for n in (2, 4, 8, 16)),
    *(lambda t=t: atomics_case("gfx942", t) for t in ("i32", "u32", "i64", "u64", "f32")),
    *(lambda t=t: histogram_case("gfx942", t) for t in ("i32", "u32", "f32")),
    lambda: half_sync_case("gfx942"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", CASES, ids=range(len(CASES)))
def test_emulated(make: Callable[[], Case], mode: str, emulator: Emulated) -> None:
    *run, wanted = make()
    assert emulator(*run, mode).findings == []
    np.testing.assert_array_equal(run[5], wanted.reshape(run[5].shape))


@pytest.mark.device
@pytest.mark.parametrize("make", CASES, ids=range(len(CASES)))
def test_on_device(make: Callable[[], Case], device: Device) -> None:
    *run, wanted = make()
    if run[0] != device.chip:
        pytest.skip(f"{run[0]}, and this GPU is {device.chip}")
    device(*run)
    np.testing.assert_array_equal(run[5], wanted.reshape(run[5].shape))


def function_samples() -> np.ndarray:
    x = np.concatenate([np.linspace(-100, 100, 4000), random.standard_normal(4000) * 10, 10.0 ** random.uniform(-44, 30, 4000),
                        1 + random.uniform(-1, 1, 2000) / 64])
    return np.concatenate([x.astype(np.float32), np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, -126.5, -140, -149.5, -151, 127.99, 128])])


def check_functions(x: np.ndarray, rows: np.ndarray) -> None:
    """The bounds of the language for every row: 2^-20 relative, for exp and exp2 2^-22 |x| more; half the least subnormal more."""
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        wanted = [np.exp2(wide), np.exp(wide), np.log2(wide), np.log(wide), 1 / (1 + np.exp(-wide)), 1 / np.sqrt(wide), np.tanh(wide),
                  x.astype(np.float16).astype(np.float64), x.astype(ml_dtypes.bfloat16).astype(np.float64)]
        for row, (got, right) in enumerate(zip(rows, wanted, strict=True)):
            right32 = right.astype(np.float32)
            ends = ~np.isfinite(right32) | (right32 == 0)
            np.testing.assert_array_equal(got[ends & (np.abs(right32) != 0)], right32[ends & (np.abs(right32) != 0)])
            bound = 2.0**-20 * np.abs(right) * (row < 7) + (2.0**-22 * np.abs(wide) * np.abs(right) if row < 2 else 0) + 2.0**-149
            near_one = (np.abs(wide - 1) < 0.1) & (row in (2, 3))
            bound = np.where(near_one, np.maximum(bound, 2.0**-21), bound)
            fine = np.abs(got.astype(np.float64) - right) <= bound
            assert (fine | ends).all(), (row, x[~(fine | ends)][:5], got[~(fine | ends)][:5], right[~(fine | ends)][:5])


def test_functions_emulated(emulator: Emulated) -> None:
    x = function_samples()
    c = np.zeros((9, len(x)), np.float32)
    assert emulator("gfx942", "functions", source("functions"), x, NOTHING, c, len(x), "early").findings == []
    check_functions(x, c)


@pytest.mark.device
def test_functions_on_device(device: Device) -> None:
    x = function_samples()
    c = np.zeros((9, len(x)), np.float32)
    device(device.chip, "functions", source("functions"), x, NOTHING, c, len(x))
    check_functions(x, c)


# ---------------------------------------------------------------- wrong uses
def findings(emulator: Emulated, case: Case, text: str = "", mode: str = "late") -> str:
    chip, name, own, a, b, c, n, _ = case
    return "\n".join(emulator(chip, name, text or own, a, b, c, n, mode).findings)


@pytest.mark.parametrize("mode", MODES)
def test_missing_waits(emulator: Emulated, mode: str) -> None:
    """Found in every mode: by clocks, not by values."""
    case = copy_case("gfx950", 16)
    assert "race" in findings(emulator, case, case[2].replace("    wait_copies<0>();\n", ""), mode)
    assert "race" in findings(emulator, case, case[2].replace("    block_sync();\n", ""), mode)
    assert "race" in findings(emulator, case, case[2].replace("    block_sync();\n", "    half_sync();\n"), mode)
    assert "race" in findings(emulator, in_order_case("gfx942", left=2), mode=mode)


def test_wrong_copies(emulator: Emulated) -> None:
    case = copy_case("gfx942", 4)
    assert "one for the wave" in findings(emulator, case, case[2].replace("shared_at<u32>((wave * 4 + row) * 64 * BYTES)", "shared_at<u32>(lane * 4)"))
    assert findings(emulator, case, case[2].replace("63 - lane) * each", "63 - lane) * each + 4096"))
    assert findings(emulator, case, case[2].replace("(wave * 4 + row) * 64 * BYTES)", "(wave * 4 + row) * 64 * BYTES + 64)"))


def test_what_is_said_to_be_uniform_is(emulator: Emulated) -> None:
    case = uniform_case("gfx942")
    assert "uniform: lane 1" in findings(emulator, case, case[2].replace("uniform(worker() / lanes)", "uniform(worker())"))


def test_pipeline_mutations(emulator: Emulated) -> None:
    """Each wait and barrier of the main loop is needed, the swizzle too: without it the reads meet in the same banks."""
    case = gemm_loop_case(256)
    assert "race" in findings(emulator, case, case[2].replace("            wait_copies<0>();\n", ""))
    assert "race" in findings(emulator, case, case[2].replace("            wait_copies<0>();\n", "            wait_copies<1>();\n"))
    assert "race" in findings(emulator, case, case[2].replace("            block_sync();\n", ""))
    line = next(i for i, row in enumerate(case[2].splitlines(), 1) if "left[i] = load_vector" in row)
    good = emulator(*case[:-1]).banks[line]
    assert good[0] == good[1]
    plain = case[2].replace("(lane % 8 ^ lane / 8)", "(lane % 8)").replace("((step * 4 + lane / 16) ^ lane % 8)", "(step * 4 + lane / 16)")
    case[5][:] = 0
    bad = emulator(*case[:2], plain, *case[3:-1]).banks[line]
    np.testing.assert_array_equal(case[5], case[7])
    assert bad[1] >= 2 * good[1]


def test_wrong_buffers(emulator: Emulated) -> None:
    chip, name, text, a, b, c, _, wanted = buffer_case("gfx942", 2)
    assert "half outside" in findings(emulator, (chip, name, text, a, b, c, 31, wanted))
    assert "2^31" in findings(emulator, (chip, name, text, a, b, c, 1 << 30, wanted))


def test_part_of_a_wave(emulator: Emulated) -> None:
    case = mfma_case("gfx942", 16, "f16", "f16", 4)
    assert "MULTIPLY(d, x, y);" in case[2]
    found = findings(emulator, case, case[2].replace("    MULTIPLY(d, x, y);", "    if (worker() < 32) MULTIPLY(d, x, y);"))
    assert "divergence" in found and "mfma_16x16" in found


def test_transposed_operand_is_seen(emulator: Emulated) -> None:
    chip, name, text, a, b, c, n, wanted = mfma_case("gfx950", 32, "bf16", "bf16", 8)
    emulator(chip, name, text.replace("MULTIPLY(d, x, y)", "MULTIPLY(d, y, x)"), a, b, c, n)
    assert (c != wanted).any()


def test_half_sync_orders_nothing(emulator: Emulated) -> None:
    assert "race" in findings(emulator, half_sync_case("gfx942", "half_sync"))


@pytest.mark.parametrize("mode", MODES)
def test_out_of_step_needs_order_on_both_sides(emulator: Emulated, mode: str) -> None:
    assert "race" in findings(emulator, step_sync_case("gfx942", writing="half_sync"), mode=mode)
    assert "race" in findings(emulator, step_sync_case("gfx942", reading="half_sync"), mode=mode)
    assert findings(emulator, step_sync_case("gfx942", "block_sync", "block_sync"), mode=mode)


def test_failure_is_reported(emulator: Emulated) -> None:
    a, c = np.arange(64, dtype=np.int32), np.zeros(1, np.int32)
    run = ("gfx942", "report_failure", source("report_failure"))
    assert emulator(*run, a, NOTHING, c, 0).findings == [] and c[0] == 0
    assert emulator(*run, a - 1, NOTHING, c, 0).findings == [] and c[0] == 7


# ---------------------------------------------------------------- banks
def test_banks_of_the_emulator_are_those_of_the_tables(emulator: Emulated) -> None:
    """One load of each width with random addresses, counted by the emulator and by machine_code.conflicts."""
    text = """#include "tile_hip.h"
struct banks_arguments { const void *a, *b; void *c; index_t n; };
KERNEL(64, 1) void banks_programs(PARAMETER banks_arguments arguments) {
    for (int i = 0; i < 32; ++i)
        shared_at<u32>(0)[i * 64 + worker()] = 0;
    block_sync();
    const Vector<u32, WORDS> x = load_vector<WORDS>(shared_at<u32>(0) + (index_t)global<const i32>(arguments.a)[worker()] * WORDS);
    store_vector(global<u32>(arguments.c) + worker() * WORDS, x);
}
extern "C" DSLC_EXPORT int32_t launch_banks(const banks_arguments *arguments, void *stream) { return launch(banks_programs, 1, 64, 8192, stream, *arguments); }
"""
    for chip in ("gfx942", "gfx950"):
        for words in (1, 2, 4):
            a = random.integers(0, 2048 // words, 64).astype(np.int32)
            report = emulator(chip, "banks", f"#define WORDS {words}\n{text}", a, NOTHING, np.zeros(64 * words, np.uint32), 0)
            assert report.findings == []
            wanted = machine_code.conflicts(chip, f"ds_read_b{32 * words}", [int(i) * 4 * words for i in a])
            line = next(i for i, row in enumerate(text.splitlines(), 2) if "load_vector" in row)
            assert tuple(report.banks[line]) == (*wanted, 1), (chip, words)
