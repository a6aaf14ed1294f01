"""The C++ primitives under the CPU target (tile_types.h, tile_math.h, tile_dot.h, threads.c) against numpy, ml_dtypes and Python integers."""
import itertools
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cffi import FFI

BACKENDS = Path(__file__).resolve().parent.parent / "backends"
FLAGS = ["-O3", "-march=native", "-ffp-contract=off", "-fwrapv", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd",
         "-fno-strict-aliasing", "-fPIC", "-shared"]
NUMPY = {"f16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16), "f8e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
         "f8e5m2": np.dtype(ml_dtypes.float8_e5m2), "f32": np.dtype(np.float32), "f64": np.dtype(np.float64),
         **{n: np.dtype(t) for n, t in dict(i8="i1", i16="i2", i32="i4", i64="i8", u8="u1", u16="u2", u32="u4", u64="u8", bool="?").items()}}
NARROW = ("f16", "bf16", "f8e4m3", "f8e5m2")
INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
UNARY = ("exp", "exp2", "log", "log2", "sigmoid", "tanh", "erf", "sin", "cos", "rsqrt", "sqrt")


def compiler(language):
    found = shutil.which({"c++": "g++", "c": "gcc"}[language]) or shutil.which({"c++": "clang++", "c": "clang"}[language])
    if found:
        return [found]
    return [sys.executable, "-m", "ziglang", *({"c++": ["c++", "-nostdlib++"], "c": ["cc"]}[language])]


# ---------------------------------------------------------------- elementwise: every loop is void name(out, a, b, n)
def loops():
    """(name, output type, input type, expression in x and y)"""
    for t in NARROW:
        yield f"widen_{t}", "f32", t, "widen(x)"
        yield f"{t}_from_f32", t, "f32", f"cast<{t}>(x)"
        yield f"{t}_from_f64", t, "f64", f"cast<{t}>(x)"
        yield f"{t}_from_i32", t, "i32", f"cast<{t}>(x)"
    for t in ("f8e4m3", "f8e5m2"):
        yield f"{t}_saturated_f32", t, "f32", f"cast_saturate<{t}>(x)"
        yield f"{t}_saturated_f64", t, "f64", f"cast_saturate<{t}>(x)"
    yield "f32_from_f64", "f32", "f64", "cast<f32>(x)"
    yield "f64_from_f16", "f64", "f16", "cast<f64>(x)"
    for t in (*NARROW, "f32", "f64", "i32", "u8"):
        yield f"select_{t}", t, t, "select((i % 3) == 0, x, y)"
        yield f"minimum_{t}", t, t, "minimum(x, y)"
        yield f"maximum_{t}", t, t, "maximum(x, y)"
        yield f"absolute_{t}", t, t, "absolute(x)"
        yield f"negate_{t}", t, t, "negate(x)"
    for t, mode in itertools.product(("f32", "f64"), ("rne", "rtz", "down", "up", "away")):
        yield f"round_{mode}_{t}", t, t, f"round_{mode}(x)"
    for t, i in itertools.product(("f32", "f64"), INTEGERS):
        yield f"{i}_from_{t}", i, t, f"to_int<{i}>(round_rtz(x))"
    for t in ("f32", "f64"):
        yield f"i4_from_{t}", "i32", t, "to_int_range(round_rtz(x), -8, 7)"
        yield f"fma_{t}", t, t, "fma_(x, y, x)"
    for t in INTEGERS:
        for f in ("floor_div", "floor_mod", "shift_left", "shift_right"):
            yield f"{f}_{t}", t, t, f"{f}(x, y)"
        yield f"floor_div_by_8_{t}", t, t, f"floor_div(x, ({t})8)"
        yield f"floor_mod_by_8_{t}", t, t, f"floor_mod(x, ({t})8)"
        yield f"popcount_{t}", "i32", t, "popcount(x)"
        yield f"i8_saturated_{t}", "i8", t, "int_saturate<i8>(x)"
        yield f"u32_saturated_{t}", "u32", t, "int_saturate<u32>(x)"
    yield "field_u32", "u32", "u32", "field(x, (u32)(i % 8), 4u)"
    yield "field_u64", "u64", "u64", "field(x, (u32)(i % 16), 4u)"
    yield "i4_from_bits", "i8", "u32", "i4_from_bits(x)"
    yield "random_bits", "u32", "i64", "random_bits(y, x)"
    for f, t in itertools.product(UNARY, ("f32", "f64")):
        yield f"{f}_{t}", t, t, f"{f}_(x)"


# ---------------------------------------------------------------- dot
OPERANDS = {**{t: (t, t, "f32") for t in (*NARROW, "f32")}, "tf32": ("f32", "f32", "f32"), "f64": ("f64", "f64", "f64"),
            "i8": ("i8", "i8", "i32"), "u8": ("u8", "u8", "i32"), "u8i8": ("u8", "i8", "i32"), "i8u8": ("i8", "u8", "i32")}
