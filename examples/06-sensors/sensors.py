"""What a sensor sends, and what is told of a spell of heat."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace import component


class Reading(msgspec.Struct):
    """A reading; ``at`` is in seconds since the epoch."""

    room: str
    degrees: float
    at: float


@component
def alert(spell: dict[str, Any]) -> dict[str, Any]:
    """Say what happened; the window ends a minute after the last reading."""
    begin = datetime.fromtimestamp(spell["window_start"], UTC)
    return {
        "room": spell["room"],
        "since": begin.isoformat(),
        "seconds": spell["window_end"] - 60 - spell["window_start"],
        "readings": spell["readings"],
        "highest": spell["highest"],
    }
