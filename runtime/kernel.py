"""The kernel object: checks a call, finds or builds its binary, runs it.  A call like the last one costs microseconds."""
from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
from dslc.backend import Target, backend_of, target_of
from dslc.definition import Definition, Specialisation, define
from dslc.dims import Annotation, dim_names
from dslc.errors import DslError, Loc, check
from dslc.ir import Kernel
from dslc.runtime.deferred import deferred
from dslc.runtime.races import find_race
from dslc.schedule import Schedule, check_handles
from dslc.source import read_source
from dslc.syntax import check_syntax, constant_text, fingerprint
from dslc.types import DTYPES, DType

from .arrays import Array, as_array, overlap, overlaps_itself
from .binding import LINE, Binding, bind, plain_constant
from .binding import scalar as bound_scalar
from .cache import Entry, digest, shared_cache
from .schedules import Rule, choose, file_rules
from .version import VERSION

if TYPE_CHECKING:
    from dslc import interpret as interpreter

    from . import lowering
else:
    lowering, interpreter = deferred("dslc.runtime.lowering"), deferred("dslc.interpret")

NO_MEMORY = 1000         # statuses of a launcher and of the thread pool; those of the kernel's own sites start at FIRST_SITE
FIRST_SITE = 16


@dataclass(frozen=True)
class _Plan:
    """Everything about calls of one shape: the launcher, and where pointers and scalars go in its argument block."""

    launch: Callable[..., int]
    pack: Callable[..., bytes]
    template: tuple[Any, ...]                               # the block's values; pointers and scalars are overwritten
    pointers: tuple[tuple[int, int], ...]                   # (position in the block, argument)
    scalars: tuple[tuple[int, int, str, DType], ...]        # (position, argument, name, dtype)
    apart: tuple[tuple[int, int, int, int, int, int], ...]  # (argument, its first and last byte from the pointer) of one stored to and another
    sites: tuple[tuple[str, Loc | None], ...]
    emulated: Target | None = None
    ranges: tuple[tuple[int, str, int, int, bool], ...] = ()    # (argument, name, first and last byte from the pointer, stored to) of each tensor, if emulated


@dataclass(frozen=True)
class Steered:
    """A call or a build before anything is compiled: for which target, specialised for what, by which schedule (but for the target's own rules)."""

    target: Target
    spec: Specialisation
    schedule: Schedule
    binding: Binding | None = None


