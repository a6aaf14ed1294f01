"""What a compiled kernel depends on beside its source: the version of this package, down to the text of its files."""
from __future__ import annotations

import os
from pathlib import Path

from .cache import digest

RELEASE = "0.1.0"
_HERE = Path(__file__).resolve().parent


def _text_version() -> str:
    """The release and a digest of names, sizes and times of the package's files: a change to a template must not meet an old binary."""
    package = Path(_HERE, "..", "dsl") if (_HERE.parent / "dsl" / "ir.py").exists() else _HERE.parent
    roots = [package.resolve(), (package / ".." / "backends").resolve(), _HERE] if (_HERE.parent / "dsl" / "ir.py").exists() else [package.resolve()]
    rows = [f"{e.path[len(str(root)):]} {e.stat().st_size} {e.stat().st_mtime_ns}" for root in roots for e in _files(str(root))]
    return f"{RELEASE}+{digest(*sorted(rows))[:16]}"


def _files(folder: str) -> list[os.DirEntry[str]]:
    out: list[os.DirEntry[str]] = []
    with os.scandir(folder) as entries:
        for e in entries:
            if e.is_dir():
                out += _files(e.path) if e.name != "__pycache__" else []
            elif not e.name.endswith((".pyc", ".md")):
                out.append(e)
    return out


VERSION = _text_version()
