"""A system in someone else's program: around a block (``async with harness``), or in a task of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import copy_context
from importlib import import_module
from typing import Any

import anyio
from anyio import CancelScope, create_task_group, get_cancelled_exc_class, get_current_task
from anyio.abc import TaskStatus
from anyio.lowlevel import current_token

from headrace.exceptions import SystemFailed

from .run import Run

_at_work: set[Host] = set()  # an event loop keeps only weak references to its tasks


class Host(TaskStatus[None]):
    """Runs the system beside the program; ``ready`` is set once it runs, or never will.

    Args:
        run: The run, begun by the caller: from then on ``stop()`` finds it, and a second start is refused.
        name: The system's name.
    """

    def __init__(self, run: Run, name: str) -> None:
        self.ready = anyio.Event()
        self.failed: BaseException | None = None
        self._run = run
        self._name = name
        self._scope = CancelScope()
        self._task: object = None

    def started(self, value: None = None) -> None:
        self.ready.set()

    async def start(self) -> None:
        """Run the system in a task of its own; returns when it runs, raises what kept it from running."""
        _at_work.add(self)
        self._task = _start_task(self._run_apart, self._name, self.settle)
        try:
            await self.ready.wait()
        except BaseException:
            self._scope.cancel()
            with CancelScope(shield=True):  # bounded by the time-outs of clean-up
                await self._run.over.wait()
            raise
        if self.failed is not None:
            raise self.failed

    async def _run_apart(self) -> None:
        """Run the system; how it ends is in its report, and nothing escapes into the loop."""
        try:
            with self._scope:
                await self.run(self._scope)
        finally:
            self.settle()

    async def run(self, block: CancelScope) -> None:
        """Run the system; what is not an ``Exception`` ends the block too."""
        try:
            await self._run.execute(task_status=self)
        except get_cancelled_exc_class():
            raise
        except BaseException as error:
            self.failed = error
            if not isinstance(error, Exception):  # KeyboardInterrupt and the like
                block.cancel()
        finally:
            self.ready.set()

    async def stop(self) -> None:
        """Drain the system, whoever else does so too."""
        self._run.begin_stop()
        await self._run.over.wait()

    def settle(self) -> None:
        """Let go of the system; a task that asyncio cancelled before its first step has run nothing."""
        _at_work.discard(self)
        if not self._run.over.is_set():
            self._run.give_up()
            self.ready.set()

    def raise_errors(self, body_error: BaseException | None) -> None:
        """Raise the error of the block, with a note if the system failed too; else that of the system."""
        if body_error is None:
            if self.failed is not None:
                raise self.failed
            return
        is_that = isinstance(body_error, SystemFailed) and body_error.report is self._run.report
        if self.failed is not None and not is_that:  # else `wait()` in the block has raised it
            body_error.add_note(f"the system failed too: {self.failed}")
        raise body_error


@asynccontextmanager
async def hosted(run: Run, name: str) -> AsyncIterator[None]:
    """Run a system around a block; what goes wrong in either is raised as it is, not in a group.

    The error of the block comes first, also where a cancellation cuts the drain short; a failed system does
    not cancel the block, and is raised at its end.
    """
    host = Host(run, name)
    body_error: BaseException | None = None
    try:
        async with create_task_group() as group:
            group.start_soon(host.run, group.cancel_scope, name=name)
            await host.ready.wait()
            if host.failed is None:
                try:
                    yield
                except get_cancelled_exc_class():
                    raise
                except BaseException as error:
                    body_error = error
                await host.stop()
    except get_cancelled_exc_class():
        if body_error is None:
            raise
    finally:
        host.settle()
    host.raise_errors(body_error)


def _start_task(fn: Callable[[], Coroutine[Any, Any, None]], name: str, on_end: Callable[[], None]) -> object:
    """Start a task that belongs to the event loop and not to a task group; AnyIO has no call for that.

    It sees the context variables of the caller, on both backends.
    """
    token: Any = current_token().native_token
    if hasattr(token, "create_task"):  # on asyncio the token is the loop
        task = token.create_task(fn(), name=name)
        task.add_done_callback(lambda _: on_end())
        return task
    trio = import_module("trio")
    return trio.lowlevel.spawn_system_task(fn, name=name, context=copy_context())


def in_event_loop() -> bool:
    """Return whether this thread runs an event loop now."""
    try:
        get_current_task()
    except RuntimeError:
        return False
    return True


__all__ = ["Host", "hosted", "in_event_loop"]
