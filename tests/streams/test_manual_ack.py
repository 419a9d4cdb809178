"""``ack``, ``nack`` and ``release``: what is in hand until its component says that it is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from anyio import ClosedResourceError, EndOfStream, WouldBlock, create_task_group, wait_all_tasks_blocked
from tests.streams.edges import assert_books_close, assert_nobody_waits, one_edge

from headrace.exceptions import NackedError, NotInHandError
from headrace.streams import redelivering
from headrace.streams.edge import AnyEdge, Settlement
from headrace.streams.manual_stream import ManualReceiveStream
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.redelivery import Redelivery
from headrace.streams.send_stream import EdgeSendStream


def manual_edge(
    max_unacked: int = 100, capacity: int = 100
) -> tuple[EdgeSendStream[Any], ManualReceiveStream[Any], AnyEdge]:
    """Return the handles of an edge whose reader acknowledges by itself."""
    send, _, edge = one_edge(capacity)
    edge.inlet.take_hands_back(crashed=False)
    edge.inlet.max_unacked = max_unacked
    receive = edge.inlet.open()
    assert isinstance(receive, ManualReceiveStream)
    return send, receive, edge


def in_hand(receive: EdgeReceiveStream[Any]) -> list[Any]:
    assert_books_close(*receive.inlet.lanes)
    return [message for _, message in receive.hands()]


def letters_of(edge: AnyEdge, attempts: int) -> list[tuple[Any, int, BaseException, str, str]]:
    """Let messages of an edge die after so many attempts; returns where their letters will be."""
    found: list[tuple[Any, int, BaseException, str, str]] = []

    async def give_up(entry: Redelivery[Any], error: BaseException) -> tuple[Settlement, str]:
        assert entry.meta is None or entry.meta.id
        found.append((entry.message, entry.tried, error, entry.edge.key, entry.meta.id if entry.meta else ""))
        return "dead_lettered", ""

    edge.inlet.attempts, edge.inlet.give_up = attempts, give_up
    return found


async def test_what_was_received_stays_in_hand_until_it_is_acknowledged() -> None:
    send, receive, edge = manual_edge()
    await send.send_many("abcdefg")
    assert await receive.receive() == "a"
    assert await receive.receive_many(1) == ["b"]
    assert receive.receive_nowait() == "c"
    assert await anext(receive.batch(2)) == ["d", "e"]
    async for message in receive:
        assert message == "f"
        break
    assert in_hand(receive) == list("abcdef")
    receive.ack("c")
    receive.ack_first(2)
    assert in_hand(receive) == list("def")
    receive.ack("f")
    assert in_hand(receive) == list("de")
    receive.ack()
    receive.ack()
    assert (edge.ledger().acknowledged, edge.ledger().in_hand, edge.ledger().buffered) == (6, 0, 1)
    assert await receive.receive() == "g"
    assert in_hand(receive) == ["g"]


async def test_a_crash_delivers_again_all_that_was_not_acknowledged() -> None:
    send, receive, edge = manual_edge()
    await send.send_many("abcd")
    for _ in range(3):
        await receive.receive()
    receive.ack("b")
    again = edge.inlet.take_hands_back(crashed=True)
    assert [(one.message, one.tried) for one in again] == [("a", 1), ("c", 1)]
    anew = edge.inlet.open()
    assert await anew.receive() == "a"
    with pytest.raises(WouldBlock):
        anew.receive_nowait()
    anew.ack()
    assert [await anew.receive() for _ in range(1)] == ["c"]
    anew.ack()
    assert await anew.receive() == "d"
    assert_books_close(edge)


async def test_who_acknowledges_only_later_gets_the_rest_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redelivering, "PATIENCE", 0.02)
    send, receive, edge = manual_edge()
    await send.send_many("abc")
    for _ in range(3):
        await receive.receive()
    edge.inlet.take_hands_back(crashed=True)
    anew = edge.inlet.open()
    assert [await anew.receive() for _ in range(3)] == list("abc")
    again = edge.inlet.take_hands_back(crashed=True)
    assert [(one.message, one.tried, one.blamed) for one in again] == [
        ("a", 1, False),
        ("b", 1, False),
        ("c", 2, True),
    ]


async def test_no_more_than_max_unacked_are_in_hand_and_who_wants_more_waits() -> None:
    send, receive, edge = manual_edge(max_unacked=3)
    await send.send_many(range(6))
    got: list[int] = []

    async def read() -> None:
        async for message in receive:
            got.append(message)  # noqa: PERF401 - one at a time, to be looked at

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        assert got == [0, 1, 2]
        with pytest.raises(WouldBlock):
            receive.receive_nowait()
        receive.ack(1)
        await wait_all_tasks_blocked()
        assert got == [0, 1, 2, 3]
        receive.ack()
        await wait_all_tasks_blocked()
        assert got == [0, 1, 2, 3, 4, 5]
        send.close()
    assert in_hand(receive) == [4, 5]
    assert_nobody_waits(edge)


async def test_a_clone_has_room_of_its_own() -> None:
    send, receive, edge = manual_edge(max_unacked=1)
    other = receive.clone()
    await send.send_many("ab")
    assert [await receive.receive(), await other.receive()] == ["a", "b"]
    assert edge.ledger().in_hand == 2


async def test_the_end_comes_while_messages_are_in_hand() -> None:
    send, receive, edge = manual_edge(max_unacked=2)
    await send.send_many("ab")
    send.close()
    assert [message async for message in receive] == ["a", "b"]
    await receive.nack("a")
    assert await receive.receive() == "a"
    with pytest.raises(EndOfStream):
        await receive.receive()
    receive.ack()
    assert edge.ledger().acknowledged == 2


async def test_the_end_is_told_to_who_waits_for_an_ack() -> None:
    send, receive, edge = manual_edge(max_unacked=1)
    await send.send("a")
    await receive.receive()

    async def wait() -> None:
        with pytest.raises(EndOfStream):
            await receive.receive()

    async with create_task_group() as group:
        group.start_soon(wait)
        await wait_all_tasks_blocked()
        send.close()
    assert_nobody_waits(edge)


async def test_who_waits_for_an_ack_is_told_of_the_close() -> None:
    send, receive, edge = manual_edge(max_unacked=1)
    await send.send_many("ab")
    await receive.receive()

    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await receive.receive()

    async with create_task_group() as group:
        group.start_soon(wait)
        await wait_all_tasks_blocked()
        receive.close()
    assert edge.ledger().in_hand == 1
    receive.ack()
    assert edge.ledger().acknowledged == 1
    assert_books_close(edge)


async def test_a_cancelled_wait_for_an_ack_leaves_nothing_behind() -> None:
    send, receive, _edge = manual_edge(max_unacked=1)
    await send.send_many("ab")
    await receive.receive()
    with anyio.move_on_after(0):
        await receive.receive()
    receive.ack()
    assert await receive.receive() == "b"


async def test_two_tasks_on_one_handle_keep_to_its_bound() -> None:
    send, receive, edge = manual_edge(max_unacked=2)
    got: list[int] = []

    async def read() -> None:
        while True:
            got.append(await receive.receive())

    async with create_task_group() as group:
        for _ in range(3):
            group.start_soon(read)
        await wait_all_tasks_blocked()
        await send.send_many(range(5))
        await wait_all_tasks_blocked()
        assert got == [0, 1]
        receive.ack_first(1)
        await wait_all_tasks_blocked()
        assert got == [0, 1, 2]
        receive.ack()
        await wait_all_tasks_blocked()
        assert got == [0, 1, 2, 3, 4]
        group.cancel_scope.cancel()
    assert_nobody_waits(edge)


async def test_a_batch_is_no_larger_than_what_may_be_in_hand() -> None:
    send, receive, _edge = manual_edge(max_unacked=3)
    await send.send_many(range(6))
    batches = receive.batch(5)
    assert await anext(batches) == [0, 1, 2]
    receive.ack(1)
    assert await anext(batches) == [3]
    receive.ack()
    send.close()
    assert await anext(batches) == [4, 5]


# --- which one is meant ----------------------------------------------------------------------------


@dataclass
class Reading:
    value: int


async def test_the_object_itself_is_meant_before_an_equal_one() -> None:
    send, receive, _edge = manual_edge()
    first, second = Reading(1), Reading(1)
    await send.send_many([first, second])
    await anext(receive.batch(2))
    receive.ack(second)
    assert in_hand(receive)[0] is first
    receive.ack(Reading(1))
    assert in_hand(receive) == []
    with pytest.raises(NotInHandError, match="Reading"):
        receive.ack(first)


async def test_what_compares_to_no_truth_is_known_by_itself() -> None:
    class Odd:
        def __eq__(self, other: object) -> Any:
            return [True]

        __hash__ = None  # type: ignore[assignment]

    send, receive, _edge = manual_edge()
    one, other = Odd(), Odd()
    await send.send(one)
    await receive.receive()
    with pytest.raises(NotInHandError):
        receive.ack(other)
    receive.ack(one)


async def test_acknowledging_in_any_order_leaves_the_list_of_a_batch_alone() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("abcd")
    batch = await anext(receive.batch(4))
    for message in reversed(batch):
        receive.ack(message)
    assert batch == list("abcd")
    assert edge.ledger().acknowledged == 4
    assert in_hand(receive) == []


async def test_acknowledging_too_much_is_an_error() -> None:
    send, receive, edge = one_edge(10)
    await send.send("a")
    with pytest.raises(NotInHandError):
        receive.ack("a")
    assert await receive.receive() == "a"
    receive.ack("a")
    with pytest.raises(NotInHandError):
        receive.ack("a")
    with pytest.raises(ValueError, match="at least 0"):
        receive.ack_first(-1)
    assert edge.ledger().acknowledged == 1


async def test_a_handle_of_an_earlier_life_acknowledges_nothing() -> None:
    send, receive, edge = manual_edge()
    await send.send("a")
    await receive.receive()
    edge.inlet.take_hands_back(crashed=True)
    for call in (receive.ack, lambda: receive.ack("a"), lambda: receive.ack_first(1)):
        with pytest.raises(ClosedResourceError):
            call()
    with pytest.raises(ClosedResourceError):
        await receive.nack()
    assert edge.ledger().buffered == 1


# --- nack ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manual", [True, False])
async def test_what_is_given_back_comes_again_at_its_place_and_counts(manual: bool) -> None:
    send, receive, edge = manual_edge() if manual else one_edge(10)
    await send.send_many("abcd")
    assert await anext(receive.batch(3)) == list("abc")
    await receive.nack("b")
    assert in_hand(receive) == ["a", "c"]
    await receive.nack()
    assert (in_hand(receive), edge.ledger().buffered) == ([], 4)
    found = []
    for _ in range(4):
        message, meta = await receive.receive_with_meta()
        found.append((message, meta.attempt))
        receive.ack(message)
    assert found == [("a", 2), ("b", 2), ("c", 2), ("d", 1)]
    assert edge.ledger().acknowledged == 4


async def test_after_its_last_attempt_it_is_a_dead_letter() -> None:
    send, receive, edge = manual_edge()
    letters = letters_of(edge, attempts=2)
    await send.send_many("ab")
    message, meta = await receive.receive_with_meta()
    await receive.nack(message)
    assert await receive.receive() == "a"
    error = ValueError("no")
    await receive.nack("a", error=error)
    assert letters == [("a", 2, error, "a.out -> b.in", meta.id)]
    assert (edge.ledger().dead_lettered, edge.ledger().in_hand) == (1, 0)
    assert await receive.receive() == "b"
    await receive.nack("b")
    await receive.receive()
    await receive.nack()
    assert isinstance(letters[1][2], NackedError)
    assert_books_close(edge)


async def test_it_stays_in_hand_while_dead_letters_have_no_room() -> None:
    send, receive, edge = manual_edge()
    room = anyio.Event()

    async def give_up(entry: Redelivery[Any], error: BaseException) -> tuple[Settlement, str]:
        await room.wait()
        return "dropped", "why"

    edge.inlet.attempts, edge.inlet.give_up = 1, give_up
    await send.send("a")
    await receive.receive()
    with anyio.move_on_after(0):
        await receive.nack()
    assert in_hand(receive) == ["a"]
    room.set()
    await receive.nack()
    assert (in_hand(receive), edge.dropped) == ([], {"why": 1})


async def test_with_a_delay_others_come_first_and_it_comes_when_it_is_due() -> None:
    send, receive, edge = manual_edge()
    await send.send_many("abc")
    assert await receive.receive() == "a"
    began = anyio.current_time()
    await receive.nack(delay=0.05)
    send.close()
    got = [message async for message in receive]
    assert got == ["b", "c", "a"]
    assert anyio.current_time() - began >= 0.05
    receive.ack()
    assert edge.ledger().acknowledged == 3
    with pytest.raises(EndOfStream):
        await receive.receive()
    assert edge.inlet.line is None


async def test_who_waits_already_hears_of_what_was_given_back() -> None:
    send, receive, _edge = manual_edge()
    await send.send("a")
    await receive.receive()
    got: list[str] = []

    async def read() -> None:
        got.append(await receive.receive())

    for delay in (0.0, 0.02):
        async with create_task_group() as group:
            group.start_soon(read)
            await wait_all_tasks_blocked()
            await receive.nack("a", delay=delay)
    assert got == ["a", "a"]


async def test_a_negative_delay_is_refused() -> None:
    _send, receive, _edge = manual_edge()
    with pytest.raises(ValueError, match="delay"):
        await receive.nack(delay=-1)


async def test_a_tap_hears_of_each_delivery() -> None:
    send, receive, edge = manual_edge()
    heard: list[str] = []
    edge.inlet.add_tap(heard.append)
    await send.send_many("ab")
    await receive.receive()
    await receive.nack()
    assert [await receive.receive() for _ in range(2)] == ["a", "b"]
    assert heard == ["a", "a", "b"]


# --- the end of a component ------------------------------------------------------------------------


async def test_what_a_component_leaves_unacknowledged_at_its_end_is_dropped_and_said_so() -> None:
    send, receive, edge = manual_edge()
    await send.send_many("ab")
    await anext(receive.batch(2))
    receive.ack("a")
    edge.inlet.finish()
    assert (edge.ledger().acknowledged, edge.dropped) == (1, {"unacknowledged": 1})
    assert_books_close(edge)


async def test_an_automatic_component_acknowledges_at_its_end() -> None:
    send, receive, edge = one_edge(10)
    await send.send("a")
    await receive.receive()
    edge.inlet.finish()
    assert edge.ledger().acknowledged == 1


async def test_what_is_given_back_from_the_middle_of_a_batch_keeps_its_place_after_a_crash_too() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("abcd")
    assert await anext(receive.batch(4)) == list("abcd")
    await receive.nack("b")
    edge.inlet.take_hands_back(crashed=True)
    anew = edge.inlet.open()
    assert [await anew.receive() for _ in range(4)] == list("abcd")
