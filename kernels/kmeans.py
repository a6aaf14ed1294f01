"""Flash k-means: assignment with an online argmin, centroid sums over sorted ids in a fixed order or by atomics, Lloyd's whole iteration, an estimator."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from dslc import const, schedule, tile, tile_kernel
from dslc.runtime.library import Example, Expected, Given
from dslc.runtime.trial import threads

from .estimator import FLOATS, Batches, Estimator, check_finite, exception_class, feature_names, random_from, table, weights_of
from .kmeans_passes import (
    _sums_reference,
    depth,
    distances,
    kmeans_plusplus,
    label_sums,
    moments,
    probabilities,
    runs_of,
    squared_distances,
    width,
)

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
def assign(x: "T[N, D]", c: "T[K, D]", c_squared: "U[K]", ids: "i32[N]", score: "U[N]", *, BN: const = 128, BK: const = 64, BD: const = 64):
    """ids[i] = argmin_k |c_k|^2 - 2 x_i.c_k, the lowest k on ties; |x|^2 is the same for all k and is left out.  Rows of NaN get 0.

    Shapes: x (N, D), c (K, D), c_squared (K), ids, score (N).  The N x K scores are never stored.  U accumulates: f32, or f64 for f64.
    Error: of a score, 2 (D + 8) 2^-23 sum |x||c| + 2^-23 |score| (f64: 2^-52); ids may differ where two scores are closer than that.
    """
    i = tile.grid(tile.cdiv(N, BN))
    best = tile.full((BN,), INF, U)
    who = tile.zeros((BN,), tile.i32)
    for k in tile.range(0, K, BK):
        acc = tile.zeros((BN, BK), U)
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
def assign_sums(x: "T[N, D]", c: "T[K, D]", c_squared: "U[K]", origin: "T[D]?", weight: "T[N]?", ids: "i32[N]", score: "U[N]", sums: "S[P, K, D]",
                totals: "f64[P, K]", *, BN: const = 48, BK: const = 64, BD: const = 64):
    """`assign`, and `label_sums` of the ids: rows are added while they are in a cache.  Bits and errors are those of the two."""
    p = tile.grid(P)
    run = tile.cdiv(N, P)
    stop = tile.minimum(N, (p + 1) * run)
    for n in tile.range(p * run, stop, BN):
        best, who = tile.full((BN,), INF, U), tile.zeros((BN,), tile.i32)
        for j in tile.range(0, K, BK):
            acc = tile.zeros((BN, BK), U)
            for d in tile.range(0, D, BD):
                acc = tile.dot(tile.load(x, ((n, BN), (d, BD))), tile.load(c, ((j, BK), (d, BD))).T, acc)
            s = tile.fma(acc, -2.0, tile.load(c_squared, (j, BK), pad=INF)[None, :])
            low = tile.min(s, 1)
            closer = low < best
            best = tile.where(closer, low, best)
            who = tile.where(closer, tile.cast(j + tile.argmin(s, 1), tile.i32), who)
        tile.store(ids, (n, BN, stop), who)
        tile.store(score, (n, BN, stop), best)
        for i in tile.range(n, tile.minimum(n + BN, stop)):
            k = tile.load(ids, i)
            w = tile.cast(1, T)
            if weight is not None:
                w = tile.load(weight, i)
            tile.store(totals, (p, k), tile.load(totals, (p, k)) + tile.cast(w, tile.f64))
            for d in tile.range(0, D, BD):
                at = (p, k, (d, BD))
                t = tile.load(x, (i, (d, BD)))
                if origin is not None:
                    t = t - tile.load(origin, (d, BD))
                if weight is not None:
                    t = t * w
                tile.store(sums, at, tile.load(sums, at) + tile.cast(t, S))


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


# Eight strips of 6 rows: their scores, 12 KiB, stay in L1 beside them (D = 64) and a panel of columns.
schedule(assign, target="cpu", consts={"BN": 48, "BK": 64})


# ---------------------------------------------------------------- host
def lloyd(x: Any, centroids: Any, *, iterations: int = 20, tolerance: float = 1e-6, ordered: bool = True, chunk: int = 128) -> tuple[Any, Any, int]:
    """Lloyd's k-means (Lloyd, 1982) from the given centroids: (centroids (K, D), ids (N), iterations done).

    Stops when no centroid moves by `tolerance`.  `ordered` gives the same bits on every run; else sums are added by atomics.
    """
    (n, d), k, c = x.shape, len(centroids), centroids.copy()
    ids, score, square, shift = np.empty(n, np.int32), np.empty(n, np.float32), np.empty(k, np.float32), np.empty(k, np.float32)
    part, total = np.empty((runs_of(n, k) if ordered else 0, k, d), np.float32), np.empty((runs_of(n, k), k))
    steps = 0
    for _ in range(iterations):
        steps += 1
        row_squares(c, square)
        if ordered:
            part.fill(0)
            total.fill(0)
            assign_and_add(x, c, square, ids, score, part, total)
            sums, counts = part.sum(0), total.sum(0).astype(np.int32)
        else:
            assign(x, c, square, ids, score, BK=width(k), BD=depth(d))
            perm = np.argsort(ids, kind="stable").astype(np.int32)
            sums, counts = cluster_sums(x, perm, ids[perm], k, ordered, chunk)
        finish(sums, counts, c, shift)
        if np.sqrt(shift.max()) < tolerance:
            break
    return c, ids, steps


def assign_and_add(x: Any, c: Any, form: Any, ids: Any, score: Any, part: Any, total: Any, *, origin: Any = None, weight: Any = None) -> None:
    """`assign` of the rows of x to centres whose squares are `form`, and `label_sums` of them: at once where there are runs enough for the threads.

    The bits are the same either way.
    """
    shape = {"BK": width(len(c)), "BD": depth(x.shape[1])}
    if len(part) >= 4 * threads():
        assign_sums(x, c, form, origin, weight, ids, score, part, total, **shape)
    else:
        assign(x, c, form, ids, score, **shape)
        label_sums(x, origin, weight, ids, part, total, BD=shape["BD"])


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


def origin_form(centers: Any, origin: Any) -> Any:
    """What `assign` takes for |c|^2 so that it ranks x - origin by its distance to c while x itself is passed: |c|^2 + 2 origin.c, from f64.

    |x - o - c|^2 = |x - o|^2 + |c|^2 + 2 o.c - 2 x.c; the first term is the same for all c.  Beside centring the data, which takes a copy, the
    rounding of a score grows by the factor |x| / |x - origin|, as that of the data itself has.
    """
    c = centers.astype(np.float64)
    with np.errstate(over="ignore"):                            # an infinity of f32 shows in the scores
        return (c * c + 2 * origin.astype(np.float64) * c).sum(1).astype(centers.dtype)


def sweep(rows: Batches, weight: Any, centers: Any, origin: Any, labels: Any, sums: Any = None, totals: Any = None) -> bool:
    """One pass over the rows: `labels` (N) i32 becomes the nearest of `centers` (K, D), which are relative to `origin` (D); True if one changed.

    With sums (K, D) and totals (K), f64, the weighted rows less origin and the weights of each cluster are added to them: runs of rows
    are summed, and these sums added, in an order that only the batches decide.
    ValueError if a row has a NaN or an infinity or its scores overflow.
    """
    form, changed, (k, d) = origin_form(centers, origin), False, centers.shape
    most = min(rows.size, len(rows.array))
    ids, score = np.empty(most, np.int32), np.empty(most, centers.dtype)
    if sums is not None:
        part, total = np.zeros((runs_of(most, k), k, d), sums.dtype), np.zeros((runs_of(most, k), k))
    for start, stop, block in rows:
        found, scores = ids[:stop - start], score[:stop - start]
        if sums is None:
            assign(block, centers, form, found, scores, BK=width(k), BD=depth(d))
        else:
            assign_and_add(block, centers, form, found, scores, part, total, origin=origin, weight=None if weight is None else weight[start:stop])
        if not np.isfinite(scores).all():
            check_finite(block)
            raise ValueError(f"squared distances are larger than {centers.dtype} can hold; scale X")
        changed = changed or not np.array_equal(found, labels[start:stop])
        labels[start:stop] = found
    if sums is not None:
        sums += part.sum(0)
        totals += total.sum(0)
    return changed


def total_inertia(rows: Batches, weight: Any, centers: Any, origin: Any, labels: Any) -> float:
    """The weighted sum of squared distances to the labels' centres: terms in the data's dtype, their sum in f64."""
    square = squared_distances(rows, centers, origin, labels)
    return float(np.sum(square if weight is None else square * weight, dtype=np.float64))


def same_clusters(a: Any, b: Any, k: int) -> bool:
    """Whether two labellings, each 0..k-1, differ by names only."""
    pairs = np.unique(a.astype(np.int64) * k + b)
    return len(pairs) == len(np.unique(a)) == len(np.unique(b))


class KMeans(Estimator):
    """K-means by Lloyd's iteration (Lloyd, 1982), with scikit-learn's parameters, attributes, convergence tests and random draws.

    n_clusters   K.
    init         "k-means++" (greedy, 2 + log K candidates), "random" (rows without replacement), an array (K, D), or a callable
                 init(X, n_clusters, random_state=) that returns one.
    n_init       starts, the best of which counts; "auto" is 1, but 10 for "random" and a callable.
    max_iter     Lloyd iterations at most.  The fit ends when no label changes, or when the squared moves of all centres add up to no more than
    tol          times the mean variance of the columns.
    random_state None (numpy's global state), an int or a RandomState.
    empty_cluster  "relocate": an empty cluster takes the row farthest from its centre (a further pass over the data, in that iteration only);
                 where all rows are on their centres it goes to the heaviest cluster's centre, with a ConvergenceWarning.  "keep": it stays where it was.
    deterministic  True: the same bits on any number of threads.  Sums are never made by atomics: rows are added in an order that the batches
                 decide.  False lets batches grow with the threads where there are many of them (above 64 for most shapes).
    batch_size   rows that one call of the kernels takes; None is 16 MiB of them, 2^18 at most.
    init_size    rows drawn for "k-means++" and "random"; None is all of them, but of a np.memmap 64 MiB, or 4 K if that is more.

    Data: (N, D) float32 stays float32; float64 and everything else is computed in float64 throughout.  An array in memory is used where it lies (copied
    only to change dtype or to make it C-contiguous); a np.memmap is read batch by batch, the next one by a thread, and never held as a whole.
    Memory beyond the data: at most 40 bytes a row (labels 4; the rest while starts are drawn or several are compared), about three times a batch, and a few
    K x D in f64; never N x K.
    sample_weight: not negative, finite; for an array or callable `init` it does not touch the start.

    Attributes: cluster_centers_ (K, D), labels_ (N) i32, inertia_, n_iter_, n_features_in_, feature_names_in_ (of data frames with names);
    after partial_fit counts_ (K) f64 and n_steps_.
    Error: scores as `assign` with c relative to the mean of the data; sums f64 of rows rounded once; inertia_ (D + 4) 2^-23 relative (f64: 2^-52).
    Raises ValueError for parameters and data that do not fit, NaN and infinities; TypeError for sparse data; NotFittedError.
    """

    def __init__(self, n_clusters: int = 8, *, init: Any = "k-means++", n_init: Any = "auto", max_iter: int = 300, tol: float = 1e-4, random_state: Any = None,
                 empty_cluster: str = "relocate", deterministic: bool = False, batch_size: Any = None, init_size: Any = None) -> None:
        self.n_clusters, self.init, self.n_init, self.max_iter, self.tol, self.random_state = n_clusters, init, n_init, max_iter, tol, random_state
        self.empty_cluster, self.deterministic, self.batch_size, self.init_size = empty_cluster, deterministic, batch_size, init_size

    # ------------------------------------------------------------ the interface
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Cluster the rows of X (N, D); y is ignored.  A ConvergenceWarning if fewer than K clusters have rows."""
        rows, k = self._rows(X, first=True), self.n_clusters
        if len(rows.array) < k:
            raise ValueError(f"n_samples={len(rows.array)} should be >= n_clusters={k}.")
        weight, random = weights_of(sample_weight, len(rows.array), rows.dtype), random_from(self.random_state)
        mean, variance = moments(rows)
        origin, tolerance, best = mean.astype(rows.dtype), float(variance.mean()) * self.tol, None
        for _ in range(self._starts()):
            found = self._lloyd(rows, weight, origin, self._start(rows, weight, random) - origin, tolerance)
            if best is None or (found[1] < best[1] and not same_clusters(found[0], best[0], k)):
                best = found
        assert best is not None
        self.labels_, self.inertia_, centers, self.n_iter_ = best
        self.cluster_centers_ = centers + origin
        for name in ("counts_", "n_steps_"):
            vars(self).pop(name, None)
        distinct = int(np.count_nonzero(np.bincount(self.labels_, minlength=k)))
        if distinct < k:
            warnings.warn(f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({k}). Possibly due to duplicate points in X.",
                          exception_class("ConvergenceWarning"), stacklevel=2)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """One step of mini-batch k-means (Sculley, WWW 2010) with X (N, D) as the batch: each centre becomes the mean of all rows it was ever given.

        The first call, which needs K rows or an array as `init`, makes the start from its own rows.  labels_ and inertia_ are of this batch by the new centres.
        Nothing is reassigned: a centre that gets no rows stays.
        """
        first = not hasattr(self, "n_steps_")
        rows = self._rows(X, first=first)
        weight = weights_of(sample_weight, len(rows.array), rows.dtype)
        if first:
            if len(rows.array) < self.n_clusters and (isinstance(self.init, str) or callable(self.init)):
                raise ValueError(f"n_samples={len(rows.array)} should be >= n_clusters={self.n_clusters}.")
            moments(rows)                                       # for its check of the values
            self.cluster_centers_, self.counts_, self.n_steps_ = self._start(rows, weight, random_from(self.random_state)), np.zeros(self.n_clusters), 0
        centers, origin = self._relative(rows.dtype)
        labels, sums, totals = np.full(len(rows.array), -1, np.int32), np.zeros(centers.shape), np.zeros(len(centers))
        sweep(rows, weight, centers, origin, labels, sums, totals)
        counts = self.counts_ + totals
        moved = (centers * self.counts_[:, None] + sums) / np.where(counts > 0, counts, 1)[:, None]
        centers = np.where(totals[:, None] > 0, moved, centers).astype(self.cluster_centers_.dtype)
        self.cluster_centers_, self.counts_, self.n_steps_ = centers + origin.astype(centers.dtype), counts, self.n_steps_ + 1
        self.labels_, self.inertia_ = self._labelled(rows, weight)
        return self

    def predict(self, X: Any) -> Any:
        """The nearest centre of each row of X (N, D), the lowest on ties: (N) i32."""
        return self._labelled(self._rows(X), None, inertia=False)[0]

    def transform(self, X: Any) -> Any:
        """The distance of each row of X (N, D) to each centre: (N, K) of X's dtype."""
        rows = self._rows(X)
        centers, origin = self._relative(rows.dtype)
        out = np.empty((len(rows.array), len(centers)), rows.dtype)
        for start, stop, block in rows:
            check_finite(block)
            distances(block, origin, centers, out[start:stop])
        return out

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the weighted sum of squared distances of the rows of X to their nearest centres."""
        rows = self._rows(X)
        return -self._labelled(rows, weights_of(sample_weight, len(rows.array), rows.dtype))[1]

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """labels_ of fit(X)."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """fit(X), then transform(X)."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """kmeans0, kmeans1, ..: the columns of transform."""
        self._check_fitted("cluster_centers_")
        return np.asarray([f"{type(self).__name__.lower()}{k}" for k in range(len(self.cluster_centers_))], dtype=object)

    # ------------------------------------------------------------ its parts
    def _rows(self, x: Any, first: bool = False) -> Batches:
        """X in batches: float32 where X and the centres are, else float64.  Parameters and columns are checked."""
        self._check_parameters()
        if not first:
            self._check_fitted("cluster_centers_")
        names, x = feature_names(x), table(x)
        self._check_features(names, x.shape[1], first)
        dtype = x.dtype if x.dtype in FLOATS else np.dtype(np.float64)
        if not first:
            dtype = np.result_type(dtype, self.cluster_centers_)
        most = max(1, (16 << 20) // (x.shape[1] * dtype.itemsize)) // 1024 * 1024
        size = self.batch_size or max(1024, min(most, 1 << 18), 0 if self.deterministic else 1024 * threads())
        return Batches(x, dtype, size)

    def _check_parameters(self) -> None:
        counts = {"n_clusters": self.n_clusters, "max_iter": self.max_iter} | {n: v for n, v in (("batch_size", self.batch_size), ("init_size", self.init_size))
                                                                               if v is not None} | ({} if self.n_init == "auto" else {"n_init": self.n_init})
        for name, value in counts.items():
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be an int of 1 or more, got {value!r}")
        if not self.tol >= 0:
            raise ValueError(f"tol must be 0 or more, got {self.tol!r}")
        if isinstance(self.init, str) and self.init not in ("k-means++", "random"):
            raise ValueError(f"init must be 'k-means++', 'random', an array or a callable, got {self.init!r}")
        if self.empty_cluster not in ("relocate", "keep"):
            raise ValueError(f"empty_cluster must be 'relocate' or 'keep', got {self.empty_cluster!r}")

    def _starts(self) -> int:
        """How many starts; a RuntimeWarning if several were asked for and an array is the start."""
        given = not isinstance(self.init, str) and not callable(self.init)
        if self.n_init == "auto":
            return 1 if given or (isinstance(self.init, str) and self.init == "k-means++") else 10
        if given and self.n_init != 1:
            warnings.warn(f"Explicit initial center position passed: performing only one init in KMeans instead of n_init={self.n_init}.", RuntimeWarning,
                          stacklevel=3)
        return 1 if given else self.n_init

    def _start(self, rows: Batches, weight: Any, random: Any) -> Any:
        """Centres (K, D) to begin with, in the data's dtype."""
        x, k = rows.array, self.n_clusters
        if not isinstance(self.init, str):
            made = self.init(x, k, random_state=random) if callable(self.init) else self.init
            centers = np.array(made, rows.dtype, order="C")
            if centers.shape != (k, x.shape[1]):
                wrong = f"match the number of clusters {k}" if centers.shape[:1] != (k,) else f"match the number of features of the data {x.shape[1]}"
                raise ValueError(f"The shape of the initial centers {centers.shape} does not {wrong}.")
            if not np.isfinite(centers).all():
                raise ValueError("the initial centers contain NaN or infinity")
            return centers
        size = self.init_size
        if size is None and isinstance(x, np.memmap):
            size = max((64 << 20) // (x.shape[1] * rows.dtype.itemsize), 4 * k)
        if isinstance(x, np.memmap) or (size is not None and size < len(x)):
            drawn = np.arange(len(x)) if size >= len(x) else np.sort(random.randint(0, len(x), max(size, k)))
            x, weight = rows.take(drawn), None if weight is None else weight[drawn]
        if self.init == "random":
            return x[random.choice(len(x), size=k, replace=False, p=probabilities(weight, len(x)))]
        return kmeans_plusplus(x, k, sample_weight=weight, random_state=random)[0]

    def _lloyd(self, rows: Batches, weight: Any, origin: Any, centers: Any, tolerance: float) -> tuple[Any, float, Any, int]:
        """(labels, inertia, centres, iterations) from centres relative to origin."""
        labels, strict = np.full(len(rows.array), -1, np.int32), False
        steps = 0
        while steps < self.max_iter and not strict:
            steps += 1
            sums, totals = np.zeros(centers.shape), np.zeros(len(centers))
            strict = not sweep(rows, weight, centers, origin, labels, sums, totals)
            new = self._averaged(rows, weight, origin, centers, labels, sums, totals)
            moved = float(((new - centers).astype(np.float64) ** 2).sum())
            centers = new
            if moved <= tolerance and not strict:
                break
        if not strict:
            sweep(rows, weight, centers, origin, labels)
        return labels, total_inertia(rows, weight, centers, origin, labels), centers, steps

    def _averaged(self, rows: Batches, weight: Any, origin: Any, centers: Any, labels: Any, sums: Any, totals: Any) -> Any:
        """The new centres of an iteration, of sums and totals, which empty clusters change."""
        empty = np.flatnonzero(totals == 0)
        stay = centers
        if len(empty) and self.empty_cluster == "relocate":
            square = squared_distances(rows, centers, origin, labels)
            if square.max() > 0:
                far = np.argpartition(square, -len(empty))[:-len(empty) - 1:-1]
                for k, i, x in zip(empty, far, rows.take(far) - origin, strict=True):
                    w = 1.0 if weight is None else float(weight[i])
                    sums[labels[i]] -= x.astype(np.float64) * w
                    totals[labels[i]] -= w
                    sums[k], totals[k] = x.astype(np.float64) * w, w
            heaviest = int(np.argmax(totals))
            stay = np.broadcast_to((sums[heaviest] / totals[heaviest]).astype(centers.dtype), centers.shape)
        mean = (sums / np.where(totals > 0, totals, 1)[:, None]).astype(centers.dtype)
        return np.where(totals[:, None] > 0, mean, stay)

    def _relative(self, dtype: Any) -> tuple[Any, Any]:
        """(centres less origin, origin), the origin the mean of the centres."""
        centers = self.cluster_centers_.astype(dtype)
        origin = centers.mean(0, dtype=np.float64).astype(dtype)
        return centers - origin, origin

    def _labelled(self, rows: Batches, weight: Any, inertia: bool = True) -> tuple[Any, float]:
        """Labels by the fitted centres, and the inertia."""
        centers, origin = self._relative(rows.dtype)
        labels = np.full(len(rows.array), -1, np.int32)
        sweep(rows, None, centers, origin, labels)
        return labels, total_inertia(rows, weight, centers, origin, labels) if inertia else 0.0


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


def _begin(random: Any, given: dict[str, Any]) -> None:
    _prepare_assign(random, given)
    given["sums"][:], given["totals"][:] = 0, 0


def _assign_sums_reference(given: Given, got: Given) -> dict[str, Expected]:
    return {**_assign_reference(given, got), **_sums_reference({**given, "ids": got["ids"]}, got)}


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
    "assign": Example({"N": 16384, "K": 256, "D": 64}, _assign_reference, {"T": "f32", "U": "f32"}, prepare=_prepare_assign,
                      operations=lambda n: 2.0 * n["N"] * n["K"] * n["D"]),
    "assign_sums": Example({"N": 16384, "K": 256, "D": 64, "P": 8}, _assign_sums_reference, {"T": "f32", "U": "f32", "S": "f64"}, prepare=_begin,
                           operations=lambda n: 2.0 * n["N"] * n["K"] * n["D"]),
    "update_atomic": Example({"N": 65536, "K": 256, "D": 64}, _update_reference, {"T": "f32"}, prepare=_sort),
}
