"""One change at a time to the functions of generated AscendC: flags, barriers and crossings left out or altered, places moved or halved, and as for GPUs.

What crosses between the units does so in functions of the header.  For their calls between cores the function's body is put in the place of its call and
changed there, so that each use of each ring is changed by itself.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import dslc.backends.ascend
from mutants import Dialect, Edit, closing, comparisons, digits, pieces, shifts, shown, signs, strides, templates

HEADER = Path(dslc.backends.ascend.__file__).with_name("tile_ascend_cube.h")
PIPES = {"cube": ("M", "MTE1", "MTE2", "FIX"), "vector": ("V", "MTE2", "MTE3")}
_FLAG = re.compile(r"(Set|Wait)Flag<HardEvent::(\w+)>\(([^)]*)\);")
_LET = re.compile(r"\s*(const |i32 |Sum<|Ring<|Halves |Core )")
_FOR = re.compile(r"for \(index_t (\w+) = (.+?)(, turn = 0)?; \1 < (.+); \1 \+= (.+?)(, turn\d* \^= 1)?\) \{")
_INTEGER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_PLACE = re.compile(r"core\.(?:tile|local|ub_at)<[^(]*>\(")
_CALL = re.compile(r"\b([A-Za-z_]\w*)(<[^;=]*?>)?\((?=[^)])")
_COMMUTES = {"add", "mul", "minimum", "maximum", "both", "either", "eq", "ne"}
_BOUND = 2 ** 31 - 1                 # ends of i32 and i64, which no tensor of a test comes near
Changes = Iterator[tuple[str, str, dict[int, str]]]


def functions(lines: Sequence[str]) -> dict[str, range]:
    """Indices of the lines inside each unit's function, by "cube" and "vector"."""
    found = {}
    for n, text in enumerate(lines):
        if m := re.match(r"__aicore__ inline void \w+_(cube|vector)\(", text):
            start = next(i for i in range(n, len(lines)) if lines[i].endswith(") {")) + 1
            found[m[1]] = range(start, next(i for i in range(start, len(lines)) if lines[i] == "}"))
    return found


def function_lines(source: str) -> list[int]:
    return [n for inside in functions(source.splitlines()).values() for n in inside]


def with_next(lines: Sequence[str], n: int, e: Edit) -> str:
    """A change in its statement; of flags and barriers, which are alike, with the statement that they stand before."""
    alike = _FLAG.fullmatch(lines[n].strip()) or "PipeBarrier" in lines[n]
    return shown(lines, n, e) + (f" before {beside_text(lines, n)}" if alike else "")


def beside_text(lines: Sequence[str], n: int) -> str:
    """The next statement that is no flag, barrier or declaration, its beginning."""
    found = (t.strip() for t in lines[n + 1:])
    return next((t for t in found if t and not t.startswith("//") and not _LET.match(t) and not _FLAG.match(t) and not t.startswith("PipeBarrier")), "")[:70]


# ---------------------------------------------------------------- changes of one line
def synchronisations(line: str) -> Iterator[Edit]:
    """A flag or a barrier left out, a flag of another number."""
    for m in re.finditer(r"\b(?:PipeBarrier<\w+>\(\)|\w+\.finish\(\));", line):
        yield Edit("delete", m.start(), m.end(), "(void)0;")
    for m in _FLAG.finditer(line):
        yield Edit("delete", m.start(), m.end(), "(void)0;")
        if "turn" in m[3]:
            yield Edit("phase", m.start(3), m.end(3), re.sub(r"\bturn\d*\b", r"(\g<0> ^ 1)", m[3]))
        else:
            yield Edit("flag", m.start(3), m.end(3), str(int(m[3]) + 1))


def statements(line: str) -> Iterator[Edit]:
    """A call or an assignment left out."""
    m = re.match(r"\s*((?:[a-z_]\w*)(?:<.*>)?\(.*\)|[a-z_]\w*(?:\.fresh) = [^;]*);$", line)
    if m and not re.match(r"(Set|Wait)Flag|PipeBarrier|(open|close|put|take)\b", m[1]):
        yield Edit("drop", m.start(1), m.end(1), "(void)0")


def guards(line: str) -> Iterator[Edit]:
    """A condition that always holds, a part that is always whole, an end one further."""
    for m in re.finditer(r"\bif \(", line):
        yield Edit("guard", m.end(), closing(line, m.end() - 1), "true")
    for m in re.finditer(r"\bwithin\(", line):
        yield Edit("guard", m.start(), closing(line, m.end() - 1) + 1, "true")
    for m in re.finditer(r"\binside\(", line):
        _, (a, b), (c, d) = pieces(line, m.end() - 1)
        yield Edit("guard", m.start(), closing(line, m.end() - 1) + 1, f"Inside{{0, {line[a:b].strip()}}}")
        yield Edit("guard", c, d, f" {line[c:d].strip()} + 1")
        yield Edit("guard", c, d, f" {line[c:d].strip()} - 1")
    for m in re.finditer(r"\bselect<\w+>\(", line):
        yield Edit("guard", *next(pieces(line, m.end() - 1)), "true")


