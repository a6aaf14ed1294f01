"""The functions of tile_ascend_cube.h, emulated: operands and sums of odd shapes against numpy, rings between cores, and whole kernels in every mode.

Nothing here runs on an NPU.
"""
from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dslc
import ml_dtypes
import numpy as np
import pytest
from dslc.backend import target_of
from dslc.kernels.attention import _reference
from dslc.runtime import lowering
from dslc.runtime.library import Expected
from dslc.runtime.trial import judge
from specification import spec_modules

MODES = ("late", "early", "random:1", *(f"starve:{p}" for p in ("V", "MTE1", "MTE2", "MTE3", "M", "FIX", "AIC", "AIV")))
BF16 = ml_dtypes.bfloat16

# ---------------------------------------------------------------- products by hand
_PRODUCTS = """
#include "tile_ascend.h"
#include "tile_ascend_cube.h"

struct products_arguments {{ uint64_t a, b, c; int64_t which, rows_a, columns_a, rows_b, columns_b, first, stride_a, stride_b, stride_c, end, times; }};

// c[:end] = times * a b, operands as they lie: M x K or K x M, K x N or N x K.  `first`: the row of a that the panel starts at.
template <typename T, typename S, typename U, i32 M, i32 N, i32 K, bool turned_a, bool turned_b>
__aicore__ inline void product(GM_ADDR a_at, GM_ADDR b_at, GM_ADDR c_at, i64 rows_a, i64 columns_a, i64 rows_b, i64 columns_b, i64 first,
                               i64 stride_a, i64 stride_b, i64 stride_c, i64 end, i64 times) {{
  Core core(0, 384 * 1024, 65536, 131072);
  Halves l0(core);
  constexpr i32 ra = turned_a ? K : M, ca = turned_a ? M : K, rb = turned_b ? K : N, cb = turned_b ? N : K;
  const Panel<T, ra, ca, turned_a && sizeof(T) == 4> a{{core.local<T, AscendC::TPosition::A1>(0, 131072 / sizeof(T))}};
  const Panel<T, rb, cb, turned_b && sizeof(T) == 4> b{{core.local<T, AscendC::TPosition::A1>(131072, 262144 / sizeof(T))}};
  Sum<S, M, N> c{{core.local<S, AscendC::TPosition::CO1>(0, Sum<S, M, N>::height * Sum<S, M, N>::width)}};
  load(a, global<T>(a_at), first * stride_a, stride_a, inside(first, ra, rows_a), inside(0, ca, columns_a));
  load(b, global<T>(b_at), 0, stride_b, inside(0, rb, rows_b), inside(0, cb, columns_b));
  SetFlag<HardEvent::MTE2_MTE1>(0);
  WaitFlag<HardEvent::MTE2_MTE1>(0);
  for (i64 n = 0; n < times; ++n) multiply<turned_a, turned_b>(l0, c, a, b, false);
  SetFlag<HardEvent::M_FIX>(0);
  WaitFlag<HardEvent::M_FIX>(0);
  store(l0, global<U>(c_at), 0, stride_c, c, Inside{{0, M}}, inside(0, N, end));
  l0.finish();
  core.finish();
}}

extern "C" __global__ __aicore__ void products_kernel(GM_ADDR a, GM_ADDR b, GM_ADDR c, i64 which, i64 rows_a, i64 columns_a, i64 rows_b, i64 columns_b,
                                                      i64 first, i64 stride_a, i64 stride_b, i64 stride_c, i64 end, i64 times) {{
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if ASCEND_IS_AIC {{
{cases}
  }}
}}

#include "tile_ascend_host.h"

extern "C" DSLC_EXPORT int32_t launch_products(const products_arguments *p, void *stream) {{
  return DSLC_LAUNCH(products_kernel, 1, stream, (GM_ADDR)p->a, (GM_ADDR)p->b, (GM_ADDR)p->c, p->which, p->rows_a, p->columns_a, p->rows_b, p->columns_b,
                     p->first, p->stride_a, p->stride_b, p->stride_c, p->end, p->times);
}}
"""
TYPES = {"f16": (np.float16, "f32", np.float32), "bf16": (BF16, "f32", np.float32), "f32": (np.float32, "f32", np.float32), "i8": (np.int8, "i32", np.int32),
         "f16 to f16": (np.float16, "f32", np.float16), "bf16 to bf16": (BF16, "f32", BF16)}
NAMES = {np.float32: "f32", np.float16: "f16", BF16: "bf16", np.int32: "i32"}
SHAPES = ((33, 40, 70), (128, 64, 96), (1, 130, 300))
TURNS = tuple(itertools.product((False, True), repeat=2))


