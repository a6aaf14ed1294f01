"""Measured cases as text, and as data that can be read back."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from dslc.runtime.report import processor
from dslc.runtime.trial import PAUSE_SECONDS, compiler_of
from dslc.runtime.version import RELEASE

from .case import Case
from .contest import HIDDEN, MEMORY, THREADS, Entry, Result
from .peers import LIMITS, PEERS
from .verdict import agrees, figure, limit, verdicts

BUSY = 0.08              # of the processors' time: more than this for others makes a measurement doubtful
RULE = "{:18} {:>9} {:>21} {:>9} {:>9} {:>7} {:>6} {:>6}  {}"


def seconds(value: float) -> str:
    """A time with a unit that leaves one to three digits before the point."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}" if value * factor < 1000 else f"{value * factor:.0f} {unit}"
    return f"{value * 1e9:.3g} ns"


def lines(result: Result) -> Iterator[str]:
    """One case: a line for each contestant, the limits, the bars."""
    case, least, ours = result.case, limit(result), figure(result.entries[result.case.ours].runs)
    number = f", bar {case.row}" if case.row else ""
    yield f"{case.label}, {result.threads} thread{'s' if result.threads > 1 else ''}{number}"
    yield "  " + RULE.format("", "median", "quartiles", "least", "GFLOP/s", "GB/s", "limit", "ratio", "").rstrip()
    for name, entry in result.entries.items():
        f = figure(entry.runs)
        if f is None:
            yield f"  {name:18} {entry.missing or 'not measured'}"
            continue
        rate = f"{case.operations / f.median / 1e9:.1f}" if case.operations else ""
        traffic = f"{case.moved / f.median / 1e9:.1f}"
        part = f"{least / f.median:.2f}" if least is not None else ""
        ratio = f"{f.median / ours.median:.2f}" if ours is not None else ""
        is_limit = name.startswith(LIMITS)
        words = RULE.format(name, seconds(f.median), f"{seconds(f.low)} to {seconds(f.high)}", seconds(f.least), rate, traffic, "" if is_limit else part,
                            "" if is_limit else ratio, remarks(result, entry))
        yield f"  {words}".rstrip()
    for v in verdicts(result):
        yield f"  {v.text}"
    if result.others > BUSY:
        yield f"  others had {result.others:.0%} of the processors meanwhile: not to be trusted"


def remarks(result: Result, entry: Entry) -> str:
    """What must be known beside the time."""
    found = [entry.note] if entry.note else []
    if entry.packing_s:
        found.append(f"prepared in {seconds(entry.packing_s)}")
    if not agrees(result, entry):
        found.append(f"ANOTHER RESULT: differs by {entry.difference:.2g} of the root mean square")
    return "; ".join(found)


def summary(results: Sequence[Result]) -> Iterator[str]:
    """Every bar in one line."""
    judged = [(r, v) for r in results for v in verdicts(r) if not v.bar.stretch]
    if not judged:
        return
    yield "bars"
    width = max(len(r.case.label) for r, _ in judged)
    for r, v in judged:
        yield f"  {r.case.row:>2}  {r.case.label:{width}}  {v.text}"
    met = sum(v.said == "met" for _, v in judged)
    yield f"  {met} of {len(judged)} met"


# ---------------------------------------------------------------- data
def machine(threads: int) -> dict[str, Any]:
    """Device, versions, settings, commit."""
    row, (name, features) = compiler_of("cpu"), processor()
    here = Path(__file__).resolve().parent
    commit = subprocess.run(["git", "-C", str(here), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    return {"processor": name, "features": features, "processors": len(os.sched_getaffinity(0)), "threads": threads, "compiler": row["version"],
            "flags": row.get("flags", ""), "dslc": RELEASE, "commit": commit, "python": sys.version.split()[0], "date": time.strftime("%Y-%m-%d %H:%M"),
            "load": os.getloadavg()[0], "versions": versions(),
            "settings": {"removed": list(HIDDEN), "set": {**MEMORY, **dict.fromkeys(THREADS, str(threads))}, "pause_s": PAUSE_SECONDS}}


def versions() -> dict[str, str]:
    """Distributions of the peers that are installed."""
    found = {}
    for peer in PEERS.values():
        try:
            found[peer.distribution] = metadata.version(peer.distribution) if peer.distribution else ""
        except metadata.PackageNotFoundError:
            continue
    return {n: v for n, v in found.items() if v}


def header(about: Mapping[str, Any]) -> str:
    peers = ", ".join(f"{n} {v}" for n, v in about["versions"].items() if n != "dslc")
    return (f"{about['processor']}, {about['threads']} of {about['processors']} processors, load {about['load']:.1f}; {about['compiler']}; "
            f"commit {about['commit']}; {peers}")


def as_json(results: Sequence[Result], about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, the single runs too."""
    rows = []
    for r in results:
        entries = {n: {**asdict(e), "figure": asdict(f) if (f := figure(e.runs)) else None} for n, e in r.entries.items()}
        judged = [{"bar": asdict(v.bar), "best": v.best, "ratio": v.ratio, "said": v.said} for v in verdicts(r)]
        rows.append({"case": r.case.as_json(), "threads": r.threads, "others": r.others, "limit_s": limit(r), "entries": entries, "verdicts": judged})
    return {"machine": dict(about), "rows": rows}


def from_json(data: Mapping[str, Any]) -> list[Result]:
    """The results that `as_json` wrote."""
    found = []
    for row in data["rows"]:
        entries = {n: Entry(**{k: v for k, v in e.items() if k != "figure"}) for n, e in row["entries"].items()}
        found.append(Result(Case.from_json(row["case"]), row["threads"], entries, row["others"]))
    return found
