"""What kernel.cu.j2 is given for programs with roles: what the loading thread does, what the others do, tensor maps, the order of programs."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from dslc.ir import Const, Kernel, Op, Span, Value, walk
from dslc.render import Scope
from dslc.schedule import schedule_of

from ..common.arguments import word
from ..common.gpu import frame as family
from ..common.gpu.nests import Notes
from ..common.gpu.order import Order, program_of_block
from ..common.gpu.synchronise import scratch_bytes
from .bulk import Box, loaded_box
from .roles import BARRIERS, computing, loader, rings_of, staged_box
from .warp_groups import GROUP, ROWS, sliced

Context = dict[str, Any]
# Registers of a thread by warp groups that compute: of the loading group, of the others.  128 threads each; 65536 in all (nvidia.md 5.1.6).
REGISTERS = {1: (0, 0), 2: (40, 232), 4: (24, 112)}
TOGETHER = 8                # rows of a band of tiles (nvidia.md 5.2: 8 to 12)
TURN = "turn"               # what counts the programs of all blocks, where they are in another order


@dataclass
class Maps:
    """Tensor maps of the kernel, by what distinguishes them, and names of rings."""

    scope: Scope
    rings: dict[str, str] = field(default_factory=dict)
    rows: dict[tuple[Value, tuple[int, ...], tuple[int, ...]], Context] = field(default_factory=dict)

    def name(self, box: Box) -> str:
        """The map's member in the launch block; a map that is new is noted."""
        key = box.tensor, box.order, box.extents
        if key not in self.rows:
            scope, t, tensor = self.scope, box.tensor.tensor, self.scope.name(box.tensor)
            strides = scope.name_of_strides(tensor)
            self.rows[key] = {"name": scope.fresh(f"{tensor}_map"), "type": scope.type(t.dtype), "tensor": tensor, "box": box.extents,
                              "dims": [scope.dim(t.dims[d]) for d in box.order], "steps": [f"{strides}[{d}]" for d in box.order[1:]],
                              "swizzle": box.width * t.dtype.bytes}
        return str(self.rows[key]["name"])


def frame(kernel: Kernel, scope: Scope) -> Context:
    """The family's frame with two texts for a program's ops."""
    notes = family.prepare(kernel, scope, apart=True)
    maps = scope.notes["maps"] = Maps(scope)
    rings = _rings(kernel, scope, maps, notes)
    loads = [op for op in walk(kernel.body) if op.attr("bulk")]
    kept = sliced(kernel, loads) or set()
    texts: Context = {}

    def spell(ops: Sequence[Op]) -> tuple[str, str]:
        texts["body"] = scope.body(computing(ops))
        scope.line = None
        texts["loading"] = scope.body(loader(ops, kept))
        scope.line = None
        grid = next(op for op in kernel.body.ops if op.name == "grid")
        count = " ".join(scope.atom(a) for a in grid.args)   # the kernel counts its programs too
        launched = " ".join(word for row in maps.rows.values() for word in (row["tensor"], *row["dims"], *row["steps"]))
        return re.sub(r"//.*", "", f"{texts['body']}\n{texts['loading']}\n{count}"), launched

    context = family.frame(kernel, scope, f"cuda:{kernel.attr('architecture')}", spell)
    consumers = kernel.attr("consumers")
    release, claim = REGISTERS[consumers]
    schedule = schedule_of(kernel)
    persistent = "" if schedule.get("grid", "persistent") is False else str(schedule.get("grid", "programs", default="multiprocessors()"))
    program = program_of_block(kernel, scope, context["extents"], _order(kernel), TURN)
    places = ({} if program == TURN else {"program": program}) | {c["name"]: c["value"] for c in context["coordinates"]}
    return {**context, "blocks": 1, "body": texts["body"], "loading": texts["loading"], "threads": kernel.attr("threads"), "rings": rings,
            "release": release, "claim": claim, "maps": list(maps.rows.values()), "count": " * ".join(context["extents"]), "group": GROUP,
            "places": _placed(places, texts["body"]), "loading_places": _placed(places, texts["loading"]), "persistent": persistent,
            "turn": "program" if program == TURN else TURN,
            "stores": any(op.attr("staged") for op in walk(kernel.body))}


def _placed(values: dict[str, str], text: str) -> list[dict[str, str]]:
    """Those that the text names, and those that these name."""
    found: list[dict[str, str]] = []
    for name, value in reversed(values.items()):
        if word(name, text):
            found.append({"name": name, "value": value})
            text = f"{text}\n{value}"
    return found[::-1]


