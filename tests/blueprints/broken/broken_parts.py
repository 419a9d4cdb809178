"""The components that the broken blueprints name; there is nothing wrong with most of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from headrace import HarnessComponent, In, Out, Resource, component

NOT_A_COMPONENT = 42


@component
def numbers(*, upto: int = 3) -> Iterator[int]:
    """Yield some numbers."""
    yield from range(upto)


@component
def words() -> Iterator[str]:
    """Yield one word."""
    yield "word"


@component
def double(number: int, *, factor: int = 2) -> int:
    """Double a number."""
    return number * factor


@component
def show(number: int) -> None:
    """Take a number and do nothing with it."""


@contextmanager
def open_names(*, names: list[str], limit: int = 5) -> Iterator[list[str]]:
    """Open a list of names."""
    yield names[:limit]


@component
def count(number: int, *, names: Resource[dict[str, int]]) -> None:
    """Ask for a table that nobody gives."""


class Split(HarnessComponent):
    """Has two outputs."""

    in_: In[int]
    even: Out[int]
    odd: Out[int]

    class Config(msgspec.Struct, forbid_unknown_fields=True):
        """Settings: a limit that must be said, and an optional label."""

        limit: int
        label: str = ""


class Refuses(HarnessComponent):
    """Raises in its constructor."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        raise RuntimeError("no such device: /dev/pump7")


class Unfinished:
    """Has no cleanup()."""

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready."""

    async def process(self) -> None:
        """Work."""
