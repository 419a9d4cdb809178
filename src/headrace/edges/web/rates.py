"""How fast messages move: what has changed between two snapshots, divided by the time between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.runtime.statistics import SystemStatistics

LEAST = 0.4
"""Seconds between two snapshots that a rate is told of; less would show how the event loop takes its turns."""
MOST = 10.0
"""After so many seconds without a look, the first one tells no rate: it would be of a time long past."""


@dataclass(frozen=True, slots=True)
class RatesAt:
    """Messages a second: taken from edges, and finished and sent by components."""

    edges: Mapping[str, float] = field(default_factory=dict)
    finished: Mapping[str, float] = field(default_factory=dict)
    sent: Mapping[str, float] = field(default_factory=dict)


class Rates:
    """Remembers a snapshot, to compare later ones with it."""

    def __init__(self) -> None:
        self._base: SystemStatistics | None = None
        self._rates = RatesAt()

    def at(self, now: SystemStatistics) -> RatesAt:
        """Return the rates up to a snapshot, as of the last time that was worth comparing."""
        base = self._base
        seconds = 0.0 if base is None else now.monotonic - base.monotonic
        if base is None or seconds > MOST or base.started_at != now.started_at:
            self._base, self._rates = now, RatesAt()
        elif seconds >= LEAST:
            self._base, self._rates = now, _between(base, now, seconds)
        return self._rates


def _between(base: SystemStatistics, now: SystemStatistics, seconds: float) -> RatesAt:
    before, after = base.components, now.components
    return RatesAt(
        {
            key: _rate(base.edges[key].delivered, edge.delivered, seconds)
            for key, edge in now.edges.items()
            if key in base.edges
        },
        {
            n: _rate(before[n].acknowledged, one.acknowledged, seconds)
            for n, one in after.items()
            if n in before
        },
        {n: _rate(before[n].sent, one.sent, seconds) for n, one in after.items() if n in before},
    )


def _rate(before: int, after: int, seconds: float) -> float:
    return round(max(0, after - before) / seconds, 2)


__all__ = ["LEAST", "MOST", "Rates", "RatesAt"]
