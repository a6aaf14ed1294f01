"""What each command prints, as text or as data."""
from __future__ import annotations

import json
import os
import platform
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from dslc.backend import Target, backend_of, target_of, targets
from dslc.definition import TileFunction
from dslc.errors import DslError, check
from dslc.ir import Kernel, walk
from dslc.ops import OPS, OpDef
from dslc.ops.table import REQUIRED
from dslc.passes import run as run_passes
from dslc.render import unspelled
from dslc.text import parse, show
from dslc.types import DType

from .artifact import build_artifact
from .cache import shared_cache
from .kernel import as_told
from .ledger import Ledger, roofline
from .library import find_kernel, find_kernels, read_settings, setting_names
from .lowering import compile_entry, render
from .trial import Setup, Trial, compiler_of, counted, lowered_for, setup, spread, threads, try_kernel
from .version import RELEASE

Tell = Callable[[str], None]
BUSY = 0.4               # load average to a thread from which times are called disturbed
_FEATURES = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile",
             "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2", "sme")
_PACKAGES = ("numpy", "ml_dtypes", "cffi", "jinja2", "lark")
_GROUPS = {"a": "Control", "b": "Memory", "c": "Creation", "d": "Operators", "e": "Elementwise", "f": "Conversion", "g": "Dot", "h": "Reductions", "i": "Scans",
           "j": "Shape", "k": "Bits", "l": "Lookup", "m": "Random", "p": "Written by passes"}
_NUMERIC = {"E": "exact: the same bits on all targets", "R": "correctly rounded, hence the same bits on all targets", "B": "within the stated bound"}


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))


def _table(rows: Iterable[Sequence[str]], indent: str = "  ") -> str:
    """Columns as wide as their widest cell, the last one ragged."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max((len(row[n]) for row in cells if n < len(row) - 1), default=0) for n in range(max(map(len, cells), default=0))]
    padded = [[c.ljust(w) for c, w in zip(row[:-1], widths, strict=False)] + row[-1:] for row in cells]
    return "\n".join((indent + "  ".join(row)).rstrip() for row in padded)


def scaled(value: float, unit: str) -> str:
    """Three digits and a prefix: 1536000 "B" is "1.54 MB"; seconds go down to ns."""
    steps = [(1e-9, "n"), (1e-6, "u"), (1e-3, "m"), (1.0, "")] if unit == "s" else [(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")]
    size, prefix = next(((s, p) for s, p in reversed(steps) if abs(value) >= s), steps[0])
    return f"{value / size:.3g} {prefix}{unit}" if value / size < 1000 else f"{value / size:.0f} {prefix}{unit}"


def _word(value: Any) -> str:
    return value.__name__ if isinstance(value, TileFunction) else str(value)


def processor() -> tuple[str, list[str]]:
    """The processor's name, and those of its features that kernels can use."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        text = ""
    fields = dict(re.findall(r"^([^\t:]+?)\s*:\s*(.*)$", text, re.M))
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    return fields.get("model name") or platform.processor() or platform.machine(), [f for f in _FEATURES if f in present]


# ---------------------------------------------------------------- run
def run(a: Namespace, sizes: Mapping[str, int], tell: Tell) -> int:
    """`dslc run`: 0 if the result is right, 1 if not."""
    kernel = find_kernel(a.kernel)
    target = target_of(a.target, a.mode or "late") if a.emulate or a.mode else as_told(a.target)
    s = setup(kernel, read_settings(kernel, a.settings), sizes)
    check(not a.trace or (target.mode and target.backend.trace is not None), f"target {target} records no trace of a run", hint="--emulate, if it can")
    t = try_kernel(kernel, s, target, a.repeat, tell)
    tell("")
    row = compiler_of(target)
    machine = {"processor": processor()[0], "threads": threads(), "target": str(target), "emulated": target.mode, "compiler": row["name"],
               "compiler_version": row["version"], "flags": row.get("flags", ""), "dslc": RELEASE, "numpy": version("numpy")}
    if a.json:
        _print_json({"kernel": kernel.__name__, **_settings(s), "machine": machine, **_figures(t)})
    else:
        print(_run_text(kernel.__name__, t, machine))
    if a.trace and target.backend.trace is not None:
        Path(a.trace).write_text(target.backend.trace(kernel.statistics().get("trace"), Path(a.trace).suffix))
    return 0 if t.right else 1


def _settings(s: Setup) -> dict[str, Any]:
    return {"dtypes": s.dtypes, "numbers": {n: v if isinstance(v, bool | int | float) else _word(v) for n, v in s.numbers.items()},
            "scalars": {n: v for n, v in s.given.items() if isinstance(v, bool | int | float)}}


