"""KMeans: scikit-learn's results, attributes and conventions; batches, memory maps, threads, weights, empty clusters, wrong input."""
from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from dslc.kernels.estimator import Batches, ConvergenceWarning, NotFittedError, random_from, weights_of
from dslc.kernels.kmeans import KMeans, same_clusters
from dslc.kernels.kmeans_passes import kmeans_plusplus, moments, squared_distances

try:
    from sklearn.base import ClusterMixin
except ImportError:
    class ClusterMixin:
        """Nothing, without scikit-learn."""

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def blobs(n: int = 2000, k: int = 12, d: int = 7, dtype: Any = np.float32, seed: int = 0, offset: float = 0.0) -> Any:
    """n rows about k centres, which touch: spread 1, centres 3 apart."""
    random = np.random.default_rng(seed)
    return (random.standard_normal((k, d))[random.integers(0, k, n)] * 3 + random.standard_normal((n, d)) + offset).astype(dtype)


def inertia_of(x: Any, centers: Any, weight: Any = 1.0) -> float:
    return float((((x[:, None].astype(np.float64) - centers.astype(np.float64)) ** 2).sum(2).min(1) * weight).sum())


def plain_lloyd(x: Any, centers: Any, steps: int) -> Any:
    """Labels after `steps` iterations in f64, no cluster empty."""
    for _ in range(steps):
        labels = ((x[:, None] - centers) ** 2).sum(2).argmin(1)
        centers = np.stack([x[labels == k].mean(0) for k in range(len(centers))])
    return ((x[:, None] - centers) ** 2).sum(2).argmin(1), centers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lloyd_by_its_definition(dtype):
    x = blobs(dtype=dtype)
    m = KMeans(12, init=x[:12], max_iter=4, tol=0).fit(x)
    labels, centers = plain_lloyd(x.astype(np.float64), x[:12].astype(np.float64), 4)
    assert m.n_iter_ == 4 and m.labels_.dtype == np.int32 and m.cluster_centers_.dtype == dtype and m.n_features_in_ == 7
    assert (m.labels_ == labels).mean() > 0.998
    np.testing.assert_allclose(m.cluster_centers_, centers, atol=2e-2 if dtype == np.float32 else 1e-9)
    assert m.inertia_ == pytest.approx(inertia_of(x, m.cluster_centers_), rel=1e-5 if dtype == np.float32 else 1e-12)
    np.testing.assert_array_equal(m.predict(x), m.labels_)
    assert m.score(x) == pytest.approx(-m.inertia_, rel=1e-5)
    far = m.transform(x)
    assert far.dtype == dtype and far.shape == (2000, 12)
    np.testing.assert_allclose(far, np.sqrt(((x[:, None].astype(np.float64) - m.cluster_centers_) ** 2).sum(2)), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(KMeans(12, init=x[:12], max_iter=4, tol=0).fit_predict(x), m.labels_)


@pytest.mark.parametrize(("dtype", "weighted"), [(np.float32, False), (np.float32, True), (np.float64, True)])
def test_the_same_as_scikit_learn(dtype, weighted):
    cluster = pytest.importorskip("sklearn.cluster")
    x = blobs(dtype=dtype, offset=300.0 if weighted else 0.0, seed=3)
    w = np.random.default_rng(1).uniform(0, 2, len(x)).astype(dtype) if weighted else None
    for start in (x[:12], "k-means++", "random"):
        settings = dict(init=start, n_init=1, random_state=5)
        mine, theirs = (c(12, **settings).fit(x, sample_weight=w) for c in (KMeans, cluster.KMeans))
        assert mine.inertia_ == pytest.approx(theirs.inertia_, rel=1e-5)
        assert mine.n_iter_ == theirs.n_iter_ and (mine.labels_ == theirs.labels_).mean() > 0.999
        np.testing.assert_allclose(mine.cluster_centers_, theirs.cluster_centers_, rtol=1e-4, atol=5e-3)
        assert mine.score(x, sample_weight=w) == pytest.approx(theirs.score(x, sample_weight=w), rel=1e-5)
    mine, theirs = (f(x, 30, sample_weight=w, random_state=7)[1] for f in (kmeans_plusplus, cluster.kmeans_plusplus))
    np.testing.assert_array_equal(mine, theirs)


def test_several_starts_and_convergence_as_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster")
    x = blobs(600, seed=4)
    for settings in (dict(n_init=4), dict(tol=0.1), dict(tol=0, max_iter=200), dict(max_iter=1), dict(init="random")):
        mine, theirs = (c(12, random_state=2, **settings).fit(x) for c in (KMeans, cluster.KMeans))
        assert mine.inertia_ == pytest.approx(theirs.inertia_, rel=1e-5) and mine.n_iter_ == theirs.n_iter_, settings
    called: list[Any] = []

    def start(x: Any, k: int, random_state: Any) -> Any:
        called.append(random_state)
        return x[:k]

    assert KMeans(12, init=start, n_init=2).fit(x).inertia_ == KMeans(12, init=x[:12]).fit(x).inertia_ and len(called) == 2


def test_empty_clusters():
    x = np.concatenate([blobs(300, 3, 2, np.float64), [[90.0, 90.0], [-80.0, 50.0]]])
    start = np.concatenate([x[:3], [[1e3, 1e3], [2e3, 2e3]]])
    m = KMeans(5, init=start, max_iter=1, tol=0).fit(x)
    kept = KMeans(5, init=start, max_iter=1, tol=0, empty_cluster="keep")
    with pytest.warns(UserWarning, match="distinct clusters"):
        kept.fit(x)
    assert {tuple(c) for c in m.cluster_centers_.round(9)} >= {(90.0, 90.0), (-80.0, 50.0)} and len(set(m.labels_)) == 5
    np.testing.assert_allclose(kept.cluster_centers_[3:], start[3:])
    cluster = pytest.importorskip("sklearn.cluster")
    for most in (1, 50):
        theirs, mine = (c(5, init=start, max_iter=most, tol=0).fit(x) for c in (cluster.KMeans, KMeans))
        np.testing.assert_allclose(mine.cluster_centers_, theirs.cluster_centers_, rtol=1e-9)
        np.testing.assert_array_equal(mine.labels_, theirs.labels_)
    twins = np.repeat(x[:3], 4, 0)
    with pytest.warns(UserWarning, match=r"distinct clusters \(3\) found smaller than n_clusters \(5\)"):
        m = KMeans(5, random_state=0).fit(twins)
    assert m.inertia_ == pytest.approx(0, abs=1e-20)


def test_batches_and_memory_maps(tmp_path):
    x = blobs(3000, seed=6)
    np.save(tmp_path / "x.npy", x)
    mapped, whole = np.load(tmp_path / "x.npy", mmap_mode="r"), KMeans(12, init=x[:12], random_state=0).fit(x)
    for other in (KMeans(12, init=x[:12], batch_size=700).fit(x), KMeans(12, init=x[:12], batch_size=700).fit(mapped), KMeans(12, init=x[:12]).fit(mapped)):
        assert other.inertia_ == pytest.approx(whole.inertia_, rel=1e-6) and other.n_iter_ == whole.n_iter_
        np.testing.assert_allclose(other.cluster_centers_, whole.cluster_centers_, rtol=1e-5, atol=1e-5)
    drawn = KMeans(12, init_size=500, batch_size=999, random_state=1).fit(mapped)
    assert drawn.inertia_ < 1.3 * whole.inertia_
    np.testing.assert_array_equal(drawn.predict(mapped), drawn.labels_)
    np.testing.assert_array_equal(drawn.transform(mapped), drawn.transform(x))
    np.save(tmp_path / "i.npy", (x * 100).astype(np.int16))
    whole_numbers = np.load(tmp_path / "i.npy", mmap_mode="r")
    a, b = (KMeans(12, init=x[:12] * 100, batch_size=640).fit(v) for v in (whole_numbers, np.array(whole_numbers)))
    assert a.cluster_centers_.dtype == np.float64
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)


