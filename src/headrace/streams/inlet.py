"""Input ports: what ``receive`` does when one or several edges lead into a port, and what is in hand."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

from anyio import ClosedResourceError, EndOfStream, WouldBlock, get_current_task
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectStreamStatistics

from headrace.exceptions import InputEndedError
from headrace.model.message import Meta

from .edge import Edge, Waiter, unwinding
from .message_ids import MessageIds
from .pace import Pace

T = TypeVar("T")
_SHARE = 8
_new_id = MessageIds()
Settlement = Literal["acknowledged", "dead_lettered", "dropped"]


class Inlet(Generic[T]):
    """An input port: the edges that lead into it, its handles, and the tasks that wait for a message.

    ``lane`` is the edge that the fast path reads. Where there are several, it moves on, in turn, when that
    edge is empty and after ``_SHARE`` messages, so that all senders get equal shares. With taps there is none.
    """

    __slots__ = ("_turn", "ended", "handles", "hungry", "lane", "lanes", "name", "on_idle", "taps")

    def __init__(self, name: str) -> None:
        self.name = name
        self.lanes: list[Edge[T]] = []
        self.lane: Edge[T] | None = None
        self.handles: set[EdgeReceiveStream[T]] = set()
        self.hungry: deque[Waiter] = deque()
        self.on_idle: Callable[[], None] | None = None
        self.taps: tuple[Callable[[T], None], ...] = ()
        self.ended = False
        self._turn = 0

    def add(self, edge: Edge[T]) -> None:
        """Let another edge lead into this port."""
        self.lanes.append(edge)
        self.lane = None if self.taps else edge

    def add_tap(self, tap: Callable[[T], None]) -> None:
        """Call ``tap`` with each message that is handed over, from now on; it must be quick and not raise."""
        self.taps = (*self.taps, tap)
        self.lane = None

    def remove_tap(self, tap: Callable[[T], None]) -> None:
        """Do not call ``tap`` any more."""
        self.taps = tuple(other for other in self.taps if other != tap)

    def put_back(self, edge: Edge[T], messages: Iterable[T]) -> None:
        """Let messages be received next, before what is buffered; capacity does not count for them."""
        edge.buffer.extendleft(reversed(list(messages)))
        while self.hungry and edge.buffer:
            self.wake()

    def open(self) -> EdgeReceiveStream[T]:
        """Return a new handle on this port."""
        handle = EdgeReceiveStream(self)
        self.handles.add(handle)
        return handle

    @property
    def open_handles(self) -> int:
        """How many handles are not closed."""
        return sum(not handle.closed for handle in tuple(self.handles))

    @property
    def has_message(self) -> bool:
        """Whether anything is buffered."""
        return any(edge.buffer for edge in self.lanes)

    @property
    def exhausted(self) -> bool:
        """Whether every sender has ended and nothing is buffered."""
        return all(edge.sender_ended and not edge.buffer for edge in self.lanes)

    @property
    def idle(self) -> bool:
        """Whether nothing is buffered and nothing is in hand."""
        return not self.has_message and not any(handle.has_hand for handle in self.handles)

    def in_hand_of(self, edge: Edge[T]) -> int:
        """Count the messages of one edge that handles have in hand."""
        return sum(handle.hand_edge is edge for handle in tuple(self.handles))

    def end(self) -> None:
        """Stop reading for good: handles are closed, what is buffered is dropped, and senders are told."""
        if not self.ended:
            self.ended = True
            for handle in self.handles:
                handle.shut()
            for edge in self.lanes:
                edge.end_reader()

    def settle_all(self, outcome: Settlement, reason: str = "") -> list[tuple[Edge[T], T]]:
        """Settle what every handle has in hand, and return those messages with their edges."""
        settled = [(h.hand_edge, h.hand) for h in self.handles if h.hand_edge is not None]
        for handle in self.handles:
            handle.settle(outcome, reason)
        self.handles = {handle for handle in self.handles if not handle.closed}
        return settled

    def close_handle(self, handle: EdgeReceiveStream[T]) -> None:
        """Take note of a closed handle; the last one to close ends the reading side."""
        if not handle.has_hand:
            self.handles.discard(handle)
        if not self.open_handles:
            self.end()

    def sender_has_ended(self) -> None:
        """Tell waiting readers that a sender will not send any more."""
        while self.hungry:
            self.wake()
        if self.on_idle is not None:
            self.on_idle()

    def wake(self) -> None:
        """Serve the first waiting reader."""
        self.hungry.popleft().serve()

    def take(self) -> Edge[T] | None:
        """Return the next edge, in turn, that has a message, or None."""
        lanes = self.lanes
        for _ in lanes:
            self._turn = (self._turn + 1) % len(lanes)
            edge = lanes[self._turn]
            if edge.buffer:
                self.lane = None if self.taps else edge
                return edge
        return None


class EdgeReceiveStream(MemoryObjectReceiveStream[T]):
    """A handle on an input port: an AnyIO receive stream that knows the message in hand.

    A message is acknowledged by the next receive on the handle, or when ``process()`` returns.
    """

    def __init__(self, inlet: Inlet[T]) -> None:
        self._inlet = inlet
        self._pace = Pace()
        self._closed = False
        self._final = False
        self.waiters: set[Waiter] = set()
        self.hand_edge: Edge[T] | None = None
        self.hand: Any = None

    @property
    def closed(self) -> bool:
        """Whether this handle was closed."""
        return self._closed

    @property
    def has_hand(self) -> bool:
        """Whether a message was received and is not settled."""
        return self.hand_edge is not None

    @property
    def edge_in_hand(self) -> str:
        """The key of the edge that the message in hand came by; empty if there is none."""
        return "" if self.hand_edge is None else self.hand_edge.key

    def settle(self, outcome: Settlement = "acknowledged", reason: str = "") -> None:
        """Enter in the books what became of the message in hand; nothing happens if there is none.

        Args:
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why it was dropped.

        Raises:
            ValueError: There is no such outcome.
        """
        edge = self.hand_edge
        if edge is None:
            return
        if outcome == "acknowledged":
            edge.acknowledged += 1
        elif outcome == "dead_lettered":
            edge.dead_lettered += 1
        elif outcome == "dropped":
            edge.drop(reason or "dropped")
        else:
            raise ValueError(f"a message is acknowledged, dead_lettered or dropped, not {outcome!r}")
        self.hand_edge = self.hand = None

    async def receive(self) -> T:
        """Return the next message; acknowledges the one before. A cancelled receive loses nothing.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        # Written out here and in __anext__: one coroutine less is a sixth of the time of a message.
        pace = self._pace
        edge = self._inlet.lane
        if not pace.left or edge is None or not edge.buffer:
            return await self._receive_slowly()
        pace.left -= 1
        done = self.hand_edge
        if done is not None:
            done.acknowledged += 1
        self.hand_edge = edge
        self.hand = item = edge.buffer.popleft()
        if edge.blocked:
            edge.wake_sender()
        return item

    async def receive_with_meta(self) -> tuple[T, Meta]:
        """Return the next message with what is known about it; its id is made now.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        message = await self.receive()
        return message, Meta(_new_id(time.time()))

    async def __anext__(self) -> T:
        pace = self._pace
        edge = self._inlet.lane
        if not pace.left or edge is None or not edge.buffer:
            try:
                return await self._receive_slowly()
            except EndOfStream:
                raise StopAsyncIteration from None
        pace.left -= 1
        done = self.hand_edge
        if done is not None:
            done.acknowledged += 1
        self.hand_edge = edge
        self.hand = item = edge.buffer.popleft()
        if edge.blocked:
            edge.wake_sender()
        return item

    def __aiter__(self) -> EdgeReceiveStream[T]:
        return self

    async def _receive_slowly(self) -> T:
        self._check_open()
        self.settle()
        if self._pace.left:
            self._pace.left -= 1
        else:
            await self._pace.look()
            self._check_open()
        edge = self._inlet.take() or await self._wait()
        if len(self._inlet.lanes) > 1:
            self._pace.left = min(self._pace.left, _SHARE - 1)
        return self._hand_over(edge)

    def receive_nowait(self) -> T:
        """Return the next message if there is one now; acknowledges the one before.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
            WouldBlock: There is no message now.
        """
        self._check_open()
        self.settle()
        edge = self._inlet.take()
        if edge is None:
            if self._inlet.exhausted:
                raise InputEndedError(f"{self._inlet.name}: every sender has ended")
            raise WouldBlock
        return self._hand_over(edge)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    def _hand_over(self, edge: Edge[T]) -> T:
        self.settle()  # another task may have received on this handle while this one waited
        item = edge.buffer.popleft()
        self.hand_edge = edge
        self.hand = item
        edge.wake_sender()
        for tap in self._inlet.taps:
            tap(item)
        return item

    async def _wait(self) -> Edge[T]:
        """Wait for a message; what wakes this task is passed on if it has no use for it."""
        inlet = self._inlet
        beaten = False
        while not inlet.exhausted:
            waiter = Waiter()
            inlet.hungry.appendleft(waiter) if beaten else inlet.hungry.append(waiter)
            self.waiters.add(waiter)
            edge = None
            try:
                if inlet.on_idle is not None:
                    waiter.task = get_current_task().id
                    inlet.on_idle()
                await waiter.wait()
                self._pace.waited()
                self._check_open()
                edge = inlet.take()
            finally:
                self.waiters.discard(waiter)
                if not waiter.served:
                    inlet.hungry.remove(waiter)
                elif edge is None and inlet.hungry and inlet.has_message:
                    inlet.wake()
            if edge is not None:
                return edge
            beaten = True
        if inlet.on_idle is not None:
            inlet.on_idle()
        raise InputEndedError(f"{inlet.name}: every sender has ended")

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
        self._pace.stop()
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
            sum(len(edge.buffer) for edge in lanes),
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


AnyInlet = Inlet[Any]

__all__ = ["AnyInlet", "EdgeReceiveStream", "Inlet", "Settlement"]
