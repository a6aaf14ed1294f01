"""One kernel tried on data: random arrays, the result checked, the time taken, the time that was possible."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

import ml_dtypes
import numpy as np
from dslc.backend import Target, target_of
from dslc.dims import dim_names, dim_text, evaluate
from dslc.errors import DslError, check
from dslc.ir import Kernel
from dslc.types import DTYPES, DType

from .kernel import Steered, TileKernel
from .ledger import Ledger, Roofline, ledger, roofline
from .library import Example, Expected, example_of

PLAIN_SIZE = 96          # of every dimension that nobody names: divides by the usual packings, and leaves ragged tiles
TRIAL_SECONDS = 1.5      # that timing may take unless --repeat says how often
TURN = 5                 # runs of one call before the next has its turn
PAUSE_SECONDS = 0.05     # longer than the idle threads of OpenBLAS spin (2^26 cycles, its THREAD_TIMEOUT)
SEED = 20240229


@dataclass(frozen=True)
class Setup:
    """What a kernel is tried on: values by parameter, numbers of dimensions and constants, and the names of dtypes."""

    given: dict[str, Any]
    named: dict[str, Any]                                   # constants, as the call takes them
    numbers: dict[str, Any]
    dtypes: dict[str, str]
    example: Example | None


def setup(kernel: TileKernel, settings: Mapping[str, Any], sizes: Mapping[str, int]) -> Setup:
    """Random arguments from a fixed seed: given settings and sizes first, then the library's example, then plain ones.

    Raises DslError for a size that nothing has, and where sizes give no whole extent.
    """
    example = example_of(kernel)
    known = example or Example({}, lambda _given, _got: {})
    annotations, consts = kernel.annotations, kernel.definition.consts
    dtypes = {a.variable: str(settings.get(a.variable, known.dtypes.get(a.variable, "f32"))) for a in annotations.values() if a.variable}
    present = (*settings.get("present", ()), *known.present)
    tensors = {n: a for n, a in annotations.items() if a.dims is not None and (not a.optional or n in present)}
    names = dict.fromkeys(name for a in tensors.values() for dim in a.dims or () for name in dim_names(dim))
    unknown = next((n for n in sizes if n not in names), None)
    check(unknown is None, f"{kernel.__name__} has no dimension {unknown}", hint=f"dimensions: {', '.join(names)}")
    named = {**known.consts, **{n: v for n, v in settings.items() if n in consts}}
    defaults = kernel.definition.defaults
    numbers = {n: int(sizes.get(n, named.get(n, known.sizes.get(n, defaults.get(n, PLAIN_SIZE))))) for n in names}
    named = {n: v for n, v in named.items() if n not in names}
    random = np.random.default_rng(SEED)
    given: dict[str, Any] = {}
    for name, a in annotations.items():
        if a.dims is None:
            given[name] = _scalar(DTYPES[dtypes.get(a.dtype, a.dtype)], settings.get(name, known.scalars.get(name, defaults.get(name))))
        elif name in tensors:
            shape = tuple(_whole(name, d, numbers) for d in a.stored or a.dims)
            given[name] = _random(random, shape, DTYPES[a.word or dtypes.get(a.dtype, a.dtype)], numbers)
    if known.prepare is not None:
        known.prepare(random, given)
    values = {n: named.get(n, defaults.get(n)) for n in consts if n not in names}
    return Setup(given, named, {**numbers, **values}, dtypes, example)


def _whole(name: str, dim: Any, numbers: Mapping[str, int]) -> int:
    value = evaluate(dim, numbers)
    check(value.denominator == 1, f"{name}: {dim_text(dim)} is {value} for these sizes", hint=", ".join(f"{n}={v}" for n, v in numbers.items()))
    return int(value)


def _scalar(dtype: DType, value: Any) -> Any:
    return value if value is not None else {"f": 1.0, "b": True}.get(dtype.kind, 1)


def _random(random: Any, shape: tuple[int, ...], dtype: DType, numbers: Mapping[str, int]) -> Any:
    """Standard normal floats; integers of 8 bits over their range, larger ones small enough to be coordinates."""
    if dtype.kind == "f":
        return random.standard_normal(shape, np.float32 if dtype.bits <= 32 else np.float64).astype(dtype.numpy)
    low, high = (0, 2) if dtype.kind == "b" else (dtype.lo, dtype.hi + 1) if dtype.bits <= 8 else (0, min(numbers.values(), default=1) or 1)
    return random.integers(low, high, shape).astype(dtype.numpy)


# ---------------------------------------------------------------- the result
@dataclass(frozen=True)
class Verdict:
    """One output: elements, those that are wrong, the largest |difference|, and it as a part of what is allowed there (1 or more is wrong)."""

    name: str
    elements: int
    wrong: int
    difference: float
    part: float
    first: str = ""


def judge(name: str, got: Any, expected: Expected) -> Verdict:
    """Whether every element is within expected.error and half a unit of its dtype's last place of what it must be; infinities and NaN must agree."""
    if got.dtype.kind in "iub":
        off = got != expected.value
        return Verdict(name, got.size, int(off.sum()), float(np.abs(got.astype(np.float64) - expected.value).max(initial=0)), 0.0, _first(off, got, expected))
    wide, want = got.astype(np.float64), np.asarray(expected.value, np.float64)
    limits: Any = ml_dtypes.finfo(got.dtype)  # type: ignore[no-untyped-call]
    half, tiny = 2.0 ** -(limits.nmant + 1), float(limits.smallest_subnormal)
    with np.errstate(invalid="ignore"):
        same = (wide == want) | (np.isnan(wide) & np.isnan(want))
        difference = np.where(same, 0.0, np.abs(wide - want))
        part = np.where(same, 0.0, difference / (expected.error + half * np.abs(want) + tiny))
    off = ~(part <= 1.0)
    return Verdict(name, got.size, int(off.sum()), float(difference.max(initial=0.0)), float(part.max(initial=0.0)), _first(off, got, expected))


