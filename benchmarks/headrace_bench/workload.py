"""The work that everybody does: the message, the functions, and a source of messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]

CAPACITY = 1000
"""The bound of every buffer that has one, in messages."""


def message_of(number: int) -> Message:
    """Return the message with this number."""
    return {"id": number, "v": number * 1.5}


def messages(count: int) -> Iterator[Message]:
    """Yield messages, each made when it is asked for."""
    for number in range(count):
        yield {"id": number, "v": number * 1.5}


def passed(message: Message) -> Message:
    """Do nothing to a message: what is measured is how it gets here and away."""
    return message


def swallow(message: Message) -> None:
    """Take a message and give nothing."""


__all__ = ["CAPACITY", "Message", "message_of", "messages", "passed", "swallow"]
