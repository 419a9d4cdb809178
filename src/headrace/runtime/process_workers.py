"""Runs a function component's plain function in worker processes of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anyio import CancelScope, Semaphore, create_task_group
from anyio.lowlevel import checkpoint

from headrace.authoring.function_component import ComponentFunction
from headrace.authoring.function_signature import title
from headrace.exceptions import NotPicklableError, WorkerDied, WorkerError, WorkerStartFailed

from .worker_answers import decode
from .worker_channel import WorkerChannel, start_worker
from .worker_frames import pickled
from .worker_functions import function_path, preparation, refuse_unportable
from .workers import CLOSE_WITHIN, Outcome, Workers, not_open

AHEAD = 2
"""Batches with a worker at a time: one that it works on, and one to go on with at once."""


UNREADY_WITHIN = 1.0
"""Seconds in which processes end that did not get ready: they have nothing to finish."""


class ProcessWorkers(Workers):
    """Runs the function in worker processes: fresh interpreters that import it by its name.

    Messages, outputs and errors travel pickled, each by itself. One that cannot is an error of that message
    alone. A batch whose ``run()`` was cancelled may still be worked on; its outcomes are thrown away.

    Args:
        function: The decorated function.
        settings: Its settings; they travel once.
        name: The component's name, for errors.
        processes: How many.
    """

    def __init__(
        self,
        function: ComponentFunction[..., Any],
        settings: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        processes: int = 1,
    ) -> None:
        self.name = name or title(function.fn)
        self._function = function
        self._settings = dict(settings or {})
        self._processes = processes
        self._channels: list[WorkerChannel] = []
        self._is_open = False
        self._room = Semaphore(processes * AHEAD, fast_acquire=True)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers, those that have died included."""
        return tuple(channel.process.pid for channel in self._channels)

    async def open(self) -> None:
        """Start the processes, all at once, and wait until each has imported the function; see ``Workers``."""
        refuse_unportable(self._function, "process", self._settings)
        hello = [
            pickled(preparation(), "sys.argv or sys.path"),
            function_path(self._function.fn).encode(),
            pickled(self._settings, "a setting"),
        ]
        failures: list[WorkerError] = []
        try:
            async with create_task_group() as group:
                for _ in range(self._processes):
                    group.start_soon(self._start, hello, failures)
            self._is_open = not failures
        finally:
            if not self._is_open:
                await self.close(UNREADY_WITHIN)
        if failures:
            raise failures[0]

    async def _start(self, hello: list[bytes], failures: list[WorkerError]) -> None:
        try:
            channel = await start_worker(self.name)
            self._channels.append(channel)
            await channel.ask(hello)
        except OSError as error:
            failures.append(
                WorkerStartFailed(f"{self.name}: no worker process: {error}", component=self.name)
            )
        except WorkerDied as error:
            failures.append(_not_ready(self.name, error))
        except WorkerError as error:
            failures.append(error)

    async def run(self, messages: Sequence[Any]) -> list[Outcome]:
        """Run the function on each message of a batch, in the least busy process; see ``Workers``."""
        outcomes, parts, places = self._packed(messages)
        if not parts:
            await checkpoint()
            return outcomes
        async with self._room:
            answers = await self._channel().ask(parts, [messages[place] for place in places])
        for place, answer in zip(places, answers, strict=True):
            outcomes[place] = decode(answer)
        return outcomes

    def abandon(self) -> None:
        """Kill the processes; see ``Workers``."""
        self._is_open = False
        for channel in self._channels:
            channel.kill()

    async def close(self, within: float = CLOSE_WITHIN) -> None:
        """Let each process end, or end it; see ``Workers``.

        First it is told that there is no more; at 60 % of the time it gets SIGTERM, which unwinds the
        function, at 80 % SIGKILL.
        """
        self._is_open = False
        with CancelScope(shield=True):
            channels, self._channels = self._channels, []
            async with create_task_group() as group:
                for channel in channels:
                    group.start_soon(channel.close, within)

    def _packed(self, messages: Sequence[Any]) -> tuple[list[Outcome], list[bytes], list[int]]:
        """Return an outcome for each message so far, what travels, and whose it is."""
        outcomes = [Outcome()] * len(messages)
        parts: list[bytes] = []
        places: list[int] = []
        for place, message in enumerate(messages):
            try:
                parts.append(pickled(message, "the message"))
            except NotPicklableError as error:
                outcomes[place] = Outcome(error=error)
            else:
                places.append(place)
        return outcomes, parts, places

    def _channel(self) -> WorkerChannel:
        """Return the process with the least to do; one that is known to be dead goes first, to tell so."""
        if not self._is_open:
            raise not_open(self.name)
        return min(self._channels, key=lambda channel: (channel.is_usable, channel.load))


def _not_ready(name: str, died: WorkerDied) -> WorkerStartFailed:
    """Return the error for a process that ended before it was ready."""
    cause = died.__cause__
    why = str(died) if cause is None else f"{type(cause).__name__}: {cause}"
    error = WorkerStartFailed(f"{name}: its worker process did not get ready: {why}", component=name)
    error.__cause__ = cause
    return error


__all__ = ["AHEAD", "UNREADY_WITHIN", "ProcessWorkers"]
