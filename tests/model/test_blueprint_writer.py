"""The writer of blueprints: what it writes, the reader reads back as the same values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.edges.yaml_blueprint import parse_blueprint
from headrace.model.blueprint_tree import MAX_DEPTH, MAX_NODES
from headrace.model.blueprint_writer import find_unwritable, write_yaml
from headrace.model.secret import Secret

NASTY = [
    *("", " ", "no", "on", "Yes", "y", "null", "~", "Null", "true", "FALSE", ".inf", "-.INF", ".nan", ".NaN"),
    *(
        "5",
        "-5",
        "007",
        "0x1F",
        "0o17",
        "1_000",
        "1.5",
        "1e3",
        ".5",
        "5.",
        "1:30",
        "2013-01-01",
        "10s",
        "0.5 m",
    ),
    *(
        "${X}",
        "$${X}",
        "$$${",
        "${",
        "$",
        "a${b}c",
        "${X:-y}",
        "{",
        "}",
        "[a]",
        "a, b",
        "a: b",
        "a:",
        ":a",
        "#a",
    ),
    *(
        "a #b",
        "a#b",
        "- a",
        "-a",
        "---",
        "...",
        "? a",
        "| a",
        "> a",
        "&a",
        "*a",
        "!a",
        "!!str a",
        "%a",
        "@a",
        "`a",
    ),
    *(
        "'a'",
        '"a"',
        "a'b",
        'a"b',
        "\\",
        "\\n",
        " a",
        "a ",
        "a  b",
        "\ta",
        "a\tb",
        "\n",
        "a\n",
        "a\n\n",
        "\na",
    ),
    *(
        "a\nb",
        "a\nb\n",
        "a\n\nb",
        "a\n b\n  c",
        " a\nb",
        "a\n \nb",
        "a \nb",
        "a\r\nb",
        "a\rb",
        "a\x85b",
        "a\u2028b",
    ),
    *(
        "\x00",
        "\x07",
        "\x7f",
        "\ufeff",
        "\ufeffa",
        "\ufffe",
        "\xa0",
        "é",
        "日本",
        "😀",
        "\U000e0001",
        "e\u0301",
    ),
    *(
        "<<",
        "=",
        "a -> b",
        "a -> b.in -> c",
        "flights:arrived",
        "./a/b.csv",
        "/a/b",
        "C:\\a",
        "x" * 300,
        "a b " * 99,
    ),
    *(
        "SELECT *\nFROM t\nWHERE a > '${X}'\n",
        "#!/bin/sh\necho $HOME\n",
        "a\n---\nb",
        "a\n...\n",
        "%YAML 1.1\n",
        "a\n#b",
    ),
]

texts = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"])))
numbers = st.one_of(st.integers(), st.integers(-(10**398) + 1, 10**398 - 1), st.floats())
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
keys = st.one_of(texts.filter(lambda text: text not in ("", "<<")), st.integers(), st.booleans(), st.none())


def one_text_each(table: dict[Any, Any]) -> dict[Any, Any]:
    """Leave out keys that would be the same text, such as 1 and "1"."""
    return {key: value for key, value in table.items() if not any(find_unwritable({**table, key: value}))}


def tables(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(keys, values, max_size=4).map(one_text_each)


values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | tables(inner), max_leaves=12)


def back(config: Any) -> Any:
    """Write settings as those of a blueprint's component, and read them again."""
    text = write_yaml({"system": "s", "components": {"c": {"type": "t:t", "config": config}}})
    blueprint = parse_blueprint(text, env={"X": "of the environment"})
    (component,) = blueprint.components
    return component.config


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, their types and nan and -0.0 too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(map(same, one.values(), other.values()))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@pytest.mark.parametrize("text", NASTY)
def test_a_text_of_any_kind_comes_back_as_a_value_and_as_a_key(text: str) -> None:
    document = {"a": text, "b": [text, [text]], "c": {"d": {"e": {"f": text}}}, "g": [{"h": text, "i": text}]}
    assert same(back(document), document)
    if text not in ("", "<<"):
        keyed = {text: {text: [{text: text}]}}
        assert same(back(keyed), keyed)


@given(st.dictionaries(keys.filter(lambda key: isinstance(key, str)), values, max_size=4))
def test_whatever_is_plain_comes_back_the_same(document: dict[str, Any]) -> None:
    assert list(find_unwritable(document)) == []
    again = back(document)
    assert same(again, document)
    assert write_yaml(again) == write_yaml(document)


