"""The vector unit of the Ascend target, emulated: each op in many shapes, types and kinds of operands gives what numpy gives, or lies within the op's bound;
and `legalise` changes no value."""
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from dslc.backend import backend_of
from dslc.errors import DslError
from dslc.interpret import interpret
from dslc.ir import Body, Const, Kernel, Op, Span, Value, make_attrs, walk
from dslc.ops import OPS
from dslc.types import BOOL, DTYPES, I32, INDEX, DType, TensorType, TileType
from dslc.verify import verify
from hypothesis import HealthCheck, given, settings
from strategies import Case, kernels
from test_properties_gpu import run_emulated

FEW = ((3, 5), (16, 64), (2, 2200))      # the last has rows of more than 255 blocks, which strides do not reach
SHAPES = ((1, 1), (3, 5), (7, 100), (16, 64), (2, 3000))
INTEGERS = ("i8", "u8", "i16", "u16", "i32", "u32", "i64")
MODES = ("rne", "rtz", "down", "up", "away")
ONE = Const(1, INDEX)


def all_waits(kernel: Kernel) -> tuple[Kernel, list[Op], list[Op]]:
    """Every op after everything before it: what is tried here is what ops do, not how their order is kept."""
    barrier = Op("barrier", (), make_attrs({"does": "barrier", "event": "ALL", "number": 0}))
    at = next(n for n, op in enumerate(kernel.body.ops) if op.name == "grid") + 1
    return kernel.with_ops([*kernel.body.ops[:at],
                            *(o for op in kernel.body.ops[at:] for o in (op, *(() if op.name in ("alloc", "view") else (barrier,))))]), [], []


