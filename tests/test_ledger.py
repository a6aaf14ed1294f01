"""The ledger counts what a launch does: against counts worked out by hand, and against what the interpreter touches."""
from __future__ import annotations

import numpy as np
import pytest
from dslc import const, tile, tile_kernel
from dslc.kernels.attention import attention, seen
from dslc.kernels.gemm import gemm
from dslc.runtime.ledger import SAMPLES, ledger, roofline

GEMM = {"T": "f32", "U": "f32", "BM": 32, "BN": 16, "BK": 8}


@pytest.mark.parametrize("stage", ["front end", "places"])
def test_a_product_that_divides(stage):
    counts = ledger(gemm.ir(stage, **GEMM), {"M": 64, "N": 48, "K": 24})
    assert counts.operations["dot"] == 2 * 64 * 48 * 24 and counts.dots == {"f32": 2 * 64 * 48 * 24}
    assert counts.programs == counts.sampled == 2 * 3
    assert counts.read == {"a": 4 * 64 * 24 * 3, "b": 4 * 24 * 48 * 2} and counts.written == {"c": 4 * 64 * 48}
    assert counts.compulsory == 4 * (64 * 24 + 24 * 48 + 64 * 48)
    assert bool(counts.spaces) == (stage == "places")


def test_padding_is_work_and_not_traffic():
    counts = ledger(gemm.ir("places", **GEMM), {"M": 33, "N": 17, "K": 9})
    assert counts.operations["dot"] == 2 * 64 * 32 * 16
    assert counts.read == {"a": 4 * 33 * 9 * 2, "b": 4 * 9 * 17 * 2} and counts.written == {"c": 4 * 33 * 17}


def test_nothing_to_do():
    counts = ledger(gemm.ir("places", **GEMM), {"M": 0, "N": 17, "K": 9})
    assert counts.programs == 0 and counts.flops == 0 and counts.traffic == 0
    assert ledger(gemm.ir("places", **GEMM), {"M": 8, "N": 8, "K": 0}).operations["dot"] == 0


def test_trips_that_depend_on_the_program():
    n, block = 128, 16
    kernel = attention.ir("places", T="f32", D=16, DV=16, causal=True, BM=block, BN=block)
    counts = ledger(kernel, {"B": 2, "SQ": n, "SK": n, "H": 1, "G": 1})
    blocks = sum(i + 1 for i in range(n // block))
    assert counts.operations["dot"] == 2 * blocks * 2 * (2 * block * block * 16)
    assert counts.operations["transcendental"] >= 2 * seen(n, n, True, 0).sum()


def test_many_programs_are_sampled():
    counts = ledger(gemm.ir("places", **GEMM), {"M": 32 * 100, "N": 16 * 10, "K": 64})
    assert counts.programs == 1000 and counts.sampled == SAMPLES
    assert counts.operations["dot"] == 2 * 3200 * 160 * 64


@tile_kernel
def branches(x: "f32[N]", y: "f32[N]", s: "i32", *, BN: const = 16):
    i = tile.grid(tile.cdiv(N, BN))
    t = tile.load(x, (i * BN, BN))
    n = tile.full((), 0, tile.i32)
    while n < s:
        n = n + 1
    if n > 3:
        t = tile.exp(t) + 1.0
    tile.store(y, (i * BN, BN), t)


def test_what_only_data_tell_is_said():
    counts = ledger(branches.ir("front end"), {"N": 64}, {"s": 1})
    assert any("while" in n for n in counts.notes) and any("branch" in n for n in counts.notes)
    assert counts.operations["transcendental"] == 64


@tile_kernel
def packed(x: "u4[N] in u32[N/8]", y: "i32[N]", *, BN: const = 16):
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(y, (i * BN, BN), tile.load(x, (i * BN, BN)) + 1)


def test_packed_tensors_count_bits():
    counts = ledger(packed.ir("places"), {"N": 64})
    assert counts.tensors == {"x": 32, "y": 256} and counts.read == {"x": 32.0}
    assert counts.operations["integer"] >= 64 and counts.flops == 0


def test_roofline():
    limits = {"f32": 100.0, "memory": 10.0}
    roof = roofline(1e9, 1e6, limits, "f32")
    assert roof.compute == pytest.approx(0.01) and roof.memory == pytest.approx(1e-4) and roof.bound == "compute" and roof.seconds == roof.compute
    assert roofline(1e9, 1e6, limits, "i8").compute is None
    assert ledger(gemm.ir("places", **{**GEMM, "T": "f64", "U": "f64", "ACC": tile.f64}), {"M": 8, "N": 8, "K": 8}).dtype() == "f64"


def test_data_is_plain():
    data = ledger(gemm.ir("places", **GEMM), {"M": 8, "N": 8, "K": 8}).as_data()
    assert data["traffic_bytes"] == 3 * 256 and np.isclose(data["intensity"], 2 * 32 * 16 * 8 / 768)
