"""The text form: what is shown is read back the same; what cannot be read says where and what was expected."""
from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from dslc.errors import DslError
from dslc.ir import Body, Const, Kernel, Op, Value, walk
from dslc.text import literal, parse, show
from dslc.types import BOOL, DTYPES, F32, F64, INDEX, Layout, Packing, Place, Space, TensorType, TileType
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from strategies import Case, kernels

SAMPLES = sorted((Path(__file__).parent / "ir").glob("*.ir"))


def kernel_of(*ops: Op, params: tuple[Value, ...] = (), **rest: object) -> Kernel:
    return Kernel("k", params, (), Body((), (*ops, Op("yield"))), **rest)       # type: ignore[arg-type]


@pytest.mark.parametrize("file", SAMPLES, ids=lambda p: p.stem)
def test_samples_round_trip(file: Path) -> None:
    text = "".join(line + "\n" for line in file.read_text().split("\n") if line and not line.startswith("//"))
    once = show(parse(text))
    assert show(parse(once)) == once
    assert len(once.splitlines()) == len(text.splitlines())


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(kernels())
def test_random_kernels_round_trip(case: Case) -> None:
    text = show(case.kernel)
    assert show(parse(text)) == text


@given(st.floats())
@example(-0.0)
@example(math.inf)
@example(5e-324)
def test_floats_are_exact(x: float) -> None:
    for dtype in (F32, F64, DTYPES["f16"]):
        (op, _) = parse(show(kernel_of(Op("assume", (Const(x, dtype),))))).body.ops
        (arg,) = op.args
        assert isinstance(arg, Const) and arg.dtype is dtype
        assert repr(arg.value) == repr(x)


SCALARS = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(), st.sampled_from(list(DTYPES.values())), st.just(TileType(F32, (4,))))


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(["a", "step", "dtype", "x.y"]), st.recursive(SCALARS, lambda t: st.lists(t, max_size=3).map(tuple), max_leaves=6)))
def test_attributes_round_trip(attrs: dict[str, object]) -> None:
    kernel = kernel_of(Op("barrier", attrs=tuple(attrs.items())), attrs=tuple(attrs.items()))
    read = parse(show(kernel))
    assert repr(read.attrs) == repr(kernel.attrs) == repr(read.body.ops[0].attrs)


LAYOUTS = st.builds(Layout, st.none() | st.just((0, -4)), st.none() | st.just((3, 4, 3)))
PLACES = st.builds(Place, st.sampled_from(list(Space)), LAYOUTS, st.none() | st.integers(0, 4096), st.integers(1, 4))
PACKINGS = st.none() | st.builds(Packing, st.just(DTYPES["u8"]), st.integers(0, 1), st.sampled_from(["adjacent", "split", (1, 0), (0, 2, 4, 6, 1, 3, 5, 7)]))
DIMS = st.sampled_from(["M", "K/8", "64", "2*(K + 1)", "N - 1", "unit", "aligned"])
TENSORS = st.builds(TensorType, st.sampled_from([F32, DTYPES["u4"]]), st.lists(DIMS).map(tuple), PACKINGS, st.sampled_from([(), (1,), (0, 1)]), st.booleans())


@given(TENSORS | st.sampled_from(list(DTYPES.values())).map(TileType), st.builds(TileType, st.just(F32), st.sampled_from([(), (2, 3)]), PLACES))
def test_types_round_trip(param: object, place: TileType) -> None:
    kernel = kernel_of(Op("alloc", results=(Value("p", place),)), params=(Value("x", param),))      # type: ignore[arg-type]
    read = parse(show(kernel))
    assert (read.params[0].type, read.body.ops[0].result.type) == (param, place)


def test_names_are_unique_and_stay() -> None:
    t = TileType(F32)
    values = [Value(name, t) for name in ("x", "x", "x.1", "x.7.2", "y z", "", "dequantise.q")]
    ops = [Op("copy", (Const(1.0, F32),), results=(v,)) for v in values]
    text = show(kernel_of(*ops))
    assert [line.split()[0] for line in text.splitlines()[1:-2]] == ["%x", "%x.1", "%x.2", "%x.3", "%y_z", "%v", "%dequantise.q"]
    assert show(parse(text)) == text


def test_literals() -> None:
    cases = {"3": Const(3, INDEX), "3:i32": Const(3, DTYPES["i32"]), "1.0": Const(1, F32), "nan:f64": Const(math.nan, F64), "-inf": Const(-math.inf, F32),
             "true": Const(True, BOOL), "1e-40": Const(1e-40, F32), "18446744073709551615:u64": Const(2**64 - 1, DTYPES["u64"])}
    assert [literal(c) for c in cases.values()] == list(cases)


def test_ops_know_their_line() -> None:
    kernel = parse("// a comment\nkernel @k() {\n  %p = grid(4) : index // another\n  yield()\n}", "k.ir")
    assert [str(op.loc) for op in walk(kernel.body)] == ["k.ir:3:8", "k.ir:4:3"]
    assert show(replace(kernel, loc=None)) == "kernel @k() {\n  %p = grid(4) : index\n  yield()\n}\n"


ERRORS = [
    ("", "expected 'kernel', found the end of the text", "<ir>:1:1"),
    ("kernel k", "expected a @name, found 'k'", "<ir>:1:8"),
    ("kernel @k(%a: f32 { }", "expected ')', ',' or ';', found '{'", "<ir>:1:19"),
    ("kernel @k() {\n  yield(,)\n}", "expected ')', 'span', a %name, a bool or a number, found ','", "<ir>:2:9"),
    ("kernel @k() {\n  yield(#)\n}", "expected ')', 'span', a %name, a bool or a number, found '#'", "<ir>:2:9"),
    ("kernel @k() {\n  yield()", "expected ':', '[', '{', '}', a %name or a name, found the end of the text", "<ir>:2:10"),
    ("kernel @k() { yield() } x", "expected nothing more, found 'x'", "<ir>:1:25"),
    ("kernel @k(%a: f31) { }", "f31 is not a dtype", "<ir>:1:15"),
    ("kernel @k(%a: tile<f32, 4, cellar>) { }", "cellar is not a space", "<ir>:1:28"),
    ("kernel @k(%a: tile<f32, 4.5>) { }", "expected an integer, found 4.5", "<ir>:1:25"),
    ("kernel @k() { yield(%a) }", "%a is not defined here", "<ir>:1:21"),
    ("kernel @k(%a: f32, %a: f32) { }", "%a is bound twice", "<ir>:1:20"),
    ("kernel @k() { %a, %b = grid(1, 2) : index }", "grid: 2 results, 1 types given", "<ir>:1:24"),
    ("kernel @k() { %a = load(span(0, 1.5)) : f32 }", "expected an extent, found 1.5", "<ir>:1:33"),
    ("kernel @k() { yield(1.5:i32) }", "expected an integer, found 1.5", "<ir>:1:21"),
]


@pytest.mark.parametrize(("text", "message", "place"), ERRORS, ids=[m for _, m, _ in ERRORS])
def test_errors(text: str, message: str, place: str) -> None:
    with pytest.raises(DslError) as caught:
        parse(text)
    assert (caught.value.message, str(caught.value.loc)) == (message, place)


def test_an_error_is_drawn() -> None:
    with pytest.raises(DslError) as caught:
        parse("kernel @k() {\n  %p = grid(4) : idx\n}", "k.ir")
    assert str(caught.value).startswith("idx is not a dtype\n  at k.ir:2:18\n    %p = grid(4) : idx\n                   ^^^\n  hint: one of bool u1")
