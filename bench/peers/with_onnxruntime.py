"""onnxruntime: models of one node, with results bound to memory that stays."""
from __future__ import annotations

import os
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from dslc.kernels.quantised_gemm import unpack_gptq
from onnx import TensorProto, helper, numpy_helper

from ..case import Case
from ..data import Arrays
from . import Ready

GROUP = 128


def session(operator: str, feeds: Mapping[str, Any], constants: Mapping[str, Any], shape: tuple[int, ...], **attributes: Any) -> tuple[Any, Any]:
    """(call, result) of a node of com.microsoft in f32; feeds and constants in the order of its inputs, a nameless one left out."""
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n, x in feeds.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    node = helper.make_node(operator, [*feeds, *constants], ["y"], domain="com.microsoft", **attributes)
    graph = helper.make_graph([node], "one", inputs, outputs, [numpy_helper.from_array(x, n) for n, x in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(os.environ["OMP_NUM_THREADS"]), 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    made = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding, out = made.io_binding(), onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(shape, np.float32))
    for name, x in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", out)
    return lambda: made.run_with_iobinding(binding), out.numpy


def attention(case: Case, x: Arrays) -> Ready:
    """Its fused operator, from and to (B, S, H D), the only form it takes."""
    heads, s, d = (case.sizes[n] for n in "HSD")
    feeds = {n: np.ascontiguousarray(x[n].swapaxes(1, 2)).reshape(1, s, heads * d) for n in "qkv"}
    call, result = session("MultiHeadAttention", feeds, {}, (1, s, heads * d), num_heads=heads, unidirectional=int(case.options["causal"]))
    return Ready(call, lambda: result().reshape(1, s, heads, d).swapaxes(1, 2))


def w4a16(case: Case, x: Arrays, level: int = 0) -> Ready:
    """Two weights to a byte, the lower half first, in blocks of 128 of K; activations f32, which level 4 rounds to 8 bits."""
    start = perf_counter()
    m, n, k = (case.sizes[s] for s in "MNK")
    q = np.ascontiguousarray(unpack_gptq(x["words"]).T)
    weights = {"w": (q[:, 0::2] | q[:, 1::2] << 4).reshape(n, k // GROUP, GROUP // 2), "s": np.ascontiguousarray(x["scale"].T.astype(np.float32))}
    call, result = session("MatMulNBits", {"x": x["x"].astype(np.float32)}, weights, (m, n), K=k, N=n, bits=4, block_size=GROUP, accuracy_level=level)
    return Ready(call, result, preparation=perf_counter() - start, note="activations rounded to 8 bits" if level else "")


CALLS = {"attention": {"": attention}, "w4a16": {"": w4a16, "int8": lambda case, x: w4a16(case, x, 4)}}
