"""A histogram of times, four buckets to each doubling: small, cheap to add to, exact enough to read.

The model is pure: who measures brings the seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["LatencyHistogram", "LatencySummary"]

_PARTS = 4  # buckets in each doubling
_LOWEST = -20  # exponent of the first doubling: 2**-21 s is half a microsecond
_DOUBLINGS = 34  # up to 2**13 s
_SHORTEST = 2.0 ** (_LOWEST - 1)
_SIZE = _PARTS * _DOUBLINGS


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """What sampled times say; in seconds, each the upper bound of its bucket. 0 where nothing was sampled."""

    samples: int = 0
    p50: float = 0.0
    p99: float = 0.0
    highest: float = 0.0


class LatencyHistogram:
    """Counts times; a quantile is at most 25 % above the true one.

    Only buckets that have counted something are kept: all of them are 1.1 kB an edge.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one time; below half a microsecond and above two hours it goes to the outermost bucket."""
        fraction, exponent = math.frexp(max(seconds, _SHORTEST))
        bucket = (exponent - _LOWEST) * _PARTS + int(fraction * 2 * _PARTS) - _PARTS
        bucket = min(max(bucket, 0), _SIZE - 1)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def quantile(self, share: float) -> float:
        """Return the time that ``share`` (0 to 1) of all times do not exceed, in seconds; 0 without any."""
        return _quantile(self.counts_in_order(), share)

    def counts_in_order(self) -> list[tuple[int, int]]:
        """Return the buckets and their counts as they are now, the shortest times first."""
        return sorted(self.counts.copy().items())  # another thread may be counting

    def buckets(self) -> tuple[tuple[float, int], ...]:
        """Return the upper bound, in seconds, and the count of each bucket that has counted something."""
        return tuple((_upper_bound(bucket), count) for bucket, count in self.counts_in_order())

    def summary(self) -> LatencySummary:
        """Return the numbers that people read."""
        counts = self.counts_in_order()
        samples = sum(count for _, count in counts)
        highest = _upper_bound(counts[-1][0]) if counts else 0.0
        return LatencySummary(samples, _quantile(counts, 0.5), _quantile(counts, 0.99), highest)


def _quantile(counts: list[tuple[int, int]], share: float) -> float:
    wanted = max(1, math.ceil(share * sum(count for _, count in counts)))
    passed = 0
    for bucket, count in counts:
        passed += count
        if passed >= wanted:
            return _upper_bound(bucket)
    return 0.0


def _upper_bound(bucket: int) -> float:
    doubling, part = divmod(bucket, _PARTS)
    return math.ldexp((_PARTS + part + 1) / (2 * _PARTS), doubling + _LOWEST)
