"""Ops that order others: grid, loops, branches, memory, and those that only passes write (map, alloc, copy, view, barrier).

The interpreter and the renderers give these their meaning; the entry here fixes form, type and documentation.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import check
from ..ir import Operand, Span, Value
from ..types import BOOL, F32, I32, I64, INDEX, U32, TileType
from .table import Attrs, Infer, Types, broadcast, describe, op

ATOMIC_TYPES = (I32, U32, I64, F32)


def _nothing(_types: Types, _attrs: Attrs) -> tuple[TileType, ...]:
    return ()


def _carried(types: Types, _attrs: Attrs) -> tuple[TileType, ...]:
    return tuple(t.value for t in types)


def _absent(*_args: Any, **_attrs: Any) -> Any:
    raise NotImplementedError("control ops have their meaning in the interpreter")


def _declare(signature: str, doc: str, infer: Infer, *, group: str = "a", effect: str = "", language: bool = False) -> None:
    op(signature, doc, group=group, effect=effect, language=language, infer=infer)(_absent)


def _grid_type(types: Types, _attrs: Attrs) -> tuple[TileType, ...]:
    check(types, "grid: at least one extent is needed", hint="tile.grid(1) runs one program")
    for t in types:
        check(t.dtype.kind == "i" and t.shape == (), f"grid: an extent must be an integer scalar, got {describe(t)}")
    return (TileType(INDEX),) * len(types)


def _assume_type(types: Types, _attrs: Attrs) -> tuple[TileType, ...]:
    check(types[0] == TileType(BOOL), f"assume: expected a comparison of scalars, got {describe(types[0])}")
    return ()


def _for_type(types: Types, _attrs: Attrs) -> tuple[TileType, ...]:
    for t in types[:2]:
        check(t == TileType(INDEX) or t == TileType(I32), f"range: a bound must be an index scalar, got {describe(t)}")
    return _carried(types[2:], _attrs)


def _branch_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    check(types[0].value == TileType(BOOL), f"a condition must be a scalar, got {describe(types[0])}", hint="use where, & and | on tiles")
    return tuple(attrs.get("types", ()))


def access_shape(coordinates: Sequence[Operand], what: str = "access") -> tuple[int, ...]:
    """The tile shape of an access: a span gives an axis of its extent, index tiles broadcast together and stand where the first does.

    DslError if the index tiles do not broadcast.
    """
    tiles = [c.tile.shape for c in coordinates if isinstance(c, Value) and c.tile.shape]
    gathered = broadcast(f"{what}: index tiles of shapes", *tiles, hint="rows[:, None] and cols[None, :] address a block")
    shape: list[int] = []
    placed = False
    for c in coordinates:
        if isinstance(c, Span):
            shape.append(c.extent)
        elif isinstance(c, Value) and c.tile.shape and not placed:
            shape.extend(gathered)
            placed = True
    return tuple(shape)


_declare("grid(*extents: I) -> index", "This program's coordinates, 0..extent-1 each; extents are scalars of the call.", _grid_type, language=True)
_declare("assume(c: bool) ->", "A fact about scalars of the call, checked before launch, that may be used.", _assume_type, effect="order", language=True)
_declare("for(start: I, stop: I, *carried: T; step) -> T",
         "The body |index, carried..| for start, start + step, .. below stop; carried tiles enter, are yielded, and leave.", _for_type, effect="order")
_declare("while(*carried: T) -> T", "Bodies (condition, trip): the trip runs while the condition yields true.", _carried, effect="order")
_declare("if(c: bool) -> T", "Bodies (then, else): one of them runs and yields the results.", _branch_type, effect="order")
_declare("yield(*values: T) ->", "Ends a body and hands its values out.", _nothing, effect="order")
_declare("coordinate(; axis) -> index", "Inside a map: the element's index along an axis of the map's shape.", lambda _t, _a: (TileType(INDEX),), group="c")


def _map_type(types: Types, attrs: Attrs) -> tuple[TileType, ...]:
    return tuple(TileType(d, attrs["shape"]) for d in attrs["dtypes"])


_declare("map(*inputs: T; shape, dtypes) -> T", "One fused elementwise loop: the body computes one element of each result from one of each input, "
         "inputs broadcast to `shape`.", _map_type, group="e")

# Types of accesses follow from operands, not from operand types alone: the verifier derives them by access_shape.
_declare("load(t: tensor, *at: T; pad=0, inside=None) -> T", "The elements at a place; `pad` where a coordinate is outside the tensor.", _nothing,
         group="b", effect="read", language=True)
_declare("store(t: tensor, value: T, *at: T; inside=None) ->", "Write `value`, broadcast to the place; elements outside the tensor are dropped.", _nothing,
         group="b", effect="write", language=True)
for _name, _word in (("add", "Add the value to"), ("min", "Lower to the value, where it is less,"), ("max", "Raise to the value, where it is greater,")):
    _declare(f"atomic_{_name}(t: tensor, value: T, *at: T; inside=None) ->",
             f"{_word} the elements at a place, indivisibly; i32 u32 i64 f32; duplicates allowed.", _nothing, group="b", effect="write", language=True)

# ---------------------------------------------------------------- written by passes only
_declare("alloc() -> T", "A new place; its contents are undefined until written.", _nothing, group="p")
_declare("copy(x: T) -> T", "The same elements in another place.", _carried, group="p")
_declare("view(x: T; start=None) -> T", "Another type on the elements of a place, from element `start` on: shape and layout change, nothing moves.",
         _nothing, group="p")
_declare("barrier(; after, before) ->", "What `after` names is complete and visible to what `before` names; targets that order by pipe need both names.",
         _nothing, group="p", effect="order")
