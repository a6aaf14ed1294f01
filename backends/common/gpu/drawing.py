"""A tile's layout as an SVG picture: one cell for each element, coloured and labelled by where it lives."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from dslc.errors import DslError
from dslc.ir import Kernel, Op, Value, walk
from dslc.text import names_of

from .layouts import Array, addresses, cover, held, memory_cover, slab_addresses, vector_of_memory, vector_of_spread
from .spread import Spread
from .tiles import Axes, is_shared, owners

MOST = 128              # rows and columns that are drawn
WRAP = 32               # cells in a line of a tile of one axis
FONT, LETTER = 11, 6.7  # pixels: height of a label, and width of one of its letters in a font of equal widths
HIGH, MARGIN = 18, 12   # pixels: height of a cell, and of what surrounds the picture
# The eight colours of Okabe and Ito, which colour-blind readers can tell apart ("Color Universal Design", 2008), black as grey.
HUES = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167), (128, 128, 128))
SHADES = 4              # of each, from light to less light: dark text stays readable on all
TEXT, FAINT = "#111111", "#555555"


@dataclass(frozen=True)
class _Picture:
    """Cells by row and column: a label and a colour (hue, shade) each; what the axes are, words above, and a key of (hue, meaning)."""

    labels: list[list[str]]
    colours: list[list[tuple[int, int]]]
    rows: Sequence[str]
    columns: Sequence[str]
    axes: str
    words: list[str]
    key: list[tuple[int, str]]


def draw(kernel: Kernel, tile: str, banks: int) -> str:
    """The picture of the tile that the kernel's text calls by this name; DslError, naming the nearest, if there is none.

    banks: of 4 bytes each, by which cells of a shared place are coloured.
    """
    names = names_of(kernel)
    places = {names[v]: v for v in owners(kernel)}
    if tile not in places:
        near = get_close_matches(tile, places, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise DslError(f"{kernel.name} has no tile {tile!r} with a layout", hint=f"{hint}tiles: {', '.join(places) or 'none'}")
    v = places[tile]
    of = next(op for op in walk(kernel.body) if v in op.results)
    shape, home = " x ".join(map(str, v.tile.shape)), owners(kernel)[v].place
    slab = next(op.attr("slab") for op in walk(kernel.body) if op.name == "alloc" and op.result is home)
    head = [f"{tile}: {v.tile.dtype} {shape} in {kernel.name} for {kernel.attr('architecture') or 'any architecture'}", _source(of)]
    return _svg(_shared(v, head, banks, slab) if is_shared(v) else _spread(v, head, kernel))


def _source(op: Op) -> str:
    """The kernel's line that the tile comes from."""
    return f"{Path(op.loc.file).name}:{op.loc.line}: {op.loc.text.strip()}" if op.loc else "of no line of the kernel"