SHAPES = ((1, 1, 1), (1, 45, 71), (37, 1, 71), (37, 45, 71), (6, 16, 1), (8, 40, 600))
DOTS = [(t, s) for t in OPERANDS for s in (SHAPES if t in ("f32", "bf16", "i8") else SHAPES[1:4])]
DOTS += [(t, (128, 128, 64)) for t in ("f32", "f16", "u8i8")]
DOTS += [(t, s) for t in ("f32", "f64", "f16", "bf16") for s in ((4, 256, 128), (2, 35, 83), (7, 41, 48))]   # few rows
LAYOUTS = ("plain", "transposed", "wide", "strided", "repeated", "reversed")


def dot_name(kind, shape):
    return f"dot_{kind}_{'x'.join(map(str, shape))}"


PANELS = [d for d in DOTS if min(d[1][:2]) > 1 and d[0] != "tf32"]
RUN = """
static int32_t run(int32_t (*body)(const void *, int64_t, int64_t, void *), const void *job, int64_t programs, size_t, int32_t) {
    for (int64_t p = programs; p-- > 0;) body(job, p, p + 1, nullptr);
    return 0;
}
"""


# Rows that are shorter than a line, than a strip, than a strip and its ends, and longer.
ROWS = [(kind, n) for kind in ("u8", "bf16", "f32", "f64") for n in (5, 64, 300, 1031)]


def from_panels(kind, shape):
    """The same product of the second of two matrices that a launcher has laid out; m, n, k are what there is of a tile."""
    (a, b, c), (m, n, k) = OPERANDS[kind], shape
    return f"""extern "C" int panels_{dot_name(kind, shape)}({c} *acc, i64 acc_row, const {a} *a, i64 a_row, i64 a_col, i64 a_matrix, const {b} *b, i64 b_row,
        i64 b_col, i64 b_matrix, i64 m, i64 n, i64 k, int accumulate) {{
    static void *kept_a, *kept_b;
    Storage store_a = {{&kept_a}}, store_b = {{&kept_b}};
    LeftPanels<{a}, {m}> left = {{}};
    RightPanels<{b}> right = {{}};
    lay_out<{m}, {k}, true>(left, store_a, a, {{m, a_row}}, {{k, a_col}}, {{{{2, a_matrix}}}}, run, 1);
    lay_out<{n}, {k}, true>(right, store_b, b, {{n, b_col}}, {{k, b_row}}, {{{{2, b_matrix}}}}, (decltype(&run))nullptr, 1);
    const bool held = left.holds<{m}, {k}>(0, 0) && right.holds<{n}, {k}>(0, 0) && !left.holds<{m}, {k}>({m}, 0) && !right.holds<{n}, {k}>(0, {k});
    if (held) dot<{m}, {n}, {k}>(acc, acc_row, left.window(1, 0, 0), right.window(1, 0, 0), accumulate != 0, scratch);
    store_a.give_back();
    store_b.give_back();
    return held;
}}"""


def sources():
    elementwise = ['#include "tile_math.h"']
    for name, out, of, expression in loops():
        elementwise.append(f'extern "C" void {name}({out} *o, const {of} *a, const {of} *b, i64 n) {{ (void)b; '
                           f"for (i64 i = 0; i < n; ++i) {{ {of} x = a[i], y = b[i]; (void)y; o[i] = {expression}; }} }}")
    dots = ['#include "tile_panels.h"', "alignas(64) static char scratch[1 << 20];", RUN]
    for kind, shape in DOTS:
        a, b, c = OPERANDS[kind]
        sizes = ", ".join(map(str, shape))
        size, call = (f"dot_tf32_scratch<{sizes}>()", "dot_tf32") if kind == "tf32" else (f"dot_scratch<{sizes}, {a}, {b}>()", "dot")
        dots.append(f'extern "C" void {dot_name(kind, shape)}({c} *acc, i64 acc_row, const {a} *a, i64 a_row, i64 a_col, const {b} *b, '
                    f"i64 b_row, i64 b_col, int accumulate) {{ static_assert({size} <= sizeof scratch, \"\"); "
                    f"{call}<{sizes}>(acc, acc_row, Window<{a}>{{a, a_row, a_col}}, Window<{b}>{{b, b_row, b_col}}, accumulate != 0, scratch); }}")
        if (kind, shape) in PANELS:
            dots.append(from_panels(kind, shape))
    rows = ['#include "tile_memory.h"']
    for kind, n in ROWS:
        rows.append(f'extern "C" void row_{kind}_{n}({kind} *to, const {kind} *from, int past) {{ '
                    f"write_row<{n}>(to, past != 0, [&]({kind} &element, index_t e) {{ element = from[e]; }}); past_fence(); }}")
        rows.append(f'extern "C" int past_{kind}_{n}(i64 elements) {{ return past_caches<{kind}>(elements); }}')
    return {"elementwise": "\n".join(elementwise), "dots": "\n".join(dots), "rows": "\n".join(rows)}


