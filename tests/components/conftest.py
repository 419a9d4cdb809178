"""What the tests of the standard components share: one component between sources and collecting sinks."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
import trio.testing
from tests.servers.http import HttpServer

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


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing else is to be done."""

    def __init__(self) -> None:
        super().__init__(_Jumping())
        self._selector.loop = self
        self.skipped = 0.0

    def time(self) -> float:
        """Return the virtual seconds."""
        return self.skipped


class _Jumping(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None:
            self.loop.skipped += max(0.0, timeout)
            timeout = 0
        return super().select(timeout)


def run_virtually(main: Callable[[], Awaitable[Any]], backend: str) -> Any:
    """Run something in virtual time that begins at 0, and return its result."""
    if backend == "trio":
        clock = trio.testing.MockClock(autojump_threshold=0)
        return anyio.run(main, backend="trio", backend_options={"clock": clock})
    return anyio.run(main, backend_options={"loop_factory": VirtualLoop})


class Timed(HarnessComponent):
    """Sends each message at its time, and ends at ``until``."""

    out: Out[Any]

    def __init__(self, name: str, timed: Iterable[tuple[float, Any]], until: float) -> None:
        super().__init__(name)
        self._timed = [*timed, (until, None)]

    async def process(self) -> None:
        begin = anyio.current_time()
        for time, message in self._timed:
            await anyio.sleep(max(0.0, begin + time - anyio.current_time()))
            if message is not None:
                await self.out.send(message)


class Clocked(HarnessComponent):
    """Keeps what it gets, each with the time since its set-up."""

    in_: In[Any]

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        await super().setup(harness_context)
        self.begin = anyio.current_time()
        self.got: list[tuple[float, Any]] = []

    async def process(self) -> None:
        async for message in self.in_:
            self.got.append((round(anyio.current_time() - self.begin, 6), message))


RunTimed = Callable[..., dict[str, list[tuple[float, Any]]]]


@pytest.fixture
def run_timed(anyio_backend: str) -> RunTimed:
    """Return a function that gives a component messages at their times, in virtual time.

    It returns what came out, by port, each message with its time.
    """

    def run(
        component: Any,
        config: Mapping[str, Any] | None = None,
        *,
        until: float = 0.0,
        of: list[Any] | None = None,
        **inputs: Iterable[tuple[float, Any]],
    ) -> dict[str, list[tuple[float, Any]]]:
        async def main() -> dict[str, list[tuple[float, Any]]]:
            system = System("timed")
            made: Any = system.add("it", component, config or {}).component
            for port, timed in inputs.items():
                name = port.rstrip("_")
                system.add(f"feed_{name}", Timed(f"feed_{name}", timed, until))
                system.connect(f"feed_{name}.out", f"it.{name}")
            seen = {port: Clocked(f"see_{port}") for port in ports_of(made).outputs or ()}
            for port, one in seen.items():
                system.add(one.name, one)
                system.connect(f"it.{port}", f"{one.name}.in")
            await system.run()
            if of is not None:
                of.append(made)
            return {port: one.got for port, one in seen.items()}

        return run_virtually(main, anyio_backend)

    return run


@pytest.fixture
def in_virtual_time(anyio_backend: str) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Return a function that runs something in virtual time."""
    return lambda main: run_virtually(main, anyio_backend)


@pytest.fixture(scope="session")
def http_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """Return an HTTP server for all tests of a worker."""
    with HttpServer(tmp_path_factory.mktemp("http")) as server:
        yield server


@pytest.fixture
def http_server(http_process: HttpServer) -> HttpServer:
    """Return a running HTTP server that knows of nothing; the test may kill it."""
    http_process.reset()
    return http_process
