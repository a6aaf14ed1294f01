"""C++ with SIMD for the processor at hand, compiled by whichever C++ compiler there is."""
from __future__ import annotations

from pathlib import Path

from dslc.backend import Backend
from dslc.runtime.deferred import deferred
from dslc.types import DTYPES

from ..common.reserved import KEYWORDS, SCALARS
from .library import HEADERS, CppToolchain

_describe, _fields, _frame, _joins, _limits, _merge, _moves, _recompute, _sums, _trips, _windows = (deferred(f"dslc.backends.cpu.{name}") for name in (
    "describe", "fields", "frame", "joins", "limits", "merge", "moves", "recompute", "sums", "trips", "windows"))

_SUB_BYTE = {"u1": "u8", "u2": "u8", "u4": "u8", "i4": "i8", "index": "index_t"}
# What generated names must not take besides: words of this target's headers and skeletons.
_RESERVED = KEYWORDS | SCALARS | frozenset("""
first last memory scratch panels programs run threads count bytes segment running arena_bytes panel_bytes scratch_bytes body visibility Window at
largest DotCut DotSum dot_cut load_row store_row reduce_sum reduce_max reduce_min arg_reduce_max arg_reduce_min Extremes extreme_better extreme_bytes
extreme_fold extreme_of atomic_add atomic_min atomic_max atomic_update distinct dot dot_tf32 DotOperand DotPlan DotVector DotWidth dot_add_rows
dot_broadcast dot_columns dot_convert dot_convert_left dot_depth dot_f32 dot_f64 dot_far dot_far_bytes dot_i16 dot_i32 dot_in_place dot_inner dot_load
dot_load_converted dot_matrix_vector dot_multiply_add dot_pack_columns dot_pack_panel dot_pack_row dot_pack_row_pair dot_quad dot_scratch dot_strip
dot_strip_panel dot_strips dot_tf32_scratch dot_tile dot_nothing dot_transpose dot_transpose_4x4 dot_unpacked_rows dot_value dot_vectors dot_wide_depth
dot_wide_rows dot_widen_halves dot_widened dot_panel turned Axis LeftPanels Panels PanelsJob RightPanels Shared Storage lay_out bits_of_bytes bits_row
bits_width deinterleave fetch_block interleave lane sum_bits sum_of_bytes turns_half turns_join turns_part turns_row turns_squares panels_depth
panels_kept_bytes panels_most_bytes panels_page_bytes panels_together shared worth_left worth_right dot_cut_left dot_pack_rows dot_stream DotAhead
dot_rows_together dot_short write_row before_line put_past past_caches past_fence past_row last_level_bytes element DotSkinny Lanes LanesBelow
SkinnyOrder SkinnyPlan skinny_ahead skinny_columns skinny_columns_of skinny_columns_of_rows skinny_dot skinny_fold skinny_fold_fours skinny_halve
skinny_inner skinny_kept skinny_large skinny_left skinny_load skinny_many_registers skinny_pass skinny_pass_of_rows skinny_row skinny_rows
skinny_totals skinny_vectors SkinnyMask Fields FieldsPlan dot_fields dot_fields_scratch fields_ahead fields_by_column fields_columns fields_in_word
fields_number fields_panels fields_row fields_rows fields_words skinny_least skinny_add skinny_packed_row PairsPlan pairs_add pairs_count pairs_group
pairs_kept pairs_load pairs_lookups pairs_looked_up pairs_planes pairs_row pairs_run pairs_step pairs_store Digits DigitsPlan FieldsDigits digits_bits
digits_exponent digits_most fields_by_digits fields_digits fields_few fields_halves fields_number_fused fields_rows_digits fields_times pairs_sums
pairs_table pairs_tables pairs_write sum_bits_of_pairs sum_bits_of_pairs_scratch """.split())

BACKEND = Backend(
    name="cpu",
    folder=Path(__file__).resolve().parent,
    files={"{name}.cpp": "kernel.cpp.j2", "{name}.h": "kernel.h.j2"},
    header_files=HEADERS,
    types={name: _SUB_BYTE.get(name, name) for name in DTYPES},
    # Branching on trips comes before fusion, which would hide what it looks for; peeling after fusion and before intervals, which clamp the bounds
    # it looks for.  Arg-reductions stay in their loops: they are vectors' work here.
    passes=("fold", "simplify", "cse", "dce", "trips", "cse", "dce", "fold", "hoist", "dce", "fuse", "peel", "fold", "simplify",
            "cse", "dce", "intervals", "fold", "simplify", "dce", "recompute", "merge", "moves", "places", "joins", "windows", "sums", "fields"),
    own_passes={"trips": lambda kernel: _trips.trips(kernel), "recompute": lambda kernel: _recompute.recompute(kernel),
                "merge": lambda kernel: _merge.merge(kernel), "moves": lambda kernel: _moves.moves(kernel), "joins": lambda kernel: _joins.joins(kernel),
                "windows": lambda kernel: _windows.windows(kernel), "sums": lambda kernel: _sums.sums(kernel),
                "fields": lambda kernel: _fields.fields(kernel)},
    describe=lambda op, scope: _describe.describe(op, scope),
    frame=lambda kernel, scope: _frame.frame(kernel, scope),
    toolchain=CppToolchain(),
    peak=lambda: _limits.limits(),
    reserved=_RESERVED,
)
