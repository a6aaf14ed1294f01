"""Kernels with odd uses of the language, each with the data it is run on.  Imported twice: over the eager specification and over dslc.

Not a test itself.  A case is a function that returns launches; the same seeds give the same data under both.
"""

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from tile_eager import const, fresh, tile, tile_function, tile_kernel

f16, f32, f64, bf16 = np.float16, np.float32, np.float64, ml_dtypes.bfloat16
e4m3, e5m2 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2


@dataclass
class Launch:
    """One call.  Arrays of numeric class B are named in `bounds`: array -> largest absolute error; all others must be bit-equal.

    `signless` are arrays in which +0 and -0 count as one (min and max leave it open).
    """

    kernel: Any
    args: dict[str, Any]
    bounds: dict[str, float] = field(default_factory=dict)
    signless: tuple[str, ...] = ()


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, dtype=f32, seed=0):
    return rng(seed).standard_normal(shape).astype(f32).astype(dtype)


def integers(*shape, dtype=np.int32, seed=0, low=None, high=None):
    info = np.iinfo(dtype)
    return rng(seed).integers(info.min if low is None else low, info.max if high is None else high, shape, dtype, endpoint=True)


def awkward(*shape, dtype=f32, seed=0):
    """Normal numbers with NaN, infinities, both zeros, subnormals and the largest among them."""
    x = normal(*shape, seed=seed).astype(f64) * 100
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 3.4e38, -3.4e38, 0.5, 1.5, 2.5, -0.5, -1.5, 65504.0, 448.0, 464.0, 57344.0, 1e-8, 2.0 ** 31,
               -2.0 ** 31, 2.0 ** 63]
    at = rng(seed + 1).random(shape) < 0.5
    with np.errstate(over="ignore"):
        return np.where(at, rng(seed + 2).choice(special, shape), x).astype(dtype)


# ---------------------------------------------------------------- shapes
@tile_kernel
def rank_four(x: "f32[A, B, C, D]", y: "f32[C, A, D, B]", z: "f32[A, D]", w: "f32[B, C, 7]"):
    i, c = tile.grid(tile.cdiv(A, 3), C)
    t = tile.load(x, ((i * 3, 3), (0, 5), (c, 1), (-2, 7)), pad=-7.0)
    tile.store(y, ((c, 1), (i * 3, 3), (-2, 7), (0, 5)), tile.transpose(t, (2, 0, 3, 1)))
    flat = tile.reshape(tile.transpose(t, (3, 1, 0, 2)), (7, 15))
    if c == 0:
        tile.store(z, ((i * 3, 3), (-2, 7)), tile.reshape(tile.transpose(tile.max(tile.reshape(flat, (7, 5, 3, 1)), 1), (2, 1, 0)), (3, 7)))
    if i == 0:
        tile.store(w, ((0, 5), c, (0, 7)), tile.min(tile.reshape(t, (3, 5, 7)), 0))


@tile_kernel
def extents_of_one(x: "i32[M, N]", y: "i32[M, N]", s: "i32[1]"):
    i, j = tile.grid(M, N)
    t = tile.load(x, ((i, 1), (j, 1)))
    u = tile.load(x, (i, (j, 1)))
    v = tile.load(x, (i, j))
    row = tile.broadcast(t, (1, 3))
    tile.store(y, ((i, 1), (j, 1)), t + u[None, :] - v + tile.sum(row, 1)[:, None] + tile.sum(tile.sum(row, 0), 0))
    if (i == 0) and (j == 0):
        tile.store(s, 0, tile.max(tile.max(t, 1), 0))


def case_rank_four():
    return [Launch(rank_four, dict(x=normal(4, 5, 2, 6), y=fresh((2, 4, 6, 5), f32), z=fresh((4, 6), f32), w=fresh((5, 2, 7), f32)))]


def case_extents_of_one():
    return [Launch(extents_of_one, dict(x=integers(3, 5), y=fresh((3, 5), np.int32), s=fresh(1, np.int32)))]


# ---------------------------------------------------------------- carried names
@tile_kernel
def swapped(x: "f32[N]", y: "f32[N]", out: "f32[4, 6]", n: "i32[P]", total: "i64[P]"):
    p = tile.grid(P)
    a, b = tile.load(x, (0, 6)), tile.load(y, (0, 6))
    c = tile.zeros((6,), tile.f32)
    count, bound = tile.full((), 0, tile.i64), tile.load(n, p)
    for i in tile.range(0, bound):
        a, b, c = b, a, a + c
        for j in tile.range(i, bound, 3):
            a, b = b + 1.0, a
            count = count + 1
        c = c * 0.5
    tile.store(out, (p, (0, 6)), a - b + c)
    tile.store(total, p, count)


@tile_kernel
def fibonacci(out: "u64[P]", steps: "u8[P]"):
    p = tile.grid(P)
    a, b = tile.full((), 0, tile.u64), tile.full((), 1, tile.u64)
    n = tile.cast(tile.load(steps, p), tile.i32)
    while n > 0:
        a, b, n = b, a + b, n - 1
    tile.store(out, p, a)


@tile_kernel
def collatz(start: "i64[P]", steps: "i32[P]", peak: "i64[P]", kinds: "i32[P, 2]"):
    p = tile.grid(P)
    for k in tile.range(0, 1):
        n, top, count = tile.load(start, p), tile.load(start, p), tile.full((), 0, tile.i32)
        odd = tile.full((2,), 0, tile.i32)
        while (n > 1) and not (count >= 300):
            if n % 2 == 0:
                n = n // 2
                step = tile.iota(2) == 0
            else:
                n = 3 * n + 1
                step = tile.iota(2) == 1
            odd = odd + tile.where(step, tile.full((2,), 1, tile.i32), 0)
            if n > top:
                top = n
            count += 1
        tile.store(steps, p, count)
        tile.store(peak, p, top)
        tile.store(kinds, (p, (0, 2)), odd)


@tile_kernel
def branches(x: "f32[M, N]", out: "f32[M, N]", level: "f32"):
    i = tile.grid(M)
    at = (i, (0, 9))
    t, sign = tile.load(x, at), tile.full((), 1.0, tile.f32)
    for k in tile.range(0, i):
        if level > 0.5:
            if k % 3 == 0:
                u, sign = t + 1.0, -sign
            elif k % 3 == 1:
                u = t * sign
            else:
                u = -t
                sign = sign * 2.0
        else:
            u = t
        t = u
    tile.store(out, at, t * sign)


