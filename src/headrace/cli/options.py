"""Which system a command is about: TARGET, ``-f`` and ``--allow``, the same for every command."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from .completion import complete_blueprint

_FILE = "A blueprint; each further one changes what those before it say. TARGET, where named, is the first."
_ALLOW = "A package whose modules the blueprint may use."


def target_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options that name a system: it is called with ``target``, ``files`` and ``allow``.

    ``target`` is what was named first, or else the only blueprint in the current folder; ``files`` are the
    blueprints that change it. Both go to ``load_target`` as they are.
    """

    @functools.wraps(function)
    def command(*args: Any, target: str | None, files: tuple[str, ...], **options: Any) -> int:
        named = (*(() if target is None else (target,)), *files) or (_default(),)
        return function(*args, target=named[0], files=named[1:], **options)

    allow = click.option("--allow", metavar="PKG", multiple=True, help=_ALLOW)
    file = click.option(
        "-f", "--file", "files", metavar="FILE", multiple=True, help=_FILE, shell_complete=complete_blueprint
    )
    named: Callable[..., int] = click.argument("target", required=False, shell_complete=complete_blueprint)(
        file(allow(command))
    )
    return named


def _default() -> str:
    from .target import default_target

    return default_target()


__all__ = ["target_options"]
