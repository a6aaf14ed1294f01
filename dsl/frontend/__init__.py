"""From a definition and what it is specialised for to a kernel in the value form of the IR."""
from __future__ import annotations

import numpy as np

from ..definition import Definition, Specialisation, is_constant
from ..dims import Annotation, dim_names, dim_text, with_numbers
from ..errors import DslError, check
from ..ir import Const, Kernel
from ..types import DTYPES, INDEX, DType, TensorType, TileType
from .emitter import Emitter
from .expressions import dimension
from .statements import Statements
from .values import shown

__all__ = ["build"]


def build(definition: Definition, spec: Specialisation) -> Kernel:
    """The kernel for one specialisation.  `definition.annotations` must be filled.  DslError, at the user's line, for whatever the language refuses."""
    emitter = Emitter()
    try:
        return _build(emitter, definition, spec)
    except DslError as error:
        raise error.located(definition.source.name_loc()) from None


def _build(emitter: Emitter, definition: Definition, spec: Specialisation) -> Kernel:
    dtypes = dict(spec.dtypes)
    given = {**definition.defaults, **dict(spec.consts)}
    for name in definition.consts:
        check(name in given, f"constant {name} is missing", hint=f"{definition.name}(.., {name}=..)")
    consts = {n: given[n].item() if isinstance(given[n], np.generic) else given[n] for n in definition.consts}
    for name, value in consts.items():
        good = is_constant(value) or isinstance(value, str)
        hint = "@tile_function" if callable(value) else ""
        check(good, f"constant {name}: expected a number, bool, dtype, tuple or tile function, got {shown(value)}", hint=hint)
    numbers = {n: v for n, v in consts.items() if isinstance(v, int) and not isinstance(v, bool)}
    present = {n: a for n, a in definition.annotations.items() if n not in spec.absent}
    params = {n: emitter.parameter(n, _parameter_type(n, a, dtypes, numbers, spec)) for n, a in present.items()}
    named = dict.fromkeys(n for a in present.values() for dim in a.dims or () for n in dim_names(dim) if n not in numbers)
    dims = {n: emitter.parameter(n, TileType(INDEX)) for n in named}
    scope = {**dims, **{n: Const(v, INDEX) for n, v in numbers.items()}}
    emitter.of_call.update(v for v in (*dims.values(), *params.values()) if isinstance(v.type, TileType))
    shapes = {v: tuple(dimension(emitter, d, scope) for d in present[n].dims or ()) for n, v in params.items() if isinstance(v.type, TensorType)}
    body = Statements(emitter, definition.fn, definition.source, "", {**dtypes, **dims}, shapes)
    body.names = {**consts, **dict.fromkeys(sorted(spec.absent)), **params}
    body.block(definition.source.tree.body)
    return Kernel(definition.name, tuple(params.values()), tuple(dims.values()), emitter.finish(), spec.facts, loc=definition.source.name_loc())


def _parameter_type(name: str, a: Annotation, dtypes: dict[str, DType], numbers: dict[str, int], spec: Specialisation) -> TensorType | TileType:
    check(a.variable is None or a.dtype in dtypes, f"{name}: dtype {a.dtype} is not given")
    dtype = DTYPES[a.dtype] if a.variable is None else dtypes[a.dtype]
    if a.dims is None:
        return TileType(dtype)
    dims = tuple(dim_text(with_numbers(d, numbers)) for d in a.dims)
    return TensorType(dtype, dims, a.packing, dict(spec.units).get(name, ()), name in spec.aligned)
