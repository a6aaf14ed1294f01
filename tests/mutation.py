"""Mutation tests of generated GPU source: one change at a time to the text of a kernel's function, which the emulator or numpy must notice.

`mutants(source)` lists the changes, in the order of the text.  `Subject(kernel, target)` is a kernel on inputs that make every guard and every stage
matter; `run(subjects)` compiles each mutant against the emulator, past the cache, and calls it in every mode until something is found.  As a program:

    python tests/mutation.py [KERNEL..] [TARGET..]      survivors, and docs/mutations.md written anew when every pair ran
"""
from __future__ import annotations

import os
import pickle
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import survivors
from dslc.backend import target_of
from dslc.backends.common.emulation import EmulationError, Emulator
from dslc.errors import DslError
from dslc.kernels import attention, gemm, kmeans
from dslc.runtime import lowering
from dslc.runtime.cache import Entry
from dslc.runtime.library import Expected
from dslc.runtime.trial import judge

MODES = ("late", "early", "random:1", "random:2")
KERNELS = ("gemm", "attention", "assign")
TARGETS = ("cuda:sm_80", "cuda:sm_90a", "hip:gfx942", "hip:gfx950")
SECONDS = 20.0                       # of one emulated run; a right one takes less than 1
bf16 = ml_dtypes.bfloat16


# ---------------------------------------------------------------- mutants
@dataclass(frozen=True)
class Mutant:
    """One change.  name: the kind, what stood there, what stands there now, and which of several alike; the same for as long as the statement is."""

    name: str
    kind: str
    line: int                        # of the source, from 1
    text: str                        # the whole source


@dataclass(frozen=True)
class Edit:
    """Columns start..end of a line become `new`."""

    kind: str
    start: int
    end: int
    new: str


# Calls without which memory or time would be out of order.  order_fence and wgmma_hold steer the compiler only, priority and registers_* the speed.
SYNC = re.compile(r"\b((?:block|wave|group|half|step)_(?:sync|arrive)|copy_async_(?:commit|wait)|wait_copies|barrier_\w+|async_fence"
                  r"|wgmma_(?:fence|commit|wait|finish)|tensor_(?:commit|wait|wait_read)|ring_(?!at\b|barrier\b)\w+)(?=[<(])")
EACH = {"delete", "weaken", "phase", "swizzle", "transpose", "guard", "reduce"}
_STEERS = re.compile(r"order_fence|wgmma_hold|priority|registers_|tensor_prefetch")
_WAIT = re.compile(r"\b(?:\w*wait\w*|wgmma_finish)<(\d+)>")
_CALL = re.compile(r"\b([A-Za-z_]\w*)(<[^;=]*?>)?\((?=[^)])")
_INTEGER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_DECLARED = re.compile(r"\s*(const )?[\w<>, ]+ \w+\[\d+\];")
_FOR = re.compile(r"for \((\w+) (\w+) = (.+?); \2 < (.+?); (?:\2 \+= (.+?)|\+\+\2)\)")
_COMMUTES = {"maximum", "minimum", "of", "fma_", "least", "greatest"}
_SKIP = re.compile(r"\s*(//|#|$|\}|\{)")
_BOUND = 2 ** 31 - 1                 # ends of i32 and i64, which no tensor of a test comes near
_SWIZZLED = {"swizzle", "Operand"}   # templates whose last three numbers are a swizzle


def function_lines(source: str) -> range:
    """Indices of the lines of the kernel's function, without its first."""
    lines = source.splitlines()
    (start,) = [i for i, text in enumerate(lines) if text.startswith("KERNEL(")]
    return range(start + 1, next(i for i in range(start, len(lines)) if lines[i] == "}"))


def mutants(source: str) -> list[Mutant]:
    """Every change, each resulting text once.

    A statement may be there several times, but for the numbers of names: a loop's body again for its last trips. What orders memory and places in it is
    changed in all of them, the rest in the last.
    """
    lines, seen, names = source.splitlines(), {source}, Counter[str]()
    found, last = [], {likeness(lines, n): n for n in function_lines(source)}
    for n in function_lines(source):
        for e in edits(lines[n]):
            text = lines[n][:e.start] + e.new + lines[n][e.end:]
            whole = "\n".join([*lines[:n], text, *lines[n + 1:]]) + "\n"
            if whole not in seen and (e.kind in EACH or last[likeness(lines, n)] == n):
                seen.add(whole)
                name = f"{e.kind}: {shown(lines[n], e)}"
                names[name] += 1
                found.append(Mutant(name if names[name] == 1 else f"{name} #{names[name]}", e.kind, n + 1, whole))
    return found


