"""The latency of an edge: one message at a time is followed, on a clock of our own."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from tests.streams.edges import one_edge

from headrace.streams import latency as latency_module


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time, in a list of one."""
    now = [100.0]
    monkeypatch.setattr(latency_module, "perf_counter", lambda: now[0])
    return now


def highest(edge: Any) -> float:
    value: float = edge.latency.histogram.summary().highest
    return value


async def test_a_message_is_timed_from_its_acceptance_to_its_hand_over(clock: list[float]) -> None:
    send, receive, edge = one_edge()
    await send.send(1)
    clock[0] += 2.0
    await receive.receive()
    assert highest(edge) == pytest.approx(2.0, rel=0.25)
    assert edge.latency.histogram.summary().samples == 1


async def test_the_one_that_is_followed_is_timed_when_its_own_turn_comes(clock: list[float]) -> None:
    send, receive, edge = one_edge(10, when_full="error")
    send.send_nowait("first")
    await receive.receive()
    clock[0] += 1
    for name in ("a", "b", "c"):
        await send.send(name)
    edge.latency.forget()
    edge.outlet.flush()
    edge.outlet.room = 0  # the long way: this one is followed, behind three others
    await send.send("followed")
    counted = edge.latency.histogram.summary().samples
    for expected in ("a", "b", "c"):
        clock[0] += 10
        assert await receive.receive() == expected
        assert edge.latency.histogram.summary().samples == counted
    clock[0] += 10
    assert await receive.receive() == "followed"
    assert highest(edge) == pytest.approx(40, rel=0.25)


async def test_a_message_that_is_dropped_is_followed_no_more(clock: list[float]) -> None:
    send, receive, edge = one_edge(1, when_full="drop_oldest")
    await send.send(1)
    clock[0] += 50
    await send.send(2)
    assert await receive.receive() == 2
    assert highest(edge) < 50


async def test_what_is_put_back_goes_before_the_one_that_is_followed(clock: list[float]) -> None:
    send, receive, edge = one_edge()
    await send.send(1)
    await receive.receive()
    edge.outlet.room = 0  # the long way, on which messages are followed
    await send.send(2)
    edge.latency.forget()
    edge.latency.follow(1)  # what comes alone is followed one time in eight only; say it came behind another
    edge.latency.ahead = 0
    edge.inlet.put_back(edge, [1])
    clock[0] += 5
    assert await receive.receive() == 1
    assert edge.latency.histogram.summary().samples == 1
    clock[0] += 5
    assert await receive.receive() == 2
    assert highest(edge) == pytest.approx(10, rel=0.25)


async def test_of_messages_that_come_alone_one_in_eight_is_followed(clock: list[float]) -> None:
    send, receive, edge = one_edge()
    for number in range(17):
        edge.outlet.room = 0
        await send.send(number)
        await receive.receive()
    assert edge.latency.histogram.summary().samples == 3


async def test_the_end_of_the_reader_ends_the_sample(clock: list[float]) -> None:
    send, receive, edge = one_edge()
    await send.send(1)
    receive.close()
    assert edge.latency.ahead == -1
    assert edge.latency.histogram.summary().samples == 0


async def test_a_reader_that_waits_gets_its_message_at_once(clock: list[float]) -> None:
    send, receive, edge = one_edge()
    async with create_task_group() as group:
        group.start_soon(receive.receive)
        await wait_all_tasks_blocked()
        await send.send(1)
    assert edge.latency.histogram.summary().samples == 1
    assert highest(edge) < 1e-6
