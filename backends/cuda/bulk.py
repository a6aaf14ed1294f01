"""What copies of whole boxes of a tensor can do (cp.async.bulk.tensor): which loads and stores they fit, and how a tile then lies in shared memory.

A tile lies in slabs: `width` elements of its contiguous axis, all of its other axis, one slab after the other; within a slab the xor swizzle of
as many bytes as a row has.  Matrix instructions of warp groups read the same form (PTX ISA 9.0, "Tensors" and "Matrix-descriptor").
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dslc.ir import Op, Operand, Span, Value
from dslc.types import Layout, Place, Space, TensorType

WIDTHS = {64: 3, 32: 2, 16: 1}          # 16-bit elements of a slab's row: bits of the swizzle of 128, 64 and 32 bytes
MOST = 256                              # elements of a box along any dimension (CUDA driver API 13.0, cuTensorMapEncodeTiled)
RANKS = range(2, 6)


@dataclass(frozen=True)
class Box:
    """One copy: dimensions of the tensor, innermost first, and how many elements of each; `axis` is the tile's contiguous one."""

    tensor: Value
    order: tuple[int, ...]
    extents: tuple[int, ...]
    axis: int

    @property
    def width(self) -> int:
        """Elements of a slab's row."""
        return self.extents[0]


def slab_width(extent: int) -> int:
    """The widest slab that divides a contiguous extent; 0 if there is none."""
    return next((w for w in WIDTHS if extent % w == 0), 0)


def box_of(tensor: Value, coords: Iterable[Operand], rows: int = MOST) -> Box | None:
    """The box that covers one slab of the tile at these coordinates, `rows` at most; None where bulk copies cannot move it."""
    at, t = list(coords), tensor.tensor
    spans = [d for d, c in enumerate(at) if isinstance(c, Span)]
    whole = all((isinstance(c, Span) and c.stop is None) or (not isinstance(c, Span) and not c.tile.shape) for c in at)
    dense = [d for d in spans if d in t.unit]
    if not (whole and _describable(t) and len(spans) == 2 and len(dense) == 1):
        return None
    extents = {d: c.extent for d, c in enumerate(at) if isinstance(c, Span)}
    (inner,), (outer,) = dense, [d for d in spans if d not in dense]
    width, high = slab_width(extents[inner]), min(extents[outer], rows)
    if not width or high > MOST or extents[outer] % high:
        return None
    order = (inner, *(d for d in reversed(range(t.rank)) if d != inner))
    return Box(tensor, order, tuple(width if d == inner else high if d == outer else 1 for d in order), spans.index(inner))


def _describable(t: TensorType) -> bool:
    """Whether a tensor map can describe the tensor: 16-bit elements, all strides but one multiples of 16 bytes."""
    return t.packing is None and t.aligned and t.dtype.name in ("f16", "bf16") and t.rank in RANKS


def slabs(shape: tuple[int, ...], axis: int) -> Place:
    """The place of a tile in slabs along `axis`.  Its layout says the swizzle and which axis is contiguous; that slabs follow one another is the
    attribute `slab` of its alloc, and only bulk copies and matrix instructions touch such a place.
    """
    strides = None if axis == 1 else (1, shape[0])
    return Place(Space.SHARED, Layout(strides, (WIDTHS[slab_width(shape[axis])], 3, 3)))


def loaded_box(op: Op) -> Box | None:
    """The box of a load that fills a place and pads with zeros."""
    if op.name != "load" or not op.into or op.attr("pad", 0) != 0 or len(op.into[0].tile.shape) != 2:
        return None
    tensor = op.args[0]
    assert isinstance(tensor, Value)
    box = box_of(tensor, op.args[1:])
    one = box is not None and op.into[0].tile.shape[1 - box.axis] <= MOST
    return box if one and op.into[0].tile.dtype is tensor.tensor.dtype else None
