"""What a factory takes is known before it is called, and who asks for a resource before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headrace import HarnessComponent, In, System
from headrace.model.settings_check import find_setting_errors
from headrace.runtime.resource_use import settings_of, unused_resources

if TYPE_CHECKING:
    from decimal import Decimal


@contextmanager
def pool(*, size: int, label: str = "x") -> Iterator[list[int]]:
    """Open a list."""
    yield [0] * size


class Opened:
    """A class that opens itself."""

    def __init__(self, path: str) -> None:
        self.path = path


def hidden(size: Decimal) -> None:
    """Have a type that exists for type checkers only."""


def any_settings(**settings: Any) -> None:
    """Take anything."""


def positional(size: int, /) -> None:
    """Take what has no name."""


@pytest.mark.parametrize(
    ("factory", "config", "fields"),
    [
        (pool, {"size": 1}, []),
        (pool, {"size": 1, "label": "a"}, []),
        (pool, {}, ["size"]),
        (pool, {"size": "x", "labl": 1}, ["labl", "size"]),
        (Opened, {"path": 5}, ["path"]),
        (hidden, {"size": object()}, []),
        (hidden, {}, ["size"]),
    ],
)
def test_settings_are_checked_by_the_signature(
    factory: Any, config: dict[str, Any], fields: list[str]
) -> None:
    kind = settings_of(factory)
    assert kind is not None
    assert [error.field for error in find_setting_errors(config, kind)] == fields


@pytest.mark.parametrize("factory", [any_settings, positional, 5, type])
def test_what_a_factory_takes_is_not_always_known(factory: Any) -> None:
    assert settings_of(factory) is None


class Asks(HarnessComponent):
    """Reads its context."""

    in_: In[int]

    async def setup(self, context: Any) -> None:  # type: ignore[override]
        """Read all."""
        self.seen = context.resources

    async def process(self) -> None:
        """Do nothing."""


def test_a_component_that_reads_its_context_uses_all_it_can_see() -> None:
    system = System()
    for name in ("db", "a/db", "a/log", "b/db"):
        system.resource(name, pool, size=1)
    assert list(unused_resources(system.wiring)) == ["db", "a/db", "a/log", "b/db"]
    system.add("a/asks", Asks)
    assert list(unused_resources(system.wiring)) == ["db", "b/db"]
