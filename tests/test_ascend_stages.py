"""Barriers of the vector unit between functions that have barriers of their own: random chains of them, whose every conflict the emulator must find in order.

Emulated, not run on an NPU.
"""
from __future__ import annotations

import importlib.util
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from dslc.backends.ascend import emulation

if not any(row["found"] for row in emulation.Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("quickly_emulated")

# Rows that fill no repeat, one and several; pieces of one row and of many; more rows than blocks of scratch; rows of more than one piece.
SHAPES = ((1, 50), (4, 64), (7, 100), (130, 16), (3, 1100), (40, 64), (2, 128), (3, 1024))
LENGTH = 24                                                 # statements of a chain
KINDS = ("f", "f", "f", "f", "b", "i", "c", "r")            # tiles of f32, bool and i32, a column and a row of f32: how often each is made
STATEMENTS = {
    "f": ("{f} + {o}", "{f} * {o}", "{o} - {f}", "{f} / {o}", "tile.fma({f}, {o}, {o})", "tile.maximum({f}, {o})", "tile.minimum({o}, {f})",
          "tile.where({b}, {o}, {f})", "tile.where({b}, {f}, 1.5)", "tile.where({b}, 0.25, {f})", "tile.exp2({f})",
          "tile.log2({f})", "tile.abs({f})", "tile.sqrt({f})", "tile.rsqrt({f})", "tile.sigmoid({f})", "tile.tanh({f})", "tile.erf({f})", "tile.sin({f})",
          "tile.cast({i}, tile.f32)", "tile.cast({b}, tile.f32)", "tile.cast(tile.cast({f}, tile.f16), tile.f32)",
          "{f} + tile.cast(tile.iota(C), tile.f32)[None, :]",
          "tile.broadcast({c}[:, None], (R, C))", "tile.broadcast({r}[None, :], (R, C))", "tile.round({f})"),
    "b": ("{f} < {o}", "{f} == {o}", "{o} != {f}", "{i} <= {i}", "{i} == 3", "{b} & {b}", "{b} | {b}", "{b} ^ {b}", "~{b}"),
    "i": ('tile.cast({f}, tile.i32, round="rtz")', "{i} + {i}", "{i} * 3", "{i} ^ {i}", "{i} & 255", "tile.popcount({i})",
          "tile.cast({b}, tile.i32)", "tile.abs({i})",
          'tile.cast(tile.cast({f}, tile.i8, round="rne"), tile.i32)', "tile.minimum({i}, {i})", "tile.cast(tile.cast({i}, tile.u16), tile.i32)", "{i} >> 2"),
    "c": ("tile.sum({f}, 1)", "tile.max({f}, 1)", "tile.min({f}, 1)", "tile.cast(tile.argmax({f}, 1), tile.f32)", "tile.cast(tile.sum({i}, 1), tile.f32)",
          "{c} / 3.0", "tile.exp2({c})", "{c} + {c}"),
    "r": ("tile.sum({f}, 0)", "tile.max({f}, 0)", "{r} * 0.5", "{r} + {r}", "tile.cast(tile.argmin({f}, 0), tile.f32)")}
BEGIN = """import dslc
from dslc import const, tile


@dslc.tile_kernel
def chain(a: "f32[2, R, C]", out: "f32[5, R, C]", *, R: const, C: const):
    tile.grid(1)
    x = tile.load(a, (0, (0, R), (0, C)))
    y = tile.load(a, (1, (0, R), (0, C)))
    n, p, u, v = tile.cast(x, tile.i32, round="rne"), x < y, tile.sum(y, 1), tile.max(x, 0)
"""


def chain(seed: int) -> str:
    """The source of a kernel that makes LENGTH tiles of what it loaded and made, and stores the last of each kind."""
    chance = Random(seed)
    names = {"f": ["x", "y"], "i": ["n"], "b": ["p"], "c": ["u"], "r": ["v"]}

    def pick(kind: str) -> str:
        return chance.choice(names[kind][-5:])

    def operand() -> str:
        return chance.choice([pick("f"), pick("f"), f"{pick('c')}[:, None]", f"{pick('r')}[None, :]", f"{chance.uniform(-2, 2):.3f}"])
    lines = []
    for n in range(LENGTH):
        kind = chance.choice(KINDS)
        text, out = chance.choice(STATEMENTS[kind]), f"{kind}{n}"
        while "{" in text:
            at = text.index("{")
            key = text[at + 1]
            text = text[:at] + (operand() if key == "o" else pick(key)) + text[at + 3:]
        lines.append(f"    {out} = {text}")
        names[kind].append(out)
    ends = [f"    tile.store(out, ({k}, (0, R), (0, C)), {name})" for k, name in enumerate(names["f"][-3:])]
    b, c, i, r = (names[kind][-1] for kind in "bcir")
    ends += [f"    tile.store(out, (3, (0, R), (0, C)), tile.where({b}, {c}[:, None], tile.cast({i}, tile.f32)))",
             f"    tile.store(out, (4, (0, R), (0, C)), {r}[None, :] + x)"]
    return BEGIN + "\n".join([*lines, *ends, ""])


def run(seed: int, folder: Path) -> None:
    path = folder / f"chain_{seed}.py"
    path.write_text(chain(seed))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shape = SHAPES[seed % len(SHAPES)]
    a = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    for mode in ("late", "random:1"):
        module.chain.emulate(a, np.full((5, *shape), np.nan, np.float32), target="ascend:910b", mode=mode)


@pytest.mark.parametrize("seed", range(8))
def test_chain(seed: int, tmp_path: Path) -> None:
    run(seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8, 400))
def test_many_chains(seed: int, tmp_path: Path) -> None:
    run(seed, tmp_path)
