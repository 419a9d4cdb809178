"""What a handle on an input port has in hand, and what becomes of it: the half of the handle that never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from anyio import ClosedResourceError, current_time
from anyio.streams.memory import MemoryObjectReceiveStream

from headrace.exceptions import NackedError
from headrace.model.message import Meta

from .batches import Batch
from .edge import Edge, Settlement
from .hand import Hand
from .redelivery import Held, Redelivery

if TYPE_CHECKING:
    from .inlet import Inlet

T = TypeVar("T")
UNLIMITED = 1 << 30
ALL: Any = object()
"""All messages in hand, where none is named."""


class HoldingStream(MemoryObjectReceiveStream[T]):
    """The messages that one handle has in hand.

    Attributes:
        inlet: The port.
        gathered: The batches that are not handed over yet.
    """

    __slots__ = ("_closed", "_hand", "_retired", "gathered", "inlet")

    def __init__(self, inlet: Inlet[T], hand: Hand[T] | None = None) -> None:
        self.inlet = inlet
        self._closed = False
        self._retired = False
        self._hand = hand or Hand()
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
    def is_at_work(self) -> bool:
        """Whether something that is in hand goes on, although its component only waits for messages."""
        return bool(self._hand.held()) or self._gathers

    @property
    def _gathers(self) -> bool:
        return any(batch.pieces and not batch.waits_for_ever for batch in self.gathered)

    @property
    def room(self) -> int:
        """How many more messages may be in hand."""
        return UNLIMITED

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

    def about_hand(self) -> tuple[str, str] | None:
        """Return the edge of the message in hand, the last one of several, and its id where that is known."""
        held = self._hand.held()
        if not held:
            return None
        known = self._hand.known_of(held[-1])
        return known.edge.key, "" if known.meta is None else known.meta.id

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

    def ack(self, message: object = ALL) -> None:
        """Acknowledge a message in hand, or all of them; nothing happens where nothing is in hand.

        Args:
            message: Which: the object itself comes before an equal one.

        Raises:
            ClosedResourceError: The life of the component that had this handle is over.
            NotInHandError: It is not in hand; it may have been acknowledged before.
        """
        self._refuse_retired()
        if message is ALL:
            self.settle()
        else:
            held = self._hand.take_out(self._hand.place_of(message))
            held.edge.settle([held.message], "acknowledged")
            self._has_settled()

    def ack_first(self, number: int) -> None:
        """Acknowledge the oldest messages in hand.

        Args:
            number: How many; fewer where there are not so many.

        Raises:
            ClosedResourceError: The life of the component that had this handle is over.
            ValueError: It is below 0.
        """
        self._refuse_retired()
        if number < 0:
            raise ValueError(f"at least 0 messages are acknowledged, not {number!r}")
        self.settle_first(number)

    async def nack(
        self, message: object = ALL, *, error: BaseException | None = None, delay: float = 0.0
    ) -> None:
        """Give a message in hand back, or all of them: it is delivered again, first in line.

        It counts as an attempt; after the last one the message is a dead letter. Waits only where there is no
        room for dead letters.

        Args:
            message: Which: the object itself comes before an equal one.
            error: What was wrong with it, for the dead letter.
            delay: Seconds until it is delivered again; others are meanwhile.

        Raises:
            ClosedResourceError: The life of the component that had this handle is over.
            NotInHandError: It is not in hand; it may have been acknowledged before.
            ValueError: ``delay`` is negative.
        """
        self._refuse_retired()
        if not delay >= 0:
            raise ValueError(f"delay must be at least 0 s, not {delay!r}")
        places = self._hand.held() if message is ALL else (self._hand.place_of(message),)
        again = [self._hand.known_of(place).returned() for place in places]
        dead = [entry for entry in again if self.inlet.is_last_attempt(entry)]
        for entry in dead:
            await self._give_up(entry, error)
        back = [entry for entry in again if entry not in dead]
        for entry in back:
            self._hand.take_out(self._hand.place_of(entry.message))
            entry.tried += 1
            entry.alone = False
            entry.due = current_time() + delay if delay else 0.0
        self.inlet.deliver_again(back)
        self._has_settled()

    async def _give_up(self, entry: Redelivery[T], error: BaseException | None) -> None:
        """Have a message in hand put away; it stays in hand until there is room for it."""
        assert self.inlet.give_up is not None
        entry.tried += 1
        try:
            reason = error or NackedError(f"given back by nack at attempt {entry.tried}")
            settlement = await self.inlet.give_up(entry, reason)
        except BaseException:
            entry.tried -= 1
            raise
        self._hand.take_out(self._hand.place_of(entry.message))
        entry.edge.settle([entry.message], *settlement)

    def _refuse_retired(self) -> None:
        if self._retired:
            raise ClosedResourceError

    def _has_settled(self) -> None:
        """Let those go on that wait for something to be settled."""
        if self.inlet.line is not None:
            self.inlet.move_line()

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
        self._has_settled()

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
        self._has_settled()

    def empty(self) -> list[Held]:
        """Let go of all that is in hand, for somebody to put it back, and return it."""
        for batch in self.gathered:
            batch.give_back()
        return self._hand.empty()

    def finish(self) -> None:
        """Settle what is in hand when the component has ended by itself."""
        self.settle("acknowledged")

    def look_again(self) -> None:
        """Let those have a look who wait for something else than a message: here nobody does."""

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
