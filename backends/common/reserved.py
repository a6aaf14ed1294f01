"""Words that generated names must not take, for every target of the C family.  tests/test_reserved.py compares them with headers and templates."""
from __future__ import annotations

# What no C++ name may be, members of the argument block among them: keywords, and what <stdint.h>, <stddef.h>, <stdlib.h>, <limits.h> and <math.h> define.
KEYWORDS = frozenset("""
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const constexpr consteval constinit continue co_await
co_return co_yield decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long
mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires return short signed
sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename union unsigned using virtual
void volatile wchar_t while xor xor_eq restrict
int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t size_t ptrdiff_t unix linux
errno NULL INFINITY NAN HUGE_VAL MAXFLOAT EOF BUFSIZ RAND_MAX EXIT_SUCCESS EXIT_FAILURE BYTE_ORDER LITTLE_ENDIAN BIG_ENDIAN PDP_ENDIAN WNOHANG
CHAR_BIT CHAR_MIN CHAR_MAX SCHAR_MIN SCHAR_MAX UCHAR_MAX SHRT_MIN SHRT_MAX USHRT_MAX INT_MIN INT_MAX UINT_MAX LONG_MIN LONG_MAX ULONG_MAX LLONG_MIN
LLONG_MAX ULLONG_MAX SIZE_MAX SSIZE_MAX INT8_MIN INT8_MAX UINT8_MAX INT16_MIN INT16_MAX UINT16_MAX INT32_MIN INT32_MAX UINT32_MAX INT64_MIN INT64_MAX
UINT64_MAX NZERO WORD_BIT LONG_BIT PAGE_SIZE FP_NAN FP_INFINITE FP_ZERO FP_SUBNORMAL FP_NORMAL M_E M_LOG2E M_LOG10E M_LN2 M_LN10 M_PI M_PI_2 M_PI_4
M_1_PI M_2_PI M_2_SQRTPI M_SQRT2 M_SQRT1_2 KERNEL PARAMETER ASCEND_IS_AIC ASCEND_IS_AIV """.split())

# Loops over slots, words of every skeleton, functions of C, and tile_types.h, tile_math.h, tile_bounds.h.  {name} stands for the kernel's.
SCALARS = frozenset("""
e e0 e1 e2 e3 e4 e5 e6 e7 e8 e9 e10 e11 arguments packed program status main index {name}_arguments launch_{name}
free malloc aligned_alloc abort exit abs div rand random signal time clock
i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64 f8e4m3 f8e5m2 index_t tf32
absolute at_most bf16_from bitcast bits_of cast Cast cast_saturate CastSaturate clamped cos_ erf_ exp2_ exp_ exp_minus_one exp_tail exp_unclamped f16_from
f32_of f64_of f8e4m3_from f8e5m2_from field floor_div floor_mod fma_ get_field i4_from_bits int_saturate IntegerRange least less_multiples_of_ln2 log2_ log_
log_of_mantissa logarithm_domain madd maximum minimum most narrow_maximum narrow_minimum narrowed negate polynomial popcount popcount_32 put_field
random_bits rotate_left round_away round_bias_f32 round_bias_f64 round_down round_rne round_rtz round_to_odd round_up rsqrt_ scaled select shift_left
shift_right sigmoid_ sigmoid_of sin_ sin_shifted spans split_exponent sqrt_ tanh_ to_int to_int_range unless Unsigned whole_words widen within """.split())

# Machines of many threads: the words of their skeletons, tile_workers.h, the vocabulary that device and emulator have in common, the emulator's own.
WORKERS = frozenset("""
{name}_launch {name}_programs launched started stream worker lanes launch fail status_word read_status
Shared Global Vector shared_at global load_vector store_vector block_index block_count block_sync workers_sync wave_sync shuffle shuffle_xor by_words
pack2 unpack atomic_add atomic_min atomic_max
Run At Sum Greatest Least GreatestAt LeastAt Operand Bare BestAt IsFloat VectorLength across_lanes across_warps as_factor comparable copy_run drain_run
fill_run fma_product load_run store_run run_inside multiply multiply_add part swizzle banded by_columns dealt rows_of_band
engine wavefronts GlobalSpace SharedSpace Reference Plain Launched atomically shuffled wrapping_sum """.split())
