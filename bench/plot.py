"""A drawing of measured cases as SVG, and as PNG where matplotlib is installed: for each case, how fast everyone is beside the limit."""
from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from html import escape
from importlib import import_module
from pathlib import Path

from dslc.errors import check

from .contest import Result
from .peers import LIMITS
from .verdict import figure, limit

Row = tuple[str, list[tuple[str, float]]]                    # a case, and for each contestant the part of the limit that it reaches
COLOURS = ("#1b6ca8", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#5c6b73", "#c06c3e", "#2e4057")
BAR, GAP, LEFT, WIDTH = 14, 14, 300, 620                     # pixels


def parts(results: Sequence[Result]) -> list[Row]:
    """What is drawn: 1 is the limit measured in the same rounds; without one, the fastest."""
    rows = []
    for r in results:
        medians = {n: f.median for n, e in r.entries.items() if not n.startswith(LIMITS) and (f := figure(e.runs))}
        whole = limit(r) or min(medians.values(), default=0.0)
        if medians:
            rows.append((r.case.label, [(n, whole / m) for n, m in medians.items()]))
    return rows


def svg(rows: Sequence[Row]) -> str:
    """Horizontal bars, one group for each case."""
    names = list(dict.fromkeys(n for _, found in rows for n, _ in found))
    colour = {n: COLOURS[i % len(COLOURS)] for i, n in enumerate(names)}
    top = max((p for _, found in rows for _, p in found), default=1.0)
    scale, y, out = WIDTH / max(top, 1.0), 50, []
    for label, found in rows:
        out.append(f'<text x="{LEFT - 8}" y="{y + BAR * len(found) / 2 + 4:.0f}" text-anchor="end">{escape(label)}</text>')
        for name, part in found:
            out.append(f'<rect x="{LEFT}" y="{y}" width="{part * scale:.1f}" height="{BAR - 2}" fill="{colour[name]}"/>')
            out.append(f'<text x="{LEFT + part * scale + 4:.1f}" y="{y + BAR - 4}" font-size="10">{escape(name)} {part:.2f}</text>')
            y += BAR
        y += GAP
    out.append(f'<line x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="40" y2="{y}" stroke="black" stroke-dasharray="4 3"/>')
    out.append(f'<text x="{LEFT + scale:.1f}" y="34" text-anchor="middle">limit</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 180}" height="{y + 20}" font-family="sans-serif" font-size="12">\n'
            '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(out) + "\n</svg>\n")


def write(results: Sequence[Result], file: str) -> None:
    """Draw to a file .svg, or to any that matplotlib knows.  DslError where it is not installed."""
    rows = parts(results)
    if Path(file).suffix == ".svg":
        Path(file).write_text(svg(rows))
        return
    check(importlib.util.find_spec("matplotlib") is not None, f"{file} is drawn by matplotlib, which is not installed", hint="a file .svg needs nothing")
    pyplot = import_module("matplotlib.pyplot")
    names = list(dict.fromkeys(n for _, found in rows for n, _ in found))
    drawing, axes = pyplot.subplots(figsize=(10, 1 + 0.16 * sum(len(found) + 1 for _, found in rows)))
    y, ticks = 0.0, []
    for label, found in rows:
        ticks.append((y + (len(found) - 1) / 2, label))
        for name, part in found:
            axes.barh(y, part, color=COLOURS[names.index(name) % len(COLOURS)], label=name)
            axes.text(part, y, f" {name} {part:.2f}", va="center", fontsize=7)
            y += 1
        y += 1
    axes.set_yticks([t for t, _ in ticks], [label for _, label in ticks], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linestyle="--", linewidth=0.8)
    axes.set_xlabel("part of the measured limit")
    drawing.savefig(file, bbox_inches="tight", dpi=120)
    pyplot.close(drawing)