def test_batches_are_all_rows_in_order():
    x = np.arange(40).reshape(20, 2)
    for size in (1, 3, 20, 99):
        found = [(a, b, block.copy()) for a, b, block in Batches(x, np.float32, size)]
        np.testing.assert_array_equal(np.concatenate([f[2] for f in found]), x)
        assert [f[0] for f in found] == list(range(0, 20, size)) and found[-1][1] == 20
    for _start, _stop, _block in Batches(x, np.float32, 3):
        break                                                   # the reading thread ends with the loop
    assert Batches(x, np.int64, 3).copies is False


def output_of(code: str, **environment: str) -> str:
    """What a Python process prints."""
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout


def test_the_same_bits_on_any_number_of_threads():
    code = ("import numpy as np, hashlib; from dslc.kernels.kmeans import KMeans; r = np.random.default_rng(0); x = r.standard_normal((20000, 7), np.float32); "
            "m = KMeans(9, random_state=0, deterministic=True, max_iter=8).fit(x, sample_weight=r.uniform(0, 1, 20000)); "
            "print(hashlib.sha256(m.cluster_centers_.tobytes() + m.labels_.tobytes() + np.float64(m.inertia_).tobytes()).hexdigest())")
    found = {output_of(code, DSLC_THREADS=n) for n in "13"}
    assert len(found) == 1 and len(found.pop()) > 60


