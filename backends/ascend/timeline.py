"""What an emulated run recorded, as a file: JSON for a trace viewer (chrome://tracing, Perfetto), or an SVG with a row for each pipe of each core.

A trace is {"unit": "cycles", "events": rows}; a row is [core, pipe, name, start, end, line of the generated source], core being "AIC3" or
"AIV3.1".  The emulator's clock counts by documented rates and is no measurement: what counts is what runs beside what.
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from dslc.errors import DslError, check

# Colours that stay apart for most kinds of colour blindness (Okabe and Ito), by pipe, in the order of rows.
COLOURS = {"MTE2": "#0072B2", "MTE1": "#56B4E9", "M": "#D55E00", "FIX": "#CC79A7", "V": "#009E73", "MTE3": "#E69F00", "S": "#999999"}
_ORDER = {pipe: n for n, pipe in enumerate(COLOURS)}
_LEFT, _WIDTH, _ROW, _GAP, _TOP = 110, 1100, 14, 8, 46       # pixels
_MOST_CORES, _MOST_EVENTS = 6, 20_000                        # of a drawing: beyond them nobody sees anything


class Event(NamedTuple):
    """One instruction of one pipe."""

    core: str
    pipe: str
    name: str
    start: float
    end: float
    line: int = 0


def events(trace: Any) -> list[Event]:
    """The rows of a trace, sorted by core (a core's cube before its vector cores), pipe and time.  DslError where there are none."""
    rows = trace.get("events", ()) if isinstance(trace, Mapping) else trace or ()
    found = [Event(**{k: row[k] for k in Event._fields if k in row}) if isinstance(row, Mapping) else Event(*row[:6]) for row in rows]
    check(found, "the run recorded no trace", hint="every block may have been empty; only emulated runs record one")
    return sorted(found, key=lambda e: (_core(e.core), _ORDER.get(e.pipe, 99), e.start))


def _core(name: str) -> tuple[int, str, int]:
    match = re.fullmatch(r"([A-Z]+)(\d+)(?:\.(\d+))?", name)
    return (int(match[2]), match[1], int(match[3] or 0)) if match else (1 << 30, name, 0)


def draw(trace: Any, suffix: str) -> str:
    """The trace as the text of a file with this suffix, .json or .svg."""
    if suffix == ".json":
        return chrome(trace)
    if suffix == ".svg":
        return svg(trace)
    raise DslError(f"a trace is written as .json or .svg, not {suffix or 'a file without a suffix'!r}")


def chrome(trace: Any) -> str:
    """Trace Event Format: a process for each core, a thread for each pipe, complete events; a cycle is a microsecond there."""
    rows = events(trace)
    cores = list(dict.fromkeys(e.core for e in rows))
    out: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "pid": n, "args": {"name": core}} for n, core in enumerate(cores)]
    out += [{"ph": "M", "name": "process_sort_index", "pid": n, "args": {"sort_index": n}} for n in range(len(cores))]
    out += [{"ph": "M", "name": "thread_name", "pid": cores.index(core), "tid": _ORDER.get(pipe, 99), "args": {"name": pipe}}
            for core, pipe in dict.fromkeys((e.core, e.pipe) for e in rows)]
    out += [{"ph": "X", "name": e.name, "cat": e.pipe, "pid": cores.index(e.core), "tid": _ORDER.get(e.pipe, 99), "ts": e.start, "dur": e.end - e.start,
             "args": {"line": e.line}} for e in rows]
    return json.dumps({"traceEvents": out, "displayTimeUnit": "ns", "otherData": {"clock": "cycles of the emulator, one shown as one microsecond"}}) + "\n"


