"""What scikit-learn's conventions ask of an estimator, without scikit-learn: parameters by name, checked input, rows in batches, its exceptions."""
from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np

FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


class NotFittedError(ValueError, AttributeError):
    """A method that needs a fitted estimator was called before fit."""


class ConvergenceWarning(UserWarning):
    """A fit ended at a result of doubtful use."""


def exception_class(name: str) -> Any:
    """The class of that name in sklearn.exceptions where scikit-learn is in use in this process, else the one above."""
    return getattr(sys.modules.get("sklearn.exceptions"), name, None) or globals()[name]


class Estimator:
    """Parameters are those of __init__, which stores them untouched; fitted attributes end in an underscore."""

    @classmethod
    def _names(cls) -> list[str]:
        return [n for n in inspect.signature(cls).parameters]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Every parameter by name; `deep` changes nothing, as no parameter is an estimator."""
        return {n: getattr(self, n) for n in self._names()}

    def set_params(self, **params: Any) -> Any:
        """Change parameters; ValueError, and no change, if one is not known."""
        unknown = sorted(params.keys() - set(self._names()))
        if unknown:
            raise ValueError(f"Invalid parameter {unknown[0]!r} for estimator {type(self).__name__}. Valid parameters are: {self._names()}.")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {n: p.default for n, p in inspect.signature(type(self)).parameters.items()}
        changed = {n: v for n, v in self.get_params().items() if v is not defaults[n] and repr(v) != repr(defaults[n])}
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in changed.items())})"

    def __sklearn_tags__(self) -> Any:
        """scikit-learn's description of a dense clusterer and transformer; called by scikit-learn alone."""
        made = import_module("sklearn.utils")
        return made.Tags(estimator_type="clusterer", target_tags=made.TargetTags(required=False),
                         transformer_tags=made.TransformerTags(preserves_dtype=["float64", "float32"]), input_tags=made.InputTags())

    def _check_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise exception_class("NotFittedError")(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' before using this estimator.")

    def _check_features(self, names: Any, count: int, first: bool) -> None:
        """Number and names of columns: stored on a first call, compared with the stored ones on a later call."""
        if first:
            self.n_features_in_ = count
            vars(self).pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
            return
        known = getattr(self, "feature_names_in_", None)
        if known is not None and names is not None and list(known) != list(names):
            raise ValueError("The feature names should match those that were passed during fit.")
        if count != self.n_features_in_:
            raise ValueError(f"X has {count} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input")


# ---------------------------------------------------------------- input
def feature_names(x: Any) -> Any:
    """The column names of a data frame as an array of objects; None for anything else, and for names that are not all strings."""
    columns = getattr(x, "columns", None)
    if columns is None or not all(isinstance(c, str) for c in columns):
        return None
    return np.asarray(columns, dtype=object)


def table(x: Any) -> Any:
    """`x` as a 2-D numpy array of float32 or float64; another real dtype becomes float64 (a np.memmap stays as it is: `Batches` converts it).

    TypeError for sparse data; ValueError for another rank, no rows or columns, complex numbers and what is no number.
    """
    if hasattr(x, "toarray") and hasattr(x, "nnz"):
        raise TypeError("Sparse data was passed, but dense data is required. Use X.toarray() to convert to a dense numpy array.")
    a = x if isinstance(x, np.memmap) else np.asarray(x)
    if a.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {a.dtype}")
    if a.ndim != 2:
        raise ValueError(f"Expected 2D array, got {a.ndim}D array instead: shape {a.shape}. Reshape your data: X.reshape(-1, 1) if it has a single feature, "
                         "X.reshape(1, -1) if it is a single sample.")
    for n, what in zip(a.shape, ("sample", "feature"), strict=True):
        if n == 0:
            raise ValueError(f"Found array with 0 {what}(s) (shape={a.shape}) while a minimum of 1 is required.")
    if isinstance(a, np.memmap):
        return a
    return np.ascontiguousarray(a, a.dtype if a.dtype in FLOATS else np.float64)


def check_finite(block: Any) -> None:
    """ValueError if an element of `block` is NaN or infinite."""
    if not np.isfinite(block).all():
        raise ValueError(f"Input X contains {'NaN' if np.isnan(block).any() else f'infinity or a value too large for {block.dtype}'}.")


def weights_of(sample_weight: Any, n: int, dtype: Any) -> Any:
    """None for no weights or all 1, else (n,) of dtype; ValueError for another shape, negative or not finite ones, or a sum of 0."""
    if sample_weight is None:
        return None
    w = np.asarray(sample_weight, dtype)
    w = np.full(n, w, dtype) if w.ndim == 0 else np.ascontiguousarray(w)
    if w.shape != (n,):
        raise ValueError(f"sample_weight.shape == {w.shape}, expected {(n,)}!")
    if not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("sample_weight must be finite and not negative")
    if not w.any():
        raise ValueError("sample_weight is zero for every row, at least one weight must not be zero")
    return None if (w == 1).all() else w


def random_from(seed: Any) -> Any:
    """A numpy RandomState: a new one of an int, the one given, or numpy's global one for None.  ValueError for anything else."""
    if seed is None:
        return np.random.mtrand._rand
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return np.random.RandomState(seed)
    if isinstance(seed, np.random.RandomState):
        return seed
    raise ValueError(f"{seed!r} cannot be used to seed a numpy.random.RandomState instance")


class Batches:
    """The rows of a 2-D array as (start, stop, block) in order, each block (stop - start, D) of `dtype`, at most `size` rows.

    An array in memory is given out as views.  A np.memmap, and an array of another dtype, is copied batch by batch into one of two buffers, the next
    batch by a thread while this one is used: a block is valid until the next but one is asked for.
    """

    def __init__(self, array: Any, dtype: Any, size: int) -> None:
        self.array, self.dtype, self.size, self.shape = array, np.dtype(dtype), size, array.shape
        self.copies = isinstance(array, np.memmap) or array.dtype != self.dtype

    def __iter__(self) -> Iterator[tuple[int, int, Any]]:
        n = len(self.array)
        spans = [(start, min(start + self.size, n)) for start in range(0, n, self.size)]
        if not self.copies:
            for start, stop in spans:
                yield start, stop, self.array[start:stop]
            return
        buffers = [np.empty((min(self.size, n), self.shape[1]), self.dtype) for _ in spans[:2]]

        def read(i: int) -> Any:
            start, stop = spans[i]
            block = buffers[i % 2][:stop - start]
            np.copyto(block, self.array[start:stop], casting="unsafe")
            return block

        with ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(read, 0)
            for i, (start, stop) in enumerate(spans):
                block = ahead.result()
                if i + 1 < len(spans):
                    ahead = thread.submit(read, i + 1)
                yield start, stop, block

    def take(self, rows: Any) -> Any:
        """Those rows as an array (len(rows), D) of the dtype."""
        return np.ascontiguousarray(self.array[rows], self.dtype)
