"""Mutation tests of generated GPU source: one change at a time to the text of a kernel's function, which the emulator or numpy must notice.

`mutants.mutants(source)` lists the changes.  `Subject(kernel, target)` is a kernel on inputs that make every guard and every stage
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
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
from mutants import Mutant, function_lines, mutants

MODES = ("late", "early", "random:1", "random:2")
KERNELS = ("gemm", "attention", "assign")
TARGETS = ("cuda:sm_80", "cuda:sm_90a", "hip:gfx942", "hip:gfx950")
TOGETHER = 8                         # mutants in one library: most of a compilation is headers and what mutants share
SECONDS = 20.0                       # of one emulated run; a right one takes less than 1
bf16 = ml_dtypes.bfloat16


# ---------------------------------------------------------------- subjects
@dataclass(frozen=True)
class Data:
    """One call's arrays by parameter, outputs among them, views into larger ones; what the outputs must become.

    where: words of the lines whose mutants are called with it, by default all; for calls that take long.
    """

    given: dict[str, Any]
    expected: Callable[[Mapping[str, Any]], Mapping[str, Expected]]
    where: str = ""


def padded(values: Any, to: int, fill: float) -> Any:
    """The array with rows `to` elements apart, so that they start aligned though their length is ragged; `fill` between them."""
    whole = np.full((*values.shape[:-1], to), fill, values.dtype)
    whole[..., :values.shape[-1]] = values
    return whole[..., :values.shape[-1]]


def gemm_data(random: Any) -> list[Data]:
    """2 x 2 programs with a trip for one element of K; then integers with sums that bf16 holds: whole tiles, more rows than a band, one element of K,
    a band and no more; 22 x 23 programs, of whom a row or a column more would fill a round of chiplets.
    """
    sizes = ((False, 205, 133, 257), (True, 129, 256, 256), (True, 1290, 256, 1), (True, 1408, 257, 8), (True, 1024, 8, 1))
    calls = [gemm_call(random, *s) for s in sizes]
    return [*calls, replace(gemm_call(random, True, 22 * 128, 23 * 128, 1), where="dealt<")]


def gemm_call(random: Any, exact: bool, m: int, n: int, k: int) -> Data:
    """Rows start 16-byte aligned."""
    a, b = ((random.integers(-1, 2, s) if exact else random.standard_normal(s)).astype(bf16) for s in ((m, k), (k, n)))
    across = max(264, n)
    given = {"a": padded(a, 264, np.nan), "b": padded(b, across, np.nan), "c": padded(np.full((m, n), np.nan, bf16), across, 77.0)}
    return Data(given, lambda got: {"c": gemm.product(a, b)})


def attention_data(random: Any) -> list[Data]:
    """Keys before the diagonal are 64 n and 64 n + 1 in some programs, so that one more or one less makes another trip.

    Whole tiles; two batches, one key and one query past a tile; queries that see nothing; grouped heads, more keys than queries, both ragged, 5 trips
    before the diagonal; one query; fewer keys than a tile has, with scores near the least f32.
    """
    sizes = ((False, 1, 256, 256, 2, 2), (True, 2, 129, 385, 2, 2), (False, 1, 293, 100, 2, 2), (False, 2, 164, 418, 4, 2), (False, 1, 1, 127, 2, 2))
    return [*(attention_call(random, *s) for s in sizes), attention_call(random, False, 1, 40, 40, 2, 2, low=True)]


def attention_call(random: Any, exact: bool, b: int, sq: int, sk: int, h: int, g: int, low: bool = False) -> Data:
    """exact: each query's weights are 1 on one key, so that rows of v come out; the keys next to those that are seen would weigh more, the last query's
    key is the last, and the scores of rows 4 apart are too far apart for a common maximum.  low: all scores times log2(e) are below -1.7e38, which
    registers hold that were never written.
    """
    d = 64
    q, k, v, o = (np.full(s, np.nan, bf16) for s in ((b, sq, h, d), (b, sk, g, d), (b, sk, g, d), (b, sq, h, d)))
    lse, scale = np.full((b, h, sq), np.nan, np.float32), 1.0 if exact else 3.2e36 if low else 0.125
    for x in (q, k, v):
        x[:] = random.standard_normal(x.shape)
    if exact:
        k[:] = random.choice([-1.0, 1.0], k.shape)
        v[:] = random.permuted(np.arange(v.size) % 256).reshape(v.shape)
        back = random.integers(0, 2, sq) * random.integers(0, sk - sq, sq)
        back[-1] = 0
        q[:] = np.where(np.arange(sq) // 4 % 2, 4, 8)[:, None, None] * np.repeat(k, h // g, 2)[:, np.arange(sq) + sk - sq - back]
    if low:
        k[:], q[:] = np.where(random.random(k.shape) < 0.05, -1, 1), -1
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

    def calls_of(self, text: str) -> list[int]:
        """Numbers of the calls for a change in this text."""
        return [i for i, d in enumerate(self.calls) if d.where in text]

    def build(self, folder: Path, texts: Sequence[str]) -> str:
        """A library in `folder` of several texts that differ in the kernel's function only; the n-th one's launcher is called launch_NAME_n."""
        name, start = self.described["name"], function_lines(self.source).start - 1
        heads, parts = texts[0].splitlines()[:start], []
        for n, text in enumerate(texts):
            parts.append(re.sub(rf"\b({name}_programs|launch_{name})\b", rf"\1_{n}", "\n".join(text.splitlines()[start:])))
        for file, content in self.files.items():
            (folder / file).write_text("\n".join([*heads, *parts, ""]) if file == self.main else content)
        return self.emulator.compile(folder, name)

    def fault(self, folder: Path, binary: str, n: int = 0, modes: Sequence[str] = MODES, calls: Sequence[int] = ()) -> str:
        """What the first run of the n-th text that shows anything shows, or "".  `calls`: by number, by default all that are for the kernel's source."""
        data = {**self.described, "name": f"{self.described['name']}_{n}", "binary": binary, "accesses": {"grid": [], "rows": []}}
        entry = Entry("", folder, data)
        plans = [self.kernel._make_plan(self.steered.target, entry, b, len(d.given)) for b, d in zip(self.bindings, self.calls, strict=True)]
        for mode in modes:
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
        groups += [(kernel, target, found[n:n + TOGETHER]) for n in range(0, len(found), TOGETHER)]
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        for results in pool.map(tried, groups):
            yield from results


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
