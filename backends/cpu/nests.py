"""Loop nests over places: which loops, in which order, and how an element is indexed in them."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dslc.ir import Body, Value
from dslc.render import INLINE, LAST, Scope, parenthesised
from dslc.types import TileType

LOOP_NAMES = tuple(f"e{n}" for n in range(10))             # outermost to innermost
AXIS_NAME = "e"                                             # the axis that a reduction or scan runs along
ELEMENT_NAME = "element"                                    # what one turn of a row's loop writes
LANE_NAME = "lane"                                          # an element of a block that is taken apart
Strides = Sequence[int | str]                               # elements, or the name of what holds them


@dataclass(frozen=True)
class Nest:
    """Loops over some axes of a shape.  `groups` are runs of axes that one loop covers, `names` the variable of each."""

    shape: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]

    def loops(self, vector: bool = True, step: int = 1) -> list[dict[str, Any]]:
        """What the template's `nest` takes; the innermost loop is marked for vectorisation, unless it goes in steps of several elements."""
        rows = []
        for group, name in zip(self.groups, self.names, strict=True):
            extent = 1
            for axis in group:
                extent *= self.shape[axis]
            rows.append({"index": name, "extent": extent, "vector": False, "step": 1})
        if rows:
            rows[-1] |= {"vector": vector and step == 1, "step": step}
        return rows

    def terms(self, strides: Strides) -> list[str]:
        """The summands of an offset, one for each loop that moves it."""
        return [term(name, strides[group[-1]]) for group, name in zip(self.groups, self.names, strict=True) if strides[group[-1]]]

    def coordinate(self, axis: int) -> str:
        """The index along an axis, which must have a loop of its own or an extent of 1."""
        return next((name for group, name in zip(self.groups, self.names, strict=True) if group == (axis,)), "0")


def nest(shape: Sequence[int], axes: Iterable[int], operands: Sequence[Strides], alone: Iterable[int] = (), inside: Nest | None = None) -> Nest:
    """Loops over `axes`: neighbours that every operand walks as one are one loop, axes of extent 1 are none.

    `alone` are axes whose index is needed by itself.  `inside` is the nest that this one will stand in.
    """
    lone = set(alone)
    groups: list[tuple[int, ...]] = []
    for axis in sorted(axes):
        if shape[axis] == 1:
            continue
        last = groups[-1][-1] if groups else None
        joined = last is not None and last not in lone and axis not in lone and all(shape[b] == 1 for b in range(last + 1, axis)) \
            and all(_runs_on(s[last], s[axis], shape[axis]) for s in operands)
        if joined:
            groups[-1] = (*groups[-1], axis)
        else:
            groups.append((axis,))
    start = len(inside.groups) if inside is not None else 0
    return Nest(tuple(shape), tuple(groups), LOOP_NAMES[start:start + len(groups)])


def _runs_on(outer: int | str, inner: int | str, extent: int) -> bool:
    """Whether an outer axis goes on where the inner one ends."""
    return isinstance(outer, int) and isinstance(inner, int) and outer == inner * extent


def term(name: str, stride: int | str) -> str:
    return name if stride == 1 else f"{name} * {stride}"


def spread(t: TileType, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a place that is broadcast to `shape`: 0 along repeated axes."""
    lead = len(shape) - len(t.shape)
    return (0,) * lead + tuple(0 if n == 1 else s for n, s in zip(t.shape, t.strides, strict=True))


def element(name: str, terms: Sequence[str]) -> str:
    """name[terms], in parentheses where the name is an expression."""
    return f"{parenthesised(name)}[{' + '.join(terms) or '0'}]"


def block(scope: Scope, body: Body, inputs: Sequence[str], coordinates: Sequence[str]) -> tuple[list[str], list[str]]:
    """The statements of a scalar body, and the expressions it yields.  Parameters read once are spelled where they are read.

    Several results all have names, to be computed before any is written: of two selections by one condition with a store between them g++ 12
    makes two branches, of which one stores nothing, so that it vectorises with masked stores and jumps over empty masks.  The update of an online
    argmin took 2.5 times as long on a Zen 3.
    """
    lines: list[str] = []

    def bind(v: Value, text: str, inline: bool) -> None:
        if inline:
            scope.inlined[v] = text
            return
        scope.inlined.pop(v, None)
        lines.append(scope.say("bind", scope.type(v.tile.dtype), scope.name(v), text))

    for p, text in zip(body.params, inputs, strict=True):
        bind(p, text, scope.uses.get(p, 0) <= 1)
    for op in body.ops[:-1]:
        if op.name == "coordinate":
            text = coordinates[op.attr("axis")]
            scope.inlined[op.result] = text if op.result.tile.dtype.name == "index" else f"({scope.type(op.result.tile.dtype)}){text}"
            continue
        text = scope.expression(op)
        limit = INLINE if op.result not in body.result else LAST if len(body.result) == 1 else 0
        bind(op.result, text, scope.uses.get(op.result, 0) <= 1 and len(text) <= limit)
    return lines, [scope.scalar(a) for a in body.result]
