"""What of AscendC may be called on architecture 2201: the table api.json, and the check of a generated source against it.

The table says, of every function: forms (C++ types of the arguments in order, type variables T, U, ..), the element types that the variables may take,
ranges, on which kind of core and pipe it is, in which versions of CANN, and the page of CANN's documentation that says so.  tests/test_ascend_api.py makes
of it the cases that the emulator's header must compile or refuse; `check` is what the emitter calls before a source leaves the backend.

Generated sources mostly call the device headers (tile_ascend*.h).  Which cores those functions can run on, and of which element types their first operand
may be, is read from the headers: a function runs where everything that it calls does.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Element types as the device headers name them.
ALIASES = {"f16": "half", "bf16": "bfloat16_t", "f32": "float", "f64": "double", "index_t": "int64_t",
           **{f"{sign}{bits}": f"{'u' * (sign == 'u')}int{bits}_t" for sign in "iu" for bits in (8, 16, 32, 64)}}
INTEGERS = frozenset(f"{u}int{bits}_t" for u in ("", "u") for bits in (8, 16, 32, 64))
_VARIABLE = re.compile(r"\b[TUSD]\b")


class IllegalCall(ValueError):
    """The emitter wrote a call that the table does not have: a fault of this backend, not of a kernel."""

    def __init__(self, where: str, api: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {api}: found {found}, expected {expected}")
        self.api, self.found, self.expected = api, found, expected


@dataclass(frozen=True)
class Form:
    """One overload: explicit template arguments and arguments as "TYPE NAME" (of a template argument that is a type or a constant, the word alone)."""

    template: tuple[str, ...]
    args: tuple[str, ...]
    combinations: tuple[Mapping[str, str], ...]         # of the type variables
    core: tuple[str, ...]
    pipe: str
    data: Mapping[str, Any]                             # ranges, multiples, only, at, types, structs: as in the table

    @staticmethod
    def spelled(text: str, types: Mapping[str, str]) -> str:
        """The type of "TYPE NAME" with its variables replaced."""
        return _VARIABLE.sub(lambda m: types.get(m[0], m[0]), text.split(" ")[0])

    def admits(self, template: Sequence[str], args: Sequence[str]) -> bool:
        """Whether a call with these template arguments (types; of values the types) and types of arguments is this form."""
        if len(template) != len(self.template) or len(args) != len(self.args):
            return False
        return any(all(given == self.spelled(wanted, types) for given, wanted in zip(template, self.template, strict=True))
                   and all(_converts(given, self.spelled(wanted, types), wanted) for given, wanted in zip(args, self.args, strict=True))
                   for types in self.combinations)


def _converts(given: str, wanted: str, text: str) -> bool:
    """Whether an argument of one type is taken for another: integers are, and what is stored as a scalar, but not where a type variable is deduced."""
    if wanted.startswith("scalar<"):
        return given == wanted[7:-1] or given in INTEGERS
    return given == wanted or (given in INTEGERS and wanted in INTEGERS and not _VARIABLE.match(text))


@dataclass(frozen=True)
class Table:
    """The table's data, and what is asked of it."""

    data: Mapping[str, Any]

    @cached_property
    def functions(self) -> dict[str, tuple[Form, ...]]:
        """The forms of every function, members as "CLASS.NAME"."""
        return {name: tuple(self._form(f, row) for row in f["forms"]) for name, f in self.data["functions"].items()}

    def _form(self, function: Mapping[str, Any], row: Mapping[str, Any]) -> Form:
        choices = [self._tuples(names, allowed) for names, allowed in row.get("types", {}).items()]
        combinations = tuple({k: v for part in parts for k, v in part.items()} for parts in product(*choices))
        return Form(tuple(row.get("template", ())), tuple(row["args"]), combinations, tuple(row.get("core", function["core"])),
                    row.get("pipe", function["pipe"]), row)

    def _tuples(self, names: str, allowed: Any) -> list[dict[str, str]]:
        """Assignments of the variables `names`: a set's name, a list of dtypes, or of one dtype for each variable."""
        rows = self.data["sets"][allowed] if isinstance(allowed, str) else list(allowed)
        return [dict(zip(names.split(), row.split(), strict=True)) for row in rows]

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name of namespace AscendC that a source may use."""
        return frozenset(name.split(".")[0] for part in ("functions", "structs", "enums", "constants", "classes") for name in self.data[part])

    @cached_property
    def members(self) -> frozenset[str]:
        """Members of the tensors."""
        return frozenset(name.split(".")[1] for name in self.functions if "." in name)

    def versions(self, name: str) -> tuple[int, ...]:
        """The major versions of CANN that have a name; a class's are its own, whatever its constructors'."""
        parts = ("classes", "functions", "structs", "not_emulated")
        row: Mapping[str, Any] = next((self.data[part][name] for part in parts if name in self.data[part]), {})
        return tuple(row.get("cann", (8, 9)))

    def cores(self, name: str) -> frozenset[str]:
        """The kinds of cores that some form of a function runs on; of what is no function, both."""
        return frozenset(core for form in self.functions[name] for core in form.core) if name in self.functions else frozenset(self.data["cores"])

    def admits(self, name: str, template: Sequence[str], args: Sequence[str]) -> bool:
        """Whether a call is one of the function's forms; types as Form.admits wants them."""
        return any(form.admits(template, args) for form in self.functions[name])

    def dtypes(self, name: str, variable: str = "T") -> list[str]:
        """The element types that a variable of a function takes in some form."""
        return sorted({types[variable] for form in self.functions[name] for types in form.combinations if variable in types})

    def range(self, name: str, argument: str) -> tuple[int, int]:
        """The range of an integer argument of a function's first form."""
        low, high, *_ = self.functions[name][0].data["ranges"][argument]
        return low, high


