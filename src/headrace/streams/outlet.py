"""Output ports: where messages wait until they are spread over the edges, and how they are spread."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from headrace.exceptions import EdgeFullError, ReaderEndedError
from headrace.model.options import OutputOptions

from .edge import READER_ENDED, Edge
from .gate import Gate
from .send_stream import EdgeSendStream
from .spread import Group, Spread

T = TypeVar("T")

UNLIMITED = 1 << 30
"""The room of an output that nothing is connected to."""


class Outlet(Spread[T]):
    """An output port: its edges, its handles, and how messages spread over the edges.

    Its targets are edges, and groups of edges of which each message takes one as if they were one edge.

    A message that every edge has plain room for is appended to ``pending``; a reader that needs messages flushes
    them to all edges at once. So ``send`` is one comparison and one append, however many edges there are.

    Attributes:
        pending: Messages that all open edges have accepted, and that are on none of them yet.
        room: How long ``pending`` may grow before ``send`` takes the long way. Every rare condition (a waiting
            reader, a full edge, a policy at work, an end, the sender's quantum) makes it smaller, down to 0, so
            that it costs the usual send nothing.
        budget: How many messages a sender may append before it looks at the clock again.
        sent: Messages accepted, each once, however many edges it took; without those pending.
        confirms: Whether a ``send`` has to wait until an edge says that the message is safe.
        open_lanes: The edges that have not ended.
        gate: Where senders wait while the port is paused; None while it is not.
    """

    __slots__ = (
        "_plain",
        "budget",
        "confirms",
        "discarded",
        "ended",
        "gate",
        "handles",
        "lanes",
        "name",
        "open_lanes",
        "pending",
        "room",
        "sent",
        "taps",
    )

    def __init__(self, name: str, options: OutputOptions | None = None) -> None:
        super().__init__(options)
        self.name = name
        self.lanes: list[Edge[T]] = []
        self.targets = cast("list[Edge[T] | Group[T]]", self.lanes)  # the same list, until there is a group
        self.open_lanes: list[Edge[T]] = []
        self.handles: list[EdgeSendStream[T]] = []
        self.taps: tuple[Callable[[T], None], ...] = ()
        self.pending: list[T] = []
        self.room = 0
        self.budget = 0
        self.sent = 0
        self.discarded = 0
        self.ended = False
        self.confirms = False
        self.gate: Gate | None = None
        self._plain = False

    def add(self, edge: Edge[T], group: Group[T] | None = None) -> None:
        """Let another edge leave this port: as a target of its own, or as one more of a group."""
        self.flush()
        if group is not None and self.targets is self.lanes:
            self.targets = [*self.lanes]
        self.lanes.append(edge)
        if group is not None:
            group.targets.append(edge)
        if self.targets is not self.lanes and group not in self.targets:
            self.targets.append(group or edge)
        self.choose_path()

    def spread(self, options: OutputOptions) -> None:
        """Change how messages spread over the edges."""
        self.flush()
        self.options = options
        self.choose_path()

    def group_of(self, edge: Edge[T]) -> Group[T] | None:
        """Return the group that an edge is one of; None where it is a target of its own."""
        return next((one for one in self.targets if isinstance(one, Group) and edge in one.targets), None)

    def spread_group(self, edge: Edge[T], options: OutputOptions) -> None:
        """Change how messages spread over the group that an edge is one of."""
        group = self.group_of(edge)
        if group is not None:
            self.flush()
            group.options = options
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
        if self.ended:
            handle.retire()
        self.handles.append(handle)
        return handle

    def retire_handles(self) -> None:
        """End the life of all handles without ending the port; the next life has one from ``open``.

        They refuse every further call with ``ClosedResourceError``, and those that wait for room send nothing.
        """
        for handle in self.handles:
            handle.retire()
        self.handles = []

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
        if handle in self.handles:
            self.handles.remove(handle)
        if not self.open_handles:
            self.end()

    # --- pausing -------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Let every send wait from now on, as behind a full edge, until ``resume``."""
        if self.gate is None:
            self.flush()
            self.gate = Gate(self.name)
            self.choose_path()

    def resume(self) -> None:
        """Let sends through again."""
        gate, self.gate = self.gate, None
        if gate is not None:
            self.choose_path()
            gate.open()

    # --- the short way -------------------------------------------------------------------------------

    def choose_path(self) -> None:
        """Find out anew whether messages may be pending; called whenever an edge, a tap or an option changes."""
        self.refresh()
        same = self.targets is self.lanes
        self.open_lanes = cast("list[Edge[T]]", self.alive) if same else self.edges()
        self.confirms = any(edge.store.confirms for edge in self.open_lanes)
        self._plain = (
            self.options.fan_out == "broadcast"
            and self.gate is None
            and bool(self.open_lanes)
            and not self.taps
            and not self.confirms
            and len(self.targets) == len(self.lanes)
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
        first, *others = self.open_lanes
        for edge in others:
            edge.extend(pending[:])
        self.pending = first.extend(pending)
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

    def hand_over(self, item: T, budget: int) -> bool:
        """Give a message to the only reader, if that waits with nothing before it; returns whether it did.

        ``offer`` does the same in a third more time, which counts where one message at a time goes to and fro.
        """
        if not self._plain or self.pending or len(self.open_lanes) != 1:
            return False
        edge = self.open_lanes[0]
        hungry = edge.inlet.hungry
        if not hungry or edge.blocked or edge.buffered:
            return False
        edge.accept(item)
        self.sent += 1
        self.budget = budget
        self.room = 0 if hungry else min(budget, edge.options.buffer_size - 1)
        return True

    def offer(self, item: T) -> Sequence[Edge[T] | Gate]:
        """Accept ``item`` on all edges it goes to, or return edges: it has to wait until one of them has room.

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
            full: Sequence[Edge[T] | Gate] = (
                [self.gate] if self.gate is not None else self._offer_slowly(item)
            )
            if full:
                return full
        self.update_room()
        return []

    @property
    def free(self) -> int:
        """How many messages all edges surely take at once; one at most where the user has a say in how."""
        if not self.lanes:
            return UNLIMITED
        lanes = self.open_lanes
        if not lanes or self.gate or self.confirms or any(edge.blocked for edge in self.lanes):
            return 0
        free = max(min(edge.free for edge in lanes), 0)
        if self.has_key or any(edge.options.copy for edge in lanes):
            return min(free, 1)  # what a key or a copy raises is about one message
        return free

    def rehearse(self, items: Sequence[T]) -> None:
        """Raise what keys or copies of messages raise, before any of them is sent."""
        copies = any(edge.options.copy for edge in self.open_lanes)
        for item in items if self.has_key or copies else ():
            if self.has_key:
                self.choose(item)
            if copies:
                copy.deepcopy(item)

    def accept_all(self, items: Sequence[T]) -> None:
        """Accept messages on all edges they go to, whether there is room or not; where it drops, that is done.

        All of them, or none where the user's code that has a say in it raises.
        """
        self.flush()
        if self._plain and all(edge.options.when_full == "block" for edge in self.open_lanes):
            for edge in self.open_lanes:
                edge.accept_all(items)
            self.sent += len(items)
        else:
            if len(items) > 1:
                self.rehearse(items)
            for item in items:
                self._offer_slowly(item, force=True)
        self.update_room()

    # --- the long way ----------------------------------------------------------------------------------

    def _offer_slowly(self, item: T, *, force: bool = False) -> list[Edge[T]]:
        if not self.lanes:
            self.discarded += 1
            self._tell_taps(item)
            return []
        if not self.open_lanes:
            raise ReaderEndedError(f"{self.name}: every reader has ended ({READER_ENDED})")
        chosen = self.choose(item)
        for edge in chosen:
            if edge.holds_back:
                if not force:
                    return self.room_for(item)
            elif edge.full and edge.options.when_full == "error" and not force:
                raise EdgeFullError(f"{edge.key} is full ({edge.buffered}/{edge.options.buffer_size})")
        copies = [copy.deepcopy(item) if edge.options.copy else item for edge in chosen]
        for edge, one in zip(chosen, copies, strict=True):
            exceeds = edge.full and not edge.ended and edge.options.when_full in ("block", "error")
            edge.accept(one) if exceeds else edge.append(one)
        self.sent += 1
        self._tell_taps(item)
        return []

    def _tell_taps(self, item: T) -> None:
        for tap in self.taps:
            tap(item)

    async def confirm(self) -> None:
        """Return when all that was accepted is safe on the edges that make a promise of it."""
        for edge in self.open_lanes:
            if edge.store.confirms:
                await edge.store.confirm()


AnyOutlet = Outlet[Any]

__all__ = ["UNLIMITED", "AnyOutlet", "Outlet"]
