"""The table on the terminal; plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from . import figures
from .environment import described
from .result import Result

_COLOURS = {"met": "green", "stretch met": "bold green", "missed": "bold red", "not available": "yellow"}
_TO_THE_RIGHT = ("ours", "theirs", "ratio")


def plain_lines(results: list[Result]) -> Iterator[str]:
    """Yield the table as lines of aligned columns."""
    rows = [figures.HEADS, *map(figures.cells, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        placed = [
            cell.rjust(width) if head in _TO_THE_RIGHT else cell.ljust(width)
            for head, cell, width in zip(figures.HEADS, row, widths, strict=True)
        ]
        yield "  ".join(placed).rstrip()


def notes(results: list[Result], facts: dict[str, Any], rounds: int) -> Iterator[str]:
    """Yield what stands below the table: missing figures with their reasons, the machine, the summary."""
    for reason, rows in figures.reasons(results).items():
        yield f"not available: {reason} [{', '.join(rows)}]"
    yield from described(facts)
    yield f"medians of {rounds} rounds, everybody in each; spread is min - max; compare ratios, not values"
    yield figures.summary(results)


def show(results: list[Result], facts: dict[str, Any], rounds: int, output: TextIO, *, colours: bool) -> None:
    """Print the table and what stands below it.

    Args:
        results: The rows.
        facts: Where they were measured.
        rounds: How many rounds there were.
        output: Where to print.
        colours: Whether it is a terminal that wants them.
    """
    if colours:
        _show_in_colours(results, output)
    else:
        print(*plain_lines(results), sep="\n", file=output)
    print(*notes(results, facts, rounds), sep="\n", file=output)


def _show_in_colours(results: list[Result], output: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in figures.HEADS:
        table.add_column(head, justify="right" if head in _TO_THE_RIGHT else "left", overflow="fold")
    for result in results:
        *cells, verdict = figures.cells(result)
        table.add_row(*cells, Text(verdict, style=_COLOURS.get(figures.verdict(result), "")))
    Console(file=output).print(table)


__all__ = ["notes", "plain_lines", "show"]