def likeness(lines: Sequence[str], n: int) -> tuple[str, ...]:
    """A line, and of a loop the next one too, without the numbers of names."""
    texts = [lines[n].strip()]
    if texts[0].startswith("for ") and texts[0].endswith("{"):
        texts.append(next(t.strip() for t in lines[n + 1:] if not t.strip().startswith(("#", "//"))))
    return tuple(re.sub(r"([a-z])_?\d+\b", r"\1", t) for t in texts)


def shown(line: str, e: Edit) -> str:
    """The change in its statement: what stood there and what stands there now between marks."""
    before, after = line[:e.start].lstrip(), line[e.end:]
    return f"{'..' * (len(before) > 60)}{before[-60:]}[{line[e.start:e.end]} -> {e.new}]{after[:40]}{'..' * (len(after) > 40)}"


def edits(line: str) -> Iterator[Edit]:
    """Every change to one line."""
    if _SKIP.match(line):
        return
    line = line.split("  //")[0]
    for rule in RULES:
        yield from rule(line)


def synchronisations(line: str) -> Iterator[Edit]:
    for m in SYNC.finditer(line):
        end = closing(line, line.index("(", m.start()))
        if line[end + 1:end + 2] == ";":
            yield Edit("delete", m.start(), end + 1, "(void)0")


def statements(line: str) -> Iterator[Edit]:
    """A call or an assignment left out."""
    m = re.search(r"(?:^\s*|\) )((?:[a-z_]\w*)(?:<.*>)?\(.*\)|[a-z_]\w*(?:\[[^=]*\])? = [^;]*);$", line)
    if m and not SYNC.match(m[1]) and not _STEERS.match(m[1]) and not m[1].startswith("across_"):
        yield Edit("drop", m.start(1), m.end(1), "(void)0")


def waits(line: str) -> Iterator[Edit]:
    """A wait for fewer, the other phase, or one more transfer expected."""
    for m in _WAIT.finditer(line):
        yield Edit("weaken", m.start(1), m.end(1), str(int(m[1]) + 1))
    for m in re.finditer(r"\bring_release<([1-9]\d*)>", line):
        yield Edit("weaken", m.start(1), m.end(1), str(int(m[1]) - 1))
    for m in re.finditer(r"\w+\.(?:slot|parity)\b", line):
        yield Edit("phase", m.start(), m.end(), f"({m[0]} ^ 1)")
    for m in re.finditer(r"\bbarrier_wait\(", line):
        *_, last = pieces(line, m.end() - 1)
        yield Edit("phase", *last, f"({line[slice(*last)].strip()}) ^ 1")
    for m in re.finditer(r"\b\w*(?:phase|parity)\w* (\^=|=) ([^;]+);", line):
        yield Edit("phase", m.start(2), m.end(2), f"({m[2]}) ^ 1")


def guards(line: str) -> Iterator[Edit]:
    """A condition that always holds, an end one further."""
    for m in re.finditer(r"\bif \((?!true)", line):
        yield Edit("guard", m.end(), closing(line, m.end() - 1), "true")
    for m in re.finditer(r"\bwithin\(", line):
        yield Edit("guard", m.start(), closing(line, m.end() - 1) + 1, "true")
    for m in re.finditer(r"\b(?:run|part)_inside<\w+>\(", line):
        *_, last = pieces(line, m.end() - 1)
        yield Edit("guard", *last, f" {line[slice(*last)].strip()} + 1")
    for m in re.finditer(r"\bselect<\w+>\(", line):
        yield Edit("guard", *next(pieces(line, m.end() - 1)), "true")


def comparisons(line: str) -> Iterator[Edit]:
    swapped = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
    if not re.search(r"for \(i32 e\d+ ", line):
        for m in re.finditer(r" ([<>]=?|[=!]=) ", line):
            yield Edit("compare", m.start(1), m.end(1), swapped[m[1]])


