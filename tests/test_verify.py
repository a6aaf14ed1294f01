"""Each broken kernel, and the exact message that it gets."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dslc.errors import DslError
from dslc.ir import Kernel, Op, Value
from dslc.text import parse
from dslc.types import F32, TileType
from dslc.verify import verify
from hypothesis import HealthCheck, given, settings
from strategies import Case, kernels

HEAD = """kernel @k(%x: tensor<f32, M, N>, %b: tensor<u8, M>, %s: f32, %q: bool; %M: index, %N: index) {
"""
START = """  %p = grid(%M) : index
  %t = full(1.0)[shape=(4, 8)] : tile<f32, 4, 8>
  %i = iota()[n=4] : tile<index, 4>
"""
PLACED = """  %p = grid(%M) : index
  %t = alloc() : tile<f32, 4, 8, register>
  %u = alloc() : tile<f32, 4, 8, register>
"""
END = """  yield()
}
"""


def lines(text: str) -> str:
    return "".join(f"  {line.strip()}\n" for line in text.strip().split("\n")) if text else ""


VALUE_FORM = [
    ("%r = frobnicate(%t) : f32", "frobnicate: this is not an op"),
    ("%r = add(%t) : tile<f32, 4, 8>", "add: expected 2 operands, got 1"),
    ("%r = concat()[axis=0] : tile<f32, 4>", "concat: nothing to join"),
    ("%r = dot(%t) : tile<f32, 4, 4>", "dot: expected 2 to 3 operands, got 1"),
    ("%r = add(%t, %i) : tile<f32, 4, 8>", "add: no common type for tile<f32, 4, 8> and tile<index, 4>"),
    ("%r = add(%t, 1) : tile<f32, 4, 8>", "add: no common type for tile<f32, 4, 8> and tile<index>"),
    ("%r = sqrt(%i) : tile<index, 4>", "sqrt: x must be an f32 or f64 tile, got tile<index, 4>"),
    ("%r = full(1.0:f16)[shape=(4,)] : tile<f16, 4>\n%r1 = add(%r, %r) : tile<f16, 4>", "add: x must be an integer, f32 or f64 tile, got tile<f16, 4>"),
    ("%r = add(%t, %t) : tile<f32, 4>", "add: %r must be tile<f32, 4, 8>, got tile<f32, 4>"),
    ("%r = add(%t, %t) : tile<f32, 4, 8, register>", "add: %r must not be a place"),
    ("%r, %r1 = add(%t, %t) : tile<f32, 4, 8>, f32", "add: 1 results expected, got 2"),
    ("add(%t, %t)", "add: 1 results expected, got 0"),
    ("%r = add(%t, %x) : tile<f32, 4, 8>", "add: y must be a tile, got tensor<f32, M, N>"),
    ("%r = add(%t, span(0, 4)) : tile<f32, 4, 8>", "add: y cannot be a span"),
    ("%r = sum(%t) : tile<f32, 4>", "sum: attribute axis is missing"),
    ("%r = sum(%t)[axis=2] : tile<f32, 4>", "sum: axis 2 is not an axis of a tile of rank 2"),
    ("%r = cast(%t)[dtype=i32] : tile<i32, 4, 8>", "cast: f32 to i32 needs round= one of ['away', 'down', 'rne', 'rtz', 'up']"),
    ("%r = shl(300:u8, 1:u8) : u8", "shl: 300:u8 does not fit u8"),
    ("%r = add(%t, %t) : tile<f32, 4, 8> { yield() }", "add: expected 0 bodies, got 1"),
    ("%r = load(%t, 0) : f32", "load: t must be a tensor, got tile<f32, 4, 8>"),
    ("%r = load(%x, %p) : f32", "load: %x has 2 dimensions, 1 coordinates given"),
    ("%r = load(%x, span(%p, 4), span(0, 8)) : tile<f32, 8, 4>", "load: %r must be tile<f32, 4, 8>, got tile<f32, 8, 4>"),
    ("%r = load(%x, %t, 0) : tile<f32, 4, 8>", "load: a coordinate must hold integers, got tile<f32, 4, 8>"),
    ("%r = load(%x, span(%i, 4), 0) : tile<f32, 4>", "load: a span starts and stops at integer scalars"),
    ("%r = load(%x, span(0, 4, 1.0), 0) : tile<f32, 4>", "load: a span starts and stops at integer scalars"),
    ("%r = load(%x, span(0, 0), 0) : tile<f32, 4>", "load: a span's extent must be positive, got 0"),
    ("%r = iota()[n=3] : tile<index, 3>\n%r1 = load(%x, %i, %r) : tile<f32, 4>", "load: index tiles of shapes (4,) and (3,) do not broadcast"),
    ('%r = load(%x, 0, 0)[pad="a"] : f32', "load: pad must be a number, got 'a'"),
    ("%r = load(%x, 0, 0)[inside=(2,)] : f32", "load: inside=(2,) does not list dimensions of %x"),
    ("store(%b, %t, span(0, 4))", "store: the tensor holds u8, got f32"),
    ("store(%x, %t, span(0, 4), span(0, 4))", "store: tile<f32, 4, 8> does not broadcast to (4, 4)"),
    ("atomic_add(%b, 1:u8, 0)", "atomic_add: not defined for u8"),
    ("%r = for(0, %M) : f32 { |%k: index| yield() }", "for: attribute step is missing"),
    ("for(0, %M)[step=0] { |%k: index| yield() }", "for: step must be a positive integer, got 0"),
    ("for(0, %M)[step=1] { yield() }", "for: the body's first parameter is the loop's index"),
    ("for(%t, %M)[step=1] { |%k: index| yield() }", "for: start must be an integer tile, got tile<f32, 4, 8>"),
    ("%r = for(0, %M, %t)[step=1] : tile<f32, 4, 8> { |%k: index, %c: f32| yield(%t) }", "for: the body takes (f32), expected (tile<f32, 4, 8>)"),
    ("%r = for(0, %M, %t)[step=1] : tile<f32, 4, 8> { |%k: index, %c: tile<f32, 4, 8>| yield(%k) }",
     "for: the body yields (index), expected (tile<f32, 4, 8>)"),
    ("%r = for(0, %M, %t)[step=1] : f32 { |%k: index, %c: tile<f32, 4, 8>| yield(%c) }", "for: %r must be tile<f32, 4, 8>, got f32"),
    ("for(0, %M)[step=1] { |%k: index| store(%x, 1.0, %k, 0) }", "for: a body must end in yield"),
    ("for(0, %M)[step=1] { |%k: index| yield() store(%x, 1.0, %k, 0) yield() }", "yield: only the last op of a body may be yield"),
    ("for(0, %M)[step=1] { |%k: index| %z = add(%k, 1) : index yield() }\n%r = add(%z, 1) : index", "add: %z is not visible here"),
    ("for(0, %M)[step=1] { |%k: index| %g = grid(1) : index yield() }", "grid: the grid stands at the top of the kernel"),
    ("%g = grid(1) : index", "grid: a kernel has one grid"),
    ("if(%t) { yield() } { yield() }", "if: c must be a bool tile, got tile<f32, 4, 8>"),
    ("if(%q) { yield() }", "if: expected 2 bodies, got 1"),
    ("%r = if(%q) : f32 { yield(1.0) } { yield(1) }", "if: the branches yield (f32) and (index)"),
    ("%r = if(%q) : f32 { |%z: f32| yield(1.0) } { yield(1.0) }", "if: a branch takes no parameters"),
    ("while() { yield(1.0) } { yield() }", "while: the body yields (f32), expected (bool)"),
    ("%r = map(%t)[dtypes=(f32,), shape=(4, 8)] : tile<f32, 4, 8> { |%e: f64| yield(1.0) }", "map: the body takes (f64), expected (f32)"),
    ("%r = map(%t)[dtypes=(f32,), shape=(4, 4)] : tile<f32, 4, 4> { |%e: f32| yield(%e) }", "map: tile<f32, 4, 8> does not broadcast to (4, 4)"),
    ("%r = map(%s)[dtypes=(f32,), shape=(4,)] : tile<f32, 4> { |%e: f32| yield(%e) }", "map: tile<f32> does not broadcast to (4,)"),
    ("%r = map()[dtypes=(f32,), shape=(4, 8)] : tile<f32, 4, 8> { yield(%t) }", "map: the body yields (tile<f32, 4, 8>), expected (f32)"),
    ("%r = map()[dtypes=(f32,), shape=(4,)] : tile<f32, 4> { %e = load(%x, 0, 0) : f32 yield(%e) }",
     "load: only elementwise ops may stand in the body of a map or reduction"),
    ("%r = map()[dtypes=(f32,), shape=(4,)] : tile<f32, 4> { %e = add(%t, 1.0) : tile<f32, 4, 8> yield(1.0) }",
     "add: in the body of a map or reduction only scalars are named"),
    ("%r = map()[dtypes=(index,), shape=(4,)] : tile<index, 4> { %e = coordinate()[axis=1] : index yield(%e) }", "coordinate: axis 1 is not an axis of rank 1"),
    ("%r = coordinate()[axis=0] : index", "coordinate: this stands in the body of a map or reduction only"),
    ("%r = sum(%t)[axis=0] : tile<f32, 8> { |%e: f32| yield(%e) }", "sum: with a body, attributes shape and dtype are needed"),
    ("%r = sum(%t)[axis=0, dtype=i8, shape=(4, 8)] : tile<i8, 8> { |%e: f32| yield(1:i8) }", "sum: i8 must be widened before it is added up"),
    ("%r = load(%b, 0) : u8\n%r1 = eq(%r, 0:u8) : bool\nassume(%r1)", "assume: the condition must depend on dimensions and scalar parameters only"),
]
PLACED_FORM = [
    ("%t <- add(%u, %u)", "add: %u is read but was never written"),
    ("%r = full(1.0)[shape=(4, 8)] : tile<f32, 4, 8>", "full: in the placed form a tile is written into a place, not bound to %r"),
    ("%t <- full(1.0)[shape=(4,)]", "full: %t must be tile<f32, 4>, got tile<f32, 4, 8, register>"),
    ("%s <- copy(1.0)", "copy: %s is not a place"),
    ("%x <- copy(1.0)", "copy: %x is a tensor"),
    ("%r = alloc() : tile<f32, 4>", "alloc: one place must be bound"),
    ("%r = view(%s) : tile<f32, 4, register>", "view: a place must be bound to elements of another place"),
    ("%r = view(%t) : tile<f64, 4, register>", "view: tile<f64, 4, register> is not a view of tile<f32, 4, 8, register>"),
    ("%r = view(%t)[start=8] : tile<f32, 25, register>", "view: tile<f32, 25, register> does not lie within tile<f32, 4, 8, register>"),
    ("%r = view(%t) : tile<f32, 8, register at(0)>", "view: the view's offset must be None, got 0"),
    ("%t <- full(1.0)[shape=(4, 8)]\n%r = for(0, 4, %t)[step=1] : tile<f32, 4, 8> { |%k: index, %c: tile<f32, 4, 8>| yield(%c) }",
     "for: loops of the placed form carry nothing"),
    ("%r = if(%q) : f32 { yield(1.0) } { yield(2.0) }", "if: branches of the placed form yield nothing"),
    ("if(%q) { %t <- full(1.0)[shape=(4, 8)] yield() } { %u <- copy(%t) yield() }", "copy: %t is read but was never written"),
    ("%r = alloc() : tile<f32, 4, 8, shared at(0)>\n%w = alloc() : tile<f32, 4, 8, shared at(64)>\n%r <- full(1.0)[shape=(4, 8)]\n"
     "%w <- full(2.0)[shape=(4, 8)]\n%t <- copy(%r)",
     "full: writing %w overwrites %r, which is still needed"),
    ("%r = alloc() : tile<f32, 4, shared at(0) slots(2)>\n%w = alloc() : tile<f32, 4, shared at(16)>\n%r <- full(1.0)[shape=(4,)]\n"
     "for(0, 4)[step=1] { |%k: index|\n%v = sum(%r)[axis=0] : f32\n%w <- full(%v)[shape=(4,)]\nyield() }",
     "full: writing %w overwrites %r, which is still needed"),
    ("%r = alloc() : tile<f32, 4, 8, shared at(0)>\n%w = alloc() : tile<f32, 8, 4, shared at(0)>\n%r <- full(1.0)[shape=(4, 8)]\n"
     "%w <- transpose(%r)[axes=(1, 0)]",
     "transpose: writing %w overwrites %r, which is still needed"),
]
WHOLE = [
    (HEAD + "%t = iota()[n=4] : tile<index, 4>\n%p = grid(%M) : index\n"
     "" + END, "iota: before grid only scalars are computed, from dimensions and scalar parameters"),
    (HEAD + "%t = load(%x, 0, 0) : f32\n%p = grid(%M) : index\n" + END, "load: before grid only scalars are computed, from dimensions and scalar parameters"),
    (HEAD + "store(%x, 1.0, 0, 0)\n%p = grid(%M) : index\n" + END, "store: before grid only scalars are computed, from dimensions and scalar parameters"),
    (HEAD + END, "the kernel has no grid"),
    (HEAD + "%p = grid(%s) : index\n" + END, "grid: extents must be an integer tile, got tile<f32>"),
    (HEAD + "%p = grid() : index\n" + END, "grid: at least one extent is needed"),
    (HEAD + "%p = grid(1) : index\n}", "a body must end in yield"),
    (HEAD + START + "yield(1.0)\n}", "yield: the kernel yields nothing"),
    ("kernel @k(%x: tile<f32, 4>) { %p = grid(1) : index yield() }", "parameter %x must be a tensor or a scalar, got tile<f32, 4>"),
    ("kernel @k(; %M: i32) { %p = grid(1) : index yield() }", "dimension %M must be index, got i32"),
    ("kernel @k(; %M: index) facts(M: 0) { %p = grid(1) : index yield() }", "fact M: 0 is not a divisor"),
]
CASES = [*((HEAD + START + lines(ops) + END, message) for ops, message in VALUE_FORM),
         *((HEAD + PLACED + lines(ops) + END, message) for ops, message in PLACED_FORM), *WHOLE]


@pytest.mark.parametrize(("text", "message"), CASES, ids=[message for _, message in CASES])
def test_message(text: str, message: str) -> None:
    with pytest.raises(DslError) as caught:
        verify(parse(text))
    assert caught.value.message == message


def test_the_caret_is_at_the_op() -> None:
    with pytest.raises(DslError) as caught:
        verify(parse(HEAD + START + "  %r = add(%t, %i) : tile<f32, 4, 8>\n" + END, "bad.ir"), after="fold")
    assert str(caught.value) == """after fold: add: no common type for tile<f32, 4, 8> and tile<index, 4>
  at bad.ir:5:8
    %r = add(%t, %i) : tile<f32, 4, 8>
         ^^^
  hint: cast one"""


def without_locs(kernel: Kernel) -> Kernel:
    return kernel.with_ops(replace(op, loc=None) for op in kernel.body.ops)


def test_an_op_without_a_source_is_drawn_in_the_text_of_the_kernel() -> None:
    kernel = without_locs(parse(HEAD + START + "%other = add(%t, %i) : tile<f32, 4, 8>\n" + END))
    with pytest.raises(DslError) as caught:
        verify(kernel, after="fuse")
    assert str(caught.value) == """after fuse: add: no common type for tile<f32, 4, 8> and tile<index, 4>
  at <k>:5:12
    %other = add(%t, %i) : tile<f32, 4, 8>
             ^^^
  hint: cast one"""


def test_what_the_text_cannot_say() -> None:
    kernel = parse(HEAD + START + END)
    grid, full, *rest = kernel.body.ops
    stranger = Value("stranger", TileType(F32))
    for ops, message in (((grid, Op("neg", (full.result,), results=full.results), full, *rest), "neg: %t is used before it is defined"),
                         ((grid, Op("neg", (stranger,), results=(Value("z", stranger.type),)), full, *rest), "neg: %stranger is used before it is defined"),
                         ((grid, full, full, *rest), "full: %t is bound twice"),
                         ((grid, Op("copy", (1.0,), into=(), results=()), full, *rest)[:0], "a body must end in yield")):
        with pytest.raises(DslError) as caught:
            verify(kernel.with_ops(ops))
        assert caught.value.message == message


@pytest.mark.parametrize("file", sorted((Path(__file__).parent / "ir").glob("*.ir")), ids=lambda p: p.stem)
def test_samples_are_valid(file: Path) -> None:
    verify(parse(file.read_text(), file.name))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(kernels())
def test_random_kernels_are_valid(case: Case) -> None:
    verify(case.kernel)
