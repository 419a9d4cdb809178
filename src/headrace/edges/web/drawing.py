"""Where everything of the live graph is, in pixels: laid out once for a graph, in a thread, in two directions.

The page only fills in what moves, so nothing jumps while it watches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import Literal

import anyio

from headrace.model.folding import folded, sub_systems
from headrace.model.graph_layout import Heights, Layout, Line, Route, lay_out
from headrace.model.graph_spots import Point
from headrace.model.picture import ComponentPicture, LinkPicture, Picture
from headrace.runtime.picture import picture_of
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .records import Record

Direction = Literal["right", "down"]

BOX_HEIGHT = 64.0
"""How high a box is: a name, a state, and a line of its last minute."""
MOST_LABELS = 150
"""Where there are more connections, their labels are left out: the page shows the figures of those that matter."""
_NARROWEST, _WIDEST, _DOWNWARD = 142.0, 220.0, 148.0
_PADDING, _LETTER = 26.0, 8.6
_LABEL_WIDTH, _LABEL_HEIGHT, _NO_LABEL = 78.0, 38.0, 8.0
_TURN, _TIP = 8.0, 7.0
_KEPT = 16


class Box(Record, frozen=True, kw_only=True):
    """The box of a component, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


class Path(Record, frozen=True, kw_only=True):
    """The line of a connection: ``d`` of an SVG path, that of its tip, and the middle of its label."""

    d: str
    tip: str
    x: float
    y: float
    is_back: bool


class Drawing(Record, frozen=True, kw_only=True):
    """The graph of a system, laid out.

    Attributes:
        direction: Whether messages go to the ``right`` or ``down``.
        width: Its width, in pixels.
        height: Its height, in pixels.
        labelled: Whether there is room for a label on each line.
        components: Boxes by the names of components, and of sub-systems that are folded.
        links: Lines by the names of connections.
    """

    direction: Direction
    width: float
    height: float
    labelled: bool
    components: dict[str, Box]
    links: dict[str, Path]


class Drawings:
    """Keeps the drawings of a system; one that has grown is drawn anew.

    Args:
        harness: The system.
    """

    def __init__(self, harness: SystemExecutionHarness) -> None:
        self._harness = harness
        self._made: dict[tuple[Direction, frozenset[str]], tuple[Picture, Drawing]] = {}

    async def get(self, direction: Direction, boxes: Collection[str] = ()) -> Drawing:
        """Return the drawing in a direction, with one box in the place of each of some sub-systems.

        Raises:
            KeyError: There is no sub-system of such a name; it is the argument.
        """
        picture, key = picture_of(self._harness), (direction, frozenset(boxes))
        known, drawing = self._made.pop(key, (None, None))
        if drawing is None or known != picture:
            drawing = await anyio.to_thread.run_sync(_drawn_folded, picture, *key)
        self._made[key] = (picture, drawing)  # the last one in use is the last of all
        if len(self._made) > _KEPT:
            del self._made[next(iter(self._made))]
        return drawing


def _drawn_folded(picture: Picture, direction: Direction, boxes: Collection[str]) -> Drawing:
    there = sub_systems(one.name for one in picture.components)
    for name in boxes:
        if name not in there:
            raise KeyError(name)
    return drawn(folded(picture, boxes), direction)


def drawn(picture: Picture, direction: Direction) -> Drawing:
    """Lay a picture out.

    Args:
        picture: The system.
        direction: Where messages go.
    """
    is_down, labelled = direction == "down", len(picture.links) <= MOST_LABELS
    label = (_LABEL_WIDTH, _LABEL_HEIGHT) if labelled else (_NO_LABEL, _NO_LABEL)
    along, across = reversed(label) if is_down else label
    lines = [Line(link.sender, link.output, link.receiver) for link in picture.links]
    widths = {one.name: BOX_HEIGHT if is_down else _box_width(one) for one in picture.components}
    heights = Heights(_DOWNWARD if is_down else BOX_HEIGHT, across)
    layout = lay_out(widths, lines, [along] * len(lines), heights)
    turned = _Turned(is_down)
    width, height = turned(layout.width, layout.height)
    return Drawing(
        direction=direction,
        width=round(width, 1),
        height=round(height, 1),
        labelled=labelled,
        components=dict(turned.boxes(layout)),
        links=dict(turned.paths(picture.links, layout.routes)),
    )


def _box_width(one: ComponentPicture) -> float:
    return min(max(len(one.title) * _LETTER + _PADDING, _NARROWEST), _WIDEST)


class _Turned:
    """Writes what is laid out to the right; downwards, x and y change places."""

    def __init__(self, is_down: bool) -> None:
        self.is_down = is_down

    def __call__(self, x: float, y: float) -> Point:
        return (y, x) if self.is_down else (x, y)

    def boxes(self, layout: Layout) -> Iterator[tuple[str, Box]]:
        for name, one in layout.boxes.items():
            (x, y), (width, height) = self(one.x, one.y), self(one.width, one.height)
            yield name, Box(x=round(x, 1), y=round(y, 1), width=round(width, 1), height=round(height, 1))

    def paths(self, links: Iterable[LinkPicture], routes: Iterable[Route]) -> Iterator[tuple[str, Path]]:
        for link, route in zip(links, routes, strict=True):
            x, y = self(*route.label)
            corners = route.corners
            yield (
                link.name,
                Path(
                    d=self._bent(corners) if route.is_back else self._swung(corners),
                    tip=self._tip(corners[-1]),
                    x=round(x, 1),
                    y=round(y, 1),
                    is_back=route.is_back,
                ),
            )

    def _at(self, x: float, y: float) -> str:
        one, other = self(x, y)
        return f"{_n(one)} {_n(other)}"

    def _tip(self, end: Point) -> str:
        x, y = end
        back = x - _TIP - 1
        return f"M{self._at(x, y)}L{self._at(back, y - 4.5)}L{self._at(back, y + 4.5)}Z"

    def _swung(self, corners: tuple[Point, ...]) -> str:
        """Return a line that swings between columns and runs straight through them."""
        *others, (x, y) = corners
        parts = [f"M{self._at(*corners[0])}"]
        for number, ((x0, y0), (x1, y1)) in enumerate(pairwise([*others, (x - _TIP, y)])):
            middle = (x0 + x1) / 2
            swing = f"C{self._at(middle, y0)} {self._at(middle, y1)} "
            parts.append(f"{'L' if number % 2 or y0 == y1 else swing}{self._at(x1, y1)}")
        return "".join(parts)

    def _bent(self, corners: tuple[Point, ...]) -> str:
        """Return a line around the components, with round corners."""
        parts = [f"M{self._at(*corners[0])}"]
        for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
            into, out = _towards(corner, before), _towards(corner, after)
            parts.append(f"L{self._at(*into)}Q{self._at(*corner)} {self._at(*out)}")
        x, y = corners[-1]
        return "".join(parts) + f"L{self._at(x - _TIP, y)}"


def _towards(corner: Point, other: Point) -> Point:
    """Return the point where a line begins to turn at a corner."""
    (x, y), (to_x, to_y) = corner, other
    return (
        x + max(-_TURN, min(_TURN, (to_x - x) / 2)),
        y + max(-_TURN, min(_TURN, (to_y - y) / 2)),
    )


def _n(number: float) -> str:
    """Return a number of pixels to a tenth."""
    return f"{round(number, 1) + 0.0:.1f}".removesuffix(".0")


__all__ = ["BOX_HEIGHT", "MOST_LABELS", "Box", "Direction", "Drawing", "Drawings", "Path", "drawn"]
