"""`dslc bench` and `dslc tune`: the table of bars, figures from runs, data that reads back, every contestant's result.  No time is judged."""
from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Iterator

import numpy as np
import pytest
from dslc.bench import cases, data, plot, table, tune
from dslc.bench.case import Bar, Case
from dslc.bench.command import chosen
from dslc.bench.contest import Contest, Entry, Result, difference, environment
from dslc.bench.peers import PEERS
from dslc.bench.verdict import agrees, figure, limit, verdict
from dslc.errors import DslError
from dslc.kernels.gemm import gemm
from dslc.runtime.cli import main
from dslc.runtime.trial import setup

SMALL = cases.gemm(40, 24, 16)


def measured(ours: list[float], **others: list[float]) -> Result:
    case = Case("gemm", "a case", "gemm", {"M": 8, "N": 8, "K": 8}, "f32", ("numpy", "torch"), 1024.0, 768.0, "f32",
                bars=(Bar(1.0, ("numpy", "torch")), Bar(0.9, ("limit",), True)), row=1)
    rows = {"dslc": ours, **{n.replace("__", ":"): v for n, v in others.items()}}
    return Result(case, 1, {n: Entry(n, v, "" if v else "no kernel") for n, v in rows.items()})


# ---------------------------------------------------------------- the table of bars
def test_every_bar_of_the_table_is_there() -> None:
    assert {c.row for c in cases.ROWS} == set(range(1, 12))
    asked = {(c.row, b.ratio) for c in cases.ROWS for b in c.bars if not b.stretch}
    assert asked == {(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.05), (4, 2.0), (5, 3.5), (6, 1.9), (6, 2.5), (7, 1.8), (8, 1.0), (8, 1.3), (9, 1.0), (10, 0.97),
                     (11, 1.1), (11, 4.0)}
    assert len({c.label for c in cases.ROWS}) == len(cases.ROWS)


@pytest.mark.parametrize("case", cases.ROWS, ids=[c.label for c in cases.ROWS])
def test_rows_name_contestants_that_there_are(case: Case) -> None:
    against = {n for b in case.bars for n in b.against} - {"limit"}
    assert {case.ours, *case.peers} <= PEERS.keys() and against <= set(case.peers)
    assert case.kind in data.MAKERS and case.operations >= 0 and case.moved > 0
    assert not case.cold or (data.COLD[case.kind] and case.copies * case.cold >= 192 << 20)
    assert Case.from_json(json.loads(json.dumps(case.as_json()))) == case


@pytest.mark.parametrize("kernel", cases.PROBLEMS)
def test_every_kernel_has_a_case_of_a_users_size_and_data(kernel: str) -> None:
    """Operands have the shapes that sizes say, whatever they are; the least sizes here."""
    small = {"gemm": {"M": 3, "N": 5, "K": 7}, "attention": {"S": 4, "D": 8, "H": 2}, "decode": {"KV": 6, "D": 8, "H": 4, "G": 2},
             "kmeans": {"N": 9, "D": 2, "K": 3}, "w4a16": {"M": 2, "N": 16, "K": 256}, "stream": {"N": 65}, "binary": {"M": 2, "N": 3, "K": 64}}
    (case,) = cases.cases_for(kernel, sizes=small.get(kernel, {"M": 4, "N": 16}))
    given = data.arrays(case)
    assert all(x.size for x in given.values()) and not case.bars
    again = data.arrays(case)
    assert all((given[n] == again[n]).all() for n in given), "the same in every process"
    for n in data.COLD.get(case.kind, ()):
        assert not np.shares_memory(data.another(case, given, 1)[n], given[n])


def test_sizes_that_there_are_not() -> None:
    for words in ({"kernel": "gem"}, {"kernel": "gemm", "sizes": {"Q": 3}}, {"kernel": "all", "sizes": {"M": 3}}, {"kernel": "binary", "curve": True}):
        with pytest.raises(DslError):
            cases.cases_for(**words)
    assert cases.cases_for("gemm", curve=True)[0].sizes == {"M": 64, "N": 64, "K": 64}
    assert all(c.quick for c in cases.cases_for("all", quick=True))


# ---------------------------------------------------------------- figures
def test_ratios_and_verdicts() -> None:
    r = measured([2.0, 1.0, 3.0], numpy=[3.0, 3.0, 9.0], torch=[1.0, 1.5, 2.5], limit__f32=[1.0], limit__copy=[0.5])
    assert figure([2.0, 1.0, 3.0]) == figure([3.0, 2.0, 1.0]) and figure([]) is None
    f = figure([1.0, 2.0, 3.0, 4.0, 5.0])
    assert f is not None and (f.low, f.median, f.high, f.least, f.runs) == (2.0, 3.0, 4.0, 1.0, 5)
    assert limit(r) == 1.0, "the slower of arithmetic and traffic"
    found = verdict(r, r.case.bars[0])
    assert (found.best, found.ratio, found.said, found.least) == ("torch", 0.75, "missed", 1.0)
    assert found.text == "bar 1.00 x torch, ours 0.75, missed (of least times 1.00)"
    assert verdict(r, Bar(0.75, ("torch",))).said == "met"
    assert verdict(r, r.case.bars[1]).text == "stretch 0.90 x limit, ours 0.50, missed"