def _figures(t: Trial) -> dict[str, Any]:
    m = median(t.times)
    if t.emulated:
        return {"right": t.right, "against": t.against, "emulated_s": m, "outputs": [asdict(v) for v in t.verdicts], "operations": t.operations}
    out = {"right": t.right, "against": t.against, "load_before": t.load, "first_call_s": t.first_call, **_summary(t.times),
           "outputs": [asdict(v) for v in t.verdicts],
           "operations": t.operations, "gflops": t.operations / m / 1e9, "compulsory_bytes": t.ledger.compulsory, "gbytes_per_s": t.ledger.compulsory / m / 1e9,
           "limits_measured_here": dict(t.limits), "roofline_s": t.roof.seconds, "bound": t.roof.bound, "fraction_of_roofline": t.roof.seconds / m}
    if t.peer:
        out["peer"] = {"name": t.peer, **_summary(t.peer_times), "ratio": median(t.peer_times) / m}
    return out


def _summary(times: tuple[float, ...]) -> dict[str, Any]:
    return {"median_s": median(times), "min_s": min(times), "spread": spread(times), "calls": len(times)}


def _run_text(name: str, t: Trial, machine: Mapping[str, Any]) -> str:
    s, m, dtype = t.setup, median(t.times), t.ledger.dtype()
    words = [*(f"{n}={d}" for n, d in s.dtypes.items()), *(f"{n}={_word(v)}" for n, v in s.numbers.items()),
             *(f"{n}={v:g}" for n, v in s.given.items() if isinstance(v, int | float))]
    rows = [("on", f"{machine['processor']}, {machine['threads']} thread{'s' if machine['threads'] != 1 else ''}, target {machine['target']}"),
            ("with", f"{machine['compiler_version']}"), ("first call", f"{scaled(t.first_call, 's')}: compile or find in the cache, load, run")]
    rows += [("result", _verdict(v, t.against)) for v in t.verdicts]
    if t.emulated:
        rows[2] = ("emulated", f"{machine['emulated']}, in {scaled(m, 's')} with what had to be compiled, which says nothing of the device")
        return f"{name}  {' '.join(words)}\n{_table(rows)}"
    rows.append(("time", f"{scaled(m, 's')} median of {len(t.times)}, {scaled(min(t.times), 's')} least, +-{100 * spread(t.times):.1f} % between quartiles"))
    rate = f"{t.operations / m / 1e9:.4g} GFLOP/s, " if t.operations else ""
    rows.append(("speed", f"{rate}{t.ledger.compulsory / m / 1e9:.3g} GB/s of arguments read and written once"))
    limit = t.limits.get(dtype)
    known = [*([f"{limit:.4g} GFLOP/s {dtype}"] if limit and t.operations else []), *([f"{t.limits['memory']:.3g} GB/s copy"] if "memory" in t.limits else [])]
    if t.roof.seconds:
        which = "multiply-adds" if t.roof.bound == "compute" else "memory"
        least = f"{scaled(t.roof.seconds, 's')} by {which} ({', '.join(known)}, measured here)"
        rows.append(("roofline", f"{100 * t.roof.seconds / m:.0f} % of the limit, {least}"))
        if not limit and t.operations:
            rows.append(("", f"no limit is known for {dtype} arithmetic, so only memory is compared"))
    if t.load > BUSY * machine["threads"]:
        rows.append(("note", f"other work was running (load {t.load:.1f} on {machine['threads']} threads): an idle machine is faster"))
    if t.peer:
        p = median(t.peer_times)
        rows.append((t.peer, f"{scaled(p, 's')} median of {len(t.peer_times)}, +-{100 * spread(t.peer_times):.1f} %, in turn with ours: {_ratio(p / m)}"))
    return f"{name}  {' '.join(words)}\n{_table(rows)}"


def _ratio(r: float) -> str:
    return f"dslc takes {1 / r:.2f} of its time"


def _verdict(v: Any, against: str) -> str:
    if v.wrong:
        return f"WRONG: {v.wrong} of {v.elements} elements of {v.name}, {v.first}; against {against}"
    exact = "equal" if v.difference == 0 else f"largest error {v.difference:.2g}, {v.part:.2g} of what is allowed"
    return f"right: {v.elements} elements of {v.name}, {exact}; against {against}"


