"""``retry``: what is called again, after which pauses, and when a message is given up; all in virtual time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest

from headrace import Rejected, System
from headrace.components import Retry
from headrace.exceptions import ConfigError, MissingExtraError

EXACT = {"first": 1, "longest": 4, "jitter": 0}


class Flaky:
    """A function that fails so often for each message."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or ConnectionError("refused")
        self.calls: list[Any] = []

    async def __call__(self, message: Any) -> Any:
        self.calls.append(message)
        if self.calls.count(message) <= self.failures:
            raise self.error
        return message


def double(number: int) -> int | Rejected[int] | None:
    """Return twice a number, nothing for 0."""
    return 2 * number if number > 0 else None if number == 0 else Rejected(number, "negative")


def test_what_a_function_returns_is_sent(run_timed: Any) -> None:
    feed = [(0, 1), (0, 0), (0, -1), (0, 2)]
    seen = run_timed(Retry, {"call": double}, in_=feed)
    assert [message for _, message in seen["out"]] == [2, 4]
    assert [(one.message, one.reason) for _, one in seen["rejected"]] == [(-1, "negative")]


def test_it_is_called_again_after_pauses_that_grow_up_to_the_longest(run_timed: Any) -> None:
    made: list[Any] = []
    call = Flaky(4)
    seen = run_timed(Retry, {"call": call, **EXACT}, in_=[(0, "a"), (0, "b")], of=made)
    assert seen == {"out": [(11, "a"), (22, "b")], "rejected": []}  # 1 + 2 + 4 + 4 each
    assert call.calls == ["a"] * 5 + ["b"] * 5
    assert (made[0].retried, made[0].given_up) == (8, 0)


def test_chance_takes_away_its_share_of_a_pause(run_timed: Any) -> None:
    seen = run_timed(Retry, {"call": Flaky(1), "first": 1, "jitter": 0.5}, in_=[(0, n) for n in range(20)])
    times = [0.0, *(time for time, _ in seen["out"])]
    pauses = [after - before for before, after in pairwise(times)]
    assert 0.499 <= min(pauses) < max(pauses) <= 1.001


def test_after_the_last_attempt_a_message_is_rejected_and_the_next_one_has_all(run_timed: Any) -> None:
    seen = run_timed(Retry, {"call": Flaky(3), "max_attempts": 3, **EXACT}, in_=[(0, "a"), (0, "b")])
    assert seen["out"] == []
    assert [(time, one.message, one.reason) for time, one in seen["rejected"]] == [
        (3, "a", "given up after 3 calls: ConnectionError refused"),
        (6, "b", "given up after 3 calls: ConnectionError refused"),
    ]


def test_another_error_is_given_up_at_once(run_timed: Any) -> None:
    seen = run_timed(Retry, {"call": Flaky(1, ValueError("no number"))}, in_=[(0, "a")])
    assert [(time, one.reason) for time, one in seen["rejected"]] == [
        (0, "given up after 1 calls: ValueError no number")
    ]


@pytest.mark.parametrize("kind", ["ValueError", ValueError, "json:JSONDecodeError"])
def test_which_errors_are_worth_another_call_is_a_setting(run_timed: Any, kind: Any) -> None:
    import json

    error = json.JSONDecodeError("no", "", 0)
    seen = run_timed(Retry, {"call": Flaky(1, error), "on": ["KeyError", kind], **EXACT}, in_=[(0, "a")])
    assert seen["out"] == [(1, "a")]


def test_no_pause_goes_beyond_the_time_of_a_message(run_timed: Any) -> None:
    seen = run_timed(Retry, {"call": Flaky(9), "within": 6, "max_attempts": 9, **EXACT}, in_=[(0, "a")])
    assert [(time, one.reason) for time, one in seen["rejected"]] == [
        (3, "given up after 3 calls: ConnectionError refused")  # the next one would be at 7
    ]


def test_a_call_that_takes_longer_than_a_message_may_is_cancelled(run_timed: Any) -> None:
    calls: list[Any] = []

    async def call(message: Any) -> Any:
        calls.append(message)
        if len(calls) == 1:
            raise OSError("down")
        await anyio.sleep_forever()

    seen = run_timed(Retry, {"call": call, "within": "6s", **EXACT}, in_=[(0, "a")])
    ((time, one),) = seen["rejected"]
    assert time == 6
    assert one.reason == (
        "given up after 2 calls: TimeoutError not done within 6 s, 2 calls, last with OSError down"
    )


def test_its_log_tells_of_each_pause_and_stamina_prints_nothing_of_it(
    run_timed: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import stamina

    async def call(message: Any) -> Any:
        if message == "inner":
            async for attempt in stamina.retry_context(on=KeyError, attempts=2, wait_initial=1):
                with attempt:
                    raise KeyError("inner one")
        return await flaky(message)

    flaky = Flaky(1)
    run_timed(Retry, {"call": call, **EXACT}, in_=[(0, "a")])
    assert "call failed" in caplog.text
    assert capsys.readouterr().out == ""
    run_timed(Retry, {"call": call, **EXACT}, in_=[(0, "inner")])
    assert "inner one" in capsys.readouterr().out


def test_what_is_given_up_may_be_a_dead_letter(
    in_virtual_time: Callable[[Any], Any], feed: Any, collect: Any
) -> None:
    async def main() -> Any:
        system = System("letters")
        system.add("feed", feed("feed", ["a", "b"]))
        system.add("retry", Retry, {"call": Flaky(2), "max_attempts": 2, "otherwise": "dead_letter"})
        system.add("end", collect("end"))
        system.connect("feed.out", "retry.in")
        system.connect("retry.out", "end.in")
        return await system.run()

    report = in_virtual_time(main)
    assert [(one.component, one.message, one.attempts) for one in report.dead_letters] == [
        ("retry", "a", 2),
        ("retry", "b", 2),
    ]
    assert report.ledger.closes
    assert report.ledger.edges[0].dead_lettered == 2


async def test_a_cancellation_ends_a_pause_and_keeps_the_message(feed: Any, collect: Any) -> None:
    call = Flaky(9)
    system = System("stopped")
    system.add("feed", feed("feed", ["a"]))
    system.add("retry", Retry, {"call": call, "first": 3600, "longest": 3600, "within": 36000})
    system.add("end", collect("end"))
    system.connect("feed.out", "retry.in")
    system.connect("retry.out", "end.in")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            while not call.calls:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert call.calls == ["a"]
    assert system.ledger().edges[0].acknowledged == 0


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"call": 5}, "call"),
        ({"call": "nowhere:call"}, "call"),
        ({"call": double, "on": ["NoError"]}, "on"),
        ({"call": double, "on": [double]}, "on"),
        ({"call": double, "max_attempts": 0}, "max_attempts"),
        ({"call": double, "within": 0}, "within"),
        ({"call": double, "first": 5, "longest": 4}, "longest"),
        ({"call": double, "jitter": 2}, "jitter"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Retry("c", config)
    assert caught.value.field == field


def test_without_stamina_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stamina", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[retry\]'"):
        Retry("c", {"call": double})
