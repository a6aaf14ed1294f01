"""Kernels split over the cube core and the vector cores of target ascend: what is computed where, what crosses, and that the meaning stays.

Everything here is interpreted; nothing is rendered.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import specification
from dslc import const, tile
from dslc.backend import backend_of
from dslc.backends.ascend.rows import axes_cut, groups, halve
from dslc.backends.ascend.sides import project, settle
from dslc.backends.ascend.split import divide
from dslc.errors import DslError
from dslc.interpret import interpret
from dslc.ir import Body, Kernel, Op, walk
from dslc.passes import run
from dslc.types import Space
from dslc.verify import verify
from specification import Launcher, check_names, checks, spec_modules

PASSES = tuple(backend_of("ascend").passes[:backend_of("ascend").passes.index("legalise")])
WITH_DOTS = [n for n in check_names() if n.split(".")[0] in ("attention", "decode", "gemm", "kmeans", "moe", "quantised_gemm")]


def _units(arrays: dict[str, Any]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((n, tuple(d for d in range(a.ndim) if a.strides[d] == a.itemsize)) for n, a in arrays.items() if isinstance(a, np.ndarray))


@pytest.fixture(autouse=True)
def _with_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are specialised for the dimensions of stride 1, as in a call."""
    plain = specification.specialise

    def specialise(definition: Any, given: dict[str, Any]) -> Any:
        spec, arrays, dims = plain(definition, given)
        return replace(spec, units=_units(arrays)), arrays, dims

    monkeypatch.setattr(specification, "specialise", specialise)


def prepared(kernel: Kernel) -> Kernel:
    """What `split` is given, but for what only rendering needs."""
    return run(kernel, PASSES, extra=dict(backend_of("ascend").own_passes))


def dots(kernel: Kernel) -> list[Op]:
    return [op for op in walk(kernel.body) if op.name == "dot"]


def agrees(kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int]) -> Kernel:
    """The divided kernel, after its value form and its placed form were seen to mean what the kernel means; `arrays` get the results."""
    before = prepared(kernel)
    made = divide(before)
    verify(made, after="divide")
    placed = settle(run(made, ("places",)))
    verify(placed, after="settle")
    copies = [{n: a.copy() if isinstance(a, np.ndarray) else a for n, a in arrays.items()} for _ in range(2)]
    interpret(before, arrays, dims)
    for form, mine in zip((made, placed), copies, strict=True):
        interpret(form, mine, dims)
        for n, a in arrays.items():
            if isinstance(a, np.ndarray):
                np.testing.assert_allclose(mine[n].astype(np.float64), a.astype(np.float64), rtol=1e-2, atol=2e-2, err_msg=f"{kernel.name}: {n}")
    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[tuple[Kernel, dict[str, Any], dict[str, int]]]]]:
    """A function that runs a check of the specification and gives the calls that it makes of kernels with dots."""
    found: list[tuple[Kernel, dict[str, Any], dict[str, int]]] = []

    def launched(kernel: Kernel, arrays: dict[str, Any], dims: dict[str, int]) -> None:
        if dots(kernel):
            found.append((kernel, {n: a.copy() if isinstance(a, np.ndarray) else a for n, a in arrays.items()}, dims))
        interpret(kernel, arrays, dims)

    monkeypatch.setattr(Launcher, "run", staticmethod(launched))
    with spec_modules(Launcher) as modules:
        by_name = dict(checks(modules))

        def of(name: str) -> list[tuple[Kernel, dict[str, Any], dict[str, int]]]:
            found.clear()
            by_name[name]()
            return list(found)

        yield of


def first_of(calls: Any, check: str, kernel: str) -> Kernel:
    """The first kernel of that name that a check calls, divided."""
    return divide(prepared(next(k for k, _, _ in calls(check) if k.name == kernel)))


# ---------------------------------------------------------------- the specification's kernels
@pytest.mark.parametrize("name", WITH_DOTS)
def test_meaning_stays(name: str, calls: Any) -> None:
    for kernel, arrays, dims in calls(name):
        made = agrees(kernel, arrays, dims)
        halves = halve(made)
        verify(halves, after="halve")
        _paired(halves)
        for unit in ("cube", "vector"):
            project(settle(run(halves, ("places",))), unit)


@pytest.mark.parametrize(("check", "kernel", "cores", "ways"), [
    ("gemm.gemm_strided_and_transposed", "gemm_nt", "cube", []), ("gemm.gemm_split_k", "gemm_split", "cube", []),
    ("gemm.gemm_bias_gelu", "gemm", "mixed", ["C2V"]), ("gemm.gemm_int8", "gemm_int8", "mixed", ["C2V"]),
    ("attention.attention", "attention", "mixed", ["C2V", "V2C", "C2V"]), ("attention.attention_varlen", "attention_varlen", "mixed", ["C2V", "V2C", "C2V"]),
    ("quantised_gemm.w4a16", "w4a16", "mixed", ["V2C"]), ("quantised_gemm.w4a16", "w4a16_awq", "mixed", ["V2C"]),
    ("kmeans.assign", "assign", "mixed", ["C2V"]), ("moe.moe", "grouped_gemm", "mixed", ["V2C", "C2V"])])
