"""What kernel.hip.j2 and kernel.h.j2 are given."""
from __future__ import annotations

from typing import Any

from dslc.ir import Kernel
from dslc.render import Scope

from ..common.gpu import frame as family


def frame(kernel: Kernel, scope: Scope) -> dict[str, Any]:
    """The family's frame; one work group for each compute unit may be all there is room for."""
    return {**family.frame(kernel, scope, f"hip:{kernel.attr('architecture')}"), "blocks": 1}
