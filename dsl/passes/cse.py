"""Common subexpressions."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Any

from ..ir import Body, Const, Kernel, Op, Operand, Span, Value, substitute
from ..ops import OPS
from ._rewriting import written

Key = tuple[Any, ...]


def cse(kernel: Kernel) -> Kernel:
    """Assumes the value form.  Then no pure op is done twice where the first dominates the second, nor a load with no store to its tensor
    between (tensors do not overlap: the call checks it)."""
    return replace(kernel, body=_Numbering().body(kernel.body, {}))


class _Numbering:
    """Values numbered in program order; each tensor has a version, new after every store to it."""

    def __init__(self) -> None:
        self.new: dict[Value, Any] = {}
        self.numbers: dict[Value, int] = {}
        self.versions: dict[Value, int] = {}
        self.fresh = count(1)

    def body(self, body: Body, seen: dict[Key, Op]) -> Body:
        """`seen` are the ops that dominate the body, by key."""
        ops: list[Op] = []
        for op in body.ops:
            op = substitute(op, self.new)
            self._age(written(op) if op.name in ("for", "while") else ())
            if op.bodies:
                op = replace(op, bodies=tuple(self.body(b, dict(seen)) for b in op.bodies))
            self._age(written(op))
            key = self._key(op)
            if key is not None and key in seen:
                self.new.update(zip(op.results, seen[key].results, strict=True))
                continue
            if key is not None:
                seen[key] = op
            ops.append(op)
        return replace(body, ops=tuple(ops))

    def _age(self, tensors: Iterable[Value]) -> None:
        for t in tensors:
            self.versions[t] = next(self.fresh)

    def _key(self, op: Op) -> Key | None:
        entry = OPS.get(op.name)
        if entry is None or not op.results or not (entry.pure or op.name == "load") or op.name in ("grid", "alloc"):
            return None
        version = self.versions.get(op.args[0], 0) if op.name == "load" and isinstance(op.args[0], Value) else 0
        local: dict[Value, Key] = {}
        args = [self._operand(a, local) for a in op.args]
        if op.name in ("add", "mul", "and", "or", "xor", "eq", "ne"):
            args.sort(key=repr)
        bodies = tuple(self._body_key(b, local) for b in op.bodies)
        return op.name, tuple(args), repr(op.attrs), version, bodies, tuple(str(r.type) for r in op.results)

    def _body_key(self, body: Body, local: dict[Value, Key]) -> Key:
        rows: list[Key] = []
        local.update((p, ("p", i)) for i, p in enumerate(body.params))
        for n, op in enumerate(body.ops):
            rows.append((op.name, tuple(self._operand(a, local) for a in op.args), repr(op.attrs)))
            local.update((r, ("r", n, i)) for i, r in enumerate(op.results))
        return (*rows,)

    def _operand(self, a: Operand | None, local: dict[Value, Key]) -> Key:
        if isinstance(a, Span):
            return "span", self._operand(a.start, local), a.extent, self._operand(a.stop, local)
        if isinstance(a, Const):
            return "const", repr(a.value), a.dtype.name
        return () if a is None else local.get(a) or ("value", self.numbers.setdefault(a, len(self.numbers)))
