"""A program that runs beside us: started without a shell, and ended with all that it has started."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import DEVNULL, PIPE, STDOUT

import anyio
import anyio.abc

from headrace.exceptions import ComponentError, ConfigError

_CHUNK = 65_536
_KILLED = 1.0  # seconds that a killed process may take to be gone
_LEFT_BEHIND = 0.5  # seconds; see ``watch``
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class Program:
    """A program in a process group of its own.

    Args:
        command: The program and its arguments.
        cwd: The folder it runs in; ours where empty.
        env: Variables that it has beside ours.
        end_within: Seconds that it has to end by itself once it was asked to, before it is killed.
    """

    def __init__(self, command: Sequence[str], cwd: str, env: Mapping[str, str], end_within: float) -> None:
        self._command = list(command)
        self._cwd = cwd
        self._environment = {**os.environ, **env}
        self._process: anyio.abc.Process | None = None
        self._reads: set[anyio.CancelScope] = set()
        self._is_over = False
        self.end_within = end_within
        self.name = os.path.basename(command[0])

    def find(self) -> None:
        """See whether the program is there.

        Raises:
            ConfigError: It is not, or its folder is not.
        """
        if self._cwd and not os.path.isdir(self._cwd):
            raise ConfigError(f"cwd: there is no folder '{self._cwd}'", field="cwd")
        program = self._command[0]
        path = self._environment.get("PATH", os.defpath)
        if os.path.dirname(program):  # such a name is not looked for
            place = os.path.join(self._cwd, program)
            if not os.path.isfile(place):
                raise ConfigError(f"command: there is no program '{place}'", field="command")
            if not os.access(place, os.X_OK):
                hint = f"chmod +x {place}"
                raise ConfigError(f"command: '{place}' may not be executed", hint=hint, field="command")
        elif shutil.which(program, path=path) is None:
            raise ConfigError(f"command: there is no program '{program}' in PATH, {path}", field="command")

    async def start(self, *, takes_input: bool, joined: bool = False) -> None:
        """Start it.

        Args:
            takes_input: Whether it is written to; else its input is empty.
            joined: Whether what it writes to stderr is read with its output.

        Raises:
            ComponentError: It cannot be started.
        """
        self._is_over = False
        with anyio.CancelScope(shield=True):  # else one could be left that nobody knows of
            try:
                self._process = await anyio.open_process(
                    self._command,
                    stdin=PIPE if takes_input else DEVNULL,
                    stdout=PIPE,
                    stderr=STDOUT if joined else PIPE,
                    cwd=self._cwd or None,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError as error:
                reason = error.strerror or str(error)
                raise ComponentError(f"{self.name} cannot be started: {reason}") from error

    @property
    def _running(self) -> anyio.abc.Process:
        if self._process is None:
            raise RuntimeError("start() comes first")
        return self._process

    async def write(self, data: bytes) -> bool:
        """Write to its input; returns whether it still takes any."""
        stream = self._running.stdin
        assert stream is not None
        try:
            await stream.send(data)
        except (*_GONE, RuntimeError):  # uvloop raises the last
            return False
        return True

    async def close_input(self) -> None:
        """Let its input end, after all that was written."""
        stream = self._running.stdin
        if stream is not None:
            await stream.aclose()

    async def read(self) -> bytes:
        """Return some of its output; nothing at the end."""
        return await self._read(self._running.stdout)

    async def read_errors(self) -> bytes:
        """Return some of what it writes to stderr, or, where both are joined, at all; nothing at the end."""
        return await self._read(self._running.stderr or self._running.stdout)

    async def _read(self, stream: anyio.abc.ByteReceiveStream | None) -> bytes:
        assert stream is not None
        with anyio.CancelScope() as scope:
            if self._is_over:
                scope.deadline = anyio.current_time() + _LEFT_BEHIND
            self._reads.add(scope)
            try:
                return await stream.receive(_CHUNK)
            except _GONE:
                return b""
            finally:
                self._reads.discard(scope)
        return b""

    @property
    def exit_code(self) -> int | None:
        """As ``wait`` returns it; None while it runs."""
        return self._running.returncode

    async def wait(self) -> int:
        """Wait until it has ended, and return its exit code; -9 where signal 9 has ended it."""
        return await self._running.wait()

    async def watch(self) -> None:
        """Wait until it has ended. Then let what it has left behind end too, so that its output has an end.

        What is still running of its group shortly after it is killed. Who has left the group and holds the output
        open is not waited for.
        """
        await self.wait()
        await anyio.sleep(_LEFT_BEHIND)
        self.signal(signal.SIGKILL)
        self._is_over = True
        for scope in self._reads:
            scope.deadline = anyio.current_time() + _LEFT_BEHIND

    def signal(self, number: int) -> None:
        """Send a signal to it and all that it has started; nothing happens where all is gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._running.pid, number)

    async def end(self) -> None:
        """End it, and all that it has started: its input ends, then comes SIGTERM, then SIGKILL.

        Nobody may read from it at that time. A cancellation kills it at once.
        """
        process = self._process
        if process is None:
            return
        try:
            if process.returncode is None:
                async with anyio.create_task_group() as group:
                    group.start_soon(
                        self._discard, process.stdout
                    )  # a program that waits to write cannot end
                    group.start_soon(self._discard, process.stderr)
                    await self._ask_to_end(process)
                    group.cancel_scope.cancel()
        finally:
            self.signal(signal.SIGKILL)
            with anyio.move_on_after(_KILLED, shield=True):
                await process.wait()
                await process.aclose()
            self._process = None

    async def _ask_to_end(self, process: anyio.abc.Process) -> None:
        patience = self.end_within
        if process.stdin is not None:
            patience /= 2
            await process.stdin.aclose()
            with anyio.move_on_after(patience):
                await process.wait()
                return
        self.signal(signal.SIGTERM)
        with anyio.move_on_after(patience):
            await process.wait()

    async def _discard(self, stream: anyio.abc.ByteReceiveStream | None) -> None:
        while stream is not None and await self._read(stream):
            pass


def told(exit_code: int) -> str:
    """Say for people how a program has ended."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"


__all__ = ["Program", "told"]
