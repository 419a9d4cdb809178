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


_AUTO_MODE = (
    "pytest-asyncio is in auto mode, and takes tests away from AnyIO's plugin, which runs those of headrace on "
    'asyncio and on trio: write asyncio_mode = "strict" in the configuration of pytest'
)


@pytest.fixture
def _no_auto_mode(request: pytest.FixtureRequest) -> None:
    """Fail a test at once that pytest-asyncio would run: it would hang, or fail with a riddle."""
    config = request.config
    if config.pluginmanager.hasplugin("asyncio"):
        mode = config.getoption("asyncio_mode", None) or config.getini("asyncio_mode")
        if str(getattr(mode, "value", mode)) == "auto":
            pytest.fail(_AUTO_MODE, pytrace=False)


@pytest.fixture
def probe(_no_auto_mode: None, anyio_backend: object) -> Callable[..., AbstractAsyncContextManager[Probe]]:
    """Return ``headrace.testing.probe``: ``async with probe(Parse, unit="F") as p: await p.feed(b"1")``."""
    from .component_probe import probe as made

    return made


@pytest.fixture
async def run_system(_no_auto_mode: None, anyio_backend: object) -> AsyncIterator[RunSystem]:
    """Return a function that starts systems: ``s = await run_system(system)``; drained when the test ends."""
    from ._fixtures import RunSystem

    async with RunSystem.open() as made:
        yield made


__all__ = ["probe", "run_system"]