@tile_kernel
def views_of_carried(x: "f32[8, 8]", out: "f32[8, 8]", flat: "f32[4, 16]", n: "i32"):
    i = tile.grid(1)
    t = tile.load(x, ((0, 8), (0, 8)))
    last = tile.reshape(t, (4, 16))
    for k in tile.range(0, n):
        last = tile.reshape(t.T, (4, 16))
        t = t.T + tile.cast(k, tile.f32)
        top, bottom = tile.split(t, 2, 0)
        t = tile.concat((bottom, top), 0)
    tile.store(out, ((0, 8), (0, 8)), t)
    tile.store(flat, ((0, 4), (0, 16)), last)


def case_swapped():
    n = np.array([0, 1, 4, 7], np.int32)
    return [Launch(swapped, dict(x=normal(6), y=normal(6, seed=1), out=fresh((4, 6), f32), n=n, total=fresh(4, np.int64)))]


def case_fibonacci():
    return [Launch(fibonacci, dict(out=fresh(5, np.uint64), steps=np.array([0, 1, 2, 93, 255], np.uint8)))]


def case_collatz():
    start = np.array([0, 1, 27, 97, 871, 2 ** 40 - 1, -5], np.int64)
    return [Launch(collatz, dict(start=start, steps=fresh(7, np.int32), peak=fresh(7, np.int64), kinds=fresh((7, 2), np.int32)))]


def case_branches():
    return [Launch(branches, dict(x=normal(7, 9), out=fresh((7, 9), f32), level=level)) for level in (0.25, 1.0)]


def case_views_of_carried():
    return [Launch(views_of_carried, dict(x=normal(8, 8), out=fresh((8, 8), f32), flat=fresh((4, 16), f32), n=n)) for n in (0, 1, 5)]


# ---------------------------------------------------------------- compile time
SCALE = 3
PAIR = (2, (5, 7))


@tile_function
def twice(f, x, y):
    return f(f(x, y), y)


@tile_function
def add_scaled(x, y):
    return x + y * SCALE


@tile_function
def composed(f, g, x):
    a = g(x, x)
    return f(add_scaled, x, a), (a, tile.full((5,), tile.sqrt(16.0) + 2 * 5, x.dtype))


@tile_kernel
def functions(x: "f32[N]", out: "f32[3, N]", *, BN: const = 5, f: const = add_scaled, scale: const = PAIR, flag: const = True, wide: const = tile.f64):
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    y, (a, filled) = composed(twice, f, tile.load(x, at))
    m, (n, k) = scale
    if flag and (m * n > k or BN == 1):
        filled = filled + m
    else:
        filled = filled - 1e30
    total = tile.cast(filled, wide)
    for e in tile.unroll(1, k, m):
        total = total + e * (k - e) // m % n
    tile.store(out, (0, at), y)
    tile.store(out, (1, at), a)
    tile.store(out, (2, at), total)


def case_functions():
    return [Launch(functions, dict(x=normal(13), out=fresh((3, 13), f32), **named)) for named in ({}, dict(flag=False, scale=(1, (3, 4)), wide=tile.f32))]


# ---------------------------------------------------------------- edges
@tile_kernel
def edges(x: "i32[M, N]", y: "i32[M, N]", z: "i32[3, 6, 10]", first: "i64", stop: "i32"):
    i = tile.grid(1)
    t = tile.load(x, ((-2, 6), (first, 10)), pad=-1)
    tile.store(z, (0, (0, 6), (0, 10)), t)
    tile.store(z, (1, (0, 6), (0, 10)), tile.load(x, ((1, 6, 4), (first, 10, stop)), pad=5))
    tile.store(z, (2, (-1, 8), (-3, 20)), 9)
    tile.store(y, ((-2, 6, 3), (first, 10, stop)), t)
    tile.store(y, ((M, 6), (0, 10)), t)
    tile.store(y, ((0, 6), (-100, 10)), t)


def case_edges():
    return [Launch(edges, dict(x=integers(5, 7), y=np.zeros((5, 7), np.int32), z=fresh((3, 6, 10), np.int32), first=first, stop=stop))
            for first, stop in ((-3, 5), (4, 100), (2 ** 40, -3), (-2 ** 40, 2 ** 31 - 1), (0, 0))]


# ---------------------------------------------------------------- gather, scatter
@tile_kernel
def gathers(x: "f16[A, B, C]", ids: "i32[R]", cols: "i64[Q]", out: "f16[6, 5, 4]", rows: "f16[6, 7, C]", one: "f16[6]"):
    i = tile.grid(1)
    r, q = tile.load(ids, (0, 6), pad=-1), tile.load(cols, (0, 5), pad=-9)
    tile.store(out, ((0, 6), (0, 5), (0, 4)), tile.load(x, (r[:, None], q[None, :], (-1, 4)), pad=2.5))
    tile.store(rows, ((0, 6), (0, 7), (0, 9)), tile.load(x, (r, (-1, 7), (0, 9)), pad=-0.5))
    tile.store(one, (0, 6), tile.load(x, (r, 1, tile.where(r > 2, r, 0))))


@tile_kernel
def scatters(x: "f32[R, D]", to: "i32[R]", out: "f32[S, D]", grid: "i32[S, S]", count: "u8[R]"):
    i = tile.grid(1)
    at = tile.load(to, (0, 8), pad=-1)
    tile.store(out, (at, (-1, 7)), tile.load(x, ((0, 8), (-1, 7))))
    tile.store(grid, (tile.where(at % 2 == 0, at, -1), at), tile.iota(8) * tile.iota(8))
    tile.store(grid, (at[:, None], tile.where(tile.iota(3) != 1, tile.iota(3) + 5, 99)[None, :]), 7)
    tile.store(count, tile.iota(8), at > 2)


def case_gathers():
    ids, cols = np.array([2, -1, 0, 5, 2], np.int32), np.array([0, 3, -2 ** 40, 4, 2 ** 40], np.int64)
    return [Launch(gathers, dict(x=normal(3, 4, 5, dtype=f16), ids=ids, cols=cols, out=fresh((6, 5, 4), f16), rows=fresh((6, 7, 5), f16), one=fresh(6, f16)))]


def case_scatters():
    to = np.array([4, -1, 0, 9, 2, 3, 100], np.int32)
    return [Launch(scatters, dict(x=normal(7, 5), to=to, out=np.full((8, 5), 3.0, f32), grid=np.zeros((8, 8), np.int32), count=fresh(7, np.uint8)))]


