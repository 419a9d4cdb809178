"""``headrace run``: a system, until it ends by itself or is stopped."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Literal

import click

from .main import emit
from .options import target_options
from .web import CommandWithWeb, web_option

_LEVELS = ("debug", "info", "warning", "error", "critical")


def _installed(_ctx: click.Context, _param: click.Parameter, backend: str) -> str:
    if find_spec(backend) is None:
        raise click.BadParameter(f"{backend} is not installed: pip install 'headrace[{backend}]'")
    return backend


@click.command("run", cls=CommandWithWeb)
@target_options
@click.option(
    "--backend",
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    callback=_installed,
    help="The event loop.",
)
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    default="console",
    show_default=True,
    help="Logs on stderr, for people or one JSON object a line.",
)
@click.option("--log-level", type=click.Choice(_LEVELS), help="The least level of logs.  [default: info]")
@click.option("--allow-dead", is_flag=True, help="Exit with 0 in spite of dead letters.")
@click.option("--debug", is_flag=True, help="Whole tracebacks, debug logs, and stacks of what is stuck.")
@click.option("--quiet", is_flag=True, help="Only errors, and the summary.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The report: for people, or one JSON object on the last line of stdout.",
)
@web_option
def command(
    target: str,
    files: tuple[str, ...],
    backend: str,
    allow: tuple[str, ...],
    log_format: Literal["console", "json"],
    log_level: str | None,
    allow_dead: bool,
    debug: bool,
    quiet: bool,
    form: Literal["text", "json"],
    web: str | None,
) -> int:
    """Run a system until it ends by itself or is stopped.

    TARGET is a blueprint (a YAML file), or MODULE:ATTRIBUTE of a Python program;
    without one, the only blueprint in this folder. Ctrl-C drains it, a second
    one stops it at once. What components print and the results go to stdout, notices and logs to stderr.

    \b
    Exit codes: 0 done; 1 failed; 2 wrong blueprint or arguments; 3 the ledger
    does not close; 4 dead letters; 5 the drain overran; 130, 143 stopped by a
    signal; 141 whoever read the output went away.
    """
    from headrace.exceptions import BlueprintError

    from .problems import problem_lines, refusal_lines
    from .report_json import refusal_json
    from .running import RunOptions, run_system
    from .target import load_target

    excerpts = sys.stderr.isatty()
    try:
        loaded = load_target(target, allow=allow, files=files)
    except BlueprintError as error:
        for line in refusal_lines(error.problems, excerpts=excerpts):
            click.echo(line, err=True)
        if form == "json":
            emit(refusal_json(target, error.problems))
        return 2
    if not quiet and log_format == "console":
        for line in problem_lines(loaded.warnings, excerpts=excerpts):
            click.echo(line, err=True)
    options = RunOptions(
        backend,
        log_format,
        log_level,
        allow_dead,
        debug,
        quiet,
        form,
        warnings=loaded.warnings,
        hide=loaded.hide,
        web=web,
    )
    loaded.harness.journal.hide = loaded.hide
    return run_system(loaded.harness, options, os._exit)


__all__ = ["command"]
