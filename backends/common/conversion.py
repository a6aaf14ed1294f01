"""How a conversion between two element types is spelled in the C family: which of the functions of tile_types.h, with which limits."""
from __future__ import annotations

from typing import Any

from dslc.ir import Op
from dslc.render import Scope
from dslc.types import DTYPES, DType


def unsigned(dtype: DType) -> DType:
    """The unsigned integer of as many bits."""
    from_name = {"i8": "u8", "i16": "u16", "i32": "u32", "i64": "u64", "index": "u64"}
    return DTYPES[from_name.get(dtype.name, dtype.name)]


def cast(op: Op, _scope: Scope) -> dict[str, Any]:
    """The context of the macro of cast."""
    source, to, mode = op.args[0].tile.dtype, op.attr("dtype"), op.attr("round") or "rne"  # type: ignore[union-attr]
    how, via = "plain", ""
    if source.kind == "f":
        if to.kind == "i":
            how = "to integer" if to.bits >= 8 else "to field"
        elif source.bits < 32 or to.bits < 32:
            how = "widen" if to.bits >= 32 else "convert"
            if to.bits == 8 and op.attr("saturate") is not False:
                how, via = "saturate", "f64" if source.bits == 64 else "f32"
    elif to.kind == "f" and to.bits < 32:
        exact = source.bits <= 16                           # an i16 or narrower is exact in f32
        how, via = ("saturate" if to.bits == 8 and op.attr("saturate") is not False else "convert through"), "f32" if exact else "f64"
    elif to.kind == "i" and source.kind == "i":
        if op.attr("saturate"):
            how = "clip"
        elif to.bits < 8:
            how = "wrap unsigned" if not to.signed else "wrap signed"
    return {"how": how, "via": via, "rounding": mode, "lo": to.lo if to.kind == "i" else 0, "hi": to.hi if to.kind == "i" else 0,
            "narrow": source.kind == "f" and source.bits < 32}
