"""The timing core: how long a sample takes, how many messages fill it, and what garbage collection sees of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

_FIRST = 64  # messages, of the first try
_GROWTH = 4
_MOST = 20_000_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to measure.

    Attributes:
        backend: The event loop, ``asyncio`` or ``trio``.
        seconds: How long a sample of throughput should take.
        quick: Whether sizes are a fraction of the real ones, to see that all works.
    """

    backend: str
    seconds: float = 0.3
    quick: bool = False

    def sized(self, full: int, quick: int) -> int:
        """Return the size of an experiment."""
        return quick if self.quick else full


Sample = Callable[[Effort], float]
"""Measures once; returns the value in the unit of its race."""

TimedRun = Callable[[int, str], float]
"""Moves a number of messages on a backend; returns the seconds that took."""


class NotAvailableError(Exception):
    """Something cannot be measured here; the message says why."""


class Throughput:
    """A sample of messages a second; the first one of a backend finds out how many messages fill it.

    Args:
        run: Moves messages.
    """

    def __init__(self, run: TimedRun) -> None:
        self._run = run
        self._counts: dict[Effort, int] = {}

    def __call__(self, effort: Effort) -> float:
        """Return messages a second."""
        count = self._counts.get(effort)
        if count is None:
            count = self._counts[effort] = self._fill(effort)
        return count / self._run(count, effort.backend)

    def _fill(self, effort: Effort) -> int:
        count = _FIRST
        while (seconds := self._run(count, effort.backend)) < effort.seconds / 4 and count < _MOST:
            count *= _GROWTH
        return max(_FIRST, min(_MOST, int(count * effort.seconds / seconds)))


def undisturbed(sample: Sample, effort: Effort) -> float:
    """Measure once with a clean heap: all that is there already is collected or out of the collector's sight.

    The collector itself stays on, for every contender alike, as it is where users run their programs.
    """
    gc.collect()
    gc.freeze()
    try:
        return sample(effort)
    finally:
        gc.unfreeze()


__all__ = ["Effort", "NotAvailableError", "Sample", "Throughput", "TimedRun", "undisturbed"]
