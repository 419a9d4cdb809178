"""The command ``headrace``: what commands there are, and how any of them ends.

Nothing heavy is imported here, nor by ``--help`` of a command: each command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: Mapping[str, str] = {
    "bench": "Measure how fast it is here, beside its peers.",
    "check": "Tell all mistakes of a system at once, without running it.",
    "completion": "Print a script that lets a shell complete commands.",
    "doctor": "Tell what this machine lacks, and how to mend it.",
    "graph": "Draw a system: components, and what connects them.",
    "new": "Make a folder with a system, its tests and its data.",
    "run": "Run a system until it ends by itself or is stopped.",
    "schema": "Print the JSON Schema of blueprints, for editors.",
    "status": "Say whether running systems do their work.",
    "tap": "Print messages of a running system as they go by.",
    "test": "Run the tests that a blueprint holds.",
    "top": "Show what the components of a running system do.",
}
"""The commands with what ``--help`` says of them; each lives in the module of its name."""

PROGRAM = "headrace"
"""The name under which all this is called."""

BROKEN_PIPE = 128 + int(signal.SIGPIPE)
"""The exit code where whoever read the output went away, as a shell reports it for other programs."""


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now, or None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        found = import_module(f"headrace.cli.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names.

        Raises:
            UsageError: There is none; the message says which was meant.
        """
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(sorted(COMMANDS))}."
            ctx.fail(f"No such command '{args[0]}', {hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what the beginning of a command may mean, without importing any."""
        from click.shell_completion import CompletionItem

        names = [name for name in sorted(COMMANDS) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=COMMANDS[name]) for name in names), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"headrace {import_module('headrace').__version__}")
        ctx.exit()


@click.group(PROGRAM, cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version)
def cli() -> None:
    """Run a system of components as one structured program.

    A system is a blueprint (a YAML file), or MODULE:ATTRIBUTE of a Python program.
    """


def run_cli(args: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        args: The command line without the program's name; that of the process where None.

    Returns:
        The exit code.
    """
    _fill_in_outputs()
    try:
        result = cli.main(args=args, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0  # `--help` and `--version` end with their code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 128 + int(signal.SIGINT)
    except BrokenPipeError:
        _silence(1)
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO) or error.filename is not None:
            raise
        _silence(1)
        click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
        return 1


def emit(text: str) -> None:
    """Write a text and a newline to stdout.

    Raises:
        Exit: The reader has gone away; the command ends with ``BROKEN_PIPE``.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        _silence(1)
        raise click.exceptions.Exit(BROKEN_PIPE) from None


def main() -> NoReturn:
    """Run the command line of this process and end it."""
    code = run_cli()
    for number in (signal.SIGINT, signal.SIGTERM):  # all is said: a late signal must not change the exit code
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _fill_in_outputs() -> None:
    """Give the outputs a place where the process was started with them closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process


def _silence(descriptor: int) -> None:
    """Point an output whose reader is gone at nothing, so that what is buffered can still be flushed."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


__all__ = ["BROKEN_PIPE", "COMMANDS", "PROGRAM", "LazyGroup", "cli", "emit", "main", "run_cli"]
