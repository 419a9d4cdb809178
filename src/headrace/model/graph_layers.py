"""Which column and which row of a drawing each component gets, so that lines run left to right and cross little.

Lines over several columns pass through a place of their own in each column between, one for all lines that
leave the same output: they carry the same messages.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_SWEEPS = 10


@dataclass(slots=True)
class Place:
    """What stands in a column: a component, or the passage of an output's lines (``component`` is empty)."""

    column: int
    component: str = ""
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    users: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One connection to draw; ``output`` tells the outputs of a sender apart."""

    sender: str
    output: str
    receiver: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The places of a drawing.

    Attributes:
        places: All places; other attributes name them by their number here.
        columns: Numbers of places, by column from the left and by row from the top.
        ways: For each line the places that it goes through, first its sender and last its receiver.
        back: For each line whether it leads back: it is drawn around the components.
    """

    places: Sequence[Place]
    columns: Sequence[Sequence[int]]
    ways: Sequence[Sequence[int]]
    back: Sequence[bool]


def columns_of(names: Sequence[str], lines: Sequence[Line]) -> Columns:
    """Return the places of components and lines; the same graph always gives the same places."""
    back = _backward(names, lines)
    forward = [line for line, is_back in zip(lines, back, strict=True) if not is_back]
    column = _columns(names, forward)
    places = [Place(column[name], name) for name in names]
    number = {name: index for index, name in enumerate(names)}
    passages: dict[tuple[str, str, int], int] = {}
    ways = []
    for line, is_back in zip(lines, back, strict=True):
        way = [number[line.sender]]
        between = () if is_back else range(column[line.sender] + 1, column[line.receiver])
        for col in between:
            key = (line.sender, line.output, col)
            if key not in passages:
                passages[key] = len(places)
                places.append(Place(col))
            way.append(passages[key])
        ways.append([*way, number[line.receiver]])
        if not is_back:
            _join(places, ways[-1])
    return Columns(places, _ordered(places, max(column.values(), default=-1) + 1), ways, back)


def _join(places: list[Place], way: list[int]) -> None:
    for one, other in pairwise(way):
        if other not in places[one].after:
            places[one].after.append(other)
            places[other].before.append(one)
    for passage in way[1:-1]:
        places[passage].users += 1


# --- columns --------------------------------------------------------------------------------------


def _backward(names: Sequence[str], lines: Sequence[Line]) -> list[bool]:
    """Tell which lines close a cycle, seen from the sources."""
    onward: dict[str, list[str]] = {name: [] for name in names}
    for line in lines:
        onward[line.sender].append(line.receiver)
    receivers = {line.receiver for line in lines}
    closing: set[tuple[str, str]] = set()
    is_open: dict[str, bool] = {}
    for root in [*(name for name in names if name not in receivers), *names]:
        stack = [] if root in is_open else [(root, 0)]
        while stack:
            name, position = stack.pop()
            is_open[name] = position < len(onward[name])
            if not is_open[name]:
                continue
            stack.append((name, position + 1))
            receiver = onward[name][position]
            if receiver not in is_open:
                stack.append((receiver, 0))
            elif is_open[receiver] or receiver == name:
                closing.add((name, receiver))
    return [(line.sender, line.receiver) in closing for line in lines]


def _columns(names: Sequence[str], lines: Sequence[Line]) -> dict[str, int]:
    """Return each component's column: right of all that feeds it; what only feeds one stands beside that one."""
    before: dict[str, list[str]] = {name: [] for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for line in dict.fromkeys((line.sender, line.receiver) for line in lines):
        after[line[0]].append(line[1])
        before[line[1]].append(line[0])
    order = _sorted(names, before, after)
    column: dict[str, int] = {}
    for name in order:
        column[name] = max((column[one] + 1 for one in before[name]), default=0)
    feeders: set[str] = set()
    for name in order:
        if all(one in feeders and len(after[one]) == 1 for one in before[name]):
            feeders.add(name)
    for name in reversed(order):
        if name in feeders and after[name]:
            column[name] = min(column[one] for one in after[name]) - 1
    return column


def _sorted(
    names: Sequence[str], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> list[str]:
    missing = {name: len(before[name]) for name in names}
    order = [name for name in names if not missing[name]]
    for name in order:
        for one in after[name]:
            missing[one] -= 1
            if not missing[one]:
                order.append(one)
    return order


# --- rows -----------------------------------------------------------------------------------------


def _ordered(places: Sequence[Place], count: int) -> list[list[int]]:
    """Return the columns with as few crossings as some sweeps from side to side find."""
    columns: list[list[int]] = [[] for _ in range(count)]
    for index in _by_depth(places):
        columns[places[index].column].append(index)
    best, least = [list(column) for column in columns], crossings(places, columns)
    for sweep in range(_SWEEPS):
        if not least:
            break
        _sweep(places, columns, is_rightward=sweep % 2 == 0)
        now = crossings(places, columns)
        if now < least:
            best, least = [list(column) for column in columns], now
    return best


def _by_depth(places: Sequence[Place]) -> Iterable[int]:
    """Yield the places as a walk along the lines meets them: what belongs together is together."""
    seen: set[int] = set()
    roots = [index for index, place in enumerate(places) if not place.before]
    for root in roots:
        stack = [root]
        while stack:
            index = stack.pop()
            if index in seen:
                continue
            seen.add(index)
            yield index
            stack += reversed(places[index].after)


def _sweep(places: Sequence[Place], columns: list[list[int]], *, is_rightward: bool) -> None:
    order = range(len(columns)) if is_rightward else range(len(columns) - 1, -1, -1)
    row = {index: position for column in columns for position, index in enumerate(column)}
    for number in order:
        centre = _centres(places, row, is_rightward)
        columns[number].sort(key=lambda index: (centre(index), row[index]))
        row.update({index: position for position, index in enumerate(columns[number])})


def _centres(places: Sequence[Place], row: Mapping[int, int], is_rightward: bool) -> Callable[[int], float]:
    def centre(index: int) -> float:
        near = places[index].before if is_rightward else places[index].after
        return sum(row[one] for one in near) / len(near) if near else row[index]

    return centre


def crossings(places: Sequence[Place], columns: Sequence[Sequence[int]]) -> int:
    """Return how often lines cross between neighbouring columns."""
    row = {index: position for column in columns for position, index in enumerate(column)}
    total = 0
    for column in columns:
        ends: list[int] = []
        for index in column:
            targets = sorted(row[one] for one in places[index].after)
            total += sum(len(ends) - bisect_right(ends, target) for target in targets)
            for target in targets:
                insort(ends, target)
    return total


__all__ = ["Columns", "Line", "Place", "columns_of", "crossings"]
