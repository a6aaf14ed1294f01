"""Is a kernel well formed?  Rules that hold of every op come from OPS; those of control, memory and places are in the table at the end."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .errors import DslError, check
from .ir import Arg, Body, Const, Kernel, Op, Operand, Span, Value, used_values, walk
from .ops import OPS, OpDef
from .ops.control import ATOMIC_TYPES, access_shape
from .ops.structure import REDUCTIONS
from .ops.table import REQUIRED, Param, admit, describe
from .text import literal, place_of
from .types import BOOL, I32, INDEX, DType, Place, TensorType, TileType, broadcasts_to

Types = tuple[TileType, ...]
_BODIES = {"for": 1, "while": 2, "if": 2, "map": 1}
_COUNTERS = (TileType(INDEX), TileType(I32))        # what counts programs and trips; i32 once narrowed


def verify(kernel: Kernel, after: str = "") -> None:
    """Raise DslError unless `kernel` is valid; `after` names the pass that made it.

    The error is at the source of the offending op, or at its line in the kernel's text form if it has no source.
    """
    checker = _Checker(kernel)
    try:
        checker.kernel_body()
        _Lives(checker).check()
    except DslError as bad:
        message = f"after {after}: {bad.message}" if after else bad.message
        loc = (checker.at.loc or place_of(kernel, checker.at)) if checker.at is not None else kernel.loc
        raise DslError(message, loc, hint=bad.hint) from None


def _spell_types(types: Sequence[Any]) -> str:
    return f"({', '.join(map(str, types))})"


class _Checker:
    """One walk in program order.  `visible` are the values that may be named, `call` those known before launch, `written` the places that
    may have been written, `roots` the alloc behind each place, `at` the op where a mistake is."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.placed = kernel, kernel.placed
        self.visible: set[Value] = set()
        self.bound: set[Value] = set()
        self.call: set[Value] = set()
        self.written: set[Value] = set()
        self.roots: dict[Value, Value] = {}
        self.at: Op | None = None
        self.depth = 0
        self.grid: Op | None = None
        self.shape: tuple[int, ...] | None = None       # of the map that the walk is inside of

    def need(self, ok: object, message: str, hint: str = "") -> None:
        check(ok, f"{self.at.name}: {message}" if self.at is not None else message, hint=hint)

    # ------------------------------------------------------------ structure
    def kernel_body(self) -> None:
        for v in self.kernel.params:
            self.need(isinstance(v.type, TensorType) or not v.tile.shape, f"parameter %{v.name} must be a tensor or a scalar, got {v.type}")
        for v in self.kernel.dims:
            self.need(v.type == TileType(INDEX), f"dimension %{v.name} must be index, got {v.type}")
        for name, divisor in self.kernel.facts:
            self.need(divisor > 0, f"fact {name}: {divisor} is not a divisor")
        self.call |= {*(v for v in self.kernel.params if isinstance(v.type, TileType)), *self.kernel.dims}
        yielded = self.block(self.kernel.body, (*self.kernel.params, *self.kernel.dims))
        self.need(self.grid is not None, "the kernel has no grid")
        self.at = self.kernel.body.ops[-1]
        self.need(not yielded, "the kernel yields nothing")

    def block(self, body: Body, bind: Sequence[Value] = ()) -> Types:
        """Check a body; the types that it yields.  What it binds is out of sight afterwards."""
        outer, at = set(self.visible), self.at
        self.depth += 1
        for v in (*bind, *body.params):
            self.bind(v)
        self.need(body.ops and body.ops[-1].name == "yield", "a body must end in yield")
        for op in body.ops:
            self.op(op)
            self.need(op.name != "yield" or op is body.ops[-1], "only the last op of a body may be yield")
        self.visible, self.at, self.depth = outer, at, self.depth - 1
        return tuple(_type(a) for a in body.result)

    def bind(self, v: Value) -> None:
        self.need(v not in self.bound, f"%{v.name} is bound twice")
        self.bound.add(v)
        self.visible.add(v)

    def op(self, op: Op) -> None:
        self.at = op
        row = OPS.get(op.name)
        self.need(row is not None, "this is not an op")
        assert row is not None
        self.operands(op, row)
        for name, default in row.attrs:
            self.need(default is not REQUIRED or op.attr(name) is not None, f"attribute {name} is missing")
        bodies = (0, 1) if op.name in REDUCTIONS else (_BODIES.get(op.name, 0),)
        self.need(len(op.bodies) in bodies, f"expected {bodies[-1]} bodies, got {len(op.bodies)}")
        self.allowed(op, row)
        self.outputs(op, _RULES.get(op.name, _infer)(self, op, row))

    def allowed(self, op: Op, row: OpDef) -> None:
        """Is this an op that may stand here?"""
        if self.shape is not None:
            self.need(row.elementwise or op.name in ("coordinate", "yield"), "only elementwise ops may stand in the body of a map or reduction")
        else:
            self.need(op.name != "coordinate", "this stands in the body of a map or reduction only")
        if self.depth == 1 and row.elementwise and all(v in self.call for v in op.uses()):
            self.call |= set(op.results)
        prologue = self.grid is not None or op.name in ("grid", "assume", "yield") or (self.depth == 1 and set(op.results) & self.call)
        self.need(prologue, "before grid only scalars are computed, from dimensions and scalar parameters")

    # ------------------------------------------------------------ operands
    def operands(self, op: Op, row: OpDef) -> None:
        params = row.params
        free = op.name in REDUCTIONS and op.bodies
        many = free or (params and params[-1].many)
        low, high = 0 if free else sum(not (p.optional or p.many) for p in params), len(op.args) if many else len(params)
        expected = str(low) if low == high else f"{low} to {high}" if not many else f"at least {low}"
        self.need(low <= len(op.args) <= high, f"expected {expected} operands, got {len(op.args)}")
        for n, arg in enumerate(op.args):
            param = params[min(n, len(params) - 1)]
            for part in (arg.start, arg.stop) if isinstance(arg, Span) else (arg,):
                if part is not None:
                    self.readable(part, op)
            self.kind(arg, param, op)

    def readable(self, arg: Arg, op: Op) -> None:
        if isinstance(arg, Const):
            whole = arg.dtype.kind == "f" or isinstance(arg.value, int)
            self.need(whole and (arg.dtype.kind != "i" or arg.dtype.lo <= arg.value <= arg.dtype.hi), f"{literal(arg)} does not fit {arg.dtype}")
            return
        self.in_sight(arg)
        root = self.roots.get(arg)
        self.need(root is None or op.name == "view" or root in self.written, f"%{arg.name} is read but was never written")

    def in_sight(self, v: Value) -> None:
        self.need(v in self.visible, f"%{v.name} is {'not visible here' if v in self.bound else 'used before it is defined'}")

    def kind(self, arg: Operand, param: Param, op: Op) -> None:
        if isinstance(arg, Span):
            self.need(param.name == "at", f"{param.name} cannot be a span")
            self.need(arg.extent > 0, f"a span's extent must be positive, got {arg.extent}")
            for part in (arg.start, arg.stop):
                self.need(part is None or (_is_index(part) and not _type(part).shape), "a span starts and stops at integer scalars")
            return
        is_tensor = isinstance(arg.type, TensorType)
        self.need(is_tensor == (param.letter == "tensor"), f"{param.name} must be a {'tensor' if param.letter == 'tensor' else 'tile'}, got {arg.type}")
        if param.name == "at":
            self.need(_is_index(arg), f"a coordinate must hold integers, got {arg.type}")
        elif not is_tensor and not (op.name in REDUCTIONS and op.bodies):
            admit(op.name, param, _type(arg))

    # ------------------------------------------------------------ results
    def outputs(self, op: Op, types: Types) -> None:
        """The op binds or writes exactly what it produces, in the form of the kernel."""
        targets = op.results or op.into
        self.need(not (op.results and op.into), "an op either binds results or writes places")
        self.need(len(targets) == len(types), f"{len(types)} results expected, got {len(targets)}")
        for target, want in zip(targets, types, strict=True):
            self.need(isinstance(target.type, TileType), f"%{target.name} is a tensor")
            if op.name not in ("alloc", "view"):
                self.need(target.tile.value == want, f"%{target.name} must be {want}, got {target.type}")
                self.need((target.tile.place is not None) == bool(op.into), f"%{target.name} {'is not' if op.into else 'must not be'} a place")
                self.need(op.into or not (self.placed and want.shape), f"in the placed form a tile is written into a place, not bound to %{target.name}")
        for target in op.into:
            self.in_sight(target)
            self.written.add(self.roots[target])
        for target in op.results:
            self.bind(target)


