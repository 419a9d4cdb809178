"""Output ports: what ``send`` does when none, one or several edges leave a port."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Generic, TypeVar

from anyio import ClosedResourceError, WouldBlock
from anyio.streams.memory import MemoryObjectSendStream, MemoryObjectStreamStatistics

from headrace.exceptions import EdgeFullError, ReaderEndedError
from headrace.model.options import OutputOptions

from .edge import READER_ENDED, Edge, Waiter, unwinding
from .pace import Pace

T = TypeVar("T")
_LARGEST_TURN = 64


class Outlet(Generic[T]):
    """An output port: its edges, its handles, and how messages spread over the edges.

    ``solo`` is the edge of the fast path: the only one there is, while nothing special is the matter.
    """

    __slots__ = ("_turn", "discarded", "ended", "handles", "lanes", "name", "options", "solo", "taps")

    def __init__(self, name: str, options: OutputOptions | None = None) -> None:
        self.name = name
        self.options = options or OutputOptions()
        self.lanes: list[Edge[T]] = []
        self.solo: Edge[T] | None = None
        self.handles: set[EdgeSendStream[T]] = set()
        self.taps: tuple[Callable[[T], None], ...] = ()
        self.discarded = 0
        self.ended = False
        self._turn = 0

    def add(self, edge: Edge[T]) -> None:
        """Let another edge leave this port."""
        self.lanes.append(edge)
        self._choose_path()

    def add_tap(self, tap: Callable[[T], None]) -> None:
        """Call ``tap`` with each message that ``send`` accepts, from now on; it must be quick and not raise."""
        self.taps = (*self.taps, tap)
        self._choose_path()

    def remove_tap(self, tap: Callable[[T], None]) -> None:
        """Do not call ``tap`` any more."""
        self.taps = tuple(other for other in self.taps if other != tap)
        self._choose_path()

    def _choose_path(self) -> None:
        self.solo = self.lanes[0] if len(self.lanes) == 1 and not self.taps else None

    def open(self) -> EdgeSendStream[T]:
        """Return a new handle on this port."""
        handle = EdgeSendStream(self)
        self.handles.add(handle)
        return handle

    @property
    def open_handles(self) -> int:
        """How many handles are not closed."""
        return sum(not handle.closed for handle in tuple(self.handles))

    @property
    def accepted(self) -> int:
        """Messages that went through this port: each once, however many edges it took."""
        if self.options.fan_out == "broadcast":
            return max((edge.accepted for edge in self.lanes), default=0) + self.discarded
        return sum(edge.accepted for edge in self.lanes) + self.discarded

    def end(self) -> None:
        """End the port for good: handles are closed, and the end travels downstream."""
        if not self.ended:
            self.ended = True
            for handle in self.handles:
                handle.shut()
            for edge in self.lanes:
                edge.end_sender()

    def close_handle(self, handle: EdgeSendStream[T]) -> None:
        """Forget a handle; the last one to close ends the port."""
        self.handles.discard(handle)
        if not self.open_handles:
            self.end()

    # --- sending -----------------------------------------------------------------------------

    def offer(self, item: T) -> Edge[T] | None:
        """Accept ``item`` on all edges it goes to, or return an edge it has to wait for.

        Nothing suspends in between, so a cancelled send has reached no edge.

        Raises:
            ReaderEndedError: Every reader has ended for good.
            EdgeFullError: A full edge has the policy ``error``.
        """
        if self.options.fan_out == "broadcast" and not self.taps and self._broadcast_quickly(item):
            return None
        if not self.lanes:
            self.discarded += 1
            self._tell_taps(item)
            return None
        targets = self._targets(item)
        for edge in targets:
            if edge.holds_back:
                return edge
            if edge.full and edge.options.when_full == "error":
                raise EdgeFullError(f"{edge.key} is full ({len(edge.buffer)}/{edge.options.buffer_size})")
        copies = [copy.deepcopy(item) if edge.options.copy else item for edge in targets]
        for edge, one in zip(targets, copies, strict=True):
            edge.append(one)
        self._tell_taps(item)
        return None

    def _tell_taps(self, item: T) -> None:
        for tap in self.taps:
            tap(item)

    def _broadcast_quickly(self, item: T) -> bool:
        """Append to every edge if all have plain room; 4 edges take a third of the time of the long way."""
        lanes = self.lanes
        for edge in lanes:
            if len(edge.buffer) >= edge.room:
                return False
        for edge in lanes:
            edge.buffer.append(item)
            edge.accepted += 1
            if edge.inlet.hungry:
                edge.inlet.wake()
        return bool(lanes)

    def _targets(self, item: T) -> list[Edge[T]]:
        alive = [edge for edge in self.lanes if not edge.ended]
        if not alive:
            raise ReaderEndedError(f"{self.name}: every reader has ended ({READER_ENDED})")
        if self.options.fan_out == "broadcast":
            return alive
        if self.options.fan_out == "balance":
            return [self._next_with_room(alive)]
        assert self.options.key is not None
        return [self.lanes[_digest(self.options.key(item)) % len(self.lanes)]]

    def _next_with_room(self, alive: list[Edge[T]]) -> Edge[T]:
        """Return the next edge with room; without any, rather one to wait for than one that drops."""
        turns = [alive[(self._turn + offset) % len(alive)] for offset in range(len(alive))]
        self._turn += 1
        with_room = (edge for edge in turns if not edge.full)
        return next(with_room, None) or next((edge for edge in turns if edge.holds_back), turns[0])

    def waits_on(self, full: Edge[T]) -> list[Edge[T]]:
        """Return the edges of which any one having room lets the sender of ``full`` try again."""
        if self.options.fan_out == "balance":
            return [edge for edge in self.lanes if not edge.ended]
        return [full]


class EdgeSendStream(MemoryObjectSendStream[T]):
    """A handle on an output port: an AnyIO send stream, without a checkpoint where it need not wait."""

    def __init__(self, outlet: Outlet[T]) -> None:
        self._outlet = outlet
        self._pace = Pace()
        self._closed = False
        self._final = False
        self._in_turn = False
        self.waiters: set[Waiter] = set()

    @property
    def closed(self) -> bool:
        """Whether this handle was closed."""
        return self._closed

    async def send(self, item: T) -> None:
        """Send a message; waits while a connected edge is full. A cancelled send has reached no edge.

        Raises:
            ClosedResourceError: This handle is closed.
            BrokenResourceError: Every reader has ended for good.
        """
        pace = self._pace
        if pace.left:
            pace.left -= 1
        elif await self._give_way(item):
            return
        edge = self._outlet.solo
        if edge is not None and len(edge.buffer) < edge.room:
            edge.buffer.append(item)
            edge.accepted += 1
            if edge.inlet.hungry:
                edge.inlet.wake()
            return
        full = self._outlet.offer(item)
        if full is not None:
            await self._wait_and_send(item, full)

    async def _give_way(self, item: T) -> bool:
        """Let others have their turn; returns whether ``item`` was sent meanwhile.

        Where others wait for room, not all that was freed is for this task: it queues up behind them.
        """
        self._check_open()
        self._in_turn = False
        queue = next((edge for edge in self._outlet.lanes if edge.blocked), None)
        if queue is not None and self._outlet.options.fan_out != "by_key":
            await self._wait_and_send(item, queue)
            return True
        await self._pace.look()
        self._check_open()
        return False

    def send_nowait(self, item: T) -> None:
        """Send a message if that needs no waiting.

        Raises:
            ClosedResourceError: This handle is closed.
            BrokenResourceError: Every reader has ended for good.
            WouldBlock: A connected edge is full.
        """
        self._check_open()
        if self._outlet.offer(item) is not None:
            raise WouldBlock

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    async def _wait_and_send(self, item: T, full: Edge[T]) -> None:
        """Wait for room and send; what wakes this task is passed on if there is still room.

        Tasks that compete for room take turns of a few messages. A task that finds the edge full in the
        middle of its turn, or was woken but beaten to the room, waits at the front; else some starve.
        """
        share = (
            self._pace.left
            if self._in_turn
            else max(1, min(_LARGEST_TURN, full.options.buffer_size // 8)) - 1
        )
        beaten = self._in_turn
        while True:
            edges = self._outlet.waits_on(full)
            waiter = Waiter()
            for edge in edges:
                edge.blocked.appendleft(waiter) if beaten else edge.blocked.append(waiter)
            self.waiters.add(waiter)
            try:
                await waiter.wait()
                self._pace.waited()
                self._check_open()
                again = self._outlet.offer(item)
            finally:
                self.waiters.discard(waiter)
                for edge in edges:
                    edge.blocked.remove(waiter)
                    if waiter.served and not edge.full:
                        edge.wake_sender()
            if again is None:
                self._in_turn = any(edge.blocked for edge in edges)
                if self._in_turn:
                    self._pace.left = share
                return
            beaten = again in edges
            full = again

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
        self._pace.stop()
        for waiter in self.waiters:
            waiter.serve()

    async def aclose(self) -> None:
        """Do what ``close`` does."""
        self.close()

    def statistics(self) -> MemoryObjectStreamStatistics:
        """Return the numbers of the port's edges, added up."""
        lanes = self._outlet.lanes
        return MemoryObjectStreamStatistics(
            sum(len(edge.buffer) for edge in lanes),
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


def _digest(key: Hashable) -> int:
    """Return the same number for equal keys; for text, bytes and tuples of them in every process too."""
    if isinstance(key, str):
        return zlib.crc32(key.encode("utf-8", "surrogatepass"))
    if isinstance(key, bytes):
        return zlib.crc32(key)
    if isinstance(key, tuple):
        return zlib.crc32(",".join(str(_digest(part)) for part in key).encode())
    return hash(key)


AnyOutlet = Outlet[Any]

__all__ = ["AnyOutlet", "EdgeSendStream", "Outlet"]
