"""What can be refused when a function is decorated, before any type is known; the decorator of tile functions; fingerprints of functions."""
from __future__ import annotations

import ast
import difflib
import hashlib
import re
from types import FunctionType, ModuleType
from typing import Any

from .definition import NOT_FOUND, TileFunction, default_values, is_constant, outer_value
from .errors import DslError, check
from .language import tile
from .source import Source, read_source

_ALLOWED = (ast.Assign, ast.AugAssign, ast.For, ast.While, ast.If, ast.Expr, ast.Return, ast.Pass, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
            ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Constant, ast.Tuple, ast.Subscript, ast.Slice, ast.operator, ast.unaryop, ast.boolop,
            ast.cmpop, ast.expr_context)
_INSTEAD = {
    "ListComp": "for e in tile.unroll(n):", "GeneratorExp": "for e in tile.unroll(n):", "List": "a tuple", "Dict": "a tuple", "Set": "a tuple",
    "IfExp": "an if statement, or tile.where(c, x, y)", "Pow": "x * x, or tile.exp2(y * tile.log2(x))", "MatMult": "tile.dot(a, b)",
    "Lambda": "a function decorated with @tile_function", "FunctionDef": "a function of the module decorated with @tile_function",
    "Break": "a while loop, or coordinates outside the tensor", "Continue": "an if around the rest of the body", "AnnAssign": "x = value",
    "Import": "an import at the top of the file", "ImportFrom": "an import at the top of the file", "Assert": "tile.assume(condition)"}


def check_syntax(source: Source, fn: FunctionType, kernel: bool) -> None:
    """Raise DslError at the first construct that is not part of the language.  A kernel may not return; a tile function may, at its end."""
    args = source.tree.args
    for node in (n for n in (args.vararg, args.kwarg) if n is not None):
        raise DslError(f"'*{node.arg}' is not part of the tile language", source.loc(node), hint="name every parameter; a tuple carries many values")
    checker = _Checker(source, fn, kernel)
    for statement in source.tree.body:
        checker.visit(statement)


class _Checker(ast.NodeVisitor):
    """One method per syntax that has rules of its own; everything allowed is walked, everything else refused."""

    def __init__(self, source: Source, fn: FunctionType, kernel: bool) -> None:
        self.source, self.fn, self.kernel = source, fn, kernel
        self.local = {p.arg for p in source.parameters} | {n.id for n in ast.walk(source.tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        annotated = [p.annotation.value for p in source.parameters if isinstance(p.annotation, ast.Constant)]
        self.annotated = {word for text in annotated for word in re.findall(r"\w+", str(text))} if kernel else set()

    def refuse(self, node: ast.AST, why: str, hint: str = "") -> None:
        raise DslError(why, self.source.loc(node), hint=hint)

    def generic_visit(self, node: ast.AST) -> None:
        kind = type(node).__name__
        if not isinstance(node, _ALLOWED):
            self.refuse(node, f"{kind} is not part of the tile language", _INSTEAD.get(kind, ""))
        super().generic_visit(node)

    def operator(self, node: ast.BinOp | ast.AugAssign) -> None:
        if isinstance(node.op, (ast.Pow, ast.MatMult)):
            kind = type(node.op).__name__
            self.refuse(node, f"{kind} is not part of the tile language", _INSTEAD[kind])
        self.generic_visit(node)

    visit_BinOp = operator

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.target(node.target)
        self.operator(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) > 1:
            self.refuse(node, "one statement binds one target", "a second statement")
        self.target(node.targets[0])
        self.visit(node.value)

    def target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Tuple):
            for element in node.elts:
                self.target(element)
        elif not isinstance(node, ast.Name):
            self.refuse(node, f"only names are assigned, not {ast.unparse(node)}", "tile.store(t, at, value) writes to a tensor; a tile does not change")

    def visit_For(self, node: ast.For) -> None:
        call = node.iter
        if not (isinstance(call, ast.Call) and self.operation(call.func) in (tile.range, tile.unroll)):
            self.refuse(call, "a loop runs over tile.range or tile.unroll", "for k in tile.range(start, stop, step):")
        self.without_else(node, node.orelse)
        if not isinstance(node.target, ast.Name):
            self.refuse(node.target, "a loop has one variable")
        for part in (call, *node.body):
            self.visit(part)

    def visit_While(self, node: ast.While) -> None:
        self.without_else(node, node.orelse)
        self.generic_visit(node)

    def without_else(self, node: ast.stmt, orelse: list[ast.stmt]) -> None:
        if orelse:
            self.refuse(orelse[0], "a loop has no else", "put the statements after the loop")

    def visit_Return(self, node: ast.Return) -> None:
        if self.kernel or node is not self.source.tree.body[-1]:
            self.refuse(node, "return ends a tile_function, and stands nowhere else", "an if around the rest of the body")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse(keyword.value, "'**' is not part of the tile language", "name each argument")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not (node.value is None or isinstance(node.value, (bool, int, float, str))):
            self.refuse(node, f"the literal {node.value!r} is not part of the tile language")

    def visit_Compare(self, node: ast.Compare) -> None:
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, (ast.In, ast.NotIn)):
                self.refuse(node, "'in' is not part of the tile language", "compare with == and |")
            if isinstance(op, (ast.Is, ast.IsNot)) and not (isinstance(right, ast.Constant) and right.value is None):
                self.refuse(node, "'is' compares with None only", "==")
        self.generic_visit(node)

    def operation(self, node: ast.expr) -> Any:
        """What `tile.name` stands for, None for anything else."""
        of_tile = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and outer_value(self.fn, node.value.id) is tile
        return getattr(tile, node.attr, None) if of_tile and isinstance(node, ast.Attribute) else None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id not in self.local and outer_value(self.fn, node.value.id) is tile:
            if not hasattr(tile, node.attr):
                near = difflib.get_close_matches(node.attr, vars(tile), 1)
                self.refuse(node, f"'tile.{node.attr}' is not part of the tile language", f"did you mean tile.{near[0]}" if near else "")
            return
        self.visit(node.value)
        if node.attr not in ("T", "shape", "dtype"):
            self.refuse(node, f"'.{node.attr}' is not part of the tile language", ".T, .shape or .dtype")

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store) or node.id in self.local or node.id in self.annotated:
            return
        value = outer_value(self.fn, node.id)
        if value is not NOT_FOUND and value is not tile and not is_constant(value):
            self.refuse(node, f"'{node.id}' is neither a constant nor a tile_function", _instead_of(node.id, value))


