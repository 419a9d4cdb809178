"""The manager's table holds what is open, tells its numbers, and leaks nothing."""

from __future__ import annotations

import gc
import math
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio import ClosedResourceError
from anyio.streams.memory import MemoryObjectSendStream

from headrace.exceptions import StreamError
from headrace.model.stream_health import StreamHealth, StreamSnapshot
from headrace.streams.stream_manager import StreamInfo, StreamManager


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def snapshot(**numbers: Any) -> StreamSnapshot:
    fields = {
        "buffered": 1,
        "capacity": 4,
        "sent": 9,
        "received": 6,
        "dropped": 2,
        "waiting_senders": 0,
        "waiting_receivers": 0,
        "open_senders": 1,
        "open_receivers": 1,
        "quiet_for": 2.0,
    }
    return StreamSnapshot(**{**fields, **numbers})


def counts(manager: StreamManager) -> tuple[int, int, int]:
    stats = manager.get_stream_stats()
    return stats["active_count"], stats["total_created"], stats["total_closed"]


async def test_a_stream_is_in_the_table_from_creation_until_both_ends_are_closed() -> None:
    manager = StreamManager(wall_clock=Clock(1000.0))
    send, receive = manager.create_stream()
    info = manager.active_streams["stream-1"]
    assert (info.id, info.created_at) == ("stream-1", 1000.0)
    assert info.send_stream is send
    assert info.receive_stream is receive
    assert counts(manager) == (1, 1, 0)
    send.close()
    assert counts(manager) == (1, 1, 0)
    await receive.aclose()
    assert counts(manager) == (0, 1, 1)
    assert manager.active_streams == {}


def test_a_stream_leaves_the_table_only_when_all_clones_are_closed() -> None:
    manager = StreamManager()
    send, receive = manager.create_stream()
    other = send.clone()
    send.close()
    receive.close()
    assert counts(manager) == (1, 1, 0)
    other.close()
    assert counts(manager) == (0, 1, 1)


def test_the_default_buffer_holds_a_hundred() -> None:
    manager = StreamManager()
    with manager.create_stream()[0] as send, manager.active_streams["stream-1"].receive_stream:
        assert send.statistics().max_buffer_size == 100


@pytest.mark.parametrize("size", [-1, 2.5, math.nan])
def test_a_bad_buffer_size_makes_no_stream(size: float) -> None:
    manager = StreamManager()
    with pytest.raises(ValueError, match="max_buffer_size"):
        manager.create_stream(size)
    assert counts(manager) == (0, 0, 0)


@pytest.mark.parametrize("stall_after", [0, -1.0, math.nan])
def test_a_stall_threshold_that_is_not_above_zero_is_refused(stall_after: float) -> None:
    with pytest.raises(ValueError, match="stall_after is"):
        StreamManager(stall_after=stall_after)


async def test_ids_are_readable_and_never_given_twice() -> None:
    manager = StreamManager()
    with manager.create_stream()[0], manager.active_streams["stream-1"].receive_stream:
        pass
    manager.create_stream()
    manager.create_stream(name="orders")
    adopted = manager.active_streams["stream-2"]
    manager.adopt("stream-4", adopted.send_stream, adopted.receive_stream, snapshot)
    manager.create_stream()
    assert list(manager.active_streams) == ["stream-2", "orders-3", "stream-4", "stream-5"]
    await manager.close_all_streams()


async def test_statistics_give_every_number_of_a_stream() -> None:
    clock, wall_clock = Clock(50.0), Clock(1000.0)
    manager = StreamManager(clock=clock, wall_clock=wall_clock)
    send, receive = manager.create_stream(3)
    for item in range(3):
        await send.send(item)
    await receive.receive()
    clock.now, wall_clock.now = 54.0, 1004.0
    assert manager.get_stream_stats() == {
        "active_count": 1,
        "total_created": 1,
        "total_closed": 0,
        "streams": {
            "stream-1": {
                "buffered": 2,
                "capacity": 3,
                "sent": 3,
                "received": 1,
                "dropped": 0,
                "waiting_senders": 0,
                "waiting_receivers": 0,
                "open_senders": 1,
                "open_receivers": 1,
                "created_at": 1000.0,
                "age": 4.0,
                "last_activity": 1000.0,
                "health": "flowing",
            }
        },
    }
    receive.close()
    numbers = manager.get_stream_stats()["streams"]["stream-1"]
    assert (numbers["dropped"], numbers["buffered"], numbers["health"]) == (2, 0, "closed")
    send.close()


async def test_health_goes_from_idle_over_flowing_and_backpressured_to_stalled() -> None:
    clock = Clock(0.0)
    manager = StreamManager(clock=clock, stall_after=10)
    send, receive = manager.create_stream(1)

    def health() -> Any:
        return manager.get_stream_stats()["streams"]["stream-1"]["health"]

    assert health() is StreamHealth.IDLE
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive.receive)
        await anyio.wait_all_tasks_blocked()
        assert manager.get_stream_stats()["streams"]["stream-1"]["waiting_receivers"] == 1
        await send.send(0)
    assert health() is StreamHealth.FLOWING
    async with anyio.create_task_group() as tasks:
        for item in range(2):
            tasks.start_soon(send.send, item)
        await anyio.wait_all_tasks_blocked()
        assert manager.get_stream_stats()["streams"]["stream-1"]["waiting_senders"] == 1
        assert health() is StreamHealth.BACKPRESSURED
        clock.now = 10.0
        assert health() is StreamHealth.STALLED
        await receive.receive()
    await receive.receive()
    clock.now = 20.0
    assert health() is StreamHealth.IDLE
    send.close()
    assert health() is StreamHealth.CLOSED
    receive.close()


