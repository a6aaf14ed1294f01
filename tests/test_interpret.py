"""The interpreter: ops against the executable specification, memory rules, orders of programs, places."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc.errors import DslError
from dslc.interpret import interpret
from dslc.ir import Kernel
from dslc.text import parse
from dslc.verify import verify
from eager import TILE_EAGER, run_eager
from hypothesis import HealthCheck, given, settings
from strategies import PURE, Case, kernels

IR = Path(__file__).parent / "ir"
needs_spec = pytest.mark.skipif(TILE_EAGER is None, reason="the executable specification is not at hand")
FAST = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def build(body: str, head: str = "") -> Kernel:
    kernel = parse(f"kernel @k({head}) {{\n{body}\n yield()\n}}")
    verify(kernel)
    return kernel


def run(kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int] | None = None, **how: Any) -> dict[str, Any]:
    interpret(kernel, arrays, dims or {}, **how)
    return arrays


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b) or np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True))


# ---------------------------------------------------------------- against the specification
@needs_spec
@FAST
@given(kernels(exact=True, without=("fma",)))
def test_random_kernels_mean_what_the_specification_says(case: Case) -> None:
    mine, its = case.fresh(), case.fresh()
    interpret(case.kernel, mine, case.dims)
    run_eager(case.kernel, its)
    for name in case.outputs:
        assert same(mine[name], its[name]), name


@needs_spec
@pytest.mark.parametrize("name", [n for n in PURE if n not in ("fma", "dot", "sigmoid", "erf")])
def test_every_op_means_what_the_specification_says(name: str) -> None:
    close = name in ("cos", "cumsum", "exp", "exp2", "log", "log2", "rsqrt", "segment_sum", "sin", "sum", "tanh")

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(kernels(exact=not close, only=(name,), steps=1))
    def check(case: Case) -> None:
        mine, its = case.fresh(), case.fresh()
        interpret(case.kernel, mine, case.dims)
        run_eager(case.kernel, its)
        for output in case.outputs:
            a, b = (x[output].astype(np.float64) for x in (mine, its))
            assert np.allclose(a, b, rtol=1e-5, atol=1e-5, equal_nan=True) if close else same(a, b)

    check()


@FAST
@given(kernels())
def test_the_order_of_programs_does_not_show(case: Case) -> None:
    forward, other = case.fresh(), case.fresh()
    interpret(case.kernel, forward, case.dims)
    interpret(case.kernel, other, case.dims, order="reverse")
    for name in case.outputs:
        assert same(forward[name], other[name]), name
    again = case.fresh()
    interpret(case.kernel, again, case.dims, order="shuffle", seed=3)
    for name in case.outputs:
        assert same(forward[name], again[name]), name


# ---------------------------------------------------------------- samples
@pytest.mark.parametrize("form", ["gemm", "gemm_placed"])
@pytest.mark.parametrize("order", ["forward", "reverse", "shuffle"])
def test_gemm(form: str, order: str) -> None:
    kernel, rng = parse((IR / f"{form}.ir").read_text()), np.random.default_rng(0)
    a, b, c = rng.random((6, 8), np.float32), rng.random((8, 7), np.float32), np.full((6, 7), np.nan, np.float32)
    run(kernel, {"a": a, "b": b, "c": c, "s": 2.0}, {"M": 6, "K": 8, "N": 7}, order=order)
    np.testing.assert_allclose(c, a @ b * 2 + (np.arange(6) % 4)[:, None], rtol=1e-6)


def test_assume_is_checked() -> None:
    kernel = parse((IR / "gemm.ir").read_text(), "gemm.ir")
    arrays = {"a": np.zeros((6, 9), np.float32), "b": np.zeros((9, 7), np.float32), "c": np.zeros((6, 7), np.float32), "s": 1.0}
    with pytest.raises(DslError) as caught:
        run(kernel, arrays, {"M": 6, "K": 9, "N": 7})
    assert (caught.value.message, str(caught.value.loc)) == ("assume: does not hold for these arguments", "gemm.ir:9:3")


def test_row_stats() -> None:
    """Carried scalars are places; a transposed view reads and writes the same elements."""
    x = np.random.default_rng(0).random((5, 8), np.float32)
    arrays = run(parse((IR / "row_stats.ir").read_text()), {"x": x, "y": np.zeros(5, np.float32), "z": np.zeros((4, 2), np.float32)}, {"N": 5})
    np.testing.assert_allclose(arrays["y"], (x * x).sum(1), rtol=1e-6)
    np.testing.assert_allclose(arrays["z"], x[-1].reshape(2, 4).T - (x * x).sum(1).max(), rtol=1e-6)


# ---------------------------------------------------------------- memory rules
def fails(body: str, head: str, arrays: dict[str, Any], dims: dict[str, int] | None = None) -> set[str]:
    """The messages in all orders of programs."""
    messages = set()
    for order in ("forward", "reverse", "shuffle"):
        copies = {k: v.copy() for k, v in arrays.items()}
        with pytest.raises(DslError) as caught:
            run(build(body, head), copies, dims, order=order)
        assert caught.value.loc is not None
        messages.add(caught.value.message)
    return messages


X = {"x": np.arange(4, dtype=np.float32)}


def test_two_writers() -> None:
    found = fails("%p = grid(2) : index store(%x, 1.0, 0)", "%x: tensor<f32, 4>", X)
    assert found == {"store: two programs of one launch write the same element of x"}


def test_reader_and_writer_in_either_order() -> None:
    body = """%p = grid(2) : index
    %c = eq(%p, 0) : bool
    if(%c) { store(%x, 1.0, 0) yield() } { %v = load(%x, 0) : f32 yield() }"""
    assert fails(body, "%x: tensor<f32, 4>", X) == {"load: x is read where another program of this launch writes",
                                                    "store: x is read where another program of this launch writes"}


def test_a_program_reads_what_it_wrote() -> None:
    body = "%p = grid(4) : index store(%x, 5.0, %p) %v = load(%x, %p) : f32 %w = add(%v, 1.0) : f32 store(%x, %w, %p)"
    assert run(build(body, "%x: tensor<f32, 4>"), {"x": X["x"].copy()})["x"].tolist() == [6.0] * 4


def test_one_store_names_an_element_twice() -> None:
    body = "%p = grid(1) : index %i = iota()[n=4] : tile<index, 4> %j = and(%i, 1) : tile<index, 4> store(%x, 1.0, %j)"
    assert fails(body, "%x: tensor<f32, 4>", X) == {"store: one store names an element of x twice"}


def test_atomics_share_elements_but_not_with_loads_and_stores() -> None:
    x, head = {"x": np.zeros(4, np.int32)}, "%x: tensor<i32, 4>"
    body = "%p = grid(3) : index %i = iota()[n=4] : tile<index, 4> %j = and(%i, 1) : tile<index, 4> atomic_add(%x, 1:i32, %j)"
    assert run(build(body, head), {"x": x["x"].copy()})["x"].tolist() == [6, 6, 0, 0]
    assert fails(body + " %v = load(%x, 0) : i32", head, x) == {"load: x is read where another program of this launch writes"}
    assert fails("%p = grid(1) : index %v = load(%x, 0) : i32 atomic_add(%x, 1:i32, 0)", head, x) == {
        "atomic_add: x is read where another program of this launch writes"}
    assert fails("%p = grid(1) : index atomic_max(%x, 1:i32, 0) store(%x, 1:i32, 0)", head, x) == {
        "store: two programs of one launch write the same element of x"}


def test_packed_stores_cover_whole_words() -> None:
    head, w = "%w: tensor<u4, 8 in u8 axis 0 adjacent>", {"w": np.zeros(4, np.uint8)}
    body = "%p = grid(1) : index %i = iota()[n=4] : tile<index, 4> %v = cast(%i)[dtype=u4] : tile<u4, 4>"
    assert run(build(f"{body} store(%w, %v, span(2, 4))", head), {"w": w["w"].copy()})["w"].tolist() == [0, 0x10, 0x32, 0]
    assert fails(f"{body} store(%w, %v, span(1, 4))", head, w) == {"store: w is packed; a store must cover whole words"}


def test_edges_pad_and_drop() -> None:
    body = """%p = grid(1) : index
    %v = load(%x, span(-2, 8, %n))[pad=9] : tile<f32, 8>
    store(%y, %v, span(0, 8))
    %i = iota()[n=4] : tile<index, 4>
    %c = ne(%i, 2) : tile<bool, 4>
    %j = where(%c, %i, -1) : tile<index, 4>
    store(%z, 1.0, %j)"""
    arrays = {**X, "y": np.zeros(8, np.float32), "z": np.zeros(3, np.float32)}
    run(build(body, "%x: tensor<f32, 4>, %y: tensor<f32, 8>, %z: tensor<f32, 3>; %n: index"), arrays, {"n": 3})
    assert arrays["y"].tolist() == [9, 9, 0, 1, 2, 9, 9, 9]
    assert arrays["z"].tolist() == [1, 1, 0]


def test_a_wrong_proof_is_caught() -> None:
    found = fails("%p = grid(3) : index %v = load(%x, span(%p, 3))[inside=(0,)] : tile<f32, 3>", "%x: tensor<f32, 4>", X)
    assert found == {"load: a coordinate is outside dimension 0 of x, proved to be inside"}


def test_arguments_are_checked() -> None:
    kernel = build("%p = grid(1) : index", "%x: tensor<f32, 4>, %y: tensor<f32, 4>")
    for arrays, message in (({}, "x is missing"), ({"x": [1.0]}, "x: expected an array of f32 of rank 1, got list"),
                            ({"x": np.zeros((2, 2))}, "x: expected an array of f32 of rank 1, got float64 of rank 2")):
        with pytest.raises(DslError) as caught:
            run(kernel, arrays)
        assert caught.value.message == message
    a = np.zeros(8, np.float32)
    with pytest.raises(DslError, match="y is written and overlaps x"):
        run(build("%p = grid(1) : index store(%y, 1.0, 0)", "%x: tensor<f32, 4>, %y: tensor<f32, 4>"), {"x": a[:4], "y": a[2:6]})


def test_narrow_floats_are_ml_dtypes() -> None:
    x = np.array([1.5, np.nan, 1000.0], ml_dtypes.bfloat16)
    y = np.zeros(3, ml_dtypes.float8_e4m3fn)
    run(build("%p = grid(1) : index %v = load(%x, span(0, 3)) : tile<bf16, 3> %w = cast(%v)[dtype=f8e4m3] : tile<f8e4m3, 3> store(%y, %w, span(0, 3))",
              "%x: tensor<bf16, 3>, %y: tensor<f8e4m3, 3>"), {"x": x, "y": y})
    assert np.array_equal(y.astype(np.float32), [1.5, np.nan, 448], equal_nan=True)


# ---------------------------------------------------------------- places
def unchecked(body: str, head: str) -> Kernel:
    return parse(f"kernel @k({head}) {{\n%p = grid(1) : index\n{body}\n yield()\n}}")


@pytest.mark.parametrize(("dtype", "poison"), [("f32", np.nan), ("i32", np.int32(-0x5A5A5A5B)), ("u8", 0xA5)])
def test_a_fresh_place_is_poisoned(dtype: str, poison: Any) -> None:
    kernel = unchecked(f"%t = alloc() : tile<{dtype}, 4, register> store(%y, %t, span(0, 4))", f"%y: tensor<{dtype}, 4>")
    y = np.zeros(4, {"f32": np.float32, "i32": np.int32, "u8": np.uint8}[dtype])
    run(kernel, {"y": y})
    assert np.array_equal(y, [poison] * 4, equal_nan=dtype == "f32")


def test_a_wrong_plan_shows() -> None:
    body = """%a = alloc() : tile<f32, 4, shared at(0)>
    %b = alloc() : tile<f32, 4, shared at({})>
    %a <- full(1.0)[shape=(4,)]
    %b <- full(2.0)[shape=(4,)]
    store(%y, %a, span(0, 4))"""
    for offset, expected in ((16, [1, 1, 1, 1]), (8, [1, 1, 2, 2]), (0, [2, 2, 2, 2])):
        kernel = unchecked(body.format(offset), "%y: tensor<f32, 4>")
        assert run(kernel, {"y": np.zeros(4, np.float32)})["y"].tolist() == expected
        if offset < 16:
            with pytest.raises(DslError, match="overwrites %a, which is still needed"):
                verify(kernel)


def test_views_alias_and_swizzles_stay_apart() -> None:
    body = """%a = alloc() : tile<f32, 4, 4, shared swizzle(2, 0, 2)>
    %b = alloc() : tile<f32, 4, 4, register strides(1, 5)>
    %a <- load(%x, span(0, 4), span(0, 4))
    %b <- copy(%a)
    %row = view(%b)[start=2] : tile<f32, 4, register strides(5)>
    %row <- full(7.0)[shape=(4,)]
    store(%y, %b, span(0, 4), span(0, 4))"""
    kernel = build("%p = grid(1) : index\n" + body, "%x: tensor<f32, 4, 4>, %y: tensor<f32, 4, 4>")
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    y = run(kernel, {"x": x, "y": np.zeros_like(x)})["y"]
    x[2] = 7
    assert np.array_equal(x, y)


def test_sub_byte_integers_stay_in_range() -> None:
    body = "%p = grid(1) : index %v = load(%x, span(0, 4)) : tile<u4, 4> %w = not(%v) : tile<u4, 4>"
    body += " %z = cast(%w)[dtype=i32] : tile<i32, 4> store(%y, %z, span(0, 4))"
    arrays = {"x": np.array([0x10, 0xF2], np.uint8), "y": np.zeros(4, np.int32)}
    run(build(body, "%x: tensor<u4, 4 in u8 axis 0 adjacent>, %y: tensor<i32, 4>"), arrays)
    assert arrays["y"].tolist() == [15, 14, 13, 0]
