"""Anything array-like as an `Array`: where its elements lie, never a copy of them.

NumPy arrays take a path of their own, because converting the arguments is most of what a launch costs in Python.
"""
from __future__ import annotations

import ctypes
import math
import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..errors import DslError


class Array(NamedTuple):
    """A strided view of somebody's memory.

    `pointer` is the address of element (0, ..., 0); `strides` count elements, may be 0 or negative; `itemsize` is in
    bytes; `owner` keeps the memory alive; `note` says why `writable` is False.  Building one by hand checks nothing.
    """

    pointer: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int
    writable: bool
    device: str
    owner: object
    note: str = ""


# Names that NumPy, ml_dtypes, torch and DLPack agree on -> ours, bytes of one element.
_NAMED = {"bool": ("bool", 1), "float16": ("f16", 2), "bfloat16": ("bf16", 2), "float32": ("f32", 4), "float64": ("f64", 8),
          "float8_e4m3fn": ("f8e4m3", 1), "float8_e5m2": ("f8e5m2", 1)}
_NAMED |= {f"{word}int{8 * n}": (f"{word or 'i'}{8 * n}", n) for word in ("", "u") for n in (1, 2, 4, 8)}
_KNOWN: dict[np.dtype[Any], tuple[str, int]] = {np.dtype(n): row for n, row in _NAMED.items() if hasattr(np, n)}
_DLPACK_TYPES = {(6, 8): "bool", (4, 16): "bfloat16", (10, 8): "float8_e4m3fn", (12, 8): "float8_e5m2"}
_DLPACK_TYPES |= {(code, 8 * n): f"{word}{8 * n}" for code, word in enumerate(("int", "uint", "float")) for n in (1, 2, 4, 8)}
_DEVICES = {1: "cpu", 2: "cuda", 10: "hip"}                 # DLPack's kDLCPU, kDLCUDA, kDLROCM (dlpack.h 1.1)
_INTERFACES: dict[str, str] = {"__cuda_array_interface__": "cuda"}    # CuPy, PyCUDA, Numba
_READ_ONLY = "the array is read-only"

# The public head of NumPy's array struct: data, nd, dimensions, strides, base, descr, flags.  Reading data and flags costs
# a tenth of `__array_interface__`; `_peek_works` checks on a real array that this interpreter and NumPy lay it out so.
_HEAD, _DATA_AND_FLAGS = struct.Struct("PiPPPPi"), struct.Struct("P40xi")
_HEADER = object.__basicsize__
_WRITEABLE = 0x400
_MEMORY = memoryview((ctypes.c_char * (1 << 62)).from_address(0))
_peek = _DATA_AND_FLAGS.unpack_from
_ndarray, _new = np.ndarray, tuple.__new__
_shares_memory: Any = np.shares_memory  # its stub knows only two values of max_work


def register_device(code: int, name: str) -> None:
    """Give DLPack's device type `code` the name that arrays on it get before ":index"."""
    _DEVICES[code] = name


def register_interface(attribute: str, device: str) -> None:
    """Take objects with `attribute`, laid out like `__array_interface__`, as arrays on `device`."""
    _INTERFACES[attribute] = device


def _peek_works() -> bool:
    probe = np.arange(6, dtype=np.int16)[1::2]
    if sys.implementation.name != "cpython" or np.ndarray.__basicsize__ < _HEADER + _DATA_AND_FLAGS.size:
        return False
    data, rank, _, _, _, descr, flags = _HEAD.unpack_from(_MEMORY, id(probe) + _HEADER)
    address = probe.__array_interface__["data"][0]
    return bool((data, rank, descr, flags) == (address, 1, id(probe.dtype), probe.flags.num)
                and _peek(_MEMORY, id(probe) + _HEADER) == (data, flags))


_PEEK = _peek_works()


