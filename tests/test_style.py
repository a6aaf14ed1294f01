"""House rules that a machine can check: sizes, order of imports, names, what templates may say, what is shipped."""
from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tokenize
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"dslc": "dsl", "dslc.backends": "backends", "dslc.kernels": "kernels", "dslc.runtime": "runtime", "dslc.bench": "bench"}  # as in setup.py
LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
FILES = sorted(p for folder in FOLDERS.values() for p in (ROOT / folder).rglob("*.py"))
TEMPLATES = sorted((ROOT / "backends").rglob("*.j2"))
IDS = [str(p.relative_to(ROOT)) for p in FILES]
# A template substitutes, loops over what it is given and chooses between texts; it computes nothing and remembers nothing.
FORBIDDEN = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow, nodes.Neg, nodes.Pos, nodes.Assign, nodes.AssignBlock,
             nodes.CallBlock)


def lines_of_code(path: Path) -> int:
    """Lines that hold a token, but for comments and docstrings."""
    text = path.read_text()
    docstrings = {n for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef,
                                                                               ast.AsyncFunctionDef)) and ast.get_docstring(node)
                  for n in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}
    with path.open() as file:
        tokens = [t for t in tokenize.generate_tokens(file.readline) if t.type not in LAYOUT]
    return len({n for t in tokens for n in range(t.start[0], t.end[0] + 1)} - docstrings)


@pytest.mark.parametrize(("folder", "limit"), [("dsl", 5000), ("runtime", 2500)])
def test_folders_stay_small(folder: str, limit: int) -> None:
    sizes = {str(p.relative_to(ROOT)): lines_of_code(p) for p in (ROOT / folder).rglob("*.py")}
    assert sum(sizes.values()) <= limit, sorted(sizes.items(), key=lambda row: -row[1])[:8]


def test_lines_of_code_are_counted_rightly(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text('"""Module.\n\nMore."""\n\nx = """a\nb"""  # two lines\n\n\ndef f():\n    """Doc."""\n    # comment\n    return (1,\n            2)\n')
    assert lines_of_code(path) == 5


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_file(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 600, "no file over 600 lines"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is longer than 60 lines"
            inside = [n for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom))]
            assert not inside, f"{node.name} imports inside"
    assert not text or ast.get_docstring(tree), "a module says in one sentence what it is"


def targets() -> list[str]:
    return sorted(p.parent.name for p in (ROOT / "backends").glob("*/ops.j2") if p.parent.name != "common")


def test_dsl_knows_no_target() -> None:
    names = {*targets(), "cuda", "nvcc", "hip", "ascend", "nvidia", "amdgcn"} - {"cpu"}
    for path in sorted(p for p in (ROOT / "dsl").rglob("*") if p.suffix in (".py", ".lark")):
        words = set(re.findall(r"[a-z0-9]+", path.read_text().lower()))
        assert not words & names, f"{path} names {words & names}"
        if path.name not in ("cli.py",):
            assert "cpu" not in words, f"{path} names the target cpu"


@pytest.mark.parametrize("pattern", ["utils", "util", "helpers", "helper", "misc", "manager"])
def test_names(pattern: str) -> None:
    everything = [p.relative_to(ROOT) for folder in (*FOLDERS.values(), "tests") for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".j2",
        ".h", ".c", ".cpp")]
    assert not [p for p in everything if pattern in p.stem.lower().split("_")]


