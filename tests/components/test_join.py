"""``join``: a stream against a side table."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import System
from headrace.components import Join
from headrace.exceptions import ComponentError, ConfigError, SystemFailed
from headrace.testing import feed_all

SIDE = [{"k": 1, "name": "one"}, {"k": 2, "name": "two"}]
ROWS = [{"k": 2, "v": "x"}, {"k": 3, "v": "y"}, {"k": 1, "v": "z"}, {"k": None, "v": "n"}]


def failure_of(caught: pytest.ExceptionInfo[SystemFailed]) -> str:
    """Return the text of the error that failed the system."""
    assert isinstance(caught.value.errors[0], ComponentError)
    return str(caught.value.errors[0])


async def test_a_left_join_keeps_what_matches_nothing_with_none(run_through: Any) -> None:
    seen = await run_through(Join, {"on": ["k"]}, in_=ROWS, side=SIDE)
    assert [(row["k"], row["name"]) for row in seen.out] == [(2, "two"), (3, None), (1, "one"), (None, None)]
    assert (seen.component.matched, seen.component.missed) == (2, 2)
    health = await seen.component.health_check()
    assert (health["matched"], health["missed"]) == (2, 2)


async def test_an_inner_join_lets_it_go_and_loses_nothing_in_the_books(run_through: Any) -> None:
    seen = await run_through(Join, {"on": ["k"], "how": "inner"}, in_=ROWS, side=SIDE)
    assert [row["k"] for row in seen.out] == [2, 1]
    assert seen.report.ledger.closes
    assert seen.report.ledger.totals.lost == 0


async def test_keys_may_have_several_fields_with_other_names_on_the_side(run_through: Any) -> None:
    side = [{"x": 1, "y": "a", "w": 10}, {"x": 1, "y": "b", "w": 20}, {"x": None, "y": "b", "w": 30}]
    rows = [{"p": 1, "q": "b"}, {"p": 1, "q": "c"}, {"p": None, "q": "b"}]
    seen = await run_through(Join, {"on": {"p": "x", "q": "y"}}, in_=rows, side=side)
    assert [row["w"] for row in seen.out] == [20, None, None]
    assert list(seen.out[0]) == ["p", "q", "w"]


async def test_take_chooses_renames_and_prefixes(run_through: Any) -> None:
    side = [{"k": 2, "a": 1, "b": 2, "v": 3}]
    seen = await run_through(Join, {"on": ["k"], "take": {"a": "x"}, "prefix": "s_"}, in_=ROWS[:1], side=side)
    assert seen.out == [{"k": 2, "v": "x", "s_x": 1}]
    seen = await run_through(Join, {"on": ["k"], "prefix": "s_"}, in_=ROWS[:1], side=side)
    assert seen.out == [{"k": 2, "v": "x", "s_a": 1, "s_b": 2, "s_v": 3}]


async def test_missing_says_what_a_missed_join_holds(run_through: Any) -> None:
    config = {"on": ["k"], "take": ["name"], "missing": {"name": "unknown"}}
    seen = await run_through(Join, config, in_=ROWS[1:2], side=SIDE)
    assert seen.out == [{"k": 3, "v": "y", "name": "unknown"}]


async def test_an_empty_side_misses_everything(run_through: Any) -> None:
    seen = await run_through(Join, {"on": ["k"], "take": ["name"]}, in_=ROWS[:1], side=[])
    assert seen.out == [{"k": 2, "v": "x", "name": None}]


async def test_a_key_twice_on_the_side_is_an_error_that_shows_it(run_through: Any) -> None:
    with pytest.raises(SystemFailed) as caught:
        await run_through(Join, {"on": ["k"]}, in_=ROWS, side=[*SIDE, {"k": 2, "name": "zwei"}])
    assert failure_of(caught) == "it: two rows of the side have the key k 2; set `duplicates`"


@pytest.mark.parametrize(("policy", "name"), [("first", "two"), ("last", "zwei")])
async def test_or_the_first_or_the_last_of_them_wins(run_through: Any, policy: str, name: str) -> None:
    side = [*SIDE, {"k": 2, "name": "zwei"}]
    seen = await run_through(Join, {"on": ["k"], "duplicates": policy}, in_=ROWS[:1], side=side)
    assert seen.out[0]["name"] == name


async def test_the_side_is_bounded_and_the_error_names_the_setting(run_through: Any) -> None:
    with pytest.raises(SystemFailed) as caught:
        await run_through(Join, {"on": ["k"], "max_side_rows": 1}, in_=ROWS, side=SIDE)
    assert failure_of(caught) == "it: the side has over 1 rows; set `max_side_rows`"


async def test_a_field_on_both_sides_is_an_error(run_through: Any) -> None:
    with pytest.raises(SystemFailed) as caught:
        await run_through(Join, {"on": ["k"]}, in_=ROWS, side=[{"k": 2, "v": 1}])
    assert failure_of(caught) == "it: the field 'v' is on both sides; set `prefix`"


async def test_rows_without_a_field_it_needs_are_rejected_on_both_inputs(run_through: Any) -> None:
    side = [*SIDE, {"k": 5}, {"name": "none"}, {"k": [1], "name": "list"}]
    rows = [{"v": 1}, {"k": [1], "v": 1}, ROWS[0], 12]
    seen = await run_through(Join, {"on": ["k"], "take": ["name"]}, in_=rows, side=side)
    assert [row["name"] for row in seen.out] == ["two"]
    assert sorted(seen.reasons) == [
        "its key cannot be looked up: unhashable type: 'list'",
        "no field 'k', known: v",
        "not a row of named fields but a value of type int",
        "side: its key cannot be looked up: unhashable type: 'list'",
        "side: no field 'k', known: name",
        "side: no field 'name', known: k",
    ]


async def test_the_whole_side_is_read_before_the_first_row(run_through: Any) -> None:
    side = [{"k": number, "name": str(number)} for number in range(1000)]
    rows = [{"k": number} for number in reversed(range(1000))]
    seen = await run_through(Join, {"on": ["k"]}, in_=rows, side=side)
    assert [row["name"] for row in seen.out] == [str(number) for number in reversed(range(1000))]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"on": []}, "on"),
        ({"on": ["a", "a"]}, "on"),
        ({"on": {"a": "x", "b": "x"}}, "on"),
        ({"on": ["a"], "max_side_rows": 0}, "max_side_rows"),
        ({"on": ["a"], "take": ["b", "b"]}, "take"),
        ({"on": ["a"], "take": {"b": "x", "c": "x"}}, "take"),
        ({"on": ["a"], "take": ["b"], "missing": {"c": 1}}, "missing"),
        ({}, "on"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Join("j", config)
    assert caught.value.field == field


async def test_a_run_cancelled_while_a_batch_is_sent_leaves_the_batch_in_the_books(
    feed: Any, collect: Any
) -> None:
    class Stuck(collect):  # type: ignore[misc]
        async def process(self) -> None:
            await self.in_.receive()
            await anyio.sleep_forever()

    system = System("test", buffer_size=2)
    system.add("left", feed("left", [{"k": n} for n in range(6)]))
    system.add("right", feed("right", [{"k": 1, "v": 1}]))
    system.add("join", Join, on=["k"])
    system.add("stuck", Stuck("stuck"))
    system.connect("left.out", "join.in")
    system.connect("right.out", "join.side")
    system.connect("join.out", "stuck.in")
    async with anyio.create_task_group() as group:
        await group.start(lambda *, task_status: system.run(task_status=task_status))
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    books = {edge.edge: edge for edge in system.ledger().edges}
    assert system.ledger().closes
    given = books["join.out -> stuck.in"].accepted
    done = books["left.out -> join.in"]
    assert done.acknowledged <= given < done.acknowledged + done.remaining


async def test_of_a_batch_with_a_row_that_crashes_the_join_nothing_is_delivered(
    feed: Any, collect: Any
) -> None:
    system = System("test")
    system.add("left", feed("left", [{"k": 1}, {"k": 1}, {"k": 1, "v": 0}, {"k": 1}]))
    system.add("right", feed("right", [{"k": 1, "v": 1}]))
    system.add("join", Join, on=["k"])
    sink = collect("sink")
    system.add("sink", sink)
    system.connect("left.out", "join.in")
    system.connect("right.out", "join.side")
    system.connect("join.out", "sink.in")
    with pytest.raises(SystemFailed) as caught:
        await system.run()
    report = caught.value.report
    assert report is not None
    assert report.ledger.closes
    books = {edge.edge: edge for edge in report.ledger.edges}["left.out -> join.in"]
    assert books.acknowledged == len(sink.messages)
    assert books.acknowledged + books.dead_lettered + sum(books.dropped.values()) == 4


KEYS = st.sampled_from([None, 1, 2, "a", "b"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({"k": KEYS, "v": st.integers(0, 9)}), max_size=12),
    st.lists(st.fixed_dictionaries({"k": KEYS, "name": st.integers(0, 9)}), max_size=8),
    st.sampled_from(["left", "inner"]),
    st.sampled_from(["first", "last"]),
)
def test_a_join_with_a_table_equals_two_loops(
    rows: list[dict[str, Any]], side: list[dict[str, Any]], how: str, duplicates: str
) -> None:
    expected = []
    for row in rows:
        matches = [one["name"] for one in side if one["k"] is not None and one["k"] == row["k"]]
        if matches:
            expected.append({**row, "name": matches[0 if duplicates == "first" else -1]})
        elif how == "left":
            expected.append({**row, "name": None})
    config = {"on": ["k"], "take": ["name"], "how": how, "duplicates": duplicates}
    fed = feed_all(Join, {"in": rows, "side": side}, config=config)
    assert fed.out == expected
    assert fed.report.ledger.closes