def build(folder: Path, name: str, source: str) -> Any:
    """The emulated launcher in a source written here."""
    (folder / f"{name}.cpp").write_text(source)
    emulator = target_of("ascend:910b", "late").toolchain
    return emulator.load(folder / emulator.compile(folder, name), name)


@pytest.fixture(scope="module", params=TYPES)
def products(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A type, and the launcher of its products of all shapes and turns."""
    given, sums, stored = TYPES[request.param]
    spelled = request.param.split()[0], sums, NAMES[stored]
    cases = []
    for n, ((M, N, K), (ta, tb)) in enumerate(itertools.product(SHAPES, TURNS)):
        arguments = "a, b, c, rows_a, columns_a, rows_b, columns_b, first, stride_a, stride_b, stride_c, end, times"
        cases.append(f"    if (which == {n}) product<{', '.join(spelled)}, {M}, {N}, {K}, {str(ta).lower()}, {str(tb).lower()}>({arguments});")
    return request.param, build(tmp_path_factory.mktemp("products"), "products", _PRODUCTS.format(cases="\n".join(cases)))


def wanted(a: Any, b: Any, shape: tuple[int, int, int], turned: tuple[bool, bool], first: int) -> Any:
    """The product in float64 of what the panels hold, zero outside of the tensors."""
    M, N, K = shape

    def panel(x: Any, rows: int, columns: int, start: int) -> Any:
        out = np.zeros((rows, columns))
        inside = [r for r in range(rows) if 0 <= r + start < x.shape[0]]
        n = min(columns, x.shape[1])
        out[inside, :n] = x[[r + start for r in inside], :n].astype(np.float64)
        return out

    left = panel(a, *((K, M) if turned[0] else (M, K)), first)
    right = panel(b, *((K, N) if turned[1] else (N, K)), 0)
    return (left.T if turned[0] else left) @ (right if turned[1] else right.T)


@pytest.mark.parametrize(("cut", "first", "wide", "times"), [(0, 0, 0, 1), (1, 0, 3, 2), (3, -2, 70000, 1), (2, 5, 1, 0)])
def test_products(cut: int, first: int, wide: int, times: int, products: tuple[str, Any]) -> None:
    """Ragged operands, rows that start outside, strides beyond what an instruction holds, sums of several products and of none."""
    name, launch = products
    given, _, stored = TYPES[name]
    rng = np.random.default_rng(0)
    for which, ((M, N, K), turned) in enumerate(itertools.product(SHAPES, TURNS)):
        shapes = [(K, M) if turned[0] else (M, K), (K, N) if turned[1] else (N, K)]
        if wide == 70000 and (M != 33 or any(turned)):
            continue
        stores = [rng.integers(-3, 4, (max(r - cut, 1), c + wide)).astype(given) for r, c in shapes]
        a, b = (x[:, :max(c - cut, 1)] for x, (_, c) in zip(stores, shapes, strict=True))
        c = np.full((M, N + 2), 77, stored)
        end = max(N - cut, 1)
        numbers = (which, *a.shape, *b.shape, first, stores[0].shape[1], stores[1].shape[1], N + 2, end, times)
        packed = struct.pack("<14q", *(x.ctypes.data for x in (*stores, c)), *numbers)
        ranges = [(n, x.ctypes.data, x.nbytes, n == "c") for n, x in (("a", stores[0]), ("b", stores[1]), ("c", c))]
        assert launch(packed, ranges, mode=("late", "early", "random:3")[which % 3]) == 0
        exact = times * wanted(a, b, (M, N, K), turned, first)
        np.testing.assert_array_equal(c[:, :end].astype(np.float64), exact[:, :end].astype(stored).astype(np.float64), err_msg=f"{name} {M} {N} {K} {turned}")
        assert (c[:, end:].astype(np.float64) == 77).all()


# ---------------------------------------------------------------- rings by hand
_RINGS = """
#include "tile_ascend.h"
#include "tile_ascend_cube.h"

struct rings_arguments { uint64_t x, y, z; int64_t trips; };

// z[t] = (x[t] y) for every trip: x crosses to the cube core, the product back.
__aicore__ inline void rings_cube(GM_ADDR y_at, i64 trips, GM_ADDR workspace) {
  Core core(0, 65536, 65536, 4096);
  Halves l0(core);
  Ring<f16, 32, 24, 2, 0> there(workspace, 0);
  Ring<f32, 32, 16, 3, 1> back(workspace, 4096);
  open(there);
  const Panel<f16, 32, 24, false> x{core.local<f16, AscendC::TPosition::A1>(0, 1024)};
  const Panel<f16, 24, 16, false> y{core.local<f16, AscendC::TPosition::A1>(2048, 512)};
  Sum<f32, 32, 16> z{core.local<f32, AscendC::TPosition::CO1>(0, 512)};
  load(y, global<f16>(y_at), 0, 16, Inside{0, 24}, Inside{0, 16});
  SetFlag<HardEvent::MTE1_MTE2>(0);
  SetFlag<HardEvent::FIX_M>(0);
  for (i64 t = 0; t < trips; ++t) {
    WaitFlag<HardEvent::MTE1_MTE2>(0);
    take(x, there);
    SetFlag<HardEvent::MTE2_MTE1>(0);
    WaitFlag<HardEvent::MTE2_MTE1>(0);
    WaitFlag<HardEvent::FIX_M>(0);
    multiply<false, true>(l0, z, x, y, true);
    SetFlag<HardEvent::MTE1_MTE2>(0);
    SetFlag<HardEvent::M_FIX>(0);
    WaitFlag<HardEvent::M_FIX>(0);
    put(l0, back, z);
    SetFlag<HardEvent::FIX_M>(0);
  }
  WaitFlag<HardEvent::MTE1_MTE2>(0);
  WaitFlag<HardEvent::FIX_M>(0);
  close<PIPE_FIX>(back);
  l0.finish();
  core.finish();
}

__aicore__ inline void rings_vector(GM_ADDR x_at, GM_ADDR z_at, i64 trips, GM_ADDR workspace) {
  Core core(4096, 0, 0, 0);
  const index_t sub = AscendC::GetSubBlockIdx();
  Ring<f16, 32, 24, 2, 0> there(workspace, 0);
  Ring<f32, 32, 16, 3, 1> back(workspace, 4096);
  open(back);
  const Global<f16> x = global<f16>(x_at);
  const Global<f32> z = global<f32>(z_at);
  const auto in = core.tile<f16, 16, 24, 32>(0);
  const auto out = core.tile<f32, 16, 16, 16>(1024);
  SetFlag<HardEvent::MTE3_MTE2>(0);
  SetFlag<HardEvent::MTE3_MTE2>(1);
  SetFlag<HardEvent::MTE3_V>(0);
  for (i64 t = 0; t < trips; ++t) {
    WaitFlag<HardEvent::MTE3_MTE2>(0);
    WaitFlag<HardEvent::MTE3_V>(0);
    load(in, x, (t * 32 + sub * 16) * 24, 24, (f16)0.0f);
    SetFlag<HardEvent::MTE2_MTE3>(0);
    SetFlag<HardEvent::V_MTE3>(0);
    WaitFlag<HardEvent::MTE2_MTE3>(0);
    WaitFlag<HardEvent::V_MTE3>(0);
    put(there, in, sub * 16, true);
    SetFlag<HardEvent::MTE3_MTE2>(0);
    SetFlag<HardEvent::MTE3_V>(0);
    WaitFlag<HardEvent::MTE3_MTE2>(1);
    take(out, back, sub * 16);
    SetFlag<HardEvent::MTE2_MTE3>(1);
    WaitFlag<HardEvent::MTE2_MTE3>(1);
    store(z, (t * 32 + sub * 16) * 16, 16, out);
    SetFlag<HardEvent::MTE3_MTE2>(1);
  }
  WaitFlag<HardEvent::MTE3_MTE2>(0);
  WaitFlag<HardEvent::MTE3_MTE2>(1);
  WaitFlag<HardEvent::MTE3_V>(0);
  close<PIPE_MTE3>(there);
  core.finish();
}

extern "C" __global__ __aicore__ void rings_kernel(GM_ADDR x, GM_ADDR y, GM_ADDR z, i64 trips, GM_ADDR workspace) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  if ASCEND_IS_AIC { rings_cube(y, trips, workspace); }
  if ASCEND_IS_AIV { rings_vector(x, z, trips, workspace); }
}

