"""HIP: loads under way while a tile is multiplied, layouts of LDS without bank conflicts, fragments, the order of programs, and what clang makes of it."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc import DslError, const, tile, tile_kernel
from dslc.backend import backend_of, target_of
from dslc.backends.common.emulation import Emulator
from dslc.backends.hip import banks, machine_code, toolchain
from dslc.ir import walk
from dslc.kernels.attention import attention, seen
from dslc.kernels.gemm import gemm
from dslc.runtime import lowering
from dslc.schedule import Schedule
from mutation import Subject, family_of
from subjects_gpu import gemm_call

BF16 = ml_dtypes.bfloat16
MODES = ("late", "early", "random:3")
HEADER = Path(machine_code.__file__).resolve().parents[1] / "common" / "tile_workers.h"


@tile_kernel
def gemm_nt(a: "T[M, K]", b: "T[N, K]", c: "U[M, N]", *, BM: const = 128, BN: const = 128, BK: const = 64):
    """c = a b^T"""
    i, j = tile.grid(tile.cdiv(M, BM), tile.cdiv(N, BN))
    acc = tile.zeros((BM, BN), tile.f32)
    for k in tile.range(0, K, BK):
        acc = tile.dot(tile.load(a, ((i * BM, BM), (k, BK))), tile.load(b, ((j * BN, BN), (k, BK))).T, acc)
    tile.store(c, ((i * BM, BM), (j * BN, BN)), acc)


def normal(*shape: int, dtype: Any = BF16) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def lowered(kernel: Any, target: str, *args: Any, **named: Any) -> tuple[Any, Any]:
    """The kernel in its value form and lowered, as for a call whose dimensions are multiples of the tiles."""
    steered = kernel.steer(target, args, named)
    _, value = lowering.specialised(kernel.definition, steered.spec, lambda _name, _divisor: True)
    return value, kernel._lowered(value, steered)


def gemm_lowered(target: str, nt: bool = True, **sizes: int) -> tuple[Any, Any]:
    a = np.zeros((512, 512), BF16)
    return lowered(gemm_nt if nt else gemm, target, a, a.copy(), np.zeros((512, 512), np.float32), **{"BM": 128, "BN": 128, "BK": 64, **sizes})


def attention_lowered(target: str, depth: int, dtype: Any = BF16) -> tuple[Any, Any]:
    q = np.zeros((2, 256, 4, depth), dtype)
    return lowered(attention, target, q, q, q, q.copy(), np.zeros((2, 4, 256), np.float32), 0.1, BM=128, BN=64, causal=True)


# ---------------------------------------------------------------- right in every mode
@pytest.mark.parametrize("architecture", ["gfx942", "gfx950", "gfx90a"])
@pytest.mark.parametrize("m, n, k", [(256, 128, 192), (200, 136, 72)])
def test_products(architecture: str, m: int, n: int, k: int) -> None:
    """Whole and ragged shapes, both orders of the right operand."""
    a, b = normal(m, k), normal(k, n)
    for mode in MODES:
        for kernel, right in ((gemm, b), (gemm_nt, np.ascontiguousarray(b.T))):
            c = np.full((m, n), np.nan, np.float32)
            kernel.emulate(a, right, c, target=f"hip:{architecture}", mode=mode, BM=128, BN=128, BK=64)
            np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)


@pytest.mark.parametrize("architecture", ["gfx942", "gfx950"])
def test_rows_that_end_within_a_run(architecture: str) -> None:
    """Rows of 71 elements, 72 apart: what lies behind a row is no part of it, though it may be read as a vector."""
    a, b = normal(70, 72)[:, :71], normal(72, 136)[:71]
    c = np.full((70, 136), np.nan, np.float32)
    gemm.emulate(a, b, c, target=f"hip:{architecture}", BM=64, BN=64, BK=64)
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
@pytest.mark.parametrize("architecture", ["gfx942", "gfx950"])
def test_other_types(architecture: str, dtype: Any) -> None:
    a, b = (x.astype(dtype) for x in (normal(128, 128, dtype=np.float32) * 4, normal(128, 64, dtype=np.float32) * 4))
    c = np.zeros((128, 64), np.int32 if dtype is np.int8 else np.float32)
    gemm.emulate(a, b, c, target=f"hip:{architecture}", BM=64, BN=64, BK=64, ACC=tile.i32 if dtype is np.int8 else tile.f32)
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=1e-3)


@pytest.mark.parametrize("architecture", ["gfx942", "gfx950", "gfx90a"])
@pytest.mark.parametrize("depth, length, causal", [(64, 256, True), (128, 200, False)])
def test_attention(architecture: str, depth: int, length: int, causal: bool) -> None:
    q, k, v = (normal(1, length, 1, depth) + np.float32(n) / 8 for n in range(3))
    q, k, v = (x.astype(BF16) for x in (q, k, v))
    s = q[0, :, 0].astype(np.float64) @ k[0, :, 0].astype(np.float64).T * depth ** -0.5
    p = np.exp(np.where(seen(length, length, causal, 0), s, -np.inf))
    want = p @ v[0, :, 0].astype(np.float64) / p.sum(1, keepdims=True)
    for mode in MODES:
        o, lse = np.full_like(q, np.nan), np.zeros((1, 1, length), np.float32)
        attention.emulate(q, k, v, o, lse, depth ** -0.5, target=f"hip:{architecture}", mode=mode, BM=128, BN=64, causal=causal)
        np.testing.assert_allclose(o[0, :, 0].astype(np.float64), want, atol=2e-2)


# ---------------------------------------------------------------- two phases
PHASED = Schedule.of(workers={"threads": 512, "phases": 2})
BIG = {"BM": 256, "BN": 256, "BK": 32}


@pytest.mark.parametrize("architecture", ["gfx942", "gfx950"])
@pytest.mark.parametrize("m, n, k", [(256, 256, 160), (200, 136, 72), (256, 256, 32)])
def test_two_phases(architecture: str, m: int, n: int, k: int) -> None:
    a, b = normal(m, k), normal(k, n)
    for mode in MODES:
        c = np.full((m, n), np.nan, np.float32)
        gemm.emulate(a, b, c, target=f"hip:{architecture}", mode=mode, schedule=PHASED, **BIG)
        np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)


class Phased(Subject):
    """The kernel in two phases, for changed texts."""

    def __init__(self) -> None:
        self.family = family_of("hip:gfx942")
        self.kernel, self.calls = gemm, [gemm_call(np.random.default_rng(0), True, 256, 256, 160)]
        steered = gemm.steer(target_of("hip:gfx942", "late"), tuple(self.calls[0].given.values()), BIG, PHASED)
        placed = gemm._lowered(lowering.specialised(gemm.definition, steered.spec, steered.binding.holds)[1], steered)
        rendered = lowering.render(steered.target.backend, placed)
        self.files, self.described, self.steered, self.bindings = rendered.files, rendered.call, steered, [steered.binding]
        self.main, self.emulator = next(iter(self.files)), Emulator("hip", "gfx942")


def test_every_barrier_of_two_phases_is_needed(tmp_path: Path) -> None:
    """Left out one at a time, each is found: as a race, or as waves that never meet."""
    subject = Phased()
    lines = subject.source.splitlines()
    barriers = [n for n, line in enumerate(lines) if re.search(r"\b(step|half)_sync\(\)", line)]
    assert len(barriers) == 5
    assert subject.fault(tmp_path, subject.build(tmp_path, [subject.source])) == ""
    for n in barriers:
        folder = tmp_path / str(n)
        folder.mkdir()
        text = "\n".join([*lines[:n], re.sub(r"\b(step|half)_sync\(\)", "(void)0", lines[n]), *lines[n + 1:]])
        assert subject.fault(folder, subject.build(folder, [text])), lines[n]


@pytest.mark.parametrize("target, message", [("hip:gfx950", "takes 32 of K in a trip, not 64"), ("hip:gfx942", "no loop has loads that run ahead")])
def test_what_two_phases_need(target: str, message: str) -> None:
    with pytest.raises(DslError, match=message):
        gemm.source(target, normal(64, 64), normal(64, 64), np.zeros((64, 64), np.float32), schedule=PHASED, BM=256, BN=256, BK=64)


# ---------------------------------------------------------------- where tiles lie
@pytest.mark.parametrize("architecture", ["gfx942", "gfx950", "gfx90a"])
@pytest.mark.parametrize("name", ["nt", "nn", "attention 64", "attention 128"])
def test_no_bank_conflicts(architecture: str, name: str) -> None:
    """Every read and write of LDS takes the cycles of its words, by the phase tables."""
    target = f"hip:{architecture}"
    _, kernel = attention_lowered(target, int(name.split()[1])) if " " in name else gemm_lowered(target, name == "nt")
    rows = [a for a in banks.shared_accesses(kernel) if a.ideal]
    assert len(rows) >= 4
    assert [(a.op.name, a.place.name) for a in rows if a.actual != a.ideal] == []
    assert all(a.bytes >= 8 for a in rows)                   # no element by element


def test_weights_of_attention_stay_in_registers() -> None:
    for architecture in ("gfx942", "gfx950"):
        value, kernel = attention_lowered(f"hip:{architecture}", 128)
        text = next(iter(lowering.render(backend_of("hip"), kernel).files.values()))
        assert "mfma_product_registers<" in text
        assert any(op.attr("stages") == 2 for op in walk(kernel.body))


# ---------------------------------------------------------------- order of programs
def functions() -> dict[str, Any]:
    """The expressions of the header's functions, as Python's on arrays."""
    found: dict[str, Any] = {"least": np.minimum, "where": np.where}
    for name, arguments, body in re.findall(r"DSLC_FN index_t (\w+)\(([^)]*)\) \{\s*return (.*?);\s*\}", HEADER.read_text(), re.S):
        if name in ("dealt", "rows_of_band", "banded", "by_columns"):
            names = [*re.findall(r"\w+(?=,|$)", arguments), *(["chiplets", "run"] if name == "dealt" else [])]
            body = re.sub(r"^(.*?) \? (.*) : (.*)$", r"where(\1, \2, \3)", body)
            found[name] = eval(f"lambda {', '.join(names)}: {body.replace('/', '//')}", found)
    return found


def test_orders_are_one_to_one() -> None:
    f = functions()
    for count in range(1, 2001):
        blocks = np.arange(count)
        for chiplets, run in ((8, 64), (8, 4), (3, 5)):
            assert (np.sort(f["dealt"](blocks, count, chiplets, run)) == blocks).all()
    for down in range(1, 41):
        for across in range(1, 41):
            programs = np.arange(down * across)
            for rows in (1, 3, 8):
                assert (np.sort(f["banded"](programs, down, across, rows)) == programs).all()
            assert (np.sort(f["by_columns"](programs, down, across)) == programs).all()


@pytest.mark.parametrize("order", [{}, {"order": "rows", "chiplets": 1}, {"order": "columns"}, {"order": "grouped", "rows": 3, "chiplets": 8}])
@pytest.mark.parametrize("target", ["hip:gfx942", "cuda:sm_80"])
def test_orders_run(target: str, order: dict[str, Any]) -> None:
    a, b, c = normal(160, 32), normal(32, 112), np.full((160, 112), np.nan, np.float32)
    gemm.emulate(a, b, c, target=target, BM=16, BN=16, BK=32, schedule=Schedule.of(grid=order))
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)


# ---------------------------------------------------------------- what clang makes of it
def compiled(target: str, value: Any, kernel: Any) -> machine_code.MachineCode:
    try:
        toolchain.find_compiler()
    except DslError as error:
        pytest.skip(str(error))
    backend = backend_of(target)
    folder = lowering.compile_entry(backend, kernel, lowering.render(backend, kernel), value).path
    (code,) = machine_code.read((folder / f"{kernel.name}.s").read_text())
    return code


@pytest.mark.parametrize("architecture", ["gfx942", "gfx950"])
@pytest.mark.parametrize("size", [128, 256])
def test_machine_code_of_products(architecture: str, size: int) -> None:
    """At most 0.19 VALU per MFMA (the bar of amd.md section 5), nothing spilled."""
    code = compiled(f"hip:{architecture}", *gemm_lowered(f"hip:{architecture}", BM=size, BN=size))
    assert code.loop is not None
    assert (code.vgpr_spills, code.scratch_bytes, code.workers) == (0, 0, size * 2)
    assert code.loop.valu_per_mfma <= 0.19
    assert code.loop.lds_reads_per_mfma <= 0.5


@pytest.mark.parametrize("architecture", ["gfx942", "gfx950"])
@pytest.mark.parametrize("depth, dtype", [(64, BF16), (128, BF16), (64, np.float16), (128, np.float16)])
def test_machine_code_of_attention(architecture: str, depth: int, dtype: Any) -> None:
    code = compiled(f"hip:{architecture}", *attention_lowered(f"hip:{architecture}", depth, dtype))
    assert (code.vgpr_spills, code.scratch_bytes) == (0, 0)


def test_rows_too_far_apart_are_refused() -> None:
    """A worker's offsets within a tile are 32 bits; the launcher says so before anything is touched."""
    text = gemm_nt.source("hip:gfx942", np.zeros((256, 256), BF16), np.zeros((256, 256), BF16), np.zeros((256, 256), np.float32))
    assert "if (!(a_stride[0] < 8388608)) return 16;" in text and "if (!(b_stride[0] < 8388608)) return 17;" in text
