"""Crossings of loops that follow each other go through the same rings: fewer flags and less workspace, and a loop that was split in two costs none more.

Between the two sides a ring is a queue.  Both sides run the loops of a body in the same order, and a ring whose puts and takes are all inside one loop is
empty between that loop and the next; so what the second loop puts is taken in its order too.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import replace

from dslc.ir import Body, Kernel, Op, walk


def share_rings(kernel: Kernel) -> Kernel:
    """Assumes crossings.  Then `edge` of puts and takes and the kernel's `edges` number rings, from 0, which several of them may use one after another."""
    rows: dict[int, tuple[object, ...]] = {row[0]: row[1:] for row in kernel.attr("edges", ())}
    ring = {op.attr("edge"): op.attr("edge") for op in walk(kernel.body) if op.attr("side") == "take"}
    ends = Counter(_edges(kernel.body.ops))

    def visit(body: Body) -> None:
        pool: list[int] = []
        for op in body.ops:
            for b in op.bodies:
                visit(b)
        for op in body.ops:
            if op.name in ("for", "while"):
                join(_edges([op]), pool)

    def join(inside: list[int], pool: list[int]) -> None:
        """The rings of one loop become those of the loops before it, of the same form, that are all inside these."""
        count, users = Counter(inside), dict[int, list[int]]()
        for e in dict.fromkeys(e for e in inside if e in ring):
            users.setdefault(ring[e], []).append(e)
        every = {r: [e for e in ring if ring[e] == r] for r in users}
        free = list(pool)
        for r, edges in users.items():
            if any(count[e] != ends[e] for e in every[r]):
                continue
            same = next((p for p in free if rows[p] == rows[r]), None)
            if same is None:
                pool.append(r)
            else:
                free.remove(same)
                ring.update(dict.fromkeys(edges, same))

    visit(kernel.body)
    number = {r: n for n, r in enumerate(dict.fromkeys(ring.values()))}

    def renamed(body: Body) -> Body:
        ops = (replace(op, bodies=tuple(map(renamed, op.bodies))) if op.bodies else
               op.having(edge=number[ring[op.attr("edge")]]) if op.attr("edge") in ring else op for op in body.ops)
        return replace(body, ops=tuple(ops))

    return replace(kernel, body=renamed(kernel.body)).having(edges=tuple((n, *rows[r]) for r, n in number.items()) or None)


def _edges(ops: tuple[Op, ...] | list[Op]) -> list[int]:
    """The edge of each put and take in some ops."""
    return [o.attr("edge") for op in ops for o in (op, *(i for b in op.bodies for i in walk(b))) if o.attr("cross")]
