"""Messages as brokers carry them: content under a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A message that was read.

    Attributes:
        data: Its content.
        subject: What it came under: a subject, a topic.
        reply: By what it is acknowledged; empty where that is not needed.
    """

    data: bytes
    subject: str
    reply: str


@dataclass(slots=True, eq=False)
class Given:
    """A message to be published.

    Attributes:
        subject: What it goes under.
        data: Its content.
        key: What the broker knows it again by, so that it is there once; empty for none.
        message: What it was made of.
    """

    subject: str
    data: bytes
    key: str
    message: Any


__all__ = ["Given", "Taken"]