@lru_cache(maxsize=1)
def table() -> Table:
    """The committed table."""
    return Table(json.loads((HERE / "api.json").read_text()))


# ---------------------------------------------------------------- the device headers
@dataclass(frozen=True)
class Device:
    """Functions of one name in the device headers, all overloads together."""

    cores: frozenset[str]
    first: frozenset[str] | None        # element types of the first operand, None for any


_DEFINITION = re.compile(r"^(?:template <.*> )?DSLC_FN [\w:<>,&* ]*?\b(\w+)\(", re.M)
_UNQUALIFIED = ("SetFlag", "WaitFlag", "PipeBarrier")     # that the headers take out of their namespace
_FIRST = re.compile(r"\s*(?:Tile|Local|AscendC::LocalTensor)<(\w+)[,>]")
_CALLED = re.compile(r"(?<![\w.:])(?:(AscendC)::)?(\w+)(?:<(?:HardEvent::)?([^;(){}]*)>)?\(")


def _until(text: str, at: int, opening: str, closing: str) -> int:
    """Where the bracket that is open before `at` closes."""
    depth = 1
    for m in re.compile(rf"[{re.escape(opening + closing)}]").finditer(text, at):
        depth += 1 if m[0] == opening else -1
        if not depth:
            return m.start()
    raise ValueError(f"no {closing} closes the text at {at}")


