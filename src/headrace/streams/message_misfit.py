"""A value that does not fit, on either way: its reason, and its place in the message.

The place is put together only when something is wrong, so that what fits does not pay for it.
"""

from __future__ import annotations

import re
from typing import Any

from headrace.exceptions import CyclicMessageError, MessageError, MessageTooDeepError

__all__ = ["Misfit", "brief", "expect", "member"]


class Misfit(Exception):
    """A value that does not fit, collecting its place while the walk unwinds. Never leaves the protocol.

    Args:
        error: the class to raise for it at the surface.
        reason: what is wrong.
    """

    def __init__(self, error: type[MessageError], reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self._segments: list[str] = []
        self._holders: list[int] = []

    def within(self, segment: str, holder: object) -> None:
        """Note that the misfit is at ``segment`` of ``holder``; called from the inside out."""
        self._segments.append(segment)
        self._holders.append(id(holder))

    def located(self) -> MessageError:
        """Return the error for the surface; a too deep value that contains itself is a cyclic one."""
        segments, holders = self._segments[::-1], self._holders[::-1]
        if self.error is MessageTooDeepError and len(set(holders)) < len(holders):
            repeat = next(i for i, holder in enumerate(holders) if holder in holders[:i])
            # The first recurrence is what the segments before it lead to.
            first = holders.index(holders[repeat])
            reason = f"the value contains itself (it is the same object as ${''.join(segments[:first])})"
            return CyclicMessageError(reason, place="$" + "".join(segments[:repeat]))
        return self.error(self.reason, place="$" + _shorten(segments))


def _shorten(segments: list[str]) -> str:
    if len(segments) > 20:
        segments = [*segments[:10], f"...({len(segments) - 15} more)...", *segments[-5:]]
    return "".join(segments)


def brief(value: object, limit: int = 60) -> str:
    """Return a short representation for error messages; never fails, whatever the value's ``repr`` does."""
    try:
        text = ascii(value)
    except Exception:  # a repr may raise anything: the error message must still come out
        return f"<{type(value).__qualname__}>"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def expect(payload: Any, *kinds: type) -> Any:
    """Return ``payload`` if it is exactly of one of ``kinds``, else raise ``TypeError``."""
    if type(payload) not in kinds:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"expected {names}, got {brief(payload)}")
    return payload


def member(key: object) -> str:
    """Return how a place names the member of a dict under ``key``."""
    if type(key) is str:
        return f".{key}" if re.fullmatch(r"[A-Za-z_]\w{0,59}", key, re.ASCII) else f"[{brief(key)}]"
    return f"[{brief(key)}]"