def test_a_bar_without_a_kernel_or_a_peer() -> None:
    assert verdict(measured([], numpy=[1.0]), Bar(1.0, ("numpy",))).text == "bar 1.00 x numpy, no kernel"
    assert verdict(measured([1.0], numpy=[]), Bar(1.0, ("numpy",))).text == "bar 1.00 x numpy, no peer here"
    assert list(table.summary([measured([1.0], numpy=[2.0])]))[-1].strip() == "1 of 1 met"


def test_results_that_differ() -> None:
    assert difference([1.0, 2.0], [1.0, 2.0]) == 0 and difference([1.0], [1.0, 2.0]) == math.inf and difference([math.nan, 1.0], [1.0, 1.0]) == math.inf
    assert difference([1.0, 3.0], [1.0, 1.0]) == 1.0
    r = measured([1.0], numpy=[1.0])
    entry = r.entries["numpy"]
    entry.difference = 2 * r.case.tolerance()
    assert not agrees(r, entry) and "ANOTHER RESULT" in "\n".join(table.lines(r))
    entry.note = "rounded to 8 bits"
    assert agrees(r, entry)


@pytest.mark.parametrize(("value", "text"), [(1.5, "1.5 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 us"), (7e-8, "70 ns")])
def test_times_have_units(value: float, text: str) -> None:
    assert table.seconds(value) == text


def test_results_read_back() -> None:
    r = measured([2.0, 1.0], numpy=[3.0], limit__f32=[0.5])
    written = json.loads(json.dumps(table.as_json([r], table.machine(1))))
    assert table.from_json(written) == [r]
    assert {"processor", "compiler", "commit", "versions", "settings", "date"} <= written["machine"].keys()
    assert written["rows"][0]["entries"]["numpy"]["runs"] == [3.0] and written["rows"][0]["verdicts"][0]["ratio"] == 2.0


def test_drawings(tmp_path) -> None:
    r = measured([2.0], numpy=[4.0], limit__f32=[1.0])
    assert plot.parts([r]) == [("a case", [("dslc", 0.5), ("numpy", 0.25)])]
    plot.write([r], str(tmp_path / "a.svg"))
    drawn = (tmp_path / "a.svg").read_text()
    assert "a case" in drawn and drawn.count("<rect") == 3
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(DslError, match="not installed"):
            plot.write([r], str(tmp_path / "a.png"))
    else:
        plot.write([r], str(tmp_path / "a.png"))
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- processes
@pytest.fixture(scope="module")
def contest() -> Iterator[Contest]:
    """One for the module, so that libraries are imported once."""
    with Contest(1, rounds=1, turn=0.0) as c:
        yield c


def test_environment_of_a_contestant(monkeypatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    found = environment("numpy", 3)
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "LD_PRELOAD"} & found.keys()
    assert found["OMP_NUM_THREADS"] == found["DSLC_THREADS"] == "3" and found["MALLOC_MMAP_MAX_"] == "0"
    assert os.path.exists(environment("torch:unlocked", 1)["LD_PRELOAD"])


def test_a_contest_of_two_and_the_limits(contest) -> None:
    before = os.sched_getaffinity(0)
    r = contest.measure(SMALL, ["dslc", "numpy", "ggml"])
    assert os.sched_getaffinity(0) == before
    assert [len(r.entries[n].runs) for n in ("dslc", "numpy", "ggml", "limit:f32", "limit:copy")] == [1, 1, 0, 1, 1], r.entries
    assert r.entries["ggml"].missing and all(agrees(r, e) for e in r.entries.values())
    assert r.entries["numpy"].difference is not None and r.others >= 0
    assert limit(r) is not None and "dslc" in "\n".join(table.lines(r))


def test_a_contestant_that_dies_is_reported(contest) -> None:
    contest.measure(SMALL, ["numpy"])
    contest.children["numpy"].process.kill()
    contest.children["numpy"].process.wait()
    assert "its process ended" in contest.measure(SMALL, ["numpy"]).entries["numpy"].missing
    assert contest.measure(SMALL, ["numpy"]).entries["numpy"].runs, "and a later case has a new one"


@pytest.mark.parametrize("case", [cases.attention(64, 16, 2, "bf16", 1), cases.decode(128, 16, 4, 2, "f32"), cases.kmeans(400, 8, 5), cases.w4a16(2, 64, 256),
                                  cases.rows("rmsnorm", 8, 64), cases.rows("layernorm", 8, 64, "bf16"), cases.rows("softmax", 8, 64),
                                  *(cases.stream(op, 4096) for op in ("copy", "scale", "add", "triad")), cases.stream("add", 4096, 1),
                                  cases.gemm(9, 12, 16, "i8"), cases.gemm(9, 12, 16, "bf16")], ids=lambda c: c.label)
