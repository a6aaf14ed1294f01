"""How a loop whose loads run ahead is spelled: its rings, the function that fills a slot, the trips."""
from __future__ import annotations

from typing import Any

from dslc.ir import Body, Op
from dslc.render import Scope

from .nests import Notes
from .rings import split


def staged_loop(op: Op, scope: Scope) -> dict[str, Any]:
    """The context of the macro `staged_for`."""
    notes: Notes = scope.notes["gpu"]
    (index,), start, stop = op.bodies[0].params, op.args[0], op.args[1]
    ahead, trip = split(op)
    name, stages, step = scope.name(index), op.attr("stages"), op.attr("step")
    stage, fetch = scope.fresh(f"stage_{index.name}"), scope.fresh(f"fetch_{index.name}")
    rings = []
    for o in ahead:
        if o.name == "alloc":
            v = o.result
            assert v.tile.place is not None
            ring = scope.fresh(f"{v.name}_ring")
            notes.rings[v] = ring, stage
            rings.append({"type": scope.type(v.tile.dtype), "name": ring, "slots": stages, "offset": v.tile.place.offset,
                          "shape": " x ".join(map(str, v.tile.shape))})
    first = scope.scalar(start)
    starts = [f"{scope.atom(start)} + {n * step}" if first != "0" and n else str(n * step) if first == "0" else first for n in range(stages - 1)]
    filled = scope.block(Body((), tuple(ahead)))
    return {"index": name, "type": scope.type(index.tile.dtype), "start": first, "stop": scope.scalar(stop), "step": step, "stages": stages, "stage": stage,
            "fetch": fetch, "rings": rings, "starts": starts, "filled": filled, "body": scope.block(Body((), tuple(trip))),
            "last": stages - 1, "behind": stages - 2, "lead": (stages - 1) * step}
