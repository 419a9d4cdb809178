"""``headrace completion``: the script that lets a shell complete commands, options and blueprints.

Completing runs ``headrace`` once a keystroke, so what answers it imports nothing but click.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from .main import PROGRAM, cli, emit

_SHELLS = ("bash", "zsh", "fish")
_BLUEPRINTS = (".yaml", ".yml")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> int:
    """Print a script that lets a shell complete commands.

    Once it is evaluated, Tab completes commands, options and blueprints.

    \b
    bash  eval "$(headrace completion bash)"        in ~/.bashrc
    zsh   eval "$(headrace completion zsh)"         in ~/.zshrc, after compinit
    fish  headrace completion fish | source         in ~/.config/fish/config.fish
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows these three"
    emit(found(cli, {}, PROGRAM, f"_{PROGRAM}_COMPLETE".upper()).source().rstrip())
    return 0


def complete_blueprint(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the blueprints that a beginning of a path may mean; the shell's own folders where there is none."""
    folder, name = os.path.split(incomplete)
    found = [
        os.path.join(folder, path.name)
        for path in _files(Path(folder or ".").expanduser())
        if path.name.startswith(name) and path.suffix in _BLUEPRINTS
    ]
    if any(character.isspace() for path in found for character in path):
        return [CompletionItem(incomplete, type="file")]  # the shell knows how to quote it
    if not found:
        return [CompletionItem(incomplete, type="dir")]
    return [CompletionItem(path) for path in sorted(found)]


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


__all__ = ["command", "complete_blueprint"]
