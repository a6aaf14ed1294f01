"""C++ with SIMD for the processor at hand, compiled by whichever C++ compiler there is."""
from __future__ import annotations

from pathlib import Path

from dslc.backend import Backend
from dslc.runtime.deferred import deferred
from dslc.types import DTYPES

from ..common.arguments import KEYWORDS
from .library import HEADERS, CppToolchain

_describe, _frame, _limits, _windows = (deferred(f"dslc.backends.cpu.{name}") for name in ("describe", "frame", "limits", "windows"))

_SUB_BYTE = {"u1": "u8", "u2": "u8", "u4": "u8", "i4": "i8", "index": "index_t"}
# What generated names must not take besides: words of the headers and skeletons.
_RESERVED = KEYWORDS | frozenset("""
e e0 e1 e2 e3 e4 e5 e6 e7 e8 e9 arguments packed first last memory scratch panels
program programs run threads count bytes status segment running arena_bytes panel_bytes i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64 f8e4m3 f8e5m2
index_t tf32 Window spans at within least most largest load_row store_row get_field put_field whole_words reduce_sum reduce_max reduce_min arg_reduce_max
arg_reduce_min atomic_add atomic_min atomic_max atomic_update distinct select cast cast_saturate widen minimum maximum absolute negate fma_ field
popcount bitcast dot dot_tf32 floor_div floor_mod shift_left shift_right to_int to_int_range int_saturate i4_from_bits random_bits free malloc
aligned_alloc abort exit abs div rand random signal time clock index main
""".split())

BACKEND = Backend(
    name="cpu",
    folder=Path(__file__).resolve().parent,
    files={"{name}.cpp": "kernel.cpp.j2", "{name}.h": "kernel.h.j2"},
    header_files=HEADERS,
    types={name: _SUB_BYTE.get(name, name) for name in DTYPES},
    # Lifting comes before fusion, which would hide its idiom; peeling after fusion and before intervals, which clamp the bounds it looks for.
    passes=("fold", "simplify", "cse", "dce", "lift_arg_reductions", "fold", "hoist", "dce", "fuse", "peel", "fold", "simplify", "cse", "dce", "intervals",
            "fold", "simplify", "dce", "places", "windows"),
    own_passes={"windows": lambda kernel: _windows.windows(kernel)},
    describe=lambda op, scope: _describe.describe(op, scope),
    frame=lambda kernel, scope: _frame.frame(kernel, scope),
    toolchain=CppToolchain(),
    peak=lambda: _limits.limits(),
    reserved=_RESERVED,
)
