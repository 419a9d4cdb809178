"""How long messages lie on an edge: one at a time is followed, so that the hot path reads no clock for it."""

from __future__ import annotations

from time import perf_counter

from headrace.model.latency import LatencyHistogram

__all__ = ["LatencySampler"]

_LEFT_OUT = 7


class LatencySampler:
    """Follows one message of an edge from its acceptance to its hand-over, then another one.

    Attributes:
        ahead: How many stored messages go before the one that is followed; -1 while none is.
        histogram: The times of those that were handed over.
    """

    __slots__ = ("_left_out", "_since", "ahead", "histogram")

    def __init__(self) -> None:
        self.ahead = -1
        self.histogram = LatencyHistogram()
        self._since = 0.0
        self._left_out = 0

    def follow(self, ahead: int) -> None:
        """Follow a message that was accepted just now, behind ``ahead`` others, if none is followed.

        One in eight of those that come alone is enough: all of them cost a message to and fro a tenth more.
        """
        if self.ahead >= 0:
            return
        if not ahead and self._left_out:
            self._left_out -= 1
            return
        self._left_out = _LEFT_OUT
        self.ahead = ahead
        self._since = perf_counter()

    def taken(self, number: int) -> None:
        """Take note that ``number`` messages are handed over, the first of them now."""
        if self.ahead == 0:
            self.histogram.add(perf_counter() - self._since)
            self.ahead = -1
        else:
            self.ahead -= number

    def discarded(self) -> None:
        """Take note that the oldest message is gone."""
        self.ahead = max(self.ahead - 1, -1)

    def put_back(self, number: int) -> None:
        """Take note that messages go before all others again."""
        if self.ahead >= 0:
            self.ahead += number

    def forget(self) -> None:
        """Follow none any more: all messages are gone."""
        self.ahead = -1