def loops(line: str) -> Iterator[Edit]:
    """First or last trip left out, a step twice as long."""
    for m in _FOR.finditer(line):
        yield Edit("loop", m.start(2), m.end(2), f"({m[2]}) + {m[5]}")
        yield Edit("loop", m.start(4), m.end(4), f"({m[4]}) - 1")
        yield Edit("loop", m.start(5), m.end(5), f"2 * {m[5]}")


def turns(line: str) -> Iterator[Edit]:
    """Slots that do not turn: in the loop, or of one place."""
    for m in re.finditer(r", (turn\d*) \^= 1\)", line):
        yield Edit("phase", m.start(), m.end() - 1, "")
    for m in re.finditer(r"\b(turn\d*) \* (\d+)", line):
        yield Edit("halve", m.start(1), m.end(1), "0")
        yield Edit("halve", m.start(2), m.end(2), str(int(m[2]) // 2))


def halves(line: str) -> Iterator[Edit]:
    """Half the slots of a ring, half the elements or rows of a place, half of each core's workspace."""
    for m in re.finditer(r"\bRing<\w+, \d+, \d+, (\d+), \d+> ", line):
        yield Edit("halve", m.start(1), m.end(1), str(int(m[1]) // 2))
    for m in re.finditer(r"\bcore\.(?:local|ub_at)<", line):
        *_, (a, b) = pieces(line, line.index("(", m.start()))
        yield Edit("halve", a, b, f" {int(line[a:b]) // 2}")
    for m in re.finditer(r"\bcore\.tile<\w+, (?:1, )?(\d+), \d+", line):
        yield Edit("halve", m.start(1), m.end(1), str(int(m[1]) // 2))
    for m in re.finditer(r"\brings = .* \* (\d+);", line):
        yield Edit("halve", m.start(1), m.end(1), str(int(m[1]) // 2))


def constants(line: str) -> Iterator[Edit]:
    """A block of 32 bytes further for a place, an element further else."""
    if _FOR.search(line) or _FLAG.search(line):
        return
    inside = [(args[0][0], args[-1][1]) for _, args in templates(line)]
    inside += [m.span() for m in re.finditer(r"\b(?:Panel|Sum|Ring)<[^>]*>|turn\d* \* \d+", line)]
    places = {m.end() for m in _PLACE.finditer(line)} | {m.end() for m in re.finditer(r"\bring\d+\(rings, ", line)}
    sizes = [[*pieces(line, line.index("(", m.start()))][-1] for m in re.finditer(r"\bcore\.(?:local|ub_at)<", line)]
    for m in _INTEGER.finditer(line):
        at, before = m.start(), line[:m.start()]
        if any(a <= at < b for a, b in inside + sizes) or int(m[0]) >= _BOUND or before.endswith("_stride[") or re.search(r"\brings = .* \* $", before):
            continue
        yield Edit("offset", at, m.end(), str(int(m[0]) + (32 if at in places else 1)))


def places(line: str) -> Iterator[Edit]:
    """An element further in global memory."""
    m = re.match(r"\s*(load|store|load_fields<.*>)\(", line)
    if m:
        args = [line[a:b].strip() for a, b in pieces(line, m.end() - 1)]
        spans = [*pieces(line, m.end() - 1)]
        at = 3 if m[1].startswith("load_fields") else 2 if m[1] == "load" or args[0] == "l0" else 1
        if not args[at].isdigit():
            yield Edit("offset", spans[at][1], spans[at][1], " + 1")


def stride_lists(line: str) -> Iterator[Edit]:
    for m in re.finditer(r"_stride\[\] = \{(.*)\};", line):
        start = m.start(1)
        for x, y in pairwise(re.finditer(r"\w+", m[1])):
            yield Edit("stride", start + x.start(), start + y.end(), f"{y[0]}, {x[0]}")


def transposes(line: str) -> Iterator[Edit]:
    """Extents of a tile exchanged, an operand of a product turned, fractals in the other order, a row for a column."""
    for name, args in templates(line):
        if name == "multiply":
            for a, b in args:
                yield Edit("transpose", a, b, line[a:b].replace("false", "TRUE").replace("true", "false").replace("TRUE", "true"))
    m = re.search(r"\b(Panel|Sum|Ring|tile)<(\w+), (\d+), (\d+)\b", line)
    if m and m[3] != m[4]:
        yield Edit("transpose", m.start(3), m.end(4), f"{m[4]}, {m[3]}")
    if m := re.search(r"\bPanel<\w+, \d+, \d+, (false|true)>", line):
        yield Edit("transpose", m.start(1), m.end(1), "true" if m[1] == "false" else "false")
    for m in re.finditer(r"\b(row|column)\(", line):
        yield Edit("transpose", m.start(1), m.end(1), "column" if m[1] == "row" else "row")


def arguments(line: str) -> Iterator[Edit]:
    """Two neighbouring arguments exchanged where that could mean something."""
    for m in _CALL.finditer(line):
        if m[1] in ("for", "if", "put", "take", "open", "close", "tile", "local", "ub_at", "Panel", "Sum", "Ring") or _FLAG.match(line, m.start()):
            continue
        spans = [*pieces(line, m.end() - 1)]
        statement = not line[:m.start()].strip()
        for n, ((a, b), (c, d)) in enumerate(pairwise(spans)):
            x, y = line[a:b].strip(), line[c:d].strip()
            if (m[1] in _COMMUTES and not (statement and n == 0)) or (m[1], n) in (("fma", 1), ("multiply", 1)):
                continue
            if x != y and sort_of(x, m[1]) == sort_of(y, m[1]) != "other":
                yield Edit("exchange", a, d, f"{' ' if line[a] == ' ' else ''}{y}, {x}")


def sort_of(argument: str, call: str) -> str:
    """number, part or other; what loads and stores move is other."""
    if re.match(r"inside\(|Inside\{|all_or_none\(", argument):
        return "part"
    if re.match(r"scratch\b|cast<|\[=\]|true$|false$|l0$|ring\d|rings$|core\b|RowsFrom", argument):
        return "other"
    return "number" if not call.startswith(("load", "store")) or "_stride" in argument else "other"


RULES = (synchronisations, statements, guards, comparisons, loops, turns, halves, constants, places, signs, digits, strides, stride_lists, transposes,
         arguments, shifts)


# ---------------------------------------------------------------- changes of several lines
@dataclass(frozen=True)
class Flag:
    """A SetFlag or WaitFlag that stands alone on its line."""

    line: int
    sets: bool
    event: str
    number: str

    @property
    def text(self) -> str:
        return f"{'Set' if self.sets else 'Wait'}Flag<HardEvent::{self.event}>({self.number});"


def flags_of(lines: Sequence[str], where: range) -> list[Flag]:
    return [Flag(n, m[1] == "Set", m[2], m[3]) for n in where if (m := _FLAG.fullmatch(lines[n].strip()))]


def pairs(lines: Sequence[str], unit: str, where: range) -> Changes:
    """A flag's set and wait left out, that of one pair, or of the use before and the use after; or a pair of another pipe than the one that is waited for."""
    flags = flags_of(lines, where)
    taken = {(f.event, int(n)) for f in flags for n in re.findall(r"\d+", f.number)}
    for key in dict.fromkeys((f.event, f.number) for f in flags):
        for a, b in pairwise([f for f in flags if (f.event, f.number) == key]):
            if a.sets == b.sets:
                continue
            said = f"{a.text} .. {b.text} before {beside_text(lines, b.line)}"
            yield "pair", said, {a.line: "", b.line: ""}
            setter, waiter = a.event.split("_")
            other = next((p for p in PIPES[unit] if p not in (setter, waiter) and (f"{p}_{waiter}", 3) not in taken), None)
            if a.sets and other is not None and indent(lines[a.line]) == indent(lines[b.line]) and setter != "S" != waiter:
                text = f"Flag<HardEvent::{other}_{waiter}>(3);"
                yield "flag", f"{said}: {other}_{waiter}", {a.line: f"Set{text}", b.line: f"Wait{text}"}


def moves(lines: Sequence[str], unit: str, where: range) -> Changes:
    """A flag set before what it stands for, waited for after what needs it."""
    for f in flags_of(lines, where):
        if indent(lines[f.line]) == 2:               # before all programs, or after them
            continue
        other = beside(lines, f.line, -1 if f.sets else 1, where)
        if other is not None:
            first, last = (f.text, lines[other].strip()) if f.sets else (lines[other].strip(), f.text)
            yield "move", f"{first[:80]} then {last[:80]}", {f.line: "", other: f"{first} {last}"}


def indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def beside(lines: Sequence[str], n: int, way: int, where: range) -> int | None:
    """The nearest statement of the same block before or after that does something and is no flag."""
    while (n := n + way) in where:
        text = lines[n].strip()
        if text.endswith(("{", "}")):
            return None
        if text and not text.startswith("//") and not _LET.match(text) and not _FLAG.match(text) and not text.startswith("PipeBarrier"):
            return n
    return None


# ---------------------------------------------------------------- rings
@lru_cache(maxsize=1)
def crossing_functions() -> dict[tuple[str, int], tuple[list[str], str]]:
    """Parameters and body of the header's functions of rings, by name and number of arguments; a parameter without a name is the ring."""
    found = {}
    for m in re.finditer(r"DSLC_FN void (open|close|put|take)(\(.*\)) \{\n((?:    .*\n)+)\}", HEADER.read_text()):
        params = [m[2][a:b].split()[-1].lstrip("&") or "ring" for a, b in pieces(m[2], 0)]
        found[m[1], len(params)] = params, " ".join(t.strip() for t in m[3].splitlines())
    return found


def crossing(line: str) -> tuple[str, str, str] | None:
    """(function, ring, body for these arguments) of a line that calls one of the header's functions of rings."""
    m = re.match(r"\s*(open|close|put|take)(?:<(\w+)>)?\((.*)\);$", line)
    if m is None:
        return None
    args = [m[3][a - 1:b - 1].strip() for a, b in pieces(f"({m[3]})", 0)]
    params, body = crossing_functions()[m[1], len(args)]
    ring = next(a for a in args if re.fullmatch(r"ring\d+", a))
    names = {p: f"({a})" if " " in a else a for p, a in zip(params, args, strict=True)}
    names |= {"R": f"{ring}.rows", "C": f"{ring}.columns", "S": f"{ring}.slots", "pipe": m[2] or ""}
    body = body.replace("Ring<T, R, C, S, E>::", f"{ring}.").replace("T()", "{}")
    return m[1], ring, re.sub(r"(?<![.\w])[A-Za-z_]\w*", lambda w: names.get(w[0], w[0]), body)


def crossings(lines: Sequence[str], where: dict[str, range]) -> Changes:
    """A call between cores left out, of another pipe, of the other flag; both sides of a flag left out; a slot given too many; a slot not left."""
    found = [(unit, n, *c) for unit, inside in where.items() for n in inside if (c := crossing(lines[n]))]
    for unit, n, what, ring, body in found:
        for m in re.finditer(r"AscendC::CrossCore(Set|Wait)Flag<2, PIPE_(\w+)>\(\w+\.(ready|free)\);", body):
            said = f"{what} of {unit}, {ring}: CrossCore{m[1]}Flag<2, PIPE_{m[2]}>({m[3]})"
            yield "cross", f"{said} left out", {n: braced(body, m.span(), "")}
            for pipe in PIPES[unit]:
                if pipe != m[2]:
                    yield "cross", f"{said} by PIPE_{pipe}", {n: braced(body, m.span(2), pipe)}
            yield "cross", f"{said} of the other flag", {n: braced(body, m.span(3), "free" if m[3] == "ready" else "ready")}
        if m := re.search(rf"{ring}\.next\(\);", body):
            yield "phase", f"{what} of {unit}, {ring}: next() left out", {n: braced(body, m.span(), "")}
    for ring in dict.fromkeys(r for *_, r, _ in found):
        own = [(n, what, body) for _, n, what, r, body in found if r == ring]
        for flag in ("ready", "free"):
            call = re.compile(rf"AscendC::CrossCore\w+Flag<2, PIPE_\w+>\({ring}\.{flag}\);")
            yield "pair", f"{ring}: {flag} neither set nor waited for", {n: f"{{ {call.sub('(void)0;', body)} }}" for n, _, body in own if call.search(body)}
        ends = {n: f"{{ {body.replace(f'{ring}.slots', f'{ring}.slots + 1')} }}" for n, what, body in own if what in ("open", "close")}
        yield "cross", f"{ring}: a slot more opened and closed", ends


def braced(body: str, span: tuple[int, int], new: str) -> str:
    return f"{{ {body[:span[0]]}{new}{body[span[1]:]} }}"


def several(lines: Sequence[str], _where: Sequence[int]) -> Changes:
    """Every change of several lines."""
    units = functions(lines)
    for unit, inside in units.items():
        yield from pairs(lines, unit, inside)
        yield from moves(lines, unit, inside)
    yield from crossings(lines, units)


ASCEND = Dialect(r"__aicore__ inline void ", function_lines, RULES, r"{name}_(?:cube|vector|kernel)|launch_{name}",
                 {"delete", "flag", "phase"}, r"([a-z(])_?\d+\b", with_next, several,
                 r"\s*(//|#|$|\}|\{|const Global<|Core core\(|i32 turn\d* = 0;)")
