"""Schedules: what they may say, which one a call takes, and what changes when one does."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dslc.backend
import numpy as np
import pytest
from dslc import DslError, Schedule, const, schedule, tile, tile_function, tile_kernel
from dslc.backend import target_of
from dslc.runtime.schedules import Rule, holds, rules_of, to_json
from dslc.schedule import schedule_of
from dslc.text import parse, show
from dslc.types import DTYPES
from toy_target import LOWERED, NAME, toy_target

f32 = np.float32


@tile_function
def half(v):
    q = v * 0.5
    return q + 0.0


@tile_kernel
def summed(x: "T[M, N]", y: "T[M]", bias: "T[M]?" = None, *, BM: const = 4, BN: const = 8):
    i = tile.grid(tile.cdiv(M, BM))
    acc = tile.zeros((BM,), tile.f32)
    for k in tile.range(0, N, BN):
        acc = acc + tile.sum(half(tile.cast(tile.load(x, ((i * BM, BM), (k, BN))), tile.f32)), 1)
    if bias is not None:
        extra = tile.load(bias, (i * BM, BM))
        acc = acc + extra
    tile.store(y, (i * BM, BM), acc)


@tile_kernel
def needy(x: "f32[N]", y: "f32[N]", *, BN: const):
    i = tile.grid(tile.cdiv(N, BN))
    tile.store(y, (i * BN, BN), tile.load(x, (i * BN, BN)) + 1.0)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy target is emulated for every call; kernels have no rules."""
    monkeypatch.delenv("DSLC_TARGET", raising=False)
    monkeypatch.delenv("DSLC_SCHEDULES", raising=False)
    monkeypatch.setenv("DSLC_EMULATE", "1")
    with toy_target():
        yield
    for kernel in (summed, needy):
        kernel.rules.clear()
        kernel._plans.clear()
    dslc.backend._registered.pop(NAME)


def arrays(m: int = 9, n: int = 20, dtype: Any = f32) -> tuple[Any, Any]:
    return np.arange(m * n).reshape(m, n).astype(dtype) / 64, np.zeros(m, dtype)


def write(path: Path, *rows: Any) -> str:
    path.write_text(json.dumps(rows))
    return str(path)


# ---------------------------------------------------------------- what a schedule says
WHOLE: dict[str, Any] = dict(consts={"BM": 2}, loops={"k": {"stages": 4, "unroll": 2, "peel": 0}}, tiles={"acc": {"space": "accumulator", "unit": "cube",
    "layout": (1, 2)}, "half.q": {"layout": "rows"}}, workers={"producers": 1, "consumers": 2}, grid={"order": "grouped", "rows": 8, "persistent": True,
    "programs": 132, "chiplets": 8}, workspace={"slots": 2})


def test_a_schedule_is_plain_data() -> None:
    s = Schedule.of(WHOLE)
    assert s == Schedule.of(dict(reversed(WHOLE.items()))) and hash(s) == hash(Schedule.of(WHOLE))
    assert s.get("loops", "k", "stages") == 4 and s.get("grid", "rows") == 8 and s.get("loops", "j", "stages", default=1) == 1
    assert eval(str(s), {"schedule": lambda **parts: Schedule.of(parts)}) == s
    kernel = summed.ir("front end", T="f32", target=NAME, schedule=s)
    assert show(parse(show(kernel))) == show(kernel)
    found = schedule_of(parse(show(kernel)))
    assert dict(found.items()) == {p: v for p, v in s.items() if p[0] != "consts"}


