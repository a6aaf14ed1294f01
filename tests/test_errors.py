"""One file per mistake: its header says what the user is told, to the letter, and which stretch of which line is underlined.

Header: `# expect: message`, `# caret: line:text underlined` (- where there is no place), `# hint: what to write instead`, and
`# args: x=f32(8), ..` if the mistake shows at the call.  The names const, tile, tile_function and tile_kernel are given.
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dslc.definition import const
from dslc.errors import DslError
from dslc.language import tile
from dslc.syntax import tile_function
from dslc.types import DTYPES
from specification import Launcher

FILES = sorted((Path(__file__).parent / "errors").glob("*.py"))
ARRAYS = {name: (lambda *shape, d=d: np.zeros(shape, d.numpy)) for name, d in DTYPES.items()}


def header(path: Path) -> dict[str, str]:
    """The header's lines by key."""
    return dict(re.findall(r"^# (expect|caret|hint|args): ?(.*)$", path.read_text(), re.MULTILINE))


def mistake(path: Path) -> DslError | None:
    """The error that the file raises: where its function is decorated, or where its kernel is called with the header's arguments."""
    names: dict[str, Any] = {"const": const, "tile": tile, "tile_function": tile_function, "tile_kernel": Launcher, "__name__": path.stem}
    try:
        exec(compile(path.read_text(), str(path), "exec"), names)
        if "args" in header(path):
            names["kernel"](**eval(f"dict({header(path)['args']})", dict(ARRAYS)))
    except DslError as error:
        return error
    return None


def caret(error: DslError) -> str:
    """Where the error points, as the header writes it."""
    loc = error.loc
    return "-" if loc is None else f"{loc.line}:{loc.text[loc.column:loc.end_column]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_mistake(path: Path) -> None:
    error, told = mistake(path), header(path)
    assert error is not None, "no error"
    assert (error.message, caret(error), error.hint) == (told["expect"], told["caret"], told["hint"])
    assert error.loc is None or error.loc.file == str(path)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_message_is_a_sentence_without_a_stop(path: Path) -> None:
    message = header(path)["expect"]
    assert message and not message.endswith(".") and not message[0].isspace()


def test_the_caret_stands_under_the_text() -> None:
    error = mistake(Path(__file__).parent / "errors" / "mixed_types.py")
    assert error is not None
    source, line = str(error).splitlines()[2:4]
    assert source[line.index("^"):line.rindex("^") + 1] == "tile.load(x, (0, 4)) + tile.load(y, (0, 4))"
