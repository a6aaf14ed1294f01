"""Numbers of events: which flags of a pair of pipes may share one, told by running the unit's program for a few trips."""
from __future__ import annotations

from random import Random

from .limits import EVENTS, HEADER_EVENTS
from .regions import PIPES, Edge, Known, Node, Region, regions_in

RUNS = 16                   # of the unit's program, by which it is told whether a number can be shared

Numbered = tuple[list[tuple[Edge, int, bool, int]], set[int]]       # of a region: its edges with number, turning and distance; where all pipes wait


def number_edges(top: Region) -> None:
    """Numbers for all edges of a unit.  Those of a pair of pipes have different ones as long as there are any, or else, from the first, the least that does:
    loops that follow each other, and edges of one body of which one is known to be done when the other is set, use the same.  Where neither is enough an edge
    of two turns gets one number, and at last all pipes wait instead, in as few places as possible.
    """
    regions = list(regions_in(top))
    given = [[(e, e.turning, e.distance) for e in r.edges] for r in regions]
    best: list[Numbered] = []
    for shares in (False, True):
        for r, edges in zip(regions, given, strict=True):
            r.edges, r.everything = [e for e, _, _ in edges], set()
            for e, turning, distance in edges:
                e.turning, e.distance = turning, distance
        _number(top, regions, shares)
        left = [([(e, e.number, e.turning, e.distance) for e in r.edges], r.everything) for r in regions]
        if not best or _stalls(left) < _stalls(best):
            best = left
        if _stalls(best) == (0, sum(map(len, given))):
            break
    for r, (rows, everything) in zip(regions, best, strict=True):
        r.edges, r.everything = [e for e, *_ in rows], everything
        for e, number, turning, distance in rows:
            e.number, e.turning, e.distance = number, turning, distance


def _stalls(found: list[Numbered]) -> tuple[int, int]:
    """Places where all pipes wait, and edges: some were added so that one number does."""
    return sum(len(everything) for _, everything in found), sum(len(rows) for rows, _ in found)


def _number(top: Region, regions: list[Region], shares: bool) -> None:
    known = _wrong(top, set())                              # whatever their numbers are
    groups = {id(r): n for n, node in enumerate(top.nodes) for inner in node.inner for r in regions_in(inner)}
    place = {e: groups.get(id(r), -1) for r in regions for e in r.edges}
    rows = [(e, r) for r in regions for e in sorted(r.edges, key=lambda e: (-e.distance, e.source))]
    used: list[Edge] = []
    for e, region in sorted(rows, key=lambda row: -row[0].distance) if shares else rows:
        size, pair = 2 if e.turning else 1, (e.setter, e.waiter)
        able = [n for n in numbers(*pair) if size == 1 or n + 1 in numbers(*pair)]
        taken = {n for o in used if (o.setter, o.waiter) == pair for n in range(o.number, o.number + (2 if o.turning else 1))}
        apart = [n for n in able if not taken & set(range(n, n + size))]
        near = {n for o in used if (o.setter, o.waiter) == pair and (place[o] == place[e] or -1 in (place[o], place[e]))
                for n in range(o.number, o.number + (2 if o.turning else 1))}
        far = [n for n in able if not near & set(range(n, n + size))]                # only loops before or after it use them
        for n in [*far, *(n for n in able if n not in far)] if shares or not apart else apart[:1]:
            e.number = n
            if n in apart or not _wrong(top, {*used, e}) - known:
                used.append(e)
                break
        else:
            if e.turning:
                _take_turns(region, e)
                return _number(top, regions, shares)
            _wait_for_all(region, e)
    while wrong := wrong_edges(top):          # an edge in a branch, say, that nothing tells of the last time
        region, e = next((r, e) for r in regions for e in r.edges if e in wrong)
        _wait_for_all(region, e)


def numbers(setter: str, waiter: str) -> tuple[int, ...]:
    """The event numbers of a pair of pipes that are not used inside functions of the headers."""
    return tuple(n for n in range(EVENTS) if n not in HEADER_EVENTS.get((setter, waiter), ()))


def _take_turns(region: Region, e: Edge) -> None:
    """One number instead of two: the flag is set again only after it was waited for."""
    e.turning, e.distance = False, min(e.distance, 1)
    region.edges.append(Edge(e.target, e.source, e.waiter, e.setter, 0 if e.distance and e.target < e.source else 1))


def _wait_for_all(region: Region, e: Edge) -> None:
    """All pipes wait in the place of one edge."""
    region.edges.remove(e)
    region.everything.add(e.target)


