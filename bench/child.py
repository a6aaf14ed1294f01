"""A process that runs one contestant: reads a request on each line of its input, and answers on a line of its output, as JSON.

{"prepare": CASE}: {"ready": true, ..} or {"missing": reason}.  {"turn": SECONDS, "least": N}: {"times": [seconds of each run]}.  {"release": true}.
"""
from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

from . import data
from .case import Case
from .peers import LIMITS, PEERS, NoKernel, Ready

SAMPLE = 4096            # elements of a result that are compared
SHORT = 2e-4             # seconds: shorter calls are timed several at once
LONG = 1.0               # seconds: a call that takes longer is not made again before it counts
AGAIN = 0.05             # seconds: a call shorter than this is made once, uncounted, when a turn begins


class Contestant:
    """A prepared case: calls that take turns through copies of the cold operands."""

    def __init__(self, name: str, case: Case) -> None:
        start = perf_counter()
        self.ready = self._prepared(name, case)
        self.at = 0
        self.seconds = {"preparation": perf_counter() - start, "first": self._run(1)}
        last = self.seconds["first"]
        for _ in range(2 * len(self.ready)):
            if last < LONG:
                last = self._run(1)
        self.last = last
        self.repeat = max(1, int(SHORT / max(last * self.ready[0].units, 1e-9))) if self.ready[0].less is None else 1

    @staticmethod
    def _prepared(name: str, case: Case) -> list[Ready]:
        library, _, variant = name.partition(":")
        if library == LIMITS:
            return [import_module("dslc.bench.peers.with_c").limit(case, variant)]
        if not PEERS[name].module:
            raise NoKernel("not connected")
        calls = import_module(f"dslc.bench.peers.{PEERS[name].module}").CALLS
        make: Callable[[Case, data.Arrays], Ready] | None = calls.get(case.kind, {}).get(variant)
        if make is None:
            raise NoKernel
        given = data.arrays(case)
        return [make(case, data.another(case, given, n)) for n in range(case.copies)]

    def _run(self, repeat: int) -> float:
        """Seconds of one call, the mean of `repeat`."""
        start = perf_counter()
        for _ in range(repeat):
            ready = self.ready[self.at]
            ready.call()
            self.at = (self.at + 1) % len(self.ready)
        seconds = (perf_counter() - start) / repeat
        if ready.less is not None:
            start = perf_counter()
            ready.less()
            seconds -= perf_counter() - start
        return seconds / ready.units

    def turn(self, seconds: float, least: int) -> list[float]:
        """Runs for so many seconds, at least so many; a first one, which wakes the library's threads, is not counted if it is short."""
        if self.last * self.ready[0].units < AGAIN:
            self._run(self.repeat)
        times: list[float] = []
        start = perf_counter()
        while len(times) < least or perf_counter() - start < seconds:
            times.append(self._run(self.repeat))
        self.last = min(times)
        return times

    def sample(self) -> list[float] | None:
        """Elements of the result of the first copy, as f64."""
        first = self.ready[0]
        if first.result is None:
            return None
        flat = np.asarray(first.result()).reshape(-1)
        return [float(v) for v in flat[np.linspace(0, flat.size - 1, min(SAMPLE, flat.size)).astype(np.int64)]]


def answer(name: str, request: dict[str, Any], now: list[Contestant]) -> dict[str, Any]:
    """What is done for a request; `now` holds the prepared case."""
    if "turn" in request:
        return {"times": now[0].turn(request["turn"], request["least"])}
    now.clear()
    gc.collect()
    if "prepare" not in request:
        return {"released": True}
    try:
        now.append(Contestant(name, Case.from_json(request["prepare"])))
    except NoKernel as error:
        return {"missing": str(error) or "no kernel"}
    except ImportError as error:
        return {"missing": f"not installed ({error.name})" if error.name else f"cannot be loaded: {error}"}
    made = now[0]
    return {"ready": True, "sample": made.sample(), "first_s": made.seconds["first"], "packing_s": made.ready[0].preparation, "note": made.ready[0].note}


def main() -> None:
    """Serve until the input ends.  What libraries print goes to the error output."""
    name, out = sys.argv[1], os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    now: list[Contestant] = []
    for line in sys.stdin:
        try:
            reply = answer(name, json.loads(line), now)
        except Exception as error:
            reply = {"missing": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200], "trace": traceback.format_exc()}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
