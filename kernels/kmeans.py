"""Flash k-means: assignment with an online argmin, centroid sums over sorted ids in a fixed order or by atomics, Lloyd's whole iteration."""
from __future__ import annotations

from typing import Any

import numpy as np
from dslc import const, tile, tile_kernel
from dslc.runtime.library import Example, Expected, Given

INF = float("inf")


@tile_kernel
def row_squares(x: "T[N, D]", out: "f32[N]", *, BN: const = 64, BD: const = 64):
    """out[i] = sum_d x[i, d]^2.  Shapes: x (N, D), out (N).  Error: D 2^-24 relative."""
    i = tile.grid(tile.cdiv(N, BN))
    acc = tile.zeros((BN,), tile.f32)
    for d in tile.range(0, D, BD):
        t = tile.load(x, ((i * BN, BN), (d, BD)))
        acc = acc + tile.sum(t * t, 1)
    tile.store(out, (i * BN, BN), acc)


@tile_kernel
def assign(x: "T[N, D]", c: "T[K, D]", c_squared: "f32[K]", ids: "i32[N]", score: "f32[N]", *, BN: const = 128, BK: const = 64, BD: const = 64):
    """ids[i] = argmin_k |c_k|^2 - 2 x_i.c_k, the lowest k on ties; |x|^2 is the same for all k and is left out.  Rows of NaN get 0.

    Shapes: x (N, D), c (K, D), c_squared (K), ids, score (N).  The N x K scores are never stored.
    Error: of a score, 2 (D + 8) 2^-23 sum |x||c| + 2^-23 |score|; ids may differ where two scores are closer than that.
    """
    i = tile.grid(tile.cdiv(N, BN))
    best = tile.full((BN,), INF, tile.f32)
    who = tile.zeros((BN,), tile.i32)
    for k in tile.range(0, K, BK):
        acc = tile.zeros((BN, BK), tile.f32)
        for d in tile.range(0, D, BD):
            acc = tile.dot(tile.load(x, ((i * BN, BN), (d, BD))), tile.load(c, ((k, BK), (d, BD))).T, acc)
        s = tile.fma(acc, -2.0, tile.load(c_squared, (k, BK), pad=INF)[None, :])
        low = tile.min(s, 1)
        closer = low < best
        best = tile.where(closer, low, best)
        who = tile.where(closer, tile.cast(k + tile.argmin(s, 1), tile.i32), who)
    tile.store(ids, (i * BN, BN), who)
    tile.store(score, (i * BN, BN), best)


@tile_kernel
def run_starts(sorted_ids: "i32[N]", start: "i32[K1]"):
    """start[k] = the first sorted row with id >= k, by bisection."""
    k = tile.grid(K1)
    lo, hi = tile.full((), 0, tile.index), N
    while lo < hi:
        mid = (lo + hi) // 2
        before = tile.load(sorted_ids, mid) < k
        lo, hi = tile.where(before, mid + 1, lo), tile.where(before, hi, mid)
    tile.store(start, k, lo)


@tile_kernel
def update_atomic(x: "T[N, D]", perm: "i32[N]", sorted_ids: "i32[N]", sums: "f32[K, D]", counts: "i32[K]", *, D: const, BN: const = 128):
    """sums and counts (zero before) of each cluster: one atomic add per run of equal ids.  Sums are added in any order."""
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    ids = tile.load(sorted_ids, at, pad=-1)
    fresh_run = (ids != tile.load(sorted_ids, (i * BN - 1, BN), pad=-1)) | (tile.iota(BN) == 0)
    run = tile.cumsum(fresh_run, 0) - 1
    rows = tile.load(x, (tile.load(perm, at, pad=-1), (0, D)))
    owner = tile.segment_sum(tile.where(fresh_run, ids, 0), run, BN)
    count = tile.segment_sum(ids >= 0, run, BN)
    owner = tile.where(count > 0, owner, -1)
    tile.atomic_add(sums, (owner, (0, D)), tile.segment_sum(rows, run, BN))
    tile.atomic_add(counts, owner, count)


@tile_kernel
def update_runs(x: "T[N, D]", perm: "i32[N]", sorted_ids: "i32[N]", part: "f32[P, BN, D]", rank: "i32[N]", *, D: const, BN: const = 128):
    """First pass of the ordered update: the sum of run r of chunk i goes to part[i, r], and each row's r to rank."""
    i = tile.grid(tile.cdiv(N, BN))
    at = (i * BN, BN)
    ids = tile.load(sorted_ids, at, pad=-1)
    run = tile.cumsum((ids != tile.load(sorted_ids, (i * BN - 1, BN), pad=-1)) & (tile.iota(BN) > 0), 0)
    tile.store(rank, at, run)
    tile.store(part, (i, (0, BN), (0, D)), tile.segment_sum(tile.load(x, (tile.load(perm, at, pad=-1), (0, D))), run, BN))


