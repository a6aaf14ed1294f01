"""The two halves of a loop whose loads run ahead."""
from __future__ import annotations

from dslc.ir import Op


def split(loop: Op) -> tuple[list[Op], list[Op]]:
    """A staged loop's body as what is done ahead (the loads, their places, and the scalars they need) and what is done in its trip."""
    ops = loop.bodies[0].ops
    ahead = [op for op in ops if op.attr("ahead")]
    wanted = {v for op in ahead for v in (*op.uses(), *op.into)}
    before: list[Op] = []
    for op in reversed(ops):
        if op.attr("ahead") or any(r in wanted for r in op.results):
            before.append(op)
            wanted |= set(op.uses())
    return before[::-1], [op for op in ops if not op.attr("ahead")]
