"""The tools that the facts about object streams are written with: one pair, one expectation, one waiter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

__all__ = [
    "Fact",
    "Handle",
    "Make",
    "Pair",
    "Waiter",
    "expect",
    "refused",
    "refused_now",
    "settle",
    "start",
    "streams",
]

Make = Callable[[float], tuple[MemoryObjectSendStream[Any], MemoryObjectReceiveStream[Any]]]
Handle = MemoryObjectSendStream[Any] | MemoryObjectReceiveStream[Any]
Fact = Callable[[Make], Awaitable[None]]


class Pair(NamedTuple):
    """Both ends of a stream under test, and the task group in which its waiters run."""

    send: MemoryObjectSendStream[Any]
    receive: MemoryObjectReceiveStream[Any]
    tasks: TaskGroup


class Waiter:
    """One call that runs in a task of its own, under a cancel scope of its own, and how it ended."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self._call = call
        self.scope = anyio.CancelScope()
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None

    async def run(self) -> None:
        """Run the call; an error or a cancellation is kept, not raised."""
        with self.scope:
            try:
                self.result = await self._call()
            except Exception as error:
                self.error = error
        self.done = True

    def expect_result(self, result: object, what: str) -> None:
        """Expect that the call has returned this."""
        got = self.error if self.error is not None else self.result
        ended = self.done and self.error is None and not self.scope.cancelled_caught
        expect(ended and got == result, f"{what}: gives {result!r}, not {self._how(got)}")

    def expect_error(self, error: type[Exception], what: str) -> None:
        """Expect that the call has raised this."""
        got = self.error if self.error is not None else self.result
        expect(type(self.error) is error, f"{what}: raises {error.__name__}, not {self._how(got)}")

    def expect_cancelled(self, what: str) -> None:
        """Expect that the call was cancelled."""
        got = self.error if self.error is not None else self.result
        expect(self.scope.cancelled_caught, f"{what}: is cancelled, not {self._how(got)}")

    def expect_waiting(self, what: str) -> None:
        """Expect that the call has not ended."""
        got = self.error if self.error is not None else self.result
        expect(not self.done, f"{what}: waits, not {self._how(got)}")

    def _how(self, got: object) -> str:
        if not self.done:
            return "still waiting"
        return "cancelled" if self.scope.cancelled_caught else repr(got)


@asynccontextmanager
async def streams(make: Make, size: float) -> AsyncIterator[Pair]:
    """Make a pair; at the end, cancel what still waits and close both ends."""
    send, receive = make(size)
    try:
        async with anyio.create_task_group() as tasks:
            yield Pair(send, receive, tasks)
            tasks.cancel_scope.cancel()
    finally:
        send.close()
        receive.close()


async def settle() -> None:
    """Let every other task run until it waits."""
    for _ in range(4):  # spares asyncio's 0.1 s poll, which a task that has only just started costs
        await checkpoint()
    await anyio.wait_all_tasks_blocked()


async def start(tasks: TaskGroup, call: Callable[[], Awaitable[Any]]) -> Waiter:
    """Start a call in a task and return when it waits or has ended."""
    waiter = Waiter(call)
    tasks.start_soon(waiter.run)
    await settle()
    return waiter


def expect(truth: bool, message: str) -> None:
    """Raise ``AssertionError`` unless true; also under ``python -O``."""
    if not truth:
        raise AssertionError(message)


async def refused(error: type[Exception], call: Callable[[], Awaitable[Any]], what: str) -> None:
    """Expect that an awaited call raises exactly this."""
    try:
        got: object = await call()
    except Exception as raised:
        got = raised
    expect(type(got) is error, f"{what}: raises {error.__name__}, not {got!r}")


def refused_now(error: type[Exception], call: Callable[[], Any], what: str) -> None:
    """Expect that a plain call raises exactly this."""
    try:
        got: object = call()
    except Exception as raised:
        got = raised
    expect(type(got) is error, f"{what}: raises {error.__name__}, not {got!r}")