@pytest.mark.parametrize(("parts", "message", "hint"), [
    ({"loop": {}}, "a schedule has no part 'loop'", "did you mean 'loops'?"),
    ({"loops": {"k": {"stage": 3}}}, "loops.k of a schedule has no key 'stage'", "did you mean 'stages'?"),
    ({"loops": {"k": 3}}, "loops of a schedule: k must be a dict of stages, unroll, peel, got 3", ""),
    ({"loops": {"k": {"stages": 0}}}, "loops.k: stages of a schedule must be a number of 1 or more, got 0", ""),
    ({"loops": {"k": {"stages": True}}}, "loops.k: stages of a schedule must be a number of 1 or more, got True", ""),
    ({"tiles": {"acc": {"space": "smem"}}}, "tiles.acc: space of a schedule must be one of ", ""),
    ({"tiles": {"acc": {"unit": "tensor"}}}, "tiles.acc: unit of a schedule must be one of cube, vector, got 'tensor'", ""),
    ({"tiles": {"acc": {"layout": ()}}}, "tiles.acc: layout of a schedule must be a word or a tuple of numbers, got ()", ""),
    ({"grid": {"persistent": 1}}, "grid: persistent of a schedule must be True or False, got 1", ""),
    ({"grid": {"order": "zigzag"}}, "grid: order of a schedule must be one of rows, columns, grouped, got 'zigzag'", ""),
    ({"workers": {"consumer": 1}}, "workers of a schedule has no key 'consumer'", "did you mean 'consumers'?"),
    ({"loops": {1: {"stages": 2}, "k": {}}}, "loops of a schedule: a name must be a text, got 1", ""),
    ({"workspace": [2]}, "workspace of a schedule must be a dict, got [2]", "")])
def test_every_key_is_checked(parts: Any, message: str, hint: str) -> None:
    with pytest.raises(DslError) as caught:
        Schedule.of(parts)
    assert caught.value.message.startswith(message) and caught.value.hint.startswith(hint)
    with pytest.raises(DslError, match="schedule"):
        schedule(summed, target=NAME, **parts)


@pytest.mark.parametrize(("parts", "message", "hint"), [
    ({"loops": {"kk": {"stages": 2}}}, "a schedule of summed names a loop that the kernel has not: 'kk'", "did you mean 'k'? known: k"),
    ({"tiles": {"ac": {"space": "register"}}}, "a schedule of summed names a tile that the kernel has not: 'ac'", "did you mean 'acc'?"),
    ({"tiles": {"half.p": {"space": "register"}}}, "a schedule of summed names a tile that the kernel has not: 'half.p'",
     "did you mean 'half.v'? known: acc, extra, half.q, half.v"),
    ({"consts": {"BK": 2}}, "a schedule of summed names a const that the kernel has not: 'BK'", "known: BM, BN")])
def test_a_name_that_is_gone_is_an_error_of_the_build(parts: Any, message: str, hint: str) -> None:
    for how in (lambda: summed(*arrays(), target=NAME, schedule=parts), lambda: summed.build(NAME, T="f32", schedule=parts)):
        with pytest.raises(DslError) as caught:
            how()
        assert message in caught.value.message and caught.value.hint.startswith(hint) and caught.value.loc and "summed" in caught.value.loc.text


def test_names_of_what_a_call_leaves_out_are_known() -> None:
    """The tile of the optional tensor stands in the source even when that is absent."""
    assert summed.schedule(NAME, *arrays()).get("grid", "order") == "columns"
    summed(*arrays(), target=NAME, schedule={"tiles": {"extra": {"space": "register"}, "half.q": {"space": "register"}}})


# ---------------------------------------------------------------- when
@pytest.mark.parametrize(("text", "value"), [
    ("True", True), ("M >= 256 and N >= 256", True), ("M > 256", False), ("M == 256 == N", True), ("not M % 2 or K // 3 - 1 < 0", True), ("T == f16", True),
    ("T != bf16 and causal", False), ("-M + 2 * N == 256", True), ("K > 1", False), ("M // (N - N) == 1", False), ("T == 'f16'", True)])
def test_when(text: str, value: bool) -> None:
    assert holds(text, ("M", "N", "K", "T", "causal"), {"M": 256, "N": 256, "T": DTYPES["f16"], "causal": False}) is value


@pytest.mark.parametrize(("text", "message"), [
    ("M >=", "is no expression"), ("open('x')", "Call is not part of when"), ("M.real", "Attribute is not part of when"), ("M ** 9", "Pow is not part of when"),
    ("[M]", "List is not part of when"), ("(lambda: 1)", "Lambda is not part"), ("M if N else K", "IfExp is not part"), ("M is N", "Is is not part"),
    ("", "is no expression")])
def test_when_is_safe(text: str, message: str) -> None:
    with pytest.raises(DslError, match=message):
        schedule(summed, target=NAME, when=text)
    assert not summed.rules


