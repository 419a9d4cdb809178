"""Paused ports: nothing is handed over, nothing gets in, and all of it goes on as if nothing had been."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import ClosedResourceError, EndOfStream, WouldBlock, create_task_group, wait_all_tasks_blocked
from tests.streams.edges import assert_books_close, assert_nobody_waits, one_edge

from headrace.model.options import OutputOptions


async def receive_all(receive: Any, got: list[Any]) -> None:
    """Receive until the end."""
    async for message in receive:
        got.append(message)  # noqa: PERF401 - each as it comes


async def send_all(send: Any, *messages: Any) -> None:
    """Send all messages."""
    for message in messages:
        await send.send(message)


# --- inputs ----------------------------------------------------------------------------------------


async def test_a_reader_that_waits_is_not_seen_by_senders_until_it_is_resumed() -> None:
    send, receive, edge = one_edge(10)
    got: list[int] = []
    async with create_task_group() as group:
        group.start_soon(receive_all, receive, got)
        await wait_all_tasks_blocked()
        edge.inlet.pause()
        await send_all(send, 1, 2, 3)
        await wait_all_tasks_blocked()
        assert (got, edge.buffered, len(edge.inlet.hungry)) == ([], 3, 0)
        edge.inlet.resume()
        await wait_all_tasks_blocked()
        assert got == [1, 2, 3]
        send.close()
    assert_books_close(edge)


async def test_what_was_served_a_moment_before_the_pause_stays_on_the_edge() -> None:
    send, receive, edge = one_edge(10)
    got: list[int] = []
    async with create_task_group() as group:
        group.start_soon(receive_all, receive, got)
        await wait_all_tasks_blocked()
        await send.send(1)  # the reader is woken, but has not had its turn
        edge.inlet.pause()
        await wait_all_tasks_blocked()
        assert (got, edge.buffered) == ([], 1)
        edge.inlet.resume()
        await wait_all_tasks_blocked()
        assert got == [1]
        send.close()


async def test_receive_nowait_would_block_and_settles_what_was_in_hand() -> None:
    send, receive, edge = one_edge(10)
    await send_all(send, 1, 2)
    assert receive.receive_nowait() == 1
    edge.inlet.pause()
    with pytest.raises(WouldBlock):
        receive.receive_nowait()
    assert (edge.acknowledged, edge.buffered) == (1, 1)
    edge.inlet.resume()
    assert receive.receive_nowait() == 2
    assert_books_close(edge)


async def test_the_end_is_told_when_it_is_resumed_and_not_before() -> None:
    send, receive, edge = one_edge(10)
    edge.inlet.pause()
    send.close()
    with anyio.move_on_after(0.01) as waiting:
        await receive.receive()
    assert waiting.cancelled_caught
    assert not edge.inlet.exhausted
    edge.inlet.resume()
    with pytest.raises(EndOfStream):
        await receive.receive()


async def test_a_waiting_reader_that_is_cancelled_or_closed_leaves_nobody_in_line() -> None:
    _, receive, edge = one_edge(10)
    edge.inlet.pause()
    with anyio.move_on_after(0.01):
        await receive.receive()
    edge.inlet.resume()
    assert_nobody_waits(edge)
    edge.inlet.pause()
    async with create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(ClosedResourceError):
                await receive.receive()

        group.start_soon(wait)
        await wait_all_tasks_blocked()
        receive.close()
    edge.inlet.resume()
    assert_nobody_waits(edge)


# --- outputs ---------------------------------------------------------------------------------------


async def test_senders_wait_at_the_gate_and_go_on_in_their_order() -> None:
    send, receive, edge = one_edge(10)
    await send.send(0)
    edge.outlet.pause()
    edge.outlet.pause()
    async with create_task_group() as group:
        for number in range(1, 5):
            group.start_soon(send.send, number)
            await wait_all_tasks_blocked()
        assert (edge.buffered, send.free) == (1, 0)  # type: ignore[attr-defined]
        with pytest.raises(WouldBlock):
            send.send_nowait(9)
        assert await receive.receive() == 0
        edge.outlet.resume()
        edge.outlet.resume()
    send.close()
    assert [message async for message in receive] == [1, 2, 3, 4]
    assert_books_close(edge)


async def test_a_send_that_is_cancelled_at_the_gate_has_reached_nobody() -> None:
    send, _, edge = one_edge(10)
    edge.outlet.pause()
    with anyio.move_on_after(0.01):
        await send.send(1)
    edge.outlet.resume()
    assert (edge.accepted, edge.outlet.accepted) == (0, 0)
    await send.send(2)
    assert edge.accepted == 1


async def test_a_handle_that_is_closed_while_it_waits_at_the_gate_refuses_the_call() -> None:
    send, _, edge = one_edge(10)
    edge.outlet.pause()
    async with create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(ClosedResourceError):
                await send.send(1)

        group.start_soon(wait)
        await wait_all_tasks_blocked()
        send.close()
    assert edge.accepted == 0


async def test_a_gate_that_closes_again_before_its_senders_had_their_turn_holds_them() -> None:
    send, receive, edge = one_edge(10)
    edge.outlet.pause()
    async with create_task_group() as group:
        group.start_soon(send.send, 1)
        await wait_all_tasks_blocked()
        edge.outlet.resume()
        edge.outlet.pause()
        await wait_all_tasks_blocked()
        assert edge.accepted == 0
        edge.outlet.resume()
    assert await receive.receive() == 1


@pytest.mark.parametrize("how", ["tap", "spread"])
async def test_what_changes_the_way_of_messages_does_not_open_the_gate(how: str) -> None:
    send, _, edge = one_edge(10)
    edge.outlet.pause()
    if how == "tap":
        edge.outlet.add_tap(lambda message: None)
    else:
        edge.outlet.spread(OutputOptions("by_key", hash))
    with anyio.move_on_after(0.01) as waiting:
        await send.send(1)
    assert waiting.cancelled_caught
    edge.outlet.resume()
    await send.send(2)
    assert edge.accepted == 1


async def test_messages_that_belong_to_one_already_sent_get_through() -> None:
    send, _, edge = one_edge(10)
    edge.outlet.pause()
    send.put_all([1, 2])  # type: ignore[attr-defined]
    assert edge.buffered == 2


async def test_a_send_that_is_cancelled_as_it_is_let_through_lets_the_next_one_go_on() -> None:
    send, receive, edge = one_edge(10)
    edge.outlet.pause()
    scope = anyio.CancelScope()

    async def first() -> None:
        with scope:
            await send.send(1)

    async with create_task_group() as group:
        group.start_soon(first)
        await wait_all_tasks_blocked()
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        edge.outlet.resume()
        scope.cancel()
    send.close()
    assert 2 in [message async for message in receive]
    assert_books_close(edge)
