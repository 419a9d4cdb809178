"""Components that the tests of the runtime share, handed out by one fixture."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from headrace.authoring.harness_component import HarnessComponent

Body = Callable[[HarnessComponent], Awaitable[None]]


class Acting(HarnessComponent):
    """Does what a function says."""

    def __init__(self, name: str, body: Body) -> None:
        super().__init__(name)
        self.body = body

    async def process(self) -> None:
        await self.body(self)


class Numbers(HarnessComponent):
    """Sends 0, 1, ... (for ever without a count), then ends."""

    def __init__(self, name: str = "numbers", count: int | None = None) -> None:
        super().__init__(name)
        self.count = count
        self.sent = 0

    async def process(self) -> None:
        while self.count is None or self.sent < self.count:
            await self.send_streams["out"].send(self.sent)
            self.sent += 1


class Pass(HarnessComponent):
    """Sends on what it receives."""

    async def process(self) -> None:
        async for message in self.receive_streams["in"]:
            await self.send_streams["out"].send(message)


class Collect(HarnessComponent):
    """Keeps what it receives; ``reached`` is set when it has ``at_least`` messages."""

    def __init__(self, name: str = "sink", at_least: int = 1) -> None:
        super().__init__(name)
        self.got: list[Any] = []
        self.at_least = at_least
        self.reached = anyio.Event()

    async def process(self) -> None:
        async for message in self.receive_streams["in"]:
            self.got.append(message)
            if len(self.got) >= self.at_least:
                self.reached.set()


class Stranger:
    """Inherits from nothing of ours, and has no port dictionaries."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def setup(self) -> None:
        self.calls.append("setup")

    async def process(self) -> None:
        self.calls.append("process")

    async def cleanup(self) -> None:
        self.calls.append("cleanup")


async def wait_for_thread(thread: threading.Thread) -> None:
    """Wait for a plain thread without blocking the loop."""
    await anyio.to_thread.run_sync(thread.join)


@pytest.fixture
def parts() -> SimpleNamespace:
    """Return the component classes."""
    return SimpleNamespace(
        Acting=Acting,
        Numbers=Numbers,
        Pass=Pass,
        Collect=Collect,
        Stranger=Stranger,
        wait_for_thread=wait_for_thread,
    )
