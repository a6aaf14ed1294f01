"""Mutation tests of generated source: one change at a time to the text of a kernel's function, which the emulator or numpy must notice.

`mutants.mutants(source, dialect)` lists the changes.  `Subject(kernel, target)` is a kernel on inputs that make every guard and every stage
matter; `run(jobs)` compiles each mutant against the emulator, past the cache, and calls it in every mode until something is found.  As a program:

    python tests/mutation.py [KERNEL..] [TARGET..]      survivors, and the document of a family of targets written anew when every pair of it ran
"""
from __future__ import annotations

import os
import pickle
import re
import signal
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mutants
import mutants_ascend
import numpy as np
import subjects_ascend
import subjects_gpu
import survivors
import survivors_ascend
from dslc.backend import target_of
from dslc.backends.ascend import emulation
from dslc.backends.common.emulation import EmulationError
from dslc.backends.common.toolchain import call, find_compiler
from dslc.errors import DslError
from dslc.runtime import lowering
from dslc.runtime.cache import Entry
from dslc.runtime.trial import judge
from mutants import Dialect, Mutant
from subjects import Data, Maker

SECONDS = 20.0                       # of one emulated run; a right one takes less than 1


@dataclass(frozen=True)
class Family:
    """Targets whose sources are changed alike.

    makers: kernels by name.  modes: of emulation.  together: mutants in one library, since most of a compilation is headers and what mutants share.
    compile: a source to a library beside it, None: by the emulator's toolchain.
    """

    targets: tuple[str, ...]
    makers: Mapping[str, Maker]
    modes: tuple[str, ...]
    dialect: Dialect
    together: int
    document: survivors.Document
    compile: Callable[[Path], str] | None = None

    def mutants(self, kernel: str, target: str) -> list[Mutant]:
        """Every change of a kernel's source."""
        return mutants.mutants(subject_of(kernel, target).source, self.dialect)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(k, t) for t in self.targets for k in self.makers]


class Broken(DslError):
    """Some texts of a library do not compile: those whose lines the compiler names."""

    def __init__(self, lines: set[int]) -> None:
        super().__init__("it does not compile")
        self.lines = lines


def compile_ascend(main: Path) -> str:
    """As the emulator does it, without what names the lines of findings."""
    compiler, binary = find_compiler(), f"{main.stem}.emulated.so"
    flags = [f for f in emulation._for_emulation(compiler, "-O1").flags if f != "-g"]
    folders = [word for folder in (emulation.EMULATOR, emulation.HERE, emulation.COMMON) for word in ("-I", str(folder))]
    code, said = call([*compiler.command, *flags, emulation.STANDARD, *folders, "-x", "c++", str(main), "-x", "none",
                       str(emulation._engine(compiler).path / "cores.o"), "-ldl", "-o", str(main.parent / binary)], main.parent)
    if code:
        raise Broken({int(n) for n in re.findall(rf"{re.escape(main.name)}:(\d+):\d+:\s+(?:(?:fatal )?error|required from|in .constexpr. expansion)", said)})
    return binary


GPU = Family(("cuda:sm_80", "cuda:sm_90a", "hip:gfx942", "hip:gfx950"), subjects_gpu.MAKERS, ("late", "early", "random:1", "random:2"), mutants.GPU, 8,
             survivors.GPU)
ASCEND = Family(("ascend:910b",), subjects_ascend.MAKERS,
                ("late", "early", "random:1", "starve:AIC", "starve:AIV"), mutants_ascend.ASCEND, 32, survivors_ascend.ASCEND, compile_ascend)
FAMILIES = (GPU, ASCEND)


def family_of(target: str) -> Family:
    return next(f for f in FAMILIES if target in f.targets)


class Subject:
    """A kernel as it ships for a target, and the calls that its mutants are tried with."""

    def __init__(self, name: str, target: str) -> None:
        self.name, self.target, self.family = name, target, family_of(target)
        self.kernel, make, self.consts = self.family.makers[name]
        self.calls = make(np.random.default_rng(0))
        steered = [self.kernel.steer(target_of(target, "late"), tuple(d.given.values()), self.consts) for d in self.calls]
        there = [x for x, d in zip(steered, self.calls, strict=True) if all(np.size(v) for v in d.given.values())]      # strides without elements say nothing
        s, self.bindings = min(there, key=lambda x: (len(x.spec.aligned), sum(len(u) for _, u in x.spec.units))), [x.binding for x in steered]
        for x in there:                              # the text takes nothing for granted that a call does not have
            assert s.spec.aligned <= x.spec.aligned and all({*u} <= {*dict(x.spec.units)[n]} for n, u in s.spec.units), (s.spec, x.spec)
        spec, kernel = lowering.specialised(self.kernel.definition, s.binding.spec, lambda d, n: all(b.holds(d, n) for b in self.bindings))
        placed = self.kernel._lowered(kernel, replace(s, spec=spec))
        rendered = lowering.render(s.target.backend, placed)
        self.files, self.described, self.steered = rendered.files, rendered.call, s
        self.main = next(iter(self.files))
        self.emulator = s.target.toolchain

    @property
    def source(self) -> str:
        return self.files[self.main]

    def calls_of(self, text: str) -> list[int]:
        """Numbers of the calls for a change in this text."""
        return [i for i, d in enumerate(self.calls) if d.where in text]

    def build(self, folder: Path, texts: Sequence[str]) -> str:
        """A library in `folder` of several texts that differ in the kernel's function only; the n-th one's launcher is called launch_NAME_n."""
        name, own = self.described["name"], self.family.dialect
        start = next(n for n, text in enumerate(self.source.splitlines()) if text.startswith(own.begins))
        names = re.compile(rf"\b({own.names.format(name=name)})\b")
        heads, parts = texts[0].splitlines()[:start], []
        for n, text in enumerate(texts):
            parts.append(names.sub(rf"\1_{n}", "\n".join(text.splitlines()[start:])))
        for file, content in self.files.items():
            (folder / file).write_text("\n".join([*heads, *parts, ""]) if file == self.main else content)
        if self.family.compile is None:
            return self.emulator.compile(folder, name)
        try:
            return self.family.compile(folder / self.main)
        except Broken as e:
            last = [*accumulate((1 + part.count("\n") for part in parts), initial=start)][1:]
            raise Broken({bisect_left(last, n) for n in e.lines}) from None

    def fault(self, folder: Path, binary: str, n: int = 0, modes: Sequence[str] = (), calls: Sequence[int] = ()) -> str:
        """What the first run of the n-th text that shows anything shows, or "".  `calls`: by number, by default all that are for the kernel's source."""
        data = {**self.described, "name": f"{self.described['name']}_{n}", "binary": binary, "accesses": {"grid": [], "rows": []}}
        entry = Entry("", folder, data)
        plans = [self.kernel._make_plan(self.steered.target, entry, b, len(d.given)) for b, d in zip(self.bindings, self.calls, strict=True)]
        for plan in plans:
            plan.launch.lines_of = lambda addresses: {}             # of findings only their kinds are wanted
        for mode in modes or self.family.modes:
            for i in calls or self.calls_of(self.source):
                found = self.run(plans[i], self.calls[i], self.bindings[i], mode)
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
            status = plan.launch(plan.pack(*plan.template), ranges, mode, call.programs)
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


