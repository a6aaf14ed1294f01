"""The source of one Python function: its syntax tree, and for every node the place in the user's file."""
from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, replace
from functools import cached_property
from types import FunctionType

from .errors import DslError, Loc


@dataclass(frozen=True, eq=False)
class Source:
    """A function as it stands in its file.  `first` is the line of the tree's line 1; columns are the file's own."""

    file: str
    text: str
    tree: ast.FunctionDef
    first: int

    def loc(self, node: ast.AST) -> Loc:
        """Where a node stands; a node of several lines is shown by its first."""
        row, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
        line = self.lines[row - 1]
        start, end = self._column(line, getattr(node, "col_offset", 0)), self._column(line, getattr(node, "end_col_offset", 0) or 0)
        return Loc(self.file, self.first + row - 1, start, end if last == row else len(line), line)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @staticmethod
    def _column(line: str, offset: int) -> int:
        """ast counts bytes of UTF-8; an editor counts characters."""
        return offset if line.isascii() else len(line.encode()[:offset].decode(errors="ignore"))

    @property
    def parameters(self) -> tuple[ast.arg, ...]:
        a = self.tree.args
        return (*a.posonlyargs, *a.args, *a.kwonlyargs)

    def annotation_loc(self, name: str) -> Loc:
        """Where the annotation of a parameter stands."""
        arg = next(p for p in self.parameters if p.arg == name)
        return self.loc(arg.annotation or arg)

    def name_loc(self) -> Loc:
        """Where the function's name stands, after `def`."""
        loc = self.loc(self.tree)
        start = loc.text.find(self.tree.name, loc.column)
        return replace(loc, column=start, end_column=start + len(self.tree.name))


def read_source(fn: FunctionType) -> Source:
    """The source of `fn`.  DslError if Python does not have it (a prompt, exec) or it is no `def`."""
    where = Loc(fn.__code__.co_filename, fn.__code__.co_firstlineno)
    try:
        lines, first = inspect.getsourcelines(fn)
    except (OSError, TypeError):
        raise DslError(f"the source of '{fn.__name__}' cannot be read", where, hint="a kernel stands in a file, not at a prompt or in exec") from None
    text = "".join(lines)
    if text[:1].isspace():                       # an indented function: a line of our own above it keeps lines and columns as they are
        text, first = "if 1:\n" + text, first - 1
    try:
        node = ast.parse(text).body[0]
    except SyntaxError:
        raise DslError(f"the source of '{fn.__name__}' has changed since it was imported", where, hint="start Python again") from None
    node = node.body[0] if isinstance(node, ast.If) else node
    if not isinstance(node, ast.FunctionDef):
        raise DslError(f"'{fn.__name__}' is not a function written with def", where, hint="def name(parameters): on a line of its own")
    return Source(fn.__code__.co_filename, text, node, first)
