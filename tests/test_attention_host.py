"""flash_attention on numpy arrays and torch tensors: against numpy in f64 and torch, ragged shapes, masks, queries without keys, wrong arguments."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc import DslError
from dslc.kernels.attention import _reference, flash_attention, seen
from dslc.runtime.library import Expected
from dslc.runtime.trial import judge

DTYPES = ("float32", "float16", "bfloat16")

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def data(b: int, sq: int, sk: int, h: int, g: int, d: int, dv: int, dtype: Any = np.float32) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(b + sq + sk)
    return tuple(random.standard_normal(s).astype(np.float32).astype(dtype) for s in ((b, sq, h, d), (b, sk, g, d), (b, sk, g, dv)))


def expected(q: Any, k: Any, v: Any, *, scale: float | None = None, causal: bool = False, window: int = 0) -> tuple[Expected, Expected]:
    """o and lse in f64 with the bounds that the kernel states."""
    found = _reference({"q": q, "k": k, "v": v, "scale": q.shape[-1] ** -0.5 if scale is None else scale, "causal": causal, "window": window}, {})
    return found["o"], found["lse"]


def close(got: Any, want: Expected) -> None:
    verdict = judge("", np.asarray(got), want)
    assert not verdict.wrong, verdict


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("b", "sq", "sk", "h", "g", "d", "dv", "settings"), [
    (2, 67, 67, 4, 2, 24, 24, {"causal": True}), (1, 5, 130, 3, 1, 24, 40, {"causal": True, "window": 20}), (2, 33, 70, 2, 2, 24, 24, {"scale": 0.3})])
def test_against_the_definition(dtype, b, sq, sk, h, g, d, dv, settings):
    q, k, v = data(b, sq, sk, h, g, d, dv, getattr(ml_dtypes, dtype, dtype))
    o, lse = flash_attention(q, k, v, return_lse=True, **settings)
    want, want_lse = expected(q, k, v, **settings)
    assert o.dtype == q.dtype and o.shape == (b, sq, h, dv) and lse.dtype == np.float32 and lse.shape == (b, h, sq)
    close(o, want)
    close(lse, want_lse)


@pytest.mark.parametrize("window", [0, 4])
def test_queries_without_keys(window):
    """Aligned at the end, the first 15 of 40 queries come before all of 25 keys."""
    q, k, v = data(1, 40, 25, 2, 1, 24, 24)
    o, lse = flash_attention(q, k, v, causal=True, window=window, return_lse=True)
    want, want_lse = expected(q, k, v, causal=True, window=window)
    assert not o[:, :15].any() and np.isneginf(lse[:, :, :15]).all() and np.isfinite(lse[:, :, 15:]).all()
    close(o, want)
    close(lse, want_lse)


@pytest.mark.parametrize(("sq", "sk"), [(0, 5), (5, 0), (1, 1), (1, 300)])
def test_few_of_either(sq, sk):
    q, k, v = data(1, sq, sk, 2, 2, 24, 24)
    o, lse = flash_attention(q, k, v, causal=True, return_lse=True)
    if sq and sk:
        want, want_lse = expected(q, k, v, causal=True)
        close(o, want)
        close(lse, want_lse)
    else:
        assert o.shape == q.shape and not o.any() and np.isneginf(lse).all()


def test_strides_and_out():
    q, k, v = (np.moveaxis(x, 2, 1).copy().swapaxes(1, 2) for x in data(2, 40, 40, 2, 2, 24, 24))
    out = np.empty((2, 2, 40, 24), np.float32).swapaxes(1, 2)
    assert flash_attention(q, k, v, out=out) is out
    close(out, expected(q, k, v)[0])
    np.testing.assert_array_equal(flash_attention(q, k, v), out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
def test_against_torch(dtype, causal):
    torch = pytest.importorskip("torch")
    q, k, v = (torch.from_numpy(x).to(getattr(torch, dtype)) for x in data(2, 70, 70, 4, 2, 24, 24))
    bound = expected(*(x.float().numpy().astype(getattr(ml_dtypes, dtype, dtype)) for x in (q, k, v)), causal=causal)[0]
    o, lse = flash_attention(q, k, v, causal=causal, return_lse=True)
    assert isinstance(o, torch.Tensor) and o.dtype == q.dtype and lse.dtype == torch.float32 and o.shape == q.shape
    wide = (x.float().repeat_interleave(4 // x.shape[2], 2).transpose(1, 2) for x in (q, k, v))
    want = torch.nn.functional.scaled_dot_product_attention(*wide, is_causal=causal).transpose(1, 2)
    close(np.asarray(o.float()).astype(getattr(ml_dtypes, dtype, dtype)), bound)
    close(want, bound)
    heads_first = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    assert torch.equal(flash_attention(*heads_first, causal=causal), o)
    out = torch.empty_like(o)
    assert flash_attention(q.requires_grad_(), k, v, causal=causal, out=out) is out and torch.equal(out, o)


def test_against_torch_with_fewer_queries_than_keys_and_a_window():
    torch = pytest.importorskip("torch")
    q, k, v = map(torch.from_numpy, data(1, 9, 130, 4, 1, 24, 24))
    mask = torch.from_numpy(seen(9, 130, True, 33))
    wide = (x.repeat_interleave(4 // x.shape[2], 2).transpose(1, 2) for x in (q, k, v))
    want = torch.nn.functional.scaled_dot_product_attention(*wide, attn_mask=mask).transpose(1, 2)
    bound = expected(q.numpy(), k.numpy(), v.numpy(), causal=True, window=33)[0]
    close(flash_attention(q, k, v, causal=True, window=33), bound)
    close(want, bound)


def test_wrong_arguments():
    q, k, v = data(1, 8, 8, 4, 2, 24, 24)
    for given, message in (((q[0], k, v), r"expected q \(B, SQ, H, D\), .* got q \(8, 4, 24\) f32"), ((q, k[..., :8], v), "do not fit together.*k .1, 8, 2, 8"),
                           ((q, k, v[:, :5]), "do not fit together"), ((q[:, :, :3], k, v), "3 heads of q a multiple of the 2"),
                           ((q.astype(np.float16), k, v), "one of f32, f16, bf16 for all.*q .* f16"),
                           (tuple(x.astype(float) for x in (q, k, v)), "one of f32")):
        with pytest.raises(ValueError, match=message):
            flash_attention(*given)
    with pytest.raises(TypeError, match="k: expected an array, found list"):
        flash_attention(q, k.tolist(), v)
    with pytest.raises(ValueError, match="window must be"):
        flash_attention(q, k, v, window=-1)
    with pytest.raises(ValueError, match=r"out must be \(1, 8, 4, 24\) of f32, got \(1, 8, 4, 24\) of f64"):
        flash_attention(q, k, v, out=np.empty((1, 8, 4, 24)))
    with pytest.raises(DslError, match="overlaps"):
        flash_attention(q, k, v, out=q)
    with pytest.raises(DslError, match="BQ"):
        flash_attention(q, k, v, BQ=3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("b", "sk", "h", "g", "d", "dv", "settings"), [
    (1, 2300, 8, 2, 64, 64, {}), (1, 4500, 4, 2, 24, 40, {}), (2, 1, 3, 3, 24, 40, {}),
    (1, 2087, 7, 1, 80, 24, {"window": 2051}), (2, 300, 20, 2, 17, 33, {"causal": True, "window": 40})])
def test_one_query(dtype, b, sk, h, g, d, dv, settings):
    """Heads of a group as rows of one tile, keys in runs where there are many."""
    q, k, v = data(b, 1, sk, h, g, d, dv, getattr(ml_dtypes, dtype, dtype))
    o, lse = flash_attention(q, k, v, return_lse=True, **settings)
    for got, want in zip((o, lse), expected(q, k, v, **settings), strict=True):
        close(got, want)
    strided = [np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (q, k, v)]
    np.testing.assert_array_equal(flash_attention(*strided, **settings), o)
