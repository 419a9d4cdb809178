"""``window_join``: pairs of two streams, held against every pair that there is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.components import WindowJoin
from headrace.exceptions import ComponentError, ConfigError, SystemFailed
from headrace.testing import feed_all
from headrace.testing import probe as open_probe

Rows = list[dict[str, Any]]


def row(t: float, k: Any = "a", n: int = 0) -> dict[str, Any]:
    """Return a row."""
    return {"t": t, "k": k, "n": n}


def settings_of(**more: Any) -> dict[str, Any]:
    """Return settings of a join by key and time."""
    return {"on": ["k"], "time": "t", "within": 2, **more}


ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 40).map(lambda half: half / 2),
        st.sampled_from(["a", "b", None]),
        st.integers(0, 999),
    ),
    max_size=30,
).flatmap(
    lambda rows: st.sampled_from(
        [rows, sorted(rows, key=lambda r: r["t"] // 4), sorted(rows, key=lambda r: r["t"])]
    )
)


def on_time(rows: Rows, lateness: float) -> tuple[Rows, Rows]:
    """Return the rows of a stream that count, and those that are late."""
    good: Rows = []
    late: Rows = []
    for n, one in enumerate(rows):
        latest = max((r["t"] for r in rows[:n]), default=-math.inf)
        (late if one["t"] < latest - lateness else good).append(one)
    return good, late


def reference(left: Rows, right: Rows, within: float, how: str) -> Rows:
    """Return every pair of two rows that belong together, and the rows that are in none."""
    pairs = [
        (one, other)
        for one in left
        for other in right
        if one["k"] is not None and one["k"] == other["k"] and abs(one["t"] - other["t"]) <= within
    ]
    found = [{**one, "right_t": other["t"], "right_n": other["n"]} for one, other in pairs]
    if how != "inner":
        found += [one for one in left if not any(one is mine for mine, _ in pairs)]
    if how == "outer":
        alone = [other for other in right if not any(other is its for _, its in pairs)]
        found += [{"k": other["k"], "right_t": other["t"], "right_n": other["n"]} for other in alone]
    return found


def multiset(rows: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return rows without their order."""
    return Counter(map(repr, rows))


@settings(max_examples=60, deadline=None)
@given(
    ROWS,
    ROWS,
    st.sampled_from([0, 0.5, 3, 40]),
    st.sampled_from([0, 1.5, 12]),
    st.sampled_from(["inner", "left", "outer"]),
    st.randoms(use_true_random=False),
)
def test_a_join_of_two_streams_equals_the_reference(
    left: Rows, right: Rows, within: float, lateness: float, how: str, random: Any
) -> None:
    """The two are mixed at random: whichever runs ahead, the same comes out."""
    config = settings_of(within=within, lateness=lateness, how=how)
    order = [0] * len(left) + [1] * len(right)
    random.shuffle(order)
    join = WindowJoin("join", config)
    rows, late = (iter(left), iter(right)), []
    found: Rows = []
    for side in order:
        some, too_late, rejected = join._take_in(side, [next(rows[side])])
        found += some
        late += too_late
        assert not rejected
    fed = feed_all(WindowJoin, {"left": left, "right": right}, config=config)
    (good_left, late_left), (good_right, late_right) = on_time(left, lateness), on_time(right, lateness)
    expected = reference(good_left, good_right, within, how)
    assert multiset(fed.out) == multiset(expected)
    assert multiset(fed.outputs.get("late", [])) == multiset([*late_left, *late_right])
    pairs = [one for one in expected if "t" in one and "right_t" in one]
    assert multiset(one for one in found if "t" in one and "right_t" in one) == multiset(pairs)
    assert multiset(late) == multiset([*late_left, *late_right])
    assert fed.report.ledger.closes


async def test_pairs_come_as_soon_as_both_are_there_and_others_when_none_can_come(probe: Any) -> None:
    async with probe(WindowJoin, config=settings_of(how="outer")) as p:
        await p.feed(row(1), port="left")
        await p.settle()
        await p.feed(row(3, n=7), port="right")
        assert await p.next("out") == {**row(1), "right_t": 3, "right_n": 7}
        await p.feed(row(4, "b"), port="left")
        await p.settle()
        await p.feed(row(6), port="right")
        await p.settle()
        assert len(p.outputs("out")) == 1
        await p.feed(row(6.5), port="right")
        assert await p.next("out") == row(4, "b")
        health = await p.component.health_check()
        assert (health["matched"], health["held"], health["forgotten"]) == (1, 3, 0)
        assert (await p.finish())["out"][2:] == [
            {"k": "a", "right_t": 6, "right_n": 0},
            {"k": "a", "right_t": 6.5, "right_n": 0},
        ]


async def test_names_may_differ_and_fields_be_chosen(run_through: Any) -> None:
    config = {"on": {"k": "key"}, "time": {"t": "at"}, "within": "1s", "take": ["x"], "prefix": ""}
    left = [row(1), row(9)]
    right = [{"key": "a", "at": 1.5, "x": 3, "y": 4}]
    seen = await run_through(WindowJoin, {**config, "how": "left"}, left=left, right=right)
    assert multiset(seen.out) == multiset([{**row(1), "x": 3}, {**row(9), "x": None}])


async def test_what_has_no_key_time_or_field_is_rejected(run_through: Any) -> None:
    left = [5, {"t": 1}, {"k": "a"}, row(1, [])]
    right = [row(math.nan), {"k": "a", "t": 1}]
    config = settings_of(take=["n"])
    seen = await run_through(WindowJoin, config, left=left, right=right)
    assert seen.out == []
    assert sorted(reason.split(",")[0] for reason in seen.reasons) == [
        "left: its key cannot be looked up: unhashable type: 'list'",
        "left: no field 'k'",
        "left: no field 't'",
        "left: not a row of named fields but a value of type int",
        "right: no field 'n'",
        "right: t: nan is no time",
    ]


async def test_one_row_too_many_lets_the_earliest_go_and_counts_it() -> None:
    async with open_probe(WindowJoin, config=settings_of(how="left", max_rows=2, within=100)) as p:
        await p.feed(row(5), row(5, n=1), row(6), port="left")
        assert await p.next("out") == row(5)
        assert p.component.forgotten == 1
        await p.feed(row(7), port="right")
        await p.settle()
        assert [(one["t"], one["n"]) for one in p.outputs("out")[1:]] == [(5, 1), (6, 0)]
        assert p.component.forgotten == 2


async def test_one_row_too_many_is_an_error_where_that_is_said(run_through: Any) -> None:
    config = settings_of(max_rows=1, when_full="error")
    with pytest.raises(SystemFailed) as caught:
        await run_through(WindowJoin, config, left=[row(1), row(1)], right=[])
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]) == "it: over 1 rows are held; set `max_rows`"


async def test_a_field_on_both_sides_is_an_error_that_names_the_setting(run_through: Any) -> None:
    with pytest.raises(SystemFailed) as caught:
        await run_through(WindowJoin, settings_of(prefix=""), left=[row(1)], right=[row(1)])
    assert str(caught.value.errors[0]) == "it: the field 't' is on both sides; set `prefix`"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (settings_of(on=[]), "on"),
        (settings_of(on={"a": "x", "b": "x"}), "on"),
        (settings_of(within=-1), "within"),
        (settings_of(time={}), "time"),
        (settings_of(time=""), "time"),
        (settings_of(lateness="soon"), "lateness"),
        (settings_of(take=["x", "x"]), "take"),
        (settings_of(max_rows=0), "max_rows"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WindowJoin("j", config)
    assert caught.value.field == field