@pytest.fixture(autouse=True)
def one_by_one(quickly_emulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every op waits for all pipes: what functions do themselves is tested here."""
    from dslc.backends.ascend import synchronise

    monkeypatch.setattr(synchronise, "synchronise", all_waits)


@dataclass(frozen=True)
class Spec:
    """One op: the dtype and kind of each operand (a kind ending in ! keeps away from special values), attributes, and what to expect."""

    name: str
    operands: tuple[tuple[str, str], ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    values: str = "special"


def shape_of(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an operand that meets a result of `shape`."""
    full = {"tile": shape, "row": (1,) * (len(shape) - 1) + shape[-1:], "column": (*shape[:-1], 1), "scalar": (),
            "flat": shape[-1:], "first": shape[:1], "one": (1,) * len(shape)}
    return full[kind]


def numbers(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...], values: str) -> Any:
    """Elements of a type, special ones among them where they are wanted."""
    n = math.prod(shape)
    if dtype is BOOL:
        return (rng.random(n) < 0.5).reshape(shape)
    if dtype.kind == "i":
        lo, hi = max(dtype.lo, -(1 << 62)), min(dtype.hi, 1 << 62)
        a = rng.integers(lo, hi, n, dtype=np.int64, endpoint=True)
        small = rng.integers(max(lo, -5), min(hi, 9), n, endpoint=True)
        a = np.where(rng.random(n) < 0.6, small, a)
        if values == "special" and n > 4:
            a[rng.integers(0, n, 2)] = (dtype.lo, dtype.hi) if dtype.bits < 64 else (lo, hi)
        if values == "small":
            a = small
        if values == "positive":
            a = np.abs(small) + 1
        return a.astype(dtype.numpy).reshape(shape)
    a = rng.standard_normal(n) * np.exp(rng.standard_normal(n) * 2)
    if values == "special" and n > 8:
        special = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40, -1e-42, 3.4e38, 0.5, 1.5, 2.5, -2.5, 2147483648.0, -2147483648.0, 2147483520.0,
                   300.0, -129.0, 1e30]
        at = rng.integers(0, n, max(1, n // 3))
        a[at] = rng.choice(special, len(at))
    if values == "unit":
        a = np.abs(a) + 1e-3
    return a.astype(np.float32).astype(dtype.numpy).reshape(shape)


def result_types(spec: Spec, types: list[TileType]) -> tuple[TileType, ...]:
    attrs = {**{k: v for k, v in OPS[spec.name].attrs if v is not None}, **spec.attrs}
    return OPS[spec.name].infer(types, {k: v for k, v in attrs.items() if k in {a for a, _ in OPS[spec.name].attrs}})


def operand_shape(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an operand of a kind, or the one that is written in its stead."""
    return shape_of(kind, shape) if kind in ("tile", "row", "column", "scalar", "flat", "first", "one") else eval(kind, {"shape": shape})


def case_of(specs: list[Spec], shape: tuple[int, ...], seed: int = 0) -> Case:
    """One kernel that does all the ops on tiles of a shape, each on operands of its own, and stores all results."""
    rng = np.random.default_rng(seed)
    params: list[Value] = []
    ops: list[Op] = [Op("grid", (ONE,), (), (Value("i", TileType(INDEX)),))]
    arrays: dict[str, Any] = {}
    outputs: list[str] = []
    with np.errstate(all="ignore"):
        for number, spec in enumerate(specs):
            values: list[Value] = []
            for n, (name, kind) in enumerate(spec.operands):
                own = operand_shape(kind, shape)
                dtype = DTYPES[name]
                text = f"a{number}_{n}"
                stored = DTYPES["i64"] if dtype is INDEX else DTYPES["u8"] if dtype is BOOL or dtype.bits < 8 else dtype
                long = tuple(e for e in own if e > 1) or (1,)       # in memory without axes of one element
                tensor = Value(text, TensorType(stored, tuple(map(str, long)), unit=(len(long) - 1,)))
                arrays[text] = numbers(rng, dtype, long, spec.values).astype(stored.numpy)
                params.append(tensor)
                at = tuple(Span(Const(0, INDEX), e) for e in long) if own else (Const(0, INDEX),)
                loaded = Value(f"x{number}_{n}", TileType(stored, long if own else ()))
                ops.append(Op("load", (tensor, *at), (), (loaded,)))
                if own and long != own:
                    seen = Value(f"z{number}_{n}", TileType(stored, own))
                    ops.append(Op("reshape", (loaded,), make_attrs({"shape": own}), (seen,)))
                    loaded = seen
                if stored is not dtype:
                    made = Value(f"y{number}_{n}", TileType(dtype, own))
                    if dtype is BOOL:
                        ops.append(Op("ne", (loaded, Const(0, stored)), (), (made,)))
                    else:
                        ops.append(Op("cast", (loaded,), make_attrs({"dtype": dtype}), (made,)))
                    loaded = made
                values.append(loaded)
            for r, t in enumerate(result_types(spec, [v.tile for v in values])):
                results = tuple(Value(f"r{number}_{n}", u) for n, u in enumerate(result_types(spec, [v.tile for v in values])))
                if r == 0:
                    ops.append(Op(spec.name, tuple(values), make_attrs(spec.attrs), results))
                    mine = results
                text = f"o{number}_{r}"
                value = mine[r]
                stored = I32 if t.dtype is BOOL or (t.dtype.kind == "i" and t.dtype.bits < 8) else DTYPES["i64"] if t.dtype is INDEX else t.dtype
                if stored is not t.dtype:
                    back = Value(f"s{number}_{r}", TileType(stored, t.shape))
                    ops.append(Op("cast", (value,), make_attrs({"dtype": stored}), (back,)))
                    value = back
                long = tuple(e for e in t.shape if e > 1) or (1,)
                if t.shape and long != t.shape:
                    seen = Value(f"t{number}_{r}", TileType(stored, long))
                    ops.append(Op("reshape", (value,), make_attrs({"shape": long}), (seen,)))
                    value = seen
                tensor = Value(text, TensorType(stored, tuple(map(str, long)), unit=(len(long) - 1,)))
                params.append(tensor)
                arrays[text] = np.zeros(long, stored.numpy)
                outputs.append(text)
                at = tuple(Span(Const(0, INDEX), e) for e in long) if t.shape else (Const(0, INDEX),)
                ops.append(Op("store", (tensor, value, *at)))
    kernel = Kernel("ops", tuple(params), (), Body((), (*ops, Op("yield"))))
    verify(kernel)
    return Case(kernel, arrays, {}, tuple(outputs))


def agree(specs: list[Spec], shape: tuple[int, ...], close: Any = None, seed: int = 0) -> None:
    """The ops emulated, and after `legalise` interpreted, give what the interpreter gives; `close` compares what need not be equal."""
    case = case_of(specs, shape, seed)
    want = case.fresh()
    interpret(case.kernel, want, case.dims)
    legal = backend_of("ascend").own_passes["legalise"](case.kernel)
    verify(legal)
    for how in ("legalised", "emulated"):
        got = case.fresh()
        if how == "legalised":
            interpret(legal, got, case.dims)
        else:
            run_emulated("ascend:910b", case.kernel, got, case.dims, "late")
        for name in case.outputs:
            spec = specs[int(name[1:].split("_")[0])]
            a, b = got[name], want[name]
            if close is not None and how == "emulated":
                close(spec, a, b, case.arrays[f"a{name[1:].split('_')[0]}_0"].reshape(operand_shape(spec.operands[0][1], shape)))
                continue
            wide = [x if x.dtype.kind in "iub" else x.astype(np.float64) for x in (a, b)]
            same = (wide[0] == wide[1]) | ((wide[0] != wide[0]) & (wide[1] != wide[1]))
            where = np.argwhere(~same)[:4].tolist()
            assert same.all(), f"{how}: {spec} at {where}: {[a[tuple(w)] for w in where]} for {[b[tuple(w)] for w in where]}"


def each(dtypes: tuple[str, ...], *names: str, kinds: tuple[tuple[str, ...], ...] = (("tile", "tile"),),
         values: str = "special", **attrs: Any) -> Iterator[Spec]:
    for d in dtypes:
        for name in names:
            for row in kinds:
                yield Spec(name, tuple((d, k) for k in row), attrs, values)


PAIRS = (("tile", "tile"), ("tile", "row"), ("row", "tile"), ("tile", "column"), ("column", "tile"), ("row", "column"),
         ("column", "row"), ("tile", "scalar"), ("scalar", "tile"))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arithmetic(shape: tuple[int, ...]) -> None:
    agree([*each(("f32",), "add", "sub", "mul", "div", kinds=PAIRS), *each(("i32", "u32"), "add", "sub", "mul", kinds=PAIRS[:5]),
           *each(("i32", "u32"), "sub", kinds=PAIRS[5:]),
           *each(("f32", "i32", "u32", "i8"), "neg", "abs", kinds=(("tile",),))], shape)


@pytest.mark.parametrize("shape", FEW, ids=str)
def test_narrow_integers(shape: tuple[int, ...]) -> None:
    agree([*each(("i8", "u8", "i16", "u16", "i64"), "add", "sub", "mul", "minimum", "maximum", "lt"),
           *each(("i8", "u16", "i64"), "neg", "abs", kinds=(("tile",),)),
           ], shape)


@pytest.mark.parametrize("shape", FEW, ids=str)
def test_comparison_and_selection(shape: tuple[int, ...]) -> None:
    specs = [*each(("f32", "i32", "u32"), "lt", "le", "gt", "ge", "eq", "ne"), *each(("bool", "u8"), "lt", "le", "eq", "ne"),
             *each(("f32", "i32"), "lt", "eq", kinds=PAIRS[1:]), *each(("f32", "i32"), "minimum", "maximum", kinds=PAIRS),
             *each(("u32", "bool"), "minimum", "maximum")]
    specs += [Spec("where", (("bool", c), (d, x), (d, y))) for d in ("f32", "i32", "u8", "bf16", "i64", "f16")
              for c, x, y in (("tile",) * 3, ("tile", "scalar", "tile"), ("tile", "tile", "scalar"))]
    specs += [Spec("where", (("bool", c), (d, x), (d, y))) for d in ("f32", "u16")
              for c, x, y in (("row", "tile", "scalar"), ("column", "row", "tile"), ("tile", "scalar", "scalar"), ("row", "column", "row"))]
    agree(specs, shape)


@pytest.mark.parametrize("shape", FEW, ids=str)
def test_bits(shape: tuple[int, ...]) -> None:
    specs = [*each(("bool", "i32", "u8", "i16", "u16", "i64", "u32"), "and", "or", "xor"), *each(("bool",), "and", "or", "xor", kinds=PAIRS[1:]),
             *each(("i32", "u8", "i64"), "and", "xor", kinds=(("tile", "scalar"),)),
             *each(("bool", "i32", "u8", "u4", "i4", "i64", "u16"), "not", kinds=(("tile",),)),
             *each(("i32", "u32", "i16", "u8", "i64"), "shl", "shr", kinds=(("tile", "scalar"), ("tile", "tile"))),
             *each(("i32", "u32", "u8", "i8", "i16", "i64"), "popcount", kinds=(("tile",),)),
             *each(("i32", "u32", "i8", "u16", "i64"), "floordiv", "mod", kinds=(("tile", "tile"), ("tile", "scalar")), values="positive"),
             Spec("random", (("i64", "scalar"), ("i64", "tile"))), Spec("random", (("i64", "scalar"), ("i32", "tile")), values="positive"),
             *(Spec("bitcast", ((a, "tile"),), {"dtype": DTYPES[b]})
               for a, b in (("f32", "i32"), ("i32", "f32"), ("f16", "i16"), ("u8", "i8"), ("u32", "i32"), ("bf16", "u16")))]
    agree(specs, shape)


@pytest.mark.parametrize("shape", ((3, 5), (16, 80)), ids=str)
def test_casts(shape: tuple[int, ...]) -> None:
    floats, small = ("f32", "f16", "bf16", "f8e4m3", "f8e5m2"), ("u4", "i4", "u1")
    specs = [Spec("cast", ((a, "tile"),), {"dtype": DTYPES[b]}) for a in floats for b in floats if a != b]
    specs += [Spec("cast", ((a, "tile"),), {"dtype": DTYPES[b], "round": m}) for a in ("f32", "f16", "bf16")
              for b in (*INTEGERS, *small) for m in (MODES if a == "f32" else ("rne",))]
    specs += [Spec("cast", ((a, "tile"),), {"dtype": DTYPES[b], **({"saturate": True} if s else {})})
              for a in (*INTEGERS, *small) for b in (*INTEGERS, *small) for s in (0, 1) if a != b]
    specs += [Spec("cast", ((a, "tile"),), {"dtype": DTYPES[b]}) for a in (*INTEGERS, *small, "bool") for b in floats]
    specs += [Spec("cast", (("bool", "tile"),), {"dtype": DTYPES[b]}) for b in INTEGERS]
    specs += [Spec("round", (("f32", "tile"),), {"mode": m}) for m in MODES]
    for part in range(0, len(specs), 60):
        agree(specs[part:part + 60], shape)


BOUNDS: dict[str, Any] = {
    "rsqrt": lambda x, y: 2.0**-20 * abs(y), "sigmoid": lambda x, y: 2.0**-20 * abs(y), "exp": lambda x, y: (2.0**-20 + 2.0**-22 * abs(x)) * abs(y),
    "exp2": lambda x, y: (2.0**-20 + 2.0**-22 * abs(x)) * abs(y), "log": lambda x, y: 2.0**-20 * abs(y) + 2.0**-21 * (abs(x - 1) < 0.5),
    "log2": lambda x, y: 2.0**-20 * abs(y) + 2.0**-21 * (abs(x - 1) < 0.5),
    "tanh": lambda x, y: np.where(abs(y) > 2.0**-10, np.minimum(1.0, abs(y)), 1.0) * 2.0**-20,
    "erf": lambda x, y: np.where(abs(y) > 2.0**-10, np.minimum(1.0, abs(y)), 1.0) * 2.0**-20,
    "sin": lambda x, y: np.where(abs(x) < 2.0**15, 2.0**-19, 2.0), "cos": lambda x, y: np.where(abs(x) < 2.0**15, 2.0**-19, 2.0)}
REFERENCE = {"rsqrt": lambda x: 1 / np.sqrt(x), "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "erf": np.vectorize(math.erf, otypes=[np.float64]),
             **{n: getattr(np, n) for n in ("exp", "exp2", "log", "log2", "tanh", "sin", "cos")}}


def within(spec: Spec, got: Any, _want: Any, arrays: dict[str, Any]) -> None:
    """Within the bound of the language, of values computed in f64."""
    x = next(a for name, a in arrays.items() if a.shape == got.shape and name == spec.attrs["of"]).astype(np.float64)
    with np.errstate(all="ignore"):
        y = REFERENCE[spec.name](x)
        bound = BOUNDS[spec.name](x, y) + 2.0**-149
    top = np.float64(np.finfo(np.float32).max) * (1 + 2.0**-20)
    good = (abs(got - y) <= bound) | ((got != got) & (y != y)) | (got == y) | (np.isinf(got) & (abs(y) > top / (1 + 2.0**-17)) & (np.sign(got) == np.sign(y)))
    where = np.argwhere(~good)[:4]
    assert good.all(), f"{spec.name}: {[(float(x[tuple(w)]), float(got[tuple(w)]), float(y[tuple(w)])) for w in where]}"


@pytest.mark.parametrize("shape", FEW, ids=str)
def test_functions(shape: tuple[int, ...]) -> None:
    specs = [Spec(name, (("f32", "tile"),), values=v) for v in ("special", "unit") for name in BOUNDS]
    named = [replace(s, attrs={"of": f"a{n}_0"}) for n, s in enumerate(specs)]
    agree(specs, shape, close=lambda spec, got, want, x: None)
    case = case_of(specs, shape)
    got = case.fresh()
    run_emulated("ascend:910b", case.kernel, got, case.dims, "late")
    for n, spec in enumerate(named):
        within(spec, got[f"o{n}_0"], None, got)
    agree([*each(("f32",), "sqrt", kinds=(("tile",),))], shape)


def test_functions_over_their_range() -> None:
    """Many values, their neighbourhoods of 0, 1 and overflow among them."""
    rng = np.random.default_rng(7)
    spread = np.concatenate([rng.standard_normal(2048) * 10.0 ** rng.integers(-6, 3, 2048), np.linspace(-110, 95, 2048), 1 + rng.standard_normal(1024) * 1e-3,
                             rng.uniform(-32768, 32768, 1024)])
    specs = [Spec(name, (("f32", "tile"),)) for name in BOUNDS]
    case = case_of(specs, (2, 3072))
    got = case.fresh()
    for name in got:
        if name.startswith("a"):
            got[name][...] = spread.astype(np.float32).reshape(2, 3072)
    run_emulated("ascend:910b", case.kernel, got, case.dims, "late")
    for n, spec in enumerate(specs):
        within(replace(spec, attrs={"of": f"a{n}_0"}), got[f"o{n}_0"], None, got)


def sums_close(spec: Spec, got: Any, want: Any, x: Any) -> None:
    """Sums of f32 are within n 2^-24 sum |x| of theirs, as the interpreter's are of the true ones; all else is equal."""
    if spec.name in ("sum", "cumsum", "segment_sum") and got.dtype.kind == "f":
        axis = spec.attrs.get("axis", 0)
        error = 2 * x.shape[axis] * 2.0 ** -24 * np.abs(x.astype(np.float64)).sum(axis, keepdims=spec.name != "sum")
        error = np.broadcast_to(error, x.shape).reshape(want.shape) if spec.name == "cumsum" else error.reshape(want.shape) if spec.name == "sum" else error
        assert (np.abs(got.astype(np.float64) - want) <= error).all(), f"{spec}: {got} {want}"
    else:
        assert np.array_equal(got, want, equal_nan=got.dtype.kind == "f"), f"{spec}: {got.tolist()} {want.tolist()}"


@pytest.mark.parametrize("shape", ((1, 1), (3, 5), (16, 64), (2, 3000), (150, 3), (90, 70), (40, 130), (5, 1)), ids=str)
def test_reductions(shape: tuple[int, ...]) -> None:
    specs = []
    for axis in (0, 1):
        specs += [Spec("sum", ((d, "tile"),), {"axis": axis}, v) for d, v in (("f32", "unit"), ("i32", "special"), ("u32", "special"), ("i64", "special"))]
        specs += [Spec(n, ((d, "tile"),), {"axis": axis}, v) for n in ("max", "min")
                  for d, v in (("f32", "special"), ("f32", "unit"), ("i32", "special"), ("bool", "special"),
                              ("u8", "special"), ("u32", "special"), ("i64", "special"))]
        specs += [Spec(n, ((d, "tile"),), {"axis": axis}) for n in ("argmax", "argmin") for d in ("f32", "i32", "i8", "i64")]
        specs += [Spec("cumsum", ((d, "tile"),), {"axis": axis}, v) for d, v in (("f32", "unit"), ("i32", "special"), ("i64", "special"))]
    agree(specs, shape, close=sums_close)


def test_reductions_of_rank_3_and_1() -> None:
    for shape in ((2, 6, 20), (3, 4, 64), (2, 1, 5)):
        agree([*(Spec(n, (("f32", "tile"),), {"axis": a}, "unit") for n in ("sum", "max", "argmin", "cumsum") for a in (0, 1, 2)),
               *(Spec(n, (("i32", "tile"),), {"axis": a}) for n in ("sum", "min", "argmax") for a in (0, 1, 2)),
               *(Spec("max", (("f32", "tile"),), {"axis": a}) for a in (0, 1, 2))], shape, close=sums_close)
    for n in (5, 100, 2500):
        agree([*(Spec(name, (("f32", "tile"),), {"axis": 0}, v) for name in ("sum", "max", "min", "argmin", "argmax", "cumsum")
                 for v in ("unit", "special") if name not in ("sum", "cumsum") or v == "unit"),
               *(Spec(name, ((d, "tile"),), {"axis": 0}) for name in ("sum", "max", "argmax") for d in ("i32", "i64"))], (n,), close=sums_close)


@pytest.mark.parametrize("shape", [*SHAPES[1:4], (32, 48)], ids=str)
def test_shapes(shape: tuple[int, ...]) -> None:
    r, c = shape
    specs = []
    for d in ("f32", "u8", "f16", "i64", "bool"):
        specs += [Spec("transpose", ((d, "tile"),), {"axes": (1, 0)}), Spec("reshape", ((d, "tile"),), {"shape": (r * c,)}),
                  Spec("reshape", ((d, "tile"),), {"shape": (c, r)}),
                  Spec("broadcast", ((d, "row"),), {"shape": shape}), Spec("broadcast", ((d, "column"),), {"shape": shape}),
                  Spec("broadcast", ((d, "row"),), {"shape": (2, *shape)}),
                  Spec("broadcast", ((d, "one"),), {"shape": shape}), Spec("full", ((d, "scalar"),), {"shape": shape}),
                  Spec("concat", ((d, "tile"), (d, "tile")), {"axis": 0}), Spec("concat", ((d, "tile"), (d, "tile"), (d, "column")), {"axis": 1}),
                  Spec("concat", ((d, "row"), (d, "tile")), {"axis": 0})]
        specs += [Spec("split", ((d, "tile"),), {"n": n, "axis": axis}) for axis in (0, 1) for n in (2, 4, 5, 7) if shape[axis] % n == 0]
    agree(specs, shape)


def test_shapes_of_rank_3() -> None:
    shape = (4, 6, 8)
    specs = [Spec("transpose", ((d, "tile"),), {"axes": axes}) for d in ("f32", "f16", "u8")
             for axes in ((0, 2, 1), (1, 0, 2), (2, 1, 0), (2, 0, 1), (1, 2, 0))]
    specs += [Spec("reshape", ((d, "tile"),), {"shape": s}) for d in ("f32", "i8")
              for s in ((24, 8), (4, 48), (192,), (2, 12, 8), (8, 24), (32, 6), (4, 3, 2, 2, 4))]
    specs += [Spec("split", (("f32", "tile"),), {"n": 2, "axis": a}) for a in (0, 1, 2)]
    specs += [Spec("concat", (("f32", "tile"),) * 2, {"axis": a}) for a in (0, 1, 2)]
    specs += [Spec("broadcast", (("f32", "(4, 1, 8)"),), {"shape": shape}), Spec("broadcast", (("f32", "(4, 6, 1)"),), {"shape": shape}),
              Spec("broadcast", (("f32", "(1, 6, 1)"),), {"shape": shape}),
              *(Spec("add", (("f32", "tile"), ("f32", k))) for k in ("(4, 1, 8)", "(4, 6, 1)", "(1, 6, 1)", "(6, 8)", "(8,)", "(4, 1, 1)", "(1, 1, 1)"))]
    agree(specs, shape)


def test_lookup_fields_and_segments() -> None:
    specs = [Spec("take", ((d, "(20,)"), (i, "(3, 7)")), values="small") for d in ("f32", "f16", "u8", "i64") for i in ("i32", "i64")]
    specs += [Spec("take", ((d, "(5, 24)"), (i, "(6,)")), values="small") for d in ("f32", "u8") for i in ("i32", "i64")]
    specs += [Spec("take", (("f32", "(5, 24)"), ("i32", "()")), values="small"), Spec("take", (("f32", "(9,)"), ("i32", "()")), values="small")]
    specs += [Spec("take", (("f32", "(5, 3, 4)"), ("i32", "(2, 3)")), values="small"), Spec("take", (("f32", "(1000,)"), ("i32", "(2, 700)")), values="small")]
    specs += [Spec("segment_sum", ((d, s), (i, "(30,)")), {"n": 6}, "small") for d in ("f32", "i32", "i64")
              for i in ("i32", "i64") for s in ("(30,)", "(30, 12)")]
    specs += [Spec("unpack", ((w, "(3, 5)"),), {"dtype": DTYPES[d], "order": o}) for w in ("u8", "u32", "i32", "u64")
              for d in ("u4", "i4", "u1", "u8", "bool", "u2") if DTYPES[d].bits < DTYPES[w].bits for o in ("adjacent", "split")]
    specs += [Spec("pack", ((d, "(3, 64)"),), {"dtype": DTYPES[w], "order": o}) for w in ("u8", "u32", "i32")
              for d in ("u4", "i4", "bool", "u8") if DTYPES[d].bits < DTYPES[w].bits for o in ("adjacent", "split")]
    for part in range(0, len(specs), 40):
        agree(specs[part:part + 40], (1, 1), close=sums_close)


def test_every_op_has_a_text() -> None:
    """What the table has and the vector unit's rules do not, the language's memory and control ops aside, is nothing."""
    from dslc.backends.ascend.by_element import BY_ELEMENT
    from dslc.backends.ascend.vector_ops import RULES

    control = {"grid", "assume", "for", "while", "if", "yield", "coordinate", "map", "load", "store", "atomic_add", "atomic_min", "atomic_max",
               "alloc", "view", "barrier"}
    missing = {name for name, row in OPS.items() if name not in RULES and name not in BY_ELEMENT and not row.elementwise} - control
    assert not missing


def test_f64_is_refused() -> None:
    case = case_of([Spec("add", (("f64", "tile"), ("f64", "tile")))], (3, 5))
    with pytest.raises(DslError, match="no f64"):
        backend_of("ascend").own_passes["legalise"](case.kernel)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(kernels())
def test_legalise_changes_no_value(case: Case) -> None:
    if any(isinstance(v.type, TileType) and v.tile.dtype.name == "f64" for op in walk(case.kernel.body) for v in (*op.uses(), *op.results)):
        return
    legal = backend_of("ascend").own_passes["legalise"](case.kernel)
    verify(legal)
    got, want = case.fresh(), case.fresh()
    interpret(legal, got, case.dims)
    interpret(case.kernel, want, case.dims)
    for name in case.outputs:
        a, b = np.asarray(got[name]), np.asarray(want[name])
        assert np.array_equal(a, b) or np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True), name
