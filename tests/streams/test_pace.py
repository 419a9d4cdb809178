"""The quantum: whoever never waits still lets the others run, and soon; counted on a clock of our own."""

from __future__ import annotations

import anyio
import pytest
from anyio import ClosedResourceError, create_task_group
from anyio.lowlevel import checkpoint
from tests.streams.edges import fan_in, one_edge

from headrace.streams import pace as pace_module
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.pace import QUANTUM, WIDEST, Pace


class Clock:
    """Seconds that pass only when work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace_module, "perf_counter", clock)
    monkeypatch.setattr(pace_module, "_loop", pace_module._Loop())  # of the real clock otherwise
    return clock


@pytest.fixture
def gaps(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each stretch without a turn for the others was."""
    stretches: list[float] = []
    last = clock.now

    async def recorded() -> None:
        nonlocal last
        stretches.append(clock.now - last)
        await checkpoint()
        last = clock.now

    monkeypatch.setattr(pace_module, "checkpoint", recorded)
    return stretches


FIRST_OVERRUN = 2.5 * QUANTUM  # a span that was right for quicker work, before it narrows


@pytest.mark.parametrize("work", [0.000_001, 0.000_05, 0.001, 0.02])
async def test_a_busy_consumer_lets_others_run(clock: Clock, gaps: list[float], work: float) -> None:
    send, receive, _ = one_edge(5000)
    for number in range(2000):
        send.send_nowait(number)
    send.close()

    async for _ in receive:
        clock.work(work)

    assert max(gaps) <= max(FIRST_OVERRUN, 8 * work) + 1e-9
    assert sorted(gaps)[-2] <= max(2 * QUANTUM, work) + 1e-9


@pytest.mark.parametrize("work", [0.000_001, 0.000_05, 0.001, 0.02])
async def test_a_busy_source_lets_others_run(clock: Clock, gaps: list[float], work: float) -> None:
    send, _, _ = one_edge(5000)

    for number in range(2000):
        clock.work(work)
        await send.send(number)

    assert max(gaps) <= max(FIRST_OVERRUN, 9 * work) + 1e-9
    assert sorted(gaps)[-2] <= max(2 * QUANTUM, work) + 1e-9


@pytest.mark.fault(14)
async def test_others_really_get_a_turn_each_time(clock: Clock, gaps: list[float]) -> None:
    send, _, _ = one_edge(5000)
    turns = 0

    async def bystander() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with create_task_group() as group:
        group.start_soon(bystander)
        for number in range(2000):
            clock.work(0.001)
            await send.send(number)
        group.cancel_scope.cancel()
    assert turns >= 1900


async def test_a_source_that_nobody_is_connected_to_lets_others_run(clock: Clock, gaps: list[float]) -> None:
    outlet: AnyOutlet = Outlet("a.out")
    send = outlet.open()
    for number in range(2000):
        clock.work(0.000_05)
        await send.send(number)
    assert max(gaps) <= FIRST_OVERRUN
    assert outlet.discarded == 2000


async def test_a_consumer_that_turns_slow_is_caught_at_once(clock: Clock, gaps: list[float]) -> None:
    send, receive, _ = one_edge(5000)
    for number in range(5000):
        send.send_nowait(number)
    send.close()

    async for number in receive:
        clock.work(0.000_001 if number < 3000 else 0.005)

    too_long = [gap for gap in gaps if gap > 0.005 + 1e-9]
    assert len(too_long) <= 1  # one wide span was under way; the next one is as narrow as the work needs


async def test_a_fan_in_reader_lets_others_run(clock: Clock, gaps: list[float]) -> None:
    sends, receive, _ = fan_in([1000] * 4)
    for send in sends:
        for number in range(1000):
            send.send_nowait(number)
        send.close()

    async for _ in receive:
        clock.work(0.000_05)

    assert max(gaps) <= FIRST_OVERRUN


async def test_the_span_widens_while_messages_are_quick_and_never_beyond_its_bounds(clock: Clock) -> None:
    pace = Pace()
    for _ in range(10):
        assert not pace.is_over(pace.span)
    assert pace.span == WIDEST
    clock.work(10)
    assert pace.is_over(WIDEST)
    assert pace.span == 1
    await pace.give_way()
    clock.work(1.5 * QUANTUM)
    assert pace.is_over(1)
    assert pace.span == 1


async def test_a_few_quick_messages_do_not_widen_the_span(clock: Clock) -> None:
    pace = Pace()
    for _ in range(10):
        pace.is_over(pace.span - 1)
    assert pace.span == 8


async def test_a_wait_begins_a_new_quantum(clock: Clock) -> None:
    pace = Pace()
    clock.work(10)
    pace.waited()
    assert pace.since == clock.now
    assert not pace.is_over(8)
    assert pace.span == 16, "the wait was no work"


async def test_a_turn_for_others_that_is_cancelled_is_given_again(clock: Clock) -> None:
    pace = Pace()
    clock.work(1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await pace.give_way()
    assert scope.cancelled_caught
    assert pace.is_over(0)


async def test_a_handle_that_is_closed_while_it_gives_way_refuses_the_call(clock: Clock) -> None:
    send, _, edge = one_edge()
    other, receive, _ = one_edge()
    await other.send(1)
    errors: list[str] = []

    async def sender() -> None:
        try:
            await send.send(1)
        except ClosedResourceError:
            errors.append("send")

    async def receiver() -> None:
        try:
            await receive.receive()
        except ClosedResourceError:
            errors.append("receive")

    for task, handle in ((sender, send), (receiver, receive)):  # apart: else the one may serve the other
        clock.work(1)
        async with create_task_group() as group:
            group.start_soon(task)
            await checkpoint()
            handle.close()
    assert errors == ["send", "receive"]
    assert edge.accepted == 0
