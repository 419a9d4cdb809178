"""The drawing as SVG: well-formed for any names, deterministic, and nothing covered by anything."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.graph_layers import Line, columns_of, crossings
from headrace.model.graph_layout import Layout, lay_out
from headrace.model.graph_spots import swing
from headrace.model.graph_svg import draw_svg
from headrace.model.options import EdgeOptions
from headrace.model.picture import ComponentPicture, LinkPicture, Picture, PortPicture

SVG = "{http://www.w3.org/2000/svg}"


def picture(*links: str | LinkPicture, names: str = "") -> Picture:
    """Return a picture of ``a.out -> b.in`` links; ports may be left out."""
    made: list[LinkPicture] = []
    for link in links:
        if isinstance(link, str):
            one, other = link.split(" -> ")
            (sender, _, output), (receiver, _, entry) = one.partition("."), other.partition(".")
            link = LinkPicture(sender, output or "out", receiver, entry or "in")
        made.append(link)
    found = dict.fromkeys([*names.split(), *(end for link in made for end in (link.sender, link.receiver))])
    components = tuple(ComponentPicture(name, f"app:{name.title()}") for name in found)
    return Picture.of("shop", components, tuple(made))


def texts(svg: str) -> list[str]:
    """Return what is written in a drawing."""
    return [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def lines_of(*links: str) -> list[Line]:
    """Return lines of ``a -> b`` links."""
    ends = [link.split(" -> ") for link in links]
    return [Line(one, "out", other) for one, other in ends]


def laid(*links: str, names: str = "") -> tuple[Layout, list[Line]]:
    """Return the layout of ``a -> b`` links with boxes and labels of usual widths."""
    lines = lines_of(*links)
    found = dict.fromkeys([*names.split(), *(end for line in lines for end in (line.sender, line.receiver))])
    return lay_out(dict.fromkeys(found, 120.0), lines, [36.0] * len(lines)), lines


# --- what is written ------------------------------------------------------------------------------


def test_a_drawing_says_what_there_is_and_how_much_each_line_holds() -> None:
    assert texts(draw_svg(picture("src -> parse", "parse -> sink"))) == [
        "shop",
        "3 components, 2 connections",
        "src",
        "Src",
        "parse",
        "Parse",
        "sink",
        "Sink",
        "100",
        "100",
        "on each line: how many messages its buffer holds",
    ]


def test_ports_and_policies_that_are_unusual_are_said_and_coloured() -> None:
    svg = draw_svg(
        picture(
            LinkPicture("a", "rejected", "b", "in", EdgeOptions(when_full="drop_oldest")),
            LinkPicture("a", "out", "c", "side", EdgeOptions(buffer_size=5000, when_full="error", copy=True)),
            LinkPicture("a", "x", "d", "y", fan_out="balance"),
        )
    )
    shown = texts(svg)
    assert {"rejected · 100 · drop_oldest", "→ side · 5,000 · error · copy", "x → y · 100 · balance"} < set(
        shown
    )
    assert shown[-1].endswith("amber: drops when it is full · red: fails when it is full")
    kinds = re.findall(r'class="edge (\w+)"', svg)
    assert kinds == ["fill", "stop", "idle"]
    assert "a.out -> c.side: buffer_size 5000, when_full error, copy" in svg.replace("&gt;", ">")


def test_a_line_that_closes_a_cycle_is_dashed_and_explained() -> None:
    svg = draw_svg(picture("src -> a", "a -> b", "b -> a.again"))
    assert svg.count('class="edge idle back"') == 1
    assert "dashed: leads back" in svg


def test_ports_and_types_are_there_for_the_pointer() -> None:
    one = ComponentPicture(
        "parse",
        "app:Parse",
        (PortPicture("in", "bytes"), PortPicture("side", "int", True)),
        (PortPicture("out"),),
    )
    svg = draw_svg(Picture.of("s", (one,), ()))
    assert "parse\napp:Parse\nin: in bytes, side int (optional)\nout: out Any" in svg


def test_an_empty_system_and_a_single_component_are_drawn() -> None:
    assert texts(draw_svg(picture())) == ["shop", "0 components, 0 connections"]
    assert texts(draw_svg(picture(names="alone")))[1:] == ["1 component, 0 connections", "alone", "Alone"]


def test_a_component_of_no_type_has_its_name_alone() -> None:
    assert texts(draw_svg(Picture.of("s", (ComponentPicture("x"),), ())))[2:] == ["x"]


def test_a_drawing_needs_nothing_else_and_follows_the_scheme_of_the_reader() -> None:
    svg = draw_svg(picture("a -> b"))
    assert "@media (prefers-color-scheme:dark)" in svg
    assert not re.search(r"url\(|@import|<image|<script|href", svg)
    assert svg.count("http") == 1  # the namespace


@pytest.mark.parametrize("name", ["with_weather", "origin_hour_delays", "mWi!l,j" * 2, "x" * 17])
def test_a_name_that_has_room_is_never_cut(name: str) -> None:
    assert name in texts(draw_svg(picture(f"{name} -> b")))


def test_long_names_are_cut_and_whole_for_the_pointer() -> None:
    name = "a_very_long_name_" * 5
    svg = draw_svg(picture(f"{name} -> b"))
    assert any(text.endswith("…") and name.startswith(text[:-1]) for text in texts(svg))
    assert f"<title>{name}\n" in svg


@given(st.text(min_size=1), st.text(), st.text(min_size=1), st.text())
def test_any_names_give_well_formed_xml_with_them_escaped(
    name: str, kind: str, system: str, port: str
) -> None:
    parts = (ComponentPicture(name, kind, (PortPicture(port, kind),)), ComponentPicture(f"{name}2"))
    link = LinkPicture(name, port, f"{name}2", port)
    svg = draw_svg(Picture.of(system, parts, (link,)))
    root = ElementTree.fromstring(svg)
    allowed = {"svg", "style", "rect", "text", "g", "path", "title"}
    assert {node.tag.removeprefix(SVG) for node in root.iter()} <= allowed


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=25))
def test_the_same_system_always_gives_the_same_text_with_every_component_and_line(
    pairs: list[tuple[int, int]],
) -> None:
    shown = picture(*(f"n{a} -> n{b}" for a, b in pairs), names=" ".join(f"n{number}" for number in range(8)))
    svg = draw_svg(shown)
    assert svg == draw_svg(shown)
    assert svg.count('class="node"') == 8
    assert svg.count('class="edge') == svg.count('class="tip') == svg.count('class="label"') == len(pairs)
    assert "nan" not in svg
    assert "inf" not in svg


# --- where it is ----------------------------------------------------------------------------------


def test_components_stand_in_columns_from_left_to_right() -> None:
    layout, _ = laid("src -> a", "a -> b", "src -> b", "b -> sink")
    x = {name: box.x for name, box in layout.boxes.items()}
    assert x["src"] < x["a"] < x["b"] < x["sink"]


def test_what_only_feeds_one_component_stands_beside_it() -> None:
    layout, _ = laid("src -> a", "a -> b", "b -> join", "table -> keyed", "keyed -> join")
    boxes = layout.boxes
    assert boxes["keyed"].x == boxes["b"].x
    assert boxes["table"].x == boxes["a"].x


def test_a_line_leads_back_only_where_it_closes_a_cycle() -> None:
    layout, lines = laid("src -> a", "a -> b", "b -> c", "c -> a", "b -> b", "c -> sink")
    back = [(line.sender, line.receiver) for line, r in zip(lines, layout.routes, strict=True) if r.is_back]
    assert back == [("c", "a"), ("b", "b")]


def test_a_cycle_without_a_source_is_drawn_from_the_first_component() -> None:
    layout, _ = laid("a -> b", "b -> a")
    assert [route.is_back for route in layout.routes] == [False, True]


def test_lines_are_untangled() -> None:
    lines = lines_of("a -> z", "b -> y", "c -> x", "a -> y")
    plan = columns_of(["a", "b", "c", "x", "y", "z"], lines)
    assert crossings(plan.places, plan.columns) == 0


def test_lines_of_one_output_share_their_way_and_part_late() -> None:
    layout, _ = laid("a -> b", "b -> c", "c -> d", "c -> e", "a -> d", "a -> e")
    (one, other) = layout.routes[-2:]
    assert one.corners[:-1] == other.corners[:-1]
    assert one.corners[-1] != other.corners[-1]


def test_a_line_alone_between_two_components_is_straight() -> None:
    layout, _ = laid("a -> b", "b -> c")
    assert all(start[1] == end[1] for start, end in (route.corners for route in layout.routes))


def graphs() -> Iterator[tuple[str, list[str]]]:
    """Yield shapes by name."""
    yield "chain", [f"n{i} -> n{i + 1}" for i in range(9)]
    yield "tree", [f"n{i // 3} -> n{i + 1}" for i in range(60)]
    yield "mesh", [f"a{i} -> b{j}" for i in range(4) for j in range(4)]
    yield "cycles", ["s -> a", "a -> b", "b -> c", "c -> a", "c -> c", "b -> s", "c -> d", "d -> d", "d -> b"]
    yield "skips", [f"n{i} -> n{j}" for i in range(7) for j in range(i + 1, 7)]
    random.seed(3)
    yield "random", [f"n{random.randrange(20)} -> n{random.randrange(20)}" for _ in range(40)]


GRAPHS = dict(graphs())


@pytest.mark.parametrize("name", GRAPHS)
def test_no_box_covers_another_and_all_lie_within_the_drawing(name: str) -> None:
    layout, _ = laid(*GRAPHS[name])
    for box in layout.boxes.values():
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height
    for one, other in combinations(layout.boxes.values(), 2):
        aside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert aside or one.y + one.height <= other.y or other.y + other.height <= one.y


@pytest.mark.parametrize("name", GRAPHS)
def test_no_line_runs_behind_a_box(name: str) -> None:
    layout, lines = laid(*GRAPHS[name])
    for route, line in zip(layout.routes, lines, strict=True):
        for number, (start, end) in enumerate(zip(route.corners, route.corners[1:], strict=False)):
            for step in range(21):
                x, y = swing(start, end, step / 20)
                if route.is_back or number % 2:
                    x, y = (start[k] + (end[k] - start[k]) * step / 20 for k in (0, 1))
                for owner, box in layout.boxes.items():
                    inside = box.x + 1 < x < box.x + box.width - 1 and box.y < y < box.y + box.height
                    assert not inside, f"{line} runs behind {owner}"


@pytest.mark.parametrize("name", ["chain", "tree", "cycles", "mesh"])
def test_no_label_covers_another_or_a_box(name: str) -> None:
    layout, _ = laid(*GRAPHS[name])
    labels = [(x - 18, y - 8, x + 18, y + 8) for x, y in (route.label for route in layout.routes)]
    boxes = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in layout.boxes.values()]
    for one in labels:
        for other in [*labels, *boxes]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart or one is other


def test_three_hundred_components_and_a_thousand_lines_are_drawn_quickly_and_lie_apart() -> None:
    random.seed(1)
    names = [f"component_{number}" for number in range(300)]
    links = dict.fromkeys(
        f"{names[a]} -> {names[min(299, a + random.randrange(10, 40))]}"
        for a in (random.randrange(260) for _ in range(1000))
    )
    shown = picture(*links, names=" ".join(names))
    svg = draw_svg(shown)
    assert svg.count('class="node"') == 300
