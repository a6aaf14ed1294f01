"""A whole backend in one folder: C++ with one loop for each axis, one program after another.  What is hard it lacks."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from dslc.backend import Backend
from dslc.backends.cpu.library import HEADERS, CppToolchain
from dslc.errors import DslError
from dslc.ir import Body, Const, Kernel, Op, Operand, Span, Value
from dslc.ops.control import access_shape
from dslc.passes.lifetimes import arena_bytes
from dslc.render import Scope
from dslc.runtime.abi import c_type, fields, launcher
from dslc.types import DTYPES, Space

Context = dict[str, Any]
KEYWORDS = frozenset("""double float int long short signed unsigned const for if else while return void struct union enum switch case default static this
new delete class template""".split())
LACKS = frozenset("argmax argmin atomic_add atomic_max atomic_min concat cumsum pack segment_sum take unpack".split())


# ---------------------------------------------------------------- elements
def loops(shape: tuple[int, ...]) -> list[Context]:
    return [{"index": f"e{axis}", "extent": n} for axis, n in enumerate(shape)]


def element(v: Operand, shape: tuple[int, ...], scope: Scope, skip: int = -1) -> str:
    """The element of a tile at e0, e1, .. of `shape`, to which it is broadcast; `skip` is an axis of `shape` that the tile has not."""
    if not isinstance(v, Value) or not v.tile.shape:
        return scope.scalar(v)  # type: ignore[arg-type]
    axes = [a for a in range(len(shape)) if a != skip][-len(v.tile.shape):]
    terms = [f"e{a} * {s}" for a, n, s in zip(axes, v.tile.shape, v.tile.strides, strict=True) if n > 1]
    return f"({scope.name(v)})[{' + '.join(terms) or '0'}]"


def target(op: Op, shape: tuple[int, ...], scope: Scope, skip: int = -1) -> str:
    """Where the result goes: an element of a place, or a scalar that is bound here."""
    return element(op.into[0], shape, scope, skip) if op.into else f"{scope.type(op.result.tile.dtype)} {scope.name(op.result)}"


def scalars(body: Body, inputs: list[str], scope: Scope) -> tuple[list[str], list[str]]:
    """The statements of a body of scalar ops, and what it yields."""
    lines = []
    scope.inlined.update(zip(body.params, inputs, strict=True))
    for op in body.ops[:-1]:
        text = f"({scope.type(op.result.tile.dtype)})e{op.attr('axis')}" if op.name == "coordinate" else scope.expression(op)
        lines.append(str(scope.macros["bind"](type=scope.type(op.result.tile.dtype), name=scope.name(op.result), value=text)))
    return lines, [scope.scalar(v) for v in body.result]


# ---------------------------------------------------------------- ops
def alloc(op: Op, scope: Scope) -> Context:
    t = op.result.tile
    assert t.place is not None
    return {"type": scope.type(t.dtype), "name": scope.name(op.result), "offset": scope.bases[t.place.space] + (t.place.offset or 0) if t.shape else ""}


def view(op: Op, scope: Scope) -> Context:
    assert isinstance(op.args[0], Value)
    scope.names[op.result] = f"{scope.name(op.args[0])} + {op.attr('start', 0)}"
    return {}


def elements(op: Op, scope: Scope) -> Context:
    shape = op.target.tile.shape
    value = "e0" if op.name == "iota" else element(op.args[0], shape, scope) if op.into else element(op.args[0], (1,) * 9, scope)
    return {"loops": loops(shape), "to": target(op, shape, scope), "value": value}


def map_(op: Op, scope: Scope) -> Context:
    shape = op.attr("shape")
    lines, values = scalars(op.bodies[0], [element(v, shape, scope) for v in op.args], scope)
    return {"loops": loops(shape), "body": lines, "writes": [f"{element(v, shape, scope)} = {value};" for v, value in zip(op.into, values, strict=True)]}


def reduction(op: Op, scope: Scope) -> Context:
    shape = op.attr("shape") or op.args[0].tile.shape  # type: ignore[union-attr]
    axis = op.attr("axis") % len(shape)
    texts = [element(v, shape, scope) for v in op.args]
    lines, (value,) = scalars(op.bodies[0], texts, scope) if op.bodies else ([], texts)
    along = loops(shape)
    return {"loops": along[:axis] + along[axis + 1:], "along": along[axis], "body": lines, "value": value, "to": target(op, shape, scope, axis),
            "total": element(op.into[0], shape, scope, axis) if op.into else scope.name(op.result), "type": scope.type(op.target.tile.dtype)}


def dot(op: Op, scope: Scope) -> Context:
    a, b = (v.tile for v in op.args[:2])  # type: ignore[union-attr]
    return {"m": a.shape[0], "n": b.shape[1], "k": a.shape[1], "type": scope.type(op.into[0].tile.dtype), "accumulate": len(op.args) == 3,
            "acc": scope.name(op.into[0]), "a": scope.name(op.args[0]), "b": scope.name(op.args[1]),  # type: ignore[arg-type]
            "strides": [*op.into[0].tile.strides, *a.strides, *b.strides]}


def memory(op: Op, scope: Scope) -> Context:
    tensor, coords = op.args[0], op.args[1 if op.name == "load" else 2:]
    assert isinstance(tensor, Value)
    if tensor.tensor.packing is not None or any(isinstance(c, Value) and c.tile.shape for c in coords):
        raise DslError(f"{op.name}: plain has neither packed tensors nor gathers", op.loc, hint="another target")
    shape, name, inside, offset, axis = access_shape(coords), scope.name(tensor), [], [], 0
    for d, c in enumerate(coords):
        text = f"({scope.atom(c.start)} + e{axis})" if isinstance(c, Span) else scope.atom(c)
        inside.append(f"0 <= {text} && {text} < {scope.dim(tensor.tensor.dims[d])}")
        if isinstance(c, Span):
            axis += 1
            inside += [f"{text} < {scope.atom(c.stop)}"] if c.stop is not None else []
        offset.append(f"{text} * {scope.name_of_strides(name)}[{d}]")
    here = {"loops": loops(shape), "inside": " && ".join(inside), "memory": f"{name}[{' + '.join(offset)}]"}
    if op.name == "load":
        return here | {"to": target(op, shape, scope), "pad": scope.literal(Const(op.attr("pad", 0), tensor.tensor.dtype))}
    return here | {"value": element(op.args[1], shape, scope)}


def cast(op: Op, scope: Scope) -> Context:
    source, to = op.args[0].tile.dtype, op.attr("dtype")  # type: ignore[union-attr]
    narrow = [d for d in (source, to) if d.kind == "f" and d.bits < 32]
    how = "to integer" if source.kind == "f" and to.kind == "i" else "plain" if not narrow else "widen" if to.bits >= 32 else "convert"
    return {"how": how, "via": "f32", "rounding": op.attr("round") or "rne", "lo": 0, "hi": 0, "narrow": source in narrow}


DESCRIBE = {"alloc": alloc, "view": view, "map": map_, "dot": dot, "cast": cast, "load": memory, "store": memory, **dict.fromkeys(("sum", "max", "min"),
    reduction),
            **dict.fromkeys(("copy", "full", "broadcast", "transpose", "reshape", "split", "iota"), elements)}


# ---------------------------------------------------------------- the file
def frame(kernel: Kernel, scope: Scope) -> Context:
    """One function: the arguments, the scalars of the call, a loop for each extent of the grid, the program."""
    size = 0
    for space in Space:
        scope.bases[space] = size
        size += arena_bytes(kernel).get(space, 0)
    ops = kernel.body.ops
    at = next(n for n, op in enumerate(ops) if op.name == "grid")
    members, names = fields(kernel), {v.name: scope.name(v) for v in (*kernel.params, *kernel.dims)}
    rows = []
    for f in members:
        name = names[f.name]
        if f.kind == "strides":
            rows.append({"member": f"int64_t {name}_strides_[{max(f.count, 1)}]",
                         "local": f"const int64_t *const {scope.name_of_strides(name)} = p->{name}_strides_;"})
        elif f.kind == "pointer":
            assert f.dtype is not None
            rows.append({"member": f"void *{name}_", "local": f"{scope.type(f.dtype)} *const {name} = ({scope.type(f.dtype)} *)p->{name}_;"})
        else:
            rows.append({"member": f"{c_type(f.dtype)} {name}_", "local": f"const {scope.type(f.dtype) if f.dtype else 'index_t'} {name} = p->{name}_;"})
    prologue = scope.body(ops[:at])
    grid = [{"index": scope.name(r), "extent": scope.atom(a)} for r, a in zip(ops[at].results, ops[at].args, strict=True)]
    return {"launcher": launcher(kernel.name), "rows": rows, "prologue": prologue, "grid": grid, "body": scope.body(ops[at + 1:]), "arena": size + 64}


BACKEND = Backend(
    name="plain",
    folder=Path(__file__).resolve().parent,
    files={"{name}.cpp": "plain.cpp.j2"},
    header_files=HEADERS[:2],
    types={name: {"u1": "u8", "u2": "u8", "u4": "u8", "i4": "i8", "index": "index_t"}.get(name, name) for name in DTYPES},
    passes=("fold", "simplify", "cse", "dce", "fuse", "places"),
    describe=lambda op, scope: DESCRIBE[op.name](op, scope),
    frame=frame,
    toolchain=CppToolchain(),
    lacks=LACKS,
    devices=("cpu",),
    reserved=KEYWORDS | {f"e{n}" for n in range(10)} | {"p", "arena", "scratch"},
)
