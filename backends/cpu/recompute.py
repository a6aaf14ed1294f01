"""Tiles that are as dear to read as to compute: computed where they are used, and not kept."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from dslc.ir import Arg, Body, Kernel, Op, Value, used_values
from dslc.ops.structure import REDUCTIONS
from dslc.passes._rewriting import clone, scalars
from dslc.types import DTYPES, TileType

CHEAP = ("add", "sub", "mul", "neg", "abs")
MOST = 8            # ops that are done again, over all users: a place is written once, and read by each


def recompute(kernel: Kernel) -> Kernel:
    """Assumes the value form, fused.  Then no map of a few cheap ops on one tile of its size, and on smaller ones, has a result that only maps and
    reductions beside it read element by element: they compute it themselves.  A row that is larger than a cache near the arithmetic is read
    from where it was loaded, and not written and read besides.
    """
    return replace(kernel, body=_body(kernel.body))


def _body(body: Body) -> Body:
    ops = [replace(o, bodies=tuple(_body(b) for b in o.bodies)) if o.name in ("for", "while", "if") else o for o in body.ops]
    for maker in [o for o in ops if o.name == "map"]:
        at = next(n for n, o in enumerate(ops) if o.results == maker.results)
        users = [o for o in ops[at + 1:] if any(r in used_values(o) for r in maker.results)]
        if _worth(ops[at], users):
            ops = [*ops[:at], *(_taking_in(ops[at], o) if o in users else o for o in ops[at + 1:])]
    return replace(body, ops=tuple(ops))


def _worth(maker: Op, users: Sequence[Op]) -> bool:
    """Whether the users can compute the map's result, and it takes little of them."""
    if len(maker.results) != 1 or not users:
        return False
    shape, work = maker.attr("shape"), maker.bodies[0].ops[:-1]
    large = [v for v in maker.uses() if v.tile.size > maker.result.tile.size // 8]
    cheap = all(o.name in CHEAP or _widens(o) for o in work) and len(work) * len(users) <= MOST
    return len(large) == 1 and large[0].tile.bytes <= maker.result.tile.bytes and large[0].tile.shape == shape and prod(shape[:-1]) < prod(shape) \
        and (cheap or _together(users)) \
        and all(o.name in ("map", *REDUCTIONS) and _shape(o) == shape and list(o.uses()).count(maker.result) == 1 for o in users)


def _together(users: Sequence[Op]) -> bool:
    """Whether they are an extreme element and its index, which one pass finds."""
    return len(users) == 2 and sorted(o.name for o in users) in (["argmax", "max"], ["argmin", "min"]) \
        and len({(o.args, o.attr("axis"), len(o.bodies)) for o in users}) == 1


def _widens(op: Op) -> bool:
    """Whether it is a conversion that only moves bits."""
    return op.name == "cast" and op.result.tile.dtype is DTYPES["f32"] and all(v.tile.dtype is DTYPES["bf16"] for v in op.uses())


def _shape(op: Op) -> tuple[int, ...]:
    """The elements that a map or reduction visits."""
    shape: tuple[int, ...] = op.attr("shape") or next(op.uses()).tile.shape
    return shape


def _taking_in(maker: Op, user: Op) -> Op:
    """The map or reduction with the maker's work in its own body."""
    body, dtype = user.bodies[0] if user.bodies else None, maker.result.tile.dtype
    if body is None:
        element = Value(maker.result.name, TileType(dtype))
        body = Body((element,), (Op("yield", (element,), loc=user.loc),))
        user = user.having(shape=_shape(user), dtype=dtype)
    inputs = {a: p for a, p in zip(scalars(user), body.params, strict=True) if a is not maker.result}
    new: dict[Value, Arg] = {p: inputs.setdefault(a, Value(p.name, p.type)) for a, p in zip(scalars(maker), maker.bodies[0].params, strict=True)}
    work = [clone(o, new) for o in maker.bodies[0].ops[:-1]]
    (made,) = maker.bodies[0].result
    mine = next(p for a, p in zip(user.args, body.params, strict=True) if a is maker.result)
    assert isinstance(made, Value)
    again = {mine: new[made]}
    ops = (*work, *(clone(o, again) for o in body.ops))
    return replace(user, args=tuple(inputs), bodies=(Body(tuple(inputs.values()), ops),))
