"""Which schedule a call takes: the call's own, then those of a file, then those registered beside the kernel.

The file that DSLC_SCHEDULES names is JSON, a list of objects:
    [{"kernel": "gemm", "target": "NAME:ARCHITECTURE", "when": "M >= 256", "consts": {"BM": 128}, "loops": {"k": {"stages": 4}}}]
"kernel" is a kernel's name, or "module:name".  "target" and "when" are as in `schedule`, and so are the other keys; a dtype among the constants
is written as its name.  Of several that fit, in the file as in the program, the last one counts; "when" may be left out.
"""
from __future__ import annotations

import ast
import json
import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dslc.backend import Target
from dslc.errors import DslError, check
from dslc.schedule import KEYS, Schedule, known
from dslc.types import DTYPES, DType


@dataclass(frozen=True)
class Rule:
    """A schedule for calls on `target` ("name", or "name:architecture") for which `when` holds."""

    target: str
    when: str
    schedule: Schedule


def schedule(kernel: Any, *, target: str, when: str = "True", **parts: Any) -> Schedule:
    """Register a schedule of a kernel.  Of several that fit a call the one registered last counts."""
    condition(when)
    frame = sys._getframe(1)
    made = Schedule.of(parts, f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}")
    kernel.add_rule(Rule(target, when, made))
    return made


def rules_of(rows: Any, file: str) -> list[tuple[str, Rule]]:
    """Kernels and rules of a file's JSON."""
    check(isinstance(rows, list) and all(isinstance(row, dict) for row in rows), f"{file}: a file of schedules is a list of objects")
    found = []
    for n, row in enumerate(rows):
        try:
            known(next((k for k in row if k not in _ROW), "kernel"), _ROW, "there is no key")
            check(all(isinstance(row.get(k, ""), str) for k in _ROW[:3]) and "kernel" in row and "target" in row, "kernel, target and when are texts")
            consts = {"consts": {k: _const(v) for k, v in row["consts"].items()}} if isinstance(row.get("consts"), dict) else {}
            made = Schedule.of({**{k: v for k, v in row.items() if k not in _ROW[:3]}, **consts}, f"{file}[{n}]")
            condition(row.get("when", "True"))
        except DslError as e:
            raise DslError(f"{file}: schedule {n}: {e.message}", hint=e.hint) from None
        found.append((row["kernel"], Rule(row["target"], row.get("when", "True"), made)))
    return found


_ROW = ("kernel", "target", "when", "consts", *KEYS)


def _const(value: Any) -> Any:
    return tuple(map(_const, value)) if isinstance(value, list) else DTYPES.get(value, value) if isinstance(value, str) else value


def to_json(kernel: str, rule: Rule) -> dict[str, Any]:
    """The object of a file that `rules_of` reads back as this rule.  DslError for a constant that is a function."""
    row: dict[str, Any] = {"kernel": kernel, "target": rule.target, "when": rule.when}
    for path, value in rule.schedule.items():
        at = row
        for part in path[:-1]:
            at = at.setdefault(part, {})
        at[path[-1]] = _plain(".".join(path), value)
    return row


def _plain(path: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(path, v) for v in value]
    check(isinstance(value, bool | int | float | str | DType | None), f"{path} is {value!r}, which a file cannot say")
    return value.name if isinstance(value, DType) else value


@lru_cache(maxsize=8)
def _read(file: str, _changed: int) -> list[tuple[str, Rule]]:
    try:
        with open(file) as f:
            return rules_of(json.load(f), os.path.basename(file))
    except (OSError, ValueError) as error:
        raise DslError(f"DSLC_SCHEDULES={file} cannot be read: {error}") from None


def file_rules(*names: str) -> list[Rule]:
    """What the file of DSLC_SCHEDULES says of a kernel, by one of its names."""
    file = os.environ.get("DSLC_SCHEDULES")
    if not file:
        return []
    return [rule for name, rule in _read(file, os.stat(file).st_mtime_ns if os.path.exists(file) else 0) if name in names]


def choose(sources: Iterable[Sequence[Rule]], target: Target, names: Iterable[str], values: Mapping[str, Any]) -> Schedule:
    """Of each source the last rule that fits, the sources in the order of their say.  `values` of dimensions, constants and dtypes."""
    chosen = Schedule()
    for rules in sources:
        fit = next((r.schedule for r in reversed(rules) if _meant(r.target, target) and holds(r.when, names, values)), Schedule())
        chosen = chosen.over(fit)
    return chosen


def _meant(rule: str, target: Target) -> bool:
    name, _, architecture = rule.partition(":")
    if name == target.backend.name and architecture:
        known(architecture, target.backend.architectures, f"a schedule for {rule}: target {name} has no architecture")
    return name == target.backend.name and architecture in ("", target.architecture)


# ---------------------------------------------------------------- when
_SIGNS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Eq: operator.eq,
    ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Not: operator.not_,
    ast.USub: operator.neg}
_PARTS = (ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.BinOp, ast.UnaryOp, ast.Name, ast.Load, ast.Constant, *_SIGNS)


def condition(text: str) -> ast.expr:
    """`when` of a schedule: comparisons of dimensions, constants, dtypes and numbers, joined by and, or, not and + - * // %."""
    hint = 'when="M >= 256 and T == f16"'
    check(len(text) <= 1000, "when of a schedule is longer than 1000 characters", hint=hint)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise DslError(f"when of a schedule is no expression: {text!r}: {error}", hint=hint) from None
    wrong = next((n for n in ast.walk(tree) if not isinstance(n, _PARTS)), None)
    check(wrong is None, f"{type(wrong).__name__} is not part of when of a schedule: {text!r}", hint=hint)
    return tree


def holds(text: str, names: Iterable[str], values: Mapping[str, Any]) -> bool:
    """Whether `when` holds; it does not if it needs a name without a value here.  DslError for a name that is not among the known ones."""
    tree = condition(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in DTYPES:
            known(node.id, names, f"when of a schedule, {text!r}, has an unknown name")
    try:
        return bool(_value(tree, values))
    except (KeyError, ZeroDivisionError):
        return False
    except (TypeError, RecursionError) as error:
        raise DslError(f"when of a schedule, {text!r}, cannot be told: {error}") from None


def _value(node: ast.AST, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        value = values[node.id] if node.id in values or node.id not in DTYPES else node.id
        return value.name if isinstance(value, DType) else value
    if isinstance(node, ast.BoolOp):
        return (all if isinstance(node.op, ast.And) else any)(_value(v, values) for v in node.values)
    if isinstance(node, ast.Compare):
        sides = [_value(v, values) for v in (node.left, *node.comparators)]
        return all(_SIGNS[type(op)](a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False))
    assert isinstance(node, ast.BinOp | ast.UnaryOp)
    parts = [_value(v, values) for v in ((node.left, node.right) if isinstance(node, ast.BinOp) else (node.operand,))]
    if any(not isinstance(v, int | float) for v in parts):
        raise TypeError(f"{ast.unparse(node)} is not of numbers")
    return _SIGNS[type(node.op)](*parts)
