"""``window``: tumbling, sliding and session windows, held against all rows looked at again for each window."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import Backoff, HarnessComponent, Out, RestartPolicy, System
from headrace.components import Window
from headrace.exceptions import ComponentError, ConfigError, SystemFailed
from headrace.testing import feed_all

MEASURES = {
    "rows": "count",
    "values": {"count": "v"},
    "sum": {"sum": "v"},
    "least": {"min": "v"},
    "mean": {"mean": "v"},
}


def row(t: float, k: str = "a", v: int | None = 1) -> dict[str, Any]:
    """Return a row."""
    return {"t": t, "k": k, "v": v}


def settings_of(**more: Any) -> dict[str, Any]:
    """Return settings of a window over event time."""
    return {"by": ["k"], "measures": MEASURES, "time": "t", **more}


# --- against a reference that looks at all rows again -----------------------------------------------

# Halves, which floats hold exactly; mostly forward, with jumps back and ahead.
ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 40).map(lambda half: half / 2),
        st.sampled_from("ab"),
        st.one_of(st.none(), st.integers(-9, 9)),
    ),
    max_size=40,
).flatmap(
    lambda rows: st.sampled_from(
        [rows, sorted(rows, key=lambda r: r["t"] // 4), sorted(rows, key=lambda r: r["t"])]
    )
)


def watermarks(rows: list[dict[str, Any]], lateness: float) -> list[float]:
    """Return the watermark that each row meets."""
    return [max((r["t"] for r in rows[:n]), default=-math.inf) - lateness for n in range(len(rows))]


def measured(key: str, start: float, end: float, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of a window."""
    values = [r["v"] for r in rows if r["v"] is not None]
    return {
        "k": key,
        "window_start": float(start),
        "window_end": float(end),
        "rows": len(rows),
        "values": len(values),
        "sum": sum(values) if values else None,
        "least": min(values, default=None),
        "mean": sum(values) / len(values) if values else None,
    }


def fixed_reference(
    rows: list[dict[str, Any]], size: float, slide: float, lateness: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all results and all late rows: each window is held against each row."""
    met = watermarks(rows, lateness)
    results: list[dict[str, Any]] = []
    on_time: set[int] = set()
    for key in ("a", "b"):
        for place in range(-math.ceil(size / slide), math.ceil(41 / slide)):
            start, end = place * slide, place * slide + size
            inside = [
                n for n, r in enumerate(rows) if r["k"] == key and start <= r["t"] < end and end > met[n]
            ]
            on_time.update(inside)
            if inside:
                results.append(measured(key, start, end, [rows[n] for n in inside]))
    return results, [r for n, r in enumerate(rows) if n not in on_time]


def session_reference(
    rows: list[dict[str, Any]], gap: float, lateness: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all results and all late rows: after each row the open sessions are made anew from all their rows."""
    met = watermarks(rows, lateness)
    results: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []
    held: dict[str, list[dict[str, Any]]] = {"a": [], "b": []}
    for n, one in enumerate([*rows, None]):
        watermark = math.inf if one is None else met[n]
        for key, some in held.items():
            for session in sessions_of(some, gap):
                end = session[-1]["t"] + gap
                if end <= watermark:
                    results.append(measured(key, session[0]["t"], end, session))
                    held[key] = [r for r in held[key] if not any(r is s for s in session)]
        if one is not None and one["t"] + gap <= watermark:
            late.append(one)
        elif one is not None:
            held[one["k"]].append(one)
    return results, late


def sessions_of(rows: list[dict[str, Any]], gap: float) -> list[list[dict[str, Any]]]:
    """Return the rows in their sessions."""
    sessions: list[list[dict[str, Any]]] = []
    for one in sorted(rows, key=lambda r: r["t"]):
        if sessions and one["t"] - sessions[-1][-1]["t"] < gap:
            sessions[-1].append(one)
        else:
            sessions.append([one])
    return sessions


def multiset(rows: list[dict[str, Any]]) -> Counter[str]:
    """Return rows without their order."""
    return Counter(map(repr, rows))


def check(rows: list[dict[str, Any]], config: dict[str, Any], expected: Any) -> None:
    """Run rows through a window and compare all that comes out; the results come by their ends."""
    results, late = expected
    fed = feed_all(Window, rows, config=config)
    assert multiset(fed.outputs["out"]) == multiset(results)
    assert fed.outputs.get("late", []) == late
    assert fed.report.ledger.closes


@settings(max_examples=50, deadline=None)
@given(ROWS, st.sampled_from([1, 2.5, 10]), st.sampled_from([2, 3, 4.5]), st.sampled_from([0, 1.5, 12]))
def test_fixed_windows_equal_the_reference(
    rows: list[dict[str, Any]], size: float, parts: float, lateness: float
) -> None:
    config = settings_of(kind="tumbling", size=size, lateness=lateness)
    check(rows, config, fixed_reference(rows, size, size, lateness))
    slide = size / parts
    config = settings_of(kind="sliding", size=size, slide=slide, lateness=lateness)
    check(rows, config, fixed_reference(rows, size, slide, lateness))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from([0.5, 2, 5]), st.sampled_from([0, 1.5, 4]))
