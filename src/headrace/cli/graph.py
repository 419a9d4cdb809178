"""``headrace graph``: a system drawn, for the terminal and for other programs."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headrace.model.picture import Picture

from .files import write_whole
from .main import emit
from .options import target_options


@click.command("graph")
@target_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "svg", "mermaid", "dot", "json"]),
    default="text",
    show_default=True,
)
@click.option(
    "--output", metavar="FILE", type=click.Path(dir_okay=False), help="Where to write it, instead of stdout."
)
def command(
    target: str, files: tuple[str, ...], form: str, output: str | None, allow: tuple[str, ...]
) -> int:
    """Draw a system: components, and what connects them.

    TARGET is a blueprint (a YAML file), or MODULE:ATTRIBUTE of a Python program;
    without one, the only blueprint in this folder.
    """
    from headrace.exceptions import BlueprintError
    from headrace.runtime.picture import picture_of

    from .problems import refusal_lines
    from .target import load_target

    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a module prints when it is imported
            picture = picture_of(load_target(target, allow=allow, files=files).harness)
    except BlueprintError as error:
        for line in refusal_lines(error.problems, excerpts=sys.stderr.isatty()):
            click.echo(line, err=True)
        return 2
    text = _drawn(picture, form, sys.stdout.encoding if output is None else "utf-8")
    if output is None:
        emit(text)
    else:
        write_whole(output, f"{text}\n")
        click.echo(f"wrote {output}", err=True)
    return 0


def _drawn(picture: Picture, form: str, encoding: str | None) -> str:
    from headrace.model.graph_svg import draw_svg

    from .drawing import draw_dot, draw_json, draw_mermaid
    from .drawing_text import draw_text

    if form == "text":
        return draw_text(picture, plain=not _can_draw(encoding))
    return {"svg": draw_svg, "mermaid": draw_mermaid, "dot": draw_dot, "json": draw_json}[form](picture)


def _can_draw(encoding: str | None) -> bool:
    try:
        "├─└│".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


__all__ = ["command"]