def _first(off: Any, got: Any, expected: Expected) -> str:
    if not off.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(off)[0])
    return f"first at {list(at)}: {got[at]} for {np.broadcast_to(expected.value, got.shape)[at]}"


def _interpreted(kernel: TileKernel, s: Setup, written: set[str]) -> dict[str, Expected]:
    """What the interpreter makes of the same data.  Floats may differ by 2^-12 of the largest value: order and accumulation are open."""
    want = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in s.given.items()}
    kernel.interpret(**want, **s.named)
    sizes = {n: np.abs(np.nan_to_num(want[n].astype(np.float64), posinf=0, neginf=0)).max(initial=0) for n in sorted(written)}
    return {n: Expected(want[n], 2.0 ** -12 * size) for n, size in sizes.items()}


# ---------------------------------------------------------------- the whole trial
@dataclass(frozen=True)
class Trial:
    """What `dslc run` shows."""

    setup: Setup
    verdicts: tuple[Verdict, ...]
    against: str
    first_call: float
    times: tuple[float, ...]
    peer: str
    peer_times: tuple[float, ...]
    operations: float
    ledger: Ledger
    limits: Mapping[str, float]
    roof: Roofline
    load: float                                             # processes that wanted to run in the minute before
    emulated: bool = False                                  # then the one time is the emulator's, and nothing is compared with it

    @property
    def right(self) -> bool:
        return not any(v.wrong for v in self.verdicts)


def lowered_for(kernel: TileKernel, s: Setup, target: str | Target) -> tuple[Setup, Steered, Kernel, Kernel]:
    """The setup with the constants of its schedule, how a call on this data is steered, its value form and its placed form."""
    steered = kernel.steer(target, (), {**s.given, **s.named})
    return replace(s, numbers={**s.numbers, **dict(steered.schedule.consts)}), steered, *kernel.lower(steered)


