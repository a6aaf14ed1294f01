"""Words of tile_ascend_vector.h and of its texts that generated names must not take.  tests/test_reserved.py compares them with the header."""
from __future__ import annotations

VECTOR = frozenset("""
AddInstruction AndInstruction Bytes CMPMODE DivInstruction ElementsFrom FloatRows IntegerRows IntegerSumRows Local MaxElements MaxInstruction MaxLanes
MinElements MinInstruction MinLanes MulInstruction Operand OperandKind OrInstruction Piece ReducedFrom RoundMode RowsFrom SELMODE Signed SignedOf
Single Steps SubInstruction SumElements SumLanes Threefry Walk abs add add_fields arg_by_element arg_extreme arg_groups argmax argmax_groups argmin
argmin_groups as as_words binary bits_and bits_not bits_or bits_xor bitwise block_rows blocks bools_from both by_element by_rows cast_directly
cast_through chunk chunk_bytes clear clear_padding columns_from compare compare_bits compare_integers condition_bits copy copy_flat copy_rows cos
cumsum_by_element cumsum_groups cumsum_groups_by_element differ div divide_small dot_by_element either element eq eq_integers eq_near_integers erf exp
exp2 extreme extreme_groups extreme_of_numbers extreme_of_rows fetch fill float_of_unsigned floordiv_small fma fold fold_groups fold_into fold_runs
from_by_element full full_by_element gather_from iota iota_by_element is_column is_scalar is_tile kind_of lanes larger le le_integers le_near_integers
lesser_or_greater log log2 lt lt_integers lt_near_integers mask mask_bytes max max_groups max_groups_numbers max_numbers maximum maximum_first_nan
maximum_numbers maximum_second_nan memory min min_groups min_groups_numbers min_numbers minimum minimum_first_nan minimum_numbers minimum_second_nan
mod_small most_repeats most_stride mul ne ne_integers ne_near_integers needs_block neg numbers_of operand_element opposite pack_by_element past_scalar
per_block popcount put_by_element put_columns put_runs quotients random read_scalar reduce_by_element reduce_lanes reduce_rows round_floats round_up
rows_from rsqrt run same_bits scalar_arg_by_element scalar_of scalar_reduce_by_element scratch segment_sum segment_sum_by_element select set_element
shl shr sigmoid signed_as sin sine single small_integers smaller spare spread_blocks sqrt sub sum sum_groups take take_by_element take_runs taken tanh
to_integers together unpack_by_element vector_barrier walk where widen_unsigned word_block wrap xor_words""".split())
