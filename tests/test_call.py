"""The call: what is refused and how, what arrays are taken, what is compiled once, and what happens when something breaks."""
from __future__ import annotations

import importlib.util
import mmap
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc import DslError, const, tile, tile_function, tile_kernel
from dslc.backends.common.toolchain import find_compiler
from dslc.runtime import lowering

f32 = np.float32


@tile_kernel
def scale(x: "T[M, N]", y: "T[M, N]", factor: "f32" = 2.0, bias: "f32[N]?" = None, *, BN: const = 8):
    i = tile.grid(M)
    for j in tile.range(0, N, BN):
        t = tile.load(x, (i, (j, BN))) * factor
        if bias is not None:
            t = t + tile.load(bias, (j, BN))
        tile.store(y, (i, (j, BN)), t)


@tile_kernel
def fixed(x: "f32[4, K]", y: "i32[K/2]", *, K: const):
    i = tile.grid(1)
    tile.store(y, (0, K // 2), tile.cast(tile.max(tile.load(x, ((0, 4), (0, K // 2))), 0), tile.i32, round="rne"))


def ones(*shape: int, dtype: Any = f32) -> Any:
    return np.ones(shape, dtype)


@pytest.fixture
def out() -> Any:
    return np.full((3, 10), np.nan, f32)


# ---------------------------------------------------------------- what is refused
@pytest.mark.parametrize(("args", "named", "message"), [
    ((ones(3), ones(3, 10)), {}, r"scale: x: expected T\[M, N\], got shape \(3,\)"),
    ((ones(3, 10), ones(3, 10), 1.0, ones(10, dtype=np.float64)), {}, r"scale: bias: expected f32\[N\]\?, got f64"),
    ((ones(3, 10), ones(3, 10, dtype=np.float16)), {}, "scale: y: dtype T is f32 by x, got f16"),
    ((ones(3, 10), ones(3, 9)), {}, "scale: y: dimension 1 must be N = 10, got 9"),
    ((ones(3, 10), ones(2, 10)), {}, "scale: y: dimension 0 must be M = 3, got 2"),
    ((ones(3, 10), ones(3, 10), 1.0, ones(4)), {}, "scale: bias: dimension 0 must be N = 10, got 4"),
    ((ones(3, 10),), {}, "scale: y is missing"),
    ((), {}, "scale: x is missing"),
    ((ones(3, 10), None), {}, "scale: y is missing"),
    ((ones(3, 10), ones(3, 10), 1.0, None, 8, 9), {}, "scale takes 4 arguments, 6 were given"),
    ((ones(3, 10), ones(3, 10)), {"BM": 4}, "scale has no parameter 'BM'"),
    ((ones(3, 10), ones(3, 10)), {"y": ones(3, 10)}, "scale: y is given twice"),
    ((ones(3, 10), [[1.0] * 10] * 3), {}, "scale: y: expected an array, found list"),
    ((ones(3, 10), 3.0), {}, "scale: y: expected an array, got float"),
    ((ones(3, 10), ones(3, 10, dtype=">f4")), {}, "byte order of another machine"),
    ((ones(3, 10, dtype=np.complex64), ones(3, 10)), {}, "arrays of complex64 have no dslc element type"),
    ((ones(3, 10), ones(3, 10), "2"), {}, "scale: factor: expected f32, got str"),
    ((ones(3, 10), ones(3, 10), True), {}, "scale: factor: expected f32, got bool"),
    ((ones(3, 10), ones(3, 10), ones(1)), {}, "scale: factor: expected f32, got ndarray"),
    ((ones(3, 10), ones(3, 10)), {"BN": ones(3)}, "constant BN: expected a number"),
    ((ones(3, 10), ones(3, 10)), {"target": "abacus"}, "no target is called 'abacus'"),
])
def test_refused(args: tuple[Any, ...], named: dict[str, Any], message: str) -> None:
    for _ in range(2):                                      # a refusal leaves nothing behind that a second call would take
        with pytest.raises(DslError, match=message):
            scale(*args, **named)


def test_constants_bound_by_shapes() -> None:
    y = np.zeros(3, np.int32)
    fixed(np.arange(24, dtype=f32).reshape(4, 6), y)
    assert y.tolist() == [18, 19, 20]
    with pytest.raises(DslError, match="constant K is 8, but the arrays say 6"):
        fixed(ones(4, 6), y, K=8)
    with pytest.raises(DslError, match="x: dimension 0 must be 4, got 5"):
        fixed(ones(5, 6), y)
    with pytest.raises(DslError, match="y: dimension 0 must be K/2, got 3"):
        fixed(ones(4, 5), y)


def test_a_parameter_cannot_be_called_target() -> None:
    with pytest.raises(DslError, match="cannot be called 'target'"):
        @tile_kernel
        def aimed(target: "f32[N]"):
            i = tile.grid(N)


def test_read_only_output(out: Any) -> None:
    out.flags.writeable = False
    for _ in range(2):
        with pytest.raises(DslError, match=r"y is written, and the array is read-only"):
            scale(ones(3, 10), out)
    scale(out, ones(3, 10))                                 # an input may be read-only


def test_writability_is_no_part_of_an_old_plan(out: Any) -> None:
    scale(ones(3, 10), out)
    out.flags.writeable = False
    with pytest.raises(DslError, match="read-only"):
        scale(ones(3, 10), out)


def test_overlap() -> None:
    memory = np.zeros(100, f32)
    x, y = memory[:30].reshape(3, 10), memory[29:59].reshape(3, 10)
    for _ in range(2):
        with pytest.raises(DslError, match="y is written and overlaps x"):
            scale(x, y)
    scale(x, memory[30:60].reshape(3, 10))
    both = np.zeros((3, 20), f32)
    scale(both[:, ::2], both[:, 1::2])                      # interleaved, and yet apart
    with pytest.raises(DslError, match="y is written and overlaps bias"):
        scale(ones(3, 10), y, 1.0, y[2])
    with pytest.raises(DslError, match="overlaps x"):
        scale(x[::-1], x)
    scale(x, memory[60:90].reshape(3, 10), 1.0, x[1])       # inputs may share memory


def test_output_that_overlaps_itself() -> None:
    memory = np.zeros(64, f32)
    view = np.lib.stride_tricks.as_strided
    for strides in ((0, 4), (4, 0), (4, 4), (36, 4), (8, 4)):
        with pytest.raises(DslError, match="y is written and overlaps itself"):
            scale(ones(3, 10), view(memory, (3, 10), strides))
    scale(ones(3, 10), view(memory, (3, 10), (40, 4)))
    scale(ones(3, 2), view(memory, (3, 2), (8, 12)), 5.0)   # neither axis contains the other: 0 3 | 2 5 | 4 7
    assert memory[[0, 2, 3, 4, 5, 7]].tolist() == [5.0] * 6
    scale(ones(1, 10), view(memory, (1, 10), (0, 4)))       # an axis of one element has no second one to meet


# ---------------------------------------------------------------- what is taken
def test_strides(out: Any) -> None:
    big = np.arange(2000, dtype=f32).reshape(40, 50)
    for x in (big[:3, :10], big[::14, ::5], big[2::-1, 9::-1], big.T[:3, :10], big[5:2:-1, ::-5], np.broadcast_to(f32(3), (3, 10)),
              np.broadcast_to(big[0, :10], (3, 10)),
              np.asfortranarray(big[:3, :10])):
        scale(x, out)
        assert np.array_equal(out, x * 2)
        y = np.zeros((6, 30), f32)[::-2, ::3]
        scale(x, y, 3.0)
        assert np.array_equal(y, x * 3)


def test_misaligned_memory_after_aligned(out: Any) -> None:
    """Alignment is part of what a plan takes for granted."""
    memory = np.zeros(1000, f32)
    first = (-memory.ctypes.data // 4) % 4
    for offset in (0, 1, 2, 3, 0):
        x = memory[first + offset:first + offset + 30].reshape(3, 10)
        x[:] = offset + 1
        scale(x, out)
        assert np.array_equal(out, x * 2)
    bytes_ = np.zeros(200, np.uint8)[1:121].view(f32).reshape(3, 10)
    with pytest.raises(DslError, match="not aligned to its elements"):
        scale(bytes_, out)


@pytest.mark.parametrize("shape", [(0, 10), (3, 0), (0, 0)])
def test_nothing_to_do(shape: tuple[int, int]) -> None:
    y = np.zeros((5, 12), f32)
    scale(np.zeros(shape, f32), y[:shape[0], :shape[1]])
    assert not y.any()


def test_by_keyword(out: Any) -> None:
    scale(y=out, x=ones(3, 10))
    assert (out == 2).all()
    scale(ones(3, 10), bias=ones(10), y=out, BN=4)
    assert (out == 3).all()
    scale(ones(3, 10), out, bias=ones(10), factor=-1.0)
    assert (out == 0).all()


@tile_kernel
def mixed(x: "f32[N]", BN: const, y: "f32[N]", times: "f32" = 1.0, *, extra: "f32[N]?" = None, plus: "i32" = 0, also: const = 0):
    i = tile.grid(tile.cdiv(N, BN))
    t = tile.load(x, (i * BN, BN)) * times + BN
    if extra is not None:
        t = t + tile.load(extra, (i * BN, BN))
    tile.store(y, (i * BN, BN), t + also + tile.cast(tile.full((), plus, tile.i32), tile.f32))


def test_constants_by_position_and_arrays_by_name_only() -> None:
    x, y = np.arange(5, dtype=f32), np.zeros(5, f32)
    for block in (4, 3, 8):
        mixed(x, block, y)
        assert np.array_equal(y, x + block)
    mixed(x, 2, y, 3.0, extra=x, plus=10)
    assert np.array_equal(y, x * 4 + 12)
    mixed(x, 2, y, plus=20, also=0.5)
    assert np.array_equal(y, x + 22.5)
    mixed.interpret(x, 4, y, 2.0, plus=1)
    assert np.array_equal(y, x * 2 + 5)
    assert dict(mixed.specialise(x, 4, y).consts) == {"BN": 4, "also": 0}
    with pytest.raises(DslError, match="takes 4 arguments, 5 were given"):
        mixed(x, 2, y, 3.0, x)


@tile_kernel
def typed(x: "f32[N]", y: "f32[N]", *, c: const):
    i = tile.grid(N)
    t = tile.load(x, i)
    tile.store(y, i, tile.where(t > 0.0, t, tile.full((), 1, tile.f32) / c))


def test_constants_that_python_takes_for_equal() -> None:
    """0.0 == -0.0 and 1 == 1.0: a plan for one is none for the other."""
    y = np.zeros(1, f32)
    for c, want in ((0.0, np.inf), (-0.0, -np.inf), (2, 0.5), (2.0, 0.5)):
        typed(-ones(1), y, c=c)
        assert y[0] == want, c
    typed(-ones(1), y, c=np.float32(4))
    assert y[0] == 0.25


@tile_kernel
def bounds(out: "i64[4]", a: "i8", b: "u64", c: "bool", d: "f16"):
    i = tile.grid(1)
    tile.store(out, 0, tile.cast(a, tile.i64))
    tile.store(out, 1, tile.bitcast(b, tile.i64))
    tile.store(out, 2, tile.cast(c, tile.i64))
    tile.store(out, 3, tile.cast(d * 1024.0, tile.i64, round="rne"))


def test_scalars() -> None:
    out = np.zeros(4, np.int64)
    bounds(out, np.int64(-128), np.uint64(2 ** 63), np.bool_(True), np.float32(0.1))
    assert out.tolist() == [-128, -2 ** 63, 1, 102]
    bounds(out, 7, 1, False, 2)                             # the same types, other values: the plan is not of values
    bounds(out, 8, 1, False, 2)
    assert out.tolist() == [8, 1, 0, 2048]
    bounds(out, np.array(9), 1, False, np.float64(1e300))
    assert out[0] == 9 and out[3] == 2 ** 63 - 1
    for args, message in (((128, 0, True, 0.0), "a: 128 does not fit i8"), ((0, -1, True, 0.0), "b: -1 does not fit u64"), ((0, 2 ** 64, True, 0.0),
        "does not fit u64"),
                          ((0.5, 0, True, 0.0), "a: expected i8, got float"), ((0, 0, 1, 0.0), "c: expected bool, got int"), ((0, 0, True, None),
                              "d is missing")):
        with pytest.raises(DslError, match=message):
            bounds(out, *args)


class Lent:
    """Gives its memory by one protocol, as libraries that we have not got here do."""

    def __init__(self, a: Any, **attributes: Any) -> None:
        self.a = a
        vars(self).update(attributes)


class ByDLPack(Lent):
    def __dlpack__(self, **how: Any) -> Any:
        return self.a.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return (1, 0)


class LikeTorch(Lent):
    requires_grad, device, ndim = False, "cpu", 2

    def __init__(self, a: Any, **attributes: Any) -> None:
        super().__init__(a, **attributes)
        self.dtype, self.shape = f"torch.{a.dtype}", a.shape

    def data_ptr(self) -> int:
        return int(self.a.ctypes.data)

    def stride(self) -> tuple[int, ...]:
        return tuple(s // self.a.itemsize for s in self.a.strides)


@pytest.mark.parametrize("wrap", [ByDLPack, LikeTorch, lambda a: Lent(a, __array_interface__=a.__array_interface__), memoryview])
def test_other_arrays(wrap: Any) -> None:
    for shape in ((3, 10), (2, 17), (3, 10)):
        x, y = np.random.default_rng(0).standard_normal(shape).astype(f32), np.zeros(shape, f32)
        scale(wrap(x), wrap(y))
        assert np.array_equal(y, x * 2)
        scale.interpret(wrap(x), wrap(y), 3.0)
        assert np.array_equal(y, x * f32(3))
        with pytest.raises(DslError, match="y is written and overlaps x"):
            scale(wrap(x), wrap(x))


def test_device_is_part_of_a_plan(out: Any) -> None:
    """An array elsewhere never reaches the plan of one here."""
    x = ones(3, 10)
    scale(LikeTorch(x), out)
    with pytest.raises(DslError, match=r"on different devices|no target is called 'abacus'|cannot reach"):
        scale(LikeTorch(x, device="abacus:0"), out)
    with pytest.raises(DslError, match="no target is called 'abacus'"):
        scale(LikeTorch(x, device="abacus:0"), LikeTorch(out, device="abacus:0"))
    with pytest.raises(DslError, match="target cpu cannot reach it there"):
        scale(LikeTorch(x, device="abacus:0"), LikeTorch(out, device="abacus:0"), target="cpu")


def test_torch(out: Any) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, y = torch.randn(3, 10), torch.zeros(10, 3).T
    scale(x, y)
    assert torch.equal(y, x * 2)
    with pytest.raises(DslError, match="requires grad"):
        scale(x, y.clone().requires_grad_())


def test_nan_and_infinity(out: Any) -> None:
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38, 1, 2, 3], f32), (3, 1))
    scale(x, out)
    with np.errstate(over="ignore"):
        assert np.array_equal(out, x * f32(2), equal_nan=True) and np.array_equal(np.signbit(out[:, 1:]), np.signbit(x[:, 1:]))


@tile_kernel
def tail(x: "u8[R, C]", y: "u8[4]", back: "u8[R, C]?" = None):
    i = tile.grid(1)
    t = tile.load(x, (R - 1, (C - 4, 4)))
    tile.store(y, (0, 4), t)
    if back is not None:
        tile.store(back, (R - 1, (C - 4, 4)), t + 1)


def test_more_elements_than_31_bits_count() -> None:
    """Three thousand million elements, of which one page is touched."""
    rows, columns = 3 * 2 ** 10, 2 ** 20
    a, b = (np.frombuffer(mmap.mmap(-1, rows * columns, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)),
                          np.uint8).reshape(rows, columns)
            for _ in range(2))
    a[-1, -4:] = 1, 2, 3, 250
    y = np.zeros(4, np.uint8)
    tail(a, y, b)
    assert y.tolist() == [1, 2, 3, 250] and b[-1, -5:].tolist() == [0, 2, 3, 4, 251]
    tail(a[::-1, ::-1][::-1, ::-1], y)
    wide = np.broadcast_to(a[:1, :4], (2 ** 30, 4))
    tail(wide, y)
    assert y.tolist() == [0, 0, 0, 0]
    with pytest.raises(DslError, match="limit is 2"):
        tail(np.broadcast_to(a[:1, :4], (2 ** 31, 4)), y)


