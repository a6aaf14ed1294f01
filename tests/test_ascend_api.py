"""The table of AscendC's API (backends/ascend/api.json): the emulator's header compiles what the table allows and refuses what it does not, ranges are found
at run time, names agree everywhere, and the emitter's check finds what the table forbids.  Emulated, not run on an NPU.

Every case is made from the table.  One program says of all calls whether they are well-formed (a concept for each spelling); a few are compiled alone besides,
to show that the concepts tell what a compiler does.  One library holds a kernel for each form, whose numbers are given at the launch."""
from __future__ import annotations

import copy
import re
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc import tile
from dslc.backends.ascend import api
from dslc.backends.ascend.api import Form, IllegalCall, Table
from dslc.backends.ascend.emulation import EMULATOR, HERE, STANDARD, AscendLauncher, Emulator
from dslc.backends.common.emulation import EmulationError
from dslc.backends.common.toolchain import find_compiler
from dslc.kernels.gemm import gemm
from dslc.kernels.rows import softmax

if not any(row["found"] for row in Emulator("910b").report()):
    pytest.skip("no C++ compiler", allow_module_level=True)

TABLE = api.table()
DTYPES = list(TABLE.data["dtypes"])
STRUCTS, ENUMS, CONSTANTS = (TABLE.data[part] for part in ("structs", "enums", "constants"))
PLAIN = [name for name, row in STRUCTS.items() if "of" not in row]
HEADER = (EMULATOR / "kernel_operator.h").read_text()
GOLDEN = sorted((Path(__file__).parent / "golden" / "ascend-910b").glob("*.cpp"))


# ---------------------------------------------------------------- calls that compile or do not
@dataclass(frozen=True)
class Call:
    """A call's types; an explicit template argument that is a value is VALUE of its type."""

    name: str
    template: tuple[str, ...]
    args: tuple[str, ...]
    values: tuple[str, ...] = ()        # of the template arguments: "" for a type

    def __str__(self) -> str:
        given = [v or t for v, t in zip(self.values or ("",) * len(self.template), self.template, strict=True)]
        return f"{self.name}{'<' + ', '.join(given) + '>' if given else ''}({', '.join(self.args)})"


def value_of(kind: str) -> str:
    """A constant of the type of a template argument, or "" where the argument is a type."""
    if kind in ENUMS:
        return f"PIPE_{'V'}" if kind == "pipe_t" else f"AscendC::{kind}::{ENUMS[kind]['values'][0]}"
    return "uint8_t(2)" if kind in api.INTEGERS else f"AscendC::{kind}" if kind in CONSTANTS else ""


def call(name: str, form: Form, types: Any, *, template: tuple[str, ...] | None = None, args: tuple[str, ...] | None = None) -> Call:
    """A call of a form, its type variables as given; `template` and `args` instead of the form's."""
    given = template or tuple(t.split(" ")[0] for t in form.template)
    values = tuple(value_of(g) if " " in t or t in CONSTANTS else "" for g, t in zip(given, form.template, strict=True))
    template = tuple(form.spelled(t, types) for t in form.template) if template is None else template
    spelled = tuple(re.sub(r"scalar<(.*)>", r"\1", form.spelled(a, types)) for a in form.args) if args is None else args
    return Call(name, template, spelled, values)


def other_assignments(form: Form, name: str) -> Iterator[dict[str, str]]:
    """Assignments of the type variables, allowed ones among them: all pairs of a conversion, else the first allowed one with one variable changed."""
    first = form.combinations[0]
    if name == "Cast":
        yield from ({"D": d, "S": s} for d, s in product(DTYPES, DTYPES))
    else:
        yield from (first | {v: dtype} for v in first for dtype in DTYPES)


def swapped(argument: str) -> list[str]:
    """Arguments of other kinds in an argument's place."""
    if m := re.fullmatch(r"(Local|Global)Tensor<(.*)>", argument):
        other = "float" if m[2] != "float" else "half"
        return [f"{'Global' if m[1] == 'Local' else 'Local'}Tensor<{m[2]}>", f"{m[1]}Tensor<{other}>", "int32_t"]
    if argument in STRUCTS:
        return [next(s for s in PLAIN if s != argument), "int32_t"]
    if m := re.fullmatch(r"(\w+)<(\w+)>", argument):
        return [f"{m[1]}<{'float' if m[2] != 'float' else 'half'}>", "int32_t"]
    if argument in ENUMS:
        return ["CMPMODE" if argument != "CMPMODE" else "RoundMode", "int32_t"]
    return ["LocalTensor<half>", "DataCopyParams"]


