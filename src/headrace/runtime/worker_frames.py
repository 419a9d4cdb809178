"""What travels between a harness and its worker processes: frames of a ticket and some parts.

Each message and each result is a part, pickled by itself, so that one that cannot be read spoils no other.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace.exceptions import NotPicklableError

Part = bytes | memoryview
Frame = tuple[int, list[memoryview]]
"""A ticket, which says what the frame answers, and its parts."""

HELLO = 0
"""The ticket of the first frame each way; batches count from 1."""

LAST_WORDS = (1 << 64) - 1
"""The ticket under which a worker says why it ends."""

_HEAD = struct.Struct("<QI")
_LENGTH = 8
_DEPTH = 20
_WIDTH = 10_000


def pack_frame(ticket: int, parts: Sequence[Part]) -> bytes:
    """Return a frame as bytes: ticket, number of parts, their lengths, the parts."""
    lengths = struct.pack(f"<{len(parts)}Q", *map(len, parts))
    return b"".join([_HEAD.pack(ticket, len(parts)), lengths, *parts])


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._wanted = _HEAD.size  # below it, another look is no use: one per frame, not one per chunk

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the next bytes, and yield the frames that are complete with them."""
        self._data += data
        while len(self._data) >= self._wanted:
            ticket, count = _HEAD.unpack_from(self._data)
            start = _HEAD.size + count * _LENGTH
            if len(self._data) < start:
                self._wanted = start
                return
            lengths = struct.unpack_from(f"<{count}Q", self._data, _HEAD.size)
            end = start + sum(lengths)
            if len(self._data) < end:
                self._wanted = end
                return
            with memoryview(self._data) as view:
                content = memoryview(view[start:end].tobytes())
            del self._data[:end]
            self._wanted = _HEAD.size
            yield ticket, list(_cut(content, lengths))


def _cut(content: memoryview, lengths: Sequence[int]) -> Iterator[memoryview]:
    at = 0
    for length in lengths:
        yield content[at : at + length]
        at += length


def pickled(value: object, what: str) -> bytes:
    """Return a value as bytes.

    Args:
        value: Anything.
        what: What it is, for the error.

    Raises:
        NotPicklableError: It, or something in it, cannot be pickled; names that and its place.
    """
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:
        place, culprit = _culprit(value)
        kind = type(culprit).__name__
        raise NotPicklableError(f"{what} cannot be pickled, for {kind}: {error}", place=place) from error


def unpickled(part: Part, what: str) -> Any:
    """Return the value that a part holds.

    Raises:
        NotPicklableError: The value cannot be made again on this side.
    """
    try:
        return pickle.loads(part)
    except Exception as error:
        raise NotPicklableError(f"{what} cannot be unpickled: {type(error).__name__}: {error}") from error


def _culprit(value: object) -> tuple[str, object]:
    """Return the innermost value that cannot be pickled, and its place."""
    place = "$"
    for _ in range(_DEPTH):
        for step, child in _children(value):
            if not _can_be_pickled(child):
                place, value = place + step, child
                break
        else:
            break
    return place, value


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value, protocol=5)
    except Exception:
        return False
    return True


def _children(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", child) for key, child in list(value.items())[:_WIDTH]]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", child) for index, child in enumerate(value[:_WIDTH])]
    if isinstance(value, type) or callable(value):
        return []
    names = [*getattr(value, "__dict__", ()), *getattr(type(value), "__slots__", ())]
    return [(f".{name}", getattr(value, name)) for name in names if hasattr(value, name)]


__all__ = [
    "HELLO",
    "LAST_WORDS",
    "Frame",
    "FrameReader",
    "Part",
    "pack_frame",
    "pickled",
    "unpickled",
]
