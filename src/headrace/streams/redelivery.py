"""Messages that are to be delivered again, before all that waits: on what attempt, and which of them alone.

They stand in a line of their own, so that usual messages pay nothing for it, and neither capacity nor a policy
of their edge touches them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from anyio import current_time

from headrace.model.message import Meta

if TYPE_CHECKING:
    from .edge import Edge

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds that others wait for the end of a message that is delivered alone, before they go on beside it."""


@dataclass(eq=False, slots=True)
class Redelivery(Generic[T]):
    """A message that is delivered again.

    Attributes:
        edge: The edge that it came by.
        message: The message.
        tried: How many of its attempts count so far; the next one is ``tried + 1``.
        place: Where it stood among all messages that the port has handed over: they keep this order.
        alone: Whether it may be to blame for a crash, so that it is handed over with nothing else in hand.
        blamed: Whether the last crash was surely its doing.
        meta: What its component was told about it; None where it did not ask.
        due: When it may be delivered, on the clock of the event loop.
    """

    edge: Edge[T]
    message: T
    tried: int
    place: tuple[int, int]
    alone: bool = False
    blamed: bool = False
    meta: Meta | None = None
    due: float = 0.0


class Held(NamedTuple):
    """A message in hand.

    Attributes:
        edge: The edge that it came by.
        message: The message.
        order: The number of the chunk with which it was taken; and
        spot: its place in the hand.
        again: What is known of it where it was delivered again.
        meta: What its component was told about it.
        tried: How many attempts its component has made at it by itself; 0 where it did not say.
    """

    edge: Edge[Any]
    message: Any
    order: int
    spot: int
    again: Redelivery[Any] | None = None
    meta: Meta | None = None
    tried: int = 0

    def returned(self) -> Redelivery[Any]:
        """Return what is to be delivered again; no attempt counts yet."""
        again = self.again
        if again is None:
            again = Redelivery(self.edge, self.message, 0, (self.order, self.spot))
        again.blamed = False
        again.meta = self.meta or again.meta
        again.tried = max(again.tried, self.tried)
        return again


class Piece(NamedTuple):
    """Messages of one edge that were taken together.

    Attributes:
        edge: The edge.
        messages: The messages.
        order: The number of this taking.
        again: What is known of each, where they are delivered again.
    """

    edge: Edge[Any]
    messages: list[Any]
    order: int
    again: Sequence[Redelivery[Any]] = ()


class RedeliveryLine(Generic[T]):
    """The messages of a port that are to be delivered again.

    After a crash with several messages in hand each of them may be to blame. So they are handed over one at a
    time, the next one when the one before is settled: the next crash has only one to blame, and it is the only
    one that can ever die of it. Where a component does not settle it without a further message, that is given
    up after a while (``lifted``).

    Attributes:
        entries: The messages, in order.
        lifted: Whether those that may be to blame are handed over like all others.
    """

    __slots__ = ("entries", "lifted")

    def __init__(self, entries: Iterable[Redelivery[T]] = ()) -> None:
        self.entries = list(entries)
        self.lifted = False

    def line_up(self, entries: Iterable[Redelivery[T]]) -> None:
        """Take messages in, each at its place."""
        self.entries = sorted((*self.entries, *entries), key=lambda entry: entry.place)

    def count_of(self, edge: Edge[T]) -> int:
        """Count the messages that came by an edge."""
        return sum(entry.edge is edge for entry in self.entries)

    def next_due(self) -> Redelivery[T] | None:
        """Return the first message that may be delivered now."""
        return next((entry for entry in self.entries if is_due(entry)), None)

    def patience(self) -> float:
        """Return how many seconds it takes until one more message is due; infinite where none is to come."""
        later = [entry.due for entry in self.entries if not is_due(entry)]
        return max(0.0, min(later) - current_time()) if later else math.inf

    def take(self, at_most: int) -> list[Redelivery[T]]:
        """Take out the first messages that may be delivered together: of one edge, or one that goes alone."""
        begin = next(place for place, entry in enumerate(self.entries) if is_due(entry))
        end, edge = begin + 1, self.entries[begin].edge
        while not self.goes_alone(self.entries[begin]) and end - begin < at_most and end < len(self.entries):
            entry = self.entries[end]
            if not is_due(entry) or entry.edge is not edge or self.goes_alone(entry):
                break
            end += 1
        taken = self.entries[begin:end]
        del self.entries[begin:end]
        return taken

    def goes_alone(self, entry: Redelivery[T]) -> bool:
        """Whether a message is to be handed over with nothing else in hand."""
        return entry.alone and not self.lifted


def is_due(entry: Redelivery[Any]) -> bool:
    """Whether a message may be delivered now."""
    return not entry.due or entry.due <= current_time()


def blame(held: Sequence[Held], *, lifted: bool) -> list[Redelivery[Any]]:
    """Say for which of the messages that were in hand at a crash this crash counts, and return all of them.

    The only one is to blame. Of several nobody knows, so it counts for all, but none is blamed, and they go alone
    from now on. Where they could not go alone, it is held to be the one received last.

    Args:
        held: What was in hand.
        lifted: Whether they could not go alone.
    """
    if not held:
        return []
    last = max(held, key=lambda one: (one.order, one.spot))
    back = []
    for one in held:
        before = 0 if one.again is None else one.again.tried
        again = one.returned()
        surely = len(held) == 1 or (lifted and one is last)
        if surely or not lifted:
            again.tried = max(again.tried, before + 1)
        again.blamed = surely
        again.alone = True
        back.append(again)
    return back


__all__ = ["PATIENCE", "Held", "Piece", "Redelivery", "RedeliveryLine", "blame"]
