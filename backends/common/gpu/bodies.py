"""Scalar bodies of maps and reductions as statements, and when a worker may write what they yield."""
from __future__ import annotations

from collections.abc import Callable, Iterable

from dslc.ir import Body, Value
from dslc.render import INLINE, LAST, Scope
from dslc.types import DTYPES, DType

from .nests import Over
from .tiles import is_shared


def guards(over: Over, targets: Iterable[Value]) -> list[str]:
    """When an element may be written: it exists, and if others can see the place, this worker is the first that holds it."""
    return over.guards(replicas=any(is_shared(v) for v in targets))


def block(scope: Scope, body: Body, inputs: Iterable[Value], texts: Iterable[str], coordinate: Callable[[int], str]) -> tuple[list[str], list[str]]:
    """The statements of a scalar body, and the expressions it yields.  Parameters read once are spelled where they are read, but for elements
    of shared places, which get a type by getting a name.
    """
    lines: list[str] = []

    def bind(v: Value, text: str, inline: bool) -> None:
        if inline:
            scope.inlined[v] = text
            return
        scope.inlined.pop(v, None)
        lines.append(scope.say("bind", scope.type(v.tile.dtype), scope.name(v), text))

    for p, v, text in zip(body.params, inputs, texts, strict=True):
        bind(p, text, scope.uses.get(p, 0) <= 1 and not (v.tile.shape and is_shared(v)))
    for op in body.ops[:-1]:
        if op.name == "coordinate":
            scope.inlined[op.result] = typed_index(scope, coordinate(op.attr("axis")), op.result.tile.dtype)
            continue
        text = scope.expression(op)
        limit = LAST if op.result in body.result else INLINE
        bind(op.result, text, scope.uses.get(op.result, 0) <= 1 and len(text) <= limit)
    return lines, [scope.scalar(a) for a in body.result]


def typed_index(scope: Scope, text: str, dtype: DType) -> str:
    """An index along an axis, which is spelled in i32, in the type that the kernel computes with."""
    return text if dtype is DTYPES["i32"] or text.isdigit() else scope.say("converted", scope.type(dtype), text)
