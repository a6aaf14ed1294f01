"""What k-means does beside assignment: moments, sums of clusters in a fixed order, distances, the greedy start of k-means++."""
from __future__ import annotations

from typing import Any

import numpy as np
from dslc import const, tile, tile_kernel
from dslc.runtime.library import Example, Expected, Given

from .estimator import Batches, check_finite, random_from, table, weights_of

INF = float("inf")


@tile_kernel
def column_sums(x: "T[N, D]", origin: "T[D]", part: "f64[P, D]", squares: "f64[P, D]", *, RUN: const = 1024, BN: const = 64, BD: const = 64):
    """part[p] = the sum of x - origin over the p-th run of RUN rows, squares[p] that of its square, in f64: P is cdiv(N, RUN)."""
    p, j = tile.grid(P, tile.cdiv(D, BD))
    cols = (j * BD, BD)
    shift = tile.load(origin, cols)[None, :]
    acc, acc_squares = tile.zeros((BD,), tile.f64), tile.zeros((BD,), tile.f64)
    for n in tile.range(p * RUN, tile.minimum(N, (p + 1) * RUN), BN):
        t = tile.cast(tile.load(x, ((n, BN), cols)) - shift, tile.f64)
        t = tile.where((n + tile.iota(BN) < N)[:, None], t, 0.0)
        acc = acc + tile.sum(t, 0)
        acc_squares = acc_squares + tile.sum(t * t, 0)
    tile.store(part, (p, cols), acc)
    tile.store(squares, (p, cols), acc_squares)


@tile_kernel
def label_sums(x: "T[N, D]", origin: "T[D]?", weight: "T[N]?", ids: "i32[N]", sums: "S[P, K, D]", totals: "f64[P, K]", *, BD: const = 64):
    """sums[p, k] += weight (x_i - origin) and totals[p, k] += weight for the rows i of the p-th of P runs with ids[i] = k, in this order; no weight is 1.

    Error: one rounding to T for the difference and one for the product, then S.
    """
    p = tile.grid(P)
    run = tile.cdiv(N, P)
    for n in tile.range(p * run, tile.minimum(N, (p + 1) * run)):
        k = tile.load(ids, n)
        w = tile.cast(1, T)
        if weight is not None:
            w = tile.load(weight, n)
        tile.store(totals, (p, k), tile.load(totals, (p, k)) + tile.cast(w, tile.f64))
        for d in tile.range(0, D, BD):
            at = (p, k, (d, BD))
            t = tile.load(x, (n, (d, BD)))
            if origin is not None:
                t = t - tile.load(origin, (d, BD))
            if weight is not None:
                t = t * w
            tile.store(sums, at, tile.load(sums, at) + tile.cast(t, S))


@tile_kernel
def own_distance(x: "T[N, D]", origin: "T[D]", c: "T[K, D]", ids: "i32[N]", out: "T[N]", *, BN: const = 32, BD: const = 64):
    """out[i] = |x_i - origin - c[ids[i]]|^2, by differences.  Error: (D + 4) 2^-23 relative to the sum of squares of |x - origin| + |c| (f64: 2^-52)."""
    i = tile.grid(tile.cdiv(N, BN))
    rows = (i * BN, BN)
    who = tile.load(ids, rows, pad=-1)
    acc = tile.zeros((BN,), T)
    for d in tile.range(0, D, BD):
        cols = (d, BD)
        t = tile.load(x, (rows, cols)) - tile.load(origin, cols)[None, :] - tile.load(c, (who, cols))
        acc = acc + tile.sum(t * t, 1)
    tile.store(out, rows, acc)


@tile_kernel
def distances(x: "T[N, D]", origin: "T[D]", c: "T[K, D]", out: "T[N, K]", *, BN: const = 64, BK: const = 64, BD: const = 64):
    """out[i, k] = |x_i - origin - c_k|.  Error: the squares to (D + 8) 2^-52 (|x - origin| + |c|)^2, then T's rounding."""
    i, j = tile.grid(tile.cdiv(N, BN), tile.cdiv(K, BK))
    acc = tile.zeros((BN, BK), tile.f64)
    x_squared, c_squared = tile.zeros((BN,), tile.f64), tile.zeros((BK,), tile.f64)
    for d in tile.range(0, D, BD):
        cols = (d, BD)
        xt = tile.cast(tile.load(x, ((i * BN, BN), cols)) - tile.load(origin, cols)[None, :], tile.f64)
        ct = tile.cast(tile.load(c, ((j * BK, BK), cols)), tile.f64)
        acc = tile.dot(xt, ct.T, acc)
        x_squared = x_squared + tile.sum(xt * xt, 1)
        c_squared = c_squared + tile.sum(ct * ct, 1)
    square = tile.maximum(x_squared[:, None] + c_squared[None, :] - 2.0 * acc, 0.0)
    tile.store(out, ((i * BN, BN), (j * BK, BK)), tile.cast(tile.sqrt(square), T))