def loops(line: str) -> Iterator[Edit]:
    """First or last trip left out, a step twice as long."""
    for m in _FOR.finditer(line):
        step = m[5] or "1"
        yield Edit("loop", m.start(3), m.end(3), f"({m[3]}) + {step}")
        yield Edit("loop", m.start(4), m.end(4), f"({m[4]}) - 1")
        if m[5]:
            yield Edit("loop", m.start(5), m.end(5), f"2 * {m[5]}")


def constants(line: str) -> Iterator[Edit]:
    """An element or register further, 16 bytes for a place; another digit of a worker's number."""
    if _FOR.search(line):
        return
    inside, brackets = spans_of_templates(line), [*re.finditer(r"\[[^\]]*\]", line)]
    for m in _INTEGER.finditer(line):
        value, before = int(m[0]), line[:m.start()]
        if re.search(r" [=!]= $", before):           # which one of several does it
            continue
        if any(a <= m.start() < b for a, b in inside) or value >= _BOUND:
            continue
        if any(b.start() < m.start() < b.end() for b in brackets) and (_DECLARED.match(line) or line[:m.start()].endswith("_stride[")):
            continue
        if re.search(r"shared_at<\w+>\($", before):
            yield Edit("offset", m.start(), m.end(), str(value + 16))
        elif re.search(r"\bworker [^;]*[/%] $", before) or re.search(r"\bworker [/%&] $", before):
            yield Edit("worker", m.start(), m.end(), str(2 * value))
        else:
            yield Edit("offset", m.start(), m.end(), str(value + 1))


def signs(line: str) -> Iterator[Edit]:
    if _FOR.search(line):
        return
    for m in re.finditer(r"[\w)\]] ([+-]) [\w(]", line):
        if not within_brackets(line, m.start(1)):
            yield Edit("sign", m.start(1), m.end(1), "-" if m[1] == "+" else "+")
    for m in re.finditer(r"(?<=[(=,] )-(?=[\d_])|(?<=\()-(?=[\d_])", line):
        yield Edit("sign", m.start(), m.end(), "")


def digits(line: str) -> Iterator[Edit]:
    """The quotient for the rest and the other way round."""
    for m in re.finditer(r" ([/%]) ", line):
        yield Edit("digit", m.start(1), m.end(1), "%" if m[1] == "/" else "/")
    for m in re.finditer(r"\bfloor_(div|mod)\b", line):
        yield Edit("digit", m.start(1), m.end(1), "mod" if m[1] == "div" else "div")


def strides(line: str) -> Iterator[Edit]:
    """The stride of another dimension; two coordinates of one access exchanged."""
    for m in re.finditer(r"\w+_stride\[(\d+)\]", line):
        yield Edit("stride", m.start(1), m.end(1), str(int(m[1]) - 1 if int(m[1]) else 1))
    for m in re.finditer(r"\b((\w+?)_(\d)(?:_\d+)?) \* \2_stride\[\d\] (?:.*?)\+ (\2_(?!\3)\d(?:_\d+)?)\b", line):
        yield Edit("exchange", m.start(1), m.end(4), m[4] + line[m.end(1):m.start(4)] + m[1])


def transposes(line: str) -> Iterator[Edit]:
    """Neighbouring numbers of a template exchanged: steps and extents of an operand, the lanes of a reduction; a flag of wgmma turned."""
    for name, args in templates(line):
        if "product" in name and not name.startswith("wgmma"):
            continue
        for (a, b), (c, d) in pairwise(args):
            x, y = line[a:b].strip(), line[c:d].strip()
            if x.isdigit() and y.isdigit() and x != y:
                yield Edit("transpose", a, d, f"{' ' if line[a] == ' ' else ''}{y}, {x}")
        if "wgmma" in name or name == "Slabs":
            for a, b in args:
                flag = line[a:b].strip()
                if flag in ("true", "false"):
                    yield Edit("transpose", a, b, " false" if flag == "true" else " true")


