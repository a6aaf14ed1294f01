"""The commands `dslc bench` and `dslc tune`: their words, and what they print."""
from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dslc.errors import check
from dslc.runtime.deferred import deferred

if TYPE_CHECKING:
    from dslc.runtime import library, trial

    from . import cases, contest, peers, plot, table, tune, verdict
else:
    cases, contest, peers, plot, table, tune, verdict = (deferred(f"dslc.bench.{n}") for n in ("cases", "contest", "peers", "plot", "table", "tune", "verdict"))
    library, trial = deferred("dslc.runtime.library"), deferred("dslc.runtime.trial")

Sizes = Callable[[list[str]], dict[str, int]]
Tell = Callable[[str], None]


def bench_words(p: argparse.ArgumentParser) -> None:
    p.add_argument("kernel", metavar="KERNEL", help="gemm, attention, decode, kmeans, w4a16, rmsnorm, layernorm, softmax, stream, hadamard, binary, or all")
    p.add_argument("options", metavar="NAME=VALUE", nargs="*", help="with a size of your own: dtype=bf16, causal=1, cold=1, op=copy")
    p.add_argument("--size", metavar="NAME=N", action="append", default=[], help="one case of this size, without bars, instead of those of the table")
    p.add_argument("--peers", metavar="A,B", help="only these beside ours (torch means all that begin so); none for ours alone")
    p.add_argument("--quick", action="store_true", help="the small cases and few rounds: shows that it works, not how fast it is")
    p.add_argument("--curve", action="store_true", help="a range of sizes instead of the table's")
    p.add_argument("--threads", type=int, metavar="N", help="for every contestant (default: the processors of this process)")
    p.add_argument("--rounds", type=int, metavar="N", help="turns of each contestant (default: 9; quick: 3)")
    p.add_argument("--json", metavar="FILE", help="everything, the single runs too; - for standard output, without the table")
    p.add_argument("--plot", metavar="FILE", help="draw it: .svg, or .png by matplotlib")


def _text(results: Sequence[contest.Result], about: Mapping[str, Any]) -> str:
    return json.dumps(table.as_json(results, about), indent=1)


def _write(path: str, results: Sequence[contest.Result], about: Mapping[str, Any]) -> None:
    Path(path).write_text(_text(results, about) + "\n")


def bench(a: argparse.Namespace, sizes: Sizes, tell: Tell) -> int:
    """Measure and print; 1 if a contestant's result is not ours."""
    options = {n: int(v) if v.isdigit() else v for n, _, v in (word.partition("=") for word in a.options)}
    todo = cases.cases_for(a.kernel, sizes=sizes(a.size), options=options, quick=a.quick, curve=a.curve)
    threads = a.threads or len(os.sched_getaffinity(0))
    check(1 <= threads <= len(os.sched_getaffinity(0)), f"{threads} threads are more than the {len(os.sched_getaffinity(0))} processors of this process")
    show: Callable[[str], Any] = (lambda _text: None) if a.json == "-" else lambda text: print(text, flush=True)
    about, results = table.machine(threads), []
    show(table.header(about))
    with contest.Contest(threads, rounds=a.rounds or (3 if a.quick else contest.ROUNDS), tell=tell) as c:
        for case in todo:
            results.append(c.measure(case, chosen(case.contestants, a.peers)))
            tell("")
            if a.json and a.json != "-":                    # a run that is cut short leaves what it measured
                _write(a.json, results, about)
            show("\n" + "\n".join(table.lines(results[-1])))
    show("\n" + "\n".join(table.summary(results)))
    if a.json == "-":
        print(_text(results, about))
    if a.plot:
        plot.write(results, a.plot)
    return int(any(not verdict.agrees(r, e) for r in results for e in r.entries.values()))


def chosen(contestants: tuple[str, ...], words: str | None) -> list[str]:
    """Ours, and of the others those that --peers names, by their whole name or by the part before the colon."""
    if words is None:
        return list(contestants)
    wanted = [w for w in words.split(",") if w != "none"]
    known = {*peers.PEERS, *(n.partition(":")[0] for n in peers.PEERS)}
    unknown = next((w for w in wanted if w not in known), None)
    check(unknown is None, f"there is no peer {unknown!r}", hint=f"known: {', '.join(peers.PEERS)}")
    return [contestants[0], *(n for n in contestants[1:] if n in wanted or n.partition(":")[0] in wanted)]


# ---------------------------------------------------------------- tune
def tune_words(p: argparse.ArgumentParser) -> None:
    p.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long to search (default: %(default)g)")
    p.add_argument("-o", "--output", metavar="FILE", default=os.environ.get("DSLC_SCHEDULES", "schedules.json"),
                   help="the file of schedules to add to (default: %(default)s, or what DSLC_SCHEDULES names)")


def search(a: argparse.Namespace, sizes: Sizes, tell: Tell) -> int:
    """Search, print, write."""
    kernel = library.find_kernel(a.kernel)
    s = trial.setup(kernel, library.read_settings(kernel, a.settings), sizes(a.size))
    found = tune.tune(kernel, s, a.target, a.seconds, tell)
    tell("")
    better = found.best.constants != found.default.constants and found.best.seconds < found.default.seconds
    row = tune.write(Path(a.output), kernel, s, a.target, found.best.constants) if better else None
    if a.json:
        tried = [{"constants": t.constants, "seconds": t.seconds if t.refused == "" else None, "refused": t.refused} for t in found.tried]
        print(json.dumps({"kernel": kernel.__name__, "default": vars(found.default), "best": vars(found.best), "tried": tried, "row": row}, indent=1))
        return 0
    print(f"{kernel.__name__}, {tune.condition(kernel, s)}: {len(found.tried)} tried in {found.seconds:.0f} s")
    for what, t in (("default", found.default), ("best", found.best)):
        print(f"  {what:8} {table.seconds(t.seconds):>9}  {found.default.seconds / t.seconds:5.2f} x  {tune.said(t.constants)}")
    print(f"written to {a.output}; calls find it with DSLC_SCHEDULES={Path(a.output).resolve()}" if row else "the default is best: nothing written")
    return 0
