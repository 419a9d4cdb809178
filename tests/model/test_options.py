"""Options refuse what does not fit, and name the field."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.exceptions import ConfigError
from headrace.model.options import Attempts, EdgeOptions, OutputOptions, Timeouts


def test_the_defaults_are_those_of_the_house() -> None:
    assert EdgeOptions() == EdgeOptions(100, "block", False)
    assert OutputOptions() == OutputOptions("broadcast", None)
    assert Timeouts() == Timeouts(30.0, 5.0, 5.0, 0.5)
    assert Attempts() == Attempts(3, "dead_letter", 0.05)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: EdgeOptions(0), "buffer_size"),
        (lambda: EdgeOptions(-1), "buffer_size"),
        (lambda: EdgeOptions(1.5), "buffer_size"),  # type: ignore[arg-type]
        (lambda: EdgeOptions(True), "buffer_size"),
        (lambda: EdgeOptions(math.inf), "buffer_size"),  # type: ignore[arg-type]
        (lambda: EdgeOptions(when_full="drop"), "when_full"),  # type: ignore[arg-type]
        (lambda: EdgeOptions(when_full=None), "when_full"),  # type: ignore[arg-type]
        (lambda: EdgeOptions(copy="yes"), "copy"),  # type: ignore[arg-type]
        (lambda: OutputOptions("everywhere"), "fan_out"),  # type: ignore[arg-type]
        (lambda: OutputOptions("by_key"), "key"),
        (lambda: OutputOptions("balance", str), "key"),
        (lambda: OutputOptions("by_key", "id"), "key"),  # type: ignore[arg-type]
        (lambda: Timeouts(setup=0), "setup"),
        (lambda: Timeouts(cleanup=-1), "cleanup"),
        (lambda: Timeouts(shutdown=math.inf), "shutdown"),
        (lambda: Timeouts(source_grace=math.nan), "source_grace"),
        (lambda: Timeouts(setup=True), "setup"),
        (lambda: Timeouts(setup="5"), "setup"),  # type: ignore[arg-type]
        (lambda: Attempts(0), "attempts"),
        (lambda: Attempts(2.0), "attempts"),  # type: ignore[arg-type]
        (lambda: Attempts(on_error="ignore"), "on_error"),  # type: ignore[arg-type]
        (lambda: Attempts(backoff=-0.1), "backoff"),
        (lambda: Attempts(backoff=math.nan), "backoff"),
        (lambda: Attempts(backoff=math.inf), "backoff"),
        (lambda: Attempts(backoff=False), "backoff"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_names_its_field(make: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.field == field
    assert field.split("_")[0] in str(caught.value)


def test_a_misspelt_choice_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'drop_oldest'"):
        EdgeOptions(when_full="drop_old")  # type: ignore[arg-type]


def test_values_that_fit_are_taken() -> None:
    assert EdgeOptions(1, "error", True).buffer_size == 1
    assert OutputOptions("by_key", len).key is len
    assert Timeouts(setup=1).setup == 1
    assert Attempts(1, "crash", 0).pause_before(2) == 0


def test_the_pause_doubles_with_each_attempt() -> None:
    pauses = [Attempts().pause_before(attempt) for attempt in range(2, 6)]
    assert pauses == [0.05, 0.1, 0.2, 0.4]


@given(st.integers(2, 100_000), st.floats(0, 1000))
def test_the_pause_never_exceeds_half_a_minute_nor_shrinks_below_the_first(
    attempt: int, first: float
) -> None:
    pause = Attempts(attempts=attempt, backoff=first).pause_before(attempt)
    assert first <= pause <= max(first, 30.0)