def swizzles(line: str) -> Iterator[Edit]:
    """A swizzle of fewer bits, from or to the bits beside."""
    for name, args in templates(line):
        if name in _SWIZZLED and len(args) >= 3 and all(line[a:b].strip().isdigit() for a, b in args[-3:]):
            for (a, b), change in zip(args[-3:], (-1, 1, 1), strict=True):
                if int(line[a:b]) + change >= 0:
                    yield Edit("swizzle", a, b, f"{' ' if line[a] == ' ' else ''}{int(line[a:b]) + change}")


def arguments(line: str) -> Iterator[Edit]:
    """Two neighbouring arguments exchanged, where both are numbers or both operands and the order matters."""
    for m in _CALL.finditer(line):
        if m[1] in _COMMUTES or m[1] in ("for", "if", "KERNEL", "run_inside") or SYNC.fullmatch(m[1]):
            continue
        args = [*pieces(line, m.end() - 1)]
        for (a, b), (c, d) in pairwise(args):
            x, y = line[a:b].strip(), line[c:d].strip()
            if x != y and sort_of(x) == sort_of(y) != "other":
                yield Edit("exchange", a, d, f"{' ' if line[a] == ' ' else ''}{y}, {x}")


def reductions(line: str) -> Iterator[Edit]:
    """A reduction over workers left out, or over half of them."""
    for m in re.finditer(r"\bacross_\w+<", line):
        yield Edit("reduce", m.start(), closing(line, line.index("(", m.start())) + 1, "(void)0")
    for name, args in templates(line):
        if name.startswith("across_"):
            numbers = [(a, b) for a, b in args if line[a:b].strip().isdigit()]
            a, b = numbers[1]
            yield Edit("reduce", a, b, f" {int(line[a:b]) // 2}")


def shifts(line: str) -> Iterator[Edit]:
    """A coordinate of a tensor one further."""
    m = re.match(r"\s*const index_t \w+_\d(?:_\d+)? = (.+);", line)
    if m:
        yield Edit("offset", m.end(1), m.end(1), " + 1")


RULES = (synchronisations, statements, waits, guards, comparisons, loops, constants, signs, digits, strides, transposes, swizzles, arguments, reductions,
         shifts)


# ---------------------------------------------------------------- reading a line
def closing(line: str, at: int) -> int:
    """Where the bracket at `at` ends."""
    depth = 0
    for i in range(at, len(line)):
        depth += (line[i] in "([{") - (line[i] in ")]}")
        if depth == 0:
            return i
    return len(line) - 1


def pieces(line: str, at: int) -> Iterator[tuple[int, int]]:
    """Columns of each argument of the call whose bracket is at `at`."""
    depth, angle, start, end = 0, 0, at + 1, closing(line, at)
    for i in range(at + 1, end):
        depth += (line[i] in "([{") - (line[i] in ")]}")
        angle += (line[i] == "<" and line[i - 1] != " ") - (line[i] == ">" and line[i - 1] != " " and angle > 0)
        if line[i] == "," and depth == 0 and angle == 0:
            yield start, i
            start = i + 1
    if start < end:
        yield start, end


