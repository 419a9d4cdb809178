"""A handle on an output port: an AnyIO send stream, without a checkpoint where it need not wait.

The usual ``send`` is one comparison and one append: 0.1 us, most of it for the coroutine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import ClosedResourceError, WouldBlock
from anyio.streams.memory import MemoryObjectSendStream, MemoryObjectStreamStatistics

from .edge import Edge, Waiter, unwinding
from .gate import Gate
from .pace import Pace

if TYPE_CHECKING:
    from .outlet import Outlet

T = TypeVar("T")
_LARGEST_TURN = 64


class _Shut:
    """What a closed handle appends to: it never has room, so that the long way notices the close."""

    pending: tuple[Any, ...] = ()
    room = 0


class EdgeSendStream(MemoryObjectSendStream[T]):
    """A handle on an output port.

    Attributes:
        waiters: The tasks that wait for room.
    """

    __slots__ = ("_closed", "_final", "_open", "_outlet", "_pace", "_seen", "_turn_ends", "waiters")

    def __init__(self, outlet: Outlet[T]) -> None:
        self._outlet = outlet
        self._open: Any = outlet
        self._pace = Pace()
        self._seen = 0  # how many messages the port had accepted when this handle last looked at the clock
        self._turn_ends = (
            0  # how many it will have accepted when the turn of this handle is over; 0 outside one
        )
        self._closed = False
        self._final = False
        self.waiters: list[Waiter] = []

    @property
    def outlet(self) -> Outlet[T]:
        """The port."""
        return self._outlet

    @property
    def closed(self) -> bool:
        """Whether this handle was closed."""
        return self._closed

    async def send(self, item: T) -> None:
        """Send a message; waits while a connected edge is full. A cancelled send has reached no edge.

        Only where an edge confirms what it stores (a durable or a remote one), it may have.

        Raises:
            ClosedResourceError: This handle is closed.
            BrokenResourceError: Every reader has ended for good.
        """
        outlet = self._open
        if len(outlet.pending) < outlet.room:
            outlet.pending.append(item)
        else:
            await self._send_slowly(item)

    async def send_many(self, items: Iterable[T]) -> None:
        """Send messages in their order; waits where an edge is full.

        A cancelled call has sent the first ones and none of the others, as a loop of ``send`` would have.

        Raises:
            ClosedResourceError: This handle is closed.
            BrokenResourceError: Every reader has ended for good.
        """
        rest = list(items)
        while rest:
            del rest[: self.send_some(rest)]
            if rest:
                await self._send_slowly(rest.pop(0))

    def send_some(self, items: Sequence[T]) -> int:
        """Send as many of the first messages as there is plain room for; returns how many."""
        outlet = self._open
        count: int = min(outlet.room - len(outlet.pending), len(items))
        if count <= 0:
            return 0
        outlet.pending += items if count == len(items) else items[:count]
        return count

    @property
    def free(self) -> int:
        """How many messages can be sent at once and without waiting; 0 where a send may wait, drop or fail."""
        return 0 if self._closed else self._outlet.free

    def rehearse(self, items: Sequence[T]) -> None:
        """Raise what keys or copies of messages raise, before any of them is sent."""
        self._outlet.rehearse(items)

    def put_all(self, items: Sequence[T]) -> None:
        """Send all messages at once, without waiting, even if that exceeds the capacity of an edge.

        Raises:
            ClosedResourceError: This handle is closed.
            BrokenResourceError: Every reader has ended for good.
        """
        outlet = self._open
        if len(outlet.pending) + len(items) <= outlet.room:
            outlet.pending += items
        else:
            self._check_open()
            self._outlet.accept_all(items)

    async def _send_slowly(self, item: T) -> None:
        self._check_open()
        outlet = self._outlet
        if self._pace.span > 1 and outlet.hand_over(item, self._pace.span - 1):
            return
        left = self._turn_ends - outlet.accepted
        if left <= 0:
            self._turn_ends = left = 0
            queue = outlet.queue()
            if queue:
                await self._wait_and_send(item, queue, first=False)
                return
            moved, self._seen = outlet.accepted - self._seen, outlet.accepted
            if self._pace.is_over(moved):
                await self._pace.give_way()
                self._check_open()
        outlet.budget = (left or self._pace.span) - 1  # this message is one of them
        full = outlet.offer(item)
        if full:
            await self._wait_and_send(item, full, first=left > 0)
        elif outlet.confirms:
            await outlet.confirm()

    def send_nowait(self, item: T) -> None:
        """Send a message if that needs no waiting.

        Raises:
            ClosedResourceError: This handle is closed.
            BrokenResourceError: Every reader has ended for good.
            WouldBlock: A connected edge is full.
        """
        outlet = self._open
        if len(outlet.pending) < outlet.room:
            outlet.pending.append(item)
            return
        self._check_open()
        if self._outlet.offer(item):
            raise WouldBlock

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    async def _wait_and_send(self, item: T, edges: Sequence[Edge[T] | Gate], *, first: bool) -> None:
        """Wait for room on one of the edges and send; what wakes this task is passed on if there is still room.

        Tasks that compete for room take turns of a few messages. A task that finds the edge full in the
        middle of its turn, or was woken but beaten to the room, waits at the front; else some starve.
        """
        outlet = self._outlet
        turn = min(_LARGEST_TURN, edges[0].options.buffer_size // 8)
        if first:
            turn = self._turn_ends - outlet.accepted
        while True:
            waiter = Waiter()
            for edge in edges:
                edge.blocked.insert(0 if first else len(edge.blocked), waiter)
                edge.look_after_senders()
            self.waiters.append(waiter)
            try:
                await waiter.wait()
                self._pace.waited()
                self._check_open()
                rivals = any(len(edge.blocked) > 1 for edge in edges)
                outlet.budget = max((turn if rivals else self._pace.span) - 1, 0)
                again = outlet.offer(item)
            finally:
                self.waiters.remove(waiter)
                for edge in edges:
                    edge.blocked.remove(waiter)
                    if waiter.served:
                        edge.look_after_senders()
            if not again:
                self._turn_ends = outlet.accepted + max(turn - 1, 0) if rivals else 0
                break
            first = again[0] in edges
            edges = again
        if outlet.confirms:
            await outlet.confirm()

    def clone(self) -> EdgeSendStream[T]:
        """Return another handle on this port; the port ends when all of them are closed."""
        self._check_open()
        return self._outlet.open()

    def close(self) -> None:
        """End this output for good, once all its handles are closed.

        While an exception unwinds, the end waits for what supervision decides about the component.
        """
        self.shut()
        if not self._final and not unwinding():
            self._final = True
            self._outlet.close_handle(self)

    def shut(self) -> None:
        """Refuse further calls, and those that wait; the port's end is not touched."""
        self._closed = True
        self._open = _Shut
        for waiter in self.waiters:
            waiter.serve()

    def retire(self) -> None:
        """Refuse further calls for good, because the life of the component that has this handle is over."""
        self._final = True
        self.shut()

    async def aclose(self) -> None:
        """Do what ``close`` does."""
        self.close()

    def statistics(self) -> MemoryObjectStreamStatistics:
        """Return the numbers of the port's edges, added up."""
        lanes = self._outlet.lanes
        return MemoryObjectStreamStatistics(
            sum(edge.buffered for edge in lanes),
            sum(edge.options.buffer_size for edge in lanes),
            self._outlet.open_handles,
            sum(edge.inlet.open_handles for edge in lanes),
            len({waiter for edge in lanes for waiter in edge.blocked}),
            sum(len(edge.inlet.hungry) for edge in lanes),
        )

    def __enter__(self) -> EdgeSendStream[T]:
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
        return f"<EdgeSendStream {self._outlet.name}{' closed' if self._closed else ''}>"


__all__ = ["EdgeSendStream"]
