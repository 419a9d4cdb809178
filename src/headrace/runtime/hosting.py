"""A system in someone else's program: around a block (``async with harness``), or in a task of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CancelScope, create_task_group, get_cancelled_exc_class, get_current_task
from anyio.abc import TaskStatus
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from .system_execution_harness import SystemExecutionHarness


class Host(TaskStatus[None]):
    """Runs the system beside the program; ``ready`` is set once it runs, or never will."""

    def __init__(self) -> None:
        self.ready = anyio.Event()
        self.failed: BaseException | None = None
        self._scope = CancelScope()
        self._over = anyio.Event()
        self._task: object = None  # an event loop keeps only a weak reference

    def started(self, value: None = None) -> None:
        self.ready.set()

    async def start(self, harness: SystemExecutionHarness) -> None:
        """Run the system in a task of its own; returns when it runs, raises what kept it from running."""
        self._task = _start_task(self._run_apart, harness)
        try:
            await self.ready.wait()
        except get_cancelled_exc_class():
            self._scope.cancel()
            with CancelScope(shield=True):  # bounded by the time-outs of clean-up
                await self._over.wait()
            raise
        if self.failed is not None:
            raise self.failed

    async def _run_apart(self, harness: SystemExecutionHarness) -> None:
        """Run the system; how it ends is in its report, and nothing escapes into the loop."""
        try:
            with self._scope:
                await self.run(harness, self._scope)
        finally:
            self._over.set()

    async def run(self, harness: SystemExecutionHarness, block: CancelScope) -> None:
        try:
            await harness.run(task_status=self)
        except get_cancelled_exc_class():
            raise
        except BaseException as error:
            self.failed = error
            if not isinstance(error, Exception):  # KeyboardInterrupt and the like end the block too
                block.cancel()
        finally:
            self.ready.set()


@asynccontextmanager
async def hosted(harness: SystemExecutionHarness) -> AsyncIterator[None]:
    """Run a system around a block; what goes wrong in either is raised as it is, not in a group.

    The error of the block comes first; a failed system does not cancel the block, and is raised at its end.
    """
    host = Host()
    body_error: BaseException | None = None
    async with create_task_group() as group:
        group.start_soon(host.run, harness, group.cancel_scope, name=harness.name)
        await host.ready.wait()
        if host.failed is None:
            try:
                yield
            except get_cancelled_exc_class():
                raise
            except BaseException as error:
                body_error = error
            await harness.stop()
    if body_error is not None:
        if host.failed is not None:
            body_error.add_note(f"the system failed too: {host.failed}")
        raise body_error
    if host.failed is not None:
        raise host.failed


def _start_task(fn: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> object:
    """Start a task that belongs to the event loop and not to a task group; AnyIO has no call for that."""
    token: Any = current_token().native_token
    if hasattr(token, "create_task"):  # on asyncio the token is the loop
        return token.create_task(fn(*args))
    trio = import_module("trio")
    return trio.lowlevel.spawn_system_task(fn, *args)


def in_event_loop() -> bool:
    """Return whether this thread runs an event loop now."""
    try:
        get_current_task()
    except RuntimeError:
        return False
    return True


__all__ = ["Host", "hosted", "in_event_loop"]
