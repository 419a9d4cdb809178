"""A system around a block: ``async with harness``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope, create_task_group, get_cancelled_exc_class
from anyio.abc import TaskStatus

if TYPE_CHECKING:
    from .system_execution_harness import SystemExecutionHarness


class _Host(TaskStatus[None]):
    """Runs the system beside the block; ``ready`` is set once it runs, or never will."""

    def __init__(self) -> None:
        self.ready = anyio.Event()
        self.failed: BaseException | None = None

    def started(self, value: None = None) -> None:
        self.ready.set()

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
    host = _Host()
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


__all__ = ["hosted"]
