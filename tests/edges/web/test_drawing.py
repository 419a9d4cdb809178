"""The live graph is laid out so that nothing covers anything, to the right and downwards, and once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

import pytest

from headrace.edges.web.drawing import MOST_LABELS, Box, Direction, Drawing, Drawings, drawn
from headrace.model.picture import ComponentPicture, LinkPicture, Picture
from headrace.runtime.picture import picture_of
from headrace.runtime.system_execution_harness import System

DIRECTIONS = pytest.mark.parametrize("direction", ["right", "down"])
GRAPHS = {
    "a line": "a>b b>c",
    "a fan": "a>b a>c a>d b>e c>e d>e",
    "a circle": "a>b b>c c>a c>d",
    "a loop": "a>b b>b b>c",
    "long lines": "a>b b>c c>d d>e a>e a>d b>e",
    "two parts": "a>b c>d",
}
EACH = pytest.mark.parametrize("links", GRAPHS.values(), ids=GRAPHS)
HALF = (33.0, 14.0)  # as the page draws them


def picture(links: str) -> Picture:
    """Return the picture of a graph as ``a>b b>c``."""
    pairs = [tuple(link.split(">")) for link in links.split()]
    names = dict.fromkeys(name for pair in pairs for name in pair)
    return Picture.of(
        "drawn",
        tuple(ComponentPicture(name, "here:it") for name in names),
        tuple(LinkPicture(sender, "out", receiver, "in") for sender, receiver in pairs),
    )


def numbers(d: str) -> list[float]:
    """Return the numbers of a path."""
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", d)]


def covers(one: Box, other: Box) -> bool:
    """Return whether two boxes have a place in common."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def labels(made: Drawing) -> Iterator[Box]:
    """Yield the boxes of the figures on lines."""
    for link in made.links.values():
        x, y = HALF
        yield Box(x=link.x - x, y=link.y - y, width=2 * x, height=2 * y)


@EACH
@DIRECTIONS
def test_no_box_and_no_figures_cover_one_another(links: str, direction: Direction) -> None:
    made = drawn(picture(links), direction)
    shown = [*made.components.values(), *labels(made)]
    assert not [pair for pair in combinations(shown, 2) if covers(*pair)]


@EACH
@DIRECTIONS
def test_all_is_inside_and_every_line_begins_and_ends_at_its_components(
    links: str, direction: Direction
) -> None:
    wanted = picture(links)
    made = drawn(wanted, direction)
    assert set(made.components) == {one.name for one in wanted.components}
    for link, line in zip(wanted.links, made.links.values(), strict=True):
        path, tip = numbers(line.d), numbers(line.tip)
        assert max(path[::2]) <= made.width + 16
        assert max(path[1::2]) <= made.height + 16
        sender, receiver = made.components[link.sender], made.components[link.receiver]
        if direction == "right":
            assert path[0] == pytest.approx(sender.x + sender.width, abs=0.2)
            assert tip[0] == pytest.approx(receiver.x, abs=0.2)
        else:
            assert path[1] == pytest.approx(sender.y + sender.height, abs=0.2)
            assert tip[1] == pytest.approx(receiver.y, abs=0.2)


def test_messages_go_down_where_they_go_right_otherwise() -> None:
    right, down = (drawn(picture("a>b b>c"), direction) for direction in ("right", "down"))
    assert right.components["c"].x > right.components["a"].x + right.components["a"].width
    assert down.components["c"].y > down.components["a"].y + down.components["a"].height
    assert right.width > right.height
    assert down.height > down.width


def test_of_very_many_lines_none_has_room_for_its_figures() -> None:
    most = [f"n{number}>n{number + 1}" for number in range(MOST_LABELS + 1)]
    assert drawn(picture(" ".join(most[:-1])), "right").labelled
    assert not drawn(picture(" ".join(most)), "right").labelled


def numbers_source() -> Iterator[int]:
    """Yield nothing."""
    yield from ()


async def test_a_drawing_is_made_once_and_again_when_the_graph_has_grown() -> None:
    made = System("growing")
    made.add("one", numbers_source)
    drawings = Drawings(made)
    first = await drawings.get("right")
    assert await drawings.get("right") is first
    assert (await drawings.get("down")).direction == "down"
    made.add("two", numbers_source)
    assert set((await drawings.get("right")).components) == {"one", "two"}


async def test_sub_systems_are_one_box_each_where_that_is_asked_for() -> None:
    made = System("folded")
    for name in ("numbers", "ingest/read", "ingest/clean", "store"):
        made.add(name, [].append if name == "store" else numbers_source if name == "numbers" else abs)
    made.connect("numbers", "ingest/read")
    made.connect("ingest/read", "ingest/clean")
    made.connect("ingest/clean", "store")
    drawings = Drawings(made)
    box = await drawings.get("right", ["ingest"])
    assert set(box.components) == {"numbers", "ingest", "store"}
    assert list(box.links) == ["numbers.out -> ingest/read.in", "ingest/clean.out -> store.in"]
    assert await drawings.get("right", ["ingest", "ingest"]) is box
    assert set((await drawings.get("right")).components) == {
        "numbers",
        "ingest/read",
        "ingest/clean",
        "store",
    }
    with pytest.raises(KeyError, match="digest"):
        await drawings.get("right", ["digest"])


async def test_no_more_than_a_few_drawings_are_kept() -> None:
    made = System("many")
    for number in range(20):
        made.add(f"s{number}/source", numbers_source)
    drawings = Drawings(made)
    first = await drawings.get("right", ["s0"])
    last = [await drawings.get("right", [f"s{number}"]) for number in range(1, 20)][-1]
    assert await drawings.get("right", ["s19"]) is last
    assert await drawings.get("right", ["s0"]) is not first


def test_the_names_are_those_of_the_graph() -> None:
    made = System("named")
    made.add("a.b", numbers_source)
    made.add("c d", [].append)
    made.connect("a.b", "c d")
    assert list(drawn(picture_of(made), "right").links) == ["a.b.out -> c d.in"]
