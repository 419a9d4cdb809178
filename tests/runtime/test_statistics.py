"""Snapshots: of the whole system, of its edges in the table of streams, of its books."""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group

from headrace.model.component_status import ComponentState
from headrace.runtime.edge_observer import EdgeObserver
from headrace.runtime.system_execution_harness import System


def blocked_system(parts: SimpleNamespace, go_on: anyio.Event) -> System:
    """Return a system whose sink waits to be told before it reads."""

    async def slow(self: Any) -> None:
        await go_on.wait()
        async for _ in self.receive_streams["in"]:
            pass

    system = System("shown")
    system.register_component("numbers", parts.Numbers(count=10))
    system.register_component("slow", parts.Acting("slow", slow))
    system.connect("numbers.out", "slow.in", buffer_size=4)
    return system


async def test_a_snapshot_shows_components_and_edges(parts: SimpleNamespace) -> None:
    go_on = anyio.Event()
    system = blocked_system(parts, go_on)
    before = system.statistics()
    assert before.running is False
    assert before.components["slow"].state is ComponentState.CREATED
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        now = system.statistics()
        go_on.set()
    assert (now.name, now.running) == ("shown", True)
    slow = now.components["slow"]
    assert (slow.name, slow.kind, slow.state, slow.error_count) == ("slow", "Acting", "running", 0)
    assert slow.last_transition > 1e9
    edge = now.edges["numbers.out -> slow.in"]
    assert (edge.buffered, edge.capacity, edge.waiting_senders, edge.waiting_receivers) == (4, 4, 1, 0)
    assert edge.open
    after = system.statistics().edges["numbers.out -> slow.in"]
    assert (after.ledger.acknowledged, after.open) == (10, False)
    assert edge.buffered == 4  # a snapshot stays as it was


async def test_a_snapshot_cannot_be_changed(parts: SimpleNamespace) -> None:
    system = blocked_system(parts, anyio.Event())
    now = system.statistics()
    with pytest.raises(dataclasses.FrozenInstanceError):
        now.running = True  # type: ignore[misc]
    with pytest.raises(TypeError):
        now.components["more"] = now.components["slow"]  # type: ignore[index]
    with pytest.raises(TypeError):
        now.edges["more"] = now.edges["numbers.out -> slow.in"]  # type: ignore[index]
    with pytest.raises(TypeError):
        system.ledger().discarded["x"] = 1  # type: ignore[index]


async def test_snapshots_may_be_taken_from_other_threads(parts: SimpleNamespace) -> None:
    system, taken, done = System(), [], threading.Event()

    async def cloning(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            self.receive_streams["in"].clone().close()

    system.register_component("numbers", parts.Numbers(count=3000))
    system.register_component("sink", parts.Acting("sink", cloning))
    system.connect("numbers.out", "sink.in")

    def look() -> None:
        while not done.is_set():
            taken.append(system.statistics())
            system.stream_manager.get_stream_stats()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        report = await system.run()
    finally:
        done.set()
        await parts.wait_for_thread(thread)
    assert report.ledger.totals.given_out == 3000
    assert taken


async def test_the_table_of_streams_covers_every_edge_while_it_is_open(parts: SimpleNamespace) -> None:
    go_on = anyio.Event()
    system = blocked_system(parts, go_on)
    manager = system.stream_manager
    key = "numbers.out -> slow.in"
    assert list(manager.active_streams) == [key]
    assert manager.get_stream_stats()["streams"][key]["health"] == "idle"
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        stats = manager.get_stream_stats()["streams"][key]
        assert (manager.active_streams[key].send_stream, manager.active_streams[key].receive_stream) == (
            system.streams[key]
        )
        go_on.set()
    assert (stats["sent"], stats["received"], stats["buffered"], stats["dropped"]) == (4, 0, 4, 0)
    assert (stats["capacity"], stats["waiting_senders"], stats["health"]) == (4, 1, "backpressured")
    assert manager.get_stream_stats()["active_count"] == 0
    system.components["numbers"].sent = 0
    await system.run()
    assert manager.get_stream_stats()["total_created"] == 2
    assert manager.get_stream_stats()["total_closed"] == 2


async def test_an_edge_leaves_the_table_when_both_ends_have_ended(parts: SimpleNamespace) -> None:
    rest = anyio.Event()

    async def short(self: Any) -> None:
        [message async for message in self.receive_streams["in"]]

    async def long(self: Any) -> None:
        await rest.wait()

    system = System()
    system.register_component("numbers", parts.Numbers(count=1))
    system.register_component("short", parts.Acting("short", short))
    system.register_component("long", parts.Acting("long", long))
    system.connect("numbers.out", "short.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        assert system.running
        assert system.stream_manager.active_streams == {}
        rest.set()


async def test_the_observer_sees_movement_and_what_was_dropped(parts: SimpleNamespace) -> None:
    now = 100.0
    system = System()
    system.register_component("a", parts.Pass("a"))
    system.register_component("b", parts.Pass("b"))
    system.connect("a.out", "b.in", buffer_size=2, when_full="drop_oldest")
    observe = EdgeObserver(system.wiring.edges["a.out -> b.in"], clock=lambda: now)
    sending, receiving = system.streams["a.out -> b.in"]
    assert observe().quiet_for is None
    for number in range(3):
        await sending.send(number)
    seen = observe()
    assert (seen.sent, seen.dropped, seen.buffered, seen.received) == (3, 1, 2, 0)
    assert seen.quiet_for == 0
    now = 107.0
    assert observe().quiet_for == 7
    assert await receiving.receive() == 1
    assert observe().quiet_for == 0
    sending.close()
    receiving.close()
    closed = observe()
    assert (closed.open_senders, closed.open_receivers) == (0, 0)
    assert closed.sent == closed.received + closed.dropped + closed.buffered
