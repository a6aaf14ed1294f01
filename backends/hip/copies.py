"""Tiles from global memory to LDS: which loads go through registers in runs, which directly, and how a loop that has them under way is spelled."""
from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from dslc.ir import Body, Kernel, Op, Span, Value
from dslc.render import Scope

from ..common.access import access
from ..common.gpu.access import run_length
from ..common.gpu.nests import Notes, Over
from ..common.gpu.operands import operand
from ..common.gpu.rings import split
from ..common.gpu.spread import Spread, blocked, spread_of
from ..common.gpu.tiles import is_shared
from .limits import DIRECT_COPY

Context = dict[str, Any]
LINE = 16                   # bytes that one lane moves at a time
HIGH = 4                    # runs that a lane transposes at a time: 8 bytes of each column, for 16-bit elements


@dataclass(frozen=True)
class Copy:
    """How a load fills a tile in LDS.  run: neighbours in a row of the tensor that a lane moves at once; high: such rows that a lane transposes on the
    way, 1 if none; direct: not through registers.
    """

    run: int
    high: int
    direct: bool


def turned(v: Value) -> bool:
    """Whether a place's columns, and not its rows, are side by side."""
    return is_shared(v) and len(v.tile.shape) == 2 and v.tile.strides[0] == 1 and v.tile.strides[1] != 1