# ---------------------------------------------------------------- packed tensors
@tile_kernel
def bits_inner(x: "u1[M, N] in u8[M, N/8]", y: "u1[M, N] in u8[M, N/8]", wide: "i32[M, N]"):
    i = tile.grid(M)
    for j in tile.range(0, N, 16):
        t = tile.load(x, (i, (j, 16)))
        tile.store(wide, (i, (j, 16)), tile.load(x, (i, (j - 3, 16)), pad=1) + 1 - tile.iota(16) % 2)
        tile.store(y, (i, (j, 16)), ~t)


@tile_kernel
def crumbs_outer(x: "u2[K, N] in u16[K/8, N] split", y: "u2[K, N] in u16[K/8, N]", z: "u2[K, N] in u16[K/8, N] split", KP: const = 24):
    i = tile.grid(tile.cdiv(N, 3))
    t = tile.load(x, ((0, KP), (i * 3, 3)))
    tile.store(y, ((0, KP), (i * 3, 3)), tile.where(t > 1, t, 3))
    tile.store(z, ((0, KP), (i * 3, 3)), t ^ 1)


@tile_kernel
def nibbles_ordered(x: "u4[K, N] in u32[K, N/8] order 0 2 4 6 1 3 5 7", y: "u4[K, N] in u32[K, N/8] order 7 0 6 1 5 2 4 3", wide: "i32[K, N]"):
    i = tile.grid(K)
    for j in tile.range(0, N, 24):
        t = tile.load(x, (i, (j, 24)))
        tile.store(y, (i, (j, 24)), tile.maximum(t, 9))
        tile.store(wide, (i, (j, 24)), tile.cast(t, tile.i32) * 1000 - 7)


@tile_kernel
def signed_nibbles(x: "i4[K, N] in u64[K/16, N]", y: "i4[K, N] in u64[K/16, N] split", ids: "i32[N]", ones: "i32[K, N]", wide: "f32[K, N]", *, KP: const = 32):
    i = tile.grid(1)
    cols = tile.load(ids, (0, 5), pad=-1)
    t = tile.load(x, ((0, KP), cols))
    tile.store(ones, ((0, KP), (0, 5)), tile.popcount(t))
    tile.store(wide, ((0, KP), (0, 5)), tile.cast(-t, tile.f32) + tile.cast(tile.load(x, (17, 2)), tile.f32))
    tile.store(y, ((0, KP), (0, 5)), tile.minimum(t, 2))


@tile_kernel
def bits_split(x: "u1[M, N] in u64[M, N/64] split", y: "u1[N, M] in u32[N/32, M]", NP: const = 128):
    i = tile.grid(M)
    tile.store(y, ((0, NP), i), tile.load(x, (i, (0, NP))))


def case_packed():
    words = integers(5, 5, dtype=np.uint8)
    return [Launch(bits_inner, dict(x=words, y=fresh((5, 5), np.uint8), wide=fresh((5, 40), np.int32))),
            Launch(crumbs_outer, dict(x=integers(3, 7, dtype=np.uint16), y=fresh((3, 7), np.uint16), z=fresh((3, 7), np.uint16))),
            Launch(nibbles_ordered, dict(x=integers(3, 5, dtype=np.uint32), y=fresh((3, 5), np.uint32), wide=fresh((3, 40), np.int32))),
            Launch(signed_nibbles, dict(x=integers(2, 5, dtype=np.uint64), y=fresh((2, 5), np.uint64), ids=np.array([4, 0, -1, 2, 2], np.int32),
                                        ones=fresh((32, 5), np.int32), wide=fresh((32, 5), f32))),
            Launch(bits_split, dict(x=integers(3, 2, dtype=np.uint64), y=fresh((4, 3), np.uint32)))]


@tile_kernel
def fields(x: "u32[M, N]", signed: "i16[M, N]", nibbles: "i8[M, 8, N]", again: "u32[2, M, N]", ones: "i16[M, N]", mixed: "u8[M, 12]", *, NW: const = 3):
    i = tile.grid(M)
    t = tile.load(x, (i, (0, NW)))
    low, split = tile.unpack(t, tile.i4), tile.unpack(t, tile.u4, "split")
    tile.store(nibbles, (i, (0, 8), (0, NW)), tile.transpose(tile.reshape(low, (3, 8)), (1, 0)))
    tile.store(again, (0, i, (0, NW)), tile.pack(low, tile.u32))
    tile.store(again, (1, i, (0, NW)), tile.pack(split, tile.u32, order="split"))
    bits = tile.unpack(tile.load(signed, (i, (0, NW))), tile.u1)
    tile.store(ones, (i, (0, NW)), tile.cast(tile.sum(tile.reshape(bits, (3, 16)), 1), tile.i16))
    tile.store(mixed, (i, (0, 12)), tile.pack(tile.unpack(t, tile.u2, "split"), tile.u8))


def case_fields():
    return [Launch(fields, dict(x=integers(4, 3, dtype=np.uint32), signed=integers(4, 3, dtype=np.int16), nibbles=fresh((4, 8, 3), np.int8),
                                again=fresh((2, 4, 3), np.uint32), ones=fresh((4, 3), np.int16), mixed=fresh((4, 12), np.uint8)))]


# ---------------------------------------------------------------- conversion
@tile_kernel
def to_narrow(x: "T[N]", a: "f8e4m3[2, N]", b: "f8e5m2[2, N]", h: "f16[N]", g: "bf16[N]", back: "f32[4, N]", *, BN: const = 20):
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    t = tile.load(x, at)
    tile.store(a, (0, at), t)
    tile.store(a, (1, at), tile.cast(t, tile.f8e4m3, saturate=False))
    tile.store(b, (0, at), tile.cast(t, tile.f8e5m2, round="rne"))
    tile.store(b, (1, at), tile.cast(t, tile.f8e5m2, saturate=False))
    tile.store(h, at, t)
    tile.store(g, at, t)
    tile.store(back, (0, at), tile.cast(t, tile.f8e4m3) + 0.0)
    tile.store(back, (1, at), tile.cast(t, tile.f8e5m2) * 1.0)
    tile.store(back, (2, at), tile.cast(tile.cast(t, tile.f16), tile.f32))
    tile.store(back, (3, at), tile.cast(tile.cast(t, tile.bf16), tile.f64))


