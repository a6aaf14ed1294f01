"""Three kernels followed on paper to machines with several memories: what the placed form must carry for them, it carries."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc.interpret import interpret
from dslc.ir import Kernel, walk
from dslc.text import parse, show
from dslc.types import Space
from dslc.verify import verify

PAPER = Path(__file__).parent / "ir" / "paper"


def read(name: str) -> Kernel:
    kernel = parse((PAPER / f"{name}.ir").read_text(), f"{name}.ir")
    verify(kernel)
    return kernel


@pytest.mark.parametrize("name", sorted(p.stem for p in PAPER.glob("*.ir")))
def test_round_trip(name: str) -> None:
    text = show(read(name))
    assert show(parse(text)) == text


def test_attention_crosses_units_in_workspace() -> None:
    kernel = read("attention_cube_vector")
    spaces = {op.result.tile.place.space for op in walk(kernel.body) if op.name == "alloc" and op.result.tile.place}
    assert spaces == {Space.SHARED, Space.REGISTER, Space.ACCUMULATOR, Space.WORKSPACE}
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((n, 8)).astype(ml_dtypes.bfloat16) for n in (32, 20, 20))
    o = np.full((32, 8), np.nan, np.float32)
    interpret(kernel, {"q": q, "k": k, "v": v, "o": o, "scale": np.float32(0.5)}, {"M": 32, "N": 20})
    s = q.astype(float) @ k.astype(float).T * 0.5
    p = 2 ** (s - s.max(1, keepdims=True))
    # The weights are rounded to bf16 before the second product: 2^-9 of each, and the values are below 4.
    assert np.abs(o - p @ v.astype(float) / p.sum(1, keepdims=True)).max() < 4 * 2.0 ** -9


def test_four_bit_weights_pass_a_ring() -> None:
    kernel = read("w4a16_ring")
    rng = np.random.default_rng(1)
    a, codes = rng.standard_normal((4, 64)).astype(np.float16), rng.integers(0, 16, (64, 16))
    scale, part = np.abs(rng.standard_normal((2, 16))).astype(np.float16), np.full((4, 16), np.nan, np.float32)
    words = (codes.reshape(8, 8, 16).astype(np.uint32) << (4 * np.arange(8, dtype=np.uint32))[None, :, None]).sum(1, dtype=np.uint32)
    interpret(kernel, {"a": a, "w": words, "scale": scale, "part": part}, {"M": 4, "K": 64, "N": 16, "NG": 2})
    wide = ((codes - 8) * np.repeat(scale.astype(np.float32), 32, 0)).astype(np.float16).astype(float)
    bound = (64 + 8) * 2.0 ** -23 * (np.abs(a.astype(float)) @ np.abs(wide))
    assert (np.abs(part - a.astype(float) @ wide) <= bound).all()


def test_nearest_centroid_resolves_ties_to_the_lowest() -> None:
    kernel = read("flash_assign")
    rng = np.random.default_rng(2)
    x, c = rng.integers(-4, 5, (21, 4)).astype(np.float32), rng.integers(-4, 5, (19, 4)).astype(np.float32)
    c[11] = c[3]
    ids: Any = np.full(21, -1, np.int32)
    interpret(kernel, {"x": x, "c": c, "c2": (c * c).sum(1), "ids": ids}, {"N": 21, "K": 19})
    assert np.array_equal(ids, ((x[:, None] - c) ** 2).sum(2).argmin(1))          # small integers: exact in f32