def _type(arg: Operand) -> TileType:
    """The type of a tile operand, its place left out."""
    assert not isinstance(arg, Span)
    return arg.tile.value


def _is_index(arg: Operand) -> bool:
    return not isinstance(arg, Span) and isinstance(arg.type, TileType) and arg.type.dtype.kind == "i"


# ---------------------------------------------------------------- rules: the types that an op produces, once it is found well formed
def _infer(checker: _Checker, op: Op, row: OpDef) -> Types:
    if op.name in REDUCTIONS and op.bodies:
        shape, dtype = op.attr("shape"), op.attr("dtype")
        checker.need(isinstance(shape, tuple) and isinstance(dtype, DType), "with a body, attributes shape and dtype are needed")
        _elements(checker, op, shape, (dtype,))
        admit(op.name, row.params[0], TileType(dtype, shape))
        return row.infer((), dict(op.attrs))
    checker.need(op.args or op.name != "concat", "nothing to join")
    return row.infer([_type(a) for a in op.args], dict(op.attrs))


def _elements(checker: _Checker, op: Op, shape: tuple[int, ...], dtypes: Sequence[DType]) -> None:
    """The body of a map or reduction: a parameter for each input, inputs broadcast to `shape`, one element of each dtype yielded."""
    (body,) = op.bodies
    for arg in op.args:
        t = _type(arg)
        checker.need(t.shape and broadcasts_to(t.shape, shape), f"{describe(t)} does not broadcast to {shape}", "scalars are named in the body")
    _typed(checker, "takes", tuple(p.type for p in body.params), tuple(TileType(_type(a).dtype) for a in op.args))
    checker.need(checker.shape is None, "maps do not nest")
    checker.shape = shape
    yielded = checker.block(body)
    checker.shape = None
    _typed(checker, "yields", yielded, tuple(map(TileType, dtypes)))
    for inner in walk(body):
        checker.at = inner
        checker.need(all(isinstance(a, (Const, Value)) and not a.tile.shape for a in inner.args), "in the body of a map or reduction only scalars are named")
    checker.at = op