def subject_of(kernel: str, target: str, modes: Sequence[str] = ()) -> Subject:
    """A subject, which is right as it is: AssertionError tells where it is not."""
    if (kernel, target) not in _subjects:
        subject = Subject(kernel, target)
        with tempfile.TemporaryDirectory(prefix="dslc-mutant-") as folder:
            wrong = subject.fault(Path(folder), subject.build(Path(folder), [subject.source]), modes=modes)
        assert not wrong, f"{kernel} on {target} unchanged: {wrong}"
        _subjects[kernel, target] = subject
    return _subjects[kernel, target]


def tried(job: tuple[str, str, Sequence[Mutant]]) -> list[Result]:
    """Some mutants of a subject, compiled together in a folder of their own, or one by one if that fails, and each run in a process of its own."""
    kernel, target, group = job
    subject, start = _subjects[kernel, target], time.perf_counter()

    def result(m: Mutant, caught: str, what: str) -> Result:
        return Result(kernel, target, m.name, m.kind, m.line, caught, what[:300], (time.perf_counter() - start) / len(group))
    results = []
    with tempfile.TemporaryDirectory(prefix="dslc-mutant-") as folder:
        try:
            binary = subject.build(Path(folder), [m.text for m in group])
        except Broken as e:
            good = [m for n, m in enumerate(group) if n not in e.lines]
            assert len(good) < len(group), "the compiler names no line of what does not compile"
            return [*(result(m, "compiler", str(e)) for n, m in enumerate(group) if n in e.lines), *(tried((kernel, target, good)) if good else [])]
        except DslError as e:
            return [result(group[0], "compiler", str(e))] if len(group) == 1 else [r for m in group for r in tried((kernel, target, [m]))]
        for n, m in enumerate(group):
            calls = subject.calls_of(subject.source.splitlines()[m.line - 1])
            how, what = in_a_process(partial(subject.fault, Path(folder), binary, n, calls=calls), 8 * SECONDS)
            caught = how if how != "done" else "" if not what else "values" if re.search(": values of|: written beside", what) else "finding"
            results.append(result(m, caught, what))
    return results


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
    groups = []
    for (kernel, target), some in groupby(jobs, lambda job: job[:2]):
        found = [m for _, _, m in some]
        size = family_of(target).together
        groups += [(kernel, target, found[n:n + size]) for n in range(0, len(found), size)]
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        for (_, _, group), results in zip(groups, pool.map(tried, groups), strict=True):
            ends = {r.name: r for r in results}
            yield from (ends[m.name] for m in group)


def judged(kernel: str, target: str) -> None:
    """Every mutant of a pair: 95 % of those that are not equivalent are caught, and the survivors are those of the document, each with a reason."""
    family = family_of(target)
    results = [*run([(kernel, target, m) for m in family.mutants(kernel, target)])]
    alive = [r for r in results if not r.caught]
    matter = sum(not family.document.equivalent(r) for r in results)
    assert len(results) - len(alive) >= 0.95 * matter
    assert {r.name for r in alive} == {name for k, t, name in family.document.listed() if (k, t) == (kernel, target)}
    assert all(family.document.reason(r.name) != "?" for r in alive)


def main(words: Sequence[str]) -> None:
    for family in FAMILIES:
        kernels, targets = {*words} & {k for f in FAMILIES for k in f.makers}, {*words} & {t for f in FAMILIES for t in f.targets}
        pairs = [(k, t) for k, t in family.pairs if (k in kernels or not kernels) and (t in targets or not targets)]
        results: list[Result] = []
        for kernel, target in pairs:
            start, some = time.perf_counter(), [*run([(kernel, target, m) for m in family.mutants(kernel, target)])]
            alive, results = [r for r in some if not r.caught], [*results, *some]
            print(f"{kernel} {target}: {len(some)} mutants, {len(alive)} survive, {time.perf_counter() - start:.0f} s", flush=True)
            for r in alive:
                print(f"  {r.line} {r.name}\n      {family.document.reason(r.name)}", flush=True)
        if pairs == family.pairs:
            family.document.path.write_text(family.document.text(results))


if __name__ == "__main__":
    main(sys.argv[1:])
