"""Our side, as users write it: ordinary components in a harness, joined by ``connect``. No shortcuts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio

from headrace import HarnessComponent, In, Out, System, component

from .measuring import TimedRun
from .workload import CAPACITY, Message, passed, swallow


class Source(HarnessComponent):
    """Sends a number of messages."""

    out: Out[Message]

    async def process(self) -> None:
        """Send them."""
        for number in range(self.config["count"]):
            await self.out.send({"id": number, "v": number * 1.5})


class Stage(HarnessComponent):
    """Passes messages on."""

    in_: In[Message]
    out: Out[Message]

    async def process(self) -> None:
        """Pass all on."""
        async for message in self.in_:
            await self.out.send(message)


class Sink(HarnessComponent):
    """Takes messages."""

    in_: In[Message]

    async def process(self) -> None:
        """Take all."""
        async for _ in self.in_:
            pass


@component
def numbers(*, count: int) -> Iterator[Message]:
    """Yield a number of messages."""
    for number in range(count):
        yield {"id": number, "v": number * 1.5}


passing = component(passed)
swallowing = component(swallow)


def line(source: Any, stage: Any, sink: Any, hops: int, count: int, **settings: Any) -> System:
    """Return a line of components with this many edges.

    Args:
        source: What makes the messages; called with ``count``.
        stage: What passes them on, in all places between.
        sink: What takes them.
        hops: The edges.
        count: The messages.
        settings: Settings of the stages.
    """
    system = System("line", buffer_size=CAPACITY)
    system.add("source", source, count=count)
    names = [f"stage{number}" for number in range(1, hops)]
    for name in names:
        system.add(name, stage, **settings)
    system.add("sink", sink)
    for one, other in zip(["source", *names], [*names, "sink"], strict=True):
        system.connect(one, other)
    return system


def class_line(hops: int, count: int) -> System:
    """Return a line of classes that send and iterate."""
    return line(Source, Stage, Sink, hops, count)


def function_line(hops: int, count: int) -> System:
    """Return a line of functions."""
    return line(numbers, passing, swallowing, hops, count)


def fan_out(width: int, count: int) -> System:
    """Return a source whose messages go to each of several sinks."""
    system = System("fan-out", buffer_size=CAPACITY)
    system.add("source", Source, count=count)
    for number in range(width):
        system.add(f"sink{number}", Sink)
        system.connect("source", f"sink{number}")
    return system


def fan_in(width: int, count: int) -> System:
    """Return several sources that share the messages and one sink."""
    system = System("fan-in", buffer_size=CAPACITY)
    system.add("sink", Sink)
    for number in range(width):
        system.add(f"source{number}", Source, count=count // width)
        system.connect(f"source{number}", "sink")
    return system


async def seconds_of(system: System) -> float:
    """Run a system to its end; return the seconds from its start to its report."""
    began = time.perf_counter()
    await system.run()
    return time.perf_counter() - began


async def watched_seconds_of(system: System, every: float = 0.1) -> float:
    """Run a system while somebody looks at all that it shows; return the seconds.

    Args:
        system: The system.
        every: Seconds between two looks.
    """

    async def watch() -> None:
        while True:
            await anyio.sleep(every)
            system.statistics()
            system.ledger()
            system.health()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        seconds = await seconds_of(system)
        group.cancel_scope.cancel()
    return seconds


def timed(make: Any, size: int, *, watched: bool = False) -> TimedRun:
    """Return a run of ``make(size, count)`` in an event loop of its own."""
    measure = watched_seconds_of if watched else seconds_of

    def run(count: int, backend: str) -> float:
        return anyio.run(partial(measure, make(size, count)), backend=backend)

    return run


__all__ = [
    "Sink",
    "Source",
    "Stage",
    "class_line",
    "fan_in",
    "fan_out",
    "function_line",
    "line",
    "numbers",
    "passing",
    "seconds_of",
    "swallowing",
    "timed",
    "watched_seconds_of",
]
