"""Where the labels of a drawing go: each on its own line, clear of boxes, of other labels and of other lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

Point = tuple[float, float]
Area = tuple[float, float, float, float]
"""Left, top, right, bottom."""

HEIGHT = 16.0
"""The height of a label, in pixels."""

_SPOTS = (0.5, 0.57, 0.43, 0.64, 0.36, 0.71, 0.29, 0.78, 0.22, 0.84, 0.16)
_CELL = 8.0
_STEPS = 32


class Spots:
    """Gives out the places for labels, one line after the other.

    Args:
        boxes: What must not be covered.
        paths: The corners of each line.
        back: Which lines turn at right angles; the others swing and run straight in turn.
        shared: For each line how many of its corners it shares with others of its output.
        height: The height of a label, in pixels.
    """

    def __init__(
        self,
        boxes: Iterable[Area],
        paths: Sequence[Sequence[Point]],
        back: Sequence[bool],
        shared: Sequence[int],
        height: float = HEIGHT,
    ) -> None:
        self._height = height
        self._taken = _Grid()
        for box in boxes:
            self._taken.fill(box, -1)
        self._paths, self._back, self._shared = paths, back, shared
        self._lines = _Grid()
        for number, path in enumerate(paths):
            for point in _points(path, back[number]):
                self._lines.mark(point, number)

    def take(self, number: int, width: float) -> Point:
        """Return the middle of a line's label, and keep others away from it."""
        best, least = (0.0, 0.0), float("inf")
        for point in self._candidates(number):
            area = self._around(point, width)
            cost = 100.0 * self._taken.count(area, number) + self._lines.count(area, number)
            if cost < least:
                best, least = point, cost
            if not cost:
                break
        self._taken.fill(self._around(best, width), number)
        return best

    def _around(self, point: Point, width: float) -> Area:
        x, y = point
        return (x - width / 2, y - self._height / 2, x + width / 2, y + self._height / 2)

    def _candidates(self, number: int) -> Iterator[Point]:
        path = self._paths[number]
        if self._back[number]:
            (right, y), (left, _) = path[2], path[3]
            yield from ((left + (right - left) * spot, y) for spot in _SPOTS)
            return
        own = self._shared[number]
        for i in range(1 + own, len(path) - 1, 2):
            yield ((path[i][0] + path[i + 1][0]) / 2, path[i][1])
        for i in range(len(path) - 2, own - 1, -2):
            yield from (swing(path[i], path[i + 1], spot) for spot in _SPOTS)


class _Grid:
    """Which lines and labels are in which cell."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], set[int]] = {}

    def mark(self, point: Point, owner: int) -> None:
        self._cells.setdefault((int(point[0] // _CELL), int(point[1] // _CELL)), set()).add(owner)

    def fill(self, area: Area, owner: int) -> None:
        for cell in _cells(area):
            self._cells.setdefault(cell, set()).add(owner)

    def count(self, area: Area, owner: int) -> int:
        found: set[int] = set()
        for cell in _cells(area):
            found |= self._cells.get(cell, set())
        return len(found - {owner})


def _cells(area: Area) -> Iterator[tuple[int, int]]:
    left, top, right, bottom = (int(side // _CELL) for side in area)
    for x in range(left, right + 1):
        for y in range(top, bottom + 1):
            yield x, y


def swing(start: Point, end: Point, at: float) -> Point:
    """Return the point of the swing from one corner to the next, ``at`` from 0 to 1."""
    (x0, y0), (x1, y1) = start, end
    middle, rest = (x0 + x1) / 2, 1 - at
    x = x0 * rest**3 + 3 * middle * at * rest * (rest + at) + x1 * at**3
    return x, y0 + (y1 - y0) * at * at * (3 - 2 * at)


def _points(path: Sequence[Point], is_back: bool) -> Iterator[Point]:
    for i, (start, end) in enumerate(pairwise(path)):
        steps = max(_STEPS, int((abs(end[0] - start[0]) + abs(end[1] - start[1])) / _CELL) + 1)
        for step in range(steps + 1):
            at = step / steps
            if is_back or i % 2:
                yield start[0] + (end[0] - start[0]) * at, start[1] + (end[1] - start[1]) * at
            else:
                yield swing(start, end, at)


__all__ = ["HEIGHT", "Area", "Point", "Spots", "swing"]
