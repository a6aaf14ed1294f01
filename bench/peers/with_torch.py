"""PyTorch: eager with out= where there is one, oneDNN with packed weights, torch.compile."""
from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F
from dslc.kernels.quantised_gemm import unpack_gptq

from ..case import Case
from ..data import Arrays
from . import Ready

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.set_grad_enabled(False)


def tensor(x: Any) -> Any:
    """A tensor over the memory of a numpy array."""
    return torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16) if x.dtype == ml_dtypes.bfloat16 else torch.from_numpy(x)


def array(x: Any) -> Any:
    """A numpy array over the memory of a tensor."""
    return x.view(torch.uint16).numpy().view(ml_dtypes.bfloat16) if x.dtype == torch.bfloat16 else x.numpy()


def kept(function: Callable[[], Any], shown: Callable[[Any], Any] = lambda y: y, **more: Any) -> Ready:
    """`function` with its last result kept, as a user keeps it; `shown` brings it into the form of the case."""
    last: list[Any] = [None]

    def call() -> None:
        last[0] = function()
    return Ready(call, lambda: array(shown(last[0])), **more)


# ---------------------------------------------------------------- products
def gemm(case: Case, x: Arrays) -> Ready:
    a, b = tensor(x["a"]), tensor(x["b"])
    out = torch.empty((case.sizes["M"], case.sizes["N"]), dtype=torch.int32 if case.dtype == "i8" else a.dtype)
    if case.dtype == "i8":
        return Ready(lambda: torch._int_mm(a, b, out=out), lambda: array(out))
    return Ready(lambda: torch.mm(a, b, out=out), lambda: array(out))


def linear(case: Case, x: Arrays) -> Ready:
    a, weight = tensor(x["a"]), tensor(x["b"]).T.contiguous()
    return kept(lambda: F.linear(a, weight))


def packed(case: Case, x: Arrays) -> Ready:
    a, weight = tensor(x["a"]), tensor(x["b"]).T.contiguous()
    if case.dtype == "i8":
        return packed_int8(a, weight)
    start = perf_counter()
    form = torch.ops.mkldnn._reorder_linear_weight(weight, a.shape[0])
    seconds = perf_counter() - start
    return kept(lambda: torch.ops.mkldnn._linear_pointwise(a, form, None, "none", [], ""), preparation=seconds)


def packed_int8(a: Any, weight: Any) -> Ready:
    """oneDNN takes unsigned rows; weights signed, result f32 without requantisation: the same product with a shifted first operand."""
    unsigned, scale = (a.to(torch.int16) + 128).to(torch.uint8), torch.ones(weight.shape[0])
    start = perf_counter()
    form = torch.ops.onednn.qlinear_prepack(weight, list(a.shape))
    seconds = perf_counter() - start
    zeros = torch.zeros(weight.shape[0], dtype=torch.int64)
    made = kept(lambda: torch.ops.onednn.qlinear_pointwise(unsigned, 1.0, 128, form, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""))
    return Ready(made.call, made.result, preparation=seconds, note="result in f32")


# ---------------------------------------------------------------- attention
def attention(case: Case, x: Arrays) -> Ready:
    q, k, v = (tensor(x[n]) for n in "qkv")
    return kept(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=case.options["causal"]))


def decode(case: Case, x: Arrays) -> Ready:
    q, k, v = (tensor(x[n]) for n in "qkv")
    return kept(lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=True))


def folded(case: Case, x: Arrays) -> Ready:
    q, k, v = (tensor(x[n]) for n in "qkv")
    rows = q.reshape(1, case.sizes["G"], -1, case.sizes["D"])
    return kept(lambda: F.scaled_dot_product_attention(rows, k, v), lambda y: y.reshape(q.shape))


# ---------------------------------------------------------------- others
def kmeans(case: Case, x: Arrays) -> Ready:
    """Assignment in blocks of rows, so that distances stay near the cores; sums by index_add_."""
    data, centres, k = tensor(x["x"]), tensor(x["centres"]), case.sizes["K"]
    ids, ones, block = torch.empty(len(data), dtype=torch.int64), torch.ones(len(data)), 8192

    def step() -> Any:
        squares = (centres * centres).sum(1)
        for i in range(0, len(data), block):
            torch.argmin(torch.addmm(squares, data[i:i + block], centres.T, alpha=-2.0), 1, out=ids[i:i + block])
        sums = torch.zeros_like(centres).index_add_(0, ids, data)
        counts = torch.zeros(k).index_add_(0, ids, ones)
        return torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centres)
    return kept(step)


def w4a16(case: Case, x: Arrays) -> Ready:
    a, q = tensor(x["x"]), torch.from_numpy(unpack_gptq(x["words"]).T.astype(np.int32))
    start = perf_counter()
    form = torch.ops.aten._convert_weight_to_int4pack_for_cpu(q, 1)
    scale = torch.from_numpy(x["scale"]).to(torch.bfloat16)
    both = torch.stack([scale, torch.zeros_like(scale)], -1).contiguous()
    seconds = perf_counter() - start
    return kept(lambda: torch.ops.aten._weight_int4pack_mm_for_cpu(a, form, 128, both), preparation=seconds)


def formula(case: Case, x: Arrays) -> tuple[Any, Callable[[Any], Any]]:
    data, n = tensor(x["x"]), case.sizes["N"]
    w, b = tensor(x["w"]).to(data.dtype), tensor(x["b"]).to(data.dtype)
    return data, {"softmax": lambda t: torch.softmax(t, 1), "rmsnorm": lambda t: F.rms_norm(t, (n,), w, 1e-6),
                  "layernorm": lambda t: F.layer_norm(t, (n,), w, b, 1e-5)}[case.options["op"]]


def rows(case: Case, x: Arrays) -> Ready:
    data, function = formula(case, x)
    if case.options["op"] == "softmax":
        out = torch.empty_like(data)
        return Ready(lambda: torch.softmax(data, 1, out=out), lambda: array(out))
    return kept(lambda: function(data))


def compiled(case: Case, x: Arrays) -> Ready:
    data, function = formula(case, x)
    torch._dynamo.reset()
    start = perf_counter()
    made = torch.compile(function, dynamic=False)
    made(data)
    seconds = perf_counter() - start
    return kept(lambda: made(data), preparation=seconds)


def stream(case: Case, x: Arrays) -> Ready:
    a, b, c = (tensor(x[n]) for n in "abc")
    calls = {"copy": (lambda: c.copy_(a), c), "scale": (lambda: torch.mul(c, 3.0, out=b), b), "add": (lambda: torch.add(a, b, out=c), c),
             "triad": (lambda: torch.add(b, c, alpha=3.0, out=a), a)}
    call, out = calls[case.options["op"]]
    return Ready(call, lambda: array(out))


CALLS = {"gemm": {"": gemm, "linear": linear, "packed": packed, "unlocked": gemm}, "attention": {"": attention, "unlocked": attention},
         "decode": {"": decode, "folded": folded, "unlocked": folded}, "kmeans": {"": kmeans, "unlocked": kmeans}, "w4a16": {"": w4a16},
         "rows": {"": rows, "compiled": compiled}, "stream": {"": stream}}
