"""Where each box, line and label of a drawing is, in pixels; which column and row, graph_layers says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .graph_layers import Columns, Line, columns_of
from .graph_spots import HEIGHT as LABEL
from .graph_spots import Point, Spots

HEIGHT = 52.0
"""The height of a component's box, in pixels."""

_GAP_Y, _LANE, _TURN = 26.0, 24.0, 8.0
_GAP_X, _WIDEST_GAP = 64.0, 220.0
_PASSAGE = 8.0


@dataclass(frozen=True, slots=True)
class Box:
    """The box of a component, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float = HEIGHT


@dataclass(frozen=True, slots=True)
class Route:
    """A line: its corners, whether it leads back around the components, and the middle of its label.

    A route that does not lead back swings between its first two corners, runs straight to the third, and so
    on in turn; one that does turns at right angles.
    """

    corners: tuple[Point, ...]
    is_back: bool
    label: Point


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing: boxes by component, routes in the order of the lines, and its size."""

    boxes: Mapping[str, Box]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Heights:
    """How high boxes and labels are, in pixels."""

    box: float = HEIGHT
    label: float = LABEL


def lay_out(
    widths: Mapping[str, float],
    lines: Sequence[Line],
    labels: Sequence[float],
    heights: Heights = Heights(),
) -> Layout:
    """Return where everything is.

    Args:
        widths: How wide the box of each component has to be, in pixels.
        lines: The connections.
        labels: How wide the label of each line is, in pixels.
        heights: How high boxes and labels are.
    """
    return _Drawing(widths, lines, labels, heights).layout()


