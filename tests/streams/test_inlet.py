"""An input port: fan-in in turn, the message in hand, and what becomes of it."""

from __future__ import annotations

import itertools
from typing import Any

import anyio
import pytest
from anyio import ClosedResourceError, EndOfStream, WouldBlock, create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from tests.streams.edges import assert_books_close, assert_nobody_waits, fan_in, link, one_edge

from headrace.model.options import EdgeOptions
from headrace.streams import pace
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.send_stream import EdgeSendStream

# --- fan-in ----------------------------------------------------------------------------------------


async def test_fan_in_ends_when_every_sender_has_ended() -> None:
    (one, two), receive, edges = fan_in([5, 5])
    await one.send("a")
    one.close()
    assert await receive.receive() == "a"
    with pytest.raises(WouldBlock):
        receive.receive_nowait()
    got: list[str] = []

    async def read() -> None:
        got.extend([item async for item in receive])

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        await two.send("b")
        await wait_all_tasks_blocked()
        assert got == []
        two.close()
    assert got == ["b"]
    assert_books_close(*edges)
    assert_nobody_waits(*edges)


async def test_each_sender_of_a_fan_in_keeps_its_order() -> None:
    sends, receive, edges = fan_in([3, 1, 10])

    async def produce(name: int, stream: EdgeSendStream[Any]) -> None:
        async with stream:
            for number in range(50):
                await stream.send((name, number))

    got: list[tuple[int, int]] = []
    async with create_task_group() as group:
        for name, stream in enumerate(sends):
            group.start_soon(produce, name, stream)
        got.extend([item async for item in receive])
    for name in range(3):
        assert [number for who, number in got if who == name] == list(range(50))
    assert_books_close(*edges)


async def test_a_full_lane_does_not_starve_the_others() -> None:
    sends, receive, _ = fan_in([1000, 10])
    for number in range(1000):
        sends[0].send_nowait(("many", number))
    sends[1].send_nowait(("few", 0))
    until_few = 0
    while (await receive.receive())[0] != "few":
        until_few += 1
    assert until_few <= 64


async def test_a_port_without_edges_is_at_its_end() -> None:
    inlet: AnyInlet = Inlet("b.in")
    receive = inlet.open()
    for _ in range(20):
        with pytest.raises(EndOfStream):
            await receive.receive()
    assert inlet.idle
    assert inlet.exhausted


async def test_it_tells_a_listener_when_a_reader_begins_to_wait_and_when_a_sender_ends() -> None:
    send, receive, edge = one_edge()
    told: list[int] = []
    edge.inlet.on_idle = lambda: told.append(len(edge.inlet.hungry))

    async def read() -> None:
        with pytest.raises(EndOfStream):
            await receive.receive()

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        assert told == [1]
        send.close()
    assert told == [1, 0, 0]  # the sender has ended; the reader has heard of it


async def test_a_listener_may_end_the_edge_on_which_a_reader_begins_to_wait() -> None:
    _, receive, edge = one_edge()
    edge.inlet.on_idle = edge.end_sender
    with anyio.fail_after(5), pytest.raises(EndOfStream):
        await receive.receive()
    assert_nobody_waits(edge)


async def test_a_listener_that_raises_leaves_no_waiter_behind() -> None:
    _, receive, edge = one_edge()

    def broken() -> None:
        raise RuntimeError("deaf")

    edge.inlet.on_idle = broken
    with pytest.raises(RuntimeError, match="deaf"):
        await receive.receive()
    assert_nobody_waits(edge)


# --- in hand -----------------------------------------------------------------------------------------


async def test_a_message_is_in_hand_until_the_next_receive() -> None:
    send, receive, edge = one_edge()
    for number in range(3):
        await send.send(number)
    assert not receive.has_hand
    assert receive.edge_in_hand == ""

    await receive.receive()
    assert receive.has_hand
    assert receive.hand == 0
    assert receive.edge_in_hand == "a.out -> b.in"
    assert edge.ledger().in_hand == 1
    assert edge.acknowledged == 0
    assert not edge.inlet.idle

    assert receive.receive_nowait() == 1
    assert edge.acknowledged == 1
    assert await anext(receive) == 2
    assert edge.acknowledged == 2
    with pytest.raises(WouldBlock):
        receive.receive_nowait()
    assert edge.acknowledged == 3
    assert edge.inlet.idle
    assert_books_close(edge)


