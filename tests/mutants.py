"""One change at a time to the text of a generated kernel's function: every deletion, shift and exchange that a line offers, in the order of the text.

`Dialect` says how sources of some targets are read and changed; the rules here are those for GPUs.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise


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


def shown(lines: Sequence[str], n: int, e: Edit) -> str:
    """The change in its statement: what stood there and what stands there now between marks."""
    before, after = lines[n][:e.start].lstrip(), lines[n][e.end:]
    return f"{'..' * (len(before) > 60)}{before[-60:]}[{lines[n][e.start:e.end]} -> {e.new}]{after[:40]}{'..' * (len(after) > 40)}"


@dataclass(frozen=True)
class Dialect:
    """How sources of some targets are changed.

    begins: how the first line of the first function begins.  lines: indices of the lines that may change.  rules: each the changes of one kind of a line.
    several: changes of more lines than one, as (kind, name, new lines by index).
    each: kinds that are made in every one of several statements that are alike, the others in the last.
    names: a pattern with {name} of what is named after the kernel, where several sources are to be one file.  numbers: what is no difference between
    statements that are alike, but for its first group.  shown: a change of line n, in words.  skips: lines that never change.
    """

    begins: str
    lines: Callable[[str], Sequence[int]]
    rules: Sequence[Callable[[str], Iterator[Edit]]]
    names: str
    each: Set[str] = frozenset()
    numbers: str = r"([a-z])_?\d+\b"
    shown: Callable[[Sequence[str], int, Edit], str] = shown
    several: Callable[[Sequence[str], Sequence[int]], Iterator[tuple[str, str, dict[int, str]]]] = lambda lines, where: iter(())
    skips: str = r"\s*(//|#|$|\}|\{)"

    def edits(self, line: str) -> Iterator[Edit]:
        """Every change to one line."""
        if not re.match(self.skips, line):
            for rule in self.rules:
                yield from rule(line.split("  //")[0])


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
_BOUND = 2 ** 31 - 1                 # ends of i32 and i64, which no tensor of a test comes near
_SWIZZLED = {"swizzle", "Operand"}   # templates whose last three numbers are a swizzle


def function_lines(source: str) -> range:
    """Indices of the lines of the kernel's function, without its first."""
    lines = source.splitlines()
    (start,) = [i for i, text in enumerate(lines) if text.startswith("KERNEL(")]
    return range(start + 1, next(i for i in range(start, len(lines)) if lines[i] == "}"))


def mutants(source: str, dialect: Dialect | None = None) -> list[Mutant]:
    """Every change, each resulting text once; those of a GPU if no dialect is given.

    A statement may be there several times, but for the numbers of names: a loop's body again for its last trips. What orders memory and places in it is
    changed in all of them, the rest in the last.
    """
    by = dialect or GPU
    lines, where, seen, names = source.splitlines(), by.lines(source), {source}, Counter[str]()
    found, last = [], {likeness(lines, n, by.numbers): n for n in where}

    def add(kind: str, said: str, changed: Mapping[int, str]) -> None:
        whole = "\n".join(changed.get(n, text) for n, text in enumerate(lines)) + "\n"
        if whole not in seen:
            seen.add(whole)
            name = f"{kind}: {said}"
            names[name] += 1
            found.append(Mutant(name if names[name] == 1 else f"{name} #{names[name]}", kind, min(changed) + 1, whole))
    for n in where:
        for e in by.edits(lines[n]):
            if e.kind in by.each or last[likeness(lines, n, by.numbers)] == n:
                add(e.kind, by.shown(lines, n, e), {n: lines[n][:e.start] + e.new + lines[n][e.end:]})
    for kind, name, changed in by.several(lines, where):
        add(kind, name, changed)
    return found


def likeness(lines: Sequence[str], n: int, numbers: str) -> tuple[str, ...]:
    """A line, and of a loop the next one too, without the numbers of names."""
    texts = [lines[n].strip()]
    if texts[0].startswith("for ") and texts[0].endswith("{"):
        texts.append(next(t.strip() for t in lines[n + 1:] if not t.strip().startswith(("#", "//"))))
    return tuple(re.sub(numbers, r"\1", t) for t in texts)


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


GPU = Dialect("KERNEL(", function_lines, RULES, r"{name}_programs|launch_{name}", EACH)


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
