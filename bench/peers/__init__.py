"""Who takes part: a module for each library, which alone imports it, and the environment of the process it runs in.

A module has CALLS: for each kind of case, functions by variant ("" is the plain one) that take a case and its arrays and give what is timed.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ready:
    """A contestant with its operands in its own form.

    A timed call is `call`; if `less` is given a run is a call of each, and their difference over `units` counts.  result gives the output as numpy in the shape
    and meaning of the case (None: not comparable, `note` says why).  preparation is the seconds that packing or quantising took.
    """

    call: Callable[[], Any]
    result: Callable[[], Any] | None = None
    less: Callable[[], Any] | None = None
    units: float = 1.0
    preparation: float = 0.0
    note: str = ""


class NoKernel(Exception):
    """The library has nothing for this case."""


@dataclass(frozen=True)
class Peer:
    """A library: its module here ("" while none is written), its distribution for the version, more environment variables, and the setting in words."""

    module: str
    distribution: str
    setting: str
    environment: Mapping[str, str] = field(default_factory=dict)
    unlocked: bool = False                                  # with the preload that makes MKL take AVX-512 on any processor


PEERS: Mapping[str, Peer] = {
    "dslc": Peer("ours", "dslc", "as a user calls it, out= where there is one"),
    "dslc:packed": Peer("ours", "dslc", "weights brought into another form once"),
    "dslc:streaming": Peer("ours", "dslc", "stores that pass the caches by"),
    "dslc:estimator": Peer("ours", "dslc", "KMeans with scikit-learn's names"),
    "numpy": Peer("with_numpy", "numpy", "OpenBLAS choosing its own kernels, out="),
    "torch": Peer("with_torch", "torch", "as shipped, out= where there is one, memory kept by the allocator"),
    "torch:linear": Peer("with_torch", "torch", "weights (N, K) as nn.Linear has them"),
    "torch:packed": Peer("with_torch", "torch", "oneDNN with prepacked weights"),
    "torch:folded": Peer("with_torch", "torch", "query heads of a group folded into rows by the user"),
    "torch:compiled": Peer("with_torch", "torch", "torch.compile, inductor's C++", {"TORCHINDUCTOR_FREEZING": "1"}),
    "torch:unlocked": Peer("with_torch", "torch", "with MKL told to take AVX-512: what the same library gives on other processors", unlocked=True),
    "sklearn": Peer("with_sklearn", "scikit-learn", "lloyd; iterations 2 to 6 of a fit, one of them"),
    "faiss": Peer("with_faiss", "faiss-cpu", "without subsampling"),
    "onnxruntime": Peer("with_onnxruntime", "onnxruntime", "all optimisations, results bound to memory"),
    "onnxruntime:int8": Peer("with_onnxruntime", "onnxruntime", "activations quantised to 8 bits (accuracy level 4)"),
    "numba": Peer("with_numba", "numba", "parallel loops in the order i, k, j, fastmath"),
    "fht-cpu": Peer("with_fht", "fht_cpu", "out of place"),
    "ggml": Peer("with_ggml", "llama_cpp_python", "Q4_0 in its own layout, activations rounded to 8 bits; flash_attn_ext"),
    "c": Peer("with_c", "", "written in C with vector types, own threads"),
    "c:streaming": Peer("with_c", "", "the same with streaming stores"),
}
LIMITS = "limit"
