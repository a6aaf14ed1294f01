"""Text of one unit's ops: which module says what an op is, and what macros of places, views and events are given."""
from __future__ import annotations

from typing import Any

from dslc.ir import Const, Kernel, Op, Value, count_uses, walk
from dslc.render import Scope
from dslc.runtime.deferred import deferred
from dslc.types import DType, Space, TileType

from ..common.conversion import cast
from . import memory
from .arrange import Form, form, slot_bytes
from .memory import MEMORY_OPS

cube, vector_ops = (deferred(f"dslc.backends.ascend.{name}") for name in ("cube", "vector_ops"))
Context = dict[str, Any]


class Unit(Scope):
    """The scope of one unit's function: it shares names and failures with the kernel's, and counts its own uses of scalars."""

    def __init__(self, of: Scope, kernel: Kernel, unit: str) -> None:
        super().__init__(of.backend, kernel)
        self.names, self.taken, self.sites, self.strides = of.names, of.taken, of.sites, of.strides
        self.uses, self.unit = count_uses(kernel.body), unit
        self.turns: list[str] = ["turn"]                    # the counter of slots of each loop around an op
        self.counters: list[str] = []                       # those of inner loops by depth, which go on from one run of a loop to the next
        self.depth = 0
        self.written = {op.args[0] for op in _stores(kernel)}

    def type_of_elements(self, dtype: DType) -> str:
        """The C++ type of an element of a tile in UB."""
        return "half" if dtype.kind == "b" else self.type(dtype)

    def op(self, op: Op) -> list[str]:
        """Lines of one op; a tile op's macro is the one that its description names."""
        if not touches_tiles(op):
            return super().op(op)
        comment = [] if op.name in ("alloc", "view", "barrier") else self.comment(op)
        text = self.tile_text(op)
        return [*comment, text] if text else []

    def tile_text(self, op: Op) -> str:
        """The text of a tile op."""
        context = describe(op, self)
        name = context.pop("macro", f"tile_{op.name}")
        return self.fill(name, context)

    def fill(self, macro: str, context: Context) -> str:
        """A macro called with what it asks for."""
        found = self.macros.get(macro)
        if found is None:
            raise ValueError(f"no macro is called {macro}")
        missing = [a for a in found.arguments if a not in context]
        if missing:
            raise ValueError(f"macro {macro} asks for {missing}, which nothing gives")
        return str(found(**{a: context[a] for a in found.arguments}))

    def control(self, op: Op) -> str:
        """A for loop counts its turns where places in it have slots."""
        turn = self.turns[-1]
        if op.name != "if":                                 # loops of one depth follow each other, and so do their turns
            self.depth += 1
            while len(self.counters) < self.depth:
                self.counters.append(self.fresh("turn"))
            turn = self.counters[self.depth - 1]
        self.turns.append(turn)
        try:
            if op.name == "if" or not op.attr("turns"):
                return super().control(op)
            return self._turning(op, turn)
        finally:
            self.turns.pop()
            self.depth -= op.name != "if"

    def _turning(self, op: Op, turn: str) -> str:
        if op.name == "for":
            (index,) = op.bodies[0].params
            return self.fill("turning_for", {"index": self.name(index), "type": self.type(index.tile.dtype), "start": self.scalar(op.args[0]),
                                             "stop": self.scalar(op.args[1]), "step": op.attr("step"), "turn": turn, "body": self.block(op.bodies[0])})
        setup = self.block(op.bodies[0])
        return self.fill("turning_while", {"setup": setup, "condition": self.scalar(op.bodies[0].result[0]), "turn": turn, "body": self.block(op.bodies[1])})


def _stores(kernel: Kernel) -> list[Op]:
    return [op for op in walk(kernel.body) if op.name in MEMORY_OPS[1:]]