@tile_kernel
def to_integers(x: "T[N]", out: "i64[15, N]", whole: "T[5, N]", *, BN: const = 17):
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    t = tile.load(x, at)
    tile.store(out, (0, at), tile.cast(t, tile.i32, round="rne"))
    tile.store(out, (1, at), tile.cast(t, tile.i32, round="rtz"))
    tile.store(out, (2, at), tile.cast(t, tile.i32, round="down"))
    tile.store(out, (3, at), tile.cast(t, tile.i32, round="up"))
    tile.store(out, (4, at), tile.cast(t, tile.i32, round="away"))
    tile.store(out, (5, at), tile.cast(t, tile.i8, round="rne"))
    tile.store(out, (6, at), tile.cast(t, tile.u8, round="away"))
    tile.store(out, (7, at), tile.cast(t, tile.u16, round="down"))
    tile.store(out, (8, at), tile.cast(t, tile.u32, round="up"))
    tile.store(out, (9, at), tile.cast(t, tile.i16, round="rtz"))
    tile.store(out, (10, at), tile.cast(t, tile.u4, round="rne"))
    tile.store(out, (11, at), tile.cast(t, tile.i4, round="down"))
    tile.store(out, (12, at), tile.cast(tile.cast(t, tile.u2, round="rtz"), tile.i64))
    small = tile.where(tile.abs(t) < 1e18, t, 0.0)
    tile.store(out, (13, at), tile.cast(small, tile.i64, round="rne"))
    tile.store(out, (14, at), tile.bitcast(tile.cast(tile.abs(small), tile.u64, round="up"), tile.i64))
    tile.store(whole, (0, at), tile.round(t))
    tile.store(whole, (1, at), tile.round(t, "rtz"))
    tile.store(whole, (2, at), tile.round(t, mode="down"))
    tile.store(whole, (3, at), tile.round(t, "up"))
    tile.store(whole, (4, at), tile.round(t, "away"))


@tile_kernel
def between_integers(x: "i64[N]", wraps: "i64[7, N]", clips: "i64[7, N]", floats: "f32[2, N]", doubles: "f64[N]", halves: "f16[N]", *, BN: const = 16):
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    t = tile.load(x, at)
    tile.store(wraps, (0, at), tile.cast(t, tile.i8))
    tile.store(wraps, (1, at), tile.cast(t, tile.u16))
    tile.store(wraps, (2, at), tile.cast(t, tile.i32))
    tile.store(wraps, (3, at), tile.cast(t, tile.u4))
    tile.store(wraps, (4, at), tile.cast(t, tile.i4))
    tile.store(wraps, (5, at), tile.cast(t, tile.u1))
    tile.store(wraps, (6, at), tile.cast(tile.cast(t, tile.u64), tile.u32))
    tile.store(clips, (0, at), tile.cast(t, tile.i8, saturate=True))
    tile.store(clips, (1, at), tile.cast(t, tile.u16, saturate=True))
    tile.store(clips, (2, at), tile.cast(t, tile.i32, saturate=True))
    tile.store(clips, (3, at), tile.cast(t, tile.u4, saturate=True))
    tile.store(clips, (4, at), tile.cast(t, tile.i4, saturate=True))
    tile.store(clips, (5, at), tile.cast(t, tile.u1, saturate=True))
    tile.store(clips, (6, at), tile.cast(t, tile.u32, saturate=True))
    tile.store(floats, (0, at), tile.cast(t, tile.f32))
    tile.store(floats, (1, at), tile.cast(tile.bitcast(t, tile.u64), tile.f32))
    tile.store(doubles, at, tile.cast(t, tile.f64))
    tile.store(halves, at, tile.cast(tile.cast(t, tile.i16), tile.f16))


def case_to_narrow():
    def outputs():
        return dict(a=fresh((2, 70), e4m3), b=fresh((2, 70), e5m2), h=fresh(70, f16), g=fresh(70, bf16), back=fresh((4, 70), f32))
    return [Launch(to_narrow, dict(x=awkward(70, dtype=d), **outputs())) for d in (f32, f64, f16, bf16)]


def case_to_integers():
    return [Launch(to_integers, dict(x=awkward(70, dtype=d), out=fresh((15, 70), np.int64), whole=fresh((5, 70), d))) for d in (f32, f64, f16, bf16)]


def case_between_integers():
    x = np.concatenate([integers(30, dtype=np.int64), integers(30, dtype=np.int64, low=-300, high=300), [2 ** 63 - 1, -2 ** 63, 2 ** 53 + 1, 2 ** 24 + 1, -1,
        0]])
    n = len(x)
    return [Launch(between_integers, dict(x=x, wraps=fresh((7, n), np.int64), clips=fresh((7, n), np.int64), floats=fresh((2, n), f32), doubles=fresh(n, f64),
                                          halves=fresh(n, f16)))]


