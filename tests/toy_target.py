"""The toy backend with two architectures, rules for schedules, an emulator that only takes notes, and things to inspect.  Not a test itself."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dslc.backend import Backend, register
from dslc.backends.cpu.library import CppToolchain
from dslc.ir import Kernel, walk
from dslc.schedule import Schedule, schedule_of

NAME = "plain_device"
LAUNCHES: list[tuple[Any, ...]] = []                        # (architecture, ranges, mode, programs) of each emulated launch
LOWERED: list[tuple[str, Schedule]] = []                    # what the target's own pass found in each kernel


class Device(CppToolchain):
    """The C++ compiler in the place of a device's."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture

    def identity(self) -> str:
        return f"{super().identity()} {self.architecture}"

    def report(self) -> list[dict[str, Any]]:
        return [{**row, "version": f"{row['version']} for {self.architecture}"} for row in super().report()]


class Emulator(Device):
    """The same, told where the tensors lie."""

    def load(self, binary: Path, name: str) -> Callable[..., int]:
        launch = super().load(binary, name)

        def emulated(arguments: bytes, ranges: Any, mode: str, programs: Any) -> int:
            LAUNCHES.append((self.architecture, ranges, mode, programs))
            return launch(arguments)
        return emulated


def rules(kernel: Kernel, architecture: str) -> Schedule:
    """Three stages of every loop on the large one; the order of the grid on both."""
    loops = [op.bodies[0].params[0].name for op in walk(kernel.body) if op.name == "for"]
    return Schedule.of(loops={n: {"stages": 3} for n in loops} if architecture == "large" else {}, grid={"order": "columns"})


def note(kernel: Kernel) -> Kernel:
    LOWERED.append((kernel.attr("architecture"), schedule_of(kernel)))
    return kernel


def drawn(kernel: Kernel, tile: str) -> str | None:
    """A drawing that is no drawing."""
    return f"<svg>{tile}</svg>" if any(v.name == tile for op in walk(kernel.body) for v in op.results) else None


@contextmanager
def toy_target() -> Iterator[Backend]:
    """The backend, known while the context lasts; its notes empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent / "toy"))
        plain = importlib.import_module("plain").BACKEND
        sys.modules.pop("plain", None)
    backend = replace(plain, name=NAME, architectures=("large", "small"), toolchain=Device, emulator=Emulator, schedule=rules, devices=("nowhere",),
                      passes=("note", *plain.passes), own_passes={"note": note}, draw=drawn, stream="void *stream",
                      inspect=lambda folder, kernel, architecture: f"  {kernel.name} on {architecture}: {len(list(folder.glob('*.so')))} binary")
    register(backend)
    LAUNCHES.clear()
    LOWERED.clear()
    yield backend