def test_what_is_short_stands_on_one_line_and_what_is_long_one_entry_a_line() -> None:
    assert write_yaml(
        {
            "system": "sales",
            "defaults": {"buffer_size": 10, "shutdown_timeout": "10s"},
            "components": {
                "rows": {
                    "type": "csv_source",
                    "config": {"path": "${DATA}/rows.csv", "types": {"amount": "int"}},
                },
                "store": {
                    "type": "sqlite_sink",
                    "config": {
                        "path": "sales.db",
                        "table": "sales",
                        "columns": [f"column_{n}" for n in range(9)],
                    },
                },
                "note": {"type": "sales:note", "config": {"sql": "SELECT 1\nFROM t\n"}},
            },
            "connections": [
                "rows -> store",
                {"from": "rows.out", "to": "note.in", "copy": True},
                [["a"], {"b": []}],
            ],
            "summary": {"in": []},
        }
    ) == (
        "system: sales\n"
        "defaults: {buffer_size: 10, shutdown_timeout: 10s}\n"
        "\n"
        "components:\n"
        "  rows:\n"
        "    type: csv_source\n"
        '    config: {path: "$${DATA}/rows.csv", types: {amount: int}}\n'
        "  store:\n"
        "    type: sqlite_sink\n"
        "    config:\n"
        "      path: sales.db\n"
        "      table: sales\n"
        "      columns:\n" + "".join(f"        - column_{n}\n" for n in range(9)) + "  note:\n"
        '    type: "sales:note"\n'
        "    config:\n"
        "      sql: |\n"
        "        SELECT 1\n"
        "        FROM t\n"
        "\n"
        "connections:\n"
        "  - rows -> store\n"
        "  - {from: rows.out, to: note.in, copy: true}\n"
        "  - [[a], {b: []}]\n"
        "summary: {in: []}\n"
    )


def test_what_another_reading_of_yaml_could_take_for_something_else_is_quoted() -> None:
    items = ["no", "on", "1:30", "0777", "2013-01-01", "~", "5", "x: y", "10s", "_x", "./y", "../y.csv", ".5"]
    written = write_yaml({"a": items}).partition("\n")[2].splitlines()
    assert written == [
        *(
            '  - "no"',
            '  - "on"',
            '  - "1:30"',
            '  - "0777"',
            '  - "2013-01-01"',
            '  - "~"',
            '  - "5"',
            '  - "x: y"',
        ),
        *("  - 10s", "  - _x", "  - ./y", "  - ../y.csv", '  - ".5"'),
    ]


@pytest.mark.parametrize(
    ("value", "place", "why"),
    [
        ({"a": [1, (2,)]}, "x.a[1]", "is of type tuple, which is no plain value"),
        ({"a": b""}, "x.a", "is of type bytes, which is no plain value"),
        ("a\ud800", "x", "is a text with half a character (a lone surrogate)"),
        (
            {"\ud800": 1},
            "x",
            "has the key '\\ud800', which is a text with half a character (a lone surrogate)",
        ),
        (10**398, "x", "is a number of more than 398 digits"),
        ({"": 1}, "x", "has the key '', which means something else in a blueprint"),
        ({"<<": 1}, "x", "has the key '<<', which means something else in a blueprint"),
        ({(1,): 1}, "x", "has the key (1,), which is of type tuple, which is no plain value"),
        ({1: 1, "1": 2}, "x", "has the key '1', which is the same key as 1 once written"),
        ({"k" * 1001: 1}, "x", f"has the key '{'k' * 1001}', which is longer than 1,000 characters"),
        ([0] * MAX_NODES, "x", f"holds more than {MAX_NODES:,} values"),
    ],
)
def test_what_cannot_come_back_is_told_with_its_place(value: Any, place: str, why: str) -> None:
    assert list(find_unwritable(value, "x")) == [(place, why)]


def test_what_is_inside_itself_or_too_deep_is_told() -> None:
    loop: list[Any] = []
    loop.append(loop)
    (problem,) = find_unwritable(loop, "x")
    assert problem == ("x" + "[0]" * MAX_DEPTH, f"is more than {MAX_DEPTH} levels deep, or inside itself")
    deep: list[Any] = []
    for _ in range(MAX_DEPTH - 5):
        deep = [deep]
    assert list(find_unwritable({"a": deep}, depth=3)) == []
    assert same(back({"a": deep}), {"a": deep})
    assert [place for place, _ in find_unwritable({"a": [deep]}, depth=3)] == ["a" + "[0]" * (MAX_DEPTH - 4)]


def test_what_is_in_itself_many_times_over_ends_at_the_limit_of_values() -> None:
    bomb: list[Any] = [0]
    for _ in range(40):
        bomb = [bomb, bomb]
    assert [place for place, _ in find_unwritable(bomb, "x")] == ["x"]


def test_infinities_come_back() -> None:
    config = {"a": [math.inf, -math.inf], "b": -0.0, "c": 1e300, "d": 5e-324}
    assert same(back(config), config)


def test_a_secret_is_written_as_the_blueprint_said_it_and_never_shown() -> None:
    secret = Secret("hush", "${file:db.password}")
    assert list(find_unwritable({"a": secret})) == []
    assert write_yaml({"a": {"b": [secret]}}) == 'a: {b: ["${file:db.password}"]}\n'
