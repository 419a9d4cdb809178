"""An edge: the bounded FIFO from one output port to one input port, and its books.

The edge owns its messages and its end; what components hold are handles, which are views of it.
Both ports live in one event loop, so nothing here locks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from anyio import Event

from headrace.exceptions import InputEndedError, ReaderEndedError
from headrace.model.ledger import EdgeLedger
from headrace.model.options import EdgeOptions

from .edge_store import EdgeStore, MemoryStore
from .latency import LatencySampler
from .pace import loop_clock

if TYPE_CHECKING:
    from .inlet import Inlet
    from .outlet import Outlet

T = TypeVar("T")

READER_ENDED = "reader_ended"
GIVEN_UP = "given_up"
"""Why a message is a dead letter that nobody has found fault with: its component has failed for good."""
Settlement = Literal["acknowledged", "dead_lettered", "dropped"]


class Waiter:
    """One task waiting on a port; ``served`` is set by whoever wakes it, ``since`` is when it began to wait."""

    __slots__ = ("_event", "served", "since")

    def __init__(self) -> None:
        self._event = Event()
        self.served = False
        self.since = loop_clock()()  # 0.1 us, where waiting takes 5

    def serve(self) -> None:
        """Wake the task."""
        self.served = True
        self._event.set()

    async def wait(self) -> None:
        """Wait to be served."""
        await self._event.wait()


class Edge(Generic[T]):
    """A bounded FIFO between an outlet and an inlet.

    A message is first pending in the outlet, then in the store of the edge, then in the chunk of a handle, and
    once it is handed over, in hand. The reader takes chunks: the way through costs nothing per message.

    Attributes:
        store: Keeps the messages between the two.
        blocked: The tasks that wait for room, first come first; one may wait on several edges.
        accepted_before: Messages accepted, without those pending in the outlet.
        settled_before: Messages acknowledged, without those of the chunk that a handle works on.
    """

    __slots__ = (
        "accepted_before",
        "blocked",
        "dead_lettered",
        "dropped",
        "inlet",
        "key",
        "latency",
        "options",
        "outlet",
        "reader_ended",
        "sender_ended",
        "settled_before",
        "store",
    )

    def __init__(
        self,
        key: str,
        options: EdgeOptions,
        outlet: Outlet[T],
        inlet: Inlet[T],
        store: EdgeStore[T] | None = None,
    ) -> None:
        self.key = key
        self.options = options
        self.outlet = outlet
        self.inlet = inlet
        self.store: EdgeStore[T] = MemoryStore() if store is None else store
        self.blocked: list[Waiter] = []  # short; an empty deque takes 760 bytes
        self.accepted_before = 0
        self.settled_before = 0
        self.dead_lettered = 0
        self.dropped: dict[str, int] = {}
        self.latency = LatencySampler()
        self.sender_ended = False
        self.reader_ended = False

    # --- how full it is ----------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether nothing can go through it any more."""
        return self.reader_ended or self.sender_ended

    @property
    def stored(self) -> int:
        """How many messages lie here and in no chunk, without those pending in the outlet."""
        return len(self.store)

    @property
    def buffered(self) -> int:
        """How many messages were accepted and not handed over yet; those to be delivered again do not count."""
        number = len(self.store)  # written out: one message at a time asks four times
        carrier, outlet = self.inlet.carrier, self.outlet
        if carrier is not None and carrier.edge is self:
            number += carrier.unhanded
        if outlet.pending:
            number += outlet.pending_for(self)
        return number

    @property
    def waiting(self) -> int:
        """How many messages were accepted and are to be handed over: what is buffered, or comes again."""
        line = self.inlet.line
        return self.buffered + (0 if line is None else line.count_of(self))

    @property
    def free(self) -> int:
        """How many more messages it may accept; below 0 where some were put back into a full edge."""
        return self.options.buffer_size - self.buffered

    @property
    def full(self) -> bool:
        """Whether it holds as many messages as it may accept."""
        return self.free <= 0

    @property
    def holds_back(self) -> bool:
        """Whether a send on it has to wait now."""
        return self.full and self.options.when_full == "block" and not self.ended

    def messages(self) -> list[T]:
        """Return what was accepted and is to be handed over, the oldest first."""
        pending = self.outlet.pending if self.outlet.pending_for(self) else []
        line = self.inlet.line
        again = [] if line is None else [entry.message for entry in line.entries if entry.edge is self]
        return [*again, *self.inlet.chunk_of(self), *self.store.messages(), *pending]

    # --- messages come and go ------------------------------------------------------------------------

    def append(self, item: T) -> None:
        """Accept a message that there is room for, or that its policy makes room for; nothing is pending."""
        self.accepted_before += 1
        if self.ended:
            self.drop(READER_ENDED)
            return
        if self.full:
            self.drop(self.options.when_full)
            if self.options.when_full == "drop_newest":
                return
            self._discard_oldest()
        self._store(item)

    def accept(self, item: T) -> None:
        """Accept a message for which there is plain room; nothing is pending."""
        self.accepted_before += 1
        self._store(item)

    def accept_all(self, items: Iterable[T]) -> None:
        """Accept messages without asking for room; nothing is pending."""
        messages = list(items)
        self.latency.follow(self.stored)
        self.extend(messages)
        if self.inlet.hungry:
            self.inlet.wake()

    def pass_on(self, number: int) -> None:
        """Enter in the books messages that went by: accepted and acknowledged, and never stored."""
        self.accepted_before += number
        self.settled_before += number
        self.outlet.sent += number

    def _store(self, item: T) -> None:
        self.latency.follow(len(self.store))
        self.store.append(item)
        if self.inlet.hungry:
            self.inlet.wake()

    def take(self, at_most: int) -> list[T]:
        """Return the oldest messages, to be handed over next; the first waiting sender may have their room."""
        ahead = self.latency.ahead
        if 0 < ahead < at_most:
            at_most = ahead  # the message that is followed comes first in its chunk
        chunk = self.store.take(at_most)
        if ahead >= 0:
            self.latency.taken(len(chunk))
        self.wake_sender()
        return chunk

    def extend(self, messages: list[T]) -> list[T]:
        """Accept messages that there is plain room for, and nobody waits for; returns an empty list."""
        self.accepted_before += len(messages)
        return self.store.add(messages)

    def put_back(self, messages: Iterable[T]) -> None:
        """Let messages be taken next, before all others; capacity does not count for them."""
        again = list(messages)
        self.store.put_back(again)
        self.latency.put_back(len(again))

    def accept_again(self) -> None:
        """Enter in the books a message of an earlier run, which is about to be put back."""
        self.accepted_before += 1
        self.outlet.sent += 1

    def _discard_oldest(self) -> None:
        self.inlet.recall(self)
        self.store.discard_oldest()
        self.latency.discarded()

    def settle(self, messages: Sequence[T], outcome: Settlement, reason: str = "") -> None:
        """Enter in the books what became of messages that were handed over.

        Args:
            messages: Which.
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why they were dropped.
        """
        if outcome == "acknowledged":
            self.settled_before += len(messages)
        elif outcome == "dead_lettered":
            self.dead_lettered += len(messages)
        else:
            self.drop(reason or "dropped", len(messages))
        self.tell_settled(messages, outcome, reason)

    def tell_settled(self, messages: Sequence[T], outcome: Settlement, reason: str = "") -> None:
        """Tell the store, and who hears of it, what became of messages; the books know it already."""
        store = self.store
        if store.confirms:
            store.settled(messages)
        for one in store.settlements:
            one.settled(self, messages, outcome, reason)

    def drop(self, reason: str, number: int = 1) -> None:
        """Enter dropped messages in the books."""
        self.dropped[reason] = self.dropped.get(reason, 0) + number

    def drop_unread(self, messages: Sequence[T]) -> None:
        """Drop messages that were accepted and will not be received, because the reader has ended."""
        self.drop(READER_ENDED, len(messages))
        for one in self.store.settlements:
            one.settled(self, messages, "dropped", READER_ENDED)

    # --- waiting senders -------------------------------------------------------------------------------

    def wake_sender(self) -> None:
        """Serve the first waiting sender, once; it stays first in the queue until it has got through."""
        if self.blocked and not self.blocked[0].served:
            self.blocked[0].serve()

    def look_after_senders(self) -> None:
        """Wake the first waiting sender if there is room, else see to it that the next hand-over does.

        Handing over what lies in a chunk tells nobody. A chunk that stands in the way of a sender is recalled,
        so that the reader takes a new one for its next message: else the two might wait for each other.
        """
        if self.blocked:
            if self.full:
                self.inlet.recall(self)
            else:
                self.wake_sender()

    # --- ends --------------------------------------------------------------------------------------------

    def end_sender(self) -> None:
        """No more messages will be sent: the reader gets what is buffered, then the end."""
        if not self.sender_ended:
            self.outlet.flush()
            self.sender_ended = True
            self.store.ended()
            self.outlet.choose_path()
            self._wake_senders()
            self.inlet.sender_has_ended()

    def end_reader(self) -> None:
        """Nobody will read any more: what is buffered is dropped, and senders are told."""
        if not self.reader_ended:
            self.outlet.flush()
            self.inlet.recall(self)
            self.reader_ended = True
            self.store.ended()
            self.outlet.choose_path()
            unread = self.store.messages()
            if unread:
                self.store.clear()
                self.drop_unread(unread)
                self.latency.forget()
            self._wake_senders()

    def _wake_senders(self) -> None:
        for waiter in self.blocked:
            waiter.serve()

    # --- the books -----------------------------------------------------------------------------------------

    @property
    def accepted(self) -> int:
        """How many messages it has accepted."""
        return self.accepted_before + self.outlet.pending_for(self)

    @property
    def acknowledged(self) -> int:
        """How many messages were received and are done with."""
        return self.settled_before + self.inlet.acknowledged_of(self)

    def ledger(self) -> EdgeLedger:
        """Return the books as they stand; what is buffered and in hand is counted, not computed."""
        return EdgeLedger(
            edge=self.key,
            accepted=self.accepted,
            acknowledged=self.acknowledged,
            dropped=dict(self.dropped),
            dead_lettered=self.dead_lettered,
            buffered=self.waiting,
            in_hand=self.inlet.in_hand_of(self),
        )

    def __repr__(self) -> str:
        return f"<Edge {self.key} {self.buffered}/{self.options.buffer_size}>"


def unwinding() -> bool:
    """Return whether an exception is under way that supervision may have to judge.

    Word that our own neighbours have ended is a normal end: ``except EndOfStream: out.close()`` is deliberate.
    """
    error = sys.exception()
    return error is not None and not isinstance(error, (InputEndedError, ReaderEndedError))


AnyEdge = Edge[Any]

__all__ = ["GIVEN_UP", "READER_ENDED", "AnyEdge", "Edge", "Settlement", "Waiter", "unwinding"]
