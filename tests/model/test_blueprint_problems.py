"""How much is told of what is wrong: no more than anyone reads, and nothing that a terminal would obey."""

from __future__ import annotations

import pytest

from headrace.exceptions import BlueprintError
from headrace.model.blueprint_problems import MAX_MISTAKES, Complaints, Position, Problem
from headrace.model.blueprint_variables import Surroundings, expand_variables
from headrace.model.endpoint import did_you_mean


def crowded() -> Complaints:
    """Return complaints with as many mistakes as there may be."""
    complaints = Complaints()
    for line in range(1, MAX_MISTAKES + 1):
        complaints.error(Position("bp.yaml", line), "E102", "unknown key")
    return complaints


def test_more_mistakes_than_anyone_reads_end_the_search_with_one_line_that_says_so() -> None:
    complaints = crowded()
    complaints.error(Position("bp.yaml", 1), "E102", "unknown key")
    assert len(complaints.problems) == MAX_MISTAKES, "the same one again is no further one"
    with pytest.raises(BlueprintError) as caught:
        complaints.error(Position("bp.yaml", 900), "E102", "unknown key")
    assert len(caught.value.problems) == MAX_MISTAKES + 1
    assert str(caught.value.problems[-1]) == (
        "bp.yaml:900:1: error E107 there are more than 100 mistakes: the others are not told, mend these first"
    )
    with pytest.raises(BlueprintError) as again:
        complaints.error(Position("bp.yaml", 901), "E102", "unknown key")
    assert again.value.problems == caught.value.problems


def test_warnings_are_no_mistakes_however_many() -> None:
    complaints = Complaints()
    for line in range(3 * MAX_MISTAKES):
        complaints.warning(Position("bp.yaml", line), "W301", "not connected")
    assert len(complaints.problems) == 3 * MAX_MISTAKES
    assert not complaints.has_errors


def test_a_message_does_not_repeat_all_that_it_was_given() -> None:
    complaints = Complaints()
    complaints.error(Position(), "E240", f"no type is named '{'t' * 10_000}'", "h" * 10_000)
    (problem,) = complaints.problems
    assert problem.message.startswith("no type is named 'ttt")
    assert problem.message.endswith("ttt'")
    assert " ... " in problem.message
    assert len(str(problem)) < 1_500


def test_nothing_that_is_shown_moves_the_cursor_of_a_terminal() -> None:
    position = Position("\x1b[31mred\n.yaml", 1, 5)
    problem = Problem(position, "error", "E101", "bad", source="a:\t\x1b[31mx\u202e")
    assert str(problem) == "\\x1b[31mred\\n.yaml:1:5: error E101 bad"
    assert problem.excerpt() == "a:\t\ufffd[31mx\ufffd\n  \t ^"


def test_of_very_many_variables_that_are_not_set_only_the_first_are_looked_for() -> None:
    _, flaws = expand_variables("${NOWHERE}" * 10_000, Surroundings())
    assert MAX_MISTAKES < len(flaws) < MAX_MISTAKES + 3


def test_a_hint_among_very_many_names_is_one_that_begins_alike() -> None:
    names = [f"component{number:05}" for number in range(20_000)]
    assert did_you_mean("component0999", names).startswith("did you mean 'component0999")
    assert did_you_mean("nothing like it", names) == ""
