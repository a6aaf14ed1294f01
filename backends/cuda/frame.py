"""What kernel.cu.j2 and kernel.h.j2 are given."""
from __future__ import annotations

from typing import Any

from dslc.ir import Kernel
from dslc.render import Scope

from ..common.gpu import frame as family
from . import role_frame


def frame(kernel: Kernel, scope: Scope) -> dict[str, Any]:
    """The family's frame; one block for each multiprocessor may be all there is room for."""
    if kernel.attr("rings"):
        return role_frame.frame(kernel, scope)
    return {**family.frame(kernel, scope, f"cuda:{kernel.attr('architecture')}"), "blocks": 1, "rings": [], "maps": []}
