"""Repeats of a record: the first few are written, and of the others how many there were."""

from __future__ import annotations

import logging

import pytest

from headrace.model.repeats import Repeats, likeness


def test_the_first_few_are_written_and_the_rest_is_counted() -> None:
    repeats = Repeats(burst=2, within=10)
    said = [repeats.admit("a", now, now)[0] for now in (0, 1, 2, 3)]
    assert said == [True, True, False, False]
    admitted, [told] = repeats.admit("a", 10, "next")
    assert (admitted, told.held, told.last) == (True, 2, 3)
    assert repeats.admit("a", 11, "next") == (True, [])


def test_what_is_not_repeated_any_more_is_told_when_its_time_is_over() -> None:
    repeats = Repeats(burst=1, within=10)
    for now in (0, 1, 5):
        repeats.admit("a", now, now)
    repeats.admit("b", 4, "b")
    assert repeats.due(9.9) == []
    [told] = repeats.due(10)
    assert (told.held, told.last) == (2, 5)
    assert repeats.due(100) == []


def test_at_the_end_everything_is_told_once() -> None:
    repeats = Repeats(burst=1)
    repeats.admit("a", 0, 1)
    repeats.admit("a", 0, 2)
    assert [told.held for told in repeats.all()] == [1]
    assert repeats.all() == []


def test_the_kind_not_seen_for_longest_is_forgotten_and_what_it_held_is_told() -> None:
    repeats = Repeats(burst=1, most=2)
    repeats.admit("a", 0, "a")
    repeats.admit("b", 0, "b")
    repeats.admit("b", 0, "b2")
    repeats.admit("a", 0, "a2")
    admitted, [told] = repeats.admit("c", 0, "c")
    assert (admitted, told.last) == (True, "b2")
    _, [told] = repeats.admit("b", 0, "b3")
    assert told.last == "a2"


@pytest.mark.parametrize(
    ("event", "values", "alike"),
    [
        ("row 7 is bad", {"component": "p"}, True),
        ("row 7 is good", {"component": "p"}, False),
        ("row 12 is bad", {"component": "q"}, False),
        ("row 12 is bad", {"component": "p", "error": "KeyError: 'id'"}, False),
        ("row 12 is bad", {"component": "p", "rows": 5}, True),
        ("row 12 is bad" + "x" * 500, {"component": "p"}, False),
    ],
)
def test_what_is_alike(event: str, values: dict[str, object], alike: bool) -> None:
    one = likeness(logging.INFO, "row 12 is bad", {"component": "p"})
    assert (likeness(logging.INFO, event, values) == one) is alike
    assert likeness(logging.ERROR, "row 12 is bad", {"component": "p"}) != one


def test_quoted_names_and_numbers_make_no_difference() -> None:
    first = likeness(20, "a", {"error": "KeyError: 'id' at 5"})
    assert first == likeness(20, "a", {"error": "KeyError: 'name' at 17"})


def test_of_what_was_all_written_nothing_is_told() -> None:
    repeats = Repeats(burst=1, most=1)
    assert repeats.admit("a", 0, 1) == (True, [])
    assert repeats.admit("a", 10, 2) == (True, [])
    assert repeats.admit("b", 10, 3) == (True, [])
    assert repeats.due(100) == []
