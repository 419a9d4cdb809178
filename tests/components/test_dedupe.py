"""``dedupe``: the first of a key, held against all rows that were let through before."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.components import Dedupe
from headrace.exceptions import ComponentError, ConfigError, SystemFailed
from headrace.testing import feed_all

Rows = list[dict[str, Any]]


def row(t: float, k: Any = "a", n: int = 0) -> dict[str, Any]:
    """Return a row."""
    return {"t": t, "k": k, "n": n}


# Halves, which floats hold exactly; also with the order of their times mended in parts.
ROWS = st.lists(
    st.builds(row, st.integers(0, 40).map(lambda half: half / 2), st.sampled_from("abc")), max_size=50
).flatmap(
    lambda rows: st.sampled_from(
        [rows, sorted(rows, key=lambda r: r["t"] // 4), sorted(rows, key=lambda r: r["t"])]
    )
)


def reference(rows: Rows, within: float, lateness: float, most: int) -> tuple[Rows, Rows, Rows]:
    """Return new, duplicate and late rows: each is held against all that were let through.

    Those are forgotten only where there are more than ``most`` that may still count.
    """
    new: Rows = []
    old: Rows = []
    late: Rows = []
    remembered: Rows = []
    watermark = -math.inf
    for one in rows:
        if one["t"] < watermark:
            late.append(one)
            continue
        watermark = max(watermark, one["t"] - lateness)
        if any(r["k"] == one["k"] and abs(r["t"] - one["t"]) < within for r in remembered):
            old.append(one)
        else:
            new.append(one)
            remembered.append(one)
        alive = [r for r in remembered if r["t"] + within > watermark]
        if len(alive) > most:
            remembered.remove(min(alive, key=lambda r: r["t"]))
    return new, old, late


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from([0.5, 2, 9, 40]), st.sampled_from([0, 1.5, 12]), st.sampled_from([1, 2, 3, 999]))
def test_dedupe_equals_the_reference(rows: Rows, within: float, lateness: float, most: int) -> None:
    rows = [{**one, "n": n} for n, one in enumerate(rows)]
    config = {"by": ["k"], "time": "t", "within": within, "lateness": lateness, "max_keys": most}
    fed = feed_all(Dedupe, rows, config=config)
    found = tuple(fed.outputs.get(port, []) for port in ("out", "duplicates", "late"))
    assert found == reference(rows, within, lateness, most)
    assert fed.report.ledger.closes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 12))
def test_without_a_time_the_keys_let_through_last_are_remembered(keys: list[int], most: int) -> None:
    fed = feed_all(Dedupe, [row(0, k) for k in keys], config={"by": ["k"], "max_keys": most})
    expected: list[int] = []
    for key in keys:
        if key not in expected[-most:]:
            expected.append(key)
    assert [one["k"] for one in fed.out] == expected


def test_by_the_clock_a_key_is_forgotten_after_its_time(run_timed: Any) -> None:
    timed = [(0, row(0)), (5, row(0, n=1)), (9.5, row(0, "b")), (10, row(0, n=2)), (12, row(0, "b"))]
    of: list[Any] = []
    seen = run_timed(Dedupe, {"by": ["k"], "within": "10s"}, in_=timed, until=13, of=of)
    assert [(at, one["k"], one["n"]) for at, one in seen["out"]] == [(0, "a", 0), (9.5, "b", 0), (10, "a", 2)]
    assert [at for at, _ in seen["duplicates"]] == [5, 12]
    assert (of[0].duplicate_rows, of[0].forgotten, of[0].late_rows) == (2, 0, 0)


async def test_what_has_no_key_or_time_is_rejected(run_through: Any) -> None:
    bad = [5, {"t": 1}, {"k": "a"}, row(math.inf), row(1, [])]
    config = {"by": ["k"], "time": "t", "within": 5}
    seen = await run_through(Dedupe, config, in_=[row(1), *bad, row(2)])
    assert seen.out == [row(1)]
    assert seen.ports["duplicates"] == [row(2)]
    assert [rejected.message for rejected in seen.rejected] == bad
    assert [reason.split(",")[0] for reason in seen.reasons] == [
        "not a row of named fields but a value of type int",
        "no field 'k'",
        "no field 't'",
        "t: inf is no time",
        "its key cannot be looked up: unhashable type: 'list'",
    ]


async def test_what_is_let_go_is_counted(probe: Any) -> None:
    config = {"by": ["k"], "time": "t", "within": 5, "lateness": 1, "max_keys": 2}
    async with probe(Dedupe, config=config) as p:
        await p.feed(row(10), row(10), row(10.5, "b"), row(10.5, "c"), row(3))
        await p.settle()
        health = await p.component.health_check()
    expected = {"keys": 2, "duplicates": 1, "forgotten": 1, "late": 1}
    assert {name: health[name] for name in expected} == expected


async def test_one_key_too_many_is_an_error_where_that_is_said(run_through: Any) -> None:
    config = {"by": ["k"], "max_keys": 1, "when_full": "error"}
    with pytest.raises(SystemFailed) as caught:
        await run_through(Dedupe, config, in_=[row(0), row(0, "b")])
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]) == "it: over 1 keys; set `max_keys`"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"by": []}, "by"),
        ({"by": ["k", "k"]}, "by"),
        ({"by": ["k"], "within": 0}, "within"),
        ({"by": ["k"], "time": "t"}, "within"),
        ({"by": ["k"], "within": 1, "lateness": 1}, "lateness"),
        ({"by": ["k"], "within": 1, "time": "t", "lateness": -1}, "lateness"),
        ({"by": ["k"], "max_keys": 0}, "max_keys"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Dedupe("d", config)
    assert caught.value.field == field
