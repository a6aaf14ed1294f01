"""The C interface of a launcher: one struct of pointers, strides, scalars and dimensions, and how Python fills it."""
from __future__ import annotations

from dataclasses import dataclass

from dslc.ir import Kernel, Value, walk
from dslc.types import DType, TensorType

# struct's native codes (docs.python.org, struct, "Format Characters"), by bits and kind; f16 and narrower floats travel as their bits.
_CODES = {("b", 1): "?", ("i", 8): "b", ("u", 8): "B", ("i", 16): "h", ("u", 16): "H", ("i", 32): "i", ("u", 32): "I", ("i", 64): "q", ("u", 64): "Q",
          ("f", 8): "B", ("f", 16): "H", ("f", 32): "f", ("f", 64): "d"}
# C types of members that are not spelled by their width; floats narrower than f32 travel as their bits.
_C_TYPES = {"bool": "bool", "f32": "float", "f64": "double", "f16": "uint16_t", "bf16": "uint16_t", "f8e4m3": "uint8_t", "f8e5m2": "uint8_t",
            "index": "int64_t", "u1": "uint8_t", "u2": "uint8_t", "u4": "uint8_t", "i4": "int8_t"}


@dataclass(frozen=True)
class Field:
    """One member.  kind: "pointer" and "strides" of tensor `name`, "scalar", or "dim"; `count` members of an array."""

    kind: str
    name: str
    dtype: DType | None
    count: int = 1
    written: bool = False
    note: str = ""


def launcher(kernel: str) -> str:
    """The C name of a kernel's launcher: no kernel's name can then meet one of the C library."""
    return f"launch_{kernel}"


def c_type(dtype: DType | None) -> str:
    """The C type of a member or of what it points to; None is a dimension or a stride."""
    if dtype is None:
        return "int64_t"
    return _C_TYPES.get(dtype.name) or f"{'int' if dtype.signed else 'uint'}{dtype.bits}_t"


def code(dtype: DType) -> str:
    """The struct code of a scalar of `dtype`."""
    kind = dtype.kind if dtype.kind in "bf" else "i" if dtype.signed else "u"
    return _CODES[kind, max(dtype.bits, 8) if kind != "b" else 1]


def fields(kernel: Kernel) -> tuple[Field, ...]:
    """The members in order: each tensor's pointer and strides and each scalar as in the call, then the dimensions."""
    stored = written(kernel)
    out: list[Field] = []
    for p in kernel.params:
        if isinstance(p.type, TensorType):
            dtype = p.type.packing.word if p.type.packing else p.type.dtype
            out.append(Field("pointer", p.name, dtype, written=p in stored, note=str(p.type)))
            out.append(Field("strides", p.name, None, p.type.rank))
        else:
            out.append(Field("scalar", p.name, p.tile.dtype))
    return (*out, *(Field("dim", d.name, None) for d in kernel.dims))


def written(kernel: Kernel) -> set[Value]:
    """Tensors that the kernel stores to."""
    return {op.args[0] for op in walk(kernel.body) if op.name == "store" or op.name.startswith("atomic_") if isinstance(op.args[0], Value)}


def pack_format(members: tuple[Field, ...]) -> str:
    """The struct format, in native alignment, of an argument block."""
    def one(f: Field) -> str:
        if f.kind == "scalar":
            assert f.dtype is not None
            return code(f.dtype)
        return "P" if f.kind == "pointer" else f"{f.count}q" if f.kind == "strides" and f.count else "q" if f.kind == "dim" else ""
    return "@" + "".join(one(f) for f in members)