# ---------------------------------------------------------------- statuses of the generated code
@tile_kernel
def scatter(x: "f32[N]", to: "i32[N]", y: "f32[R]", *, BN: const = 8):
    i = tile.grid(1)
    at = tile.load(to, (0, BN), pad=-1)
    tile.store(y, at, tile.load(x, (0, BN)))


@tile_kernel
def half_words(y: "u4[N] in u8[N/2]", start: "i32"):
    i = tile.grid(1)
    tile.store(y, (start, 4), tile.full((4,), 5, tile.u4))


@tile_kernel
def assumed(y: "f32[N]", n: "i32"):
    i = tile.grid(N)
    tile.assume(n % 4 == 0)
    tile.assume(N > 2)
    tile.store(y, i, 1.0)


def line_of(kernel: Any, text: str) -> str:
    code = kernel.__wrapped__.__code__
    lines = Path(__file__).read_text().splitlines()
    return f"{Path(__file__).name}:{next(n for n, line in enumerate(lines[code.co_firstlineno:], code.co_firstlineno + 1) if text in line)}"


def test_what_only_data_can_show() -> None:
    y = np.zeros(10, f32)
    scatter(ones(4), np.array([1, 9, 3, 0], np.int32), y)
    assert y.sum() == 4
    with pytest.raises(DslError, match="one store names an element of y twice") as caught:
        scatter(ones(4), np.array([1, 9, 3, 9], np.int32), y)
    assert line_of(scatter, "tile.store") in str(caught.value) and "tile.store(y, at" in str(caught.value)
    words = np.zeros(5, np.uint8)
    half_words(words, 2)
    assert words.tolist() == [0, 0x55, 0x55, 0, 0]
    with pytest.raises(DslError, match="must cover whole words") as caught:
        half_words(words, 1)
    assert line_of(half_words, "tile.store") in str(caught.value)
    assumed(y, 8)
    for args in ((y, 7), (y[:2], 8)):
        with pytest.raises(DslError, match="assume: does not hold for these arguments") as caught:
            assumed(*args)
    assert line_of(assumed, "N > 2") in str(caught.value)