def _map(checker: _Checker, op: Op, row: OpDef) -> Types:
    shape, dtypes = op.attr("shape"), op.attr("dtypes")
    checker.need(isinstance(shape, tuple) and shape and all(isinstance(n, int) and n > 0 for n in shape), f"shape must be extents, got {shape!r}")
    checker.need(isinstance(dtypes, tuple) and all(isinstance(d, DType) for d in dtypes), f"dtypes must be a tuple of dtypes, got {dtypes!r}")
    _elements(checker, op, shape, dtypes)
    return row.infer((), dict(op.attrs))


def _coordinate(checker: _Checker, op: Op, row: OpDef) -> Types:
    axis, rank = op.attr("axis"), len(checker.shape or ())
    checker.need(isinstance(axis, int) and 0 <= axis < rank, f"axis {axis} is not an axis of rank {rank}")
    return _counters(op, row.infer((), {}))


def _counters(op: Op, types: Types) -> Types:
    """Counts, and numbers of elements, are index, or i32 where they have been narrowed."""
    narrowed = tuple(v.tile.value for v in op.results or op.into)
    return narrowed if tuple(TileType(INDEX if t.dtype is I32 else t.dtype, t.shape) for t in narrowed) == types else types


def _numbers(checker: _Checker, op: Op, row: OpDef) -> Types:
    return _counters(op, _infer(checker, op, row))


def _grid(checker: _Checker, op: Op, row: OpDef) -> Types:
    checker.need(checker.depth == 1, "the grid stands at the top of the kernel")
    checker.need(checker.grid is None, "a kernel has one grid")
    checker.grid = op
    checker.need(all(v in checker.call for v in op.uses()), "extents are computed from dimensions and scalar parameters")
    return _counters(op, _infer(checker, op, row))


