"""Modules that are costly to import and needed only when something is compiled."""
from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands for a module until one of its attributes is read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def deferred(name: str) -> ModuleType:
    """The module `name`, imported when one of its attributes is first read, by however many threads at once.

    A hot start, which finds its kernel in the cache, then pays for neither parser nor template engine.  (importlib.util.LazyLoader does
    this too, but before Python 3.12 a second thread could see the module half executed.)
    """
    return _Deferred(name)
