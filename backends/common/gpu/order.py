"""In which order the blocks of a launch run its programs: as the schedule's `grid` says, else as the target finds best."""
from __future__ import annotations

from dataclasses import dataclass

from dslc.ir import Kernel
from dslc.render import Scope
from dslc.schedule import schedule_of

RUN = 64                    # neighbouring programs of one chiplet: about two for each of its compute units (amd.md section 6, Chiplets)


@dataclass(frozen=True)
class Order:
    """What a target does where a schedule says nothing.  name: "rows", the last coordinate fastest; "columns"; "grouped", bands of `rows` rows column by
    column.  chiplets: how many there are that blocks are dealt to in turn.
    """

    name: str = "rows"
    rows: int = 8
    chiplets: int = 1


ROWS = Order()


def program_of_block(kernel: Kernel, scope: Scope, extents: list[str], best: Order, block: str = "block_index()") -> str:
    """The text of a block's program, or of one of its programs where `block` counts them all.  Of more than two coordinates, the first gives the rows."""
    asked = dict(schedule_of(kernel).grid)
    name, rows, chiplets = asked.get("order", best.name), asked.get("rows", best.rows), asked.get("chiplets", best.chiplets)
    count = " * ".join(extents)
    text = block
    if chiplets > 1:
        text = scope.say("dealt_program", text, count, chiplets, RUN)
    if name == "rows" or len(extents) < 2:
        return text
    across = " * ".join(extents[1:])
    return str(scope.say("banded_program", text, extents[0], across, rows) if name == "grouped" else scope.say("program_by_columns", text, extents[0], across))
