"""The search for a kernel's constants on this machine: neighbours of the best so far, measured in turn with it, until nothing is better or time is up."""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from dslc.dims import dim_names
from dslc.errors import DslError, check
from dslc.kernels.gemm import tile_sizes
from dslc.runtime.kernel import TileKernel
from dslc.runtime.schedules import Rule, rules_of, to_json
from dslc.runtime.trial import Setup, judge, threads
from dslc.schedule import Schedule

Constants = dict[str, int]
LARGEST = 4096           # of a constant: tiles beyond it fit no cache
TURNS = 5                # of a candidate and of the best so far
LAST_TURNS = 15          # of the best and the default, for the table
BETTER = 0.98            # a candidate must take at most this part of the best so far, which is more than the drift of a quiet machine
# Where host functions choose constants themselves, their choice is the default to beat.
STARTS: Mapping[str, Callable[[Mapping[str, Any]], Constants]] = {"gemm": lambda n: dict(tile_sizes(n["M"], n["N"], n["K"], threads()))}


@dataclass(frozen=True)
class Tried:
    """A set of constants and the median of its runs, or why it has none."""

    constants: Constants
    seconds: float = float("inf")
    refused: str = ""


@dataclass(frozen=True)
class Tuned:
    """What a search found: the default and the best, measured in turn at the end, and everything tried."""

    default: Tried
    best: Tried
    tried: tuple[Tried, ...]
    seconds: float


def searched(kernel: TileKernel, s: Setup) -> Constants:
    """The constants that may be searched, with where the search starts: whole numbers that are neither given nor an extent of a tensor."""
    defaults = kernel.definition.defaults
    extents = {n for a in kernel.annotations.values() for d in a.dims or () for n in dim_names(d)}
    free = {n: defaults[n] for n in kernel.definition.consts if type(defaults.get(n)) is int and n not in s.named and n not in extents and defaults[n] > 0}
    start = STARTS[kernel.__name__](s.numbers) if kernel.__name__ in STARTS else {}
    return {**free, **{n: v for n, v in start.items() if n in free}}


def neighbours(at: Constants) -> Iterator[Constants]:
    """Each constant doubled and halved, then two at once, one up and one down."""
    def moved(name: str, up: bool, base: Constants) -> Constants:
        return {**base, name: base[name] * 2 if up else max(base[name] // 2, 1)}
    for name in at:
        for up in (True, False):
            yield moved(name, up, at)
    for one in at:
        for other in at:
            if one != other:
                yield moved(other, False, moved(one, True, at))


def seconds_of(calls: list[Callable[[], Any]], turns: int) -> list[float]:
    """Medians of the calls, run by run in turn."""
    rows: list[list[float]] = [[] for _ in calls]
    for _ in range(turns):
        for row, call in zip(rows, calls, strict=True):
            start = perf_counter()
            call()
            row.append(perf_counter() - start)
    return [median(row) for row in rows]


def tune(kernel: TileKernel, s: Setup, target: str, seconds: float, tell: Callable[[str], None]) -> Tuned:
    """Search for `seconds`.  DslError if the kernel has no constant to search, or if the best computes something wrong."""
    start = searched(kernel, s)
    check(start, f"{kernel.__name__} has no constant to search", hint="constants with a whole number as default, which no tensor's extent is")
    got: dict[str, Any] = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in s.given.items()}

    def call(constants: Constants) -> Callable[[], Any]:
        return lambda: kernel(**{**got, **s.named, **constants, "target": target})

    begin, default = perf_counter(), Tried(start)
    call(start)()
    best, tried, seen = default, [default], {tuple(start.items())}
    improving = True
    while improving:
        improving = False
        for candidate in neighbours(best.constants):
            if perf_counter() - begin > seconds:
                break
            if tuple(candidate.items()) in seen or max(candidate.values()) > LARGEST:
                continue
            seen.add(tuple(candidate.items()))
            tell(f"{bar((perf_counter() - begin) / seconds)} {len(tried)} tried, best {said(best.constants)}; now {said(candidate)}")
            outcome, incumbent = compared(call, candidate, best)
            tried.append(outcome)
            if outcome.seconds < BETTER * incumbent:
                best, improving = outcome, True
                break
    check_right(kernel, s, best.constants, target)
    first, last = seconds_of([call(default.constants), call(best.constants)], LAST_TURNS)
    return Tuned(replace(default, seconds=first), replace(best, seconds=last), tuple(tried), perf_counter() - begin)


def compared(call: Callable[[Constants], Callable[[], Any]], candidate: Constants, best: Tried) -> tuple[Tried, float]:
    """The candidate, and the seconds of the best so far in the same turns; a candidate that does not compile is refused."""
    try:
        call(candidate)()
    except DslError as error:
        return Tried(candidate, refused=error.message), 0.0
    incumbent, seconds = seconds_of([call(best.constants), call(candidate)], TURNS)
    return Tried(candidate, seconds), incumbent


def check_right(kernel: TileKernel, s: Setup, constants: Constants, target: str) -> None:
    """DslError unless the kernel with these constants computes what its reference does, where it has one."""
    if s.example is None:
        return
    got = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in s.given.items()}
    kernel(**{**got, **s.named, **constants, "target": target})
    defaults = {n: v for n, v in kernel.definition.defaults.items() if n not in s.given}
    wrong = [v for n, e in s.example.reference({**defaults, **s.given, **s.numbers, **constants}, got).items() if (v := judge(n, got[n], e)).wrong]
    check(not wrong, f"{kernel.__name__} with {said(constants)} computes something else: {wrong[0].name}, {wrong[0].first}" if wrong else "")


def said(constants: Constants) -> str:
    return " ".join(f"{n}={v}" for n, v in constants.items())


def bar(part: float, width: int = 20) -> str:
    """[####....], filled to `part` of 1."""
    full = round(min(max(part, 0.0), 1.0) * width)
    return f"[{'#' * full}{'.' * (width - full)}]"


# ---------------------------------------------------------------- the file
def condition(kernel: TileKernel, s: Setup) -> str:
    """`when` of the schedule: these dimensions and dtypes, and no others."""
    names = [n for n in s.numbers if n not in kernel.definition.consts]
    return " and ".join([*(f"{n} == {s.numbers[n]}" for n in names), *(f"{v} == {d}" for v, d in s.dtypes.items())]) or "True"


def write(file: Path, kernel: TileKernel, s: Setup, target: str, best: Constants) -> dict[str, Any]:
    """Add the schedule to a file, in place of one for the same kernel, target and sizes; the row.  The file is replaced whole or not at all."""
    rows = json.loads(file.read_text()) if file.exists() else []
    rules_of(rows, file.name)
    rule = Rule(target, condition(kernel, s), Schedule.of({"consts": best}, "dslc tune"))
    row = to_json(f"{kernel.__module__}:{kernel.__name__}", rule)
    same = ("kernel", "target", "when")
    rows = [*(r for r in rows if any(r.get(k) != row[k] for k in same)), row]
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_text(json.dumps(rows, indent=1) + "\n")
    new.replace(file)
    return row
