"""Targets that other distributions bring: entry points of the group `dslc.backends`.  Apart, for importlib.metadata takes 20 ms to import."""
from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points


@lru_cache(maxsize=1)
def plugins() -> dict[str, EntryPoint]:
    """Entry points by the name of their target."""
    return {e.name: e for e in entry_points(group="dslc.backends")}