#include "tile_ascend_host.h"

extern "C" DSLC_EXPORT int32_t launch_rings(const rings_arguments *p, void *stream) {
  return DSLC_LAUNCH(rings_kernel, 1, stream, (GM_ADDR)p->x, (GM_ADDR)p->y, (GM_ADDR)p->z, p->trips, workspace_at(16384, stream));
}
"""


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build(tmp_path_factory.mktemp("rings"), "rings", _RINGS)


@pytest.mark.parametrize("mode", MODES)
def test_rings(mode: str, rings: Any) -> None:
    """Any number of trips, none among them, and every flag is zero afterwards: the next launch starts as this one did."""
    rng = np.random.default_rng(0)
    for trips in (0, 1, 7):
        x, y = rng.integers(-3, 4, (trips, 32, 24)).astype(np.float16), rng.integers(-3, 4, (24, 16)).astype(np.float16)
        z = np.full((trips, 32, 16), 77, np.float32)
        ranges = [(n, v.ctypes.data, v.nbytes, n == "z") for n, v in (("x", x), ("y", y), ("z", z))]
        assert rings(struct.pack("<4q", x.ctypes.data, y.ctypes.data, z.ctypes.data, trips), ranges, mode=mode) == 0
        np.testing.assert_array_equal(z, x.astype(np.float32) @ y.astype(np.float32))


# ---------------------------------------------------------------- kernels
@pytest.fixture(scope="module")
def kernels() -> Iterator[dict[str, Any]]:
    """The specification's kernels by name."""
    with spec_modules(dslc.tile_kernel) as modules:
        yield {name: k for m in modules.values() for name, k in vars(m).items() if isinstance(k, dslc.TileKernel)}


