"""Single instructions of the emulator's kernel_operator.h against what CANN's documentation says of them, stated again in numpy.

Three arrays of 16 KiB lie in UB, two operands and the place of the result, all of which comes back: what an instruction must not touch is compared too.
"""
from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc.backends.ascend import emulation

if not any(row["found"] for row in emulation.Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

HEADER = Path(__file__).parent / "ascend" / "instructions.h"
ROOM = 16384
BF16 = np.dtype(ml_dtypes.bfloat16)
TYPES = {"half": np.dtype(np.float16), "float": np.dtype(np.float32), "bfloat16_t": BF16,
         **{f"{u}int{n}_t": np.dtype(f"{u}int{n}") for u in ("", "u") for n in (8, 16, 32)}, "int64_t": np.dtype(np.int64)}
NUMBERS, FLOATS, WORDS = ("half", "float", "int16_t", "int32_t"), ("half", "float"), ("int16_t", "uint16_t")
MODES = {"LT": np.less, "GT": np.greater, "EQ": np.equal, "LE": np.less_equal, "GE": np.greater_equal, "NE": np.not_equal}
ROUNDS = {"CAST_RINT": np.rint, "CAST_FLOOR": np.floor, "CAST_CEIL": np.ceil, "CAST_TRUNC": np.trunc,
          "CAST_ROUND": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x)}
rng = np.random.default_rng(7)


def binary(name: str, x: Any, y: Any) -> Any:
    """Of equal types, in their own type: floats rounded once, integers modulo 2^n."""
    return {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Max": np.maximum, "Min": np.minimum, "And": np.bitwise_and,
            "Or": np.bitwise_or, "Adds": np.add, "Muls": np.multiply, "Maxs": np.maximum, "Mins": np.minimum, "ShiftLeft": np.left_shift,
            "ShiftRight": np.right_shift}[name](x, y)


UNARY: dict[str, Callable[[Any], Any]] = {"Exp": np.exp, "Ln": np.log, "Sqrt": np.sqrt, "Rsqrt": lambda x: 1 / np.sqrt(x), "Reciprocal": lambda x: 1 / x,
                                          "Abs": np.abs, "Relu": lambda x: np.maximum(x, 0), "Not": np.bitwise_not}
# Relative, besides half a unit of the result's type: two units of f32 for a library's exp and log; 2^-10 for what the chip approximates.
LOOSE = {"Exp": 2.0 ** -22, "Ln": 2.0 ** -22, "Rsqrt": 2.0 ** -10, "Reciprocal": 2.0 ** -10}