# ---------------------------------------------------------------- build, inspect, opt
def build(a: Namespace, tell: Tell) -> int:
    """`dslc build`."""
    kernel, printed = find_kernel(a.kernel), []
    wanted = {name.replace("_", " ") if name == "front_end" else name for name in a.print_after}

    def observe(name: str, stage: Kernel) -> None:
        tell(f"after {name}")
        if name in wanted:
            printed.append(name)
            print(f"// after {name}\n{show(stage)}", end="")

    data = build_artifact(kernel, a.target, read_settings(kernel, a.settings), Path(a.output), a.save_stages, observe)
    tell("")
    missing = sorted(wanted - set(printed))
    check(not missing, f"there is no stage {', '.join(missing)}", hint=f"stages: {', '.join(dict.fromkeys(data['stages']))}")
    if a.json:
        _print_json(data)
    elif not wanted:
        spec = data["specialisation"]
        words = [f"{n}={v}" for part in ("dtypes", "consts") for n, v in spec[part].items()]
        print(f"{data['kernel']} for {data['target']}: {' '.join(words)}\n" + _table(
            [("folder", a.output), ("files", ", ".join(data["files"])), ("manifest", f"{data['kernel']}.json"), ("compiler", data["compiler"]["version"])]))
    return 0


def inspect(a: Namespace, sizes: Mapping[str, int]) -> int:
    """`dslc inspect`."""
    kernel, target = find_kernel(a.kernel), target_of(a.target)
    s = setup(kernel, read_settings(kernel, a.settings), sizes)
    s, steered, origin, placed = lowered_for(kernel, s, target)
    if a.layout is not None:
        return _draw(target, placed, a.layout, a.output)
    chosen = kernel.chosen(steered, origin)
    counts = counted(s, steered, placed)
    limits = target.backend.peak()
    roof = roofline(counts.flops, counts.compulsory, limits, counts.dtype())
    code, dims = _machine_code(target, placed, origin), steered.binding.dims if steered.binding else {}
    scalars = {n: v for n, v in s.given.items() if not hasattr(v, "dtype")}
    model = target.backend.cost(placed, dims, scalars, target.architecture) if target.backend.cost else None
    if a.json:
        origins = dict(chosen.origins)
        data = [{"path": list(path), "value": _word(v) if isinstance(v, TileFunction | DType) else v, "from": origins.get(path, "")}
                for path, v in chosen.items()]
        _print_json({"kernel": kernel.__name__, "target": str(target), **_settings(s), **counts.as_data(), "limits_measured_here": dict(limits),
                     "compute_s": roof.compute, "memory_s": roof.memory, "bound": roof.bound, "schedule": data, "machine_code": code,
                     "cost": model and model.as_data()})
        return 0
    words = [*(f"{n}={d}" for n, d in s.dtypes.items()), *(f"{n}={_word(v)}" for n, v in s.numbers.items())]
    print(f"{kernel.__name__} for {target}: {' '.join(words)}\n{_table(_ledger_rows(counts))}")
    times = [f"{scaled(x, 's')} by {what}" for x, what in ((roof.compute, "multiply-adds"), (roof.memory, "memory")) if x is not None]
    print(_table([("least time", f"{', '.join(times) or 'unknown'} (limits measured here)")]))
    rows = [(".".join(path), _word(v), f"({dict(chosen.origins).get(path, '')})") for path, v in chosen.items()]
    print(f"schedule\n{_table(rows)}" if rows else "schedule: nothing is said of this kernel, by the program or by the target")
    print(f"machine code\n{code}" if code else "", end="\n" if code else "")
    print(f"cost model\n{model}" if model else "", end="\n" if model else "")
    return 0


def check_kernels(a: Namespace, tell: Tell) -> int:
    """`dslc check`: 1 if a kernel cannot be written for the target, or compiled where the target's compiler is."""
    target, data = target_of(a.target), []
    rows = target.toolchain.report()
    row, absent = next((r for r in rows if r["chosen"]), None), "; ".join(r["reason"] for r in rows if r["reason"])
    kernels = find_kernels(a.kernel)
    for kernel in kernels:
        tell(f"checking {kernel.__name__}")
        words = [w for w in a.settings if len(kernels) == 1 or w.partition("=")[0] in ("present", *setting_names(kernel))]
        outcome, said = ("compiled", f"by {row['version']}") if row else ("skipped", absent)
        try:
            _, _, origin, placed = lowered_for(kernel, setup(kernel, read_settings(kernel, words), {}), target)
            source = render(target.backend, placed)
            if row:
                compile_entry(target.backend, placed, source, origin)
        except DslError as e:
            outcome, said = "FAILED", str(e)
        data.append({"kernel": kernel.__name__, "outcome": outcome, "said": said})
    tell("")
    if a.json:
        _print_json({"target": str(target), "kernels": data})
    else:
        print(_table([(d["kernel"], f"{d['outcome']}{': ' if d['outcome'] != 'compiled' else ' '}{d['said']}") for d in data], ""))
    return int(any(d["outcome"] == "FAILED" for d in data))


