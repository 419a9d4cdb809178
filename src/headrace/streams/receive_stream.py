"""A handle on an input port: an AnyIO receive stream that takes chunks and knows what is in hand.

Per message it does nothing but advance the iterator of its chunk: half the time of a coroutine for each
message. What is in hand follows from the place of the iterator.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import suppress
from dis import opmap
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import ClosedResourceError, EndOfStream, WouldBlock, get_current_task
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectStreamStatistics

from headrace.exceptions import InputEndedError
from headrace.model.message import Meta

from .edge import Edge, Settlement, Waiter, unwinding
from .hand import Gathered, Hand
from .message_ids import MessageIds
from .pace import Pace

if TYPE_CHECKING:
    from .inlet import Inlet

T = TypeVar("T")
_new_id = MessageIds()
_OF_ASYNC_FOR = opmap["GET_AITER"]


class EdgeReceiveStream(MemoryObjectReceiveStream[T]):
    """A handle on an input port: an AnyIO receive stream that knows the message in hand.

    A message is acknowledged by the next receive on the handle, or when ``process()`` returns. After
    ``receive_many`` all of its messages are in hand.

    Attributes:
        waiters: The tasks that wait for a message.
    """

    __slots__ = ("_closed", "_final", "_gathered", "_hand", "_inlet", "_pace", "waiters")

    def __init__(self, inlet: Inlet[T]) -> None:
        self._inlet = inlet
        self._pace = Pace()
        self._closed = False
        self._final = False
        self.waiters: list[Waiter] = []
        self._hand: Hand[T] = Hand()
        self._gathered: dict[int, Gathered[T]] = {}  # for batches not handed over yet

    @property
    def closed(self) -> bool:
        """Whether this handle was closed."""
        return self._closed

    # --- what is in hand -----------------------------------------------------------------------------

    @property
    def edge(self) -> Edge[T] | None:
        """Where the messages of the chunk came from; None where there is no chunk."""
        return self._hand.edge

    @property
    def unhanded(self) -> int:
        """How many messages of the chunk were not handed over yet."""
        return self._hand.unhanded

    def rest(self) -> list[T]:
        """Return the messages of the chunk that were not handed over yet."""
        return self._hand.rest()

    @property
    def has_hand(self) -> bool:
        """Whether a message was received and is not settled."""
        return bool(self._hand.held()) or any(self._gathered.values())

    @property
    def hand(self) -> Any:
        """The message in hand, the last one of several; None if there is none."""
        held = self.hands()
        return held[-1][1] if held else None

    @property
    def hand_edge(self) -> Edge[T] | None:
        """The edge that the message in hand came by; None if there is none."""
        held = self.hands()
        return held[0][0] if held else None

    @property
    def edge_in_hand(self) -> str:
        """The key of the edge that the message in hand came by; empty if there is none."""
        edge = self.hand_edge
        return "" if edge is None else edge.key

    def hands(self) -> list[tuple[Edge[T], T]]:
        """Return the messages in hand, each with the edge that it came by."""
        return self._hand.pairs()

    def in_hand_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that are in hand, or gathered for a batch."""
        gathered = sum(batch.count_of(edge) for batch in self._gathered.values())
        return gathered + self._hand.count_of(edge)

    def acknowledged_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that this chunk had and that were acknowledged."""
        return self._hand.acknowledged_of(edge)

    def settle(self, outcome: Settlement = "acknowledged", reason: str = "") -> None:
        """Enter in the books what became of all that is in hand; nothing happens if there is nothing.

        Args:
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why it was dropped.

        Raises:
            ValueError: There is no such outcome.
        """
        self._hand.settle(len(self._hand.held()), outcome, reason)

    def settle_first(self, number: int, outcome: Settlement = "acknowledged", reason: str = "") -> None:
        """Enter in the books what became of the oldest messages in hand.

        Args:
            number: How many.
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why they were dropped.

        Raises:
            ValueError: There is no such outcome.
        """
        self._hand.settle(number, outcome, reason)

    def let_go(self) -> None:
        """Acknowledge what is in hand, and forget the chunk, of which everything was handed over."""
        self._hand.let_go()

    def give_back(self) -> None:
        """Put what was not handed over back on its edge; what is in hand stays."""
        if self._hand.give_back() and self._inlet.hungry:
            self._inlet.wake()

    # --- receiving -------------------------------------------------------------------------------------

    async def receive(self) -> T:
        """Return the next message; acknowledges the one before. A cancelled receive loses nothing.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        for message in self._hand.iterator:
            return message
        await self._next_chunk(self._share_or_take)
        return next(self._hand.iterator)

    async def receive_with_meta(self) -> tuple[T, Meta]:
        """Return the next message with what is known about it; its id is made now.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        message = await self.receive()
        return message, Meta(_new_id(time.time()))

    async def receive_many(self, at_most: int | None = None) -> list[T]:
        """Return the messages that there are, at least one; acknowledges all that was in hand before.

        All of them are in hand until the next receive. A cancelled call loses nothing.

        Args:
            at_most: How many at most; as many as suit the fairness quantum unless said.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        self._check_open()
        self.give_back()
        await self._next_chunk(lambda: self._take(at_most))
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
        return _without_hooks(self._batches(n, math.inf if within is None else within))

    async def _batches(self, n: int, within: float) -> AsyncGenerator[list[T], None]:
        while True:
            batch: Gathered[T] = Gathered()
            self._gathered[id(batch)] = batch
            try:
                await self._gather(batch, n, within)
            except BaseException as error:
                del self._gathered[id(batch)]
                self._return(batch)
                if isinstance(error, EndOfStream):
                    return
                raise
            del self._gathered[id(batch)]
            self.give_back()
            self.let_go()
            yield self._hand.hold_batch(batch)

    async def _gather(self, batch: Gathered[T], n: int, within: float) -> None:
        """Take messages until there are ``n``, the time is up, or no more will come."""
        self.give_back()
        await self._next_chunk(lambda: self._take_more(batch, n))
        with suppress(EndOfStream), anyio.move_on_after(within):
            while len(batch) < n:
                if not self._take_more(batch, n):
                    await self._wait(lambda: self._take_more(batch, n))

    def _take_more(self, batch: Gathered[T], n: int) -> bool:
        """Add what there is to a batch; returns whether there was anything."""
        self.give_back()
        edge = self._inlet.next_lane()
        if edge is None:
            return False
        more = edge.take(n - len(batch))
        batch.add(edge, more)
        if self._inlet.hungry and self._inlet.has_stored:
            self._inlet.wake()
        for tap in self._inlet.taps:
            for message in more:
                tap(message)
        return True

    def _return(self, batch: Gathered[T]) -> None:
        """Put what was gathered back on its edges, to be received next."""
        for edge, messages in batch.by_edge():
            self._inlet.put_back(edge, messages)

    async def take(self) -> Iterator[T]:
        """Return what hands over the next messages: each is in hand from its turn on, until the turn of the next.

        The others stay on the edge, as far as anybody can tell; whoever stops half-way leaves them there. The last
        one stays in hand until the next call. The iterator is good until anything else is received on this handle.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        if not self.unhanded:
            await self._next_chunk(self._share_or_take)
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
        caller = sys._getframe(1)
        if caller.f_code.co_code[caller.f_lasti] == _OF_ASYNC_FOR:
            return _without_hooks(self._messages())
        return self

    async def _messages(self) -> AsyncGenerator[T, None]:
        while True:
            for message in self._hand.iterator:
                yield message
            try:
                await self._next_chunk(self._share_or_take)
            except EndOfStream:
                return

    def receive_nowait(self) -> T:
        """Return the next message if there is one now; acknowledges the one before.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
            WouldBlock: There is no message now.
        """
        self._check_open()
        if not self._share_or_take():
            if self._inlet.exhausted:
                raise InputEndedError(f"{self._inlet.name}: every sender has ended")
            raise WouldBlock
        return next(self._hand.iterator)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    async def _next_chunk(self, take: Callable[[], bool]) -> None:
        """Have a chunk with at least one message; acknowledges the one before.

        Args:
            take: Takes it; returns whether there was one.
        """
        self._check_open()
        moved = len(self._hand.chunk)
        if not self.unhanded:  # else another task on this handle has taken a chunk meanwhile
            self.let_go()
        if self._pace.is_over(moved):
            await self._pace.give_way()
            self._check_open()
        if not take():
            await self._wait(take)

    def _share_or_take(self) -> bool:
        """Have a chunk if there is any message: the rest of what another task on this handle took, or a new one."""
        return self.unhanded > 0 or self._take()

    def _take(self, at_most: int | None = None) -> bool:
        """Take a chunk if there is any message; acknowledges the one before."""
        self.give_back()
        self.let_go()
        inlet = self._inlet
        edge = inlet.next_lane()
        if edge is None:
            return False
        alone = not (inlet.shared or inlet.hungry or inlet.taps)
        size = (at_most or self._pace.span) if alone else 1
        chunk = edge.take(size)
        self._hand.hold(edge, chunk)
        inlet.carrier = self
        if inlet.hungry and inlet.has_stored:
            inlet.wake()
        for tap in inlet.taps:
            tap(chunk[0])
        return True

    async def _wait(self, take: Callable[[], bool]) -> None:
        """Wait until ``take`` gets something; what wakes this task is passed on if it has no use for it."""
        inlet = self._inlet
        beaten = ready = False
        while not inlet.exhausted:
            waiter = Waiter()
            inlet.add_hungry(waiter, first=beaten)
            self.waiters.append(waiter)
            try:
                if inlet.on_idle is not None:
                    waiter.task = get_current_task().id
                    inlet.on_idle()
                await waiter.wait()
                self._pace.waited()
                self._check_open()
                ready = take()
            finally:
                self.waiters.remove(waiter)
                if not waiter.served:
                    inlet.hungry.remove(waiter)
                elif not ready and inlet.hungry and inlet.has_stored:
                    inlet.wake()
            if ready:
                return
            beaten = True
        if inlet.on_idle is not None:
            inlet.on_idle()
        raise InputEndedError(f"{inlet.name}: every sender has ended")

    # --- the handle itself -----------------------------------------------------------------------------

    def clone(self) -> EdgeReceiveStream[T]:
        """Return another handle on this port; each message goes to one of them."""
        self._check_open()
        return self._inlet.open()

    def close(self) -> None:
        """Stop reading for good, once all handles of the port are closed.

        While an exception unwinds, the end waits for what supervision decides about the component.
        """
        self.shut()
        if not self._final and not unwinding():
            self._final = True
            self._inlet.close_handle(self)

    def shut(self) -> None:
        """Refuse further calls, and those that wait; the port's end is not touched."""
        self._closed = True
        self.give_back()
        for waiter in self.waiters:
            if not waiter.served:
                self._inlet.hungry.remove(waiter)
                waiter.serve()

    async def aclose(self) -> None:
        """Do what ``close`` does."""
        self.close()

    def statistics(self) -> MemoryObjectStreamStatistics:
        """Return the numbers of the port's edges, added up."""
        lanes = self._inlet.lanes
        return MemoryObjectStreamStatistics(
            sum(edge.buffered for edge in lanes),
            sum(edge.options.buffer_size for edge in lanes),
            sum(edge.outlet.open_handles for edge in lanes),
            self._inlet.open_handles,
            sum(len(edge.blocked) for edge in lanes),
            len(self._inlet.hungry),
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
        return f"<EdgeReceiveStream {self._inlet.name}{' closed' if self._closed else ''}>"


def _without_hooks(generator: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Let no event loop look after an async generator that has nothing to clean up.

    Left half-way (``break``), asyncio would start a task to close it, and trio would warn.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        generator.__anext__().close()  # asks for the hooks, and does not begin
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return generator


__all__ = ["EdgeReceiveStream"]
