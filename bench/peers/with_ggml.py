"""ggml, the library under llama.cpp, by ctypes: weights of 4 bits in blocks of 32 (Q4_0), laid out as its CPU backend likes them, and its flash attention.

The libraries are those of the distribution llama_cpp_python.  A product rounds the activations to 8 bits, with a scale for each 32 of them.
"""
from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import c_bool, c_float, c_int, c_int64, c_size_t, c_void_p
from importlib.util import find_spec
from itertools import count, takewhile
from pathlib import Path
from time import perf_counter
from typing import Any

import ml_dtypes
import numpy as np
from dslc.kernels.quantised_gemm import unpack_gptq

from ..case import Case
from ..data import Arrays
from . import Ready

TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(ml_dtypes.bfloat16): 30}     # enum ggml_type of ggml.h
Q4_0, BLOCK = 2, 32          # (q - 8) d: d in f16, then 16 bytes, of which byte i holds weights i and i + 16
GRAPH_BYTES = 1 << 20        # for the descriptions of tensors and a graph of one node
BASE_CALLS = {"init": c_void_p, "new_graph": c_void_p, "new_tensor_2d": c_void_p, "new_tensor_3d": c_void_p, "mul_mat": c_void_p, "flash_attn_ext": c_void_p,
              "build_forward_expand": None, "nbytes": c_size_t, "backend_alloc_ctx_tensors_from_buft": c_void_p, "backend_get_default_buffer_type": c_void_p,
              "backend_tensor_set": None, "backend_tensor_get": None, "backend_graph_compute": c_int, "backend_reg_get_proc_address": c_void_p}
CPU_CALLS = {"backend_cpu_init": c_void_p, "backend_cpu_reg": c_void_p, "backend_cpu_set_n_threads": None}


class Parameters(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


def _functions() -> dict[str, Callable[..., Any]]:
    """Of its two libraries, by name."""
    found = find_spec("llama_cpp")
    if found is None or not found.submodule_search_locations:
        raise ImportError("llama_cpp is not there", name="llama_cpp_python")
    folder, functions = Path(next(iter(found.submodule_search_locations))) / "lib", {}
    for part, calls in (("base", BASE_CALLS), ("cpu", CPU_CALLS)):
        library = ctypes.CDLL(str(folder / f"libggml-{part}.so"), ctypes.RTLD_GLOBAL)
        for name, result in calls.items():
            functions[name] = getattr(library, f"ggml_{name}")
            functions[name].restype = result
    return functions


GGML = _functions()
BACKEND = c_void_p(GGML["backend_cpu_init"]())
GGML["backend_cpu_set_n_threads"](BACKEND, c_int(int(os.environ["OMP_NUM_THREADS"])))


def context() -> c_void_p:
    """Room for descriptions, none for data."""
    return c_void_p(GGML["init"](Parameters(GRAPH_BYTES, None, True)))


def preferred() -> list[c_void_p]:
    """The kinds of memory in which weights take a layout for this processor."""
    address = GGML["backend_reg_get_proc_address"](c_void_p(GGML["backend_cpu_reg"]()), b"ggml_backend_dev_get_extra_bufts")
    kinds = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)(address)(None)
    return [c_void_p(kind) for kind in takewhile(bool, (kinds[i] for i in count()))]


def placed(where: c_void_p, tensor: c_void_p, kind: c_void_p, data: Any) -> None:
    """Memory for all tensors of a context, and the data of one."""
    if not GGML["backend_alloc_ctx_tensors_from_buft"](where, kind):
        raise MemoryError("ggml has no memory for a tensor")
    data = np.ascontiguousarray(data)
    GGML["backend_tensor_set"](tensor, c_void_p(data.ctypes.data), c_size_t(0), c_size_t(data.nbytes))


def given(x: Any) -> c_void_p:
    """A tensor of an array of rank 2 or 3, in a context of its own."""
    where, shape = context(), [c_int64(n) for n in reversed(x.shape)]
    tensor = c_void_p(GGML[f"new_tensor_{x.ndim}d"](where, c_int(TYPES[x.dtype]), *shape))
    placed(where, tensor, c_void_p(GGML["backend_get_default_buffer_type"](BACKEND)), x)
    return tensor


def computed(operator: str, shape: tuple[int, ...], *operands: Any, **more: Any) -> Ready:
    """A graph of one operator with a result in f32."""
    where = context()
    result = c_void_p(GGML[operator](where, *operands))
    graph = c_void_p(GGML["new_graph"](where))
    GGML["build_forward_expand"](graph, result)
    GGML["backend_alloc_ctx_tensors_from_buft"](where, c_void_p(GGML["backend_get_default_buffer_type"](BACKEND)))

    def out() -> Any:
        y = np.empty(shape, np.float32)
        GGML["backend_tensor_get"](result, c_void_p(y.ctypes.data), c_size_t(0), c_size_t(y.nbytes))
        return y
    return Ready(lambda: GGML["backend_graph_compute"](BACKEND, graph), out, **more)


def blocks(words: Any, scale: Any) -> Any:
    """Weights in Q4_0, as bytes: for each column of K a run of blocks, each with the scale of its group."""
    q = np.ascontiguousarray(unpack_gptq(words).T).reshape(words.shape[1], -1, BLOCK)
    found = np.empty((*q.shape[:2], 2 + BLOCK // 2), np.uint8)
    found[..., :2] = np.repeat(scale.T.astype(np.float16), q.shape[1] // len(scale), 1)[..., None].view(np.uint8)
    found[..., 2:] = q[..., :BLOCK // 2] | q[..., BLOCK // 2:] << 4
    return found


def w4a16(case: Case, x: Arrays) -> Ready:
    start = perf_counter()
    m, n, k = (case.sizes[s] for s in "MNK")
    where = context()
    weights = c_void_p(GGML["new_tensor_2d"](where, c_int(Q4_0), c_int64(k), c_int64(n)))
    kinds = preferred() or [c_void_p(GGML["backend_get_default_buffer_type"](BACKEND))]
    placed(where, weights, kinds[0], blocks(x["words"], x["scale"]))
    return computed("mul_mat", (m, n), weights, given(x["x"].astype(np.float32)), preparation=perf_counter() - start, note="activations rounded to 8 bits")


def decode(case: Case, x: Arrays) -> Ready:
    """Queries in f32, keys and values as they are."""
    h, d = case.sizes["H"], case.sizes["D"]
    q, k, v = given(x["q"][0].astype(np.float32)), given(x["k"][0]), given(x["v"][0])
    return computed("flash_attn_ext", (1, h, 1, d), q, k, v, None, c_float(d ** -0.5), c_float(0), c_float(0))


CALLS = {"w4a16": {"": w4a16}, "decode": {"": decode}}
