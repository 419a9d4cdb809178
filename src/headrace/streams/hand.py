"""What a reader has taken from an edge: the chunk, how far it has got, and what of it is settled.

Handing over moves nothing but the iterator of the chunk; everything else follows from its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Generic, TypeVar

from .edge import Edge, Settlement

T = TypeVar("T")


class Hand(Generic[T]):
    """A chunk of messages on its way to a component.

    Attributes:
        edge: Where the messages came from; None where there is no chunk.
        chunk: The messages.
        iterator: Gives those that were not handed over yet. Of the others, the last one is in hand, or all of a
            batch, until they are settled.
    """

    __slots__ = ("_all", "_entered", "_origins", "_settled", "chunk", "edge", "iterator")

    def __init__(self) -> None:
        self.hold(None, [])

    def hold(self, edge: Edge[T] | None, chunk: list[T]) -> None:
        """Take a new chunk in the place of the old one."""
        self.edge = edge
        self.chunk = chunk
        self.iterator: Iterator[T] = iter(chunk)
        self._origins: list[Edge[T]] | None = None  # of each message, where a batch came by several edges
        self._all = False  # whether all that were handed over are in hand, or only the last one
        self._settled = 0  # up to here messages were settled by name,
        self._entered = 0  # and so many of these the edges have entered in their books

    def hold_batch(self, pieces: Sequence[tuple[Edge[T], list[T]]]) -> list[T]:
        """Take in hand pieces, each of one edge; returns their messages. Those of one edge are settled at once."""
        self.hold(pieces[0][0], list(chain.from_iterable(piece for _, piece in pieces)))
        if any(edge is not self.edge for edge, _ in pieces):
            self._origins = list(chain.from_iterable(repeat(edge, len(piece)) for edge, piece in pieces))
        return self.take_all()

    def take_all(self) -> list[T]:
        """Hand over the whole chunk; all of it is in hand."""
        self.iterator = iter(())
        self._all = True
        return self.chunk

    def put_down(self, but: int | None = None) -> list[tuple[Edge[T], list[T]]]:
        """Let go of a batch, for somebody to put it back; returns what of it is not settled, with its edges.

        Args:
            but: The place of a message that stays in hand, counted from the oldest one in hand.
        """
        pieces = [(edge, [message]) for edge, message in self.pairs()]
        self.hold(None, [])
        if but is not None:
            self.hold_batch([pieces.pop(but)])
        return pieces

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
        return [(self._origin(place), self.chunk[place]) for place in self.held()]

    def _origin(self, place: int) -> Edge[T]:
        edge = self.edge if self._origins is None else self._origins[place]
        assert edge is not None
        return edge

    def count_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that are in hand."""
        if self._origins is None:
            return len(self.held()) if self.edge is edge else 0
        return sum(self._origin(place) is edge for place in self.held())

    def acknowledged_of(self, edge: Edge[T]) -> int:
        """Count the messages of an edge that are acknowledged, and that the edge has not entered yet."""
        if self.edge is not edge or self._all:
            return 0  # those of a batch are entered one by one
        return self.held().start - self._entered

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
        if self._origins is None and self.edge is not None:
            self.edge.settle(self.chunk[held.start : held.stop], outcome, reason)
        else:
            for place in held:
                self._origin(place).settle([self.chunk[place]], outcome, reason)
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
                if edge.store.confirms:
                    edge.store.settled(self.chunk)
            self.hold(None, [])

    def give_back(self) -> bool:
        """Put what was not handed over back on its edge; returns whether there was anything."""
        rest = list(self.iterator)
        if rest and self.edge is not None:
            del self.chunk[len(self.chunk) - len(rest) :]
            self.edge.put_back(rest)
        return bool(rest)


__all__ = ["Hand"]
