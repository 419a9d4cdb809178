"""What a reader has taken from an edge: the chunk, how far it has got, and what of it is settled.

Handing over moves nothing but the iterator of the chunk; everything else follows from its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

from headrace.exceptions import NotInHandError
from headrace.model.message import Meta

from .edge import Edge, Settlement
from .redelivery import Held, Piece, Redelivery

T = TypeVar("T")


class Tag(NamedTuple):
    """Where one message of a hand came from, where that is not the same for all, or it was delivered before.

    Attributes:
        edge: The edge.
        order: The number of its chunk.
        again: What is known of it from earlier deliveries.
        spot: Its place in its chunk, where it may have left that; else -1.
        meta: What its component was told of it; and
        tried: how many attempts it has made by itself, where that was noted here.
    """

    edge: Edge[Any]
    order: int
    again: Redelivery[Any] | None = None
    spot: int = -1
    meta: Meta | None = None
    tried: int = 0


class Hand(Generic[T]):
    """A chunk of messages on its way to a component.

    Attributes:
        edge: Where the messages came from; None where there is no chunk.
        chunk: The messages.
        iterator: Gives those that were not handed over yet. Of the others, the last one is in hand, or all of a
            batch, until they are settled.
        order: The number of the chunk among all that the port has given out.
    """

    __slots__ = (
        "_all",
        "_entered",
        "_known",
        "_settled",
        "_several",
        "_tags",
        "_taken_out",
        "chunk",
        "edge",
        "iterator",
        "order",
    )

    def __init__(self) -> None:
        self._known: tuple[int, int, Meta | None, int] = (0, 0, None, 0)
        self.hold(None, [])

    def hold(self, edge: Edge[T] | None, chunk: list[T], order: int = 0) -> None:
        """Take a new chunk in the place of the old one."""
        self.edge = edge
        self.chunk = chunk
        self.order = order
        self.iterator: Iterator[T] = iter(chunk)
        self._tags: list[Tag] | None = None  # of each message, where they are not all alike
        self._several = False  # whether they came by several edges
        self._all = False  # whether all that were handed over are in hand, or only the last one
        self._settled = 0  # up to here messages were settled by name,
        self._entered = 0  # and so many of these the edges have entered in their books
        self._taken_out: list[T] | None = None

    def hold_pieces(self, pieces: Sequence[Piece]) -> None:
        """Take new messages, in pieces that each came by one edge, in the place of the old ones."""
        first = pieces[0]
        self.hold(first.edge, list(chain.from_iterable(piece.messages for piece in pieces)), first.order)
        if len(pieces) > 1 or first.again:
            self._tags = list(chain.from_iterable(map(_tags_of, pieces)))
            self._several = any(piece.edge is not first.edge for piece in pieces)

    def take_all(self) -> list[T]:
        """Hand over the whole chunk, as a list of its own (1 ns a message); all of it is in hand."""
        self.iterator = iter(())
        self._all = True
        return self.chunk[:]

    def empty(self) -> list[Held]:
        """Let go of what is in hand, for somebody to put it back, and return it; the rest was given back."""
        held = self.held_messages()
        if not self._all:  # those before it are acknowledged, but not entered yet
            self.chunk = self.chunk[: self.held().start]
            self.let_go()
        self.hold(None, [])
        return held

    def keep(self, held: Held) -> None:
        """Hold one message again of those that ``empty`` has returned."""
        piece = Piece(held.edge, [held.message], held.order, () if held.again is None else (held.again,))
        self.hold_pieces([piece])
        self._tags = [tag._replace(spot=held.spot) for tag in _tags_of(piece)]  # it keeps its place in line
        self.take_all()
        self.note(held.tried, held.meta)

    def rewind(self, number: int) -> None:
        """Let the last messages that were handed over be handed over once more."""
        place = len(self.chunk) - self.unhanded - number
        self.iterator = iter(self.chunk)
        self.iterator.__setstate__(place)  # type: ignore[attr-defined]

    # --- how far it has got --------------------------------------------------------------------------

    @property
    def unhanded(self) -> int:
        """How many messages were not handed over yet."""
        return self.iterator.__length_hint__()  # type: ignore[attr-defined, no-any-return]

    def rest(self) -> list[T]:
        """Return the messages that were not handed over yet."""
        return self.chunk[len(self.chunk) - self.unhanded :]

    def held(self) -> range:
        """Return the places of the messages in hand."""
        handed = len(self.chunk) - self.unhanded
        return range(self._settled if self._all else max(self._settled, handed - 1), handed)

    def pairs(self) -> list[tuple[Edge[T], T]]:
        """Return the messages in hand, each with the edge that it came by."""
        return [(self._tag(place).edge, self.chunk[place]) for place in self.held()]

    def held_messages(self) -> list[Held]:
        """Return the messages in hand with all that is known about them."""
        return [self.known_of(place) for place in self.held()]

    def known_of(self, place: int) -> Held:
        """Return a message of the chunk with all that is known about it."""
        edge, order, again, spot, meta, tried = self._tag(place)
        if self._known[:2] == (self.order, place):
            _, _, meta, tried = self._known
        return Held(edge, self.chunk[place], order, place if spot < 0 else spot, again, meta, tried)

    def _tag(self, place: int) -> Tag:
        if self._tags is not None:
            return self._tags[place]
        assert self.edge is not None
        return Tag(self.edge, self.order)

    def note(self, tried: int, meta: Meta | None) -> None:
        """Take note of what a component knows of the message that was handed over last."""
        self._known = (self.order, len(self.chunk) - self.unhanded - 1, meta, tried)

    @property
    def again(self) -> Redelivery[T] | None:
        """What is known of the message that was handed over last, where it was delivered before."""
        return self._tags[len(self.chunk) - self.unhanded - 1].again if self._tags else None

    @property
    def holds_alone(self) -> bool:
        """Whether a message is in hand that is to be the only one."""
        if self._tags is None:
            return False
        again = (self._tags[place].again for place in self.held())
        return any(one is not None and one.alone for one in again)

    def count_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that are in hand."""
        if self._tags is None:
            return len(self.held()) if self.edge is edge else 0
        return sum(self._tags[place].edge is edge for place in self.held())

    def acknowledged_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that are acknowledged, and that the edge has not entered yet."""
        if self.edge is not edge or self._all:
            return 0  # those of a batch are entered one by one
        return self.held().start - self._entered

    # --- one by one ----------------------------------------------------------------------------------

    def place_of(self, message: object) -> int:
        """Return the place of a message in hand: of the object itself, or else of an equal one.

        Raises:
            NotInHandError: It is not in hand.
        """
        held = self.held()
        for place in held:
            if self.chunk[place] is message:
                return place
        for place in held:
            if (self.chunk[place] == message) is True:  # arrays compare to something else
                return place
        raise NotInHandError(f"this message is not in hand: {message!r:.200}")

    def take_out(self, place: int) -> Held:
        """Let go of one message in hand, for somebody to settle it or to deliver it again."""
        held = self.known_of(place)
        first = self.held().start
        if place != first:
            tags = self._tag_all()
            self.chunk.insert(first, self.chunk.pop(place))
            tags.insert(first, tags.pop(place))
        self._settled = first + 1
        self._entered += 1
        if not self._all:  # else what is settled is known by its place
            self._taken_out = [*(self._taken_out or ()), held.message]
        return held

    def _not_taken_out(self) -> list[T]:
        """Return the messages of the chunk but those that were settled, or given back, one by one."""
        gone = {id(message) for message in self._taken_out or ()}
        return [message for message in self.chunk if id(message) not in gone] if gone else self.chunk

    def _tag_all(self) -> list[Tag]:
        """Give each message a tag that tells its place in the chunk, because it is about to leave it."""
        if self._tags is None or any(tag.spot < 0 for tag in self._tags):
            known = (self.known_of(place) for place in range(len(self.chunk)))
            self._tags = [Tag(one.edge, one.order, one.again, one.spot, one.meta, one.tried) for one in known]
            self._known = (0, 0, None, 0)
        return self._tags

    # --- what becomes of it ----------------------------------------------------------------------------

    def settle(self, number: int, outcome: Settlement, reason: str) -> None:
        """Enter in the books what became of the oldest messages in hand.

        Raises:
            ValueError: There is no such outcome.
        """
        if outcome not in ("acknowledged", "dead_lettered", "dropped"):
            raise ValueError(f"a message is acknowledged, dead_lettered or dropped, not {outcome!r}")
        held = self.held()[:number]
        if not held:
            return
        if not self._several and self.edge is not None:  # 0.05 us a message; one by one 0.26
            self.edge.settle(self.chunk[held.start : held.stop], outcome, reason)
        else:
            for place in held:
                self._tag(place).edge.settle([self.chunk[place]], outcome, reason)
        self._settled = held.stop
        self._entered += len(held)

    def let_go(self) -> None:
        """Acknowledge what is in hand, and forget the chunk, of which everything was handed over."""
        edge = self.edge
        if edge is not None:
            if self._all:
                self.settle(len(self.chunk), "acknowledged", "")
            else:
                edge.settled_before += len(self.chunk) - self._entered
                if edge.store.confirms or edge.store.settlements:
                    edge.tell_settled(self._not_taken_out(), "acknowledged")
            self.hold(None, [])

    def give_back(self) -> bool:
        """Put what was not handed over back on its edge; returns whether there was anything."""
        rest = list(self.iterator)
        if rest and self.edge is not None:
            del self.chunk[len(self.chunk) - len(rest) :]
            if self._tags is not None:
                del self._tags[len(self.chunk) :]
            self.edge.put_back(rest)
        return bool(rest)


class ManualHand(Hand[T]):
    """A hand that keeps what it has handed over until each message is settled by name.

    The chunk is a window: what is in hand, the oldest first, and what is to be handed over.
    """

    __slots__ = ()

    def hold(self, edge: Edge[T] | None, chunk: list[T], order: int = 0) -> None:
        """Take a new chunk beside what is in hand; without an edge, forget everything."""
        if edge is None:
            super().hold(None, [])
            self._tags = []
            self._several = True  # for all it knows
            self._all = True
        else:
            self.hold_pieces([Piece(edge, chunk, order)])

    def hold_pieces(self, pieces: Sequence[Piece]) -> None:
        """Take new messages, in pieces that each came by one edge, beside what is in hand."""
        assert self._tags is not None
        self._forget_settled()
        handed = len(self.chunk)
        for piece in pieces:
            self.edge = piece.edge
            self.order = piece.order
            self.chunk += piece.messages
            self._tags += (tag._replace(spot=spot) for spot, tag in enumerate(_tags_of(piece)))
        self.iterator = iter(self.chunk)
        self.iterator.__setstate__(handed)  # type: ignore[attr-defined]

    def take_all(self) -> list[T]:
        """Hand over the rest of the window, in a list of its own."""
        handed = len(self.chunk) - self.unhanded
        self.iterator = iter(())
        return self.chunk[handed:]

    def let_go(self) -> None:
        """Keep what is in hand: the next receive acknowledges nothing."""

    def note(self, tried: int, meta: Meta | None) -> None:
        """Take note of what a component knows of the message that was handed over last."""
        assert self._tags is not None
        last = len(self.chunk) - self.unhanded - 1
        self._tags[last] = self._tags[last]._replace(tried=tried, meta=meta)

    def _forget_settled(self) -> None:
        assert self._tags is not None
        del self.chunk[: self._settled]
        del self._tags[: self._settled]
        self._settled = self._entered = 0


def _tags_of(piece: Piece) -> list[Tag]:
    if piece.again:
        return [Tag(piece.edge, piece.order, again) for again in piece.again]
    return [Tag(piece.edge, piece.order)] * len(piece.messages)


__all__ = ["Hand", "ManualHand"]