# ---------------------------------------------------------------- the statements
def statements() -> Iterator[tuple[str, str]]:
    """(name, C++) of each instruction on `a`, `b`, `d` of a type with numbers `p`; those of the cube last."""
    for name, types in (*((n, NUMBERS) for n in ("Add", "Sub", "Mul", "Max", "Min")), ("Div", FLOATS), ("And", WORDS), ("Or", WORDS)):
        for t in types:
            yield f"{name} {t}", f"{name}(d<{t}>(), a<{t}>(), b<{t}>(), p[0]);"
            yield f"{name} {t} strided", f"{name}(d<{t}>(), a<{t}>(), b<{t}>(), (uint64_t)p[0], p[1], binary(p));"
    for name in UNARY:
        for t in WORDS if name == "Not" else FLOATS:
            yield f"{name} {t}", f"{name}(d<{t}>(), a<{t}>(), p[0]);"
            yield f"{name} {t} strided", f"{name}(d<{t}>(), a<{t}>(), (uint64_t)p[0], p[1], unary(p));"
    for name, types in (*((n, NUMBERS) for n in ("Adds", "Muls", "Maxs", "Mins")),
                        *((n, (*WORDS, "int32_t", "uint32_t")) for n in ("ShiftLeft", "ShiftRight"))):
        for t in types:
            yield f"{name} {t}", f"{name}(d<{t}>(), a<{t}>(), ({t})scalar(p), p[0]);"
            yield f"{name} {t} strided", f"{name}(d<{t}>(), a<{t}>(), ({t})scalar(p), (uint64_t)p[0], p[1], unary(p));"
    for t in FLOATS:
        yield f"Axpy {t}", f"Axpy(d<{t}>(), a<{t}>(), ({t})scalar(p), p[0]);"
        yield f"Select {t}", f"Select(d<{t}>(), b<uint8_t>(), a<{t}>(), b<{t}>()[2048], SELMODE::VSEL_TENSOR_TENSOR_MODE, p[0]);"
        yield f"Select {t} scalar", f"Select(d<{t}>(), b<uint8_t>(), a<{t}>(), ({t})scalar(p), SELMODE::VSEL_TENSOR_SCALAR_MODE, p[0]);"
        for mode in MODES:
            yield f"Compare {t} {mode}", f"Compare(d<uint8_t>(), a<{t}>(), b<{t}>(), CMPMODE::{mode}, p[0]);"
            yield f"CompareScalar {t} {mode}", f"CompareScalar(d<uint8_t>(), a<{t}>(), ({t})scalar(p), CMPMODE::{mode}, p[0]);"
        yield f"WholeReduceSum {t}", f"WholeReduceSum(d<{t}>(), a<{t}>(), p[0], p[1], p[2], p[3], p[4]);"
        for name in ("WholeReduceMax", "WholeReduceMin"):
            for order in ("ONLY_VALUE", "VALUE_INDEX"):
                yield f"{name} {t} {order}", f"{name}(d<{t}>(), a<{t}>(), p[0], p[1], p[2], p[3], p[4], ReduceOrder::ORDER_{order});"
    yield "Compare int32_t EQ", "Compare(d<uint8_t>(), a<int32_t>(), b<int32_t>(), CMPMODE::EQ, p[0]);"
    for t in ("half", "bfloat16_t", "int16_t", "uint16_t", "int32_t", "uint32_t", "float"):
        yield f"Duplicate {t}", f"Duplicate(d<{t}>(), ({t})scalar(p), p[0]);"
        yield f"Duplicate {t} strided", f"Duplicate(d<{t}>(), ({t})scalar(p), (uint64_t)p[0], p[1], p[2], p[5]);"
    for t in NUMBERS:
        yield f"CreateVecIndex {t}", f"CreateVecIndex(d<{t}>(), ({t})scalar(p), p[0]);"
    for t in ("half", "float", "uint16_t", "uint32_t"):
        yield f"Brcb {t}", f"Brcb(d<{t}>(), a<{t}>(), p[1], BrcbRepeatParams(p[2], p[5]));"
        yield f"Copy {t}", f"Copy(d<{t}>(), a<{t}>(), (uint64_t)p[0], p[1], copied(p));"
        yield f"Gather {t}", f"Gather(d<{t}>(), a<{t}>(), b<uint32_t>(), p[1], p[0]);"
    for t in ("half", "int16_t", "uint16_t"):
        yield f"Transpose {t}", f"Transpose(d<{t}>(), a<{t}>());"
    for t, s, modes in casts():
        for mode in modes:
            yield f"Cast {t} {s} {mode}", f"Cast(d<{t}>(), a<{s}>(), RoundMode::{mode}, p[0]);"
    yield "Cast half int4b_t", "Cast(d<half>(), a<uint8_t>().ReinterpretCast<int4b_t>(), RoundMode::CAST_NONE, p[0]);"
    yield "Cast int4b_t half", "Cast(d<uint8_t>().ReinterpretCast<int4b_t>(), a<half>(), RoundMode::CAST_RINT, p[0]);"
    for t in ("half", "float", "int8_t", "uint32_t"):
        yield f"DataCopyPad {t} in", f"DataCopyPad(d<{t}>(), global<{t}>(x), runs(p), padding<{t}>(p));"
        yield f"DataCopyPad {t} out", f"DataCopyPad(global<{t}>(z), a<{t}>(), runs(p));"
        yield f"DataCopy {t} in", f"DataCopy(d<{t}>(), global<{t}>(x), whole(p));"
        yield f"DataCopy {t} out", f"DataCopy(global<{t}>(z), a<{t}>(), whole(p));"
        yield f"DataCopy {t} UB", f"DataCopy(d<{t}>(), a<{t}>(), whole(p));"
    for what in ("Add", "Max", "Min"):
        for t in ("half", "float", "int32_t"):
            yield f"SetAtomic{what} {t}", f"SetAtomic{what}<{t}>(); DataCopyPad(global<{t}>(z), a<{t}>(), runs(p)); SetAtomicNone();"
    for s, t, u in PRODUCTS:
        yield f"product {s} {t} {u}", f"product<{s}, {t}, {u}>(x, y, z, p);"


