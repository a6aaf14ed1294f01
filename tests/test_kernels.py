"""The library's kernels and host functions against numpy, on ragged shapes; speed is for bench/."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc import DslError
from dslc.kernels import gemm as products
from dslc.kernels import kmeans, quantised_gemm, rows, scan, stream
from dslc.kernels.attention import flash_attention
from dslc.kernels.kmeans_passes import sums_of_labels
from dslc.runtime.library import example_of, find_kernel, library, read_settings
from dslc.runtime.trial import Expected, judge, setup

SMALL = {"M": 37, "N": 52, "K": 70, "B": 2, "S": 3, "SQ": 41, "SK": 50, "H": 4, "G": 2, "D": 24, "DV": 40, "R": 7, "BINS": 40, "NG": 2}
BLOCKS = {"BM": 16, "BN": 32, "BK": 16, "BD": 16, "BR": 4, "CHUNK": 64}
SIZES: dict[str, dict[str, int]] = {"assign": {"N": 203, "K": 37}, "update_atomic": {"N": 300, "K": 7}, "row_squares": {"N": 50}, "row_cumsum": {"N": 201},
                                    "copy": {"N": 201}, "scale": {"N": 201}, "add": {"N": 201}, "triad": {"N": 201}, "histogram": {"N": 1000},
                                    "w4a16": {"K": 256, "NG": 2}, "w4a16_groups": {"K": 256, "NG": 2},
                                    "dequantise_all": {"K": 256, "NG": 2}, "update_runs": {"N": 300, "BN": 32, "P": 10},
                                    "column_sums": {"N": 203, "P": 1}, "label_sums": {"N": 203, "K": 37, "P": 4},
                                    "assign_sums": {"N": 203, "K": 37, "P": 4}, "own_distance": {"N": 203, "K": 37},
                                    "distances": {"N": 61, "K": 37}, "hadamard_rows": {"D": 64}, "hamming": {"W": 5}, "binary_gemm": {"W": 5},
                                    "pack_signs": {"KP": 96}, "gemm_panels": {"P": 4, "W": 16}, "pack_panels": {"P": 4, "W": 16},
                                    "potentials": {"N": 203, "C": 3, "P": 7, "BN": 32}, "attention_decode": {"P": 6}, "attention_join": {"P": 6}}
WITH_EXAMPLE = [n for n, k in library().items() if example_of(k) is not None]

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def attempt(name: str, **settings: Any) -> None:
    """One call on the example's data at small sizes, judged by the example's reference."""
    kernel = find_kernel(name)
    annotations = kernel.annotations
    names = {n for a in annotations.values() for d in a.dims or () for n in ([d] if isinstance(d, str) else [])}
    sizes = {n: v for n, v in {**SMALL, **SIZES.get(name, {})}.items() if n in names}
    consts = {n: v for n, v in BLOCKS.items() if n in kernel.definition.consts and n not in names}
    s = setup(kernel, {**consts, **settings}, sizes)
    got = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in s.given.items()}
    kernel(**got, **s.named)
    assert s.example is not None
    defaults = {n: v for n, v in kernel.definition.defaults.items() if n not in s.given}
    for output, expected in s.example.reference({**defaults, **s.given, **s.numbers}, got).items():
        verdict = judge(output, got[output], expected)
        assert not verdict.wrong, (name, settings, verdict)


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_examples(name):
    attempt(name)


@pytest.mark.parametrize(("name", "settings"), [
    ("gemm", {"T": "bf16", "U": "f32"}), ("gemm", {"T": "f16", "U": "f16"}), ("gemm", {"T": "i8", "U": "i32", "ACC": "i32"}),
    ("gemm", {"T": "f64", "U": "f64", "ACC": "f64"}),
    *(("gemm", {"epilogue": e, "present": "bias"}) for e in ("bias_relu", "bias_gelu")),
    ("attention", {"causal": "true"}), ("attention", {"causal": "true", "window": "17"}), ("attention", {"T": "bf16"}),
    ("attention_decode", {"T": "bf16"}), ("attention_join", {"T": "f16"}), ("w4a16_groups", {"T": "f32"}), ("w4a16_groups", {"BM": "1", "U": "bf16"}),
    ("hadamard_rows", {"T": "bf16"}), ("binary_gemm", {"T": "u64"}),
    ("rmsnorm", {"T": "bf16", "present": "residual"}), ("softmax", {"T": "f16"})])
def test_variants(name, settings):
    attempt(name, **read_settings(find_kernel(name), [f"{n}={v}" for n, v in settings.items()]))


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_matmul():
    a, b, bias = normal(37, 71), normal(71, 45, seed=1), normal(45, seed=2)
    np.testing.assert_allclose(products.matmul(a, b), a @ b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(products.matmul(a, b, bias), a @ b + bias, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(products.matmul(a[:5], b, splits=4, BK=16), a[:5] @ b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(products.matmul(a.T.copy().T, b[:, ::2]), a @ b[:, ::2], rtol=1e-4, atol=1e-4)
    i8 = (a * 40).astype(np.int8)
    np.testing.assert_array_equal(products.matmul(i8, i8.T), i8.astype(np.int32) @ i8.T.astype(np.int32))


def test_matmul_with_activations_and_other_arrays():
    a, b, bias = normal(37, 71), normal(71, 45, seed=1), normal(45, seed=2)
    t = a @ b
    for name, f in {"relu": lambda t: np.maximum(t, 0), "silu": lambda t: t / (1 + np.exp(-t))}.items():
        np.testing.assert_allclose(products.matmul(a, b, bias, activation=name), f(t + bias), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(products.matmul(a, b, activation="relu"), np.maximum(t, 0), rtol=1e-4, atol=1e-4)
    assert products.matmul(a.astype(np.float16), b.astype(np.float16), dtype=np.float32).dtype == np.float32
    for wrong, message in (({"activation": "tanh"}, "activation must be one of relu, gelu, silu or None"), ({"splits": 2, "bias": bias}, "without bias")):
        with pytest.raises((ValueError, DslError), match=message):
            products.matmul(a, b, **wrong)
    with pytest.raises(DslError, match=r"expected a \(M, K\) and b \(K, N\), got \(37, 71\) and \(37, 71\)"):
        products.matmul(a, a)
    with pytest.raises(TypeError, match="results are not made of complex64"):
        products.matmul(a, b, dtype=np.complex64)
    torch = pytest.importorskip("torch")
    got = products.matmul(torch.from_numpy(a).bfloat16(), torch.from_numpy(b).bfloat16(), torch.from_numpy(bias), activation="gelu", dtype=torch.float32)
    wide = torch.from_numpy(a).bfloat16().float() @ torch.from_numpy(b).bfloat16().float() + torch.from_numpy(bias)
    torch.testing.assert_close(got, torch.nn.functional.gelu(wide, approximate="tanh"), rtol=1e-4, atol=1e-4)
    assert products.matmul(torch.from_numpy(a), torch.from_numpy(b), splits=2, BK=16).shape == (37, 45)


@pytest.mark.parametrize("threads", [1, 2, 64])
@pytest.mark.parametrize(("m", "n"), [(0, 0), (1, 1), (1, 4096), (5, 33), (4096, 64), (1024, 1024)])
def test_tile_sizes(m, n, threads):
    t = products.tile_sizes(m, n, 100, threads)
    assert t["BK"] <= 128
    assert t["BM"] < max(2 * m, 2) and t["BN"] < max(2 * n, 32) and t["BM"] <= products.BLOCK


def test_flash_attention_sees_what_it_should():
    q, k, v = normal(1, 20, 2, 16), normal(1, 30, 1, 16, seed=1), normal(1, 30, 1, 16, seed=2)
    o, lse = flash_attention(q, k, v, causal=True, return_lse=True, BM=16, BN=16)
    k[0, 11:], v[0, 11:] = 99, np.nan                        # the first query sees keys 0..10
    first, first_lse = flash_attention(q[:, :1], k[:, :11], v[:, :11], return_lse=True, BM=16, BN=16)
    np.testing.assert_allclose(o[:, :1], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(lse[:, :, :1], first_lse, rtol=1e-5, atol=1e-6)


def test_rows():
    x, w, b = normal(9, 77), normal(77, seed=1), normal(77, seed=2)
    np.testing.assert_allclose(rows.softmax_rows(x).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(rows.rmsnorm_rows(x, w), x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6) * w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows.layernorm_rows(x, w, b),
                               (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * w + b, rtol=1e-4, atol=1e-4)


def test_quantised_product():
    w, a = normal(256, 40), normal(5, 256, seed=1).astype(np.float16)
    words, scale = quantised_gemm.quantise_gptq(w, 128)
    q = quantised_gemm.unpack_gptq(words)
    np.testing.assert_array_equal(quantised_gemm.pack_gptq(q), words)
    near = (q.astype(np.float32) - 8) * np.repeat(scale.astype(np.float32), 128, 0)
    assert np.abs(near - w).max() <= np.abs(w).max() / 7 * 0.51
    want = a.astype(np.float64) @ near.astype(np.float16).astype(np.float64)
    np.testing.assert_allclose(quantised_gemm.matmul_w4a16(a, words, scale, splits=2, BN=32), want, rtol=2e-3, atol=2e-2)


def test_lloyd():
    centres = normal(6, 8) * 6
    x = (centres[np.arange(500) % 6] + normal(500, 8, seed=1)).astype(np.float32)
    (c, ids, steps), (other, _, _) = (kmeans.lloyd(x, x[:6], ordered=o) for o in (True, False))
    np.testing.assert_array_equal(ids, ((x[:, None] - c) ** 2).sum(-1).argmin(1))
    np.testing.assert_allclose(c, np.stack([x[ids == k].mean(0) for k in range(6)]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other, c, rtol=1e-4, atol=1e-4)
    again = kmeans.lloyd(x, x[:6])
    assert 1 < steps < 20 and np.array_equal(again[0].view(np.int32), c.view(np.int32))


@pytest.mark.parametrize("k", [3, 90])
def test_sums_of_labels(k: int):
    x, origin, weight = normal(300, 24), normal(24, seed=1), np.abs(normal(300, seed=2))
    ids = np.random.default_rng(3).integers(0, k, 300).astype(np.int32)
    sums, totals = np.zeros((k, 24)), np.zeros(k)
    np.add.at(sums, ids, weight[:, None] * (x - origin))
    np.add.at(totals, ids, weight)
    got = sums_of_labels(x, ids, k, np.float64, weight=weight, origin=origin)
    for a, b in zip(got, (sums, totals), strict=True):
        np.testing.assert_allclose(a, b, rtol=2.0 ** -22, atol=300 * 2.0 ** -24)
    perm = np.argsort(ids, kind="stable").astype(np.int32)
    plain, counts = sums_of_labels(x, ids, k, np.float32)
    ordered, sizes = kmeans.cluster_sums(x, perm, ids[perm], k)
    np.testing.assert_array_equal(counts, sizes)
    np.testing.assert_allclose(plain, ordered, rtol=1e-5, atol=300 * 2.0 ** -24)


def test_scans_and_stream():
    x = np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8)
    np.testing.assert_array_equal(scan.histogram_of(x), np.bincount(x, minlength=256))
    y = normal(5, 300)
    np.testing.assert_allclose(scan.cumsum_rows(y), np.cumsum(y, 1), rtol=1e-4, atol=1e-4)
    assert set(stream.stream(1000, repeat=1)) == {"copy", "scale", "add", "triad"}


def test_every_example_names_a_kernel_of_its_module():
    modules = {vars(__import__(k.__module__, fromlist=["x"]))["__name__"]: k.__module__ for k in library().values()}
    for module in modules:
        table = vars(__import__(module, fromlist=["x"])).get("EXAMPLES", {})
        assert all(find_kernel(f"{module}:{name}") is not None for name in table)
    assert all(k.__doc__ for k in library().values())


@pytest.mark.parametrize(("words", "message"), [
    (["BQ=3"], "no constant, dtype variable or scalar 'BQ'"), (["BM"], "expected NAME=VALUE"), (["BM=x"], "'x' is no number"),
    (["present=c"], "no optional tensor 'c'")])
def test_settings_that_are_none(words, message):
    with pytest.raises(DslError, match=message):
        read_settings(find_kernel("gemm"), words)


def test_settings():
    kernel = find_kernel("gemm")
    read = read_settings(kernel, ["T=bf16", "BM=0x10", "epilogue=bias_gelu", "present=bias"])
    assert read["T"].name == "bf16" and read["BM"] == 16 and read["epilogue"] is products.bias_gelu and read["present"] == ("bias",)
    assert read_settings(find_kernel("attention"), ["causal=true", "scale=-0.5"]) == {"causal": True, "scale": -0.5}


def test_judging():
    value = np.array([1.0, np.inf, np.nan, 0.0])
    assert judge("y", value.astype(np.float32), Expected(value)).wrong == 0
    assert judge("y", np.array([1.1, np.inf, 0, 0], np.float32), Expected(value)).wrong == 2
    near = np.array([1.001, 2.0], ml_dtypes.bfloat16)
    assert judge("y", near, Expected(np.array([1.001, 2.0]))).wrong == 0 and judge("y", near, Expected(np.array([1.02, 2.0]))).wrong == 1
    assert judge("y", np.array([3, 4], np.int32), Expected(np.array([3, 5]))).first.startswith("first at [1]")
