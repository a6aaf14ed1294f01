"""Layouts as functions: spreads, fragments of matrix units as their manuals give them, swizzles, banks; and their pictures."""
from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from dslc import cli
from dslc.backends.common.emulation import Launcher
from dslc.backends.common.gpu.drawing import HUES, SHADES, TEXT, _rgb, draw
from dslc.backends.common.gpu.layouts import (
    Pattern,
    addresses,
    by_banks,
    cover,
    held,
    indices,
    memory_cover,
    shared_accesses,
    vector_of_memory,
    vector_of_spread,
)
from dslc.backends.common.gpu.products import Grid, plain_spread, swizzled
from dslc.backends.common.gpu.spread import Digit, Spread, blocked
from dslc.backends.cuda import banks as cuda_banks
from dslc.backends.cuda.lower import mma_spread
from dslc.backends.hip import banks as hip_banks
from dslc.backends.hip.lower import mfma_spread
from dslc.errors import DslError
from dslc.ir import Value, walk
from dslc.kernels.attention import attention
from dslc.kernels.gemm import gemm
from dslc.kernels.rows import softmax
from dslc.types import DTYPES, Layout, Place, Space, TileType
from hypothesis import given, settings
from hypothesis import strategies as st

GEMM = {"T": "bf16", "U": "f32", "BM": 64, "BN": 64, "BK": 32}
ATTENTION = {"T": "bf16", "D": 64, "DV": 64, "BM": 128, "BN": 64}
BRIEF = settings(deadline=None, max_examples=50)          # two cores may be shared
shapes = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)
workers = st.sampled_from([32, 64, 128, 256])


@st.composite
def spreads(draw):
    """(spread, shape of the tile): blocked ones with axes in any order, and the grids of products."""
    if draw(st.integers(0, 3)) == 0:
        down, across, high, wide = (draw(st.sampled_from([1, 2])) for _ in range(4))
        n = 32 * down * across * draw(st.sampled_from([1, 2]))
        return mma_spread(Grid(down, across, high, wide), n), (16 * down * high, 8 * across * wide)
    shape = draw(shapes)
    serial = {a for a in range(len(shape)) if draw(st.integers(0, 3)) == 0}
    order = draw(st.permutations(range(len(shape))))
    made = blocked(shape, draw(workers), draw(st.sampled_from([1, 2, 4, 8])), serial)
    return made.permuted(order), tuple(shape[a] for a in order)


def points(draw, shape):
    return tuple(draw(st.integers(0, n - 1)) for n in shape)


# ---------------------------------------------------------------- spreads
digits = st.builds(Digit, st.integers(2, 9), st.booleans(), st.sampled_from([1, 2, 4, 8, 48]))


