"""``headrace tap``: messages of a running system as they go by, one JSON object a line."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import click

from .attaching import attach, path_of, system_argument, token_option
from .main import emit

_MOST = 100_000


@click.command("tap")
@click.argument("edge")
@system_argument
@token_option
@click.option(
    "-n",
    "number",
    type=click.IntRange(1, _MOST),
    help="After how many messages it ends.  [default: for ever]",
)
@click.option("--where", metavar="CONDITION", help="Which messages: `v > 3 and name.startswith('a')`.")
def command(edge: str, system: str | None, token: str | None, number: int | None, where: str | None) -> int:
    """Print messages of a running system as they go by.

    EDGE is an output, an input, a component, or 'parse.out -> store.in'. SYSTEM is the name of a system that runs
    here (or NAME-PID, its process, the path of its socket), or a URL; without one, the only system that runs.

    Messages go to stdout, one JSON object a line; notices to stderr, at the end how many were not shown: what
    there is no time for goes by and is counted, so that the system is never slowed down. Ctrl-C ends it.

    Exit code 0; 2 where there is no such system or edge, or the condition is wrong; 130 after Ctrl-C.
    """
    _check(where)
    attached = attach(system, token)
    asked = {"n": str(number or _MOST)} | ({"where": where} if where else {})
    counts: dict[str, Any] = {}
    failed = ""
    try:
        left = number
        while left is None or left > 0:
            asked["n"] = str(min(left or _MOST, _MOST))
            shown = 0
            for name, data in attached.events(f"{path_of('edges', edge, 'tap')}?{urlencode(asked)}"):
                if name == "message":
                    shown += 1
                    emit(json.dumps(data, ensure_ascii=False))
                elif name == "counts":
                    counts = data
                    failed = _told_of_failures(counts, failed)
            left = None if left is None else left - shown
            if shown < _MOST:
                break
        return 0
    finally:
        if counts:
            click.echo(_told(counts), err=True)


def _check(where: str | None) -> None:
    """Refuse a wrong condition before anybody is asked."""
    if where is not None:
        from headrace.exceptions import ConfigError
        from headrace.model.expression import Condition

        try:
            Condition(where)
        except ConfigError as error:
            raise click.UsageError(f"--where: {error}") from None


def _told_of_failures(counts: dict[str, Any], before: str) -> str:
    """Say once what is wrong with messages that the condition could not be applied to."""
    error = str(counts.get("error", ""))
    if error and error != before:
        click.echo(f"the condition does not fit some messages: {error}", err=True)
    return error or before


def _told(counts: dict[str, Any]) -> str:
    parts = [f"{counts['taken']:,} shown", f"{counts['skipped']:,} went by unseen"]
    if counts["unwanted"]:
        parts.insert(1, f"{counts['unwanted']:,} not wanted")
    if counts["failed"]:
        parts.insert(1, f"{counts['failed']:,} that the condition does not fit")
    return ", ".join(parts)


__all__ = ["command"]
