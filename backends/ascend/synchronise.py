"""Flags and barriers between the pipes of one unit: what an op reads has been written, what it writes nobody reads any more.

`synchronise(kernel)` takes one unit's ops in the placed form, with offsets, and gives them back with `barrier` ops among them, and those that stand before and
after the loop over programs.  An edge is a dependency from an op of one pipe to one of another: SetFlag<P_Q> after the first, WaitFlag<P_Q> before the second.
An edge from one trip of a loop to the next (or the one after next, where slots turn) is set once before all programs and waited for once after them, so that
each loop finds its flags set and leaves them set.

Which edges are needed is found by following, for each pipe, up to which op of every other pipe it knows to be complete: flags hand on what their setter knew,
the scalar unit hands what it knows to every op that it issues afterwards.  Only what is not known otherwise gets an edge or, within a pipe, a barrier.
"""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Arg, Body, Const, Kernel, Op, Value, make_attrs, producers, walk
from dslc.passes.lifetimes import lifetimes

from .accesses import Access, Accesses, starts
from .events import number_edges, wrong_edges
from .regions import PIPES, Edge, Known, Need, Node, Region, regions_in

TRIPS = 5               # trips of a loop that are followed: two turns of slots, and two more to see how numbers of events are used again


# ---------------------------------------------------------------- conflicts
class Conflicts:
    """Which accesses must not change their order."""

    def __init__(self, kernel: Kernel) -> None:
        self.made = producers(kernel.body)
        self.varying: dict[Value, set[Value]] = {}

    def between(self, a: Access, b: Access, distance: int, loop: Op | None, top: bool) -> bool:
        """Whether `b`, `distance` trips of the body after `a`, must wait for it."""
        if not (a.write or b.write) or a.memory != b.memory:
            return False
        if a.memory == "GM":
            return a.place is b.place and not (a.atomic and b.atomic) and not (distance and (top or self.apart(a, b, distance, loop))) \
                and not (not distance and self.apart(a, b, 0, loop))
        if a.place is b.place and a.slots > 1:
            return distance % a.slots == 0 and a.first < b.last and b.first < a.last
        return a.first < b.first + _whole(b) and b.first < a.first + _whole(a)

    def apart(self, a: Access, b: Access, distance: int, loop: Op | None) -> bool:
        """Whether two accesses of a tensor name different elements because along some dimension they start far enough from each other."""
        if a.op is None or b.op is None:
            return False
        for x, y in zip(starts(a.op), starts(b.op), strict=True):
            if x is None or y is None:
                continue
            gap = self.gap(x[0], y[0], distance, loop)
            if gap is not None and (gap >= x[1] or -gap >= y[1]):
                return True
        return False

    def gap(self, x: Arg, y: Arg, distance: int, loop: Op | None) -> int | None:
        """y - x, `y` that many trips of the loop later; None if it is no known number."""
        f, g = self.form(x), self.form(y)
        index = loop.bodies[0].params[0] if loop is not None and loop.name == "for" else None
        inside = self.inside(loop) if loop is not None and distance else set()
        total = g.pop(None, 0) - f.pop(None, 0)
        if index is not None and distance:
            total += g.get(index, 0) * distance * int(loop.attr("step"))                    # type: ignore[union-attr]
        for atom in {*f, *g}:
            if f.get(atom, 0) != g.get(atom, 0) or (atom is not index and atom in inside):
                return None
        return total

    def inside(self, loop: Op) -> set[Value | None]:
        """What is bound anew in each trip."""
        found: set[Value | None] = set()
        for b in loop.bodies:
            found |= {*b.params, *(r for o in walk(b) for r in (*o.results, *o.into)), *(p for o in walk(b) for i in o.bodies for p in i.params)}
        return found

    def form(self, a: Arg) -> dict[Value | None, int]:
        """An integer scalar as a sum of multiples of values."""
        if isinstance(a, Const):
            return {None: int(a.value)}
        op = self.made.get(a)
        if a.tile.place is None and op is not None and all(isinstance(v, Value | Const) for v in op.args):
            if op.name in ("add", "sub"):
                f, g = (dict(self.form(v)) for v in op.args)                                # type: ignore[arg-type]
                for atom, c in g.items():
                    f[atom] = f.get(atom, 0) + (c if op.name == "add" else -c)
                return {atom: c for atom, c in f.items() if c}
            if op.name == "mul":
                f, g = (self.form(v) for v in op.args)                                      # type: ignore[arg-type]
                for one, other in ((f, g), (g, f)):
                    if set(other) <= {None}:
                        return {atom: c * other.get(None, 0) for atom, c in one.items() if c * other.get(None, 0)}
            if op.name == "cast" and op.result.tile.dtype.kind == "i" and op.args[0].tile.dtype.kind == "i":    # type: ignore[union-attr]
                return self.form(op.args[0])                                                # type: ignore[arg-type]
        return {a: 1}


