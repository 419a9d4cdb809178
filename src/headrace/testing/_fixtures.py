"""What the fixtures of the pytest plug-in hand out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any

from anyio import create_task_group
from anyio.abc import TaskGroup

from .live_system import LiveSystem
from .system_opening import Opened, alone


class RunSystem:
    """Starts systems in a test, and drains them when it ends: the fixture ``run_system``."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._systems: list[tuple[Opened, LiveSystem]] = []

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[RunSystem]:
        """Keep the systems of one test; what has failed without being looked at is raised at the end.

        They run in tasks of this block: the test may enter and leave scopes of its own in between.
        """
        async with create_task_group() as group:
            made = cls(group)
            yield made
            for _, live in reversed(made._systems):
                await live.end()
        for opened, _ in reversed(made._systems):
            opened.give_back()
        for _, live in made._systems:
            live.raise_unseen()

    def __call__(self, system: Any, **options: Any) -> Starting:
        """Open a system as ``headrace.testing.run_system`` does: ``await`` it, or enter it with ``async with``."""
        return Starting(self, Opened(system, **options))

    async def start(self, opened: Opened) -> LiveSystem:
        """Start a system; it is drained when the test ends."""
        live = LiveSystem(opened.harness, timeout=opened.timeout)
        self._systems.append((opened, live))
        await live.start(self._group)
        live.raise_failure()
        return live


class Starting:
    """A system that is about to start: to be awaited, or to be entered."""

    def __init__(self, keeper: RunSystem, opened: Opened) -> None:
        self._keeper = keeper
        self._opened = opened
        self._manager: AbstractAsyncContextManager[LiveSystem] | None = None

    def __await__(self) -> Generator[Any, Any, LiveSystem]:
        return self._keeper.start(self._opened).__await__()

    async def __aenter__(self) -> LiveSystem:
        self._manager = alone(self._opened)
        return await self._manager.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        assert self._manager is not None  # it was entered
        return await self._manager.__aexit__(exc_type, exc_val, exc_tb)


__all__ = ["RunSystem", "Starting"]
