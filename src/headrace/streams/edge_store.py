"""The seam of an edge: what keeps its messages between the sender and the reader.

Flow control and books are the edge's; a store only keeps. ``headrace.testing.check_edge_store`` holds for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from .marks import Marks
    from .sampler import Sampler
    from .settlements import Settlements

T = TypeVar("T")


class EdgeStore(ABC, Generic[T]):
    """Keeps the messages of one edge, in order, from acceptance until they are taken.

    The edge calls everything from its event loop, and never adds more than its capacity. It takes messages in
    chunks; what it has taken may be put back, and goes first then.

    Attributes:
        confirms: Whether a message is safe only when ``confirm`` has returned. ``send`` awaits it then, and the
            store is told what was settled. Where it is false neither is ever called.
        samplers: Who looks at what is added; ``watched_store`` alone changes it.
        marks: The marks on some of the messages, likewise.
        settlements: Who hears what becomes of the messages, likewise.
    """

    confirms: ClassVar[bool] = False
    samplers: ClassVar[tuple[Sampler, ...]] = ()
    marks: ClassVar[Marks | None] = None
    settlements: ClassVar[tuple[Settlements, ...]] = ()

    __slots__ = ()

    @abstractmethod
    def __len__(self) -> int:
        """Return how many messages are kept."""

    @abstractmethod
    def messages(self) -> list[T]:
        """Return the messages that are kept, the oldest first; for statistics and tests."""

    @abstractmethod
    def add(self, messages: list[T]) -> list[T]:
        """Keep messages behind all others. Takes the list over, and returns an empty one."""

    @abstractmethod
    def append(self, message: T) -> None:
        """Keep one message behind all others."""

    @abstractmethod
    def take(self, at_most: int) -> list[T]:
        """Return the oldest messages, at least one where there is any, and keep them no longer.

        A store that confirms keeps them safe until they are settled: after a kill they come again.
        """

    @abstractmethod
    def put_back(self, messages: Sequence[T]) -> None:
        """Keep messages that were taken again, before all others, in their order."""

    @abstractmethod
    def discard_oldest(self) -> None:
        """Let the oldest message go; there is one."""

    @abstractmethod
    def clear(self) -> int:
        """Let all messages go; returns how many there were."""

    async def confirm(self) -> None:
        """Return when everything that was added so far is safe; only called where ``confirms`` is true.

        May be cancelled: what was added stays added.
        """

    def settled(self, messages: Sequence[T]) -> None:
        """Take note that messages that were taken need not come again; it may be told so twice."""

    def ended(self) -> None:
        """Take note that nothing more will be added, except what is put back."""


class MemoryStore(EdgeStore[T]):
    """Keeps the objects themselves, in two lists: what came last, and what goes first, turned round.

    Where the reader keeps up, a whole list changes hands; else taking and putting back cost 10 ns a message.
    """

    __slots__ = ("_first", "_last")

    def __init__(self) -> None:
        self._last: list[T] = []
        self._first: list[T] = []

    def __len__(self) -> int:
        return len(self._last) + len(self._first)

    def messages(self) -> list[T]:
        """Return the messages that are kept, the oldest first."""
        return [*reversed(self._first), *self._last]

    def add(self, messages: list[T]) -> list[T]:
        """Keep messages behind all others; the list itself, where there are none."""
        if self._last:
            self._last += messages
            messages.clear()
            return messages
        empty, self._last = self._last, messages
        return empty

    def append(self, message: T) -> None:
        """Keep one message behind all others."""
        self._last.append(message)

    def take(self, at_most: int) -> list[T]:
        """Return the oldest messages, and keep them no longer."""
        first = self._first
        if not first:
            chunk = self._last
            self._last = []
            if len(chunk) <= at_most:
                return chunk
            first = self._first = chunk
            first.reverse()
        chunk = first[-at_most:]
        del first[-at_most:]
        chunk.reverse()
        return chunk

    def put_back(self, messages: Sequence[T]) -> None:
        """Keep messages that were taken again, before all others."""
        self._first += reversed(messages)

    def discard_oldest(self) -> None:
        """Let the oldest message go."""
        if self._first:
            self._first.pop()
        else:
            del self._last[0]

    def clear(self) -> int:
        """Let all messages go; returns how many there were."""
        count = len(self)
        self._first.clear()
        self._last.clear()
        return count


__all__ = ["EdgeStore", "MemoryStore"]
