"""The function components of the flights system."""

from __future__ import annotations

from typing import Any

from headrace import Rejected, component

BEAUFORT = (
    (1, "calm"),
    (4, "light air"),
    (8, "light breeze"),
    (13, "gentle breeze"),
    (19, "moderate breeze"),
    (25, "fresh breeze"),
    (32, "strong breeze"),
    (39, "near gale"),
    (47, "gale"),
    (55, "strong gale"),
    (64, "storm"),
    (73, "violent storm"),
)
"""The Beaufort scale in miles per hour: a wind is called by the first word whose limit it is below."""


def beaufort(mph: float | None) -> str:
    """Return the Beaufort word for a wind speed in miles per hour; ``unknown`` where there is none."""
    if mph is None:
        return "unknown"
    return next((word for limit, word in BEAUFORT if mph < limit), "hurricane")


@component
def arrived(flight: dict[str, Any]) -> dict[str, Any] | Rejected[dict[str, Any]]:
    """Let a flight through that has an arrival delay; cancelled and diverted ones have none."""
    if flight["arr_delay"] is None:
        return Rejected(flight, "never arrived")
    return flight


@component
def wind(weather: dict[str, Any]) -> dict[str, Any]:
    """Add the Beaufort word to an hour of weather."""
    return {**weather, "wind": beaufort(weather["wind_speed"])}