async def test_waiting_for_the_next_message_acknowledges_the_one_before_and_lets_go_of_it() -> None:
    send, receive, edge = one_edge()
    await send.send(1)
    await receive.receive()
    async with create_task_group() as group:
        group.start_soon(receive.receive)
        await wait_all_tasks_blocked()
        assert edge.acknowledged == 1
        assert receive.hand is None
        await send.send(2)


async def test_a_receive_on_a_closed_handle_acknowledges_nothing() -> None:
    send, receive, edge = one_edge()
    await send.send(1)
    await receive.receive()
    receive.close()
    with pytest.raises(ClosedResourceError):
        await receive.receive()
    with pytest.raises(ClosedResourceError):
        receive.receive_nowait()
    assert edge.acknowledged == 0
    assert edge.ledger().in_hand == 1


@pytest.mark.parametrize(
    ("outcome", "reason", "books"),
    [
        ("acknowledged", "", (1, 0, {})),
        ("dead_lettered", "", (0, 1, {})),
        ("dropped", "bad", (0, 0, {"bad": 1})),
        ("dropped", "", (0, 0, {"dropped": 1})),
    ],
)
async def test_settling_enters_the_outcome_once(outcome: Any, reason: str, books: Any) -> None:
    send, receive, edge = one_edge()
    await send.send(1)
    await receive.receive()
    receive.settle(outcome, reason)
    receive.settle(outcome, reason)
    ledger = edge.ledger()
    assert (ledger.acknowledged, ledger.dead_lettered, ledger.dropped) == books
    assert not receive.has_hand
    assert receive.hand is None
    assert_books_close(edge)


async def test_an_unknown_outcome_is_refused_and_the_message_stays_in_hand() -> None:
    send, receive, edge = one_edge()
    await send.send(1)
    await receive.receive()
    with pytest.raises(ValueError, match="not 'acked'"):
        receive.settle("acked")  # type: ignore[arg-type]
    assert edge.ledger().in_hand == 1


async def test_each_clone_has_a_hand_of_its_own() -> None:
    send, receive, edge = one_edge()
    clone = receive.clone()
    await send.send(1)
    await send.send(2)
    await receive.receive()
    await clone.receive()
    assert edge.ledger().in_hand == 2
    settled = edge.inlet.settle_all("dead_lettered")
    assert sorted(message for _, message in settled) == [1, 2]
    assert edge.dead_lettered == 2
    assert edge.inlet.settle_all("acknowledged") == []
    assert_books_close(edge)


async def test_a_clone_closed_with_a_message_in_hand_stays_in_the_books_until_it_is_settled() -> None:
    send, receive, edge = one_edge()
    clone = receive.clone()
    await send.send(1)
    await clone.receive()
    clone.close()
    assert edge.ledger().in_hand == 1
    assert_books_close(edge)
    edge.inlet.settle_all("acknowledged")
    assert edge.inlet.handles == [receive]
    assert_books_close(edge)


async def test_clones_that_come_and_go_leave_nothing_behind() -> None:
    send, receive, edge = one_edge()
    for _ in range(1000):
        send.clone().close()
        receive.clone().close()
    assert len(edge.outlet.handles) == len(edge.inlet.handles) == 1


