"""The fixtures ``probe`` and ``run_system`` for pytest, found by it through the entry point ``headrace``.

pytest imports this at every start, in projects that never heard of them too: nothing else is imported
until a test asks for a fixture. AnyIO's own plugin runs the tests that do, on each backend.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ._fixtures import RunSystem
    from .component_probe import Probe


@pytest.fixture
def probe(anyio_backend: object) -> Callable[..., AbstractAsyncContextManager[Probe]]:
    """Return ``headrace.testing.probe``: ``async with probe(Parse, unit="F") as p: await p.feed(b"1")``."""
    from .component_probe import probe as made

    return made


@pytest.fixture
async def run_system(anyio_backend: object) -> AsyncIterator[RunSystem]:
    """Return a function that starts systems: ``s = await run_system(system)``; drained when the test ends."""
    from ._fixtures import RunSystem

    async with RunSystem.open() as made:
        yield made


__all__ = ["probe", "run_system"]
