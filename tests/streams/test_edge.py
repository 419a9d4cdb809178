"""One edge between two handles: order, back-pressure, ends, and who is told of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_task_group,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from tests.streams.edges import assert_books_close, assert_nobody_waits, one_edge

from headrace.exceptions import EdgeFullError, InputEndedError, ReaderEndedError


async def send_all(stream: MemoryObjectSendStream[Any], *items: object) -> None:
    for item in items:
        await stream.send(item)


async def test_messages_arrive_in_order_and_are_the_objects_themselves() -> None:
    send, receive, edge = one_edge()
    items = [object() for _ in range(10)]
    await send_all(send, *items)
    assert [await receive.receive() for _ in items] == items
    assert_books_close(edge)


async def test_the_handles_are_the_streams_of_anyio() -> None:
    send, receive, _ = one_edge()
    assert isinstance(send, MemoryObjectSendStream)
    assert isinstance(receive, MemoryObjectReceiveStream)
    assert dict(send.extra_attributes) == dict(receive.extra_attributes) == {}
    assert repr(send) == "<EdgeSendStream a.out>"
    assert repr(receive) == "<EdgeReceiveStream b.in>"
    async with send, receive:
        await send.send(1)
        assert await receive.receive() == 1
    assert repr(send) == "<EdgeSendStream a.out closed>"
    assert repr(receive) == "<EdgeReceiveStream b.in closed>"


async def test_async_for_anext_and_receive_give_the_same_stream() -> None:
    send, receive, _ = one_edge()
    await send_all(send, 1, 2, 3, 4)
    send.close()
    assert aiter(receive) is receive
    assert await anext(receive) == 1
    assert await receive.receive() == 2
    assert [item async for item in receive] == [3, 4]
    with pytest.raises(StopAsyncIteration):
        await anext(receive)


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 100])
async def test_a_send_waits_when_the_edge_is_full_and_goes_on_with_the_first_room(capacity: int) -> None:
    send, receive, edge = one_edge(capacity)
    accepted = 0

    async def produce() -> None:
        nonlocal accepted
        for number in range(capacity + 3):
            await send.send(number)
            accepted += 1

    async with create_task_group() as group:
        group.start_soon(produce)
        await wait_all_tasks_blocked()
        assert accepted == capacity
        for taken in range(3):
            assert await receive.receive() == taken
            await wait_all_tasks_blocked()
            assert accepted == capacity + taken + 1
    assert edge.ledger().buffered == capacity
    assert_books_close(edge)
    assert_nobody_waits(edge)


async def test_a_hungry_reader_gets_the_first_message_at_once() -> None:
    send, receive, edge = one_edge(1)
    got: list[int] = []

    async def read() -> None:
        got.extend([item async for item in receive])

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        assert send.statistics().tasks_waiting_receive == 1
        await send_all(send, 1, 2, 3)
        send.close()
    assert got == [1, 2, 3]
    assert_nobody_waits(edge)


# --- cancellation ------------------------------------------------------------------------------


@pytest.mark.fault(
    19,
    "On an edge in memory it has reached nobody, however many edges leave the output. (A durable or remote "
    "edge may have "
    "it; it retries with the same id.)",
)
async def test_a_cancelled_send_has_not_reached_the_edge() -> None:
    send, receive, edge = one_edge(1)
    await send.send("first")
    with anyio.move_on_after(0):
        await send.send("cancelled")
    assert_nobody_waits(edge)
    assert edge.accepted == 1
    send.close()
    assert [item async for item in receive] == ["first"]
    assert_books_close(edge)


@pytest.mark.fault("cancelled receive", "Nothing is lost: the next receive gets the message.")
async def test_a_cancelled_receive_loses_nothing() -> None:
    send, receive, edge = one_edge(1)
    with anyio.move_on_after(0):
        await receive.receive()
    assert_nobody_waits(edge)
    await send.send(1)
    assert await receive.receive() == 1
    assert_books_close(edge)


@pytest.mark.parametrize("first", ["cancel", "serve"])
@pytest.mark.fault("cancelled receive")
async def test_a_receive_cancelled_while_it_is_served_passes_the_message_on(first: str) -> None:
    send, receive, edge = one_edge(1)
    other = receive.clone()
    got: list[int] = []
    scope = CancelScope()

    async def doomed() -> None:
        with scope:
            got.append(await receive.receive())

    async def read() -> None:
        got.append(await other.receive())

    async with create_task_group() as group:
        group.start_soon(doomed)
        await wait_all_tasks_blocked()
        group.start_soon(read)
        await wait_all_tasks_blocked()
        if first == "cancel":
            scope.cancel()
        send.send_nowait(1)
        scope.cancel()
        await wait_all_tasks_blocked()
        if not got:
            pytest.fail("the wake-up was lost with the task it was meant for")
        if edge.inlet.hungry:
            send.send_nowait(2)
    assert got[0] == 1
    assert_nobody_waits(edge)
    assert_books_close(edge)


@pytest.mark.parametrize("first", ["cancel", "serve"])
@pytest.mark.fault(19)
async def test_a_send_cancelled_while_it_is_served_passes_the_room_on(first: str) -> None:
    send, receive, edge = one_edge(1)
    await send.send(0)
    scope = CancelScope()

    async def doomed() -> None:
        with scope:
            await send.send(1)

    async with create_task_group() as group:
        group.start_soon(doomed)
        await wait_all_tasks_blocked()
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        if first == "cancel":
            scope.cancel()
        assert receive.receive_nowait() == 0
        scope.cancel()
        await wait_all_tasks_blocked()
        last = receive.receive_nowait()
        while last != 2:
            await wait_all_tasks_blocked()
            last = receive.receive_nowait()
    assert_nobody_waits(edge)
    assert_books_close(edge)


async def test_a_thousand_cancelled_waits_leave_nobody_behind() -> None:
    send, receive, edge = one_edge(1)
    for _ in range(1000):
        with CancelScope() as scope:
            scope.cancel()
            await receive.receive()
    await send.send(0)
    for _ in range(1000):
        with CancelScope() as scope:
            scope.cancel()
            await send.send(1)
    assert_nobody_waits(edge)
    assert edge.accepted == 1


# --- the end -----------------------------------------------------------------------------------


@pytest.mark.fault(20)
async def test_after_a_deliberate_close_the_reader_gets_what_is_buffered_then_the_end_every_time() -> None:
    send, receive, edge = one_edge()
    await send_all(send, 1, 2)
    send.close()
    assert await receive.receive() == 1
    assert receive.receive_nowait() == 2
    for _ in range(3):
        with pytest.raises(EndOfStream):
            await receive.receive()
        with pytest.raises(InputEndedError, match=r"b\.in: every sender has ended"):
            receive.receive_nowait()
        assert [item async for item in receive] == []
    assert_books_close(edge)


async def test_a_waiting_reader_is_told_of_the_end() -> None:
    send, receive, edge = one_edge()
    clone = receive.clone()
    ended: list[str] = []

    async def read(stream: MemoryObjectReceiveStream[Any]) -> None:
        with suppress(EndOfStream):
            await stream.receive()
        ended.append("told")

    async with create_task_group() as group:
        group.start_soon(read, receive)
        group.start_soon(read, clone)
        await wait_all_tasks_blocked()
        await send.aclose()
    assert ended == ["told", "told"]
    assert_nobody_waits(edge)


async def test_only_the_last_clone_to_close_ends_the_sending_side() -> None:
    send, receive, edge = one_edge()
    clone = send.clone()
    send.close()
    send.close()
    await clone.send(1)
    assert not edge.sender_ended
    clone.close()
    assert edge.sender_ended
    edge.end_sender()
    assert [item async for item in receive] == [1]


async def test_only_the_last_clone_to_close_ends_the_reading_side() -> None:
    send, receive, edge = one_edge()
    clone = receive.clone()
    await receive.aclose()
    await receive.aclose()
    await send.send(1)
    assert await clone.receive() == 1
    clone.close()
    assert edge.reader_ended
    edge.end_reader()
    with pytest.raises(BrokenResourceError):
        await send.send(2)


@pytest.mark.fault(
    "close of a receiver",
    "What was buffered is counted as `dropped(reader_ended)`, and is lost in the summary; senders get "
    "`BrokenResourceError`. AnyIO's own stream drops it silently.",
)
async def test_what_is_buffered_when_the_reader_ends_is_dropped_and_counted() -> None:
    send, receive, edge = one_edge()
    await send_all(send, 1, 2, 3)
    await receive.receive()
    receive.close()
    books = edge.ledger()
    assert books.dropped == {"reader_ended": 2}
    assert books.in_hand == 1
    assert_books_close(edge)
    for _ in range(2):
        with pytest.raises(ReaderEndedError, match="every reader has ended"):
            await send.send(4)
        with pytest.raises(BrokenResourceError):
            send.send_nowait(4)
    assert edge.accepted == 3


async def test_waiting_senders_are_told_that_the_reader_has_ended() -> None:
    send, receive, edge = one_edge(1)
    await send.send(0)
    told: list[int] = []

    async def produce(number: int) -> None:
        try:
            await send.send(number)
        except BrokenResourceError:
            told.append(number)

    async with create_task_group() as group:
        for number in range(3):
            group.start_soon(produce, number)
        await wait_all_tasks_blocked()
        receive.close()
    assert sorted(told) == [0, 1, 2]
    assert_nobody_waits(edge)
    assert_books_close(edge)


async def test_a_forgotten_handle_is_no_close() -> None:
    send, receive, edge = one_edge()
    send.clone()
    receive.clone()
    del send
    del receive
    await checkpoint()
    assert not edge.sender_ended
    assert not edge.reader_ended


# --- closing while something goes wrong ----------------------------------------------------------


async def test_a_close_while_an_exception_unwinds_leaves_the_end_to_supervision() -> None:
    send, receive, edge = one_edge()
    with suppress(ValueError):
        async with send, receive:
            raise ValueError
    with suppress(ValueError), send, receive:
        raise ValueError
    assert not edge.sender_ended
    assert not edge.reader_ended
    assert send.closed
    assert receive.closed
    for call in (send.send_nowait, send.send):
        with pytest.raises(ClosedResourceError):
            await call(1)  # type: ignore[misc]
    edge.outlet.end()
    edge.inlet.end()
    assert edge.sender_ended
    assert edge.reader_ended


async def test_a_close_in_a_finally_while_cancelled_leaves_the_end_to_supervision() -> None:
    send, receive, edge = one_edge()
    with CancelScope() as scope:
        try:
            scope.cancel()
            await checkpoint()
        finally:
            await send.aclose()
            await receive.aclose()
    assert not edge.sender_ended
    assert not edge.reader_ended


async def test_a_close_that_was_put_off_becomes_final_when_it_is_repeated() -> None:
    send, receive, edge = one_edge()
    with suppress(ValueError):
        async with send, receive:
            raise ValueError
    send.close()
    receive.close()
    assert edge.sender_ended
    assert edge.reader_ended


async def test_a_clone_whose_close_was_put_off_does_not_keep_the_edge_open() -> None:
    send, receive, edge = one_edge()
    with suppress(ValueError):
        async with send.clone(), receive.clone():
            raise ValueError
    assert not edge.sender_ended
    send.close()
    receive.close()
    assert edge.sender_ended
    assert edge.reader_ended


async def test_a_close_on_word_that_a_neighbour_has_ended_is_deliberate() -> None:
    first, source, _ = one_edge()
    send, receive, edge = one_edge()
    first.close()
    try:
        await source.receive()
    except EndOfStream:
        await send.aclose()
    assert edge.sender_ended
    broken, reader, before = one_edge()
    reader.close()
    try:
        await broken.send(1)
    except BrokenResourceError:
        receive.close()
    assert before.reader_ended
    assert edge.reader_ended


# --- closed handles --------------------------------------------------------------------------------


async def test_every_call_on_a_closed_handle_says_so() -> None:
    send, receive, _ = one_edge()
    spare_send, spare_receive = send.clone(), receive.clone()
    await spare_send.send(1)
    send.close()
    receive.close()
    for call in (send.clone, receive.clone, receive.receive_nowait):
        with pytest.raises(ClosedResourceError):
            call()
    with pytest.raises(ClosedResourceError):
        send.send_nowait(1)
    for _ in range(100):
        with pytest.raises(ClosedResourceError):
            await send.send(1)
        with pytest.raises(ClosedResourceError):
            await receive.receive()
    with pytest.raises(ClosedResourceError):
        async for _ in receive:
            pass
    assert await spare_receive.receive() == 1


async def test_a_task_that_waits_on_a_receiving_handle_is_told_when_it_is_closed() -> None:
    send, receive, edge = one_edge()
    other = receive.clone()
    got: list[object] = []

    async def read(stream: MemoryObjectReceiveStream[Any]) -> None:
        try:
            got.append(await stream.receive())
        except ClosedResourceError:
            got.append("closed")

    async with create_task_group() as group:
        group.start_soon(read, receive)
        await wait_all_tasks_blocked()
        group.start_soon(read, other)
        await wait_all_tasks_blocked()
        receive.close()
        assert send.statistics().tasks_waiting_receive == 1
        await wait_all_tasks_blocked()
        assert got == ["closed"]
        await send.send(1)
    assert got == ["closed", 1]
    assert_nobody_waits(edge)


async def test_a_task_that_waits_on_a_sending_handle_is_told_when_it_is_closed() -> None:
    send, receive, edge = one_edge(1)
    other = send.clone()
    await send.send(0)
    told: list[str] = []

    async def produce() -> None:
        try:
            await send.send(1)
        except ClosedResourceError:
            told.append("closed")

    async with create_task_group() as group:
        group.start_soon(produce)
        await wait_all_tasks_blocked()
        group.start_soon(other.send, 2)
        await wait_all_tasks_blocked()
        send.close()
        await wait_all_tasks_blocked()
        assert told == ["closed"]
        assert [await receive.receive(), await receive.receive()] == [0, 2]
    assert_nobody_waits(edge)
    assert_books_close(edge)


@pytest.mark.parametrize("order", ["served first", "closed first"])
async def test_a_message_meant_for_a_handle_that_closes_goes_to_the_next_reader(order: str) -> None:
    send, receive, edge = one_edge()
    other = receive.clone()
    got: list[int] = []

    async def doomed() -> None:
        with suppress(ClosedResourceError):
            await receive.receive()

    async def read() -> None:
        got.append(await other.receive())

    async with create_task_group() as group:
        group.start_soon(doomed)
        await wait_all_tasks_blocked()
        group.start_soon(read)
        await wait_all_tasks_blocked()
        if order == "served first":
            send.send_nowait(1)
            receive.close()
        else:
            receive.close()
            send.send_nowait(1)
    assert got == [1]
    assert_nobody_waits(edge)


async def test_room_meant_for_a_handle_that_closes_goes_to_the_next_sender() -> None:
    send, receive, edge = one_edge(1)
    other = send.clone()
    await send.send(0)

    async def doomed() -> None:
        with suppress(ClosedResourceError):
            await send.send(1)

    async with create_task_group() as group:
        group.start_soon(doomed)
        await wait_all_tasks_blocked()
        group.start_soon(other.send, 2)
        await wait_all_tasks_blocked()
        assert receive.receive_nowait() == 0
        send.close()
    assert receive.receive_nowait() == 2
    assert_nobody_waits(edge)
    assert_books_close(edge)


async def test_when_the_runtime_ends_a_port_its_handles_are_closed_and_those_that_wait_are_told() -> None:
    send, receive, edge = one_edge(1)
    await send.send(0)
    told: list[str] = []

    async def produce() -> None:
        try:
            await send.send(1)
        except ClosedResourceError:
            told.append("sender")

    async with create_task_group() as group:
        group.start_soon(produce)
        await wait_all_tasks_blocked()
        edge.outlet.end()
    assert await receive.receive() == 0
    edge.inlet.end()
    edge.inlet.end()
    with pytest.raises(ClosedResourceError):
        await receive.receive()
    assert told == ["sender"]
    assert send.statistics()[2:4] == (0, 0)
    assert_nobody_waits(edge)


async def test_readers_that_wait_are_told_when_the_runtime_ends_their_port() -> None:
    _, receive, edge = one_edge(1)
    told: list[str] = []

    async def read() -> None:
        try:
            await receive.receive()
        except ClosedResourceError:
            told.append("reader")

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        edge.inlet.end()
    assert told == ["reader"]
    assert_nobody_waits(edge)


# --- without waiting ---------------------------------------------------------------------------------


async def test_what_would_wait_says_so() -> None:
    send, receive, edge = one_edge(1)
    with pytest.raises(WouldBlock):
        receive.receive_nowait()
    send.send_nowait(1)
    with pytest.raises(WouldBlock):
        send.send_nowait(2)
    assert receive.receive_nowait() == 1
    assert edge.accepted == 1
    assert_books_close(edge)


async def test_the_nowait_calls_wake_those_that_wait() -> None:
    send, receive, edge = one_edge(1)
    got: list[int] = []

    async def read() -> None:
        got.append(await receive.receive())

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        send.send_nowait(1)
    send.send_nowait(2)
    async with create_task_group() as group:
        group.start_soon(send.send, 3)
        await wait_all_tasks_blocked()
        assert receive.receive_nowait() == 2
    assert receive.receive_nowait() == 3
    assert got == [1]
    assert_nobody_waits(edge)


async def test_the_statistics_have_the_six_fields_of_anyio() -> None:
    send, receive, _ = one_edge(2)
    clones = [send.clone(), receive.clone()]
    await send_all(send, 1, 2)
    async with create_task_group() as group:
        group.start_soon(send.send, 3)
        await wait_all_tasks_blocked()
        stats = send.statistics()
        assert stats == receive.statistics()
        assert stats._asdict() == {
            "current_buffer_used": 2,
            "max_buffer_size": 2,
            "open_send_streams": 2,
            "open_receive_streams": 2,
            "tasks_waiting_send": 1,
            "tasks_waiting_receive": 0,
        }
        await receive.receive()
    for clone in clones:
        clone.close()
    assert receive.statistics()[2:] == (1, 1, 0, 0)
    for _ in range(2):
        await receive.receive()
    async with create_task_group() as group:
        group.start_soon(receive.receive)
        await wait_all_tasks_blocked()
        assert send.statistics().tasks_waiting_receive == 1
        await send.send(4)


# --- policies ----------------------------------------------------------------------------------------


async def test_drop_oldest_makes_room_and_counts() -> None:
    send, receive, edge = one_edge(2, when_full="drop_oldest")
    await send_all(send, 1, 2, 3, 4)
    send.close()
    assert [item async for item in receive] == [3, 4]
    assert edge.ledger().dropped == {"drop_oldest": 2}
    assert edge.accepted == 4
    assert_books_close(edge)


async def test_drop_newest_keeps_what_is_there_and_counts() -> None:
    send, receive, edge = one_edge(2, when_full="drop_newest")
    await send_all(send, 1, 2, 3, 4)
    send.close()
    assert [item async for item in receive] == [1, 2]
    assert edge.ledger().dropped == {"drop_newest": 2}
    assert_books_close(edge)


async def test_error_refuses_the_message_and_says_which_edge_is_full() -> None:
    send, receive, edge = one_edge(1, when_full="error")
    await send.send(1)
    with pytest.raises(EdgeFullError, match=r"a\.out -> b\.in is full \(1/1\)"):
        await send.send(2)
    with pytest.raises(WouldBlock):
        send.send_nowait(2)
    assert edge.accepted == 1
    assert await receive.receive() == 1
    await send.send(3)
    assert_books_close(edge)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a_dropping_edge_never_makes_a_sender_wait(policy: str) -> None:
    send, _, edge = one_edge(1, when_full=policy)
    with anyio.fail_after(5):
        await send_all(send, *range(1000))
    assert edge.ledger().dropped == {policy: 999}
    assert_books_close(edge)


async def test_a_copying_edge_hands_over_its_own_object() -> None:
    send, receive, edge = one_edge(copy=True)
    item = {"rows": [1]}
    await send.send(item)
    item["rows"].append(2)
    assert await receive.receive() == {"rows": [1]}
    assert_books_close(edge)


async def test_a_message_that_cannot_be_copied_has_not_reached_the_edge() -> None:
    send, _, edge = one_edge(copy=True)
    with pytest.raises(TypeError):
        await send.send(number for number in range(3))
    assert edge.accepted == 0


def test_an_edge_shows_how_full_it_is() -> None:
    edge = one_edge(7)[2]
    assert repr(edge) == "<Edge a.out -> b.in 0/7>"
    assert not edge.ended
