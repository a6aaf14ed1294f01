"""A kernel as a folder that a C program can use: source, headers, library, C header, and a manifest of the interface."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from dslc.definition import TileFunction
from dslc.errors import check
from dslc.ir import Kernel
from dslc.render import FIRST_SITE
from dslc.text import show
from dslc.types import TensorType

from .abi import c_type, fields, launcher
from .kernel import NO_MEMORY, Steered, TileKernel
from .library import example_of
from .lowering import compile_entry, render
from .trial import compiler_of
from .version import RELEASE

Observer = Callable[[str, Kernel], None]


def steered(kernel: TileKernel, target: str, settings: Mapping[str, Any]) -> Steered:
    """What a build takes for granted: the settings, then the library's example; a last dimension without gaps, but no alignment."""
    scalars = [n for n, a in kernel.annotations.items() if a.dims is None]
    wrong = next((n for n in settings if n in scalars), None)
    check(wrong is None, f"{wrong} is a scalar argument of the call, not of the build", hint="it is a member of the argument struct")
    example = example_of(kernel)
    known: dict[str, Any] = {}
    if example is not None:
        consts = [n for n in kernel.definition.consts if n not in kernel.definition.defaults]
        known = {**example.dtypes, **{n: example.sizes[n] for n in consts if n in example.sizes}, **example.consts}
        known |= {"present": example.present} if example.present else {}
    s = kernel.steer(target, (), {**known, **settings})
    return replace(s, spec=replace(s.spec, aligned=frozenset()))


def build_artifact(kernel: TileKernel, target: str, settings: Mapping[str, Any], folder: Path, stages: bool = False,
                   observe: Observer | None = None) -> dict[str, Any]:
    """Write the folder; its manifest as data.  With `stages`, the IR after each stage as NN-name.ir.  DslError if it cannot be built or written."""
    s = steered(kernel, target, settings)
    backend = s.target.backend
    folder.mkdir(parents=True, exist_ok=True)
    seen: list[str] = []

    def note(name: str, stage: Kernel) -> None:
        if stages:
            (folder / f"{len(seen):02}-{name.replace(' ', '-')}.ir").write_text(show(stage))
        seen.append(name)
        if observe is not None:
            observe(name, stage)

    origin, lowered = kernel.lower(s, note)
    rendered = render(backend, lowered)
    entry = compile_entry(backend, lowered, rendered, origin)
    files = []
    for path in sorted(entry.path.iterdir()):
        if path.name == "manifest.json" or path.is_dir():
            continue
        name = f"lib{path.name}" if path.suffix == ".so" else path.name
        shutil.copyfile(path, folder / name)
        files.append(name)
    data = manifest(kernel, s, lowered, entry.data["sites"])
    data["files"] = {name: sha256((folder / name).read_bytes()).hexdigest() for name in sorted(files)}
    data["stages"] = seen
    (folder / f"{lowered.name}.json").write_text(json.dumps(data, indent=2) + "\n")
    return data


def manifest(kernel: TileKernel, s: Steered, lowered: Kernel, sites: list[Any]) -> dict[str, Any]:
    """The interface as data: nothing in it depends on when or where it was made, but for the compiler."""
    name, row, spec, stream = lowered.name, compiler_of(s.target), s.spec, s.target.backend.stream
    return {
        "kernel": name, "doc": (kernel.__doc__ or "").partition("\n")[0], "dslc": RELEASE, "target": str(s.target),
        "compiler": {"name": row["name"], "version": row["version"], "flags": [Path(f).name if f.startswith("/") else f for f in row.get("flags", "").split()]},
        "specialisation": {"dtypes": {n: str(d) for n, d in spec.dtypes}, "consts": {n: _plain(v) for n, v in spec.consts}, "absent": sorted(spec.absent),
                           "unit_stride": {n: list(u) for n, u in spec.units}},
        "function": {"name": launcher(name), "header": f"{name}.h", "returns": "int32_t",
                     "declaration": f"int32_t {launcher(name)}(const struct {name}_arguments *arguments, {stream});",
                     **({"run": "spreads programs over threads; NULL runs all of them on the calling thread"} if " run," in stream else {})},
        "arguments": {"struct": f"{name}_arguments", "members": _members(lowered)},
        "statuses": {"0": "success", str(NO_MEMORY): "no memory for scratch", **{str(FIRST_SITE + n): message for n, (message, _) in enumerate(sites)}},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, TileFunction):
        return value.__name__
    return [_plain(v) for v in value] if isinstance(value, tuple) else value if isinstance(value, bool | int | float | str | None) else str(value)


def _members(kernel: Kernel) -> list[dict[str, Any]]:
    """The struct's members in order: name, C type, and what to put there."""
    types = {p.name: p.type for p in kernel.params}
    rows: list[dict[str, Any]] = []
    for f in fields(kernel):
        t = types.get(f.name)
        if f.kind == "pointer" and isinstance(t, TensorType):
            access = "written" if f.written else "read"
            rows.append({"name": f.name, "type": f"{'' if f.written else 'const '}{c_type(f.dtype)} *", "kind": "pointer", "dtype": str(t.dtype),
                         "dims": list(t.dims), "access": access, "meaning": f"element (0, .., 0) of {f.name}[{', '.join(t.dims)}], {access}"})
        elif f.kind == "strides":
            unit = t.unit if isinstance(t, TensorType) else ()
            note = f"; dimension {unit[0]} must have stride 1" if unit else ""
            rows.append({"name": f"{f.name}_stride", "type": f"int64_t[{max(f.count, 1)}]", "kind": "strides",
                         "meaning": f"strides of {f.name} in elements{note}"})
        elif f.kind == "dim":
            rows.append({"name": f.name, "type": "int64_t", "kind": "dim", "meaning": f"dimension {f.name}, 0 to 2147483647"})
        else:
            rows.append({"name": f.name, "type": c_type(f.dtype), "kind": "scalar", "dtype": str(f.dtype), "meaning": f"scalar {f.name}"})
    return rows
