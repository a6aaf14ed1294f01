"""Element types, tiles, tensors, and the places a tile can have.  A type has one spelling: in IR text, in signatures, in messages."""
from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import ml_dtypes
import numpy as np


@dataclass(frozen=True, eq=False)
class DType:
    """An element type.  kind: "b" bool, "i" integer, "f" float; `bits` is the width of one element in packed storage.

    `numpy` holds one element: sub-byte integers live one to a byte, f8 and bf16 in the types of ml_dtypes.
    """

    name: str
    kind: str
    bits: int
    numpy: np.dtype[Any]

    def __repr__(self) -> str:
        return self.name

    @property
    def signed(self) -> bool:
        return self.name[0] in "if" and self.kind != "b"

    @property
    def lo(self) -> int:
        """The least integer of an integer type."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """The greatest integer of an integer type."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def field_mask(self) -> int:
        """The bits of an unsigned sub-byte integer; 0 for all other types."""
        return (1 << self.bits) - 1 if self.kind == "i" and self.bits < 8 and not self.signed else 0

    @property
    def bytes(self) -> int:
        """Bytes of one element of a tile (sub-byte integers take one)."""
        return self.numpy.itemsize

    @property
    def widened(self) -> DType:
        """The type that arithmetic is done in: f32 for narrow floats, i32 for sub-byte integers, else itself."""
        if self.kind == "f" and self.bits < 32:
            return F32
        return I32 if self.kind == "i" and self.bits < 8 else self


_ROWS: list[tuple[str, str, int, Any]] = [
    ("bool", "b", 1, np.bool_), ("u1", "i", 1, np.uint8), ("u2", "i", 2, np.uint8), ("u4", "i", 4, np.uint8), ("i4", "i", 4, np.int8),
    ("i8", "i", 8, np.int8), ("i16", "i", 16, np.int16), ("i32", "i", 32, np.int32), ("i64", "i", 64, np.int64),
    ("u8", "i", 8, np.uint8), ("u16", "i", 16, np.uint16), ("u32", "i", 32, np.uint32), ("u64", "i", 64, np.uint64),
    ("f8e4m3", "f", 8, ml_dtypes.float8_e4m3fn), ("f8e5m2", "f", 8, ml_dtypes.float8_e5m2), ("f16", "f", 16, np.float16),
    ("bf16", "f", 16, ml_dtypes.bfloat16), ("f32", "f", 32, np.float32), ("f64", "f", 64, np.float64), ("index", "i", 64, np.int64)]
DTYPES = {name: DType(name, kind, bits, np.dtype(storage)) for name, kind, bits, storage in _ROWS}
BOOL, I32, I64, U32, F16, BF16, F32, F64, INDEX = (DTYPES[n] for n in ("bool", "i32", "i64", "u32", "f16", "bf16", "f32", "f64", "index"))


class Space(enum.Enum):
    """Logical memory spaces; a target maps each to a memory of its own.

    global: a tensor.  workspace: global memory with slots, alive within one launch.  shared: seen by all workers of a program.
    register: owned by the workers piecewise.  accumulator: where the matrix unit adds up.
    """

    GLOBAL, WORKSPACE, SHARED, REGISTER, ACCUMULATOR = "global", "workspace", "shared", "register", "accumulator"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Layout:
    """Where element (i, j, ..) of a tile stands: sum of index * stride, in elements, then xor of `swizzle`.

    `strides` None is row-major without gaps.  `swizzle` (bits, base, shift) xors `bits` address bits at base + shift into those at
    base, the form in which bank-conflict-free layouts are published for matrix units.
    """

    strides: tuple[int, ...] | None = None
    swizzle: tuple[int, int, int] | None = None

    def __str__(self) -> str:
        parts = [f"strides({', '.join(map(str, self.strides))})"] if self.strides is not None else []
        parts += [f"swizzle({', '.join(map(str, self.swizzle))})"] if self.swizzle is not None else []
        return " ".join(parts) or "row"

    def of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The strides of a tile of `shape`, in elements."""
        return self.strides if self.strides is not None else row_major(shape)


ROW = Layout()


@dataclass(frozen=True)
class Place:
    """Where a tile lives in the placed form.  `offset` in bytes within its space's arena (None until planned); `slots` > 1 is a ring."""

    space: Space
    layout: Layout = ROW
    offset: int | None = None
    slots: int = 1

    def __str__(self) -> str:
        text = str(self.space)
        text += f" {self.layout}" if self.layout != ROW else ""
        text += f" at({self.offset})" if self.offset is not None else ""
        return text + (f" slots({self.slots})" if self.slots != 1 else "")


@dataclass(frozen=True)
class TileType:
    """A dense block of elements; rank 0 is a scalar.  `place` is None in the value form."""

    dtype: DType
    shape: tuple[int, ...] = ()
    place: Place | None = None

    def __str__(self) -> str:
        if not self.shape and self.place is None:
            return self.dtype.name
        inner = ", ".join([self.dtype.name, *map(str, self.shape)])
        return f"tile<{inner}>" if self.place is None else f"tile<{inner}, {self.place}>"

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of the elements, without gaps."""
        return self.size * self.dtype.bytes

    @property
    def footprint(self) -> int:
        """Bytes from the first to the last address under the place's layout, gaps and swizzled addresses among them."""
        last = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        swizzle = self.place.layout.swizzle if self.place else None
        block = 1 << (swizzle[0] + swizzle[1]) if swizzle else 1
        return -(-(last + 1) // block) * block * self.dtype.bytes

    @property
    def value(self) -> TileType:
        """The same tile without its place."""
        return self if self.place is None else TileType(self.dtype, self.shape)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Strides in elements under the place's layout."""
        return (self.place.layout if self.place else ROW).of(self.shape)


@dataclass(frozen=True)
class Packing:
    """Sub-byte elements in words: along `axis`, 8 * word bytes / dtype bits fields to a word, lowest bits first.

    order: "adjacent", "split", or the permutation p where field i holds element w * F + p[i].
    """

    word: DType
    axis: int
    order: str | tuple[int, ...] = "adjacent"

    def __str__(self) -> str:
        order = self.order if isinstance(self.order, str) else "order " + " ".join(map(str, self.order))
        return f"{self.word} axis {self.axis} {order}"


@dataclass(frozen=True)
class TensorType:
    """A kernel parameter: dtype and logical dimensions (names, numbers, or expressions of names), and what the call promised.

    `unit` lists the dimensions known to have stride 1; `aligned` is true when the address and all other strides are 16-byte multiples, none of them
    negative.
    """

    dtype: DType
    dims: tuple[str, ...]
    packing: Packing | None = None
    unit: tuple[int, ...] = ()
    aligned: bool = False

    def __str__(self) -> str:
        text = ", ".join([self.dtype.name, *self.dims])
        text += f" in {self.packing}" if self.packing else ""
        text += f" unit({', '.join(map(str, self.unit))})" if self.unit else ""
        return f"tensor<{text}{' aligned' if self.aligned else ''}>"

    @property
    def rank(self) -> int:
        return len(self.dims)

    @property
    def fields(self) -> int:
        """Elements in one stored word."""
        return self.packing.word.bits // self.dtype.bits if self.packing else 1


Type = TileType | TensorType


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in elements of a dense row-major block: (4, 3) -> (3, 1)."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Numpy's broadcast of shapes; ValueError if they do not fit."""
    return tuple(int(n) for n in np.broadcast_shapes(*shapes))


def broadcasts_to(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Whether numpy broadcasts `shape` to `into`."""
    try:
        return broadcast_shapes(shape, into) == into
    except ValueError:
        return False
