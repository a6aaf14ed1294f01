"""The passes of this target alone, between the value form and what is rendered."""
from __future__ import annotations

from dslc.ir import Arg, Const, Kernel, Op, Value
from dslc.ops.control import access_shape
from dslc.passes._rewriting import Change, fit, to_fixpoint
from dslc.types import TileType

from . import arrange as _arrange
from . import compare_offsets as _compare_offsets
from . import split as units
from . import vector_ops
from .memory import MEMORY_OPS


def compare_offsets(kernel: Kernel) -> Kernel:
    """Comparisons of positions are ones of small coordinates."""
    compared: Kernel = _compare_offsets.compare_offsets(kernel)
    return compared


def legalise(kernel: Kernel) -> Kernel:
    """Every op has a form on the vector or on the cube unit; what is stored has the shape of its place."""
    whole = to_fixpoint(kernel, _whole_values)
    legal: Kernel = vector_ops.legalise(whole)
    return legal


def split(kernel: Kernel) -> Kernel:
    """Every op has its unit."""
    placed: Kernel = units.split(kernel)
    return placed


def settle(kernel: Kernel) -> Kernel:
    """Places are in the memories of the units that use them."""
    settled: Kernel = units.settle(kernel)
    return settled


def arrange(kernel: Kernel) -> Kernel:
    """Pitches and offsets."""
    return _arrange.arrange(kernel)


def _whole_values(op: Op, _defs: object) -> Change | None:
    """A store or atomic of fewer elements than its place has: the value is spread first."""
    if op.name not in MEMORY_OPS[1:]:
        return None
    shape, value = access_shape(op.args[2:]), op.args[1]
    assert isinstance(value, Value | Const)
    if value.tile.shape == shape:
        return None
    like = Op(op.name, results=(Value(value.name if isinstance(value, Value) else "value", TileType(value.tile.dtype, shape)),), loc=op.loc)
    ops, values = fit(value, like)
    whole: Arg = values[0]
    return [*ops, Op(op.name, (op.args[0], whole, *op.args[2:]), op.attrs, loc=op.loc)], ()
