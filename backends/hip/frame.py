"""What kernel.hip.j2 and kernel.h.j2 are given."""
from __future__ import annotations

from typing import Any

from dslc.ir import Kernel, walk
from dslc.render import Scope

from ..common.gpu import frame as family
from ..common.gpu.order import Order
from .limits import CHIPLETS


def frame(kernel: Kernel, scope: Scope) -> dict[str, Any]:
    """The family's frame; one work group for each compute unit may be all there is room for."""
    return {**family.frame(kernel, scope, f"hip:{kernel.attr('architecture')}", order=order(kernel)), "blocks": 1}


def order(kernel: Kernel) -> Order:
    """Products over a plane of tiles: bands of 8 rows (the best of 0 to 32 in the study that amd.md cites, section 6), a chiplet's programs side by side."""
    grid = next(op for op in walk(kernel.body) if op.name == "grid")
    plane = len(grid.args) == 2 and any(op.name == "dot" for op in walk(kernel.body))
    return Order("grouped", 8, CHIPLETS.get(kernel.attr("architecture"), 1)) if plane else Order()