THREAD_BODIES = r"""
#include "threads.c"
#include <string.h>
typedef struct { int32_t *counts; int64_t failing; size_t bytes; int nested; } job;
int32_t count_body(const void *args, int64_t first, int64_t last, void *scratch) {
    const job *j = (const job *)args;
    if (j->bytes) { if ((uintptr_t)scratch % 64) return 77; memset(scratch, 1, j->bytes); }
    for (int64_t i = first; i < last; ++i) {
        if (i == j->failing) return 5;
        if (j->nested) { job inner = {j->counts + 8 * i, -1, 0, 0}; int32_t s = dslc_parallel(count_body, &inner, 8, 0, 2); if (s) return s; }
        else __atomic_fetch_add(&j->counts[i], 1, __ATOMIC_RELAXED);
    }
    return 0;
}
int32_t count(int32_t *counts, int64_t programs, int64_t failing, size_t bytes, int nested, int32_t threads) {
    job j = {counts, failing, bytes, nested};
    return dslc_parallel(count_body, &j, programs, bytes, threads);
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The shared libraries, compiled side by side."""
    folder, running = tmp_path_factory.mktemp("primitives"), []
    includes = [f"-I{BACKENDS / 'common'}", f"-I{BACKENDS / 'cpu'}"]
    for name, text in sources().items():
        (folder / f"{name}.cpp").write_text(text)
        command = [*compiler("c++"), "-std=c++17", *FLAGS, *includes, str(folder / f"{name}.cpp"), "-o", str(folder / f"{name}.so")]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    (folder / "threads.c").write_text(THREAD_BODIES.replace('"threads.c"', f'"{BACKENDS / "cpu" / "threads.c"}"'))
    command = [*compiler("c"), "-std=gnu11", "-O2", "-fPIC", "-shared", str(folder / "threads.c"), "-o", str(folder / "threads.so"), "-lpthread"]
    running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in running:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return folder


@pytest.fixture(scope="module")
def run(built):
    """run(name, a, b=None): the elementwise loop of that name over arrays."""
    ffi, types = FFI(), {name: (NUMPY[out], NUMPY[of]) for name, out, of, _ in loops()}
    ffi.cdef("".join(f"void {name}(void *, void *, void *, int64_t);" for name in types))
    library = ffi.dlopen(str(built / "elementwise.so"))

    def call(name, a, b=None):
        out_type, in_type = types[name]
        a = np.ascontiguousarray(a, in_type)
        b = a if b is None else np.ascontiguousarray(np.broadcast_to(b, a.shape), in_type)
        out = np.empty(a.shape, out_type)
        getattr(library, name)(*(ffi.cast("void *", v.ctypes.data) for v in (out, a, b)), a.size)
        return out

    with np.errstate(all="ignore"):
        yield call


