"""Bytes that come from the standard input, a pipe or a terminal, for which nobody has to wait who stops."""

from __future__ import annotations

import os
import stat
import sys

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from headrace.authoring.context import StopEvent
from headrace.exceptions import InputFileError

STDIN = "-"


def is_stream(path: str) -> bool:
    """Return whether a path leads to a pipe, a terminal or another device, that is read as it comes."""
    if path == STDIN:
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


class InputStream:
    """One stream.

    Args:
        path: Where it is; ``-`` is the standard input.

    Raises:
        InputFileError: It cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = "stdin" if path == STDIN else path
        self._owned = path != STDIN
        try:
            self._descriptor = (
                os.open(path, os.O_RDONLY | os.O_NONBLOCK) if self._owned else sys.stdin.fileno()
            )
            # a file or /dev/null is always ready, and cannot be waited for
            self._waits = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        except (AttributeError, ValueError):
            raise InputFileError("the standard input is closed; give it a file, or /dev/null") from None
        except OSError as error:
            raise InputFileError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        self._thread = CapacityLimiter(1)

    async def read(self, size: int, stop: StopEvent) -> bytes:
        """Return the bytes that are there, at most ``size``; none at the end or when the system stops.

        Raises:
            InputFileError: It cannot be read on.
        """
        try:
            if self._waits and not await self._is_ready(stop):
                return b""
            return await anyio.to_thread.run_sync(
                os.read, self._descriptor, size, abandon_on_cancel=True, limiter=self._thread
            )
        except OSError as error:
            raise InputFileError(f"{self.path}: cannot be read on: {error.strerror or error}") from error

    async def _is_ready(self, stop: StopEvent) -> bool:
        ready = False

        async def wait() -> None:
            nonlocal ready
            try:
                await anyio.wait_readable(self._descriptor)
            except PermissionError:  # such as /dev/null
                self._waits = False
            ready = True
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await stop.wait()
            group.cancel_scope.cancel()
        return ready

    def close(self) -> None:
        """Close it, unless it is the standard input, which is not ours."""
        if self._owned:
            os.close(self._descriptor)


__all__ = ["STDIN", "InputStream", "is_stream"]
