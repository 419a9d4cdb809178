"""The windows that are open, and which rows are in them; decided row by row, without a clock or a loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any, Protocol

from .accumulators import Function, Group, make_accumulator

_FAR = 2**53  # windows from 0 on: beyond that their beginnings cannot be told apart


@dataclass(slots=True)
class OpenWindow:
    """The rows of one key from ``start`` on, and before ``end``."""

    key: Any
    start: float
    end: float
    group: Group
    is_open: bool = field(default=True)


class Windows(Protocol):
    """Windows of one kind.

    Attributes:
        watermark: Windows that end by then are closed.
    """

    watermark: float

    def __len__(self) -> int:
        """Return how many are open, counted by key."""
        ...

    def take(self, key: Any, time: float, values: tuple[Any, ...]) -> bool:
        """Take a row in; returns False where all windows that it belongs to are closed.

        Raises:
            TypeError: A value cannot be aggregated; nothing has changed.
            ArithmeticError: A value is out of range; nothing has changed.
        """
        ...

    def first_end(self) -> float:
        """Return when the first of the open windows ends; infinity where none is open."""
        ...

    def close_until(self, watermark: float) -> list[OpenWindow]:
        """Close the windows that end by then, and return them by their ends."""
        ...


class _Open:
    """What all kinds share: which window ends next."""

    def __init__(self, functions: list[Function]) -> None:
        self.watermark = -math.inf
        self._functions = functions
        self._number = 0
        self._ends: list[tuple[float, int, OpenWindow]] = []
        self._count = count()

    def __len__(self) -> int:
        return self._number

    def _open(self, key: Any, start: float, end: float, group: Group) -> OpenWindow:
        window = OpenWindow(key, start, end, group)
        heappush(self._ends, (end, next(self._count), window))
        self._number += 1
        return window

    def _new_group(self, values: tuple[Any, ...]) -> Group:
        group = Group([make_accumulator(function) for function in self._functions])
        group.add(values)
        return group

    def first_end(self) -> float:
        """Return when the first of the open windows ends; infinity where none is open."""
        ends = self._ends
        while ends:
            end, number, window = ends[0]
            if window.is_open and window.end == end:
                return end
            heappop(ends)  # it was merged, or ends later now
            if window.is_open:
                heappush(ends, (window.end, number, window))
        return math.inf

    def close_until(self, watermark: float) -> list[OpenWindow]:
        """Close the windows that end by then, and return them by their ends."""
        self.watermark = max(self.watermark, watermark)
        closed: list[OpenWindow] = []
        while self._number and self.first_end() <= self.watermark:
            window = heappop(self._ends)[2]
            window.is_open = False
            self._number -= 1
            self._forget(window)
            closed.append(window)
        return closed

    def _forget(self, window: OpenWindow) -> None:
        raise NotImplementedError


class FixedWindows(_Open):
    """Windows of one size that begin every ``slide`` seconds; tumbling where both are the same.

    Args:
        size: Seconds.
        slide: Seconds from one beginning to the next.
        offset: A time at which one begins.
        functions: Which values a row has.
    """

    def __init__(self, size: float, slide: float, offset: float, functions: list[Function]) -> None:
        super().__init__(functions)
        self._size, self._slide, self._offset = size, slide, offset
        self._windows: dict[tuple[int, Any], OpenWindow] = {}

    def take(self, key: Any, time: float, values: tuple[Any, ...]) -> bool:
        """Take a row into all of its windows that are still open.

        Raises:
            OverflowError: The time is too far off to be counted in windows.
        """
        taken: list[Group] = []
        new: list[tuple[int, Group]] = []
        try:
            for place in self._places(time):
                window = self._windows.get((place, key))
                if window is None:
                    new.append((place, self._new_group(values)))
                else:
                    window.group.add(values)
                    taken.append(window.group)
        except (TypeError, ArithmeticError):
            for group in taken:
                group.undo(values)
            raise
        for place, group in new:
            start, end = self._bounds(place)
            self._windows[place, key] = self._open(key, start, end, group)
        return bool(taken or new)

    def _bounds(self, place: int) -> tuple[float, float]:
        start = self._offset + place * self._slide
        return start, start + self._size

    def _places(self, time: float) -> list[int]:
        """Return the numbers of the open windows that a time lies in, the first one first."""
        if abs(time / self._slide) >= _FAR:
            raise OverflowError(f"the time {time!r} is too far off for windows of {self._size} s")
        place = math.floor((time - self._offset) / self._slide)
        while self._bounds(place)[0] > time:  # rounded up
            place -= 1
        while self._bounds(place + 1)[0] <= time:  # rounded down
            place += 1
        places: list[int] = []
        while self._bounds(place)[1] > max(time, self.watermark):
            places.append(place)
            place -= 1
        return places[::-1]

    def _forget(self, window: OpenWindow) -> None:
        place = round((window.start - self._offset) / self._slide)
        del self._windows[place, window.key]


class SessionWindows(_Open):
    """Windows of rows that follow each other in less than ``gap`` seconds; a late one may join two of them.

    Args:
        gap: Seconds after its last row in which a session ends.
        functions: Which values a row has.
    """

    def __init__(self, gap: float, functions: list[Function]) -> None:
        super().__init__(functions)
        self._gap = gap
        self._by_key: dict[Any, list[OpenWindow]] = {}

    def take(self, key: Any, time: float, values: tuple[Any, ...]) -> bool:
        """Take a row into the session that it belongs to, or begins, or makes of two or three."""
        end = time + self._gap
        if end <= self.watermark:
            return False
        sessions = self._by_key.get(key, ())
        touched = [one for one in sessions if one.start < end and time < one.end]
        if not touched:
            self._by_key.setdefault(key, []).append(self._open(key, time, end, self._new_group(values)))
            return True
        first = touched[0]
        if len(touched) == 1:
            first.group.add(values)
        else:
            self._merge(touched, values)
        first.start = min(first.start, time)
        first.end = max(first.end, end)
        return True

    def _merge(self, touched: list[OpenWindow], values: tuple[Any, ...]) -> None:
        first, *others = touched
        whole = first.group.merged([one.group for one in others], self._functions)
        whole.add(values)
        first.group = whole
        for one in others:
            one.is_open = False
            self._number -= 1
            self._forget(one)
            first.start, first.end = min(first.start, one.start), max(first.end, one.end)

    def _forget(self, window: OpenWindow) -> None:
        remaining = [one for one in self._by_key[window.key] if one is not window]
        if remaining:
            self._by_key[window.key] = remaining
        else:
            del self._by_key[window.key]


__all__ = ["FixedWindows", "OpenWindow", "SessionWindows", "Windows"]
