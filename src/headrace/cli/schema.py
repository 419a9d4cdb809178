"""``headrace schema``: what an editor needs to complete, explain and check blueprints while they are written."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headrace.runtime.known_types import KnownTypes

from .main import emit


@click.command("schema")
@click.argument("targets", metavar="[TARGET|MODULE]...", nargs=-1)
@click.option("--output", metavar="FILE", help="Write it to a file instead of stdout.")
@click.option("--allow", metavar="PKG", multiple=True, help="A package whose components are included.")
def command(targets: tuple[str, ...], output: str | None, allow: tuple[str, ...]) -> int:
    """Print the JSON Schema of blueprints, for editors.

    It knows the settings of all installed component types; of those that a blueprint (TARGET) names, with the
    others of their modules and of the modules beside it; and of those of a MODULE. The line

        # yaml-language-server: $schema=FILE

    at the top of a blueprint tells an editor to use it.
    """
    from importlib import import_module

    from headrace.model.blueprint_schema import blueprint_schema

    with contextlib.redirect_stdout(sys.stderr):  # what a module prints when it is imported
        known, problems = _collect(targets, allow)
    for line in [*(f"note: {note}" for note in dict.fromkeys(known.notes)), *problems]:
        click.echo(line, err=True)
    if problems:
        return 2
    schema = blueprint_schema(known.types, known.resources, version=import_module("headrace").__version__)
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    if output is None:
        emit(text)
        return 0
    return _write(output, text + "\n")


def _collect(targets: tuple[str, ...], allow: tuple[str, ...]) -> tuple[KnownTypes, list[str]]:
    """Return the types of all that was named, and what is wrong with it."""
    from headrace.runtime.known_types import KnownTypes

    files = [target for target in targets if _is_file(target)]
    modules = [target.partition(":")[0] for target in targets if not _is_file(target)]
    folders = [os.path.dirname(os.path.abspath(file)) for file in files]
    here = [os.getcwd()] if modules else []
    tops = [module.partition(".")[0] for module in modules]
    known = KnownTypes([*folders, *here], [*allow, *tops])
    known.add_installed()
    problems = [problem for file in files if (problem := _add_file(known, file))]
    if files:
        known.add_beside()
    failed = [module for module in dict.fromkeys([*modules, *allow]) if not known.add_module(module)]
    problems += [f"Error: there is no module '{module}' to import" for module in failed if module in modules]
    return known, problems


def _is_file(target: str) -> bool:
    return os.path.exists(target) or target.endswith((".yaml", ".yml")) or os.sep in target


def _add_file(known: KnownTypes, file: str) -> str:
    """Take the types that a blueprint names; returns what is wrong with the file."""
    from headrace.runtime.blueprint_files import MAX_BYTES, read_bytes, reason_of

    try:
        text = read_bytes(file, MAX_BYTES).decode("utf-8-sig", "replace")
    except (OSError, ValueError) as error:
        return f"{file}:1:1: error E100 cannot be read: {reason_of(error)}, check the path and its rights"
    known.add_named(text)
    return ""


def _write(output: str, text: str) -> int:
    try:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        click.echo(f"Error: {output} cannot be written: {error.strerror}", err=True)
        return 1
    return 0


__all__ = ["command"]
