"""The function components of the system of logs."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace import Rejected, component

ERRORS = frozenset({"ERROR", "FATAL"})


@component
def lines(*, folder: str) -> Iterator[str]:
    """Read the files of a folder, in the order of their names."""
    for path in sorted(Path(folder).glob("*.log*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for line in file:
                yield line.rstrip("\n")


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
    line = rejected.message
    if not isinstance(line, str):
        line = "{time} {level} {service} {text}".format(**line)
    return {"line": line, "reason": rejected.reason}
