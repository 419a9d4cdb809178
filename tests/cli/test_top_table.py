"""What ``headrace top`` makes of a snapshot."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.cli.top_table import facts_of, rate, rows_of, span, summary, table_lines, troubles


def component(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "condition": "running", "error_count": 0, "restarts": 0, **more}


def edge(sender: str, receiver: str, **more: Any) -> dict[str, Any]:
    latency = {"samples": 3, "p50": 0.0002, "p99": 0.25}
    return {
        "sender": sender,
        "receiver": receiver,
        "buffered": 3,
        "capacity": 100,
        "latency": latency,
        **more,
    }


def snapshot(**system: Any) -> dict[str, Any]:
    return {
        "time": 0.0,
        "uptime": 75.0,
        "system": {
            "name": "pumps",
            "state": "running",
            "ready": True,
            "reason": "",
            "troubles": [],
            "totals": {"taken_in": 1204, "given_out": 1200, "rejected": 3, "dead": 1},
            **system,
        },
        "components": {
            "src": component("src", out_rate=1234.5),
            "store": component(
                "store",
                condition="restarting",
                in_rate=0.5,
                error_count=2,
                restarts=1,
                waiting_for={"text": "restart in\x1b[31m 2 s"},
            ),
        },
        "edges": {
            "a": edge("src", "store"),
            "b": edge("src", "store", latency={"samples": 0, "p50": 0.0, "p99": 0.0}),
        },
    }


def test_a_row_adds_up_the_inputs_of_a_component() -> None:
    source, store = rows_of(snapshot())
    assert source.cells == ("src", "running", "1,234", "", "-", "-", "0", "0", "")
    assert store.cells == (
        "store", "restarting", "0.5", "6/200", "200 us", "250 ms", "2", "1", "restart in\\x1b[31m 2 s",
    )  # fmt: skip


def test_lines_are_in_columns() -> None:
    lines = table_lines(rows_of(snapshot()))
    assert lines[0] == "NAME   STATE       msg/s  QUEUE     p50     p99  ERR  RESTARTS  WAITING-FOR"
    assert lines[1] == "src    running     1,234              -       -    0         0"


def test_the_line_of_the_system() -> None:
    assert summary(snapshot()) == "pumps: running, up 1 min 15 s, in 1,204 out 1,200 rejected 3 dead 1"
    assert summary(snapshot(ready=False)).startswith("pumps: running, not ready, up")
    assert summary(snapshot(ready=False, state="stopping")).startswith("pumps: stopping, up")


def test_what_is_wrong_is_told_or_why_it_is_not_ready() -> None:
    assert troubles(snapshot()) == []
    assert troubles(snapshot(troubles=[{"text": "a is\nblocked"}], ready=False, reason="x")) == [
        "a is blocked"
    ]
    assert troubles(snapshot(ready=False, reason="store only fails")) == ["store only fails"]


def test_facts_are_numbers() -> None:
    facts = facts_of(snapshot())
    assert [one["name"] for one in facts["components"]] == ["src", "store"]
    assert (facts["components"][0]["buffered"], facts["components"][1]["p99"]) == (None, 0.25)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0, "0.0 us"),
        (5e-6, "5.0 us"),
        (0.012, "12 ms"),
        (1.25, "1.2 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_spans_are_short(seconds: float | None, shown: str) -> None:
    assert span(seconds) == shown


def test_rates_are_short() -> None:
    assert [rate(value) for value in (None, 0, 0.25, 9.99, 1234567.8)] == [
        "-",
        "0",
        "0.2",
        "10.0",
        "1,234,568",
    ]
