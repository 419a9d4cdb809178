"""Acceptance tests of spec.md section 1, one per sentence; each quotes its sentence."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace import (
    Component,
    ComponentLike,
    ComponentState,
    ComponentStatus,
    HarnessComponent,
    InvalidStateTransition,
    SystemExecutionHarness,
)
from headrace.exceptions import HeadraceError

# The contract's table, written out again here so that a change of the library's shows.
TABLE = {
    "created": ["ready", "error"],
    "ready": ["running", "stopping", "error"],
    "running": ["stopping", "error"],
    "stopping": ["stopped", "error"],
    "stopped": ["ready"],
    "error": ["ready", "stopped"],
}
ROUTES = {
    "created": [],
    "ready": ["ready"],
    "running": ["ready", "running"],
    "stopping": ["ready", "stopping"],
    "stopped": ["ready", "stopping", "stopped"],
    "error": ["error"],
}
LEGAL = [(source, target) for source, targets in TABLE.items() for target in targets]
ILLEGAL = [(source, target) for source in TABLE for target in TABLE if target not in TABLE[source]]


def status_in(state: str) -> ComponentStatus:
    """Return a status that was moved to a state by legal moves."""
    status = ComponentStatus("probe")
    for step in ROUTES[state]:
        status.transition_to(step)
    return status


class Source(HarnessComponent):
    """Sends what it is configured to send."""

    async def process(self) -> None:
        for item in self.config["items"]:
            await self.send_streams["out"].send(item)


class Sink(HarnessComponent):
    """Keeps what it receives."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self.seen: list[Any] = []

    async def process(self) -> None:
        async for item in self.receive_streams["in"]:
            self.seen.append(item)


def joined(
    buffer_size: int = 100,
) -> tuple[HarnessComponent, HarnessComponent, MemoryObjectSendStream[Any], MemoryObjectReceiveStream[Any]]:
    """Return two connected components and the streams that they hold."""
    harness = SystemExecutionHarness()
    source, sink = Source("source", {"items": []}), Sink("sink")
    harness.register_component("source", source)
    harness.register_component("sink", sink)
    harness.connect("source.out", "sink.in", buffer_size=buffer_size)
    return source, sink, source.send_streams["out"], sink.receive_streams["in"]


# --- Component ---------------------------------------------------------------------------------


def test_a_component_is_made_from_a_name_and_an_optional_config() -> None:
    """`__init__(name: str, config: Mapping | None = None)`"""
    assert (Component("a").name, dict(Component("a").config)) == ("a", {})
    assert Component("b", {"rate": 3}).config["rate"] == 3


async def test_a_component_has_four_async_methods_and_health_check_gives_a_dict() -> None:
    """`async setup(harness_context=None)`, `async process()`, `async cleanup()`, `async health_check() -> dict`"""
    component = Component("a")
    methods = (component.setup, component.process, component.cleanup, component.health_check)
    assert all(inspect.iscoroutinefunction(method) for method in methods)
    await component.setup()
    await component.setup({"any": "mapping"})
    await component.process()
    assert isinstance(await component.health_check(), dict)
    await component.cleanup()


def test_a_component_knows_nothing_of_streams_or_of_the_harness() -> None:
    """`Component` (neutral base, knows nothing of streams or harness)"""
    assert set(vars(Component("a"))) == {"name", "config"}
    assert not issubclass(Component, HarnessComponent)


async def test_an_object_that_inherits_from_nothing_runs_and_gets_the_port_dictionaries_it_lacks() -> None:
    """Any object with setup, process and cleanup can be registered [...]; `connect` makes the port dictionaries"""

    class Foreign:
        calls: tuple[str, ...] = ()

        async def setup(self) -> None:
            self.calls += ("setup",)

        async def process(self) -> None:
            self.calls += ("process",)
            await self.send_streams["out"].send("from a stranger")  # type: ignore[attr-defined]

        async def cleanup(self) -> None:
            self.calls += ("cleanup",)

    foreign, sink = Foreign(), Sink("sink")
    assert isinstance(foreign, ComponentLike)
    harness = SystemExecutionHarness()
    harness.register_component("foreign", foreign)
    harness.register_component("sink", sink)
    harness.connect("foreign.out", "sink.in")
    await harness.run()
    assert sink.seen == ["from a stranger"]
    assert foreign.calls == ("setup", "process", "cleanup")


# --- HarnessComponent: streams -------------------------------------------------------------------


def test_connect_fills_the_dictionaries_with_anyio_memory_object_streams() -> None:
    """`receive_streams: dict[...]`, `send_streams: dict[...]`, filled by `connect`; `isinstance` holds"""
    assert (Sink("alone").receive_streams, Sink("alone").send_streams) == ({}, {})
    source, sink, _, _ = joined()
    assert list(source.send_streams) == ["out"]
    assert list(sink.receive_streams) == ["in"]
    assert isinstance(source.send_streams["out"], MemoryObjectSendStream)
    assert isinstance(sink.receive_streams["in"], MemoryObjectReceiveStream)


