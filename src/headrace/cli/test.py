"""``headrace test``: the tests that blueprints hold, and those that pytest finds beside them."""

from __future__ import annotations

from importlib.util import find_spec

import click

from .completion import complete_blueprint


def _installed(_ctx: click.Context, _param: click.Parameter, backend: str) -> str:
    if find_spec(backend) is None:
        raise click.BadParameter(f"{backend} is not installed: pip install 'headrace[{backend}]'")
    return backend


@click.command("test")
@click.argument("target", required=False, shell_complete=complete_blueprint)
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    shell_complete=complete_blueprint,
    help="A blueprint that changes what TARGET says.",
)
@click.option("--allow", metavar="PKG", multiple=True, help="A package whose modules the blueprint may use.")
@click.option("-k", "only", metavar="NAME", default="", help="Only tests with this in their names.")
@click.option(
    "--backend",
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    callback=_installed,
    help="The event loop of the blueprint's tests.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds after which a test is cut off.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--debug", is_flag=True, help="Tracebacks and logs.")
def command(
    target: str | None,
    files: tuple[str, ...],
    allow: tuple[str, ...],
    only: str,
    backend: str,
    timeout: float,
    form: str,
    debug: bool,
) -> int:
    """Run the tests that a blueprint holds.

    Each has a system of its own. TARGET is a blueprint; without one, all blueprints in this folder that hold
    tests, and with pytest installed the test_*.py files here.

    \b
    Exit codes: 0 all passed; 1 some failed; 2 a wrong blueprint, or no tests.
    """
    from .testing import Session, SessionOptions

    options = SessionOptions(allow, only, backend, timeout, debug, is_json=form == "json")
    named = [target, *files] if target is not None else list(files)
    return Session(options).run(named)


__all__ = ["command"]