def patterns(dtype):
    """Every value of a type of at most 16 bits."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return np.arange(1 << 8 * dtype.itemsize, dtype=np.uint64).astype(unsigned).view(dtype)


def some_f32():
    """A stride through all bit patterns, the neighbourhood of every power of two, and halfway points of narrow formats."""
    strided = np.arange(0, 1 << 32, 4099, dtype=np.uint64)
    powers = (np.arange(512, dtype=np.int64)[:, None] * (1 << 23) + np.arange(-40, 41)).ravel() % (1 << 32)
    halfway = (np.arange(1 << 16, dtype=np.int64)[:, None] * (1 << 16) + np.array([-1, 0, 1, 0x7fff, 0x8000, 0x8001, 0xfff, 0x1000, 0x1001])).ravel()
    bits = np.concatenate([strided.astype(np.uint32), powers.astype(np.uint32), (halfway % (1 << 32)).astype(np.uint32)])
    return bits.view(np.float32)


def some_integers(dtype):
    info, random = np.iinfo(dtype), np.random.default_rng(1)
    edges = np.array([info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7, 8, 9], dtype)
    edges = np.concatenate([edges, (-edges[5:].astype(np.int64)).astype(dtype)])
    drawn = random.integers(info.min, info.max, 40, dtype, endpoint=True)
    values = np.concatenate([edges, drawn, drawn >> np.array(info.bits // 2, dtype)])
    return np.repeat(values, len(values)), np.tile(values, len(values))


def assert_same_floats(got, want):
    """Bit for bit, but for the payload of a NaN."""
    unsigned = np.dtype(f"u{want.dtype.itemsize}")
    nan = np.isnan(want.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(got.astype(np.float64)), nan)
    np.testing.assert_array_equal(got.view(unsigned)[~nan], want.view(unsigned)[~nan])


# ---------------------------------------------------------------- tile_types.h
@pytest.mark.parametrize("t", NARROW)
def test_widening_is_exact(run, t):
    assert_same_floats(run(f"widen_{t}", patterns(NUMPY[t])), patterns(NUMPY[t]).astype(np.float32))


@pytest.mark.parametrize("t", NARROW)
def test_narrowing_rounds_to_nearest_even(run, t):
    values = some_f32()
    assert_same_floats(run(f"{t}_from_f32", values), values.astype(NUMPY[t]))
    assert_same_floats(run(f"{t}_from_f32", patterns(NUMPY[t]).astype(np.float32)), patterns(NUMPY[t]))
    integers = some_integers("i4")[0]
    assert_same_floats(run(f"{t}_from_i32", integers), integers.astype(np.float32).astype(NUMPY[t]))


@pytest.mark.parametrize("t", NARROW)
def test_narrowing_from_f64_rounds_once(run, t):
    every = np.unique(np.abs(patterns(NUMPY[t]).astype(np.float64)))
    every = every[np.isfinite(every)]
    middle = (every[1:] + every[:-1]) / 2                       # ties, and their f64 neighbours, which f32 cannot hold
    values = np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf)])
    even = every[:-1].astype(NUMPY[t]).view(f"u{NUMPY[t].itemsize}") % 2 == 0
    low, high = every[:-1], every[1:]
    want = np.concatenate([np.where(even, low, high), low, high])
    assert_same_floats(run(f"{t}_from_f64", values), want.astype(NUMPY[t]))
    assert_same_floats(run(f"{t}_from_f64", -values), (-want).astype(NUMPY[t]))
    special = np.array([np.inf, -np.inf, np.nan, 1e300, -1e300, 0.0, -0.0, 1e-300])
    assert_same_floats(run(f"{t}_from_f64", special), special.astype(np.float32).astype(NUMPY[t]))


@pytest.mark.parametrize("t", ("f8e4m3", "f8e5m2"))
def test_saturating_cast_clips(run, t):
    top, values = float(ml_dtypes.finfo(NUMPY[t]).max), some_f32()
    want = np.where(np.isnan(values), values, np.clip(values, -top, top)).astype(NUMPY[t])
    assert_same_floats(run(f"{t}_saturated_f32", values), want)
    assert_same_floats(run(f"{t}_saturated_f64", values.astype(np.float64)), want)


def test_wide_casts(run):
    values = np.concatenate([some_f32().astype(np.float64) * (1 + 2.0**-25), [1e300, np.nan, np.inf]])
    assert_same_floats(run("f32_from_f64", values), values.astype(np.float32))
    assert_same_floats(run("f64_from_f16", patterns(NUMPY["f16"])), patterns(NUMPY["f16"]).astype(np.float64))


@pytest.mark.parametrize("t", (*NARROW, "f32", "f64", "i32", "u8"))
def test_selection_keeps_the_type(run, t):
    dtype = NUMPY[t]
    if t in INTEGERS:
        x, y = some_integers(dtype)
    else:
        values = np.concatenate([np.random.default_rng(2).normal(size=60).astype(dtype), np.array([0.0, np.inf, -np.inf, np.nan], dtype)])
        x, y = np.repeat(values, len(values)), np.tile(values, len(values))
    unsigned = f"u{dtype.itemsize}"
    chosen = np.where(np.arange(len(x)) % 3 == 0, x.view(unsigned), y.view(unsigned))
    np.testing.assert_array_equal(run(f"select_{t}", x, y).view(unsigned), chosen)
    for name, f in (("minimum", np.fmin), ("maximum", np.fmax)):
        wide = dtype if t in INTEGERS else np.dtype(np.float64)
        np.testing.assert_array_equal(run(f"{name}_{t}", x, y).astype(wide), f(x.astype(wide), y.astype(wide)))
    for name, f in (("absolute", np.abs), ("negate", np.negative)):
        np.testing.assert_array_equal(run(f"{name}_{t}", x).astype(np.float64), f(x).astype(np.float64))


@pytest.mark.parametrize("t", ("f32", "f64"))
@pytest.mark.parametrize("mode", ("rne", "rtz", "down", "up", "away"))
def test_rounding_modes(run, t, mode):
    def away(v):
        whole = np.trunc(v)
        return np.copysign(whole + np.where(np.abs(v - whole) >= 0.5, np.sign(v), 0), v)
    halves = np.arange(-20, 21) / 2
    values = np.concatenate([some_f32(), halves, [0.49999997, -0.49999997, 8388607.5, 8388608.5]]).astype(NUMPY[t])
    values = np.concatenate([values, np.nextafter(values[-50:], NUMPY[t].type(0)), np.array([0.49999999999999994], NUMPY[t])])
    f = dict(rne=np.rint, rtz=np.trunc, down=np.floor, up=np.ceil, away=away)[mode]
    assert_same_floats(run(f"round_{mode}_{t}", values), f(values).astype(NUMPY[t]))


@pytest.mark.parametrize("t", ("f32", "f64"))
@pytest.mark.parametrize("i", (*INTEGERS, "i4"))
def test_float_to_integer_saturates(run, t, i):
    low, high = (-8, 7) if i == "i4" else (np.iinfo(NUMPY[i]).min, np.iinfo(NUMPY[i]).max)
    edges = [v for b in (low, high) for v in (b - 1, b - 0.5, b, b + 0.5, b + 1)] + [np.nan, np.inf, -np.inf, -0.5, 2.0**63, -2.0**63, 2.0**64]
    edges = np.array([float(v) for v in edges])
    values = np.concatenate([some_f32()[::97], edges, np.nextafter(edges, 0)]).astype(NUMPY[t])
    want = [0 if math.isnan(v) else high if v >= high else low if v <= low else int(v) for v in values.tolist()]
    assert run(f"{i}_from_{t}", values).tolist() == want


@pytest.mark.parametrize("t", INTEGERS)
def test_integer_division_and_shifts(run, t):
    dtype, (x, y) = NUMPY[t], some_integers(NUMPY[t])
    pairs, bits = list(zip(x.tolist(), y.tolist(), strict=True)), 8 * NUMPY[t].itemsize

    def wrap(values):
        return np.array([v % (1 << bits) for v in values], np.uint64).astype(f"u{dtype.itemsize}").view(dtype).tolist()

    assert run(f"floor_div_{t}", x, y).tolist() == wrap(a // b if b else 0 for a, b in pairs)
    assert run(f"floor_mod_{t}", x, y).tolist() == wrap(a % b if b else 0 for a, b in pairs)
    assert run(f"floor_div_by_8_{t}", x).tolist() == [a // 8 for a, _ in pairs]
    assert run(f"floor_mod_by_8_{t}", x).tolist() == [a % 8 for a, _ in pairs]
    assert run(f"shift_left_{t}", x, y).tolist() == wrap(a << (b % bits) for a, b in pairs)
    assert run(f"shift_right_{t}", x, y).tolist() == wrap(a >> (b % bits) for a, b in pairs)
    assert run(f"popcount_{t}", x).tolist() == [bin(a % (1 << bits)).count("1") for a, _ in pairs]
    assert run(f"i8_saturated_{t}", x).tolist() == [min(max(a, -128), 127) for a, _ in pairs]
    assert run(f"u32_saturated_{t}", x).tolist() == [min(max(a, 0), 2**32 - 1) for a, _ in pairs]


def test_fields(run):
    words = np.random.default_rng(3).integers(0, 2**64, 64, np.uint64)
    n = np.arange(64)
    np.testing.assert_array_equal(run("field_u64", words), words >> (n % 16 * 4).astype(np.uint64) & np.uint64(15))
    low = words.astype(np.uint32)
    np.testing.assert_array_equal(run("field_u32", low), low >> (n % 8 * 4).astype(np.uint32) & np.uint32(15))
    assert run("i4_from_bits", np.arange(32)).tolist() == [*range(8), *range(-8, 0)] * 2


def test_fma_rounds_once(run):
    random = np.random.default_rng(4)
    x, y = (random.normal(size=2000).astype(np.float32) for _ in range(2))
    exact = x.astype(np.longdouble) * y.astype(np.longdouble) + x.astype(np.longdouble)     # in 64 bits
    np.testing.assert_array_equal(run("fma_f32", x, y), exact.astype(np.float32))
    a, b = random.normal(size=200), random.normal(size=200)
    assert run("fma_f64", a, b).tolist() == [float(Fraction(p) * Fraction(q) + Fraction(p)) for p, q in zip(a.tolist(), b.tolist(), strict=True)]


def threefry(seed, counter):
    """Threefry-2x32-20 of Salmon et al., written on Python integers."""
    mask = 0xFFFFFFFF
    key = [seed & mask, seed >> 32 & mask]
    key.append(key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (counter + key[0]) & mask, ((counter >> 32) + key[1]) & mask
    for i in range(20):
        r = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        x = (x + y) & mask
        y = ((y << r | y >> 32 - r) & mask) ^ x
        if i % 4 == 3:
            j = i // 4 + 1
            x, y = (x + key[j % 3]) & mask, (y + key[(j + 1) % 3] + j) & mask
    return x


def test_random_bits(run):
    counters = np.concatenate([np.arange(50), np.random.default_rng(5).integers(-2**63, 2**63 - 1, 50)])
    for seed in (0, 1, -1, 0x123456789ABCDEF):
        assert run("random_bits", counters, seed).tolist() == [threefry(seed, c) for c in counters.tolist()]
    assert threefry(0, 0) == 0x6B200159                          # the published vector of Random123 (kat_vectors)


# ---------------------------------------------------------------- tile_math.h
REFERENCE = dict(exp=np.exp, exp2=np.exp2, log=np.log, log2=np.log2, tanh=np.tanh, sin=np.sin, cos=np.cos, sqrt=np.sqrt,
                 rsqrt=lambda x: 1 / np.sqrt(x), erf=np.vectorize(math.erf, otypes=[np.float64]),
                 sigmoid=lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1.0) / (1 + np.exp(-np.abs(x))))


def bound(name, x, want):
    """The language's bound on the f32 result, and half the spacing of subnormals."""
    spacing = 2.0**-150
    if name in ("sin", "cos"):
        return np.full(x.shape, 2.0**-19)
    if name in ("tanh", "erf"):
        return np.where(np.abs(want) > 2.0**-10, 2.0**-20 * np.abs(want), 2.0**-20)
    slack = 2.0**-22 * np.minimum(np.abs(x), 2**11) if name in ("exp", "exp2") else 0
    near_one = np.where(np.abs(x - 1) < 0.5, 2.0**-21, 0) if name in ("log", "log2") else 0
    return np.maximum((2.0**-20 + slack) * np.abs(want), near_one) + spacing


