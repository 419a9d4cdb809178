"""The tests of a blueprint are read with their places, and every mistake is told at its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.edges.yaml_blueprint import parse_blueprint
from headrace.exceptions import BlueprintError
from headrace.model.blueprint import Position, Reference
from headrace.model.blueprint_tests import TestSpec

HEAD = "system: s\ncomponents:\n  a: {type: map}\n"


def read(text: str) -> tuple[TestSpec, ...]:
    """Return the tests of a blueprint whose line 4 is ``tests:``."""
    return parse_blueprint(f"{HEAD}tests:\n{text}", "bp.yaml", env={}).tests


def mistakes(text: str) -> list[str]:
    """Return what is wrong with a blueprint whose line 4 is ``tests:``."""
    with pytest.raises(BlueprintError) as caught:
        read(text)
    return [str(problem).removeprefix("bp.yaml:") for problem in caught.value.problems]


def test_a_test_keeps_what_is_written_and_where() -> None:
    (test,) = read(
        "  drops_blank:\n"
        "    component: a\n"
        '    send: ["x", "  "]\n'
        "    expect: {out: [X, {n: 1}], a.rejected: []}\n"
        "    dead_letters: 1\n"
        "    any_order: true\n"
        "    partial: true\n"
        "    timeout: 200ms\n"
        "    config: {unit: F}\n"
        "    env: {DATA: data, N: 3}\n"
        '    replace: {db: "fakes:Fake", store: null, b: {type: "fakes:B", config: {n: 1}}}\n'
    )
    assert test.name == "drops_blank"
    assert test.position == Position("bp.yaml", 5, 3)
    assert test.component == Reference("a")
    (sent,) = test.send
    assert (sent.port, sent.messages) == (None, ("x", "  "))
    assert sent.positions == (Position("bp.yaml", 7, 12), Position("bp.yaml", 7, 17))
    out, rejected = test.expect
    assert (out.port, out.messages) == (Reference("out"), ("X", {"n": 1}))
    assert (rejected.port, rejected.messages) == (Reference("a.rejected"), ())
    assert (test.dead_letters, test.any_order, test.partial, test.timeout) == (1, True, True, 0.2)
    assert test.config == {"unit": "F"}
    assert test.env == {"DATA": "data", "N": "3"}
    found = [(one.name.text, one.type, one.config) for one in test.replace]
    assert found == [("db", "fakes:Fake", {}), ("store", None, {}), ("b", "fakes:B", {"n": 1})]
    assert test.place("timeout") == Position("bp.yaml", 12, 5)
    assert test.place("nothing") == test.position


def test_what_is_not_said_has_its_default() -> None:
    (test,) = read("  t: {expect: {a.out: [1]}}\n")
    assert test == TestSpec("t", expect=test.expect)
    assert (test.component, test.send, test.dead_letters, test.timeout) == (None, (), 0, None)
    assert read("  t: {dead_letters: 1}\n")[0].expect == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "  - a\n",
            "5:3: error E104 tests must be a table, not a list, write 'NAME: {send: ..., expect: ...}' in it",
        ),
        (
            "  t: 1\n",
            "5:6: error E104 test 't' must be a table, not the number '1', write '{send: ..., expect: ...}'",
        ),
        (
            "  t: {send: [1]}\n",
            "5:3: error E103 test 't' expects nothing, add 'expect: {COMPONENT.PORT: [...]}'",
        ),
        (
            "  t: {expects: []}\n",
            "5:7: error E102 unknown key 'expects' in a test, did you mean 'expect'?",
        ),
        (
            "  t: {expect: x}\n",
            "5:15: error E104 expect must be a table, not the text 'x', write 'expect: {COMPONENT.PORT: [...]}'",
        ),
        (
            "  t: {expect: {out: x}}\n",
            "5:21: error E104 'out' takes a list of messages, not the text 'x', write 'out: [...]'",
        ),
        (
            "  t: {dead_letters: -1}\n",
            "5:21: error E104 dead_letters must be a whole number, not the number '-1', write 0 or more",
        ),
        (
            "  t: {dead_letters: true}\n",
            "5:21: error E104 dead_letters must be a whole number, not the truth value true, write 0 or more",
        ),
        (
            "  t: {expect: [], config: 1}\n",
            "5:27: error E104 config must be a table, not the number '1', write 'setting: value' in it",
        ),
        (
            "  t: {expect: [], env: {A: [1]}}\n",
            "5:28: error E104 variable 'A' must be a text, not a list, write a text",
        ),
        (
            "  t: {expect: [], replace: {db: 1}}\n",
            "5:33: error E104 'db' must be a text, not the number '1', put it in quotes",
        ),
        (
            "  t: {expect: [], replace: {db: {config: {}}}}\n",
            "5:33: error E103 'db' needs the key 'type', add 'type: ...'",
        ),
        (
            "  t: {expect: [], replace: {db: {type: x, konfig: {}}}}\n",
            "5:43: error E102 unknown key 'konfig', did you mean 'config'?",
        ),
        (
            "  t: {expect: [], replace: {db: [x]}}\n",
            "5:33: error E104 'db' must be a table, not a list, write a type, or '{type: ..., config: ...}'",
        ),
        ("  t: {expect: {out: !x [1]}}\n", "5:21: error E106 the tag '!x' is not allowed, "),
        ("  t: {expect: {out: !x y}}\n", "5:21: error E106 the tag '!x' is not allowed, "),
        ("  t: {expect: [], env: !x y}\n", "5:24: error E106 the tag '!x' is not allowed, "),
        ("  t: !x y\n", "5:6: error E106 the tag '!x' is not allowed, "),
        ("  !x {}\n", "5:3: error E106 the tag '!x' is not allowed, "),
    ],
)
def test_a_mistake_is_told_at_its_place(text: str, said: str) -> None:
    (only,) = mistakes(text)
    assert only.startswith(said)


def test_all_mistakes_are_told_at_once_and_the_good_tests_are_read() -> None:
    text = "  a: {expect: [], x1: 1}\n  b: {expect: [1]}\n  c: 3\n"
    assert len(mistakes(text)) == 2


def test_pytest_does_not_take_the_class_for_tests(tmp_path: Path) -> None:
    assert TestSpec.__test__ is False
