"""What a component has gathered in a life, as far as anybody can tell: it is gone when the life ends in a crash."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from .member import Member
from .renewal import is_made_anew

_COUNTED = (list, dict, set, deque, bytearray)
_NOT_STATE = frozenset({"receive_streams", "send_streams", "config"})


class Gathered:
    """Looks at a component at the beginning of a life and at its end.

    A component that says ``accumulates = True`` has gathered something from the first message on that it was done
    with; one that says False never has. Of one that says nothing, and is made anew by its class, the numbers and
    collections among its attributes are compared.

    Args:
        member: The component.
    """

    __slots__ = ("_done", "_member", "_numbers")

    def __init__(self, member: Member) -> None:
        self._member = member
        self._done = _messages_done(member)
        self._numbers = _numbers_of(member)

    def lost(self) -> str:
        """Return what is gone with the life, in a few words; nothing where nothing is."""
        says = getattr(self._member.component, "accumulates", None)
        if says is True:
            count = _messages_done(self._member) - self._done
            return f"what it had gathered from {count:,} messages" if count else ""
        if says is not None:
            return ""
        now = _numbers_of(self._member)
        return ", ".join(name for name, number in now.items() if self._numbers.get(name, 0) != number)


def _messages_done(member: Member) -> int:
    return sum(edge.acknowledged for inlet in member.inlets.values() for edge in inlet.lanes)


def _numbers_of(member: Member) -> Mapping[str, Any]:
    """Return the numbers among the attributes of a component, and the sizes of its collections."""
    if not is_made_anew(member):
        return {}
    found: dict[str, Any] = {}
    for name, value in getattr(member.component, "__dict__", {}).items():
        if isinstance(value, _COUNTED) and name not in _NOT_STATE:
            found[name] = len(value)
        elif type(value) in (int, float, complex):
            found[name] = value
    return found


__all__ = ["Gathered"]