@pytest.mark.parametrize("name", UNARY)
def test_f32_functions(run, name):
    x = some_f32()
    if name == "erf":                                            # math.erf is slow
        x = np.concatenate([x[::7], np.linspace(-5, 5, 20001, dtype=np.float32)])
    got = run(f"{name}_f32", x).astype(np.float64)
    if name in ("sin", "cos"):
        finite = np.isfinite(x)
        assert np.all(np.isnan(got[~finite])) and np.all(np.abs(got[finite]) <= 1)
        x, got = x[np.abs(x) < 2**15], got[np.abs(x) < 2**15]
    want = REFERENCE[name](x.astype(np.float64))
    rounded = want.astype(np.float32)
    if name == "sqrt":
        return assert_same_floats(got.astype(np.float32), rounded)
    special = ~np.isfinite(rounded) | ~np.isfinite(got)
    at_the_top = np.abs(want) > np.finfo(np.float32).max / (1 + 2.0**-20)
    np.testing.assert_array_equal(got[special & ~at_the_top], rounded[special & ~at_the_top])
    error = np.abs(got - want)[~special]
    allowed = bound(name, x.astype(np.float64), want)[~special]
    assert np.all(error <= allowed), x[~special][error > allowed][:5]


def test_small_arguments_keep_relative_accuracy(run):
    x = np.ldexp(np.float32(1.2345678), -np.arange(3, 140)).astype(np.float32)
    for name, slope in (("tanh", 1), ("erf", 2 / math.sqrt(math.pi)), ("sin", 1)):
        want = slope * x.astype(np.float64)
        curvature = x.astype(np.float64) ** 2
        assert np.all(np.abs(run(f"{name}_f32", x) - want) <= want * (2.0**-20 + curvature) + 2.0**-149)
        np.testing.assert_array_equal(run(f"{name}_f32", -x), -run(f"{name}_f32", x))


