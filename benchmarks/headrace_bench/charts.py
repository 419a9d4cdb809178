"""Charts as SVG, written by hand: bars of ratios against their targets, and curves. Light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from . import figures
from .result import Result
from .target import shown_ratio

_STYLE = """<style>
  svg { --ink: #1f2430; --soft: #667085; --grid: #d9dde5; }
  svg { --met: #2a8f5b; --missed: #c9472f; --a: #2f6fd0; --b: #b7791f; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e8eaf0; --soft: #98a2b3; --grid: #3a4150; }
    svg { --met: #52c08a; --missed: #f0826c; --a: #7fb0ff; --b: #e3b45c; }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--ink); }
  .soft { fill: var(--soft); }
  .title { font-weight: 600; font-size: 14px; }
  .grid { stroke: var(--grid); stroke-width: 1; }
  .target { stroke: var(--ink); stroke-width: 2; }
  .met { fill: var(--met); }
  .missed { fill: var(--missed); }
  .line { fill: none; stroke-width: 2; }
</style>"""
_WIDTH = 760
_LONGEST = 4.0  # times its target: longer bars are cut off there
Place = Callable[[float, float], tuple[float, float]]
"""Where a point of a chart lies in its picture."""

_INKS = ("var(--a)", "var(--b)", "var(--met)", "var(--missed)")


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: its name and its points."""

    name: str
    points: tuple[tuple[float, float], ...]


def bars(title: str, results: Sequence[Result]) -> str:
    """Draw how near each row comes to its target: a full-length mark is the target, longer is better.

    Args:
        title: The heading.
        results: Rows with a target; others are left out.
    """
    rows = [(result, share) for result in results if (share := share_of_target(result)) is not None]
    left, right, step = 270, 180, 24
    top, room = 58, _WIDTH - left - right
    height = top + step * len(rows) + 16
    longest = math.log2(1 + _LONGEST)
    mark = left + room / longest
    parts = [
        _text(16, 26, title, "title"),
        _text(mark, 46, "target", "soft", "middle"),
        f'<line class="target" x1="{mark:.1f}" y1="52" x2="{mark:.1f}" y2="{height - 12}"/>',
    ]
    for place, (result, share) in enumerate(rows):
        y = top + step * place
        width = max(2.0, room * math.log2(1 + min(share, _LONGEST)) / longest)
        kind = "met" if result.met else "missed"
        parts += [
            _text(left - 10, y + 14, _named(result), "", "end"),
            f'<rect class="{kind}" x="{left}" y="{y + 3}" width="{width:.1f}" height="15" rx="3">'
            f"<title>{escape(f'{figures.target(result)}: {figures.verdict(result)}')}</title></rect>",
            _text(left + max(width, mark - left) + 8, y + 14, _label(result), "soft"),
        ]
    return _svg(height, title, parts)


def share_of_target(result: Result) -> float | None:
    """Return how much of its target a row reaches; 1 is all of it, more is better; None without figures."""
    reach = result.row.reach
    measured = result.value if reach is None or not reach.of_ratio else result.ratio
    if reach is None or not measured:
        return None
    limit = reach.limit / 100 if reach.unit == "%" else reach.limit
    return measured / limit if reach.comparison.startswith(">") else limit / measured


def lines(title: str, x_label: str, unit: str, curves: Sequence[Curve]) -> str:
    """Draw curves over a logarithmic x axis; the y axis begins at 0.

    Args:
        title: The heading.
        x_label: What x counts.
        unit: The unit of y.
        curves: The lines.
    """
    left, right, top, bottom, height = 90, 170, 50, 300, 350
    xs = sorted({x for curve in curves for x, _ in curve.points})
    highest = nice_ceiling(max(y for curve in curves for _, y in curve.points))
    first, span = math.log(xs[0]), (math.log(xs[-1]) - math.log(xs[0])) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (_WIDTH - left - right) * (math.log(x) - first) / span
        return across, bottom - (bottom - top) * y / highest

    parts = [_text(16, 26, title, "title")]
    for quarter in range(5):
        value = highest * quarter / 4
        y = place(xs[0], value)[1]
        parts += [
            f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{_WIDTH - right}" y2="{y:.1f}"/>',
            _text(left - 10, y + 4, figures.number(value), "soft", "end"),
        ]
    parts += [_text(place(x, 0)[0], bottom + 20, f"{x:,g}", "soft", "middle") for x in xs]
    parts.append(_text((left + _WIDTH - right) / 2, bottom + 40, f"{x_label}; {unit}", "soft", "middle"))
    parts += _drawn_curves(curves, place, _WIDTH - right)
    return _svg(height, title, parts)


def nice_ceiling(value: float) -> float:
    """Return the next number of the kind 1, 2, 4, 5 or 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 5, 8, 10) if power * step >= value)


def _drawn_curves(curves: Sequence[Curve], place: Place, edge: float) -> list[str]:
    parts = []
    heights = _apart([place(*curve.points[-1])[1] for curve in curves], lowest=place(1.0, 0.0)[1])
    for number, (curve, height) in enumerate(zip(curves, heights, strict=True)):
        ink = _INKS[number % len(_INKS)]
        spots = [place(x, y) for x, y in curve.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline class="line" stroke="{ink}" points="{path}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{ink}"/>' for x, y in spots]
        parts.append(f'<rect x="{edge + 14:.1f}" y="{height - 5:.1f}" width="10" height="10" fill="{ink}"/>')
        parts.append(_text(edge + 30, height + 4, curve.name))
    return parts


def _apart(heights: Sequence[float], lowest: float, least: float = 18) -> list[float]:
    """Return heights moved up where labels would lie upon each other or below the axis."""
    moved = dict.fromkeys(range(len(heights)), 0.0)
    last = lowest + least
    for place in sorted(moved, key=lambda place: -heights[place]):
        last = moved[place] = min(heights[place], last - least)
    return list(moved.values())


def _named(result: Result) -> str:
    return result.row.name if result.backend == "-" else f"{result.row.name}, {result.backend}"


def _label(result: Result) -> str:
    reach = result.row.reach
    assert reach is not None
    if reach.of_ratio:
        return (
            "" if result.ratio is None else f"{shown_ratio(result.ratio, reach)} of {figures.target(result)}"
        )
    value = "" if result.value is None else figures.with_unit(result.value, result.race.unit)
    return f"{value}, {figures.target(result)}"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", _STYLE, *parts, "</svg>"]) + "\n"


__all__ = ["Curve", "bars", "lines", "nice_ceiling", "share_of_target"]