def test_session_windows_equal_the_reference(rows: list[dict[str, Any]], gap: float, lateness: float) -> None:
    config = settings_of(kind="session", gap=gap, lateness=lateness)
    check(rows, config, session_reference(rows, gap, lateness))


# --- what it says -----------------------------------------------------------------------------------


async def test_a_window_closes_when_the_watermark_reaches_its_end(probe: Any) -> None:
    async with probe(Window, config=settings_of(size="10s", lateness=5)) as p:
        await p.feed(row(1), row(9, v=3), row(14.5), row(2, v=5))
        await p.settle()
        assert p.outputs("out") == []
        await p.feed(row(15))
        assert await p.next("out") == measured("a", 0, 10, [row(1), row(9, v=3), row(2, v=5)])
        await p.feed(row(3))
        assert await p.next("late") == row(3)
        health = await p.component.health_check()
        assert (health["open_windows"], health["late"], health["closed_early"]) == (1, 1, 0)


async def test_results_come_by_the_ends_of_their_windows(run_through: Any) -> None:
    rows = [row(31, "b"), row(12), row(35), row(11, "b"), row(1)]
    seen = await run_through(Window, settings_of(size=10, lateness=100), in_=rows)
    assert [(r["window_start"], r["k"]) for r in seen.out] == [
        (0, "a"),
        (10, "a"),
        (10, "b"),
        (30, "b"),
        (30, "a"),
    ]
    assert list(seen.out[0]) == ["k", "window_start", "window_end", *MEASURES]


async def test_a_row_between_two_sessions_makes_them_one(run_through: Any) -> None:
    rows = [row(0, v=4), row(8, v=1), row(4, v=2)]
    seen = await run_through(Window, settings_of(kind="session", gap=5, lateness=10), in_=rows)
    assert seen.out == [measured("a", 0, 13, rows)]


async def test_sums_of_sessions_that_become_one_lose_nothing(run_through: Any) -> None:
    values = [(0, 1e16), (0.5, 1.0), (8, 1.0), (8.5, 1.0), (4, -1e16)]
    rows = [{"t": t, "v": v} for t, v in values]
    config = {"kind": "session", "gap": 5, "lateness": 10, "time": "t", "measures": {"sum": {"sum": "v"}}}
    assert [r["sum"] for r in (await run_through(Window, config, in_=rows)).out] == [3.0]


async def test_the_offset_shifts_where_windows_begin(run_through: Any) -> None:
    seen = await run_through(Window, settings_of(size=10, offset=3), in_=[row(2), row(3)])
    assert [r["window_start"] for r in seen.out] == [-7, 3]


@pytest.mark.parametrize(
    ("value", "unit", "start"),
    [
        (90_500, "ms", 60),
        ("1970-01-01T00:01:30", "s", 60),
        ("1970-01-01T01:01:30+01:00", "s", 60),
        (90_500_000_000, "ns", 60),
    ],
)
async def test_times_are_numbers_of_a_unit_or_text(
    run_through: Any, value: Any, unit: str, start: float
) -> None:
    config = settings_of(size="1m", time_unit=unit)
    seen = await run_through(Window, config, in_=[row(value)])
    assert seen.out[0]["window_start"] == start


async def test_what_cannot_be_placed_or_measured_is_rejected_and_moves_nothing(run_through: Any) -> None:
    bad = [
        5,
        {"k": "a", "v": 1},
        {"t": 1, "v": 1},
        row(math.nan),
        row(None),  # type: ignore[arg-type]
        row(True, v="x"),
        row(1e300),
        row(900, v="x"),  # type: ignore[arg-type]
        row(1, k=[]),  # type: ignore[arg-type]
    ]
    seen = await run_through(
        Window, settings_of(size=10, slide=5, kind="sliding"), in_=[row(1), *bad, row(2)]
    )
    assert [r["rows"] for r in seen.out] == [2, 2]
    assert seen.ports["late"] == []
    assert [rejected.message for rejected in seen.rejected] == bad
    assert seen.reasons[0] == "not a row of named fields but a value of type int"
    assert [reason.split(",")[0] for reason in seen.reasons[1:3]] == ["no field 't'", "no field 'k'"]
    assert seen.reasons[3:5] == [
        "cannot be aggregated: t: nan is no time",
        "cannot be aggregated: t: a value of type NoneType is no time",
    ]
    assert all(seen.reasons)


