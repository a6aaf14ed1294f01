"""Programs with roles on sm_90a: bulk copies into rings, products of warp groups; emulated for what they compute, compiled for what ptxas makes of them."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import dslc
import ml_dtypes
import numpy as np
import pytest
from dslc import const, tile, tile_function, tile_kernel
from dslc.backends.cuda.roles import rings_of
from dslc.backends.cuda.toolchain import find_nvcc, host_compiler
from dslc.backends.cuda.warp_groups import sum_spread
from dslc.errors import DslError
from dslc.ir import Kernel, walk
from dslc.kernels.attention import attention, seen
from dslc.kernels.gemm import gemm, gemm_batched
from specification import spec_modules

TARGET = "cuda:sm_90a"
BF16, F16, F32 = ml_dtypes.bfloat16, np.float16, np.float32


# ---------------------------------------------------------------- data
def rows_of(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    """Normal numbers whose rows start at multiples of 16 bytes, as a tensor map needs."""
    whole = np.random.default_rng(seed).standard_normal((*(max(n, 1) for n in shape[:-1]), -(-shape[-1] // 8) * 8 or 8)).astype(dtype)
    return whole[tuple(slice(n) for n in shape)]


def turned(x: Any) -> Any:
    """The same values, the first dimension contiguous."""
    other = rows_of(x.shape[::-1], x.dtype)
    other[...] = x.T
    return other.T


def ways(kernel: Kernel) -> list[str]:
    return [op.attr("way") for op in walk(kernel.body) if op.name == "dot"]


def lowered(kernel: Any, *args: Any, **named: Any) -> Kernel:
    return kernel.ir("synchronise", *args, target=TARGET, **named)


def run_gemm(m: int, n: int, k: int, dtype: Any = BF16, out: Any = BF16, *, a_turned: bool = False, b_turned: bool = False, way: str = "wgmma",
             mode: str = "late", kernel: Any = gemm, **named: Any) -> Kernel:
    """Emulates and compares; the lowered kernel."""
    a, b = rows_of((m, k), dtype), rows_of((k, n), dtype, 1)
    a, b = turned(a) if a_turned else a, turned(b) if b_turned else b
    c = rows_of((m, n), out)
    c[...] = np.nan
    sizes = {"BM": 128, "BN": 128, "BK": 64, **named}
    kernel.emulate(a, b, c, target=TARGET, mode=mode, **sizes)
    a, b = a.astype(np.float64), b.astype(np.float64)
    room = (k + 8) * 2.0 ** -23 * (np.abs(a) @ np.abs(b)) + (np.abs(a @ b) * float(ml_dtypes.finfo(out).eps) if out is not F32 else 0)
    assert (np.abs(c.astype(np.float64) - a @ b) <= room).all()
    placed = lowered(kernel, rows_of((m, k), dtype) if not a_turned else turned(rows_of((m, k), dtype)),
                     rows_of((k, n), dtype) if not b_turned else turned(rows_of((k, n), dtype)), c, **sizes)
    assert set(ways(placed)) == {way}
    return placed


# ---------------------------------------------------------------- gemm, emulated
@pytest.mark.parametrize("mode", ["late", "early", "random:3"])
def test_gemm_in_every_mode(mode: str) -> None:
    run_gemm(300, 264, 200, mode=mode)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (129, 127, 65), (384, 640, 72), (64, 128, 0), (128, 128, 64)])
def test_gemm_of_any_size(m: int, n: int, k: int) -> None:
    """One program, more programs than blocks, edges in all dimensions, nothing to add up."""
    run_gemm(m, n, k)


@pytest.mark.parametrize(("a_turned", "b_turned"), [(True, False), (False, True), (True, True)])
def test_gemm_of_transposed_operands(a_turned: bool, b_turned: bool) -> None:
    """All are multiplied as they lie: the matrix unit takes either order of 16-bit factors."""
    run_gemm(200, 136, 72, F16, F32, a_turned=a_turned, b_turned=b_turned)


@pytest.mark.parametrize("sizes", [(128, 256, 64), (256, 128, 64), (64, 128, 64), (128, 96, 32), (128, 48, 16), (192, 64, 128)])
def test_gemm_in_tiles_of_many_shapes(sizes: tuple[int, int, int]) -> None:
    """Slabs of 64, 32 and 16 columns; one and two warp groups, one to three times 64 rows in each."""
    placed = run_gemm(200, 136, 150, **dict(zip(("BM", "BN", "BK"), sizes, strict=True)))
    widths = {op.attr("slab") for op in walk(placed.body) if op.attr("slab")}
    assert widths == {next(w for w in (64, 32, 16) if n % w == 0) for n in sizes[1:]}


def test_gemm_nt() -> None:
    with spec_modules(dslc.tile_kernel) as modules:
        nt = modules["gemm"].gemm_nt if isinstance(modules, dict) else next(m.gemm_nt for m in modules if hasattr(m, "gemm_nt"))
        a, b, c = rows_of((200, 72), BF16), rows_of((136, 72), BF16, 1), rows_of((200, 136), F32)
        nt.emulate(a, b, c, target=TARGET)
        assert np.abs(c - a.astype(F32) @ b.astype(F32).T).max() < 1e-4
        assert ways(lowered(nt, a, b, c)) == ["wgmma"]


def test_batches_that_share_a_matrix() -> None:
    """A stride of 0."""
    a, b, c = rows_of((3, 100, 72), BF16), np.broadcast_to(rows_of((72, 136), BF16, 1), (3, 72, 136)), rows_of((3, 100, 136), F32)
    gemm_batched.emulate(a, b, c, target=TARGET, BM=64, BN=128, BK=64)
    assert np.abs(c - a.astype(F32) @ b.astype(F32)).max() < 1e-4


# ---------------------------------------------------------------- what the schedule says
@pytest.mark.parametrize("grid", [{"order": "rows"}, {"order": "columns"}, {"order": "grouped", "rows": 2}, {"persistent": False}, {"programs": 1}])
def test_order_of_programs(grid: dict[str, Any]) -> None:
    run_gemm(400, 260, 64, schedule={"grid": grid})


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_stages(stages: int) -> None:
    placed = run_gemm(200, 136, 300, schedule={"loops": {"k": {"stages": stages}}})
    assert [ring.slots for ring in rings_of(placed)] == [stages]
    assert any(op.attr("flight") for op in walk(placed.body)) == (stages > 1)


def test_consumers_and_producers() -> None:
    assert run_gemm(200, 136, 72, schedule={"workers": {"consumers": 1}}).attr("workers") == 128
    assert run_gemm(300, 136, 72, BM=256, schedule={"workers": {"consumers": 4}}).attr("threads") == 640
    assert run_gemm(200, 136, 72, way="mma", schedule={"workers": {"producers": 0}}).attr("rings") is None


def test_as_many_slots_as_fit() -> None:
    """A slot of 128 x 256 x 64 is 48 KiB, the sum on its way out 64 KiB of 227."""
    x = rows_of((256, 256), BF16)
    placed = lowered(gemm, x, x, x.copy(), BM=128, BN=256, BK=64)
    assert [(r.slots, r.bytes) for r in rings_of(placed)] == [(3, 49152)]


# ---------------------------------------------------------------- attention, emulated
@pytest.mark.parametrize(("d", "causal", "dtype", "mode"), [(64, True, BF16, "late"), (64, False, F16, "random:1"), (96, True, BF16, "early"),
                                                            (128, False, BF16, "late"), (128, True, F16, "late")])
def test_attention(d: int, causal: bool, dtype: Any, mode: str) -> None:
    sq, sk, h = 200, 300, 2
    q, k, v = (rows_of((1, s, g, d), dtype, n) for n, (s, g) in enumerate(((sq, h), (sk, 1), (sk, 1))))
    o, lse = np.full((1, sq, h, d), np.nan, dtype), np.zeros((1, h, sq), F32)
    sizes: dict[str, Any] = {"BM": 128, "BN": 64, "causal": causal}
    attention.emulate(q, k, v, o, lse, d ** -0.5, target=TARGET, mode=mode, **sizes)
    fq, fk, fv = (np.moveaxis(x.astype(np.float64), 1, 2) for x in (q, k, v))
    s = np.where(seen(sq, sk, causal, 0), fq @ np.swapaxes(fk, 2, 3) * d ** -0.5, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    want = np.moveaxis(p @ fv / p.sum(-1, keepdims=True), 1, 2)
    assert np.abs(o.astype(np.float64) - want).max() < (0.03 if dtype is BF16 else 0.004)
    placed = lowered(attention, q, k, v, o, lse, d ** -0.5, **sizes)
    assert set(ways(placed)) == {"wgmma"}
    assert sorted(r.name for r in rings_of(placed)) == ["k_tile_ring", "qt_ring", "v_tile_ring"], "both loops fill the same rings"


# ---------------------------------------------------------------- other kernels
@tile_kernel
def columns_summed(a: "T[M, K]", b: "T[K, N]", sums: "f32[G, N]", *, BM: const = 128, BN: const = 64, BK: const = 64):
    """sums[i] = column sums of the i-th BM rows of a @ b"""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN))), acc)
    tile.store(sums, (i, (j * BN, BN)), tile.sum(acc, 0))


def test_workers_meet_without_the_loading_thread() -> None:
    """A sum over rows crosses warps."""
    a, b, sums = rows_of((300, 72), BF16), rows_of((72, 136), BF16, 1), np.zeros((3, 136), F32)
    columns_summed.emulate(a, b, sums, target=TARGET)
    product = a.astype(F32) @ b.astype(F32)
    assert np.abs(sums - np.stack([product[n:n + 128].sum(0) for n in (0, 128, 256)])).max() < 1e-3
    text = columns_summed.source(TARGET, a, b, sums)
    assert "across_warps" in text and "workers_sync<256>()" in text and text.count("block_sync()") == 1


@tile_kernel
def ragged_lengths(a: "T[S, M, K]", b: "T[S, K, N]", lengths: "i32[S]", c: "f32[S, M, N]", *, BM: const = 64, BN: const = 64, BK: const = 64):
    """c[s] = a[s, :, :n] @ b[s, :n], n = lengths[s] a multiple of BK"""
    s, i, j = tile.grid(S, tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, tile.load(lengths, (s,)), BK):
        acc = tile.dot(tile.load(a, (s, (i * BM, BM), (k, BK))), tile.load(b, (s, (k, BK), (j * BN, BN))), acc)
    tile.store(c, (s, (i * BM, BM), (j * BN, BN)), acc)


def test_trips_that_a_tensor_gives() -> None:
    """The loading thread loads scalars for itself."""
    a, b, c = rows_of((3, 70, 128), BF16), rows_of((3, 128, 72), BF16, 1), rows_of((3, 70, 72), F32)
    lengths = np.array([128, 0, 64], np.int32)
    ragged_lengths.emulate(a, b, lengths, c, target=TARGET)
    assert all(np.abs(c[s] - a[s, :, :n].astype(F32) @ b[s, :n].astype(F32)).max() < 1e-4 for s, n in enumerate(lengths.tolist()))
    assert ways(lowered(ragged_lengths, a, b, lengths, c)) == ["wgmma"]


@tile_kernel
def until_large(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, BM: const = 64, BN: const = 64, BK: const = 64):
    """c = products of BK columns and rows of a and b, added until one is above 1"""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc, k = tile.zeros((BM, BN), tile.f32), tile.full((), 0, tile.i32)
    while (k < K) & (tile.max(tile.max(acc, 1), 0) <= 1.0):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((k, BK), (j * BN, BN))), acc)
        k = k + BK
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


def test_control_flow_from_tiles_has_no_roles() -> None:
    a, b, c = (rows_of((64, 128), BF16) / 64).astype(BF16), rows_of((128, 64), BF16, 1), rows_of((64, 64), F32)
    until_large.emulate(a, b, c, target=TARGET)
    assert ways(lowered(until_large, a, b, c)) == ["mma"]


@tile_kernel
def squares(q: "T[M, D]", k: "T[S, D]", o: "f32[M, D]", *, D: const, BM: const = 128, BN: const = 64):
    """o = (q @ k.T)^2 @ k: one tile, two products, in both orders"""
    i = tile.grid(tile.cdiv(M, BM))
    qt, acc = tile.load(q, ((i * BM, BM), (0, D))), tile.zeros((BM, D), tile.f32)
    for j in tile.range(0, S, BN):
        kt = tile.load(k, ((j, BN), (0, D)))
        s = tile.dot(qt, kt.T)
        acc = tile.dot(tile.cast(s * s, T), kt, acc)
    tile.store(o, ((i * BM, BM), (0, D)), acc)


@tile_kernel
def two_layers(x: "T[M, K]", w: "T[K, N]", u: "T[N, P]", y: "T[M, P]", sums: "f32[M]", *, N: const, P: const, BM: const = 128, BK: const = 64):
    """y = relu(x @ w) @ u, sums = row sums of relu(x @ w)"""
    i = tile.grid(tile.cdiv(M, BM))
    acc = tile.zeros((BM, N), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(x, ((i * BM, BM), (k, BK))), tile.load(w, ((k, BK), (0, N))), acc)
    h = tile.cast(tile.maximum(acc, 0.0), T)
    tile.store(y, ((i * BM, BM), (0, P)), tile.cast(tile.dot(h, tile.load(u, ((0, N), (0, P)))), T))
    tile.store(sums, (i * BM, BM), tile.sum(tile.cast(h, tile.f32), 1))


@pytest.mark.parametrize("mode", ["late", "random:2"])
def test_a_tile_of_two_products(mode: str) -> None:
    q, k, o = rows_of((200, 64), BF16), rows_of((150, 64), BF16, 1), np.zeros((200, 64), F32)
    squares.emulate(q, k, o, target=TARGET, mode=mode)
    s = q.astype(np.float64) @ k.astype(np.float64).T
    assert np.abs(o - s * s @ k.astype(np.float64)).max() < 2.0 ** -8 * (s * s @ np.abs(k.astype(np.float64))).max()
    placed = lowered(squares, q, k, o)
    assert ways(placed) == ["wgmma", "wgmma"] and len(rings_of(placed)) == 2


@pytest.mark.parametrize("mode", ["late", "random:2"])
def test_products_of_both_kinds(mode: str) -> None:
    """Of the second one the left operand is read by others too: it goes through shared memory, and to the matrix unit of a warp."""
    x, w, u = rows_of((300, 72), BF16), rows_of((72, 64), BF16, 1), rows_of((64, 64), BF16, 2)
    y, sums = np.zeros((300, 64), BF16), np.zeros(300, F32)
    two_layers.emulate(x, w, u, y, sums, target=TARGET, mode=mode)
    h = np.maximum(x.astype(F32) @ w.astype(F32), 0).astype(BF16).astype(F32)
    assert np.abs(sums - h.sum(1)).max() < 0.3 and np.abs(y.astype(F32) - h @ u.astype(F32)).max() < 1.0
    assert ways(lowered(two_layers, x, w, u, y, sums)) == ["wgmma", "mma"]


@tile_function
def added(acc, bias, cols):
    return acc + tile.load(bias, cols)[None, :]


@pytest.mark.parametrize("change", ["strides", "negative", "f32"])
def test_what_bulk_copies_cannot_do_goes_the_other_way(change: str) -> None:
    dtype = F32 if change == "f32" else BF16
    a, b, c = rows_of((200, 72), dtype), rows_of((72, 136), dtype, 1), rows_of((200, 136), F32)
    a = np.ascontiguousarray(a[:, :71]) if change == "strides" else a[::-1] if change == "negative" else a
    b = b[:a.shape[1]]
    gemm.emulate(a, b, c, target=TARGET, BM=64, BN=64, BK=32)
    assert np.abs(c - a.astype(F32) @ b.astype(F32)).max() < 1e-4
    assert "wgmma" not in ways(lowered(gemm, a, b, c, BM=64, BN=64, BK=32))


def test_epilogue_that_reads_a_tensor() -> None:
    a, b, c, bias = rows_of((200, 72), BF16), rows_of((72, 136), BF16, 1), rows_of((200, 136), BF16), rows_of((136,), F32)
    gemm.emulate(a, b, c, bias, target=TARGET, BM=128, BN=128, BK=64, epilogue=added)
    want = a.astype(F32) @ b.astype(F32) + bias
    assert np.abs(c.astype(F32) - want).max() <= np.abs(want).max() * 2.0 ** -8


def test_the_placed_form_still_means_the_same() -> None:
    """The interpreter runs what the target renders."""
    a, b, c = rows_of((200, 72), BF16), rows_of((72, 136), BF16, 1), rows_of((200, 136), F32)
    gemm.interpret(a, b, c, placed=True, target=TARGET, BM=128, BN=128, BK=64)
    assert np.abs(c - a.astype(F32) @ b.astype(F32)).max() < 1e-4


# ---------------------------------------------------------------- layouts and text
@pytest.mark.parametrize(("m", "n", "consumers"), [(64, 8, 1), (128, 256, 2), (256, 64, 2), (192, 32, 1)])
def test_sums_are_spread_as_the_matrix_unit_has_them(m: int, n: int, consumers: int) -> None:
    """Row r, column c of 64 x n: lane r % 8 * 4 + c % 8 / 2 of warp r / 16, register c / 8 * 4 + r % 16 / 8 * 2 + c % 2 (PTX ISA 9.0, D of m64nNk16)."""
    spread, high = sum_spread(m, n, consumers), m // (64 * consumers)
    for r in range(0, m, 5):
        for c in range(0, n, 3):
            group, block, row = r // (64 * high), r // 64 % high, r % 64
            lane = row // 16 * 32 + row % 8 * 4 + c % 8 // 2
            assert spread.owner((r, c)) == (group * 128 + lane, block * n // 2 + c // 8 * 4 + row % 16 // 8 * 2 + c % 2)


def test_source_reads_well() -> None:
    x = rows_of((256, 256), BF16)
    text = gemm.source(TARGET, x, x, x.copy(), BM=128, BN=128, BK=64)
    assert "asm" not in text and "threadIdx" not in text
    loading, computing = text.split("registers_claim")
    assert "tensor_load" in loading and "tensor_load" not in computing and "wgmma_product" in computing
    assert all(f" {line}" in part for part in (loading, computing) for line in ("rows, cols = (i * BM", "acc = tile.dot(")), "both say where they come from"
    assert not re.search(r"\bconst Global<const bf16> a\b", text), "what only copies read has no pointer in the kernel"


# ---------------------------------------------------------------- compiled
@pytest.fixture(scope="module")
def nvcc() -> None:
    try:
        host_compiler()
        find_nvcc()
    except DslError as e:
        pytest.skip(str(e))


def check_compiled(folder: Path) -> None:
    """No spills, no remarks, no warnings, and the instructions that this is about."""
    (found,) = folder.glob("*.resources.json")
    said = json.loads(found.read_text())
    assert said["warnings"] == [] and [k["remarks"] for k in said["kernels"]] == [[]]
    assert all(k["spill_stores"] == k["spill_loads"] == k["stack"] == 0 for k in said["kernels"])
    (ptx,) = (p.read_text() for p in folder.glob("*.ptx"))
    assert all(word in ptx for word in ("wgmma.mma_async", "cp.async.bulk.tensor", "setmaxnreg", "stmatrix"))


@pytest.mark.usefixtures("nvcc")
@pytest.mark.parametrize(("bn", "dtype"), [(128, BF16), (256, BF16), (256, F16)])
def test_compiled_gemm(bn: int, dtype: Any) -> None:
    x = rows_of((256, 256), dtype)
    check_compiled(gemm.build(TARGET, x, x, x.copy(), BM=128, BN=bn, BK=64))


@pytest.mark.usefixtures("nvcc")
@pytest.mark.parametrize("d", [64, 128])
@pytest.mark.parametrize("causal", [False, True])
def test_compiled_attention(d: int, causal: bool) -> None:
    q = np.zeros((1, 256, 2, d), BF16)
    check_compiled(attention.build(TARGET, q, q, q, q.copy(), np.zeros((1, 2, 256), F32), 0.1, BM=128, BN=128, causal=causal))
