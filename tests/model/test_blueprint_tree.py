"""Strict scalars, variables, and a tree that stays small whatever comes in."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.blueprint import Complaints, Position
from headrace.model.blueprint_tree import (
    MAX_ALIASES,
    MAX_DEPTH,
    MAX_NODES,
    Listing,
    Scalar,
    Table,
    TreeBuilder,
    plain,
    resolve_scalar,
)
from headrace.model.blueprint_variables import Room, Surroundings, Unreadable
from headrace.model.secret import Secret

HERE = Position("x", 1, 1)
FILES: dict[str, str | Unreadable] = {"pw": "1234567", "none": Unreadable("No such file", is_missing=True)}


def builder(**variables: str) -> TreeBuilder:
    """Make a builder with these variables."""
    return TreeBuilder(Complaints(), Surroundings(variables, read_file=FILES.__getitem__))


def codes(made: TreeBuilder) -> list[str]:
    """Return the codes of what a builder found."""
    return [problem.code for problem in made.complaints.problems]


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "on",
        "yes",
        "off",
        "y",
        "1:30",
        "0777",
        "+5",
        "1_000",
        "2013-01-01",
        "0x1F",
        "0o17",
        "-",
        ".",
        "e5",
        "1e999",
        "9" * 5000,
        "nan",
        "inf",
        "=",
        "tRUE",
        "١٢",
    ],
)
def test_what_is_no_number_and_no_word_of_json_stays_text(text: str) -> None:
    assert resolve_scalar(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("True", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1.5e3", -1500.0),
        ("1e5", 100000.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
    ],
)
def test_null_truth_values_and_numbers_are_read(text: str, value: object) -> None:
    found = resolve_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(resolve_scalar(".nan"))  # type: ignore[arg-type]


@given(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
)
def test_what_json_writes_is_read_as_the_same_value(value: object) -> None:
    found = resolve_scalar(json.dumps(value))
    assert found == value
    assert type(found) is type(value)


def test_a_tree_is_what_the_events_said() -> None:
    made = builder(N="5")
    made.open(HERE, is_table=True)
    made.scalar("a", HERE, is_plain=True)
    made.open(HERE, is_table=False, anchor="l")
    made.scalar("1", HERE, is_plain=True)
    made.scalar("1", HERE, is_plain=False)
    made.scalar("${N}", HERE, is_plain=True)
    made.close()
    made.scalar("b", HERE, is_plain=True)
    made.alias("l", HERE)
    made.scalar("${N}", HERE, is_plain=True)
    made.scalar("${NONE:-}", HERE, is_plain=True)
    made.close()
    assert made.root is not None
    assert plain(made.root) == {"a": [1, "1", 5], "b": [1, "1", 5], "${N}": ""}
    assert codes(made) == []


def test_a_secret_stays_a_text_and_is_hidden_in_what_is_said_from_then_on() -> None:
    made = builder()
    made.scalar("${file:pw}", HERE, is_plain=True)
    assert isinstance(made.root, Scalar)
    assert made.root.value == "1234567"
    assert isinstance(made.root.value, Secret)
    made.complaints.error(HERE, "E104", "not 1234567", "write 1234567")
    assert "1234567" not in str(made.complaints.problems)


def test_a_secret_that_cannot_be_read_is_told_at_its_place() -> None:
    made = builder()
    made.scalar("a ${file:none}", HERE, is_plain=False, lead=1)
    assert [(p.code, p.position.column) for p in made.complaints.problems] == [("E116", 4)]


def test_variables_that_hold_too_much_stop_the_reading() -> None:
    made = TreeBuilder(Complaints(), Surroundings({"A": "x" * 10}, room=Room(text=25)))
    made.scalar("${A}${A}", HERE, is_plain=True)
    assert codes(made) == []
    made.scalar("${A}${A}", HERE, is_plain=True)
    assert codes(made) == ["E107"]
    assert made.stopped


def test_trees_share_their_room() -> None:
    room = Room(nodes=5)
    for stopped in (False, True):
        made = TreeBuilder(Complaints(), Surroundings(room=room))
        made.open(HERE, is_table=False)
        for _ in range(3):
            made.scalar("x", HERE, is_plain=True)
        made.close()
        assert made.stopped is stopped


def test_the_place_of_a_character_is_known_where_the_text_is_written_out() -> None:
    assert Scalar("abc", "abc", HERE, 1).place_of(2).column == 4
    assert Scalar("abc", "abc", HERE).place_of(2).column == 1


def test_a_variable_is_complained_of_where_it_stands() -> None:
    made = builder()
    made.scalar("a${B}", HERE, is_plain=False, lead=1)
    assert [(p.code, p.position.column) for p in made.complaints.problems] == [("E109", 3)]
    assert made.root is not None
    assert made.root.flawed


def test_tags_duplicates_and_keys_that_are_no_text_are_refused_and_the_rest_is_kept() -> None:
    made = builder()
    made.open(HERE, is_table=True, tag="!x")
    for key in ("a", "a", ""):
        made.scalar(key, HERE, is_plain=True)
        made.scalar("v", HERE, is_plain=True, tag="tag:yaml.org,2002:str")
    made.open(HERE, is_table=False)
    made.close()
    made.scalar("v", HERE, is_plain=True)
    made.close()
    assert set(codes(made)) == {"E106", "E105", "E104"}
    assert "the tag '!!str'" in str(made.complaints.problems)
    assert made.root is not None
    assert made.root.flawed
    assert plain(made.root) == {"a": "v"}


@pytest.mark.parametrize("is_table", [True, False])
def test_a_merge_key_is_refused_and_still_read(is_table: bool) -> None:
    made = builder()
    made.open(HERE, is_table=True)
    made.scalar("<<", HERE, is_plain=True)
    made.open(HERE, is_table=is_table)
    if is_table:
        made.scalar("k", HERE, is_plain=True)
        made.scalar("v", HERE, is_plain=True)
    made.close()
    made.close()
    assert codes(made) == ["E115"]
    assert made.root is not None
    assert plain(made.root) == ({"k": "v"} if is_table else {})


def test_an_alias_without_an_anchor_is_refused_with_the_nearest_name() -> None:
    made = builder()
    made.open(HERE, is_table=False)
    made.alias("numbers", HERE)
    made.scalar("v", HERE, is_plain=True, anchor="number")
    made.alias("numbers", Position("x", 2, 1))
    made.close()
    assert codes(made) == ["E108", "E108"]
    assert [p.hint for p in made.complaints.problems] == [
        "mark a value with '&numbers' before it",
        "did you mean 'number'?",
    ]


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    made = builder()
    made.open(HERE, is_table=False, anchor="a")
    made.alias("a", HERE)
    made.close()
    assert codes(made) == ["E108"]


def test_depth_is_bounded() -> None:
    made = builder()
    for _ in range(MAX_DEPTH):
        made.open(HERE, is_table=False)
    assert not made.stopped
    made.open(HERE, is_table=False)
    assert made.stopped
    assert codes(made) == ["E107"]


def test_depth_is_bounded_through_aliases() -> None:
    made = builder()
    made.open(HERE, is_table=False)
    made.open(HERE, is_table=False, anchor="0")
    made.close()
    for level in range(MAX_DEPTH):
        if made.stopped:
            break
        made.open(HERE, is_table=False, anchor=str(level + 1))
        made.alias(str(level), HERE)
        if not made.stopped:
            made.close()
    assert made.stopped
    assert codes(made) == ["E107"]


def test_the_number_of_aliases_is_bounded() -> None:
    made = builder()
    made.open(HERE, is_table=False)
    made.scalar("v", HERE, is_plain=True, anchor="a")
    for _ in range(MAX_ALIASES):
        made.alias("a", HERE)
    assert not made.stopped
    made.alias("a", HERE)
    assert made.stopped


def test_the_number_of_values_is_bounded_repeated_ones_counted() -> None:
    made = builder()
    made.open(HERE, is_table=False)
    made.open(HERE, is_table=False, anchor="0")
    for _ in range(9):
        made.scalar("v", HERE, is_plain=True)
    made.close()
    level = 0
    while not made.stopped:
        made.open(HERE, is_table=False, anchor=str(level + 1))
        for _ in range(10):
            made.alias(str(level), HERE)
            if made.stopped:
                break
        if not made.stopped:
            made.close()
        level += 1
    assert level < math.log10(MAX_NODES) + 1


def test_nodes_are_compared_by_identity() -> None:
    assert Listing((), HERE) != Listing((), HERE)
    assert Table({}, HERE) != Table({}, HERE)
