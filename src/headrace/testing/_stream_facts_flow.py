"""Facts about what an open stream does: sizes, order, handing over, statistics, types, attributes."""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from anyio import TypedAttributeLookupError, TypedAttributeSet, WouldBlock, typed_attribute
from anyio.streams.memory import (
    MemoryObjectReceiveStream,
    MemoryObjectSendStream,
    MemoryObjectStreamStatistics,
)

from ._stream_fact import Fact, Make, expect, refused_now, settle, start, streams

__all__ = ["FLOW_FACTS"]


class _Attribute(TypedAttributeSet):
    nowhere: str = typed_attribute()


# --- sizes -----------------------------------------------------------------------------------


async def bad_size_is_a_value_error(make: Make) -> None:
    for size in (-1, -math.inf, 1.5, math.nan):
        refused_now(ValueError, partial(make, size), f"a buffer of {size}")


async def buffer_holds_exactly_its_size(make: Make) -> None:
    for size in (1, 3):
        async with streams(make, size) as (send, receive, _):
            for item in range(size):
                send.send_nowait(item)
            refused_now(WouldBlock, lambda: send.send_nowait("more"), "send_nowait when full")
            expect(receive.receive_nowait() == 0, "receiving makes room")
            send.send_nowait(size)
            rest = [receive.receive_nowait() for _ in range(size)]
            expect(rest == list(range(1, size + 1)), f"what was refused is not kept, but got {rest}")
            refused_now(WouldBlock, receive.receive_nowait, "receive_nowait when empty")


async def infinite_buffer_never_blocks(make: Make) -> None:
    async with streams(make, math.inf) as (send, receive, _):
        for item in range(10_000):
            send.send_nowait(item)
        got = [receive.receive_nowait() for _ in range(10_000)]
        expect(got == list(range(10_000)), "all of 10,000 come out in order")


async def no_buffer_is_a_rendezvous(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks):
        refused_now(WouldBlock, lambda: send.send_nowait(1), "send_nowait with nobody receiving")
        refused_now(WouldBlock, receive.receive_nowait, "receive_nowait with nobody sending")
        sender = await start(tasks, partial(send.send, 1))
        sender.expect_waiting("send with nobody receiving")
        expect(receive.receive_nowait() == 1, "receive_nowait takes from the sender that waits")
        await settle()
        sender.expect_result(None, "the send that was received")
        receiver = await start(tasks, receive.receive)
        receiver.expect_waiting("receive with nobody sending")
        send.send_nowait(2)
        refused_now(WouldBlock, lambda: send.send_nowait(3), "a second send_nowait to one receiver")
        await settle()
        receiver.expect_result(2, "the receive that waited")


# --- handing over ------------------------------------------------------------------------------


async def any_object_passes_by_identity(make: Make) -> None:
    items: list[Any] = [None, False, object(), WouldBlock(), StopAsyncIteration(), [1]]
    async with streams(make, len(items)) as (send, receive, _):
        for item in items:
            await send.send(item)
        for item in items:
            expect(await receive.receive() is item, f"{item!r} comes out as the same object")


async def send_methods_return_none(make: Make) -> None:
    async with streams(make, 2) as (send, _, _):
        waits: Callable[[int], Awaitable[object]] = send.send
        never_waits: Callable[[int], object] = send.send_nowait
        results = [await waits(1), never_waits(2)]
        expect(results == [None, None], f"got {results}")


