"""What generated names must not take on this target: words of its headers, of their emulated forms and of the skeletons, {name} standing for the kernel's.

tests/test_reserved.py compares them with the files.
"""
from __future__ import annotations

RESERVED = frozenset("""
abs add add_fields AddInstruction ai_cores AndInstruction arg_by_element arg_extreme arg_groups argmax argmax_groups argmin argmin_groups as as_words
ascend_status AscendC atomic_add atomic_max atomic_min atomically bfloat16_t binary bits_and bits_not bits_or bits_xor bitwise block_count block_index
block_rows block_sync blocks bools_from both by_element by_rows Bytes cast_directly cast_through chunk chunk_bytes clear clear_padding close CMPMODE
Column column columns_from compare compare_bits compare_integers condition_bits copy copy_flat copy_rows copy_to_fractals Core core cores_by_name cos
cpp cumsum_by_element cumsum_groups cumsum_groups_by_element device_cores differ distinct Distinct div divide_small DivInstruction dot_by_element either element
ElementsFrom engine eq eq_integers eq_near_integers erf exp exp2 extreme extreme_groups extreme_of_numbers extreme_of_rows fail fetch fill
float_of_unsigned FloatRows floordiv_small fma fold fold_groups fold_into fold_runs from_by_element full full_by_element gather_from GetDeviceInfo
Global global GlobalSpace GM_ADDR half Halves HardEvent int4b_t IntegerRows IntegerSumRows iota iota_by_element is_column is_scalar is_tile keep Kept
kept kept_next KERNEL_TASK_TYPE_DEFAULT KERNEL_TYPE_AIC_ONLY KERNEL_TYPE_AIV_ONLY KERNEL_TYPE_MIX_AIC_1_0 KERNEL_TYPE_MIX_AIC_1_1
KERNEL_TYPE_MIX_AIC_1_2 KERNEL_TYPE_MIX_AIV_1_0 KernelType kind_of l0 L0_HALF lanes larger launch Launched launched le le_integers le_near_integers
lesser_or_greater load load_fields load_fractals load_left load_right load_squares load_vector Local log log2 lt lt_integers lt_near_integers mask
mask_bytes max max_groups max_groups_numbers max_numbers MaxElements maximum maximum_first_nan maximum_numbers maximum_second_nan MaxInstruction
MaxLanes memory min min_groups min_groups_numbers min_numbers MinElements minimum minimum_first_nan minimum_numbers minimum_second_nan MinInstruction
MinLanes mod_small most_kept most_repeats most_stride mul MulInstruction Multiplied multiply multiply_halves ne ne_integers ne_near_integers
needs_block neg no_memory numbers_of open Operand operand_element OperandKind opposite OrInstruction pack2 pack_by_element Panel pass past_scalar per_block
Piece PIPE_ALL PIPE_FIX PIPE_M PIPE_MTE1 PIPE_MTE2 PIPE_MTE3 PIPE_S pipe_t PIPE_V PipeBarrier Plain popcount programs put put_by_element put_columns
put_runs Quantised quotients random read_scalar read_status reduce_by_element reduce_lanes reduce_rows ReducedFrom Reference Ring rings round_floats
round_up RoundMode Row row rows_from RowsFrom rsqrt run same_bits scalar_arg_by_element scalar_of scalar_reduce_by_element scratch segment_sum
segment_sum_by_element select SELMODE set_element SetFlag settle Shared shared_at SharedSpace shl shr shuffle shuffle_xor shuffled sigmoid Signed
signed_as SignedOf sin sine Single single small_integers smaller Space spare spread_blocks sqrt square started status_next status_word status_words
Steps store store_element store_vector stream sub SubInstruction Sum sum sum_groups sum_square SumElements SumLanes take take_by_element take_runs
taken tanh Threefry Tile to_integers together turn unpack unpack_by_element Vector vector_barrier vector_cores view WaitFlag Walk walk wave_sync where
widen_unsigned word_block worker workspace workspace_at wrap wrapping_sum xor_words zero_panel block_elements up_to
{name}_cube {name}_kernel {name}_vector""".split())