@lru_cache(4096)
def _in_elements(strides: tuple[int, ...], itemsize: int) -> tuple[int, ...] | None:
    return None if any(s % itemsize for s in strides) else tuple(s // itemsize for s in strides)


def as_array(value: Any) -> Array:
    """`value` as an Array; an Array is returned as it is.

    Taken are NumPy arrays, tensors with `data_ptr` and `stride` (torch), registered device interfaces, `__dlpack__`,
    `__array_interface__` and the buffer protocol.  Raises DslError for anything else, for an element type without a
    dslc name, for foreign byte order, and for elements that are misaligned or not a whole number of elements apart.
    """
    if _PEEK and type(value) is _ndarray:
        known = _KNOWN.get(value.dtype)
        if known is not None:
            name, size = known
            pointer, flags = _peek(_MEMORY, id(value) + _HEADER)
            strides = _in_elements(value.strides, size)
            if strides is not None and pointer % size == 0:
                writable = flags & _WRITEABLE != 0
                note = "" if writable else _READ_ONLY
                return _new(Array, (pointer, name, value.shape, strides, size, writable, "cpu", value, note))
    if type(value) is Array:
        return value
    for protocol in _PROTOCOLS:
        found = protocol(value)
        if found is not None:
            return found
    kind = type(value).__name__
    hint = f"pass np.array(...) of that {kind}, or {kind}.to_numpy() where it has one: dslc makes no copies"
    raise DslError(f"expected an array, found {kind}", hint=hint)


def _array(pointer: int, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...], owner: object,
           device: str = "cpu", note: str = "") -> Array:
    """An Array of checked parts; `strides` in bytes, `dtype` in the outside spelling, `note` says why it is read-only."""
    if dtype not in _NAMED:
        packed = dtype in ("int4", "uint4", "int2", "uint2", "int1", "uint1", "float4_e2m1fn")
        advice = "pass packed storage: a uint8 array with several elements to the byte" if packed else "use one of " + ", ".join(_NAMED)
        raise DslError(f"arrays of {dtype} have no dslc element type", hint=advice)
    name, size = _NAMED[dtype]
    if 0 not in shape:
        odd = [s for n, s in zip(shape, strides, strict=True) if n > 1 and s % size]
        if odd:
            raise DslError(f"elements of {size} bytes are {odd[0]} bytes apart, which is no whole number of elements",
                           hint="pass a contiguous copy, or a view of one field as an array of its own")
        if pointer % size:
            raise DslError(f"the array starts at address {pointer:#x}, not aligned to its elements of {size} bytes",
                           hint="pass a copy (x.copy()), which is aligned")
    return Array(pointer, name, shape, tuple(s // size for s in strides), size, not note, device, owner, note)


def _outside_name(dtype: np.dtype[Any]) -> str:
    if not dtype.isnative:
        raise DslError(f"the array's elements are {dtype.str}, in the byte order of another machine",
                       hint='pass x.astype(x.dtype.newbyteorder("="))')
    if dtype.hasobject or dtype.names:
        raise DslError(f"the array's elements are {'Python objects' if dtype.hasobject else 'records'} ({dtype})",
                       hint="pass an array of numbers, for example x.astype(np.float32)")
    return str(dtype.name)


def _from_numpy(value: Any) -> Array | None:
    if isinstance(value, np.generic):
        raise DslError(f"expected an array, found the scalar {value!r}", hint="pass np.array(x), an array of no dimensions")
    if not isinstance(value, np.ndarray):
        return None
    if any(base.__name__ == "MaskedArray" for base in type(value).__mro__):
        raise DslError("a masked array would lose its mask", hint="pass x.filled(value), or x.data and the mask apart")
    found = _array(value.__array_interface__["data"][0], _outside_name(value.dtype), value.shape, value.strides, value,
                   note="" if value.flags.writeable else _READ_ONLY)
    _KNOWN.setdefault(value.dtype, (found.dtype, found.itemsize))
    return found


def _from_tensor(value: Any) -> Array | None:
    """A torch tensor, known by what it can do so that torch is never imported."""
    if not (hasattr(value, "data_ptr") and hasattr(value, "stride")):
        return None
    dtype = str(value.dtype).rpartition(".")[2]
    size = _NAMED.get(dtype, ("", 1))[1]
    if hasattr(value, "is_neg") and value.is_neg():
        raise DslError("the tensor is a negated view, whose memory holds other values", hint="pass x.resolve_neg()")
    note = "the tensor requires grad: pass x.detach()" if value.requires_grad else ""
    try:
        pointer, strides = value.data_ptr(), tuple(s * size for s in value.stride())
    except (RuntimeError, NotImplementedError) as error:
        raise DslError(f"the tensor has no memory of its own ({error})", hint="pass a dense (strided) tensor") from error
    return _array(pointer, dtype, tuple(value.shape), strides, value, str(value.device), note)


def _row_major(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    strides = [step] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


def _from_interface(value: Any) -> Array | None:
    for attribute, device in _INTERFACES.items():
        described = getattr(value, attribute, None)
        if described is not None:
            dtype, shape = np.dtype(described["typestr"]), tuple(described["shape"])
            pointer, read_only = described["data"]
            strides = described.get("strides") or _row_major(shape, dtype.itemsize)
            index = getattr(getattr(value, "device", None), "id", 0)
            return _array(pointer, _outside_name(dtype), shape, tuple(strides), value, f"{device}:{index}",
                          _READ_ONLY if read_only else "")
    return None


class _DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_size_t), ("device", ctypes.c_int32), ("index", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("offset", ctypes.c_uint64)]


class _DLVersioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
                ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _DLTensor)]


