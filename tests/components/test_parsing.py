"""``parse`` and ``format``: there and back again, and what becomes of what does not fit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.components import Format, Parse
from headrace.exceptions import ConfigError
from headrace.testing import feed_all

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(-1e9, 1e9), TEXTS),
    lambda some: st.one_of(st.lists(some, max_size=3), st.dictionaries(TEXTS, some, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(VALUES, max_size=8), st.sampled_from(["json", "msgpack"]), st.booleans())
def test_values_come_back_as_they_were(values: list[Any], kind: str, encode: bool) -> None:
    written = feed_all(Format, values, config={"format": kind, "encode": encode}).out
    assert all(isinstance(one, bytes if encode or kind == "msgpack" else str) for one in written)
    assert feed_all(Parse, written, config={"format": kind}).out == values


@settings(max_examples=40, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": TEXTS, "b": TEXTS}), max_size=8), st.sampled_from(",;\t"))
def test_csv_records_come_back_as_they_were(rows: list[dict[str, str]], delimiter: str) -> None:
    config = {"format": "csv", "columns": ["a", "b"], "delimiter": delimiter}
    written = feed_all(Format, rows, config=config).out
    fed = feed_all(Parse, written, config={**config, "null_values": []})
    kept = [row for row in rows if not {"\0"} & set(row.values())]
    assert [row for row in fed.out if None not in row.values()] == kept


async def test_csv_and_regex_fields_have_types_and_nulls(run_through: Any) -> None:
    config = {"format": "csv", "columns": ["n", "x", "ok"], "types": {"n": "int", "x": "float", "ok": "bool"}}
    seen = await run_through(Parse, config, in_=["1,2.5,yes", b"7,,no\n"])
    assert seen.out == [{"n": 1, "x": 2.5, "ok": True}, {"n": 7, "x": None, "ok": False}]
    config = {
        "format": "regex",
        "pattern": r"(?P<level>\w+): (?P<text>.*?)(?: \((?P<ms>\d+) ms\))?",
        "types": {"ms": "int"},
        "null_values": [],
    }
    seen = await run_through(Parse, config, in_=["INFO: done (12 ms)", "WARN: "])
    assert seen.out == [
        {"level": "INFO", "text": "done", "ms": 12},
        {"level": "WARN", "text": "", "ms": None},
    ]


async def test_a_field_of_a_row_is_parsed_in_its_place(run_through: Any) -> None:
    rows = [{"id": 1, "body": '{"x": 2}'}, {"id": 2, "body": "[3]"}, {"id": 3}, "text"]
    seen = await run_through(Parse, {"format": "json", "field": "body"}, in_=rows)
    assert seen.out == [{"id": 1, "x": 2}, {"id": 2, "body": [3]}]
    assert [rejected.message for rejected in seen.rejected] == rows[2:]
    assert seen.reasons[0].startswith("no field 'body'")
    assert rows[0] == {"id": 1, "body": '{"x": 2}'}


@pytest.mark.parametrize(
    ("config", "message", "reason"),
    [
        ({"format": "json"}, "{", "no json: Input data was truncated: '{'"),
        ({"format": "json"}, b"\xff", "no json: "),
        ({"format": "json"}, 5, "no json: "),
        ({"format": "json"}, "[" * 100_000, "no json: "),
        ({"format": "msgpack"}, b"\xc1", "no msgpack: "),
        ({"format": "csv", "columns": ["a"]}, "1,2", "no csv: 2 fields where the header has 1: '1,2'"),
        ({"format": "csv", "columns": ["a"]}, '"1', "no csv: unexpected end of data"),
        ({"format": "csv", "columns": ["a"]}, "1\n2", "no csv: "),
        ({"format": "csv", "columns": ["a"]}, "", "no csv: 0 fields where the header has 1"),
        ({"format": "csv", "columns": ["a"]}, b"\xff", "no csv: 'utf-8' codec"),
        (
            {"format": "csv", "columns": ["a"], "types": {"a": "int"}},
            "x",
            "no csv: column 'a' is not a whole",
        ),
        ({"format": "csv", "columns": ["a"]}, 5, "no csv: not text or bytes but a value of type int"),
        ({"format": "regex", "pattern": "(?P<a>x)"}, "xy", "no regex: does not match the pattern: 'xy'"),
    ],
)
async def test_what_does_not_parse_is_rejected_as_it_came(
    run_through: Any, config: Any, message: Any, reason: str
) -> None:
    seen = await run_through(Parse, config, in_=[message])
    assert seen.out == []
    assert [rejected.message for rejected in seen.rejected] == [message]
    assert seen.reasons[0].startswith(reason)
    assert len(seen.reasons[0]) < 300


async def test_a_template_is_filled_with_the_fields_of_a_row(run_through: Any) -> None:
    config = {"format": "text", "template": "{{{name}}} is {n} {{}}"}
    rows = [{"name": "{n}", "n": 1}, {"name": "b"}, 5]
    seen = await run_through(Format, config, in_=rows)
    assert seen.out == ["{{n}} is 1 {}"]
    assert [rejected.message for rejected in seen.rejected] == rows[1:]


async def test_what_cannot_be_written_is_rejected_as_it_came(run_through: Any) -> None:
    thing = object()
    seen = await run_through(Format, {"format": "json"}, in_=[thing, {"a": "\ud800"}, 1])
    assert seen.out == ["1"]
    assert [rejected.message for rejected in seen.rejected] == [thing, {"a": "\ud800"}]
    seen = await run_through(Format, {"format": "msgpack"}, in_=[2**99, None])
    assert seen.out == [msgspec.msgpack.encode(None)]
    seen = await run_through(
        Format, {"format": "csv", "columns": ["a", "b"]}, in_=[{"a": 1}, {"a": 'x"', "b": None}]
    )
    assert seen.out == ['"x""",']
    assert seen.reasons == ["no field 'b', known: a"]


@pytest.mark.parametrize(
    ("component", "config", "field"),
    [
        (Parse, {"format": "csv"}, "columns"),
        (Parse, {"format": "csv", "columns": ["a", "a"]}, "columns"),
        (Parse, {"format": "csv", "columns": ["a"], "delimiter": ",,"}, "delimiter"),
        (Parse, {"format": "csv", "columns": ["a"], "types": {"b": "int"}}, "types"),
        (Parse, {"format": "regex"}, "pattern"),
        (Parse, {"format": "regex", "pattern": "("}, "pattern"),
        (Parse, {"format": "regex", "pattern": "x"}, "pattern"),
        (Parse, {"format": "json", "columns": ["a"]}, "columns"),
        (Parse, {"format": "json", "types": {"a": "int"}}, "types"),
        (Format, {"format": "text"}, "template"),
        (Format, {"format": "text", "template": "a {} b"}, "template"),
        (Format, {"format": "text", "template": "a { b"}, "template"),
        (Format, {"format": "csv"}, "columns"),
        (Format, {"format": "json", "template": "x"}, "template"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(component: Any, config: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        component("c", config)
    assert caught.value.field == field
