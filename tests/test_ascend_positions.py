"""Comparisons of positions on the Ascend target: what `compare_offsets` makes of them is what 64-bit integers give, and the vector unit does it."""
from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from dslc.backends.ascend.compare_offsets import SMALL, compare_offsets
from dslc.interpret import interpret
from dslc.ir import Kernel, walk
from dslc.kernels.attention import attention
from dslc.text import parse
from dslc.types import INDEX, TileType
from dslc.verify import verify
from hypothesis import given, settings
from hypothesis import strategies as st
from test_properties_gpu import run_emulated

COMPARE = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne}
ROWS, COLUMNS = 5, 24
# Rows p[0] * scale + p[1] + iota and columns p[2] * scale - p[3] + 3 iota, or a scalar, as the first or the second operand.
TEXT = """kernel @positions(%p: tensor<i32, 4>, %out: tensor<i32, {rows}, {columns} unit(1)>) {{
  %i = grid(1) : index
{scalars}
  %a = iota()[n={rows}] : tile<index, {rows}>
  %a1 = add(%s0, %a) : tile<index, {rows}>
  %a2 = add(%a1, %c1) : tile<index, {rows}>
  %x = reshape(%a2)[shape=({rows}, 1)] : tile<index, {rows}, 1>
  %b = iota()[n={columns}] : tile<index, {columns}>
  %b1 = add(%b, %b) : tile<index, {columns}>
  %b2 = add(%b1, %b) : tile<index, {columns}>
  %b3 = sub(%s2, %c3) : index
  %b4 = {sign}(%b3, %b2) : tile<index, {columns}>
  %y = reshape(%b4)[shape=(1, {columns})] : tile<index, 1, {columns}>
  %met = {name}({first}, {second}) : tile<bool, {shape}>
  %half = cast(%met)[dtype=i32] : tile<i32, {shape}>
  %all = {spread} : tile<i32, {rows}, {columns}>
  store(%out, %all, span(0, {rows}), span(0, {columns}))
  yield()
}}
"""
SCALARS = "\n".join(f"  %p{n} = load(%p, {n}) : i32\n  %c{n} = cast(%p{n})[dtype=index] : index\n  %s{n} = mul(%c{n}, SCALE) : index" for n in range(4))
SIDES = {"both": ("%x", "%y", f"{ROWS}, {COLUMNS}", "copy(%half)"), "turned": ("%y", "%x", f"{ROWS}, {COLUMNS}", "copy(%half)"),
         "rows": ("%x", "%s3", f"{ROWS}, 1", f"broadcast(%half)[shape=({ROWS}, {COLUMNS})]"),
         "columns": ("%s1", "%y", f"1, {COLUMNS}", f"broadcast(%half)[shape=({ROWS}, {COLUMNS})]")}


def kernel_of(name: str, side: str, sign: str, scale: int) -> Kernel:
    first, second, shape, spread = SIDES[side]
    kernel = parse(TEXT.format(scalars=SCALARS.replace("SCALE", str(scale)), rows=ROWS, columns=COLUMNS, name=name, first=first, second=second, shape=shape,
                               sign=sign, spread=spread), "positions.ir")
    verify(kernel)
    return kernel


def wanted(name: str, side: str, sign: str, scale: int, p: list[int]) -> Any:
    """By numpy, in 64 bits."""
    x = (p[0] * scale + p[1] + np.arange(ROWS))[:, None]
    y = (p[2] * scale - p[3] + (1 if sign == "add" else -1) * 3 * np.arange(COLUMNS))[None, :]
    a, b = {"both": (x, y), "turned": (y, x), "rows": (x, p[3] * scale), "columns": (p[1] * scale, y)}[side]
    return np.broadcast_to(COMPARE[name](a, b), (ROWS, COLUMNS)).astype(np.int32)


def in_64_bits(kernel: Kernel) -> list[str]:
    """Ops that make or compare tiles of index elsewhere than from scalars."""
    return [op.name for op in walk(kernel.body) if op.name in COMPARE and any(v.tile.dtype is INDEX and v.tile.shape for v in op.uses())]


