"""Every op of the language and of the IR, in one table."""
from . import control, elementwise, structure
from .table import OPS, OpDef, op

__all__ = ["OPS", "OpDef", "control", "elementwise", "op", "structure"]
