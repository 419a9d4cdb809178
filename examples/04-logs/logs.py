"""The function components of the system of logs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from headrace import Rejected, component

ERRORS = frozenset({"ERROR", "FATAL"})


@component
def judge(line: dict[str, Any]) -> dict[str, Any]:
    """Say of a line whether it is an error: 1, or 0, so that the mean is the rate."""
    return {**line, "error": int(line["level"] in ERRORS)}


@component
def minute(window: dict[str, Any]) -> dict[str, Any]:
    """Make the row of a service and a minute."""
    return {
        "minute": datetime.fromtimestamp(window["window_start"], UTC),
        "service": window["service"],
        "lines": window["lines"],
        "errors": window["errors"],
        "error_rate": window["error_rate"],
    }


@component
def bad_line(rejected: Rejected[Any]) -> dict[str, Any]:
    """Make the row of a line that is none of ours, or has no time."""
    row = rejected.message
    line = row["line"] if "line" in row else "{time} {level} {service} {text}".format(**row)
    return {"line": line, "reason": rejected.reason}
