"""Arrays for results: of the kind, and on the device, of an argument."""
from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from dslc.runtime.arrays import Array, as_array

_OUTSIDE = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i32": "int32", "i64": "int64", "i8": "int8", "u8": "uint8"}
_OURS = {there: here for here, there in _OUTSIDE.items()}


def dtype_name(dtype: Any) -> str:
    """dslc's name of a dtype of numpy or torch, or of one of their names; TypeError if it has none."""
    text = str(dtype)
    name = text.rpartition(".")[2] if text.startswith("torch.") else np.dtype(dtype).name
    if name not in _OURS:
        raise TypeError(f"results are not made of {name}: use one of {', '.join(_OURS)}")
    return _OURS[name]


def new_array(like: Any, shape: Sequence[int], dtype: str) -> Any:
    """An array of `shape` and dslc's `dtype`, its values undefined, of the kind of `like`: torch where that is a tensor, numpy or the array's own library.

    TypeError for arrays of a library without `empty` in the sense of the array API standard.
    """
    name = _OUTSIDE[dtype]
    if isinstance(like, np.ndarray):
        return np.empty(shape, ml_dtypes.bfloat16 if name == "bfloat16" else name)
    if hasattr(like, "new_empty"):
        return like.new_empty(tuple(shape), dtype=getattr(sys.modules["torch"], name))
    library = like.__array_namespace__() if hasattr(like, "__array_namespace__") else sys.modules.get(type(like).__module__.partition(".")[0])
    if not hasattr(library, "empty"):
        raise TypeError(f"a result cannot be made for {type(like).__name__}: pass out=, or a numpy array or torch tensor")
    return library.empty(tuple(shape), dtype=getattr(library, name, name))


def described(**arrays: Any) -> dict[str, Array]:
    """The arguments as dslc sees them, by name; TypeError naming the one that is no array."""
    found = {}
    for name, value in arrays.items():
        if not any(hasattr(value, a) for a in ("__array_interface__", "__dlpack__", "data_ptr", "__cuda_array_interface__")):
            raise TypeError(f"{name}: expected an array, found {type(value).__name__}")
        found[name] = as_array(value)
    return found
