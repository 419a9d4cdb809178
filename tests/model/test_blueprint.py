"""Positions, problems, complaints and the keys of messages."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from headrace import exceptions
from headrace.model.blueprint import (
    CODES,
    Complaints,
    ComponentSpec,
    ConnectionSpec,
    Defaults,
    Position,
    Problem,
    Reference,
    ResourceSpec,
    Sources,
    field_key,
)


def test_a_problem_reads_as_file_line_column_code_message_and_mend() -> None:
    problem = Problem(
        Position("bp.yaml", 6, 5), "error", "E102", "unknown key 'ratee'", "did you mean 'rate'?"
    )
    assert str(problem) == "bp.yaml:6:5: error E102 unknown key 'ratee', did you mean 'rate'?"
    assert str(Problem(Position("x", 1, 1), "warning", "W301", "odd")) == "x:1:1: warning W301 odd"


def test_an_excerpt_is_the_line_with_a_caret_below_the_place() -> None:
    complaints = Complaints(["a: 1", "\tbb: 2"])
    complaints.error(Position("x", 2, 3), "E102", "m")
    assert complaints.problems[0].excerpt() == "\tbb: 2\n\t ^"


def test_an_excerpt_of_a_long_line_is_a_window_around_the_place() -> None:
    complaints = Complaints(["x" * 500 + "HERE" + "y" * 500])
    complaints.error(Position("x", 1, 501), "E102", "m")
    line, caret = complaints.problems[0].excerpt().splitlines()
    assert len(line) == 100
    assert line[caret.index("^") :].startswith("HERE")


def test_problems_of_several_files_come_in_the_order_of_reading_with_the_lines_of_their_file() -> None:
    sources = Sources()
    sources.lines.update({"z.yaml": ("from z",), "a.yaml": ("from a",)})
    complaints = Complaints(sources=sources)
    for file in ("other", "a.yaml", "z.yaml"):
        complaints.error(Position(file), "E102", "m")
    found = [(problem.position.file, problem.source) for problem in complaints.problems]
    assert found == [("z.yaml", "from z"), ("a.yaml", "from a"), ("other", "")]


def test_no_problem_shows_a_secret() -> None:
    complaints = Complaints()
    complaints.sources.secrets.add("hunter2")
    complaints.error(Position("x"), "E250", "login as 'hunter2' failed", "is hunter2 right?")
    complaints.take(Problem(Position("x"), "warning", "W301", "hunter2", "hunter2"))
    assert "hunter2" not in str(complaints.problems)


def test_what_was_found_elsewhere_gets_the_line_of_its_place() -> None:
    complaints = Complaints(["first"])
    complaints.take(Problem(Position("x"), "warning", "W301", "m"))
    complaints.take(Problem(Position("y"), "warning", "W301", "m", source="own"))
    assert [problem.source for problem in complaints.problems] == ["first", "own"]


def test_a_resource_is_placed_by_its_dotted_names() -> None:
    spec = ResourceSpec("db", position=Position("x", 3, 1), places={"config": Position("x", 4, 1)})
    assert spec.place("config.size").line == 4
    assert spec.place("type").line == 3


@pytest.mark.parametrize(("kind", "is_one"), [("sub/a.yaml", True), ("a.yml", True), ("m:yaml", False)])
def test_a_type_that_names_a_file_is_a_blueprint(kind: str, is_one: bool) -> None:
    assert ComponentSpec("a", kind).is_blueprint is is_one


def test_what_a_part_says_itself_wins_over_what_is_said_around_it() -> None:
    inner = Defaults(attempts=2).within(Defaults(attempts=5, buffer_size=7))
    assert (inner.attempts, inner.buffer_size, inner.backoff) == (2, 7, None)


def test_a_later_file_changes_only_those_options_of_a_connection_that_it_says() -> None:
    first = ConnectionSpec(Reference("a"), Reference("b"), 5, "drop_oldest", True)
    later = ConnectionSpec(Reference("a.out"), Reference("b.in"), 9)
    changed = first.changed_by(later)
    assert (changed.buffer_size, changed.when_full, changed.copy) == (9, "drop_oldest", True)


def test_keys_of_the_same_fields_are_equal_and_say_what_they_take() -> None:
    assert field_key("a", 1) == field_key("a", 1)
    assert field_key("a") != field_key("b")
    assert len({field_key("a"), field_key("a")}) == 1
    assert repr(field_key("a", 1)) == "field_key('a', 1)"


def test_there_is_no_excerpt_where_there_is_no_line() -> None:
    complaints = Complaints()
    complaints.error(Position("x", 7, 1), "E102", "m")
    assert complaints.problems[0].excerpt() == ""


def test_problems_come_in_the_order_of_the_file_and_each_only_once() -> None:
    complaints = Complaints()
    complaints.warning(Position("x", 2, 1), "W301", "w")
    assert not complaints.has_errors
    for _ in range(2):
        complaints.error(Position("x", 1, 9), "E102", "e")
    assert [problem.code for problem in complaints.problems] == ["E102", "W301"]
    assert complaints.has_errors
    assert complaints.count == 3


def test_a_name_with_line_ends_or_control_sequences_is_shown_escaped() -> None:
    complaints = Complaints()
    complaints.error(Position("x", 1, 1), "E102", "unknown key 'a\n\x1b[31m'", "é")
    assert str(complaints.problems[0]) == r"x:1:1: error E102 unknown key 'a\n\x1b[31m', é"


def test_every_code_of_a_wiring_error_is_in_the_table_of_codes() -> None:
    kinds = [v for v in vars(exceptions).values() if isinstance(v, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, exceptions.WiringError)}
    assert codes <= set(CODES)


def test_a_place_that_is_not_written_is_the_nearest_around_it() -> None:
    places = {"config": Position("x", 2, 1), "config.rules[0]": Position("x", 3, 1)}
    spec = ComponentSpec("a", position=Position("x", 1, 1), places=places)
    assert spec.place("config.rules[0].name").line == 3
    assert spec.place("config.rules[1].name").line == 2
    assert spec.place("config.path").line == 2
    assert spec.place("attempts").line == 1


def test_a_reference_reads_as_its_text_and_positions_move_right() -> None:
    assert str(Reference("a.out")) == "a.out"
    assert Position("x", 1, 2).right(3) == Position("x", 1, 5)


def test_defaults_give_the_harness_only_what_was_said() -> None:
    assert Defaults(buffer_size=5, source_grace=0.1, attempts=3, on_error="drop").harness_options() == {
        "buffer_size": 5,
        "source_grace": 0.1,
    }


def test_a_key_is_an_item_of_a_mapping_an_attribute_or_an_index() -> None:
    assert field_key("carrier")({"carrier": "UA"}) == "UA"
    assert field_key("carrier")(SimpleNamespace(carrier="UA")) == "UA"
    assert field_key("items")({"items": 1}) == 1
    assert field_key(1)(("a", "b")) == "b"
    assert field_key("origin", "hour")({"origin": "JFK", "hour": 5}) == ("JFK", 5)


@pytest.mark.parametrize("message", [{"origin": "JFK"}, SimpleNamespace(), 7, None])
def test_a_message_without_the_key_is_named_with_its_type(message: object) -> None:
    with pytest.raises(exceptions.ConfigError, match=f"type {type(message).__name__} has no field 'carrier'"):
        field_key("carrier")(message)
