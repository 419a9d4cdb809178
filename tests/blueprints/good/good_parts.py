"""The components of the good blueprints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from headrace import HarnessComponent, In, Out, Rejected, Resource, component


@asynccontextmanager
async def open_table(*, rows: dict[str, int], password: str = "") -> AsyncIterator[dict[str, int]]:
    """Open a table in memory; the password is only there to be kept secret."""
    yield dict(rows)


@component
def numbers(*, upto: int = 3) -> Iterator[int]:
    """Yield numbers from 0."""
    yield from range(upto)


@component(on_error="reject")
def halve(number: int) -> int | Rejected[int]:
    """Halve even numbers; reject odd ones."""
    return number // 2 if number % 2 == 0 else Rejected(number, "odd")


@component
def look_up(number: int, *, table: Resource[dict[str, int]]) -> int:
    """Look a number up."""
    return table.get(str(number), number)


class Keep(HarnessComponent):
    """Keeps what arrives."""

    in_: In[Any]

    async def process(self) -> None:
        """Keep each message."""
        self.kept: list[Any] = []
        async for message in self.in_:
            self.kept.append(message)


class Relay(HarnessComponent):
    """Passes on what arrives on either input."""

    in_: In[int]
    again: In[int] | None  # headrace: ignore[W314] - it is there to make a cycle
    out: Out[int]

    async def process(self) -> None:
        """Pass each message on."""
        async for message in self.in_:
            await self.out.send(message)