# ---------------------------------------------------------------- what is done once
def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("this call should not have compiled")


def test_the_second_call_compiles_nothing(monkeypatch: pytest.MonkeyPatch, out: Any) -> None:
    scale(ones(3, 10), out, BN=5)
    for name in ("compile_entry", "specialised", "lower", "read_annotations"):
        monkeypatch.setattr(lowering, name, forbidden)
    scale(ones(3, 10), out, BN=5)
    scale(ones(3, 10), out, 7.0, BN=5)
    assert (out == 7).all()
    scale(ones(4, 15), np.zeros((4, 15), f32), BN=5)        # another shape of the same specialisation: found in the cache
    with pytest.raises(AssertionError, match="should not have compiled"):
        scale(ones(3, 10), out, BN=6)


def test_the_environment_names_the_target(monkeypatch: pytest.MonkeyPatch, out: Any) -> None:
    monkeypatch.setenv("DSLC_TARGET", "cpu")
    scale(ones(3, 10), out)
    monkeypatch.setenv("DSLC_TARGET", "abacus")
    with pytest.raises(DslError, match="no target is called 'abacus'"):
        scale(ones(3, 10), out)
    scale(ones(3, 10), out, target="cpu")


# ---------------------------------------------------------------- in processes of their own
PROGRAM = """
from dslc import tile_kernel, tile, const
import numpy as np

@tile_kernel
def double(x: "f32[N]", y: "f32[N]", *, BN: const = 16):
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(y, (i * BN, BN), tile.load(x, (i * BN, BN)) * 2.0)

x, y = np.arange(100, dtype=np.float32), np.zeros(100, np.float32)
"""


