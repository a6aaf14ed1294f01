"""Generated GPU source with one change must be caught by the emulator or by numpy: a fixed sample always, every change with `-m long`."""
from __future__ import annotations

from pathlib import Path

import mutation
import pytest
from dslc.backends.common.emulation import Emulator
from mutants import Mutant, mutants
from mutation import GPU, subject_of

if not any(row["found"] for row in Emulator("cuda").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

SOURCE = """struct k_launch { int x; };
KERNEL(64, 1) void k_programs(PARAMETER k_launch launched) {
  // k.py:1: x = tile.load(a, i)
  const index_t a_0 = rows + e0 * 32;
  copy_async_wait<1>();
  if (a_0 < M) acc[e0 * 4 + 1] = f(Operand<bf16, 128, 64, 64, 1, 3, 3, 4>{a_tile}, within(a_0, M));
  for (index_t k = 0; k < K; k += 64) block_sync();
}
void other() { block_sync(); }
"""


def changes(kind: str) -> list[str]:
    """Lines of SOURCE that mutants of a kind have instead."""
    return [(set(m.text.splitlines()) - set(SOURCE.splitlines())).pop().strip() for m in mutants(SOURCE) if m.kind == kind]


def test_mutants_of_a_small_source() -> None:
    assert changes("delete") == ["(void)0;", "for (index_t k = 0; k < K; k += 64) (void)0;"]
    assert changes("weaken") == ["copy_async_wait<2>();"]
    assert changes("sign") == ["const index_t a_0 = rows - e0 * 32;"]
    assert changes("offset")[:2] == ["const index_t a_0 = rows + e0 * 33;", "const index_t a_0 = rows + e0 * 32 + 1;"]
    assert [c[:16] for c in changes("guard")] == ["if (true) acc[e0", "if (a_0 < M) acc"]
    assert len(changes("swizzle")) == 3 and any("64, 64, 1, 3, 3, 5>" in c for c in changes("swizzle"))
    assert any("128, 64, 1, 64, 3," in c for c in changes("transpose"))
    assert "for (index_t k = 0; k < K; k += 2 * 64) block_sync();" in changes("loop")
    assert "for (index_t k = 0; k <= K; k += 64) block_sync();" in changes("compare")


def test_names_are_unique_and_texts_differ() -> None:
    found = mutants(SOURCE)
    assert len({m.name for m in found}) == len({m.text for m in found}) == len(found)
    assert all(m.text.splitlines()[8] == "void other() { block_sync(); }" for m in found)


@pytest.mark.parametrize("target", ["cuda:sm_80", "cuda:sm_90a"])
def test_programs_without_trips(target: str, tmp_path: Path) -> None:
    """Queries that see no key: their program takes its queries and gives their place back at once, whatever order workers run in."""
    subject = mutation.Subject("attention", target)
    binary = subject.build(tmp_path, [subject.source])
    assert subject.fault(tmp_path, binary, calls=[2], modes=[f"random:{seed}" for seed in range(1, 9)]) == ""


def sample() -> list[tuple[str, str, Mutant]]:
    """Every synchronisation left out of gemm, then some mutants of the other kernels, of different kinds."""
    jobs = []
    for kernel, target in GPU.pairs:
        found = mutants(subject_of(kernel, target, modes=("late",)).source)
        first = {m.kind: m for m in reversed(found)}
        chosen = [m for m in found if m.kind == "delete"] if kernel == "gemm" else [first[k] for k in ("weaken", "stride", "transpose") if k in first]
        jobs += [(kernel, target, m) for m in chosen]
    return jobs


def test_sample() -> None:
    known = GPU.document.listed()
    for r in mutation.run(sample()):
        assert r.caught or (r.kernel, r.target, r.name) in known, f"{r.kernel} on {r.target}, line {r.line}: {r.name} is not caught"


@pytest.mark.long
@pytest.mark.parametrize(("kernel", "target"), GPU.pairs)
def test_all(kernel: str, target: str) -> None:
    mutation.judged(kernel, target)
