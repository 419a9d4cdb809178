"""``docs/performance.md``: its prose is written by hand, its tables and charts are written here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import figures
from .charts import Curve, bars, lines
from .environment import described
from .result import Result

PAGE = "performance.md"
CHARTS = "performance"
"""The folder of the charts, beside the page."""

NAMES = ("environment", "targets", "peers", "curves")
"""The parts that are generated, each between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->``."""

_TARGET_HEADS = ("row", "loop", "ours", "spread", "against", "theirs", "ratio", "target (stretch)", "verdict")


class ReportError(Exception):
    """The page cannot be written; the message says what to do."""


def write_report(docs: Path, results: list[Result], facts: dict[str, Any], rounds: int) -> list[Path]:
    """Write the tables into the page and the charts beside it.

    Args:
        docs: The folder of the docs; ``performance.md`` is there.
        results: The rows.
        facts: Where they were measured.
        rounds: How many rounds there were.

    Returns:
        The files that were written.

    Raises:
        ReportError: There is no page, or a mark is missing in it.
    """
    page = docs / PAGE
    try:
        text = page.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ReportError(f"no {page}; --report wants the folder docs of a checkout") from None
    charts = charts_of(results)
    for name, part in parts_of(results, facts, rounds, list(charts)).items():
        text = replaced(text, name, part, page)
    (docs / CHARTS).mkdir(exist_ok=True)
    for name, chart in charts.items():
        (docs / CHARTS / f"{name}.svg").write_text(chart, encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    return [page, *(docs / CHARTS / f"{name}.svg" for name in charts)]


def replaced(text: str, name: str, part: str, page: Path) -> str:
    """Return a page with what is between two marks replaced.

    Raises:
        ReportError: A mark is missing.
    """
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(text) is None:
        raise ReportError(f"{page} has no {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{part}\n{end}", text, count=1)


def parts_of(
    results: list[Result], facts: dict[str, Any], rounds: int, charts: Sequence[str]
) -> dict[str, str]:
    """Return the generated parts of the page, by name."""
    judged = [result for result in results if result.row.reach is not None]
    shown = [result for result in results if result.row.reach is None and not result.race.curve]
    missing = [f"- {reason} ({', '.join(rows)})" for reason, rows in figures.reasons(results).items()]
    where = [f"- {line}" for line in described(facts)]
    return {
        "environment": "\n".join([*where, f"- medians of {rounds} rounds; {figures.summary(results)}"]),
        "targets": "\n\n".join(_with_chart("targets", charts, [_table(judged)])),
        "peers": "\n\n".join(
            [_table(shown), *(["Not available:\n\n" + "\n".join(missing)] if missing else [])]
        ),
        "curves": "\n\n".join(f"![{name}]({CHARTS}/{name}.svg)" for name in charts if name != "targets"),
    }


def charts_of(results: list[Result]) -> dict[str, str]:
    """Return the charts, by the names of their files: the targets, and one for each kind of curve."""
    charts = {}
    judged = [result for result in results if result.row.reach is not None]
    if any(result.value is not None for result in judged):
        charts["targets"] = bars("How near each row comes to its target (logarithmic)", judged)
    for what in dict.fromkeys(result.race.curve for result in results if result.race.curve):
        found = [result for result in results if result.race.curve == what and result.value is not None]
        if found:
            charts[what.replace(" ", "-")] = lines(_title(found), what, found[0].race.unit, _curves(found))
    return charts


def _title(results: list[Result]) -> str:
    titles = list(dict.fromkeys(result.race.title for result in results))
    return titles[0] if len(titles) == 1 else titles[0].partition(",")[0]


def _curves(results: list[Result]) -> list[Curve]:
    points: dict[str, list[tuple[float, float]]] = {}
    several = len({result.race.title for result in results}) > 1
    for result in results:
        how = f"{result.race.title.rpartition(', ')[2]}, " if several else ""
        if result.row.x is not None and result.value is not None:
            points.setdefault(how + result.backend, []).append((result.row.x, result.value))
    return [Curve(name, tuple(spots)) for name, spots in points.items()]


def _with_chart(name: str, charts: Sequence[str], parts: list[str]) -> list[str]:
    return [f"![{name}]({CHARTS}/{name}.svg)", *parts] if name in charts else parts


def _table(results: list[Result]) -> str:
    rows = [figures.cells(result) for result in results]
    lines = [_TARGET_HEADS, tuple("---" for _ in _TARGET_HEADS), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


__all__ = ["CHARTS", "NAMES", "PAGE", "ReportError", "charts_of", "parts_of", "replaced", "write_report"]