PRODUCTS = (("float", "half", "float"), ("float", "half", "half"), ("float", "half", "bfloat16_t"), ("float", "bfloat16_t", "float"),
            ("float", "float", "float"), ("int32_t", "int8_t", "int32_t"))


def casts() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """To, from, modes (CANN documentation, Cast, Atlas A2)."""
    every = tuple(ROUNDS)
    for t in ("int16_t", "int32_t", "int64_t"):
        yield t, "float", every
    for t in ("int32_t", "int16_t", "int8_t", "uint8_t"):
        yield t, "half", every
    yield "int32_t", "bfloat16_t", every
    yield "half", "float", (*every, "CAST_NONE", "CAST_ODD")
    yield "bfloat16_t", "float", every
    yield "float", "float", every
    for t, s in (("float", "half"), ("float", "bfloat16_t"), ("half", "int8_t"), ("half", "uint8_t"), ("half", "int16_t"), ("float", "int16_t"),
                 ("float", "int32_t"), ("float", "int64_t")):
        yield t, s, ("CAST_NONE",) if np.dtype(TYPES[s]).itemsize < np.dtype(TYPES[t]).itemsize else ("CAST_RINT",)
    for t, s in (("int16_t", "int32_t"), ("int64_t", "int32_t"), ("int32_t", "int64_t")):
        yield t, s, ("CAST_NONE",)


NAMES = {name: n for n, (name, _) in enumerate(statements())}


class Machine:
    """The instructions, compiled; each call runs one."""

    def __init__(self, folder: Path) -> None:
        cases = "\n".join(f"    case {n}: {{ {text} break; }}" for n, (_, text) in enumerate(statements()))
        first = next(n for name, n in NAMES.items() if name.startswith("product"))
        (folder / "k.cpp").write_text(f'#include "instructions.h"\nconst uint64_t first_of_the_cube = {first};\n'
                                      "static void instruction(uint64_t number, GM_ADDR x, GM_ADDR y, GM_ADDR z, Numbers p) {\n    switch (number) {\n"
                                      f"{cases}\n    }}\n}}\n")
        (folder / "instructions.h").write_text(HEADER.read_text())
        toolchain = emulation.Emulator("910b")
        self.launch = emulation.AscendLauncher(folder / toolchain.compile(folder, "k"), "k", folder / "k.cpp")
        self.ran: set[str] = set()

    def __call__(self, name: str, a: Any, b: Any, d: Any, *numbers: int, scalar: float = 0.0, direct: bool = False) -> Any:
        """The place of the result afterwards, as bytes; `direct`: the instruction itself writes to memory."""
        self.ran.add(name)
        arrays = [np.resize(np.ascontiguousarray(x).view(np.uint8).reshape(-1), ROOM) if len(x) else np.zeros(ROOM, np.uint8) for x in (a, b, d)]
        given = np.zeros(16, np.int32)
        given[:len(numbers)] = numbers
        given[14], given[15] = direct, np.float32(scalar).view(np.int32)
        ranges = [(n, x.ctypes.data, ROOM, n == "c", True) for n, x in zip("abc", arrays, strict=True)]
        assert self.launch(struct.pack("QPPPP", NAMES[name], *(x.ctypes.data for x in arrays), given.ctypes.data), ranges, "late") == 0
        return arrays[2]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    chosen = emulation._for_emulation
    with pytest.MonkeyPatch.context() as patch:              # many instructions, each run a few times: not optimised
        patch.setattr(emulation, "_for_emulation", lambda compiler, level: chosen(compiler, "-O0" if level == "-O1" else level))
        yield Machine(tmp_path_factory.mktemp("instructions"))


# ---------------------------------------------------------------- data
def numbers(t: str, n: int | None = None) -> Any:
    """Of a type: floats of both signs and zeros, integers over all their range."""
    dtype = TYPES[t]
    n = ROOM // dtype.itemsize if n is None else n
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, n, dtype, endpoint=True)
    return np.where(rng.random(n) < 0.1, 0.0, rng.standard_normal(n) * 8).astype(dtype)


