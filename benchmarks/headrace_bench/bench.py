"""All of ``headrace bench`` behind its command line: measure, show, write."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import table
from .catalogue import RACES, row_names
from .environment import environment
from .referee import INSTALL, missing_modules, run_races
from .report import ReportError, write_report
from .result import Result

BACKENDS = ("asyncio", "trio")


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        rows: Names of rows, with ``*`` and ``?``; all where empty.
        backend: ``asyncio``, ``trio`` or ``both``.
        rounds: How many rounds count.
        quick: Whether to measure little.
        json: Where to write the figures; nowhere where None.
        report: The folder of the docs to write; nowhere where None.
        strict: Whether a missed target makes the exit code 1.
    """

    rows: Sequence[str] = ()
    backend: str = "both"
    rounds: int = 5
    quick: bool = False
    json: Path | None = None
    report: Path | None = None
    strict: bool = False


class BenchError(Exception):
    """It cannot be measured as was asked; the message says what to do."""


def bench(options: Options, *, notice: Callable[[str], None], colours: bool = False) -> int:
    """Measure, print the table, and write what was asked for.

    Args:
        options: What was asked for.
        notice: Told what goes on.
        colours: Whether the output is a terminal that wants them.

    Returns:
        The exit code: 0, or 1 with ``strict`` where a target is missed.

    Raises:
        BenchError: No row has such a name, or a file cannot be written.
    """
    patterns = tuple(options.rows) or ("*",)
    races = [race for race in RACES if race.wanted(patterns)]
    if not races:
        raise BenchError(f"no row is named {' or '.join(patterns)}; there are {', '.join(row_names())}")
    backends = BACKENDS if options.backend == "both" else (options.backend,)
    _tell_missing(patterns, backends, notice)
    found = run_races(races, patterns, backends, rounds=options.rounds, quick=options.quick, notice=notice)
    results: list[Result] = []
    facts = environment()
    try:
        results.extend(found)
    except KeyboardInterrupt:
        notice("interrupted; what is known until now:")
        table.show(results, facts, options.rounds, sys.stdout, colours=colours)
        raise
    table.show(results, facts, options.rounds, sys.stdout, colours=colours)
    _write(results, facts, options, notice)
    return 1 if options.strict and any(result.met is False for result in results) else 0


def listed() -> list[str]:
    """Return a line for each row: its name, what is measured, the target."""
    width = max(map(len, row_names()))
    return [
        f"{row.name:{width}}  {race.title}" + (f"  {row.reach}" if row.reach is not None else "")
        for race in RACES
        for row in race.rows
    ]


def _tell_missing(patterns: Sequence[str], backends: Sequence[str], notice: Callable[[str], None]) -> None:
    missing = {
        module
        for race in RACES
        for contender in race.contenders_of(race.wanted(patterns))
        for module in missing_modules(contender)
    }
    if "trio" in backends and find_spec("trio") is None:
        missing.add("trio")
    if missing:
        notice(f"not installed, left out: {', '.join(sorted(missing))}; {INSTALL}")


def _write(
    results: list[Result], facts: dict[str, Any], options: Options, notice: Callable[[str], None]
) -> None:
    try:
        if options.json is not None:
            rows = [result.to_json(facts) for result in results]
            options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            notice(f"wrote {options.json}")
        if options.report is not None:
            for file in write_report(options.report, results, facts, options.rounds):
                notice(f"wrote {file}")
    except ReportError as error:
        raise BenchError(str(error)) from error
    except OSError as error:
        raise BenchError(f"{error.filename}: {error.strerror}") from error


__all__ = ["BACKENDS", "BenchError", "Options", "bench", "listed"]