class _Drawing:
    def __init__(
        self,
        widths: Mapping[str, float],
        lines: Sequence[Line],
        labels: Sequence[float],
        heights: Heights,
    ) -> None:
        self.heights = heights
        self.names = list(widths)
        self.number = {name: index for index, name in enumerate(self.names)}
        self.lines = lines
        self.labels = labels
        self.plan: Columns = columns_of(self.names, lines)
        self.y = _rows(self.plan, heights)
        loops = {line.sender: label for line, label in zip(lines, labels, strict=True) if _is_loop(line)}
        needed = [max(width, loops.get(name, 0.0) + 12) for name, width in widths.items()]
        self.wide = [
            max((needed[i] for i in col if i < len(needed)), default=40.0) for col in self.plan.columns
        ]
        self.x: list[float] = []
        self.bottom = [max((self._end(i) for i in column), default=0.0) for column in self.plan.columns]

    def layout(self) -> Layout:
        self._place_columns()
        tall = self.heights.box
        boxes = {
            name: Box(self.x[place.column], self.y[i] - tall / 2, self.wide[place.column], tall)
            for i, (name, place) in enumerate(zip(self.names, self.plan.places, strict=False))
        }
        paths = self._paths()
        areas = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes.values()]
        shared = [self._shared(way) for way in self.plan.ways]
        spots = Spots(areas, paths, self.plan.back, shared, self.heights.label)
        routes = tuple(
            Route(tuple(path), is_back, spots.take(number, self.labels[number]))
            for number, (path, is_back) in enumerate(zip(paths, self.plan.back, strict=True))
        )
        right = self.x[-1] + self.wide[-1] if self.x else 0.0
        loops = [x for path, is_back in zip(paths, self.plan.back, strict=True) if is_back for x, _ in path]
        return Layout(boxes, routes, max([right, *loops]), max(self.bottom, default=0.0))

    def _end(self, index: int) -> float:
        return self.y[index] + _half(self.plan, index, self.heights)

    # --- columns -----------------------------------------------------------------------------------

    def _place_columns(self) -> None:
        crossed = Counter(self.plan.places[way[-1]].column - 1 for way in self.plan.ways)
        gaps = [min(_WIDEST_GAP, max(_GAP_X, 40 + 6 * crossed[gap])) for gap in range(len(self.wide))]
        for way, label, is_back in zip(self.plan.ways, self.labels, self.plan.back, strict=True):
            gap = self.plan.places[way[-1]].column - 1
            if not is_back and gap >= 0:
                rise = abs(self.y[way[-1]] - self.y[way[-2]])
                gaps[gap] = max(gaps[gap], min(_WIDEST_GAP, max(label + 40, 56 + rise / 6)))
        loops = self._loops()
        x = max(0.0, loops.get(-1, 0) * _TURN)
        for number, width in enumerate(self.wide):
            self.x.append(x)
            x += width + gaps[number] + loops.get(number, 0) * _TURN

    def _loops(self) -> dict[int, int]:
        """Return how many lines turn back in the gap right of each column."""
        turns: dict[int, int] = {}
        for number in self._backward():
            way = self.plan.ways[number]
            for gap in (self.plan.places[way[0]].column, self.plan.places[way[-1]].column - 1):
                turns[gap] = turns.get(gap, 0) + 1
        return {gap: count + 1 for gap, count in turns.items()}

    def _backward(self) -> list[int]:
        return [number for number, is_back in enumerate(self.plan.back) if is_back]

    # --- lines -------------------------------------------------------------------------------------

    def _paths(self) -> list[list[Point]]:
        starts, ends = self._ports()
        paths: list[list[Point]] = [[] for _ in self.lines]
        for number, way in enumerate(self.plan.ways):
            if not self.plan.back[number]:
                paths[number] = [starts[number], *self._between(way), ends[number]]
        self._straighten(paths)
        turns: dict[int, int] = {}
        for number in sorted(self._backward(), key=lambda number: (self._span(number), number)):
            paths[number] = self._around(self.plan.ways[number], starts[number], ends[number], turns)
        return paths

    def _straighten(self, paths: list[list[Point]]) -> None:
        """Let a line that is alone at its end run straight, where its box is tall enough for that."""
        reach = self.heights.box / 2 - 10
        leaving = Counter(line.sender for line in self.lines)
        arriving = Counter(line.receiver for line in self.lines)
        for path, line in zip(paths, self.lines, strict=True):
            if path and leaving[line.sender] == 1 and abs(path[0][1] - path[1][1]) <= reach:
                path[0] = (path[0][0], path[1][1])
            elif path and arriving[line.receiver] == 1 and abs(path[-1][1] - path[-2][1]) <= reach:
                path[-1] = (path[-1][0], path[-2][1])

    def _between(self, way: Sequence[int]) -> list[Point]:
        corners: list[Point] = []
        for index in way[1:-1]:
            column, y = self.plan.places[index].column, self.y[index]
            corners += [(self.x[column], y), (self.x[column] + self.wide[column], y)]
        return corners

    def _span(self, number: int) -> int:
        way = self.plan.ways[number]
        return self.plan.places[way[0]].column - self.plan.places[way[-1]].column

    def _around(self, way: Sequence[int], start: Point, end: Point, turns: dict[int, int]) -> list[Point]:
        """Return the corners of a line that leads back, below all that stands between its ends."""
        last, first = self.plan.places[way[0]].column, self.plan.places[way[-1]].column
        if way[0] == way[-1]:
            lane = self.y[way[0]] + self.heights.box / 2 + max(_LANE / 2 + 2, self.heights.label / 2 + 4)
        else:
            lane = max(self.bottom[first : last + 1]) + max(_LANE, self.heights.label / 2 + 6)
        for column in range(first, last + 1):
            self.bottom[column] = max(self.bottom[column], lane + self.heights.label / 2)
        for gap in (last, first - 1):
            turns[gap] = turns.get(gap, 0) + 1
        right = start[0] + _TURN * turns[last]
        left = end[0] - _TURN * turns[first - 1] - _TURN
        return [start, (right, start[1]), (right, lane), (left, lane), (left, end[1]), end]

    def _shared(self, way: Sequence[int]) -> int:
        """Return how many corners of a line belong to other lines of its output too."""
        return 2 * sum(1 for index in way[1:-1] if self.plan.places[index].users > 1)

    def _ports(self) -> tuple[list[Point], list[Point]]:
        """Return where each line starts and ends: one point for each output and each line's end apart."""
        starts = self._spread([(line.sender, line.output) for line in self.lines], is_start=True)
        ends = self._spread([(line.receiver, str(n)) for n, line in enumerate(self.lines)], is_start=False)
        return starts, ends

    def _spread(self, keys: Sequence[tuple[str, str]], *, is_start: bool) -> list[Point]:
        heights: dict[str, dict[str, list[float]]] = {}
        for number, (name, port) in enumerate(keys):
            way = self.plan.ways[number]
            height = self.y[way[1] if is_start else way[-2]]
            if self.plan.back[number]:
                height = max(self.y) + 1 + number
            heights.setdefault(name, {}).setdefault(port, []).append(height)
        spots: dict[tuple[str, str], Point] = {}
        for name, ports in heights.items():
            order = sorted(ports, key=lambda port: sum(ports[port]) / len(ports[port]))
            index = self.number[name]
            column = self.plan.places[index].column
            x = self.x[column] + (self.wide[column] if is_start else 0.0)
            step = min(12.0, (self.heights.box - 16) / max(1, len(order) - 1))
            for position, port in enumerate(order):
                spots[name, port] = (x, self.y[index] + (position - (len(order) - 1) / 2) * step)
        return [spots[key] for key in keys]