@BRIEF
@given(st.lists(st.lists(digits, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple), workers)
def test_text_and_back(axes, n):
    made = Spread(axes, n)
    assert Spread.parse(str(made)) == made and str(Spread.parse(str(made))) == str(made)


@BRIEF
@given(shapes, workers, st.sampled_from([1, 2, 4, 8]), st.data())
def test_blocked_is_bijective(shape, n, vector, data):
    serial = {a for a in range(len(shape)) if data.draw(st.booleans())}
    made = blocked(shape, n, vector, serial)
    found = cover(made, shape)
    assert found.bijective and all(have >= want for have, want in zip(made.shape, shape, strict=True))
    assert found.elements + found.padding == np.prod(made.shape) and (found.elements + found.padding) * found.copies == n * made.slots
    assert all(not made.worker_digits(a) for a in serial)
    whole = shape[-1] % vector == 0
    assert not whole or vector_of_spread(made, shape) % vector == 0


@BRIEF
@given(spreads())
def test_the_function_and_its_inverse(case):
    made, shape = case
    worker, slot = held(made, shape)
    for index in [tuple(0 for _ in shape), tuple(n - 1 for n in shape), tuple(n // 2 for n in shape)]:
        assert (worker[index], slot[index]) == made.owner(index)
    here = indices(made)
    assert all(i.shape == (made.slots, made.workers) for i in here)
    exists = np.logical_and.reduce([i < n for i, n in zip(here, shape, strict=True)])
    first = np.broadcast_to(np.arange(made.workers) & ~made.replica_mask, exists.shape)
    at = tuple(i[exists] for i in here)
    assert (worker[at] == first[exists]).all()
    assert np.unique(np.stack([*at, slot[at]]), axis=1).shape[1] == np.prod(shape), "every element turns up"


@BRIEF
@given(spreads(), st.data())
def test_keep_drop_and_permuted_agree_with_owner(case, data):
    made, shape = case
    axes = [a for a in range(len(shape)) if data.draw(st.booleans())]
    kept, seen = made.keep(axes), {}
    for _ in range(6):
        point = points(data.draw, shape)
        alone = tuple(i if a in axes else 0 for a, i in enumerate(point))
        (worker, slot), (before, old) = kept.owner(alone), made.owner(alone)
        assert worker == before and 0 <= slot < kept.slots
        assert seen.setdefault(old, slot) == slot and len(set(seen.values())) == len(seen), "slots close up, and stay apart"
    assert [s for _, s in sorted(seen.items())] == sorted(seen.values()), "in the same order"
    gone = data.draw(st.integers(0, len(shape) - 1))
    point = points(data.draw, shape)
    rest = tuple(i for a, i in enumerate(point) if a != gone)
    assert made.drop(gone).owner(rest) == made.keep(set(range(len(shape))) - {gone}).owner(tuple(0 if a == gone else i for a, i in enumerate(point)))
    order = data.draw(st.permutations([*range(len(shape)), None]))
    turned = made.permuted(order)
    assert turned.owner(tuple(0 if a is None else point[a] for a in order)) == made.owner(point)


@BRIEF
@given(spreads())
def test_replicas_hold_the_same(case):
    made, _ = case
    for axis in indices(made.keep([0])):
        mask = made.keep([0]).replica_mask
        assert (axis == axis[:, np.arange(made.workers) & ~mask]).all()
    here, firsts = np.stack(indices(made)), [w for w in range(made.workers) if not w & made.replica_mask]
    assert len({here[:, :, w].tobytes() for w in range(made.workers)}) == len(firsts), "those that differ elsewhere hold something else"


@BRIEF
@given(st.integers(1, 100), st.integers(1, 100), workers)
def test_products_without_a_matrix_unit_are_bijective(m, n, threads):
    made, (high, wide, row_gap, column_gap) = plain_spread(m, n, threads)
    assert cover(made, (m, n)).bijective and made.slots == high * wide
    rows, columns = indices(made)
    assert (rows == rows[0] + (np.arange(made.slots) // wide * row_gap)[:, None]).all()
    assert (columns == columns[0] + (np.arange(made.slots) % wide * column_gap)[:, None]).all()


def test_defects_are_told_apart():
    twice = Spread(((Digit(4, True, 1),), (Digit(4, True, 2),)), 32)
    assert not cover(twice, (4, 4)).bijective and cover(twice, (4, 4)).clashes == 6 and not cover(twice, (4, 4)).outside
    short = cover(blocked((8,), 32), (40,))
    assert short.outside == 32 and not short.clashes and not short.bijective
    beyond = cover(Spread(((Digit(64, True, 1),),), 32), (64,))
    assert beyond.outside == 32
    assert cover(blocked((5,), 32), (5,)).padding == 3 and cover(blocked((5,), 32), (5,)).copies == 4


# ---------------------------------------------------------------- fragments, as the manuals say
grids = st.builds(Grid, *[st.sampled_from([1, 2, 4])] * 4)


@BRIEF
@given(grids)
def test_sums_of_mma_sync(grid):
    """PTX ISA, m16n8k16, accumulator: groupID = lane >> 2; row = groupID for c0 and c1, groupID + 8 for c2 and c3; col = lane % 4 * 2 + (i & 1)."""
    n = 32 * grid.down * grid.across
    rows, columns = indices(mma_spread(grid, n))
    for worker in range(0, n, 7):
        warp, lane = divmod(worker, 32)
        for slot in range(grid.high * grid.wide * 4):
            tile, i = divmod(slot, 4)
            row = (warp // grid.across * grid.high + tile // grid.wide) * 16 + (lane >> 2) + (8 if i >= 2 else 0)
            column = (warp % grid.across * grid.wide + tile % grid.wide) * 8 + (lane % 4) * 2 + (i & 1)
            assert (rows[slot, worker], columns[slot, worker]) == (row, column)


def test_a_sum_is_the_left_fragment_of_the_next_product():
    """PTX ISA, m16n8k16, A: row = groupID for a0 a1 a4 a5, groupID + 8 for the others; col = lane % 4 * 2 + (i & 1), and 8 more from a4 on."""
    rows, columns = indices(mma_spread(Grid(4, 1, 2, 8), 128))
    for lane in range(32):
        for step in range(4):
            for i in range(8):
                slot = (0 * 8 + 2 * step) * 4 + i
                row = (lane >> 2) + (0 if i in (0, 1, 4, 5) else 8)
                assert (rows[slot, lane], columns[slot, lane]) == (row, step * 16 + (lane % 4) * 2 + (i & 1) + (8 if i >= 4 else 0))


@BRIEF
@given(grids)
def test_sums_of_mfma(grid):
    """16 x 16: row 4 * (lane / 16) + register, column lane % 16 (AMD matrix instruction calculator, CDNA3), of the transposed sum."""
    n = 64 * grid.down * grid.across
    rows, columns = indices(mfma_spread(grid, n, 64))
    for worker in range(0, n, 11):
        wave, lane = divmod(worker, 64)
        for slot in range(grid.high * grid.wide * 4):
            tile, register = divmod(slot, 4)
            row = (wave // grid.across * grid.high + tile // grid.wide) * 16 + lane % 16
            column = (wave % grid.across * grid.wide + tile % grid.wide) * 16 + 4 * (lane // 16) + register
            assert (rows[slot, worker], columns[slot, worker]) == (row, column)


# ---------------------------------------------------------------- memory
def shared(dtype, *shape, **place):
    return TileType(DTYPES[dtype], shape, Place(Space.SHARED, Layout(place.get("strides"), place.get("swizzle")), place.get("offset", 0)))


@pytest.mark.parametrize("row", [32, 64, 128, 256])
@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_swizzled_tiles_have_no_conflicts_under_ldmatrix(dtype, row):
    plain = shared(dtype, 64, row // 2)
    place = swizzled(Value("a", plain))
    tile, model = shared(dtype, 64, row // 2, swizzle=place.layout.swizzle), cuda_banks.bank_model("sm_80")
    assert place.layout.swizzle is not None and memory_cover(tile).bijective and memory_cover(tile).padding == 0
    assert vector_of_memory(tile) == vector_of_memory(plain) == 8, "chunks of 16 bytes stay whole"
    worst = 0
    for first in range(0, 64, 8):                            # one matrix: eight rows of 16 bytes, one phase
        for column in range(0, row // 2, 8):
            rows = np.arange(first, first + 8)
            index = [rows, np.full(8, column)]
            assert model(False, addresses(tile, index).tolist(), 16) == (1, 1)
            worst = max(worst, model(False, addresses(plain, index).tolist(), 16)[1])
    assert worst == min(8, row // 16), "without it, rows that start in the same banks wait for each other"


def test_vectors_in_memory():
    assert vector_of_memory(shared("f16", 16, 64)) == 8 and vector_of_memory(shared("f32", 16, 64)) == 4 and vector_of_memory(shared("u8", 3, 24)) == 8
    assert vector_of_memory(shared("f16", 16, 64, offset=8)) == 4, "the address counts"
    assert vector_of_memory(shared("f16", 16, 64, strides=(66, 1))) == 2, "and so does every row's"
    assert vector_of_memory(shared("f16", 64, 16, strides=(1, 64))) == 1
    assert vector_of_memory(shared("f16", 16, 64, swizzle=(3, 1, 3))) == 2, "a swizzle moves chunks"
    assert vector_of_memory(shared("f16", 16, 6)) == 2


def test_places_in_memory():
    gaps = memory_cover(shared("f16", 4, 6, strides=(8, 1)))
    assert gaps.bijective and gaps.padding == 6
    repeated = memory_cover(shared("f16", 4, 6, strides=(0, 1)))
    assert not repeated.bijective and repeated.clashes == 18


def test_vectors_in_registers():
    assert vector_of_spread(mma_spread(Grid(2, 2, 4, 4), 128), (128, 64)) == 2
    assert vector_of_spread(mfma_spread(Grid(2, 2, 4, 4), 256, 64), (128, 128)) == 4
    assert vector_of_spread(mfma_spread(Grid(2, 2, 4, 4), 256, 64).permuted((1, 0)), (128, 128)) == 1
    assert vector_of_spread(blocked((4, 1024), 128, 4), (4, 1024)) == 4


# ---------------------------------------------------------------- banks
@pytest.mark.parametrize(("addresses_", "width", "cycles"), [
    ([4 * lane for lane in range(32)], 4, (1, 1)), ([128 * lane for lane in range(32)], 4, (1, 32)), ([64] * 32, 4, (1, 1)),
    ([2 * lane for lane in range(32)], 2, (1, 1)), ([8 * lane for lane in range(32)], 8, (2, 2)), ([16 * lane for lane in range(32)], 16, (4, 4)),
    ([128 * lane for lane in range(8)], 16, (1, 8)), ([132 * lane for lane in range(32)], 4, (1, 1)), ([None] * 31 + [4], 4, (1, 1)),
    ([8 * lane for lane in range(32)], 4, (1, 2)), ([16 * lane for lane in range(16)] + [None] * 16, 16, (2, 2))])
def test_banks_of_cuda(addresses_, width, cycles):
    assert cuda_banks.bank_model("sm_90a")(False, addresses_, width) == cycles


@pytest.mark.parametrize(("architecture", "width", "cycles"), [("gfx942", 16, 8), ("gfx950", 16, 4), ("gfx942", 4, 2), ("gfx90a", 8, 4), ("gfx942", 2, 2)])
def test_banks_of_hip(architecture, width, cycles):
    assert hip_banks.bank_model(architecture)(False, [max(width, 4) * lane for lane in range(64)], width) == (cycles, cycles)
    assert hip_banks.banks(architecture) == (64 if architecture == "gfx950" else 32)


@BRIEF
@given(st.lists(st.integers(0, 2000).map(lambda n: 16 * n), min_size=32, max_size=32), st.sampled_from([2, 4, 8, 16]))
def test_no_order_beats_the_ideal(at, width):
    for model in (cuda_banks.bank_model("sm_80"), hip_banks.bank_model("gfx1100")):
        ideal, actual = by_banks(Pattern(Value("a", shared("f16", 8, 8)), False, width, np.array([at, at])), model)
        assert 2 <= ideal <= actual


def test_accesses_of_a_product_have_no_conflicts():
    rows = cuda_banks.shared_accesses(gemm.ir("synchronise", target="cuda:sm_80", **GEMM))
    assert [(r.op.name, r.place.name, r.writes, r.bytes) for r in rows] == [
        ("load", "a_tile", True, 16), ("load", "b_tile", True, 16), ("dot", "a_tile", False, 16), ("dot", "b_tile", False, 16)]
    assert all(r.ideal == r.actual for r in rows)
    # 4 warps in a grid of 2 x 2 over 64 x 64: each reads 32 rows of a, 32 columns of b, 512 bytes an instruction.
    assert [r.instructions for r in rows] == [64 * 32 * 2 // 512] * 2 + [4 * 32 * 32 * 2 // 512] * 2
    assert all(r.line > 0 and r.spread for r in rows)


def test_accesses_of_attention_have_no_conflicts():
    rows = cuda_banks.shared_accesses(attention.ir("synchronise", target="cuda:sm_80", **ATTENTION))
    assert {r.place.name for r in rows} == {"qt", "k_tile", "transpose", "v_tile"} and all(r.ideal == r.actual for r in rows)


@pytest.mark.parametrize(("target", "settings_"), [
    ("cuda:sm_80", {}), ("cuda:sm_80", {"T": "f32"}), ("cuda:sm_89", {"T": "f8e4m3"}), ("hip:gfx942", {}), ("hip:gfx950", {}), ("hip:gfx1100", {})])
def test_cycles_are_those_that_the_emulator_counts(monkeypatch, target, settings_):
    """One program, one trip: ideal and actual cycles, summed over the kernel."""
    launched, call = [], Launcher.__call__
    monkeypatch.setattr(Launcher, "__call__", lambda self, *rest: (launched.append(self), call(self, *rest))[1])
    sizes = {**GEMM, **settings_}
    kinds = {"bf16": DTYPES["bf16"].numpy, "f32": np.float32, "f8e4m3": DTYPES["f8e4m3"].numpy}
    a, b = (np.ones(shape, np.float32).astype(kinds[sizes["T"]]) for shape in ((64, 32), (32, 64)))
    c = np.zeros((64, 64), np.float32)
    consts = {n: sizes[n] for n in ("BM", "BN", "BK")}
    gemm.emulate(a, b, c, target=target, **consts)
    assert (c == 32).all()
    counted = np.sum([row for row in launched[-1].statistics["banks"].values()], axis=0)
    module = cuda_banks if target.startswith("cuda") else hip_banks
    kernel = gemm.ir("synchronise", a, b, c, target=target, **consts)
    architecture = target.partition(":")[2]
    model, fragments = module.bank_model(architecture), module.fragments
    # The emulator takes writes for reads, which differ on gfx950 only, and does not count copies that no worker executes.
    rows = shared_accesses(kernel, lambda _writes, at, width: model(False, at, width), lambda op: fragments(op, architecture))
    rows = [r for r in rows if not r.op.attr("ahead")] if target != "hip:gfx942" else hip_banks.shared_accesses(kernel)   # there workers write what they load
    assert [sum(r.ideal for r in rows), sum(r.actual for r in rows)] == counted[:2].tolist()


# ---------------------------------------------------------------- pictures
def words(svg):
    return [e.text for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_spread_is_drawn():
    kernel = gemm.ir("synchronise", target="cuda:sm_80", **GEMM)
    picture = draw(kernel, "acc", 32)
    said = words(picture)
    assert picture == draw(kernel, "acc", 32) and picture.startswith("<svg ") and "viewBox" in picture
    made = next(op for op in kernel.body.ops if op.name == "alloc" and op.result.name == "acc")
    assert said[0] == "acc: f32 64 x 64 in gemm for sm_80" and said[1].startswith("gemm.py:") and "zeros" in said[1] and made.attr("spread") in said[2]
    cells = [t for t in said if re.fullmatch(r"\d+/\d+", t)]
    worker, slot = held(Spread.parse(made.attr("spread")), (64, 64))
    assert cells == [f"{w}/{s}" for w, s in zip(worker.ravel(), slot.ravel(), strict=True)]
    assert "axis 0 down, axis 1 across" in said and "warp 3" in said and "warp 4" not in said


def test_a_shared_place_is_drawn():
    kernel = gemm.ir("synchronise", target="cuda:sm_80", **GEMM)
    said = words(draw(kernel, "a_tile", 32))
    assert any(t.startswith("swizzle: bits 6 to 7") and t.endswith("bits 3 to 4") for t in said) and "banks 28 to 31" in said
    tile = next(op.result.tile for op in walk(kernel.body) if op.name == "alloc" and op.result.name == "a_tile")
    offsets = (addresses(tile, list(np.indices(tile.shape))) - tile.place.offset).ravel().astype(str).tolist()
    assert said[-64 * 32 - 64:-64] == offsets


def test_pictures_of_other_shapes():
    rows = attention.ir("synchronise", target="cuda:sm_80", **ATTENTION)
    said = words(draw(rows, "m", 32))
    assert any("each element in 4 workers, whose numbers differ in the bits of 0x3" in t for t in said) and "+31" in said and "96" in said
    turned = words(draw(rows, "transpose", 32))
    assert turned[0].startswith("transpose: bf16 64 x 64") and any("strides(1, 64)" in t for t in turned)
    kernel = softmax.ir("synchronise", target="hip:gfx942", T="f32", BM=4, BN=256)
    name = next(op.result.name for op in walk(kernel.body) if op.name == "alloc" and op.result.tile.shape == (4, 256))
    assert "the first 4 x 128 of 4 x 256 elements are drawn" in words(draw(kernel, name, 32))


def test_an_unknown_tile_is_told_the_nearest():
    kernel = gemm.ir("synchronise", target="cuda:sm_80", **GEMM)
    with pytest.raises(DslError, match="no tile 'a_tail'") as error:
        draw(kernel, "a_tail", 32)
    assert error.value.hint == "did you mean a_tile? tiles: acc, a_tile, b_tile"


def luminance(colour):
    """WCAG 2.1, relative luminance."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(w * (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4) for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def test_labels_can_be_read_on_every_colour():
    dark = luminance(TEXT)
    assert min((luminance(_rgb(h, s)) + 0.05) / (dark + 0.05) for h in range(len(HUES)) for s in range(SHADES)) >= 4.5


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx950"])
@pytest.mark.parametrize("tile", ["acc", "a_tile"])
def test_inspect_draws(capsys, tmp_path, target, tile):
    at = tmp_path / "x.svg"
    assert cli.main(["inspect", "gemm", "T=bf16", "BM=64", "BN=64", "BK=32", "--target", target, "--layout", tile, "-o", str(at)]) == 0
    assert words(at.read_text())[0].startswith(f"{tile}: ")
    assert cli.main(["inspect", "gemm", "T=bf16", "BM=64", "BN=64", "BK=32", "--target", target, "--layout", "acd"]) == 2
    assert "did you mean acc?" in capsys.readouterr().err