async def test_streams_offer_send_receive_and_their_nowait_forms() -> None:
    """the whole public surface: `send`, `send_nowait`, `receive`, `receive_nowait`"""
    _, _, send, receive = joined()
    await send.send(1)
    send.send_nowait(2)
    assert [await receive.receive(), receive.receive_nowait()] == [1, 2]


async def test_a_receive_stream_is_iterated_to_its_end() -> None:
    """the whole public surface: [...] `async for`"""
    _, _, send, receive = joined()
    for item in range(3):
        send.send_nowait(item)
    send.close()
    assert [item async for item in receive] == [0, 1, 2]


async def test_clones_keep_a_stream_open_until_the_last_one_closes() -> None:
    """the whole public surface: [...] `clone`, `close`, `aclose`"""
    _, _, send, receive = joined()
    second = send.clone()
    await send.aclose()
    second.send_nowait("still open")
    second.close()
    assert await receive.clone().receive() == "still open"
    with pytest.raises(anyio.EndOfStream):
        receive.receive_nowait()


def test_streams_tell_their_statistics() -> None:
    """the whole public surface: [...] `statistics`"""
    _, _, send, receive = joined(buffer_size=7)
    send.send_nowait("x")
    for statistics in (send.statistics(), receive.statistics()):
        assert (statistics.current_buffer_used, statistics.max_buffer_size) == (1, 7)
        assert (statistics.open_send_streams, statistics.open_receive_streams) == (1, 1)


async def test_streams_are_context_managers_that_close() -> None:
    """the whole public surface: [...] context manager"""
    _, _, send, receive = joined()
    with send as same:
        assert same is send
    async with receive:
        with pytest.raises(anyio.EndOfStream):
            await receive.receive()
    with pytest.raises(anyio.ClosedResourceError):
        await receive.receive()


async def test_streams_raise_what_anyios_raise() -> None:
    """the same exceptions (`EndOfStream`, `BrokenResourceError`, `ClosedResourceError`, `WouldBlock`)"""
    _, _, send, receive = joined(buffer_size=1)
    with pytest.raises(anyio.WouldBlock):
        receive.receive_nowait()
    send.send_nowait("fills it")
    with pytest.raises(anyio.WouldBlock):
        send.send_nowait("too much")
    send.close()
    with pytest.raises(anyio.ClosedResourceError):
        await send.send("closed")
    assert await receive.receive() == "fills it"
    with pytest.raises(anyio.EndOfStream):
        await receive.receive()
    _, _, send, receive = joined()
    receive.close()
    with pytest.raises(anyio.BrokenResourceError):
        await send.send("nobody there")


async def test_a_component_written_only_against_this_surface_runs_unchanged() -> None:
    """A component written only against this surface [...] runs unchanged"""

    class Existing(HarnessComponent):
        async def process(self) -> None:
            async for m in self.receive_streams["in"]:
                await self.send_streams["out"].send(m * 2)

    harness, sink = SystemExecutionHarness(), Sink("sink")
    for name, component in {
        "source": Source("source", {"items": [1, 2, 3]}),
        "existing": Existing("existing"),
        "sink": sink,
    }.items():
        harness.register_component(name, component)
    harness.connect("source.out", "existing.in")
    harness.connect("existing.out", "sink.in")
    await harness.run()
    assert sink.seen == [2, 4, 6]


# --- HarnessComponent: life ----------------------------------------------------------------------


async def test_setup_ends_in_state_ready() -> None:
    """`setup()` ends in state `ready`"""
    component = HarnessComponent("a")
    assert component.status.state == "created"
    await component.setup()
    assert component.status.state == "ready"


async def test_process_raises_not_implemented_unless_overridden() -> None:
    """`process()` raises `NotImplementedError` unless overridden"""
    with pytest.raises(NotImplementedError, match="'a'"):
        await HarnessComponent("a").process()


async def test_cleanup_goes_through_stopping_to_stopped() -> None:
    """`cleanup()` goes `stopping` -> `stopped`"""
    component = HarnessComponent("a")
    await component.setup()
    await component.cleanup()
    assert [move.target for move in component.status.history][-2:] == ["stopping", "stopped"]


async def test_cleanup_closes_every_stream_of_both_directions() -> None:
    """`cleanup()` [...] closes every stream it holds, of both directions"""
    source, sink, send, receive = joined()
    await source.cleanup()
    await sink.cleanup()
    with pytest.raises(anyio.ClosedResourceError):
        await send.send(1)
    with pytest.raises(anyio.ClosedResourceError):
        await receive.receive()


