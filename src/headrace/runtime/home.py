"""Where a run is at home: the process and the event loop that it began in, and how others may reach it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import copy_context
from importlib import import_module
from typing import Any

from anyio.lowlevel import current_token

from headrace.exceptions import HarnessError, HarnessForkedError


class Home:
    """The process and the event loop in which this is made.

    Args:
        name: Whose home it is, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = os.getpid()
        self._loop: Any = current_token().native_token
        self._loop_context = copy_context()  # by its variables AnyIO knows its loop; a plain thread has none

    @property
    def is_lost(self) -> bool:
        """Whether the event loop was closed, which only asyncio does with tasks still in it."""
        is_closed = getattr(self._loop, "is_closed", None)
        return is_closed is not None and bool(is_closed())

    @property
    def loop(self) -> Any:
        """What tells this event loop from others."""
        return self._loop

    @property
    def clock(self) -> Callable[[], float]:
        """Gives the seconds by which the event loop counts; may be called in any thread, unlike AnyIO's."""
        own: Callable[[], float] | None = getattr(
            self._loop, "time", None
        )  # on asyncio the token is the loop
        if own is not None:
            return own
        clock: Callable[[], float] = import_module("trio").lowlevel.current_clock().current_time
        return clock

    def refuse_in_fork(self) -> None:
        """Raise in a forked process, where nothing of the run is.

        Raises:
            HarnessForkedError: This process was forked after the run had begun.
        """
        if os.getpid() != self._pid:
            raise HarnessForkedError(
                f"{self._name} was started in process {self._pid} and does not run in {os.getpid()}, "
                "which was forked from it; make and run a system of its own here, or start after the fork"
            )

    def refuse_elsewhere(self) -> None:
        """Raise where nobody can wait for the run: in a forked process, and in another event loop.

        Raises:
            HarnessForkedError: This process was forked after the run had begun.
            HarnessError: The current task belongs to another event loop.
        """
        self.refuse_in_fork()
        if self.is_lost:
            raise HarnessError(
                f"{self._name} was running when its event loop was closed, and could not clean up; "
                "make a new one, and `await system.stop()` before its loop ends"
            )
        if current_token().native_token is not self._loop:
            raise HarnessError(
                f"{self._name} runs in another event loop; await it there. "
                "From here, and from any thread: `system.request_stop()`, `system.health()`"
            )

    def request(self, what: Callable[[], object], logger: Any) -> None:
        """Have something done in the event loop, from any thread; what comes too late is only logged.

        Raises:
            HarnessForkedError: This process was forked after the run had begun.
        """
        self.refuse_in_fork()

        def do() -> None:
            try:
                what()
            except HarnessError as error:
                logger.info("a request came too late", error=str(error))

        try:
            self.call_soon(do)
        except RuntimeError as error:  # the loop has just ended, and the run with it
            logger.debug("a request came too late", error=str(error))

    def call_soon(self, fn: Callable[[], None]) -> None:
        """Call ``fn`` in the event loop; from any thread, and from signal handlers.

        Raises:
            RuntimeError: The event loop has ended.
        """
        schedule: Callable[..., object] = (
            getattr(self._loop, "call_soon_threadsafe", None) or self._loop.run_sync_soon
        )
        schedule(self._loop_context.run, fn)


__all__ = ["Home"]
