"""The one error a user's mistake raises, and the place in the source that it points at."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loc:
    """A stretch of one source line.  `line` counts from 1, columns from 0; `text` is the line itself."""

    file: str
    line: int
    column: int = 0
    end_column: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column + 1}"

    def caret(self) -> str:
        """The source line with the stretch underlined, indented by four."""
        if not self.text:
            return ""
        indent = len(self.text) - len(self.text.lstrip())
        start = max(self.column - indent, 0)
        width = max(min(self.end_column, len(self.text.rstrip())) - self.column, 1)
        return f"    {self.text.strip()}\n    {' ' * start}{'^' * width}"


class DslError(Exception):
    """A user's mistake: what was found and what was expected, where, and the nearest thing that works.

    `message` is one sentence in lower case without a full stop; `hint` names what to write instead.
    """

    def __init__(self, message: str, loc: Loc | None = None, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.loc, self.hint = message, loc, hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.loc is not None:
            lines.append(f"  at {self.loc}")
            lines += [self.loc.caret()] if self.loc.text else []
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def located(self, loc: Loc | None) -> DslError:
        """The same error, at `loc` unless it already has a place."""
        return self if self.loc is not None or loc is None else DslError(self.message, loc, hint=self.hint)


def check(ok: object, message: str, loc: Loc | None = None, *, hint: str = "") -> None:
    """Raise DslError(message) unless `ok`."""
    if not ok:
        raise DslError(message, loc, hint=hint)
