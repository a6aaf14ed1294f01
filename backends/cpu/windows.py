"""Operands of dot that are read where they stand: a load that only feeds products need not copy what lies inside its tensor."""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Kernel, Op, Span, Value, walk
from dslc.runtime.abi import written


def windows(kernel: Kernel) -> Kernel:
    """Assumes the placed form.  Then holds: a load of two spans and any points, of an unpacked tensor that the kernel never writes, whose
    place is read by `dot` alone, as it is or transposed, carries `window=True`.

    Such a load is a pointer with the tensor's strides when every element is inside, and a padded copy otherwise: decided at run time, so
    that ragged edges cost nothing elsewhere.
    """
    stored = written(kernel)
    readers: dict[Value, list[Op]] = {}
    writers: dict[Value, list[Op]] = {}
    for op in walk(kernel.body):
        for v in set(op.uses()):
            readers.setdefault(v, []).append(op)
        for v in op.into:
            writers.setdefault(v, []).append(op)

    def multiplied(v: Value) -> bool:
        return all((o.name == "dot" and v not in (*o.into, *o.args[2:])) or (o.name == "view" and turned(o) and multiplied(o.result))
                   for o in readers.get(v, []))

    def mark(op: Op) -> Op:
        inner = replace(op, bodies=tuple(replace(b, ops=tuple(mark(o) for o in b.ops)) for b in op.bodies))
        if op.name != "load" or not op.into or len(op.into[0].tile.shape) != 2:
            return inner
        tensor, place = op.args[0], op.into[0]
        assert isinstance(tensor, Value)
        plain = sum(isinstance(c, Span) for c in op.args[1:]) == 2 and tensor.tensor.packing is None and tensor not in stored
        return inner.having(window=True) if plain and len(writers[place]) == 1 and multiplied(place) else inner

    return kernel.with_ops([mark(op) for op in kernel.body.ops])


def turned(op: Op) -> bool:
    """Whether a view is the transpose of its operand."""
    source, result = next(op.uses()).tile, op.result.tile
    return result.shape == source.shape[::-1] and result.strides == source.strides[::-1] and not op.attr("start")
