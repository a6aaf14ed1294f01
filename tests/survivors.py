"""Mutants that survive: why, and the documents that list them; the reasons for GPUs."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True)
class Document:
    """The document of a family of targets.

    head: its text up to the first row of the table of pairs.  reasons: (pattern, reason) of survivors, the first whose pattern is found in the name.
    by_kind: with a table of kinds too.
    """

    path: Path
    head: str
    reasons: Sequence[tuple[str, str]]
    by_kind: bool = False

    def reason(self, name: str) -> str:
        return next((text for pattern, text in self.reasons if re.search(pattern, name)), "?")

    def equivalent(self, result: Any) -> bool:
        """It survived because it does the same."""
        return not result.caught and self.reason(result.name).startswith("Equivalent")

    def text(self, results: Sequence[Any]) -> str:
        """The whole document: a table of all pairs, and of all survivors."""
        pairs = list(dict.fromkeys((r.kernel, r.target) for r in results))
        rows = [self.row(f"{k} | {t}", [r for r in results if (r.kernel, r.target) == (k, t)]) for k, t in pairs]
        kinds = [self.row(kind, [r for r in results if r.kind == kind]) for kind in sorted({r.kind for r in results})]
        alive = [r for r in results if not r.caught]
        texts = list(dict.fromkeys(self.reason(r.name) for r in alive))
        where = [f"| {r.kernel} | {r.target} | {code(r.name)} | {texts.index(self.reason(r.name)) + 1} |" for r in alive]
        return "\n".join([self.head, *rows, self.row("all | all", results), *(["", "## By kind", "", KINDS, *kinds] if self.by_kind else []), "",
                          "## Why some survive", "", *(f"{n}. {text}" for n, text in enumerate(texts, 1)), "", "## Survivors", "",
                          "The kind of change, and what stood there -> what stands there now; the last column is the reason above.", "",
                          "| kernel | target | mutant | reason |", "|---|---|---|---|", *where, ""])

    def row(self, first: str, results: Sequence[Any]) -> str:
        """A row of a table of ends."""
        c, n = Counter(r.caught for r in results), sum(self.equivalent(r) for r in results)
        of_those = f"{(c.total() - c['']) / (c.total() - n):.1%}" if c.total() > n else "-"
        return (f"| {first} | {c.total()} | {c.total() - c['']} | {(c.total() - c['']) / c.total():.1%} | {of_those} | "
                f"{c['finding']} | {c['values']} | {c['compiler'] + c['crash'] + c['time']} | {c['']} |")

    def listed(self) -> set[tuple[str, str, str]]:
        """(kernel, target, name) of each survivor in the document."""
        rows = re.findall(r"^\| (\w+) \| ([\w:]+) \| `(.*)` \| \d+ \|$", self.path.read_text(), re.M)
        return {(kernel, target, name.replace("\\|", "|")) for kernel, target, name in rows}


KINDS = """| kind | mutants | caught | of all | of those not equivalent | by the emulator | by values | otherwise | survivors |
|---|---|---|---|---|---|---|---|---|"""


def code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


# Why a mutant that survives does no harm ("Equivalent: .."), or what does not see it; the first that matches its name.
REASONS: Sequence[tuple[str, str]] = (
    (r"(offset|sign): (fetch_j2\(j2 \+ 128, stage_j2 == 0 \? 2 : stage_j2 \[?- |stage_j2 = stage_j2 == 2 \? \[0 -> 1\])",
     "Equivalent: what the mask cuts is less than 3 tiles long, so there are 3 trips at most; two slots are filled before them, the third in the "
     "first, from slot 0."),
    (r"exchange: .*\[ floor_div<index_t>\(M \+ 127, 128\), floor_div<index_t>\(N \+ 127, 128\) ->|"
     r"offset: .*, floor_div<index_t>\(N \+ 127, 128\), \[8 -> 9\]\)|transpose: .*dealt<\[8, 64 -> 64, 8\]",
     "Equivalent: another order of the programs, each of which is still run once."),
    (r"offset: .*\* floor_div<index_t>\(N \+ 127, \[128 -> 129\]\)\), |offset: .*block_index\(\), floor_div<index_t>\(M \+ 127, \[128 -> 129\]\) \* |"
     r"sign: .*floor_div<index_t>\([MN] \[\+ -> -\] 127, 128\)(\)| \* )|"
     r"exchange: .*floor_div<index_t>\(\[([MN]) \+ 127, 128 -> 128, \2 \+ 127\]\)(\)| \* )",
     "Equivalent: told of fewer programs than there are, the order deals fewer rounds to chiplets, or none; each program is still run once."),
    (r"transpose: copy_tile<\d+, \d+>\(Operand<\w+, \d+, \d+,\[ \d+, 1 ->",
     "Equivalent: a direct copy fills a place from its first byte to its last and needs of the operand the swizzle only, not the steps."),
    (r"(guard|offset): .*run_inside<(\d)>\(.*, 0, ?\[ ?\2 -> ",
     "Equivalent: a run ends with its own length wherever the row does."),
    (r"sign: .*peel = .*SK( \[\+ -> -\] \(-63\)| \+ \(\[- -> \]63\))",
     "Equivalent: the diagonal of the first row of a tile, which is inside, ends the loop without masks at SK - 63 or before, without being told."),
    (r"sign: .*bound = minimum<index_t>\(maximum<index_t>\(SK( \[- -> \+\] j2| - j2, \[- -> \]2147483648)|"
     r"(compare|sign): .*\[(< -> <=|\+ -> -)\].*\(i32\)bound\) & le",
     "Equivalent: it lets through keys past the last one only, which the diagonal keeps from every row that is stored."),
    (r"sign: .*\(\(mul \[\+ -> -\] SK\)",
     "Equivalent: the loop without masks has no trip then, and the one with masks does them all."),
    (r"guard: .*\[within\(g, G\) -> true\]",
     "Equivalent: H is a multiple of G, so that a head is always inside."),
    (r"offset: .*Run\{0, \[64 -> 65\]\}",
     "Equivalent: a tile that is told of a row or column more than it has is not taken for a whole one, and goes element by element."),
    (r"offset: .*: Run\{(\[0 -> 1\], 0|0, \[0 -> 1\])\}",
     "Equivalent: H is a multiple of G, so that a head is always inside and the other run is never taken."),
    (r"offset: .*index_t last = .*(\[1 -> 2\]|\[128 -> 129\])|sign: .*index_t last = .*SK \[- -> \+\] SQ|"
     r"compare: for \(index_t j2 = .*left_j2 \[> -> >=\] 0",
     "Equivalent: trips past the diagonal weigh nothing."),
    (r"guard: if \(\[left_(k|d|j2) > [01] -> true\]\)|compare: if \(left_(k|d|j2) \[> -> >=\] [01]\)|"
     r"(guard|compare): if \(\[?[kj]2? (< |\[< -> <=\] )(K|last)\b",
     "Equivalent: a load past the last trip goes to a slot that no one reads, and past the end of a tensor brings zeros; the condition saves work."),
    (r"worker: const i32 at\d+ = worker / 64 \* 32 \+ worker % \[16 -> 32\]",
     "Equivalent: of the workers that share a row the first 16 of a wave store it, whose digit above is 0."),
    (r"offset: .*(peel = |- SQ\) ).*-\[6[23] -> 6[34]\]",
     "Equivalent: the loop without masks ends a trip earlier at most, and the one with masks does that trip."),
    (r"compare: for \(index_t k = 0; k \[< -> <=\] K",
     "Equivalent: one trip more brings zeros for centroids, and infinity for their squares, which is never the least."),
    (r"guard: if \(\[0 < [KD] -> true\]\) \{|compare: if \(0 \[< -> <=\] [KD]\) \{",
     "Equivalent: without a trip the code below waits for nothing and gives back nothing."),
    (r"transpose: (copy_tile|keep|keep_turned)<\d+, ?\d+>\(Operand<\w+,\[|transpose: keep<8>\(Operand<\w+,\[|transpose: .*\}, Operand<\w+,\[",
     "Equivalent: the extents of an operand are read where products take single elements; copies do not read them, nor products of whole fragments "
     "but for the left operand's depth."),
    (r"transpose: fetch<\d+>\(\w+, Window<const \w+,\[",
     "Equivalent: no part of a tensor fills a window of these extents, so each goes element by element, between the same ends."),
    (r"delete: \[ring_drain",
     "Equivalent: the slot kept for the product under way is given back a trip later, by the next loop's first release; the drain only lets its "
     "copy begin earlier."),
    (r"offset: const index_t programs = floor_div<index_t>\((N|SQ) \+ \[127 -> 128\], 128\)(;| \* H \* B;)",
     "Equivalent: a program more lies wholly outside the tensor; its loads bring zeros, its stores nothing."),
    (r"worker: const i32 at\d+ = worker % \[64 -> 128\]",
     "Equivalent: only workers below 64 load the row, so that the digit above is 0."),
    (r"(loop|drop): .*trips\d*\[e0\] = 0",
     "Equivalent: where no score was less than infinity the guard of `who` takes 0 whatever the trip is."),
    (r"guard: .*who\[e0\] = select",
     "Equivalent: where nothing is less than infinity all trips are 0, and so is the lowest column."),
    (r"(guard|compare): .*best\[e0\] = select",
     "Equivalent: the least of the scores is at most infinity, and infinity is what is taken otherwise."),
    (r"compare: .*slots\[e0\] = select<f32>\(s\d* \[< -> <=\]",
     "Equivalent: of two equal scores it does not matter which is kept."),
    (r"offset: const Shared<f32> c_squared_tile = shared_at",
     "Equivalent: a place for one use, moved within bytes that nothing else has at that time."),
)

HEAD = """# Mutation tests of generated GPU source

