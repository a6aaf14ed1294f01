"""From a definition to a binary: front end, passes, source, compiler, each stage by name.  Imported only when something is compiled."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dslc.annotations import read_annotations as parse_annotations
from dslc.backend import Backend, Target
from dslc.definition import Definition, Specialisation
from dslc.errors import DslError, check
from dslc.frontend import build
from dslc.ir import Kernel
from dslc.passes import run
from dslc.render import Scope, environment, tidy
from dslc.runtime.abi import fields, pack_format, written
from dslc.runtime.races import accesses
from dslc.schedule import Schedule
from dslc.types import TensorType
from dslc.verify import verify

from .cache import Entry, digest, shared_cache
from .version import VERSION

Observer = Callable[[str, Kernel], None]


def read_annotations(definition: Definition) -> None:
    """Fill the definition's annotations, with the parser."""
    definition.annotations = parse_annotations(definition)


def value_form(definition: Definition, spec: Specialisation) -> Kernel:
    """The kernel as the front end makes it, verified."""
    kernel = build(definition, spec)
    verify(kernel, after="the front end")
    return kernel


def lower(kernel: Kernel, backend: Backend, observe: Observer | None = None, *, architecture: str = "", schedule: Schedule | None = None) -> Kernel:
    """The kernel in the form that the backend renders.  Passes read attributes "architecture" and, through `schedule_of`, "schedule".

    The schedule, or none, stands before what the target itself would choose for the kernel.
    """
    architecture = architecture or next(iter(backend.architectures), "")
    chosen = settled(kernel, Target(backend, architecture), schedule or Schedule())
    kernel = kernel.having(architecture=architecture or None, schedule=chosen.rows() or None)
    if observe is not None:
        observe("front end", kernel)
    return run(kernel, backend.passes, extra=dict(backend.own_passes), observe=observe)


def settled(kernel: Kernel, target: Target, schedule: Schedule) -> Schedule:
    """The schedule with the target's own choice for this value form wherever it says nothing."""
    own = target.backend.schedule
    return schedule if own is None else schedule.over(own(kernel, target.architecture), f"the rules of {target.backend.name}")


@dataclass(frozen=True)
class Rendered:
    """Source files by name, and what a caller must know: see `describe_call`."""

    files: dict[str, str]
    call: dict[str, Any]


def render(backend: Backend, kernel: Kernel) -> Rendered:
    """The source of a lowered kernel, and the data its caller needs.  DslError for an op the target cannot say."""
    scope = Scope(backend, kernel)
    context = backend.frame(kernel, scope)
    env = environment(backend.folder)
    files = {file.format(name=kernel.name): tidy(env.get_template(template).render(**context)) for file, template in backend.files.items()}
    taken = sorted(files.keys() & {path.name for path in backend.header_files})
    check(not taken, f"a kernel called {kernel.name} would overwrite the header {', '.join(taken)} of target {backend.name}", kernel.loc, hint="rename it")
    return Rendered(files, describe_call(kernel, scope.sites))


def describe_call(kernel: Kernel, sites: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What fills the argument block and explains a status, as JSON: members in order, struct format, sites, wanted facts."""
    members = fields(kernel)
    return {"name": kernel.name, "format": pack_format(members), "members": [[f.kind, f.name, str(f.dtype) if f.dtype else None, f.count] for f in members],
            "written": sorted(v.name for v in written(kernel)),
            "sites": [[message, [loc.file, loc.line, loc.column, loc.end_column, loc.text] if loc else None] for message, loc in sites],
            "wanted": [list(f) for f in kernel.attr("wanted", ())], "tensors": [p.name for p in kernel.params if isinstance(p.type, TensorType)]}


def compile_entry(backend: Backend, kernel: Kernel, rendered: Rendered, origin: Kernel, mode: str = "") -> Entry:
    """The compiled kernel in the cache: found by content (source, headers, compiler, flags, machine, target, version), or built.

    `origin` is its value form, from which races are told.  With a `mode` it is compiled for the emulator, once for all modes.
    """
    target = Target(backend, kernel.attr("architecture", ""), mode)
    toolchain = target.toolchain
    sources = [part for name, text in sorted(rendered.files.items()) for part in (name, text)]
    headers = [path.read_text() for path in backend.header_files]
    key = digest("kernel", VERSION, str(target), "emulated" if mode else "", toolchain.identity(), *sources, "headers", *headers)

    def produce(folder: Path) -> dict[str, Any]:
        for name, text in rendered.files.items():
            (folder / name).write_text(text)
        try:
            binary = toolchain.compile(folder, kernel.name)
        except DslError as e:
            raise e.located(kernel.loc) from None
        return {**rendered.call, "binary": binary, "accesses": accesses(origin)}

    cache = shared_cache()
    return cache.get(key) or cache.build(key, produce)


def specialised(definition: Definition, spec: Specialisation, holds: Callable[[str, int], bool]) -> tuple[Specialisation, Kernel]:
    """The specialisation with every wanted fact, if the call meets all of them, and its value form."""
    kernel = value_form(definition, spec)
    wanted = wanted_facts(kernel)
    if not wanted or not all(holds(dim, n) for dim, n in wanted):
        return spec, kernel
    spec = replace(spec, facts=wanted)
    return spec, replace(kernel, facts=wanted)


def wanted_facts(kernel: Kernel) -> tuple[tuple[str, int], ...]:
    """Divisibilities that would remove guards."""
    prepared = run(kernel, ("fold", "simplify", "cse", "dce", "intervals"))
    return tuple((str(d), int(n)) for d, n in prepared.attr("wanted", ()))
