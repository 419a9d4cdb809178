"""What a component has gathered in a life, as far as anybody can tell: it is gone when the life ends in a crash."""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from headrace.authoring.function_component import FunctionComponent

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

    __slots__ = ("_before", "_done", "_member")

    def __init__(self, member: Member) -> None:
        self._member = member
        self._done = _messages_done(member)
        watched = is_made_anew(member) and getattr(member.component, "accumulates", None) is None
        self._before = Counter(_amounts(_values_of(member.component))) if watched else None

    def lost(self) -> str:
        """Return what is gone with the life, in a few words; nothing where nothing is."""
        says = getattr(self._member.component, "accumulates", None)
        count = _messages_done(self._member) - self._done
        parts = list(_shared_hands(self._member)) if count else []
        if says is True and count:
            parts.append(f"what it had gathered from {count:,} messages")
        if self._before is not None:
            parts += self._changed(getattr(self._member.component, "__dict__", {}))
        return ", ".join(parts)

    def _changed(self, attributes: dict[str, Any]) -> Iterator[str]:
        """Yield the names of attributes that hold an amount which was not there in the beginning."""
        before = Counter(self._before)
        for name, value in attributes.items():
            for amount in _amounts([value]):
                if before[amount]:
                    before[amount] -= 1
                elif name not in _NOT_STATE and (len(value) if isinstance(value, _COUNTED) else value):
                    yield name


def _shared_hands(member: Member) -> Iterator[str]:
    """Yield where several tasks had messages in hand by one handle: each receive acknowledged the others'."""
    if member.acks.window or isinstance(member.component, FunctionComponent):
        return
    for inlet in member.inlets.values():
        if inlet.crowded:
            yield f"what its tasks had in hand by one handle of {inlet.name} (ack: manual, or a clone() for each)"


def _messages_done(member: Member) -> int:
    return sum(edge.acknowledged for inlet in member.inlets.values() for edge in inlet.lanes)


def _values_of(component: Any) -> list[Any]:
    """Return the values of an object's attributes, without their names.

    To ask for ``__dict__`` would make each later look at an attribute slower (CPython 3.11 and 3.12): 28 ns a
    message and hop in a component that sends by ``self.out``.
    """
    held = gc.get_referents(component)
    for value in held:
        if type(value) is dict and not _NOT_STATE.isdisjoint(value):
            return list(value.values())  # this is ``__dict__``: somebody has asked for it
    return held


def _amounts(values: Iterable[Any]) -> Iterator[Hashable]:
    """Yield the numbers among values, and the collections with their sizes."""
    for value in values:
        if isinstance(value, _COUNTED):
            yield id(value), len(value)
        elif type(value) in (int, float, complex):
            yield value


__all__ = ["Gathered"]