@pytest.mark.long
@pytest.mark.parametrize("start", ["'random'", "x[:1024]"])
def test_memory_stays_small(start):
    """A million rows, 1024 clusters: the process grows by less than 200 MiB beyond the data."""
    code = ("import numpy as np; from resource import *; from dslc.kernels.kmeans import KMeans; "
            "x = np.random.default_rng(0).standard_normal((1000000, 32), np.float32); m = KMeans(1024, init='random', n_init=1, random_state=0, max_iter=1); "
            f"m.fit(x[:5000]); a = getrusage(RUSAGE_SELF).ru_maxrss; m.set_params(init={start}).fit(x); print((getrusage(RUSAGE_SELF).ru_maxrss - a) / 1024)")
    assert float(output_of(code)) < 200


def test_partial_fit():
    x = blobs(2400, seed=8)
    m = KMeans(12, init=x[:12])
    for batch in np.split(x, 4):
        m.partial_fit(batch)
    assert m.n_steps_ == 4 and m.counts_.sum() == 2400 and m.labels_.shape == (600,)
    assert m.inertia_ == pytest.approx(inertia_of(x[1800:], m.cluster_centers_), rel=1e-5)
    one = KMeans(12, init=x[:12]).partial_fit(x)
    labels, centers = plain_lloyd(x.astype(np.float64), x[:12].astype(np.float64), 1)
    np.testing.assert_allclose(one.cluster_centers_, centers, atol=1e-4)
    assert KMeans(12, random_state=0).partial_fit(x).inertia_ < 3 * m.fit(x).inertia_ and not hasattr(m, "n_steps_")
    cluster = pytest.importorskip("sklearn.cluster")
    mine, theirs = KMeans(12, init=x[:12]), cluster.MiniBatchKMeans(12, init=x[:12], n_init=1, reassignment_ratio=0)
    for batch in np.split(x, 4):
        w = np.random.default_rng(2).uniform(0.1, 1, len(batch)).astype(np.float32)
        mine.partial_fit(batch, sample_weight=w)
        theirs.partial_fit(batch, sample_weight=w)
    np.testing.assert_allclose(mine.cluster_centers_, theirs.cluster_centers_, rtol=1e-3, atol=1e-3)


def test_moments_and_distances():
    x = blobs(700, d=70, offset=1e4, dtype=np.float64)
    mean, variance = moments(Batches(x, x.dtype, 256))
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(variance, x.var(0), rtol=1e-9)
    labels, origin = np.arange(700, dtype=np.int32) % 5, x.mean(0)
    np.testing.assert_allclose(squared_distances(Batches(x, x.dtype, 300), x[:5] - origin, origin, labels), ((x - x[labels]) ** 2).sum(1), atol=1e-6)


@pytest.mark.parametrize(("change", "message"), [
    (dict(n_clusters=0), "n_clusters must be"), (dict(n_clusters=2.0), "n_clusters must be"), (dict(n_clusters=99), "n_samples=30 should be >= n_clusters=99"),
    (dict(init="best"), "init must be"), (dict(init=np.zeros((3, 4))), "does not match the number of clusters"), (dict(n_init=0), "n_init must be"),
    (dict(init=np.zeros((4, 5))), "number of features"), (dict(init=np.full((4, 4), np.nan)), "NaN"), (dict(tol=-1), "tol must be"),
    (dict(max_iter=True), "max_iter must be"), (dict(batch_size=0), "batch_size must be"), (dict(empty_cluster="drop"), "empty_cluster must be"),
    (dict(random_state="x"), "cannot be used to seed")])
def test_wrong_parameters(change, message):
    with pytest.raises(ValueError, match=message):
        KMeans(**{"n_clusters": 4, **change}).fit(np.ones((30, 4)) * np.arange(30)[:, None])


