"""Input ports: the edges that lead into them, whose turn it is, and what their handles have in hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from .edge import READER_ENDED, Edge, Settlement, Waiter
from .gate import NOTHING_TO_READ
from .receive_stream import EdgeReceiveStream
from .redelivery import PATIENCE, Piece, Redelivery, RedeliveryLine, blame

T = TypeVar("T")


class Inlet(Generic[T]):
    """An input port: the edges that lead into it, its handles, and the tasks that wait for a message.

    Handles take chunks, from one edge after the other, so that all senders get equal shares. As soon as somebody
    else might want a message (a second handle, a waiting task, a tap), chunks have one message.

    Attributes:
        carrier: The handle that may have a chunk with messages that are not handed over; no other has.
        shared: Whether several handles are open.
        line: The messages that are to be delivered again, or must be alone in hand; None where there are none.
        taken: How many chunks were taken.
        hungry: The tasks that wait for a message, as senders see them: nobody, while the port is paused.
        readable: The edges that messages are taken from: all, unless the port is paused.
        on_sender_end: Called when a sender has ended for good.
    """

    __slots__ = (
        "_queue",
        "_turn",
        "carrier",
        "ended",
        "handles",
        "hungry",
        "lanes",
        "line",
        "name",
        "on_idle",
        "on_sender_end",
        "readable",
        "shared",
        "taken",
        "taps",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.lanes: list[Edge[T]] = []
        self.readable = self.lanes
        self.handles: list[EdgeReceiveStream[T]] = []  # short: a set or a deque takes more
        self.hungry: list[Waiter] = []
        self._queue = self.hungry  # where they stand in line, paused or not
        self.on_idle: Callable[[], None] | None = None
        self.on_sender_end: Callable[[], None] | None = None
        self.taps: tuple[Callable[[T], None], ...] = ()
        self.carrier: EdgeReceiveStream[T] | None = None
        self.shared = False
        self.ended = False
        self.line: RedeliveryLine[T] | None = None
        self.taken = 0
        self._turn = 0

    def add(self, edge: Edge[T]) -> None:
        """Let another edge lead into this port."""
        self.lanes.append(edge)

    # --- handles -----------------------------------------------------------------------------------

    def open(self) -> EdgeReceiveStream[T]:
        """Return a new handle on this port."""
        self.recall()
        handle = EdgeReceiveStream(self)
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
            edge.drop(READER_ENDED, len(list(messages)))
            return
        edge.put_back(messages)
        while self.hungry and edge.stored:
            self.wake()

    def take_piece(self, at_most: int, fresh_at_most: int = 0) -> Piece | None:
        """Take messages of one edge, those to be delivered again before all others; None if there are none.

        Args:
            at_most: How many.
            fresh_at_most: How many of those that are delivered for the first time; as many where not said.
        """
        if self.is_held_back or self.paused:
            return None
        self.taken += 1
        if self.line is not None and self.line.next_due() is not None:
            again = self.line.take(at_most)
            piece = Piece(again[0].edge, [entry.message for entry in again], self.taken, again)
        else:
            edge = self.next_lane()
            if edge is None:
                return None
            piece = Piece(edge, edge.take(fresh_at_most or at_most), self.taken)
        if self.hungry and self.has_stored:
            self.wake()
        for tap in self.taps:
            for message in piece.messages:
                tap(message)
        return piece

    def chunk_of(self, edge: Edge[T]) -> list[T]:
        """Return the messages of an edge that lie in a chunk and were not handed over, the oldest first."""
        carrier = self.carrier
        return carrier.rest() if carrier is not None and carrier.edge is edge else []

    def unhanded_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that lie in a chunk and were not handed over."""
        carrier = self.carrier
        return carrier.unhanded if carrier is not None and carrier.edge is edge else 0

    # --- delivering again --------------------------------------------------------------------------------

    def take_hands_back(self, *, crashed: bool) -> list[Redelivery[T]]:
        """End the life of all handles without ending the port; what they have in hand will be delivered again.

        The handles refuse every further call with ``ClosedResourceError``; the next life has one from ``open``.
        What was in hand comes before all else then, in its order, exempt from capacity. After a crash with one
        message in hand, this attempt counts for it. With several, it counts for all, and each of them will be in
        hand alone, so that the next crash has only one to blame.

        Args:
            crashed: Whether the life ended by a crash; else (somebody else's crash, say) no attempt counts.

        Returns:
            What will be delivered again. Who is ``blamed`` and was ``tried`` often enough is for ``bury``.
        """
        self.recall()
        for handle in self.handles:
            handle.retire()
        held = [one for handle in self.handles for one in handle.empty()]
        self.handles = []
        self.shared = False
        lifted = self.line is not None and self.line.lifted
        again = blame(held, lifted=lifted) if crashed else [one.returned() for one in held]
        if self.line is not None:
            self.line.lifted = False
        self.deliver_again(again)
        self._drop_line_if_done()
        return sorted(again, key=lambda entry: entry.place)

    def deliver_again(self, entries: Sequence[Redelivery[T]]) -> None:
        """Let messages be delivered again, before all others; capacity does not count for them."""
        alive = [entry for entry in entries if not entry.edge.reader_ended]
        for entry in entries:
            if entry.edge.reader_ended:
                entry.edge.drop(READER_ENDED)
        if alive:
            self.recall()
            self.line = self.line or RedeliveryLine()
            self.line.line_up(alive)
            while self.hungry:
                self.wake()

    def put_back_pieces(self, pieces: Sequence[Piece]) -> None:
        """Let messages that nobody has received be received next, in their order."""
        for piece in reversed(pieces):
            if piece.again:
                self.deliver_again(piece.again)
            else:
                self.put_back(piece.edge, piece.messages)

    def bury(self, entry: Redelivery[T], outcome: Settlement = "dead_lettered", reason: str = "") -> None:
        """Settle a message that was to be delivered again; it will not be."""
        assert self.line is not None
        self.line.entries.remove(entry)
        entry.edge.settle([entry.message], outcome, reason)
        self.move_line()

    @property
    def is_held_back(self) -> bool:
        """Whether nothing is handed over now, because a message is, or will be, in hand alone."""
        line = self.line
        if line is None or line.lifted:
            return False
        if any(handle.holds_alone for handle in self.handles):
            return True
        return self.goes_alone and any(handle.has_hand for handle in self.handles)

    @property
    def goes_alone(self) -> bool:
        """Whether the next message is to be in hand alone."""
        due = None if self.line is None else self.line.next_due()
        return due is not None and self.line is not None and self.line.goes_alone(due)

    def is_alone(self, piece: Piece) -> bool:
        """Whether a piece is one message that is to be in hand alone."""
        return self.line is not None and any(self.line.goes_alone(entry) for entry in piece.again)

    def patience(self) -> float:
        """Return how many seconds a reader waits before it has another look at the line."""
        if self.line is None or self.paused:
            return math.inf
        return min(self.line.patience(), PATIENCE if self.is_held_back else math.inf)

    def lift(self) -> None:
        """Let messages go together that were to go alone: the component does not let go of the one before."""
        if self.line is not None:
            self.line.lifted = True

    def move_line(self) -> None:
        """Let those that wait have what may be handed over now."""
        self._drop_line_if_done()
        if self.hungry and self.has_stored:
            self.wake()

    def _drop_line_if_done(self) -> None:
        line = self.line
        if line is not None and not line.entries and not any(handle.holds_alone for handle in self.handles):
            self.line = None

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
            if self.line is not None:
                for entry in self.line.entries:
                    entry.edge.drop(READER_ENDED)
                self.line = None
            for edge in self.lanes:
                edge.end_reader()

    def sender_has_ended(self) -> None:
        """Tell waiting readers that a sender will not send any more."""
        while self.hungry:
            self.wake()
        if self.on_idle is not None:
            self.on_idle()
        if self.on_sender_end is not None:
            self.on_sender_end()


AnyInlet = Inlet[Any]

__all__ = ["AnyInlet", "Inlet"]
