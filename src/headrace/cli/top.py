"""``headrace top``: what the components of a running system do, again and again."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import click

from .attaching import Attached, NotAttached, attach, path_of, system_argument, token_option
from .main import emit

if TYPE_CHECKING:
    from rich.console import Console, Group

_FIRST = 0.5  # seconds between the first two looks: rates are told from two


@click.command("top")
@system_argument
@token_option
@click.option(
    "-n", "number", type=click.IntRange(1), help="How many looks; without a terminal one, on one for ever."
)
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    system: str | None, token: str | None, number: int | None, every: float, form: Literal["text", "json"]
) -> int:
    """Show what the components of a running system do.

    SYSTEM is the name of a system that runs here (or NAME-PID, its process, the path of its socket), or a URL;
    without one, the only system that runs. Ctrl-C ends it.

    QUEUE is what waits on the inputs of a component, p50 and p99 how long messages waited there. Without a
    terminal the table is printed once, or -n times; --format json prints an object a line.

    Exit code 0; 2 where there is no such system, or it does not answer.
    """
    attached = attach(system, token)
    is_live = form == "text" and sys.stdout.isatty()
    looks = _looks(attached, number if number or is_live else 1, every)
    try:
        if is_live:
            _show_live(looks)
        else:
            for snapshot in looks:
                _print(snapshot, form)
    except KeyboardInterrupt:
        return 0
    return 0


def _looks(attached: Attached, number: int | None, every: float) -> Iterator[Any]:
    """Yield snapshots; the first has rates already, unless the system is asked for the first time in its life."""
    attached.get(path_of("statistics"))
    time.sleep(_FIRST)
    looked = 0
    while True:
        began = time.monotonic()
        try:
            snapshot = attached.get(path_of("statistics"))
        except NotAttached as error:
            if not looked:
                raise
            click.echo(f"{error.format_message()}", err=True)
            return
        yield snapshot
        looked += 1
        if looked == number:
            return
        time.sleep(max(0.0, every - (time.monotonic() - began)))


def _print(snapshot: Any, form: str) -> None:
    from .top_table import facts_of, rows_of, summary, table_lines, troubles

    if form == "json":
        emit(json.dumps(facts_of(snapshot), ensure_ascii=False))
        return
    emit("\n".join([summary(snapshot), *troubles(snapshot), *table_lines(rows_of(snapshot))]))
    sys.stdout.flush()


def _show_live(looks: Iterator[Any]) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    last = None
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        for last in looks:
            live.update(_drawn(last, console), refresh=True)
    if last is not None:
        from .top_table import summary

        console.print(summary(last), markup=False, highlight=False)


def _drawn(snapshot: Any, console: Console) -> Group:
    """Return what fits on the terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from .top_table import COLOURS, HEADINGS, TO_THE_RIGHT, moment, rows_of, summary, troubles

    head = Text(f"{moment(snapshot['time'])}  {summary(snapshot)}", "bold", no_wrap=True, overflow="ellipsis")
    wrong = [
        Text(f"! {line}", "bold red", no_wrap=True, overflow="ellipsis") for line in troubles(snapshot)[:5]
    ]
    rows = rows_of(snapshot)
    room = max(console.size.height - len(wrong) - 3, 1)
    table = Table(box=None, pad_edge=False, expand=True, header_style="reverse")
    for heading in HEADINGS:
        is_last = heading == HEADINGS[-1]
        table.add_column(
            heading,
            justify="right" if heading in TO_THE_RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if is_last else None,
            min_width=4,
        )
    for row in rows[:room]:
        cells = [Text(cell) for cell in row.cells]
        cells[1].stylize(COLOURS.get(row.cells[1], ""))
        if row.facts["errors"]:
            cells[6].stylize("red")
        table.add_row(*cells)
    more = [] if len(rows) <= room else [Text(f"... {len(rows) - room} more", "dim")]
    return Group(head, *wrong, table, *more)


__all__ = ["command"]
