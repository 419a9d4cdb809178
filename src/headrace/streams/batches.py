"""Batches of messages from one handle: gathered on the side, and in hand only when they are handed over."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from anyio import EndOfStream

from .edge import Edge

if TYPE_CHECKING:
    from .receive_stream import EdgeReceiveStream

T = TypeVar("T")


class Batch(Generic[T]):
    """Messages that a handle gathers, each with the edge that it came by.

    Args:
        stream: The handle.
        size: How many messages make it full.
    """

    __slots__ = ("_size", "_stream", "pairs")

    def __init__(self, stream: EdgeReceiveStream[T], size: int) -> None:
        self.pairs: list[tuple[Edge[T], T]] = []
        self._stream = stream
        self._size = size

    @property
    def is_full(self) -> bool:
        """Whether it has as many messages as were asked for."""
        return len(self.pairs) >= self._size

    def count_of(self, edge: Edge[T]) -> int:
        """Count the messages that came by an edge."""
        return sum(origin is edge for origin, _ in self.pairs)

    def take_more(self) -> bool:
        """Add what there is; returns whether there was anything."""
        self._stream.give_back()
        inlet = self._stream.inlet
        edge = inlet.next_lane()
        if edge is None:
            return False
        more = edge.take(self._size - len(self.pairs))
        self.pairs += [(edge, message) for message in more]
        if inlet.hungry and inlet.has_stored:
            inlet.wake()
        for tap in inlet.taps:
            for message in more:
                tap(message)
        return True

    async def gather(self, within: float) -> None:
        """Take messages until it is full, the time since the first one is up, or no more will come.

        Raises:
            EndOfStream: None will come at all.
        """
        self._stream.give_back()
        await self._stream.next_chunk(self.take_more)
        with suppress(EndOfStream), anyio.move_on_after(within):
            while not self.is_full:
                if not self.take_more():
                    await self._stream.wait(self.take_more)

    def give_back(self) -> None:
        """Put all of it back on its edges, to be received next."""
        self._stream.inlet.put_back_all(self.pairs)


async def batches(stream: EdgeReceiveStream[T], size: int, within: float) -> AsyncGenerator[list[T], None]:
    """Yield batches until the end of a stream; what is gathered when that is cancelled goes back."""
    while True:
        batch = Batch(stream, size)
        stream.gathered.append(batch)
        try:
            await batch.gather(within)
        except EndOfStream:
            return
        except BaseException:
            batch.give_back()
            raise
        finally:
            stream.gathered.remove(batch)
        yield stream.hold_batch(batch)


__all__ = ["Batch", "batches"]
