"""What ``headrace top`` shows of a snapshot: a row for each component, and a line for the system."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .own_code import one_line

HEADINGS = ("NAME", "STATE", "msg/s", "QUEUE", "p50", "p99", "ERR", "RESTARTS", "WAITING-FOR")
TO_THE_RIGHT = frozenset({"msg/s", "QUEUE", "p50", "p99", "ERR", "RESTARTS"})
COLOURS: Mapping[str, str] = {
    "running": "green",
    "ready": "cyan",
    "paused": "yellow",
    "restarting": "yellow",
    "stopping": "yellow",
    "failed": "bold red",
    "error": "bold red",
    "stopped": "dim",
}


class Row(NamedTuple):
    """A component: its figures, as they are and as they are shown."""

    facts: Mapping[str, Any]
    cells: tuple[str, ...]


def rows_of(snapshot: Mapping[str, Any]) -> list[Row]:
    """Return a row for each component, in the order of the graph.

    Args:
        snapshot: A ``Snapshot`` of the API.
    """
    inputs: dict[str, list[Mapping[str, Any]]] = {}
    for edge in snapshot["edges"].values():
        inputs.setdefault(edge["receiver"], []).append(edge)
    return [_row(one, inputs.get(name, [])) for name, one in snapshot["components"].items()]


def _row(one: Mapping[str, Any], edges: list[Mapping[str, Any]]) -> Row:
    waiting = one.get("waiting_for") or {}
    facts: dict[str, Any] = {
        "name": one["name"],
        "state": one["condition"],
        "rate": one.get("in_rate") if edges else one.get("out_rate"),
        "buffered": sum(edge["buffered"] for edge in edges) if edges else None,
        "capacity": sum(edge["capacity"] for edge in edges) if edges else None,
        "p50": max((edge["latency"]["p50"] for edge in edges if edge["latency"]["samples"]), default=None),
        "p99": max((edge["latency"]["p99"] for edge in edges if edge["latency"]["samples"]), default=None),
        "errors": one["error_count"],
        "restarts": one["restarts"],
        "waiting_for": waiting.get("text", ""),
        "last_error": one.get("last_error", ""),
    }
    queue = "" if facts["buffered"] is None else f"{facts['buffered']:,}/{facts['capacity']:,}"
    cells = (
        one_line([facts["name"]]),
        facts["state"],
        rate(facts["rate"]),
        queue,
        span(facts["p50"]),
        span(facts["p99"]),
        f"{facts['errors']:,}",
        f"{facts['restarts']:,}",
        one_line([facts["waiting_for"]]),
    )
    return Row(facts, cells)


def summary(snapshot: Mapping[str, Any]) -> str:
    """Return the line about the system: its state, and its books."""
    system = snapshot["system"]
    totals = system["totals"]
    uptime = snapshot["uptime"]
    state = system["state"] if system["ready"] or system["state"] != "running" else "running, not ready"
    figures = " ".join(
        f"{name} {totals[key]:,}"
        for name, key in (
            ("in", "taken_in"),
            ("out", "given_out"),
            ("rejected", "rejected"),
            ("dead", "dead"),
        )
    )
    return f"{one_line([system['name']])}: {state}, up {span(uptime)}, {figures}"


def troubles(snapshot: Mapping[str, Any]) -> list[str]:
    """Return the sentences about what is wrong."""
    system = snapshot["system"]
    found = [one_line([trouble["text"]]) for trouble in system["troubles"]]
    reason = one_line([system["reason"]])
    return found if found or system["ready"] or not reason else [reason]


def facts_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of it for other programs."""
    return {
        "time": snapshot["time"],
        "uptime": snapshot["uptime"],
        "system": snapshot["system"],
        "components": [row.facts for row in rows_of(snapshot)],
    }


def table_lines(rows: Iterable[Row]) -> list[str]:
    """Return a table as plain lines."""
    table = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(cells[place]) for cells in table) for place in range(len(HEADINGS))]
    return [
        "  ".join(
            cell.rjust(width) if heading in TO_THE_RIGHT else cell.ljust(width)
            for heading, cell, width in zip(HEADINGS, cells, widths, strict=True)
        ).rstrip()
        for cells in table
    ]


def rate(value: float | None) -> str:
    """Return messages a second."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def span(seconds: float | None) -> str:
    """Return a span of time, short."""
    if seconds is None:
        return "-"
    for unit, size in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < size * 1000:
            return f"{seconds / size:.{0 if seconds / size >= 10 else 1}f} {unit}"
    if seconds < 60:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s"


def moment(at: float) -> str:
    """Return a time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


__all__ = [
    "COLOURS",
    "HEADINGS",
    "TO_THE_RIGHT",
    "Row",
    "facts_of",
    "moment",
    "rate",
    "rows_of",
    "span",
    "summary",
    "table_lines",
    "troubles",
]