def _rings(kernel: Kernel, scope: Scope, maps: Maps, notes: Notes) -> list[Context]:
    """Names and barriers of the rings, and for the family where a slot of each place is."""
    at, rows = scratch_bytes(kernel), []
    for ring in rings_of(kernel):
        maps.rings[ring.name] = scope.fresh(ring.name)
        rows.append({"name": maps.rings[ring.name], "slots": ring.slots, "at": at, "bytes": ring.bytes, "warps": kernel.attr("consumers") * GROUP // 32})
        at += ring.slots * BARRIERS
    for op in walk(kernel.body):
        place = op.result.tile.place if op.name == "alloc" else None
        if place is not None and place.slots > 1:
            name = maps.rings[op.attr("apart").rpartition(".")[0]]
            notes.rings[op.result] = scope.say("place_at", scope.type(op.result.tile.dtype), place.offset), scope.say("slot_of", name)
    return rows


def _order(kernel: Kernel) -> Order:
    """Of planes of tiles, bands of rows whose programs come one after another, so that they share what the second level cache holds."""
    grid = next(op for op in kernel.body.ops if op.name == "grid")
    return Order("grouped", TOGETHER) if len(grid.results) == 2 else Order()


# ---------------------------------------------------------------- ops
def ring_turn(op: Op, scope: Scope) -> str:
    """A barrier of a ring."""
    maps: Maps = scope.notes["maps"]
    turn = op.attr("turn")
    if turn == "fill":
        ring = next(r for r in rings_of(scope.kernel) if r.name == op.attr("ring"))
        return scope.say("ring_fill", maps.rings[ring.name], ring.bytes)
    return scope.say(f"ring_{turn}", maps.rings[op.attr("ring")], 1 if op.attr("flight") else 0)


def bulk_load(op: Op, scope: Scope) -> list[str]:
    """A load by the thread that loads, slab by slab."""
    maps: Maps = scope.notes["maps"]
    box = loaded_box(op)
    assert box is not None
    (into,), name = op.into, maps.name(box)
    size = prod(into.tile.shape) // (into.tile.shape[box.axis] // box.width)
    ring = scope.say("ring_barrier", maps.rings[op.attr("ring")])
    lines = []
    for n in range(into.tile.shape[box.axis] // box.width):
        to = scope.say("plus", scope.name(into), n * size) if n else scope.name(into)
        lines.append(scope.say("bulk_load", to, name, ring, _coordinates(op, op.args[1:], box, n, scope)))
    return lines


def bulk_store(op: Op, scope: Scope) -> list[str]:
    """A store through its staging place: each warp group its rows, slab by slab."""
    maps: Maps = scope.notes["maps"]
    notes: Notes = scope.notes["gpu"]
    box, value = staged_box(op, scope.kernel), op.args[1]
    assert box is not None and isinstance(value, Value)
    place = next(o.result for o in walk(scope.kernel.body) if o.name == "alloc" and o.attr("apart") == op.attr("staged"))
    (m, n), consumers, name = value.tile.shape, scope.kernel.attr("consumers"), maps.name(box)
    rows = m // consumers
    spans = [d for d, c in enumerate(op.args[2:]) if isinstance(c, Span)]
    part = scope.say("group_row", GROUP, rows) if consumers > 1 else ""
    copies = []
    for slab in range(n // box.width):
        base = scope.say("plus", scope.name(place), slab * m * box.width) if slab else scope.name(place)
        start = scope.say("plus", base, scope.say("group_row", GROUP, rows * box.width)) if part else base
        copies.append(scope.say("bulk_store", start, name, _coordinates(op, op.args[2:], box, slab, scope, {spans[0]: part} if part else {})))
    staged = scope.say("stage_sum", m // (ROWS * consumers), m, box.width, scope.name(place), scope.name(notes.table[value].place))
    return [staged, scope.say("store_boxes", GROUP, copies)]


def _coordinates(op: Op, coords: Sequence[Any], box: Box, slab: int, scope: Scope, more: Mapping[int, str] | None = None) -> list[str]:
    """Where a box starts, innermost first; `more` is added along a dimension."""
    texts = []
    for d in box.order:
        c = coords[d]
        if more and d in more:
            text = scope.say("plus", scope.atom(c.start), more[d]) if scope.scalar(c.start) != "0" else more[d]
            texts.append(scope.say("box_start", text, scope.dim(box.tensor.tensor.dims[d])))
            continue
        start, shift = c.start if isinstance(c, Span) else c, slab * box.width if d == box.order[0] else 0
        if isinstance(start, Const) and d in op.attr("inside", ()):
            texts.append(str(int(start.value) + shift))
            continue
        text = scope.say("plus", scope.atom(start), shift) if shift else scope.scalar(start)
        texts.append(scope.say("converted", "i32", text) if d in op.attr("inside", ()) else
                     scope.say("box_start", text, scope.dim(box.tensor.tensor.dims[d])))
    return texts
