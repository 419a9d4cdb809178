"""When something happened, read out of a row, and durations out of settings: always seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from headrace.exceptions import ConfigError
from headrace.model.blueprint_values import read_duration

from .rows import Row, lacking

Duration = float | str
TimeUnit = Literal["s", "ms", "us", "ns"]

_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def seconds(value: Duration, field: str, *, or_zero: bool = False) -> float:
    """Return the seconds of a duration in the settings.

    Args:
        value: A number of seconds, or a text such as ``500ms``.
        field: The name of the setting.
        or_zero: Whether nothing at all is a duration too.

    Raises:
        ConfigError: It is no duration, negative, or without an end.
    """
    found = read_duration(value)
    if found is None:
        raise ConfigError(
            f"{field} must be a duration, not {value!r}", hint="such as 10s or 500ms", field=field
        )
    if not math.isfinite(found) or found < 0 or (found == 0 and not or_zero):
        kind = "a duration of 0 or more" if or_zero else "a duration above 0"
        raise ConfigError(f"{field} must be {kind}, not {value!r}", field=field)
    return found


def event_time(field: str, unit: TimeUnit = "s") -> Callable[[Row], float]:
    """Return a function that reads the time of a row: seconds since the epoch, or whatever its numbers count from.

    It takes numbers, ``datetime`` and text in ISO 8601; one without a time zone is taken for UTC. It raises
    KeyError where the row has no such field, and TypeError or ValueError where its value is no time.
    """
    a_second = _A_SECOND[unit]

    def read(row: Row) -> float:
        value = row[field]
        if type(value) is not float and type(value) is not int:
            return _of_calendar(value, field)
        found = value / a_second if a_second != 1 else float(value)
        if not math.isfinite(found):
            raise ValueError(f"{field}: {value!r} is no time")
        return found

    return read


def _of_calendar(value: Any, field: str) -> float:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{field}: {value!r} is no time") from None
    if not isinstance(value, datetime):
        raise TypeError(f"{field}: a value of type {type(value).__name__} is no time")
    return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()


def why_no_time(row: object, error: Exception, fields: list[str]) -> str:
    """Say for people why a row has no time, or lacks another of the fields that are needed."""
    if isinstance(row, Mapping) and not isinstance(error, KeyError):
        return str(error)
    return lacking(row, fields)


__all__ = ["Duration", "TimeUnit", "event_time", "seconds", "why_no_time"]
