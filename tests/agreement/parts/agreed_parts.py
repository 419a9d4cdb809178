"""The components of the generated blueprints: whatever the graph, every message shrinks at each of them.

So a run ends by itself also where the graph has cycles, and a fan-out multiplies a few messages only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec

from headrace import HarnessComponent, In, Out, Rejected, Resource, component

HIGHEST = 5
NOT_A_COMPONENT = 42
WORK: list[str] = []
"""The names of the functions and components that worked: what is only checked leaves it empty."""


@component
def numbers(*, count: int = 3) -> Iterator[int]:
    """Yield a few small numbers."""
    WORK.append("numbers")
    yield from (number % HIGHEST + 1 for number in range(min(count, HIGHEST)))


@component
def words(*, count: int = 2, word: str = "water") -> Iterator[str]:
    """Yield a word a few times."""
    WORK.append("words")
    yield from (word[:HIGHEST] for _ in range(min(count, HIGHEST)))


@component
def less(number: int) -> int | None:
    """Return one less, as long as there is something."""
    return number - 1 if number > 0 else None


@component
async def halves(number: int) -> AsyncIterator[int]:
    """Yield two parts of a number."""
    for part in (number // 2, number // 3):
        if part > 0:
            yield part


@component
def spell(number: int, *, letter: str = "x") -> str | None:
    """Turn a number into a text."""
    return letter[:1] * (number - 1) or None


@component(on_error="drop", backoff=0)
async def length(word: str) -> int | None:
    """Turn a text into a number; a text of one letter is too short for it."""
    if len(word) == 1:
        raise ValueError("too short")
    return len(word) - 2 or None


@component
def picky(number: int, *, limit: int = 2) -> int | Rejected[int] | None:
    """Refuse what is above a limit."""
    if number > limit:
        return Rejected(number, "too much")
    return number - 1 if number > 0 else None


@component(attempts=2, backoff=0)
def flaky(number: int) -> int | None:
    """Fail on what is odd."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2 or None


async def open_table(*, rows: int = 2, password: str = "") -> AsyncIterator[dict[int, int]]:
    """Hold a table, as long as the system runs."""
    WORK.append("open_table")
    yield {number: number - 1 for number in range(rows)}


@component
def looked_up(number: int, *, table: Resource[dict[int, int]]) -> int | None:
    """Take what a table says."""
    return table.get(number, number - 1 if number > 0 else None)


class Asks(HarnessComponent):
    """A component that goes without the table, where there is none."""

    in_: In[int]
    out: Out[int]
    table: Resource[dict[int, int]] | None = None

    async def process(self) -> None:
        """Pass on what the table knows, or all of it."""
        async for number in self.receive_streams["in"]:
            if number > 0:
                await self.send_streams["out"].send(number - 1)


@component
def show(message: object) -> None:
    """Take anything."""
    WORK.append("show")


class Tick(HarnessComponent):
    """A source with settings."""

    out: Out[int]

    class Config(msgspec.Struct, forbid_unknown_fields=True):
        """What it sends."""

        count: int = 2
        step: float = 1.0

    async def process(self) -> None:
        """Send a few numbers."""
        for number in range(min(self.config.count, HIGHEST)):
            await self.send_streams["out"].send(number % HIGHEST)


class Split(HarnessComponent):
    """Two outputs by size; one of them need not be connected."""

    in_: In[int]
    low: Out[int]
    high: Out[int] | None

    @dataclass
    class Config:
        """Where it divides."""

        limit: int

    async def process(self) -> None:
        """Send what is above the limit one way, and all else the other."""
        async for number in self.receive_streams["in"]:
            if number > 0:
                port = "high" if number > self.config.limit else "low"
                if port in self.send_streams:
                    await self.send_streams[port].send(number - 1)


class Merge(HarnessComponent):
    """Two inputs, one of them optional, read at the same time."""

    left: In[int]
    right: In[int] | None
    out: Out[int] | None

    async def process(self) -> None:
        """Pass on what comes from either side."""
        async with anyio.create_task_group() as group:
            for stream in self.receive_streams.values():
                group.start_soon(self._pass_on, stream)

    async def _pass_on(self, stream: Any) -> None:
        async for number in stream:
            if number > 0 and "out" in self.send_streams:
                await self.send_streams["out"].send(number - 1)


class Sink(HarnessComponent):
    """Takes anything through any input."""

    async def process(self) -> None:
        """Read all inputs to their end."""
        WORK.append("Sink")
        async with anyio.create_task_group() as group:
            for stream in self.receive_streams.values():
                group.start_soon(self._read, stream)

    async def _read(self, stream: Any) -> None:
        async for _ in stream:
            pass


class Refuses(HarnessComponent):
    """A component whose constructor raises."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        raise RuntimeError("not\x1b[31m today")


class Unfinished:
    """Not a component: there is no way to clean it up."""

    async def setup(self, context: object = None) -> None:
        """Do nothing."""

    async def process(self) -> None:
        """Do nothing."""
