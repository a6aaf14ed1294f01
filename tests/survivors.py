"""Mutants that survive: why, and the document that lists them."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "mutations.md"
# Why a mutant that survives does no harm, or what does not see it; the first that matches its name.
REASONS: Sequence[tuple[str, str]] = (
    (r"exchange: .*\[ floor_div<index_t>\(M \+ 127, 128\), floor_div<index_t>\(N \+ 127, 128\) ->|floor_div<index_t>\(N \+ 127, 128\), \["
     r"8 -> 9\]\)|dealt<\[8, 64 -> 64, 8\]",
     "Equivalent: another order of the programs, each of which is still run once."),
    (r"digit: .*dealt<8, 64>|(offset|digit): .*(dealt<8, 64>\(block_index\(\)|floor_div<index_t>\(M \+ 127, 128\) \* floor).*(\[127 -> 12"
     r"8\]|\[div -> mod\])",
     "Not seen by these inputs: rounds of chiplets begin at 512 programs, more than are run here; that the order names each program once is a test "
     "of its own."),
    (r"(offset|sign|exchange): .*(dealt<8, 64>|or_div<index_t>\(M \+ 127, 128\) \* floor_div|<index_t>\(M \+ 127, 128\) \* floor_div|\(\)"
     r", floor_div).*->",
     "Equivalent: for fewer programs fewer rounds are dealt to chiplets; each program is still run once."),
    (r"transpose: copy_tile<\d+, \d+>\(Operand<\w+, \d+, \d+,\[ \d+, 1 ->",
     "Equivalent: a direct copy fills a place from its first byte to its last and needs of the operand the swizzle only, not the steps."),
    (r"(guard|offset): .*run_inside<8>\(within\(\w+, SQ\), 0, ?\[ ?8 -> ",
     "Equivalent: a run of 8 ends at 8 wherever the row does."),
    (r"(drop|loop): .*\bm\[e0\] = -__builtin_inff|drop: \[max\d*\[e0\] = Greatest<f32>::none",
     "Not seen: g++'s pattern for registers that were never written is -1.7e38 in f32, which is below every score as -infinity is; clang's is NaN."),
    (r"sign: .*peel = .*SK( \[\+ -> -\] \(-63\)| \+ \(\[- -> \]63\))|(sign|guard|compare|offset): .*bound = minimum<index_t>\(maximum<ind"
     r"ex_t>\(SK|(compare|sign|guard|offset|worker): .*\(i32\)bound\) & le",
     "Equivalent: the diagonal ends before the keys do in every row that is stored, so what it lets through is inside."),
    (r"sign: .*\(\(mul \[\+ -> -\] SK\)",
     "Equivalent: the loop without masks has no trip then, and the one with masks does them all."),
    (r"sign: .*\[- -> \]2147483648",
     "Equivalent: bounds at the ends of i32, which no tensor of a test comes near."),
    (r"guard: .*\[within\(g, G\) -> true\]|offset: .*within\(g, G\) \?",
     "Equivalent: a head is always inside; a tile whose extent is told wrongly goes run by run."),
    (r"offset: const index_t last = ",
     "Equivalent: trips past the diagonal weigh nothing."),
    (r"sign: .*\(\(mul \[\+ -> -\] SK\)",
     "Equivalent: the loop without masks has no trip then, and the one with masks does them all."),
    (r"sign: .*\[- -> \]2147483648",
     "Equivalent: bounds at the ends of i32, which no tensor of a test comes near."),
    (r"guard: .*\[within\(g, G\) -> true\]|offset: .*within\(g, G\) \?",
     "Equivalent: a head is always inside; a tile whose extent is told wrongly goes run by run."),
    (r"offset: const index_t last = ",
     "Equivalent: trips past the diagonal weigh nothing."),
    (r"guard: if \(\[left_\w+ > [01] -> true\]\)|compare: if \(left_\w+ \[> -> >=\] [01]\)",
     "Equivalent: a load past the last trip brings zeros into a slot that no one reads; the condition saves work."),
    (r"worker: const i32 at\d+ = worker / 64 \* 32 \+ worker % \[16 -> 32\]",
     "Equivalent: of the workers that share a row the first 16 of a wave store it, whose digit above is 0."),
    (r"offset: .*(peel = |- SQ\) ).*-\[6[23] -> 6[34]\]",
     "Equivalent: the loop without masks ends a trip earlier at most, and the one with masks does that trip."),
    (r"loop: .*peel|compare: .*peel",
     "Equivalent: the loop without masks ends a trip earlier, and the one with masks does that trip."),
    (r"(guard|compare): if \(\[?[kdj]\d? ?(\[?<|\[?>=)",
     "Equivalent: a load past the last trip brings zeros, or nothing, into a slot that no one reads; the condition saves work."),
    (r"compare: for \(index_t \w+ = .*\[< -> <=\]",
     "Equivalent: one trip more multiplies zeros, which the loads bring from outside a tensor (past the last centroid infinity, which is never the "
     "least)."),
    (r"(guard|compare|offset): if \(.*0.* (<|\[< -> <=\]) [KD]",
     "Equivalent: without a trip the code below waits for nothing and gives back nothing."),
    (r"transpose: .*(Operand|Window|Slabs)<(const )?\w+,\[",
     "Equivalent: the extents of an operand are read by products that take single elements only; this one takes whole fragments, and reads only "
     "the left operand's depth and the right one's rows."),
    (r"delete: \[ring_drain",
     "Equivalent: the slot kept for the product under way is given back a trip later, by the next loop's first release; the drain only lets its "
     "copy begin earlier."),
    (r"offset: const index_t programs = ",
     "Equivalent: programs more than there are tiles lie wholly outside the tensor; their loads bring zeros, their stores nothing."),
    (r"offset: if \(::worker\(\) [!=]= \[0 -> 1\]",
     "Equivalent: another one of the workers that load does it."),
    (r"offset: if \(\(worker & \d+\) == \[0 -> 1\]",
     "Equivalent: each of the workers that share a row has its result after the reduction; another one writes it."),
    (r"worker: const i32 at\d+ = worker % \[64 -> 128\]",
     "Equivalent: only workers below 64 load the row, so that the digit above is 0."),
    (r"worker: .*worker / (32|64|128) % \[(\d+) -> ",
     "Equivalent: the digits above are 0, for there are no more workers."),
    (r"(loop|drop): .*trips\[e0\] = 0",
     "Equivalent: where no score was less than infinity the guard of `who` takes 0 whatever the trip is."),
    (r"guard: .*who\[e0\] = select",
     "Equivalent: where nothing is less than infinity all trips are 0, and so is the lowest column."),
    (r"(guard|compare): best\[e0\] = select|(guard|compare): .*best\[e0\] = select",
     "Equivalent: the least of the scores is at most infinity, and infinity is what is taken otherwise."),
    (r"compare: .*slots\[e0\] = select<f32>\(s\d* \[< -> <=\]",
     "Equivalent: of two equal scores it does not matter which is kept."),
    (r"offset: const Shared<f32> c_squared_tile = shared_at",
     "Equivalent: a place for one use, moved within bytes that nothing else has at that time."),
    (r"offset: i32 stage_\w+ = \[0 -> 1\]",
     "Equivalent: of two slots the other is first, for those who write it and those who read it."),
)


def reason(name: str) -> str:
    return next((text for pattern, text in REASONS if re.search(pattern, name)), "?")


def equivalent(result: Any) -> bool:
    """It survived because it does the same."""
    return not result.caught and reason(result.name).startswith("Equivalent")


def document(results: Sequence[Any]) -> str:
    """docs/mutations.md: a table of all pairs, and of all survivors."""
    pairs = list(dict.fromkeys((r.kernel, r.target) for r in results))
    ends = {p: Counter(r.caught for r in results if (r.kernel, r.target) == p) for p in pairs}
    same = Counter((r.kernel, r.target) for r in results if equivalent(r))
    rows = [f"| {k} | {t} | {c.total()} | {c.total() - c['']} | {(c.total() - c['']) / c.total():.1%} | {(c.total() - c['']) / (c.total() - same[k, t]):.1%} | "
            f"{c['finding']} | {c['values']} | {c['compiler'] + c['crash'] + c['time']} | {c['']} |" for (k, t), c in ends.items()]
    alive = [r for r in results if not r.caught]
    texts = list(dict.fromkeys(reason(r.name) for r in alive))
    where = [f"| {r.kernel} | {r.target} | {code(r.name)} | {texts.index(reason(r.name)) + 1} |" for r in alive]
    return "\n".join([HEAD, *rows, "", "## Why some survive", "", *(f"{n}. {text}" for n, text in enumerate(texts, 1)), "", "## Survivors", "",
                      "The kind of change, and what stood there -> what stands there now; the last column is the reason above.", "",
                      "| kernel | target | mutant | reason |", "|---|---|---|---|", *where, ""])


HEAD = """# Mutation tests of generated GPU source