def _machine_code(target: Target, placed: Kernel, origin: Kernel) -> str:
    """What the target says of the compiled kernel; why it cannot, where it cannot; nothing if it never does."""
    backend = target.backend
    if backend.inspect is None:
        return ""
    try:
        return backend.inspect(compile_entry(backend, placed, render(backend, placed), origin).path, placed, target.architecture).rstrip()
    except DslError as e:
        return f"  unknown: {e.message}"


def _draw(target: Target, placed: Kernel, tile: str, file: str | None) -> int:
    check(target.backend.draw is not None, f"target {target.backend.name} draws no layouts")
    text = target.backend.draw(placed, tile) if target.backend.draw is not None else None
    names = dict.fromkeys(v.name for op in walk(placed.body) for v in (*op.results, *op.into) if v.tile.shape)
    check(text is not None, f"{placed.name} has no layout to draw of a tile {tile!r}", hint=f"tiles: {', '.join(names)}")
    if file is None:
        print(text)
    else:
        Path(file).write_text(str(text))
    return 0


def _ledger_rows(c: Ledger) -> list[tuple[str, str]]:
    sampled = "" if c.sampled == c.programs else f", {c.sampled} of them counted and averaged"
    rows = [("programs", f"{c.programs}{sampled}")]
    rows += [("operations" if n == 0 else "", f"{scaled(x, '').strip()} {kind}") for n, (kind, x) in enumerate((k, x) for k, x in c.operations.items() if x)]
    rows += [(what, ", ".join(f"{n} {scaled(b, 'B')}" for n, b in moved.items()) or "nothing") for what, moved in (("read", c.read), ("written", c.written))]
    rows += [("traffic", f"{scaled(c.traffic, 'B')} between tensors and tiles, all programs"), ("compulsory", f"{scaled(c.compulsory, 'B')}: each tensor once"),
             ("intensity", f"{c.intensity:.3g} operations to a compulsory byte")]
    rows += [("scratch", ", ".join(f"{s} {scaled(b, 'B')}" for s, b in c.spaces.items()) + " for one program")] if c.spaces else []
    rows += [("conversion", f"{v.tile}, {v.bytes} bytes through shared memory for line {v.line}: from {v.made} to {v.used}") for v in c.conversions]
    return [*rows, *(("note", n) for n in c.notes)]


def opt(a: Namespace) -> int:
    """`dslc opt`."""
    if a.file == "-":
        text = sys.stdin.read()
    else:
        try:
            text = Path(a.file).read_text()
        except OSError as e:
            raise DslError(f"cannot read {a.file}: {e.strerror}", hint="- reads standard input") from None
    extra = dict(backend_of(a.target).own_passes) if a.target else {}
    print(show(run_passes(parse(text, "<stdin>" if a.file == "-" else a.file), a.passes, extra=extra)), end="")
    return 0


# ---------------------------------------------------------------- ops
def ops(a: Namespace) -> int:
    """`dslc ops`."""
    if a.name is not None:
        near = get_close_matches(a.name, OPS, 1)
        check(a.name in OPS, f"there is no op {a.name!r}", hint=f"did you mean {near[0]}?" if near else "dslc ops lists them")
        if a.json:
            _print_json(_op_data(OPS[a.name]))
        else:
            print(_op_text(OPS[a.name]))
        return 0
    rows = [row for name, row in OPS.items() if "." not in name]
    if a.json:
        _print_json([_op_data(row) for row in rows])
    elif a.markdown:
        print(_markdown(rows))
    else:
        print(_table([("op", "class", "signature", "error"), *((r.name, r.numeric, r.signature, r.error) for r in rows)], ""))
    return 0


def _op_data(row: OpDef) -> dict[str, Any]:
    names = ("name", "signature", "error", "rule", "effect", "elementwise", "language", "doc")
    return {**{n: getattr(row, n) for n in names}, "group": _GROUPS.get(row.group, row.group), "class": row.numeric,
            "attributes": {n: "required" if d is REQUIRED else d for n, d in row.attrs}}


