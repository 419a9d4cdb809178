"""``--web``: the option, and the page and the local socket around a run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headrace.runtime.system_execution_harness import SystemExecutionHarness

DEFAULT = "127.0.0.1:8321"
"""Where the page is if nothing is said: this computer only."""
_ADDRESS = re.compile(r"([^\s/]*:)?[0-9]{1,5}")
_HELP = "Serve a page, an API and /metrics; control needs the token that is printed, or $HEADRACE_WEB_TOKEN."


class CommandWithWeb(click.Command):
    """A command in which ``--web`` may stand before TARGET without taking it for its address."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give ``--web`` its default where no address follows."""
        return super().parse_args(ctx, list(_with_address(args)))


def _with_address(args: Sequence[str]) -> Sequence[str]:
    made = []
    for number, arg in enumerate(args):
        following = args[number + 1] if number + 1 < len(args) else ""
        made.append(f"--web={DEFAULT}" if arg == "--web" and not _ADDRESS.fullmatch(following) else arg)
    return made


def _checked(_ctx: click.Context, _param: click.Parameter, address: str | None) -> str | None:
    if address is None:
        return None
    from headrace.edges.web.address import parse_address
    from headrace.edges.web.serving import is_installed
    from headrace.exceptions import ConfigError

    try:
        parse_address(address)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None
    if not is_installed():
        raise click.BadParameter("its libraries are not installed: pip install 'headrace[web]'")
    return address


web_option = click.option(
    "--web", metavar="[HOST:PORT]", callback=_checked, help=f"{_HELP}  [default: {DEFAULT}]"
)


@asynccontextmanager
async def served(
    harness: SystemExecutionHarness, address: str | None, tell: Callable[[list[str]], None]
) -> AsyncIterator[None]:
    """Serve a system in this block: on an address if there is one, and on its local socket.

    Args:
        harness: The system.
        address: Where to listen; None for nowhere.
        tell: Called with what the user should know: the link to open.

    Raises:
        HarnessError: The address is in use, or cannot be listened on.
    """
    from headrace.edges.web.serving import serving

    async with serving(harness, address) as where:
        if where.url:
            tell([f"web: {where.link}", *([f"web: {where.warning}"] if where.warning else [])])
        yield


__all__ = ["DEFAULT", "CommandWithWeb", "served", "web_option"]
