"""Where a function component's plain function runs: in the loop, in a thread, or (elsewhere) in processes.

A batch of messages goes to a worker and comes back as one outcome per message.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Any, Self

import msgspec
from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from headrace.authoring.function_signature import title
from headrace.exceptions import ComponentError, WorkerAbandoned, WorkerNotOpen

CLOSE_WITHIN = 5.0
"""Seconds in which ``close()`` ends whatever the workers do."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one message.

    Attributes:
        outputs: What the function gave for it, in order, without None.
        error: What the function raised instead. One that comes from another process is a copy. What is no
            ``Exception`` (``SystemExit``) comes only from a thread, and ends its batch.
    """

    outputs: Sequence[Any] = ()
    error: BaseException | None = None

    @property
    def traceback(self) -> str:
        """The error with its traceback as text, that of a worker process included; empty without an error."""
        return "" if self.error is None else "".join(traceback.format_exception(self.error))


class Workers(ABC):
    """Runs one plain function on batches of messages; made anew for each run of a component.

    Whoever owns it calls ``open()`` once before any ``run()`` and ``close()`` once after, also when ``open()``
    failed; the three may be called from different tasks of one event loop. Several ``run()`` may be under way at
    a time. After a ``WorkerDied`` it runs nothing more until it is closed and opened again.
    """

    @abstractmethod
    async def open(self) -> None:
        """Get the workers ready.

        Raises:
            ConfigError: The function cannot run there.
            WorkerStartFailed: A worker process did not get ready; none is left behind.
        """

    @abstractmethod
    async def run(self, messages: Sequence[Any]) -> list[Outcome]:
        """Run the function on each message of a batch, in order, in one worker.

        A message on which the function raises an ``Exception`` has that as its outcome, and the others have
        theirs. A cancelled call has no outcomes: its messages are the caller's, done or not. In a thread the
        cancellation waits for the function to return.

        Returns:
            As many outcomes as messages, in the same order; fewer where the last one is no ``Exception``.

        Raises:
            WorkerDied: The worker process ended; nothing of the batch came back.
            WorkerAbandoned: ``abandon()`` was called meanwhile.
            WorkerNotOpen: It is not open, or was closed meanwhile.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Give up whatever is being worked on, at once: each ``run()`` under way raises ``WorkerAbandoned``.

        Processes are killed; a thread goes on for itself. What remains to do is ``close()``.
        """

    @abstractmethod
    async def close(self, within: float = CLOSE_WITHIN) -> None:
        """End the workers; nothing of them is left. Shielded from cancellation; may be called twice.

        Args:
            within: Seconds after which a worker process has been killed.
        """

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class LoopWorkers(Workers):
    """Runs the function in the event loop, a batch at a stretch: the least there can be.

    Args:
        fn: The plain function, called as ``fn(message, **arguments)``.
        arguments: Its settings and resources.
        name: The component's name, for errors.
    """

    def __init__(
        self, fn: Callable[..., Any], arguments: Mapping[str, Any] | None = None, *, name: str = ""
    ) -> None:
        self.name = name or title(fn)
        self._call = partial(fn, **(arguments or {}))
        self._is_open = False

    async def open(self) -> None:
        """Let batches in."""
        self._is_open = True

    async def run(self, messages: Sequence[Any]) -> list[Outcome]:
        """Run the function on each message of a batch; see ``Workers``."""
        await checkpoint()
        if not self._is_open:
            raise not_open(self.name)
        return run_batch(self._call, messages)

    def abandon(self) -> None:
        """Let no batch in any more; there is never one under way while something else runs."""
        self._is_open = False

    async def close(self, within: float = CLOSE_WITHIN) -> None:
        """Let no batch in any more."""
        self._is_open = False


class ThreadWorkers(Workers):
    """Runs the function in threads of AnyIO's pool, with the caller's context variables.

    Args:
        fn: The plain function, called as ``fn(message, **arguments)``.
        arguments: Its settings and resources, the objects themselves.
        name: The component's name, for errors.
        threads: How many batches are worked on at a time.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        arguments: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        threads: int = 1,
    ) -> None:
        self.name = name or title(fn)
        self._call = partial(fn, **(arguments or {}))
        self._threads = threads
        self._limiter: CapacityLimiter | None = None
        self._under_way: set[CancelScope] = set()

    async def open(self) -> None:
        """Let batches in; threads are started when there is work."""
        self._limiter = CapacityLimiter(self._threads)

    async def run(self, messages: Sequence[Any]) -> list[Outcome]:
        """Run the function on each message of a batch; see ``Workers``."""
        await checkpoint_if_cancelled()
        async with self._turn():
            with CancelScope(
                shield=True
            ) as scope:  # a thread cannot be stopped, so its outcomes are waited for
                self._under_way.add(scope)
                try:
                    return await to_thread.run_sync(
                        run_in_thread,
                        self._call,
                        messages,
                        abandon_on_cancel=True,
                        limiter=CapacityLimiter(1),
                    )
                finally:
                    self._under_way.discard(scope)
        raise WorkerAbandoned(
            f"{self.name}: its thread did not return and was left behind with a batch of {len(messages)}",
            component=self.name,
        )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        limiter = self._limiter
        if limiter is None:
            raise not_open(self.name)
        async with limiter:
            if limiter is not self._limiter:  # closed while this batch waited
                raise not_open(self.name)
            yield

    def abandon(self) -> None:
        """Leave the threads that are at work behind; they go on for themselves."""
        self._limiter = None
        for scope in self._under_way:
            scope.cancel()

    async def close(self, within: float = CLOSE_WITHIN) -> None:
        """Let no batch in any more; idle threads belong to AnyIO, which ends them with the event loop."""
        self._limiter = None


def run_batch(call: Callable[[Any], Any], messages: Sequence[Any]) -> list[Outcome]:
    """Call a function on each message, in order; what is no ``Exception`` (``SystemExit``) goes through."""
    return [run_one(call, message) for message in messages]


def run_in_thread(call: Callable[[Any], Any], messages: Sequence[Any]) -> list[Outcome]:
    """Call a function on each message, in order, up to one on which it raises what is no ``Exception``.

    That one is the last outcome: whose turn it was would be lost on its way through the pool of threads.
    """
    outcomes: list[Outcome] = []
    for message in messages:
        try:
            outcomes.append(run_one(call, message))
        except BaseException as error:
            return [*outcomes, Outcome(error=error)]
    return outcomes


def run_one(call: Callable[[Any], Any], message: Any) -> Outcome:
    """Call a function on a message; a generator is run to its end, or to its error."""
    try:
        result = call(message)
        if isinstance(result, GeneratorType):
            return Outcome([output for output in result if output is not None])
        if isinstance(result, CoroutineType | AsyncGeneratorType):
            _put_away(result)
            raise ComponentError(
                f"the function returned a {type(result).__name__}, which no worker can await"
            )
        return Outcome([] if result is None else [result])
    except Exception as error:
        return Outcome(error=error)


def _put_away(result: Any) -> None:
    """Close a coroutine that nobody will await, so that Python does not warn of it."""
    if isinstance(result, CoroutineType):
        result.close()


def not_open(name: str) -> WorkerNotOpen:
    """Return the error for a batch that comes too early or too late."""
    return WorkerNotOpen(f"{name}: its workers are not open", component=name)


__all__ = [
    "CLOSE_WITHIN",
    "LoopWorkers",
    "Outcome",
    "ThreadWorkers",
    "Workers",
    "not_open",
    "run_batch",
    "run_in_thread",
    "run_one",
]
