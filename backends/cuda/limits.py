"""What each architecture has.  Source of every number: CUDA C++ Programming Guide 13.0, appendix Compute Capabilities, unless said otherwise."""
from __future__ import annotations

LANES = 32                                                  # threads of a warp
SHARED_BYTES = {"sm_80": 163 * 1024, "sm_89": 99 * 1024, "sm_90a": 227 * 1024, "sm_120": 99 * 1024}     # bytes that one block can have
ROLES = frozenset({"sm_90a"})                               # matrix instructions of warp groups, bulk copies of tensors, setmaxnreg
NATIVE_F8 = frozenset({"sm_89", "sm_90a", "sm_120"})        # mma.sync with e4m3 and e5m2 (PTX ISA 9.0, 9.7.14)
