"""A handle on an input port: an AnyIO receive stream that takes chunks and knows what is in hand.

Per message it does nothing but advance the iterator of its chunk: half the time of a coroutine for each
message. What is in hand follows from the place of the iterator.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import ClosedResourceError, EndOfStream, WouldBlock, get_current_task
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectStreamStatistics

from headrace.exceptions import InputEndedError
from headrace.model.message import Meta

from .async_for import is_of_async_for, without_hooks
from .edge import Edge, Settlement, Waiter, unwinding
from .message_ids import MessageIds
from .pace import Pace

if TYPE_CHECKING:
    from .inlet import Inlet

T = TypeVar("T")
_new_id = MessageIds()


class EdgeReceiveStream(MemoryObjectReceiveStream[T]):
    """A handle on an input port: an AnyIO receive stream that knows the message in hand.

    A message is acknowledged by the next receive on the handle, or when ``process()`` returns. After
    ``receive_many`` all of its messages are in hand.

    Attributes:
        edge: Where the messages of the chunk came from; None where there is no chunk.
        waiters: The tasks that wait for a message.
    """

    def __init__(self, inlet: Inlet[T]) -> None:
        self._inlet = inlet
        self._pace = Pace()
        self._closed = False
        self._final = False
        self.waiters: set[Waiter] = set()
        self.edge: Edge[T] | None = None
        self._chunk: list[T] = []
        self._iterator: Iterator[T] = iter(self._chunk)
        self._origins: list[Edge[T]] | None = None  # of each message, where a batch came by several edges
        self._all_in_hand = False  # all that were handed over, or only the last one
        self._settled = 0  # so many of the chunk were settled by name,
        self._not_acknowledged = 0  # and so many of these were dropped or died

    @property
    def closed(self) -> bool:
        """Whether this handle was closed."""
        return self._closed

    # --- what is in hand -----------------------------------------------------------------------------

    @property
    def unhanded(self) -> int:
        """How many messages of the chunk were not handed over yet."""
        return self._iterator.__length_hint__()  # type: ignore[attr-defined, no-any-return]

    def rest(self) -> list[T]:
        """Return the messages of the chunk that were not handed over yet."""
        return self._chunk[len(self._chunk) - self.unhanded :]

    def _in_hand(self) -> range:
        """Return which messages of the chunk are in hand."""
        handed = len(self._chunk) - self.unhanded
        return range(self._settled if self._all_in_hand else max(self._settled, handed - 1), handed)

    @property
    def has_hand(self) -> bool:
        """Whether a message was received and is not settled."""
        return bool(self._in_hand())

    @property
    def hand(self) -> Any:
        """The message in hand, the last one of several; None if there is none."""
        held = self._in_hand()
        return self._chunk[held[-1]] if held else None

    @property
    def hand_edge(self) -> Edge[T] | None:
        """The edge that the message in hand came by; None if there is none."""
        held = self._in_hand()
        return self._origin(held[0]) if held else None

    @property
    def edge_in_hand(self) -> str:
        """The key of the edge that the message in hand came by; empty if there is none."""
        edge = self.hand_edge
        return "" if edge is None else edge.key

    def hands(self) -> list[tuple[Edge[T], T]]:
        """Return the messages in hand, each with the edge that it came by."""
        return [(self._origin(place), self._chunk[place]) for place in self._in_hand()]

    def _origin(self, place: int) -> Edge[T]:
        edge = self.edge if self._origins is None else self._origins[place]
        assert edge is not None
        return edge

    def in_hand_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that are in hand."""
        if self._origins is None:
            return len(self._in_hand()) if self.edge is edge else 0
        return sum(self._origin(place) is edge for place in self._in_hand())

    def acknowledged_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that this chunk had and that were acknowledged."""
        if self.edge is not edge or self._origins is not None:
            return 0  # those of a batch that came by several edges are entered one by one
        return self._in_hand().start - self._not_acknowledged

    def settle(self, outcome: Settlement = "acknowledged", reason: str = "") -> None:
        """Enter in the books what became of all that is in hand; nothing happens if there is nothing.

        Args:
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why it was dropped.

        Raises:
            ValueError: There is no such outcome.
        """
        self.settle_first(len(self._in_hand()), outcome, reason)

    def settle_first(self, number: int, outcome: Settlement = "acknowledged", reason: str = "") -> None:
        """Enter in the books what became of the oldest messages in hand.

        Args:
            number: How many.
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why they were dropped.

        Raises:
            ValueError: There is no such outcome.
        """
        if outcome not in ("acknowledged", "dead_lettered", "dropped"):
            raise ValueError(f"a message is acknowledged, dead_lettered or dropped, not {outcome!r}")
        held = self._in_hand()[:number]
        if not held:
            return
        self._settled = held.stop
        if outcome != "acknowledged":
            self._not_acknowledged += len(held)
        if self._origins is not None or outcome != "acknowledged":
            for place in held:
                self._origin(place).enter(outcome, reason)

    def let_go(self) -> None:
        """Acknowledge what is in hand, and forget the chunk, of which everything was handed over."""
        edge = self.edge
        if edge is not None:
            if self._origins is None:
                edge.settled_before += len(self._chunk) - self._not_acknowledged
            else:
                self.settle()
            self._hold(None, [])

    def _hold(self, edge: Edge[T] | None, chunk: list[T], origins: list[Edge[T]] | None = None) -> None:
        self.edge = edge
        self._chunk = chunk
        self._iterator = iter(chunk)
        self._origins = origins
        self._all_in_hand = False
        self._settled = self._not_acknowledged = 0

    def give_back(self) -> None:
        """Put what was not handed over back on its edge; what is in hand stays."""
        rest = list(self._iterator)
        if rest and self.edge is not None:
            del self._chunk[len(self._chunk) - len(rest) :]
            self.edge.put_back(rest)

    # --- receiving -------------------------------------------------------------------------------------

    async def receive(self) -> T:
        """Return the next message; acknowledges the one before. A cancelled receive loses nothing.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        for message in self._iterator:
            return message
        await self._next_chunk()
        return next(self._iterator)

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
        await self._next_chunk(at_most)
        chunk = self._chunk
        self._iterator = iter(())
        self._all_in_hand = True
        return chunk

    async def take(self) -> Iterator[T]:
        """Return what hands over the next messages: each is in hand from its turn on, until the turn of the next.

        The others stay on the edge, as far as anybody can tell; whoever stops half-way leaves them there. The last
        one stays in hand until the next call. The iterator is good until anything else is received on this handle.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        if not self.unhanded:
            await self._next_chunk()
        return self._iterator

    def take_back(self, number: int) -> None:
        """Let the last messages that ``take`` has handed over be handed over once more, by its next call.

        Args:
            number: How many; not more than were handed over since the last call of ``take`` that waited.
        """
        place = len(self._chunk) - self.unhanded - number
        self._iterator = iter(self._chunk)
        self._iterator.__setstate__(place)  # type: ignore[attr-defined]

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
        while True:
            for message in self._iterator:
                yield message
            try:
                await self._next_chunk()
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
        if not self.unhanded and not self._take():
            if self._inlet.exhausted:
                raise InputEndedError(f"{self._inlet.name}: every sender has ended")
            raise WouldBlock
        return next(self._iterator)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    async def _next_chunk(self, at_most: int | None = None) -> None:
        """Have a chunk with at least one message; acknowledges the one before."""
        self._check_open()
        moved = len(self._chunk)
        self.let_go()
        if self._pace.is_over(moved):
            await self._pace.give_way()
            self._check_open()
        # Meanwhile another task may have received on this handle.
        if not self.unhanded and not self._take(at_most):
            await self._wait(at_most)

    def _take(self, at_most: int | None = None) -> bool:
        """Take a chunk if there is any message; acknowledges the one before."""
        self.let_go()
        inlet = self._inlet
        edge = inlet.next_lane()
        if edge is None:
            return False
        alone = not (inlet.shared or inlet.hungry or inlet.taps)
        size = (at_most or self._pace.span) if alone else 1
        chunk = edge.take(size)
        self._hold(edge, chunk)
        inlet.carrier = self
        if inlet.hungry and inlet.has_stored:
            inlet.wake()
        for tap in inlet.taps:
            tap(chunk[0])
        return True

    async def _wait(self, at_most: int | None) -> None:
        """Wait for a chunk; what wakes this task is passed on if it has no use for it."""
        inlet = self._inlet
        beaten = ready = False
        while not inlet.exhausted:
            waiter = Waiter()
            inlet.add_hungry(waiter, first=beaten)
            self.waiters.add(waiter)
            try:
                if inlet.on_idle is not None:
                    waiter.task = get_current_task().id
                    inlet.on_idle()
                await waiter.wait()
                self._pace.waited()
                self._check_open()
                ready = self.unhanded > 0 or self._take(at_most)
            finally:
                self.waiters.discard(waiter)
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


__all__ = ["EdgeReceiveStream", "Settlement"]
