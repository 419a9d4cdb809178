"""Small systems that end in every way there is; each says ``at work`` on stderr once it is."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count, pairwise
from typing import Any

import anyio
import anyio.to_thread

from headrace import Backoff, HarnessComponent, In, Out, RestartPolicy, System, component


def chain(*functions: Any, **options: Any) -> System:
    """Return a system of components in a row, each by its function's name."""
    made = System("small", **options)
    names = [made.add(one.__name__, one) and one.__name__ for one in functions]
    for sender, receiver in pairwise(names):
        made.connect(sender, receiver)
    return made


def at_work() -> None:
    print("at work", file=sys.stderr, flush=True)


@component
def ten() -> Iterator[int]:
    yield from range(10)


@component
def numbers() -> Iterator[int]:
    yield from count()


@component
async def ticks() -> AsyncIterator[int]:
    for number in count():
        yield number
        if number == 5:
            at_work()
        await anyio.sleep(0.001)


@component
async def one() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


class Greedy(HarnessComponent):
    """Sends twice as much as it reads."""

    async def process(self) -> None:
        while True:
            await self.send_streams["out"].send(1)
            await self.send_streams["out"].send(2)
            await self.receive_streams["in"].receive()


async def fetch() -> None:
    await anyio.sleep_forever()


class Store(HarnessComponent):
    """Never gets done with its first message."""

    async def process(self) -> None:
        async for _ in self.receive_streams["in"]:
            await fetch()


class Hog(HarnessComponent):
    """Keeps the event loop to itself for a while."""

    async def process(self) -> None:
        at_work()
        time.sleep(0.8)  # noqa: ASYNC251 - that is the fault  # headrace: ignore[W310]


@component
def show(number: int) -> None:
    print(number)


@component
def take(number: int) -> None:
    pass


@component
async def hang(number: int) -> None:
    at_work()
    await anyio.sleep_forever()


@component
def block(number: int) -> None:
    at_work()
    while True:
        time.sleep(60)


@component
def spin(number: int) -> None:
    at_work()
    while True:
        pass


@component
async def in_thread(number: int) -> None:
    at_work()
    await anyio.to_thread.run_sync(time.sleep, 3600)


@component
async def left_thread(number: int) -> None:
    at_work()
    await anyio.to_thread.run_sync(_sleep_in_own_code, abandon_on_cancel=True)


def _sleep_in_own_code() -> None:
    time.sleep(3600)


@component(attempts=1, on_error="crash")
def crash(number: int) -> None:
    if number == 3:
        {}["id"]


class Poisoned(HarnessComponent):
    """Crashes on 3; where it was told to storm, on everything."""

    in_: In[int]
    out: Out[int]

    async def process(self) -> None:
        async for number in self.in_:
            if number == 3 or self.config.get("storm"):
                {}["id"]
            await self.out.send(number)


def poisoned(restart: Any) -> System:
    """Return a system in which 3 is poison, or everything where there is a policy for that."""
    made = System("small")
    made.add("ten", ten)
    made.add("parse", Poisoned, {"storm": not isinstance(restart, str)}, restart=restart)
    made.add("show", show)
    made.connect("ten", "parse")
    made.connect("parse", "show")
    return made


@component(attempts=1)
def fail(number: int) -> None:
    if number == 3:
        raise ValueError("not that one")


@component(attempts=1, on_error="crash")
def leave(number: int) -> None:
    sys.exit(3)


@component(attempts=1, on_error="crash")
def several(number: int) -> None:
    raise ExceptionGroup("both", [ValueError("first"), KeyError("second")])


@component
def log(number: int) -> None:
    logging.getLogger("mine").info("saw it", extra={"number": number})


class BlocksInSetup(HarnessComponent):
    in_: In[int]

    async def setup(self, harness_context: Any = None) -> None:
        at_work()
        _sleep_in_own_code()


class FailsInSetup(HarnessComponent):
    in_: In[int]

    async def setup(self, harness_context: Any = None) -> None:
        raise OSError("the pump is gone")


class HangsInCleanup(HarnessComponent):
    in_: In[int]

    async def process(self) -> None:
        async for _ in self.in_:
            pass

    async def cleanup(self) -> None:
        at_work()
        await anyio.to_thread.run_sync(time.sleep, 3600)


def with_class(kind: Any, **options: Any) -> System:
    made = System("small", **options)
    made.add("ten", ten)
    made.add("odd", kind)
    made.connect("ten", "odd")
    return made


SHORT = {"shutdown_timeout": 0.3, "cleanup_timeout": 0.3}

finishes = chain(ten, show)
endless = chain(numbers, show)
drains = chain(ticks, take)
hangs_long = chain(one, hang, shutdown_timeout=1000)
overruns = chain(one, hang, **SHORT)
blocks = chain(one, block, **SHORT)
spins = chain(one, spin, **SHORT)
stuck = chain(one, in_thread, **SHORT)
leaves_a_thread = chain(one, left_thread, **SHORT)
crashes = chain(ten, crash)
fails = chain(ten, fail)
exits = chain(ten, leave)
fails_twice = chain(ten, several)
logs = chain(ten, log)
blocks_in_setup = with_class(BlocksInSetup)
fails_in_setup = with_class(FailsInSetup)
hangs_in_cleanup = with_class(HangsInCleanup, **SHORT)
restarts = poisoned("failure")
storms = poisoned(RestartPolicy(max_restarts=2, backoff=Backoff(0.01)))
unconnected = System("unconnected")
unconnected.add("show", show)
not_a_system = 3


def make() -> System:
    return chain(ten, take)


def make_badly() -> System:
    raise RuntimeError("no plan")


def make_unwired() -> System:
    made = chain(ten, take)
    made.connect("ten", "tale")
    return made


deadlocked = System("small", shutdown_timeout=0.3)
deadlocked.add("a", Greedy)
deadlocked.add("b", Greedy)
deadlocked.connect("a.out", "b.in", buffer_size=4)
deadlocked.connect("b.out", "a.in", buffer_size=4)

slow_sink = System("small", shutdown_timeout=0.3, source_grace=0.1)
slow_sink.add("numbers", numbers)
slow_sink.add("store", Store)
slow_sink.connect("numbers.out", "store.in")

hogged = System("small")
hogged.add("hog", Hog)
