"""Generated AscendC with one change must be caught by the emulator or by numpy: a fixed sample always, every change with `-m long`.

Emulated, not run on an NPU.
"""
from __future__ import annotations

import re

import mutation
import pytest
from dslc.backends.ascend.emulation import Emulator
from mutants import Mutant, mutants
from mutants_ascend import ASCEND, crossing, crossing_functions

if not any(row["found"] for row in Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

SOURCE = """#include "k.h"
__aicore__ inline void k_cube(GM_ADDR a_at, index_t M,
    GM_ADDR workspace) {
  Core core(0, 1024, 65536, 2048);
  Ring<f32, 128, 64, 4, 0> ring0(rings, 512);
  SetFlag<HardEvent::MTE1_MTE2>(0);
  for (index_t k = 0; k < M; k += 64, turn2 ^= 1) {
    const Panel<f16, 128, 64, false> a_tile{core.local<f16, AscendC::TPosition::A1>(64 + turn2 * 16384, 8192)};
    WaitFlag<HardEvent::MTE1_MTE2>(0);
    load(a_tile, a, k * a_stride[0], a_stride[0], inside(k, 128, M), Inside{0, 64});
    SetFlag<HardEvent::MTE2_MTE1>(2 + turn2);
    WaitFlag<HardEvent::MTE2_MTE1>(2 + turn2);
    multiply<false, true>(l0, acc, a_tile, b_tile, false);
    SetFlag<HardEvent::MTE1_MTE2>(0);
    put(l0, ring0, acc);
  }
  WaitFlag<HardEvent::MTE1_MTE2>(0);
  close<PIPE_FIX>(ring0);
}
__aicore__ inline void k_vector(GM_ADDR workspace) {
  open(ring0);
  for (index_t k = 0; k < M; k += 64) {
    take(x, ring0, sub2 * 64);
    PipeBarrier<PIPE_V>();
    sub(y, x, column(m), scratch);
  }
}
extern "C" void k_kernel() { PipeBarrier<PIPE_V>(); }
"""


def changes(kind: str) -> list[list[str]]:
    """Lines of SOURCE that mutants of a kind have instead."""
    before = SOURCE.splitlines()
    return [[t.strip() for t, old in zip(m.text.splitlines(), before, strict=True) if t != old] for m in mutants(SOURCE, ASCEND) if m.kind == kind]


def test_mutants_of_a_small_source() -> None:
    assert len(changes("delete")) == 7
    assert ["", ""] in changes("pair") and len(changes("pair")) == 6
    assert ["WaitFlag<HardEvent::MTE2_MTE1>(2 + (turn2 ^ 1));"] in changes("phase")
    assert ["for (index_t k = 0; k < M; k += 64) {"] in changes("phase")
    assert {c[0][:30] for c in changes("transpose") if "multiply" in c[0]} == {"multiply<true, true>(l0, acc, ", "multiply<false, false>(l0, acc"}
    assert ["sub(y, x, row(m), scratch);"] in changes("transpose")
    halves = [c[0] for c in changes("halve")]
    assert any("4096)};" in h for h in halves) and any("turn2 * 8192" in h for h in halves) and any("64 + 0 * 16384" in h for h in halves)
    assert any("(96 + turn2" in c[0] for c in changes("offset")) and any("a_stride[0] + 1, a_stride" in c[0] for c in changes("offset"))
    assert any("Inside{0, 128}, Inside{0, 64}" in c[0] for c in changes("guard"))
    assert ["SetFlag<HardEvent::MTE2_MTE1>(2 + turn2); load(a_tile, a, k * a_stride[0], a_stride[0], inside(k, 128, M), Inside{0, 64});", ""] in changes("move")


def test_crossings_are_the_headers_own_text() -> None:
    """What a call is replaced by, whole, is what the function of the header does."""
    assert {*crossing_functions()} == {("open", 1), ("close", 1), ("put", 3), ("take", 2), ("put", 4), ("take", 3)}
    found = crossing("    take(x, ring0, sub2 * 64);")
    assert found is not None
    assert found[2] == ("AscendC::CrossCoreWaitFlag<2, PIPE_MTE2>(ring0.ready); load(x, ring0.at, ring0.slot() + (sub2 * 64) * ring0.pitch, ring0.pitch, {}); "
                        "AscendC::CrossCoreSetFlag<2, PIPE_MTE2>(ring0.free); ring0.next();")
    both = [c for c in changes("pair") if len(c) == 4 or (len(c) == 2 and c[0])]
    assert len(both) == 2 and not any("ready);" in text for c in both[:1] for text in c)
    left_out = [m.name for m in mutants(SOURCE, ASCEND) if m.kind == "cross" and m.name.endswith("left out")]
    assert len(left_out) == 6


def test_names_are_unique_and_texts_differ() -> None:
    found = mutants(SOURCE, ASCEND)
    assert len({m.name for m in found}) == len({m.text for m in found}) == len(found)
    assert all(m.text.splitlines()[-1] == SOURCE.splitlines()[-1] for m in found)


def sample() -> list[tuple[str, str, Mutant]]:
    """Every pair of flags of a kernel whose units meet, its crossings, and some mutants of every kind of one that has vector cores only."""
    jobs = []
    for kernel, most in (("w4a16", 40), ("softmax", 24)):
        found = mutants(mutation.subject_of(kernel, "ascend:910b", modes=("late",)).source, ASCEND)
        chosen = [m for m in found if m.kind == "pair" or re.search("left out", m.name)] if kernel == "w4a16" else []
        first = {m.kind: m for m in reversed(found)}
        jobs += [(kernel, "ascend:910b", m) for m in [*chosen, *(m for m in first.values() if m not in chosen)][:most]]
    return jobs


def test_sample() -> None:
    known = mutation.ASCEND.document.listed()
    for r in mutation.run(sample()):
        assert r.caught or (r.kernel, r.target, r.name) in known, f"{r.kernel}, line {r.line}: {r.name} is not caught"


@pytest.mark.long
@pytest.mark.parametrize(("kernel", "target"), mutation.ASCEND.pairs)
def test_all(kernel: str, target: str) -> None:
    mutation.judged(kernel, target)
