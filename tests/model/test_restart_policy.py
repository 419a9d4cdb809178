"""When a component is restarted, after what pause, when that is given up, and who goes with it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.exceptions import ConfigError
from headrace.model.restart_policy import (
    NEVER,
    Backoff,
    GiveUp,
    Restart,
    RestartCounter,
    RestartPolicy,
    check_strategy,
    restarted_with,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def counter(policy: RestartPolicy, clock: Clock | None = None, chance: float = 0.0) -> RestartCounter:
    """Return a counter whose randomness is known."""
    return RestartCounter(policy, clock=clock or Clock(), random=lambda: chance)


def crash_after(counter: RestartCounter, clock: Clock, seconds: float) -> Restart | GiveUp:
    """Let a component run for a while and fail."""
    counter.began()
    clock.now += seconds
    return counter.ended(failed=True)


# --- settings ----------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_house() -> None:
    assert RestartPolicy() == RestartPolicy("failure", 5, 60.0, Backoff(0.1, 30.0))
    assert RestartPolicy.of("never") is NEVER
    assert RestartPolicy.of("always") == RestartPolicy("always")
    own = RestartPolicy(max_restarts=3)
    assert RestartPolicy.of(own) is own


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RestartPolicy("failures"), "not 'failures'.*did you mean 'failure'"),  # type: ignore[arg-type]
        (lambda: RestartPolicy.of(5), "a RestartPolicy or a word, not 5"),  # type: ignore[arg-type]
        (lambda: RestartPolicy(max_restarts=0), "max_restarts must be a whole number of at least 1, not 0"),
        (lambda: RestartPolicy(max_restarts=True), "max_restarts .* not True"),
        (lambda: RestartPolicy(within=0), "within must be a positive"),
        (lambda: RestartPolicy(within=math.inf), "within must be a positive, finite"),
        (lambda: RestartPolicy(backoff=3), "must be a Backoff, not 3"),  # type: ignore[arg-type]
        (lambda: Backoff(-1), "first must be seconds of at least 0"),
        (lambda: Backoff(5, 4), "longest must be seconds of at least 'first', 5, not 4"),
        (lambda: Backoff(jitter=1.5), "jitter must be a share from 0 to 1"),
        (lambda: check_strategy("one_for_two"), "did you mean 'one_for_one'"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()


# --- pauses ------------------------------------------------------------------------------------


def test_pauses_double_up_to_the_longest() -> None:
    assert [Backoff().pause_before(n) for n in (1, 2, 3, 9, 10, 5_000)] == [0.1, 0.2, 0.4, 25.6, 30.0, 30.0]
    assert Backoff(0).pause_before(50) == 0


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1), st.floats(0, 40))
def test_chance_makes_a_pause_shorter_by_its_share_at_most(
    restart: int, chance: float, jitter: float, first: float
) -> None:
    whole = Backoff(first, 40.0, 0).pause_before(restart)
    pause = Backoff(first, 40.0, jitter).pause_before(restart, chance)
    assert whole * (1 - jitter) - 1e-9 <= pause <= whole <= 40.0


# --- verdicts ----------------------------------------------------------------------------------


def test_never_and_a_normal_return_after_failures_only_are_no_restarts() -> None:
    assert counter(NEVER).ended(failed=True) == GiveUp()
    assert counter(RestartPolicy("failure")).ended(failed=False) == GiveUp()
    assert counter(RestartPolicy("always")).ended(failed=False) == Restart(1, 5, 0.1)
    assert str(GiveUp()) == ""


def test_one_more_than_the_restarts_there_may_be_is_given_up() -> None:
    clock = Clock()
    crashes = counter(RestartPolicy(max_restarts=3), clock)
    verdicts = [crash_after(crashes, clock, 1) for _ in range(4)]
    assert verdicts == [Restart(1, 3, 0.1), Restart(2, 3, 0.2), Restart(3, 3, 0.4), GiveUp(3, 60.0)]
    assert str(verdicts[-1]) == "after 3 restarts within 60 s"


def test_the_time_between_lives_does_not_count() -> None:
    clock = Clock()
    crashes = counter(RestartPolicy(max_restarts=2, within=1), clock)
    for _ in range(2):
        assert isinstance(crash_after(crashes, clock, 0.1), Restart)
        clock.now += 1_000  # a long back-off
    assert isinstance(crash_after(crashes, clock, 0.1), GiveUp)


def test_a_life_that_failed_before_it_began_counts_like_any_other() -> None:
    crashes = counter(RestartPolicy(max_restarts=2))
    assert [type(crashes.ended(failed=True)) for _ in range(3)] == [Restart, Restart, GiveUp]


def test_after_a_healthy_while_count_and_pause_begin_anew() -> None:
    clock = Clock()
    crashes = counter(RestartPolicy(max_restarts=3, within=10), clock)
    for _ in range(2):
        crash_after(crashes, clock, 1)
    assert crash_after(crashes, clock, 10) == Restart(1, 3, 0.1)


def test_restarts_slide_out_of_the_window_one_by_one() -> None:
    clock = Clock()
    crashes = counter(RestartPolicy(max_restarts=2, within=10), clock)
    assert all(isinstance(crash_after(crashes, clock, 6), Restart) for _ in range(50))
    assert isinstance(crash_after(crashes, clock, 3), GiveUp)


@given(
    st.lists(st.floats(0, 20), max_size=60),
    st.integers(1, 6),
    st.floats(0.5, 30),
)
def test_in_no_window_of_running_time_are_there_more_restarts_than_allowed(
    lives: list[float], most: int, within: float
) -> None:
    clock = Clock()
    crashes = counter(RestartPolicy(max_restarts=most, within=within), clock)
    ran, restarts = 0.0, list[float]()
    for life in lives:
        began = clock.now
        verdict = crash_after(crashes, clock, life)
        ran += clock.now - began
        recent = [at for at in restarts if at > ran - within]
        if isinstance(verdict, GiveUp):
            assert len(recent) == most
            return
        assert len(recent) < most
        assert verdict.number == len(recent) + 1
        restarts.append(ran)


# --- who goes with it --------------------------------------------------------------------------

RECEIVERS = {"a": ["b"], "b": ["c", "d"], "c": ["b"], "x": ["d"]}


@pytest.mark.parametrize(
    ("strategy", "failed", "expected"),
    [
        ("one_for_one", "b", ("b",)),
        ("rest_for_one", "b", ("b", "c", "d")),
        ("rest_for_one", "d", ("d",)),
        ("rest_for_one", "a", ("a", "b", "c", "d")),
        ("rest_for_one", "x", ("d", "x")),
        ("one_for_all", "d", ("a", "b", "c", "d", "x")),
    ],
)
def test_a_strategy_says_who_is_restarted_with_it(
    strategy: Any, failed: str, expected: tuple[str, ...]
) -> None:
    assert restarted_with(strategy, failed, "abcdx", RECEIVERS) == expected