Written by `python tests/mutation.py`, which makes one change at a time to the text of a kernel's function, as it is generated for a target, compiles
it against the emulator and calls it on several sets of inputs in the modes late, early, random:1 and random:2. A mutant is caught if the emulator finds
something, if a result is further from numpy's than the kernel's documentation allows, if bytes beside an output change, if it does not end, or if it
does not compile. `pytest -m long tests/test_mutation.py` makes them all again, and wants the survivors to be those listed here. A change that cannot
matter is equivalent; the share of what is caught is given with and without those.

delete: a synchronisation left out. weaken: a wait for fewer, a release earlier. phase: the other slot or parity. drop: another statement left out.
offset, worker, stride, digit: a constant, a digit of the worker's number, the stride of another dimension, quotient for rest. sign, compare, loop, guard:
+ for -, < for <=, a trip less or a longer step, a condition always true or a bound one further. transpose, exchange, swizzle, reduce: two numbers of a
template or two arguments exchanged, a parameter of a swizzle on one side, a reduction across workers left out or halved.

Not changed: headers, the launcher, what steers only the compiler or the speed (order_fence, wgmma_hold, priority, registers_claim, tensor_prefetch), bounds
at the ends of i32 and i64. Of statements that are alike but for the numbers of names (a loop's body for its last trips) all have their synchronisation,
guards, swizzles and template numbers changed, the last one the rest.

| kernel | target | mutants | caught | of all | of those not equivalent | by the emulator | by values | otherwise | survivors |
|---|---|---|---|---|---|---|---|---|---|"""


def code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def documented(text: str) -> set[tuple[str, str, str]]:
    """(kernel, target, name) of each survivor in docs/mutations.md."""
    rows = re.findall(r"^\| (\w+) \| ([\w:]+) \| `(.*)` \| \d+ \|$", text, re.M)
    return {(kernel, target, name.replace("\\|", "|")) for kernel, target, name in rows}