def _assume(checker: _Checker, op: Op, row: OpDef) -> Types:
    checker.need(checker.depth == 1, "this stands at the top of the kernel, where its condition is known before launch")
    checker.need(all(v in checker.call for v in op.uses()), "the condition must depend on dimensions and scalar parameters only")
    return _infer(checker, op, row)


def _for(checker: _Checker, op: Op, row: OpDef) -> Types:
    step = op.attr("step")
    checker.need(isinstance(step, int) and step > 0, f"step must be a positive integer, got {step!r}")
    carried = _infer(checker, op, row)
    params = op.bodies[0].params
    checker.need(params and params[0].type in _COUNTERS, "the body's first parameter is the loop's index")
    _loop(checker, op.bodies[0], params[1:], carried, carried)
    return carried


def _while(checker: _Checker, op: Op, row: OpDef) -> Types:
    carried = _infer(checker, op, row)
    condition, trip = op.bodies
    _loop(checker, condition, condition.params, carried, (TileType(BOOL),))
    _loop(checker, trip, trip.params, carried, carried)
    return carried


def _loop(checker: _Checker, body: Body, params: Sequence[Value], carried: Types, yields: Types) -> None:
    checker.need(not (checker.placed and carried), "loops of the placed form carry nothing", "a carried value is a place")
    _typed(checker, "takes", tuple(p.type for p in params), carried)
    _typed(checker, "yields", checker.block(body), yields)


def _typed(checker: _Checker, verb: str, have: Sequence[Any], want: Types) -> None:
    """The body takes or yields just these types."""
    checker.need(have == want, f"the body {verb} {_spell_types(have)}, expected {_spell_types(want)}")


def _if(checker: _Checker, op: Op, row: OpDef) -> Types:
    _infer(checker, op, row)
    before, after, yields = set(checker.written), set(checker.written), []
    for body in op.bodies:
        checker.need(not body.params, "a branch takes no parameters")
        checker.written = set(before)
        yields.append(checker.block(body))
        after |= checker.written
    checker.written = after
    checker.need(yields[0] == yields[1], f"the branches yield {_spell_types(yields[0])} and {_spell_types(yields[1])}")
    checker.need(not (checker.placed and yields[0]), "branches of the placed form yield nothing", "what they hand out is a place")
    return yields[0]


def _access(checker: _Checker, op: Op, coordinates: Sequence[Operand]) -> TileType:
    """The tile that an access names."""
    assert isinstance(op.args[0], Value)
    tensor = op.args[0].tensor
    checker.need(len(coordinates) == tensor.rank, f"%{op.args[0].name} has {tensor.rank} dimensions, {len(coordinates)} coordinates given")
    inside = op.attr("inside", ())
    good = isinstance(inside, tuple) and all(isinstance(d, int) and 0 <= d < tensor.rank for d in inside)
    checker.need(good, f"inside={inside} does not list dimensions of %{op.args[0].name}")
    return TileType(tensor.dtype, access_shape(coordinates, op.name))


def _load(checker: _Checker, op: Op, _row: OpDef) -> Types:
    tile = _access(checker, op, op.args[1:])
    checker.need(isinstance(op.attr("pad", 0), (int, float)), f"pad must be a number, got {op.attr('pad')!r}")
    return (tile,)


def _store(checker: _Checker, op: Op, _row: OpDef) -> Types:
    tile, value = _access(checker, op, op.args[2:]), _type(op.args[1])
    checker.need(value.dtype is tile.dtype, f"the tensor holds {tile.dtype}, got {value.dtype}", "cast the value")
    checker.need(broadcasts_to(value.shape, tile.shape), f"{describe(value)} does not broadcast to {tile.shape}")
    checker.need(op.name == "store" or tile.dtype in ATOMIC_TYPES, f"not defined for {tile.dtype}", "one of " + " ".join(d.name for d in ATOMIC_TYPES))
    return ()