def test_wrong_data():
    x = blobs(100, 3)
    m = KMeans(3, random_state=0).fit(x)
    for wrong in (np.nan, np.inf, -np.inf):
        bad = x.copy()
        bad[7, 2] = wrong
        for call in (m.predict, m.transform, m.score, m.partial_fit, KMeans(3).fit, KMeans(3).partial_fit):
            with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
                call(bad)
    for call, wrong, message in ((m.predict, x[:, :3], "X has 3 features, but KMeans is expecting 7"), (m.fit, x[0], "Reshape your data"),
                                 (m.fit, x[:0], "0 sample"), (m.fit, x[:, :0], "0 feature"), (m.fit, x + 0j, "Complex"),
                                 (m.fit, np.array([["a", "b"]]), "convert")):
        with pytest.raises(ValueError, match=message):
            call(wrong)
    for w, message in ((np.ones(3), "sample_weight.shape"), (-np.ones(100), "not negative"), (np.zeros(100), "zero"), (np.full(100, np.inf), "finite")):
        with pytest.raises(ValueError, match=message):
            m.fit(x, sample_weight=w)
    with pytest.raises(ValueError, match="scale X"):
        KMeans(2, init=x[:2] * np.float32(1e25)).fit(x * np.float32(1e25))
    with pytest.raises((NotFittedError, ValueError), match="not fitted"):
        KMeans().predict(x)


def test_conventions():
    m = KMeans(3, tol=0.5)
    assert m.get_params() == {**KMeans(3).get_params(), "tol": 0.5} and m.set_params(n_clusters=4) is m and m.n_clusters == 4
    with pytest.raises(ValueError, match="Invalid parameter 'size'"):
        m.set_params(size=3)
    assert repr(KMeans(3, tol=0.5)) == "KMeans(n_clusters=3, tol=0.5)" and "KMeans(init=array" in repr(KMeans(init=np.zeros((8, 2))))
    x = blobs(200, 3)
    m = KMeans(3, random_state=0).fit(x)
    for other in (pickle.loads(pickle.dumps(m)), copy.deepcopy(m)):
        np.testing.assert_array_equal(other.predict(x), m.labels_)
    assert list(m.get_feature_names_out()) == ["kmeans0", "kmeans1", "kmeans2"]
    assert m.fit(np.asfortranarray(x)).inertia_ == m.fit(x).inertia_ == m.fit(x[::-1][::-1]).inertia_
    assert m.fit(x.astype(np.float16)).cluster_centers_.dtype == np.float64
    assert same_clusters(np.array([0, 0, 1]), np.array([2, 2, 0]), 3) and not same_clusters(np.array([0, 0, 1]), np.array([2, 0, 0]), 3)
    assert random_from(3).randint(99) == np.random.RandomState(3).randint(99) and weights_of(np.ones(4), 4, np.float32) is None
    assert issubclass(ConvergenceWarning, UserWarning)


class Frame:
    """As much of a data frame as is looked at."""

    def __init__(self, values: Any, columns: list[Any]) -> None:
        self.values, self.columns = values, columns

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype)


def test_names_of_columns():
    x = blobs(200, 3, 2)
    m = KMeans(3, random_state=0).fit(Frame(x, ["a", "b"]))
    assert list(m.feature_names_in_) == ["a", "b"]
    np.testing.assert_array_equal(m.predict(Frame(x, ["a", "b"])), m.predict(x))
    with pytest.raises(ValueError, match="feature names should match"):
        m.predict(Frame(x, ["b", "a"]))
    assert not hasattr(m.fit(Frame(x, [0, 1])), "feature_names_in_")


class Clusterer(ClusterMixin, KMeans):
    """scikit-learn runs its checks of clusterers on what has the mixin."""


def test_scikit_learns_own_checks():
    """All of check_estimator but for one, which KMeans of scikit-learn fails, too: repeated rows and their weights draw other random starts."""
    checks, base = pytest.importorskip("sklearn.utils.estimator_checks"), pytest.importorskip("sklearn.base")
    draws = {"check_sample_weight_equivalence_on_dense_data": "starts are drawn by row"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = checks.check_estimator(Clusterer(3, n_init=1), on_fail=None, on_skip=None, expected_failed_checks=draws)
    assert len(found) > 50 and not [(f["check_name"], str(f["exception"])[:300]) for f in found if f["status"] == "failed"]
    assert base.clone(KMeans(3, tol=0.1)).get_params() == KMeans(3, tol=0.1).get_params() and base.is_clusterer(KMeans())
