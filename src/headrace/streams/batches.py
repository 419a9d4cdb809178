"""Batches of messages from one handle: gathered on the side, and in hand only when they are handed over."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from anyio import EndOfStream

from .edge import Edge
from .redelivery import Piece

if TYPE_CHECKING:
    from .receive_stream import EdgeReceiveStream

T = TypeVar("T")


class Batch(Generic[T]):
    """Messages that a handle gathers, in pieces that each came by one edge.

    Args:
        stream: The handle.
        size: How many messages make it full.
        within: Seconds after the first one in which it is handed over, full or not.
    """

    __slots__ = ("_missing", "_size", "_stream", "_within", "pieces")

    def __init__(self, stream: EdgeReceiveStream[T], size: int, within: float = math.inf) -> None:
        self._within = within
        self.pieces: list[Piece] = []
        self._stream = stream
        self._missing = self._size = size

    def count_of(self, edge: Edge[T]) -> int:
        """Count the messages that came by an edge."""
        return sum(len(piece.messages) for piece in self.pieces if piece.edge is edge)

    @property
    def holds_alone(self) -> bool:
        """Whether it has a message that is to be the only one in hand."""
        return any(again.alone for piece in self.pieces for again in piece.again)

    def take_more(self) -> bool:
        """Add what there is; returns whether there was anything, or it is to be handed over as it is.

        A message that is delivered alone is a batch of its own.
        """
        if not self._missing:
            return True
        self._stream.give_back()
        inlet = self._stream.inlet
        if self.pieces and inlet.goes_alone:
            self._missing = 0
            return True
        room = self._stream.room
        if room <= 0:  # another task on this handle has filled the hand
            self._missing = 0 if self.pieces else self._missing
            return True
        piece = inlet.take_piece(min(self._missing, room))
        if piece is None:
            return False
        self.pieces.append(piece)
        is_last = inlet.is_alone(piece) or self._stream.room <= 0
        self._missing = 0 if is_last else self._missing - len(piece.messages)
        return True

    @property
    def waits_for_ever(self) -> bool:
        """Whether nothing but further messages lets it be handed over."""
        return math.isinf(self._within) and self._missing > 0

    def complete(self) -> bool:
        """Hand it over as it is, where there is anything in it; returns whether there is."""
        if self.pieces:
            self._missing = 0
        return bool(self.pieces)

    async def gather(self) -> None:
        """Take messages until it is full, the time since the first one is up, or no more will come.

        Raises:
            EndOfStream: None will come at all.
        """
        while not self.pieces:  # a pause takes back what was gathered, and then it begins anew
            self._stream.give_back()
            await self._stream.next_chunk(self.take_more)
            with suppress(EndOfStream), anyio.move_on_after(self._within):
                while self._missing and self.pieces:
                    if not self.take_more():
                        await self._stream.wait(self.take_more)

    def give_back(self) -> None:
        """Put all of it back on its edges, to be received next."""
        pieces, self.pieces, self._missing = self.pieces, [], self._size
        self._stream.inlet.put_back_pieces(pieces)


class Batches(AsyncIterator[list[T]]):
    """Gives the batches of a stream until its end; one that is cancelled goes back, and is gathered anew.

    Not an async generator: a cancellation would end that for good.
    """

    def __init__(self, stream: EdgeReceiveStream[T], size: int, within: float) -> None:
        self._stream = stream
        self._size = size
        self._within = within

    async def __anext__(self) -> list[T]:
        stream = self._stream
        batch = Batch(stream, self._size, self._within)
        stream.gathered.append(batch)
        try:
            await batch.gather()
        except EndOfStream:
            raise StopAsyncIteration from None
        except BaseException:
            batch.give_back()
            raise
        finally:
            stream.gathered.remove(batch)
        return stream.hold_batch(batch)


__all__ = ["Batch", "Batches"]