def python(folder: Path, text: str, *, source: str = PROGRAM, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in `folder`, which also holds its cache unless the environment says otherwise."""
    file = folder / "program.py"
    file.write_text(source + textwrap.dedent(text))
    ours = {k: v for k, v in os.environ.items() if not k.startswith("DSLC_")}
    return subprocess.run([sys.executable, str(file)], env={**ours, "DSLC_CACHE_DIR": str(folder / "cache"), **environment}, text=True, capture_output=True,
                          timeout=300)


def passes(folder: Path, text: str, **named: str) -> str:
    ended = python(folder, text, **named)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_hot_start_compiles_and_imports_nothing(tmp_path: Path) -> None:
    passes(tmp_path, "double(x, y); assert (y == x * 2).all()")
    passes(tmp_path, """
        import subprocess, sys
        def refuse(*args, **named): raise AssertionError(f"a hot start ran {args}")
        subprocess.Popen = refuse
        double(x, y)
        assert (y == x * 2).all()
        heavy = {"jinja2", "lark", "dslc.runtime.lowering", "dslc.frontend", "dslc.passes", "dslc.render", "dslc.interpret"} & set(sys.modules)
        assert not heavy, heavy
    """)


def test_import_is_light(tmp_path: Path) -> None:
    passes(tmp_path, """
        import sys
        assert not {"jinja2", "lark", "cffi", "dslc.interpret", "dslc.runtime.lowering"} & set(sys.modules)
    """)


def test_an_empty_cache_and_many_threads(tmp_path: Path) -> None:
    """The first calls of a process, all at once, in each of which everything is imported and compiled."""
    text = """
        import threading, sys
        sys.setswitchinterval(1e-5)
        gate, wrong = threading.Barrier(8), []
        def work(n):
            y = np.zeros(100, np.float32)
            gate.wait()
            try:
                double(x, y, BN=16 if n % 2 else 32)
                assert (y == x * 2).all()
            except BaseException as e:
                wrong.append(repr(e))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert not wrong, wrong
    """
    passes(tmp_path, text)
    passes(tmp_path, text, DSLC_THREADS="3")


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads of Python in one kernel of many threads."""
    x = np.random.default_rng(0).standard_normal((64, 300)).astype(f32)
    outputs = [np.zeros_like(x) for _ in range(6)]

    def work(n: int) -> None:
        for _ in range(20):
            scale(x, outputs[n], float(n))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for n, y in enumerate(outputs):
        assert np.array_equal(y, x * f32(n))


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_number_of_threads(threads: str, tmp_path: Path) -> None:
    passes(tmp_path, "double(x, y, BN=8); assert (y == x * 2).all()", DSLC_THREADS=threads, DSLC_CACHE_DIR=os.environ["DSLC_CACHE_DIR"])


def test_a_missing_compiler(tmp_path: Path) -> None:
    ended = python(tmp_path, "double(x, y)", DSLC_CXX="no-such-compiler")
    assert ended.returncode and "DSLC_CXX=no-such-compiler does not work" in ended.stderr and "DslError" in ended.stderr


def test_no_compiler_at_all(tmp_path: Path) -> None:
    ended = python(tmp_path, "import sys; sys.modules['ziglang'] = None; double(x, y)", PATH=str(tmp_path))
    assert ended.returncode and "no C++ compiler was found" in ended.stderr and "apt-get install g++" in ended.stderr


def test_a_compiler_that_breaks_on_the_kernel(tmp_path: Path) -> None:
    """It builds the probe, and then has something to say about the kernel: shown with the generated line."""
    real = find_compiler().command
    broken = tmp_path / "broken-c++"
    words = " ".join(real)
    script = '#!/bin/sh\nfor a; do case $a in */double_kernel.cpp|*/double.cpp) {what};; esac; done\nexec {words} "$@"\n'
    broken.write_text(script.format(words=words, what='echo "$a:3:1: error: no more numbers" >&2; exit 1'))
    broken.chmod(0o755)
    ended = python(tmp_path, "double(x, y)", DSLC_CXX=str(broken))
    assert ended.returncode and "no more numbers" in ended.stderr and "program.py" in ended.stderr.split("DslError")[-1], ended.stderr
    passes(tmp_path, "double(x, y); assert (y == x * 2).all()", DSLC_CXX=words)
    broken.write_text(script.format(words=words, what="kill -9 $$"))
    ended = python(tmp_path, "double(x, y, BN=32)", DSLC_CXX=str(broken))
    assert ended.returncode and "SIGKILL" in ended.stderr, ended.stderr
    assert not list((tmp_path / "cache" / "building").iterdir())


def test_a_killed_build(tmp_path: Path) -> None:
    """A process that dies while it compiles leaves nothing that the next one could take for a kernel."""
    killer = tmp_path / "killer-c++"
    words = " ".join(find_compiler().command)
    killer.write_text(f'#!/bin/sh\nfor a; do case $a in */double_kernel.cpp|*/double.cpp) kill -9 $PPID; exit 1;; esac; done\nexec {words} "$@"\n')
    killer.chmod(0o755)
    ended = python(tmp_path, "double(x, y)", DSLC_CXX=str(killer))
    assert ended.returncode == -9
    passes(tmp_path, "double(x, y); assert (y == x * 2).all()", DSLC_CXX=words)


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.isdir("/proc/self"), reason="root writes everywhere")
def test_an_unwritable_cache(tmp_path: Path) -> None:
    ended = python(tmp_path, "double(x, y); assert (y == x * 2).all()", DSLC_CACHE_DIR="/proc/dslc-cache")
    assert ended.returncode == 0, ended.stderr
    assert "cannot write its build cache /proc/dslc-cache" in ended.stderr