def test_a_rendezvous_that_was_long_idle_is_not_stalled_when_a_send_begins_to_wait() -> None:
    clock = Clock(0.0)

    async def main() -> None:
        manager = StreamManager(clock=clock)
        send, receive = manager.create_stream(0)
        clock.now = 3600.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send.send, 1)
            await anyio.wait_all_tasks_blocked()
            health = manager.get_stream_stats()["streams"]["stream-1"]["health"]
            await receive.receive()
        assert health is StreamHealth.BACKPRESSURED
        send.close()
        receive.close()

    anyio.run(main)


async def test_an_adopted_stream_is_told_by_its_own_numbers_until_released() -> None:
    clock, wall_clock = Clock(50.0), Clock(1000.0)
    manager = StreamManager(clock=clock, wall_clock=wall_clock)
    send, receive = anyio.create_memory_object_stream[int](4)
    info = manager.adopt("a.out -> b.in", send, receive, lambda: snapshot(quiet_for=3.0))
    assert isinstance(info, StreamInfo)
    assert manager.active_streams == {"a.out -> b.in": info}
    numbers = manager.get_stream_stats()["streams"]["a.out -> b.in"]
    assert (numbers["sent"], numbers["received"], numbers["dropped"]) == (9, 6, 2)
    assert (numbers["last_activity"], numbers["health"]) == (997.0, "flowing")
    send.close()
    receive.close()
    assert counts(manager) == (1, 1, 0)
    manager.release("a.out -> b.in")
    manager.release("a.out -> b.in")
    assert counts(manager) == (0, 1, 1)


async def test_an_id_that_is_in_the_table_is_refused() -> None:
    manager = StreamManager()
    send, receive = manager.create_stream()
    with pytest.raises(StreamError, match="'stream-1' is in the table already; release it first"):
        manager.adopt("stream-1", send, receive, snapshot)
    assert counts(manager) == (1, 1, 0)
    await manager.close_all_streams()


async def test_closing_all_closes_both_ends_and_clones_and_empties_the_table() -> None:
    manager = StreamManager()
    plain = anyio.create_memory_object_stream[int](4)
    manager.adopt("plain", *plain, snapshot)
    handles: list[Any] = [*plain]
    for _ in range(3):
        ends = manager.create_stream()
        handles += [*ends, *(end.clone() for end in ends)]
    await manager.close_all_streams()
    for handle in handles:
        with pytest.raises(ClosedResourceError):
            handle.clone()
    assert counts(manager) == (0, 4, 4)
    await manager.close_all_streams()
    assert counts(manager) == (0, 4, 4)


async def test_closing_all_ends_the_calls_that_wait() -> None:
    manager = StreamManager()
    ended: list[str] = []

    async def wait(call: Callable[..., Any], *args: object) -> None:
        try:
            await call(*args)
        except ClosedResourceError:
            ended.append(call.__name__)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, manager.create_stream(0)[1].receive)
        tasks.start_soon(wait, manager.create_stream(0)[0].send, 1)
        await anyio.wait_all_tasks_blocked()
        await manager.close_all_streams()
    assert sorted(ended) == ["receive", "send"]


async def test_closing_all_closes_everything_even_when_cancelled() -> None:
    manager = StreamManager()
    for _ in range(3):
        manager.create_stream()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await manager.close_all_streams()
    assert counts(manager) == (0, 3, 3)


async def test_one_stream_that_fails_to_close_does_not_keep_the_others_open() -> None:
    class FailsToClose(MemoryObjectSendStream[int]):
        async def aclose(self) -> None:
            self.close()
            raise OSError("disk full")

    manager = StreamManager()
    manager.create_stream()
    plain_send, plain_receive = anyio.create_memory_object_stream[int](4)
    manager.adopt("plain", FailsToClose(plain_send._state), plain_receive, snapshot)
    manager.create_stream()
    with pytest.raises(OSError, match="disk full"):
        await manager.close_all_streams()
    assert counts(manager) == (0, 3, 3)
    plain_send.close()


async def test_statistics_may_be_asked_for_from_another_thread() -> None:
    manager = StreamManager()
    done = threading.Event()

    def ask() -> int:
        asked = 0
        while not done.is_set():
            stats = manager.get_stream_stats()
            assert stats["active_count"] == len(stats["streams"])
            assert all(numbers["received"] >= 0 for numbers in stats["streams"].values())
            asked += 1
        return asked

    def churn() -> None:
        try:
            for _ in range(3000):
                send, receive = manager.create_stream(2)
                send.send_nowait(1)
                receive.receive_nowait()
                send.close()
                receive.close()
        finally:
            done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, ask)
        await anyio.wait_all_tasks_blocked()
        churn()
    assert counts(manager) == (0, 3000, 3000)


def test_streams_that_everybody_forgot_stay_in_the_table_to_be_closed() -> None:
    manager = StreamManager()
    manager.create_stream()
    gc.collect()
    assert counts(manager) == (1, 1, 0)
    anyio.run(manager.close_all_streams)
    assert counts(manager) == (0, 1, 1)


def test_a_forgotten_manager_does_not_keep_its_streams_nor_hide_their_warnings() -> None:
    manager = StreamManager()
    send, receive = manager.create_stream()
    del manager
    gc.collect()
    send.close()
    receive.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manager = StreamManager()
        manager.create_stream()
        del manager
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning, ResourceWarning]


def test_nothing_is_left_of_twenty_thousand_streams() -> None:
    manager = StreamManager()

    def cycles(count: int) -> None:
        for _ in range(count):
            send, receive = manager.create_stream()
            with send.clone() as other:
                other.send_nowait(1)
            send.close()
            receive.close()

    cycles(1000)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cycles(20_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 16_384
    assert counts(manager) == (0, 21_000, 21_000)
