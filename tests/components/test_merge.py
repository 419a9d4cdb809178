"""``merge``: several ordered streams as one."""

from __future__ import annotations

from heapq import merge
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.components import Merge
from headrace.exceptions import ConfigError
from headrace.testing import feed_all

CONFIG = {"inputs": ["a", "b", "c"], "time": "t"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=20), min_size=3, max_size=3), st.booleans())
def test_all_rows_come_as_a_merge_of_the_inputs_has_them(inputs: list[list[int]], in_order: bool) -> None:
    streams = {
        name: [{"t": t, "from": name, "n": n} for n, t in enumerate(sorted(times) if in_order else times)]
        for name, times in zip("abc", inputs, strict=True)
    }
    fed = feed_all(Merge, streams, config=CONFIG)
    assert fed.out == list(merge(*streams.values(), key=lambda row: row["t"]))
    assert fed.report.ledger.closes


async def test_a_row_waits_until_every_input_has_one_or_has_ended(probe: Any) -> None:
    async with probe(Merge, config={"inputs": ["a", "b"], "time": "t"}) as p:
        await p.feed({"t": 1}, {"t": 5}, port="a")
        await p.settle()
        assert p.outputs("out") == []
        await p.feed({"t": 3}, port="b")
        assert [await p.next("out"), await p.next("out")] == [{"t": 1}, {"t": 3}]
        await p.settle()
        assert len(p.outputs("out")) == 2
        assert (await p.finish())["out"][2:] == [{"t": 5}]


async def test_a_row_without_a_time_is_rejected_and_holds_nothing_up(run_through: Any) -> None:
    bad = [5, {"x": 1}, {"t": "soon"}]
    seen = await run_through(
        Merge, {"inputs": ["a", "b"], "time": "t"}, a=[{"t": 1}, *bad], b=[{"t": "1970-01-01T00:00:02"}]
    )
    assert seen.out == [{"t": 1}, {"t": "1970-01-01T00:00:02"}]
    assert [rejected.message for rejected in seen.rejected] == bad
    assert seen.reasons[1:] == ["a: no field 't', known: x", "a: t: 'soon' is no time"]


@pytest.mark.parametrize("inputs", [[], ["a"], ["a", "a"], ["a", "out"], ["a", "b c"]])
def test_inputs_that_cannot_be_meant_are_refused(inputs: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Merge("m", {"inputs": inputs, "time": "t"})
    assert caught.value.field == "inputs"