NUMBERS = st.one_of(st.integers(-100, 100), st.sampled_from([-(1 << 31), (1 << 31) - 1, -(1 << 24), 1 << 24]), st.integers(-(1 << 31), (1 << 31) - 1))


@st.composite
def cases(draw: Any) -> tuple[str, str, str, int, list[int]]:
    """A comparison, and offsets which are far apart or, as often, close enough for some elements to be met and others not."""
    name, side, sign = draw(st.sampled_from(sorted(COMPARE))), draw(st.sampled_from(sorted(SIDES))), draw(st.sampled_from(["add", "sub"]))
    scale = draw(st.sampled_from([1, 128, 1 << 20, 1 << 28]))
    p = [draw(NUMBERS) for _ in range(4)]
    if draw(st.booleans()):
        p[2] = p[0]
        p[1] = draw(st.integers(-80, 80))
        p[3] = {"rows": p[0], "columns": -p[1] if scale == 1 else p[3]}.get(side, draw(st.integers(-80, 80)))
    return name, side, sign, scale, p


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(cases())
def test_clamped_offsets_compare_as_64_bits_do(case: tuple[str, str, str, int, list[int]]) -> None:
    name, side, sign, scale, p = case
    kernel = compare_offsets(kernel_of(name, side, sign, scale))
    verify(kernel)
    assert not in_64_bits(kernel)
    out = np.zeros((ROWS, COLUMNS), np.int32)
    interpret(kernel, {"p": np.array(p, np.int32), "out": out}, {})
    assert np.array_equal(out, wanted(name, side, sign, scale, p))


@pytest.mark.parametrize("side", SIDES)
def test_emulated(side: str) -> None:
    """The same through all of the target, on the vector unit."""
    kernel = kernel_of("le", side, "add", 1 << 28)
    for p in ([7, 3, 7, -5], [(1 << 31) - 1, 3, -(1 << 31), 9], [-(1 << 31), 2, -(1 << 31), -(1 << 31)]):
        out = np.zeros((ROWS, COLUMNS), np.int32)
        run_emulated("ascend:910b", kernel, {"p": np.array(p, np.int32), "out": out}, {}, "late")
        assert np.array_equal(out, wanted("le", side, "add", 1 << 28, p))


def test_offsets_that_may_wrap_stay() -> None:
    """Scalars of which nothing is known but 64 bits: 2^31 * 2^33 does not fit, so its comparison is left to the scalar unit."""
    assert in_64_bits(compare_offsets(kernel_of("le", "both", "add", 1 << 33)))


def test_wide_tiles_stay() -> None:
    """f32 has no 2^24 + 1: tiles of more than SMALL are compared as integers."""
    text = TEXT.format(scalars=SCALARS.replace("SCALE", "1"), rows=ROWS, columns=COLUMNS, name="le", first="%x", second="%y", shape=f"{ROWS}, {COLUMNS}",
                       sign="add", spread="copy(%half)").replace("iota()[n=24]", "iota()[n=24] : tile<index, 24>\n  %b0 = mul(%b9, %b9)", 1)
    text = text.replace("%b = iota", "%b9 = iota").replace("mul(%b9, %b9)", f"mul(%b9, {SMALL})").replace("%b0 =", "%b =")
    kernel = parse(text, "positions.ir")
    verify(kernel)
    assert in_64_bits(compare_offsets(kernel))


@pytest.mark.parametrize("window", [0, 100])
def test_the_mask_of_attention_is_vector_work(window: int) -> None:
    """No tile of 64-bit integers is left: positions reach beyond i32, their differences as far as a tile goes do not."""
    kernel = attention.ir("legalise", target="ascend:910b", T="bf16", D=64, DV=64, causal=True, window=window)
    assert not [v for op in walk(kernel.body) for v in op.results if isinstance(v.type, TileType) and v.tile.shape and v.tile.dtype is INDEX]
