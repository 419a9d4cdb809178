"""``headrace graph``: a system drawn, for the terminal and for other programs."""

from __future__ import annotations

import contextlib
import sys

import click

from .main import emit


@click.command("graph")
@click.argument("target")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "json"]),
    default="text",
    show_default=True,
)
@click.option("--allow", metavar="PKG", multiple=True, help="A package whose modules the blueprint may use.")
def command(target: str, form: str, allow: tuple[str, ...]) -> int:
    """Draw a system: components, and what connects them.

    TARGET is a blueprint (a YAML file), or MODULE:ATTRIBUTE of a Python program.
    """
    from headrace.exceptions import BlueprintError

    from .drawing import draw_dot, draw_json, draw_mermaid
    from .drawing_text import draw_text
    from .picture import picture_of
    from .problems import problem_lines
    from .target import load_target

    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a module prints when it is imported
            picture = picture_of(load_target(target, allow=allow).harness)
    except BlueprintError as error:
        for line in problem_lines(error.problems, excerpts=sys.stderr.isatty()):
            click.echo(line, err=True)
        return 2
    if form == "text":
        text = draw_text(picture, plain=not _can_draw(sys.stdout.encoding))
    else:
        text = {"mermaid": draw_mermaid, "dot": draw_dot, "json": draw_json}[form](picture)
    emit(text)
    return 0


def _can_draw(encoding: str | None) -> bool:
    try:
        "├─└│".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


__all__ = ["command"]