def _instead_of(name: str, value: Any) -> str:
    if isinstance(value, ModuleType):
        return f"bind the number to a name outside the kernel: PI = {name}.pi"
    if hasattr(tile, name):
        return f"tile.{name}"
    return "decorate it with @tile_function" if isinstance(value, FunctionType) else "numbers, tuples, dtypes, None and tile functions may be used"


def tile_function(fn: FunctionType) -> TileFunction:
    """Decorator: a function that kernels call and that is inlined there.  DslError for syntax that is not part of the language."""
    check(isinstance(fn, FunctionType), f"tile_function decorates a function, got {fn!r}")
    source = read_source(fn)
    check_syntax(source, fn, kernel=False)
    return TileFunction(fn, source)


def fingerprint(fn: FunctionType, source: Source) -> str:
    """A digest of the function's text and of all it refers to outside: constants by value, tile functions by their own text."""
    seen: dict[FunctionType, int] = {}
    digest = hashlib.sha256()
    _digest_function(fn, source, seen, digest)
    return digest.hexdigest()


def constant_text(value: Any) -> str:
    """A compile-time value for a cache key; a tile function is its name and fingerprint."""
    if isinstance(value, tuple):
        return f"({', '.join(map(constant_text, value))})"
    return f"{value.__name__}:{fingerprint(value.fn, value.source)}" if isinstance(value, TileFunction) else repr(value)


def _digest_function(fn: FunctionType, source: Source, seen: dict[FunctionType, int], digest: Any) -> None:
    seen[fn] = len(seen)
    digest.update(f"{fn.__name__}\n{source.text}\n".encode())
    outside = {n: outer_value(fn, n) for n in sorted({*fn.__code__.co_names, *fn.__code__.co_freevars})}
    for name, value in (*sorted(default_values(fn).items()), *outside.items()):
        if value is not NOT_FOUND and is_constant(value):
            digest.update(f"{name} = ".encode())
            _digest_value(value, seen, digest)


def _digest_value(value: Any, seen: dict[FunctionType, int], digest: Any) -> None:
    if isinstance(value, tuple):
        for element in value:
            _digest_value(element, seen, digest)
    elif not isinstance(value, TileFunction):
        digest.update(f"{value!r};".encode())
    elif value.fn in seen:
        digest.update(f"function {seen[value.fn]};".encode())
    else:
        _digest_function(value.fn, value.source, seen, digest)