@pytest.mark.parametrize("state", sorted(TABLE))
async def test_cleanup_is_idempotent_and_legal_from_every_state(state: str) -> None:
    """`cleanup()` is idempotent and legal from every state: it must not raise `InvalidStateTransition`"""
    component = HarnessComponent("a")
    for step in ROUTES[state]:
        component.status.transition_to(step)
    errors = component.status.error_count
    await component.cleanup()
    await component.cleanup()
    assert component.status.state == "stopped"
    assert component.status.error_count == errors


def test_status_is_there_under_both_names() -> None:
    """Both `self.status` and `self._status` give the `ComponentStatus`"""
    component = HarnessComponent("a")
    assert component.status is component._status
    assert isinstance(component.status, ComponentStatus)


# --- ComponentStatus -----------------------------------------------------------------------------


def test_the_state_is_a_str_and_an_enum_member() -> None:
    """`.state` (a `str`, also an enum member)"""
    state = ComponentStatus().state
    assert isinstance(state, str)
    assert state == "created"
    assert state is ComponentState.CREATED


def test_the_last_transition_is_in_seconds_since_the_epoch() -> None:
    """`.last_transition` (seconds since the epoch)"""
    status = ComponentStatus()
    before = time.time()
    status.transition_to("ready")
    assert before <= status.last_transition <= time.time()


def test_is_running_is_true_in_state_running_alone() -> None:
    """`.is_running`"""
    assert {state: status_in(state).is_running for state in TABLE} == {s: s == "running" for s in TABLE}


@pytest.mark.parametrize(("source", "target"), LEGAL)
def test_every_move_of_the_table_is_made(source: str, target: str) -> None:
    """One literal table is the state machine"""
    status = status_in(source)
    status.transition_to(target)
    assert status.state == target


@pytest.mark.parametrize(("source", "target"), ILLEGAL)
def test_every_other_move_is_refused_with_both_states_and_the_legal_ones(source: str, target: str) -> None:
    """An illegal move raises `InvalidStateTransition`, names both states and lists the legal ones"""
    status = status_in(source)
    with pytest.raises(InvalidStateTransition) as caught:
        status.transition_to(target)
    assert isinstance(caught.value, HeadraceError)
    for word in (source, target, *TABLE[source]):
        assert word in str(caught.value)
    assert status.state == source


async def test_a_status_is_read_and_moved_from_worker_threads() -> None:
    """Thread-safe (a status may be read and moved from worker threads)"""
    status = ComponentStatus()
    status.transition_to("error")
    together = threading.Barrier(2)

    def cycle() -> int:
        made = 0
        together.wait(10)
        for _ in range(500):
            for target in ("ready", "error"):
                try:
                    status.transition_to(target)
                except InvalidStateTransition:  # the other thread was first
                    assert status.state in ("ready", "error")
                else:
                    made += target == "error"
        return made

    counts: list[int] = []

    async def in_a_thread() -> None:
        counts.append(await anyio.to_thread.run_sync(cycle))

    async with anyio.create_task_group() as group:
        group.start_soon(in_a_thread)
        group.start_soon(in_a_thread)
    assert status.error_count == 1 + sum(counts)


def test_it_keeps_the_last_error_with_its_traceback() -> None:
    """It keeps the last error with its traceback"""
    status = status_in("running")
    try:
        raise OSError("disk gone")
    except OSError as error:
        status.transition_to("error", error=error)
    assert isinstance(status.last_error, OSError)
    assert status.last_error.__traceback__ is not None


def test_entering_error_counts_one() -> None:
    """counts errors (entering `error` counts one)"""
    status = ComponentStatus()
    for expected in (1, 2, 3):
        status.transition_to("error")
        assert status.error_count == expected
        status.transition_to("ready")


def test_the_history_of_timed_transitions_is_bounded() -> None:
    """keeps a bounded history of timed transitions"""
    status = ComponentStatus(history=4)
    for _ in range(10):
        status.transition_to("error")
        status.transition_to("ready")
    assert [move.target for move in status.history] == ["error", "ready"] * 2
    assert all(earlier.at <= later.at for earlier, later in zip(status.history, status.history[1:]))  # noqa: B905


def test_listeners_are_told_of_every_move() -> None:
    """and tells listeners"""
    status, told = ComponentStatus("a"), []
    remove = status.add_listener(lambda who, move: told.append((who.component, move.source, move.target)))
    status.transition_to("ready")
    remove()
    status.transition_to("running")
    assert told == [("a", "created", "ready")]


def test_recovery_is_error_to_ready_and_restart_is_stopped_to_ready() -> None:
    """Recovery is `error -> ready`; restart is `stopped -> ready`"""
    for state in ("error", "stopped"):
        status = status_in(state)
        status.transition_to("ready")
        status.transition_to("running")
        assert status.is_running


if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", str(Path(__file__).resolve()), *sys.argv[1:]]
    sys.exit(subprocess.call(command))
