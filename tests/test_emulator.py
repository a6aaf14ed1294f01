"""The emulator's engine on small sources written by hand: right ones give numpy's results, wrong ones the finding and the line they should."""
from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc.backends.common.emulation import EmulationError, Emulator, Launcher
from dslc.errors import DslError

if not any(row["found"] for row in Emulator("cuda").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

MODES = ("late", "early", "random:1", "random:2")
HEAD = """#include "tile_cuda.h"
struct k_arguments { const void *a; const void *b; void *c; i64 n; };
"""


def source_of(body: str, *, blocks: int, workers: int, shared: int) -> str:
    return (f"{HEAD}KERNEL({workers}, 1) void k_programs(PARAMETER k_arguments arguments) {{\n"
            "  const i32 t = worker();\n  const i64 n = arguments.n;\n" + body + "\n}\n"
            'extern "C" DSLC_EXPORT int32_t launch_k(const k_arguments *arguments, void *stream) {\n'
            f"  return launch(k_programs, {blocks}, {workers}, {shared}, stream, *arguments);\n}}\n")


class Program:
    """A compiled source; called with arrays a, b (read only) and c."""

    def __init__(self, folder: Path, body: str, *, blocks: int = 1, workers: int = 64, shared: int = 4096, target: str = "cuda",
                 architecture: str = "") -> None:
        self.text = source_of(body, blocks=blocks, workers=workers, shared=shared).replace("tile_cuda.h", f"tile_{target}.h")
        folder.mkdir(exist_ok=True)
        toolchain = Emulator(target, architecture)
        (folder / f"k.{'cu' if target == 'cuda' else target}").write_text(self.text)
        self.launch: Launcher = toolchain.load(folder / toolchain.compile(folder, "k"), "k")

    def __call__(self, a: Any = None, b: Any = None, c: Any = None, n: int = 0, mode: str = "late", programs: Any = None, fresh: Sequence[str] = ()) -> int:
        arrays = {"a": a, "b": b, "c": c}
        pointers = [0 if x is None else x.ctypes.data for x in arrays.values()]
        ranges = [(name, x.ctypes.data, x.nbytes, name == "c", name not in fresh) for name, x in arrays.items() if x is not None]
        return self.launch(struct.pack("PPPq", *pointers, n), ranges, mode, programs)

    def line(self, mark: str) -> int:
        """The number of the line with the comment `mark`."""
        (found,) = [i for i, text in enumerate(self.text.splitlines(), 1) if text.rstrip().endswith(f"// {mark}")]
        return found


Build = Callable[..., Program]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    numbers = count()                                        # a library that is loaded must not be written over
    return lambda body, **how: Program(tmp_path / f"k{next(numbers)}", body, **how)


def findings(program: Program, **given: Any) -> list[Any]:
    with pytest.raises(EmulationError) as caught:
        program(**given)
    return list(caught.value.findings)


def expect(program: Program, kind: str, marks: Sequence[str], **given: Any) -> str:
    """The first finding is of that kind at those lines; the error's text."""
    with pytest.raises(EmulationError) as caught:
        program(**given)
    first = caught.value.findings[0]
    assert first.kind == kind, caught.value
    assert sorted(first.lines) == sorted(program.line(m) for m in marks), caught.value
    return str(caught.value)


# ---------------------------------------------------------------- right ones
REDUCTION = """
  Global<const f32> a = global<const f32>(arguments.a);
  Global<f32> c = global<f32>(arguments.c);
  Shared<f32> partial = shared_at<f32>(0);
  f32 sum = 0;
  for (i64 i = t; i < n; i += 256)
    sum += a[block_index() * n + i];
  for (i32 mask = 16; mask; mask /= 2)
    sum += shuffle_xor(sum, mask);
  if (t % lanes == 0)
    partial[t / lanes] = sum;
  block_sync();  // sync
  if (t < 8) {
    f32 all = 0;
    for (i32 i = 0; i < 8; ++i)
      all += partial[i];  // read
    if (t == 0)
      c[block_index()] = all;
  }
"""


@pytest.mark.parametrize("mode", MODES)
def test_block_reduction(build: Build, mode: str) -> None:
    program = build(REDUCTION, blocks=3, workers=256, shared=64)
    a, c = np.random.default_rng(0).integers(-8, 8, 3 * 1000).astype(np.float32), np.zeros(3, np.float32)
    assert program(a=a, c=c, n=1000, mode=mode) == 0
    np.testing.assert_array_equal(c, a.reshape(3, 1000).sum(axis=1))
    assert program.launch.statistics["blocks"] == 3


def test_programs_can_be_chosen(build: Build) -> None:
    program = build(REDUCTION, blocks=9, workers=256, shared=64)
    a = np.ones(9 * 100, np.float32)
    for programs, ran in ((3, [0, 4, 8]), ([2, 5, 77], [2, 5]), (100, [*range(9)])):
        c = np.zeros(9, np.float32)
        program(a=a, c=c, n=100, programs=programs)
        assert np.flatnonzero(c).tolist() == ran


DOUBLE_BUFFER = """
  Global<const f32> a = global<const f32>(arguments.a);
  Global<f32> c = global<f32>(arguments.c);
  Shared<f32> stage = shared_at<f32>(0);
  f32 sum = 0;
  copy_async<16>(stage + t * 4, a + t * 4, 16);
  copy_async_commit();
  for (i64 k = 0; k < n; ++k) {
    if (k + 1 < n)
      copy_async<16>(stage + ((k + 1) % 2 * 256 + t * 4), a + ((k + 1) * 256 + t * 4), k + 2 == n ? 8 : 16);  // copy
    copy_async_commit();
    WAIT
    block_sync();
    for (i32 i = 0; i < 4; ++i)
      sum += stage[k % 2 * 256 + (t * 4 + i + 5) % 256];  // read
    block_sync();
  }
  c[t] = sum;
"""


@pytest.mark.parametrize("mode", MODES)
def test_double_buffer(build: Build, mode: str) -> None:
    program = build(DOUBLE_BUFFER.replace("WAIT", "copy_async_wait<1>();"))
    a, c = np.random.default_rng(1).integers(0, 9, 5 * 256).astype(np.float32), np.zeros(64, np.float32)
    program(a=a, c=c, n=5, mode=mode)
    a.reshape(5, 64, 4)[-1, :, 2:] = 0
    stages = a.reshape(5, 256)
    np.testing.assert_array_equal(c, sum(np.roll(s, -5).reshape(64, 4).sum(axis=1) for s in stages))


# One worker stores a box of 64 elements from shared memory, which is gone when the program ends.
BULK_STORE = """
  Shared<f32> staged = shared_at<f32>(0);
  staged[t] = (f32)t;
  async_fence();
  block_sync();
  if (t == 0) {
    TensorMap map;
    const u64 extent[1] = {64}, none[1] = {0};
    const u32 box[1] = {64};
    tensor_map<f32>(&map, 1, arguments.c, extent, none, box, 0);
    tensor_store(map, staged, 0);  // store
    tensor_commit();
    WAIT
  }
"""


@pytest.mark.parametrize("mode", MODES)
def test_bulk_store_is_awaited(build: Build, mode: str) -> None:
    c = np.zeros(64, np.float32)
    build(BULK_STORE.replace("WAIT", "tensor_wait_read<0>();"), architecture="sm_90a")(c=c, mode=mode)
    np.testing.assert_array_equal(c, np.arange(64))
    for wait in ("", "tensor_wait_read<1>();"):
        text = expect(build(BULK_STORE.replace("WAIT", wait), architecture="sm_90a"), "unfinished", ("store",), c=c, mode=mode)
        assert "may still be under way when the program ends" in text


# A 16x16 row by row, B 8x16 (column-major 16x8): the lanes' rows are those of PTX ISA, "ldmatrix" and "mma.m16n8k16".
MATRIX = """
  Shared<TYPE> a = shared_at<TYPE>(0), b = shared_at<TYPE>(1024);
  Global<const TYPE> ga = global<const TYPE>(arguments.a), gb = global<const TYPE>(arguments.b);
  Global<f32> c = global<f32>(arguments.c);
  for (i32 i = t; i < 256; i += 32)
    a[i / 16 * 24 + i % 16] = ga[i];
  for (i32 i = t; i < 128; i += 32)
    B_STORE
  wave_sync();
  u32 fa[4], fb[2];
  f32 d[4] = {1, 1, 1, 1};
  load_matrix<4>(fa, a + (t % 16 * 24 + t / 16 * 8));  // padded
  B_LOAD
  mma<TYPE, TYPE>(d, fa, fb);
  for (i32 i = 0; i < 4; ++i)
    c[(t / 4 + i / 2 * 8) * 8 + t % 4 * 2 + i % 2] = d[i];
"""
B_FORMS = {"rows of n": ("b[i / 16 * 16 + i % 16] = gb[i];", "load_matrix<2>(fb, b + (t % 8 * 16 + t / 8 % 2 * 8));  // unpadded"),
           "rows of k": ("b[i % 16 * 8 + i / 16] = gb[i];", "load_matrix_transposed<2>(fb, b + t % 16 * 8);")}


@pytest.mark.parametrize("form", B_FORMS)
@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_matrix_product(build: Build, dtype: str, form: str) -> None:
    store, load = B_FORMS[form]
    program = build(MATRIX.replace("TYPE", dtype).replace("B_STORE", store).replace("B_LOAD", load), workers=32)
    kind = np.float16 if dtype == "f16" else ml_dtypes.bfloat16
    random = np.random.default_rng(2)
    a, b, c = random.standard_normal((16, 16)).astype(kind), random.standard_normal((8, 16)).astype(kind), np.zeros((16, 8), np.float32)
    for mode in MODES:
        program(a=a, b=b, c=c, mode=mode)
        np.testing.assert_array_equal(c, (a.astype(np.float64) @ b.T.astype(np.float64) + 1).astype(np.float32))
    banks = program.launch.statistics["banks"]
    assert banks[program.line("padded")] == (4, 4, 4)        # rows of 48 bytes: eight start in different banks
    if form == "rows of n":                                  # rows of 32 bytes: eight start in four groups of banks
        assert banks[program.line("unpadded")] == (2, 4, 2)


OTHER_PRODUCTS = {
    "i8": ("u32 fa[4], fb[2]; i32 d[4] = {};", "mma<i8, u8>(d, fa, fb);", np.int8, np.uint8, 32, 4, np.int32),
    "f8": ("u32 fa[4], fb[2]; f32 d[4] = {};", "mma<f8e4m3, f8e5m2>(d, fa, fb);", ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, 32, 4, np.float32),
    "tf32": ("u32 fa[4], fb[2]; f32 d[4] = {};", "mma_tf32(d, fa, fb);", np.float32, np.float32, 8, 1, np.float32),
}


@pytest.mark.parametrize("name", OTHER_PRODUCTS)
def test_other_matrix_products(build: Build, name: str) -> None:
    declare, product, kind_a, kind_b, k, per_word, result = OTHER_PRODUCTS[name]
    words = k // per_word
    program = build(f"""
  {declare}
  Global<const u32> a = global<const u32>(arguments.a), b = global<const u32>(arguments.b);
  Global<{'i32' if result is np.int32 else 'f32'}> c = global<{'i32' if result is np.int32 else 'f32'}>(arguments.c);
  for (i32 w = 0; w < 4; ++w)
    fa[w] = a[(t / 4 + w % 2 * 8) * {words} + t % 4 + w / 2 * 4];
  for (i32 w = 0; w < 2; ++w)
    fb[w] = b[t / 4 * {words} + t % 4 + w * 4];
  {product}
  for (i32 i = 0; i < 4; ++i)
    c[(t / 4 + i / 2 * 8) * 8 + t % 4 * 2 + i % 2] = d[i];""", workers=32)
    random = np.random.default_rng(3)
    a, b = (random.integers(-100 if kind is np.int8 else 0, 100, shape).astype(kind) if kind in (np.int8, np.uint8)
            else random.standard_normal(shape).astype(kind) for kind, shape in ((kind_a, (16, k)), (kind_b, (8, k))))
    if name == "tf32":
        a, b = ((x.view(np.uint32) & 0xffffe000).view(np.float32) for x in (a, b))
    c = np.zeros((16, 8), result)
    program(a=a, b=b, c=c)
    np.testing.assert_array_equal(c, (a.astype(np.float64) @ b.T.astype(np.float64)).astype(result))


def test_f64_product(build: Build) -> None:
    program = build("""
  Global<f64> c = global<f64>(arguments.c);
  Global<const f64> a = global<const f64>(arguments.a), b = global<const f64>(arguments.b);
  f64 d[2] = {};
  mma_f64(d, a[t], b[t]);
  c[t * 2] = d[0], c[t * 2 + 1] = d[1];""", workers=32)
    a, b = np.random.default_rng(4).integers(-9, 9, (2, 8, 4)).astype(np.float64)
    c = np.zeros((8, 8))
    program(a=a, b=b, c=c)
    np.testing.assert_array_equal(c, a @ b.T)


# ---------------------------------------------------------------- wrong ones
@pytest.mark.parametrize("mode", MODES)
def test_missing_block_sync(build: Build, mode: str) -> None:
    program = build("""
  Shared<i32> s = shared_at<i32>(0);
  // kernel.py:7: x = tile.load(a, i)
  s[t] = t;  // write
  wave_sync();
  // kernel.py:9: y = x + 1
  i32 x = s[t ^ 32];  // read
  global<i32>(arguments.c)[t] = x;""")
    found = findings(program, c=np.zeros(64, np.int32), mode=mode)
    races = [f for f in found if f.kind == "race"]
    assert races and {*races[0].lines} == {program.line("write"), program.line("read")}
    assert {*races[0].origins} == {"kernel.py:7: x = tile.load(a, i)", "kernel.py:9: y = x + 1"}


@pytest.mark.parametrize("mode", MODES)
def test_missing_sync_before_reuse(build: Build, mode: str) -> None:
    program = build("""
  Shared<i32> s = shared_at<i32>(0);
  for (i32 i = 0; i < 2; ++i) {
    s[t] = t + i;  // write
    block_sync();
    i32 x = s[(t + 1) % 64];  // read
    global<i32>(arguments.c)[t] = x;
  }""")
    text = expect(program, "race", ("write", "read"), c=np.zeros(64, np.int32), mode=mode)
    assert "s[t] = t + i;" in text and "worker" in text and "(wave" in text


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wait", ["", "copy_async_wait<2>();"])
def test_missing_copy_async_wait(build: Build, mode: str, wait: str) -> None:
    program = build(DOUBLE_BUFFER.replace("WAIT", wait))
    found = findings(program, a=np.ones(5 * 256, np.float32), c=np.zeros(64, np.float32), n=5, mode=mode)
    assert found[0].kind == "race" and program.line("read") in found[0].lines


def test_two_copies_to_one_place(build: Build) -> None:
    program = build("""
  for (i32 i = 0; i < 2; ++i)
    copy_async<4>(shared_at<f32>(0) + t, global<const f32>(arguments.a) + t, 4);  // copy
  copy_async_commit();
  copy_async_wait<0>();""")
    found = findings(program, a=np.ones(64, np.float32))
    assert found[0].kind == "race" and found[0].lines == (program.line("copy"),) * 2


SIMPLE = {
    "past the arena": ("shared_at<i32>(4096)[t] = 1;  // here", "out of bounds"),
    "before the arena": ("shared_at<i32>(0)[t - 64] = 1;  // here", "out of bounds"),
    "past a tensor": ("global<i32>(arguments.c)[t + 1] = 1;  // here", "out of bounds"),
    "no tensor": ("i32 x = global<const i32>(arguments.a)[t];  // here\n  global<i32>(arguments.c)[t] = x;", "out of bounds"),
    "misaligned vector": ("auto v = load_vector<4>(global<const f32>(arguments.c) + t % 32);  // here\n  global<f32>(arguments.c)[t] = v[0];", "misaligned"),
    "misaligned shared": ("store_vector(shared_at<f32>(4 * t), Vector<f32, 4>{});  // here", "misaligned"),
    "never written": ("global<i32>(arguments.c)[t] = shared_at<i32>(0)[t];  // here", "uninitialised"),
    "never written scratch": ("global<i32>(arguments.c)[t] += 1;  // here", "uninitialised"),
    "read only": ("global<i32>(arguments.b)[t] = 1;  // here", "read only"),
    "unordered writes": ("global<i32>(arguments.c)[t / 2] = t;  // here", "race"),
    "atomic and plain": ("atomic_add(global<i32>(arguments.c), 1);  // here\n  if (t == 0) global<i32>(arguments.c)[0] = 7;  // there", "race"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SIMPLE)
def test_wrong_access(build: Build, name: str, mode: str) -> None:
    body, kind = SIMPLE[name]
    program = build("  " + body)
    found = findings(program, b=np.zeros(64, np.int32), c=np.zeros(64, np.int32), mode=mode, fresh=("c",) if "scratch" in name else ())
    assert found[0].kind == kind and program.line("here") in found[0].lines


def test_divergence(build: Build) -> None:
    text = expect(build("  if (t < 32)\n    block_sync();  // here"), "divergence", ("here",))
    assert "workers 0 to 31 wait in block_sync" in text and "workers 32 to 63 have ended" in text
    expect(build("  if (t < 32)\n    block_sync();  // one\n  else\n    block_sync();  // two"), "divergence", ("one", "two"))
    expect(build("  i32 x = 0;\n  if (t != 5)\n    x = shuffle_xor(t, 1);  // here\n  global<i32>(arguments.c)[t] = x;"), "divergence", ("here",),
           c=np.zeros(64, np.int32), mode="random:5")


def test_deadlock(build: Build) -> None:
    expect(build("""
  engine::wait(engine::key_of(99, 0), [](const void *) { return false; }, nullptr, "a wait for nobody", __builtin_LINE());  // here"""), "deadlock", ("here",))


def test_named_barriers(build: Build) -> None:
    body = """
  Shared<i32> s = shared_at<i32>(0);
  if (t < 64) {
    s[t] = t;  // write
    engine::named_barrier(1, 96, false, "arrive", __builtin_LINE());
  } else if (t < 96) {
    engine::named_barrier(1, COUNT, true, "sync", __builtin_LINE());  // sync
    i32 x = s[t - 64] + s[t - 32];  // read
    global<i32>(arguments.c)[t - 64] = x;
  }"""
    for mode in MODES:
        c = np.zeros(32, np.int32)
        build(body.replace("COUNT", "96"), workers=128)(c=c, mode=mode)
        np.testing.assert_array_equal(c, 2 * np.arange(32) + 32)
        assert findings(build(body.replace("COUNT", "128"), workers=128), c=c, mode=mode)[0].kind in ("barrier", "deadlock")
        swapped = body.replace("s[t] = t;  // write", "").replace('"arrive", __builtin_LINE());', '"arrive", __builtin_LINE());\n    s[t] = t;  // write')
        found = findings(build(swapped.replace("COUNT", "96"), workers=128), c=c, mode=mode)
        assert {f.kind for f in found} <= {"race", "uninitialised"}


PROXY = """
  Shared<i32> s = shared_at<i32>(0);
  s[t] = t;  // write
  FENCE
  block_sync();
  if (t == 0) {
    FENCE_BY_READER
    engine::Agent agent = engine::fork(engine::key_of(70, 0), engine::async_proxy, "unit", __builtin_LINE());  // unit
    engine::agent_reads_shared(agent, 0, 256, 16);
    u64 to = (u64)arguments.c;
    engine::agent_writes_global(agent, to, 256, 16);
    engine::submit(agent, [=](engine::Agent) { __builtin_memcpy((void *)to, engine::shared_memory(), 256); });
  }"""


@pytest.mark.parametrize("mode", MODES)
def test_proxy_fence(build: Build, mode: str) -> None:
    fence = "engine::proxy_fence();"
    for ours, readers in ((fence, ""), ("", fence)):
        c = np.zeros(64, np.int32)
        build(PROXY.replace("FENCE_BY_READER", readers).replace("FENCE", ours))(c=c, mode=mode)
        np.testing.assert_array_equal(c, np.arange(64))
    program = build(PROXY.replace("FENCE_BY_READER", "").replace("FENCE", f"if (t != 40) {fence}"))
    expect(program, "proxy", ("write", "unit"), c=np.zeros(64, np.int32), mode=mode)


def test_race_between_blocks(build: Build) -> None:
    c = np.zeros(64, np.int32)
    expect(build("  global<i32>(arguments.c)[t] = t;  // here", blocks=2), "race", ("here", "here"), c=c)
    body = "  if (block_index() == FIRST && t == 3)\n    global<i32>(arguments.c)[5] = t;  // write\n" \
           "  if (block_index() != FIRST && t == 3) {\n    i32 x = global<i32>(arguments.c)[5];  // read\n    if (x == 77) fail(nullptr, 1);\n  }"
    for first in ("0", "2"):
        text = expect(build(body.replace("FIRST", first), blocks=3), "race", ("read", "write"), c=c)
        assert "another block" in text
    build("  atomic_add(global<i32>(arguments.c) + t, 1);", blocks=8)(c=c)
    assert build("  if (t == 0) global<i32>(arguments.c)[block_index()] = 1;", blocks=8)(c=c) == 0


def test_what_goes_wrong_comes_back(build: Build) -> None:
    """Faults of the emulated program end the run, not the process."""
    c = np.zeros(64, np.int32)
    assert findings(build("  volatile i32 *p = (volatile i32 *)16;\n  *p = t;"), c=c)[0].kind == "crash"
    assert findings(build("  volatile i64 zero = 0;\n  global<i32>(arguments.c)[t] = (i32)(n / zero);"), c=c, n=4)[0].kind == "crash"
    deep = build("  struct Deep { static i32 down(volatile i32 n) { volatile char x[4096]; x[0] = (char)n; return n < 0 ? 0 : down(n + 1) + x[0]; } };\n"
                 "  global<i32>(arguments.c)[t] = Deep::down(0);")
    assert findings(deep, c=c)[0].kind == "stack overflow"
    endless = build("  while (true) engine::yield();")
    endless.launch.seconds = 0.2
    assert findings(endless)[0].kind == "time"
    assert build("  block_sync();")() == 0                   # and the next run is as if nothing had been


def test_findings_are_few(build: Build) -> None:
    found = findings(build("\n".join(f"  shared_at<i32>({4 * i})[0] = t;" for i in range(30))))
    assert len(found) == 8 and len({f.lines for f in found}) == 8


def test_narrow_and_odd_accesses(build: Build) -> None:
    """Bytes of one two-byte cell by different workers, vectors over them, and odd addresses of tensors."""
    body = """
  Shared<u8> s = shared_at<u8>(0);
  s[t] = (u8)t;  // write
  block_sync();
  auto v = load_vector<4>(s + t / 4 * 4);
  SYNC
  s[(t + 1) % 64] = (u8)(v[0] + v[3]);
  block_sync();
  global<u8>(arguments.c)[t] = s[t];"""
    for mode in MODES:
        backing = np.zeros(65, np.uint8)
        c = backing[1:]
        build(body.replace("SYNC", "block_sync();"))(c=c, mode=mode)
        t = (np.arange(64) - 1) % 64
        np.testing.assert_array_equal(c, (t // 4 * 8 + 3).astype(np.uint8))
        assert findings(build(body.replace("SYNC", "")), c=c, mode=mode)[0].kind == "race"


def test_proxies_of_elements(build: Build) -> None:
    """Everything generated source does with p[i]."""
    program = build("""
  Shared<i32> s = shared_at<i32>(256);
  Global<i32> c = global<i32>(arguments.c);
  s[t] = t;
  s[t] += 3, s[t] -= 1, s[t] *= 4, s[t] |= 1, s[t] &= ~2, s[t] ^= 8;
  Shared<i32> p = s + t;
  p += 1, p -= 1;
  c[t] = p[0];
  c[t] = (i32)c[t] + (i32)(p - s);
  bf16 h = cast<bf16>((f32)t);
  shared_at<bf16>(1024)[t] = h;
  c[t] += (i32)widen(shared_at<bf16>(1024)[t]);
  atomic_max(c + t, 0);
  atomic_add(shared_at<i32>(2048 - 4 * 64) + 0 * t, 0 * t);""".replace("atomic_add(shared_at<i32>(2048 - 4 * 64) + 0 * t, 0 * t);", ""))
    c = np.zeros(64, np.int32)
    program(c=c)
    t = np.arange(64)
    np.testing.assert_array_equal(c, (((((t + 3 - 1) * 4) | 1) & ~2) ^ 8) + 2 * t)


def test_shared_atomics(build: Build) -> None:
    program = build("""
  Shared<u32> s = shared_at<u32>(0);
  if (t < 4) s[t] = 0;
  block_sync();
  atomic_add(s + t % 4, (u32)t);
  block_sync();
  if (t < 4) global<u32>(arguments.c)[t] = s[t];""")
    for mode in MODES:
        c = np.zeros(4, np.uint32)
        program(c=c, mode=mode)
        np.testing.assert_array_equal(c, np.arange(64).reshape(16, 4).sum(axis=0))


def test_bank_conflicts_are_counted(build: Build) -> None:
    program = build("""
  Shared<f32> s = shared_at<f32>(0);
  s[t] = 1;  // good
  block_sync();
  s[t % 32 * 32 + t / 32] = 1;  // bad
  block_sync();
  f32 x = s[3];  // same
  s[t] = x;""")
    with pytest.raises(EmulationError):
        program()                                            # s[3] is read while somebody writes it
    program = build("""
  Shared<f32> s = shared_at<f32>(0);
  s[t] = 1;  // good
  block_sync();
  s[t % 32 * 32 + t / 32] = 1;  // bad
  block_sync();
  f32 x = s[64];  // same
  global<f32>(arguments.c)[t] = x;""", shared=8192)
    program(c=np.zeros(64, np.float32))
    banks = program.launch.statistics["banks"]
    assert banks[program.line("good")] == (2, 2, 2) and banks[program.line("bad")] == (2, 64, 2) and banks[program.line("same")] == (2, 2, 2)


def test_words_of_hip(tmp_path: Path) -> None:
    body = """
  i32 x = worker();
  for (i32 mask = lanes / 2; mask; mask /= 2)
    x += shuffle_xor(x, mask);
  global<i32>(arguments.c)[t] = x + lanes;"""
    for architecture, lanes in (("gfx942", 64), ("gfx1100", 32)):
        c = np.zeros(128, np.int32)
        Program(tmp_path / architecture, body, workers=128, target="hip", architecture=architecture)(c=c)
        np.testing.assert_array_equal(c, np.repeat(np.arange(128).reshape(-1, lanes).sum(axis=1), lanes) + lanes)


def test_the_device_header_beside_the_source_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    folder.mkdir()
    (folder / "tile_cuda.h").write_text("#ifndef DSLC_TILE_CUDA_H\n#error the device's\n#endif\n")
    assert Program(folder, "  block_sync();")() == 0


def test_compile_errors_name_the_line(build: Build) -> None:
    with pytest.raises(DslError, match=r"k\.cu:\d+: i32 x = nonsense;\n  from kernel\.py:3: x = 1"):
        build("  // kernel.py:3: x = 1\n  i32 x = nonsense;")


def test_functions_of_headers_are_reported_where_they_are_called(build: Build, tmp_path: Path) -> None:
    program = build("""
  struct Header {  // 'defined elsewhere'
    static void put(Shared<i32> p, i32 x DSLC_AT) { DSLC_FROM again(p, x); }
    static void again(Shared<i32> p, i32 x DSLC_AT) { DSLC_FROM p[0] = x; block_sync(); }
  };
  Header::put(shared_at<i32>(4 * t), t);
  Header::put(shared_at<i32>(0), t);  // here
  shared_at<i32>(4 * t)[0] = 1;""")
    expect(program, "race", ("here", "here"))


def test_modes_are_checked(build: Build) -> None:
    program = build("  block_sync();")
    for wrong in ("", "random", "late:1", "sooner"):
        with pytest.raises(DslError, match="no mode of emulation"):
            program(mode=wrong)


# ---------------------------------------------------------------- the clocks against their definition
# A table of (what, worker, byte, bytes): one source, any number of programs. The table is read behind the emulator's back.
INTERPRETER = """
  const i32 *const op = (const i32 *)arguments.b;
  Shared<u8> s = shared_at<u8>(0);
  if (t < 32) s[t] = 0;
  block_sync();
  for (i64 k = 0; k < n; ++k) {
    const i32 what = op[4 * k], who = op[4 * k + 1], at = op[4 * k + 2], bytes = op[4 * k + 3];
    if (what == 0 && t == who)
      __builtin_memset(engine::shared_write(at, bytes, __builtin_LINE()), 0, bytes);
    if (what == 1 && t == who)
      engine::shared_read(at, bytes, __builtin_LINE());
    if (what == 2 && t == who)
      engine::shared_atomic(at, bytes, __builtin_LINE());
    if (what == 3 && t == who)
      copy_async<4>(shared_at<u32>(at / 4 * 4), global<const u32>(arguments.a), 4);
    if (what == 4 && t == who) {
      copy_async_commit();
      copy_async_wait<0>();
    }
    if (what == 5)
      block_sync();
    if (what == 6 && t / 32 == who / 32)
      wave_sync();
    if (what == 7 && (t / 32 == who / 32 || t / 32 == at % 4))
      engine::named_barrier(who / 32 * 4 + at % 4, who / 32 == at % 4 ? 32 : 64, true, "named", __builtin_LINE());
  }
"""
WORKERS = (0, 1, 40, 41, 70, 127)


def races(table: Any) -> bool:
    """Whether two accesses of a program are unordered, by full vector clocks and the list of all accesses."""
    clocks = np.zeros((128, 128 + len(table)), int)
    clocks[np.arange(128), np.arange(128)] = 1
    seen: list[list[tuple[int, int, str]]] = [[] for _ in range(32)]
    copies: dict[int, list[int]] = {}

    def access(kind: str, component: int, clock: int, known: Any, at: int, size: int) -> bool:
        wrong = False
        for byte in range(at, at + size):
            wrong |= any(c != component and e > known[c] and (kind != "read" or k != "read") and (kind != "atomic" or k != "atomic") for c, e, k in seen[byte])
            seen[byte].append((component, clock, kind))
        return wrong

    def together(group: Any) -> None:
        clocks[group] = clocks[group].max(axis=0)
        clocks[group, group] += 1

    everybody = np.arange(128)
    for n, (what, who, at, size) in enumerate(table):
        if what <= 2:
            if access(("write", "read", "atomic")[what], who, clocks[who, who], clocks[who], at, size):
                return True
        elif what == 3:
            copies.setdefault(who, []).append(128 + n)
            if access("write", 128 + n, 1, clocks[who], at // 4 * 4, 4):
                return True
        elif what == 4:
            clocks[who, copies.pop(who, [])] = 1
        elif what == 5:
            together(everybody)
        else:
            together(everybody[(everybody // 32 == who // 32) | ((what == 7) & (everybody // 32 == at % 4))])
    return False


def check_tables(program: Program, seeds: range) -> tuple[int, int]:
    """Random programs, each in two modes; how many had a race and how many had none."""
    counts = [0, 0]
    for seed in seeds:
        random = np.random.default_rng(seed)
        n = int(random.integers(2, 24))
        what = random.choice(8, n, p=np.array([3, 3, 1, 1.5, 1.5, 1, 3, 3]) / 17)
        size = 2 ** random.integers(0, 4, n)
        table = np.stack([what, random.choice(WORKERS, n), random.integers(0, 16, n) // size * size, size], axis=1).astype(np.int32)
        expected = races(table)
        counts[expected] += 1
        for mode in ("late", f"random:{seed}"):
            try:
                program(a=np.zeros(4, np.uint8), b=table, n=n, mode=mode)
                found = False
            except EmulationError as e:
                assert {f.kind for f in e.findings} == {"race"}, e
                found = True
            assert found == expected, (seed, mode, table.tolist())
    return counts[0], counts[1]


def test_clocks(build: Build) -> None:
    assert min(check_tables(build(INTERPRETER, workers=128), range(150))) > 20


@pytest.mark.long
def test_clocks_long(build: Build) -> None:
    check_tables(build(INTERPRETER, workers=128), range(1000, 9000))


@pytest.mark.long
def test_speed(build: Build) -> None:
    """At most 40 ns an access and 30 us a barrier of 256 workers, with slack for a busy machine."""
    accesses = build("""
  Shared<f32> s = shared_at<f32>(0);
  s[t] = 1;
  block_sync();
  f32 sum = 0;
  for (i64 i = 0; i < n; ++i)
    sum += s[(t + i) & 255];
  global<f32>(arguments.c)[t] = sum;""", workers=256)
    barriers = build("  for (i64 i = 0; i < n; ++i)\n    block_sync();", workers=256)
    c = np.zeros(256, np.float32)

    def best(call: Callable[[], Any]) -> float:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    assert best(lambda: accesses(c=c, n=2000)) / (2000 * 256) < 80e-9
    assert best(lambda: barriers(n=1000)) / 1000 < 60e-6


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_compiles_quickly(tmp_path: Path) -> None:
    Program(tmp_path / "first", "  block_sync();")           # the engine is compiled once
    body = "\n".join(f"  shared_at<f32>({64 * (i % 60)})[t % 16] = (f32)t * {i}.0f;\n  block_sync();" for i in range(100))
    start = time.perf_counter()
    Program(tmp_path / "k", body, workers=16)
    assert time.perf_counter() - start < 3.0                 # 0.3 s on an idle machine
