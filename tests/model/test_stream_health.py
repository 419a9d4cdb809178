"""Stream health: one literal table of cases, and the properties that hold for all numbers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.stream_health import StreamHealth, StreamSnapshot, stream_health

STALL = 10.0


def snapshot(**numbers: Any) -> StreamSnapshot:
    fields = {
        "buffered": 0,
        "capacity": 5,
        "sent": 0,
        "received": 0,
        "dropped": 0,
        "waiting_senders": 0,
        "waiting_receivers": 0,
        "open_senders": 1,
        "open_receivers": 1,
        "quiet_for": None,
    }
    return StreamSnapshot(**{**fields, **numbers})


@pytest.mark.parametrize(
    ("numbers", "health"),
    [
        ({}, "idle"),
        ({"waiting_receivers": 1}, "idle"),
        ({"quiet_for": 0.0}, "flowing"),
        ({"quiet_for": 9.9}, "flowing"),
        ({"quiet_for": 10.0}, "idle"),
        ({"quiet_for": 0.0, "buffered": 4}, "flowing"),
        ({"quiet_for": 0.0, "buffered": 5}, "backpressured"),
        ({"quiet_for": 0.0, "buffered": 5, "waiting_senders": 2}, "backpressured"),
        ({"quiet_for": 0.0, "buffered": 7}, "backpressured"),
        ({"quiet_for": 0.0, "capacity": 0}, "flowing"),
        ({"quiet_for": 0.0, "capacity": 0, "waiting_senders": 1}, "backpressured"),
        ({"quiet_for": 0.0, "capacity": math.inf, "buffered": 10**9}, "flowing"),
        ({"quiet_for": 10.0, "buffered": 1}, "stalled"),
        ({"quiet_for": 10.0, "capacity": 0, "waiting_senders": 1}, "stalled"),
        ({"buffered": 1}, "stalled"),
        ({"quiet_for": 0.0, "open_senders": 0, "buffered": 1}, "flowing"),
        ({"quiet_for": 99.0, "open_senders": 0, "buffered": 1}, "stalled"),
        ({"quiet_for": 0.0, "open_senders": 0}, "closed"),
        ({"quiet_for": 0.0, "open_receivers": 0, "buffered": 1}, "closed"),
        ({"open_senders": 0, "open_receivers": 0}, "closed"),
    ],
)
def test_health_follows_the_numbers(numbers: dict[str, Any], health: str) -> None:
    assert stream_health(snapshot(**numbers), stall_after=STALL) == health


def test_the_words_are_those_of_the_contract() -> None:
    assert list(StreamHealth) == ["idle", "flowing", "backpressured", "stalled", "closed"]


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot().sent = 1  # type: ignore[misc]


counts = st.integers(min_value=0, max_value=9)


@given(
    numbers=st.fixed_dictionaries(
        {
            "buffered": counts,
            "capacity": st.one_of(counts, st.just(math.inf)),
            "waiting_senders": counts,
            "waiting_receivers": counts,
            "open_senders": counts,
            "open_receivers": counts,
            "quiet_for": st.one_of(st.none(), st.floats(0, 100)),
        }
    )
)
def test_stalled_and_backpressured_always_hold_messages_and_closed_ones_never_move(
    numbers: dict[str, Any],
) -> None:
    health = stream_health(snapshot(**numbers), stall_after=STALL)
    holds = numbers["buffered"] > 0 or numbers["waiting_senders"] > 0
    if health in {StreamHealth.STALLED, StreamHealth.BACKPRESSURED}:
        assert holds
    if health is StreamHealth.IDLE:
        assert not holds
    if numbers["open_senders"] and numbers["open_receivers"]:
        assert health is not StreamHealth.CLOSED