async def test_a_value_that_one_of_the_windows_refuses_is_in_none(run_through: Any) -> None:
    config = {"measures": {"n": "count", "m": {"max": "v"}}, "time": "t"}
    config |= {"kind": "sliding", "size": 10, "slide": 5, "lateness": 10}
    rows = [{"t": 7, "v": 1}, {"t": 12, "v": "text"}, {"t": 12, "v": 3}]
    seen = await run_through(Window, config, in_=rows)
    assert [(r["window_start"], r["n"], r["m"]) for r in seen.out] == [(0, 1, 1), (5, 2, 3), (10, 1, 3)]
    assert [rejected.message for rejected in seen.rejected] == [rows[1]]


# --- bounds -----------------------------------------------------------------------------------------


async def test_one_window_too_many_closes_those_that_end_first_and_says_how_many(run_through: Any) -> None:
    rows = [row(1), row(15), row(2, "b"), row(3), row(16)]
    seen = await run_through(Window, settings_of(size=10, lateness=100, max_windows=2), in_=rows)
    assert [(r["window_start"], r["k"], r["rows"]) for r in seen.out] == [
        (0, "a", 1),
        (0, "b", 1),
        (10, "a", 2),
    ]
    assert seen.ports["late"] == [row(3)]
    assert seen.component.closed_early == 2


async def test_one_window_too_many_is_an_error_where_that_is_said(run_through: Any) -> None:
    config = settings_of(size=10, lateness=100, max_windows=1, when_full="error")
    with pytest.raises(SystemFailed) as caught:
        await run_through(Window, config, in_=[row(1), row(11)])
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]) == "it: over 1 windows are open; set `max_windows`"


# --- by the clock -----------------------------------------------------------------------------------


def test_by_the_clock_a_window_closes_at_its_end_without_a_further_row(run_timed: Any) -> None:
    config = {"kind": "session", "gap": "30s", "measures": {"n": "count"}}
    seen = run_timed(Window, config, in_=[(0, {}), (20, {}), (100, {})], until=200)
    assert [(at, r["n"]) for at, r in seen["out"]] == [(50, 2), (130, 1)]
    config = {"size": "60s", "measures": {"n": "count"}}
    seen = run_timed(Window, config, in_=[(0, {}), (3600, {})], until=9999)
    assert [r["n"] for _, r in seen["out"]] == [1, 1]
    assert seen["out"][0][0] <= 60
    assert 3600 < seen["out"][1][0] <= 3660


def test_an_idle_input_closes_all_windows(run_timed: Any) -> None:
    config = settings_of(size=10, lateness=5, idle="1m")
    seen = run_timed(
        Window, config, in_=[(0, row(5)), (50, row(11)), (120, row(3)), (130, row(21))], until=150
    )
    assert [(at, r["window_start"]) for at, r in seen["out"]] == [(110, 0), (110, 10), (150, 20)]
    assert seen["late"] == [(120, row(3))]


# --- the end ----------------------------------------------------------------------------------------


async def test_what_was_held_at_a_crash_is_told_as_lost() -> None:
    class Crashing(HarnessComponent):
        out: Out[Any]

        async def process(self) -> None:
            for one in (row(1), row(2), row(3), {"t": 4, "k": "a", "v": 1, "boom": True}):
                await self.out.send(one)

    class Fragile(Window):
        restart = RestartPolicy(backoff=Backoff(0.001), max_restarts=9)

        def _work(self, rows: Any, late: Any, rejected: Any) -> Any:
            if any("boom" in one for one in rows):
                raise ValueError("boom")
            return super()._work(rows, late, rejected)

    system = System("crash")
    system.connect(system.add("rows", Crashing), system.add("it", Fragile, settings_of(size=10)))
    system.add("sink", _sink)
    system.connect("it.out", "sink")
    report = await system.run()
    assert report.restarts[0].state_lost
    assert "state of it lost" in report.summary()


def _sink(message: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"size": 1, "measures": {}}, "measures"),
        ({"measures": MEASURES}, "size"),
        ({"size": 1, "gap": 1, "measures": MEASURES}, "gap"),
        ({"kind": "sliding", "size": 1, "measures": MEASURES}, "slide"),
        ({"kind": "sliding", "size": 1, "slide": 2, "measures": MEASURES}, "slide"),
        ({"kind": "sliding", "size": 100, "slide": 0.01, "measures": MEASURES}, "slide"),
        ({"kind": "session", "measures": MEASURES}, "gap"),
        ({"kind": "session", "gap": 0, "measures": MEASURES}, "gap"),
        ({"size": "1 fortnight", "measures": MEASURES}, "size"),
        ({"size": -1, "measures": MEASURES}, "size"),
        ({"size": 1, "offset": math.inf, "measures": MEASURES}, "offset"),
        ({"size": 1, "lateness": 1, "measures": MEASURES}, "lateness"),
        ({"size": 1, "idle": 1, "measures": MEASURES}, "idle"),
        ({"size": 1, "max_windows": 0, "measures": MEASURES}, "max_windows"),
        ({"size": 1, "by": ["window_start"], "measures": MEASURES}, "measures"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Window("w", config)
    assert caught.value.field == field
