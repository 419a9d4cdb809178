"""What of an input port is delivered again: after a crash, a release or a ``nack``, and in which company."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .edge import Edge, Settlement, Waiter
from .redelivery import PATIENCE, Held, Piece, Redelivery, RedeliveryLine, blame

if TYPE_CHECKING:
    from .receive_stream import EdgeReceiveStream

T = TypeVar("T")
next_taking = itertools.count(1).__next__
"""Numbers the chunks that readers take, of whichever port."""
GiveUp = Callable[[Redelivery[T], BaseException], Awaitable[tuple[Settlement, str]]]
"""Does with a message that was tried often enough what is to be done; returns how to enter it in the books."""


class Redelivering(ABC, Generic[T]):
    """The half of an input port that delivers messages again.

    Attributes:
        lanes: The edges that lead into the port.
        handles: Its handles.
        hungry: The tasks that wait for a message, as senders see them: nobody, while the port is paused.
        taps: What is called with each message that is handed over.
        shared: Whether several handles are open.
        line: The messages that are to be delivered again, or must be alone in hand; None where there are none.
        company: The input ports of the component, this one among them.
        attempts: How often a message is tried in all before ``nack`` makes it a dead letter; 0 for ever.
        give_up: Puts it away then, and says what became of it; None for nothing, and it is delivered for ever.
    """

    __slots__ = ("attempts", "company", "give_up", "handles", "hungry", "lanes", "line", "shared", "taps")

    def __init__(self) -> None:
        self.lanes: list[Edge[T]] = []
        self.handles: list[EdgeReceiveStream[T]] = []  # short: a set or a deque takes more
        self.hungry: list[Waiter] = []
        self.taps: tuple[Callable[[T], None], ...] = ()
        self.shared = False
        self.line: RedeliveryLine[T] | None = None
        self.company: Collection[Redelivering[T]] = (self,)
        self.attempts = 0
        self.give_up: GiveUp[T] | None = None

    def take_hands_back(self, *, crashed: bool) -> list[Redelivery[T]]:
        """Do what ``take_all_back`` does for a component with this input port alone."""
        ((_, again),) = take_all_back((self,), crashed=crashed)
        return again

    def retire_handles(self) -> list[Held]:
        """End the life of all handles without ending the port; returns what they had in hand."""
        self.recall()
        for handle in self.handles:
            handle.retire()
        held = [one for handle in self.handles for one in handle.empty()]
        self.handles = []
        self.shared = False
        return held

    def deliver_again(self, entries: Sequence[Redelivery[T]]) -> None:
        """Let messages be delivered again, before all others; capacity does not count for them."""
        alive = [entry for entry in entries if not entry.edge.reader_ended]
        for entry in entries:
            if entry.edge.reader_ended:
                entry.edge.drop_unread([entry.message])
        if alive:
            self.recall()
            self.line = self.line or RedeliveryLine()
            self.line.line_up(alive)
            while self.hungry:
                self.wake()

    def take_piece(self, at_most: int, fresh_at_most: int = 0) -> Piece | None:
        """Take messages of one edge, those to be delivered again before all others; None if there are none.

        Args:
            at_most: How many.
            fresh_at_most: How many of those that are delivered for the first time; as many where not said.
        """
        if self.is_held_back or self.paused:
            return None
        order = next_taking()
        if self.line is not None and self.line.next_due() is not None:
            again = self.line.take(at_most)
            piece = Piece(again[0].edge, [entry.message for entry in again], order, again)
        else:
            edge = self.next_lane()
            if edge is None:
                return None
            piece = Piece(edge, edge.take(fresh_at_most or at_most), order)
        if self.hungry and self.has_stored:
            self.wake()
        for tap in self.taps:
            for message in piece.messages:
                tap(message)
        return piece

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

    def is_last_attempt(self, entry: Redelivery[T]) -> bool:
        """Whether a message is dead where the attempt that is being made at it fails."""
        return self.give_up is not None and 0 < self.attempts <= entry.tried + 1

    @property
    def is_held_back(self) -> bool:
        """Whether nothing is handed over now, because a message is, or will be, in hand alone."""
        line = self.line
        if line is None or line.lifted:
            return False
        if any(handle.holds_alone for inlet in self.company for handle in inlet.handles):
            return True
        if self.goes_alone:
            return any(handle.has_hand for inlet in self.company for handle in inlet.handles)
        return any(inlet.goes_alone and inlet.hungry for inlet in self.company)

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
        for inlet in self.company:
            if inlet.line is not None:
                inlet.line.lifted = True

    def move_line(self) -> None:
        """Let those that wait have what may be handed over now."""
        for inlet in self.company:
            inlet.drop_line_if_done()
            if inlet.hungry and inlet.has_stored:
                inlet.wake()

    def keep_line(self) -> None:
        """Have a line: a message is to be in hand alone, here or at another port of the component."""
        self.line = self.line or RedeliveryLine()

    def drop_line_if_done(self) -> None:
        """Have no line any more where nothing is to be delivered again, or to be in hand alone."""
        line = self.line
        if line is not None and not line.entries and not any(inlet.has_suspects for inlet in self.company):
            self.line = None

    @property
    def has_suspects(self) -> bool:
        """Whether a message of this port is, or will be, in hand alone."""
        waits = self.line is not None and any(entry.alone for entry in self.line.entries)
        return waits or any(handle.holds_alone for handle in self.handles)

    # --- what the other half does ----------------------------------------------------------------------

    @property
    @abstractmethod
    def paused(self) -> bool:
        """Whether nothing is handed over."""

    @property
    @abstractmethod
    def has_stored(self) -> bool:
        """Whether there is a message to take."""

    @abstractmethod
    def recall(self, edge: Edge[T] | None = None) -> None:
        """Put back what lies in a chunk and was not handed over."""

    @abstractmethod
    def next_lane(self) -> Edge[T] | None:
        """Return the next edge, in turn, that has a message to take, or None."""

    @abstractmethod
    def put_back(self, edge: Edge[T], messages: Iterable[T]) -> None:
        """Let messages that nobody has received be received next."""

    @abstractmethod
    def wake(self) -> None:
        """Serve the first waiting reader."""


def take_all_back(
    inlets: Collection[Redelivering[T]], *, crashed: bool
) -> list[tuple[Redelivering[T], list[Redelivery[T]]]]:
    """End the life of a component's input handles without ending its ports; what is in hand is delivered again.

    The handles refuse every further call with ``ClosedResourceError``; the next life has some from ``open``. What
    was in hand comes before all else then, in its order, exempt from capacity. After a crash with one message in
    hand, at whichever port, this attempt counts for it. With several, it counts for all, and each of them will be
    in hand alone, so that the next crash has only one to blame.

    Args:
        inlets: All input ports of the component.
        crashed: Whether the life ended by a crash; else (somebody else's crash, say) no attempt counts.

    Returns:
        What will be delivered again, by port. Who is ``blamed`` and was ``tried`` often enough is for ``bury``.
    """
    held = [(inlet, inlet.retire_handles()) for inlet in inlets]
    lines = [inlet.line for inlet in inlets if inlet.line is not None]
    everything = [one for _, some in held for one in some]
    if crashed:
        entries = iter(blame(everything, lifted=any(line.lifted for line in lines)))
    else:
        entries = iter([one.returned() for one in everything])
    for line in lines:
        line.lifted = False
    again = [(inlet, [next(entries) for _ in some]) for inlet, some in held]
    for inlet, some in again:
        inlet.deliver_again(some)
    for inlet in inlets:
        if any(one.has_suspects for one in inlet.company):
            inlet.keep_line()
        inlet.drop_line_if_done()
    return [(inlet, sorted(some, key=lambda entry: entry.place)) for inlet, some in again]


AnyRedelivering = Redelivering[Any]

__all__ = ["AnyRedelivering", "Redelivering", "next_taking", "take_all_back"]
