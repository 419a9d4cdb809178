"""Marks on single messages of an edge: who has one is taken alone, so that somebody can follow it.

Messages are plain objects that nobody wraps; a mark knows its message by its place among all that were stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .edge import AnyEdge

MOST = 1000
"""How many messages of an edge have marks at a time; a further one gets none."""


class Marks:
    """The marks on the messages of one edge.

    Args:
        edge: The edge.
        taken: Called with a mark when its message is handed over, in the task that gets it; what it returns is
            called, with whether the message has died, when that was settled.
        passing: Called when messages are stored, or pass by.

    Attributes:
        stored: How many messages have been stored since there are marks, and before.
        at_work: The messages with marks that were handed over, and are not settled: how many must have left the
            edge for good for it, how many have died before, and what to call.
    """

    __slots__ = ("_edge", "_looking", "_marks", "_taken", "at_work", "passing", "stored")

    def __init__(
        self,
        edge: AnyEdge,
        taken: Callable[[Any], Callable[[bool], None]],
        passing: Callable[[AnyEdge], None],
    ) -> None:
        self.stored = len(edge.store)
        self.at_work: list[tuple[int, int, Callable[[bool], None]]] = []
        self.passing = passing
        self._edge = edge
        self._taken = taken
        self._marks: deque[tuple[int, Any]] = deque()
        self._looking = False

    def mark_last(self, what: Any) -> None:
        """Give a mark to the message that was stored last."""
        if len(self._marks) < MOST:
            self._marks.append((self.stored, what))

    def ahead(self, kept: int) -> int:
        """Return how many messages are taken before the first one with a mark; -1 where none has one.

        Args:
            kept: How many messages there are.
        """
        taken = self.stored - kept
        while self._marks and self._marks[0][0] <= taken:
            self._marks.popleft()  # it was discarded
        return self._marks[0][0] - taken - 1 if self._marks else -1

    def take(self) -> None:
        """Take note that the message with the first mark is handed over."""
        _, what = self._marks.popleft()
        left = self._edge.accepted - self._edge.buffered
        self.at_work.append((left, self._edge.dead_lettered, self._taken(what)))

    def look(self) -> None:
        """See which messages have been settled meanwhile."""
        if not self.at_work or self._looking:
            return
        self._looking = True  # the books ask how many are kept, which looks
        try:
            edge = self._edge
            settled = edge.acknowledged + edge.dead_lettered + sum(edge.dropped.values())
            done = [one for one in self.at_work if one[0] <= settled]
            self.at_work = [one for one in self.at_work if one[0] > settled]
        finally:
            self._looking = False
        for _, dead, finish in done:
            finish(edge.dead_lettered > dead)

    def forget(self) -> None:
        """Have no marks on what is kept: it is let go."""
        self._marks.clear()

    def end(self) -> None:
        """Take note that nothing more happens to any message."""
        self.look()
        for _, _, finish in self.at_work:
            finish(False)
        self.at_work = []


__all__ = ["MOST", "Marks"]
