"""Sums of bits: of one operand, and of all pairs of rows of two, which need not be made pair by pair."""
from __future__ import annotations

from dataclasses import replace

from dslc.ir import Body, Op, Value

from .nests import spread

BITWISE = ("and", "or", "xor", "not")
LEAST_ROWS, PLANE, BLOCK, MOST = 8, 32, 16, 4096        # rows that repay planes of the others; rows of a plane; bytes of a row: a multiple, the most


def counted(op: Op) -> Body | None:
    """The body of a sum of popcounts of whole integers, without the popcount."""
    body = op.bodies[0] if op.bodies else None
    if op.name != "sum" or body is None or len(body.ops) < 2:
        return None
    last = body.ops[-2]
    if last.name != "popcount" or body.result != last.results or not isinstance(last.args[0], Value) or last.args[0].tile.dtype.bits < 8:
        return None
    return replace(body, ops=(*body.ops[:-2], replace(body.ops[-1], args=last.args)))


def of_pairs(op: Op) -> tuple[int, int] | None:
    """Which operand of sum[i, j] = the bits of f(x[i], y[j]) goes with i, and which with j; None if op is none such, f is more than bitwise operations
    on the two, or it has a shape for which `sum_bits_of_pairs` is not made.
    """
    body, shape = counted(op), op.attr("shape")
    if body is None or shape is None or len(shape) != 3 or op.attr("axis") % 3 != 2 or len(op.args) != 2 or not all(isinstance(v, Value) for v in op.args):
        return None
    if any(o.name not in BITWISE or not all(isinstance(a, Value) for a in o.args) for o in body.ops[:-1]):
        return None
    m, n, k = shape
    bytes_ = k * body.params[0].tile.dtype.bytes
    if m < LEAST_ROWS or m % 2 or n % PLANE or bytes_ % BLOCK or bytes_ > MOST or op.target.tile.strides[1:] != (1,):
        return None
    moved = [tuple(s != 0 for s in spread(v.tile, shape)) for v in op.args if isinstance(v, Value) and spread(v.tile, shape)[2] == 1]
    return (moved.index((True, False, True)), moved.index((False, True, True))) if len(set(moved)) == 2 and (True, True, True) not in moved else None