def test_every_dot_is_the_cubes(check: str, kernel: str, cores: str, ways: list[str], calls: Any) -> None:
    made = first_of(calls, check, kernel)
    assert all(op.attr("unit") == "cube" for op in dots(made))
    assert made.attr("cores") == cores
    assert [row[1] for row in made.attr("edges", ())] == ways


def test_attention_keeps_rows_apart(calls: Any) -> None:
    made = first_of(calls, "attention.attention", "attention")
    cut = axes_cut(made)
    across = [r for op in walk(made.body) for r in op.results if op.attr("unit") == "vector" and len(r.tile.shape) == 2 and r.tile.shape[0] > 1]
    assert all(cut.get(r) == 0 or op_puts(made, r) for r in across)
    halves = halve(made)
    stores = [op for op in walk(halves.body) if op.name == "store"]
    assert len(stores) == 2 and not any(op.name == "if" for op in walk(halves.body))
    assert {op.name for op in walk(halves.body) if op.attr("cross") == "C2V" and op.attr("side") == "take"} == {"take"}


def op_puts(kernel: Kernel, v: Any) -> bool:
    return any(op.attr("side") == "put" and v in op.results for op in walk(kernel.body))


def test_the_cube_runs_ahead_of_the_softmax(calls: Any) -> None:
    made = halve(first_of(calls, "attention.attention", "attention"))
    side = project(settle(run(made, ("places",))), "cube")
    loops = [op for op in walk(side.body) if op.name == "for"]
    assert [(op.attr("peel"), op.attr("ahead")) for op in loops] == [("main", 1), ("rest", 1)]
    for loop in loops:
        early, late = [op.bodies[0] for op in loop.bodies[0].ops if op.name == "if"]
        assert [(o.name, o.attr("side")) for o in early.ops if o.into] == [("load", None), ("dot", None), ("copy", "put")]
        assert [(o.name, o.attr("side")) for o in late.ops if o.into] == [("load", None), ("copy", "take"), ("dot", None), ("copy", "put")]
    other = project(settle(run(made, ("places",))), "vector")
    assert not any(op.attr("ahead") for op in walk(other.body))


@pytest.mark.parametrize(("check", "kernel"), [("kmeans.assign", "assign"), ("quantised_gemm.w4a16", "w4a16")])
def test_one_way_needs_no_skew(check: str, kernel: str, calls: Any) -> None:
    side = project(settle(run(halve(first_of(calls, check, kernel)), ("places",))), "cube")
    assert not any(op.attr("ahead") for op in walk(side.body))


