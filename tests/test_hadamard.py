"""The Walsh-Hadamard transform against scipy's matrix: lengths, dtypes, layouts, wrong arguments; and what the CPU makes of parts that take turns."""
from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc import DslError, const, tile, tile_kernel
from dslc.kernels.hadamard import hadamard, hadamard_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

scipy_linalg = pytest.importorskip("scipy.linalg")
UNITS = {"float32": 2.0 ** -24, "float16": 2.0 ** -11, "bfloat16": 2.0 ** -8}
TYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def right(got: Any, x: Any, scale: float | None = None, unit: float = 0.0) -> None:
    """scale x H within a rounding for each level and the scale, and `unit` for the result's type."""
    x, d = np.asarray(x, np.float64), x.shape[-1]
    by = d ** -0.5 if scale is None else scale
    want = by * (x @ scipy_linalg.hadamard(d))
    bound = (np.log2(d) + 1) * 2.0 ** -24 * abs(by) * np.abs(x).sum(-1, keepdims=True) + unit * np.abs(want) + 2.0 ** -24
    assert np.asarray(got).shape == x.shape
    assert (np.abs(np.asarray(got, np.float64) - want) <= bound).all()


@pytest.mark.parametrize("d", [2 ** n for n in range(1, 13)])
def test_every_length(d):
    x = normal(5, d)
    right(hadamard(x), x)
    whole = np.rint(4 * x).astype(np.float32)
    np.testing.assert_array_equal(hadamard(whole, 1.0), whole @ scipy_linalg.hadamard(d).astype(np.float32))


@pytest.mark.parametrize("d", [8192, 16384])
def test_long_rows_come_back(d):
    """H is its own inverse: two transforms, each log2 d + 1 roundings of at most the norm, which it keeps."""
    x = normal(3, d)
    got = hadamard(hadamard(x))
    assert np.abs(got - x).max() <= 2 * (np.log2(d) + 1) * 2.0 ** -24 * np.abs(x).sum(-1).max() * d ** -0.5 * 2
    one = np.zeros((1, d), np.float32)
    one[0, 77] = 1
    np.testing.assert_array_equal(hadamard(one, 1.0)[0], 1.0 - 2.0 * (np.bitwise_count(np.arange(d) & 77) & 1))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lead=st.lists(st.integers(0, 4), max_size=3), d=st.sampled_from([2, 16, 64, 256]), name=st.sampled_from(sorted(TYPES)),
       scale=st.sampled_from([None, 1.0, -0.25, 3.0]), layout=st.sampled_from(["dense", "every other", "turned"]), seed=st.integers(0, 99))
def test_shapes_types_and_layouts(lead, d, name, scale, layout, seed):
    x = normal(*lead, 2 * d, seed=seed).astype(TYPES[name])
    x = x[..., ::2] if layout == "every other" else x[..., :d]
    if layout == "turned":
        x = np.ascontiguousarray(np.moveaxis(x, -1, 0)).transpose(*range(1, x.ndim), 0)
    got = hadamard(x, scale)
    assert got.dtype == x.dtype
    right(got, x, scale, UNITS[name])
    out = np.full((*lead, 2 * d), 7, x.dtype)[..., :d]
    assert hadamard(x, scale, out=out) is out
    np.testing.assert_array_equal(out, got)


def test_in_place_and_torch():
    x = normal(3, 4, 128)
    y = x.copy()
    assert hadamard(y, out=y) is y
    right(y, x)
    torch = pytest.importorskip("torch")
    t = torch.from_numpy(x).bfloat16()
    got = hadamard(t)
    assert got.dtype == torch.bfloat16 and got.shape == t.shape
    right(got.float().numpy(), t.float().numpy(), None, UNITS["bfloat16"])
    into = torch.empty_like(t)
    assert hadamard(t, out=into) is into and torch.equal(into, got)


def test_wrong_arguments():
    for x, message in ((normal(3, 96), "power of two from 2 on, found shape .3, 96."), (normal(3, 1), "power of two"),
                       (normal(3, 8).astype(np.float64), "f64 is none of"),
                       (np.array(3.0, np.float32), "power of two")):
        with pytest.raises(DslError, match=message):
            hadamard(x)
    with pytest.raises(DslError, match=r"out is f32 \(2, 8\), x f32 \(3, 8\)"):
        hadamard(normal(3, 8), out=normal(2, 8))
    with pytest.raises(DslError, match="overlap"):
        x = normal(4, 8)
        hadamard(x[:3], out=x[1:])


@pytest.mark.parametrize("target", ["cuda:sm_80", "hip:gfx942", "ascend:910b"])
def test_emulated(target):
    x = normal(3, 64)
    y = np.empty_like(x)
    hadamard_rows.emulate(y, x, 0.125, target=target)
    right(y, x)
    here = np.empty_like(x)
    hadamard_rows(here, x, 0.125)
    np.testing.assert_array_equal(y, here)                  # + and * are the same bits everywhere


# ---------------------------------------------------------------- parts that take turns
@tile_kernel
def recombined(x: "T[R, D]", w: "f32[D]", y: "U[R, D]", *, D: const, WAYS: const, AXIS: const, BR: const = 2):
    """Complex-like arithmetic on the first two and the last of WAYS parts that take turns; the others change places."""
    i = tile.grid(tile.cdiv(R, BR))
    v = tile.load(x, ((i * BR, BR), (0, D)))
    p = tile.split(tile.reshape(v, (BR, D // WAYS, WAYS)), WAYS, 2)
    q = tile.split(tile.reshape(tile.load(w, (0, D)), (1, D // WAYS, WAYS)), WAYS, 2)
    first, last = p[0] * q[1] - p[1], p[WAYS - 1] + q[0]
    if WAYS == 2:
        out = tile.concat((first, last), AXIS)
    else:
        out = tile.concat((first, last, p[3] * 2.0, p[2] + p[1]), AXIS)
    tile.store(y, ((i * BR, BR), (0, D)), tile.reshape(out, (BR, D)))


@pytest.mark.parametrize(("ways", "axis", "rows", "d"), [(4, 2, 5, 64), (4, 2, 5, 36), (4, 1, 3, 64), (2, 2, 5, 64)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_parts_that_take_turns(ways, axis, rows, d, dtype):
    x, w = normal(rows, d).astype(TYPES.get(dtype, np.float64)), normal(d, seed=1)
    y = np.empty((rows, d), np.float64 if dtype == "float64" else np.float32)
    want = y.copy()
    recombined.interpret(x, w, want, WAYS=ways, AXIS=axis)
    recombined(x, w, y, WAYS=ways, AXIS=axis)
    np.testing.assert_array_equal(y, want)


def test_turns_are_taken_by_blocks():
    x = normal(4, 64)
    text = hadamard_rows.source("cpu", x, x.copy(), 1.0)
    assert re.search(r"\bdeinterleave\(turns, &\w+_at\[e0 \* 8\]\)", text) and re.search(r"\binterleave\(&\w+\[e0 \* 8\], turns2\)", text)
    assert "fetch_block<8>(&(y + i * y_stride[0])[e0 * 8])" in text
    assert "load_row" not in text and "store_row" not in text, "rows are read and written where they stand"