@tile_kernel
def potentials(x: "T[N, D]", c: "T[C, D]", weight: "T[N]?", closest: "T[N]", part: "f64[C, P]", *, keep: const = False, BN: const = 128, BD: const = 64):
    """part[j, p] = the sum over the p-th BN rows of weight min(closest, |x - c_j|^2), by differences; keep (C = 1) replaces closest by the minimum.

    The step of greedy k-means++ (Arthur and Vassilvitskii, SODA 2007): C candidates, none of which needs N numbers of its own.
    """
    i, j = tile.grid(tile.cdiv(N, BN), C)
    rows = (i * BN, BN)
    acc = tile.zeros((BN,), T)
    for d in tile.range(0, D, BD):
        t = tile.load(x, (rows, (d, BD))) - tile.load(c, (j, (d, BD)))[None, :]
        acc = acc + tile.sum(t * t, 1)
    near = tile.minimum(tile.load(closest, rows, pad=0), acc)
    if keep:
        tile.store(closest, rows, near)
    near = tile.cast(near, tile.f64)
    if weight is not None:
        near = near * tile.cast(tile.load(weight, rows), tile.f64)
    tile.store(part, (j, i), tile.sum(near, 0))


# ---------------------------------------------------------------- host
def depth(d: int) -> int:
    """Columns of a tile: all of them up to 128, so that rows are read where they stand."""
    return d if d <= 128 else 64


