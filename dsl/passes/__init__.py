"""Passes: one file and one function each, Kernel -> Kernel.  A file's name is the pass's name, so adding a pass is adding a file."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules

from ..errors import check
from ..ir import Kernel
from ..verify import verify

Pass = Callable[[Kernel], Kernel]


@lru_cache(maxsize=1)
def find_passes() -> dict[str, Pass]:
    """The functions of this folder's modules that carry their module's name, by name."""
    modules = {m.name: import_module(f"{__name__}.{m.name}") for m in iter_modules(__path__)}
    return {name: getattr(module, name) for name, module in sorted(modules.items()) if hasattr(module, name) and callable(getattr(module, name))}


def run(kernel: Kernel, names: Iterable[str], *, extra: dict[str, Pass] | None = None, observe: Callable[[str, Kernel], None] | None = None) -> Kernel:
    """The kernel after the passes, in order, verified after each that changed it; `observe` sees every stage.

    `extra` are a target's own passes by name.  Raises DslError for an unknown pass and, naming the pass, for invalid IR.
    """
    known, order = {**find_passes(), **(extra or {})}, tuple(names)
    for name in order:
        check(name in known, f"no pass is called {name!r}", hint=f"known passes: {', '.join(known)}")
    for name in order:
        before, kernel = kernel, known[name](kernel)
        if kernel is not before:
            verify(kernel, after=name)
        if observe is not None:
            observe(name, kernel)
    return kernel