def templates(line: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Name and arguments of each template that is called or made."""
    for m in re.finditer(r"\b(\w+)<((?:[^<>;]|<[^<>]*>)*)>(?=[({])", line):
        args, start, depth = [], m.start(2), 0
        for i in range(m.start(2), m.end(2) + 1):
            depth += (line[i] == "<") - (line[i] == ">" and i < m.end(2))
            if i == m.end(2) or (line[i] == "," and depth == 0):
                args.append((start, i))
                start = i + 1
        yield m[1], args


def spans_of_templates(line: str) -> list[tuple[int, int]]:
    return [(args[0][0], args[-1][1]) for _, args in templates(line)]


def within_brackets(line: str, at: int) -> bool:
    return line.count("[", 0, at) > line.count("]", 0, at)


def sort_of(argument: str) -> str:
    """number, operand or other."""
    if re.match(r"Operand<", argument):
        return "operand"
    return "other" if re.search(r"_tile|_ring|_stride|[{&\"]|\bcast\b", argument) or argument in ("true", "false") else "number"


# ---------------------------------------------------------------- subjects
@dataclass(frozen=True)
class Data:
    """One call's arrays by parameter, outputs among them, views into larger ones; what the outputs must become."""

    given: dict[str, Any]
    expected: Callable[[Mapping[str, Any]], Mapping[str, Expected]]


def padded(values: Any, to: int, fill: float) -> Any:
    """The array with rows `to` elements apart, so that they start aligned though their length is ragged; `fill` between them."""
    whole = np.full((*values.shape[:-1], to), fill, values.dtype)
    whole[..., :values.shape[-1]] = values
    return whole[..., :values.shape[-1]]


def gemm_data(random: Any) -> list[Data]:
    """2 x 2 programs with a trip for one element of K; then integers with sums that bf16 holds: whole tiles, more rows than a band, one element of K."""
    return [gemm_call(random, *sizes) for sizes in ((False, 205, 133, 257), (True, 129, 256, 256), (True, 1290, 256, 1), (True, 1408, 257, 8))]


def gemm_call(random: Any, exact: bool, m: int, n: int, k: int) -> Data:
    """Rows start 16-byte aligned."""
    a, b = ((random.integers(-1, 2, s) if exact else random.standard_normal(s)).astype(bf16) for s in ((m, k), (k, n)))
    given = {"a": padded(a, 264, np.nan), "b": padded(b, 264, np.nan), "c": padded(np.full((m, n), np.nan, bf16), 264, 77.0)}
    return Data(given, lambda got: {"c": gemm.product(a, b)})


def attention_data(random: Any) -> list[Data]:
    """Whole tiles; two batches, one key and one query past a tile; grouped heads, keys ragged and more than queries, 5 trips before the diagonal."""
    return [attention_call(random, *sizes) for sizes in ((False, 1, 256, 256, 2, 2), (True, 2, 129, 385, 2, 2), (False, 2, 164, 392, 4, 2))]


def attention_call(random: Any, exact: bool, b: int, sq: int, sk: int, h: int, g: int) -> Data:
    """exact: each query's weights are 1 on one key, so that rows of v come out; the keys next to those that are seen would weigh more."""
    d = 64
    q, k, v, o = (np.full(s, np.nan, bf16) for s in ((b, sq, h, d), (b, sk, g, d), (b, sk, g, d), (b, sq, h, d)))
    lse, scale = np.full((b, h, sq), np.nan, np.float32), 1.0 if exact else 0.125
    if exact:
        k[:] = random.choice([-1.0, 1.0], k.shape)
        v[:] = random.permuted(np.arange(v.size) % 256).reshape(v.shape)
        last = np.arange(sq) + sk - sq
        q[:] = 8 * np.repeat(k, h // g, 2)[:, last - random.integers(0, 2, sq) * random.integers(0, sk - sq, sq)]
    else:
        for x in (q, k, v):
            x[:] = random.standard_normal(x.shape)
    given = {"q": q, "k": k, "v": v, "o": o, "lse": lse, "scale": scale}
    right = attention._reference({**given, "causal": True, "window": 0}, {})
    return Data(given, lambda got: right)


def assign_data(random: Any) -> list[Data]:
    """2 programs, 3 trips over the centroids and 4 along D, one past a tile each; then small integers: whole tiles, 4 programs, one element of D."""
    return [assign_call(random, False, 205, 129, 193), assign_call(random, True, 129, 192, 192), assign_call(random, True, 385, 141, 197),
            assign_call(random, True, 256, 70, 1)]


def assign_call(random: Any, exact: bool, n: int, k: int, d: int) -> Data:
    """exact: scores have no error and many are equal, which the lowest centroid wins; else one row is NaN."""
    x, c = ((random.integers(-1, 2, s) if exact else random.standard_normal(s)).astype(bf16) for s in ((n, d), (k, d)))
    c[-1] = x[3]
    if exact:
        c[k // 2:] = c[:k - k // 2]
    else:
        x[7] = np.nan
    squared = (c.astype(np.float64) ** 2).sum(1).astype(np.float32)
    given = {"x": padded(x, 200, np.nan), "c": padded(c, 200, np.nan), "c_squared": squared, "ids": np.full(n, -77, np.int32),
             "score": np.full(n, np.nan, np.float32)}

    def expected(got: Mapping[str, Any]) -> Mapping[str, Expected]:
        wide, lost = x.astype(np.float64), np.isnan(x.astype(np.float32)).any(1)
        if exact:
            scores = squared.astype(np.float64) - 2 * wide @ c.astype(np.float64).T
            return {"ids": Expected(scores.argmin(1)), "score": Expected(scores.min(1))}
        found = kmeans._assign_reference({"x": np.nan_to_num(wide), "c": c, "c_squared": squared}, got)
        ids, score = np.where(lost, 0, found["ids"].value), found["score"]
        return {"ids": Expected(ids), "score": Expected(np.where(lost, np.inf, score.value), score.error)}
    return Data(given, expected)


MAKERS: Mapping[str, tuple[Any, Callable[[Any], list[Data]], dict[str, Any]]] = {
    "gemm": (gemm.gemm, gemm_data, {"BM": 128, "BN": 128, "BK": 64}),
    "attention": (attention.attention, attention_data, {"causal": True, "BM": 128, "BN": 64}),
    "assign": (kmeans.assign, assign_data, {"BN": 128, "BK": 64, "BD": 64}),
}


class Subject:
    """A kernel as it ships for a target, and the calls that its mutants are tried with."""

    def __init__(self, name: str, target: str) -> None:
        self.name, self.target = name, target
        self.kernel, make, self.consts = MAKERS[name]
        self.calls = make(np.random.default_rng(0))
        steered = [self.kernel.steer(target_of(target, "late"), tuple(d.given.values()), self.consts) for d in self.calls]
        s, self.bindings = min(steered, key=lambda x: (len(x.spec.aligned), sum(len(u) for _, u in x.spec.units))), [x.binding for x in steered]
        for x in steered:                            # the text takes nothing for granted that a call does not have
            assert s.spec.aligned <= x.spec.aligned and all({*u} <= {*dict(x.spec.units)[n]} for n, u in s.spec.units), (s.spec, x.spec)
        spec, kernel = lowering.specialised(self.kernel.definition, s.binding.spec, s.binding.holds)
        placed = self.kernel._lowered(kernel, replace(s, spec=spec))
        rendered = lowering.render(s.target.backend, placed)
        self.files, self.described, self.steered = rendered.files, rendered.call, s
        self.main = next(iter(self.files))
        self.emulator = Emulator(s.target.backend.name, s.target.architecture)

    @property
    def source(self) -> str:
        return self.files[self.main]

    def build(self, folder: Path, text: str) -> str:
        """The library of this text in `folder`."""
        for name, file in self.files.items():
            (folder / name).write_text(text if name == self.main else file)
        return self.emulator.compile(folder, self.described["name"])

    def fault(self, folder: Path, binary: str, modes: Sequence[str] = MODES) -> str:
        """What the first run that shows anything shows, or ""."""
        data = {**self.described, "binary": binary, "accesses": {"grid": [], "rows": []}}
        entry = Entry("", folder, data)
        plans = [self.kernel._make_plan(self.steered.target, entry, b, len(d.given)) for b, d in zip(self.bindings, self.calls, strict=True)]
        for mode in modes:
            for plan, call, binding in zip(plans, self.calls, self.bindings, strict=True):
                found = self.run(plan, call, binding, mode)
                if found:
                    return f"{mode}: {found}"
        return ""

    def run(self, plan: Any, call: Data, binding: Any, mode: str) -> str:
        """One call's finding, or the outputs that are not right; outputs are poisoned before, and what lies between their rows must stay."""
        written = {n: call.given[n] for n in self.described["written"]}
        before = {n: base_of(x).copy() for n, x in written.items()}
        plan.launch.seconds = SECONDS
        arrays = binding.arrays
        order = {i: n for i, n in enumerate(self.kernel._arguments)}
        ranges = [(name, arrays[order[n]].pointer + low, high - low, stored) for n, name, low, high, stored in plan.ranges]
        try:
            status = plan.launch(plan.pack(*plan.template), ranges, mode)
            wrong = f"status {status}" if status else ""
            with np.errstate(invalid="ignore"):
                verdicts = [] if wrong else [(n, judge(n, written[n], e)) for n, e in call.expected(written).items()]
            for n, v in verdicts:
                wrong = wrong or (f"values of {n}" if v.wrong else "")
            for n, x in written.items():
                after, masked = base_of(x).copy(), before[n].copy()
                view_like(after, x)[...], view_like(masked, x)[...] = 0, 0
                wrong = wrong or ("" if after.tobytes() == masked.tobytes() else f"written beside {n}")
        except EmulationError as e:
            wrong = f"{e.findings[0].kind}: {e.findings[0].text}" if e.findings else str(e)
        finally:
            for n, x in written.items():
                base_of(x)[...] = before[n]
        return wrong


def base_of(x: Any) -> Any:
    return x if x.base is None else x.base


def view_like(whole: Any, view: Any) -> Any:
    return whole[tuple(slice(0, n) for n in view.shape)]


# ---------------------------------------------------------------- running
@dataclass(frozen=True)
class Result:
    """How a mutant ended: caught by "compiler", "finding", "values", "crash" or "time"; by "" if it survived."""

    kernel: str
    target: str
    name: str
    kind: str
    line: int
    caught: str
    what: str
    seconds: float


_subjects: dict[tuple[str, str], Subject] = {}


def subject_of(kernel: str, target: str, modes: Sequence[str] = MODES) -> Subject:
    """A subject, which is right as it is: AssertionError tells where it is not."""
    if (kernel, target) not in _subjects:
        subject = Subject(kernel, target)
        with tempfile.TemporaryDirectory(prefix="dslc-mutant-") as folder:
            wrong = subject.fault(Path(folder), subject.build(Path(folder), subject.source), modes)
        assert not wrong, f"{kernel} on {target} unchanged: {wrong}"
        _subjects[kernel, target] = subject
    return _subjects[kernel, target]


def tried(job: tuple[str, str, Mutant]) -> Result:
    """One mutant, compiled in a folder of its own and run in a process of its own."""
    kernel, target, mutant = job
    subject, start = _subjects[kernel, target], time.perf_counter()

    def result(caught: str, what: str) -> Result:
        return Result(kernel, target, mutant.name, mutant.kind, mutant.line, caught, what[:300], time.perf_counter() - start)
    with tempfile.TemporaryDirectory(prefix="dslc-mutant-") as folder:
        try:
            binary = subject.build(Path(folder), mutant.text)
        except DslError as e:
            return result("compiler", str(e))
        how, what = in_a_process(lambda: subject.fault(Path(folder), binary), 8 * SECONDS)
    if how != "done":
        return result(how, what)
    return result("" if not what else "values" if ": values of" in what or ": written beside" in what else "finding", what)


def in_a_process(work: Callable[[], str], seconds: float) -> tuple[str, str]:
    """("done", what work() said), or "crash" or "time": a mutant may do anything to its process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            signal.alarm(int(seconds))
            with os.fdopen(write, "wb") as out:
                pickle.dump(work(), out)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as given:
        data = given.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return ("time", "it does not end") if number == signal.SIGALRM else ("crash", f"signal {number}")
    return ("done", pickle.loads(data)) if data else ("crash", f"status {status}")


def run(jobs: Sequence[tuple[str, str, Mutant]], processes: int = 2) -> Iterator[Result]:
    """Every mutant's end, in the order of the jobs."""
    for kernel, target, _ in jobs:
        subject_of(kernel, target)
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        yield from pool.map(tried, jobs, chunksize=4)


def main(words: Sequence[str]) -> None:
    pairs = [(k, t) for t in TARGETS for k in KERNELS if (k in words or not {*words} & {*KERNELS}) and (t in words or not {*words} & {*TARGETS})]
    results: list[Result] = []
    for kernel, target in pairs:
        start, some = time.perf_counter(), [*run([(kernel, target, m) for m in mutants(subject_of(kernel, target).source)])]
        alive, results = [r for r in some if not r.caught], [*results, *some]
        print(f"{kernel} {target}: {len(some)} mutants, {len(alive)} survive, {time.perf_counter() - start:.0f} s", flush=True)
        for r in alive:
            print(f"  {r.line} {r.name}\n      {survivors.reason(r.name)}", flush=True)
    if len(pairs) == len(KERNELS) * len(TARGETS):
        survivors.DOCUMENT.write_text(survivors.document(results))


if __name__ == "__main__":
    main(sys.argv[1:])