def overlap(rows: Sequence[Event], one: str, other: str) -> float:
    """Time in which an instruction of `one` and one of `other` (a pipe, "M", or a unit, "AIC") run at once, as a part of the time of the one that has less."""
    busy = [_union([(e.start, e.end) for e in rows if what in (e.pipe, e.core[:3])]) for what in (one, other)]
    both = sum(max(0.0, min(b, d) - max(a, c)) for a, b in busy[0] for c, d in busy[1])
    least = min(sum(b - a for a, b in spans) for spans in busy)
    return both / least if least else 0.0


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def svg(trace: Any) -> str:
    """The first cores of a trace, a row for each pipe, coloured by pipe, each instruction's name and line in its tooltip, with legend and busy times."""
    rows = events(trace)
    cores = list(dict.fromkeys(e.core for e in rows))
    shown = [e for e in rows if e.core in cores[:_MOST_CORES]][:_MOST_EVENTS]
    first, last = min(e.start for e in shown), max(e.end for e in shown)
    scale = _WIDTH / ((last - first) or 1)
    lanes = list(dict.fromkeys((e.core, e.pipe) for e in shown))
    at: dict[tuple[str, str], int] = {}
    y = _TOP
    for n, lane in enumerate(lanes):
        y += _GAP if n and lanes[n - 1][0] != lane[0] else 0
        at[lane] = y
        y += _ROW
    height, width = y + 34, _LEFT + _WIDTH + 70
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>', *_legend(shown)]
    for core, pipe in lanes:
        top, mine = at[core, pipe], [e for e in shown if (e.core, e.pipe) == (core, pipe)]
        heads = next(lane for lane in lanes if lane[0] == core)[1] == pipe
        out += [f'<text x="6" y="{top + 11}" font-weight="bold">{escape(core)}</text>'] if heads else []
        out.append(f'<text x="{_LEFT - 6}" y="{top + 11}" text-anchor="end" fill="#555">{escape(pipe)}</text>')
        out.append(f'<rect x="{_LEFT}" y="{top + 1}" width="{_WIDTH}" height="{_ROW - 2}" fill="#f3f3f3"/>')
        for e in mine:
            x, w = _LEFT + (e.start - first) * scale, max((e.end - e.start) * scale, 0.6)
            out.append(f'<rect x="{x:.2f}" y="{top + 1}" width="{w:.2f}" height="{_ROW - 2}" fill="{COLOURS.get(pipe, "#444")}">'
                       f'<title>{escape(e.name)}{f", line {e.line}" if e.line else ""}: {e.start:g} to {e.end:g}</title></rect>')
        busy = sum(b - a for a, b in _union([(e.start, e.end) for e in mine])) / ((last - first) or 1)
        out.append(f'<text x="{_LEFT + _WIDTH + 6}" y="{top + 11}" fill="#555">{100 * busy:.0f} %</text>')
    out += _axis(first, last, y, scale)
    if len(cores) > _MOST_CORES:
        out.append(f'<text x="{_LEFT}" y="{height - 4}" fill="#555">{len(cores) - _MOST_CORES} more cores are not drawn</text>')
    return "\n".join((*out, "</svg>")) + "\n"


def _legend(rows: Sequence[Event]) -> list[str]:
    out = [f'<text x="{_LEFT}" y="16" font-size="13">emulated: cycles by documented rates, not measured</text>']
    present = [p for p in COLOURS if any(e.pipe == p for e in rows)]
    for n, pipe in enumerate(present):
        x = _LEFT + 80 * n
        out += [f'<rect x="{x}" y="24" width="12" height="12" fill="{COLOURS[pipe]}"/>', f'<text x="{x + 16}" y="34">{pipe}</text>']
    return out


def _axis(first: float, last: float, y: int, scale: float) -> list[str]:
    """Ticks at round numbers of cycles, five to ten of them."""
    span = (last - first) or 1
    step = next(s for e in range(12) for s in (10 ** e, 2 * 10 ** e, 5 * 10 ** e) if span / s <= 10)
    out = [f'<line x1="{_LEFT}" y1="{y + 2}" x2="{_LEFT + _WIDTH}" y2="{y + 2}" stroke="#888"/>']
    for n in range(int(-(-first // step)), int(last // step) + 1):
        x = _LEFT + (n * step - first) * scale
        out += [f'<line x1="{x:.1f}" y1="{y + 2}" x2="{x:.1f}" y2="{y + 6}" stroke="#888"/>',
                f'<text x="{x:.1f}" y="{y + 17}" text-anchor="middle" fill="#555">{n * step}</text>']
    return out
