"""Contestants measured in turn: each in a process of its own that lives through all cases, all on the same processors, round after round.

The idle threads of OpenBLAS and of OpenMP spin for milliseconds after a call, beside whoever runs next: so there is a pause between turns, and the order
moves on by one each round, so that nobody always follows the same other.
"""
from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from time import perf_counter, sleep
from types import TracebackType
from typing import IO, Any

from dslc.runtime.trial import PAUSE_SECONDS

from .case import Case
from .peers import LIMITS, PEERS
from .probes import COMPUTE, UNLOCK, built

TURN_SECONDS = 0.06      # of one turn; a call that takes longer is made once
ROUNDS = 9
PATIENCE_SECONDS = 600.0  # for one answer of a child
HIDDEN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "LD_PRELOAD")
# glibc keeps large blocks, so that results of libraries without out= are warm; torch asks for huge pages as numpy does.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456", "THP_MEM_ALLOC_ENABLE": "1"}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "DSLC_THREADS")


@dataclass
class Entry:
    """A contestant in a case: seconds of its runs, or why there are none."""

    name: str
    runs: list[float] = field(default_factory=list)
    missing: str = ""
    note: str = ""
    first_s: float = 0.0
    packing_s: float = 0.0
    difference: float | None = None                         # from ours, in units of the root mean square of ours


@dataclass
class Result:
    """A measured case.  others: the part of the processors' time that processes outside the contest took."""

    case: Case
    threads: int
    entries: dict[str, Entry]
    others: float = 0.0


class Child:
    """The process of one contestant."""

    def __init__(self, name: str, threads: int, processors: Sequence[int]) -> None:
        self.name, self.errors = name, tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, processors)                 # which the child inherits before any library counts processors
        try:
            self.process = subprocess.Popen([sys.executable, "-m", "dslc.bench.child", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=self.errors, text=True, env=environment(name, threads))
        finally:
            os.sched_setaffinity(0, before)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request; {"missing": why} where the process has ended or does not answer."""
        to, answers = self.process.stdin, self.process.stdout
        assert to is not None and answers is not None
        try:
            print(json.dumps(request), file=to, flush=True)
            line = answers.readline() if select.select([answers], [], [], PATIENCE_SECONDS)[0] else ""
        except BrokenPipeError:
            line = ""
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self.process.kill()
        self.errors.seek(0)
        last = (self.errors.read().strip().splitlines() or ["without a word"])[-1]
        return {"missing": f"its process ended: {last[:160]}", "dead": True}

    def seconds(self) -> float:
        """Processor time so far."""
        return _processor_seconds(f"/proc/{self.process.pid}/stat")

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            _close(pipe)
        self.process.kill()
        self.process.wait()
        self.errors.close()


def _close(pipe: IO[str] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except BrokenPipeError:
        pass


def environment(name: str, threads: int) -> dict[str, str]:
    """Variables of a contestant's process: as many threads for every library, results kept warm, nothing that binds a library to slower kernels."""
    peer = PEERS.get(name)
    found = {n: v for n, v in os.environ.items() if n not in HIDDEN}
    found |= {**MEMORY, **dict.fromkeys(THREADS, str(threads)), **(peer.environment if peer else {})}
    if peer and peer.unlocked:
        found["LD_PRELOAD"] = str(built(UNLOCK))
    return found


def _processor_seconds(path: str) -> float:
    try:
        with open(path) as f:
            words = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def _machine_seconds() -> float:
    """Processor time that all processes of the machine have used, and what the host took away."""
    try:
        with open("/proc/stat") as f:
            words = [int(w) for w in f.readline().split()[1:9]]
    except OSError:
        return 0.0
    return (sum(words) - words[3] - words[4]) / os.sysconf("SC_CLK_TCK")


class Contest:
    """The processes of all contestants, started when first needed; a context manager that ends them."""

    def __init__(self, threads: int, *, rounds: int = ROUNDS, turn: float = TURN_SECONDS, tell: Callable[[str], None] = lambda _text: None) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        self.threads, self.processors = threads, allowed[:threads]
        self.rounds, self.turn, self.tell = rounds, turn, tell
        self.children: dict[str, Child] = {}

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for child in self.children.values():
            child.close()

    def _ask(self, name: str, **request: Any) -> dict[str, Any]:
        if name not in self.children:
            self.children[name] = Child(name, self.threads, self.processors)
        reply = self.children[name].ask(**request)
        if reply.get("dead"):
            self.children.pop(name).close()
        return reply

    def measure(self, case: Case, names: Sequence[str]) -> Result:
        """The case with those contestants and its limits, turn by turn."""
        probes = [f"{LIMITS}:{what}" for what in (case.peak, case.traffic) if what and not (what in COMPUTE and not case.operations)]
        entries = {name: Entry(name) for name in (*names, *dict.fromkeys(probes))}
        samples: dict[str, list[float]] = {}
        for name, entry in entries.items():
            self.tell(f"{case.label}: {name} makes ready")
            reply = self._ask(name, prepare=case.as_json())
            entry.missing, entry.note = reply.get("missing", ""), reply.get("note", "")
            entry.first_s, entry.packing_s = reply.get("first_s", 0.0), reply.get("packing_s", 0.0)
            if reply.get("sample"):
                samples[name] = reply["sample"]
        for name, sample in samples.items():
            if case.ours in samples:
                entries[name].difference = difference(sample, samples[case.ours])
        others = self._rounds(case, entries)
        for name in entries:
            if name in self.children:
                self._ask(name, release=True)
        return Result(case, self.threads, entries, others)

    def _rounds(self, case: Case, entries: Mapping[str, Entry]) -> float:
        """Turns for everyone who is ready; the part of the processors' time that others had."""
        start, mine, everyone = perf_counter(), self._used(), _machine_seconds()
        for n in range(self.rounds):
            ready = [e for e in entries.values() if not e.missing]
            for entry in (*ready[n % max(len(ready), 1):], *ready[:n % max(len(ready), 1)]):
                self.tell(f"{case.label}: round {n + 1} of {self.rounds}, {entry.name}")
                sleep(PAUSE_SECONDS)
                reply = self._ask(entry.name, turn=self.turn, least=1)
                entry.missing = reply.get("missing", "")
                entry.runs += reply.get("times", [])
        elapsed = perf_counter() - start
        return max(0.0, (_machine_seconds() - everyone - (self._used() - mine)) / (elapsed * (os.cpu_count() or 1)))

    def _used(self) -> float:
        return sum(c.seconds() for c in self.children.values()) + _processor_seconds("/proc/self/stat")


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest of |x - y| / (|y| + root mean square of y), x of one sample, y of the other; infinite where their lengths differ or one has NaN."""
    if len(one) != len(other):
        return float("inf")
    size = (sum(x * x for x in other) / len(other)) ** 0.5 or 1.0
    largest = max(abs(x - y) / (abs(y) + size) for x, y in zip(one, other, strict=True))
    return largest if all(isfinite(x) for x in (*one, *other)) else float("inf")
