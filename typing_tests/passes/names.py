"""Running, streams and messages: what the other public names are to a type checker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace import (
    BroadcastReport,
    Component,
    ComponentLike,
    ComponentState,
    ComponentStatus,
    Context,
    DeadLetter,
    DeadLetters,
    Envelope,
    HarnessComponent,
    HeadraceError,
    InvalidStateTransition,
    MessageProtocol,
    ShutdownReport,
    StreamFramework,
    StreamFrameworkStatistics,
    StreamInfo,
    StreamManager,
    System,
    SystemExecutionHarness,
    SystemFailed,
    SystemHealth,
)


class Neutral(Component):
    async def process(self) -> None:
        assert_type(self.name, str)


class ByHand(HarnessComponent):
    """Written only against the dictionaries of streams."""

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        await super().setup(harness_context)
        if isinstance(harness_context, Context):
            assert_type(harness_context.stop_event.is_set(), bool)
            harness_context.report_status("warm")

    async def process(self) -> None:
        receiving = self.receive_streams["in"]
        assert_type(receiving, MemoryObjectReceiveStream[Any])
        async for message in receiving:
            await self.send_streams["out"].send(message)


def states(status: ComponentStatus) -> None:
    try:
        status.transition_to("ready")
        status.transition_to(ComponentState.RUNNING)
    except InvalidStateTransition as error:
        assert_type(error.legal, tuple[str, ...])
    assert_type(status.state, ComponentState)
    assert_type(status.last_error, BaseException | None)


async def running() -> None:
    system: SystemExecutionHarness = System("names", buffer_size=5)
    component: ComponentLike = Neutral("neutral")
    system.register_component("neutral", component)
    async with system as same:
        assert_type(same, SystemExecutionHarness)
        assert_type(system.health(), SystemHealth)
        assert_type(await system.collect("neutral.out"), list[Any])
    try:
        assert_type(await system.run(handle_signals=True), ShutdownReport)
    except SystemFailed as error:
        assert_type(error.report, ShutdownReport)
    except HeadraceError:
        raise
    letters = system.dead_letters()
    assert_type(letters, DeadLetters)
    assert_type(letters[0], DeadLetter)
    assert_type(await letters.redrive(), int)
    assert_type(await system.stop(), ShutdownReport | None)


async def streams(manager: StreamManager, framework: StreamFramework) -> None:
    sending, receiving = manager.create_stream(buffer_size=5)
    as_anyio: tuple[MemoryObjectSendStream[Any], MemoryObjectReceiveStream[Any]] = sending, receiving
    for stream in as_anyio:
        stream.close()
    assert_type(manager.active_streams, dict[str, StreamInfo])
    assert_type(await framework.broadcast_message([sending], "all"), BroadcastReport)
    assert_type(framework.statistics(), StreamFrameworkStatistics)
    assert_type(framework.message_protocol, MessageProtocol)


def messages(protocol: MessageProtocol) -> None:
    assert_type(protocol.serialize({"a": 1}), bytes)
    assert_type(protocol.decode(b""), Envelope)