async def receiving_frees_the_sender_that_waits(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        send.send_nowait(1)
        sender = await start(tasks, partial(send.send, 2))
        sender.expect_waiting("send when full")
        expect(await receive.receive() == 1, "what was buffered comes first")
        await settle()
        sender.expect_result(None, "send once there is room")
        expect(send.statistics().current_buffer_used == 1, "the sender's item is in the buffer now")
        expect(receive.receive_nowait() == 2, "and comes next")


async def sending_wakes_the_receiver_that_waits(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        receiver = await start(tasks, receive.receive)
        receiver.expect_waiting("receive when empty")
        await send.send(1)
        expect(send.statistics().current_buffer_used == 0, "an item handed over is not in the buffer")
        await settle()
        receiver.expect_result(1, "receive")


async def items_come_out_in_order(make: Make) -> None:
    async with streams(make, 5) as (send, receive, tasks):

        async def send_all() -> None:
            for item in range(50):
                await send.send(item)

        await start(tasks, send_all)
        got = [await receive.receive() for _ in range(50)]
        expect(got == list(range(50)), f"got {got}")


async def waiting_receivers_are_served_in_order(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks):
        waiters = [await start(tasks, receive.receive) for _ in range(3)]
        for item in range(3):
            send.send_nowait(item)
        await settle()
        for item, waiter in enumerate(waiters):
            waiter.expect_result(item, f"receiver {item}")


async def waiting_senders_are_served_in_order(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        send.send_nowait(0)
        waiters = [await start(tasks, partial(send.send, item)) for item in (1, 2, 3)]
        got = [receive.receive_nowait() for _ in range(4)]
        expect(got == [0, 1, 2, 3], f"the buffered one, then the waiting ones, not {got}")
        await settle()
        for waiter in waiters:
            waiter.expect_result(None, "a send that waited")


async def one_receive_frees_one_sender(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        send.send_nowait(0)
        first, second = [await start(tasks, partial(send.send, item)) for item in (1, 2)]
        receive.receive_nowait()
        await settle()
        first.expect_result(None, "the first sender")
        second.expect_waiting("the second sender")


# --- statistics ----------------------------------------------------------------------------------


async def statistics_have_six_fields_from_both_ends(make: Make) -> None:
    for size in (0, 3, math.inf):
        async with streams(make, size) as (send, receive, _):
            fresh = (0, size, 1, 1, 0, 0)
            for end in (send, receive):
                statistics = end.statistics()
                expect(isinstance(statistics, MemoryObjectStreamStatistics), "of AnyIO's own type")
                expect(tuple(statistics) == fresh, f"a fresh stream: {fresh}, not {tuple(statistics)}")


async def statistics_count_the_buffer(make: Make) -> None:
    async with streams(make, 3) as (send, receive, _):
        used = []
        for item in range(3):
            await send.send(item)
            used.append(receive.statistics().current_buffer_used)
        for _ in range(3):
            await receive.receive()
            used.append(send.statistics().current_buffer_used)
        expect(used == [1, 2, 3, 2, 1, 0], f"got {used}")


async def statistics_count_waiting_receivers(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        counts = []
        for _ in range(2):
            await start(tasks, receive.receive)
            counts.append(send.statistics().tasks_waiting_receive)
        for item in range(2):
            await send.send(item)
            await settle()
            counts.append(receive.statistics().tasks_waiting_receive)
        expect(counts == [1, 2, 1, 0], f"got {counts}")


async def statistics_count_waiting_senders(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks):
        send.send_nowait(0)
        counts = []
        for item in range(2):
            await start(tasks, partial(send.send, item))
            statistics = receive.statistics()
            counts.append((statistics.tasks_waiting_send, statistics.current_buffer_used))
        for _ in range(3):
            await receive.receive()
            await settle()
            statistics = send.statistics()
            counts.append((statistics.tasks_waiting_send, statistics.current_buffer_used))
        expect(counts == [(1, 1), (2, 1), (1, 1), (0, 1), (0, 0)], f"(waiting, buffered): {counts}")


# --- types, identity, attributes, garbage ----------------------------------------------------------


async def both_ends_are_anyio_classes(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):
        with send.clone() as other_send, receive.clone() as other_receive:
            senders = [isinstance(end, MemoryObjectSendStream) for end in (send, other_send)]
            expect(senders == [True, True], f"the stream and its clone are MemoryObjectSendStream: {senders}")
            receivers = [isinstance(end, MemoryObjectReceiveStream) for end in (receive, other_receive)]
            expect(receivers == [True, True], f"and MemoryObjectReceiveStream: {receivers}")


async def handles_compare_and_hash_by_identity(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):
        with send.clone() as other_send, receive.clone() as other_receive:
            handles = {send, other_send, receive, other_receive}
            expect(len(handles) == 4, "four handles are four members of a set")
            expect(send != other_send and receive != other_receive, "a clone is not equal to its original")


async def typed_attributes_are_none(make: Make) -> None:
    async with streams(make, 1) as ends:
        for end in ends[:2]:
            attributes = end.extra_attributes
            expect(isinstance(attributes, Mapping) and not attributes, f"none, not {attributes!r}")
            lookup = partial(end.extra, _Attribute.nowhere)
            refused_now(TypedAttributeLookupError, lookup, "extra() of what is not there")
            expect(end.extra(_Attribute.nowhere, "default") == "default", "extra() gives its default")


async def unclosed_handles_warn_when_collected(make: Make) -> None:
    found = _warned_when_collected(make, close=False)
    expect(found == [True] * 4, f"ResourceWarning for send, receive and a clone of each, but {found}")


async def closed_handles_do_not_warn(make: Make) -> None:
    found = _warned_when_collected(make, close=True)
    expect(found == [False] * 4, f"no ResourceWarning for send, receive and a clone of each, but {found}")


def _warned_when_collected(make: Make, *, close: bool) -> list[bool]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        handles: list[Any] = list(make(1))
        handles += [handle.clone() for handle in handles]
        places = [f"{id(handle):x}" for handle in handles]
        if close:
            _close_all(handles)
        handles.clear()
        gc.collect()
        texts = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    return [any(place in text for text in texts) for place in places]


def _close_all(handles: list[Any]) -> None:
    for handle in handles:
        handle.close()


FLOW_FACTS: tuple[Fact, ...] = (
    bad_size_is_a_value_error,
    buffer_holds_exactly_its_size,
    infinite_buffer_never_blocks,
    no_buffer_is_a_rendezvous,
    any_object_passes_by_identity,
    send_methods_return_none,
    receiving_frees_the_sender_that_waits,
    sending_wakes_the_receiver_that_waits,
    items_come_out_in_order,
    waiting_receivers_are_served_in_order,
    waiting_senders_are_served_in_order,
    one_receive_frees_one_sender,
    statistics_have_six_fields_from_both_ends,
    statistics_count_the_buffer,
    statistics_count_waiting_receivers,
    statistics_count_waiting_senders,
    both_ends_are_anyio_classes,
    handles_compare_and_hash_by_identity,
    typed_attributes_are_none,
    unclosed_handles_warn_when_collected,
    closed_handles_do_not_warn,
)