@pytest.mark.parametrize("t", ("f32", "f64"))
def test_special_values(run, t):
    inf, nan = math.inf, math.nan
    for name, cases in dict(exp2={-inf: 0, inf: inf, 0: 1, 3: 8}, exp={-inf: 0, inf: inf, 0: 1}, log={0: -inf, -1: nan, inf: inf, 1: 0},
                            log2={0: -inf, -1: nan, inf: inf, 8: 3}, rsqrt={0: inf, inf: 0, -1: nan, 4: 0.5}, sigmoid={-inf: 0, inf: 1, 0: 0.5},
                            tanh={-inf: -1, inf: 1, 0: 0}, erf={-inf: -1, inf: 1, 0: 0}, sin={inf: nan, 0: 0}, cos={inf: nan, 0: 1},
                            sqrt={-1: nan, inf: inf, 0: 0}).items():
        x = np.array([*cases, nan])
        np.testing.assert_array_equal(run(f"{name}_{t}", x), [*cases.values(), nan])


@pytest.mark.parametrize("name", UNARY)
def test_f64_functions(run, name):
    random = np.random.default_rng(6)
    x = np.concatenate([random.uniform(-30, 30, 5000), random.uniform(-1, 1, 5000), np.ldexp(random.uniform(-1, 1, 2000), random.integers(-60, 9, 2000))])
    if name in ("log", "log2", "sqrt", "rsqrt"):
        x = np.concatenate([np.abs(x), 1 + random.uniform(-1e-3, 1e-3, 2000), np.ldexp(random.uniform(0.5, 1, 2000), random.integers(-1070, 1020, 2000))])
    if name in ("exp", "exp2"):
        x = np.concatenate([x, random.uniform(-700, 700, 5000)])
    want = REFERENCE[name](x)
    tolerance = 1e-13 if name == "erf" else 1e-14 * np.abs(want) + (1e-15 if name in ("sin", "cos") else 0)
    assert np.all(np.abs(run(f"{name}_f64", x) - want) <= tolerance)


