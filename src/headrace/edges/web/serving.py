"""Serves a system around its run: on an address, and on a socket for tools of the same user."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import anyio
from anyio import create_task_group
from starlette.types import ASGIApp

from headrace.exceptions import ConfigError, HarnessError
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .access import Access
from .address import Address, parse_address
from .application import application
from .connections import Connections
from .event_stream import STALLED_AFTER
from .local_socket import open_socket
from .site import Site

TOKEN_VARIABLE = "HEADRACE_WEB_TOKEN"
"""The environment variable for a token of the user's own; set and empty, nobody may control."""
SHORTEST = 16
"""How many characters a token has at least."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where a system is served.

    Attributes:
        url: The URL of the page; empty where it is on no address.
        token: What control needs; empty where nobody may control, or where there is no address.
        is_own_token: Whether the token was set by the user, who need not be told it.
        path: The local socket; None where there is none.
        warning: What the user should know of the address; empty where nothing.
    """

    url: str = ""
    token: str = ""
    is_own_token: bool = False
    path: Path | None = None
    warning: str = ""

    @property
    def link(self) -> str:
        """The URL to open: with the token, unless the user has set that."""
        return self.url if self.is_own_token or not self.token else f"{self.url}?token={self.token}"


@asynccontextmanager
async def serving(
    harness: SystemExecutionHarness,
    address: str | None = None,
    *,
    token: str | None = None,
    hosts: Iterable[str] = (),
    local: bool = True,
    hide: Callable[[str], str] = str,
    tick: float = 0.5,
    stalled_after: float = STALLED_AFTER,
) -> AsyncIterator[Served]:
    """Serve a system in this block, which is to be around its run.

    Args:
        harness: The system.
        address: ``HOST:PORT``; a port of 0 for a free one; None for no address.
        token: What control needs: ``$HEADRACE_WEB_TOKEN``, or else a new one, where None; nobody where empty.
        hosts: More names that the server answers to.
        local: Whether there is a local socket too.
        hide: Takes secrets out of texts.
        tick: Seconds between two events of a stream.
        stalled_after: Seconds that a client may leave an event unread.

    Raises:
        ConfigError: The address is none.
        HarnessError: It is in use, or cannot be listened on.
    """
    where = None if address is None else parse_address(address)
    given = os.environ.get(TOKEN_VARIABLE) if token is None else token
    wanted = secrets.token_urlsafe(24) if given is None else given
    _check_token(wanted)
    with _Sockets() as sockets:
        served, servers, sites = Served(), list[tuple[socket.socket, ASGIApp]](), list[Site]()
        if where is not None:
            one = sockets.listen(where)
            access = Access(wanted, [where.host, *hosts], any_address=not where.is_loopback)
            site = Site(harness, access, hide=hide, tick=tick, stalled_after=stalled_after)
            sites.append(site)
            servers.append((one, application(site)))
            url = f"http://{where.shown(one.getsockname()[1])}/"
            warning = "" if where.is_loopback else f"everybody who reaches {url} can read what is shown there"
            served = Served(url, wanted, given is not None, None, warning)
        if local:
            one, path = open_socket(harness.name)
            sockets.add(one, path)
            shared = sites[0] if sites else None
            site = Site(
                harness,
                Access(trusted=True),
                hide=hide,
                shared=shared,
                tick=tick,
                stalled_after=stalled_after,
            )
            sites.append(site)
            servers.append((one, application(site)))
            served = Served(served.url, served.token, served.is_own_token, path, served.warning)
        async with _around(Connections(stalled_after), servers, sites):
            yield served


@asynccontextmanager
async def _around(
    connections: Connections, servers: list[tuple[socket.socket, ASGIApp]], sites: list[Site]
) -> AsyncIterator[None]:
    closing = anyio.Event()
    async with create_task_group() as group:
        group.start_soon(connections.serve, servers, closing, name="web server")
        try:
            yield
        finally:
            for site in sites:
                site.close()
            closing.set()


class _Sockets:
    """Listening sockets, closed at the end of the block; and what they are in the file system, removed."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._paths: list[Path] = []

    def add(self, one: socket.socket, path: Path) -> None:
        """Look after a socket that is in the file system."""
        self._sockets.append(one)
        self._paths.append(path)

    def listen(self, where: Address) -> socket.socket:
        """Listen on an address.

        Raises:
            HarnessError: It is in use, or is none of this computer's.
        """
        family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((where.host, where.port))
            one.listen(100)
        except OSError as error:
            raise HarnessError(
                f"cannot listen on {where.shown(where.port)}: {error.strerror or error}; take another port, "
                f"or let one be found: {where.shown(0)}"
            ) from error
        one.setblocking(False)
        return one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()
        for path in self._paths:
            path.unlink(missing_ok=True)


def _check_token(token: str) -> None:
    if token and not (
        token.isascii() and token.isprintable() and " " not in token and len(token) >= SHORTEST
    ):
        raise ConfigError(
            f"a token is of at least {SHORTEST} printable ASCII characters without blanks",
            hint=f"make one: {TOKEN_VARIABLE}=$(python3 -c 'import secrets; print(secrets.token_urlsafe())')",
            field="token",
        )


__all__ = ["SHORTEST", "TOKEN_VARIABLE", "Served", "serving"]
