"""One function at work on several messages at once: as many tasks, each with a handle and a message in hand.

So the books need nothing new: what is in hand, acknowledged or dead is known for each handle by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio import create_task_group

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
    async with create_task_group() as group:
        for handle in handles:
            group.start_soon(_work, handle, prepare, turns)
    for clone in handles[1:]:  # after an error they stay as they are: supervision looks at what is in hand
        clone.close()


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


__all__ = ["Prepare", "Turns", "work_concurrently"]