# ---------------------------------------------------------------- what is drawn
def _shown(shape: Sequence[int], words: list[str]) -> tuple[list[Array], list[str], list[str], str]:
    """The elements that are drawn, as an index array (rows, columns) for each axis, -1 where there is none; labels of both sides, and what they say."""
    if len(shape) == 1:
        n = min(shape[0], MOST * WRAP)
        if n < shape[0]:
            words.append(f"the first {n} of {shape[0]} elements are drawn")
        line = np.arange(-(-n // WRAP) * WRAP).reshape(-1, WRAP) if n > WRAP else np.arange(n)[None]
        starts = [str(r) for r in line[:, 0].tolist()]
        return [np.where(line < n, line, -1)], starts, [f"+{c}" for c in range(line.shape[1])], "axis 0, line by line"
    rows, columns = (min(n, MOST) for n in shape[-2:])
    if (rows, columns) != tuple(shape[-2:]):
        words.append(f"the first {rows} x {columns} of {shape[-2]} x {shape[-1]} elements are drawn")
    if len(shape) > 2:
        words.append(f"the last two axes are drawn, at index 0 of the other {len(shape) - 2}")
    grid = np.indices((rows, columns))
    rank = len(shape)
    index = [np.zeros((rows, columns), np.int64)] * (rank - 2) + [grid[0], grid[1]]
    return index, list(map(str, range(rows))), list(map(str, range(columns))), f"axis {rank - 2} down, axis {rank - 1} across"


def _shared(v: Value, head: list[str], banks: int, slab: int | None) -> _Picture:
    """Coloured by bank, so that a column of one colour is a column of one bank."""
    place = v.tile.place
    assert place is not None
    known, holds = memory_cover(v.tile), vector_of_memory(v.tile)
    words = [*head, str(place) if place.layout.strides or place.layout.swizzle else f"{place}, row by row"]
    if place.layout.swizzle:
        bits, base, shift = place.layout.swizzle
        words.append(f"swizzle: bits {base + shift} to {base + shift + bits - 1} of the element's offset are xored into bits {base} to {base + bits - 1}")
    words.append(f"{v.tile.bytes} bytes, {known.padding * v.tile.dtype.bytes} of padding; vectors of {holds} along the last axis"
                 + ("" if known.bijective else f"; {known.clashes} elements share an address"))
    if slab:
        words.append(f"slabs of {slab} elements along the contiguous axis, one after the other")
    words.append(f"cell: byte offset in the tile, which starts at {place.offset if place.offset is not None else 'an address not yet chosen'}")
    index, rows, columns, axes = _shown(v.tile.shape, words)
    there = [np.maximum(i, 0) for i in index]
    at = slab_addresses(v.tile, there, slab) if slab else addresses(v.tile, there)
    bank, exists = at // 4 % banks, index[-1] >= 0
    labels = np.where(exists, (at - (place.offset or 0)).astype(str), "").tolist()
    return _Picture(labels, _colours(bank * len(HUES) // banks, bank * len(HUES) * SHADES // banks % SHADES), rows, columns, axes, words,
                    [(n, f"banks {n * banks // len(HUES)} to {(n + 1) * banks // len(HUES) - 1}") for n in range(len(HUES))])


def _spread(v: Value, head: list[str], kernel: Kernel) -> _Picture:
    """Coloured by warp where there are several, a quarter of each in one shade; else by worker."""
    spread, lanes = _spread_of(v, kernel), kernel.attr("lanes") or 1
    shape = tuple(n if axis else 1 for n, axis in zip(v.tile.shape, spread.axes, strict=True))       # a repeated axis has no digits
    known, run = cover(spread, shape), vector_of_spread(spread, shape)
    words = [*head, f"{v.tile.place.space if v.tile.place else 'register'} {spread}",
             f"{spread.workers} workers, {spread.slots} slots each; runs of {run} slots along the last axis; each element in {known.copies} workers"
             + (f", whose numbers differ in the bits of {spread.replica_mask:#x}" if known.copies > 1 else ""),
             f"cell: {'first ' * (known.copies > 1)}worker/slot"]
    index, rows, columns, axes = _shown(v.tile.shape, words)
    worker, slot = held(spread, shape)
    where = tuple(np.minimum(np.maximum(i, 0), n - 1) for i, n in zip(index, shape, strict=True))
    worker, slot, exists = worker[where], slot[where], index[-1] >= 0
    text = np.char.add(np.char.add(worker.astype(str), "/"), slot.astype(str))
    several = spread.workers > lanes
    hue = worker // lanes % len(HUES) if several else worker % len(HUES)
    shade = worker % lanes * SHADES // lanes if several else worker // len(HUES) % SHADES
    what, count = ("warp", -(-spread.workers // lanes)) if several else ("worker", spread.workers)
    key = [(n, f"{what} {n}" + (", .." if count > n + len(HUES) else "")) for n in range(min(count, len(HUES)))]
    return _Picture(np.where(exists, text, "").tolist(), _colours(hue, shade), rows, columns, axes, words, key)


def _spread_of(v: Value, kernel: Kernel) -> Spread:
    """A place's spread, or a view's: that of its owner, axes in the view's order."""
    owner = owners(kernel)[v]
    made = next(op for op in walk(kernel.body) if op.name == "alloc" and op.result is owner.place)
    axes: Axes | None = owner.views[v]
    if axes is None or made.attr("spread") is None:
        raise DslError(f"{v.name} is a view that no spread describes", hint=f"draw {owner.place.name}, which it is a view of")
    return Spread.parse(made.attr("spread")).permuted(axes)


def _colours(hue: Array, shade: Array) -> list[list[tuple[int, int]]]:
    return [list(zip(h, s, strict=True)) for h, s in zip(hue.tolist(), shade.tolist(), strict=True)]


# ---------------------------------------------------------------- SVG
def _rgb(hue: int, shade: int) -> str:
    """A tint: the hue in 25 to 70 parts of a hundred, the rest white."""
    part = 0.25 + 0.15 * shade
    return "#" + "".join(f"{round(255 - (255 - c) * part):02x}" for c in HUES[hue])


def _text(x: float, y: float, words: str, extra: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}"{extra}>{escape(words)}</text>'


def _svg(p: _Picture) -> str:
    """The whole picture.  Neighbours of one colour are one rectangle; lines between cells are one path."""
    rows, columns = len(p.labels), len(p.labels[0])
    wide = round(LETTER * (max(len(t) for line in (*p.labels, list(p.columns)) for t in line) + 1))
    left = round(LETTER * (max(map(len, p.rows)) + 1)) + MARGIN + FONT
    key_top = MARGIN + HIGH * (len(p.words) + 1)
    top = key_top + HIGH * 4 + 6
    key_wide = round(LETTER * (max((len(t) for _, t in p.key), default=0) + 2)) + SHADES * 14
    width = max(left + columns * wide, left + round(LETTER * 1.05 * max(map(len, p.words))), left + key_wide * 4) + MARGIN
    height = top + rows * HIGH + MARGIN
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
             f"<title>{escape(p.words[0])}</title>", f'<rect x="0" y="0" width="{width}" height="{height}" fill="#ffffff"/>',
             f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{FONT}" fill="{TEXT}">']
    lines += [_text(MARGIN, MARGIN + HIGH * (n + 0.7), t, ' font-weight="bold"' if n == 0 else "") for n, t in enumerate(p.words)]
    lines += _key(p.key, key_top, key_wide)
    lines.append(_text(left, top - HIGH - 5, p.axes, f' fill="{FAINT}"'))
    lines += _fills(p.colours, p.labels, left, top, wide)
    grid = "".join(f"M{left} {top + r * HIGH}h{columns * wide}" for r in range(rows + 1))
    grid += "".join(f"M{left + c * wide} {top}v{rows * HIGH}" for c in range(columns + 1))
    lines += [f'<path d="{grid}" stroke="#ffffff" stroke-width="1" fill="none"/>', '<g text-anchor="middle">']
    lines += [_text(left + (c + 0.5) * wide, top - 5, t, f' fill="{FAINT}"') for c, t in enumerate(p.columns)]
    lines += [_text(left + (c + 0.5) * wide, top + (r + 0.7) * HIGH, t) for r, line in enumerate(p.labels) for c, t in enumerate(line) if t]
    lines += ["</g>", '<g text-anchor="end">', *(_text(left - 5, top + (r + 0.7) * HIGH, t, f' fill="{FAINT}"') for r, t in enumerate(p.rows)), "</g>"]
    return "\n".join([*lines, "</g>", "</svg>"])


def _key(key: Iterable[tuple[int, str]], top: int, wide: int) -> list[str]:
    """Four entries to a line: the hue in all its shades, and what it stands for."""
    lines = []
    for n, (hue, meaning) in enumerate(key):
        x, y = MARGIN + n % 4 * wide, top + n // 4 * HIGH
        lines += [f'<rect x="{x + s * 14}" y="{y}" width="14" height="12" fill="{_rgb(hue, s)}"/>' for s in range(SHADES)]
        lines.append(_text(x + SHADES * 14 + 5, y + 10, meaning))
    return lines


def _fills(colours: list[list[tuple[int, int]]], labels: list[list[str]], left: int, top: int, wide: int) -> list[str]:
    """The cells' colours; a cell without a label stays white."""
    lines = []
    for r, line in enumerate(colours):
        shown = [colour if label else None for colour, label in zip(line, labels[r], strict=True)]
        start = 0
        for c in range(1, len(shown) + 1):
            if c < len(shown) and shown[c] == shown[start]:
                continue
            colour = shown[start]
            if colour is not None:
                lines.append(f'<rect x="{left + start * wide}" y="{top + r * HIGH}" width="{(c - start) * wide}" height="{HIGH}" fill="{_rgb(*colour)}"/>')
            start = c
    return lines
