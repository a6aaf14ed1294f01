"""Sizes and rates of the chips with cores of architecture 2201 (910B, 910C), and where each number is published."""
from __future__ import annotations

from dataclasses import dataclass

KIB = 1024

# CANN documentation, Ascend C, hardware architecture, table of on-chip memories of architecture 2201.  The last 256 bytes of UB and of L1 are
# the compiler's; another 8 KiB of UB are unless a kernel is built with --cce-disable-asc-reserved-ubuf.
UB_BYTES = 192 * KIB - 256 - 8 * KIB
L1_BYTES = 512 * KIB - 256
L0A_BYTES = 64 * KIB      # L0B has as much
L0C_BYTES = 128 * KIB
BLOCK = 32                  # bytes: what UB and L1 are addressed and aligned by (the same table)
L1_ALIGNMENT = 512          # bytes: one fractal, 16 rows of 32 bytes
L0C_ALIGNMENT = 1024        # bytes: what Mmad wants of its destination (CANN documentation, Basic API, Mmad)
EVENTS = 6                  # event numbers of a pair of pipes: of 0..7 the last two are the system's (CANN documentation, Basic API, SetFlag/WaitFlag)
# Those of them that functions of the headers use.
HEADER_EVENTS = {("S", "MTE3"): (4,), ("MTE3", "S"): (4,), ("MTE2", "V"): (4,), ("V", "MTE2"): (4,), ("V", "S"): (4,), ("S", "V"): (4,),
                 ("M", "MTE1"): (4, 5), ("MTE1", "M"): (4, 5), ("M", "FIX"): (4,)}


@dataclass(frozen=True)
class Soc:
    """One chip."""

    cores: int              # AI cores: one cube and two vector cores each
    ghz: float
    l2_bytes: int
    hbm_bytes: int


MIB, GIB = KIB ** 2, KIB ** 3
# CANN 8.1, platform_config/*.ini.  A 910C holds two dies, each a device of its own.
SOCS = {
    "910B1": Soc(24, 1.85, 192 * MIB, 64 * GIB), "910_9391": Soc(24, 1.85, 192 * MIB, 64 * GIB), "910_9392": Soc(24, 1.85, 192 * MIB, 64 * GIB),
    "910B2": Soc(24, 1.80, 192 * MIB, 64 * GIB), "910_9381": Soc(24, 1.80, 192 * MIB, 64 * GIB), "910_9382": Soc(24, 1.80, 192 * MIB, 64 * GIB),
    "910B3": Soc(20, 1.80, 192 * MIB, 64 * GIB), "910_9372": Soc(20, 1.80, 192 * MIB, 64 * GIB),
    "910B4": Soc(20, 1.50, 96 * MIB, 32 * GIB), "910_9362": Soc(20, 1.50, 168 * MIB, 32 * GIB)}
HBM_RATE, L2_READ_RATE, L2_WRITE_RATE = 32, 110, 86         # bytes per cycle and core (the same files)
L1_TO_L0A_RATE, L1_TO_L0B_RATE = 256, 128                   # bytes per cycle (CANN documentation, architecture 2201)
VECTOR_BYTES = 256          # of one repeat of a vector instruction (CANN documentation, Basic API, high-dimensional slicing)