def touches_tiles(op: Op) -> bool:
    """Whether the op has operands or results in a memory of the core, or is about them."""
    if op.name in ("for", "while", "if", "yield", "assume", "grid"):
        return False
    if op.name in ("barrier", *MEMORY_OPS):
        return True
    return any(isinstance(v.type, TileType) and v.tile.place is not None and (bool(v.tile.shape) or op.name in ("alloc", "view", "copy"))
               for v in (*op.uses(), *op.into, *op.results))


def reads_one(op: Op) -> bool:
    """Whether the op gives a scalar the value of another, or of the one element of a tile."""
    return op.name in ("copy", "reshape", "transpose", "split", "broadcast") and len((*op.results, *op.into)) == 1 and not op.target.tile.shape


def describe(op: Op, scope: Any) -> Context:
    """The context of the op's macro."""
    if op.name == "cast" and not touches_tiles(op):
        return cast(op, scope)
    if op.name in ("alloc", "view") and _space(op.result) is Space.REGISTER:
        return _alloc(op, scope) if op.name == "alloc" else _view(op, scope)
    if op.name == "barrier":
        return {"macro": "event", **{key: op.attr(key) for key in ("does", "event")}, "number": _number(op, scope)}
    if op.attr("unit") == "cube" or op.attr("cross") or op.name in ("alloc", "view"):
        return dict(cube.describe(op, scope))
    if op.name in MEMORY_OPS:
        return {**memory.describe(op, scope), "refreshed": op.args[0] in scope.written}
    if reads_one(op):                                       # a scalar kept or handed on, or the one element of a tile
        (source,) = op.args
        assert isinstance(source, Value | Const)
        fresh = f"const {scope.type(op.target.tile.dtype)} " if op.results else ""
        held = isinstance(source, Value) and bool(source.tile.shape)
        value = scope.say("unheld", source.tile.dtype.kind == "b", scope.say("get", scope.name(source), "0")) if held else scope.scalar(source)
        return {"macro": "assigned", "to": f"{fresh}{scope.name(op.target)}", "value": value}
    return dict(vector_ops.describe(op, scope))


def _space(v: Value) -> Space:
    assert v.tile.place is not None
    return v.tile.place.space


def tile_form(v: Value, scope: Scope) -> Form:
    """Rows, columns and pitch that the tile's C++ type has."""
    return form(v, scope.kernel.attr("grain", 8))


def _number(op: Op, scope: Any) -> str:
    """The number of an event: the lower of a pair's, or that of this turn."""
    first = op.attr("number", 0)
    turn = op.attr("turn")
    return str(first) if not turn else scope.say("of_turn", first, scope.turns[-1])


def _alloc(op: Op, scope: Any) -> Context:
    t = op.result.tile
    assert t.place is not None
    if not t.shape:
        return {"macro": "scalar_place", "type": scope.type(t.dtype), "name": scope.name(op.result)}
    f = tile_form(op.result, scope)
    return {"macro": "tile_alloc", "type": scope.type_of_elements(t.dtype), "name": scope.name(op.result), "rows": f.rows, "columns": f.columns,
            "pitch": f.pitch, "offset": t.place.offset, "slots": t.place.slots, "turn": scope.turns[-1], "bytes": _slot(op.result, scope),
            "shape": " x ".join(map(str, t.shape))}


def _slot(v: Value, scope: Scope) -> int:
    return slot_bytes(v, scope.kernel.attr("grain", 8))


def _view(op: Op, scope: Any) -> Context:
    (source,) = op.args
    assert isinstance(source, Value)
    v, f = op.result, tile_form(op.result, scope)
    if f == tile_form(source, scope) and not op.attr("start"):
        scope.names[v] = scope.name(source)
        return {"macro": "nothing"}
    return {"macro": "tile_view", "type": scope.type_of_elements(v.tile.dtype), "name": scope.name(v), "rows": f.rows, "columns": f.columns, "pitch": f.pitch,
            "source": scope.name(source), "start": op.attr("start", 0)}


