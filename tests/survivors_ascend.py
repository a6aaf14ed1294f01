"""Mutants of Ascend's sources that survive: why."""
from __future__ import annotations

from collections.abc import Sequence

from survivors import DOCS, Document

REASONS: Sequence[tuple[str, str]] = (
)

HEAD = """# Mutation tests of generated AscendC

| kernel | target | mutants | caught | of all | of those not equivalent | by the emulator | by values | otherwise | survivors |
|---|---|---|---|---|---|---|---|---|---|"""

ASCEND = Document(DOCS / "mutations-ascend.md", HEAD, REASONS, by_kind=True)
