"""Which of many like records are written: the first few of a time, and then how many more there were."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Repeated", "Repeats", "likeness"]

_VARYING = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")
_TELLING = ("text", "error", "reason", "port", "resource", "what")
_LONGEST = 120


def likeness(level: int, event: str, values: Mapping[str, Any]) -> Hashable:
    """Return the same for records that say the same: of one component, and alike but for numbers and names."""
    texts = [event, *(str(values[name]) for name in _TELLING if name in values)]
    return (level, values.get("component"), *(_VARYING.sub("#", text[:_LONGEST]) for text in texts))


@dataclass(slots=True)
class Repeated:
    """Records that are alike.

    Attributes:
        since: When the first one of this time was written.
        written: How many were.
        held: How many were not.
        last: The last one of those, as whoever asked gave it.
    """

    since: float
    written: int = 0
    held: int = 0
    last: Any = None


class Repeats:
    """Says of each record whether it is written, and tells afterwards how many were not.

    Args:
        burst: How many records that are alike are written in one time.
        within: How long a time is, in seconds.
        most: How many kinds of records it remembers; the one not seen for longest is forgotten for a new one.
    """

    def __init__(self, burst: int = 10, within: float = 10.0, most: int = 256) -> None:
        self._burst = burst
        self._within = within
        self._most = most
        self._known: OrderedDict[Hashable, Repeated] = OrderedDict()

    def admit(self, like: Hashable, now: float, record: Any) -> tuple[bool, list[Repeated]]:
        """Say whether a record is written now, and of which others it is to be told before that they were not.

        Args:
            like: What is the same for records that are alike.
            now: Monotonic seconds.
            record: The record, kept where it is not written.
        """
        told: list[Repeated] = []
        one = self._known.get(like)
        if one is not None and now - one.since >= self._within:
            del self._known[like]
            if one.held:
                told.append(one)
            one = None
        if one is None:
            one = self._known[like] = Repeated(now)
            if len(self._known) > self._most:
                _, forgotten = self._known.popitem(last=False)
                if forgotten.held:
                    told.append(forgotten)
        else:
            self._known.move_to_end(like)
        if one.written < self._burst:
            one.written += 1
            return True, told
        one.held += 1
        one.last = record
        return False, told

    def due(self, now: float) -> list[Repeated]:
        """Return, and forget, those whose time is over and of which some were not written."""
        return self._forget([like for like, one in self._known.items() if now - one.since >= self._within])

    def all(self) -> list[Repeated]:
        """Return all of which some were not written, and forget everything."""
        return self._forget(list(self._known))

    def _forget(self, likes: list[Hashable]) -> list[Repeated]:
        gone = [self._known.pop(like) for like in likes]
        return [one for one in gone if one.held]