def _whole(a: Access) -> int:
    """Bytes of all slots."""
    return a.last - a.first + a.step * (a.slots - 1)


# ---------------------------------------------------------------- the walk
class Synchroniser:
    """Regions of one unit, from the innermost out."""

    def __init__(self, kernel: Kernel) -> None:
        _, roots = lifetimes(kernel)
        self.kernel, self.accesses, self.conflicts = kernel, Accesses(kernel, roots), Conflicts(kernel)

    def region(self, bodies: tuple[Body, ...], loops: bool, op: Op | None, top: bool = False) -> Region:
        """The region of a body, or of condition and trip of a while loop, with its edges."""
        nodes: list[Node] = []
        head = 0
        for n, body in enumerate(bodies):
            nodes += [self.node(inner) for inner in body.ops if inner.name not in ("yield", "grid", "assume")]
            head = len(nodes) if n == 0 else head
        found = Region(nodes, loops, head=head if op is not None and op.name == "while" else 0, branch=op is not None and op.name == "if")
        found.needs = self.needs(found, op, top)
        _settle(found)
        return found

    def node(self, op: Op) -> Node:
        """An op, with the regions of its bodies."""
        if op.name in ("for", "while"):
            inner = [self.region(op.bodies, True, op)]
        elif op.name == "if":
            inner = [self.region((b,), True, op) for b in op.bodies]
        else:
            return Node(op, self.accesses.of(op))
        accesses = [(replace(a, late=a.late or a.pipe in _earlier(r, k), settled=a.settled or a.pipe in _later(r, k)), n)
                    for n, r in enumerate(inner) for k, node in enumerate(r.nodes) for a in node.accesses]
        return Node(op, [a for a, _ in accesses], inner, [n for _, n in accesses])

    def needs(self, region: Region, loop: Op | None, top: bool) -> list[list[Need]]:
        """For each node what must be complete before it: earlier nodes of the trip, and nodes of earlier trips.  Of several on one pipe the last says all."""
        rows: list[list[Need]] = []
        for j, later in enumerate(region.nodes):
            last: dict[tuple[str, str, int], int] = {}
            for distance in (0, 1, 2) if region.loops else (0,):
                for i in range(j) if distance == 0 else range(len(region.nodes)):
                    for setter, waiter in self.between(region.nodes[i], later, distance, loop, top):
                        last[setter, waiter, distance] = i
            rows.append([Need(i, p, q, d) for (p, q, d), i in sorted(last.items(), key=lambda row: (row[0][2], -row[1], row[0]))])
        return rows

    def between(self, a: Node, b: Node, distance: int, loop: Op | None, top: bool) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        branch = loop is not None and loop.name == "if"
        for m, x in enumerate(a.accesses):
            for n, y in enumerate(b.accesses):
                if (x.pipe, y.pipe) in found or (distance == 2 and not (x.place is y.place and x.slots == 2)):
                    continue
                if x.memory != "GM" and a is b and a.inner and a.branches[m] == a.branches[n]:      # its own flags go on from one run of it to the next
                    continue
                if x.memory == "GM" and branch and distance:                # told apart in the loop around it
                    continue
                if x.pipe == y.pipe and (x.ordered or y.ordered or x.settled or y.late or x.pipe == "S"):
                    continue
                if x.pipe == "S" and not x.write:           # what a scalar read gave is in a register
                    continue
                if self.conflicts.between(x, y, distance, loop, top):
                    found.add((x.pipe, y.pipe))
        return found