# ---------------------------------------------------------------- imports
def top_level_imports(path: Path, module: str) -> Iterator[str]:
    """Modules of this package that a file imports when it is imported, by full name."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "dslc")
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package.split(".")[:len(package.split(".")) - node.level + 1]]) if node.level else ""
            name = ".".join(filter(None, [base, node.module or ""]))
            if name.split(".")[0] == "dslc":
                yield from (f"{name}.{a.name}" for a in node.names)


def graph() -> dict[str, set[str]]:
    """Who imports whom: modules of the whole package."""
    modules = {}
    for package, folder in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            modules[".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])] = path

    def known(name: str) -> str:
        while name not in modules:
            name = name.rpartition(".")[0]
        return name
    return {m: {known(n) for n in top_level_imports(path, m)} - {m} for m, path in modules.items()}


def layer(module: str) -> str:
    """dslc is the root of the folder dsl, and of nothing else."""
    return next((name for name in sorted(FOLDERS, key=len, reverse=True) if module == name or module.startswith(name + ".")), "")


def test_imports_have_no_cycles() -> None:
    edges, state = graph(), {}
    edges.pop("dslc")                                       # the public names: imports the rest, and is imported with whatever comes first

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert state.get(module) != "open", f"imports go round: {' -> '.join((*path, module))}"
        if module not in state:
            state[module] = "open"
            for other in sorted(edges[module] & edges.keys()):
                visit(other, (*path, module))
            state[module] = "closed"

    for module in sorted(edges):
        visit(module, ())


def test_imports_between_folders() -> None:
    """The language knows neither the call nor a target; the call knows no target; targets know what is common, and neither each other nor kernels."""
    for module, others in graph().items():
        where, away = layer(module), {layer(o) for o in others}
        if module in ("dslc", "dslc.cli"):
            continue
        if where == "dslc":
            away = {layer(o) for o in others - {"dslc.runtime.deferred"}}       # which imports nothing
            assert not away & {"dslc.runtime", "dslc.backends", "dslc.kernels"}, f"{module} imports {sorted(others)}"
        if where == "dslc.runtime":
            assert "dslc.backends" not in away, f"{module} imports {sorted(others)}"
        if where == "dslc.backends":
            own = ".".join(module.split(".")[:3])
            foreign = [o for o in others if layer(o) == "dslc.backends" and not o.startswith((own, "dslc.backends.common")) and o != "dslc.backends"]
            assert "dslc.kernels" not in away and not foreign, f"{module} imports {sorted(others)}"


def test_only_the_parsers_import_lark() -> None:
    found = {p.relative_to(ROOT).as_posix() for p in FILES if re.search(r"^\s*(import|from) lark\b", p.read_text(), re.M)}
    assert found <= {"dsl/text.py", "dsl/annotations.py"}


def test_import_is_light_and_takes_no_foreign_names() -> None:
    code = ("import dslc, sys; heavy = {'jinja2', 'lark', 'cffi', 'dslc.render', 'dslc.frontend'} & set(sys.modules); assert not heavy, heavy; "
            "wrong = {'dsl', 'backends', 'runtime'} & set(sys.modules); assert not wrong, wrong")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# ---------------------------------------------------------------- templates
@pytest.mark.parametrize("path", TEMPLATES, ids=[str(p.relative_to(ROOT)) for p in TEMPLATES])
def test_templates_compute_nothing(path: Path) -> None:
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    tree = environment.parse(path.read_text())
    found = [f"line {n.lineno}: {type(n).__name__}" for kind in FORBIDDEN for n in tree.find_all(kind) if not joins_lists(n)]
    assert not found, found


def joins_lists(node: nodes.Node) -> bool:
    """(texts + [text]): a list with one more text in it is text, not arithmetic."""
    return isinstance(node, nodes.Add) and any(isinstance(side, nodes.List) or joins_lists(side) or isinstance(side, nodes.Name) for side in (node.left,
        node.right))


# ---------------------------------------------------------------- tools
def test_ruff() -> None:
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    ended = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=ROOT, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]


def test_mypy(tmp_path: Path) -> None:
    """In a folder where `dslc` is one package, as it is once installed: mypy cannot follow the mapping in setup.py."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    package = tmp_path / "dslc"
    package.mkdir()
    for path in (ROOT / "dsl").iterdir():
        if path.name != "__pycache__":
            (package / path.name).symlink_to(path)
    for folder in ("backends", "bench", "kernels", "runtime"):
        (package / folder).symlink_to(ROOT / folder)
    ended = subprocess.run([sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache")],
                           cwd=tmp_path, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]


def test_wheel(tmp_path: Path) -> None:
    """Everything that is read at run time is in the wheel."""
    if importlib.util.find_spec("setuptools") is None or importlib.util.find_spec("wheel") is None or importlib.util.find_spec("pip") is None:
        pytest.skip("setuptools, wheel and pip are not all installed, and nothing may be downloaded")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    for folder in FOLDERS.values():
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    if not (source / "README.md").exists():
        (source / "README.md").write_text("dslc\n")
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path)]
    ended = subprocess.run(command, cwd=source, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    wanted = {(Path(*package.split(".")) / p.relative_to(ROOT / folder)).as_posix() for package, folder in FOLDERS.items() for p in (ROOT / folder).rglob("*")
              if p.suffix in (".py", ".j2", ".json", ".lark", ".h", ".c", ".cpp") or p.name == "py.typed"
                  if "results" not in p.parts}
    assert "dslc/py.typed" in wanted and not wanted - shipped, sorted(wanted - shipped)
    assert {"dslc/backends/common/emulator/engine.cpp", "dslc/backends/cuda/emulator/tile_cuda.h", "dslc/backends/hip/emulator/tile_hip.h"} <= wanted
    assert not [n for n in shipped if n.split("/")[0] in ("dsl", "backends", "kernels", "runtime", "bench", "tests")]
