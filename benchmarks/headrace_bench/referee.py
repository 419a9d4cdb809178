"""Runs a race: round by round, everybody in each, so that only figures of the same minute are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

from .measuring import Effort, NotAvailableError, undisturbed
from .race import Contender, Race, Row
from .result import Result

INSTALL = "pip install 'headrace[bench]'"
"""What brings the peers; from a checkout: ``pip install '.[bench]'``."""

NO_TRIO = f"trio not installed: {INSTALL}"


class Lane:
    """A contender during a race: its samples, or why it is out."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.samples: list[float] = []
        missing = missing_modules(contender)
        self.reason = f"{', '.join(missing)} not installed: {INSTALL}" if missing else ""

    def run(self, effort: Effort, *, counts: bool) -> None:
        """Measure once; whoever fails says why and is out, and the others go on."""
        if self.reason:
            return
        try:
            value = undisturbed(self.contender.sample, effort)
        except NotAvailableError as error:
            self.reason = str(error)
        except Exception as error:
            self.reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        else:
            if counts:
                self.samples.append(value)

    @property
    def told(self) -> tuple[float, ...]:
        """The samples of a contender that came through all rounds."""
        return () if self.reason else tuple(self.samples)


def missing_modules(contender: Contender) -> list[str]:
    """Return which modules a contender needs and this environment lacks."""
    return [name for name in contender.needs if find_spec(name) is None]


def run_race(race: Race, rows: Sequence[Row], effort: Effort, rounds: int) -> list[Result]:
    """Measure some rows of a race.

    Args:
        race: The race.
        rows: Which of its rows; only the contenders that they need take part.
        effort: How hard to measure.
        rounds: How many rounds count.
    """
    backend = effort.backend if race.both_backends else "-"
    if backend == "trio" and find_spec("trio") is None:
        return [Result(race, row, backend, (), (), NO_TRIO) for row in rows]
    lanes = {contender.name: Lane(contender) for contender in race.contenders_of(rows)}
    rounds = rounds if race.rounds is None else min(rounds, race.rounds)
    for number in range(-1 if race.warm_up and not effort.quick else 0, rounds):
        turns = list(lanes.values())
        for lane in turns if number % 2 == 0 else reversed(turns):  # nobody is always the first
            lane.run(effort, counts=number >= 0)
    return [_result(race, row, backend, lanes) for row in rows]


def _result(race: Race, row: Row, backend: str, lanes: dict[str, Lane]) -> Result:
    ours, against = lanes[row.ours], lanes.get(row.against)
    reasons = [f"{lane.contender.name}: {lane.reason}" for lane in (ours, against) if lane and lane.reason]
    samples = () if against is None else against.told
    return Result(race, row, backend, ours.told, samples, "; ".join(reasons))


def run_races(
    races: Sequence[Race],
    patterns: Sequence[str],
    backends: Sequence[str],
    *,
    rounds: int,
    quick: bool,
    notice: Callable[[str], None],
) -> Iterator[Result]:
    """Run all races that have rows of these names; yield each row as it is known.

    Args:
        races: The races.
        patterns: Names of rows, with ``*`` and ``?``.
        backends: The event loops.
        rounds: How many rounds count.
        quick: Whether to measure little, only to see that all works.
        notice: Told what is being measured.
    """
    chosen = [(race, rows) for race in races if (rows := race.wanted(patterns))]
    starts = [
        (race, rows, backend)
        for race, rows in chosen
        for backend in (backends if race.both_backends else backends[:1])
    ]
    for number, (race, rows, backend) in enumerate(starts, 1):
        place = f" on {backend}" if race.both_backends else ""
        notice(f"[{number}/{len(starts)}] {race.title}{place}")
        effort = Effort(backend, seconds=0.02 if quick else 0.3, quick=quick)
        yield from run_race(race, rows, effort, rounds)


__all__ = ["INSTALL", "NO_TRIO", "Lane", "missing_modules", "run_race", "run_races"]
