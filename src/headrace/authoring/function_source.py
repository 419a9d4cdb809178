"""A generator as a source: what it yields is sent in batches where it comes quickly, at once where it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from time import perf_counter
from typing import Any

from anyio.lowlevel import checkpoint

from headrace.model.message import rejections_made

from .function_outputs import Outputs
from .function_stage import LONG_ENOUGH, sorted_out

QUANTUM = 0.0005
"""Seconds after which a source that need not wait lets others have their turn."""

_WIDEST = 1024
_FIRST_SLICE, _SLICE = 64, 256
"""Items taken before the clock is read: so many wait, once, where a source turns slow."""


async def send_yielded(
    produced: Any, outputs: Outputs, is_stopping: Callable[[], bool], *, truthful: bool = False
) -> None:
    """Send what a generator yields until it ends or the system is stopping; it is closed in any case.

    Args:
        produced: The generator, synchronous or not.
        outputs: Where to.
        is_stopping: Whether the system is stopping.
        truthful: Whether all that it yields and that is true is a message.
    """
    if hasattr(produced, "__aiter__"):
        async with _closing(produced):
            async for item in produced:
                await outputs.send(*sorted_out([item]))
                if item is None:
                    await checkpoint()  # nothing was sent, so nothing gave way
                if is_stopping():
                    return
        return
    try:
        turn = _Turn(truthful)
        while await _send_some(produced, outputs, turn) and not is_stopping():
            pass
    finally:
        produced.close()


@asynccontextmanager
async def _closing(produced: Any) -> AsyncIterator[None]:
    """Close an async generator at the end; one that yields in a task group answers with a group."""
    try:
        yield
    finally:
        try:
            await produced.aclose()
        except BaseExceptionGroup as group:
            rest = group.split(GeneratorExit)[1]
            if rest is not None:
                raise rest from None


async def _send_some(items: Any, outputs: Outputs, turn: _Turn) -> bool:
    """Send the next items, all at once; returns whether there may be more.

    Where there is room, nothing is awaited between the generator and the edge.
    """
    room = outputs.look()
    if outputs.is_late:
        await outputs.catch_up()
        room = outputs.look()
    wanted = max(min(room, turn.span), 1)
    batch: list[Any] = []
    rejections = rejections_made()
    error = None
    ended = False
    try:
        until = perf_counter() + LONG_ENOUGH
        few = min(_FIRST_SLICE, wanted)
        while few and not ended:
            before = len(batch)
            batch.extend(islice(items, few))  # 8 at a time would cost 40 ns more an item
            ended = len(batch) - before < few
            few = min(_SLICE, wanted - len(batch)) if perf_counter() < until else 0
    except BaseException as raised:  # what it has yielded before goes first
        error = raised
    truthful = turn.truthful and rejections_made() == rejections  # else the annotation is wrong
    good, rejected = sorted_out(batch, truthful=truthful)
    if room > 0:
        outputs.put(good, rejected)
    else:
        await outputs.send(good, rejected)
    if error is not None:
        raise error
    if turn.is_over(len(batch)) or not (good or rejected):
        await checkpoint()
        turn.begin()
    return not ended


class _Turn:
    """How many items are taken from a generator before the clock is read again; one, where they come slowly."""

    __slots__ = ("_began", "_looked", "span", "truthful")

    def __init__(self, truthful: bool) -> None:
        self.span = 1
        self.truthful = truthful
        self.begin()

    def begin(self) -> None:
        self._began = self._looked = perf_counter()

    def is_over(self, moved: int) -> bool:
        now = perf_counter()
        took, self._looked = now - self._looked, now
        if took > 2 * QUANTUM:
            self.span = max(1, int(moved * QUANTUM / took))
        elif took < QUANTUM and moved == self.span < _WIDEST:
            self.span *= 2
        return now - self._began >= QUANTUM


__all__ = ["QUANTUM", "send_yielded"]