# ---------------------------------------------------------------- integers and bits
@tile_kernel
def integer_arithmetic(x: "T[N]", y: "T[N]", out: "T[12, N]", *, BN: const = 24):
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    a, b = tile.load(x, at), tile.load(y, at, pad=1)
    b = tile.where(b == 0, 1, b)
    n = b & 7
    tile.store(out, (0, at), a + b)
    tile.store(out, (1, at), a - b)
    tile.store(out, (2, at), a * b)
    tile.store(out, (3, at), tile.where(n == 7, a, a // tile.where(b + 1 == 0, 1, b)))
    tile.store(out, (4, at), a % tile.where(b + 1 == 0, 1, b))
    tile.store(out, (5, at), -a)
    tile.store(out, (6, at), (a & b) | ~(a ^ b))
    tile.store(out, (7, at), a << n)
    tile.store(out, (8, at), a >> n)
    tile.store(out, (9, at), tile.maximum(a, b) - tile.minimum(a, 5))
    tile.store(out, (10, at), tile.abs(a) + tile.cast(tile.popcount(a ^ b), a.dtype))
    tile.store(out, (11, at), a // 8 + a % 8 + a // 7 * 3)


@tile_kernel
def wide_bits(x: "i64[N]", out: "i64[6, N]", far: "u64[N]", *, BN: const = 8):
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    t = tile.load(x, at)
    u = tile.bitcast(t, tile.u64)
    tile.store(out, (0, at), t >> 63)
    tile.store(out, (1, at), t << 40 ^ (t >> 3))
    tile.store(out, (2, at), t & 0x7FFFFFFFFFFFFFFF | 0x1000000000)
    tile.store(out, (3, at), tile.cast(tile.popcount(t), tile.i64))
    tile.store(out, (4, at), ~t * -9223372036854775807)
    tile.store(out, (5, at), tile.where((t < 0) & (tile.bitcast(u, tile.f64) <= 0.0), t, 1))
    tile.store(far, at, (u >> 63) | (u << 1) - 18446744073709551615)


def case_integer_arithmetic():
    out = []
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64):
        x, y = integers(90, dtype=dtype), integers(90, dtype=dtype, seed=1)
        x[:4] = np.iinfo(dtype).min, np.iinfo(dtype).max, 0, 1
        out.append(Launch(integer_arithmetic, dict(x=x, y=y, out=fresh((12, 90), dtype))))
    return out


def case_wide_bits():
    x = integers(20, dtype=np.int64)
    x[:3] = -2 ** 63, 2 ** 63 - 1, 0
    return [Launch(wide_bits, dict(x=x, out=fresh((6, 20), np.int64), far=fresh(20, np.uint64)))]


# ---------------------------------------------------------------- floats, selection
@tile_kernel
def float_arithmetic(x: "T[N]", y: "T[N]", out: "f64[8, N]", same: "T[6, N]", flags: "u8[6, N]", *, BN: const = 19):
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    a, b = tile.load(x, at), tile.load(y, at)
    tile.store(out, (0, at), a + b)
    tile.store(out, (1, at), a * b - 0.1)
    tile.store(out, (2, at), a / b)
    tile.store(out, (3, at), tile.sqrt(tile.abs(a)))
    tile.store(out, (4, at), tile.where(tile.abs(a) < 1e4, tile.fma(a, 0.5, b), 0.0))
    tile.store(out, (5, at), a - i)
    tile.store(out, (6, at), 1.0 / a)
    tile.store(out, (7, at), 3 - b)
    tile.store(same, (0, at), -a)
    tile.store(same, (1, at), tile.where((a < b) | (b != b), a, 1.5))
    tile.store(same, (2, at), tile.abs(a))
    tile.store(same, (3, at), tile.minimum(a, b))
    tile.store(same, (4, at), tile.maximum(a, b))
    tile.store(same, (5, at), tile.minimum(tile.maximum(a, -1.0), 1.0))
    tile.store(flags, (0, at), a < b)
    tile.store(flags, (1, at), a <= b)
    tile.store(flags, (2, at), (a == b) & ~(a != a))
    tile.store(flags, (3, at), a != b)
    tile.store(flags, (4, at), (a > b) ^ (a >= 0.0))
    tile.store(flags, (5, at), (a > 0.0) == (b > 0.0))


def case_float_arithmetic():
    return [Launch(float_arithmetic, dict(x=awkward(60, dtype=d), y=awkward(60, dtype=d, seed=9), out=fresh((8, 60), f64), same=fresh((6, 60), d),
                                          flags=fresh((6, 60), np.uint8)), signless=("same",)) for d in (f32, f64, f16, bf16, e4m3, e5m2)]


# ---------------------------------------------------------------- lookup, random bits
@tile_kernel
def lookups(table: "f16[R, D]", codes: "i8[N]", flat: "u8[R]", out: "f16[N, D]", one: "u8[N]", bits: "u32[2, N]", key: "u64", *, BN: const = 6, RP: const = 5,
            DP: const = 3):
    i = tile.grid(tile.cdiv(N, BN))
    c = tile.load(codes, (i * BN, BN), pad=-1)
    rows = tile.load(table, ((0, RP), (0, DP)))
    tile.store(out, ((i * BN, BN), (0, DP)), tile.take(rows, c))
    tile.store(one, (i * BN, BN), tile.take(tile.load(flat, (0, RP)), tile.reshape(tile.reshape(c, (2, 3)), (6,))))
    n = i * BN + tile.iota(BN)
    tile.store(bits, (0, (i * BN, BN)), tile.random(key, n))
    tile.store(bits, (1, (i * BN, BN)), tile.random(7, n * 0x100000001))


def case_lookups():
    codes = np.array([0, 4, -1, 5, 127, -128, 2, 3, 1, 1, 0], np.int8)
    return [Launch(lookups, dict(table=normal(5, 3, dtype=f16), codes=codes, flat=integers(5, dtype=np.uint8), out=fresh((11, 3), f16), one=fresh(11, np.uint8),
                                 bits=fresh((2, 11), np.uint32), key=key)) for key in (0, 2 ** 64 - 1, 0x123456789ABCDEF)]


# ---------------------------------------------------------------- dot
@tile_kernel
def dots(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", row: "f32[N]", outer: "f32[M, N]", gram: "f32[M, M]", turned: "f32[N, M]", *, MP: const, NP: const,
         KP: const):
    i = tile.grid(1)
    x, y = tile.load(a, ((0, MP), (0, KP))), tile.load(b, ((0, KP), (0, NP)))
    p = tile.dot(x, y)
    tile.store(c, ((0, MP), (0, NP)), tile.dot(x, y, p) - p)
    first = tile.load(a, ((0, 1), (0, KP)))
    tile.store(row, (0, NP), tile.reshape(tile.dot(first, y), (NP,)))
    column = tile.load(a, ((0, MP), (0, 1)))
    tile.store(outer, ((0, MP), (0, NP)), tile.dot(column, tile.load(b, ((0, 1), (0, NP))), p))
    tile.store(gram, ((0, MP), (0, MP)), tile.dot(x, x.T))
    tile.store(turned, ((0, NP), (0, MP)), tile.dot(y.T, x.T) + tile.dot(y.T, x.T, p.T) - p.T)


@tile_kernel
def integer_dots(a: "S[M, K]", b: "U[K, N]", c: "i32[M, N]", d: "i32[1, 1]", *, MP: const, NP: const, KP: const):
    i = tile.grid(1)
    acc = tile.full((MP, NP), 2147483647, tile.i32)
    for k in tile.range(0, K, KP):
        x, y = tile.load(a, ((0, MP), (k, KP))), tile.load(b, ((k, KP), (0, NP)))
        before = acc
        acc = tile.dot(x, y, acc)
        acc = acc + before
    tile.store(c, ((0, MP), (0, NP)), acc)
    x, y = tile.load(a, ((M - 1, 1), (0, KP))), tile.load(b, ((0, KP), (N - 1, 1)))
    tile.store(d, ((0, 1), (0, 1)), tile.dot(x, y))


@tile_kernel
def nibble_dots(a: "i4[M, K] in u8[M, K/2]", b: "u4[K, N] in u8[K/2, N]", c: "i32[M, N]", *, MP: const = 3, NP: const = 5, KP: const = 14):
    i = tile.grid(1)
    x, y = tile.load(a, ((0, MP), (0, KP))), tile.load(b, ((0, KP), (0, NP)))
    tile.store(c, ((0, MP), (0, NP)), tile.dot(x, y))


@tile_kernel
def chained_dots(x: "f64[M, M]", out: "f64[M, M]", h: "f32[M, M]", *, MP: const = 12):
    """A product is the accumulator, the left and the right operand of the next."""
    i = tile.grid(1)
    t = tile.load(x, ((0, MP), (0, MP)))
    kept, u = t, t
    for k in tile.range(0, 3):
        u = tile.dot(t, t.T)
        t = tile.dot(u, kept, u) * 0.01
    tile.store(out, ((0, MP), (0, MP)), t + u)
    single = tile.cast(t, tile.f32)
    half = tile.cast(single, tile.f16)
    tile.store(h, ((0, MP), (0, MP)), tile.dot(half, half, single) + tile.dot(single, single, precision="tf32"))


def dots_bound(k):
    return 8 * (k + 8) * 2.0 ** -23 * 16 * k


def case_dots():
    out = []
    for d, (m, n, k) in ((f32, (1, 7, 33)), (f32, (9, 1, 5)), (f32, (13, 11, 1)), (f16, (5, 6, 16)), (bf16, (8, 8, 8)), (e4m3, (3, 17, 20)), (f32, (17, 33,
        40))):
        arrays = dict(a=normal(m, k, dtype=d), b=normal(k, n, dtype=d, seed=1), c=fresh((m, n), f32), row=fresh(n, f32), outer=fresh((m, n), f32),
                      gram=fresh((m, m), f32),
                      turned=fresh((n, m), f32))
        out.append(Launch(dots, dict(arrays, MP=m, NP=n, KP=k), dict.fromkeys(("c", "row", "outer", "gram", "turned"), dots_bound(k))))
    return out


def case_integer_dots():
    out = []
    for s, u, (m, n, k) in ((np.int8, np.uint8, (1, 9, 17)), (np.uint8, np.int8, (9, 1, 8)), (np.uint8, np.uint8, (4, 5, 40)), (np.int8, np.int8, (6, 19, 70))):
        out.append(Launch(integer_dots, dict(a=integers(m, k, dtype=s), b=integers(k, n, dtype=u, seed=1), c=fresh((m, n), np.int32), d=fresh((1, 1),
            np.int32), MP=m, NP=n, KP=13)))
    out.append(Launch(nibble_dots, dict(a=integers(3, 7, dtype=np.uint8), b=integers(7, 5, dtype=np.uint8, seed=1), c=fresh((3, 5), np.int32))))
    return out


def case_chained_dots():
    return [Launch(chained_dots, dict(x=normal(12, 12, dtype=f64), out=fresh((12, 12), f64), h=fresh((12, 12), f32)), dict(out=1e-9, h=0.1))]


# ---------------------------------------------------------------- reductions, scans
@tile_kernel
def reductions(x: "T[A, B, C]", a: "T[2, 5, 7]", b: "T[2, 3, 7]", c: "T[2, 3, 5]", least: "i32[3, 5]", most: "i64[5, 7]", middle: "i32[2, 3, 7]",
               flags: "bool[2, 5, 7]", some: "i32[3, 5]"):
    i = tile.grid(1)
    t = tile.load(x, ((0, 3), (0, 5), (0, 7)))
    tile.store(a, (0, (0, 5), (0, 7)), tile.max(t, 0))
    tile.store(a, (1, (0, 5), (0, 7)), tile.min(t, 0))
    tile.store(b, (0, (0, 3), (0, 7)), tile.max(t, 1))
    tile.store(b, (1, (0, 3), (0, 7)), tile.min(t, 1))
    tile.store(c, (0, (0, 3), (0, 5)), tile.max(t, 2))
    tile.store(c, (1, (0, 3), (0, 5)), tile.min(t, 2))
    tile.store(least, ((0, 3), (0, 5)), tile.argmin(t, 2))
    tile.store(most, ((0, 5), (0, 7)), tile.argmax(t, 0))
    tile.store(middle, (0, (0, 3), (0, 7)), tile.argmin(t, 1))
    tile.store(middle, (1, (0, 3), (0, 7)), tile.argmax(t, 1))
    positive = t > 0
    tile.store(flags, (0, (0, 5), (0, 7)), tile.max(positive, 0))
    tile.store(flags, (1, (0, 5), (0, 7)), tile.min(positive, 0))
    tile.store(some, ((0, 3), (0, 5)), tile.sum(positive, 2))


@tile_kernel
def sums(x: "T[A, B, C]", a: "U[5, 7]", b: "U[3, 7]", c: "U[3, 5]", scans: "U[3, 3, 5, 7]", parts: "U[4, 5, 7]", line: "U[6]", ids: "i32[A]", marks: "u8[7]"):
    i = tile.grid(1)
    t = tile.load(x, ((0, 3), (0, 5), (0, 7)))
    tile.store(a, ((0, 5), (0, 7)), tile.sum(t, 0))
    tile.store(b, ((0, 3), (0, 7)), tile.sum(t, 1))
    tile.store(c, ((0, 3), (0, 5)), tile.sum(t, 2))
    tile.store(scans, (0, (0, 3), (0, 5), (0, 7)), tile.cumsum(t, 0))
    tile.store(scans, (1, (0, 3), (0, 5), (0, 7)), tile.cumsum(t, 1))
    tile.store(scans, (2, (0, 3), (0, 5), (0, 7)), tile.cumsum(t, 2))
    tile.store(parts, ((0, 4), (0, 5), (0, 7)), tile.segment_sum(t, tile.load(ids, (0, 3)), 4))
    tile.store(line, (0, 6), tile.segment_sum(tile.reshape(tile.load(x, (0, (0, 1), (0, 7))), (7,)), tile.load(marks, (0, 7)), 6))


def case_reductions():
    out = []
    for d in (f32, f64, f16, np.int8, np.uint32, np.int64):
        x = awkward(3, 5, 7, dtype=d) if np.issubdtype(d, np.floating) else integers(3, 5, 7, dtype=d)
        if np.issubdtype(d, np.floating):
            x[:, 0, 0] = x[0, :, 1] = x[1, 1, :] = np.nan
            x[2, 2, :], x[:, 3, 3] = -np.inf, np.inf
        x[0, 4, :] = x[0, 4, 0]
        arrays = dict(a=fresh((2, 5, 7), d), b=fresh((2, 3, 7), d), c=fresh((2, 3, 5), d), least=fresh((3, 5), np.int32), most=fresh((5, 7), np.int64),
                      middle=fresh((2, 3, 7), np.int32), flags=np.zeros((2, 5, 7), bool), some=fresh((3, 5), np.int32))
        out.append(Launch(reductions, dict(x=x, **arrays), signless=("a", "b", "c")))
    return out


def case_sums():
    out = []
    ids, marks = np.array([3, -1, 3], np.int32), np.array([5, 0, 5, 6, 255, 0, 5], np.uint8)
    for d, u in ((f32, f32), (f64, f64), (f16, f32), (np.int8, np.int32), (np.uint32, np.uint32), (np.int64, np.int64), (bool, np.int32)):
        x = normal(3, 5, 7, dtype=d) if np.issubdtype(d, np.floating) else integers(3, 5, 7, dtype=d) if d is not bool else normal(3, 5, 7) > 0
        arrays = dict(a=fresh((5, 7), u), b=fresh((3, 7), u), c=fresh((3, 5), u), scans=fresh((3, 3, 5, 7), u), parts=fresh((4, 5, 7), u), line=fresh(6, u),
                      ids=ids, marks=marks)
        bound = 7 * 2.0 ** (-50 if d is f64 else -21) * 7
        out.append(Launch(sums, dict(x=x, **arrays), dict.fromkeys(("a", "b", "c", "scans", "parts", "line"), bound) if np.issubdtype(d, np.floating) else {}))
    return out


# ---------------------------------------------------------------- shape
@tile_kernel
def rearranged(x: "T[4, 6, 8]", out: "T[6, 4, 6, 8]", thin: "T[8, 3]"):
    i = tile.grid(1)
    t = tile.load(x, ((0, 4), (0, 6), (0, 8)))
    a, b = tile.split(t, 2, 0)
    c, d, e = tile.split(t, 3, 1)
    f, g, h, j = tile.split(t, 4, 2)
    tile.store(out, (0, (0, 4), (0, 6), (0, 8)), tile.concat((b, a), 0))
    tile.store(out, (1, (0, 4), (0, 6), (0, 8)), tile.concat((e, c, d), 1))
    tile.store(out, (2, (0, 4), (0, 6), (0, 8)), tile.concat((j, f, h, g), 2))
    tile.store(out, (3, (0, 4), (0, 6), (0, 8)), tile.reshape(tile.transpose(t, (2, 0, 1)), (4, 6, 8)))
    tile.store(out, (4, (0, 4), (0, 6), (0, 8)), tile.transpose(tile.reshape(tile.transpose(t, (1, 2, 0)), (8, 6, 4)), (2, 1, 0)))
    tile.store(out, (5, (0, 4), (0, 6), (0, 8)), tile.concat((tile.concat((f, h), 2), tile.concat((h, f), 2)), 2))
    p, q = tile.split(tile.reshape(j, (4, 2, 6)), 2, 1)
    tile.store(thin, ((0, 8), (0, 3)), tile.reshape(tile.where(p == q, p, q), (8, 3)))


def case_rearranged():
    return [Launch(rearranged, dict(x=x, out=fresh((6, 4, 6, 8), x.dtype), thin=fresh((8, 3), x.dtype)))
            for x in (normal(4, 6, 8), integers(4, 6, 8, dtype=np.uint8), normal(4, 6, 8, dtype=bf16))]


# ---------------------------------------------------------------- memory
@tile_kernel
def atomics(x: "T[N]", to: "i32[N]", total: "T[1]", least: "T[5]", most: "T[5, 3]", *, BN: const = 4):
    i = tile.grid(tile.cdiv(N, BN))
    t, at = tile.load(x, (i * BN, BN)), tile.load(to, (i * BN, BN), pad=-1)
    tile.atomic_add(total, (tile.where(at >= 0, tile.zeros((4,), tile.i32), -1),), t)
    tile.atomic_min(least, at, t)
    tile.atomic_max(most, (at, (0, 4)), t[:, None] - tile.cast(tile.iota(4), t.dtype)[None, :])


@tile_kernel
def stored_and_loaded(x: "i32[P, N]", y: "i32[P, N]", out: "i32[P, N]"):
    p = tile.grid(P)
    tile.store(y, (p, (0, 8)), tile.load(x, (p, (0, 8))))
    tile.store(y, (p, (2, 3)), tile.load(y, (p, (5, 3))) * 2)
    total = tile.zeros((), tile.i32)
    for k in tile.range(0, N):
        v = tile.load(y, (p, k)) + total
        tile.store(y, (p, k), v)
        total = total + tile.load(y, (p, k - 1), pad=100)
    tile.store(out, (p, (0, 8)), tile.load(y, (p, (0, 8))) + total)


@tile_kernel
def in_place(x: "T[M, N]", shift: "f32"):
    i = tile.grid(tile.cdiv(M, 2))
    at = ((i * 2, 2), (0, 16))
    t = tile.load(x, at)
    tile.store(x, at, t * t + shift)
    tile.store(x, ((i * 2, 2), (3, 1)), tile.load(x, ((i * 2, 2), (5, 1))))


@tile_kernel
def optional(x: "f32[N]", y: "f32[N]", bias: "f32[N]?" = None, scale: "i32[S]?" = None, *, BN: const = 4):
    i = tile.grid(tile.cdiv(N, BN))
    t = tile.load(x, (i * BN, BN))
    if bias is not None:
        t = t + tile.load(bias, (i * BN, BN))
    if scale is None:
        t = t - 1.0
    else:
        t = t * S + tile.cast(tile.load(scale, 0), tile.f32)
    tile.store(y, (i * BN, BN), t)


@tile_kernel
def scalars(out: "f64[20]", a: "bool", b: "i8", c: "u8", d: "i16", e: "u16", f: "i32", g: "u32", h: "i64", k: "u64", l: "index", m: "f16", n: "bf16",
            o: "f32", p: "f64",
            q: "f8e4m3", r: "f8e5m2", s: "u4", t: "i4", u: "u1"):
    i = tile.grid(1)
    if a:
        tile.store(out, 0, 1.0)
    else:
        tile.store(out, 0, 2.0)
    tile.store(out, 1, tile.cast(b, tile.f64))
    tile.store(out, 2, tile.cast(c, tile.f64))
    tile.store(out, 3, tile.cast(d, tile.f64))
    tile.store(out, 4, tile.cast(e, tile.f64))
    tile.store(out, 5, tile.cast(f, tile.f64))
    tile.store(out, 6, tile.cast(g, tile.f64))
    tile.store(out, 7, tile.cast(h, tile.f64))
    tile.store(out, 8, tile.cast(k, tile.f64))
    tile.store(out, 9, tile.cast(l, tile.f64))
    tile.store(out, 10, m)
    tile.store(out, 11, n)
    tile.store(out, 12, o)
    tile.store(out, 13, p)
    tile.store(out, 14, q)
    tile.store(out, 15, r)
    tile.store(out, 16, tile.cast(s, tile.f64))
    tile.store(out, 17, tile.cast(t, tile.f64))
    tile.store(out, 18, tile.cast(u, tile.f64))
    tile.store(out, 19, m * n + tile.minimum(q, 2.0))


def case_atomics():
    to = np.array([0, 4, 4, -1, 2, 2, 0, 7, 3, 3, 3], np.int32)
    out = []
    for d in (np.int32, np.uint32, np.int64):
        x = integers(11, dtype=d, low=0 if d is np.uint32 else -1000, high=1000)
        out.append(Launch(atomics, dict(x=x, to=to, total=np.full(1, 5, d), least=np.full(5, 50, d), most=np.zeros((5, 3), d))))
    x = np.where(np.arange(11) == 5, np.nan, normal(11)).astype(f32)
    out.append(Launch(atomics, dict(x=normal(11), to=to, total=np.zeros(1, f32), least=np.full(5, np.inf, f32), most=np.zeros((5, 3), f32)), dict(total=1e-5),
                      ("least", "most")))
    return out


def case_stored_and_loaded():
    return [Launch(stored_and_loaded, dict(x=integers(3, 8), y=fresh((3, 8), np.int32), out=fresh((3, 8), np.int32)))]


def case_in_place():
    square = normal(7, 11)
    return [Launch(in_place, dict(x=normal(5, 11), shift=0.1)), Launch(in_place, dict(x=normal(5, 11, dtype=f16), shift=0.1)), Launch(in_place,
        dict(x=square.copy().T, shift=-1.0)),
            Launch(in_place, dict(x=square[::-1, ::-2], shift=2.0))]


def case_optional():
    x, scale = normal(10), np.array([4], np.int32)
    return [Launch(optional, dict(x=x, y=fresh(10, f32), **named)) for named in ({}, dict(bias=x), dict(scale=scale), dict(bias=x[::-1],
        scale=np.repeat(scale, 3)))]


def case_scalars():
    return [Launch(scalars, dict(out=fresh(20, f64), a=a, b=-128, c=255, d=-32768, e=65535, f=-2 ** 31, g=2 ** 32 - 1, h=-2 ** 53, k=2 ** 64 - 2048, l=-3,
                                 m=0.1, n=0.1, o=0.1, p=0.1,
                                 q=0.1, r=0.1, s=15, t=-8, u=1)) for a in (True, False)]


@tile_kernel
def double(signed: "f32[e0]", register: "f32[e0]", scratch: "i32[e0]", signed_stride: "i32", e: "i32", count: "f32", *, last: const = 4):
    """Words of C++ and of the generated source as names."""
    program, first = tile.grid(tile.cdiv(e0, last), 1)
    float, memory = tile.load(signed, (program * last, last)), tile.load(scratch, (program * last, last))
    this = float * count
    for new in tile.range(0, e):
        this = this + tile.cast(memory + signed_stride, tile.f32)
    tile.store(register, (program * last, last), this)


@tile_kernel
def exp(x: "f32[N]", exp2: "f32[N]"):
    i = tile.grid(N)
    tile.store(exp2, i, tile.load(x, i) * 2.0)


def case_names():
    return [Launch(double, dict(signed=normal(9), register=fresh(9, f32), scratch=integers(9, low=-9, high=9), signed_stride=3, e=2, count=0.5)),
            Launch(exp, dict(x=normal(5), exp2=fresh(5, f32)))]


# ---------------------------------------------------------------- nothing to do, and odd strides
@tile_kernel
def blocked(x: "f32[M, N]", y: "f32[M, N]", rows: "f32[M]", *, BM: const = 3, BN: const = 5):
    i = tile.grid(tile.cdiv(M, BM))
    top = tile.full((BM,), -1.0, tile.f32)
    for j in tile.range(0, N, BN):
        at = ((i * BM, BM), (j, BN))
        t = tile.load(x, at)
        tile.store(y, at, t + 1.0)
        top = tile.maximum(top, tile.max(t, 1))
    tile.store(rows, (i * BM, BM), top)


def case_blocked():
    big = normal(40, 60)
    wide = np.broadcast_to(normal(1, 12), (8, 12))
    inputs = [normal(0, 5), normal(4, 0), normal(0, 0), normal(7, 11), big[::3, 1::7], big[::-1, ::-1][:7, :9], big.T[5:14, ::2], wide,
              np.broadcast_to(f32(2), (4, 6)), big[-5:-30:-4, 3:4]]
    return [Launch(blocked, dict(x=x, y=fresh(x.shape, f32), rows=fresh(x.shape[:1], f32))) for x in inputs] + [
        Launch(blocked, dict(x=normal(7, 11), y=fresh((14, 33), f32)[::-2, ::3], rows=fresh(21, f32)[::-3]))]


@tile_kernel
def reversed_rank_three(x: "i16[A, B, C]", y: "i16[C, B, A]"):
    i, j = tile.grid(A, tile.cdiv(C, 3))
    t = tile.load(x, (i, (0, 5), (j * 3, 3)))
    tile.store(y, ((j * 3, 3), (0, 5), i), t.T)


def case_reversed_rank_three():
    x = integers(4, 5, 7, dtype=np.int16)
    return [Launch(reversed_rank_three, dict(x=x[::-1, :, ::-1], y=fresh((7, 5, 4), np.int16)[:, ::-1])),
            Launch(reversed_rank_three, dict(x=x.transpose(2, 1, 0)[:, ::2], y=fresh((4, 3, 7), np.int16)))]


CASES = {name[5:]: function for name, function in list(globals().items()) if name.startswith("case_")}
