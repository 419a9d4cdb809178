"""Figures as people read them: the same in the terminal's table and in the page."""

from __future__ import annotations

from .result import Result, Samples
from .target import shown_ratio

HEADS = ("row", "loop", "ours", "spread", "against", "theirs", "ratio", "target", "verdict")


def number(value: float) -> str:
    """Return a value with three digits that mean something."""
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:,.2f} M"
    if abs(value) >= 10_000:
        return f"{value / 1_000:,.0f} k"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    """Return a value with its unit."""
    joint = "" if number(value)[-1] in "kM" and unit.startswith("messages") else " "
    return f"{number(value)}{joint}{unit.replace('messages/s', '/s')}"


def spread(samples: Samples) -> str:
    """Return the smallest and the largest sample."""
    return f"{number(min(samples))} - {number(max(samples))}" if samples else ""


def verdict(result: Result) -> str:
    """Return what became of a row, in a word or two."""
    if not result.ours or (result.row.against and not result.against):
        return "not available"
    if result.met is None:
        return ""
    if not result.met:
        return "missed"
    return "stretch met" if result.stretch_met else "met"


def target(result: Result) -> str:
    """Return what was to be reached, with what would be better still."""
    reach, stretch = result.row.reach, result.row.stretch
    if reach is None:
        return ""
    return str(reach) if stretch is None else f"{reach} ({stretch.limit:,g})"


def cells(result: Result) -> tuple[str, ...]:
    """Return the cells of a row of the table."""
    unit = result.race.unit
    value, against, ratio = result.value, result.against_value, result.ratio
    return (
        result.row.name,
        result.backend,
        "" if value is None else with_unit(value, unit),
        spread(result.ours),
        result.row.against,
        "" if against is None else with_unit(against, unit),
        "" if ratio is None else shown_ratio(ratio, result.row.reach) + _around(result),
        target(result),
        verdict(result) + (", unsure" if result.unsure else ""),
    )


def _around(result: Result) -> str:
    """Return the smallest and the largest ratio, where there are several."""
    if len(result.ratios) < 2:
        return ""
    ends = [shown_ratio(end, result.row.reach) for end in (min(result.ratios), max(result.ratios))]
    return f" ({ends[0]} - {ends[1]})"


def summary(results: list[Result]) -> str:
    """Return how many targets were reached."""
    judged = [result for result in results if result.row.reach is not None]
    counts: dict[str, int] = {}
    for result in judged:
        counts[verdict(result)] = counts.get(verdict(result), 0) + 1
    met = counts.get("met", 0) + counts.get("stretch met", 0)
    parts = [f"{met} of {len(judged)} targets met"]
    parts += [
        f"{counts[word]} {label}"
        for word, label in (
            ("stretch met", "with the stretch"),
            ("missed", "missed"),
            ("not available", "not available"),
        )
        if word in counts
    ]
    unsure = sum(result.unsure for result in judged)
    return ", ".join([*parts, *([f"{unsure} unsure"] if unsure else [])])


def reasons(results: list[Result]) -> dict[str, list[str]]:
    """Return why figures are missing, with the rows that lack them."""
    found: dict[str, list[str]] = {}
    for result in results:
        if result.reason:
            found.setdefault(result.reason, []).append(f"{result.row.name} ({result.backend})")
    return found


__all__ = ["HEADS", "cells", "number", "reasons", "spread", "summary", "target", "verdict", "with_unit"]