def definitions(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, parameters and body of every function that a device header defines, but for members and what macros make."""
    text = re.sub(r"//[^\n]*", "", text)
    for m in _DEFINITION.finditer(text):
        close = _until(text, m.end(), "(", ")")
        brace = re.compile(r"[^;{]*\{").match(text, close + 1)
        if brace:
            yield m[1], text[m.end():close], text[brace.end():_until(text, brace.end(), "{", "}")]


def _cores(name: str, of: str | None) -> frozenset[str]:
    """Where a call of AscendC runs; a flag where there are both of its pipes, a barrier where there is its pipe."""
    api = table()
    if name in ("SetFlag", "WaitFlag") and of in api.data["enums"]["HardEvent"]["values"]:
        return frozenset(core for core, row in api.data["cores"].items() if of in row["pairs"])
    if name == "PipeBarrier" and of and of in api.data["enums"]["pipe_t"]["values"] and of != "PIPE_ALL":
        return frozenset(core for core, row in api.data["cores"].items() if of[5:] in row["pipes"])
    return api.cores(name)


@lru_cache(maxsize=1)
def device() -> dict[str, Device]:
    """The functions of the device headers by name.  An overload runs where all that it calls does, a name where one of its overloads does."""
    known, api = [d for path in sorted(HERE.glob("tile_ascend*.h")) if path.name != "tile_ascend_host.h" for d in definitions(path.read_text())], table()
    everywhere = frozenset(api.data["cores"])
    calls = [(name, [(m[1] or m[2] in _UNQUALIFIED, m[2], m[3]) for m in _CALLED.finditer(body)]) for name, _, body in known]
    own = [frozenset.intersection(everywhere, *(_cores(n, of) for qualified, n, of in called if qualified and n in api.functions)) for _, called in calls]
    cores = {name: everywhere for name, *_ in known}
    while True:
        overloads = [(name, frozenset.intersection(mine, *(cores[n] for q, n, _ in called if not q and n in cores and n != name)))
                     for (name, called), mine in zip(calls, own, strict=True)]
        found = {name: frozenset(core for n, some in overloads if n == name for core in some) for name in cores}
        if found == cores:
            break
        cores = found
    first: dict[str, set[str]] = {}
    for name, parameters, _ in known:
        m = _FIRST.match(parameters)
        first.setdefault(name, set()).add(ALIASES.get(m[1], m[1]) if m else "")
    dtypes = frozenset(api.data["dtypes"])
    return {name: Device(cores[name], frozenset(first[name]) if first[name] <= dtypes else None) for name in cores}


@lru_cache(maxsize=1)
def scalar_functions() -> frozenset[str]:
    """Functions of scalars, some of which have the names of functions of tiles."""
    headers = "".join((HERE.parent / "common" / f"tile_{part}.h").read_text() for part in ("types", "math", "bounds"))
    return frozenset(re.findall(r"DSLC_FN [^(\n]*?\b(\w+)\(", headers))


# ---------------------------------------------------------------- generated sources
_USES = re.compile(r"""
    AscendC::(?P<name>\w+)(?:::(?P<value>\w+))?(?:<(?P<of>\w+)>)?
  | \b(?P<flag>SetFlag|WaitFlag)<HardEvent::(?P<pair>\w+)>\((?P<id>[^)]*)\)
  | \b(?:PipeBarrier|close)<PIPE_(?P<pipe>\w+)>
  | \bRing<\w+,\ \d+,\ \d+,\ \d+,\ (?P<edge>\d+)>
  | \bcore\.(?P<place>tile|local|ub_at)<(?P<element>\w+)
  | \.(?P<member>[A-Z]\w*)(?:<[^()]*>)?\(
  | (?<![\w.:])(?P<device>[a-z]\w*)(?:<[\w,\s]*>)?\((?P<operand>\w*)
""", re.X)
_TILE = re.compile(r"const auto (\w+) = (?:core\.tile|view)<(\w+),")


def check(text: str, core: str, where: str) -> None:
    """Raise IllegalCall for the first use of AscendC, or of a device function, in the text of one core's function that the table forbids."""
    text = re.sub(r"//[^\n]*", "", text)
    tiles = {name: ALIASES.get(element, element) for name, element in _TILE.findall(text)}
    checks = {"name": _named, "flag": _flag, "pipe": _pipe, "edge": _edge, "place": _place, "member": _member, "device": _device}
    for m in _USES.finditer(text):
        kind = next(k for k in checks if m[k] is not None)
        line = text[text.rfind("\n", 0, m.start()) + 1:].split("\n", 1)[0].strip()
        checks[kind](m, core, f"{where}, on {core}, {line!r}", tiles)


def _named(m: re.Match[str], core: str, where: str, _tiles: Mapping[str, str]) -> None:
    api, name, value = table(), m["name"], m["value"]
    if name not in api.names:
        raise IllegalCall(where, f"AscendC::{name}", "a name that is not in the table", "one of backends/ascend/api.json")
    if core not in api.cores(name):
        raise IllegalCall(where, f"AscendC::{name}", f"a call on {core}", f"one on {' or '.join(sorted(api.cores(name)))}")
    if value and value not in api.data["enums"].get(name, {}).get("values", ()):
        raise IllegalCall(where, f"AscendC::{name}", value, ", ".join(api.data["enums"].get(name, {}).get("values", ["no member"])))
    if name == "TPosition" and value not in api.data["cores"][core]["positions"]:
        raise IllegalCall(where, "AscendC::TPosition", f"{value} on {core}", ", ".join(api.data["cores"][core]["positions"]))
    if m["of"] and name in api.functions and (types := api.dtypes(name)) and ALIASES.get(m["of"], m["of"]) not in types:
        raise IllegalCall(where, f"AscendC::{name}", m["of"], ", ".join(types))


def _flag(m: re.Match[str], core: str, where: str, _tiles: Mapping[str, str]) -> None:
    pairs, (low, high) = table().data["cores"][core]["pairs"], table().range(m["flag"], "eventID")
    if m["pair"] not in pairs:
        raise IllegalCall(where, f"{m['flag']}<HardEvent::{m['pair']}>", f"a pair that {core} lacks", ", ".join(pairs))
    # A number, a counter of two turns, or both.
    number = sum(map(int, re.findall(r"\b\d+", m["id"]))) + bool(re.search(r"[a-z]", m["id"]))
    if not low <= number <= high:
        raise IllegalCall(where, m["flag"], f"the event number {number}", f"{low} to {high}")


def _pipe(m: re.Match[str], core: str, where: str, _tiles: Mapping[str, str]) -> None:
    pipes = [p for p in table().data["cores"][core]["pipes"] if p != "S"]
    if m["pipe"] not in (*pipes, "ALL"):
        raise IllegalCall(where, "PipeBarrier", f"PIPE_{m['pipe']}", ", ".join(pipes))


def _edge(m: re.Match[str], _core: str, where: str, _tiles: Mapping[str, str]) -> None:
    _, high = table().range("CrossCoreSetFlag", "flagId")
    if 2 * int(m["edge"]) + 1 > high:                   # a ring has the flags 2 E and 2 E + 1
        raise IllegalCall(where, "CrossCoreSetFlag", f"the flag {2 * int(m['edge']) + 1}", f"0 to {high}")


def _place(m: re.Match[str], core: str, where: str, _tiles: Mapping[str, str]) -> None:
    if core != "AIV" and m["place"] != "local":
        raise IllegalCall(where, f"core.{m['place']}", f"a tile in UB on {core}", "AIV")
    if ALIASES.get(m["element"], m["element"]) not in (*table().data["dtypes"], "f8e4m3", "f8e5m2"):
        raise IllegalCall(where, "LocalTensor", m["element"], ", ".join(table().data["dtypes"]))


def _member(m: re.Match[str], _core: str, where: str, _tiles: Mapping[str, str]) -> None:
    if m["member"] not in table().members:
        raise IllegalCall(where, f"a tensor's {m['member']}", "a member that is not in the table", ", ".join(sorted(table().members)))


def _device(m: re.Match[str], core: str, where: str, tiles: Mapping[str, str]) -> None:
    function = device().get(m["device"])
    if function is None or (m["device"] in scalar_functions() and m["operand"] not in tiles):
        return
    if core not in function.cores:
        raise IllegalCall(where, m["device"], f"a call on {core}", f"one on {' or '.join(sorted(function.cores)) or 'no core'}")
    if function.first is not None and (element := tiles.get(m["operand"])) and element not in function.first:
        raise IllegalCall(where, m["device"], element, ", ".join(sorted(function.first)))