@tile_kernel
def update_ordered(part: "f32[P, BN, D]", rank: "i32[N]", start: "i32[K1]", sums: "f32[K, D]", counts: "i32[K]", *, D: const, BN: const):
    """Second pass: cluster k owns sorted rows start[k]..start[k+1]-1; add its run of each chunk, in order: the same bits on every run."""
    k = tile.grid(K)
    first, stop = tile.load(start, k), tile.load(start, k + 1)
    acc = tile.zeros((D,), tile.f32)
    for p in tile.range(first // BN, tile.cdiv(stop, BN)):
        r = tile.load(rank, tile.maximum(first, p * BN))
        acc = acc + tile.where(stop > first, tile.load(part, (p, r, (0, D))), 0.0)
    tile.store(sums, (k, (0, D)), acc)
    tile.store(counts, k, stop - first)


@tile_kernel
def finish(sums: "f32[K, D]", counts: "i32[K]", c: "T[K, D]", shift: "f32[K]", *, D: const, BK: const = 16):
    """c = sums / counts; an empty cluster keeps its centroid.  shift[k] = |new - old|^2."""
    i = tile.grid(tile.cdiv(K, BK))
    at = ((i * BK, BK), (0, D))
    n = tile.load(counts, (i * BK, BK), pad=0)[:, None]
    old = tile.load(c, at)
    new = tile.cast(tile.load(sums, at) / tile.cast(tile.maximum(n, 1), tile.f32), T)
    new = tile.where(n > 0, new, old)
    d = new - old
    tile.store(c, at, new)
    tile.store(shift, (i * BK, BK), tile.sum(d * d, 1))


# ---------------------------------------------------------------- host
def lloyd(x: Any, centroids: Any, *, iterations: int = 20, tolerance: float = 1e-6, ordered: bool = True, chunk: int = 128) -> tuple[Any, Any, int]:
    """Lloyd's k-means (Lloyd, 1982) from the given centroids: (centroids (K, D), ids (N), iterations done).

    Stops when no centroid moves by `tolerance`.  `ordered` gives the same bits on every run; else sums are added by atomics.
    """
    n, k, c = len(x), len(centroids), centroids.copy()
    ids, score, square, shift = np.empty(n, np.int32), np.empty(n, np.float32), np.empty(k, np.float32), np.empty(k, np.float32)
    steps = 0
    for _ in range(iterations):
        steps += 1
        row_squares(c, square)
        assign(x, c, square, ids, score)
        perm = np.argsort(ids, kind="stable").astype(np.int32)
        sums, counts = cluster_sums(x, perm, ids[perm], k, ordered, chunk)
        finish(sums, counts, c, shift)
        if np.sqrt(shift.max()) < tolerance:
            break
    return c, ids, steps


def cluster_sums(x: Any, perm: Any, sorted_ids: Any, k: int, ordered: bool = True, chunk: int = 128) -> tuple[Any, Any]:
    """(sums (K, D) f32, counts (K) i32) of the rows of x, which `perm` brings into the order of `sorted_ids`."""
    (n, d), kind = x.shape, np.float32
    if not ordered:
        sums, counts = np.zeros((k, d), kind), np.zeros(k, np.int32)
        update_atomic(x, perm, sorted_ids, sums, counts, BN=chunk)
        return sums, counts
    sums, counts, start = np.empty((k, d), kind), np.empty(k, np.int32), np.empty(k + 1, np.int32)
    part, rank = np.empty((-(-n // chunk), chunk, d), kind), np.empty(n, np.int32)
    update_runs(x, perm, sorted_ids, part, rank, BN=chunk)
    run_starts(sorted_ids, start)
    update_ordered(part, rank, start, sums, counts, BN=chunk)
    return sums, counts


# ---------------------------------------------------------------- reference
def _squares_reference(given: Given, _got: Given) -> dict[str, Expected]:
    out = (given["x"].astype(np.float64) ** 2).sum(1)
    return {"out": Expected(out, given["x"].shape[1] * 2.0 ** -24 * out)}


def _prepare_assign(_random: Any, given: dict[str, Any]) -> None:
    given["c_squared"][:] = (given["c"].astype(np.float64) ** 2).sum(1)


def _assign_reference(given: Given, got: Given) -> dict[str, Expected]:
    x, c = given["x"].astype(np.float64), given["c"].astype(np.float64)
    scores = given["c_squared"].astype(np.float64) - 2 * (x @ c.T)
    error = 2 * (x.shape[1] + 8) * 2.0 ** -23 * (np.abs(x) @ np.abs(c).T).max(1) + 2.0 ** -23 * np.abs(scores).max(1)
    rows, ids = np.arange(len(x)), np.clip(got["ids"], 0, len(c) - 1)
    good = (scores[rows, ids] - scores.min(1) <= 2 * error) & (ids == got["ids"])
    return {"ids": Expected(np.where(good, ids, scores.argmin(1))), "score": Expected(scores.min(1), error)}


def _sort(random: Any, given: dict[str, Any]) -> None:
    k = len(given["counts"])
    ids = random.integers(0, k, len(given["perm"])).astype(np.int32)
    given["perm"][:] = np.argsort(ids, kind="stable")
    given["sorted_ids"][:] = ids[given["perm"]]
    given["sums"][:], given["counts"][:] = 0, 0


def _update_reference(given: Given, got: Given) -> dict[str, Expected]:
    x, ids = given["x"].astype(np.float64)[given["perm"]], given["sorted_ids"]
    sums, sizes, counts = np.zeros(got["sums"].shape), np.zeros(got["sums"].shape), np.bincount(ids, minlength=len(got["counts"]))
    np.add.at(sums, ids, x)
    np.add.at(sizes, ids, np.abs(x))
    return {"sums": Expected(sums, counts.max() * 2.0 ** -24 * sizes), "counts": Expected(counts.astype(np.int32))}


EXAMPLES = {
    "row_squares": Example({"N": 65536, "D": 64}, _squares_reference, {"T": "f32"}),
    "assign": Example({"N": 16384, "K": 256, "D": 64}, _assign_reference, {"T": "f32"}, prepare=_prepare_assign,
                      operations=lambda n: 2.0 * n["N"] * n["K"] * n["D"]),
    "update_atomic": Example({"N": 65536, "K": 256, "D": 64}, _update_reference, {"T": "f32"}, prepare=_sort),
}