def _op_text(row: OpDef) -> str:
    lines = [("signature", row.signature), ("class", f"{row.numeric}, {_NUMERIC[row.numeric]}"), ("error", row.error or "none"), ("promotion", row.rule),
             ("group", _GROUPS.get(row.group, row.group)), ("written as", f"tile.{row.name}" if row.language else "an operator, a statement, or by passes")]
    return f"{row.name}: {row.doc}\n{_table(lines)}"


def _markdown(rows: Sequence[OpDef]) -> str:
    """One table for each group of the language."""
    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    parts = []
    for group, title in _GROUPS.items():
        mine = [r for r in rows if r.group == group]
        lines = [f"| `{cell(r.signature)}` | {r.numeric} | {cell(r.error)} | {cell(' '.join(r.doc.split()))} |" for r in mine]
        parts += [f"### {title}\n\n| signature | class | error | meaning |\n|---|---|---|---|\n" + "\n".join(lines)] if mine else []
    return "\n\n".join(parts)


# ---------------------------------------------------------------- targets, doctor, cache
def targets_known(a: Namespace) -> int:
    """`dslc targets`."""
    data: list[dict[str, Any]] = []
    for name in targets():
        backend = backend_of(name)
        rows = backend.toolchain_for().report()
        chosen = next((r for r in rows if r["chosen"]), None)
        data.append({"name": name, "architectures": list(backend.architectures), "emulated": backend.emulator is not None,
                     "compiler": chosen["version"] if chosen else None, "lacks": sorted(backend.lacks | unspelled(backend)),
                     "devices": list(backend.devices or (backend.name,)), "passes": list(backend.passes)})
    if a.json:
        _print_json(data)
    else:
        print(_table([("target", "architectures", "compiler", "arrays on", "lacks"), *(
            (d["name"], ", ".join(d["architectures"]) or "-", d["compiler"] or f"none{', emulated' * d['emulated']}: see `dslc doctor`",
             ", ".join(d["devices"]), ", ".join(d["lacks"]) or "nothing") for d in data)], ""))
    return 0


def doctor(a: Namespace) -> int:
    """`dslc doctor`: 1 if a target has neither a compiler nor an emulator."""
    name, features = processor()
    compilers = {t: backend_of(t).toolchain_for().report() for t in targets()}
    packages = {p: _version(p) for p in _PACKAGES}
    variables = {n: v for n, v in sorted(os.environ.items()) if n.startswith("DSLC_")}
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    without = [t for t, rows in compilers.items() if not any(r["chosen"] for r in rows) and backend_of(t).emulator is None]
    if a.json:
        _print_json({"dslc": RELEASE, "system": system, "processor": name, "features": features, "threads": threads(), "packages": packages,
                     "compilers": compilers, "cache": shared_cache().info(), "variables": variables})
        return 1 if without else 0
    why = "DSLC_THREADS" if "DSLC_THREADS" in variables else "all that this process may use"
    print(_table([("dslc", f"{RELEASE}, {system}"), ("packages", ", ".join(f"{p} {v or 'MISSING'}" for p, v in packages.items())), ("processor", name),
                  ("features", " ".join(features) or "unknown"), ("threads", f"{threads()} ({why})"), ("cache", _cache_text(shared_cache().info())),
                  *(("variable", f"{n}={v}") for n, v in variables.items())], ""))
    for t, rows in compilers.items():
        print(f"compilers for {t}, in the order looked at: * is used, + would work, - does not")
        print(_table([("*" if r["chosen"] else "+" if r["found"] else "-", r["name"], r["version"] or r["reason"], r["why"] * r["found"]) for r in rows]))
        if t not in without and not any(r["chosen"] for r in rows):
            print("  missing: its compiler; DSLC_EMULATE=1 runs its kernels on this processor")
        elif t in without:
            print("  missing: a C++ compiler; apt-get install g++, or pip install 'dslc[toolchains]', or set DSLC_CXX")
    return 1 if without else 0


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cache_text(info: Mapping[str, Any]) -> str:
    return f"{info['path']}: {info['entries']} builds, {scaled(float(info['bytes']), 'B')}, {'writable' if info['writable'] else 'NOT writable'}"


def cache(a: Namespace) -> int:
    """`dslc cache info` and `dslc cache clear`."""
    here = shared_cache()
    if a.action == "info":
        if a.json:
            _print_json(here.info())
        else:
            print(_cache_text(here.info()))
        return 0
    gone = here.clear()
    if a.json:
        _print_json({"removed_bytes": gone})
    else:
        print(f"removed {scaled(float(gone), 'B')} from {here.root}")
    return 0
