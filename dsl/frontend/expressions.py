"""Expressions of one function body: one method for each syntax that is allowed."""
from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Mapping
from typing import Any

from ..definition import NOT_FOUND, TileFunction, is_constant, outer_value
from ..dims import Dim
from ..errors import DslError, check
from ..ir import Arg, Const, Value
from ..language import Operation, tile
from ..source import Source
from ..types import BOOL
from .calls import call_operation
from .emitter import Emitter
from .operators import binary, inverted, negative
from .values import Gone, constant, integer, is_tensor, is_tile, shown

SIGNS = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "FloorDiv": "//", "Mod": "%", "BitAnd": "&", "BitOr": "|", "BitXor": "^", "LShift": "<<",
         "RShift": ">>", "Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!="}


class Expressions:
    """The names of one function body and the values of its expressions.

    `outer` are names visible before the module's: dimensions and dtype variables of a kernel.  `shapes` gives the dimensions of tensors.
    """

    def __init__(self, emitter: Emitter, fn: Any, source: Source, prefix: str = "", outer: Mapping[str, Any] | None = None,
                 shapes: Mapping[Value, tuple[Arg, ...]] | None = None) -> None:
        self.emitter, self.fn, self.source, self.prefix = emitter, fn, source, prefix
        self.outer, self.shapes = outer or {}, shapes or {}
        self.names: dict[str, Any] = {}

    def inline(self, function: TileFunction, args: list[Any], names: dict[str, Any]) -> Any:
        """The value of a call of a tile function; statements.py says how its body runs."""
        raise NotImplementedError

    def at(self, node: ast.AST, read: Callable[[Any], Any]) -> Any:
        """read(node), with ops and errors placed at the node."""
        outside, self.emitter.loc = self.emitter.loc, self.source.loc(node)
        try:
            return read(node)
        except DslError as error:
            raise error.located(self.source.loc(node)) from None
        finally:
            self.emitter.loc = outside

    def value(self, node: ast.expr) -> Any:
        """The value of an expression."""
        return self.at(node, getattr(self, f"visit_{type(node).__name__}"))

    def visit_Constant(self, node: ast.Constant) -> Any:
        return node.value

    def visit_Tuple(self, node: ast.Tuple) -> Any:
        return tuple(self.value(e) for e in node.elts)

    def visit_Name(self, node: ast.Name) -> Any:
        for scope in (self.names, self.outer):
            if node.id in scope:
                value = scope[node.id]
                if isinstance(value, Gone):
                    raise DslError(value.why, hint="bind it before, to a tile of the same type")
                return value
        value = outer_value(self.fn, node.id)
        if value is NOT_FOUND:
            near = difflib.get_close_matches(node.id, [*self.names, *self.outer], 1)
            raise DslError(f"'{node.id}' is not bound here", hint=f"did you mean {near[0]}" if near else "")
        check(value is tile or is_constant(value), f"'{node.id}' is neither a constant nor a tile_function")
        return value

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        return binary(self.emitter, SIGNS[type(node.op).__name__], self.value(node.left), self.value(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        x = self.value(node.operand)
        if isinstance(node.op, ast.USub):
            return negative(self.emitter, x)
        if isinstance(node.op, ast.Invert):
            return inverted(self.emitter, x)
        if isinstance(node.op, ast.Not):
            c = self.truth(x)
            return not c if isinstance(c, bool) else self.emitter.one("not", c)
        check(not is_tile(x) and isinstance(x, (int, float)), f"+: a sign before {shown(x)} is not part of the tile language")
        return +x

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Constants decide at once; run-time scalars are all computed and joined."""
        name, decisive = ("and", False) if isinstance(node.op, ast.And) else ("or", True)
        joined: Arg | None = None
        value: Any = None
        for operand in node.values:
            value, c = self.decided(operand)
            if isinstance(c, bool) and c is decisive:
                return value if joined is None else Const(decisive, BOOL)
            if not isinstance(c, bool):
                check(value.tile.dtype is BOOL, f"'{name}' joins bool scalars, got {shown(value)}", self.source.loc(operand), hint="compare it: x != 0")
                joined = c if joined is None else self.emitter.one(name, joined, c)
        return value if joined is None else joined

    def visit_Compare(self, node: ast.Compare) -> Any:
        if isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            check(len(node.ops) == 1, "'is' is not chained")
            return (self.value(node.left) is None) is isinstance(node.ops[0], ast.Is)
        left, result = self.value(node.left), None
        for op, operand in zip(node.ops, node.comparators, strict=True):
            right = self.value(operand)
            c = binary(self.emitter, SIGNS[type(op).__name__], left, right)
            result, left = c if result is None else self.both(result, c), right
        return result

    def both(self, a: Any, b: Any) -> Any:
        """a and b, the parts of a chained comparison: scalars only."""
        for c in (a, b):
            check(not is_tile(c) or c.tile.shape == (), f"a chained comparison is for scalars, got {shown(c)}", hint="(a < b) & (b < c)")
        if is_tile(a) and is_tile(b):
            return self.emitter.one("and", a, b)
        run_time, decided = (a, b) if is_tile(a) else (b, a)
        return run_time if decided else False

    def truth(self, value: Any) -> bool | Arg:
        """A condition: a Python bool if it is decided at compile time, else a bool scalar."""
        if is_tile(value):
            return self.emitter.truth(value, shown(value))
        check(not is_tensor(value), f"a condition must be a scalar, got {shown(value)}", hint="x is not None, for an optional tensor")
        return bool(value)

    def decided(self, node: ast.expr) -> tuple[Any, bool | Arg]:
        """The value of a condition, and its truth."""
        value = self.value(node)
        return value, self.at(node, lambda _: self.truth(value))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        x = self.value(node.value)
        if x is tile:
            return getattr(tile, node.attr)
        check(is_tile(x) or is_tensor(x), f"'.{node.attr}' belongs to tiles and tensors, got {shown(x)}")
        if node.attr == "T":
            check(is_tile(x), f"'.T' belongs to tiles, got {shown(x)}", hint="tile.load(t, at).T")
            check(len(x.tile.shape) == 2, f"'.T' is for tiles of rank 2, got {shown(x)}", hint="tile.transpose(x, axes)")
            return self.emitter.one("transpose", x, axes=(1, 0))
        if is_tensor(x):
            return x.tensor.dtype if node.attr == "dtype" else self.shapes[x]
        return x.tile.dtype if node.attr == "dtype" else x.tile.shape

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        x = self.value(node.value)
        if isinstance(x, tuple):
            i = integer(self.value(node.slice), "an index into a tuple", self.emitter.hints)
            check(-len(x) <= i < len(x), f"index {i} is outside a tuple of {len(x)}")
            return x[i]
        check(is_tile(x), f"only tiles and tuples are indexed, got {shown(x)}", hint="tile.load(t, at) reads a tile from a tensor" if is_tensor(x) else "")
        keys = [self.is_new_axis(k) for k in (node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice])]
        check(keys.count(False) == len(x.tile.shape), f"the index has {keys.count(False)} ':' for {shown(x)}", hint="one ':' for each axis, None for a new one")
        extents = iter(x.tile.shape)
        shape = tuple(1 if new else next(extents) for new in keys)
        return x if shape == x.tile.shape else self.emitter.one("reshape", x, shape=shape)

    def visit_Slice(self, _node: ast.Slice) -> Any:
        raise DslError("a tuple is indexed by one integer", hint="a, b = t binds its parts")

    def is_new_axis(self, key: ast.expr) -> bool:
        """True for None, False for ':'."""
        new = isinstance(key, ast.Constant) and key.value is None
        whole = isinstance(key, ast.Slice) and key.lower is key.upper is key.step is None
        check(new or whole, "a tile is indexed only by None and ':'", self.source.loc(key), hint="tile.split(x, n, axis), or load the part that is needed")
        return new

    def visit_Call(self, node: ast.Call) -> Any:
        function = self.value(node.func)
        args, names = self.arguments(node)
        if isinstance(function, Operation):
            return call_operation(self.emitter, function, args, names)
        check(isinstance(function, TileFunction), f"{shown(function)} cannot be called", hint="operations of tile and tile functions can")
        return self.inline(function, args, names)

    def arguments(self, node: ast.Call) -> tuple[list[Any], dict[str, Any]]:
        return [self.value(a) for a in node.args], {str(k.arg): self.value(k.value) for k in node.keywords}


def dimension(emitter: Emitter, dim: Dim, names: Mapping[str, Any]) -> Any:
    """A dimension as a run-time scalar: a name's value, a number, or ops on them (a division is exact, so // serves)."""
    if isinstance(dim, tuple):
        return binary(emitter, "//" if dim[0] == "/" else dim[0], dimension(emitter, dim[1], names), dimension(emitter, dim[2], names))
    return names[dim] if isinstance(dim, str) else emitter.index(constant(dim, "a dimension", {}), "a dimension", str(dim))