def elements(t: str, mask: int, repeats: int, block: int, repeat: int) -> Any:
    """Numbers of the elements that an instruction takes, (repeats, mask): 32 bytes are a block, `block` lie between blocks, `repeat` between repeats."""
    per = 32 // TYPES[t].itemsize
    e = np.arange(mask)
    return (np.arange(repeats)[:, None] * repeat + e // per * block) * per + e % per


def same(got: Any, want: Any, loose: float = 0.0) -> None:
    """Bit for bit, NaN for NaN; or within a relative error beside half a unit of the type."""
    got = got.view(want.dtype)
    if want.dtype.kind in "iu" or not loose:
        equal = got.view(f"u{got.itemsize}") == want.view(f"u{got.itemsize}")
        if want.dtype.kind not in "iu":
            equal |= np.isnan(got) & np.isnan(want)
        assert equal.all(), (np.flatnonzero(~equal)[:5], got[~equal][:5], want[~equal][:5])
        return
    x, y = got.astype(np.float64), want.astype(np.float64)
    unit = 2.0 ** -11 if want.dtype.itemsize == 2 else 2.0 ** -24
    with np.errstate(invalid="ignore"):
        bad = ~((x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= (loose + 2 * unit) * np.abs(y) + 2.0 ** -24 * (unit == 2.0 ** -11)))
    assert not bad.any(), (x[bad][:5], y[bad][:5])


# Mask, repeats, strides of blocks of d, a, b, of repeats of d, a, b: whole repeats, ragged masks, gaps, operands that stand still.
STRIDES = ((1.0, 2, 1, 1, 1, 8, 8, 8), (0.7, 5, 1, 1, 1, 8, 9, 16), (0.3, 3, 2, 1, 3, 24, 4, 24), (1.0, 4, 1, 0, 1, 8, 8, 0),
           (0.02, 7, 1, 1, 0, 1, 0, 2), (1.0, 1, 1, 1, 1, 0, 0, 0))
COUNTS = (1, 7, 64, 100, 129, 1000)


def strides(t: str) -> Iterator[tuple[int, ...]]:
    for part, *rest in STRIDES:
        yield (max(1, int(part * 256 // TYPES[t].itemsize)), *rest)


def parsed(prefix: str) -> list[str]:
    return [n for n in NAMES if re.fullmatch(prefix, n)]


# ---------------------------------------------------------------- arithmetic
@pytest.mark.parametrize("name", parsed(r"(Add|Sub|Mul|Div|Max|Min|And|Or) \w+"))
def test_two_operands(name: str, machine: Machine) -> None:
    op, t = name.split()
    a, b, d = numbers(t), numbers(t), numbers(t)
    with np.errstate(all="ignore"):
        for n in COUNTS:
            want = d.copy()
            want[:n] = binary(op, a[:n], b[:n])
            same(machine(name, a, b, d, n), want)
        for mask, repeats, db, ab, bb, dr, ar, br in strides(t):
            want = d.copy()
            want[elements(t, mask, repeats, db, dr)] = binary(op, a[elements(t, mask, repeats, ab, ar)], b[elements(t, mask, repeats, bb, br)])
            same(machine(name + " strided", a, b, d, mask, repeats, db, ab, bb, dr, ar, br), want)


@pytest.mark.parametrize("name", parsed(rf"({'|'.join(UNARY)}) \w+"))
def test_one_operand(name: str, machine: Machine) -> None:
    op, t = name.split()
    a, d = numbers(t), numbers(t)
    if op in ("Ln", "Sqrt", "Rsqrt"):
        a = np.abs(a)

    def of(x: Any) -> Any:
        return UNARY[op](x if x.dtype.kind in "iu" else x.astype(np.float64)).astype(x.dtype)
    with np.errstate(all="ignore"):
        for n in COUNTS:
            want = d.copy()
            want[:n] = of(a[:n])
            same(machine(name, a, a, d, n), want, LOOSE.get(op, 0.0))
        for mask, repeats, db, ab, _, dr, ar, _ in strides(t):
            want = d.copy()
            want[elements(t, mask, repeats, db, dr)] = of(a[elements(t, mask, repeats, ab, ar)])
            same(machine(name + " strided", a, a, d, mask, repeats, db, ab, 0, dr, ar), want, LOOSE.get(op, 0.0))


@pytest.mark.parametrize("name", parsed(r"(Adds|Muls|Maxs|Mins|ShiftLeft|ShiftRight) \w+"))
def test_a_scalar(name: str, machine: Machine) -> None:
    op, t = name.split()
    a, d = numbers(t), numbers(t)
    given = 3.0 if op.startswith("Shift") else -2.5 if TYPES[t].kind == "f" else -3.0
    s = TYPES[t].type(given)
    with np.errstate(all="ignore"):
        for n in COUNTS:
            want = d.copy()
            want[:n] = binary(op, a[:n], s)
            same(machine(name, a, a, d, n, scalar=given), want)
        for mask, repeats, db, ab, _, dr, ar, _ in strides(t):
            want = d.copy()
            want[elements(t, mask, repeats, db, dr)] = binary(op, a[elements(t, mask, repeats, ab, ar)], s)
            same(machine(name + " strided", a, a, d, mask, repeats, db, ab, 0, dr, ar, scalar=given), want)


@pytest.mark.parametrize("t", FLOATS)
def test_axpy(t: str, machine: Machine) -> None:
    a, d = numbers(t), numbers(t)
    for n in COUNTS:
        x, y = d.astype(np.float64), 1.5 * a.astype(np.float64)
        want, bound = np.where(np.arange(len(d)) < n, x + y, x), 2 * np.finfo(d.dtype).eps * (np.abs(x) + np.abs(y))
        got = machine(f"Axpy {t}", a, a, d, n, scalar=1.5).view(d.dtype)
        assert (np.abs(got.astype(np.float64) - want) <= bound).all()
        same(got[n:], d[n:])


# ---------------------------------------------------------------- comparison, selection
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("t", FLOATS)
def test_compare(t: str, mode: str, machine: Machine) -> None:
    a, b = (rng.integers(-2, 3, ROOM // TYPES[t].itemsize).astype(TYPES[t]) for _ in "ab")
    a[5::7] = np.nan
    d = numbers("uint8_t")
    for n in (256 // TYPES[t].itemsize, 1024):
        for name, other in (("Compare", b[:n]), ("CompareScalar", TYPES[t].type(1))):
            want = d.copy()
            want[:n // 8] = np.packbits(MODES[mode](a[:n], other), bitorder="little")
            same(machine(f"{name} {t} {mode}", a, b, d, n, scalar=1.0), want)


def test_compare_of_integers(machine: Machine) -> None:
    a, b = (rng.integers(-2, 3, ROOM // 4).astype(np.int32) for _ in "ab")
    want = np.zeros(ROOM, np.uint8)
    want[:16] = np.packbits(a[:128] == b[:128], bitorder="little")
    same(machine("Compare int32_t EQ", a, b, np.zeros(ROOM, np.uint8), 128), want)


@pytest.mark.parametrize("t", FLOATS)
def test_select(t: str, machine: Machine) -> None:
    a, b, d = numbers(t), numbers(t), numbers(t)
    chosen = np.unpackbits(b.view(np.uint8)[:200], bitorder="little").astype(bool)
    for n in (1, 64, 100, 1001):
        for name, other in ((f"Select {t}", b[2048:2048 + n]), (f"Select {t} scalar", TYPES[t].type(-1.5))):
            want = d.copy()
            want[:n] = np.where(chosen[:n], a[:n], other)
            same(machine(name, a, b, d, n, scalar=-1.5), want)


# ---------------------------------------------------------------- reductions
@pytest.mark.parametrize("name", parsed(r"WholeReduce\w+ \w+( \w+)?"))
def test_whole_reduce(name: str, machine: Machine) -> None:
    op, t, *order = name.split()
    a, d, dtype = numbers(t), numbers(t), TYPES[t]
    for mask, repeats, _, block, _, _, repeat, _ in strides(t):
        for to in (1, 3):
            x, want = a[elements(t, mask, repeats, block, repeat)], d.copy()
            bound = np.zeros(want.shape)
            for r in range(repeats):
                if op == "WholeReduceSum":
                    want[r * to] = x[r].astype(np.float64).sum()
                    bound[r * to] = 9 * (2.0 ** -11 if dtype.itemsize == 2 else 2.0 ** -24) * np.abs(x[r].astype(np.float64)).sum()
                    continue
                at = int(x[r].argmax() if op.endswith("Max") else x[r].argmin())
                want[r * to * (2 if order == ["VALUE_INDEX"] else 1)] = x[r, at]
                if order == ["VALUE_INDEX"]:
                    want[r * to * 2 + 1] = np.array([at], f"u{dtype.itemsize}").view(dtype)[0]
            got = machine(name, a, a, d, mask, repeats, to, block, repeat).view(dtype)
            if op == "WholeReduceSum":
                assert (np.abs(got.astype(np.float64) - want.astype(np.float64)) <= bound).all()
            else:
                same(got, want)


# ---------------------------------------------------------------- bits moved
@pytest.mark.parametrize("t", ["half", "bfloat16_t", "int16_t", "uint16_t", "int32_t", "uint32_t", "float"])
def test_duplicate(t: str, machine: Machine) -> None:
    d, given = numbers(t), 1.5 if TYPES[t].kind == "f" or t == "bfloat16_t" else 7.0
    for n in COUNTS:
        want = d.copy()
        want[:n] = given
        same(machine(f"Duplicate {t}", d, d, d, n, scalar=given), want)
    for mask, repeats, block, _, _, repeat, _, _ in strides(t):
        want = d.copy()
        want[elements(t, mask, repeats, block, repeat)] = given
        same(machine(f"Duplicate {t} strided", d, d, d, mask, repeats, block, 0, 0, repeat, scalar=given), want)


@pytest.mark.parametrize("t", NUMBERS)
def test_create_vec_index(t: str, machine: Machine) -> None:
    d = numbers(t)
    for n in COUNTS:
        want = d.copy()
        want[:n] = np.arange(-3, n - 3)
        same(machine(f"CreateVecIndex {t}", d, d, d, n, scalar=-3.0), want)


@pytest.mark.parametrize("t", ["half", "float", "uint16_t", "uint32_t"])
def test_brcb_copy_gather(t: str, machine: Machine) -> None:
    a, d, size = numbers(t), numbers(t), TYPES[t].itemsize
    for repeats, block, repeat in ((1, 1, 8), (5, 1, 8), (3, 2, 17)):
        want = d.copy()
        per = 32 // size
        for n in range(8 * repeats):
            first = (n // 8 * repeat + n % 8 * block) * per
            want[first:first + per] = a[n]
        same(machine(f"Brcb {t}", a, a, d, 0, repeats, block, 0, 0, repeat), want)
    for mask, repeats, db, ab, _, dr, ar, _ in strides(t):
        want = d.copy()
        want[elements(t, mask, repeats, db, dr)] = a[elements(t, mask, repeats, ab, ar)]
        same(machine(f"Copy {t}", a, a, d, mask, repeats, db, ab, 0, dr, ar), want)
    for n, base in ((1, 0), (77, 64), (1000, 8)):
        at = rng.integers(0, 2000, n)
        want = d.copy()
        want[:n] = a[at + base // size]
        same(machine(f"Gather {t}", a, (at * size).astype(np.uint32), d, n, base), want)


@pytest.mark.parametrize("t", ["half", "int16_t", "uint16_t"])
def test_transpose(t: str, machine: Machine) -> None:
    a, d = numbers(t), numbers(t)
    want = d.copy()
    want[:256] = a[:256].reshape(16, 16).T.reshape(-1)
    same(machine(f"Transpose {t}", a, a, d), want)


# ---------------------------------------------------------------- conversions
def between(x: Any, dtype: Any, mode: str) -> Any:
    """f64 numbers to 16 bits, rounded once in a direction: the nearest ones below and above, and the rule."""
    near = x.astype(dtype)
    step = np.where(near.astype(np.float64) < x, np.inf, -np.inf)
    other = np.nextafter(near, step.astype(dtype))
    low, high = (np.where((near.astype(np.float64) <= x) == first, near, other) for first in (True, False))
    exact = near.astype(np.float64) == x
    middle = low.astype(np.float64) / 2 + high.astype(np.float64) / 2
    away = np.where(np.abs(low.astype(np.float64)) > np.abs(high.astype(np.float64)), low, high)
    toward = np.where(np.abs(low.astype(np.float64)) > np.abs(high.astype(np.float64)), high, low)
    odd = np.where(low.view(np.uint16) % 2 == 1, low, high)
    found = {"CAST_RINT": near, "CAST_NONE": near, "CAST_FLOOR": low, "CAST_CEIL": high, "CAST_TRUNC": toward, "CAST_ODD": odd,
             "CAST_ROUND": np.where(x == middle, away, near)}[mode]
    return np.where(exact, near, found).astype(dtype)


@pytest.mark.parametrize("name", parsed(r"Cast \w+_?\w* \w+ CAST_\w+"))
def test_cast(name: str, machine: Machine) -> None:
    _, t, s, mode = name.split()
    a, d, dtype = numbers(s), numbers(t), TYPES[t]
    if a.dtype.kind == "f" or a.dtype == BF16:
        a[::5] = np.round(a[::5].astype(np.float32)) + 0.5
        a[::31] = 1000
        if s == "float":
            a[3::31] = 1 + 2.0 ** -11 + rng.integers(0, 2, a[3::31].shape) * 2.0 ** -8      # ties of half and of bfloat16
            a[4::31], a[5::31] = 3e9, -3e9
            if dtype.kind != "i":
                a[4::31], a[5::31] = 1e-3, -1.001
    for n in COUNTS:
        x, want = a[:n], d.copy()
        if dtype.kind in "iu" and x.dtype.kind in "iu":
            info = np.iinfo(dtype)
            want[:n] = np.clip(x.astype(np.int64), info.min, info.max).astype(dtype)
        elif dtype.kind in "iu":
            info = np.iinfo(dtype)
            y = ROUNDS[mode](x.astype(np.float64))
            want[:n] = [max(info.min, min(info.max, int(v))) for v in y]
        elif dtype == np.float32 and s == "float":
            want[:n] = ROUNDS[mode](x)
        elif dtype.itemsize == 2 and s == "float":
            want[:n] = between(x.astype(np.float64), dtype, mode)
        else:
            want[:n] = x.astype(dtype)
        same(machine(name, a, a, d, n), want)


def test_casts_of_nibbles(machine: Machine) -> None:
    a, d = numbers("uint8_t"), numbers("half")
    for n in (2, 64, 1000):
        want = d.copy()
        fields = np.stack([a & 15, a >> 4], 1).reshape(-1)[:n].astype(np.int64)
        want[:n] = np.where(fields > 7, fields - 16, fields)
        same(machine("Cast half int4b_t", a, a, d, n), want)
    x, d = numbers("half"), numbers("uint8_t")
    for n in (2, 64, 1000):
        want = d.copy()
        fields = np.clip(np.rint(x[:n].astype(np.float64)), -8, 7).astype(np.int64) & 15
        want[:n // 2] = fields[::2] | fields[1::2] << 4
        same(machine("Cast int4b_t half", x, x, d, n), want)


# ---------------------------------------------------------------- copies
@pytest.mark.parametrize("t", ["half", "float", "int8_t", "uint32_t"])
def test_copies(t: str, machine: Machine) -> None:
    a, d = numbers("uint8_t"), numbers("uint8_t")
    for count, length, source, target in ((1, 1, 0, 0), (4, 3, 0, 2), (7, 2, 5, 0), (3, 10, 1, 1)):
        want = d.copy()
        for r in range(count):
            of, to = r * (length + source) * 32, r * (length + target) * 32
            want[to:to + length * 32] = a[of:of + length * 32]
        for way in ("in", "UB", "out"):
            same(machine(f"DataCopy {t} {way}", a, a, d, count, length, source, target, direct=way == "out"), want)
    size = TYPES[t].itemsize
    for count, n, source, target, left, right in ((1, 1, 0, 0, 0, 0), (5, 7, 12, 1, 0, 0), (3, 9, 0, 0, 2, 1), (4, 16, 8, 2, 0, 0), (2, 30, 4, 0, 1, 1)):
        length, gap = n * size, source * size
        want, lead = d.copy(), left * size
        row = -(-(lead + length) // 32) * 32 + target * 32
        filler = np.array([3], TYPES[t]).view(np.uint8)
        for r in range(count):
            run = np.concatenate([np.tile(filler, left), a[r * (length + gap):r * (length + gap) + length], np.tile(filler, right)])
            want[r * row:r * row + len(run)] = run
        same(machine(f"DataCopyPad {t} in", a, a, d, count, length, gap, target, 1, left, right, scalar=3.0), want)
        want = d.copy()
        for r in range(count):
            of = r * (-(-length // 32) * 32 + target * 32)
            want[r * (length + gap):r * (length + gap) + length] = a[of:of + length]
        same(machine(f"DataCopyPad {t} out", a, a, d, count, length, target, gap, direct=True), want)


@pytest.mark.parametrize("t", ["half", "float", "int32_t"])
@pytest.mark.parametrize("what", ["Add", "Max", "Min"])
def test_atomics(what: str, t: str, machine: Machine) -> None:
    a, d = numbers(t), numbers(t)
    want = d.copy()
    with np.errstate(all="ignore"):
        for r in range(3):                                   # runs of 40 bytes, 8 blocks of 32 between their starts
            n = 40 // TYPES[t].itemsize
            of, to = r * 3 * 32 // TYPES[t].itemsize, r * n
            want[to:to + n] = binary(what, d[to:to + n], a[of:of + n])
    same(machine(f"SetAtomic{what} {t}", a, a, d, 3, 40, 1, 0, direct=True), want)


# ---------------------------------------------------------------- products
def image(x: Any, left: bool) -> Any:
    """An operand (rows, K) as L0 holds it: fractals of 16 x 32 bytes, row by row of fractals (zZ) for the left one; for the right one by pieces of K (nZ)."""
    c0, rows, k = 32 // x.itemsize, -(-x.shape[0] // 16) * 16, -(-x.shape[1] // (32 // x.itemsize)) * (32 // x.itemsize)
    padded = np.zeros((rows, k), x.dtype)
    padded[:x.shape[0], :x.shape[1]] = x
    blocks = padded.reshape(rows // 16, 16, k // c0, c0)
    return np.ascontiguousarray(blocks.transpose((0, 2, 1, 3) if left else (2, 0, 1, 3))).reshape(-1)


@pytest.mark.parametrize("name", parsed(r"product .*"))
@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 1), (2, 2), (1, 2), (2, 1)])
def test_product(name: str, left: int, right: int, machine: Machine) -> None:
    _, s, t, u = name.split()
    dtype, out = TYPES[t], TYPES[u]
    for m, n, k in ((16, 16, 32), (48, 32, 64), (21, 37, 45), (2, 16, 16), (33, 64, 8)):
        a, b = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((m, k), (n, k)))
        given = [image(x, side) if how == 0 else np.ascontiguousarray(x if how == 1 else x.T).reshape(-1)
                 for x, side, how in ((a, True, left), (b, False, right))]
        product = a.astype(np.int64) @ b.astype(np.int64).T
        for stride, twice, relu, atomic in ((n, 0, 0, 0), (n + 3, 1, 0, 0), (n, 0, 1, 0), (n, 0, 0, 1)):
            atomic = atomic and u != "int32_t" and m < 40
            if ((m - 1) * stride + n) * out.itemsize > ROOM:
                continue
            d = rng.integers(-4, 5, ROOM // out.itemsize).astype(out)
            want = d.copy()
            for r in range(m):
                value = product[r] * (1 + twice)
                value = np.maximum(value, 0) if relu else value
                at = slice(r * stride, r * stride + n)
                want[at] = (value.astype(np.float32).astype(out) if out.kind != "i" else value.astype(out)) + (d[at] if atomic else out.type(0))
            same(machine(name, given[0], given[1], d, m, n, k, left, right, stride, twice, relu, int(atomic)), want)


def test_a_row_times_a_matrix(machine: Machine) -> None:
    """m = 1: the left operand is one row of elements."""
    a, b = (rng.integers(-4, 5, shape).astype(np.float16) for shape in ((1, 80), (32, 80)))
    d = np.zeros(ROOM // 4, np.float32)
    want = d.copy()
    want[:32] = (a.astype(np.float32) @ b.astype(np.float32).T)[0]
    row = np.zeros(16 * 80, np.float16)
    row[:80] = a
    same(machine("product float half float", row, image(b, False), d, 1, 32, 80, 0, 0, 32), want)


def test_all_were_tried(machine: Machine) -> None:
    """Runs last: every statement has been compared."""
    assert set(NAMES) - machine.ran == set()
