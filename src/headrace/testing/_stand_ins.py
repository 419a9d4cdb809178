"""Components that stand in for others in a test: a silent one for what is left out, a reader beside a probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import anyio
from anyio import create_task_group

from headrace.authoring.harness_component import HarnessComponent
from headrace.model.port import Port, PortTable

from ._stillness import passive


class _Patient(HarnessComponent):
    """Waits until the test releases it, or the system stops; then takes what is left."""

    def __init__(self, name: str, ports: PortTable) -> None:
        super().__init__(name)
        self.port_table = ports
        self.released = anyio.Event()

    @passive(lambda local: not local["self"].released.is_set())
    async def _until_released(self) -> None:
        async with create_task_group() as group:
            group.start_soon(self._release_at_stop)
            await self.released.wait()
            group.cancel_scope.cancel()

    @passive(lambda local: not local["self"].context.stop_event.is_set())
    async def _release_at_stop(self) -> None:
        await self.context.stop_event.wait()
        self.released.set()

    async def _take_everything(self) -> None:
        async with create_task_group() as group:
            for stream in self.receive_streams.values():
                group.start_soon(_take_all, stream)


class StandIn(_Patient):
    """Takes what comes to its inputs and sends nothing by itself; the test sends at its outputs.

    Without inputs it ends when it is released or the system stops, else when its inputs have ended.

    Args:
        name: Its name in the system.
        ports: The ports of the component in whose place it stands.
    """

    def __init__(self, name: str, ports: PortTable) -> None:
        super().__init__(name, PortTable(_bare(ports.inputs), _bare(ports.outputs), ports.where))

    async def process(self) -> None:
        """Take everything, or wait for the end."""
        if self.receive_streams:
            await self._take_everything()
        else:
            await self._until_released()


class Reader(_Patient):
    """Reads the outputs of the one component that a probe holds: nothing by itself until it is released.

    Args:
        name: Its name in the system.
        outputs: The outputs of the component.
    """

    def __init__(self, name: str, outputs: Iterable[str]) -> None:
        super().__init__(name, PortTable({port: Port(port) for port in outputs}, {}))

    async def process(self) -> None:
        """Wait until the test is over, and take what is left."""
        await self._until_released()
        await self._take_everything()


async def _take_all(stream: Any) -> None:
    async for _ in stream:
        pass


def _bare(ports: Mapping[str, Port] | None) -> dict[str, Port] | None:
    """Return ports without the attributes that the original has for them."""
    return None if ports is None else {name: replace(port, attribute="") for name, port in ports.items()}


__all__ = ["Reader", "StandIn"]
