"""The components of the good blueprints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace import HarnessComponent, In, Out, Rejected, component


@component
def numbers(*, upto: int = 3) -> Iterator[int]:
    """Yield numbers from 0."""
    yield from range(upto)


@component(on_error="reject")
def halve(number: int) -> int | Rejected[int]:
    """Halve even numbers; reject odd ones."""
    return number // 2 if number % 2 == 0 else Rejected(number, "odd")


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
    again: In[int] | None
    out: Out[int]

    async def process(self) -> None:
        """Pass each message on."""
        async for message in self.in_:
            await self.out.send(message)
