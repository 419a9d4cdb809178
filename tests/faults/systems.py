"""A small system for each fault; each says ``at work`` on stderr once it is, where a signal is to follow."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count, pairwise
from typing import Any

import anyio

from headrace import HarnessComponent, In, Out, System, component
from headrace.model.restart_policy import Backoff, RestartPolicy

SHORT = {"shutdown_timeout": 0.3, "cleanup_timeout": 0.2}
QUICK = Backoff(first=0.01, longest=0.01, jitter=0.0)


def at_work() -> None:
    print("at work", file=sys.stderr, flush=True)


@component
def ten() -> Iterator[int]:
    yield from range(10)


@component
def numbers() -> Iterator[int]:
    yield from count()


@component
async def one() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


@component
def show(number: int) -> None:
    print("got", number, flush=True)


class Sink(HarnessComponent):
    """Takes all messages."""

    in_: In[int]

    async def process(self) -> None:
        async for message in self.in_:
            await self.take(message)

    async def take(self, message: int) -> None:
        """Do something with a message."""


class SetupRaises(Sink):
    async def setup(self, harness_context: Any = None) -> None:
        raise OSError("no disk")


class SetupHangs(Sink):
    async def setup(self, harness_context: Any = None) -> None:
        await anyio.sleep_forever()


class Pass(Sink):
    out: Out[int]

    async def take(self, message: int) -> None:
        await self.out.send(message)

    async def cleanup(self) -> None:
        await super().cleanup()
        print("cleaned up", self.name, flush=True)


class CleanedUp(Sink):
    async def cleanup(self) -> None:
        await super().cleanup()
        print("cleaned up", self.name, flush=True)


class RaisesOnce(Pass):
    fails = True

    async def take(self, message: int) -> None:
        if message == 3 and RaisesOnce.fails:
            RaisesOnce.fails = False
            raise ValueError("not that one")
        await super().take(message)


class RaisesAlways(Pass):
    lives = 0

    async def process(self) -> None:
        RaisesAlways.lives += 1
        raise ConnectionError(f"no connection, try {RaisesAlways.lives}")


class Poisoned(Pass):
    async def take(self, message: int) -> None:
        if message == 3:
            raise ValueError("poison")
        await super().take(message)


class CleanupRaises(Pass):
    async def cleanup(self) -> None:
        raise OSError("cannot close")


class CleanupHangs(Pass):
    async def cleanup(self) -> None:
        await anyio.sleep_forever()


class Swallows(Sink):
    async def take(self, message: int) -> None:
        at_work()
        while True:
            try:
                await anyio.sleep_forever()
            except BaseException:
                continue


class Slow(Sink):
    async def take(self, message: int) -> None:
        if message == 5:
            at_work()
        await anyio.sleep(0.01)


class Interrupts(Sink):
    async def take(self, message: int) -> None:
        raise KeyboardInterrupt


class Exits(Sink):
    async def take(self, message: int) -> None:
        sys.exit(3)


class Group(Sink):
    async def take(self, message: int) -> None:
        raise ExceptionGroup("both", [ValueError("first"), KeyError("second")])


class Own(BaseException):
    """What nobody may swallow."""


class RaisesOwn(Sink):
    async def take(self, message: int) -> None:
        raise Own("mine")


class TakesThree(Sink):
    async def process(self) -> None:
        for _ in range(3):
            await self.in_.receive()


class ToAFullDisk(Sink):
    async def take(self, message: int) -> None:
        async with await anyio.open_file("/dev/full", "w") as file:
            await file.write(f"{message}\n")


@component(attempts=1)
def never(number: int) -> None:
    if number == 4:
        at_work()
    raise ValueError("never")


class Sleeps(Sink):
    async def take(self, message: int) -> None:
        time.sleep(0.001)  # noqa: ASYNC251 - that is the fault


class Forgets(Pass):
    async def process(self) -> None:
        async for message in self.in_:
            self.out.send(message)  # type: ignore[unused-coroutine]  # that is the fault


class Ping(HarnessComponent):
    """Sends twice as much as it gets, to itself by way of its neighbour."""

    in_: In[int]
    out: Out[int]

    async def process(self) -> None:
        at_work()
        async for message in self.in_:
            await self.out.send(message)
            await self.out.send(message)


def chain(*parts: Any, options: Any = None, **of_parts: Any) -> System:
    """Return a system of components in a row, each named by its function or class in lower case."""
    made = System("small", **(options or {}))
    names = []
    for part in parts:
        name = getattr(part, "__name__", "").lower()
        made.add(name, part, **of_parts.get(name, {}))
        names.append(name)
    for sender, receiver in pairwise(names):
        made.connect(sender, receiver)
    return made


class SetupOfPassRaises(Pass):
    async def setup(self, harness_context: Any = None) -> None:
        raise OSError("no disk")


RESTARTS = {"restart": RestartPolicy(max_restarts=3, backoff=QUICK)}

setup_raises = chain(ten, SetupOfPassRaises, CleanedUp)
setup_hangs = chain(ten, SetupHangs, options={"setup_timeout": 0.2})
process_raises = chain(ten, RaisesOnce, show, raisesonce=RESTARTS)
storm = chain(ten, RaisesAlways, show, raisesalways=RESTARTS)
cleanup_raises = chain(ten, CleanupRaises, CleanedUp)
cleanup_hangs = chain(ten, CleanupHangs, CleanedUp, options=SHORT)
swallows = chain(one, Swallows, options=SHORT)
drains = chain(numbers, Slow, options={"buffer_size": 20})
interrupts = chain(ten, Interrupts)
exits = chain(ten, Exits)
group = chain(ten, Group)
own = chain(ten, RaisesOwn)
poison = chain(ten, Poisoned, show, poisoned={"attempts": 2, **RESTARTS})
full_of_letters = chain(numbers, never, options={"dead_letter_limit": 5, **SHORT})
ends_early = chain(ten, TakesThree)
full_disk = chain(ten, ToAFullDisk, toafulldisk={"restart": RestartPolicy(max_restarts=2, backoff=QUICK)})
deadlock = chain(ten, Ping, Pass, options=SHORT)
deadlock.connect("pass", "ping")
alone = chain(ten)
sleeps = chain(ten, Sleeps)


def forgets() -> System:
    return chain(ten, Forgets, show)


def cannot_travel() -> System:
    @component(run_in="process")
    def local(number: int) -> None:
        """Do nothing."""

    return chain(ten, local)