def counted(s: Setup, steered: Steered, placed: Kernel) -> Ledger:
    """The ledger of a call on this data."""
    return ledger(placed, steered.binding.dims if steered.binding else {}, {n: v for n, v in s.given.items() if not hasattr(v, "dtype")})


def try_kernel(kernel: TileKernel, s: Setup, target: str | Target, repeat: int | None, tell: Callable[[str], None]) -> Trial:
    """Call, check, time.  DslError if the kernel does not compile or refuses the data."""
    got = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in s.given.items()}
    load = os.getloadavg()[0]
    tell("first call: compiling unless it is in the cache")
    start = perf_counter()
    kernel(**got, **s.named, target=target)
    first_call = perf_counter() - start
    s, steered, _, placed = lowered_for(kernel, s, target)
    counts = counted(s, steered, placed)
    tell("checking the result")
    defaults = {n: v for n, v in kernel.definition.defaults.items() if n not in s.given}
    if s.example is not None:
        against, expected = "numpy in f64, within the stated bound", s.example.reference({**defaults, **s.given, **s.numbers}, got)
    else:
        against, expected = "the interpreter", _interpreted(kernel, s, set(counts.written))
    verdicts = tuple(judge(n, got[n], e) for n, e in expected.items())
    peer_name, peer_of = (s.example.peer if s.example and s.example.peer else ("", lambda _given: None))
    peer = peer_of({**defaults, **s.given, **s.numbers})
    tell("timing")
    emulated = bool(target_of(target).mode)
    peer = None if emulated else peer
    times, *others = [(first_call,)] if emulated else timed([lambda: kernel(**got, **s.named, target=target), *([peer] if peer else [])], repeat)
    tell("measuring the limits of this machine")
    limits = {} if emulated else target_of(target).backend.peak()
    operations = s.example.operations(s.numbers) if s.example and s.example.operations else counts.flops
    roof = roofline(operations, counts.compulsory, limits, counts.dtype())
    return Trial(s, verdicts, against, first_call, times, peer_name if peer else "", others[0] if others else (), operations, counts, limits, roof, load,
                 emulated)


def timed(calls: Sequence[Callable[[], Any]], repeat: int | None = None, seconds: float = TRIAL_SECONDS) -> list[tuple[float, ...]]:
    """Seconds of each run of each call: `repeat` runs, or 3 to 1000 as fit `seconds`.

    Several calls take turns of a few runs, so that all meet the same machine; before a turn a pause lets the idle threads of the one before
    stop spinning, and a run that is not counted wakes the caller's own.
    """
    rows: list[list[float]] = [[] for _ in calls]
    begin = perf_counter()
    while len(rows[0]) < (repeat or 3) or (repeat is None and len(rows[0]) < 1000 and perf_counter() - begin < seconds):
        for row, call in zip(rows, calls, strict=True):
            if len(calls) > 1 or not row:
                sleep(PAUSE_SECONDS if len(calls) > 1 else 0)
                call()
            for _ in range(min(TURN, repeat - len(row)) if repeat else TURN):
                start = perf_counter()
                call()
                row.append(perf_counter() - start)
    return [tuple(row) for row in rows]


def spread(times: tuple[float, ...]) -> float:
    """Half the distance of the quartiles, as a part of the median."""
    if len(times) < 3:
        return 0.0
    low, _, high = quantiles(times, n=4)
    return (high - low) / 2 / median(times)


def threads() -> int:
    """The threads a launch on this machine's processors uses."""
    return int(os.environ.get("DSLC_THREADS") or 0) or len(os.sched_getaffinity(0))


def compiler_of(target: str | Target) -> dict[str, Any]:
    """The chosen row of the target's toolchain report; DslError if it has none."""
    rows = target_of(target).toolchain.report()
    row = next((r for r in rows if r["chosen"]), None)
    if row is None:
        raise DslError(f"target {target} has no compiler here", hint="dslc doctor")
    return row
