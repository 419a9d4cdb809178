"""A race: everybody in each round, failures told, the others unharmed."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from headrace_bench import referee
from headrace_bench.measuring import Effort, NotAvailableError, Throughput
from headrace_bench.race import Contender, Race, row
from headrace_bench.referee import run_race, run_races

pytestmark = pytest.mark.usefixtures("frozen")

EFFORT = Effort("asyncio")
ROW = row("toy/two", "ours", "theirs", reach=">= 2 x", stretch=">= 4 x")


def race_of(*contenders: Contender, warm_up: bool = False, rounds: int | None = None) -> Race:
    """Return a race with one row."""
    return Race("toys", "messages/s", contenders, (ROW,), warm_up=warm_up, rounds=rounds)


def steps(name: str, log: list[str], *values: float) -> Contender:
    """Return a contender that gives these values, and notes its turns."""
    left = iter(values)

    def sample(effort: Effort) -> float:
        log.append(name)
        return next(left)

    return Contender(name, sample)


def failing(error: Exception) -> Contender:
    """Return a peer that fails."""

    def sample(effort: Effort) -> float:
        raise error

    return Contender("theirs", sample)


def test_contenders_take_turns_to_be_first_and_one_round_is_a_warm_up() -> None:
    log: list[str] = []
    race = race_of(steps("ours", log, 9, 4, 6), steps("theirs", log, 9, 2, 2), warm_up=True)
    (result,) = run_race(race, race.rows, EFFORT, 2)
    assert log == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert (result.ours, result.against) == ((4, 6), (2, 2))


def test_a_ratio_is_taken_within_each_round() -> None:
    race = race_of(steps("ours", [], 10, 100, 30), steps("theirs", [], 5, 50, 10))
    (result,) = run_race(race, race.rows, EFFORT, 3)
    assert result.ratios == (2, 2, 3)
    assert (result.value, result.against_value, result.ratio) == (30, 10, 2)
    assert (result.met, result.stretch_met) == (True, False)


def test_a_race_has_no_more_rounds_than_it_is_worth() -> None:
    log: list[str] = []
    race = race_of(steps("ours", log, 1, 1, 1), steps("theirs", log, 1, 1, 1), rounds=2)
    run_race(race, race.rows, EFFORT, 5)
    assert log == ["ours", "theirs", "theirs", "ours"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotAvailableError("no data here"), "theirs: no data here"),
        (RuntimeError("two\n lines"), "theirs: RuntimeError: two lines"),
    ],
)
def test_a_peer_that_fails_says_why_and_the_others_go_on(error: Exception, reason: str) -> None:
    race = race_of(steps("ours", [], 1, 2, 3), failing(error))
    (result,) = run_race(race, race.rows, EFFORT, 3)
    assert result.reason == reason
    assert (result.value, result.against, result.ratio, result.met) == (2, (), None, None)


def test_a_peer_that_is_not_installed_is_told_with_the_line_that_brings_it() -> None:
    missing = Contender("theirs", lambda effort: 1.0, needs=("a_library_that_nobody_has",))
    race = race_of(steps("ours", [], 1), missing)
    (result,) = run_race(race, race.rows, EFFORT, 1)
    assert result.reason == "theirs: a_library_that_nobody_has not installed: pip install 'headrace[bench]'"


def test_without_trio_its_rows_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referee, "find_spec", lambda name: None)
    race = race_of(steps("ours", [], 1), steps("theirs", [], 1))
    (result,) = run_race(race, race.rows, Effort("trio"), 1)
    assert result.reason == "trio not installed: pip install 'headrace[bench]'"
    assert result.value is None


def test_only_contenders_that_are_asked_for_run() -> None:
    log: list[str] = []
    race = Race(
        "toys",
        "s",
        (steps("ours", log, 1), steps("theirs", log, 1)),
        (row("toy/alone", "ours"), row("toy/both", "ours", "theirs")),
        warm_up=False,
    )
    found = list(run_races([race], ["toy/al*"], ["asyncio"], rounds=1, quick=False, notice=lambda text: None))
    assert [result.row.name for result in found] == ["toy/alone"]
    assert log == ["ours"]


def test_a_race_without_an_event_loop_runs_once() -> None:
    said: list[str] = []
    race = Race("toys", "s", (steps("ours", [], 1),), (row("toy/one", "ours"),), both_backends=False)
    found = list(run_races([race], ["*"], ["asyncio", "trio"], rounds=1, quick=True, notice=said.append))
    assert [result.backend for result in found] == ["-"]
    assert said == ["[1/1] toys"]


def test_the_collector_is_on_during_a_sample_and_sees_nothing_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what `frozen` has done
    gc.unfreeze()
    seen: list[tuple[bool, int]] = []

    def sample(effort: Effort) -> float:
        seen.append((gc.isenabled(), gc.get_freeze_count()))
        return 1.0

    before = gc.get_freeze_count()
    race = race_of(Contender("ours", sample), Contender("theirs", sample))
    run_race(race, race.rows, EFFORT, 1)
    assert all(enabled and frozen > before for enabled, frozen in seen)
    assert gc.get_freeze_count() == 0


def clocked(per_message: float, log: list[int]) -> Callable[[int, str], float]:
    """Return a run that pretends to take its time."""

    def run(count: int, backend: str) -> float:
        log.append(count)
        return count * per_message

    return run


def test_a_sample_of_throughput_moves_as_much_as_fills_its_time_and_finds_that_out_once() -> None:
    log: list[int] = []
    throughput = Throughput(clocked(0.001, log))
    rates = [throughput(Effort("asyncio", seconds=1.0)) for _ in range(2)]
    assert rates == pytest.approx([1000.0, 1000.0])
    assert log[-2:] == [1000, 1000]
    assert log[:-2] == sorted(set(log[:-2]))