def wrong_edges(top: Region) -> set[Edge]:
    """Edges whose numbers may be set again before they are waited for."""
    return _wrong(top, {e for r in regions_in(top) for e in r.edges})


def _wrong(top: Region, edges: set[Edge]) -> set[Edge]:
    """Edges that some run finds wrong."""
    return next((set(wrong) for seed in range(RUNS) if (wrong := Trace(top, edges, seed).wrong)), set())


class Trace:
    """The unit's program with loops of a few trips and branches taken or not, by `seed`, run to see whether each flag finds the last one of its number waited
    for, as far as its setter knows.
    """

    def __init__(self, top: Region, edges: set[Edge], seed: int) -> None:
        self.chance = Random(seed)
        self.edges, self.known, self.count = edges, Known(), dict[str, int]()
        self.wrong: list[Edge] = []
        self.all = [e for r in regions_in(top) for e in r.edges]
        self.flags: dict[tuple[str, str, object], list[dict[str, int]]] = {}
        self.waited: dict[tuple[str, str, object], int] = {}
        self.turn: dict[int, int] = {}
        for e in self.all:
            for n in range(2 if e.turning and e.distance else 1 if e.distance else 0):
                self.flags.setdefault(self.key(e, n), [{}])
        self.region(top, 0, 5)

    def key(self, e: Edge, turn: int) -> tuple[str, str, object]:
        return e.setter, e.waiter, e.number + (turn if e.turning else 0) if e in self.edges else (id(e), turn if e.turning else 0)

    def step(self, pipe: str) -> None:
        """The pipe issues something."""
        mine = self.known.setdefault(pipe, {})
        if pipe != "S":
            for p, n in self.known.get("S", {}).items():
                if p != "S":
                    mine[p] = max(mine.get(p, 0), n)
        self.count[pipe] = self.count.get(pipe, 0) + 1

    def region(self, region: Region, depth: int, trips: int) -> None:
        for _ in range(trips):
            for j, node in enumerate(region.nodes):
                if j in region.everything:
                    for p in PIPES:
                        self.known.setdefault(p, {}).update(self.count)
                for e in self.all:
                    if e.target == j and e in region.edges:
                        self.wait(e, depth)
                for p in region.barriers.get(j, ()):
                    self.known.setdefault(p, {})[p] = self.count.get(p, 0)
                self.node(node, depth)
                for e in self.all:
                    if e.source == j and e in region.edges:
                        self.set(e, depth)
            self.turn[depth] = self.turn.get(depth, 0) ^ 1

    def node(self, node: Node, depth: int) -> None:
        for inner in node.inner:
            if not inner.branch:
                self.region(inner, depth + 1, self.chance.choice((0, 1, 2, 3)))
            else:
                self.once(inner, depth)
        if node.inner:
            return
        last = ""
        for pipe in node.pipes():
            self.step(pipe)
            if last and not node.parallel:
                mine = self.known.setdefault(pipe, {})
                for p, n in {**self.known.get(last, {}), last: self.count[last]}.items():
                    mine[p] = max(mine.get(p, 0), n)
            last = pipe
        if node.settles:
            mine = self.known.setdefault("S", {})
            mine.update({p: self.count[p] for p in node.pipes() if p != "S"})

    def once(self, region: Region, depth: int) -> None:
        """A branch: its turns are those of the loop around it."""
        turn = self.turn.get(depth, 0)
        self.region(region, depth, self.chance.random() < 0.6)
        self.turn[depth] = turn

    def wait(self, e: Edge, depth: int) -> None:
        key = self.key(e, self.turn.get(depth, 0))
        sent = self.flags.get(key)
        self.step(e.waiter)
        if not sent:
            self.wrong.append(e)
            return
        mine = self.known.setdefault(e.waiter, {})
        for p, n in sent.pop().items():
            mine[p] = max(mine.get(p, 0), n)
        self.waited[key] = self.count[e.waiter]
        if e.waiter == "S":
            mine["S"] = self.count["S"]

    def set(self, e: Edge, depth: int) -> None:
        key = self.key(e, self.turn.get(depth, 0))
        self.step(e.setter)
        passed = e.waiter == "S" or key not in self.waited or self.known.get(e.setter, {}).get(e.waiter, 0) >= self.waited[key]
        if self.flags.get(key) or not passed:
            self.wrong.append(e)
        self.flags[key] = [{**self.known.get(e.setter, {}), e.setter: self.count[e.setter]}]
