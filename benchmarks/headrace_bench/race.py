"""What can be measured, as values: contenders that run in turns, and the rows that their figures give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .measuring import Sample
from .target import Target, parse_target


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work of a race.

    Attributes:
        name: What it is called in tables.
        sample: Measures it once.
        needs: The modules of other people that it imports.
    """

    name: str
    sample: Sample
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is measured, what it is measured against, and what it should reach.

    Attributes:
        name: Names the row everywhere: ``subject/what/against``.
        ours: The contender that is measured.
        against: The contender that it is compared with; empty where the value itself is judged.
        reach: The target; none for a peer that is only shown.
        stretch: What would be better still.
        x: Its place on the curve of its race, where that is one.
    """

    name: str
    ours: str
    against: str = ""
    reach: Target | None = None
    stretch: Target | None = None
    x: float | None = None


@dataclass(frozen=True, slots=True)
class Race:
    """Contenders that are measured one after the other, round by round.

    Attributes:
        title: What they do, for people.
        unit: The unit of all their values.
        contenders: They, in the order of each round.
        rows: What is told of them.
        curve: What ``x`` of the rows counts, where they make a curve.
        warm_up: Whether there is a round that does not count.
        both_backends: Whether the event loop matters.
        rounds: The most rounds that are worth their time; all that were asked for where None.
    """

    title: str
    unit: str
    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...]
    curve: str = ""
    warm_up: bool = True
    both_backends: bool = True
    rounds: int | None = None

    def wanted(self, patterns: Sequence[str]) -> tuple[Row, ...]:
        """Return the rows whose names fit one of the patterns."""
        return tuple(row for row in self.rows if any(fnmatchcase(row.name, one) for one in patterns))

    def contenders_of(self, rows: Sequence[Row]) -> tuple[Contender, ...]:
        """Return the contenders that some rows need."""
        names = {name for row in rows for name in (row.ours, row.against)}
        return tuple(contender for contender in self.contenders if contender.name in names)


def row(
    name: str, ours: str, against: str = "", *, reach: str = "", stretch: str = "", x: float | None = None
) -> Row:
    """Return a row with its targets read.

    Raises:
        ValueError: A target cannot be read.
    """
    first, second = (parse_target(text) if text else None for text in (reach, stretch))
    return Row(name, ours, against, first, second, x)


__all__ = ["Contender", "Race", "Row", "row"]
