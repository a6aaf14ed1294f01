"""One thing to be measured: a problem, its size, who computes it, and the ratio that is asked of us."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import sqrt
from typing import Any

BYTES = {"f64": 8, "f32": 4, "bf16": 2, "f16": 2, "i32": 4, "i8": 1, "u8": 1}
COLD_BYTES = 192 << 20   # cold operands take turns through this much memory: six times the largest L3 that a guest of the reference machine sees


@dataclass(frozen=True)
class Bar:
    """Our time must be at most that of the best of `against` over `ratio`.  "limit" among them is the time at the measured limits of the machine."""

    ratio: float
    against: tuple[str, ...]
    stretch: bool = False


@dataclass(frozen=True)
class Case:
    """A problem (`kind`) of one size and dtype.

    row is the number of its bar in the table of bars, 0 for none.  operations and moved (bytes that must cross the memory bus, or the cache a
    problem lives in) make the roofline: with the rate of the probe `peak` and of the probe `traffic`, measured in the same rounds.  cold: the bytes of
    the operands that are never in a cache when a call begins (0: everything is warm).  ours is the contestant that bars are about.
    """

    kernel: str
    label: str
    kind: str
    sizes: Mapping[str, int]
    dtype: str
    peers: tuple[str, ...]
    operations: float
    moved: float
    peak: str = ""
    traffic: str = "copy"
    options: Mapping[str, Any] = field(default_factory=dict)
    cold: int = 0
    ours: str = "dslc"
    row: int = 0
    bars: tuple[Bar, ...] = ()
    quick: bool = False

    @property
    def copies(self) -> int:
        """How many copies of the cold operands take turns."""
        return -(-COLD_BYTES // self.cold) if self.cold else 1

    @property
    def contestants(self) -> tuple[str, ...]:
        """Ours first."""
        return (self.ours, *self.peers)

    def tolerance(self) -> float:
        """The largest difference of two right results, as a part of the root mean square of the result and the value itself.

        Each sum of `depth` products of f32 is within depth 2^-23 sum |a||b| of the exact one, and sum |a||b| is some sqrt(depth) of the root mean square
        for random signs; narrow operands and results are rounded once each to `dtype`, which a value of six times the root mean square shows six times.
        Attention's weights are each within 2^-18 and the part 2^-21 of the largest score (below 8) of themselves, so a value of sum w |v| within 2^-17.
        A centre is the mean of N / K rows; a few of them may lie as near to another centre, as far as f32 can tell.
        """
        if self.kind == "kmeans":
            return 32.0 * self.sizes["K"] / self.sizes["N"]
        narrow: float = 12 * {"bf16": 2.0 ** -8, "f16": 2.0 ** -11}.get(self.dtype, 0.0)
        if self.kind in ("attention", "decode"):
            return narrow + 2.0 ** -16 * sqrt(self.sizes.get("S", self.sizes.get("KV", 1)))
        depth = self.sizes["K"] if self.kind in ("gemm", "w4a16") else self.sizes["N"] if self.kind in ("rows", "hadamard") else 1
        return narrow + depth * sqrt(depth) * 2.0 ** -23 + 2.0 ** -18

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Case:
        """The case that `as_json` wrote."""
        known = {f.name: data[f.name] for f in fields(Case) if f.name in data}
        bars = tuple(Bar(b["ratio"], tuple(b["against"]), b["stretch"]) for b in known.pop("bars", ()))
        return Case(**{**known, "peers": tuple(known["peers"]), "bars": bars})
