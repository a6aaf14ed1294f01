"""What a target must say about itself, and where targets are found."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Protocol

from .errors import DslError, check
from .ir import Kernel, Op
from .runtime.deferred import deferred
from .types import DTYPES


class Toolchain(Protocol):
    """How a target's source becomes something that runs."""

    def identity(self) -> str:
        """What the binary depends on beside its source: compiler, version, flags, machine.  Must not run the compiler."""

    def compile(self, folder: Path, name: str) -> str:
        """Compile the rendered files of kernel `name` in `folder`; the file name of the binary.  DslError on failure."""

    def load(self, binary: Path, name: str) -> Callable[[bytes], int]:
        """The loaded launcher: it takes the packed arguments and returns a status, 0 for success."""

    def report(self) -> list[dict[str, Any]]:
        """Which compilers were looked at and why one was chosen, for `dslc doctor`."""


@dataclass(frozen=True)
class Backend:
    """A target, as data.

    types: spelling of every dtype.  passes: names in order, from the value form of the front end to what is rendered.  describe: what the
    macro of a tile op is given.  elementwise and control ops need no description.  lacks: ops with no possible text on this target.
    peak: measured or documented limits of this machine for rooflines, in GFLOP/s by dtype name and GB/s under "memory".
    """

    name: str
    folder: Path
    files: Mapping[str, str]                                # file to write (with {name}) -> template
    header_files: tuple[Path, ...]                          # shipped beside the generated source, as they are
    types: Mapping[str, str]
    passes: tuple[str, ...]
    describe: Callable[[Op, Any], dict[str, Any]]
    toolchain: Toolchain
    frame: Callable[[Kernel, Any], dict[str, Any]]
    own_passes: Mapping[str, Callable[[Kernel], Kernel]] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    devices: tuple[str, ...] = ()
    peak: Callable[[], Mapping[str, float]] = dict
    reserved: frozenset[str] = frozenset()                  # identifiers that generated names must avoid
    macros: tuple[str, ...] = ("ops.j2",)

    def __post_init__(self) -> None:
        missing = sorted(set(DTYPES) - set(self.types))
        if missing:
            raise ValueError(f"backend {self.name} does not spell {', '.join(missing)}")
        if not self.folder.is_dir():
            raise ValueError(f"backend {self.name}: {self.folder} is not a folder")


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


def backend_of(target: str) -> Backend:
    """The backend of "name" or "name:architecture".  DslError, naming the known ones, if there is none."""
    name = target.partition(":")[0]
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
