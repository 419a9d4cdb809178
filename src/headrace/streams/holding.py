"""What a handle on an input port has in hand, and what becomes of it: the half of the handle that never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from anyio.streams.memory import MemoryObjectReceiveStream

from headrace.model.message import Meta

from .batches import Batch
from .edge import Edge, Settlement
from .hand import Hand
from .redelivery import Held

if TYPE_CHECKING:
    from .inlet import Inlet

T = TypeVar("T")


class HoldingStream(MemoryObjectReceiveStream[T]):
    """The messages that one handle has in hand.

    Attributes:
        inlet: The port.
        gathered: The batches that are not handed over yet.
    """

    __slots__ = ("_closed", "_hand", "gathered", "inlet")

    def __init__(self, inlet: Inlet[T]) -> None:
        self.inlet = inlet
        self._closed = False
        self._hand: Hand[T] = Hand()
        self.gathered: list[Batch[T]] = []

    @property
    def closed(self) -> bool:
        """Whether this handle was closed."""
        return self._closed

    @property
    def edge(self) -> Edge[T] | None:
        """Where the messages of the chunk came from; None where there is no chunk."""
        return self._hand.edge

    @property
    def unhanded(self) -> int:
        """How many messages of the chunk were not handed over yet."""
        return self._hand.unhanded

    def rest(self) -> list[T]:
        """Return the messages of the chunk that were not handed over yet."""
        return self._hand.rest()

    @property
    def has_hand(self) -> bool:
        """Whether a message was received and is not settled."""
        return bool(self._hand.held()) or any(batch.pieces for batch in self.gathered)

    @property
    def holds_alone(self) -> bool:
        """Whether a message is in hand that is to be the only one."""
        return self._hand.holds_alone or any(batch.holds_alone for batch in self.gathered)

    @property
    def hand(self) -> Any:
        """The message in hand, the last one of several; None if there is none."""
        held = self.hands()
        return held[-1][1] if held else None

    @property
    def edge_in_hand(self) -> str:
        """The key of the edge that the message in hand came by; empty if there is none."""
        held = self.hands()
        return held[0][0].key if held else ""

    def hands(self) -> list[tuple[Edge[T], T]]:
        """Return the messages in hand, each with the edge that it came by."""
        return self._hand.pairs()

    def in_hand_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that are in hand, or gathered for a batch."""
        gathered = sum(batch.count_of(edge) for batch in self.gathered)
        return gathered + self._hand.count_of(edge)

    def acknowledged_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that this chunk had and that were acknowledged."""
        return self._hand.acknowledged_of(edge)

    # --- what is known of it -------------------------------------------------------------------------

    @property
    def has_redeliveries(self) -> bool:
        """Whether messages are to be delivered again, or the one in hand was."""
        return self.inlet.line is not None

    @property
    def tried(self) -> int:
        """How many attempts at the message in hand (the last one of several) count already: 0 at the first."""
        again = self._hand.again
        return 0 if again is None else again.tried

    @property
    def meta(self) -> Meta | None:
        """What a component was told about the message in hand at an earlier attempt; None if nothing was."""
        again = self._hand.again
        return None if again is None else again.meta

    def known(self) -> list[tuple[int, Meta | None]]:
        """Return what ``tried`` and ``meta`` say, for each message in hand."""
        return [
            (0, None) if one.again is None else (one.again.tried, one.again.meta)
            for one in self._hand.held_messages()
        ]

    def note(self, tried: int, meta: Meta | None = None) -> None:
        """Take note of what a component knows of the message that it received last, for its next delivery.

        Args:
            tried: How many attempts at it count: more than none where it tries by itself.
            meta: What it was told about it.
        """
        self._hand.note(tried, meta)

    # --- what becomes of it ----------------------------------------------------------------------------

    def settle(self, outcome: Settlement = "acknowledged", reason: str = "") -> None:
        """Enter in the books what became of all that is in hand; nothing happens if there is nothing.

        Args:
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why it was dropped.

        Raises:
            ValueError: There is no such outcome.
        """
        self.settle_first(len(self._hand.held()), outcome, reason)

    def settle_first(self, number: int, outcome: Settlement = "acknowledged", reason: str = "") -> None:
        """Enter in the books what became of the oldest messages in hand.

        Args:
            number: How many.
            outcome: ``acknowledged``, ``dead_lettered`` or ``dropped``.
            reason: Why they were dropped.

        Raises:
            ValueError: There is no such outcome.
        """
        self._hand.settle(number, outcome, reason)
        if self.inlet.line is not None:
            self.inlet.move_line()

    def release(self, but: int | None = None) -> None:
        """Put what is in hand back, first in line, as if it had never been received: no attempt counts.

        Args:
            but: The place of a message that stays in hand, counted from the oldest one in hand.
        """
        self.give_back()
        held = self._hand.empty()
        if but is not None:
            self._hand.keep(held.pop(but))
        self.inlet.deliver_again([one.returned() for one in held])

    def empty(self) -> list[Held]:
        """Let go of all that is in hand, for somebody to put it back, and return it."""
        for batch in self.gathered:
            batch.give_back()
        return self._hand.empty()

    def hold_batch(self, batch: Batch[T]) -> list[T]:
        """Hand a batch over: it is in hand in the place of what was."""
        self.give_back()
        self._hand.let_go()
        self._hand.hold_pieces(batch.pieces)
        return self._hand.take_all()

    def let_go(self) -> None:
        """Acknowledge what is in hand, and forget the chunk, of which everything was handed over."""
        self._hand.let_go()

    def give_back(self) -> None:
        """Put what was not handed over back on its edge; what is in hand stays."""
        if self._hand.give_back() and self.inlet.hungry:
            self.inlet.wake()


__all__ = ["HoldingStream"]
