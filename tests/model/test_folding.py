"""Sub-systems become boxes: everything else stays, and every line that is left leads where it led."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.model.folding import folded, sub_systems
from headrace.model.picture import ComponentPicture, LinkPicture, Picture

NAMES = ["a", "b", "x/a", "x/b", "x/y/a", "x/y/b", "z/a", "z/y/a"]


def picture(*links: str) -> Picture:
    """Return the picture of a graph as ``a.out>b.in``."""
    made = []
    for link in links:
        (sender, output), (receiver, entry) = (end.split(".") for end in link.split(">"))
        made.append(LinkPicture(sender, output, receiver, entry))
    return Picture.of("s", tuple(ComponentPicture(name) for name in NAMES), tuple(made))


def test_sub_systems_are_told_by_the_names_of_components() -> None:
    assert sub_systems(NAMES) == {
        "x": ("x/a", "x/b", "x/y/a", "x/y/b"),
        "x/y": ("x/y/a", "x/y/b"),
        "z": ("z/a", "z/y/a"),
        "z/y": ("z/y/a",),
    }
    assert sub_systems(["a", "/b", "c d"]) == {}


def test_one_that_is_called_like_a_component_is_none() -> None:
    assert sub_systems(["a", "a/b", "a/b/c"]) == {}
    assert sub_systems(["a", "a/b/c"]) == {"a/b": ("a/b/c",)}


def test_a_box_has_the_ports_that_lead_out_of_it() -> None:
    made = folded(picture("a.out>x/a.in", "x/a.out>x/y/b.in", "x/y/b.good>b.in", "x/y/b.bad>b.in"), ["x"])
    box = next(one for one in made.components if one.name == "x")
    assert [one.name for one in box.inputs] == ["a.in"]
    assert [one.name for one in box.outputs] == ["y/b.good", "y/b.bad"]
    assert [one.name for one in made.links] == [
        "a.out -> x/a.in",
        "x/y/b.good -> b.in",
        "x/y/b.bad -> b.in",
    ]
    assert {(one.sender, one.receiver) for one in made.links} == {("a", "x"), ("x", "b")}


def test_of_two_boxes_in_each_other_the_outer_one_is_shown() -> None:
    assert [one.name for one in folded(picture(), ["x/y", "x"]).components] == ["a", "b", "x", "z/a", "z/y/a"]
    assert [one.name for one in folded(picture(), ["x/y"]).components] == [
        *("a", "b", "x/a", "x/b", "x/y", "z/a", "z/y/a")
    ]


def test_a_line_from_a_component_to_itself_stays_where_it_is_seen() -> None:
    whole = picture("a.out>a.in", "x/a.out>x/a.in")
    assert [one.name for one in folded(whole, ["x"]).links] == ["a.out -> a.in"]
    assert [one.name for one in folded(whole, ["z/y"]).links] == ["a.out -> a.in", "x/a.out -> x/a.in"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12, unique=True),
    st.sets(st.sampled_from(["x", "x/y", "z", "z/y", "none"])),
)
def test_each_component_is_itself_or_in_one_box_and_lines_within_boxes_alone_are_gone(
    pairs: list[tuple[str, str]], boxes: set[str]
) -> None:
    whole = picture(*(f"{sender}.out>{receiver}.in" for sender, receiver in pairs))
    made = folded(whole, boxes)
    shown = {one.name for one in made.components}

    def place(name: str) -> str:
        (found,) = {one for one in shown if name == one or name.startswith(f"{one}/")}
        return found

    assert shown == {place(name) for name in NAMES}
    assert shown <= {*NAMES, *boxes}
    left = {link.name: (link.sender, link.receiver) for link in made.links}
    for link in whole.links:
        ends = (place(link.sender), place(link.receiver))
        if ends[0] == ends[1] and ends[0] in boxes:
            assert link.name not in left
        else:
            assert left.pop(link.name) == ends
    assert left == {}