_capsule_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


def _dlpack_capsule(value: Any) -> Any:
    try:
        try:
            return value.__dlpack__(max_version=(1, 0))
        except TypeError:  # a producer from before DLPack 1.0
            return value.__dlpack__()
    except Exception as error:
        raise DslError(f"{type(value).__name__} does not lend its memory through DLPack: {error}") from error


def _from_dlpack(value: Any) -> Array | None:
    """Through DLPack.  The capsule is kept and never marked as consumed, so its own destructor frees the memory."""
    if not hasattr(value, "__dlpack__"):
        return None
    capsule = _dlpack_capsule(value)
    name = _capsule_name(capsule)
    address = _capsule_pointer(capsule, name)
    if name == b"dltensor_versioned":
        versioned = _DLVersioned.from_address(address)
        tensor, note = versioned.tensor, _READ_ONLY if versioned.flags & 1 else ""
    else:
        tensor, note = _DLTensor.from_address(address), f"{type(value).__name__} does not say that it may be written (DLPack before 1.0)"
    dtype = _DLPACK_TYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    shape = tuple(tensor.shape[:tensor.rank])
    steps = tuple(tensor.strides[:tensor.rank]) if tensor.strides else _row_major(shape, 1)
    device = _DEVICES.get(tensor.device, f"dlpack{tensor.device}")
    return _array(tensor.data + tensor.offset, dtype or f"DLPack type {tensor.code} of {tensor.bits} bits", shape,
                  tuple(s * (tensor.bits // 8) for s in steps), (value, capsule),
                  device if device == "cpu" else f"{device}:{tensor.index}", note)


def _from_buffer(value: Any) -> Array | None:
    if hasattr(value, "__array_interface__"):
        return _from_numpy(np.asarray(value))
    try:
        return _from_numpy(np.asarray(memoryview(value)))
    except (TypeError, BufferError, NotImplementedError):
        return None


_PROTOCOLS: tuple[Callable[[Any], Array | None], ...] = (_from_numpy, _from_tensor, _from_interface, _from_dlpack, _from_buffer)


@lru_cache(4096)
def _reach(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, int]:
    """The elements touched, as a half-open interval relative to the pointer."""
    if 0 in shape:
        return 0, 0
    ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    return sum(e for e in ends if e < 0), sum(e for e in ends if e > 0) + 1


class _Described:
    """What NumPy needs to see an Array as one of its own; np.shares_memory only compares addresses."""

    def __init__(self, a: Array) -> None:
        strides = tuple(s * a.itemsize for s in a.strides)
        self.__array_interface__ = {"version": 3, "data": (a.pointer, True), "shape": a.shape, "strides": strides,
                                    "typestr": f"|V{a.itemsize}"}


def overlap(a: Array, b: Array) -> bool:
    """Whether `a` and `b` share a byte; also True where finding out would take too long."""
    (a_lo, a_hi), (b_lo, b_hi) = _reach(a.shape, a.strides), _reach(b.shape, b.strides)
    if (a_lo == a_hi or b_lo == b_hi or a.pointer + a_hi * a.itemsize <= b.pointer + b_lo * b.itemsize
            or b.pointer + b_hi * b.itemsize <= a.pointer + a_lo * a.itemsize or a.device != b.device):
        return False
    try:
        return bool(_shares_memory(np.asarray(_Described(a)), np.asarray(_Described(b)), max_work=100_000))
    except np.exceptions.TooHardError:
        return True


def overlaps_itself(a: Array) -> bool:
    """Whether two elements of `a` share memory; also True where finding out would take too long."""
    if 0 in a.shape:
        return False
    axes = sorted((abs(s), n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1)
    reach = 0
    for step, n in axes:
        if step <= reach:
            break
        reach += step * (n - 1)
    else:
        return False
    count = math.prod(a.shape)
    if count > 1 << 20 or any(s == 0 for s, _ in axes):
        return True
    offsets = np.zeros(1, np.int64)
    for step, n in axes:
        offsets = np.add.outer(offsets, step * np.arange(n)).ravel()
    return len(np.unique(offsets)) < count