def rendered(kernel: Any, *args: Any, **named: Any) -> str:
    """The generated source of a call."""
    _, lowered = kernel.lower(kernel.steer("ascend:910b", args, named, None))
    return next(iter(lowering.render(target_of("ascend:910b").backend, lowered).files.values()))


def normal(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def product(got: Any, a: Any, b: Any) -> None:
    """The bound of dot in the language."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    verdict = judge("c", got, Expected(a @ b, (a.shape[1] + 8) * 2.0 ** -23 * (np.abs(a) @ np.abs(b))))
    assert not verdict.wrong, verdict


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=["f16", "f32"])
def test_gemm(dtype: Any, mode: str, kernels: dict[str, Any]) -> None:
    a, b = normal((70, 90), dtype), normal((90, 50), dtype, 1)
    c = np.full((1, 70, 50), np.nan, np.float32)
    kernels["gemm"].emulate(a[None], b[None], c, target="ascend:910b", mode=mode, BM=32, BN=32, BK=32)
    product(c[0], a, b)


@pytest.mark.parametrize("dtype", [np.float16, BF16], ids=["f16", "bf16"])
def test_sums_are_converted_on_their_way(dtype: Any, kernels: dict[str, Any]) -> None:
    a, b, c = normal((70, 40), dtype), normal((50, 40), dtype, 1), np.zeros((70, 50), dtype)
    assert "_vector(" not in rendered(kernels["gemm_nt"], a, b, c, BM=32, BN=32, BK=32)
    kernels["gemm_nt"].emulate(a, b, c, target="ascend:910b", mode="late", BM=32, BN=32, BK=32)
    product(c, a, b.T)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("head", "causal"), [(64, True), (96, False), (128, True)])
def test_attention(head: int, causal: bool, mode: str, kernels: dict[str, Any]) -> None:
    if head != 64 and mode not in ("late", "starve:AIC"):
        pytest.skip("one head dimension is enough for the other modes")
    q, k, v = (normal((1, n, 1, head), np.float16, seed) for seed, n in enumerate((70, 100, 100)))
    o, lse = np.full(q.shape, np.nan, np.float16), np.full((1, 1, 70), np.nan, np.float32)
    kernels["attention"].emulate(q, k, v, o, lse, head ** -0.5, target="ascend:910b", mode=mode, causal=causal, BM=32, BN=32)
    want = _reference({"q": q, "k": k, "v": v, "scale": head ** -0.5, "causal": causal, "window": 0}, {})
    assert not judge("o", o, want["o"]).wrong and not judge("lse", lse, want["lse"]).wrong


def test_every_dot_is_a_product_of_the_cube(kernels: dict[str, Any]) -> None:
    """What is asserted of the source: products where dots are (those of attention in a loop without masks and one with), no element-wise product, and flags
    on both sides.
    """
    q = normal((1, 70, 1, 64), np.float16)
    o, lse = np.empty(q.shape, np.float16), np.empty((1, 1, 70), np.float32)
    attention = rendered(kernels["attention"], q, q, q, o, lse, 0.125, BM=32, BN=32)
    a, c = normal((64, 64), np.float16), np.empty((64, 64), np.float32)
    gemm = rendered(kernels["gemm_nt"], a, a, c, BM=32, BN=32, BK=32)
    x, ids = normal((64, 32), np.float32), np.empty(64, np.int32)
    assign = rendered(kernels["assign"], x, x, x[:, 0].copy(), ids, x[:, 0].copy(), BN=32, BK=16, BD=16)
    w = np.zeros((8, 32), np.uint32)
    w4a16 = rendered(kernels["w4a16"], a, w, np.ones((1, 32), np.float16), None, np.empty((2, 64, 32), np.float32), GROUP=64, BN=32)
    for source, number in ((attention, 4), (gemm, 1), (assign, 1), (w4a16, 1)):
        assert source.count("multiply<") == number and "dot_by_element" not in source
    assert "_vector(" not in gemm and "KERNEL_TYPE_AIC_ONLY" in gemm
    assert "KERNEL_TYPE_MIX_AIC_1_2" in attention and attention.count("Ring<") == 6
