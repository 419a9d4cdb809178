"""One function at work on several messages at once: as many tasks, each with a handle and a message in hand.

So the books need nothing new: what is in hand, acknowledged or dead is known for each handle by itself.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Any

import anyio
from anyio import CancelScope, create_task_group, current_effective_deadline, get_cancelled_exc_class

Prepare = Callable[[Any, Any], Awaitable[Callable[[], Awaitable[None]]]]
"""Works on a message (of a handle), and returns what sends its outputs."""


async def work_concurrently(stream: Any, number: int, prepare: Prepare, *, ordered: bool) -> None:
    """Work on up to ``number`` messages at once, until the stream ends.

    Args:
        stream: Where they come from; it is cloned.
        number: How many.
        prepare: Works on a message.
        ordered: Whether outputs are sent in the order of the messages; who is done earlier waits for his turn.
    """
    turns = Turns() if ordered else None
    handles = [stream, *(stream.clone() for _ in range(number - 1))]
    errors: dict[Any, BaseException] = {}
    async with create_task_group() as group:
        for handle in handles:
            group.start_soon(_work_guarded, errors, group.cancel_scope, handle, prepare, turns)
    if errors:
        _release_all_but(errors, handles)
        _raise(list(errors.values()))
    for clone in handles[1:]:  # after an error they stay as they are: supervision looks at what is in hand
        clone.close()


def _release_all_but(failed: Container[Any], handles: Iterable[Any]) -> None:
    """Leave in hand only what an error is about: the other messages are received again as if they never were."""
    for handle in handles:
        if handle not in failed and hasattr(handle, "release"):  # else AnyIO's own
            handle.release()


def _raise(errors: list[BaseException]) -> None:
    raise errors[0] if len(errors) == 1 else BaseExceptionGroup("several messages", errors)


def is_asked_for(error: BaseException) -> bool:
    """Return whether an error is a cancellation that a cancel scope has asked for.

    Any other is an error like all: somebody else has cancelled what a function awaited. In a task of its own
    asyncio would take it for the end of that task, and nobody would be told.
    """
    return isinstance(error, get_cancelled_exc_class()) and current_effective_deadline() == -math.inf


async def _work_guarded(
    errors: dict[Any, BaseException], scope: CancelScope, handle: Any, *args: Any
) -> None:
    """Keep what a task fails with for the component's own task: asyncio lets ``SystemExit`` out of the loop."""
    try:
        await _work(handle, *args)
    except BaseException as error:
        if is_asked_for(error):
            raise
        errors[handle] = error
        scope.cancel()


async def _work(handle: Any, prepare: Prepare, turns: Turns | None) -> None:
    async for message in handle:
        number = 0 if turns is None else turns.draw()
        send = await prepare(message, handle)
        if turns is None:
            await send()
        else:
            await turns.wait(number)
            await send()
            turns.end(number)


class Turns:
    """Lets tasks go on in the order in which they drew a number."""

    def __init__(self) -> None:
        self._drawn = 0
        self._under_way: dict[int, anyio.Event | None] = {}  # in order; with what wakes those that wait

    def draw(self) -> int:
        """Return the next number."""
        self._drawn += 1
        self._under_way[self._drawn] = None
        return self._drawn

    async def wait(self, number: int) -> None:
        """Wait until all smaller numbers have ended."""
        if next(iter(self._under_way)) != number:
            called = self._under_way[number] = anyio.Event()
            await called.wait()

    def end(self, number: int) -> None:
        """Let the next one go on."""
        del self._under_way[number]
        called = next(iter(self._under_way.values()), None)
        if called is not None:
            called.set()


__all__ = ["Prepare", "Turns", "is_asked_for", "work_concurrently"]
