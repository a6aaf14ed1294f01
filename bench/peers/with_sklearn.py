"""scikit-learn."""
from __future__ import annotations

import os
import warnings
from typing import Any

from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ..case import Case
from ..data import Arrays
from . import Ready

ITERATIONS = 5
threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))
warnings.simplefilter("ignore")


def kmeans(case: Case, x: Arrays) -> Ready:
    """What iterations 2 to 6 of a fit take, over 5: set-up, first touch and the last labelling cancel."""
    def fit(iterations: int) -> Any:
        done = KMeans(case.sizes["K"], init=x["centres"], n_init=1, max_iter=iterations, tol=0.0, algorithm="lloyd", copy_x=False).fit(x["x"])
        if done.n_iter_ != iterations:
            raise ValueError(f"converged after {done.n_iter_} iterations of {iterations}")
        return done
    return Ready(lambda: fit(1 + ITERATIONS), lambda: fit(1).cluster_centers_, lambda: fit(1), ITERATIONS)


CALLS = {"kmeans": {"": kmeans}}