def _alloc(checker: _Checker, op: Op, _row: OpDef) -> Types:
    checker.need(len(op.results) == 1 and op.result.tile.place is not None, "one place must be bound")
    checker.roots[op.result] = op.result
    return (op.result.tile,)


def _view(checker: _Checker, op: Op, _row: OpDef) -> Types:
    source = op.args[0]
    good = isinstance(source, Value) and source in checker.roots and len(op.results) == 1 and op.result.tile.place is not None
    checker.need(good, "a place must be bound to elements of another place")
    assert isinstance(source, Value)
    old, new, start = source.tile, op.result.tile, op.attr("start", 0)
    assert old.place is not None and new.place is not None
    checker.need(new.dtype is old.dtype and new.place.space is old.place.space, f"{new} is not a view of {old}", "element type and space are kept")
    checker.need(isinstance(start, int) and start >= 0 and start * old.dtype.bytes + new.footprint <= old.footprint, f"{new} does not lie within {old}")
    offset = old.place.offset + start * old.dtype.bytes if old.place.offset is not None else None
    checker.need(new.place.offset == offset, f"the view's offset must be {offset}, got {new.place.offset}")
    checker.roots[op.result] = checker.roots[source]
    return (new,)


_RULES: dict[str, Callable[[_Checker, Op, OpDef], Types]] = {
    "grid": _grid, "assume": _assume, "for": _for, "while": _while, "if": _if, "map": _map, "coordinate": _coordinate, "load": _load,
    "iota": _numbers, "argmax": _numbers, "argmin": _numbers,
    "store": _store, "atomic_add": _store, "atomic_min": _store, "atomic_max": _store, "alloc": _alloc, "view": _view}


# ---------------------------------------------------------------- places that share memory
class _Lives:
    """Backward over the bodies: which places hold what is still needed.  A write must not touch the bytes of another such place."""

    def __init__(self, checker: _Checker) -> None:
        self.checker, self.roots = checker, checker.roots
        self.number = {root: n for n, root in enumerate(self.roots.values())}

    def check(self) -> None:
        if any(_place(v).offset is not None for v in self.number):
            self.body(self.checker.kernel.body, frozenset())

    def body(self, body: Body, after: frozenset[Value]) -> frozenset[Value]:
        """The places needed before `body`, given those needed after it."""
        for op in reversed(body.ops):
            after = self.op(op, after)
        return after

    def op(self, op: Op, after: frozenset[Value]) -> frozenset[Value]:
        if op.name in ("alloc", "view"):
            return after.difference(op.results)             # what holds nothing yet is not needed before
        reads = frozenset(self.roots[v] for v in (used_values(op) if op.name in ("map", *REDUCTIONS) else op.uses()) if v in self.roots)
        if op.name == "if":
            return reads | self.body(op.bodies[0], after) | self.body(op.bodies[1], after)
        if op.name in ("for", "while"):
            top: frozenset[Value] = frozenset()
            while (new := self.trip(op, top, after)) != top:
                top = new
            return reads | top
        for target in op.into:
            keep = reads if op.name not in ("map", "copy") else frozenset(v for v in reads if v.type != self.roots[target].type)
            self.apart(op, self.roots[target], after | keep)
        return after.difference(v for v in op.into if self.roots[v] is v) | reads

    def trip(self, op: Op, top: frozenset[Value], after: frozenset[Value]) -> frozenset[Value]:
        if op.name == "for":
            return top | after | self.body(op.bodies[0], top | after)
        return top | self.body(op.bodies[0], after | self.body(op.bodies[1], top))

    def apart(self, op: Op, written: Value, others: frozenset[Value]) -> None:
        mine = _place(written)
        for other in sorted(others - {written}, key=self.number.__getitem__):
            its = _place(other)
            if mine.space is its.space and mine.offset is not None and its.offset is not None:
                end, its_end = mine.offset + written.tile.footprint * mine.slots, its.offset + other.tile.footprint * its.slots
                self.checker.at = op
                self.checker.need(mine.offset >= its_end or its.offset >= end, f"writing %{written.name} overwrites %{other.name}, which is still needed")


def _place(value: Value) -> Place:
    assert value.tile.place is not None, f"%{value.name} is not a place"
    return value.tile.place