Written by `python tests/mutation.py`, which makes one change at a time to the text of a kernel's function, as it is generated for a target, compiles
it against the emulator and calls it on several sets of inputs in the modes late, early, random:1 and random:2. A mutant is caught if the emulator finds
something, if a result is further from numpy's than the kernel's documentation allows, if bytes beside an output change, if it does not end, or if it
does not compile. `pytest -m long tests/test_mutation.py` makes them all again, and wants the survivors to be those listed here, each for a reason. A
change that cannot matter is equivalent, which a reason shows; the share of what is caught is given of all, and of those not shown to be equivalent, of
which 95% is the least that passes.

delete: a synchronisation left out. weaken: a wait for fewer, a release earlier. phase: the other slot or parity. drop: another statement left out.
offset, worker, stride, digit: a constant, a digit of the worker's number, the stride of another dimension, quotient for rest. sign, compare, loop, guard:
+ for -, < for <=, a trip less or a longer step, a condition always true or a bound one further. transpose, exchange, swizzle, reduce: two numbers of a
template or two arguments exchanged, a parameter of a swizzle on one side, a reduction across workers left out or halved.

Not changed: headers, the launcher, what steers only the compiler or the speed (order_fence, wgmma_hold, priority, registers_claim, tensor_prefetch), bounds
at the ends of i32 and i64. Of statements that are alike but for the numbers of names (a loop's body for its last trips) all have their synchronisation,
guards, swizzles and template numbers changed, the last one the rest.

| kernel | target | mutants | caught | of all | of those not equivalent | by the emulator | by values | otherwise | survivors |
|---|---|---|---|---|---|---|---|---|---|"""

GPU = Document(DOCS / "mutations.md", HEAD, REASONS)