def shapes(name: str, form: Form) -> Iterator[Call]:
    """A right call with one thing wrong: an argument's kind, the number of arguments, a template argument."""
    right = call(name, form, form.combinations[0])

    def given(*args: str) -> Call:
        return call(name, form, {}, template=right.template, args=args)
    own = 1 if "." in name else 0                       # a member's object stays
    for n, argument in list(enumerate(right.args))[own:]:
        others = swapped(argument)
        if form.args[n].startswith("T "):               # a scalar has the tensor's own type: nothing is converted to what T was deduced as
            others += [dtype for dtype in ("float", "int32_t", "half") if dtype != argument]
        yield from (given(*right.args[:n], other, *right.args[n + 1:]) for other in others)
    if len(right.args) > own:
        yield given(*right.args[:-1])
    yield given(*right.args, "DataCopyParams")
    for n, kind in enumerate(right.template):
        if kind in ENUMS:
            other = "CMPMODE" if kind != "CMPMODE" else "RoundMode"
            yield call(name, form, {}, template=(*right.template[:n], other, *right.template[n + 1:]), args=right.args)


def calls(table: Table) -> dict[str, tuple[Call, bool]]:
    """Every call by its text, and whether the table admits it."""
    found: dict[str, tuple[Call, bool]] = {}
    for name, forms in table.functions.items():
        for form in forms:
            first = form.combinations[0]
            linked = len(form.data.get("types", {})) < 2         # variables of their own take their types one at a time
            right = [call(name, form, t) for t in form.combinations if linked or sum(t[v] != first[v] for v in t) < 2]
            other = [call(name, form, types) for types in other_assignments(form, name)]
            for c in (*right, *other, *shapes(name, form)):
                found.setdefault(str(c), (c, table.admits(name, c.template, c.args)))
    return found


CASES = calls(TABLE)


def concept(c: Call) -> tuple[str, str]:
    """The text of the concept that a call's spelling has, and its arguments."""
    fixed = [v if c.template[n] in CONSTANTS else "" for n, v in enumerate(c.values)]
    kinds = [("auto" if v else "class") for n, v in enumerate(c.values) if not fixed[n]]
    head = "".join(f"{kind} X{n}, " for n, kind in enumerate(kinds))
    inner, position = [], 0
    for text in fixed:
        inner.append(text or f"X{position}")
        position += not text
    explicit = f"<{', '.join(inner)}>" if inner else ""
    if "." in c.name:
        member = c.name.split(".")[1]
        what = f"self.{'template ' if explicit else ''}{member}{explicit}(a...)"
        body = f"template <{head}class Self, class... A> concept NAME = requires(Self &self, A &...a) {{ {what}; }};"
    else:
        body = f"template <{head}class... A> concept NAME = requires(A &...a) {{ AscendC::{c.name}{explicit}(a...); }};"
    spelled = [v or t for n, (t, v) in enumerate(zip(c.template, c.values, strict=True)) if not fixed[n]]
    return body, ", ".join([*spelled, *c.args])


def probes(which: dict[str, tuple[Call, bool]]) -> str:
    """A program that says of every call whether it is well-formed, a digit each."""
    names: dict[str, str] = {}
    rows = []
    for c, _ in which.values():
        body, arguments = concept(c)
        rows.append(f"{names.setdefault(body, f'call{len(names)}')}<{arguments}>")
    concepts = "\n".join(body.replace("NAME", name) for body, name in names.items())
    return (f'#include "kernel_operator.h"\n#include <stdio.h>\nusing namespace AscendC;\n{concepts}\nstatic const bool cases[] = {{\n' + ",\n".join(rows)
            + "\n};\nint main() { for (bool x : cases) putchar('0' + x); }\n")


def verdicts(folder: Path, which: dict[str, tuple[Call, bool]], *includes: Path) -> dict[str, bool]:
    (folder / "probes.cpp").write_text(probes(which))
    flags = [part for path in (*includes, EMULATOR) for part in ("-I", str(path))]
    compiled = compile_alone(folder / "probes.cpp", "-O0", "-w", *flags, "-o", str(folder / "probes"))
    assert not compiled.returncode, compiled.stderr[-3000:]
    told = subprocess.run([str(folder / "probes")], capture_output=True, text=True, check=True).stdout
    assert len(told) == len(which)
    return {name: digit == "1" for name, digit in zip(which, told, strict=True)}