def _earlier(region: Region, k: int) -> set[str]:
    """Pipes that wait for themselves before a node, in every trip that comes to it."""
    found = region.barriers.get(k, set())
    for j in range(k):
        found = found | region.barriers.get(j, set()) | region.nodes[j].waiting
    return found


def _later(region: Region, k: int) -> set[str]:
    """Pipes that wait for themselves after a node, in the same trip."""
    found: set[str] = set()
    for j in range(k + 1, region.head if k < region.head else len(region.nodes)):
        found |= region.barriers.get(j, set()) | region.nodes[j].waiting
    return found


# ---------------------------------------------------------------- what pipes know
class State:
    """Following a region: for each pipe the newest op of every pipe that it knows to be complete, counted over trips."""

    def __init__(self, region: Region) -> None:
        self.region, self.known, self.issued, self.size = region, Known(), dict[str, int](), len(region.nodes)
        self.after: dict[tuple[int, str], dict[str, int]] = {}                  # what a pipe knew after a node, and up to where it had come
        self.waits: dict[int, list[Edge]] = {}
        for e in region.edges:
            self.waits.setdefault(e.target, []).append(e)

    def of(self, pipe: str) -> dict[str, int]:
        return self.known.setdefault(pipe, {})

    def learn(self, pipe: str, what: dict[str, int]) -> None:
        mine = self.of(pipe)
        for p, n in what.items():
            if n > mine.get(p, -1):
                mine[p] = n

    def before(self, j: int, trip: int) -> None:
        """Waits and barriers that stand before a node."""
        if j in self.region.everything:
            for p in PIPES:
                self.learn(p, self.issued)
        for e in self.waits.get(j, ()):
            self.take(e, trip)
        for pipe in self.region.barriers.get(j, ()):
            self.learn(pipe, {pipe: self.issued.get(pipe, -1)})

    def take(self, e: Edge, trip: int) -> None:
        """What a flag hands on: all that its setter had done and knew."""
        self.learn(e.waiter, self.after.get(((trip - e.distance) * self.size + e.source, e.setter), {}))

    def has(self, need: Need, j: int, trip: int) -> bool:
        when = (trip - need.distance) * self.size + need.source
        if when >= 0 and self.region.branch and need.distance == 2:          # the last trip of this turn may be the last of all that ran
            if any((e.setter, e.waiter, e.distance) == (need.setter, need.waiter, 2) and e.source >= need.source and e.target <= j for e in self.region.edges):
                return True
            when += self.size
        if when < 0 or self.of(need.waiter).get(need.setter, -1) >= when:
            return True
        return need.setter != "S" and self.of("S").get(need.setter, -1) >= when             # the scalar unit issues what comes after

    def run(self, j: int, trip: int) -> None:
        """The node itself."""
        node, now = self.region.nodes[j], trip * self.size + j
        pipes, waiting = node.pipes(), node.waiting
        issuer = {p: n for p, n in self.of("S").items() if p != "S"}
        for n, pipe in enumerate(pipes):
            self.learn(pipe, issuer)
            if pipe in waiting:
                self.learn(pipe, {pipe: self.issued.get(pipe, -1)})
            if n and not node.inner and not node.parallel:
                self.learn(pipe, {**self.of(pipes[n - 1]), pipes[n - 1]: now})
            self.issued[pipe] = now
        if node.settles:
            self.learn("S", {p: now for p in pipes if p != "S"})
        for pipe in {*pipes, *(e.setter for e in self.region.edges if e.source == j)}:
            self.after[now, pipe] = {**self.of(pipe), pipe: self.issued.get(pipe, -1)}


