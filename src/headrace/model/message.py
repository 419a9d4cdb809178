"""What a message is once it is off the wire: plain frozen values, free of streams, clocks and codecs.

The protocol makes them, components and tests read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

__all__ = ["Envelope", "Meta", "Rejected", "rejections_made"]

T = TypeVar("T")


class Envelope(msgspec.Struct, frozen=True):
    """A message with its metadata, as ``MessageProtocol.decode`` returns it.

    Args:
        message: the message itself, with the type it was sent with.
        type: wire name of the message's type, such as ``"dict"`` or a registered name.
        id: unique, and sortable by the time of sending.
        timestamp: wall-clock time of sending, seconds since the epoch.
        version: schema version of the envelope.
        headers: text that travels beside the message, such as ``reply_to``.
    """

    message: Any
    type: str
    id: str
    timestamp: float
    version: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Meta(msgspec.Struct, frozen=True):
    """What is known about a message beside itself; made only for those who ask for it.

    Args:
        id: unique, and sortable by the time of making; the same at every attempt.
        attempt: which attempt at the message this is, from 1.
        event_time: when what it tells of happened, seconds since the epoch; None where nobody said.
        headers: text that travels beside the message.
        trace: trace context (``traceparent``); empty where there is none.
    """

    id: str
    attempt: int = 1
    event_time: float | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    trace: str = ""


class Rejected(msgspec.Struct, Generic[T], frozen=True):
    """Expected bad data on its way to a ``rejected`` port, with the reason.

    Args:
        message: the message as it was received.
        reason: what is wrong with it, for people.
    """

    message: T
    reason: str

    def __post_init__(self) -> None:
        _Made.number += 1


class _Made:
    """Counts what is rejected, so that one look tells that nothing was."""

    number = 0


def rejections_made() -> int:
    """Return how many ``Rejected`` were ever made in this process."""
    return _Made.number
