"""The Walsh-Hadamard transform of rows: butterflies of up to eight elements at once on a row that stays near the processor."""
from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np
from dslc import const, tile, tile_function, tile_kernel
from dslc.errors import check
from dslc.runtime.arrays import as_array
from dslc.runtime.library import Example, Expected, Given

from .results import new_array

DTYPES = ("f32", "f16", "bf16")
EIGHTHS = 16384     # rows from here on go eighth by eighth before these are mixed: twice as fast on a Zen 3 (32 KiB L1), rows of 8192 a little slower
# At most 3 levels go in one pass over a row: 8 tiles and what is made of them fit the 16 vector registers of AVX2; 4 levels took twice the time on a Zen 3.


@tile_function
def butterfly2(a, b, s):
    """s H_2 (a, b)"""
    return (a + b) * s, (a - b) * s


@tile_function
def butterfly4(a, b, c, d, s):
    """s H_4 (a, .., d)"""
    a, b = butterfly2(a, b, 1.0)
    c, d = butterfly2(c, d, 1.0)
    return (a + c) * s, (b + d) * s, (a - c) * s, (b - d) * s


@tile_function
def butterfly8(a, b, c, d, e, f, g, h, s):
    """s H_8 (a, .., h)"""
    a, b, c, d = butterfly4(a, b, c, d, 1.0)
    e, f, g, h = butterfly4(e, f, g, h, 1.0)
    return (a + e) * s, (b + f) * s, (c + g) * s, (d + h) * s, (a - e) * s, (b - f) * s, (c - g) * s, (d - h) * s


@tile_function
def butterflies(x, levels, s):
    """s H x of the 2^levels tiles x, for 1 to 3 levels."""
    if levels == 1:
        out = butterfly2(x[0], x[1], s)
    elif levels == 2:
        out = butterfly4(x[0], x[1], x[2], x[3], s)
    else:
        out = butterfly8(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], s)
    return out


@tile_function
def level_pass(v, done, levels, rows, row):
    """The next `levels` levels of the rows of v (rows, row), whose first `done` levels are done: elements 2^done apart are mixed."""
    parts = tile.split(tile.reshape(v, (rows * row >> levels + done, 1 << levels, 1 << done)), 1 << levels, 1)
    return tile.reshape(tile.concat(butterflies(parts, levels, 1.0), 1), (rows, row))


@tile_function
def lower_levels(x, rows, start, BR, ROW, LEVELS):
    """ROW elements of rows of x from `start` on, after LEVELS levels, in f32."""
    v = tile.cast(tile.load(x, (rows, (start, ROW))), tile.f32)
    for e in tile.unroll(LEVELS // 3):
        v = level_pass(v, 3 * e, 3, BR, ROW)
    if LEVELS % 3 > 0:
        v = level_pass(v, LEVELS - LEVELS % 3, LEVELS % 3, BR, ROW)
    return v


@tile_kernel
def hadamard_rows(y: "T[R, D]", x: "T[R, D]?", scale: "f32", *, D: const, BR: const = 1):
    """y = scale x H, H the D x D Hadamard matrix in Sylvester's order: H[i, j] = (-1)^popcount(i & j).  Without x the rows of y are replaced.

    Shapes: x, y (R, D), D = 2^l a power of two.  Levels go by distances 1, 2, 4, ..; sums in f32, the last times scale, then rounded to T.
    Error: (l + 1) 2^-24 |scale| sum_j |x[r, j]|, then T's rounding; exact for whole numbers with sums below 2^24 and a scale that is a power of two.
    Source: Fino and Algazi, "Unified matrix treatment of the fast Walsh-Hadamard transform", IEEE Transactions on Computers C-25 (1976).
    """
    levels = 0
    for e in tile.unroll(31):
        if D >> e > 1:
            levels = e + 1
    i = tile.grid(tile.cdiv(R, BR))
    rows, last = (i * BR, BR), tile.minimum(levels, 3)
    if x is None:                                           # noqa: SIM108 -- the language has no conditional expression
        given = y
    else:
        given = x
    P = D >> last
    if D < EIGHTHS:
        parts = tile.split(lower_levels(given, rows, 0, BR, D, levels - last), 1 << last, 1)
    else:
        parts = (lower_levels(given, rows, 0, BR, P, levels - 3), lower_levels(given, rows, P, BR, P, levels - 3),
                 lower_levels(given, rows, 2 * P, BR, P, levels - 3), lower_levels(given, rows, 3 * P, BR, P, levels - 3),
                 lower_levels(given, rows, 4 * P, BR, P, levels - 3), lower_levels(given, rows, 5 * P, BR, P, levels - 3),
                 lower_levels(given, rows, 6 * P, BR, P, levels - 3), lower_levels(given, rows, 7 * P, BR, P, levels - 3))
    parts = butterflies(parts, last, scale)
    for e in tile.unroll(1 << last):
        tile.store(y, (rows, (e * P, P)), parts[e])


# ---------------------------------------------------------------- host
def hadamard(x: Any, scale: float | None = None, *, out: Any = None) -> Any:
    """The Walsh-Hadamard transform along the last dimension: out[..., i] = scale sum_j (-1)^popcount(i & j) x[..., j] (Sylvester's order).

    x (..., D), D a power of two from 2 on, f32, f16 or bf16; numpy, torch or what else kernels take.  scale: None for 1 / sqrt(D), with which the
    transform is its own inverse; 1.0 for scipy.linalg.hadamard(D) itself.  out: where the result goes, of x's shape and dtype; x itself is fine.
    Error: (log2 D + 1) 2^-24 |scale| sum_j |x[..., j]|, then the rounding to x's dtype: all sums are f32.
    Raises DslError for other dtypes, lengths and shapes.
    """
    given = as_array(x)
    shape, rows, row = given.shape, prod(given.shape[:-1]), given.shape[-1] if given.shape else 0
    check(given.dtype in DTYPES, f"hadamard: {given.dtype} is none of {', '.join(DTYPES)}", hint="convert it")
    check(row > 1 and row & row - 1 == 0, f"hadamard: the last dimension must be a power of two from 2 on, found shape {shape}", hint="append zeros")
    y = new_array(x, shape, given.dtype) if out is None else out
    result = as_array(y)
    check(result.shape == shape and result.dtype == given.dtype, f"hadamard: out is {result.dtype} {result.shape}, x {given.dtype} {shape}")
    by = 1 / sqrt(row) if scale is None else scale
    flat, into = x.reshape(rows, row), y.reshape(rows, row)
    if out is x:
        flat = into
    hadamard_rows(into, None if flat is into else flat, by)
    if as_array(into).pointer != result.pointer:
        y[...] = into.reshape(shape)                        # the rows of `out` are not evenly spaced, so that reshape made a copy
    return y


# ---------------------------------------------------------------- reference
def _reference(given: Given, _got: Given) -> dict[str, Expected]:
    """By the matrix: no butterflies."""
    x = given["y" if given.get("x") is None else "x"].astype(np.float64)
    n = np.arange(x.shape[1])
    h = 1.0 - 2.0 * (np.bitwise_count(n[:, None] & n) & 1)
    error = (np.log2(len(n)) + 1) * 2.0 ** -24 * abs(given["scale"]) * np.abs(x).sum(1, keepdims=True)
    return {"y": Expected(given["scale"] * (x @ h), np.broadcast_to(error, x.shape))}


EXAMPLES = {"hadamard_rows": Example({"R": 4096, "D": 1024}, _reference, {"T": "f32"}, {"scale": 1 / 32}, present=("x",),
                                     operations=lambda n: n["R"] * n["D"] * np.log2(n["D"]))}
