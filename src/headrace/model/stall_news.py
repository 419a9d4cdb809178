"""What is worth telling of troubles that last: that one begins, that it goes on (ever more rarely), its end.

So a log tells of a stall in a few lines, however long it lasts and however often it comes and goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .trouble import Stall, Trouble

Turn = Literal["begins", "goes on", "over"]

FIRST_PAUSE = 10.0
LONGEST_PAUSE = 3600.0
_GROWTH = 6


@dataclass(frozen=True, slots=True)
class News:
    """One piece of news: what happened to a trouble, and after how many seconds."""

    turn: Turn
    trouble: Trouble
    seconds: float


@dataclass(slots=True)
class _Known:
    trouble: Trouble
    began: float
    seen: float
    quiet_until: float
    pause: float = FIRST_PAUSE
    told: bool = False
    over: bool = False
    worse: bool = False


class StallNews:
    """Turns what is seen at each look into news.

    Args:
        hold: Seconds for which a trouble has to be gone until it is over: what is slow comes and goes.
    """

    def __init__(self, hold: float) -> None:
        self._hold = hold
        self._known: dict[str, _Known] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is known that may go on or end."""
        return all(known.over for known in self._known.values())

    def update(self, now: float, troubles: Iterable[Trouble]) -> list[News]:
        """Take note of all that is wrong now.

        Args:
            now: The moment, in seconds.
            troubles: What is wrong; one that is known already is recognised by its ``key``.

        Returns:
            What to tell, ends first.
        """
        seen = {trouble.key: trouble for trouble in troubles}
        ends = [
            news for key, known in self._known.items() if key not in seen and (news := self._end(known, now))
        ]
        self._known = {
            key: known for key, known in self._known.items() if not known.over or now < known.quiet_until
        }
        return [*ends, *self._tell(now, seen.values())]

    def _end(self, known: _Known, now: float) -> News | None:
        """Let one be over that has been gone long enough; returns word of it where it was told of."""
        if known.over or now - known.seen < self._hold:
            return None
        was_told, known.told, known.over = known.told, False, True
        return News("over", known.trouble, known.seen - known.began) if was_told else None

    def _tell(self, now: float, troubles: Iterable[Trouble]) -> list[News]:
        news = []
        for trouble in troubles:
            known = self._known.get(trouble.key)
            if known is None:
                known = self._known[trouble.key] = _Known(
                    trouble, now - trouble.seconds, now, quiet_until=now
                )
            elif known.over:
                known.over, known.began = False, now - trouble.seconds
            worse = (
                known.told and not known.worse and _stands_still(trouble) and not _stands_still(known.trouble)
            )
            known.worse = known.worse or worse
            known.trouble, known.seen = trouble, now
            if now >= known.quiet_until or worse:
                news.append(News("goes on" if known.told else "begins", trouble, now - known.began))
                known.told = True
                known.quiet_until = now + known.pause
                known.pause = min(known.pause * _GROWTH, LONGEST_PAUSE)
        return news


def _stands_still(trouble: Trouble) -> bool:
    """Whether what was slow perhaps has come to a stop; that is told at once, and once."""
    return not isinstance(trouble, Stall) or trouble.kind != "slow"


__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "News", "StallNews", "Turn"]
