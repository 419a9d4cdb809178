"""Input ports: the edges that lead into them, whose turn it is, and what their handles have in hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .edge import Edge, Settlement, Waiter
from .gate import NOTHING_TO_READ
from .manual_stream import ManualReceiveStream
from .receive_stream import EdgeReceiveStream
from .redelivering import Redelivering

T = TypeVar("T")


class Inlet(Redelivering[T]):
    """An input port: the edges that lead into it, its handles, and the tasks that wait for a message.

    Handles take chunks, from one edge after the other, so that all senders get equal shares. As soon as somebody
    else might want a message (a second handle, a waiting task, a tap), chunks have one message.

    Attributes:
        crowded: Whether several tasks have read by one handle at once: the receive of one acknowledges what
            another has.
        carrier: The handle that may have a chunk with messages that are not handed over; no other has.
        readable: The edges that messages are taken from: all, unless the port is paused.
        max_unacked: How many messages each handle may have in hand, with manual acknowledgement; 0 for automatic.
        on_sender_end: Called when a sender has ended for good.
    """

    __slots__ = (
        "_queue",
        "_turn",
        "carrier",
        "crowded",
        "ended",
        "max_unacked",
        "name",
        "on_idle",
        "on_sender_end",
        "readable",
    )

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.readable = self.lanes
        self._queue = self.hungry  # where they stand in line, paused or not
        self.on_idle: Callable[[], None] | None = None
        self.on_sender_end: Callable[[], None] | None = None
        self.carrier: EdgeReceiveStream[T] | None = None
        self.crowded = False
        self.ended = False
        self.max_unacked = 0
        self._turn = 0

    def add(self, edge: Edge[T]) -> None:
        """Let another edge lead into this port."""
        self.lanes.append(edge)

    # --- handles -----------------------------------------------------------------------------------

    def open(self) -> EdgeReceiveStream[T]:
        """Return a new handle on this port."""
        self.recall()
        handle = ManualReceiveStream(self, self.max_unacked) if self.max_unacked else EdgeReceiveStream(self)
        if self.ended:
            handle.retire()
        self.handles.append(handle)
        self.shared = self.open_handles > 1
        return handle

    @property
    def open_handles(self) -> int:
        """How many handles are not closed."""
        return sum(not handle.closed for handle in tuple(self.handles))

    def close_handle(self, handle: EdgeReceiveStream[T]) -> None:
        """Take note of a closed handle; the last one to close ends the reading side."""
        if not handle.has_hand:
            handle.let_go()
            if handle in self.handles:
                self.handles.remove(handle)
        self.shared = self.open_handles > 1
        if not self.open_handles:
            self.end()

    def recall(self, edge: Edge[T] | None = None) -> None:
        """Put back what lies in a chunk and was not handed over, of one edge or of any."""
        carrier = self.carrier
        if carrier is not None and (edge is None or carrier.edge is edge):
            carrier.give_back()

    def add_tap(self, tap: Callable[[T], None]) -> None:
        """Call ``tap`` with each message that is handed over, from now on; it must be quick and not raise."""
        self.recall()
        self.taps = (*self.taps, tap)

    def remove_tap(self, tap: Callable[[T], None]) -> None:
        """Do not call ``tap`` any more."""
        self.taps = tuple(other for other in self.taps if other != tap)

    # --- messages ------------------------------------------------------------------------------------

    @property
    def has_stored(self) -> bool:
        """Whether there is a message to take."""
        if self.line is not None and (self.is_held_back or self.line.next_due() is not None):
            return not self.is_held_back and not self.paused
        return any(edge.stored or edge.outlet.pending_for(edge) for edge in self.readable)

    @property
    def is_dry(self) -> bool:
        """Whether there is surely nothing to take."""
        if self.line is not None:
            self.move_line()
            return False
        for edge in self.readable:  # noqa: SIM110 - a loop takes a quarter of the time of any() and a generator
            if edge.store or edge.outlet.pending:
                return False
        return True

    @property
    def has_message(self) -> bool:
        """Whether anything is buffered."""
        return any(edge.waiting for edge in self.lanes)

    @property
    def exhausted(self) -> bool:
        """Whether every sender has ended and nothing is left to take; while paused, nobody is told."""
        for edge in self.readable:
            if not edge.sender_ended or edge.store:
                return False
        return self.line is None or not self.line.entries

    @property
    def idle(self) -> bool:
        """Whether nothing is buffered and nothing is in hand."""
        return not self.has_message and not any(handle.has_hand for handle in self.handles)

    def next_lane(self) -> Edge[T] | None:
        """Return the next edge, in turn, that has a message to take, or None."""
        lanes = self.readable
        count = len(lanes)
        for _ in range(count):
            self._turn = (self._turn + 1) % count
            edge = lanes[self._turn]
            if not edge.stored and edge.outlet.pending:
                edge.outlet.flush()
            if edge.stored:
                return edge
        return None

    def put_back(self, edge: Edge[T], messages: Iterable[T]) -> None:
        """Let messages be received next, before what is buffered; capacity does not count for them."""
        self.recall(edge)
        if edge.reader_ended:
            edge.drop_unread(list(messages))
            return
        edge.put_back(messages)
        while self.hungry and edge.stored:
            self.wake()

    def chunk_of(self, edge: Edge[T]) -> list[T]:
        """Return the messages of an edge that lie in a chunk and were not handed over, the oldest first."""
        carrier = self.carrier
        return carrier.rest() if carrier is not None and carrier.edge is edge else []

    def unhanded_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that lie in a chunk and were not handed over."""
        carrier = self.carrier
        return carrier.unhanded if carrier is not None and carrier.edge is edge else 0

    # --- the books -------------------------------------------------------------------------------------

    def in_hand_of(self, edge: Edge[T]) -> int:
        """Count the messages of one edge that handles have in hand."""
        return sum(handle.in_hand_of(edge) for handle in tuple(self.handles))

    def acknowledged_of(self, edge: Edge[T]) -> int:
        """Count the messages of one edge that handles are done with, of those they have taken last."""
        return sum(handle.acknowledged_of(edge) for handle in tuple(self.handles))

    def settle_all(self, outcome: Settlement, reason: str = "") -> list[tuple[Edge[T], T]]:
        """Settle what every handle has in hand, and return those messages with their edges."""
        settled = [pair for handle in self.handles for pair in handle.hands()]
        for handle in self.handles:
            handle.settle(outcome, reason)
            if handle.closed:
                handle.let_go()
        self.handles = [handle for handle in self.handles if not handle.closed]
        return settled

    def finish(self) -> None:
        """Settle what is in hand of a component that has ended by itself.

        It is acknowledged; where that is for the component to do, and it has not, it is dropped.
        """
        for handle in self.handles:
            handle.finish()
            if handle.closed:
                handle.let_go()
        self.handles = [handle for handle in self.handles if not handle.closed]

    # --- pausing -----------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether nothing is handed over: messages and the end wait on the edges."""
        return self.readable is not self.lanes

    @property
    def all_ended(self) -> bool:
        """Whether every sender has ended for good; messages may still be there."""
        return all(edge.sender_ended for edge in self.lanes)

    def pause(self) -> None:
        """Hand nothing over from now on; what is in hand stays there.

        Handles find nothing to read, and senders nobody who waits; so the usual ways need no look at a flag.
        """
        if not self.paused:
            self.recall()
            self.readable = NOTHING_TO_READ
            self.hungry = []
            for batch in [batch for handle in self.handles for batch in handle.gathered]:
                batch.give_back()

    def resume(self) -> None:
        """Hand over again; whoever waits has a look."""
        if self.paused:
            self.readable = self.lanes
            self.hungry = self._queue
            for edge in self.lanes:
                edge.outlet.update_room()
            while self.hungry:
                self.wake()

    def complete_batches(self) -> bool:
        """Hand over the batches that are being gathered: nothing will be added. Returns whether there are any."""
        batches = [batch for handle in self.handles for batch in handle.gathered]
        found = sum(batch.complete() for batch in batches) > 0
        while found and self.hungry:
            self.wake()
        return found

    # --- waiting readers, and the end --------------------------------------------------------------------

    def add_hungry(self, waiter: Waiter, *, first: bool) -> None:
        """Queue up for a message: senders look for waiting readers from now on."""
        self._queue.insert(0 if first else len(self._queue), waiter)
        for edge in self.lanes:
            edge.outlet.room = 0

    def wake(self) -> None:
        """Serve the first waiting reader."""
        self.hungry.pop(0).serve()

    def forget_hungry(self, waiter: Waiter) -> None:
        """Take a task that does not wait any more out of the queue."""
        self._queue.remove(waiter)

    def end(self) -> None:
        """Stop reading for good: handles are closed, what is buffered is dropped, and senders are told."""
        if not self.ended:
            self.ended = True
            self.recall()
            for handle in self.handles:
                handle.shut()
                if not handle.has_hand:
                    handle.let_go()
            if self.line is not None:
                for entry in self.line.entries:
                    entry.edge.drop_unread([entry.message])
                self.line = None
            for edge in self.lanes:
                edge.end_reader()

    def sender_has_ended(self) -> None:
        """Tell waiting readers that a sender will not send any more."""
        while self.hungry:
            self.wake()
        for handle in self.handles:
            handle.look_again()
        if self.on_idle is not None:
            self.on_idle()
        if self.on_sender_end is not None:
            self.on_sender_end()


AnyInlet = Inlet[Any]

__all__ = ["AnyInlet", "Inlet"]
