"""Where and when a kernel's parts happen: data beside the kernel, by names that stand in its source (LANGUAGE.md, section 8)."""
from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .definition import Definition
from .errors import DslError, check
from .ir import Kernel, walk
from .types import Space

Rows = tuple[tuple[str, Any], ...]
Path = tuple[str, ...]


def _count(least: int) -> tuple[str, Any]:
    return f"a number of {least} or more", lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v < 2 ** 31


def _words(*words: str) -> tuple[str, Any]:
    return f"one of {', '.join(words)}", lambda v: v in words


_SWITCH = ("True or False", lambda v: isinstance(v, bool))
_LAYOUT = ("a word or a tuple of numbers", lambda v: (isinstance(v, str) and v) or (isinstance(v, tuple) and v and all(isinstance(n, int) for n in v)))
# What each part may say, and how a value is told to be right.  In loops and tiles this is said of a name in the source.
KEYS: dict[str, dict[str, tuple[str, Any]]] = {
    "loops": {"stages": _count(1), "unroll": _count(1), "peel": _count(0)},
    "tiles": {"space": _words(*map(str, Space)), "unit": _words("cube", "vector"), "layout": _LAYOUT},
    "workers": {"producers": _count(0), "consumers": _count(1), "threads": _count(1), "phases": _count(1), "rows": _count(1), "columns": _count(1)},
    "grid": {"order": _words("rows", "columns", "grouped"), "rows": _count(1), "persistent": _SWITCH, "programs": _count(1), "chiplets": _count(1)},
    "workspace": {"slots": _count(1)},
}
_NAMED = ("loops", "tiles")                                 # parts whose rows stand under a name in the source


@dataclass(frozen=True)
class Schedule:
    """Choices for one kernel, made by `Schedule.of`.  Each part is rows of names and values; in `loops` and `tiles` the values are rows again.

    `origins` says of each path ("loops", "k", "stages") where its value is from.
    """

    consts: Rows = ()
    loops: Rows = ()
    tiles: Rows = ()
    workers: Rows = ()
    grid: Rows = ()
    workspace: Rows = ()
    origins: tuple[tuple[Path, str], ...] = ()

    @staticmethod
    def of(parts: Mapping[str, Any] | None = None, origin: str = "", **more: Any) -> Schedule:
        """The schedule of loops={"k": dict(stages=4)}, grid=dict(..) and so on; DslError for an unknown key and a value out of range."""
        flat: dict[Path, Any] = {}
        for part, rows in {**(parts or {}), **more}.items():
            known(part, ("consts", *KEYS), "a schedule has no part")
            check(isinstance(rows, Mapping), f"{part} of a schedule must be a dict, got {rows!r}")
            for name, value in rows.items():
                check(isinstance(name, str), f"{part} of a schedule: a name must be a text, got {name!r}")
                if part in _NAMED:
                    check(isinstance(value, Mapping), f"{part} of a schedule: {name} must be a dict of {', '.join(KEYS[part])}, got {value!r}")
                    flat |= {(part, name, key): _checked(part, f"{part}.{name}", key, v) for key, v in value.items()}
                else:
                    flat[part, name] = value if part == "consts" else _checked(part, part, name, value)
        return _made(flat, dict.fromkeys(flat, origin))

    def items(self) -> Iterator[tuple[Path, Any]]:
        """Every path and its value."""
        for part in ("consts", *KEYS):
            for name, value in getattr(self, part):
                yield from (((part, name, key), v) for key, v in value) if part in _NAMED else [((part, name), value)]

    def get(self, *path: str, default: Any = None) -> Any:
        """The value at a path, say "loops", "k", "stages"."""
        return dict(self.items()).get(path, default)

    def over(self, other: Schedule, origin: str = "") -> Schedule:
        """This schedule, and what the other says where this one says nothing; `origin` is said of values whose own is unknown."""
        origins = {p: dict(other.origins).get(p) or origin for p, _ in other.items()}
        return _made({**dict(other.items()), **dict(self.items())}, {**origins, **dict(self.origins)})

    def rows(self) -> tuple[tuple[str, Any], ...]:
        """All but the constants as plain tuples: the kernel's attribute "schedule"."""
        return tuple((part, rows) for part in KEYS if (rows := getattr(self, part)))

    def __str__(self) -> str:
        return f"schedule({', '.join(f'{part}={_shown(rows, part in _NAMED)}' for part in ('consts', *KEYS) if (rows := getattr(self, part)))})"


def _shown(rows: Rows, named: bool) -> str:
    return "{" + ", ".join(f"{n!r}: {_shown(v, False) if named else repr(v)}" for n, v in rows) + "}"


def schedule_of(kernel: Kernel) -> Schedule:
    """The schedule that passes of a target find in a kernel."""
    return Schedule(**dict(kernel.attr("schedule", ())))


def _made(flat: Mapping[Path, Any], origins: Mapping[Path, str]) -> Schedule:
    parts: dict[str, dict[str, Any]] = {}
    for path in sorted(flat):
        rows = parts.setdefault(path[0], {})
        rows[path[1]] = (*rows.get(path[1], ()), (path[2], flat[path])) if len(path) == 3 else flat[path]
    return Schedule(**{part: tuple(rows.items()) for part, rows in parts.items()}, origins=tuple(sorted(origins.items())))


def known(name: str, names: Iterable[str], what: str) -> None:
    """DslError, with the nearest of the names, unless `name` is one."""
    there = list(names)
    near = get_close_matches(str(name), there, 1)
    check(name in there, f"{what} {name!r}", hint=f"{f'did you mean {near[0]!r}? ' if near else ''}known: {', '.join(there) or 'none'}")


def _checked(part: str, where: str, key: str, value: Any) -> Any:
    known(key, KEYS[part], f"{where} of a schedule has no key")
    value = tuple(value) if isinstance(value, list) else value
    what, good = KEYS[part][key]
    check(good(value), f"{where}: {key} of a schedule must be {what}, got {value!r}")
    return value


def check_handles(schedule: Schedule, kernel: Kernel, definition: Definition) -> None:
    """DslError if the schedule names what neither the value form nor the kernel's source has."""
    tree = list(ast.walk(definition.source.tree))
    loops = {op.bodies[0].params[0].name for op in walk(kernel.body) if op.name == "for"}
    loops |= {n.target.id for n in tree if isinstance(n, ast.For) and isinstance(n.target, ast.Name) and ".range(" in ast.unparse(n.iter)}
    values = [(v, op.name) for op in walk(kernel.body) for v in (*op.results, *(p for b in op.bodies for p in b.params))]
    tiles = {n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - loops - {v.name for v, _ in values if not v.tile.shape}
    tiles |= {v.name for v, unnamed in values if v.tile.shape and v.name != unnamed}
    for part, names in (("consts", definition.consts), ("loops", sorted(loops)), ("tiles", sorted(tiles))):
        for name, _ in getattr(schedule, part):
            try:
                known(name, names, f"a schedule of {kernel.name} names a {part[:-1]} that the kernel has not:")
            except DslError as error:
                raise error.located(kernel.loc) from None
