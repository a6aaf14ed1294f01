"""Mutants of Ascend's sources that survive: why."""
from __future__ import annotations

from collections.abc import Sequence

from survivors import DOCS, Document

REASONS: Sequence[tuple[str, str]] = (
    (r"sign: const auto acc8|"
     r"offset: (\.\.)?.*\b(core\.(tile|local|ub_at)<|A1>|CO1>)[^(]*\(\[\d+ -> \d+\]|offset: .*>\(\[\d+ -> \d+\]( \+ turn\d* \* \d+)?(, \d+)?\)",
     "Equivalent: a place moved within bytes that nothing else has at that time."),
    (r"offset: (.*\bprograms =|\.\.= floor_div<index_t>\(M \+ 127, 128\) \*) .*\[\d+ -> \d+\]|compare: .*program \[< -> <=\] programs",
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
    (r"offset: .*(load|store|\.\.|scale)\(.*, (\[0 -> 1\]), (\w+, )?(cast<|all_or_none|Inside\{0, 1\})",
     "Equivalent: the distance between rows of a place that has one row."),
    (r"loop: .*minimum<index_t>\(K, .*\) - 1\]",
     "Equivalent: K is a multiple of 8 and trips are 128 long, so that none begins at the last element."),
    (r"transpose: const Panel<\w+, 16, \d+, \[false -> true\]>",
     "Equivalent: of 16 rows both orders of fractals are one."),
    (r"halve: .*ub_at<u8>\(\d+,\[ \d+ -> ",
     "Equivalent: the kernel's functions use less than half of what the generator reserves, which is what the greatest form of each needs."),
    (r"offset: .*(load_fields|w_tile, w, |w_stride\[0\], inside).*(\[64 -> 65\]|\(u8\)\[0 -> 1\])",
     "Equivalent: told of a row more than it has, or of another padding, the function goes element by element; rows outside meet zeros of the other operand."),
    (r"guard: .*\[within\(floordiv2, NG\) -> true\]|exchange: .*all_or_none\(\[within\(floordiv2, NG\), 1 -> ",
     "Equivalent: K is inside, and so is its group; one row is there or not."),
    (r"offset: .*inside\(cols, 128, N\), \(u8\)\[0 -> 1\]",
     "Equivalent: padding of columns that are not stored."),
    (r"offset: .*RowsFrom\{0, (\[0 -> 1\], 64|0, \[64 -> 65\])",
     "Equivalent: one row for all; a distance below a block is none, and a count above the tile's rows is the tile's."),
    (r"pair: ring\d: free neither|cross: ring\d: a slot more|cross: (put|take) of .*\(free\) by PIPE_|cross: close of cube.* by PIPE_MTE|"
     r"cross: close of vector, ring1: .* by PIPE_MTE2",
     "Equivalent: products and softmax of attention wait for each other in turn, by the flags `ready` of three rings; neither is more than two trips ahead, so "
     "that of four slots one is always free, whoever says or hears so."),
    (r"(pair|move): .*(FIX_M>\(1\)|MTE1_MTE2>\((turn2|[24] \+ turn2?)\))|delete: \[PipeBarrier<PIPE_MTE2>.* before (load\([kv]_tile|for \(index_t j)|"
     r"halve: .*(qt\{|cast3\{|\. 64, false> qt|se> cast3|lse> qt|\.3\{core).*(\[turn2? -> 0\] \*|turn2? \* \[)",
     "Equivalent here: a panel is only loaded again when the vector cores have put a tile that they made of what the cube core put before, so that its sum was "
     "stored and its operands read. That is an order by way of the other unit, which the generator, who looks at one unit, does not see."),
    (r"pair: .*V_MTE2>\(2\); before copy\(m2?, online|move: (take\(acc[58]|SetFlag<HardEvent::V_MTE2>\(2\); then add\(acc)|"
     r"(pair|move): .*MTE3_V>\([023]\)|(pair|flag): SetFlag<HardEvent::V_MTE3>\(1\).*before for|pair: .*MTE2_V>\([05]\)|"
     r"move: iota\(iota4\); then WaitFlag<HardEvent::MTE2_V>\(5\)|delete: .* before (for \(index_t j|log2\()|"
     r"halve: .*(dot6|acc8) = .*(\[turn3 -> 0\] \*|turn3 \* \[)",
     "Equivalent here: the cube core puts a tile only when it has taken what the vector cores put before, and they put that when all their pipes had done "
     "what it is made of; so copies of one trip are ordered with the use of the trip before by way of the other unit, which the generator, who looks at "
     "one unit, does not see."),
    (r"(pair|flag|move): .*(Set|then |then Set)Flag<HardEvent::MTE2_MTE1>\(4 \+ turn\)",
     "Equivalent: the flag of the first panel of keys, which MTE2 loads after the queries, says as much."),
    (r"guard: .*\[within\(g, G\) -> true\]|offset: .*: Inside\{(\[0 -> 1\], 0|0, \[0 -> 1\])\}",
     "Equivalent: H is a multiple of G, so that a head is always inside and the other part is never taken."),
    (r"offset: .*Inside\{\[0 -> 1\], (64)\}\);",
     "Equivalent: a panel's columns start inside, and the function reads their end only."),
    (r"loop: .*\[\(?peel( \+ 64\)|) -> |compare: if \(j \[< -> <=\] peel\)|offset: .*peel = .*-\[6[23] -> 6[34]\]|offset: .*\(last, SK.*-\[6[23] -> 6[34]\]|"
     r"offset: .*SQ\) \+ \(-\[62 -> 63\]",
     "Equivalent: the loop without masks ends a trip earlier at most, and the one with masks does that trip."),
    (r"sign: .*peel = .*SK \[\+ -> -\]|sign: .*SK( \[\+ -> -\] \(-63\)| \+ \(\[- -> \]63\))|sign: .*\(\(mul2 \[\+ -> -\] SK\)",
     "Equivalent: the diagonal of the first row of a tile, or the loop with masks, ends the loop without masks in time."),
    (r"(offset|sign): .*minimum2 = .*(SK \[?- |-\[1 -> 2\]|\[64 -> 65\]|\[- -> \]1)|(offset|sign): .*maximum<index_t>\(SK - j3, (-\[1|\[- -> \]1)|"
     r"offset: .*\(j3 - mul2\) - diagonal, (-\[64|-64\), \[128)",
     "Equivalent: the mask of a column past the last, or of one that the diagonal hides anyway."),
    (r"exchange: maximum_second_nan\(",
     "Equivalent: which operand may be NaN, and no row has one."),
    (r"cross: open of .* by PIPE_",
     "Equivalent: at the start no pipe has anything to wait for."),
    (r"cross: close of .* by PIPE_[VM]$",
     "Equivalent: the pipe comes there after all its work, and takes counts that the pipe that puts would wait for, which come later again; all are taken at "
     "the end. It must not be a pipe whose later work the puts wait for."),
    (r"halve: .*(zero_tile|peat_rows_x2|w_tile) = .*(\[turn\d* -> 0\] \* |turn\d* \* \[)",
     "Equivalent: a place whose slots do not matter, since the flag of another place's only slot lets no load of the next trip begin before this one is used. "
     "The second slot is a waste of room."),
    (r"move: (SetFlag<HardEvent::V_MTE2>\(0\); then cast_through<f16>\(repeat_rows_x, zero_tile|load\(w_tile, w, .*; then WaitFlag<HardEvent::V_MTE2>\(2\)|"
     r"SetFlag<HardEvent::V_MTE2>\(2\); then cast_directly\(cast5, w_tile)",
     "Equivalent: the place has two slots, and before one is filled again the flag of the trip between has been waited for."),
    (r"offset: full\(trips, \[0 -> 1\]\)",
     "Equivalent: where no score was less than infinity the guard of `who` takes 0 whatever the trip is."),
    (r"exchange: .*return x_ \+ y_; \},\[",
     "Equivalent: a sum."),
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

Not changed: headers, the launcher, sizes in the prologue of CANN 8, the slot that a counter of turns begins with, bounds at the ends
of i32 and i64. Of statements that are alike but for the numbers of names all have their flags and barriers changed, the last one the rest.

| kernel | target | mutants | caught | of all | of those not equivalent | by the emulator | by values | otherwise | survivors |
|---|---|---|---|---|---|---|---|---|---|"""

ASCEND = Document(DOCS / "mutations-ascend.md", HEAD, REASONS, by_kind=True)
