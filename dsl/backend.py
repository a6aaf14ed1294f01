"""What a target must say about itself, and where targets are found."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Protocol

from .errors import DslError, check
from .ir import Kernel, Op
from .runtime.deferred import deferred
from .schedule import Schedule
from .types import DTYPES


class Toolchain(Protocol):
    """How a target's source becomes something that runs."""

    def identity(self) -> str:
        """What the binary depends on beside its source: compiler, version, flags, machine.  Must not run the compiler."""

    def compile(self, folder: Path, name: str) -> str:
        """Compile the rendered files of kernel `name` in `folder`; the file name of the binary.  DslError on failure."""

    def load(self, binary: Path, name: str) -> Callable[..., int]:
        """The loaded launcher: it takes the packed arguments (an emulator's more, see Backend) and returns a status, 0 for success."""

    def report(self) -> list[dict[str, Any]]:
        """Which compilers were looked at and why one was chosen, for `dslc doctor`."""


@dataclass(frozen=True, eq=False)
class Backend:
    """A target, as data.

    types: spelling of every dtype.  passes: names in order, from the value form of the front end to what is rendered.  describe: what the
    macro of a tile op is given.  elementwise and control ops need no description.  lacks: ops with no possible text on this target.
    peak: measured or documented limits of this machine for rooflines, in GFLOP/s by dtype name and GB/s under "memory".
    architectures: what may follow the colon of "name:architecture", the default first; passes read it as kernel.attr("architecture").
    emulator: for an architecture a toolchain whose loaded launcher also takes the tensors' (name, address, bytes, writable), the mode and the programs.
    schedule: the target's own choices for a kernel in the value form and an architecture; it depends on nothing else.
    control: the text of a "for", "while" or "if" that common macros cannot say, else None.  macro_files: later ones win.
    inspect: what the machine code in a build's folder uses.  draw: a tile's layout as SVG.  stream: the launcher's parameters after the arguments in C.
    cost: what a launch should take by documented rates, for a placed kernel, dims, scalars and an architecture; it has a text and `as_data`.
    trace: what an emulated run recorded, as the text of a file with this suffix.
    """

    name: str
    folder: Path
    files: Mapping[str, str]                                # file to write (with {name}) -> template
    header_files: tuple[Path, ...]                          # shipped beside the generated source, as they are
    types: Mapping[str, str]
    passes: tuple[str, ...]
    describe: Callable[[Op, Any], dict[str, Any]]
    toolchain: Toolchain | Callable[[str], Toolchain]
    frame: Callable[[Kernel, Any], dict[str, Any]]
    own_passes: Mapping[str, Callable[[Kernel], Kernel]] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    devices: tuple[str, ...] = ()
    peak: Callable[[], Mapping[str, float]] = dict
    reserved: frozenset[str] = frozenset()                  # identifiers that generated names must avoid; {name}: the kernel's
    macro_files: tuple[str, ...] = ("common_ops.j2", "ops.j2")
    architectures: tuple[str, ...] = ()
    here: Callable[[], str] = str                           # the architecture of this machine's device, "" where there is none
    emulator: Callable[[str], Toolchain] | None = None
    modes: str = r"late|early|random(:\d+)?"                 # of emulation, a pattern
    schedule: Callable[[Kernel, str], Schedule] | None = None
    control: Callable[[Op, Any], str | None] | None = None
    inspect: Callable[[Path, Kernel, str], str] | None = None
    draw: Callable[[Kernel, str], str | None] | None = None
    cost: Callable[[Kernel, Mapping[str, int], Mapping[str, Any], str], Any] | None = None
    trace: Callable[[Any, str], str] | None = None
    stream: str = "dslc_parallel_for run, int32_t threads"

    def __post_init__(self) -> None:
        missing = sorted(set(DTYPES) - set(self.types))
        if missing:
            raise ValueError(f"backend {self.name} does not spell {', '.join(missing)}")
        if not self.folder.is_dir():
            raise ValueError(f"backend {self.name}: {self.folder} is not a folder")

    def toolchain_for(self, architecture: str = "") -> Toolchain:
        """The toolchain of an architecture, by default the first."""
        made = self.toolchain
        return made(architecture or next(iter(self.architectures), "")) if callable(made) else made


_plugins = deferred("dslc.plugins")


@lru_cache(maxsize=1)
def _own() -> tuple[str, ...]:
    """Targets that are folders of dslc.backends."""
    package = import_module("dslc.backends")
    return tuple(m.name for m in iter_modules(package.__path__) if m.ispkg and (Path(package.__path__[0]) / m.name / "ops.j2").exists() and m.name != "common")


def targets() -> tuple[str, ...]:
    """Names of all targets, without importing them: folders of dslc.backends, and entry points of the group `dslc.backends`."""
    return tuple(sorted({*_own(), *_plugins.plugins()}))


_registered: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Make a backend known that is neither a folder of dslc.backends nor an entry point."""
    _registered[backend.name] = backend


def backend_of(target: str | Target) -> Backend:
    """The backend of "name" or "name:architecture".  DslError, naming the known ones, if there is none."""
    return target_of(target).backend


@dataclass(frozen=True)
class Target:
    """A backend, one of its architectures ("" where it has none), the mode in which it is emulated ("" on the device) and which programs then run."""

    backend: Backend
    architecture: str = ""
    mode: str = ""
    programs: int | tuple[int, ...] | None = None          # so many, spread over the grid, or these; None: all

    def __str__(self) -> str:
        return f"{self.backend.name}:{self.architecture}" if self.architecture else self.backend.name

    @property
    def toolchain(self) -> Toolchain:
        """What compiles and loads for it: the emulator's if it is emulated."""
        if not self.mode:
            return self.backend.toolchain_for(self.architecture)
        check(self.backend.emulator is not None, f"target {self.backend.name} has no emulator")
        assert self.backend.emulator is not None
        return self.backend.emulator(self.architecture)


def target_of(target: str | Target, mode: str = "") -> Target:
    """The target that "name" or "name:architecture" means.  DslError, naming the known ones, for a name or an architecture that is not there."""
    if isinstance(target, Target):
        return target
    name, _, wanted = target.partition(":")
    backend = _find(name)
    known = backend.architectures
    if wanted and wanted not in known:
        near = get_close_matches(wanted, known, 1)
        raise DslError(f"target {name} has no architecture {wanted!r}", hint=(f"did you mean {near[0]}? " if near else "") +
                       (f"known architectures: {', '.join(known)}" if known else f"the target is called {name!r} alone"))
    check(not mode or re.fullmatch(backend.modes, mode), f"there is no mode of emulation {mode!r}", hint=f"of the form {backend.modes}")
    return Target(backend, wanted or (backend.here() if not mode else "") or next(iter(known), ""), mode)


def _find(name: str) -> Backend:
    if name in _registered:
        return _registered[name]
    if name in _own():
        module: ModuleType = import_module(f"dslc.backends.{name}")
    else:
        check(name in _plugins.plugins(), f"no target is called {name!r}", hint=f"known targets: {', '.join((*targets(), *_registered))}")
        module = _plugins.plugins()[name].load()
    found = getattr(module, "BACKEND", None)
    if not isinstance(found, Backend):
        raise DslError(f"{module.__name__} has no BACKEND")
    return found
