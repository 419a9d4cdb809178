"""Counted streams count what really went in, came out and was lost, in whichever way it was handed over."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, WouldBlock
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.stream_health import StreamSnapshot
from headrace.streams.object_stream import CountedStream, create_counted_stream


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def books(snapshot: StreamSnapshot) -> tuple[int, int, int, int]:
    return snapshot.sent, snapshot.received, snapshot.dropped, snapshot.buffered


def make(size: float = 2, clock: Clock | None = None) -> CountedStream:
    return create_counted_stream(size, clock=clock or Clock())


def close(stream: CountedStream) -> None:
    stream.send_stream.close()
    stream.receive_stream.close()


def test_a_fresh_stream_has_counted_nothing() -> None:
    stream = make(3)
    assert stream.snapshot() == StreamSnapshot(
        buffered=0,
        capacity=3,
        sent=0,
        received=0,
        dropped=0,
        waiting_senders=0,
        waiting_receivers=0,
        open_senders=1,
        open_receivers=1,
        quiet_for=None,
    )
    close(stream)


def test_ends_and_clones_are_anyios_classes_with_one_meter() -> None:
    stream = make()
    with stream.send_stream.clone() as send, stream.receive_stream.clone() as receive:
        assert isinstance(send, MemoryObjectSendStream)
        assert isinstance(receive, MemoryObjectReceiveStream)
        assert type(send) is type(stream.send_stream)
        assert type(receive) is type(stream.receive_stream)
        send.send_nowait(1)
        assert receive.receive_nowait() == 1
    assert books(stream.snapshot()) == (1, 1, 0, 0)
    close(stream)


@pytest.mark.parametrize("size", [-1, 1.5, math.nan])
def test_a_bad_buffer_size_is_anyios_value_error(size: float) -> None:
    with pytest.raises(ValueError, match="max_buffer_size"):
        make(size)


async def test_what_goes_through_the_buffer_is_counted_once() -> None:
    stream = make()
    await stream.send_stream.send(1)
    stream.send_stream.send_nowait(2)
    assert books(stream.snapshot()) == (2, 0, 0, 2)
    await stream.receive_stream.receive()
    assert books(stream.snapshot()) == (2, 1, 0, 1)
    stream.receive_stream.receive_nowait()
    assert books(stream.snapshot()) == (2, 2, 0, 0)
    close(stream)


async def test_what_is_handed_to_a_waiting_receiver_is_counted_once() -> None:
    stream = make()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.receive_stream.receive)
        await anyio.wait_all_tasks_blocked()
        assert stream.snapshot().waiting_receivers == 1
        stream.send_stream.send_nowait(1)
    assert books(stream.snapshot()) == (1, 1, 0, 0)
    close(stream)


async def test_what_is_taken_from_a_waiting_sender_is_counted_once() -> None:
    stream = make(0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send_stream.send, 1)
        await anyio.wait_all_tasks_blocked()
        assert stream.snapshot().waiting_senders == 1
        assert books(stream.snapshot()) == (0, 0, 0, 0)
        stream.receive_stream.receive_nowait()
    assert books(stream.snapshot()) == (1, 1, 0, 0)
    close(stream)


async def test_a_sender_that_moves_up_into_the_buffer_is_counted_once() -> None:
    stream = make(1)
    stream.send_stream.send_nowait(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send_stream.send, 2)
        await anyio.wait_all_tasks_blocked()
        stream.receive_stream.receive_nowait()
    assert books(stream.snapshot()) == (2, 1, 0, 1)
    close(stream)


async def test_refused_and_cancelled_calls_count_nothing() -> None:
    stream = make(0)
    with pytest.raises(WouldBlock):
        stream.send_stream.send_nowait(1)
    with pytest.raises(WouldBlock):
        stream.receive_stream.receive_nowait()
    for call in (partial(stream.send_stream.send, 1), stream.receive_stream.receive):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    stream.send_stream.close()
    with pytest.raises(ClosedResourceError):
        await stream.send_stream.send(1)
    with pytest.raises(ClosedResourceError):
        stream.send_stream.clone()
    with pytest.raises(EndOfStream):
        await stream.receive_stream.receive()
    stream.receive_stream.close()
    with pytest.raises(ClosedResourceError):
        stream.receive_stream.clone()
    assert books(stream.snapshot()) == (0, 0, 0, 0)


def test_what_no_receiver_took_counts_as_dropped_once_the_last_one_closes() -> None:
    stream = make(5)
    for item in range(4):
        stream.send_stream.send_nowait(item)
    other = stream.receive_stream.clone()
    stream.receive_stream.receive_nowait()
    stream.receive_stream.close()
    assert books(stream.snapshot()) == (4, 1, 0, 3)
    other.close()
    other.close()
    assert books(stream.snapshot()) == (4, 1, 3, 0)
    with pytest.raises(BrokenResourceError):
        stream.send_stream.send_nowait(4)
    assert books(stream.snapshot()) == (4, 1, 3, 0)
    stream.send_stream.close()


async def test_activity_is_when_a_message_last_moved() -> None:
    clock = Clock()
    stream = make(1, clock)
    with pytest.raises(WouldBlock):
        stream.receive_stream.receive_nowait()
    assert stream.snapshot().quiet_for is None
    stream.send_stream.send_nowait(1)
    clock.now += 5
    assert stream.snapshot().quiet_for == 5
    with pytest.raises(WouldBlock):
        stream.send_stream.send_nowait(2)
    assert stream.snapshot().quiet_for == 5
    stream.receive_stream.receive_nowait()
    assert stream.snapshot().quiet_for == 0
    clock.now -= 1
    assert stream.snapshot().quiet_for == 0
    close(stream)


async def test_a_send_that_begins_to_wait_on_an_empty_stream_is_activity() -> None:
    clock = Clock()
    stream = make(0, clock)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(stream.send_stream.send, 1)
            await anyio.wait_all_tasks_blocked()
            clock.now += 3
        assert stream.snapshot().quiet_for == 6
        tasks.cancel_scope.cancel()
    close(stream)


@pytest.mark.parametrize("order", ["send first", "receive first"])
def test_the_owner_is_told_once_when_the_last_handle_closes(order: str) -> None:
    told: list[str] = []
    stream = create_counted_stream(1, clock=Clock(), on_closed=lambda: told.append("closed"))
    handles: list[Any] = [stream.send_stream, stream.send_stream.clone(), stream.receive_stream]
    handles.append(stream.receive_stream.clone())
    if order == "receive first":
        handles.reverse()
    for handle in handles:
        assert told == []
        handle.close()
    for handle in handles:
        handle.close()
    assert told == ["closed"]


def test_clones_that_nobody_holds_are_forgotten() -> None:
    stream = make()
    for _ in range(100):
        stream.send_stream.clone().close()
    assert not stream.meter.clones
    close(stream)


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([0, 1, 2, 5, math.inf]),
    seed=st.integers(0, 2**32),
    backend=st.sampled_from(["asyncio", "trio"]),
)
def test_the_books_close_whatever_is_sent_received_and_cancelled(
    size: float, seed: int, backend: str
) -> None:
    anyio.run(_check_books, size, random.Random(seed), backend=backend)


async def _check_books(size: float, chance: random.Random) -> None:
    stream = make(size)
    sent: list[int] = []
    received: list[int] = []

    async def send(first: int) -> None:
        with stream.send_stream.clone() as handle:
            for item in range(first, first + 10):
                with anyio.CancelScope() as scope:
                    scope.cancel() if chance.random() < 0.1 else None
                    await handle.send(item)
                    sent.append(item)

    async def receive(scope: anyio.CancelScope) -> None:
        with stream.receive_stream.clone() as handle, scope:
            left = chance.randrange(15)
            while left > 0:
                received.append(await handle.receive())
                left -= 1

    async with anyio.create_task_group() as tasks:
        scopes = [anyio.CancelScope() for _ in range(3)]
        for number, scope in enumerate(scopes):
            tasks.start_soon(send, number * 10)
            tasks.start_soon(receive, scope)
        for scope in chance.sample(scopes, 2):
            for _ in range(chance.randrange(20)):
                await checkpoint()
            scope.cancel()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    snapshot = stream.snapshot()
    assert snapshot.sent == len(sent)
    assert snapshot.received == len(received)
    assert snapshot.buffered == len(sent) - len(received)
    close(stream)
    final = stream.snapshot()
    assert final.sent == final.received + final.dropped
    assert final.open_senders == final.open_receivers == 0
