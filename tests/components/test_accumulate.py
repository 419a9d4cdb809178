"""``accumulate``: totals so far."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.components import Accumulate
from headrace.exceptions import ComponentError, ConfigError, SystemFailed
from headrace.testing import feed_all

MEASURES = {"n": "count", "sum": {"sum": "v"}, "most": {"max": "v"}}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9)), max_size=40))
def test_each_result_is_that_of_all_rows_of_its_key_so_far(pairs: list[tuple[str, int]]) -> None:
    rows = [{"k": k, "v": v} for k, v in pairs]
    fed = feed_all(Accumulate, rows, config={"by": ["k"], "measures": MEASURES})
    expected = []
    for place, (key, _) in enumerate(pairs):
        values = [v for k, v in pairs[: place + 1] if k == key]
        expected.append({"k": key, "n": len(values), "sum": sum(values), "most": max(values)})
    assert fed.out == expected


async def test_the_row_may_be_kept(run_through: Any) -> None:
    rows = [{"id": 1, "v": 2}, {"id": 2, "v": 3}]
    seen = await run_through(Accumulate, {"measures": {"v": {"sum": "v"}}, "keep": True}, in_=rows)
    assert seen.out == [{"id": 1, "v": 2}, {"id": 2, "v": 5}]
    assert rows[1] == {"id": 2, "v": 3}


async def test_what_cannot_be_added_up_is_rejected_and_changes_nothing(run_through: Any) -> None:
    bad = [5, {"v": 1}, {"k": "a"}, {"k": "a", "v": "x"}, {"k": [], "v": 1}]
    rows = [{"k": "a", "v": 1}, *bad, {"k": "a", "v": 2}]
    seen = await run_through(Accumulate, {"by": ["k"], "measures": MEASURES}, in_=rows)
    assert seen.out == [{"k": "a", "n": 1, "sum": 1, "most": 1}, {"k": "a", "n": 2, "sum": 3, "most": 2}]
    assert [rejected.message for rejected in seen.rejected] == bad


async def test_the_key_that_was_longest_without_a_row_is_forgotten_and_counted(run_through: Any) -> None:
    rows = [{"k": k, "v": 1} for k in "abacb"]
    config = {"by": ["k"], "measures": {"n": "count"}, "max_keys": 2}
    seen = await run_through(Accumulate, config, in_=rows)
    assert [(row["k"], row["n"]) for row in seen.out] == [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("b", 1)]
    health = await seen.component.health_check()
    assert (health["keys"], health["forgotten"]) == (2, 2)


async def test_one_key_too_many_is_an_error_where_that_is_said(run_through: Any) -> None:
    config = {"by": ["k"], "measures": MEASURES, "max_keys": 1, "when_full": "error"}
    with pytest.raises(SystemFailed) as caught:
        await run_through(Accumulate, config, in_=[{"k": k, "v": 1} for k in "ab"])
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]) == "it: over 1 keys; set `max_keys`"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"measures": {}}, "measures"),
        ({"measures": MEASURES, "by": ["n"]}, "measures"),
        ({"measures": MEASURES, "max_keys": 0}, "max_keys"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Accumulate("a", config)
    assert caught.value.field == field