def _is_loop(line: Line) -> bool:
    return line.sender == line.receiver


# --- rows -----------------------------------------------------------------------------------------


def _rows(plan: Columns, heights: Heights) -> list[float]:
    """Return the height of the middle of each place: near its neighbours, in order, and apart."""
    y = [0.0] * len(plan.places)
    looped = {way[0] for way in plan.ways if way[0] == way[-1]}
    for column in plan.columns:
        at = 0.0
        for above, index in zip([None, *column], column, strict=False):
            at += 0.0 if above is None else _apart(plan, above, index, looped, heights)
            y[index] = at
    for sweep in range(14):
        rightward = sweep % 2 == 0
        for column in plan.columns if rightward else reversed(plan.columns):
            _settle(plan, column, y, looped, heights, is_rightward=rightward, is_last=sweep >= 10)
    shift = min((y[i] - _half(plan, i, heights) for i in range(len(plan.places))), default=0)
    return [one - shift for one in y]


def _half(plan: Columns, index: int, heights: Heights) -> float:
    return (heights.box if plan.places[index].component else heights.label) / 2


def _apart(plan: Columns, above: int, below: int, looped: set[int], heights: Heights) -> float:
    halves = [_half(plan, i, heights) for i in (above, below)]
    both = all(plan.places[i].component for i in (above, below))
    return (
        sum(halves)
        + (_GAP_Y if both else _PASSAGE + 4)
        + (max(_LANE, heights.label + 8) if above in looped else 0.0)
    )


def _settle(
    plan: Columns,
    column: Sequence[int],
    y: list[float],
    looped: set[int],
    heights: Heights,
    *,
    is_rightward: bool,
    is_last: bool,
) -> None:
    """Move the places of a column towards the middle of their neighbours, as near as their order allows."""
    offset, wanted = 0.0, []
    offsets = []
    for above, index in zip([None, *column], column, strict=False):
        offset += 0.0 if above is None else _apart(plan, above, index, looped, heights)
        place = plan.places[index]
        near = place.before if is_rightward else place.after
        if is_last or not near:
            near = [*place.before, *place.after]
        middle = sum(y[one] for one in near) / len(near) if near else y[index]
        offsets.append(offset)
        wanted.append((middle - offset, 1.0 if place.component else 2.0))
    for index, shift, value in zip(column, offsets, _rising(wanted), strict=True):
        y[index] = value + shift


def _rising(wanted: Sequence[tuple[float, float]]) -> list[float]:
    """Return the values that never fall and are nearest to those wanted (pooling neighbours), with weights."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in wanted:
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one, heavy, size), (other, light, more) = pools[-2:]
            total = heavy + light
            pools[-2:] = [((one * heavy + other * light) / total, total, size + more)]
    return [value for value, _, size in pools for _ in range(size)]


__all__ = ["HEIGHT", "Box", "Heights", "Layout", "Line", "Route", "lay_out"]
