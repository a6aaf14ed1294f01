"""The front end against the specification: its kernels build, run in the interpreter and agree with their oracles; its promotion rules
give the types that the eager meaning gives; the IR of chosen kernels is as documented."""
# ruff: noqa: B023 -- lambdas are called at once
import importlib
import itertools
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from dslc.annotations import parse_annotation
from dslc.definition import const
from dslc.dims import Annotation, dim_text, evaluate, with_numbers
from dslc.errors import DslError
from dslc.frontend import build
from dslc.frontend.calls import call_operation
from dslc.frontend.emitter import Emitter
from dslc.frontend.operators import binary, inverted, negative
from dslc.interpret import interpret
from dslc.ir import Kernel, Value, walk
from dslc.language import tile
from dslc.syntax import constant_text, fingerprint, tile_function
from dslc.text import parse, show
from dslc.types import DTYPES, TileType
from dslc.verify import verify
from specification import SPEC, Launcher, spec_modules, specialise

pytestmark = pytest.mark.skipif(SPEC is None, reason="the specification is not here; DSLC_SPEC names its folder")
f32 = np.float32


def ir(launcher: Any, *args: Any, **names: Any) -> Kernel:
    """The verified kernel that a call builds."""
    spec, _, _ = specialise(launcher.definition, dict(zip(launcher.parameters, args, strict=False)) | names)
    kernel = build(launcher.definition, spec)
    verify(kernel)
    assert show(parse(show(kernel))) == show(kernel)
    return kernel


def ops(kernel: Kernel, name: str) -> list[Any]:
    return [op for op in walk(kernel.body) if op.name == name]


# ---------------------------------------------------------------- the specification
def checks() -> list[str]:
    if SPEC is None:
        return []
    files = sorted((SPEC / "kernels").glob("*.py"))
    return [f"{p.stem}.{line[4:line.index('(')]}" for p in files for line in p.read_text().splitlines() if line.startswith("def check_")]


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, Any]]:
    with spec_modules(Launcher) as found:
        yield found