def width(k: int) -> int:
    """Centres that a tile compares at a time: what computes fewest, if finding the best of a row's tile takes as long as 5 columns (Zen 3)."""
    return min((256, 128, 64, 32, 16), key=lambda w: -(-k // w) * (w + 5))


def runs_of(n: int, k: int) -> int:
    """Into how many runs n rows are cut to be added by label: as many as leave each eight rows to a label, up to 64, which are enough for threads and
    need no more memory than an eighth of x in numbers."""
    return max(1, min(64, n // (8 * k)))


def sums_of_labels(x: Any, ids: Any, k: int, dtype: Any, *, weight: Any = None, origin: Any = None) -> tuple[Any, Any]:
    """(sums (K, D) of `dtype` of the weighted rows less origin with each label below k, totals (K) f64 of their weights).

    Rows are added in a fixed order: within runs, and these in order.
    """
    runs, d = runs_of(len(x), k), x.shape[1]
    part, total = np.zeros((runs, k, d), dtype), np.zeros((runs, k))
    label_sums(x, origin, weight, ids, part, total, BD=depth(d))
    return part.sum(0), total.sum(0)


def moments(rows: Batches) -> tuple[Any, Any]:
    """Mean and variance of the columns, (D) f64 each, in one pass about the first row.  ValueError for NaN and infinities."""
    n, d = rows.shape
    total, square, origin = np.zeros(d), np.zeros(d), None
    for start, stop, block in rows:
        origin = block[0].copy() if origin is None else origin
        part, squares = (np.empty((-(-(stop - start) // 1024), d)) for _ in range(2))
        column_sums(block, origin, part, squares)
        total += part.sum(0)
        square += squares.sum(0)
        if not np.isfinite(square).all():
            check_finite(block)
    return origin.astype(np.float64) + total / n, np.maximum(square / n - (total / n) ** 2, 0)


def squared_distances(rows: Batches, centers: Any, origin: Any, labels: Any) -> Any:
    """|x - origin - c|^2 of each row and the centre of its label, (N) of the centres' dtype."""
    out = np.empty(len(labels), centers.dtype)
    for start, stop, block in rows:
        own_distance(block, origin, centers, labels[start:stop], out[start:stop])
    return out


def kmeans_plusplus(x: Any, n_clusters: int, *, sample_weight: Any = None, random_state: Any = None) -> tuple[Any, Any]:
    """(centres (K, D), their rows (K)) by greedy k-means++: the best of 2 + log K candidates each time (Arthur and Vassilvitskii, SODA 2007).

    Candidates are drawn with numpy's RandomState as scikit-learn draws them: the same rows from the same state but for rounding.  Passes over x,
    (N, D) float32 or float64: 2 to a centre; memory N numbers, N / 128 for each candidate.
    """
    x, random = table(x), random_from(random_state)
    weight = weights_of(sample_weight, len(x), x.dtype)
    n, block, trials = len(x), 128, 2 + int(np.log(n_clusters))
    chosen, closest, blocks = np.empty(n_clusters, np.int64), np.full(n, INF, x.dtype), -(-n // block)
    part = np.empty((trials, blocks + blocks % 2))[:, :blocks]          # rows of whole 16 bytes: one kernel whatever n

    def potential(candidates: Any, keep: bool = False) -> Any:
        potentials(x, x[candidates], weight, closest, part[:len(candidates)], keep=keep, BN=block)
        return part[:len(candidates)].sum(1)

    for c in range(n_clusters):
        if c == 0:
            best = random.choice(n, p=probabilities(weight, n))
        else:
            upto = np.cumsum(part[0])
            candidates = [draw(upto, closest, weight, block, r) for r in random.uniform(size=trials) * upto[-1]]
            best = candidates[int(np.argmin(potential(candidates)))]
        potential([best], keep=True)
        chosen[c] = best
    return x[chosen], chosen


def draw(upto: Any, closest: Any, weight: Any, block: int, r: float) -> int:
    """The first row up to which the weighted `closest` add up to r; upto[p] is their sum through the p-th block of rows."""
    p = min(int(np.searchsorted(upto, r)), len(upto) - 1)
    near = closest[p * block:(p + 1) * block].astype(np.float64)
    if weight is not None:
        near *= weight[p * block:(p + 1) * block]
    before = upto[p - 1] if p else 0.0
    return p * block + min(int(np.searchsorted(before + np.cumsum(near), r)), len(near) - 1)


def probabilities(weight: Any, n: int) -> Any:
    """The weights as f64 that add up to 1."""
    w = np.ones(n) if weight is None else weight.astype(np.float64)
    return w / w.sum()


# ---------------------------------------------------------------- reference
def _wide(given: Given) -> tuple[Any, Any]:
    """x less origin and the centres, in f64."""
    return given["x"].astype(np.float64) - given["origin"].astype(np.float64), given["c"].astype(np.float64)


def _sums_reference(given: Given, _got: Given) -> dict[str, Expected]:
    at = (np.arange(len(given["x"])) // -(-len(given["x"]) // len(given["sums"])), given["ids"])
    sums, size, totals = np.zeros(given["sums"].shape), np.zeros(given["sums"].shape), np.zeros(given["totals"].shape)
    np.add.at(sums, at, given["x"])
    np.add.at(size, at, np.abs(given["x"]))
    np.add.at(totals, at, 1)
    return {"sums": Expected(sums, len(given["x"]) * 2.0 ** -52 * size), "totals": Expected(totals)}


def _label(random: Any, given: dict[str, Any]) -> None:
    given["ids"][:] = random.integers(0, given["sums"].shape[1], len(given["ids"]))
    given["sums"][:], given["totals"][:] = 0, 0


def _ids(random: Any, given: dict[str, Any]) -> None:
    given["ids"][:] = random.integers(0, len(given["c"]), len(given["ids"]))


def _own_reference(given: Given, _got: Given) -> dict[str, Expected]:
    x, c = _wide(given)
    size = (np.abs(given["x"]).astype(np.float64) + np.abs(given["origin"]) + np.abs(c)[given["ids"]]) ** 2
    return {"out": Expected(((x - c[given["ids"]]) ** 2).sum(1), (x.shape[1] + 4) * 2.0 ** -23 * size.sum(1))}


def _distances_reference(given: Given, _got: Given) -> dict[str, Expected]:
    x, c = _wide(given)
    return {"out": Expected(np.sqrt(((x[:, None] - c) ** 2).sum(2)), 2.0 ** -22 * (np.abs(given["x"]).max() + np.abs(given["origin"]).max()))}


def _columns_reference(given: Given, _got: Given) -> dict[str, Expected]:
    x = given["x"].astype(np.float64) - given["origin"].astype(np.float64)
    starts = np.arange(0, len(x), given["RUN"])
    sums = {"part": np.add.reduceat(x, starts), "squares": np.add.reduceat(x * x, starts)}
    size = {"part": np.add.reduceat(np.abs(x), starts), "squares": 2 * sums["squares"]}
    return {n: Expected(v, 2.0 ** -23 * size[n]) for n, v in sums.items()}


def _potentials_reference(given: Given, _got: Given) -> dict[str, Expected]:
    x, c, step = given["x"].astype(np.float64), given["c"].astype(np.float64), given["BN"]
    near = np.minimum(given["closest"], ((x[:, None] - c) ** 2).sum(2).T)
    part = np.add.reduceat(near, np.arange(0, len(x), step), axis=1)
    return {"part": Expected(part, (x.shape[1] + 8) * 2.0 ** -23 * np.abs(part) + 1e-6)}


EXAMPLES = {
    "column_sums": Example({"N": 65536, "D": 64, "P": 64}, _columns_reference, {"T": "f32"}),
    "label_sums": Example({"N": 65536, "K": 256, "D": 64, "P": 32}, _sums_reference, {"T": "f32", "S": "f64"}, prepare=_label),
    "own_distance": Example({"N": 65536, "K": 256, "D": 64}, _own_reference, {"T": "f32"}, prepare=_ids),
    "distances": Example({"N": 8192, "K": 256, "D": 64}, _distances_reference, {"T": "f32"}, operations=lambda n: 2.0 * n["N"] * n["K"] * n["D"]),
    "potentials": Example({"N": 65536, "C": 8, "D": 64, "P": 512}, _potentials_reference, {"T": "f32"},
                          prepare=lambda _random, given: np.copyto(given["closest"], np.abs(given["closest"]) * 100)),
}
