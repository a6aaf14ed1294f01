"""A call's arguments against a kernel's signature: what is bound, what is wrong, and what the compiled kernel may take for granted."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from dslc.definition import Definition, Specialisation, TileFunction
from dslc.dims import Annotation, Dim, dim_names, dim_text, evaluate
from dslc.errors import DslError, check
from dslc.types import DTYPES, DType

from .arrays import Array

LINE = 16                # bytes: the alignment class of the specialisation (LANGUAGE, section 2)


Advice = Callable[[Mapping[str, Array], Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Binding:
    """One call, bound.  `arrays` and `scalars` by parameter; `dims` every named dimension; `spec` without facts."""

    arrays: dict[str, Array]
    scalars: dict[str, Any]
    dims: dict[str, int]
    spec: Specialisation
    fields: dict[str, tuple[int, ...]]                      # elements in a stored word, by parameter and dimension

    @property
    def extents(self) -> dict[str, tuple[int, ...]]:
        """Shapes in elements, by parameter: packed dimensions counted in fields."""
        return {n: tuple(s * f for s, f in zip(x.shape, self.fields[n], strict=True)) for n, x in self.arrays.items()}

    def holds(self, dim: str, divisor: int) -> bool:
        """Whether a wanted fact is true of this call."""
        return self.dims[dim] % divisor == 0


def bind(definition: Definition, given: Mapping[str, Any], read: Callable[[str, Any], Array | None], advise: Advice | None = None) -> Binding:
    """Check rank, dtype, dimensions and constants.  `given` has a value for each parameter that the call or a default gave.

    `advise` then has its say on constants: from the arrays and the values of dtypes and dimensions to values by name.
    Raises DslError, beginning with the parameter's name, for whatever does not fit.
    """
    arrays: dict[str, Array] = {}
    scalars: dict[str, Any] = {}
    dtypes: dict[str, tuple[str, DType]] = {}
    absent: list[str] = []
    for name, a in definition.annotations.items():
        value = given.get(name)
        if value is None:
            check(a.optional, f"{name} is missing", hint=f"{definition.name} takes {name}: {a}")
            absent.append(name)
        elif a.dims is None:
            scalars[name] = scalar(name, DTYPES[a.dtype] if a.variable is None else _scalar_type(name, a, dtypes), value)
        else:
            array = read(name, value)
            check(array is not None, f"{name}: expected an array, got {type(value).__name__}", hint=f"{name}: {a}")
            assert array is not None
            _check_type(name, a, array, dtypes)
            arrays[name] = array
    dims = dimensions(definition.annotations, {n: x.shape for n, x in arrays.items()})
    given = {**given, **(advise(arrays, {**{v: d for v, (_, d) in dtypes.items()}, **dims}) if advise else {})}
    consts = {name: _constant(definition, name, given, dims) for name in definition.consts}
    spec = Specialisation(tuple(consts.items()), tuple((v, d) for v, (_, d) in dtypes.items()), frozenset(absent),
                          tuple((n, units(x)) for n, x in arrays.items() if units(x)), frozenset(n for n, x in arrays.items() if aligned(x)))
    return Binding(arrays, scalars, {n: v for n, v in dims.items() if n not in consts}, spec,
                   {n: fields_of(definition.annotations[n]) for n in arrays})


def _scalar_type(name: str, a: Annotation, dtypes: Mapping[str, tuple[str, DType]]) -> DType:
    check(a.dtype in dtypes, f"{name}: dtype {a.dtype} is not bound by a tensor before it")
    return dtypes[a.dtype][1]


def _check_type(name: str, a: Annotation, x: Array, dtypes: dict[str, tuple[str, DType]]) -> None:
    check(a.dims is not None and len(x.shape) == len(a.dims), f"{name}: expected {a}, got shape {x.shape}")
    if a.variable is None:
        want = a.word or a.dtype
        want = "i64" if want == "index" else want
        check(x.dtype == want, f"{name}: expected {a}, got {x.dtype}", hint=f"{name}.astype({want})" if a.word is None else f"pass the packed words as {want}")
        return
    first, dtype = dtypes.setdefault(a.dtype, (name, DTYPES[x.dtype]))
    check(dtype.name == x.dtype, f"{name}: dtype {a.dtype} is {dtype} by {first}, got {x.dtype}")


def dimensions(annotations: Mapping[str, Annotation], shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Named dimensions from the shapes of arrays (packed ones in elements); DslError naming the argument that disagrees."""
    names: dict[str, int] = {}
    later: list[tuple[str, int, Dim, int]] = []
    for parameter, shape in shapes.items():
        a = annotations[parameter]
        assert a.dims is not None
        for d, (dim, words, fields) in enumerate(zip(a.dims, shape, fields_of(a), strict=True)):
            n = words * fields
            if isinstance(dim, str):
                first = names.setdefault(dim, n)
                check(first == n, f"{parameter}: dimension {d} must be {dim} = {first}, got {n}")
                check(n < 2 ** 31, f"{parameter}: dimension {d} is {n}, the limit is 2^31 - 1")
            else:
                later.append((parameter, d, dim, n))
    for parameter, d, dim, n in later:
        for unbound in dim_names(dim):
            check(unbound in names, f"{parameter}: dimension {d} is {dim_text(dim)}, and {unbound} is bound by no argument")
        value: Fraction = evaluate(dim, names)
        check(value == n, f"{parameter}: dimension {d} must be {dim_text(dim)}, got {n}")
    return names