# ---------------------------------------------------------------- tile_dot.h
def laid_out(random, dtype, rows, columns, layout):
    """A (rows, columns) view with the named strides."""
    def drawn(*shape):
        if dtype.kind in "iu":
            return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
        return random.normal(size=shape).astype(dtype)
    if layout == "plain":
        return drawn(rows, columns)
    if layout == "transposed":
        return drawn(columns, rows).T
    if layout == "wide":                                         # part of a matrix whose rows share cache sets
        return drawn(rows, 2048)[:, 3:3 + columns] if columns < 2000 else drawn(rows, columns)
    if layout == "strided":
        return drawn(2 * rows, 3 * columns)[::2, ::3]
    if layout == "repeated":
        return np.broadcast_to(drawn(1, columns), (rows, columns))
    return drawn(rows, columns)[::-1, ::-1]


@pytest.fixture(scope="module")
def dots(built):
    ffi = FFI()
    ffi.cdef("".join(f"void {dot_name(*d)}(void *, int64_t, void *, int64_t, int64_t, void *, int64_t, int64_t, int);" for d in DOTS))
    operands = "void *, int64_t, int64_t, int64_t, " * 2
    ffi.cdef("".join(f"int panels_{dot_name(*d)}(void *, int64_t, {operands} int64_t, int64_t, int64_t, int);" for d in PANELS))
    library = ffi.dlopen(str(built / "dots.so"))

    def call(kind, shape, acc, a, b, accumulate):
        strides = [[s // v.itemsize for s in v.strides] for v in (a, b)]
        pointers = [ffi.cast("void *", v.ctypes.data) for v in (acc, a, b)]
        getattr(library, dot_name(kind, shape))(pointers[0], acc.strides[0] // acc.itemsize, pointers[1], *strides[0], pointers[2], *strides[1], accumulate)

    def packed(kind, shape, acc, a, b, accumulate):
        """a and b are (2, m, k) and (2, k, n), of which the second matrices count."""
        strides = [[s // v.itemsize for s in (*v.strides[1:], v.strides[0])] for v in (a, b)]
        pointers = [ffi.cast("void *", v.ctypes.data) for v in (acc, a, b)]
        sizes = (*a.shape[1:2], *b.shape[2:], b.shape[1])
        assert getattr(library, "panels_" + dot_name(kind, shape))(pointers[0], acc.strides[0] // acc.itemsize, pointers[1], *strides[0], pointers[2],
                                                                   *strides[1], *sizes, accumulate)
    call.packed = packed
    return call


def tf32(a):
    bits = (np.ascontiguousarray(a).view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    return bits.view(np.float32)


@pytest.mark.parametrize("kind,shape", DOTS, ids=lambda v: v if isinstance(v, str) else "x".join(map(str, v)))
def test_dot(dots, kind, shape):
    (m, n, k), (ta, tb, tc) = shape, OPERANDS[kind]
    random = np.random.default_rng(7)
    for number, (la, lb) in enumerate(itertools.product(LAYOUTS, LAYOUTS)):
        if number % 3 and (la, lb) != ("plain", "transposed") and m * n * k > 10**5:
            continue
        a, b = laid_out(random, NUMPY[ta], m, k, la), laid_out(random, NUMPY[tb], k, n, lb)
        room = np.full((m, n + 3), 7, NUMPY[tc])                 # the columns beyond n must survive
        room[:, :n] = random.integers(-9, 9, (m, n))
        before, accumulate = room.copy(), number % 2
        dots(kind, shape, room[:, :n], a, b, accumulate)
        np.testing.assert_array_equal(room[:, n:], 7)
        again = before.copy()
        dots(kind, shape, again[:, :n], a, b, accumulate)
        np.testing.assert_array_equal(again, room)
        start = before[:, :n] if accumulate else np.zeros((m, n), NUMPY[tc])
        if tc == "i32":
            want = start + a.astype(np.int32) @ b.astype(np.int32)
            np.testing.assert_array_equal(room[:, :n], want, err_msg=f"{la} {lb}")
            continue
        x, y = (v.astype(np.float64) for v in ((tf32(a), tf32(b)) if kind == "tf32" else (a, b)))
        unit = 2.0**-52 if tc == "f64" else 2.0**-23
        allowed = (k + 8) * unit * (np.abs(x) @ np.abs(y) + np.abs(start))
        assert np.all(np.abs(room[:, :n] - (start + x @ y)) <= allowed), (la, lb)


@pytest.mark.parametrize("less", (0, 1, 5))
@pytest.mark.parametrize("kind,shape", PANELS, ids=lambda v: v if isinstance(v, str) else "x".join(map(str, v)))
def test_panels_change_no_bit(dots, kind, shape, less):
    """Operands laid out beforehand, of matrices that end `less` before their tiles, against padded copies.

    Only of a few rows times columns that are contiguous in k, which are inner products where they stand, sums are in another order.
    """
    (m, n, k), (ta, tb, tc) = shape, OPERANDS[kind]
    random = np.random.default_rng(8)
    for number, (la, lb) in enumerate(itertools.product(("plain", "transposed", "wide", "strided", "reversed"), repeat=2)):
        inside = max(m - less, 1), max(n - less, 1), max(k - less, 1)
        a, b = laid_out(random, NUMPY[ta], m, k, la), laid_out(random, NUMPY[tb], k, n, lb)
        a[inside[0]:], a[:, inside[2]:], b[inside[2]:], b[:, inside[1]:] = 0, 0, 0, 0
        start = random.integers(-9, 9, (m, n)).astype(NUMPY[tc])
        want, got = start.copy(), start.copy()
        dots(kind, shape, want, a, b, number % 2)
        two = [np.broadcast_to(v[:rows, :columns], (2, rows, columns)) for v, rows, columns in ((a, inside[0], inside[2]), (b, inside[2], inside[1]))]
        dots.packed(kind, shape, got, *two, number % 2)
        if 2 <= m <= 8 and kind in ("f32", "f64", "f16", "bf16") and b.strides[0] == b.itemsize:
            size = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64)) + np.abs(start)
            assert np.all(np.abs(got - want) <= 2 * (k + 8) * np.finfo(NUMPY[tc]).eps * size), (la, lb)
        else:
            np.testing.assert_array_equal(got, want, err_msg=f"{la} {lb}")


# ---------------------------------------------------------------- threads.c
@pytest.fixture(scope="module")
def count(built):
    ffi = FFI()
    ffi.cdef("int32_t count(int32_t *, int64_t, int64_t, size_t, int, int32_t);")
    library = ffi.dlopen(str(built / "threads.so"))

    def call(programs, failing=-1, scratch_bytes=0, nested=False, threads=2):
        counts = np.zeros(programs * (8 if nested else 1) + 1, np.int32)
        status = library.count(ffi.cast("int32_t *", counts.ctypes.data), programs, failing, scratch_bytes, nested, threads)
        return status, counts[:-1]
    return call


@pytest.mark.parametrize("programs", (0, 1, 2, 3, 15, 16, 17, 1000, 100003))
@pytest.mark.parametrize("threads", (0, 1, 2, 5))
def test_every_program_runs_once(count, programs, threads):
    for scratch_bytes in (0, 100, 1 << 20):
        status, counts = count(programs, scratch_bytes=scratch_bytes, threads=threads)
        assert status == 0 and np.all(counts == 1)


def test_many_small_launches(count):
    assert all(status == 0 and np.all(counts == 1) for status, counts in (count(2 + i % 7, threads=3) for i in range(20000)))


@pytest.mark.parametrize("threads", (1, 2, 4))
def test_a_failing_body_stops_the_launch(count, threads):
    for failing in (0, 3, 999):
        status, counts = count(1000, failing=failing, threads=threads)
        assert status == 5 and counts[failing] == 0 and counts.max() <= 1
    assert count(1000, threads=threads)[0] == 0


def test_scratch_that_cannot_be_had(count):
    assert count(10, scratch_bytes=1 << 62)[0] != 0
    assert count(10, scratch_bytes=64)[0] == 0


def test_nested_launch(count):
    status, counts = count(50, nested=True)
    assert status == 0 and np.all(counts == 1)


def test_two_python_threads(count):
    results = []
    def launch():
        for _ in range(300):
            status, counts = count(1000, scratch_bytes=256)
            results.append(status == 0 and bool(np.all(counts == 1)))
    callers = [threading.Thread(target=launch) for _ in range(2)]
    for c in callers:
        c.start()
    for c in callers:
        c.join()
    assert len(results) == 600 and all(results)


def test_fork(count):
    assert count(1000)[0] == 0                                   # the workers exist before the fork
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        status, counts = count(1000)
        os._exit(0 if status == 0 and np.all(counts == 1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert count(1000)[0] == 0


@pytest.mark.parametrize(("kind", "n"), ROWS)
def test_rows_past_the_caches(built, kind, n):
    """Wherever a row begins, inside an element too, each of its bytes is written and no other."""
    ffi = FFI()
    ffi.cdef(f"void row_{kind}_{n}(void *, const void *, int); int past_{kind}_{n}(int64_t);")
    library = ffi.dlopen(str(built / "rows.so"))
    size = n * {"u8": 1, "bf16": 2, "f32": 4, "f64": 8}[kind]
    source = np.random.default_rng(n).integers(0, 256, size, np.uint8)
    room = np.empty(size + 256, np.uint8)
    for start in range(66):
        at = -room.ctypes.data % 64 + start
        for past in (0, 1):
            room[:] = 7
            getattr(library, f"row_{kind}_{n}")(ffi.cast("void *", room.ctypes.data + at), ffi.cast("void *", source.ctypes.data), past)
            want = np.full_like(room, 7)
            want[at:at + size] = source
            np.testing.assert_array_equal(room, want)
    pays = getattr(library, f"past_{kind}_{n}")
    assert not pays(1 << 16) and [pays(1 << p) for p in range(40)] == sorted(pays(1 << p) for p in range(40)), "from some size on"