def _settle(region: Region) -> None:
    """Edges and barriers, first those from trip to trip, then within one; at last each that the others make needless is taken away."""
    carried: list[Edge] = []
    held: dict[int, set[str]] = {}
    while True:
        region.edges, region.barriers = [*carried], {j: set(p) for j, p in held.items()}
        new = _missing(region)
        if not new:
            break
        for need, j in new:
            if need.setter == need.waiter:
                held.setdefault(j, set()).add(need.waiter)
                continue
            same = next((e for e in carried if (e.setter, e.waiter, e.distance) == (need.setter, need.waiter, need.distance)), None)
            if same is None:
                carried.append(Edge(need.source, j, need.setter, need.waiter, need.distance))
            else:
                same.source, same.target = max(same.source, need.source), min(same.target, j)
    _thin(region)
    _number_turns(region)


def _missing(region: Region) -> list[tuple[Need, int]]:
    """Adds what one trip lacks in itself; gives back what is lacking from trip to trip."""
    state, carried = State(region), list[tuple[Need, int]]()
    for trip in range(3 if region.loops else 1):
        for j, row in enumerate(region.needs):
            state.before(j, trip)
            for need in row:
                if state.has(need, j, trip):
                    continue
                if need.distance:
                    carried.append((need, j))
                    return carried
                if need.setter == need.waiter:
                    region.barriers.setdefault(j, set()).add(need.waiter)
                    state.learn(need.waiter, {need.waiter: state.issued[need.waiter]})
                else:
                    edge = Edge(need.source, j, need.setter, need.waiter, 0)
                    region.edges.append(edge)
                    state.waits.setdefault(j, []).append(edge)
                    state.after.setdefault((trip * state.size + need.source, need.setter), {need.setter: trip * state.size + need.source})
                    state.take(edge, trip)
            state.run(j, trip)
    return carried


def _kept(region: Region) -> bool:
    """Whether the region's edges and barriers keep every dependency."""
    state = State(region)
    for trip in range(3 if region.loops else 1):
        for j, row in enumerate(region.needs):
            state.before(j, trip)
            if not all(state.has(need, j, trip) for need in row):
                return False
            state.run(j, trip)
    return True


def _thin(region: Region) -> None:
    """Takes away what the rest makes needless."""
    for e in sorted(region.edges, key=lambda e: (-e.distance, e.source)):
        rest = [o for o in region.edges if o is not e]
        all_, region.edges = region.edges, rest
        if not _kept(region):
            region.edges = all_
    for j in sorted(region.barriers):
        for pipe in sorted(region.barriers[j]):
            region.barriers[j].discard(pipe)
            if not _kept(region):
                region.barriers[j].add(pipe)


def _thin_numbered(region: Region, top: Region) -> None:
    """Takes away edges that others make needless which were added so that a number may be set again."""
    known = wrong_edges(top)
    for e in sorted(region.edges, key=lambda e: (-e.distance, e.source)):
        all_, region.edges = region.edges, [o for o in region.edges if o is not e]
        if not _kept(region) or wrong_edges(top) - known:
            region.edges = all_


# ---------------------------------------------------------------- numbers of events
def _number_turns(region: Region) -> None:
    """Which edges take a number for each of two turns.  A number is set again only when its setter knows that it has been waited for; where no other edge tells
    it that within two trips, one is added.  One that is waited for two trips later, not before it is set again, has no two numbers: all pipes wait instead.
    """
    while region.loops:
        again = _used_again(region)
        wrong = next((e for e in region.edges if not again[e][1]), None)
        if wrong is None:
            break
        if wrong.distance == 2 and wrong.target >= wrong.source:
            region.edges.remove(wrong)
            region.everything.add(wrong.target)
            continue
        back = 0 if wrong.distance and wrong.target < wrong.source else 1
        region.edges.append(Edge(wrong.target, wrong.source, wrong.waiter, wrong.setter, back))
        assert len(region.edges) < 100, f"numbers of events do not settle: {region.edges[-2:]}"
    for e, (once, _) in _used_again(region).items():
        e.turning = region.loops and not once