def fields_of(a: Annotation) -> tuple[int, ...]:
    """Elements in one stored element, along each dimension: 1 but for the packed one."""
    packing = a.packing
    return tuple(packing.word.bits // DTYPES[a.dtype].bits if packing and d == packing.axis else 1 for d in range(len(a.dims or ())))


def _constant(definition: Definition, name: str, given: Mapping[str, Any], dims: Mapping[str, int]) -> Any:
    value = given.get(name, dims.get(name, _MISSING))
    check(value is not _MISSING, f"constant {name} is missing", hint=f"{definition.name}(.., {name}=..)")
    if name in dims:
        check(value == dims[name], f"constant {name} is {value}, but the arrays say {dims[name]}")
    return plain_constant(name, value)


_MISSING = object()


def plain_constant(name: str, value: Any) -> Any:
    """A constant as the front end takes it; DslError for what cannot be one."""
    if isinstance(value, tuple):
        return tuple(plain_constant(name, v) for v in value)
    if value is None or isinstance(value, bool | int | float | str | DType | TileFunction):
        return value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    raise DslError(f"constant {name}: expected a number, bool, dtype, tuple or tile_function, got {type(value).__name__}")


def scalar(name: str, dtype: DType, value: Any) -> Any:
    """A scalar argument as Python's own number, checked against the range of its type.  Floats round to nearest; too large becomes inf."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if dtype.kind == "f":
        check(isinstance(value, int | float) and not isinstance(value, bool), f"{name}: expected {dtype}, got {type(value).__name__}")
        with np.errstate(over="ignore"):
            rounded = dtype.numpy.type(value)
        return float(rounded) if dtype.bits >= 32 else int(rounded.view(f"u{dtype.bytes}"))
    if dtype.kind == "b":
        check(isinstance(value, bool), f"{name}: expected bool, got {type(value).__name__}")
        return value
    check(isinstance(value, int) and not isinstance(value, bool), f"{name}: expected {dtype}, got {type(value).__name__}")
    check(dtype.lo <= value <= dtype.hi, f"{name}: {value} does not fit {dtype}", hint=f"{dtype.lo} to {dtype.hi}")
    return value


def units(x: Array) -> tuple[int, ...]:
    """Dimensions with stride 1; of several (extents of 1 give them) only the last, which is the one worth knowing."""
    return tuple(d for d, s in enumerate(x.strides) if s == 1)[-1:]


def aligned(x: Array) -> bool:
    """Whether the address and all strides but the unit one are multiples of 16 bytes, and none is negative, which bulk copies cannot have."""
    return x.pointer % LINE == 0 and all(s >= 0 and s * x.itemsize % LINE == 0 for d, s in enumerate(x.strides) if (d,) != units(x))