def test_when_knows_its_names() -> None:
    schedule(summed, target=NAME, when="MM > 3", consts={"BM": 2})
    with pytest.raises(DslError, match="unknown name 'MM'") as caught:
        summed(*arrays(), target=NAME)
    assert "did you mean 'M'" in caught.value.hint or "did you mean 'BM'" in caught.value.hint
    summed.rules.clear()
    for wrong in ("M > 'a'", "M * 'a' == N"):
        summed.rules.clear()
        schedule(summed, target=NAME, when=wrong, consts={"BM": 2})
        with pytest.raises(DslError, match="cannot be told"):
            summed(*arrays(), target=NAME)


# ---------------------------------------------------------------- which one is taken
def test_registered_rules() -> None:
    schedule(summed, target=NAME, when="N >= 16", loops={"k": dict(stages=4)}, consts=dict(BM=2))
    schedule(summed, target=NAME, when="N >= 64 and T == f16", loops={"k": dict(stages=5)})
    schedule(summed, target=f"{NAME}:small", when="N >= 16", loops={"k": dict(unroll=7)})
    schedule(summed, target="cpu", loops={"k": dict(unroll=9)})
    large, small = (summed.schedule(t, *arrays()) for t in (NAME, f"{NAME}:small"))
    assert large.get("loops", "k", "stages") == 4 and large.get("consts", "BM") == 2 and large.get("loops", "k", "unroll") is None
    assert small.get("loops", "k", "unroll") == 7 and small.get("loops", "k", "stages") is None and not small.consts
    assert summed.schedule(NAME, *arrays(n=64, dtype=np.float16)).get("loops", "k", "stages") == 5
    assert summed.schedule(NAME, *arrays(n=8)).get("loops", "k", "stages") == 3         # the target's own rule
    assert summed.schedule("cpu", *arrays()).get("loops", "k", "unroll") == 9
    assert summed.schedule(NAME, T="f32").get("loops", "k", "stages") == 3              # dimensions are not known, so no `when` of theirs holds


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key by key: the call, the file, the program, the target."""
    schedule(summed, target=NAME, consts={"BM": 2, "BN": 2}, loops={"k": {"stages": 5, "unroll": 5, "peel": 5}})
    row = {"kernel": "summed", "target": NAME, "consts": {"BN": 16}, "loops": {"k": {"stages": 6, "unroll": 6}}}
    monkeypatch.setenv("DSLC_SCHEDULES", write(tmp_path / "mine.json", {"kernel": "other", "target": NAME}, row))
    x, y = arrays()
    summed(x, y, target=NAME, schedule={"loops": {"k": {"stages": 7}}})
    assert np.allclose(y, x.sum(1) / 2)
    architecture, found = LOWERED[-1]
    assert architecture == "large" and dict(dict(found.loops)["k"]) == {"stages": 7, "unroll": 6, "peel": 5} and dict(found.grid) == {"order": "columns"}
    s = summed.schedule(NAME, x, y)
    assert {".".join(p): o for p, o in s.origins} == {
        "consts.BM": origin(), "consts.BN": "mine.json[1]", "loops.k.stages": "mine.json[1]", "loops.k.unroll": "mine.json[1]", "loops.k.peel": origin(),
        "grid.order": f"the rules of {NAME}"}
    assert dict(s.consts) == {"BM": 2, "BN": 16} and not summed.schedule(NAME, x, y, BM=1, BN=1).consts


def origin() -> str:
    """Where test_precedence registers its schedule."""
    lines = Path(__file__).read_text().splitlines()
    return f"test_schedule.py:{1 + next(n for n, line in enumerate(lines) if line.endswith('5}})'))}"


def test_constants_of_a_schedule_give_way_to_the_callers() -> None:
    schedule(summed, target=NAME, consts={"BM": 2})
    bm = {how: dict(summed.steer(target_of(NAME), arrays(), given).spec.consts)["BM"] for how, given in (("none", {}), ("given", {"BM": 4}))}
    assert bm == {"none": 2, "given": 4}
    assert dict(summed.steer(target_of("cpu"), arrays(), {}).spec.consts)["BM"] == 4


def test_a_constant_without_a_default_may_come_from_a_schedule() -> None:
    x, y = np.ones(10, f32), np.zeros(10, f32)
    with pytest.raises(DslError, match="constant BN is missing"):
        needy(x, y, target=NAME)
    schedule(needy, target=NAME, when="N > 4", consts={"BN": 4})
    needy(x, y, target=NAME)
    assert np.all(y == 2)
    with pytest.raises(DslError, match="constant BN is missing"):
        needy(x, y, target="cpu")
    with pytest.raises(DslError, match="constant BN is missing"):
        needy(x[:3], y[:3], target=NAME)


def test_a_plan_is_of_one_schedule() -> None:
    """The next call of the same shape is another one with another schedule, and after another was registered."""
    x, y = arrays()
    stages = []
    for options in ({}, {"schedule": {"loops": {"k": {"stages": 2}}}}, {"schedule": Schedule.of(loops={"k": {"stages": 9}})}, {}):
        summed(x, y, target=NAME, **options)
        stages.append((LOWERED[-1][1].get("loops", "k", "stages"), len(LOWERED)))
    assert [s for s, _ in stages[:3]] == [3, 2, 9] and stages[3][1] == stages[2][1]      # the last was planned before
    schedule(summed, target=NAME, loops={"k": {"stages": 11}})
    summed(x, y, target=NAME)
    assert LOWERED[-1][1].get("loops", "k", "stages") == 11
    assert all("schedule" not in dict(summed.ir(target="cpu", T="f32").attrs) for _ in range(1))
    with pytest.raises(DslError, match="schedule must be a Schedule or a dict of its parts, got 4"):
        summed(x, y, target=NAME, schedule=4)


def test_a_parameter_cannot_be_called_schedule() -> None:
    def wrong(schedule: "f32[N]"):
        i = tile.grid(1)
    with pytest.raises(DslError, match="a parameter cannot be called 'schedule'") as caught:
        tile_kernel(wrong)
    assert "schedule= of a call says where and when" in caught.value.hint


# ---------------------------------------------------------------- files
def test_files_hold_what_the_program_says() -> None:
    rule = Rule(NAME, "M > 3 and T == f16", Schedule.of({**WHOLE, "consts": {"BM": 2, "U": DTYPES["f16"], "flags": (True, (1.5, None, DTYPES["i8"]))}}, "f[0]"))
    row = json.loads(json.dumps(to_json("summed", rule)))
    assert rules_of([row], "f") == [("summed", rule)]
    with pytest.raises(DslError, match="which a file cannot say"):
        to_json("summed", Rule(NAME, "True", Schedule.of(consts={"f": half})))


@pytest.mark.parametrize(("text", "message"), [
    ("{", "cannot be read"), ('{"kernel": "summed"}', "a file of schedules is a list of objects"), ('[{"kernel": "summed"}]', "schedule 0: kernel, target and"),
    ('[{"kernel": "a", "target": "b"}, {"kernel": "a", "target": "b", "loop": {}}]', "schedule 1: there is no key 'loop'"),
    ('[{"kernel": "a", "target": "b", "loops": {"k": {"stages": -1}}}]', "schedule 0: loops.k: stages of a schedule must be"),
    ('[{"kernel": "a", "target": "b", "when": "f()"}]', "schedule 0: Call is not part of when")])
def test_damaged_files(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f.json").write_text(text)
    monkeypatch.setenv("DSLC_SCHEDULES", str(tmp_path / "f.json"))
    with pytest.raises(DslError, match=message.replace("(", r"\(")):
        summed(*arrays(), target=NAME)


def test_a_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSLC_SCHEDULES", "/no/such.json")
    with pytest.raises(DslError, match=r"DSLC_SCHEDULES=/no/such\.json cannot be read"):
        summed(*arrays(), target=NAME)


def test_a_rule_for_an_unknown_architecture() -> None:
    schedule(summed, target=f"{NAME}:larg", consts={"BM": 2})
    with pytest.raises(DslError, match="has no architecture 'larg'") as caught:
        summed(*arrays(), target=NAME)
    assert "did you mean 'large'?" in caught.value.hint
