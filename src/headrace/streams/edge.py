"""An edge: the bounded FIFO from one output port to one input port, and its books.

The edge owns its messages and its end; what components hold are handles, which are views of it.
Both ports live in one event loop, so nothing here locks.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio import Event

from headrace.exceptions import InputEndedError, ReaderEndedError
from headrace.model.ledger import EdgeLedger
from headrace.model.options import EdgeOptions

if TYPE_CHECKING:
    from .inlet import Inlet
    from .outlet import Outlet

T = TypeVar("T")

READER_ENDED = "reader_ended"


class Waiter:
    """One task waiting on a port; ``served`` is set by whoever wakes it."""

    __slots__ = ("_event", "served", "task")

    def __init__(self) -> None:
        self._event = Event()
        self.served = False
        self.task = 0  # its id; only known to ports that tell when they are idle

    def serve(self) -> None:
        """Wake the task."""
        self.served = True
        self._event.set()

    async def wait(self) -> None:
        """Wait to be served."""
        await self._event.wait()


class Edge(Generic[T]):
    """A bounded FIFO between an outlet and an inlet.

    ``room`` is what the fast path of ``send`` compares with: the capacity while nothing special is the
    matter, else 0, so that every rare condition costs the usual send nothing.
    """

    __slots__ = (
        "accepted",
        "acknowledged",
        "blocked",
        "buffer",
        "dead_lettered",
        "dropped",
        "inlet",
        "key",
        "options",
        "outlet",
        "reader_ended",
        "room",
        "sender_ended",
    )

    def __init__(self, key: str, options: EdgeOptions, outlet: Outlet[T], inlet: Inlet[T]) -> None:
        self.key = key
        self.options = options
        self.outlet = outlet
        self.inlet = inlet
        self.buffer: deque[T] = deque()
        self.blocked: deque[Waiter] = deque()
        self.accepted = 0
        self.acknowledged = 0
        self.dead_lettered = 0
        self.dropped: dict[str, int] = {}
        self.sender_ended = False
        self.reader_ended = False
        self.room = 0 if options.copy else options.buffer_size

    @property
    def ended(self) -> bool:
        """Whether nothing can go through it any more."""
        return self.reader_ended or self.sender_ended

    @property
    def full(self) -> bool:
        """Whether it holds as many messages as it may accept."""
        return len(self.buffer) >= self.options.buffer_size

    @property
    def holds_back(self) -> bool:
        """Whether a send on it has to wait now."""
        return self.full and self.options.when_full == "block" and not self.ended

    def append(self, item: T) -> None:
        """Accept a message that there is room for, or that its policy makes room for."""
        self.accepted += 1
        if self.ended:
            self.drop(READER_ENDED)
            return
        if self.full:
            self.drop(self.options.when_full)
            if self.options.when_full == "drop_newest":
                return
            self.buffer.popleft()
        self.buffer.append(item)
        if self.inlet.hungry:
            self.inlet.wake()

    def drop(self, reason: str, number: int = 1) -> None:
        """Enter dropped messages in the books."""
        self.dropped[reason] = self.dropped.get(reason, 0) + number

    def wake_sender(self) -> None:
        """Serve the first waiting sender, once; it stays first in the queue until it has got through."""
        if self.blocked and not self.blocked[0].served:
            self.blocked[0].serve()

    def end_sender(self) -> None:
        """No more messages will be sent: the reader gets what is buffered, then the end."""
        if not self.sender_ended:
            self.sender_ended = True
            self.room = 0
            self._wake_senders()
            self.inlet.sender_has_ended()

    def end_reader(self) -> None:
        """Nobody will read any more: what is buffered is dropped, and senders are told."""
        if not self.reader_ended:
            self.reader_ended = True
            self.room = 0
            if self.buffer:
                self.drop(READER_ENDED, len(self.buffer))
                self.buffer.clear()
            self._wake_senders()

    def _wake_senders(self) -> None:
        for waiter in self.blocked:
            waiter.serve()

    def ledger(self) -> EdgeLedger:
        """Return the books as they stand; what is buffered and in hand is counted, not computed."""
        return EdgeLedger(
            edge=self.key,
            accepted=self.accepted,
            acknowledged=self.acknowledged,
            dropped=dict(self.dropped),
            dead_lettered=self.dead_lettered,
            buffered=len(self.buffer),
            in_hand=self.inlet.in_hand_of(self),
        )

    def __repr__(self) -> str:
        return f"<Edge {self.key} {len(self.buffer)}/{self.options.buffer_size}>"


def unwinding() -> bool:
    """Return whether an exception is under way that supervision may have to judge.

    Word that our own neighbours have ended is a normal end: ``except EndOfStream: out.close()`` is deliberate.
    """
    error = sys.exception()
    return error is not None and not isinstance(error, (InputEndedError, ReaderEndedError))


AnyEdge = Edge[Any]

__all__ = ["READER_ENDED", "AnyEdge", "Edge", "Waiter", "unwinding"]
