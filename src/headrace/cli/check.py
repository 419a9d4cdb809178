"""``headrace check``: the way ``run`` loads a system, without the run."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headrace.model.blueprint import Problem

    from .target import Loaded

from .main import emit
from .options import target_options


@click.command("check")
@target_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Exit with 2 on warnings too.")
def command(target: str, files: tuple[str, ...], form: str, strict: bool, allow: tuple[str, ...]) -> int:
    """Tell all mistakes of a system at once, without running it.

    TARGET is a blueprint (a YAML file), or MODULE:ATTRIBUTE of a Python program;
    without one, the only blueprint in this folder.
    """
    from headrace.exceptions import BlueprintError

    from .target import load_target

    loaded: Loaded | None = None
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a module prints when it is imported
            loaded = load_target(target, allow=allow, files=files)
        problems = loaded.warnings
    except BlueprintError as error:
        problems = error.problems
    if form == "json":
        emit(_as_json(target, loaded, problems))
    else:
        _tell(target, loaded, problems, strict=strict)
    return 2 if loaded is None or (strict and problems) else 0


def _tell(target: str, loaded: Loaded | None, problems: tuple[Problem, ...], *, strict: bool) -> None:
    from .problems import count_of, plural, problem_lines, refusal_lines

    is_refused = loaded is None or (strict and problems)
    show = refusal_lines if is_refused else problem_lines
    for line in show(problems, excerpts=sys.stdout.isatty()):
        emit(line)
    if loaded is None or is_refused:
        return
    wiring = loaded.harness.wiring
    facts = [plural(len(wiring.registered), "component"), plural(len(wiring.connections), "connection")]
    if problems:
        facts.append(count_of(problems))
    emit(f"{target}: ok, {', '.join(facts)}")


def _as_json(target: str, loaded: Loaded | None, problems: tuple[Problem, ...]) -> str:
    from .problems import as_json

    wiring = None if loaded is None else loaded.harness.wiring
    return json.dumps(
        {
            "target": target,
            "ok": wiring is not None,
            "errors": sum(1 for problem in problems if problem.severity == "error"),
            "warnings": sum(1 for problem in problems if problem.severity == "warning"),
            "components": None if wiring is None else len(wiring.registered),
            "connections": None if wiring is None else len(wiring.connections),
            "problems": [as_json(problem) for problem in problems],
        },
        indent=1,
    )


__all__ = ["command"]
