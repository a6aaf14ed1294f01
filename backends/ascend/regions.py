"""The shape of one unit's program for its synchronisation: bodies as regions of nodes, with edges between pipes."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dslc.ir import Op

from .accesses import SCRATCH, Access
from .memory import MEMORY_OPS

PIPES = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX")
Known = dict[str, dict[str, int]]                           # for each pipe the newest op of every pipe that it knows to be complete


@dataclass(eq=False)
class Node:
    """An op of a body, or a loop or branch of it with all that happens inside."""

    op: Op
    accesses: list[Access]
    inner: list[Region] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)        # of a branch's accesses: which body each is in

    @property
    def parallel(self) -> bool:
        """Whether its pipes work beside each other: a load's padding and its rows."""
        return (self.op.name in MEMORY_OPS or self.op.attr("side") == "take") and not any(a.place is SCRATCH for a in self.accesses)

    @property
    def settles(self) -> bool:
        """Whether the scalar unit waits until all of it is done: elements are stored one by one."""
        return self.op.name in MEMORY_OPS[1:] and any(a.place is SCRATCH for a in self.accesses)

    @property
    def waiting(self) -> set[str]:
        """Pipes that the op's own text has wait for themselves, so that all they did before is done."""
        return set() if self.inner else {a.pipe for a in self.accesses if a.late or a.settled}

    def pipes(self) -> list[str]:
        """Its pipes, in the order in which they start."""
        return list(dict.fromkeys(a.pipe for a in self.accesses))


@dataclass(frozen=True)
class Need:
    """A node's pipe must be complete before a later node's pipe starts."""

    source: int
    setter: str
    waiter: str
    distance: int


@dataclass(eq=False)
class Edge:
    """SetFlag after `source` in one trip, WaitFlag before `target` `distance` trips later."""

    source: int
    target: int
    setter: str
    waiter: str
    distance: int
    turning: bool = False                                   # a number for each of two turns
    number: int = -1


@dataclass(eq=False)
class Region:
    """A body: its ops, edges between them, and before which of them which pipes have a barrier."""

    nodes: list[Node]
    loops: bool                                             # runs again and again
    needs: list[list[Need]] = field(default_factory=list)    # of each node
    edges: list[Edge] = field(default_factory=list)
    barriers: dict[int, set[str]] = field(default_factory=dict)
    head: int = 0                                           # of a while loop: nodes of the condition
    branch: bool = False                                    # runs in some trips of the loop around it, whose turns it follows
    everything: set[int] = field(default_factory=set)       # before which of them all pipes wait: where numbers of events do not suffice


def regions_in(region: Region) -> Iterator[Region]:
    """The regions inside one, innermost first, and it itself."""
    for node in region.nodes:
        for inner in node.inner:
            yield from regions_in(inner)
    yield region
