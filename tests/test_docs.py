"""Documents that are made from code, or that code must agree with."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- dslc ops --markdown -->\n"


def test_tables_of_operations_are_current() -> None:
    made = subprocess.run([sys.executable, "-c", "from dslc.runtime.cli import main; main(['ops', '--markdown'])"], capture_output=True, text=True)
    assert (ROOT / "docs" / "semantics.md").read_text().split(MARK)[1].strip() == made.stdout.strip()


def test_the_readme_has_two_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) == 2 and all(block.count("\n") == 1 for block in blocks)
    assert "dslc run gemm" in blocks[0] and "pytest" in blocks[1]


def test_the_readme_example_runs(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert code is not None
    script = tmp_path / "gemm.py"
    script.write_text(code[1] + "\nassert np.abs(c - a @ b).max() < 1e-2\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    quoted = re.search(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert quoted is not None
    made = {line.strip() for line in done.stdout.splitlines()}
    assert not [line for line in quoted[1].splitlines() if line.strip() not in made | {"..."}]


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", re.sub(r"`[^`\n]*`", "", page.read_text())):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
