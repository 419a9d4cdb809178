"""All races, in the order of the report."""

from __future__ import annotations

from .race import Race
from .rows import (
    cpu_bound,
    fairness,
    fan,
    files,
    flights,
    functions,
    growth,
    idle,
    large_blueprint,
    latency,
    observability,
    scaling,
    send,
    web,
)

SUBJECTS = (
    send,
    fan,
    functions,
    latency,
    fairness,
    observability,
    idle,
    growth,
    cpu_bound,
    large_blueprint,
    files,
    flights,
    web,
    scaling,
)

RACES: tuple[Race, ...] = tuple(race for subject in SUBJECTS for race in subject.RACES)


def row_names() -> list[str]:
    """Return the names of all rows."""
    return [row.name for race in RACES for row in race.rows]


__all__ = ["RACES", "row_names"]
