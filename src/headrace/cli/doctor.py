"""``headrace doctor``: whether this machine has what is needed, and how to mend what it lacks."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from .completion import complete_blueprint
from .main import emit

if TYPE_CHECKING:
    from .checkup import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@click.argument("target", required=False, shell_complete=complete_blueprint)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    help="A blueprint that changes what TARGET says.",
    shell_complete=complete_blueprint,
)
@click.option("--allow", metavar="PKG", multiple=True, help="A package whose modules the blueprint may use.")
def command(target: str | None, form: str, files: tuple[str, ...], allow: tuple[str, ...]) -> int:
    """Tell what this machine lacks, and how to mend it.

    With TARGET, a blueprint or MODULE:ATTRIBUTE, it looks at what that system needs too: the variables that it
    names (never their values), and whether it loads.

    Exit code 0 where nothing failed, 1 otherwise.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what modules print when they are imported
        findings = list(_findings([*([] if target is None else [target]), *files], allow))
    failed = sum(1 for one in findings if one.verdict == "fail")
    warned = sum(1 for one in findings if one.verdict == "warn")
    if form == "json":
        facts = [{"name": f.name, "verdict": f.verdict, "message": f.message, "fix": f.fix} for f in findings]
        emit(json.dumps({"ok": not failed, "failed": failed, "warned": warned, "findings": facts}, indent=1))
    else:
        _tell(findings, failed, warned)
    return 1 if failed else 0


def _findings(named: list[str], allow: tuple[str, ...]) -> Iterator[Finding]:
    from .checkup import OF_MACHINE, of_variables

    for check in OF_MACHINE:
        yield from check()
    for name in named:
        yield from of_variables(name)
    if named:
        yield _of_target(named[0], named[1:], allow)


def _of_target(target: str, files: list[str], allow: tuple[str, ...]) -> Finding:
    from headrace.exceptions import BlueprintError

    from .checkup import Finding
    from .problems import count_of, plural
    from .target import load_target

    check = " ".join(["headrace check", target, *(f"-f {file}" for file in files)])
    try:
        loaded = load_target(target, allow=allow, files=files)
    except BlueprintError as error:
        return Finding(target, "fail", count_of(error.problems), check)
    if loaded.warnings:
        return Finding(target, "warn", f"loads, {count_of(loaded.warnings)}", check)
    return Finding(target, "ok", f"loads, {plural(len(loaded.harness.wiring.registered), 'component')}")


def _tell(findings: list[Finding], failed: int, warned: int) -> None:
    from .screen import wants_colour

    colours = wants_colour(sys.stdout)
    for finding in findings:
        text = str(finding)
        emit(click.style(text[:4], fg=_COLOURS[finding.verdict]) + text[4:] if colours else text)
    counts = {"ok": len(findings) - failed - warned, "to look at": warned, "failed": failed}
    emit(", ".join(f"{count} {what}" for what, count in counts.items() if count))


__all__ = ["command"]
