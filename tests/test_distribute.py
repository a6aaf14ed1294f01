"""Which spread each tile of a kernel has, which tiles are shared, and where elements change workers."""
from __future__ import annotations

import json

import numpy as np
import pytest
from dslc import const, tile, tile_kernel
from dslc.backends.common.gpu.distribute import EVERYONE, FACTOR
from dslc.backends.common.gpu.layouts import cover, memory_cover
from dslc.backends.common.gpu.products import Grid
from dslc.backends.common.gpu.spread import Spread
from dslc.backends.cuda.lower import mma_spread
from dslc.backends.hip.lower import mfma_spread
from dslc.ir import walk
from dslc.kernels.attention import attention
from dslc.kernels.gemm import gemm
from dslc.kernels.rows import layernorm, softmax
from dslc.runtime.cli import main
from dslc.runtime.ledger import ledger
from dslc.types import Space

TARGETS = ("cuda:sm_80", "hip:gfx942")
GEMM = {"T": "bf16", "U": "f32", "BM": 128, "BN": 128, "BK": 32}
ATTENTION = {"T": "bf16", "D": 64, "DV": 64, "BM": 128, "BN": 64}


@tile_kernel
def folded(x: "f32[N, N]", y: "f32[N, N]", *, B: const = 64):
    """y = x + x', block by block"""
    i, j = tile.grid(tile.cdiv(N, B), tile.cdiv(N, B))
    t = tile.load(x, ((i * B, B), (j * B, B)))
    tile.store(y, ((i * B, B), (j * B, B)), t + t.T)


@tile_kernel
def folded_product(a: "f16[M, K]", b: "f16[K, M]", y: "f32[M, M]", *, B: const = 64):
    """y = s + s' with s = a b, block by block"""
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(M, B))
    s = tile.dot(tile.load(a, ((i * B, B), (0, 64))), tile.load(b, ((0, 64), (j * B, B))))
    tile.store(y, ((i * B, B), (j * B, B)), s + s.T)


@tile_kernel
def scaled_products(a: "f16[M, K]", b: "f16[K, N]", c: "f16[N, K]", y: "f32[M, K]", *, B: const = 64):
    """y = (2 a b) c: the first product is a factor of the second"""
    i = tile.grid(tile.cdiv(M, B))
    p = tile.cast(tile.dot(tile.load(a, ((i * B, B), (0, 64))), tile.load(b, ((0, 64), (0, 64)))) * 2.0, tile.f16)
    tile.store(y, ((i * B, B), (0, 64)), tile.dot(tile.load(c, ((0, 64), (0, 64))), p))


def lowered(kernel, target, stage="synchronise", **sizes):
    return kernel.ir(stage, target=target, **sizes)


def allocs(kernel):
    return [op for op in walk(kernel.body) if op.name == "alloc" and op.result.tile.shape]


def spread_of(kernel):
    """Name -> the spread of each tile in registers; a name that returns keeps its spread."""
    found = {}
    for op in allocs(kernel):
        if op.attr("spread"):
            assert found.setdefault(op.result.name, op.attr("spread")) == op.attr("spread")
    return {name: Spread.parse(text) for name, text in found.items()}


def conversions(kernel):
    return [op for op in allocs(kernel) if op.attr("converts")]


# ---------------------------------------------------------------- products
@pytest.mark.parametrize("target", TARGETS)
def test_a_product_anchors_what_is_around_it(target):
    kernel = lowered(gemm, target, **GEMM)
    (dot,) = [op for op in walk(kernel.body) if op.name == "dot"]
    grid, workers = Grid(*dot.attr("grid")), kernel.attr("workers")
    made = mma_spread(grid, workers) if target.startswith("cuda") else mfma_spread(grid, workers, 64)
    assert spread_of(kernel) == {"acc": made} and dot.attr("over") == str(made)
    assert {op.result.name: op.result.tile.place.space for op in allocs(kernel)} == {
        "acc": Space.ACCUMULATOR, "a_tile": Space.SHARED, "b_tile": Space.SHARED}
    assert [op.attr("over") for op in walk(kernel.body) if op.name in ("full", "store")] == [str(made)] * 2
    assert not conversions(kernel)
    loads = [Spread.parse(op.attr("over")) for op in walk(kernel.body) if op.name == "load"]
    assert all(s.axes[-1][-1].extent in (4, 8) and not s.axes[-1][-1].worker for s in loads), "8 or 16 bytes at a time"


def test_rows_of_attention_are_slices_of_the_product():
    """With 8 warps of 16 rows nothing changes workers: row vectors, the weights, and both sums."""
    kernel = lowered(attention, "cuda:sm_80", **ATTENTION)
    made = mma_spread(Grid(8, 1, 1, 8), 256)
    found = spread_of(kernel)
    for op in allocs(kernel):
        if op.result.tile.place.space is not Space.SHARED:
            assert found[op.result.name] == (made if len(op.result.tile.shape) == 2 else made.drop(1)), op.result.name
    assert {"m", "l", "max", "sum", "acc", "dot", "cast"} <= found.keys()
    assert {op.result.name for op in allocs(kernel) if op.result.tile.place.space is Space.SHARED} == {"qt", "k_tile", "v_tile"}
    assert not conversions(kernel) and not ledger(kernel, {"B": 1, "SQ": 128, "SK": 64, "H": 1, "G": 1}).conversions
    assert made.drop(1).replica_mask == 3, "four lanes hold each row"