def test_a_damaged_cache(tmp_path: Path) -> None:
    passes(tmp_path, "double(x, y)")
    for path in sorted((tmp_path / "cache").rglob("*")):
        if path.is_file() and path.suffix in (".so", ".json"):
            path.write_bytes(path.read_bytes()[:-7])
    passes(tmp_path, "double(x, y); assert (y == x * 2).all()")


def test_numpy_warns_of_nothing(out: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scale(np.full((3, 10), 3e38, f32), out, 1e300)
        assert np.isinf(out).all()
        scale.interpret(np.full((3, 10), 3e38, f32), out, 10.0, placed=True)
    assert np.isinf(out).all()


@tile_function
def outside(x):
    return x + 1.0


def test_a_tile_function_is_no_function() -> None:
    with pytest.raises(DslError, match="called outside a kernel"):
        outside(1.0)


def test_what_a_call_costs(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed and not judged: machines differ.  `python bench/call.py` prints the same."""
    path = Path(__file__).resolve().parents[1] / "bench" / "call.py"
    spec = importlib.util.spec_from_file_location("bench_call", path)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    rows = bench.measure(200)
    with capsys.disabled():
        print("".join(f"\n  a call of {what}: {whole - bare:.1f} us over the C call's {bare:.1f}" for what, whole, bare in rows))
    assert all(whole > 0 and bare > 0 for _, whole, bare in rows)
