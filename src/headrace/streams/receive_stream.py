"""A handle on an input port: an AnyIO receive stream that takes chunks and knows what is in hand.

Per message it does nothing but advance the iterator of its chunk: half the time of a coroutine for each
message. What is in hand follows from the place of the iterator.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from anyio import ClosedResourceError, EndOfStream, WouldBlock, move_on_after
from anyio.streams.memory import MemoryObjectStreamStatistics
from msgspec.structs import replace

from headrace.exceptions import InputEndedError
from headrace.model.message import Meta

from .async_for import is_of_async_for, without_hooks
from .batches import Batches
from .edge import Waiter, unwinding
from .hand import Hand
from .holding import HoldingStream
from .message_ids import MessageIds
from .pace import Pace
from .redelivering import next_taking

if TYPE_CHECKING:
    from .inlet import Inlet

T = TypeVar("T")
_new_id = MessageIds()
_SHARE = 64  # messages from one sender of several in a row: spans change with time, shares should not


class EdgeReceiveStream(HoldingStream[T]):
    """A handle on an input port: an AnyIO receive stream that knows the message in hand.

    A message is acknowledged by the next receive on the handle, or when ``process()`` returns. After
    ``receive_many`` all of its messages are in hand.

    Attributes:
        waiters: The tasks that wait for a message.
    """

    __slots__ = ("_final", "_loops", "_pace", "waiters")

    def __init__(self, inlet: Inlet[T], hand: Hand[T] | None = None) -> None:
        super().__init__(inlet, hand)
        self._pace = Pace()
        self._final = False
        self._loops = 0  # `async for` under way
        self.waiters: list[Waiter] = []

    # --- receiving -------------------------------------------------------------------------------------

    async def receive(self) -> T:
        """Return the next message; acknowledges the one before. A cancelled receive loses nothing.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        for message in self._hand.iterator:
            return message
        await self.next_chunk(self._share_or_take)
        return next(self._hand.iterator)

    async def receive_with_meta(self) -> tuple[T, Meta]:
        """Return the next message with what is known about it.

        Its id is made now, and stays the same where it is delivered again; so does all but the attempt.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        message = await self.receive()
        meta = self.meta or Meta(_new_id(time.time()))
        if self.tried:
            meta = replace(meta, attempt=self.tried + 1)
        self.note(0, meta)
        return message, meta

    async def receive_many(self, at_most: int | None = None) -> list[T]:
        """Return the messages that there are, at least one; acknowledges all that was in hand before.

        All of them are in hand until the next receive. A cancelled call loses nothing.

        Args:
            at_most: How many; what suits the fairness quantum unless said, and 1 where others might want one too.

        Raises:
            ValueError: ``at_most`` is below 1.
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        if at_most is not None and at_most < 1:
            raise ValueError(f"at least 1 message is received, not {at_most!r}")
        self._check_open()
        self.give_back()
        await self.next_chunk(lambda: self._take(at_most))
        return self._hand.take_all()

    def batch(self, n: int, within: float | None = None) -> AsyncIterator[list[T]]:
        """Iterate in batches: ``async for messages in stream.batch(100, within=0.5)``.

        All messages of a batch are in hand until the next one is asked for. Where the iteration is cancelled,
        what was gathered is received again next; nothing is lost.

        Args:
            n: How many messages make a batch.
            within: Seconds after its first message in which a batch is handed over, full or not; None to wait
                until it is full. The last one, at the end of the stream, may be smaller too.

        Raises:
            ValueError: ``n`` is below 1, or ``within`` is negative.
            ClosedResourceError: This handle is closed.
        """
        if n < 1 or (within is not None and not within >= 0):
            raise ValueError(
                f"a batch has at least 1 message within at least 0 s, not {n!r} within {within!r}"
            )
        return Batches(self, n, math.inf if within is None else within)

    async def take(self) -> Iterator[T]:
        """Return what hands over the next messages: each is in hand from its turn on, until the turn of the next.

        The others stay on the edge, as far as anybody can tell; whoever stops half-way leaves them there. The last
        one stays in hand until the next call. The iterator is good until anything else is received on this handle.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        if not self.unhanded:
            await self.next_chunk(self._share_or_take)
        return self._hand.iterator

    def take_back(self, number: int) -> None:
        """Let the last messages that ``take`` has handed over be handed over once more, by its next call.

        Args:
            number: How many; not more than were handed over since the last call of ``take`` that waited.
        """
        self._hand.rewind(number)

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    def __aiter__(self) -> AsyncIterator[T]:  # type: ignore[override]  # not Self: see below
        """Return what ``async for`` iterates.

        An async generator takes half the time of ``__anext__``, but a cancellation ends it. ``async for`` ends then
        too, and nobody notices; who asks for ``aiter(stream)`` may go on with it, and gets the stream itself.
        """
        if is_of_async_for(sys._getframe(1)):
            return without_hooks(self._messages())
        return self

    async def _messages(self) -> AsyncGenerator[T, None]:
        self._loops += 1
        self.inlet.crowded |= self._loops > 1
        try:
            while True:
                for message in self._hand.iterator:
                    yield message
                try:
                    await self.next_chunk(self._share_or_take)
                except EndOfStream:
                    return
        finally:
            self._loops -= 1

    def receive_nowait(self) -> T:
        """Return the next message if there is one now; acknowledges the one before.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
            WouldBlock: There is no message now.
        """
        self._check_open()
        if not self._share_or_take():
            if self.inlet.exhausted:
                raise InputEndedError(f"{self.inlet.name}: every sender has ended")
            raise WouldBlock
        return next(self._hand.iterator)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    async def next_chunk(self, take: Callable[[], bool]) -> None:
        """Have a chunk with at least one message; acknowledges the one before.

        Args:
            take: Takes it; returns whether there was one.
        """
        self._check_open()
        moved = len(self._hand.chunk)
        if not self._hand.unhanded:  # else another task on this handle has taken a chunk meanwhile
            self._hand.let_go()
            if self.inlet.is_dry:
                await self.wait(take)
                return
        if self._pace.is_over(moved):
            await self._pace.give_way()
            self._check_open()
        if not take():
            await self.wait(take)

    def _share_or_take(self) -> bool:
        """Have a chunk if there is any message: the rest of what another task on this handle took, or a new one."""
        return self._hand.unhanded > 0 or self._take()

    def _take(self, at_most: int | None = None) -> bool:
        """Take a chunk if there is any message; acknowledges the one before."""
        if self._hand.edge is not None:
            self.give_back()
            self._hand.let_go()
        inlet = self.inlet
        if inlet.line is not None:
            return self._take_in_line(at_most)
        edge = inlet.next_lane()
        if edge is None:
            return False
        alone = not (inlet.shared or inlet.hungry or inlet.taps)
        size = at_most or (self._pace.span if alone else 1)
        if len(inlet.lanes) > 1:
            size = min(size, _SHARE)
        chunk = edge.take(size)
        self._hand.hold(edge, chunk, next_taking())
        inlet.carrier = self
        if inlet.hungry and inlet.has_stored:
            inlet.wake()
        for tap in inlet.taps:
            for message in chunk:
                tap(message)
        return True

    def _usual_size(self) -> int:
        """Return how many messages suit the fairness quantum; 1 where others might want one too."""
        inlet = self.inlet
        if inlet.shared or inlet.hungry or inlet.taps:
            return 1
        return min(self._pace.span, _SHARE) if len(inlet.lanes) > 1 else self._pace.span

    def _take_in_line(self, at_most: int | None) -> bool:
        """Take a chunk while messages are to be delivered again: these first, and one by one."""
        inlet = self.inlet
        piece = inlet.take_piece(at_most or 1, at_most or self._usual_size())
        if piece is None:
            return False
        self._hand.hold_pieces([piece])
        inlet.carrier = self
        return True

    async def wait(self, take: Callable[[], bool]) -> None:
        """Wait until ``take`` gets something; what wakes this task is passed on if it has no use for it."""
        inlet = self.inlet
        beaten = ready = False
        while not inlet.exhausted:
            waiter = Waiter()
            inlet.add_hungry(waiter, first=beaten)
            self.waiters.append(waiter)
            inlet.crowded |= len(self.waiters) > 1
            try:
                if inlet.on_idle is not None:
                    inlet.on_idle()
                if inlet.line is None:
                    await waiter.wait()
                else:
                    await self._wait_in_line(waiter)
                self._pace.waited()
                self._check_open()
                ready = take()
            finally:
                self.waiters.remove(waiter)
                if not waiter.served:
                    inlet.forget_hungry(waiter)
                elif not ready and inlet.hungry and inlet.has_stored:
                    inlet.wake()
            if ready:
                return
            beaten = True
        if inlet.on_idle is not None:
            inlet.on_idle()
        raise InputEndedError(f"{inlet.name}: every sender has ended")

    async def _wait_in_line(self, waiter: Waiter) -> None:
        """Wait to be served, but no longer than until a message is due or a hindrance is given up."""
        inlet = self.inlet
        with move_on_after(inlet.patience()) as scope:
            await waiter.wait()
        if scope.cancelled_caught and inlet.is_held_back:
            inlet.lift()

    # --- the handle itself -----------------------------------------------------------------------------

    def clone(self) -> EdgeReceiveStream[T]:
        """Return another handle on this port; each message goes to one of them."""
        self._check_open()
        return self.inlet.open()

    def close(self) -> None:
        """Stop reading for good, once all handles of the port are closed.

        While an exception unwinds, the end waits for what supervision decides about the component.
        """
        self.shut()
        if not self._final and not unwinding():
            self._final = True
            self.inlet.close_handle(self)

    def shut(self) -> None:
        """Refuse further calls, and those that wait; the port's end is not touched."""
        self._closed = True
        self.give_back()
        for waiter in self.waiters:
            if not waiter.served:
                self.inlet.forget_hungry(waiter)
                waiter.serve()

    def retire(self) -> None:
        """Refuse further calls for good, because the life of the component that has this handle is over."""
        self._final = self._retired = True
        self.shut()

    async def aclose(self) -> None:
        """Do what ``close`` does."""
        self.close()

    def statistics(self) -> MemoryObjectStreamStatistics:
        """Return the numbers of the port's edges, added up."""
        lanes = self.inlet.lanes
        return MemoryObjectStreamStatistics(
            sum(edge.buffered for edge in lanes),
            sum(edge.options.buffer_size for edge in lanes),
            sum(edge.outlet.open_handles for edge in lanes),
            self.inlet.open_handles,
            sum(len(edge.blocked) for edge in lanes),
            len(self.inlet.hungry),
        )

    def __enter__(self) -> EdgeReceiveStream[T]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        """Do nothing: the edge owns its end, so a forgotten handle leaves nothing open."""

    def __repr__(self) -> str:
        return f"<EdgeReceiveStream {self.inlet.name}{' closed' if self._closed else ''}>"


__all__ = ["EdgeReceiveStream"]
