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
    turns = _Turns() if ordered else None
    handles = [stream, *(stream.clone() for _ in range(number - 1))]
    async with create_task_group() as group:
        for handle in handles:
            group.start_soon(_work, handle, prepare, turns)
    for clone in handles[1:]:  # after an error they stay as they are: supervision looks at what is in hand
        clone.close()


async def _work(handle: Any, prepare: Prepare, turns: _Turns | None) -> None:
    async for message in handle:
        number = 0 if turns is None else turns.draw()
        send = await prepare(message, handle)
        if turns is None:
            await send()
        else:
            await turns.wait(number)
            await send()
            turns.end()


class _Turns:
    """Lets tasks go on in the order in which they drew a number."""

    def __init__(self) -> None:
        self._drawn = self._current = 0
        self._waiting: dict[int, anyio.Event] = {}

    def draw(self) -> int:
        self._drawn += 1
        return self._drawn - 1

    async def wait(self, number: int) -> None:
        if number != self._current:
            called = self._waiting[number] = anyio.Event()
            await called.wait()
            del self._waiting[number]

    def end(self) -> None:
        self._current += 1
        if self._current in self._waiting:
            self._waiting[self._current].set()


__all__ = ["work_concurrently"]