def compile_alone(source: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*find_compiler().command, STANDARD, *flags, str(source)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    return verdicts(tmp_path_factory.mktemp("probes"), CASES)


@pytest.mark.parametrize("name", [n for n, (_, right) in CASES.items() if right])
def test_compiles(told: dict[str, bool], name: str) -> None:
    assert told[name], "the table has this call, and the header refuses it"


@pytest.mark.parametrize("name", [n for n, (_, right) in CASES.items() if not right])
def test_does_not_compile(told: dict[str, bool], name: str) -> None:
    assert not told[name], "the header takes this call, which the table does not have"


def test_there_are_cases_enough() -> None:
    """Of both kinds, for every function, and those that the documentation is plain about."""
    right, wrong = ([n for n, (_, r) in CASES.items() if r is kind] for kind in (True, False))
    assert len(right) >= 200 and len(wrong) >= 200
    for name in TABLE.functions:
        assert any(CASES[n][0].name == name for n in right), name
        assert any(CASES[n][0].name == name for n in wrong), name
    bf16, f64 = (f"Add({', '.join(['LocalTensor<' + t + '>'] * 3)}, int32_t)" for t in ("bfloat16_t", "double"))
    cast = "Cast(LocalTensor<float>, LocalTensor<int4b_t>, RoundMode, uint32_t)"
    assert {bf16, f64, cast, "SetAtomicAdd<uint32_t>()", "GetBlockIdx(DataCopyParams)"} <= set(wrong)


# ---------------------------------------------------------------- the probes tell what a compiler tells
ALONE = ["Add(LocalTensor<bfloat16_t>, LocalTensor<bfloat16_t>, LocalTensor<bfloat16_t>, int32_t)", "SetAtomicAdd<uint32_t>()",
         "Cast(LocalTensor<float>, LocalTensor<int4b_t>, RoundMode, uint32_t)", "Adds(LocalTensor<half>, LocalTensor<half>, float, int32_t)",
         "Exp(LocalTensor<double>, LocalTensor<double>, int32_t)", "LocalTensor.GetValue(LocalTensor<half>)",
         "DataCopy(LocalTensor<half>, GlobalTensor<float>, uint32_t)", "LoadData(LocalTensor<double>, LocalTensor<double>, LoadData2DParams)",
         "Mmad(LocalTensor<float>, LocalTensor<half>, LocalTensor<bfloat16_t>, MmadParams)", "SetFlag<AscendC::CMPMODE::LT>(int32_t)",
         "Fixpipe<float, int32_t, AscendC::CFG_ROW_MAJOR>(GlobalTensor<float>, LocalTensor<int32_t>, FixpipeParamsV220)", "GetBlockIdx(DataCopyParams)"]
ALONE_RIGHT = ["Add(LocalTensor<half>, LocalTensor<half>, LocalTensor<half>, int32_t)", "Cast(LocalTensor<half>, LocalTensor<int4b_t>, RoundMode, uint32_t)"]


@pytest.mark.parametrize("name", [*ALONE, *ALONE_RIGHT])
def test_compiled_alone(tmp_path: Path, name: str) -> None:
    """The same call in a function of its own."""
    c, right = CASES[name]
    assert right == (name in ALONE_RIGHT)
    explicit = f"<{', '.join(v or t for t, v in zip(c.template, c.values, strict=True))}>" if c.template else ""
    callee = f"a0.{c.name.split('.')[1]}" if "." in c.name else f"AscendC::{c.name}"
    names = [f"a{n}" for n in range(len(c.args))][1 if "." in c.name else 0:]
    parameters = ", ".join(f"{t} a{n}" for n, t in enumerate(c.args))
    (tmp_path / "alone.cpp").write_text(f'#include "kernel_operator.h"\nvoid alone({parameters}) {{ {callee}{explicit}({", ".join(names)}); }}\n')
    compiled = compile_alone(tmp_path / "alone.cpp", "-fsyntax-only", "-w", "-I", str(EMULATOR))
    assert (compiled.returncode == 0) is right, compiled.stderr
    if not right:
        assert "alone.cpp:2" in compiled.stderr, "what is wrong is the call"


# ---------------------------------------------------------------- one fact changed is one case failed
def widened(change: Any) -> Table:
    data = copy.deepcopy(dict(TABLE.data))
    change(data)
    return Table(data)


def only_half(data: dict[str, Any]) -> None:
    data["functions"]["Exp"]["forms"][0]["types"]["T"] = ["half"]


def bf16_add(data: dict[str, Any]) -> None:
    data["functions"]["Add"]["forms"][0]["types"]["T"] = ["half", "float", "int16_t", "int32_t", "bfloat16_t"]


def cast_of_int4(data: dict[str, Any]) -> None:
    data["functions"]["Cast"]["forms"][0]["types"]["D S"]["float int4b_t"] = "NONE"


def two_counts(data: dict[str, Any]) -> None:
    data["functions"]["Exp"]["forms"][0]["args"].append("int32_t more")


@pytest.mark.parametrize(("change", "name"), [
    (bf16_add, "Add(LocalTensor<bfloat16_t>, LocalTensor<bfloat16_t>, LocalTensor<bfloat16_t>, int32_t)"),
    (cast_of_int4, "Cast(LocalTensor<float>, LocalTensor<int4b_t>, RoundMode, uint32_t)"),
    (only_half, "Exp(LocalTensor<float>, LocalTensor<float>, int32_t)"),
    (two_counts, "Exp(LocalTensor<half>, LocalTensor<half>, int32_t)")])
def test_a_wrong_table_fails(told: dict[str, bool], change: Any, name: str) -> None:
    wrong = calls(widened(change))
    failing = {n for n, (_, right) in wrong.items() if n in told and told[n] != right}
    assert name in failing and all(n.startswith(name.split("(")[0]) for n in failing)


def test_a_wrong_header_fails(tmp_path: Path) -> None:
    """A header whose vector unit adds bf16."""
    right = "constexpr bool numbers = one_of<T, half, float, int16_t, int32_t>;"
    assert HEADER.count(right) == 1
    (tmp_path / "kernel_operator.h").write_text(HEADER.replace(right, right.replace("half,", "half, bfloat16_t,")))
    (tmp_path / "cores.h").write_text((EMULATOR / "cores.h").read_text())
    some = {n: row for n, row in CASES.items() if row[0].name in ("Add", "Exp")}
    found = verdicts(tmp_path, some, tmp_path)
    failing = {n for n, (_, admitted) in some.items() if found[n] != admitted}
    assert failing and all(n.startswith("Add(LocalTensor<bfloat16_t>") for n in failing)


# ---------------------------------------------------------------- ranges, at run time
SIZES = TABLE.data["dtypes"]
UB_OPERAND, L1_OPERAND = 44 * 1024, 128 * 1024          # bytes of each operand of a case, in turn
SPACES = {"A1": L1_OPERAND, "B1": L1_OPERAND, "A2": 64 * 1024, "B2": 64 * 1024, "CO1": 128 * 1024}
TYPES = {"AIV": 0, "AIC": 1, "mixed": 3}                # KernelType
PRELUDE = """#include "kernel_operator.h"
#include "tile_ascend_host.h"
using namespace AscendC;
struct k_arguments { uint64_t number, type; int64_t v[24]; GM_ADDR gm[4]; };
template <class T> GlobalTensor<T> global(GM_ADDR at) {
    GlobalTensor<T> x;
    x.SetGlobalBuffer((T *)at);
    return x;
}
// What cases read was written before.
static void fill() {
    if (dslc_emulator::is_cube()) {
        InitConstValueParams<uint32_t> p;
        p.repeatTimes = 1, p.blockNum = 16376;
        InitConstValue(LocalTensor<uint32_t>(TPosition::A1, 0, 131008), p);
        p.blockNum = 128;
        InitConstValue(LocalTensor<uint32_t>(TPosition::A2, 0, 16384), p);
        InitConstValue(LocalTensor<uint32_t>(TPosition::B2, 0, 16384), p);
    } else Duplicate(LocalTensor<uint16_t>(TPosition::VECIN, 0, 94080), (uint16_t)0, 94080);
    PipeBarrier<PIPE_ALL>();
}
"""


@dataclass(frozen=True)
class Slot:
    """A number of a call that a launch gives: its range and the value that it has where another one is tried."""

    name: str
    low: int = 0
    high: int | None = None
    example: int = 0
    wrong: tuple[int, ...] = ()         # besides what is out of the range
    right: tuple[int, ...] = ()


@dataclass
class Program:
    """A kernel of the library of cases."""

    name: str
    text: str
    slots: list[Slot] = field(default_factory=list)
    core: str = "AIV"
    pipe: str = ""


def number(value: Any, dtype: str) -> Any:
    """A bound of a range, in elements where the table has bytes."""
    return int(value[:-2]) // SIZES[dtype] if isinstance(value, str) else value


def members_of(kind: str, form: Form, types: Any) -> dict[str, list[Any]]:
    """Members of a struct that have a range: low, high, example."""
    rows = {m: row[1:] for m, row in STRUCTS[kind]["members"].items() if len(row) > 1}
    return rows | form.data.get("structs", {}).get(kind, {})


def enum_slot(argument: str, kind: str, form: Form, types: Any) -> Slot:
    values = ENUMS[kind]["values"]
    allowed = form.data.get("only", {}).get(argument, values)
    if kind == "RoundMode":
        allowed = [f"CAST_{mode}" for mode in form.data["types"]["D S"][f"{types['D']} {types['S']}"].split()]
    right = tuple(values.index(v) for v in allowed)
    return Slot(argument, example=right[0], wrong=tuple(n for n in range(len(values)) if n not in right), right=right)


def program(name: str, form: Form, types: Any, core: str) -> Program:
    """A kernel that makes the call once."""
    slots: list[Slot] = []
    lines, spelled = ["fill();"], []

    def slot(s: Slot) -> str:
        slots.append(s)
        return f"x.v[{len(slots) - 1}]"
    first = next(iter(types.values()), "half")
    for n, (kind, argument) in enumerate((form.spelled(a, types), a.split(" ")[1]) for a in form.args):
        tensor = re.fullmatch(r"(Local|Global)Tensor<(.*)>", kind)
        if tensor and tensor[1] == "Global":
            spelled.append(f"global<{tensor[2]}>(x.gm[{n}])")
        elif tensor:
            position = form.data.get("at", {}).get(argument, ["VECIN"])
            position = next(p for p in position if p in TABLE.data["cores"][core]["positions"])
            size = SPACES.get(position, UB_OPERAND)
            at = n * size if position not in ("A2", "B2", "CO1") else 0
            spelled.append(f"LocalTensor<{tensor[2]}>(TPosition::{position}, {at}, {size // SIZES[tensor[2]]})")
        elif kind.split("<")[0] in STRUCTS:
            lines.append(f"{kind} p{n};")
            lines += [f"p{n}.{m} = {slot(Slot(m, number(low, first), number(high, first), e))};"
                      for m, (low, high, e) in members_of(kind.split('<')[0], form, types).items()]
            if kind == "FixpipeParamsV220":
                names = ENUMS["QuantMode_t"]["values"]
                fits = names.index(form.data["types"]["T U"][f"{types['T']} {types['U']}"])
                quant = Slot("quantPre", example=fits, wrong=tuple(q for q in range(len(names)) if q != fits), right=(fits,))
                lines.append(f"p{n}.quantPre = (QuantMode_t){slot(quant)};")
            spelled.append(f"p{n}")
        elif kind in ENUMS:
            spelled.append(f"({kind}){slot(enum_slot(argument, kind, form, types))}")
        elif argument in form.data.get("ranges", {}):
            low, high, example = form.data["ranges"][argument]
            whole = argument in form.data.get("multiples", {})           # the example is one, and its neighbour is not
            wrong, right = ((example + 1,), (example,)) if whole else ((), ())
            spelled.append(slot(Slot(argument, number(low, first), number(high, first), example, wrong, right)))
        else:
            spelled.append(f"({kind})0" if kind in api.INTEGERS else f"{kind}(1.0f)")
    explicit = f"<{', '.join(form.spelled(t, types) for t in form.template)}>" if form.template else ""
    lines.append(f"AscendC::{name}{explicit}({', '.join(spelled)});")
    return Program(name, "\n    ".join(lines), slots, core, form.pipe)


def programs() -> dict[str, Program]:
    """A kernel for each form of a device instruction, with its first types; one for each pair of types of Cast and Fixpipe."""
    found = {}
    for name, forms in TABLE.functions.items():
        row = TABLE.data["functions"][name]
        if "." in name or row["pipe"].startswith(("S", "of ")):
            continue
        for n, form in enumerate(forms):
            for types in form.combinations if name in ("Cast", "Fixpipe") else form.combinations[:1]:
                of = f" of {' '.join(types.values())}" if name in ("Cast", "Fixpipe") else ""
                found[f"{name} {n}{of}"] = program(name, form, types, form.core[-1])
    return found


PROGRAMS = programs()


def marks() -> dict[str, Program]:
    """Kernels of flags, barriers and counters, whose template arguments are their numbers."""
    found = {}
    flag = Slot("eventID", *TABLE.data["functions"]["SetFlag"]["forms"][0]["ranges"]["eventID"])
    for pair in ENUMS["HardEvent"]["values"]:
        found[f"SetFlag {pair}"] = Program("SetFlag", f"SetFlag<HardEvent::{pair}>(x.v[0]);\n    WaitFlag<HardEvent::{pair}>(x.v[0]);", [flag])
    for pipe in ENUMS["pipe_t"]["values"]:
        found[f"PipeBarrier {pipe}"] = Program("PipeBarrier", f"PipeBarrier<{pipe}>();")
    cross = Slot("flagId", *TABLE.data["functions"]["CrossCoreSetFlag"]["forms"][0]["ranges"]["flagId"])
    set_, wait = "CrossCoreSetFlag<{}, PIPE_MTE2>(x.v[0]);", "CrossCoreWaitFlag<{}, PIPE_MTE2>(x.v[0]);"
    for mode in (1, 2, 3):
        found[f"CrossCoreSetFlag {mode}"] = Program("CrossCoreSetFlag", f"{set_} {wait}".replace("{}", str(mode)), [cross], "mixed")
        found[f"CrossCoreWaitFlag {mode}"] = Program("CrossCoreWaitFlag", f"{set_.format(2)} {wait.format(mode)}", [cross], "mixed")
    return found


MARKS = marks()
LIBRARY = {**PROGRAMS, **MARKS}


class Unnamed(AscendLauncher):
    """Findings without their lines, which a process would have to look up for each."""

    def lines_of(self, addresses: Iterable[int]) -> dict[int, int]:
        return {}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Unnamed:
    folder, toolchain = tmp_path_factory.mktemp("ranges"), Emulator("910b", "-O0")
    kernels = "\n".join(f"static void k{n}(const k_arguments &x) {{\n    {p.text}\n}}" for n, p in enumerate(LIBRARY.values()))
    table = ", ".join(f"k{n}" for n in range(len(LIBRARY)))
    (folder / "ranges.cpp").write_text(f"""{PRELUDE}{kernels}
static void (*const all[])(const k_arguments &) = {{{table}}};
static void run_case(k_arguments x) {{
    KERNEL_TASK_TYPE_DEFAULT((KernelType)x.type);
    InitSocState();
    all[x.number](x);
    PipeBarrier<PIPE_ALL>();
}}
extern "C" DSLC_EXPORT int32_t launch_k(const k_arguments *p, void *stream) {{ return DSLC_LAUNCH(run_case, 1, stream, *p); }}
""")
    return Unnamed(folder / toolchain.compile(folder, "ranges"), "k", folder / "ranges.cpp")


@cache
def memory() -> list[Any]:
    return [np.zeros(1 << 20, np.uint8) for _ in range(4)]


def outcome(launcher: Unnamed, name: str, values: list[int], core: str) -> str:
    """The kind of the first finding of a case, "" of none."""
    given = [*values, *[0] * (24 - len(values))]
    packed = struct.pack("QQ24qPPPP", list(LIBRARY).index(name), TYPES[core], *given, *(m.ctypes.data for m in memory()))
    try:
        launcher(packed, [(f"gm{n}", m.ctypes.data, m.nbytes, True, True) for n, m in enumerate(memory())], programs=1)
    except EmulationError as error:
        return error.findings[0].kind
    return ""


def tries(p: Program) -> Iterator[tuple[str, int, list[int], bool]]:
    """A slot and the value tried in it, all values to give, and whether the one tried is within its range."""
    examples = [s.example for s in p.slots]
    for n, s in enumerate(p.slots):
        right = set(s.right) or {s.low, *([] if s.high is None else [s.high])}
        wrong = {*s.wrong, *([s.low - 1] if s.low > 0 else []), *([s.high + 1] if s.high is not None else [])}
        for value, fits in [*((v, True) for v in sorted(right)), *((v, False) for v in sorted(wrong))]:
            yield s.name, value, [*examples[:n], value, *examples[n + 1:]], fits


RANGES = [(name, s.name) for name, p in PROGRAMS.items() for s in p.slots]


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_an_example_is_right(library: Unnamed, name: str) -> None:
    """Nothing is found, and the instruction is on the pipe that the table says.  What L0C holds nobody wrote."""
    p = PROGRAMS[name]
    assert outcome(library, name, [s.example for s in p.slots], p.core) == ("uninitialised" if p.name == "Fixpipe" else "")
    if p.pipe in {pipe for row in TABLE.data["cores"].values() for pipe in row["pipes"]}:
        assert p.pipe in {event[1] for event in library.trace["events"] if event[2] == p.name}


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_other_cores_refuse(library: Unnamed, name: str) -> None:
    p = PROGRAMS[name]
    other = next(core for core in ("AIC", "AIV") if core != p.core)
    if other in TABLE.functions[p.name][int(name.split()[1])].core:
        assert p.name == "DataCopy"                     # to a memory that the other core lacks
    assert outcome(library, name, [s.example for s in p.slots], other) in ("core", "path")


@pytest.mark.parametrize(("name", "slot"), RANGES, ids=[f"{name} {slot}" for name, slot in RANGES])
def test_range(library: Unnamed, name: str, slot: str) -> None:
    """What is out of a range is found as that; what is within may at most be too much for the case's memory."""
    p = PROGRAMS[name]
    kinds = {value: (outcome(library, name, values, p.core), fits) for which, value, values, fits in tries(p) if which == slot}
    assert kinds and {value: kind for value, (kind, fits) in kinds.items() if (kind == "range") is fits} == {}


@pytest.mark.parametrize("core", ["AIC", "AIV"])
@pytest.mark.parametrize("name", [n for n, p in MARKS.items() if p.core != "mixed"])
def test_pairs_and_pipes(library: Unnamed, name: str, core: str) -> None:
    row, of = TABLE.data["cores"][core], name.split()[1]
    right = of in row["pairs"] or of in ("PIPE_ALL", *(f"PIPE_{pipe}" for pipe in row["pipes"] if pipe != "S"))
    assert outcome(library, name, [0], core) == ("" if right else "core" if name.startswith("PipeBarrier") and of != "PIPE_S" else "event")
    if right and MARKS[name].slots:
        kinds = {fits: {outcome(library, name, values, core) for _, _, values, f in tries(MARKS[name]) if f is fits} for fits in (True, False)}
        assert kinds == {True: {""}, False: {"event"}}


@pytest.mark.parametrize("name", [n for n, p in MARKS.items() if p.core == "mixed"])
def test_counters(library: Unnamed, name: str) -> None:
    function, mode = name.split()
    low, high, _ = TABLE.data["functions"][function]["forms"][0]["ranges"]["modeId"]
    within = low <= int(mode) <= high and mode != "1"           # which is between vector cores; the kernel runs on all
    for _, _, values, fits in tries(MARKS[name]):
        kind = outcome(library, name, values, "mixed")
        assert (kind == "cross-core") is not (fits and within), (values, kind)


# ---------------------------------------------------------------- names
def defined(header: str) -> tuple[set[str], dict[str, set[str]]]:
    """Names that the emulator defines in namespace AscendC for kernels, and the members of its enumerations.

    The API's names begin with capitals; what the emulator makes them of does not, or is brought in or made with `using`."""
    text = re.sub(r"//[^\n]*", "", header)
    body = text[text.index("namespace AscendC {"):text.rindex("}")].replace("\\\n", "\n")
    top, depth = [], 0
    for piece in re.split(r"([{}])", body):
        depth += (piece == "{") - (piece == "}")
        top.append(piece if depth == 1 or (depth == 2 and piece == "{") else "")
    outline = re.sub(r"#define \w+\(.*?\n(?=[^\s])", "", "".join(top), flags=re.S)
    names = set(re.findall(r"\b([A-Z]\w*)\([^()]*\w[ &*]\w|(?<= )([A-Z]\w*)\(\) ?\{", outline))
    found = {name for pair in names for name in pair if name}
    found |= set(re.findall(r"\b(?:struct|class|enum|enum class) ([A-Z]\w*)", outline)) | set(re.findall(r"^DSLC_[A-Z_]+\((\w+),", body, re.M))
    found |= set(re.findall(r"\b([A-Z]\w*)\{[^;{}]*\}[,;]", body)) & {name for name in re.findall(r"\bCFG_\w+", body)}
    own = set(re.findall(r"using (?:dslc_emulator::)?([A-Z]\w*)", body)) | {"DSLC_BINARY", "DSLC_UNARY", "DSLC_WITH_SCALAR"}
    enums = {m[1]: set(re.findall(r"\b[A-Za-z]\w*", re.sub(r"=[^,]*", "", m[2]))) for m in re.finditer(r"enum (?:class )?(\w+)(?: : \w+)? \{([^}]*)\}", body)}
    return {name for name in found - own if len(name) > 1}, enums       # one letter is a template's parameter


def test_the_header_and_the_table_have_the_same_names() -> None:
    found, enums = defined(HEADER)
    assert {"Add", "DataCopy", "LocalTensor", "Cast", "SetFlag", "InitSocState", "CFG_NZ", "RoundMode", "MmadParams"} <= found
    names = TABLE.names - {"pipe_t"}                     # which is in no namespace
    assert found == names, f"only in the header: {sorted(found - names)}; only in the table: {sorted(names - found)}"
    assert not found & set(TABLE.data["not_emulated"]), "emulated now: an entry of its own"
    pipes = re.search(r"enum pipe_t \{(.*?)\}", (EMULATOR / "cores.h").read_text())
    assert pipes and set(re.findall(r"\w+", pipes[1])) == set(ENUMS["pipe_t"]["values"])
    for name, values in enums.items():
        assert values == set(ENUMS[name]["values"]), name


def test_structs_have_the_members_that_the_table_says() -> None:
    for name, row in STRUCTS.items():
        m = re.search(rf"struct {name} \{{(.*?)\}};", HEADER.replace("{}", ""), re.S)
        assert m, name
        lines = re.split(r"[;\n]", re.sub(r"\w+\([^)]*\)[^;]*;|\{.*?\}", "", m[1]))
        members = {word for line in lines for word in re.findall(r"(\w+)(?= =|,|$)", line.strip())}
        assert set(row["members"]) <= members, (name, set(row["members"]) - members)


def versions(text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Lines of a device header and the major versions of CANN that they are compiled for."""
    now: list[tuple[int, ...]] = [(8, 9)]
    for line in text.splitlines():
        if line.startswith("#if"):
            now.append((8,) if "DSLC_CANN < 9" in line else now[-1])
        elif line.startswith("#else"):
            now[-1] = (9,) if now[-1] == (8,) else now[-1]
        elif line.startswith("#endif"):
            now.pop()
        yield re.sub(r"//.*", "", line), now[-1]


@pytest.mark.parametrize("path", [*sorted(HERE.glob("*.h")), *sorted(HERE.glob("*.j2")), *GOLDEN], ids=lambda p: p.name)
def test_every_name_used_is_in_the_table(path: Path) -> None:
    """Names, members of enumerations, and versions; a name of a version that the table does not give it is one too many."""
    known = TABLE.names | set(TABLE.data["not_emulated"])
    for line, cann in versions(path.read_text()):
        for name, value in re.findall(r"AscendC::(\w+)(?:::(\w+))?", line):
            if name in ("NAME", "SetAtomic"):            # a macro's parameter, and the part of a name that a template completes
                continue
            assert name in known, f"{line}: {name}"
            assert set(cann) <= set(TABLE.versions(name)), f"{line}: {name} is of CANN {TABLE.versions(name)}"
            assert not value or value in ENUMS[name]["values"], line
            if len(cann) == 2:
                assert name not in TABLE.data["not_emulated"], f"{line}: this goes to the emulator too"
        if "LocalTensor<T>(P" in line:                   # the constructor at an address
            assert cann == (9,) == TABLE.versions("InitSocState")


def test_functions_of_the_device_headers_run_somewhere() -> None:
    device = api.device()
    assert {n for n, d in device.items() if not d.cores} == set()
    assert device["exp"].cores == {"AIV"} and device["exp"].first == {"float"} and device["multiply"].cores == {"AIC"}
    assert device["store"].cores == {"AIC", "AIV"} and device["by_element"].first is None


# ---------------------------------------------------------------- what the emitter writes
GENERATED = """
const auto a = core.tile<{type}, 1, 64, 64>(0);  // 64
const AscendC::LocalTensor<u8> scratch = core.ub_at<u8>(1024, 2048);
SetFlag<HardEvent::{pair}>({id});
WaitFlag<HardEvent::{pair}>({id});
PipeBarrier<PIPE_{pipe}>();
AscendC::{name};
{call};
"""
RIGHT = {"type": "f32", "pair": "MTE2_V", "id": "2 + turn", "pipe": "V", "name": "SetAtomicAdd<f32>()", "call": "exp(a, a)"}


def test_a_right_source_passes() -> None:
    api.check(GENERATED.format(**RIGHT), "AIV", "kernel")
    for path in GOLDEN:
        cube, *vector = re.split(r"// The vector cores.*", path.read_text().split('extern "C"')[0])
        api.check(cube, "AIC", path.stem)
        api.check("".join(vector), "AIV", path.stem)


@pytest.mark.parametrize(("change", "said"), [
    ({"name": "Frobnicate()"}, r"AscendC::Frobnicate: found a name that is not in the table"),
    ({"name": "SetAtomicAdd<u32>()"}, r"AscendC::SetAtomicAdd: found u32, expected bfloat16_t, float, half, int16_t, int32_t, int8_t"),
    ({"name": "Mmad(a, b, c, d)"}, r"AscendC::Mmad: found a call on AIV, expected one on AIC"),
    ({"name": "TPosition::A1"}, r"AscendC::TPosition: found A1 on AIV, expected VECIN"),
    ({"name": "RoundMode::CAST_UP"}, r"AscendC::RoundMode: found CAST_UP, expected CAST_NONE, CAST_RINT"),
    ({"name": "TPipe pipe"}, r"AscendC::TPipe: found a name that is not in the table"),
    ({"pair": "M_FIX"}, r"SetFlag<HardEvent::M_FIX>: found a pair that AIV lacks, expected MTE2_V"),
    ({"id": "6"}, r"SetFlag: found the event number 6, expected 0 to 5"),
    ({"id": "5 + turn2"}, r"SetFlag: found the event number 6, expected 0 to 5"),
    ({"pipe": "M"}, r"PipeBarrier: found PIPE_M, expected V, MTE2, MTE3"),
    ({"pipe": "S"}, r"PipeBarrier: found PIPE_S"),
    ({"type": "f16"}, r"exp: found half, expected float"),
    ({"type": "wide"}, r"LocalTensor: found wide, expected half"),
    ({"call": "multiply<false, true>(l0, a, a, a, true)"}, r"multiply: found a call on AIV, expected one on AIC"),
    ({"call": "a.at.GetBuffer(0)"}, r"a tensor's GetBuffer: found a member that is not in the table"),
    ({"call": "Ring<f32, 1, 64, 2, 5> ring0(rings, 0)"}, r"CrossCoreSetFlag: found the flag 11, expected 0 to 10")], ids=lambda x: str(x)[:40])
def test_a_wrong_source_does_not(change: dict[str, str], said: str) -> None:
    with pytest.raises(IllegalCall, match=said) as caught:
        api.check(GENERATED.format(**{**RIGHT, **change}), "AIV", "kernel")
    assert "kernel, on AIV, '" in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [
    ("exp(a, b);", None), ("add(a, b, c, scratch);", "add: found a call on AIC, expected one on AIV"), ("AscendC::Add(a, b, c, 8);", "found a call on AIC"),
    ("const auto a = core.tile<f32, 1, 8, 8>(0);", "a tile in UB on AIC"), ("SetFlag<HardEvent::V_MTE3>(0);", "a pair that AIC lacks")])
def test_a_cube_body_has_no_vector_calls(text: str, said: str | None) -> None:
    """But for scalars, whose functions may have a tile function's name."""
    if said is None:
        return api.check(text, "AIC", "kernel") if "exp" in api.scalar_functions() else None
    with pytest.raises(IllegalCall, match=said):
        api.check(text, "AIC", "kernel")


def test_the_emitter_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kernel's text goes through the check, unit by unit."""
    narrow = widened(lambda data: data["cores"]["AIC"].update(pairs=["MTE2_MTE1"]))
    softmax.source("ascend:910b", T=tile.f32)
    monkeypatch.setattr(api, "table", lambda: narrow)
    softmax.source("ascend:910b", T=tile.f32)
    with pytest.raises(IllegalCall, match="gemm, on AIC"):
        gemm.source("ascend:910b", T=tile.f16, U=tile.f16)
