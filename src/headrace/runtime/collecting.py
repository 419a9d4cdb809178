"""A look at the messages of a running system, for people in notebooks: ``await system.collect("a.out", 5)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from headrace.streams.outlet import AnyOutlet

from .run import Run


async def collect(run: Run, outlets: Sequence[AnyOutlet], n: int, timeout: float | None) -> list[Any]:
    """Return the next ``n`` messages of an output, of any replica; fewer where the run or the time ends before."""
    found: list[Any] = []
    enough = anyio.Event()

    def tap(message: object) -> None:
        if len(found) < n:
            found.append(message)
        if len(found) >= n:
            enough.set()

    async def until_over(scope: anyio.CancelScope) -> None:
        await run.over.wait()
        scope.cancel()

    for outlet in outlets:
        outlet.add_tap(tap)
    try:
        with anyio.move_on_after(timeout):
            async with anyio.create_task_group() as group:
                group.start_soon(until_over, group.cancel_scope)
                if n > 0:
                    await enough.wait()
                group.cancel_scope.cancel()
    finally:
        for outlet in outlets:
            outlet.remove_tap(tap)
    return found


__all__ = ["collect"]
