"""Output ports: where messages wait until they are spread over the edges, and how they are spread."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from headrace.exceptions import EdgeFullError, ReaderEndedError
from headrace.model.options import OutputOptions

from .edge import READER_ENDED, Edge
from .send_stream import EdgeSendStream

T = TypeVar("T")

UNLIMITED = 1 << 30
"""The room of an output that nothing is connected to."""


class Outlet(Generic[T]):
    """An output port: its edges, its handles, and how messages spread over the edges.

    A message that every edge has plain room for is appended to ``pending``; a reader that needs messages flushes
    them to all edges at once. So ``send`` is one comparison and one append, however many edges there are.

    Attributes:
        pending: Messages that all open edges have accepted, and that are on none of them yet.
        room: How long ``pending`` may grow before ``send`` takes the long way. Every rare condition (a waiting
            reader, a full edge, a policy at work, an end, the sender's quantum) makes it smaller, down to 0, so
            that it costs the usual send nothing.
        budget: How many messages a sender may append before it looks at the clock again.
        sent: Messages accepted, each once, however many edges it took; without those pending.
        open_lanes: The edges that have not ended.
    """

    __slots__ = (
        "_plain",
        "_turn",
        "budget",
        "discarded",
        "ended",
        "handles",
        "lanes",
        "name",
        "open_lanes",
        "options",
        "pending",
        "room",
        "sent",
        "taps",
    )

    def __init__(self, name: str, options: OutputOptions | None = None) -> None:
        self.name = name
        self.options = options or OutputOptions()
        self.lanes: list[Edge[T]] = []
        self.open_lanes: list[Edge[T]] = []
        self.handles: set[EdgeSendStream[T]] = set()
        self.taps: tuple[Callable[[T], None], ...] = ()
        self.pending: list[T] = []
        self.room = 0
        self.budget = 0
        self.sent = 0
        self.discarded = 0
        self.ended = False
        self._plain = False
        self._turn = 0

    def add(self, edge: Edge[T]) -> None:
        """Let another edge leave this port."""
        self.flush()
        self.lanes.append(edge)
        self.choose_path()

    def spread(self, options: OutputOptions) -> None:
        """Change how messages spread over the edges."""
        self.flush()
        self.options = options
        self.choose_path()

    def add_tap(self, tap: Callable[[T], None]) -> None:
        """Call ``tap`` with each message that ``send`` accepts, from now on; it must be quick and not raise."""
        self.taps = (*self.taps, tap)
        self.choose_path()

    def remove_tap(self, tap: Callable[[T], None]) -> None:
        """Do not call ``tap`` any more."""
        self.taps = tuple(other for other in self.taps if other != tap)
        self.choose_path()

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
        return self.sent + len(self.pending) + self.discarded

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

    # --- the short way -------------------------------------------------------------------------------

    def choose_path(self) -> None:
        """Find out anew whether messages may be pending; called whenever an edge, a tap or an option changes."""
        self.open_lanes = [edge for edge in self.lanes if not edge.ended]
        self._plain = (
            self.options.fan_out == "broadcast"
            and bool(self.open_lanes)
            and not self.taps
            and not any(edge.options.copy for edge in self.open_lanes)
        )
        self.update_room()

    def pending_for(self, edge: Edge[T]) -> int:
        """Count the messages that an edge has accepted and that are pending here."""
        return 0 if edge.ended or not self._plain else len(self.pending)

    def flush(self) -> None:
        """Move what is pending to the edges: 4 ns a message and edge, nothing at all where there is one edge."""
        pending = self.pending
        count = len(pending)
        if not count:
            return
        self.sent += count
        lanes = self.open_lanes
        if len(lanes) == 1 and not lanes[0].incoming:
            edge = lanes[0]
            edge.accepted_before += count
            self.pending, edge.incoming = edge.incoming, pending
        else:
            for edge in lanes:
                edge.accepted_before += count
                edge.incoming += pending
            pending.clear()
        self.update_room()

    def update_room(self) -> None:
        """Say anew how long ``pending`` may grow."""
        room = 0
        if self._plain:
            room = len(self.pending) + self.budget
            for edge in self.open_lanes:
                if edge.inlet.hungry:
                    room = 0
                    break
                room = min(room, edge.free + len(self.pending))
        self.room = max(room, 0)

    def offer(self, item: T) -> Edge[T] | None:
        """Accept ``item`` on all edges it goes to, or return an edge it has to wait for.

        Nothing suspends in between, so a cancelled send has reached no edge.

        Raises:
            ReaderEndedError: Every reader has ended for good.
            EdgeFullError: A full edge has the policy ``error``.
        """
        self.flush()
        if self._plain and all(edge.free > 0 for edge in self.open_lanes):
            for edge in self.open_lanes:
                edge.accept(item)
            self.sent += 1
        else:
            full = self._offer_slowly(item)
            if full is not None:
                return full
        self.update_room()
        return None

    @property
    def free(self) -> int:
        """How many messages all edges surely take at once; one at most where the user has a say in how."""
        if not self.lanes:
            return UNLIMITED
        lanes = self.open_lanes
        if not lanes or any(edge.blocked for edge in self.lanes):
            return 0
        free = max(min(edge.free for edge in lanes), 0)
        if self.options.key is not None or any(edge.options.copy for edge in lanes):
            return min(free, 1)  # what a key or a copy raises is about one message
        return free

    def accept_all(self, items: Sequence[T]) -> None:
        """Accept messages on all edges they go to, whether there is room or not; where it drops, that is done."""
        self.flush()
        if self._plain and all(edge.options.when_full == "block" for edge in self.open_lanes):
            for edge in self.open_lanes:
                edge.accept_all(items)
            self.sent += len(items)
        else:
            for item in items:
                self._offer_slowly(item, force=True)
        self.update_room()

    # --- the long way ----------------------------------------------------------------------------------

    def _offer_slowly(self, item: T, *, force: bool = False) -> Edge[T] | None:
        if not self.lanes:
            self.discarded += 1
            self._tell_taps(item)
            return None
        targets = self._targets(item)
        for edge in targets:
            if edge.holds_back:
                if not force:
                    return edge
            elif edge.full and edge.options.when_full == "error":
                raise EdgeFullError(f"{edge.key} is full ({edge.buffered}/{edge.options.buffer_size})")
        copies = [copy.deepcopy(item) if edge.options.copy else item for edge in targets]
        for edge, one in zip(targets, copies, strict=True):
            edge.accept(one) if edge.holds_back else edge.append(one)
        self.sent += 1
        self._tell_taps(item)
        return None

    def _tell_taps(self, item: T) -> None:
        for tap in self.taps:
            tap(item)

    def _targets(self, item: T) -> list[Edge[T]]:
        alive = self.open_lanes
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
        return self.open_lanes if self.options.fan_out == "balance" else [full]

    def queue(self) -> Edge[T] | None:
        """Return an edge on which others wait for room, and behind whom a sender has to queue up; or None."""
        if self.options.fan_out == "by_key":
            return None
        return next((edge for edge in self.lanes if edge.blocked), None)


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

__all__ = ["UNLIMITED", "AnyOutlet", "Outlet"]
