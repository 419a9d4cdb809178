"""Blocking calls one after another in a thread, which a stop or a cancellation interrupts.

A thread cannot be cancelled; but most of what it waits for can be told to end: a query, a socket.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from anyio import CancelScope, CapacityLimiter

T = TypeVar("T")

_AGAIN = 0.05  # seconds; an interruption that comes between two statements of a call hits neither


class InterruptibleThread:
    """Makes calls in a thread, and has them end early.

    Args:
        interrupt: Ends what the call waits for, so that it raises. It is called in another thread, again and again
            until the call has ended, with the seconds since the first time. Where it is None nothing does.
        patience: Seconds that a call may go on after a cancellation before it is interrupted.
    """

    def __init__(self, interrupt: Callable[[float], None] | None, *, patience: float = 0.0) -> None:
        self.patience = patience
        self._interrupt = interrupt
        self._limiter = CapacityLimiter(1)
        self._ended: anyio.Event | None = None

    async def call(self, fn: Callable[..., T], *args: Any) -> T:
        """Make a call; it ends before this does, also when this is cancelled: then it has effect, or raises."""
        self._ended = anyio.Event()
        try:
            return await anyio.to_thread.run_sync(fn, *args, limiter=self._limiter)
        finally:
            self._ended.set()
            self._ended = None

    @asynccontextmanager
    async def watched(
        self, wait_stop: Callable[[], Awaitable[Any]] = anyio.sleep_forever
    ) -> AsyncIterator[None]:
        """Interrupt the calls within when they are cancelled.

        Args:
            wait_stop: Returns when they are to be interrupted without.
        """
        raised: Exception | None = None
        async with anyio.create_task_group() as watching:
            watching.start_soon(self._watch, wait_stop)
            try:
                yield
            except Exception as error:
                raised = error
            watching.cancel_scope.cancel()
        if raised is not None:  # here, so that it does not come in a group
            raise raised

    async def _watch(self, wait_stop: Callable[[], Awaitable[Any]]) -> None:
        patience = self.patience
        try:
            await wait_stop()
            patience = 0.0
        finally:
            with CancelScope(shield=True):
                await self._end_call(patience)

    async def _end_call(self, patience: float) -> None:
        interrupt = self._interrupt
        if interrupt is None:
            return
        began = anyio.current_time()
        wait = patience
        while (ended := self._ended) is not None:
            with anyio.move_on_after(wait):
                await ended.wait()
                return
            await anyio.to_thread.run_sync(interrupt, anyio.current_time() - began - patience)
            wait = _AGAIN


__all__ = ["InterruptibleThread"]
