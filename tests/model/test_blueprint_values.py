"""What the keys of a blueprint take, and how they say no."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model import blueprint_values as values
from headrace.model.blueprint import Complaints, Position
from headrace.model.blueprint_tree import Listing, Node, Scalar, Table, resolve_scalar
from headrace.model.secret import Secret

HERE = Position("x", 1, 1)


def scalar(text: str, *, is_plain: bool = True, expanded: bool = False, flawed: bool = False) -> Scalar:
    """Make a scalar as the builder would."""
    value = resolve_scalar(text) if is_plain else text
    return Scalar(value, text, HERE, expanded=expanded, flawed=flawed)


def checked(check: values.Check, node: Node) -> tuple[object, list[str]]:
    """Return what a check gives and the codes of what it complains of, each with a mend."""
    complaints = Complaints()
    found = check(node, "key", complaints)
    assert all(problem.hint for problem in complaints.problems)
    return found, [problem.code for problem in complaints.problems]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), (".5", 0.5), ("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("1.5 s", 1.5)],
)
def test_a_duration_is_seconds_or_a_text_with_its_unit(text: str, seconds: float) -> None:
    assert checked(values.duration, scalar(text)) == (seconds, [])


@pytest.mark.parametrize(
    "text", ["1:30", "5 minutes", "0", "-1", "0s", ".inf", ".nan", "true", "", "s", "1e3s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    assert checked(values.duration, scalar(text)) == (None, ["E111"])


def test_a_duration_may_be_zero_where_that_means_something() -> None:
    assert checked(values.duration_or_zero, scalar("0")) == (0.0, [])
    assert checked(values.duration_or_zero, scalar("-1")) == (None, ["E111"])


def test_a_list_is_no_duration() -> None:
    assert checked(values.duration, Listing((), HERE)) == (None, ["E111"])


@given(st.text())
def test_no_text_breaks_the_reading_of_durations(text: str) -> None:
    seconds = values.read_duration(text)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (1, [])),
        ("0", (None, ["E111"])),
        ("1.5", (None, ["E104"])),
        ("true", (None, ["E104"])),
        ("many", (None, ["E104"])),
        ("", (None, ["E104"])),
    ],
)
def test_a_whole_number_is_at_least_one(text: str, expected: object) -> None:
    assert checked(values.whole_number, scalar(text)) == expected


def test_quotes_count_except_around_a_variable() -> None:
    assert checked(values.whole_number, scalar("5", is_plain=False)) == (None, ["E104"])
    assert checked(values.whole_number, scalar("5", is_plain=False, expanded=True)) == (5, [])


def test_a_truth_value_is_true_or_false_and_nothing_else() -> None:
    assert checked(values.truth, scalar("true")) == (True, [])
    assert checked(values.truth, scalar("yes")) == (None, ["E104"])


def test_a_text_is_not_empty_and_not_a_number() -> None:
    assert checked(values.text, scalar("x")) == ("x", [])
    assert checked(values.text, scalar(" ", is_plain=False)) == (None, ["E104"])
    assert checked(values.text, scalar("5")) == (None, ["E104"])
    assert checked(values.text, Table({}, HERE)) == (None, ["E104"])


def test_one_of_some_words() -> None:
    check = values.OneOf(("block", "error"))
    assert checked(check, scalar("block")) == ("block", [])
    assert checked(check, scalar("blok")) == (None, ["E112"])
    assert checked(check, scalar("5")) == (None, ["E112"])
    assert checked(check, Listing((), HERE)) == (None, ["E112"])


def test_references_are_one_name_or_a_list_of_them() -> None:
    one, _ = checked(values.references, scalar("a.out"))
    assert [str(reference) for reference in one] == ["a.out"]  # type: ignore[attr-defined]
    listing = Listing((scalar("a"), scalar("5"), scalar("b", flawed=True)), HERE)
    some, codes = checked(values.references, listing)
    assert [str(reference) for reference in some] == ["a"]  # type: ignore[attr-defined]
    assert codes == ["E104"]
    assert checked(values.references, scalar("5")) == (None, ["E104"])


def test_key_fields_are_names_or_indexes() -> None:
    assert checked(values.key_fields, scalar("carrier")) == (("carrier",), [])
    assert checked(values.key_fields, Listing((scalar("a"), scalar("1")), HERE)) == (("a", 1), [])
    for node in (Listing((), HERE), scalar("true"), scalar(""), Listing((Table({}, HERE),), HERE)):
        assert checked(values.key_fields, node) == (None, ["E104"])


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (Table({}, HERE), "a table"),
        (Listing((), HERE), "a list"),
        (scalar(""), "nothing"),
        (Scalar(Secret("hunter2"), "hunter2", HERE), "a secret"),
        (scalar("true"), "the truth value true"),
        (scalar("5"), "the number '5'"),
        (scalar("x" * 50), f"the text '{'x' * 40}...'"),
    ],
)
def test_nodes_are_described_as_a_person_would(node: Node, words: str) -> None:
    assert values.describe(node) == words