def turned_spread(shape: tuple[int, ...], size: int, workers: int) -> tuple[Spread, int] | None:
    """Who loads what of a tile that is transposed on the way, and the elements of a run: 4 runs below one another in each worker, neighbouring workers
    further down, so that the pieces of columns which 16 lanes write lie in different banks.
    """
    k, n = shape
    down = min(16, k // HIGH)
    if not down:
        return None
    for run in (LINE // size, LINE // size // 2):
        if k % (HIGH * down) or n % run or workers % down or run * size < 4:
            continue
        side = min(workers // down, n // run)
        deeper = workers // (down * side)
        if n // run % side or k % (HIGH * down * deeper) or workers % (down * side):
            continue
        axes = [[(k // (HIGH * down * deeper), "repeat"), (deeper, "deeper"), (down, "down"), (HIGH, "high")],
                [(n // run // side, "again"), (side, "side"), (run, "run")]]
        return spread_of(axes, ["repeat", "again", "high", "run"], workers, {"down": 1, "side": down, "deeper": down * side}), run
    return None


def turn(kernel: Kernel) -> Kernel:
    """Loads into places whose columns are side by side get a spread by which workers can transpose."""
    def body(old: Body) -> Body:
        return replace(old, ops=tuple(op(o) for o in old.ops))

    def op(o: Op) -> Op:
        if o.name in ("for", "while", "if"):
            return replace(o, bodies=tuple(body(b) for b in o.bodies))
        if o.name == "load" and o.into and turned(o.into[0]) and plain(o):
            t = o.into[0].tile
            spread = turned_spread(t.shape, t.dtype.bytes, kernel.attr("workers"))
            return o.having(over=str(spread[0])) if spread is not None else o
        return o

    return replace(kernel, body=body(kernel.body))


def plain(op: Op) -> bool:
    """Whether a load's rows are runs of a tensor at 16-byte multiples, padded with zeros: two spans, nothing gathered."""
    tensor, (target,), coords = op.args[0], op.into, op.args[1:]
    assert isinstance(tensor, Value)
    t = tensor.tensor
    spans = [d for d, c in enumerate(coords) if isinstance(c, Span)]
    scalars = all(isinstance(c, Span) or not c.tile.shape for c in coords)
    return len(spans) == 2 and scalars and len(target.tile.shape) == 2 and t.packing is None and t.aligned and spans[1] in t.unit \
        and target.tile.dtype == t.dtype and op.attr("pad", 0) == 0


def copy_of(op: Op, architecture: str, workers: int) -> Copy | None:
    """How a load is done by whole runs; None if it must go element by element."""
    if op.name != "load" or not op.into or not is_shared(op.into[0]) or op.attr("over") is None or not plain(op):
        return None
    (target,), spread, even = op.into, Spread.parse(op.attr("over")), op.attr("even", 0)
    t, size = target.tile, target.tile.dtype.bytes
    if spread.shape != t.shape or spread.replica_mask or not even:
        return None
    if turned(target):
        found = turned_spread(t.shape, size, workers)
        return Copy(found[1], HIGH, False) if found is not None and spread == found[0] and even % found[1] == 0 else None
    tensor = op.args[0]
    assert isinstance(tensor, Value)
    run = run_length(op, op.args[1:], tensor.tensor, spread, target)
    if run * size < 4 or even % run:
        return None
    linear = run * size == LINE and spread == blocked(t.shape, workers, run) and prod(t.shape) % (workers * run) == 0 and t.strides == (t.shape[1], 1)
    return Copy(run, 1, linear and architecture in DIRECT_COPY and size == 2)


# ---------------------------------------------------------------- text
def window(op: Op, scope: Scope) -> Context:
    """The part of the tensor that a load reads, the same for all workers."""
    tensor, coords = op.args[0], op.args[1:]
    assert isinstance(tensor, Value)
    t, (down, across) = tensor.tensor, op.into[0].tile.shape
    a = access(replace(op, attrs=tuple((k, v) for k, v in op.attrs if k != "inside")), coords, scope, _Start(), lambda *_: "", rows=False)
    proved = op.attr("inside", ())
    rows, others = [], []
    for d, c in enumerate(coords):
        bound = scope.dim(t.dims[d])
        if isinstance(c, Span):
            bound = scope.say("least", bound, scope.scalar(c.stop)) if c.stop is not None else bound
            rows.append(scope.say("all_inside", c.extent) if d in proved else scope.say("part_inside", c.extent, a.coordinates[d], bound))
        elif d not in proved:
            others.append(scope.say("within", a.coordinates[d], bound))
    row = next(d for d, c in enumerate(coords) if isinstance(c, Span))
    if others:
        rows[0] = scope.say("only_if", scope.say("both", others), rows[0])
    if a.stride(row) != "1":
        most = 2 ** 31 // (down * t.dtype.bytes)             # elements between rows: a worker's offsets within a tile are 32 bits of bytes
        check = scope.say("below", a.stride(row), most), f"load: rows of {a.name} are {most} or more elements apart, too far for one tile"
        scope.notes["gpu"].checks.setdefault(check, op)
    return {"lets": a.lets, "type": scope.type(t.dtype), "down": down, "across": across, "first": f"{a.name} + ({a.offset()})", "row_step": a.stride(row),
            "rows": rows[0], "columns": rows[1]}


class _Start:
    """No loops: the coordinates of a tile's first element."""

    def coordinate(self, _axis: int) -> str:
        return "0"


def runs(op: Op, scope: Scope, copy: Copy) -> Context:
    """The runs of one worker: how many, and where the e-th starts in the tile."""
    spread, shape = Spread.parse(op.attr("over")), op.into[0].tile.shape
    over = Over(scope, spread, shape, [])
    digits = [d for d in spread.slot_digits() if not (d[0] == 1 and d[2] == 1)]
    count = prod(extent for _, extent, _, _ in digits)
    parts = [[over.first(0)], [over.first(1)]]
    below = count
    for axis, extent, weight, _ in digits:
        outermost, below = below == count, below // extent
        digit = ("e" if below == 1 else f"e / {below}") + ("" if outermost else f" % {extent}")
        parts[axis].append(scope.say("times", f"({digit})" if " " in digit else digit, weight))
    row, column = (" + ".join(p for p in side if p) or "0" for side in parts)
    return {"count": count, "row": row, "column": column, "run": copy.run, "high": copy.high}


def whole_load(op: Op, scope: Scope, copy: Copy, name: str) -> Context:
    """A load that nothing runs ahead of: into registers and from there to its place, at once."""
    return {"name": name, "spots": f"{name}_at", "window": window(op, scope), "tile": operand(op.into[0], scope, False), **runs(op, scope, copy)}


def staged_loop(op: Op, scope: Scope) -> Context:
    """The context of the macro `staged_for`."""
    notes: Notes = scope.notes["gpu"]
    (index,), start, stop = op.bodies[0].params, op.args[0], op.args[1]
    ahead, trip = split(op)
    architecture = scope.kernel.attr("architecture")
    name, step = scope.name(index), op.attr("step")
    stage, fetch, keep, left = (scope.fresh(f"{word}_{index.name}") for word in ("stage", "fetch", "keep", "left"))
    wave, move = scope.fresh("wave"), scope.fresh(f"move_{index.name}")
    ways = {o: c for o in ahead if o.name == "load" and (c := copy_of(o, architecture, notes.workers)) is not None}
    slots = max(o.into[0].tile.place.slots for o in ways)    # type: ignore[union-attr]
    phased = op.attr("phases", 1) > 1
    ways = {o: replace(c, direct=c.direct and slots > 1 and not phased) for o, c in ways.items()}
    trip = [o.having(between=move) if phased and o.name == "dot" else o for o in trip]
    through = {o.into[0] for o, c in ways.items() if not c.direct}
    rings = _rings([o.result for o in ahead if o.name == "alloc" and slots > 1], scope, stage)
    fetched, kept, held = [], [], []
    for o in ahead:
        if o.name == "alloc" and o.result in through:
            continue
        if o not in ways:
            fetched += scope.op(o)
            continue
        part, comment = window(o, scope), scope.comment(o)
        if ways[o].direct:
            fetched += [*comment, scope.say("copy_ahead", part, operand(o.into[0], scope, False), ways[o].run, notes.workers, wave)]
            continue
        moved = runs(o, scope, ways[o])
        registers = scope.fresh(f"{o.into[0].name}_ahead")
        held.append({"name": registers, "spots": f"{registers}_at", "type": part["type"], **moved})
        fetched += [*comment, scope.say("fetch_ahead", registers, part, moved["run"])]
        place = next(a for a in ahead if a.name == "alloc" and a.result is o.into[0])
        kept += [*scope.op(place), scope.say("keep_ahead", registers, operand(o.into[0], scope, False), moved["run"], moved["high"])]
    return {"index": name, "type": scope.type(index.tile.dtype), "start": scope.scalar(start), "stop": scope.scalar(stop), "step": step, "slots": slots,
            "stage": stage, "fetch": fetch, "keep": keep, "left": left, "wave": wave, "lanes": notes.lanes, "rings": rings, "held": held,
            "fetched": "\n".join(fetched), "kept": "\n".join(kept),
            "direct": any(c.direct for c in ways.values()),
            "move": move, "lead": 2 * step, "behind": f"{wave} >= {notes.workers // notes.lanes // 2}", "body": scope.block(Body((), tuple(trip)))}


def _rings(places: list[Value], scope: Scope, stage: str) -> list[Context]:
    notes: Notes = scope.notes["gpu"]
    rows = []
    for v in places:
        assert v.tile.place is not None
        ring = scope.fresh(f"{v.name}_ring")
        notes.rings[v] = ring, stage
        rows.append({"type": scope.type(v.tile.dtype), "name": ring, "slots": v.tile.place.slots, "offset": v.tile.place.offset,
                     "shape": " x ".join(map(str, v.tile.shape))})
    return rows
