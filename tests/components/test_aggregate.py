"""``aggregate``: one row a key."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.components import Aggregate
from headrace.components.accumulators import Extreme, Group, Mean, Sum, make_accumulator
from headrace.components.aggregate import sort_rows
from headrace.exceptions import ComponentError, ConfigError, SystemFailed

ROWS = [
    {"k": "a", "v": 1, "w": 5},
    {"k": "b", "v": 4, "w": None},
    {"k": "a", "v": 2, "w": 7},
    {"k": None, "v": None, "w": 1},
]
ALL = {
    "rows": "count",
    "values": {"count": "v"},
    "sum": {"sum": "v"},
    "mean": {"mean": "v"},
    "min": {"min": "v"},
    "max": {"max": "v"},
}


async def test_every_measure_is_computed_for_every_key(run_through: Any) -> None:
    seen = await run_through(Aggregate, {"by": ["k"], "measures": ALL}, in_=ROWS)
    assert seen.out == [
        {"k": "a", "rows": 2, "values": 2, "sum": 3, "mean": 1.5, "min": 1, "max": 2},
        {"k": "b", "rows": 1, "values": 1, "sum": 4, "mean": 4.0, "min": 4, "max": 4},
        {"k": None, "rows": 1, "values": 0, "sum": None, "mean": None, "min": None, "max": None},
    ]
    assert list(seen.out[0]) == ["k", *ALL]


async def test_keys_may_have_several_fields(run_through: Any) -> None:
    seen = await run_through(Aggregate, {"by": ["k", "v"], "measures": {"n": "count"}}, in_=ROWS + ROWS[:1])
    assert seen.out[0] == {"k": "a", "v": 1, "n": 2}
    assert len(seen.out) == 4


async def test_without_a_key_all_rows_are_one_group(run_through: Any) -> None:
    seen = await run_through(Aggregate, {"measures": {"n": "count", "s": {"sum": "v"}}}, in_=ROWS)
    assert seen.out == [{"n": 4, "s": 7}]


async def test_of_no_rows_there_are_no_groups(run_through: Any) -> None:
    assert (await run_through(Aggregate, {"by": ["k"], "measures": ALL}, in_=[])).out == []


async def test_groups_come_sorted_where_that_is_asked_for_with_none_last(run_through: Any) -> None:
    config = {"by": ["k"], "measures": {"mean": {"mean": "v"}}, "sort_by": ["-mean"]}
    seen = await run_through(Aggregate, config, in_=ROWS)
    assert [row["k"] for row in seen.out] == ["b", "a", None]
    seen = await run_through(Aggregate, {**config, "sort_by": ["k"]}, in_=[*ROWS, {"k": 3, "v": 1}])
    assert [row["k"] for row in seen.out] == [3, "a", "b", None]


async def test_a_row_that_cannot_be_aggregated_is_rejected_and_counts_nowhere(run_through: Any) -> None:
    bad = [
        {"k": "a", "v": 1},
        {"k": "a", "v": 1, "w": "x"},
        {"k": [1], "v": 1, "w": 1},
        {"k": "c", "v": "x", "w": 1},
    ]
    config = {
        "by": ["k"],
        "measures": {"n": "count", "v": {"sum": "v"}, "w": {"mean": "w"}, "m": {"max": "v"}},
    }
    seen = await run_through(Aggregate, config, in_=[*ROWS, *bad, 5])
    assert seen.out[0] == {"k": "a", "n": 2, "v": 3, "w": 6.0, "m": 2}
    assert [row["k"] for row in seen.out] == ["a", "b", None]
    assert [reason.split(":")[0] for reason in seen.reasons] == [
        "no field 'w', known",
        "cannot be aggregated",
        "cannot be aggregated",
        "cannot be aggregated",
        "not a row of named fields but a value of type int",
    ]


async def test_the_number_of_groups_is_bounded_and_the_error_names_the_setting(run_through: Any) -> None:
    with pytest.raises(SystemFailed) as caught:
        await run_through(Aggregate, {"by": ["k"], "measures": ALL, "max_groups": 2}, in_=ROWS)
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]) == (
        "it: over 2 groups by k; group by fewer fields or set `max_groups`"
    )


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"measures": {}}, "measures"),
        ({"by": ["n"], "measures": {"n": "count"}}, "measures"),
        ({"measures": {"n": {"sum": "a", "mean": "a"}}}, "measures"),
        ({"measures": {"n": {}}}, "measures"),
        ({"measures": {"n": "sum"}}, "measures.n"),
        ({"measures": {"n": "count"}, "sort_by": ["x"]}, "sort_by"),
        ({"measures": {"n": "count"}, "max_groups": 0}, "max_groups"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Aggregate("a", config)
    assert caught.value.field == field


@given(st.lists(st.integers()))
def test_the_sum_and_mean_of_whole_numbers_are_exact(values: list[int]) -> None:
    total, mean = Sum(), Mean()
    for value in values:
        total.add(value)
        mean.add(value)
    assert total.result() == (sum(values) if values else None)
    if values and abs(sum(values)) < 2**1000:
        assert mean.result() == sum(values) / len(values)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_the_sum_of_numbers_is_that_of_exact_arithmetic_within_rounding(values: list[float]) -> None:
    total = Sum()
    for value in values:
        total.add(value)
    exact = float(sum(map(Fraction, values)))
    scale = math.fsum(map(abs, values))
    assert abs(total.result() - exact) <= 1e-15 * abs(exact) + 1e-28 * scale


def test_small_values_are_not_lost_beside_large_ones() -> None:
    total = Sum()
    for value in (1.0, 1e100, 1.0, -1e100):
        total.add(value)
    assert total.result() == 2.0


def test_infinity_and_decimals_add_up_too() -> None:
    total, decimals = Sum(), Sum()
    for value in (1.0, math.inf, 2.0):
        total.add(value)
    for number in (Decimal("0.1"), Decimal("0.2")):
        decimals.add(number)
    assert total.result() == math.inf
    assert decimals.result() == Decimal("0.3")


def test_what_does_not_compare_with_the_extreme_changes_nothing() -> None:
    largest = Extreme(largest=True)
    largest.add("b")
    with pytest.raises(TypeError):
        largest.add(1)
    assert largest.result() == "b"


@given(st.lists(st.tuples(st.integers(-99, 99), st.one_of(st.integers(-99, 99), st.just("bad")))))
def test_a_group_takes_all_values_of_a_row_or_none(rows: list[tuple[int, Any]]) -> None:
    functions = ("sum", "min", "max", "count", "mean")
    group = Group([make_accumulator(function) for function in functions])
    good = []
    for first, last in rows:
        try:
            group.add((first, first, first, first, last))
        except TypeError:
            continue
        good.append((first, last))
    firsts = [first for first, _ in good]
    assert group.rows == len(good)
    if good:
        expected = [
            sum(firsts),
            min(firsts),
            max(firsts),
            len(good),
            sum(last for _, last in good) / len(good),
        ]
        assert [one.result() for one in group.accumulators] == expected


numbers = st.one_of(st.none(), st.integers(-(2**60), 2**60), st.floats(), st.just("bad"), st.booleans())


@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), numbers), max_size=9), max_size=4))
def test_a_batch_gives_what_its_rows_give_one_by_one(batches: list[list[tuple[str, Any]]]) -> None:
    aggregate = Aggregate("a", {"by": ["k"], "measures": ALL})
    together: dict[Any, Group] = {}
    singly: dict[Any, Group] = {}
    for batch in batches:
        rows = [{"k": key, "v": value} for key, value in batch]
        rejected = aggregate._take_in(together, rows)
        assert [repr(one) for one in rejected] == [
            repr(one) for one in aggregate._take_in_singly(singly, rows)
        ]
    assert repr(aggregate._results(together)) == repr(aggregate._results(singly))


@given(st.lists(st.one_of(st.floats(-1e9, 1e9), st.none()), min_size=1))
def test_many_numbers_at_once_are_added_as_one_by_one(values: list[float | None]) -> None:
    together, singly = (Group([make_accumulator(kind) for kind in ("sum", "mean")]) for _ in range(2))
    assert together.surely_takes([{float}, {float}])
    together.add_all([(value, value) for value in values])
    for value in values:
        singly.add((value, value))
    assert together.rows == singly.rows
    assert [a.result() for a in together.accumulators] == [a.result() for a in singly.accumulators]


def test_rows_of_several_kinds_are_sorted_by_kind() -> None:
    rows: list[dict[str, Any]] = [{"v": "b"}, {"v": 1}, {"v": None}, {"v": "a"}]
    sort_rows(rows, "v")
    assert [row["v"] for row in rows] == [1, "a", "b", None]
    sort_rows(rows, "v", largest_first=True)
    assert [row["v"] for row in rows] == ["b", "a", 1, None]
