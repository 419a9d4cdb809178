"""What the tests of the standard components share: one component between sources and collecting sinks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from headrace import HarnessComponent, In, Out, ShutdownReport, System
from headrace.authoring.ports import ports_of


class Feed(HarnessComponent):
    """Sends what it was given."""

    out: Out[Any]

    def __init__(self, name: str, messages: Iterable[Any]) -> None:
        super().__init__(name)
        self._messages = list(messages)

    async def process(self) -> None:
        for message in self._messages:
            await self.out.send(message)


class Collect(HarnessComponent):
    """Keeps what it gets."""

    in_: In[Any]

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.messages: list[Any] = []

    async def process(self) -> None:
        async for message in self.in_:
            self.messages.append(message)


@dataclass
class Seen:
    """What came out of a component, by port, and how its run ended."""

    component: Any
    ports: dict[str, list[Any]]
    report: ShutdownReport

    @property
    def out(self) -> list[Any]:
        """What came out of ``out``."""
        return self.ports["out"]

    @property
    def rejected(self) -> list[Any]:
        """What came out of ``rejected``."""
        return self.ports["rejected"]

    @property
    def reasons(self) -> list[str]:
        """The reasons of what was rejected."""
        return [rejected.reason for rejected in self.rejected]


RunThrough = Callable[..., Awaitable[Seen]]


@pytest.fixture
def run_through() -> RunThrough:
    """Return a function that feeds a component and collects what it sends."""

    async def run(component: Any, config: Mapping[str, Any] | None = None, **inputs: Iterable[Any]) -> Seen:
        system = System("test", buffer_size=3)
        handle = system.add("it", component, config or {})
        made: Any = handle.component
        for port, messages in inputs.items():
            name = port.rstrip("_")
            system.add(f"feed_{name}", Feed(f"feed_{name}", messages))
            system.connect(f"feed_{name}.out", f"it.{name}")
        sinks = {}
        for port in ports_of(made).outputs or ():
            sinks[port] = Collect(f"collect_{port}")
            system.add(f"collect_{port}", sinks[port])
            system.connect(f"it.{port}", f"collect_{port}.in")
        report = await system.run()
        return Seen(made, {port: sink.messages for port, sink in sinks.items()}, report)

    return run


@pytest.fixture
def collect() -> type[Collect]:
    """Return a component class that keeps what it gets."""
    return Collect


@pytest.fixture
def feed() -> type[Feed]:
    """Return a component class that sends what it was given."""
    return Feed
