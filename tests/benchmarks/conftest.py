"""Figures that nobody measured, for what shows and writes figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace_bench.race import Contender, Race, row
from headrace_bench.result import Result

Results = list[Result]


def _contender(name: str) -> Contender:
    return Contender(name, lambda effort: 0.0)


TOYS = Race(
    "toys & games",
    "messages/s",
    (_contender("ours"), _contender("theirs")),
    (
        row("toy/met", "ours", "theirs", reach=">= 2 x", stretch=">= 4 x"),
        row("toy/missed", "ours", "theirs", reach=">= 20 %"),
        row("toy/shown", "ours", "theirs"),
    ),
)
COSTS = Race("costs", "us", (_contender("ours"),), (row("cost/alone", "ours", reach="< 100 us"),))
CURVES = tuple(
    Race(
        f"toys by size, {how}",
        "messages/s",
        (_contender("1"), _contender("10")),
        (row(f"curve/{how}/1", "1", x=1), row(f"curve/{how}/10", "10", "1", x=10)),
        curve="size of toys",
    )
    for how in ("shared", "copied")
)
NOT_INSTALLED = "theirs: toybox not installed: pip install 'headrace[bench]'"


@pytest.fixture
def results() -> Results:
    """Return results of every kind: met, missed, only shown, not available, curves."""
    met, missed, shown = TOYS.rows
    return [
        Result(TOYS, met, "asyncio", (300.0, 320.0, 310.0), (100.0, 100.0, 100.0)),
        Result(TOYS, met, "trio", (500.0,), (100.0,)),
        Result(TOYS, missed, "asyncio", (1.0,), (100.0,)),
        Result(TOYS, shown, "asyncio", (2e6,), (20_000.0,)),
        Result(TOYS, shown, "trio", (2e6,), (), NOT_INSTALLED),
        Result(COSTS, COSTS.rows[0], "-", (42.0,), ()),
        *(
            Result(race, one, backend, (1000.0 * (number + 1),), ())
            for race in CURVES
            for backend in ("asyncio", "trio")
            for number, one in enumerate(race.rows)
        ),
    ]


@pytest.fixture
def facts() -> dict[str, Any]:
    """Return a machine."""
    return {
        "processor": "Abacus <1>",
        "cores": 2,
        "system": "Linux",
        "python": "CPython 3.11.7",
        "versions": {"headrace": "0.1.0", "anyio": "4.16.0"},
        "commit": "abc",
    }


@pytest.fixture
def result_named(results: Results) -> Callable[[str, str], Result]:
    """Return a function that finds a result."""

    def find(name: str, backend: str) -> Result:
        return next(one for one in results if (one.row.name, one.backend) == (name, backend))

    return find