@pytest.mark.parametrize("peers", ["light", pytest.param("heavy", marks=pytest.mark.long)])
def test_our_kernels_and_peers_agree(contest, case: Case, peers: str) -> None:
    """Ours, and peers that need nothing beyond the test requirements; the long run takes whoever is installed, but for torch.compile."""
    light = [n for n in case.peers if n in ("c", "c:streaming", "sklearn", "dslc:estimator", "numpy")]
    heavy = [n for n in case.peers if n not in light and n != "torch:compiled"]
    r = contest.measure(Case.from_json({**case.as_json(), "cold": 0}), [case.ours, *(light if peers == "light" else heavy)])
    for entry in r.entries.values():
        assert entry.runs or entry.missing.startswith(("no kernel", "not installed", "not connected", "this processor")), entry
        assert agrees(r, entry), entry


# ---------------------------------------------------------------- commands
def test_bench_command(capsys, tmp_path) -> None:
    out = tmp_path / "a.json"
    status = main(["bench", "gemm", "--size", "M=24,N=16,K=8", "--peers", "numpy", "--rounds", "2", "--threads", "1", "--json", str(out), "--plot",
                   str(tmp_path / "a.svg")])
    text = capsys.readouterr().out
    assert status == 0 and "gemm f32 24x16x8, 1 thread" in text and "limit:f32" in text and "torch" not in text.split("\n\n", 1)[1]
    (r,) = table.from_json(json.loads(out.read_text()))
    assert set(r.entries) == {"dslc", "numpy", "limit:f32", "limit:copy"} and (tmp_path / "a.svg").exists()
    assert main(["bench", "gemm", "--peers", "nmpy"]) == 2 and "no peer" in capsys.readouterr().err


def test_peers_by_whole_name_and_by_library() -> None:
    everyone = ("dslc", "numpy", "torch", "torch:packed")
    assert chosen(everyone, None) == list(everyone) and chosen(everyone, "none") == ["dslc"]
    assert chosen(everyone, "torch") == ["dslc", "torch", "torch:packed"] and chosen(everyone, "torch:packed") == ["dslc", "torch:packed"]


SIZE = {"M": 48, "N": 32, "K": 64}


def test_what_is_searched() -> None:
    s = setup(gemm, {"BK": 32}, SIZE)
    assert tune.searched(gemm, s).keys() == {"BM", "BN"}, "not what is given, nor what is no number"
    around = list(tune.neighbours({"BM": 64, "BN": 1}))
    assert {"BM": 128, "BN": 1} in around and {"BM": 32, "BN": 1} in around and {"BM": 32, "BN": 2} in around and all(min(c.values()) >= 1 for c in around)


def test_tune_writes_what_a_call_takes(tmp_path, monkeypatch) -> None:
    s, file = setup(gemm, {}, SIZE), tmp_path / "s.json"
    monkeypatch.delenv("DSLC_SCHEDULES", raising=False)
    found = tune.tune(gemm, s, "cpu", 0.3, lambda _text: None)
    assert found.tried[0].constants == found.default.constants and 0 < found.best.seconds < math.inf
    tune.write(file, gemm, s, "cpu", {"BM": 16, "BN": 16, "BK": 32})
    tune.write(file, gemm, s, "cpu", {"BM": 16, "BN": 64, "BK": 32})
    assert len(json.loads(file.read_text())) == 1, "the later search of the same size replaces the earlier"
    monkeypatch.setenv("DSLC_SCHEDULES", str(file))
    arrays = (s.given["a"], s.given["b"], s.given["c"])
    assert dict(gemm.schedule("cpu", *arrays).consts) == {"BM": 16, "BN": 64, "BK": 32}
    other = (s.given["a"][:40], s.given["b"], s.given["c"][:40])
    assert dict(gemm.schedule("cpu", *other).consts) == {}, "and no other size takes it"
    gemm(*arrays)
    np.testing.assert_allclose(arrays[2], arrays[0] @ arrays[1], atol=72 * 2.0 ** -23 * float((np.abs(arrays[0]) @ np.abs(arrays[1])).max()))


def test_tune_refuses_constants_that_compute_something_else(monkeypatch) -> None:
    s = setup(gemm, {}, SIZE)
    monkeypatch.setattr(tune, "judge", lambda name, got, expected: type("V", (), {"wrong": 1, "name": name, "first": "first at [0, 0]"})())
    with pytest.raises(DslError, match="something else"):
        tune.check_right(gemm, s, {"BM": 16, "BN": 16, "BK": 16}, "cpu")


def test_tune_command(capsys, tmp_path) -> None:
    file = tmp_path / "s.json"
    assert main(["tune", "gemm", "--size", "M=32,N=32,K=32", "--seconds", "0.2", "-o", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["default"]["constants"].keys() == {"BM", "BN", "BK"} and (said["row"] is None) != file.exists()
    file.write_text("[3]")
    assert main(["tune", "softmax", "BM=4", "BN=64", "--size", "M=8,N=16", "-o", str(file)]) == 2, "nothing left to search"
    assert tune.bar(0.5) == "[##########..........]"
