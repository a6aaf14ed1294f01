"""Mutants of Ascend's sources that survive: why."""
from __future__ import annotations

from collections.abc import Sequence

from survivors import DOCS, Document

REASONS: Sequence[tuple[str, str]] = (
    (r"offset: (\.\.)?.*\b(core\.(tile|local|ub_at)<|A1>|CO1>)[^(]*\(\[\d+ -> \d+\]|offset: .*>\(\[\d+ -> \d+\]( \+ turn\d* \* \d+)?(, \d+)?\)",
     "Equivalent: a place moved by 32 bytes within bytes that nothing else has at that time."),
    (r"offset: .*\bprograms = .*\[\d+ -> \d+\]|compare: .*program \[< -> <=\] programs",
     "Equivalent: a program more lies wholly outside the tensors; its loads bring padding, its stores nothing."),
    (r"drop: \[acc\.fresh = true -> |move: acc\.fresh = true; then WaitFlag",
     "Equivalent: a sum is fresh where it is declared; the statement only says so to the reader, and touches no memory."),
    (r"phase: for .*\[, turn\d* \^= 1 -> \]|phase: .*\[, turn\d* \^= 1 -> \]\)",
     "Equivalent: places and flags turn together; one slot with its flag serves all trips, which only no longer overlap."),
    (r"compare: for \(index_t \w+ = .*; \w+ \[< -> <=\]",
     "Equivalent: one trip more brings padding, which adds nothing, and stores nothing."),
    (r"halve: const auto \w+ = core\.tile<f32, 1, \[4 -> 2\], 16>",
     "Equivalent: vector instructions work on a row with its padding, which the pitch gives, not the columns."),
    (r"halve: const auto \w+ = core\.tile<\w+, 1, \[\d+ -> \d+\], \d+>|transpose: const auto \w+ = core\.tile<\w+, \[1, \d+ -> \d+, 1\], \d+>",
     "Equivalent: the same bytes as fewer columns or as a column; a load of it then goes the way of a part of a tile, and the vector instructions work on "
     "pitches."),
    (r"offset: .*(load|store)\(.*, (\[0 -> 1\]), (cast<|all_or_none|Inside\{0, 1\})",
     "Equivalent: the distance between rows of a place that has one row."),
    (r"loop: .*minimum<index_t>\(K, .*\) - 1\]",
     "Equivalent: K is a multiple of 8 and trips are 128 long, so that none begins at the last element."),
    (r"transpose: const Panel<\w+, 16, \d+, \[false -> true\]>",
     "Equivalent: of 16 rows both orders of fractals are one."),
    (r"halve: .*ub_at<u8>\(\d+,\[ \d+ -> ",
     "Equivalent: the kernel's functions use less than half of what the generator reserves, which is what the greatest form of each needs."),
    (r"offset: .*load_fields.*(\[64 -> 65\]|\(u8\)\[0 -> 1\])",
     "Equivalent: told of a row more than it has, or of another padding, the function goes element by element; rows outside meet zeros of the other operand."),
    (r"guard: .*\[within\(floordiv2, NG\) -> true\]|exchange: .*all_or_none\(\[within\(floordiv2, NG\), 1 -> ",
     "Equivalent: K is inside, and so is its group; one row is there or not."),
    (r"offset: .*inside\(cols, 128, N\), \(u8\)\[0 -> 1\]",
     "Equivalent: padding of columns that are not stored."),
    (r"offset: .*RowsFrom\{0, (\[0 -> 1\], 64|0, \[64 -> 65\])",
     "Equivalent: one row for all; a distance below a block is none, and a count above the tile's rows is the tile's."),
    (r"cross: open of .* by PIPE_",
     "Equivalent: at the start no pipe has anything to wait for."),
    (r"cross: close of .* by PIPE_V",
     "Equivalent: the pipe comes there after all its work, and takes counts that the pipe that puts would wait for, which come later again; all are taken at "
     "the end. It must not be a pipe whose later work the puts wait for."),
    (r"halve: const auto (zero_tile|repeat_rows_x2|w_tile) = .*(\[turn\d* -> 0\] \* |turn\d* \* \[)",
     "Equivalent: a place whose slots do not matter, since the flag of another place's only slot lets no load of the next trip begin before this one is used. "
     "The second slot is a waste of room."),
    (r"(pair|move): .*V_MTE2>\((turn|2)\)",
     "Equivalent, and redundant: the flag of x's place and that of w's each order the loads of both. The second is there so that the event of w's load may be "
     "set again; the generator does not look again whether the first is then needed."),
    (r"move: SetFlag<HardEvent::V_MTE2>\(0\); then rows_from",
     "Equivalent: the flag is for the scratch; a copy of rows uses none, which the generator does not know before pitches are settled."),
    (r"delete: \[PipeBarrier<PIPE_V>\(\); -> \(void\)0;\] before (div\(mean|maximum_second_nan\(top)",
     "Equivalent, and redundant: the function before ends with a barrier of its own behind what this one reads and behind all of its scratch, which the "
     "generator does not know."),
    (r"exchange: maximum_second_nan\(top,\[ m, max2 ->",
     "Equivalent: which operand may be NaN, and no row has one."),
)

HEAD = """# Mutation tests of generated AscendC

Emulated, not run on an NPU. Written by `python tests/mutation.py`, which makes one change at a time to the text of a kernel's functions, as it is generated
for `ascend:910b`, compiles it against the emulator and calls it on several sets of inputs in the modes late, early, random:1, starve:AIC and starve:AIV: whole
tiles with several programs on a core and three trips or more, then every edge one past a tile, NaN beside the inputs. A mutant is caught if the emulator finds
something, if a result is further from numpy's than the kernel's documentation allows, if bytes beside an output change, if it does not end, or if it does
not compile. `pytest -m long tests/test_mutation_ascend.py` makes them all again, and wants the survivors to be those listed here, each for a reason. A change
that cannot matter is equivalent, which a reason shows; the share of what is caught is given of all, and of those not shown to be equivalent, of which
95 % is the least that passes.

delete: a SetFlag, a WaitFlag, a PipeBarrier or the end of a core left out. pair: a SetFlag and the WaitFlag of the same number left out, or both sides of a
ring's flag. move: a flag set a statement earlier, waited for a statement later. flag: another number, or a pair of another pipe. cross: a CrossCoreSetFlag or
CrossCoreWaitFlag left out, of another pipe, of the ring's other flag, or a slot given too many. phase: the other flag of two, slots or rings that do not turn.
halve: half a place, half the distance of its slots or one slot for two, half a ring, half of a core's workspace. drop: another statement left out. offset: 32
bytes for a place, an element for a tensor, one more elsewhere. guard: a condition always true, a part taken for a whole, an end one further or nearer.
transpose: an operand turned, extents or fractals in the other order, a row for a column. exchange, sign, compare, digit, stride, loop: two arguments
exchanged, + for -, < for <=, quotient for rest, the stride of another dimension, a trip less or a longer step.

Calls between cores stand in functions of the header; for their mutants the function's body, read from the header, is put in the place of the call.

Not changed: headers, the launcher, sizes in the prologue of CANN 8 (which is not emulated), the slot that a counter of turns begins with, bounds at the ends
of i32 and i64. Of statements that are alike but for the numbers of names all have their flags and barriers changed, the last one the rest.

| kernel | target | mutants | caught | of all | of those not equivalent | by the emulator | by values | otherwise | survivors |
|---|---|---|---|---|---|---|---|---|---|"""

ASCEND = Document(DOCS / "mutations-ascend.md", HEAD, REASONS, by_kind=True)
