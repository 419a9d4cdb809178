"""What a row has given: values, ratio, spread, verdict, and the JSON of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from .race import Race, Row

Samples = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """A row as it was measured.

    Attributes:
        race: Where it belongs.
        row: Which it is.
        backend: The event loop; ``-`` where it does not matter.
        ours: The samples, one a round; none where there are none.
        against: Those of the peer.
        reason: Why something is missing; empty where nothing is.
    """

    race: Race
    row: Row
    backend: str
    ours: Samples
    against: Samples
    reason: str = ""

    @property
    def value(self) -> float | None:
        """The median of the samples, in the race's unit."""
        return median(self.ours) if self.ours else None

    @property
    def against_value(self) -> float | None:
        """The median of the peer's samples."""
        return median(self.against) if self.against else None

    @property
    def ratios(self) -> Samples:
        """Ours over the peer's, each within one round, so that the machine's mood cancels out."""
        return tuple(one / other for one, other in zip(self.ours, self.against, strict=False) if other)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return median(self.ratios) if self.ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target or without figures."""
        if self.row.reach is None or self.value is None:
            return None
        return self.row.reach.met(self.value, self.ratio)

    @property
    def stretch_met(self) -> bool | None:
        """Whether what would be better still is reached."""
        if self.row.stretch is None or self.value is None:
            return None
        return self.row.stretch.met(self.value, self.ratio)

    @property
    def unsure(self) -> bool:
        """Whether some rounds reach the target and others do not, so that another run may judge otherwise."""
        reach = self.row.reach
        if reach is None:
            return False
        if reach.of_ratio:
            return len({reach.met(0.0, ratio) for ratio in self.ratios}) > 1
        return len({reach.met(value, None) for value in self.ours}) > 1

    def to_json(self, environment: dict[str, Any]) -> dict[str, Any]:
        """Return it as plain values; ``environment`` says where it was measured."""
        return {
            "name": self.row.name,
            "title": self.race.title,
            "backend": self.backend,
            "ours": self.row.ours,
            "value": self.value,
            "unit": self.race.unit,
            "spread": spread(self.ours),
            "against": self.row.against or None,
            "against_value": self.against_value,
            "ratio": self.ratio,
            "ratio_spread": spread(self.ratios),
            "target": None if self.row.reach is None else str(self.row.reach),
            "met": self.met,
            "unsure": self.unsure,
            "stretch": None if self.row.stretch is None else str(self.row.stretch),
            "stretch_met": self.stretch_met,
            "reason": self.reason or None,
            "rounds": len(self.ours),
            "curve": self.race.curve or None,
            "x": self.row.x,
            "environment": environment,
        }


def spread(samples: Samples) -> list[float] | None:
    """Return the smallest and the largest sample."""
    return [min(samples), max(samples)] if samples else None


__all__ = ["Result", "Samples", "spread"]
