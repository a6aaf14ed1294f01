"""From runs to figures: medians, quartiles, ratios, bars."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from .case import Bar
from .contest import Entry, Result
from .peers import LIMITS


@dataclass(frozen=True)
class Figure:
    """Seconds of one contestant: the median, the quartiles, the least."""

    median: float
    low: float
    high: float
    least: float
    runs: int


def figure(runs: Sequence[float]) -> Figure | None:
    """None without runs."""
    if not runs:
        return None
    low, _, high = quantiles(runs, n=4, method="inclusive") if len(runs) > 1 else (runs[0],) * 3
    return Figure(median(runs), low, high, min(runs), len(runs))


def limit(result: Result) -> float | None:
    """The least seconds that the limits measured in the same rounds allow: the longest of them."""
    found = [median(e.runs) for n, e in result.entries.items() if n.startswith(LIMITS) and e.runs]
    return max(found) if found else None


def agrees(result: Result, entry: Entry) -> bool:
    """Whether a contestant's result is ours, as far as two right ones agree; a contestant that says how it differs is not asked."""
    return entry.difference is None or bool(entry.note) or entry.difference <= result.case.tolerance()


@dataclass(frozen=True)
class Verdict:
    """A bar and what became of it.  ratio: the best peer's median over ours, None where it cannot be told, for the reason in `said`."""

    bar: Bar
    best: str
    ratio: float | None
    said: str
    least: float | None = None                              # the same ratio of the least times, which other work disturbs less

    @property
    def text(self) -> str:
        what = "limit" if self.bar.against == (LIMITS,) else self.best or " ".join(self.bar.against)
        asked = f"{'stretch' if self.bar.stretch else 'bar'} {self.bar.ratio:.2f} x {what}"
        if self.ratio is None:
            return f"{asked}, {self.said}"
        return f"{asked}, ours {self.ratio:.2f}, {self.said}" + (f" (of least times {self.least:.2f})" if self.least else "")


def verdict(result: Result, bar: Bar) -> Verdict:
    """Judge one bar of a measured case by medians."""
    entry = result.entries.get(result.case.ours)
    ours = figure(entry.runs) if entry else None
    if bar.against == (LIMITS,):
        least = limit(result)
        there = {LIMITS: least} if least is not None else {}
    else:
        there = {n: median(result.entries[n].runs) for n in bar.against if n in result.entries and result.entries[n].runs}
    best = min(there, key=lambda n: there[n]) if there else ""
    if ours is None:
        return Verdict(bar, best, None, (entry.missing if entry else "") or "not measured")
    if not best:
        return Verdict(bar, best, None, "no peer here")
    ratio = there[best] / ours.median
    quickest = min(min(result.entries[n].runs) for n in there) / ours.least if LIMITS not in there else None
    return Verdict(bar, best, ratio, "met" if ratio >= bar.ratio else "missed", quickest)


def verdicts(result: Result) -> tuple[Verdict, ...]:
    return tuple(verdict(result, bar) for bar in result.case.bars)