@pytest.mark.parametrize("start", ["both wait", "one gives way"])
async def test_two_tasks_on_one_handle_lose_no_message_from_the_books(start: str) -> None:
    send, receive, edge = one_edge()
    got: list[int] = []

    async def read() -> None:
        got.extend([item async for item in receive])

    async with create_task_group() as group:
        group.start_soon(read)
        group.start_soon(read)
        if start == "both wait":
            await wait_all_tasks_blocked()
        for number in range(200):
            send.send_nowait(number) if number % 3 and not edge.full else await send.send(number)
            if number % 7 == 0:
                await checkpoint()
            assert_books_close(edge)
        send.close()
    assert sorted(got) == list(range(200))
    assert_books_close(edge)
    assert edge.acknowledged == 200


async def test_clones_share_the_messages_and_each_gets_some() -> None:
    send, receive, edge = one_edge(1)
    got: dict[str, list[int]] = {"a": [], "b": []}

    async def read(name: str, stream: EdgeReceiveStream[Any]) -> None:
        async with stream:
            async for item in stream:
                got[name].append(item)

    async with create_task_group() as group:
        group.start_soon(read, "a", receive.clone())
        group.start_soon(read, "b", receive)
        for number in range(100):
            await send.send(number)
        send.close()
    assert sorted(got["a"] + got["b"]) == list(range(100))
    assert min(len(got["a"]), len(got["b"])) >= 40
    assert_books_close(edge)


# --- fairness: counted, not timed ------------------------------------------------------------------


async def shares_of_four(
    sends: list[EdgeSendStream[Any]], receive: EdgeReceiveStream[Any], yields: bool
) -> Any:
    received = [0] * 4

    async def produce(name: int, stream: EdgeSendStream[Any]) -> None:
        while True:
            await stream.send(name)
            if yields:
                await checkpoint()

    async with create_task_group() as group:
        for name, stream in enumerate(sends):
            group.start_soon(produce, name, stream)
        await wait_all_tasks_blocked()  # who starts first may fill the edge; shares count from then on
        for number in range(12_000):
            name = await receive.receive()
            received[name] += number >= 4_000
        group.cancel_scope.cancel()
    return received


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look at the clock take 2 us: the quantum ends now and then, and it is the same each time."""
    now = itertools.count(step=0.000_002)
    monkeypatch.setattr(pace, "perf_counter", lambda: next(now))


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("yields", [False, True], ids=["busy", "polite"])
@pytest.mark.parametrize("shape", ["clones of one handle", "edges of their own"])
@pytest.mark.parametrize("capacity", [1, 100, 1000])
async def test_four_producers_get_equal_shares(capacity: int, shape: str, yields: bool) -> None:
    if shape == "clones of one handle":
        send, receive, edge = one_edge(capacity)
        sends, edges = [send, *(send.clone() for _ in range(3))], [edge]
    else:
        sends, receive, edges = fan_in([capacity] * 4)
    received = await shares_of_four(sends, receive, yields)
    assert max(received) / min(received) <= 1.2, received
    assert_books_close(*edges)
    assert_nobody_waits(*edges)


async def test_a_producer_that_comes_late_is_not_starved() -> None:
    send, receive, _ = one_edge(10)
    accepted = {"early": 0, "late": 0}

    async def produce(name: str, stream: EdgeSendStream[Any]) -> None:
        while True:
            await stream.send(name)
            accepted[name] += 1

    async with create_task_group() as group:
        group.start_soon(produce, "early", send)
        for _ in range(2000):
            await receive.receive()
        before = accepted["early"]
        group.start_soon(produce, "late", send.clone())
        for _ in range(20_000):
            await receive.receive()
        group.cancel_scope.cancel()
    assert max(accepted["early"] - before, accepted["late"]) / accepted["late"] <= 1.2


async def test_the_statistics_of_a_fan_in_are_those_of_its_edges_together() -> None:
    (one, _), receive, _ = fan_in([2, 3])
    one.clone()
    await one.send(1)
    assert receive.statistics() == (1, 5, 3, 1, 0, 0)


def test_an_edge_may_join_ports_that_exist_already() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlet: AnyInlet = Inlet("b.in")
    edge = link(outlet, inlet, EdgeOptions(3))
    outlet.open().send_nowait(1)
    assert inlet.open().receive_nowait() == 1
    assert_books_close(edge)
