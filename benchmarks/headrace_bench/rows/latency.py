"""How long one message takes, and how long a busy component keeps the event loop from others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from statistics import median

import anyio
import anyio.lowlevel

from headrace import HarnessComponent, In, Out, System, component
from headrace_bench.measuring import Effort
from headrace_bench.peers import anyio_echo
from headrace_bench.race import Contender, Race, row
from headrace_bench.workload import CAPACITY, Message, message_of

MICROSECONDS = 1e6
MILLISECONDS = 1e3
WORK = 50e-6  # seconds a message
WARM_UP = 50  # messages whose latency does not count


class Caller(HarnessComponent):
    """Sends a message, waits for its echo, and notes how long that took."""

    replies: In[Message]
    out: Out[Message]
    seconds: list[float]

    async def process(self) -> None:
        """Send all, one after the other."""
        self.seconds = []
        for number in range(self.config["count"]):
            began = time.perf_counter()
            await self.out.send(message_of(number))
            await self.replies.receive()
            self.seconds.append(time.perf_counter() - began)


class Echo(HarnessComponent):
    """Sends back what it gets."""

    in_: In[Message]
    out: Out[Message]

    async def process(self) -> None:
        """Answer all."""
        async for message in self.in_:
            await self.out.send(message)


def our_echo(effort: Effort) -> float:
    """Return the p50 of an echo in microseconds."""
    system = System("echo", buffer_size=CAPACITY)
    caller = system.add("caller", Caller, count=effort.sized(5_000, 200) + WARM_UP)
    system.add("echo", Echo)
    system.connect("caller.out", "echo.in")
    system.connect("echo.out", "caller.replies")
    system.run_blocking(backend=effort.backend, handle_signals=False)
    return median(caller.seconds[WARM_UP:]) * MICROSECONDS


def raw_echo(effort: Effort) -> float:
    """Return the p50 of an echo over AnyIO streams in microseconds."""
    count = effort.sized(5_000, 200) + WARM_UP
    seconds = anyio.run(partial(anyio_echo.echo, count), backend=effort.backend)
    return median(seconds[WARM_UP:]) * MICROSECONDS


class SeldomSource(HarnessComponent):
    """Sends the time, now and then."""

    out: Out[float]

    async def process(self) -> None:
        """Send all."""
        for _ in range(self.config["count"]):
            await anyio.sleep(0.001)
            await self.out.send(time.perf_counter())


class Arrivals(HarnessComponent):
    """Notes how long each message was on its way."""

    in_: In[float]
    seconds: list[float]

    async def process(self) -> None:
        """Note all."""
        self.seconds = []
        async for sent in self.in_:
            self.seconds.append(time.perf_counter() - sent)


def one_way(effort: Effort) -> float:
    """Return the p50 from a send to a reader that waits, in microseconds, in a system that is idle."""
    system = System("one-way", buffer_size=CAPACITY)
    system.add("source", SeldomSource, count=effort.sized(300, 20))
    arrivals = system.add("arrivals", Arrivals)
    system.connect("source", "arrivals")
    system.run_blocking(backend=effort.backend, handle_signals=False)
    return median(arrivals.seconds) * MICROSECONDS


def spin(seconds: float) -> None:
    """Compute for some time, as a component that blocks the loop does."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


class BusySink(HarnessComponent):
    """Computes at each message."""

    in_: In[Message]

    async def process(self) -> None:
        """Work on all."""
        async for _ in self.in_:
            spin(WORK)


class QuickSource(HarnessComponent):
    """Sends as fast as it can."""

    out: Out[Message]

    async def process(self) -> None:
        """Send all."""
        for number in range(self.config["count"]):
            await self.out.send(message_of(number))


@component
def busy_source(*, count: int) -> Iterator[Message]:
    """Compute for each message."""
    for number in range(count):
        spin(WORK)
        yield message_of(number)


@component
def ignore(message: Message) -> None:
    """Take a message."""


async def longest_gap(system: System) -> float:
    """Return the longest time for which a system let no other task have a turn."""
    longest = 0.0
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        last = time.perf_counter()
        while system.running:
            await anyio.lowlevel.checkpoint()
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
    return longest


async def latest_timer(system: System) -> float:
    """Return by how much the latest of many 1 ms timers beside a system was late."""
    latest = 0.0
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        while system.running:
            due = time.perf_counter() + 0.001
            await anyio.sleep(0.001)
            latest = max(latest, time.perf_counter() - due)
    return latest


def loop_gap(effort: Effort) -> float:
    """Return the longest gap, in milliseconds, beside a consumer that needs 50 us a message."""
    system = System("busy-sink", buffer_size=CAPACITY)
    system.add("source", QuickSource, count=effort.sized(10_000, 400))
    system.add("sink", BusySink)
    system.connect("source", "sink")
    return anyio.run(longest_gap, system, backend=effort.backend) * MILLISECONDS


def late_timer(effort: Effort) -> float:
    """Return the lateness, in milliseconds, of a timer beside a source that needs 50 us a message."""
    system = System("busy-source", buffer_size=CAPACITY)
    system.add("source", busy_source, count=effort.sized(10_000, 400))
    system.add("sink", ignore)
    system.connect("source", "sink")
    return anyio.run(latest_timer, system, backend=effort.backend) * MILLISECONDS


OURS = "headrace"
RAW = "AnyIO streams"

RACES = (
    Race(
        "echo, p50",
        "us",
        (Contender(OURS, our_echo), Contender(RAW, raw_echo)),
        (row("latency/echo/anyio", OURS, RAW, reach="<= 1 x", stretch="<= 0.6 x"),),
    ),
    Race(
        "one way in an idle system, p50",
        "us",
        (Contender(OURS, one_way),),
        (row("latency/one-way", OURS, reach="< 100 us", stretch="< 25 us"),),
    ),
    Race(
        "loop gap beside a consumer of 50 us a message",
        "ms",
        (Contender(OURS, loop_gap),),
        (row("latency/loop-gap", OURS, reach="< 10 ms", stretch="< 2 ms"),),
    ),
    Race(
        "lateness of a timer beside a source of 50 us a message",
        "ms",
        (Contender(OURS, late_timer),),
        (row("latency/late-timer", OURS, reach="< 10 ms"),),
    ),
)

__all__ = ["RACES"]
