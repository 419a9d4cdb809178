"""A look at the messages of an edge that costs little while somebody looks, and else nothing (``watched_store``).

Of what passes it looks at as much as its share of the time allows; the rest is only counted, a chunk at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .edge import AnyEdge

SHARE = 0.03
"""The part of the time that all samplers of a system take together."""
BURST = 0.015
"""Seconds of work that a sampler has in store when nothing has passed for a while: 100 messages at once."""
KEPT_COST = 0.00015
"""Seconds that one sample costs whoever takes it, as an estimate: woken up for it, encoded and written."""


class Sampler:
    """Takes samples of the messages that edges accept.

    Args:
        look: Makes a sample of an edge's key, a message's number on it, and the message; None where it is not
            wanted. What it raises counts as ``failed``.
        size: How many samples wait at most to be taken; further messages are skipped.
        leads: Says whether an edge counts: of several that get the same messages one does.
        clock: Gives seconds; parts of a millisecond matter.

    Attributes:
        samples: Those that wait, the oldest first.
        share: The part of the time it may take.
        skipped: Messages that it has not looked at.
        unwanted: Messages that ``look`` did not want.
        failed: Messages on which ``look`` raised, and
        error: what it raised last.
        on_sample: Called when there is a first sample to take.
        on_end: Called when an edge has ended.
    """

    __slots__ = (
        "_at",
        "_clock",
        "_credit",
        "_leads",
        "_look",
        "_over",
        "_size",
        "error",
        "failed",
        "on_end",
        "on_sample",
        "samples",
        "share",
        "skipped",
        "unwanted",
    )

    def __init__(
        self,
        look: Callable[[str, int, Any], Any],
        *,
        size: int = 100,
        leads: Callable[[AnyEdge], bool] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.samples: deque[Any] = deque()
        self.share = SHARE
        self.skipped = self.unwanted = self.failed = 0
        self.error: Exception | None = None
        self.on_sample: Callable[[], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._look = look
        self._size = size
        self._leads = leads
        self._clock = clock
        self._credit = BURST
        self._at = clock()
        self._over = 0

    def offer(self, edge: AnyEdge, number: int, messages: Sequence[Any]) -> None:
        """Look at some of the messages that an edge accepts, if it is time for that.

        Args:
            edge: The edge.
            number: Which message of the edge the first one is, from 1.
            messages: They follow each other.
        """
        if self._over:
            self._over = max(self._over - len(messages), 0)
        elif self._leads is not None and not self._leads(edge):
            return
        elif len(self.samples) >= self._size:
            self.skipped += len(messages)
        else:
            now = self._clock()
            self._credit = min(BURST, self._credit + (now - self._at) * self.share)
            self._at = now
            looked = self._look_at(edge, number, messages) if self._credit > 0 else 0
            self.skipped += len(messages) - looked

    def pass_over(self, number: int) -> None:
        """Take no note of the next messages: they were offered before."""
        self._over += number

    def _look_at(self, edge: AnyEdge, number: int, messages: Sequence[Any]) -> int:
        """Look at the first messages, as long as there is time; returns at how many."""
        looked, before = 0, self._at
        was_empty = not self.samples
        for message in messages:
            try:
                sample = self._look(edge.key, number + looked, message)
            except Exception as error:  # of whoever looks; the system must not fail for it
                self.failed += 1
                self.error = error
            else:
                if sample is None:
                    self.unwanted += 1
                else:
                    self.samples.append(sample)
                    self._credit -= KEPT_COST
            looked += 1
            now = self._clock()
            self._credit -= now - before
            before = now
            if self._credit <= 0 or len(self.samples) >= self._size:
                break
        self._at = before
        if was_empty and self.samples and self.on_sample is not None:
            self.on_sample()
        return looked

    def edge_ended(self) -> None:
        """Take note that nothing more passes on one of the edges."""
        if self.on_end is not None:
            self.on_end()


__all__ = ["BURST", "SHARE", "Sampler"]