def test_sides_hold_only_their_own(calls: Any) -> None:
    made = settle(run(halve(first_of(calls, "attention.attention", "attention")), ("places",)))
    for unit, spaces in (("cube", {Space.SHARED, Space.ACCUMULATOR, Space.WORKSPACE}), ("vector", {Space.REGISTER, Space.WORKSPACE})):
        side = project(made, unit)
        assert {op.attr("unit") for op in walk(side.body)} <= {unit, None}
        assert {op.result.tile.place.space for op in walk(side.body) if op.name == "alloc"} == spaces  # type: ignore[union-attr]
    assert made.attr("workspace_bytes") == sum(s * r * -(-c * 4 // 32) * 32 for _, _, s, r, c, _ in made.attr("edges"))


def test_loops_one_after_another_share_rings(calls: Any) -> None:
    """The two loops that `peel` makes of attention's cross by three rings, not six; rings of one loop stay apart."""
    made = first_of(calls, "attention.attention", "attention")
    loops = [op for op in made.body.ops if op.name == "for"]
    assert [op.attr("peel") for op in loops] == ["main", "rest"] and len(made.attr("edges")) == 3
    for op in loops:
        puts = [o.attr("edge") for o in walk(op.bodies[0]) if o.attr("side") == "put"]
        assert sorted(puts) == [0, 1, 2]
    placed = settle(run(halve(made), ("places",)))
    places = {op.attr("edge"): set() for op in walk(placed.body) if op.attr("side") == "put"}  # type: ignore[var-annotated]
    for op in walk(placed.body):
        if op.attr("side") == "put":
            places[op.attr("edge")].add(op.into[0].tile.place.offset)  # type: ignore[union-attr]
    assert all(len(at) == 1 for at in places.values()) and len(set.union(*places.values())) == 3


def _paired(kernel: Kernel) -> None:
    """In each body what one side puts the other takes, in one order of edges that suits both."""
    def visit(body: Body) -> None:
        sides: dict[str, list[int]] = {"put": [], "take": []}
        for op in body.ops:
            if op.attr("cross"):
                sides[op.attr("side")].append(op.attr("edge"))
                assert op.attr("side") == "take" or op.attr("edge") not in sides["take"], "an edge is put before it is taken"
            for b in op.bodies:
                visit(b)
        assert sorted(sides["put"]) == sorted(sides["take"])

    visit(kernel.body)


# ---------------------------------------------------------------- small kernels
@Launcher
def starts_loaded(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.load(c, ((i * B, B), (j * B, B)))
    for k in tile.range(0, K, B):
        acc = tile.dot(tile.load(a, ((i * B, B), (k, B))), tile.load(b, ((k, B), (j * B, B))), acc)
    tile.store(c, ((i * B, B), (j * B, B)), acc)


@Launcher
def two_in_a_chain(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.zeros((B, B), tile.f32)
    for k in tile.range(0, K, 2 * B):
        acc = tile.dot(tile.load(a, ((i * B, B), (k, B))), tile.load(b, ((k, B), (j * B, B))), acc)
        acc = tile.dot(tile.load(a, ((i * B, B), (k + B, B))), tile.load(b, ((k + B, B), (j * B, B))), acc)
    tile.store(c, ((i * B, B), (j * B, B)), acc)


@Launcher
def unrolled(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.zeros((B, B), tile.f32)
    for k in tile.unroll(3):
        acc = tile.dot(tile.load(a, ((i * B, B), (k * B, B))), tile.load(b, ((k * B, B), (j * B, B))), acc)
    tile.store(c, ((i * B, B), (j * B, B)), acc)


@Launcher
def nested(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.zeros((B, B), tile.f32)
    for r in tile.range(0, K, 32):
        for k in tile.range(r, tile.minimum(r + 32, K), B):
            acc = tile.dot(tile.load(a, ((i * B, B), (k, B))), tile.load(b, ((k, B), (j * B, B))), acc)
    tile.store(c, ((i * B, B), (j * B, B)), acc)


@Launcher
def read_on_the_way(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.zeros((B, B), tile.f32)
    top = tile.zeros((B,), tile.f32)
    for k in tile.range(0, K, B):
        acc = tile.dot(tile.load(a, ((i * B, B), (k, B))), tile.load(b, ((k, B), (j * B, B))), acc)
        top = tile.maximum(top, tile.max(acc, 1))
    tile.store(c, ((i * B, B), (j * B, B)), acc + top[:, None])


@Launcher
def branches(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.zeros((B, B), tile.f32)
    for k in tile.range(0, K, B):
        if k % 32 == 0:
            acc = acc + 2.0 * tile.dot(tile.load(a, ((i * B, B), (k, B))), tile.load(b, ((k, B), (j * B, B))))
        else:
            acc = acc - tile.dot(tile.load(a, ((i * B, B), (k, B))), tile.load(b, ((k, B), (j * B, B))))
    tile.store(c, ((i * B, B), (j * B, B)), acc)


@Launcher
def found_by_a_vector(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.zeros((B, B), tile.f32)
    for k in tile.range(0, K, B):
        x = tile.load(a, ((i * B, B), (k, B)))
        if tile.max(tile.max(tile.cast(x, tile.f32), 1), 0) > 0.0:
            acc = acc + tile.dot(x, tile.load(b, ((k, B), (j * B, B))))
    tile.store(c, ((i * B, B), (j * B, B)), acc)


@Launcher
def product_of_products(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    ab = tile.dot(tile.load(a, ((i * B, B), (0, B))), tile.load(b, ((0, B), (j * B, B))))
    tile.store(c, ((i * B, B), (j * B, B)), tile.dot(ab, ab.T))


@Launcher
def too_many(a: "T[M, K]", b: "T[K, N]", c: "f32[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    x = tile.load(a, ((i * B, B), (0, B)))
    acc = tile.zeros((B, B), tile.f32)
    for n in tile.unroll(4):
        y = tile.cast(tile.load(b, ((n * B, B), (j * B, B))) * 2.0, x.dtype)
        acc = tile.maximum(acc, tile.dot(x, y))
    tile.store(c, ((i * B, B), (j * B, B)), acc)


@Launcher
def converts(a: "T[M, K]", b: "T[K, N]", c: "T[M, N]", *, B: const = 16):
    i, j = tile.grid(tile.cdiv(M, B), tile.cdiv(N, B))
    acc = tile.zeros((B, B), tile.f32)
    for k in tile.range(0, K, B):
        acc = tile.dot(tile.load(a, ((i * B, B), (k, B))), tile.load(b, ((k, B), (j * B, B))), acc)
    tile.store(c, ((i * B, B), (j * B, B)), acc)


SMALL = {"starts_loaded": (starts_loaded, ["cube"], ["C2V"]), "two_in_a_chain": (two_in_a_chain, ["cube"] * 2, []), "unrolled": (unrolled, ["cube"] * 3, []),
         "nested": (nested, ["cube"], ["C2V"]), "read_on_the_way": (read_on_the_way, ["cube"], ["C2V"]),
         "branches": (branches, ["cube"] * 2, ["C2V", "C2V"]), "found_by_a_vector": (found_by_a_vector, [None], []),
         "product_of_products": (product_of_products, ["cube"] * 2, ["C2V", "V2C"]), "too_many": (too_many, ["cube"] * 2 + [None] * 2, ["V2C", "C2V"] * 2)}


def small(name: str, k: int, monkeypatch: pytest.MonkeyPatch, dtype: Any = np.float16) -> Kernel:
    """A small kernel called once, its split form compared with it on numbers that add exactly."""
    found: list[Kernel] = []
    monkeypatch.setattr(Launcher, "run", staticmethod(lambda kernel, arrays, dims: found.append(agrees(kernel, arrays, dims))))
    rng = np.random.default_rng(0)
    a, b, c = (rng.integers(-3, 4, shape).astype(t) for shape, t in (((37, k), dtype), ((k, 21), dtype), ((37, 21), np.float32)))
    SMALL[name][0](a, b, c)
    return found[0]


@pytest.mark.parametrize("k", [48, 0, 17])
@pytest.mark.parametrize("name", SMALL)
def test_small_kernels(name: str, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small(name, k, monkeypatch)
    _, units, ways = SMALL[name]
    assert not k or [op.attr("unit") if op.attr("unit") == "cube" else None for op in dots(made)] == units
    assert not k or [row[1] for row in made.attr("edges", ())] == ways           # the strides of an empty array say nothing
    _paired(made)


def test_a_sum_that_stays_has_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("two_in_a_chain", "unrolled"):
        placed = settle(run(small(name, 48, monkeypatch), ("places",)))
        sums = {op.into[0] for op in dots(placed)}
        assert len(sums) == 1 and not any(op.name == "copy" for op in walk(placed.body))


def test_a_sum_is_converted_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cast is the cube core's, and gone where its ops stand alone: the store takes the sum."""
    found: list[Kernel] = []
    monkeypatch.setattr(Launcher, "run", staticmethod(lambda kernel, arrays, dims: found.append(agrees(kernel, arrays, dims))))
    rng = np.random.default_rng(0)
    converts(*(rng.integers(-3, 4, shape).astype(np.float16) for shape in ((37, 48), (48, 21), (37, 21))))
    assert found[0].attr("cores") == "cube" and [op.attr("unit") for op in walk(found[0].body) if op.name == "cast"] == ["cube"]
    side = project(settle(run(found[0], ("places",))), "cube")
    (store,) = [op for op in walk(side.body) if op.name == "store"]
    assert store.args[1] is dots(side)[0].into[0] and not any(op.name == "cast" for op in walk(side.body))


def test_sums_beyond_l0c_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Launcher, "run", staticmethod(lambda kernel, arrays, dims: divide(prepared(kernel))))
    a, b, c = np.zeros((8, 8), np.float16), np.zeros((8, 8), np.float16), np.zeros((8, 8), np.float32)
    with pytest.raises(DslError, match="262144 bytes of L0C, which has 131072"):
        unrolled(a, b, c, B=256)


def test_slots_follow_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    made = small("starts_loaded", 48, monkeypatch)
    assert {row[2] for row in made.attr("edges")} == {4}
    asked: list[Kernel] = []
    monkeypatch.setattr(Launcher, "run", staticmethod(lambda kernel, arrays, dims: asked.append(
        divide(prepared(kernel.having(schedule=(("workspace", (("slots", 2),)),)))))))
    starts_loaded(np.zeros((8, 8), np.float16), np.zeros((8, 8), np.float16), np.zeros((8, 8), np.float32))
    assert {row[2] for row in asked[0].attr("edges")} == {2}


@pytest.mark.parametrize(("old", "new", "want"), [
    ((4, 6), (24,), [([0, 1], [0])]), ((24,), (4, 6), [([0], [0, 1])]), ((1, 4, 1, 6), (4, 6), [([1], [0]), ([3], [1])]), ((4, 6), (2, 12), [([0, 1], [0, 1])]),
    ((1, 1), (1,), [])])
def test_groups_of_a_reshape(old: tuple[int, ...], new: tuple[int, ...], want: Any) -> None:
    assert groups(old, new) == want