def test_weights_that_no_fragment_takes_go_through_shared_memory():
    """A sum of MFMA is the left operand of one of 16 bits only: other weights are written to LDS, and that is said, once for each of the peeled loops."""
    kernel = lowered(attention, "hip:gfx950", **{**ATTENTION, "T": "f32"})
    found = [op for op in conversions(kernel) if op.result.name == "online_softmax.p"]
    assert len(found) == 2
    assert not conversions(lowered(attention, "hip:gfx942", **ATTENTION))
    assert {op.attr("converts")[0] for op in found} == {str(spread_of(kernel)["dot"])}


def test_a_right_factor_is_always_shared():
    (op,) = conversions(lowered(scaled_products, "cuda:sm_80"))
    assert op.attr("converts")[1] == FACTOR and op.result.tile.place.layout.swizzle is not None


# ---------------------------------------------------------------- rows
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("kernel", "sizes"), [(softmax, {"T": "f32", "BM": 4, "BN": 1024}), (layernorm, {"T": "f32", "N": 1024, "BM": 4})])
def test_rows_stay_where_they_are(target, kernel, sizes):
    """Neighbours in one worker, rows across workers; what is reduced has the spread of its rows; nothing is shared but scratch."""
    kernel = lowered(kernel, target, **sizes)
    found = spread_of(kernel)
    whole = {s for s in found.values() if len(s.axes) == 2 and s.shape[0] == 4}
    assert len(whole) == 1, "one spread for all tiles of the rows' shape"
    (rows,) = whole
    assert rows.shape == (4, 1024) and rows.axes[1][-1].extent == 4 and not rows.axes[1][-1].worker
    assert {s for s in found.values() if s.shape == (4,)} == {rows.drop(1)}
    assert not conversions(kernel)


# ---------------------------------------------------------------- conversions
@pytest.mark.parametrize("target", TARGETS)
def test_a_tile_and_its_transpose_meet_once(target):
    kernel = lowered(folded, target)
    (op,) = conversions(kernel)
    made, used, line = op.attr("converts")
    assert op.result.name == "t" and op.result.tile.place.space is Space.SHARED
    assert Spread.parse(used) == Spread.parse(made).permuted((1, 0))
    assert line == op.loc.line + 1 if op.loc else line > 0


@pytest.mark.parametrize("target", TARGETS)
def test_a_sum_that_cannot_move_is_copied_once(target):
    kernel = lowered(folded_product, target)
    (op,) = conversions(kernel)
    made, used, _ = op.attr("converts")
    assert made == str(spread_of(kernel)["s"]) and Spread.parse(used) == Spread.parse(made).permuted((1, 0))
    copies = [o for o in walk(kernel.body) if o.name == "copy" and o.into == (op.result,)]
    assert len(copies) == 1 and copies[0].attr("over") == made


@pytest.mark.parametrize("target", TARGETS)
def test_conversions_move_the_right_elements(target):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 64)).astype(np.float32), np.zeros((64, 64), np.float32)
    folded.emulate(x, y, target=target)
    np.testing.assert_array_equal(y, x + x.T)
    a, b = (rng.integers(-4, 5, (64, 64)).astype(np.float16) for _ in range(2))
    folded_product.emulate(a, b, y, target=target)
    s = a.astype(np.float32) @ b.astype(np.float32)          # of small integers: exact
    np.testing.assert_array_equal(y, s + s.T)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stage", ["distribute", "synchronise"])
def test_every_op_says_how_its_operands_are_spread(target, stage):
    """What `distribute` promises: a place in registers is spread as each op that touches it needs."""
    for kernel, sizes in ((gemm, GEMM), (attention, {**ATTENTION, "causal": True}), (softmax, {"T": "bf16"}), (folded, {}), (folded_product, {})):
        kernel = lowered(kernel, target, stage, **sizes)
        for op in allocs(kernel):
            assert (op.attr("spread") is None) == (op.result.tile.place.space is Space.SHARED), op.result.name
            assert not op.attr("converts") or op.result.tile.place.space is Space.SHARED
            where, shape = op.attr("spread"), op.result.tile.shape
            assert (cover(Spread.parse(where), shape) if where else memory_cover(op.result.tile)).bijective, op.result.name
            made, used, line = op.attr("converts") or ("", "-", 1)
            assert made != used and line > 0 and (used in ("-", EVERYONE, FACTOR) or Spread.parse(used).workers == kernel.attr("workers"))


# ---------------------------------------------------------------- inspect
def test_inspect_prints_conversions(capsys):
    words = ["inspect", "attention", "T=f32", "D=64", "DV=64", "BM=128", "BN=64", "--target", "hip:gfx950"]
    assert main(words) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  conversion ")]
    lines = [line for line in lines if line[1] == "online_softmax.p,"]
    assert [line[1:4] for line in lines] == [["online_softmax.p,", "32768", "bytes"]] * 2
    assert main([*words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["conversions"][0]
    assert first["tile"] == "online_softmax.p" and first["bytes"] == 128 * 64 * 4 and first["line"] > 0
    assert main([{"hip:gfx950": "hip:gfx942", "T=f32": "T=bf16"}.get(w, w) for w in words]) == 0
    assert "  conversion " not in capsys.readouterr().out
