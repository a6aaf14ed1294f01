"""probes.c: STREAM in C, and the limits that rooflines are made of."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..case import Case
from ..data import Arrays, aligned
from ..probes import COMPUTE, WHAT, opened
from . import NoKernel, Ready

LARGEST = 1 << 28        # bytes a probe of traffic moves at most, eight times the largest L3 that a guest of the reference machine sees
WIDER = {"bf16": "f32", "i8": "f32"}     # what a processor computes in that has no instructions for the narrow type (eight-bit sums may beat it)
FFI, LIBRARY = opened(int(os.environ["OMP_NUM_THREADS"]))


def pass_of(what: str, streaming: bool, a: Any, b: Any, c: Any) -> Callable[[], Any]:
    """One pass of a probe over numpy arrays of f64, as a call."""
    a_, b_, c_ = (FFI.from_buffer("double[]", x) for x in (a, b, c))
    return lambda: LIBRARY.bench_run(WHAT[what], streaming, a_, b_, c_, len(a))


def stream(case: Case, x: Arrays, streaming: bool = False) -> Ready:
    op = case.options["op"]
    a, b, c = {"copy": ("a", "a", "c"), "scale": ("c", "c", "b"), "add": ("a", "b", "c"), "triad": ("b", "c", "a")}[op]
    return Ready(pass_of(op, streaming, x[a], x[b], x[c]), lambda: x[c])


def limit(case: Case, what: str) -> Ready:
    """A probe as a contestant, timed in seconds for each operation or byte of the case, so that its time is the least the case can take."""
    what, _, mode = what.partition(":")
    wanted, note = case.operations if what in COMPUTE else case.moved, ""
    elements = 64 if what in COMPUTE else int(min(max(case.moved / (8 if what == "read" else 16), 4096), LARGEST / 16))
    a, c = aligned(elements), aligned(elements)
    call = pass_of(what, bool(mode), a, a, c)
    done = call()
    if not done and what in WIDER:
        call, note = pass_of(WIDER[what], False, a, a, c), f"{WIDER[what]}: this processor has no instructions for {what}"
        done = call()
    if not done:
        raise NoKernel(f"this processor has no instructions for {what}")
    return Ready(call, units=done / wanted, note=note)


CALLS = {"stream": {"": stream, "streaming": lambda case, x: stream(case, x, True)}}