class TileKernel:
    """A function of the tile language.  Call it on arrays; look at it with `source`, `ir`, `interpret`; compile it ahead with `build`."""

    def __init__(self, fn: FunctionType) -> None:
        source = read_source(fn)
        check_syntax(source, fn, kernel=True)
        self.definition: Definition = define(fn, source)
        self.__name__, self.__doc__, self.__wrapped__, self.__module__ = fn.__name__, fn.__doc__, fn, fn.__module__
        self._positional = tuple(p.arg for p in source.parameters if p not in source.tree.args.kwonlyargs)
        self._named = frozenset(p.arg for p in source.parameters)
        self._consts = frozenset(self.definition.consts)
        self._arguments = tuple(p.arg for p in source.parameters if p.arg not in self._consts)
        self._mixed = self._arguments != self._positional       # constants by position, or arrays by name only: every call is put in order
        for word, what in (("target", "names the backend"), ("schedule", "says where and when")):
            check(word not in self._named, f"a parameter cannot be called '{word}'", source.loc(source.tree), hint=f"{word}= of a call {what}")
        self._plans: dict[Any, _Plan] = {}
        self.rules: list[Rule] = []

    def __repr__(self) -> str:
        return f"tile_kernel {self.__name__}"

    def add_rule(self, rule: Rule) -> None:
        """Have a schedule considered from the next call on; `dslc.schedule` makes it."""
        self.rules.append(rule)
        self._plans.clear()

    # ------------------------------------------------------------ calling
    def __call__(self, *args: Any, target: str | Target | None = None, schedule: Schedule | Mapping[str, Any] | None = None, **named: Any) -> None:
        """Run over the whole grid.  Arrays: numpy, or anything with DLPack or an array interface, without copies.

        `target` names a backend, or one of its architectures after a colon; else DSLC_TARGET, else the device the arrays are on.  `schedule`
        (a Schedule, or its parts in a dict) goes before those of DSLC_SCHEDULES and those registered.  With DSLC_EMULATE a target that has an
        emulator runs there.  DslError before anything runs if an argument does not fit; after it for what only data can show (a scatter that
        names an element twice).
        """
        if self._mixed or (named and not named.keys() <= self._consts):
            args, named = self._in_order(args, named)
        values = [as_array(v) if type(v) is np.ndarray and v.ndim else v if type(v) is Array else _view(v) for v in args]
        said = schedule = None if schedule is None else _as_schedule(schedule)
        key = (target, said and (said, str(said)), *_environment_says(), *[_kind(v) for v in values],
               *([(n, v, repr(v)) for n, v in named.items()] if named else ()))
        try:
            plan = self._plans.get(key)
        except TypeError:                                       # a constant that cannot be hashed: `bind` will refuse it
            plan, key = None, ()
        if plan is None:
            plan = self._plan(args, named, target, schedule, key)
        block = list(plan.template)
        for at, n in plan.pointers:
            block[at] = values[n].pointer
        for at, n, name, dtype in plan.scalars:
            block[at] = _scalar(name, dtype, values[n])
        for w, low, high, n, below, above in plan.apart:
            mine, other = values[w], values[n]
            if mine[0] + low < other[0] + above and other[0] + below < mine[0] + high and overlap(mine, other):
                raise DslError(f"{self.__name__}: {self._arguments[w]} is written and overlaps {self._arguments[n]}", hint="pass a copy of one of them")
        status = plan.launch(plan.pack(*block)) if plan.emulated is None else _emulated(plan, plan.pack(*block), values)
        if status:
            raise self._failure(status, plan)

    def _failure(self, status: int, plan: _Plan) -> DslError:
        if status == NO_MEMORY:
            return DslError(f"{self.__name__}: there is no memory for the scratch of its threads", hint="smaller tiles, or DSLC_THREADS=1")
        if not 0 <= status - FIRST_SITE < len(plan.sites):
            return DslError(f"{self.__name__}: the launch failed with status {status}")
        message, loc = plan.sites[status - FIRST_SITE]
        return DslError(message, loc)

    # ------------------------------------------------------------ a call of a new shape
    def _given(self, args: tuple[Any, ...], named: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
        """Values by parameter name; `order` names the parameters that `args` are for."""
        if len(args) > len(order):
            hint = f"{self.__name__}({', '.join(order)}); constants are named"
            raise DslError(f"{self.__name__} takes {len(order)} arguments, {len(args)} were given", hint=hint)
        given = dict(zip(order, args, strict=False))
        if not named.keys() <= self._named or not named.keys().isdisjoint(given):
            wrong = next(n for n in named if n in given or n not in self._named)
            check(wrong in self._named, f"{self.__name__} has no parameter {wrong!r}", hint=", ".join(sorted(self._named)))
            raise DslError(f"{self.__name__}: {wrong} is given twice")
        return {**given, **named}

    def _bind(self, given: dict[str, Any], target: Callable[[Mapping[str, Array]], Target], schedule: Schedule | None) -> Steered:
        """A call's arguments, checked against the signature, and how it is steered."""
        self._read_annotations()
        chosen: list[Any] = []

        def advise(arrays: Mapping[str, Array], values: Mapping[str, Any]) -> Mapping[str, Any]:
            to = target(arrays)
            chosen.extend((to, self._schedule(to, schedule, values, given)))
            return dict(chosen[1].consts)

        b = bind(self.definition, {**self.definition.defaults, **given}, lambda name, v: _read(name, v), advise)
        return Steered(chosen[0], b.spec, chosen[1], b)

    def _schedule(self, target: Target, own: Schedule | None, values: Mapping[str, Any], given: Mapping[str, Any]) -> Schedule:
        """The call's own schedule, then what file and rules say where it says nothing; without constants that were given."""
        if own is None and not self.rules and not os.environ.get("DSLC_SCHEDULES"):
            return Schedule()
        names = [*self.definition.consts, *(n for a in self.annotations.values() for n in (a.variable, *(m for d in a.dims or () for m in dim_names(d))) if n)]
        values = {**{n: v for n, v in {**self.definition.defaults, **given}.items() if n in self._consts}, **values}
        found = choose((file_rules(self.__name__, f"{self.__module__}:{self.__name__}"), self.rules), target, dict.fromkeys(names), values)
        found = found if own is None else own.over(found)
        return replace(found, consts=tuple(row for row in found.consts if row[0] not in given))

    def _plan(self, args: tuple[Any, ...], named: dict[str, Any], target: str | Target | None, schedule: Schedule | None, key: Any) -> _Plan:
        try:
            s = self._bind(self._given(args, named, self._arguments), lambda arrays: self._target(arrays, target), schedule)
        except DslError as e:
            raise DslError(f"{self.__name__}: {e.message}", e.loc, hint=e.hint) from None
        assert s.binding is not None
        plan = self._make_plan(s.target, self._entry(s, s.binding), s.binding, len(args))
        if key:
            self._plans[key] = plan
        return plan

    def _in_order(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that are no constants, in the signature's order, and the constants by name."""
        given = self._given(args, named, self._positional)
        with_defaults = {**self.definition.defaults, **given}
        return tuple(with_defaults.get(n) for n in self._arguments), {n: given[n] for n in self.definition.consts if n in given}

    def _target(self, arrays: Mapping[str, Array], target: str | Target | None) -> Target:
        devices = {x.device.partition(":")[0] for x in arrays.values()}
        check(len(devices) <= 1, f"arrays are on different devices: {', '.join(sorted(devices))}")
        device = next(iter(devices), "cpu")
        found = as_told(target or os.environ.get("DSLC_TARGET") or device)
        backend = found.backend
        reached = ("cpu",) if found.mode else backend.devices or (backend.name,)
        wrong = next((n for n, x in arrays.items() if x.device.partition(":")[0] not in reached), None)
        check(wrong is None, f"{wrong} is on {device}, and target {backend.name} cannot reach it there",
              hint="DSLC_EMULATE=1 emulates it" if backend.emulator is not None and device == "cpu" else "")
        return found

    def _entry(self, s: Steered, b: Binding) -> Entry:
        """The compiled kernel for a call: by its specialisation if it was ever built, else by content, else built now."""
        cache, family = shared_cache(), self._key(s, b.spec)
        wanted = cache.recall("wanted", family)
        if wanted is not None:
            facts = tuple((d, n) for d, n in wanted)
            spec = replace(b.spec, facts=facts) if facts and all(b.holds(d, n) for d, n in facts) else b.spec
            entry = cache.alias(self._key(s, spec))
            if entry is not None:
                return entry
        spec, kernel = lowering.specialised(self.definition, b.spec, b.holds)
        cache.remember("wanted", family, [list(f) for f in lowering.wanted_facts(kernel) or spec.facts])
        lowered, backend = self._lowered(kernel, s), s.target.backend
        entry = lowering.compile_entry(backend, lowered, lowering.render(backend, lowered), kernel, s.target.mode)
        cache.set_alias(self._key(s, spec), entry.key)
        return entry

    def _lowered(self, kernel: Kernel, s: Steered, observe: Callable[[str, Kernel], None] | None = None) -> Kernel:
        check_handles(s.schedule, kernel, self.definition)
        return lowering.lower(kernel, s.target.backend, observe, architecture=s.target.architecture, schedule=s.schedule)

    def _key(self, s: Steered, spec: Specialisation) -> str:
        consts = [f"{n}={constant_text(v)}" for n, v in spec.consts]
        parts = [f"{v}={d}" for v, d in spec.dtypes], sorted(spec.absent), spec.units, sorted(spec.aligned), spec.facts
        steering = str(s.target), "emulated" if s.target.mode else "", str(s.schedule)
        return digest(VERSION, *steering, s.target.toolchain.identity(), self._fingerprint(), repr(consts), repr(parts))

    def _fingerprint(self) -> str:
        return fingerprint(self.definition.fn, self.definition.source)

    def _make_plan(self, target: Target, entry: Entry, b: Binding, given: int) -> _Plan:
        data = entry.data
        race = find_race(data["accesses"], b.dims, {n: b.extents[n] for n in b.arrays})
        check(race is None, race[0] if race else "", Loc(*race[1]) if race and race[1] else None, hint="give each program its own elements, or use atomics")
        launch = target.toolchain.load(entry.path / data["binary"], data["name"])
        order = {n: i for i, n in enumerate(self._arguments)}
        template: list[Any] = []
        pointers, scalars = [], []
        for kind, name, dtype, _count in data["members"]:
            if kind == "pointer":
                pointers.append((len(template), order[name]))
                template.append(b.arrays[name].pointer)
            elif kind == "strides":
                template += b.arrays[name].strides
            elif kind == "dim":
                template.append(b.dims[name])
            else:
                if order[name] < given:
                    scalars.append((len(template), order[name], name, DTYPES[dtype]))
                template.append(b.scalars[name])
        for n in data["written"]:
            x = b.arrays[n]
            check(x.writable, f"{self.__name__}: {n} is written, and {x.note or 'the array is read-only'}", hint="pass a writable array")
            check(not overlaps_itself(x), f"{self.__name__}: {n} is written and overlaps itself", hint="pass a copy")
        spans = {order[n]: _reach(x) for n, x in b.arrays.items()}
        apart = [(w, *spans[w], n, *spans[n]) for w in (order[n] for n in data["written"]) for n in spans if n != w]
        sites = tuple((m, Loc(*loc) if loc else None) for m, loc in data["sites"])
        plan = _Plan(launch, struct.Struct(data["format"]).pack, tuple(template), tuple(pointers), tuple(scalars), tuple(apart), sites)
        ranges = tuple((order[n], n, *_reach(x), n in data["written"]) for n, x in b.arrays.items())
        return replace(plan, emulated=target, ranges=ranges) if target.mode else plan

    def _read_annotations(self) -> None:
        """Annotations as data: from the cache, or by the parser, which then remembers them."""
        if self.definition.annotations or not self.definition.texts:
            return
        key = digest(VERSION, *(part for row in self.definition.texts.items() for part in row))
        cache = shared_cache()
        known = cache.recall("annotations", key)
        if known is not None:
            self.definition.annotations = {n: Annotation.from_json(a) for n, a in known}
            return
        lowering.read_annotations(self.definition)
        cache.remember("annotations", key, [[n, a.to_json()] for n, a in self.definition.annotations.items()])

    # ------------------------------------------------------------ looking
    def statistics(self) -> dict[str, Any]:
        """What the last emulated call of a new shape counted, with its trace where the emulator records one; nothing where none was emulated."""
        launch = next((p.launch for p in reversed(self._plans.values()) if p.emulated is not None), None)
        return {**getattr(launch, "statistics", {}), "trace": getattr(launch, "trace", None)} if launch is not None else {}

    @property
    def annotations(self) -> dict[str, Annotation]:
        """What the signature says, by parameter; constants have no entry."""
        self._read_annotations()
        return self.definition.annotations

    def specialise(self, *arrays: Any, **named: Any) -> Specialisation:
        """What a call would be specialised for.  Without arrays: dtype variables by name (T=tile.f32) and every constant that has no default.

        Then dense arrays, 16-byte aligned, are taken for granted, optional tensors are absent unless `present=("name", ..)`.
        """
        return self.steer("cpu", arrays, named).spec

    def steer(self, target: str | Target, arrays: tuple[Any, ...], named: dict[str, Any], schedule: Any = None) -> Steered:
        """How a call, or without arrays a build, is steered; the arrays may be anywhere."""
        own, to, named = None if schedule is None else _as_schedule(schedule), target_of(target), dict(named)
        if arrays or not named.keys().isdisjoint(self._arguments):
            return self._bind(self._given(arrays, named, self._positional), lambda _: to, own)
        self._read_annotations()
        present = named.pop("present", ())
        dtypes = {n: named.pop(n) for n in list(named) if n not in self._named}
        dtypes = {n: DTYPES[d] if isinstance(d, str) else d for n, d in dtypes.items()}
        chosen = self._schedule(to, own, dtypes, named)
        given = {**self.definition.defaults, **dict(chosen.consts), **named}
        consts = {n: plain_constant(n, given.get(n)) for n in self.definition.consts}
        missing = next((n for n in self.definition.consts if n not in given), None)
        check(missing is None, f"constant {missing} is missing", hint=f"give {missing}=..")
        here = self.definition.annotations
        unbound = next((a.variable for a in here.values() if a.variable and a.variable not in dtypes), None)
        check(unbound is None, f"dtype {unbound} is not given", hint=f"{unbound}=f32")
        absent = frozenset(n for n, a in here.items() if a.optional and n not in present)
        tensors = [(n, len(a.dims)) for n, a in here.items() if a.dims is not None and n not in absent]
        units, aligned = tuple((n, (r - 1,)) for n, r in tensors), frozenset(n for n, _ in tensors)
        return Steered(to, Specialisation(tuple(consts.items()), tuple(dtypes.items()), absent, units, aligned), chosen)

    def lower(self, s: Steered, observe: Callable[[str, Kernel], None] | None = None) -> tuple[Kernel, Kernel]:
        """The kernel in the value form, and in the placed form of the target."""
        kernel = lowering.value_form(self.definition, s.spec)
        return kernel, self._lowered(kernel, s, observe)

    def schedule(self, target: str, *arrays: Any, **named: Any) -> Schedule:
        """The schedule that a call would have, that of the target's own rules where nothing else was said; `origins` tells where each value is from."""
        s = self.steer(target, arrays, named)
        kernel = lowering.value_form(self.definition, s.spec)
        check_handles(s.schedule, kernel, self.definition)
        return self.chosen(s, kernel)

    def chosen(self, s: Steered, kernel: Kernel) -> Schedule:
        """What `s` says, with the target's own choices for its value form."""
        return lowering.settled(kernel, s.target, s.schedule)

    def ir(self, stage: str = "front end", *arrays: Any, target: str = "cpu", schedule: Any = None, **named: Any) -> Kernel:
        """The IR after a stage: "front end", or the last run of a pass of the target.  DslError if there is no such stage."""
        stages: dict[str, Kernel] = {}
        self.lower(self.steer(target, arrays, named, schedule), stages.__setitem__)
        check(stage in stages, f"there is no stage {stage!r}", hint=", ".join(stages))
        return stages[stage]

    def source(self, target: str = "cpu", *arrays: Any, schedule: Any = None, **named: Any) -> str:
        """The main source file for a target."""
        _, kernel = self.lower(self.steer(target, arrays, named, schedule))
        files: dict[str, str] = lowering.render(backend_of(target), kernel).files
        return next(iter(files.values()))

    def build(self, target: str = "cpu", *arrays: Any, schedule: Any = None, **named: Any) -> Path:
        """The folder with source, headers, library and manifest, in the cache."""
        origin, kernel = self.lower(self.steer(target, arrays, named, schedule))
        return lowering.compile_entry(backend_of(target), kernel, lowering.render(backend_of(target), kernel), origin).path

    def emulate(self, *arrays: Any, target: str | None = None, mode: str = "late", programs: int | Iterable[int] | None = None, **named: Any) -> None:
        """Run the very source of `target` (else DSLC_TARGET) on this machine's processor, checked for races, bounds and deadlock; arrays on the host.

        `mode` says when asynchronous work happens: "late", "early" or "random:SEED".  `programs`: so many, spread over the grid, or these; by default all.
        """
        text = target or os.environ.get("DSLC_TARGET")
        check(text, f"{self.__name__}: emulate needs a target", hint="target=, or DSLC_TARGET")
        found = replace(target_of(str(text), mode), programs=programs if programs is None or isinstance(programs, int) else tuple(programs))
        self(*arrays, target=found, **named)

    def interpret(self, *args: Any, placed: bool = False, target: str = "cpu", order: str = "forward", seed: int = 0, **named: Any) -> None:
        """Run in numpy, as the definition of the IR says: the value form, or with `placed` what `target` would render.

        Programs run in `order` ("forward", "reverse", "shuffle" by `seed`); each written element must have one owner.
        """
        s = self._bind(self._given(args, named, self._positional), lambda _: target_of(target), None)
        b = s.binding
        assert b is not None
        kernel = self.lower(s)[1] if placed else lowering.value_form(self.definition, s.spec)
        arrays = {n: _numpy(x) for n, x in b.arrays.items()}
        for p in kernel.params:
            if p.name in b.scalars:
                arrays[p.name] = _from_bits(b.scalars[p.name], p.tile.dtype)
        interpreter.interpret(kernel, arrays, b.dims, order=order, seed=seed)


_environment: Any = vars(os.environ).get("_data")           # reading this costs a twentieth of os.environ.get


def _environment_says() -> tuple[Any, Any, Any]:
    """What steers a call from outside."""
    if type(_environment) is dict:
        return _environment.get(b"DSLC_TARGET"), _environment.get(b"DSLC_EMULATE"), _environment.get(b"DSLC_SCHEDULES")
    return os.environ.get("DSLC_TARGET"), os.environ.get("DSLC_EMULATE"), os.environ.get("DSLC_SCHEDULES")


def as_told(target: str | Target) -> Target:
    """The target; where DSLC_EMULATE is set, a name that has an emulator means the emulated one."""
    found, mode = target_of(target), os.environ.get("DSLC_EMULATE", "")
    if isinstance(target, Target) or mode in ("", "0") or found.backend.emulator is None:
        return found
    return target_of(target, "late" if mode == "1" else mode)


def _as_schedule(given: Schedule | Mapping[str, Any]) -> Schedule:
    check(isinstance(given, Schedule | Mapping), f"schedule must be a Schedule or a dict of its parts, got {given!r}")
    return given if isinstance(given, Schedule) else Schedule.of(given, "the call")


def _emulated(plan: _Plan, arguments: bytes, values: Sequence[Any]) -> int:
    """The status of an emulated launch, which is told where the tensors lie."""
    assert plan.emulated is not None
    ranges = [(name, values[n].pointer + low, high - low, written) for n, name, low, high, written in plan.ranges]
    return plan.launch(arguments, ranges, plan.emulated.mode, plan.emulated.programs)


def _view(value: Any) -> Any:
    """Whatever can be one as an Array; what cannot, scalars among it, as it is."""
    if type(value) in _SCALARS or getattr(value, "ndim", 1) == 0:
        return value
    try:
        return as_array(value)
    except DslError:                # of an argument that should be an array, `bind` will say the same
        return value


_SCALARS = (int, float, bool, type(None))


def _kind(value: Any) -> Any:
    """What of an argument a plan depends on: of an array dtype, shape, strides, rights, device and alignment, of a scalar its type."""
    if type(value) is Array:
        return value[1:7] if value[0] % LINE == 0 else (value[1:7], "unaligned")
    return value if value is None else type(value)


def _read(name: str, value: Any) -> Array | None:
    if isinstance(value, int | float | bool | str | DType):
        return None
    try:
        return as_array(value)
    except DslError as e:
        raise DslError(f"{name}: {e.message}", hint=e.hint) from None


def _scalar(name: str, dtype: DType, value: Any) -> Any:
    if type(value) is float and dtype.kind == "f" and (dtype.bits == 64 or (dtype.bits == 32 and -3e38 < value < 3e38)):
        return value                # the argument block rounds
    if type(value) is int and dtype.kind == "i" and dtype.lo <= value <= dtype.hi:
        return value
    return bound_scalar(name, dtype, value)


def _reach(x: Array) -> tuple[int, int]:
    """The first byte of the array's elements and the one after the last, from the pointer on."""
    if 0 in x.shape:
        return 0, 0
    ends = [(n - 1) * s * x.itemsize for n, s in zip(x.shape, x.strides, strict=True)]
    return sum(e for e in ends if e < 0), sum(e for e in ends if e > 0) + x.itemsize


def _numpy(x: Array) -> np.ndarray[Any, Any]:
    """The array as numpy sees it, without a copy."""
    if isinstance(x.owner, np.ndarray):
        return x.owner
    storage = DTYPES[x.dtype].numpy
    strides = tuple(s * x.itemsize for s in x.strides)
    interface = {"version": 3, "data": (x.pointer, not x.writable), "shape": x.shape, "strides": strides, "typestr": f"|V{x.itemsize}"}
    return np.asarray(_Interface(interface, x.owner)).view(storage)


class _Interface:
    def __init__(self, interface: dict[str, Any], owner: object) -> None:
        self.__array_interface__, self.owner = interface, owner


def _from_bits(value: Any, dtype: DType) -> Any:
    return value if dtype.kind != "f" or dtype.bits >= 32 else np.asarray(value, f"u{dtype.bytes}").view(dtype.numpy)[()]
