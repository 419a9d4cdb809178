"""Components with names, for systems that are written as blueprints."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from headrace import HarnessComponent, In, Out, Rejected, component


@component
def numbers(*, upto: int = 3, step: Any = 1) -> Iterator[int]:
    """Yield numbers."""
    yield from range(upto)


@component(attempts=2, on_error="reject", backoff=0.5)
def halve(number: int, *, settings: Any = None, more: Any = None) -> int | Rejected[int]:
    """Halve a number."""
    return number // 2


def plain(number: int) -> int:
    """Pass a number on."""
    return number


nameless = component(lambda number: number)
crashing = component(on_error="crash")(plain)


class Free(HarnessComponent):
    """Takes any settings, and any ports."""


class Relay(HarnessComponent):
    """Has several inputs and one output."""

    in_: In[Any]
    side: In[Any] | None
    out: Out[Any]
    rejected: Out[Any] | None


class Split(HarnessComponent):
    """Has several outputs, none of which can be guessed."""

    left: Out[Any]
    right: Out[Any]


class Sink(HarnessComponent):
    """Has settings of many types."""

    in_: In[Any]

    class Config(msgspec.Struct):
        path: Path = Path("a")
        pair: tuple[int, ...] = ()
        names: frozenset[str] = frozenset()
        ratio: float = 1.0

    class Inner(HarnessComponent):
        in_: In[Any]


class Finished:
    """A component that needs no base."""

    async def setup(self, harness_context: Any = None) -> None: ...

    async def process(self) -> None: ...

    async def cleanup(self) -> None: ...


class Opener:
    """Makes resources, by a method."""

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, *, size: int = 1) -> AsyncIterator[int]:
        yield size


@contextlib.asynccontextmanager
async def open_pool(*, size: int = 1, name: Any = None) -> AsyncIterator[int]:
    """Open a pool."""
    yield size


def make_local() -> type[Free]:
    """Return a class that exists only inside."""

    class Local(Free):
        pass

    return Local


class Stubborn(HarnessComponent):
    """Is always restarted, says its class."""

    in_: In[int]
    restart = "always"