def _used_again(region: Region) -> dict[Edge, tuple[bool, bool]]:
    """For each edge whether its setter knows, when it sets the flag again one trip later, or two, that it has been waited for."""
    state, sets = State(region), dict[tuple[Edge, int], dict[str, int]]()
    for trip in range(TRIPS):
        for j in range(state.size):
            state.before(j, trip)
            state.run(j, trip)
            for e in region.edges:
                if e.source == j:
                    sets[e, trip] = {**state.of("S"), **{p: max(n, state.of("S").get(p, -1)) for p, n in state.of(e.setter).items()}}
    found = {}
    for e in region.edges:
        def passed(later: int, e: Edge = e) -> bool:
            trip = TRIPS - 1
            wait = (trip - later + e.distance) * state.size + e.target
            set_again = trip * state.size + e.source
            return wait <= set_again if e.waiter == "S" else sets[e, trip].get(e.waiter, -1) >= wait
        found[e] = (passed(1), passed(2))
    return found


# ---------------------------------------------------------------- writing it down
def synchronise(kernel: Kernel) -> tuple[Kernel, list[Op], list[Op]]:
    """The kernel with events and barriers; the flags set before the first program, and those waited for after the last."""
    work = Synchroniser(kernel)
    top = work.region((kernel.body,), True, None, top=True)
    number_edges(top)
    for region in regions_in(top):
        _thin_numbered(region, top)
    first: list[Op] = []
    last: list[Op] = []
    carried = [e for r in regions_in(top) for e in r.edges if e.distance]
    for setter, waiter, number in sorted({(e.setter, e.waiter, e.number + n) for e in carried for n in range(1 + e.turning)}):
        first.append(_event("set", f"{setter}_{waiter}", number))
        last.append(_event("wait", f"{setter}_{waiter}", number))
    return kernel.with_ops(_written(top, kernel.body.ops, 0)), first, last


def _event(does: str, event: str, number: int, turn: bool = False) -> Op:
    return Op("barrier", (), make_attrs({"does": does, "event": event, "number": number, "turn": turn or None}))


def _written(region: Region, ops: tuple[Op, ...], offset: int) -> list[Op]:
    """The ops of a body with its region's events among them."""
    made: list[Op] = []
    j = offset
    for op in ops:
        if op.name in ("yield", "grid", "assume"):
            made.append(op)
            continue
        node = region.nodes[j]
        if j in region.everything:
            made.append(_event("barrier", "ALL", 0))
        made += [_event("wait", f"{e.setter}_{e.waiter}", e.number, e.turning) for e in region.edges if e.target == j]
        made += [_event("barrier", pipe, 0) for pipe in sorted(region.barriers.get(j, ()))]
        made.append(_inside(op, node))
        made += [_event("set", f"{e.setter}_{e.waiter}", e.number, e.turning) for e in region.edges if e.source == j]
        j += 1
    return made


def _inside(op: Op, node: Node) -> Op:
    """The op with its bodies' events; a loop whose places or events turn counts its turns."""
    if not node.inner:
        return op
    if op.name == "if":
        return replace(op, bodies=tuple(replace(b, ops=tuple(_written(r, b.ops, 0))) for b, r in zip(op.bodies, node.inner, strict=True)))
    (region,) = node.inner
    bodies, offset = [], 0
    for b in op.bodies:
        bodies.append(replace(b, ops=tuple(_written(region, b.ops, offset))))
        offset += len([o for o in b.ops if o.name not in ("yield", "grid", "assume")])
    op = replace(op, bodies=tuple(bodies))
    return op.having(turns=True) if turns(op.bodies, region) else op


def turns(bodies: tuple[Body, ...], region: Region) -> bool:
    """Whether anything that belongs to the loop itself, not to one inside it, has slots or numbers for two turns."""
    def slotted(body: Body) -> bool:
        return any((o.name == "alloc" and o.result.tile.place is not None and o.result.tile.place.slots > 1) or
                   (o.name == "if" and any(slotted(b) for b in o.bodies)) for o in body.ops)

    def turning(here: Region) -> bool:
        return any(e.turning for e in here.edges) or any(turning(r) for n in here.nodes for r in n.inner if r.branch)

    return any(slotted(b) for b in bodies) or turning(region)
