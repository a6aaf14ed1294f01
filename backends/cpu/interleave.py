"""Maps over elements that take turns in memory, as every fourth or eighth: blocks of them are taken apart, and put together again, by shuffles."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dslc.ir import Op, Value
from dslc.render import Scope

from .nests import Nest, Strides, element

LANES = 8           # as interleave and deinterleave in tile_memory.h have it
WAYS = (4, 8)       # what they are written for; two ways, compilers do as well by themselves
BITS = 32


@dataclass(frozen=True)
class Turns:
    """Places that lie one element apart and are walked `ways` elements at a time, in this order; `name` is the block of memory that holds them meanwhile."""

    name: str
    members: tuple[int, ...]
    first: str
    type: str
    beside: list[str]       # where results will be written later: fetched meanwhile, since a write to memory waits for its line as a read does

    def element(self, member: int, lane: str) -> str:
        return f"{self.name}[{self.members.index(member)}][{lane}]"


def turns(op: Op, n: Nest, places: Sequence[Value], strides: Sequence[Strides], scope: Scope) -> list[Turns]:
    """The groups among the places of a map, which are numbered as `places` are; empty if some place walked in such steps has no complete group, or if the
    elements along the innermost loop are no whole blocks.
    """
    if not n.groups or any(o.name == "coordinate" for o in op.bodies[0].ops):
        return []
    axis, extent = n.groups[-1][-1], 1
    for a in n.groups[-1]:
        extent *= n.shape[a]
    found: dict[Any, list[int]] = {}
    for number, (v, s) in enumerate(zip(places, strides, strict=True)):
        step, place = s[axis], v.tile.place
        if isinstance(step, int) and step <= 1:
            continue
        if step not in WAYS or v.tile.dtype.bits != BITS or v in scope.notes["row"] or place is None or place.offset is None or extent % LANES:
            return []
        at = place.offset // v.tile.dtype.bytes
        found.setdefault((step, at // step, place.space, v.tile.dtype.name, tuple(n.terms(s)), v in op.into), []).append(number)
    made = []
    for (step, *_), numbers in found.items():
        members = sorted(numbers, key=lambda m: places[m].tile.place.offset)  # type: ignore[union-attr, return-value, arg-type]
        if len({places[m].tile.place.offset for m in members}) != step or len(members) != step:  # type: ignore[union-attr]
            return []
        first = places[members[0]]
        terms = n.terms(strides[members[0]])
        beside = ["&" + element(p, terms) for p in scope.notes["beside"].get(scope.name(first), [])]
        made.append(Turns(scope.fresh("turns"), tuple(members), "&" + element(scope.name(first), terms), scope.type(first.tile.dtype), beside))
    return made
