"""``map`` and ``filter``."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.authoring.ports import ports_of
from headrace.components import Filter, Map
from headrace.exceptions import ConfigError

ROW = {"a": 1, "b": 2, "c": None}


async def test_map_selects_drops_and_renames_in_that_order(run_through: Any) -> None:
    seen = await run_through(
        Map, {"select": ["b", "a"], "drop": ["a"], "rename": {"b": "z"}}, in_=[ROW, {**ROW, "b": 5}]
    )
    assert seen.out == [{"z": 2}, {"z": 5}]
    assert seen.rejected == []


async def test_map_gives_the_fields_in_the_order_of_select(run_through: Any) -> None:
    seen = await run_through(Map, {"select": ["c", "a"]}, in_=[ROW])
    assert list(seen.out[0]) == ["c", "a"]


async def test_map_does_not_change_the_row_that_came_in(run_through: Any) -> None:
    row = dict(ROW)
    await run_through(Map, {"drop": ["a"], "rename": {"b": "x"}}, in_=[row])
    assert row == ROW


async def test_map_swaps_two_names(run_through: Any) -> None:
    seen = await run_through(Map, {"rename": {"a": "b", "b": "a"}}, in_=[ROW])
    assert seen.out == [{"b": 1, "a": 2, "c": None}]


async def test_map_rejects_a_row_without_a_named_field_and_goes_on(run_through: Any) -> None:
    seen = await run_through(Map, {"rename": {"bb": "x"}}, in_=[ROW, {"bb": 1}, "text"])
    assert seen.out == [{"x": 1}]
    assert [rejected.message for rejected in seen.rejected] == [ROW, "text"]
    assert seen.reasons[0] == "no field 'bb', did you mean 'b'?"
    assert seen.reasons[1] == "not a row of named fields but a value of type str"


async def test_map_rejects_a_row_in_which_a_new_name_is_taken(run_through: Any) -> None:
    seen = await run_through(Map, {"rename": {"a": "b"}}, in_=[ROW])
    assert seen.out == []
    assert seen.reasons == ["rename gives two fields one name: {'a': 'b'}"]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"select": ["a", "a"]}, "select"),
        ({"select": [""]}, "select"),
        ({"drop": ["a", "a"]}, "drop"),
        ({"rename": {"a": "x", "b": "x"}}, "rename"),
        ({"select": ["a"], "drop": ["b"]}, "drop"),
        ({"select": ["a"], "rename": {"b": "c"}}, "rename"),
        ({"selekt": ["a"]}, "selekt"),
    ],
)
def test_map_refuses_settings_that_cannot_be_meant(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Map("m", config)
    assert caught.value.field == field


ROWS = [{"v": 1}, {"v": None}, {"v": 3}, {"v": 2}]


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("is_null", ..., [None]),
        ("is_not_null", ..., [1, 3, 2]),
        ("eq", 3, [3]),
        ("ne", 3, [1, 2]),
        ("lt", 2, [1]),
        ("le", 2, [1, 2]),
        ("gt", 2, [3]),
        ("ge", 2, [3, 2]),
        ("in", [1, 2], [1, 2]),
        ("not_in", [1, 2], [3]),
    ],
)
async def test_filter_compares_as_sql_does(
    run_through: Any, op: str, value: Any, expected: list[Any]
) -> None:
    config = {"field": "v", "op": op} | ({} if value is ... else {"value": value})
    seen = await run_through(Filter, config, in_=ROWS)
    assert [row["v"] for row in seen.out] == expected
    assert seen.rejected == []
    assert seen.report.ledger.closes


async def test_filter_rejects_what_does_not_pass_where_that_is_asked_for(run_through: Any) -> None:
    config = {"field": "v", "op": "gt", "value": 2, "otherwise": "reject"}
    seen = await run_through(Filter, config, in_=ROWS)
    assert [row["v"] for row in seen.out] == [3]
    assert seen.reasons == [f"v is {v!r}, wanted: gt 2" for v in (1, None, 2)]


async def test_filter_names_the_field_when_it_rejects_a_null(run_through: Any) -> None:
    seen = await run_through(Filter, {"field": "v", "op": "is_not_null", "otherwise": "reject"}, in_=ROWS)
    assert seen.reasons == ["v is None, wanted: is not null"]


async def test_filter_rejects_what_it_cannot_compare(run_through: Any) -> None:
    rows = [{"v": "text"}, {"w": 1}, 7, {"v": 5}]
    seen = await run_through(Filter, {"field": "v", "op": "gt", "value": 2}, in_=rows)
    assert seen.out == [{"v": 5}]
    assert seen.reasons == [
        "v: cannot compare str with int",
        "no field 'v', known: w",
        "not a row of named fields but a value of type int",
    ]


@pytest.mark.parametrize(
    "config",
    [
        {"field": "v", "op": "is_null", "value": 1},
        {"field": "v", "op": "eq"},
        {"field": "v", "op": "in", "value": 3},
        {"field": "v", "op": "eq", "value": None},
    ],
)
def test_filter_refuses_a_value_that_does_not_go_with_the_operation(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Filter("f", config)
    assert caught.value.field == "value"


def test_filter_refuses_an_unknown_operation() -> None:
    with pytest.raises(ConfigError, match="op"):
        Filter("f", {"field": "v", "op": "like", "value": 1})


def test_the_ports_are_declared_with_their_types() -> None:
    table = ports_of(Filter)
    assert set(table.inputs or ()) == {"in"}
    assert {name: port.optional for name, port in (table.outputs or {}).items()} == {
        "out": False,
        "rejected": True,
    }
    assert (table.outputs or {})["out"].type == dict[str, Any]


async def test_filter_lets_through_what_a_condition_says(run_through: Any) -> None:
    rows = [
        {"v": 1, "w": "ab"},
        {"v": 5, "w": "ab"},
        {"v": 5, "w": "b"},
        {"v": None, "w": "ab"},
        {"w": 1},
        {"v": "x"},
    ]
    settings = {"where": "v > 3 and w.startswith('a')", "otherwise": "reject"}
    seen = await run_through(Filter, settings, in_=rows)
    assert seen.out == [rows[1]]
    assert [rejected.message for rejected in seen.rejected] == [rows[0], *rows[2:]]
    assert seen.reasons[0] == "not so: v > 3 and w.startswith('a')"
    assert seen.reasons[3:] == ["no field 'v', known: w", "cannot compare str with int"]


@pytest.mark.parametrize(
    ("config", "field", "text"),
    [
        ({"where": "v >"}, "where", "this is not understood"),
        ({"where": "v > 3", "field": "v"}, "where", "where says it all"),
        ({"op": "is_null"}, "field", "field is missing; or write a condition as `where`"),
        ({"field": "v"}, "op", "op is missing"),
    ],
)
def test_filter_refuses_a_condition_that_is_none(config: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        Filter("f", config)
    assert caught.value.field == field
