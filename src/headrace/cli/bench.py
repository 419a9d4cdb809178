"""``headrace bench``: how fast it is here, beside its peers; the work is done by the package of the benchmarks."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from .main import emit


@click.command("bench")
@click.option(
    "--rows", metavar="GLOB", multiple=True, help="Only rows of these names, with * and ?; may be repeated."
)
@click.option("--list", "listing", is_flag=True, help="Only list the rows.")
@click.option(
    "--backend",
    type=click.Choice(["asyncio", "trio", "both"]),
    default="both",
    show_default=True,
    help="The event loop.",
)
@click.option(
    "--rounds",
    metavar="N",
    type=click.IntRange(min=1),
    default=None,
    help="Rounds, of which the medians are shown.  [default: 5; 1 with --quick]",
)
@click.option("--quick", is_flag=True, help="Measure little, only to see that all works.")
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures there too.",
)
@click.option(
    "--report",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write tables and charts into performance.md in DIR.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 where a target is missed.")
def command(
    rows: tuple[str, ...],
    listing: bool,
    backend: str,
    rounds: int | None,
    quick: bool,
    json_file: Path | None,
    report: Path | None,
    strict: bool,
) -> int:
    """Measure how fast it is here, beside its peers.

    In each round all contenders of a race run, one after the other, so that only
    figures of the same minute are compared. The peers come with
    `pip install 'headrace[bench]'`; one that is missing is told and left out.

    Exit code 0, whatever the figures are; 2 where nothing can be measured.
    """
    if find_spec("headrace_bench") is None:
        click.echo("the benchmarks are not installed: pip install 'headrace[bench]'", err=True)
        return 2
    from headrace_bench.bench import BenchError, Options, bench, listed

    from .screen import wants_colour

    if listing:
        emit("\n".join(listed()))
        return 0
    options = Options(rows, backend, rounds or (1 if quick else 5), quick, json_file, report, strict)
    try:
        return bench(
            options, notice=lambda text: click.echo(text, err=True), colours=wants_colour(sys.stdout)
        )
    except BenchError as error:
        click.echo(f"Error: {error}", err=True)
        return 2


__all__ = ["command"]
