"""What mutants are tried with: one call's arrays, views into larger ones, and what the outputs must become."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from dslc.runtime.library import Expected


@dataclass(frozen=True)
class Data:
    """One call's arrays by parameter, outputs among them, views into larger ones; what the outputs must become.

    where: words of the lines whose mutants are called with it, by default all; for calls that take long.  programs: as an emulated launcher takes it.
    """

    given: dict[str, Any]
    expected: Callable[[Mapping[str, Any]], Mapping[str, Expected]]
    where: str = ""
    programs: int | None = None


# For a kernel: it, the calls made of a random generator, its constants.
Maker = tuple[Any, Callable[[Any], list[Data]], dict[str, Any]]


def padded(values: Any, to: int, fill: float) -> Any:
    """The array with rows `to` elements apart, so that they start aligned though their length is ragged; `fill` between them."""
    whole = np.full((*values.shape[:-1], to), fill, values.dtype)
    whole[..., :values.shape[-1]] = values
    return whole[..., :values.shape[-1]]
