"""The system that the proof of stops ends: functions, raw components, a thread, a process, a socket, a file.

It is made from a plan, so that the same one can be run here and in another process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio.abc import SocketAttribute, SocketStream

from headrace import HarnessComponent, Resource, System, component
from headrace.exceptions import ComponentError
from headrace.model.restart_policy import Backoff, RestartPolicy

Awkward = Literal[
    "", "hangs", "swallows", "slow clean-up", "clean-up raises", "holds a thread", "crashes late"
]
PLAN = "HEADRACE_STOPS_PLAN"
SHUTDOWN, CLEANUP, GRACE = 0.8, 0.4, 0.1


@dataclass(frozen=True)
class Plan:
    """What one system is like.

    Attributes:
        awkward: What is wrong with one of its components.
        crash_at: The message at which a raw component crashes, in each of its lives; 0 for never.
        restarts: How often that is restarted; 0 for never.
        pause: Seconds before each of these restarts.
        process: Whether it has a worker process, which takes a while to start.
        slow_setup: Seconds that one set-up takes.
        buffer_size: Of its edges.
        folder: Where its file is written.
    """

    awkward: Awkward = ""
    crash_at: int = 0
    restarts: int = 0
    pause: float = 0.0
    process: bool = True
    slow_setup: float = 0.0
    buffer_size: int = 100
    folder: str = "."

    def as_environment(self) -> dict[str, str]:
        """Return it for another process."""
        return {PLAN: json.dumps(asdict(self))}


def say(word: str) -> None:
    """Tell whoever waits for it how far the system is."""
    if PLAN in os.environ:
        print(f"stops: {word}", file=sys.stderr, flush=True)
    for listener in LISTENERS:
        listener(word)


LISTENERS: list[Any] = []


@component
def numbers() -> Iterator[int]:
    """Send 0, 1, ... for ever."""
    yield from count()


@component
def double(number: int) -> int:
    """Work in the event loop, fused with its neighbour."""
    return 2 * number


@component
def even(number: int) -> int | None:
    """Let half of the messages go."""
    return number if number % 4 == 0 else None


@component(run_in="thread", concurrency=2)
def in_thread(number: int) -> int:
    """Wait in a thread."""
    time.sleep(0.0005)
    return number


@component(run_in="process")
def in_process(number: int) -> int:
    """Compute in a process."""
    return number + 1


@component(concurrency=3)
async def slow(number: int, *, pool: Resource[list[int]]) -> int:
    """Take a while, several messages at once."""
    await anyio.sleep(0.001)
    return number + len(pool) * 0


class Server(HarnessComponent):
    """Sends what comes in by a TCP socket, one message a byte, from a client of its own."""

    def __init__(self, name: str, config: Any = None) -> None:
        super().__init__(name, config)
        self.listener: Any = None

    async def setup(self, harness_context: Any = None) -> None:
        """Listen."""
        await super().setup(harness_context)
        self.listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        say("set-up")
        await anyio.sleep(self.config.get("slow_setup", 0))

    async def process(self) -> None:
        """Serve, until cancelled."""
        port = self.listener.extra(SocketAttribute.local_port)
        assert self.context is not None
        self.context.spawn(self._be_a_client, port)
        await self.listener.serve(self._serve)

    async def _be_a_client(self, port: int) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            with suppress(anyio.BrokenResourceError):  # nobody listens any more
                while True:
                    await stream.send(b"12345678")
                    await anyio.sleep(0.001)

    async def _serve(self, stream: SocketStream) -> None:
        async with stream:
            async for data in stream:
                for byte in data:
                    await self.send_streams["out"].send(byte)

    async def cleanup(self) -> None:
        """Close the socket."""
        await super().cleanup()
        if self.listener is not None:
            await self.listener.aclose()


class Raw(HarnessComponent):
    """Sends on what it receives, and crashes where it is told to."""

    async def process(self) -> None:
        """Pass messages on."""
        taken = 0
        async for message in self.receive_streams["in"]:
            taken += 1
            if taken == self.config.get("crash_at"):
                say("crash")
                raise ComponentError("told to crash", component=self.name)
            await self.send_streams["out"].send(message)


class Writer(HarnessComponent):
    """Writes to a file."""

    def __init__(self, name: str, config: Any = None) -> None:
        super().__init__(name, config)
        self.file: Any = None

    async def setup(self, harness_context: Any = None) -> None:
        """Open the file."""
        await super().setup(harness_context)
        self.file = await anyio.open_file(Path(self.config["folder"]) / "written.txt", "w")

    async def process(self) -> None:
        """Write a line a message."""
        written = 0
        async for batch in self.receive_streams["in"].batch(50, within=0.01):  # type: ignore[attr-defined]
            await self.file.write("".join(f"{message}\n" for message in batch))
            written += len(batch)
            if written >= 100:
                say("at work")
                written = -(10**9)

    async def cleanup(self) -> None:
        """Close it."""
        await super().cleanup()
        if self.file is not None:
            await self.file.aclose()


class Awkwardly(HarnessComponent):
    """Does not want to end."""

    async def process(self) -> None:
        """Take all messages, and then do what it is told to."""
        how = self.config["how"]
        async for _ in self.receive_streams["in"]:
            pass
        say("drained")
        if how == "hangs":
            await anyio.sleep_forever()
        elif how == "swallows":
            while True:
                try:
                    await anyio.sleep_forever()
                except BaseException:  # that is what is wrong with it
                    continue
        elif how == "holds a thread":
            await anyio.to_thread.run_sync(time.sleep, SHUTDOWN + 0.4)
        elif how == "crashes late":
            raise ComponentError("told to crash", component=self.name)

    async def cleanup(self) -> None:
        """Clean up badly."""
        await super().cleanup()
        if self.config["how"] == "slow clean-up":
            await anyio.sleep(10)
        if self.config["how"] == "clean-up raises":
            raise ComponentError("told to fail", component=self.name)


@asynccontextmanager
async def open_pool() -> AsyncIterator[list[int]]:
    """Open something shared."""
    await anyio.sleep(0.001)
    yield []


def make_system(plan: Plan) -> System:
    """Return the system of a plan."""
    system = System(
        "stops",
        buffer_size=plan.buffer_size,
        shutdown_timeout=SHUTDOWN,
        cleanup_timeout=CLEANUP,
        source_grace=GRACE,
    )
    system.resource("pool", open_pool)
    system.add("numbers", numbers)
    system.add("double", double)
    system.add("even", even)
    system.add("server", Server, slow_setup=plan.slow_setup)
    backoff = Backoff(first=plan.pause, longest=max(plan.pause, 1.0), jitter=0.0)
    policy = RestartPolicy("failure" if plan.restarts else "never", max(plan.restarts, 1), backoff=backoff)
    system.add("raw", Raw, crash_at=plan.crash_at, restart=policy)
    system.add("slow", slow)
    system.add("thread", in_thread)
    system.add("writer", Writer, folder=plan.folder)
    ways = ["numbers -> double", "double.out -> even", "even.out -> thread", "server.out -> raw.in"]
    ways += ["raw.out -> slow", "slow.out -> writer.in", "thread.out -> writer.in"]
    if plan.process:
        system.add("process", in_process)
        ways += ["even.out -> process", "process.out -> writer.in"]
    if plan.awkward:
        system.add("awkward", Awkwardly, how=plan.awkward)
        ways += ["slow.out -> awkward.in"]
    for way in ways:
        system.connect(*way.split(" -> "))
    return system


def made() -> System:
    """Return the system of the plan in the environment, for ``headrace run``."""
    return make_system(Plan(**json.loads(os.environ[PLAN])))
