"""dslc: tile kernels, written once, compiled for every target.

    from dslc import tile_kernel, tile_function, tile, const, schedule, DslError
"""
from __future__ import annotations

from .definition import TileFunction, const
from .errors import DslError
from .language import tile
from .runtime.kernel import TileKernel
from .runtime.kernel import TileKernel as tile_kernel
from .runtime.schedules import schedule
from .schedule import Schedule
from .syntax import tile_function
from .types import DType

__all__ = ["DType", "DslError", "Schedule", "TileFunction", "TileKernel", "const", "schedule", "tile", "tile_function", "tile_kernel"]
