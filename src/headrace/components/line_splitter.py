"""Whole lines out of bytes that come in any portions, with the number and the place of each."""

from __future__ import annotations

from typing import NamedTuple


class Lines(NamedTuple):
    """Some lines that follow one another.

    Attributes:
        data: The lines, each with its line end (the last of a file may lack it).
        number: The number of the first, from 1.
        begin: Where it begins, in bytes from the beginning of the file.
        too_long: 0, or the length of the only line, of which ``data`` has no more than the beginning.
    """

    data: bytes
    number: int
    begin: int
    too_long: int = 0

    @property
    def how_many(self) -> int:
        """How many lines they are."""
        if self.too_long:
            return 1
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))


class LineSplitter:
    """Cuts what it is fed after its last line end, and keeps the rest until more of it comes.

    Args:
        max_line: Bytes of a line, its end not counted. Of a longer one only the beginning is kept.
        offset: Where in the file the first byte comes from.
        number: How many lines come before it.
    """

    SHOWN = 80
    """Bytes of a line that is too long, for people to know it again."""

    def __init__(self, max_line: int, offset: int = 0, number: int = 0) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._held = 0  # bytes of the line whose end has not come; those of ``_parts`` and those thrown away
        self._is_too_long = False
        self.begin = offset
        """Where the line begins whose end has not come."""
        self.number = number
        """How many lines have been given out."""

    @property
    def unfinished(self) -> int:
        """Bytes of the line whose end has not come."""
        return self._held

    def feed(self, data: bytes) -> list[Lines]:
        """Take bytes in and return the lines that they finish."""
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._hold(data)
            return []
        found: list[Lines] = []
        if self._held:
            first = data.find(b"\n") + 1
            self._hold(data[:first], ends=True)
            found += self._take_held()
            data, cut = data[first:], cut - first
        if cut:
            found += self._whole(data[:cut])
        self._hold(data[cut:])
        return found

    def finish(self) -> list[Lines]:
        """Return the last line, that has no line end, if there is one."""
        return self._take_held() if self._held else []

    def _hold(self, data: bytes, *, ends: bool = False) -> None:
        if not data:
            return
        self._held += len(data)
        if self._held - ends <= self._max_line:
            self._parts.append(data)
        else:
            self._is_too_long = True
            self._parts = [b"".join([*self._parts, data])[: self.SHOWN]]

    def _take_held(self) -> list[Lines]:
        data, length = b"".join(self._parts), self._held
        too_long = length if self._is_too_long else 0
        self._parts, self._held, self._is_too_long = [], 0, False
        return [self._given(data, length, 1, too_long=too_long)]

    def _given(self, data: bytes, length: int, count: int, *, too_long: int = 0) -> Lines:
        lines = Lines(data, self.number + 1, self.begin, too_long)
        self.number += count
        self.begin += length
        return lines

    def _whole(self, data: bytes) -> list[Lines]:
        most = self._max_line
        if len(data) <= most:  # as it nearly always is: the lines need not be looked at
            return [self._given(data, len(data), data.count(b"\n"))]
        lines = data.splitlines(keepends=True) if b"\r" not in data else _split(data)
        found: list[Lines] = []
        run: list[bytes] = []
        for line in lines:
            if len(line) - 1 <= most:
                run.append(line)
                continue
            if run:
                found.append(self._given(b"".join(run), sum(map(len, run)), len(run)))
                run = []
            found.append(self._given(line[: self.SHOWN], len(line), 1, too_long=len(line)))
        if run:
            found.append(self._given(b"".join(run), sum(map(len, run)), len(run)))
        return found


def _split(data: bytes) -> list[bytes]:
    """Return whole lines: ``splitlines`` takes a carriage return alone for a line end."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


__all__ = ["LineSplitter", "Lines"]