@pytest.mark.parametrize("check", checks())
def test_kernels_of_the_specification(check: str, modules: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word through the front end, the verifier, the text form and the interpreter, to the oracles of the specification."""
    def run(kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int]) -> None:
        verify(kernel)
        assert show(parse(show(kernel))) == show(kernel)
        interpret(kernel, arrays, dims, order="shuffle", seed=1)

    monkeypatch.setattr(Launcher, "run", staticmethod(run))
    module, name = check.split(".")
    vars(modules[module])[name]()


@pytest.fixture(scope="module")
def eager() -> Iterator[Any]:
    assert SPEC is not None
    sys.path.insert(0, str(SPEC))
    sys.modules.pop("tile_eager", None)
    yield importlib.import_module("tile_eager")
    sys.path.remove(str(SPEC))
    del sys.modules["tile_eager"]


SIGNS = {"+": "__add__", "-": "__sub__", "*": "__mul__", "/": "__truediv__", "//": "__floordiv__", "%": "__mod__", "&": "__and__", "|": "__or__",
         "^": "__xor__", "<<": "__lshift__", ">>": "__rshift__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__", "==": "__eq__", "!=": "__ne__"}
SHAPES = ((), (3,))


def ours(make: Any) -> str:
    try:
        return str(make(Emitter()).tile)
    except DslError:
        return "error"


def theirs(eager: Any, make: Any) -> str:
    try:
        result = make()
    except (eager.DslError, TypeError):
        return "error"
    return str(TileType(DTYPES[result.dtype.name], result.shape))


def both(eager: Any, dtype: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
    return Value("x", TileType(DTYPES[dtype], shape)), eager.full(shape, 1, eager.DTYPES[dtype])


@pytest.mark.parametrize("sign", SIGNS)
def test_operators_promote_as_the_eager_meaning_does(sign: str, eager: Any) -> None:
    for a, b, s, t in itertools.product(DTYPES, DTYPES, SHAPES, SHAPES):
        (x, x_), (y, y_) = both(eager, a, s), both(eager, b, t)
        if sign in ("<<", ">>") and y.tile.dtype.kind != "i":
            continue                       # the eager meaning takes a shift amount of any type
        want = theirs(eager, lambda: getattr(x_, SIGNS[sign])(y_))
        assert ours(lambda e: binary(e, sign, x, y)) == want, (a, s, sign, b, t)


@pytest.mark.parametrize("sign", SIGNS)
def test_literals_promote_as_the_eager_meaning_does(sign: str, eager: Any) -> None:
    for a, s, v in itertools.product(DTYPES, SHAPES, (1, 7, -1, 200, 70000, 1.5, True)):
        x, x_ = both(eager, a, s)
        if sign in ("<<", ">>") and not isinstance(v, int):
            continue
        want = theirs(eager, lambda: getattr(x_, SIGNS[sign])(v))
        assert ours(lambda e: binary(e, sign, x, v)) == want, (a, s, sign, v)
        if sign in ("+", "-", "&"):
            right = getattr(x_, SIGNS[sign].replace("__", "__r", 1))
            assert ours(lambda e: binary(e, sign, v, x)) == theirs(eager, lambda: right(v)), (v, sign, a, s)


UNARY = ("abs", "sqrt", "exp", "tanh", "popcount", "round")
REDUCTIONS = ("sum", "max", "min", "argmax", "argmin", "cumsum")


def test_functions_promote_as_the_eager_meaning_does(eager: Any) -> None:
    for a, name in itertools.product(DTYPES, UNARY):
        x, x_ = both(eager, a, (3,))
        if (name, a) != ("abs", "bool"):
            assert ours(lambda e: call_operation(e, vars(tile)[name], [x], {})) == theirs(eager, lambda: vars(eager.tile)[name](x_)), (name, a)
    for a, name in itertools.product(DTYPES, REDUCTIONS):
        x, x_ = both(eager, a, (3, 2))
        assert ours(lambda e: call_operation(e, vars(tile)[name], [x, -1], {})) == theirs(eager, lambda: vars(eager.tile)[name](x_, -1)), (name, a)
    for a, b in itertools.product(DTYPES, DTYPES):
        (x, x_), (y, y_), (c, c_) = both(eager, a, (3,)), both(eager, b, ()), both(eager, "bool", (3,))
        for name in ("minimum", "maximum"):
            if "bool" not in (a, b):
                assert ours(lambda e: call_operation(e, vars(tile)[name], [x, y], {})) == theirs(eager, lambda: vars(eager.tile)[name](x_, y_)), (name, a, b)
        assert ours(lambda e: call_operation(e, tile.where, [c, x, y], {})) == theirs(eager, lambda: eager.where(c_, x_, y_)), ("where", a, b)
        assert ours(lambda e: call_operation(e, tile.fma, [x, y, 2.0], {})) == theirs(eager, lambda: eager.fma(x_, y_, 2.0)), ("fma", a, b)
        mode = "rne" if x.tile.dtype.kind == "f" else None
        want = theirs(eager, lambda: eager.cast(x_, eager.DTYPES[b], mode))
        assert ours(lambda e: call_operation(e, tile.cast, [x, DTYPES[b], mode], {})) == want, ("cast", a, b)


def test_signs_promote_as_the_eager_meaning_does(eager: Any) -> None:
    for a in DTYPES:
        x, x_ = both(eager, a, (3,))
        if a != "bool":
            assert ours(lambda e: negative(e, x)) == theirs(eager, lambda: -x_), a
        assert ours(lambda e: inverted(e, x)) == theirs(eager, lambda: ~x_), a


# Bodies of a kernel that writes `out`: run by the eager meaning and by the interpreter of what the front end builds, bit for bit.
PROGRAMS = {
    "narrow": """
    t = tile.load(h, (0, 8))
    u = -t * 0.1 + tile.abs(t)
    put(out, 0, u)
    put(out, 1, tile.where(t < 0.1, t, 0.1))
    put(out, 2, tile.minimum(t, 0.7))
    put(out, 3, tile.round(t * 3, 'down'))
""",
    "integers": """
    t = tile.load(n, (0, 8))
    put(out, 0, tile.cast(t // 3 + t % 3 - (t >> 1) * (t << 2), tile.f32))
    put(out, 1, tile.cast(~t & 15 | 64 ^ t, tile.f32))
    put(out, 2, tile.cast(tile.cumsum(t > 2, -1), tile.f32))
    put(out, 3, tile.cast(tile.argmax(t > 2, -1) + M, tile.f32))
""",
    "nibbles": """
    t = tile.cast(tile.load(n, (0, 8)), tile.i4)
    put(out, 0, tile.cast(t + 1, tile.f32))
    put(out, 1, tile.cast(-t, tile.f32))
    put(out, 2, tile.cast(tile.popcount(tile.cast(t, tile.u4)), tile.f32))
    put(out, 3, tile.cast(tile.unpack(tile.pack(t, tile.u8), tile.u4), tile.f32))
""",
    "full": """
    s = tile.load(x, 1) * 3.7
    put(out, 0, tile.cast(tile.full((8,), s, tile.i32), tile.f32))
    put(out, 1, tile.cast(tile.full((8,), s, tile.f8e4m3), tile.f32))
    put(out, 2, tile.where(tile.full((8,), s, tile.bool), 1.0, tile.full((8,), 2, tile.f32)))
    put(out, 3, tile.full((), True, tile.f32) + tile.cast(5, tile.f32))
""",
    "index scalars": """
    t = tile.load(x, (0, 8))
    put(out, 0, t * M + i * 0.5)
    put(out, 1, tile.fma(t, M, 2))
    put(out, 2, tile.where(t > i, t, M))
    put(out, 3, tile.load(h, (0, 8)) * M)
""",
    "places": """
    put(out, 0, tile.load(x, (-2, 8), pad=0.1))
    put(out, 1, tile.load(x, (1, 8, M - 3), pad=-1))
    put(out, 2, tile.load(x, tile.load(n, (0, 8)), pad=9.0))
    rows, cols = tile.iota(2), tile.iota(8)[None, :]
    tile.store(out, (rows[:, None] + 3, cols), tile.load(out, (rows[:, None], cols)))
""",
    "randomness": """
    r = tile.random(-1, tile.load(n, (0, 8)))
    put(out, 0, tile.cast(r >> 8, tile.f32))
    put(out, 1, tile.cast(tile.random(M, tile.iota(8)) >> 8, tile.f32))
""",
    "constants": """
    a = tile.sqrt(16) + tile.maximum(1, 2.5) - tile.cdiv(7, 2)
    b = (1, 2) + (3,)
    put(out, 0, tile.full((8,), a * b[-1], tile.f32))
    if a > 2 and not (1 < a < 2.6):
        put(out, 1, tile.zeros((8,), tile.f32))
    else:
        put(out, 2, tile.zeros((8,), tile.f32))
    k = 3
    while k > 1:
        k -= 1
    put(out, k, tile.full((8,), k, tile.f32))
""",
    "branches": """
    s = tile.load(x, 2)
    k, t = i, tile.load(x, (0, 8))
    if s > 0 or M < 3 and True:
        k, t = k + 1, t * 2
    elif s > -0.5:
        t = t + 1
    else:
        k = k + 2
        t = tile.where(t > 0, t, 0.0)
    put(out, k, t)
    if not (0 <= k < 2):
        put(out, 3, t)
""",
    "loops": """
    t = (tile.zeros((8,), tile.f32), (tile.full((), 0, tile.i32), 5))
    for k in tile.range(i, M, 3):
        a, (c, five) = t
        for j in tile.range(0, k):
            a = a + tile.load(x, j)
        t = (a, (c + 1, five))
    put(out, 0, t[0])
    put(out, 1, tile.cast(t[1][0], tile.f32))
    n1 = M
    while n1:
        n1 //= 2
        put(out, 2, tile.cast(n1, tile.f32))
""",
    "shapes": """
    t = tile.reshape(tile.load(x, (0, 8)), (2, 2, 2))
    a, b = tile.split(tile.transpose(t, (-1, 0, 1)), 2, -1)
    put(out, 0, tile.reshape(tile.concat((b, a), -2), (8,)))
    put(out, 1, tile.take(tile.load(x, (0, 8)), tile.load(n, (0, 8))))
    put(out, 2, tile.segment_sum(tile.load(h, (0, 8)), tile.load(n, (0, 8)) - 1, 8))
    put(out, 3, tile.max(tile.broadcast(tile.load(h, (0, 8))[:, None], (8, 3)), 1))
""",
}
HEADER = """
@tile_function
def put(out, row, value, *, at=(0, 8)):
    tile.store(out, (row, at), tile.cast(value, tile.f32))


@tile_kernel
def kernel(x: "f32[M]", h: "f16[M]", n: "i32[M]", out: "f32[R, C]"):
    i = tile.grid(1)
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_compute_what_the_eager_meaning_does(name: str, eager: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Launcher, "run", staticmethod(lambda kernel, arrays, dims: (verify(kernel), interpret(kernel, arrays, dims))))
    path = tmp_path / "program.py"
    path.write_text(HEADER + PROGRAMS[name])
    results = []
    for names in ({"tile": eager.tile, "tile_function": eager.tile_function, "tile_kernel": eager.tile_kernel},
                  {"tile": tile, "tile_function": tile_function, "tile_kernel": Launcher}):
        exec(compile(path.read_text(), str(path), "exec"), names)
        x, out = np.array([0.3, -1.7, 2.5, 0.1, -0.2, 7.0, 0.05, -3.0], f32), np.full((6, 8), 77.0, f32)
        names["kernel"](x, x.astype(np.float16), np.array([0, 3, 5, -7, 8, 2, 1, 4], np.int32), out)
        results.append(out)
    assert np.array_equal(results[0], results[1], equal_nan=True), results


# ---------------------------------------------------------------- the IR
@Launcher
def copy(x: "T[M, N]", y: "T[M, N]", *, N: const, BM: const = 4):
    i = tile.grid(tile.cdiv(M, BM))
    at = ((i * BM, BM), (0, N))
    t = tile.load(x, at)
    tile.store(y, at, t)


def test_text_of_a_kernel() -> None:
    assert show(ir(copy, np.zeros((8, 16), f32), np.zeros((8, 16), f32))) == """\
kernel @copy(%x: tensor<f32, M, 16>, %y: tensor<f32, M, 16>; %M: index) {
  %add = add(%M, 3) : index
  %floordiv = floordiv(%add, 4) : index
  %i = grid(%floordiv) : index
  %mul = mul(%i, 4) : index
  %t = load(%x, span(%mul, 4), span(0, 16))[pad=0] : tile<f32, 4, 16>
  store(%y, %t, span(%mul, 4), span(0, 16))
  yield()
}
"""


@Launcher
def facts(x: "f32[M]", s: "i32", *, BN: const = 4):
    n = M // BN
    three = tile.full((3,), 1.0, tile.f32)
    tile.assume(M % BN == 0)
    i = tile.grid(n, s)[0]
    tile.store(x, (i * BN, BN), tile.sum(three, 0))
    tile.assume(s > 0)


def test_only_scalars_of_the_call_stand_before_the_grid() -> None:
    names = [op.name for op in ir(facts, np.zeros(8, f32), 3).body.ops]
    assert names == ["floordiv", "mod", "eq", "assume", "cast", "grid", "full", "mul", "sum", "store", "gt", "assume", "yield"]


@Launcher
def control(x: "f32[M]", out: "f32[M]", *, deep: const = False):
    i = tile.grid(M)
    n, best = i * 0, tile.full((), 0.0, tile.f32)
    pair = (best, (n, 3))
    while n < M and best < 4.0:
        v = tile.load(x, n)
        if v > best:
            best = v
            pair = (v, (n, 3))
        elif deep:
            best = best + 1.0
        else:
            n = n + 0
        n += 1
    for _ in tile.unroll(2):
        best = best * 2.0
    tile.store(out, i, best + pair[0])


def test_carried_names_and_branches() -> None:
    kernel = ir(control, np.zeros(4, f32), np.zeros(4, f32))
    (loop,), (branch,) = ops(kernel, "while"), ops(kernel, "if")
    assert [r.name for r in loop.results] == ["best", "pair", "pair", "n"]
    assert [r.name for r in branch.results] == ["best", "pair", "pair", "n"]
    out = np.zeros(4, f32)
    interpret(kernel, {"x": np.array([1, 9, 2, 3], f32), "out": out}, {"M": 4})
    assert out.tolist() == [45.0] * 4


@tile_function
def halved(t, by=2.0):
    q = t / by
    return q, t.shape


@Launcher
def inlined(x: "f16[M]"):
    i = tile.grid(1)
    first, (n,) = halved(tile.load(x, (0, 4)))
    second, _ = halved(first, by=4.0)
    tile.store(x, (0, n), second)


def test_names_in_inlined_functions() -> None:
    kernel = ir(inlined, np.zeros(4, np.float16))
    assert [op.result.name for op in walk(kernel.body) if op.results] == ["i", "halved.t", "cast", "halved.q", "halved.q", "cast"]
    division = ops(kernel, "div")[0]
    assert division.loc.text.strip() == "q = t / by" and division.loc.text[division.loc.column:division.loc.end_column] == "t / by"


@Launcher
def shapes(a: "T[M, K]", b: "T[K/2, 8]", c: "f32[M]?" = None, *, D: const = 3):
    i = tile.grid(b.shape[0], a.shape[1])[0]
    tile.store(a, (i, 0), b.shape[1] + i)


def test_expressions_of_dimensions() -> None:
    with pytest.raises(DslError, match="store: a holds f32, got index; cast with a named rounding"):
        ir(shapes, np.zeros((4, 6), f32), np.zeros((3, 8), f32))
    kernel = ir(shapes, np.zeros((4, 6), np.int64), np.zeros((3, 8), np.int64))
    assert [str(p.type) for p in kernel.params] == ["tensor<i64, M, K>", "tensor<i64, K/2, 8>"]
    assert [d.name for d in kernel.dims] == ["M", "K"]
    assert "%floordiv = floordiv(%K, 2) : index" in show(kernel) and "add(8, %i)" in show(kernel)


def test_literals_are_rounded_to_the_type_they_take() -> None:
    emitter = Emitter()
    x = Value("x", TileType(DTYPES["f16"], (2,)))
    binary(emitter, "<", x, 0.1)
    binary(emitter, "+", x, 0.1)
    consts = [op.args[1].value for op in emitter.stack[0] if len(op.args) == 2]
    assert consts == [float(np.float16(0.1)), float(f32(0.1))]


# ---------------------------------------------------------------- annotations
@pytest.mark.parametrize("text", ["f32", "T[M, K]", "f32[N]?", "u4[K, N] in u32[K/8, N]", "u4[K, N] in u32[K, N/8] order 0 2 4 6 1 3 5 7",
                                  "i4[M, 64] in u8[M, 64/2] split?", "bf16[(M+1)*2, M-(K-1), K/(M*2), 3]", "u1[M,K]in u32[M,K/32]"])
def test_annotations_are_read_spelt_and_remembered(text: str) -> None:
    read = parse_annotation(text)
    assert parse_annotation(str(read)) == read
    assert Annotation.from_json(json.loads(json.dumps(read.to_json()))) == read
    assert str(read).replace(" ", "") == text.replace(" ", "")


def test_dimensions_divide_exactly() -> None:
    (dim,) = parse_annotation("f32[(M+1)*K/8]").dims or ()
    assert evaluate(dim, {"M": 2, "K": 4}) == Fraction(3, 2) and dim_text(with_numbers(dim, {"M": 3, "K": 4})) == "2"
    assert dim_text(with_numbers(dim, {"K": 4})) == "(M+1)*4/8"
    with pytest.raises(DslError, match="dimension K is not bound"):
        evaluate(dim, {"M": 1})


def test_a_packed_axis_is_the_one_that_differs() -> None:
    packing = parse_annotation("u2[B, D, T] in u32[B, D, T/16]").packing
    assert packing is not None and (packing.word, packing.axis, packing.order) == (DTYPES["u32"], 2, "adjacent")


# ---------------------------------------------------------------- the host's side
def test_operations_on_plain_numbers() -> None:
    assert tile.cdiv(10, 3) == 4 and tile.maximum(2, 5) == 5 and tile.sqrt(16) == 4.0 and isinstance(tile.sqrt(16), float)


FACTOR = 2.0


@tile_function
def scaled(t):
    return t * FACTOR


@tile_function
def twice_scaled(t):
    return scaled(scaled(t))


def test_fingerprints_follow_constants_and_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(twice_scaled.fn, twice_scaled.source)
    assert before == fingerprint(twice_scaled.fn, twice_scaled.source) != fingerprint(scaled.fn, scaled.source)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert fingerprint(twice_scaled.fn, twice_scaled.source) != before
    assert constant_text((1, tile.f32, scaled)).startswith("(1, f32, scaled:")


def test_source_that_cannot_be_read() -> None:
    names: dict[str, Any] = {"tile_function": tile_function}
    with pytest.raises(DslError, match="the source of 'f' cannot be read"):
        exec("@tile_function\ndef f(t):\n    return t", names)
