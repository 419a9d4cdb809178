"""``throttle``, ``rate_limit``, ``sample`` and ``debounce``, in virtual time."""

from __future__ import annotations

import random
import time
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import Backoff, HarnessComponent, Out, RestartPolicy, System
from headrace.components import Debounce, RateLimit, Sample, Throttle
from headrace.exceptions import ConfigError
from headrace.testing import feed_all

# --- throttle ---------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 3), st.sampled_from([1, 4, 10]))
def test_in_any_time_of_that_length_no_more_than_the_rate_go_through_and_none_else_is_dropped(
    pauses: list[int], rate: int, per: int
) -> None:
    throttle = Throttle("t", {"rate": rate, "per": per})
    now = 0.0
    throttle.context = _At(lambda: now)  # type: ignore[assignment]
    passed: list[float] = []
    for pause in pauses:
        now += pause
        through, dropped, _ = throttle._sort_out([now])
        expected = sum(1 for at in passed if now - at < per) < rate
        assert (through, dropped) == (([now], []) if expected else ([], [now]))
        passed += through


class _At:
    """A context that has nothing but a clock."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock


def test_a_throttle_goes_by_the_clock_and_counts_what_it_drops(run_timed: Any) -> None:
    timed = [(0, "a"), (1, "b"), (2, "c"), (10, "d"), (10.5, "e"), (11, "f")]
    of: list[Any] = []
    seen = run_timed(Throttle, {"rate": 2, "per": "10s"}, in_=timed, until=12, of=of)
    assert seen["out"] == [(0, "a"), (1, "b"), (10, "d"), (11, "f")]
    assert seen["dropped"] == [(2, "c"), (10.5, "e")]
    assert of[0].dropped_messages == 2


def test_each_key_has_a_rate_of_its_own(run_timed: Any) -> None:
    timed = [(0, {"k": 1}), (0, {"k": 2}), (1, {"k": 1}), (2, {"x": 1}), (3, {"k": []})]
    seen = run_timed(Throttle, {"per": 5, "by": ["k"]}, in_=timed, until=4)
    assert [message["k"] for _, message in seen["out"]] == [1, 2]
    assert [rejected.reason.split(",")[0] for _, rejected in seen["rejected"]] == [
        "no field 'k'",
        "its key cannot be looked up: unhashable type: 'list'",
    ]


async def test_the_keys_of_a_throttle_are_bounded(run_through: Any) -> None:
    rows = [{"k": 1}, {"k": 2}, {"k": 1}, {"k": 1}]
    seen = await run_through(Throttle, {"per": 1000, "by": ["k"], "max_keys": 1}, in_=rows)
    assert [row["k"] for row in seen.out] == [1, 2, 1]
    assert (seen.component.forgotten, len(seen.component._passed)) == (2, 1)


# --- rate_limit -------------------------------------------------------------------------------------


def test_messages_beyond_the_rate_wait_for_their_turn(run_timed: Any) -> None:
    timed = [(0, n) for n in range(4)] + [(10, n) for n in range(4, 8)]
    seen = run_timed(RateLimit, {"rate": 2}, in_=timed, until=10)
    assert seen["out"] == [(0, 0), (0.5, 1), (1, 2), (1.5, 3), (10, 4), (10.5, 5), (11, 6), (11.5, 7)]


def test_after_a_pause_some_may_go_at_once(run_timed: Any) -> None:
    timed = [(0, n) for n in range(5)] + [(3, n) for n in range(5, 8)]
    seen = run_timed(RateLimit, {"rate": 1, "burst": 3}, in_=timed, until=3)
    assert [at for at, _ in seen["out"]] == [0, 0, 0, 1, 2, 3, 4, 5]
    assert [n for _, n in seen["out"]] == list(range(8))


def test_more_than_a_buffer_holds_comes_at_the_rate_too(run_timed: Any) -> None:
    seen = run_timed(RateLimit, {"rate": 10}, in_=[(0, n) for n in range(150)], until=0)
    assert seen["out"] == [(n / 10, n) for n in range(150)]


async def test_it_stops_at_once_where_the_run_is_cancelled(feed: Any, collect: Any) -> None:
    system = System("slow")
    sink = collect("sink")
    system.connect(system.add("feed", feed("feed", [1, 2])), system.add("it", RateLimit, {"rate": 0.001}))
    system.add("sink", sink)
    system.connect("it.out", "sink.in")
    began = time.monotonic()
    async with anyio.create_task_group() as running:
        running.start_soon(system.run)
        await anyio.wait_all_tasks_blocked()
        running.cancel_scope.cancel()
    assert sink.messages == [1]
    assert time.monotonic() - began < 2


# --- sample -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3, 7, 100])
async def test_of_every_so_many_the_first_goes_through(run_through: Any, every: int) -> None:
    seen = await run_through(Sample, {"every": every}, in_=range(50))
    assert seen.out == list(range(0, 50, every))


async def test_a_share_goes_through_by_the_random_source_of_the_context(probe: Any) -> None:
    async with probe(Sample, config={"share": 0.3}) as p:
        p.context.random.seed(5)
        await p.feed(*range(1000))
        sent = (await p.finish())["out"]
    chance = random.Random(5)
    assert sent == [n for n in range(1000) if chance.random() < 0.3]


def test_all_or_none_go_through_where_that_is_the_share() -> None:
    assert feed_all(Sample, range(9), config={"share": 1}).out == list(range(9))
    assert feed_all(Sample, range(9), config={"share": 0}).out == []


# --- debounce ---------------------------------------------------------------------------------------


def test_the_latest_message_comes_when_none_has_followed(run_timed: Any) -> None:
    timed = [(0, 1), (1, 2), (2.5, 3), (10, 4), (11.9, 5), (20, 6)]
    of: list[Any] = []
    seen = run_timed(Debounce, {"quiet": "2s"}, in_=timed, until=21, of=of)
    assert seen["out"] == [(4.5, 3), (13.9, 5), (21, 6)]
    assert of[0].superseded == 3


def test_no_longer_than_max_wait_nothing_comes(run_timed: Any) -> None:
    timed = [(n, n) for n in range(10)]
    seen = run_timed(Debounce, {"quiet": 2, "max_wait": 4.5}, in_=timed, until=30)
    assert seen["out"] == [(4.5, 4), (9.5, 9)]


def test_max_wait_alone_gives_the_latest_in_each_time(run_timed: Any) -> None:
    timed = [(n, n) for n in range(1, 8)] + [(100, 100)]
    seen = run_timed(Debounce, {"max_wait": 2.5}, in_=timed, until=200)
    assert seen["out"] == [(3.5, 3), (6.5, 6), (9.5, 7), (102.5, 100)]


def test_each_key_is_debounced_for_itself(run_timed: Any) -> None:
    timed = [(0, {"k": 1, "n": 0}), (1, {"k": 2, "n": 1}), (1.5, {"k": 1, "n": 2}), (1.6, {"n": 3})]
    seen = run_timed(Debounce, {"quiet": 2, "by": ["k"]}, in_=timed, until=9)
    assert [(at, message["n"]) for at, message in seen["out"]] == [(3, 1), (3.5, 2)]
    assert [rejected.message for _, rejected in seen["rejected"]] == [{"n": 3}]


def test_with_one_key_too_many_the_one_that_is_due_first_comes_early(run_timed: Any) -> None:
    timed = [(0, {"k": 1}), (1, {"k": 2}), (2, {"k": 1}), (3, {"k": 3})]
    of: list[Any] = []
    seen = run_timed(Debounce, {"quiet": 10, "by": ["k"], "max_keys": 2}, in_=timed, until=20, of=of)
    assert [(at, message["k"]) for at, message in seen["out"]] == [(3, 2), (12, 1), (13, 3)]
    assert (of[0].sent_early, of[0].superseded) == (1, 1)


def test_many_messages_of_a_key_leave_no_notes_behind() -> None:
    fed = feed_all(Debounce, range(5000), config={"quiet": 100})
    assert fed.out == [4999]


def test_notes_of_what_is_due_are_bounded() -> None:
    debounce = Debounce("d", {"quiet": 1, "by": ["k"]})
    debounce._held["a"] = debounce_held = _held(due=5000.0)
    for due in range(5001):
        debounce._push(float(due), "a")
    assert len(debounce._dues) <= 18
    assert debounce._first_due() == debounce_held.due


def _held(due: float) -> Any:
    from headrace.components.holding import HeldBack

    return HeldBack("message", due, due)


@pytest.mark.parametrize("ack", ["manual", "auto"])
async def test_what_is_held_at_a_crash_comes_again_where_it_acknowledges(ack: Any) -> None:
    got: list[int] = []

    class Numbers(HarnessComponent):
        out: Out[int]

        async def process(self) -> None:
            for number in (1, 2, 3):
                await self.out.send(number)

    class Fragile(Debounce):
        restart = RestartPolicy(backoff=Backoff(0.001))
        crashed = False

        async def _send(self, messages: Any) -> None:
            if messages and not Fragile.crashed:
                Fragile.crashed = True
                raise ValueError("boom")
            await super()._send(messages)

    def keep(number: int) -> None:
        got.append(number)

    system = System("crash")
    system.connect(system.add("numbers", Numbers), system.add("it", Fragile, {"quiet": 100}, ack=ack))
    system.add("keep", keep)
    system.connect("it.out", "keep")
    report = await system.run()
    assert report.ledger.closes
    if ack == "manual":
        assert got == [3]
        assert report.restarts[0].redelivered == 1
        assert not report.restarts[0].state_lost
        assert report.summary().startswith("in 3 out 1 rejected 0 lost 0 in")
    else:
        assert report.restarts[0].state_lost


@pytest.mark.parametrize(
    ("component", "config", "field"),
    [
        (Throttle, {"rate": 0}, "rate"),
        (Throttle, {"per": 0}, "per"),
        (Throttle, {"max_keys": 0}, "max_keys"),
        (Throttle, {"by": ["a", "a"]}, "by"),
        (RateLimit, {"rate": 0}, "rate"),
        (RateLimit, {"rate": float("inf")}, "rate"),
        (RateLimit, {"rate": 1, "burst": 0}, "burst"),
        (RateLimit, {"rate": 1, "per": "x"}, "per"),
        (Sample, {}, "every"),
        (Sample, {"every": 1, "share": 1}, "every"),
        (Sample, {"every": 0}, "every"),
        (Sample, {"share": 1.5}, "share"),
        (Debounce, {}, "quiet"),
        (Debounce, {"quiet": -1}, "quiet"),
        (Debounce, {"quiet": 1, "max_wait": 0}, "max_wait"),
        (Debounce, {"quiet": 1, "max_keys": 0}, "max_keys"),
        (Debounce, {"quiet": 1, "by": [""]}, "by"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(component: Any, config: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        component("c", config)
    assert caught.value.field == field
