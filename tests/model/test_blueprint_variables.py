"""What ``${...}`` stands for: variables with defaults, and files that hold secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.blueprint_variables import (
    Flaw,
    Room,
    Surroundings,
    Unreadable,
    expand_variables,
    read_no_file,
)
from headrace.model.secret import Secret

FILES: dict[str, str | Unreadable] = {
    "pw": "hunter2",
    "none": Unreadable("No such file or directory", is_missing=True),
    "locked": Unreadable("Permission denied"),
}


def around(**variables: str) -> Surroundings:
    """Return surroundings with these variables, and a few files."""
    return Surroundings(variables, FILES.__getitem__)


def first_flaw(text: str, **variables: str) -> Flaw:
    """Return what is wrong with a text."""
    _, flaws = expand_variables(text, around(**variables))
    assert all(flaw.hint for flaw in flaws)
    return flaws[0]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${DIR}/x", "/data/x"),
        ("${NONE:-here}/x", "here/x"),
        ("${EMPTY:-here}", "here"),
        ("${EMPTY}", ""),
        ("${NONE:-}", ""),
        ("$${DIR}", "${DIR}"),
        ("$DIR $$ {DIR}", "$DIR $$ {DIR}"),
        ("${DIR}${DIR}", "/data/data"),
        ("${file:-x}", "x"),
        ("${file:none:-nothing}", "nothing"),
        ("u:${file:pw}@h", "u:hunter2@h"),
    ],
)
def test_variables_are_replaced(text: str, expanded: str) -> None:
    assert expand_variables(text, around(DIR="/data", EMPTY="")) == (expanded, [])


@pytest.mark.parametrize(
    ("text", "index", "code", "message"),
    [
        ("a/${NONE}", 2, "E109", "variable 'NONE' is not set"),
        ("${1x}", 0, "E109", "'${1x}' is not a variable"),
        ("${}", 0, "E109", "'${}' is not a variable"),
        ("b${", 1, "E109", "'${' is not a variable"),
        ("${A:-${B}}", 0, "E109", "'${' is not a variable"),
        ("${A-b}", 0, "E109", "'${A-b}' is not a variable"),
        ("${file:}", 0, "E116", "'${file:...}' names no file"),
        ("x${file:none}", 1, "E116", "'none' cannot be read: No such file or directory"),
        ("${file:locked:-default}", 0, "E116", "'locked' cannot be read: Permission denied"),
    ],
)
def test_what_is_not_set_or_cannot_be_read_is_told_with_its_place(
    text: str, index: int, code: str, message: str
) -> None:
    flaw = first_flaw(text, B="b")
    assert (flaw.index, flaw.code, flaw.message) == (index, code, message)


def test_a_variable_with_a_typo_gets_the_nearest_name() -> None:
    assert first_flaw("${DATAA}", DATA="x").hint == "did you mean 'DATA'?"


def test_a_variable_of_a_part_is_said_in_its_config() -> None:
    _, flaws = expand_variables("${NAME}", Surroundings(mend="say it in the config of 'a'"))
    assert flaws[0].hint == "say it in the config of 'a', or write ${NAME:-default}"


def test_a_text_without_a_folder_names_no_files() -> None:
    assert isinstance(read_no_file("pw"), Unreadable)
    _, flaws = expand_variables("${file:pw}", Surroundings())
    assert flaws[0].code == "E116"


def test_a_secret_is_one_whatever_stands_around_it_and_is_hidden_by_itself() -> None:
    here = around()
    made, _ = expand_variables("postgres://u:${file:pw}@h", here)
    assert isinstance(made, Secret)
    assert made.written == "postgres://u:${file:pw}@h"
    assert here.secrets.hide("login with hunter2 failed") == "login with <secret> failed"


def test_a_variable_that_is_a_secret_makes_one_and_says_where_it_is_from() -> None:
    here = Surroundings({"PASSWORD": Secret("hunter2", "${file:pw}"), "HOST": "h${"})
    made, _ = expand_variables("${PASSWORD}@${HOST}", here)
    assert isinstance(made, Secret)
    assert (made, made.written) == ("hunter2@h${", "${file:pw}@h$${")
    assert here.used == {"PASSWORD", "HOST"}


def test_what_is_put_in_takes_from_the_room_of_all_files() -> None:
    here = Surroundings({"A": "x" * 10}, room=Room(text=25))
    assert expand_variables("${A}${A}", here)[1] == []
    text, flaws = expand_variables("${A}${A}", here)
    assert [flaw.code for flaw in flaws] == ["E107"], "once is enough"
    assert text == ""


@given(st.text(st.sampled_from("${}:-AB file/.") | st.characters()))
def test_no_text_breaks_the_expansion(text: str) -> None:
    expand_variables(text, Surroundings({"A": "a"}))
