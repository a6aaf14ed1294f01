"""Array-likes become views of the same memory, or are refused with a reason."""
from __future__ import annotations

import array
import ctypes
import mmap
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dslc.errors import DslError
from dslc.runtime import arrays
from dslc.runtime.arrays import Array, as_array, overlap
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = {np.bool_: "bool", np.int8: "i8", np.int16: "i16", np.int32: "i32", np.int64: "i64", np.uint8: "u8", np.uint16: "u16",
         np.uint32: "u32", np.uint64: "u64", np.float16: "f16", np.float32: "f32", np.float64: "f64", np.longlong: "i64",
         ml_dtypes.bfloat16: "bf16", ml_dtypes.float8_e4m3fn: "f8e4m3", ml_dtypes.float8_e5m2: "f8e5m2"}


def address(a: Any) -> int:
    return int(a.__array_interface__["data"][0])


@pytest.fixture(params=["peek", "no peek"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert arrays._PEEK, "the fast path does not work with this NumPy"
    monkeypatch.setattr(arrays, "_PEEK", request.param == "peek")


@pytest.mark.parametrize("dtype", NAMES)
def test_every_element_type(reading: None, dtype: Any) -> None:
    x = np.zeros((3, 5), dtype)
    for _ in range(2):  # the second time on the fast path
        assert as_array(x) == Array(address(x), NAMES[dtype], (3, 5), (5, 1), x.itemsize, True, "cpu", x)


VIEWS = {"transposed": lambda x: x.T, "stepped": lambda x: x[::2, 1::3], "backwards": lambda x: x[::-1, ::-2],
         "broadcast": lambda x: np.broadcast_to(x[0], (7, 6)), "0-d": lambda x: x[1, 1:2].reshape(()), "empty": lambda x: x[:, 3:3],
         "new axis": lambda x: x[:, None, :], "one row": lambda x: x[2:3], "fortran": np.asfortranarray}


@pytest.mark.parametrize("view", VIEWS)
def test_views_keep_their_strides(reading: None, view: str) -> None:
    x = VIEWS[view](np.arange(24, dtype=np.float32).reshape(4, 6))
    got = as_array(x)
    assert (got.pointer, got.shape, got.strides) == (address(x), x.shape, tuple(s // 4 for s in x.strides))
    assert got.owner is x and got.writable == x.flags.writeable


def test_read_only_says_why(reading: None) -> None:
    x = np.zeros(3)
    x.flags.writeable = False
    assert not as_array(x).writable and "read-only" in as_array(x).note


def test_more_elements_than_32_bits_count() -> None:
    x = np.broadcast_to(np.zeros(1, np.float32), (1 << 33, 2))
    assert as_array(x).shape == (1 << 33, 2)
    far = Array(1 << 20, "f32", (1 << 33,), (1,), 4, True, "cpu", None)
    assert overlap(far, far._replace(pointer=far.pointer + (1 << 34))) and not overlap(far, far._replace(pointer=far.pointer + (1 << 35)))


def unaligned() -> Any:
    return np.frombuffer(np.zeros(17, np.uint8).data, np.float32, 4, 1)


REFUSED = {
    "field": (lambda: np.zeros(4, [("a", "i1"), ("b", "f4")])["b"], "5 bytes apart", "contiguous"),
    "half steps": (lambda: np.lib.stride_tricks.as_strided(np.zeros(9, np.float32), (3,), (6,)), "6 bytes apart", "contiguous"),
    "misaligned": (unaligned, "not aligned", "copy"),
    "byte order": (lambda: np.zeros(3, ">f4"), "byte order", "newbyteorder"),
    "objects": (lambda: np.array([None, 1]), "Python objects", "astype"),
    "records": (lambda: np.zeros(3, [("a", "i4")]), "records", "astype"),
    "complex": (lambda: np.zeros(3, complex), "complex128", "float32"),
    "dates": (lambda: np.zeros(3, "M8[s]"), "datetime64", "float32"),
    "long double": (lambda: np.zeros(3, np.longdouble), "no dslc element type", "float64"),
    "text": (lambda: np.array(["a"]), "str", "float32"),
    "int4": (lambda: np.zeros(4, ml_dtypes.int4), "int4", "packed storage"),
    "uint4": (lambda: np.zeros(4, ml_dtypes.uint4), "uint4", "packed storage"),
    "other f8": (lambda: np.zeros(4, ml_dtypes.float8_e4m3), "float8_e4m3", "float8_e4m3fn"),
    "masked": (lambda: np.ma.masked_array([1.0, 2.0], [0, 1]), "mask", "filled"),
    "list": (lambda: [1.0], "found list", "np.array"),
    "none": (lambda: None, "found NoneType", "np.array"),
    "int": (lambda: 3, "found int", "np.array"),
    "scalar": (lambda: np.float32(3), "scalar", "np.array"),
    "series": (lambda: SimpleNamespace(__array__=lambda: np.zeros(3)), "SimpleNamespace", "to_numpy"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(reading: None, case: str) -> None:
    make, message, hint = REFUSED[case]
    with pytest.raises(DslError) as caught:
        as_array(make())
    assert message in caught.value.message and hint in caught.value.hint


def test_misalignment_does_not_matter_without_elements() -> None:
    assert as_array(unaligned()[:0]).shape == (0,)
    one = np.lib.stride_tricks.as_strided(np.zeros(9, np.float32), (1, 3), (6, 4))
    assert as_array(one).strides[1] == 1


def test_subclasses_and_buffers_are_not_copied() -> None:
    x = np.arange(6, dtype=np.int16).reshape(2, 3)
    assert as_array(x.view(np.matrix)).pointer == address(x)
    assert as_array(memoryview(x)).pointer == address(x)
    assert as_array(SimpleNamespace(__array_interface__=x.__array_interface__)).pointer == address(x)
    numbers = array.array("d", [1, 2, 3])
    got = as_array(numbers)
    assert (got.pointer, got.dtype, got.shape, got.writable) == (numbers.buffer_info()[0], "f64", (3,), True)
    assert not as_array(b"abc").writable and as_array(bytearray(b"abc")).writable
    assert as_array((ctypes.c_int32 * 4)()).dtype == "i32"
    with mmap.mmap(-1, 4096) as pages:
        got = as_array(pages)
        assert (got.dtype, got.shape) == ("u8", (4096,))
        del got


def test_the_owner_keeps_the_memory() -> None:
    got = as_array(memoryview(np.full(100_000, 7, np.int32)))
    again = np.zeros(100_000, np.int32)
    assert ctypes.c_int32.from_address(got.pointer + 4 * 99_999).value == 7 and again[0] == 0


class Lends:
    """Memory through DLPack only."""

    def __init__(self, x: Any, old: bool = False) -> None:
        self.x, self.old = x, old

    def __dlpack__(self, **options: Any) -> Any:
        if self.old and options:
            raise TypeError("unexpected keyword")
        return self.x.__dlpack__(**options)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float16, np.float32, np.float64, np.bool_, np.int64])
def test_dlpack(dtype: Any) -> None:
    x = np.zeros((4, 6), dtype)[::2, ::-1]
    new, old = as_array(Lends(x)), as_array(Lends(x, old=True))
    assert new[:6] == (address(x), NAMES[dtype], (2, 6), (12, -1), x.itemsize, True) and new.device == "cpu"
    assert old[:5] == new[:5] and not old.writable and "does not say" in old.note
    x.flags.writeable = False
    assert not as_array(Lends(x)).writable


def test_dlpack_keeps_the_memory_and_frees_it_once() -> None:
    x = np.arange(50_000, dtype=np.float64)
    for _ in range(50):
        got = as_array(Lends(x.copy()))
        assert ctypes.c_double.from_address(got.pointer + 8 * 49_999).value == 49_999


def test_dlpack_refusals() -> None:
    with pytest.raises(DslError, match="DLPack type 5 of 64 bits"):
        as_array(Lends(np.zeros(3, np.complex64)))
    with pytest.raises(DslError, match="does not lend its memory"):
        as_array(Lends(np.zeros(3, "M8[s]")))


def test_backends_register_their_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_INTERFACES", {})
    monkeypatch.setattr(arrays, "_DEVICES", dict(arrays._DEVICES))
    arrays.register_interface("__far_array_interface__", "far")
    arrays.register_device(99, "far")
    described = {"typestr": "<f4", "shape": (2, 3), "strides": None, "data": (4096, True), "version": 3}
    got = as_array(SimpleNamespace(__far_array_interface__=described, device=SimpleNamespace(id=2)))
    assert got[:8] == (4096, "f32", (2, 3), (3, 1), 4, False, "far:2", got.owner)
    assert arrays._DEVICES[99] == "far"


class Tensor:
    """What torch's tensors answer."""

    def __init__(self, pointer: int = 4096, dtype: str = "torch.float32", device: str = "cpu", grad: bool = False, negated: bool = False) -> None:
        self.pointer, self.dtype, self.device, self.requires_grad, self.negated = pointer, dtype, device, grad, negated
        self.shape = (2, 3)

    def data_ptr(self) -> int:
        if not self.pointer:
            raise RuntimeError("sparse tensors do not have storage")
        return self.pointer

    def stride(self) -> tuple[int, ...]:
        return (1, 2)

    def is_neg(self) -> bool:
        return self.negated


def test_tensors_by_what_they_can_do() -> None:
    x = Tensor(dtype="torch.bfloat16", device="far:1")
    assert as_array(x) == Array(4096, "bf16", (2, 3), (1, 2), 2, True, "far:1", x)
    grad = as_array(Tensor(grad=True))
    assert not grad.writable and "detach" in grad.note
    for bad, reason in [(Tensor(0), "no memory"), (Tensor(negated=True), "negated"), (Tensor(dtype="torch.qint8"), "qint8"), (Tensor(4098), "aligned")]:
        with pytest.raises(DslError, match=reason):
            as_array(bad)


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(12, dtype=torch.bfloat16).reshape(3, 4).T
    got = as_array(x)
    assert (got.pointer, got.dtype, got.shape, got.strides, got.writable) == (x.data_ptr(), "bf16", (4, 3), (1, 4), True)
    assert not as_array(torch.zeros(3, requires_grad=True)).writable
    with pytest.raises(DslError, match="no memory"):
        as_array(torch.eye(3).to_sparse())


def test_overlap() -> None:
    x = np.zeros((8, 8), np.float32)
    even, odd, whole = as_array(x[:, ::2]), as_array(x[:, 1::2]), as_array(x)
    assert overlap(even, whole) and overlap(odd, whole) and not overlap(even, odd)
    assert not overlap(as_array(x[:4]), as_array(x[4:])) and overlap(as_array(x[:5]), as_array(x[4:]))
    assert overlap(as_array(x[::-1]), as_array(x[0])) and not overlap(as_array(x[:0]), whole)
    assert not overlap(whole, whole._replace(device="far:0"))


def test_overlap_gives_up_on_the_safe_side(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_hard(*_: Any, **options: Any) -> bool:
        assert options["max_work"] > 0
        raise np.exceptions.TooHardError

    monkeypatch.setattr(arrays, "_shares_memory", too_hard)
    x = np.zeros((8, 8), np.float32)
    assert overlap(as_array(x[:, ::2]), as_array(x[:, 1::2]))


slices = st.builds(slice, st.integers(0, 5), st.integers(0, 7), st.sampled_from([1, 2, 3, -1, -2]))


@settings(max_examples=200, deadline=None)
@given(st.tuples(slices, slices), st.tuples(slices, slices))
def test_overlap_agrees_with_the_indices(a: Any, b: Any) -> None:
    x = np.arange(42, dtype=np.int32).reshape(6, 7)
    assert overlap(as_array(x[a]), as_array(x[b])) == bool(np.intersect1d(x[a], x[b]).size)
