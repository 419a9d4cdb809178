"""The rows: each is named once, names contenders that exist, and every figure to reach has one."""

from __future__ import annotations

import pytest

from headrace_bench.catalogue import RACES, row_names
from headrace_bench.measuring import Effort
from headrace_bench.race import Race
from headrace_bench.referee import run_race

TO_REACH = {
    "send/1-hop/anyio": ">= 10 x",
    "send/2-hops/anyio": ">= 25 x",
    "send/10-stages/anyio": ">= 12 x",
    "send/1-hop/generators": ">= 20 %",
    "send/2-hops/generators": ">= 20 %",
    "send/10-stages/generators": ">= 15 %",
    "send/2-hops/asyncio-queue": ">= 1.8 x",
    "fan-out/4/anyio": ">= 30 x",
    "fan-in/4/anyio": ">= 20 x",
    "functions/2-hops/reactivex": ">= 1.3 x",
    "functions/2-hops/bytewax": ">= 1.3 x",
    "functions/2-hops/generators": ">= 60 %",
    "functions/10-stages/generators": ">= 90 %",
    "latency/echo/anyio": "<= 1 x",
    "latency/one-way": "< 100 us",
    "latency/loop-gap": "< 10 ms",
    "latency/late-timer": "< 10 ms",
    "fairness/capacity-1": "<= 1.2 max/min",
    "fairness/capacity-100": "<= 1.2 max/min",
    "fairness/capacity-1000": "<= 1.2 max/min",
    "observability/on-over-off": "<= 1.1 x",
    "observability/tap": ">= 90 %",
    "startup/1000-components": "< 1 ms",
    "memory/harness": "< 20 MB",
    "memory/idle-component": "< 10 kB",
    "stop/1000-components": "< 1 s",
    "growth/1000-components": "<= 1.5 x",
    "growth/10000-components": "<= 1.5 x",
    "cpu-bound/2-processes": ">= 1.7 x",
    "large-blueprint/check": "< 1 s",
    "large-blueprint/check-command": "< 1 s",
    "large-blueprint/run": "< 1 s",
    "large-blueprint/run-command": "< 1 s",
    "files/csv/csv.DictReader": "<= 1.5 x",
    "files/jsonl/json": "<= 1.5 x",
    "files/parquet/pyarrow": "<= 1.5 x",
    "flights/by-hand": "<= 1.5 x",
    "web/watchers-over-none": "<= 1.05 x",
    "web/on-over-off": "<= 1.1 x",
}
PEERS = {
    "AnyIO *_nowait",
    "AnyIO send + async for",
    "Bytewax, batch 1",
    "Bytewax, batch 1000",
    "Ray actors, batch 1000",
    "aiostream",
    "asyncio.Queue",
    "eventkit",
    "ezmsg",
    "generators",
    "hand-chained generators",
    "reactivex",
    "streamz",
    "trio channel",
}

each_race = pytest.mark.parametrize("race", RACES, ids=lambda race: race.title)


def test_every_figure_to_reach_has_its_row_and_no_other_row_has_a_target() -> None:
    found = {row.name: str(row.reach) for race in RACES for row in race.rows if row.reach is not None}
    assert found == TO_REACH


def test_every_peer_is_shown() -> None:
    assert {row.against for race in RACES for row in race.rows} >= PEERS


def test_every_row_has_a_name_of_its_own() -> None:
    assert len(set(row_names())) == len(row_names())


@each_race
def test_every_row_names_contenders_of_its_race_and_uses_its_unit(race: Race) -> None:
    names = {contender.name for contender in race.contenders}
    assert {row.ours for row in race.rows} <= names
    assert {row.against for row in race.rows} <= {"", *names}
    for target in (target for row in race.rows for target in (row.reach, row.stretch) if target):
        assert target.of_ratio or target.unit == race.unit
    assert all((row.x is not None) == bool(race.curve) for row in race.rows)


@pytest.mark.parametrize(
    ("race", "backend"),
    [
        pytest.param(race, backend, id=f"{race.title}-{backend}")
        for number, race in enumerate(RACES)
        for backend in ("asyncio", "trio")
        if (backend == "asyncio")
        == (number % 2 == 0 or not race.warm_up)  # in turn; processes of their own once
    ],
)
@pytest.mark.usefixtures("frozen")
def test_every_row_can_be_measured(race: Race, backend: str) -> None:
    """No figure is judged here. What other people's libraries give is left out where they are missing."""
    effort = Effort(backend, seconds=0.001, quick=True)
    for result in run_race(race, race.rows, effort, 1):
        assert result.value or result.row.name.startswith("cpu-bound/"), result.reason
        assert result.against or not result.row.against or "not installed" in result.reason, result.reason
