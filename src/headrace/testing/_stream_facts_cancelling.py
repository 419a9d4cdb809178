"""Facts about checkpoints and cancellation: who gets to run, what is delivered, and what is never lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from anyio import WouldBlock
from anyio.lowlevel import checkpoint

from ._stream_fact import Fact, Make, expect, refused_now, settle, start, streams

__all__ = ["CANCELLING_FACTS"]

_CALLS = 20

# --- checkpoints -----------------------------------------------------------------------------------


async def _cancelled(call: Callable[[], Awaitable[Any]], what: str) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await call()
    expect(scope.cancelled_caught, f"{what}: is cancelled although it need not wait")


async def send_delivers_cancellation_without_waiting(make: Make) -> None:
    async with streams(make, 1) as (send, _, _):
        await _cancelled(partial(send.send, 1), "send with room")
        used = send.statistics().current_buffer_used
        expect(used == 0, f"a cancelled send sends nothing, but {used} are buffered")


async def receive_delivers_cancellation_without_waiting(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):
        send.send_nowait(1)
        await _cancelled(receive.receive, "receive with an item there")
        expect(receive.receive_nowait() == 1, "a cancelled receive takes nothing")


async def iteration_delivers_cancellation_without_waiting(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):
        send.send_nowait(1)
        await _cancelled(receive.__anext__, "async for with an item there")
        expect(receive.receive_nowait() == 1, "a cancelled iteration takes nothing")


async def cancellation_comes_before_errors(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):
        send.close()
        await _cancelled(partial(send.send, 1), "send when closed")
        await _cancelled(receive.receive, "receive at the end")
        receive.close()
        await _cancelled(receive.receive, "receive when closed")
    async with streams(make, 1) as (send, receive, _):
        receive.close()
        await _cancelled(partial(send.send, 1), "send with no receiver")


async def a_handle_waited_on_is_not_taken_by_cancelled_calls(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks):
        receiver = await start(tasks, receive.receive)
        await _cancelled(partial(send.send, 1), "send to a receiver that waits")
        await settle()
        receiver.expect_waiting("the receiver of a cancelled send")
        send.send_nowait(2)
        await settle()
        receiver.expect_result(2, "the receiver")
        sender = await start(tasks, partial(send.send, 3))
        await _cancelled(receive.receive, "receive from a sender that waits")
        await settle()
        sender.expect_waiting("the sender to a cancelled receive")


async def _turns_of_others(calls: Callable[[], Awaitable[None]]) -> int:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns)
        await checkpoint()
        await checkpoint()
        before = turns
        await calls()
        turns -= before
        tasks.cancel_scope.cancel()
    return turns


async def every_send_lets_others_run(make: Make) -> None:
    async with streams(make, _CALLS) as (send, _, _):

        async def calls() -> None:
            for item in range(_CALLS):
                await send.send(item)

        turns = await _turns_of_others(calls)
        expect(turns >= _CALLS - 1, f"another task had {turns} turns in {_CALLS} sends")


async def every_receive_lets_others_run(make: Make) -> None:
    async with streams(make, 2 * _CALLS) as (send, receive, _):
        for item in range(2 * _CALLS):
            send.send_nowait(item)
        send.close()

        async def calls() -> None:
            for _ in range(_CALLS):
                await receive.receive()
            async for _ in receive:
                pass

        turns = await _turns_of_others(calls)
        expect(turns >= 2 * _CALLS - 1, f"another task had {turns} turns in {2 * _CALLS} receives")


# --- cancelling a receive that waits ---------------------------------------------------------------


async def a_cancelled_receive_leaves_the_queue(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        first, second = [await start(tasks, receive.receive) for _ in range(2)]
        first.scope.cancel()
        await settle()
        first.expect_cancelled("the first receive")
        expect(send.statistics().tasks_waiting_receive == 1, "only the second receive waits")
        send.send_nowait(1)
        await settle()
        second.expect_result(1, "the second receive")


async def a_receive_being_cancelled_is_passed_over(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        first, second = [await start(tasks, receive.receive) for _ in range(2)]
        first.scope.cancel()
        send.send_nowait(1)
        await settle()
        first.expect_cancelled("the first receive")
        second.expect_result(1, "the second receive")


async def what_a_cancelled_receive_would_get_is_buffered(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        receiver = await start(tasks, receive.receive)
        receiver.scope.cancel()
        send.send_nowait(1)
        await settle()
        receiver.expect_cancelled("the receive")
        expect(receive.receive_nowait() == 1, "the item is in the buffer")
    async with streams(make, 0) as (send, receive, tasks):
        receiver = await start(tasks, receive.receive)
        receiver.scope.cancel()
        refused_now(WouldBlock, lambda: send.send_nowait(1), "send_nowait with no room to put the item")
        await settle()
        receiver.expect_cancelled("the receive")


async def a_receive_that_has_its_item_is_not_cancelled(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks):
        receiver = await start(tasks, receive.receive)
        send.send_nowait(1)
        receiver.scope.cancel()
        await settle()
        receiver.expect_result(1, "receive cancelled after the item was handed over")


# --- cancelling a send that waits ------------------------------------------------------------------


async def a_cancelled_send_withdraws_its_item(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        send.send_nowait(0)
        waiters = [await start(tasks, partial(send.send, item)) for item in (1, 2, 3)]
        waiters[1].scope.cancel()
        await settle()
        waiters[1].expect_cancelled("the second send")
        expect(receive.statistics().tasks_waiting_send == 2, "two sends wait still")
        got = [receive.receive_nowait() for _ in range(3)]
        expect(got == [0, 1, 3], f"all but the cancelled one, in order, not {got}")
        refused_now(WouldBlock, receive.receive_nowait, "receive_nowait after that")


async def a_send_being_cancelled_may_still_be_received(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks):
        sender = await start(tasks, partial(send.send, 1))
        sender.scope.cancel()
        expect(receive.receive_nowait() == 1, "its item is there until the cancellation has reached it")
        await settle()
        sender.expect_cancelled("the send")
        refused_now(WouldBlock, receive.receive_nowait, "the item is received once; receive_nowait")


async def a_send_that_was_received_is_not_cancelled(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks):
        sender = await start(tasks, partial(send.send, 1))
        expect(receive.receive_nowait() == 1, "the waiting sender's item")
        sender.scope.cancel()
        await settle()
        sender.expect_result(None, "send cancelled after its item was received")


async def nothing_is_lost_or_doubled_when_receivers_are_cancelled(make: Make) -> None:
    count = 40
    got: list[int] = []
    async with streams(make, 2) as (send, receive, tasks):

        async def receive_until_cancelled() -> None:
            while True:
                got.append(await receive.receive())

        async def send_all() -> None:
            for item in range(count):
                await send.send(item)

        sender = await start(tasks, send_all)
        for turns in range(count):
            with anyio.CancelScope() as scope:
                tasks.start_soon(_cancel_after, scope, turns % 7)
                await receive_until_cancelled()
        sender.expect_result(None, "the sender")
        got += [receive.receive_nowait() for _ in range(send.statistics().current_buffer_used)]
        expect(got == list(range(count)), f"each of {count} once and in order, not {got}")


async def _cancel_after(scope: anyio.CancelScope, turns: int) -> None:
    for _ in range(turns):
        await checkpoint()
    scope.cancel()


CANCELLING_FACTS: tuple[Fact, ...] = (
    send_delivers_cancellation_without_waiting,
    receive_delivers_cancellation_without_waiting,
    iteration_delivers_cancellation_without_waiting,
    cancellation_comes_before_errors,
    a_handle_waited_on_is_not_taken_by_cancelled_calls,
    every_send_lets_others_run,
    every_receive_lets_others_run,
    a_cancelled_receive_leaves_the_queue,
    a_receive_being_cancelled_is_passed_over,
    what_a_cancelled_receive_would_get_is_buffered,
    a_receive_that_has_its_item_is_not_cancelled,
    a_cancelled_send_withdraws_its_item,
    a_send_being_cancelled_may_still_be_received,
    a_send_that_was_received_is_not_cancelled,
    nothing_is_lost_or_doubled_when_receivers_are_cancelled,
)
